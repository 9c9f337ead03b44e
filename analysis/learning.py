"""Learning curves: whose held-out preferences a model learns first.

Estimands, per group of held-out pairs (a language, a dialect, a country), arm and share
of a sweep: the accuracy after training, and the step at which half of the gain over
step 0 was reached, each as the mean over seeds. Unit of analysis: a pair whose chosen
answer should score above the rejected one; n is the pairs of a group, which are the
same at every step and for every seed.

The final accuracy has Wilson's interval of n pairs: it covers other pairs of this kind,
not other trainings, whose range over seeds stands beside it. A gain is the final less
the first accuracy. Before DPO, the first is one half whatever the pairs are, as the
policy is its own reference: the gain has Wilson's interval. Else it has Newcombe's of
two independent shares (1998, Statistics in Medicine 17:873, method 10), though both are
of the same pairs: which pairs change is not in the file, and a paired interval would be
narrower as long as pairs that were right tend to stay so. A group whose gain's
interval does not lie above zero is not shown to gain.

The step of half the gain is read from straight lines between the steps that were
measured and has its range over seeds, no interval; groups without a gain have none. One
group is called earlier than another only where it is in every seed, of these held-out
pairs, and both have `MIN_PAIRS` or more; it is uncertain as long as so many seeds would
agree by chance, on any order of two groups on the page, in one case of twenty or more
(a sign test with Bonferroni's correction: six seeds for one order, eight for six).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.learning_curves import GroupCurve, group_curve
from analysis.learning_data import KEYS, read_curve
from analysis.paired import Interval
from analysis.records import ALPHA, Record
from analysis.resample import CI_LEVEL
from probe.types import UsageError

ALL = "all"
"""Column and group of all pairs together."""
MIN_PAIRS = 30
"""Fewest pairs of a group whose place in an order is told."""


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
    def comparable(self) -> tuple[GroupCurve, ...]:
        """Groups whose order is told: they gain, and have enough pairs."""
        return tuple(one for one in self.groups if one.halves and one.n >= MIN_PAIRS)

    @property
    def orders(self) -> int:
        """Pairs of groups of which one could be earlier."""
        return 0 if self.column == ALL else math.comb(len(self.comparable), 2)

    @property
    def earlier(self) -> tuple[tuple[str, str], ...]:
        """Pairs of groups of which the first is earlier in every seed."""
        found = []
        for first, second in itertools.permutations(self.comparable, 2):
            # Curves are in the order of seeds, which all groups share.
            pairs = list(zip(first.halves, second.halves, strict=False))
            seeds = [[one.seed for one in group.seeds] for group in (first, second)]
            if seeds[0] == seeds[1] and all(a < b for a, b in pairs):
                found.append((first.group, second.group))
        return tuple(found)

    def sure(self, orders: int) -> bool:
        """Whether so many seeds agree by chance in fewer than 5 %.

        Args:
            orders: That could have been told, on the whole page.
        """
        seeds = min((len(one.seeds) for one in self.comparable), default=0)
        return 2 * orders / 2**seeds < ALPHA

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
        Stage by stage, arm by arm; arms, and of each the shares and the columns, in the
        order of the files.

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
    return in_order(found)


def in_order(
    curves: Sequence[Learning], placebos: Collection[str] = ()
) -> tuple[Learning, ...]:
    """Stage by stage, arm by arm, the placebos last; else as they are.

    Args:
        curves: Of any sweeps.
        placebos: Arms to compare with.
    """
    arms = list(dict.fromkeys(one.arm for one in curves))

    def place(one: Learning) -> tuple[str, str, bool, int]:
        return one.source, one.stage, one.arm in placebos, arms.index(one.arm)

    return tuple(sorted(curves, key=place))


def _learning(key: tuple[object, ...], rows: pd.DataFrame) -> Learning:
    source, stage, arm, share, column = key
    groups = [
        group_curve(str(name), of_group, str(stage))
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
