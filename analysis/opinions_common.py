"""The common question set: countries that were all asked the same questions.

Countries were asked different questions, and a model may be more alike to one merely
because its questions are easier to match. On the common set every country stands on
the same questions. It is chosen from who was asked what, never from an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.opinions_data import OpinionTable
from analysis.opinions_people import Public
from data_builders import countries
from probe.types import DataError

WANTED_COUNTRIES = 5
WANTED_QUESTIONS = 30
QUESTIONS_PER_COUNTRY = 5
"""Fewest questions for each country of the set: who matches best is counted over the
questions, and 70 of them cannot be shared out among 80 countries."""


@dataclass(frozen=True, kw_only=True)
class CommonSet:
    """Publics that were all asked the same questions."""

    publics: tuple[Public, ...]
    """The reference first where it is among them, then in the order chosen."""
    questions: frozenset[str]
    """Ids of the questions that all of them were asked and every run answered."""
    named: bool
    """The countries were named by the user."""

    def columns(self, table: OpinionTable) -> NDArray[np.intp]:
        """The publics' columns in a run's table, shape (H,)."""
        return np.array([table.publics.index(one) for one in self.publics], np.intp)

    def rows(self, table: OpinionTable) -> NDArray[np.intp]:
        """The questions' rows in a run's table, shape (N,)."""
        chosen = [i for i, one in enumerate(table.questions) if one in self.questions]
        return np.array(chosen, np.intp)

    @property
    def names(self) -> list[str]:
        """The countries' names."""
        return [public.name for public in self.publics]


def common_set(
    tables: Sequence[OpinionTable], *, reference: str, named: Sequence[str] | None
) -> CommonSet:
    """Chooses the common set of one or more runs.

    From the reference on, the country that keeps most questions is added, again and
    again (ties: first by key). Of the sets passed on the way, the one with the largest
    product of countries and questions is taken: among those with at least
    `WANTED_COUNTRIES` countries, `WANTED_QUESTIONS` questions and
    `QUESTIONS_PER_COUNTRY`; failing that, among those with two countries and
    `QUESTIONS_PER_COUNTRY`; failing that, among all with two countries.

    Args:
        tables: The runs; only questions that all of them answered count.
        reference: Key of the country to begin with; where nobody there was asked, the
            country asked the most.
        named: Keys of the countries to take instead.

    Raises:
        DataError: Nobody in a named country was asked, the named ones share no
            question, or the runs share none.
    """
    first = tables[0]
    shared = set(first.questions).intersection(*(one.questions for one in tables[1:]))
    if not shared:
        raise DataError(
            f"{first.run.path} and another run have no question in common",
            "Runs side by side answer the same questions, at least some",
            "Score both with the same --limit, or report them apart",
        )
    ids = np.array(first.questions)
    asked = first.asked[:, first.headline] & np.isin(ids, sorted(shared))[:, None]
    keys = [first.publics[column].key for column in first.headline]
    if named is None:
        chosen = _greedy(asked, keys.index(reference) if reference in keys else None)
    else:
        chosen = [_place(key, keys) for key in dict.fromkeys(named)]
    rows = asked[:, chosen].all(axis=1)
    if not rows.any():
        raise DataError(
            f"no question was asked in all of {', '.join(keys[i] for i in chosen)}",
            "The countries of the common set share at least one question",
            "Name fewer countries",
        )
    return CommonSet(
        publics=tuple(first.publics[first.headline[i]] for i in chosen),
        questions=frozenset(map(str, ids[rows])),
        named=named is not None,
    )


def _place(key: str, keys: Sequence[str]) -> int:
    if key not in keys:
        raise DataError(
            f"nobody in {countries.by_key(key).name} was asked any of the run's "
            "questions",
            "The common set is made of countries that were asked",
            "Name other countries",
        )
    return keys.index(key)


def _greedy(asked: NDArray[np.bool_], start: int | None) -> list[int]:
    """Columns of the chosen countries, in the order they were added."""
    counts = asked.sum(axis=0)
    if start is None or not counts[start]:
        start = int(counts.argmax())
    order, sizes = [start], [int(counts[start])]
    left = asked[asked[:, start]]
    while True:
        kept = left.sum(axis=0)
        kept[order] = 0
        best = int(kept.argmax())
        if not kept[best]:
            break
        order.append(best)
        sizes.append(int(kept[best]))
        left = left[left[:, best]]
    numbers, questions = np.arange(1, len(order) + 1), np.array(sizes)
    dense = questions >= QUESTIONS_PER_COUNTRY * numbers
    large = (numbers >= WANTED_COUNTRIES) & (questions >= WANTED_QUESTIONS)
    several = numbers >= min(2, len(order))
    allowed = next(
        one for one in (dense & large, dense & several, several) if one.any()
    )
    return order[: int(np.where(allowed, numbers * questions, -1).argmax()) + 1]
