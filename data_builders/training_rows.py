"""Reads training sets, local or on the hub, as rows of turns.

Forms of a row, by its columns: a conversation (`messages`), a preference pair in the
forms of `conversations` (`chosen`, `rejected` and mostly `prompt`), a prompt with its
`completion`, or plain `text`. A prompt, an answer or a text may be a list of turns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_builders import cells, tables, training_table
from data_builders.conversations import NO_TEXT, read_pair
from probe.types import DataError, MissingDataError, UsageError

COLUMNS = ("messages", "chosen", "rejected", "prompt", "completion", "text")
"""Columns that hold what is trained on."""

_ROLES = {"prompt": "user", "completion": "assistant"}
"""Who says the text of a column; of the others' it is the column's name."""
NO_FORM = "neither text nor turns of system, user and assistant"

_HUB = re.compile(r"(?:hf:)?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One text of a row: what one speaker says at a time."""

    row: int
    """Of the set, from 0."""
    role: str
    """`system`, `user`, `assistant`; of a pair's answers `chosen` and `rejected`; or
    `text`."""
    text: str


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """A training set's texts."""

    name: str
    """The file, or the hub's id with its revision."""
    n_rows: int
    turns: tuple[Turn, ...]
    """Row by row, in their order."""
    dropped: Counter[str]
    """Rows without turns, by reason."""


def read(ref: str, *, split: str, columns: Mapping[str, str]) -> TrainingSet:
    """Reads a file, or a data set of the hub.

    Args:
        ref: A csv, jsonl or parquet file, or ``OWNER/NAME[@REVISION]``.
        split: Of a data set of the hub.
        columns: Our name of a column -> the data's.

    Raises:
        UsageError: It is neither.
        DataError: A file is malformed, or has none of `COLUMNS`; with its place.
        MissingDataError: The hub cannot be reached, or has no such data set.
    """
    path, match = Path(ref), _HUB.fullmatch(ref)
    if path.is_file():
        name, table = path.name, training_table.table(path)
    elif match is not None and not path.exists():
        name, table = _fetch(match[1], match[2], split)
    else:
        raise UsageError(
            f"{ref} is neither a file nor a data set of the hub",
            "A training set is a csv, json, jsonl or parquet file, or "
            "OWNER/NAME[@REVISION]",
            "Check the path",
        )
    table = tables.renamed(table, columns)
    if not set(COLUMNS) & set(table.columns):
        raise DataError(
            f"{ref} has the columns {', '.join(table.columns)}",
            f"What is trained on stands in {', '.join(COLUMNS)}",
            f"Name the column that holds it, such as --columns text={table.columns[0]}",
        )
    turns: list[Turn] = []
    dropped: Counter[str] = Counter()
    for number, line in enumerate(table.lines):
        found = _turns(number, line)
        if isinstance(found, str):
            dropped[found] += 1
        else:
            turns += found
    return TrainingSet(
        name=name, n_rows=len(table.lines), turns=tuple(turns), dropped=dropped
    )


def _fetch(repo: str, revision: str | None, split: str) -> tuple[str, tables.Table]:
    # Imported here: only the hub's data sets need it, and it takes seconds.
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        # A branch is what it is today; the commit is what was read.
        commit = HfApi().dataset_info(repo, revision=revision).sha
        rows = datasets.load_dataset(repo, revision=commit, split=split)
    except (
        HfHubHTTPError,
        OfflineModeIsEnabled,
        OSError,
        ValueError,
        datasets.exceptions.DatasetNotFoundError,
    ) as error:
        raise MissingDataError(
            f"{repo} cannot be had from the hub: {' '.join(str(error).split())[:200]}",
            "It is a data set of the hub with a split "
            f"'{split}' (--split names another)",
            "Check the id and the connection, or download it and name the file",
        ) from error
    name = f"{repo}@{str(commit)[:12]}"
    lines = [
        tables.Line(where=f"{name}, row {number}", values=row)
        for number, row in enumerate(rows, start=1)
    ]
    return name, tables.of_lines(Path(name), name.encode(), lines)


def _turns(row: int, line: tables.Line) -> list[Turn] | str:
    """A row's turns, or why there are none."""
    values = line.values
    if "chosen" in values and "rejected" in values:
        pair = read_pair(values, line.where)
        if isinstance(pair, str):
            return pair
        answers = (("chosen", pair.chosen), ("rejected", pair.rejected))
        return [
            *(Turn(row=row, role=m.role, text=m.content) for m in pair.messages),
            *(Turn(row=row, role=role, text=text) for role, text in answers),
        ]
    found: list[tuple[str, str]] = []
    for name in ("messages",) if "messages" in values else COLUMNS:
        value = values.get(name)
        if not value:
            continue
        if isinstance(value, str) and name != "messages":
            found.append((_ROLES.get(name, name), value))
        elif (said := cells.conversation(value)) is not None:
            found += [(one.role, one.content) for one in said]
        else:
            return NO_FORM
    turns = [
        Turn(row=row, role=role, text=text) for role, text in found if text.strip()
    ]
    return turns or NO_TEXT
