"""Tables of one run of a country probe."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from analysis import findings
from analysis.countries_axis import RunAnalysis
from analysis.countries_figures import times
from analysis.drawing import rows_of
from analysis.html import (
    DASH,
    Cell,
    Table,
    interval_cell,
    join_words,
    number_cell,
    p_cell,
    text_cell,
)
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
    return Table(
        id=f"{prefix}-correlations",
        title="Correlations with opinion polls",
        note="Two intervals for each: generalisation resamples countries and "
        "questions (the headline), measurement resamples questions only. p is a "
        "permutation test, adjusted by Holm over the polls.",
        header=(
            "Poll",
            "Statistic",
            "Estimate",
            "95% interval",
            "Interval for",
            "p",
            "p (Holm)",
            "n",
        ),
        rows=tuple(
            (
                text_cell(name),
                text_cell(METRICS.get(record.metric, record.metric)),
                number_cell(record.estimate, 3),
                interval_cell(record.ci_low, record.ci_high, 3),
                text_cell(_interval_name(record)),
                p_cell(record.p_value),
                p_cell(record.p_holm),
                number_cell(record.n, 0),
            )
            for name, record in records
        ),
        frame=records_frame([record for _, record in records]),
        sortable=True,
    )


def _interval_name(record: Record) -> str:
    if record.ci_low is None:
        return record.ci_method or DASH
    return "measurement" if record.cluster == "question" else "generalisation"


def confound_table(run: RunAnalysis, prefix: str) -> Table:
    """Every coefficient of both confound regressions."""
    table = run.confounds.table
    rows = []
    for row in rows_of(table):
        record = findings.confound_record(run, str(row.method), str(row.term))
        rows.append(
            (
                text_cell(str(row.label)),
                text_cell(times(row.model)),
                number_cell(row.estimate, 3),
                interval_cell(row.ci_low, row.ci_high, 3),
                p_cell(row.p_value),
                p_cell(None if record is None else record.p_holm),
                number_cell(row.n, 0),
                number_cell(row.n_countries, 0),
                number_cell(row.n_questions, 0),
            )
        )
    left_out = [countries.by_key(key).name for key in run.confounds.dropped]
    note = run.confounds.note
    if left_out:
        note += f" Left out for want of a covariate: {join_words(left_out)}."
    return Table(
        id=f"{prefix}-confounds-table",
        title="Confound regressions",
        note=note,
        header=(
            "Term",
            "Regression",
            "Estimate (SD)",
            "95% interval",
            "p",
            "p (Holm)",
            "n",
            "Countries",
            "Questions",
        ),
        rows=tuple(rows),
        frame=table,
        folded=bool(rows),
        sortable=bool(rows),
    )


def rank_table(run: RunAnalysis, prefix: str) -> Table:
    """Every ranked country with its mean rank, win rate and oriented score."""
    ranks = run.ranks
    reference = None if run.reference is None else countries.by_key(run.reference)
    against = "Win rate" if reference is None else f"Win rate against {reference.name}"
    places = ranks["mean_rank"].rank(method="min")
    rows = tuple(
        (
            number_cell(position, 0),
            text_cell(row.country),
            text_cell(str(row.Index)),
            number_cell(row.mean_rank, 2),
            interval_cell(row.ci_low, row.ci_high, 1),
            number_cell(row.mean_rank_positive, 1),
            number_cell(row.mean_rank_negative, 1),
            _share_cell(row.win_rate),
            Cell(
                text=interval_cell(100 * row.win_ci_low, 100 * row.win_ci_high, 0).text,
                sort=row.win_ci_low,
                numeric=True,
            ),
            number_cell(row.mean_score, 3),
            number_cell(row.n_questions, 0),
        )
        for position, row in zip(places, rows_of(ranks), strict=True)
    )
    return Table(
        id=f"{prefix}-ranks",
        title=f"Mean ranks of {findings.countries(len(ranks))}",
        note=f"Intervals of ranks: {run.rank_ci_method}. Win rate: share of questions "
        "on which the country is favoured over the reference; ties count half.",
        header=(
            "Place",
            "Country",
            "ISO3",
            "Mean rank",
            "95% interval",
            "Positive",
            "Negative",
            against,
            "95% interval",
            "Oriented score",
            "Questions",
        ),
        rows=rows,
        frame=ranks.reset_index(),
        folded=len(rows) > 25,
        sortable=True,
        head_rows=False,
    )


def _share_cell(value: float) -> Cell:
    if math.isnan(value):
        return number_cell(None)
    return Cell(text=f"{100 * value:.0f}%", sort=value, numeric=True)


def records_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Records as a table with the schema's columns."""
    return pd.DataFrame([record.to_json() for record in records])
