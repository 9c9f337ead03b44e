"""Several runs of dialect features side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import columns as col
from analysis import figures
from analysis.dialects_features_analysis import FeatureAnalysis, FeatureRun
from analysis.dialects_features_figures import drawn, name_of
from analysis.dialects_features_words import features, value_text
from analysis.drawing import Scale
from analysis.html import (
    Figure,
    Finding,
    Table,
    join_words,
)
from analysis.records import Record
from analysis.wording import side_of

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
