"""Fidelity and diversity: how alike a model is to people, and to how many of them.

On the common question set, where every country was asked the same. Unit of analysis
and cluster: a question.

- *Fidelity*: the mean, over countries and questions, of the similarity to the
  country's answers.
- *Effective number of countries*: exp of the entropy, over countries, of the share of
  questions on which each is the best match (ties split). A model that copies one
  country has 1; the most is the number of countries. The number is that of the
  questions at hand; over more of them it would be larger, as with n questions and m
  countries an entropy is too low by about (m - 1) / 2n. The interval is for the larger
  one: resampling lowers the entropy once more by as much, and the draws are moved up
  by twice that (bootstrap bias correction); it also holds the estimate. With fewer
  than some 60 questions it is too short.
- *Relative entropy*: the entropy of the model's answers over that of the human pool's,
  each summed over questions. Below 1 the model is more of one mind than people are.
  Where people are all of one mind, there is nothing to be relative to, and no number.

Each stands beside its value for yardsticks: a uniform answerer, the human pool, and
every country's own answers as if they were a model's.

Fidelity over all questions: how alike a model is to whoever was asked.

Estimand: the mean, over questions like the survey's, of the mean similarity to the
headline publics that were asked the question. Unit of analysis and cluster: a question;
n is their number, without those that no headline public was asked. Questions count the
same however many countries were asked, so the mix of countries changes from question to
question: for that the comparisons are paired, and `opinions_diversity` has the same on
a common question set, where every country was asked everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.opinions_common import CommonSet
from analysis.opinions_data import OpinionTable
from analysis.opinions_measures import (
    Scribe,
    bounds,
    by_pair,
    columns,
    js_matrix,
    means_of,
    pool,
)
from analysis.opinions_position import position_only
from analysis.records import Record
from analysis.resample import Floats
from analysis.similarity import (
    Base,
    best_matches,
    effective_number,
    entropy,
    js_similarity,
)


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """A run's mean similarity to people, beside what to hold it against."""

    model: Record
    """`fidelity_all`."""
    uniform: Record
    """`fidelity_all_uniform`: the same of a uniform answerer."""
    position: Record | None
    """`fidelity_all_position`: the same of who reads no option and takes each place as
    often as the model does, options in the printed order; None: no rotations."""
    pool: Record
    """`fidelity_all_pool`: the same of what the people of the other countries answered
    together, on the questions that others were asked."""
    over_uniform: Record
    """`fidelity_all_over_uniform`: the model's less the uniform answerer's, paired by
    question, tested."""
    countries: int
    """Countries that were asked at least one of the questions."""
    n_no_headline: int
    """Questions that only samples beside a country's headline public were asked, and
    that are therefore in none of these numbers."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, the model's first."""
        place = () if self.position is None else (self.position,)
        return (self.model, self.uniform, *place, self.pool, self.over_uniform)


def measure_fidelity(
    table: OpinionTable, counts: Floats, scribe: Scribe, base: Base
) -> Fidelity:
    """Fidelity of a run over all its questions.

    Args:
        table: The run.
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.
        base: Of the logarithm.
    """
    asked = table.asked[:, table.headline]

    def per_question(similarity: Floats) -> Floats:
        """Shape (Q, 1): mean over the headline publics asked; NaN without any."""
        return means_of(similarity[:, table.headline].T)[:, None]

    def record(
        values: Floats, metric: str, against: str = "", *, tested: bool = False
    ) -> Record:
        found = columns(values, counts)
        return scribe.record(
            analysis="fidelity",
            metric=metric,
            **found.at(0),
            p=found.p[0] if tested else np.nan,
            n=found.n[0],
            reference=f"all questions asked of a headline public{against}",
        )

    ours = per_question(js_matrix(table, table.shares, base))
    even = per_question(js_matrix(table, table.uniform, base))
    others = js_similarity(pool(table, without_self=True), table.pair_shares, base)
    blind = position_only(table)
    return Fidelity(
        model=record(ours, "fidelity_all"),
        uniform=record(even, "fidelity_all_uniform"),
        position=None
        if blind is None
        else record(
            per_question(js_matrix(table, blind, base)), "fidelity_all_position"
        ),
        pool=record(per_question(by_pair(table, others)), "fidelity_all_pool"),
        over_uniform=record(
            ours - even, "fidelity_all_over_uniform", ": uniform answerer", tested=True
        ),
        countries=int(asked.any(axis=0).sum()),
        n_no_headline=int((~asked.any(axis=1)).sum()),
    )


