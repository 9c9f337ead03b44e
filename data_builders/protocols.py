"""The wording in which survey questions are put to a model.

The shipped wording is `protocols/global_opinions.yaml`; a user's file with the same
keys replaces it, so that a published protocol can be matched to the letter.
"""

from __future__ import annotations

import string
from importlib import resources
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from probe.config import Strict, load_mapping, read_text, validate

SHIPPED = "protocols/global_opinions.yaml"
_WHAT = "a protocol"


def _with_slots(*slots: str) -> AfterValidator:
    """Demands each slot once, and no others."""

    def check(text: str) -> str:
        for slot in slots:
            if text.count(f"{{{slot}}}") != 1:
                raise ValueError(f"the text must hold {{{slot}}} exactly once")
        return text

    return AfterValidator(check)


class Letters(Strict):
    """Lettered options, for policies."""

    prompt: Annotated[str, _with_slots("question", "options")]
    option: Annotated[str, _with_slots("letter", "text")] = "{letter}. {text}"
    answer: str
    """What the assistant says, with {letter} or {text}."""
    scored: str
    """The part of `answer` whose log-probability counts."""

    @model_validator(mode="after")
    def _scores_the_choice(self) -> Self:
        if self.scored not in self.answer:
            raise ValueError("`scored` must stand in `answer` word for word")
        if "{letter}" not in self.scored and "{text}" not in self.scored:
            raise ValueError("`scored` must hold {letter} or {text}: what is chosen")
        return self

    def fill_answer(self, letter: str, text: str) -> tuple[str, tuple[int, int]]:
        """The answer of one option, and the characters of it that are scored."""
        before, _, after = self.answer.rpartition(self.scored)
        head, chosen, tail = (
            fill(part, letter=letter, text=text)
            for part in (before, self.scored, after)
        )
        return f"{head}{chosen}{tail}", (len(head), len(head) + len(chosen))


class AnswerPhrasings(Strict):
    """Options as an assistant's answers, for reward models."""

    prompt: Annotated[str, _with_slots("question")]
    phrasings: dict[
        Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")],
        Annotated[str, _with_slots("text")],
    ] = Field(min_length=1)
    """Name -> answer with {text}."""


class Protocol(Strict):
    """Both wordings and the persona that may stand before them."""

    letters: Letters
    answers: AnswerPhrasings
    persona: Annotated[str, _with_slots("country")]


def fill(text: str, /, **slots: str) -> str:
    """Fills `{name}` slots; every other brace, and braces in a value, stay as text."""
    parts = []
    for i, piece in enumerate(text.split("{")):
        name, closed, rest = piece.partition("}")
        if i and closed and name in slots:
            parts.append(slots[name] + rest)
        else:
            parts.append(("{" if i else "") + piece)
    return "".join(parts)


def letter(position: int) -> str:
    """A, B, C ... for positions 0 to 25."""
    return string.ascii_uppercase[position]


def load(file: Path | None) -> Protocol:
    """The shipped wording, with what a user's file replaces, key by key.

    Args:
        file: YAML with any of the shipped file's keys.

    Raises:
        UsageError: The file cannot be read.
        ConfigError: It is not YAML, or has a key or a text that does not fit; with file
            and key.
    """
    shipped = resources.files("data_builders") / SHIPPED
    found = load_mapping(shipped.read_text("utf-8"), SHIPPED, _WHAT)
    if file is not None:
        text = read_text(file, "--protocol names a YAML file in UTF-8")
        for key, value in load_mapping(text, str(file), _WHAT).items():
            both = isinstance(value, dict) and isinstance(found.get(key), dict)
            found[key] = found[key] | value if both else value
    return validate(Protocol, found, str(file or SHIPPED))
