"""Figures of MD3."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from analysis import figures
from analysis.countries_figures import interval_rows
from analysis.dialects_md3_analysis import GamesRun
from analysis.dialects_md3_words import dialect_name, outcome_name
from analysis.drawing import BLUE, INK, Panel
from analysis.html import Figure
from analysis.opinions_checks_figures import padded
from analysis.wording import side_of

COLOURS = ("#a3acb6", BLUE, "#d3782b", "#7fb3d3", "#8a3d07", "#c9a227")
"""Of dialects, the reference first; used again where there are more."""
LABEL_SPACE = 172
"""Pixels for the names of a forest plot's rows."""
BAR = 13
"""Pixels of a bar with its gap."""


Row = dict[str, str | float]
"""A row of `grouped_bars`."""


def grouped_bars(
    rows: pd.DataFrame, *, name: str, axis_title: str, title: str | None = None
) -> Panel:
    """Horizontal bars in groups, with intervals and a level of chance in each group.

    Args:
        rows: Columns group, bar, value (percent), ci_low, ci_high (NaN: not drawn) and
            chance (NaN: none), in the order in which groups and bars shall stand.
        name: File name of the panel.
        axis_title: Title of the horizontal axis.
        title: Title of the panel.
    """
    bars = list(dict.fromkeys(rows["bar"]))
    groups = list(dict.fromkeys(rows["group"]))
    data = rows.assign(
        tip=figures.tips(rows, lambda row: f"{row.group}, {row.bar}", unit="%")
    )
    high = float(data[["value", "ci_high", "chance"]].max().max())
    scale = alt.Scale(domain=[0.0, min(100.0, 1.04 * high) or 1.0], nice=False)
    y = figures.names_axis("group:N", 120, paddingInner=0.22, paddingOuter=0.1)
    offset = alt.YOffset("bar:N", sort=bars, scale=alt.Scale(paddingInner=0.15))
    base = alt.Chart(alt.NamedData(name="rows"))
    layers = [
        base.mark_bar().encode(
            y=y,
            yOffset=offset,
            x=alt.X(
                "value:Q", title=axis_title, scale=scale, axis=alt.Axis(tickCount=5)
            ),
            color=alt.Color(
                "bar:N",
                scale=alt.Scale(
                    domain=bars,
                    range=[COLOURS[i % len(COLOURS)] for i in range(len(bars))],
                ),
                legend=alt.Legend(
                    title=None, orient="top", columns=2, symbolType="square"
                ),
            ),
            description="tip:N",
        ),
        figures.span(
            base,
            alt.X("ci_low:Q", title=axis_title, scale=scale),
            "ci_low",
            "ci_high",
            y={"y": y, "yOffset": offset},
            stroke=INK,
            strokeWidth=1.2,
        ),
    ]
    height = len(groups) * (BAR * len(bars) + 10)
    if data["chance"].notna().any():
        layers.append(
            base.transform_filter("isValid(datum.chance)")
            .mark_tick(
                color=INK,
                thickness=1.4,
                size=0.9 * height / len(groups),
            )
            .encode(y=y, x=alt.X("chance:Q", title=axis_title, scale=scale))
        )
    chart = alt.layer(*layers).properties(width=190, height=height)
    return figures.titled(chart, name, data, title)


def _bar_rows(run: GamesRun, groups: Sequence[str], keys: Sequence[str]) -> list[Row]:
    """Rows of `grouped_bars`: the outcomes `keys` of a run, named `groups`."""
    found: list[Row] = []
    for group, key in zip(groups, keys, strict=True):
        for one in run.outcomes:
            if one.outcome.key != key:
                continue
            chance = one.outcome.chance
            found += [
                {
                    "group": group,
                    "bar": dialect_name(result.dialect),
                    "value": figures.percent_of(result.accuracy.estimate),
                    "ci_low": figures.percent_of(result.accuracy.ci_low),
                    "ci_high": figures.percent_of(result.accuracy.ci_high),
                    "chance": figures.percent_of(chance),
                }
                for result in one.dialects
            ]
    return found


CHANCE = (
    " The upright line across the bars of a choice is chance: picking one of the words "
    "at random. A guess has no such level."
)


def accuracy_figure(run: GamesRun, prefix: str) -> Figure:
    """Games won per outcome and dialect."""
    keys = [one.outcome.key for one in run.outcomes]
    rows = _bar_rows(run, [outcome_name(run, key) for key in keys], keys)
    return Figure(
        id=f"{prefix}-accuracy",
        title="Games won, by dialect",
        caption="Share of games in which the secret word is guessed or picked, with "
        "95% intervals (Wilson, of the effective number of games by answer). The games "
        "of the dialects are different games: some are easier whatever the dialect."
        + CHANCE,
        alt=f"Bars of games won by dialect for {run.label}; the numbers are in the "
        "table.",
        panels=(
            grouped_bars(
                pd.DataFrame(rows),
                name=f"{prefix}-accuracy-bars",
                axis_title="Games won, %",
            ),
        ),
    )


def across_figure(runs: Sequence[GamesRun], prefix: str) -> Figure:
    """Games won per model and dialect, a panel for each outcome."""
    keys = list(dict.fromkeys(one.outcome.key for r in runs for one in r.outcomes))
    panels = []
    for key in keys:
        rows = [row for run in runs for row in _bar_rows(run, [run.label], [key])]
        title = next(
            outcome_name(run, key)
            for run in runs
            if key in {one.outcome.key for one in run.outcomes}
        )
        panels.append(
            grouped_bars(
                pd.DataFrame(rows),
                name=f"{prefix}-models-{key}",
                axis_title="Games won, %",
                title=title,
            )
        )
    return Figure(
        id=f"{prefix}-models",
        title="Games won, by model and dialect",
        caption="Share of games won with 95% intervals, as in each model's own part."
        + CHANCE,
        alt="Bars of games won by model and dialect; the numbers are in the table.",
        panels=tuple(panels),
    )


def forest_figure(run: GamesRun, prefix: str) -> Figure | None:
    """Differences from the reference, three ways; None: none has an interval."""
    reference = dialect_name(run.games.reference)
    panels = []
    for one in run.outcomes:
        lines = [
            (f"{dialect_name(gap.dialect)}: {kind}", record, None, not side_of(record))
            for gap in one.gaps
            for kind, record in (
                ("all games", gap.raw),
                ("adjusted", gap.adjusted),
                ("shared answers", gap.shared),
            )
        ]
        rows = interval_rows(lines)
        if rows.empty or rows["ci_low"].isna().all():
            continue
        columns = ["estimate", "ci_low", "ci_high"]
        rows[columns] = 100 * rows[columns]
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-differences-{one.outcome.key}",
                domain=padded(rows, 0.0),
                axis_title=f"Less {reference}, points",
                title=outcome_name(run, one.outcome.key),
                label_space=LABEL_SPACE,
                digits=1,
            )
        )
    if not panels:
        return None
    return Figure(
        id=f"{prefix}-differences",
        title=f"Each dialect less {reference}",
        caption=f"Left of the dashed line games in {reference} are won more often. All "
        "games: as they are. Adjusted: with transcript length and answer frequency "
        "held. Shared answers: within answers asked in both dialects. Filled: shown, "
        "by the interval and by p below 5% after Holm; hollow: not shown. Lines are "
        "95% intervals over answers, unadjusted.",
        alt=f"Forest plot of differences from {reference} for {run.label}; the numbers "
        "are in the table.",
        panels=tuple(panels),
    )
