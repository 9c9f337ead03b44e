"""Words that findings, tables and figures of texts in several dialects share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.dialects_pairs_analysis import PairRun
from analysis.html import interval, join_words, number
from analysis.records import Record
from analysis.wording import count_of, p_words
from probe.types import Measure

NAMED = 6
"""Most dialects that a finding lists with their numbers."""

_NAMES = {
    "standard": "standard English",
    "african_american": "African American English",
    "appalachian": "Appalachian English",
    "chicano": "Chicano English",
    "indian": "Indian English",
    "jamaican": "Jamaican English",
}


def name_of(dialect: str) -> str:
    """A dialect of the shipped pairs by its name; a user's own as it is."""
    return _NAMES.get(dialect, dialect)


def names_of(dialects: Sequence[str]) -> str:
    """``Indian English and Jamaican English``."""
    return join_words([name_of(dialect) for dialect in dialects])


def among(dialects: Sequence[str], total: int) -> str:
    """Their names, or ``all 5 dialects`` where these are all of several."""
    if len(dialects) == total and total > 2:
        return f"all {dialects_text(total)}"
    return names_of(dialects)


def comparatives(run: PairRun) -> tuple[str, str, str]:
    """``scores``, ``lower``, ``higher``; of a policy ``finds``, ``less probable``."""
    if run.table.run.measure in (Measure.REWARD, Measure.IMPLICIT_REWARD):
        return "scores", "lower", "higher"
    return "finds", "less probable", "more probable"


def rows_text(count: int) -> str:
    """``1 row`` or ``297 rows``."""
    return count_of(count, "row")


def dialects_text(count: int) -> str:
    """``1 dialect`` or ``5 dialects``."""
    return count_of(count, "dialect")


def digits_of(run: PairRun) -> int:
    """Decimals at which the run's mean differences can be told apart.

    Rewards have no common unit: one model's are in thousandths, another's in tens.
    """
    sizes = [
        abs(one.estimate)
        for one in run.records
        if one.metric == "mean_difference" and one.estimate
    ]
    return min(max(2 - math.floor(math.log10(max(sizes))), 1), 6) if sizes else 2


def adjusted_p(record: Record | None) -> float | None:
    """Holm's p-value; None: not tested."""
    return None if record is None else record.p_holm


def value_text(record: Record | None, digits: int = 2) -> str:
    """``0.12 (95% 0.05 to 0.19)``; without bounds, or a number, it says so."""
    if record is None or record.estimate is None:
        return "not computed"
    text = number(record.estimate, digits)
    if record.ci_low is None:
        return f"{text} (no interval)"
    return f"{text} (95% {interval(record.ci_low, record.ci_high, digits)})"


def p_phrase(record: Record | None) -> str:
    """``p = 0.012``, ``p < 0.001`` or ``not tested``; Holm's."""
    p = adjusted_p(record)
    if p is None:
        return "not tested"
    return p_words(p)
