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

The items of a `global_opinions` run as arrays: what the model gave each option.

Shapes: N items, at most K options. An item is a rotation of a question's options
(`letters`), a phrasing (`answers`) or a record of somebody else's (`recorded`), asked
from nobody's perspective or from a persona's.

What people answered: the publics of a survey, read from the meta of a run's items.

A public is a country, or a sample of one that was surveyed apart. The headline public
of a country is the one asked the most questions (the whole country on ties); choosing
it looks at who was asked what, never at an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import ROUNDING, Run, item_meta
from analysis.resample import Floats
from analysis.similarity import softmax
from data_builders import countries
from probe.types import DataError, Measure

Meta = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, order=True)
class Public:
    """People who were asked: a country, or a sample of it."""

    key: str
    """Crosswalk key of the country: ISO3 where there is one."""
    sample: str
    """Such as `Old national sample`; empty: the whole country."""

    @property
    def group(self) -> str:
        """``IND (Old national sample)``: the group of its records."""
        return f"{self.key} ({self.sample})" if self.sample else self.key

    @property
    def name(self) -> str:
        """``Germany`` or ``India (old national sample)``."""
        name, sample = countries.by_key(self.key).name, self.sample
        if sample.endswith("sample"):
            sample = sample[0].lower() + sample[1:]
        return f"{name} ({sample})" if sample else name


@dataclass(frozen=True, kw_only=True)
class People:
    """The answers of every public to every question of a run, as pairs."""

    n_options: NDArray[np.intp]
    """Shape (Q,): options of each question."""
    publics: tuple[Public, ...]
    """C publics, sorted."""
    headline: NDArray[np.intp]
    """Shape (H,): columns of one public per country, sorted by key."""
    question: NDArray[np.intp]
    """Shape (P,): row of each (question, public) pair."""
    public: NDArray[np.intp]
    """Shape (P,): its column."""
    shares: Floats
    """Shape (P, K), each row summing to 1; zero beyond the question's options."""
    dropped: Mapping[str, int]
    """Reason -> answers that cannot be used."""


def read_people(path: Path, metas: Sequence[Meta]) -> People:
    """Reads what people answered.

    Args:
        path: The run, for messages.
        metas: One per question: `options` and `answers` as the probe stores them.

    Raises:
        DataError: A meta has no options or answers, fewer than two options, or no
            answer of any public can be used; single ones are counted, not errors.
    """
    sizes = np.array([len(_list(path, meta, "options")) for meta in metas], np.intp)
    if sizes.min() < 2:
        raise DataError(
            f"{path}: a question has {sizes.min()} option",
            "A distribution is compared over at least two options",
            "Leave the question out of the items",
        )
    dropped: Counter[str] = Counter()
    found: dict[tuple[int, Public], NDArray[np.float64]] = {}
    for row, meta in enumerate(metas):
        for answer in _list(path, meta, "answers"):
            public = Public(key=answer["key"], sample=answer["sample"] or "")
            shares = np.array(answer["shares"], dtype=np.float64)
            fault = _fault(shares, int(sizes[row]))
            if fault is None and (row, public) in found:
                fault = "answers: a public twice in one question"
            if fault is None:
                found[row, public] = shares / shares.sum()
            else:
                dropped[fault] += 1
    if not found:
        raise DataError(
            f"{path} has no answers of people that can be used",
            "Each question is compared with what people of some country answered",
            "Score global_opinions again, or mend the `answers` in the items' meta",
        )
    publics = tuple(sorted({public for _, public in found}))
    place = {public: column for column, public in enumerate(publics)}
    shares = np.zeros((len(found), int(sizes.max())))
    for pair, values in enumerate(found.values()):
        shares[pair, : len(values)] = values
    column = np.array([place[public] for _, public in found], np.intp)
    return People(
        n_options=sizes,
        publics=publics,
        headline=_headline(publics, np.bincount(column)),
        question=np.array([row for row, _ in found], np.intp),
        public=column,
        shares=shares,
        dropped=dict(sorted(dropped.items())),
    )


def _list(path: Path, meta: Meta, key: str) -> list:
    found = meta.get(key)
    if not isinstance(found, list):
        raise DataError(
            f"{path}: the meta of an item has no list `{key}`",
            "The opinion analysis reads the options and people's answers from there",
            "Score or import global_opinions with this version of rm-probe",
        )
    return found


def _fault(shares: Floats, size: int) -> str | None:
    """Why a public's answer cannot be used; None: it can."""
    if shares.shape != (size,):
        return "answers: as many shares as options are needed"
    if not np.isfinite(shares).all() or shares.min() < 0:
        return "answers: a share is negative or no number"
    return None if shares.any() else "answers: all shares are zero"


def _headline(publics: Sequence[Public], n_asked: NDArray[np.intp]) -> NDArray[np.intp]:
    """The column of each country's public with the most questions."""
    best: dict[str, int] = {}
    # The whole country has an empty sample, stands first, and so wins a tie.
    for column, public in enumerate(publics):
        if n_asked[column] > n_asked[best.setdefault(public.key, column)]:
            best[public.key] = column
    return np.array(list(best.values()), np.intp)


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
