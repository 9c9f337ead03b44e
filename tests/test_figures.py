from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import altair as alt
import numpy as np
import pandas as pd
import pytest

from analysis import (
    dialects_md3,
    dialects_pairs,
    drawing,
    figures,
    worldmap,
)
from analysis.labels import place_labels, text_width
from data_builders import countries

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script> & \"co'"


def scale() -> drawing.Scale:
    return drawing.Scale(low=1, middle=91, high=181)


def marks(panel: drawing.Panel, tag: str) -> list[ET.Element]:
    root = ET.fromstring(panel.svg)
    return [one for one in root.iter(SVG + tag) if one.get("aria-label")]


def rgb(colour: str) -> tuple[int, ...]:
    if colour.startswith("#"):
        return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(int(part) for part in colour[4:-1].split(","))


def test_scale_is_centred_and_symmetric() -> None:
    found = drawing.rank_scale(pd.Series([67.6, 152.1, 90.0]), 181)
    assert found.middle == 91
    assert found.high - found.middle == pytest.approx(found.middle - found.low)
    assert found.high == pytest.approx(152.1)


def test_colours_at_the_ends_the_middle_and_beyond() -> None:
    one = scale()
    assert one.colour(1) == drawing.FAVOURED_FIRST[0]
    assert one.colour(91) == drawing.FAVOURED_FIRST[3]
    assert one.colour(181) == one.colour(500) == drawing.FAVOURED_FIRST[-1]
    turned = drawing.Scale(low=-1, middle=0, high=1, reverse=True)
    assert turned.colour(1) == drawing.FAVOURED_FIRST[0]


def test_scale_of_equal_ranks_does_not_divide_by_zero() -> None:
    one = drawing.rank_scale(pd.Series([2.0, 2.0, 2.0]), 3)
    assert one.colour(2.0) == drawing.FAVOURED_FIRST[3]
    flat = drawing.score_scale(pd.Series([0.0, 0.0]))
    assert flat.colour(0.0) == drawing.FAVOURED_FIRST[3]


def test_map_lacks_exactly_eleven_of_the_analysis_countries() -> None:
    keys = countries.analysis_keys()
    numeric = {
        countries.by_key(key).name: countries.by_key(key).numeric for key in keys
    }
    absent = {n for n, code in numeric.items() if code not in worldmap.drawn_ids()}
    assert len(keys) == 181
    assert len(absent) == 11
    assert {"Singapore", "Malta", "Bahrain"} <= absent


def test_map_joins_by_numeric_code_and_colours_by_the_scale() -> None:
    values = pd.DataFrame(
        {
            "numeric": ["076", "124", "004"],
            "value": [10.0, 91.0, 170.0],
            "label": ["BR here", "CA here", "AF here"],
        }
    )
    panel = worldmap.world_map(
        values, name="map", scale=scale(), legend="Mean rank", digits=0
    )
    fills = {one.get("aria-label"): one.get("fill") for one in marks(panel, "path")}
    for label, value in (("BR here", 10.0), ("CA here", 91.0), ("AF here", 170.0)):
        colour = fills[label]
        assert colour is not None
        difference = np.subtract(rgb(colour), rgb(scale().colour(value)))
        assert np.abs(difference).max() <= 2, label
    grey = [label for label, fill in fills.items() if fill == drawing.NO_DATA]
    assert "Germany: no data" in grey
    assert len(grey) == 176 - 3
    assert not any("Antarctica" in str(label) for label in fills)


def test_ranking_without_intervals_draws_no_whiskers() -> None:
    rows = pd.DataFrame(
        {
            "position": [1, 2, 3],
            "country": ["A", "B", HOSTILE],
            "value": [1.0, 2.0, 3.0],
            "ci_low": [0.5, 1.5, 2.5],
            "ci_high": [1.5, 2.5, 3.5],
        }
    )

    def drawn(data: pd.DataFrame) -> drawing.Panel:
        return figures.ranking(
            data, name="r", scale=scale(), domain=(0, 4), axis_title="Mean rank"
        )

    with_bars, bare = drawn(rows), drawn(rows.assign(ci_low=np.nan, ci_high=np.nan))
    assert with_bars.svg.count("<line") == bare.svg.count("<line") + 3
    assert len(marks(bare, "path")) == 3


def test_text_from_data_stays_text() -> None:
    rows = pd.DataFrame(
        {"country": ["A", "B", HOSTILE], "x": [1.0, 2.0, 3.0], "y": [3.0, 1.0, 2.0]}
    )
    panel = figures.scatter(
        rows,
        name="s",
        x_title="x",
        y_title="y",
        reverse_x=False,
        reverse_y=True,
        title=HOSTILE,
    )
    page = drawing.inline_svg(panel, HOSTILE)
    assert "<script" not in page
    root = ET.fromstring(page)
    assert root.get("aria-label") == HOSTILE
    texts = [one.text for one in root.iter(SVG + "text")]
    assert HOSTILE in texts


def test_inline_svgs_share_no_ids_and_load_nothing() -> None:
    values = pd.DataFrame({"numeric": ["076"], "value": [10.0], "label": ["Brazil"]})
    pages = [
        drawing.inline_svg(
            worldmap.world_map(
                values, name=name, scale=scale(), legend="Mean rank", digits=0
            ),
            "A map",
        )
        for name in ("one", "two")
    ]
    ids = [
        [
            element.get("id")
            for element in ET.fromstring(page).iter()
            if element.get("id")
        ]
        for page in pages
    ]
    assert ids[0], "the colour bar has a gradient with an id"
    assert not set(ids[0]) & set(ids[1])
    for page, own in zip(pages, ids, strict=True):
        assert "width" not in ET.fromstring(page).attrib
        assert "href" not in page
        for used in {part.split(")")[0] for part in page.split("url(#")[1:]}:
            assert used in own


