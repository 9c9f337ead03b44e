"""Slopes on the share of training rows: regression, two-way errors, calibration."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit
from statsmodels.regression.mixed_linear_model import MixedLM

from analysis.doseresponse_fit import (
    BLOCKS,
    MIXED,
    OWN,
    PLAIN,
    SINGULAR,
    Design,
    Items,
    Slope,
    difference,
    equal_slopes,
    gap_items,
    items_of,
    lack_of_fit,
    line,
    seeds_interval,
    slope,
    unequal_seeds,
)
from analysis.doseresponse_report import FALSE_POSITIVES, caveats
from analysis.paired import t_test
from analysis.records import ALPHA
from analysis.resample import Floats
from analysis.stages_data import Codes
from analysis.stages_tests import paired_t, welch

SWEEPS = 500
DESIGNS = {
    "3 shares x 2 seeds": ((0.0, 0.5, 1.0), 2),
    "4 shares x 3 seeds": ((0.0, 0.33, 0.67, 1.0), 3),
    "4 shares x 6 seeds": ((0.0, 0.33, 0.67, 1.0), 6),
}


def crossed(shares: tuple[float, ...], seeds: int) -> Design:
    """Every share with every seed."""
    return Design(
        share=np.tile(np.array(shares), seeds),
        seed=np.repeat(np.arange(seeds), len(shares)),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What made-up sweeps vary by, in logits."""

    items: int
    training: float = 0.0
    """SD of checkpoints."""
    seed: float = 0.0
    """SD of seeds."""
    slopes: float = 0.0
    """SD of the slopes of seeds."""
    own: float = 0.0
    """SD of the slopes of pairs of items."""
    slope: float = 0.0

    def answers(self, design: Design, rng: np.random.Generator) -> Floats:
        """Right (1) or wrong (0): shape (C, items); two items share a passage."""
        n, pairs = self.items, self.items // 2
        of = np.arange(n) // 2
        level = rng.normal(0, 1.4, pairs)[of] + rng.normal(0, 1.4, n)
        own = self.slope + rng.normal(0, self.own, pairs)[of]
        by_seed = rng.normal(0, self.slopes, design.seeds)[design.seed]
        seeds = rng.normal(0, self.seed, design.seeds)[design.seed]
        shared = rng.normal(0, 0.3, (design.seeds, pairs))[design.seed][:, of]
        moved = rng.normal(0, self.training, len(design.share)) + seeds
        moved += by_seed * design.share
        chance = expit(level + design.share[:, None] * own + moved[:, None] + shared)
        return (rng.random(chance.shape) < chance).astype(np.float64)


