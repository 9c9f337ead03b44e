"""Rank correlations of a run with opinion polls, with itself, and with other runs.

Estimand: the association, over countries, between how favoured a country is by the
model (its mean rank) and by a poll's respondents. Unit of analysis: a country of the
poll that the run ranks; n is their number, at least `association.MIN_COUNTRIES`.

Two intervals stand beside each poll correlation, and they answer different questions:

- *bootstrap questions (measurement precision)* resamples questions only: how far would
  rho move had other questions of the same kind been asked about the same countries;
- *bootstrap countries and questions (generalisation)* resamples both: what can be said
  about other countries and questions of which these were a sample. It is the wider,
  and the headline. Both are percentile intervals; with some twenty countries their
  coverage is only roughly the nominal one, and polls choose newsworthy countries, not
  random ones. Resampling adds measurement noise to mean ranks that already have some,
and noise shrinks a correlation: the bounds of a high rho lie lower than symmetric ones
would, on the cautious side.

The p-value is a two-sided permutation test of no association: it treats countries as
exchangeable, which neighbours that are judged alike are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from analysis.association import (
    KENDALL,
    SPEARMAN,
    Association,
    Statistic,
    associate,
)
from analysis.paired import Interval
from analysis.ranks import Means, Ranking, means
from analysis.records import Record, record_of, with_holm_in
from analysis.resample import (
    TOO_FEW_QUESTIONS,
    Floats,
    question_counts,
)
from data_builders import countries
from data_builders.country_opinions import Poll

PRECISION = "bootstrap questions (measurement precision)"
GENERALISATION = "bootstrap countries and questions (generalisation)"


@dataclass(frozen=True, kw_only=True)
class PollResult:
    """One run against one poll. Unit of analysis: a country of the poll."""

    poll: Poll
    points: pd.DataFrame
    """One row per country of the poll that the run ranks, index iso3, in the poll's
    order: country, mean_rank, ci_low, ci_high, poll_rank (1 = most favoured by the
    respondents), share (percent; NaN where the poll is known as an order only)."""
    missing: tuple[str, ...]
    """Keys of the poll's countries that the run does not rank."""
    n: int
    """Countries in both; below `association.MIN_COUNTRIES` nothing is computed."""
    headline: Record
    """`spearman_order` with the interval for generalisation (countries and
    questions resampled)."""
    precision: Record
    """The same estimate with the interval for measurement precision (questions
    resampled only)."""
    p_student: float | None
    """p of the headline by Student's t approximation, as published figures give it;
    the record's own p is by permutation."""
    others: tuple[Record, ...]
    """`kendall` (tau-b) and, where percentages exist, the tie-aware `spearman`, each
    with both intervals. `reference` says whether order or percentages were used."""
    valence: tuple[Record, ...]
    """`spearman_order_positive` and `spearman_order_negative`, the headline from one
    kind of question alone, and `valence_blind_poll`, as `RunAnalysis.valence_blind`
    over this poll's countries only; empty where the run has not both kinds."""
    length_baseline: Record
    """`spearman_order_length`: the poll against a ranking by answer length alone
    (shortest first). `reference` says tokens or characters."""

    @property
    def records(self) -> tuple[Record, ...]:
        """All records of this result, the headline first."""
        return (
            self.headline,
            self.precision,
            *self.others,
            *self.valence,
            self.length_baseline,
        )


def fixed(values: Floats) -> Means:
    """A side that no draw changes: a poll, a covariate."""
    return Means(estimate=values, draws=None)


