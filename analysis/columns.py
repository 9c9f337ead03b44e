"""Tables by their columns: a heading, and how its cell follows from a row's value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from analysis.html import (
    Cell,
    Table,
    interval_cell,
    number_cell,
    p_cell,
    text_cell,
)
from analysis.records import Record

Of = Callable[[Any], Any]
"""What a column shows of a row's value."""
Column = tuple[str, Callable[[Any], Cell]]
BOUNDS = "95% interval"


def table(
    *,
    id: str,
    title: str,
    note: str,
    columns: Iterable[Column],
    rows: Iterable[object],
    frame: pd.DataFrame | Iterable[Record | None],
    folded: bool = False,
    sortable: bool = False,
    head_rows: bool = True,
) -> Table:
    """A table of one row for each of `rows`; `frame` may be records."""
    shown = list(columns)
    if not isinstance(frame, pd.DataFrame):
        frame = frame_of(frame)
    return Table(
        id=id,
        title=title,
        note=note,
        header=tuple(head for head, _ in shown),
        rows=tuple(tuple(cell(row) for _, cell in shown) for row in rows),
        frame=frame,
        folded=folded,
        sortable=sortable,
        head_rows=head_rows,
    )


def frame_of(records: Iterable[Record | None]) -> pd.DataFrame:
    """Records as a table's numbers, unrounded."""
    return pd.DataFrame([one.to_json() for one in records if one is not None])


def text(head: str, of: Of) -> Column:
    """Text; nothing becomes a dash."""
    return head, lambda row: text_cell(of(row))


def number(head: str, of: Of, digits: int = 2) -> Column:
    """A number, or None."""
    return head, lambda row: number_cell(of(row), digits)


def count(head: str, of: Of) -> Column:
    """A whole number, or None."""
    return number(head, of, 0)


def p(head: str, of: Of) -> Column:
    """A p-value, or None."""
    return head, lambda row: p_cell(of(row))


def holm(head: str, of: Of) -> Column:
    """The adjusted p-value of a record, or of none."""
    return p(head, lambda row: None if of(row) is None else of(row).p_holm)


def interval(head: str, of: Of, digits: int = 2) -> Column:
    """Two bounds."""

    def cell(row: object) -> Cell:
        low, high = of(row)
        return interval_cell(low, high, digits)

    return head, cell


def value(head: str, of: Of, digits: int = 2, scale: float = 1.0) -> Column:
    """The estimate of a record, or of none."""
    return head, lambda row: value_cell(of(row), digits, scale)


def bounds(head: str, of: Of, digits: int = 2, scale: float = 1.0) -> Column:
    """The interval of a record, or of none."""
    return head, lambda row: bounds_cell(of(row), digits, scale)


def estimate(
    head: str, of: Of, digits: int = 2, scale: float = 1.0
) -> tuple[Column, Column]:
    """The estimate of a record, or of none, and its interval."""
    return value(head, of, digits, scale), bounds(BOUNDS, of, digits, scale)


def value_cell(record: Record | None, digits: int = 2, scale: float = 1.0) -> Cell:
    """An estimate; a dash where there is none."""
    if record is None or record.estimate is None:
        return number_cell(None)
    return number_cell(scale * record.estimate, digits)


def bounds_cell(record: Record | None, digits: int = 2, scale: float = 1.0) -> Cell:
    """An interval; a dash where there is none."""
    if record is None or record.ci_low is None or record.ci_high is None:
        return interval_cell(None, None)
    return interval_cell(scale * record.ci_low, scale * record.ci_high, digits)
