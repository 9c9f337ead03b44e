"""What each axis of an audit gives to a report, in one form.

An axis analyses its runs and returns an `AxisPart`; the report lays the parts out and
knows nothing of ranks or surveys. A new axis is one more function in `AXES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from analysis import findings, opinions_findings
from analysis.countries_axis import CountryAnalysis, analyse_countries
from analysis.countries_report import country_section
from analysis.html import Finding, Section, join_words, slugs
from analysis.load import Run
from analysis.opinions import Normalisation, OpinionAnalysis, analyse_opinions
from analysis.opinions_report import opinions_section
from analysis.records import Record
from analysis.similarity import Base
from data_builders.country_opinions import Poll


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user asked of a report, for whichever axis reads it."""

    polls: Sequence[Poll]
    """Opinion polls to compare country rankings with."""
    reference: str = "USA"
    """ISO3 of the country that others are compared with."""
    base: Base = 2
    """Logarithm of the Jensen-Shannon distance between answers."""
    normalisation: Normalisation = "sum"
    """What of a policy's options the softmax is taken of."""
    common: Sequence[str] | None = None
    """Countries whose common survey questions are compared; None: chosen from what
    was asked where."""


@dataclass(frozen=True, kw_only=True)
class RunPart:
    """One run in the report's summary and overview."""

    path: Path
    label: str
    """The model's name, unique within the axis's runs of one probe."""
    probe: str
    questions: int
    countries: int
    findings: tuple[Finding, ...]
    """Everything found, the headline first."""
    short: Finding
    """The same in one finding, for a report of many runs."""
    headline: Record | None
    """The number that one line about the run quotes; None: there is none."""
    headline_name: str
    """What that number is."""


@dataclass(frozen=True, kw_only=True)
class AxisPart:
    """One axis of a report."""

    section: Section
    runs: tuple[RunPart, ...]
    across: tuple[Finding, ...]
    """What several runs have in common."""
    records: tuple[Record, ...]
    draws: int
    """Bootstrap draws behind the intervals."""
    seed: int
    subject: str
    """What the axis looked at, as a sentence without its full stop."""


Step = Callable[[], object]


def _joined(sections: Sequence[Section], id: str, title: str, lead: str) -> Section:
    """One section of an axis; several stand below one heading, by their short names."""
    if len(sections) == 1:
        return sections[0]
    return Section(
        id=id,
        title=title,
        lead=lead,
        sections=tuple(sections),
        method=sections[0].method,
        caveats=sections[0].caveats,
    )


def country_part(analyses: Sequence[CountryAnalysis], step: Step) -> AxisPart:
    """Country probes: one subsection per probe where there are several."""
    names = [analysis.runs[0].run.manifest.probe for analysis in analyses]
    several = len(analyses) > 1
    sections = [
        dataclasses.replace(
            country_section(
                analysis,
                id=f"countries-{place}",
                title=f"{name}: {analysis.runs[0].run.manifest.title}"
                if several
                else "Countries",
                step=step,
            ),
            short=name if several else "",
        )
        for analysis, name, place in zip(analyses, names, slugs(names), strict=True)
    ]
    section = _joined(
        sections,
        "countries",
        "Countries",
        f"{len(analyses)} sets of questions: {join_words(names)}.",
    )
    runs = []
    for analysis, name in zip(analyses, names, strict=True):
        for run in analysis.runs:
            poll = findings.main_poll(run)
            runs.append(
                RunPart(
                    path=run.run.path,
                    label=run.label,
                    probe=name,
                    questions=run.counts.questions,
                    countries=len(run.ranks),
                    findings=findings.run_findings(run),
                    short=findings.headline_finding(run),
                    headline=None if poll is None else poll.headline,
                    headline_name=""
                    if poll is None
                    else f"agreement with {findings.poll_title(poll)} (rho)",
                )
            )
    most = max(run.countries for run in runs)
    asked = sum(analysis.runs[0].counts.questions for analysis in analyses)
    return AxisPart(
        section=section,
        runs=tuple(runs),
        across=tuple(f for one in analyses for f in findings.across_findings(one)),
        records=tuple(record for one in analyses for record in one.records),
        draws=analyses[0].draws,
        seed=analyses[0].seed,
        subject=f"Which of {findings.countries(most)} scores high in the same answer "
        f"to {findings.questions(asked)}, read against polls, answer length and chance",
    )


def _countries(runs: Sequence[Run], wanted: Wanted, step: Step) -> AxisPart:
    analyses = [
        analyse_countries(group, wanted.polls, reference=wanted.reference, step=step)
        for group in by_probe(runs)
    ]
    return country_part(analyses, step)


def opinion_part(analyses: Sequence[OpinionAnalysis], step: Step) -> AxisPart:
    """Survey probes; several only where versions are mixed on purpose."""
    versions = [analysis.runs[0].run.probe for analysis in analyses]
    several = len(analyses) > 1
    sections = [
        opinions_section(
            analysis,
            id=f"opinions-{place}" if several else "opinions",
            title=f"Opinions: {version}" if several else "Opinions",
            step=step,
        )
        for analysis, version, place in zip(
            analyses, versions, slugs(versions), strict=True
        )
    ]
    section = _joined(
        sections,
        "opinions",
        "Opinions",
        f"{len(analyses)} versions of the questions: {join_words(versions)}.",
    )
    runs = tuple(
        RunPart(
            path=run.run.path,
            label=run.label,
            probe=run.run.manifest.probe,
            questions=run.counts.questions,
            countries=run.counts.countries,
            findings=opinions_findings.run_findings(run),
            short=opinions_findings.headline_finding(run),
            headline=opinions_findings.headline(run),
            headline_name=opinions_findings.headline_name(run),
        )
        for analysis in analyses
        for run in analysis.runs
    )
    asked = max(run.questions for run in runs)
    most = max(run.countries for run in runs)
    return AxisPart(
        section=section,
        runs=runs,
        across=tuple(
            f for one in analyses for f in opinions_findings.across_findings(one)
        ),
        records=tuple(record for one in analyses for record in one.records),
        draws=analyses[0].draws,
        seed=analyses[0].seed,
        subject=f"How close answers to {findings.questions(asked)} of surveys come to "
        f"those of people in {findings.countries(most)}",
    )


def _opinions(runs: Sequence[Run], wanted: Wanted, step: Step) -> AxisPart:
    analyses = [
        analyse_opinions(
            group,
            reference=wanted.reference,
            base=wanted.base,
            normalisation=wanted.normalisation,
            common=wanted.common,
            step=step,
        )
        for group in by_probe(runs)
    ]
    return opinion_part(analyses, step)


AXES: Mapping[str, Callable[[Sequence[Run], Wanted, Step], AxisPart]] = (
    MappingProxyType({"countries": _countries, "opinions": _opinions})
)
"""Axis of a probe -> its analysis and section; in the order of a report."""


def by_probe(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs grouped by probe and version, in the order of the runs."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.probe, []).append(run)
    return list(groups.values())
