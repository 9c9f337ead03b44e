from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from analysis import paired
from analysis.disparity import best_minus_worst


def test_pairs_of_their_own_are_the_ordinary_paired_tests() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.3, 1, 40), rng.normal(0, 2, 40)
    names = [f"p{i}" for i in range(40)]
    found = paired.compare(first, second, names)
    test = stats.ttest_rel(first, second)
    assert (found.t, found.p_t) == pytest.approx((test.statistic, test.pvalue))
    bounds = test.confidence_interval()
    assert (found.mean.low, found.mean.high) == pytest.approx((bounds.low, bounds.high))
    assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue)
    difference = first - second
    assert found.d_z.estimate == pytest.approx(
        difference.mean() / difference.std(ddof=1)
    )
    spread = (first.std(ddof=1) + second.std(ddof=1)) / 2
    assert found.d_av.estimate == pytest.approx(difference.mean() / spread)
    assert found.d_z.low < found.d_z.estimate < found.d_z.high


def test_an_unscored_form_leaves_its_pair_out() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=20), rng.normal(size=20)
    first[3], second[7] = np.nan, np.nan
    names = np.array([f"p{i}" for i in range(20)])
    kept = ~np.isin(np.arange(20), (3, 7))
    found = paired.compare(first, second, names)
    assert found == paired.compare(first[kept], second[kept], names[kept])
    assert found.n == 18


def test_an_interval_of_d_goes_with_the_test_and_widens_with_d() -> None:
    rng = np.random.default_rng(7)
    noise, names = rng.normal(size=12), [str(i) for i in range(12)]
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    for d, more in ((0.0, 0.0), (0.7, 0.7**2 / 22), (2.0, 4 / 22)):
        found = paired.compare(noise + d, np.zeros(12), names)
        reach = stats.t.ppf(0.975, 11) * np.sqrt(1 / 12 + more)
        assert found.d_z.low == pytest.approx(d - reach)
        assert found.d_z.high == pytest.approx(d + reach)
    # One pair far out makes the SD, and does not turn a shown difference round.
    apart = paired.compare(np.array([0.2] * 6 + [0.3] * 5 + [1.6]), np.zeros(12), names)
    assert apart.p_t is not None and apart.p_t < 0.05
    assert apart.d_z.low > 0


def test_few_pairs_give_intervals_of_d_that_cover() -> None:
    rng = np.random.default_rng(8)
    names = [str(i) for i in range(12)]
    found = [
        paired.compare(rng.normal(1.5, 1, 12), np.zeros(12), names) for _ in range(300)
    ]
    inside = [one.d_z.low <= 1.5 <= one.d_z.high for one in found]
    assert 0.92 <= np.mean(inside) <= 0.995


def test_copies_of_a_prompt_add_no_certainty() -> None:
    rng = np.random.default_rng(2)
    once = rng.normal(0.3, 1, 25)
    names = [f"p{i}" for i in range(25)]
    single = paired.compare(once, np.zeros(25), names)
    copies = paired.compare(np.repeat(once, 8), np.zeros(200), np.repeat(names, 8))
    assert (copies.n, copies.n_clusters) == (200, 25)
    assert copies.p_t == pytest.approx(single.p_t)
    assert copies.mean.low == pytest.approx(single.mean.low)
    assert copies.p_wilcoxon == pytest.approx(single.p_wilcoxon)


def test_few_clusters_and_no_spread_are_not_tested() -> None:
    few = paired.compare(np.arange(40.0), np.zeros(40), ["a", "b", "c", "d"] * 10)
    assert few.p_t is None and np.isnan(few.mean.low) and few.detectable is None
    assert few.mean.estimate == 19.5
    same = paired.compare(
        np.arange(9.0) + 1, np.arange(9.0), [str(i) for i in range(9)]
    )
    assert same.p_t is None and np.isnan(same.d_z.estimate)
    assert same.d_av.estimate == pytest.approx(1 / np.arange(9.0).std(ddof=1))


def test_a_true_null_is_rejected_at_its_level_with_clusters() -> None:
    rng = np.random.default_rng(3)
    names = np.repeat([f"p{i}" for i in range(12)], 5)
    values = rng.normal(size=(600, 12))[:, np.repeat(np.arange(12), 5)]
    values = values + rng.normal(size=(600, 60))
    tests = [paired.compare(one, np.zeros(60), names) for one in values]
    t = np.mean([one.p_t is not None and one.p_t < 0.05 for one in tests])
    ranks = np.mean(
        [one.p_wilcoxon is not None and one.p_wilcoxon < 0.05 for one in tests]
    )
    assert 0.03 <= t <= 0.07 and 0.03 <= ranks <= 0.07


def test_the_sign_test_of_right_and_wrong_is_mcnemars() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.random(80) < 0.7, rng.random(80) < 0.5
    table = [
        [(first & second).sum(), (first & ~second).sum()],
        [(~first & second).sum(), (~first & ~second).sum()],
    ]
    found = paired.sign_test(first.astype(float) - second)
    assert (found.more, found.fewer) == (table[0][1], table[1][0])
    assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert paired.sign_test(np.array([0.0, np.nan])).p_value is None


