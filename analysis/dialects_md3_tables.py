"""Tables of MD3."""

from __future__ import annotations

from analysis import columns as col
from analysis.dialects_md3_analysis import GamesRun
from analysis.dialects_md3_words import dialect_name, outcome_name
from analysis.html import (
    Table,
)
from analysis.wording import hundred, result_text


def accuracy_table(run: GamesRun, prefix: str) -> Table:
    """Every outcome and dialect: games, answers, share won, margin."""
    units = [one.outcome.unit for one in run.outcomes if one.outcome.unit]
    said = sum(one.answer_said for one in run.covariates)
    rows = [(one, result) for one in run.outcomes for result in one.dialects]
    unsaid = col.value("Not said, %", lambda row: row[1].unsaid, 1, 100)
    margin = col.estimate("Mean margin", lambda row: row[1].margin)
    return col.table(
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
        columns=[
            col.text("Outcome", lambda row: outcome_name(run, row[0].outcome.key)),
            col.text("Dialect", lambda row: dialect_name(row[1].dialect)),
            col.count("Games", lambda row: row[1].accuracy.n),
            col.count("Answers", lambda row: row[1].accuracy.n_clusters),
            *col.estimate("Won, %", lambda row: row[1].accuracy, 1, 100),
            col.number("Chance, %", lambda row: hundred(row[0].outcome.chance), 1),
            *([unsaid] if said else []),
            *(margin if units else ()),
        ],
        rows=rows,
        frame=[record for _, result in rows for record in result.records],
    )


KINDS = ("all games", "adjusted", "shared answers")
"""Of differences, in the order of `Gap.records`."""


def difference_table(run: GamesRun, prefix: str) -> Table:
    """Each dialect less the reference, three ways."""
    reference = dialect_name(run.games.reference)
    rows = [
        (one, gap, kind, record)
        for one in run.outcomes
        for gap in one.gaps
        for kind, record in zip(KINDS, gap.records[:-1], strict=True)
    ]
    return col.table(
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
        columns=[
            col.text("Outcome", lambda row: outcome_name(run, row[0].outcome.key)),
            col.text("Dialect", lambda row: dialect_name(row[1].dialect)),
            col.text("Games used", lambda row: row[2]),
            col.count("Games", lambda row: row[3].n),
            col.count("Answers", lambda row: row[3].n_clusters),
            *col.estimate("Difference", lambda row: row[3], 1, 100),
            col.p("p", lambda row: row[3].p_value),
            col.holm("p (Holm)", lambda row: row[3]),
            col.text("Result", lambda row: result_text(row[3])),
            col.value(
                "Detectable",
                lambda row: row[1].detectable if row[3] is row[1].raw else None,
                1,
                100,
            ),
        ],
        rows=rows,
        frame=[r for one in run.outcomes for gap in one.gaps for r in gap.records],
    )


def game_table(run: GamesRun, prefix: str) -> Table:
    """What else the games of the dialects differ in."""
    return col.table(
        id=f"{prefix}-games",
        title="The games of each dialect",
        note="Means with 95% intervals, answers resampled. Frequency: of the answer in "
        "English, Zipf scale (log10 per billion words). Still said: games whose "
        "transcript holds the answer. No guess right: the answer holds a forbidden "
        "word, so that every guess counts as wrong.",
        columns=[
            col.text("Dialect", lambda one: dialect_name(one.dialect)),
            col.count("Games", lambda one: one.n),
            col.count("Answers", lambda one: one.n_answers),
            *col.estimate("Words of transcript", lambda one: one.words, 1),
            *col.estimate("Frequency", lambda one: one.zipf),
            col.count("Still said", lambda one: one.answer_said),
            col.count("No guess right", lambda one: one.unguessable),
        ],
        rows=run.covariates,
        frame=[record for one in run.covariates for record in (one.words, one.zipf)],
    )


def spread_table(run: GamesRun, prefix: str) -> Table | None:
    """Best minus worst dialect; None: nowhere two dialects to compare."""
    known = [(one, one.spread) for one in run.outcomes if one.spread is not None]
    if not known:
        return None
    return col.table(
        id=f"{prefix}-disparity",
        title="Best minus worst dialect",
        note="In points. Even if all dialects were alike, some one would be best: "
        "chance is the mean under permuted dialects, and p the share of permutations "
        "that differ at least as much, Holm's over models. The interval resamples "
        "games within dialects; it never falls below zero and is no test.",
        columns=[
            col.text("Outcome", lambda row: outcome_name(run, row[0].outcome.key)),
            col.count("Games", lambda row: row[1].observed.n),
            # Of dialects that are all alike none is the best.
            col.text(
                "Best",
                lambda row: row[1].observed.estimate and dialect_name(row[1].best),
            ),
            col.text(
                "Worst",
                lambda row: row[1].observed.estimate and dialect_name(row[1].worst),
            ),
            *col.estimate("Best \u2212 worst", lambda row: row[1].observed, 1, 100),
            col.value("By chance", lambda row: row[1].permuted, 1, 100),
            col.p("p", lambda row: row[1].observed.p_value),
            col.holm("p (Holm)", lambda row: row[1].observed),
        ],
        rows=known,
        frame=[record for _, one in known for record in (one.observed, one.permuted)],
        folded=True,
    )
