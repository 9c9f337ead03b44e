"""Figures of one run of a country probe."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import figures, findings, worldmap
from analysis.countries_axis import PollResult, RunAnalysis
from analysis.drawing import Panel, Scale
from analysis.html import Block, Figure, join_words, number, slug
from analysis.records import Record
from data_builders import countries

ENDS = 20
"""Countries at each end in the short ranking."""
COLUMN_ROWS = 61
"""Most rows of one panel of the full ranking: 181 countries make three."""
VALENCE = {
    "spearman_order_positive": "Positive only",
    "spearman_order_negative": "Negative only",
    "valence_blind_poll": "Valence-blind",
}
"""Metric of a poll's valence records -> its row in a figure."""
METRICS_SPLIT = ("spearman_order_positive", "spearman_order_negative")
"""Those of them that are agreement with the poll."""


def map_figure(run: RunAnalysis, prefix: str, scale: Scale, *, reward: bool) -> Figure:
    """The world map of mean rank, or of the mean oriented score."""
    ranks = run.ranks
    column, digits = ("mean_score", 2) if reward else ("mean_rank", 1)
    what = "Mean oriented score" if reward else "Mean rank"
    values = pd.DataFrame(
        {
            "numeric": [countries.by_key(key).numeric for key in ranks.index],
            "value": ranks[column],
            "label": [
                f"{name}: {number(value, digits)}"
                for name, value in zip(ranks["country"], ranks[column], strict=True)
            ],
        },
        index=ranks.index,
    )
    unit = (
        "the model's score less its question's mean, reversed on negative questions"
        if reward
        else f"1 = most favoured of {len(ranks)}, {number(scale.middle, 1)} = no "
        "preference"
    )
    over = f"{what} over {findings.questions(run.counts.questions)}"
    return worldmap.map_figure(
        values[values["value"].notna()],
        name=f"{prefix}-map-{'score' if reward else 'rank'}",
        scale=scale,
        legend=over,
        digits=digits if reward else 0,
        title=f"{what} by country: {run.label}",
        caption=f"{over}; {unit}. Blue is favoured, orange disfavoured, grey has no "
        "data. A country's area says nothing about its weight here.",
        alt_text=f"World map of {what.lower()} for {run.label}. The numbers are in the "
        "table of mean ranks.",
        too_small="Ranked, and too small to be drawn at this scale:",
        folded=reward,
    )


def ranking_figures(run: RunAnalysis, prefix: str, scale: Scale) -> list[Block]:
    """The dot plots: both ends and, folded, every country; or all of a few."""
    ranks = run.ranks
    rows = pd.DataFrame(
        {
            "position": np.arange(1, len(ranks) + 1),
            "country": ranks["country"].to_numpy(),
            "value": ranks["mean_rank"].to_numpy(),
            "ci_low": ranks["ci_low"].to_numpy(),
            "ci_high": ranks["ci_high"].to_numpy(),
        }
    )
    ends = rows[["value", "ci_low", "ci_high"]].to_numpy()
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    room = 0.03 * (high - low) or 1.0
    domain = (low - room, high + room)
    bars = (
        "Bars are 95% intervals over questions."
        if ranks["ci_low"].notna().any()
        else f"No intervals: {run.rank_ci_method.removeprefix('none: ')}."
    )
    axis = "Mean rank (1 = most favoured)"

    def panel(part: pd.DataFrame, name: str, title: str | None = None) -> Panel:
        return figures.ranking(
            part,
            name=f"{prefix}-ranking-{name}",
            scale=scale,
            domain=domain,
            axis_title=axis,
            title=title,
        )

    caption = (
        f"Mean rank over {findings.questions(run.counts.questions)}. {bars} The dashed "
        f"line is no preference ({number(scale.middle, 1)})."
    )
    alt = (
        f"Countries by mean rank for {run.label}, from {rows['country'].iloc[0]} to "
        f"{rows['country'].iloc[-1]}."
    )
    short = len(rows) <= 2 * ENDS + 5
    parts = (
        [(rows, "all", None)]
        if short
        else [
            (rows.head(ENDS), "top", f"The {ENDS} most favoured"),
            (rows.tail(ENDS), "bottom", f"The {ENDS} least favoured"),
        ]
    )
    found: list[Block] = [
        Figure(
            id=f"{prefix}-ranking",
            title=f"Ranking: {run.label}"
            if short
            else f"Both ends of the ranking: {run.label}",
            caption=caption,
            alt=alt,
            panels=tuple(panel(*part) for part in parts),
        )
    ]
    if not short:
        columns = math.ceil(len(rows) / COLUMN_ROWS)
        size = math.ceil(len(rows) / columns)
        found.append(
            Figure(
                id=f"{prefix}-ranking-full",
                title=f"All {len(rows)} countries in order",
                caption=caption,
                alt=alt,
                panels=tuple(
                    panel(rows.iloc[i * size : (i + 1) * size], f"full-{i + 1}")
                    for i in range(columns)
                ),
                folded=True,
            )
        )
    return found


