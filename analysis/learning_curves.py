"""The learning curve of one group of held-out pairs: its ends, gain and half of it.

What is estimated, and what the intervals cover, stands in `learning`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.paired import (
    MIN_CLUSTERS,
    Interval,
    bounded,
    bounded_by,
    clustered_share,
    shared_counts,
    t_test,
    wins,
)
from analysis.resample import SEED, Floats

DRAWS = 10_000
"""Of a bootstrap, whose least p-value stands correction for 250 orders of groups."""
BALANCED = 0.5
"""Of a pair before DPO, where none tells the policy from its reference."""


@dataclass(frozen=True, kw_only=True)
class SeedCurve:
    """One group in one training."""

    seed: int
    steps: Floats
    """From 0, ascending."""
    accuracy: Floats
    margin: Floats
    """Mean of chosen less rejected."""
    half: float
    """Step of half the final gain; NaN: there is no gain."""


@dataclass(frozen=True, kw_only=True)
class GroupCurve:
    """One group of an arm and share, over seeds."""

    group: str
    n: int
    """Pairs, the same at every step and for every seed."""
    n_keys: int
    """Clusters of them."""
    seeds: tuple[SeedCurve, ...]
    start: float
    """Mean accuracy at step 0."""
    fixed: bool
    """Whether every pair was tied at step 0, so that `start` is one half whatever the
    pairs are."""
    final: Interval
    """Mean accuracy after the last step."""
    gain: Interval
    """`final` less `start`; no interval where there are too few keys."""
    margin: Interval
    """Mean margin after the last step; no interval as of `gain`."""
    half: Interval
    """Mean over seeds of the step of half the gain; NaN where no gain is shown."""
    half_draws: Floats
    """Bootstrap draws of `half`, shape (draws,); those of all groups of a column draw
    the same keys. Empty where no gain is shown."""

    @property
    def finals(self) -> tuple[float, float]:
        """Range of the final accuracy over seeds."""
        last = [float(one.accuracy[-1]) for one in self.seeds]
        return min(last), max(last)

    @property
    def gains(self) -> bool:
        """Whether a gain is shown: its interval lies above zero."""
        return self.gain.low > 0

    @property
    def halves(self) -> tuple[float, ...]:
        """Steps of half the gain, one per seed; empty where no gain is shown."""
        found = [one.half for one in self.seeds]
        return tuple(found) if self.gains and np.isfinite(found).all() else ()


def group_curve(name: str, rows: pd.DataFrame, keys: NDArray[np.str_]) -> GroupCurve:
    """The curve of one group.

    Args:
        name: Of the group.
        rows: From `learning_data.read_curve`: of one stage, arm, share and group.
        keys: All that the column's groups have, sorted.
    """
    of_pair = rows.drop_duplicates("id").set_index("id")["key"]
    codes = np.searchsorted(keys, of_pair.to_numpy(str))
    seeds, right, margins = [], [], []
    for seed, of_seed in rows.groupby("seed", sort=True):
        wide = of_seed.pivot(index="id", columns="step", values="margin")
        wide = wide.loc[of_pair.index].sort_index(axis="columns")
        margins.append(wide.to_numpy(np.float64))
        right.append(wins(margins[-1]))
        steps, accuracy = wide.columns.to_numpy(np.float64), right[-1].mean(axis=0)
        seeds.append(
            SeedCurve(
                seed=int(str(seed)),
                steps=steps,
                accuracy=accuracy,
                margin=margins[-1].mean(axis=0),
                half=float(half_steps(steps, accuracy)),
            )
        )
    first, last, margin = (
        np.mean([values[:, at] for values in found], axis=0)
        for found, at in ((right, 0), (right, -1), (margins, -1))
    )
    # Codes of this group's keys alone, from 0.
    inside, own = np.unique(codes, return_inverse=True)
    fixed = bool((first == BALANCED).all())
    found = GroupCurve(
        group=name,
        n=len(of_pair),
        n_keys=len(inside),
        seeds=tuple(seeds),
        start=float(first.mean()),
        fixed=fixed,
        final=clustered_share(last, own),
        gain=_gain(first, last, own, fixed=fixed),
        margin=t_test(margin, own).mean,
        half=Interval(estimate=math.nan),
        half_draws=np.empty(0),
    )
    if not found.halves:
        return found
    counts = shared_counts(len(keys), DRAWS, SEED)
    draws = np.mean(
        [
            _half_draws(one.steps, of_seed, codes, counts)
            for one, of_seed in zip(seeds, right, strict=True)
        ],
        axis=0,
    )
    half = bounded(float(np.mean(found.halves)), draws)
    return dataclasses.replace(found, half=half, half_draws=draws)


def _gain(
    first: Floats, last: Floats, codes: NDArray[np.intp], *, fixed: bool
) -> Interval:
    """Mean of last less first, shapes (P,); clusters from 0 in `codes`."""
    gain = float(last.mean() - first.mean())
    if int(codes.max()) + 1 < MIN_CLUSTERS:
        return Interval(estimate=gain)
    if not fixed:
        return bounded_by(t_test(last - first, codes).mean, low=-1, high=1)
    final = clustered_share(last, codes)
    return Interval(estimate=gain, low=final.low - BALANCED, high=final.high - BALANCED)


def _half_draws(
    steps: Floats, right: Floats, codes: NDArray[np.intp], counts: Floats
) -> Floats:
    """Bootstrap draws of one training's step of half the gain, shape (draws,).

    A draw without a gain has the last step: no half of it was reached before. One
    without a pair is NaN.

    Args:
        steps: Shape (S,).
        right: Shape (P, S).
        codes: Shape (P,): the key of each pair.
        counts: Shape (draws, keys).
    """
    sums = np.zeros((counts.shape[1], len(steps)))
    np.add.at(sums, codes, right)
    sizes = counts @ np.bincount(codes, minlength=counts.shape[1])
    total = np.where(sizes > 0, sizes, np.nan)
    accuracy = (counts @ sums) / total[:, None]
    halves = half_steps(steps, accuracy)
    return np.where(np.isnan(halves) & (sizes > 0), steps[-1], halves)


def half_steps(steps: Floats, accuracy: Floats) -> Floats:
    """The first step at which half of the final gain over step 0 was reached.

    Args:
        steps: Shape (S,), ascending from 0.
        accuracy: Shape (..., S).

    Returns:
        Shape (...): between two measured steps on a straight line; NaN: the last
        accuracy is not above the first.
    """
    gain = accuracy[..., -1] - accuracy[..., 0]
    wanted = accuracy[..., :1] + gain[..., None] / 2
    # Of no gain, any step will do.
    reached = accuracy >= wanted - 1e-12
    at = np.maximum(reached.argmax(axis=-1), 1)
    before, after = (
        np.take_along_axis(accuracy, place[..., None], axis=-1)[..., 0]
        for place in (at - 1, at)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (wanted[..., 0] - before) / (after - before)
    found = steps[at - 1] + part * (steps[at] - steps[at - 1])
    # A gain of rounding alone is none.
    return np.where(gain > 1e-9, found, np.nan)
