"""Figures of texts in several dialects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from analysis import figures
from analysis.countries_figures import interval_rows
from analysis.dialects_pairs_analysis import PairRun
from analysis.dialects_pairs_settings import SHIFT, Setting
from analysis.dialects_pairs_words import name_of, rows_text
from analysis.drawing import BLUE, INK, Panel, json_rows, render
from analysis.html import Figure
from analysis.opinions_checks_figures import padded
from analysis.wording import side_of

LABEL_SPACE = 165
"""Pixels for the names of dialects."""
COLOURS = (BLUE, "#d3782b", "#6b8f3a", "#7b5ea7", "#8c98a5", "#c2a33a")
"""Of models, side by side."""
MODELS = len(COLOURS)
"""Most models whose bars stand side by side."""


def forest_figure(run: PairRun, prefix: str) -> Figure | None:
    """d_z of every dialect in every setting; None: nothing has one."""
    rows = {
        setting.key: rows
        for setting in run.settings
        if setting is not SHIFT and len(rows := forest_rows(run, setting))
    }
    if not rows:
        return None
    domain = padded(pd.concat(list(rows.values())), 0.0)
    return Figure(
        id=f"{prefix}-forest",
        title=f"What a dialect costs {run.label}, by what is varied",
        caption=f"Right of the dashed line {name_of(run.table.reference)} is "
        "preferred, left of it the dialect. d_z is the mean difference over the SD of "
        "the differences: how consistent it is, not how large. Filled: the t-test is "
        "below 5% after Holm; hollow: not shown. Lines are 95% intervals over "
        f"{run.table.cluster}s, not adjusted, so that some pass the dashed line and "
        "stay hollow. Rows in which the text is the same are left out.",
        alt=f"Forest plots of dialects for {run.label}; the numbers are in the tables.",
        panels=tuple(
            figures.intervals(
                rows[setting.key],
                name=f"{prefix}-forest-{setting.key.replace('_', '-')}",
                domain=domain,
                axis_title="d_z (reference \u2212 dialect)",
                title=setting.title,
                label_space=LABEL_SPACE,
            )
            for setting in run.settings
            if setting.key in rows
        ),
    )


def forest_rows(run: PairRun, setting: Setting) -> pd.DataFrame:
    """Rows of one setting: a filled mark for each dialect that is shown."""
    shown = {dialect for side in run.sides(setting)[:2] for dialect in side}
    return interval_rows(
        [
            (name_of(dialect), record, None, dialect not in shown)
            for dialect in run.compared(setting)
            if (record := run.of(setting, "cohens_d_z", dialect)) is not None
        ]
    )


def accuracy_figure(runs: Sequence[PairRun], prefix: str) -> Figure | None:
    """Accuracy in each dialect, a bar for each model; None: no run has any."""
    drawn = [run for run in runs if run.accuracy is not None][:MODELS]
    if not drawn:
        return None
    several = len(runs) > 1
    rows = []
    for run in drawn:
        for dialect in (run.table.reference, *run.table.dialects):
            found = run.about_accuracy("accuracy", dialect)
            if found is None or found.estimate is None:
                continue
            drop = run.about_accuracy("accuracy_drop", dialect)
            shown = drop is not None and side_of(drop) != 0
            rows.append(
                {
                    "dialect": name_of(dialect) + (" *" if shown else ""),
                    "model": run.label,
                    "accuracy": 100 * found.estimate,
                    "low": figures.percent_of(found.ci_low),
                    "high": figures.percent_of(found.ci_high),
                    "reference": dialect == run.table.reference,
                }
            )
    frame = pd.DataFrame(rows)
    if several:
        frame["dialect"] = frame["dialect"].str.removesuffix(" *")
    n = max(
        int(record.n)
        for run in drawn
        for record in run.records
        if record.metric == "accuracy"
    )
    more = sum(run.accuracy is not None for run in runs) - len(drawn)
    return Figure(
        id=f"{prefix}-accuracy",
        title="How often the chosen answer scores higher, by dialect",
        caption="Prompt and both answers in one dialect, ties counting one half, with "
        f"Wilson's 95% interval; up to {rows_text(n)}; the dashed line is chance. "
        + (
            "Bars of one colour are one model."
            if several
            else "A star: the change from the reference (grey) is below 5% after Holm."
        )
        + " The rows are the same ones, so that changes are surer than the bars' "
        "intervals look."
        + (f" {more} more models are in the tables only." if more > 0 else ""),
        alt="Bars of accuracy by dialect; the numbers are in the tables.",
        panels=(bars(frame, name=f"{prefix}-accuracy-bars", several=several),),
    )


def bars(rows: pd.DataFrame, *, name: str, several: bool) -> Panel:
    """Grouped horizontal bars with intervals.

    Args:
        rows: Columns dialect, model, accuracy, low and high (in percent), reference.
        name: File name of the panel.
        several: Colours tell models apart, else the reference from the others.
    """
    data = rows.assign(
        tip=figures.tips(
            rows,
            lambda row: f"{row.model}, {row.dialect}",
            unit="%",
            value="accuracy",
            low="low",
            high="high",
        )
    )
    models = list(dict.fromkeys(rows["model"]))
    base = alt.Chart(alt.NamedData(name="rows")).encode(
        y=figures.names_axis("dialect:N", LABEL_SPACE, paddingInner=0.25),
        yOffset=alt.YOffset("model:N", sort=models),
        description="tip:N",
    )
    x_scale = alt.Scale(domain=[0, 100], nice=False)
    title = "Chosen above rejected, % of rows"
    colour: Any = (
        alt.Color(
            "model:N",
            sort=models,
            scale=alt.Scale(domain=models, range=list(COLOURS[: len(models)])),
            legend=alt.Legend(title=None, orient="bottom", columns=1, labelLimit=300),
        )
        if several
        else alt.condition("datum.reference", alt.value("#aab4be"), alt.value(BLUE))
    )
    chance = figures.level_line(
        alt.X("chance:Q", scale=x_scale, title=title), "chance", 50
    )
    chart = alt.layer(
        base.mark_bar(opacity=0.85).encode(
            x=alt.X(
                "accuracy:Q",
                scale=x_scale,
                title=title,
                axis=alt.Axis(tickCount=5),
            ),
            color=colour,
        ),
        figures.span(
            base,
            alt.X("low:Q", scale=x_scale, title=title),
            "low",
            "high",
            stroke=INK,
            strokeWidth=1.3,
        ),
        chance,
    ).properties(
        width=330 - LABEL_SPACE,
        height=alt.Step(12 if several else 20),
    )
    return render(chart, name, {"rows": json_rows(data)})
