"""Texts in several dialects as a part of a report."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import prose
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
from analysis.html import Block, Section
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
        method=prose.method("dialects_pairs", draws=analysis.draws),
        caveats=prose.caveats("dialects_pairs", draws=analysis.draws),
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
