"""How good the answers of one run are in each language, each number as a record.

Estimands, units and assumptions stand in `languages_analysis`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis import paired
from analysis.disparity import clustered_best_minus_worst
from analysis.languages_answers import TESTED_QUESTIONS, Answers, Outcome
from analysis.languages_records import CHANCE, NO_ANSWER, NONE, Maker, coded
from analysis.paired import Interval, TTest, clustered_share
from analysis.records import Record

NOT_SHARED = "not computed: no question in both"
INDEPENDENT = "Wilson, questions independent"
MCNEMAR = "none: McNemar's exact test, questions independent"
NO_TEST = "percentile bootstrap; never below zero, no test"
BOUNDED_LANGUAGES = 12
"""Most languages whose best minus worst has an interval: of more, the ends of every
resample lie farther apart than those of the sample, and the interval beside it."""
TOO_MANY = (
    f"none: of more than {BOUNDED_LANGUAGES} languages resampled ends drift apart"
)
CHANCE_ALONE = "none: mean under permuted languages"
POWER_ALONE = "none: at 5% and a power of 80%, before Holm"


def outcome_records(
    maker: Maker, outcome: Outcome, *, draws: int, seed: int
) -> Iterator[Record]:
    """Every record of one outcome."""
    for code in maker.answers.languages:
        yield from levels(maker, outcome, code)
    yield from differences(maker, outcome)
    yield mean_of_languages(maker, outcome)
    yield from spread(maker, outcome, draws=draws, seed=seed)


def levels(maker: Maker, outcome: Outcome, code: str) -> Iterator[Record]:
    """How good a language's answers are: the mean, its bounds, and chance."""
    rows = outcome.known & maker.answers.of(code)
    values = outcome.values[rows]
    if outcome.binary:
        yield maker.record(
            outcome.key,
            clustered_share(values, maker.answers.cluster[rows]),
            rows,
            group=code,
            method=maker.wilson,
            missing=NO_ANSWER,
        )
        yield maker.record(
            f"{outcome.key}_questions_independent",
            paired.wilson(float(values.sum()), len(values)),
            rows,
            group=code,
            method=INDEPENDENT,
            missing=NO_ANSWER,
            cluster="question",
        )
    else:
        test = maker.test(outcome.values, rows)
        inside = dataclasses.replace(
            test, mean=paired.bounded_by(test.mean, low=0.0, high=1.0)
        )
        yield maker.mean(
            outcome.key,
            inside,
            rows,
            group=code,
            method=f"{maker.student}, cut at 0 and 1",
        )
    if outcome.chance is None:
        return
    over = maker.test(outcome.values - outcome.chance, rows)
    yield maker.tested(
        f"{outcome.key}_over_chance",
        over,
        rows,
        group=code,
        reference=CHANCE,
        family="models and languages",
        missing=maker.why(over, rows, fewest=len(values)),
    )


def differences(maker: Maker, outcome: Outcome) -> Iterator[Record]:
    """Each language less the reference; none without one."""
    answers = maker.answers
    if answers.reference is None:
        return
    if not answers.crossed:
        for code in answers.others:
            yield from _between(maker, outcome, code, answers.reference)
        return
    table, passages = by_question(answers, outcome)
    for code in answers.others:
        pair = table[[code, answers.reference]].to_numpy(dtype=np.float64)
        gaps = pair[:, 0] - pair[:, 1]
        both = np.isfinite(gaps)
        codes = coded(passages[both])
        test = paired.t_test(gaps[both], codes) if both.any() else NONE
        counts = int(both.sum()), len(set(codes))
        yield from _difference(maker, outcome, code, test, counts, counts[0])
        if outcome.binary and both.any():
            yield maker.record(
                f"{outcome.key}_difference_mcnemar",
                Interval(estimate=test.mean.estimate),
                counts,
                group=code,
                reference=answers.reference,
                missing=MCNEMAR,
                cluster="question",
                p_value=paired.sign_test(gaps[both]).p_value,
            )


