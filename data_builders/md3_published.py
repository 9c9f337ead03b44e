"""MD3's games from the tables that its authors publish, a pair of TSVs a dialect.

`prompts_<dialect>.tsv` has a row per game, `transcripts_<dialect>.tsv` a row per
utterance in speaking order; `clip_identifier` ties them together. Kept are the taboo
games that were won. Rows that are equal in all their columns count once, and so does an
utterance that its speaker's last one was already; those without speaker or text count
not at all. The transcript ends before the answer is first said. A file that is
malformed is an error; a game that cannot be used is counted.

Source: Eisenstein, Prabhakaran, Rivera, Demszky, Sharma, "MD3: The Multi-Dialect
Dataset of Dialogues", Interspeech 2023.
"""

from __future__ import annotations

import ast
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import tables
from data_builders.md3_transcripts import (
    Transcript,
    Utterance,
    before_answer,
    without_repeats,
)
from probe.types import DataError

WORD_GAME = "word"
WON = "win"

_ANSWER, _DISTRACTORS = "correct_word/image", "distractors"
_PROMPTS = ("clip_identifier", "game_type", "prompt_status", _ANSWER, _DISTRACTORS)
_TRANSCRIPTS = ("clip_identifier", "speaker_id", "transcript")
_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")


@dataclass(frozen=True, kw_only=True)
class Game:
    """One game and what was said in it before the answer."""

    where: str
    """File and line, for errors."""
    id: str
    dialect: str
    transcript: Transcript
    """Empty: nothing was said before the answer."""
    answer: str
    distractors: tuple[str, ...]
    """The words that could not be said."""


@dataclass(frozen=True, kw_only=True)
class Games:
    """The games of a source."""

    games: tuple[Game, ...]
    dropped: Counter[str]
    """Games left out, by reason."""


def read(prompts: Path, transcripts: Path, dialect: str) -> Games:
    """Reads one dialect's pair of tables.

    Args:
        prompts: `prompts_<dialect>.tsv`.
        transcripts: `transcripts_<dialect>.tsv`.
        dialect: Such as `en_us`; part of the games' ids.

    Raises:
        DataError: A file is no UTF-8 table with the columns, or a distractors cell of
            a won taboo game is no list of texts; with file, line and column.
    """
    spoken = _spoken(transcripts)
    dropped: Counter[str] = Counter()
    games = []
    seen: set[str] = set()
    for row in _rows(prompts, _PROMPTS):
        clip, game_type, status, answer, cell = row.cells
        if (game_type.casefold(), status.casefold()) != (WORD_GAME, WON):
            continue
        if clip in seen:
            dropped["a second game of the same clip"] += 1
            continue
        seen.add(clip)
        where = f"{row.where}, column '{_DISTRACTORS}'"
        distractors = listed(cell, where) if cell else ()
        if not answer:
            dropped["no answer given"] += 1
        elif not (transcript := spoken.get(clip)):
            dropped["no transcript of the game"] += 1
        elif (before := before_answer(transcript, answer)) is None:
            dropped["answer never said"] += 1
        else:
            games.append(
                Game(
                    where=row.where,
                    id=f"{dialect}-{clip}",
                    dialect=dialect,
                    transcript=before,
                    answer=answer,
                    distractors=distractors,
                )
            )
    return Games(games=tuple(games), dropped=dropped)


def texts(value: object, where: str) -> tuple[str, ...]:
    """A list of texts, as read from a file.

    Raises:
        DataError: It is none; with `where`.
    """
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise DataError(
            f"{where}: {str(value)[:80]!r} is no list of texts",
            "The words that could not be said are a list, such as ['Atom', 'Proton']",
            "Mend the cell or remove the row",
        )
    return tuple(one.strip() for one in value)


def listed(cell: str, where: str) -> tuple[str, ...]:
    """The texts of a list written as Python writes it, which covers JSON's of texts.

    Raises:
        DataError: As `texts`.
    """
    try:
        value = ast.literal_eval(cell)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        value = cell
    return texts(value, where)


def _spoken(path: Path) -> dict[str, Transcript]:
    """The utterances of each clip."""
    found: dict[str, list[Utterance]] = {}
    for row in _rows(path, _TRANSCRIPTS):
        clip, speaker, text = row.cells
        if speaker and text:
            found.setdefault(clip, []).append(Utterance(speaker=speaker, text=text))
    return {clip: without_repeats(lines) for clip, lines in found.items()}


@dataclass(frozen=True, kw_only=True)
class _Row:
    cells: tuple[str, ...]
    """Those of the columns asked for, each on one line."""
    where: str


def _rows(path: Path, columns: Sequence[str]) -> Iterator[_Row]:
    """The rows of a table; one that stands twice comes once."""
    # Not `tables.read`: there a cell is quoted by the book, while people who transcribe
    # speech put quotation marks where they hear them.
    text = _read_text(path)
    tables.allow_cells(len(text))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
    seen: set[tuple[str, ...]] = set()
    try:
        header = [name.strip() for name in next(reader, [])]
        places = _places(header, columns, path)
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header) or any("\t" in cell for cell in cells):
                raise DataError(
                    f"{where}: the row has not one cell for each of the "
                    f"{len(header)} columns",
                    "Cells are parted by tabs; a quotation mark that opens a cell "
                    "also closes it",
                    "Mend that line",
                )
            whole = tuple(_LINE_BREAK.sub(" ", cell.strip()) for cell in cells)
            if whole not in seen:
                seen.add(whole)
                yield _Row(cells=tuple(whole[place] for place in places), where=where)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}",
            "A table of MD3 has a row a line and tabs between cells",
            "Mend that line",
        ) from error


def _places(header: Sequence[str], columns: Sequence[str], path: Path) -> list[int]:
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}",
            f"A table of MD3 has the columns {', '.join(columns)}, parted by tabs",
            "Use the files as published",
        )
    return [header.index(name) for name in columns]


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8",
            "A table is UTF-8 text",
            "Save it as UTF-8",
        ) from error
