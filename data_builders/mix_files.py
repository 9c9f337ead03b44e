"""A drawn mix, and its files: rows as TRL reads them, and what they were drawn from."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_builders.mix_overlap import Overlap
from data_builders.training_types import Form, Rows, TrainingRow
from probe.types import DataError

TRAIN = "train.jsonl"
HELD_OUT = "held_out.jsonl"
RECORD = "mix.json"
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class DrawnPart:
    """What a part gave."""

    source: str
    where: str
    """Its filter, in words."""
    dosed: bool
    """Whether its share is the dose."""
    share: float | None
    """Of the rows; None: all that there are."""
    asked: int | None
    available: int
    """Rows that it could draw from: filtered, clean, and not held out."""
    drawn: int
    upsampled: int
    """Of the drawn, those that are there a second time or more."""
    mean_chars: float | None
    """Mean characters of prompt and answers, of the drawn rows; None: there is none."""
    mean_chars_available: float | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much longer the rows of one part are than those of another."""

    part: int
    other: int
    """Their places in the mix."""
    drawn: float | None
    """Difference of the means by the root of the mean variance (Cohen's d); None: a
    part has fewer than two rows."""
    available: float | None
    """The same of all rows that could be drawn."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A source that was read."""

    name: str
    licence: str | None
    url: str | None
    revision: str | None
    files: Mapping[str, str]
    """sha256 by name."""
    rows: int
    dropped: Mapping[str, int]
    """What its files hold beside these rows, by reason."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A mix at one dose and seed: the rows to train on, and how they came about."""

    name: str
    config: Mapping[str, Any]
    """The mix as written."""
    form: Form
    """Of the rows: of a mix for SFT they have a completion, else a chosen and a
    rejected answer."""
    dose: float | None
    seed: int
    half_seed: int
    train: tuple[TrainingRow, ...]
    """In the order of training; a row that is repeated is there so often."""
    held_out: tuple[TrainingRow, ...]
    """In a fixed order; the same for every dose and seed."""
    parts: tuple[DrawnPart, ...]
    differences: tuple[Difference, ...]
    """Of length, of each two parts."""
    dropped: Mapping[str, Mapping[str, str | None]]
    """Reason -> id of a row left out -> the row that it repeats, the item that it
    overlaps with, or the version of it that is too long; None: nothing but itself."""
    overlaps: tuple[Overlap, ...]
    """Rows left out because they share a text with a scored item."""
    left: int
    """Rows to train on that share a text with a scored item, counted after the draw."""
    scored_items: int
    """Items that rows were compared with."""
    sources: tuple[Origin, ...]

    @property
    def drawn_share(self) -> float | None:
        """Share of the rows that the part with the dose gave; None: there is no dose.

        It is the dose to the nearest row, except where contents are matched: joined
        keys go to one part whole.
        """
        if self.dose is None:
            return None
        return sum(one.drawn for one in self.parts if one.dosed) / len(self.train)

    @property
    def sha(self) -> str:
        """sha256 of the ids and texts of the rows to train on, in order."""
        return sha_of(written(self.train, self.form))

    @property
    def held_out_sha(self) -> str:
        """The same of the rows held out."""
        return sha_of(written(self.held_out, self.form))

    def record(self) -> dict[str, Any]:
        """Everything but the texts, as JSON has it."""
        return {
            "version": VERSION,
            "mix": self.name,
            "config": dict(self.config),
            "form": self.form,
            "dose": self.dose,
            "drawn_share": self.drawn_share,
            "seed": self.seed,
            "half_seed": self.half_seed,
            "rows": len(self.train),
            "held_out_rows": len(self.held_out),
            "sha256": self.sha,
            "held_out_sha256": self.held_out_sha,
            "parts": [asdict(one) for one in self.parts],
            "length_differences": [asdict(one) for one in self.differences],
            "sources": [asdict(one) for one in self.sources],
            "dropped": {reason: dict(ids) for reason, ids in self.dropped.items()},
            "overlap": {
                "scored_items": self.scored_items,
                "removed": [asdict(one) for one in self.overlaps],
                "left": self.left,
            },
            "row_ids": [row.id for row in self.train],
            "held_out_ids": [row.id for row in self.held_out],
        }

    def write(self, folder: Path) -> None:
        """Writes the rows and the record, each whole or not at all, the record last."""
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / TRAIN, _lines(written(self.train, self.form)))
        _write(folder / HELD_OUT, _lines(written(self.held_out, self.form)))
        record = json.dumps(self.record(), ensure_ascii=False, indent=1)
        _write(folder / RECORD, record + "\n")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A drawn mix, read back."""

    train: list[dict[str, Any]]
    """As TRL reads them: `prompt` and `completion`, or `prompt`, `chosen`, `rejected`,
    each a list of turns; with `id`, `source`, `key` and `groups`."""
    held_out: list[dict[str, Any]]
    record: dict[str, Any]
    """As `Drawn.record`."""


def read_drawn(folder: Path) -> Stored:
    """Reads a mix that was written, and checks that its rows are those recorded.

    Raises:
        DataError: A file is missing or damaged, or the rows are others.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        train, held_out = (
            [
                json.loads(line)
                for line in (folder / name).read_text(encoding="utf-8").split("\n")
                if line
            ]
            for name in (TRAIN, HELD_OUT)
        )
        found = sha_of(train), sha_of(held_out)
        expected = record["sha256"], record["held_out_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} holds no drawn mix that can be read: {error}",
            f"It holds {TRAIN}, {HELD_OUT} and {RECORD} as they were written",
            "Draw the mix again",
        ) from error
    for name, one, other in zip((TRAIN, HELD_OUT), found, expected, strict=True):
        if one != other:
            raise DataError(
                f"{folder / name} holds other rows than {RECORD} records (sha256 "
                f"{one[:12]}, recorded {other[:12]})",
                "The rows of a drawn mix are not changed afterwards",
                "Draw the mix again",
            )
    return Stored(train=train, held_out=held_out, record=record)


