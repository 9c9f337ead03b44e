"""Texts in several dialects as a part of a report: figures, tables, all models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from analysis import columns as col
from analysis import figures, prose
from analysis.countries_figures import interval_rows
from analysis.dialects_mixed import EQUAL_LENGTH, LENGTH
from analysis.dialects_pairs_analysis import (
    PairAnalysis,
    PairRun,
    analyse_pairs,
    strongest,
)
from analysis.dialects_pairs_effects import SHIFT, Setting, unit_of
from analysis.dialects_pairs_findings import (
    dialects_text,
    digits_of,
    headline_finding,
    name_of,
    names_of,
    rows_text,
    run_findings,
)
from analysis.drawing import BLUE, INK, Panel, Scale
from analysis.figures import padded
from analysis.html import Block, Figure, Finding, Section, Table, number
from analysis.load import Run
from analysis.part import ProbePart, RunPart, Step, Wanted, models_section
from analysis.records import ALPHA, Record
from analysis.wording import side_of, span_text

LABEL_SPACE = 165
"""Pixels for the names of dialects."""
COLOURS = (BLUE, "#d3782b", "#6b8f3a", "#7b5ea7", "#8c98a5", "#c2a33a")
"""Of models, side by side."""
MODELS = len(COLOURS)
"""Most models whose bars stand side by side."""


def forest_figure(run: PairRun, prefix: str) -> Figure | None:
    """d_z of every dialect in every setting; None: nothing has one."""
    rows = {
        setting.key: rows
        for setting in run.settings
        if setting is not SHIFT and len(rows := forest_rows(run, setting))
    }
    if not rows:
        return None
    domain = padded(pd.concat(list(rows.values())), 0.0)
    return Figure(
        id=f"{prefix}-forest",
        title=f"What a dialect costs {run.label}, by what is varied",
        caption=f"Right of the dashed line {name_of(run.table.reference)} is "
        "preferred, left of it the dialect. d_z is the mean difference over the SD of "
        "the differences: how consistent it is, not how large. Filled: the t-test is "
        "below 5% after Holm; hollow: not shown. Lines are 95% intervals over "
        f"{run.table.cluster}s, not adjusted, so that some pass the dashed line and "
        "stay hollow. Rows in which the text is the same are left out.",
        alt=f"Forest plots of dialects for {run.label}; the numbers are in the tables.",
        panels=tuple(
            figures.intervals(
                rows[setting.key],
                name=f"{prefix}-forest-{setting.key.replace('_', '-')}",
                domain=domain,
                axis_title="d_z (reference \u2212 dialect)",
                title=setting.title,
                label_space=LABEL_SPACE,
            )
            for setting in run.settings
            if setting.key in rows
        ),
    )


def forest_rows(run: PairRun, setting: Setting) -> pd.DataFrame:
    """Rows of one setting: a filled mark for each dialect that is shown."""
    shown = {dialect for side in run.sides(setting)[:2] for dialect in side}
    return interval_rows(
        [
            (name_of(dialect), record, None, dialect not in shown)
            for dialect in run.compared(setting)
            if (record := run.of(setting, "cohens_d_z", dialect)) is not None
        ]
    )


def accuracy_figure(runs: Sequence[PairRun], prefix: str) -> Figure | None:
    """Accuracy in each dialect, a bar for each model; None: no run has any."""
    drawn = [run for run in runs if run.accuracy is not None][:MODELS]
    if not drawn:
        return None
    several = len(runs) > 1
    rows = []
    for run in drawn:
        for dialect in (run.table.reference, *run.table.dialects):
            found = run.about_accuracy("accuracy", dialect)
            if found is None or found.estimate is None:
                continue
            drop = run.about_accuracy("accuracy_drop", dialect)
            shown = drop is not None and side_of(drop) != 0
            rows.append(
                {
                    "dialect": name_of(dialect) + (" *" if shown else ""),
                    "model": run.label,
                    "accuracy": 100 * found.estimate,
                    "low": figures.percent_of(found.ci_low),
                    "high": figures.percent_of(found.ci_high),
                    "reference": dialect == run.table.reference,
                }
            )
    frame = pd.DataFrame(rows)
    if several:
        frame["dialect"] = frame["dialect"].str.removesuffix(" *")
    n = max(
        int(record.n)
        for run in drawn
        for record in run.records
        if record.metric == "accuracy"
    )
    more = sum(run.accuracy is not None for run in runs) - len(drawn)
    return Figure(
        id=f"{prefix}-accuracy",
        title="How often the chosen answer scores higher, by dialect",
        caption="Prompt and both answers in one dialect, ties counting one half, with "
        f"Wilson's 95% interval; up to {rows_text(n)}; the dashed line is chance. "
        + (
            "Bars of one colour are one model."
            if several
            else "A star: the change from the reference (grey) is below 5% after Holm."
        )
        + " The rows are the same ones, so that changes are surer than the bars' "
        "intervals look."
        + (f" {more} more models are in the tables only." if more > 0 else ""),
        alt="Bars of accuracy by dialect; the numbers are in the tables.",
        panels=(bars(frame, name=f"{prefix}-accuracy-bars", several=several),),
    )


def bars(rows: pd.DataFrame, *, name: str, several: bool) -> Panel:
    """Grouped horizontal bars with intervals.

    Args:
        rows: Columns dialect, model, accuracy, low and high (in percent), reference.
        name: File name of the panel.
        several: Colours tell models apart, else the reference from the others.
    """
    data = rows.assign(
        tip=figures.tips(
            rows,
            lambda row: f"{row.model}, {row.dialect}",
            unit="%",
            value="accuracy",
            low="low",
            high="high",
        )
    )
    models = list(dict.fromkeys(rows["model"]))
    base = alt.Chart(alt.NamedData(name="rows")).encode(
        y=figures.names_axis("dialect:N", LABEL_SPACE, paddingInner=0.25),
        yOffset=alt.YOffset("model:N", sort=models),
        description="tip:N",
    )
    x_scale = alt.Scale(domain=[0, 100], nice=False)
    title = "Chosen above rejected, % of rows"
    colour: Any = (
        alt.Color(
            "model:N",
            sort=models,
            scale=alt.Scale(domain=models, range=list(COLOURS[: len(models)])),
            legend=alt.Legend(title=None, orient="bottom", columns=1, labelLimit=300),
        )
        if several
        else alt.condition("datum.reference", alt.value("#aab4be"), alt.value(BLUE))
    )
    chance = figures.level_line(
        alt.X("chance:Q", scale=x_scale, title=title), "chance", 50
    )
    chart = alt.layer(
        base.mark_bar(opacity=0.85).encode(
            x=alt.X(
                "accuracy:Q",
                scale=x_scale,
                title=title,
                axis=alt.Axis(tickCount=5),
            ),
            color=colour,
        ),
        figures.span(
            base,
            alt.X("low:Q", scale=x_scale, title=title),
            "low",
            "high",
            stroke=INK,
            strokeWidth=1.3,
        ),
        chance,
    ).properties(
        width=330 - LABEL_SPACE,
        height=alt.Step(12 if several else 20),
    )
    return figures.titled(chart, name, data)


def effect_tables(run: PairRun, prefix: str) -> tuple[Table, ...]:
    """Effect sizes of the headline setting, and those of the others, folded."""
    first, *others = run.settings
    found = [_effect_table(run, [first], f"{prefix}-effects")]
    if others:
        found.append(_effect_table(run, others, f"{prefix}-settings"))
    return tuple(found)


def _effect_table(run: PairRun, settings: Sequence[Setting], id: str) -> Table:
    several, digits = len(settings) > 1, digits_of(run)
    rows = [
        (setting, dialect)
        for setting in settings
        for dialect in (*run.compared(setting), *_without(run, setting))
    ]
    frame = [
        record.to_json() | {"identical": run.counts[setting.key, dialect].identical}
        for setting, dialect in rows
        for metric in METRICS
        if (record := run.of(setting, metric, dialect)) is not None
    ]
    known = "" if run.table.texts_known else " (not known)"
    varied = col.text("Varied", lambda row: row[0].title)

    def of(metric: str) -> col.Of:
        return lambda row: run.of(row[0], metric, row[1])

    def identical(row: tuple[Setting, str]) -> int | None:
        counts = run.counts[row[0].key, row[1]]
        return counts.identical if run.table.texts_known else None

    return col.table(
        id=id,
        title="Effect sizes in the other settings"
        if several
        else f"Effect sizes: {settings[0].title[0].lower()}{settings[0].title[1:]}",
        note=f"Difference: {name_of(run.table.reference)} less dialect, in "
        f"{unit_of(run.table)}; d_z over the SD of the differences, d_av over the mean "
        f"SD of both forms. Identical: rows with the same text in both{known}, in no "
        f"number. p: t-test clustered by {run.table.cluster} and Wilcoxon's test, each "
        "Holm's over models and dialects. Preferred: rows in which the reference "
        "scores higher, ties one half. Detectable: d_z found in four cases of five, "
        "before Holm.",
        columns=[
            *([varied] if several else []),
            col.text("Dialect", lambda row: name_of(row[1])),
            col.count("Rows", lambda row: run.counts[row[0].key, row[1]].n),
            col.count("Identical", identical),
            *col.estimate("Difference", of("mean_difference"), digits),
            col.holm("p (t, Holm)", of("mean_difference")),
            *col.estimate("d_z", of("cohens_d_z")),
            *col.estimate("d_av", of("cohens_d_av")),
            col.value("Rank-biserial", of("rank_biserial")),
            col.holm("p (Wilcoxon, Holm)", of("rank_biserial")),
            col.value("Preferred, %", of("reference_preferred"), 0, 100),
            col.value("Detectable d_z", of("minimum_detectable_d_z")),
        ],
        rows=rows,
        frame=pd.DataFrame(frame),
        folded=several,
        sortable=True,
        head_rows=not several,
    )


METRICS = (
    "mean_difference",
    "cohens_d_z",
    "cohens_d_av",
    "rank_biserial",
    "reference_preferred",
    "minimum_detectable_d_z",
)


def _without(run: PairRun, setting: Setting) -> tuple[str, ...]:
    """Dialects of which every row is the same text: the count must be seen."""
    return tuple(
        dialect
        for dialect in run.table.dialects
        if (counts := run.counts[setting.key, dialect]).identical and not counts.n
    )


def length_table(run: PairRun, prefix: str) -> Table | None:
    """The headline differences beside those at equal length; None: not fitted."""
    if run.no_length is not None:
        return None
    setting, digits = run.headline, digits_of(run)
    unit = run.table.length_unit or ""
    metrics = ("mean_difference", EQUAL_LENGTH, LENGTH)
    rows: list[tuple[Any, ...]] = [
        (dialect, *(run.of(setting, metric, dialect) for metric in metrics))
        for dialect in run.compared(setting)
    ]
    return col.table(
        id=f"{prefix}-length",
        title="The same at equal length",
        note=f"More {unit}: mean length of the dialect's text less the reference's, on "
        "the same rows. At equal length: coefficient of a mixed model with length "
        "within rows, mean length of the row and a random intercept per row, standard "
        f"errors clustered by {run.table.cluster}; p Holm's over models and dialects.",
        columns=[
            col.text("Dialect", lambda row: name_of(row[0])),
            col.value(f"More {unit}", lambda row: row[3], 1, -1),
            *col.estimate("Difference", lambda row: row[1], digits),
            col.holm("p (Holm)", lambda row: row[1]),
            *col.estimate("At equal length", lambda row: row[2], digits),
            col.holm("p (Holm)", lambda row: row[2]),
        ],
        rows=rows,
        frame=[one for _, *found in rows for one in found],
        sortable=True,
    )


def accuracy_table(run: PairRun, prefix: str) -> Table | None:
    """Accuracy in each dialect and what is lost; None: no chosen and rejected."""
    found = run.accuracy
    if found is None:
        return None
    rows = [
        (
            dialect,
            run.about_accuracy("accuracy", dialect),
            run.about_accuracy("accuracy_drop", dialect),
            found.signs.get(dialect),
        )
        for dialect in map(str, found.correct)
    ]
    return col.table(
        id=f"{prefix}-accuracies",
        title="Preference accuracy in each dialect",
        note="Prompt and both answers in one dialect; ties count one half. Drop: "
        f"{name_of(run.table.reference)} less dialect over the rows that have both, "
        f"bootstrap over {run.table.cluster}s. Lost and gained: rows that do worse and "
        "better in the dialect; p: McNemar's exact test of these, Holm's over models "
        "and dialects. Rows with the same texts in both count here, as no change.",
        columns=[
            col.text("Dialect", lambda row: name_of(row[0])),
            col.count("Rows", lambda row: row[1] and row[1].n),
            *col.estimate("Accuracy", lambda row: row[1], 3),
            col.count("Ties", lambda row: int((found.correct[row[0]] == 0.5).sum())),
            *col.estimate("Drop", lambda row: row[2], 3),
            col.count("Lost", lambda row: row[3] and row[3].more),
            col.count("Gained", lambda row: row[3] and row[3].fewer),
            col.holm("p (Holm)", lambda row: row[2]),
        ],
        rows=rows,
        frame=[one for row in rows for one in row[1:3]],
        sortable=True,
    )


def subset_table(run: PairRun, prefix: str) -> Table | None:
    """Accuracy by subset and dialect; None: no subset with enough rows."""
    if run.accuracy is None or run.accuracy.subsets.empty:
        return None
    frame = run.accuracy.subsets
    wide = frame.pivot(index="subset", columns="dialect", values="accuracy")
    wide = wide[list(run.accuracy.correct)]
    sizes = frame.groupby("subset")["n"].min()

    def share(at: int) -> col.Of:
        return lambda row: float(row[1][at])

    return col.table(
        id=f"{prefix}-subsets",
        title=f"Accuracy by subset ({rows_text(int(sizes.sum()))})",
        note="Subsets with five rows or more; nothing is tested, and of so few rows "
        f"most differences are chance: a share of {number(float(sizes.median()), 0)} "
        "rows moves by "
        f"{number(1 / float(sizes.median()), 2)} with each.",
        columns=[
            col.text("Subset", lambda row: str(row[0])),
            col.count("Rows", lambda row: float(sizes[row[0]])),
            *(
                col.number(name_of(str(dialect)), share(at))
                for at, dialect in enumerate(wide)
            ),
        ],
        rows=zip(wide.index, wide.to_numpy(), strict=True),
        frame=frame,
        folded=True,
        sortable=True,
    )


def across_findings(analysis: PairAnalysis) -> tuple[Finding, ...]:
    """What several runs have in common."""
    runs = analysis.runs
    if len(runs) < 2:
        return ()
    counted: dict[str, tuple[int, int, int]] = {}
    sizes: dict[str, list[float]] = {}
    for run in runs:
        lower, higher, neither = run.sides(run.headline)
        for place, dialects in enumerate((lower, higher, neither)):
            for dialect in dialects:
                seen = list(counted.get(dialect, (0, 0, 0)))
                seen[place] += 1
                counted[dialect] = (seen[0], seen[1], seen[2])
                found = run.of(run.headline, "cohens_d_z", dialect)
                value = math.nan if found is None else found.estimate
                sizes.setdefault(dialect, []).append(
                    math.nan if value is None else value
                )
    if not counted:
        return ()
    every = [d for d, seen in counted.items() if seen[0] == len(runs)]
    ref = name_of(runs[0].table.reference)
    all_of = "Both" if len(runs) == 2 else f"All {len(runs)}"
    claim = (
        f"{all_of} models score {names_of(every)} lower than {ref}."
        if every
        else f"No dialect is shown to score lower than {ref} with all {len(runs)} "
        "models."
    )
    listed = [
        f"{name_of(dialect)} lower in {seen[0]}, higher in {seen[1]}, neither shown in "
        f"{seen[2]} (d_z {_span(sizes[dialect])})"
        for dialect, seen in counted.items()
    ]
    return (
        Finding(
            claim=claim,
            evidence=(
                f"{dialects_text(len(counted))}, t-tests below {100 * ALPHA:.0f}% "
                f"after Holm over models and dialects: {'; '.join(listed)}.",
            ),
            certainty="supported" if every else "not shown",
        ),
    )


def _span(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    return span_text(known) or "not computed"


def _worst(run: PairRun) -> Record | None:
    """The largest drop of accuracy; None: there is none."""
    drops = [
        record
        for dialect in run.table.dialects
        if (record := run.about_accuracy("accuracy_drop", dialect)) is not None
        and record.estimate is not None
    ]
    return max(drops, key=lambda one: one.estimate or 0.0, default=None)


def _dialect(record: Record | None) -> str | None:
    return name_of(record.group or "") if record else None


def across_table(runs: Sequence[PairRun], prefix: str) -> Table:
    """The models side by side."""
    titles = list(dict.fromkeys(run.headline.title.lower() for run in runs))
    return col.table(
        id=f"{prefix}-models",
        title="The models side by side",
        note=f"Lower and higher: dialects shown to score so against the reference "
        f"({' / '.join(titles)}), after Holm over models and dialects. Largest d_z and "
        "largest drop of accuracy are picked from several, and so look larger than "
        "they are.",
        columns=[
            col.text("Model", lambda run: run.label),
            col.count("Rows", lambda run: len(run.table.rows)),
            col.count("Lower", lambda run: len(run.sides(run.headline)[0])),
            col.count("Higher", lambda run: len(run.sides(run.headline)[1])),
            col.text("Largest d_z", lambda run: _dialect(strongest(run))),
            *col.estimate("d_z", strongest),
            col.value(
                "Accuracy, reference",
                lambda run: run.about_accuracy("accuracy", run.table.reference),
                3,
            ),
            col.text("Largest drop", lambda run: _dialect(_worst(run))),
            *col.estimate("Drop", _worst, 3),
            col.holm("p (Holm)", _worst),
        ],
        rows=runs,
        frame=[
            record
            for run in runs
            for record in run.records
            if record.metric in ("cohens_d_z", "accuracy", "accuracy_drop")
        ],
        sortable=True,
    )


def heat_figure(runs: Sequence[PairRun], prefix: str) -> Figure | None:
    """Dialects x models: d_z of each run's headline setting; None: nothing compared."""
    effects = {
        run.label: {
            name_of(dialect): record.estimate
            for dialect in run.compared(run.headline)
            if (record := run.of(run.headline, "cohens_d_z", dialect)) is not None
        }
        for run in runs
    }
    if not any(effects.values()):
        return None
    frame = pd.DataFrame(effects, dtype=np.float64)
    frame = frame.loc[frame.mean(axis=1).sort_values(ascending=False).index]
    known = frame.abs().to_numpy()
    reach = float(np.nanmax(known)) if np.isfinite(known).any() else 1.0
    cells = figures.cells_of(frame)
    titles = list(dict.fromkeys(run.headline.title for run in runs))
    return Figure(
        id=f"{prefix}-heat",
        title="Dialects by model",
        caption=f"d_z ({' / '.join(titles)[0].lower()}{' / '.join(titles)[1:]}): above "
        "zero (orange) the reference is preferred, below (blue) the dialect. It is "
        "free of the models' units. Which of them are shown stands in each model's own "
        "part.",
        alt="Heat map of dialects by models; the numbers are in the tables.",
        panels=(
            figures.heatmap(
                cells,
                name=f"{prefix}-heat-d",
                scale=Scale(
                    low=-max(reach, 1e-9),
                    middle=0.0,
                    high=max(reach, 1e-9),
                    words=("dialect preferred", "reference preferred"),
                ),
                digits=2,
            ),
        ),
    )


