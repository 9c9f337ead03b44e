"""Run folders: the only place that writes scores, and the place that reads them.

A run is ``<runs>/<probe>@<version>/<model>@<fingerprint[:8]>/`` with

- ``manifest.json``: what was run, on what, with which result (`Manifest`);
- ``items.parquet``: every item x candidate with its group columns, before scoring;
- ``parts/*.parquet``: score rows, appended in whole files;
- ``sha256sums``: the sha256 of each parquet file, as `sha256sum` writes it.

Every file is written under a temporary name, flushed to disk and renamed, so a
killed process leaves whole files only. A file's sha256 is listed before the file gets
its name, beside that of the file it replaces: at any moment what is there is listed,
and what is not listed was not written here. Continuing a run is an anti-join on
(item_id, candidate_id, measure).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import json
import logging
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pydantic

from probe import sums
from probe.types import GroupValue, ItemRow, Measure, ScoreRow, StoreError

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1

DIGESTS = "sha256sums"
UNVERIFIED = (
    "stored, at least in part, before runs kept sha256s of their files: damage from "
    "that time would not be seen"
)
"""Note of a run whose files were ever read without one."""
_LARGEST_MANIFEST = 2**26
_AGAIN = (
    "Run the same rm-probe score or import command again: it sets this file aside, "
    "writes its rows anew and keeps all other files"
)

SCORE_SCHEMA = pa.schema(
    [
        ("probe", pa.string()),
        ("probe_version", pa.string()),
        ("item_id", pa.string()),
        ("candidate_id", pa.string()),
        ("model", pa.string()),
        ("fingerprint", pa.string()),
        ("measure", pa.string()),
        ("score", pa.float64()),
        ("n_prompt_tokens", pa.int32()),
        ("n_answer_tokens", pa.int32()),
        ("truncated_tokens", pa.int32()),
        ("straddles", pa.bool_()),
        ("input_sha", pa.string()),
        ("text", pa.string()),
        ("error", pa.string()),
    ]
)
"""Columns of a part, in the field order of `ScoreRow`."""

_ITEM_FIELDS = (
    "item_id",
    "candidate_id",
    "prompt",
    "answer",
    "n_chars",
    "text_sha",
    "meta",
)

Key = tuple[str, str, str]
"""(item_id, candidate_id, measure): what a score row is unique by."""


class DamagedError(StoreError):
    """A file of a run that is not what the run wrote."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How far a run is; candidates, not rows (a policy writes two measures each).

    An item's generation counts as one candidate more.
    """

    expected: int = 0
    """Item x candidate pairs in `items.parquet`."""
    done: int = 0
    """Pairs with a row for every measure; generations with their one row."""
    unscored: int = 0
    """Rows whose score is NaN; of generations those without a text."""
    truncated: int = 0
    """Pairs whose text was cut to `max_tokens`."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything needed to say what a run is and to run it again."""

    probe: str
    probe_version: str
    title: str
    """The probe's one-line title."""
    axis: str
    """Which analysis reads the run; see `Probe.axis`."""
    model: str
    fingerprint: str
    """sha256 of everything that can change a score."""
    kind: Literal["scored", "imported"]
    model_kind: str
    """The config's kind, or `imported`."""
    verified: bool | None = None
    """The config's `verified`; None for imported runs."""
    item_columns: tuple[str, ...] = ()
    candidate_columns: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    status: Literal["started", "complete", "failed", "interrupted"] = "started"
    argv: tuple[str, ...] = ()
    config: Mapping[str, object] | None = None
    """The model config as passed."""
    resolved: Mapping[str, object] = field(default_factory=dict)
    """What it resolved to: commits, sha256s, tokenizer, template, engine."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Data source or imported file -> sha256."""
    packages: Mapping[str, str] = field(default_factory=dict)
    engine: str | None = None
    """How sequences were computed, with the reason; None: nothing scored yet."""
    device: str | None = None
    dtype: str | None = None
    seed: int | None = None
    limit: int | None = None
    """The largest `--limit` so far; None: all items were asked for."""
    counts: Counts = Counts()
    dropped: Mapping[str, int] = field(default_factory=dict)
    """What the source holds and the probe left out, counted by reason."""
    wall_seconds: float = 0.0
    """Summed over the calls that continued the run."""
    started: str | None = None
    """UTC, ISO 8601."""
    finished: str | None = None
    notes: tuple[str, ...] = ()
    """Warnings that a reader of the numbers must see."""
    schema_version: int = SCHEMA_VERSION

    @property
    def folder(self) -> Path:
        """The run's folder relative to the runs root."""
        probe = f"{self.probe}@{self.probe_version}"
        return Path(probe) / f"{self.model}@{self.fingerprint[:8]}"


