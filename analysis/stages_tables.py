"""Tables of stages: levels and changes of every group, and best minus worst."""

from __future__ import annotations

import pandas as pd

from analysis.html import (
    Cell,
    Table,
    join_words,
    number_cell,
    p_cell,
    text_cell,
    with_interval,
)
from analysis.records import Record
from analysis.stages import MeasureResult
from analysis.stages_runs import Comparison
from analysis.stages_words import (
    FEW_GROUPS,
    beside_words,
    bounds,
    digits_of,
    group_name,
    group_word,
    is_share,
    measure_title,
    shown,
    signed,
    stage_name,
    stage_word,
    unit_words,
)
from analysis.wording import count_of, p_of


def group_table(comparison: Comparison, measure: MeasureResult, prefix: str) -> Table:
    """A row per group and stage: its level, its change, and that less the reference's.

    The csv file holds every record of the measure.
    """
    aligned = measure.aligned
    reference = aligned.reference
    stages = [one.stage for one in aligned.measured]
    three = len(stages) > 2 and comparison.trained
    rows = []
    for one in measure.groups:
        name = group_name(measure, one.group)
        for place, (stage, level) in enumerate(zip(stages, one.levels, strict=True)):
            step = one.steps[place - 1] if place else None
            change = None if step is None else step.change
            beyond = None if step is None else step.beyond
            previous = None if step is None else step.previous
            rows.append(
                (
                    text_cell(name),
                    text_cell(stage_name(stage)),
                    number_cell(level.n, 0),
                    _level_cell(measure, level),
                    _change_cell(measure, change),
                    p_cell(None if change is None else p_of(change)),
                    *(
                        (
                            _change_cell(measure, previous),
                            p_cell(None if previous is None else p_of(previous)),
                        )
                        if three
                        else ()
                    ),
                    *(
                        (
                            _change_cell(measure, beyond),
                            p_cell(None if beyond is None else p_of(beyond)),
                        )
                        if reference is not None
                        else ()
                    ),
                )
            )
    unit = unit_words(measure)
    changed = (
        f"Change from {stage_word(stages[0])}"
        if comparison.trained
        else "Difference from first"
    )
    less = None if reference is None else group_name(measure, reference)
    return Table(
        id=f"{prefix}-groups",
        title=f"{measure_title(measure)}, by {group_word(measure)}",
        note=_note(comparison, measure),
        header=(
            group_word(measure).capitalize(),
            "Stage" if comparison.trained else "Model",
            "n",
            f"Level, {unit}",
            f"{changed}, {unit_words(measure, change=True)}",
            "p (Holm)",
            *(("From the stage before", "p (Holm)") if three else ()),
            *((f"Less the change of {less}", "p (Holm)") if less else ()),
        ),
        rows=tuple(rows),
        frame=pd.DataFrame([record.to_json() for record in measure.records]),
        folded=len(measure.groups) > FEW_GROUPS,
        sortable=True,
    )


def _note(comparison: Comparison, measure: MeasureResult) -> str:
    aligned = measure.aligned
    text = (
        "In brackets 95% intervals. p is Holm's over every "
        f"{group_word(measure)} and later "
        f"{'stage' if comparison.trained else 'model'} of the column."
    )
    lost = [
        f"{stage_name(one.stage)} {count_of(n, 'scored value')}"
        for one, n in zip(aligned.measured, aligned.left_out, strict=True)
        if n
    ]
    if beside := beside_words(measure):
        text += f" {beside}"
    if lost:
        text += f" Left out, as not all have them: of {join_words(lost)}."
    if aligned.lacking:
        names = [group_name(measure, one) for one in aligned.lacking[:6]]
        more = len(aligned.lacking) - len(names)
        shown_names = [*names, f"{more} more"] if more else names
        text += f" Without a value that all have: {join_words(shown_names)}."
    return text


def _level_cell(measure: MeasureResult, record: Record) -> Cell:
    return with_interval(
        number_cell(shown(measure, record.estimate), digits_of(measure)),
        bounds(measure, record),
    )


def _change_cell(measure: MeasureResult, record: Record | None) -> Cell:
    if record is None or record.estimate is None:
        return number_cell(None)
    return with_interval(
        Cell(text=signed(measure, record.estimate), sort=record.estimate, numeric=True),
        bounds(measure, record),
    )


def gap_table(comparison: Comparison, prefix: str) -> Table | None:
    """Best minus worst group of every measure; None: there are no two groups."""
    rows = []
    records: list[Record] = []
    for measure in comparison.measures:
        if not measure.gap_steps:
            continue
        records += measure.gaps
        stages = [one.stage for one in measure.aligned.measured]
        digits = digits_of(measure)
        steps = {step.place: step for step in measure.gap_steps}
        for place, (stage, gap) in enumerate(zip(stages, measure.gaps, strict=True)):
            step = steps.get(place)
            if step is not None:
                records += [step.change, step.permuted]
            rows.append(
                (
                    text_cell(measure_title(measure)),
                    text_cell(stage_name(stage)),
                    number_cell(shown(measure, gap.estimate), digits),
                    number_cell(None)
                    if step is None
                    else Cell(
                        text=signed(measure, step.change.estimate),
                        sort=step.change.estimate,
                        numeric=True,
                    ),
                    number_cell(
                        None
                        if step is None
                        else shown(measure, step.permuted.estimate),
                        digits,
                    ),
                    p_cell(None if step is None else p_of(step.change)),
                )
            )
    if not rows:
        return None
    shares = any(is_share(one) for one in comparison.measures if one.gap_steps)
    return Table(
        id=f"{prefix}-gaps",
        title="Highest less lowest group",
        note=("Shares in points. " if shares else "")
        + "A gap is above zero in any sample, so its change is read against swapped "
        "labels: earlier and later values of a unit change places at random. Chance: "
        "mean size of the change that this alone gives. Levels that rise or fall alike "
        "in all groups can change the gap by more than that, so the groups must also "
        "be shown to have changed unequally; p is the larger of the two.",
        header=(
            "Measure",
            "Stage" if comparison.trained else "Model",
            "Gap",
            "Change",
            "Chance",
            "p (Holm)",
        ),
        rows=tuple(rows),
        frame=pd.DataFrame([record.to_json() for record in records]),
    )
