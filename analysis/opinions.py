"""The whole analysis of one or more `global_opinions` runs, as one frozen value.

Estimands, units, n and intervals are those of the modules it draws on:
`opinions_measures` (similarity, differences), `opinions_common` (the common question
set), `opinions_diversity`, `opinions_position` and `opinions_steering`. Everything a
report or ``summary.json`` shows about opinions is computed here once.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from analysis.load import ROUNDING, Run, labels, load_run
from analysis.opinions_common import CommonSet, common_set
from analysis.opinions_countries import Closest, CountryResult, measure_countries
from analysis.opinions_data import OpinionTable, opinion_table
from analysis.opinions_diversity import (
    Diversity,
    Fidelity,
    measure_diversity,
    measure_fidelity,
)
from analysis.opinions_measures import Scribe, columns
from analysis.opinions_position import PositionBias, measure_position
from analysis.opinions_steering import Steering, measure_steering
from analysis.records import Record, with_holm, with_holm_in
from analysis.resample import question_counts, unstratified
from analysis.similarity import Base
from probe.store import read_manifest
from probe.types import Measure

Normalisation = Literal["sum", "mean_nll"]
"""What of a policy's options the softmax is taken of: the summed log-probability of
the scored text, or minus its mean token NLL, as published results did."""

MEASURES: dict[Normalisation, Measure] = {
    "sum": Measure.LOGPROB_SUM,
    "mean_nll": Measure.LOGPROB_MEAN,
}


@dataclass(frozen=True, kw_only=True)
class OpinionCounts:
    """What went into an analysis and what did not."""

    questions: int
    """Questions with a distribution of the model's answers."""
    questions_read: int
    """Questions of the run."""
    no_headline: int
    """Questions that only samples beside a country's headline public were asked: in
    the rows of these samples, and in no mean over countries."""
    incomplete: int
    """Questions kept although a rotation or phrasing lacks a score."""
    pairs: int
    """(question, public) pairs compared."""
    countries: int
    """Countries with at least one pair."""
    samples: int
    """Further samples of these countries, beside the headline public of each."""
    ordinal: int
    """Questions on a declared scale."""
    off_scale: int
    """Pairs on such questions that were left out of the Wasserstein distance: the
    model or the public has less than 5% of its answers on the scale."""
    undefined_ranks: int
    """Pairs without a rank correlation, all options of one side being equal."""
    unscored: int
    """Options of items without a score."""
    left_out: Mapping[str, int]
    """Reason -> questions, or answers of a public, left out when reading the run."""
    surveys: Mapping[str, int]
    """Survey -> questions; `unknown` where the source does not say."""


@dataclass(frozen=True, kw_only=True)
class OpinionRun:
    """Everything about one run."""

    run: Run
    label: str
    """The model's name, made unique among the runs analysed together."""
    base: Base
    reference: str
    """Key of the country that differences are against, asked or not."""
    protocol: str
    """`letters`, `answers` or `recorded`."""
    counts: OpinionCounts
    reward_sd: float | None
    """What rewards were divided by before the softmax; None: log-probabilities."""
    undecided: bool
    """Every option of every question is taken equally often."""
    common: CommonSet
    fidelity: Fidelity
    similarity: CountryResult
    diversity: Diversity
    position: PositionBias | None
    steering: Steering | None

    @property
    def countries(self) -> pd.DataFrame:
        """One row per public; see `CountryResult.frame`."""
        return self.similarity.frame

    @property
    def closest(self) -> Closest | None:
        """Who is closest on the common set, and how settled that is."""
        return self.similarity.closest

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record of the run, fidelity and diversity first."""
        return (
            *self.fidelity.records,
            *self.diversity.records,
            *self.similarity.records,
            *(self.position.records if self.position else ()),
            *(self.steering.records if self.steering else ()),
        )


@dataclass(frozen=True, kw_only=True)
class OpinionAnalysis:
    """The opinion axis of a report: one `OpinionRun` per run."""

    runs: tuple[OpinionRun, ...]
    reference: str
    """Key of the country that differences are against."""
    base: Base
    normalisation: Normalisation
    draws: int
    seed: int
    cross_records: tuple[Record, ...]
    """`fidelity_difference` of each pair of runs: the first's (whose run the record
    names) less the second's (`group`), paired by question, Holm over the pairs."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, for ``summary.json``."""
        return (
            *(record for run in self.runs for record in run.records),
            *self.cross_records,
        )


def load_opinion_run(path: Path, normalisation: Normalisation = "sum") -> Run:
    """Reads a run with the measure that the normalisation asks for, where it has it.

    A policy stores both; recorded log-probabilities and rewards are what they are.

    Raises:
        StoreError: As `load.load_run`.
    """
    stored = read_manifest(path).measures
    wanted = [MEASURES[normalisation], *MEASURES.values()]
    chosen = next((measure for measure in wanted if measure.value in stored), None)
    return load_run(path, chosen)


