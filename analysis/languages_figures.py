"""Figures of languages: differences, places, and length beside accuracy."""

from __future__ import annotations

import dataclasses

import pandas as pd

from analysis import figures
from analysis.countries_figures import interval_rows
from analysis.drawing import Scale
from analysis.html import Figure, number
from analysis.languages_analysis import LanguageRun
from analysis.languages_bars import LABEL_SPACE, in_panels, level_figure
from analysis.languages_notes import rank_correlation, ratios
from analysis.languages_places import letter, place_group
from analysis.languages_words import NOUNS, TITLES, reference_name
from analysis.opinions_checks_figures import padded
from analysis.wording import hundred, side_of

MOST_OPEN = 40
"""Up to so many languages a second figure of all is shown open."""
LABELLED = 14
"""Points of the scatter plot that are named."""


def level_figures(run: LanguageRun, prefix: str) -> tuple[Figure, ...]:
    """Levels and differences: of few languages side by side in one figure."""
    levels, differences = level_figure(run, prefix), difference_figure(run, prefix)
    if differences is None:
        return (levels,)
    if len(levels.panels) > 1:
        return levels, differences
    both = dataclasses.replace(
        levels,
        title=f"{levels.title}, and less {reference_name(run)}",
        caption=f"{levels.caption} Beside it, {differences.caption[0].lower()}"
        f"{differences.caption[1:]}",
        panels=levels.panels + differences.panels,
    )
    return (both,)


def difference_figure(run: LanguageRun, prefix: str) -> Figure | None:
    """Differences from the reference; None: none has an interval."""
    known = [gap for gap in run.gaps() if gap.ci_low is not None]
    if not known:
        return None
    known.sort(key=lambda gap: -(gap.estimate or 0.0))
    reference, name = reference_name(run), run.answers.name
    lines = {
        gap.group or "": (name(gap.group or ""), gap, None, not side_of(gap))
        for gap in known
    }
    rows = interval_rows(list(lines.values()))
    columns = ["estimate", "ci_low", "ci_high"]
    rows[columns] = 100 * rows[columns]
    domain = padded(rows, 0.0)
    title = TITLES[run.key]
    panels = [
        figures.intervals(
            rows[rows["row"].isin([name(code) for code in part])],
            name=f"{prefix}-differences-{place}",
            domain=domain,
            axis_title=f"{title} less {reference}, points",
            label_space=LABEL_SPACE,
            digits=1,
        )
        for place, part in enumerate(in_panels(list(lines)), 1)
    ]
    return Figure(
        id=f"{prefix}-differences",
        title=f"Each language less {reference}",
        caption=f"Differences of {NOUNS[run.key]} "
        + ("on the same" if run.answers.crossed else "between different")
        + f" questions: left of the dashed line {reference} is answered better. "
        "Filled: shown, by the interval and by p below 5% after Holm; hollow: not "
        "shown. Lines are 95% intervals, unadjusted.",
        alt=f"Forest plot of differences from {reference} for {run.label}; the numbers "
        "are in the table.",
        panels=tuple(panels),
        folded=len(known) > MOST_OPEN,
    )


def place_figure(run: LanguageRun, prefix: str) -> Figure | None:
    """How much more often each place is picked than right; None: no letters."""
    if not run.answers.crossed:
        return None
    everything: list[str | None] = [None, *run.ordered()]
    cells, reach = [], 0.0
    for code in everything if len(everything) > 2 else everything[1:]:
        place = 0
        while (
            one := run.find("place_share_difference", place_group(code, place))
        ) is not None:
            value = 100 * (one.estimate or 0.0)
            reach = max(reach, abs(value))
            cells.append(
                {
                    "code": code or "",
                    "row": "All languages" if code is None else run.answers.name(code),
                    "column": letter(place),
                    "value": value,
                }
            )
            place += 1
    if not cells:
        return None
    frame = pd.DataFrame(cells)
    scale = Scale(low=-max(reach, 1.0), middle=0.0, high=max(reach, 1.0), reverse=True)
    codes = list(dict.fromkeys(frame["code"]))
    panels = tuple(
        figures.heatmap(
            frame[frame["code"].isin(part)],
            name=f"{prefix}-places-{place}",
            scale=scale,
            digits=0,
            label_space=LABEL_SPACE,
        )
        for place, part in enumerate(in_panels(codes), 1)
    )
    return Figure(
        id=f"{prefix}-places",
        title="Does the place of an answer count?",
        caption="Share of questions for which a letter is picked, less the share for "
        "which it is right, in points. Blue: picked more often than right; orange: "
        "less often. The tests are in the table.",
        alt=f"Grid of places by language for {run.label}; the numbers are in the "
        "table.",
        panels=panels,
        folded=len(codes) > MOST_OPEN,
    )


def length_figure(run: LanguageRun, prefix: str) -> Figure | None:
    """Accuracy beside the length of prompts; None: too few languages."""
    together, tokens = rank_correlation(run), ratios(run)
    if together is None:
        return None
    codes = [code for code in run.ordered() if code in tokens]
    points = pd.DataFrame(
        {
            "country": [run.answers.name(code) for code in codes],
            "x": [tokens[code] for code in codes],
            "y": [hundred(run.level(code).estimate) for code in codes],
        }
    ).dropna()
    few, size = LABELLED // 4, len(points)
    edges = [*range(1, few + 1), *range(size - few + 1, size + 1)]
    at_edge = points[["x", "y"]].rank(method="first").isin(edges).any(axis=1)
    named = [size <= LABELLED or one for one in at_edge.to_list()]
    reference = reference_name(run)
    return Figure(
        id=f"{prefix}-lengths",
        title="Length of the prompts and accuracy",
        caption=f"Each point is a language: tokens of its prompts over those of the "
        f"same questions in {reference}, and accuracy. Rank correlation "
        f"{number(together[0])} over {together[1]} languages, described and not "
        "tested: related languages are alike in both.",
        alt=f"Scatter plot of prompt length and accuracy by language for {run.label}; "
        "the numbers are in the tables.",
        panels=(
            figures.scatter(
                points,
                name=f"{prefix}-lengths",
                x_title=f"Tokens of a prompt, {reference} = 1",
                y_title="Accuracy, %",
                reverse_x=False,
                reverse_y=False,
                label=named,
            ),
        ),
    )
