"""Learning curves: whose held-out preferences a model learns first.

Estimands, per group of held-out pairs (a language, a dialect, a country), arm and share
of a sweep: the accuracy after training, and the step at which half of the gain over
step 0 was reached, each as the mean over seeds. Unit of analysis: a pair whose chosen
answer should score above the rejected one; n is the pairs of a group, which are the
same at every step and for every seed.

The final accuracy has Wilson's interval of n pairs: it covers other pairs of this kind,
not other trainings, whose range over seeds stands beside it. The step of half the gain
is read from straight lines between the steps that were measured and has its range over
seeds, no interval; a group whose final interval holds its level at step 0 is not
shown to gain, and has none. One group is called earlier than another only where it is
in every seed; it is uncertain as long as so many seeds would agree by chance, on the
order of any two of the groups that gain, in one case of twenty or more (a sign test
with Bonferroni's correction: six seeds for two groups, eight for four).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.learning_data import KEYS, read_curve
from analysis.paired import Interval, wilson
from analysis.records import ALPHA, Record
from analysis.resample import CI_LEVEL, Floats
from probe.types import UsageError

ALL = "all"
"""Column and group of all pairs together."""


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
    margin: float
    """Mean of chosen less rejected after the last step."""

    @property
    def finals(self) -> tuple[float, float]:
        """Range of the final accuracy over seeds."""
        last = [float(one.accuracy[-1]) for one in self.seeds]
        return min(last), max(last)

    @property
    def gains(self) -> bool:
        """Whether a gain is shown: the interval lies above the level at step 0."""
        return self.final.low > self.start

    @property
    def halves(self) -> tuple[float, ...]:
        """Steps of half the gain, one per seed; empty where no gain is shown."""
        found = [one.half for one in self.seeds if one.half is not None]
        return tuple(found) if self.gains and len(found) == len(self.seeds) else ()


@dataclass(frozen=True, kw_only=True)
class Learning:
    """The groups of one column in one arm, share and stage."""

    source: str
    """Folder of the file, where there are several; else nothing."""
    stage: str
    arm: str
    share: float | None
    column: str
    groups: tuple[GroupCurve, ...]
    """By the mean step of half the gain; those without one last."""

    @property
    def earlier(self) -> tuple[tuple[str, str], ...]:
        """Pairs of groups of which the first is earlier in every seed."""
        found = []
        for first, second in itertools.permutations(self.groups, 2):
            # Curves are in the order of seeds, which all groups share.
            pairs = list(zip(first.halves, second.halves, strict=False))
            seeds = [[one.seed for one in group.seeds] for group in (first, second)]
            if pairs and seeds[0] == seeds[1] and all(a < b for a, b in pairs):
                found.append((first.group, second.group))
        return tuple(found)

    @property
    def sure(self) -> bool:
        """Whether so many seeds agree on an order by chance in fewer than 5 %."""
        gaining = [one for one in self.groups if one.halves]
        seeds = min((len(one.seeds) for one in gaining), default=0)
        return 2 * math.comb(len(gaining), 2) / 2**seeds < ALPHA

    @property
    def key(self) -> str:
        """Stage, arm and share, as in `Record.model`."""
        share = "" if self.share is None else f" {100 * self.share:g}%"
        source = f"{self.source}, " if self.source else ""
        return f"{source}{self.stage}, {self.arm}{share}"

    @property
    def records(self) -> tuple[Record, ...]:
        """Final accuracies, and steps of half the gain."""
        return tuple(
            record for one in self.groups for record in _records(self, one) if record
        )


def read_curves(paths: Sequence[Path]) -> tuple[Learning, ...]:
    """Reads learning curves.

    Args:
        paths: Files `learning.csv`, one of each sweep.

    Returns:
        Stage by stage, arm by arm; of each the shares and the columns in the order of
        the files. The column of all pairs together comes first.

    Raises:
        UsageError: No file.
        DataError: A file cannot be read, lacks a column, has an impossible value or a
            curve without step 0, or states one step of a group twice.
    """
    if not paths:
        raise UsageError(
            "no learning curves were named",
            "A curve is a learning.csv that rm-probe train wrote",
            "Name one, or leave the option out",
        )
    # Sweeps are apart, also where their arms and shares have the same names.
    names = [path.parent.name for path in paths] if len(paths) > 1 else [""]
    several = [
        f"{name} #{place}" if names.count(name) > 1 else name
        for place, name in enumerate(names, 1)
    ]
    frame = pd.concat(
        [
            read_curve(path).assign(source=name)
            for path, name in zip(paths, several, strict=True)
        ],
        ignore_index=True,
    )
    found = [
        _learning(key, rows)
        for key, rows in frame.groupby(["source", *KEYS], sort=False, dropna=False)
    ]
    return tuple(sorted(found, key=_order))


def _order(one: Learning) -> tuple[str, str, bool, str]:
    return one.source, one.stage, one.arm == "placebo", one.arm


def _learning(key: tuple[object, ...], rows: pd.DataFrame) -> Learning:
    source, stage, arm, share, column = key
    groups = [
        _group(str(name), of_group)
        for name, of_group in rows.groupby("group", sort=False)
    ]
    groups.sort(key=lambda one: float(np.mean(one.halves)) if one.halves else np.inf)
    known = isinstance(share, float) and np.isfinite(share)
    return Learning(
        source=str(source),
        stage=str(stage),
        arm=str(arm),
        share=float(str(share)) if known else None,
        column=str(column),
        groups=tuple(groups),
    )


def _group(name: str, rows: pd.DataFrame) -> GroupCurve:
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
    return GroupCurve(
        group=name,
        n=n,
        seeds=tuple(seeds),
        start=float(np.mean(starts)),
        final=wilson(float(np.mean(finals)) * n, n),
        margin=float(np.mean(margins)),
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


def _records(learning: Learning, one: GroupCurve) -> tuple[Record | None, ...]:
    def record(
        metric: str, unit: str, value: Interval, method: str, n: int, cluster: str
    ) -> Record:
        bounded = bool(np.isfinite(value.low))
        return Record(
            analysis="learning",
            probe=f"held-out pairs by {learning.column}",
            model=learning.key,
            run="",
            metric=metric,
            unit=unit,
            group=one.group,
            reference=None,
            estimate=value.estimate,
            ci_low=value.low if bounded else None,
            ci_high=value.high if bounded else None,
            ci_level=CI_LEVEL if bounded else None,
            ci_method=method,
            cluster=cluster,
            p_value=None,
            p_holm=None,
            family=None,
            n=n,
            n_clusters=n,
        )

    final = record(
        "final_accuracy",
        "share",
        one.final,
        "Wilson, of the pairs; the mean over seeds",
        one.n,
        "pair",
    )
    if not one.halves:
        return (final,)
    low, high = min(one.halves), max(one.halves)
    return final, record(
        "half_gain_step",
        "step",
        Interval(estimate=float(np.mean(one.halves))),
        f"none: {low:.0f} to {high:.0f} over seeds",
        len(one.seeds),
        "seed",
    )
