"""Figures of the publics that a run was compared with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from analysis import figures, worldmap
from analysis.association import MIN_COUNTRIES
from analysis.countries_axis import CountryAnalysis, RunAnalysis
from analysis.countries_figures import interval_rows
from analysis.drawing import Panel, Scale
from analysis.html import Figure, number
from analysis.records import Record
from analysis.wording import public_title
from data_builders import countries

AGREEMENT = Scale(low=-1, middle=0, high=1, reverse=True, words=("agrees", "disagrees"))
"""Of rho: blue where a public and the model rank countries alike."""
FAVOURABLE = Scale(low=0, middle=50, high=100, reverse=True)
"""Of percent favourable."""
PANEL_ROWS = 21
"""Most publics of one panel of the dot plot: 41 make two."""
PANEL_COLUMNS = 10
"""Most countries of one panel of the heat map: a phone's width."""
RATERS = 2
"""Fewest publics that rate a country of the heat map."""


def dots_figure(run: RunAnalysis, prefix: str) -> Figure | None:
    """Every public's rho with both intervals; None: none could be computed."""
    lines: list[tuple[str, Record, Record | None, bool]] = [
        (public_title(view.public), view.headline, view.precision, not view.counted)
        for view in run.views.views
        if view.headline.estimate is not None
    ]
    if not lines:
        return None
    count = math.ceil(len(lines) / PANEL_ROWS)
    size = math.ceil(len(lines) / count)
    return Figure(
        id=f"{prefix}-views-dots",
        title="Agreement with each public",
        caption="Rank correlation of mean ranks with percent favourable. Thin line: "
        "95% interval with countries and questions resampled; shaded: questions only. "
        "Hollow: another sample of a country that is counted already. Each public "
        "rates its own set of countries, so the marks are not to be read against each "
        "other.",
        alt=f"Agreement of the ranking with {len(lines)} publics; the numbers are in "
        "the table.",
        panels=tuple(
            figures.intervals(
                interval_rows(lines[i * size : (i + 1) * size]),
                name=f"{prefix}-views-dots-{i + 1}",
                domain=(-1, 1),
                axis_title="Spearman's rho",
                label_space=145,
            )
            for i in range(count)
        ),
    )


def views_map(run: RunAnalysis, prefix: str) -> Figure:
    """Rho by respondent country."""
    known = [view for view in run.views.counted if view.headline.estimate is not None]
    values = pd.DataFrame(
        {
            "numeric": [countries.by_key(view.public.key).numeric for view in known],
            "value": [view.headline.estimate for view in known],
            "label": [
                f"{countries.by_key(view.public.key).name}: rho "
                f"{number(view.headline.estimate)} (n = {view.headline.n})"
                for view in known
            ],
        }
    )
    return worldmap.map_figure(
        values,
        name=f"{prefix}-views-map",
        scale=AGREEMENT,
        legend="Agreement of each country's public with the ranking (rho)",
        digits=0,
        title="Whose view: agreement by country of the public",
        caption="Blue: the public rates countries as the model ranks them; orange: the "
        "other way round; grey: no public, or one that rates fewer than "
        f"{MIN_COUNTRIES} of the countries. Most of these colours are not told apart "
        "from chance: the table says which.",
        alt_text="World map of the rank correlation with each country's public; the "
        "numbers are in the table.",
        too_small="Too small to be drawn at this scale:",
    )


def opinions_figure(run: RunAnalysis, prefix: str) -> Figure:
    """The opinions themselves, countries in the model's order."""
    views = run.views.counted
    raters = Counter(key for view in views for key in view.targets)
    order = [key for key in run.ranks.index if raters[key] >= RATERS]
    count = math.ceil(len(order) / PANEL_COLUMNS)
    size = math.ceil(len(order) / count)

    def panel(number_of: int, keys: Sequence[str]) -> Panel:
        cells = pd.DataFrame(
            [
                {
                    "row": countries.by_key(view.public.key).name,
                    "column": f"{order.index(key) + 1}  {countries.by_key(key).name}",
                    "value": view.public.shares.get(key, math.nan),
                }
                for view in views
                for key in keys
            ]
        )
        return figures.heatmap(
            cells,
            name=f"{prefix}-views-opinions-{number_of}",
            scale=FAVOURABLE,
            digits=0,
            title=f"The model's places {order.index(keys[0]) + 1} to "
            f"{order.index(keys[-1]) + 1}",
        )

    return Figure(
        id=f"{prefix}-views-opinions",
        title="What each public thinks of the countries, in the model's order",
        caption="Percent favourable. Columns: the countries rated, from most to "
        "least favoured by the model, with their place among them; rows: publics, as "
        "in the table. A public that agrees goes from blue to orange from the first "
        "column to the last. Grey: not asked, or its own country.",
        alt="Heat map of publics by countries rated; the numbers are packaged with "
        "rm-probe.",
        panels=tuple(
            panel(i + 1, order[i * size : (i + 1) * size]) for i in range(count)
        ),
        folded=True,
    )


def views_heatmap(analysis: CountryAnalysis, prefix: str) -> Figure | None:
    """Rho of every run with every public; None: no run was compared with any."""
    cells = pd.DataFrame(
        [
            {
                "row": countries.by_key(view.public.key).name,
                "column": run.label,
                "value": math.nan
                if view.headline.estimate is None
                else view.headline.estimate,
            }
            for run in analysis.runs
            for view in run.views.counted
        ]
    )
    if cells.empty:
        return None
    mean = cells.groupby("row")["value"].mean().sort_values(ascending=False)
    place = {row: i for i, row in enumerate(mean.index)}
    cells = cells.sort_values("row", key=lambda rows: rows.map(place), kind="stable")
    return Figure(
        id=f"{prefix}-views-models",
        title="Whose view of the world, model by model",
        caption="Spearman's rho of mean ranks with what each public thinks of other "
        "countries, from the public that agrees most on average to the one that agrees "
        "least; blue agrees, orange disagrees. Intervals and tests are with each "
        "model; most of these numbers are not told apart from chance.",
        alt="Heat map of publics by models; the numbers are in the tables.",
        panels=(
            figures.heatmap(
                cells,
                name=f"{prefix}-views-models",
                scale=AGREEMENT,
                digits=2,
            ),
        ),
        folded=True,
    )
