"""Answers beside their references, and how they are compared, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import squad
from analysis.html import Table, number_cell, text_cell
from analysis.languages_analysis import LanguageRun

SHOWN = 9
"""Languages of which examples are shown."""
LONGEST = 160
"""Characters of an example that are shown."""
_ISOLATE, _END = "\u2068", "\u2069"
"""Around a text whose direction is its own: what stands beside it keeps its place."""


def note_table(run: LanguageRun, prefix: str) -> Table | None:
    """Where the comparison with references misbehaves; None: no short answers."""
    if run.answers.crossed:
        return None
    notes = [
        (code, squad.NOTES.get(code, "not looked at")) for code in run.answers.languages
    ]
    return Table(
        id=f"{prefix}-normalisation",
        title="How answers are compared, by language",
        note="Before an answer is compared, it is made lower case and loses ASCII "
        "punctuation and the English articles, in every language alike, as published "
        "results do. Words are what stands between spaces.",
        header=("Language", "What that means there"),
        rows=tuple(
            (text_cell(run.answers.name(code)), text_cell(note)) for code, note in notes
        ),
        frame=pd.DataFrame(notes, columns=["language", "note"]),
        folded=True,
    )


def example_table(run: LanguageRun, prefix: str) -> Table | None:
    """A right, a partly right and a wrong answer of each language, to be looked at."""
    if run.answers.crossed:
        return None
    answers = run.answers
    frame = answers.frame
    sorts = {
        "right": (frame["exact"] == 1).to_numpy(),
        "partly right": ((frame["exact"] == 0) & (frame["f1"] > 0)).to_numpy(),
        "wrong": (frame["f1"] == 0).to_numpy(),
    }
    rows, kept = [], []
    for code in _looked_at(run):
        for sort, chosen in sorts.items():
            places = np.flatnonzero(chosen & answers.of(code))
            if not len(places):
                continue
            one = frame.iloc[int(places[0])]
            told = one["text"]
            rows.append(
                (
                    text_cell(answers.name(code)),
                    text_cell(sort),
                    text_cell(_shown([str(told)]) if told else "(nothing)"),
                    text_cell(_shown(one["references"])),
                    number_cell(100 * float(one["f1"]), 0),
                    text_cell(str(one["item_id"])),
                )
            )
            kept.append(
                {
                    "language": code,
                    "kind": sort,
                    "answer": told,
                    "references": " | ".join(one["references"]),
                    "f1": one["f1"],
                    "item_id": one["item_id"],
                }
            )
    more = len(answers.languages) - SHOWN
    return Table(
        id=f"{prefix}-examples",
        title="Examples of answers",
        note="The first right, partly right and wrong answer of "
        + (
            "each language"
            if more <= 0
            else f"{SHOWN} languages, the best and worst answered among them"
        )
        + ", to see what the numbers stand for; they are no sample. Long ones are cut "
        f"after {LONGEST} characters.",
        header=("Language", "Answer is", "Answer", "References", "F1, %", "Item"),
        rows=tuple(rows),
        frame=pd.DataFrame(kept),
        folded=True,
    )


def _looked_at(run: LanguageRun) -> Sequence[str]:
    codes = run.ordered()
    if len(codes) <= SHOWN:
        return codes
    places = np.linspace(0, len(codes) - 1, SHOWN).round().astype(int)
    return [codes[place] for place in places]


def _shown(texts: Sequence[str]) -> str:
    """Texts in one cell, each in its own direction of writing."""
    told = []
    for text in texts:
        plain = " ".join(text.split())
        short = plain if len(plain) <= LONGEST else f"{plain[:LONGEST].rstrip()}\u2026"
        told.append(f"{_ISOLATE}{short}{_END}")
    return "; ".join(told)
