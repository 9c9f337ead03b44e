"""The items of a `global_opinions` run as arrays: what the model gave each option.

Shapes: N items, at most K options. An item is a rotation of a question's options
(`letters`), a phrasing (`answers`) or a record of somebody else's (`recorded`), asked
from nobody's perspective or from a persona's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import ROUNDING, Run
from analysis.resample import Floats
from analysis.similarity import softmax
from probe.types import DataError, Measure

COLUMNS = ("question_id", "protocol", "persona", "place", "ordinal", "survey")

REWARDS = frozenset({Measure.REWARD, Measure.IMPLICIT_REWARD})

PARTS = {"letters": "rotation", "answers": "phrasing", "recorded": "record"}
"""Protocol -> what one of its items of a question is called."""


@dataclass(frozen=True, kw_only=True)
class Items:
    """The N items of a run as arrays."""

    question: NDArray[np.intp]
    """Shape (N,): row of the question."""
    persona: NDArray[np.object_]
    """Shape (N,): crosswalk key or None."""
    values: Floats
    """Shape (N, K): shares, or raw rewards; zero beyond the options; NaN in items in
    which an option has no score."""
    places: Floats
    """Shape (N, K): where the option stood; NaN where that is not known."""

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Shape (N,): every option has a score."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def per_question(self, chosen: NDArray[np.bool_], n: int) -> NDArray[np.intp]:
        """Shape (n,): how many of the chosen items each question has."""
        return np.bincount(self.question[chosen], minlength=n)

    def mean(self, values: Floats, chosen: NDArray[np.bool_], n: int) -> Floats:
        """Shape (n, K): mean of the chosen items of each question; NaN without one."""
        sums = np.zeros((n, values.shape[1]))
        np.add.at(sums, self.question[chosen], values[chosen])
        count = self.per_question(chosen, n)[:, None]
        return np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)


def protocol_of(run: Run) -> str:
    """The protocol of a run's items.

    Raises:
        DataError: A column is missing, there is more than one protocol or an unknown
            one, or the run's measure is not what the protocol needs.
    """
    for column in COLUMNS:
        if column not in run.frame.columns:
            raise DataError(
                f"{run.path} has no column {column}",
                "The opinion analysis reads runs of global_opinions, whose items have "
                f"the columns {', '.join(COLUMNS)}",
                "Name a run of global_opinions, or add the column to your items",
            )
    found = sorted(map(str, run.frame["protocol"].unique()))
    if len(found) > 1 or found[0] not in PARTS:
        raise DataError(
            f"{run.path}: protocol is {', '.join(found)}",
            f"A run has one protocol: {', '.join(PARTS)}",
            "Score or import each protocol as a run of its own",
        )
    [protocol] = found
    if (protocol == "answers") != (run.measure in REWARDS):
        raise DataError(
            f"{run.path} holds {run.measure} of items with the protocol {protocol}",
            "Answers are scored by rewards; letters and records by log-probabilities",
            "Score the run again, or mend the column protocol of your items",
        )
    return protocol


def items_of(
    run: Run,
    protocol: str,
    firsts: pd.DataFrame,
    rows: NDArray[np.intp],
    n_options: NDArray[np.intp],
) -> tuple[Items, Floats]:
    """The items as arrays, and the ordinal places of each question's options.

    Args:
        run: The run.
        protocol: Of its items.
        firsts: The first row of each item, N rows.
        rows: Shape (N,): row of each item's question.
        n_options: Shape (Q,): options of each question.

    Raises:
        DataError: A candidate's id is not the number of an option.
    """
    frame = run.frame
    item = pd.Index(firsts["item_id"]).get_indexer(pd.Index(frame["item_id"]))
    column = pd.to_numeric(frame["candidate_id"], errors="coerce").to_numpy(float)
    size = n_options[rows][item]
    wrong = ~((column >= 0) & (column < size) & (column % 1 == 0))
    if wrong.any():
        first = frame.iloc[int(wrong.argmax())]
        raise DataError(
            f"{run.path}: item {first['item_id']} has the candidate "
            f"'{first['candidate_id']}'",
            "A candidate's id is its option's number in the survey's order, from 0",
            "Number the candidates of your items so",
        )
    at = (item, column.astype(np.intp))
    shape = (len(firsts), int(n_options.max()))

    def spread(name: str, fill: float) -> Floats:
        out = np.full(shape, fill)
        out[at] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        return out

    beyond = np.arange(shape[1]) >= n_options[rows][:, None]
    scores = spread("score", np.nan)
    if protocol == "answers":
        values = np.where(beyond, 0.0, scores)
    else:
        values = softmax(np.where(beyond, -np.inf, scores))
    persona = firsts["persona"].astype(object)
    ordinal = np.full((len(n_options), shape[1]), np.nan)
    ordinal[rows] = spread("ordinal", np.nan)
    items = Items(
        question=rows,
        persona=persona.where(persona.notna(), None).to_numpy(dtype=object),
        values=values,
        places=spread("place", np.nan),
    )
    return items, ordinal


def pooled_sd(means: Floats, n_options: NDArray[np.intp]) -> float:
    """Standard deviation of rewards about their question's mean, over all questions."""
    inside = np.arange(means.shape[1]) < n_options[:, None]
    inside &= ~np.isnan(means).any(axis=1, keepdims=True)
    centre = np.where(inside, means, 0.0).sum(axis=1) / n_options
    off = np.where(inside, means - centre[:, None], 0.0)
    freedom = inside.sum() - inside.any(axis=1).sum()
    sd = float(np.sqrt((off**2).sum() / max(int(freedom), 1)))
    # A model that gives every option the same reward has no scale, but rounding's.
    largest = float(np.abs(means[inside]).max(initial=0.0))
    return sd if sd > ROUNDING * largest else largest or 1.0


def place_means(
    items: Items, chosen: NDArray[np.bool_], balanced: NDArray[np.bool_]
) -> Floats:
    """Mean probability of each place over a question's rotations."""
    at = np.isfinite(items.places)
    by_place = np.zeros_like(items.values)
    row, option = np.nonzero(at)
    by_place[row, items.places[at].astype(np.intp)] = items.values[row, option]
    means = items.mean(by_place, chosen, len(balanced))
    return np.where(balanced[:, None], means, np.nan)
