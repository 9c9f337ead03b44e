"""Similarities as questions x publics, and their means with intervals and tests.

Estimand: a public's mean similarity to the model over the questions that the survey's
questions stand for. Unit of analysis and cluster: a question (its rotations, phrasings
and options are not independent of each other); n is the number of questions that the
public was asked and the model answered. Intervals are percentile bootstraps over
questions: they cover the choice of questions, with the model, its wording and the
survey's respondents held fixed. One matrix of draws serves a whole run, so that a
difference of two means is paired in every draw.

p-values are of Student's t on the per-question values (differences), two-sided: the
percentile bootstrap cannot give a p below 2 in (draws + 1), and no such p survives
Holm's correction over a hundred countries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.opinions_data import OpinionTable
from analysis.paired import Interval
from analysis.records import Record, record_of
from analysis.resample import (
    MIN_QUESTIONS,
    TOO_FEW_QUESTIONS,
    Floats,
    percentile_interval,
    weighted_means,
)
from analysis.similarity import (
    BASE_NAMES,
    Base,
    js_similarity,
    option_spearman,
    wasserstein_similarity,
)


def by_pair(table: OpinionTable, values: Floats) -> Floats:
    """A value per (question, public) pair as shape (Q, C); NaN where not asked."""
    out = np.full((len(table.questions), len(table.publics)), np.nan)
    out[table.pair_question, table.pair_public] = values
    return out


def js_matrix(table: OpinionTable, shares: Floats, base: Base) -> Floats:
    """Similarity of answers to every public's, shape (Q, C).

    Args:
        table: The run.
        shares: Shape (Q, K): the model's answers, or a yardstick's.
        base: Of the logarithm.
    """
    return by_pair(
        table, js_similarity(shares[table.pair_question], table.pair_shares, base)
    )


def wasserstein_matrix(table: OpinionTable) -> Floats:
    """Similarity along declared scales, shape (Q, C)."""
    return by_pair(
        table,
        wasserstein_similarity(
            table.shares[table.pair_question],
            table.pair_shares,
            table.ordinal[table.pair_question],
        ),
    )


def spearman_matrix(table: OpinionTable) -> Floats:
    """Rank correlation of options with the public's shares, shape (Q, C)."""
    return by_pair(
        table,
        option_spearman(
            table.shares[table.pair_question],
            table.pair_shares,
            table.n_options[table.pair_question],
        ),
    )


def pool(table: OpinionTable, *, without_self: bool) -> Floats:
    """What all people together answered: the mean of the headline publics' shares.

    Every country counts the same, whatever its population or sample.

    Args:
        table: The run.
        without_self: For each pair, leave out every public of the pair's country.

    Returns:
        Shape (Q, K), NaN where nobody of a headline public was asked; or, without
        self, shape (P, K), NaN where nobody else was.
    """
    shape = (len(table.questions), table.pair_shares.shape[1])
    head = np.isin(table.pair_public, table.headline)
    sums = np.zeros(shape)
    np.add.at(sums, table.pair_question[head], table.pair_shares[head])
    count = np.bincount(table.pair_question[head], minlength=shape[0])[:, None]
    if without_self:
        row = table.pair_question
        column = _headline_of(table)[table.pair_public]
        cube = np.full((shape[0], len(table.publics)), -1, dtype=np.intp)
        cube[table.pair_question, table.pair_public] = np.arange(len(row))
        own = cube[row, column]
        asked = (own >= 0)[:, None]
        sums = sums[row] - np.where(asked, table.pair_shares[own], 0.0)
        count = count[row] - asked
    return np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)


def _headline_of(table: OpinionTable) -> NDArray[np.intp]:
    """Shape (C,): the headline column of each public's country."""
    column = {table.publics[h].key: h for h in table.headline}
    return np.array([column[public.key] for public in table.publics], np.intp)


