"""What a token costs over features in general, and what of a feature it leaves.

Within a feature whose forms always differ by the same number of tokens, length and
feature are one and the same. Over features they are not: the slope of mean difference
on mean length difference is an association over features, each counting the same. The
features differ in more than length, so that the slope is no effect of length alone.
"""

from __future__ import annotations

import math

import numpy as np
import statsmodels.api as sm

from analysis.dialects_features_data import FeatureTable
from analysis.dialects_features_named import record
from analysis.paired import Interval
from analysis.records import Record
from analysis.resample import CI_LEVEL

MIN_FEATURES = 8
"""Fewest features over which a slope is fitted."""


def slope_record(table: FeatureTable) -> Record | None:
    """Least squares over features of mean difference on mean length difference.

    With an intercept; the interval and the p-value rest on the HC3 standard error and
    Student's t with features - 2 degrees of freedom; Holm over models, once filled in.

    Returns:
        `score_per_length`, in units of the score for each token (or character); None
        for fewer than `MIN_FEATURES` features, or where the slope or its error hangs
        on one feature alone.
    """
    x = np.array([table.lengths[rows].mean() for rows in table.members])
    y = np.array([table.differences[rows].mean() for rows in table.members])
    if len(x) < MIN_FEATURES or not np.ptp(x) > 0:
        return None
    fit = sm.OLS(y, sm.add_constant(x)).fit()
    if fit.get_influence().hat_matrix_diag.max() > 1 - 1e-9:
        return None
    robust = fit.get_robustcov_results(cov_type="HC3", use_t=True)
    low, high = robust.conf_int(1 - CI_LEVEL)[1]
    p = float(robust.pvalues[1])
    return record(
        table,
        "score_per_length",
        f"{table.unit} for each {table.length_unit.removesuffix('s')}",
        Interval(estimate=float(robust.params[1]), low=float(low), high=float(high)),
        group=None,
        n=len(x),
        n_clusters=len(x),
        method="Student's t, HC3 standard error over features",
        cluster="feature",
        p_value=p if math.isfinite(p) else None,
        family=f"{table.run.probe}, score_per_length: models",
    )
