"""Preference accuracy inside each dialect, and what is lost of it.

Estimand: the share of rows like those at hand whose chosen answer scores above the
rejected one when prompt and both answers are in one dialect; a tie counts one half.
The drop is the reference's share less the dialect's over the rows that have both,
tested by McNemar's exact test (rows that are right in one dialect and not in the
other; it takes rows as independent), with a bootstrap interval over prompts. Disparity,
best less worst dialect, is above zero by construction: it is held against the same
under labels permuted within rows, and its interval is no test.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import paired
from analysis.dialects_pairs_data import CHOSEN, REJECTED, PairTable
from analysis.dialects_pairs_effects import record
from analysis.disparity import Disparity, best_minus_worst
from analysis.paired import MIN_CLUSTERS, TOO_FEW_CLUSTERS, Interval
from analysis.records import Record
from analysis.resample import Floats

ACCURACY = "dialect_accuracy"
"""`analysis` of the records."""
SUBSET_ROWS = 5
"""Fewest rows of a subset that is shown by itself."""
NO_ROWS = "not computed: no row has scores of both answers in both dialects"


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of a run by dialect."""

    correct: pd.DataFrame
    """A row per row of the run, a column per dialect, the reference first: 1, 0, 0.5
    for a tie; NaN: not both scores."""
    signs: dict[str, paired.SignTest]
    """Dialect -> rows that the reference gets right and it does not, and the
    reverse."""
    disparity: Disparity | None
    subsets: pd.DataFrame
    """Columns subset, dialect, n, accuracy: subsets of at least `SUBSET_ROWS` rows in
    each dialect, where there are several."""
    records: tuple[Record, ...]


def accuracy_of(table: PairTable, *, draws: int, seed: int) -> Accuracy | None:
    """Accuracy by dialect; None: no dialect has both answers' scores.

    Args:
        table: The run.
        draws: Bootstrap draws, and permutations.
        seed: Of both.
    """
    correct = correct_of(table)
    if correct.empty:
        return None
    others = [dialect for dialect in table.dialects if dialect in correct]
    signs: dict[str, paired.SignTest] = {}
    records = [_accuracy(table, dialect, correct) for dialect in map(str, correct)]
    if table.reference in correct:
        for dialect in others:
            drops = (correct[table.reference] - correct[dialect]).to_numpy()
            signs[dialect] = paired.sign_test(drops)
            records += _drop(table, dialect, drops, signs[dialect], draws, seed)
    values = correct.to_numpy().ravel()
    disparity = best_minus_worst(
        values,
        np.tile(correct.columns.to_numpy(dtype=str), len(correct)),
        draws=draws,
        seed=seed,
        blocks=np.repeat(np.array(table.rows), correct.shape[1]),
    )
    if disparity is not None:
        records += _disparity(table, disparity, correct, draws)
    return Accuracy(
        correct=correct,
        signs=signs,
        disparity=disparity,
        subsets=_subsets(table, correct),
        records=tuple(records),
    )


def correct_of(table: PairTable) -> pd.DataFrame:
    """Which rows are right in which dialect: `Accuracy.correct`.

    Returns:
        The dialects in which some row has both answers' scores; empty: there is none.
    """
    correct = pd.DataFrame(
        {
            dialect: _correct(table, dialect)
            for dialect in (table.reference, *table.dialects)
        }
    )
    return correct.loc[:, correct.notna().any()]


def _correct(table: PairTable, dialect: str) -> Floats:
    """Both answers in one dialect, asked in it where that is known."""
    margins = [
        table.score(prompt, CHOSEN, dialect) - table.score(prompt, REJECTED, dialect)
        for prompt in (dialect, None)
    ]
    return paired.wins(np.where(np.isfinite(margins[0]), *margins))


def _share(table: PairTable, metric: str, value: Interval, **keys: Any) -> Record:
    """A record of shares of rows."""
    return record(table, value, analysis=ACCURACY, metric=metric, unit="share", **keys)


