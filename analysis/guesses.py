"""Whether a guess at a secret word, made in a policy's own words, is right."""

from __future__ import annotations

from collections.abc import Iterable


def is_right(guess: str, answer: str, distractors: Iterable[str]) -> bool:
    """Whether a guess holds the answer and none of the words beside it.

    The rule of Ryan, Held and Yang (2024), who ask whether the lower-case guess holds
    the lower-case words anywhere. It therefore takes "Electronics" for "Electron", and
    where an answer itself holds one of the words ("Flashlight", "light"), no guess can
    be right: 32 of their 894 games are of this kind.

    Args:
        guess: What was generated; empty: nothing, which is wrong.
        answer: The secret word or name.
        distractors: The words that could not be said.
    """
    said = guess.lower()
    return answer.lower() in said and not any(
        one.lower() in said for one in distractors
    )
