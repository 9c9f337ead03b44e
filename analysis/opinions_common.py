"""The common question set: countries that were all asked the same questions.

Countries were asked different questions, and a model may be more alike to one merely
because its questions are easier to match. On the common set every country stands on
the same questions. It is chosen from who was asked what, never from an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.opinions_data import OpinionTable, Public
from data_builders import countries
from probe.types import DataError

WANTED_COUNTRIES = 5
WANTED_QUESTIONS = 30
SAME_SHARES = 1e-6
"""How far apart two runs' copies of one share may be; copies of the survey that are
rounded otherwise are other copies."""

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
            question, the runs share none, or they hold other answers of people to a
            question they share.
    """
    first = tables[0]
    shared = set(first.questions).intersection(*(one.questions for one in tables[1:]))
    if not shared:
        raise DataError(
            f"{first.run.path} and another run have no question in common",
            "Runs side by side answer the same questions, at least some",
            "Score both with the same --limit, or report them apart",
        )
    for table in tables[1:]:
        _need_same_people(first, table, shared)
    ids = np.array(first.questions)
    asked = first.asked[:, first.headline] & np.isin(ids, sorted(shared))[:, None]
    keys = [first.publics[column].key for column in first.headline]
    if named is None:
        chosen = _greedy(asked, keys.index(reference) if reference in keys else None)
    else:
        chosen = [_place(key, keys) for key in dict.fromkeys(named)]
        if len(chosen) < 2:
            raise DataError(
                f"the common set is to be {', '.join(named)} alone",
                "Similarities are compared between countries, two or more",
                "Name more countries, or none to have them chosen",
            )
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


def _need_same_people(
    one: OpinionTable, two: OpinionTable, shared: Collection[str]
) -> None:
    """Refuses two runs that are held against different people on a shared question."""
    ids = sorted(shared)
    publics = sorted({*one.publics, *two.publics})
    width = max(one.pair_shares.shape[1], two.pair_shares.shape[1])
    cubes = []
    for table in (one, two):
        # NaN: not asked, or no such option.
        cube = np.full((len(ids), len(publics), width), np.nan)
        row = pd.Index(ids).get_indexer(pd.Index(table.questions))[table.pair_question]
        at = np.array([publics.index(public) for public in table.publics], np.intp)
        size = table.n_options[table.pair_question, None]
        shares = table.pair_shares
        shares = np.where(np.arange(shares.shape[1]) < size, shares, np.nan)
        kept = row >= 0
        cube[row[kept], at[table.pair_public[kept]], : shares.shape[1]] = shares[kept]
        cubes.append(cube)
    ours, theirs = cubes
    close = np.isclose(ours, theirs, rtol=0, atol=SAME_SHARES, equal_nan=True)
    same = np.asarray(close.all(axis=2))
    if not same.all():
        row, column = np.argwhere(~same)[0]
        raise DataError(
            f"{one.run.path} and {two.run.path} hold different answers of people to "
            f"{int((~same).any(axis=1).sum())} of the {len(ids)} questions they share, "
            f"such as those in {publics[column].name} to {ids[row]}",
            "Runs side by side are held against the same people's answers",
            "Score both against one copy of the data, or report them apart",
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