def _accuracy(table: PairTable, dialect: str, correct: pd.DataFrame) -> Record:
    known = correct[dialect].dropna()
    found = _share(
        table,
        "accuracy",
        paired.wilson(float(known.sum()), len(known)),
        group=dialect,
        n=len(known),
        n_clusters=len(known),
        method="Wilson; ties one half",
        missing=NO_ROWS,
        cluster="row",
    )
    return dataclasses.replace(found, reference=None)


def _drop(
    table: PairTable,
    dialect: str,
    drops: Floats,
    test: paired.SignTest,
    draws: int,
    seed: int,
) -> tuple[Record, Record]:
    known = np.isfinite(drops)
    n, n_clusters = int(known.sum()), len(np.unique(table.clusters[known]))
    few = n_clusters < MIN_CLUSTERS
    missing = NO_ROWS if not n else TOO_FEW_CLUSTERS
    drop = _share(
        table,
        "accuracy_drop",
        paired.clustered_mean(drops, table.clusters, draws=draws, seed=seed),
        group=dialect,
        n=n,
        n_clusters=n_clusters,
        method=f"percentile bootstrap over {table.cluster}s, {draws} draws, "
        "unadjusted; p by McNemar's exact test",
        missing=missing,
        p_value=None if few else test.p_value,
        family=f"{table.run.probe}, accuracy_drop: models and dialects",
    )
    reach = paired.detectable_d(n_clusters)
    spread = float(np.std(drops[known], ddof=1)) if n > 1 else math.nan
    detectable = _share(
        table,
        "minimum_detectable_accuracy_drop",
        Interval(
            estimate=math.nan if reach is None or not spread > 0 else reach * spread
        ),
        group=dialect,
        n=n,
        n_clusters=n_clusters,
        method="",
        missing=missing
        if few
        else f"none: of as many {table.cluster}s with the spread at hand, two-sided at "
        "5% with a power of 80%, before Holm"
        if spread > 0
        else "not computed: every row is as right in one dialect as in the other",
    )
    return drop, detectable


def _disparity(
    table: PairTable, found: Disparity, correct: pd.DataFrame, draws: int
) -> tuple[Record, Record]:
    n = int(correct.notna().any(axis=1).sum())
    few = n < MIN_CLUSTERS
    observed = _share(
        table,
        "disparity",
        Interval(estimate=found.observed.estimate) if few else found.observed,
        group=None,
        n=n,
        n_clusters=n,
        method=f"percentile bootstrap over rows, {draws} draws: no test, as it is "
        f"above zero by construction; p by {draws} permutations of the dialects "
        "within rows",
        missing=TOO_FEW_CLUSTERS,
        cluster="row",
        p_value=None if few else found.p_value,
        family=f"{table.run.probe}, disparity: models",
    )
    permuted = _share(
        table,
        "disparity_permuted",
        Interval(estimate=found.null_mean),
        group=None,
        n=n,
        n_clusters=n,
        method="",
        missing=f"none: mean of {draws} permutations of the dialects within rows",
        cluster="row",
    )
    return (
        dataclasses.replace(observed, reference=None),
        dataclasses.replace(permuted, reference=None),
    )


def _subsets(table: PairTable, correct: pd.DataFrame) -> pd.DataFrame:
    rows = []
    names = pd.Series(table.subsets, dtype=object)
    for name in sorted({one for one in table.subsets if one is not None}):
        inside = correct[(names == name).to_numpy()]
        if inside.notna().sum().min() < SUBSET_ROWS:
            continue
        rows += [
            {
                "subset": name,
                "dialect": dialect,
                "n": int(inside[dialect].notna().sum()),
                "accuracy": float(inside[dialect].mean()),
            }
            for dialect in inside
        ]
    return pd.DataFrame(rows, columns=["subset", "dialect", "n", "accuracy"])
