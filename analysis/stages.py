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

from dataclasses import dataclass

import numpy as np

from analysis.records import Record, with_holm_in
from analysis.resample import DRAWS, SEED
from analysis.stages_data import Aligned
from analysis.stages_measures import Cells, StageMeasures


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
