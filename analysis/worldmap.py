"""A world map of one value per country, from packaged outlines, offline."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from analysis.drawing import COAST, NO_DATA, Panel, Scale, json_rows, render, rows_of
from analysis.html import ColourKey, Figure, Swatch, number


@cache
def _outlines() -> dict[str, Any]:
    """The packaged TopoJSON without Antarctica."""
    path = resources.files("analysis") / "maps" / "countries-110m.json"
    world = json.loads(path.read_text(encoding="utf-8"))
    shapes = world["objects"]["countries"]["geometries"]
    world["objects"] = {
        "countries": {
            "type": "GeometryCollection",
            "geometries": [shape for shape in shapes if shape.get("id") != "010"],
        }
    }
    return dict(world)


@cache
def drawn_ids() -> frozenset[str]:
    """ISO 3166 numeric codes of the countries that the map has an outline for."""
    shapes = _outlines()["objects"]["countries"]["geometries"]
    return frozenset(shape["id"] for shape in shapes if "id" in shape)


def world_map(
    values: pd.DataFrame, *, name: str, scale: Scale, legend: str, digits: int
) -> Panel:
    """A choropleth; countries without a value are grey.

    Args:
        values: Columns numeric (three-digit ISO 3166 code as a string), value and
            label (what a pointer over the country shows).
        name: File name of the panel.
        scale: Colours.
        legend: Title of the colour bar.
        digits: Decimals in the colour bar.
    """
    world = alt.NamedData(
        name="world",
        format=alt.TopoDataFormat(type="topojson", feature="countries"),
    )
    rows = alt.NamedData(name="rows")
    joined = alt.Chart(world).transform_lookup(
        lookup="id",
        from_=alt.LookupData(data=rows, key="numeric", fields=["value", "label"]),
    )
    # Two layers, because Vega-Lite drops a shape whose colour has no value.
    unknown = (
        joined.transform_filter("!isValid(datum.value)")
        .transform_calculate(tip="datum.properties.name + ': no data'")
        .mark_geoshape(fill=NO_DATA, stroke=COAST, strokeWidth=0.4)
        .encode(description=alt.Description("tip:N"))
    )
    known = (
        joined.transform_filter("isValid(datum.value)")
        .mark_geoshape(stroke=COAST, strokeWidth=0.4)
        .encode(
            color=alt.Color(
                "value:Q",
                scale=_colour_scale(scale),
                legend=_colour_legend(scale, legend, digits),
            ),
            description=alt.Description("label:N"),
        )
    )
    chart = (
        alt.layer(unknown, known)
        .project("equalEarth")
        .properties(width=860, height=400)
    )
    data = {
        "world": _outlines(),
        "rows": json_rows(values[["numeric", "value", "label"]]),
    }
    return render(chart, name, data)


def map_figure(
    values: pd.DataFrame,
    *,
    name: str,
    scale: Scale,
    legend: str,
    digits: int,
    title: str,
    caption: str,
    alt_text: str,
    too_small: str,
    folded: bool = False,
) -> Figure:
    """A world map as a figure, with the countries that are too small to be drawn.

    Args:
        values: As `world_map`.
        name: Of the figure and its panel.
        scale: Colours; its words name both ends.
        legend: Title of the colour bar.
        digits: Decimals in the colour bar.
        title: Of the figure.
        caption: Of the figure.
        alt_text: What a reader who cannot see the map should know.
        too_small: What is said before the countries that have no outline.
        folded: Shown only when opened.
    """
    missing = values[~values["numeric"].isin(drawn_ids())]
    panel = world_map(values, name=name, scale=scale, legend=legend, digits=digits)
    first, last = scale.ends
    return Figure(
        id=panel.name,
        title=title,
        caption=caption,
        alt=alt_text,
        panels=(panel,),
        layout="wide",
        folded=folded,
        key=ColourKey(
            title=legend,
            scale=scale,
            low=f"{number(scale.low, digits)} {first}",
            middle=number(scale.middle, digits),
            high=f"{number(scale.high, digits)} {last}",
        ),
        swatches=tuple(
            Swatch(label=row.label, colour=scale.colour(row.value))
            for row in rows_of(missing)
        ),
        swatch_note=too_small if len(missing) else "",
    )


def _colour_scale(scale: Scale) -> alt.Scale:
    stops = len(scale.colours)
    half = stops // 2
    below = np.linspace(scale.low, scale.middle, half + 1)
    above = np.linspace(scale.middle, scale.high, half + 1)[1:]
    return alt.Scale(
        domain=[*map(float, below), *map(float, above)],
        range=list(scale.colours),
        interpolate="rgb",
        clamp=True,
    )


def _colour_legend(scale: Scale, title: str, digits: int) -> alt.Legend:
    low, high = (
        f"{v:.{digits}f}".replace("-", "\u2212") for v in (scale.low, scale.high)
    )
    first, last = scale.ends
    middle, edge = (scale.low + scale.high) / 2, (scale.high - scale.low) / 4
    return alt.Legend(
        title=title,
        orient="bottom",
        direction="horizontal",
        gradientLength=300,
        gradientThickness=10,
        titleAnchor="middle",
        values=[scale.low, middle, scale.high],
        labelExpr=f"datum.value < {middle - edge} ? '{low} {first}' : "
        f"datum.value > {middle + edge} ? '{high} {last}' : '{middle:.{digits}f}'",
        labelOverlap=False,
        labelLimit=200,
        offset=4,
    )
