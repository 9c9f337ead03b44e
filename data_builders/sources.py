"""Where other people's data comes from: a local folder first, then the hub.

A source is one file, several that are published together, or one for each language, of
which only those asked for are read (`source_list`). Its sha256 is that of the copy the
published results can be reproduced from; a file that differs is used and reported
(`Located.sha256`), because a user's own questions in the same format are welcome, but a
run must say what it read. What is not on the hub has to be downloaded from its page by
hand.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders.languages import by_code
from data_builders.source_list import Hub, Source, each_part, listed, named
from probe.types import DataError, MissingDataError, NothingAskedError

logger = logging.getLogger(__name__)
_MOST_SPOKEN = 12
"""Languages that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Located:
    """A source's file, or one of them, on this machine."""

    source: Source
    path: Path
    sha256: str
    """Of the file's bytes, as found."""
    language: str | None = None
    """Code of the one language that the file is of; None: it is not divided so."""

    @property
    def as_published(self) -> bool | None:
        """Whether the bytes are the published ones; None: not known."""
        if self.source.sha256 is None or self.path.name in self.source.parts:
            return None
        return self.sha256 == self.source.sha256


def source(name: str) -> Source:
    """The source of that name.

    Raises:
        DataError: there is none.
    """
    known = listed()
    found = known.get(name)
    if found is None:
        near = difflib.get_close_matches(name, known, n=1)
        raise DataError(
            f"There is no data source '{name}'",
            f"A source must be one of {', '.join(sorted(known))}",
            f"Did you mean '{near[0]}'" if near else "Correct the name",
        )
    return found


def locate(name: str, data: Path | None) -> Located:
    """Finds the file of a source that is one file.

    Args:
        name: Name of the source.
        data: As `locate_all`.

    Raises:
        DataError: As `locate_all`.
    """
    [found] = locate_all(name, data)
    return found


def locate_all(
    name: str, data: Path | None, languages: Sequence[str] | None = None
) -> tuple[Located, ...]:
    """Finds a source's files in a local folder, or fetches them from the hub.

    Args:
        name: Name of the source.
        data: A folder with local copies; a folder that lacks a file is an error and
            is not made up for by the hub. None: the hub, or its cache.
        languages: Codes. Of a source with a file for each language only these are
            looked for, and all must be there; None: those that the folder has, or all
            of the hub's. A source that is not divided so comes whole.

    Returns:
        One file, all of `Source.parts` in their order, or one for each language in the
        order of `Source.languages`; none of an optional source that the folder lacks.

    Raises:
        DataError: unknown name or no such folder; `MissingDataError`: a folder without
            the files, a source that is not on the hub, or the hub cannot be reached
            and has not been before; `NothingAskedError`: the source is not published
            in a language.
    """
    wanted = source(name)
    codes = _codes(wanted, languages)
    if data is None:
        paths = _fetch_all(wanted, codes)
    else:
        paths = _find(wanted, data, codes, demanded=languages is not None)
    found = tuple(
        Located(source=wanted, path=path, sha256=_sha256(path), language=code)
        for code, path in paths
    )
    for one in found:
        if one.as_published is False:
            logger.warning(
                "%s differs from the published %s (sha256 %s, published %s)",
                one.path,
                name,
                one.sha256,
                wanted.sha256,
            )
    return found


def path(name: str, data: Path | None) -> Path:
    """The path of `locate`."""
    return locate(name, data).path


def digests(
    names: Iterable[str], data: Path | None, languages: Sequence[str] | None = None
) -> dict[str, str]:
    """What a run records of the sources it read.

    Args:
        names: Names of the sources.
        data: As `locate_all`.
        languages: As `locate_all`.

    Returns:
        sha256 by the source's name; of several files, or of one language's, by
        `name/file`.

    Raises:
        DataError: As `locate_all`.
    """
    found = {}
    for name in names:
        located = locate_all(name, data, languages)
        for one in located:
            alone = len(located) == 1 and one.language is None
            found[name if alone else f"{name}/{one.path.name}"] = one.sha256
    return found


_Paths = list[tuple[str | None, Path]]
"""Files with the language that each is of, if it is of one."""


def _codes(wanted: Source, languages: Sequence[str] | None) -> tuple[str, ...]:
    """The languages to read of a source, in its order."""
    if languages is None or not wanted.languages:
        return tuple(wanted.languages)
    missing = [code for code in languages if code not in wanted.languages]
    if missing:
        raise NothingAskedError(
            f"--languages asks for {_spoken(missing)}, which {wanted.name} does not "
            "have",
            f"{wanted.name} has {len(wanted.languages)} languages"
            + (
                f": {_spoken(wanted.languages)}"
                if len(wanted.languages) <= _MOST_SPOKEN
                else ""
            ),
            "Leave it away, or score a probe that has it (belebele has the most)",
        )
    return tuple(code for code in wanted.languages if code in languages)


