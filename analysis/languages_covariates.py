"""What else the items of a language differ in, each number as a record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from analysis.languages_measures import NOT_SHARED
from analysis.languages_records import Maker
from analysis.paired import Interval, bounded_by
from analysis.records import Record

COUNTED = "none: of these very questions"

MEANS = {
    "n_prompt_tokens": ("mean_prompt_tokens", "tokens"),
    "n_passage_chars": ("mean_passage_characters", "characters"),
    "logprob": ("reference_logprob", "log-probability per token"),
}
"""Column of numbers -> metric and unit of its mean."""


def covariate_records(maker: Maker) -> Iterator[Record]:
    """Lengths by language; of choices accuracy by script too."""
    answers = maker.answers
    for column, (metric, unit) in MEANS.items():
        if column not in answers.frame:
            continue
        values = answers.number(column)
        for code in answers.languages:
            rows = np.isfinite(values) & answers.of(code)
            test = maker.test(values, rows)
            if column == "logprob":
                # No probability is above one.
                test = dataclasses.replace(test, mean=bounded_by(test.mean, high=0.0))
            yield maker.mean(metric, test, rows, group=code, unit=unit)
    if answers.crossed:
        yield from _ratios(maker)
        yield from _by_script(maker)


def _ratios(maker: Maker) -> Iterator[Record]:
    """Tokens of a language's prompts over the reference's, of the same questions."""
    answers = maker.answers
    if answers.reference is None:
        return
    table = answers.frame.pivot(
        index="question_id", columns="language", values="n_prompt_tokens"
    )
    for code in answers.others:
        both = table[[code, answers.reference]].dropna().to_numpy(dtype=np.float64)
        sums = both.sum(axis=0)
        yield maker.record(
            "prompt_tokens_ratio",
            Interval(estimate=float(sums[0] / sums[1]) if len(both) else math.nan),
            (len(both), 0),
            unit="ratio",
            group=code,
            reference=answers.reference,
            missing=COUNTED if len(both) else NOT_SHARED,
            cluster=None,
        )


def _by_script(maker: Maker) -> Iterator[Record]:
    """Accuracy over the languages of a script, each counting the same."""
    answers, outcome = maker.answers, maker.answers.outcomes[0]
    of_language = np.array([answers.scripts[code] for code in answers.languages])
    script = of_language[answers.language]
    for name in dict.fromkeys(of_language):
        rows = outcome.known & (script == name)
        if rows.any():
            yield maker.mean(
                f"{outcome.key}_of_script",
                maker.mean_of_languages(outcome.values, rows),
                rows,
                group=str(name),
                method=f"{maker.student}, languages held",
                missing=maker.lone(rows),
            )
