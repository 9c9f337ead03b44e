"""Tables of sweeps: slopes and levels of every group, and best minus worst."""

from __future__ import annotations

import pandas as pd

from analysis import columns as col
from analysis.doseresponse import ArmSlope, DoseMeasure, GroupDose
from analysis.doseresponse_measures import Estimate
from analysis.doseresponse_overview import share_cell
from analysis.doseresponse_runs import SweepProbe
from analysis.doseresponse_words import beyond_shares, drawn_lines, line_name
from analysis.html import (
    Cell,
    Table,
    number_cell,
    text_cell,
)
from analysis.records import Record
from analysis.stages_tables import change_cell
from analysis.stages_words import (
    FEW_GROUPS,
    beside_words,
    digits_of,
    group_name,
    group_word,
    level_text,
    measure_title,
    shown,
    unit_words,
)
from analysis.wording import p_of

Row = tuple[GroupDose, str, ArmSlope]
"""Of a table of slopes: a line in an arm."""


def slope_table(measure: DoseMeasure, prefix: str) -> Table:
    """A row per arm of the mean and of each group; the csv file holds every record."""
    reference = measure.aligned.reference
    placebos, dosed, digits = measure.placebos, measure.dosed, digits_of(measure)
    rows = [(one, arm, one.of(arm)) for one in measure.lines for arm in measure.arms]
    unit = unit_words(measure, change=True)
    less = None if reference is None else group_name(measure, reference)
    base = col.number(
        f"Base, {unit_words(measure)}",
        lambda row: shown(measure, measure.base(row[0])),
        digits,
    )

    def seen(row: Row) -> float | None:
        least = row[2].slope.detectable
        return None if least is None else shown(measure, least.estimate)

    def by_seed(row: Row) -> tuple[float | None, float | None]:
        found = row[2].by_seed
        ends = (None, None) if found is None else (found.low, found.high)
        return shown(measure, ends[0]), shown(measure, ends[1])

    def controlled(row: Row, placebo: str) -> Estimate | None:
        return next(
            (
                each.estimate
                for each in row[0].controlled
                if (each.arm, each.placebo) == (row[1], placebo)
            ),
            None,
        )

    def tested(head: str, of: col.Of) -> tuple[col.Column, col.Column]:
        return _tested(measure, head, of)

    beyond = tested(f"Less slope of {less}", lambda row: row[2].beyond)
    return col.table(
        id=f"{prefix}-slopes",
        title=f"Slopes: {measure_title(measure)}",
        note=f"{unit[:1].upper()}{unit[1:]} per 100 points of the share, with 95% "
        "intervals over other trainings and other items. p is Holm's over every "
        f"{group_word(measure)} and treatment of the column, or of the placebos"
        f"{mean_words(measure)}. Could "
        "have seen: the smallest slope found with a power of 80% at 5%, uncorrected. "
        "By seed: the 95% t-interval over the slopes of seeds, of three or more. "
        "Straight: p of a straight line; seeds alike: p of one slope for all seeds; "
        "both uncorrected. "
        f"{beyond_shares(dosed.sweep)}{beside_words_alike(measure)}",
        columns=[
            col.text(
                group_word(measure).capitalize(), lambda row: line_name(measure, row[0])
            ),
            col.text("Arm", lambda row: row[1]),
            *([base] if dosed.base is not None else []),
            *tested("Slope", lambda row: row[2].slope),
            col.number("Could have seen", seen, digits),
            col.interval("By seed", by_seed, digits),
            *(beyond if reference is not None else ()),
            *(
                column
                for placebo in placebos
                for column in tested(
                    f"Less {placebo}",
                    lambda row, placebo=placebo: controlled(row, placebo),
                )
            ),
            col.p("Straight", lambda row: row[2].lack_of_fit),
            col.p("Seeds alike", lambda row: row[2].unequal_seeds),
        ],
        rows=rows,
        frame=measure.records,
        folded=len(measure.groups) > FEW_GROUPS,
        sortable=True,
    )


def mean_words(measure: DoseMeasure) -> str:
    """What the mean is and that it is corrected by itself, as a clause; or nothing."""
    if measure.mean is None:
        return ""
    return (
        f"; that of the mean, in which every {group_word(measure)} counts alike, is "
        "over treatments"
    )


