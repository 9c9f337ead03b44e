"""A user's own file with the same content in several dialects becomes a probe.

Two forms of a table are read:

    long   a row per content and dialect: `row_id` (or item_id, id), `dialect`,
           `prompt`, `chosen`, and `rejected` if there are such answers
    wide   a row per content: `prompt`, `chosen`, `rejected`, and `prompt_X`,
           `chosen_X`, `rejected_X` for every other dialect X

Other columns become group columns: the item's if constant within each row's dialects,
else the candidate's. How rows become items stands in `dialect_rows`. A user's file is
scored whole: it is not divided in halves.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

from data_builders import cells
from data_builders.dialect_rows import (
    CANDIDATE_COLUMNS,
    ITEM_COLUMNS,
    STANDARD,
    Rows,
    Texts,
    Usable,
    check_dialect,
    compare,
    items,
    ordered,
)
from data_builders.preferences import IDS
from data_builders.tables import Line, Table
from probe.types import BuildOptions, DataError, GroupValue, Item, Probe

_ROLES = ("prompt", "chosen", "rejected")


def is_pairs(columns: Sequence[str]) -> bool:
    """Whether a table with such columns holds one content in several dialects."""
    return "chosen" in columns and ("dialect" in columns or bool(_wide(columns)))


def of_table(table: Table) -> Probe:
    """Reads a user's file of the same content in several dialects.

    Returns:
        A probe called like the file, its version the first 8 hex digits of the table's
        sha256.

    Raises:
        DataError: A column is missing, a cell does not fit, a row stands twice, or
            there is nothing to compare; with file, line and column.
    """
    found = _read_long(table) if "dialect" in table.columns else read_wide(table)
    key = next((name for name in IDS if name in table.columns), None)
    wheres: dict[str, str] = {}
    for number, line in enumerate(table.lines, start=1):
        wheres.setdefault(str(number) if key is None else _id(line, key), line.where)
    cells.check_distinct([dict(found.rows[id]) for id in wheres], [*wheres.values()])
    usable = compare(found, str(table.path))
    ids = [id for id, row in found.rows.items() for texts in row.values() if texts]
    groups = [
        texts.groups for row in found.rows.values() for texts in row.values() if texts
    ]
    cells.check_kinds(groups, table.path)
    constant = tuple(
        name for name in found.columns if cells.constant_within(groups, ids, name)
    )
    of_item = tuple(name for name in constant if name != "subset")
    of_candidate = tuple(name for name in found.columns if name not in constant)
    if "subset" in of_candidate:
        raise DataError(
            f"{table.path}, column 'subset': several values in one row",
            "A row belongs to one subset in all its dialects",
            "Correct it, or read the column by another name: --columns other=subset",
        )
    return Probe(
        name=cells.probe_name(table.path),
        version=table.sha[:8],
        title=f"The same content in several dialects: {table.path.name}",
        axis="dialects",
        fits=frozenset({"reward", "policy"}),
        item_columns=(*ITEM_COLUMNS, *of_item),
        candidate_columns=(*CANDIDATE_COLUMNS, *of_candidate),
        sources=(),
        build=functools.partial(_build, usable, of_item, of_candidate),
        words=frozenset(),
        unit="row",
        dropped=lambda options: usable.dropped,
    )


def _build(
    usable: Usable,
    of_item: Sequence[str],
    of_candidate: Sequence[str],
    options: BuildOptions,
) -> Iterator[Item]:
    yield from items(usable, of_item, of_candidate)


def read_wide(
    table: Table, names: Mapping[str, str] | None = None, key: str | None = None
) -> Rows:
    """Reads a row per content, a set of columns per dialect.

    Args:
        table: The table.
        names: Ending of a dialect's columns -> its name; None: all that are there, by
            these endings.
        key: The column with the rows' ids; None: the first of `IDS` that is there,
            else rows are numbered.

    Raises:
        DataError: A column is missing, a cell is no text, or an id stands twice.
    """
    found = _wide(table.columns)
    names = names or {ending: ending for ending in found}
    has_rejected = "rejected" in table.columns
    roles = _ROLES if has_rejected else _ROLES[:2]
    endings = {STANDARD: "", **{name: f"_{end}" for end, name in names.items()}}
    if len(endings) != len(names) + 1:
        raise DataError(
            f"{table.path} has columns such as chosen_{STANDARD} beside chosen",
            f"The columns without an ending are the dialect '{STANDARD}'",
            "Give the other one another name",
        )
    needed = [f"{role}{ending}" for ending in endings.values() for role in roles]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise DataError(
            f"{table.path} has no column '{missing[0]}'",
            f"Each dialect has the columns {', '.join(f'{r}_DIALECT' for r in roles)}",
            "Add or rename it; a column of that meaning is declared with "
            f"--columns {missing[0]}=NAME",
        )
    if key is None:
        key = next((name for name in IDS if name in table.columns), None)
    columns = tuple(
        name for name in table.columns if name not in needed and name != key
    )
    cells.check_group_names(
        columns, (*ITEM_COLUMNS[:3], *CANDIDATE_COLUMNS), table.path
    )
    rows: dict[str, Mapping[str, Texts | None]] = {}
    seen: dict[str, str] = {}
    for number, line in enumerate(table.lines, start=1):
        id = str(number) if key is None else _id(line, key)
        _once(id, f"{key} '{id}'", line, table, seen)
        groups = _groups(line, columns)
        rows[id] = {
            dialect: _texts(line, ending, has_rejected, groups)
            for dialect, ending in endings.items()
        }
    return Rows(rows=rows, dialects=tuple(endings), columns=columns)


def _wide(columns: Sequence[str]) -> list[str]:
    """Endings of the dialects' columns: of prompts that have an answer beside them."""
    endings = [c.removeprefix("prompt_") for c in columns if c.startswith("prompt_")]
    return [
        ending
        for ending in endings
        if ending and {f"chosen_{ending}", f"rejected_{ending}"} & set(columns)
    ]


