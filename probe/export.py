"""What a probe asks to be scored, for models that rm-probe does not run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from probe import checkpoint
from probe.types import Item, writing


def lines(items: Iterable[Item], reader: Literal["reward", "policy"]) -> Iterator[str]:
    """A JSON object for every item x candidate, as `rm-probe import` joins them.

    Args:
        items: Of one probe, in its order.
        reader: For whom. A policy also gets `span`, the characters of `answer` whose
            log-probability is the score (null: all of them); it reads nothing after.
    """
    for item in items:
        messages = [{"role": m.role, "content": m.content} for m in item.messages]
        for one in item.candidates:
            row: dict[str, object] = {
                "item_id": item.id,
                "candidate_id": one.id,
                "messages": messages,
                "answer": one.answer,
            }
            if reader == "policy":
                row["span"] = one.span
            yield json.dumps(row, ensure_ascii=False)


def write(path: Path, lines: Iterable[str]) -> int:
    """Writes the lines whole or not at all, and counts them.

    Raises:
        StoreError: The file cannot be written.
    """
    written = list(lines)
    room = "--out names a file in a folder that is there, with room on the disk"
    with writing(path, room):
        checkpoint.write(path, "".join(f"{line}\n" for line in written))
    return len(written)
