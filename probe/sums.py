"""Lists of files with their sha256, as `sha256sum` writes and checks them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from pathlib import Path

from probe.types import StoreError

Sums = Mapping[str, Set[str]]
"""File -> sha256s it may have: while it is replaced, that of before as well."""


def sha256(data: bytes) -> str:
    """The sha256 in hex."""
    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> dict[str, set[str]] | None:
    """Reads a list; None: there is none.

    A damaged line names another file, or another sha256: it vouches for nothing.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror})",
            "It lists the sha256s of the files beside it",
            "Mend its permissions, or move what is there",
        ) from error
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        found.setdefault(name, set()).add(digest)
    return found


def text(sums: Sums) -> str:
    """The list's text."""
    lines = sorted((name, one) for name, digests in sums.items() for one in digests)
    return "".join(f"{digest}  {name}\n" for name, digest in lines)
