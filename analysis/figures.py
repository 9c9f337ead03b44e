"""Charts of the reports, each drawn as one panel.

A panel is at most some 380 pixels wide, so that a page can lay several side by side on
a laptop and one below the other on a phone, at a text size that can be read on both.
Nothing here computes a statistic.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from analysis.drawing import (
    BLUE,
    INK,
    MUTED,
    NO_DATA,
    Panel,
    Scale,
    json_rows,
    render,
    rows_of,
)
from analysis.labels import ALIGNS, place_labels


def titled(
    chart: alt.Chart | alt.LayerChart | alt.FacetChart,
    name: str,
    data: pd.DataFrame,
    title: str | None = None,
) -> Panel:
    """Draws a chart of named `rows`, with its title where it has one."""
    if title is not None:
        chart = chart.properties(title=title)
    return render(chart, name, {"rows": json_rows(data)})


def names_axis(field: str, space: int, *, padding: int = 8, **scale: Any) -> alt.Y:
    """A vertical axis of names in their order, which take `space` pixels.

    Args:
        field: Column of the names.
        space: Pixels for them.
        padding: Pixels between them and the plot.
        scale: Of the axis, such as `paddingInner`.
    """
    axis = alt.Axis(
        labelLimit=space,
        minExtent=space,
        ticks=False,
        domain=False,
        labelPadding=padding,
    )
    shared: Any = {"scale": alt.Scale(**scale)} if scale else {}
    return alt.Y(field, sort=None, title=None, axis=axis, **shared)


def span(
    base: alt.Chart, x: alt.X, low: str, high: str, *, y: Any = None, **mark: Any
) -> alt.Chart:
    """Intervals from `low`, which `x` encodes, to `high`, where there are any.

    Args:
        base: The chart that they are part of.
        x: Of the lower ends.
        low: Column of these.
        high: Column of the upper ends.
        y: Encoding of the rows; None: as in `base`.
        mark: How lines look.
    """
    known = base.transform_filter(f"isValid(datum.{low})").mark_rule(**mark)
    return known.encode(x=x, x2=f"{high}:Q", **({} if y is None else y))


def level_line(x: alt.X, field: str, value: float, **mark: Any) -> alt.Chart:
    """A dashed upright line at one value."""
    look = {"stroke": MUTED, "strokeDash": [3, 3], **mark}
    data = alt.InlineData(values=[{field: value}])
    return alt.Chart(data).mark_rule(**look).encode(x=x)


def tips(
    rows: pd.DataFrame,
    lead: Callable[[Any], str],
    digits: int = 1,
    unit: str = "",
    *,
    value: str = "value",
    low: str = "ci_low",
    high: str = "ci_high",
) -> list[str]:
    """What a pointer shows of each row: a name, a value and its interval."""
    of = operator.attrgetter(value, low, high)
    told = []
    for row in rows_of(rows):
        at, lower, upper = of(row)
        text = f"{lead(row)}: {at:.{digits}f}{unit}"
        if not pd.isna(lower):
            text += f" ({lower:.{digits}f} to {upper:.{digits}f})"
        told.append(text)
    return told


def percent_of(value: float | None) -> float:
    """A share in percent; NaN for none."""
    return math.nan if value is None else 100 * value


def cells_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of `heatmap`, row by row."""
    return pd.DataFrame(
        [
            {"row": row, "column": column, "value": frame.loc[row, column]}
            for row in frame.index
            for column in frame.columns
        ]
    )


