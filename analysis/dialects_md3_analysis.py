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

Unit of analysis: a game. Uncertainty is clustered by answer (`dialects_md3_analysis`);
Holm over models and dialects, within each kind of difference. All hold the model fixed.

Differences between groups of games, with uncertainty clustered by answer.

Estimand: a coefficient of a least-squares regression (a linear probability model where
the outcome is won or not), in games and secret words like those at hand. Unit of
analysis: a game; games with the same answer belong together, in whichever dialect they
were played. The interval is a percentile bootstrap over answers. The test is Student's
t on the jackknife that leaves out one answer at a time (CR3; Bell and McCaffrey 2002),
which rejects a true null in about 5 % of cases, and less often with few answers. Both
hold the model fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis import paired
from analysis.dialects_md3_data import Games, Outcome, read_games
from analysis.disparity import best_minus_worst
from analysis.load import Run, labels
from analysis.paired import MIN_CLUSTERS, Interval, clustered_share
from analysis.records import Record, record_of, with_holm_in
from analysis.resample import DRAWS, SEED, Floats, cluster_counts, percentile_interval
from analysis.wording import side_of

TOO_FEW_ANSWERS = f"none: fewer than {MIN_CLUSTERS} answers"
NO_SPREAD = "none: no spread"
ONE_ANSWER = "none: the games of one answer carry the estimate"
NO_ESTIMATE = "not computed: too few games, or all alike"
BOOTSTRAP = "percentile bootstrap over answers, unadjusted"
NAN = math.nan
WILSON = "Wilson, of the effective number of games by answer"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A coefficient."""

    value: Interval
    """NaN: not estimable."""
    p_value: float | None
    """Two-sided; None: `missing` says why."""
    n: int
    """Games."""
    n_clusters: int
    """Answers."""
    missing: str | None
    """Why there is no interval and no test."""


def coefficient(
    x: Floats,
    y: Floats,
    answers: NDArray[np.str_],
    place: int,
    *,
    fewest: int,
    draws: int,
    seed: int,
) -> Estimate:
    """One coefficient of a least-squares regression.

    Args:
        x: Shape (G, K), finite, with its intercept.
        y: Shape (G,), finite.
        answers: Shape (G,): clusters.
        place: Of the coefficient among the K.
        fewest: Answers in the smallest of the groups compared; fewer than
            `MIN_CLUSTERS` are not tested. The t-test has `fewest` less 1 degrees of
            freedom, less those of covariates (columns beside `place` and the
            intercept).
        draws: Bootstrap draws.
        seed: Of the draws.
    """
    _, codes = np.unique(answers, return_inverse=True)
    groups = int(codes.max()) + 1 if len(codes) else 0
    sums = _Sums.of(x, y, codes, groups)
    value = float(sums.coefficients(np.ones((1, groups)))[0, place]) if groups else NAN

    def found(
        low: float = NAN,
        high: float = NAN,
        p_value: float | None = None,
        missing: str | None = None,
    ) -> Estimate:
        return Estimate(
            value=Interval(estimate=value, low=low, high=high),
            p_value=p_value,
            n=len(y),
            n_clusters=groups,
            missing=missing,
        )

    if not math.isfinite(value):
        return found(missing=NO_ESTIMATE)
    freedom = fewest - max(x.shape[1] - 1, 1)
    if fewest < MIN_CLUSTERS or freedom < 1:
        return found(missing=TOO_FEW_ANSWERS)
    without = sums.coefficients(1.0 - np.eye(groups))[:, place]
    error = math.sqrt((groups - 1) / groups * float(((without - value) ** 2).sum()))
    if not math.isfinite(error):
        return found(missing=ONE_ANSWER)
    # Rounding leaves a trace of spread where there is none.
    if error <= 1e-9:
        return found(missing=NO_SPREAD)
    drawn = sums.coefficients(cluster_counts(groups, draws, seed))[:, place]
    low, high = percentile_interval(drawn)
    p_value = float(2 * stats.t.sf(abs(value) / error, freedom))
    return found(float(low), float(high), p_value)


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """Sums per answer from which the coefficients of any weighting follow."""

    grams: Floats
    """Shape (answers, K, K)."""
    moments: Floats
    """Shape (answers, K)."""

    @classmethod
    def of(cls, x: Floats, y: Floats, codes: NDArray[np.intp], groups: int) -> _Sums:
        grams = np.zeros((groups, x.shape[1], x.shape[1]))
        moments = np.zeros((groups, x.shape[1]))
        np.add.at(grams, codes, x[:, :, None] * x[:, None, :])
        np.add.at(moments, codes, x * y[:, None])
        return cls(grams=grams, moments=moments)

    def coefficients(self, weights: Floats) -> Floats:
        """Shape (draws, K) for weights of shape (draws, answers); NaN: singular."""
        grams = np.tensordot(weights, self.grams, axes=1)
        moments = weights @ self.moments
        values = np.linalg.eigvalsh(grams)
        known = values[:, 0] > 1e-9 * values[:, -1]
        found = np.full(moments.shape, np.nan)
        found[known] = np.linalg.solve(grams[known], moments[known][..., None])[..., 0]
        return found


ANALYSIS = "dialect_games"
NO_TEST = "percentile bootstrap of games within dialects; never below zero, no test"
CHANCE_ALONE = "none: mean under permuted dialects"
POWER_ALONE = "none: at 5% and a power of 80%, before Holm, games independent"
TOO_SMALL_TO_FALL = "not computed: even a fall to zero could not be shown"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Best minus worst dialect."""

    observed: Record
    """With the permutation's p; its interval is no test."""
    permuted: Record
    """Mean under permuted dialects."""
    best: str
    worst: str


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Measures one run."""

    games: Games
    draws: int
    """Bootstrap draws, and permutations."""
    seed: int
    """Of both."""

    def accuracy(
        self, outcome: Outcome, dialect: str, *, unsaid: bool = False
    ) -> Record:
        """Share of a dialect's games that are won.

        Args:
            outcome: What was won.
            dialect: Whose games.
            unsaid: Without the games whose transcript still holds the answer.
        """
        rows = np.isfinite(outcome.won) & self.games.of(dialect)
        if unsaid:
            rows &= ~self.games.answer_said
        return self._record(
            f"{outcome.key}_accuracy" + ("_answer_not_said" if unsaid else ""),
            "share",
            clustered_share(outcome.won[rows], self.games.answer[rows]),
            rows,
            group=dialect,
            method=WILSON,
            missing=NO_ESTIMATE,
        )

    def margin(self, outcome: Outcome, dialect: str) -> Record | None:
        """Mean score of the answer less that of the best other word."""
        if outcome.margins is None or outcome.unit is None:
            return None
        metric = f"{outcome.key}_mean_margin"
        return self.mean(metric, outcome.unit, outcome.margins, dialect)

    def mean(self, metric: str, unit: str, values: Floats, dialect: str) -> Record:
        """Mean of a number over the games of a dialect that have it."""
        rows = np.isfinite(values) & self.games.of(dialect)
        found = paired.clustered_mean(
            values[rows], self.games.answer[rows], draws=self.draws, seed=self.seed
        )
        return self._record(
            metric,
            unit,
            found,
            rows,
            group=dialect,
            method=BOOTSTRAP,
            missing=TOO_FEW_ANSWERS if rows.any() else NO_ESTIMATE,
        )

    def raw(self, outcome: Outcome, dialect: str) -> Record:
        """Share won in a dialect less that in the reference."""
        rows = self._both(outcome, dialect)
        return self._difference(outcome, "difference", dialect, rows, ())

    def adjusted(self, outcome: Outcome, dialect: str) -> Record:
        """The same with transcript length and answer frequency held.

        Games of which either is not known are left out.
        """
        lengths, zipf = np.log1p(self.games.n_words), self.games.zipf
        rows = self._both(outcome, dialect) & np.isfinite(lengths) & np.isfinite(zipf)
        # Of no game there is no mean to take out.
        held = tuple(
            one[rows] - (one[rows].mean() if rows.any() else 0.0)
            for one in (lengths, zipf)
        )
        return self._difference(outcome, "difference_adjusted", dialect, rows, held)

    def shared(self, outcome: Outcome, dialect: str) -> Record:
        """The same within answers asked in both, each answer counting the same."""
        games, reference = self.games, self.games.reference
        rows = self._both(outcome, dialect)
        asked = [set(games.answer[rows & games.of(d)]) for d in (dialect, reference)]
        answers = sorted(asked[0] & asked[1])
        rows &= np.isin(games.answer, answers)
        differences = [
            outcome.won[rows & here & games.of(dialect)].mean()
            - outcome.won[rows & here & games.of(reference)].mean()
            for here in (games.answer == answer for answer in answers)
        ]
        found = coefficient(
            np.ones((len(answers), 1)),
            np.array(differences, dtype=np.float64),
            np.array(answers, dtype=np.str_),
            0,
            fewest=len(answers),
            draws=self.draws,
            seed=self.seed,
        )
        return self._tested(outcome, "difference_shared_answers", dialect, rows, found)

    def detectable(self, outcome: Outcome, dialect: str) -> Record:
        """Smallest fall below the reference's share that so many games can show."""
        games = self.games
        rows = self._both(outcome, dialect)
        there = outcome.won[rows & games.of(games.reference)]
        here = rows & games.of(dialect)
        found = (
            paired.detectable_drop(float(there.mean()), len(there), int(here.sum()))
            if len(there)
            else None
        )
        return self._record(
            f"{outcome.key}_minimum_detectable_drop",
            "share",
            Interval(estimate=math.nan if found is None else found),
            rows,
            group=dialect,
            reference=games.reference,
            missing=TOO_SMALL_TO_FALL if found is None else POWER_ALONE,
        )

    def spread(self, outcome: Outcome) -> Spread | None:
        """Best minus worst dialect; None: fewer than two have games."""
        rows = np.isfinite(outcome.won)
        found = best_minus_worst(
            outcome.won[rows],
            self.games.dialect[rows],
            draws=self.draws,
            seed=self.seed,
        )
        if found is None:
            return None
        by_dialect = [rows & self.games.of(name) for name in self.games.dialects]
        few = min(self._n_answers(one) for one in by_dialect if one.any())
        tested = few >= paired.MIN_CLUSTERS and np.ptp(outcome.won[rows]) > 0
        observed = found.observed
        metric = f"{outcome.key}_disparity"
        return Spread(
            observed=self._record(
                metric,
                "share",
                observed if tested else Interval(estimate=observed.estimate),
                rows,
                method=NO_TEST,
                missing=TOO_FEW_ANSWERS if few < paired.MIN_CLUSTERS else NO_SPREAD,
                cluster="game",
                p_value=found.p_value if tested else None,
                family=f"{metric}: models",
            ),
            permuted=self._record(
                f"{metric}_permuted",
                "share",
                Interval(estimate=found.null_mean),
                rows,
                missing=CHANCE_ALONE,
                cluster="game",
            ),
            best=found.best,
            worst=found.worst,
        )

    def over_chance(self, outcome: Outcome) -> Record | None:
        """Share won over all games, less what picking at random wins."""
        if outcome.chance is None:
            return None
        rows = np.isfinite(outcome.won)
        answers = self.games.answer[rows]
        found = coefficient(
            np.ones((len(answers), 1)),
            outcome.won[rows] - outcome.chance,
            answers,
            0,
            fewest=len(set(answers)),
            draws=self.draws,
            seed=self.seed,
        )
        metric = f"{outcome.key}_accuracy_over_chance"
        return self._record(
            metric,
            "share",
            found.value,
            rows,
            method=BOOTSTRAP,
            missing=found.missing,
            p_value=found.p_value,
            family=f"{metric}: models",
        )

    def _n_answers(self, rows: NDArray[np.bool_]) -> int:
        return len(set(self.games.answer[rows]))

    def _both(self, outcome: Outcome, dialect: str) -> NDArray[np.bool_]:
        """The games of a dialect and of the reference that have the outcome."""
        games = self.games
        inside = games.of(dialect) | games.of(games.reference)
        return np.asarray(np.isfinite(outcome.won) & inside)

    def _difference(
        self,
        outcome: Outcome,
        kind: str,
        dialect: str,
        rows: NDArray[np.bool_],
        held: tuple[Floats, ...],
    ) -> Record:
        """The coefficient of the dialect, with covariates held."""
        here = self.games.of(dialect)[rows]
        answers = self.games.answer[rows]
        x = np.stack([np.ones(len(here)), here.astype(np.float64), *held], axis=1)
        found = coefficient(
            x,
            outcome.won[rows],
            answers,
            1,
            fewest=min(len(set(answers[here])), len(set(answers[~here]))),
            draws=self.draws,
            seed=self.seed,
        )
        return self._tested(outcome, kind, dialect, rows, found)

    def _tested(
        self,
        outcome: Outcome,
        kind: str,
        dialect: str,
        rows: NDArray[np.bool_],
        found: Estimate,
    ) -> Record:
        metric = f"{outcome.key}_accuracy_{kind}"
        return self._record(
            metric,
            "share",
            found.value,
            rows,
            group=dialect,
            reference=self.games.reference,
            method=BOOTSTRAP,
            missing=found.missing,
            p_value=found.p_value,
            family=f"{metric}: models and dialects",
        )

    def _record(
        self,
        metric: str,
        unit: str,
        value: Interval,
        rows: NDArray[np.bool_],
        *,
        cluster: str = "answer",
        family: str = "",
        **keys: Any,
    ) -> Record:
        """A record over some games; see `record_of`."""
        run, n = self.games.run, int(rows.sum())
        return record_of(
            run,
            value,
            analysis=ANALYSIS,
            metric=metric,
            unit=unit,
            cluster=cluster,
            family=f"{run.probe}, {family}",
            n=n,
            n_clusters=n if cluster == "game" else self._n_answers(rows),
            **keys,
        )


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
