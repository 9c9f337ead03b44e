"""Reads csv and jsonl tables that users bring; errors name file and line."""

from __future__ import annotations

import csv
import dataclasses
import errno
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import cells
from probe.types import DataError

SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a table."""

    where: str
    """File and line (the last line of a row that spans several), for errors."""
    values: Mapping[str, object]
    """Value by column: text in a csv, any JSON value in a jsonl."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with at least one row."""

    path: Path
    sha: str
    """sha256 of the file's bytes, and of the names that the user gave its columns."""
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


def read(path: Path) -> Table:
    """Reads a csv with a header, or a jsonl with the same keys in every line.

    Args:
        path: A UTF-8 file ending with `.csv` or `.jsonl`; a byte-order mark is
            skipped, blank lines too.

    Raises:
        DataError: The file cannot be read or is not such a table.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(
            f"{path} is neither .csv nor .jsonl",
            f"A table ends with {' or '.join(SUFFIXES)}",
            "Rename or convert it",
        )
    return _read(path, _csv_lines if path.suffix == ".csv" else _json_lines)


def read_json_lines(path: Path) -> Table:
    """Reads a published jsonl, whatever its name ends with.

    Raises:
        DataError: As `read`.
    """
    return _read(path, _json_lines)


def read_parquet(path: Path) -> Table:
    """Reads a published parquet file.

    Raises:
        DataError: The file cannot be read.
    """
    # Imported here: only what comes from the hub needs it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
        data = path.read_bytes()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} cannot be read: {error}",
            "It must be a whole parquet file",
            "Remove it, and fetch it again",
        ) from error
    lines = [
        Line(where=f"{path}, row {number}", values=row)
        for number, row in enumerate(rows, start=1)
    ]
    return of_lines(path, data, lines)


def sha_of(path: Path) -> str:
    """sha256 of a file's bytes: `Table.sha` of a table whose columns are not renamed.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}",
            "It must be a file",
            "Check the path",
        ) from error


def renamed(table: Table, columns: Mapping[str, str]) -> Table:
    """The table with a user's own names of columns read as ours.

    Args:
        table: As read.
        columns: Our name -> the file's.

    Raises:
        DataError: The file has no column of that name, or has ours already.
    """
    if not columns:
        return table
    for ours, theirs in columns.items():
        if theirs not in table.columns:
            raise DataError(
                f"--columns names a column '{theirs}', and {table.path} has none",
                f"Its columns are {', '.join(table.columns)}",
                "Correct the name",
            )
        if ours in table.columns and ours not in columns.values():
            raise DataError(
                f"--columns reads '{theirs}' as '{ours}', and {table.path} has a "
                f"column '{ours}' of its own",
                "Each column has its own name",
                f"Rename that one too, such as --columns other={ours}",
            )
    to_ours = {theirs: ours for ours, theirs in columns.items()}
    named = json.dumps(sorted(columns.items()))
    return dataclasses.replace(
        table,
        sha=hashlib.sha256(f"{table.sha}\n{named}".encode()).hexdigest(),
        columns=tuple(to_ours.get(name, name) for name in table.columns),
        lines=tuple(
            Line(
                where=line.where,
                values={to_ours.get(k, k): value for k, value in line.values.items()},
            )
            for line in table.lines
        ),
    )


def _read(path: Path, lines_of: Callable[[Path, str], list[Line]]) -> Table:
    try:
        if path.exists() and not path.is_file():  # it would be waited for, or endless
            raise OSError(errno.EINVAL, "it is no file")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}",
            "It must be a csv or jsonl file",
            "Check the path",
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8",
            "A table is UTF-8 text",
            "Save it as UTF-8",
        ) from error
    return of_lines(path, data, lines_of(path, text))


def of_lines(path: Path, data: bytes, lines: list[Line]) -> Table:
    """The table of lines read from a file.

    Args:
        path: The file.
        data: Its bytes.
        lines: Its rows, all with the same columns.

    Raises:
        DataError: There are none, or they have no columns.
    """
    if not lines or not lines[0].values:
        raise DataError(
            f"{path} has no {'columns' if lines else 'rows'}",
            "A table has at least one column and one row",
            "Add what is missing",
        )
    return Table(
        path=path,
        sha=hashlib.sha256(data).hexdigest(),
        columns=tuple(lines[0].values),
        lines=tuple(lines),
    )


def allow_cells(characters: int) -> None:
    """Lets csv cells be so long; the library's 128 KiB is shorter than some answers."""
    csv.field_size_limit(max(csv.field_size_limit(), characters))


def check_separator(header: Sequence[str], path: Path) -> None:
    """Checks that a csv's header is not one cell that holds all the columns.

    Raises:
        DataError: It is.
    """
    if len(header) != 1:
        return
    for sign, name in (("\t", "tabs"), (";", "semicolons")):
        if sign in header[0]:
            raise DataError(
                f"{path}, line 1: columns parted by {name}",
                "A csv is comma-separated",
                "Save it with commas",
            )


def _csv_lines(path: Path, text: str) -> list[Line]:
    allow_cells(len(text))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[Line] = []
    try:
        header = next(reader, [])
        if len(set(header)) != len(header):
            twice = sorted({name for name in header if header.count(name) > 1})
            raise DataError(
                f"{path}, line 1: column {', '.join(map(repr, twice))} stands twice",
                "Each column has its own name",
                "Rename or remove one of them",
            )
        check_separator(header, path)
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{where}: {len(row)} cells under {len(header)} columns",
                    "Every row has a cell for each column",
                    "Quote cells that hold a comma or a line break",
                )
            values: dict[str, object] = dict(zip(header, row, strict=True))
            lines.append(Line(where=where, values=values))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}",
            "A csv is comma-separated, with double quotes around odd cells",
            "Mend that line",
        ) from error
    return lines


def _json_lines(path: Path, text: str) -> list[Line]:
    lines: list[Line] = []
    # Not str.splitlines: it also splits at U+2028 and others, legal inside JSON.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = cells.read_json(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where}: not JSON ({error.msg}, column {error.colno})",
                "A jsonl has one JSON object per line",
                "Mend that line",
            ) from error
        except ValueError as error:
            raise DataError(
                f"{where}: {error}",
                "A jsonl has one JSON object per line, of texts and numbers that can "
                "be read",
                "Mend that line",
            ) from error
        if not isinstance(values, dict):
            raise DataError(
                f"{where}: {type(values).__name__}, not an object",
                "A jsonl has one JSON object per line",
                "Mend that line",
            )
        if lines and values.keys() != lines[0].values.keys():
            odd = sorted(values.keys() ^ lines[0].values.keys())
            raise DataError(
                f"{where}: differs from the first row in {', '.join(map(repr, odd))}",
                "Every row has the same keys",
                "Write null where there is no value",
            )
        lines.append(Line(where=where, values=values))
    return lines
