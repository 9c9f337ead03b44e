"""Effect sizes of dialect features, their mean over features, and by variety.

Estimands, units and assumptions stand in `dialects_features_analysis`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import paired
from analysis.dialects_features_data import FeatureTable
from analysis.dialects_features_named import TOO_FEW_FRAMES, no_interval, record
from analysis.paired import MIN_CLUSTERS, Interval, clustered_error, wins
from analysis.records import Record
from analysis.resample import Floats, Stream, generator, percentile_interval

TOO_FEW_FEATURES = f"none: fewer than {MIN_CLUSTERS} features, or no spread"
DELTA = "delta method, Student's t, clustered by frame, unadjusted"
WILSON = "Wilson, of the effective number of pairs by frame"
OVER_FEATURES = "Student's t over features"


def effect_records(table: FeatureTable, place: int) -> tuple[Record, ...]:
    """What one feature costs by every measure but the mean difference.

    Args:
        table: The run.
        place: Of the feature.

    Returns:
        `cohens_d_z`, `cohens_d_av`, `rank_biserial`, `accuracy`,
        `minimum_detectable_d_z` and `length_difference`, before Holm.
    """
    rows, frames = table.members[place], table.clusters[place]
    found = paired.compare(
        table.standard[rows],
        table.dialect[rows],
        frames.astype(np.str_),
    )
    missing = no_interval(found.n_clusters)

    def about(metric: str, unit: str, value: Interval, **keys: Any) -> Record:
        return record(
            table,
            metric,
            unit,
            value,
            group=table.features[place].key,
            n=found.n,
            n_clusters=found.n_clusters,
            family=f"{table.run.probe}, {metric}: models and features",
            **keys,
        )

    differences = table.differences[rows]
    by_frame = np.bincount(frames, differences) / np.bincount(frames)
    [ranked] = paired.rank_biserial(by_frame, np.ones((1, len(by_frame)))).tolist()
    detectable = math.nan if found.detectable is None else found.detectable
    tested = {"method": DELTA, "missing": missing, "p_value": found.p_t}
    return (
        about("cohens_d_z", "sd", found.d_z, **tested),
        about("cohens_d_av", "sd", found.d_av, **tested),
        about(
            "rank_biserial",
            "rank-biserial correlation",
            Interval(estimate=ranked),
            missing="none: estimate of frames' mean differences",
            p_value=found.p_wilcoxon,
        ),
        about("accuracy", "share", accuracy(differences, frames), method=WILSON),
        about(
            "minimum_detectable_d_z",
            "sd",
            Interval(estimate=detectable),
            missing=TOO_FEW_FRAMES
            if found.detectable is None
            else "none: of frames' means at 5% and a power of 80%, before Holm",
        ),
        about(
            "length_difference",
            table.length_unit,
            Interval(estimate=float(table.lengths[rows].mean())),
            missing="none: descriptive",
        ),
    )


def accuracy(differences: Floats, frames: NDArray[np.intp]) -> Interval:
    """Share of pairs in which the standard form scores higher, ties one half.

    Wilson's interval of the effective number of pairs: at least the frames, at most the
    pairs, and in between as many independent ones as would have the clustered standard
    error of the mean difference. (That of the share itself is zero where it is 0 or 1.)

    Args:
        differences: Shape (P,), finite.
        frames: Shape (P,): frames from 0.
    """
    share, n = float(wins(differences).mean()), len(differences)
    units = groups = int(frames.max()) + 1
    if groups > 1 and np.ptp(differences) > 0:
        error = clustered_error(differences, frames)
        alone = float(differences.var(ddof=1))
        units = min(max(round(alone / error**2), groups), n) if error > 0 else n
    return paired.wilson(share * units, units)


def overall_records(table: FeatureTable) -> tuple[Record, Record, Record]:
    """Mean difference (twice: in its unit, in SDs of all scores) and accuracy.

    Each feature counts the same. Intervals and the test are Student's t over
    features; Holm over models, once filled in.
    """
    differences = np.array([table.differences[rows].mean() for rows in table.members])
    shares = np.array([wins(table.differences[rows]).mean() for rows in table.members])
    spread = float(np.std([*table.standard, *table.dialect], ddof=1))
    alone = np.arange(len(differences))

    def over(metric: str, unit: str, values: Floats, *, tested: bool) -> Record:
        test = paired.t_test(values, alone)
        return record(
            table,
            metric,
            unit,
            test.mean,
            group=None,
            n=len(values),
            n_clusters=len(values),
            method=OVER_FEATURES,
            missing=TOO_FEW_FEATURES,
            cluster="feature",
            p_value=test.p_value if tested else None,
            family=f"{table.run.probe}, overall {metric}: models",
        )

    scaled = differences / spread if spread > 0 else np.full(len(alone), math.nan)
    return (
        over("mean_difference", table.unit, differences, tested=True),
        over("mean_difference_in_sd", "sd", scaled, tested=True),
        _within_shares(over("accuracy", "share", shares, tested=False)),
    )


def _within_shares(record: Record) -> Record:
    """A share's bounds, which Student's t may put beyond 0 and 1, cut there."""
    if record.ci_low is None or record.ci_high is None:
        return record
    return dataclasses.replace(
        record, ci_low=max(record.ci_low, 0.0), ci_high=min(record.ci_high, 1.0)
    )


def variety_records(
    table: FeatureTable, *, draws: int, seed: int
) -> tuple[tuple[str, tuple[str, ...], Record], ...]:
    """Mean over the features attested in each variety, each counting the same.

    Returns:
        (variety, keys of its features, `variety_mean_difference`), by name: the order
        of means is no finding. The interval resamples frames within features, which
        stay the same; it is left out where a feature has fewer than five frames.
    """
    means = np.array([table.differences[rows].mean() for rows in table.members])
    resampled = np.stack(_resampled(table, draws, seed), axis=1)
    names = sorted({name for feature in table.features for name in feature.varieties})
    found = []
    for name in names:
        inside = [
            place
            for place, feature in enumerate(table.features)
            if name in feature.varieties
        ]
        value = Interval(estimate=float(means[inside].mean()))
        frames = [table.frames[place] for place in inside]
        if min(frames) >= MIN_CLUSTERS:
            low, high = percentile_interval(resampled[:, inside].mean(axis=1))
            value = Interval(estimate=value.estimate, low=float(low), high=float(high))
        one = record(
            table,
            "variety_mean_difference",
            table.unit,
            value,
            group=name,
            n=len(inside),
            n_clusters=sum(frames),
            method="percentile bootstrap of frames within these features, unadjusted",
            missing=f"none: a feature has fewer than {MIN_CLUSTERS} frames",
        )
        found.append((name, tuple(table.features[i].key for i in inside), one))
    return tuple(found)


def _resampled(table: FeatureTable, draws: int, seed: int) -> Sequence[Floats]:
    """Each feature's mean under each draw of its frames, shape (draws,) each."""
    rng = generator(seed, Stream.CLUSTERS, sum(table.frames))
    found = []
    for rows, codes, frames in zip(
        table.members, table.clusters, table.frames, strict=True
    ):
        counts = rng.multinomial(frames, np.full(frames, 1 / frames), size=draws)
        sums = counts @ np.bincount(codes, table.differences[rows])
        found.append(sums / (counts @ np.bincount(codes)))
    return found
