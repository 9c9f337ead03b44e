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

import dataclasses
import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.paired import (
    MIN_CLUSTERS,
    TOO_FEW_CLUSTERS,
    Interval,
    bounded,
    bounded_by,
    clustered_share,
    shared_counts,
    t_test,
    wins,
)
from analysis.records import ALPHA, Origin, Record, record_of
from analysis.resample import SEED, Floats
from probe.csvs import unquoted
from probe.types import DataError, UsageError

COLUMNS = (
    "model",
    "arm",
    "share",
    "seed",
    "stage",
    "step",
    "tokens",
    "column",
    "group",
    "key",
    "id",
    "margin",
)
"""A row for each step, held-out pair and group that it is in."""
KEYS = ("stage", "arm", "share", "column")
"""What tells curves apart, beside group and seed."""
_NUMBERS = ("step", "tokens", "margin", "seed", "share")
_TEXTS = ("arm", "column", "group", "key", "id")


def read_curve(path: Path) -> pd.DataFrame:
    """Reads one file of curves, with the pairs that all seeds of a curve have.

    Raises:
        DataError: It cannot be read, lacks a column, has an impossible value, a curve
            without step 0 or without a pair that all its seeds have, or a pair that is
            at one step twice or not at all.
    """
    try:
        frame = pd.read_csv(
            path, converters=dict.fromkeys(_TEXTS, unquoted), keep_default_na=False
        )
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as csv ({error})",
            f"Learning curves have the columns {', '.join(COLUMNS)}",
            "Name the learning.csv that rm-probe train wrote",
        ) from error
    if missing := [name for name in COLUMNS if name not in frame]:
        raise DataError(
            f"{path} has no column {', '.join(missing)}",
            f"Learning curves have the columns {', '.join(COLUMNS)}: a row for each "
            "step, held-out pair and group",
            "Name the learning.csv that rm-probe train wrote; where an older version "
            "wrote it, train again",
        )
    if frame.empty:
        raise DataError(
            f"{path} holds no curve",
            "It has a row for each step, held-out pair and group",
            "Train with held-out pairs (held_out_rows), or leave the file out",
        )
    for name in _NUMBERS:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        # Where nothing is varied, there is no share.
        wrong = ~np.isfinite(numbers) & ~((name == "share") & (frame[name] == ""))
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            value = frame[name].to_list()[at]
            raise DataError(
                f"{path}, line {at + 2}: {name} = {value!r}",
                "It is a number",
                "Write the file anew with rm-probe train",
            )
        frame[name] = numbers
    return _checked(path, frame)


def _checked(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    curve = [*KEYS, "group", "seed"]
    twice = frame.duplicated([*curve, "id", "step"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise DataError(
            f"{path}: {row['model']} has step {row['step']} of pair {row['id']} in "
            f"{row['column']} {row['group']} twice",
            "A checkpoint is measured once at each step",
            "Name each sweep's file once, and one stage of a name only once",
        )
    by_curve = frame.groupby(curve, sort=False, dropna=False)["step"]
    first = by_curve.min()
    if (first > 0).any():
        raise DataError(
            f"{path}: {dict(zip(curve, first[first > 0].index[0], strict=True))} "
            "has no step 0",
            "A gain is over step 0, before training",
            "Measure the held-out pairs before the first step as well",
        )
    measured = frame.groupby([*curve, "id"], sort=False, dropna=False)["step"]
    gaps = measured.transform("size") < by_curve.transform("nunique")
    if gaps.any():
        row = frame[gaps].iloc[0]
        raise DataError(
            f"{path}: {row['model']} lacks pair {row['id']} in {row['column']} "
            f"{row['group']} at some step",
            "What is measured at one step is measured at all",
            "Write the file anew with rm-probe train",
        )
    seeds = frame.groupby(curve[:-1], sort=False, dropna=False)["seed"]
    having = frame.groupby([*curve[:-1], "id"], sort=False, dropna=False)["seed"]
    shared = having.transform("nunique") == seeds.transform("nunique")
    lost = shared.groupby([frame[name] for name in curve[:-1]], dropna=False).any()
    if not lost.all():
        raise DataError(
            f"{path}: {dict(zip(curve[:-1], lost[~lost].index[0], strict=True))} "
            "has no pair that all its seeds have",
            "Seeds are compared on the same held-out pairs",
            "Name a file for each, if they are of different mixes",
        )
    return frame[shared]


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
        rows: From `learning.read_curve`: of one stage, arm, share and group.
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
        DataError: As `learning.read_curve`.
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