def pairs_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe of texts in several dialects.

    Raises:
        DataError: A run has no texts in several dialects, or none with scores.
        UsageError: The reference is none of a run's dialects, or none is declared.
        StoreError: A run's items or scores cannot be read.
    """
    analysis = analyse_pairs(runs, reference=wanted.reference_dialect, step=step)
    most = max(len(run.table.dialects) for run in analysis.runs)
    rows = max(len(run.table.rows) for run in analysis.runs)
    return ProbePart(
        section=pairs_section(analysis, id=id, title=title, step=step),
        runs=tuple(_run_part(run) for run in analysis.runs),
        across=across_findings(analysis),
        records=analysis.records,
        subject=f"What it costs {rows_text(rows)} of prompts and answers to be "
        f"written in {dialects_text(most)} instead of "
        f"{name_of(analysis.runs[0].table.reference)}",
    )


def _run_part(run: PairRun) -> RunPart:
    headline = strongest(run)
    return RunPart(
        path=run.table.run.path,
        label=run.label,
        probe=run.table.run.manifest.probe,
        items=len(run.table.rows),
        groups=1 + len(run.table.dialects),
        findings=run_findings(run),
        short=headline_finding(run),
        headline=headline,
        headline_name=""
        if headline is None
        else f"largest d_z: {name_of(run.table.reference)} \u2212 "
        f"{name_of(headline.group or '')}, {run.headline.title.lower()}",
    )


def pairs_section(
    analysis: PairAnalysis, *, id: str, title: str, step: Step
) -> Section:
    """The section: across models first, then each run; see `pairs_part`."""
    runs = analysis.runs
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="scored the same texts",
        across=lambda: (
            across_table(runs, id),
            heat_figure(runs, id),
            accuracy_figure(runs, id),
        ),
        method=prose.method("dialects_pairs", draws=analysis.draws),
        caveats=prose.caveats("dialects_pairs", draws=analysis.draws),
        step=step,
    )


def _lead(run: PairRun) -> str:
    table = run.table
    return (
        f"{rows_text(len(table.rows))}, each in {name_of(table.reference)} and in "
        f"{names_of(table.dialects)}. Every difference is the {unit_of(table)} of "
        f"{name_of(table.reference)} less that of the dialect: positive means that "
        f"{name_of(table.reference)} is preferred."
    )


def _blocks(run: PairRun, prefix: str) -> list[Block | None]:
    effects = effect_tables(run, prefix)
    return [
        forest_figure(run, prefix),
        effects[0],
        length_table(run, prefix),
        accuracy_figure([run], prefix),
        accuracy_table(run, prefix),
        *effects[1:],
        subset_table(run, prefix),
    ]
