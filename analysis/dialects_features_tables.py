"""Tables of dialect features."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.dialects_features_analysis import FeatureResult, FeatureRun
from analysis.dialects_features_figures import name_of
from analysis.dialects_features_words import digits_of
from analysis.html import (
    Cell,
    Table,
    interval_cell,
    number_cell,
    p_cell,
    p_text,
    text_cell,
)
from analysis.records import Record
from analysis.wording import hundred

SIDES = {1: "penalised", -1: "favoured", 0: "not\u00a0shown"}
"""`FeatureResult.side` in words."""

PREFERENCES = (
    "mean_difference",
    "accuracy",
    "length_difference",
    "observed_minus_predicted_by_length",
)
EFFECTS = ("cohens_d_z", "cohens_d_av", "rank_biserial", "minimum_detectable_d_z")


def side_text(one: FeatureResult) -> str:
    """``penalised``, ``favoured``, ``not shown`` or ``not tested``, unbroken."""
    return "not\u00a0tested" if one.mean.p_value is None else SIDES[one.side]


def _bounds(record: Record, digits: int) -> Cell:
    return interval_cell(record.ci_low, record.ci_high, digits)


def feature_table(run: FeatureRun, prefix: str) -> Table:
    """Every feature: how much, how sure, in how many pairs, and its length."""
    digits, unit = digits_of(run), run.table.length_unit
    sloped = run.slope is not None
    rows = tuple(
        (
            text_cell(name_of(run, one)),
            number_cell(one.mean.n, 0),
            number_cell(one.mean.estimate, digits),
            _bounds(one.mean, digits),
            p_cell(one.mean.p_holm),
            text_cell(side_text(one)),
            number_cell(hundred(one.accuracy.estimate), 0),
            interval_cell(
                hundred(one.accuracy.ci_low), hundred(one.accuracy.ci_high), 0
            ),
            number_cell(one.length.estimate, 1),
            *((number_cell(_estimate(one.beyond_length), digits),) if sloped else ()),
        )
        for one in run.features
    )
    return Table(
        id=f"{prefix}-features",
        title="Features",
        note=f"Standard \u2212 dialect in {run.table.unit}: positive means that the "
        "standard form is preferred. Intervals are 95%, by frame, unadjusted; "
        "p-values are the t-test's, after Holm over features and models; what is "
        "below 5% is named. Length difference: standard \u2212 dialect, "
        f"mean {unit} of the answer."
        + (
            " Observed \u2212 predicted: what is left of the mean difference after "
            f"the slope over features (so much per {unit.removesuffix('s')}) times "
            "the length. The slope is fitted on these same features, and a feature "
            "that always adds a word cannot be told from its length: a help in "
            "reading, no test."
            if sloped
            else ""
        ),
        header=(
            "Feature",
            "Pairs",
            "Mean difference",
            "95% interval",
            "p (Holm)",
            "Result",
            "Standard preferred, %",
            "95% interval",
            "Length difference",
            *(("Observed \u2212 predicted",) if sloped else ()),
        ),
        rows=rows,
        frame=_csv(run, PREFERENCES),
        sortable=True,
    )


def _estimate(record: Record | None) -> float | None:
    return None if record is None else record.estimate


def effect_table(run: FeatureRun, prefix: str) -> Table:
    """The same by effect sizes, ranks and, for policies, summed log-probability."""
    summed = any(one.summed is not None for one in run.features)
    rows = tuple(
        (
            text_cell(name_of(run, one)),
            number_cell(one.mean.n_clusters, 0),
            number_cell(one.d_z.estimate),
            _bounds(one.d_z, 2),
            number_cell(one.d_av.estimate),
            _bounds(one.d_av, 2),
            number_cell(one.rank_biserial.estimate),
            p_cell(one.rank_biserial.p_holm),
            number_cell(one.detectable.estimate),
            *(
                (
                    number_cell(one.summed.mean if one.summed else None, 2),
                    number_cell(
                        hundred(one.summed.accuracy if one.summed else None), 0
                    ),
                )
                if summed
                else ()
            ),
        )
        for one in run.features
    )
    return Table(
        id=f"{prefix}-effects",
        title="Effect sizes and ranks",
        note="d_z: mean difference over the SD of the differences. d_av: over the "
        "average of the SDs of standard and dialect scores, that is, beside how much "
        "the frames differ. Intervals are 95%, clustered by frame, unadjusted. "
        "Rank-biserial correlation and Wilcoxon's p (Holm) are of frames' mean "
        f"differences. {_fewest(run)}Detectable: the smallest d_z of frames' means "
        "that the t-test finds in four cases of five, before Holm."
        + (
            " Summed: log-probability of the whole answer, not divided by its tokens, "
            "as minimal pairs are usually judged."
            if summed
            else ""
        ),
        header=(
            "Feature",
            "Frames",
            "d_z",
            "95% interval",
            "d_av",
            "95% interval",
            "Rank-biserial",
            "Wilcoxon p (Holm)",
            "Detectable d_z",
            *(("Summed, difference", "Summed, standard %") if summed else ()),
        ),
        rows=rows,
        frame=_csv(run, EFFECTS),
        folded=True,
        sortable=True,
    )


def _fewest(run: FeatureRun) -> str:
    """What so few frames can show at most by ranks."""
    n, tests = max(run.table.frames), len(run.tested)
    least = 2.0 ** (1 - n)
    return (
        f"Of {n} frames Wilcoxon's p cannot fall below {p_text(least)}, nor below "
        f"{p_text(min(1.0, tests * least))} after Holm over {tests} tests, whatever "
        "the data. "
        if tests
        else ""
    )


def example_table(run: FeatureRun, prefix: str) -> Table:
    """One pair of each feature, with its name in eWAVE and where it is attested."""
    frame = pd.DataFrame(
        [
            {
                "feature": one.feature.key,
                "title": one.feature.title,
                "ewave": one.feature.ewave,
                "ewave_name": one.feature.ewave_name,
                "standard": one.feature.standard,
                "dialect": one.feature.dialect,
                "varieties": "; ".join(one.feature.varieties),
            }
            for one in sorted(run.features, key=lambda one: name_of(run, one))
        ]
    )
    return Table(
        id=f"{prefix}-examples",
        title="An example of each feature",
        note="The first pair of each feature. Numbers and names are those of the "
        "Electronic World Atlas of Varieties of English (eWAVE).",
        header=("Feature", "eWAVE", "Standard", "Dialect", "Varieties"),
        rows=tuple(
            (
                text_cell(name_of(run, one)),
                text_cell(
                    " ".join(
                        str(part)
                        for part in (one.feature.ewave, one.feature.ewave_name)
                        if part is not None
                    )
                ),
                text_cell(one.feature.standard),
                text_cell(one.feature.dialect),
                text_cell(", ".join(one.feature.varieties)),
            )
            for one in sorted(run.features, key=lambda one: name_of(run, one))
        ),
        frame=frame,
        folded=True,
    )


def variety_table(run: FeatureRun, prefix: str) -> Table | None:
    """Mean over each variety's features; None: the items name no varieties."""
    if not run.varieties:
        return None
    digits = digits_of(run)
    named = {one.feature.key: one.side for one in run.features}
    return Table(
        id=f"{prefix}-variety-means",
        title="Means by variety",
        note=f"Mean difference standard \u2212 dialect, {run.table.unit}, over the "
        "features attested in a variety, each counting the same; 95% intervals over "
        "frames within these features, unadjusted and untested. Varieties share "
        "features: their order is no ranking.",
        header=(
            "Variety",
            "Features",
            "Mean difference",
            "95% interval",
            "Penalised",
            "Favoured",
        ),
        rows=tuple(
            (
                text_cell(one.variety),
                number_cell(len(one.features), 0),
                number_cell(one.mean.estimate, digits),
                _bounds(one.mean, digits),
                number_cell(sum(named[key] > 0 for key in one.features), 0),
                number_cell(sum(named[key] < 0 for key in one.features), 0),
            )
            for one in run.varieties
        ),
        frame=pd.DataFrame([one.mean.to_json() for one in run.varieties]),
    )


def _csv(run: FeatureRun, metrics: Sequence[str]) -> pd.DataFrame:
    """Unrounded records, feature by feature."""
    return pd.DataFrame(
        [
            record.to_json()
            for one in run.features
            for record in one.records
            if record.metric in metrics
        ]
    )
