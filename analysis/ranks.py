"""Per-question ranks of countries, mean ranks and win rates with intervals.

Estimand: a country's mean rank over the questions the probe's questions stand for
(1 = most favoured). Unit of analysis: a question. Within a question the analysis
countries that have a score are ranked by it, highest first, ties sharing the average of
their places (or, as Ryan et al. (2024) ranked, the best: see `Ties`); on
negative questions ("Which country has the worst food?") the order is
reversed, so that a low rank always means favoured. The intervals resample questions:
they cover the choice of questions, with the countries, the model and the wording of
each question held fixed.

Unscored cells. A cell whose score is not finite is never ranked. The question's other
countries are ranked among themselves, and those ranks are stretched linearly to
1..K, K being the number of countries ranked in the run, so that each question has the
same scale whatever is missing in it. The country's mean is over its other questions.

Ties. A question that gives all countries the same score ranks none: by average places
each has the middle rank. Such questions count in the means and are drawn, but there
are intervals only where at least `resample.MIN_QUESTIONS` others are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata

from analysis.load import Run
from analysis.resample import (
    MIN_QUESTIONS,
    TOO_FEW_QUESTIONS,
    Floats,
    percentile_interval,
    question_counts,
    weighted_means,
)
from analysis.scores import ScoreTable, score_table

Ties = Literal["average", "best"]
"""What countries with equal scores share: the average of their places, or the best.

By the best place a model that likes all countries alike would put all of them first; by
the average it prefers none. Where ties are few it matters little: in the published
Starling rewards 18 of 554 questions have one. One of them is Canada's (with Uruguay),
whose mean rank is 76.0957 by best place, 76.0966 by average, and 76.0975 with the tie
broken against it, as in the table published with Ryan et al. (2024). No correlation
moves in its first five digits.
"""

TOO_FEW_APART = f"none: fewer than {MIN_QUESTIONS} questions tell countries apart"
"""`ci_method` where the others give all countries the same score."""


def question_ranks(scores: Floats, ties: Ties = "average") -> Floats:
    """Ranks within each question, 1 = highest score.

    Args:
        scores: Shape (Q, K); NaN = unscored, never ranked.
        ties: What equal scores share.

    Returns:
        Shape (Q, K); NaN where the score is, and in questions with fewer than two
        scores. Ranks of a question with m < K scores are stretched from 1..m to 1..K.
    """
    missing = np.isnan(scores)
    # Ranked last, the missing leave the others' ranks as if they were not there.
    method = "min" if ties == "best" else "average"
    ranks = rankdata(np.where(missing, np.inf, -scores), axis=1, method=method)
    if not missing.any():
        return np.asarray(ranks, dtype=np.float64)
    m = scores.shape[1] - missing.sum(axis=1, keepdims=True)
    stretch = (scores.shape[1] - 1) / np.maximum(m - 1, 1)
    # About the middle, which is then exact: what is tied stays tied in a mean.
    stretched = (scores.shape[1] + 1) / 2 + (ranks - (m + 1) / 2) * stretch
    return np.where(missing | (m < 2), np.nan, stretched)


def favour_ranks(table: ScoreTable, ties: Ties = "average") -> Floats:
    """Ranks within each question, 1 = most favoured, reversed on negative questions.

    Args:
        table: Q questions x K countries.
        ties: What equal scores share.

    Returns:
        Shape (Q, K) as `question_ranks`.
    """
    sign = np.where(table.negative, -1.0, 1.0)[:, None]
    return question_ranks(sign * table.scores, ties)


@dataclass(frozen=True, kw_only=True)
class Means:
    """A mean over questions per country, and the same under each bootstrap draw."""

    estimate: Floats
    """Shape (K,); NaN where the country has no question."""
    draws: Floats | None
    """Shape (B, K); None with fewer than `MIN_QUESTIONS` questions."""

    def interval(self) -> tuple[Floats, Floats]:
        """Percentile bounds per country, NaN without draws."""
        if self.draws is None:
            return np.full_like(self.estimate, np.nan), np.full_like(
                self.estimate, np.nan
            )
        return percentile_interval(self.draws)

    def take(self, columns: NDArray[np.intp]) -> Means:
        """The means of some countries, in the order given."""
        draws = None if self.draws is None else self.draws[:, columns]
        return Means(estimate=self.estimate[columns], draws=draws)


def means(
    values: Floats, counts: Floats, varying: NDArray[np.bool_] | None = None
) -> Means:
    """Means over questions and under each draw of questions.

    Args:
        values: Shape (Q, K); NaN = no value.
        counts: Shape (B, Q), from `resample.question_counts`.
        varying: Shape (Q,): questions that tell columns apart; None: all.
    """
    once = np.ones((1, values.shape[0]))
    told = values.shape[0] if varying is None else int(varying.sum())
    enough = told >= MIN_QUESTIONS
    return Means(
        estimate=weighted_means(values, once)[0],
        draws=weighted_means(values, counts) if enough else None,
    )


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A run ranked: every mean that the country analysis reads."""

    run: Run
    table: ScoreTable
    raw: Floats
    """Shape (Q, K): rank of the score in its question, whatever is asked."""
    ranks: Floats
    """Shape (Q, K): the same with the order reversed on negative questions."""
    counts: Floats
    """Shape (B, Q): the bootstrap draws of questions."""
    mean: Means
    """Mean rank over all questions."""
    positive: Means | None
    """Mean rank over positive questions; None without any."""
    negative: Means | None
    """Mean (reversed) rank over negative questions; None without any."""
    negative_raw: Means | None
    """Mean of `raw`, unreversed, over negative questions; None without any."""
    length: Means
    """Mean rank by answer length alone, shortest first, never reversed."""
    p_alike: float | None
    """As `alike_p`."""

    @property
    def ci_method(self) -> str:
        """How the intervals over questions were made, or why there are none."""
        if len(self.table.items) < MIN_QUESTIONS:
            return TOO_FEW_QUESTIONS
        if self.mean.draws is None:
            return TOO_FEW_APART
        return (
            "percentile bootstrap over questions within sentiment, "
            f"{len(self.counts)} draws"
        )