TESTED_QUESTIONS = 10
"""Fewest questions that are tested: Student's t of fewer leans on how single questions
happen to be distributed, and the smallest p of many would come from there."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """A mean over questions per column, with its uncertainty; see the module."""

    mean: Floats
    """Shape (C,); NaN without a value."""
    n: NDArray[np.intp]
    """Shape (C,): questions with a value."""
    low: Floats
    """Shape (C,); NaN with fewer than `MIN_QUESTIONS`."""
    high: Floats
    p: Floats
    """Shape (C,): two-sided, of the mean being zero; NaN with fewer than
    `TESTED_QUESTIONS`."""

    def at(self, place: int) -> dict[str, Any]:
        """Estimate and bounds of one column, for `Scribe.record`."""
        ends = {"low": self.low[place], "high": self.high[place]}
        return {"estimate": self.mean[place], **ends}

    def take(self, chosen: NDArray[np.bool_]) -> Columns:
        """Some of the columns."""
        return Columns(
            mean=self.mean[chosen],
            n=self.n[chosen],
            low=self.low[chosen],
            high=self.high[chosen],
            p=self.p[chosen],
        )


def means_of(values: Floats) -> Floats:
    """Mean over questions of each column, shape (C,); NaN without a value."""
    return weighted_means(values, np.ones((1, len(values))))[0]


def columns(values: Floats, counts: Floats) -> Columns:
    """Means over questions, percentile intervals, and Student's t against zero.

    Args:
        values: Shape (Q, C); NaN = no value.
        counts: Shape (B, Q): the run's draws of questions.
    """
    n = np.isfinite(values).sum(axis=0)
    enough = n >= MIN_QUESTIONS
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    if enough.any():
        kept = values[:, enough]
        low[enough], high[enough] = percentile_interval(weighted_means(kept, counts))
    return Columns(mean=means_of(values), n=n, low=low, high=high, p=student_p(values))


def student_p(values: Floats) -> Floats:
    """Two-sided p of Student's t, of the mean of each column being zero.

    Args:
        values: Shape (Q, C); NaN = no value.

    Returns:
        Shape (C,); NaN with fewer than `TESTED_QUESTIONS`.
    """
    n = np.isfinite(values).sum(axis=0)
    tested = n >= TESTED_QUESTIONS
    p = np.full(len(n), np.nan)
    if tested.any():
        kept = values[:, tested]
        error = np.nanstd(kept, axis=0, ddof=1) / np.sqrt(n[tested])
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.abs(means_of(kept)) / error
        # 0 / 0: every value is zero, as nothing moved.
        statistic = np.where(np.isnan(statistic), 0.0, statistic)
        p[tested] = 2 * student.sf(statistic, n[tested] - 1)
    return p


def bounds(draws: Floats, n: int) -> tuple[float, float]:
    """Percentile bounds of a statistic's draws; NaN with fewer than `MIN_QUESTIONS`."""
    if n < MIN_QUESTIONS:
        return np.nan, np.nan
    low, high = percentile_interval(draws)
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Scribe:
    """Writes the records of one run, so that each says what it was made with."""

    table: OpinionTable
    base: Base
    draws: int

    def record(
        self,
        *,
        analysis: str,
        metric: str,
        unit: str = "similarity",
        jensen_shannon: bool = True,
        estimate: float,
        n: int,
        low: float = np.nan,
        high: float = np.nan,
        p: float = np.nan,
        group: str | None = None,
        reference: str | None = None,
        family: str | None = None,
        remark: str = "",
        bootstrap: str = "percentile bootstrap",
        missing: str = "",
    ) -> Record:
        """One record; NaN becomes None.

        Args:
            analysis: As `Record`.
            metric: As `Record`.
            unit: As `Record`.
            jensen_shannon: It rests on Jensen-Shannon distances: `ci_method` then
                names the logarithm's base.
            estimate: As `Record`.
            n: Questions.
            low: Lower bound.
            high: Upper bound.
            p: p-value before correction.
            group: As `Record`.
            reference: As `Record`.
            family: As `Record`; only with a p-value.
            remark: More for `ci_method`.
            bootstrap: Which one the bounds are from.
            missing: Why there is no estimate, where it is NaN.
        """
        known = bool(np.isfinite(low) and np.isfinite(high))
        method = (
            f"{bootstrap} over questions, {self.draws} draws"
            if known
            else f"none: {missing}"
            if missing and not np.isfinite(estimate)
            else TOO_FEW_QUESTIONS
            if n < MIN_QUESTIONS
            else "none"
        )
        if jensen_shannon:
            remark = f"Jensen-Shannon {BASE_NAMES[self.base]}" + (
                f"; {remark}" if remark else ""
            )
        method = f"{method}; {remark}" if remark else method
        return record_of(
            self.table.run,
            Interval(estimate=float(estimate), low=float(low), high=float(high)),
            analysis=analysis,
            metric=metric,
            unit=unit,
            group=group,
            reference=reference,
            method=method,
            missing=method,
            cluster="question",
            p_value=float(p) if np.isfinite(p) else None,
            family=family,
            n=int(n),
            n_clusters=int(n),
        )

    def column_records(
        self,
        found: Columns,
        groups: Sequence[str],
        *,
        analysis: str,
        metric: str,
        unit: str = "similarity",
        jensen_shannon: bool = True,
        reference: str | None = None,
        family: str | None = None,
        remark: str = "",
    ) -> tuple[Record, ...]:
        """A record per column that has a value; tested only with a `family`."""
        return tuple(
            self.record(
                analysis=analysis,
                metric=metric,
                unit=unit,
                jensen_shannon=jensen_shannon,
                **found.at(i),
                n=found.n[i],
                p=found.p[i] if family else np.nan,
                group=group,
                reference=reference,
                family=family,
                remark=remark,
            )
            for i, group in enumerate(groups)
            if found.n[i]
        )
