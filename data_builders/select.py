"""Which items and which countries of a probe are used: `--limit` and `--countries`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from data_builders import countries
from probe.types import (
    BuildOptions,
    DataError,
    GroupValue,
    Item,
    NothingAskedError,
    Probe,
)


def limit_items(
    items: Iterable[Item],
    columns: Sequence[str],
    n: int,
    seed: int = 0,
    unit: str | None = None,
) -> list[Item]:
    """Draws `n` items, or all items of `n` units, stratified over item columns.

    The draw is one fixed sequence of which `n` is only the length, so a larger limit
    always contains a smaller one. Each step takes the stratum (combination of group
    values) that brings most values not drawn yet, and among those the one whose
    values lag most behind their share of all items; within a stratum the order is
    that of a hash of seed and item id, so it does not depend on file order.
    A column with more distinct values than half the items (an id, a free text) is
    no stratification and is left out.

    Args:
        items: All items of the probe, with distinct ids.
        columns: `Probe.item_columns`.
        n: How many units to draw, at least 1. Every value of every column appears once
            `n` is at least the number of values over all columns, and sooner where
            an item can bring several.
        seed: Fixes the draw.
        unit: `Probe.unit`: the column that says which items are drawn together; of
            the other columns, those with one value in every unit stratify. The draw
            does not depend on which items of a unit there are, such as those of some
            languages only. None: each item is a unit.

    Returns:
        The drawn items in their original order; all of them if there are not more.

    Raises:
        DataError: `n` is less than 1.
    """
    everything = list(items)
    if n < 1:
        raise DataError(
            f"--limit is {n}",
            "A limit is a number of items, at least 1",
            "Leave --limit away to score every item",
        )
    if unit is not None:
        drawn_units = _limit_units(everything, columns, n, seed, unit)
        return [item for item in everything if item.groups[unit] in drawn_units]
    if n >= len(everything):
        return everything
    kept = [
        column
        for column in columns
        if 2 * len({item.groups[column] for item in everything}) <= len(everything)
    ]
    queues: dict[tuple[GroupValue, ...], list[Item]] = defaultdict(list)
    for item in everything:
        queues[tuple(item.groups[column] for column in kept)].append(item)
    for queue in queues.values():
        queue.sort(key=lambda item: _hash(seed, item.id), reverse=True)
    ties = {stratum: _hash(seed, repr(stratum)) for stratum in queues}
    totals = [Counter(item.groups[column] for item in everything) for column in kept]
    drawn: list[Counter[GroupValue]] = [Counter() for _ in kept]
    chosen: set[str] = set()

    def urgency(stratum: tuple[GroupValue, ...]) -> tuple[int, float, int, str]:
        new = 0
        lag = 0.0
        for value, total, count in zip(stratum, totals, drawn, strict=True):
            new += count[value] == 0
            share = total[value] / len(everything)
            lag += (len(chosen) + 1) * share - count[value]
        return new, round(lag, 9), len(queues[stratum]), ties[stratum]

    while len(chosen) < n:
        stratum = max(queues, key=urgency)
        chosen.add(queues[stratum].pop().id)
        if not queues[stratum]:
            del queues[stratum]
        for value, count in zip(stratum, drawn, strict=True):
            count[value] += 1
    return [item for item in everything if item.id in chosen]


def build(
    probe: Probe, options: BuildOptions, limit: int | None, seed: int
) -> list[Item]:
    """The probe's items for one call.

    Args:
        probe: The benchmark.
        options: What the user chose about its text.
        limit: Number of items, drawn by `seed` and stratified; None: all.
        seed: Fixes the draw; a larger limit contains a smaller one.

    Raises:
        DataError: The probe's data cannot be had or is malformed.
    """
    items = list(probe.build(options))
    if limit is None:
        return items
    return limit_items(items, probe.item_columns, limit, seed, probe.unit)


def sampled(probe: Probe, items: Sequence[Item], limit: int | None) -> int | None:
    """The limit, if it left something out: a probe with fewer units was not sampled."""
    if limit is None:
        return None
    if probe.unit is None:
        return limit if len(items) >= limit else None
    return limit if len({item.groups[probe.unit] for item in items}) >= limit else None


def _limit_units(
    items: Sequence[Item], columns: Sequence[str], n: int, seed: int, unit: str
) -> set[GroupValue]:
    """Draws units; an item that stands for each has its value as id."""
    first: dict[GroupValue, Item] = {}
    constant = set(columns) - {unit}
    for item in items:
        one = first.setdefault(item.groups[unit], item)
        constant -= {name for name in constant if item.groups[name] != one.groups[name]}
    units = [dataclasses.replace(item, id=str(value)) for value, item in first.items()]
    kept = [name for name in columns if name in constant]
    return {item.groups[unit] for item in limit_items(units, kept, n, seed)}


def _hash(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest()


def unread(probe: Probe, options: BuildOptions) -> str | None:
    """An option that is given and that the probe would ignore; None: there is none."""
    given, plain = vars(options), vars(BuildOptions())
    names = ("articles", "span", "protocol", "personas", "languages", "shots")
    found = (one for one in names if given[one] != plain[one])
    return next((one for one in found if one not in probe.words), None)


def filter_countries(labels: Iterable[str]) -> tuple[str, ...]:
    """Turns what a user wrote after `--countries` into crosswalk keys.

    Args:
        labels: ISO3 codes, own keys such as `x-kosovo`, or any known spelling.

    Returns:
        The keys in the order given, each once.

    Raises:
        DataError: A country nobody knows, with the nearest spelling.
    """
    return tuple(
        dict.fromkeys(countries.resolve(label.strip()).key for label in labels)
    )


def keep_countries(
    names: Sequence[tuple[str, str]], keys: Sequence[str] | None, probe: str
) -> tuple[tuple[str, str], ...]:
    """Reduces a probe's countries to those asked for.

    Args:
        names: The probe's (name as it writes it, key), in its order.
        keys: `BuildOptions.countries`; None keeps all.
        probe: The probe's name, for the error.

    Returns:
        The (name, key) pairs kept, in the probe's order.

    Raises:
        DataError: A key that is not a country; `NothingAskedError`: one that is not of
            this probe.
    """
    if keys is None:
        return tuple(names)
    wanted = set(filter_countries(keys))
    missing = sorted(wanted - {key for _, key in names})
    if missing:
        raise NothingAskedError(
            f"--countries asks for {', '.join(missing)}, which {probe} does not have",
            f"Every country asked for is one of the probe's {len(names)}",
            "Leave it away, or score a probe that has it (askreddit has the most)",
        )
    return tuple(pair for pair in names if pair[1] in wanted)
