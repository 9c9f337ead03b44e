"""The report of a sweep: what a share of the training rows does, and for whom."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from scipy import stats

from analysis import columns as col
from analysis import figures, prose
from analysis.countries_figures import interval_rows
from analysis.doseresponse import UNEQUAL, ArmSlope, DoseMeasure, Estimate, GroupDose
from analysis.doseresponse_findings import (
    beyond_shares,
    drawn_lines,
    line_name,
    lower_title,
    of_how_many,
    part_findings,
    shares_words,
    summary_findings,
)
from analysis.doseresponse_runs import DoseAnalysis, SweepProbe
from analysis.doseresponse_sweep import STAGES, Checkpoint, Sweep
from analysis.drawing import BLUE, MUTED, Panel, json_rows, render
from analysis.figures import padded
from analysis.html import (
    Block,
    Cell,
    Figure,
    Finding,
    Page,
    Paragraph,
    Section,
    Table,
    join_words,
    number,
    number_cell,
    slugs,
    text_cell,
)
from analysis.learning import Learning, in_order
from analysis.learning_report import learning_section
from analysis.part import Step
from analysis.records import Record
from analysis.report import (
    DOWNLOADS,
    GENERAL_CAVEAT,
    Report,
    provenance,
    run_notes,
    run_warnings,
    write_page,
    written_by,
)
from analysis.resample import CI_LEVEL, Floats
from analysis.stages_words import (
    FEW_GROUPS,
    beside_words,
    change_cell,
    digits_of,
    group_name,
    group_word,
    is_share,
    level_text,
    measure_title,
    shown,
    side_of,
    unit_words,
)
from analysis.wording import count_of, p_of, percent, sentence

FALSE_POSITIVES = {0: (0.025, 0.08), 2: (0.08, 0.22), 4: (0.14, 0.36)}
"""SD of the slopes of seeds over the scatter of checkpoints -> between which shares of
simulated sweeps without a mean slope leave zero out of its interval, with 3 to 5 shares
and 2 to 4 seeds (`tests/test_doseresponse.py`)."""


def method() -> tuple[Paragraph, ...]:
    """How slopes come about."""
    return prose.method("doseresponse", **_slots())


def caveats() -> tuple[str, ...]:
    """What they do not say."""
    return prose.caveats("doseresponse", **_slots())


def _slots() -> dict[str, str]:
    rates = {
        f"rate_{ratio}": f"{100 * low:g} to {100 * high:g}%"
        for ratio, (low, high) in FALSE_POSITIVES.items()
    }
    return {"unequal": percent(UNEQUAL), **rates}


SAME_SHARE = 0.005
"""Up to so much a drawn share is the one that was asked for."""


def overview_table(found: DoseAnalysis) -> Table:
    """A row per sweep and probe: what was compared."""
    frame = [
        {
            "sweep": part.sweep.name,
            "stage": part.sweep.stage,
            "probe": part.runs[0].probe,
            "arms": " ".join(part.sweep.arms),
            "seeds": len({one.training.seed for one in first.dosed.checkpoints}),
            "checkpoints": len(part.runs),
            "units": len(np.unique(first.aligned.unit)),
            "groups": len(first.groups),
            "base": part.sweep.base,
        }
        for part in found.parts
        for first in part.measures[:1]
    ]
    return col.table(
        id="runs",
        title="What was compared",
        note="Compared: questions, games or pairs that all checkpoints have scored.",
        columns=[
            col.text("Sweep", lambda row: row[0].sweep.title),
            col.text("Probe", lambda row: row[1]["probe"]),
            col.text("Shares", lambda row: shares_words(row[0].sweep)),
            col.count("Seeds", lambda row: row[1]["seeds"]),
            col.count("Checkpoints", lambda row: row[1]["checkpoints"]),
            col.count("Compared", lambda row: row[1]["units"]),
            col.count("Groups", lambda row: row[1]["groups"]),
        ],
        rows=zip(found.parts, frame, strict=True),
        frame=pd.DataFrame(frame),
    )


def checkpoint_table(found: DoseAnalysis) -> Table:
    """A row per checkpoint: arm, share, seed, stage, rows, tokens."""
    every = [one for sweep in found.sweeps for one in sweep.checkpoints]
    frame = [
        {
            "model": one.model,
            "sweep": sweep.name,
            "stage": sweep.stage,
            "scored_as": training.kind,
            "arm": training.arm,
            "placebo": training.placebo,
            "share": one.share,
            "drawn_share": training.drawn_share,
            "seed": training.seed,
            "base": training.base,
            "mix": training.mix,
            "rows": training.rows,
            "dropped": training.dropped,
            "tokens": training.tokens,
            "attribute": training.attribute,
            "probes": " ".join(
                run.probe for run in found.runs if run.model == one.model
            ),
        }
        for sweep in found.sweeps
        for one in sweep.checkpoints
        for training in (one.training,)
    ]
    return col.table(
        id="checkpoints",
        title="Checkpoints",
        note="Share: of the training rows, with the attribute, as asked for; slopes "
        "are on the share that was drawn, which stands beside it where it is another. "
        "A seed fixes which rows "
        "are drawn and how training starts, and is used at every share. Tokens: read "
        "in training, all epochs together.",
        columns=[
            col.text("Checkpoint", lambda row: row[0].model),
            col.text("Sweep", lambda row: row[1]["sweep"]),
            col.text("Stage", lambda row: STAGES.get(row[1]["stage"], row[1]["stage"])),
            col.text("Arm", lambda row: row[1]["arm"]),
            ("Share", lambda row: share_cell(row[0])),
            *(
                col.count(head, lambda row, head=head: row[1][head.lower()])
                for head in ("Seed", "Rows", "Tokens")
            ),
            col.count("Probes", lambda row: len(row[1]["probes"].split())),
        ],
        rows=zip(every, frame, strict=True),
        frame=pd.DataFrame(frame),
        folded=len(every) > 2 * FEW_GROUPS,
        sortable=True,
    )


def share_cell(one: Checkpoint) -> Cell:
    """The share in percent, and the drawn one where it is another; sorts by that."""
    text = percent(one.share)
    if abs(one.dose - one.share) > SAME_SHARE:
        text += f" (drawn {number(100 * one.dose, 1)}%)"
    return Cell(text=text, sort=one.dose, numeric=True)


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


PLACEBO = "#9aa5b1"
TREATMENTS = (BLUE, "#d3782b", "#8a3d07", "#c9a227")
SHAPES = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "cross",
    "triangle-right",
    "triangle-left",
)
GRID = 21
"""Points of a band."""
APART = 1.6
"""Points of the share by which arms stand beside each other."""
MARGIN = 0.08
"""Of a panel's range, left free of marks."""
SIZE = 235, 150
"""Pixels of a panel's plot."""