def ranking(
    rows: pd.DataFrame,
    *,
    name: str,
    scale: Scale,
    domain: tuple[float, float],
    axis_title: str,
    title: str | None = None,
    digits: int = 1,
) -> Panel:
    """A dot plot with intervals, one row per country, in the given order.

    Args:
        rows: Columns position (1 = first), country, value, ci_low, ci_high (NaN: no
            interval is drawn).
        name: File name of the panel.
        scale: Colours; its middle is marked by a line.
        domain: Of the horizontal axis, shared by the panels of a figure.
        axis_title: Title of the horizontal axis.
        title: Title of the panel.
        digits: Decimals of the numbers that a pointer shows.
    """
    data = rows.assign(
        row=[
            f"{int(p)}  {c}"
            for p, c in zip(rows["position"], rows["country"], strict=True)
        ],
        colour=[scale.colour(value) for value in rows["value"]],
        tip=tips(rows, lambda row: f"{int(row.position)}. {row.country}", digits),
    )
    base = alt.Chart(alt.NamedData(name="rows")).encode(
        y=names_axis("row:N", 165, padding=6)
    )
    x_scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    across = alt.X(
        "value:Q",
        scale=x_scale,
        title=axis_title,
        axis=alt.Axis(orient="top", tickCount=5, titlePadding=6),
    )
    layers = [level_line(across, "value", scale.middle, strokeWidth=1)]
    if data["ci_low"].notna().any():
        layers.append(
            base.mark_rule(stroke="#8c98a5", strokeWidth=1.6).encode(
                x=alt.X("ci_low:Q", title=axis_title, scale=x_scale), x2="ci_high:Q"
            )
        )
    layers.append(
        base.mark_circle(size=52, opacity=1, stroke=INK, strokeWidth=0.5).encode(
            x=across,
            color=alt.Color("colour:N", scale=None),
            description="tip:N",
        )
    )
    chart = alt.layer(*layers).properties(width=170, height=alt.Step(15.5))
    return titled(chart, name, data, title)


