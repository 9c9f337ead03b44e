"""A straight line through the checkpoints of an arm, seeds as blocks.

Estimand: the slope of a metric on the share of training rows that have an attribute.
Unit of analysis: a checkpoint; n is their number. The error here is over trainings of
the items at hand; `doseresponse_fit` adds what other items would change. It assumes a
straight line, that a seed shifts a metric alike at every share, and that checkpoints
scatter alike at every share and independently, but for their seed.
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

from analysis.resample import Floats
from analysis.stages_data import Codes

MIN_CHECKPOINTS = 3
"""Fewest checkpoints of an arm: a line through two has no error."""
MIN_SEEDS = 5
"""Fewest seeds whose spread is estimated as a random effect: a variance of fewer is
little more than a guess, and the fixed effects lose nothing where every seed has every
share."""
BOUNDARY = 1e-3
"""A seeds' variance below this share of the residual one is taken for none: the search
for it ends near zero and not at it."""

BLOCKS = "OLS with a level of each seed"
PLAIN = "OLS without seeds, as no seed has two shares"
MIXED = "mixed model with random levels of seeds (REML)"
SINGULAR = f"{BLOCKS}, as the seeds' variance is at its boundary"
NOT_CONVERGED = f"{BLOCKS}, as the mixed model did not converge"


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """Share and seed of the checkpoints of an arm."""

    share: Floats
    """Shape (C,): of the training rows that have the attribute, 0 to 1."""
    seed: Codes
    """Shape (C,): codes from 0."""

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

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(np.unique(self.seed))

    @property
    def freedom(self) -> int:
        """Checkpoints less blocks less one."""
        return len(self.share) - len(np.unique(self.block)) - 1

    @property
    def shares(self) -> Floats:
        """The distinct shares."""
        return np.unique(self.share)

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


def line(values: Floats, design: Design) -> Line:
    """Regression of a metric on the share.

    From `MIN_SEEDS` seeds on, seeds are random effects of a mixed model, else fixed
    ones; where every seed has every share both give the same. The mixed model's error
    is read with the degrees of freedom of fixed seeds, as the normal distribution would
    make intervals too narrow.

    Args:
        values: Shape (C,): the metric at each checkpoint.
        design: Share and seed of the checkpoints.
    """
    found = _ols(values, design)
    if not design.blocked or design.seeds < MIN_SEEDS or not found.variance > 0:
        return found
    scale = float(values.std(ddof=1))
    x = np.column_stack([np.ones(len(values)), design.share])
    with warnings.catch_warnings():
        # Each of these is read from the fit, and said in `method`.
        warnings.simplefilter("ignore", ModelWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            fit = MixedLM(values / scale, x, groups=design.seed).fit(reml=True)
        except np.linalg.LinAlgError:
            # What a variance of just zero leaves.
            return dataclasses.replace(found, method=SINGULAR)
    ratio = float(np.asarray(fit.cov_re).ravel()[0]) / float(fit.scale)
    error = float(fit.bse_fe[1])
    if ratio < BOUNDARY:
        return dataclasses.replace(found, method=SINGULAR)
    if not fit.converged or not math.isfinite(error):
        return dataclasses.replace(found, method=NOT_CONVERGED)
    same = design.seed[:, None] == design.seed[None, :]
    inverse = np.linalg.inv(np.eye(len(values)) + ratio * same)
    weights = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)[1]
    return Line(
        slope=float(fit.fe_params[1]) * scale,
        weights=weights,
        variance=(error * scale) ** 2,
        freedom=found.freedom,
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


def lack_of_fit(values: Floats, design: Design) -> float | None:
    """P-value of a straight line against a level of each share, by F.

    Over checkpoints, seeds as in the slope; None: fewer than three shares, or no
    checkpoint left to tell scatter by.
    """
    factors = [(design.share == one).astype(np.float64) for one in design.shares]
    return _wider(values, design, factors[1:])


def unequal_seeds(values: Floats, design: Design) -> float | None:
    """P-value of one slope for all seeds against a slope of each seed, by F.

    Seeds whose slopes differ are no mere blocks, and the interval of the slope is then
    too narrow: in simulated sweeps of 200 items, seeds whose slopes had an SD of 3
    points about a mean of zero made it leave zero out in 5 to 8 % of cases, and an SD
    of 6 points in 11 to 14 %. None: one seed, or no checkpoint left to tell scatter by.
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
