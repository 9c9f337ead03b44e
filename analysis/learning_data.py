"""Learning curves as files: what `rm-probe train` wrote of held-out pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from probe.types import DataError

COLUMNS = (
    "model",
    "arm",
    "share",
    "seed",
    "stage",
    "step",
    "tokens",
    "column",
    "group",
    "n",
    "accuracy",
    "margin",
)
KEYS = ("stage", "arm", "share", "column")
"""What tells curves apart, beside group and seed."""
_NUMBERS = ("step", "tokens", "n", "accuracy", "margin")


def read_curve(path: Path) -> pd.DataFrame:
    """Reads one file of curves.

    Raises:
        DataError: It cannot be read, lacks a column, has an impossible value or a curve
            without step 0, or states one step of a group twice.
    """
    try:
        frame = pd.read_csv(
            path, dtype={"arm": str, "column": str, "group": str}, keep_default_na=False
        )
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as csv ({error})",
            f"Learning curves have the columns {', '.join(COLUMNS)}",
            "Name the learning.csv that rm-probe train wrote",
        ) from error
    if missing := [name for name in COLUMNS if name not in frame]:
        raise DataError(
            f"{path} has no column {', '.join(missing)}",
            f"Learning curves have the columns {', '.join(COLUMNS)}",
            "Name the learning.csv that rm-probe train wrote",
        )
    if frame.empty:
        raise DataError(
            f"{path} holds no curve",
            "It has a row for each group, seed and step",
            "Train with held-out pairs (held_out_rows), or leave the file out",
        )
    for name in (*_NUMBERS, "seed", "share"):
        numbers = pd.to_numeric(frame[name], errors="coerce")
        # Where nothing is varied, there is no share.
        wrong = numbers.isna() & ~((name == "share") & (frame[name] == ""))
        if name == "accuracy":
            wrong |= ~numbers.between(0, 1)
        if name == "n":
            wrong |= numbers < 1
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            value = frame[name].to_list()[at]
            raise DataError(
                f"{path}, line {at + 2}: {name} = {value!r}",
                "It is a number; an accuracy lies between 0 and 1, and n is at least 1",
                "Write the file anew with rm-probe train",
            )
        frame[name] = numbers
    return _checked(path, frame)


def _checked(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    curve = [*KEYS, "seed", "group"]
    twice = frame.duplicated([*curve, "step"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise DataError(
            f"{path}: {row['model']} has step {row['step']} of {row['column']} "
            f"{row['group']} twice",
            "A checkpoint is measured once at each step",
            "Name each sweep's file once, and one stage of a name only once",
        )
    first = frame.groupby(curve, sort=False, dropna=False)["step"].min()
    if (first > 0).any():
        raise DataError(
            f"{path}: {dict(zip(curve, first[first > 0].index[0], strict=True))} "
            "has no step 0",
            "A gain is over step 0, before training",
            "Measure the held-out pairs before the first step as well",
        )
    return frame
