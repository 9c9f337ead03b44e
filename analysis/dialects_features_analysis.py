"""Dialect minimal pairs: which feature costs how much reward.

Each pair says the same with and without one morphosyntactic feature. Estimands, always
standard - dialect, so that positive means that the standard form is preferred:

- per feature, the mean difference over frames like those at hand (the test stands in
  `dialects_features_analysis`), with d_z, d_av, the rank-biserial correlation, and the
  share of pairs in which the standard form scores higher, as BLiMP counts;
- over features, each counting the same, the mean of their mean differences, for
  features like these: unit of analysis the feature, Student's t;
- per variety, the mean over the features attested in it, these features held fixed:
  frames are resampled within features. Varieties share features and are not tested
  against each other;
- length (`dialects_features_analysis`): what a token goes with over features.

Which dialect features a model penalises or favours: the tests that name them.

Estimand: a feature's mean difference standard - dialect over frames like those at
hand. Unit of analysis: a frame; pairs of one frame differ in a word or two and are not
independent. Test: Student's t on a cluster-robust standard error with frames - 1
degrees of freedom, which of frames of equal size is the t-test of their means. Holm
over all features of all models given. It assumes that frames are a sample, and holds
the model and the feature's words fixed: a named feature says that the model reacts to
these words, not that it knows the dialect.

What a token costs over features in general, and what of a feature it leaves.

Within a feature whose forms always differ by the same number of tokens, length and
feature are one and the same. Over features they are not: the slope of mean difference
on mean length difference is an association over features, each counting the same. The
features differ in more than length, so that the slope is no effect of length alone.

Do two models penalise the same dialect features?

Estimand: Spearman's rank correlation of two models' mean differences over features
like these. Unit of analysis: a feature, n as many as both models have. The interval is
Fisher's z with the standard error of Bonett and Wright (2000), the p-value Student's t.
What a word's tokens do to any model makes models alike, too.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from analysis import paired
from analysis.dialects_features_data import (
    VARIANTS,
    Feature,
    FeatureTable,
    feature_table,
)
from analysis.load import Run, labels, load_run
from analysis.paired import MIN_CLUSTERS, Interval, clustered_error, t_test, wins
from analysis.records import Record, record_of, with_holm, with_holm_in
from analysis.resample import (
    CI_LEVEL,
    DRAWS,
    SEED,
    Floats,
    Stream,
    generator,
    percentile_interval,
)
from analysis.wording import side_of
from probe.types import Measure

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
    every = tuple(map(tuple, runs))
    return with_holm_in(every, [one for records in every for one in records])


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
