"""MD3, games of several dialects, as a part of a report: figures, tables, models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import altair as alt
import pandas as pd

from analysis import columns as col
from analysis import figures, prose
from analysis.countries_figures import interval_rows
from analysis.dialects_md3_analysis import GamesRun, OutcomeResult, analyse_games
from analysis.dialects_md3_data import CHOICE, GUESS
from analysis.dialects_md3_findings import (
    HELD,
    SHARED,
    Standing,
    answers,
    dialect_name,
    games,
    headline_finding,
    outcome_name,
    run_findings,
    standing,
)
from analysis.drawing import BLUE, INK, Panel
from analysis.figures import padded
from analysis.html import (
    Block,
    Cell,
    Figure,
    Finding,
    Section,
    Table,
    interval,
    join_words,
    number,
    number_cell,
    text_cell,
    with_interval,
)
from analysis.load import Run
from analysis.part import ProbePart, RunPart, Step, Wanted, models_section
from analysis.records import Record
from analysis.wording import hundred, p_of, percent, points, result_text, side_of

COLOURS = ("#a3acb6", BLUE, "#d3782b", "#7fb3d3", "#8a3d07", "#c9a227")
"""Of dialects, the reference first; used again where there are more."""
LABEL_SPACE = 172
"""Pixels for the names of a forest plot's rows."""
BAR = 13
"""Pixels of a bar with its gap."""


Row = dict[str, str | float]
"""A row of `grouped_bars`."""


def grouped_bars(
    rows: pd.DataFrame, *, name: str, axis_title: str, title: str | None = None
) -> Panel:
    """Horizontal bars in groups, with intervals and a level of chance in each group.

    Args:
        rows: Columns group, bar, value (percent), ci_low, ci_high (NaN: not drawn) and
            chance (NaN: none), in the order in which groups and bars shall stand.
        name: File name of the panel.
        axis_title: Title of the horizontal axis.
        title: Title of the panel.
    """
    bars = list(dict.fromkeys(rows["bar"]))
    groups = list(dict.fromkeys(rows["group"]))
    data = rows.assign(
        tip=figures.tips(rows, lambda row: f"{row.group}, {row.bar}", unit="%")
    )
    high = float(data[["value", "ci_high", "chance"]].max().max())
    scale = alt.Scale(domain=[0.0, min(100.0, 1.04 * high) or 1.0], nice=False)
    y = figures.names_axis("group:N", 120, paddingInner=0.22, paddingOuter=0.1)
    offset = alt.YOffset("bar:N", sort=bars, scale=alt.Scale(paddingInner=0.15))
    base = alt.Chart(alt.NamedData(name="rows"))
    layers = [
        base.mark_bar().encode(
            y=y,
            yOffset=offset,
            x=alt.X(
                "value:Q", title=axis_title, scale=scale, axis=alt.Axis(tickCount=5)
            ),
            color=alt.Color(
                "bar:N",
                scale=alt.Scale(
                    domain=bars,
                    range=[COLOURS[i % len(COLOURS)] for i in range(len(bars))],
                ),
                legend=alt.Legend(
                    title=None, orient="top", columns=2, symbolType="square"
                ),
            ),
            description="tip:N",
        ),
        figures.span(
            base,
            alt.X("ci_low:Q", title=axis_title, scale=scale),
            "ci_low",
            "ci_high",
            y={"y": y, "yOffset": offset},
            stroke=INK,
            strokeWidth=1.2,
        ),
    ]
    height = len(groups) * (BAR * len(bars) + 10)
    if data["chance"].notna().any():
        layers.append(
            base.transform_filter("isValid(datum.chance)")
            .mark_tick(
                color=INK,
                thickness=1.4,
                size=0.9 * height / len(groups),
            )
            .encode(y=y, x=alt.X("chance:Q", title=axis_title, scale=scale))
        )
    chart = alt.layer(*layers).properties(width=190, height=height)
    return figures.titled(chart, name, data, title)


def _bar_rows(run: GamesRun, groups: Sequence[str], keys: Sequence[str]) -> list[Row]:
    """Rows of `grouped_bars`: the outcomes `keys` of a run, named `groups`."""
    found: list[Row] = []
    for group, key in zip(groups, keys, strict=True):
        for one in run.outcomes:
            if one.outcome.key != key:
                continue
            chance = one.outcome.chance
            found += [
                {
                    "group": group,
                    "bar": dialect_name(result.dialect),
                    "value": figures.percent_of(result.accuracy.estimate),
                    "ci_low": figures.percent_of(result.accuracy.ci_low),
                    "ci_high": figures.percent_of(result.accuracy.ci_high),
                    "chance": figures.percent_of(chance),
                }
                for result in one.dialects
            ]
    return found


