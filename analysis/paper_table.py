"""The numbers of a paper beside ours, as rows of text for a terminal."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from analysis.paper import Row
from analysis.paper_md3 import GAIN
from analysis.paper_tydiqa import CHANGES
from analysis.records import Record

HEADER = ("  what", "model", "published", "ours", "interval", "n", "agrees")
VERDICTS = {
    "ok": "within one unit of the last printed digit",
    "differs": "further off",
    "no printed figure": "shown in the paper without digits",
    "not in the paper": "measured here only",
    "absent": "no file, or none that gives the number",
}
"""What the last column says, and what it means."""
OVER_MODELS = frozenset({GAIN, *CHANGES})
"""Metrics whose reference is a model."""


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
        measured = [row for row in of_figure if row.status != "absent"]
        kept = [
            row
            for row in measured
            if figure.shown is None or row.record.group in figure.shown
        ]
        heading = f"{figure.title} ({figure.source})"
        rest = []
        if more := len(measured) - len(kept):
            rest.append(f"  {more} more with --json")
        rest += _methods(measured)
        rest += _absences(of_figure)
        table = [HEADER, *map(_line, kept)] if kept else []
        tables.append((heading, table, "\n".join(rest)))
    return tables


def _methods(measured: Sequence[Row]) -> list[str]:
    """How the intervals of a figure's numbers were made, and of what was left out."""
    several = len({row.record.metric for row in measured}) > 1
    found: dict[str, dict[str, None]] = {}
    for row in measured:
        record = row.record
        whose = found.setdefault(record.ci_method or "none", {})
        whose[record.metric if several else record.model] = None
    return [
        f"  interval{'' if len(found) == 1 else ' of ' + ', '.join(whose)}: {method}"
        for method, whose in found.items()
    ]


def _absences(of_figure: Sequence[Row]) -> list[str]:
    """Why numbers are absent, and how many: no file, or what each file lacks."""
    absent = [row for row in of_figure if row.status == "absent"]
    of = f"of {len(of_figure)} numbers"
    lines = []
    if fileless := [row for row in absent if row.missing]:
        names = dict.fromkeys(name for row in fileless for name in row.missing)
        lines.append(f"  absent: no file of {', '.join(names)} ({len(fileless)} {of})")
    others = Counter(row.record.ci_method or "" for row in absent if not row.missing)
    for reason, count in others.items():
        lines.append(f"  absent: {reason} ({count} {of})")
    return lines


def closing(rows: Sequence[Row]) -> str:
    """How many numbers there are of each verdict, and what the verdicts mean."""
    counts = Counter(_verdict(row) for row in rows)
    return ", ".join(
        f"{counts[verdict]} {verdict} ({meaning})"
        for verdict, meaning in VERDICTS.items()
    )


def _verdict(row: Row) -> str:
    if row.status == "absent" or row.fact is not None:
        return row.status
    return "not in the paper" if row.source is None else "no printed figure"


def _line(row: Row) -> tuple[str, ...]:
    record = row.record
    group = "" if record.group is None else f" {record.group}"
    return (
        f"  {record.metric}{group}",
        # Which model it was tuned from differs by row.
        f"{record.model} over {record.reference}"
        if record.metric in OVER_MODELS
        else record.model,
        "-" if row.fact is None else row.fact.printed,
        *_numbers(record),
        f"{record.n:,}",
        _verdict(row),
    )


def _numbers(record: Record) -> tuple[str, str]:
    assert record.estimate is not None
    # A p-value can be of any size; everything else is read to four decimals.
    ours = f"{record.estimate:.{'7e' if record.unit == 'p' else '4f'}}"
    if record.ci_low is None or record.ci_high is None:
        return ours, "-"
    return ours, f"[{record.ci_low:.3f}, {record.ci_high:.3f}]"
