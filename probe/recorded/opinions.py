"""Readers of recorded GlobalOpinionQA answers: options' probabilities, similarities.

The layout is that of `outputs/globalopinionsqa` of Ryan, Held and Yang (2024): a row
per question with `question`, `options` and `probs`, and a column per country with
1 - Jensen-Shannon distance (natural logarithm) of the probabilities to what people
there answered, -1 where they were not asked. Cells are literals and are parsed, never
run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_builders import cells, countries, global_opinions, protocols, sources, survey
from data_builders.survey import Question
from probe.recorded import files
from probe.recorded.files import Recorded
from probe.types import DataError, Item, Measure

COLUMNS = ("question", "options", "probs", "model_id")
"""What tells the layout."""

RECORDED = "recorded"
"""`protocol` and `variant` of the items: the publisher's wording, not one of ours."""

LEAST = float(np.finfo(np.float32).smallest_subnormal)
"""What a probability of 0 is read as. The probabilities are a softmax of 32-bit
numbers, which has no zero: a recorded one is a positive number below this."""

SUM_TOLERANCE = 1e-3
"""How far from 1 a row's probabilities may sum: far more than 32 bits round away."""

NOT_ASKED = -1.0

_SOURCE = "global_opinions"


def read(frame: pd.DataFrame, file: Path, data: Path | None) -> Recorded:
    """Reads the options' probabilities; people's answers come from the data set.

    Args:
        frame: The file's cells as text.
        file: Its path, for messages.
        data: Folder with a local copy of the data set; None: the hub.

    Returns:
        One item per question and one candidate per option, whose score is the natural
        logarithm of its probability.

    Raises:
        DataError: The data set cannot be had, a question stands twice, there are
            several models, or no row can be used; single rows that cannot be are
            counted in `dropped`.
    """
    files.need(frame, COLUMNS, file)
    model = files.one_value(frame, "model_id", file)
    located = sources.locate(_SOURCE, data)
    known = survey.read(located.path)
    by_id = {question.id: question for question in known.questions}
    dropped: Counter[str] = Counter()
    items: list[Item] = []
    scores: list[float] = []
    ids: list[str] = []
    zeros = 0
    cells = frame[["question", "options", "probs"]].itertuples(index=True, name=None)
    for number, text, options, cell in cells:
        question = _question(text, options, by_id)
        if isinstance(question, str):
            ids.append(f"row {number}")
            dropped[question] += 1
            continue
        ids.append(question.id)
        probs = _probs(cell, question)
        if isinstance(probs, str):
            dropped[probs] += 1
            continue
        zeros += probs.count(0.0)
        items.append(_item(question))
        scores += [math.log(max(p, LEAST)) for p in probs]
    if not items:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise DataError(
            f"{file} has no row that can be used ({reasons})",
            f"A row is a question of {located.path} with a probability for each option",
            "Check that the file and the data set belong together",
        )
    files.no_twice(pd.Series(ids), "a question", file)
    notes = [
        f"recorded probabilities of {model}: a softmax over the options of minus the "
        "mean token NLL of each option's letter, read after the publisher's own prompt"
    ]
    if zeros:
        notes.append(
            f"probabilities of 0 ({zeros} in all) are read as {LEAST:.2g}, the least "
            "positive 32-bit number"
        )
    return Recorded(
        items=tuple(items),
        scores=tuple(scores),
        measure=Measure.LOGPROB_MEAN,
        notes=tuple(notes),
        item_columns=global_opinions.PROBE.item_columns,
        candidate_columns=global_opinions.PROBE.candidate_columns,
        sources={_SOURCE: located.sha256},
        dropped={**known.dropped, **dropped},
    )


def _question(text: str, options: str, known: Mapping[str, Question]) -> Question | str:
    """The data set's question that a row is about, or why there is none."""
    if not text.strip():
        return "recorded row: no text"
    try:
        labels = survey.read_options(options)
    except ValueError:
        return "recorded row: options cannot be read"
    found = known.get(survey.question_id(text.strip(), labels))
    return found or "recorded row: not a question of the data set"


def _probs(cell: str, question: Question) -> list[float] | str:
    """A probability for each option, or why the cell has none."""
    try:
        found = cells.read_json(cell)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(
        isinstance(p, int | float) and not isinstance(p, bool) and 0 <= p <= 1
        for p in found
    ):
        return "recorded row: a probability is no number from 0 to 1"
    if len(found) != len(question.options):
        return "recorded row: as many probabilities as options are needed"
    if abs(math.fsum(found) - 1) > SUM_TOLERANCE:
        return "recorded row: the probabilities do not sum to 1"
    return [float(p) for p in found]


def _item(question: Question) -> Item:
    """The question as it was put: options in the survey's order, lettered from A."""
    return global_opinions.item(
        question,
        RECORDED,
        RECORDED,
        question.text,
        tuple(
            global_opinions.candidate(
                question, place, f"{protocols.letter(place)})", place=place
            )
            for place in range(len(question.options))
        ),
        None,
    )


def similarities(frame: pd.DataFrame, keys: Sequence[str], file: Path) -> pd.DataFrame:
    """Recorded similarity to the answers of several countries, where all were asked.

    Args:
        frame: The file's cells as text.
        keys: Crosswalk keys of the countries; samples of a country do not count.
        file: The file's path, for messages.

    Returns:
        A row per question asked in every one of the countries, a column per key:
        float64 in [0, 1]; NaN: asked, and the file has no number. The -1 of a question
        not asked is never returned.

    Raises:
        DataError: A country has no column or two, or a cell is none of these.
    """
    labels = _labels(frame, keys, file)
    cells = frame[[labels[key] for key in keys]]
    values = cells.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    empty = files.empty(cells)
    asked = values != NOT_ASKED
    wrong = ~empty & asked & ~((values >= 0) & (values <= 1))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{file}, data row {row + 1}, column '{cells.columns[column]}': "
            f"{cells.iloc[row, column]!r} ({int(wrong.sum())} such cells)",
            "A similarity is a number from 0 to 1, empty, or -1 where nobody was asked",
            "Mend the cell",
        )
    return pd.DataFrame(values[asked.all(axis=1)], columns=list(keys))


def _labels(frame: pd.DataFrame, keys: Sequence[str], file: Path) -> dict[str, str]:
    """The column of each country as a whole."""
    found: dict[str, list[str]] = {key: [] for key in keys}
    for label in map(str, frame.columns):
        try:
            country, sample = countries.resolve_sample(label)
        except DataError:
            continue  # `question`, `probs` and the like
        if sample is None and country.key in found:
            found[country.key].append(label)
    for key, labels in found.items():
        if len(labels) != 1:
            raise DataError(
                f"{file} has {len(labels)} columns for {countries.by_key(key).name}",
                "A file of recorded similarities has one column for each country",
                "Rename, add or remove columns",
            )
    return {key: labels[0] for key, labels in found.items()}
