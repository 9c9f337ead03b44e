"""An ablation that is ready to run: what it names is there, and fits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data_builders import languages, mixes, probes, select
from probe import ablation as ablations
from probe import audit
from probe.ablation import HELD_OUT, Ablation, Job, ProbeChoice
from probe.audit import Settings
from probe.types import BuildOptions, ConfigError, Probe, UsageError

if TYPE_CHECKING:
    from probe.config import ModelConfig
    from probe.train import Base

RUNS = "runs"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A probe with its items, as the ablation asks for them."""

    probe: Probe
    asked: ProbeChoice
    options: BuildOptions


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """An ablation that can be run: everything it names is there and fits."""

    ablation: Ablation
    base: Base
    mixes: dict[str, mixes.Mix]
    jobs: list[Job]
    choices: list[Choice]
    out: Path
    data: Path | None
    settings: Settings
    """Of scoring; its `device` is that of training too."""

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.out / RUNS

    def folder(self, job: Job) -> Path:
        """A checkpoint's folder."""
        return self.out / CHECKPOINTS / job.folder


def prepare(
    ablation: Ablation, *, out: Path, data: Path | None, settings: Settings
) -> Sweep:
    """Reads and checks everything before anything is trained.

    Args:
        ablation: What to run.
        out: Its folder.
        data: Folder with local copies of the sources; None: the hub.
        settings: How to load and score; `runs` is replaced by one below `out`, and
            `dtype` by the ablation's.

    Raises:
        ConfigError: An argument, mix or base that does not fit.
        UsageError: A probe, mix or model that does not exist.
        DataError: Data that cannot be had.
        WeightsError: The base's weights cannot be found.
    """
    from probe import train

    found = {
        ref: mixes.read_mix(ref)
        for stage in ablation.stages
        for ref in (stage.mix, stage.placebo)
        if ref is not None
    }
    _check_names(found, ablation)
    for at, stage in enumerate(ablation.stages, start=1):
        where = f"{ablation.where}, stage {at}"
        for ref in (stage.mix, stage.placebo):
            if ref is not None:
                _check_mix(found[ref], stage.stage, ablation, where)
        train.check(stage, where)
    _check_varied(ablation, found)
    _check_placebos(ablation, found)
    dtype = ablation.dtype or settings.dtype
    settings = dataclasses.replace(settings, runs=out / RUNS, dtype=dtype)
    config = audit.configure(ablation.base, settings)
    # Of checkpoints too, whose files say what it was when they were trained.
    settings = dataclasses.replace(settings, dtype=config.dtype)
    if config.kind.fits != "policy":
        raise ConfigError(
            f"{ablation.where}: `base` = {ablation.base} is of kind {config.kind}",
            "Training starts from a policy",
            "Name one; rm-probe ls models lists them",
        )
    if config.quantization is not None:
        raise ConfigError(
            f"{ablation.where}: `base` = {ablation.base} is rounded to "
            f"{config.quantization}",
            "An ablation is trained and scored on the same weights, and these have no "
            "gradients",
            "Name a config of it without `quantization`",
        )
    if config.adapter is not None:
        raise ConfigError(
            f"{ablation.where}: `base` = {ablation.base} is an adapter on "
            f"{config.weights}",
            "An adapter is trained on whole weights",
            "Merge the adapter first (peft's merge_and_unload), and name that folder",
        )
    choices = [
        choose(probes.load(one.probe), one, ablation, data)
        for one in ablation.probes
        if one.probe != HELD_OUT
    ]
    jobs = ablations.jobs(ablation, lambda ref: found[ref].has_dose)
    if any(one.probe == HELD_OUT for one in ablation.probes):
        _check_held_out(jobs, found, ablation)
    prepared = audit.prepare(config, settings)
    _check_beside(ablation, config, choices, settings)
    return Sweep(
        ablation=ablation,
        base=train.Base(config=config, resolved=prepared.resolved),
        mixes=found,
        jobs=jobs,
        choices=choices,
        out=out,
        data=data,
        settings=settings,
    )


def _check_names(found: dict[str, mixes.Mix], ablation: Ablation) -> None:
    """Checks that mixes have names of their own, as the folders of their rows have."""
    seen: dict[str, str] = {}
    for ref, mix in found.items():
        if mix.name in seen:
            raise ConfigError(
                f"{ablation.where}: the mixes {seen[mix.name]} and {ref} are both "
                f"called '{mix.name}'",
                "Each mix of an ablation has a name of its own",
                "Rename one of them",
            )
        seen[mix.name] = ref


def _check_mix(mix: mixes.Mix, stage: str, ablation: Ablation, where: str) -> None:
    if mix.stage != stage:
        raise ConfigError(
            f"{where} is {stage}, and its mix {mix.name} is for {mix.stage}",
            "A stage trains on a mix of its own kind",
            "Name another mix, or change the mix's `stage`",
        )
    if mix.has_dose and ablation.shares is None:
        raise ConfigError(
            f"{where}: the mix {mix.name} has a share `dose`, and there are no "
            "`shares`",
            "`shares` says which doses are trained",
            "Add `shares: [0, 0.5, 1]`, or write a number into the mix",
        )


