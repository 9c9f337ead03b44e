"""Dialect minimal pairs: the same sentence with and without one feature of a dialect.

What BLiMP is for grammar, this is for dialect. A feature (`features/*.yaml`) has 20
frames: a question in standard English and its answer, in which one bracket holds the
two forms, the standard one first::

    prompt: "Where is {name}?"
    answer: "{name} is waiting at [the|] {place}."

So a pair differs in nothing but the feature, by construction. `{name}` is a slot,
filled alike in the prompt and in both answers; a slot's value may hold the bracket.

The sentences are our own. The features' numbers and names, and how far each is
attested in a variety, are those of the Electronic World Atlas of Varieties of English
(Kortmann, Lunkenheimer and Ehret 2020, eWAVE 3.0, ewave-atlas.org). African American
English is its Urban African American Vernacular English.

The half that is scored and the half for training are divided by frame within each
feature (`halves.exact_half`).
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from pydantic import Field

from data_builders import halves
from probe import config
from probe.config import Strict
from probe.types import BuildOptions, Candidate, DataError, Item, Message, Probe

FOLDER = "features"
LEXICON = "lexicon.yaml"

FILLINGS = 4
"""Pairs of a frame."""

Variety = Literal[
    "African American English",
    "Indian English",
    "Nigerian English",
    "Colloquial Singapore English",
    "Appalachian English",
]
Rating = Literal["A", "B", "C"]
"""eWAVE's: A pervasive or obligatory, B neither pervasive nor extremely rare, C exists
but extremely rare."""

_BRACKET = re.compile(r"\[([^\[\]|]*)\|([^\[\]|]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_BEFORE_MARK = re.compile(r" +(?=[.,?])")


class Lexicon(Strict):
    """What frames share."""

    slots: dict[str, tuple[str, ...]]
    """Slots that every frame may use, with their values."""


class Frame(Strict):
    """A prompt and its answer with slots and, in the answer, one bracket."""

    prompt: str
    answer: str
    slots: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Slots of this frame alone, with their values."""


class Feature(Strict):
    """One morphosyntactic feature and its frames."""

    slug: str = Field(pattern=r"^[a-z]+(-[a-z]+)*$")
    """The file's name; value of the column `feature`."""
    title: str
    ewave: int | None = Field(ge=1, le=235)
    """Number in eWAVE; None: eWAVE has no such feature."""
    ewave_name: str | None
    source: str
    """Where number, name and attestation are from."""
    varieties: dict[Variety, Rating | None] = Field(min_length=1)
    """Where it is attested in the form that the frames have, with eWAVE's rating."""
    about: str
    """What the form does."""
    frames: tuple[Frame, ...] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One frame, filled."""

    frame: str
    """Such as `zero-copula-03`: feature and place among its frames, from 01."""
    filling: int
    """From 1 to `FILLINGS`."""
    prompt: str
    standard: str
    dialect: str


def features() -> tuple[Feature, ...]:
    """The bundled features by eWAVE number, those without one last."""
    return tuple(feature for feature, _ in _bundled())


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields the pairs of one half of each feature's frames, feature by feature."""
    for feature, pairs in _bundled():
        frames = dict.fromkeys(pair.frame for pair in pairs)
        wanted = halves.exact_half(frames, options.half, options.half_seed)
        for pair in pairs:
            if pair.frame in wanted:
                yield _item(feature, pair)


def _item(feature: Feature, pair: Pair) -> Item:
    return Item(
        id=f"{pair.frame}-{pair.filling}",
        messages=(Message(role="user", content=pair.prompt),),
        candidates=tuple(
            Candidate(id=variant, answer=answer, groups={"variant": variant})
            for variant, answer in (
                ("standard", pair.standard),
                ("dialect", pair.dialect),
            )
        ),
        groups={"feature": feature.slug, "frame": pair.frame},
        meta={
            "ewave": feature.ewave,
            "ewave_name": feature.ewave_name,
            "feature_title": feature.title,
            "varieties": list(feature.varieties),
        },
    )


@functools.cache
def _bundled() -> tuple[tuple[Feature, tuple[Pair, ...]], ...]:
    folder = resources.files("data_builders") / FOLDER
    texts = {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }
    lexicon = parse_lexicon(texts.pop(LEXICON))
    found = [parse(text, file) for file, text in texts.items()]
    found.sort(key=lambda one: (one.ewave is None, one.ewave, one.slug))
    return tuple((feature, fill(feature, lexicon)) for feature in found)


def parse_lexicon(text: str) -> Lexicon:
    """Reads the lexicon's YAML.

    Raises:
        ConfigError: A key is missing, unknown or wrong; with file and key.
    """
    return config.parse(Lexicon, text, f"{FOLDER}/{LEXICON}", "a lexicon")


