"""Where other people's data comes from: a local folder first, then the hub.

A source is one file, or several that are published together. Its sha256 is that of the
copy the published results can be reproduced from; a file that differs is used and
reported (`Located.sha256`), because a user's own questions in the same format are
welcome, but a run must say what it read. What is not on the hub has to be downloaded
from its page by hand.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from probe.types import DataError, MissingDataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A file of a hub dataset."""

    id: str
    """Dataset `owner/name`."""
    file: str
    """Path of the file in the dataset."""
    revision: str
    """Commit."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Other people's data, its home and its licence."""

    name: str
    """What probes and messages call it."""
    hub: Hub | None
    """None: not on the hub, to be downloaded from `url` by hand."""
    licence: str
    """As the page has it."""
    files: tuple[str, ...]
    """Where to look for it, as one file, in a local data folder; first match wins."""
    sha256: str | None
    """Of the file that the published results come from; None: unknown."""
    url: str
    """Page that a person can read."""
    folders: tuple[str, ...] = ()
    """Where to look for `parts` where there is none of `files`; the first folder that
    holds one of them must hold all."""
    parts: tuple[str, ...] = ()
    """Names of the files, where it is published as several."""

    @property
    def published(self) -> tuple[str, ...]:
        """What is to be downloaded."""
        return self.parts if self.hub is None else (self.hub.file,)


