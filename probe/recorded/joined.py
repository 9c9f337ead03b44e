"""Scores of a probe's own items, joined to them by their ids.

A file in the long layout is of the probe's own items if it names nothing but ids and
scores, or if one of its ids is the probe's: prompts, answers and groups are then those
that `rm-probe score` reads, and every pair of the probe that the file lacks is a row
without a score. A file with groups of its own brings its own items (`layouts`, `pairs`)
where the probe is a shipped one whose data are not named, or cannot be had, or has none
of the file's ids.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from data_builders import probes, select, sources
from probe.recorded import files, layouts
from probe.recorded.files import Recorded
from probe.types import (
    BuildOptions,
    DataError,
    Item,
    Measure,
    MissingDataError,
    Probe,
    versioned,
)

_EXPORTED = {"messages", "answer", "span"}
"""Columns beside the ids that `probe.export` writes, and that may be left in."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which items of a probe a file is scores of."""

    options: BuildOptions = field(default_factory=BuildOptions)
    """`reader` is told by the file's measure."""
    limit: int | None = None
    seed: int = 0

    @property
    def all_of_it(self) -> bool:
        """Whether nothing but the place of the data was chosen."""
        plain = dataclasses.replace(self.options, data=None)
        return (plain, self.limit) == (BuildOptions(), None)


WHOLE = Asked()
"""All items of a probe."""


def read(
    frame: pd.DataFrame, probe: Probe, file: Path, asked: Asked
) -> Recorded | None:
    """Joins scores to the probe's items; None: the file brings its own.

    Args:
        frame: The file's cells as text.
        probe: The benchmark the scores belong to.
        file: The file's path, for messages.
        asked: Which of its items.

    Raises:
        DataError: An id that the probe does not have, a pair that stands twice, another
            text than the probe's, or a cell that is no number; with its place.
            `MissingDataError`: the items cannot be had, and the file has none.
    """
    columns = set(frame.columns)
    who = layouts.who(frame, probe)
    if not {"item_id", who, "score"} <= columns:
        return None
    extra = columns - layouts.BARE - _EXPORTED - {who}
    if extra and probe.sources and asked.options.data is None:
        return None
    measure = files.measure(frame, file)
    policy = measure in (Measure.LOGPROB_SUM, Measure.LOGPROB_MEAN)
    options = dataclasses.replace(
        asked.options, reader="policy" if policy else "reward"
    )
    try:
        items = select.build(probe, options, asked.limit, asked.seed)
    except MissingDataError:
        if extra or not layouts.TOLD_BY & set(probe.columns):
            return None
        raise
    frame = layouts.keyed(frame, probe, file)
    places = {
        pair: place
        for place, pair in enumerate(
            (item.id, one.id) for item in items for one in item.candidates
        )
    }
    pairs = list(zip(frame["item_id"], frame["candidate_id"], strict=True))
    rows = [places.get(pair, -1) for pair in pairs]
    if extra and max(rows) < 0 and probe.name in probes.shipped():
        return None
    if unknown := rows.count(-1):
        first = rows.index(-1)
        raise DataError(
            f"{file}, data row {first + 1}: {' / '.join(pairs[first])} is no item and "
            f"candidate of {probe.name} ({unknown} of {len(rows)} rows)",
            "Scores are joined to the probe's items by item_id and candidate_id, as "
            "rm-probe export writes them",
            "Correct the ids, or give the options that the items were exported with",
        )
    files.no_twice(pd.Series([" / ".join(pair) for pair in pairs]), "a row", file)
    _check_texts(frame, items, rows, file)
    scores = [math.nan] * len(places)
    values = files.numbers(frame, ["score"], file)["score"].tolist()
    for row, value in zip(rows, values, strict=True):
        scores[row] = value
    tokens = {}
    for name, counts in files.token_counts(frame, file).items():
        of_row = dict(zip(rows, counts, strict=True))
        tokens[name] = [of_row.get(place) for place in range(len(scores))]
    unread = sorted(extra - set(probe.columns) - {"prompt"})
    return Recorded(
        items=tuple(items),
        scores=tuple(scores),
        measure=measure,
        notes=(
            f"recorded scores of {file.name}; prompts, answers and groups are those of "
            "the probe"
            + (f"; columns not read: {', '.join(unread)}" if unread else ""),
        ),
        item_columns=probe.item_columns,
        candidate_columns=probe.candidate_columns,
        sources=sources.digests(probe.sources, options.data, options.languages),
        dropped=dict(probe.dropped(options)) if probe.dropped else {},
        missing=frozenset(range(len(scores))).difference(rows),
        tokens=tokens,
        version=versioned(probe, options),
        limit=select.sampled(probe, items, asked.limit),
    )


def _check_texts(
    frame: pd.DataFrame, items: list[Item], rows: list[int], file: Path
) -> None:
    """Checks that the texts a file was left with are the probe's."""
    ours = {
        "prompt": [
            item.messages[-1].content for item in items for _ in item.candidates
        ],
        "answer": [one.answer for item in items for one in item.candidates],
    }
    for column in ours.keys() & set(frame.columns):
        for number, (row, text) in enumerate(
            zip(rows, frame[column], strict=True), start=1
        ):
            if text and text.split() != ours[column][row].split():
                raise DataError(
                    f"{file}, data row {number}, column '{column}': {text[:60]!r}, and "
                    f"the probe has {ours[column][row][:60]!r}",
                    "Scores are of the probe's own texts",
                    "Score the texts that rm-probe export writes, or leave the column "
                    "out if it is of no meaning",
                )
