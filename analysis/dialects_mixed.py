"""Does a dialect score differently at equal length? A mixed model of the answers.

Model: score ~ dialect + length within the row + mean length of the row, with a random
intercept per row (REML), over the answers under the reference prompt. A row's mean
length stands apart (Mundlak 1978), because rows with long answers differ from others in
what they say: a single length term would take what goes with length between rows for
what a longer form of the same answer costs.

Estimand: the score of the reference less that of the dialect at equal length, if length
acts as a straight line. Assumptions on variances decide the weights only: standard
errors are clustered by prompt, so that a dialect whose differences spread more, and
prompts with several rows, do not pass for evidence. Length in tokens is itself in part
what a dialect's spelling makes it; what is taken out for length need not be no dialect.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats
from statsmodels.tools.sm_exceptions import ConvergenceWarning, SingularMatrixWarning

from analysis.dialects_pairs_data import CHOSEN, PairTable
from analysis.dialects_pairs_effects import ANSWER, Setting, record, unit_of
from analysis.paired import MIN_CLUSTERS, Interval
from analysis.records import Record
from analysis.resample import CI_LEVEL, Floats
from analysis.wording import count_of

EQUAL_LENGTH = "mean_difference_at_equal_length"
SLOPE = "score_per_length"
LENGTH = "length_difference"
"""Metrics of the records."""


SEARCHES = ("bfgs", "powell")
"""How the variances are searched for: by slope, and without it where the variance
between rows goes to zero."""


@dataclass(frozen=True, kw_only=True)
class MixedFit:
    """Coefficients of the model, in the units of the data."""

    effects: Floats
    """Shape (D,): reference less each dialect at equal length."""
    errors: Floats
    """Shape (D,): their standard errors, clustered."""
    slope: float
    """Score per unit of length within a row."""
    slope_error: float
    df: int
    """Degrees of freedom: clusters less two, one for the slope."""


def fit_mixed(
    scores: Floats, lengths: Floats, clusters: NDArray[np.intp]
) -> MixedFit | str:
    """Fits the model.

    Args:
        scores: Shape (R, 1 + D), the reference first; NaN: left out.
        lengths: Shape (R, 1 + D).
        clusters: Shape (R,): codes from 0.

    Returns:
        The coefficients, or why there are none.
    """
    present = np.isfinite(scores) & np.isfinite(lengths)
    # A row's only text has nothing to be compared with.
    present &= present[:, :1] & (present.sum(axis=1, keepdims=True) > 1)
    rows, columns = np.nonzero(present)
    _, codes = np.unique(clusters[rows], return_inverse=True)
    groups = int(codes.max()) + 1 if len(codes) else 0
    if groups <= MIN_CLUSTERS:
        return (
            f"not computed: {count_of(groups, 'prompt')}, and the model needs more "
            f"than {MIN_CLUSTERS}"
        )
    _, places = np.unique(rows, return_inverse=True)
    y, length = scores[present], lengths[present]
    counts = np.bincount(places)
    means = (np.bincount(places, length) / counts)[places]
    inside = length - means
    spread, reach = float(y.std()), float(inside.std())
    if not spread > 0:
        return "not computed: every score is the same"
    # Means of equal lengths leave a trace of spread.
    if not reach > 1e-9 * max(float(np.abs(length).max()), 1.0):
        return "not computed: all forms of a row are equally long"
    between = means - means.mean()
    dummies = columns[:, None] == np.arange(1, scores.shape[1])
    x = np.column_stack(
        [np.ones(len(y)), dummies, inside / reach]
        + ([between / between.std()] if between.std() > 0 else [])
    )
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return (
            "not computed: length follows from the dialect, or a dialect has no row, "
            "so that they cannot be told apart"
        )
    shares = _row_share((y - y.mean()) / spread, x, places)
    if isinstance(shares, str):
        return shares
    between_share, within_share = shares
    # Generalised least squares with these variances is ordinary least squares once
    # each row's mean is taken out in part.
    theta = 1 - np.sqrt(within_share / (within_share + counts * between_share))
    flat_y, flat_x = (
        _less_means(y / spread, places, theta),
        np.column_stack([_less_means(column, places, theta) for column in x.T]),
    )
    bread = np.linalg.inv(flat_x.T @ flat_x)
    beta = bread @ flat_x.T @ flat_y
    sums = np.zeros((groups, x.shape[1]))
    np.add.at(sums, codes, flat_x * (flat_y - flat_x @ beta)[:, None])
    # One more degree of freedom goes than in a t-test of differences: the slope's.
    cov = groups / (groups - 2) * bread @ sums.T @ sums @ bread
    errors = np.sqrt(np.diag(cov))
    dialects, at = slice(1, scores.shape[1]), scores.shape[1]
    return MixedFit(
        effects=-beta[dialects] * spread,
        errors=errors[dialects] * spread,
        slope=float(beta[at]) * spread / reach,
        slope_error=float(errors[at]) * spread / reach,
        df=groups - 2,
    )


def _row_share(
    y: Floats, x: Floats, places: NDArray[np.intp]
) -> tuple[float, float] | str:
    """REML variances between and within rows, of scores in SDs."""
    reason = "not computed: the mixed model did not converge"
    for method in SEARCHES:
        with warnings.catch_warnings():
            # No variance between rows is an estimate like any other here: the
            # standard errors do not rest on it. A failed search is read below.
            for expected in (ConvergenceWarning, SingularMatrixWarning):
                warnings.simplefilter("ignore", expected)
            try:
                fit = sm.MixedLM(y, x, groups=places).fit(reml=True, method=method)
            except np.linalg.LinAlgError:
                reason = "not computed: the mixed model is singular"
                continue
        if fit.converged and np.isfinite(fit.scale):
            return float(fit.cov_re[0, 0]), float(fit.scale)
    return reason


def _less_means(values: Floats, places: NDArray[np.intp], theta: Floats) -> Floats:
    means = np.bincount(places, values) / np.bincount(places)
    return np.asarray(values - (theta * means)[places], dtype=np.float64)


def length_records(
    table: PairTable, setting: Setting
) -> tuple[tuple[Record, ...], str | None]:
    """The dialects at equal length, beside `mean_difference` of the same setting.

    Args:
        table: The run.
        setting: The run's headline setting; the model is of `ANSWER` only.

    Returns:
        Per dialect `mean_difference_at_equal_length` and `length_difference` (mean
        length of the reference's text less the dialect's), then `score_per_length`,
        before Holm; and why the model was left out, or None.
    """
    ref, unit = table.reference, table.length_unit
    forms = [(ref, CHOSEN, dialect) for dialect in (ref, *table.dialects)]
    shape = (len(table.rows), len(forms))
    scores, lengths = np.full(shape, np.nan), np.full(shape, np.nan)
    for place, cell in enumerate(forms):
        if cell in table.scores and unit is not None:
            usable = ~table.same(CHOSEN, cell[2]) | (cell[2] == ref)
            scores[:, place] = np.where(usable, table.scores[cell], np.nan)
            lengths[:, place] = np.where(usable, table.lengths[cell], np.nan)
    asked = (np.isfinite(scores[:, :1]) & np.isfinite(scores[:, 1:])).any(axis=0)
    fit: MixedFit | str
    if unit is None:
        fit = "left out: neither tokens nor texts are recorded, so length is unknown"
    elif setting is not ANSWER:
        fit = "left out: the answers were not scored under one and the same prompt"
    else:
        _, codes = np.unique(table.clusters, return_inverse=True)
        fit = fit_mixed(
            scores[:, np.concatenate([[True], asked])],
            lengths[:, np.concatenate([[True], asked])],
            codes,
        )
    records: list[Record] = []
    here = [name for name, known in zip(table.dialects, asked, strict=True) if known]
    for place, dialect in enumerate(here or table.dialects):
        rows = _compared(table, setting, dialect)
        records += _about(table, setting, dialect, rows, fit, place)
        differences = (
            lengths[rows, 0] - lengths[rows, 1 + table.dialects.index(dialect)]
        )
        if np.isfinite(differences).any():
            records.append(
                _record(
                    table,
                    setting,
                    LENGTH,
                    unit or "",
                    Interval(estimate=float(differences.mean())),
                    dialect,
                    rows,
                    "none: descriptive",
                )
            )
    if isinstance(fit, str):
        return tuple(records), fit
    reach = float(stats.t.ppf(0.5 + CI_LEVEL / 2, fit.df)) * fit.slope_error
    every = np.isfinite(scores[:, 0]) & np.isfinite(scores[:, 1:]).any(axis=1)
    records.append(
        _record(
            table,
            setting,
            SLOPE,
            f"{unit_of(table)} per {(unit or '').removesuffix('s')}",
            Interval(estimate=fit.slope, low=fit.slope - reach, high=fit.slope + reach),
            None,
            np.flatnonzero(every),
            "",
            p_value=_p(fit.slope, fit.slope_error, fit.df),
        )
    )
    return tuple(records), None


def _compared(table: PairTable, setting: Setting, dialect: str) -> NDArray[np.intp]:
    forms = setting.forms(table, dialect)
    return np.flatnonzero(np.isfinite(forms.reference - forms.other) & ~forms.identical)


def _p(estimate: float, error: float, df: int) -> float | None:
    return float(2 * stats.t.sf(abs(estimate / error), df)) if error > 0 else None


def _about(
    table: PairTable,
    setting: Setting,
    dialect: str,
    rows: NDArray[np.intp],
    fit: MixedFit | str,
    place: int,
) -> tuple[Record, ...]:
    if isinstance(fit, str):
        nothing = Interval(estimate=np.nan)
        return (
            _record(
                table,
                setting,
                EQUAL_LENGTH,
                unit_of(table),
                nothing,
                dialect,
                rows,
                fit,
            ),
        )
    estimate, error = float(fit.effects[place]), float(fit.errors[place])
    reach = float(stats.t.ppf(0.5 + CI_LEVEL / 2, fit.df)) * error
    return (
        _record(
            table,
            setting,
            EQUAL_LENGTH,
            unit_of(table),
            Interval(estimate=estimate, low=estimate - reach, high=estimate + reach),
            dialect,
            rows,
            "",
            p_value=_p(estimate, error, fit.df),
        ),
    )


def _record(
    table: PairTable,
    setting: Setting,
    metric: str,
    unit: str,
    value: Interval,
    dialect: str | None,
    rows: NDArray[np.intp],
    missing: str,
    p_value: float | None = None,
) -> Record:
    return record(
        table,
        value,
        analysis=setting.analysis,
        metric=metric,
        unit=unit,
        group=dialect,
        n=len(rows),
        n_clusters=len(np.unique(table.clusters[rows])),
        method="mixed model with a random intercept per row (REML) and length, "
        f"standard error clustered by {table.cluster}, Student's t, unadjusted",
        missing=missing,
        p_value=p_value,
        family=f"{table.run.probe}, {setting.key}, {metric}: models and dialects",
    )
