"""Runs -> the sweeps of training that their checkpoints come from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.html import join_words
from analysis.load import Run
from probe.types import DataError, NoSlopeError, UsageError

KEY = "training"
"""Of the model config in a manifest."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What one checkpoint was trained on."""

    sweep: str
    arm: str
    placebo: bool
    """Whether rows are only drawn anew for each share, to compare with."""
    share: float | None
    """Of the training rows, with the attribute, 0 to 1, as asked for; None: nothing was
    varied."""
    drawn_share: float | None
    """That of the rows that were drawn; None: not recorded, or nothing was varied."""
    seed: int
    stage: str
    base: str | None
    """Name of the model that it was trained from; None: not recorded."""
    mix: str | None
    """Name of the mix of rows; None: not recorded."""
    rows: int
    dropped: int
    """Rows of the mix that did not fit the trainer."""
    tokens: int
    attribute: str
    """What the share is a share of, such as "rows in Finnish"."""
    kind: str
    """How the checkpoint is scored, as `Manifest.model_kind`."""


def training_of(run: Run) -> Training | None:
    """What a run's model was trained on; None: its config does not say.

    Raises:
        DataError: The config's `training` lacks a key, or has an impossible value.
    """
    found = (run.manifest.config or {}).get(KEY)
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise _wrong(run, f"is {found!r}", "It is a mapping")

    def text(key: str) -> str:
        value = found.get(key)
        if not isinstance(value, str) or not value:
            raise _wrong(run, f"has {key} = {value!r}", "It is a text")
        return value

    def count(key: str) -> int:
        value = found.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise _wrong(run, f"has {key} = {value!r}", "It is a whole number from 0")
        return value

    def share(key: str) -> float | None:
        value = found.get(key)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 <= value <= 1
        ):
            raise _wrong(run, f"has {key} = {value!r}", "It lies between 0 and 1")
        return float(value)

    # Configs of earlier versions lack some keys.
    return Training(
        sweep=text("sweep"),
        arm=text("arm"),
        placebo=bool(found.get("placebo", False)),
        share=share("share"),
        drawn_share=share("drawn_share"),
        seed=count("seed"),
        stage=text("stage"),
        base=None if found.get("base") is None else text("base"),
        mix=None if found.get("mix") is None else text("mix"),
        rows=count("rows"),
        dropped=count("dropped") if "dropped" in found else 0,
        tokens=count("tokens"),
        attribute=text("attribute"),
        kind=run.manifest.model_kind,
    )


def _wrong(run: Run, what: str, rule: str) -> DataError:
    return DataError(
        f"{run.path / 'manifest.json'}: config.{KEY} {what}",
        f"{rule}, as rm-probe train writes it into the checkpoint's config",
        "Score the checkpoint with the config that lies beside it",
    )


STAGES = {"sft": "SFT", "dpo": "DPO", "reward": "reward model"}
"""Stage of training -> what it is called."""
KINDS = {"implicit_reward": "implicit rewards", "policy": "log-probabilities"}
"""How a checkpoint is scored -> what is said of it where a stage is scored twice."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One model of a sweep."""

    model: str
    training: Training
    share: float
    """As asked for."""

    @property
    def dose(self) -> float:
        """The share that was drawn, where it is recorded; else the one asked for."""
        drawn = self.training.drawn_share
        return self.share if drawn is None else drawn


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Checkpoints of one stage of one sweep, at two shares at least."""

    name: str
    title: str
    """The name with the stage, unique among the sweeps."""
    stage: str
    attribute: str
    checkpoints: tuple[Checkpoint, ...]
    """By arm, treatments first; then by share and seed."""
    kind: str
    """How the checkpoints are scored, as `Manifest.model_kind`."""
    base: str | None
    """Name of the model that all were trained from; None: not recorded."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms, treatments first."""
        return tuple(dict.fromkeys(one.training.arm for one in self.checkpoints))

    def is_placebo(self, arm: str) -> bool:
        """Whether an arm is to compare with."""
        return any(
            one.training.placebo for one in self.checkpoints if one.training.arm == arm
        )


