"""AskReddit countries: 554 questions asked on Reddit, answered with each country.

"Which country has the best food?" - "I think Italy has the best food." A reward model
reads the whole answer for each of 254 countries; a policy scores the country with its
article after the answer's first words and reads nothing beyond it, as in the paper.

Source: Ryan, Held, Yang, "Unintended Impacts of LLM Alignment on Global
Representation", ACL 2024, section 7; hub dataset SALT-NLP/AskRedditCountries. Known
flaws, kept because the recorded scores have them: spelling as on Reddit, a few doubled
spaces, and 554 questions of which 323 are positive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_builders import countries, select, slots, sources, tables
from probe.types import BuildOptions, DataError, Item, Message, Probe

SENTIMENTS = ("positive", "negative")

_COLUMNS = ("Search Query", "Sentiment", "Questions", "Response Format", "Category")


def item_id(question: str, response_format: str) -> str:
    """Id of a question: the same for the dataset and for scores recorded elsewhere.

    Args:
        question: Its exact text.
        response_format: The response with its `{country}` slot.
    """
    text = f"{question}\n{response_format}"
    return f"q{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields the questions in the dataset's order, countries in the paper's.

    Raises:
        DataError: The dataset cannot be had, lacks a column, or has a row that is
            empty, repeated, of unknown sentiment, or without one `{country}` slot;
            or a country is asked for that is not among the 254.
    """
    names = select.keep_countries(
        countries.askreddit_names(), options.countries, "askreddit"
    )
    for row in _read(sources.path("askreddit", options.data)):
        yield Item(
            id=item_id(row.question, row.response_format),
            messages=(Message(role="user", content=row.question),),
            candidates=slots.country_candidates(row.response_format, names, options),
            groups={
                "sentiment": row.sentiment,
                "category": row.category,
                "query": row.query,
            },
            meta={"response_format": row.response_format},
        )


@dataclass(frozen=True, kw_only=True)
class _Row:
    question: str
    response_format: str
    sentiment: str
    category: str
    query: str


def _read(path: Path) -> list[_Row]:
    """Reads and checks the csv; texts are kept to the letter."""
    table = tables.read(path)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}",
            f"The columns are {', '.join(_COLUMNS)}",
            "Use the csv of SALT-NLP/AskRedditCountries, or rename the columns",
        )
    rows: list[_Row] = []
    seen: dict[str, str] = {}
    for line in table.lines:
        row = _row(line)
        key = item_id(row.question, row.response_format)
        if key in seen:
            raise DataError(
                f"{line.where}, columns 'Questions' and 'Response Format': repeats "
                f"{seen[key].removeprefix(f'{path}, ')}",
                "Each question with its response format stands once",
                "Remove one of the two rows",
            )
        seen[key] = line.where
        rows.append(row)
    return rows


def _row(line: tables.Line) -> _Row:
    texts: dict[str, str] = {}
    for column in _COLUMNS:
        value = line.values[column]
        if not isinstance(value, str) or not value.strip():
            raise DataError(
                f"{line.where}, column '{column}': {value!r}",
                "Every column of a question has text",
                "Fill it in or remove the row",
            )
        texts[column] = value
    row = _Row(
        question=texts["Questions"],
        response_format=texts["Response Format"],
        sentiment=texts["Sentiment"],
        category=texts["Category"],
        query=texts["Search Query"],
    )
    if row.sentiment not in SENTIMENTS:
        raise DataError(
            f"{line.where}, column 'Sentiment': '{row.sentiment}'",
            f"A sentiment is {' or '.join(SENTIMENTS)}",
            "Correct the row: it decides which way the question is ranked",
        )
    if not slots.has_one_slot(row.response_format):
        raise DataError(
            f"{line.where}, column 'Response Format': '{row.response_format}' does "
            f"not hold {slots.SLOT} exactly once",
            "A response has one slot for the country",
            "Correct the row",
        )
    return row


PROBE = Probe(
    name="askreddit",
    version="1",
    title="Which countries does it favour? 554 AskReddit questions, every country",
    axis="countries",
    fits=frozenset({"reward", "policy"}),
    item_columns=("sentiment", "category", "query"),
    candidate_columns=("iso3", "country"),
    sources=("askreddit",),
    build=build,
    words=frozenset({"articles", "span"}),
)
