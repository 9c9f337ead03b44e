"""Whose preferences are learned first: held-out pairs, scored while a model trains.

The model in training is scored by the same engine as any other, at fixed steps. Of a
reward model the margin of a pair is reward(chosen) - reward(rejected); of a policy in
DPO it is beta x (log-prob ratio of chosen - that of rejected), whose reference is the
policy before its first step (Rafailov et al. 2023, section 4).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_builders import select
from probe import checkpoint
from probe.types import Candidate, Encoded, Item, Message

COLUMNS = ("step", "tokens", "column", "group", "n", "accuracy", "margin")
"""Of a checkpoint's `held_out.csv`."""
ALL = "all"
"""Column and group of the mean over all pairs."""
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
            the first one is lost.
        """
        self.points = []
        if self.file.is_file():
            lines = self.file.read_text(encoding="utf-8").splitlines()
            # The last line may have been cut by what stopped the training.
            for line in lines:
                try:
                    found = json.loads(line)
                except ValueError:
                    break
                if found["step"] <= step:
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
        """Accuracy and mean margin of every group at every step, as `COLUMNS`.

        A tie counts one half, so that a policy, whose margins are all zero before its
        first step, begins at chance.
        """
        groups = grouped(self.items)
        rows: list[tuple[object, ...]] = []
        for point in self.points:
            margins = self._margins(point)
            for (column, group), ids in groups.items():
                found = [margins[id] for id in ids if math.isfinite(margins[id])]
                if found:
                    right = sum((one > 0) + (one == 0) / 2 for one in found)
                    means = right / len(found), sum(found) / len(found)
                    place = point.step, point.tokens, column, group
                    rows.append((*place, len(found), *means))
        return rows

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
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(self.rows())
        checkpoint.write(path, stream.getvalue())


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
                groups={**groups, "source": str(row["source"])},
            )
        )
    return found


def _answer(turns: object) -> str:
    assert isinstance(turns, list)
    return str(turns[-1]["content"])


def draw(
    found: Sequence[Item], number: int, fits: Callable[[Item], bool]
) -> list[Item]:
    """Draws items that fit, stratified over their groups by a fixed seed."""
    short = [item for item in found if fits(item)]
    if not number or not short:
        return []
    columns = sorted({column for column, _ in grouped(short)} - {ALL})
    filled = [
        dataclasses.replace(
            item, groups={column: item.groups.get(column) for column in columns}
        )
        for item in short
    ]
    return select.limit_items(filled, columns, number)


def grouped(found: Sequence[Item]) -> dict[tuple[str, str], list[str]]:
    """(column, group) -> ids of its items; first of all of them together.

    A column of numbers, or of more than 40 values, is no group.
    """
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    groups[ALL, ALL] = [item.id for item in found]
    columns = sorted({name for item in found for name in item.groups})
    for column in columns:
        values = {item.groups.get(column) for item in found} - {None}
        texts = all(isinstance(value, str) for value in values)
        if values and texts and len(values) <= _MOST_GROUPS:
            for item in found:
                value = item.groups.get(column)
                if value is not None:
                    groups[column, str(value)].append(item.id)
    return dict(groups)


def longest(encoded: Sequence[Encoded]) -> int:
    """Tokens of the longest encoding, what was cut off included."""
    return max(len(one.token_ids) + one.truncated_tokens for one in encoded)
