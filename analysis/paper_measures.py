"""What Ryan, Held and Yang (2024) measured, measured anew from their own outputs.

AskReddit goes the way of every run: ranks, polls, runs against runs, with the draws and
the seed that `correlate` uses, so that a record here is the record there. The two that
are not runs are described at `opinion_differences` and `language_shares`;
`analysis.paper_md3` and `analysis.paper_tydiqa` measure the benchmarks they are named
for.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from analysis.correlate import correlate_poll, correlate_runs, holm_over_polls
from analysis.countries_axis import country_records
from analysis.load import Run
from analysis.paired import Interval
from analysis.paper_evidence import (
    DRAWS,
    GLOBAL_OPINIONS,
    LANGID,
    SEED,
    Evidence,
    Metric,
    ordered,
    place,
    record,
)
from analysis.ranks import Ranking, means, rank_frame, rank_run
from analysis.records import Record, with_holm
from analysis.resample import (
    MIN_QUESTIONS,
    TOO_FEW_QUESTIONS,
    question_counts,
)
from analysis.similarity import BASE_NAMES, Base
from data_builders import countries
from data_builders.country_opinions import polls
from probe.types import Measure

POLLS = ("gallup_2017", "gallup_2023")
"""The orders of countries that the paper correlates with."""
COMPARED = ("CHN", "JOR", "BRA", "NGA", "DEU", "AUS")
"""Countries whose similarity is compared with the reference's."""
REFERENCE = "USA"
RECORDED_BASE: Base = "e"
"""Of the logarithm of the recorded similarities."""

SHARE = Metric(name="non_english_share", unit="share", analysis="language_shares")
DIFFERENCE = Metric(
    name="js_similarity_difference",
    unit="similarity",
    analysis="opinion_difference",
    reference=f"{REFERENCE}, questions asked in all {len(COMPARED) + 1} countries",
)
ORDER = Metric(name="spearman_order", unit="rho", analysis="poll_correlation")
ORDER_P = Metric(name="spearman_order_p", unit="p", analysis="poll_correlation")
BETWEEN = Metric(name="rank_correlation", unit="rho", analysis="rank_correlation")
MEAN_RANK = Metric(name="mean_rank", unit="rank", analysis="country_ranks")


def lack(evidence: Evidence, metric: Metric, model: str, group: str | None) -> str:
    """Why a number could not be computed of the models' files, which are there."""
    if metric != MEAN_RANK or group is None:
        return f"not computed: the recorded files give no {metric.name}"
    measures = {one.run.measure for one in evidence.rankings if one.run.model == model}
    if Measure.REWARD not in measures:
        return f"not computed: the recorded scores of {model} are no rewards"
    name = countries.by_key(group).name
    return f"not computed: the file of {model} has no scores for {name}"


def rank(run: Run) -> Ranking:
    """Ranks a run as the paper did: equal scores share the best of their places.

    Raises:
        DataError: The run has too few scores to rank.
    """
    return rank_run(run, draws=DRAWS, seed=SEED, ties="best")


def language_shares(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Share of a training set's texts that are not in English.

    Estimand: that share among the texts of which both of the authors' detectors name
    one language. Unit: a text; all of them were counted, so there is no interval.
    """
    found = []
    for (name, file), rows in ordered(evidence.languages, models):
        english = rows.loc[rows["language"] == "en", "count"].sum(skipna=False)
        total, uncounted = rows["count"].sum(), int(rows["count"].isna().sum())
        if not total or np.isnan(english):
            continue
        found.append(
            record(
                SHARE,
                Interval(estimate=float(1 - english / total)),
                probe=LANGID,
                model=name,
                run=file,
                method="none: all texts are counted whose language both detectors "
                "agree on"
                + (f"; {uncounted} languages without a count" if uncounted else ""),
                n=int(total),
            )
        )
    return found


def opinion_differences(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Similarity to a country's answers less that to the reference's.

    Estimand: the mean difference over questions like those that all seven countries
    were asked. Unit of analysis: a question for which all seven have a number; n is
    their number. The interval is a percentile bootstrap over questions, the model's
    and the people's answers held fixed. `analysis.opinions_countries` has the same
    metric over the questions that each country shares with the reference.
    """
    found = []
    for (name, file), rows in ordered(evidence.similarities, models):
        numbers = rows[[*COMPARED, REFERENCE]].to_numpy(dtype=np.float64)
        numbers = numbers[np.isfinite(numbers).all(axis=1)]
        counts = question_counts(np.zeros(len(numbers), np.bool_), DRAWS, SEED)
        mean = means(numbers[:, :-1] - numbers[:, -1:], counts)
        low, high = mean.interval()
        empty = len(rows) - len(numbers)
        everywhere = f"all {len(COMPARED) + 1} countries"
        method = (
            f"percentile bootstrap over questions, {DRAWS} draws"
            if len(numbers) >= MIN_QUESTIONS
            else TOO_FEW_QUESTIONS
            if len(numbers)
            else f"not computed: no question has a number for {everywhere}"
        )
        method += f"; Jensen-Shannon {BASE_NAMES[RECORDED_BASE]}"
        if empty:
            method += (
                f"; of {len(rows)} questions asked in {everywhere}, {empty} without a "
                "number"
            )
        for nth, key in enumerate(COMPARED):
            value = Interval(estimate=mean.estimate[nth], low=low[nth], high=high[nth])
            found.append(
                record(
                    DIFFERENCE,
                    value,
                    probe=GLOBAL_OPINIONS,
                    model=name,
                    run=file,
                    group=key,
                    method=method,
                    cluster="question",
                    n=len(numbers),
                )
            )
    return found


def poll_correlations(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Rank correlation with the orders of `POLLS`, and for `models` its p.

    As `analysis.correlate.correlate_poll`, with the interval for generalisation.
    `spearman_order_p` is the p of Student's t approximation, which the paper used;
    the other record's own is by permutation.
    """
    found = []
    for ranking in _ranked(evidence, models):
        for result in holm_over_polls(
            [correlate_poll(ranking, polls()[name], seed=SEED) for name in POLLS]
        ):
            found.append(result.headline)
            if ranking.run.model in models:
                found.append(
                    dataclasses.replace(
                        result.headline,
                        metric=ORDER_P.name,
                        unit=ORDER_P.unit,
                        estimate=result.p_student,
                        ci_low=None,
                        ci_high=None,
                        ci_level=None,
                        ci_method="none: Student's t approximation of the p-value"
                        if result.p_student is not None
                        else result.headline.ci_method,
                        cluster="country",
                        p_value=None,
                        p_holm=None,
                        family=None,
                        n_clusters=result.n,
                    )
                )
    return found


def model_correlations(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Rank correlation of every two runs, as `analysis.correlate.correlate_runs`."""
    return list(
        with_holm(
            [
                correlate_runs(one, other, label=other.run.model, seed=SEED)
                for one, other in itertools.combinations(_ranked(evidence, models), 2)
            ]
        )
    )


def mean_ranks(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Mean rank of each country by each reward model, as `analysis.ranks`."""
    return [
        one
        for ranking in _ranked(evidence, models)
        if ranking.run.measure is Measure.REWARD
        for one in country_records(ranking, rank_frame(ranking, REFERENCE), REFERENCE)
        if one.metric == MEAN_RANK.name
    ]


def _ranked(evidence: Evidence, models: Sequence[str]) -> list[Ranking]:
    """Policies before reward models, the paper's in its order before any others."""
    return sorted(
        evidence.rankings,
        key=lambda one: (
            one.run.measure is Measure.REWARD,
            *place(one.run.model, models),
        ),
    )