UNIFORM = "uniform answerer"
POOL = "human pool, the country itself left out"
OWN = "the country's own answers"
OWN_OTHERS = "the country's own answers, itself left out"

CORRECTED = "bias-corrected bootstrap"
NOT_CORRECTED = "the interval is corrected for bias, the estimate is not: low with few"
ONE_MIND = "the human pool's entropy is zero, as people are all of one mind"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Fidelity and diversity of one set of answers on the common set."""

    name: str
    """`model`, or the yardstick's."""
    country: str | None
    """The key of the country whose answers these are."""
    fidelity: Record
    effective: Record
    relative_entropy: Record

    @property
    def records(self) -> tuple[Record, ...]:
        """All three."""
        return (self.fidelity, self.effective, self.relative_entropy)


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """A run's standing and its yardsticks'."""

    model: Standing
    uniform: Standing
    pool: Standing
    countries: tuple[Standing, ...]
    """Each country's own answers; fidelity is to the other countries, the effective
    number among the others."""
    own: tuple[Record, ...]
    """`effective_countries` of each country's own answers with itself among those that
    can match: about 1, unless others answered exactly the same."""
    best_shares: tuple[tuple[str, float], ...]
    """(key, share of questions on which it is the model's best match), largest first.
    """
    best_fidelity: Record
    """`fidelity_best`: mean similarity to the country that matches best overall,
    chosen on the same questions and so biased upwards."""
    over_uniform: Record
    """`fidelity_over_uniform`: fidelity less a uniform answerer's, paired by question;
    Holm over the runs analysed together, which `analyse_opinions` fills in."""
    per_question: Floats
    """Shape (N,): mean similarity to the common set's countries on each question, in
    the order of the questions' ids; for comparing runs."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, the model's first."""
        standings = (self.model, self.uniform, self.pool, *self.countries)
        return (
            *(record for one in standings for record in one.records),
            *self.own,
            self.best_fidelity,
            self.over_uniform,
        )


def measure_diversity(
    table: OpinionTable, common: CommonSet, counts: Floats, scribe: Scribe, base: Base
) -> Diversity:
    """Fidelity and diversity of a run on the common set.

    Args:
        table: The run.
        common: The common set.
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.
        base: Of the logarithm.
    """
    rows, places = common.rows(table), common.columns(table)
    drawn = counts[:, rows]
    people = _cube(table, rows, places)
    pool_entropy = entropy(pool(table, without_self=False)[rows])

    def to_people(shares: Floats) -> Floats:
        return js_similarity(shares[:, None, :], people, base)

    def standing(
        name: str, similarity: Floats, entropies: Floats, country: str | None = None
    ) -> Standing:
        return _standing(
            name,
            similarity,
            _ratio(entropies, pool_entropy, drawn),
            drawn,
            scribe,
            country,
        )

    shares, uniform = table.shares[rows], table.uniform[rows]
    similarity = to_people(shares)
    left_out = pool(table, without_self=True)
    ceiling = by_pair(table, js_similarity(left_out, table.pair_shares, base))[
        np.ix_(rows, places)
    ]
    owns, among = [], []
    for i, public in enumerate(common.publics):
        answers = people[:, i]
        alike = to_people(answers)
        others = np.delete(alike, i, axis=1)
        if others.shape[1]:
            owns.append(standing(OWN_OTHERS, others, entropy(answers), public.key))
        number, low, high = effective_countries(alike, drawn)
        among.append(
            scribe.record(
                analysis="diversity",
                metric="effective_countries",
                unit="countries",
                estimate=number,
                low=low,
                high=high,
                n=len(rows),
                group=public.key,
                reference=f"common question set: {OWN}",
                bootstrap=CORRECTED,
                remark=NOT_CORRECTED,
            )
        )
    matched = best_matches(similarity).mean(axis=0)
    top = int(similarity.mean(axis=0).argmax())
    best = columns(similarity[:, [top]], drawn)
    over = columns((similarity - to_people(uniform)).mean(axis=1)[:, None], drawn)
    return Diversity(
        model=standing("model", similarity, entropy(shares)),
        uniform=standing(UNIFORM, to_people(uniform), entropy(uniform)),
        pool=standing(POOL, ceiling, pool_entropy),
        countries=tuple(owns),
        own=tuple(among),
        best_shares=tuple(
            (common.publics[i].key, float(matched[i]))
            for i in np.argsort(-matched, kind="stable")
        ),
        best_fidelity=scribe.record(
            analysis="fidelity",
            metric="fidelity_best",
            **best.at(0),
            n=len(rows),
            group=common.publics[top].key,
            reference="common question set",
            remark=f"the best of {len(places)} countries, chosen on the same questions "
            "and held fixed in the draws: biased upwards",
        ),
        over_uniform=scribe.record(
            analysis="fidelity",
            metric="fidelity_over_uniform",
            **over.at(0),
            p=over.p[0],
            n=len(rows),
            reference=f"common question set: {UNIFORM}",
            family="runs: fidelity_over_uniform",
        ),
        per_question=similarity.mean(axis=1),
    )


