"""Draws the rows of a mix's parts, exactly as many as asked, the same every time.

Rows are ranked by a hash of a salt and of what they are, never by their place in a
file. The part with the dose takes keys from the front, the part with the rest from the
back. So under one salt, as the dose grows, the one keeps the rows that it has; the
other gives up its last and takes no new ones as long as there are keys that neither
has. A mix's salt is its seed; a placebo's is seed and dose, so there nothing nests.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from data_builders.training_types import TrainingRow

Match = Literal["none", "length", "content"]
Taken = tuple[TrainingRow, ...]

N_BINS = 20
"""Quantile bins of length."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What a part may draw from."""

    rows: Taken
    upsample: bool
    turn: int
    """Parts take their rows in this order; the same number: in the mix's."""
    from_back: bool
    """Whether keys are taken from the back."""


@dataclass(kw_only=True)
class Shortage(Exception):
    """A part has fewer rows than are asked for."""

    part: int
    asked: int
    available: int


@dataclass
class _Draw:
    pools: Sequence[Pool]
    group: Mapping[str, str]
    """Key of a row -> the keys it is joined with."""
    salt: str
    used: set[str] = field(default_factory=set)
    """Groups that a part has taken rows from: no other part may."""

    def ranked(self, part: int, rows: Sequence[TrainingRow]) -> list[TrainingRow]:
        """Rows in the order they are taken, those of one key together."""
        return sorted(
            rows,
            key=lambda row: (
                rank(self.salt, self.group[row.key]),
                rank(self.salt, row.id),
            ),
            reverse=self.pools[part].from_back,
        )

    def take(self, part: int, rows: Sequence[TrainingRow], n: int) -> Taken:
        """The first `n` of ranked rows; from the front again where it may repeat."""
        if n > len(rows) and not (self.pools[part].upsample and rows):
            raise Shortage(part=part, asked=n, available=len(rows))
        rounds, more = divmod(n, len(rows)) if rows else (0, 0)
        return (*(tuple(rows) * rounds), *rows[:more])

    def free(self, part: int) -> list[TrainingRow]:
        """A part's rows of which no other part has the key."""
        rows = self.pools[part].rows
        return [row for row in rows if self.group[row.key] not in self.used]

    def close(self, rows: Sequence[TrainingRow]) -> None:
        """Keeps other parts from the keys of drawn rows."""
        self.used |= {self.group[row.key] for row in rows}

    @property
    def turns(self) -> list[int]:
        """Parts in the order they take their rows."""
        return sorted(range(len(self.pools)), key=lambda part: self.pools[part].turn)


def rank(salt: str, text: str) -> str:
    """A place in a fixed random order."""
    return hashlib.sha256(f"{salt}\n{text}".encode()).hexdigest()


