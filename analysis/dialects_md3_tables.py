"""Tables of MD3."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.dialects_md3_analysis import GamesRun, Gap
from analysis.dialects_md3_words import dialect_name, outcome_name
from analysis.html import (
    Cell,
    Table,
    interval_cell,
    number_cell,
    p_cell,
    text_cell,
)
from analysis.records import Record
from analysis.wording import hundred, result_text


def _value(record: Record | None, digits: int, scale: float = 100.0) -> Cell:
    estimate = None if record is None else record.estimate
    return number_cell(None if estimate is None else scale * estimate, digits)


def _bounds(record: Record, digits: int) -> Cell:
    return interval_cell(hundred(record.ci_low), hundred(record.ci_high), digits)


def _frame(records: Sequence[Record | None]) -> pd.DataFrame:
    return pd.DataFrame([one.to_json() for one in records if one is not None])


def accuracy_table(run: GamesRun, prefix: str) -> Table:
    """Every outcome and dialect: games, answers, share won, margin."""
    units = [one.outcome.unit for one in run.outcomes if one.outcome.unit]
    said = sum(one.answer_said for one in run.covariates)
    rows = tuple(
        (
            text_cell(outcome_name(run, one.outcome.key)),
            text_cell(dialect_name(result.dialect)),
            number_cell(result.accuracy.n, 0),
            number_cell(result.accuracy.n_clusters, 0),
            _value(result.accuracy, 1),
            _bounds(result.accuracy, 1),
            number_cell(hundred(one.outcome.chance), 1),
            *((_value(result.unsaid, 1),) if said else ()),
            *(
                (
                    _value(result.margin, 2, 1.0),
                    interval_cell(None, None)
                    if result.margin is None
                    else interval_cell(result.margin.ci_low, result.margin.ci_high),
                )
                if units
                else ()
            ),
        )
        for one in run.outcomes
        for result in one.dialects
    )
    return Table(
        id=f"{prefix}-accuracies",
        title="Games won",
        note="Choice: the word with the highest score is the secret word; a tie counts "
        "as one over the number of words tied. Intervals are 95%: of shares Wilson's, "
        "of the effective number of games by answer; of margins a bootstrap of answers."
        + (
            " Margin: score of the secret word less that of the best other word, in "
            f"{units[0]}"
            + (" (per token in the last rows)" if len(set(units)) > 1 else "")
            + "."
            if units
            else ""
        )
        + (
            f" Not said: without the {said} whose transcript still holds the answer."
            if said
            else ""
        ),
        header=(
            "Outcome",
            "Dialect",
            "Games",
            "Answers",
            "Won, %",
            "95% interval",
            "Chance, %",
            *(("Not said, %",) if said else ()),
            *(("Mean margin", "95% interval") if units else ()),
        ),
        rows=rows,
        frame=_frame(
            [
                record
                for one in run.outcomes
                for result in one.dialects
                for record in result.records
            ]
        ),
    )


KINDS = ("all games", "adjusted", "shared answers")
"""Of differences, in the order of `_kinds`."""


def _kinds(gap: Gap) -> tuple[Record, Record, Record]:
    return gap.raw, gap.adjusted, gap.shared


def difference_table(run: GamesRun, prefix: str) -> Table:
    """Each dialect less the reference, three ways."""
    reference = dialect_name(run.games.reference)
    rows = tuple(
        (
            text_cell(outcome_name(run, one.outcome.key)),
            text_cell(dialect_name(gap.dialect)),
            text_cell(kind),
            number_cell(record.n, 0),
            number_cell(record.n_clusters, 0),
            _value(record, 1),
            _bounds(record, 1),
            p_cell(record.p_value),
            p_cell(record.p_holm),
            text_cell(result_text(record)),
            _value(gap.detectable if record is gap.raw else None, 1),
        )
        for one in run.outcomes
        for gap in one.gaps
        for kind, record in zip(KINDS, _kinds(gap), strict=True)
    )
    return Table(
        id=f"{prefix}-gaps",
        title=f"Each dialect less {reference}",
        note=f"In points; negative means that games in {reference} are won more often. "
        "Adjusted: a linear probability model with the logarithm of the transcript's "
        "words and the answer's Zipf frequency. Shared answers: the mean over answers "
        "asked in both dialects of the difference within the answer. Intervals are "
        "95%, answers resampled, unadjusted; p is Student's t on a standard error "
        "clustered by answer, Holm's over models and dialects of the same outcome and "
        f"kind. Detectable: the smallest fall below {reference} that so many games "
        "show in four cases of five, before Holm.",
        header=(
            "Outcome",
            "Dialect",
            "Games used",
            "Games",
            "Answers",
            "Difference",
            "95% interval",
            "p",
            "p (Holm)",
            "Result",
            "Detectable",
        ),
        rows=rows,
        frame=_frame(
            [
                record
                for one in run.outcomes
                for gap in one.gaps
                for record in gap.records
            ]
        ),
    )


def game_table(run: GamesRun, prefix: str) -> Table:
    """What else the games of the dialects differ in."""
    return Table(
        id=f"{prefix}-games",
        title="The games of each dialect",
        note="Means with 95% intervals, answers resampled. Frequency: of the answer in "
        "English, Zipf scale (log10 per billion words). Still said: games whose "
        "transcript holds the answer. No guess right: the answer holds a forbidden "
        "word, so that every guess counts as wrong.",
        header=(
            "Dialect",
            "Games",
            "Answers",
            "Words of transcript",
            "95% interval",
            "Frequency",
            "95% interval",
            "Still said",
            "No guess right",
        ),
        rows=tuple(
            (
                text_cell(dialect_name(one.dialect)),
                number_cell(one.n, 0),
                number_cell(one.n_answers, 0),
                _value(one.words, 1, 1.0),
                interval_cell(one.words.ci_low, one.words.ci_high, 1),
                _value(one.zipf, 2, 1.0),
                interval_cell(one.zipf.ci_low, one.zipf.ci_high),
                number_cell(one.answer_said, 0),
                number_cell(one.unguessable, 0),
            )
            for one in run.covariates
        ),
        frame=_frame(
            [record for one in run.covariates for record in (one.words, one.zipf)]
        ),
    )


def spread_table(run: GamesRun, prefix: str) -> Table | None:
    """Best minus worst dialect; None: nowhere two dialects to compare."""
    known = [(one, one.spread) for one in run.outcomes if one.spread is not None]
    if not known:
        return None
    return Table(
        id=f"{prefix}-disparity",
        title="Best minus worst dialect",
        note="In points. Even if all dialects were alike, some one would be best: "
        "chance is the mean under permuted dialects, and p the share of permutations "
        "that differ at least as much, Holm's over models. The interval resamples "
        "games within dialects; it never falls below zero and is no test.",
        header=(
            "Outcome",
            "Games",
            "Best",
            "Worst",
            "Best \u2212 worst",
            "95% interval",
            "By chance",
            "p",
            "p (Holm)",
        ),
        rows=tuple(
            (
                text_cell(outcome_name(run, one.outcome.key)),
                number_cell(spread.observed.n, 0),
                # Of dialects that are all alike none is the best.
                *(
                    text_cell(dialect_name(name) if spread.observed.estimate else None)
                    for name in (spread.best, spread.worst)
                ),
                _value(spread.observed, 1),
                _bounds(spread.observed, 1),
                _value(spread.permuted, 1),
                p_cell(spread.observed.p_value),
                p_cell(spread.observed.p_holm),
            )
            for one, spread in known
        ),
        frame=_frame(
            [
                record
                for _, spread in known
                for record in (spread.observed, spread.permuted)
            ]
        ),
        folded=True,
    )
