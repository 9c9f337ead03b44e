"""Who thinks what of which country: polls of favourability, as packaged facts.

Each row of `facts/gallup.csv` is one published percentage, or one place in an order
where no percentage is known, with its year and source. Orders used by Ryan, Held
and Yang (2024) are kept as they used them, ties and all, because their figures are
correlations with that order.

`facts/favourability.csv` has what the people of many countries said of some others, of
no known year; `tests.make_favourability` rebuilds it. GlobalOpinionQA holds some
surveys under two ids of a question whose text differs in a comma or its first words:
rows alike in all but the id count once (`publics`).
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from data_builders.countries import read_facts, resolve
from probe.types import DataError


@dataclass(frozen=True, kw_only=True)
class Poll:
    """What the people of one country think of others, in one year."""

    name: str
    """Such as ``gallup_2023``; what `--opinions` takes."""
    title: str
    """One line for headings."""
    respondents: str
    """Key of the country whose people were asked."""
    year: int
    order: tuple[str, ...]
    """Country keys, most to least favoured: the order the paper used where there is
    one, else by percentage, ties by name."""
    shares: Mapping[str, float] | None
    """Percent of respondents with a favourable opinion, by key; None: only the order
    is known."""
    source: str
    """Citation and URL."""
    secondary: bool
    """Read in a reprint or quotation, not at the pollster's."""
    note: str
    """What a reader must know; empty: nothing."""

    @property
    def n(self) -> int:
        """Number of countries."""
        return len(self.order)

    @property
    def ties(self) -> tuple[tuple[str, ...], ...]:
        """Groups of countries with one percentage, which `order` breaks."""
        if self.shares is None:
            return ()
        counts = Counter(self.shares.values())
        return tuple(
            tuple(key for key in self.order if self.shares[key] == share)
            for share in sorted(counts, reverse=True)
            if counts[share] > 1
        )


def _poll(name: str, rows: list[dict[str, str]]) -> Poll:
    """Builds a poll from its rows, which stand in order.

    Raises:
        DataError: a country twice, a row out of order, or rows that disagree.
    """
    shared = {
        column: {row[column] for row in rows}
        for column in ("respondents", "year", "source", "secondary", "note")
    }
    mixed = [column for column, values in shared.items() if len(values) > 1]
    known = [row for row in rows if row["percent"]]
    order = tuple(resolve(row["country"]).key for row in rows)
    shares = {resolve(row["country"]).key: float(row["percent"]) for row in known}
    falling = all(
        shares[above] >= shares[below]
        for above, below in itertools.pairwise(order)
        if above in shares and below in shares
    )
    if mixed or len(set(order)) < len(order) or len(known) not in (0, len(rows)):
        raise DataError(
            f"facts/gallup.csv: the rows of {name} disagree in {mixed or 'percent'} "
            "or repeat a country",
            "A poll's rows must share year, respondents, source and note, name each "
            "country once, and have a percent in every row or in none",
            "Correct the rows",
        )
    if not falling:
        raise DataError(
            f"facts/gallup.csv: the rows of {name} are not ordered by percent",
            "A poll's rows must go from most to least favoured",
            "Sort the rows",
        )
    (year,) = shared["year"]
    (respondents,) = shared["respondents"]
    (source,) = shared["source"]
    (secondary,) = shared["secondary"]
    (note,) = shared["note"]
    return Poll(
        name=name,
        title=f"Gallup {year}: US adults' favourable opinion of countries",
        respondents=respondents,
        year=int(year),
        order=order,
        shares=MappingProxyType(shares) if shares else None,
        source=source,
        secondary=secondary == "yes",
        note=note,
    )


@functools.cache
def polls() -> Mapping[str, Poll]:
    """Every poll by name, latest first."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in read_facts("gallup.csv"):
        rows.setdefault(f"gallup_{row['year']}", []).append(row)
    found = [_poll(name, group) for name, group in rows.items()]
    return MappingProxyType(
        {poll.name: poll for poll in sorted(found, key=lambda poll: -poll.year)}
    )


PEW = "Pew Research Center"
"""`Public.source` of the rows of `facts/favourability.csv`."""

_WAVE = ("respondent", "sample", "target", "favourable", "unfavourable")
"""Columns of `facts/favourability.csv` that tell one wave of a pair from another."""

_PLACES = 3
"""Decimals of a public's percentages: finer than two shares of whole percents can
differ, coarser than the six decimals of the source, which would break ties."""


@dataclass(frozen=True, kw_only=True)
class Public:
    """What the people of one country, or of one sample of it, think of others."""

    key: str
    """Key of the country whose people were asked."""
    sample: str | None
    """Which sample of the country, as the source calls it, or whose poll where there
    are two; None: the country's own."""
    source: str
    """`PEW`, or the title of a poll such as ``Gallup 2023``."""
    shares: Mapping[str, float]
    """Percent favourable by target's key, waves averaged, each once, never of the
    public's own country. Of Pew's, of those with an opinion: only some of its questions
    count those without one. Of Gallup's, of all asked."""

    def __post_init__(self) -> None:
        """What people think of their own country is no view of the world."""
        assert self.key not in self.shares

    @property
    def name(self) -> str:
        """Unique: ``DEU``, or ``NGA (Non-national sample)``."""
        return self.key if self.sample is None else f"{self.key} ({self.sample})"

    @property
    def national(self) -> bool:
        """The sample stands for the whole country."""
        return self.sample is None or not self.sample.startswith("Non-national")


def _pew_publics() -> list[Public]:
    """The samples of `facts/favourability.csv`, waves of a pair averaged.

    Rows alike in all but the question's id are one wave, which an average of several
    must not count twice. Four pairs hold one wave with and without those who had no
    opinion; its share is the same twice, and so is their average.
    """
    waves: dict[tuple[str, str], dict[str, list[float]]] = {}
    rows = read_facts("favourability.csv")
    for respondent, name, target, favourable, unfavourable in dict.fromkeys(
        tuple(row[column] for column in _WAVE) for row in rows
    ):
        if target != respondent:
            for_it, against = float(favourable), float(unfavourable)
            sample = waves.setdefault((respondent, name), {})
            share = 100 * for_it / (for_it + against)
            sample.setdefault(target, []).append(share)
    return [
        Public(
            key=key,
            sample=sample or None,
            source=PEW,
            shares=MappingProxyType(
                {
                    target: round(sum(shares) / len(shares), _PLACES)
                    for target, shares in sorted(targets.items())
                }
            ),
        )
        for (key, sample), targets in waves.items()
    ]


@functools.cache
def publics() -> tuple[Public, ...]:
    """Every public by name; its polled country's own poll beside Pew's sample of it.

    The public of the polls' respondents is the latest poll with percentages, since it
    covers more countries and is of a known year; Pew's sample of the same country is
    another sample of it.
    """
    poll = next(poll for poll in polls().values() if poll.shares is not None)
    assert poll.shares is not None
    found = [
        replace(public, sample=public.sample or "Pew")
        if public.key == poll.respondents
        else public
        for public in _pew_publics()
    ]
    found.append(
        Public(
            key=poll.respondents,
            sample=None,
            source=poll.title.partition(":")[0],
            shares=poll.shares,
        )
    )
    return tuple(sorted(found, key=lambda public: public.name))
