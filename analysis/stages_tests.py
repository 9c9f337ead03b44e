"""Tests of a change between two checkpoints, as plain numbers.

Estimands: the mean change of a group over units like those at hand, one group's change
less another's, and the change of best minus worst group. Unit of analysis: a unit (a
question, a game) of which both checkpoints have a value; units of one cluster (a
passage, an answer) are not independent, and every error knows it. All hold the two
checkpoints fixed: nothing is said of another training run with another seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.paired import (
    MIN_CLUSTERS,
    Interval,
    TTest,
    cluster_shifts,
    clustered_error,
    shared_counts,
    t_test,
    t_tested,
    varies,
)
from analysis.resample import Floats, Stream, generator, question_counts

Codes = NDArray[np.intp]


def mcnemar_mid_p(changes: Floats) -> float | None:
    """McNemar's test of paired outcomes that are 0 or 1, by its mid-p-value.

    The exact test rejects a true null too seldom, as the number of pairs that differ is
    discrete; the mid-p counts the outcome at hand by one half (Fagerland, Lydersen and
    Laake 2013, BMC Medical Research Methodology 13:91).

    Args:
        changes: Shape (P,): -1, 0 or 1, pairs independent of each other.

    Returns:
        Two-sided; None: no pair differs.
    """
    up, down = int((changes > 0).sum()), int((changes < 0).sum())
    if up + down == 0:
        return None
    fewer = min(up, down)
    tail, here = (
        float(of(fewer, up + down, 0.5)) for of in (stats.binom.cdf, stats.binom.pmf)
    )
    return 1.0 - here / 2 if up == down else 2 * tail - here


def welch(first: Floats, second: Floats, clusters: tuple[Codes, Codes]) -> TTest:
    """The mean of `first` less that of `second`, of different units.

    Cluster-robust errors and Satterthwaite's degrees of freedom, or where clusters
    stand in both no more than the fewer have; where every unit is its own cluster, this
    is Welch's t-test. What a cluster that stands in both adds to both means cancels.

    Args:
        first: Shape (P,), finite.
        second: Shape (R,), finite.
        clusters: Cluster of each of `first` and of `second`; the same code is the same
            cluster.
    """
    difference = float(first.mean() - second.mean())
    none = TTest(mean=Interval(estimate=difference), t=math.nan, p_value=None)
    names, codes = np.unique(np.concatenate(clusters), return_inverse=True)
    own = codes[: len(first)], codes[len(first) :]
    numbers = [len(np.unique(one)) for one in own]
    if min(numbers) < MIN_CLUSTERS:
        return none
    # How far leaving a cluster out moves each mean, in the scale of its error.
    one, two = (
        math.sqrt((number - 1) / number)
        * cluster_shifts(values - values.mean(), of, len(names))
        for values, of, number in zip((first, second), own, numbers, strict=True)
    )
    error = math.sqrt(float(((one - two) ** 2).sum()))
    scale = max(float(np.abs(first).max()), float(np.abs(second).max()))
    if error <= 1e-9 * scale:
        return none
    separate = float((one**2).sum()), float((two**2).sum())
    freedom = sum(separate) ** 2 / sum(
        squared**2 / (number - 1)
        for squared, number in zip(separate, numbers, strict=True)
    )
    if sum(numbers) > len(names):
        freedom = min(freedom, min(numbers) - 1)
    return t_tested(difference, error, freedom)


def paired_t(changes: Floats, clusters: Codes, strata: Codes | None = None) -> TTest:
    """`paired.t_test` of changes whose clusters have any codes.

    With strata, what they differ by is no error of the mean: the jackknife leaves out
    clusters within their stratum, and each stratum costs a degree of freedom.

    Args:
        changes: Shape (P,), finite.
        clusters: Shape (P,).
        strata: Shape (P,): of the cluster. None, or a stratum of one cluster: all are
            of one stratum.
    """
    _, codes = np.unique(clusters, return_inverse=True)
    if strata is None or not varies(changes):
        return t_test(changes, codes)
    parts = [np.flatnonzero(strata == one) for one in np.unique(strata)]
    numbers = [len(np.unique(codes[rows])) for rows in parts]
    if len(parts) == 1 or min(numbers) < 2 or sum(numbers) < MIN_CLUSTERS:
        return t_test(changes, codes)
    squared = 0.0
    for rows in parts:
        inside = np.unique(codes[rows], return_inverse=True)[1]
        error = clustered_error(changes[rows], inside) if varies(changes[rows]) else 0.0
        squared += (len(rows) / len(changes) * error) ** 2
    freedom = sum(numbers) - len(parts)
    return t_tested(float(changes.mean()), math.sqrt(squared), freedom)


def drawn_clusters(clusters: Codes, strata: Codes, draws: int, seed: int) -> Floats:
    """How often each cluster enters each draw, drawn within strata.

    Args:
        clusters: Shape (R,): from 0, each with a row.
        strata: Shape (R,): of the cluster.
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        Shape (draws, clusters).
    """
    of = np.zeros(int(clusters.max()) + 1, dtype=np.intp)
    of[clusters] = strata
    if (of == of[0]).all():
        return shared_counts(len(of), draws, seed)
    return question_counts(of, draws, seed)


def bootstrap_means(
    values: Floats, groups: Codes, clusters: Codes, counts: Floats
) -> Floats:
    """Mean of each group under each draw of clusters.

    Args:
        values: Shape (R,), finite.
        groups: Shape (R,): from 0.
        clusters: Shape (R,): from 0.
        counts: Shape (draws, clusters): how often each is drawn.

    Returns:
        Shape (draws, groups); NaN where a draw holds none of a group.
    """
    sums, sizes = (
        counts @ cluster_sums(of, groups, clusters)
        for of in (values, np.ones(len(values)))
    )
    return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)


def cluster_sums(values: Floats, groups: Codes, clusters: Codes) -> Floats:
    """Sums of values per cluster and group, shape (clusters, groups)."""
    shape = int(clusters.max()) + 1, int(groups.max()) + 1
    cells = clusters * shape[1] + groups
    sums = np.bincount(cells, values, minlength=shape[0] * shape[1])
    return sums.astype(np.float64).reshape(shape)


@dataclass(frozen=True, kw_only=True)
class Widening:
    """How best minus worst group changes."""

    change: float
    """That of the tuned checkpoint less that of the base."""
    permuted: float
    """Mean size of such a change where the labels of the stages are swapped at random:
    what chance alone gives. (The mean change is zero, as every swap has a reverse.)"""
    p_swapped: float
    """Of no change at all: by swapping the labels."""
    p_equal: float
    """Of the same change in every group."""

    @property
    def p_value(self) -> float:
        """Of an unchanged gap: both nulls keep it, and both must be refuted."""
        return max(self.p_swapped, self.p_equal)


def widening(
    base: Floats,
    tuned: Floats,
    groups: Codes,
    clusters: Codes,
    strata: Codes | None = None,
    *,
    draws: int,
    seed: int,
) -> Widening:
    """Tests the change of best minus worst group.

    Stage labels are swapped within units: all rows of a cluster, in whichever groups
    they stand, change their base and their tuned value or keep them. That refutes that
    training changed nothing, and no more: shares near one half scatter more than shares
    near 0 or 1, and with them the best and the worst group, so that a level that rises
    alike in all groups widens the gap (from 2 to 40 % in nine groups of a hundred, this
    test alone finds it changed in two of three cases). So the groups must also be shown
    to have changed unequally, by `equal_changes`.

    Args:
        base: Shape (R,), finite.
        tuned: Shape (R,).
        groups: Shape (R,): from 0, each with a row.
        clusters: Shape (R,): from 0.
        strata: Shape (R,): of the cluster; None: all are of one.
        draws: Permutations.
        seed: Of the permutations.
    """
    sizes = np.bincount(groups).astype(np.float64)
    middle = np.bincount(groups, (base + tuned) / 2) / sizes
    half = cluster_sums((tuned - base) / 2, groups, clusters)
    signs = _signs(len(half), Stream.SWAPS, draws, seed)
    null = _spread_change(middle, signs @ half / sizes)
    found = float(_spread_change(middle, half.sum(axis=0, keepdims=True) / sizes)[0])
    return Widening(
        change=found,
        permuted=float(np.abs(null).mean()),
        p_swapped=_share_beyond(np.abs(null), abs(found)),
        p_equal=equal_changes(
            tuned - base, groups, clusters, strata, draws=draws, seed=seed
        ),
    )


def equal_changes(
    changes: Floats,
    groups: Codes,
    clusters: Codes,
    strata: Codes | None = None,
    *,
    draws: int,
    seed: int,
) -> float:
    """P-value of the null that every group changed by the same.

    What is tested is the largest less the smallest change, which is at least the change
    of the gap. Its distribution under the null is that of the residuals, whose signs
    are drawn cluster by cluster (a wild cluster bootstrap, Cameron, Gelbach and Miller
    2008): no group needs to scatter like another.

    Args:
        changes: Shape (R,), finite.
        groups: Shape (R,): from 0, each with a row.
        clusters: Shape (R,): from 0.
        strata: Shape (R,): of the cluster; None: all are of one.
        draws: Of the signs.
        seed: Of the same.
    """
    width = int(groups.max()) + 1
    sizes = np.bincount(groups).astype(np.float64)
    means = np.bincount(groups, changes) / sizes
    cells = groups if strata is None else strata * width + groups
    inside = np.bincount(cells, changes) / np.maximum(np.bincount(cells), 1)
    pairs = np.unique(cells * (int(clusters.max()) + 1) + clusters)
    numbers = np.bincount(pairs // (int(clusters.max()) + 1))
    # Residuals are smaller than errors, as the means are fitted to them.
    larger = np.sqrt(numbers / np.maximum(numbers - 1, 1))
    sums = cluster_sums((changes - inside[cells]) * larger[cells], groups, clusters)
    signs = _signs(len(sums), Stream.SIGNS, draws, seed)
    return _share_beyond(np.ptp(signs @ (sums / sizes), axis=1), float(np.ptp(means)))


def _signs(size: int, stream: Stream, draws: int, seed: int) -> Floats:
    """Random signs, shape (draws, size)."""
    drawn = generator(seed, stream, size).integers(2, size=(draws, size))
    return drawn.astype(np.float64) * 2.0 - 1.0


def _share_beyond(null: Floats, found: float) -> float:
    """Share of draws that are at least `found`, which counts as one of them."""
    return (int((null >= found - 1e-12).sum()) + 1) / (len(null) + 1)


def _spread_change(middle: Floats, half: Floats) -> Floats:
    """Best minus worst of ``middle + half`` less that of ``middle - half``, by row."""
    return np.ptp(middle + half, axis=1) - np.ptp(middle - half, axis=1)
