"""The numbers of one measure of one lineage, each as a record.

Estimands, units and assumptions stand in `stages`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.paired import (
    MIN_CLUSTERS,
    TOO_FEW_CLUSTERS,
    Interval,
    clustered_share,
    shared_counts,
    wilson,
)
from analysis.records import Record
from analysis.resample import CI_LEVEL, Floats, percentile_interval
from analysis.stages_data import Aligned, Codes
from analysis.stages_tests import (
    Widening,
    bootstrap_means,
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
MID_P = "McNemar's mid-p"
T_TEST = "a cluster-robust t-test"
NO_SPREAD = "none: no spread"
NO_INTERVAL = "none: best minus worst is never read by an interval"
SWAPPED = "none: p of stage labels swapped within each {}"
CHANCE_ALONE = "none: mean size of the change under swapped stage labels"
TOO_FEW_GROUPS = f"not computed: fewer than two groups of {MIN_CLUSTERS} units"


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
        counts = shared_counts(int(aligned.cluster.max()) + 1, self.draws, self.seed)
        change = aligned.values[place] - aligned.values[earlier]
        means = bootstrap_means(change, aligned.group, aligned.cluster, counts)
        low, high = percentile_interval(means)
        return list(zip(low.tolist(), high.tolist(), strict=True))

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
            found, method = paired_t(values, clusters).mean, STUDENT
            missing = NO_SPREAD
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
        test = MID_P if aligned.binary and cells.alone else T_TEST
        if cells.n_clusters < MIN_CLUSTERS:
            method = TOO_FEW_CLUSTERS
        else:
            p_value = (
                mcnemar_mid_p(changes)
                if test == MID_P
                else paired_t(changes, self._clusters(cells)).p_value
            )
            tested = BOOTSTRAP.format(cells.independents, test)
            method = NO_SPREAD if p_value is None else tested
        low, high = (math.nan, math.nan) if p_value is None else bounds
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
        """A group's change from the base less the reference group's."""
        aligned = self.aligned
        if aligned.crossed:
            of_reference = np.full(int(aligned.unit.max()) + 1, np.nan)
            of_reference[aligned.unit[reference.rows]] = self._changes(place, reference)
            differences = (
                self._changes(place, cells) - of_reference[aligned.unit[cells.rows]]
            )
            both = np.isfinite(differences)
            used = self.cells(cells.rows[both])
            few, method = used.n_clusters, STUDENT_PAIRED
            if used.n:
                test = paired_t(differences[both], self._clusters(used))
                found, p_value = test.mean, test.p_value
            else:
                found, p_value = Interval(estimate=math.nan), None
        else:
            used = self.cells(np.concatenate([cells.rows, reference.rows]))
            few = min(cells.n_clusters, reference.n_clusters)
            test = welch(
                self._changes(place, cells),
                self._changes(place, reference),
                (self._clusters(cells), self._clusters(reference)),
            )
            found, p_value, method = test.mean, test.p_value, STUDENT_TWO
        if p_value is None:
            method = TOO_FEW_CLUSTERS if few < MIN_CLUSTERS else NO_SPREAD
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
        )
        return change, permuted

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
        family: str = "",
    ) -> Record:
        aligned, outcome = self.aligned, self.aligned.outcome
        measured = aligned.measured[place]
        bounded = math.isfinite(value.low) and math.isfinite(value.high)
        scope = f"{aligned.lineage}, {aligned.measured[0].probe}, {outcome.name}"
        return Record(
            analysis=ANALYSIS,
            probe=measured.probe,
            model=measured.stage.model,
            run=measured.run,
            metric=f"{outcome.name}{suffix}",
            unit=outcome.value_unit,
            group=group,
            reference=reference,
            estimate=value.estimate if math.isfinite(value.estimate) else None,
            ci_low=value.low if bounded else None,
            ci_high=value.high if bounded else None,
            ci_level=CI_LEVEL if bounded else None,
            ci_method=method,
            cluster=cells.independent,
            p_value=p_value,
            p_holm=None,
            family=None if p_value is None else f"{scope}, {family}",
            n=cells.n,
            n_clusters=cells.n_clusters,
        )
