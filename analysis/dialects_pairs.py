"""Texts in several dialects as a part of a report."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.dialects_pairs_across import across_findings, across_table, heat_figure
from analysis.dialects_pairs_analysis import (
    PairAnalysis,
    PairRun,
    analyse_pairs,
    strongest,
)
from analysis.dialects_pairs_effects import unit_of
from analysis.dialects_pairs_figures import accuracy_figure, forest_figure
from analysis.dialects_pairs_findings import headline_finding, run_findings
from analysis.dialects_pairs_tables import (
    accuracy_table,
    effect_tables,
    length_table,
    subset_table,
)
from analysis.dialects_pairs_words import dialects_text, name_of, names_of, rows_text
from analysis.html import Block, Paragraph, Section
from analysis.load import Run
from analysis.part import ProbePart, RunPart, Step, Wanted, models_section


def pairs_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe of texts in several dialects.

    Args:
        runs: Runs of one probe version, read from their folders.
        wanted: `reference_dialect` is read.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section.
        step: Called twice a run, for a progress bar.

    Raises:
        DataError: A run has no texts in several dialects, or none with scores.
        UsageError: The reference is none of a run's dialects, or none is declared.
        StoreError: A run's items or scores cannot be read.
    """
    analysis = analyse_pairs(runs, reference=wanted.reference_dialect, step=step)
    most = max(len(run.table.dialects) for run in analysis.runs)
    rows = max(len(run.table.rows) for run in analysis.runs)
    return ProbePart(
        section=pairs_section(analysis, id=id, title=title, step=step),
        runs=tuple(_run_part(run) for run in analysis.runs),
        across=across_findings(analysis),
        records=analysis.records,
        subject=f"What it costs {rows_text(rows)} of prompts and answers to be "
        f"written in {dialects_text(most)} instead of "
        f"{name_of(analysis.runs[0].table.reference)}",
    )


def _run_part(run: PairRun) -> RunPart:
    headline = strongest(run)
    return RunPart(
        path=run.table.run.path,
        label=run.label,
        probe=run.table.run.manifest.probe,
        items=len(run.table.rows),
        groups=1 + len(run.table.dialects),
        findings=run_findings(run),
        short=headline_finding(run),
        headline=headline,
        headline_name=""
        if headline is None
        else f"largest d_z: {name_of(run.table.reference)} \u2212 "
        f"{name_of(headline.group or '')}, {run.headline.title.lower()}",
    )


def pairs_section(
    analysis: PairAnalysis, *, id: str, title: str, step: Step
) -> Section:
    """The section: across models first, then each run; see `pairs_part`."""
    runs = analysis.runs
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="scored the same texts",
        across=lambda: (
            across_table(runs, id),
            heat_figure(runs, id),
            accuracy_figure(runs, id),
        ),
        method=_method(analysis),
        caveats=CAVEATS,
        step=step,
    )


def _lead(run: PairRun) -> str:
    table = run.table
    return (
        f"{rows_text(len(table.rows))}, each in {name_of(table.reference)} and in "
        f"{names_of(table.dialects)}. Every difference is the {unit_of(table)} of "
        f"{name_of(table.reference)} less that of the dialect: positive means that "
        f"{name_of(table.reference)} is preferred."
    )


def _blocks(run: PairRun, prefix: str) -> tuple[Block, ...]:
    effects = effect_tables(run, prefix)
    found: list[Block | None] = [
        forest_figure(run, prefix),
        effects[0],
        length_table(run, prefix),
        accuracy_figure([run], prefix),
        accuracy_table(run, prefix),
        *effects[1:],
        subset_table(run, prefix),
    ]
    return tuple(block for block in found if block is not None)


def _method(analysis: PairAnalysis) -> tuple[Paragraph, ...]:
    draws = f"{analysis.draws:,}"
    return (
        Paragraph(
            head="Same content in several dialects",
            text="A row's texts are compared within the row: the answer varied under "
            "one prompt; the prompt varied before one answer; both together; and, "
            "asked in the dialect, an answer in the reference against one in the "
            "asker's own. Rows in which what is varied is the same text (for the "
            "asker: answer or prompt) are counted and left out. Differences are tested "
            "by Student's t with a standard error clustered by prompt, and by "
            "Wilcoxon's test of the prompts' means, adjusted by Holm over models and "
            "dialects in each setting; a dialect is named if the t-test is below 5% "
            "after it. d_z is over the SD of the differences, d_av over the mean of "
            "the two forms' SDs; their intervals are the delta method's, with the "
            "clustered error.",
        ),
        Paragraph(
            head="Length of answers in dialect",
            text="A mixed model (REML) of the answers under one prompt has the "
            "dialects, the length of each form less the row's mean, that mean, and a "
            "random intercept per row; standard errors are clustered by prompt. Its "
            "coefficients are differences at equal length if length acts as a straight "
            "line.",
        ),
        Paragraph(
            head="Accuracy inside a dialect",
            text="The share of rows whose chosen answer scores above the rejected one, "
            "with Wilson's interval. The drop from the reference has a bootstrap "
            f"interval over prompts ({draws} draws) and McNemar's exact test, adjusted "
            "by Holm over models and dialects. Best less worst dialect is above zero "
            f"by construction and held against {draws} permutations of the dialects "
            "within rows.",
        ),
    )


CAVEATS = (
    "Variants of a text are taken as they are. The shipped ones are made by rules "
    "(multi-VALUE) that put in every feature they can, so that they are denser than "
    "what people write and in places wrong in any dialect: a difference may be the "
    "noise of that and not the dialect.",
    "A score of texts in a dialect says nothing by itself of how its speakers are "
    "served; they also write in other ways.",
    "A policy's log-probability of a dialect's words is low where it has read few of "
    "them; that is no preference it was trained to have.",
    "What is taken out for length may be dialect: spelling that a tokenizer does not "
    "know makes a text longer in tokens.",
)
