"""How alike two distributions of answers are: Jensen-Shannon, Wasserstein, rank order.

Every function works row by row on padded arrays: a question with fewer options than the
longest has zero shares in the columns it lacks, and these change nothing. A row with a
NaN has no value.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, rel_entr

from analysis.association import spearman_rows
from analysis.resample import Floats

Base = Literal[2, "e"]
"""Of the logarithm. With 2 the distance is 0 to 1; with e, as in published results, 0
to 0.833, so that similarities are higher and cannot be compared with those of 2."""

BASE_NAMES: dict[Base, str] = {2: "base 2", "e": "natural logarithm"}

ON_SCALE = 0.05
"""Least share of answers on an ordinal scale for which a distance along it is taken: of
fewer, what is left after leaving out "don't know" describes hardly anybody."""


def js_similarity(p: Floats, q: Floats, base: Base = 2) -> Floats:
    """1 - Jensen-Shannon distance, the distance being the root of the divergence.

    Endres and Schindelin 2003; used on these data by Durmus et al. 2023.

    Args:
        p: Shape (..., K), each row summing to 1.
        q: The same.
        base: Of the logarithm.

    Returns:
        Shape (...): 1 = equal, 0 = nothing in common (base 2).
    """
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / 2
    if base == 2:
        divergence = divergence / np.log(2.0)
    # What rounding leaves below zero is zero.
    return np.asarray(1.0 - np.sqrt(np.maximum(divergence, 0.0)))


def wasserstein_similarity(p: Floats, q: Floats, places: Floats) -> Floats:
    """1 - the mean distance that answers must move along the scale to become the other.

    Options off the scale are left out and both sides made to sum to 1 again.

    Args:
        p: Shape (N, K), each row summing to 1.
        q: The same.
        places: Shape (N, K): where each option stands, 0 to 1; NaN = off the scale.

    Returns:
        Shape (N,): 1 = equal, 0 = everybody at opposite ends; NaN without a scale and
        where either side has less than `ON_SCALE` of its answers on it.
    """
    order = np.argsort(places, axis=1)
    at, p, q = (np.take_along_axis(one, order, axis=1) for one in (places, p, q))
    on = np.isfinite(at)
    sides = []
    for side in (p, q):
        kept = np.where(on, side, 0.0)
        total = kept.sum(axis=1, keepdims=True)
        enough = total >= ON_SCALE
        sides.append(
            np.divide(kept, total, out=np.full_like(kept, np.nan), where=enough)
        )
    ahead = np.cumsum(sides[0] - sides[1], axis=1)[:, :-1]
    gaps = np.where(on[:, 1:], np.diff(np.where(on, at, 0.0), axis=1), 0.0)
    moved = (np.abs(ahead) * gaps).sum(axis=1)
    return np.where(on.sum(axis=1) >= 2, 1.0 - moved, np.nan)


def option_spearman(p: Floats, q: Floats, n_options: NDArray[np.intp]) -> Floats:
    """Spearman's rho, over a question's options, of two sets of shares.

    It asks only for the order of the options, so that no temperature enters.

    Args:
        p: Shape (N, K).
        q: The same.
        n_options: Shape (N,): how many of the columns are options.

    Returns:
        Shape (N,); NaN where one side has all its options equal.
    """
    found = np.full(len(p), np.nan)
    for size in np.unique(n_options):
        rows = n_options == size
        found[rows] = spearman_rows(p[rows, :size], q[rows, :size])
    return found


def entropy(p: Floats) -> Floats:
    """Shannon entropy in nats over the last axis."""
    return np.asarray(entr(p).sum(axis=-1))


def effective_number(shares: Floats) -> Floats:
    """Exp of the entropy over the last axis: how many equal shares are as diverse."""
    return np.exp(entropy(shares))


def best_matches(similarity: Floats) -> Floats:
    """Who matches best on each question: shape (N, H), rows sum to 1, ties split.

    A question with an unknown similarity (NaN) has no best match: its row is NaN.
    """
    best = similarity >= similarity.max(axis=1, keepdims=True) - 1e-12
    ties = best.sum(axis=1, keepdims=True)
    return np.divide(best, ties, out=np.full(best.shape, np.nan), where=ties > 0)


def softmax(logits: Floats) -> Floats:
    """Shape (..., K) to shares; -inf = no such option; a row with NaN becomes NaN."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
