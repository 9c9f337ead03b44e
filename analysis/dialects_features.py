"""Dialect minimal pairs as a part of a report: figures, tables, models together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import columns as col
from analysis import figures, prose
from analysis.countries_figures import interval_rows
from analysis.dialects_features_analysis import (
    FeatureAnalysis,
    FeatureResult,
    FeatureRun,
    analyse_features,
)
from analysis.dialects_features_findings import (
    digits_of,
    features,
    frames,
    headline_finding,
    name_of,
    pairs,
    run_findings,
    value_text,
)
from analysis.drawing import Scale
from analysis.figures import padded
from analysis.html import Block, Figure, Finding, Section, Table, join_words, p_text
from analysis.load import Run
from analysis.part import ProbePart, RunPart, Step, Wanted, models_section
from analysis.records import Record
from analysis.wording import side_of

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


HEAT_MODELS = 10
"""Most models of the heat map: a phone's width."""


def across_table(runs: Sequence[FeatureRun], prefix: str) -> Table:
    """A row per run."""
    return col.table(
        id=f"{prefix}-across",
        title="Models",
        note="Overall: mean difference standard \u2212 dialect over features, each "
        "counting the same, divided by the SD of all the model's scores of these "
        "texts, so that models with different units stand side by side; intervals and "
        "p-values (Holm over models) are Student's t over features. Pairs: share in "
        "which the standard form scores higher, features counting the same. Named: "
        "features whose own t-test is below 5% after Holm over features and models.",
        columns=[
            col.text("Model", lambda run: run.label),
            col.count("Features", lambda run: len(run.features)),
            col.count("Pairs", lambda run: len(run.table.standard)),
            *col.estimate("Overall, SD", lambda run: run.overall.in_sd),
            col.holm("p (Holm)", lambda run: run.overall.in_sd),
            *col.estimate(
                "Standard preferred, %", lambda run: run.overall.accuracy, 0, 100
            ),
            col.count("Penalised", lambda run: len(run.penalised)),
            col.count("Favoured", lambda run: len(run.favoured)),
        ],
        rows=runs,
        frame=[run.overall.in_sd for run in runs],
    )


def heat_figure(runs: Sequence[FeatureRun], prefix: str) -> Figure | None:
    """Tested features x models; None: none was tested."""
    shown = runs[:HEAT_MODELS]
    effects = {
        run.label: {name_of(run, one): one.d_z.estimate for one in drawn(run)}
        for run in shown
    }
    if not any(effects.values()):
        return None
    frame = pd.DataFrame(effects, dtype=np.float64)
    frame = frame.loc[frame.mean(axis=1).sort_values(ascending=False).index]
    reach = max(float(np.nanquantile(frame.abs().to_numpy(), 0.9)), 1e-9)
    cells = figures.cells_of(frame)
    more = len(runs) - len(shown)
    return Figure(
        id=f"{prefix}-heat",
        title="Features by model",
        caption="d_z of each feature: above zero (orange) the standard form is "
        "preferred, below (blue) the dialect form. It is free of the models' units. "
        "Which of them are shown stands in each model's own part."
        + (f" {more} more models are in the tables only." if more > 0 else ""),
        alt="Heat map of features by model; the numbers are in the models' tables.",
        panels=(
            figures.heatmap(
                cells,
                name=f"{prefix}-heat-d",
                scale=Scale(
                    low=-reach,
                    middle=0.0,
                    high=reach,
                    words=("dialect preferred", "standard preferred"),
                ),
                digits=1,
                label_space=175,
            ),
        ),
    )