def dose_figure(measure: DoseMeasure, prefix: str) -> Figure:
    """Levels against the share, a panel for each group.

    Args:
        measure: Of one sweep and probe.
        prefix: Of the figure's id and files.
    """
    drawn = drawn_lines(measure)
    tables = [_panel_rows(measure, one) for one in drawn]
    span = max(high - low for low, high in map(_range, tables)) * (1 + MARGIN) or 1.0
    title, attribute = measure_title(measure), measure.dosed.sweep.attribute
    placebo = " Grey: the placebo, in which rows are only drawn anew." * bool(
        measure.placebos
    )
    base = (
        " Dashed: the base, before training." if measure.dosed.base is not None else ""
    )
    panels = [
        _dose_panel(
            rows,
            name=f"{prefix}-dose-{place}",
            title=_panel_title(measure, one),
            domain=_around(measure, rows, span),
            y_title=unit_words(measure),
            x_title="Share, %",
            measure=measure,
        )
        for rows, one, place in zip(
            tables, drawn, slugs([one.group or "mean" for one in drawn]), strict=True
        )
    ]
    return Figure(
        id=f"{prefix}-dose",
        title=f"{title}, by the share of {attribute}",
        caption="Each mark is a checkpoint, its shape the seed; the line is the "
        "regression. The band turns it by the 95% interval of its slope, over other "
        "trainings and items, and moves it by the scatter of checkpoints; it is no "
        "interval of the level over other items"
        f"{', and is cut at 0 and 100%' * is_share(measure)}.{placebo}{base} All "
        f"panels span the same range, each at its own level.{of_how_many(measure)}",
        alt=f"{title} against the share of {attribute}, a panel for each "
        f"{group_word(measure)}; the numbers are in the tables.",
        panels=tuple(panels),
    )


