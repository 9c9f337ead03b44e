"""Bars of languages, of one run or of several side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from analysis import figures
from analysis.drawing import INK, Panel
from analysis.html import Figure
from analysis.languages_analysis import LanguageRun
from analysis.languages_words import NOUNS, TITLES

REFERENCE = "#b3bbc4"
"""Of the bar of the reference language."""
COLOURS = ("#7fb3d3", "#e0a36c", "#1f6a9a", "#a85a1c", "#c9b458", "#8c98a5")
"""Of several bars of a language, light enough for an interval upon them; used again
where there are more."""
BAR = 13
"""Pixels of a bar with its gap; of many in a language fewer."""
COLUMN_BARS = 44
"""Most bars of one panel: 122 languages of one model make three."""
LABEL_SPACE = 150
"""Pixels for the names of languages."""


def in_panels(codes: Sequence[str], bars: int = 1) -> Iterator[list[str]]:
    """The languages in panels of about the same height."""
    most = max(8, COLUMN_BARS // bars)
    panels = math.ceil(len(codes) / most)
    size = math.ceil(len(codes) / max(panels, 1))
    for start in range(0, len(codes), max(size, 1)):
        yield list(codes[start : start + size])


def bars(
    rows: pd.DataFrame,
    *,
    name: str,
    axis_title: str,
    high: float,
    chance: float | None,
    title: str | None = None,
) -> Panel:
    """Horizontal bars in groups, one group a language, with intervals.

    Args:
        rows: Columns language, bar, value (percent; NaN: none), ci_low, ci_high (NaN:
            not drawn) and reference (bool), in the order in which languages and bars
            shall stand.
        name: File name of the panel.
        axis_title: Title of the horizontal axis.
        high: End of the horizontal axis, shared by the panels of a figure.
        chance: Where to draw a line; None: nowhere.
        title: Title of the panel.
    """
    kinds = list(dict.fromkeys(rows["bar"]))
    several = len(kinds) > 1
    data = rows.assign(
        tip=figures.tips(
            rows,
            lambda row: f"{row.language}{f', {row.bar}' if several else ''}",
            unit="%",
        ),
        colour=[REFERENCE if one else COLOURS[0] for one in rows["reference"]],
    )
    scale = alt.Scale(domain=[0.0, high], nice=False)
    y = figures.names_axis(
        "language:N", LABEL_SPACE, paddingInner=0.25, paddingOuter=0.1
    )
    offset = alt.YOffset("bar:N", sort=kinds, scale=alt.Scale(paddingInner=0.1))
    x = alt.X("value:Q", title=axis_title, scale=scale, axis=alt.Axis(tickCount=4))
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(kinds))]
    colour = (
        alt.Color(
            "bar:N",
            scale=alt.Scale(domain=kinds, range=colours),
            legend=alt.Legend(
                title=None, orient="top", columns=2, symbolType="square", labelLimit=150
            ),
        )
        if several
        else alt.Color("colour:N", scale=None)
    )
    base = alt.Chart(alt.NamedData(name="rows"))
    layers: list[alt.Chart] = [
        base.mark_bar().encode(
            y=y, yOffset=offset, x=x, color=colour, description="tip:N"
        ),
        figures.span(
            base,
            alt.X("ci_low:Q", title=axis_title, scale=scale),
            "ci_low",
            "ci_high",
            y={"y": y, "yOffset": offset},
            stroke=INK,
            strokeWidth=1.1,
        ),
    ]
    if chance is not None:
        x = alt.X("chance:Q", title=axis_title, scale=scale)
        layers.append(figures.level_line(x, "chance", chance, stroke=INK))
    groups = rows["language"].nunique()
    thick = BAR if len(kinds) < 3 else 8
    chart = alt.layer(*layers).properties(
        width=315 - LABEL_SPACE, height=groups * (thick * len(kinds) + 5)
    )
    return figures.titled(chart, name, data, title)


def bar_panels(
    parts: Sequence[tuple[LanguageRun, str, str]],
    codes: Sequence[str],
    *,
    name: str,
    axis_title: str,
) -> tuple[Panel, ...]:
    """Panels of bars: for each language one bar of each part.

    Args:
        parts: Runs with the outcome that is drawn and the name of its bar.
        codes: Languages in the order in which they shall stand.
        name: File name of the panels, which are numbered.
        axis_title: Of the horizontal axes.
    """
    kinds = list(dict.fromkeys(bar for _, _, bar in parts))
    rows = [
        _bar(run, key, bar, code)
        for code in codes
        for run, key, bar in parts
        if code in run.answers.names
    ]
    chances = [_chance(run, key) for run, key, _ in parts]
    same = chances[0] if len(set(chances)) == 1 else None
    frame = pd.DataFrame(rows)
    top = float(np.nanmax(frame[["value", "ci_high"]].to_numpy(), initial=1.0))
    top = max(top, 0.0 if same is None else same)
    return tuple(
        bars(
            frame[frame["code"].isin(part)],
            name=f"{name}-{place}",
            axis_title=axis_title,
            high=min(100.0, 1.04 * top),
            chance=same,
        )
        for place, part in enumerate(in_panels(codes, len(kinds)), 1)
    )


def _bar(
    run: LanguageRun, key: str, bar: str, code: str
) -> dict[str, str | float | bool]:
    level, reference = run.level(code, key), code == run.answers.reference
    return {
        "code": code,
        "language": run.answers.name(code) + (" (reference)" if reference else ""),
        "bar": bar,
        "value": figures.percent_of(level.estimate),
        "ci_low": figures.percent_of(level.ci_low),
        "ci_high": figures.percent_of(level.ci_high),
        "reference": reference,
    }


def _chance(run: LanguageRun, key: str) -> float | None:
    outcome = next(one for one in run.answers.outcomes if one.key == key)
    if outcome.chance is None:
        return None
    return round(100 * float(outcome.chance[outcome.known].mean()), 6)


CHANCE = " The dashed line is chance."
GREY = " Grey: the language that others are compared with."
BOUNDS: Mapping[str, str] = {
    "accuracy": "Wilson, of the effective number of questions by passage",
    "f1": "Student's t, clustered by document",
    "exact_match": "Wilson, of the effective number of questions by document",
}
"""Outcome -> how it is bounded."""


def level_figure(run: LanguageRun, prefix: str) -> Figure:
    """The answers of each language, the best answered first."""
    answers = run.answers
    several = len(answers.outcomes) > 1
    parts = [(run, one.key, TITLES[one.key]) for one in answers.outcomes]
    first, *rest = answers.outcomes
    title = " and ".join([TITLES[first.key], *(NOUNS[one.key] for one in rest)])
    what = (
        "Share of questions whose right letter has the highest score"
        if answers.crossed
        else "Match of the answers with the references"
    )
    bounds = "; ".join(
        f"{TITLES[one.key]}: {BOUNDS[one.key]}" if several else BOUNDS[one.key]
        for one in answers.outcomes
    )
    return Figure(
        id=f"{prefix}-levels",
        title=f"{title} by language",
        caption=f"{what}, with 95% intervals ({bounds})."
        + ("" if answers.outcomes[0].chance is None else CHANCE)
        + ("" if several or answers.reference is None else GREY)
        + ("" if answers.crossed else " The languages have different questions."),
        alt=f"Bars of {NOUNS[run.key]} by language for {run.label}; the numbers are in "
        "the table.",
        panels=bar_panels(
            parts, run.ordered(), name=f"{prefix}-levels", axis_title=f"{title}, %"
        ),
    )