def scatter(
    points: pd.DataFrame,
    *,
    name: str,
    x_title: str,
    y_title: str,
    reverse_x: bool,
    reverse_y: bool,
    label: Sequence[bool] | None = None,
    x_ticks: Sequence[float] | None = None,
    title: str | None = None,
    diagonal: bool = False,
    digits: int = 1,
) -> Panel:
    """A scatter plot with labels that do not cover each other.

    Args:
        points: Columns country, x, y, and optionally y_low and y_high, x_low and
            x_high, and hollow (True: a hollow mark, for what is there to compare with).
        name: File name of the panel.
        x_title: Of the horizontal axis.
        y_title: Of the vertical axis.
        reverse_x: Large values to the left.
        reverse_y: Large values at the bottom (ranks: the most favoured on top).
        label: Which points get a label; None: all.
        x_ticks: Where to put ticks; None: automatic.
        title: Title of the panel.
        diagonal: Draw the line y = x.
        digits: Decimals of y where a pointer shows it.
    """
    width, height, size = 300, 290, 10.0
    whiskers = [
        axis
        for axis in ("x", "y")
        if f"{axis}_low" in points and points[f"{axis}_low"].notna().any()
    ]
    x_domain, y_domain = (
        _padded(
            pd.concat(
                [points[axis]]
                + [
                    points[f"{axis}_{end}"].dropna()
                    for end in ("low", "high")
                    if axis in whiskers
                ]
            )
        )
        for axis in ("x", "y")
    )
    if diagonal:
        both = min(x_domain[0], y_domain[0]), max(x_domain[1], y_domain[1])
        x_domain = y_domain = both

    def to_pixels(
        values: pd.Series, domain: tuple[float, float], span: int, flip: bool
    ) -> list[float]:
        share = (values - domain[0]) / (domain[1] - domain[0])
        return [float(v) for v in (1 - share if flip else share) * span]

    px = to_pixels(points["x"], x_domain, width, reverse_x)
    py = to_pixels(points["y"], y_domain, height, not reverse_y)
    shown = list(label) if label is not None else [True] * len(points)
    texts = [
        _short(country) if keep else ""
        for country, keep in zip(points["country"], shown, strict=True)
    ]
    places = place_labels(
        list(zip(px, py, strict=True)),
        texts,
        width=width,
        height=height,
        font_size=size,
    )
    data = points.assign(
        px=px,
        py=py,
        text=texts,
        lx=pd.array([place and place.x for place in places], dtype=object),
        ly=pd.array([place and place.y for place in places], dtype=object),
        align=pd.array([place and place.align for place in places], dtype=object),
        leader=[place is not None and place.leader for place in places],
    )
    data["tip"] = [
        f"{row.country}: {row.x:.4g} / {row.y:.{digits}f}" for row in rows_of(data)
    ]
    hollow = points["hollow"] if "hollow" in points else pd.Series(False, points.index)
    data["fill"] = ["#ffffff" if one else BLUE for one in hollow]
    data["edge"] = [MUTED if one else "#ffffff" for one in hollow]
    base = alt.Chart(alt.NamedData(name="rows"))
    x_scale = alt.Scale(domain=list(x_domain), nice=False, reverse=reverse_x)
    x = alt.X(
        "x:Q",
        title=x_title,
        scale=x_scale,
        axis=alt.Axis(tickCount=5)
        if x_ticks is None
        else alt.Axis(values=[t for t in x_ticks if x_domain[0] <= t <= x_domain[1]]),
    )
    y_scale = alt.Scale(domain=list(y_domain), nice=False, reverse=reverse_y)
    y = alt.Y(
        "y:Q",
        title=y_title,
        scale=y_scale,
        axis=alt.Axis(tickCount=5),
    )
    layers: list[alt.Chart] = []
    if diagonal:
        ends = [
            {"x": x_domain[0], "y": x_domain[0]},
            {"x": x_domain[1], "y": x_domain[1]},
        ]
        layers.append(
            alt.Chart(alt.InlineData(values=ends))
            .mark_line(stroke=MUTED, strokeDash=[3, 3], strokeWidth=1)
            .encode(x=x, y=y)
        )
    lines = base.mark_rule(stroke="#b5bec8", strokeWidth=1.4)
    if "y" in whiskers:
        layers.append(
            lines.transform_filter("isValid(datum.y_low)").encode(
                x=x, y=alt.Y("y_low:Q", title=y_title, scale=y_scale), y2="y_high:Q"
            )
        )
    if "x" in whiskers:
        layers.append(
            lines.transform_filter("isValid(datum.x_low)").encode(
                x=alt.X("x_low:Q", title=x_title, scale=x_scale), x2="x_high:Q", y=y
            )
        )
    pixel_x, pixel_y = alt.X("lx:Q", scale=None), alt.Y("ly:Q", scale=None)
    layers.append(
        base.transform_filter("datum.leader")
        .mark_rule(stroke="#9aa5b1", strokeWidth=0.6)
        .encode(
            x=pixel_x,
            y=pixel_y,
            x2=alt.X2("px:Q"),
            y2=alt.Y2("py:Q"),
        )
    )
    layers.append(
        base.mark_circle(size=46 if label is None else 30, strokeWidth=0.7).encode(
            x=x,
            y=y,
            fill=alt.Fill("fill:N", scale=None),
            stroke=alt.Stroke("edge:N", scale=None),
            opacity=alt.condition("datum.text != ''", alt.value(0.95), alt.value(0.5)),
            description="tip:N",
        )
    )
    sides = [
        (align, base.transform_filter(f"datum.align == '{align}'"))
        for align in ALIGNS
        if (data["align"] == align).any()
    ]
    # A white edge below each label keeps it legible where it crosses a point.
    for edge in ("#ffffff", "transparent"):
        layers += [
            chosen.mark_text(
                align=align,
                baseline="middle",
                fontSize=size,
                color=INK,
                stroke=edge,
                strokeWidth=2.5,
            ).encode(x=pixel_x, y=pixel_y, text="text:N")
            for align, chosen in sides
        ]
    chart = alt.layer(*layers).properties(width=width, height=height)
    return titled(chart, name, data, title)