def _spoken(codes: Iterable[str]) -> str:
    return ", ".join(f"{by_code(code).name} ({code})" for code in codes)


def _find(wanted: Source, data: Path, codes: Sequence[str], demanded: bool) -> _Paths:
    """Finds the files in a folder; each of `codes` must be there if `demanded`."""
    if not data.is_dir():
        raise DataError(
            f"{data} is not a folder",
            "--data must name a folder with local copies of the data",
            f"Correct the path, or get the data from {wanted.url}",
        )
    places = [each_part(file, wanted.parts) for file in wanted.files]
    places += [
        tuple(f"{folder}/{part}" for part in wanted.parts) for folder in wanted.folders
    ]
    for place in places:
        paths = [data / file for file in place]
        missing = [path.name for path in paths if not path.is_file()]
        if not missing:
            return [(None, path) for path in paths]
        if len(missing) < len(paths):
            raise MissingDataError(
                f"{paths[0].parent} holds a part of the data of '{wanted.name}' and "
                f"lacks {', '.join(missing)}",
                f"It consists of {', '.join(wanted.parts)}",
                f"Download what is missing from {wanted.url} into the same folder",
            )
    found = _divided(wanted, data, codes)
    if demanded:
        _check_all_there(wanted, data, codes, found)
    if found or wanted.optional:
        return [*found.items()]
    looked = [
        *(each_part(file, wanted.parts)[0] for file in wanted.files),
        *(f"{one}/{wanted.parts[0]}" for one in wanted.folders),
        *_places(wanted, "*"),
    ]
    raise MissingDataError(
        f"{data} does not hold the data of '{wanted.name}'; looked for "
        + ", ".join(one.removeprefix("./") for one in looked),
        "One of these files must be there"
        + (f", with the rest of {', '.join(wanted.parts)}" if wanted.parts else ""),
        f"Download {', '.join(wanted.published)} from {wanted.url} into {data}"
        + ("" if wanted.hub is None else ", or leave --data out to fetch it"),
    )


def _places(wanted: Source, language: str) -> list[str]:
    """Where the file of a language may lie, which files call so; `*`: of any."""
    return [named(pattern, language) for pattern in wanted.by_language]


def _divided(wanted: Source, data: Path, codes: Iterable[str]) -> dict[str, Path]:
    """The files that are there of the languages' own."""
    found = {}
    for code in codes:
        places = _places(wanted, wanted.languages[code])
        here = next((data / one for one in places if (data / one).is_file()), None)
        if here is not None:
            found[code] = here
    return found


def _check_all_there(
    wanted: Source, data: Path, codes: Iterable[str], found: Mapping[str, Path]
) -> None:
    """Checks that of some languages' files those asked for are there."""
    missing = [code for code in codes if code not in found]
    there = _divided(wanted, data, wanted.languages)
    if missing and there:
        looked = _places(wanted, wanted.languages[missing[0]])
        raise MissingDataError(
            f"{data} does not hold the data of '{wanted.name}' in {_spoken(missing)}; "
            f"looked for {', '.join(looked)}",
            f"A language that is asked for has a file of its own; the folder has those "
            f"of {_spoken(there)}",
            f"Download {', '.join(_published(wanted, missing))} from {wanted.url} into "
            f"{data}, or leave the language away",
        )


def _published(wanted: Source, codes: Iterable[str]) -> tuple[str, ...]:
    """What is to be downloaded for some of the languages."""
    if wanted.hub is None:
        return wanted.published
    names = (wanted.languages[code] for code in codes)
    return tuple(dict.fromkeys(named(wanted.hub.file, name) for name in names))


def _fetch_all(wanted: Source, codes: Sequence[str]) -> _Paths:
    hub = wanted.hub
    if hub is None:
        raise MissingDataError(
            f"The data of '{wanted.name}' is not on the hub and cannot be fetched",
            "--data must name a folder that holds it",
            f"Download {', '.join(wanted.published)} from {wanted.url} and pass their "
            "folder with --data",
        )
    if named(hub.file, "") == hub.file:
        files = each_part(hub.file, wanted.parts)
        return [(None, _fetch(wanted, hub, file)) for file in files]
    return [
        (code, _fetch(wanted, hub, named(hub.file, wanted.languages[code])))
        for code in codes
    ]


def _fetch(wanted: Source, hub: Hub, file: str) -> Path:
    # Imported here: reading a local copy must not cost the hub client's start. The
    # client's own HTTPError, because which HTTP library it is of varies by version.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError

    try:
        return Path(
            hf_hub_download(hub.id, file, repo_type="dataset", revision=hub.revision)
        )
    except (OSError, HTTPError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MissingDataError(
            f"The data of '{wanted.name}' could not be fetched from hub dataset "
            f"{hub.id}: {reason}",
            "The hub must be reachable, or --data must name a folder that holds "
            f"{file}",
            f"Download {file} from {wanted.url} and pass its folder with --data",
        ) from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
