"""Preference pairs: how often is the chosen answer scored above the rejected one?

Estimand: the share of pairs like those at hand in which the chosen answer scores
higher; a tie counts one half. Unit of analysis: a pair; Wilson's interval takes them as
independent. Where several pairs share a prompt, an interval clustered by prompt
stands beside it. All hold the model, the pairs' labels and their sampling fixed.

Length is the confound: an answerer that always prefers the longer answer is held
against the model on the same pairs, and accuracy is split by which answer is longer.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd

from analysis import paired
from analysis.load import Run, labels
from analysis.records import Record, with_holm
from analysis.resample import CI_LEVEL, DRAWS, SEED
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
    n_prompts: int
    ties: int
    accuracy: paired.Interval
    """Wilson's interval."""
    clustered: paired.Interval
    """Bootstrap of prompts, or, where all pairs come out alike, Wilson's of as many
    units as there are prompts; no bounds where no prompt has several pairs."""
    p_value: float | None
    """Against one half, two-sided: exact sign test, or Student's t clustered by prompt
    where prompts repeat; the sign test of prompts where all pairs come out alike."""
    alike: bool
    """All pairs come out alike: resampling them would say nothing."""
    margin: float
    """Mean score of the chosen answer minus that of the rejected one."""
    longer: float
    """Accuracy of always preferring the longer answer, on the same pairs."""


@dataclass(frozen=True, kw_only=True)
class PreferenceRun:
    """One run."""

    run: Run
    label: str
    pairs: pd.DataFrame
    """A row per pair with both scores: item_id, prompt, margin, correct (1, 0, or 0.5
    for a tie), longer (the same for the longer answer), and the group columns."""
    unscored: int
    """Pairs of which an answer has no score; left out."""
    length_unit: str
    overall: Share
    groups: tuple[Share, ...]
    """Every value of every group column."""
    by_length: tuple[Share, Share]
    """Where the chosen answer is the longer, and where it is not longer."""
    beyond_length: paired.Interval
    """Accuracy less that of always preferring the longer answer, clustered by
    prompt."""
    beyond_length_test: paired.SignTest
    records: tuple[Record, ...]


def analyse_preferences(runs: Sequence[Run]) -> tuple[PreferenceRun, ...]:
    """Analyses runs of one probe of preference pairs.

    Raises:
        DataError: A run has no pair of a chosen and a rejected answer with scores.
    """
    found = [
        _analyse(run, label) for run, label in zip(runs, labels(runs), strict=True)
    ]
    # One family over all runs, then back to the run that each record is of.
    corrected = iter(with_holm([record for one in found for record in one.records]))
    return tuple(
        dataclasses.replace(
            one, records=tuple(itertools.islice(corrected, len(one.records)))
        )
        for one in found
    )


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
    difference = paired.clustered_mean(
        beyond, pairs["prompt"].to_numpy(dtype=str), draws=DRAWS, seed=SEED
    )
    test = paired.sign_test(beyond)
    found = PreferenceRun(
        run=run,
        label=label,
        pairs=pairs,
        unscored=unscored,
        length_unit=unit,
        overall=overall,
        groups=groups,
        by_length=by_length,
        beyond_length=difference,
        beyond_length_test=test,
        records=(),
    )
    return dataclasses.replace(found, records=_records(found))


