"""Runs -> a report: index.html, report.md, summary.json, tables/ and figures/."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import columns as col
from analysis.axes import AXES, has_section
from analysis.html import (
    Finding,
    Page,
    Paragraph,
    Provenance,
    Table,
    join_words,
    number,
    render_html,
    render_markdown,
)
from analysis.load import NOT_YET, Run
from analysis.part import AxisPart, RunPart, Wanted
from analysis.records import Record, dumps
from analysis.wording import count_of
from analysis.written import PAGES, SIGNATURE, try_folder, write_files
from probe import csvs
from probe.types import UsageError

_log = logging.getLogger(__name__)

SUMMARY_RUNS = 2
"""Up to so many runs the summary holds every finding of each; of more, the headline
of each. Every finding stands in the run's own section, but for a report of one run,
whose summary is just that."""

UNSCORED = 3
"""Up to so many reasons why pairs have no score stand there, the commonest."""

NOTES = 3
"""Up to so many notes stand at the top of the page; more stay in the manifest."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written."""

    paths: tuple[Path, ...]
    """Every file, `index.html` first."""
    records: tuple[Record, ...]
    """What ``summary.json`` holds."""

    @property
    def index(self) -> Path:
        """The page to open."""
        return self.paths[0]


STEPS_PER_RUN = 2
"""A run is analysed, then drawn; see `step` of `write_report`."""


def write_report(
    runs: Sequence[Run],
    out: Path,
    wanted: Wanted,
    *,
    title: str | None = None,
    step: Callable[[], object] = lambda: None,
) -> Report:
    """Analyses runs and writes their report.

    Args:
        runs: From `load.load_runs`, of one or more probes and models.
        out: Folder to write; files of an earlier report there are replaced.
        wanted: What to compare with.
        title: Of the report; None: named after the models.
        step: Called `STEPS_PER_RUN` times for each run, for a progress bar.

    Returns:
        The files written and the records behind them.

    Raises:
        UsageError: No run that a report has a section for.
        StoreError: `out` cannot be written.
        DataError: A run has too little to analyse.
    """
    try_folder(out)
    parts = _analyse(runs, wanted, step)
    page = build_page(runs, parts, title=title)
    records = [record for part in parts for record in part.records]
    return write_page(page, records, out)


def write_page(page: Page, records: Sequence[Record], out: Path) -> Report:
    """Writes a page with its tables, figures and records.

    Raises:
        StoreError: `out` cannot be written.
    """
    paths = write_files(out, _files(page, records))
    return Report(paths=tuple(paths), records=tuple(records))


def _analyse(
    runs: Sequence[Run], wanted: Wanted, step: Callable[[], object]
) -> list[AxisPart]:
    """The part of each axis that has runs."""
    for run in runs:
        if not has_section(run):
            _log.warning("%s: no section for %s", run.name, _kind_of_items(run))
    parts = []
    for axis, analyse in AXES.items():
        here = [run for run in runs if run.manifest.axis == axis and has_section(run)]
        if here:
            parts.append(analyse(here, wanted, step))
    if not parts:
        raise UsageError(
            f"none of the {len(runs)} runs can be reported: they are of "
            f"{join_words(sorted({_kind_of_items(run) for run in runs}))}",
            f"A report has sections for runs of the axes {join_words(list(AXES))}, of "
            "the last if they are pairs of a chosen and a rejected answer",
            "Name a run of a probe such as askreddit or global_opinions",
        )
    return parts


def _kind_of_items(run: Run) -> str:
    axis = run.manifest.axis
    needed = {"preferences": "role", "languages": "language"}.get(axis)
    return f"axis {axis}" + (f", without the column {needed}" if needed else "")


def build_page(
    runs: Sequence[Run], parts: Sequence[AxisPart], *, title: str | None
) -> Page:
    """Lays the report out: what was audited, the summary, a section per axis.

    Args:
        runs: Every run given, reported or not.
        parts: The axes.
        title: Of the report; None: named after the models.
    """
    models = list(dict.fromkeys(run.model for run in runs))
    sections = tuple(part.section for part in parts)
    if sum(len(part.runs) for part in parts) == 1:
        sections = (dataclasses.replace(sections[0], findings=()),)
    named = title or (
        f"What {join_words(models)} favours"
        if len(models) == 1
        else f"What {len(models)} models favour"
    )
    return Page(
        title=named,
        subtitle=" ".join(f"{part.subject}." for part in parts),
        overview=_overview(runs, parts),
        warnings=(*run_warnings(runs), *_without_section(runs)),
        notes=run_notes(runs),
        findings=_summary(parts),
        sections=sections,
        method=(
            *(paragraph for part in parts for paragraph in part.section.method),
            resampling(parts[0].draws, parts[0].seed),
        ),
        caveats=(
            *(caveat for part in parts for caveat in part.section.caveats),
            GENERAL_CAVEAT,
        ),
        provenance=tuple(provenance(run) for run in runs),
        generated=f"{written_by()} Country outlines: Natural Earth "
        "1:110m, public domain, by way of world-atlas 2.0.2.",
        downloads=DOWNLOADS,
    )


