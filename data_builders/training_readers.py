"""Readers of published training sets, in their own layout and in excerpts of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_builders import countries, tables, training_table
from data_builders.conversations import NO_TEXT, read_pair
from data_builders.sources import Located
from data_builders.training_table import Read
from data_builders.training_types import TrainingRow, conversation, first_turn_key
from probe.types import Message

NO_ANSWERS = "nobody gave an answer"
ALREADY_ENGLISH = "question and answer are in English already"


def pairs(name: str, found: Sequence[Located]) -> Read:
    """Preference pairs in the forms of `conversations`; `split` as the file has it."""
    rows: list[TrainingRow] = []
    dropped: Counter[str] = Counter()
    for located in found:
        split = training_table.split(located.path.name)
        for number, line in enumerate(
            training_table.table(located.path).lines, start=1
        ):
            training_table.check(line.values, ("chosen", "rejected"), line.where)
            pair = read_pair(line.values, line.where)
            if isinstance(pair, str):
                dropped[pair] += 1
                continue
            id = f"{name}/{split}/{number}"
            rows.append(
                TrainingRow(
                    id=id,
                    source=name,
                    key=first_turn_key(pair.messages),
                    content=id,
                    messages=pair.messages,
                    chosen=pair.chosen,
                    rejected=pair.rejected,
                    groups={"split": split},
                )
            )
    return rows, dropped


def tulu(name: str, found: Sequence[Located]) -> Read:
    """Conversations of which the last answer is trained on; `dataset` is a group."""
    rows: list[TrainingRow] = []
    dropped: Counter[str] = Counter()
    number = 0
    for located in found:
        for line in training_table.table(located.path).lines:
            number += 1
            training_table.check(line.values, ("dataset", "messages"), line.where)
            parted = conversation(training_table.turns(line.values["messages"]))
            if isinstance(parted, str):
                dropped[parted] += 1
                continue
            # Its own ids are not unique: sets it is mixed from share some.
            id = f"{name}/{number}"
            rows.append(
                TrainingRow(
                    id=id,
                    source=name,
                    key=first_turn_key(parted[0]),
                    content=id,
                    messages=parted[0],
                    completion=parted[1],
                    groups={"dataset": str(line.values["dataset"])},
                )
            )
    return rows, dropped


def blend(name: str, found: Sequence[Located]) -> Read:
    """A question about a country's everyday life with people's most frequent answer.

    Each is a row in the country's language (`lang: native`) and one in English
    (`lang: en`). Of answers that were given equally often, the first is taken.
    """
    rows: list[TrainingRow] = []
    dropped: Counter[str] = Counter()
    for located in found:
        for line in training_table.table(located.path).lines:
            training_table.keep(_blend_rows(name, located.path, line), rows, dropped)
    return rows, dropped


def _blend_rows(
    name: str, path: Path, line: tables.Line
) -> Iterable[TrainingRow | str]:
    values = line.values
    place = values.get("country", path.name.removesuffix("_data.json"))
    number = values.get("id", values.get("ID"))
    training_table.check(values, ("question", "en_question", "annotations"), line.where)
    country = countries.resolve(str(place))
    given = values["annotations"]
    given = given if isinstance(given, list) else []
    given = [one for one in given if one.get("answers") and one.get("en_answers")]
    if not given:
        yield NO_ANSWERS
        return
    top = max(given, key=lambda one: int(one["count"]))
    asked = {
        "native": (str(values["question"]), str(top["answers"][0])),
        "en": (str(values["en_question"]), str(top["en_answers"][0])),
    }
    if asked["native"] == asked["en"]:
        del asked["native"]
        yield ALREADY_ENGLISH
    for lang, (question, answer) in asked.items():
        if not question.strip() or not answer.strip():
            yield NO_TEXT
            continue
        content = f"{name}/{number}/{place}"
        yield TrainingRow(
            id=f"{content}/{lang}",
            source=name,
            key=f"{name}/{number}",
            content=content,
            messages=(Message(role="user", content=question),),
            completion=answer,
            groups={"lang": lang, "country": country.key, "place": str(place)},
        )
