"""Learning curves as a section of a report: curves, their ends, and who is first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import altair as alt
import pandas as pd

from analysis import columns as col
from analysis import prose
from analysis.doseresponse_sweep import STAGES
from analysis.drawing import BLUE, Panel, json_rows, render
from analysis.html import (
    Block,
    Cell,
    Certainty,
    Figure,
    Finding,
    Page,
    Section,
    Table,
    interval,
    join_words,
    number,
    number_cell,
    slugs,
    with_interval,
)
from analysis.learning import ALL, MARGINS, MIN_KEYS, GroupCurve, Learning, SeedCurve
from analysis.paired import Interval
from analysis.report import DOWNLOADS, Report, write_page, written_by
from analysis.resample import Floats
from analysis.wording import count_of, percent

COLOURS = (
    BLUE,
    "#d3782b",
    "#7fb3d3",
    "#8a3d07",
    "#5c6773",
    "#c9a227",
    "#3f7f4f",
    "#9b5a8f",
)
MOST_LINES = len(COLOURS)
"""Groups that a panel draws; the table has all."""


def training_words(one: Learning) -> str:
    """``SFT, treatment, share 50%``."""
    share = "" if one.share is None else f", share {percent(one.share)}"
    source = f"{one.source}, " if one.source else ""
    return f"{source}{STAGES.get(one.stage, one.stage)}, {one.arm}{share}"


def accuracy_figure(curves: Sequence[Learning], prefix: str) -> Figure:
    """Accuracy against the step by group, a panel for each stage, arm and share.

    Args:
        curves: Of one column.
        prefix: Of the figure's id and files.
    """
    every = _drawn_values(curves, _accuracy)
    domain = max(0.0, min(every) - 3), min(100.0, max(every) + 3)
    return Figure(
        id=f"{prefix}-curves",
        title=f"Held-out accuracy in training{_by(curves)}",
        caption=_caption(curves),
        alt="Lines of accuracy on held-out pairs against the training step; the ends "
        "are in the table.",
        panels=tuple(
            _panel(
                one,
                f"{prefix}-{name}",
                _shown(curves, one),
                _accuracy,
                "% right",
                domain,
            )
            for one, name in zip(curves, _names(curves), strict=True)
        ),
    )


def margin_figure(curves: Sequence[Learning], prefix: str) -> Figure:
    """Mean margin against the step by group, panels as of `accuracy_figure`.

    Panels of one stage share their scale, which has zero in it: stages differ in unit.

    Args:
        curves: Of one column.
        prefix: Of the figure's id and files.
    """
    domains = {}
    for stage in {one.stage for one in curves}:
        of_stage = [one for one in curves if one.stage == stage]
        every = [0.0, *_drawn_values(of_stage, _margin)]
        room = 0.05 * (max(every) - min(every)) or 1.0
        domains[stage] = min(every) - room, max(every) + room
    return Figure(
        id=f"{prefix}-margins",
        title=f"Held-out margin in training{_by(curves)}",
        caption="Mean over pairs of the chosen answer's reward less that of the "
        "rejected one: above zero, the chosen one scores higher. "
        + ("DPO's are implicit rewards, alike at step 0. " if "dpo" in domains else "")
        + _caption(curves),
        alt="Lines of the mean margin of held-out pairs against the training step; the "
        "ends are in the table.",
        panels=tuple(
            _panel(
                one,
                f"{prefix}-{name}-margin",
                _shown(curves, one),
                _margin,
                f"mean margin ({MARGINS.get(one.stage, one.stage)})",
                domains[one.stage],
            )
            for one, name in zip(curves, _names(curves), strict=True)
        ),
    )


def _accuracy(seed: SeedCurve) -> Floats:
    return 100 * seed.accuracy


def _margin(seed: SeedCurve) -> Floats:
    return seed.margin


def _drawn_values(
    curves: Sequence[Learning], values: Callable[[SeedCurve], Floats]
) -> list[float]:
    return [
        float(value)
        for one in curves
        for group in one.groups
        if group.group in _shown(curves, one)
        for seed in group.seeds
        for value in values(seed)
    ]


def _shown(curves: Sequence[Learning], one: Learning) -> list[str]:
    """Groups that a panel draws, in all in the same colour unless these are too few."""
    every = dict.fromkeys(group.group for one in curves for group in one.groups)
    if len(every) <= MOST_LINES:
        return list(every)
    return [group.group for group in one.groups[:MOST_LINES]]


def _by(curves: Sequence[Learning]) -> str:
    column = curves[0].column
    return "" if column == ALL else f", by {column}"


def _names(curves: Sequence[Learning]) -> list[str]:
    return slugs([one.key for one in curves])


def _caption(curves: Sequence[Learning]) -> str:
    most = max(len(one.groups) for one in curves)
    several = any(len(group.seeds) > 1 for one in curves for group in one.groups)
    return (
        ("Thick: mean over seeds; thin: each seed. " if several else "")
        + "Lines are straight between the steps that were measured."
        + (f" Drawn are {MOST_LINES} groups at most." if most > MOST_LINES else "")
    )


def _panel(
    one: Learning,
    name: str,
    shown: Sequence[str],
    values: Callable[[SeedCurve], Floats],
    title: str,
    domain: tuple[float, float],
) -> Panel:
    drawn = [group for group in one.groups if group.group in shown]
    frames = []
    for group in drawn:
        for seed in group.seeds:
            frames.append(
                pd.DataFrame(
                    {
                        "group": group.group,
                        "line": f"{group.group} {seed.seed}",
                        "step": seed.steps,
                        "value": values(seed),
                        "mean": False,
                    }
                )
            )
        # Seeds are averaged where all were measured.
        every = pd.concat(frames[-len(group.seeds) :])
        counted = every.groupby("step")["value"].agg(["mean", "size"])
        whole = counted[counted["size"] == len(group.seeds)]
        frames.append(
            pd.DataFrame(
                {
                    "group": group.group,
                    "line": group.group,
                    "step": whole.index.to_numpy(),
                    "value": whole["mean"].to_numpy(),
                    "mean": True,
                }
            )
        )
    rows = pd.concat(frames, ignore_index=True)
    base = alt.Chart(alt.NamedData(name="rows"))
    encoded = {
        "x": alt.X("step:Q", title="Training step", axis=alt.Axis(tickCount=5)),
        "y": alt.Y(
            "value:Q",
            title=title,
            scale=alt.Scale(domain=list(domain), nice=False, zero=False),
            axis=alt.Axis(tickCount=5),
        ),
        "detail": "line:N",
        "color": alt.Color(
            "group:N",
            scale=alt.Scale(
                domain=list(shown),
                range=list(COLOURS[: len(shown)]),
            ),
            legend=alt.Legend(
                title=None,
                orient="bottom",
                columns=2,
                symbolType="stroke",
                symbolOpacity=1,
                symbolStrokeWidth=2,
            )
            if len(shown) > 1
            else None,
        ),
    }
    chart = alt.layer(
        base.transform_filter("!datum.mean")
        .mark_line(strokeWidth=0.8, opacity=0.45)
        .encode(**encoded),
        base.transform_filter("datum.mean")
        .mark_line(strokeWidth=2.4)
        .encode(**encoded),
    ).properties(width=235, height=170, title=training_words(one))
    return render(chart, name, {"rows": json_rows(rows)})


def trainings_table(curves: Sequence[Learning]) -> Table:
    """Trainings, and what their pairs are grouped by."""
    frame = [
        {
            "training": one.key,
            "column": one.column,
            "seeds": max(len(group.seeds) for group in one.groups),
            "last_step": max(
                float(seed.steps[-1]) for g in one.groups for seed in g.seeds
            ),
            "groups": len(one.groups),
        }
        for one in curves
    ]
    return col.table(
        id="curves",
        title="Trainings",
        note="",
        columns=[
            col.text("Training", lambda row: training_words(row[0])),
            col.text("Pairs by", lambda row: row[0].column),
            col.count("Seeds", lambda row: row[1]["seeds"]),
            col.count("Last step", lambda row: row[1]["last_step"]),
            col.count("Groups", lambda row: row[1]["groups"]),
        ],
        rows=zip(curves, frame, strict=True),
        frame=pd.DataFrame(frame),
    )


def ends_table(curves: Sequence[Learning], prefix: str) -> Table:
    """What each group came to, with its intervals.

    Args:
        curves: Of one column.
        prefix: Of the table's id.
    """
    rows = [(one, group) for one in curves for group in one.groups]
    frame = [
        {
            "stage": one.stage,
            "arm": one.arm,
            "share": one.share,
            "column": one.column,
            "group": group.group,
            "n": group.n,
            "n_keys": group.n_keys,
            "seed": seed.seed,
            "start": seed.accuracy[0],
            "final": seed.accuracy[-1],
            "final_margin": seed.margin[-1],
            "half_gain_step": seed.half,
            **_repeated("final", group.final),
            **_repeated("gain", group.gain),
            "gain_shown": group.gains,
            **_repeated("margin", group.margin),
            **_repeated("half", group.half),
        }
        for one, group in rows
        for seed in group.seeds
    ]
    column = curves[0].column
    return col.table(
        id=f"{prefix}-ends",
        title="What was learned, and when"
        + ("" if column == ALL else f", by {column}"),
        note="Means over seeds with 95% intervals over prompts; over seeds: the lowest "
        "and the highest. Accuracy in %, gain in points. Margin: after training, "
        f"{_units(curves)}. Half of the gain: the step at which the accuracy was half "
        "way from step 0 to the end, in groups that are shown to gain. The csv file "
        "has every seed.",
        columns=[
            col.text("Group", lambda row: row[1].group),
            col.text("Training", lambda row: training_words(row[0])),
            col.count("Pairs", lambda row: row[1].n),
            col.count("Prompts", lambda row: row[1].n_keys),
            col.count("Seeds", lambda row: len(row[1].seeds)),
            col.number("Step 0", lambda row: 100 * row[1].start, 1),
            _bounded("After training", lambda row: row[1].final, 100, 1),
            col.text("Over seeds", lambda row: interval(*_hundreds(row[1].finals), 1)),
            _bounded("Gain", lambda row: row[1].gain, 100, 1),
            _bounded("Margin", lambda row: row[1].margin, 1, 3),
            _bounded("Half of the gain at", lambda row: row[1].half, 1, 0),
        ],
        rows=rows,
        frame=pd.DataFrame(frame),
        folded=len(rows) > 24,
        sortable=True,
    )


def bounds_text(value: Interval, times: float, digits: int) -> str:
    """``52.1 to 71.0``, multiplied by `times`."""
    return interval(times * value.low, times * value.high, digits)


def _hundreds(ends: tuple[float, float]) -> tuple[float, float]:
    return 100 * ends[0], 100 * ends[1]


def _bounded(head: str, of: col.Of, times: float, digits: int) -> col.Column:
    """An estimate multiplied by `times`, with its interval where there is one."""

    def cell(row: object) -> Cell:
        value: Interval = of(row)
        around = bounds_text(value, times, digits)
        return with_interval(number_cell(times * value.estimate, digits), around)

    return head, cell


def _repeated(name: str, value: Interval) -> dict[str, float]:
    """Columns of a mean over seeds, which all rows of a group repeat."""
    return {
        f"{name}_mean": value.estimate,
        f"{name}_low": value.low,
        f"{name}_high": value.high,
    }


def _units(curves: Sequence[Learning]) -> str:
    stages = dict.fromkeys(one.stage for one in curves)
    return "in units of the " + join_words([MARGINS.get(one, one) for one in stages])


MOST_ORDERS = 4
"""Orders of two groups that a finding names."""


def learning_section(curves: Sequence[Learning], id: str = "learning") -> Section:
    """Curves of every column and arm, with what they show.

    Args:
        curves: From `learning.read_curves`, at least one.
        id: Of the section; prefix of the ids and files below it.
    """
    columns = list(dict.fromkeys(one.column for one in curves))
    orders = sum(one.orders for one in curves)
    blocks: list[Block] = []
    for column, name in zip(columns, slugs(columns), strict=True):
        here = [one for one in curves if one.column == column]
        blocks.append(accuracy_figure(here, f"{id}-{name}"))
        blocks.append(margin_figure(here, f"{id}-{name}"))
        blocks.append(ends_table(here, f"{id}-{name}"))
    return Section(
        id=id,
        title="Learning curves",
        lead="How often the chosen answer of pairs that were held out of training "
        "scores above the rejected one (accuracy), and by how much (margin), step by "
        "step.",
        findings=tuple(
            finding
            for one in curves
            if one.column != ALL and len(one.groups) > 1
            for finding in (order_finding(one, orders),)
        ),
        blocks=tuple(blocks),
        method=prose.method("learning", keys=MIN_KEYS),
    )


def write_learning(curves: Sequence[Learning], out: Path) -> Report:
    """Writes a page of learning curves alone, such as of a training without shares.

    Args:
        curves: From `learning.read_curves`.
        out: Folder to write; files of an earlier report there are replaced.

    Raises:
        StoreError: `out` cannot be written.
    """
    section = learning_section(curves)
    page = Page(
        title="What is learned first",
        subtitle="Accuracy and margin on held-out pairs in training.",
        overview=trainings_table(curves),
        warnings=(),
        notes=(),
        findings=section.findings,
        sections=(dataclasses.replace(section, findings=()),),
        method=section.method,
        caveats=(
            "Held-out pairs are of the mix that was trained on: nothing is said of "
            "other data, nor of another base.",
        ),
        provenance=(),
        generated=written_by(),
        kind="learning curves",
        downloads=DOWNLOADS,
    )
    records = [record for one in curves for record in one.records]
    return write_page(page, records, out)


def order_finding(one: Learning, orders: int) -> Finding:
    """Which group reaches half of its gain before which other one.

    Args:
        one: A stage, arm and share.
        orders: That could have been told, on the whole page.
    """
    earlier = one.earlier(orders)
    certainty: Certainty = "not shown"
    seeds = min(len(group.seeds) for group in one.groups)
    where = f"{training_words(one)}, by {one.column}"
    told = [group.group for group in one.comparable]
    if earlier:
        named = [f"{first} before {second}" for first, second in earlier[:MOST_ORDERS]]
        more = len(earlier) - len(named)
        if more:
            named.append(f"{more} more orders")
        each = f"in each of {seeds} seeds" if seeds > 1 else "in the one seed there is"
        claim = (
            f"{where}: half of the gain is reached {each}, and beyond chance over "
            f"prompts, {join_words(named)}."
        )
        certainty = "supported" if one.sure(orders) else "uncertain"
    elif len(told) > 1:
        claim = (
            f"{where}: no group is shown to be before another, as none is so in every "
            "seed and beyond chance over prompts."
        )
    else:
        gaining = [group.group for group in one.groups if group.halves]
        why = (
            "no group is shown to gain"
            if not gaining
            else f"only {gaining[0]} is shown to gain"
            if len(gaining) == 1
            else f"fewer than two groups that gain have {MIN_KEYS} prompts"
        )
        claim = f"{where}: nothing can be said of who is learned first, as {why}."
    notes = []
    if certainty == "uncertain":
        notes.append(
            f"{count_of(seeds, 'seed')}: that so many agree on one of "
            f"{count_of(orders, 'order')} of two groups that this page could tell is "
            "too likely by chance for it to count as shown."
        )
    small = [group.group for group in one.groups if group.n_keys < MIN_KEYS]
    if small:
        notes.append(
            f"Fewer than {MIN_KEYS} prompts, and in no order: {join_words(small)}."
        )
    return Finding(
        claim=claim,
        evidence=(*map(_evidence, one.groups[:6]), *notes),
        certainty=certainty,
    )


def _evidence(one: GroupCurve) -> str:
    text = (
        f"{one.group}: {percent(one.start)} at step 0, {percent(one.final.estimate)} "
        f"after training (95% {bounds_text(one.final, 100, 0)}%), "
        f"{count_of(one.n, 'pair')} of {count_of(one.n_keys, 'prompt')}"
    )
    if one.halves:
        seeds = f"; {_over_seeds(one)} over seeds" if len(one.halves) > 1 else ""
        at = (
            f"{number(one.half.estimate, 0)} (95% {bounds_text(one.half, 1, 0)}{seeds})"
        )
        return f"{text}; half of the gain at step {at}."
    return f"{text}; no gain shown."


def _over_seeds(one: GroupCurve) -> str:
    return interval(min(one.halves), max(one.halves), 0)
