"""What `rm-probe langid` says of a training set, and the files it writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders.cells import probe_name
from data_builders.langid import Shares, Tag, language_name, shares
from data_builders.training_rows import TrainingSet
from probe import csvs
from probe.types import writing

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


@dataclass(frozen=True, kw_only=True)
class Part:
    """So many of so many: a row of the file."""

    of: str
    """What is counted: `texts`, `characters`, `answers`, or `rows` of the set."""
    measure: str
    """`language`: both detectors name it, of those of which they name the same one.
    `differ`: they do not, of those of which either names one.
    `no_letters`: neither names one, of all.
    `not_english`: of those of which they name the same one. `not_english_low` and
    `not_english_high`: were all that they differ on English, and were none.
    `left_out`: rows without texts, of all."""
    code: str = ""
    """Of a language."""
    name: str = ""
    """The language's, or why rows are left out."""
    count: int
    n: int
    """What `count` is a part of."""

    @property
    def share(self) -> float | None:
        """None: of nothing."""
        return self.count / self.n if self.n else None


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
    yield (
        f"shares are of the {every.n_agreed:,} texts of which both detectors name the "
        f"same language; they differ on {every.n_differ:,} "
        f"({_percent(every.n_differ, every.n_told)})"
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


def parts(of: Tagged) -> Iterator[Part]:
    """The table and the notes as numbers; of the answers alone, too."""
    every, answers = of.every, of.answers
    for code, _ in every.counts.most_common():
        for unit, counts in (
            ("texts", every.counts),
            ("characters", every.characters),
            ("answers", answers.counts),
        ):
            yield Part(
                of=unit,
                measure="language",
                code=code,
                name=language_name(code),
                count=counts[code],
                n=counts.total(),
            )
    for unit, found in (("texts", every), ("answers", answers)):
        other, told = found.n_other, found.n_told
        for measure, count, n in (
            ("differ", found.n_differ, told),
            ("no_letters", found.n_silent, found.n_texts),
            ("not_english", other, found.n_agreed),
            ("not_english_low", other, told),
            ("not_english_high", other + found.n_differ, told),
        ):
            yield Part(of=unit, measure=measure, count=count, n=n)
    for why, count in of.found.dropped.items():
        yield Part(
            of="rows", measure="left_out", name=why, count=count, n=of.found.n_rows
        )


def write(of: Tagged, out: Path) -> tuple[Path, Path]:
    """Writes the parts, a row each, and what was said of each text.

    Raises:
        StoreError: `out` cannot be written.
    """
    name = probe_name(Path(of.found.name.replace("/", "_")))
    paths = out / f"{name}.languages.csv", out / f"{name}.tags.csv"
    counts = csvs.text_of(
        ("of", "measure", "code", "name", "count", "n", "share"),
        [
            (one.of, one.measure, one.code, one.name, one.count, one.n, one.share)
            for one in parts(of)
        ],
    )
    tags = csvs.text_of(
        ("row", "role", "agreed", "lingua", "fasttext"),
        [
            (turn.row, turn.role, one.agreed, one.lingua, one.fasttext)
            for turn, one in zip(of.found.turns, of.tags, strict=True)
        ],
    )
    with writing(out, "--out is a folder for the tags"):
        out.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (counts, tags), strict=True):
            path.write_text(text, encoding="utf-8")
    return paths


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "-"