def beside_words_alike(measure: DoseMeasure) -> str:
    """What must be read beside every level, where it is the same of all."""
    return "" if measure.dosed.beside else beside_words(measure)


def _tested(
    measure: DoseMeasure, head: str, of: col.Of
) -> tuple[col.Column, col.Column]:
    """An estimate with its interval, and its p; a dash where there is none."""

    def record(row: object) -> Record | None:
        return None if of(row) is None else of(row).record

    return (
        (head, lambda row: change_cell(measure, record(row))),
        col.p("p (Holm)", lambda row: _p(record(row))),
    )


def _p(record: Record | None) -> float | None:
    return None if record is None or record.estimate is None else p_of(record)


def level_table(measure: DoseMeasure, prefix: str) -> Table:
    """The metric of every checkpoint: what the slopes are fitted to."""
    dosed, outcome = measure.dosed, measure.aligned.outcome
    groups, drawn = measure.aligned.groups, drawn_lines(measure)
    levels = [measure.levels(one) for one in drawn]
    rows = []
    others = dosed.no_checkpoints
    for level in others:
        cells = [text_cell(level_text(measure, level.over(one.codes))) for one in drawn]
        if dosed.beside:
            cells.append(text_cell(level.beside))
        name = "base" if level is dosed.base else level.model
        rows.append((text_cell(name), *[text_cell(None)] * 2, *cells))
    for place, one in enumerate(dosed.checkpoints):
        rows.append(
            (
                text_cell(one.training.arm),
                share_cell(one),
                number_cell(one.training.seed, 0),
                *(
                    Cell(
                        text=level_text(measure, float(each[place])),
                        sort=float(each[place]),
                        numeric=True,
                    )
                    for each in levels
                ),
                *([text_cell(dosed.beside[place])] if dosed.beside else []),
            )
        )
    frame = pd.DataFrame(
        [
            {
                "model": one.model,
                "arm": one.training.arm,
                "share": one.share,
                "drawn_share": one.training.drawn_share,
                "seed": one.training.seed,
                "metric": outcome.name,
                "unit": outcome.value_unit,
                "group": group,
                "value": float(dosed.levels[place, code]),
                "beside": measured.outcome.beside,
            }
            for place, (one, measured) in enumerate(
                zip(dosed.checkpoints, measure.aligned.measured, strict=True)
            )
            for code, group in enumerate(groups)
        ]
        + [
            {
                "model": level.model,
                "metric": outcome.name,
                "unit": outcome.value_unit,
                "group": group,
                "value": level.means[code],
                "beside": level.beside,
            }
            for level in others
            for code, group in enumerate(groups)
        ]
    )
    return Table(
        id=f"{prefix}-levels",
        title=f"Levels: {measure_title(measure)}",
        note="Means over the units that all checkpoints have scored, which the slopes "
        "are fitted to"
        + "; without share and seed, of models that are no checkpoint, whose intervals "
        "are in reports of their own"
        * bool(others)
        + ". The csv file has every group, and what must be read beside a checkpoint's "
        "levels.",
        header=(
            "Arm",
            "Share",
            "Seed",
            *(line_name(measure, one) for one in drawn),
            *(["To be read beside it"] if dosed.beside else []),
        ),
        rows=tuple(rows),
        frame=frame,
        folded=True,
        sortable=True,
    )


def gap_table(part: SweepProbe, prefix: str) -> Table | None:
    """Best minus worst group of every measure; None: there are no two groups."""
    rows = [(measure, one) for measure in part.measures for one in measure.gaps]
    if not rows:
        return None
    return col.table(
        id=f"{prefix}-gaps",
        title="Slope of the highest less the lowest group",
        note="Per 100 points of the share; shares in points. A gap is above zero in "
        "any sample, and levels that rise or fall alike in all groups can move it, so "
        "the groups must also be shown to have unequal slopes: p is the larger of the "
        "two, and can be large where the interval leaves zero out. What could have "
        "been seen is not known, as two tests decide.",
        columns=[
            col.text("Measure", lambda row: measure_title(row[0])),
            col.text("Arm", lambda row: row[1].arm),
            (
                "Slope of the gap",
                lambda row: change_cell(row[0], row[1].estimate.record),
            ),
            col.p("p (Holm)", lambda row: _p(row[1].estimate.record)),
        ],
        rows=rows,
        frame=[one.estimate.record for _, one in rows],
    )
