"""Each axis of an audit: its analysis, in the form that a report lays out.

A new axis is one more function in `AXES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from analysis import findings, opinions_findings
from analysis.countries_axis import CountryAnalysis, analyse_countries
from analysis.countries_report import country_section
from analysis.dialects import dialects_part
from analysis.html import join_words, slugs
from analysis.languages import languages_part
from analysis.load import Run
from analysis.opinions import OpinionAnalysis, analyse_opinions
from analysis.opinions_report import opinions_section
from analysis.part import (
    AxisPart,
    RunPart,
    Step,
    Wanted,
    axis_part,
    by_probe,
    joined,
    names_of,
)
from analysis.preferences_report import preferences_part


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
    section = joined(
        sections,
        "countries",
        "Countries",
        f"{len(analyses)} sets of questions: {join_words(names)}.",
    )
    several = len(analyses) > 1
    runs = []
    for analysis, name in zip(analyses, names, strict=True):
        for run in analysis.runs:
            poll = findings.main_poll(run)
            runs.append(
                RunPart(
                    path=run.run.path,
                    label=run.label,
                    probe=name,
                    items=run.counts.questions,
                    groups=len(run.ranks),
                    findings=findings.run_findings(run),
                    short=findings.headline_finding(run),
                    headline=None if poll is None else poll.headline,
                    headline_name=""
                    if poll is None
                    else f"agreement with {findings.poll_title(poll)} (rho)",
                )
            )
    most = max(run.groups for run in runs)
    asked = sum(analysis.runs[0].counts.questions for analysis in analyses)
    return AxisPart(
        section=section,
        runs=tuple(runs),
        across=tuple(
            dataclasses.replace(one, claim=f"{name}: {one.claim}") if several else one
            for analysis, name in zip(analyses, names, strict=True)
            for one in findings.across_findings(analysis)
        ),
        records=tuple(record for one in analyses for record in one.records),
        draws=analyses[0].draws,
        seed=analyses[0].seed,
        subject=f"Which of {findings.countries(most)} scores high in the same answer "
        f"to {findings.questions(asked)}, read against polls, answer length and chance",
    )


def _countries(runs: Sequence[Run], wanted: Wanted, step: Step) -> AxisPart:
    analyses = [
        analyse_countries(
            group,
            wanted.polls,
            reference=wanted.reference,
            ties=wanted.ties,
            step=step,
        )
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
    section = joined(
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
            items=run.counts.questions,
            groups=run.counts.countries,
            findings=opinions_findings.run_findings(run),
            short=opinions_findings.headline_finding(run),
            headline=opinions_findings.headline(run),
            headline_name=opinions_findings.headline_name(run),
        )
        for analysis in analyses
        for run in analysis.runs
    )
    asked = max(run.items for run in runs)
    most = max(run.groups for run in runs)
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


def _preferences(runs: Sequence[Run], wanted: Wanted, step: Step) -> AxisPart:
    groups = by_probe(runs)
    names = names_of(groups)
    parts = [
        preferences_part(
            group,
            wanted,
            id=f"preferences-{place}",
            title=f"{name}: {group[0].manifest.title}"
            if len(groups) > 1
            else "Preferences",
            step=step,
        )
        for group, name, place in zip(groups, names, slugs(names), strict=True)
    ]
    return axis_part(parts, names, "preferences", "Preferences")


AXES: Mapping[str, Callable[[Sequence[Run], Wanted, Step], AxisPart]] = (
    MappingProxyType(
        {
            "countries": _countries,
            "opinions": _opinions,
            "dialects": dialects_part,
            "languages": languages_part,
            "preferences": _preferences,
        }
    )
)
"""Axis of a probe -> its analysis and section; in the order of a report."""


def has_section(run: Run) -> bool:
    """Whether a report can show a run: its axis is known, and its items fit it.

    A user's items without pairs of answers are scored on the preferences axis and
    have no analysis of their own.
    """
    axis = run.manifest.axis
    if axis == "preferences":
        return "role" in run.frame.columns
    if axis == "languages":
        return "language" in run.frame.columns
    return axis in AXES
