"""Sources of training rows: shipped ones by their name, a user's own by their path.

Nothing here is scored. A source that is divided with a probe (`dialect_rows`) gives the
half that the probe holds back; what else may overlap with scored items, `mixes` leaves
out when it draws.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import (
    sources,
    tables,
    training_oasst,
    training_ours,
    training_own,
    training_readers,
    training_table,
)
from data_builders.memory import Memory
from data_builders.training_types import Form, Rows, TrainingRow
from probe.config import did_you_mean
from probe.types import MissingDataError, UsageError

SUFFIXES = (*tables.SUFFIXES, ".parquet")
"""Endings of a user's own file."""
LANG = "lang"
"""Group that can be found out where a source lacks it (`tagged`)."""


Reader = Callable[[str, Sequence[sources.Located]], training_table.Read]


@dataclass(frozen=True, kw_only=True)
class TrainingSource:
    """A shipped source of rows."""

    name: str
    form: Form
    reader: Reader
    published: str
    """Name in `source_list`: fetched from the hub where there is no data folder."""
    local: tuple[str, ...] = ()
    """Names in `source_list`: looked for in a data folder, in this order, before
    `published`."""


_LISTED: Mapping[str, tuple[Form, Reader, str, tuple[str, ...]]] = {
    "oasst1_sft": (
        "sft",
        training_oasst.sft,
        "oasst1",
        ("oasst1_en_fi_sft", "oasst1_fi"),
    ),
    "oasst1_pairs": (
        "preference",
        training_oasst.pairs,
        "oasst1",
        ("oasst1_en_fi_pairs", "oasst1_fi"),
    ),
    **{
        name: ("preference", training_readers.pairs, name, local)
        for name, local in (
            ("ultrafeedback", ("ultrafeedback_clean",)),
            ("hh_rlhf_harmless", ("hh_rlhf_harmless_test",)),
            ("hh_rlhf_helpful", ()),
        )
    },
    "tulu2_sft": ("sft", training_readers.tulu, "tulu2_sft", ()),
    "blend": ("sft", training_readers.blend, "blend", ("blend_country_qa",)),
}
_READ = tuple(
    TrainingSource(name=name, form=form, reader=reader, published=home, local=local)
    for name, (form, reader, home, local) in _LISTED.items()
)
_MADE = ("dialect_rows", "country_preferences")

_READ_ALREADY: Memory[Rows] = Memory(8)
_LANGUAGES: dict[str, str | None] = {}
"""Text -> its language, of all texts that were looked at."""


def names() -> tuple[str, ...]:
    """The shipped sources."""
    return tuple(sorted((*(one.name for one in _READ), *_MADE)))


def load(ref: str, data: Path | None, *, half_seed: int = 0) -> Rows:
    """Reads a training source, once in a process while its files are the same.

    Args:
        ref: A shipped source's name, or a csv, jsonl or parquet file. The file's form
            follows from its columns: `chosen` and `rejected` with their prompt
            (`conversations`) are preferences; `messages` that end with an answer, or
            `prompt` and `completion`, are for supervised fine-tuning. The columns `id`,
            `key` and `content` are `TrainingRow`'s, if they are there; files may share
            keys, such as translations of one another. Other columns of texts and
            numbers become groups.
        data: Folder with local copies of the sources; None: the hub.
        half_seed: Division of a source that is divided with a probe.

    Raises:
        UsageError: There is no such source; the nearest is named.
        DataError: The data cannot be had, or is malformed; with its place.
    """
    located = _located(ref, data)
    key = (ref, data, half_seed, tuple(_digests(ref, located).items()))
    return _READ_ALREADY.get(key, lambda: _load(ref, data, half_seed, located))


def digests(ref: str, data: Path | None) -> dict[str, str]:
    """sha256 of the files that `load` would read, by name: as `Rows.files`.

    The files are found and hashed, and not parsed.

    Raises:
        UsageError: As `load`.
        DataError: As `load`; what the files hold is not looked at.
    """
    return _digests(ref, _located(ref, data))


def _digests(ref: str, located: tuple[sources.Located, ...]) -> dict[str, str]:
    if ref == "country_preferences":
        return {"country_questions.csv": training_ours.country_questions_sha()}
    if located:
        return {one.path.name: one.sha256 for one in located}
    path = Path(ref)
    return {path.name: tables.sha_of(path)}


