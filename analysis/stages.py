"""What each stage of training changed, and for whom: one measure of one lineage.

Estimands, of units (questions, games) like those at hand: the level of each group
(dialect, language, country) at each stage; its change from the base, and from the stage
before; its change less the reference group's; and the change of best minus worst group.
Only rows that every stage has scored are read, so that levels and changes add up.

Levels have Wilson's interval where values are 0 or 1 (of the effective number of units
where units are clustered), else a cluster-robust t interval. A change has a percentile
bootstrap interval over clusters, and a test: McNemar's by its mid-p where values are 0
or 1 and each unit is its own cluster, else the cluster-robust t-test. Changes less the
reference's are paired by unit where both groups have the same units, else two means
whose clusters may be the same. Best minus worst is tested by swapping stage labels
within units and by whether all groups changed alike (see `stages_tests.widening`), and
never read by an interval: in a sample it is above zero whatever is true. Where units
are of strata by design, such as questions that praise and blame, nothing that strata
differ by counts as noise.

Holm's correction is over all groups and later stages of a lineage and measure, in one
family each for changes from the base, from the stage before, and less the reference's;
over stages for best minus worst. Nothing is claimed otherwise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.paired import (
    MIN_CLUSTERS,
    TOO_FEW_CLUSTERS,
    Interval,
    TTest,
    bounded_by,
    clustered_share,
    varies,
    wilson,
)
from analysis.records import Origin, Record, record_of, with_holm_in
from analysis.resample import DRAWS, SEED, Floats, percentile_interval
from analysis.stages_data import Aligned, Codes
from analysis.stages_tests import (
    Widening,
    bootstrap_means,
    drawn_clusters,
    mcnemar_mid_p,
    paired_t,
    welch,
    widening,
)

ANALYSIS = "stages"
WILSON = "Wilson"
WILSON_CLUSTERS = "Wilson, of the effective number of units"
STUDENT = "Student's t, cluster-robust"
STUDENT_PAIRED = f"{STUDENT}, paired by unit"
STUDENT_TWO = "Student's t of two means, cluster-robust, Satterthwaite"
BOOTSTRAP = "percentile bootstrap over {}, unadjusted; p of {}"
ALIKE = "none: all changes are alike; p of {}"
CUT = "{}, cut at 0 and 1"
MID_P = "McNemar's mid-p"
T_TEST = "a cluster-robust t-test"
NO_SPREAD = "none: no spread"
NO_INTERVAL = "none: best minus worst is never read by an interval"
SWAPPED = (
    "none: the larger p of stage labels swapped within each {} and of equal changes of "
    "all groups"
)
CHANCE_ALONE = "none: mean size of the change under swapped stage labels"
TOO_FEW_UNITS = "none: fewer than {} units"
TOO_FEW_GROUPS = "not computed: fewer than two groups are large enough to be tested"


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Some rows of a measure, such as those of a group."""

    rows: Codes
    n: int
    """Units."""
    n_clusters: int

    @property
    def alone(self) -> bool:
        """Whether each unit is its own cluster."""
        return self.n_clusters == self.n

    @property
    def independent(self) -> str:
        """What is independent of each other."""
        return "unit" if self.alone else "cluster of units"

    @property
    def independents(self) -> str:
        """The same in the plural."""
        return "units" if self.alone else "clusters of units"


