"""A user's own csv or jsonl becomes a probe: the items schema.

One row per item and candidate. Columns:
    item_id, candidate_id   identify the row; together they stand once
    prompt                  the user's turn; or `messages` instead, a JSON list of
                            {"role", "content"} that ends with a user turn
    answer                  the candidate's whole answer
    span_start, span_end    optional: the characters of `answer` a policy scores
    anything else           a group column; the item's if constant within each item,
                            else the candidate's

With a column `iso3` the file is read on the countries axis: `candidate_id` is then a
crosswalk key (the ISO3 code where there is one), `sentiment` says which way an item is
ranked (neutral if there is no such column), and `country` is added if it is missing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import countries, select, tables
from probe.types import (
    BuildOptions,
    Candidate,
    DataError,
    GroupValue,
    Item,
    ItemRow,
    Message,
    Probe,
    ScoreRow,
)

SENTIMENTS = ("positive", "negative", "neutral")

_REQUIRED = ("item_id", "candidate_id", "answer")
_OPTIONAL = ("prompt", "messages", "span_start", "span_end")
_STORED = {f.name for c in (ItemRow, ScoreRow) for f in dataclasses.fields(c)}
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, kw_only=True)
class _Row:
    where: str
    """File and line, for errors."""
    item_id: str
    messages: tuple[Message, ...]
    candidate_id: str
    answer: str
    span: tuple[int, int] | None
    groups: Mapping[str, GroupValue]


def load_probe(path: Path) -> Probe:
    """Reads and checks a file in the items schema.

    Args:
        path: A `.csv` with a header, or a `.jsonl` with an object per line.

    Returns:
        A probe called like the file. Its version is the first 8 hex digits of the
        sha256 of the file's bytes; its axis `countries` if there is a column `iso3`,
        else `preferences`.

    Raises:
        DataError: The file is missing, not UTF-8, lacks a column, repeats a row, has
            an empty text or a value that does not fit; with file, line and column.
    """
    table = tables.read(path)
    _check_columns(path, table.columns)
    rows = [_row(line.values, line.where) for line in table.lines]
    _check_rows(rows, path)
    columns = tuple(rows[0].groups)
    about_countries = "iso3" in columns
    if about_countries:
        rows = [_with_country(row) for row in rows]
        columns = tuple(rows[0].groups)
    of_item = tuple(c for c in columns if _constant_within_items(rows, c))
    if about_countries:
        of_item = _country_columns(rows, of_item)
    of_candidate = tuple(c for c in columns if c not in of_item)
    return Probe(
        name=re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem),
        version=table.sha[:8],
        title=f"Items of {path.name}",
        axis="countries" if about_countries else "preferences",
        fits=frozenset({"reward", "policy"}),
        item_columns=of_item,
        candidate_columns=of_candidate,
        sources=(),
        build=functools.partial(_build, rows, of_item, of_candidate, path),
        words=frozenset({"span"}),
    )


def _build(
    rows: Sequence[_Row],
    of_item: tuple[str, ...],
    of_candidate: tuple[str, ...],
    path: Path,
    options: BuildOptions,
) -> Iterator[Item]:
    keep: set[str] | None = None
    if options.countries is not None:
        if "iso3" not in of_candidate:
            raise DataError(
                f"--countries is given, and {path} has no column 'iso3'",
                "Only items about countries can be reduced to some of them",
                "Leave --countries away",
            )
        names = {row.candidate_id: row.candidate_id for row in rows}
        kept = select.keep_countries(list(names.items()), options.countries, str(path))
        keep = {key for _, key in kept}
    items: dict[str, list[_Row]] = {}
    for row in rows:
        items.setdefault(row.item_id, []).append(row)
    for item_id, members in items.items():
        chosen = [row for row in members if keep is None or row.candidate_id in keep]
        if not chosen:
            continue
        yield Item(
            id=item_id,
            messages=members[0].messages,
            candidates=tuple(
                Candidate(
                    id=row.candidate_id,
                    answer=row.answer,
                    span=row.span if options.span == "country" else None,
                    groups={column: row.groups[column] for column in of_candidate},
                )
                for row in chosen
            ),
            groups={column: members[0].groups[column] for column in of_item},
        )


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in _REQUIRED if name not in columns]
    if ("prompt" in columns) == ("messages" in columns):
        missing.append("either 'prompt' or 'messages'")
    if ("span_start" in columns) != ("span_end" in columns):
        missing.append("both or neither of 'span_start' and 'span_end'")
    if missing:
        raise DataError(
            f"{path} has columns {', '.join(columns)}",
            f"It must have {', '.join(_REQUIRED)} and either prompt or messages",
            f"Add {', '.join(missing)}",
        )
    taken = sorted(set(columns) & (_STORED - {*_REQUIRED, *_OPTIONAL}))
    if taken:
        raise DataError(
            f"{path} has a column {', '.join(map(repr, taken))}",
            "That name is kept for what a run stores",
            "Rename the column",
        )


# -- rows -------------------------------------------------------------------


def _row(values: Mapping[str, object], where: str) -> _Row:
    answer = _text(values, "answer", where)
    if "messages" in values:
        messages = _messages(values["messages"], where)
    else:
        messages = (Message(role="user", content=_text(values, "prompt", where)),)
    return _Row(
        where=where,
        item_id=_text(values, "item_id", where, id=True),
        messages=messages,
        candidate_id=_text(values, "candidate_id", where, id=True),
        answer=answer,
        span=_span(values, answer, where),
        groups={
            column: _group(value, column, where)
            for column, value in values.items()
            if column not in _REQUIRED and column not in _OPTIONAL
        },
    )


def _text(
    values: Mapping[str, object], column: str, where: str, *, id: bool = False
) -> str:
    value = values[column]
    if id and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise DataError(
            f"{where}, column '{column}': {value!r}",
            "It must be text that is not blank",
            "Fill it in or remove the row",
        )
    return value


def _messages(value: object, where: str) -> tuple[Message, ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = None
    messages: list[Message] = []
    for turn in value if isinstance(value, list) else ():
        role = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        if role not in _ROLES or not isinstance(content, str) or not content.strip():
            messages = []
            break
        messages.append(Message(role=role, content=content))
    if not messages or messages[-1].role != "user":
        raise DataError(
            f"{where}, column 'messages': no conversation that ends with a user turn",
            'It must be a JSON list of {"role": ..., "content": ...} with text and '
            f"roles {', '.join(_ROLES)}",
            "Mend the cell, or use a column 'prompt'",
        )
    return tuple(messages)


def _span(
    values: Mapping[str, object], answer: str, where: str
) -> tuple[int, int] | None:
    cells = [values.get("span_start"), values.get("span_end")]
    if all(cell in ("", None) for cell in cells):
        return None
    ends = [int(c) if re.fullmatch("[0-9]+", c) else -1 for c in map(str, cells)]
    if not 0 <= ends[0] < ends[1] <= len(answer):
        raise DataError(
            f"{where}, columns 'span_start' and 'span_end': {cells[0]!r}, {cells[1]!r}",
            f"They are whole numbers with 0 <= start < end <= {len(answer)}, the "
            "answer's length in characters",
            "Mend them, or leave both empty to score the whole answer",
        )
    return ends[0], ends[1]


def _group(value: object, column: str, where: str) -> GroupValue:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    raise DataError(
        f"{where}, column '{column}': {value!r}",
        "A group column holds text, finite numbers or null",
        "Write it as text, or remove the column",
    )


def _check_rows(rows: Sequence[_Row], path: Path) -> None:
    seen: dict[tuple[str, str], str] = {}
    prompts: dict[str, _Row] = {}
    for row in rows:
        key = (row.item_id, row.candidate_id)
        if key in seen:
            raise DataError(
                f"{row.where}: item_id '{key[0]}' with candidate_id '{key[1]}' stands "
                f"already in {seen[key].removeprefix(f'{path}, ')}",
                "An item has each candidate once",
                "Remove one of the rows or rename it",
            )
        seen[key] = row.where
        first = prompts.setdefault(row.item_id, row)
        if first.messages != row.messages:
            raise DataError(
                f"{row.where}: another prompt for item_id '{row.item_id}' than in "
                f"{first.where.removeprefix(f'{path}, ')}",
                "All candidates of an item answer the same prompt",
                "Give it an item_id of its own",
            )
    for column in rows[0].groups:
        kinds = {type(v) for r in rows if (v := r.groups[column]) is not None}
        if len(kinds) > 1:
            raise DataError(
                f"{path}, column '{column}': text in some rows, numbers in others",
                "A group column is of one kind",
                "Write all of it as text, or all as numbers",
            )


def _constant_within_items(rows: Sequence[_Row], column: str) -> bool:
    first: dict[str, GroupValue] = {}
    return all(
        first.setdefault(row.item_id, row.groups[column]) == row.groups[column]
        for row in rows
    )


# -- countries --------------------------------------------------------------


def _with_country(row: _Row) -> _Row:
    """Checks a row of the countries axis and adds what may be left out."""
    try:
        country = countries.by_key(row.candidate_id)
    except DataError as error:
        raise DataError(
            f"{row.where}, column 'candidate_id': '{row.candidate_id}' is no country "
            "key, and the file has a column 'iso3'",
            "Items about countries use the ISO3 code, or our key where there is none",
            error.action,
        ) from error
    if row.groups["iso3"] != country.iso3:
        raise DataError(
            f"{row.where}, column 'iso3': {row.groups['iso3']!r} beside candidate_id "
            f"'{row.candidate_id}'",
            f"It must be {country.iso3 or 'empty'}",
            "Correct one of the two",
        )
    sentiment = row.groups.get("sentiment", "neutral")
    if sentiment not in SENTIMENTS:
        raise DataError(
            f"{row.where}, column 'sentiment': {sentiment!r}",
            f"It must be one of {', '.join(SENTIMENTS)}",
            "Correct it: it decides which way the item is ranked",
        )
    added = {"sentiment": sentiment, "country": country.name}
    return dataclasses.replace(row, groups={**added, **row.groups})


def _country_columns(rows: Sequence[_Row], of_item: tuple[str, ...]) -> tuple[str, ...]:
    if "sentiment" not in of_item:
        raise DataError(
            f"{rows[0].where.rpartition(', ')[0]}, column 'sentiment': several values "
            "in one item",
            "An item has one sentiment",
            "Split the item in two",
        )
    # An item with one candidate has constant columns that are the candidate's still.
    return tuple(c for c in of_item if c not in ("iso3", "country"))
