"""The report of a sweep: what a share of the training rows does, and for whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from analysis.doseresponse_figures import dose_figure
from analysis.doseresponse_findings import part_findings, summary_findings
from analysis.doseresponse_forest import slope_figure
from analysis.doseresponse_method import caveats, method
from analysis.doseresponse_overview import checkpoint_table, overview_table
from analysis.doseresponse_runs import DoseAnalysis, SweepProbe
from analysis.doseresponse_sweep import Sweep
from analysis.doseresponse_tables import (
    gap_table,
    level_table,
    slope_table,
)
from analysis.doseresponse_words import beyond_shares, lower_title, shares_words
from analysis.html import (
    Block,
    Finding,
    Page,
    Section,
    join_words,
    slugs,
)
from analysis.learning import Learning, in_order
from analysis.learning_report import learning_section
from analysis.part import Step
from analysis.report import (
    DOWNLOADS,
    GENERAL_CAVEAT,
    Report,
    provenance,
    run_notes,
    run_warnings,
    write_page,
    written_by,
)
from analysis.wording import count_of, sentence

MOST_FINDINGS = 9
"""Up to so many findings the summary holds them all; of more, of each measure the
mean's slope beside the placebo's, and what else is shown."""
MOST_EVIDENCE = 3
"""Groups whose numbers a finding of such a summary has; its own section has more."""


def write_sweeps(
    found: DoseAnalysis,
    out: Path,
    *,
    curves: Sequence[Learning] = (),
    step: Step = lambda: None,
) -> Report:
    """Writes index.html, report.md, summary.json, tables and figures.

    Args:
        found: From `doseresponse_runs.analyse_sweeps`.
        out: Folder to write; files of an earlier report there are replaced.
        curves: From `learning.read_curves`.
        step: Called once for each of `found.parts`.

    Raises:
        StoreError: `out` cannot be written.
    """
    records = [*found.records, *(record for one in curves for record in one.records)]
    return write_page(build_sweeps(found, curves=curves, step=step), records, out)


def build_sweeps(
    found: DoseAnalysis,
    *,
    curves: Sequence[Learning] = (),
    step: Step = lambda: None,
) -> Page:
    """Lays the report out: a section per sweep and probe, then the learning curves."""
    several = len({part.sweep.title for part in found.parts}) > 1
    names = [
        f"{part.probe}, {part.sweep.title}" if several else part.probe
        for part in found.parts
    ]
    sections = []
    for part, name, id in zip(found.parts, names, slugs(names), strict=True):
        sections.append(_section(part, name, f"doseresponse-{id}"))
        step()
    if curves:
        placebos = {
            arm for one in found.sweeps for arm in one.arms if one.is_placebo(arm)
        }
        sections.append(learning_section(in_order(curves, placebos)))
    sections.append(
        Section(
            id="checkpoints-section",
            title="Checkpoints",
            lead="What each checkpoint was trained on.",
            blocks=(checkpoint_table(found),),
        )
    )
    return Page(
        title=_title(found.sweeps),
        subtitle=" ".join(map(_sweep_words, found.sweeps)),
        overview=overview_table(found),
        warnings=(*run_warnings(found.runs), *found.notes),
        notes=run_notes(found.runs),
        findings=_summary(found, names),
        sections=tuple(sections),
        method=(*method(), *(each for one in sections for each in one.method)),
        caveats=(*caveats(), GENERAL_CAVEAT),
        provenance=tuple(provenance(run) for run in found.runs),
        generated=written_by(),
        kind="dose-response of training",
        downloads=DOWNLOADS,
    )


def _title(sweeps: Sequence[Sweep]) -> str:
    attributes = list(dict.fromkeys(one.attribute for one in sweeps))
    if len(attributes) == 1:
        return f"What a share of {attributes[0]} does"
    return f"What a share of training rows does, in {count_of(len(sweeps), 'sweep')}"


def _sweep_words(sweep: Sweep) -> str:
    """``language_sft, SFT: 18 checkpoints, shares 0%, 50% and 100%, 3 seeds, ...``."""
    seeds = {one.training.seed for one in sweep.checkpoints}
    arms = f", arms {join_words(sweep.arms)}" if len(sweep.arms) > 1 else ""
    base = "" if sweep.base is None else f", from {sweep.base}"
    count = count_of(len(sweep.checkpoints), "checkpoint")
    return (
        f"{sweep.title}: {count}{base}, shares {shares_words(sweep)}, "
        f"{count_of(len(seeds), 'seed')}{arms}."
    )


def _summary(found: DoseAnalysis, names: Sequence[str]) -> tuple[Finding, ...]:
    every = [
        (name, finding)
        for part, name in zip(found.parts, names, strict=True)
        for finding in part_findings(part)
    ]
    many = len(every) > MOST_FINDINGS
    if many:
        every = [
            (
                name,
                dataclasses.replace(finding, evidence=finding.evidence[:MOST_EVIDENCE]),
            )
            for part, name in zip(found.parts, names, strict=True)
            for place, measure in enumerate(part.measures)
            for finding in summary_findings(measure)
            if place == 0 or measure.mean or finding.certainty != "not shown"
        ]
    return tuple(
        dataclasses.replace(
            finding,
            claim=f"{name}: {finding.claim[:1].lower()}{finding.claim[1:]}",
        )
        for name, finding in every
    )


def _section(part: SweepProbe, title: str, id: str) -> Section:
    blocks: list[Block] = []
    names = slugs([measure.aligned.outcome.name for measure in part.measures])
    for measure, name in zip(part.measures, names, strict=True):
        prefix = f"{id}-{name}"
        blocks.append(dose_figure(measure, prefix))
        forest = slope_figure(measure, prefix)
        if forest is not None:
            blocks.append(forest)
        blocks += [slope_table(measure, prefix), level_table(measure, prefix)]
    gaps = gap_table(part, id)
    if gaps is not None:
        blocks.append(gaps)
    what = join_words([lower_title(measure) for measure in part.measures])
    return Section(
        id=id,
        title=title,
        lead=f"{sentence(part.runs[0].manifest.title)} {_sweep_words(part.sweep)} "
        f"Measured by {what}. {beyond_shares(part.sweep)}".strip(),
        findings=part_findings(part),
        blocks=tuple(blocks),
    )
