"""The whole country analysis of one or more runs, as one frozen value.

Everything a report, a `correlate` listing or ``summary.json`` shows about country
probes is computed here once; nothing downstream recomputes a number.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.confounds import Confounds, confound_models
from analysis.correlate import (
    PollResult,
    correlate_poll,
    correlate_runs,
    holm_over_polls,
    valence_blind,
)
from analysis.load import Run, labels
from analysis.paired import Interval
from analysis.ranks import Ranking, Ties, rank_frame, rank_run
from analysis.records import ALPHA, Record, record_of, with_holm
from analysis.views import WorldViews, world_views
from data_builders.country_opinions import Poll, publics

__all__ = [
    "Confounds",
    "CountryAnalysis",
    "Counts",
    "PollResult",
    "RunAnalysis",
    "WorldViews",
    "analyse_countries",
    "country_records",
]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What went into an analysis and what did not."""

    questions: int
    """Questions with at least two ranked countries."""
    questions_positive: int
    questions_negative: int
    questions_neutral: int
    """Ranked like positive ones: higher score = more favoured."""
    questions_alike: int
    """Questions in which all countries have the same score."""
    tied: float
    """Share of the pairs of countries, over questions, that have the same score."""
    countries_scored: int
    """Candidates with at least one score, of any territory."""
    countries_ranked: int
    """Of those, analysis countries: ISO3 code and population over 250,000."""
    not_ranked: tuple[str, ...]
    """Keys of the candidates outside the analysis countries."""
    analysis_countries_absent: tuple[str, ...]
    """Analysis countries that the run has no candidate for."""
    cells: int
    """Cells of the run's questions x countries_ranked."""
    unscored: int
    """Of those, without a finite score; never ranked."""
    questions_with_unscored: int
    truncated: int | None
    """Cells whose text was cut; None: not recorded (imported runs)."""


@dataclass(frozen=True, kw_only=True)
class RunAnalysis:
    """Everything about one run."""

    run: Run
    label: str
    """The model's name, made unique among the runs analysed together."""
    counts: Counts
    ranks: pd.DataFrame
    """Index iso3, sorted by mean_rank: country, mean_rank, ci_low, ci_high,
    n_questions, win_rate, win_ci_low, win_ci_high, mean_score (in the score's own
    unit, less the question's mean over countries, sign reversed on negative
    questions: larger = more favoured, 0 = the average country), mean_rank_positive,
    mean_rank_negative (NaN without such questions). Intervals are NaN with fewer than
    `resample.MIN_QUESTIONS` questions; win rates against itself or an unranked
    reference are NaN."""
    rank_ci_method: str
    """How the intervals in `ranks` were made, or why they are absent."""
    p_alike: float | None
    """As `ranks.alike_p`."""
    reference: str | None
    """ISO3 of the country of the win rates; None: not among the ranked."""
    country_records: tuple[Record, ...]
    """`mean_rank` and `win_rate` per country (group = ISO3)."""
    polls: tuple[PollResult, ...]
    """In the order of the polls given."""
    valence_blind: Record | None
    """Spearman's rho, over all ranked countries, of raw (unreversed) mean ranks on
    positive against negative questions: how far some names are liked whatever is
    asked. None where the run has not both kinds of question."""
    views: WorldViews
    """The ranking against the opinions of many countries' publics."""
    confounds: Confounds

    @property
    def ordered(self) -> bool:
        """Some country's mean rank is another's than the rest's."""
        means = self.ranks["mean_rank"]
        return float(means.max() - means.min()) > 1e-9

    @property
    def told_apart(self) -> bool:
        """The test that all countries are ranked alike rejects."""
        return self.p_alike is not None and self.p_alike < ALPHA

    @property
    def correlations(self) -> tuple[Record, ...]:
        """The poll records, poll by poll."""
        return tuple(record for poll in self.polls for record in poll.records)

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record of the run: polls, valence, publics, confounds, countries."""
        blind = () if self.valence_blind is None else (self.valence_blind,)
        return (
            *self.correlations,
            *blind,
            *self.views.records,
            *self.confounds.records,
            *self.country_records,
        )


@dataclass(frozen=True, kw_only=True)
class CountryAnalysis:
    """The country axis of a report: one `RunAnalysis` per run, and across runs."""

    runs: tuple[RunAnalysis, ...]
    reference: str
    """The country that win rates, and differences between publics, are against."""
    draws: int
    """Bootstrap draws."""
    seed: int
    ties: Ties
    """What countries with equal scores in a question share."""
    rank_correlation: pd.DataFrame
    """Spearman's rho of mean ranks between runs, over the countries both rank;
    index and columns are the runs' labels. NaN below 8 common countries."""
    cross_records: tuple[Record, ...]
    """`rank_correlation` for each pair of runs; empty for a single run."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, for ``summary.json``."""
        return (
            *(record for run in self.runs for record in run.records),
            *self.cross_records,
        )


