"""Figures of the opinion axis."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import figures, worldmap
from analysis.drawing import Scale, rows_of
from analysis.html import Block, Figure, number
from analysis.opinions import OpinionRun
from analysis.opinions_across import plane_figure, similarity_scale
from analysis.opinions_checks_figures import padded, place_figure, steering_figure
from analysis.opinions_words import name, triple
from analysis.resample import MIN_QUESTIONS
from analysis.similarity import BASE_NAMES
from analysis.wording import countries, questions
from data_builders.countries import by_key

ENDS = 15
"""Countries at each end of a long ranking."""


def compared(run: OpinionRun) -> pd.DataFrame:
    """The headline publics with enough questions for an interval, most alike first."""
    frame = run.countries
    return frame[frame["headline"] & (frame["n_questions"] >= MIN_QUESTIONS)]


def map_figure(run: OpinionRun, prefix: str) -> Figure | None:
    """The world map of similarity; None: no country with enough questions."""
    frame = compared(run)
    if frame.empty:
        return None
    scale = similarity_scale(frame["similarity"])
    values = pd.DataFrame(
        {
            "numeric": [by_key(key).numeric for key in frame["key"]],
            "value": frame["similarity"],
            "label": [
                f"{row.country}: {number(row.similarity, 3)} (n = {row.n_questions})"
                for row in rows_of(frame)
            ],
        }
    )
    return worldmap.map_figure(
        values,
        name=f"{prefix}-map",
        scale=scale,
        legend=f"Mean similarity, Jensen-Shannon {BASE_NAMES[run.base]}",
        digits=2,
        title=f"Whose answers are alike: {run.label}",
        caption="1 \u2212 Jensen-Shannon distance "
        f"({BASE_NAMES[run.base]}) of the model's answers to people's, mean over the "
        "questions each country was asked. These differ between countries, so that "
        "colours are not a fair race; the next figures are. Middle colour: mean of "
        f"{countries(len(frame))}. Grey: asked fewer than {MIN_QUESTIONS} questions.",
        alt_text=f"World map of similarity for {run.label}, highest in "
        f"{frame['country'].iloc[0]}, lowest in {frame['country'].iloc[-1]}; the "
        "numbers are in the table of countries.",
        too_small="Compared, and too small to be drawn at this scale:",
    )


def common_figure(run: OpinionRun, prefix: str) -> Figure:
    """Similarity on the common set, and its yardsticks."""
    frame = run.countries[run.countries["common"].notna()]
    frame = frame.sort_values(["common", "country"], ascending=[False, True])
    found = run.diversity
    yardsticks = (
        ("Human pool", found.pool, True),
        (run.label, found.model, False),
        ("Uniform answerer", found.uniform, True),
    )
    parts = (
        (
            "countries",
            "To each country",
            [
                (row.country, row.common, row.common_low, row.common_high, False)
                for row in rows_of(frame)
            ],
        ),
        (
            "yardsticks",
            "To all of them, beside yardsticks",
            [(text, *triple(one.fidelity), hollow) for text, one, hollow in yardsticks],
        ),
    )
    panels = []
    for which, title, lines in parts:
        rows = pd.DataFrame(
            lines, columns=["row", "estimate", "ci_low", "ci_high", "hollow"]
        ).assign(inner_low=np.nan, inner_high=np.nan)
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-common-{which}",
                domain=padded(rows),
                axis_title="Similarity",
                title=title,
                zero=found.uniform.fidelity.estimate,
                label_space=125,
                digits=3,
            )
        )
    n = len(run.common.questions)
    return Figure(
        id=f"{prefix}-common",
        title=f"The same {questions(n)}, asked in {countries(len(frame))}",
        caption="Mean similarity (1 \u2212 Jensen-Shannon distance, "
        f"{BASE_NAMES[run.base]}) on the common question set, with 95% intervals over "
        "questions. Human pool: what the people of the other countries answer. The "
        "dashed line is the uniform answerer's mean, where it is in reach. Countries "
        "differ more surely than their intervals suggest, as all stand on the same "
        "questions: who is ahead is tested in the findings.",
        alt=f"Similarity by country on the common set for {run.label}.",
        panels=tuple(panels),
    )


def difference_figure(run: OpinionRun, prefix: str) -> Figure | None:
    """Both ends of the differences from the reference; None: there are none."""
    reference = run.similarity.reference
    frame = compared(run)
    frame = frame[frame["difference_low"].notna()]
    if reference is None or frame.empty:
        return None
    frame = frame.sort_values(["difference", "country"], ascending=[False, True])
    rows = pd.DataFrame(
        {
            "position": np.arange(1, len(frame) + 1),
            "country": frame["country"],
            "value": frame["difference"],
            "ci_low": frame["difference_low"],
            "ci_high": frame["difference_high"],
        }
    )
    reach = max(float(rows["value"].abs().max()), 1e-9)
    scale = Scale(low=-reach, middle=0.0, high=reach, reverse=True)
    short = len(rows) <= 2 * ENDS + 5
    parts = (
        [(rows, "all", None)]
        if short
        else [
            (rows.head(ENDS), "top", f"The {ENDS} most alike"),
            (rows.tail(ENDS), "bottom", f"The {ENDS} least alike"),
        ]
    )
    ends = rows[["ci_low", "ci_high"]].to_numpy()
    room = 0.03 * float(np.ptp(ends)) or 0.01
    return Figure(
        id=f"{prefix}-difference",
        title=f"More or less alike than {name(reference)}",
        caption=f"Similarity less that of {name(reference)}, on the questions both "
        "were asked, paired; bars are 95% intervals over questions, not adjusted for "
        f"there being {len(rows)} of them. Adjusted p-values are in the table of "
        "countries.",
        alt=f"Differences in similarity from {name(reference)} for {run.label}.",
        panels=tuple(
            figures.ranking(
                part,
                name=f"{prefix}-difference-{label}",
                scale=scale,
                domain=(float(ends.min()) - room, float(ends.max()) + room),
                axis_title="Difference in similarity",
                title=title,
                digits=3,
            )
            for part, label, title in parts
        ),
    )


def run_figures(run: OpinionRun, prefix: str) -> list[Block]:
    """All figures of one run."""
    found = (
        map_figure(run, prefix),
        common_figure(run, prefix),
        difference_figure(run, prefix),
        plane_figure([run], prefix, yardsticks=True),
        place_figure(run, prefix),
        steering_figure(run, prefix),
    )
    return [figure for figure in found if figure is not None]
