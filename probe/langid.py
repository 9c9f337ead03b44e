"""What `rm-probe langid` says of a training set, and the files it writes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders.cells import probe_name
from data_builders.langid import Shares, Tag, language_name, shares
from data_builders.training_rows import TrainingSet
from probe.types import StoreError

ANSWERS = ("assistant", "chosen", "rejected")
"""Roles of what a model learns to write, or to prefer; the rest is what it reads."""
MOST_SHOWN = 20
"""Languages that the terminal shows; the file has all."""

Rows = list[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """A training set whose texts are tagged."""

    found: TrainingSet
    tags: Sequence[Tag]
    """One per turn."""
    every: Shares
    """Of all texts."""
    answers: Shares
    """Of the answers alone."""


def tagged(found: TrainingSet, tags: Sequence[Tag]) -> Tagged:
    """Counts the languages of a training set."""
    every = [(one, turn) for turn, one in zip(found.turns, tags, strict=True)]
    answers = [(one, turn) for one, turn in every if turn.role in ANSWERS]
    of_every, of_answers = (
        shares([one for one, _ in pairs], [len(turn.text) for _, turn in pairs])
        for pairs in (every, answers)
    )
    return Tagged(found=found, tags=tags, every=of_every, answers=of_answers)


def table(of: Tagged) -> Rows:
    """A row per language: texts, share, share of characters, share of the answers."""
    every, answers = of.every, of.answers
    rows: Rows = [("code", "language", "texts", "share", "of characters", "of answers")]
    for code, number in every.counts.most_common():
        rows.append(
            (
                code,
                language_name(code),
                f"{number:,}",
                _percent(number, every.n_agreed),
                _percent(every.characters[code], every.characters.total()),
                _percent(answers.counts[code], answers.n_agreed),
            )
        )
    return rows


def notes(of: Tagged) -> Iterator[str]:
    """What must be known of the shares."""
    every = of.every
    told = every.n_agreed + every.n_differ
    yield (
        f"shares are of the {every.n_agreed:,} texts of which both detectors name the "
        f"same language; they differ on {every.n_differ:,} "
        f"({_percent(every.n_differ, told)})"
    )
    if every.n_silent:
        yield f"{every.n_silent:,} texts have no letters, and are of no language"
    if every.other is not None and every.bounds is not None:
        low, high = every.bounds
        yield (
            f"not English: {100 * every.other:.2f}%; were all texts English that they "
            f"differ on {100 * low:.2f}%, were none {100 * high:.2f}%"
        )
    for why, number in of.found.dropped.items():
        yield f"{number:,} rows left out: {why}"


def write(of: Tagged, out: Path) -> tuple[Path, Path]:
    """Writes the table, with plain numbers, and what was said of each text.

    Raises:
        StoreError: `out` cannot be written.
    """
    name = probe_name(Path(of.found.name.replace("/", "_")))
    paths = out / f"{name}.languages.csv", out / f"{name}.tags.csv"
    every, answers = of.every, of.answers
    try:
        out.mkdir(parents=True, exist_ok=True)
        with paths[0].open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("code", "language", "texts", "characters", "answers"))
            for code, number in every.counts.most_common():
                row = number, every.characters[code], answers.counts[code]
                writer.writerow((code, language_name(code), *row))
        with paths[1].open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("row", "role", "agreed", "lingua", "fasttext"))
            for turn, one in zip(of.found.turns, of.tags, strict=True):
                said = one.agreed, one.lingua, one.fasttext
                writer.writerow((turn.row, turn.role, *(code or "" for code in said)))
    except OSError as error:
        raise StoreError(
            f"{out} cannot be written: {error.strerror}",
            "--out is a folder for the tags",
            "Name another",
        ) from error
    return paths


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "-"
