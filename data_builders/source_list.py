"""Other people's data that the probes read, as `sources.yaml` lists it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from data_builders import languages
from probe.config import load_mapping

PART = "{part}"


def named(pattern: str, language: str) -> str:
    """A path with its `{language}`, if it has one, filled in."""
    return pattern.replace("{language}", language)


def each_part(pattern: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The paths of a pattern: itself, or with its `{part}` filled in by each."""
    if PART not in pattern:
        return (pattern,)
    return tuple(pattern.replace(PART, part) for part in parts)


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A file of a hub dataset."""

    id: str
    """Dataset `owner/name`."""
    file: str
    """Path of the file in the dataset, with `{language}` where each has its own, or
    with `{part}` where it is published as several (`Source.parts`)."""
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
    """Where to look for it in a local data folder, as one file or, with `{part}`, as
    all of `parts`; first match wins."""
    sha256: str | None
    """Of the file that the published results come from; None: unknown."""
    url: str
    """Page that a person can read."""
    folders: tuple[str, ...] = ()
    """Where to look for `parts` where there is none of `files`; the first folder that
    holds one of them must hold all."""
    parts: tuple[str, ...] = ()
    """Names of the files, where it is published as several."""
    by_language: tuple[str, ...] = ()
    """Where to look for the file of one language, named as `{language}`, where there is
    none of `files`; first match wins. A folder may hold any of the languages."""
    languages: Mapping[str, str] = field(default_factory=dict)
    """Code of each language it is published in -> its name in files; empty: whatever
    its languages, it is not divided by them."""
    optional: bool = False
    """A local data folder may do without it."""
    about: str = ""
    """What it is, where neither its name nor its page says so."""

    @property
    def published(self) -> tuple[str, ...]:
        """What is to be downloaded; `*` stands for a language."""
        if self.hub is None:
            return self.parts
        return each_part(named(self.hub.file, "*"), self.parts)


_HUB = "https://huggingface.co/datasets/"
_LANGUAGES: Mapping[str, Mapping[str, str]] = {
    "belebele": {code: code for code in languages.CODES},
    "tydiqa": {code: name for name, code in languages.TYDIQA.items()},
}
"""Source -> `Source.languages`."""


def _source(name: str, keys: dict[str, Any]) -> Source:
    """A source from its keys in the file; without `url` its page is the hub's."""
    hub = Hub(**keys.pop("hub")) if "hub" in keys else None
    keys = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in keys.items()
    }
    unknown = {"files": (), "sha256": None, "languages": _LANGUAGES.get(name, {})}
    page = {} if hub is None else {"url": _HUB + hub.id}
    return Source(name=name, hub=hub, **{**unknown, **page, **keys})


@functools.cache
def listed() -> Mapping[str, Source]:
    """Every source by its name."""
    file = resources.files("data_builders") / "sources.yaml"
    found = load_mapping(file.read_text(encoding="utf-8"), "sources.yaml", "a list")
    return {name: _source(name, keys) for name, keys in found.items()}
