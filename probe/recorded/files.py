"""What the readers of recorded files share: the result, the csv, checks of cells."""

from __future__ import annotations

import contextlib
import csv
import gc
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_builders import countries, tables
from probe.store import Manifest, now
from probe.types import DataError, Item, Measure, Probe

IMPORTER_VERSION = 1
"""Part of an imported run's fingerprint; changes when reading does."""

NO_SCORE = "no score in the recorded file"
NOT_THERE = "not in the recorded file"
TOKEN_COUNTS = ("n_prompt_tokens", "n_answer_tokens", "truncated_tokens")
"""Columns of a file in the long layout that are stored as a scored run's are."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A result file read into the terms of a run."""

    items: tuple[Item, ...]
    scores: tuple[float, ...]
    """One per item x candidate, in the items' order; NaN: there is none."""
    measure: Measure
    notes: tuple[str, ...]
    """What a reader of the numbers must know about the file."""
    item_columns: tuple[str, ...]
    candidate_columns: tuple[str, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    """Data that was read beside the file -> sha256."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """What of the file, or of that data, was left out, counted by reason."""
    missing: frozenset[int] = frozenset()
    """Places in `scores` that the file has no row for."""
    tokens: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    """Those of `TOKEN_COUNTS` that the file has, each as long as `scores`."""
    version: str | None = None
    """Of the probe whose own items these are; None: the file brings its own."""
    limit: int | None = None
    """As `Manifest.limit`."""

    @property
    def errors(self) -> tuple[str | None, ...]:
        """Why each of `scores` is none; None: it is one."""
        return tuple(
            None if score == score else NOT_THERE if place in self.missing else NO_SCORE
            for place, score in enumerate(self.scores)
        )

    def manifest(
        self,
        probe: Probe,
        files: Mapping[str, tuple[Path, str]],
        *,
        model: str,
        argv: Sequence[str] = (),
    ) -> Manifest:
        """The manifest of the run that one file, or several together, become.

        Args:
            probe: The benchmark the scores belong to.
            files: Name of a group -> its file and the sha256 of the file's bytes; that
                of a file alone is empty.
            model: Label for the model.
            argv: The command line.
        """
        names = {group: file.name for group, (file, _) in files.items()}
        whole = "\n".join(
            f"{group}={digest}" if group else digest
            for group, (_, digest) in files.items()
        )
        whole = f"{IMPORTER_VERSION}:{whole}"
        if self.version is not None:
            whole += f"\n{self.version}, limit {self.limit}"
        return Manifest(
            probe=probe.name,
            # The questions and candidates of this version; where their wording is the
            # publisher's own, the notes say so.
            probe_version=self.version or probe.version,
            title=probe.title,
            axis=probe.axis,
            model=model,
            fingerprint=hashlib.sha256(whole.encode()).hexdigest(),
            kind="imported",
            model_kind="imported",
            item_columns=self.item_columns,
            candidate_columns=self.candidate_columns,
            measures=(self.measure.value,),
            argv=tuple(argv),
            resolved={
                **({"file": names[""]} if "" in names else {"files": names}),
                "importer_version": IMPORTER_VERSION,
            },
            sources={
                # Files of several folders may share a name.
                f"{group}={file.name}" if group else file.name: digest
                for group, (file, digest) in files.items()
            }
            | dict(self.sources),
            dropped=self.dropped,
            limit=self.limit,
            started=now(),
            notes=self.notes,
        )

    def frame(self) -> pd.DataFrame:
        """The rows as the run's analysis reads them, without storing the run.

        Returns:
            One row per item x candidate: what `analysis.load.load_run` makes of the
            stored run, to the last bit.
        """
        sizes = [len(item.candidates) for item in self.items]
        candidates = [one for item in self.items for one in item.candidates]
        prompts = [
            next(m.content for m in reversed(item.messages) if m.role == "user")
            for item in self.items
        ]
        answers = [one.answer for one in candidates]
        columns = {
            "item_id": _texts(np.repeat([item.id for item in self.items], sizes)),
            "candidate_id": _texts([one.id for one in candidates]),
            "prompt": _texts(np.repeat(np.array(prompts, object), sizes)),
            "answer": _texts(answers),
            "n_chars": np.fromiter(map(len, answers), np.int32, len(answers)),
        }
        for name in self.item_columns:
            of_items = np.array([item.groups.get(name) for item in self.items], object)
            columns[name] = _groups(np.repeat(of_items, sizes))
        for name in self.candidate_columns:
            columns[name] = _groups([one.groups.get(name) for one in candidates])
        columns["score"] = np.array(self.scores, dtype=np.float64)
        for name in TOKEN_COUNTS:
            columns[name] = np.full(len(candidates), np.nan)
        columns["error"] = pd.Series(self.errors, dtype=object).fillna(np.nan)
        frame = pd.DataFrame(columns)
        frame["measure"] = self.measure.value
        return frame


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without the cyclic garbage collector.

    A file becomes several hundred thousand objects that all live and form no cycle;
    walking them again and again takes a third of the time.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _texts(values: Sequence[object] | np.ndarray) -> pd.Series:
    return pd.Series(values, dtype="str")


def _groups(values: Sequence[object] | np.ndarray) -> pd.Series:
    """A group column as `probe.store` types it: numbers, texts, or nothing at all."""
    present = [value for value in values if value is not None]
    if not present:
        return pd.Series(values, dtype=object)
    if all(isinstance(value, int | float) for value in present):
        return pd.Series(values, dtype=np.float64)
    return _texts([None if value is None else str(value) for value in values])


def read_rows(file: Path) -> tuple[pd.DataFrame, str]:
    """As `read_csv`, of a jsonl too: null is an empty cell.

    Raises:
        DataError: As `read_csv`, or as `tables.read`.
    """
    if file.suffix != ".jsonl":
        return read_csv(file)
    table = tables.read(file)
    cells = {
        name: [_cell(line.values[name]) for line in table.lines]
        for name in table.columns
    }
    return pd.DataFrame(cells, dtype="str"), table.sha


def _cell(value: object) -> str:
    """A value of a jsonl as it would stand in a csv."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def read_csv(file: Path) -> tuple[pd.DataFrame, str]:
    """Reads every cell as text; the index is the file's line count of each row.

    Returns:
        The rows, and the sha256 of the file's bytes.

    Raises:
        DataError: The file is missing, not UTF-8, empty, or not a csv.
    """
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        frame = pd.read_csv(
            file, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(
            f"{file} is no file",
            "import reads one csv of recorded scores",
            "Check the path",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 (byte {error.start})",
            "A csv of recorded scores is UTF-8 text",
            "Re-save it as UTF-8",
        ) from error
    except pd.errors.EmptyDataError as error:
        raise DataError(
            f"{file} is empty",
            "A csv of recorded scores has a header and at least one row",
            "Check that the file was written completely",
        ) from error
    except pd.errors.ParserError as error:
        raise DataError(
            f"{file} is not a csv: {' '.join(str(error).split())}",
            "Every row has as many fields as the header, separated by commas",
            "Mend that line of the file",
        ) from error
    _check_header(frame, file)
    if frame.empty:
        raise DataError(
            f"{file} has a header and no rows",
            "A csv of recorded scores has at least one row",
            "Check that the file was written completely",
        )
    return frame, digest


def _check_header(frame: pd.DataFrame, file: Path) -> None:
    """Checks what pandas reads without a word: a header that does not fit the rows."""
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(
            f"{file}: the rows have more cells than the header",
            "Every row has as many fields as the header, separated by commas",
            "Name the last columns in the header, or remove commas at the lines' ends",
        )
    # As it stands: pandas calls a second column of a name otherwise.
    tables.allow_cells(file.stat().st_size)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream), [])
    tables.check_separator(header, file)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(
            f"{file}, line 1: column {', '.join(map(repr, twice))} stands twice",
            "Each column has its own name",
            "Rename or remove one of them",
        )


