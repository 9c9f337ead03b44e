"""Figures of what a run's numbers hang on: places and personas."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import figures
from analysis.countries_figures import interval_rows
from analysis.drawing import Panel
from analysis.html import Figure
from analysis.opinions import OpinionRun
from analysis.opinions_words import name
from analysis.wording import questions

PANELS = 4
"""Most numbers of options that the figure of places shows."""
PERSONAS = 12
"""Most personas of which single shifts are drawn."""


def place_figure(run: OpinionRun, prefix: str) -> Figure | None:
    """Mean probability of each place; None: no rotations."""
    if run.position is None:
        return None
    places = run.position.places
    sizes = places.drop_duplicates("n_options").sort_values(
        "n_questions", ascending=False
    )["n_options"]
    panels = []
    for size in sorted(sizes.head(PANELS)):
        part = places[places["n_options"] == size]
        rows = pd.DataFrame(
            {
                "row": [f"Place {place}" for place in part["place"]],
                "estimate": part["share"],
                "ci_low": part["ci_low"],
                "ci_high": part["ci_high"],
                "inner_low": np.nan,
                "inner_high": np.nan,
                "hollow": False,
            }
        )
        top = float(np.nanmax(places[["share", "ci_high"]].to_numpy()))
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-places-{size}",
                domain=(0.0, min(1.0, 1.05 * top)),
                axis_title="Mean probability",
                title=f"{size} options ({questions(int(part['n_questions'].iloc[0]))})",
                zero=1 / size,
                label_space=70,
            )
        )
    return Figure(
        id=f"{prefix}-places",
        title="Does the place of an option count?",
        caption="Mean probability of whatever stands at each place, over questions "
        "asked once with every option at every place; bars are 95% intervals over "
        "questions. A model that only reads the options puts every mark on the dashed "
        "line, equal places.",
        alt=f"Probability by place of the option for {run.label}.",
        panels=tuple(panels),
    )


def steering_figure(run: OpinionRun, prefix: str) -> Figure | None:
    """Own shift of each persona, and what of it is about the country."""
    if run.steering is None:
        return None
    panels: list[Panel] = []
    for records, which, title in (
        (run.steering.own, "own", "Towards its own people"),
        (run.steering.relative, "relative", "The same less other countries"),
    ):
        lines = [(name(str(one.group)), one, None, False) for one in records[:PERSONAS]]
        if not lines:
            continue
        rows = interval_rows(lines)
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-steering-{which}",
                domain=padded(rows, 0.0),
                axis_title="Change of similarity",
                title=title,
                digits=3,
                label_space=120,
            )
        )
    return Figure(
        id=f"{prefix}-steering",
        title="Asked from a country's perspective",
        caption="Change of the similarity when the same questions are asked from a "
        "persona's perspective, with 95% intervals over questions. First: towards the "
        "answers of the persona's own people. Second: what of it is not shared by the "
        "other countries; a general movement leaves nothing."
        + (
            f" The first {PERSONAS} personas; all are in the table."
            if len(run.steering.own) > PERSONAS
            else ""
        ),
        alt="Shifts by persona; the numbers are in the table of personas.",
        panels=tuple(panels),
    )


def padded(rows: pd.DataFrame, *more: float) -> tuple[float, float]:
    """A domain that holds estimates and intervals, with room at both ends."""
    values = [*rows[["estimate", "ci_low", "ci_high"]].to_numpy().ravel(), *more]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.05 * (high - low) or 0.05
    return low - room, high + room
