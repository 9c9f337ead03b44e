"""Dialect minimal pairs: which feature costs how much reward.

Each pair says the same with and without one morphosyntactic feature. Estimands, always
standard - dialect, so that positive means that the standard form is preferred:

- per feature, the mean difference over frames like those at hand (the test stands in
  `dialects_features_effects`), with d_z, d_av, the rank-biserial correlation, and the
  share of pairs in which the standard form scores higher, as BLiMP counts;
- over features, each counting the same, the mean of their mean differences, for
  features like these: unit of analysis the feature, Student's t;
- per variety, the mean over the features attested in it, these features held fixed:
  frames are resampled within features. Varieties share features and are not tested
  against each other;
- length (`dialects_features_effects`): what a token goes with over features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis import paired
from analysis.dialects_features_data import Feature, FeatureTable, feature_table
from analysis.dialects_features_effects import (
    alike_records,
    effect_records,
    feature_tests,
    holm_by_run,
    overall_records,
    record,
    slope_record,
    variety_records,
)
from analysis.load import Run, labels, load_run
from analysis.paired import Interval
from analysis.records import Record
from analysis.resample import DRAWS, SEED
from analysis.wording import side_of
from probe.types import Measure


@dataclass(frozen=True, kw_only=True)
class Summed:
    """A policy's preference by the summed log-probability of the whole answer."""

    mean: float
    """Mean difference standard - dialect."""
    accuracy: float
    """Share of pairs in which the standard form is the more probable; ties count one
    half."""


@dataclass(frozen=True, kw_only=True)
class FeatureResult:
    """One feature in one run."""

    feature: Feature
    mean: Record
    """`mean_difference`; its `p_holm` and interval decide what is named."""
    d_z: Record
    d_av: Record
    rank_biserial: Record
    """Over frames' mean differences, with the Wilcoxon signed-rank test."""
    accuracy: Record
    """Share of pairs in which the standard form is preferred; ties count one half."""
    detectable: Record
    length: Record
    """Mean length of the standard form less that of the dialect form."""
    beyond_length: Record | None
    """Observed mean difference less what the slope predicts from `length`; no test."""
    summed: Summed | None
    """Policies whose summed log-probabilities are stored."""

    @property
    def side(self) -> int:
        """1: penalised (named), -1: favoured (named), 0: not shown."""
        return side_of(self.mean)

    @property
    def records(self) -> tuple[Record, ...]:
        """Everything about the feature."""
        return (
            self.mean,
            self.d_z,
            self.d_av,
            self.rank_biserial,
            self.accuracy,
            self.detectable,
            self.length,
            *(() if self.beyond_length is None else (self.beyond_length,)),
        )


@dataclass(frozen=True, kw_only=True)
class Overall:
    """All features together, each counting the same."""

    mean: Record
    """`mean_difference`, Student's t over features."""
    in_sd: Record
    """The same over the SD of all the run's scores."""
    accuracy: Record
    sign: paired.SignTest
    """Features by the sign of their mean difference."""
    beyond_length: float | None
    """Mean of the features' `beyond_length`."""


@dataclass(frozen=True, kw_only=True)
class VarietyResult:
    """The features attested in one variety."""

    variety: str
    features: tuple[str, ...]
    """Their keys."""
    mean: Record


@dataclass(frozen=True, kw_only=True)
class FeatureRun:
    """Everything about one run."""

    table: FeatureTable
    features: tuple[FeatureResult, ...]
    """The most penalised first, by d_z."""
    overall: Overall
    slope: Record | None
    """`score_per_length` over features; see `slope_record`."""
    varieties: tuple[VarietyResult, ...]
    """By name; empty where the items name none."""

    @property
    def label(self) -> str:
        """The model's name, unique among the runs analysed together."""
        return self.table.label

    @property
    def penalised(self) -> tuple[FeatureResult, ...]:
        """Named features whose standard form is preferred, the strongest first."""
        return tuple(one for one in self.features if one.side > 0)

    @property
    def favoured(self) -> tuple[FeatureResult, ...]:
        """Named features whose dialect form is preferred, the strongest first."""
        return tuple(one for one in self.features[::-1] if one.side < 0)

    @property
    def tested(self) -> tuple[FeatureResult, ...]:
        """Features with enough frames for a test."""
        return tuple(one for one in self.features if one.mean.p_value is not None)

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record of the run, over all features first."""
        return (
            self.overall.mean,
            self.overall.in_sd,
            self.overall.accuracy,
            *(() if self.slope is None else (self.slope,)),
            *(record for one in self.features for record in one.records),
            *(one.mean for one in self.varieties),
        )


@dataclass(frozen=True, kw_only=True)
class FeatureAnalysis:
    """Runs of one probe of minimal pairs."""

    runs: tuple[FeatureRun, ...]
    cross_records: tuple[Record, ...]
    """`spearman_features` of each pair of runs: do they penalise the same features?
    `model` is the first's, `group` the label of the second."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, for ``summary.json``."""
        return (
            *(record for run in self.runs for record in run.records),
            *self.cross_records,
        )