def agreement_figure(
    run: RunAnalysis, polls: Sequence[PollResult], prefix: str
) -> Figure:
    """Correlation with each poll beside what it has to be held against."""
    panels = []
    for poll in polls:
        lines: list[tuple[str, Record, Record | None, bool]]
        lines = [("All questions", poll.headline, poll.precision, False)]
        lines += [
            (VALENCE[record.metric], record, None, record.metric not in METRICS_SPLIT)
            for record in poll.valence
        ]
        lines.append(("Length alone", poll.length_baseline, None, True))
        panels.append(
            figures.intervals(
                interval_rows(lines),
                name=f"{prefix}-agreement-{slug(poll.poll.name)}",
                domain=(-1, 1),
                axis_title="Spearman's rho",
                title=f"{findings.poll_title(poll)} (n = {poll.n})",
            )
        )
    return Figure(
        id=f"{prefix}-agreement",
        title="Agreement with opinion polls, and what it has to be held against",
        caption="Rank correlation of mean ranks with each poll. Thin line: 95% "
        "interval with countries and questions resampled (would it hold for others?); "
        "shaded band: questions only (how precise is the measurement?). Hollow marks "
        "are what to hold it against: the valence-blind part is the correlation of "
        "raw ranks on positive with those on negative questions among the poll's "
        "countries, and length alone ranks countries by the length of the answer.",
        alt="; ".join(
            f"{findings.poll_title(poll)}: {findings.estimate_text(poll.headline)}"
            for poll in polls
        ),
        panels=tuple(panels),
    )


def interval_rows(
    lines: Sequence[tuple[str, Record, Record | None, bool]],
) -> pd.DataFrame:
    """Rows for `figures.intervals`: name, wide record, narrow record, hollow."""
    kept = [line for line in lines if line[1].estimate is not None]
    return pd.DataFrame(
        {
            "row": [name for name, *_ in kept],
            "estimate": [_float(wide.estimate) for _, wide, *_ in kept],
            "ci_low": [_float(wide.ci_low) for _, wide, *_ in kept],
            "ci_high": [_float(wide.ci_high) for _, wide, *_ in kept],
            "inner_low": [_float(n.ci_low if n else None) for _, _, n, _ in kept],
            "inner_high": [_float(n.ci_high if n else None) for _, _, n, _ in kept],
            "hollow": [hollow for *_, hollow in kept],
        }
    )


def _float(value: float | None) -> float:
    return math.nan if value is None else value