def _standing(
    name: str,
    similarity: Floats,
    ratio: tuple[float, float, float],
    drawn: Floats,
    scribe: Scribe,
    country: str | None,
) -> Standing:
    """The three records of one set of answers.

    Args:
        name: `model`, or the yardstick's.
        similarity: Shape (N, H): to each public that can match.
        ratio: Relative entropy with bounds.
        drawn: Shape (B, N): how often each question enters each draw.
        scribe: Writes the records.
        country: Whose answers these are.
    """
    where = "common question set" + ("" if name == "model" else f": {name}")
    mean = columns(similarity.mean(axis=1)[:, None], drawn)

    def record(
        analysis: str, metric: str, found: tuple[float, float, float], **keys: Any
    ) -> Record:
        estimate, low, high = found
        return scribe.record(
            analysis=analysis,
            metric=metric,
            estimate=estimate,
            low=low,
            high=high,
            n=len(similarity),
            group=country,
            reference=where,
            missing=ONE_MIND,
            **keys,
        )

    return Standing(
        name=name,
        country=country,
        fidelity=record(
            "fidelity", "fidelity", (mean.mean[0], mean.low[0], mean.high[0])
        ),
        effective=record(
            "diversity",
            "effective_countries",
            effective_countries(similarity, drawn),
            unit="countries",
            remark=f"{similarity.shape[1]} countries can match; {NOT_CORRECTED}",
            bootstrap=CORRECTED,
        ),
        relative_entropy=record(
            "diversity", "relative_entropy", ratio, unit="ratio", jensen_shannon=False
        ),
    )


def _cube(
    table: OpinionTable, rows: NDArray[np.intp], places: NDArray[np.intp]
) -> Floats:
    """What each public of the common set answered, shape (N, H, K)."""
    cube = np.zeros((len(table.questions), len(table.publics), table.logits.shape[1]))
    cube[table.pair_question, table.pair_public] = table.pair_shares
    return cube[np.ix_(rows, places)]


def _ratio(above: Floats, below: Floats, drawn: Floats) -> tuple[float, float, float]:
    """Ratio of two sums over questions, with percentile bounds; NaN over zero."""
    if not below.any():
        return np.nan, np.nan, np.nan
    divisor = drawn @ below
    # A draw may hold none of the few questions on which people differ.
    draws = np.divide(
        drawn @ above, divisor, out=np.full_like(divisor, np.nan), where=divisor > 0
    )
    low, high = bounds(draws, len(above))
    return float(above.sum() / below.sum()), low, high


def effective_countries(
    similarity: Floats, drawn: Floats
) -> tuple[float, float, float]:
    """Effective number of countries with bounds; see the module.

    Args:
        similarity: Shape (N, H).
        drawn: Shape (B, N): how often each question enters each draw.
    """
    matched = best_matches(similarity)
    estimate = float(effective_number(matched.mean(axis=0)))
    some = drawn[drawn.any(axis=1)]
    entropies = entropy(some @ matched / some.sum(axis=1, keepdims=True))
    bias = entropies.mean() - np.log(estimate)
    moved = np.clip(np.exp(entropies - 2 * bias), 1.0, similarity.shape[1])
    low, high = bounds(moved, len(similarity))
    # A NaN, no bound, stays one.
    return estimate, float(np.minimum(low, estimate)), float(np.maximum(high, estimate))
