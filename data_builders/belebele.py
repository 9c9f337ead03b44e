"""Belebele: the same questions about the same passages in 122 languages.

900 multiple-choice questions about 488 short passages, each in every language. A policy
gives each of four letters a log-probability; a reward model is not asked. The four
options stand in the order of the dataset, which is the same in all languages, so that a
liking for a letter is part of every language's accuracy alike.

The passage, the question and the options are in the language; the instruction and the
words `Passage` and `Question` are English in all of them, so that languages differ in
nothing but what the benchmark's authors had translated. That is a limitation: it may
help or hinder some languages more than others, and says nothing about prompts that are
translated as a whole.

Source: Bandarkar et al., "The Belebele Benchmark: a Parallel Reading Comprehension
Dataset in 122 Language Variants", ACL 2024 (arXiv 2308.16884). One question's right
answer stands among its options twice; such questions are left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import languages, protocols, sources, tables
from probe.types import BuildOptions, Candidate, DataError, Item, Message, Probe

PROMPT = """\
Passage: {passage}

Question: {question}

{options}

Which of these answers is right according to the passage? Reply with its letter."""

N_OPTIONS = 4
BLANK = "a text is blank"
TWICE = "the right answer stands twice"

_TEXTS = (
    "flores_passage",
    "question",
    *(f"mc_answer{number}" for number in range(1, N_OPTIONS + 1)),
)
_KEYS = ("dialect", "question_number", *_TEXTS, "correct_answer_num")
_ANSWER = "Answer: "


@dataclass(frozen=True, kw_only=True)
class _Row:
    where: str
    number: int
    """Of the question, within its passage."""
    texts: Mapping[str, str]
    right: int
    """Place of the right answer, from 0."""
    home: str | None
    """Where the passage is from; None: the file has no links."""


@dataclass(frozen=True, kw_only=True)
class _Question:
    id: str
    passage_id: str
    row: _Row
    by_order: bool
    """The id depends on where the row or its passage stands in the file."""


@dataclass(frozen=True, kw_only=True)
class _Questions:
    asked: Mapping[str, Sequence[_Question]]
    """By code, the questions of one passage together."""
    dropped: Counter[str]


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields the questions language by language, those of one passage together.

    Raises:
        DataError: The data cannot be had, or a file is malformed; with its place.
    """
    for code, questions in _read(options).asked.items():
        language = languages.by_code(code)
        for question in questions:
            yield _item(question, language)


def dropped(options: BuildOptions) -> Counter[str]:
    """Questions left out, by reason, summed over the languages.

    Raises:
        DataError: As `build`.
    """
    return _read(options).dropped


def _read(options: BuildOptions) -> _Questions:
    found = {}
    for one in sources.locate_all("belebele", options.data, options.languages):
        assert one.language is not None
        found[one.language] = _rows(one.path, one.language)
    _check_links([rows[0] for rows in found.values()])
    keyed = {code: _keyed(rows) for code, rows in found.items()}
    _check_order(keyed.values())
    lost: Counter[str] = Counter()
    asked = {}
    for code, questions in keyed.items():
        faults = [(question, _fault(question.row)) for question in questions]
        asked[code] = [question for question, fault in faults if fault is None]
        lost.update(fault for _, fault in faults if fault is not None)
    return _Questions(asked=asked, dropped=lost)


def _rows(path: Path, code: str) -> list[_Row]:
    table = tables.read_json_lines(path)
    missing = [name for name in _KEYS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no key {', '.join(map(repr, missing))}",
            f"The keys are {', '.join(_KEYS)} and, where known, link",
            "Rename or add them",
        )
    return [_row(line, code) for line in table.lines]


def _row(line: tables.Line, code: str) -> _Row:
    values = line.values
    if values["dialect"] != code:
        raise _wrong(line, "dialect", f"In this file it must be '{code}'")
    number = values["question_number"]
    if not isinstance(number, int) or isinstance(number, bool):
        raise _wrong(line, "question_number", "It must be a whole number, such as 1")
    right = str(values["correct_answer_num"])
    if right not in {str(place) for place in range(1, N_OPTIONS + 1)}:
        raise _wrong(line, "correct_answer_num", f"It must be 1 to {N_OPTIONS}")
    texts = {}
    for name in _TEXTS:
        value = values[name]
        if not isinstance(value, str):
            raise _wrong(line, name, "It must be text")
        texts[name] = value.strip()
    home = None
    if "link" in values:
        # The published rows of one link are of one passage in each split.
        parts = (values["link"], values.get("split"))
        if not isinstance(parts[0], str) or not parts[0].strip():
            raise _wrong(line, "link", "It must be text that is not blank, in all rows")
        home = "\n".join(str(part) for part in parts if part is not None)
    return _Row(
        where=line.where, number=number, texts=texts, right=int(right) - 1, home=home
    )


def _wrong(line: tables.Line, key: str, expected: str) -> DataError:
    value = repr(line.values[key])
    return DataError(
        f"{line.where}, key '{key}': {value[:60]}", expected, "Correct the row"
    )


