"""Where other people's data comes from: a local folder first, then the hub.

A source is one file. Its sha256 is that of the copy the published results can be
reproduced from; a file that differs is used and reported (`Located.sha256`), because
a user's own questions in the same format are welcome, but a run must say what it read.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from probe.types import DataError, MissingDataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data file, its home and its licence."""

    name: str
    """What probes and messages call it."""
    hub_id: str
    """Hub dataset `owner/name`."""
    hub_file: str
    """Path of the file in the hub dataset."""
    revision: str
    """Hub commit."""
    licence: str
    """As the hub's dataset card has it."""
    files: tuple[str, ...]
    """Where to look in a local data folder, first match wins."""
    sha256: str | None
    """Of the copy the published results come from; None: unknown."""
    url: str
    """Page that a person can read."""


@dataclass(frozen=True, kw_only=True)
class Located:
    """A source's file on this machine."""

    source: Source
    path: Path
    sha256: str
    """Of the file's bytes, as found."""

    @property
    def as_published(self) -> bool | None:
        """Whether the bytes are the published ones; None: not known."""
        return None if self.source.sha256 is None else self.sha256 == self.source.sha256


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="askreddit",
            hub_id="SALT-NLP/AskRedditCountries",
            hub_file="AskRedditCountries_final.csv",
            # The csv was added in the parent commit and the card, with the licence,
            # in this one; later commits change the card only.
            revision="26912f075bad70531bb94587b593235f8640857a",
            licence="MIT",
            files=(
                "AskRedditCountries_final.csv",
                "askreddit_countries/AskRedditCountries_final.csv",
                # The authors' repository, and that repository under recorded/.
                "data/askreddit_countries/AskRedditCountries_final.csv",
                "recorded/unintended-impacts/data/askreddit_countries/"
                "AskRedditCountries_final.csv",
            ),
            sha256="9a0f8ae8713689ee846f0d7687bfccaa6273019b63eceefd0b4897b2d2f412c0",
            url="https://huggingface.co/datasets/SALT-NLP/AskRedditCountries",
        ),
        Source(
            name="global_opinions",
            hub_id="Anthropic/llm_global_opinions",
            hub_file="data/global_opinions.csv",
            # The csv came in an earlier commit; this is the card's last.
            revision="cb2880488749218abb81802a94c2c62ebfde2f35",
            licence="CC-BY-NC-SA-4.0",
            files=(
                "global_opinions.csv",
                "data/global_opinions.csv",
                "llm_global_opinions.csv",
                "opinions/llm_global_opinions.csv",
            ),
            sha256=None,
            url="https://huggingface.co/datasets/Anthropic/llm_global_opinions",
        ),
    )
}


def source(name: str) -> Source:
    """The source of that name.

    Raises:
        DataError: there is none.
    """
    found = SOURCES.get(name)
    if found is None:
        near = difflib.get_close_matches(name, SOURCES, n=1)
        raise DataError(
            f"There is no data source '{name}'",
            f"A source must be one of {', '.join(sorted(SOURCES))}",
            f"Did you mean '{near[0]}'" if near else "Correct the name",
        )
    return found


def locate(name: str, data: Path | None) -> Located:
    """Finds a source's file in a local folder, or fetches it from the hub.

    Args:
        name: Name of the source.
        data: A folder with local copies; a folder that lacks the file is an error
            and is not made up for by the hub. None: the hub, or its cache.

    Raises:
        DataError: unknown name or no such folder; `MissingDataError`: a folder without
            the file, or the hub cannot be reached and has not been before.
    """
    wanted = source(name)
    path = _fetch(wanted) if data is None else _find(wanted, data)
    found = Located(source=wanted, path=path, sha256=_sha256(path))
    if found.as_published is False:
        logger.warning(
            "%s differs from the published %s (sha256 %s, published %s)",
            path,
            name,
            found.sha256,
            wanted.sha256,
        )
    return found


def path(name: str, data: Path | None) -> Path:
    """The path of `locate`."""
    return locate(name, data).path


def _find(wanted: Source, data: Path) -> Path:
    if not data.is_dir():
        raise DataError(
            f"{data} is not a folder",
            "--data must name a folder with local copies of the data",
            f"Correct the path, or leave --data out to fetch {wanted.hub_id}",
        )
    candidates = [data / file for file in wanted.files]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise MissingDataError(
        f"{data} does not hold the data of '{wanted.name}'; looked for "
        + ", ".join(wanted.files),
        "One of these files must be there",
        f"Download {wanted.hub_file} from {wanted.url} into {data}, "
        "or leave --data out to fetch it",
    )


def _fetch(wanted: Source) -> Path:
    # Imported here: reading a local copy must not cost the hub client's start. The
    # client's own HTTPError, because which HTTP library it is of varies by version.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError

    try:
        return Path(
            hf_hub_download(
                wanted.hub_id,
                wanted.hub_file,
                repo_type="dataset",
                revision=wanted.revision,
            )
        )
    except (OSError, HTTPError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MissingDataError(
            f"The data of '{wanted.name}' could not be fetched from hub dataset "
            f"{wanted.hub_id}: {reason}",
            "The hub must be reachable, or --data must name a folder that holds "
            f"{wanted.hub_file}",
            f"Download {wanted.hub_file} from {wanted.url} and pass its folder "
            "with --data",
        ) from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