@dataclass(frozen=True, kw_only=True)
class StageMeasures:
    """Measures one measure of one lineage; stages are counted from 0, the base."""

    aligned: Aligned
    draws: int
    """Bootstrap draws, and permutations."""
    seed: int
    """Of both."""

    def cells(self, rows: Codes) -> Cells:
        """Rows with what they hold."""
        aligned = self.aligned
        return Cells(
            rows=rows,
            n=len(np.unique(aligned.unit[rows])),
            n_clusters=len(np.unique(aligned.cluster[rows])),
        )

    def groups(self) -> list[Cells]:
        """The rows of each group, in the order of `aligned.groups`."""
        order = np.argsort(self.aligned.group, kind="stable")
        ends = np.cumsum(np.bincount(self.aligned.group))[:-1]
        return [self.cells(rows) for rows in np.split(order, ends)]

    def intervals(self, place: int, earlier: int) -> list[tuple[float, float]]:
        """Bootstrap bounds of each group's change."""
        aligned = self.aligned
        counts = drawn_clusters(aligned.cluster, aligned.stratum, self.draws, self.seed)
        change = aligned.values[place] - aligned.values[earlier]
        means = bootstrap_means(change, aligned.group, aligned.cluster, counts)
        low, high = percentile_interval(means)
        return list(zip(low.tolist(), high.tolist(), strict=True))

    def too_few(self, cells: Cells) -> str | None:
        """Why a group is too small to be tested; None: it is not."""
        if cells.n_clusters < MIN_CLUSTERS:
            return TOO_FEW_CLUSTERS
        fewest = self.aligned.outcome.fewest
        return TOO_FEW_UNITS.format(fewest) if cells.n < fewest else None

    def level(self, place: int, cells: Cells, group: str) -> Record:
        """Mean of a group at a stage."""
        aligned = self.aligned
        values, clusters = aligned.values[place][cells.rows], self._clusters(cells)
        missing = TOO_FEW_CLUSTERS
        if aligned.binary and cells.alone:
            found, method = wilson(float(values.sum()), len(values)), WILSON
        elif cells.n_clusters < MIN_CLUSTERS:
            found, method = Interval(estimate=float(values.mean())), missing
        elif aligned.binary:
            found, method = (
                clustered_share(values, clusters),
                WILSON_CLUSTERS,
            )
        else:
            found, method, missing = self._test(values, cells).mean, STUDENT, NO_SPREAD
            if aligned.outcome.value_unit == "share":
                found = bounded_by(found, low=0.0, high=1.0)
                method = CUT.format(STUDENT)
        bounded = math.isfinite(found.low)
        return self._record(
            place, "", found, cells, group=group, method=method if bounded else missing
        )

    def change(
        self,
        place: int,
        earlier: int,
        cells: Cells,
        group: str,
        bounds: tuple[float, float],
    ) -> Record:
        """Mean change of a group between two stages, with `bounds`."""
        aligned = self.aligned
        changes = self._changes(place, cells, earlier)
        p_value: float | None = None
        low, high = math.nan, math.nan
        test = MID_P if aligned.binary and cells.alone else T_TEST
        method = self.too_few(cells)
        if method is None:
            p_value = (
                mcnemar_mid_p(changes)
                if test == MID_P
                else self._test(changes, cells).p_value
            )
            if p_value is None:
                method = NO_SPREAD
            elif not varies(changes):
                # Any draw is the sample over again, and says nothing of other units.
                method = ALIKE.format(test)
            else:
                method = BOOTSTRAP.format(cells.independents, test)
                low, high = bounds
        kind = "change" if earlier == 0 else "change_from_previous"
        return self._record(
            place,
            f"_{kind}",
            Interval(estimate=float(changes.mean()), low=low, high=high),
            cells,
            group=group,
            reference=aligned.measured[earlier].stage.model,
            method=method,
            p_value=p_value,
            family=f"{kind}: groups and stages",
        )

    def beyond(self, place: int, cells: Cells, reference: Cells, group: str) -> Record:
        """A group's change from the base less the reference group's.

        Paired by unit where both groups have the very same units, else the difference
        of two means, whose clusters may still be the same.
        """
        aligned = self.aligned
        few = self.too_few(cells) or self.too_few(reference)
        changes = self._changes(place, cells), self._changes(place, reference)
        units = aligned.unit[cells.rows], aligned.unit[reference.rows]
        own, others = (np.argsort(one) for one in units)
        if np.array_equal(units[0][own], units[1][others]):
            used, method = self.cells(cells.rows[own]), STUDENT_PAIRED
            differences = changes[0][own] - changes[1][others]
            test = self._test(differences, used)
        else:
            used = self.cells(np.concatenate([cells.rows, reference.rows]))
            method = STUDENT_TWO
            test = welch(*changes, (self._clusters(cells), self._clusters(reference)))
        found, p_value = test.mean, test.p_value
        if few is not None:
            found, p_value, method = Interval(estimate=found.estimate), None, few
        elif p_value is None:
            method = NO_SPREAD
        return self._record(
            place,
            "_change_minus_reference",
            found,
            used,
            group=group,
            reference=aligned.reference,
            method=method,
            p_value=p_value,
            family="change less the reference's: groups and stages",
        )

    def gap(self, place: int, kept: Sequence[Cells], every: Cells) -> Record:
        """Best minus worst group at a stage.

        Args:
            place: The stage.
            kept: The groups that are large enough to be either.
            every: The rows of these.
        """
        values = self.aligned.values[place]
        enough = len(kept) >= 2
        return self._record(
            place,
            "_disparity",
            Interval(
                estimate=float(np.ptp([values[one.rows].mean() for one in kept]))
                if enough
                else math.nan
            ),
            every,
            method=NO_INTERVAL if enough else TOO_FEW_GROUPS,
        )

    def gap_change(
        self, place: int, kept: Sequence[Cells], every: Cells
    ) -> tuple[Record, Record]:
        """Change of best minus worst from the base, and what chance alone gives."""
        aligned = self.aligned
        found: Widening = widening(
            aligned.values[0][every.rows],
            aligned.values[place][every.rows],
            np.repeat(np.arange(len(kept)), [len(one.rows) for one in kept]),
            np.unique(self._clusters(every), return_inverse=True)[1],
            np.unique(aligned.stratum[every.rows], return_inverse=True)[1],
            draws=self.draws,
            seed=self.seed,
        )
        base = aligned.measured[0].stage.model
        change = self._record(
            place,
            "_disparity_change",
            Interval(estimate=found.change),
            every,
            reference=base,
            method=SWAPPED.format(every.independent),
            p_value=found.p_value,
            family="change of best minus worst: stages",
        )
        permuted = self._record(
            place,
            "_disparity_change_permuted",
            Interval(estimate=found.permuted),
            every,
            reference=base,
            method=CHANCE_ALONE,
            family="change of best minus worst: stages",
        )
        return change, permuted

    def _test(self, values: Floats, cells: Cells) -> TTest:
        """Of a mean over the rows of `cells`."""
        strata = self.aligned.stratum[cells.rows]
        return paired_t(values, self._clusters(cells), strata)

    def _clusters(self, cells: Cells) -> Codes:
        return self.aligned.cluster[cells.rows]

    def _changes(self, place: int, cells: Cells, earlier: int = 0) -> Floats:
        values = self.aligned.values
        return values[place][cells.rows] - values[earlier][cells.rows]

    def _record(
        self,
        place: int,
        suffix: str,
        value: Interval,
        cells: Cells,
        *,
        group: str | None = None,
        reference: str | None = None,
        method: str | None = None,
        p_value: float | None = None,
        family: str = "levels",
    ) -> Record:
        aligned, outcome = self.aligned, self.aligned.outcome
        measured = aligned.measured[place]
        found = record_of(
            Origin(probe=measured.probe, model=measured.stage.model, name=measured.run),
            value,
            analysis=ANALYSIS,
            metric=f"{outcome.name}{suffix}",
            unit=outcome.value_unit,
            group=group,
            reference=reference,
            method=method,
            missing=method,
            cluster=cells.independent,
            p_value=p_value,
            n=cells.n,
            n_clusters=cells.n_clusters,
        )
        # Levels too say whose they are: lineages are held to units of their own.
        scope = f"{aligned.lineage}, {aligned.measured[0].probe}, {outcome.name}"
        return dataclasses.replace(found, family=f"{scope}, {family}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A later stage of a group against the earlier ones."""

    place: int
    """Of the stage in the lineage, from 1."""
    change: Record
    """From the base."""
    previous: Record | None
    """From the stage before; None: that is the base, or there is none."""
    beyond: Record | None
    """The change from the base less the reference group's; None for the reference, or
    where there is none."""


@dataclass(frozen=True, kw_only=True)
class GroupResult:
    """One group through the stages."""

    group: str
    levels: tuple[Record, ...]
    """One per stage."""
    steps: tuple[Step, ...]
    """One per stage after the base."""


@dataclass(frozen=True, kw_only=True)
class GapStep:
    """Best minus worst group of a later stage against the base."""

    place: int
    change: Record
    permuted: Record
    """What chance alone gives."""


@dataclass(frozen=True, kw_only=True)
class MeasureResult:
    """One measure through the stages of a lineage."""

    aligned: Aligned
    groups: tuple[GroupResult, ...]
    """In the order of `aligned.groups`."""
    gaps: tuple[Record, ...]
    """Best minus worst group, one per stage; empty for a single group."""
    gap_steps: tuple[GapStep, ...]

    @property
    def records(self) -> tuple[Record, ...]:
        """All of them."""
        steps = [step for one in self.groups for step in one.steps]
        optional = [one for s in steps for one in (s.previous, s.beyond) if one]
        return (
            *(level for one in self.groups for level in one.levels),
            *(step.change for step in steps),
            *optional,
            *self.gaps,
            *(one for step in self.gap_steps for one in (step.change, step.permuted)),
        )


def analyse_stages(
    aligned: Aligned, *, draws: int = DRAWS, seed: int = SEED, trained: bool = True
) -> MeasureResult:
    """Levels, changes and their tests.

    Args:
        aligned: One measure of the stages of a lineage.
        draws: Bootstrap draws, and permutations.
        seed: Of both.
        trained: Whether each stage was made from the one before, so that the change
            from that one means something.
    """
    measures = StageMeasures(aligned=aligned, draws=draws, seed=seed)
    cells = measures.groups()
    later = range(1, len(aligned.values))
    intervals = {
        (place, earlier): measures.intervals(place, earlier)
        for place in later
        for earlier in {0, place - 1}
    }

    def change(place: int, earlier: int, code: int) -> Record:
        name, bounds = aligned.groups[code], intervals[place, earlier][code]
        return measures.change(place, earlier, cells[code], name, bounds)

    def step(place: int, code: int) -> Step:
        has_reference = aligned.reference is not None and code > 0
        return Step(
            place=place,
            change=change(place, 0, code),
            previous=change(place, place - 1, code) if trained and place > 1 else None,
            beyond=measures.beyond(place, cells[code], cells[0], aligned.groups[code])
            if has_reference
            else None,
        )

    gaps, gap_steps = _gaps(measures, cells)
    found = MeasureResult(
        aligned=aligned,
        groups=tuple(
            GroupResult(
                group=name,
                levels=tuple(
                    measures.level(place, cells[code], name)
                    for place in range(len(aligned.values))
                ),
                steps=tuple(step(place, code) for place in later),
            )
            for code, name in enumerate(aligned.groups)
        ),
        gaps=gaps,
        gap_steps=gap_steps,
    )
    return with_holm_in(found, found.records)


def _gaps(
    measures: StageMeasures, cells: list[Cells]
) -> tuple[tuple[Record, ...], tuple[GapStep, ...]]:
    """Best minus worst of the groups that are large enough to be either."""
    if len(cells) < 2:
        return (), ()
    kept = [one for one in cells if measures.too_few(one) is None]
    every = measures.cells(
        np.concatenate([one.rows for one in kept] or [np.empty(0, dtype=np.intp)])
    )
    places = range(len(measures.aligned.values))
    gaps = tuple(measures.gap(place, kept, every) for place in places)
    if len(kept) < 2:
        return gaps, ()
    steps = []
    for place in places[1:]:
        change, permuted = measures.gap_change(place, kept, every)
        steps.append(GapStep(place=place, change=change, permuted=permuted))
    return gaps, tuple(steps)
