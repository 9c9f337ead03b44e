"""Preference pairs: does a model score the chosen answer above the rejected one?

RewardBench, and any file with a prompt, a chosen and a rejected answer, in the forms of
`conversations`. Other columns of a file become group columns; lists and objects do not.

RewardBench is divided by prompt like `dialect_pairs`, whose texts are a part of it, so
that what training may read there is not scored here either. For all of its pairs, score
the file itself: `rm-probe score reward_bench_filtered.jsonl MODEL`.

Source: Lambert et al., "RewardBench: Evaluating Reward Models for Language Modeling",
2024; its filtered pairs. Where only the pairs of `dialect_pairs` are at hand, their
standard English is read: 594 of the 2,985.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data_builders import cells, halves, sources, tables
from data_builders.conversations import ANSWERS, Pair, read_pair
from data_builders.tables import Table
from probe.types import BuildOptions, Candidate, DataError, GroupValue, Item, Probe

IDS = ("item_id", "row_id", "id")
"""Columns that may hold a row's id; the first that is there does."""
HELD_BACK = "held back for training"

_COLUMNS = ("prompt", *ANSWERS, "subset", "id")


@dataclass(frozen=True, kw_only=True)
class _Row:
    id: str
    pair: Pair | str
    """The pair, or why there is none."""
    groups: Mapping[str, GroupValue]


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields RewardBench's pairs of one half, in the file's order.

    Raises:
        DataError: The data cannot be had, or a file is malformed; with its place.
    """
    for row in _read(options):
        if isinstance(row.pair, Pair) and _is_asked(row.pair, options):
            yield _item(row, row.pair)


def dropped(options: BuildOptions) -> Counter[str]:
    """Pairs that are not scored, by reason.

    Raises:
        DataError: As `build`.
    """
    rows = _read(options)
    lost = _unusable(rows)
    lost[HELD_BACK] = sum(
        isinstance(row.pair, Pair) and not _is_asked(row.pair, options) for row in rows
    )
    return lost


def _is_asked(pair: Pair, options: BuildOptions) -> bool:
    prompt = pair.messages[-1].content
    return halves.half(prompt, options.half_seed) == options.half


def _read(options: BuildOptions) -> list[_Row]:
    path = sources.path("rewardbench", options.data)
    if path.suffix == ".parquet":
        table = tables.read_parquet(path)
    else:
        table = tables.read_json_lines(path)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}",
            f"RewardBench has the columns {', '.join(_COLUMNS)}",
            "Use the file as published",
        )
    rows = [
        _Row(
            id=f"{line.values['subset']}/{line.values['id']}",
            pair=read_pair(line.values, line.where),
            groups={"subset": cells.group(line.values["subset"], "subset", line.where)},
        )
        for line in table.lines
    ]
    _check_ids([row.id for row in rows], table, "subset and id")
    return rows


def of_table(table: Table) -> Probe:
    """Reads a user's file of pairs.

    Args:
        table: With `chosen` and `rejected`, and in most forms `prompt`.

    Returns:
        A probe called like the file, its version the first 8 hex digits of the table's
        sha256. Its item columns are the file's other columns.

    Raises:
        DataError: A cell does not fit, an id stands twice, or no row is a pair; with
            file, line and column.
    """
    path = table.path
    missing = [name for name in ANSWERS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column '{missing[0]}'",
            "A preference pair has a chosen and a rejected answer; the same content in "
            "several dialects also has a column 'dialect'",
            "Add it; a column that holds it under another name is declared with "
            f"--columns {missing[0]}=NAME",
        )
    key = next((name for name in IDS if name in table.columns), None)
    ids = [
        str(number) if key is None else cells.identifier(line.values, key, line.where)
        for number, line in enumerate(table.lines, start=1)
    ]
    _check_ids(ids, table, key or "")
    known = {"prompt", *ANSWERS, key}
    if "prompt" not in table.columns:
        known.add("messages")
    columns = tuple(
        name
        for name in table.columns
        if name not in known
        and not any(isinstance(line.values[name], list | dict) for line in table.lines)
    )
    cells.check_group_names(columns, ("role",), path)
    rows = [
        _Row(
            id=id,
            pair=read_pair(line.values, line.where),
            groups={
                name: cells.group(line.values[name], name, line.where)
                for name in columns
            },
        )
        for id, line in zip(ids, table.lines, strict=True)
    ]
    cells.check_kinds([row.groups for row in rows], path)
    usable = [
        ({name: cell for name, cell in line.values.items() if name != key}, line.where)
        for row, line in zip(rows, table.lines, strict=True)
        if isinstance(row.pair, Pair)
    ]
    cells.check_distinct([said for said, _ in usable], [where for _, where in usable])
    lost = _unusable(rows)
    if lost.total() == len(rows):
        raise DataError(
            f"{path} has no pair that can be scored: "
            + ", ".join(f"{number} {why}" for why, number in lost.items()),
            "At least one row has a prompt and two different answers",
            "Check the file",
        )
    return Probe(
        name=cells.probe_name(path),
        version=table.sha[:8],
        title=f"Preference pairs of {path.name}",
        axis="preferences",
        fits=frozenset({"reward", "policy"}),
        item_columns=columns,
        candidate_columns=("role",),
        sources=(),
        build=functools.partial(_build_all, rows),
        words=frozenset(),
        dropped=lambda options: lost,
    )


def _build_all(rows: Sequence[_Row], options: BuildOptions) -> Iterator[Item]:
    for row in rows:
        if isinstance(row.pair, Pair):
            yield _item(row, row.pair)


def _unusable(rows: Sequence[_Row]) -> Counter[str]:
    return Counter(row.pair for row in rows if isinstance(row.pair, str))


def _check_ids(ids: Sequence[str], table: Table, column: str) -> None:
    seen: dict[str, str] = {}
    for id, line in zip(ids, table.lines, strict=True):
        if id in seen:
            raise DataError(
                f"{line.where}: {column} '{id}' stands already in "
                f"{seen[id].removeprefix(f'{table.path}, ')}",
                "Each row is a pair of its own; rows of the same content in several "
                "dialects are told apart by a column 'dialect'",
                "Remove one of the rows or give it another id; a column that names the "
                "dialect otherwise is declared with --columns dialect=NAME",
            )
        seen[id] = line.where


def _item(row: _Row, pair: Pair) -> Item:
    return Item(
        id=row.id,
        messages=pair.messages,
        candidates=tuple(
            Candidate(id=role, answer=answer, groups={"role": role})
            for role, answer in zip(ANSWERS, (pair.chosen, pair.rejected), strict=True)
        ),
        groups=row.groups,
    )


PROBE = Probe(
    name="preferences",
    version="1",
    title="Is the chosen answer preferred? RewardBench",
    axis="preferences",
    fits=frozenset({"reward", "policy"}),
    item_columns=("subset",),
    candidate_columns=("role",),
    sources=("rewardbench",),
    build=build,
    words=frozenset({"half"}),
    dropped=dropped,
)
