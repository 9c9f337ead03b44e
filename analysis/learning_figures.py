"""Learning curves drawn: held-out accuracy against the training step."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from analysis.doseresponse_sweep import STAGES
from analysis.drawing import BLUE, Panel, json_rows, render
from analysis.html import Figure, slugs
from analysis.learning import ALL, Learning
from analysis.wording import percent

COLOURS = (
    BLUE,
    "#d3782b",
    "#7fb3d3",
    "#8a3d07",
    "#5c6773",
    "#c9a227",
    "#3f7f4f",
    "#9b5a8f",
)
MOST_LINES = len(COLOURS)
"""Groups that a panel draws; the table has all."""


def training_words(one: Learning) -> str:
    """``SFT, treatment, share 50%``."""
    share = "" if one.share is None else f", share {percent(one.share)}"
    source = f"{one.source}, " if one.source else ""
    return f"{source}{STAGES.get(one.stage, one.stage)}, {one.arm}{share}"


def curve_figure(curves: Sequence[Learning], prefix: str) -> Figure:
    """Accuracy against the step by group, a panel for each stage, arm and share.

    Args:
        curves: Of one column.
        prefix: Of the figure's id and files.
    """
    column = curves[0].column
    names = slugs([one.key for one in curves])
    most = max(len(one.groups) for one in curves)
    every = [
        value
        for one in curves
        for group in one.groups[:MOST_LINES]
        for seed in group.seeds
        for value in seed.accuracy
    ]
    domain = max(0.0, 100 * min(every) - 3), min(100.0, 100 * max(every) + 3)
    return Figure(
        id=f"{prefix}-curves",
        title="Held-out accuracy in training"
        + ("" if column == ALL else f", by {column}"),
        caption="Thick: mean over seeds; thin: each seed. Lines are straight between "
        "the steps that were measured."
        + (f" Drawn are {MOST_LINES} groups at most." if most > MOST_LINES else ""),
        alt="Lines of accuracy on held-out pairs against the training step; the ends "
        "are in the table.",
        panels=tuple(
            _panel(one, f"{prefix}-{name}", domain)
            for one, name in zip(curves, names, strict=True)
        ),
    )


def _panel(one: Learning, name: str, domain: tuple[float, float]) -> Panel:
    drawn = one.groups[:MOST_LINES]
    frames = []
    for group in drawn:
        for seed in group.seeds:
            frames.append(
                pd.DataFrame(
                    {
                        "group": group.group,
                        "line": f"{group.group} {seed.seed}",
                        "step": seed.steps,
                        "accuracy": 100 * seed.accuracy,
                        "mean": False,
                    }
                )
            )
        # Seeds are averaged where all were measured.
        every = pd.concat(frames[-len(group.seeds) :])
        counted = every.groupby("step")["accuracy"].agg(["mean", "size"])
        whole = counted[counted["size"] == len(group.seeds)]
        frames.append(
            pd.DataFrame(
                {
                    "group": group.group,
                    "line": group.group,
                    "step": whole.index.to_numpy(),
                    "accuracy": whole["mean"].to_numpy(),
                    "mean": True,
                }
            )
        )
    rows = pd.concat(frames, ignore_index=True)
    base = alt.Chart(alt.NamedData(name="rows"))
    encoded = {
        "x": alt.X("step:Q", title="Training step", axis=alt.Axis(tickCount=5)),
        "y": alt.Y(
            "accuracy:Q",
            title="% right",
            scale=alt.Scale(domain=list(domain), nice=False, zero=False),
            axis=alt.Axis(tickCount=5),
        ),
        "detail": "line:N",
        "color": alt.Color(
            "group:N",
            scale=alt.Scale(
                domain=[group.group for group in drawn],
                range=list(COLOURS[: len(drawn)]),
            ),
            legend=alt.Legend(
                title=None,
                orient="bottom",
                columns=3,
                symbolType="stroke",
                symbolOpacity=1,
                symbolStrokeWidth=2,
            )
            if len(drawn) > 1
            else None,
        ),
    }
    chart = alt.layer(
        base.transform_filter("!datum.mean")
        .mark_line(strokeWidth=0.8, opacity=0.45)
        .encode(**encoded),
        base.transform_filter("datum.mean")
        .mark_line(strokeWidth=2.4)
        .encode(**encoded),
    ).properties(width=235, height=170, title=training_words(one))
    return render(chart, name, {"rows": json_rows(rows)})
