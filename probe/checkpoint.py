"""The folder of a checkpoint in training, and when it counts as finished."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probe.types import StoreError, writing

logger = logging.getLogger(__name__)

MODEL_FILE = "model.yaml"
"""Written last: a folder with it is finished."""
IMPLICIT_FILE = "implicit.yaml"
"""Of a DPO checkpoint: the same as an implicit reward."""
RECORD_FILE = "training.json"
ROW_FILE = "row.txt"
HELD_OUT_FILE = "held_out.csv"
LENGTHS_FILE = "lengths.csv"
"""Of a reward stage: how long both answers of each pair of its mix are, before any is
cut or left out."""
ADAPTER = "adapter"
WEIGHTS = "weights"
MERGED = "merged"
"""The whole weights, once a stage starts from these."""
TRAINER = "trainer"
"""The trainer's own checkpoints, until it is finished."""

_PLAN_FILE = "plan.json"
STATE = "trainer_state.json"
"""Written last into a trainer's checkpoint, so that one with it is whole."""


def finished(out: Path) -> bool:
    """Whether a folder holds a checkpoint that was trained to its end."""
    return (out / MODEL_FILE).is_file()


def take_up(
    out: Path, plan: Mapping[str, object], unsaid: Mapping[str, object]
) -> bool:
    """Opens a checkpoint's folder, new or begun.

    Args:
        out: The folder.
        plan: What decides the weights, as plain values.
        unsaid: Keys of `stage` in a plan -> the value of one that a folder's plan
            lacks, since it was begun before there was such a key.

    Returns:
        Whether it is finished.

    Raises:
        StoreError: It was begun with another plan.
    """
    wanted = json.loads(json.dumps(plan))
    file = out / _PLAN_FILE
    if file.is_file():
        before = read_json(file)
        before["stage"] = {**unsaid, **before.get("stage", {})}
        differ = [key for key in wanted if before.get(key) != wanted[key]]
        if differ:
            raise StoreError(
                f"{out} was trained with another {', '.join(differ)}",
                "A checkpoint is continued with what it was begun with",
                "Give another --out, or delete that folder to train it anew",
            )
        return finished(out)
    with writing(out, "--out is a folder for checkpoints"):
        out.mkdir(parents=True, exist_ok=True)
    write(file, json.dumps(wanted, indent=2) + "\n")
    return False


def newest(folder: Path) -> Path | None:
    """The trainer's last whole checkpoint that is not its end.

    Half-written ones are removed, and so is that of the last step: the trainer makes a
    step before it looks whether there is one to make, and would make one too many.
    """
    found: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        try:
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
            over = state["global_step"] >= state["max_steps"]
        except (OSError, ValueError, KeyError):
            logger.info("%s was not written to its end; removed", path)
            over = True
        if over:
            shutil.rmtree(path)
        else:
            found.append((step_of(path), path))
    return max(found)[1] if found else None


def step_of(path: Path) -> int:
    """The step at which the trainer wrote a checkpoint."""
    return int(path.name.rpartition("-")[2])


def read_json(path: Path) -> dict[str, Any]:
    """Reads an object that training has written.

    Raises:
        StoreError: It is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}",
            "It was written by `rm-probe train`",
            "Delete its folder; it is made anew",
        ) from error
    assert isinstance(found, dict)
    return found


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
