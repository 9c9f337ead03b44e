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
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_builders import mix_draw, mix_errors, mix_files, mix_pool
from data_builders.mix_config import DOSE, REST, Mix, Part, names, read_mix
from data_builders.mix_draw import Pool, Shortage, Taken
from data_builders.mix_files import Drawn, DrawnPart, Stored, read_drawn
from data_builders.mix_overlap import overlaps
from data_builders.mix_pool import read_digests
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
    "read_digests",
    "read_drawn",
    "read_mix",
]

logger = logging.getLogger(__name__)
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
            raise mix_errors.too_few(mix, dose, salt, short, pools, ready) from short
    train = _shuffled(taken, mix, salt)
    if not train:
        raise mix_errors.none_left(mix, ready, len(held_out))
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
