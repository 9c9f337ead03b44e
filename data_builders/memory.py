"""Results that are kept within a process, so that a sweep reads its sources once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """The last few results, by what they were made from."""

    def __init__(self, most: int) -> None:
        """Keeps at most that many."""
        self._most = most
        self._kept: dict[Hashable, Value] = {}

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The result kept for a key, or else a new one; the oldest goes first."""
        if key not in self._kept:
            while len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = make()
        return self._kept[key]


class Same:
    """A key that equals another if it holds the very same objects, in their order.

    They are held, so that none can go and leave its identity to another; they must
    not change.
    """

    def __init__(self, objects: Sequence[object]) -> None:
        """Holds them."""
        self._objects = tuple(objects)

    def __eq__(self, other: object) -> bool:
        """Whether the other holds the same."""
        return (
            isinstance(other, Same)
            and len(self._objects) == len(other._objects)
            and all(
                one is another
                for one, another in zip(self._objects, other._objects, strict=True)
            )
        )

    def __hash__(self) -> int:
        """Of the identities."""
        return hash(tuple(map(id, self._objects)))
