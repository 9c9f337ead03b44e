"""Words that findings, tables and figures of MD3 share."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.dialects_md3_analysis import GamesRun
from analysis.dialects_md3_data import CHOICE, GUESS, PER_TOKEN
from analysis.wording import count_of

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
