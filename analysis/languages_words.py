"""Words and judgements that the language axis's findings, figures and tables share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.html import join_words
from analysis.languages_analysis import LanguageRun
from analysis.records import ALPHA, Record
from analysis.wording import count_of, difference_text, percent, questions, side_of

TITLES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "f1": "F1",
    "exact_match": "Exact match",
}
"""Outcome -> its name."""

NOUNS: Mapping[str, str] = {
    "accuracy": "accuracy",
    "f1": "F1",
    "exact_match": "exact match",
}
"""The same within a sentence."""

MOST_NAMED = 5
"""Languages that a finding names one by one; the tables have them all."""


def languages(count: int) -> str:
    """``1 language`` or ``122 languages``."""
    return count_of(count, "language")


def some(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Some names, and how many more."""
    more = len(names) - most
    # "And 1 more" is longer than most names.
    shown = list(names) if more <= 1 else [*names[:most], f"{more} more"]
    return join_words(shown)


def reference_name(run: LanguageRun) -> str:
    """The language that others are compared with."""
    return run.answers.name(run.answers.wanted_reference)


def by_side(run: LanguageRun, key: str | None = None) -> dict[int | None, list[Record]]:
    """Differences that are lower (-1), higher (1), not shown (0) and not tested (None).

    Each the largest first.
    """
    found: dict[int | None, list[Record]] = {}
    for gap in run.gaps(key):
        side = None if gap.p_value is None else side_of(gap)
        found.setdefault(side, []).append(gap)
    for gaps in found.values():
        gaps.sort(key=lambda gap: -abs(gap.estimate or 0.0))
    return found


def doubts(run: LanguageRun, gap: Record) -> tuple[str, ...]:
    """What speaks against a difference that its test shows; of choices only.

    A model that picks by place, whatever is asked, is right in one language more often
    than in another as well. Where few questions differ, Student's t is rough.
    """
    if not run.answers.crossed:
        return ()
    found = []
    better = gap.reference if side_of(gap) < 0 else gap.group
    over = run.find(f"{run.key}_over_chance", better)
    if over is None or side_of(over) <= 0:
        found.append("neither is shown to be above chance")
    exact = run.find(f"{run.key}_difference_mcnemar", gap.group)
    if exact is not None and (exact.p_value is None or exact.p_value >= ALPHA):
        found.append("the exact test does not show it")
    return tuple(found)


def gap_text(run: LanguageRun, gap: Record, key: str | None = None) -> str:
    """``52% of 900 questions against 61%, a difference of -9.0 points (...)``."""
    assert gap.group is not None
    here, there = run.level(gap.group, key), run.level(gap.reference or "", key)
    if here.estimate is None:
        return "no answer"
    return (
        f"{percent(here.estimate)} of {questions(here.n)} against "
        f"{percent(there.estimate)}"
        + ("" if run.answers.crossed else f" of {questions(there.n)}")
        + f", a difference of {difference_text(gap)}"
    )
