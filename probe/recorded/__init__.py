"""Other people's published result files become runs with the same two files.

Five layouts are read, told apart by their columns:

- wide rewards or NLL, a row per question and a column per country, as published by
  Ryan, Held and Yang (2024) in `outputs/ask-reddit-reward-testing` and
  `outputs/ask-reddit-perplexity-testing`;
- their `where_from` rewards, a row per country;
- their GlobalOpinionQA answers, a row per question with the options' probabilities;
- long: `item_id`, `candidate_id` or `country`, `score`: scores of the probe's own items
  (`joined`); or, with group columns of its own, of items that the file brings;
- of the same content in several dialects (`pairs`): `item`, `dialect`, `score`; or
  RewardBench's result files, one per dialect, which together become one run.

An empty or NaN cell is a row without a score; it is stored as one, and counted.
Scores are stored so that larger means more preferred: a recorded mean token NLL
becomes a `logprob_mean` with its sign turned, a probability its logarithm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from probe.config import NAME_PATTERN
from probe.recorded import joined, layouts, opinions, pairs
from probe.recorded.files import (
    IMPORTER_VERSION,
    TOKEN_COUNTS,
    Recorded,
    read_rows,
    uncollected,
)
from probe.recorded.joined import WHOLE, Asked
from probe.store import Manifest, RunFolder
from probe.types import DataError, ItemRow, Probe, ScoreRow, UsageError

if TYPE_CHECKING:
    from probe.score import RunResult

__all__ = [
    "IMPORTER_VERSION",
    "Asked",
    "Recorded",
    "import_file",
    "import_groups",
    "read",
]


def import_file(
    probe: Probe,
    file: Path,
    *,
    model: str,
    root: Path,
    asked: Asked = WHOLE,
    argv: Sequence[str] = (),
) -> RunResult:
    """Stores a result file as a run of `kind: imported`.

    Args:
        probe: The benchmark the scores belong to.
        file: A csv, or jsonl, in one of the layouts above.
        model: Label for the model; the file's own model name goes into the notes.
        root: The runs folder.
        asked: Which of the probe's items, and where its data lies.
        argv: The command line, for the manifest.

    Returns:
        The run's folder and counts.

    Raises:
        DataError: The file is missing, not a csv, lacks columns, or has a value that
            is not a number, a row that stands twice, an id or a country nobody knows;
            the message names file, row and column. Nothing is written then.
        UsageError: `model` cannot be part of a folder's name, or items are chosen and
            the file brings its own.
        StoreError: The run folder cannot be written.
    """
    _check_label(model)
    if file.suffix == ".json":
        raise DataError(
            f"{file} is neither csv nor jsonl",
            "A file of recorded scores has a row for each; RewardBench's result files, "
            "one for each dialect, are named with it",
            "Convert it, or name the dialects: standard=A.json aal=B.json",
        )
    frame, digest = read_rows(file)
    with uncollected():
        recorded = read(frame, probe, file, asked)
    manifest = recorded.manifest(probe, {"": (file, digest)}, model=model, argv=argv)
    return _store(recorded, manifest, root)


def import_groups(
    probe: Probe,
    groups: Mapping[str, Path],
    *,
    model: str,
    root: Path,
    argv: Sequence[str] = (),
) -> RunResult:
    """Stores result files of the same rows in several dialects as one run.

    Args:
        probe: One that compares dialects.
        groups: Dialect -> RewardBench's result file, at least two; the first is what
            the others are compared with.
        model: As `import_file`, like the rest.
        root: See there.
        argv: See there.

    Raises:
        DataError: A file is missing or no such file, or the files do not match; the
            message names file and row. Nothing is written then.
        UsageError: Fewer than two groups, a probe without dialects; or as there.
        StoreError: The run folder cannot be written.
    """
    _check_label(model)
    if not pairs.compares_dialects(probe):
        raise UsageError(
            f"GROUP=FILE is given, and probe {probe.name} does not compare dialects",
            "Files of groups are scores of the same rows in several dialects",
            "Name the probe dialect_pairs, or leave GROUP= away",
        )
    with uncollected():
        recorded, digests = pairs.read_groups(groups)
    located = {group: (file, digests[group]) for group, file in groups.items()}
    manifest = recorded.manifest(probe, located, model=model, argv=argv)
    return _store(recorded, manifest, root)


def _check_label(model: str) -> None:
    if not re.fullmatch(NAME_PATTERN, model):
        raise UsageError(
            f"--model {model!r} cannot name a run's folder",
            "A model's label has letters, digits, '.', '_' and '-' only",
            "Choose another label",
        )


def _store(recorded: Recorded, manifest: Manifest, root: Path) -> RunResult:
    # Imported here: reading a file must not cost the start of the scoring engine.
    from probe.score import RunResult, item_rows

    with uncollected():
        rows = item_rows(recorded.items)
    with uncollected(), RunFolder.open(root, manifest) as folder:
        folder.write_items(rows)
        folder.append(_missing(recorded, rows, folder))
        return RunResult(path=folder.path, counts=folder.finish("complete"))


def _missing(
    recorded: Recorded, rows: Sequence[ItemRow], folder: RunFolder
) -> list[ScoreRow]:
    """Score rows that the folder does not hold yet."""
    manifest, measure = folder.manifest, recorded.measure
    done, none = folder.done(), [None] * len(rows)
    tokens = zip(*(recorded.tokens.get(one, none) for one in TOKEN_COUNTS), strict=True)
    return [
        ScoreRow(
            probe=manifest.probe,
            probe_version=manifest.probe_version,
            item_id=row.item_id,
            candidate_id=row.candidate_id,
            model=manifest.model,
            fingerprint=manifest.fingerprint,
            measure=measure,
            score=score,
            straddles=None,
            input_sha=None,
            error=error,
            **dict(zip(TOKEN_COUNTS, counts, strict=True)),
        )
        for row, score, error, counts in zip(
            rows, recorded.scores, recorded.errors, tokens, strict=True
        )
        if not done or (row.item_id, row.candidate_id, measure.value) not in done
    ]


def read(
    frame: pd.DataFrame, probe: Probe, file: Path, asked: Asked = WHOLE
) -> Recorded:
    """Reads a file's cells in the layout that its columns tell.

    Args:
        frame: From `files.read_rows`.
        probe: The benchmark the scores belong to.
        file: The file's path, for messages.
        asked: As `import_file`.

    Raises:
        DataError: As `import_file`.
        UsageError: The same.
    """
    published = _published(frame, probe, file, asked.options.data)
    own = None if published else joined.read(frame, probe, file, asked)
    if own is not None:
        return own
    if not asked.all_of_it:
        raise UsageError(
            f"options choose items of {probe.name}, and {file} brings its own",
            "They are read where scores are joined to the probe's items by their ids: "
            "item_id, candidate_id and score, with --data where the probe needs it",
            "Leave them away, or import the scores of what rm-probe export writes",
        )
    if published is not None:
        return published
    if pairs.compares_dialects(probe):
        return pairs.read_long(frame, file)
    return layouts.read_long(frame, probe, file)


def _published(
    frame: pd.DataFrame, probe: Probe, file: Path, data: Path | None
) -> Recorded | None:
    """Reads one of the layouts of Ryan et al. (2024); None: it is none of them."""
    columns = set(frame.columns)
    if probe.name == "askreddit" and "Response Format" in columns:
        return layouts.read_wide(frame, file)
    if probe.name == "where_from" and {"country", "reward", "prompt"} <= columns:
        return layouts.read_where_from(frame, file)
    if probe.name == "global_opinions" and {"options", "probs"} <= columns:
        return opinions.read(frame, file, data)
    return None
