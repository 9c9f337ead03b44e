"""Other people's published result files become runs with the same two files.

Four layouts are read, told apart by their columns:

- wide rewards or NLL, a row per question and a column per country, as published by
  Ryan, Held and Yang (2024) in `outputs/ask-reddit-reward-testing` and
  `outputs/ask-reddit-perplexity-testing`;
- their `where_from` rewards, a row per country;
- their GlobalOpinionQA answers, a row per question with the options' probabilities;
- long: `item_id`, `candidate_id` or `country`, `score`, and any group columns.

Scores are stored so that larger means more preferred: a recorded mean token NLL
becomes a `logprob_mean` with its sign turned, a probability its logarithm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from probe.config import NAME_PATTERN
from probe.recorded import layouts, opinions
from probe.recorded.files import IMPORTER_VERSION, Recorded, read_csv, uncollected
from probe.store import Counts, RunFolder
from probe.types import Probe, ScoreRow, UsageError

if TYPE_CHECKING:
    from probe.score import RunResult

__all__ = ["IMPORTER_VERSION", "Recorded", "import_file", "read"]


def import_file(
    probe: Probe,
    file: Path,
    *,
    model: str,
    root: Path,
    data: Path | None = None,
    argv: Sequence[str] = (),
) -> RunResult:
    """Stores a result file as a run of `kind: imported`.

    Args:
        probe: The benchmark the scores belong to.
        file: A csv in one of the layouts above.
        model: Label for the model; the file's own model name goes into the notes.
        root: The runs folder.
        data: Folder with a local copy of the data that the layout needs beside the
            file; None: the hub.
        argv: The command line, for the manifest.

    Returns:
        The run's folder and counts.

    Raises:
        DataError: The file is missing, not a csv, lacks columns, or has a value that
            is not a number, a row that stands twice or a country nobody knows; the
            message names file, row and column. Nothing is written then.
        UsageError: `model` cannot be part of a folder's name.
        StoreError: The run folder cannot be written.
    """
    # Imported here: reading a file must not cost the start of the scoring engine.
    from probe.score import RunResult, item_rows

    if not re.fullmatch(NAME_PATTERN, model):
        raise UsageError(
            f"--model {model!r} cannot name a run's folder",
            "A model's label has letters, digits, '.', '_' and '-' only",
            "Choose another label",
        )
    frame, digest = read_csv(file)
    with uncollected():
        recorded = read(frame, probe, file, data)
        rows = item_rows(recorded.items)
    manifest = recorded.manifest(probe, file, digest, model=model, argv=argv)
    measure = recorded.measure.value
    with uncollected(), RunFolder.open(root, manifest) as folder:
        folder.write_items(rows)
        done = folder.done()
        missing = [
            ScoreRow(
                probe=manifest.probe,
                probe_version=manifest.probe_version,
                item_id=row.item_id,
                candidate_id=row.candidate_id,
                model=model,
                fingerprint=manifest.fingerprint,
                measure=recorded.measure,
                score=score,
                n_prompt_tokens=None,
                n_answer_tokens=None,
                truncated_tokens=None,
                straddles=None,
                input_sha=None,
            )
            for row, score in zip(rows, recorded.scores, strict=True)
            if not done or (row.item_id, row.candidate_id, measure) not in done
        ]
        folder.append(missing)
        counts = Counts(expected=len(rows), done=len(rows))
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        folder.save(status="complete", counts=counts, finished=finished)
        return RunResult(path=folder.path, counts=counts)


def read(frame: pd.DataFrame, probe: Probe, file: Path, data: Path | None) -> Recorded:
    """Reads a file's cells in the layout that its columns tell.

    Args:
        frame: From `files.read_csv`.
        probe: The benchmark the scores belong to.
        file: The file's path, for messages.
        data: As `import_file`.

    Raises:
        DataError: As `import_file`.
    """
    columns = set(frame.columns)
    if probe.name == "askreddit" and "Response Format" in columns:
        return layouts.read_wide(frame, file)
    if probe.name == "where_from" and {"country", "reward", "prompt"} <= columns:
        return layouts.read_where_from(frame, file)
    if probe.name == "global_opinions" and {"options", "probs"} <= columns:
        return opinions.read(frame, file, data)
    return layouts.read_long(frame, probe, file)
