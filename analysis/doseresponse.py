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
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.doseresponse_data import Dosed
from analysis.doseresponse_fit import (
    MIN_CHECKPOINTS,
    Items,
    Slope,
    difference,
    equal_slopes,
    gap_items,
    items_of,
    lack_of_fit,
    seeds_interval,
    slope,
    unequal_seeds,
)
from analysis.paired import Interval, TTest
from analysis.records import Record, with_holm_in
from analysis.resample import CI_LEVEL, Floats
from analysis.stages import TOO_FEW_GROUPS, Cells, StageMeasures
from analysis.stages_data import Aligned, Codes

ANALYSIS = "doseresponse"
METHOD = (
    "Student's t over checkpoints ({}) and clusters of units (jackknife), Satterthwaite"
)
NO_SPREAD = "none: no scatter between checkpoints"
NO_FREEDOM = "none: no checkpoint is left to tell scatter by"
FEW_CHECKPOINTS = f"none: fewer than {MIN_CHECKPOINTS} checkpoints"
UNEQUAL = 0.1
"""P-value of equal slopes of seeds below which a slope that takes them as equal is
called uncertain: with few seeds the test finds little."""
NOT_TESTED = "smallest slope found with a power of 80% at 5% two-sided, uncorrected"
GAP_TEST = "{}; p is the larger of that of the gap's slope and of equal slopes"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A slope or a difference of slopes."""

    record: Record
    detectable: Record | None
    """Smallest one that would have been found; None: nothing was tested, or by two
    tests at once, as gaps are."""
    slope: Slope

    @property
    def doubtful(self) -> bool:
        """Whether the interval takes slopes of seeds as equal that may well differ."""
        return self.slope.unequal is not None and self.slope.unequal < UNEQUAL


@dataclass(frozen=True, kw_only=True, eq=False)
class Over:
    """What a slope is of: a group, or the mean over several."""

    codes: tuple[int, ...]
    items: Items
    cells: Cells

    @property
    def group(self) -> int | None:
        """The group; None: the mean."""
        return self.codes[0] if len(self.codes) == 1 else None


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepMeasures:
    """Measures one measure of one sweep."""

    dosed: Dosed

    @functools.cached_property
    def stage(self) -> StageMeasures:
        """Groups and what is too small to be tested, as for stages of training."""
        return StageMeasures(aligned=self.dosed.aligned, draws=0, seed=0)

    @functools.cached_property
    def cells(self) -> list[Cells]:
        """The rows of each group."""
        return self.stage.groups()

    @functools.cached_property
    def items(self) -> list[Items]:
        """Of each group, over all checkpoints."""
        return [self._items([(1.0, one.rows)]) for one in self.cells]

    @functools.cached_property
    def kept(self) -> list[int]:
        """The groups that are large enough to be tested."""
        return [
            code for code, one in enumerate(self.cells) if not self.stage.too_few(one)
        ]

    def averaged(self) -> tuple[int, ...]:
        """Groups of which a mean is taken; none where it says nothing."""
        if len(self.kept) < 2 or self.dosed.outcome.value_unit == "rank":
            return ()
        return tuple(self.kept)

    def over(self, codes: tuple[int, ...]) -> Over:
        """A group, or the mean over several, each with the same weight."""
        if len(codes) == 1:
            [code] = codes
            return Over(codes=codes, items=self.items[code], cells=self.cells[code])
        cells = [self.cells[code] for code in codes]
        return Over(
            codes=codes,
            items=self._items([(1 / len(codes), one.rows) for one in cells]),
            cells=self._together(cells),
        )

    def slope(self, arm: str, over: Over) -> Estimate:
        """The slope of a group, or of the mean over several, in an arm."""
        mean = over.group is None
        return self._estimate(
            slope(self._at(arm, over.items), self.dosed.design(arm)),
            arm,
            "mean_slope" if mean else "slope",
            over.cells,
            few=self._few(arm, *over.codes),
            group=over.group,
            family=self._family(
                arm, "slopes of the mean: arms" if mean else "slopes: groups"
            ),
        )

    def beyond(self, arm: str, code: int) -> Estimate:
        """A group's slope less the reference group's, from the difference of both."""
        cells = self.cells[code], self.cells[0]
        both = self._items([(1.0, cells[0].rows), (-1.0, cells[1].rows)])
        return self._estimate(
            slope(self._at(arm, both), self.dosed.design(arm)),
            arm,
            "slope_minus_reference",
            self._together(cells),
            few=self._few(arm, code, 0),
            group=code,
            reference=self.dosed.aligned.reference,
            family=self._family(arm, "slopes less the reference's: groups"),
        )

    def controlled(self, arm: str, placebo: str, over: Over) -> Estimate:
        """The slope as in `slope`, in a treatment less that in a placebo.

        The arms share no row, so that it is the difference of two independent slopes:
        variances add.
        """
        mean = over.group is None
        signed = ((1.0, arm), (-1.0, placebo))
        found = difference(
            [
                (sign, self._at(one, over.items), self.dosed.design(one))
                for sign, one in signed
            ]
        )
        what = f"slopes of the mean less those of {placebo}: arms"
        return self._estimate(
            found,
            arm,
            "mean_slope_minus_placebo" if mean else "slope_minus_placebo",
            over.cells,
            few=self._few(arm, *over.codes) or self._few(placebo, *over.codes),
            group=over.group,
            reference=placebo,
            n=len(self.dosed.places(arm)) + len(self.dosed.places(placebo)),
            family=what if mean else f"slopes less those of {placebo}: groups and arms",
        )

    def gap(self, arm: str) -> Estimate | None:
        """The slope of best minus worst group; None: there are no two groups."""
        kept = self.kept
        if len(self.cells) < 2:
            return None
        if len(kept) < 2:
            return self._estimate(
                Slope(
                    test=TTest(mean=_nothing(), t=math.nan, p_value=None),
                    checkpoints=math.nan,
                    items=math.nan,
                    method="",
                ),
                arm,
                "disparity_slope",
                self._together(self.cells),
                few=TOO_FEW_GROUPS,
                family=self._family(arm, "slopes of best minus worst: arms"),
            )
        aligned, design = self.dosed.aligned, self.dosed.design(arm)
        rows = [self.cells[code].rows for code in kept]
        every = gap_items(aligned.values, rows, aligned.cluster, aligned.stratum)
        equal = equal_slopes([self._at(arm, self.items[code]) for code in kept], design)
        return self._estimate(
            slope(self._at(arm, every), design),
            arm,
            "disparity_slope",
            self._together([self.cells[code] for code in kept]),
            few=self._few(arm),
            family=self._family(arm, "slopes of best minus worst: arms"),
            at_least=equal,
        )

    def _family(self, arm: str, what: str) -> str:
        """Treatments are corrected together, placebos by themselves."""
        kind = "placebo " if self.dosed.sweep.is_placebo(arm) else ""
        return f"{kind}{what}" + ("" if what.endswith("arms") else " and arms")

    def _at(self, arm: str, items: Items) -> Items:
        return items.of(self.dosed.places(arm))

    def _items(self, groups: Sequence[tuple[float, Codes]]) -> Items:
        aligned = self.dosed.aligned
        return items_of(aligned.values, groups, aligned.cluster, aligned.stratum)

    def _together(self, cells: Sequence[Cells]) -> Cells:
        return self.stage.cells(np.concatenate([one.rows for one in cells]))

    def _few(self, arm: str, *codes: int) -> str | None:
        """Why there is no test; None: there is one."""
        design = self.dosed.design(arm)
        if len(design.share) < MIN_CHECKPOINTS:
            return FEW_CHECKPOINTS
        if design.freedom < 1:
            return NO_FREEDOM
        found = [self.stage.too_few(self.cells[code]) for code in codes]
        return next((why for why in found if why is not None), None)

    def _estimate(
        self,
        found: Slope,
        arm: str,
        metric: str,
        cells: Cells,
        *,
        few: str | None,
        family: str,
        group: int | None = None,
        reference: str | None = None,
        n: int | None = None,
        at_least: float | None = None,
    ) -> Estimate:
        dosed, outcome = self.dosed, self.dosed.outcome
        test = found.test
        tested = few is None and test.p_value is not None
        method = METHOD.format(found.method)
        p_value = test.p_value if tested else None
        if at_least is not None and p_value is not None:
            p_value, method = max(p_value, at_least), GAP_TEST.format(method)
        estimate = test.mean.estimate
        checkpoints = len(dosed.places(arm)) if n is None else n
        record = Record(
            analysis=ANALYSIS,
            probe=dosed.probe,
            model=f"{dosed.sweep.title}, {arm}",
            run=f"{dosed.probe}/{dosed.sweep.name}",
            metric=f"{outcome.name}_{metric}",
            unit=f"{outcome.value_unit} per 100 points",
            group=None if group is None else dosed.aligned.groups[group],
            reference=reference,
            estimate=estimate if math.isfinite(estimate) else None,
            ci_low=test.mean.low if tested else None,
            ci_high=test.mean.high if tested else None,
            ci_level=CI_LEVEL if tested else None,
            ci_method=method if tested else few or NO_SPREAD,
            cluster=f"checkpoint and {cells.independent}",
            p_value=p_value,
            p_holm=None,
            family=f"{dosed.sweep.title}, {dosed.probe}, {outcome.name}, {family}",
            n=checkpoints,
            n_clusters=min(checkpoints, cells.n_clusters),
        )
        return Estimate(
            record=record,
            detectable=self._detectable(record, found)
            if tested and at_least is None
            else None,
            slope=found,
        )

    @staticmethod
    def _detectable(record: Record, found: Slope) -> Record | None:
        """The same record with the smallest slope that would have been found."""
        if found.detectable is None:
            return None
        values = record.to_json() | {
            "metric": f"{record.metric}_detectable",
            "estimate": found.detectable,
            "ci_low": None,
            "ci_high": None,
            "ci_level": None,
            "ci_method": f"none: {NOT_TESTED}",
            "p_value": None,
            "family": None,
        }
        return Record.from_json(values)


def _nothing() -> Interval:
    return Interval(estimate=math.nan)


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
