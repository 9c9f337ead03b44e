"""Csv files that people open: no text in them is run as a spreadsheet's formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for a formula's beginning, or skips before one."""
_END = "\r\n"
"""Of a row: with any other, a lone CR in a cell would not be quoted and end it."""


def quoted(cell: object) -> object:
    """The cell; a text that begins as a formula does, with an apostrophe before it.

    A number stays as it is. `unquoted` takes the apostrophe away again.
    """
    return f"'{cell}" if isinstance(cell, str) and _is_formula(cell) else cell


def unquoted(text: str) -> str:
    """The text that `quoted` made this cell of."""
    return text[1:] if text[:1] == "'" and _is_formula(text[1:]) else text


def _is_formula(text: str) -> bool:
    # Behind apostrophes too, so that what had one before is read back with it.
    begun = text.lstrip("'")
    if not begun.startswith(_FORMULA):
        return False
    try:
        float(begun)
    except ValueError:
        return True
    return False


def text_of(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as csv."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator=_END)
    writer.writerows([quoted(cell) for cell in row] for row in (columns, *rows))
    return stream.getvalue()


def text_of_frame(frame: pd.DataFrame) -> str:
    """The same of a frame, without its index."""
    safe = frame.map(quoted, na_action="ignore").rename(columns=quoted)
    return str(safe.to_csv(index=False, lineterminator=_END))


def rows_of(path: Path) -> list[list[str]]:
    """The rows of a file of `text_of`, the header first."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [[unquoted(cell) for cell in row] for row in csv.reader(stream)]