def _panel_title(measure: DoseMeasure, one: GroupDose) -> str:
    name = line_name(measure, one)
    if one.group is None:
        return name.capitalize()
    return f"{name} (reference)" if one.group == measure.aligned.reference else name


def _panel_rows(measure: DoseMeasure, one: GroupDose) -> pd.DataFrame:
    """Rows of kind point, band and base, in the unit that people read."""
    dosed = measure.dosed
    levels = measure.levels(one)
    scale = 100.0 if is_share(measure) else 1.0
    frames = []
    for at, arm in enumerate(measure.arms):
        places, design = dosed.places(arm), dosed.design(arm)
        beside = APART * (at - (len(measure.arms) - 1) / 2)
        seeds = [str(dosed.checkpoints[place].training.seed) for place in places]
        frames.append(
            pd.DataFrame(
                {
                    "kind": "point",
                    "arm": arm,
                    "share": 100 * design.share + beside,
                    "value": scale * levels[places],
                    "seed": seeds,
                    "tip": [
                        f"{arm}, share {100 * share:g}%, seed {seed}: "
                        f"{scale * level:.{digits_of(measure)}f}"
                        for share, seed, level in zip(
                            design.share, seeds, levels[places], strict=True
                        )
                    ],
                }
            )
        )
        found = one.of(arm).slope
        grid = np.linspace(design.share.min(), design.share.max(), GRID)
        away = grid - design.share.mean()
        middle = levels[places].mean() + found.slope.test.mean.estimate * away
        test = found.slope.test
        reach = np.full(GRID, math.nan)
        if found.record.ci_low is not None:
            rest = design.residuals(levels[places])
            scatter = float(rest @ rest) / design.freedom
            around = scatter / len(places) + away**2 * test.error**2
            t = float(stats.t.ppf(0.5 + CI_LEVEL / 2, test.freedom))
            reach = t * np.sqrt(around)
        frames.append(
            pd.DataFrame(
                {
                    "kind": "band",
                    "arm": arm,
                    "share": 100 * grid,
                    "value": scale * middle,
                    "low": _possible(measure, scale * (middle - reach)),
                    "high": _possible(measure, scale * (middle + reach)),
                }
            )
        )
    level = shown(measure, measure.base(one))
    if level is not None:
        frames.append(pd.DataFrame({"kind": ["base"], "value": [level]}))
    return pd.concat(frames, ignore_index=True)


def _possible(measure: DoseMeasure, values: Floats) -> Floats:
    """Ends of a band, those of shares cut at 0 and 100 %."""
    return np.clip(values, 0.0, 100.0) if is_share(measure) else values


def _range(rows: pd.DataFrame) -> tuple[float, float]:
    """What a panel must hold: marks, base and lines, and of bands what is not wild."""
    values = rows["value"].to_numpy(dtype=np.float64)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = high - low or 1e-6
    ends = rows[["low", "high"]].to_numpy(dtype=np.float64)
    if np.isfinite(ends).any():
        low = max(min(low, float(np.nanmin(ends))), low - room)
        high = min(max(high, float(np.nanmax(ends))), high + room)
    return low, high