DOWNLOADS = (
    ("report.md", "report.md"),
    ("summary.json", "summary.json"),
    ("tables/", "tables/"),
    ("figures/", "figures/"),
)
"""What `write_page` puts beside the page: label, path."""


def written_by() -> str:
    """The program and its version, for a footer."""
    return f"{SIGNATURE} {importlib.metadata.version('rm-probe')}."


GENERAL_CAVEAT = (
    "A model marked not verified has a field in its config that could not be checked "
    "against a run of the published code: its scores may differ from its authors'."
)


def _model_kind(run: Run) -> str:
    if run.manifest.kind == "imported":
        return "imported scores"
    return run.manifest.model_kind.replace("_", " ")


def verified(run: Run) -> str:
    """Whether a run's config was checked against the published code, in a word."""
    return {True: "yes", False: "no", None: "not applicable"}[run.manifest.verified]


def _overview(runs: Sequence[Run], parts: Sequence[AxisPart]) -> Table:
    known = {run.path: run for part in parts for run in part.runs}
    rows = [(run, known.get(run.path)) for run in runs]
    frame = [
        {
            "run": run.name,
            "model": run.model,
            "probe": run.probe,
            "kind": run.manifest.kind,
            "model_kind": run.manifest.model_kind,
            "verified": run.manifest.verified,
            "measure": run.measure.value,
            "items": found and found.items,
            "groups": found and found.groups,
            "status": run.manifest.status,
        }
        for run, found in rows
    ]
    return col.table(
        id="runs",
        title="What was audited",
        note="",
        columns=(
            col.text("Model", lambda row: row[0].model),
            col.text("Probe", lambda row: row[0].probe),
            col.text("Kind", lambda row: _model_kind(row[0])),
            col.text("Verified", lambda row: verified(row[0])),
            col.count("Items", lambda row: row[1] and row[1].items),
            col.count("Groups", lambda row: row[1] and row[1].groups),
            col.text("Headline", lambda row: row[1] and row[1].headline_name),
            *col.estimate("Estimate", lambda row: row[1] and row[1].headline),
        ),
        rows=rows,
        frame=pd.DataFrame(frame),
    )


def run_warnings(runs: Sequence[Run]) -> tuple[str, ...]:
    """What must be known of the runs before the first number."""
    found = []
    unverified = dict.fromkeys(r.model for r in runs if r.manifest.verified is False)
    if unverified:
        found.append(
            f"Not verified: {join_words(list(unverified))}. Some field of the config "
            "could not be checked against a run of the published code."
        )
    ours = [run for run in runs if run.manifest.kind == "scored"]
    found += [f"{run.name}: {note}." for run in ours for note in run.manifest.notes]
    limits: dict[int, list[Run]] = {}
    for run in runs:
        if run.manifest.limit is not None:
            limits.setdefault(run.manifest.limit, []).append(run)
    found += [
        f"Samples (--limit {limit}), and not whole probes: "
        f"{join_words(_names_of(sampled, runs))}."
        for limit, sampled in limits.items()
    ]
    left_out: dict[tuple[str, str], list[Run]] = {}
    cut: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.manifest.dropped:
            text = _dropped(run.manifest.dropped)
            left_out.setdefault((run.probe, text), []).append(run)
    for run in runs:
        manifest = run.manifest
        if manifest.status != "complete":
            counts = manifest.counts
            found.append(
                f"{run.name} is not finished ({manifest.status}): "
                f"{number(counts.done, 0)} of {number(counts.expected, 0)} pairs are "
                "scored."
            )
        if run.near:
            found.append(
                f"{run.name}: {count_of(len(run.near), 'pair')} are near duplicates, "
                "as of one template, and count as "
                f"{count_of(len(set(run.near.values())), 'cluster')}."
            )
        if unscored := _unscored(run):
            found.append(f"{run.name}: {unscored}.")
        if manifest.counts.truncated:
            text = (
                f"{number(manifest.counts.truncated, 0)} of "
                f"{number(manifest.counts.done, 0)} texts were cut to fit the model"
            )
            cut.setdefault((run.probe, text), []).append(run)
    for (_, text), of_probe in cut.items():
        found.append(f"{join_words(_names_of(of_probe, runs))}: {text}.")
    for (_, text), of_probe in left_out.items():
        names = _names_of(of_probe, runs)
        verb = "leaves" if len(names) == 1 else "leave"
        found.append(f"{join_words(names)} {verb} out {text}.")
    return tuple(found)