def pair_frame(run: Run) -> tuple[pd.DataFrame, int, str]:
    """A row per pair with both scores; see `PreferenceRun.pairs`.

    Returns:
        The rows, the number of pairs left out for want of a score, and the unit of
        length: tokens, or characters where a run has no token counts.

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
    counts = kept.loc[np.isfinite(kept["score"]), "n_answer_tokens"]
    by_token = bool(counts.notna().all())
    length = "n_answer_tokens" if by_token else "n_chars"
    wide = kept.pivot(index="item_id", columns="role", values=["score", length])
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
    longer = pairs[length]["chosen"] - pairs[length]["rejected"]
    out = first[[*run.manifest.item_columns]].copy()
    out.insert(0, "prompt", first["prompt"])
    out["margin"] = margin
    out["correct"] = paired.wins(margin.to_numpy())
    out["longer"] = paired.wins(longer.to_numpy())
    return (
        out.reset_index(),
        int((~known).sum()),
        "tokens" if by_token else "characters",
    )


def _share(pairs: pd.DataFrame, column: str | None, value: str | None) -> Share:
    correct = pairs["correct"].to_numpy()
    prompts = pairs["prompt"].to_numpy(dtype=str)
    n, n_prompts = len(pairs), len(np.unique(prompts))
    repeated = n_prompts < n
    p = paired.sign_test(correct - 0.5).p_value
    clustered = paired.Interval(estimate=float(correct.mean()) if n else np.nan)
    alike = n > 0 and not np.ptp(correct) > 0
    if repeated and alike:
        # No spread: a bootstrap would have no width and a t-test no answer.
        each = correct[:n_prompts]
        clustered = paired.wilson(float(each.sum()), n_prompts)
        p = paired.sign_test(each - 0.5).p_value
    elif repeated:
        clustered = paired.clustered_mean(correct, prompts, draws=DRAWS, seed=SEED)
        _, codes = np.unique(prompts, return_inverse=True)
        p = paired.t_test(correct - 0.5, codes).p_value
    return Share(
        column=column,
        value=value,
        n=n,
        n_prompts=n_prompts,
        ties=int((correct == 0.5).sum()),
        accuracy=paired.wilson(float(correct.sum()), n),
        clustered=clustered,
        p_value=p,
        alike=alike,
        margin=float(pairs["margin"].mean()) if n else np.nan,
        longer=float(pairs["longer"].mean()) if n else np.nan,
    )


def _records(found: PreferenceRun) -> tuple[Record, ...]:
    half = f"{found.run.probe}, accuracy against one half"
    chance, models = f"{half}: models and groups", f"{half}, all pairs: models"
    resampled = f"percentile bootstrap over prompts, {DRAWS} draws"
    records = [_accuracy(found, found.overall, models)]
    if found.overall.n_prompts < found.overall.n:
        records.append(
            dataclasses.replace(
                records[0],
                metric="accuracy_by_prompt",
                **_bounds(found.overall.clustered),
                ci_method=_method(
                    found.overall.clustered,
                    "Wilson, of as many units as there are prompts"
                    if found.overall.alike
                    else resampled,
                ),
                cluster="prompt",
                p_value=None,
                family=None,
                n_clusters=found.overall.n_prompts,
            )
        )
    records += [_accuracy(found, one, chance) for one in found.groups]
    records += [_accuracy(found, one, None) for one in found.by_length]
    records.append(
        dataclasses.replace(
            records[0],
            metric="length_only_accuracy",
            estimate=found.overall.longer,
            ci_low=None,
            ci_high=None,
            ci_level=None,
            ci_method=f"none: always the answer with more {found.length_unit}",
            p_value=None,
            family=None,
        )
    )
    records.append(
        dataclasses.replace(
            records[0],
            metric="accuracy_beyond_length",
            reference="always the longer answer",
            estimate=found.beyond_length.estimate,
            **_bounds(found.beyond_length),
            ci_method=_method(
                found.beyond_length,
                f"{resampled}; p by the exact sign test (McNemar)",
            ),
            cluster="prompt",
            p_value=found.beyond_length_test.p_value
            if np.isfinite(found.beyond_length.low)
            else None,
            family=f"{found.run.probe}, accuracy beyond length: models",
            n_clusters=found.overall.n_prompts,
        )
    )
    return tuple(records)


class _Bounds(TypedDict):
    ci_low: float | None
    ci_high: float | None
    ci_level: float | None


def _bounds(interval: paired.Interval) -> _Bounds:
    known = np.isfinite(interval.low)
    return _Bounds(
        ci_low=interval.low if known else None,
        ci_high=interval.high if known else None,
        ci_level=CI_LEVEL if known else None,
    )


def _method(interval: paired.Interval, method: str) -> str:
    return method if np.isfinite(interval.low) else "none: too few prompts to resample"


def _accuracy(found: PreferenceRun, one: Share, family: str | None) -> Record:
    repeated = one.n_prompts < one.n
    return Record(
        analysis="preferences",
        probe=found.run.probe,
        model=found.run.model,
        run=found.run.name,
        metric="accuracy",
        unit="share",
        group=None if one.column is None else f"{one.column}: {one.value}",
        reference="one half",
        estimate=one.accuracy.estimate if one.n else None,
        **_bounds(one.accuracy),
        ci_method="Wilson; p "
        + (
            "by the exact sign test of prompts"
            if repeated and one.alike
            else "by Student's t, clustered by prompt"
            if repeated
            else "by the exact sign test"
        )
        if one.n
        else "not computed: no such pair",
        cluster="pair",
        p_value=one.p_value,
        p_holm=None,
        family=family,
        n=one.n,
        n_clusters=one.n,
    )
