"""Tables of languages that both kinds of run have."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.html import (
    Cell,
    Table,
    interval_cell,
    number_cell,
    p_cell,
    text_cell,
)
from analysis.languages_analysis import LanguageRun
from analysis.languages_answers import TESTED_QUESTIONS
from analysis.languages_measures import BOUNDED_LANGUAGES
from analysis.languages_words import TITLES, reference_name
from analysis.records import Record
from analysis.wording import hundred, result_text

TALL = 30
"""Tables of more rows are folded."""


def value(record: Record | None, digits: int = 1, scale: float = 100.0) -> Cell:
    """An estimate; a dash where there is none."""
    estimate = None if record is None else record.estimate
    return number_cell(None if estimate is None else scale * estimate, digits)


def around(record: Record | None, digits: int = 1, scale: float = 100.0) -> Cell:
    """Its interval."""
    if record is None or record.ci_low is None or record.ci_high is None:
        return interval_cell(None, None)
    return interval_cell(scale * record.ci_low, scale * record.ci_high, digits)


def frame_of(records: Sequence[Record | None]) -> pd.DataFrame:
    """Records as a table's numbers."""
    return pd.DataFrame([one.to_json() for one in records if one is not None])


def level_table(run: LanguageRun, prefix: str) -> Table:
    """The answers of each language, with both intervals."""
    answers = run.answers
    unit = "Passages" if answers.crossed else "Documents"
    rows, records = [], []
    for code in run.ordered():
        cells = [text_cell(answers.name(code)), text_cell(answers.scripts[code])]
        level = run.level(code)
        cells += [number_cell(level.n, 0), number_cell(level.n_clusters, 0)]
        for outcome in answers.outcomes:
            level = run.level(code, outcome.key)
            plain = run.find(f"{outcome.key}_questions_independent", code)
            over = run.find(f"{outcome.key}_over_chance", code)
            cells += [value(level), around(level)]
            cells += [around(plain)] if outcome.binary else []
            cells += (
                []
                if outcome.chance is None
                else [p_cell(None if over is None else over.p_holm)]
            )
            records += [level, plain, over]
        rows.append(tuple(cells))
    header = ["Language", "Script", "Questions", unit]
    for outcome in answers.outcomes:
        header += [f"{TITLES[outcome.key]}, %", "95% interval"]
        header += ["Wilson"] if outcome.binary else []
        header += [] if outcome.chance is None else ["p, chance (Holm)"]
    return Table(
        id=f"{prefix}-levels",
        title=f"{TITLES[run.key]} by language"
        if len(answers.outcomes) == 1
        else "Answers by language",
        note=_level_note(run),
        header=tuple(header),
        rows=tuple(rows),
        frame=frame_of(records),
        folded=len(rows) > TALL,
        sortable=True,
    )


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
    rows, records = [], []
    for code in run.ordered():
        if code == answers.reference:
            continue
        for outcome in answers.outcomes:
            gap = run.by_name[f"{outcome.key}_difference", code]
            least = run.find(f"{outcome.key}_minimum_detectable_difference", code)
            exact = run.find(f"{outcome.key}_difference_mcnemar", code)
            records += [gap, exact, least]
            rows.append(
                (
                    text_cell(answers.name(code)),
                    *((text_cell(TITLES[outcome.key]),) if several else ()),
                    number_cell(gap.n, 0),
                    value(gap),
                    around(gap),
                    p_cell(gap.p_value),
                    p_cell(gap.p_holm),
                    *(
                        (p_cell(None if exact is None else exact.p_value),)
                        if answers.crossed
                        else ()
                    ),
                    text_cell(result_text(gap)),
                    value(least),
                )
            )
    how = (
        "On the questions answered in both; p is Student's t, clustered by passage. "
        "McNemar: the exact test that takes questions as independent, unadjusted, for "
        "comparison."
        if answers.crossed
        else "Between different questions, which differ in difficulty too: the "
        "difference of two means (Welch), clustered by document. Questions: of both "
        "languages."
    )
    return Table(
        id=f"{prefix}-gaps",
        title=f"Each language less {reference}",
        note=f"In points; negative means that {reference} is answered better. {how} "
        "Holm's over models and languages"
        + (", for each outcome" if several else "")
        + ". Detectable: the smallest difference that so many questions show in four "
        f"cases of five, before Holm. Not tested: fewer than {TESTED_QUESTIONS} "
        "questions, or no spread.",
        header=(
            "Language",
            *(("Outcome",) if several else ()),
            "Questions",
            "Difference",
            "95% interval",
            "p",
            "p (Holm)",
            *(("McNemar",) if answers.crossed else ()),
            "Result",
            "Detectable",
        ),
        rows=tuple(rows),
        frame=frame_of(records),
        folded=len(rows) > TALL,
        sortable=True,
    )


def spread_table(run: LanguageRun, prefix: str) -> Table | None:
    """Best minus worst language; None: too few languages to compare."""
    rows, records = [], []
    for outcome in run.answers.outcomes:
        spread = run.spread(outcome.key)
        if spread is None:
            continue
        chance = next(
            one
            for one in run.records
            if one.metric == f"{outcome.key}_disparity_permuted"
        )
        records += [spread, chance]
        rows.append(
            (
                text_cell(TITLES[outcome.key]),
                number_cell(spread.n, 0),
                text_cell(run.answers.name(spread.group or "")),
                text_cell(run.answers.name(spread.reference or "")),
                value(spread),
                interval_cell(hundred(spread.ci_low), hundred(spread.ci_high), 1),
                value(chance),
                p_cell(spread.p_value),
                p_cell(spread.p_holm),
            )
        )
    if not rows:
        return None
    return Table(
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
        header=(
            "Outcome",
            "Questions",
            "Best",
            "Worst",
            "Best \u2212 worst",
            "95% interval",
            "By chance",
            "p",
            "p (Holm)",
        ),
        rows=tuple(rows),
        frame=frame_of(records),
        folded=True,
    )