CHANCE = (
    " The upright line across the bars of a choice is chance: picking one of the words "
    "at random. A guess has no such level."
)


def accuracy_figure(run: GamesRun, prefix: str) -> Figure:
    """Games won per outcome and dialect."""
    keys = [one.outcome.key for one in run.outcomes]
    rows = _bar_rows(run, [outcome_name(run, key) for key in keys], keys)
    return Figure(
        id=f"{prefix}-accuracy",
        title="Games won, by dialect",
        caption="Share of games in which the secret word is guessed or picked, with "
        "95% intervals (Wilson, of the effective number of games by answer). The games "
        "of the dialects are different games: some are easier whatever the dialect."
        + CHANCE,
        alt=f"Bars of games won by dialect for {run.label}; the numbers are in the "
        "table.",
        panels=(
            grouped_bars(
                pd.DataFrame(rows),
                name=f"{prefix}-accuracy-bars",
                axis_title="Games won, %",
            ),
        ),
    )


def across_figure(runs: Sequence[GamesRun], prefix: str) -> Figure:
    """Games won per model and dialect, a panel for each outcome."""
    keys = list(dict.fromkeys(one.outcome.key for r in runs for one in r.outcomes))
    panels = []
    for key in keys:
        rows = [row for run in runs for row in _bar_rows(run, [run.label], [key])]
        title = next(
            outcome_name(run, key)
            for run in runs
            if key in {one.outcome.key for one in run.outcomes}
        )
        panels.append(
            grouped_bars(
                pd.DataFrame(rows),
                name=f"{prefix}-models-{key}",
                axis_title="Games won, %",
                title=title,
            )
        )
    return Figure(
        id=f"{prefix}-models",
        title="Games won, by model and dialect",
        caption="Share of games won with 95% intervals, as in each model's own part."
        + CHANCE,
        alt="Bars of games won by model and dialect; the numbers are in the table.",
        panels=tuple(panels),
    )


def forest_figure(run: GamesRun, prefix: str) -> Figure | None:
    """Differences from the reference, three ways; None: none has an interval."""
    reference = dialect_name(run.games.reference)
    panels = []
    for one in run.outcomes:
        lines = [
            (f"{dialect_name(gap.dialect)}: {kind}", record, None, not side_of(record))
            for gap in one.gaps
            for kind, record in (
                ("all games", gap.raw),
                ("adjusted", gap.adjusted),
                ("shared answers", gap.shared),
            )
        ]
        rows = interval_rows(lines)
        if rows.empty or rows["ci_low"].isna().all():
            continue
        columns = ["estimate", "ci_low", "ci_high"]
        rows[columns] = 100 * rows[columns]
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-differences-{one.outcome.key}",
                domain=padded(rows, 0.0),
                axis_title=f"Less {reference}, points",
                title=outcome_name(run, one.outcome.key),
                label_space=LABEL_SPACE,
                digits=1,
            )
        )
    if not panels:
        return None
    return Figure(
        id=f"{prefix}-differences",
        title=f"Each dialect less {reference}",
        caption=f"Left of the dashed line games in {reference} are won more often. All "
        "games: as they are. Adjusted: with transcript length and answer frequency "
        "held. Shared answers: within answers asked in both dialects. Filled: shown, "
        "by the interval and by p below 5% after Holm; hollow: not shown. Lines are "
        "95% intervals over answers, unadjusted.",
        alt=f"Forest plot of differences from {reference} for {run.label}; the numbers "
        "are in the table.",
        panels=tuple(panels),
    )