def parse(text: str, file: str) -> Feature:
    """Reads a feature's YAML.

    Args:
        text: The YAML.
        file: Its name, `<slug>.yaml`.

    Raises:
        ConfigError: A key is missing, unknown or wrong; with file and key.
    """
    found = config.load_mapping(text, f"{FOLDER}/{file}", "a feature")
    named = found | {"slug": file.removesuffix(".yaml")}
    return config.validate(Feature, named, f"{FOLDER}/{file}")


def fill(feature: Feature, lexicon: Lexicon) -> tuple[Pair, ...]:
    """Fills each frame `FILLINGS` times.

    A slot's values are put in an order fixed by a hash of feature, frame and slot, and
    the k-th filling takes the k-th of each slot (from the first again where they run
    out). A slot of the lexicon is one such deck for a whole feature, dealt on from
    frame to frame, so that its values come equally often in every feature.

    Args:
        feature: The feature.
        lexicon: Slots that its frames may use beside their own.

    Returns:
        Frames in the file's order, fillings within.

    Raises:
        DataError: A slot is declared twice, unknown or unused, an answer has not one
            bracket, the bracket's sides are the same, one word fills two slots, or two
            pairs have the same text; with file and key.
    """
    pairs: list[Pair] = []
    dealt: Counter[str] = Counter()
    shared = {
        slot: _deck(values, feature.slug, slot)
        for slot, values in lexicon.slots.items()
    }
    for place, frame in enumerate(feature.frames):
        where = f"{FOLDER}/{feature.slug}.yaml: `frames.{place}`"
        used = _used(frame, lexicon, where)
        own = {
            slot: _deck(values, feature.slug, str(place), slot)
            for slot, values in frame.slots.items()
        }
        for k in range(FILLINGS):
            words = {slot: deck[k % len(deck)] for slot, deck in own.items()}
            for slot in used - set(own):
                words[slot] = shared[slot][dealt[slot] % len(shared[slot])]
                dealt[slot] += 1
            if len(set(words.values())) < len(words):
                raise DataError(
                    f"{where}: one word fills two slots: {dict(sorted(words.items()))}",
                    "The slots of a sentence are filled with different words",
                    "Change the values of a slot",
                )
            prompt, standard, dialect = _read(frame, words, where)
            if any(standard == pair.standard for pair in pairs):
                raise DataError(
                    f"{where}: '{standard}' stands twice in the feature",
                    "Each pair of a feature has a text of its own",
                    "Give the answer a slot with more values",
                )
            pairs.append(
                Pair(
                    frame=f"{feature.slug}-{place + 1:02}",
                    filling=k + 1,
                    prompt=prompt,
                    standard=standard,
                    dialect=dialect,
                )
            )
    return tuple(pairs)


def _deck(values: Sequence[str], *key: str) -> list[str]:
    def digest(value: str) -> str:
        return hashlib.sha256("\n".join((*key, value)).encode()).hexdigest()

    return sorted(values, key=digest)


def _used(frame: Frame, lexicon: Lexicon, where: str) -> set[str]:
    """The slots in a frame's prompt and answer."""
    used = set(_SLOT.findall(f"{frame.prompt} {frame.answer}"))
    own, shared = set(frame.slots), set(lexicon.slots)
    for slots, fault in (
        (own & shared, "stand in the lexicon too"),
        (used - own - shared, "have no values"),
        (own - used, "are not used"),
        ({slot for slot in own if not frame.slots[slot]}, "have no values"),
    ):
        if slots:
            raise DataError(
                f"{where}: slots that {fault}: {', '.join(sorted(slots))}",
                "A slot is one of the frame's `slots` or of the lexicon",
                "Mend `slots`",
            )
    return used


def _read(frame: Frame, words: Mapping[str, str], where: str) -> tuple[str, str, str]:
    """Prompt, standard answer and dialect answer of a frame whose slots are filled."""
    prompt, answer = (
        _SLOT.sub(lambda slot: words[slot[1]], text)
        for text in (frame.prompt, frame.answer)
    )
    n = len(_BRACKET.findall(answer))
    if n != 1 or set("[]|{}") & set(_BRACKET.sub("", answer) + prompt):
        raise DataError(
            f"{where}: '{answer}' has {n} brackets, or signs of one elsewhere",
            "An answer has one bracket, [standard|dialect], and a prompt none",
            "Mend the answer",
        )
    standard, dialect = (
        " ".join(_BEFORE_MARK.sub("", _BRACKET.sub(rf"\{side}", answer)).split())
        for side in (1, 2)
    )
    if standard == dialect:
        raise DataError(
            f"{where}: both sides of the bracket say '{standard}'",
            "The two sides of a bracket differ",
            "Mend the answer",
        )
    return prompt, standard, dialect


PROBE = Probe(
    name="dialect_features",
    version="1",
    title="Which features of dialects cost reward? Minimal pairs",
    axis="dialects",
    fits=frozenset({"reward", "policy"}),
    item_columns=("feature", "frame"),
    candidate_columns=("variant",),
    sources=(),
    build=build,
    words=frozenset({"half"}),
    unit="frame",
)
