"""Run folders: the only place that writes scores, and the place that reads them.

A run is ``<runs>/<probe>@<version>/<model>@<fingerprint[:8]>/`` with

- ``manifest.json``: what was run, on what, with which result (`Manifest`);
- ``items.parquet``: every item x candidate with its group columns, before scoring;
- ``parts/*.parquet``: score rows, appended in whole files.

Every file is written under a temporary name, flushed to disk and renamed, so a
killed process leaves whole files only. Continuing a run is an anti-join on
(item_id, candidate_id, measure).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from probe.types import GroupValue, ItemRow, Measure, ScoreRow, StoreError

SCHEMA_VERSION = 1

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
    """Reads a run's manifest; of a run that has not ended, what it holds is counted.

    Raises:
        StoreError: No manifest, not JSON, or of another schema version; or, of a run
            that has not ended, as `count`.
    """
    manifest = _read_manifest(run)
    if manifest.status == "started" and (run / "items.parquet").is_file():
        # Counts are written at the end, and this run has not come to one.
        return dataclasses.replace(manifest, counts=count(run, manifest.measures))
    return manifest


def _read_manifest(run: Path) -> Manifest:
    """Reads a run's manifest as it was last written."""
    path = run / "manifest.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(
            f"{run} has no manifest.json",
            "A run is a folder that rm-probe score or import wrote",
            "Name a run folder such as runs/askreddit@1/MODEL@1a2b3c4d",
        ) from error
    except json.JSONDecodeError as error:
        raise StoreError(
            f"{path} is not JSON ({error})",
            "A manifest is written whole or not at all",
            "Restore it from a copy, or score into another --runs folder",
        ) from error
    if data.get("schema_version") != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema_version = {data.get('schema_version')!r}",
            f"This version of rm-probe reads schema_version {SCHEMA_VERSION}",
            "Use the rm-probe version that wrote it, or score again",
        )
    known = {f.name for f in dataclasses.fields(Manifest)}
    if unknown := sorted(set(data) - known):
        raise StoreError(
            f"{path}: unknown key {unknown[0]!r}",
            f"A manifest of schema {SCHEMA_VERSION} has no such key",
            "Use the rm-probe version that wrote it, or score again",
        )
    for key, value in data.items():
        if isinstance(value, list):
            data[key] = tuple(value)
    data["counts"] = Counts(**data.get("counts", {}))
    return Manifest(**data)


