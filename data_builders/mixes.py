"""Controlled mixes to train on: exactly which rows, at which share of an attribute.

A mix is a YAML file. Its parts draw rows from training sources; the part whose share is
`dose` has the attribute that an ablation varies, the part whose share is `rest` lacks
it. Everything else is held equal: the number of rows always, and by `match` what the
rows say, or how long they are.

What is drawn holds no row twice, no key in two parts (nothing is said in two
languages), and no text of the items that are scored (`mix_overlap`).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

from data_builders import mix_draw, mix_files, mix_pool
from data_builders.mix_config import DOSE, REST, Mix, Part, names, read_mix
from data_builders.mix_draw import Pool, Shortage, Taken
from data_builders.mix_files import Drawn, DrawnPart, Stored, read_drawn
from data_builders.mix_overlap import overlaps
from data_builders.training_types import TrainingRow
from probe.types import DataError, Item

__all__ = [
    "Drawn",
    "DrawnPart",
    "Mix",
    "Part",
    "Stored",
    "draw",
    "names",
    "read_drawn",
    "read_mix",
]

OTHER_PART = "another part has its key"
_HOLD_OUT_SEED = 0
"""What is held out is the same for every seed of a mix."""


def draw(
    mix: Mix,
    *,
    dose: float | None,
    seed: int,
    data: Path | None,
    scored: Sequence[Item] = (),
    half_seed: int = 0,
) -> Drawn:
    """Draws the rows of a mix.

    Args:
        mix: From `read_mix`.
        dose: Share of the part that has the attribute; None for a mix without one.
        seed: Another seed is another draw and another order. Rows held out are the
            same for all.
        data: Folder with local copies of the sources; None: the hub.
        scored: All items that what is trained will be scored on. Rows that share a
            text with one are left out before anything is drawn.
        half_seed: Division of sources that are divided with a probe.

    Raises:
        UsageError: The dose does not fit the mix, or a source does not exist.
        ConfigError: A filter names a column or a value that the source lacks, or the
            source has the wrong form.
        DataError: The data cannot be had, or there are too few rows.
    """
    shares = mix.shares(dose)
    read, filtered = mix_pool.read(mix, data, half_seed)
    clean = mix_pool.clean(mix, filtered, scored)
    held = {
        key
        for key, leader in clean.group.items()
        if mix.hold_out is not None and _fraction(leader) < mix.hold_out
    }
    pools = [
        Pool(
            rows=tuple(row for row in rows if row.key not in held),
            upsample=part.upsample,
            turn={DOSE: 1, REST: 2}.get(str(part.share), 0),
            from_back=part.share == REST,
        )
        for part, rows in zip(mix.parts, clean.parts, strict=True)
    ]
    counts: list[int] | None = None
    if shares is None or mix.rows == "all":
        taken = mix_draw.draw_all(pools, clean.group, seed)
        left = {row.id for rows in taken for row in rows}
        for pool in pools:
            lost = {row.id: None for row in pool.rows if row.id not in left}
            if lost:
                clean.dropped.setdefault(OTHER_PART, {}).update(lost)
    else:
        counts = mix_draw.allocate(mix.rows, shares)
        try:
            taken = mix_draw.draw(pools, counts, clean.group, mix.match, seed)
        except Shortage as short:
            raise _too_few(mix, mix.rows, short, pools, shares, clean, seed) from short
    train = _shuffled(taken, mix, seed)
    assert not overlaps(train, clean.scored), "a row that overlaps was drawn"
    everything = {row.id: row for rows in clean.parts for row in rows}
    return Drawn(
        name=mix.name,
        config=mix.model_dump(mode="json"),
        form=mix.form,
        dose=dose,
        seed=seed,
        half_seed=half_seed,
        train=train,
        held_out=tuple(
            everything[id] for id in sorted(everything) if everything[id].key in held
        ),
        parts=tuple(
            DrawnPart(
                source=part.origin,
                where=part.filter,
                share=None if shares is None else shares[at],
                asked=None if counts is None else counts[at],
                available=len(pools[at].rows),
                drawn=len(taken[at]),
                upsampled=len(taken[at]) - len({row.id for row in taken[at]}),
                mean_chars=mix_files.mean_chars(taken[at]),
                mean_chars_available=mix_files.mean_chars(pools[at].rows),
            )
            for at, part in enumerate(mix.parts)
        ),
        differences=tuple(
            mix_files.Difference(
                part=one,
                other=other,
                drawn=mix_files.difference(taken[one], taken[other]),
                available=mix_files.difference(pools[one].rows, pools[other].rows),
            )
            for one, other in itertools.combinations(range(len(pools)), 2)
        ),
        dropped=clean.dropped,
        overlaps=tuple(clean.overlaps),
        scored_items=len(scored),
        sources=tuple(mix_files.origin(one) for one in read),
    )


def _too_few(
    mix: Mix,
    rows: int,
    short: Shortage,
    pools: Sequence[Pool],
    shares: Sequence[float],
    clean: mix_pool.Clean,
    seed: int,
) -> DataError:
    def feasible(n: int) -> bool:
        try:
            counts = mix_draw.allocate(n, shares)
            mix_draw.draw(pools, counts, clean.group, mix.match, seed)
        except Shortage:
            return False
        return True

    most = mix_draw.largest(feasible, rows)
    action = f"Write `rows: {most}` or fewer" if most else "Choose other parts"
    scored = len(clean.dropped.get(mix_pool.OVERLAP, ()))
    lost = f" ({scored} rows share a text with a scored item)" if scored else ""
    if mix.match == "content":
        return DataError(
            f"{mix.where}: {rows} rows are asked for, and the parts have "
            f"{short.available} contents in common{lost}",
            "With `match: content` each row's content is there in every part, in rows "
            "that are neither held out nor scored",
            action,
        )
    part = mix.parts[short.part]
    named = part.origin + (f", {part.filter}" if part.filter else "")
    which = " in a bin of length" if mix.match == "length" else ""
    return DataError(
        f"{mix.where}, part {short.part + 1} ({named}): {short.asked} rows are asked "
        f"for{which}, and there are {short.available}{lost}",
        "No row is drawn twice, and no key by two parts, unless the part has "
        "`upsample: true`, which repeats rows",
        action + ", or `upsample: true` in the part",
    )


def _shuffled(taken: Sequence[Taken], mix: Mix, seed: int) -> tuple[TrainingRow, ...]:
    """The order of training: where contents are matched, theirs, whatever the dose."""
    copies: dict[str, int] = {}
    placed: list[tuple[str, TrainingRow]] = []
    for row in itertools.chain.from_iterable(taken):
        copy = copies[row.id] = copies.get(row.id, 0) + 1
        what = row.content if mix.match == "content" else f"{row.id}\n{copy}"
        placed.append((mix_draw.rank(seed, f"order\n{what}"), row))
    return tuple(row for _, row in sorted(placed, key=lambda one: one[0]))


def _fraction(key: str) -> float:
    """A fixed random number from 0 to 1 for a key."""
    text = f"{_HOLD_OUT_SEED}\nhold out\n{key}"
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) / 2**256
