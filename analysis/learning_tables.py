"""Learning curves as tables: the trainings, and what each group came to."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.html import (
    Cell,
    Table,
    interval,
    join_words,
    number_cell,
    text_cell,
    with_interval,
)
from analysis.learning import ALL, MARGINS, Learning
from analysis.learning_figures import training_words
from analysis.paired import Interval


def trainings_table(curves: Sequence[Learning]) -> Table:
    """Trainings, and what their pairs are grouped by."""
    rows, frame = [], []
    for one in curves:
        seeds = max(len(group.seeds) for group in one.groups)
        steps = max(float(seed.steps[-1]) for g in one.groups for seed in g.seeds)
        rows.append(
            (
                text_cell(training_words(one)),
                text_cell(one.column),
                number_cell(seeds, 0),
                number_cell(steps, 0),
                number_cell(len(one.groups), 0),
            )
        )
        frame.append(
            {
                "training": one.key,
                "column": one.column,
                "seeds": seeds,
                "last_step": steps,
                "groups": len(one.groups),
            }
        )
    return Table(
        id="curves",
        title="Trainings",
        note="",
        header=("Training", "Pairs by", "Seeds", "Last step", "Groups"),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
    )


def ends_table(curves: Sequence[Learning], prefix: str) -> Table:
    """What each group came to, with its intervals.

    Args:
        curves: Of one column.
        prefix: Of the table's id.
    """
    rows, frame = [], []
    for one in curves:
        for group in one.groups:
            low, high = group.finals
            rows.append(
                (
                    text_cell(group.group),
                    text_cell(training_words(one)),
                    number_cell(group.n, 0),
                    number_cell(group.n_keys, 0),
                    number_cell(len(group.seeds), 0),
                    number_cell(100 * group.start, 1),
                    _cell(group.final, 100, 1),
                    text_cell(interval(100 * low, 100 * high, 1)),
                    _cell(group.gain, 100, 1),
                    _cell(group.margin, 1, 3),
                    _cell(group.half, 1, 0),
                )
            )
            frame += [
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
                    **_bounded("final", group.final),
                    **_bounded("gain", group.gain),
                    "gain_shown": group.gains,
                    **_bounded("margin", group.margin),
                    **_bounded("half", group.half),
                }
                for seed in group.seeds
            ]
    column = curves[0].column
    return Table(
        id=f"{prefix}-ends",
        title="What was learned, and when"
        + ("" if column == ALL else f", by {column}"),
        note="Means over seeds with 95% intervals over prompts; over seeds: the lowest "
        "and the highest. Accuracy in %, gain in points. Margin: after training, "
        f"{_units(curves)}. Half of the gain: the step at which the accuracy was half "
        "way from step 0 to the end, in groups that are shown to gain. The csv file "
        "has every seed.",
        header=(
            "Group",
            "Training",
            "Pairs",
            "Prompts",
            "Seeds",
            "Step 0",
            "After training",
            "Over seeds",
            "Gain",
            "Margin",
            "Half of the gain at",
        ),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
        folded=len(rows) > 24,
        sortable=True,
    )


def bounds_text(value: Interval, times: float, digits: int) -> str:
    """``52.1 to 71.0``, multiplied by `times`."""
    return interval(times * value.low, times * value.high, digits)


def _cell(value: Interval, times: float, digits: int) -> Cell:
    """An estimate multiplied by `times`, with its interval where there is one."""
    return with_interval(
        number_cell(times * value.estimate, digits), bounds_text(value, times, digits)
    )


def _bounded(name: str, value: Interval) -> dict[str, float]:
    """Columns of a mean over seeds, which all rows of a group repeat."""
    return {
        f"{name}_mean": value.estimate,
        f"{name}_low": value.low,
        f"{name}_high": value.high,
    }


def _units(curves: Sequence[Learning]) -> str:
    stages = dict.fromkeys(one.stage for one in curves)
    return "in units of the " + join_words([MARGINS.get(one, one) for one in stages])