def intervals(
    rows: pd.DataFrame,
    *,
    name: str,
    domain: tuple[float, float],
    axis_title: str,
    title: str | None = None,
    zero: float | None = 0.0,
    label_space: int = 100,
    digits: int = 2,
) -> Panel:
    """Estimates with a thin outer interval and an inner band, one row each.

    Args:
        rows: Columns row, estimate, ci_low, ci_high, inner_low, inner_high (NaN: not
            drawn) and hollow (True: a hollow mark, for what is there to compare with).
        name: File name of the panel.
        domain: Of the horizontal axis.
        axis_title: Title of the horizontal axis.
        title: Title of the panel.
        zero: Where to draw a line; None: nowhere.
        label_space: Pixels for the row labels; what remains of 315 is the plot's.
        digits: Decimals of the numbers that a pointer shows.
    """
    data = rows.assign(tip=tips(rows, lambda row: row.row, digits, value="estimate"))
    x_scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    base = alt.Chart(alt.NamedData(name="rows")).encode(
        y=names_axis("row:N", label_space)
    )
    layers: list[alt.Chart] = []
    if zero is not None and domain[0] <= zero <= domain[1]:
        x = alt.X("zero:Q", scale=x_scale, title=axis_title)
        layers.append(level_line(x, "zero", zero))
    spans = (
        ("inner_low", "inner_high", 13, "#b9d3e3"),
        ("ci_low", "ci_high", 1.3, "#6c7884"),
    )
    for low, high, thick, colour in spans:
        if data[low].notna().any():
            x = alt.X(f"{low}:Q", scale=x_scale, title=axis_title)
            layers.append(span(base, x, low, high, stroke=colour, strokeWidth=thick))
    layers.append(
        base.mark_point(size=58, filled=True, opacity=1, strokeWidth=1.6).encode(
            x=alt.X(
                "estimate:Q",
                scale=x_scale,
                title=axis_title,
                axis=alt.Axis(tickCount=5 if label_space < 150 else 3),
            ),
            fill=alt.condition("datum.hollow", alt.value("#ffffff"), alt.value(BLUE)),
            stroke=alt.condition("datum.hollow", alt.value(MUTED), alt.value(BLUE)),
            description="tip:N",
        )
    )
    chart = alt.layer(*layers).properties(width=315 - label_space, height=alt.Step(21))
    return titled(chart, name, data, title)


def heatmap(
    cells: pd.DataFrame,
    *,
    name: str,
    scale: Scale,
    digits: int,
    title: str | None = None,
    x_title: str | None = None,
    label_space: int = 130,
) -> Panel:
    """A grid of coloured cells with their numbers.

    Args:
        cells: Columns row, column, value (NaN: an empty cell), in the order in which
            rows and columns shall stand.
        name: File name of the panel.
        scale: Colours.
        digits: Decimals of the numbers.
        title: Title of the panel.
        x_title: Title of the columns.
        label_space: Pixels for the row labels.
    """
    light = [
        "#ffffff" if _dark(scale.colour(value)) else INK
        for value in cells["value"].fillna(scale.middle)
    ]
    data = cells.assign(
        # Rounded first and 0 added: no value that rounds to zero has a sign.
        text=[
            "" if pd.isna(v) else f"{round(v, digits) + 0.0:.{digits}f}"
            for v in cells["value"]
        ],
        colour=[NO_DATA if pd.isna(v) else scale.colour(v) for v in cells["value"]],
        ink=light,
    )
    data["tip"] = [f"{row.row}, {row.column}: {row.text}" for row in rows_of(data)]
    columns = cells["column"].nunique()
    base = alt.Chart(alt.NamedData(name="rows")).encode(
        x=alt.X(
            "column:N",
            sort=None,
            title=x_title,
            axis=alt.Axis(
                orient="top",
                labelAngle=-90,
                labelAlign="left",
                labelBaseline="middle",
                labelLimit=140,
                grid=False,
                ticks=False,
                domain=False,
                labelPadding=6,
            ),
        ),
        y=alt.Y(
            "row:N",
            sort=None,
            title=None,
            axis=alt.Axis(
                labelLimit=label_space,
                minExtent=label_space,
                grid=False,
                ticks=False,
                domain=False,
                labelPadding=6,
            ),
        ),
    )
    chart = alt.layer(
        base.mark_rect(stroke="#ffffff", strokeWidth=1).encode(
            color=alt.Color("colour:N", scale=None), description="tip:N"
        ),
        base.transform_filter("datum.text != ''")
        .mark_text(fontSize=9.5)
        .encode(text="text:N", color=alt.Color("ink:N", scale=None)),
    ).properties(width=alt.Step(max(26, min(44, 190 // columns))), height=alt.Step(17))
    return titled(chart, name, data, title)


def _dark(colour: str) -> bool:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 130


def _padded(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _short(name: str, limit: int = 24) -> str:
    return name if len(name) <= limit else name[: limit - 1].rstrip() + "…"


def padded(rows: pd.DataFrame, *more: float) -> tuple[float, float]:
    """A domain that holds estimates and intervals, with room at both ends."""
    values = [*rows[["estimate", "ci_low", "ci_high"]].to_numpy().ravel(), *more]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.05 * (high - low) or 0.05
    return low - room, high + room