def accuracy_table(run: GamesRun, prefix: str) -> Table:
    """Every outcome and dialect: games, answers, share won, margin."""
    units = [one.outcome.unit for one in run.outcomes if one.outcome.unit]
    said = sum(one.answer_said for one in run.covariates)
    rows = [(one, result) for one in run.outcomes for result in one.dialects]
    unsaid = col.value("Not said, %", lambda row: row[1].unsaid, 1, 100)
    margin = col.estimate("Mean margin", lambda row: row[1].margin)
    return col.table(
        id=f"{prefix}-accuracies",
        title="Games won",
        note="Choice: the word with the highest score is the secret word; a tie counts "
        "as one over the number of words tied. Intervals are 95%: of shares Wilson's, "
        "of the effective number of games by answer; of margins a bootstrap of answers."
        + (
            " Margin: score of the secret word less that of the best other word, in "
            f"{units[0]}"
            + (" (per token in the last rows)" if len(set(units)) > 1 else "")
            + "."
            if units
            else ""
        )
        + (
            f" Not said: without the {said} whose transcript still holds the answer."
            if said
            else ""
        ),
        columns=[
            col.text("Outcome", lambda row: outcome_name(run, row[0].outcome.key)),
            col.text("Dialect", lambda row: dialect_name(row[1].dialect)),
            col.count("Games", lambda row: row[1].accuracy.n),
            col.count("Answers", lambda row: row[1].accuracy.n_clusters),
            *col.estimate("Won, %", lambda row: row[1].accuracy, 1, 100),
            col.number("Chance, %", lambda row: hundred(row[0].outcome.chance), 1),
            *([unsaid] if said else []),
            *(margin if units else ()),
        ],
        rows=rows,
        frame=[record for _, result in rows for record in result.records],
    )


KINDS = ("all games", "adjusted", "shared answers")
"""Of differences, in the order of `Gap.records`."""


def difference_table(run: GamesRun, prefix: str) -> Table:
    """Each dialect less the reference, three ways."""
    reference = dialect_name(run.games.reference)
    rows = [
        (one, gap, kind, record)
        for one in run.outcomes
        for gap in one.gaps
        for kind, record in zip(KINDS, gap.records[:-1], strict=True)
    ]
    return col.table(
        id=f"{prefix}-gaps",
        title=f"Each dialect less {reference}",
        note=f"In points; negative means that games in {reference} are won more often. "
        "Adjusted: a linear probability model with the logarithm of the transcript's "
        "words and the answer's Zipf frequency. Shared answers: the mean over answers "
        "asked in both dialects of the difference within the answer. Intervals are "
        "95%, answers resampled, unadjusted; p is Student's t on a standard error "
        "clustered by answer, Holm's over models and dialects of the same outcome and "
        f"kind. Detectable: the smallest fall below {reference} that so many games "
        "show in four cases of five, before Holm.",
        columns=[
            col.text("Outcome", lambda row: outcome_name(run, row[0].outcome.key)),
            col.text("Dialect", lambda row: dialect_name(row[1].dialect)),
            col.text("Games used", lambda row: row[2]),
            col.count("Games", lambda row: row[3].n),
            col.count("Answers", lambda row: row[3].n_clusters),
            *col.estimate("Difference", lambda row: row[3], 1, 100),
            col.p("p", lambda row: row[3].p_value),
            col.holm("p (Holm)", lambda row: row[3]),
            col.text("Result", lambda row: result_text(row[3])),
            col.value(
                "Detectable",
                lambda row: row[1].detectable if row[3] is row[1].raw else None,
                1,
                100,
            ),
        ],
        rows=rows,
        frame=[r for one in run.outcomes for gap in one.gaps for r in gap.records],
    )


def game_table(run: GamesRun, prefix: str) -> Table:
    """What else the games of the dialects differ in."""
    return col.table(
        id=f"{prefix}-games",
        title="The games of each dialect",
        note="Means with 95% intervals, answers resampled. Frequency: of the answer in "
        "English, Zipf scale (log10 per billion words). Still said: games whose "
        "transcript holds the answer. No guess right: the answer holds a forbidden "
        "word, so that every guess counts as wrong.",
        columns=[
            col.text("Dialect", lambda one: dialect_name(one.dialect)),
            col.count("Games", lambda one: one.n),
            col.count("Answers", lambda one: one.n_answers),
            *col.estimate("Words of transcript", lambda one: one.words, 1),
            *col.estimate("Frequency", lambda one: one.zipf),
            col.count("Still said", lambda one: one.answer_said),
            col.count("No guess right", lambda one: one.unguessable),
        ],
        rows=run.covariates,
        frame=[record for one in run.covariates for record in (one.words, one.zipf)],
    )


