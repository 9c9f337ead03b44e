"""What an axis of an audit, or a probe of it, gives to a report: one form for all.

An axis analyses its runs and returns an `AxisPart`; the report lays the parts out and
knows nothing of ranks, surveys or dialects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from analysis.html import Block, Finding, Paragraph, Section, join_words, slugs
from analysis.load import Run
from analysis.opinions import Normalisation
from analysis.ranks import Ties
from analysis.records import Record
from analysis.resample import DRAWS, SEED
from analysis.similarity import Base
from data_builders.country_opinions import Poll

Step = Callable[[], object]
"""Called after each run is analysed and after it is drawn, for a progress bar."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user asked of a report, for whichever axis reads it."""

    polls: Sequence[Poll]
    """Opinion polls to compare country rankings with."""
    reference: str = "USA"
    """ISO3 of the country that others are compared with."""
    ties: Ties = "average"
    """What countries with equal scores in a question share."""
    base: Base = 2
    """Logarithm of the Jensen-Shannon distance between answers."""
    normalisation: Normalisation = "sum"
    """What of a policy's options the softmax is taken of."""
    common: Sequence[str] | None = None
    """Countries whose common survey questions are compared; None: chosen from what
    was asked where."""
    reference_dialect: str | None = None
    """Dialect that others are compared with; None: what each run declares."""
    reference_language: str = "eng_Latn"
    """Code of the language that others are compared with, where a run has it."""


@dataclass(frozen=True, kw_only=True)
class RunPart:
    """One run in the report's summary and overview."""

    path: Path
    label: str
    """The model's name, unique within the axis's runs of one probe."""
    probe: str
    items: int
    """What was read: questions, rows, games or frames."""
    groups: int
    """What is compared: countries, dialects, features or subsets."""
    findings: tuple[Finding, ...]
    """Everything found, the headline first."""
    short: Finding
    """The same in one finding, for a report of many runs."""
    headline: Record | None
    """The number that one line about the run quotes; None: there is none."""
    headline_name: str
    """What that number is."""


@dataclass(frozen=True, kw_only=True)
class ProbePart:
    """The runs of one probe."""

    section: Section
    runs: tuple[RunPart, ...]
    across: tuple[Finding, ...]
    """What several runs have in common."""
    records: tuple[Record, ...]
    subject: str
    """What was looked at, as a sentence without its full stop."""


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


class Labelled(Protocol):
    """An analysed run."""

    @property
    def label(self) -> str:
        """The model's name, unique within the runs."""


Described = TypeVar("Described", bound=Labelled)


def models_section(
    runs: Sequence[Described],
    *,
    lead: Callable[[Described], str],
    findings: Callable[[Described], tuple[Finding, ...]],
    blocks: Callable[[Described, str], Iterable[Block | None]],
    id: str,
    title: str,
    did: str,
    across: Callable[[], Sequence[Block | None]],
    method: Sequence[Paragraph],
    caveats: Sequence[str],
    step: Step,
    sections: Callable[[Described, str], tuple[Section, ...]] = lambda run, prefix: (),
) -> Section:
    """The runs of one probe: what they have in common, then each, folded.

    Args:
        runs: The analysed runs, one a model.
        lead: A run's first paragraph.
        findings: What was found of a run.
        blocks: A run's figures and tables, of the run and the prefix of their ids; None
            is left out.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section; a run among several is titled by its label.
        did: What the models did, such as `scored the same texts`.
        across: Makes what stands above several runs; None is left out.
        method: For the report's account of the method.
        caveats: For the report's caveats.
        step: Called once a run.
        sections: Below a run, of the run and the prefix of their ids.
    """
    several = len(runs) > 1
    names = [run.label for run in runs]
    prefixes = [f"{id}-{name}" for name in slugs(names)] if several else [id]
    made = []
    for run, prefix in zip(runs, prefixes, strict=True):
        made.append(
            Section(
                id=prefix,
                title=run.label,
                lead=lead(run),
                findings=findings(run),
                blocks=tuple(one for one in blocks(run, prefix) if one is not None),
                sections=sections(run, prefix),
            )
        )
        step()
    if not several:
        return dataclasses.replace(
            made[0], title=title, method=tuple(method), caveats=tuple(caveats)
        )
    return Section(
        id=id,
        title=title,
        lead=f"{len(runs)} models {did}: {join_words(names)}. First what they have in "
        "common, then each model by itself.",
        blocks=tuple(block for block in across() if block is not None),
        sections=tuple(dataclasses.replace(one, folded=True) for one in made),
        method=tuple(method),
        caveats=tuple(caveats),
    )


def joined(
    sections: Sequence[Section],
    id: str,
    title: str,
    lead: str,
    short: Sequence[str] | None = None,
) -> Section:
    """One section of an axis; several stand below one heading.

    Args:
        sections: The probes' own, or their versions'.
        id: Of the heading, where there are several.
        title: The heading.
        lead: Below it.
        short: What the list of contents calls each; None: as each says itself.

    Returns:
        The only section as it is, or all below one, whose account of the method and
        caveats holds those of each, once.
    """
    if len(sections) == 1:
        return sections[0]
    names = short or [section.short for section in sections]
    return Section(
        id=id,
        title=title,
        lead=lead,
        sections=tuple(
            dataclasses.replace(section, short=name)
            for section, name in zip(sections, names, strict=True)
        ),
        method=tuple(dict.fromkeys(m for one in sections for m in one.method)),
        caveats=tuple(dict.fromkeys(c for one in sections for c in one.caveats)),
    )


def axis_part(
    parts: Sequence[ProbePart], names: Sequence[str], id: str, title: str
) -> AxisPart:
    """The parts of an axis's probes below one heading.

    Args:
        parts: One per probe, at least one.
        names: What the list of contents calls each.
        id: Of the section.
        title: Of the section.
    """
    section = joined(
        [part.section for part in parts],
        id,
        title,
        f"{len(parts)} sets of items: {join_words(list(names))}.",
        short=names,
    )
    return AxisPart(
        section=section,
        runs=tuple(run for part in parts for run in part.runs),
        across=tuple(finding for part in parts for finding in part.across),
        records=tuple(record for part in parts for record in part.records),
        draws=DRAWS,
        seed=SEED,
        subject=". ".join(part.subject for part in parts),
    )


def names_of(groups: Sequence[Sequence[Run]]) -> list[str]:
    """The probe of each group of runs, with its version where versions are mixed."""
    names = [group[0].manifest.probe for group in groups]
    return [
        group[0].probe if names.count(name) > 1 else name
        for group, name in zip(groups, names, strict=True)
    ]


def by_probe(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs grouped by probe and version, in the order of the runs."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.probe, []).append(run)
    return list(groups.values())