def need(
    frame: pd.DataFrame, names: Sequence[str], file: Path, otherwise: str = ""
) -> None:
    """Checks that the columns are there; `otherwise`: what else may be meant.

    Raises:
        DataError: One is not.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(
            f"{file} has no column '{missing[0]}'",
            f"This layout needs the columns {', '.join(names)}{otherwise}",
            f"Rename or add it; the file has {_some(list(map(str, frame.columns)))}",
        )


def _some(columns: Sequence[str], most: int = 12) -> str:
    more = len(columns) - most
    shown = ", ".join(map(str, columns[:most]))
    return f"{shown} and {more} more" if more > 0 else shown


def empty(cells: pd.DataFrame) -> NDArray[np.bool_]:
    """Which cells hold nothing, or say NaN: there is no score."""
    texts = cells.apply(lambda column: column.str.strip().str.casefold())
    return texts.isin(("", "nan")).to_numpy(dtype=np.bool_)


def numbers(frame: pd.DataFrame, columns: Sequence[str], file: Path) -> pd.DataFrame:
    """The columns as float64; NaN where a cell is `empty`.

    Raises:
        DataError: A cell is neither empty nor a finite number; the first is named.
    """
    cells = frame[list(columns)]
    values = cells.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    wrong = ~(np.isfinite(values.to_numpy()) | empty(cells))
    count = int(wrong.sum())
    if count:
        row = int(wrong.any(axis=1).argmax())
        column = str(values.columns[wrong[row].argmax()])
        raise DataError(
            f"{file}, data row {row + 1}, column '{column}': "
            f"{frame.iloc[row][column]!r} is no finite number ({count} such cells)",
            "Every recorded score is a number; an empty cell is a score that is not "
            "there",
            "Mend the cells, or leave them empty",
        )
    return values


def none_wrong(
    cells: pd.Series, wrong: pd.Series, file: Path, expected: str, action: str
) -> None:
    """Checks that no cell of a column is wrong.

    Raises:
        DataError: One is; its row is named.
    """
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise DataError(
            f"{file}, data row {row + 1}, column '{cells.name}': "
            f"{cells.iloc[row]!r} ({int(wrong.sum())} such cells)",
            expected,
            action,
        )


def no_twice(keys: pd.Series, what: str, file: Path) -> None:
    """Checks that no key is repeated.

    Raises:
        DataError: One is; its row is named.
    """
    twice = keys.duplicated()
    if twice.any():
        row = int(twice.to_numpy().argmax())
        raise DataError(
            f"{file}, data row {row + 1}: {what} stands twice: {keys.iloc[row]!r} "
            f"({int(twice.sum())} repeated rows)",
            "Each item and candidate has one score",
            "Remove the repeated rows",
        )


def country(
    name: str,
    file: Path,
    where: str,
    find: Callable[[str], countries.Country] = countries.resolve,
    otherwise: str = "",
) -> countries.Country:
    """The country a label names; `otherwise`: what else may be done about another.

    Raises:
        DataError: Nobody knows it; with the file and `where` in it.
    """
    try:
        return find(name)
    except DataError as error:
        raise DataError(
            f"{file}, {where}: {error.found}",
            error.expected,
            f"{error.action}{otherwise}",
        ) from error


def token_counts(frame: pd.DataFrame, file: Path) -> dict[str, list[int | None]]:
    """Those of `TOKEN_COUNTS` that the file has; None where a cell is empty.

    Raises:
        DataError: A cell is neither empty nor a whole number from 0 on.
    """
    names = [name for name in TOKEN_COUNTS if name in frame.columns]
    found = {}
    for name in names:
        values = numbers(frame, [name], file)[name]
        none_wrong(
            frame[name],
            (values < 0) | (values % 1 > 0),
            file,
            "A number of tokens is a whole number",
            "Mend the cell, or leave the column out",
        )
        found[name] = [None if one != one else int(one) for one in values.tolist()]
    return found


def one_value(frame: pd.DataFrame, column: str, file: Path) -> str:
    """The value that a column has in every row.

    Raises:
        DataError: It has several.
    """
    values = frame[column].unique()
    if len(values) != 1:
        raise DataError(
            f"{file}, column '{column}' has {len(values)} values: "
            f"{', '.join(map(repr, values[:3]))}",
            "One imported run is one model and one setting",
            "Split the file by this column and import each part",
        )
    return str(values[0])


def measure(frame: pd.DataFrame, file: Path) -> Measure:
    """What the scores of a file measure: its column `measure`, else rewards.

    Raises:
        DataError: The column has several values, or one that is no measure of scores.
    """
    if "measure" not in frame.columns:
        return Measure.REWARD
    name = one_value(frame, "measure", file)
    if name not in set(Measure) - {Measure.TEXT}:
        raise DataError(
            f"{file}: measure = {name!r}",
            "A measure is one of reward, logprob_sum, logprob_mean, implicit_reward",
            "Mend the column; larger scores must mean more preferred",
        )
    return Measure(name)
