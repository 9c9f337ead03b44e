"""Answer scales of surveys: which lists of options have an order, and which.

Nothing is guessed from a question. A question is ordinal iff its options, those of
`facts/off_scale.csv` left out (don't know, refused, volunteered), are the labels of one
list in `facts/scales.csv`; the order is the list's, whatever the question printed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_builders.countries import read_facts

_MARK = re.compile(r"\s*\((VOL\.?|DO NOT READ|spontaneous)\)", re.IGNORECASE)
"""An interviewer's note that an answer was volunteered."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The order of a question's options."""

    name: str
    """Of the list in `facts/scales.csv`."""
    places: tuple[float | None, ...]
    """One per option: 0 (first label of the list) to 1 (last); None: off the scale."""


def _plain(label: str) -> str:
    return " ".join(label.casefold().split()).rstrip(".")


@functools.cache
def _scales() -> dict[frozenset[str], tuple[str, tuple[str, ...]]]:
    found: dict[frozenset[str], tuple[str, tuple[str, ...]]] = {}
    for row in read_facts("scales.csv"):
        labels = tuple(_plain(label) for label in row["labels"].split("|"))
        assert len(labels) >= 3, f"scale {row['name']} has no middle"
        assert len(set(labels)) == len(labels), f"scale {row['name']} repeats a label"
        first = found.setdefault(frozenset(labels), (row["name"], labels))
        assert first[0] == row["name"], f"{row['name']} has the labels of {first[0]}"
    return found


@functools.cache
def _off_scale() -> dict[str, str]:
    return {_plain(row["label"]): row["spoken"] for row in read_facts("off_scale.csv")}


def find_scale(options: Sequence[str]) -> Scale | None:
    """The declared scale of a question's options; None: they have no known order.

    Args:
        options: The labels as the survey prints them, each once.
    """
    plain = [_plain(option) for option in options]
    off = _off_scale()
    for kept in (plain, [label for label in plain if label not in off]):
        known = _scales().get(frozenset(kept))
        if known is not None and len(set(kept)) == len(kept):
            name, labels = known
            at = {label: i / (len(labels) - 1) for i, label in enumerate(labels)}
            return Scale(name=name, places=tuple(at.get(label) for label in plain))
    return None


def spoken(option: str) -> str:
    """An option as a person would say it: no interviewer's marks and codes."""
    known = _off_scale().get(_plain(option))
    return known or _MARK.sub("", option).strip().rstrip(".") or option