def local_copies(ref: str) -> str:
    """What a data folder may hold of a shipped source beside the hub's files."""
    wanted = next((one for one in _READ if one.name == ref), None)
    found: dict[str, list[str]] = {}
    for one in map(sources.source, wanted.local if wanted else ()):
        about = ", ".join(filter(None, (one.about, one.licence, one.url)))
        files = ", ".join(f"{one.folders[0]}/{part}" for part in one.parts)
        found.setdefault(about, []).append(files)
    return "; or ".join(
        f"{'; or '.join(files)} ({about})" for about, files in found.items()
    )


def _located(ref: str, data: Path | None) -> tuple[sources.Located, ...]:
    """Files of a shipped source; none of what is bundled, or is a user's file."""
    if ref == "country_preferences":
        return ()
    if ref == "dialect_rows":
        return sources.locate_all("dialect_pairs", data)
    wanted = next((one for one in _READ if one.name == ref), None)
    if wanted is not None:
        return _published(wanted, data)
    path = Path(ref)
    if path.suffix in SUFFIXES and path.is_file():
        return ()
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        raise UsageError(
            f"{ref} is no file that can be read",
            f"A training file ends with {', '.join(SUFFIXES)}",
            "Check the path; one in a mix is relative to the mix's file",
        )
    raise UsageError(
        f"no training source is called '{ref}'",
        f"A source is a shipped name, or a file that ends with {', '.join(SUFFIXES)}",
        did_you_mean(ref, names()),
    )


def _published(
    wanted: TrainingSource, data: Path | None
) -> tuple[sources.Located, ...]:
    for name in wanted.local if data is not None else ():
        if located := sources.locate_all(name, data):
            return located
    try:
        return sources.locate_all(wanted.published, data)
    except MissingDataError as error:
        if not wanted.local:
            raise
        raise MissingDataError(
            error.found,
            f"{error.expected}. Training source '{wanted.name}' also reads a --data "
            f"folder with {local_copies(wanted.name)}",
            error.action,
        ) from error


def _load(
    ref: str, data: Path | None, half_seed: int, located: tuple[sources.Located, ...]
) -> Rows:
    if ref == "country_preferences":
        return Rows(
            name=ref,
            form="preference",
            rows=tuple(training_ours.country_preferences()),
            dropped=Counter(),
            licence="Apache-2.0",
            url=None,
            revision=None,
            files=_digests(ref, located),
        )
    if ref == "dialect_rows":
        rows, dropped = training_ours.dialect_rows(data, half_seed)
        return _rows(ref, "preference", rows, dropped, located)
    if not located:
        return training_own.read(Path(ref))
    [wanted] = [one for one in _READ if one.name == ref]
    rows, dropped = wanted.reader(wanted.name, located)
    found = _rows(wanted.name, wanted.form, rows, dropped, located)
    hub = located[0].source.hub
    if data is None and hub is not None:
        found = dataclasses.replace(found, revision=hub.revision)
    return found


def tagged(rows: Rows) -> Rows:
    """The rows with a group `lang`, of the answer, as two detectors agree on it.

    None where they do not; see `data_builders.langid`. No text is looked at twice
    within a process.
    """
    texts = {row.answers[0]: None for row in rows.rows}
    if new := [text for text in texts if text not in _LANGUAGES]:
        # Imported here: its models take seconds to load.
        from data_builders import langid

        for text, tag in zip(new, langid.tag(new), strict=True):
            _LANGUAGES[text] = tag.agreed
    return dataclasses.replace(
        rows,
        rows=tuple(
            dataclasses.replace(
                row, groups={**row.groups, LANG: _LANGUAGES[row.answers[0]]}
            )
            for row in rows.rows
        ),
    )


def _rows(
    name: str,
    form: Form,
    rows: list[TrainingRow],
    dropped: Counter[str],
    located: tuple[sources.Located, ...],
) -> Rows:
    training_table.check_rows(rows, dropped, str(located[0].path))
    source = located[0].source
    return Rows(
        name=name,
        form=form,
        rows=tuple(rows),
        dropped=+dropped,
        licence=source.licence,
        url=source.url,
        revision=None,
        files={one.path.name: one.sha256 for one in located},
    )
