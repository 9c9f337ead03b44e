"""Do two models penalise the same dialect features?

Estimand: Spearman's rank correlation of two models' mean differences over features
like these. Unit of analysis: a feature, n as many as both models have. The interval is
Fisher's z with the standard error of Bonett and Wright (2000), the p-value Student's t.
What a word's tokens do to any model makes models alike, too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.dialects_features_data import FeatureTable
from analysis.dialects_features_named import record
from analysis.paired import Interval
from analysis.records import Record, with_holm
from analysis.resample import CI_LEVEL

MIN_CORRELATED = 8
"""Fewest features over which two models' effects are correlated."""


def alike_records(
    tables: Sequence[FeatureTable], means: Sequence[Sequence[Record]]
) -> tuple[Record, ...]:
    """Rank correlation of mean differences over features, pair by pair of runs.

    Args:
        tables: The runs.
        means: Per run its `mean_difference` records.

    Returns:
        `spearman_features` with Holm over pairs; none for a pair with fewer than
        `MIN_CORRELATED` features in common.
    """
    found = []
    by_feature = [{one.group: one.estimate for one in records} for records in means]
    for i, k in itertools.combinations(range(len(tables)), 2):
        first, second = by_feature[i], by_feature[k]
        shared = [key for key in first if key in second]
        if len(shared) < MIN_CORRELATED:
            continue
        a, b = (
            np.array([one[key] for key in shared], dtype=np.float64)
            for one in (first, second)
        )
        # A constant has no ranks to correlate.
        rho, p = (
            map(float, stats.spearmanr(a, b))
            if np.ptp(a) > 0 and np.ptp(b) > 0
            else (math.nan, math.nan)
        )
        found.append(
            record(
                tables[i],
                "spearman_features",
                "rho",
                _bonett_wright(rho, len(shared)),
                group=tables[k].label,
                n=len(shared),
                n_clusters=len(shared),
                method="Fisher's z, standard error of Bonett and Wright (2000)",
                missing="none: ranks agree entirely, or have no spread",
                cluster="feature",
                p_value=p if math.isfinite(p) else None,
                family=f"{tables[i].run.probe}, spearman_features: pairs of models",
            )
        )
    return with_holm(found)


def _bonett_wright(rho: float, n: int) -> Interval:
    if not abs(rho) < 1:
        return Interval(estimate=rho)
    reach = float(stats.norm.ppf(0.5 + CI_LEVEL / 2)) * math.sqrt(
        (1 + rho**2 / 2) / (n - 3)
    )
    low, high = (math.tanh(math.atanh(rho) + side * reach) for side in (-1, 1))
    return Interval(estimate=rho, low=low, high=high)
