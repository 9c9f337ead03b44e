"""Figures of dialect features."""

from __future__ import annotations

import pandas as pd

from analysis import figures
from analysis.countries_figures import interval_rows
from analysis.dialects_features_analysis import FeatureResult, FeatureRun
from analysis.dialects_features_words import digits_of, features
from analysis.html import Figure
from analysis.opinions_checks_figures import padded

LABEL_SPACE = 160
"""Pixels for the names of features."""


def forest_rows(run: FeatureRun) -> pd.DataFrame:
    """The forest's rows: a filled mark for each named feature and no other."""
    return interval_rows(
        [(name_of(run, one), one.d_z, None, one.side == 0) for one in drawn(run)]
    )


def drawn(run: FeatureRun) -> tuple[FeatureResult, ...]:
    """The tested features, the most penalised first."""
    return tuple(one for one in run.tested if one.d_z.estimate is not None)


def name_of(run: FeatureRun, one: FeatureResult) -> str:
    """The title, or the key where two features share a title."""
    titles = [other.feature.title for other in run.features]
    title = one.feature.title
    return one.feature.key if titles.count(title) > 1 else title


def forest_figure(run: FeatureRun, prefix: str) -> Figure | None:
    """Every tested feature's d_z and accuracy; None: none was tested."""
    if not drawn(run):
        return None
    effects = forest_rows(run)
    shares = interval_rows(
        [(name_of(run, one), one.accuracy, None, one.side == 0) for one in drawn(run)]
    )
    columns = ["estimate", "ci_low", "ci_high"]
    shares[columns] = 100 * shares[columns]
    named = len(run.penalised) + len(run.favoured)
    return Figure(
        id=f"{prefix}-forest",
        title="Which features are penalised, which favoured",
        caption="Right of the dashed line the standard form is preferred, left of it "
        "the dialect form. Filled: named, that is, its t-test is below 5% after Holm; "
        "hollow: not shown. First: d_z, the mean difference over the SD of the "
        "differences, which says how consistent the preference is and not how large. "
        "Second: in how many of 100 pairs the standard form scores higher. Lines are "
        "95% intervals by frame, not adjusted for there being "
        f"{features(len(effects))}, so that some pass the dashed line and stay "
        "hollow.",
        alt=f"Forest plot of {features(len(effects))} for {run.label}, {named} named; "
        "the numbers are in the table of features.",
        panels=(
            figures.intervals(
                effects,
                name=f"{prefix}-forest-d",
                domain=padded(effects, 0.0),
                axis_title="d_z (standard \u2212 dialect)",
                title="Consistency",
                label_space=LABEL_SPACE,
            ),
            figures.intervals(
                shares,
                name=f"{prefix}-forest-share",
                domain=(-3.0, 103.0),
                axis_title="Standard preferred, % of pairs",
                title="Pairs",
                zero=50.0,
                label_space=LABEL_SPACE,
                digits=0,
            ),
        ),
    )


def variety_figure(run: FeatureRun, prefix: str) -> Figure | None:
    """Mean over each variety's features; None: fewer than two have an interval."""
    known = [one for one in run.varieties if one.mean.ci_low is not None]
    if len(known) < 2:
        return None
    rows = interval_rows([(one.variety, one.mean, None, False) for one in known])
    return Figure(
        id=f"{prefix}-varieties",
        title="Features by variety",
        caption="Mean difference standard \u2212 dialect over the features attested in "
        "each variety, each counting the same, with 95% "
        "intervals over frames within these features. Varieties share features, so "
        "that their means move together: this is no ranking, and no score of whole "
        "texts in a variety.",
        alt=f"Means by variety for {run.label}; the numbers are in the table.",
        panels=(
            figures.intervals(
                rows,
                name=f"{prefix}-varieties-mean",
                domain=padded(rows, 0.0),
                axis_title=f"Standard \u2212 dialect, {run.table.unit}",
                label_space=LABEL_SPACE,
                digits=digits_of(run),
            ),
        ),
    )
