"""The learning curve of one group of held-out pairs: its ends, gain and half of it.

What is estimated, and what the intervals cover, stands in `learning`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.paired import Interval, wilson
from analysis.resample import Floats

BALANCED = 0.5
"""Accuracy before DPO, where no pair tells the policy from its reference."""


@dataclass(frozen=True, kw_only=True)
class SeedCurve:
    """One group in one training."""

    seed: int
    steps: Floats
    """From 0, ascending."""
    accuracy: Floats
    half: float | None
    """Step of half the final gain; None: there is no gain."""


@dataclass(frozen=True, kw_only=True)
class GroupCurve:
    """One group of an arm and share, over seeds."""

    group: str
    n: int
    """Pairs; of seeds that differ the fewest."""
    seeds: tuple[SeedCurve, ...]
    start: float
    """Mean accuracy at step 0."""
    final: Interval
    """Mean accuracy after the last step, with Wilson's interval of `n` pairs."""
    gain: Interval
    """`final` less `start`; Newcombe's interval, or Wilson's where `start` is fixed."""
    margin: float
    """Mean of chosen less rejected after the last step."""

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
        found = [one.half for one in self.seeds if one.half is not None]
        return tuple(found) if self.gains and len(found) == len(self.seeds) else ()


def group_curve(name: str, rows: pd.DataFrame, stage: str) -> GroupCurve:
    """The curve of one group.

    Args:
        name: Of the group.
        rows: From `learning_data.read_curve`: of one stage, arm, share and group.
        stage: Of the training.
    """
    seeds, margins, starts, finals = [], [], [], []
    for seed, of_seed in rows.groupby("seed", sort=True):
        ordered = of_seed.sort_values("step")
        steps, accuracy = (
            ordered[column].to_numpy(dtype=np.float64)
            for column in ("step", "accuracy")
        )
        seeds.append(
            SeedCurve(
                seed=int(str(seed)),
                steps=steps,
                accuracy=accuracy,
                half=half_step(steps, accuracy),
            )
        )
        margins.append(float(ordered["margin"].iloc[-1]))
        starts.append(float(accuracy[0]))
        finals.append(float(accuracy[-1]))
    n = int(rows["n"].min())
    start = float(np.mean(starts))
    final = wilson(float(np.mean(finals)) * n, n)
    fixed = stage == "dpo" and all(one == BALANCED for one in starts)
    return GroupCurve(
        group=name,
        n=n,
        seeds=tuple(seeds),
        start=start,
        final=final,
        gain=_less(final, Interval(estimate=start, low=start, high=start))
        if fixed
        else _less(final, wilson(start * n, n)),
        margin=float(np.mean(margins)),
    )


def _less(first: Interval, second: Interval) -> Interval:
    """The difference of two independent shares with Newcombe's interval."""
    difference = first.estimate - second.estimate
    below = first.estimate - first.low, second.high - second.estimate
    above = first.high - first.estimate, second.estimate - second.low
    return Interval(
        estimate=difference,
        low=difference - math.hypot(*below),
        high=difference + math.hypot(*above),
    )


def half_step(steps: Floats, accuracy: Floats) -> float | None:
    """The first step at which half of the final gain over step 0 was reached.

    Args:
        steps: Shape (S,), ascending from 0.
        accuracy: Shape (S,).

    Returns:
        Between two measured steps on a straight line; None: the last accuracy is not
        above the first.
    """
    gain = float(accuracy[-1] - accuracy[0])
    if not gain > 0:
        return None
    wanted = float(accuracy[0]) + gain / 2
    at = int(np.flatnonzero(accuracy >= wanted - 1e-12)[0])
    before, after = float(accuracy[at - 1]), float(accuracy[at])
    part = (wanted - before) / (after - before)
    return float(steps[at - 1] + part * (steps[at] - steps[at - 1]))