def read_manifest(run: Path) -> Manifest:
    """Reads a run's manifest; status and counts are those of the files beside it.

    Raises:
        StoreError: As `read_run`.
    """
    manifest = _read_manifest(run)
    if manifest.status == "started" and not (run / "items.parquet").exists():
        return manifest
    return _as_it_is(run, manifest, read_items(run, ["item_id"]), read_scores(run))


def read_run(run: Path) -> tuple[Manifest, pa.Table, pa.Table]:
    """Manifest, items and scores of a run: `read_manifest` and both tables at once.

    Raises:
        StoreError: No manifest, one that is damaged or of another schema version, or
            as `read_items` and `read_scores`.
    """
    items, scores = read_items(run), read_scores(run)
    return _as_it_is(run, _read_manifest(run), items, scores), items, scores


def _as_it_is(
    run: Path, manifest: Manifest, items: pa.Table, scores: pa.Table
) -> Manifest:
    """The manifest with what its run holds now, whatever was noted at its end."""
    counts = count(items, scores, manifest.measures)
    manifest = dataclasses.replace(manifest, counts=counts)
    if counts.done == counts.expected > 0:
        manifest = dataclasses.replace(manifest, status="complete")
    elif manifest.status == "complete":
        manifest = dataclasses.replace(manifest, status="interrupted")
    if sums.read(run / DIGESTS) is None:
        notes = tuple(dict.fromkeys((*manifest.notes, UNVERIFIED)))
        manifest = dataclasses.replace(manifest, notes=notes)
    return manifest


def _read_manifest(run: Path) -> Manifest:
    """Reads a run's manifest as it was last written."""
    path = run / "manifest.json"
    try:
        if path.stat().st_size > _LARGEST_MANIFEST:
            raise _bad_manifest(path, f"has {path.stat().st_size:,} bytes")
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(
            f"{run} has no manifest.json",
            "A run is a folder that rm-probe score or import wrote",
            "Name a run folder such as runs/askreddit@1/MODEL@1a2b3c4d",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _bad_manifest(path, f"is not JSON ({str(error)[:80]})") from error
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror})",
            "A run's manifest is a readable file",
            "Mend its permissions, or move what is there",
        ) from error
    if not isinstance(data, dict):
        raise _bad_manifest(path, "is no JSON object")
    digest = data.pop("sha256", None)
    if digest is not None and digest != _digest_of(data):
        raise _bad_manifest(path, "is damaged: its content has another sha256")
    known = {f.name for f in dataclasses.fields(Manifest)}
    found = None
    if data.get("schema_version") != SCHEMA_VERSION:
        found = f"schema_version = {str(data.get('schema_version'))[:80]}"
    elif unknown := sorted(data.keys() - known):
        found = f"unknown key {unknown[0][:80]!r}"
    if found is not None and digest is not None:
        # Whole, and written by a version that knows more.
        raise StoreError(
            f"{path}: {found}",
            f"This version of rm-probe reads schema_version {SCHEMA_VERSION}",
            "Use the rm-probe version that wrote it, or score again",
        )
    if found is not None:
        raise _bad_manifest(path, f"is none of this version's: {found}")
    try:
        manifest = _manifest_type().validate_json(json.dumps(data), strict=True)
        numbers_of(manifest.measures)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise _bad_manifest(path, f"is damaged: {key}: {first['msg']}") from error
    except ValueError as error:
        raise _bad_manifest(path, f"is damaged: measures: {error}") from error
    return manifest


@functools.cache
def _manifest_type() -> pydantic.TypeAdapter[Manifest]:
    return pydantic.TypeAdapter(Manifest)


