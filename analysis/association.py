"""Rank correlation of two country means: estimate, permutation p, two intervals.

Unit of analysis: a country that has both means; at least `MIN_COUNTRIES` of them. The
intervals and the p-value are described in `analysis.correlate`, which names them. The
same for a correlation with other means held fixed (`associate_given`), and for the
difference of two correlations with one side in common (`compare`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from analysis.ranks import Means
from analysis.resample import (
    Floats,
    Stream,
    country_draws,
    generator,
    percentile_interval,
)

MIN_COUNTRIES = 8
"""Fewest countries that a correlation is computed from."""

MIN_PARTIAL = 12
"""Fewest countries that a partial correlation is computed from."""

PERMUTATIONS = 20_000
"""Random relabellings of a permutation test; the smallest p is 1 in 20,001."""


def spearman_rows(x: Floats, y: Floats) -> Floats:
    """Spearman's rho of each row of `x` with the same row of `y`; ties averaged.

    Args:
        x: Shape (B, n).
        y: Shape (B, n).

    Returns:
        Shape (B,); NaN where a row holds a NaN or does not vary.
    """
    return _pearson_rows(rankdata(x, axis=1), rankdata(y, axis=1))


def partial_spearman_rows(x: Floats, y: Floats, *given: Floats) -> Floats:
    """Pearson's r of what `given` leaves of the ranks of `x` and of `y`, row by row.

    The residuals of the least-squares regression of each side's ranks on an intercept
    and the ranks of the given ones, ties averaged: the partial Spearman correlation.

    Args:
        x: Shape (B, n).
        y: Shape (B, n).
        given: Shape (B, n) each.

    Returns:
        Shape (B,); NaN where a row holds a NaN, or where the given ones do not vary
        or leave nothing of a side.
    """
    sides = [rankdata(side, axis=1) for side in (x, y, *given)]
    sides = [side - side.mean(axis=1, keepdims=True) for side in sides]
    while len(sides) > 2:
        # Frisch and Waugh: one regressor at a time, taken out of the others as well.
        one = sides.pop()
        square = (one * one).sum(axis=1)
        sides = [
            side - _ratio((side * one).sum(axis=1), square, square)[:, None] * one
            for side in sides
        ]
    return _pearson_rows(*sides)


def difference_rows(x: Floats, a: Floats, b: Floats) -> Floats:
    """Spearman's rho of `x` with `a` less that of `x` with `b`; as `spearman_rows`."""
    return spearman_rows(x, a) - spearman_rows(x, b)


def kendall_rows(x: Floats, y: Floats) -> Floats:
    """Kendall's tau-b of each row of `x` with the same row of `y`.

    Shapes and NaN as `spearman_rows`; memory grows with n squared.
    """
    i, j = np.triu_indices(x.shape[1], 1)
    dx = np.sign(x[:, i] - x[:, j])
    dy = np.sign(y[:, i] - y[:, j])
    return _ratio((dx * dy).sum(axis=1), (dx * dx).sum(axis=1), (dy * dy).sum(axis=1))


def _pearson_rows(x: Floats, y: Floats) -> Floats:
    x, y = (side - side.mean(axis=1, keepdims=True) for side in (x, y))
    return _ratio((x * y).sum(axis=1), (x * x).sum(axis=1), (y * y).sum(axis=1))


def _ratio(xy: Floats, xx: Floats, yy: Floats) -> Floats:
    scale = np.sqrt(xx * yy)
    # What rounding leaves of nothing is nothing: squares of ranks are far larger.
    known = scale > 1e-9
    return np.divide(xy, scale, out=np.full_like(xy, np.nan), where=known)


def _spearman_permuted(x: Floats, y: Floats, orders: NDArray[np.intp]) -> Floats:
    rx, ry = rankdata(x), rankdata(y)
    rx, ry = rx - rx.mean(), ry - ry.mean()
    return ry[orders] @ rx / np.sqrt((rx @ rx) * (ry @ ry))


