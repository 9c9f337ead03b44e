"""The slope of a metric on the share of training rows, with its error.

Estimand: by how much a metric (the mean of a probe's values) differs between training
in which all rows have an attribute and training in which none has, as a straight line
through the shares that were trained. Unit of analysis: a checkpoint, of one arm of a
sweep; n is their number. A seed fixes the draw of rows and the initialisation and is
used at every share: it is a block, and what seeds differ by is no error of the slope.

The squared error has two parts. The first is that of the regression over checkpoints:
what training varies by from run to run, which holds the noise of the values at hand as
well. The second is by how much the slopes of single items differ more than that noise
makes them: the jackknife over clusters of items (CR3, `paired.clustered_error`) less
the part of it that noise explains (how far a cluster's slopes differ between seeds, or
its scatter about its own line), at least zero, as both parts hold that noise once.
Degrees of freedom are Satterthwaite's; those of the first part are seeds - 1, or with
few seeds checkpoints - seeds - 1, so that few checkpoints have wide intervals.

The interval covers another training with another initialisation, and other items of
this kind. It covers other draws of rows with `MIN_SEEDS` seeds or more; with fewer, it
takes the slopes of all seeds as equal, and does not cover draws of rows that change the
slope. It does not cover another base model, other training data, or shares outside
those that were trained. It assumes that checkpoints scatter alike at every share, and a
straight line.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.doseresponse_lines import BLOCKS, Design, Line, line, unequal_seeds
from analysis.paired import TTest, detectable_mean, t_tested
from analysis.resample import Floats
from analysis.stages_data import Codes


@dataclass(frozen=True, kw_only=True, eq=False)
class Items:
    """Means over items at each checkpoint, and how far they rest on single clusters."""

    means: Floats
    """Shape (C,): the metric, or a difference of two groups'."""
    parts: tuple[tuple[Floats, float], ...]
    """Per group with a part in `means`: of each cluster by how much leaving it out
    moves them, scaled to the jackknife's error, shape (clusters, C); and the degrees of
    freedom that it has, clusters less strata."""
    shared: bool = False
    """Whether a cluster stands in several groups."""

    @functools.cached_property
    def shifts(self) -> Floats:
        """Shape (clusters, C): of all groups together."""
        return np.sum([part for part, _ in self.parts], axis=0)

    def of(self, places: Codes) -> Items:
        """The same at some checkpoints."""
        return Items(
            means=self.means[places],
            parts=tuple((part[:, places], freedom) for part, freedom in self.parts),
            shared=self.shared,
        )


@dataclass(frozen=True, kw_only=True)
class Slope:
    """A slope, or a difference of slopes, with its two-way error."""

    test: TTest
    """The slope with interval, p, error and degrees of freedom."""
    checkpoints: float
    """Part of the squared error from training, and from the noise of the values."""
    items: float
    """Part of it from items that answer differently to the share."""
    method: str
    unequal: float | None = None
    """P-value of one slope for all seeds, where the error takes these as equal, of two
    arms the smaller; None: it does not, or too few checkpoints."""

    @property
    def detectable(self) -> float | None:
        """Smallest slope found with a power of 80 % at 5 %, uncorrected."""
        return detectable_mean(self.test)


def slope(items: Items, design: Design) -> Slope:
    """The slope of one arm, of a group or of a difference of groups."""
    return difference([(1.0, items, design)])


def difference(arms: Sequence[tuple[float, Items, Design]]) -> Slope:
    """A sum of slopes of arms, each with its sign.

    Checkpoints of several arms are taken to scatter independently; the clusters of
    items are the same in all, and what one adds to two slopes cancels.

    Args:
        arms: Sign, items and design of each; the clusters in the same order.
    """
    lines = [line(items.means, design) for _, items, design in arms]
    estimate = sum(
        sign * one.slope for (sign, _, _), one in zip(arms, lines, strict=True)
    )
    variances = [(one.variance, one.freedom) for one in lines]
    training = sum(variance for variance, _ in variances)
    by_item, item_freedom = _item_variance(
        [(sign, items, one) for (sign, items, _), one in zip(arms, lines, strict=True)]
    )
    noise = sum(
        _noise(items, design, one)
        for (_, items, design), one in zip(arms, lines, strict=True)
    )
    extra = max(by_item - noise, 0.0)
    total = training + extra
    enough = all(freedom > 0 for _, freedom in variances) and training > 0
    pieces = [*variances, (extra, item_freedom)]
    freedom = (
        total**2 / sum(variance**2 / of for variance, of in pieces if variance > 0)
        if enough
        else math.nan
    )
    error = math.sqrt(total) if enough else 0.0
    return Slope(
        test=t_tested(estimate, error, freedom),
        checkpoints=training,
        items=extra,
        method="; ".join(dict.fromkeys(one.method for one in lines)),
        unequal=_unequal(arms, lines),
    )