def read_items(run: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Items of a run: `ItemRow` columns and the probe's group columns.

    Args:
        run: The run folder.
        columns: Only these; None: all. `meta` comes dictionary-encoded: candidates of
            an item share one text, which may be long.

    Raises:
        StoreError: The file is missing or damaged.
    """
    return _read_parquet(
        run / "items.parquet",
        "Run the same rm-probe score command again: it writes the items anew",
        columns,
    )


def read_scores(run: Path) -> pa.Table:
    """All score rows of a run, in the order they were written.

    Raises:
        StoreError: A part is damaged, or a row stands twice.
    """
    tables = [_read_part(path) for path in _live_parts(run)]
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
    if (root / "manifest.json").is_file():
        return [root]
    found = {*root.glob("*@*/*@*/manifest.json"), *root.glob("*@*/manifest.json")}
    return sorted(path.parent for path in found)


def numbers_of(measures: Iterable[str]) -> tuple[Measure, ...]:
    """The measures that every candidate has a row of: all but texts."""
    return tuple(Measure(one) for one in measures if one != Measure.TEXT)


def count(run: Path, measures: Iterable[str]) -> Counts:
    """Counts everything a run holds.

    Args:
        run: The run folder.
        measures: The manifest's.

    Raises:
        StoreError: As `read_items` and `read_scores`.
    """
    table = read_scores(run)
    is_text = pc.equal(table["measure"], Measure.TEXT.value)
    texts, scores = table.filter(is_text), table.filter(pc.invert(is_text))
    n_measures = max(1, len(numbers_of(measures)))

    def pairs(condition: Callable[[pa.Table], pa.ChunkedArray]) -> int:
        """A candidate has a row for each measure, a generation has one."""
        of_scores, of_texts = (one.filter(condition(one)) for one in (scores, texts))
        return int(of_scores.num_rows // n_measures + of_texts.num_rows)

    return Counts(
        expected=read_items(run, ["item_id"]).num_rows,
        done=scores.num_rows // n_measures + texts.num_rows,
        unscored=(pc.sum(pc.is_nan(scores["score"])).as_py() or 0)
        + texts["text"].null_count,
        truncated=pairs(lambda one: pc.greater(one["truncated_tokens"], 0)),
    )


def has_scores(run: Path) -> bool:
    """Whether anything was stored before the run stopped."""
    return bool(_live_parts(run))


def _read_part(path: Path) -> pa.Table:
    table = _read_parquet(
        path,
        "Delete that file and run the same command again: its rows are scored anew, "
        "all other parts are kept",
    )
    if table.schema != SCORE_SCHEMA:
        raise StoreError(
            f"{path} has columns {table.column_names}",
            f"A part has columns {SCORE_SCHEMA.names}",
            "Remove the file: rm-probe did not write it",
        )
    return table


def _read_parquet(
    path: Path, action: str, columns: Sequence[str] | None = None
) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, read_dictionary=["meta"])
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} does not exist", "A run has this file", action
        ) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(
            f"{path} is damaged or cut short",
            "A run's files are whole parquet files",
            action,
        ) from error


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
                manifest = cls._continued(path, manifest)
            for leftover in (*path.glob(".tmp-*"), *path.glob("parts/.tmp-*")):
                leftover.unlink()
            run = cls(path, manifest, asked, lock)
            run.save()
        except BaseException:
            lock.close()
            raise
        return run

    @staticmethod
    def _continued(path: Path, manifest: Manifest) -> Manifest:
        before = _read_manifest(path)
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
        # A smaller selection may ask for no generation; those stored stay.
        measures = dict.fromkeys((*before.measures, *manifest.measures))
        return dataclasses.replace(
            manifest,
            counts=before.counts,
            # Another language's file is a source more, not another source.
            sources={**before.sources, **manifest.sources},
            engine=before.engine,
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
        text = json.dumps(dataclasses.asdict(self.manifest), indent=1, allow_nan=False)
        self._write(
            self.path / "manifest.json", lambda tmp: tmp.write_text(text + "\n")
        )

    def write_items(self, rows: Sequence[ItemRow]) -> int:
        """Stores the items, merged with those already there.

        Returns:
            Number of item x candidate pairs the run now has.

        Raises:
            StoreError: An item already stored now has another text.
        """
        columns = (*self.manifest.item_columns, *self.manifest.candidate_columns)
        table = _items_table(rows, columns)
        path = self.path / "items.parquet"
        limit, dropped = self._asked.limit, self._asked.dropped
        if path.exists():
            before = read_items(self.path)
            _refuse_changed_text(before, table, path)
            ids = before["item_id"].to_pylist()
            limit, dropped = self._of_all_items(set(ids), {row.item_id for row in rows})
            now = {(row.item_id, row.candidate_id) for row in rows}
            stored = zip(ids, before["candidate_id"].to_pylist(), strict=True)
            kept = before.filter(pa.array([key not in now for key in stored]))
            if kept.num_rows:
                table = pa.concat_tables(
                    [table, kept.select(table.column_names)],
                    promote_options="default",
                )
        self._write(
            path,
            lambda tmp: pq.write_table(
                table,
                tmp,
                compression="zstd",
                # Beyond it every row would hold its item's whole meta.
                dictionary_pagesize_limit=2**27,
            ),
        )
        self.save(limit=limit, dropped=dropped)
        return table.num_rows

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
        """Keys of the rows already stored.

        Raises:
            StoreError: As `read_scores`.
        """
        table = read_scores(self.path).select(["item_id", "candidate_id", "measure"])
        return set(zip(*(column.to_pylist() for column in table.columns), strict=True))

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
        self._write(path, lambda tmp: pq.write_table(table, tmp, compression="zstd"))

    def compact(self) -> None:
        """Merges the parts into one file.

        The merged file carries the highest number it covers, and readers then
        ignore lower ones, so a kill at any moment loses and doubles nothing.
        """
        parts = _parts(self.path)
        if len(parts) > 1:
            table = read_scores(self.path)
            path = self.path / "parts" / f"merged-{parts[-1][0]:06d}.parquet"
            self._write(
                path, lambda tmp: pq.write_table(table, tmp, compression="zstd")
            )
            for _, _, old in parts:
                if old != path:
                    old.unlink()

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


def _refuse_changed_text(before: pa.Table, now: pa.Table, path: Path) -> None:
    keys = ["item_id", "candidate_id"]
    both = before.select([*keys, "text_sha"]).join(
        now.select([*keys, "text_sha"]), keys, join_type="inner", right_suffix="_now"
    )
    changed = both.filter(pc.not_equal(both["text_sha"], both["text_sha_now"]))
    if changed.num_rows:
        first = changed.slice(0, 1).to_pylist()[0]
        raise StoreError(
            f"{path}: {changed.num_rows} items have other texts or groups now, first "
            f"{first['item_id']} / {first['candidate_id']}",
            "A run holds one version of each item",
            "Score into another --runs folder, or restore the data it was begun with",
        )
