"""Learning curves: whose held-out preferences a model learns first.

Estimands, per group of held-out pairs (a language, a dialect, a country), arm and share
of a sweep: the accuracy and the mean margin after training, the gain in accuracy over
step 0, and the step at which half of the gain was reached, each as the mean over seeds.
Unit of analysis: a pair whose chosen answer should score above the rejected one; n is
the pairs of a group, which are the same at every step and for every seed. Pairs of one
key (a prompt, with its translations and variants) are a cluster, and every interval is
over keys: it covers other keys of this kind, not other trainings, whose range over
seeds stands beside it.

The final accuracy has Wilson's interval of as many independent pairs as would have its
cluster-robust error (`paired.clustered_share`), the mean margin a cluster-robust t
interval. A gain is the final less the first accuracy of the same pairs, with a cluster-
robust t interval of the pairs' differences; where the first is one half whatever the
pairs are, as before DPO, whose policy is its own reference, the gain has the final
accuracy's interval. A group whose gain's interval does not lie above zero, or that has
fewer than `MIN_CLUSTERS` keys, is not shown to gain.

The step of half the gain is read from straight lines between the steps that were
measured, with a percentile bootstrap over keys; groups without a gain have none. One
group is called earlier than another only where it is in every seed, the bootstrap's
test of their difference, whose draws have the same keys in both, is significant after
Bonferroni's correction for all orders of two groups on the page, and both have
`MIN_KEYS` or more. Seeds are another matter: an order is uncertain as long as so many
would agree by chance, on any order on the page, in one case of twenty or more (a sign
test with Bonferroni's correction: six seeds for one order, eight for six).
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
from analysis.paired import MIN_CLUSTERS, TOO_FEW_CLUSTERS, Interval
from analysis.records import ALPHA, Origin, Record, record_of
from probe.types import UsageError

ALL = "all"
"""Column and group of all pairs together."""
MIN_KEYS = 30
"""Fewest keys of a group whose place in an order is told."""
MARGINS = {"dpo": "implicit reward", "reward": "reward"}
"""Stage of training -> what a margin is a difference of."""


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
        """Groups whose order is told: they gain, and have enough keys."""
        return tuple(
            one for one in self.groups if one.halves and one.n_keys >= MIN_KEYS
        )

    @property
    def orders(self) -> int:
        """Pairs of groups of which one could be earlier."""
        return 0 if self.column == ALL else math.comb(len(self.comparable), 2)

    def earlier(self, orders: int) -> tuple[tuple[str, str], ...]:
        """Pairs of groups of which the first is earlier, in every seed and over keys.

        Args:
            orders: That could have been told, on the whole page.
        """
        found = []
        for first, second in itertools.permutations(self.comparable, 2):
            # Curves are in the order of seeds, which all groups share.
            pairs = list(zip(first.halves, second.halves, strict=False))
            seeds = [[one.seed for one in group.seeds] for group in (first, second)]
            if seeds[0] == seeds[1] and all(a < b for a, b in pairs):
                later = second.half_draws > first.half_draws
                p = 2 * (1 + int((~later).sum())) / (1 + len(later))
                if p * orders < ALPHA:
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
        """Final accuracies, gains, margins, and steps of half the gain."""
        return tuple(record for one in self.groups for record in _records(self, one))


def read_curves(paths: Sequence[Path]) -> tuple[Learning, ...]:
    """Reads learning curves.

    Args:
        paths: Files `learning.csv`, one of each sweep.

    Returns:
        Stage by stage, arm by arm; arms, and of each the shares and the columns, in the
        order of the files.

    Raises:
        UsageError: No file.
        DataError: As `learning_data.read_curve`.
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
    keys = np.unique(rows["key"].to_numpy(str))
    groups = [
        group_curve(str(name), of_group, keys)
        for name, of_group in rows.groupby("group", sort=False)
    ]
    groups.sort(key=lambda one: one.half.estimate if one.halves else np.inf)
    known = isinstance(share, float) and np.isfinite(share)
    return Learning(
        source=str(source),
        stage=str(stage),
        arm=str(arm),
        share=float(str(share)) if known else None,
        column=str(column),
        groups=tuple(groups),
    )


def _records(learning: Learning, one: GroupCurve) -> tuple[Record, ...]:
    def record(
        metric: str, unit: str, value: Interval, method: str, reference: str | None
    ) -> Record:
        few = one.n_keys < MIN_CLUSTERS
        return record_of(
            Origin(
                probe=f"held-out pairs by {learning.column}",
                model=learning.key,
                name="",
            ),
            value,
            analysis="learning",
            metric=metric,
            unit=unit,
            group=one.group,
            reference=reference,
            method=f"{method}; the mean over seeds",
            missing=TOO_FEW_CLUSTERS if few else "none: all pairs have the same",
            cluster="key",
            n=one.n,
            n_clusters=one.n_keys,
        )

    wilson, robust = "Wilson, effective number of pairs", "cluster-robust t"
    margin = MARGINS.get(learning.stage, learning.stage)
    found = [
        record("final_accuracy", "share", one.final, wilson, "one half"),
        record("gain", "share", one.gain, wilson if one.fixed else robust, "step 0"),
        record("final_margin", margin, one.margin, robust, "zero"),
    ]
    if one.halves:
        low, high = min(one.halves), max(one.halves)
        how = f"bootstrap over keys; {low:.0f} to {high:.0f} over seeds"
        found.append(record("half_gain_step", "step", one.half, how, None))
    return tuple(found)
