"""Steering: does asking for a country's perspective move answers towards its people's?

Estimand: the mean change, over questions, of the similarity to a public's answers when
the same question is asked from a persona's perspective. Unit of analysis and cluster:
a question that was answered with and without the persona; the comparison is paired by
question and by bootstrap draw. A persona is asked only what people of its country were
asked, so personas stand on different questions.

Own shift: of the similarity to the persona's own country. Steering *works* for a
persona when the own shift is above zero by its interval and by its p-value after
Holm's correction over the personas; else it *fails*, which may mean that it was not
shown with so few questions. Own less others: the own shift less the mean shift towards
every other country asked the question. A general movement towards what people answer
lifts both; only what is left is about the country.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.opinions_data import OpinionTable, distribution
from analysis.opinions_measures import Scribe, columns, js_matrix, means_of
from analysis.records import ALPHA, Record, with_holm
from analysis.resample import MIN_QUESTIONS, Floats
from analysis.similarity import Base
from data_builders import countries


@dataclass(frozen=True, kw_only=True)
class Steering:
    """What a run's personas show."""

    personas: pd.DataFrame
    """Index key, in the order of the keys: country, n_questions, unsteered, steered
    (similarity to the own country), shift, ci_low, ci_high, p_holm, others (mean shift
    towards the other countries), relative (own less others), relative_low,
    relative_high, relative_p_holm, works (the own shift is shown)."""
    shifts: pd.DataFrame
    """One row per persona and headline public with at least `MIN_QUESTIONS` shared
    questions: persona, key, shift, ci_low, ci_high, n_questions."""
    own: tuple[Record, ...]
    """`js_similarity_own_shift` per persona."""
    relative: tuple[Record, ...]
    """`js_similarity_own_less_others` per persona that has others."""
    towards: tuple[Record, ...]
    """`js_similarity_shift` for each row of `shifts`; not tested."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, the own shifts first."""
        return (*self.own, *self.relative, *self.towards)


def measure_steering(
    table: OpinionTable, counts: Floats, scribe: Scribe, base: Base
) -> Steering | None:
    """Paired comparison of every persona with the unsteered answers.

    Args:
        table: The run.
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.
        base: Of the logarithm.

    Returns:
        None without a persona that answered a question asked in its country.
    """
    plain = js_matrix(table, table.shares, base)[:, table.headline]
    keys = [table.publics[column].key for column in table.headline]
    found = []
    for one in table.steered:
        at = keys.index(one.persona) if one.persona in keys else None
        steered = js_matrix(table, distribution(one.logits), base)[:, table.headline]
        if at is not None and np.isfinite(steered[:, at]).any():
            found.append(_persona(keys, at, plain, steered, counts, scribe))
    if not found:
        return None
    own = with_holm([one.own for one in found])
    relative = with_holm([one.relative for one in found if one.relative is not None])
    frame = pd.DataFrame([one.row for one in found]).set_index("key")
    for records, names in (
        (own, ("shift", "ci_low", "ci_high", "p_holm")),
        (
            relative,
            ("relative", "relative_low", "relative_high", "relative_p_holm"),
        ),
    ):
        values = pd.DataFrame(
            [(r.estimate, r.ci_low, r.ci_high, r.p_holm) for r in records],
            index=[r.group for r in records],
            columns=list(names),
            dtype=float,
        )
        frame = frame.join(values)
    frame["works"] = (frame["ci_low"] > 0) & (frame["p_holm"] < ALPHA)
    return Steering(
        personas=frame,
        shifts=pd.concat([one.shifts for one in found], ignore_index=True),
        own=own,
        relative=relative,
        towards=tuple(record for one in found for record in one.towards),
    )


@dataclass(frozen=True, kw_only=True)
class _Persona:
    """One persona's part of `Steering`, before Holm's correction."""

    row: dict[str, str | int | float]
    """The columns of `Steering.personas` that are not in a record."""
    own: Record
    relative: Record | None
    towards: tuple[Record, ...]
    shifts: pd.DataFrame


def _persona(
    keys: Sequence[str],
    at: int,
    plain: Floats,
    steered: Floats,
    counts: Floats,
    scribe: Scribe,
) -> _Persona:
    """Compares one persona's answers with the unsteered ones.

    Args:
        keys: H keys of the headline publics.
        at: Which of them is the persona's own.
        plain: Shape (Q, H): similarity of the unsteered answers.
        steered: Shape (Q, H): of the persona's; NaN where it was not asked.
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.
    """
    key = keys[at]
    asked = np.isfinite(steered[:, at])
    moved = np.where(asked[:, None], steered - plain, np.nan)
    towards_others = means_of(np.delete(moved, at, axis=1).T)
    some = np.isfinite(towards_others)
    own, less = moved[:, [at]], (moved[:, at] - towards_others)[:, None]

    def tested(values: Floats, name: str) -> tuple[Record, ...]:
        metric = f"js_similarity_{name}"
        return scribe.column_records(
            columns(values, counts),
            [key],
            analysis="steering",
            metric=metric,
            reference=f"unsteered; persona {key}",
            family=f"personas: {metric} of {scribe.table.run.name}",
        )

    every = columns(moved, counts)
    enough = every.n >= MIN_QUESTIONS
    part = every.take(enough)
    kept = [one for one, keep in zip(keys, enough, strict=True) if keep]
    relative = tested(less, "own_less_others")
    return _Persona(
        row={
            "key": key,
            "country": countries.by_key(key).name,
            "n_questions": int(asked.sum()),
            "unsteered": float(plain[asked, at].mean()),
            "steered": float(steered[asked, at].mean()),
            "others": float(towards_others[some].mean()) if some.any() else np.nan,
        },
        own=tested(own, "own_shift")[0],
        relative=relative[0] if relative else None,
        towards=scribe.column_records(
            part,
            kept,
            analysis="steering",
            metric="js_similarity_shift",
            reference=f"unsteered; persona {key}",
        ),
        shifts=pd.DataFrame(
            {
                "persona": key,
                "key": kept,
                "shift": part.mean,
                "ci_low": part.low,
                "ci_high": part.high,
                "n_questions": part.n,
            }
        ),
    )
