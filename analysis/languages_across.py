"""Several runs of one task in many languages side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.columns import frame_of
from analysis.html import Cell, Figure, Finding, Table, interval, join_words, text_cell
from analysis.languages_analysis import LanguageRun
from analysis.languages_bars import BOUNDS, CHANCE, bar_panels
from analysis.languages_tables import TALL
from analysis.languages_words import (
    NOUNS,
    TITLES,
    by_side,
    doubts,
    reference_name,
    some,
)
from analysis.records import Record
from analysis.wording import hundred, percent, side_of


def ordered(runs: Sequence[LanguageRun]) -> list[str]:
    """The languages of all runs, the best answered first, on average over models."""
    levels: dict[str, list[float]] = {}
    for run in runs:
        for code in run.answers.languages:
            estimate = run.level(code).estimate
            levels.setdefault(code, []).append(-1.0 if estimate is None else estimate)
    return sorted(levels, key=lambda code: (-float(np.mean(levels[code])), code))


def across_table(runs: Sequence[LanguageRun], prefix: str) -> Table:
    """A row per language, a column per model."""
    key = runs[0].key
    rows: list[tuple[Cell, ...]] = [
        (
            text_cell("Mean over languages"),
            *(_level(run.find(f"{key}_mean_of_languages")) for run in runs),
        )
    ]
    records: list[Record | None] = [
        run.find(f"{key}_mean_of_languages") for run in runs
    ]
    for code in ordered(runs):
        cells = []
        for run in runs:
            level = run.find(key, code)
            gap = run.find(f"{key}_difference", code)
            records += [level, gap]
            cells.append(_level(level, 0 if gap is None else side_of(gap)))
        name = next(run.answers.name(code) for run in runs if code in run.answers.names)
        rows.append((text_cell(name), *cells))
    references = list(dict.fromkeys(reference_name(run) for run in runs))
    return Table(
        id=f"{prefix}-across",
        title="The models side by side",
        note=f"{TITLES[key]}, %, with 95% intervals. \u2193: lower than "
        f"{join_words(references)}, \u2191: higher, by p below 5% after Holm over "
        "models and languages.",
        header=("Language", *(run.label for run in runs)),
        rows=tuple(rows),
        frame=frame_of(records),
        folded=len(rows) > TALL,
        sortable=True,
    )


def _level(record: Record | None, side: int = 0) -> Cell:
    if record is None or record.estimate is None:
        return text_cell(None)
    around = ""
    if record.ci_low is not None:
        around = f" ({interval(hundred(record.ci_low), hundred(record.ci_high), 0)})"
    mark = {-1: "\u2193\u00a0", 1: "\u2191\u00a0", 0: ""}[side]
    return Cell(
        text=f"{mark}{percent(record.estimate)}{around}",
        sort=record.estimate,
        numeric=True,
    )


def across_figure(runs: Sequence[LanguageRun], prefix: str) -> Figure:
    """Bars of every model in every language, the languages in one order."""
    key = runs[0].key
    title = TITLES[key]
    chance = runs[0].answers.outcomes[0].chance is not None
    return Figure(
        id=f"{prefix}-models",
        title=f"{title} by language and model",
        caption=f"{title} with 95% intervals ({BOUNDS[key]}); languages in the order "
        "of the models' mean." + (CHANCE if chance else ""),
        alt=f"Bars of {NOUNS[key]} by language and model; the numbers are in the "
        "table.",
        panels=bar_panels(
            [(run, key, run.label) for run in runs],
            ordered(runs),
            name=f"{prefix}-models",
            axis_title=f"{title}, %",
        ),
    )


def across_findings(runs: Sequence[LanguageRun]) -> tuple[Finding, ...]:
    """In how many models each language falls behind; none for one run."""
    compared = [
        run for run in runs if any(gap.p_value is not None for gap in run.gaps())
    ]
    if len(compared) < 2:
        return ()
    behind = {
        run.label: [
            run.answers.name(gap.group or "")
            for gap in by_side(run).get(-1, [])
            if not doubts(run, gap)
        ]
        for run in compared
    }
    some_behind = [label for label, names in behind.items() if names]
    in_all = set.intersection(*(set(names) for names in behind.values()))
    reference = join_words(list(dict.fromkeys(map(reference_name, compared))))
    worse = (
        "fewer questions are answered right"
        if compared[0].answers.crossed
        else "answers match the references less well"
    )
    evidence = [
        f"{label}: {some(names) or 'none'}"
        + (f" ({len(names)} languages)." if len(names) > 1 else ".")
        for label, names in behind.items()
    ]
    if in_all and len(some_behind) > 1:
        every = [name for name in behind[some_behind[0]] if name in in_all]
        all_of = "both" if len(compared) == 2 else f"all {len(compared)}"
        evidence.append(f"In {all_of} models: {some(every)}.")
    return (
        Finding(
            claim=f"In some language {worse} than in {reference} by "
            f"{len(some_behind)} of {len(compared)} models."
            if some_behind
            else f"That in some language {worse} than in {reference} is shown for none "
            f"of {len(compared)} models.",
            evidence=tuple(evidence),
            certainty="supported" if some_behind else "not shown",
        ),
    )
