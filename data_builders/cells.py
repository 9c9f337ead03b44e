"""Checks of single cells in tables that users bring; errors name line and column."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from probe.types import DataError, GroupValue, ItemRow, Message, ScoreRow

_ROLES = ("system", "user", "assistant")
_STORED = {f.name for c in (ItemRow, ScoreRow) for f in dataclasses.fields(c)}


def probe_name(path: Path) -> str:
    """What a probe of a user's file is called, in letters a folder's name can have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem)


def identifier(values: Mapping[str, object], column: str, where: str) -> str:
    """An id: text that is not blank, or a whole number.

    Raises:
        DataError: It is something else.
    """
    value = values[column]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        raise DataError(
            f"{where}, column '{column}': {value!r}",
            "An id is text or a whole number",
            "Write it as text",
        )
    return text(values, column, where)


def text(values: Mapping[str, object], column: str, where: str) -> str:
    """Text that is not blank.

    Raises:
        DataError: It is something else.
    """
    value = values[column]
    if not isinstance(value, str) or not value.strip():
        raise DataError(
            f"{where}, column '{column}': {value!r}",
            "It must be text that is not blank",
            "Fill it in or remove the row",
        )
    return value


def is_turns(value: object) -> bool:
    """Whether a value of a jsonl is a conversation: a list of roles and contents."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(turn, dict)
            and turn.get("role") in _ROLES
            and isinstance(turn.get("content"), str)
            for turn in value
        )
    )


def turns(value: object) -> tuple[Message, ...]:
    """The messages of a value that `is_turns`."""
    assert isinstance(value, list)
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in value)


def read_json(text: str) -> object:
    """The value that a cell's JSON stands for.

    Raises:
        ValueError: It is no JSON, is nested too deep, or has half a surrogate pair,
            which can be escaped and is no text.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def conversation(value: object) -> tuple[Message, ...] | None:
    """The turns of a conversation, as a list or its JSON; None: the value is none."""
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError:
            return None
    return turns(value) if is_turns(value) else None


def messages(value: object, where: str) -> tuple[Message, ...]:
    """A prompt: a conversation that ends with a user turn, as a list or its JSON.

    Raises:
        DataError: It is something else, or a turn is blank.
    """
    found = conversation(value) or ()
    blank = any(not one.content.strip() for one in found)
    if not found or blank or found[-1].role != "user":
        raise DataError(
            f"{where}, column 'messages': no conversation that ends with a user turn",
            'It must be a JSON list of {"role": ..., "content": ...} with text and '
            f"roles {', '.join(_ROLES)}",
            "Mend the cell, or use a column 'prompt'",
        )
    return found


def finite(value: object) -> float | None:
    """A number of a jsonl; None: it is none, or none that can be computed with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def group(value: object, column: str, where: str) -> GroupValue:
    """A value of a group column: text, a finite number, or nothing.

    Raises:
        DataError: It is something else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if (number := finite(value)) is not None:
        return number
    raise DataError(
        f"{where}, column '{column}': {repr(value)[:60]}",
        "A group column holds text, finite numbers or null",
        "Write it as text, or remove the column",
    )


def check_group_names(names: Iterable[str], ours: Sequence[str], path: Path) -> None:
    """Checks that no group column is called like what a run stores.

    Args:
        names: The file's group columns.
        ours: Further names that are taken.
        path: The file.

    Raises:
        DataError: One is.
    """
    taken = sorted(set(names) & (_STORED | set(ours)))
    if taken:
        raise DataError(
            f"{path} has a column {', '.join(map(repr, taken))}",
            "That name is kept for what a run stores",
            f"Rename the column, or read it by another name: --columns my_{taken[0]}="
            f"{taken[0]}",
        )


def check_kinds(rows: Sequence[Mapping[str, GroupValue]], path: Path) -> None:
    """Checks that each group column is of one kind.

    Args:
        rows: The group columns of each row; the same in all.
        path: The file.

    Raises:
        DataError: One is not.
    """
    for column in rows[0]:
        kinds = {type(row[column]) for row in rows if row[column] is not None}
        if len(kinds) > 1:
            raise DataError(
                f"{path}, column '{column}': text in some rows, numbers in others",
                "A group column is of one kind",
                "Write all of it as text, or all as numbers",
            )


def check_distinct(said: Sequence[object], wheres: Sequence[str]) -> None:
    """Checks that no row says what another says, whatever their ids are.

    Args:
        said: All that a row holds but its id.
        wheres: File and line of each.

    Raises:
        DataError: Some do.
    """
    first: dict[str, str] = {}
    twice = []
    for value, where in zip(map(repr, said), wheres, strict=True):
        if value in first:
            twice.append((first[value], where))
        first.setdefault(value, where)
    if twice:
        file = twice[0][0].rpartition(", ")[0]
        named = [
            " and ".join(where.removeprefix(f"{file}, ") for where in pair)
            for pair in twice[:10]
        ]
        raise DataError(
            f"{file}: {len(twice)} rows are the same as an earlier one but for their "
            f"id: {'; '.join(named)}{' ...' if len(twice) > 10 else ''}",
            "What stands twice would count twice",
            "Remove the repeated rows",
        )


def constant_within(
    rows: Sequence[Mapping[str, GroupValue]], ids: Sequence[str], column: str
) -> bool:
    """Whether a group column has one value in all rows with the same id."""
    first: dict[str, GroupValue] = {}
    return all(
        first.setdefault(id, row[column]) == row[column]
        for row, id in zip(rows, ids, strict=True)
    )
