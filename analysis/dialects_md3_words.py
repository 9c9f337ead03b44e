"""Words that findings, tables and figures of MD3 share."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.dialects_md3_analysis import GamesRun
from analysis.dialects_md3_data import CHOICE, GUESS, PER_TOKEN
from analysis.html import interval, number
from analysis.opinions_words import side_of
from analysis.records import Record
from analysis.wording import count_of, hundred, p_words

NAMES: Mapping[str, str] = {
    "en_us": "US English",
    "en_in": "Indian English",
    "en_ng": "Nigerian English",
}
"""Dialect of MD3 -> its name."""

ACTS: Mapping[str, str] = {
    GUESS: "guesses the secret word",
    CHOICE: "picks out the secret word",
    PER_TOKEN: "picks out the secret word, per token,",
}
"""Outcome -> what a model does that wins a game."""

HELD = "with length and frequency held"
SHARED = "on the answers asked in both"


def dialect_name(key: str) -> str:
    """``Indian English``; the key of any other dialect."""
    return NAMES.get(key, key)


def outcome_name(run: GamesRun, key: str) -> str:
    """``Guess``, ``Choice``, or a policy's ``Choice (sum)``."""
    if key == GUESS:
        return "Guess"
    if key == PER_TOKEN:
        return "Choice (per token)"
    keys = {one.outcome.key for one in run.outcomes}
    return "Choice (sum)" if PER_TOKEN in keys else "Choice"


def games(count: int) -> str:
    """``1 game`` or ``889 games``."""
    return count_of(count, "game")


def answers(count: int) -> str:
    """``1 answer`` or ``418 answers``."""
    return count_of(count, "answer")


def points(value: float | None) -> str:
    """A difference of shares in points, with a decimal."""
    return number(hundred(value), 1)


def bounds(record: Record) -> str:
    """The interval of a difference in points."""
    return interval(hundred(record.ci_low), hundred(record.ci_high), 1)


def p_of(record: Record) -> float | None:
    """After Holm, where there is a family."""
    return record.p_value if record.p_holm is None else record.p_holm


def p_phrase(record: Record) -> str:
    """``p < 0.001`` or ``p after Holm = 0.012``."""
    # A family over dialects has several tests even of one model.
    several = record.group is not None or record.p_holm != record.p_value
    holm = " after Holm" if several and record.p_holm is not None else ""
    return p_words(p_of(record), holm)


def difference_text(record: Record) -> str:
    """``20.4 points (95% 13.3 to 27.7, p < 0.001)``, or why there is less."""
    if record.estimate is None:
        return "not computed"
    text = f"{points(record.estimate)} points"
    if record.ci_low is None:
        why = (record.ci_method or "none").removeprefix("none: ")
        return f"{text} (not tested: {why})"
    tested = "" if record.p_value is None else f", {p_phrase(record)}"
    return f"{text} (95% {bounds(record)}{tested})"


def result_text(record: Record) -> str:
    """``lower``, ``higher``, ``not shown`` or ``not tested``, unbroken."""
    if record.p_value is None:
        return "not\u00a0tested"
    return {-1: "lower", 1: "higher", 0: "not\u00a0shown"}[side_of(record)]