def _unscored(run: Run) -> str | None:
    """How many pairs have no score, and why; None: what was asked for has one."""
    errors = run.frame.loc[run.frame["score"].isna(), "error"]
    counts = errors[errors != NOT_YET].value_counts()
    if counts.empty:
        return None
    return (
        f"{number(counts.sum(), 0)} of {number(len(run.frame), 0)} pairs without a "
        f"score: {_dropped(dict(counts.head(UNSCORED)))}"
    )


def _names_of(some: Sequence[Run], runs: Sequence[Run]) -> list[str]:
    """Names of some runs; of a probe all of whose runs are among them, the probe's."""
    names = []
    for run in some:
        others = [one for one in runs if one.probe == run.probe]
        whole = len(others) > 1 and all(one in some for one in others)
        names.append(run.probe if whole else run.name)
    return list(dict.fromkeys(names))


def _without_section(runs: Sequence[Run]) -> tuple[str, ...]:
    return tuple(
        f"{run.name}: this report has no section for {_kind_of_items(run)}."
        for run in runs
        if not has_section(run)
    )


def _dropped(counts: Mapping[str, int]) -> str:
    return join_words([f"{number(n, 0)} ({why})" for why, n in counts.items()])


def run_notes(runs: Sequence[Run]) -> tuple[str, ...]:
    """Where the scores come from; of many runs, where to read that."""
    others = [run for run in runs if run.manifest.kind == "imported"]
    notes = [f"{run.name}: {note}." for run in others for note in run.manifest.notes]
    if len(notes) > NOTES:
        return ("Where the scores of each run come from stands in the manifest below.",)
    return tuple(notes)


def _summary(parts: Sequence[AxisPart]) -> tuple[Finding, ...]:
    """The findings at the top: all of them for few runs, the headlines of many."""
    runs = [run for part in parts for run in part.runs]
    if len(runs) == 1:
        return runs[0].findings
    found = [finding for part in parts for finding in part.across]
    several = len({run.probe for run in runs}) > 1
    for run in runs:
        few = len(runs) <= SUMMARY_RUNS
        found += [
            _said_of(run, finding, several)
            for finding in (run.findings if few else (run.short,))
        ]
    return tuple(found)


def _said_of(run: RunPart, finding: Finding, several_probes: bool) -> Finding:
    """The finding with the probe and the model in front, where that is not clear."""
    lead = [run.probe] if several_probes else []
    if run.label not in finding.claim:
        lead.append(run.label)
    claim = f"{', '.join(lead)}: {finding.claim}" if lead else finding.claim
    return dataclasses.replace(finding, claim=claim)


def resampling(draws: int, seed: int) -> Paragraph:
    """How intervals came about, for the account of the method."""
    return Paragraph(
        head="Resampling",
        text="Intervals are percentile bootstrap intervals of "
        f"{number(draws, 0)} draws with seed {seed} where nothing "
        "else is said; the record of every number in summary.json names its method, n "
        "and clusters.",
    )


def provenance(run: Run) -> Provenance:
    """The manifest of a run, to be read by people."""
    manifest = run.manifest
    counts = manifest.counts
    rows = [
        ("Run", run.name),
        ("Probe", f"{run.probe} ({manifest.title})"),
        ("Measures", join_words(manifest.measures)),
        ("Kind", f"{manifest.kind}, {manifest.model_kind}"),
        ("Verified", verified(run)),
        ("Fingerprint", manifest.fingerprint),
        ("Status", manifest.status),
        (
            "Pairs",
            f"{number(counts.done, 0)} of {number(counts.expected, 0)} done, "
            f"{number(counts.unscored, 0)} unscored, {number(counts.truncated, 0)} "
            "truncated",
        ),
        ("Device", f"{manifest.device or 'unknown'}, {manifest.dtype or 'unknown'}"),
        ("Wall time", f"{number(manifest.wall_seconds, 1)} s"),
        ("Started", manifest.started or "unknown"),
        ("Finished", manifest.finished or "unknown"),
        ("Command", " ".join(manifest.argv) or "unknown"),
        *(("Note", note) for note in manifest.notes),
    ]
    whole = json.dumps(
        dataclasses.asdict(manifest), indent=2, ensure_ascii=False, default=str
    )
    return Provenance(title=f"{run.model} on {run.probe}", rows=tuple(rows), json=whole)


def _files(page: Page, records: Sequence[Record]) -> dict[str, bytes]:
    """Path below the report's folder -> content; `index.html` first."""
    files = dict(
        zip(
            PAGES,
            (
                render_html(page).encode(),
                render_markdown(page).encode(),
                dumps(records).encode(),
            ),
            strict=True,
        )
    )
    for table in page.tables():
        text = csvs.text_of_frame(table.frame)
        files[f"tables/{table.id}.csv"] = text.encode()
    for figure in page.figures():
        for panel in figure.panels:
            files[f"figures/{panel.name}.svg"] = panel.svg.encode()
            files[f"figures/{panel.name}.png"] = panel.png
    return files
