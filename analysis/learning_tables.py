"""Learning curves as tables: the trainings, and what each group came to."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis import columns as col
from analysis.html import (
    Cell,
    Table,
    interval,
    join_words,
    number_cell,
    with_interval,
)
from analysis.learning import ALL, MARGINS, Learning
from analysis.learning_figures import training_words
from analysis.paired import Interval


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
