"""Paired comparisons: the same content in two forms, scored by one model.

Estimands: the mean difference reference - other over pairs like those at hand; the
same in standard deviations, as d_z (over the SD of the differences: how consistently
one form is preferred) and as d_av (over the average of the two forms' SDs: how large
the difference is beside the spread of scores), Cumming (2012), Lakens (2013, Frontiers
in Psychology 4:863). Positive always means that the reference is preferred.

Unit of analysis: a pair. Pairs of one cluster (a prompt, a sentence frame) are not
independent of each other: the t-test and the interval of the mean difference rest on
a cluster-robust standard error with clusters - 1 degrees of freedom, the Wilcoxon test
on cluster means, the intervals of d on the same error and that of the SD. Where every
pair is its own cluster, these are the ordinary paired tests. All hold the model fixed
and say nothing about other kinds of prompts or frames.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.power import NormalIndPower, TTestPower
from statsmodels.stats.proportion import proportion_confint

from analysis.resample import (
    CI_LEVEL,
    Floats,
    cluster_counts,
    cluster_pieces,
    percentile_interval,
)

MIN_CLUSTERS = 5
"""Fewest clusters that are tested or resampled."""
TOO_FEW_CLUSTERS = f"none: fewer than {MIN_CLUSTERS} clusters"
SHARED_COUNTS = 8_000_000
"""Cells of `shared_counts` that are held at once, 64 MB."""
POWER = 0.8
"""Of the minimum detectable effect."""
ALPHA = 0.05
"""Of the minimum detectable effect, two-sided, before any correction."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate; NaN where there is none."""

    estimate: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, kw_only=True)
class TTest:
    """A mean against zero; `p_value` and the interval are duals of each other."""

    mean: Interval
    t: float
    p_value: float | None
    """Two-sided; None: too few clusters, or no spread."""
    error: float = math.nan
    """Standard error of the mean; NaN: as `p_value`."""
    freedom: float = math.nan
    """Degrees of freedom; NaN: as `p_value`."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Reference minus other over the pairs that have both."""

    n: int
    n_clusters: int
    mean: Interval
    """Mean difference; its interval and `p_t` are duals of each other."""
    d_z: Interval
    d_av: Interval
    t: float
    """Of the cluster-robust t-test with `n_clusters` - 1 degrees of freedom."""
    p_t: float | None
    """Two-sided; None: too few clusters, or no spread at all."""
    p_wilcoxon: float | None
    """Two-sided signed-rank test of the clusters' mean differences; None: as `p_t`."""
    detectable: float | None
    """Smallest d_z of cluster means that a two-sided t-test at 5 % finds with a power
    of 80 % with so many clusters, uncorrected; None: too few."""


@dataclass(frozen=True, kw_only=True)
class SignTest:
    """Exact test of which of two paired outcomes is the more frequent."""

    more: int
    """Pairs in which the reference does better."""
    fewer: int
    p_value: float | None
    """Two-sided binomial over the pairs that differ (McNemar's exact test where
    outcomes are right or wrong); None: none differ."""


def compare(
    reference: Floats,
    other: Floats,
    clusters: Sequence[str] | NDArray[np.str_],
) -> Paired:
    """Paired differences with their tests.

    Args:
        reference: Shape (P,): scores of the reference form; NaN = unscored.
        other: Shape (P,): scores of the other form.
        clusters: P labels: pairs with the same label belong together.

    Returns:
        The comparison over the pairs in which both are finite. Estimates without
        enough pairs are NaN.
    """
    both = np.isfinite(reference) & np.isfinite(other)
    first, second = reference[both], other[both]
    _, codes = np.unique(np.asarray(clusters)[both], return_inverse=True)
    n, groups = len(first), int(codes.max()) + 1 if len(codes) else 0
    differences = first - second
    mean = float(differences.mean()) if n else math.nan
    scales = _spread(differences), (_spread(first) + _spread(second)) / 2
    d_z, d_av = (mean / scale if scale > 0 else math.nan for scale in scales)
    found = Paired(
        n=n,
        n_clusters=groups,
        mean=Interval(estimate=mean),
        d_z=Interval(estimate=d_z),
        d_av=Interval(estimate=d_av),
        t=math.nan,
        p_t=None,
        p_wilcoxon=None,
        detectable=None,
    )
    if groups < MIN_CLUSTERS or not varies(differences):
        return found
    test = t_test(differences, codes)
    error = clustered_error(differences, codes)
    return dataclasses.replace(
        found,
        mean=test.mean,
        d_z=_around(d_z, error, scales[0], groups),
        d_av=_around(d_av, error, scales[1], groups),
        t=test.t,
        p_t=test.p_value,
        p_wilcoxon=_wilcoxon(np.bincount(codes, differences) / np.bincount(codes)),
        detectable=detectable_d(groups),
    )


