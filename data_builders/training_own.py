"""A user's own file of training rows."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from data_builders import cells, tables, training_table
from data_builders.conversations import NO_TEXT, read_pair
from data_builders.training_types import (
    Form,
    Rows,
    TrainingRow,
    conversation,
    first_turn_key,
)
from probe.types import DataError, GroupValue, Message

logger = logging.getLogger(__name__)

_TEXTS = ("messages", "prompt", "completion", "chosen", "rejected")
_OURS = ("id", "key", "content")


def read(path: Path) -> Rows:
    """Reads a csv, jsonl or parquet file; its forms stand in `training_sources.load`.

    Raises:
        DataError: It cannot be read, lacks columns, or a cell does not fit.
    """
    table = training_table.table(path)
    columns = set(table.columns)
    form: Form = "sft"
    if {"chosen", "rejected"} <= columns:
        form = "preference"
    elif "messages" not in columns and not {"prompt", "completion"} <= columns:
        raise DataError(
            f"{path} has the columns {', '.join(table.columns)}",
            "Training rows have `messages`, or `prompt` and `completion`, or `chosen` "
            "and `rejected` with their prompt",
            "Rename the columns",
        )
    for line in table.lines:
        training_table.check(line.values, table.columns, line.where)
    names = [
        name
        for name in table.columns
        if name not in (*_TEXTS, *_OURS)
        and not any(isinstance(one.values[name], list | dict) for one in table.lines)
    ]
    rows: list[TrainingRow] = []
    dropped: Counter[str] = Counter()
    for number, line in enumerate(table.lines, start=1):
        row = _own_row(path.stem, number, line, form, names)
        if isinstance(row, str):
            dropped[row] += 1
        else:
            rows.append(row)
    training_table.check_rows(rows, dropped, str(path))
    if dropped:
        # Of published sources the documentation says it; nobody has looked at these.
        logger.warning(
            "%s: of %d rows, left out are %s",
            path,
            len(table.lines),
            training_table.listed(dropped),
        )
    cells.check_kinds([row.groups for row in rows], path)
    return Rows(
        name=path.stem,
        form=form,
        rows=tuple(rows),
        dropped=dropped,
        licence=None,
        url=None,
        revision=None,
        files={path.name: table.sha},
    )


def _own_row(
    stem: str, number: int, line: tables.Line, form: Form, names: list[str]
) -> TrainingRow | str:
    values = line.values
    answers: dict[str, str] = {}
    if form == "preference":
        pair = read_pair(values, line.where)
        if isinstance(pair, str):
            return pair
        messages = pair.messages
        answers = {"chosen": pair.chosen, "rejected": pair.rejected}
    else:
        parted = _completed(values, line.where)
        if isinstance(parted, str):
            return parted
        messages, answers["completion"] = parted
    own = {
        name: cells.identifier(values, name, line.where)
        for name in _OURS
        if name in values
    }
    key = own.get("key", first_turn_key(messages))
    id = own.get("id", str(number))
    groups: Mapping[str, GroupValue] = {
        name: cells.group(values[name], name, line.where) for name in names
    }
    # Without a content of its own, a row stands for its key: where keys are given,
    # they are what is the same in several languages.
    content = own["content"] if "content" in own else ""
    return TrainingRow(
        id=f"{stem}/{id}",
        source=stem,
        key=key,
        content=f"{key}/{content}",
        messages=messages,
        groups=groups,
        **answers,
    )


def _completed(
    values: Mapping[str, object], where: str
) -> tuple[tuple[Message, ...], str] | str:
    """Prompt and completion of a row."""
    if "messages" in values:
        return conversation(_conversation(values["messages"], "messages", where))
    prompt, completion = values["prompt"], values["completion"]
    if not prompt or not completion:
        return NO_TEXT
    said = (
        (Message(role="user", content=prompt),)
        if isinstance(prompt, str)
        else _conversation(prompt, "prompt", where)
    )
    answer = (
        (Message(role="assistant", content=completion),)
        if isinstance(completion, str)
        else _conversation(completion, "completion", where)
    )
    return conversation((*said, *answer))


def _conversation(value: object, column: str, where: str) -> tuple[Message, ...]:
    found = cells.conversation(value)
    if found is None:
        raise DataError(
            f"{where}, column '{column}': {repr(value)[:60]}",
            'A conversation is a list of {"role": ..., "content": ...} with roles '
            "system, user, assistant",
            "Mend the cell",
        )
    return found