def _read_long(table: Table) -> Rows:
    key = next((name for name in IDS if name in table.columns), None)
    needed = ("row_id" if key is None else key, "dialect", "prompt", "chosen")
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise DataError(
            f"{table.path} has no column '{missing[0]}'",
            "The same content in several dialects has the columns row_id, dialect, "
            "prompt, chosen and, if there are such answers, rejected",
            "Add it; a column that holds it under another name is declared with "
            f"--columns {missing[0]}=NAME",
        )
    assert key is not None
    has_rejected = "rejected" in table.columns
    columns = tuple(name for name in table.columns if name not in (*needed, "rejected"))
    cells.check_group_names(columns, (*ITEM_COLUMNS[:3], "role", "same"), table.path)
    rows: dict[str, dict[str, Texts | None]] = {}
    dialects: dict[str, None] = {}
    seen: dict[str, str] = {}
    for line in table.lines:
        id = _id(line, key)
        dialect = check_dialect(
            cells.text(line.values, "dialect", line.where), line.where
        )
        _once(f"{id}/{dialect}", f"{key} '{id}' in '{dialect}'", line, table, seen)
        dialects[dialect] = None
        groups = _groups(line, columns)
        rows.setdefault(id, {})[dialect] = _texts(line, "", has_rejected, groups)
    return Rows(rows=rows, dialects=ordered(dialects), columns=columns)


def _id(line: Line, key: str) -> str:
    return cells.identifier(line.values, key, line.where)


def _once(key: str, what: str, line: Line, table: Table, seen: dict[str, str]) -> None:
    if key in seen:
        raise DataError(
            f"{line.where}: {what} stands already in "
            f"{seen[key].removeprefix(f'{table.path}, ')}",
            "A row stands once in each dialect",
            "Remove one of the two or give it another id",
        )
    seen[key] = line.where


def _groups(line: Line, columns: Sequence[str]) -> dict[str, GroupValue]:
    return {name: cells.group(line.values[name], name, line.where) for name in columns}


def _texts(
    line: Line, ending: str, has_rejected: bool, groups: Mapping[str, GroupValue]
) -> Texts | None:
    roles = _ROLES if has_rejected else _ROLES[:2]
    found: dict[str, str] = {}
    for role in roles:
        value = line.values[f"{role}{ending}"]
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"{line.where}, column '{role}{ending}': {repr(value)[:60]}",
                "The prompts and answers of dialects are text",
                "Write it as text; a conversation can be read as one prompt",
            )
        if value is not None and value.strip():
            found[role] = value
    if "prompt" not in found or "chosen" not in found:
        return None
    return Texts(
        prompt=found["prompt"],
        chosen=found["chosen"],
        rejected=found.get("rejected"),
        groups=groups,
    )
