"""Tables of sweeps: slopes and levels of every group, and best minus worst."""

from __future__ import annotations

import pandas as pd

from analysis.doseresponse import DoseMeasure, GroupDose
from analysis.doseresponse_measures import Estimate
from analysis.doseresponse_overview import share_cell
from analysis.doseresponse_runs import SweepProbe
from analysis.doseresponse_words import beyond_shares, drawn_lines, line_name
from analysis.html import (
    Cell,
    Table,
    interval_cell,
    number_cell,
    p_cell,
    text_cell,
    with_interval,
)
from analysis.stages_words import (
    FEW_GROUPS,
    beside_words,
    bounds,
    digits_of,
    group_name,
    group_word,
    level_text,
    measure_title,
    shown,
    signed,
    unit_words,
)
from analysis.wording import p_of


def slope_table(measure: DoseMeasure, prefix: str) -> Table:
    """A row per arm of the mean and of each group; the csv file holds every record."""
    reference = measure.aligned.reference
    placebos, dosed = measure.placebos, measure.dosed
    rows = [
        _slope_row(measure, one, arm) for one in measure.lines for arm in measure.arms
    ]
    unit = unit_words(measure, change=True)
    less = None if reference is None else group_name(measure, reference)
    base = () if dosed.base is None else (f"Base, {unit_words(measure)}",)
    return Table(
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
        header=(
            group_word(measure).capitalize(),
            "Arm",
            *base,
            "Slope",
            "p (Holm)",
            "Could have seen",
            "By seed",
            *((f"Less slope of {less}", "p (Holm)") if less else ()),
            *(name for placebo in placebos for name in (f"Less {placebo}", "p (Holm)")),
            "Straight",
            "Seeds alike",
        ),
        rows=tuple(rows),
        frame=pd.DataFrame([record.to_json() for record in measure.records]),
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


def _slope_row(measure: DoseMeasure, one: GroupDose, arm: str) -> tuple[Cell, ...]:
    found, base = one.of(arm), measure.base(one)
    controlled = {
        each.placebo: each.estimate for each in one.controlled if each.arm == arm
    }
    seen, by_seed = found.slope.detectable, found.by_seed
    digits = digits_of(measure)
    return (
        text_cell(line_name(measure, one)),
        text_cell(arm),
        *(() if base is None else (number_cell(shown(measure, base), digits),)),
        *_estimate_cells(measure, found.slope),
        number_cell(None if seen is None else shown(measure, seen.estimate), digits),
        interval_cell(
            None if by_seed is None else shown(measure, by_seed.low),
            None if by_seed is None else shown(measure, by_seed.high),
            digits,
        ),
        *(
            _estimate_cells(measure, found.beyond)
            if measure.aligned.reference is not None
            else ()
        ),
        *(
            cell
            for placebo in measure.placebos
            for cell in _estimate_cells(measure, controlled.get(placebo))
        ),
        p_cell(found.lack_of_fit),
        p_cell(found.unequal_seeds),
    )


def _estimate_cells(
    measure: DoseMeasure, estimate: Estimate | None
) -> tuple[Cell, Cell]:
    """An estimate with its interval, sorted by the estimate; and its p."""
    record = None if estimate is None else estimate.record
    if record is None or record.estimate is None:
        return number_cell(None), p_cell(None)
    estimated = Cell(
        text=signed(measure, record.estimate), sort=record.estimate, numeric=True
    )
    return with_interval(estimated, bounds(measure, record)), p_cell(p_of(record))


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
    rows, records = [], []
    for measure in part.measures:
        for one in measure.gaps:
            estimate = one.estimate
            records.append(estimate.record)
            rows.append(
                (
                    text_cell(measure_title(measure)),
                    text_cell(one.arm),
                    *_estimate_cells(measure, estimate),
                )
            )
    if not rows:
        return None
    return Table(
        id=f"{prefix}-gaps",
        title="Slope of the highest less the lowest group",
        note="Per 100 points of the share; shares in points. A gap is above zero in "
        "any sample, and levels that rise or fall alike in all groups can move it, so "
        "the groups must also be shown to have unequal slopes: p is the larger of the "
        "two, and can be large where the interval leaves zero out. What could have "
        "been seen is not known, as two tests decide.",
        header=("Measure", "Arm", "Slope of the gap", "p (Holm)"),
        rows=tuple(rows),
        frame=pd.DataFrame([record.to_json() for record in records]),
    )
