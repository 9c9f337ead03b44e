"""Reads a preference pair in the forms that published data sets have.

A pair is a prompt and two answers. Where they are to be found differs:

    prompt, chosen, rejected     three texts
    a prompt of turns            a list of {"role", "content"} in place of the text
    answers of turns             the same, with the assistant's one turn in the list
    two whole conversations      as lists, or as text with "Human:" and "Assistant:"
                                 after a blank line before each turn (Bai et al. 2022):
                                 what they share is the prompt, their last turns are the
                                 answers

Two conversations that part before their last turns compare more than an answer; such a
pair is left out, like one without text, one with the same answer twice, and one in
which somebody speaks twice in a row, which most chat templates refuse.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from data_builders import cells
from probe.types import DataError, Message

ANSWERS = ("chosen", "rejected")

NO_TEXT = "no text"
IDENTICAL = "chosen and rejected identical"
PART_EARLY = "conversations part before the last turn"
NO_ANSWER = "conversation does not end with an answer"
TWICE_IN_A_ROW = "two turns in a row by one speaker"
OTHER_PROMPT = "another prompt than in the conversations"

_SPOKEN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A prompt and the two answers to it."""

    messages: tuple[Message, ...]
    """Ends with a user turn."""
    chosen: str
    rejected: str


def read_pair(values: Mapping[str, object], where: str) -> Pair | str:
    """Reads a row with `chosen`, `rejected` and, in most forms, `prompt`.

    Args:
        values: The row's cells; `messages` may stand in for `prompt`.
        where: File and line, for errors.

    Returns:
        The pair, or why there is none.

    Raises:
        DataError: A cell is of no such form.
    """
    prompt = _prompt(values, where)
    found = {name: _turns(values[name], prompt is None) for name in ANSWERS}
    texts = [values[name] for name, turns in found.items() if turns is None]
    if len(texts) == 1:
        raise DataError(
            f"{where}: one of 'chosen' and 'rejected' is a conversation, the other is "
            "not",
            "Both answers of a pair are of one form",
            "Mend the row",
        )
    if texts:
        for name in ANSWERS:
            if values[name] is not None and not isinstance(values[name], str):
                raise DataError(
                    f"{where}, column '{name}': {repr(values[name])[:60]}",
                    'An answer is text, or a list of {"role": ..., "content": ...}',
                    "Mend the cell",
                )
        if prompt is None:
            raise DataError(
                f"{where}: no prompt, and the answers are no conversations",
                "Without a column 'prompt' (or 'messages'), 'chosen' and 'rejected' "
                "are whole conversations: lists of turns, or text with 'Human:' and "
                "'Assistant:' before the turns",
                "Add the prompts; a column that holds them under another name is "
                "declared with --columns prompt=NAME",
            )
        chosen, rejected = (str(text or "") for text in texts)
        return _pair(prompt, chosen, rejected)
    return _conversations(prompt, *(turns or () for turns in found.values()))


def _prompt(values: Mapping[str, object], where: str) -> tuple[Message, ...] | None:
    """Messages of the prompt; () if it is blank, None if there is no such column."""
    if "prompt" not in values:
        if "messages" not in values:
            return None
        return cells.messages(values["messages"], where)
    value = values["prompt"]
    if value is None or isinstance(value, str):
        if value is None or not value.strip():
            return ()
        return (Message(role="user", content=value),)
    if not cells.is_turns(value):
        raise DataError(
            f"{where}, column 'prompt': {repr(value)[:60]}",
            'A prompt is text, or a list of {"role": ..., "content": ...}',
            "Mend the cell",
        )
    return cells.turns(value)


def _turns(value: object, spoken: bool) -> tuple[Message, ...] | None:
    """The turns of a conversation; None: the value is none.

    Args:
        value: A cell.
        spoken: Whether text may be one. Beside a prompt, text is an answer, even one
            that quotes a conversation.
    """
    if cells.is_turns(value):
        return cells.turns(value)
    if not spoken or not isinstance(value, str) or not _SPOKEN.match(value):
        return None
    parts = _SPOKEN.split(value)[1:]
    return tuple(
        Message(
            role="user" if speaker == "Human" else "assistant", content=said.strip()
        )
        for speaker, said in zip(parts[::2], parts[1::2], strict=True)
    )


def _conversations(
    prompt: tuple[Message, ...] | None,
    chosen: tuple[Message, ...],
    rejected: tuple[Message, ...],
) -> Pair | str:
    if chosen == rejected:
        return IDENTICAL
    if chosen[:-1] != rejected[:-1]:
        return PART_EARLY
    if {chosen[-1].role, rejected[-1].role} != {"assistant"}:
        return NO_ANSWER
    shared = chosen[:-1]
    if not shared:
        if prompt is None:
            return NO_TEXT
    elif prompt is None or _last_user(shared) == _last_user(prompt):
        prompt = shared
    else:
        return OTHER_PROMPT
    return _pair(prompt, chosen[-1].content, rejected[-1].content)


def _last_user(messages: tuple[Message, ...]) -> str | None:
    said = [one.content.strip() for one in messages if one.role == "user"]
    return said[-1] if said else None


def _pair(messages: tuple[Message, ...], chosen: str, rejected: str) -> Pair | str:
    texts = [*(message.content for message in messages), chosen, rejected]
    if not messages or not all(text.strip() for text in texts):
        return NO_TEXT
    roles = [*(message.role for message in messages), "assistant"]
    if any(one == following for one, following in itertools.pairwise(roles)):
        return TWICE_IN_A_ROW
    if messages[-1].role != "user":
        return NO_ANSWER
    if chosen == rejected:
        return IDENTICAL
    return Pair(messages=messages, chosen=chosen, rejected=rejected)