def by_question(
    answers: Answers, outcome: Outcome
) -> tuple[pd.DataFrame, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Questions by language, and the passage of each question."""
    frame = answers.frame[["question_id", "language"]].assign(
        value=outcome.values, cluster=answers.cluster
    )
    table = frame.pivot(index="question_id", columns="language", values="value")
    passages = frame.drop_duplicates("question_id").set_index("question_id")["cluster"]
    return table, passages.reindex(table.index).to_numpy(dtype=np.intp)


def _between(
    maker: Maker, outcome: Outcome, code: str, reference: str
) -> Iterator[Record]:
    """Between different questions."""
    answers = maker.answers
    here, there = (outcome.known & answers.of(one) for one in (code, reference))
    sizes = int(here.sum()), int(there.sum())
    test = NONE
    if min(sizes):
        test = paired.independent_difference(
            outcome.values[here],
            coded(answers.cluster[here]),
            outcome.values[there],
            coded(answers.cluster[there]),
        )
    counts = maker.counts(here | there)
    yield from _difference(maker, outcome, code, test, counts, min(sizes))


def _difference(
    maker: Maker,
    outcome: Outcome,
    code: str,
    test: TTest,
    counts: tuple[int, int],
    fewest: int,
) -> Iterator[Record]:
    """The difference, and the smallest that so many questions show."""
    crossed, reference = maker.answers.crossed, maker.answers.reference
    assert reference is not None
    why = maker.why(
        test, counts, fewest=fewest, none=NOT_SHARED if crossed else NO_ANSWER
    )
    yield maker.tested(
        f"{outcome.key}_difference",
        test,
        counts,
        group=code,
        reference=reference,
        family="models and languages",
        missing=why,
        method=None if crossed else f"{maker.student} within each language (Welch)",
    )
    least = paired.detectable_mean(test) if why is None else None
    yield maker.record(
        f"{outcome.key}_minimum_detectable_difference",
        Interval(estimate=math.nan if least is None else least),
        counts,
        group=code,
        reference=reference,
        missing=why or POWER_ALONE,
    )


def mean_of_languages(maker: Maker, outcome: Outcome) -> Record:
    """Mean over languages, each counting the same."""
    test = maker.mean_of_languages(outcome.values, outcome.known)
    return maker.mean(
        f"{outcome.key}_mean_of_languages",
        dataclasses.replace(test, mean=paired.bounded_by(test.mean, low=0.0, high=1.0)),
        outcome.known,
        group=None,
        method=f"{maker.student}, languages held, cut at 0 and 1",
        missing=maker.lone(outcome.known),
    )


def spread(
    maker: Maker, outcome: Outcome, *, draws: int, seed: int
) -> Iterator[Record]:
    """Best minus worst language, beside what permuted languages give.

    Languages with fewer than `TESTED_QUESTIONS` answers are left out; of the record,
    `group` is the best and `reference` the worst. None: fewer than two are left, or all
    answers are alike.
    """
    answers = maker.answers
    counts = np.bincount(
        answers.language[outcome.known], minlength=len(answers.languages)
    )
    rows = outcome.known & (counts >= TESTED_QUESTIONS)[answers.language]
    few = maker.counts(rows)[1] < paired.MIN_CLUSTERS
    if few or not paired.varies(outcome.values[rows]):
        return
    found = clustered_best_minus_worst(
        outcome.values[rows],
        np.array(answers.languages)[answers.language[rows]],
        answers.cluster[rows],
        crossed=answers.crossed,
        draws=draws,
        seed=seed,
    )
    if found is None:
        return
    many = int((counts >= TESTED_QUESTIONS).sum()) > BOUNDED_LANGUAGES
    observed = found.observed
    yield maker.record(
        f"{outcome.key}_disparity",
        Interval(estimate=observed.estimate) if many else observed,
        rows,
        group=found.best,
        reference=found.worst,
        method=NO_TEST,
        missing=TOO_MANY,
        p_value=found.p_value,
        family="models",
    )
    yield maker.record(
        f"{outcome.key}_disparity_permuted",
        Interval(estimate=found.null_mean),
        rows,
        missing=CHANCE_ALONE,
    )
