"""MD3, games of several dialects, as a part of a report."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.dialects_md3_across import across_findings, across_table
from analysis.dialects_md3_analysis import GamesRun, analyse_games
from analysis.dialects_md3_data import CHOICE, GUESS
from analysis.dialects_md3_figures import (
    accuracy_figure,
    across_figure,
    forest_figure,
)
from analysis.dialects_md3_findings import (
    headline_finding,
    run_findings,
)
from analysis.dialects_md3_tables import (
    accuracy_table,
    difference_table,
    game_table,
    spread_table,
)
from analysis.dialects_md3_words import answers, dialect_name, games
from analysis.html import Block, Paragraph, Section, join_words, number
from analysis.load import Run
from analysis.part import ProbePart, RunPart, Step, Wanted, models_section


def md3_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe of games.

    Args:
        runs: Runs of one probe version, read from their folders.
        wanted: `reference_dialect` is read.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section.
        step: Called twice a run, for a progress bar.

    Raises:
        DataError: A run has no games of two dialects, or none with scores.
        StoreError: A run's items or scores cannot be read.
    """
    analysed = analyse_games(runs, reference=wanted.reference_dialect, step=step)
    return ProbePart(
        section=_section(analysed, id=id, title=title, step=step),
        runs=tuple(
            RunPart(
                path=run.games.run.path,
                label=run.label,
                probe=run.games.run.manifest.probe,
                items=len(run.games.dialect),
                groups=len(run.games.dialects),
                findings=run_findings(run),
                short=headline_finding(run),
                headline=run.headline,
                headline_name=_headline_name(run),
            )
            for run in analysed
        ),
        across=across_findings(analysed),
        records=tuple(record for run in analysed for record in run.records),
        subject="In which of "
        f"{max(len(run.games.dialects) for run in analysed)} dialects of English the "
        "secret word of a game is understood from the players' talk",
    )


def _headline_name(run: GamesRun) -> str:
    group = dialect_name(run.headline.group or "")
    won = "guessed right" if run.outcomes[0].outcome.key == GUESS else "picked right"
    return (
        f"share {won}, {group} \u2212 {dialect_name(run.games.reference)}, the largest "
        "difference"
    )


def _section(runs: Sequence[GamesRun], *, id: str, title: str, step: Step) -> Section:
    """Across models first, then each run."""
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="read the same games",
        across=lambda: (across_table(runs, id), across_figure(runs, id)),
        method=METHOD,
        caveats=CAVEATS,
        step=step,
    )


def _lead(run: GamesRun) -> str:
    table = run.games
    keys = {one.outcome.key for one in run.outcomes}
    counts = [
        f"{games(one.n)} in {dialect_name(one.dialect)}" for one in run.covariates
    ]
    how = []
    if GUESS in keys:
        how.append(
            "Guess: what the model writes when asked for the word, right if it holds "
            "the answer and no forbidden word."
        )
    if keys != {GUESS}:
        how.append(
            "Choice: whether the answer scores highest among the answer and the "
            "forbidden words."
        )
    if CHOICE in keys and len(keys - {GUESS}) > 1:
        how.append(
            "A policy's words are ranked by summed log-probability, and beside it by "
            "its mean per token."
        )
    said = int(table.answer_said.sum())
    still = (
        f" {number(said, 0)} of the games still hold{'s' if said == 1 else ''} the "
        "answer in the transcript."
        if said
        else ""
    )
    return (
        f"Players describe a secret word to each other: {join_words(counts)}, with "
        f"{answers(len(set(table.answer)))} in all. The model reads the talk up to the "
        f"answer.{still} {' '.join(how)} Differences are a dialect less "
        f"{dialect_name(table.reference)}: negative means that games in "
        f"{dialect_name(table.reference)} are won more often."
    )


def _blocks(run: GamesRun, prefix: str) -> tuple[Block, ...]:
    found: list[Block | None] = [
        accuracy_figure(run, prefix),
        forest_figure(run, prefix),
        accuracy_table(run, prefix),
        difference_table(run, prefix),
        game_table(run, prefix),
        spread_table(run, prefix),
    ]
    return tuple(block for block in found if block is not None)


METHOD = (
    Paragraph(
        head="Games",
        text="A choice is right if the answer has the highest score; a tie counts as "
        "one over the number of words tied, and chance is one over the number of "
        "words. A guess is right if it holds the answer, whatever its case, and none "
        "of the forbidden words (Ryan, Held and Yang 2024).",
    ),
    Paragraph(
        head="Dialects of games",
        text="The dialects are compared between different games. Games with the same "
        "answer belong together, in whichever dialect: intervals of differences "
        "resample answers; tests are Student's t on a standard error from leaving out "
        "one answer at a time (CR3), with as many degrees of freedom as the dialect "
        "with fewer answers has, less one, and less one for each covariate. Shares "
        "have Wilson's interval of the effective number of games. Holm's adjustment is "
        "over models and dialects, for each outcome and kind of difference. Nothing is "
        "tested with fewer than five answers.",
    ),
    Paragraph(
        head="What else differs between games",
        text="Beside the plain difference stand two more. In a linear probability "
        "model, right or not is regressed on the dialect, the logarithm of one plus "
        "the transcript's words, and the answer's Zipf frequency. Over answers asked "
        "in both dialects, the mean of the differences within an answer is taken, each "
        "answer counting the same. A difference is called supported only if all three "
        "show it on the same side, by their 95% interval and by p below 5% after Holm; "
        "if the plain one alone does, it is called not resolved.",
    ),
    Paragraph(
        head="Best minus worst",
        text="Some dialect always comes first. The difference between the best and the "
        "worst is therefore read against the same difference under permuted dialects; "
        "its interval is no test.",
    ),
)

CAVEATS = (
    "Games of MD3 differ by dialect in players, words, length and who transcribed "
    "them: a difference between dialects holds for these games, and is not one of "
    "dialect alone. Length may also be a part of how a dialect plays.",
    "A transcript keeps words and grammar and loses the accent; spelling is the "
    "transcribers'.",
    "A guess is short and judged by its text: a model that does not do as told, such "
    "as a base model that writes on, loses games that it may understand.",
    "A choice is among few words, all close in meaning to the answer: being right "
    "among them is not being right among all words.",
    "A choice by summed log-probability favours short words, one by the mean per token "
    "long ones; both are shown.",
)
