"""Csv files that people open: no text in them is run as a spreadsheet's formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\n")
"""What a spreadsheet takes for a formula's beginning, or skips before one."""


def quoted(cell: object) -> object:
    """The cell; a text that begins as a formula does, with an apostrophe before it.

    A number stays as it is. `unquoted` takes the apostrophe away again. CR is LF: the
    writers do not quote a cell for a lone CR, which readers take for a row's end.
    """
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _is_formula(text) else text


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
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([quoted(cell) for cell in row] for row in (columns, *rows))
    return stream.getvalue()


def text_of_frame(frame: pd.DataFrame) -> str:
    """The same of a frame, without its index."""
    safe = frame.map(quoted, na_action="ignore").rename(columns=quoted)
    return str(safe.to_csv(index=False))


def rows_of(path: Path) -> list[list[str]]:
    """The rows of a file of `text_of`, the header first."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [[unquoted(cell) for cell in row] for row in csv.reader(stream)]