def crowd() -> tuple[list[tuple[float, float]], list[str]]:
    rng = np.random.default_rng(3)
    points = [(float(x), float(y)) for x, y in rng.uniform(60, 230, size=(21, 2))]
    return points, [countries.by_key(k).name for k in countries.analysis_keys()[:21]]


def boxes(places: list, texts: list[str], size: float) -> list[tuple[float, ...]]:
    found = []
    for place, text in zip(places, texts, strict=True):
        width = text_width(text, size)
        left = {"left": 0.0, "center": width / 2, "right": width}[place.align]
        left = place.x - left
        found.append((left, place.y - size / 2, left + width, place.y + size / 2))
    return found


def test_labels_do_not_cover_each_other_or_leave_the_plot() -> None:
    points, texts = crowd()
    places = place_labels(points, texts, width=300, height=290, font_size=10)
    found = boxes(places, texts, 10)
    for i, a in enumerate(found):
        assert a[0] >= -1 and a[2] <= 301 and a[1] >= -1 and a[3] <= 291, texts[i]
        for j, b in enumerate(found[:i]):
            wide = min(a[2], b[2]) - max(a[0], b[0])
            high = min(a[3], b[3]) - max(a[1], b[1])
            assert wide <= 1 or high <= 1, (texts[i], texts[j])
    naive = [
        (x + 7, y - 5, x + 7 + text_width(t, 10), y + 5)
        for (x, y), t in zip(points, texts, strict=True)
    ]
    crossing = sum(
        min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
        for i, a in enumerate(naive)
        for b in naive[:i]
    )
    assert crossing > 3, "the case must be one where placing matters"


def test_labels_are_the_same_every_time_and_empty_ones_are_left_out() -> None:
    points, texts = crowd()
    texts[4] = ""
    first, second = (
        place_labels(points, texts, width=300, height=290) for _ in range(2)
    )
    assert first == second
    assert first[4] is None
    assert all(place is not None for i, place in enumerate(first) if i != 4)


def test_every_chart_is_valid_vega_lite(monkeypatch: pytest.MonkeyPatch) -> None:
    """`render` skips the schema check for speed; here it is made."""
    checked = []

    def check(chart: alt.Chart, name: str, data: object) -> drawing.Panel:
        chart.to_dict(validate=True)
        checked.append(name)
        return drawing.Panel(name=name, svg="", png=b"")

    for module in (figures, worldmap):
        monkeypatch.setattr(module, "render", check)
    nan = math.nan
    points = pd.DataFrame({"country": ["A", "B"], "x": [1.0, 2.0], "y": [2.0, 1.0]})
    figures.scatter(
        points.assign(y_low=[1.5, 0.5], y_high=[2.5, 1.5]),
        name="scatter",
        x_title="x",
        y_title="y",
        reverse_x=True,
        reverse_y=True,
        x_ticks=(1, 2),
        diagonal=True,
    )
    figures.ranking(
        pd.DataFrame(
            {"position": [1], "country": "A", "value": 1.0, "ci_low": 0.5, "ci_high": 2}
        ),
        name="ranking",
        scale=scale(),
        domain=(0, 4),
        axis_title="a",
    )
    figures.intervals(
        pd.DataFrame(
            {
                "row": ["a", "b"],
                "estimate": [0.5, 0.1],
                "ci_low": [0.2, nan],
                "ci_high": [0.7, nan],
                "inner_low": [0.4, nan],
                "inner_high": [0.6, nan],
                "hollow": [False, True],
            }
        ),
        name="intervals",
        domain=(-1, 1),
        axis_title="rho",
    )
    figures.heatmap(
        pd.DataFrame({"row": ["a", "a"], "column": ["x", "y"], "value": [3.0, nan]}),
        name="heatmap",
        scale=scale(),
        digits=0,
    )
    worldmap.world_map(
        pd.DataFrame({"numeric": ["076"], "value": [1.0], "label": ["Brazil"]}),
        name="map",
        scale=scale(),
        legend="l",
        digits=1,
    )
    dialects_md3.grouped_bars(
        pd.DataFrame(
            {"group": ["g"], "bar": "b", "value": 1.0, "ci_low": 0.5, "ci_high": 2}
        ).assign(chance=1.0),
        name="games",
        axis_title="a",
    )
    for several in (False, True):
        dialects_pairs.bars(
            pd.DataFrame(
                {"dialect": ["d"], "model": "m", "accuracy": 60.0, "low": 50.0}
            ).assign(high=70.0, reference=True),
            name=f"bars-{several}",
            several=several,
        )
    assert checked == [
        *("scatter", "ranking", "intervals", "heatmap", "map", "games"),
        *("bars-False", "bars-True"),
    ]


def test_png_is_a_picture_of_some_size() -> None:
    cells = pd.DataFrame({"row": ["a"], "column": ["x"], "value": [3.0]})
    panel = figures.heatmap(cells, name="h", scale=scale(), digits=0)
    assert panel.png.startswith(b"\x89PNG")
    assert int.from_bytes(panel.png[16:20]) > 150
