"""Rows that are there twice, nearly twice, or must lie on one side.

Two texts are near duplicates if the sets of their five words in a row are alike by
Jaccard's measure (Broder 1997; Lee et al. 2022 use it to clean training sets).
Candidates are found by MinHash; each is then compared in full, so none is called so
wrongly, and at the threshold a few may be missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from data_builders.training_text import words
from data_builders.training_types import TrainingRow, first_turn

N_WORDS = 5
_PERMUTATIONS = 128
_MARGIN = 0.15
"""Candidates are looked for that much below the threshold: MinHash estimates."""


def exact(parts: Sequence[Sequence[TrainingRow]]) -> dict[str, str]:
    """Ids of rows that say what an earlier one says -> the earlier one's id.

    Rows of one content in different parts are left: one of the two at most is drawn.

    Args:
        parts: Rows of each part, which may share some.
    """
    first: dict[tuple[object, ...], TrainingRow] = {}
    of_part: dict[tuple[int, tuple[object, ...]], TrainingRow] = {}
    found: dict[str, str] = {}
    for part, rows in enumerate(parts):
        for row in rows:
            if row.id in found:
                continue
            said = _said(row)
            # All that are kept of a text share the first one's content.
            earlier = first.setdefault(said, row)
            if earlier.content == row.content:
                earlier = of_part.setdefault((part, said), row)
            if earlier.id != row.id:
                found[row.id] = earlier.id
    return found


def _said(row: TrainingRow) -> tuple[object, ...]:
    return (
        *((one.role, " ".join(one.content.split())) for one in row.messages),
        *(" ".join(text.split()) for text in row.answers),
    )


def near(rows: Sequence[TrainingRow], threshold: float) -> dict[str, str]:
    """Ids of rows that are near duplicates of an earlier one -> the earlier one's id.

    Rows of one key are not compared: they are there to stand for one another, or give
    other answers to one question.
    """
    texts = ["\n".join(row.texts) for row in rows]
    found: dict[str, str] = {}
    for later, earlier in _alike(texts, threshold):
        row, kept = rows[later], rows[earlier]
        if row.key != kept.key and row.id not in found and kept.id not in found:
            found[row.id] = kept.id
    return found


def joined(rows: Iterable[TrainingRow], threshold: float | None) -> dict[str, str]:
    """Joins keys whose first user turns are the same, or near duplicates.

    So a prompt lies on one side even where two sources have it, and with its
    translations, which share a key.

    Returns:
        Key -> the least of the keys it is joined with.
    """
    rows = list(rows)
    leader = {row.key: row.key for row in rows}

    def find(key: str) -> str:
        while leader[key] != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    def join(one: str, other: str) -> None:
        low, high = sorted((find(one), find(other)))
        leader[high] = low

    turns: dict[str, str] = {}
    for row in rows:
        join(turns.setdefault(first_turn(row.messages), row.key), row.key)
    if threshold is not None:
        distinct = sorted(turns)
        for later, earlier in _alike(distinct, threshold):
            join(turns[distinct[later]], turns[distinct[earlier]])
    return {key: find(key) for key in leader}


def _alike(texts: Sequence[str], threshold: float) -> Iterable[tuple[int, int]]:
    """Pairs of near duplicates, as places (later, earlier), in the order of `later`."""
    # Imported here: it takes half a second, and most of what imports mixes needs none.
    from datasketch import MinHash, MinHashLSH

    sets = [_shingles(text) for text in texts]
    index = MinHashLSH(
        threshold=max(threshold - _MARGIN, 0.05),
        num_perm=_PERMUTATIONS,
        weights=(0.2, 0.8),
    )
    sketches = MinHash.generator(
        ([one.encode() for one in shingles] for shingles in sets),
        num_perm=_PERMUTATIONS,
    )
    for place, sketch in enumerate(sketches):
        for earlier in sorted(index.query(sketch)):
            if _jaccard(sets[place], sets[earlier]) >= threshold:
                yield place, earlier
        index.insert(place, sketch)


def _shingles(text: str) -> frozenset[str]:
    said = words(text)
    if len(said) < N_WORDS:
        return frozenset((" ".join(said),))
    return frozenset(
        " ".join(said[at : at + N_WORDS]) for at in range(len(said) - N_WORDS + 1)
    )


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
