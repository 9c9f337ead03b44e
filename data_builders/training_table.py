"""Tables that training sources are published as, and what their readers share."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_builders import cells, tables
from data_builders.training_types import TrainingRow
from probe.types import DataError, Message

Read = tuple[list[TrainingRow], Counter[str]]
"""Rows, and what the files hold beside them, by reason."""


def table(path: Path) -> tables.Table:
    """Reads csv, jsonl, parquet, a JSON list of rows, and jsonl that is gzipped.

    Raises:
        DataError: The file cannot be read, or is no such table.
    """
    if path.suffix == ".parquet":
        return tables.read_parquet(path)
    if path.suffix in tables.SUFFIXES:
        return tables.read(path)
    try:
        data = path.read_bytes()
        rows: Any
        if path.suffix == ".gz":
            text = gzip.decompress(data).decode()
            # Not str.splitlines: it also splits at U+2028, legal inside JSON.
            rows = [cells.read_json(line) for line in text.split("\n") if line.strip()]
        else:
            rows = cells.read_json(data.decode())
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read: {error}",
            "A training file is a csv, jsonl or parquet file, a JSON list of rows, or "
            "a gzipped jsonl",
            "Fetch it again, or convert it",
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(
            f"{path} holds something other than rows",
            "It is a list of JSON objects",
            "Use the file as published",
        )
    return tables.of_lines(
        path,
        data,
        [
            tables.Line(where=f"{path}, row {number}", values=row)
            for number, row in enumerate(rows, start=1)
        ],
    )


def keep(
    found: Iterable[TrainingRow | str], rows: list[TrainingRow], dropped: Counter[str]
) -> None:
    """Keeps the rows and counts the reasons."""
    for one in found:
        if isinstance(one, str):
            dropped[one] += 1
        else:
            rows.append(one)


def turns(value: object) -> tuple[Message, ...]:
    """The messages of a conversation; () if the value is none."""
    return cells.turns(value) if cells.is_turns(value) else ()


def split(name: str) -> str:
    """Which split a file holds, as its name says."""
    words = name.replace("-", "_").replace(".", "_").split("_")
    return next((one for one in ("train", "eval", "test") if one in words), "all")


def check(values: Mapping[str, object], needed: Iterable[str], where: str) -> None:
    """Checks that a row has the columns that its source has.

    Raises:
        DataError: It lacks one.
    """
    missing = [name for name in needed if name not in values]
    if missing:
        raise DataError(
            f"{where} lacks {', '.join(missing)}",
            f"The columns of this source hold {', '.join(needed)}",
            "Use the file as published",
        )


def listed(dropped: Mapping[str, int]) -> str:
    """What is left out, as messages have it; empty: nothing is."""
    return ", ".join(f"{count:,} ({why})" for why, count in dropped.items() if count)


def check_rows(
    rows: Sequence[TrainingRow], dropped: Mapping[str, int], where: str
) -> None:
    """Checks that there are rows, each with an id of its own.

    Raises:
        DataError: There are none, or two have one id.
    """
    if not rows:
        lost = listed(dropped)
        raise DataError(
            f"{where} holds no row that can be trained on"
            + (f"; left out are {lost}" if lost else ""),
            "A training source has at least one; each has an answer, and of pairs the "
            "rejected one differs from the chosen",
            "Use the file as published, or mend it",
        )
    counts = Counter(row.id for row in rows)
    id, most = counts.most_common(1)[0]
    if most > 1:
        raise DataError(
            f"{where}: the id '{id}' stands {most} times",
            "Every row has an id of its own",
            "Remove the copies, or give them other ids",
        )