def written(rows: Sequence[TrainingRow], form: Form) -> list[dict[str, Any]]:
    """Rows in TRL's conversational form, with the same columns in each."""
    names = sorted({name for row in rows for name in row.groups})
    # A column has one kind in the libraries that read it.
    mixed = {
        name
        for name in names
        if len({type(row.groups.get(name)) for row in rows} - {type(None)}) > 1
    }
    found = []
    for row in rows:
        groups = {name: row.groups.get(name) for name in names}
        for name in mixed:
            groups[name] = None if groups[name] is None else str(groups[name])
        prompt = [{"role": one.role, "content": one.content} for one in row.messages]
        answers = ("completion",) if form == "sft" else ("chosen", "rejected")
        texts = dict(zip(answers, row.answers, strict=True))
        found.append(
            {
                "id": row.id,
                "source": row.source,
                "key": row.key,
                "prompt": prompt,
                **{
                    name: [{"role": "assistant", "content": text}]
                    for name, text in texts.items()
                },
                "groups": groups,
            }
        )
    return found


def sha_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """sha256 of the ids and texts of written rows, in order."""
    digest = hashlib.sha256()
    for row in rows:
        said = [row["id"], row["prompt"]]
        said += [
            row[name] for name in ("completion", "chosen", "rejected") if name in row
        ]
        digest.update(json.dumps(said).encode() + b"\n")
    return digest.hexdigest()


def origin(rows: Rows) -> Origin:
    """What is recorded of a source."""
    return Origin(
        name=rows.name,
        licence=rows.licence,
        url=rows.url,
        revision=rows.revision,
        files=dict(rows.files),
        rows=len(rows.rows),
        dropped=dict(rows.dropped),
    )


def difference(
    rows: Sequence[TrainingRow], others: Sequence[TrainingRow]
) -> float | None:
    """Standardised difference of lengths; None: of fewer than two rows there is none.

    Estimand: the difference of mean characters by the root of the mean of the two
    variances (Cohen's d with equal weights); n: the rows of each.
    """
    one, other = ([row.n_chars for row in side] for side in (rows, others))
    if len(one) < 2 or len(other) < 2:
        return None
    spread = math.sqrt((statistics.variance(one) + statistics.variance(other)) / 2)
    apart = statistics.fmean(one) - statistics.fmean(other)
    if not spread:
        return 0.0 if not apart else None
    return apart / spread


def mean_chars(rows: Sequence[TrainingRow]) -> float | None:
    """Mean characters; None: there are no rows."""
    return statistics.fmean(row.n_chars for row in rows) if rows else None


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)
