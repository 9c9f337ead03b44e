"""Stages as rows of text for a terminal."""

from __future__ import annotations

from analysis.html import p_text
from analysis.records import Record
from analysis.stages import MeasureResult
from analysis.stages_report import picked
from analysis.stages_runs import Comparison
from analysis.stages_words import (
    OfAligned,
    beside_words,
    digits_of,
    gap_text,
    group_name,
    groups_of,
    level_text,
    measure_title,
    shown,
    signed,
    stage_name,
    stage_word,
)
from analysis.wording import p_of

Rows = list[tuple[str, ...]]
CLOSING = (
    "changes with 95% bootstrap intervals, those of shares in points; p is Holm's over "
    "groups and stages of a measure, - where nothing is tested; --json has every record"
)
"""What must be known of the tables."""


def stage_tables(comparison: Comparison) -> list[tuple[str, Rows, str]]:
    """Per measure a heading, a row for each group and later stage, and what is left.

    Of many groups only the reference and those that figures draw have a row.
    """
    stages = ", ".join(stage_name(stage) for stage in comparison.lineage.stages)
    found = []
    for measure in comparison.measures:
        heading = (
            f"{comparison.runs[0].probe}  {comparison.lineage.name} ({stages})\n"
            f"{measure_title(measure)}"
        )
        found.append((heading, _rows(comparison, measure), _below(measure)))
    return found


def _rows(comparison: Comparison, measure: MeasureResult) -> Rows:
    aligned = measure.aligned
    first = stage_word(aligned.measured[0].stage)
    reference = aligned.reference
    header = [f"  {aligned.outcome.grouping}", "n", first, "", "level"]
    header += ["change" if comparison.trained else "difference", "p (Holm)"]
    if reference is not None:
        change = "change" if comparison.trained else "difference"
        header += [f"less {change} of {group_name(measure, reference)}", "p (Holm)"]
    rows: Rows = [tuple(header)]
    for one in picked(measure):
        for step in one.steps:
            lead = (
                f"  {group_name(measure, one.group)}",
                str(one.levels[0].n),
                level_text(measure, one.levels[0].estimate),
            )
            rows.append(
                (
                    *(lead if step.place == 1 else ("", "", "")),
                    stage_word(aligned.measured[step.place].stage),
                    level_text(measure, one.levels[step.place].estimate),
                    *tested(measure, step.change),
                    *(() if reference is None else tested(measure, step.beyond)),
                )
            )
    for gap in measure.gap_steps:
        rows.append(
            (
                *(
                    (
                        "  highest less lowest",
                        "",
                        gap_text(measure, measure.gaps[0].estimate),
                    )
                    if gap.place == 1
                    else ("", "", "")
                ),
                stage_word(aligned.measured[gap.place].stage),
                gap_text(measure, measure.gaps[gap.place].estimate),
                *tested(measure, gap.change),
                *(() if reference is None else ("", "")),
            )
        )
    return [tuple(plain(cell) for cell in row) for row in rows]


def tested(measure: OfAligned, record: Record | None) -> tuple[str, str]:
    """A change with its interval, and Holm's p."""
    if record is None or record.estimate is None:
        return "-", "-"
    text = signed(measure, record.estimate)
    if record.ci_low is not None:
        low, high = (
            f"{shown(measure, bound):+.{digits_of(measure)}f}"
            for bound in (record.ci_low, record.ci_high)
        )
        text += f" [{low}, {high}]"
    return text, p_text(p_of(record))


def plain(text: str) -> str:
    """For terminals: an ordinary minus sign and spaces."""
    return text.replace("\u2212", "-").replace("\u2013", "-").replace("\u00a0", " ")


def not_in_rows(measure: OfAligned, rows: int, what: str) -> list[str]:
    """That some groups have no row, as a line; or none.

    Args:
        measure: Of which rows are shown.
        rows: Groups that have one.
        what: What those do that have none, beside those of which nothing is shown.
    """
    more = len(measure.aligned.groups) - rows
    if not more:
        return []
    return [
        f"  {groups_of(measure, more)} more of which nothing is shown or that {what}: "
        "--json or --out has all"
    ]


def _below(measure: MeasureResult) -> str:
    """What stands below the rows: what is not in them, and what they do not say."""
    lines = not_in_rows(measure, len(picked(measure)), "change less")
    if beside := beside_words(measure):
        lines.append(f"  {plain(beside)}")
    return "\n".join(lines)