def _around(
    measure: DoseMeasure, rows: pd.DataFrame, span: float
) -> tuple[float, float]:
    """Around what a panel holds; of shares within 0 and 100 %, but for their lines."""
    low, high = _range(rows)
    bottom = (low + high - span) / 2
    if is_share(measure):
        room = span * MARGIN / 2
        bottom = max(bottom, min(0.0, low) - room)
        bottom = min(bottom, max(100.0, high) + room - span)
    return bottom, bottom + span


def _dose_panel(
    rows: pd.DataFrame,
    *,
    name: str,
    title: str,
    domain: tuple[float, float],
    y_title: str,
    x_title: str,
    measure: DoseMeasure,
) -> Panel:
    arms = list(measure.arms)
    seeds = sorted(set(rows["seed"].dropna()), key=int)
    colour = alt.Color(
        "arm:N",
        scale=alt.Scale(domain=arms, range=_colours(measure)),
        legend=alt.Legend(
            title=None,
            orient="bottom",
            symbolType="stroke",
            symbolOpacity=1,
            symbolStrokeWidth=2,
        )
        if len(arms) > 1
        else None,
    )
    x = alt.X(
        "share:Q",
        title=x_title,
        scale=alt.Scale(domain=_shares_domain(measure), nice=False, zero=False),
        axis=alt.Axis(values=_ticks(measure), grid=False),
    )
    scale = alt.Scale(domain=list(domain), nice=False, zero=False, clamp=True)
    axis = alt.Axis(tickCount=5)
    y = alt.Y("value:Q", title=y_title, scale=scale, axis=axis)
    base = alt.Chart(alt.NamedData(name="rows"))
    band = base.transform_filter("datum.kind == 'band'")
    layers: list[alt.Chart] = [
        band.transform_filter("isValid(datum.low)")
        .mark_area(opacity=0.15)
        .encode(
            x=x,
            y=alt.Y("low:Q", title=y_title, scale=scale, axis=axis),
            y2="high:Q",
            color=colour,
        ),
        base.transform_filter("datum.kind == 'base'")
        .mark_rule(stroke=MUTED, strokeDash=[4, 3])
        .encode(y=y),
        band.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour),
        base.transform_filter("datum.kind == 'point'")
        .mark_point(size=42, strokeWidth=1.4, opacity=0.9)
        .encode(
            x=x,
            y=y,
            color=colour,
            shape=alt.Shape(
                "seed:N",
                sort=seeds,
                scale=alt.Scale(
                    domain=seeds,
                    range=[SHAPES[at % len(SHAPES)] for at in range(len(seeds))],
                ),
                legend=alt.Legend(title="Seed", orient="bottom", columns=8)
                if len(seeds) > 1
                else None,
            ),
            description="tip:N",
        ),
    ]
    chart = alt.layer(*layers).properties(width=SIZE[0], height=SIZE[1], title=title)
    return render(chart, name, {"rows": json_rows(rows)})


def _colours(measure: DoseMeasure) -> list[str]:
    """Of the arms, in their order: placebos grey."""
    treatments = list(measure.treatments)
    return [
        PLACEBO
        if measure.is_placebo(arm)
        else TREATMENTS[treatments.index(arm) % len(TREATMENTS)]
        for arm in measure.arms
    ]


def _ticks(measure: DoseMeasure) -> list[float]:
    return sorted({100 * one.share for one in measure.dosed.checkpoints})


def _shares_domain(measure: DoseMeasure) -> list[float]:
    ticks = _ticks(measure)
    room = 0.06 * (ticks[-1] - ticks[0]) + APART
    return [ticks[0] - room, ticks[-1] + room]


LABEL_SPACE = 118
"""Pixels for the names of rows."""