def test_what_is_said_to_be_detectable_is_detected_that_often() -> None:
    rng = np.random.default_rng(5)
    d = paired.detectable_d(30)
    assert d is not None
    draws = rng.normal(d, 1, (2000, 30))
    hit = stats.ttest_1samp(draws, 0, axis=1).pvalue < paired.ALPHA
    assert abs(hit.mean() - paired.POWER) < 0.03
    assert paired.detectable_d(4) is None


def test_a_mean_over_clusters_ignores_what_is_missing() -> None:
    values = np.array([1.0, 0.0, np.nan, 1.0, 1.0, 0.0, 1.0])
    found = paired.clustered_mean(values, list("abcdefg"), draws=500, seed=0)
    assert found.estimate == pytest.approx(4 / 6)
    assert 0 <= found.low < found.estimate < found.high <= 1
    few = paired.clustered_mean(values, list("aabbccd"), draws=500, seed=0)
    assert np.isnan(few.low)


def test_disparity_is_held_against_permuted_labels() -> None:
    rng = np.random.default_rng(6)
    rows = np.repeat([f"r{i}" for i in range(60)], 4)
    groups = np.tile(list("abcd"), 60)
    hardness = np.repeat(rng.normal(size=60), 4)
    null = (hardness + rng.normal(size=240) > 0).astype(float)
    found = best_minus_worst(null, groups, draws=500, seed=0, blocks=rows)
    assert found is not None and found.observed.estimate > 0
    assert found.p_value is not None and found.p_value > 0.05
    assert abs(found.null_mean - found.observed.estimate) < 0.1
    worse = np.where(groups == "c", hardness - 1.5, hardness + 1.0) > 0
    planted = best_minus_worst(
        worse.astype(float), groups, draws=500, seed=0, blocks=rows
    )
    assert planted is not None and planted.worst == "c"
    assert planted.p_value is not None and planted.p_value < 0.01
    assert best_minus_worst(null, ["a"] * 240, draws=10, seed=0) is None


def test_labels_are_permuted_within_blocks_only() -> None:
    # Every block is of one value: within blocks no permutation changes anything.
    values = np.repeat([0.0, 1.0], 20)
    groups = np.tile(["a", "b"], 20)
    blocks = np.repeat([f"r{i}" for i in range(20)], 2)
    found = best_minus_worst(values, groups, draws=50, seed=0, blocks=blocks)
    assert found is not None and found.null_mean == 0.0 and found.p_value == 1.0
    free = best_minus_worst(values, groups, draws=50, seed=0)
    assert free is not None and free.null_mean > 0.0


def test_rank_biserial_is_what_wilcoxon_ranks() -> None:
    def ranked(differences: np.ndarray) -> float:
        return float(
            paired.rank_biserial(differences, np.ones((1, len(differences))))[0]
        )

    assert ranked(np.array([1.0, 2.0, 3.0])) == 1
    assert ranked(np.array([-1.0, 2.0, 0.0, -3.0])) == pytest.approx(-2 / 6)
    assert np.isnan(ranked(np.zeros(4)))
    values = np.random.default_rng(1).normal(0.2, 1, 30)
    smaller = stats.wilcoxon(values).statistic
    total = 30 * 31 / 2
    assert abs(ranked(values)) == pytest.approx(1 - 2 * smaller / total)


@pytest.mark.parametrize("sizes", [[20, 1, 1, 1, 1], [40] + [2] * 9, [30] + [1] * 30])
def test_one_large_cluster_does_not_pass_for_many(sizes: list[int]) -> None:
    """Where whole clusters change together, a true null is not rejected too often."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    wrong = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        own = rng.choice([-1.0, 0.0, 1.0], size=len(codes))
        shared = rng.choice([-1.0, 0.0, 1.0], size=len(sizes))[codes]
        together = (rng.random(len(sizes)) < 0.4)[codes]
        found = paired.t_test(np.where(together, shared, own), codes)
        wrong += found.p_value is not None and found.p_value < 0.05
    assert wrong / 500 <= 0.08


def test_the_error_of_a_mean_is_that_of_leaving_clusters_out() -> None:
    rng = np.random.default_rng(11)
    codes = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 9])
    values = rng.normal(size=24)
    without = [values[codes != code].mean() for code in range(6)]
    jackknife = math.sqrt(5 / 6 * sum((one - values.mean()) ** 2 for one in without))
    assert paired.clustered_error(values, codes) == pytest.approx(jackknife)
    groups = np.array([0, 1] * 12)
    found = paired.mean_of_means(values, groups, codes)
    kept = [
        np.mean([values[(codes != code) & (groups == g)].mean() for g in (0, 1)])
        for code in range(6)
    ]
    mean = np.mean([values[groups == g].mean() for g in (0, 1)])
    assert found.mean.estimate == pytest.approx(mean)
    expected = math.sqrt(5 / 6 * sum((one - mean) ** 2 for one in kept))
    assert found.error == pytest.approx(expected)
    # Nobody knows how a group would be without its only cluster.
    lone = paired.mean_of_means(values, (codes == 5).astype(np.intp), codes)
    assert lone.p_value is None and lone.mean.estimate is not None
