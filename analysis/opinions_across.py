"""Runs side by side: fidelity against diversity, and similarity across models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from analysis import columns as col
from analysis import figures
from analysis.drawing import Scale
from analysis.html import (
    DASH,
    Figure,
    Table,
    number,
)
from analysis.opinions import OpinionRun
from analysis.opinions_diversity import Standing
from analysis.opinions_tables import common_note, standing_columns
from analysis.opinions_words import all_of, name, triple
from analysis.similarity import BASE_NAMES
from analysis.wording import questions


def similarity_scale(values: pd.Series) -> Scale:
    """Blue: more alike than the mean of the countries shown."""
    middle = float(values.mean())
    reach = max(float((values - middle).abs().max()), 1e-9)
    return Scale(
        low=middle - reach,
        middle=middle,
        high=middle + reach,
        reverse=True,
        words=("most alike", "least alike"),
    )


def _first_country(run: OpinionRun) -> str:
    closest = run.closest
    first = DASH if closest is None else name(closest.order[0])
    settled = closest is not None and not closest.rivals
    return f"{first}{'' if settled else ' (not resolved)'}"


def across_table(runs: Sequence[OpinionRun], prefix: str) -> Table:
    """The runs side by side on the common set."""
    rotated = any(run.position is not None for run in runs)
    place = col.value("Place bias", lambda run: run.position and run.position.variation)
    first_run = runs[0]
    return col.table(
        id=f"{prefix}-overview",
        title="The models side by side",
        note=f"{common_note(first_run)} Fidelity is the mean similarity to these "
        f"countries (1 \u2212 Jensen-Shannon distance, {BASE_NAMES[first_run.base]}); "
        "a uniform answerer has "
        f"{number(first_run.diversity.uniform.fidelity.estimate, 3)}; p is of the "
        "difference from it, Holm's over the models."
        + (
            " Place bias: total variation of the probabilities of places from equal "
            "ones."
            if rotated
            else ""
        ),
        columns=[
            col.text("Model", lambda run: run.label),
            col.count("Questions", lambda run: run.counts.questions),
            *standing_columns(lambda run: run.diversity.model.records),
            col.value("Above uniform", lambda run: run.diversity.over_uniform, 3),
            col.holm("p (Holm)", lambda run: run.diversity.over_uniform),
            col.text("First country", _first_country),
            *([place] if rotated else []),
        ],
        rows=runs,
        frame=[
            record
            for run in runs
            for record in (*run.diversity.model.records, run.diversity.over_uniform)
        ],
    )


def plane_figure(
    runs: Sequence[OpinionRun], prefix: str, *, yardsticks: bool
) -> Figure:
    """Fidelity against diversity, a point per run.

    Args:
        runs: On one common set.
        prefix: Of the figure's id.
        yardsticks: Also show each country's own answers, not only the uniform
            answerer and the pool.
    """
    first = runs[0].diversity
    size = len(runs[0].common.publics)
    standings: list[tuple[str, Standing, bool]] = [
        *((run.label, run.diversity.model, False) for run in runs),
        ("Uniform answerer", first.uniform, True),
        ("Human pool", first.pool, True),
    ]
    if yardsticks:
        standings += [(name(one.country or ""), one, True) for one in first.countries]
    panels = []
    for which, title, of in (
        ("effective", f"Effective number of countries (of {size})", "effective"),
        ("entropy", "Entropy relative to the human pool's", "relative_entropy"),
    ):
        points = []
        for label, one, hollow in standings:
            record = one.effective if of == "effective" else one.relative_entropy
            x, x_low, x_high = triple(record)
            y, y_low, y_high = triple(one.fidelity)
            points.append(
                {
                    "country": label,
                    "x": x,
                    "y": y,
                    "x_low": math.nan if hollow else x_low,
                    "x_high": math.nan if hollow else x_high,
                    "y_low": math.nan if hollow else y_low,
                    "y_high": math.nan if hollow else y_high,
                    "hollow": hollow,
                }
            )
        panels.append(
            figures.scatter(
                pd.DataFrame(points),
                name=f"{prefix}-plane-{which}",
                x_title=title,
                y_title="Fidelity (mean similarity)",
                reverse_x=False,
                reverse_y=False,
                digits=3,
            )
        )
    marks = "a uniform answerer, and what the people of the other countries answer"
    if yardsticks:
        marks += "; and each country's own answers, held against the other countries"
    n = len(runs[0].common.questions)
    return Figure(
        id=f"{prefix}-plane",
        title="Fidelity against diversity",
        caption=f"Over the {questions(n)} asked in {all_of(size)}; "
        f"Jensen-Shannon {BASE_NAMES[runs[0].base]}. Up: more like people. Right: more "
        "countries match best in turn (first panel), or answers more mixed within a "
        f"question (second panel). Bars are 95% intervals over questions. Hollow marks "
        f"are yardsticks: {marks}.",
        alt="Scatter plots of fidelity against two measures of diversity; the numbers "
        "are in the tables.",
        panels=tuple(panels),
    )


def heat_figure(runs: Sequence[OpinionRun], prefix: str) -> Figure:
    """Similarity of every run to the common set's countries."""
    values = pd.DataFrame(
        {
            run.label: run.countries.set_index("country")["common"].dropna()
            for run in runs
        }
    )
    values = values.loc[values.mean(axis=1).sort_values(ascending=False).index]
    cells = figures.cells_of(values)
    return Figure(
        id=f"{prefix}-heat",
        title="Similarity across models",
        caption=f"Mean similarity (Jensen-Shannon {BASE_NAMES[runs[0].base]}) on the "
        "common question set; blue is more alike than the mean of all cells.",
        alt="Heat map of countries by models; the numbers are in the tables.",
        panels=(
            figures.heatmap(
                cells,
                name=f"{prefix}-heat-all",
                scale=similarity_scale(cells["value"]),
                digits=2,
            ),
        ),
    )
