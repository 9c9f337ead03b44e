"""Files of a report, put into its folder together.

A folder named by `--out` may hold a user's own files. What a report wrote there is
listed with its sha256; what is not, byte for byte, is neither replaced nor removed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from probe import sums
from probe.types import StoreError, writing

LIST = ".rm-probe-report"
"""Name of the list in a report's folder."""
SIGNATURE = "Written by rm-probe"
PAGES = ("index.html", "report.md", "summary.json")
NEEDED = "A report needs a folder it may write, and room on the disk"


def try_folder(out: Path) -> None:
    """Tries where a report shall be written, before hours are spent on it.

    Raises:
        StoreError: It cannot be written, or another file is in the way.
    """
    with writing(out, NEEDED):
        there = next(one for one in (out, *out.absolute().parents) if one.exists())
        with tempfile.TemporaryDirectory(dir=there, prefix=".rm-probe-"):
            pass
        _refuse_theirs(out, PAGES, LIST)


def write_files(
    out: Path, files: Mapping[str, bytes], listed: str = LIST
) -> list[Path]:
    """Replaces the files of an earlier report by those of a new one.

    They are written beside them first: a full disk or a kill leaves the earlier ones.

    Args:
        out: The folder.
        files: Path below `out` -> content.
        listed: Name of the list: another kind of report in that folder has its own.

    Returns:
        What was written, in the order of `files`.

    Raises:
        StoreError: As `try_folder`.
    """
    with writing(out, NEEDED):
        _refuse_theirs(out, files, listed)
        new = out / f"{listed}.new"
        shutil.rmtree(new, ignore_errors=True)
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)
        before = sums.read(out / listed) or {}
        now = {name: {sums.sha256(content)} for name, content in files.items()}
        # Until every file has its name, it may be that of either report.
        both = {name: before.get(name, set()) | one for name, one in now.items()}
        _write_list(out / listed, {**before, **both})
        for name in files:
            (out / name).parent.mkdir(exist_ok=True)
            (new / name).replace(out / name)
        for name in before.keys() - files.keys():
            if _holds(out / name, before[name]):
                (out / name).unlink()
        _write_list(out / listed, now)
        shutil.rmtree(new)
    return [out / name for name in files]


def _write_list(path: Path, files: sums.Sums) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(sums.text(files), encoding="utf-8")
    temporary.replace(path)


def _holds(path: Path, digests: Iterable[str]) -> bool:
    return path.is_file() and sums.sha256(path.read_bytes()) in digests


def _refuse_theirs(out: Path, names: Iterable[str], listed: str) -> None:
    before = sums.read(out / listed)
    page = out / PAGES[0]
    if before is None and page.is_file():
        if SIGNATURE in page.read_text(encoding="utf-8", errors="replace"):
            return  # of a report that kept no list
    for name in names:
        path = out / name
        if path.exists() and not _holds(path, (before or {}).get(name, ())):
            raise StoreError(
                f"{path} is there, and not as rm-probe wrote it",
                "A report replaces files of an earlier one only",
                "Move that file, or name another folder with --out",
            )
