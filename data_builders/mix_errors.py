"""What is said where a mix asks for more rows than there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from data_builders import mix_draw, mix_pool, training_sources, training_table
from data_builders.mix_config import Mix, Part
from data_builders.mix_draw import Pool, Shortage
from data_builders.mix_pool import Prepared
from data_builders.training_types import Rows
from probe.types import DataError

_STEPS = 4
"""Doses are tried in so many steps."""
_MOST_VALUES = 12
"""Languages that a message lists."""


def too_few(
    mix: Mix,
    dose: float | None,
    salt: str,
    short: Shortage,
    pools: Sequence[Pool],
    ready: Prepared,
) -> DataError:
    """The error of a draw that came short, with the number of rows that would do."""
    rows = int(mix.rows)
    scored = len(ready.clean.dropped.get(mix_pool.OVERLAP, ()))
    lost = f" ({scored} rows share a text with a scored item)" if scored else ""

    def feasible(at: float | None) -> Callable[[int], bool]:
        def drawn(n: int) -> bool:
            counts = _counts(mix, at, n)
            try:
                mix_draw.draw(pools, counts, ready.clean.group, mix.match, salt)
            except Shortage:
                return False
            return True

        return drawn

    most = mix_draw.largest(feasible(dose), rows)
    if mix.match == "content":
        return _few_contents(mix, rows, most, pools, ready, lost)
    action = _action(mix, dose, most, feasible)
    part = mix.parts[short.part]
    which = " in a bin of length" if mix.match == "length" else ""
    return DataError(
        f"{mix.where}, part {short.part + 1} ({_named(part)}): {short.asked} rows are "
        f"asked for{which}, and there are {short.available}{lost}",
        "No row is drawn twice, and no key by two parts, unless the part has "
        "`upsample: true`, which repeats rows",
        action + ", or `upsample: true` in the part",
    )


def none_left(mix: Mix, ready: Prepared, held: int) -> DataError:
    """The error of a mix of all rows, where none is left."""
    reasons = {reason: len(ids) for reason, ids in ready.clean.dropped.items()}
    lost = training_table.listed({**reasons, "held out": held})
    return DataError(
        f"{mix.where}: no row is left to train on; left out are {lost}",
        "A mix has at least one row that is neither held out nor scored",
        "Choose other parts, or what is scored from elsewhere",
    )


def _counts(mix: Mix, dose: float | None, rows: int) -> list[int]:
    return mix_draw.allocate(rows, mix.shares(dose) or [])


def _action(
    mix: Mix,
    dose: float | None,
    most: int,
    feasible: Callable[[float | None], Callable[[int], bool]],
) -> str:
    if not most:
        return "Choose other parts"
    if dose is None:
        return f"Write `rows: {most}` or fewer"
    highest = 1 - sum(one.share for one in mix.parts if isinstance(one.share, float))
    doses = [highest * step / _STEPS for step in range(_STEPS + 1)]
    every = most
    for one in doses:
        if not feasible(one)(every):
            every = mix_draw.largest(feasible(one), every)
    tried = ", ".join(f"{one:g}" for one in doses)
    return (
        f"Write `rows: {most}` or fewer, which holds for a dose of {dose:g}; "
        + (f"`rows: {every}` holds" if every else "no number holds")
        + f" for each of {tried}"
    )


def _few_contents(
    mix: Mix,
    rows: int,
    most: int,
    pools: Sequence[Pool],
    ready: Prepared,
    lost: str,
) -> DataError:
    has = "; ".join(
        f"part {number} ({_named(part)}) has {len({one.content for one in pool.rows})}"
        for number, (part, pool) in enumerate(zip(mix.parts, pools, strict=True), 1)
    )
    needed = (
        "With `match: content` each row's content is there in every part, in rows that "
        "are neither held out nor scored"
        + (", of which none is too long" if mix.max_characters is not None else "")
    )
    if most:
        return DataError(
            f"{mix.where}: {rows} rows are asked for, and the parts have {most} "
            f"contents in common{lost}: {has}",
            needed,
            f"Write `rows: {most}` or fewer, which holds for every dose",
        )
    held = "; ".join(filter(None, map(_languages, ready.read)))
    copies = _parallel(mix, ready.read)
    return DataError(
        f"{mix.where}: {rows} rows are asked for, and the parts have no contents in "
        f"common{lost}: {has}" + (f". {held}" if held else ""),
        needed,
        (f"Pass a --data folder with {copies}; or w" if copies else "W")
        + "rite `match: none`, or choose parts that say the same",
    )


def _parallel(mix: Mix, read: Sequence[Rows]) -> str:
    """Files with the same contents in several languages, where none has been read."""
    files = [file for rows in read for file in rows.files]
    for part in mix.parts:
        if part.source is not None and training_sources.LANG in part.where:
            copies = training_sources.local_copies(part.source)
            if copies and not any(file in copies for file in files):
                return copies
    return ""


def _languages(rows: Rows) -> str:
    """Which languages a source holds, as it was read; empty: it does not say."""
    counts = Counter(
        mix_pool.said(row.groups[training_sources.LANG])
        for row in rows.rows
        if training_sources.LANG in row.groups
    )
    if not counts:
        return ""
    listed = ", ".join(f"{one} ({n})" for one, n in counts.most_common(_MOST_VALUES))
    more = len(counts) - _MOST_VALUES
    return (
        f"{rows.name}, as read from {', '.join(rows.files)}, holds the languages "
        f"(rows) {listed}" + (f" and {more} more" if more > 0 else "")
    )


def _named(part: Part) -> str:
    return part.origin + (f", {part.filter}" if part.filter else "")
