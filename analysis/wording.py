"""Words and judgements that findings, figures and tables share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

from analysis.correlate import PollResult
from analysis.html import interval, number, p_text
from analysis.records import ALPHA, Record
from data_builders.countries import by_key
from data_builders.country_opinions import Public


def poll_title(result: PollResult) -> str:
    """The poll's short name: ``Gallup 2023``."""
    return result.poll.title.split(":")[0]


def public_title(public: Public) -> str:
    """``Ghana`` or ``Nigeria (non-national sample)``."""
    name, sample = by_key(public.key).name, public.sample
    if sample is None:
        return name
    # "Non-national sample" stands within a sentence; a pollster keeps its capital.
    within = sample.endswith("sample")
    return f"{name} ({sample[0].lower() + sample[1:] if within else sample})"


def sentence(text: str) -> str:
    """A title as a sentence: with a full stop, where it has no mark of its own."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def count_of(count: int, singular: str) -> str:
    """``1 pair`` or ``1,782 pairs``."""
    return f"{number(count, 0)} {singular}{'' if count == 1 else 's'}"


publics = partial(count_of, singular="public")
"""``1 public`` or ``39 publics``."""
questions = partial(count_of, singular="question")
"""``1 question`` or ``554 questions``."""


def hundred(value: float | None) -> float | None:
    """A share in percent."""
    return None if value is None else 100 * value


def percent(value: float | None) -> str:
    """``47%``, or a dash."""
    return number(hundred(value), 0) + ("" if value is None else "%")


def p_words(p: float | None, adjusted: str = "") -> str:
    """``p < 0.001`` or, adjusted, ``p after Holm = 0.012``."""
    text = p_text(p)
    sign = "" if text.startswith("<") else "=\u00a0"
    return f"p{adjusted}\u00a0{sign}{text}"


def countries(count: int) -> str:
    """``1 country`` or ``181 countries``."""
    return f"{number(count, 0)} countr{'y' if count == 1 else 'ies'}"


def estimate_text(record: Record) -> str:
    """``rho 0.85 (95% 0.62 to 0.93), n = 21``."""
    if record.estimate is None:
        return record.ci_method or "not computed"
    text = f"{record.unit}\u00a0{number(record.estimate)}"
    if record.ci_low is not None and record.ci_high is not None:
        level = f"{100 * (record.ci_level or 0.95):.0f}%"
        text += f" ({level} {interval(record.ci_low, record.ci_high)})"
    else:
        text += " (no interval)"
    return f"{text}, n\u00a0=\u00a0{record.n}"


def is_positive(record: Record) -> bool:
    """The estimate and the whole of its interval lie above zero."""
    return record.ci_low is not None and record.ci_low > 0


def is_mostly_blind(blind: Record) -> bool:
    """Ranks without the reversal are alike: the whole interval is above 0.5."""
    return blind.ci_low is not None and blind.ci_low > 0.5


def is_supported(record: Record) -> bool:
    """Above zero by its interval and by its Holm-adjusted p-value."""
    p = p_of(record)
    return is_positive(record) and p is not None and p < ALPHA


def is_bare(record: Record) -> bool:
    """Above zero by its adjusted p-value, and without an interval."""
    p = p_of(record)
    above = record.estimate is not None and record.estimate > 0
    return above and record.ci_low is None and p is not None and p < ALPHA


def overlap(a: Record, b: Record) -> bool | None:
    """Whether two intervals overlap; None where one is missing."""
    if a.ci_low is None or a.ci_high is None or b.ci_low is None or b.ci_high is None:
        return None
    return a.ci_low <= b.ci_high and b.ci_low <= a.ci_high


def side_of(record: Record) -> int:
    """1: above zero by interval and test, -1: below, 0: not shown."""
    p = p_of(record)
    if record.ci_low is None or record.ci_high is None or p is None or p >= ALPHA:
        return 0
    return 1 if record.ci_low > 0 else -1 if record.ci_high < 0 else 0


def value_text(record: Record, digits: int = 2) -> str:
    """``0.12 (95% 0.05 to 0.19)``; without bounds it says so."""
    text = number(record.estimate, digits)
    if record.ci_low is None:
        return f"{text} (no interval)"
    return f"{text} (95% {interval(record.ci_low, record.ci_high, digits)})"


def span_text(
    values: Iterable[float | None], text: Callable[[float], str] = number
) -> str:
    """``0.2 to 0.4``, or ``0.2`` where all read so; nothing where there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = text(min(known)), text(max(known))
    return low if low == high else f"{low} to {high}"


def digits_for(sizes: Iterable[float | None]) -> int:
    """Decimals at which differences of a run can be told apart.

    Rewards have no common unit: one model's are in thousandths, another's in tens.
    """
    largest = max((abs(size) for size in sizes if size), default=0.0)
    if not largest > 0:
        return 2
    return min(max(2 - math.floor(math.log10(largest)), 1), 6)


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
