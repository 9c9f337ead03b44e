"""What every reader of a training source gives: rows to train on, and their origin."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from data_builders.conversations import NO_ANSWER, NO_TEXT, TWICE_IN_A_ROW
from data_builders.training_text import words
from probe.types import GroupValue, Message

Form = Literal["sft", "preference"]


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """A prompt with its completion, or with a chosen and a rejected answer."""

    id: str
    """Unique, and stable: the source's name, then the file's own id or row number."""
    source: str
    """The source's name, or the file's stem; where a mix has two files of one stem, as
    much of the path as tells them apart."""
    key: str
    """What must never be parted between training and holding out: a tree of messages
    with its translations, a row with all its dialects, else the first user turn."""
    content: str
    """What the row says, whatever its language or dialect: rows that share it stand for
    one another (`match: content`). It lies within one key."""
    messages: tuple[Message, ...]
    """The prompt; ends with a user turn."""
    completion: str | None = None
    """Of a row for supervised fine-tuning."""
    chosen: str | None = None
    rejected: str | None = None
    """Of a preference row, like `chosen`."""
    groups: Mapping[str, GroupValue] = field(default_factory=dict)
    """Whatever a filter may name: lang, country, dialect, subset."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers there are, the better first."""
        found = (self.completion, self.chosen, self.rejected)
        return tuple(text for text in found if text is not None)

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything that is read in training."""
        return (*(message.content for message in self.messages), *self.answers)

    @property
    def n_chars(self) -> int:
        """Characters of the prompt and the answers."""
        return sum(map(len, self.texts))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A training source, read."""

    name: str
    form: Form
    rows: tuple[TrainingRow, ...]
    dropped: Counter[str]
    """What the files hold beside these rows, by reason."""
    licence: str | None
    """None: a user's file, of which nothing is known."""
    url: str | None
    revision: str | None
    """Commit of the hub; None: read from a local folder, or bundled."""
    files: Mapping[str, str]
    """sha256 by the file's name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Groups that a filter may name."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.groups))


def first_turn(messages: tuple[Message, ...]) -> str:
    """The first user turn without case, punctuation and white space."""
    said = next((one.content for one in messages if one.role == "user"), "")
    return " ".join(words(said)) or said.strip()


def first_turn_key(messages: tuple[Message, ...]) -> str:
    """A key for a row whose source gives none."""
    return hashlib.sha256(first_turn(messages).encode()).hexdigest()[:16]


def conversation(
    messages: tuple[Message, ...],
) -> tuple[tuple[Message, ...], str] | str:
    """Parts a conversation into its prompt and the answer it ends with.

    Returns:
        The two, or why there are none: one turn is blank, the last is no answer, or
        somebody speaks twice in a row.
    """
    if not messages or not all(one.content.strip() for one in messages):
        return NO_TEXT
    roles = [one.role for one in messages]
    if any(one == other for one, other in itertools.pairwise(roles)):
        return TWICE_IN_A_ROW
    if roles[-1] != "assistant" or "user" not in roles or roles[-2] != "user":
        return NO_ANSWER
    return messages[:-1], messages[-1].content
