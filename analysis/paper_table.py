"""The numbers of a paper beside ours, as rows of text for a terminal."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from analysis.paper import Row
from analysis.records import Record

HEADER = ("  what", "model", "published", "ours", "interval", "n", "agrees")


def figure_tables(rows: Sequence[Row]) -> list[tuple[str, list[tuple[str, ...]], str]]:
    """One table a figure.

    Args:
        rows: From `paper.reproduce`.

    Returns:
        Heading, table with its header, and what the table leaves out (empty: nothing).
    """
    tables = []
    for figure, found in itertools.groupby(rows, key=lambda row: row.figure):
        of_figure = list(found)
        measured = [row for row in of_figure if row.missing is None]
        kept = [
            row
            for row in measured
            if figure.shown is None or row.record.group in figure.shown
        ]
        heading = f"{figure.title} ({figure.source})"
        rest = []
        if more := len(measured) - len(kept):
            rest.append(f"  {more} more with --json")
        missing = dict.fromkeys(name for row in of_figure for name in row.missing or ())
        if missing:
            rest.append(
                f"  absent: no file of {', '.join(missing)} "
                f"({len(of_figure) - len(measured)} of {len(of_figure)} numbers)"
            )
        table = [HEADER, *map(_line, kept)] if kept else []
        tables.append((heading, table, "\n".join(rest)))
    return tables


def closing(rows: Sequence[Row]) -> str:
    """How many numbers agree, differ, have nothing to agree with, or are absent."""
    counts = Counter(_verdict(row) for row in rows)
    names = ("ok", "differs", "nothing to compare", "not in the paper", "absent")
    return ", ".join(f"{counts[name]} {name}" for name in names)


def _verdict(row: Row) -> str:
    if row.status == "absent" or row.fact is not None:
        return row.status
    return "not in the paper" if row.source is None else "nothing to compare"


def _line(row: Row) -> tuple[str, ...]:
    record = row.record
    group = "" if record.group is None else f" {record.group}"
    return (
        f"  {record.metric}{group}",
        record.model,
        "-" if row.fact is None else row.fact.printed,
        *_numbers(record),
        f"{record.n:,}",
        _verdict(row),
    )


def _numbers(record: Record) -> tuple[str, str]:
    if record.estimate is None:
        return "-", "-"
    # A p-value can be of any size; everything else is read to four decimals.
    ours = f"{record.estimate:.{'7e' if record.unit == 'p' else '4f'}}"
    if record.ci_low is None or record.ci_high is None:
        return ours, "-"
    return ours, f"[{record.ci_low:.3f}, {record.ci_high:.3f}]"
