"""Conversations of a word-guessing game, and whether the answer is said in them.

A transcript must end before the answer is said. People who transcribe speech spell
it in their own way, so that the answer is looked for with some tolerance:

- case, diacritics, punctuation and the spaces between words do not count ("screw
  driver", "Whitehouse", "C E N S O R S H I P", "First-aid kit"), but it must begin and
  end where words do: "cat" is not said in "that";
- a plural counts as its singular and the other way round, an American spelling as the
  British one, and a name without what stands behind a comma or in brackets as the name;
- a word may be misspelled ("Brad Piit", "Christiano Ronaldo") if the answer has at
  least `MIN_MISSPELLED` letters, by one letter, or one in every `LETTERS_PER_ERROR` of
  longer answers, and if what is written is no common English word itself: "string" is
  another word than "spring".

An answer whose parts are said in two utterances is not found.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MIN_MISSPELLED = 6
"""Letters of the shortest answer that may be misspelled."""
LETTERS_PER_ERROR = 8
"""A letter may be wrong, missing, added or swapped with the next in every so many."""
COMMON = 3.0
"""Zipf frequency from which a word is another word, not a misspelled answer: once in a
million words."""

_SIGNS = {"+": " plus ", "#": " sharp ", "&": " and "}
_AMERICAN = (("our", "or"), ("tre", "ter"), ("ium", "um"))
"""British endings and their American spellings, of words from five letters on."""
_MIN_STEM = 4
"""Letters of the shortest singular of an answer that is a plural: not "new"."""


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One line of a transcript."""

    speaker: str
    text: str


Transcript = tuple[Utterance, ...]


def rendered(transcript: Transcript) -> str:
    """The transcript as a prompt shows it: a line for each utterance."""
    return "\n".join(f"{one.speaker}: {one.text}" for one in transcript)


def n_words(transcript: Transcript) -> int:
    """Words spoken, separated by white space."""
    return sum(len(one.text.split()) for one in transcript)


def n_turns(transcript: Transcript) -> int:
    """How often the floor is taken: runs of utterances by one speaker."""
    return sum(1 for _ in itertools.groupby(transcript, key=lambda one: one.speaker))


def without_repeats(transcript: Iterable[Utterance]) -> Transcript:
    """Leaves out an utterance that its speaker's last one was already."""
    last: dict[str, str] = {}
    kept = []
    for one in transcript:
        if last.get(one.speaker) != one.text:
            kept.append(one)
        last[one.speaker] = one.text
    return tuple(kept)


def before_answer(transcript: Transcript, answer: str) -> Transcript | None:
    """The utterances before the first that holds the answer; None: none does."""
    forms = _forms(answer)
    for place, one in enumerate(transcript):
        if _says(one.text, forms):
            return transcript[:place]
    return None


def says(text: str, answer: str) -> bool:
    """Whether the answer is said in the text, as the module describes."""
    return _says(text, _forms(answer))


def _says(text: str, forms: Sequence[tuple[str, ...]]) -> bool:
    words = _words(text)
    return any(_holds(words, form) for form in forms)


def _forms(answer: str) -> list[tuple[str, ...]]:
    """The words of the answer, and of its shorter forms."""
    shorter = re.sub(r"\(.*?\)", " ", answer)
    texts = (answer, shorter, shorter.partition(",")[0])
    return [words for words in dict.fromkeys(map(_words, texts)) if words]


def _holds(words: tuple[str, ...], form: tuple[str, ...]) -> bool:
    target = "".join(form)
    longest = len(target) + 2
    for start in range(len(words)):
        squeezed = ""
        for word in words[start:]:
            squeezed += word
            if len(squeezed) > longest:
                break
            if _same(squeezed, target):
                return True
    if len(target) < MIN_MISSPELLED:
        return False
    size = len(form)
    return any(
        _misspells(words[start : start + size], form)
        for start in range(len(words) - size + 1)
    )


def _same(heard: str, target: str) -> bool:
    """Equal, or one the plural of the other."""
    if heard == target:
        return True
    short, long = sorted((heard, target), key=len)
    if long not in (f"{short}s", f"{short}es"):
        return False
    return short == target or len(short) >= _MIN_STEM


def _misspells(heard: tuple[str, ...], form: tuple[str, ...]) -> bool:
    """Whether the words are the form's but for a few letters."""
    target = "".join(form)
    most = max(1, len(target) // LETTERS_PER_ERROR)
    errors = 0
    for word, meant in zip(heard, form, strict=True):
        if word == meant:
            continue
        # The lengths alone tell most words apart.
        if abs(len(word) - len(meant)) > most or _is_common(word):
            return False
        errors += _errors(word, meant)
        if errors > most:
            return False
    return errors > 0


@functools.cache
def _is_common(word: str) -> bool:
    # Imported here: its word lists take a fifth of a second to load.
    from wordfreq import zipf_frequency

    return zipf_frequency(word, "en") >= COMMON


def _errors(heard: str, meant: str) -> int:
    """Letters wrong, missing, added or swapped (optimal string alignment)."""
    before: list[int] = []
    last = list(range(len(meant) + 1))
    for i, one in enumerate(heard, start=1):
        row = [i]
        for j, other in enumerate(meant, start=1):
            cost = min(last[j] + 1, row[-1] + 1, last[j - 1] + (one != other))
            if i > 1 and j > 1 and heard[i - 2] == other and one == meant[j - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]


def _words(text: str) -> tuple[str, ...]:
    """Lower-case words of letters and digits, without diacritics, spelled one way."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(one for one in plain if not unicodedata.combining(one))
    for sign, spoken in _SIGNS.items():
        plain = plain.replace(sign, spoken)
    # An apostrophe parts no word: "Levi's" and "Levis".
    return tuple(
        _american(word)
        for word in re.findall(r"[^\W_]+", re.sub("['`\u2019]", "", plain))
    )


def _american(word: str) -> str:
    for british, american in _AMERICAN:
        if len(word) >= 5 and word.endswith(british):
            return word.removesuffix(british) + american
    return word