def across_findings(analysis: FeatureAnalysis) -> tuple[Finding, ...]:
    """What several runs have in common."""
    runs = analysis.runs
    if len(runs) < 2:
        return ()
    sides = [side_of(run.overall.mean) for run in runs]
    counts = [
        f"{sides.count(side)} {'scores' if sides.count(side) == 1 else 'score'} the "
        f"{kind} form higher"
        for side, kind in ((1, "standard"), (-1, "dialect"))
        if side in sides
    ]
    unclear = sides.count(0)
    if not counts:
        claim = (
            f"Of {len(runs)} models, none is shown to prefer standard or dialect forms "
            "on average over features."
        )
    else:
        claim = (
            f"Of {len(runs)} models, {join_words(counts)} on average over features"
            + (f"; of {unclear} neither is shown." if unclear else ".")
        )
    evidence = [
        "In SD of each model's scores, Holm over models: "
        + "; ".join(f"{run.label} {value_text(run.overall.in_sd, 2)}" for run in runs)
        + ".",
        *_shared_text(runs),
        *_alike_text(analysis.cross_records),
    ]
    return (
        Finding(
            claim=claim,
            evidence=tuple(evidence),
            certainty="not shown"
            if not counts
            else "uncertain"
            if unclear
            else "supported",
        ),
    )


def _shared_text(runs: Sequence[FeatureRun]) -> tuple[str, ...]:
    """Features that every model penalises."""
    names = [{name_of(run, one) for one in run.penalised} for run in runs]
    shared = sorted(set.intersection(*names))
    if not shared:
        return ("No feature is penalised by all of them.",)
    return (f"Penalised by all of them: {join_words(shared)}.",)


def _alike_text(records: Sequence[Record]) -> tuple[str, ...]:
    if not records:
        return ()
    alike = [one for one in records if side_of(one) > 0]
    ordered = sorted(records, key=lambda one: one.estimate or 0.0)
    ends = ordered[:1] if len(ordered) == 1 else [ordered[-1], ordered[0]]
    quoted = " and ".join(
        f"{one.model} with {one.group} {value_text(one, 2)}" for one in ends
    )
    which = "" if len(ordered) == 1 else "; highest and lowest"
    return (
        f"Features rank alike in {len(alike)} of {len(records)} pairs of models after "
        f"Holm (Spearman's rho of mean differences, n = {features(records[0].n)}"
        f"{which}: {quoted}). What a word's tokens do to any model adds to that.",
    )


def features_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe of dialect minimal pairs.

    No reference that is wanted is read: a pair's is its standard form.

    Raises:
        DataError: A run has no minimal pairs, or none with scores.
        StoreError: A run's items or scores cannot be read.
    """
    analysis = analyse_features(runs, step=step)
    return ProbePart(
        section=features_section(analysis, id=id, title=title, step=step),
        runs=tuple(
            RunPart(
                path=run.table.run.path,
                label=run.label,
                probe=run.table.run.manifest.probe,
                items=sum(run.table.frames),
                groups=len(run.features),
                findings=run_findings(run),
                short=headline_finding(run),
                headline=run.overall.in_sd,
                headline_name="standard \u2212 dialect, mean over "
                f"{features(len(run.features))} (SD of scores)",
            )
            for run in analysis.runs
        ),
        across=across_findings(analysis),
        records=analysis.records,
        subject="Which of "
        f"{features(max(len(run.features) for run in analysis.runs))} of English "
        "dialects cost or gain score in otherwise equal sentences",
    )


def features_section(
    analysis: FeatureAnalysis, *, id: str, title: str, step: Step
) -> Section:
    """The section: across models first, then each run; see `features_part`."""
    runs = analysis.runs
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="scored the same minimal pairs",
        across=lambda: (across_table(runs, id), heat_figure(runs, id)),
        method=prose.method("dialects_features"),
        caveats=prose.caveats("dialects_features"),
        step=step,
    )


def _lead(run: FeatureRun) -> str:
    table = run.table
    return (
        f"{pairs(len(table.standard))} of sentences from {frames(sum(table.frames))}, "
        f"which differ in one of {features(len(table.features))} and in nothing else. "
        f"Every number is the {table.unit} of the standard form less that of the "
        "dialect form: positive means that the standard form is preferred."
    )


def _blocks(run: FeatureRun, prefix: str) -> list[Block | None]:
    return [
        forest_figure(run, prefix),
        feature_table(run, prefix),
        effect_table(run, prefix),
        example_table(run, prefix),
        variety_figure(run, prefix),
        variety_table(run, prefix),
    ]
