"""A `global_opinions` run laid out as questions x options, beside people's answers.

The model's answer to a question is a distribution over its options:

- `letters`: the softmax of the options' log-probabilities within each rotation of the
  options, then the mean over rotations, so that a liking for a letter averages out;
- `answers`: the mean reward of each option over the phrasings, divided by the
  standard deviation of these within questions, pooled over the run's unsteered
  questions (the unit of a reward is arbitrary: one scale per model), then the softmax;
- `recorded`: the softmax of recorded log-probabilities.

A rotation or phrasing in which an option has no score is not used. A question left
with none is dropped; one left with some is kept; both are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import Run, item_meta
from analysis.opinions_items import (
    PARTS,
    items_of,
    place_means,
    pooled_sd,
    protocol_of,
)
from analysis.opinions_people import Public, read_people
from analysis.resample import Floats
from analysis.similarity import softmax
from probe.types import DataError


@dataclass(frozen=True, kw_only=True)
class Steered:
    """The model's answers from one country's perspective."""

    persona: str
    """Crosswalk key."""
    logits: Floats
    """Shape (Q, K) as `OpinionTable.logits`; NaN where it was not asked or scored."""


@dataclass(frozen=True, kw_only=True)
class OpinionTable:
    """A run's answers and people's, for the Q questions that the model answered."""

    run: Run
    protocol: str
    """`letters`, `answers` or `recorded`."""
    questions: tuple[str, ...]
    """Q question ids, sorted."""
    n_options: NDArray[np.intp]
    """Shape (Q,)."""
    ordinal: Floats
    """Shape (Q, K): place on a declared scale, 0 to 1; NaN = off it, or no scale."""
    surveys: tuple[str, ...]
    """Q names of surveys, `unknown` where the source does not say."""
    logits: Floats
    """Shape (Q, K): logarithms of the shares or, for `answers`, standardised rewards;
    -inf beyond the question's options. `distribution` turns them into shares."""
    reward_sd: float | None
    """`answers`: what rewards were divided by, in the reward's own unit."""
    places: Floats | None
    """`letters`: shape (Q, K), mean probability of whatever stands at each place; NaN
    in a question that lacks a rotation, where contents would not cancel."""
    publics: tuple[Public, ...]
    """C publics, sorted."""
    headline: NDArray[np.intp]
    """Shape (H,): columns of one public per country, sorted by key."""
    pair_question: NDArray[np.intp]
    """Shape (P,): row of each (question, public) pair."""
    pair_public: NDArray[np.intp]
    """Shape (P,): its column."""
    pair_shares: Floats
    """Shape (P, K): what the public answered, each row summing to 1."""
    unanswered: tuple[tuple[str, int], ...]
    """(question id, column of the public) of the pairs that are left out because the
    model has no answer to the question."""
    steered: tuple[Steered, ...]
    """One per persona, sorted."""
    n_read: int
    """Questions of the run, dropped ones included."""
    n_incomplete: int
    """Questions kept although not every rotation or phrasing could be used; one that
    was also asked of a persona counts for each."""
    dropped: Mapping[str, int]
    """Reason -> questions, or answers of a public, that were left out here."""

    @property
    def shares(self) -> Floats:
        """Shape (Q, K): the model's answers at temperature 1."""
        return distribution(self.logits)

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Shape (Q, C): which public was asked which question."""
        found = np.zeros((len(self.questions), len(self.publics)), dtype=np.bool_)
        found[self.pair_question, self.pair_public] = True
        return found

    @property
    def uniform(self) -> Floats:
        """Shape (Q, K): the answers of who takes every option equally often."""
        inside = np.arange(self.logits.shape[1]) < self.n_options[:, None]
        return inside / self.n_options[:, None]


def distribution(logits: Floats, temperature: float = 1.0) -> Floats:
    """Logits to shares of the options, shape (Q, K)."""
    return softmax(logits / temperature)


def opinion_table(run: Run) -> OpinionTable:
    """Lays a run out as questions x options.

    Raises:
        DataError: The run is not about opinions, mixes protocols, holds a measure that
            its protocol cannot use, lacks people's answers, or has no question in
            which every option has a score.
    """
    frame = run.frame
    protocol = protocol_of(run)
    firsts = frame.drop_duplicates("item_id")
    # Sorted, so that no draw depends on the order in which items were stored.
    rows, ids = pd.factorize(firsts["question_id"], sort=True)
    n = len(ids)
    meta = item_meta(run)
    first = firsts.drop_duplicates("question_id").set_index("question_id").loc[ids]
    people = read_people(run.path, [meta[item] for item in first["item_id"]])
    items, ordinal = items_of(run, protocol, firsts, rows, people.n_options)
    plain = np.asarray(pd.isna(items.persona))
    whole = items.whole
    beyond = np.arange(items.values.shape[1]) >= people.n_options[:, None]
    means = items.mean(items.values, whole & plain, n)
    sd = pooled_sd(means, people.n_options) if protocol == "answers" else None

    def logits(means: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            found = np.log(means) if sd is None else means / sd
        return np.where(beyond & ~np.isnan(means), -np.inf, found)

    kept = np.asarray(~np.isnan(means).any(axis=1))
    if not kept.any():
        raise DataError(
            f"{run.path} has no question in which every option has a score",
            "A distribution over options needs the score of each of them",
            "Look at the run's errors with rm-probe ls runs, or continue the run",
        )
    personas = sorted(set(items.persona[~plain]))
    asked_as = {None: plain, **{key: items.persona == key for key in personas}}
    dropped, incomplete = Counter(people.dropped), 0
    for key, chosen in asked_as.items():
        used, due = items.per_question(whole & chosen, n), items.per_question(chosen, n)
        if protocol == "letters":
            due = np.where(due > 0, people.n_options, 0)
        whom = "questions" if key is None else f"questions asked of persona {key}"
        lost = f"{whom} without a {PARTS[protocol]} that has a score for every option"
        dropped[lost] = int(((used == 0) & (due > 0)).sum())
        incomplete += int(((used > 0) & (used < due)).sum())
    balanced = items.per_question(whole & plain, n) == people.n_options
    row = np.cumsum(kept) - 1
    pairs = kept[people.question]
    return OpinionTable(
        run=run,
        protocol=protocol,
        questions=tuple(map(str, ids[kept])),
        n_options=people.n_options[kept],
        ordinal=ordinal[kept],
        surveys=tuple(first["survey"].astype(object).fillna("unknown")[kept]),
        logits=logits(means)[kept],
        reward_sd=sd,
        places=place_means(items, whole & plain, balanced)[kept]
        if protocol == "letters"
        else None,
        publics=people.publics,
        headline=people.headline,
        pair_question=row[people.question[pairs]],
        pair_public=people.public[pairs],
        pair_shares=people.shares[pairs],
        unanswered=tuple(
            zip(
                map(str, ids[people.question[~pairs]]),
                people.public[~pairs].tolist(),
                strict=True,
            )
        ),
        steered=tuple(
            Steered(
                persona=key,
                logits=logits(items.mean(items.values, whole & asked_as[key], n))[kept],
            )
            for key in personas
        ),
        n_read=n,
        n_incomplete=incomplete,
        dropped={reason: count for reason, count in dropped.items() if count},
    )
