"""Reads OpenAssistant: its table of messages, also with translations, and excerpts.

TurkuNLP/oasst-fi has the English messages of the table with their Finnish translation:
`text` is Finnish and `orig_text` English, all else as in the table
(`scripts/doc2jsonl.py --include-original` there).
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from data_builders import cells, tables, training_table
from data_builders.conversations import Pair, read_pair
from data_builders.sources import Located
from data_builders.training_table import Read
from data_builders.training_types import TrainingRow, conversation
from probe.types import Message

DELETED = "deleted"
NO_PARENT = "the message answered is missing"
NOT_RANKED = "reply without a rank"
SAME_RANK = "replies of the same rank"

_ENGLISH = "orig_text"
_OASST_ROLES = {"prompter": "user", "assistant": "assistant"}


def sft(name: str, found: Sequence[Located]) -> Read:
    """A row per answer, its thread before it."""
    return _read(name, found, _oasst_threads, _excerpt_answer)


def pairs(name: str, found: Sequence[Located]) -> Read:
    """A row per two ranked answers to one message."""
    return _read(name, found, _oasst_ranked, _excerpt_pair)


_OfTable = Callable[
    [str, Sequence[tables.Line], Counter[str]], Iterable[TrainingRow | str]
]
_OfLine = Callable[[str, tables.Line], TrainingRow | str]


def _read(
    name: str, found: Sequence[Located], of_table: _OfTable, of_line: _OfLine
) -> Read:
    """The rows of files, each a table of messages or an excerpt with a row a line."""
    rows: list[TrainingRow] = []
    dropped: Counter[str] = Counter()
    for located in found:
        read = training_table.table(located.path)
        if "message_id" in read.columns and "parent_id" in read.columns:
            for lines in _by_language(read):
                training_table.keep(of_table(name, lines, dropped), rows, dropped)
        else:
            excerpt = (of_line(name, line) for line in read.lines)
            training_table.keep(excerpt, rows, dropped)
    return rows, dropped


def _excerpt_answer(name: str, line: tables.Line) -> TrainingRow | str:
    values = line.values
    training_table.check(values, ("lang", "messages", "message_id", "tree"), line.where)
    parted = conversation(training_table.turns(values["messages"]))
    if isinstance(parted, str):
        return parted
    content = str(values["message_id"])
    return _row(name, values, content, values["tree"], parted[0], completion=parted[1])


def _excerpt_pair(name: str, line: tables.Line) -> TrainingRow | str:
    values = line.values
    needed = ("lang", "prompt_id", "rank_chosen", "rank_rejected")
    training_table.check(values, needed, line.where)
    pair = read_pair(values, line.where)
    if isinstance(pair, str):
        return pair
    ranks = f"{values['rank_chosen']}-{values['rank_rejected']}"
    content = f"{values['prompt_id']}/{ranks}"
    return _pair_row(name, values, content, values["prompt_id"], pair)


def _pair_row(
    name: str, values: Mapping[str, object], content: str, key: object, pair: Pair
) -> TrainingRow:
    answers = {"chosen": pair.chosen, "rejected": pair.rejected}
    return _row(name, values, content, key, pair.messages, **answers)


def _row(
    name: str,
    values: Mapping[str, object],
    content: str,
    key: object,
    messages: tuple[Message, ...],
    **answers: str,
) -> TrainingRow:
    """A row in the language of its line; its translation has the same content."""
    lang = str(values["lang"])
    return TrainingRow(
        id=f"{name}/{content}/{lang}",
        source=name,
        key=str(key),
        content=content,
        messages=messages,
        groups={"lang": lang},
        **answers,
    )


# -- OpenAssistant's table of messages ----------------------------------------


def _by_language(read: tables.Table) -> list[Sequence[tables.Line]]:
    """The messages; where each has a translation, those of either language."""
    if _ENGLISH not in read.columns:
        return [read.lines]
    return [
        [
            tables.Line(
                where=line.where,
                values={**line.values, "text": line.values[column], "lang": lang},
            )
            for line in read.lines
        ]
        for column, lang in ((_ENGLISH, "en"), ("text", "fi"))
    ]


def _oasst_threads(
    name: str, lines: Sequence[tables.Line], dropped: Counter[str]
) -> Iterable[TrainingRow | str]:
    by_id = _oasst_messages(lines, dropped)
    for id, values in by_id.items():
        if values["role"] != "assistant":
            continue
        thread = _thread(id, by_id)
        parted = thread if isinstance(thread, str) else conversation(thread)
        if isinstance(parted, str):
            yield parted
            continue
        tree = values["message_tree_id"]
        yield _row(name, values, id, tree, parted[0], completion=parted[1])


def _oasst_ranked(
    name: str, lines: Sequence[tables.Line], dropped: Counter[str]
) -> Iterable[TrainingRow | str]:
    by_id = _oasst_messages(lines, dropped)
    replies: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for values in by_id.values():
        if values["role"] != "assistant":
            continue
        if values["rank"] is None:
            yield NOT_RANKED
            continue
        replies[str(values["parent_id"])].append(values)
    for parent, found in replies.items():
        ranked = sorted(found, key=_rank)
        for better, worse in itertools.combinations(ranked, 2):
            if _rank(better) == _rank(worse):
                yield SAME_RANK
                continue
            thread = _thread(parent, by_id)
            if isinstance(thread, str):
                yield thread
                continue
            pair = read_pair(
                {
                    "prompt": [
                        {"role": one.role, "content": one.content} for one in thread
                    ],
                    "chosen": str(better["text"]),
                    "rejected": str(worse["text"]),
                },
                f"message {better['message_id']}",
            )
            if isinstance(pair, str):
                yield pair
                continue
            content = f"{parent}/{_rank(better)}-{_rank(worse)}"
            yield _pair_row(name, better, content, parent, pair)


def _oasst_messages(
    lines: Sequence[tables.Line], dropped: Counter[str]
) -> dict[str, Mapping[str, object]]:
    needed = ("message_id", "parent_id", "role", "text", "lang", "rank")
    training_table.check(lines[0].values, (*needed, "message_tree_id"), lines[0].where)
    kept = [line.values for line in lines if not line.values.get("deleted")]
    dropped[DELETED] += len(lines) - len(kept)
    return {str(values["message_id"]): values for values in kept}


def _thread(
    id: str, by_id: Mapping[str, Mapping[str, object]]
) -> tuple[Message, ...] | str:
    """A message with all before it; a reason where one of them is missing."""
    found: list[Message] = []
    at: str | None = id
    while at is not None:
        values = by_id.get(at)
        if values is None:
            return NO_PARENT
        role = _OASST_ROLES[str(values["role"])]
        found += cells.turns([{"role": role, "content": str(values["text"])}])
        parent = values["parent_id"]
        at = None if parent is None else str(parent)
    return tuple(reversed(found))


def _rank(values: Mapping[str, object]) -> int:
    return int(str(values["rank"]).removesuffix(".0"))
