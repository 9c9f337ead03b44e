"""GlobalOpinionQA: survey questions with the answers of people in many countries.

Source: Durmus et al. 2023, "Towards Measuring the Representation of Subjective Global
Opinions in Language Models" (arXiv 2306.16388); hub Anthropic/llm_global_opinions, a
csv whose cells are Python literals. They are read with `ast.literal_eval`, so that no
text of the file is ever run. What cannot be used is left out and counted by reason;
nothing is filled in.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from data_builders import countries, scales, tables
from probe.types import DataError

COLUMNS = ("question", "selections", "options")

MAX_OPTIONS = 26
"""Options are lettered."""
SUM_TOLERANCE = 0.1
"""How far from 1 shares may sum: far more than rounding does. Within it they are made
to sum to 1; beyond it something is missing, or they are no shares."""

_DICT = re.compile(r"(?:defaultdict\(<class 'list'>,\s*)?(\{.*\})\)?", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the people of one country, or one sample of it, answered."""

    key: str
    """Crosswalk key of the country."""
    sample: str | None
    """The part that was asked, such as `Non-national sample`; None: all of it."""
    shares: tuple[float, ...]
    """Share of each option, summing to 1."""
    total: float
    """Their sum in the source, before it was made 1."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One survey question with options and answers."""

    id: str
    text: str
    options: tuple[str, ...]
    """Labels as the survey has them, at least two, each once."""
    answers: tuple[Answers, ...]
    """At least one; a country's samples stand apart."""
    scale: scales.Scale | None
    survey: str | None
    """GAS (Pew Global Attitudes Survey) or WVS (World Values Survey); None: unknown."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All usable questions of a file."""

    questions: tuple[Question, ...]
    """In the file's order."""
    dropped: Mapping[str, int]
    """What was left out: reason -> questions, or answers of a country."""


def question_id(text: str, options: Sequence[str]) -> str:
    """Id of a question: the same for the dataset and for scores recorded elsewhere.

    Args:
        text: Its exact text.
        options: Its labels, in the survey's order.
    """
    whole = "\n".join((text, *options))
    return f"g{hashlib.sha256(whole.encode()).hexdigest()[:12]}"


def read_options(cell: str) -> tuple[str, ...]:
    """The labels in an `options` cell.

    Raises:
        ValueError: The cell is no list of texts or numbers.
    """
    found = _literal(cell)
    if not isinstance(found, list | tuple) or not all(
        isinstance(one, str | int | float) for one in found
    ):
        raise ValueError(cell)
    return tuple(_label(one) for one in found)


def _label(value: str | float) -> str:
    """A label as text; the source writes the steps of a scale as 1.0, 2.0."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value).strip()


def _literal(text: str) -> object:
    """A Python literal; whatever is wrong with it is a ValueError."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(text) from error


def _read_selections(cell: str) -> list[tuple[object, object]]:
    """(label, shares) of each country in the cell, one that stands twice too.

    Raises:
        ValueError: The cell is no dict of literals.
    """
    body = _DICT.fullmatch(cell.strip())
    if body is None or not isinstance(_literal(body[1]), dict):
        raise ValueError(cell)
    # Of a label that stands twice a dict keeps the last: the pairs are read one by one.
    tree = ast.parse(body[1], mode="eval").body
    assert isinstance(tree, ast.Dict)
    return [
        (ast.literal_eval(key), ast.literal_eval(value))
        for key, value in zip(tree.keys, tree.values, strict=True)
        if key is not None
    ]


def read(path: Path) -> Survey:
    """Reads a csv in the hub's layout.

    Raises:
        DataError: The file cannot be read, lacks a column, or has no usable question;
            single rows and answers that cannot be used are counted, not errors.
    """
    stat = path.stat() if path.is_file() else None
    return _read(path, None if stat is None else (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=2)
def _read(path: Path, _state: object) -> Survey:
    table = tables.read(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}",
            f"The columns are {', '.join(COLUMNS)} and, where known, source",
            "Use the csv of Anthropic/llm_global_opinions, or rename the columns",
        )
    dropped: Counter[str] = Counter()
    questions: dict[str, Question] = {}
    for line in table.lines:
        question = _question(line.values, dropped)
        if question is None:
            continue
        if question.id in questions:
            dropped["question: stands twice"] += 1
            continue
        questions[question.id] = question
    if not questions:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise DataError(
            f"{path} has no question that can be used ({reasons})",
            "A question has a text, two options or more, and the answers of a country",
            "Use the csv of Anthropic/llm_global_opinions",
        )
    return Survey(
        questions=tuple(questions.values()),
        dropped=MappingProxyType(dict(sorted(dropped.items()))),
    )


def _question(values: Mapping[str, object], dropped: Counter[str]) -> Question | None:
    text = str(values["question"] or "").strip()
    if not text:
        dropped["question: no text"] += 1
        return None
    try:
        options = read_options(str(values["options"]))
    except ValueError:
        dropped["question: options cannot be read"] += 1
        return None
    if len(options) < 2:
        dropped["question: fewer than two options"] += 1
        return None
    if len(set(options)) < len(options) or len(options) > MAX_OPTIONS:
        dropped[f"question: an option twice, or more than {MAX_OPTIONS}"] += 1
        return None
    if not all(options):
        dropped["question: an option without text"] += 1
        return None
    try:
        selections = _read_selections(str(values["selections"]))
    except ValueError:
        dropped["question: selections cannot be read"] += 1
        return None
    answers: dict[tuple[str, str | None], Answers] = {}
    twice: set[tuple[str, str | None]] = set()
    for label, shares in selections:
        reason = _fault(shares, len(options))
        if reason is None:
            try:
                country, sample = countries.resolve_sample(str(label))
            except DataError:
                reason = f"answers: nobody knows the country '{label}'"
        if reason is not None:
            dropped[reason] += 1
            continue
        if (country.key, sample) in answers:
            twice.add((country.key, sample))
            continue
        assert isinstance(shares, list | tuple)
        total = math.fsum(shares)
        answers[country.key, sample] = Answers(
            key=country.key,
            sample=sample,
            shares=tuple(share / total for share in shares),
            total=total,
        )
    for who in twice:
        # Nobody knows which of the two is right.
        del answers[who]
        dropped["answers: a country twice in one question"] += 1
    if not answers:
        dropped["question: no country's answers can be used"] += 1
        return None
    return Question(
        id=question_id(text, options),
        text=text,
        options=options,
        answers=tuple(answers.values()),
        scale=scales.find_scale(options),
        survey=str(values.get("source") or "").strip() or None,
    )


def _fault(shares: object, n_options: int) -> str | None:
    """Why a distribution cannot be used; None: it can."""
    if not isinstance(shares, list | tuple) or len(shares) != n_options:
        return "answers: as many shares as options are needed"
    numbers = [
        share
        for share in shares
        if isinstance(share, int | float)
        and not isinstance(share, bool)
        and math.isfinite(share)
    ]
    if len(numbers) < n_options:
        return "answers: a share is no number"
    if min(numbers) < 0:
        return "answers: a share is negative"
    if not any(numbers):
        return "answers: all shares are zero"
    if abs(sum(numbers) - 1) > SUM_TOLERANCE:
        return "answers: the shares do not sum to 1"
    return None
