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

A straight line through the checkpoints of an arm, with seeds as blocks.

Estimand: the slope of a metric on the share of training rows that have an attribute.
Unit of analysis: a checkpoint; n is their number. The error here is over trainings of
the items at hand; `doseresponse_fit` adds what other items would change. It assumes a
straight line.

A seed fixes which rows are drawn, and other rows may have another slope. With
`MIN_SEEDS` seeds or more, each has a level and a slope of its own, and the error is by
how much these slopes differ, with seeds - 1 degrees of freedom: it covers other draws
of rows. With fewer, a spread of slopes is little more than a guess: seeds have a level
each and one slope, and the error is the scatter about that. It does not cover draws of
rows that change the slope; `unequal_seeds` tests for them, with little power.

How best minus worst group moves with the share.

Estimand: the slope of the highest less the lowest group's mean on the share. The gap is
above zero in any sample, so that its level is never tested; its slope may have either
sign. Unit of analysis: a checkpoint. The error is that of `doseresponse_fit`, with the
gap anew from the groups' means without each cluster of items. Where all groups rise or
fall alike, the gap can still move, as shares near one half scatter most: so the groups
must also be shown to have unequal slopes, and p is the larger of the two.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ModelWarning

from analysis.paired import Interval, TTest, detectable_mean, t_tested
from analysis.resample import Floats
from analysis.stages_data import Codes

MIN_CHECKPOINTS = 3
"""Fewest checkpoints of an arm: a line through two has no error."""
MIN_SEEDS = 5
"""Fewest seeds at two shares or more whose slopes may differ in the model."""
MIN_SHOWN = 3
"""Fewest seeds whose own slopes are shown with an interval, whatever the model is."""
ALIKE = 1.1
"""Up to this ratio of the spread of shares, seeds have the same design."""
BOUNDARY = 1e-3
"""A variance of slopes below this share of the residual one is taken for none: the
search for it ends near zero and not at it."""