def _unequal(
    arms: Sequence[tuple[float, Items, Design]], lines: Sequence[Line]
) -> float | None:
    tested = [
        unequal_seeds(items.means, design)
        for (_, items, design), one in zip(arms, lines, strict=True)
        if one.method == BLOCKS
    ]
    return min((p for p in tested if p is not None), default=None)


def _item_variance(arms: Sequence[tuple[float, Items, Line]]) -> tuple[float, float]:
    """Squared error of the slope over clusters of items, and its freedom."""
    first = arms[0][1]
    moved = np.sum([sign * (it.shifts @ li.weights) for sign, it, li in arms], axis=0)
    separate = [
        np.sum([sign * (it.parts[part][0] @ li.weights) for sign, it, li in arms], 0)
        for part in range(len(first.parts))
    ]
    squares = [float(one @ one) for one in separate]
    freedoms = [freedom for _, freedom in first.parts]
    # A group of one cluster has no error here, and is not tested.
    below = sum(s**2 / f for s, f in zip(squares, freedoms, strict=True) if f > 0)
    freedom = sum(squares) ** 2 / below if below > 0 else min(freedoms)
    if first.shared:
        freedom = min(freedom, *freedoms)
    return float(moved @ moved), max(freedom, 1.0)


def _noise(items: Items, design: Design, fitted: Line) -> float:
    """The part of both variances that the noise of each cluster makes."""
    if fitted.own is not None:
        # How far the slopes of one cluster differ between seeds.
        slopes = items.shifts @ fitted.own.T
        return float(slopes.var(axis=1, ddof=1).sum()) / len(fitted.own)
    if design.freedom < 1:
        return 0.0
    rest = design.residuals(items.shifts)
    weights = fitted.weights
    return float((rest**2).sum()) / design.freedom * float(weights @ weights)


def items_of(
    values: Floats,
    groups: Sequence[tuple[float, Codes]],
    cluster: Codes,
    stratum: Codes,
) -> Items:
    """Means of a group, or a difference of groups' means, with their clusters.

    Clusters are left out within their stratum, as how many units are of which stratum
    is design; where a stratum has a single cluster, all are of one.

    Args:
        values: Shape (C, R), finite.
        groups: Factor of each group's mean, and the group's rows.
        cluster: Shape (R,): from 0, of all rows.
        stratum: Shape (R,): of the cluster.
    """
    width = int(cluster.max()) + 1
    parts, seen = [], np.zeros(width, dtype=np.intp)
    for factor, rows in groups:
        shifts, freedom = _shifts(values[:, rows], cluster[rows], stratum[rows], width)
        parts.append((factor * shifts, freedom))
        seen[np.unique(cluster[rows])] += 1
    return Items(
        means=np.sum([f * values[:, rows].mean(axis=1) for f, rows in groups], axis=0),
        parts=tuple(parts),
        shared=bool((seen > 1).any()),
    )


def _shifts(
    values: Floats, cluster: Codes, stratum: Codes, width: int
) -> tuple[Floats, float]:
    """As `Items.parts`, of one group."""
    names = np.unique(stratum)
    strata = [np.flatnonzero(stratum == one) for one in names]
    numbers = [len(np.unique(cluster[rows])) for rows in strata]
    if min(numbers) < 2:
        strata, numbers = [np.arange(len(cluster))], [len(np.unique(cluster))]
    found = np.zeros((width, len(values)))
    for rows, number in zip(strata, numbers, strict=True):
        if number < 2:
            continue
        inside = values[:, rows] - values[:, rows].mean(axis=1, keepdims=True)
        sums = np.zeros((width, len(values)))
        np.add.at(sums, cluster[rows], inside.T)
        sizes = np.bincount(cluster[rows], minlength=width)
        scale = math.sqrt((number - 1) / number) * len(rows) / len(cluster)
        found += scale * sums / (len(rows) - sizes)[:, None]
    return found, float(sum(numbers) - len(numbers))
