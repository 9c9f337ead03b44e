"""How much a dialect costs: effect sizes with their tests, setting by setting.

Estimand: reference - dialect over rows like those at hand; see `paired` for the mean
difference, d_z and d_av, and for what intervals and tests assume. Unit of analysis: a
row; cluster: its prompt. Holm over models and dialects within each setting and metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis import paired
from analysis.dialects_pairs_data import PairTable
from analysis.dialects_pairs_settings import Setting
from analysis.load import UNITS
from analysis.paired import MIN_CLUSTERS, TOO_FEW_CLUSTERS, Interval, shared_counts
from analysis.records import Record, record_of
from analysis.resample import Floats, percentile_interval

NO_ROWS = "not computed: no row has both scores and two different texts"
NO_SPREAD = "none: all rows differ by the same"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows of one setting and dialect."""

    n: int
    """Compared: both scores, different texts."""
    identical: int
    """Left out: both scores, and what is varied is the same text."""


def unit_of(table: PairTable) -> str:
    """Unit of a difference of scores."""
    return UNITS[table.run.measure]


def effect_records(
    table: PairTable, setting: Setting, dialect: str, *, draws: int, seed: int
) -> tuple[Counts, tuple[Record, ...]]:
    """One dialect against the reference in one setting.

    Args:
        table: The run.
        setting: How the dialect is varied.
        dialect: Not the reference.
        draws: Bootstrap draws.
        seed: Of the draws.

    Returns:
        How many rows there are, and `mean_difference`, `cohens_d_z`, `cohens_d_av`,
        `rank_biserial`, `reference_preferred` and `minimum_detectable_d_z`, before
        Holm.
    """
    forms = setting.forms(table, dialect)
    both = np.isfinite(forms.reference) & np.isfinite(forms.other)
    kept = both & ~forms.identical
    counts = Counts(n=int(kept.sum()), identical=int((both & forms.identical).sum()))
    clusters = table.clusters[kept]
    found = paired.compare(forms.reference[kept], forms.other[kept], clusters)
    differences = forms.reference[kept] - forms.other[kept]

    def about(
        metric: str,
        unit: str,
        value: Interval,
        method: str,
        p_value: float | None = None,
        missing: str | None = None,
    ) -> Record:
        return record(
            table,
            value,
            analysis=setting.analysis,
            metric=metric,
            unit=unit,
            group=dialect,
            n=found.n,
            n_clusters=found.n_clusters,
            method=method,
            missing=missing or _missing(found),
            p_value=p_value,
            family=f"{table.run.probe}, {setting.key}, {metric}: models and dialects",
        )

    t = f"Student's t, standard error clustered by {table.cluster}, unadjusted"
    resampled = f"percentile bootstrap over {table.cluster}s, {draws} draws, unadjusted"
    delta = f"delta method, Student's t, clustered by {table.cluster}, unadjusted"
    ranked = _ranked(differences, clusters, draws, seed)
    detectable = math.nan if found.detectable is None else found.detectable
    return counts, (
        about("mean_difference", unit_of(table), found.mean, t, found.p_t),
        about("cohens_d_z", "sd", found.d_z, delta, found.p_t),
        about("cohens_d_av", "sd", found.d_av, delta, found.p_t),
        about(
            "rank_biserial",
            "rank-biserial correlation",
            ranked,
            f"{resampled}; Wilcoxon's signed-rank test of {table.cluster}s' means",
            found.p_wilcoxon,
        ),
        about(
            "reference_preferred",
            "share",
            _preferred(differences, found.n_clusters),
            f"Wilson, of as many units as there are {table.cluster}s; ties one half",
        ),
        about(
            "minimum_detectable_d_z",
            "sd",
            Interval(estimate=detectable),
            "",
            missing=_missing(found)
            if found.detectable is None
            else f"none: of {table.cluster}s' means, two-sided at 5% with a power of "
            "80%, before Holm",
        ),
    )


def _missing(found: paired.Paired) -> str:
    """Why a number, or an interval, is not there."""
    if not found.n:
        return NO_ROWS
    return TOO_FEW_CLUSTERS if found.n_clusters < MIN_CLUSTERS else NO_SPREAD


def _preferred(differences: Floats, n_clusters: int) -> Interval:
    # Rows of one prompt are not independent: as many as there are prompts count.
    share = float(paired.wins(differences).mean()) if len(differences) else 0.0
    return paired.wilson(share * n_clusters, n_clusters)


def _ranked(
    differences: Floats, clusters: Sequence[str] | np.ndarray, draws: int, seed: int
) -> Interval:
    """Matched-pairs rank-biserial correlation of clusters' means (Kerby 2014)."""
    if not len(differences):
        return Interval(estimate=math.nan)
    _, codes = np.unique(clusters, return_inverse=True)
    means = np.bincount(codes, differences) / np.bincount(codes)
    ones = np.ones((1, len(means)))
    estimate = float(paired.rank_biserial(means, ones)[0])
    if len(means) < MIN_CLUSTERS or not paired.varies(differences):
        return Interval(estimate=estimate)
    resampled = paired.rank_biserial(means, shared_counts(len(means), draws, seed))
    low, high = percentile_interval(resampled)
    return Interval(estimate=estimate, low=float(low), high=float(high))


def record(table: PairTable, value: Interval, **keys: Any) -> Record:
    """One record of a run against its reference dialect; see `record_of`.

    Rows are of the table's clusters, unless `keys` say otherwise.
    """
    fixed = {"reference": table.reference, "cluster": table.cluster}
    return record_of(table.run, value, **(fixed | keys))
