"""Vectorised similarities against plain reference implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr, wasserstein_distance

from analysis.similarity import (
    ON_SCALE,
    Base,
    best_matches,
    effective_number,
    entropy,
    js_similarity,
    option_spearman,
    softmax,
    wasserstein_similarity,
)


def shares(n: int, k: int, seed: int) -> np.ndarray:
    """Rows of shares, some of them zero."""
    rng = np.random.default_rng(seed)
    raw = rng.dirichlet(np.full(k, 0.4), size=n) * (rng.random((n, k)) < 0.8)
    raw[:, 0] += 0.01
    return raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("base", "number"), [(2, 2.0), ("e", np.e)])
def test_jensen_shannon_is_scipys(base: Base, number: float) -> None:
    p, q = shares(300, 5, 0), shares(300, 5, 1)
    expected = [1 - jensenshannon(a, b, base=number) for a, b in zip(p, q, strict=True)]
    assert js_similarity(p, q, base) == pytest.approx(expected, abs=1e-12)


def test_jensen_shannon_of_equal_and_of_disjoint_answers() -> None:
    p, q = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert js_similarity(p, p) == 1
    assert js_similarity(p, q) == pytest.approx(0)
    assert js_similarity(p, q, "e") == pytest.approx(1 - np.sqrt(np.log(2)))


def test_padding_changes_nothing_and_nan_stays_nan() -> None:
    p, q = shares(50, 4, 2), shares(50, 4, 3)
    wide = [np.pad(one, ((0, 0), (0, 9))) for one in (p, q)]
    assert js_similarity(*wide) == pytest.approx(js_similarity(p, q), abs=1e-15)
    p[3, 1] = np.nan
    assert np.flatnonzero(np.isnan(js_similarity(p, q))).tolist() == [3]


def test_wasserstein_is_scipys_in_any_printed_order() -> None:
    rng = np.random.default_rng(0)
    p, q = shares(200, 5, 4), shares(200, 5, 5)
    places = np.array([rng.permutation(np.linspace(0, 1, 5)) for _ in p])
    expected = [
        1 - wasserstein_distance(at, at, a, b)
        for at, a, b in zip(places, p, q, strict=True)
    ]
    assert wasserstein_similarity(p, q, places) == pytest.approx(expected, abs=1e-12)


def test_wasserstein_leaves_out_what_is_off_the_scale() -> None:
    places = np.array([[0.0, np.nan, 1.0, 0.5, np.nan]])
    p = np.array([[0.2, 0.5, 0.2, 0.1, 0.0]])
    q = np.array([[0.0, 0.0, 0.5, 0.5, 0.0]])
    expected = 1 - wasserstein_distance(
        [0, 1, 0.5], [0, 1, 0.5], [0.4, 0.4, 0.2], [0, 0.5, 0.5]
    )
    assert wasserstein_similarity(p, q, places)[0] == pytest.approx(expected)
    assert wasserstein_similarity(q, p, places)[0] == pytest.approx(expected)


def test_wasserstein_needs_a_scale_and_answers_on_it() -> None:
    off = np.full((1, 3), np.nan)
    some = np.array([[0.3, 0.3, 0.4]])
    assert np.isnan(wasserstein_similarity(some, some, off))
    places = np.array([[0.0, 1.0, np.nan]])
    little = np.array([[ON_SCALE / 3, ON_SCALE / 3, 1 - 2 * ON_SCALE / 3]])
    enough = np.array([[ON_SCALE / 2, ON_SCALE / 2, 1 - ON_SCALE]])
    assert np.isnan(wasserstein_similarity(some, little, places))
    assert np.isnan(wasserstein_similarity(little, some, places))
    assert wasserstein_similarity(some, enough, places) == pytest.approx(1)


def test_ends_of_a_scale_are_furthest_apart() -> None:
    places = np.array([[0.0, 0.5, 1.0]])
    first, middle, last = np.eye(3)[:, None, :]
    assert wasserstein_similarity(first, last, places) == pytest.approx(0)
    assert wasserstein_similarity(first, middle, places) == pytest.approx(0.5)


def test_option_spearman_is_scipys_and_unknown_without_an_order() -> None:
    p, q = shares(60, 6, 6), shares(60, 6, 7)
    sizes = np.array([6, 4, 2] * 20)
    expected = [
        spearmanr(a[:k], b[:k]).statistic if np.ptp(a[:k]) and np.ptp(b[:k]) else np.nan
        for a, b, k in zip(p, q, sizes, strict=True)
    ]
    found = option_spearman(p, q, sizes)
    assert found == pytest.approx(expected, nan_ok=True)
    flat = np.full((1, 3), 1 / 3)
    assert np.isnan(option_spearman(flat, shares(1, 3, 8), np.array([3])))


def test_entropy_and_effective_number() -> None:
    assert entropy(np.array([0.25] * 4)) == pytest.approx(np.log(4))
    assert effective_number(np.array([0.5, 0.5, 0.0])) == pytest.approx(2)
    assert effective_number(np.array([1.0, 0.0])) == pytest.approx(1)


def test_softmax_of_padded_rows() -> None:
    rows = np.array([[0.0, np.log(3), -np.inf], [1e4, 1e4, 1e4], [1.0, np.nan, 0.0]])
    found = softmax(rows)
    assert found[0] == pytest.approx([0.25, 0.75, 0])
    assert found[1] == pytest.approx([1 / 3] * 3)
    assert np.isnan(found[2]).all()


def test_ties_for_the_best_match_are_split() -> None:
    shares = best_matches(np.array([[0.5, 0.5, 0.1], [0.2, 0.1, 0.9]]))
    assert shares.tolist() == [[0.5, 0.5, 0], [0, 0, 1]]


def test_an_unknown_similarity_leaves_no_best_match() -> None:
    found = best_matches(np.array([[0.5, np.nan], [0.2, 0.1]]))
    assert np.isnan(found[0]).all() and found[1].tolist() == [1, 0]
