"""Controlled mixes to train on: exactly which rows, at which share of an attribute.

A mix is a YAML file. Its parts draw rows from training sources; the part whose share is
`dose` has the attribute that an ablation varies, the part whose share is `rest` lacks
it. Everything else is held equal: the number of rows always, and by `match` what the
rows say, or how long they are. Where both parts are the same rows, the mix is a
placebo: each dose is another draw of those rows.

What is drawn holds no row twice, no key in two parts (nothing is said in two
languages), and no text of the items that are scored (`mix_overlap`).
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data_builders import (
    mix_draw,
    mix_files,
    mix_pool,
    training_sources,
    training_table,
)
from data_builders.mix_config import DOSE, REST, Mix, Part, names, read_mix
from data_builders.mix_draw import Pool, Shortage, Taken
from data_builders.mix_files import Drawn, DrawnPart, Stored, read_drawn
from data_builders.mix_overlap import overlaps
from data_builders.mix_pool import Prepared, read_digests
from data_builders.training_types import Rows, TrainingRow
from probe.types import DataError, Item

__all__ = [
    "Drawn",
    "DrawnPart",
    "Mix",
    "Part",
    "Stored",
    "draw",
    "names",
    "read_digests",
    "read_drawn",
    "read_mix",
]

logger = logging.getLogger(__name__)
OTHER_PART = "another part has its key"
_STEPS = 4
"""Doses are tried in so many steps."""
_MOST_VALUES = 12
"""Languages that a message lists."""
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
        seed: Another seed is another draw and another order; of a placebo, another
            dose is too. Rows held out are the same for all.
        data: Folder with local copies of the sources; None: the hub.
        scored: All items that what is trained will be scored on. Rows that share a
            text with one are left out before anything is drawn.
        half_seed: Division of sources that are divided with a probe.

    Raises:
        UsageError: The dose does not fit the mix, or a source does not exist.
        ConfigError: A filter names a column or a value that the source lacks, the
            source has the wrong form, or the rest has what the dose adds.
        DataError: The data cannot be had, there are too few rows, or a drawn row shares
            a text with a scored item after all.
    """
    shares = mix.shares(dose)
    ready = mix_pool.prepared(mix, data, half_seed, scored)
    clean = ready.clean
    dropped: dict[str, Mapping[str, str | None]] = {**clean.dropped}
    held = {
        key
        for key, leader in clean.group.items()
        if mix.hold_out is not None and _fraction(leader) < mix.hold_out
    }
    everything = {row.id: row for rows in clean.parts for row in rows}
    held_out = tuple(
        everything[id] for id in sorted(everything) if everything[id].key in held
    )
    pools = [
        Pool(
            rows=tuple(row for row in rows if row.key not in held),
            upsample=part.upsample,
            turn={DOSE: 1, REST: 2}.get(str(part.share), 0),
            from_back=part.share == REST,
        )
        for part, rows in zip(mix.parts, clean.parts, strict=True)
    ]
    salt = _salt(mix, dose, seed)
    counts: list[int] | None = None
    if shares is None or mix.rows == "all":
        taken = mix_draw.draw_all(pools, clean.group, salt)
        drawn = {row.id for rows in taken for row in rows}
        rows = [row for pool in pools for row in pool.rows]
        if lost := [row.id for row in rows if row.id not in drawn]:
            dropped[OTHER_PART] = dict.fromkeys(lost)
    else:
        counts = mix_draw.allocate(mix.rows, shares)
        try:
            taken = mix_draw.draw(pools, counts, clean.group, mix.match, salt)
        except Shortage as short:
            raise _too_few(mix, dose, salt, short, pools, ready) from short
    train = _shuffled(taken, mix, salt)
    if not train:
        raise _none_left(mix, ready, len(held_out))
    left = overlaps(train, clean.scored)
    if left:
        raise DataError(
            f"{mix.where}: {len(left)} drawn rows share a text with a scored item, "
            f"such as {left[0].row_id} with {left[0].item_id}: {left[0].text[:80]}",
            "Nothing that is scored is trained on; such rows are left out before the "
            "draw, so this is an error of rm-probe",
            "Report it with the mix",
        )
    found = Drawn(
        name=mix.name,
        config=mix.model_dump(mode="json"),
        form=mix.form,
        dose=dose,
        seed=seed,
        half_seed=half_seed,
        train=train,
        held_out=held_out,
        parts=tuple(
            DrawnPart(
                source=part.origin,
                where=part.filter,
                dosed=part.share == DOSE,
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
        dropped=dropped,
        overlaps=clean.overlaps,
        left=len(left),
        scored_items=len(scored),
        sources=tuple(mix_files.origin(one) for one in ready.read),
    )
    share = found.drawn_share
    if share is not None and abs(share - float(dose or 0)) * len(train) > 1:
        logger.warning(
            "%s at a dose of %g: %g of the rows have it, because joined keys go to one "
            "part whole",
            mix.where,
            dose,
            share,
        )
    return found


def _salt(mix: Mix, dose: float | None, seed: int) -> str:
    """What ranks the rows: the seed; in a placebo, the dose too."""
    return f"{seed}\ndose {float(dose or 0)!r}" if mix.is_placebo else str(seed)


def _shuffled(taken: Sequence[Taken], mix: Mix, salt: str) -> tuple[TrainingRow, ...]:
    """The order of training: where contents are matched, theirs, whatever the dose."""
    copies: dict[str, int] = {}
    placed: list[tuple[str, TrainingRow]] = []
    for row in itertools.chain.from_iterable(taken):
        copy = copies[row.id] = copies.get(row.id, 0) + 1
        what = row.content if mix.match == "content" else f"{row.id}\n{copy}"
        placed.append((mix_draw.rank(salt, f"order\n{what}"), row))
    return tuple(row for _, row in sorted(placed, key=lambda one: one[0]))


def _fraction(key: str) -> float:
    """A fixed random number from 0 to 1 for a key."""
    text = f"{_HOLD_OUT_SEED}\nhold out\n{key}"
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) / 2**256


def _too_few(
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


def _none_left(mix: Mix, ready: Prepared, held: int) -> DataError:
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
