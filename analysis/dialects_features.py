"""Dialect minimal pairs as a part of a report."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import prose
from analysis.dialects_features_across import (
    across_findings,
    across_table,
    heat_figure,
)
from analysis.dialects_features_analysis import (
    FeatureAnalysis,
    FeatureRun,
    analyse_features,
)
from analysis.dialects_features_figures import (
    forest_figure,
    variety_figure,
)
from analysis.dialects_features_findings import (
    headline_finding,
    run_findings,
)
from analysis.dialects_features_tables import (
    effect_table,
    example_table,
    feature_table,
    variety_table,
)
from analysis.dialects_features_words import features, frames, pairs
from analysis.html import Block, Section
from analysis.load import Run
from analysis.part import ProbePart, RunPart, Step, Wanted, models_section


def features_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe of dialect minimal pairs.

    Args:
        runs: Runs of one probe version, read from their folders.
        wanted: Not read: a pair's reference is its standard form.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section.
        step: Called twice a run, for a progress bar.

    Raises:
        DataError: A run has no minimal pairs, or none with scores.
        StoreError: A run's items or scores cannot be read.
    """
    analysis = analyse_features(runs, step=step)
    return ProbePart(
        section=features_section(analysis, id=id, title=title, step=step),
        runs=tuple(
            RunPart(
                path=run.table.run.path,
                label=run.label,
                probe=run.table.run.manifest.probe,
                items=sum(run.table.frames),
                groups=len(run.features),
                findings=run_findings(run),
                short=headline_finding(run),
                headline=run.overall.in_sd,
                headline_name="standard \u2212 dialect, mean over "
                f"{features(len(run.features))} (SD of scores)",
            )
            for run in analysis.runs
        ),
        across=across_findings(analysis),
        records=analysis.records,
        subject="Which of "
        f"{features(max(len(run.features) for run in analysis.runs))} of English "
        "dialects cost or gain score in otherwise equal sentences",
    )


def features_section(
    analysis: FeatureAnalysis, *, id: str, title: str, step: Step
) -> Section:
    """The section: across models first, then each run; see `features_part`."""
    runs = analysis.runs
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="scored the same minimal pairs",
        across=lambda: (across_table(runs, id), heat_figure(runs, id)),
        method=prose.method("dialects_features"),
        caveats=prose.caveats("dialects_features"),
        step=step,
    )


def _lead(run: FeatureRun) -> str:
    table = run.table
    return (
        f"{pairs(len(table.standard))} of sentences from {frames(sum(table.frames))}, "
        f"which differ in one of {features(len(table.features))} and in nothing else. "
        f"Every number is the {table.unit} of the standard form less that of the "
        "dialect form: positive means that the standard form is preferred."
    )


def _blocks(run: FeatureRun, prefix: str) -> tuple[Block, ...]:
    found: list[Block | None] = [
        forest_figure(run, prefix),
        feature_table(run, prefix),
        effect_table(run, prefix),
        example_table(run, prefix),
        variety_figure(run, prefix),
        variety_table(run, prefix),
    ]
    return tuple(block for block in found if block is not None)
