"""MD3, games of several dialects, as a part of a report."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import prose
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
from analysis.html import Block, Section, join_words, number
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
        method=prose.method("dialects_md3"),
        caveats=prose.caveats("dialects_md3"),
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
