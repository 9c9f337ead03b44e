"""Which dialect features a model penalises or favours: the tests that name them.

Estimand: a feature's mean difference standard - dialect over frames like those at
hand. Unit of analysis: a frame; pairs of one frame differ in a word or two and are not
independent. Test: Student's t on a cluster-robust standard error with frames - 1
degrees of freedom, which of frames of equal size is the t-test of their means. Holm
over all features of all models given. It assumes that frames are a sample, and holds
the model and the feature's words fixed: a named feature says that the model reacts to
these words, not that it knows the dialect.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from analysis.dialects_features_data import VARIANTS, FeatureTable
from analysis.paired import MIN_CLUSTERS, Interval, t_test
from analysis.records import Record, record_of, with_holm

ANALYSIS = "dialect_features"
TOO_FEW_FRAMES = f"none: fewer than {MIN_CLUSTERS} frames"
"""`ci_method` of a feature that is neither tested nor given an interval."""
NO_SPREAD = "none: all pairs differ by the same"
"""`ci_method` of a feature whose differences have no spread."""
T_INTERVAL = "Student's t, standard error clustered by frame, unadjusted"


def feature_tests(tables: Sequence[FeatureTable]) -> tuple[tuple[Record, ...], ...]:
    """Tests every feature of every run, with Holm over all of them.

    This alone decides what is named: `opinions_findings.side_of` of a record is 1 for a
    penalised feature, -1 for a favoured one, and 0 for what is not shown.

    Returns:
        Per run its `mean_difference` records, in the order of its features.
    """
    return holm_by_run(
        [
            [_test(table, place) for place in range(len(table.features))]
            for table in tables
        ]
    )


def holm_by_run(runs: Sequence[Sequence[Record]]) -> tuple[tuple[Record, ...], ...]:
    """`with_holm` over the records of all runs, which stay apart by run."""
    corrected = iter(with_holm([one for records in runs for one in records]))
    return tuple(tuple(itertools.islice(corrected, len(run))) for run in runs)


def _test(table: FeatureTable, place: int) -> Record:
    rows, frames = table.members[place], table.clusters[place]
    test = t_test(table.differences[rows], frames)
    return record(
        table,
        "mean_difference",
        table.unit,
        test.mean,
        group=table.features[place].key,
        n=len(rows),
        n_clusters=table.frames[place],
        method=T_INTERVAL,
        missing=no_interval(table.frames[place]),
        p_value=test.p_value,
        family=f"{table.run.probe}, mean_difference: models and features",
    )


def no_interval(frames: int) -> str:
    """Why a feature of so many frames has no interval, if it has none."""
    return TOO_FEW_FRAMES if frames < MIN_CLUSTERS else NO_SPREAD


def record(
    table: FeatureTable, metric: str, unit: str, value: Interval, **keys: Any
) -> Record:
    """One record of a run, of frames unless `keys` say otherwise; see `record_of`."""
    fixed = {"analysis": ANALYSIS, "reference": VARIANTS[0], "cluster": "frame"}
    return record_of(table.run, value, metric=metric, unit=unit, **(fixed | keys))
