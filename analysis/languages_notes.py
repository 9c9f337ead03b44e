"""What a reader must know of the answers before comparing languages, as findings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.html import Finding, join_words, number
from analysis.languages_analysis import LanguageRun
from analysis.languages_answers import TESTED_QUESTIONS
from analysis.languages_words import languages, reference_name, some
from analysis.wording import count_of, points, questions

DIFFERENT = (
    "The questions of the languages are different questions, of which some are easier "
    "whatever the language."
)
CORRELATED = 10
"""Fewest languages over which lengths and answers are correlated."""


def note_findings(run: LanguageRun) -> tuple[Finding, ...]:
    """All that apply."""
    found = (_ran_on(run), _lengths(run), _cut(run), _data(run))
    return tuple(one for one in found if one is not None)


def counted(run: LanguageRun, rows: NDArray[np.bool_], most: int = 8) -> str:
    """``Telugu 12 of 60 and Arabic 3 of 60``: where some items are, the most first."""
    answers = run.answers
    counts = {code: int((rows & answers.of(code)).sum()) for code in answers.languages}
    told = [
        f"{answers.name(code)} {number(count, 0)} of "
        f"{number(int(answers.of(code).sum()), 0)}"
        for code, count in sorted(counts.items(), key=lambda item: -item[1])
        if count
    ]
    return some(told, most)


def ratios(run: LanguageRun) -> dict[str, float]:
    """Language -> tokens of its prompts over the reference's, where known."""
    found = (
        (code, run.find("prompt_tokens_ratio", code)) for code in run.answers.names
    )
    return {
        code: one.estimate
        for code, one in found
        if one is not None and one.estimate is not None
    }


def rank_correlation(run: LanguageRun) -> tuple[float, int] | None:
    """Spearman's rho, over languages, of tokens and answers; and their number.

    A description of these languages, without a test: related languages are alike in
    both. None: fewer than `CORRELATED` languages, or no spread.
    """
    tokens = ratios(run)
    pairs = [
        (value, level)
        for code, value in tokens.items()
        if (level := run.level(code).estimate) is not None
    ]
    if len(pairs) < CORRELATED:
        return None
    first, second = np.array(pairs).T
    if not (np.ptp(first) and np.ptp(second)):
        return None
    return float(stats.spearmanr(first, second).statistic), len(pairs)


def _ran_on(run: LanguageRun) -> Finding | None:
    if run.answers.crossed:
        return None
    rows = run.answers.frame["ran_on"].to_numpy(dtype=bool)
    if not rows.any():
        return None
    known = run.answers.outcomes[0].known
    return Finding(
        claim=f"{number(int(rows.sum()), 0)} of {number(int(known.sum()), 0)} answers "
        f"of {run.label} did not end by themselves before the token limit.",
        evidence=(
            f"They are compared as they are, and words beyond the answer cost exact "
            f"match and F1: {counted(run, rows)}.",
        ),
        certainty="note",
    )


def _lengths(run: LanguageRun) -> Finding | None:
    tokens = ratios(run)
    if not tokens or max(tokens.values()) == min(tokens.values()) == 1:
        return None
    answers, reference = run.answers, reference_name(run)
    by_length = sorted(tokens, key=tokens.__getitem__)
    mean = run.by_name["mean_prompt_tokens", answers.wanted_reference]
    ends = [
        f"{number(tokens[code], 2)} times as many in {answers.name(code)}"
        for code in dict.fromkeys((by_length[-1], by_length[0]))
    ]
    together = rank_correlation(run)
    return Finding(
        claim="The same questions are of different length to the model in different "
        "languages.",
        evidence=(
            f"A prompt has {number(mean.estimate, 0)} tokens in {reference} on average "
            f"and {join_words(ends)}, instruction and template included.",
            *(
                ()
                if together is None
                else (
                    f"Over {languages(together[1])} tokens and accuracy go together "
                    f"with a rank correlation of {number(together[0])}. Related "
                    "languages are alike in both, so that it is described, not tested.",
                )
            ),
        ),
        certainty="note",
    )


def _cut(run: LanguageRun) -> Finding | None:
    rows = run.answers.frame["truncated"].to_numpy(dtype=bool)
    if not rows.any():
        return None
    total = int(rows.sum())
    return Finding(
        claim=f"{count_of(total, 'prompt')} {'was' if total == 1 else 'were'} cut to "
        f"fit {run.label}: what was asked there is not all that it read.",
        evidence=(f"{counted(run, rows)}.",),
        certainty="note",
    )


def _data(run: LanguageRun) -> Finding | None:
    """What was not read, not answered or not compared."""
    answers, manifest = run.answers, run.answers.run.manifest
    evidence = []
    if manifest.limit is not None:
        evidence.append(
            f"The run read a sample: {questions(len(answers.frame))} in "
            f"{languages(len(answers.languages))}. Fewer questions show only larger "
            "differences."
        )
    missing = ~answers.outcomes[0].known
    if missing.any():
        count = int(missing.sum())
        evidence.append(
            f"{questions(count)} without an answer {'is' if count == 1 else 'are'} "
            f"left out: {counted(run, missing)}."
        )
    few = [
        answers.name(code)
        for code in answers.languages
        if run.level(code).n < TESTED_QUESTIONS
    ]
    if few:
        evidence.append(
            f"Fewer than {TESTED_QUESTIONS} answers, shown and not tested: "
            f"{some(few, 8)}."
        )
    if "tied" in answers.frame and answers.frame["tied"].any():
        tied = answers.frame["tied"].to_numpy(dtype=bool)
        evidence.append(
            f"Of {questions(int(tied.sum()))} several letters share the highest score; "
            f"one of them is drawn ({points(float(tied.mean()))}% of all). Where all "
            "letters share it, none is picked and chance counts as right."
        )
    if not evidence:
        return None
    return Finding(
        claim=f"What was read and compared for {run.label}.",
        evidence=tuple(evidence),
        certainty="note",
    )
