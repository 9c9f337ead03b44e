"""Runs -> the sweeps of training that their checkpoints come from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.html import join_words
from analysis.load import Run
from probe.types import DataError, UsageError

STAGES = {"sft": "SFT", "dpo": "DPO", "reward": "reward model"}
"""Stage of training -> what it is called."""
KINDS = {"implicit_reward": "implicit rewards", "policy": "log-probabilities"}
"""How a checkpoint is scored -> what is said of it where a stage is scored twice."""
KEY = "training"
"""Of the model config in a manifest."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What one checkpoint was trained on."""

    sweep: str
    arm: str
    placebo: bool
    """Whether the share is of rows whose attribute is made up, to compare with."""
    share: float | None
    """Of the training rows, with the attribute, 0 to 1; None: nothing was varied."""
    seed: int
    stage: str
    rows: int
    tokens: int
    attribute: str
    """What the share is a share of, such as "rows in Finnish"."""
    kind: str
    """How the checkpoint is scored, as `Manifest.model_kind`."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One model of a sweep."""

    model: str
    training: Training
    share: float


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
    """Model that all were trained from, where its runs are here and are scored so."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms, treatments first."""
        return tuple(dict.fromkeys(one.training.arm for one in self.checkpoints))

    def is_placebo(self, arm: str) -> bool:
        """Whether an arm is to compare with."""
        return any(
            one.training.placebo for one in self.checkpoints if one.training.arm == arm
        )


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

    share = found.get("share")
    if share is not None and (
        isinstance(share, bool)
        or not isinstance(share, int | float)
        or not 0 <= share <= 1
    ):
        raise _wrong(run, f"has share = {share!r}", "It lies between 0 and 1")
    return Training(
        sweep=text("sweep"),
        arm=text("arm"),
        placebo=bool(found.get("placebo", False)),
        share=None if share is None else float(share),
        seed=count("seed"),
        stage=text("stage"),
        rows=count("rows"),
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


def has_doses(runs: Sequence[Run]) -> bool:
    """Whether runs are of checkpoints of one sweep at two shares or more.

    Raises:
        DataError: As `training_of`.
    """
    shares: dict[str, set[float]] = {}
    for run in runs:
        training = training_of(run)
        if training is not None and training.share is not None:
            shares.setdefault(training.sweep, set()).add(training.share)
    return any(len(found) > 1 for found in shares.values())


def find_sweeps(runs: Sequence[Run]) -> tuple[tuple[Sweep, ...], tuple[str, ...]]:
    """The sweeps of some runs, each stage by itself, and notes on what is left out.

    Sweeps are never pooled. A stage whose checkpoints are scored in two ways, such as
    DPO as a policy and by its implicit rewards, is two.

    Raises:
        UsageError: No run is of a checkpoint of a sweep.
        DataError: As `training_of`; one model with two trainings; two models of one
            arm, share and seed; or no sweep has checkpoints at two shares.
    """
    models, bases = _models(runs)
    if not models:
        raise UsageError(
            f"none of the {len(runs)} runs is of a checkpoint of a sweep",
            f"A checkpoint's config says under `{KEY}` what it was trained on",
            "Name runs of checkpoints that rm-probe train made",
        )
    notes = []
    base = next(iter(bases)) if len(bases) == 1 else None
    if len(bases) > 1:
        notes.append(
            f"{join_words(list(bases))} have no training of a sweep: as they are "
            "several, none is shown as the level before training."
        )
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
                base=base if base is not None and bases[base] == kind else None,
            )
        )
    if not found:
        raise DataError(
            f"no sweep of the {len(runs)} runs has checkpoints at two shares"
            + "".join(f"; {note}" for note in notes),
            "A slope needs one metric at two shares or more",
            "Score the checkpoints of the other shares and name their runs as well",
        )
    return tuple(found), tuple(notes)


def _models(runs: Sequence[Run]) -> tuple[dict[str, Training], dict[str, str]]:
    """What each model was trained on; models of no training, and their kind."""
    models: dict[str, Training] = {}
    bases: dict[str, str] = {}
    of: dict[str, Run] = {}
    for run in runs:
        training = training_of(run)
        if training is None:
            bases[run.model] = run.manifest.model_kind
        elif models.setdefault(run.model, training) != training:
            raise DataError(
                f"{of[run.model].name} and {run.name} are both runs of {run.model}, "
                "and were trained on different rows",
                "One name stands for one checkpoint",
                "Leave one of the two out",
            )
        of.setdefault(run.model, run)
    return models, {name: bases[name] for name in bases if name not in models}


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
