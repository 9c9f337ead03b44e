"""What a share of the training rows does: slopes over the checkpoints of a sweep.

A sweep trains checkpoints from one base on mixes in which a share of the rows has an
attribute, such as a language, at several shares and seeds. Estimands, per measure and
group of units (language, dialect, country): the slope of the group's metric on the
share, from none to all rows; that slope less the reference group's; less that of a
placebo arm, in which rows without the attribute are drawn anew for each share; the
slope of the mean over groups, each with the same weight; and the slope of best minus
worst group. The metric of a checkpoint is the mean over the units that all checkpoints
scored. The share is the one that was drawn.

Unit of analysis: a checkpoint, of one stage and arm; n is their number. Errors,
degrees of freedom, and what an interval covers stand in `doseresponse_fit`: other
initialisations and other items of this kind, with five seeds or more other draws of
rows too, but no other base and no other data. Beside each slope stands the smallest one
that would have been found, uncorrected; not beside those of gaps, as two tests decide
on these.

Holm's correction is over all groups and treatment arms of a measure, in one family each
for slopes, slopes less the reference's and slopes less a placebo's; over arms for the
mean over groups and for best minus worst; placebos are corrected by themselves. Whether
a straight line fits, and whether seeds have one slope, is noted and not corrected.
Sweeps and stages are never pooled.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.doseresponse_data import Dosed
from analysis.doseresponse_lines import (
    lack_of_fit,
    seeds_interval,
    unequal_seeds,
)
from analysis.doseresponse_measures import Estimate, SweepMeasures
from analysis.paired import Interval
from analysis.records import Record, with_holm_in
from analysis.resample import Floats
from analysis.stages_data import Aligned


@dataclass(frozen=True, kw_only=True)
class ArmSlope:
    """A group in one arm."""

    arm: str
    slope: Estimate
    beyond: Estimate | None
    """Less the reference group's; None for the reference, or where there is none."""
    lack_of_fit: float | None
    """P-value of a straight line, uncorrected; None: too few shares or checkpoints."""
    unequal_seeds: float | None
    """P-value of one slope for all seeds, uncorrected; None: too few seeds or
    checkpoints."""
    by_seed: Interval | None
    """The mean slope of seeds with the t-interval over their own slopes; None: too few
    seeds."""


@dataclass(frozen=True, kw_only=True)
class Controlled:
    """A group's slope in a treatment less that in a placebo."""

    arm: str
    placebo: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class GroupDose:
    """One group through the shares, or the mean over some."""

    group: str | None
    """None: the mean."""
    codes: tuple[int, ...]
    """Places in `aligned.groups`: the group's own; of the mean, of all in it."""
    arms: tuple[ArmSlope, ...]
    """In the order of the sweep's arms."""
    controlled: tuple[Controlled, ...]

    def of(self, arm: str) -> ArmSlope:
        """The group in one of the arms."""
        return next(one for one in self.arms if one.arm == arm)


@dataclass(frozen=True, kw_only=True)
class GapSlope:
    """Best minus worst group in one arm."""

    arm: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class DoseMeasure:
    """One measure of one sweep."""

    dosed: Dosed
    arms: tuple[str, ...]
    """Arms with a slope, treatments first."""
    groups: tuple[GroupDose, ...]
    """In the order of `dosed.aligned.groups`, the reference first."""
    gaps: tuple[GapSlope, ...]
    mean: GroupDose | None
    """The mean over all groups that are large enough to be tested, each with the same
    weight; None: these are fewer than two, or ranks, whose mean is fixed."""

    @property
    def means(self) -> tuple[GroupDose, ...]:
        """The mean, where there is one."""
        return () if self.mean is None else (self.mean,)

    @property
    def lines(self) -> tuple[GroupDose, ...]:
        """The mean, where there is one, and every group."""
        return (*self.means, *self.groups)

    def levels(self, one: GroupDose) -> Floats:
        """What a line is fitted to, of each checkpoint."""
        return self.dosed.mean_levels(one.codes)

    def base(self, one: GroupDose) -> float | None:
        """The base's level on it; NaN: unknown. None: the base has no such measure."""
        base = self.dosed.base
        return None if base is None else base.over(one.codes)

    @property
    def aligned(self) -> Aligned:
        """The values behind it."""
        return self.dosed.aligned

    @property
    def treatments(self) -> tuple[str, ...]:
        """The arms that are no placebo."""
        return tuple(arm for arm in self.arms if not self.is_placebo(arm))

    @property
    def placebos(self) -> tuple[str, ...]:
        """The arms in which rows are drawn anew for each share, and nothing else."""
        return tuple(arm for arm in self.arms if self.is_placebo(arm))

    def is_placebo(self, arm: str) -> bool:
        """Whether an arm is to compare with."""
        return self.dosed.sweep.is_placebo(arm)

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """All of them."""
        slopes = [arm for one in self.lines for arm in one.arms]
        return (
            *(one.slope for one in slopes),
            *(one.beyond for one in slopes if one.beyond is not None),
            *(each.estimate for one in self.lines for each in one.controlled),
            *(one.estimate for one in self.gaps),
        )

    @functools.cached_property
    def tested(self) -> Counter[str | None]:
        """How many tests each family has."""
        records = [one.record for one in self.estimates]
        return Counter(one.family for one in records if one.p_value is not None)

    @property
    def records(self) -> tuple[Record, ...]:
        """Of every estimate, with the smallest that would have been found."""
        return tuple(
            record
            for one in self.estimates
            for record in (one.record, one.detectable)
            if record is not None
        )


def analyse_measure(dosed: Dosed, arms: Sequence[str]) -> DoseMeasure:
    """Slopes of one measure, with Holm's p.

    Args:
        dosed: The measure at every checkpoint.
        arms: Arms with at least three checkpoints at two shares, treatments first.
    """
    measures = SweepMeasures(dosed=dosed)
    averaged = measures.averaged()
    gaps = tuple(
        GapSlope(arm=arm, estimate=gap)
        for arm in arms
        if (gap := measures.gap(arm)) is not None
    )
    found = DoseMeasure(
        dosed=dosed,
        arms=tuple(arms),
        groups=tuple(
            _group(measures, arms, name, (code,))
            for code, name in enumerate(dosed.aligned.groups)
        ),
        gaps=gaps,
        mean=_group(measures, arms, None, averaged) if averaged else None,
    )
    return with_holm_in(found, [one.record for one in found.estimates])


def _group(
    measures: SweepMeasures,
    arms: Sequence[str],
    name: str | None,
    codes: tuple[int, ...],
) -> GroupDose:
    """A group in every arm, or the mean over several."""
    dosed = measures.dosed
    sweep, levels, over = dosed.sweep, dosed.mean_levels(codes), measures.over(codes)
    other = dosed.aligned.reference is not None and name is not None and codes != (0,)
    found = []
    for arm in arms:
        values, design = levels[dosed.places(arm)], dosed.design(arm)
        found.append(
            ArmSlope(
                arm=arm,
                slope=measures.slope(arm, over),
                beyond=measures.beyond(arm, codes[0]) if other else None,
                lack_of_fit=lack_of_fit(values, design),
                unequal_seeds=unequal_seeds(values, design),
                by_seed=seeds_interval(values, design),
            )
        )
    return GroupDose(
        group=name,
        codes=codes,
        arms=tuple(found),
        controlled=tuple(
            Controlled(
                arm=arm,
                placebo=placebo,
                estimate=measures.controlled(arm, placebo, over),
            )
            for arm in arms
            if not sweep.is_placebo(arm)
            for placebo in arms
            if sweep.is_placebo(placebo)
        ),
    )
