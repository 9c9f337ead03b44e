"""A run of MD3: which games were won, by choice and by guess.

Of the six words of a game a model picks the one with the highest score. A tie with the
answer counts as 1 / number tied, what drawing among them would win on average. A policy
also guesses in its own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.guesses import is_right
from analysis.load import UNITS, Run, item_meta, load_run, texts
from analysis.resample import Floats
from probe.types import DataError, Measure

REFERENCE = "en_us"
"""Dialect that the others are compared with unless another is wanted."""

GUESS, CHOICE, PER_TOKEN = "guess", "choice", "choice_per_token"
"""Keys of the outcomes; `PER_TOKEN` is a policy's choice by mean log-probability."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Whether each game is won, in one sense."""

    key: str
    """`guess`, `choice` or `choice_per_token`."""
    won: Floats
    """Shape (G,): 1, 0 or, for ties, a part of 1; NaN: not known."""
    chance: float | None
    """Share won by picking at random; None: there is no such level."""
    margins: Floats | None
    """Shape (G,): the answer's score less that of the best other word; None: a
    guess."""
    unit: str | None
    """Of `margins`."""


@dataclass(frozen=True, kw_only=True)
class Games:
    """The games of a run."""

    run: Run
    label: str
    """The model's name, made unique among the runs analysed together."""
    dialects: tuple[str, ...]
    """The reference first, the others in the order of the items."""
    wanted_reference: str
    """The dialect that should be the reference; the run may lack it."""
    dialect: NDArray[np.str_]
    """Shape (G,)."""
    answer: NDArray[np.str_]
    """Shape (G,): the secret words in lower case. Several games may share one: they
    are what uncertainty is clustered by."""
    n_words: Floats
    """Shape (G,): words of the transcript; NaN: not known."""
    zipf: Floats
    """Shape (G,): the answer's frequency in English, log10 per billion words; NaN:
    not known."""
    answer_said: NDArray[np.bool_]
    """Shape (G,): the transcript still holds the answer."""
    unguessable: NDArray[np.bool_]
    """Shape (G,): the answer holds a forbidden word, so that no guess is right."""
    outcomes: tuple[Outcome, ...]
    """The headline first: the guess of policies, the choice of reward models."""

    @property
    def reference(self) -> str:
        """The dialect that the others are compared with."""
        return self.dialects[0]

    def of(self, dialect: str) -> NDArray[np.bool_]:
        """Shape (G,): the games of a dialect."""
        return self.dialect == dialect


def read_games(run: Run, label: str, reference: str | None) -> Games:
    """Lays a run out by game.

    Args:
        run: A run that was read from its folder.
        label: What the report calls its model.
        reference: Dialect to compare with; None: `REFERENCE`. Where the run lacks it,
            the dialect with the most games.

    Raises:
        DataError: A column is missing or wrong, there are fewer than two dialects, or
            no game of some dialect has an outcome.
        StoreError: The run's items or scores cannot be read.
    """
    frame = _checked(run)
    codes, ids = pd.factorize(frame["item_id"])
    dialect = frame.drop_duplicates("item_id")["dialect"].to_numpy(dtype=str)
    right = (frame["correct"] == "yes").to_numpy()
    spoken = frame["answer"].fillna("").astype(str)
    if "word" in frame.columns:
        # An imported candidate has no text, only the word that it stands for.
        known = spoken.str.strip() != ""
        spoken = spoken.where(known, frame["word"].fillna("").astype(str))
    words = spoken.to_numpy(dtype=object)
    answers = np.empty(len(ids), dtype=object)
    answers[codes[right]] = words[right]
    others: list[list[str]] = [[] for _ in ids]
    for code, word in zip(codes[~right], words[~right], strict=True):
        others[code].append(word)
    meta = item_meta(run)
    told = [meta[str(name)] for name in ids]
    wanted = reference or REFERENCE
    return Games(
        run=run,
        label=label,
        dialects=_ordered(dialect, wanted),
        wanted_reference=wanted,
        dialect=dialect,
        answer=np.array([one.strip().lower() for one in answers]),
        n_words=_numbers(told, "n_words"),
        zipf=_numbers(told, "answer_zipf"),
        answer_said=np.array([one.get("answer_said") is True for one in told]),
        unguessable=np.array(
            [
                not is_right(one, one, rest)
                for one, rest in zip(answers, others, strict=True)
            ]
        ),
        outcomes=_outcomes(run, list(map(str, ids)), list(answers), others, dialect),
    )


