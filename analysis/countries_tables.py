"""Tables of one run of a country probe."""

from __future__ import annotations

import math
from typing import Any

from analysis import columns as col
from analysis import findings
from analysis.countries_axis import RunAnalysis
from analysis.countries_figures import times
from analysis.drawing import rows_of
from analysis.html import DASH, Cell, Table, interval, join_words, number_cell
from analysis.records import Record
from data_builders import countries

METRICS = {
    "spearman_order": "Spearman, poll as an order",
    "spearman": "Spearman, percentages (tie-aware)",
    "kendall": "Kendall tau-b",
    "spearman_order_positive": "\u2003positive questions alone",
    "spearman_order_negative": "\u2003negative questions alone",
    "valence_blind_poll": "Valence-blind: positive against negative, not reversed",
    "valence_blind": "Valence-blind: positive against negative, not reversed",
    "spearman_order_length": "Baseline: answer length alone",
}
"""Metric -> what a table calls it."""


def correlation_table(run: RunAnalysis, prefix: str) -> Table:
    """Every poll correlation of a run with both intervals and its yardsticks."""
    records = [
        (findings.poll_title(poll), record)
        for poll in run.polls
        for record in poll.records
    ]
    if run.valence_blind is not None:
        records.append(("All ranked countries", run.valence_blind))
    return col.table(
        id=f"{prefix}-correlations",
        title="Correlations with opinion polls",
        note="Two intervals for each: generalisation resamples countries and "
        "questions (the headline), measurement resamples questions only. p is a "
        "permutation test, adjusted by Holm over the polls.",
        columns=(
            col.text("Poll", lambda row: row[0]),
            col.text(
                "Statistic", lambda row: METRICS.get(row[1].metric, row[1].metric)
            ),
            *col.estimate("Estimate", lambda row: row[1], 3),
            col.text("Interval for", lambda row: _interval_name(row[1])),
            col.p("p", lambda row: row[1].p_value),
            col.holm("p (Holm)", lambda row: row[1]),
            col.count("n", lambda row: row[1].n),
        ),
        rows=records,
        frame=[record for _, record in records],
        sortable=True,
    )


def _interval_name(record: Record) -> str:
    if record.ci_low is None:
        return record.ci_method or DASH
    return "measurement" if record.cluster == "question" else "generalisation"


def confound_table(run: RunAnalysis, prefix: str) -> Table:
    """Every coefficient of both confound regressions."""
    table = run.confounds.table
    left_out = [countries.by_key(key).name for key in run.confounds.dropped]
    note = run.confounds.note
    if left_out:
        note += f" Left out for want of a covariate: {join_words(left_out)}."
    return col.table(
        id=f"{prefix}-confounds-table",
        title="Confound regressions",
        note=note,
        columns=(
            col.text("Term", lambda row: row.label),
            col.text("Regression", lambda row: times(row.model)),
            col.number("Estimate (SD)", lambda row: row.estimate, 3),
            col.interval(col.BOUNDS, lambda row: (row.ci_low, row.ci_high), 3),
            col.p("p", lambda row: row.p_value),
            col.holm(
                "p (Holm)",
                lambda row: findings.confound_record(run, row.method, row.term),
            ),
            col.count("n", lambda row: row.n),
            col.count("Countries", lambda row: row.n_countries),
            col.count("Questions", lambda row: row.n_questions),
        ),
        rows=rows_of(table),
        frame=table,
        folded=not table.empty,
        sortable=not table.empty,
    )


def rank_table(run: RunAnalysis, prefix: str) -> Table:
    """Every ranked country with its mean rank, win rate and oriented score."""
    ranks = run.ranks
    reference = None if run.reference is None else countries.by_key(run.reference)
    against = "Win rate" if reference is None else f"Win rate against {reference.name}"
    places = ranks["mean_rank"].rank(method="min")

    def won(row: Any) -> Cell:
        text = interval(100 * row.win_ci_low, 100 * row.win_ci_high, 0)
        return Cell(text=text, sort=row.win_ci_low, numeric=True)

    return col.table(
        id=f"{prefix}-ranks",
        title=f"Mean ranks of {findings.countries(len(ranks))}",
        note=f"Intervals of ranks: {run.rank_ci_method}. Win rate: share of questions "
        "on which the country is favoured over the reference; ties count half.",
        columns=(
            col.count("Place", lambda row: places[row.Index]),
            col.text("Country", lambda row: row.country),
            col.text("ISO3", lambda row: row.Index),
            col.number("Mean rank", lambda row: row.mean_rank),
            col.interval(col.BOUNDS, lambda row: (row.ci_low, row.ci_high), 1),
            col.number("Positive", lambda row: row.mean_rank_positive, 1),
            col.number("Negative", lambda row: row.mean_rank_negative, 1),
            (against, lambda row: _share_cell(row.win_rate)),
            (col.BOUNDS, won),
            col.number("Oriented score", lambda row: row.mean_score, 3),
            col.count("Questions", lambda row: row.n_questions),
        ),
        rows=rows_of(ranks),
        frame=ranks.reset_index(),
        folded=len(ranks) > 25,
        sortable=True,
        head_rows=False,
    )


def _share_cell(value: float) -> Cell:
    if math.isnan(value):
        return number_cell(None)
    return Cell(text=f"{100 * value:.0f}%", sort=value, numeric=True)
