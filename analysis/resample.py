"""Resampling that every analysis shares: fixed seeds, vectorised draws.

Each purpose has its own random stream, so that a number does not change because
another one was, or was not, computed before it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CI_LEVEL = 0.95
"""Coverage aimed at by every interval."""
DRAWS = 2000
"""Draws of a bootstrap, and permutations of a test, in a report."""
SEED = 0
"""Of both."""

MIN_QUESTIONS = 5
"""Fewest questions that are resampled: of fewer, the draws repeat a handful of
values and their percentiles say nothing about other questions."""

TOO_FEW_QUESTIONS = f"none: fewer than {MIN_QUESTIONS} questions to resample"
"""`ci_method` where `MIN_QUESTIONS` is not reached."""


class Stream(enum.IntEnum):
    """What random numbers are for; part of the seed."""

    QUESTIONS = 1
    COUNTRIES = 2
    PERMUTATION = 3
    SWAPS = 4
    CLUSTERS = 5
    LABELS = 6
    SIGNS = 7


def generator(seed: int, stream: Stream, size: int) -> np.random.Generator:
    """The generator of one purpose; `size` is the number of units resampled."""
    return np.random.default_rng((seed, int(stream), size))


def question_counts(
    strata: NDArray[np.bool_] | NDArray[np.intp], draws: int, seed: int
) -> Floats:
    """How often each question enters each bootstrap draw.

    Questions are drawn within strata, positive and negative ones apart: how many of
    each a probe has is its design, not chance. Drawn together, a draw with more of one
    kind would let a liking of names whatever is asked, which the two kinds cancel,
    pass for noise of the measurement.

    Args:
        strata: Shape (Q,): whether each question is negative, or another stratum.
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        Shape (draws, Q), whole numbers as float64, each row summing to the stratum's
        size over each stratum. Whole numbers keep weighted sums of ranks (multiples of
        one half) exact, so that countries tied in every question stay tied in every
        draw.
    """
    rng = generator(seed, Stream.QUESTIONS, len(strata))
    counts = np.empty((draws, len(strata)))
    for value in np.unique(strata):
        inside = strata == value
        size = int(inside.sum())
        counts[:, inside] = rng.multinomial(size, np.full(size, 1.0 / size), size=draws)
    return counts


def unstratified(size: int) -> NDArray[np.bool_]:
    """One stratum of all questions, for `question_counts` where there are no kinds."""
    return np.zeros(size, dtype=np.bool_)


def cluster_counts(n_clusters: int, draws: int, seed: int) -> Floats:
    """How often each cluster enters each bootstrap draw, shape (draws, clusters)."""
    [counts] = cluster_pieces(n_clusters, draws, seed, draws)
    return counts


def cluster_pieces(
    n_clusters: int, draws: int, seed: int, at_once: int
) -> Iterator[Floats]:
    """The rows of `cluster_counts`, at most so many at once."""
    rng = generator(seed, Stream.CLUSTERS, n_clusters)
    shares = np.full(n_clusters, 1.0 / n_clusters)
    for begun in range(0, draws, at_once):
        size = min(at_once, draws - begun)
        yield rng.multinomial(n_clusters, shares, size=size).astype(np.float64)


def country_draws(n: int, draws: int, seed: int) -> NDArray[np.intp]:
    """Indices of countries drawn with replacement, shape (draws, n)."""
    return generator(seed, Stream.COUNTRIES, n).integers(0, n, size=(draws, n))


def weighted_means(values: Floats, counts: Floats) -> Floats:
    """Mean of each column under each draw, over the rows that have a value.

    Args:
        values: Shape (questions, columns); NaN = no value.
        counts: Shape (draws, questions).

    Returns:
        Shape (draws, columns); NaN where a draw holds no value of the column.
    """
    present = np.isfinite(values)
    sums = counts @ np.where(present, values, 0.0)
    if present.all():
        totals = counts.sum(axis=1, keepdims=True)
    else:
        totals = counts @ present.astype(np.float64)
    return np.divide(sums, totals, out=np.full_like(sums, np.nan), where=totals > 0)


def percentile_interval(
    draws: Floats, level: float = CI_LEVEL
) -> tuple[Floats, Floats]:
    """Percentile bootstrap bounds of each column.

    A draw without a value (NaN: every country drawn was the same one) is left out.

    Args:
        draws: Shape (draws, ...).
        level: Coverage aimed at.

    Returns:
        Lower and upper bounds, shape ``draws.shape[1:]``; NaN where more than one
        draw in ten has no value.
    """
    tail = 100.0 * (1.0 - level) / 2.0
    missing = np.isnan(draws)
    if not missing.any():
        low, high = np.percentile(draws, [tail, 100.0 - tail], axis=0)
        return low, high
    enough = missing.mean(axis=0) <= 0.1
    filled = np.where(enough, draws, 0.0)
    low, high = np.nanpercentile(filled, [tail, 100.0 - tail], axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)
