"""The figure of a sweep: levels against the share, checkpoint by checkpoint."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd
from scipy import stats

from analysis.doseresponse import DoseMeasure, GroupDose
from analysis.doseresponse_words import drawn_lines, line_name, of_how_many
from analysis.drawing import BLUE, MUTED, Panel, json_rows, render
from analysis.html import Figure, slugs
from analysis.resample import CI_LEVEL, Floats
from analysis.stages_words import (
    digits_of,
    group_word,
    is_share,
    measure_title,
    shown,
    unit_words,
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
