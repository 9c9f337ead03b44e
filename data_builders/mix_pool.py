"""Rows that a mix may draw from: read, filtered, and cleaned of what must not be."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import mix_duplicates, training_sources
from data_builders.memory import Memory, Same
from data_builders.mix_config import (
    DOSE,
    REST,
    Mix,
    Part,
    Value,
    listed,
    said,
    values_of,
)
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


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What does not depend on dose and seed."""

    read: tuple[Rows, ...]
    """Each source once."""
    clean: Clean


_PREPARED: Memory[Prepared] = Memory(4)
_SCORED: Memory[ScoredTexts] = Memory(2)


def prepared(
    mix: Mix, data: Path | None, half_seed: int, scored: Sequence[Item]
) -> Prepared:
    """Reads and cleans what a mix may draw from, once for all doses and seeds.

    Within a process it is done again if a file, the mix, or an item has changed.

    Raises:
        UsageError: As `read`.
        ConfigError: As `read`.
        DataError: As `read`.
    """

    def make() -> Prepared:
        found, filtered = read(mix, data, half_seed)
        return Prepared(read=tuple(found), clean=clean(mix, filtered, scored))

    digests = {name: tuple(of.items()) for name, of in read_digests(mix, data).items()}
    places = tuple(map(mix.place, mix.parts))
    key = (mix.model_dump_json(), places, data, half_seed, tuple(digests.items()))
    return _PREPARED.get((*key, Same(scored)), make)


def read_digests(mix: Mix, data: Path | None) -> dict[str, dict[str, str]]:
    """sha256 of the files that a draw would read; they are hashed, and not parsed.

    Returns:
        Name of the source, as in `Drawn.sources` -> the file's name -> its sha256.

    Raises:
        UsageError: A source does not exist.
        DataError: The data cannot be had.
    """
    found = {}
    for name, part in _sources(mix).values():
        found[name] = training_sources.digests(mix.path(part), data)
    return found


def read(
    mix: Mix, data: Path | None, half_seed: int
) -> tuple[list[Rows], list[tuple[TrainingRow, ...]]]:
    """Reads the sources of a mix, each once, and filters them for each part.

    Of files with one stem, rows are named by as much of the path as tells them apart.

    Raises:
        UsageError: A source does not exist.
        ConfigError: A filter does not fit its source, the source has the wrong form, or
            the part with the rest has rows that have what the dose adds.
        DataError: The data cannot be had, or is malformed.
    """
    loaded: dict[str, Rows] = {}
    parts = []
    named = _sources(mix)
    for number, part in enumerate(mix.parts, start=1):
        place, where = mix.place(part), f"{mix.where}, part {number} ({part.origin})"
        if place not in loaded:
            name, first = named[place]
            rows = training_sources.load(mix.path(first), data, half_seed=half_seed)
            loaded[place] = _fitting(_renamed(rows, name), mix, where)
        parts.append(_filtered(loaded[place], part, where))
    _check_rest(mix, parts)
    return list(loaded.values()), parts


def _sources(mix: Mix) -> dict[str, tuple[str, Part]]:
    """Place of each source -> a name of its own, and the first part that reads it."""
    first: dict[str, Part] = {}
    for part in mix.parts:
        first.setdefault(mix.place(part), part)
    names = {
        place: part.source or Path(mix.path(part)).stem for place, part in first.items()
    }
    depth = 0
    while len(set(names.values())) < len(names):
        depth += 1
        counts = Counter(names.values())
        for place, part in first.items():
            if counts[names[place]] > 1 and part.file is not None:
                names[place] = "/".join(Path(place).parts[-depth:])
    return {place: (names[place], part) for place, part in first.items()}


def _renamed(rows: Rows, name: str) -> Rows:
    if rows.name == name:
        return rows
    return dataclasses.replace(
        rows,
        name=name,
        rows=tuple(
            dataclasses.replace(
                row, id=name + row.id.removeprefix(rows.name), source=name
            )
            for row in rows.rows
        ),
    )


def _check_rest(mix: Mix, parts: Sequence[Sequence[TrainingRow]]) -> None:
    """Checks that the rest lacks what the dose has, but in a placebo."""
    dose, rest = mix.at(DOSE), mix.at(REST)
    if dose is None or rest is None or mix.is_placebo:
        return
    if mix.place(mix.parts[dose]) != mix.place(mix.parts[rest]):
        return
    having = {row.id for row in parts[dose]}
    both = sum(row.id in having for row in parts[rest])
    if both:
        wanted = mix.parts[dose].filter
        raise ConfigError(
            f"{mix.where}: {both} of the {len(parts[rest])} rows of `parts.{rest}` "
            f"(`share: rest`) meet the filter of `parts.{dose}` (`share: dose`"
            + (f", {wanted})" if wanted else ", which has none)"),
            "The part with the rest lacks what the part with the dose has; only a "
            "placebo has the same filter in both",
            f"Narrow `parts.{rest}.where`"
            + ("" if wanted else f", and give `parts.{dose}` a `where`"),
        )


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
        leave_out(TOO_LONG, _too_long(rows, mix.max_characters, mix.match == "content"))
    leave_out(EXACT, mix_duplicates.exact(parts))
    texts = _SCORED.get(Same(scored), lambda: scored_texts(scored))
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
            counts = Counter(said(row.groups.get(name)) for row in rows)
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
    return value is not None and any(_equal(value, one) for one in values_of(wanted))


def _equal(value: str | float, wanted: Value) -> bool:
    """Whether a value is the one wanted; in a csv, a number is a text."""
    if isinstance(wanted, float):
        try:
            return float(value) == wanted
        except ValueError:
            return False
    return said(value) == wanted


def _too_long(
    rows: Sequence[TrainingRow], most: int, whole_contents: bool
) -> dict[str, str | None]:
    """Ids of rows that are too long, or with a content of which a version is."""
    found: dict[str, str | None] = {row.id: None for row in rows if row.n_chars > most}
    if whole_contents:
        by_content = {row.content: row.id for row in rows if row.id in found}
        for row in rows:
            if row.content in by_content:
                found.setdefault(row.id, by_content[row.content])
    return found
