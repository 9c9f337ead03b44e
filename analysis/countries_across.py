"""Several runs of one country probe side by side."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis import columns as col
from analysis import figures, findings
from analysis.countries_axis import CountryAnalysis, PollResult
from analysis.countries_figures import interval_rows
from analysis.countries_views_figures import views_heatmap
from analysis.drawing import Panel, Scale, rank_scale
from analysis.html import Block, Figure, Table, join_words, slug


def across_blocks(analysis: CountryAnalysis, prefix: str) -> list[Block]:
    """Figures and tables that compare the runs."""
    found: list[Block] = [_across_table(analysis, prefix)]
    names = [run.label for run in analysis.runs]
    polls: dict[str, list[tuple[str, PollResult]]] = {}
    for run in analysis.runs:
        for poll in findings.computed(run):
            polls.setdefault(poll.poll.name, []).append((run.label, poll))
    panels = []
    for name, results in polls.items():
        rows = interval_rows(
            [(label, poll.headline, poll.precision, False) for label, poll in results]
        )
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-models-{slug(name)}",
                domain=(-1, 1),
                axis_title="Spearman's rho",
                title=f"{findings.poll_title(results[0][1])} (n = {results[0][1].n})",
            )
        )
    if panels:
        found.append(
            Figure(
                id=f"{prefix}-models",
                title="Agreement with opinion polls, model by model",
                caption="Rank correlation with each poll. Thin line: 95% interval with "
                "countries and questions resampled; shaded: questions only. Models "
                "whose thin lines overlap are not shown to differ.",
                alt="Agreement of each model with each poll; numbers in the tables.",
                panels=tuple(panels),
            )
        )
    if any(run.ordered for run in analysis.runs):
        found.append(_rank_heatmap(analysis, prefix))
    whose = views_heatmap(analysis, prefix)
    if whose is not None:
        found.append(whose)
    if len(names) > 2 and analysis.rank_correlation.notna().any().any():
        found.append(_model_heatmap(analysis, prefix))
    return found


def _across_table(analysis: CountryAnalysis, prefix: str) -> Table:
    rows = [
        (run, findings.main_poll(run), *findings.ends(run)) for run in analysis.runs
    ]
    return col.table(
        id=f"{prefix}-overview",
        title="The models side by side",
        note="Agreement with the first poll that could be compared, the same from "
        "answer length alone, and the valence-blind part over all ranked countries.",
        columns=(
            col.text("Model", lambda row: row[0].label),
            col.text("Poll", lambda row: row[1] and findings.poll_title(row[1])),
            *col.estimate("rho", lambda row: row[1] and row[1].headline),
            col.holm("p (Holm)", lambda row: row[1] and row[1].headline),
            col.value("Length alone", lambda row: row[1] and row[1].length_baseline),
            col.value("Valence-blind", lambda row: row[0].valence_blind),
            col.text("Most favoured", lambda row: join_words(list(row[2]["country"]))),
            col.text("Least favoured", lambda row: join_words(list(row[3]["country"]))),
        ),
        rows=rows,
        frame=[
            poll.headline for run in analysis.runs for poll in findings.computed(run)
        ],
    )


def _rank_heatmap(analysis: CountryAnalysis, prefix: str) -> Figure:
    means = pd.DataFrame({run.label: run.ranks["mean_rank"] for run in analysis.runs})
    names = pd.concat([run.ranks["country"] for run in analysis.runs])
    names = names[~names.index.duplicated()]
    order = means.mean(axis=1).sort_values(kind="stable").index
    means = means.loc[order]
    largest = max(len(run.ranks) for run in analysis.runs)
    scale = rank_scale(pd.Series(means.to_numpy().ravel()), largest)

    def panel(keys: Sequence[str], name: str, title: str | None) -> Panel:
        cells = pd.DataFrame(
            [
                {"row": names[key], "column": label, "value": means.at[key, label]}
                for key in keys
                for label in means.columns
            ]
        )
        return figures.heatmap(
            cells, name=f"{prefix}-heat-{name}", scale=scale, digits=0, title=title
        )

    keys = list(means.index)
    short = len(keys) <= 45
    parts: list[tuple[list[str], str, str | None]]
    if short:
        parts = [(keys, "all", None)]
    else:
        spread = (means.max(axis=1) - means.min(axis=1)).sort_values(
            ascending=False, kind="stable"
        )
        parts = [
            (keys[:15], "top", "Most favoured on average"),
            (keys[-15:], "bottom", "Least favoured on average"),
            (list(spread.index[:15]), "spread", "Most disputed"),
        ]
    return Figure(
        id=f"{prefix}-heat",
        title="Mean ranks across models",
        caption="Mean rank of a country (1 = most favoured) in each model; blue is "
        "favoured, orange disfavoured. On average means the plain mean over the models "
        "shown.",
        alt="Heat map of countries by models; the numbers are in the tables.",
        panels=tuple(panel(*part) for part in parts),
    )


def _model_heatmap(analysis: CountryAnalysis, prefix: str) -> Figure:
    matrix = analysis.rank_correlation
    cells = pd.DataFrame(
        [
            {"row": row, "column": column, "value": matrix.at[row, column]}
            for row in matrix.index
            for column in matrix.columns
        ]
    )
    return Figure(
        id=f"{prefix}-model-pairs",
        title="How alike the models rank countries",
        caption="Spearman's rho of mean ranks for each pair of models; intervals and "
        "tests are in summary.json.",
        alt="Matrix of rank correlations between models.",
        panels=(
            figures.heatmap(
                cells,
                name=f"{prefix}-model-pairs",
                scale=Scale(low=-1, middle=0, high=1, reverse=True),
                digits=2,
            ),
        ),
    )
