"""Best minus worst of several groups, beside what chance alone gives.

Estimand: the difference of the largest and the smallest of the groups' means. In a
sample it is seldom zero even where no group differs, so it is read against its
distribution under permuted labels, and its interval is never a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.paired import Interval, bounded
from analysis.resample import Floats, Stream, generator


@dataclass(frozen=True, kw_only=True)
class Disparity:
    """Best minus worst of several groups' means."""

    observed: Interval
    """The interval never falls below zero by construction: it is no test."""
    null_mean: float
    """Mean under permuted labels: what chance alone gives."""
    p_value: float | None
    """Share of permutations with a disparity at least as large."""
    best: str
    worst: str


def best_minus_worst(
    values: Floats,
    groups: Sequence[str] | NDArray[np.str_],
    *,
    draws: int,
    seed: int,
    blocks: Sequence[str] | NDArray[np.str_] | None = None,
) -> Disparity | None:
    """Best minus worst group mean, beside what permuted labels give.

    Args:
        values: Shape (P,); NaN is left out.
        groups: P labels.
        draws: Number of permutations, and of bootstrap draws.
        seed: Of both.
        blocks: P labels: groups are permuted within a block (the forms of one row),
            and whole blocks are resampled; None: groups are permuted over all values,
            and values are resampled within their group.

    Returns:
        None for fewer than two groups.
    """
    known = np.isfinite(values)
    kept = values[known]
    names, codes = np.unique(np.asarray(groups)[known], return_inverse=True)
    if len(names) < 2:
        return None
    rng = generator(seed, Stream.LABELS, len(kept))

    def spread(labels: NDArray[np.intp], weights: Floats) -> float:
        n = np.bincount(labels, weights, minlength=len(names))
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.bincount(labels, weights * kept, minlength=len(names)) / n
        return float(np.nanmax(means) - np.nanmin(means))

    ones = np.ones(len(kept))
    means = np.bincount(codes, kept) / np.bincount(codes)
    observed = spread(codes, ones)
    if blocks is None:
        inside = np.zeros(len(kept), dtype=np.intp)
        units = np.arange(len(kept))
        strata = codes
    else:
        _, inside = np.unique(np.asarray(blocks)[known], return_inverse=True)
        units = inside
        strata = np.zeros(int(inside.max()) + 1, dtype=np.intp)
    by_block = np.argsort(inside, kind="stable")
    null, resampled = np.empty(draws), np.empty(draws)
    for draw in range(draws):
        shuffled = np.empty_like(codes)
        # A draw below one keeps the blocks apart, and one sort is enough.
        order = np.argsort(inside + rng.random(len(kept)))
        shuffled[by_block] = codes[order]
        null[draw] = spread(shuffled, ones)
        resampled[draw] = spread(codes, _resample(strata, rng)[units])
    at_least = int((null >= observed - 1e-12).sum())
    return Disparity(
        observed=bounded(observed, resampled),
        null_mean=float(null.mean()),
        p_value=(at_least + 1) / (draws + 1),
        best=str(names[means.argmax()]),
        worst=str(names[means.argmin()]),
    )


def clustered_best_minus_worst(
    values: Floats,
    groups: Sequence[str] | NDArray[np.str_],
    clusters: Sequence[str] | NDArray[np.str_] | NDArray[np.intp],
    *,
    crossed: bool,
    draws: int,
    seed: int,
) -> Disparity | None:
    """Best minus worst group mean where values come in clusters, such as passages.

    What moves under a permutation is a cluster's values in one group, together: values
    of a cluster may resemble each other.

    Args:
        values: Shape (P,); NaN is left out.
        groups: P labels.
        clusters: P labels.
        crossed: A cluster lies in several groups (a passage in many languages): groups
            are permuted within clusters, and whole clusters are resampled. Else each
            cluster belongs to one group: groups are permuted over all clusters, and
            clusters are resampled within their group.
        draws: Number of permutations, and of bootstrap draws.
        seed: Of both.

    Returns:
        None for fewer than two groups.
    """
    known = np.isfinite(values)
    kept = values[known]
    names, codes = np.unique(np.asarray(groups)[known], return_inverse=True)
    if len(names) < 2:
        return None
    _, inside = np.unique(np.asarray(clusters)[known], return_inverse=True)
    width = len(names)
    cells, place = np.unique(inside * width + codes, return_inverse=True)
    sums, counts = np.bincount(place, kept), np.bincount(place).astype(np.float64)
    labels, blocks = cells % width, cells // width
    rng = generator(seed, Stream.LABELS, len(cells))
    n_blocks = int(blocks.max()) + 1
    # Whole tables of equal cells, the common case, are shuffled by row in one call.
    whole = crossed and len(cells) == n_blocks * width and bool(np.ptp(counts) == 0)
    table = sums.reshape(n_blocks, width) if whole else None

    def means_of(of: NDArray[np.intp], weights: Floats) -> Floats:
        n = np.bincount(of, weights * counts, minlength=width)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.bincount(of, weights * sums, minlength=width) / n
        return np.asarray(found, dtype=np.float64)

    ones = np.ones(len(cells))
    means = means_of(labels, ones)
    null, resampled = np.empty(draws), np.empty(draws)
    strata = np.zeros(n_blocks, dtype=np.intp) if crossed else labels
    units = blocks if crossed else np.arange(len(cells))
    for draw in range(draws):
        if table is not None:
            shuffled = rng.permuted(table, axis=1).sum(axis=0) / counts.sum() * width
            weights = _resample(strata, rng)
            drawn = weights @ table / (weights.sum() * counts[0])
        else:
            # Cells are sorted by block: one sort shuffles within each.
            order = np.argsort((blocks if crossed else 0) + rng.random(len(cells)))
            shuffled = means_of(labels[order], ones)
            drawn = means_of(labels, _resample(strata, rng)[units])
        null[draw] = np.nanmax(shuffled) - np.nanmin(shuffled)
        resampled[draw] = np.nanmax(drawn) - np.nanmin(drawn)
    observed = float(means.max() - means.min())
    at_least = int((null >= observed - 1e-12).sum())
    return Disparity(
        observed=bounded(observed, resampled),
        null_mean=float(null.mean()),
        p_value=(at_least + 1) / (draws + 1),
        best=str(names[means.argmax()]),
        worst=str(names[means.argmin()]),
    )


def _resample(strata: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """How often each unit is drawn, with replacement within strata."""
    counts = np.empty(len(strata))
    for stratum in np.unique(strata):
        inside = strata == stratum
        size = int(inside.sum())
        counts[inside] = rng.multinomial(size, np.full(size, 1.0 / size))
    return counts
