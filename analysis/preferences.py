"""Preference pairs: how often is the chosen answer scored above the rejected one?

Estimand: the share of pairs like those at hand in which the chosen answer scores
higher; a tie counts one half. Unit of analysis: a pair; Wilson's interval takes them as
independent. Where several pairs share a prompt, or a template in a user's own file, an
interval clustered by it stands beside it; a pair whose prompt is not known is a cluster
of its own. All hold the model, the pairs' labels and their sampling fixed.

Length is the confound: an answerer that always prefers the longer answer is held
against the model on the same pairs, and accuracy is split by which answer is longer.
Where the answers are not known, neither can be said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import paired
from analysis.load import LENGTH_UNITS, Run, clusters, labels, length_column
from analysis.records import Record, record_of, with_holm_in
from analysis.resample import DRAWS, SEED, Floats
from probe.types import DataError

MOST_GROUPS = 60
"""A group column with more values than this is an id or a text, and is not tabled."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """Accuracy over some pairs, with what length alone would reach."""

    column: str | None
    """The group column; None: all pairs."""
    value: str | None
    n: int
    n_clusters: int
    """Prompts, or what else is resampled: see `PreferenceRun.cluster`."""
    ties: int
    accuracy: paired.Interval
    """Wilson's interval."""
    clustered: paired.Interval
    """Bootstrap of clusters, or, where all pairs come out alike, Wilson's of as many
    units as there are clusters; no bounds where no cluster has several pairs."""
    p_value: float | None
    """Against one half, two-sided: as `_test`."""
    alike: bool
    """All pairs come out alike: resampling them would say nothing."""
    margin: float
    """Mean score of the chosen answer minus that of the rejected one."""
    longer: float
    """Accuracy of always preferring the longer answer, on the same pairs; NaN: their
    lengths are not known."""


@dataclass(frozen=True, kw_only=True)
class PreferenceRun:
    """One run."""

    run: Run
    label: str
    pairs: pd.DataFrame
    """A row per pair with both scores: item_id, prompt, cluster, margin, correct (1, 0,
    or 0.5 for a tie), longer (the same for the longer answer; NaN: not known), and the
    group columns."""
    cluster: str
    """What pairs that belong together share: `prompt`; `pair`, where no prompt is
    known; `cluster`, where some are near duplicates of each other (`Run.near`)."""
    unscored: int
    """Pairs of which an answer has no score; left out."""
    length_unit: str | None
    """None: no length is known."""
    overall: Share
    groups: tuple[Share, ...]
    """Every value of every group column."""
    by_length: tuple[Share, Share]
    """Where the chosen answer is the longer, and where it is not longer."""
    beyond_length: paired.Interval
    """Accuracy less that of always preferring the longer answer, clustered."""
    beyond_length_p: float | None
    """Of McNemar's test; of near duplicates as `_test`."""
    records: tuple[Record, ...]


def analyse_preferences(runs: Sequence[Run]) -> tuple[PreferenceRun, ...]:
    """Analyses runs of one probe of preference pairs.

    Raises:
        DataError: A run has no pair of a chosen and a rejected answer with scores.
    """
    found = tuple(map(_analyse, runs, labels(runs)))
    # One family over all runs.
    return with_holm_in(found, [record for one in found for record in one.records])


