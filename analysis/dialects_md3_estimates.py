"""Differences between groups of games, with uncertainty clustered by answer.

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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.paired import MIN_CLUSTERS, Interval
from analysis.resample import Floats, cluster_counts, percentile_interval

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