@dataclass(frozen=True, kw_only=True)
class Located:
    """A source's file, or one of them, on this machine."""

    source: Source
    path: Path
    sha256: str
    """Of the file's bytes, as found."""

    @property
    def as_published(self) -> bool | None:
        """Whether the bytes are the published ones; None: not known."""
        if self.source.sha256 is None or self.path.name in self.source.parts:
            return None
        return self.sha256 == self.source.sha256


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="askreddit",
            hub=Hub(
                id="SALT-NLP/AskRedditCountries",
                file="AskRedditCountries_final.csv",
                # The csv was added in the parent commit and the card, with the licence,
                # in this one; later commits change the card only.
                revision="26912f075bad70531bb94587b593235f8640857a",
            ),
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
            hub=Hub(
                id="Anthropic/llm_global_opinions",
                file="data/global_opinions.csv",
                # The csv came in an earlier commit; this is the card's last.
                revision="cb2880488749218abb81802a94c2c62ebfde2f35",
            ),
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
        Source(
            name="md3",
            hub=None,
            licence="as its page has it",
            # The games as Ryan et al. 2024 prepared them, the transcripts cut by hand.
            files=("md3_game.jsonl", "md3/md3_game.jsonl"),
            sha256=None,
            url="https://www.kaggle.com/datasets/jacobeis99/md3en",
            folders=(".", "md3", "md3en"),
            parts=tuple(
                f"{table}_{dialect}.tsv"
                for dialect in ("en_us", "en_in", "en_ng")
                for table in ("prompts", "transcripts")
            ),
        ),
        Source(
            name="dialect_pairs",
            hub=None,
            licence="Apache-2.0; RewardBench's texts ODC-BY",
            files=(
                "rewardbench_594_multivalue_6dialects.jsonl",
                "dialect/rewardbench_594_multivalue_6dialects.jsonl",
            ),
            sha256=None,
            url="https://github.com/joel-mire/rm-dialect-biases",
            # Of the authors' repository: JSON lines, in spite of its name.
            folders=(".", "dialect", "data/raw/reward_bench"),
            parts=("reward_bench_filtered_expanded_mv.json",),
        ),
        Source(
            name="rewardbench",
            hub=Hub(
                id="allenai/reward-bench",
                file="data/filtered-00000-of-00001.parquet",
                # The last commit that changed the pairs; later ones change the licence
                # and the card only.
                revision="d61ac5c97d0f2f7eb922da3c0b6bbaf614ae8d02",
            ),
            licence="ODC-BY",
            files=(
                "filtered-00000-of-00001.parquet",
                "data/filtered-00000-of-00001.parquet",
                "reward_bench_filtered.jsonl",
                "rewardbench.jsonl",
                "preferences/reward_bench_filtered.jsonl",
                "preferences/rewardbench.jsonl",
                # The pairs of `dialect_pairs` are 594 of RewardBench's.
                "rewardbench_594_multivalue_6dialects.jsonl",
                "dialect/rewardbench_594_multivalue_6dialects.jsonl",
            ),
            sha256=None,
            url="https://huggingface.co/datasets/allenai/reward-bench",
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
    """Finds the file of a source that is one file.

    Args:
        name: Name of the source.
        data: As `locate_all`.

    Raises:
        DataError: As `locate_all`.
    """
    [found] = locate_all(name, data)
    return found


def locate_all(name: str, data: Path | None) -> tuple[Located, ...]:
    """Finds a source's files in a local folder, or fetches its file from the hub.

    Args:
        name: Name of the source.
        data: A folder with local copies; a folder that lacks a file is an error and
            is not made up for by the hub. None: the hub, or its cache.

    Returns:
        One file, or all of `Source.parts` in their order.

    Raises:
        DataError: unknown name or no such folder; `MissingDataError`: a folder without
            the files, a source that is not on the hub, or the hub cannot be reached
            and has not been before.
    """
    wanted = source(name)
    paths = (_fetch(wanted),) if data is None else _find(wanted, data)
    found = tuple(
        Located(source=wanted, path=path, sha256=_sha256(path)) for path in paths
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


def digests(names: Iterable[str], data: Path | None) -> dict[str, str]:
    """What a run records of the sources it read.

    Returns:
        sha256 by the source's name; of several files by `name/file`.

    Raises:
        DataError: As `locate_all`.
    """
    found = {}
    for name in names:
        located = locate_all(name, data)
        for one in located:
            key = name if len(located) == 1 else f"{name}/{one.path.name}"
            found[key] = one.sha256
    return found


def _find(wanted: Source, data: Path) -> tuple[Path, ...]:
    if not data.is_dir():
        raise DataError(
            f"{data} is not a folder",
            "--data must name a folder with local copies of the data",
            f"Correct the path, or get the data from {wanted.url}",
        )
    for file in wanted.files:
        if (data / file).is_file():
            return (data / file,)
    for folder in wanted.folders:
        paths = tuple(data / folder / part for part in wanted.parts)
        missing = [path.name for path in paths if not path.is_file()]
        if not missing:
            return paths
        if len(missing) < len(paths):
            raise MissingDataError(
                f"{data / folder} holds a part of the data of '{wanted.name}' and "
                f"lacks {', '.join(missing)}",
                f"It consists of {', '.join(wanted.parts)}",
                f"Download what is missing from {wanted.url} into the same folder",
            )
    looked = [*wanted.files, *(f"{one}/{wanted.parts[0]}" for one in wanted.folders)]
    raise MissingDataError(
        f"{data} does not hold the data of '{wanted.name}'; looked for "
        + ", ".join(one.removeprefix("./") for one in looked),
        "One of these files must be there"
        + (f", with the rest of {', '.join(wanted.parts)}" if wanted.parts else ""),
        f"Download {', '.join(wanted.published)} from {wanted.url} into {data}"
        + ("" if wanted.hub is None else ", or leave --data out to fetch it"),
    )


def _fetch(wanted: Source) -> Path:
    hub = wanted.hub
    if hub is None:
        raise MissingDataError(
            f"The data of '{wanted.name}' is not on the hub and cannot be fetched",
            "--data must name a folder that holds it",
            f"Download {', '.join(wanted.published)} from {wanted.url} and pass their "
            "folder with --data",
        )
    # Imported here: reading a local copy must not cost the hub client's start. The
    # client's own HTTPError, because which HTTP library it is of varies by version.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError

    try:
        return Path(
            hf_hub_download(
                hub.id, hub.file, repo_type="dataset", revision=hub.revision
            )
        )
    except (OSError, HTTPError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MissingDataError(
            f"The data of '{wanted.name}' could not be fetched from hub dataset "
            f"{hub.id}: {reason}",
            f"The hub must be reachable, or --data must name a folder that holds "
            f"{hub.file}",
            f"Download {hub.file} from {wanted.url} and pass its folder with --data",
        ) from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
