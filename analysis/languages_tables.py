"""Tables of languages that both kinds of run have."""

from __future__ import annotations

from collections.abc import Iterator

from analysis import columns as col
from analysis.html import (
    Table,
)
from analysis.languages_analysis import LanguageRun
from analysis.languages_answers import TESTED_QUESTIONS, Outcome
from analysis.languages_measures import BOUNDED_LANGUAGES
from analysis.languages_words import TITLES, reference_name
from analysis.wording import result_text

TALL = 30
"""Tables of more rows are folded."""


def level_table(run: LanguageRun, prefix: str) -> Table:
    """The answers of each language, with both intervals."""
    answers = run.answers
    unit = "Passages" if answers.crossed else "Documents"
    suffixes = ("", "_questions_independent", "_over_chance")
    return col.table(
        id=f"{prefix}-levels",
        title=f"{TITLES[run.key]} by language"
        if len(answers.outcomes) == 1
        else "Answers by language",
        note=_level_note(run),
        columns=[
            col.text("Language", answers.name),
            col.text("Script", lambda code: answers.scripts[code]),
            col.count("Questions", lambda code: run.level(code).n),
            col.count(unit, lambda code: run.level(code).n_clusters),
            *(one for each in answers.outcomes for one in _level_columns(run, each)),
        ],
        rows=run.ordered(),
        frame=[
            run.find(f"{outcome.key}{suffix}", code)
            for code in run.ordered()
            for outcome in answers.outcomes
            for suffix in suffixes
        ],
        folded=len(run.ordered()) > TALL,
        sortable=True,
    )


def _level_columns(run: LanguageRun, outcome: Outcome) -> Iterator[col.Column]:
    def of(suffix: str) -> col.Of:
        return lambda code: run.find(f"{outcome.key}{suffix}", code)

    yield from col.estimate(f"{TITLES[outcome.key]}, %", of(""), 1, 100)
    if outcome.binary:
        yield col.bounds("Wilson", of("_questions_independent"), 1, 100)
    if outcome.chance is not None:
        yield col.holm("p, chance (Holm)", of("_over_chance"))


def _level_note(run: LanguageRun) -> str:
    answers = run.answers
    together = "on one passage" if answers.crossed else "from one document"
    note = (
        f"Intervals are 95%. Questions {together} belong together: shares have "
        "Wilson's interval of the effective number of questions"
        + ("" if answers.crossed else ", F1 Student's t")
        + ". Under Wilson stands Wilson's interval of shares as if all questions were "
        "independent"
    )
    widths = []
    for outcome in answers.outcomes:
        for code in answers.languages if outcome.binary else ():
            own = run.level(code, outcome.key)
            plain = run.find(f"{outcome.key}_questions_independent", code)
            if plain is not None and None not in (own.ci_low, plain.ci_low):
                assert own.ci_low is not None and own.ci_high is not None
                assert plain.ci_low is not None and plain.ci_high is not None
                widths.append(
                    (own.ci_high - own.ci_low) / (plain.ci_high - plain.ci_low)
                )
    if widths:
        mean = sum(widths) / len(widths)
        note += (
            f"; here the first is {mean:.2f} times as wide on average. Where it is "
            "clearly wider, the model gets the questions that belong together right or "
            "wrong together, and the second is too narrow"
        )
    note += "."
    if answers.outcomes[0].chance is not None:
        note += (
            " p, chance: against picking at random, Holm's over models and languages."
        )
    return note


def difference_table(run: LanguageRun, prefix: str) -> Table | None:
    """Each language less the reference; None: there is no reference, or no other."""
    answers = run.answers
    if not answers.others:
        return None
    reference = reference_name(run)
    several = len(answers.outcomes) > 1
    rows = [
        (
            code,
            outcome.key,
            run.by_name[f"{outcome.key}_difference", code],
            run.find(f"{outcome.key}_difference_mcnemar", code),
            run.find(f"{outcome.key}_minimum_detectable_difference", code),
        )
        for code in run.ordered()
        if code != answers.reference
        for outcome in answers.outcomes
    ]
    mcnemar = col.p("McNemar", lambda row: row[3] and row[3].p_value)
    how = (
        "On the questions answered in both; p is Student's t, clustered by passage. "
        "McNemar: the exact test that takes questions as independent, unadjusted, for "
        "comparison."
        if answers.crossed
        else "Between different questions, which differ in difficulty too: the "
        "difference of two means (Welch), clustered by document. Questions: of both "
        "languages."
    )
    return col.table(
        id=f"{prefix}-gaps",
        title=f"Each language less {reference}",
        note=f"In points; negative means that {reference} is answered better. {how} "
        "Holm's over models and languages"
        + (", for each outcome" if several else "")
        + ". Detectable: the smallest difference that so many questions show in four "
        f"cases of five, before Holm. Not tested: fewer than {TESTED_QUESTIONS} "
        "questions, or no spread.",
        columns=[
            col.text("Language", lambda row: answers.name(row[0])),
            *([col.text("Outcome", lambda row: TITLES[row[1]])] if several else []),
            col.count("Questions", lambda row: row[2].n),
            *col.estimate("Difference", lambda row: row[2], 1, 100),
            col.p("p", lambda row: row[2].p_value),
            col.holm("p (Holm)", lambda row: row[2]),
            *([mcnemar] if answers.crossed else []),
            col.text("Result", lambda row: result_text(row[2])),
            col.value("Detectable", lambda row: row[4], 1, 100),
        ],
        rows=rows,
        frame=[one for row in rows for one in row[2:]],
        folded=len(rows) > TALL,
        sortable=True,
    )


def spread_table(run: LanguageRun, prefix: str) -> Table | None:
    """Best minus worst language; None: too few languages to compare."""
    rows = [
        (outcome.key, spread, run.metric(f"{outcome.key}_disparity_permuted"))
        for outcome in run.answers.outcomes
        if (spread := run.spread(outcome.key)) is not None
    ]
    if not rows:
        return None
    return col.table(
        id=f"{prefix}-disparity",
        title="Best minus worst language",
        note="In points. Even if all languages were alike, some one would be best: "
        "chance is the mean under permuted languages, and p the share of permutations "
        "that differ at least as much, Holm's over models. "
        + (
            "Languages are permuted within each passage."
            if run.answers.crossed
            else "Languages are permuted over all documents, as if all questions were "
            "of one difficulty."
        )
        + " The interval never falls below zero and is no test; more than "
        f"{BOUNDED_LANGUAGES} languages have none.",
        columns=[
            col.text("Outcome", lambda row: TITLES[row[0]]),
            col.count("Questions", lambda row: row[1].n),
            col.text("Best", lambda row: run.answers.name(row[1].group or "")),
            col.text("Worst", lambda row: run.answers.name(row[1].reference or "")),
            *col.estimate("Best \u2212 worst", lambda row: row[1], 1, 100),
            col.value("By chance", lambda row: row[2], 1, 100),
            col.p("p", lambda row: row[1].p_value),
            col.holm("p (Holm)", lambda row: row[1]),
        ],
        rows=rows,
        frame=[one for _, *found in rows for one in found],
        folded=True,
    )
