"""MD3: in which dialect is a model's guess at the secret word right?

Estimands, per run and outcome (see `dialects_md3_data`):

- the share of games won in each dialect, in games like those at hand;
- dialect - reference, the difference of these shares; negative means that the
  reference is better understood. The games of the dialects are different games, so
  that two more differences stand beside: in a linear probability model with the
  logarithm of the transcript's length and the answer's frequency (adjusted), and over
  answers asked in both dialects, the mean over answers of the difference of their
  shares (shared answers);
- best minus worst dialect, beside what permuted dialects give.

Unit of analysis: a game. Uncertainty is clustered by answer (`dialects_md3_measures`);
Holm over models and dialects, within each kind of difference. All hold the model fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.dialects_md3_data import Games, Outcome, read_games
from analysis.dialects_md3_measures import Measures, Spread
from analysis.load import Run, labels
from analysis.records import Record, with_holm_in
from analysis.resample import DRAWS, SEED
from analysis.wording import side_of


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One dialect less the reference, in one outcome."""

    dialect: str
    raw: Record
    """Its `p_holm` and interval decide what is said."""
    adjusted: Record
    shared: Record
    detectable: Record
    """Smallest fall below the reference's share that so many games can show."""

    @property
    def records(self) -> tuple[Record, ...]:
        """The differences and what could be found."""
        return self.raw, self.adjusted, self.shared, self.detectable

    @property
    def side(self) -> int:
        """-1: the reference is better, by interval and test; 1: worse; 0: not shown."""
        return side_of(self.raw)

    @property
    def beside(self) -> tuple[int, int]:
        """The same of the adjusted difference and of that over shared answers."""
        return side_of(self.adjusted), side_of(self.shared)


@dataclass(frozen=True, kw_only=True)
class DialectResult:
    """The games of one dialect, in one outcome."""

    dialect: str
    accuracy: Record
    unsaid: Record | None
    """Accuracy without the games whose transcript still holds the answer; None: there
    are none such."""
    margin: Record | None
    """Mean margin; None: a guess."""

    @property
    def records(self) -> tuple[Record, ...]:
        """All of them."""
        beside = (self.unsaid, self.margin)
        return self.accuracy, *(one for one in beside if one is not None)


@dataclass(frozen=True, kw_only=True)
class OutcomeResult:
    """One outcome in one run."""

    outcome: Outcome
    dialects: tuple[DialectResult, ...]
    """The reference first."""
    gaps: tuple[Gap, ...]
    spread: Spread | None
    over_chance: Record | None
    """Accuracy over all games less chance; None: a guess."""
    unknown: int
    """Games without the outcome."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record of the outcome."""
        spread = self.spread
        return (
            *(record for one in self.dialects for record in one.records),
            *(record for one in self.gaps for record in one.records),
            *(() if spread is None else (spread.observed, spread.permuted)),
            *(() if self.over_chance is None else (self.over_chance,)),
        )


@dataclass(frozen=True, kw_only=True)
class Covariates:
    """What else the games of a dialect differ in."""

    dialect: str
    n: int
    n_answers: int
    words: Record
    """Mean number of words of a transcript."""
    zipf: Record
    """Mean frequency of an answer."""
    answer_said: int
    unguessable: int


@dataclass(frozen=True, kw_only=True)
class GamesRun:
    """Everything about one run."""

    games: Games
    outcomes: tuple[OutcomeResult, ...]
    """The headline first."""
    covariates: tuple[Covariates, ...]

    @property
    def label(self) -> str:
        """The model's name, unique among the runs analysed together."""
        return self.games.label

    @property
    def headline(self) -> Record:
        """The largest difference from the reference in the first outcome."""
        raws = [gap.raw for gap in self.outcomes[0].gaps]
        return max(raws, key=lambda one: abs(one.estimate or 0.0))

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record of the run."""
        return (
            *(record for one in self.outcomes for record in one.records),
            *(record for one in self.covariates for record in (one.words, one.zipf)),
        )


def analyse_games(
    runs: Sequence[Run],
    *,
    reference: str | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    step: Callable[[], object] = lambda: None,
) -> tuple[GamesRun, ...]:
    """Analyses runs of one probe of games; Holm over models and dialects.

    Args:
        runs: Runs of one probe, read from their folders.
        reference: Dialect to compare with; see `read_games`.
        draws: Bootstrap draws, and permutations.
        seed: Of both.
        step: Called after each run, for a progress bar.

    Raises:
        DataError: As `read_games`.
        StoreError: A run's items or scores cannot be read.
    """
    found = []
    for run, label in zip(runs, labels(runs), strict=True):
        games = read_games(run, label, reference)
        measures = Measures(games=games, draws=draws, seed=seed)
        found.append(
            GamesRun(
                games=games,
                outcomes=tuple(_outcome(measures, one) for one in games.outcomes),
                covariates=tuple(_covariates(measures, d) for d in games.dialects),
            )
        )
        step()
    every = tuple(found)
    return with_holm_in(every, [record for run in every for record in run.records])


def _outcome(measures: Measures, outcome: Outcome) -> OutcomeResult:
    games = measures.games
    known = np.isfinite(outcome.won)
    said = bool((known & games.answer_said).any())
    return OutcomeResult(
        outcome=outcome,
        dialects=tuple(
            DialectResult(
                dialect=name,
                accuracy=measures.accuracy(outcome, name),
                unsaid=measures.accuracy(outcome, name, unsaid=True) if said else None,
                margin=measures.margin(outcome, name),
            )
            for name in games.dialects
        ),
        gaps=tuple(
            Gap(
                dialect=name,
                raw=measures.raw(outcome, name),
                adjusted=measures.adjusted(outcome, name),
                shared=measures.shared(outcome, name),
                detectable=measures.detectable(outcome, name),
            )
            for name in games.dialects[1:]
        ),
        spread=measures.spread(outcome),
        over_chance=measures.over_chance(outcome),
        unknown=int((~known).sum()),
    )


def _covariates(measures: Measures, dialect: str) -> Covariates:
    games = measures.games
    here = games.of(dialect)
    return Covariates(
        dialect=dialect,
        n=int(here.sum()),
        n_answers=len(set(games.answer[here])),
        words=measures.mean("mean_transcript_words", "words", games.n_words, dialect),
        zipf=measures.mean("mean_answer_zipf", "zipf", games.zipf, dialect),
        answer_said=int((here & games.answer_said).sum()),
        unguessable=int((here & games.unguessable).sum()),
    )
