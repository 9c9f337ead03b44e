"""A run of the languages axis, in the form that every measure of it reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.languages_data import (
    Kind,
    choices,
    extractions,
    kind,
    language_names,
    scripts,
)
from analysis.load import Run
from analysis.resample import Floats
from probe.types import DataError

TESTED_QUESTIONS = 20
"""Fewest questions of a language that are tested."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How good each answer is, in one sense."""

    key: str
    """Metric of its records: `accuracy`, `f1` or `exact_match`."""
    values: Floats
    """Shape (P,): between 0 and 1; NaN: there is no answer."""
    binary: bool
    """Whether an answer is right or wrong."""
    chance: Floats | None
    """Shape (P,): what picking at random gives; None: there is no such level."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Shape (P,): the items with an answer."""
        return np.isfinite(self.values)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of a run, one of P items each."""

    run: Run
    label: str
    """The model's name, unique among the runs analysed together."""
    kind: Kind
    names: dict[str, str]
    """Language code -> name, unique; in the order of the items."""
    scripts: dict[str, str]
    """Language code -> script."""
    wanted_reference: str
    """Code of the language to compare with; the run may lack it."""
    frame: pd.DataFrame
    """As `languages_data.choices` or `languages_data.extractions` lays it out."""
    language: NDArray[np.intp]
    """Shape (P,): places among `languages`."""
    cluster: NDArray[np.intp]
    """Shape (P,): numbers of the passages or documents; items of one belong together,
    a passage's in all languages."""
    outcomes: tuple[Outcome, ...]
    """The headline first."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes, in the order of the items."""
        return tuple(self.names)

    @property
    def reference(self) -> str | None:
        """Code of the language that the others are compared with; None: not there."""
        wanted = self.wanted_reference
        return wanted if wanted in self.names else None

    @property
    def others(self) -> tuple[str, ...]:
        """The languages that are compared with the reference; none without one."""
        if self.reference is None:
            return ()
        return tuple(code for code in self.names if code != self.reference)

    @property
    def crossed(self) -> bool:
        """Whether every language has the same questions."""
        return self.kind == "choices"

    def of(self, code: str) -> NDArray[np.bool_]:
        """Shape (P,): the items of a language."""
        return np.asarray(self.language == self.languages.index(code))

    def number(self, column: str) -> Floats:
        """Shape (P,): a column of numbers of the frame."""
        return self.frame[column].to_numpy(dtype=np.float64)

    def name(self, code: str) -> str:
        """The name of a language; the code of one that the run lacks."""
        return self.names.get(code, code)


def read_answers(run: Run, label: str, reference: str) -> Answers:
    """Lays a run out by item.

    Args:
        run: A run that was read from its folder.
        label: What the report calls its model.
        reference: Code of the language to compare with.

    Raises:
        DataError: The run is of neither kind, has a question twice in one language, has
            no answer at all, or as `languages_data` says.
        StoreError: The run's items or scores cannot be read.
    """
    of = kind(run)
    if of is None:
        raise DataError(
            f"{run.path} has the columns {', '.join(run.frame.columns)}, and no "
            "reference answers in its items' meta",
            "A run of the languages axis has the columns language, correct and place, "
            "or the column language and references",
            "Name a run of belebele or tydiqa",
        )
    frame = choices(run) if of == "choices" else extractions(run)
    if of == "choices":
        _check_once(run, frame)
        right = frame["right"].to_numpy(dtype=np.float64)
        outcomes: tuple[Outcome, ...] = (
            Outcome(
                key="accuracy",
                values=right,
                binary=True,
                chance=1.0 / frame["n_candidates"].to_numpy(dtype=np.float64),
            ),
        )
    else:
        outcomes = tuple(
            Outcome(
                key=key,
                values=frame[column].to_numpy(dtype=np.float64),
                binary=column == "exact",
                chance=None,
            )
            for key, column in (("f1", "f1"), ("exact_match", "exact"))
        )
    if not outcomes[0].known.any():
        raise DataError(
            f"{run.path} has no item with "
            + ("a score for every letter" if of == "choices" else "a generation"),
            "Languages are compared by answers",
            "Run the rm-probe score command that began the run once more: it resumes",
        )
    names = _unique(language_names(run))
    return Answers(
        run=run,
        label=label,
        kind=of,
        names=names,
        scripts=scripts(run),
        wanted_reference=reference,
        frame=frame,
        language=pd.Index(list(names)).get_indexer(pd.Index(frame["language"])),
        cluster=np.asarray(pd.factorize(frame["cluster"])[0], dtype=np.intp),
        outcomes=outcomes,
    )


def _check_once(run: Run, frame: pd.DataFrame) -> None:
    twice = frame[frame.duplicated(["language", "question_id"])]
    if len(twice):
        first = twice.iloc[0]
        raise DataError(
            f"{run.path}: question {first['question_id']} stands twice in "
            f"{first['language']}",
            "Languages are compared on the same questions, by the column question_id",
            "Give the questions of one language different ids",
        )


def _unique(names: dict[str, str]) -> dict[str, str]:
    """The names, with the code behind one that several languages have."""
    often = pd.Series(list(names.values())).value_counts()
    return {
        code: name if often[name] == 1 else f"{name} ({code})"
        for code, name in names.items()
    }