BLOCKS = (
    "OLS with a level of each seed; takes the slopes of all seeds as equal, and does "
    "not cover draws of rows that change the slope"
)
PLAIN = "OLS without seeds, as no seed has two shares"
OWN = "t-test of the slopes of seeds, seeds - 1 df"
MIXED = "mixed model with random levels and slopes of seeds (REML), seeds - 1 df"
SINGULAR = f"{OWN}, as their variance is at the mixed model's boundary"
NOT_CONVERGED = f"{OWN}, as the mixed model did not converge"


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """Share and seed of the checkpoints of an arm."""

    share: Floats
    """Shape (C,): of the training rows that have the attribute, 0 to 1."""
    seed: Codes
    """Shape (C,): codes from 0."""
    planned: Floats | None = None
    """Shape (C,): the share that was asked for, from which what was drawn may differ by
    a few rows; None: the same."""

    @functools.cached_property
    def blocked(self) -> bool:
        """Whether seeds are blocks: one of them stands at two shares."""
        return bool((self._centred(self.share, self.seed) ** 2).sum() > 1e-12)

    @functools.cached_property
    def block(self) -> Codes:
        """The block of each checkpoint; one for all where seeds are none."""
        return self.seed if self.blocked else np.zeros_like(self.seed)

    @functools.cached_property
    def x(self) -> Floats:
        """Shares less the mean of their block."""
        return self._centred(self.share, self.block)

    @functools.cached_property
    def weights(self) -> Floats:
        """Shape (C,): the slope by OLS is their product with the metric."""
        return self.x / float(self.x @ self.x)

    @functools.cached_property
    def own(self) -> Floats:
        """Shape (S, C): of each seed at two shares or more, as `weights`."""
        found = []
        for one in np.unique(self.seed):
            here = self.seed == one
            x = np.where(here, self.share - self.share[here].mean(), 0.0)
            if float(x @ x) > 1e-12:
                found.append(x / float(x @ x))
        return np.array(found).reshape(len(found), len(self.share))

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(np.unique(self.seed))

    @property
    def alike(self) -> bool:
        """Whether all seeds have two shares, as far apart, so that all tell as much."""
        spread = (self.own**2).sum(axis=1)
        every = len(self.own) == self.seeds
        return every and float(spread.max()) <= ALIKE * float(spread.min())

    @property
    def freedom(self) -> int:
        """Checkpoints less blocks less one."""
        return len(self.share) - len(np.unique(self.block)) - 1

    def residuals(self, values: Floats) -> Floats:
        """What blocks and the line leave of values of shape (..., C)."""
        centred = self._centred(values, self.block)
        return centred - (centred @ self.weights)[..., None] * self.x

    @staticmethod
    def _centred(values: Floats, block: Codes) -> Floats:
        found = np.array(values, dtype=np.float64)
        for one in np.unique(block):
            here = block == one
            found[..., here] -= found[..., here].mean(axis=-1, keepdims=True)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A regression over checkpoints, without what items add to its error."""

    slope: float
    weights: Floats
    """Shape (C,): the slope is their product with the metric."""
    variance: float
    """Of the slope, over trainings of these items; NaN: no degrees of freedom."""
    freedom: int
    method: str
    own: Floats | None = None
    """As `Design.own`, where the error is by how much these slopes differ."""


def line(values: Floats, design: Design) -> Line:
    """Regression of a metric on the share.

    With fewer than `MIN_SEEDS` seeds at two shares, OLS with a level of each seed. Else
    the mean slope of seeds whose slopes may differ. Where all have the same shares it
    is tested by a t-test of the slopes, which is what the mixed model comes to there;
    else by the mixed model, or, where that finds no variance of slopes or does not
    converge, by the t-test.

    Args:
        values: Shape (C,): the metric at each checkpoint.
        design: Share and seed of the checkpoints.
    """
    found = _ols(values, design)
    if len(design.own) < MIN_SEEDS or not found.variance > 0:
        return found
    slopes = design.own @ values
    own = Line(
        slope=float(slopes.mean()),
        weights=design.own.mean(axis=0),
        variance=float(slopes.var(ddof=1)) / len(slopes),
        freedom=len(slopes) - 1,
        method=OWN,
        own=design.own,
    )
    return own if design.alike else _mixed(values, design, own)


def _mixed(values: Floats, design: Design, own: Line) -> Line:
    """The mixed model; where it fails, the slopes of seeds by themselves."""
    scale = float(values.std(ddof=1))
    x = np.column_stack([np.ones(len(values)), design.share - design.share.mean()])
    with warnings.catch_warnings():
        # Each of these is read from the fit, and said in `method`.
        warnings.simplefilter("ignore", ModelWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            model = MixedLM(values / scale, x, groups=design.seed, exog_re=x)
            fit = model.fit(reml=True)
        except np.linalg.LinAlgError:
            # What a variance of just zero leaves.
            return dataclasses.replace(own, method=SINGULAR)
    between = np.asarray(fit.cov_re) / float(fit.scale)
    if not fit.converged or not np.isfinite(between).all():
        return dataclasses.replace(own, method=NOT_CONVERGED)
    if float(np.linalg.eigvalsh(between)[0]) < BOUNDARY:
        return dataclasses.replace(own, method=SINGULAR)
    same = design.seed[:, None] == design.seed[None, :]
    inverse = np.linalg.inv(np.eye(len(values)) + same * (x @ between @ x.T))
    information = x.T @ inverse @ x
    return Line(
        slope=float(fit.fe_params[1]) * scale,
        weights=np.linalg.solve(information, x.T @ inverse)[1],
        variance=float(np.linalg.inv(information)[1, 1] * fit.scale) * scale**2,
        freedom=own.freedom,
        method=MIXED,
    )


def _ols(values: Floats, design: Design) -> Line:
    freedom = design.freedom
    rest = design.residuals(values)
    weights = design.weights
    # What rounding leaves is no scatter.
    noise = float(rest @ rest)
    noise = noise if noise > 1e-18 * max(float(values @ values), 1e-300) else 0.0
    return Line(
        slope=float(weights @ values),
        weights=weights,
        variance=noise / freedom * float(weights @ weights)
        if freedom > 0
        else math.nan,
        freedom=freedom,
        method=BLOCKS if design.blocked else PLAIN,
    )


def seeds_interval(values: Floats, design: Design) -> Interval | None:
    """The mean slope of seeds with the t-interval over their own slopes.

    It covers other draws of rows, and of these items; None: fewer than `MIN_SHOWN`
    seeds at two shares.
    """
    if len(design.own) < MIN_SHOWN:
        return None
    slopes = design.own @ values
    error = float(slopes.std(ddof=1)) / math.sqrt(len(slopes))
    return t_tested(float(slopes.mean()), error, len(slopes) - 1).mean


def lack_of_fit(values: Floats, design: Design) -> float | None:
    """P-value of a straight line against a level of each share, by F.

    Over checkpoints, of the shares that were asked for, seeds as blocks of one slope;
    None: fewer than three shares, or no checkpoint left to tell scatter by.
    """
    if design.planned is not None:
        design = Design(share=design.planned, seed=design.seed)
    shares = np.unique(design.share)
    factors = [(design.share == one).astype(np.float64) for one in shares]
    return _wider(values, design, factors[1:])


def unequal_seeds(values: Floats, design: Design) -> float | None:
    """P-value of one slope for all seeds against a slope of each seed, by F.

    Where slopes differ, an interval that takes them as equal is too narrow. None: one
    seed, or no checkpoint left to tell scatter by.
    """
    if not design.blocked:
        return None
    own = [np.where(design.seed == one, design.x, 0.0) for one in set(design.seed)]
    return _wider(values, design, own)


def _wider(values: Floats, design: Design, terms: list[Floats]) -> float | None:
    """P-value of the line against blocks and more terms that hold it, by F."""
    blocks = [(design.block == one).astype(np.float64) for one in set(design.block)]
    x = np.column_stack([*blocks, *terms])
    freedom = len(values) - int(np.linalg.matrix_rank(x))
    extra = design.freedom - freedom
    if extra < 1 or freedom < 1:
        return None
    rest = values - x @ np.linalg.lstsq(x, values, rcond=None)[0]
    within, linear = float(rest @ rest), float((design.residuals(values) ** 2).sum())
    if within <= 1e-18 * max(float(values @ values), 1e-300):
        return None
    f = (linear - within) / extra / (within / freedom)
    return float(stats.f.sf(max(f, 0.0), extra, freedom))


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


def gap_items(
    values: Floats, groups: Sequence[Codes], cluster: Codes, stratum: Codes
) -> Items:
    """Best minus worst group's mean at each checkpoint, and without each cluster.

    Args:
        values: Shape (C, R), finite.
        groups: Rows of each group, at least two groups, none within one cluster.
        cluster: Shape (R,): from 0, of all rows.
        stratum: Shape (R,): of the cluster.
    """
    each = [items_of(values, [(1.0, one)], cluster, stratum) for one in groups]
    means = np.stack([one.means for one in each])
    without = means[:, None, :] - np.stack([one.shifts for one in each])
    gap = np.ptp(means, axis=0)
    return Items(
        means=gap,
        parts=((gap - np.ptp(without, axis=0), _freedom(groups, cluster, stratum)),),
    )


def _freedom(groups: Sequence[Codes], cluster: Codes, stratum: Codes) -> float:
    """Clusters less strata; where a stratum has a single cluster, less one."""
    rows = np.concatenate(list(groups))
    clusters, first = np.unique(cluster[rows], return_index=True)
    _, numbers = np.unique(stratum[rows][first], return_counts=True)
    return float(len(clusters) - (len(numbers) if numbers.min() > 1 else 1))


def equal_slopes(items: Sequence[Items], design: Design) -> float | None:
    """P-value of the same slope in every group: Holm's smallest of all groups' tests.

    Each group's slope is held against the mean of the others'; with two groups that is
    one test.

    Args:
        items: Of each group, at least two.
        design: Of the checkpoints.

    Returns:
        None where no group can be tested.
    """
    count = len(items)
    tested = items[:1] if count == 2 else items
    found = [slope(_less_others(items, one), design).test.p_value for one in tested]
    known = [p for p in found if p is not None]
    return min(1.0, len(tested) * min(known)) if known else None


def _less_others(items: Sequence[Items], one: Items) -> Items:
    factors = [1.0 if each is one else -1.0 / (len(items) - 1) for each in items]
    pairs = list(zip(factors, items, strict=True))
    moved = [part for each in items for part, _ in each.parts]
    return Items(
        means=np.sum([factor * each.means for factor, each in pairs], axis=0),
        parts=tuple(
            (factor * part, freedom)
            for factor, each in pairs
            for part, freedom in each.parts
        ),
        shared=bool((np.sum([part.any(axis=1) for part in moved], axis=0) > 1).any()),
    )