def _digest_of(data: Mapping[str, object]) -> str:
    """sha256 of a manifest without this key, however it is written."""
    return sums.sha256(json.dumps(data, sort_keys=True).encode())


def _bad_manifest(path: Path, found: str) -> DamagedError:
    return DamagedError(
        f"{path} {found}",
        "A manifest is the JSON object that rm-probe wrote, whole",
        "Restore it from a copy, or run the same rm-probe score or import command "
        "again: it writes the manifest anew and keeps every score",
    )


def read_items(run: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Items of a run: `ItemRow` columns and the probe's group columns.

    Args:
        run: The run folder.
        columns: Only these; None: all. `meta` comes dictionary-encoded: candidates of
            an item share one text, which may be long.

    Raises:
        StoreError: The file is missing or damaged.
    """
    path = run / "items.parquet"
    table = _read_parquet(path, run, columns, ["meta"])
    if columns is None and not set(_ITEM_FIELDS) <= set(table.column_names):
        raise DamagedError(
            f"{path} has columns {table.column_names}"[:300],
            f"Items have the columns {', '.join(_ITEM_FIELDS)}",
            _AGAIN,
        )
    return table


def read_scores(run: Path) -> pa.Table:
    """All score rows of a run, in the order they were written.

    Raises:
        StoreError: A part is damaged or holds rows of another run, or a row stands
            twice.
    """
    manifest = _read_manifest(run)
    return _together(run, [_read_part(one, run, manifest) for one in _live_parts(run)])


def _together(run: Path, tables: Sequence[pa.Table]) -> pa.Table:
    if not tables:
        return SCORE_SCHEMA.empty_table()
    table = pa.concat_tables(tables)
    keys = table.select(["item_id", "candidate_id", "measure"])
    distinct = keys.group_by(keys.column_names).aggregate([]).num_rows
    if distinct != table.num_rows:
        raise StoreError(
            f"{run / 'parts'} holds {table.num_rows - distinct} rows twice",
            "A run has one row per item, candidate and measure",
            "Remove the part that was copied in by hand",
        )
    return table


def find_runs(root: Path) -> list[Path]:
    """Run folders below `root`, sorted; `root` itself when it is a run.

    `root` may be the runs folder or the folder of one probe in it.
    """
    try:
        if (root / "manifest.json").is_file():
            return [root]
    except OSError:  # a name that no file can have, or a folder that may not be read
        return []
    found = {*root.glob("*@*/*@*/manifest.json"), *root.glob("*@*/manifest.json")}
    return sorted(path.parent for path in found)


def numbers_of(measures: Iterable[str]) -> tuple[Measure, ...]:
    """The measures that every candidate has a row of: all but texts."""
    return tuple(Measure(one) for one in measures if one != Measure.TEXT)


def count(items: pa.Table, scores: pa.Table, measures: Iterable[str]) -> Counts:
    """Counts everything a run holds.

    Args:
        items: From `read_items`, any columns.
        scores: From `read_scores`.
        measures: The manifest's.
    """
    is_text = pc.equal(scores["measure"], Measure.TEXT.value)
    texts, scores = scores.filter(is_text), scores.filter(pc.invert(is_text))
    n_measures = max(1, len(numbers_of(measures)))

    def pairs(condition: Callable[[pa.Table], pa.ChunkedArray]) -> int:
        """A candidate has a row for each measure, a generation has one."""
        of_scores, of_texts = (one.filter(condition(one)) for one in (scores, texts))
        return int(of_scores.num_rows // n_measures + of_texts.num_rows)

    return Counts(
        expected=items.num_rows,
        done=scores.num_rows // n_measures + texts.num_rows,
        unscored=(pc.sum(pc.is_nan(scores["score"])).as_py() or 0)
        + texts["text"].null_count,
        truncated=pairs(lambda one: pc.greater(one["truncated_tokens"], 0)),
    )


def has_scores(run: Path) -> bool:
    """Whether anything was stored before the run stopped."""
    return bool(_live_parts(run))


def _read_part(path: Path, run: Path, manifest: Manifest) -> pa.Table:
    table = _read_parquet(path, run)
    if table.schema != SCORE_SCHEMA:
        raise DamagedError(
            f"{path} has columns {table.column_names}"[:300],
            f"A part has columns {SCORE_SCHEMA.names}",
            _AGAIN,
        )
    for name in ("probe", "probe_version", "model", "fingerprint"):
        own = operator.attrgetter(name)(manifest)
        if foreign := set(pc.unique(table[name]).to_pylist()) - {own}:
            rows = pc.sum(pc.not_equal(table[name], own)).as_py()
            raise DamagedError(
                f"{path} holds {rows or table.num_rows:,} rows of {name} "
                f"{str(min(map(str, foreign)))[:80]}",
                f"The scores of this run are of {name} {own}",
                _AGAIN,
            )
    if unknown := set(pc.unique(table["measure"]).to_pylist()) - set(Measure):
        raise DamagedError(
            f"{path} holds the measure {str(unknown.pop())[:80]!r}",
            f"Measures are {', '.join(Measure)}",
            _AGAIN,
        )
    return table


def _read_parquet(
    path: Path,
    run: Path,
    columns: Sequence[str] | None = None,
    shared: Sequence[str] = (),
) -> pa.Table:
    digests = sums.read(run / DIGESTS)
    name = path.relative_to(run).as_posix()
    try:
        data = path.read_bytes()
        if digests is not None and sums.sha256(data) not in digests.get(name, ()):
            raise pa.ArrowInvalid(f"{DIGESTS} has another sha256")
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=shared)
        table = file.read(columns=columns)
        if digests is None:
            table.validate(full=True)
    except FileNotFoundError as error:
        raise DamagedError(
            f"{path} does not exist", "A run has this file", _AGAIN
        ) from error
    except PermissionError as error:
        raise StoreError(
            f"{path} may not be read", "A run's files are readable", "Mend its mode"
        ) from error
    # A KeyError: `shared` names a column that is not there.
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DamagedError(
            f"{path} is damaged or cut short ({str(error).splitlines()[0][:80]})",
            "A run's files are as they were written",
            _AGAIN,
        ) from error
    return table


_PART = re.compile(r"(part|merged)-(\d{6})\.parquet")


def _parts(run: Path) -> list[tuple[int, bool, Path]]:
    """(number, merged?, path) of all part files."""
    found = []
    for path in (run / "parts").glob("*.parquet"):
        if match := _PART.fullmatch(path.name):
            found.append((int(match[2]), match[1] == "merged", path))
    return sorted(found)


def _live_parts(run: Path) -> list[Path]:
    """Parts that count: a merged file stands for every part up to its number."""
    parts = _parts(run)
    merged = max((number for number, is_merged, _ in parts if is_merged), default=-1)
    return [
        path
        for number, is_merged, path in parts
        if number > merged or (is_merged and number == merged)
    ]


class RunFolder:
    """A run being written; one process at a time, guarded by a lock file.

    Use as a context manager: `RunFolder.open(...)` continues the run that is
    there or begins it.
    """

    def __init__(
        self, path: Path, manifest: Manifest, asked: Manifest, lock: TextIO
    ) -> None:
        """Use `open`."""
        self.path = path
        self.manifest = manifest
        self._asked = asked
        """What this call asks for, of which the run may hold more or other items."""
        self._lock = lock
        listed = sums.read(path / DIGESTS)
        self._digests = _digests_of(path) if listed is None else listed

    @classmethod
    def open(cls, root: Path, manifest: Manifest) -> Self:
        """Begins a run, or continues the one whose fingerprint is the same.

        Args:
            root: The runs folder; the run's own folder lies below it.
            manifest: What is about to run. When the run exists, its counts, notes,
                start and wall time are carried over.

        Raises:
            StoreError: The folder belongs to another fingerprint, or another
                process is writing it.
        """
        path = root / manifest.folder
        with _explained(path):
            (path / "parts").mkdir(parents=True, exist_ok=True)
            # The lock is held until `close`; a with-block would release it.
            lock = (path / ".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise StoreError(
                f"{path} is being written by another process",
                "One process writes a run at a time",
                "Wait for it, stop it, or score into another --runs folder",
            ) from error
        try:
            asked = manifest
            if (path / "manifest.json").exists():
                try:
                    manifest = cls._continued(path, _read_manifest(path), manifest)
                except DamagedError as error:
                    _set_aside(path / "manifest.json", error)
            for leftover in (*path.glob(".tmp-*"), *path.glob("parts/.tmp-*")):
                leftover.unlink()
            run = cls(path, manifest, asked, lock)
            run.save()
            run._list(run._digests)
        except BaseException:
            lock.close()
            raise
        return run

    @staticmethod
    def _continued(path: Path, before: Manifest, manifest: Manifest) -> Manifest:
        if before.fingerprint != manifest.fingerprint:
            raise StoreError(
                f"{path} holds fingerprint {before.fingerprint[:16]}..., "
                f"this run has {manifest.fingerprint[:16]}...",
                "A run folder holds scores of one model, template and scoring version",
                "Score into another --runs folder, or remove this one if it is stale",
            )
        for name in before.sources.keys() & manifest.sources.keys():
            if before.sources[name] != manifest.sources[name]:
                raise StoreError(
                    f"{path} was begun with {name} of sha256 "
                    f"{before.sources[name][:12]}..., which is now "
                    f"{manifest.sources[name][:12]}...",
                    "A run holds the items of one version of its data",
                    "Score into another --runs folder, or restore the earlier data",
                )
        notes = dict.fromkeys((*before.notes, *manifest.notes))
        if sums.read(path / DIGESTS) is None and _digests_of(path):
            notes[UNVERIFIED] = None
        # A smaller selection may ask for no generation; those stored stay.
        measures = dict.fromkeys((*before.measures, *manifest.measures))
        return dataclasses.replace(
            manifest,
            counts=before.counts,
            # Another language's file is a source more, not another source.
            sources={**before.sources, **manifest.sources},
            engine=before.engine,
            # Of this call only once it has loaded the model.
            device=manifest.device or before.device,
            # Those of the items that are stored, until `write_items` adds others.
            limit=before.limit,
            dropped=before.dropped,
            measures=tuple(measures),
            started=before.started,
            wall_seconds=before.wall_seconds,
            notes=tuple(notes),
        )

    def __enter__(self) -> Self:
        """Returns the run itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Releases the lock."""
        self.close()

    def close(self) -> None:
        """Releases the lock."""
        self._lock.close()

    def save(self, **changes: object) -> None:
        """Writes the manifest, with `changes` to its fields."""
        self.manifest = dataclasses.replace(self.manifest, **changes)  # type: ignore[arg-type]
        data = json.loads(
            json.dumps(dataclasses.asdict(self.manifest), allow_nan=False)
        )
        text = json.dumps({**data, "sha256": _digest_of(data)}, indent=1)
        self._write(
            self.path / "manifest.json", lambda tmp: tmp.write_text(text + "\n")
        )

    def finish(self, status: str, **changes: object) -> Counts:
        """Writes how far the run is, which may hold more than this call asked for."""
        self.save(status=status)
        found = read_manifest(self.path)
        self.save(status=found.status, counts=found.counts, finished=now(), **changes)
        return found.counts

    def write_items(self, rows: Sequence[ItemRow]) -> int:
        """Stores the items, merged with those already there.

        Returns:
            Number of item x candidate pairs the run now has.

        Raises:
            StoreError: An item already stored now has another text.
        """
        path = self.path / "items.parquet"
        limit, dropped = self._asked.limit, self._asked.dropped
        before: pa.Table | None = None
        stored: dict[tuple[str, str], str] = {}
        if path.exists():
            try:
                before = read_items(self.path)
            except DamagedError as error:
                self._set_aside(path, error)
        now = {(row.item_id, row.candidate_id): row.text_sha for row in rows}
        if before is not None:
            ids, candidates, digests = (
                before[name].to_pylist()
                for name in ("item_id", "candidate_id", "text_sha")
            )
            keys = list(zip(ids, candidates, strict=True))
            stored = dict(zip(keys, digests, strict=True))
            _refuse_changed_text(stored, now, path)
            limit, dropped = self._of_all_items(set(ids), {row.item_id for row in rows})
        if before is None or not (
            now.keys() <= stored.keys()
            and {row.meta for row in rows} <= set(pc.unique(before["meta"]).to_pylist())
        ):
            columns = (*self.manifest.item_columns, *self.manifest.candidate_columns)
            table = _items_table(rows, columns)
            if stored.keys() - now.keys():
                assert before is not None, "something is stored"
                kept = before.filter(pa.array([key not in now for key in keys]))
                table = pa.concat_tables(
                    [table, kept.select(table.column_names)],
                    promote_options="default",
                )
            # Beyond this limit every row would hold its item's whole meta.
            self._store(path, table, dictionary_pagesize_limit=2**27)
        self.save(limit=limit, dropped=dropped)
        return len(stored.keys() | now.keys())

    def _of_all_items(
        self, stored: Set[str], now: Set[str]
    ) -> tuple[int | None, Mapping[str, int]]:
        """Limit and dropped of the items stored and those of this call together.

        A call that asks for all of them tells it; one that asks for nothing new changes
        nothing. Else, as of another language, the run is a sample if either part is,
        and leaves out what both leave out; of parts that overlap, at least the more.
        """
        before, asked = self.manifest, self._asked
        if now >= stored:
            return asked.limit, asked.dropped
        if now <= stored:
            return before.limit, before.dropped
        limits = [one for one in (before.limit, asked.limit) if one is not None]
        together = sum if now.isdisjoint(stored) else max
        return max(limits, default=None), {
            reason: together(
                (before.dropped.get(reason, 0), asked.dropped.get(reason, 0))
            )
            for reason in dict.fromkeys((*before.dropped, *asked.dropped))
        }

    def done(self) -> set[Key]:
        """Keys of the rows already stored; a damaged part is set aside, loudly.

        Raises:
            StoreError: As `read_scores`.
        """
        tables: list[pa.Table] = []
        parts = _live_parts(self.path)
        damaged = False
        while len(tables) < len(parts):
            path = parts[len(tables)]
            try:
                tables.append(_read_part(path, self.path, self.manifest))
            except DamagedError as error:
                self._set_aside(path, error)
                # Parts that a damaged merged one stood for may still be there.
                tables, parts = [], _live_parts(self.path)
                damaged = True
        table = _together(self.path, tables)
        if damaged:
            items = read_items(self.path, ["item_id"])
            counts = count(items, table, self.manifest.measures)
            logger.warning(
                "%s: %s of %s pairs are scored anew, all others are kept",
                *(self.path, f"{counts.expected - counts.done:,}"),
                f"{counts.expected:,}",
            )
        table = table.select(["item_id", "candidate_id", "measure"])
        return set(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def _set_aside(self, path: Path, error: DamagedError) -> None:
        self._digests.pop(path.relative_to(self.path).as_posix(), None)
        _set_aside(path, error)

    def append(self, rows: Sequence[ScoreRow]) -> None:
        """Writes one part; it exists whole or not at all.

        Raises:
            StoreError: The disk is full or not writable; earlier parts are safe.
        """
        if not rows:
            return
        columns = {
            name: list(map(operator.attrgetter(name), rows))
            for name in SCORE_SCHEMA.names
        }
        table = pa.table(columns, schema=SCORE_SCHEMA)
        number = max((n for n, _, _ in _parts(self.path)), default=-1) + 1
        path = self.path / "parts" / f"part-{number:06d}.parquet"
        self._store(path, table)

    def compact(self) -> None:
        """Merges the parts into one file.

        The merged file carries the highest number it covers, and readers then
        ignore lower ones, so a kill at any moment loses and doubles nothing.
        """
        parts = _parts(self.path)
        if len(parts) > 1:
            table = read_scores(self.path)
            path = self.path / "parts" / f"merged-{parts[-1][0]:06d}.parquet"
            self._store(path, table)
            for _, _, old in parts:
                if old != path:
                    old.unlink()
                    self._digests.pop(old.relative_to(self.path).as_posix(), None)
            self._list(self._digests)

    def _store(self, path: Path, table: pa.Table, **options: int) -> None:
        """Writes a table, its sha256 first."""
        name = path.relative_to(self.path).as_posix()
        digests: set[str] = set()

        def write(tmp: Path) -> None:
            pq.write_table(table, tmp, compression="zstd", **options)
            digests.add(sums.sha256(tmp.read_bytes()))
            # A kill before the file has its name leaves the one before it.
            earlier = self._digests.get(name, set())
            self._list({**self._digests, name: earlier | digests})

        self._write(path, write)
        self._digests[name] = digests

    def _list(self, digests: sums.Sums) -> None:
        self._write(
            self.path / DIGESTS, lambda tmp: tmp.write_text(sums.text(digests), "utf-8")
        )

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        """Writes under a temporary name, flushes to disk, renames."""
        tmp = path.with_name(f".tmp-{os.getpid()}-{path.name}")
        with _explained(path):
            try:
                write(tmp)
                _sync(tmp)
                tmp.rename(path)
                _sync(path.parent)
            finally:
                tmp.unlink(missing_ok=True)


def _digests_of(run: Path) -> dict[str, set[str]]:
    """What the list of a run without one would say of its files that can be read."""
    found = {}
    for path in (run / "items.parquet", *_live_parts(run)):
        with contextlib.suppress(DamagedError):
            _read_parquet(path, run)
            found[path.relative_to(run).as_posix()] = {sums.sha256(path.read_bytes())}
    return found


def now() -> str:
    """As manifests have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _set_aside(path: Path, error: DamagedError) -> None:
    aside = path.with_name(f"{path.name}.damaged")
    with _explained(path):
        path.rename(aside)
    logger.warning("%s. It is now called %s", error.found, aside.name)


def _sync(path: Path) -> None:
    """Flushes a file, or a folder's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns an operating system error while writing into a `StoreError`."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if error.errno == errno.ENAMETOOLONG:
            raise StoreError(
                f"{path} could not be written ({reason})",
                "A run's folder is named after probe and model, in at most 255 bytes",
                "Give a shorter name: `name` in the model's config, --model of import, "
                "or the file's own",
            ) from error
        raise StoreError(
            f"{path} could not be written ({reason})",
            "The disk must have room" if full else "The folder must be writable",
            "Free some space and run the same command again: every row stored so far "
            "is kept"
            if full
            else "Choose another --runs folder, or mend its permissions",
        ) from error


def _items_table(rows: Sequence[ItemRow], columns: Iterable[str]) -> pa.Table:
    data: dict[str, pa.Array] = {}
    for name in _ITEM_FIELDS:
        values = list(map(operator.attrgetter(name), rows))
        if name == "meta":
            data[name] = _shared_texts(values)
        else:
            kind = pa.int32() if name == "n_chars" else pa.string()
            data[name] = pa.array(values, type=kind)
    for name in columns:
        data[name] = _group_array([row.groups.get(name) for row in rows], name)
    return pa.table(data)


def _shared_texts(values: Sequence[str]) -> pa.DictionaryArray:
    """Texts of which many rows share each, held once."""
    place = {text: i for i, text in enumerate(dict.fromkeys(values))}
    return pa.DictionaryArray.from_arrays(
        pa.array([place[text] for text in values], pa.int32()),
        pa.array(list(place), pa.string()),
    )


def _group_array(values: Sequence[GroupValue], name: str) -> pa.Array:
    if name in _ITEM_FIELDS or name in SCORE_SCHEMA.names:
        raise StoreError(
            f"group column '{name}' has the name of a stored column",
            "A group column's name must be its own",
            "Rename the column",
        )
    present = [value for value in values if value is not None]
    if not present:
        # Of no type yet: a larger selection of the same items may hold values.
        return pa.nulls(len(values))
    if all(isinstance(value, int | float) for value in present):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def _refuse_changed_text(
    before: Mapping[tuple[str, str], str],
    now: Mapping[tuple[str, str], str],
    path: Path,
) -> None:
    changed = [key for key, digest in now.items() if before.get(key, digest) != digest]
    if changed:
        raise StoreError(
            f"{path}: {len(changed)} items have other texts or groups now, first "
            f"{' / '.join(changed[0])}",
            "A run holds one version of each item",
            "Score into another --runs folder, or restore the data it was begun with",
        )