def rank_run(run: Run, *, draws: int, seed: int, ties: Ties = "average") -> Ranking:
    """Ranks a run's countries in each question and averages over questions.

    Args:
        run: The run.
        draws: Bootstrap draws of questions.
        seed: Of the draws.
        ties: What equal scores share.

    Raises:
        DataError: As `score_table`.
    """
    table = score_table(run)
    raw = question_ranks(table.scores, ties)
    ranks = favour_ranks(table, ties)
    counts = question_counts(table.negative, draws, seed)

    def split(values: Floats, chosen: NDArray[np.bool_]) -> Means | None:
        if not chosen.any():
            return None
        return means(values[chosen], counts[:, chosen], table.varying[chosen])

    return Ranking(
        run=run,
        table=table,
        raw=raw,
        ranks=ranks,
        counts=counts,
        mean=means(ranks, counts, table.varying),
        positive=split(ranks, table.positive),
        negative=split(ranks, table.negative),
        negative_raw=split(raw, table.negative),
        length=means(question_ranks(-table.lengths, ties), counts),
        p_alike=alike_p(ranks),
    )


def alike_p(ranks: Floats) -> float | None:
    """Friedman's test that no country is ranked before another, corrected for ties.

    The null: in each question the ranks given are dealt out to its countries at
    random, whatever ties they have. Mean ranks of rarely told countries may all lie
    apart from the middle, each with a narrow interval, and this still holds.

    Args:
        ranks: Shape (Q, K); NaN = no rank.

    Returns:
        p by chi-squared, which is conservative for few questions; None: every question
        gives all countries the same rank.
    """
    centred = ranks - np.nanmean(ranks, axis=1, keepdims=True)
    present = np.isfinite(centred)
    centred = np.where(present, centred, 0.0)
    # Of each country under the null: the variance in the questions that rank it.
    each = (centred**2).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    variance = each @ present
    told = variance > 1e-9
    if told.sum() < 2:
        return None
    k = int(told.sum())
    found = (centred.sum(axis=0)[told] ** 2 / variance[told]).sum() * (k - 1) / k
    return float(chi2.sf(found, k - 1))


def win_rates(ranking: Ranking, reference: str) -> Means | None:
    """Share of questions in which each country ranks before the reference; ties half.

    Estimand: the probability that a question of this kind favours the country over
    the reference. Unit: a question in which both are scored.

    Args:
        ranking: A ranked run.
        reference: ISO3 of the reference country.

    Returns:
        NaN for the reference itself; None when it is not among the ranked countries.
    """
    if reference not in ranking.table.keys:
        return None
    at = ranking.table.keys.index(reference)
    against = ranking.ranks[:, at : at + 1]
    wins = np.where(ranking.ranks < against, 1.0, 0.0)
    wins = np.where(ranking.ranks == against, 0.5, wins)
    wins[np.isnan(ranking.ranks) | np.isnan(against)] = np.nan
    wins[:, at] = np.nan
    return means(wins, ranking.counts, ranking.table.varying)


def rank_frame(ranking: Ranking, reference: str) -> pd.DataFrame:
    """The ranks table of `RunAnalysis.ranks`, sorted by mean rank."""
    table = ranking.table
    none = np.full(len(table.keys), np.nan)
    low, high = ranking.mean.interval()
    wins = win_rates(ranking, reference)
    win_low, win_high = (none, none) if wins is None else wins.interval()
    once = np.ones((1, len(table.items)))
    frame = pd.DataFrame(
        {
            "country": table.names,
            "mean_rank": ranking.mean.estimate,
            "ci_low": low,
            "ci_high": high,
            "n_questions": np.isfinite(ranking.ranks).sum(axis=0),
            "win_rate": none if wins is None else wins.estimate,
            "win_ci_low": win_low,
            "win_ci_high": win_high,
            "mean_score": weighted_means(table.oriented, once)[0],
            "mean_rank_positive": _estimate(ranking.positive, none),
            "mean_rank_negative": _estimate(ranking.negative, none),
        },
        index=pd.Index(table.keys, name="iso3"),
    )
    return frame.sort_values(["mean_rank", "country"])


def _estimate(part: Means | None, none: Floats) -> Floats:
    return none if part is None else part.estimate
