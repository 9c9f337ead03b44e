"""The report of `compare`: what each stage of training changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import prose
from analysis.html import (
    Block,
    Finding,
    Page,
    Section,
    Table,
    join_words,
    number_cell,
    slug,
    slugs,
    text_cell,
)
from analysis.part import Step
from analysis.report import (
    DOWNLOADS,
    GENERAL_CAVEAT,
    Report,
    provenance,
    resampling,
    run_notes,
    run_warnings,
    verified,
    write_page,
    written_by,
)
from analysis.resample import SEED
from analysis.stages import MeasureResult
from analysis.stages_figures import change_figure, level_figure
from analysis.stages_findings import comparison_findings, measure_findings
from analysis.stages_runs import SIDE_BY_SIDE, Compared, Comparison
from analysis.stages_tables import gap_table, group_table
from analysis.stages_words import beside_words, measure_title, stage_name, stage_word
from analysis.wording import count_of, sentence

MOST_FINDINGS = 9
"""Up to so many findings the summary holds them all; of more, those of each
comparison's first measure: the changes, and what else is shown."""
MOST_EVIDENCE = 3
"""Groups whose numbers a finding of such a summary has; its own section has more."""


def write_comparison(
    compared: Compared, out: Path, *, step: Step = lambda: None
) -> Report:
    """Writes index.html, report.md, summary.json, tables and figures.

    Args:
        compared: At least one comparison.
        out: Folder to write; files of an earlier report there are replaced.
        step: Called once a comparison.

    Raises:
        StoreError: `out` cannot be written.
    """
    return write_page(build_comparison(compared, step=step), compared.records, out)


def build_comparison(compared: Compared, *, step: Step = lambda: None) -> Page:
    """Lays the report out: a section per probe, of each its lineages."""
    lineages = list(dict.fromkeys(one.lineage.name for one in compared.comparisons))
    trained = [one for one in compared.comparisons if one.trained]
    return Page(
        title=_title(compared, lineages),
        subtitle=_subtitle(compared, lineages),
        overview=_overview(compared),
        warnings=(*run_warnings(compared.runs), *compared.notes),
        notes=run_notes(compared.runs),
        findings=_summary(compared, len(lineages) > 1),
        sections=tuple(_probe_section(group, step) for group in compared.of_probe()),
        method=(*prose.method("stages"), resampling(compared.draws, SEED)),
        caveats=(
            *((TRAINED,) if trained else ()),
            *((UNRELATED,) if len(trained) < len(compared.comparisons) else ()),
            *prose.caveats("stages"),
            GENERAL_CAVEAT,
        ),
        provenance=tuple(provenance(run) for run in compared.runs),
        generated=written_by(),
        kind="comparison of checkpoints",
        downloads=DOWNLOADS,
    )


def _title(compared: Compared, lineages: Sequence[str]) -> str:
    known = [name for name in lineages if name != SIDE_BY_SIDE]
    if not known:
        models = compared.comparisons[0].lineage.stages
        return f"{count_of(len(models), 'model')} side by side"
    if len(known) == 1:
        return f"What training changed: {known[0]}"
    return f"What training changed in {count_of(len(known), 'lineage')}"


def _subtitle(compared: Compared, lineages: Sequence[str]) -> str:
    stages = {
        one.lineage.name: one.lineage
        for one in sorted(compared.comparisons, key=lambda c: len(c.lineage.stages))
    }
    return " ".join(
        f"{name.capitalize() if name == SIDE_BY_SIDE else name}: "
        f"{', '.join(stage_name(stage) for stage in stages[name].stages)}."
        for name in lineages
    )


def _overview(compared: Compared) -> Table:
    rows, frame = [], []
    for one in compared.comparisons:
        for stage, run in zip(one.lineage.stages, one.runs, strict=True):
            first = one.measures[0]
            units = len(np.unique(first.aligned.unit))
            rows.append(
                (
                    text_cell(one.lineage.name),
                    text_cell(stage_name(stage)),
                    text_cell(run.probe),
                    text_cell(verified(run)),
                    number_cell(units, 0),
                    number_cell(len(first.groups), 0),
                )
            )
            frame.append(
                {
                    "lineage": one.lineage.name,
                    "role": stage.role,
                    "model": stage.model,
                    "run": run.name,
                    "probe": run.probe,
                    "verified": run.manifest.verified,
                    "units": units,
                    "groups": len(first.groups),
                    "status": run.manifest.status,
                }
            )
    return Table(
        id="runs",
        title="What was compared",
        note="Compared: questions, games or pairs that all stages have scored.",
        header=("Lineage", "Stage", "Probe", "Verified", "Compared", "Groups"),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
    )