def association_record(
    ranking: Ranking,
    found: Association,
    *,
    analysis: str,
    metric: str,
    unit: str,
    group: str | None,
    reference: str | None,
    method: str,
    family: str | None,
) -> Record:
    """One record of an association, with the interval that `method` names.

    `method` is `GENERALISATION` or `PRECISION`.
    """
    questions = len(ranking.table.items)
    wide = method == GENERALISATION
    low, high = (found.generalisation if wide else found.precision) or (np.nan, np.nan)
    none = TOO_FEW_QUESTIONS if ranking.mean.draws is not None else ranking.ci_method
    made = record_of(
        ranking.run,
        Interval(
            estimate=np.nan if found.estimate is None else found.estimate,
            low=low,
            high=high,
        ),
        analysis=analysis,
        metric=metric,
        unit=unit,
        group=group,
        reference=reference,
        method=f"{method}, percentile, {len(ranking.counts)} draws",
        missing=found.why_not or none,
        cluster="country and question" if wide else "question",
        p_value=found.p_value,
        n=found.n,
        n_clusters=min(found.n, questions) if wide else questions,
    )
    return dataclasses.replace(made, family=family)


def correlate_poll(ranking: Ranking, poll: Poll, *, seed: int) -> PollResult:
    """Correlates a run's mean ranks with one poll.

    `spearman_order` uses the poll's order as a strict ranking, as Ryan et al. (2024)
    did; `spearman` and `kendall` give countries with equal percentages equal ranks.

    Args:
        ranking: The ranked run.
        poll: The poll.
        seed: Of the resampling.

    Returns:
        The result; `p_holm` is filled in by `holm_over_polls`.
    """
    keys = [key for key in poll.order if key in ranking.table.keys]
    columns = np.array([ranking.table.keys.index(key) for key in keys], dtype=np.intp)
    mean = ranking.mean.take(columns)
    order = fixed(np.arange(1.0, len(keys) + 1))
    shares = np.array([np.nan] * len(keys))
    if poll.shares is not None:
        shares = np.array([poll.shares.get(key, np.nan) for key in keys])
    has_shares = bool(np.isfinite(shares).any())

    def pair(
        x: Means,
        y: Means,
        metric: str,
        statistic: Statistic = SPEARMAN,
        *,
        analysis: str = "poll_correlation",
        reference: str = "order",
        tested: bool = True,
    ) -> tuple[Record, Record]:
        found = associate(x, y, seed=seed, statistic=statistic, tested=tested)
        family = f"polls: {metric} of {ranking.run.name}"
        wide, narrow = (
            association_record(
                ranking,
                found,
                analysis=analysis,
                metric=metric,
                unit=statistic.unit,
                group=poll.name,
                reference=reference,
                method=method,
                family=family if tested else None,
            )
            for method in (GENERALISATION, PRECISION)
        )
        return wide, narrow

    headline, precision = pair(mean, order, "spearman_order")
    others: list[Record] = []
    if has_shares:
        favour = fixed(-shares)
        others += pair(mean, favour, "spearman", reference="percentages")
        others += pair(mean, favour, "kendall", KENDALL, reference="percentages")
    else:
        others += pair(mean, order, "kendall", KENDALL)
    valence: list[Record] = []
    if ranking.positive is not None and ranking.negative is not None:
        for kind, part in (
            ("positive", ranking.positive),
            ("negative", ranking.negative),
        ):
            valence += pair(
                part.take(columns),
                order,
                f"spearman_order_{kind}",
                analysis="valence_split",
                tested=False,
            )[:1]
        blind = valence_blind(ranking, seed=seed, poll=poll)
        valence += [] if blind is None else [blind]
    baseline, _ = pair(
        ranking.length.take(columns),
        order,
        "spearman_order_length",
        analysis="length_baseline",
        reference=f"answer {ranking.table.length_unit}, shortest first",
        tested=False,
    )
    student = None
    if headline.estimate is not None:
        student = float(spearmanr(mean.estimate, order.estimate).pvalue)
    return PollResult(
        poll=poll,
        points=_points(keys, mean, shares),
        missing=tuple(key for key in poll.order if key not in keys),
        n=len(keys),
        headline=headline,
        precision=precision,
        p_student=student,
        others=tuple(others),
        valence=tuple(valence),
        length_baseline=baseline,
    )