def _fault(row: _Row) -> str | None:
    """Why a question cannot be asked; None: it can."""
    if not all(row.texts.values()):
        return BLANK
    options = _options(row)
    return TWICE if options.count(options[row.right]) > 1 else None


def _options(row: _Row) -> list[str]:
    return [row.texts[name] for name in _TEXTS[-N_OPTIONS:]]


def _keyed(rows: Sequence[_Row]) -> list[_Question]:
    """Gives each row its ids, and puts those of one passage together.

    Rows of one link are of one passage, unless a number stands among them twice: then
    they are of as many as have texts of their own. (Of one passage, a file may have
    two texts that differ by a blank.)
    """
    numbers: dict[str | None, list[int]] = defaultdict(list)
    for row in rows:
        numbers[row.home].append(row.number)
    several = {
        home for home, of in numbers.items() if home is None or len(set(of)) < len(of)
    }
    passages: dict[str | None, dict[str, int]] = defaultdict(dict)
    for place, row in enumerate(rows, start=1):
        known = passages[row.home]
        order = place if row.home is None else len(known)
        known.setdefault(_passage(row, several), order)
    questions: dict[str, list[_Question]] = defaultdict(list)
    seen: dict[str, _Row] = {}
    for place, row in enumerate(rows, start=1):
        order = passages[row.home][_passage(row, several)]
        if row.home is None:
            passage_id, id = f"p{order}", f"q{place}"
        else:
            passage_id = f"p{_hash(row.home, order)}"
            id = f"q{_hash(row.home, order, row.number)}"
        twin = seen.setdefault(f"{passage_id} {row.number}", row)
        if twin is not row:
            raise DataError(
                f"{row.where}: question {row.number} of a passage that has one "
                f"already, {twin.where.rpartition(', ')[2]}",
                "Each question of a passage has its own question_number",
                "Correct or remove one of the two",
            )
        questions[passage_id].append(
            _Question(
                id=id,
                passage_id=passage_id,
                row=row,
                by_order=row.home is None or len(passages[row.home]) > 1,
            )
        )
    return [one for of_passage in questions.values() for one in of_passage]


def _passage(row: _Row, several: Collection[str | None]) -> str:
    """What tells a row's passage from others of its link."""
    text = row.texts["flores_passage"]
    return " ".join(text.split()) if row.home in several else ""


def _hash(*parts: object) -> str:
    whole = "\n".join(str(part) for part in parts)
    return hashlib.sha256(whole.encode()).hexdigest()[:12]


def _check_links(firsts: Sequence[_Row]) -> None:
    """Checks that all files have links, or none."""
    linked = [row for row in firsts if row.home is not None]
    bare = [row for row in firsts if row.home is None]
    if linked and bare:
        raise DataError(
            f"{_file(linked[0])} has a key 'link', and {_file(bare[0])} has none",
            "By their links the same question is found in all languages, where there "
            "are any",
            "Use files of one layout, such as the published ones",
        )


def _check_order(keyed: Iterable[Sequence[_Question]]) -> None:
    """Checks that what has the same place in all files is the same question."""
    first: dict[str, _Row] = {}
    for questions in keyed:
        for question in questions:
            if not question.by_order:
                continue
            row = question.row
            other = first.setdefault(question.id, row)
            if (row.number, row.right) != (other.number, other.right):
                raise DataError(
                    f"{row.where}: question {row.number} with right answer "
                    f"{row.right + 1}, where {other.where} is question {other.number} "
                    f"with right answer {other.right + 1}",
                    "Without a link of its own, a question is known by its row, the "
                    "same in the files of all languages",
                    "Put the rows into one order, or use the published files, which "
                    "have links",
                )


def _file(row: _Row) -> str:
    return row.where.rpartition(", ")[0]


def _item(question: _Question, language: languages.Language) -> Item:
    row = question.row
    options = _options(row)
    letters = [protocols.letter(place) for place in range(N_OPTIONS)]
    lines = [f"{a}. {text}" for a, text in zip(letters, options, strict=True)]
    passage = row.texts["flores_passage"]
    return Item(
        id=f"{language.code}-{question.id}",
        messages=(
            Message(
                role="user",
                content=PROMPT.format(
                    passage=passage,
                    question=row.texts["question"],
                    options="\n".join(lines),
                ),
            ),
        ),
        candidates=tuple(
            Candidate(
                id=letter,
                answer=f"{_ANSWER}{letter}",
                span=(len(_ANSWER), len(_ANSWER) + len(letter)),
                groups={
                    "place": float(place),
                    "correct": "yes" if place == row.right else "no",
                },
            )
            for place, letter in enumerate(letters)
        ),
        groups={"language": language.code, "question_id": question.id},
        meta={
            "passage_id": question.passage_id,
            "n_passage_chars": len(passage),
            "language_name": language.name,
            "script": language.script,
        },
    )


PROBE = Probe(
    name="belebele",
    version="1",
    title="Which languages does it understand? One reading test in 122 of them",
    axis="languages",
    fits=frozenset({"policy"}),
    item_columns=("language", "question_id"),
    candidate_columns=("place", "correct"),
    sources=("belebele",),
    build=build,
    words=frozenset({"languages"}),
    unit="question_id",
    dropped=dropped,
)
