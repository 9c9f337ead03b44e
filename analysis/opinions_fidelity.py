"""Fidelity over all questions: how alike a model is to whoever was asked.

Estimand: the mean, over questions like the survey's, of the mean similarity to the
headline publics that were asked the question. Unit of analysis and cluster: a question;
n is their number, without those that no headline public was asked. Questions count the
same however many countries were asked, so the mix of countries changes from question to
question: for that the comparisons are paired, and `opinions_diversity` has the same on
a common question set, where every country was asked everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.opinions_data import OpinionTable
from analysis.opinions_measures import (
    Scribe,
    by_pair,
    columns,
    js_matrix,
    means_of,
    pool,
)
from analysis.opinions_position import position_only
from analysis.records import Record
from analysis.resample import Floats
from analysis.similarity import Base, js_similarity


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
            unit="similarity",
            jensen_shannon=True,
            estimate=found.mean[0],
            low=found.low[0],
            high=found.high[0],
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
