"""Dialects of English: which runs are read by which analysis, as one axis.

Three kinds of run hold dialects against each other: games played by speakers of each
(MD3: different content), the same content written in each (pairs), and single features
in minimal pairs. They are told apart by their columns, so that a user's own items are
read like the shipped ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from analysis.dialects_features import features_part
from analysis.dialects_md3 import md3_part
from analysis.dialects_pairs import pairs_part
from analysis.html import join_words, slugs
from analysis.load import Run
from analysis.outcome import Outcome
from analysis.outcomes_dialects import (
    feature_outcomes,
    game_outcomes,
    pair_outcomes,
)
from analysis.part import (
    AxisPart,
    ProbePart,
    Step,
    Wanted,
    axis_part,
    by_probe,
    names_of,
)
from probe.types import DataError, UsageError


class Analyse(Protocol):
    """Analyses the runs of one probe and lays them out."""

    def __call__(
        self, runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
    ) -> ProbePart:
        """Analyses and lays out.

        Args:
            runs: Runs of one probe version, read from their folders.
            wanted: What to compare with, as far as it is read.
            id: Of the section; prefix of the ids and files below it.
            title: Of the section.
            step: Called twice a run, for a progress bar.
        """


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of run."""

    columns: frozenset[str]
    """Group columns that it is known by."""
    analyse: Analyse
    outcomes: Callable[[Run, Wanted], tuple[Outcome, ...]]
    """What stages are compared by."""


KINDS = (
    Kind(
        columns=frozenset({"correct", "dialect"}),
        analyse=md3_part,
        outcomes=game_outcomes,
    ),
    Kind(
        columns=frozenset({"role", "dialect"}),
        analyse=pairs_part,
        outcomes=pair_outcomes,
    ),
    Kind(
        columns=frozenset({"feature", "variant"}),
        analyse=features_part,
        outcomes=feature_outcomes,
    ),
)
"""In the order of a report."""


def dialects_part(runs: Sequence[Run], wanted: Wanted, step: Step) -> AxisPart:
    """The dialect axis: a section for each probe.

    Raises:
        DataError: A run has the columns of no kind, or too little to analyse.
        UsageError: The reference dialect that is wanted is in no run.
    """
    check_reference(runs, wanted.reference_dialect)
    groups = sorted(by_probe(runs), key=lambda group: KINDS.index(_kind(group[0])))
    names = names_of(groups)
    several = len(groups) > 1
    parts = []
    for group, name, place in zip(groups, names, slugs(names), strict=True):
        title = group[0].manifest.title
        parts.append(
            _kind(group[0]).analyse(
                group,
                _for_probe(group, wanted),
                id=f"dialects-{place}",
                title=f"{name}: {title}" if several else "Dialects",
                step=step,
            )
        )
    return axis_part(parts, names, "dialects", "Dialects")


def dialect_outcomes(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """What stages are compared by, of a run of the dialect axis.

    Raises:
        DataError: As `dialects_part`.
    """
    return _kind(run).outcomes(run, _for_probe([run], wanted))


def _dialects(runs: Sequence[Run]) -> set[str]:
    found: set[str] = set()
    for run in runs:
        if "dialect" in run.frame.columns:
            found |= set(run.frame["dialect"].dropna().unique())
    return found


def check_reference(runs: Sequence[Run], reference: str | None) -> None:
    """Checks that the dialect that is to be the reference is in some run.

    Raises:
        UsageError: It is in none.
    """
    known = sorted(_dialects(runs))
    if reference is not None and reference not in known:
        raise UsageError(
            f"--reference-dialect {reference} is in none of the {len(runs)} runs",
            f"Their dialects are {join_words(known) or 'not named'}",
            "Name one of these, or leave it away",
        )


def _for_probe(runs: Sequence[Run], wanted: Wanted) -> Wanted:
    """Each probe has its own dialects: one that lacks the reference keeps its own."""
    if wanted.reference_dialect in _dialects(runs):
        return wanted
    return dataclasses.replace(wanted, reference_dialect=None)


def _kind(run: Run) -> Kind:
    columns = set(run.frame.columns)
    for kind in KINDS:
        if kind.columns <= columns:
            return kind
    raise DataError(
        f"{run.path} has the columns {', '.join(run.manifest.item_columns)} of items "
        f"and {', '.join(run.manifest.candidate_columns)} of candidates",
        "A run of the dialect axis has one of the pairs of columns "
        + "; ".join(" and ".join(sorted(kind.columns)) for kind in KINDS),
        "Name a run of md3, dialect_pairs or dialect_features",
    )