def _kendall_permuted(x: Floats, y: Floats, orders: NDArray[np.intp]) -> Floats:
    n = len(x)
    i, j = np.triu_indices(n, 1)
    dx = np.sign(x[i] - x[j])
    signs = np.sign(y[:, None] - y[None, :]).astype(np.float32)
    dy = signs.ravel()[orders[:, i] * n + orders[:, j]]
    pairs = signs[i, j].astype(np.float64)
    products = (dy @ dx.astype(np.float32)).astype(np.float64)
    return products / np.sqrt((dx @ dx) * (pairs @ pairs))


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A correlation coefficient, row-wise and under permutation."""

    unit: str
    rows: Callable[[Floats, Floats], Floats]
    permuted: Callable[[Floats, Floats, NDArray[np.intp]], Floats]


SPEARMAN = Statistic(unit="rho", rows=spearman_rows, permuted=_spearman_permuted)
KENDALL = Statistic(unit="tau", rows=kendall_rows, permuted=_kendall_permuted)


def permutation_p(statistic: Statistic, x: Floats, y: Floats, seed: int) -> float:
    """Two-sided permutation p of no association.

    Counts the random relabellings whose coefficient is at least as far from zero as
    the observed one, the observed labelling included (Phipson and Smyth 2010), so
    that p is never 0.

    Args:
        statistic: The coefficient.
        x: Shape (n,).
        y: Shape (n,).
        seed: Of the relabellings, which depend on n and nothing else.
    """
    rng = generator(seed, Stream.PERMUTATION, len(x))
    orders = rng.permuted(np.tile(np.arange(len(x)), (PERMUTATIONS, 1)), axis=1)
    observed = abs(float(statistic.rows(x[None], y[None])[0]))
    # Rounding must not make an equal coefficient count as a smaller one.
    extreme = np.abs(statistic.permuted(x, y, orders)) >= observed - 1e-6
    return (1 + int(extreme.sum())) / (1 + PERMUTATIONS)


def swap_p(x: Floats, a: Floats, b: Floats, seed: int) -> float:
    """Two-sided p of no difference between rho(x, a) and rho(x, b).

    Under the null the two sides are exchangeable country by country: for each it is a
    coin toss which of its two ranks is whose. p is the share of tosses whose difference
    is at least as far from zero as the observed one: of all 2 to the n where they are
    no more than `PERMUTATIONS`, else of so many random ones, the observed one included.

    Args:
        x: Shape (n,), the side in common.
        a: Shape (n,).
        b: Shape (n,).
        seed: Of random tosses, which depend on n and nothing else.
    """
    n = len(x)
    exact = 2**n <= PERMUTATIONS
    if exact:
        swapped = (np.arange(2**n)[:, None] >> np.arange(n)) % 2 == 1
    else:
        swapped = generator(seed, Stream.SWAPS, n).random((PERMUTATIONS, n)) < 0.5
    ranks_a, ranks_b = rankdata(a), rankdata(b)
    both = np.broadcast_to(rankdata(x), swapped.shape)
    differences = _pearson_rows(
        both, np.where(swapped, ranks_b, ranks_a)
    ) - _pearson_rows(both, np.where(swapped, ranks_a, ranks_b))
    observed = abs(float(difference_rows(x[None], a[None], b[None])[0]))
    extreme = int((np.abs(differences) >= observed - 1e-6).sum())
    return extreme / 2**n if exact else (1 + extreme) / (1 + PERMUTATIONS)


@dataclass(frozen=True, kw_only=True)
class Association:
    """A coefficient between country means, with its uncertainty."""

    n: int
    estimate: float | None
    """None: too few countries, or one side does not vary."""
    why_not: str | None
    """Why there is no estimate."""
    p_value: float | None
    precision: tuple[float, float] | None
    """Percentile bounds with questions resampled."""
    generalisation: tuple[float, float] | None
    """Percentile bounds with countries and questions resampled."""


def associate(
    x: Means,
    y: Means,
    *,
    seed: int,
    statistic: Statistic = SPEARMAN,
    tested: bool = True,
) -> Association:
    """Correlates two country means over the countries that have both.

    Args:
        x: Means over questions, shape (n,); without draws there is no interval.
        y: The other side, same countries; without draws it is held fixed.
        seed: Of the country draws and the permutations.
        statistic: The coefficient.
        tested: Whether a permutation p is wanted.
    """
    return _associate(
        statistic.rows,
        (x, y),
        (lambda x, y: permutation_p(statistic, x, y, seed)) if tested else None,
        seed=seed,
    )


def associate_given(x: Means, y: Means, *given: Means, seed: int) -> Association:
    """Partial Spearman correlation, by `partial_spearman_rows`; without a test.

    Over the countries that have every side, at least `MIN_PARTIAL` of them: each
    given one costs a degree of freedom.

    Args:
        x: As in `associate`.
        y: As in `associate`.
        given: What is held fixed, same countries.
        seed: Of the country draws.
    """
    return _associate(
        partial_spearman_rows, (x, y, *given), seed=seed, least=MIN_PARTIAL
    )


def compare(x: Means, a: Means, b: Means, *, seed: int) -> Association:
    """Spearman's rho of `x` with `a` less that with `b`, over the same countries.

    Paired: each draw of countries and questions is one for both coefficients.

    Args:
        x: The side in common, as in `associate`.
        a: One side, same countries.
        b: The other side, same countries.
        seed: Of the country draws and of `swap_p`.
    """
    return _associate(
        difference_rows, (x, a, b), lambda x, a, b: swap_p(x, a, b, seed), seed=seed
    )


def _associate(
    rows: Callable[..., Floats],
    sides: Sequence[Means],
    test: Callable[..., float] | None = None,
    *,
    seed: int,
    least: int = MIN_COUNTRIES,
) -> Association:
    """`rows` of the sides over the countries that have all, with its intervals."""
    known = np.all([np.isfinite(side.estimate) for side in sides], axis=0)
    sides = [side.take(np.flatnonzero(known)) for side in sides]
    n = int(known.sum())
    estimates = [side.estimate for side in sides]
    why, estimate = None, np.nan
    if n < least:
        why = f"not computed: {n} countries, at least {least} are needed"
    else:
        estimate = float(rows(*(one[None] for one in estimates))[0])
        if np.isnan(estimate):
            why = "not computed: one side is the same for every country"
    if why is not None:
        return Association(
            n=n,
            estimate=None,
            why_not=why,
            p_value=None,
            precision=None,
            generalisation=None,
        )
    precision = generalisation = None
    if sides[0].draws is not None:
        draws = [
            np.broadcast_to(side.estimate, sides[0].draws.shape)
            if side.draws is None
            else side.draws
            for side in sides
        ]
        picks = country_draws(n, len(draws[0]), seed)
        precision = _bounds(rows(*draws))
        generalisation = _bounds(
            rows(*(np.take_along_axis(side, picks, axis=1) for side in draws))
        )
    return Association(
        n=n,
        estimate=estimate,
        why_not=None,
        p_value=None if test is None else test(*estimates),
        precision=precision,
        generalisation=generalisation,
    )


def _bounds(draws: Floats) -> tuple[float, float] | None:
    low, high = percentile_interval(draws)
    return None if np.isnan(low) else (float(low), float(high))
