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

from analysis.doseresponse_fit import Items, Slope, difference, items_of, slope
from analysis.doseresponse_gap import equal_slopes, gap_items
from analysis.doseresponse_lines import (
    BLOCKS,
    MIXED,
    PLAIN,
    SINGULAR,
    Design,
    lack_of_fit,
    line,
    unequal_seeds,
)
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
    own: float = 0.0
    """SD of the slopes of pairs of items."""
    slope: float = 0.0

    def answers(self, design: Design, rng: np.random.Generator) -> Floats:
        """Right (1) or wrong (0): shape (C, items); two items share a passage."""
        n, pairs = self.items, self.items // 2
        of = np.arange(n) // 2
        level = rng.normal(0, 1.4, pairs)[of] + rng.normal(0, 1.4, n)
        own = self.slope + rng.normal(0, self.own, pairs)[of]
        seeds = rng.normal(0, self.seed, design.seeds)[design.seed]
        shared = rng.normal(0, 0.3, (design.seeds, pairs))[design.seed][:, of]
        moved = rng.normal(0, self.training, len(design.share)) + seeds
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = sm.add_constant(design.share)
        fit = MixedLM(values, x, groups=design.seed).fit(reml=True)
    return float(fit.params[1]), float(fit.bse[1])


def test_many_seeds_are_statsmodels_mixed_model() -> None:
    rng = np.random.default_rng(1)
    design = crossed((0.0, 0.33, 0.67, 1.0), 6)
    levels = rng.normal(0, 0.1, 6)[design.seed]
    values = 0.5 + 0.1 * design.share + levels + rng.normal(0, 0.02, 24)
    got = line(values, design)
    assert got.method == MIXED
    # Where every seed has every share, fixed seeds give the same.
    assert got.slope == pytest.approx(mixed(values, design)[0], abs=1e-9)
    fixed = float(design.weights @ values)
    assert got.slope == pytest.approx(fixed, abs=1e-9)
    assert got.freedom == 24 - 6 - 1
    # Else a seed's level is drawn towards the others'.
    kept = np.delete(np.arange(24), [0, 5, 6, 15])
    some = Design(share=design.share[kept], seed=design.seed[kept])
    got = line(values[kept], some)
    scale = values[kept].std(ddof=1)
    estimate, error = (scale * one for one in mixed(values[kept] / scale, some))
    assert got.slope == pytest.approx(estimate, abs=1e-9)
    assert got.variance == pytest.approx(error**2, abs=1e-9)
    assert got.slope == pytest.approx(float(got.weights @ values[kept]), abs=1e-9)


def test_a_seeds_variance_of_zero_falls_back() -> None:
    design = crossed((0.0, 0.5, 1.0), 5)
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, 15)
    # Seeds differ by less than their checkpoints' scatter makes them.
    means = np.bincount(design.seed, values) / 3
    values -= means[design.seed]
    got = line(values, design)
    assert got.method == SINGULAR
    fit = sm.OLS(
        values,
        np.column_stack([design.share, design.seed[:, None] == np.arange(5)]),
    ).fit()
    assert got.variance == pytest.approx(fit.bse[0] ** 2, abs=1e-9)


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


def test_items_are_the_cluster_robust_test_of_their_slopes() -> None:
    """What other items would change is the jackknife that paired tests have."""
    rng = np.random.default_rng(4)
    design = crossed((0.0, 0.5, 1.0), 2)
    cluster = rng.integers(12, size=60)
    cluster[:12] = np.arange(12)
    # The same scatter at every share: there is no noise about the lines of items.
    own = rng.normal(0.1, 0.3, 60)
    values = rng.normal(0, 1, 60) + design.share[:, None] * own
    values += rng.normal(0, 0.01, 6)[:, None]
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
    left = [one[cluster[one] != 3] for one in rows]
    without = np.ptp([values[:, one].mean(axis=1) for one in left], axis=0)
    every = []
    for gone in range(100):
        kept = [one[cluster[one] != gone] for one in rows]
        every.append(np.ptp([values[:, one].mean(axis=1) for one in kept], axis=0))
    expected = -np.sqrt(99 / 100) * (without - np.mean(every, axis=0))
    np.testing.assert_allclose(got.shifts[3], expected, atol=1e-12)


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
