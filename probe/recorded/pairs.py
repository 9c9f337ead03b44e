"""Recorded scores of the same rows in several dialects.

Either RewardBench's result files, one per dialect, matched by row number; or one long
csv: `item`, `dialect`, `score`, and if known `role` (chosen, rejected),
`prompt_dialect`, `subset` and `measure`. What the texts were is not known from either:
prompts and answers are empty, and what of them is identical is not known.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from data_builders import dialect_rows
from data_builders.conversations import ANSWERS
from data_builders.dialect_rows import CANDIDATE_COLUMNS, ITEM_COLUMNS
from probe.recorded import files
from probe.recorded.files import Recorded
from probe.recorded.rewardbench import check_match, label, read_scores
from probe.types import (
    Candidate,
    DataError,
    GroupValue,
    Item,
    Measure,
    Message,
    Probe,
    UsageError,
)

ONE_TEXT = "rejected score, where in every row it is the chosen one's"

_TEXTS_UNKNOWN = "the texts are not known, nor which of them are identical"
_LONG = ("item", "dialect", "score", "role", "prompt_dialect", "subset", "measure")


def compares_dialects(probe: Probe) -> bool:
    """Whether a probe holds one content in several dialects against each other."""
    return probe.axis == "dialects" and {"role", "dialect"} <= set(probe.columns)


# -- RewardBench's result files, one per dialect -----------------------------


def read_groups(groups: Mapping[str, Path]) -> tuple[Recorded, dict[str, str]]:
    """Reads result files of the same rows in several dialects.

    Args:
        groups: Dialect -> file of `rewardbench`; the first is what the others are
            compared with.

    Returns:
        The scores, and the sha256 of each dialect's file.

    Raises:
        UsageError: There are fewer than two files.
        DataError: A file cannot be read, has a score that is none, or does not match
            the others; with the file and the row.
    """
    if len(groups) < 2:
        raise UsageError(
            f"there is one file only, of '{next(iter(groups), '')}'",
            "Dialects are compared with one another: the first one named is what the "
            "others are compared with",
            "Name a file for each dialect, such as standard=A.jsonl aal=B.jsonl",
        )
    found = {dialect: read_scores(file) for dialect, file in groups.items()}
    for one, other in itertools.combinations(found.values(), 2):
        check_match(one, other)
    first = next(iter(found.values()))
    dialects = tuple(found)
    one_text = all(a == b for one in found.values() for a, b in one.scores)
    roles = ANSWERS[:1] if one_text else ANSWERS
    items: list[Item] = []
    scores: list[float] = []
    for place in range(len(first.scores)):
        subset = first.labels["subset"][place] if "subset" in first.labels else None
        for dialect, one in found.items():
            row = str(place + 1)
            asked = [(role, dialect) for role in roles]
            items.append(
                _item(f"{row}/{dialect}", row, dialect, subset, asked, dialects)
            )
            scores += one.scores[place][: len(roles)]
    recorded = Recorded(
        items=tuple(items),
        scores=tuple(scores),
        measure=Measure.REWARD,
        notes=(
            "recorded rewards, a file per dialect, matched by row number: "
            + ", ".join(f"{name}={one.file.name}" for name, one in found.items())
            + f"; {_TEXTS_UNKNOWN}",
            *(["chosen and rejected are one text in every row"] if one_text else []),
        ),
        item_columns=ITEM_COLUMNS,
        candidate_columns=CANDIDATE_COLUMNS,
        dropped={ONE_TEXT: len(items)} if one_text else {},
    )
    return recorded, {name: one.sha for name, one in found.items()}


# -- one long csv --------------------------------------------------------------


def read_long(frame: pd.DataFrame, file: Path) -> Recorded:
    """A row per score: `item` (or `item_id`), `dialect`, `score`, and what is known.

    Without `role` every score is of a chosen answer. Without `prompt_dialect` all of
    an item's answers stand under one prompt of which no dialect is known.

    Raises:
        DataError: A column or cell is not as it must be, a row stands twice, or there
            is nothing to compare; with its place.
    """
    if "item" not in frame.columns and "item_id" in frame.columns:
        frame = frame.rename(columns={"item_id": "item"})
    files.need(
        frame,
        _LONG[:3],
        file,
        "; RewardBench's result files are named with their dialect: "
        "standard=A.jsonl aal=B.jsonl",
    )
    frame = frame.assign(
        **{
            name: frame[name].str.strip()
            for name in ("item", "dialect", "role", "prompt_dialect", "subset")
            if name in frame.columns
        }
    )
    if "role" not in frame.columns:
        frame = frame.assign(role="chosen")
    prompts = "prompt_dialect" in frame.columns
    names = ["item", "dialect", *(["prompt_dialect"] if prompts else [])]
    _check_cells(frame, names, file)
    unique = ["item", "role", *names[1:]]
    files.no_twice(
        frame[unique[0]].str.cat(frame[unique[1:]], sep=" / "), "a row", file
    )
    scores = files.numbers(frame, ["score"], file)["score"]
    measure = files.measure(frame, file)
    seen = dict.fromkeys(frame[names[1:]].to_numpy().ravel().tolist())
    dialects = dialect_rows.ordered(seen)
    kept, lost = _comparable(frame, names[1:], dialects, file)
    frame, scores = frame[kept], scores[kept]
    subsets = _subsets(frame, file)
    asked: dict[tuple[str, str | None], list[tuple[str, str]]] = {}
    ordered: dict[tuple[str, str | None], list[float]] = {}
    under = frame["prompt_dialect"] if prompts else [None] * len(frame)
    for *key, role, dialect, score in zip(
        frame["item"], under, frame["role"], frame["dialect"], scores, strict=True
    ):
        asked.setdefault(tuple(key), []).append((role, dialect))
        ordered.setdefault(tuple(key), []).append(score)
    items = [
        _item(
            row if prompt is None else f"{row}/{prompt}",
            row,
            prompt,
            subsets[row],
            answers,
            dialects,
        )
        for (row, prompt), answers in asked.items()
    ]
    unread = [str(name) for name in frame.columns if name not in _LONG]
    return Recorded(
        items=tuple(items),
        scores=tuple(itertools.chain.from_iterable(ordered.values())),
        measure=measure,
        notes=(
            f"recorded scores of {file.name}, a row per item and dialect; "
            + _TEXTS_UNKNOWN
            + (f"; columns not read: {', '.join(unread)}" if unread else ""),
        ),
        item_columns=ITEM_COLUMNS,
        candidate_columns=CANDIDATE_COLUMNS,
        dropped=lost,
    )


def _check_cells(frame: pd.DataFrame, names: Sequence[str], file: Path) -> None:
    """Checks that there is an item, a dialect and a role in each row."""
    wrong = {name: frame[name] == "" for name in names}
    for name in names[1:]:
        wrong[name] |= frame[name].str.contains("/", regex=False)
    wrong["role"] = ~frame["role"].isin(ANSWERS)
    for name, rows in wrong.items():
        files.none_wrong(
            frame[name],
            rows,
            file,
            "Every row names an item and a dialect without '/'; a role is one of "
            f"{', '.join(ANSWERS)}",
            "Mend the cell, or leave the row out of the file",
        )


def _comparable(
    frame: pd.DataFrame, names: Sequence[str], dialects: Sequence[str], file: Path
) -> tuple[pd.Series, dict[str, int]]:
    """Which rows of the file are of an item with the reference and another dialect.

    Returns:
        A truth value per row, and what was left out or is missing, counted by reason.
    """
    if len(dialects) < 2:
        raise DataError(
            f"{file}, column 'dialect': one dialect only, '{dialects[0]}'",
            "Dialects are compared with one another",
            "Add the scores of another dialect",
        )
    reference = dialects[0]
    here: dict[str, set[str]] = {}
    for item, *found in frame[["item", *names]].itertuples(index=False):
        here.setdefault(str(item), set()).update(map(str, found))
    compared = {item: found for item, found in here.items() if reference in found}
    for dialect in dialects[1:]:
        if not any(dialect in found for found in compared.values()):
            raise DataError(
                f"{file}: no item has scores both in '{dialect}' and in '{reference}'",
                "Each dialect is compared with the reference in the same items",
                "Give the rows of one content the same item",
            )
    whole = {item: found for item, found in compared.items() if len(found) > 1}
    lost = {
        dialect_rows.REFERENCE_MISSING: len(here) - len(compared),
        dialect_rows.ALONE: len(compared) - len(whole),
        dialect_rows.DIALECT_MISSING: sum(
            len(dialects) - len(found) for found in whole.values()
        ),
    }
    return frame["item"].isin(whole), {why: n for why, n in lost.items() if n}


def _subsets(frame: pd.DataFrame, file: Path) -> dict[str, GroupValue]:
    """Subset of each item."""
    if "subset" not in frame.columns:
        return dict.fromkeys(frame["item"].tolist())
    found: dict[str, str] = {}
    for item, subset in zip(frame["item"], frame["subset"], strict=True):
        if found.setdefault(item, subset) != subset:
            raise DataError(
                f"{file}: item '{item}' is of the subsets {found[item]!r}, {subset!r}",
                "An item belongs to one subset in all its dialects",
                "Correct the column",
            )
    return {item: label(subset) for item, subset in found.items()}


def _item(
    id: str,
    row: str,
    prompt_dialect: str | None,
    subset: GroupValue,
    asked: Iterable[tuple[str, str]],
    dialects: Sequence[str],
) -> Item:
    return Item(
        id=id,
        messages=(Message(role="user", content=""),),
        candidates=tuple(
            Candidate(
                id=f"{role}-{dialect}",
                answer="",
                groups={"role": role, "dialect": dialect, "same": None},
            )
            for role, dialect in asked
        ),
        groups={
            "row": row,
            "prompt_dialect": prompt_dialect,
            "prompt_same": None,
            "subset": subset,
        },
        meta={"reference": dialects[0], "dialects": list(dialects)},
    )
