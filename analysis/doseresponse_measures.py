"""The slopes of one measure of one sweep, each as a record.

Estimands, units and assumptions stand in `doseresponse` and `doseresponse_fit`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.doseresponse_data import Dosed
from analysis.doseresponse_fit import Items, Slope, difference, items_of, slope
from analysis.doseresponse_gap import equal_slopes, gap_items
from analysis.doseresponse_lines import MIN_CHECKPOINTS
from analysis.paired import Interval, TTest
from analysis.records import Record
from analysis.resample import CI_LEVEL
from analysis.stages_data import Codes
from analysis.stages_measures import TOO_FEW_GROUPS, Cells, StageMeasures

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