def t_test(differences: Floats, codes: NDArray[np.intp]) -> TTest:
    """The cluster-robust t-test of a mean, with clusters - 1 degrees of freedom.

    Args:
        differences: Shape (P,), finite.
        codes: Shape (P,): clusters from 0.
    """
    mean = float(differences.mean())
    groups = int(codes.max()) + 1
    enough = groups >= MIN_CLUSTERS and varies(differences)
    error = clustered_error(differences, codes) if enough else 0.0
    return t_tested(mean, error, groups - 1)


def t_tested(mean: float, error: float, freedom: float) -> TTest:
    """Student's t of an estimate; where `error` is zero or NaN, there is no test."""
    if not error > 0:
        return TTest(mean=Interval(estimate=mean), t=math.nan, p_value=None)
    t = mean / error
    reach = float(stats.t.ppf(0.5 + CI_LEVEL / 2, freedom)) * error
    return TTest(
        mean=Interval(estimate=mean, low=mean - reach, high=mean + reach),
        t=t,
        p_value=float(2 * stats.t.sf(abs(t), freedom)),
        error=error,
        freedom=freedom,
    )


def independent_difference(
    first: Floats,
    first_codes: NDArray[np.intp],
    second: Floats,
    second_codes: NDArray[np.intp],
) -> TTest:
    """Mean of one group less that of another, of other units: Welch's test, clustered.

    Each mean has its cluster-robust standard error, with clusters - 1 degrees of
    freedom; theirs together are Satterthwaite's. Where every unit is its own cluster,
    this is Welch's test.

    Args:
        first: Shape (P,), finite, at least one.
        first_codes: Shape (P,): clusters from 0.
        second: Shape (Q,), finite, at least one.
        second_codes: Shape (Q,): clusters from 0, others than the first's.
    """
    mean = float(first.mean() - second.mean())
    groups = [int(codes.max()) + 1 for codes in (first_codes, second_codes)]
    if min(groups) < MIN_CLUSTERS or not (varies(first) or varies(second)):
        return t_tested(mean, 0.0, math.nan)
    squares = [
        clustered_error(values, codes) ** 2
        for values, codes in ((first, first_codes), (second, second_codes))
    ]
    total = sum(squares)
    if not total > 0:
        return t_tested(mean, 0.0, math.nan)
    spread = sum(
        square**2 / (size - 1) for square, size in zip(squares, groups, strict=True)
    )
    return t_tested(mean, math.sqrt(total), total**2 / spread)


def mean_of_means(
    values: Floats, groups: NDArray[np.intp], codes: NDArray[np.intp]
) -> TTest:
    """Mean over groups of their means, each group counting the same, groups held.

    Args:
        values: Shape (P,), finite, at least one.
        groups: Shape (P,): groups from 0, each with a value.
        codes: Shape (P,): clusters from 0; one may lie in several groups. Where one
            holds all of a group, there is no test.
    """
    sizes = np.bincount(groups)
    means = np.bincount(groups, values) / sizes
    clusters, width = int(codes.max()) + 1, len(sizes)
    cells, shape = codes * width + groups, (clusters, width)
    counts = np.bincount(cells, minlength=clusters * width).reshape(shape)
    alone = bool((counts == sizes).any())
    enough = clusters >= MIN_CLUSTERS and varies(values) and not alone
    error = 0.0
    if enough:
        residuals = np.bincount(cells, values - means[groups], clusters * width)
        shifts = (residuals.reshape(shape) / (sizes - counts)).mean(axis=1)
        error = _jackknife(shifts, clusters)
    return t_tested(float(means.mean()), error, clusters - 1)


def detectable_mean(test: TTest) -> float | None:
    """Smallest mean, or difference, that a test with this standard error finds.

    At 5 % two-sided with a power of 80 %, before any correction (t approximation to
    the noncentral t); None: there is no standard error.
    """
    if not test.error > 0:
        return None
    reach = stats.t.ppf(1 - ALPHA / 2, test.freedom) + stats.t.ppf(POWER, test.freedom)
    return float(reach * test.error)


def varies(values: Floats) -> bool:
    """Whether values, at least one, differ by more than the trace rounding leaves."""
    return float(np.ptp(values)) > 1e-9 * float(np.abs(values).max())


@functools.lru_cache(maxsize=4)
def shared_counts(groups: int, draws: int, seed: int) -> Floats:
    """`resample.cluster_counts`, drawn once for all comparisons of as many clusters."""
    counts = cluster_counts(groups, draws, seed)
    counts.flags.writeable = False
    return counts