def spread_table(run: GamesRun, prefix: str) -> Table | None:
    """Best minus worst dialect; None: nowhere two dialects to compare."""
    known = [(one, one.spread) for one in run.outcomes if one.spread is not None]
    if not known:
        return None
    return col.table(
        id=f"{prefix}-disparity",
        title="Best minus worst dialect",
        note="In points. Even if all dialects were alike, some one would be best: "
        "chance is the mean under permuted dialects, and p the share of permutations "
        "that differ at least as much, Holm's over models. The interval resamples "
        "games within dialects; it never falls below zero and is no test.",
        columns=[
            col.text("Outcome", lambda row: outcome_name(run, row[0].outcome.key)),
            col.count("Games", lambda row: row[1].observed.n),
            # Of dialects that are all alike none is the best.
            col.text(
                "Best",
                lambda row: row[1].observed.estimate and dialect_name(row[1].best),
            ),
            col.text(
                "Worst",
                lambda row: row[1].observed.estimate and dialect_name(row[1].worst),
            ),
            *col.estimate("Best \u2212 worst", lambda row: row[1].observed, 1, 100),
            col.value("By chance", lambda row: row[1].permuted, 1, 100),
            col.p("p", lambda row: row[1].observed.p_value),
            col.holm("p (Holm)", lambda row: row[1].observed),
        ],
        rows=known,
        frame=[record for _, one in known for record in (one.observed, one.permuted)],
        folded=True,
    )


def across_table(runs: Sequence[GamesRun], prefix: str) -> Table:
    """A row per model and outcome: games won in each dialect, and the largest gap."""
    dialects = list(dict.fromkeys(d for run in runs for d in run.games.dialects))
    rows = [(run, one) for run in runs for one in run.outcomes]

    def share(dialect: str) -> Callable[[tuple[GamesRun, OutcomeResult]], Cell]:
        return lambda row: _share_cell(
            next((r.accuracy for r in row[1].dialects if r.dialect == dialect), None)
        )

    return col.table(
        id=f"{prefix}-across",
        title="The models side by side",
        note="Games won in each dialect, %, with 95% intervals (Wilson, of the "
        "effective number of games by answer). Largest difference from the reference "
        "dialect in points, and the smallest p of its outcome, Holm's over models and "
        "dialects.",
        columns=[
            col.text("Model", lambda row: row[0].label),
            col.text("Outcome", lambda row: outcome_name(row[0], row[1].outcome.key)),
            col.count(
                "Games", lambda row: sum(one.accuracy.n for one in row[1].dialects)
            ),
            *((dialect_name(name), share(name)) for name in dialects),
            ("Largest difference", lambda row: _largest(row[1])),
            col.p("Smallest p (Holm)", lambda row: _smallest_p(row[1])),
        ],
        rows=rows,
        frame=[
            record
            for _, one in rows
            for record in (
                *(result.accuracy for result in one.dialects),
                *(gap.raw for gap in one.gaps),
            )
        ],
        sortable=True,
    )


def _share_cell(record: Record | None) -> Cell:
    if record is None or record.estimate is None:
        return number_cell(None)
    return with_interval(
        Cell(text=percent(record.estimate), sort=record.estimate, numeric=True),
        interval(hundred(record.ci_low), hundred(record.ci_high), 0),
    )


def _largest(one: OutcomeResult) -> Cell:
    gap = max(one.gaps, key=lambda gap: abs(gap.raw.estimate or 0.0))
    if gap.raw.estimate is None:
        return text_cell(None)
    text = f"{points(gap.raw.estimate)} ({dialect_name(gap.dialect)})"
    return Cell(text=text, sort=gap.raw.estimate)


def _smallest_p(one: OutcomeResult) -> float | None:
    known = [p for gap in one.gaps if (p := p_of(gap.raw)) is not None]
    return min(known, default=None)


def across_findings(runs: Sequence[GamesRun]) -> tuple[Finding, ...]:
    """In how many models each dialect falls behind; none for one run."""
    if len(runs) < 2:
        return ()
    found = (_across_finding(runs, key) for key in (GUESS, CHOICE))
    return tuple(one for one in found if one is not None)


def _across_finding(runs: Sequence[GamesRun], key: str) -> Finding | None:
    """One outcome over models; None: fewer than two have it."""
    standings: dict[str, dict[str, Standing]] = {}
    models = []
    for run in runs:
        for one in run.outcomes:
            if one.outcome.key != key:
                continue
            models.append(run.label)
            for gap in one.gaps:
                pair = (
                    f"{dialect_name(gap.dialect)} than in "
                    f"{dialect_name(run.games.reference)}"
                )
                standings.setdefault(pair, {})[run.label] = standing(gap)
    if len(models) < 2:
        return None
    every = [one for by_model in standings.values() for one in by_model.values()]
    behind = {
        name
        for by_model in standings.values()
        for name, (side, _) in by_model.items()
        if side < 0
    }
    held = any(side < 0 and not lost for side, lost in every)
    references = list(dict.fromkeys(dialect_name(r.games.reference) for r in runs))
    reference = references[0] if len(references) == 1 else "its reference"
    word = "is guessed" if key == GUESS else "is picked out"
    less = f"less often in games in some dialect than in {reference}"
    return Finding(
        claim=f"The secret word {word} {less} by {len(behind)} of {len(models)} models."
        if behind
        else f"That the secret word {word} {less} is shown for none of {len(models)} "
        "models.",
        evidence=tuple(
            _across_text(pair, by_model) for pair, by_model in standings.items()
        ),
        certainty="supported" if held else "uncertain" if behind else "not shown",
    )


