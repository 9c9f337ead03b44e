"""Whose preferences are learned first: held-out pairs, scored while a model trains.

The model in training is scored by the same engine as any other, at fixed steps. Of a
reward model the margin of a pair is reward(chosen) - reward(rejected); of a policy in
DPO it is beta x (log-prob ratio of chosen - that of rejected), whose reference is the
policy before its first step (Rafailov et al. 2023, section 4).
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_builders import select
from probe import checkpoint, csvs
from probe.types import Candidate, Item, Message

COLUMNS = ("step", "tokens", "column", "group", "key", "id", "margin")
"""Of a checkpoint's `held_out.csv`: a row for each step, pair and group that it is in.
Pairs of one key are not independent of each other, so that a group's accuracy and mean
margin need the pairs to have an interval."""
ALL = "all"
"""Column and group of all pairs."""
KEY = "key"
"""Column of what a mix holds out together, such as a prompt with its translations; no
group."""
_MOST_GROUPS = 40
"""A column with more values is an id and no group."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """The held-out pairs at one step."""

    step: int
    tokens: int
    """Read in training so far."""
    scores: Mapping[str, tuple[float, float]]
    """Item id -> score of its chosen and of its rejected answer."""


@dataclass(kw_only=True)
class HeldOut:
    """Held-out pairs and what they were scored as, step by step."""

    items: Sequence[Item]
    """Each with a `chosen` and a `rejected` answer."""
    score: Callable[[Sequence[Item]], Sequence[float]]
    """Scores every answer with the model in training, item by item."""
    beta: float | None
    """Of DPO; None: the scores are rewards."""
    file: Path
    """Where the points are kept, one a line."""
    points: list[Point] = field(default_factory=list)

    def restore(self, step: int) -> bool:
        """Takes up what was measured up to a step, and forgets what came later.

        Returns:
            Whether training may go on from that step: not if what was measured before
            the first one is lost, or is of other pairs.
        """
        self.points = []
        ids = {item.id for item in self.items}
        if self.file.is_file():
            lines = self.file.read_text(encoding="utf-8").splitlines()
            # The last line may have been cut by what stopped the training.
            for line in lines:
                try:
                    found = json.loads(line)
                except ValueError:
                    break
                if found["step"] <= step and found["scores"].keys() == ids:
                    pairs = {id: (c, r) for id, (c, r) in found["scores"].items()}
                    self.points.append(Point(**{**found, "scores": pairs}))
        if not self.points or self.points[0].step != 0:
            self.points = []
        checkpoint.write(self.file, "".join(map(_line, self.points)))
        return bool(self.points) or step == 0

    def measure(self, *, step: int, tokens: int) -> None:
        """Scores all pairs, unless this step was measured before."""
        if any(point.step == step for point in self.points):
            return
        found = iter(self.score(self.items))
        point = Point(
            step=step,
            tokens=tokens,
            scores={item.id: (next(found), next(found)) for item in self.items},
        )
        self.points.append(point)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(_line(point))
            stream.flush()
            os.fsync(stream.fileno())

    def rows(self) -> list[tuple[object, ...]]:
        """The margin of every pair at every step, in every group of it, as `COLUMNS`.

        A pair that is not finite at some step is left out of all, so that a group has
        the same pairs from the first step to the last.
        """
        margins = [self._margins(point) for point in self.points]
        keys = {
            item.id: str(item.groups[KEY])
            for item in self.items
            if all(math.isfinite(found[item.id]) for found in margins)
        }
        return [
            (point.step, point.tokens, column, group, keys[id], id, found[id])
            for point, found in zip(self.points, margins, strict=True)
            for (column, group), ids in grouped(self.items).items()
            for id in ids
            if id in keys
        ]

    def _margins(self, point: Point) -> dict[str, float]:
        if self.beta is None:
            return {id: c - r for id, (c, r) in point.scores.items()}
        before = self.points[0].scores
        return {
            id: self.beta * ((c - before[id][0]) - (r - before[id][1]))
            for id, (c, r) in point.scores.items()
        }

    def write(self, path: Path) -> None:
        """Writes `rows` as csv."""
        checkpoint.write(path, csvs.text_of(COLUMNS, self.rows()))


def _line(point: Point) -> str:
    found = {"step": point.step, "tokens": point.tokens, "scores": point.scores}
    return json.dumps(found) + "\n"


def items(rows: Sequence[Mapping[str, object]]) -> list[Item]:
    """Held-out rows of a mix, in the trainer's conversational format, as items."""
    found = []
    for row in rows:
        prompt, groups = row["prompt"], row["groups"]
        assert isinstance(prompt, list) and isinstance(groups, Mapping)
        found.append(
            Item(
                id=str(row["id"]),
                messages=tuple(Message(**turn) for turn in prompt),
                candidates=tuple(
                    Candidate(id=role, answer=_answer(row[role]), groups={"role": role})
                    for role in ("chosen", "rejected")
                ),
                groups={
                    **groups,
                    "source": str(row["source"]),
                    KEY: str(row["key"]),
                },
            )
        )
    return found


def _answer(turns: object) -> str:
    assert isinstance(turns, list)
    return str(turns[-1]["content"])


def draw(
    found: Sequence[Item], number: int, fits: Callable[[Item], bool]
) -> list[Item]:
    """Draws whole keys by a fixed seed, until they hold so many items that fit or more.

    Groups are then compared on the same prompts, where these are in all of them. The
    draw is stratified over the groups that a key is in.

    Args:
        found: Each with its `KEY`.
        number: Of items, at least; 0: none.
        fits: Whether an item may be drawn.
    """
    by_key: dict[str, list[Item]] = defaultdict(list)
    for item in found:
        if fits(item):
            by_key[str(item.groups[KEY])].append(item)
    if not number or not by_key:
        return []
    short = [item for items in by_key.values() for item in items]
    columns = sorted({column for column, _ in grouped(short)} - {ALL})
    units = [
        dataclasses.replace(
            items[0],
            id=key,
            groups={
                column: "\n".join(
                    sorted({str(one.groups.get(column)) for one in items})
                )
                for column in columns
            },
        )
        for key, items in by_key.items()
    ]

    def drawn(keys: int) -> list[Item]:
        chosen = select.limit_items(units, columns, keys)
        return [item for unit in chosen for item in by_key[unit.id]]

    # More keys hold those of fewer.
    keys = range(1, len(units) + 1)
    at = bisect.bisect_left(keys, number, key=lambda n: len(drawn(n)))
    return drawn(keys[min(at, len(keys) - 1)])


def grouped(found: Sequence[Item]) -> dict[tuple[str, str], list[str]]:
    """(column, group) -> ids of its items; first of all of them together.

    A column of numbers, or of more than 40 values, is no group, nor is the key.
    """
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    groups[ALL, ALL] = [item.id for item in found]
    columns = sorted({name for item in found for name in item.groups} - {KEY})
    for column in columns:
        values = {item.groups.get(column) for item in found} - {None}
        texts = all(isinstance(value, str) for value in values)
        if values and texts and len(values) <= _MOST_GROUPS:
            for item in found:
                value = item.groups.get(column)
                if value is not None:
                    groups[column, str(value)].append(item.id)
    return dict(groups)