def _analyse(run: Run, label: str) -> PreferenceRun:
    pairs, unscored, unit = pair_frame(run)
    columns = [
        name
        for name in run.manifest.item_columns
        if 2 <= pairs[name].nunique() <= MOST_GROUPS
    ]
    overall = _share(pairs, None, None)
    groups = tuple(
        _share(rows, column, str(value))
        for column in columns
        for value, rows in pairs.groupby(column, sort=True)
    )
    by_length = (
        _share(pairs[pairs["longer"] == 1.0], "length", "chosen longer"),
        _share(pairs[pairs["longer"] < 1.0], "length", "chosen not longer"),
    )
    beyond = (pairs["correct"] - pairs["longer"]).to_numpy()
    labels = pairs["cluster"].to_numpy(dtype=str)
    difference = paired.clustered_mean(beyond, labels, draws=DRAWS, seed=SEED)
    known = bool(pairs["prompt"].ne("").any())
    found = PreferenceRun(
        run=run,
        label=label,
        pairs=pairs,
        cluster="cluster" if run.near else "prompt" if known else "pair",
        unscored=unscored,
        length_unit=unit,
        overall=overall,
        groups=groups,
        by_length=by_length,
        beyond_length=difference,
        beyond_length_p=None
        if unit is None
        else _test(beyond, labels)
        if run.near
        else paired.sign_test(beyond).p_value,
        records=(),
    )
    return dataclasses.replace(found, records=_records(found))


def pair_frame(run: Run) -> tuple[pd.DataFrame, int, str | None]:
    """A row per pair with both scores; see `PreferenceRun.pairs`.

    Returns:
        The rows, the number of pairs left out for want of a score, and the unit of
        length, as `load.length_column`.

    Raises:
        DataError: As `analyse_preferences`.
    """
    frame = run.frame
    if "role" not in frame.columns:
        raise DataError(
            f"{run.path} has no column role",
            "Preference pairs have a chosen and a rejected candidate, told apart by "
            "the column role",
            "Score a file with the columns prompt, chosen and rejected",
        )
    kept = frame[frame["role"].isin(["chosen", "rejected"])]
    twice = kept.duplicated(["item_id", "role"])
    if twice.any():
        again = kept[twice].iloc[0]
        raise DataError(
            f"{run.path}: item {again['item_id']} has two {again['role']} answers, by "
            "the column role",
            "A preference pair has one chosen and one rejected answer",
            "Make each pair an item of its own",
        )
    # Of a stopped run what waits has no counts yet.
    length = length_column(run, kept[np.isfinite(kept["score"])])
    values = ["score", length or "n_chars"]
    wide = kept.pivot(index="item_id", columns="role", values=values)
    wide = wide.reindex(kept["item_id"].drop_duplicates())
    sides = {"chosen", "rejected"} <= set(kept["role"])
    known = (
        np.isfinite(wide["score"].to_numpy(dtype=np.float64)).all(axis=1)
        if sides
        else np.zeros(len(wide), np.bool_)
    )
    if not known.any():
        raise DataError(
            f"{run.path} has no pair of which both answers have a score",
            "Accuracy compares a chosen and a rejected answer",
            "Run the rm-probe score command that began the run once more: it resumes",
        )
    pairs = wide[known].astype(np.float64)
    first = kept.drop_duplicates("item_id").set_index("item_id").loc[pairs.index]
    margin = pairs["score"]["chosen"] - pairs["score"]["rejected"]
    longer = pairs[values[1]]["chosen"] - pairs[values[1]]["rejected"]
    out = first[[*run.manifest.item_columns]].copy()
    out.insert(0, "prompt", first["prompt"])
    out.insert(1, "cluster", clusters(run, first.index, first["prompt"]))
    out["margin"] = margin
    out["correct"] = paired.wins(margin.to_numpy())
    out["longer"] = np.nan if length is None else paired.wins(longer.to_numpy())
    return (
        out.reset_index(),
        int((~known).sum()),
        None if length is None else LENGTH_UNITS[length],
    )


