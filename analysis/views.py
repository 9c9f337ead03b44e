"""Whose view of the world a run shares: its ranking against many countries' opinions.

Estimand: for each public, Spearman's rho, over the countries that the public rates and
the run ranks, between how favoured a country is by the model (its mean rank) and by the
public (percent favourable, ties averaged); + means alike. A public's opinion of its own
country is left out. Unit of analysis: a country rated; n is their number, at least
`association.MIN_COUNTRIES`. Intervals and p-value are those of `analysis.correlate`;
shares are held fixed, so that no interval covers the polls' own sampling error.

Where several samples of a country were asked, each has a correlation and one is counted
in Holm's correction: a poll of known year before Pew's, else the one with most
countries, on ties a national one.

- *partial_spearman* is the same with GDP per person and population held fixed
  (`association.partial_spearman_rows`; of ranks, which logarithms do not change), over
  at least `association.MIN_PARTIAL` countries; with an interval and without a test.
- *spearman_difference* is a public's rho less the reference public's, both over the
  countries that both rate, neither's own among them. It is paired: countries and
  questions are drawn once for both. Its p-value (`association.swap_p`) is adjusted over
  the counted publics; over few countries it cannot be small (`views_finding` says for
  how many that settles it). Only this says that one public agrees more than another:
  rhos of different publics rest on different countries, and publics agree with one
  another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.association import (
    MIN_COUNTRIES,
    Association,
    associate,
    associate_given,
    compare,
)
from analysis.correlate import GENERALISATION, PRECISION, association_record, fixed
from analysis.ranks import Means, Ranking
from analysis.records import ALPHA, Record, with_holm_in
from data_builders import countries
from data_builders.country_opinions import PEW, Public


@dataclass(frozen=True, kw_only=True)
class View:
    """One run against one public. Unit of analysis: a country that the public rates."""

    public: Public
    targets: tuple[str, ...]
    """Keys of the countries that the public rates and the run ranks."""
    counted: bool
    """In Holm's correction: one sample of each country is."""
    headline: Record
    """`spearman` with the interval for generalisation (countries and questions
    resampled)."""
    precision: Record
    """The same estimate with the interval for measurement precision (questions
    resampled only)."""
    partial: Record
    """`partial_spearman`, for generalisation; without an estimate below
    `association.MIN_PARTIAL` countries."""
    difference: Record | None
    """`spearman_difference` to the reference public, for generalisation; without an
    estimate below `association.MIN_COUNTRIES` shared countries. None: the reference,
    another sample of its country, or no reference."""

    @property
    def records(self) -> tuple[Record, ...]:
        """All records, the headline first."""
        rest = () if self.difference is None else (self.difference,)
        return (self.headline, self.precision, self.partial, *rest)

    @property
    def passes(self) -> bool:
        """Alike beyond chance: counted, and p below `ALPHA` after Holm."""
        return _below(self.headline)

    @property
    def resolved(self) -> int:
        """1: agrees more than the reference public, -1: less, 0: not resolved.

        Resolved is a difference whose interval excludes zero and whose p-value is
        below `ALPHA` after Holm.
        """
        one = self.difference
        if one is None or one.ci_low is None or one.ci_high is None or not _below(one):
            return 0
        return int(one.ci_low > 0) - int(one.ci_high < 0)


def _below(record: Record) -> bool:
    return record.p_holm is not None and record.p_holm < ALPHA


@dataclass(frozen=True, kw_only=True)
class WorldViews:
    """One run against every public that rates enough of its countries."""

    views: tuple[View, ...]
    """From the one that agrees most, by rho alone, to the one that agrees least."""
    reference: Public | None
    """What differences are to; None: nobody polled that country on enough others."""
    asked: int
    """Publics there are opinions of, countries counted once."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, public by public."""
        return tuple(record for view in self.views for record in view.records)

    @property
    def counted(self) -> tuple[View, ...]:
        """One view a country: the tests of Holm's correction."""
        return tuple(view for view in self.views if view.counted)

    @property
    def passing(self) -> tuple[View, ...]:
        """The counted publics that pass."""
        return tuple(view for view in self.counted if view.passes)

    @property
    def compared(self) -> tuple[View, ...]:
        """The counted publics with a difference to the reference."""
        return tuple(
            view
            for view in self.counted
            if view.difference is not None and view.difference.estimate is not None
        )

    @property
    def extreme(self) -> int:
        """1: the reference agrees most of all counted publics, -1: least, 0: neither.

        Either needs a resolved difference to each of the others.
        """
        others = len(self.counted) - 1
        signs = {view.resolved for view in self.compared}
        if others < 1 or len(self.compared) < others or len(signs) > 1:
            return 0
        return -signs.pop()


