"""Texts as words, for comparing them: without case, punctuation and white space."""

from __future__ import annotations

import unicodedata

UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0x20000, 0x3134F),  # Han, extensions B to G
)
"""Scripts that put no spaces between words: each character counts as one."""


class _Signs(dict[int, str]):
    """What a character becomes, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        if any(first <= code <= last for first, last in UNSPACED):
            found = f" {sign} "
        elif unicodedata.category(sign)[0] in "PSCZ":
            found = " "
        else:
            found = sign
        self[code] = found
        return found


_SIGNS = _Signs()


def words(text: str) -> list[str]:
    """The words of a text; of a script without spaces, its characters."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_SIGNS).split()
