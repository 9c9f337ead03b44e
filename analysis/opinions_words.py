"""Words and judgements that the opinion axis's findings, figures and tables share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.html import interval, join_words, number
from analysis.opinions_measures import TESTED_QUESTIONS
from analysis.records import Record
from analysis.wording import countries
from data_builders.countries import by_key


def name(key: str) -> str:
    """A country's name."""
    return by_key(key).name


def names(keys: Sequence[str], most: int = 4) -> str:
    """Some names, and how many more."""
    shown = [name(key) for key in keys[:most]]
    more = len(keys) - most
    return join_words([*shown, f"{more} more"] if more > 0 else shown)


def all_of(count: int) -> str:
    """``all 19 countries``, ``both countries`` or ``1 country``."""
    return {1: countries(1), 2: "both countries"}.get(count, f"all {countries(count)}")


def value_text(record: Record, digits: int = 3) -> str:
    """``0.492 (95% 0.471 to 0.513)``; without bounds it says so."""
    if record.ci_low is None:
        return f"{number(record.estimate, digits)} (no interval)"
    return (
        f"{number(record.estimate, digits)} "
        f"(95% {interval(record.ci_low, record.ci_high, digits)})"
    )


def untested(record: Record) -> tuple[str, ...]:
    """Why a difference with an interval has no p-value, as a sentence; else nothing."""
    if record.ci_low is None or record.p_value is not None:
        return ()
    return (
        f"Not tested: {record.n} questions, and tests need {TESTED_QUESTIONS}; "
        "intervals over so few are rough.",
    )


def triple(record: Record) -> tuple[float, float, float]:
    """Estimate and bounds; NaN for what there is not."""
    estimate, low, high = (
        math.nan if value is None else value
        for value in (record.estimate, record.ci_low, record.ci_high)
    )
    return estimate, low, high