def normalised(run: Run, normalisation: Normalisation) -> Run:
    """The run with the measure that the normalisation asks for, read again if need be.

    Raises:
        StoreError: As `load.load_run`.
    """
    if run.measure in MEASURES.values() and run.measure is not MEASURES[normalisation]:
        return load_opinion_run(run.path, normalisation)
    return run


def analyse_opinions(
    runs: Sequence[Run],
    *,
    reference: str = "USA",
    base: Base = 2,
    normalisation: Normalisation = "sum",
    common: Sequence[str] | None = None,
    draws: int = 2000,
    seed: int = 0,
    step: Callable[[], object] = lambda: None,
) -> OpinionAnalysis:
    """Analyses runs of survey questions: similarity, fidelity, diversity, steering.

    Args:
        runs: One or more runs. One that holds the other log-probability than
            `normalisation` asks for is read again from its folder.
        reference: Key of the country that differences are against.
        base: Of the logarithm in the Jensen-Shannon distance; "e" for parity with
            published results.
        normalisation: Of a policy's options.
        common: Keys of the countries of the common question set; None: chosen from
            who was asked what.
        draws: Bootstrap draws behind every interval.
        seed: Of every random number.
        step: Called after each run, for a progress bar.

    Raises:
        DataError: A run is not about opinions, or too little of it can be used; two
            runs share no question, or hold different answers of people to one; a
            country of `common` was asked nothing.
        StoreError: A run that must be read again cannot be.
    """
    tables = [opinion_table(normalised(run, normalisation)) for run in runs]
    shared = common_set(tables, reference=reference, named=common)
    analysed = []
    for table, label in zip(tables, labels([one.run for one in tables]), strict=True):
        analysed.append(
            _analyse(
                table,
                label,
                shared,
                reference=reference,
                base=base,
                draws=draws,
                seed=seed,
            )
        )
        step()
    return OpinionAnalysis(
        runs=_over_uniform(analysed),
        reference=reference,
        base=base,
        normalisation=normalisation,
        draws=draws,
        seed=seed,
        cross_records=_cross(analysed, tables, base, draws, seed),
    )


def _over_uniform(runs: Sequence[OpinionRun]) -> tuple[OpinionRun, ...]:
    """The runs with `fidelity_over_uniform` adjusted for how many there are."""
    return with_holm_in(tuple(runs), [run.diversity.over_uniform for run in runs])


def _cross(
    runs: Sequence[OpinionRun],
    tables: Sequence[OpinionTable],
    base: Base,
    draws: int,
    seed: int,
) -> tuple[Record, ...]:
    """The runs' fidelity, pair by pair."""
    n = len(runs[0].common.questions)
    counts = question_counts(unstratified(n), draws, seed)
    found: list[Record] = []
    for (a, table), (b, _) in itertools.combinations(zip(runs, tables, strict=True), 2):
        gap = a.diversity.per_question - b.diversity.per_question
        found += Scribe(table=table, base=base, draws=draws).column_records(
            columns(gap[:, None], counts),
            [b.label],
            analysis="fidelity",
            metric="fidelity_difference",
            reference="common question set",
            family="pairs of runs: fidelity_difference",
        )
    return with_holm(found)


def _analyse(
    table: OpinionTable,
    label: str,
    common: CommonSet,
    *,
    reference: str,
    base: Base,
    draws: int,
    seed: int,
) -> OpinionRun:
    counts = question_counts(unstratified(len(table.questions)), draws, seed)
    scribe = Scribe(table=table, base=base, draws=draws)
    similarity = measure_countries(
        table, common, counts, scribe, base=base, reference=reference
    )
    fidelity = measure_fidelity(table, counts, scribe, base)
    return OpinionRun(
        run=table.run,
        label=label,
        base=base,
        reference=reference,
        protocol=table.protocol,
        counts=_counts(table, similarity, fidelity),
        reward_sd=table.reward_sd,
        undecided=bool(np.allclose(table.shares, table.uniform, atol=ROUNDING)),
        common=common,
        fidelity=fidelity,
        similarity=similarity,
        diversity=measure_diversity(table, common, counts, scribe, base),
        position=measure_position(table, counts, scribe),
        steering=measure_steering(table, counts, scribe, base),
    )


def _counts(
    table: OpinionTable, similarity: CountryResult, fidelity: Fidelity
) -> OpinionCounts:
    return OpinionCounts(
        questions=len(table.questions),
        questions_read=table.n_read,
        no_headline=fidelity.n_no_headline,
        incomplete=table.n_incomplete,
        pairs=len(table.pair_question),
        countries=len({table.publics[i].key for i in set(table.pair_public)}),
        samples=len(set(table.pair_public) - set(table.headline)),
        ordinal=similarity.n_ordinal,
        off_scale=similarity.n_off_scale,
        undefined_ranks=similarity.n_undefined_ranks,
        unscored=int(table.run.frame["score"].isna().sum()),
        left_out=table.dropped,
        surveys=dict(Counter(table.surveys).most_common()),
    )