def analyse_features(
    runs: Sequence[Run],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    step: Callable[[], object] = lambda: None,
) -> FeatureAnalysis:
    """Analyses runs of minimal pairs; Holm over models and features.

    Args:
        runs: Runs of one probe, read from their folders.
        draws: Bootstrap draws behind the intervals of varieties.
        seed: Of the draws.
        step: Called after each run, for a progress bar.

    Raises:
        DataError: As `feature_table`.
        StoreError: A run's items or scores cannot be read.
    """
    tables = [
        feature_table(run, label) for run, label in zip(runs, labels(runs), strict=True)
    ]
    measured = []
    for table in tables:
        measured.append(
            [
                one
                for place in range(len(table.features))
                for one in effect_records(table, place)
            ]
        )
        step()
    tested = feature_tests(tables)
    slopes = [slope_record(table) for table in tables]
    parts = zip(
        tables,
        tested,
        holm_by_run(measured),
        holm_by_run([overall_records(table) for table in tables]),
        holm_by_run([() if slope is None else (slope,) for slope in slopes]),
        strict=True,
    )
    found = tuple(
        FeatureRun(
            table=table,
            features=_features(table, means, effects, slope),
            overall=_overall(table, means, totals, slope),
            slope=slope[0] if slope else None,
            varieties=tuple(
                VarietyResult(variety=name, features=keys, mean=mean)
                for name, keys, mean in variety_records(table, draws=draws, seed=seed)
            ),
        )
        for table, means, effects, totals, slope in parts
    )
    return FeatureAnalysis(runs=found, cross_records=alike_records(tables, tested))


def _features(
    table: FeatureTable,
    means: Sequence[Record],
    effects: Sequence[Record],
    slope: Sequence[Record],
) -> tuple[FeatureResult, ...]:
    size = len(effects) // len(means)
    summed = _summed(table)
    found = []
    for place, mean in enumerate(means):
        d_z, d_av, ranked, accuracy, detectable, length = effects[
            place * size : (place + 1) * size
        ]
        found.append(
            FeatureResult(
                feature=table.features[place],
                mean=mean,
                d_z=d_z,
                d_av=d_av,
                rank_biserial=ranked,
                accuracy=accuracy,
                detectable=detectable,
                length=length,
                beyond_length=_beyond(table, mean, length, slope[0]) if slope else None,
                summed=summed.get(mean.group),
            )
        )
    return tuple(sorted(found, key=lambda one: one.d_z.estimate or 0.0, reverse=True))


def _beyond(table: FeatureTable, mean: Record, length: Record, slope: Record) -> Record:
    assert mean.estimate is not None and mean.n_clusters is not None
    assert length.estimate is not None and slope.estimate is not None
    left = mean.estimate - slope.estimate * length.estimate
    return record(
        table,
        "observed_minus_predicted_by_length",
        table.unit,
        Interval(estimate=left),
        group=mean.group,
        n=mean.n,
        n_clusters=mean.n_clusters,
        missing="none: descriptive, of a slope over the same features",
    )


def _summed(table: FeatureTable) -> Mapping[str | None, Summed]:
    """Feature -> preference by summed log-probability; empty where none is stored."""
    run = table.run
    stored = Measure.LOGPROB_SUM.value in run.manifest.measures
    if run.measure is not Measure.LOGPROB_MEAN or not stored:
        return {}
    sums = feature_table(load_run(run.path, Measure.LOGPROB_SUM), table.label)
    differences = [sums.differences[rows] for rows in sums.members]
    return {
        feature.key: Summed(
            mean=float(one.mean()), accuracy=float(paired.wins(one).mean())
        )
        for feature, one in zip(sums.features, differences, strict=True)
    }


def _overall(
    table: FeatureTable,
    means: Sequence[Record],
    totals: Sequence[Record],
    slope: Sequence[Record],
) -> Overall:
    mean, in_sd, accuracy = totals
    values = np.array([one.estimate for one in means], dtype=np.float64)
    left = None
    if slope and slope[0].estimate is not None:
        lengths = [float(table.lengths[rows].mean()) for rows in table.members]
        left = float((values - slope[0].estimate * np.array(lengths)).mean())
    return Overall(
        mean=mean,
        in_sd=in_sd,
        accuracy=accuracy,
        sign=paired.sign_test(values),
        beyond_length=left,
    )