def _checked(run: Run) -> pd.DataFrame:
    """The run's frame, whose games are whole."""
    frame = run.frame
    for column in ("dialect", "correct"):
        if column not in frame.columns:
            raise DataError(
                f"{run.path} has no column {column}",
                "Games have the column dialect, and candidates of which the column "
                "correct says yes or no",
                "Name a run of md3, or add the column to your items",
            )
        if frame[column].isna().any():
            raise DataError(
                f"{run.path}: {int(frame[column].isna().sum())} rows have no {column}",
                "Every game belongs to a dialect, and every word is the answer or not",
                f"Fill the column {column} of the items",
            )
    wrong = sorted(set(frame["correct"].astype(str)) - {"yes", "no"})
    if wrong:
        raise DataError(
            f"{run.path}: correct is {', '.join(map(repr, wrong))}",
            "A word is the answer (yes) or not (no)",
            "Mend the column correct of the items",
        )
    right = (frame["correct"] == "yes").groupby(frame["item_id"], sort=False)
    for name, answers, words in zip(
        right.sum().index, right.sum(), right.size(), strict=True
    ):
        if answers != 1 or words < 2:
            raise DataError(
                f"{run.path}: item {name} has {answers} answers among {words} words, "
                "by the column correct",
                "A game has one answer and at least one other word",
                "Mend the column correct of the items",
            )
    if frame["dialect"].nunique() < 2:
        raise DataError(
            f"{run.path} has one dialect, {frame['dialect'].iloc[0]}",
            "Dialects are compared with each other, by the column dialect",
            "Score games of another dialect too, or more of them",
        )
    return frame


def _ordered(dialect: NDArray[np.str_], wanted: str) -> tuple[str, ...]:
    """The dialects, the reference first: the most frequent where `wanted` is absent."""
    counts = pd.Series(dialect).value_counts(sort=False)
    names = [str(name) for name in counts.index]
    first = wanted if wanted in names else str(counts.idxmax())
    return (first, *(name for name in names if name != first))


def _numbers(told: Sequence[Mapping[str, object]], key: str) -> Floats:
    """A number of each game's meta; NaN where there is none."""
    values = [one.get(key) for one in told]
    return np.array(
        [float(one) if isinstance(one, int | float) else np.nan for one in values]
    )


def _outcomes(
    run: Run,
    ids: Sequence[str],
    answers: Sequence[str],
    others: Sequence[Sequence[str]],
    dialect: NDArray[np.str_],
) -> tuple[Outcome, ...]:
    """The outcomes that are known in at least two dialects.

    Raises:
        DataError: There is none.
    """
    generated = texts(run)["text"].dropna()
    guesses = dict(zip(generated.index, generated, strict=True))
    won = [
        float(is_right(guesses[name], answer, rest)) if name in guesses else np.nan
        for name, answer, rest in zip(ids, answers, others, strict=True)
    ]
    found = [
        Outcome(key=GUESS, won=np.array(won), chance=None, margins=None, unit=None),
        *(_choice(one, key) for key, one in _measured(run)),
    ]
    known = tuple(one for one in found if len(set(dialect[np.isfinite(one.won)])) >= 2)
    if not known:
        raise DataError(
            f"{run.path} has no two dialects with a game of which all words have a "
            "score, or with a guess",
            "Dialects are compared by games won, by the column dialect",
            "Run the rm-probe score command that began the run once more: it resumes",
        )
    return known


def _measured(run: Run) -> list[tuple[str, Run]]:
    """Key of a choice -> the run with the scores that it is made by."""
    by_key = {CHOICE: Measure.LOGPROB_SUM, PER_TOKEN: Measure.LOGPROB_MEAN}
    if run.measure not in by_key.values():
        return [(CHOICE, run)]
    return [
        (key, run if measure is run.measure else load_run(run.path, measure))
        for key, measure in by_key.items()
        if measure is run.measure or measure.value in run.manifest.measures
    ]


def _choice(run: Run, key: str) -> Outcome:
    frame = run.frame
    codes, ids = pd.factorize(frame["item_id"])
    right = (frame["correct"] == "yes").to_numpy()
    scores = frame["score"].to_numpy(dtype=np.float64)
    answer, best = np.empty(len(ids)), np.full(len(ids), -np.inf)
    answer[codes[right]] = scores[right]
    tied = np.bincount(codes, scores == answer[codes])
    with np.errstate(divide="ignore", invalid="ignore"):
        # A score that is not there makes the maximum NaN, and the game unknown.
        np.maximum.at(best, codes[~right], scores[~right])
        won = np.where(answer >= best, 1.0 / tied, 0.0)
    known = np.isfinite(answer) & np.isfinite(best)
    return Outcome(
        key=key,
        won=np.where(known, won, np.nan),
        chance=float((1.0 / np.bincount(codes))[known].mean()) if known.any() else None,
        margins=np.where(known, answer - best, np.nan),
        unit=UNITS[run.measure],
    )
