"""Figures of stages: levels as grouped bars, and changes with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from analysis import figures
from analysis.countries_figures import interval_rows
from analysis.drawing import INK, Panel
from analysis.html import Figure, slugs
from analysis.opinions_checks_figures import padded
from analysis.stages import GroupResult, MeasureResult
from analysis.stages_runs import Comparison
from analysis.stages_words import (
    FEW_GROUPS,
    ROLES,
    digits_of,
    group_name,
    group_word,
    groups_of,
    is_share,
    measure_title,
    shown,
    side_of,
    stage_word,
    unit_words,
)

COLOURS = ("#a3acb6", "#7fb3d3", "#1f6a9a", "#d3782b", "#8a3d07", "#c9a227")
"""Of base, SFT and preference tuning; of models, in their order."""
BAR = 12
"""Pixels of a bar with its gap."""
LABEL_SPACE = 118
"""Pixels for the names of rows."""

Pair = tuple[Comparison, MeasureResult]


def picked(measure: MeasureResult) -> tuple[GroupResult, ...]:
    """Groups that figures draw: all of a few, else the reference and some others.

    First those that are shown to change, or to change otherwise than the reference;
    then those that change most. In the order of the groups, or of many by the change to
    the last stage.
    """
    if len(measure.groups) <= FEW_GROUPS:
        return measure.groups

    def size(one: GroupResult) -> tuple[bool, bool, float]:
        # What is too small to be tested changes most, and says least.
        changes = [step.change for step in one.steps]
        beyond = [step.beyond for step in one.steps]
        return (
            any(side_of(record) for record in (*changes, *beyond)),
            any(change.p_value is not None for change in changes),
            max(abs(change.estimate or 0.0) for change in changes),
        )

    def last(one: GroupResult) -> float:
        return -(one.steps[-1].change.estimate or 0.0)

    reference = [
        one for one in measure.groups if one.group == measure.aligned.reference
    ]
    rest = [one for one in measure.groups if one not in reference]
    rest = sorted(rest, key=size, reverse=True)[: FEW_GROUPS - len(reference)]
    return (*reference, *sorted(rest, key=last))


def of_how_many(measure: MeasureResult) -> str:
    """Which groups are drawn, where it is not all of them; else nothing."""
    drawn = picked(measure)
    if len(drawn) == len(measure.groups):
        return ""
    reference = "the reference and " if measure.aligned.reference else ""
    others = len(drawn) - bool(reference)
    return (
        f" Drawn are {reference}{others} of {groups_of(measure, len(measure.groups))}, "
        "first those that are shown to change, then those that change most; the table "
        "has all."
    )


def level_figure(pairs: Sequence[Pair], prefix: str) -> Figure:
    """Levels per group and stage, a panel for each lineage.

    Args:
        pairs: One measure of one probe in one or more lineages.
        prefix: Of the figure's id and files.
    """
    measure = pairs[0][1]
    several = len(pairs) > 1
    tables = [_level_rows(one) for _, one in pairs]
    every = pd.concat(tables)
    panels = [
        stage_bars(
            rows,
            name=f"{prefix}-levels{f'-{place}' if several else ''}",
            axis_title=_axis(measure),
            title=comparison.lineage.name if several else None,
            domain=_domain(every, bars=is_share(measure)),
            bars=is_share(measure),
            digits=digits_of(measure),
        )
        for rows, (comparison, _), place in zip(
            tables, pairs, slugs([one.lineage.name for one, _ in pairs]), strict=True
        )
    ]
    stages = "stages" if pairs[0][0].trained else "models"
    return Figure(
        id=f"{prefix}-levels",
        title=measure_title(measure),
        caption=f"By {group_word(measure)} and {stages[:-1]}, with 95% intervals of "
        f"each level; whether {stages} differ is tested on their differences, not "
        f"read from these.{of_how_many(measure)}",
        alt=f"{measure_title(measure)} by {group_word(measure)}, a bar for each of the "
        f"{stages}; the numbers are in the table.",
        panels=tuple(panels),
    )


def _axis(measure: MeasureResult) -> str:
    outcome = measure.aligned.outcome
    unit = unit_words(measure)
    if outcome.better is None:
        return unit
    return f"{unit} ({outcome.better} is better)"


def _level_rows(measure: MeasureResult) -> pd.DataFrame:
    def value(number: float | None) -> float:
        kept = shown(measure, number)
        return math.nan if kept is None else kept

    return pd.DataFrame(
        [
            {
                "group": group_name(measure, one.group),
                "bar": _bar_name(measured.stage.role, stage_word(measured.stage)),
                "value": value(level.estimate),
                "ci_low": value(level.ci_low),
                "ci_high": value(level.ci_high),
            }
            for one in picked(measure)
            for measured, level in zip(
                measure.aligned.measured, one.levels, strict=True
            )
        ]
    )


def _bar_name(role: str, word: str) -> str:
    return f"{word[:1].upper()}{word[1:]}" if role in ROLES else word


def _domain(rows: pd.DataFrame, *, bars: bool) -> tuple[float, float]:
    """One axis for all panels; bars begin at zero."""
    if not bars:
        return padded(rows.rename(columns={"value": "estimate"}))
    high = float(rows[["value", "ci_high"]].max().max())
    return 0.0, min(100.0, 1.04 * high) or 1.0


def stage_bars(
    rows: pd.DataFrame,
    *,
    name: str,
    axis_title: str,
    title: str | None,
    domain: tuple[float, float],
    bars: bool,
    digits: int,
) -> Panel:
    """Stages of each group below each other, with intervals.

    Args:
        rows: Columns group, bar (the stage), value, ci_low, ci_high (NaN: not drawn),
            in the order in which groups and stages shall stand.
        name: File name of the panel.
        axis_title: Title of the horizontal axis.
        title: Title of the panel.
        domain: Of the horizontal axis.
        bars: Bars from zero; else dots, where zero means nothing.
        digits: Decimals of the numbers that a pointer shows.
    """
    stages = list(dict.fromkeys(rows["bar"]))
    groups = list(dict.fromkeys(rows["group"]))
    data = rows.assign(
        tip=figures.tips(rows, lambda row: f"{row.group}, {row.bar}", digits)
    )
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    # Stages of a lineage have fixed colours, whichever of them are here.
    known = [_bar_name(role, word) for role, word in ROLES.items()]
    trained = all(stage in known for stage in stages)
    colours = [
        COLOURS[(known.index(stage) if trained else place) % len(COLOURS)]
        for place, stage in enumerate(stages)
    ]
    y = figures.names_axis("group:N", LABEL_SPACE, paddingInner=0.25, paddingOuter=0.1)
    offset = alt.YOffset("bar:N", sort=stages, scale=alt.Scale(paddingInner=0.15))
    base = alt.Chart(alt.NamedData(name="rows"))
    colour = alt.Color(
        "bar:N",
        scale=alt.Scale(domain=stages, range=colours),
        legend=alt.Legend(
            title=None,
            orient="top",
            columns=3 if trained else 1,
            symbolType="square",
            labelLimit=280,
        ),
    )
    x = alt.X("value:Q", title=axis_title, scale=scale, axis=alt.Axis(tickCount=5))
    span = figures.span(
        base,
        alt.X("ci_low:Q", title=axis_title, scale=scale),
        "ci_low",
        "ci_high",
        y={"y": y, "yOffset": offset},
        stroke=INK,
        strokeWidth=1.1,
    )
    encoded = {
        "y": y,
        "yOffset": offset,
        "x": x,
        "color": colour,
        "description": "tip:N",
    }
    layers = (
        [base.mark_bar().encode(**encoded), span]
        if bars
        else [
            span,
            base.mark_point(size=50, filled=True, opacity=1).encode(**encoded),
        ]
    )
    chart = alt.layer(*layers).properties(
        width=315 - LABEL_SPACE, height=len(groups) * (BAR * len(stages) + 9)
    )
    return figures.titled(chart, name, data, title)


def change_figure(
    comparison: Comparison, measure: MeasureResult, prefix: str
) -> Figure | None:
    """Changes from the base, a panel for each later stage; None: without intervals."""
    aligned = measure.aligned
    tables = []
    for step_place in range(len(aligned.measured) - 1):
        rows = interval_rows(
            [
                (
                    group_name(measure, one.group),
                    one.steps[step_place].change,
                    None,
                    not side_of(one.steps[step_place].change),
                )
                for one in picked(measure)
            ]
        )
        if is_share(measure):
            columns = ["estimate", "ci_low", "ci_high"]
            rows[columns] = 100 * rows[columns]
        tables.append(rows)
    every = pd.concat(tables)
    if every["ci_low"].isna().all():
        return None
    unit = unit_words(measure, change=True)
    stages = [one.stage for one in aligned.measured]
    first = stage_word(stages[0])
    what = "Change" if comparison.trained else "Difference"
    return Figure(
        id=f"{prefix}-changes",
        title=f"{what} from {first}",
        caption=f"{measure_title(measure)}: later less {first}, over units that all "
        "scored. Filled: shown, by p below 5% after Holm over all groups and "
        f"{'stages' if comparison.trained else 'models'}; hollow: not shown. Lines are "
        f"95% bootstrap intervals, unadjusted.{of_how_many(measure)}",
        alt=f"Forest plot of changes by {group_word(measure)}; the numbers are in the "
        "table.",
        panels=tuple(
            figures.intervals(
                rows,
                name=f"{prefix}-changes-{place}",
                domain=padded(every, 0.0),
                axis_title=f"{what} from {first}, {unit}",
                title=f"{stage_word(stage)} less {first}",
                label_space=LABEL_SPACE,
                digits=digits_of(measure),
            )
            for place, (stage, rows) in enumerate(
                zip(stages[1:], tables, strict=True), 1
            )
        ),
    )
