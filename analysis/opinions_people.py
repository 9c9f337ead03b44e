"""What people answered: the publics of a survey, read from the meta of a run's items.

A public is a country, or a sample of one that was surveyed apart. The headline public
of a country is the one asked the most questions (the whole country on ties); choosing
it looks at who was asked what, never at an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.resample import Floats
from data_builders import countries
from probe.types import DataError

Meta = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, order=True)
class Public:
    """People who were asked: a country, or a sample of it."""

    key: str
    """Crosswalk key of the country: ISO3 where there is one."""
    sample: str
    """Such as `Old national sample`; empty: the whole country."""

    @property
    def group(self) -> str:
        """``IND (Old national sample)``: the group of its records."""
        return f"{self.key} ({self.sample})" if self.sample else self.key

    @property
    def name(self) -> str:
        """``Germany`` or ``India (old national sample)``."""
        name, sample = countries.by_key(self.key).name, self.sample
        if sample.endswith("sample"):
            sample = sample[0].lower() + sample[1:]
        return f"{name} ({sample})" if sample else name


@dataclass(frozen=True, kw_only=True)
class People:
    """The answers of every public to every question of a run, as pairs."""

    n_options: NDArray[np.intp]
    """Shape (Q,): options of each question."""
    publics: tuple[Public, ...]
    """C publics, sorted."""
    headline: NDArray[np.intp]
    """Shape (H,): columns of one public per country, sorted by key."""
    question: NDArray[np.intp]
    """Shape (P,): row of each (question, public) pair."""
    public: NDArray[np.intp]
    """Shape (P,): its column."""
    shares: Floats
    """Shape (P, K), each row summing to 1; zero beyond the question's options."""
    dropped: Mapping[str, int]
    """Reason -> answers that cannot be used."""


def read_people(path: Path, metas: Sequence[Meta]) -> People:
    """Reads what people answered.

    Args:
        path: The run, for messages.
        metas: One per question: `options` and `answers` as the probe stores them.

    Raises:
        DataError: A meta has no options or answers, fewer than two options, or no
            answer of any public can be used; single ones are counted, not errors.
    """
    sizes = np.array([len(_list(path, meta, "options")) for meta in metas], np.intp)
    if sizes.min() < 2:
        raise DataError(
            f"{path}: a question has {sizes.min()} option",
            "A distribution is compared over at least two options",
            "Leave the question out of the items",
        )
    dropped: Counter[str] = Counter()
    found: dict[tuple[int, Public], NDArray[np.float64]] = {}
    for row, meta in enumerate(metas):
        for answer in _list(path, meta, "answers"):
            public = Public(key=answer["key"], sample=answer["sample"] or "")
            shares = np.array(answer["shares"], dtype=np.float64)
            fault = _fault(shares, int(sizes[row]))
            if fault is None and (row, public) in found:
                fault = "answers: a public twice in one question"
            if fault is None:
                found[row, public] = shares / shares.sum()
            else:
                dropped[fault] += 1
    if not found:
        raise DataError(
            f"{path} has no answers of people that can be used",
            "Each question is compared with what people of some country answered",
            "Score global_opinions again, or mend the `answers` in the items' meta",
        )
    publics = tuple(sorted({public for _, public in found}))
    place = {public: column for column, public in enumerate(publics)}
    shares = np.zeros((len(found), int(sizes.max())))
    for pair, values in enumerate(found.values()):
        shares[pair, : len(values)] = values
    column = np.array([place[public] for _, public in found], np.intp)
    return People(
        n_options=sizes,
        publics=publics,
        headline=_headline(publics, np.bincount(column)),
        question=np.array([row for row, _ in found], np.intp),
        public=column,
        shares=shares,
        dropped=dict(sorted(dropped.items())),
    )


def _list(path: Path, meta: Meta, key: str) -> list:
    found = meta.get(key)
    if not isinstance(found, list):
        raise DataError(
            f"{path}: the meta of an item has no list `{key}`",
            "The opinion analysis reads the options and people's answers from there",
            "Score or import global_opinions with this version of rm-probe",
        )
    return found


def _fault(shares: Floats, size: int) -> str | None:
    """Why a public's answer cannot be used; None: it can."""
    if shares.shape != (size,):
        return "answers: as many shares as options are needed"
    if not np.isfinite(shares).all() or shares.min() < 0:
        return "answers: a share is negative or no number"
    return None if shares.any() else "answers: all shares are zero"


def _headline(publics: Sequence[Public], n_asked: NDArray[np.intp]) -> NDArray[np.intp]:
    """The column of each country's public with the most questions."""
    best: dict[str, int] = {}
    # The whole country has an empty sample, stands first, and so wins a tie.
    for column, public in enumerate(publics):
        if n_asked[column] > n_asked[best.setdefault(public.key, column)]:
            best[public.key] = column
    return np.array(list(best.values()), np.intp)
