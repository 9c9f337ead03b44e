"""Divides a source into a half that is scored and a half that training may read.

A model trained on texts that it is later scored on would be measured on its memory.
So every source that is also of use for training is divided once, by what its texts are
about (the prompt of a row, the frame of a pair) and never by row: all dialects of a
prompt, and all pairs of a frame, lie on the same side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

Half = Literal["probe", "train"]


def half(key: str, seed: int = 0) -> Half:
    """The side on which a key lies, whatever else the source holds.

    A source that grows or is read in part never moves a key; the sides are equal only
    in expectation.

    Args:
        key: What must not be parted, such as a prompt; case and white space at the
            ends and between words do not count.
        seed: Another seed is another division.
    """
    return "probe" if int(_digest(key, seed), 16) % 2 == 0 else "train"


def exact_half(keys: Iterable[str], wanted: Half, seed: int = 0) -> frozenset[str]:
    """One side of a closed list, divided as evenly as its number allows.

    Args:
        keys: All keys of the list; of an odd number the probe has one more.
        wanted: Which side.
        seed: Another seed is another division.
    """
    ordered: Sequence[str] = sorted(set(keys), key=lambda key: _digest(key, seed))
    middle = (len(ordered) + 1) // 2
    return frozenset(ordered[:middle] if wanted == "probe" else ordered[middle:])


def _digest(key: str, seed: int) -> str:
    same = " ".join(key.casefold().split())
    return hashlib.sha256(f"{seed}\n{same}".encode()).hexdigest()
