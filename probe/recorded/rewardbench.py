"""RewardBench's result files: a score for both answers of each pair.

Its runner writes them in three forms: `_all.jsonl`, a row per pair with `chosen` and
`rejected`; a row per pair with the texts too, the scores in `scores_chosen` and
`scores_rejected`; and one JSON object with these as lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_builders import cells, tables
from data_builders.conversations import ANSWERS
from data_builders.tables import Line, Table
from probe.types import DataError, GroupValue


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What one file says of each pair."""

    file: Path
    sha: str
    """sha256 of the file's bytes."""
    scores: tuple[tuple[float, float], ...]
    """Of the chosen and the rejected answer, row by row; NaN: there is none."""
    labels: Mapping[str, tuple[GroupValue, ...]]
    """`subset` and `id` of each row, where the file has them."""


def check_match(first: Scores, other: Scores) -> None:
    """Checks that two files are of the same pairs.

    Raises:
        DataError: They differ in length, in a row's id or subset, or in no score.
    """
    if len(first.scores) != len(other.scores):
        raise DataError(
            f"{first.file} has {len(first.scores)} rows, and {other.file} has "
            f"{len(other.scores)}",
            "Row n of each file is the same pair in another dialect",
            "Import files of the same pairs in the same order",
        )
    if first.scores == other.scores:
        raise DataError(
            f"{first.file} and {other.file} have the same scores in every row",
            "Each file holds the scores of another dialect, which differs in some rows",
            "Correct a path, or leave one of the two out",
        )
    for name in first.labels.keys() & other.labels.keys():
        pairs = zip(first.labels[name], other.labels[name], strict=True)
        for place, (one, two) in enumerate(pairs, start=1):
            if one != two:
                raise DataError(
                    f"row {place} has {name} {one!r} in {first.file} and {two!r} in "
                    f"{other.file}",
                    "Row n of each file is the same pair in another dialect",
                    "Bring the files into the same order",
                )


def read_scores(file: Path) -> Scores:
    """Reads a file of results.

    Args:
        file: A `.jsonl` or `.csv` with a row per pair, or a `.json` with a list per
            column.

    Raises:
        DataError: It cannot be read, lacks a column, or has a score that is none; with
            the file and the row.
    """
    table = _json_columns(file) if file.suffix == ".json" else tables.read(file)
    # Where texts were stored beside the scores, `chosen` and `rejected` are the texts.
    names = next(
        (
            names
            for names in (("scores_chosen", "scores_rejected"), ANSWERS)
            if set(names) <= set(table.columns)
        ),
        None,
    )
    if names is None:
        raise DataError(
            f"{file} has the columns {', '.join(table.columns)}",
            "RewardBench's results have scores_chosen and scores_rejected, or chosen "
            "and rejected",
            "Name a file with a score for both answers of each pair",
        )
    return Scores(
        file=file,
        sha=table.sha,
        scores=tuple(
            (_number(line, names[0]), _number(line, names[1])) for line in table.lines
        ),
        labels={
            name: tuple(label(line.values[name]) for line in table.lines)
            for name in ("subset", "id")
            if name in table.columns
        },
    )


def _json_columns(file: Path) -> Table:
    """Reads one JSON object with a list per column, as RewardBench publishes scores."""
    try:
        data = file.read_bytes()
        found = cells.read_json(data.decode())
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror}",
            "It must be a file of recorded scores",
            "Check the path",
        ) from error
    except ValueError as error:
        raise DataError(
            f"{file} is not JSON ({error})",
            "A .json of recorded scores is one object with a list for each column",
            "Rename it to .jsonl if it has an object in each line",
        ) from error
    lists = {
        str(name): values
        for name, values in (found.items() if isinstance(found, dict) else ())
        if isinstance(values, list)
    }
    lengths = {len(values) for values in lists.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise DataError(
            f"{file} has no lists of equal length",
            "A .json of recorded scores is one object with a list for each column",
            "Name the file with the scores of the single pairs (RewardBench's "
            "_all.jsonl), not the one with the overall results",
        )
    return tables.of_lines(
        file,
        data,
        [
            Line(
                where=f"{file}, row {place}",
                values=dict(zip(lists, values, strict=True)),
            )
            for place, values in enumerate(zip(*lists.values(), strict=True), start=1)
        ],
    )


def _number(line: Line, column: str) -> float:
    value = line.values[column]
    if isinstance(value, str):
        if value.strip().casefold() in ("", "nan"):
            return math.nan
        try:
            value = cells.read_json(value)
        except ValueError:
            value = math.inf
    if isinstance(value, list):
        if len(value) != 1:
            raise DataError(
                f"{line.where}, column '{column}': {len(value)} scores",
                "An answer has one score; pairs with several rejected answers are not "
                "read",
                "Keep one chosen and one rejected answer of each prompt",
            )
        value = value[0]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if (number := cells.finite(value)) is None:
        raise DataError(
            f"{line.where}, column '{column}': {repr(line.values[column])[:60]} is no "
            "finite number",
            "A recorded score is a number, or a list of one",
            "Mend the row, or leave it out of every dialect's file",
        )
    return number


def label(value: object) -> GroupValue:
    """A cell as a label; None for an empty one."""
    return None if value is None or value == "" else str(value)
