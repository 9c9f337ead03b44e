"""A straight line through the checkpoints of an arm, with seeds as blocks.

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
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ModelWarning

from analysis.paired import Interval, t_tested
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