def found(answers: Floats, design: Design) -> Slope:
    n = answers.shape[1]
    return slope(
        items_of(answers, [(1.0, np.arange(n))], np.arange(n) // 2, zeros(n)), design
    )


def zeros(n: int) -> Codes:
    return np.zeros(n, dtype=np.intp)


def rejected(one: Slope) -> bool:
    p = one.test.p_value
    return p is not None and p < ALPHA


# The regression over checkpoints.


def test_a_line_is_statsmodels_ols() -> None:
    rng = np.random.default_rng(0)
    design = crossed((0.0, 0.25, 1.0), 3)
    values = rng.normal(0.5, 0.1, 9)
    blocks = (design.seed[:, None] == np.arange(3)).astype(float)
    fit = sm.OLS(values, np.column_stack([design.share, blocks])).fit()
    got = line(values, design)
    assert got.slope == pytest.approx(fit.params[0], abs=1e-9)
    assert got.variance == pytest.approx(fit.bse[0] ** 2, abs=1e-9)
    assert got.freedom == fit.df_resid == 9 - 3 - 1
    assert got.method == BLOCKS
    # Some checkpoints are missing.
    kept = np.array([0, 1, 2, 3, 5, 7, 8])
    some = Design(share=design.share[kept], seed=design.seed[kept])
    fit = sm.OLS(values[kept], np.column_stack([design.share, blocks])[kept]).fit()
    got = line(values[kept], some)
    assert got.slope == pytest.approx(fit.params[0], abs=1e-9)
    assert got.variance == pytest.approx(fit.bse[0] ** 2, abs=1e-9)


def test_seeds_at_one_share_each_are_no_blocks() -> None:
    values = np.array([0.4, 0.5, 0.7, 0.65])
    design = Design(share=np.array([0.0, 0.5, 1.0, 1.0]), seed=np.arange(4))
    fit = sm.OLS(values, sm.add_constant(design.share)).fit()
    got = line(values, design)
    assert got.slope == pytest.approx(fit.params[1], abs=1e-9)
    assert got.variance == pytest.approx(fit.bse[1] ** 2, abs=1e-9)
    assert (got.freedom, got.method) == (2, PLAIN)


def mixed(values: Floats, design: Design) -> tuple[float, float]:
    """Slope and error of random levels and slopes of seeds."""
    x = sm.add_constant(design.share - design.share.mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = MixedLM(values, x, groups=design.seed, exog_re=x).fit(reml=True)
        assert fit.converged
        return float(fit.params[1]), float(fit.bse_fe[1])


def of_seeds(design: Design, rng: np.random.Generator, slopes: float = 0.2) -> Floats:
    """A metric with levels and slopes of seeds."""
    levels = rng.normal(0, 0.1, design.seeds)[design.seed]
    own = rng.normal(0.1, slopes, design.seeds)[design.seed]
    noise = rng.normal(0, 0.02, len(design.share))
    return 0.5 + own * design.share + levels + noise


def without(design: Design, *gone: int) -> tuple[Codes, Design]:
    kept = np.delete(np.arange(len(design.share)), gone)
    return kept, Design(share=design.share[kept], seed=design.seed[kept])


def test_many_seeds_have_slopes_of_their_own() -> None:
    """Where all have the same shares, by t, which the mixed model comes to."""
    design = crossed((0.0, 0.33, 0.67, 1.0), 6)
    values = of_seeds(design, np.random.default_rng(1))
    slopes = [
        float(np.polyfit(design.share[here], values[here], 1)[0])
        for here in (design.seed == one for one in range(6))
    ]
    expected = stats.ttest_1samp(slopes, 0)
    got = line(values, design)
    assert (got.method, got.freedom) == (OWN, 5)
    assert got.slope == pytest.approx(np.mean(slopes))
    assert got.slope / got.variance**0.5 == pytest.approx(expected.statistic)
    assert got.slope == pytest.approx(float(got.weights @ values))
    estimate, error = mixed(values, design)
    assert got.slope == pytest.approx(estimate, abs=1e-6)
    assert got.variance**0.5 == pytest.approx(error, rel=1e-3)
    interval = seeds_interval(values, design)
    assert interval is not None
    low, high = expected.confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((low, high))
    # Rows that are drawn may be one more or less than were asked for.
    share = design.share + np.random.default_rng(2).uniform(-0.005, 0.005, 24)
    near = Design(share=share, seed=design.seed, planned=design.share)
    assert line(values, near).method == OWN
    assert lack_of_fit(values, near) == lack_of_fit(values, design)


def test_seeds_of_other_shares_are_statsmodels_mixed_model() -> None:
    design = crossed((0.0, 0.33, 0.67, 1.0), 6)
    values = of_seeds(design, np.random.default_rng(1))
    kept, some = without(design, 0, 5, 6, 15)
    got = line(values[kept], some)
    assert (got.method, got.freedom) == (MIXED, 5)
    scale = values[kept].std(ddof=1)
    estimate, error = (scale * one for one in mixed(values[kept] / scale, some))
    assert got.slope == pytest.approx(estimate, abs=1e-6)
    assert got.variance**0.5 == pytest.approx(error, rel=0.02)
    assert got.slope == pytest.approx(float(got.weights @ values[kept]), abs=1e-6)
    # Seeds at one share have no slope: of the rest there are too few.
    kept, some = without(design, 1, 2, 3, 5, 6, 7)
    assert line(values[kept], some).method == BLOCKS


def test_a_variance_of_slopes_of_zero_falls_back() -> None:
    design = crossed((0.0, 0.33, 0.67, 1.0), 6)
    kept, some = without(design, 0, 5, 6, 15)
    for seed in (0, 4):
        values = of_seeds(design, np.random.default_rng(seed), slopes=0.0)[kept]
        got = line(values, some)
        assert got.method == SINGULAR
        slopes = some.own @ values
        assert got.slope == pytest.approx(slopes.mean())
        assert got.variance == pytest.approx(slopes.var(ddof=1) / 6)


def test_few_seeds_are_shown_beside_and_tested() -> None:
    design = crossed((0.0, 0.5, 1.0), 3)
    values = of_seeds(design, np.random.default_rng(3), slopes=0.4)
    items = Items(means=values, parts=((np.zeros((2, 9)), 5.0),))
    got = slope(items, design)
    assert got.method == BLOCKS and "not cover draws of rows" in BLOCKS
    p = unequal_seeds(values, design)
    assert got.unequal == p and p is not None and p < 0.1
    beside = seeds_interval(values, design)
    assert beside is not None
    assert beside.high - beside.low > got.test.mean.high - got.test.mean.low
    assert seeds_interval(values[:6], crossed((0.0, 0.5, 1.0), 2)) is None
    # With enough seeds, the interval covers what they differ by.
    many = crossed((0.0, 0.5, 1.0), 5)
    values = of_seeds(many, np.random.default_rng(3))
    got = slope(Items(means=values, parts=((np.zeros((2, 15)), 5.0),)), many)
    assert got.unequal is None


def false_positives(design: Design, ratio: float, sweeps: int) -> float:
    """Share of sweeps without a mean slope of which one is shown, over checkpoints."""
    rng = np.random.default_rng(13)
    count = 0
    for _ in range(sweeps):
        own = rng.normal(0, ratio, design.seeds)[design.seed]
        values = rng.normal(0, 1, len(design.share)) + own * design.share
        got = line(values, design)
        t = got.slope / got.variance**0.5
        count += bool(2 * stats.t.sf(abs(t), got.freedom) < ALPHA)
    return count / sweeps


@pytest.mark.parametrize("ratio", FALSE_POSITIVES)
@pytest.mark.parametrize("seeds", [2, 3, 4])
@pytest.mark.parametrize(
    "shares",
    [(0.0, 0.5, 1.0), (0.0, 0.33, 0.67, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0)],
    ids=len,
)
def test_the_interval_of_few_seeds_is_as_narrow_as_the_caveat_says(
    shares: tuple[float, ...], seeds: int, ratio: int
) -> None:
    """Fixed random numbers: 1,500 sweeps."""
    low, high = FALSE_POSITIVES[ratio]
    assert low <= false_positives(crossed(shares, seeds), ratio, 1500) <= high
    assert f"{100 * low:g} to {100 * high:g}%" in caveats()[0]


@pytest.mark.parametrize("ratio", [0, 2, 4])
def test_the_interval_of_many_seeds_is_not(ratio: int) -> None:
    for design in (crossed((0.0, 0.5, 1.0), 5), crossed((0.0, 0.5, 1.0), 6)):
        assert 0.025 <= false_positives(design, ratio, 1500) <= 0.08


def test_the_mixed_model_rejects_a_true_null_in_five_of_a_hundred() -> None:
    """Fixed random numbers: 1 to 10 % of 150 sweeps, as each takes a while."""
    _, some = without(crossed((0.0, 0.5, 1.0), 6), 0, 4)
    assert 0.01 <= false_positives(some, 2, 150) <= 0.1


def test_lack_of_fit_is_the_f_test_of_two_models() -> None:
    rng = np.random.default_rng(3)
    design = crossed((0.0, 0.3, 0.6, 1.0), 3)
    values = rng.normal(0, 0.1, 12) + 0.3 * (design.share > 0.5)
    blocks = (design.seed[:, None] == np.arange(3)).astype(float)
    levels = (design.share[:, None] == np.array([0.3, 0.6, 1.0])).astype(float)
    small = sm.OLS(values, np.column_stack([design.share, blocks])).fit()
    large = sm.OLS(values, np.column_stack([levels, blocks])).fit()
    _, p, _ = large.compare_f_test(small)
    assert lack_of_fit(values, design) == pytest.approx(p, abs=1e-9)
    assert lack_of_fit(values[:8], crossed((0.0, 1.0), 4)) is None


def test_unequal_seeds_are_the_f_test_of_two_models() -> None:
    rng = np.random.default_rng(12)
    design = crossed((0.0, 0.5, 1.0), 3)
    values = rng.normal(0, 0.1, 9) + design.share * design.seed
    blocks = (design.seed[:, None] == np.arange(3)).astype(float)
    small = sm.OLS(values, np.column_stack([design.share, blocks])).fit()
    own = blocks * design.share[:, None]
    large = sm.OLS(values, np.column_stack([own, blocks])).fit()
    _, p, _ = large.compare_f_test(small)
    assert p < 0.05
    assert unequal_seeds(values, design) == pytest.approx(p, abs=1e-9)
    assert unequal_seeds(values[:3], crossed((0.0, 0.5, 1.0), 1)) is None


# Errors over items.


@pytest.mark.parametrize("seeds", [2, 6])
def test_items_are_the_cluster_robust_test_of_their_slopes(seeds: int) -> None:
    """What other items would change is the jackknife that paired tests have."""
    rng = np.random.default_rng(4)
    design = crossed((0.0, 0.5, 1.0), seeds)
    cluster = rng.integers(12, size=60)
    cluster[:12] = np.arange(12)
    # The same scatter at every share: there is no noise about the lines of items.
    own = rng.normal(0.1, 0.3, 60)
    values = rng.normal(0, 1, 60) + design.share[:, None] * own
    values += rng.normal(0, 0.01, 3 * seeds)[:, None]
    items = items_of(values, [(1.0, np.arange(60))], cluster, zeros(60))
    got = slope(items, design)
    robust = t_test(own, cluster)
    assert got.items == pytest.approx(robust.error**2, rel=1e-9)
    assert got.test.error**2 == pytest.approx(got.checkpoints + got.items)
    moved = items.shifts @ design.weights
    assert float(moved @ moved) == pytest.approx(robust.error**2, rel=1e-9)
    strata = cluster % 2
    items = items_of(values, [(1.0, np.arange(60))], cluster, strata)
    expected = paired_t(own, cluster, strata)
    assert slope(items, design).items == pytest.approx(expected.error**2, rel=1e-9)
    assert items.parts[0][1] == expected.freedom


def test_a_difference_of_groups_is_welchs_over_items() -> None:
    rng = np.random.default_rng(5)
    design = crossed((0.0, 0.5, 1.0), 2)
    own = rng.normal(0, 0.3, 90)
    values = design.share[:, None] * own + rng.normal(0, 0.01, 6)[:, None]
    cluster = np.concatenate([np.arange(40), np.arange(20, 70)])
    rows = np.arange(40), np.arange(40, 90)
    items = items_of(values, [(1.0, rows[0]), (-1.0, rows[1])], cluster, zeros(90))
    expected = welch(own[rows[0]], own[rows[1]], (cluster[rows[0]], cluster[rows[1]]))
    moved = items.shifts @ design.weights
    assert np.sqrt(float(moved @ moved)) == pytest.approx(expected.error, rel=1e-9)
    assert items.shared
    assert slope(items, design).test.mean.estimate == pytest.approx(
        expected.mean.estimate
    )


def test_what_all_checkpoints_answer_alike_is_not_tested() -> None:
    design = crossed((0.0, 1.0), 2)
    flat = found(np.tile(np.arange(20.0) % 2, (4, 1)), design)
    assert flat.test.p_value is None and flat.detectable is None
    assert flat.test.mean.estimate == 0


def test_the_detectable_slope_is_that_of_its_error() -> None:
    design = crossed((0.0, 0.5, 1.0), 2)
    got = found(World(items=100).answers(design, np.random.default_rng(6)), design)
    freedom = got.test.freedom
    reach = stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)
    assert got.detectable == pytest.approx(reach * got.test.error)
    assert got.test.freedom >= design.freedom


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize(
    "world",
    [
        World(items=100),
        World(items=100, seed=0.3),
        World(items=200, training=0.15, seed=0.3, own=0.5),
        World(items=400, training=0.15),
    ],
    ids=["items alone", "seeds", "all", "training"],
)
def test_a_true_null_is_rejected_in_five_of_a_hundred(name: str, world: World) -> None:
    """Fixed random numbers: 2.5 to 8 % of 500 sweeps."""
    design = crossed(*DESIGNS[name])
    rng = np.random.default_rng(7)
    count = sum(
        rejected(found(world.answers(design, rng), design)) for _ in range(SWEEPS)
    )
    assert 0.025 <= count / SWEEPS <= 0.08


@pytest.mark.parametrize("ratio", [2, 4])
def test_slopes_of_many_seeds_and_of_items_are_covered(ratio: int) -> None:
    """Fixed random numbers: 2.5 to 8 % of 400 sweeps."""
    design = crossed(*DESIGNS["4 shares x 6 seeds"])
    rng = np.random.default_rng(14)
    world = World(items=200, training=0.1, seed=0.3, own=0.5, slopes=0.1 * ratio)
    count = sum(rejected(found(world.answers(design, rng), design)) for _ in range(400))
    assert 0.025 <= count / 400 <= 0.08


@pytest.mark.parametrize(
    ("name", "planted", "low", "high"),
    [
        ("3 shares x 2 seeds", 1.2, 0.7, 0.95),
        ("4 shares x 3 seeds", 0.6, 0.55, 0.85),
        ("4 shares x 6 seeds", 0.6, 0.85, 1.0),
    ],
)
def test_a_planted_slope_is_found(
    name: str, planted: float, low: float, high: float
) -> None:
    design = crossed(*DESIGNS[name])
    rng = np.random.default_rng(8)
    world = World(items=120, training=0.1, seed=0.2, own=0.3, slope=planted)
    every = [found(world.answers(design, rng), design) for _ in range(150)]
    assert low <= np.mean([rejected(one) for one in every]) <= high


# Placebo.


def arms(seed: int) -> tuple[Design, Items, Items]:
    rng = np.random.default_rng(seed)
    design = crossed((0.0, 0.5, 1.0), 3)
    world = World(items=80, training=0.2)
    answers = [
        dataclasses.replace(world, slope=planted).answers(design, rng)
        for planted in (1.5, 0.0)
    ]
    first, second = (
        items_of(one, [(1.0, np.arange(80))], np.arange(80) // 2, zeros(80))
        for one in answers
    )
    return design, first, second


def test_two_arms_are_the_sum_of_both_errors() -> None:
    design, first, second = arms(9)
    one, other = slope(first, design), slope(second, design)
    got = difference([(1.0, first, design), (-1.0, second, design)])
    assert got.test.mean.estimate == pytest.approx(
        one.test.mean.estimate - other.test.mean.estimate
    )
    assert got.checkpoints == pytest.approx(one.checkpoints + other.checkpoints)
    assert got.test.freedom > max(design.freedom, 5)
    # An arm less itself is nothing.
    same = difference([(1.0, first, design), (-1.0, first, design)])
    assert same.test.mean.estimate == 0 and same.items == 0


# The mean over groups.


@pytest.mark.parametrize("shared", [False, True])
def test_a_mean_without_slope_is_rejected_in_five_of_a_hundred(shared: bool) -> None:
    """Slopes of groups that cancel; with clusters in one group or in all."""
    design = crossed(*DESIGNS["4 shares x 3 seeds"])
    rng = np.random.default_rng(21)
    hits = 0
    for _ in range(SWEEPS):
        values, rows, cluster = many_groups((1.0, 0.0, -1.0), design, rng, 0.0)
        if shared:
            cluster = np.tile(np.arange(100) // 2, 3)
        items = items_of(
            values, [(1 / 3, one) for one in rows], cluster, zeros(values.shape[1])
        )
        hits += rejected(slope(items, design))
    assert 0.025 <= hits / SWEEPS <= 0.08


# Best minus worst.


def many_groups(
    slopes: tuple[float, ...], design: Design, rng: np.random.Generator, level: float
) -> tuple[Floats, list[Codes], Codes]:
    """Groups of a hundred items each, all at one level."""
    n = 100
    answers = []
    for planted in slopes:
        chance = expit(
            level
            + rng.normal(0, 1.2, n)
            + planted * design.share[:, None]
            + rng.normal(0, 0.1, len(design.share))[:, None]
        )
        answers.append((rng.random(chance.shape) < chance).astype(np.float64))
    rows = [np.arange(n) + n * at for at in range(len(slopes))]
    return np.concatenate(answers, axis=1), rows, np.arange(n * len(slopes)) // 2


def gap_p(values: Floats, rows: list[Codes], cluster: Codes, design: Design) -> float:
    none = zeros(values.shape[1])
    moved = slope(gap_items(values, rows, cluster, none), design).test.p_value
    equal = equal_slopes(
        [items_of(values, [(1.0, one)], cluster, none) for one in rows], design
    )
    assert moved is not None and equal is not None
    return max(moved, equal)


def test_the_gap_without_a_cluster_is_the_gap_of_the_rest() -> None:
    design = crossed((0.0, 1.0), 2)
    values, rows, cluster = many_groups(
        (0.0, 1.0), design, np.random.default_rng(10), 0.0
    )
    got = gap_items(values, rows, cluster, zeros(200))
    means = np.stack([values[:, one].mean(axis=1) for one in rows])
    np.testing.assert_allclose(got.means, np.ptp(means, axis=0))
    left = [values[:, one[cluster[one] != 3]].mean(axis=1) for one in rows]
    moved = means - np.stack(left)
    expected = np.ptp(means, axis=0) - np.ptp(means - np.sqrt(49 / 50) * moved, axis=0)
    np.testing.assert_allclose(got.shifts[3], expected, atol=1e-12)
    assert got.parts[0][1] == 99


@pytest.mark.parametrize("strata", [1, 4, 8])
def test_a_gap_of_two_groups_is_their_difference(strata: int) -> None:
    """As long as the same group is above: with strata of unlike sizes as well."""
    design = crossed((0.0, 1.0), 2)
    values, rows, cluster = many_groups(
        (0.0, 0.0), design, np.random.default_rng(15), 0.0
    )
    values[:, rows[0]] += 2
    # Clusters of one group and of both; the first stratum has most.
    cluster = np.concatenate([np.arange(100) // 2, 25 + np.arange(100) // 2])
    stratum = np.maximum(np.arange(75) % (strata + 3) - 3, 0)[cluster]
    groups = [(1.0, rows[0]), (-1.0, rows[1])]
    gap = gap_items(values, rows, cluster, stratum)
    both = items_of(values, groups, cluster, stratum)
    np.testing.assert_allclose(gap.means, both.means)
    np.testing.assert_allclose(gap.shifts, both.shifts, atol=1e-12)
    assert gap.parts[0][1] == 75 - strata


def test_a_gap_that_widens_is_found_and_a_common_rise_is_not() -> None:
    design = crossed(*DESIGNS["4 shares x 3 seeds"])
    rng = np.random.default_rng(11)
    wide = sum(
        gap_p(*many_groups((2.0, 0.0, 0.0), design, rng, 0.0), design) < ALPHA
        for _ in range(40)
    )
    assert wide >= 34
    # Shares of few per cent rise to one half, where they scatter most.
    alike = sum(
        gap_p(*many_groups((2.5,) * 6, design, rng, -3.0), design) < ALPHA
        for _ in range(100)
    )
    assert alike <= 8
