"""Pairs in six Englishes: is an answer liked less when it or its prompt is in dialect?

594 preference pairs of RewardBench, each also as multi-VALUE's rules put it into
African American, Appalachian, Chicano, Indian and Jamaican English. The rules apply a
dialect's features wherever they can: the texts are denser in them than people's, and at
places wrong. Where no rule applied, a variant is the standard text; such rows stay,
marked (`same`, `prompt_same`). How a row becomes items stands in `dialect_rows`.

Divided by the standard prompt: rows that share it lie in one half, and the other half
is held back, so that training can read it.

Source: Mire et al., "Rejected Dialects: Biases Against African American Language in
Reward Models", NAACL 2025; Lambert et al. 2024 (RewardBench); Ziems et al. 2023
(multi-VALUE).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

from data_builders import halves, sources, tables
from data_builders.dialect_rows import (
    CANDIDATE_COLUMNS,
    ITEM_COLUMNS,
    Usable,
    compare,
    items,
)
from data_builders.pairs_file import read_wide
from data_builders.preferences import HELD_BACK
from probe.types import BuildOptions, DataError, Item, Probe

DIALECTS = {
    "AfricanAmericanVernacular": "african_american",
    "AppalachianDialect": "appalachian",
    "ChicanoDialect": "chicano",
    "IndianDialect": "indian",
    "JamaicanDialect": "jamaican",
}
"""Ending of a dialect's columns -> what we call it."""


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields the rows of one half, in the file's order, a row's items together.

    Raises:
        DataError: The data cannot be had, or the file is malformed; with its place.
    """
    yield from items(_read(options))


def dropped(options: BuildOptions) -> Counter[str]:
    """What is not scored, by reason.

    Raises:
        DataError: As `build`.
    """
    return _read(options).dropped


def _read(options: BuildOptions) -> Usable:
    path = sources.path("dialect_pairs", options.data)
    table = tables.read_json_lines(path)
    if "subset" not in table.columns or "id" not in table.columns:
        raise DataError(
            f"{path} has the columns {', '.join(table.columns)}",
            "RewardBench's pairs have the columns id and subset",
            "Use the file as published",
        )
    found = read_wide(table, DIALECTS, "id")
    wanted = {
        id: row
        for id, row in found.rows.items()
        if (standard := row[found.reference]) is None
        or halves.half(standard.prompt, options.half_seed) == options.half
    }
    usable = compare(dataclasses.replace(found, rows=wanted), str(path))
    usable.dropped[HELD_BACK] = len(found.rows) - len(wanted)
    return usable


PROBE = Probe(
    name="dialect_pairs",
    version="1",
    title="The same request and answers in six Englishes: which are preferred?",
    axis="dialects",
    fits=frozenset({"reward", "policy"}),
    item_columns=ITEM_COLUMNS,
    candidate_columns=CANDIDATE_COLUMNS,
    sources=("dialect_pairs",),
    build=build,
    words=frozenset({"half"}),
    unit="row",
    dropped=dropped,
)