def slope_figure(measure: DoseMeasure, prefix: str) -> Figure | None:
    """Slopes by group, a panel for each arm and for each arm less a placebo.

    Returns:
        None where nothing has an interval.
    """
    drawn = drawn_lines(measure)
    columns: dict[str, list[Estimate]] = {
        f"{arm[:1].upper()}{arm[1:]}": [one.of(arm).slope for one in drawn]
        for arm in measure.arms
    }
    for at, each in enumerate(drawn[0].controlled):
        name = f"{each.arm[:1].upper()}{each.arm[1:]} less {each.placebo}"
        columns[name] = [one.controlled[at].estimate for one in drawn]
    tables = _slope_rows(measure, drawn, columns)
    every = pd.concat(list(tables.values()))
    if every["ci_low"].isna().all():
        return None
    domain = padded(every, 0.0)
    unit = unit_words(measure, change=True)
    return Figure(
        id=f"{prefix}-forest",
        title=f"Slopes: {measure_title(measure)}",
        caption=f"Change from no to only {measure.dosed.sweep.attribute}, as the line "
        "has it. Filled: shown, by p below 5% after Holm; hollow: not shown. Lines are "
        "95% intervals over other trainings and items, unadjusted. Pale: slopes too "
        "small to be found with a power of 80%, uncorrected."
        f"{of_how_many(measure)}",
        alt=f"Forest plot of slopes by {group_word(measure)}; the numbers are in the "
        "table.",
        panels=tuple(
            figures.intervals(
                rows,
                name=f"{prefix}-forest-{place}",
                domain=domain,
                axis_title=f"Slope, {unit} per 100 points of the share",
                title=title,
                label_space=LABEL_SPACE,
                digits=digits_of(measure),
            )
            for (title, rows), place in zip(
                tables.items(), slugs(list(tables)), strict=True
            )
        ),
    )


def _slope_rows(
    measure: DoseMeasure,
    drawn: Sequence[GroupDose],
    columns: Mapping[str, Sequence[Estimate]],
) -> dict[str, pd.DataFrame]:
    found = {}
    for title, estimates in columns.items():
        rows = interval_rows(
            [
                (line_name(measure, one), estimate.record, None, not side)
                for one, estimate in zip(drawn, estimates, strict=True)
                for side in [side_of(estimate.record)]
            ]
        )
        seen = [
            math.nan if one.detectable is None else one.detectable.estimate or math.nan
            for one in estimates
            if one.record.estimate is not None
        ]
        rows["inner_high"] = seen
        rows["inner_low"] = -rows["inner_high"]
        numbers = ["estimate", "ci_low", "ci_high", "inner_low", "inner_high"]
        if is_share(measure):
            rows[numbers] = 100 * rows[numbers].astype(np.float64)
        found[title] = rows
    return found


MOST_FINDINGS = 9
"""Up to so many findings the summary holds them all; of more, of each measure the
mean's slope beside the placebo's, and what else is shown."""
MOST_EVIDENCE = 3
"""Groups whose numbers a finding of such a summary has; its own section has more."""


def write_sweeps(
    found: DoseAnalysis,
    out: Path,
    *,
    curves: Sequence[Learning] = (),
    step: Step = lambda: None,
) -> Report:
    """Writes index.html, report.md, summary.json, tables and figures.

    Args:
        found: From `doseresponse_runs.analyse_sweeps`.
        out: Folder to write; files of an earlier report there are replaced.
        curves: From `learning.read_curves`.
        step: Called once for each of `found.parts`.

    Raises:
        StoreError: `out` cannot be written.
    """
    records = [*found.records, *(record for one in curves for record in one.records)]
    return write_page(build_sweeps(found, curves=curves, step=step), records, out)