def allocate(n: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers with a given sum, nearest to shares of it (largest remainder).

    Args:
        n: The sum.
        shares: At least 0, with the sum 1. Of equal remainders the first is favoured.
    """
    # Rounded, because 0.29 * 100 is a little less than 29.
    wanted = [round(n * share, 9) for share in shares]
    counts = [math.floor(one) for one in wanted]
    by_remainder = sorted(range(len(shares)), key=lambda at: counts[at] - wanted[at])
    for at in by_remainder[: n - sum(counts)]:
        counts[at] += 1
    return counts


def apportion(n: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers with a given sum, near to shares of it, that grow with the sum.

    Sainte-Laguë's method (highest averages): unlike the largest remainder, none is
    ever less for a larger sum; one may be more than 1 from its share.

    Args:
        n: The sum.
        shares: At least 0, one of them more. Of equal averages the first is favoured.
    """
    counts = [0] * len(shares)
    queue = [(-share, at) for at, share in enumerate(shares) if share > 0]
    heapq.heapify(queue)
    for _ in range(n):
        at = queue[0][1]
        counts[at] += 1
        heapq.heapreplace(queue, (-shares[at] / (2 * counts[at] + 1), at))
    return counts


def draw(
    pools: Sequence[Pool],
    counts: Sequence[int],
    group: Mapping[str, str],
    match: Match,
    salt: str,
) -> list[Taken]:
    """Draws each part's rows; no key is used by two parts.

    Args:
        pools: Of each part.
        counts: Rows of each. With `match: content` joined keys go to one part whole,
            so that a count may be missed; their sum is met. The boundary between two
            parts lies where it comes nearest, off by at most half the rows of the
            joined keys that lie across it, so the dose by half of the most that any
            have.
        group: Key of a row -> the keys it is joined with.
        match: As `Mix.match`.
        salt: Another salt is another draw.

    Raises:
        Shortage: A part has too few rows.
    """
    state = _Draw(pools=pools, group=group, salt=salt)
    how: Callable[[_Draw, Sequence[int]], dict[int, Taken]] = {
        "none": _plain,
        "length": _by_length,
        "content": _by_content,
    }[match]
    found = how(state, counts)
    return [found[part] for part in range(len(pools))]


def draw_all(pools: Sequence[Pool], group: Mapping[str, str], salt: str) -> list[Taken]:
    """All rows of each part, without keys that a part before it has."""
    state = _Draw(pools=pools, group=group, salt=salt)
    found: list[Taken] = []
    for part in range(len(pools)):
        taken = tuple(state.ranked(part, state.free(part)))
        state.close(taken)
        found.append(taken)
    return found


def largest(
    feasible: Callable[[int], bool],
    most: int,
) -> int:
    """The largest number of rows that can be drawn, below one that cannot."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        if feasible(middle):
            low = middle
        else:
            high = middle
    return low


def _plain(state: _Draw, counts: Sequence[int]) -> dict[int, Taken]:
    found: dict[int, Taken] = {}
    for part in state.turns:
        found[part] = state.take(
            part, state.ranked(part, state.free(part)), counts[part]
        )
        state.close(found[part])
    return found


def _by_length(state: _Draw, counts: Sequence[int]) -> dict[int, Taken]:
    """Every part has the same share of its rows in each bin of length.

    The shares are those that all parts can have: in each bin the least of theirs,
    scaled to the sum 1. They do not depend on the dose, and more rows of a part are
    more, or as many, in every bin.
    """
    import numpy as np

    lengths = [
        np.array([row.n_chars for row in pool.rows], dtype=float)
        for pool in state.pools
    ]
    if not all(len(one) for one in lengths):
        part = next(at for at, one in enumerate(lengths) if not len(one))
        raise Shortage(part=part, asked=counts[part], available=0)
    edges = np.quantile(np.concatenate(lengths), np.linspace(0, 1, N_BINS + 1)[1:-1])
    bins = [np.searchsorted(edges, one, side="right") for one in lengths]
    shares = np.min(
        [np.bincount(one, minlength=N_BINS) / len(one) for one in bins], axis=0
    )
    if not shares.sum():
        raise Shortage(part=0, asked=counts[0], available=0)
    shares = shares / shares.sum()
    found: dict[int, Taken] = {}
    for part in state.turns:
        pool = state.pools[part]
        of = {row.id: int(at) for row, at in zip(pool.rows, bins[part], strict=True)}
        by_bin: dict[int, list[TrainingRow]] = defaultdict(list)
        for row in state.ranked(part, state.free(part)):
            by_bin[of[row.id]].append(row)
        taken: list[TrainingRow] = []
        for at, n in enumerate(apportion(counts[part], shares.tolist())):
            taken += state.take(part, by_bin[at], n)
        found[part] = tuple(taken)
        state.close(taken)
    return found


def _by_content(state: _Draw, counts: Sequence[int]) -> dict[int, Taken]:
    """The same contents whatever the shares; each is drawn from one of the parts."""
    by_content: list[dict[str, list[TrainingRow]]] = []
    for pool in state.pools:
        rows: dict[str, list[TrainingRow]] = defaultdict(list)
        for row in pool.rows:
            rows[row.content].append(row)
        by_content.append(rows)
    common = set(by_content[0]).intersection(*by_content[1:])
    contents: dict[str, list[str]] = defaultdict(list)
    for content in common:
        key = by_content[0][content][0].key
        contents[state.group[key]].append(content)
    ordered: list[list[str]] = []
    left = sum(counts)
    for name in sorted(contents, key=lambda one: rank(state.salt, one)):
        inside = sorted(contents[name], key=lambda one: rank(state.salt, one))[:left]
        left -= len(inside)
        if inside:
            ordered.append(inside)
    if left:
        asked = sum(counts)
        raise Shortage(part=0, asked=asked, available=asked - left)
    found: dict[int, Taken] = {}
    at = done = goal = 0
    turns = state.turns
    for part in turns:
        goal += counts[part]
        taken: list[TrainingRow] = []
        while at < len(ordered) and (
            part == turns[-1] or _nearer(done, len(ordered[at]), goal)
        ):
            for content in ordered[at]:
                choice = by_content[part][content]
                taken.append(min(choice, key=lambda row: rank(state.salt, row.id)))
            done += len(ordered[at])
            at += 1
        found[part] = tuple(taken)
    return found


def _nearer(done: int, more: int, goal: int) -> bool:
    """Whether a sum comes nearer to its goal with one number more."""
    return abs(done + more - goal) < abs(done - goal)
