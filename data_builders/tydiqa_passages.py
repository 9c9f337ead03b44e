"""TyDiQA's gold passages: questions, each with the passage that answers it.

Source: Clark et al., "TyDi QA: A Benchmark for Information-Seeking Question Answering
in Typologically Diverse Languages", TACL 2020; its gold passage task, in SQuAD's
format (one file per language, or one for all) or as the hub's parquet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_builders import languages, tables
from probe.types import DataError

_COLUMNS = ("id", "title", "context", "question", "answers")
_LAYOUT = "The layout is SQuAD's: data, paragraphs, qas"
_MEND = "Use the file as published"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and its gold passage; texts have no white space around them."""

    id: str
    """The dataset's, such as ``english-1088327424233102581-0``."""
    language: str
    """Code, from the id (`languages.TYDIQA`)."""
    document: str
    """Title of the article that the passage is of."""
    passage: str
    question: str
    answers: tuple[str, ...]
    """Reference answers, spans of the passage: at least one, each once."""


def read(path: Path) -> tuple[Question, ...]:
    """Reads a file of one or more languages, in its order.

    Args:
        path: SQuAD's format ending with `.json`, or the hub's `.parquet`.

    Raises:
        DataError: The file cannot be read or is malformed, with the place; an id
            stands twice or does not begin with a language of TyDiQA.
    """
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path)
    questions: dict[str, Question] = {}
    for where, row in rows:
        question = _question(where, row)
        if question.id in questions:
            raise DataError(
                f"{where}: the id '{question.id}' stands twice",
                "Each question has its own id",
                "Remove one of the two",
            )
        questions[question.id] = question
    if not questions:
        raise DataError(f"{path} has no questions", "It has at least one", _MEND)
    return tuple(questions.values())


def _parquet_rows(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    table = tables.read_parquet(path)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}",
            f"The columns are {', '.join(_COLUMNS)}",
            _MEND,
        )
    for line in table.lines:
        answers = line.values["answers"]
        texts = answers.get("text") if isinstance(answers, dict) else None
        yield line.where, {**line.values, "answers": texts}


def _json_rows(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        whole: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read: {error}", "It must be a JSON file", _MEND
        ) from error
    for where, article in _listed(whole, "data", str(path)):
        for place, paragraph in _listed(article, "paragraphs", where):
            for spot, asked in _listed(paragraph, "qas", place):
                texts = [
                    answer.get("text") for _, answer in _listed(asked, "answers", spot)
                ]
                yield (
                    spot,
                    {
                        "id": asked.get("id"),
                        "title": article.get("title"),
                        "context": paragraph.get("context"),
                        "question": asked.get("question"),
                        "answers": texts,
                    },
                )


def _listed(
    value: object, key: str, where: str
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The objects of a list that a key of an object holds, each with its place."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise DataError(f"{where}: no list '{key}'", _LAYOUT, _MEND)
    for number, one in enumerate(found):
        place = f"{where}, {key}[{number}]"
        if not isinstance(one, dict):
            raise DataError(f"{place}: not an object", _LAYOUT, _MEND)
        yield place, one


def _question(where: str, row: Mapping[str, object]) -> Question:
    texts = {}
    for name in _COLUMNS[:-1]:
        value = row[name]
        if not isinstance(value, str) or not value.strip():
            raise DataError(
                f"{where}, key '{name}': {value!r}",
                "It must be text that is not blank",
                "Fill it in or remove the question",
            )
        texts[name] = value.strip()
    answers = row["answers"]
    references = [
        text.strip()
        for text in (answers if isinstance(answers, list) else [])
        if isinstance(text, str)
    ]
    if not any(references) or not all(references):
        raise DataError(
            f"{where}, key 'answers': {str(answers)[:60]}",
            "A question has at least one answer, and none is blank",
            "Fill it in or remove the question",
        )
    name = texts["id"].partition("-")[0]
    if name not in languages.TYDIQA:
        raise DataError(
            f"{where}: the id '{texts['id']}' begins with no language of TyDiQA",
            f"An id begins with {', '.join(languages.TYDIQA)}",
            "Correct it or remove the question",
        )
    return Question(
        id=texts["id"],
        language=languages.TYDIQA[name],
        document=texts["title"],
        passage=texts["context"],
        question=texts["question"],
        answers=tuple(dict.fromkeys(references)),
    )