def _across_text(pair: str, by_model: Mapping[str, Standing]) -> str:
    """Which models win less often in a dialect, and which more often."""
    behind = [name for name, (side, _) in by_model.items() if side < 0]
    held = [name for name, (side, lost) in by_model.items() if side < 0 and not lost]
    ahead = [name for name, (side, _) in by_model.items() if side > 0]
    text = f"Less often in {pair}: {join_words(behind) or 'none'}"
    if behind:
        text += f" (also {HELD} and {SHARED}: {join_words(held) or 'none'})"
    if ahead:
        text += f"; more often: {join_words(ahead)}"
    return f"{text}."


def md3_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe of games.

    Raises:
        DataError: A run has no games of two dialects, or none with scores.
        StoreError: A run's items or scores cannot be read.
    """
    analysed = analyse_games(runs, reference=wanted.reference_dialect, step=step)
    return ProbePart(
        section=_section(analysed, id=id, title=title, step=step),
        runs=tuple(
            RunPart(
                path=run.games.run.path,
                label=run.label,
                probe=run.games.run.manifest.probe,
                items=len(run.games.dialect),
                groups=len(run.games.dialects),
                findings=run_findings(run),
                short=headline_finding(run),
                headline=run.headline,
                headline_name=_headline_name(run),
            )
            for run in analysed
        ),
        across=across_findings(analysed),
        records=tuple(record for run in analysed for record in run.records),
        subject="In which of "
        f"{max(len(run.games.dialects) for run in analysed)} dialects of English the "
        "secret word of a game is understood from the players' talk",
    )


def _headline_name(run: GamesRun) -> str:
    group = dialect_name(run.headline.group or "")
    won = "guessed right" if run.outcomes[0].outcome.key == GUESS else "picked right"
    return (
        f"share {won}, {group} \u2212 {dialect_name(run.games.reference)}, the largest "
        "difference"
    )


def _section(runs: Sequence[GamesRun], *, id: str, title: str, step: Step) -> Section:
    """Across models first, then each run."""
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="read the same games",
        across=lambda: (across_table(runs, id), across_figure(runs, id)),
        method=prose.method("dialects_md3"),
        caveats=prose.caveats("dialects_md3"),
        step=step,
    )


def _lead(run: GamesRun) -> str:
    table = run.games
    keys = {one.outcome.key for one in run.outcomes}
    counts = [
        f"{games(one.n)} in {dialect_name(one.dialect)}" for one in run.covariates
    ]
    how = []
    if GUESS in keys:
        how.append(
            "Guess: what the model writes when asked for the word, right if it holds "
            "the answer and no forbidden word."
        )
    if keys != {GUESS}:
        how.append(
            "Choice: whether the answer scores highest among the answer and the "
            "forbidden words."
        )
    if CHOICE in keys and len(keys - {GUESS}) > 1:
        how.append(
            "A policy's words are ranked by summed log-probability, and beside it by "
            "its mean per token."
        )
    said = int(table.answer_said.sum())
    still = (
        f" {number(said, 0)} of the games still hold{'s' if said == 1 else ''} the "
        "answer in the transcript."
        if said
        else ""
    )
    return (
        f"Players describe a secret word to each other: {join_words(counts)}, with "
        f"{answers(len(set(table.answer)))} in all. The model reads the talk up to the "
        f"answer.{still} {' '.join(how)} Differences are a dialect less "
        f"{dialect_name(table.reference)}: negative means that games in "
        f"{dialect_name(table.reference)} are won more often."
    )


def _blocks(run: GamesRun, prefix: str) -> list[Block | None]:
    return [
        accuracy_figure(run, prefix),
        forest_figure(run, prefix),
        accuracy_table(run, prefix),
        difference_table(run, prefix),
        game_table(run, prefix),
        spread_table(run, prefix),
    ]
