"""Learning curves drawn: held-out accuracy and margin against the training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt
import pandas as pd

from analysis.doseresponse_sweep import STAGES
from analysis.drawing import BLUE, Panel, json_rows, render
from analysis.html import Figure, slugs
from analysis.learning import ALL, MARGINS, Learning
from analysis.learning_curves import SeedCurve
from analysis.resample import Floats
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


def accuracy_figure(curves: Sequence[Learning], prefix: str) -> Figure:
    """Accuracy against the step by group, a panel for each stage, arm and share.

    Args:
        curves: Of one column.
        prefix: Of the figure's id and files.
    """
    every = _drawn_values(curves, _accuracy)
    domain = max(0.0, min(every) - 3), min(100.0, max(every) + 3)
    return Figure(
        id=f"{prefix}-curves",
        title=f"Held-out accuracy in training{_by(curves)}",
        caption=_caption(curves),
        alt="Lines of accuracy on held-out pairs against the training step; the ends "
        "are in the table.",
        panels=tuple(
            _panel(
                one,
                f"{prefix}-{name}",
                _shown(curves, one),
                _accuracy,
                "% right",
                domain,
            )
            for one, name in zip(curves, _names(curves), strict=True)
        ),
    )


def margin_figure(curves: Sequence[Learning], prefix: str) -> Figure:
    """Mean margin against the step by group, panels as of `accuracy_figure`.

    Panels of one stage share their scale, which has zero in it: stages differ in unit.

    Args:
        curves: Of one column.
        prefix: Of the figure's id and files.
    """
    domains = {}
    for stage in {one.stage for one in curves}:
        of_stage = [one for one in curves if one.stage == stage]
        every = [0.0, *_drawn_values(of_stage, _margin)]
        room = 0.05 * (max(every) - min(every)) or 1.0
        domains[stage] = min(every) - room, max(every) + room
    return Figure(
        id=f"{prefix}-margins",
        title=f"Held-out margin in training{_by(curves)}",
        caption="Mean over pairs of the chosen answer's reward less that of the "
        "rejected one: above zero, the chosen one scores higher. "
        + ("DPO's are implicit rewards, alike at step 0. " if "dpo" in domains else "")
        + _caption(curves),
        alt="Lines of the mean margin of held-out pairs against the training step; the "
        "ends are in the table.",
        panels=tuple(
            _panel(
                one,
                f"{prefix}-{name}-margin",
                _shown(curves, one),
                _margin,
                f"mean margin ({MARGINS.get(one.stage, one.stage)})",
                domains[one.stage],
            )
            for one, name in zip(curves, _names(curves), strict=True)
        ),
    )


def _accuracy(seed: SeedCurve) -> Floats:
    return 100 * seed.accuracy


def _margin(seed: SeedCurve) -> Floats:
    return seed.margin


def _drawn_values(
    curves: Sequence[Learning], values: Callable[[SeedCurve], Floats]
) -> list[float]:
    return [
        float(value)
        for one in curves
        for group in one.groups
        if group.group in _shown(curves, one)
        for seed in group.seeds
        for value in values(seed)
    ]


def _shown(curves: Sequence[Learning], one: Learning) -> list[str]:
    """Groups that a panel draws, in all in the same colour unless these are too few."""
    every = dict.fromkeys(group.group for one in curves for group in one.groups)
    if len(every) <= MOST_LINES:
        return list(every)
    return [group.group for group in one.groups[:MOST_LINES]]


def _by(curves: Sequence[Learning]) -> str:
    column = curves[0].column
    return "" if column == ALL else f", by {column}"


def _names(curves: Sequence[Learning]) -> list[str]:
    return slugs([one.key for one in curves])


def _caption(curves: Sequence[Learning]) -> str:
    most = max(len(one.groups) for one in curves)
    several = any(len(group.seeds) > 1 for one in curves for group in one.groups)
    return (
        ("Thick: mean over seeds; thin: each seed. " if several else "")
        + "Lines are straight between the steps that were measured."
        + (f" Drawn are {MOST_LINES} groups at most." if most > MOST_LINES else "")
    )


def _panel(
    one: Learning,
    name: str,
    shown: Sequence[str],
    values: Callable[[SeedCurve], Floats],
    title: str,
    domain: tuple[float, float],
) -> Panel:
    drawn = [group for group in one.groups if group.group in shown]
    frames = []
    for group in drawn:
        for seed in group.seeds:
            frames.append(
                pd.DataFrame(
                    {
                        "group": group.group,
                        "line": f"{group.group} {seed.seed}",
                        "step": seed.steps,
                        "value": values(seed),
                        "mean": False,
                    }
                )
            )
        # Seeds are averaged where all were measured.
        every = pd.concat(frames[-len(group.seeds) :])
        counted = every.groupby("step")["value"].agg(["mean", "size"])
        whole = counted[counted["size"] == len(group.seeds)]
        frames.append(
            pd.DataFrame(
                {
                    "group": group.group,
                    "line": group.group,
                    "step": whole.index.to_numpy(),
                    "value": whole["mean"].to_numpy(),
                    "mean": True,
                }
            )
        )
    rows = pd.concat(frames, ignore_index=True)
    base = alt.Chart(alt.NamedData(name="rows"))
    encoded = {
        "x": alt.X("step:Q", title="Training step", axis=alt.Axis(tickCount=5)),
        "y": alt.Y(
            "value:Q",
            title=title,
            scale=alt.Scale(domain=list(domain), nice=False, zero=False),
            axis=alt.Axis(tickCount=5),
        ),
        "detail": "line:N",
        "color": alt.Color(
            "group:N",
            scale=alt.Scale(
                domain=list(shown),
                range=list(COLOURS[: len(shown)]),
            ),
            legend=alt.Legend(
                title=None,
                orient="bottom",
                columns=2,
                symbolType="stroke",
                symbolOpacity=1,
                symbolStrokeWidth=2,
            )
            if len(shown) > 1
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
