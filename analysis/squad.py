"""Exact match and F1 of short answers, as SQuAD and TyDiQA's gold passages count them.

Normalisation is that of Rajpurkar et al. (2016, section 6.1): lower case, no ASCII
punctuation, no English articles, white space collapsed. It is applied to every language
alike, as published results are, and it misbehaves in some: see `NOTES`.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

AnswerMeasure = Callable[[str, Iterable[str]], float]
"""A prediction and its references -> how right it is, between 0 and 1."""

BLANK_LINE = "\n\n"
"""Where a generated answer ends (Ryan et al. 2024, TyDiQA)."""

NOTES: Mapping[str, str] = MappingProxyType(
    {
        "arb_Arab": "articles and other clitics are written as one word with what "
        "follows, and diacritics and Arabic punctuation stay: near misses count less",
        "ben_Beng": "the danda and other punctuation that is not ASCII stays",
        "eng_Latn": "made for it",
        "fin_Latn": "inflected forms of a word count as other words",
        "ind_Latn": "affixed forms of a word count as other words",
        "kor_Hang": "particles are written as one word with what they follow: one "
        "with another particle is another word",
        "rus_Cyrl": "inflected forms count as other words; guillemets and dashes stay",
        "swh_Latn": "agreement prefixes make other words",
        "tel_Telu": "case endings and postpositions are written as one word with what "
        "they follow: an answer with another ending counts as another word",
        "jpn_Jpan": "no spaces: F1 is exact match of the text between spaces",
        "tha_Thai": "no spaces: F1 is exact match of the text between spaces",
        "zho_Hans": "no spaces: F1 is exact match of the text between spaces",
        "zho_Hant": "no spaces: F1 is exact match of the text between spaces",
    }
)
"""Language code -> where the normalisation misbehaves."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def cut(text: str) -> str:
    """A generation up to its first blank line, stripped."""
    return text.strip().partition(BLANK_LINE)[0].strip()


def normalised(text: str) -> str:
    """An answer as it is compared."""
    plain = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(prediction: str, references: Iterable[str]) -> float:
    """1 if the prediction equals a reference after normalisation, else 0."""
    wanted = normalised(prediction)
    return float(any(normalised(one) == wanted for one in references))


def f1(prediction: str, references: Iterable[str]) -> float:
    """Harmonic mean of the words' precision and recall, for the best reference.

    Raises:
        ValueError: There is no reference.
    """
    words = normalised(prediction).split()
    return max(_f1(words, normalised(one).split()) for one in references)


def _f1(prediction: list[str], reference: list[str]) -> float:
    shared = (Counter(prediction) & Counter(reference)).total()
    if shared == 0:
        return 0.0
    precision, recall = shared / len(prediction), shared / len(reference)
    return 2 * precision * recall / (precision + recall)
