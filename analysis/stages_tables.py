"""Tables of stages: levels and changes of every group, and best minus worst."""

from __future__ import annotations

import pandas as pd

from analysis import columns as col
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
    OfAligned,
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
    rows = [
        (group_name(measure, one.group), stage, level, step)
        for one in measure.groups
        for stage, level, step in zip(
            stages, one.levels, (None, *one.steps), strict=True
        )
    ]
    changed = (
        f"Change from {stage_word(stages[0])}"
        if comparison.trained
        else "Difference from first"
    )
    less = None if reference is None else group_name(measure, reference)

    def changes(head: str, of: col.Of) -> tuple[col.Column, col.Column]:
        cell = (head, lambda row: change_cell(measure, of(row)))
        return cell, col.p("p (Holm)", lambda row: of(row) and p_of(of(row)))

    previous = changes("From the stage before", lambda row: row[3] and row[3].previous)
    beyond = changes(f"Less the change of {less}", lambda row: row[3] and row[3].beyond)
    return col.table(
        id=f"{prefix}-groups",
        title=f"{measure_title(measure)}, by {group_word(measure)}",
        note=_note(comparison, measure),
        columns=[
            col.text(group_word(measure).capitalize(), lambda row: row[0]),
            col.text(
                "Stage" if comparison.trained else "Model",
                lambda row: stage_name(row[1]),
            ),
            col.count("n", lambda row: row[2].n),
            (f"Level, {unit_words(measure)}", lambda row: _level_cell(measure, row[2])),
            *changes(
                f"{changed}, {unit_words(measure, change=True)}",
                lambda row: row[3] and row[3].change,
            ),
            *(previous if three else ()),
            *(beyond if reference is not None else ()),
        ],
        rows=rows,
        frame=measure.records,
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


def change_cell(measure: OfAligned, record: Record | None) -> Cell:
    """A change with its sign and interval, sorted by itself; a dash for none."""
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