def scatter_figure(polls: Sequence[PollResult], prefix: str) -> Figure:
    """Mean rank against each poll, country by country."""
    panels = []
    for poll in polls:
        points = poll.points
        by_share = bool(points["share"].notna().all())
        panels.append(
            figures.scatter(
                pd.DataFrame(
                    {
                        "country": points["country"],
                        "x": points["share"] if by_share else points["poll_rank"],
                        "y": points["mean_rank"],
                        "y_low": points["ci_low"],
                        "y_high": points["ci_high"],
                    }
                ),
                name=f"{prefix}-poll-{slug(poll.poll.name)}",
                x_title="% of respondents favourable"
                if by_share
                else "Place in the poll (1 = most favoured)",
                y_title="Mean rank (1 = most favoured)",
                x_ticks=None if by_share else (1, 5, 10, 15, 20, 25, 30),
                reverse_x=not by_share,
                reverse_y=True,
                title=f"{findings.poll_title(poll)}: rho "
                f"{number(poll.headline.estimate)} (n = {poll.n})",
            )
        )
    return Figure(
        id=f"{prefix}-polls",
        title="Poll by poll",
        caption="Each point is a country of the poll; up is more favoured by the "
        "model, right more favoured by the respondents. Bars are 95% intervals over "
        "questions. rho is computed on the poll's order.",
        alt=f"Scatter plots of mean rank against "
        f"{join_words([findings.poll_title(poll) for poll in polls])}.",
        panels=tuple(panels),
    )


def valence_figure(run: RunAnalysis, prefix: str) -> Figure | None:
    """Ranks on positive against negative questions; None: not both kinds."""
    ranks = run.ranks.dropna(subset=["mean_rank_positive", "mean_rank_negative"])
    blind = run.valence_blind
    if blind is None or blind.estimate is None:
        return None
    gap = ranks["mean_rank_positive"] - ranks["mean_rank_negative"]
    order = gap.rank(method="first")
    count = min(5, len(ranks) // 3)
    named = (order <= count) | (order > len(ranks) - count)
    panel = figures.scatter(
        pd.DataFrame(
            {
                "country": ranks["country"],
                "x": ranks["mean_rank_positive"],
                "y": ranks["mean_rank_negative"],
            }
        ),
        name=f"{prefix}-valence",
        x_title="Mean rank on positive questions",
        y_title="Mean rank on negative questions",
        reverse_x=True,
        reverse_y=True,
        label=list(named),
        diagonal=True,
    )
    return Figure(
        id=f"{prefix}-valence",
        title="Does the ranking turn round when the question does?",
        caption="Each point is a country, its ranks already reversed on negative "
        "questions. A model that judged countries would put the points along the "
        "dashed line. Points across it, top left and bottom right, are names scored "
        "high, or low, whatever is asked (valence-blind "
        f"{findings.estimate_text(blind)}). Labels: the largest differences.",
        alt="Scatter plot of mean rank on positive against negative questions.",
        panels=(panel,),
    )


def confound_figure(run: RunAnalysis, prefix: str) -> Figure:
    """The coefficients of both confound regressions."""
    table = run.confounds.table
    bounds = table[["ci_low", "ci_high", "estimate"]].to_numpy(dtype=float)
    low, high = min(float(np.nanmin(bounds)), 0.0), max(float(np.nanmax(bounds)), 0.0)
    room = 0.05 * (high - low) or 1.0
    panels = []
    for model, rows in table.groupby("model", sort=False):
        count = rows.iloc[0]
        panels.append(
            figures.intervals(
                pd.DataFrame(
                    {
                        "row": rows["label"],
                        "estimate": rows["estimate"],
                        "ci_low": rows["ci_low"],
                        "ci_high": rows["ci_high"],
                        "inner_low": np.nan,
                        "inner_high": np.nan,
                        "hollow": False,
                    }
                ),
                name=f"{prefix}-confounds-{slug(str(model))}",
                domain=(low - room, high + room),
                axis_title="SD of the oriented score",
                label_space=185,
                title=f"{times(str(model)).capitalize()} (n = {number(count['n'], 0)})",
            )
        )
    return Figure(
        id=f"{prefix}-confounds",
        title="What the score goes with",
        caption="Coefficients of the confound regressions with 95% intervals, in "
        "standard deviations of the oriented score. Questions \u00d7 countries: every "
        "score, question means absorbed, errors clustered by question and by country. "
        "Country means: one row per country, HC3 errors. Associations, not causes.",
        alt="Coefficient plots of the two confound regressions; numbers in the table.",
        panels=tuple(panels),
    )


def times(text: str) -> str:
    """`questions x countries` with a real multiplication sign."""
    return text.replace(" x ", " \u00d7 ")
