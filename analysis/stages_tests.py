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

from analysis.paired import MIN_CLUSTERS, Interval, TTest, t_test
from analysis.resample import CI_LEVEL, Floats, Stream, generator

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

    Cluster-robust errors and Satterthwaite's degrees of freedom; where every unit is
    its own cluster and none stands in both, this is Welch's t-test. What a cluster
    that stands in both adds to both means cancels.

    Args:
        first: Shape (P,), finite.
        second: Shape (R,), finite.
        clusters: Cluster of each of `first` and of `second`; the same code is the same
            cluster.
    """
    difference = float(first.mean() - second.mean())
    none = TTest(mean=Interval(estimate=difference), t=math.nan, p_value=None)
    names, codes = np.unique(np.concatenate(clusters), return_inverse=True)
    parts = []
    for values, own in (
        (first, codes[: len(first)]),
        (second, codes[len(first) :]),
    ):
        sums = np.bincount(own, values - values.mean(), minlength=len(names))
        number = len(np.unique(own))
        if number < MIN_CLUSTERS:
            return none
        parts.append((math.sqrt(number / (number - 1)) / len(values) * sums, number))
    (one, n_one), (two, n_two) = parts
    separate = float((one**2).sum()), float((two**2).sum())
    squared = float(((one - two) ** 2).sum())
    scale = max(float(np.abs(first).max()), float(np.abs(second).max()))
    if math.sqrt(squared) <= 1e-9 * scale:
        return none
    freedom = sum(separate) ** 2 / (
        separate[0] ** 2 / (n_one - 1) + separate[1] ** 2 / (n_two - 1)
    )
    error = math.sqrt(squared)
    reach = float(stats.t.ppf(0.5 + CI_LEVEL / 2, freedom)) * error
    return TTest(
        mean=Interval(
            estimate=difference, low=difference - reach, high=difference + reach
        ),
        t=difference / error,
        p_value=float(2 * stats.t.sf(abs(difference) / error, freedom)),
    )


def paired_t(changes: Floats, clusters: Codes) -> TTest:
    """`paired.t_test` of changes whose clusters have any codes."""
    _, codes = np.unique(clusters, return_inverse=True)
    return t_test(changes, codes)


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
    p_value: float


def widening(
    base: Floats,
    tuned: Floats,
    groups: Codes,
    clusters: Codes,
    *,
    draws: int,
    seed: int,
) -> Widening:
    """Tests the change of best minus worst group.

    Stage labels are swapped within units: all rows of a cluster, in whichever groups
    they stand, change their base and their tuned value or keep them. The null is that
    training changed nothing: values that only scatter more also widen the gap. Where
    all groups moved alike, and groups have units of their own, the test is cautious.

    Args:
        base: Shape (R,), finite.
        tuned: Shape (R,).
        groups: Shape (R,): from 0, each with a row.
        clusters: Shape (R,): from 0.
        draws: Permutations.
        seed: Of the permutations.
    """
    sizes = np.bincount(groups).astype(np.float64)
    middle = np.bincount(groups, (base + tuned) / 2) / sizes
    half = cluster_sums((tuned - base) / 2, groups, clusters)
    rng = generator(seed, Stream.SWAPS, len(half))
    signs = rng.integers(2, size=(draws, len(half))) * 2.0 - 1.0
    null = _spread_change(middle, signs @ half / sizes)
    found = float(_spread_change(middle, half.sum(axis=0, keepdims=True) / sizes)[0])
    at_least = int((np.abs(null) >= abs(found) - 1e-12).sum())
    return Widening(
        change=found,
        permuted=float(np.abs(null).mean()),
        p_value=(at_least + 1) / (draws + 1),
    )


def _spread_change(middle: Floats, half: Floats) -> Floats:
    """Best minus worst of ``middle + half`` less that of ``middle - half``, by row."""
    return np.ptp(middle + half, axis=1) - np.ptp(middle - half, axis=1)
