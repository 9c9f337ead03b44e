"""MD3 of Ryan, Held and Yang (2024), measured anew from their own outputs.

All recorded games count, the five without a transcript too. The verdicts are made anew,
by `analysis.guesses` of the guess's text and from the recorded probabilities.

The games of the dialects are different games, played by different people about words
of different difficulty: a difference between dialects is not one of dialect alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import confint_proportions_2indep

from analysis.guesses import is_right
from analysis.paired import Interval, clustered_mean, sign_test, wilson
from analysis.paper_evidence import (
    DRAWS,
    MD3,
    SEED,
    TUNED,
    Evidence,
    Metric,
    ordered,
    record,
)
from analysis.records import Record, with_holm
from analysis.resample import CI_LEVEL, Floats

DIALECTS = ("en_us", "en_in", "en_ng")
"""The first is compared with."""
GUESS = Metric(name="md3_guess_accuracy", unit="share", analysis="md3_games")
CHOICE = Metric(name="md3_choice_accuracy", unit="share", analysis="md3_games")
GAIN = "md3_guess_gain"
GAP = Metric(
    name="md3_guess_difference",
    unit="share",
    analysis="md3_games",
    reference=DIALECTS[0],
)
Verdicts = Callable[[pd.DataFrame], Floats]
"""Whether each game is won, 1 or 0."""


def gain_over(base: str) -> Metric:
    """How many more games a model guesses right than the one it was tuned from."""
    return Metric(name=GAIN, unit="share", analysis="md3_games", reference=base)


def lack(evidence: Evidence, metric: Metric, model: str, group: str | None) -> str:
    """Why a number could not be computed of the models' files, which are there."""
    if metric.reference and (MD3, metric.reference) not in evidence.models:
        return f"not computed: no file of {metric.reference}"
    return f"not computed: the file of {model} has no games in {group}"


def guessed(games: pd.DataFrame) -> Floats:
    """Whether each guess is right, shape (games,), 1 or 0."""
    rows = zip(games["guess"], games["answer"], games["distractors"], strict=True)
    return np.array([is_right(*row) for row in rows], dtype=np.float64)


def chosen(games: pd.DataFrame) -> Floats:
    """Whether the answer is more probable than all distractors, shape (games,).

    NaN: of a game whose probabilities were not recorded.
    """
    return games["chosen"].to_numpy(dtype=np.float64)


def guess_accuracy(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Share of games whose answer is guessed in the policy's own words, per dialect.

    Estimand: that share in games like those recorded. Unit of analysis: a game. The
    interval is Wilson's; it takes the model as given.
    """
    return _accuracies(evidence, models, GUESS, guessed)


def choice_accuracy(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Share of games whose answer is the most probable of the six words, per dialect.

    Estimand, unit and interval as `guess_accuracy`; chance is a sixth. Games whose
    probabilities were not recorded are left out and counted.
    """
    return _accuracies(evidence, models, CHOICE, chosen)


def _accuracies(
    evidence: Evidence, models: Sequence[str], metric: Metric, verdicts: Verdicts
) -> list[Record]:
    return [
        record(
            metric,
            wilson(float(won.sum()), len(won)),
            probe=MD3,
            model=model,
            run=file,
            group=dialect,
            method="Wilson"
            + (
                f"; of {len(games)} games, {len(games) - len(won)} without a number"
                if len(won) < len(games)
                else ""
            ),
            cluster="game",
            n=len(won),
        )
        for model, file, dialect, games in _by_dialect(evidence, models)
        for won in [_known(verdicts(games))]
        if len(won)
    ]


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def tuning_gains(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """How many more games a model guesses right than the one it was tuned from.

    Estimand: the difference of the shares in games like those recorded, positive where
    tuning helps. Unit of analysis: a game that both files have. The interval is a
    percentile bootstrap over games, the models as given; p is McNemar's exact test,
    Holm-adjusted over all models and dialects.
    """
    by_model = dict(tuple(evidence.games.groupby("model")))
    found = []
    for model, file, dialect, games in _by_dialect(evidence, models):
        base = TUNED.get(model)
        if base is None or base not in by_model:
            continue
        both = games.merge(by_model[base], on="game", suffixes=("", "_base"))
        if both.empty:
            continue
        before = both[["answer", "distractors"]].assign(guess=both["guess_base"])
        gains = guessed(both) - guessed(before)
        found.append(
            record(
                gain_over(base),
                clustered_mean(gains, both["game"].to_numpy(), draws=DRAWS, seed=SEED),
                probe=MD3,
                model=model,
                run=file,
                group=dialect,
                method=f"percentile bootstrap over games, {DRAWS} draws",
                missing="none: too few games to resample",
                cluster="game",
                n=len(both),
                p_value=sign_test(gains).p_value,
                family=GAIN,
            )
        )
    return list(with_holm(found))


def dialect_gaps(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Share guessed right in a dialect less that in US English.

    Estimand: the difference of the shares in games like those recorded, negative where
    US English is better understood; easier words count as better understanding. Unit
    of analysis: a game; n is those of both dialects. The interval is Newcombe's of two
    independent shares.
    """
    found = []
    by_model: dict[str, Floats] = {
        model: guessed(games)
        for model, _, dialect, games in _by_dialect(evidence, models)
        if dialect == DIALECTS[0]
    }
    for model, file, dialect, games in _by_dialect(evidence, models):
        if dialect == DIALECTS[0] or model not in by_model:
            continue
        here, there = guessed(games), by_model[model]
        low, high = confint_proportions_2indep(
            here.sum(),
            len(here),
            there.sum(),
            len(there),
            compare="diff",
            method="newcomb",
            alpha=1 - CI_LEVEL,
        )
        found.append(
            record(
                GAP,
                Interval(
                    estimate=float(here.mean() - there.mean()),
                    low=float(low),
                    high=float(high),
                ),
                probe=MD3,
                model=model,
                run=file,
                group=dialect,
                method="Newcombe, independent games",
                cluster="game",
                n=len(here) + len(there),
            )
        )
    return found


def recorded_shares(
    evidence: Evidence, metric: Metric
) -> Iterator[tuple[str, str, float, str]]:
    """What the authors' own verdicts give of the games that are counted here too.

    Yields:
        Model, dialect, share of games won, and where the verdicts stand; nothing of a
        dialect in which one of them is not there.
    """
    column, theirs = {
        GUESS: ("recorded_guess", "generated_correct_answer"),
        CHOICE: ("recorded_choice", "chose_correct_answer"),
    }[metric]
    for model, file, dialect, games in _by_dialect(evidence, ()):
        counted = games if metric == GUESS else games[games["chosen"].notna()]
        won = counted[column].to_numpy(dtype=np.float64)
        if len(won) and np.isfinite(won).all():
            yield model, dialect, float(won.mean()), f"{file}, column {theirs}"


def _by_dialect(
    evidence: Evidence, models: Sequence[str]
) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Model, file, dialect and games of each, the paper's models first."""
    for (model, file), rows in ordered(evidence.games, models):
        for dialect in DIALECTS:
            games = rows[rows["dialect"] == dialect]
            if len(games):
                yield model, file, dialect, games
