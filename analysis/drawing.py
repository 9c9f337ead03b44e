"""The reports' drawing style: colours, scales, and charts rendered to SVG and PNG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert as vlc

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
INK = "#1d2733"
MUTED = "#5c6773"
RULE = "#dde2e8"
NO_DATA = "#bcc2ca"
COAST = "#7d8894"
BLUE = "#1f6a9a"
FAVOURED_FIRST = (
    "#0b4a75",
    "#3a84b4",
    "#9cc5dc",
    "#f3efe6",
    "#efb983",
    "#d3782b",
    "#8a3d07",
)
"""Blue to orange, told apart by every common kind of colour vision; the first is the
most favoured, the middle neutral."""
_SVG = "http://www.w3.org/2000/svg"
_LONG_PATH = 60
"""Characters from which a path's coordinates are shortened."""
PNG_SCALE = 1.75
"""PNG pixels per SVG pixel: sharp on a laptop, moderate in size."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing."""

    name: str
    """File name without its ending, unique in a report."""
    svg: str
    """A whole SVG document."""
    png: bytes


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A diverging colour scale, low = most favoured unless `reverse`."""

    low: float
    middle: float
    high: float
    reverse: bool = False
    """True: high values are the favoured ones (rewards)."""
    words: tuple[str, str] = ("most favoured", "least favoured")
    """What the blue and the orange end mean, in a legend."""

    @property
    def colours(self) -> tuple[str, ...]:
        """Colours from `low` to `high`."""
        return FAVOURED_FIRST[::-1] if self.reverse else FAVOURED_FIRST

    @property
    def ends(self) -> tuple[str, str]:
        """What `low` and `high` mean."""
        first, last = self.words
        return (last, first) if self.reverse else (first, last)

    def colour(self, value: float) -> str:
        """The colour of one value, as ``#rrggbb``; outside the scale: its end."""
        half = (
            self.middle - self.low if value < self.middle else self.high - self.middle
        )
        where = 0.5 + 0.5 * (value - self.middle) / half if half > 0 else 0.5
        place = min(max(where, 0.0), 1.0) * (len(self.colours) - 1)
        left = min(int(place), len(self.colours) - 2)
        pair = [
            np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
            for colour in self.colours[left : left + 2]
        ]
        mixed = pair[0] + (pair[1] - pair[0]) * (place - left)
        return "#" + "".join(f"{round(float(part)):02x}" for part in mixed)


def rank_scale(mean_ranks: pd.Series, n_countries: int) -> Scale:
    """The scale of mean ranks: centred at no preference, symmetric, data-wide.

    Args:
        mean_ranks: Mean rank per country, 1 = most favoured.
        n_countries: Countries ranked together; no preference is ``(n + 1) / 2``.
    """
    middle = (n_countries + 1) / 2
    reach = float((mean_ranks - middle).abs().max()) if len(mean_ranks) else 1.0
    reach = max(reach, 0.5)
    return Scale(low=middle - reach, middle=middle, high=middle + reach)


def score_scale(scores: pd.Series) -> Scale:
    """The scale of mean scores: centred at their mean, high = favoured."""
    middle = float(scores.mean())
    reach = max(float((scores - middle).abs().max()), 1e-9)
    return Scale(low=middle - reach, middle=middle, high=middle + reach, reverse=True)


def render(
    chart: alt.Chart | alt.LayerChart | alt.FacetChart,
    name: str,
    data: Mapping[str, Any],
) -> Panel:
    """Draws a chart in the reports' style, without any network.

    Args:
        chart: The chart; its data are named.
        name: File name of the panel.
        data: Name -> values, as JSON takes them. They go round Altair, which would
            walk through every value.
    """
    styled = (
        chart.configure(background="#ffffff", font=FONT, padding=8)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            labelFontSize=11,
            titleColor=MUTED,
            titleFontSize=11,
            titleFontWeight="normal",
            gridColor="#eceff2",
            domainColor=RULE,
            tickColor=RULE,
        )
        .configure_axisY(grid=True)
        .configure_legend(
            labelColor=INK,
            labelFontSize=11,
            titleColor=MUTED,
            titleFontSize=11,
            titleFontWeight="normal",
            titleLimit=500,
        )
        .configure_title(
            fontSize=12.5,
            fontWeight="bold",
            color=INK,
            anchor="start",
            offset=8,
            limit=340,
        )
    )
    # The schema check of every chart takes longer than drawing it; tests do it.
    spec = styled.to_dict(validate=False)
    spec["datasets"] = {**spec.get("datasets", {}), **data}
    svg = vlc.vegalite_to_svg(spec, allowed_base_urls=[])
    return Panel(name=name, svg=svg, png=vlc.svg_to_png(svg, scale=PNG_SCALE))


def inline_svg(panel: Panel, label: str) -> str:
    """The panel's SVG for use inside a page that holds other SVGs.

    Ids are made unique, fixed sizes become a view box, and the drawing gets `label`
    as its accessible name. The result is well-formed and loads nothing.
    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(panel.svg)
    width, height = root.attrib.pop("width"), root.attrib.pop("height")
    root.attrib.setdefault("viewBox", f"0 0 {width} {height}")
    root.attrib |= {
        "role": "img",
        "aria-label": label,
        "style": f"max-width:{float(width):.0f}px",
    }
    ids = {
        old: f"{panel.name}-{old}"
        for element in root.iter()
        if (old := element.get("id")) is not None
    }
    for element in root.iter():
        if element is root:
            continue
        # Vega's roles name its own structure; a page's style hides the colour bar.
        kind = "legend" if "role-legend" in element.attrib.pop("class", "") else None
        element.attrib.pop("aria-roledescription", None)
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, ids[value])
            elif value.startswith("url(#"):
                element.set(key, f"url(#{ids[value[5:-1]]})")
            elif key == "d" and len(value) > _LONG_PATH:
                # A tenth of a pixel is finer than a country's outline.
                element.set(key, re.sub(r"(\.\d)\d+", r"\1", value))
        if kind is not None:
            element.set("class", kind)
    return ET.tostring(root, encoding="unicode")


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Rows as named tuples, whose fields' types pandas cannot know."""
    yield from frame.itertuples()


def json_rows(frame: pd.DataFrame) -> list[Mapping[str, Any]]:
    """Rows as plain JSON values; NaN becomes null."""
    kept = frame.astype(object).where(frame.notna(), None)
    return [
        {str(key): _plain(value) for key, value in row.items()}
        for row in kept.to_dict("records")
    ]


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