def _share(pairs: pd.DataFrame, column: str | None, value: str | None) -> Share:
    correct = pairs["correct"].to_numpy()
    labels = pairs["cluster"].to_numpy(dtype=str)
    n, n_clusters = len(pairs), len(np.unique(labels))
    clustered = paired.Interval(estimate=float(correct.mean()) if n else np.nan)
    alike = n > 0 and not np.ptp(correct) > 0
    if n_clusters < n and alike:
        # No spread: a bootstrap would have no width.
        clustered = paired.wilson(float(correct[:n_clusters].sum()), n_clusters)
    elif n_clusters < n:
        clustered = paired.clustered_mean(correct, labels, draws=DRAWS, seed=SEED)
    return Share(
        column=column,
        value=value,
        n=n,
        n_clusters=n_clusters,
        ties=int((correct == 0.5).sum()),
        accuracy=paired.wilson(float(correct.sum()), n),
        clustered=clustered,
        p_value=_test(correct - 0.5, labels),
        alike=alike,
        margin=float(pairs["margin"].mean()) if n else np.nan,
        longer=float(pairs["longer"].mean()) if n else np.nan,
    )


def _test(values: Floats, labels: NDArray[np.str_]) -> float | None:
    """Two-sided p of a mean of zero: the exact sign test; Student's t, clustered.

    Where all values of clustered pairs are one, which has no t, it is the sign test of
    as many units as there are clusters.
    """
    _, codes = np.unique(labels, return_inverse=True)
    n_clusters = int(codes.max()) + 1 if len(codes) else 0
    if n_clusters == len(values):
        return paired.sign_test(values).p_value
    if not np.ptp(values) > 0:
        return paired.sign_test(values[:n_clusters]).p_value
    return paired.t_test(values, codes).p_value


def _records(found: PreferenceRun) -> tuple[Record, ...]:
    half = f"{found.run.probe}, accuracy against one half"
    chance, models = f"{half}: models and groups", f"{half}, all pairs: models"
    whole, unit = found.overall, found.cluster
    resampled = f"percentile bootstrap over {unit}s, {DRAWS} draws"
    of_whole = partial(
        record_of, found.run, analysis="preferences", unit="share", n=whole.n
    )
    by_cluster = partial(
        of_whole,
        cluster=unit,
        n_clusters=whole.n_clusters,
        missing=f"none: too few {unit}s to resample",
    )
    records = [_accuracy(found, whole, models)]
    if whole.n_clusters < whole.n:
        records.append(
            by_cluster(
                whole.clustered,
                metric="accuracy_by_prompt",
                reference="one half",
                method=f"Wilson, of as many units as there are {unit}s"
                if whole.alike
                else resampled,
            )
        )
    records += [_accuracy(found, one, chance) for one in found.groups]
    records += [_accuracy(found, one, None) for one in found.by_length]
    records.append(
        of_whole(
            paired.Interval(estimate=whole.longer),
            metric="length_only_accuracy",
            reference="one half",
            missing="not computed: the answers' lengths are not known"
            if found.length_unit is None
            else f"none: always the answer with more {found.length_unit}",
            cluster="pair",
            n_clusters=whole.n,
        )
    )
    beyond = by_cluster(
        found.beyond_length,
        metric="accuracy_beyond_length",
        reference="always the longer answer",
        method=f"{resampled}; p by the exact sign test (McNemar)"
        if unit != "cluster"
        else f"{resampled}; p clustered likewise",
        p_value=found.beyond_length_p if np.isfinite(found.beyond_length.low) else None,
    )
    family = f"{found.run.probe}, accuracy beyond length: models"
    return (*records, dataclasses.replace(beyond, family=family))


def _accuracy(found: PreferenceRun, one: Share, family: str | None) -> Record:
    repeated = one.n_clusters < one.n
    tested = (
        f"by the exact sign test of {found.cluster}s"
        if repeated and one.alike
        else f"by Student's t, clustered by {found.cluster}"
        if repeated
        else "by the exact sign test"
    )
    made = record_of(
        found.run,
        one.accuracy,
        analysis="preferences",
        metric="accuracy",
        unit="share",
        group=None if one.column is None else f"{one.column}: {one.value}",
        reference="one half",
        method=f"Wilson; p {tested}",
        missing="not computed: no such pair",
        cluster="pair",
        p_value=one.p_value,
        n=one.n,
        n_clusters=one.n,
    )
    return dataclasses.replace(made, family=family)
