"""Recorded TyDiQA answers: what a policy generated, as Ryan et al. 2024 publish it.

A folder per policy, named by it in braces with its precision (`{zephyr-7b-beta_8bit}`),
below it one per way of decoding and number of exemplars, and in that a JSON file per
language: id -> generated text. The paper's figure is of `SETTING`; other settings are
not read.

The reference answers are TyDiQA's and not in the authors' folder: see `gold`.
"""

from __future__ import annotations

import difflib
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from data_builders import languages, tydiqa
from data_builders.tydiqa_passages import Question
from probe.types import DataError, MissingDataError

logger = logging.getLogger(__name__)

FOLDER = "outputs/tydiqa-goldp"
SETTING = "greedy/1-shot"
"""How the answers of the paper's figure were generated: a folder below the policy's."""
COLUMNS = ("language", "question", "document", "references", "answer")
"""Of what `read` gives."""

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "Mistral-SFT-7B": "mistral-7b-sft-beta",
        "OpenChat3.5-7B": "openchat_3.5",
        "Starling-7B-alpha": "Starling-LM-7B-alpha",
        "Tulu-2-DPO": "tulu-2-dpo-7b",
        "Tulu-2-SFT": "tulu-2-7b",
        "qwen1.5": "Qwen1.5-7B",
        "qwen1.5_chat": "Qwen1.5-7B-Chat",
        "yi-8b": "Yi-6B",
        "yi-8b-chat": "Yi-6B-Chat",
    }
)
"""Policies whose folder is not called by their name on the hub, which the authors'
other files have in a column. (Of Yi there is no 8B: those files say Yi-6B.)"""

_FOLDER = re.compile(r"\{?(?P<name>.+?)(_[48]bit)?\}?")


@dataclass(frozen=True, kw_only=True)
class Gold:
    """The questions with their reference answers, or why there are none."""

    questions: tuple[Question, ...] = ()
    lacking: str | None = None
    """None: they are there."""


def gold(data: Path | None, root: Path) -> Gold:
    """TyDiQA's gold passages.

    Args:
        data: A folder with local copies, which must hold them. None: where `root` is
            a folder of a folder `recorded`, as in `DATA/recorded/NAME`, that one's
            folder `DATA` is tried, and then the hub or its cache.
        root: The copy of the authors' repository.

    Raises:
        DataError: `data` does not hold them, or a file is malformed.
    """
    if data is not None:
        return Gold(questions=tydiqa.gold(data))
    beside = root.absolute().parent
    tried = (beside.parent,) if beside.name == "recorded" else ()
    lacking = []
    for place in (*tried, None):
        try:
            return Gold(questions=tydiqa.gold(place))
        except MissingDataError as error:
            lacking.append(error.found)
    return Gold(
        lacking=f"no reference answers: {'; '.join(lacking)}; --data names a folder "
        "that holds them"
    )


def label(folder: str) -> str:
    """The name of the policy whose folder it is.

    Args:
        folder: Such as `{Mistral-SFT-7B_8bit}`; braces and precision may be missing.
    """
    matched = _FOLDER.fullmatch(folder)
    name = matched["name"] if matched else folder
    return NAMES.get(name, name)


def by_language(questions: Sequence[Question]) -> dict[str, dict[str, Question]]:
    """Language as the authors' files call it -> id -> question."""
    found: dict[str, dict[str, Question]] = {name: {} for name in languages.TYDIQA}
    names = {code: name for name, code in languages.TYDIQA.items()}
    for one in questions:
        found[names[one.language]][one.id] = one
    return found


def read(file: Path, gold: Mapping[str, Mapping[str, Question]]) -> pd.DataFrame:
    """The answers of one file, which is called by its language.

    Args:
        file: A JSON file, id -> generated text.
        gold: From `by_language`.

    Returns:
        A row per question of the language, of the data or, where they have none in
        it, of the file: `language`, `question` (id), `document`, `references` (a
        tuple of texts; empty: not known) and `answer` (empty: nothing was generated;
        None: the file does not have it).

    Raises:
        DataError: The file is not as it must be, or has an id that is no question of
            the language.
    """
    language = file.name.removesuffix(".json")
    if language not in gold:
        near = difflib.get_close_matches(language, gold, n=1)
        raise DataError(
            f"{file}: '{language}' is no language of TyDiQA's gold passages",
            f"A file is called by its language: {', '.join(gold)}",
            f"Did you mean '{near[0]}.json'?" if near else "Rename or remove it",
        )
    answers, questions = _texts(file), gold[language]
    unknown = [key for key in answers if key not in questions]
    if questions and unknown:
        raise DataError(
            f"{file}: '{unknown[0]}' is no {language} question of TyDiQA's dev data "
            f"({len(unknown)} of {len(answers)} ids)",
            "The ids are those of the questions whose answers are known",
            "Use the file as published, and dev data of version 1.1",
        )
    rows = [
        (language, one.id, one.document, one.answers, answers.get(one.id))
        for one in questions.values()
    ] or [(language, key, "", (), text) for key, text in answers.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def not_read(root: Path) -> tuple[str, ...]:
    """Settings other than `SETTING` that a copy holds answers of, sorted."""
    found = (path.parent for path in (root / FOLDER).glob("*/*/*/*.json"))
    settings = {f"{path.parent.name}/{path.name}" for path in found}
    return tuple(sorted(settings - {SETTING}))


def _texts(file: Path) -> dict[str, str | None]:
    """The file's cells; None: null or NaN, as if the id were not there.

    Raises:
        DataError: It is no JSON object of texts, or an id stands twice.
    """
    expected = "A file of answers is one JSON object, id -> generated text"
    try:
        # As pairs: of a key that stands twice a dict would keep the last in silence.
        pairs: object = json.loads(
            file.read_text(encoding="utf-8-sig"), object_pairs_hook=_Pairs
        )
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{file} cannot be read as JSON: {error}",
            expected,
            "Check that it was written completely, or take it as published",
        ) from error
    if not isinstance(pairs, _Pairs) or not pairs:
        raise DataError(
            f"{file} holds no answers, {json.dumps(pairs)[:60]}",
            expected,
            "Take the file as published",
        )
    answers: dict[str, str | None] = {}
    for key, text in pairs:
        if isinstance(text, float) and math.isnan(text):
            text = None
        if text is not None and not isinstance(text, str):
            raise DataError(
                f"{file}, key '{key}': {json.dumps(text)[:60]} is no text",
                expected,
                "Write an empty text where nothing was generated, and null where that "
                "is not known",
            )
        if key in answers:
            raise DataError(
                f"{file}: the id '{key}' stands twice",
                "A question has one answer",
                "Remove one of the two",
            )
        answers[key] = text
    return answers


class _Pairs(list[tuple[str, object]]):
    """Keys and values of a JSON object, as they stand; a JSON list is a plain list."""