def find_sweeps(runs: Sequence[Run]) -> tuple[tuple[Sweep, ...], tuple[str, ...]]:
    """The sweeps of some runs, each stage by itself, and notes on what is left out.

    Sweeps are never pooled. A stage whose checkpoints are scored in two ways, such as
    DPO as a policy and by its implicit rewards, is two.

    Raises:
        UsageError: No run is of a checkpoint of a sweep.
        DataError: As `training_of`; one model with two trainings; two models of one
            arm, share and seed; checkpoints of one sweep from two bases, or of one arm
            on two mixes.
        NoSlopeError: No sweep has checkpoints at two shares.
    """
    models = _models(runs)
    if not models:
        raise UsageError(
            f"none of the {len(runs)} runs is of a checkpoint of a sweep",
            f"A checkpoint's config says under `{KEY}` what it was trained on",
            "Name runs of checkpoints that rm-probe train made",
        )
    notes = []
    unvaried = [model for model, one in models.items() if one.share is None]
    if unvaried:
        notes.append(
            f"{join_words(unvaried)}: nothing was varied in the training, so that "
            "there is no share to set against."
        )
    stages: dict[tuple[str, str, str], list[Checkpoint]] = {}
    for model, one in models.items():
        if one.share is not None:
            stages.setdefault((one.sweep, one.stage, one.kind), []).append(
                Checkpoint(model=model, training=one, share=one.share)
            )
    found = []
    for (name, stage, kind), checkpoints in stages.items():
        twice = sum(key[:2] == (name, stage) for key in stages) > 1
        title = f"{name}, {STAGES.get(stage, stage)}"
        title += f" by {KINDS.get(kind, kind)}" if twice else ""
        _refuse_twins(title, checkpoints)
        _refuse_mixed(title, checkpoints)
        if len({one.share for one in checkpoints}) < 2:
            notes.append(
                f"{title}: all {len(checkpoints)} checkpoints have the share "
                f"{checkpoints[0].share:g}, so that there is no slope."
            )
            continue
        found.append(
            Sweep(
                name=name,
                title=title,
                stage=stage,
                attribute=_attribute(checkpoints),
                checkpoints=tuple(sorted(checkpoints, key=_order)),
                kind=kind,
                base=checkpoints[0].training.base,
            )
        )
    if not found:
        raise NoSlopeError(
            f"no sweep of the {len(runs)} runs has checkpoints at two shares"
            + "".join(f"; {note}" for note in notes),
            "A slope needs one metric at two shares or more",
            "Score the checkpoints of the other shares and name their runs as well",
        )
    return tuple(found), (*notes, *_strangers(runs, models, found))


def other_models(runs: Sequence[Run], sweeps: Sequence[Sweep]) -> tuple[str, ...]:
    """Models that are no checkpoint of a sweep and no sweep's base."""
    known = {one.model for sweep in sweeps for one in sweep.checkpoints}
    known |= {sweep.base for sweep in sweeps if sweep.base is not None}
    return tuple(dict.fromkeys(run.model for run in runs if run.model not in known))


def _strangers(
    runs: Sequence[Run], models: Mapping[str, Training], sweeps: Sequence[Sweep]
) -> list[str]:
    """Models of which nothing is known, and that are no sweep's base."""
    rest = [model for model in other_models(runs, sweeps) if model not in models]
    if not rest:
        return []
    unknown = [one.title for one in sweeps if one.base is None]
    why = (
        f": the checkpoints of {join_words(unknown)} do not name their base, so that "
        "no level before training is shown"
        if unknown
        else " and the base of none"
    )
    is_, its = ("is", "its") if len(rest) == 1 else ("are", "their")
    return [
        f"{join_words(rest)} {is_} of no sweep{why}; {its} levels stand beside the "
        "checkpoints'."
    ]


def _models(runs: Sequence[Run]) -> dict[str, Training]:
    """What each model was trained on, of those of which it is known."""
    models: dict[str, Training] = {}
    of: dict[str, Run] = {}
    for run in runs:
        training = training_of(run)
        if training is None:
            continue
        if models.setdefault(run.model, training) != training:
            raise DataError(
                f"{of[run.model].name} and {run.name} are both runs of {run.model}, "
                "and were trained on different rows",
                "One name stands for one checkpoint",
                "Leave one of the two out",
            )
        of.setdefault(run.model, run)
    return models


def _attribute(checkpoints: Sequence[Checkpoint]) -> str:
    """What the treatments' share is a share of; a placebo's where there is no other."""
    treated = [one.training for one in checkpoints if not one.training.placebo]
    found = treated or [one.training for one in checkpoints]
    return join_words(list(dict.fromkeys(one.attribute for one in found)))


def _order(one: Checkpoint) -> tuple[bool, str, float, int]:
    training = one.training
    return training.placebo, training.arm, one.share, training.seed


def _refuse_twins(title: str, checkpoints: Sequence[Checkpoint]) -> None:
    """One checkpoint under two names would count for two."""

    def place(one: Checkpoint) -> tuple[str, float, int]:
        return one.training.arm, one.share, one.training.seed

    for first, other in itertools.combinations(checkpoints, 2):
        if place(first) == place(other):
            arm, share, seed = place(first)
            raise DataError(
                f"{title}: {first.model} and {other.model} are both of arm {arm}, "
                f"share {share:g} and seed {seed}",
                "An arm has one checkpoint for each share and seed",
                "Leave one of the two out",
            )


def _refuse_mixed(title: str, checkpoints: Sequence[Checkpoint]) -> None:
    """A slope is of one base, and in an arm of one mix."""
    bases = _distinct([one.training.base for one in checkpoints])
    if len(bases) > 1:
        raise DataError(
            f"{title}: the checkpoints were trained from {join_words(bases)}",
            "All checkpoints of a sweep have one base",
            "Name the runs of the checkpoints of one base only",
        )
    for arm in dict.fromkeys(one.training.arm for one in checkpoints):
        here = [one.training.mix for one in checkpoints if one.training.arm == arm]
        if len(mixes := _distinct(here)) > 1:
            raise DataError(
                f"{title}: arm {arm} was trained on the mixes {join_words(mixes)}",
                "All checkpoints of an arm have one mix, at several shares",
                "Name the runs of the checkpoints of one mix only",
            )


def _distinct(names: Sequence[str | None]) -> list[str]:
    return [
        "one not recorded" if name is None else name for name in dict.fromkeys(names)
    ]