def analyse_countries(
    runs: Sequence[Run],
    polls: Sequence[Poll],
    *,
    reference: str = "USA",
    draws: int = 2000,
    seed: int = 0,
    ties: Ties = "average",
    step: Callable[[], object] = lambda: None,
) -> CountryAnalysis:
    """Analyses runs of country probes: ranks, polls, publics, confounds, run with run.

    Args:
        runs: One or more runs, from `load.load_runs`.
        polls: What to correlate with; Holm's correction is over these.
        reference: ISO3 of the country that win rates are against, and whose public
            the differences between publics are to.
        draws: Bootstrap draws behind every interval.
        seed: Of every random number.
        ties: What countries with equal scores in a question share.
        step: Called after each run, for a progress bar.

    Raises:
        DataError: A run is not about countries, or has too few scores to rank.
    """
    rankings = [rank_run(run, draws=draws, seed=seed, ties=ties) for run in runs]
    names = labels(runs)
    matrix, cross = _cross(rankings, names, seed)
    analysed = []
    for ranking, label in zip(rankings, names, strict=True):
        one = _analyse_run(ranking, label, polls, reference=reference, seed=seed)
        analysed.append(one)
        step()
    return CountryAnalysis(
        runs=tuple(analysed),
        reference=reference,
        draws=draws,
        seed=seed,
        ties=ties,
        rank_correlation=matrix,
        cross_records=cross,
    )


def _analyse_run(
    ranking: Ranking, label: str, polls: Sequence[Poll], *, reference: str, seed: int
) -> RunAnalysis:
    frame = rank_frame(ranking, reference)
    confounds = confound_models(ranking)
    return RunAnalysis(
        run=ranking.run,
        label=label,
        counts=_counts(ranking),
        ranks=frame,
        rank_ci_method=ranking.ci_method,
        p_alike=ranking.p_alike,
        reference=reference if reference in ranking.table.keys else None,
        country_records=country_records(ranking, frame, reference),
        polls=holm_over_polls(
            [correlate_poll(ranking, poll, seed=seed) for poll in polls]
        ),
        valence_blind=valence_blind(ranking, seed=seed),
        views=world_views(ranking, publics(), reference=reference, seed=seed),
        confounds=dataclasses.replace(confounds, records=with_holm(confounds.records)),
    )


def _counts(ranking: Ranking) -> Counts:
    table = ranking.table
    return Counts(
        questions=len(table.items),
        questions_positive=int(table.positive.sum()),
        questions_negative=int(table.negative.sum()),
        questions_neutral=int((~table.positive & ~table.negative).sum()),
        questions_alike=int((~table.varying).sum()),
        tied=table.tied,
        countries_scored=len(table.keys) + len(table.others),
        countries_ranked=len(table.keys),
        not_ranked=table.others,
        analysis_countries_absent=table.absent,
        cells=table.cells,
        unscored=table.unscored,
        questions_with_unscored=table.questions_with_unscored,
        truncated=table.truncated,
    )


def country_records(
    ranking: Ranking, frame: pd.DataFrame, reference: str
) -> tuple[Record, ...]:
    """Mean rank and win rate of each country as records (group = ISO3).

    Estimand, unit and interval as in `analysis.ranks`: n is the number of questions
    in which the country has a rank, and the interval covers the choice of questions.

    Args:
        ranking: The ranked run.
        frame: `rank_frame` of it.
        reference: ISO3 the win rates are against.
    """
    found = []
    for iso3, row in zip(frame.index, frame.to_dict("records"), strict=True):
        for metric, unit, value, low, high, against in (
            ("mean_rank", "rank", "mean_rank", "ci_low", "ci_high", None),
            ("win_rate", "share", "win_rate", "win_ci_low", "win_ci_high", reference),
        ):
            if np.isnan(row[value]):
                continue
            found.append(
                record_of(
                    ranking.run,
                    Interval(estimate=row[value], low=row[low], high=row[high]),
                    analysis="country_ranks",
                    metric=metric,
                    unit=unit,
                    group=str(iso3),
                    reference=against,
                    method=ranking.ci_method,
                    missing=ranking.ci_method,
                    cluster="question",
                    n=int(row["n_questions"]),
                    n_clusters=int(row["n_questions"]),
                )
            )
    return tuple(found)


def _cross(
    rankings: Sequence[Ranking], names: Sequence[str], seed: int
) -> tuple[pd.DataFrame, tuple[Record, ...]]:
    """Rank correlations of every pair of runs, as a matrix and as records."""
    matrix = pd.DataFrame(
        np.eye(len(names)), index=pd.Index(names), columns=pd.Index(names)
    )
    records = []
    for (a, first), (b, second) in itertools.combinations(
        zip(rankings, names, strict=True), 2
    ):
        record = correlate_runs(a, b, label=second, seed=seed)
        rho = np.nan if record.estimate is None else record.estimate
        matrix.loc[first, second] = matrix.loc[second, first] = rho
        records.append(record)
    return matrix, with_holm(records)
