"""Runs of texts in several dialects for tests, stored as the scoring loop would."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from probe.score import item_rows
from probe.store import Manifest, RunFolder
from probe.types import Candidate, Item, Measure, Message, ScoreRow

STANDARD = "standard"
DIALECTS = (STANDARD, "aal", "indian", "jamaican")

Score = Callable[[Item, Candidate], float]
Lengths = Callable[[Item, Candidate], int | None]
Same = Callable[[str, str, str], bool]
"""(row, `prompt`, `chosen` or `rejected`, dialect) -> the reference's text."""


def _never(row: str, part: str, dialect: str) -> bool:
    return False


def text(row: str, part: str, dialect: str, same: Same = _never) -> str:
    """The text of a row's part in a dialect."""
    here = STANDARD if same(row, part, dialect) else dialect
    return f"{part} of {row} in {here}"


def scored_items(
    n_rows: int,
    dialects: Sequence[str] = DIALECTS,
    *,
    same: Same = _never,
    rejected: bool = True,
    prompts: Mapping[str, str] | None = None,
    subsets: Mapping[str, str] | None = None,
) -> list[Item]:
    """Items as the builder makes them: one per row and dialect of the prompt.

    Args:
        n_rows: Rows, called r000, r001, ...
        dialects: The reference first.
        same: Which texts are the reference's own.
        rejected: Rows have a rejected answer.
        prompts: Row -> what its prompts are called; rows may share one.
        subsets: Row -> subset.
    """
    reference = dialects[0]
    found = []
    for row in (f"r{i:03d}" for i in range(n_rows)):
        for asked in dialects:
            roles = [("chosen", asked), ("rejected", asked), ("chosen", reference)]
            if asked == reference:
                roles = [("chosen", one) for one in dialects]
                roles.append(("rejected", reference))
            prompt = text((prompts or {}).get(row, row), "prompt", asked, same)
            found.append(
                Item(
                    id=f"{row}/{asked}",
                    messages=(Message(role="user", content=prompt),),
                    candidates=tuple(
                        Candidate(
                            id=f"{role}-{dialect}",
                            answer=text(row, role, dialect, same),
                            groups={
                                "role": role,
                                "dialect": dialect,
                                "same": _yes(
                                    dialect == reference or same(row, role, dialect)
                                ),
                            },
                        )
                        for role, dialect in roles
                        if rejected or role == "chosen"
                    ),
                    groups={
                        "row": row,
                        "prompt_dialect": asked,
                        "prompt_same": _yes(
                            asked == reference or same(row, "prompt", asked)
                        ),
                        "subset": (subsets or {}).get(row),
                    },
                    meta={"reference": reference, "dialects": list(dialects)},
                )
            )
    return found


def imported_items(
    n_rows: int, dialects: Sequence[str] = DIALECTS, *, matched: bool = True
) -> list[Item]:
    """Items of scores recorded elsewhere: no texts.

    Args:
        n_rows: Rows.
        dialects: The reference first.
        matched: An item per row and dialect, of which both answers are; else an item
            per row, and nothing is known of prompts.
    """

    def candidate(role: str, dialect: str) -> Candidate:
        groups = {"role": role, "dialect": dialect, "same": None}
        return Candidate(id=f"{role}-{dialect}", answer="", groups=groups)

    def item(row: str, asked: str | None, candidates: Iterable[Candidate]) -> Item:
        return Item(
            id=row if asked is None else f"{row}/{asked}",
            messages=(Message(role="user", content=""),),
            candidates=tuple(candidates),
            groups={
                "row": row,
                "prompt_dialect": asked,
                "prompt_same": None,
                "subset": None,
            },
            meta={"reference": dialects[0], "dialects": list(dialects)},
        )

    rows = [f"r{i:03d}" for i in range(n_rows)]
    both = ("chosen", "rejected")
    if matched:
        return [
            item(row, asked, (candidate(role, asked) for role in both))
            for row in rows
            for asked in dialects
        ]
    return [
        item(row, None, (candidate("chosen", one) for one in dialects)) for row in rows
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def store(
    root: Path,
    items: Sequence[Item],
    score: Score,
    *,
    model: str = "made_up",
    measure: Measure = Measure.REWARD,
    tokens: Lengths = lambda item, candidate: len(candidate.answer.split()),
    **changes: object,
) -> Path:
    """Writes a run with given scores and token counts as the scoring loop would."""
    fields: dict[str, object] = {
        "probe": "dialect_pairs",
        "probe_version": "1+probe-half-0",
        "title": "The same content in several dialects",
        "axis": "dialects",
        "model": model,
        "fingerprint": hashlib.sha256(model.encode()).hexdigest()[:16],
        "kind": "scored",
        "model_kind": "sequence_classifier",
        "item_columns": ("row", "prompt_dialect", "prompt_same", "subset"),
        "candidate_columns": ("role", "dialect", "same"),
        "measures": (measure.value,),
        "status": "complete",
    }
    given = Manifest(**(fields | changes))  # type: ignore[arg-type]
    with RunFolder.open(root, given) as folder:
        folder.write_items(item_rows(items))
        folder.append(
            [
                ScoreRow(
                    probe=given.probe,
                    probe_version=given.probe_version,
                    item_id=item.id,
                    candidate_id=candidate.id,
                    model=model,
                    fingerprint=given.fingerprint,
                    measure=measure,
                    score=score(item, candidate),
                    n_prompt_tokens=10,
                    n_answer_tokens=tokens(item, candidate),
                    truncated_tokens=0,
                    straddles=False,
                    input_sha=None,
                )
                for item in items
                for candidate in item.candidates
            ]
        )
        return folder.path
