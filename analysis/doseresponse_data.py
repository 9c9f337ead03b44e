"""One measure of all checkpoints of a sweep, unit by unit."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.doseresponse_fit import Design
from analysis.doseresponse_sweep import Checkpoint, Sweep
from analysis.load import Run
from analysis.outcome import Outcome
from analysis.resample import Floats
from analysis.stages_data import Aligned, Codes, Measured, align
from probe.types import Stage

MOST_LOST = 3
"""Units left out that a note names."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One measure of one checkpoint, or of another model."""

    run: Run
    outcome: Outcome

    @property
    def measured(self) -> Measured:
        """The same in the form that is aligned."""
        return Measured(
            stage=Stage(role="model", model=self.run.model),
            run=self.run.name,
            probe=self.run.probe,
            outcome=self.outcome,
        )


@dataclass(frozen=True, kw_only=True)
class Lost:
    """Units that some checkpoint scored and another one did not."""

    count: int
    names: tuple[str, ...]
    """The first of them, with their group."""
    lacking: tuple[tuple[str, int], ...]
    """Model -> how many it lacks, of those that lack any."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A model that is no checkpoint of the sweep, on the units of its checkpoints."""

    model: str
    means: tuple[float, ...]
    """Per group, over the same units as far as it scored them; NaN: none."""
    lacks: int
    """Rows of these that it did not score."""
    beside: str
    """As `Outcome.beside`."""

    def over(self, codes: Sequence[int]) -> float:
        """The mean over some groups."""
        return sum(self.means[code] for code in codes) / len(codes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dosed:
    """A measure of the checkpoints of a sweep, over the units that all have scored."""

    sweep: Sweep
    checkpoints: tuple[Checkpoint, ...]
    """Those that have the measure."""
    aligned: Aligned
    """Its values have a row per checkpoint."""
    base: Level | None
    """Before training; None: the base has no such measure."""
    others: tuple[Level, ...]
    """Models that are no checkpoint and no base, such as a reward model."""
    lost: Lost

    @property
    def outcome(self) -> Outcome:
        """What the measure is."""
        return self.aligned.outcome

    @property
    def no_checkpoints(self) -> tuple[Level, ...]:
        """The base, where it has the measure, and the others."""
        return (*(() if self.base is None else (self.base,)), *self.others)

    @property
    def beside(self) -> tuple[str, ...]:
        """What must be read beside each checkpoint's levels; () if of all alike."""
        said = tuple(one.outcome.beside for one in self.aligned.measured)
        return said if len(set(said)) > 1 else ()

    @property
    def probe(self) -> str:
        """Probe and version."""
        return self.aligned.measured[0].probe

    def places(self, arm: str) -> Codes:
        """Which checkpoints are of an arm."""
        return np.array(
            [
                place
                for place, one in enumerate(self.checkpoints)
                if one.training.arm == arm
            ],
            dtype=np.intp,
        )

    def design(self, arm: str) -> Design:
        """Drawn share and seed of an arm's checkpoints, in the order of `places`."""
        kept = [self.checkpoints[place] for place in self.places(arm)]
        seeds = np.array([one.training.seed for one in kept])
        return Design(
            share=np.array([one.dose for one in kept], dtype=np.float64),
            seed=np.unique(seeds, return_inverse=True)[1].astype(np.intp),
            planned=np.array([one.share for one in kept], dtype=np.float64),
        )

    @functools.cached_property
    def levels(self) -> Floats:
        """The metric of each checkpoint and group, shape (checkpoints, groups)."""
        aligned = self.aligned
        return np.stack(
            [
                aligned.values[:, aligned.group == code].mean(axis=1)
                for code in range(len(aligned.groups))
            ],
            axis=1,
        )

    def mean_levels(self, codes: Sequence[int]) -> Floats:
        """The mean over some groups at each checkpoint, shape (checkpoints,)."""
        return self.levels[:, list(codes)].mean(axis=1)


def align_sweep(
    sweep: Sweep,
    checkpoints: Sequence[Checkpoint],
    scored: Sequence[Scored],
    base: Scored | None,
    others: Sequence[Scored] = (),
) -> Dosed | None:
    """Puts the values of all checkpoints of a sweep side by side.

    Args:
        sweep: Whose they are.
        checkpoints: At least two that have the measure.
        scored: The measure of each.
        base: That of the base, which loses no unit.
        others: That of other models, which lose none either.

    Returns:
        None: the checkpoints have no scored unit in common.

    Raises:
        UsageError: Ranks among different groups.
    """
    aligned = align(sweep.title, [one.measured for one in scored])
    if aligned is None:
        return None
    known = [_known(one.outcome) for one in scored]
    kept = known[0].index
    for one in known[1:]:
        kept = kept[kept.isin(one.index)]
    return Dosed(
        sweep=sweep,
        checkpoints=tuple(checkpoints),
        aligned=aligned,
        base=None if base is None else _level(base, kept, aligned),
        others=tuple(_level(one, kept, aligned) for one in others),
        lost=_lost(known, kept, checkpoints),
    )


def _known(outcome: Outcome) -> pd.Series:
    """Values that are scored, by unit and group, in the order of the frame."""
    frame = outcome.frame
    frame = frame[np.isfinite(frame["value"].to_numpy(dtype=np.float64))]
    return pd.Series(
        frame["value"].to_numpy(dtype=np.float64),
        index=pd.MultiIndex.from_frame(frame[["unit", "group"]]),
    )


def _lost(
    known: Sequence[pd.Series], kept: pd.Index, checkpoints: Sequence[Checkpoint]
) -> Lost:
    every = known[0].index
    for one in known[1:]:
        every = every.append(one.index[~one.index.isin(every)])
    gone = every[~every.isin(kept)]
    lacking = [
        (checkpoint.model, int((~gone.isin(one.index)).sum()))
        for checkpoint, one in zip(checkpoints, known, strict=True)
    ]
    return Lost(
        count=len(gone),
        names=tuple(
            str(unit) if str(group) == "all" else f"{unit} in {group}"
            for unit, group in list(gone[:MOST_LOST])
        ),
        lacking=tuple((model, count) for model, count in lacking if count),
    )


def _level(one: Scored, kept: pd.Index, aligned: Aligned) -> Level:
    values = _known(one.outcome).reindex(kept).to_numpy(dtype=np.float64)
    found = np.isfinite(values)
    return Level(
        model=one.run.model,
        means=tuple(
            float(values[found & (aligned.group == code)].mean())
            if (found & (aligned.group == code)).any()
            else float("nan")
            for code in range(len(aligned.groups))
        ),
        lacks=int((~found).sum()),
        beside=one.outcome.beside,
    )