def world_views(
    ranking: Ranking, publics: Sequence[Public], *, reference: str, seed: int
) -> WorldViews:
    """Correlates a run's mean ranks with what each public thinks of other countries.

    Args:
        ranking: The ranked run.
        publics: Whose opinions, from `country_opinions.publics`.
        reference: Key of the country whose public the differences are to.
        seed: Of the resampling.
    """
    ranked = frozenset(ranking.table.keys)
    enough = [
        public
        for public in publics
        if len(ranked.intersection(public.shares)) >= MIN_COUNTRIES
    ]
    counted = _counted(enough, ranked)
    against = counted.get(reference)
    views = [
        _view(
            ranking,
            public,
            against,
            counted=counted[public.key] is public,
            seed=seed,
        )
        for public in enough
    ]
    filled = with_holm_in(tuple(views), [one for view in views for one in view.records])
    return WorldViews(
        views=tuple(sorted(filled, key=_by_agreement)),
        reference=against,
        asked=len({public.key for public in publics}),
    )


def _counted(publics: Sequence[Public], ranked: frozenset[str]) -> dict[str, Public]:
    """The public of each country that Holm's correction counts, by its key."""

    def weight(public: Public) -> tuple[bool, int, bool]:
        size = len(ranked.intersection(public.shares))
        return public.source != PEW, size, public.national

    counted: dict[str, Public] = {}
    for public in sorted(publics, key=weight):
        counted[public.key] = public
    return counted


def _by_agreement(view: View) -> tuple[float, str]:
    rho = view.headline.estimate
    return (np.inf if rho is None else -rho, view.public.name)


def _view(
    ranking: Ranking,
    public: Public,
    reference: Public | None,
    *,
    counted: bool,
    seed: int,
) -> View:
    """One public's correlations; `p_holm` is filled in by `world_views`."""
    targets = tuple(key for key in ranking.table.keys if key in public.shares)
    mean = _of(ranking, targets)
    favour = _favour(public, targets)
    places = [countries.by_key(key) for key in targets]
    wealth, size = (
        fixed(np.array([np.nan if v is None else v for v in values], dtype=float))
        for values in (
            [place.gdp_per_capita for place in places],
            [place.population for place in places],
        )
    )

    def record(
        found: Association,
        metric: str,
        against: str,
        method: str = GENERALISATION,
        *,
        tested: bool = True,
    ) -> Record:
        return association_record(
            ranking,
            found,
            analysis="view_of_the_world",
            metric=metric,
            unit="rho",
            group=public.name,
            reference=against,
            method=method,
            family=f"publics: {metric} of {ranking.run.name}"
            if tested and counted
            else None,
        )

    whole = associate(mean, favour, seed=seed)
    partial = associate_given(mean, favour, wealth, size, seed=seed)
    shares = f"percentages, {public.source}"
    return View(
        public=public,
        targets=targets,
        counted=counted,
        headline=record(whole, "spearman", shares),
        precision=record(whole, "spearman", shares, PRECISION),
        partial=record(
            partial,
            "partial_spearman",
            f"{shares}; given GDP per person and population",
            tested=False,
        ),
        difference=None
        if reference is None or reference.key == public.key
        else record(
            _compare(ranking, public, reference, targets, seed),
            "spearman_difference",
            reference.name,
        ),
    )


def _compare(
    ranking: Ranking,
    public: Public,
    reference: Public,
    targets: Sequence[str],
    seed: int,
) -> Association:
    # Nobody's own country: neither public's opinions hold its own.
    both = [key for key in targets if key in reference.shares]
    return compare(
        _of(ranking, both), _favour(public, both), _favour(reference, both), seed=seed
    )


def _of(ranking: Ranking, targets: Sequence[str]) -> Means:
    """The run's mean ranks of some countries."""
    columns = [ranking.table.keys.index(key) for key in targets]
    return ranking.mean.take(np.array(columns, dtype=np.intp))


def _favour(public: Public, targets: Sequence[str]) -> Means:
    """A public's opinions, turned as mean ranks are: low = favoured."""
    return fixed(np.array([-public.shares[key] for key in targets]))
