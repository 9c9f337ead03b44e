"""Tables of dialect features."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from analysis import columns as col
from analysis.dialects_features_analysis import FeatureResult, FeatureRun
from analysis.dialects_features_figures import name_of
from analysis.dialects_features_words import digits_of
from analysis.html import (
    Table,
    p_text,
)
from analysis.records import Record

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


def feature_table(run: FeatureRun, prefix: str) -> Table:
    """Every feature: how much, how sure, in how many pairs, and its length."""
    digits, unit = digits_of(run), run.table.length_unit
    sloped = run.slope is not None
    left = col.value("Observed \u2212 predicted", lambda one: one.beyond_length, digits)
    return col.table(
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
        columns=[
            col.text("Feature", lambda one: name_of(run, one)),
            col.count("Pairs", lambda one: one.mean.n),
            *col.estimate("Mean difference", lambda one: one.mean, digits),
            col.holm("p (Holm)", lambda one: one.mean),
            col.text("Result", side_text),
            *col.estimate("Standard preferred, %", lambda one: one.accuracy, 0, 100),
            col.value("Length difference", lambda one: one.length, 1),
            *([left] if sloped else []),
        ],
        rows=run.features,
        frame=_csv(run, PREFERENCES),
        sortable=True,
    )


def effect_table(run: FeatureRun, prefix: str) -> Table:
    """The same by effect sizes, ranks and, for policies, summed log-probability."""
    summed = any(one.summed is not None for one in run.features)
    return col.table(
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
        columns=[
            col.text("Feature", lambda one: name_of(run, one)),
            col.count("Frames", lambda one: one.mean.n_clusters),
            *col.estimate("d_z", lambda one: one.d_z),
            *col.estimate("d_av", lambda one: one.d_av),
            col.value("Rank-biserial", lambda one: one.rank_biserial),
            col.holm("Wilcoxon p (Holm)", lambda one: one.rank_biserial),
            col.value("Detectable d_z", lambda one: one.detectable),
            *(_SUMMED if summed else ()),
        ],
        rows=run.features,
        frame=_csv(run, EFFECTS),
        folded=True,
        sortable=True,
    )


_SUMMED = (
    col.number("Summed, difference", lambda one: one.summed and one.summed.mean),
    col.count(
        "Summed, standard %", lambda one: one.summed and 100 * one.summed.accuracy
    ),
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


EXAMPLE = [
    "key",
    "title",
    "ewave",
    "ewave_name",
    "standard",
    "dialect",
    "varieties",
]


def example_table(run: FeatureRun, prefix: str) -> Table:
    """One pair of each feature, with its name in eWAVE and where it is attested."""
    ordered = sorted(run.features, key=lambda one: name_of(run, one))
    return col.table(
        id=f"{prefix}-examples",
        title="An example of each feature",
        note="The first pair of each feature. Numbers and names are those of the "
        "Electronic World Atlas of Varieties of English (eWAVE).",
        columns=[
            col.text("Feature", lambda one: name_of(run, one)),
            col.text("eWAVE", _ewave),
            col.text("Standard", lambda one: one.feature.standard),
            col.text("Dialect", lambda one: one.feature.dialect),
            col.text("Varieties", lambda one: ", ".join(one.feature.varieties)),
        ],
        rows=ordered,
        frame=pd.DataFrame(
            [
                dataclasses.asdict(one.feature)
                | {"varieties": "; ".join(one.feature.varieties)}
                for one in ordered
            ],
            columns=EXAMPLE,
        ).rename(columns={"key": "feature"}),
        folded=True,
    )


def _ewave(one: FeatureResult) -> str:
    named = (one.feature.ewave, one.feature.ewave_name)
    return " ".join(str(part) for part in named if part is not None)


def variety_table(run: FeatureRun, prefix: str) -> Table | None:
    """Mean over each variety's features; None: the items name no varieties."""
    if not run.varieties:
        return None
    named = {one.feature.key: one.side for one in run.features}
    return col.table(
        id=f"{prefix}-variety-means",
        title="Means by variety",
        note=f"Mean difference standard \u2212 dialect, {run.table.unit}, over the "
        "features attested in a variety, each counting the same; 95% intervals over "
        "frames within these features, unadjusted and untested. Varieties share "
        "features: their order is no ranking.",
        columns=[
            col.text("Variety", lambda one: one.variety),
            col.count("Features", lambda one: len(one.features)),
            *col.estimate("Mean difference", lambda one: one.mean, digits_of(run)),
            col.count(
                "Penalised", lambda one: sum(named[key] > 0 for key in one.features)
            ),
            col.count(
                "Favoured", lambda one: sum(named[key] < 0 for key in one.features)
            ),
        ],
        rows=run.varieties,
        frame=[one.mean for one in run.varieties],
    )


def _csv(run: FeatureRun, metrics: Sequence[str]) -> list[Record]:
    """Feature by feature."""
    every = (record for one in run.features for record in one.records)
    return [record for record in every if record.metric in metrics]
