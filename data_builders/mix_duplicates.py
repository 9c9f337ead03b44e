"""Rows that are there twice, nearly twice, or must lie on one side.

Two texts are near duplicates if the sets of their five words in a row are alike by
Jaccard's measure (Broder 1997; Lee et al. 2022 use it to clean training sets).
Candidates are found by MinHash; each is then compared in full, so none is called so
wrongly, and at the threshold a few may be missed.

Texts of one template are more alike than that once what fills it is masked: see
`templates`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from data_builders.training_text import UNSPACED, words
from data_builders.training_types import TrainingRow, first_turn

N_WORDS = 5
_PERMUTATIONS = 128
_MARGIN = 0.15
"""Candidates are looked for that much below the threshold: MinHash estimates."""


TEMPLATE = 0.7
"""Jaccard's measure of three masked words in a row from which on two texts are of one
template: a tenth of the words may differ."""
TEMPLATE_WORDS = 6
"""Distinct words that are not masked below which a text is too short to tell: of
"What is 12 + 7?" the numbers are all there is."""
_UNSPACED = "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED)
_TOKEN = re.compile(rf"\d+(?:[.,]\d+)*|[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


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
    sets = [_shingles("\n".join(row.texts)) for row in rows]
    found: dict[str, str] = {}
    for later, earlier in _alike(sets, threshold):
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
    classes = _Classes({row.key: row.key for row in rows})
    turns: dict[str, str] = {}
    for row in rows:
        classes.join(turns.setdefault(first_turn(row.messages), row.key), row.key)
    if threshold is not None:
        distinct = sorted(turns)
        for later, earlier in _alike(list(map(_shingles, distinct)), threshold):
            classes.join(turns[distinct[later]], turns[distinct[earlier]])
    return {key: classes.find(key) for key in classes}


class _Classes(dict[str, str]):
    """Key -> a key that it is joined with, in the end the least of all."""

    def find(self, key: str) -> str:
        while self[key] != key:
            self[key] = self[self[key]]
            key = self[key]
        return key

    def join(self, one: str, other: str) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        self[high] = low


def templates(texts: Mapping[str, str], prompts: Mapping[str, str]) -> dict[str, str]:
    """Units that are of one template with another -> the least unit of their class.

    Two texts are of one template if the sets of their three tokens in a row (a word, a
    number, a sign; in scripts without spaces a character) are alike by `TEMPLATE`,
    numbers and capitalised words masked. A text of fewer than `TEMPLATE_WORDS` distinct
    other words is of none. Units of one prompt share a class.

    Args:
        texts: Unit -> all of its text.
        prompts: Unit -> its prompt; empty: not known.
    """
    first: dict[frozenset[str], str] = {}
    classes = _Classes({unit: unit for unit in texts})
    asked: dict[str, str] = {}
    found = set()
    for unit, text in texts.items():
        if prompts[unit]:
            classes.join(asked.setdefault(prompts[unit], unit), unit)
        shingles = _masked(text)
        if shingles and (earlier := first.setdefault(shingles, unit)) != unit:
            classes.join(earlier, unit)
            found |= {earlier, unit}
    units = list(first.values())
    for place, other in _alike(list(first), TEMPLATE):
        classes.join(units[place], units[other])
        found |= {units[place], units[other]}
    of_template = {classes.find(unit) for unit in found}
    return {
        unit: least for unit in texts if (least := classes.find(unit)) in of_template
    }


def _masked(text: str) -> frozenset[str]:
    """Three tokens in a row, numbers and capitalised words masked; empty: too short."""
    tokens = [
        "0" if one[0].isdigit() else "A" if one[0].isupper() else one
        for one in _TOKEN.findall(text)
    ]
    if len({one for one in tokens if one[0].isalpha()} - {"A"}) < TEMPLATE_WORDS:
        return frozenset()
    return frozenset(" ".join(tokens[at : at + 3]) for at in range(len(tokens) - 2))


def _alike(
    sets: Sequence[frozenset[str]], threshold: float
) -> Iterable[tuple[int, int]]:
    """Pairs of near duplicates, as places (later, earlier), in the order of `later`."""
    # What shares too little with all others together is like none of them.
    times = Counter(one for shingles in sets for one in shingles)
    places = [
        place
        for place, shingles in enumerate(sets)
        if sum(times[one] > 1 for one in shingles) >= threshold * len(shingles)
    ]
    if not places:
        return
    # Imported here: it takes half a second, and most of what imports mixes needs none.
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(
        threshold=max(threshold - _MARGIN, 0.05),
        num_perm=_PERMUTATIONS,
        weights=(0.2, 0.8),
    )
    sketches = MinHash.generator(
        ([one.encode() for one in sets[place]] for place in places),
        num_perm=_PERMUTATIONS,
    )
    for place, sketch in zip(places, sketches, strict=True):
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