def build_sweeps(
    found: DoseAnalysis,
    *,
    curves: Sequence[Learning] = (),
    step: Step = lambda: None,
) -> Page:
    """Lays the report out: a section per sweep and probe, then the learning curves."""
    several = len({part.sweep.title for part in found.parts}) > 1
    names = [
        f"{part.probe}, {part.sweep.title}" if several else part.probe
        for part in found.parts
    ]
    sections = []
    for part, name, id in zip(found.parts, names, slugs(names), strict=True):
        sections.append(_section(part, name, f"doseresponse-{id}"))
        step()
    if curves:
        placebos = {
            arm for one in found.sweeps for arm in one.arms if one.is_placebo(arm)
        }
        sections.append(learning_section(in_order(curves, placebos)))
    sections.append(
        Section(
            id="checkpoints-section",
            title="Checkpoints",
            lead="What each checkpoint was trained on.",
            blocks=(checkpoint_table(found),),
        )
    )
    return Page(
        title=_title(found.sweeps),
        subtitle=" ".join(map(_sweep_words, found.sweeps)),
        overview=overview_table(found),
        warnings=(*run_warnings(found.runs), *found.notes),
        notes=run_notes(found.runs),
        findings=_summary(found, names),
        sections=tuple(sections),
        method=(*method(), *(each for one in sections for each in one.method)),
        caveats=(*caveats(), GENERAL_CAVEAT),
        provenance=tuple(provenance(run) for run in found.runs),
        generated=written_by(),
        kind="dose-response of training",
        downloads=DOWNLOADS,
    )


def _title(sweeps: Sequence[Sweep]) -> str:
    attributes = list(dict.fromkeys(one.attribute for one in sweeps))
    if len(attributes) == 1:
        return f"What a share of {attributes[0]} does"
    return f"What a share of training rows does, in {count_of(len(sweeps), 'sweep')}"


def _sweep_words(sweep: Sweep) -> str:
    """``language_sft, SFT: 18 checkpoints, shares 0%, 50% and 100%, 3 seeds, ...``."""
    seeds = {one.training.seed for one in sweep.checkpoints}
    arms = f", arms {join_words(sweep.arms)}" if len(sweep.arms) > 1 else ""
    base = "" if sweep.base is None else f", from {sweep.base}"
    count = count_of(len(sweep.checkpoints), "checkpoint")
    return (
        f"{sweep.title}: {count}{base}, shares {shares_words(sweep)}, "
        f"{count_of(len(seeds), 'seed')}{arms}."
    )


def _summary(found: DoseAnalysis, names: Sequence[str]) -> tuple[Finding, ...]:
    every = [
        (name, finding)
        for part, name in zip(found.parts, names, strict=True)
        for finding in part_findings(part)
    ]
    many = len(every) > MOST_FINDINGS
    if many:
        every = [
            (
                name,
                dataclasses.replace(finding, evidence=finding.evidence[:MOST_EVIDENCE]),
            )
            for part, name in zip(found.parts, names, strict=True)
            for place, measure in enumerate(part.measures)
            for finding in summary_findings(measure)
            if place == 0 or measure.mean or finding.certainty != "not shown"
        ]
    return tuple(
        dataclasses.replace(
            finding,
            claim=f"{name}: {finding.claim[:1].lower()}{finding.claim[1:]}",
        )
        for name, finding in every
    )


def _section(part: SweepProbe, title: str, id: str) -> Section:
    blocks: list[Block] = []
    names = slugs([measure.aligned.outcome.name for measure in part.measures])
    for measure, name in zip(part.measures, names, strict=True):
        prefix = f"{id}-{name}"
        blocks.append(dose_figure(measure, prefix))
        forest = slope_figure(measure, prefix)
        if forest is not None:
            blocks.append(forest)
        blocks += [slope_table(measure, prefix), level_table(measure, prefix)]
    gaps = gap_table(part, id)
    if gaps is not None:
        blocks.append(gaps)
    what = join_words([lower_title(measure) for measure in part.measures])
    return Section(
        id=id,
        title=title,
        lead=f"{sentence(part.runs[0].manifest.title)} {_sweep_words(part.sweep)} "
        f"Measured by {what}. {beyond_shares(part.sweep)}".strip(),
        findings=part_findings(part),
        blocks=tuple(blocks),
    )
