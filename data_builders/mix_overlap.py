"""Whether training rows hold texts that are scored.

Two texts overlap if they share thirteen words in a row, as in the reports on GPT-3 and
Llama 2 (Brown et al. 2020, appendix C; Touvron et al. 2023, appendix A.6); a text of
fewer words, if it has at least five, overlaps with one that is the same. Case,
punctuation and white space do not count (`training_text`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_builders.training_text import words
from data_builders.training_types import TrainingRow
from probe.types import Item

if TYPE_CHECKING:
    import numpy as np

    Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]
    Places = np.ndarray[tuple[int], np.dtype[np.int64]]

N_WORDS = 13
SHORTEST = 5
"""A whole text of fewer words, such as "Yes, of course.", is nobody's."""
_AT_ONCE = 4_000_000
"""Words that are compared at once."""
_SEED = 13


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """A training row that shares a text with a scored item."""

    row_id: str
    item_id: str
    text: str
    """What they share, normalised: thirteen words, or the whole text."""


@dataclass(frozen=True, kw_only=True)
class ScoredTexts:
    """Texts of the items that are scored."""

    n_items: int
    n_texts: int
    """Different ones."""
    ids: tuple[str, ...]
    """Of the items."""
    short: dict[str, int]
    """Whole text of fewer than thirteen words -> index of an item that has it."""
    hashes: Hashes
    """Of every thirteen words in a row, sorted."""
    items: Places
    """Index of an item that has them."""


def scored_texts(items: Iterable[Item]) -> ScoredTexts:
    """Reads the prompts and candidate answers of items."""
    import numpy as np

    ids: list[str] = []
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        ids.append(item.id)
        for message in item.messages:
            first.setdefault(message.content, index)
        for candidate in item.candidates:
            first.setdefault(candidate.answer, index)
    short: dict[str, int] = {}
    hashes: list[Hashes] = []
    places: list[Places] = []
    for batch in _batches(first.items(), short.setdefault):
        found, of = _hashed([said for _, said in batch])
        hashes.append(found)
        places.append(np.array([index for index, _ in batch], dtype=np.int64)[of])
    together = np.concatenate([np.empty(0, dtype=np.uint64), *hashes])
    unique, at = np.unique(together, return_index=True)
    every = np.concatenate([np.empty(0, dtype=np.int64), *places])
    return ScoredTexts(
        n_items=len(ids),
        n_texts=len(first),
        ids=tuple(ids),
        short=short,
        hashes=unique,
        items=every[at],
    )


def overlaps(rows: Sequence[TrainingRow], scored: ScoredTexts) -> list[Overlap]:
    """The rows that overlap with scored texts, each with one item that it hits."""
    found: dict[int, Overlap] = {}
    texts = [(text, index) for index, row in enumerate(rows) for text in row.texts]
    short: list[tuple[str, int]] = []
    for batch in _batches(texts, lambda *one: short.append(one)):
        for place, at, item in _hits([said for _, said in batch], scored):
            index, said = batch[place]
            if index not in found:
                shared = " ".join(said[at : at + N_WORDS])
                found[index] = _overlap(rows[index], scored.ids[item], shared)
    for text, index in short:
        if text in scored.short and index not in found:
            first = scored.ids[scored.short[text]]
            found[index] = _overlap(rows[index], first, text)
    return [found[index] for index in sorted(found)]


def _overlap(row: TrainingRow, item_id: str, text: str) -> Overlap:
    return Overlap(row_id=row.id, item_id=item_id, text=text)


def _batches(
    texts: Iterable[tuple[str, int]], short: Callable[[str, int], object]
) -> Iterator[list[tuple[int, list[str]]]]:
    """Parts texts into words, and gives those with thirteen or more in batches.

    Args:
        texts: With the index of what they belong to.
        short: Called with a whole shorter text, normalised, and its index.
    """
    batch: list[tuple[int, list[str]]] = []
    size = 0
    for text, index in texts:
        said = words(text)
        if len(said) >= N_WORDS:
            batch.append((index, said))
            size += len(said)
            if size >= _AT_ONCE:
                yield batch
                batch, size = [], 0
        elif len(said) >= SHORTEST:
            short(" ".join(said), index)
    if batch:
        yield batch


def _hashed(texts: Sequence[list[str]]) -> tuple[Hashes, Places]:
    """A hash of every thirteen words in a row, and the place of the text it is of.

    Of this process only: it is made of Python's hashes of the words.
    """
    import numpy as np

    lengths = np.array([len(said) for said in texts], dtype=np.int64)
    flat = np.fromiter(
        (hash(word) for said in texts for word in said),
        dtype=np.int64,
        count=int(lengths.sum()),
    ).view(np.uint64)
    weights = np.random.default_rng(_SEED).integers(
        1, 2**63, size=N_WORDS, dtype=np.uint64
    )
    n = len(flat) - N_WORDS + 1
    rolling = np.zeros(n, dtype=np.uint64)
    for offset, weight in enumerate(weights * np.uint64(2) + np.uint64(1)):
        rolling += flat[offset : offset + n] * weight
    of = np.repeat(np.arange(len(texts)), lengths)
    # Thirteen words that begin in one text and end in the next are of neither.
    whole = of[:n] == of[N_WORDS - 1 :]
    return rolling[whole], of[:n][whole]


def _hits(
    texts: Sequence[list[str]], scored: ScoredTexts
) -> Iterator[tuple[int, int, int]]:
    """Place of a text, place of the words in it, and the item that has them."""
    import numpy as np

    if not len(scored.hashes):
        return
    hashes, of = _hashed(texts)
    at = np.searchsorted(scored.hashes, hashes)
    at[at == len(scored.hashes)] = 0
    hit = np.flatnonzero(scored.hashes[at] == hashes)
    # Where each text's own first hash lies.
    starts = np.searchsorted(of, np.arange(len(texts)))
    for one in hit:
        place = int(of[one])
        yield place, int(one - starts[place]), int(scored.items[at[one]])