def resampled(
    statistic: Callable[[Floats], Floats], groups: int, draws: int, seed: int
) -> Floats:
    """A statistic of each draw of clusters, shape (draws,).

    Args:
        statistic: Counts of shape (some draws, groups) -> its value in each.
        groups: Clusters.
        draws: Bootstrap draws.
        seed: Of the draws.
    """
    at_once = max(1, SHARED_COUNTS // groups)
    if draws <= at_once:
        return statistic(shared_counts(groups, draws, seed))
    pieces = cluster_pieces(groups, draws, seed, at_once)
    return np.concatenate([statistic(counts) for counts in pieces])


def clustered_error(values: Floats, codes: NDArray[np.intp]) -> float:
    """Cluster-robust standard error of a mean: the jackknife over clusters (CR3).

    Of clusters of one size this is the usual robust error. Where one cluster is much
    larger than the others, that one is far too small: simulated tests at 5 % of a true
    null, one cluster holding half to five sixths of the units, rejected it in 10 to
    47 % of cases, and with the jackknife in 0 to 7 % (MacKinnon, Nielsen and Webb 2023,
    Journal of Econometrics 232:272, say why).

    Args:
        values: Shape (P,).
        codes: Shape (P,): clusters from 0, at least two.
    """
    shifts = cluster_shifts(values - values.mean(), codes, int(codes.max()) + 1)
    return _jackknife(shifts, len(shifts))


def cluster_shifts(residuals: Floats, codes: NDArray[np.intp], groups: int) -> Floats:
    """By how much leaving each cluster out moves the mean, shape (groups,).

    Args:
        residuals: Shape (P,): of mean zero.
        codes: Shape (P,): clusters from 0; one that has no value moves nothing.
        groups: Number of clusters.
    """
    sizes = np.bincount(codes, minlength=groups)
    sums = np.bincount(codes, residuals, minlength=groups)
    return sums / (len(residuals) - sizes)


def _jackknife(shifts: Floats, groups: int) -> float:
    """Standard error from what leaving each of `groups` clusters out changes."""
    return math.sqrt((groups - 1) / groups * float((shifts**2).sum()))


def _spread(values: Floats) -> float:
    """SD; zero where only rounding tells values apart, NaN of fewer than two."""
    if len(values) < 2:
        return math.nan
    return float(values.std(ddof=1)) if varies(values) else 0.0


def _around(d: float, error: float, scale: float, groups: int) -> Interval:
    """A standardised mean difference with its interval.

    By the delta method for normal scores: the mean's part of the squared standard error
    is the clustered one, the SD's part d^2 / 2 (clusters - 1), as if each cluster told
    of the SD once. Student's t. Of 8 to 40 clusters it covers in 91 to 99 % of cases,
    where percentiles of a bootstrap of d, whose SD shrinks when pairs are drawn twice,
    cover in 52 to 95 %.

    Args:
        d: The estimate.
        error: Standard error of the mean difference.
        scale: SD that `d` is over.
        groups: Clusters.
    """
    if not scale > 0:
        return Interval(estimate=d)
    reach = float(stats.t.ppf(0.5 + CI_LEVEL / 2, groups - 1)) * math.sqrt(
        (error / scale) ** 2 + d**2 / (2 * (groups - 1))
    )
    return Interval(estimate=d, low=d - reach, high=d + reach)


def bounded(estimate: float, draws: Floats) -> Interval:
    """An estimate with the percentile interval of its draws."""
    low, high = percentile_interval(draws)
    return Interval(estimate=estimate, low=float(low), high=float(high))


def _wilcoxon(differences: Floats) -> float | None:
    if not differences.any():
        return None
    with warnings.catch_warnings():
        # Few pairs with ties: the normal approximation is scipy's own choice there.
        warnings.simplefilter("ignore", UserWarning)
        return float(stats.wilcoxon(differences).pvalue)


def rank_biserial(differences: Floats, counts: Floats) -> Floats:
    """Matched-pairs rank-biserial correlation (Kerby 2014): the effect of Wilcoxon's.

    The share of the signed ranks' sum that is positive less that which is negative.

    Args:
        differences: Shape (units,); zeros do not count.
        counts: Shape (draws, units): how often each unit is drawn.

    Returns:
        Shape (draws,), between -1 and 1; NaN where all that is drawn are zeros.
    """
    kept = np.flatnonzero(differences)
    found = np.full(len(counts), np.nan)
    if not len(kept):
        return found
    order = kept[np.argsort(np.abs(differences[kept]), kind="stable")]
    sizes = np.abs(differences[order])
    firsts = np.flatnonzero(np.diff(sizes, prepend=-1.0))
    drawn = counts[:, order]
    total = np.add.reduceat(drawn, firsts, axis=1)
    signed = np.add.reduceat(drawn * np.sign(differences[order]), firsts, axis=1)
    # The mean rank of the units of one size, which are tied.
    ranks = np.cumsum(total, axis=1) - (total - 1) / 2
    sums = (ranks * total).sum(axis=1)
    np.divide((ranks * signed).sum(axis=1), sums, out=found, where=sums > 0)
    return found


def clustered_mean(
    values: Floats,
    clusters: Sequence[str] | NDArray[np.str_],
    *,
    draws: int,
    seed: int,
) -> Interval:
    """A mean with a percentile bootstrap interval over clusters.

    Args:
        values: Shape (P,); NaN is left out.
        clusters: P labels.
        draws: Bootstrap draws.
        seed: Of the draws.
    """
    known = np.isfinite(values)
    if not known.any():
        return Interval(estimate=math.nan)
    _, codes = np.unique(np.asarray(clusters)[known], return_inverse=True)
    kept = values[known]
    groups = int(codes.max()) + 1
    found = Interval(estimate=float(kept.mean()))
    if groups < MIN_CLUSTERS:
        return found
    sums, sizes = np.bincount(codes, kept, minlength=groups), np.bincount(codes)

    def mean(counts: Floats) -> Floats:
        return np.asarray((counts @ sums) / (counts @ sizes))

    return bounded(found.estimate, resampled(mean, groups, draws, seed))


def sign_test(differences: Floats) -> SignTest:
    """Exact sign test of paired outcomes; McNemar's where they are 0 or 1.

    Args:
        differences: Shape (P,): reference minus other; NaN and zero do not count.
    """
    more, fewer = int((differences > 0).sum()), int((differences < 0).sum())
    if more + fewer == 0:
        return SignTest(more=0, fewer=0, p_value=None)
    p = stats.binomtest(more, more + fewer, 0.5).pvalue
    return SignTest(more=more, fewer=fewer, p_value=float(p))


def wins(differences: Floats) -> Floats:
    """1 where the first is higher, 0 where the second is, 0.5 tied; NaN stays."""
    return (np.sign(differences) + 1) / 2


def bounded_by(
    mean: Interval, *, low: float = -math.inf, high: float = math.inf
) -> Interval:
    """The interval of a mean of values of which none is below `low` or above `high`."""
    if not math.isfinite(mean.low):
        return mean
    return dataclasses.replace(mean, low=max(mean.low, low), high=min(mean.high, high))


def wilson(successes: float, n: int) -> Interval:
    """A share with Wilson's interval; ties may count one half in `successes`."""
    if n == 0:
        return Interval(estimate=math.nan)
    low, high = proportion_confint(successes, n, alpha=1 - CI_LEVEL, method="wilson")
    return Interval(estimate=successes / n, low=float(low), high=float(high))


def clustered_share(
    won: Floats, clusters: NDArray[np.str_] | NDArray[np.intp]
) -> Interval:
    """A share of units that belong to clusters.

    Wilson's interval of as many independent units as would have the share's
    cluster-robust standard error: at least the clusters, at most the units (Korn and
    Graubard 1998). A bootstrap would have no width where all or none are won, as a
    small model's guesses are. A share of 0 or 1 rests on the clusters alone.

    Args:
        won: Shape (U,), finite, between 0 and 1.
        clusters: Shape (U,): labels; units with the same label belong together.
    """
    n = len(won)
    if n == 0:
        return Interval(estimate=math.nan)
    _, codes = np.unique(clusters, return_inverse=True)
    groups, mean = int(codes.max()) + 1, float(won.mean())
    units = groups
    if 0 < mean < 1 and groups > 1:
        error = clustered_error(won, codes)
        known = round(mean * (1 - mean) / error**2) if error > 0 else n
        units = min(max(known, groups), n)
    return wilson(mean * units, units)


@functools.lru_cache(maxsize=64)
def detectable_d(n: int) -> float | None:
    """Smallest d_z that a two-sided paired t-test of `n` units finds.

    At 5 % with a power of 80 %, before any correction for several tests; None for
    fewer than `MIN_CLUSTERS` units.
    """
    if n < MIN_CLUSTERS:
        return None
    found = TTestPower().solve_power(nobs=n, alpha=ALPHA, power=POWER)
    return float(np.asarray(found).ravel()[0])


def detectable_drop(share: float, n_reference: int, n_other: int) -> float | None:
    """Smallest fall below `share` that two independent groups of items can show.

    Args:
        share: The reference group's share, between 0 and 1.
        n_reference: Its items.
        n_other: The other group's.

    Returns:
        A difference of shares, at 5 % two-sided with a power of 80 % (arcsine
        approximation, Cohen 1988); None where even a fall to zero is too small.
    """
    if not (0 < share <= 1) or min(n_reference, n_other) < 2:
        return None
    h = NormalIndPower().solve_power(
        nobs1=n_reference, ratio=n_other / n_reference, alpha=ALPHA, power=POWER
    )
    angle = 2 * math.asin(math.sqrt(share)) - float(np.asarray(h).ravel()[0])
    return share - math.sin(angle / 2) ** 2 if angle >= 0 else None
