"""The figure of slopes: of each group in each arm, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis import figures
from analysis.countries_figures import interval_rows
from analysis.doseresponse import DoseMeasure, GroupDose
from analysis.doseresponse_measures import Estimate
from analysis.doseresponse_words import drawn_lines, line_name, of_how_many
from analysis.html import Figure, slugs
from analysis.opinions_checks_figures import padded
from analysis.stages_words import (
    digits_of,
    group_word,
    is_share,
    measure_title,
    side_of,
    unit_words,
)

LABEL_SPACE = 118
"""Pixels for the names of rows."""


def slope_figure(measure: DoseMeasure, prefix: str) -> Figure | None:
    """Slopes by group, a panel for each arm and for each arm less a placebo.

    Returns:
        None where nothing has an interval.
    """
    drawn = drawn_lines(measure)
    columns: dict[str, list[Estimate]] = {
        f"{arm[:1].upper()}{arm[1:]}": [one.of(arm).slope for one in drawn]
        for arm in measure.arms
    }
    for at, each in enumerate(drawn[0].controlled):
        name = f"{each.arm[:1].upper()}{each.arm[1:]} less {each.placebo}"
        columns[name] = [one.controlled[at].estimate for one in drawn]
    tables = _slope_rows(measure, drawn, columns)
    every = pd.concat(list(tables.values()))
    if every["ci_low"].isna().all():
        return None
    domain = padded(every, 0.0)
    unit = unit_words(measure, change=True)
    return Figure(
        id=f"{prefix}-forest",
        title=f"Slopes: {measure_title(measure)}",
        caption=f"Change from no to only {measure.dosed.sweep.attribute}, as the line "
        "has it. Filled: shown, by p below 5% after Holm; hollow: not shown. Lines are "
        "95% intervals over other trainings and items, unadjusted. Pale: slopes too "
        "small to be found with a power of 80%, uncorrected."
        f"{of_how_many(measure)}",
        alt=f"Forest plot of slopes by {group_word(measure)}; the numbers are in the "
        "table.",
        panels=tuple(
            figures.intervals(
                rows,
                name=f"{prefix}-forest-{place}",
                domain=domain,
                axis_title=f"Slope, {unit} per 100 points of the share",
                title=title,
                label_space=LABEL_SPACE,
                digits=digits_of(measure),
            )
            for (title, rows), place in zip(
                tables.items(), slugs(list(tables)), strict=True
            )
        ),
    )


def _slope_rows(
    measure: DoseMeasure,
    drawn: Sequence[GroupDose],
    columns: Mapping[str, Sequence[Estimate]],
) -> dict[str, pd.DataFrame]:
    found = {}
    for title, estimates in columns.items():
        rows = interval_rows(
            [
                (line_name(measure, one), estimate.record, None, not side)
                for one, estimate in zip(drawn, estimates, strict=True)
                for side in [side_of(estimate.record)]
            ]
        )
        seen = [
            math.nan if one.detectable is None else one.detectable.estimate or math.nan
            for one in estimates
            if one.record.estimate is not None
        ]
        rows["inner_high"] = seen
        rows["inner_low"] = -rows["inner_high"]
        numbers = ["estimate", "ci_low", "ci_high", "inner_low", "inner_high"]
        if is_share(measure):
            rows[numbers] = 100 * rows[numbers].astype(np.float64)
        found[title] = rows
    return found