def _check_varied(ablation: Ablation, found: dict[str, mixes.Mix]) -> None:
    if ablation.shares is not None and not any(one.has_dose for one in found.values()):
        raise ConfigError(
            f"{ablation.where} has `shares`, and no mix has a part of share `dose`",
            "A share is that of the part with `share: dose`",
            "Mend a mix, or leave `shares` out",
        )


def _check_placebos(ablation: Ablation, found: dict[str, mixes.Mix]) -> None:
    """Checks that a placebo arm has a placebo wherever the treatment has a dose."""
    if ablation.arms == ("treatment",):
        return
    for at, stage in enumerate(ablation.stages, start=1):
        where = f"{ablation.where}, stage {at}"
        dosed = found[stage.mix].has_dose
        if dosed and stage.placebo is None:
            raise ConfigError(
                f"{where}: the mix {stage.mix} has a dose, and there is no `placebo`, "
                "while another stage has one",
                "The placebo arm is trained without the attribute in every stage",
                "Add a placebo to this stage, or leave the others' out",
            )
        if stage.placebo is None:
            continue
        placebo = found[stage.placebo]
        if not (dosed and placebo.has_dose):
            raise ConfigError(
                f"{where}: of `mix` and `placebo` one has no part of share `dose`",
                "A placebo has the same shares as the treatment",
                "Write `share: dose` and `share: rest` into both, or leave `placebo` "
                "out",
            )
        if not placebo.is_placebo:
            raise ConfigError(
                f"{where}: of the placebo {stage.placebo}, the parts of share `dose` "
                "and `rest` are different rows",
                "In a placebo the dose is a label without meaning: both parts have one "
                "source and one filter",
                "Write the `where` of the part with the rest into both, or name "
                "another mix",
            )
        if placebo.rows != found[stage.mix].rows:
            raise ConfigError(
                f"{where}: the mix has `rows: {found[stage.mix].rows}`, its placebo "
                f"{placebo.rows}",
                "A placebo has as many rows as the treatment: else the arms differ in "
                "how much is trained on",
                "Write the same number into both",
            )


def _check_beside(
    ablation: Ablation, base: ModelConfig, choices: list[Choice], settings: Settings
) -> None:
    """Checks the models that are scored as well, before hours of training."""
    held_out = any(one.probe == HELD_OUT for one in ablation.probes)
    for ref in ablation.beside:
        config = audit.configure(ref, settings)
        if config.name == base.name:
            raise ConfigError(
                f"{ablation.where}: `beside` names {ref}, which is the base",
                "The base is scored without being named",
                "Leave it out",
            )
        fits = config.kind.fits
        if not held_out and not any(fits in choice.probe.fits for choice in choices):
            raise ConfigError(
                f"{ablation.where}: `beside` names {ref}, a {fits}, and no probe is "
                "for such",
                "A model beside the checkpoints is scored on their probes",
                "Name another probe, or leave it out",
            )
        audit.prepare(config, settings)


def _check_held_out(
    jobs: list[Job], found: dict[str, mixes.Mix], ablation: Ablation
) -> None:
    paired = [job for job in jobs if job.plan.stage != "sft"]
    if not paired or found[paired[0].mix].hold_out is None:
        raise ConfigError(
            f"{ablation.where}: a probe is `{HELD_OUT}`, and no stage of pairs holds "
            "any out",
            "It is what the mix of a dpo or reward stage holds out",
            "Write `hold_out: 0.2` into that mix, or leave the probe out",
        )


def choose(
    probe: Probe, asked: ProbeChoice, ablation: Ablation, data: Path | None
) -> Choice:
    """A probe of the ablation, with its options read."""
    options = BuildOptions(
        data=data,
        countries=asked.countries and select.filter_countries(asked.countries),
        languages=asked.languages
        and tuple(dict.fromkeys(map(languages.resolve, asked.languages))),
        personas=select.filter_countries(asked.personas),
        shots=asked.shots,
    )
    if ignored := select.unread(probe, options):
        raise UsageError(
            f"{ablation.where}: `{ignored}` is given for probe {probe.name}, which "
            "does not read it",
            f"{probe.name} reads {', '.join(sorted(probe.words)) or 'none of these'}",
            "Leave it out",
        )
    return Choice(probe=probe, asked=asked, options=options)


def held_out_job(sweep: Sweep) -> Job | None:
    """Whose held-out pairs are scored; None: nobody's."""
    if not any(one.probe == HELD_OUT for one in sweep.ablation.probes):
        return None
    return next(job for job in sweep.jobs if job.plan.stage != "sft")
