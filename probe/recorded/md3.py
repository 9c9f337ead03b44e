"""Recorded MD3 games: what a policy guessed and chose, as Ryan et al. 2024 publish it.

A row per game with the generated guess, the probabilities of the answer and of the
five forbidden words, and the authors' own verdicts on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_builders import cells, md3, md3_published
from probe.recorded import files
from probe.types import DataError

COLUMNS = (
    "game",
    "dialect",
    "answer",
    "distractors",
    "guess",
    "chosen",
    "recorded_guess",
    "recorded_choice",
)
"""Of what `read` gives."""

_VERDICTS = {"True": 1.0, "False": 0.0}
_NEEDS = (
    "dialect",
    "transcript",
    "correct_answer",
    "distractors",
    "generated_answer",
    "correct_answer_prob",
    "distractor_probs",
    "generated_correct_answer",
    "chose_correct_answer",
)


def read(frame: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The games of one file, in its order.

    Args:
        frame: From `files.read_csv`.
        file: The file's path, for messages.

    Returns:
        A row per game: `game` (the same text for the same game in another file),
        `dialect`, `answer`, `distractors` (a tuple of texts), `guess` (empty: none
        was generated), `chosen` (1 or 0: whether the answer's probability is above
        those of all distractors; NaN: one of them was not recorded) and the authors'
        verdicts, `recorded_guess` and `recorded_choice` (the same).

    Raises:
        DataError: A column is missing or a cell is not as it must be; with its place.
    """
    files.need(frame, _NEEDS, file)
    files.none_wrong(
        frame["dialect"],
        ~frame["dialect"].isin(md3.DIALECTS),
        file,
        f"A dialect of MD3 is one of {', '.join(md3.DIALECTS)}",
        "Correct the cell",
    )
    places = [f"{file}, data row {i + 1}" for i in range(len(frame))]
    answered = files.numbers(frame, ["correct_answer_prob"], file).to_numpy()[:, 0]
    distractors = [
        md3_published.listed(cell, f"{where}, column 'distractors'")
        for cell, where in zip(frame["distractors"], places, strict=True)
    ]
    others = np.array(
        [
            _probabilities(cell, len(words), f"{where}, column 'distractor_probs'")
            for cell, words, where in zip(
                frame["distractor_probs"], distractors, places, strict=True
            )
        ]
    )
    known = ~np.isnan(answered + others)
    content = (
        frame["dialect"].astype(object)
        + "\n"
        + frame["correct_answer"]
        + "\n"
        + frame["distractors"]
        + "\n"
        + frame["transcript"]
    )
    # A game that stands twice is two games.
    again = content.groupby(content, sort=False).cumcount()
    return pd.DataFrame(
        {
            "game": content + "\n" + again.astype(str),
            "dialect": frame["dialect"],
            "answer": frame["correct_answer"],
            "distractors": distractors,
            "guess": frame["generated_answer"],
            "chosen": np.where(known, answered > others, np.nan),
            "recorded_guess": _verdicts(frame, "generated_correct_answer", file),
            "recorded_choice": _verdicts(frame, "chose_correct_answer", file),
        }
    )[list(COLUMNS)]


def _probabilities(cell: str, wanted: int, where: str) -> float:
    """The largest of the distractors' probabilities; NaN where one is not there."""
    if not cell.strip():
        return np.nan
    try:
        # As Python and numpy write it, which JSON reads in another spelling.
        values = cells.read_json(cell.replace("nan", "NaN"))
    except ValueError:
        values = None
    if (
        not isinstance(values, list)
        or not values
        or len(values) != wanted
        or not all(one is None or isinstance(one, float | int) for one in values)
        or np.isinf(np.array(values, np.float64)).any()
    ):
        raise DataError(
            f"{where}: {cell[:80]!r}",
            f"It is a list of the probabilities of the {wanted} distractors",
            "Take the file as published",
        )
    return float(np.max(np.array(values, np.float64)))


def _verdicts(frame: pd.DataFrame, column: str, file: Path) -> Sequence[float]:
    """1 or 0; NaN where the cell is empty."""
    unknown = ~(frame[column].isin(_VERDICTS) | files.empty(frame[[column]])[:, 0])
    files.none_wrong(
        frame[column],
        unknown,
        file,
        f"It is one of {', '.join(_VERDICTS)}",
        "Take the file as published",
    )
    return [_VERDICTS.get(cell, np.nan) for cell in frame[column]]