def _summary(compared: Compared, several: bool) -> tuple[Finding, ...]:
    found = [
        (one, finding)
        for one in compared.comparisons
        for finding in comparison_findings(one)
    ]
    many = len(found) > MOST_FINDINGS
    if many:
        found = [
            (one, finding)
            for one in compared.comparisons
            for place, finding in enumerate(measure_findings(one, one.measures[0]))
            if place == 0 or finding.certainty == "supported"
        ]
    return tuple(
        dataclasses.replace(
            finding,
            claim=f"{one.probe}{f', {one.lineage.name}' if several else ''}: "
            f"{finding.claim[:1].lower()}{finding.claim[1:]}",
            evidence=_shortened(one, finding) if many else finding.evidence,
        )
        for one, finding in found
    )


def _shortened(one: Comparison, finding: Finding) -> tuple[str, ...]:
    """Some of a finding's evidence, and what must be read beside all of it."""
    kept = finding.evidence[:MOST_EVIDENCE]
    beside = beside_words(one.measures[0])
    left_out = beside in finding.evidence and beside not in kept
    return (*kept, beside) if left_out else kept


def _probe_section(comparisons: Sequence[Comparison], step: Step) -> Section:
    """The lineages that ran on one probe."""
    first = comparisons[0]
    id = f"stages-{slug(first.probe)}"
    about = f"{sentence(first.runs[0].manifest.title)} "
    if len(comparisons) == 1:
        section = _section(first, id, first.probe, levels=True)
        step()
        return dataclasses.replace(section, lead=about + section.lead)
    names = [one.lineage.name for one in comparisons]
    prefixes = [f"{id}-{name}" for name in slugs(names)]
    sections = []
    for one, prefix in zip(comparisons, prefixes, strict=True):
        section = _section(one, prefix, one.lineage.name, levels=False)
        sections.append(dataclasses.replace(section, folded=True))
        step()
    return Section(
        id=id,
        title=first.probe,
        lead=f"{about}{len(comparisons)} lineages: {join_words(names)}. First their "
        "levels side by side, then each lineage's changes and tests by itself.",
        blocks=tuple(
            level_figure(pairs, f"{id}-{slug(name)}")
            for name, pairs in _by_measure(comparisons).items()
        ),
        sections=tuple(sections),
    )


def _by_measure(
    comparisons: Sequence[Comparison],
) -> dict[str, list[tuple[Comparison, MeasureResult]]]:
    """Name and unit of a measure -> the lineages that have it."""
    found: dict[str, list[tuple[Comparison, MeasureResult]]] = {}
    for one in comparisons:
        for measure in one.measures:
            outcome = measure.aligned.outcome
            key = f"{outcome.name} {outcome.value_unit}"
            found.setdefault(key, []).append((one, measure))
    return found


def _section(one: Comparison, id: str, title: str, *, levels: bool) -> Section:
    """One lineage on one probe; `levels`: with the figure of levels."""
    blocks: list[Block] = []
    names = slugs([measure.aligned.outcome.name for measure in one.measures])
    for measure, name in zip(one.measures, names, strict=True):
        prefix = f"{id}-{name}"
        if levels:
            blocks.append(level_figure([(one, measure)], prefix))
        changes = change_figure(one, measure, prefix)
        if changes is not None:
            blocks.append(changes)
        blocks.append(group_table(one, measure, prefix))
    gaps = gap_table(one, id)
    if gaps is not None:
        blocks.append(gaps)
    return Section(
        id=id,
        title=title,
        lead=_lead(one),
        findings=comparison_findings(one),
        blocks=tuple(blocks),
    )


def _measured(one: Comparison, measure: MeasureResult) -> str:
    """What is measured, and of which stages where it is not all."""
    title = measure_title(measure)
    title = title[:1].lower() + title[1:]
    stages = [each.stage for each in measure.aligned.measured]
    if len(stages) == len(one.lineage.stages):
        return title
    return f"{title} (of {join_words([stage_word(stage) for stage in stages])} only)"


def _lead(one: Comparison) -> str:
    stages = [stage_name(stage) for stage in one.lineage.stages]
    what = join_words([_measured(one, measure) for measure in one.measures])
    if one.trained:
        return f"{join_words(stages)}, compared by {what}."
    return (
        f"{join_words(stages[1:])}, compared with {stages[0]} by {what}. Nothing says "
        "that one was made from another: differences are between models, and not made "
        "by training."
    )


TRAINED = (
    "A stage differs from the one before in all that its training did: data, prompt "
    "format and length of answers as much as preferences."
)
UNRELATED = (
    "Models side by side differ in more than their training stage: size, data, "
    "tokenizer. Their differences have no single cause."
)