def _points(keys: Sequence[str], mean: Means, shares: Floats) -> pd.DataFrame:
    low, high = mean.interval()
    return pd.DataFrame(
        {
            "country": [countries.by_key(key).name for key in keys],
            "mean_rank": mean.estimate,
            "ci_low": low,
            "ci_high": high,
            "poll_rank": np.arange(1, len(keys) + 1),
            "share": shares,
        },
        index=pd.Index(list(keys), name="iso3", dtype="str"),
    )


def holm_over_polls(results: Sequence[PollResult]) -> tuple[PollResult, ...]:
    """Fills `p_holm`: one family per run and metric, over the polls given."""
    return with_holm_in(tuple(results), [one for r in results for one in r.records])


def valence_blind(
    ranking: Ranking, *, seed: int, poll: Poll | None = None
) -> Record | None:
    """How far countries rank alike on positive and negative questions, unreversed.

    Estimand: Spearman's rho, over countries, between the mean rank of the score on
    positive questions and on negative questions, neither reversed. A model that
    answers what is asked has a negative value; a positive one is liking (or finding
    likely) some country names whatever is asked, which the reversal of negative
    questions only partly cancels.

    Args:
        ranking: The ranked run.
        seed: Of the resampling.
        poll: Restrict to this poll's countries; None: every ranked country.

    Returns:
        The record, or None where the run has not both kinds of question.
    """
    if ranking.positive is None or ranking.negative_raw is None:
        return None
    keys = ranking.table.keys
    chosen = [i for i, key in enumerate(keys) if poll is None or key in poll.order]
    columns = np.array(chosen, dtype=np.intp)
    one, other = ranking.positive.take(columns), ranking.negative_raw.take(columns)
    if one.draws is None or other.draws is None:
        # With one side held fixed the interval would not be what it is called.
        one, other = (dataclasses.replace(side, draws=None) for side in (one, other))
    found = associate(one, other, seed=seed, tested=False)
    return association_record(
        ranking,
        found,
        analysis="valence_split",
        metric="valence_blind" if poll is None else "valence_blind_poll",
        unit="rho",
        group=None if poll is None else poll.name,
        reference="raw ranks: positive against negative questions",
        method=GENERALISATION,
        family=None,
    )


def correlate_runs(a: Ranking, b: Ranking, *, label: str, seed: int) -> Record:
    """Rank correlation of two runs over the countries both rank.

    Estimand: Spearman's rho between the two runs' mean ranks. Unit: a country; n is
    their number. The interval resamples countries, and the questions that either run
    asked: one that both asked is drawn for both or for neither.

    Args:
        a: The first run; the record carries its name.
        b: The second run, ranked with the same number of draws.
        label: The second run's label (`group` of the record).
        seed: Of the resampling.
    """
    common = [key for key in a.table.keys if key in b.table.keys]
    at = {key: i for i, key in enumerate(b.table.keys)}
    asked = {
        item: bool(negative)
        for table in (a.table, b.table)
        for item, negative in zip(table.items, table.negative, strict=True)
    }
    items = sorted(asked)
    drawn = question_counts(
        np.array([asked[item] for item in items]), len(a.counts), seed
    )
    place = {item: i for i, item in enumerate(items)}
    mine, other = (
        means(
            one.ranks,
            drawn[:, [place[item] for item in one.table.items]],
            one.table.varying,
        )
        for one in (a, b)
    )
    x = mine.take(np.array([a.table.keys.index(key) for key in common], np.intp))
    y = other.take(np.array([at[key] for key in common], np.intp))
    if x.draws is None or y.draws is None:
        x, y = (dataclasses.replace(one, draws=None) for one in (x, y))
    return association_record(
        a,
        associate(x, y, seed=seed),
        analysis="rank_correlation",
        metric="rank_correlation",
        unit="rho",
        group=label,
        reference="mean ranks of the two runs",
        method=GENERALISATION,
        family="pairs of runs: rank_correlation",
    )
