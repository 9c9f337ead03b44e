"""Rows that a mix may draw from: read, filtered, and cleaned of what must not be."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import mix_duplicates, training_sources
from data_builders.mix_config import Mix, Part, Value, listed
from data_builders.mix_overlap import Overlap, ScoredTexts, overlaps, scored_texts
from data_builders.training_types import Rows, TrainingRow
from probe.config import did_you_mean
from probe.types import ConfigError, GroupValue, Item

TOO_LONG = "longer than max_characters"
EXACT = "exact duplicate"
NEAR = "near duplicate"
OVERLAP = "shares a text with a scored item"
_MOST_VALUES = 20
"""Values of a column that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Clean:
    """What the parts may draw from, and what was left out."""

    parts: tuple[tuple[TrainingRow, ...], ...]
    """Rows of each part; a row may be in several."""
    group: Mapping[str, str]
    """Key -> the least of the keys it is joined with."""
    dropped: dict[str, dict[str, str | None]]
    """As `Drawn.dropped`."""
    overlaps: tuple[Overlap, ...]
    scored: ScoredTexts


def read(
    mix: Mix, data: Path | None, half_seed: int
) -> tuple[list[Rows], list[tuple[TrainingRow, ...]]]:
    """Reads the sources of a mix, each once, and filters them for each part.

    Raises:
        UsageError: A source does not exist.
        ConfigError: A filter does not fit its source, or the source has the wrong form.
        DataError: The data cannot be had, or is malformed.
    """
    loaded: dict[str, Rows] = {}
    parts = []
    for number, part in enumerate(mix.parts, start=1):
        ref, where = mix.path(part), f"{mix.where}, part {number} ({part.origin})"
        if ref not in loaded:
            rows = training_sources.load(ref, data, half_seed=half_seed)
            loaded[ref] = _fitting(rows, mix, where)
        parts.append(_filtered(loaded[ref], part, where))
    return list(loaded.values()), parts


def clean(
    mix: Mix, filtered: Sequence[Sequence[TrainingRow]], scored: Sequence[Item]
) -> Clean:
    """Leaves out what is too long, there twice, or scored; joins keys.

    Of rows that are alike the first is kept: of the part that comes first, and of it
    the row with the least id.
    """
    parts = [sorted(part, key=lambda one: one.id) for part in filtered]
    rows = list({row.id: row for part in parts for row in part}.values())
    # Of all rows, so that what is held out depends on the sources alone.
    group = mix_duplicates.joined(rows, mix.near_duplicates)
    dropped: dict[str, dict[str, str | None]] = {}

    def leave_out(reason: str, ids: Mapping[str, str | None]) -> None:
        nonlocal rows
        here = {row.id for row in rows}
        if new := {id: why for id, why in ids.items() if id in here}:
            dropped[reason] = new
            rows = [row for row in rows if row.id not in ids]

    if mix.max_characters is not None:
        most = mix.max_characters
        leave_out(TOO_LONG, {row.id: None for row in rows if row.n_chars > most})
    leave_out(EXACT, mix_duplicates.exact(parts))
    texts = scored_texts(scored)
    hits = overlaps(rows, texts)
    leave_out(OVERLAP, {one.row_id: one.item_id for one in hits})
    if mix.near_duplicates is not None:
        leave_out(NEAR, mix_duplicates.near(rows, mix.near_duplicates))
    left = {row.id for row in rows}
    return Clean(
        parts=tuple(tuple(row for row in part if row.id in left) for part in filtered),
        group=group,
        dropped=dropped,
        overlaps=tuple(hits),
        scored=texts,
    )


def _fitting(rows: Rows, mix: Mix, where: str) -> Rows:
    """Rows in the form of the mix's stage."""
    if rows.form == mix.form:
        return rows
    if mix.form == "preference":
        raise ConfigError(
            f"{where}: its rows have one answer each",
            f"Stage {mix.stage} needs a chosen and a rejected answer",
            "Name a source of preferences, or write `stage: sft`",
        )
    return dataclasses.replace(
        rows,
        rows=tuple(
            dataclasses.replace(row, completion=row.chosen, chosen=None, rejected=None)
            for row in rows.rows
        ),
    )


def _filtered(source: Rows, part: Part, where: str) -> tuple[TrainingRow, ...]:
    rows = source.rows
    columns = source.columns
    # Last, because it may have to be found out, row by row.
    names = sorted(part.where, key=lambda one: one == training_sources.LANG)
    for name in names:
        if name not in columns:
            if name != training_sources.LANG:
                raise ConfigError(
                    f"{where}: `where` names a column '{name}', which the source lacks",
                    "A filter names columns of its source",
                    did_you_mean(name, {*columns, training_sources.LANG}),
                )
            rows = training_sources.tagged(dataclasses.replace(source, rows=rows)).rows
        wanted = part.where[name]
        kept = tuple(row for row in rows if _meets(row.groups.get(name), wanted))
        if not kept:
            counts = Counter(_said(row.groups.get(name)) for row in rows)
            most = counts.most_common(_MOST_VALUES)
            values = ", ".join(f"{value} ({n})" for value, n in most)
            more = f" and {len(counts) - len(most)} more" * (len(counts) > len(most))
            raise ConfigError(
                f"{where}: no row has {name}: {listed(wanted)}",
                f"There are the values (rows) {values}{more}",
                "Correct `where`",
            )
        rows = kept
    return rows


def _meets(value: GroupValue, wanted: Value | tuple[Value, ...]) -> bool:
    values = wanted if isinstance(wanted, tuple) else (wanted,)
    # In a csv, a number is a text.
    return value is not None and _said(value) in {_said(one) for one in values}


def _said(value: GroupValue) -> str:
    if isinstance(value, str):
        return value
    return "(none)" if value is None else f"{value:g}"
