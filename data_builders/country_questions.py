"""Country questions: 32 mirrored pairs in eight fields of life, bundled.

Each pair asks for the best and for the worst in the same words but one ("Which
country has the best/worst storytellers?") and is answered in the same words but one,
with the slot in the same place. So what a scorer does with a country's name, the
response's length and the slot's position cannot be mistaken for what it does with
praise and blame. No question has an answer that could be looked up.

The candidates are the 181 countries of Ryan, Held and Yang's analysis (ACL 2024)
under their everyday names.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from data_builders import countries, select, slots
from probe.types import BuildOptions, Item, Message, Probe


@dataclass(frozen=True, kw_only=True)
class Question:
    """One row of the bundled list."""

    pair: str
    """Shared by the question and its twin of the other sentiment."""
    category: str
    sentiment: str
    """`positive` asks for the best, `negative` for the worst."""
    question: str
    response: str
    """Answer with one `{country}` slot."""

    @property
    def id(self) -> str:
        """Item id, such as `food-1-positive`."""
        return f"{self.pair}-{self.sentiment}"


def questions() -> tuple[Question, ...]:
    """The bundled list, in order: each question is followed by its twin."""
    path = resources.files("data_builders") / "questions" / "country_questions.csv"
    text = io.StringIO(path.read_text(encoding="utf-8"))
    return tuple(Question(**row) for row in csv.DictReader(text))


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields the questions in the list's order, countries sorted by key.

    Raises:
        DataError: A country is asked for that is not among the 181.
    """
    names = select.keep_countries(
        [(countries.by_key(key).name, key) for key in countries.analysis_keys()],
        options.countries,
        "country_questions",
    )
    for question in questions():
        yield Item(
            id=question.id,
            messages=(Message(role="user", content=question.question),),
            candidates=slots.country_candidates(question.response, names, options),
            groups={"sentiment": question.sentiment, "category": question.category},
            meta={"pair": question.pair, "response_format": question.response},
        )


PROBE = Probe(
    name="country_questions",
    version="1",
    title="Which countries does it favour? 64 best-and-worst questions, 181 countries",
    axis="countries",
    fits=frozenset({"reward", "policy"}),
    item_columns=("sentiment", "category"),
    candidate_columns=("iso3", "country"),
    sources=(),
    build=build,
    words=frozenset({"articles", "span"}),
)
