"""The published outputs of Ryan, Held and Yang (2024), found in their own layout.

A copy of github.com/SALT-NLP/unintended-impacts-of-alignment may be whole or a part:
files are found by folder and ending, and each file says in a column, its name or its
folder's name whose outputs it holds. What another benchmark adds is one more `Shelf`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data_builders import askreddit
from data_builders.tydiqa_passages import Question
from probe.recorded import files, md3, opinions, read, tydiqa
from probe.store import Manifest
from probe.types import DataError, Measure, Probe

logger = logging.getLogger(__name__)

URL = "https://github.com/SALT-NLP/unintended-impacts-of-alignment"


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A folder of the repository whose files have one layout."""

    folder: str
    ending: str
    """Files whose names end so; the rest of the folder is not read."""
    column: str | None
    """Column with the model's hub id or name; None: the name of the file, or of a
    folder, is the label."""
    inside: str = ""
    """Folders between `folder` and the files, as a pattern; empty: none."""
    probe: Probe | None = None
    """The benchmark, where the files are read as runs."""

    @property
    def pattern(self) -> str:
        """The files, as a pattern below the root."""
        return f"{self.folder}/{self.inside}*{self.ending}"


RUNS = (
    Shelf(
        folder="outputs/ask-reddit-perplexity-testing",
        ending=".csv",
        column="model",
        probe=askreddit.PROBE,
    ),
    Shelf(
        folder="outputs/ask-reddit-reward-testing",
        ending=".csv",
        column="reward_model",
        probe=askreddit.PROBE,
    ),
)
"""What is read as runs, in the order in which runs are listed."""
SIMILARITIES = Shelf(
    folder="outputs/globalopinionsqa", ending=".csv", column="model_id"
)
GAMES = Shelf(folder="outputs/md3-game", ending=".csv", column="model")
LANGUAGES = Shelf(folder="results/5_langid", ending="-languages-count.csv", column=None)
ANSWERS = Shelf(
    folder=tydiqa.FOLDER, inside=f"*/{tydiqa.SETTING}/", ending=".json", column=None
)
SHELVES = (*RUNS, SIMILARITIES, GAMES, LANGUAGES, ANSWERS)


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A file read as the run that `import_file` would store."""

    path: Path
    manifest: Manifest
    measure: Measure
    frame: pd.DataFrame
    """As `files.Recorded.frame`."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result files of a copy of the repository; nothing of them is read yet."""

    root: Path
    paths: Mapping[Shelf, tuple[Path, ...]]
    """Sorted by name; a shelf without files has an empty tuple."""

    @property
    def n_runs(self) -> int:
        """Number of files that `runs` will read."""
        return sum(len(self.paths[shelf]) for shelf in RUNS)

    def runs(self) -> Iterator[RecordedRun]:
        """Reads the files of scores, one run each, labelled by the model's name.

        Raises:
            DataError: A file is not as its layout must be, or two are of one model.
        """
        for shelf in RUNS:
            assert shelf.probe is not None
            for path, model, frame, digest in self._read(shelf):
                with files.uncollected():
                    recorded = read(frame, shelf.probe, path)
                    rows = recorded.frame()
                yield RecordedRun(
                    path=path,
                    manifest=recorded.manifest(
                        shelf.probe, {"": (path, digest)}, model=model
                    ),
                    measure=recorded.measure,
                    frame=rows,
                )

    def similarities(self, keys: Sequence[str]) -> pd.DataFrame:
        """GlobalOpinionQA: the questions that all the countries were asked.

        Returns:
            A row per model and question: `model`, `file` (below the root) and a column
            per key, as `opinions.similarities`.

        Raises:
            DataError: As `runs`.
        """
        found = [
            self._of(opinions.similarities(frame, keys, path), path, model)
            for path, model, frame, _ in self._read(SIMILARITIES)
        ]
        return _stacked(found, ("model", "file", *keys))

    def games(self) -> pd.DataFrame:
        """MD3: what each policy guessed and chose in each game.

        Returns:
            A row per model and game: `model`, `file` (below the root) and the columns
            of `md3.read`.

        Raises:
            DataError: As `runs`.
        """
        found = [
            self._of(md3.read(frame, path), path, model)
            for path, model, frame, _ in self._read(GAMES)
        ]
        return _stacked(found, ("model", "file", *md3.COLUMNS))

    @property
    def has_answers(self) -> bool:
        """Whether there are files for `answers` to read."""
        return bool(self.paths[ANSWERS])

    def answers(self, gold: Sequence[Question]) -> pd.DataFrame:
        """TyDiQA: what each policy answered to each question.

        Args:
            gold: The questions with their reference answers; of a language without
                any, the rows are without references.

        Returns:
            A row per model and question: `model`, `file` (below the root) and the
            columns of `tydiqa.read`.

        Raises:
            DataError: As `runs`.
        """
        if others := tydiqa.not_read(self.root):
            logger.warning(
                "%s: not read: %s; the paper's figure is of %s",
                self.root / ANSWERS.folder,
                ", ".join(others),
                tydiqa.SETTING,
            )
        questions = tydiqa.by_language(gold)
        folders: dict[str, Path] = {}
        found = []
        for path in self.paths[ANSWERS]:
            folder = self.root / ANSWERS.folder
            folder /= path.relative_to(folder).parts[0]
            model = tydiqa.label(folder.name)
            if folders.setdefault(model, folder) != folder:
                raise _both(folders[model], folder, model)
            found.append(self._of(tydiqa.read(path, questions), path, model))
        return _stacked(found, ("model", "file", *tydiqa.COLUMNS))

    def languages(self) -> pd.DataFrame:
        """Texts of each training set by language, as two detectors agreed.

        Returns:
            A row per data set and language: `model` (the data set's name), `file`,
            `language` and `count`; English is called `en`.

        Raises:
            DataError: As `runs`.
        """
        found = []
        for path, model, frame, _ in self._read(LANGUAGES):
            if frame.shape[1] != 2:
                raise DataError(
                    f"{path} has {frame.shape[1]} columns",
                    "A file of language counts has two: language and number of texts",
                    f"Take it from {URL}",
                )
            language, count = frame.columns
            files.no_twice(frame[language], "a language", path)
            counts = files.numbers(frame, [count], path)[count]
            if (counts < 0).any() or not (counts.isna() | (counts > 0)).any():
                raise DataError(
                    f"{path}, column '{count}' has a negative number, or only zeros",
                    "A count of texts is 0 or more, and some language has texts",
                    f"Take it from {URL}",
                )
            columns = {"language": frame[language], "count": counts.astype(np.float64)}
            found.append(self._of(pd.DataFrame(columns), path, model))
        return _stacked(found, ("model", "file", "language", "count"))

    def _of(self, frame: pd.DataFrame, path: Path, model: str) -> pd.DataFrame:
        """Rows with the file that they are of."""
        return frame.assign(model=model, file=path.relative_to(self.root).as_posix())

    def _read(self, shelf: Shelf) -> Iterator[tuple[Path, str, pd.DataFrame, str]]:
        """Each file with its model's label, cells and sha256."""
        seen: dict[str, Path] = {}
        for path in self.paths[shelf]:
            frame, digest = files.read_csv(path)
            if shelf.column is None:
                model = path.name.removesuffix(shelf.ending)
            else:
                files.need(frame, [shelf.column], path)
                model = files.one_value(frame, shelf.column, path).rpartition("/")[-1]
            if model in seen:
                raise _both(seen[model], path, model)
            seen[model] = path
            yield path, model, frame, digest


def find(root: Path) -> Found:
    """Finds the result files of a copy of the repository.

    Args:
        root: The copy's root, the folder that holds `outputs` and `results`.

    Raises:
        DataError: There is no such folder, or it has none of the files.
    """
    if not root.is_dir():
        raise DataError(
            f"{root} is not a folder",
            "--recorded names a copy of the authors' repository",
            f"Check the path, or get the copy: git clone {URL}",
        )
    found = Found(
        root=root,
        paths={shelf: tuple(sorted(root.glob(shelf.pattern))) for shelf in SHELVES},
    )
    if not any(found.paths.values()):
        looked = ", ".join(shelf.pattern for shelf in SHELVES)
        raise DataError(
            f"{root} holds none of the authors' result files; looked for {looked}",
            "--recorded names the root of a copy of the authors' repository, or of a "
            "part of it in the same folders",
            f"Check the path, or get the copy: git clone {URL}",
        )
    return found


def _both(one: Path, other: Path, model: str) -> DataError:
    """That two files or folders are of one model."""
    return DataError(
        f"{one} and {other} are both of {model}",
        "A model has one file of results in a folder",
        "Remove the one that is not meant",
    )


def _stacked(found: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    if not found:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(found, ignore_index=True)[list(columns)]
