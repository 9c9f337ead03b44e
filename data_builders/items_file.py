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
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import cells, countries, select
from data_builders.tables import Table
from probe.types import (
    BuildOptions,
    Candidate,
    DataError,
    GroupValue,
    Item,
    Message,
    Probe,
)

SENTIMENTS = ("positive", "negative", "neutral")

_REQUIRED = ("item_id", "candidate_id", "answer")
_OPTIONAL = ("prompt", "messages", "span_start", "span_end")


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


def of_table(table: Table) -> Probe:
    """Reads and checks a table in the items schema.

    Returns:
        A probe called like the file. Its version is the first 8 hex digits of the
        table's sha256; its axis `countries` if there is a column `iso3`, else
        `preferences`.

    Raises:
        DataError: The table lacks a column, repeats a row, has an empty text or a
            value that does not fit; with file, line and column.
    """
    path = table.path
    _check_columns(path, table.columns)
    rows = [_row(line.values, line.where) for line in table.lines]
    _check_rows(rows, path)
    columns = tuple(rows[0].groups)
    about_countries = "iso3" in columns
    if about_countries:
        rows = [_with_country(row) for row in rows]
        columns = tuple(rows[0].groups)
    groups, ids = [row.groups for row in rows], [row.item_id for row in rows]
    of_item = tuple(c for c in columns if cells.constant_within(groups, ids, c))
    if about_countries:
        of_item = _country_columns(rows, of_item)
    of_candidate = tuple(c for c in columns if c not in of_item)
    return Probe(
        name=cells.probe_name(path),
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
            f"It must have {', '.join(_REQUIRED)} and either prompt or messages, or be "
            "of preference pairs, with prompt, chosen and rejected, or of one content "
            "in several dialects, with row_id, dialect, prompt and chosen",
            f"Add {', '.join(missing)}, or the columns of one of the other forms; one "
            "under another name is declared with --columns OURS=YOURS",
        )
    cells.check_group_names(set(columns) - {*_REQUIRED, *_OPTIONAL}, (), path)


# -- rows -------------------------------------------------------------------


def _row(values: Mapping[str, object], where: str) -> _Row:
    answer = cells.text(values, "answer", where)
    if "messages" in values:
        messages = cells.messages(values["messages"], where)
    else:
        messages = (Message(role="user", content=cells.text(values, "prompt", where)),)
    return _Row(
        where=where,
        item_id=cells.identifier(values, "item_id", where),
        messages=messages,
        candidate_id=cells.identifier(values, "candidate_id", where),
        answer=answer,
        span=_span(values, answer, where),
        groups={
            column: cells.group(value, column, where)
            for column, value in values.items()
            if column not in _REQUIRED and column not in _OPTIONAL
        },
    )


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
    cells.check_kinds([row.groups for row in rows], path)
    said: dict[str, list[object]] = {}
    for row in rows:
        own = (row.messages, row.candidate_id, row.answer, row.span, row.groups)
        said.setdefault(row.item_id, []).append(own)
    firsts = {row.item_id: row.where for row in reversed(rows)}
    cells.check_distinct(list(said.values()), [firsts[id] for id in said])


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
