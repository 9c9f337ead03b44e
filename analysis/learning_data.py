"""Learning curves as files: what `rm-probe train` wrote of held-out pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from probe.csvs import unquoted
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
    "key",
    "id",
    "margin",
)
"""A row for each step, held-out pair and group that it is in."""
KEYS = ("stage", "arm", "share", "column")
"""What tells curves apart, beside group and seed."""
_NUMBERS = ("step", "tokens", "margin", "seed", "share")
_TEXTS = ("arm", "column", "group", "key", "id")


def read_curve(path: Path) -> pd.DataFrame:
    """Reads one file of curves, with the pairs that all seeds of a curve have.

    Raises:
        DataError: It cannot be read, lacks a column, has an impossible value, a curve
            without step 0 or without a pair that all its seeds have, or a pair that is
            at one step twice or not at all.
    """
    try:
        frame = pd.read_csv(
            path, converters=dict.fromkeys(_TEXTS, unquoted), keep_default_na=False
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
            f"Learning curves have the columns {', '.join(COLUMNS)}: a row for each "
            "step, held-out pair and group",
            "Name the learning.csv that rm-probe train wrote; where an older version "
            "wrote it, train again",
        )
    if frame.empty:
        raise DataError(
            f"{path} holds no curve",
            "It has a row for each step, held-out pair and group",
            "Train with held-out pairs (held_out_rows), or leave the file out",
        )
    for name in _NUMBERS:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        # Where nothing is varied, there is no share.
        wrong = ~np.isfinite(numbers) & ~((name == "share") & (frame[name] == ""))
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            value = frame[name].to_list()[at]
            raise DataError(
                f"{path}, line {at + 2}: {name} = {value!r}",
                "It is a number",
                "Write the file anew with rm-probe train",
            )
        frame[name] = numbers
    return _checked(path, frame)


def _checked(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    curve = [*KEYS, "group", "seed"]
    twice = frame.duplicated([*curve, "id", "step"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise DataError(
            f"{path}: {row['model']} has step {row['step']} of pair {row['id']} in "
            f"{row['column']} {row['group']} twice",
            "A checkpoint is measured once at each step",
            "Name each sweep's file once, and one stage of a name only once",
        )
    by_curve = frame.groupby(curve, sort=False, dropna=False)["step"]
    first = by_curve.min()
    if (first > 0).any():
        raise DataError(
            f"{path}: {dict(zip(curve, first[first > 0].index[0], strict=True))} "
            "has no step 0",
            "A gain is over step 0, before training",
            "Measure the held-out pairs before the first step as well",
        )
    measured = frame.groupby([*curve, "id"], sort=False, dropna=False)["step"]
    gaps = measured.transform("size") < by_curve.transform("nunique")
    if gaps.any():
        row = frame[gaps].iloc[0]
        raise DataError(
            f"{path}: {row['model']} lacks pair {row['id']} in {row['column']} "
            f"{row['group']} at some step",
            "What is measured at one step is measured at all",
            "Write the file anew with rm-probe train",
        )
    seeds = frame.groupby(curve[:-1], sort=False, dropna=False)["seed"]
    having = frame.groupby([*curve[:-1], "id"], sort=False, dropna=False)["seed"]
    shared = having.transform("nunique") == seeds.transform("nunique")
    lost = shared.groupby([frame[name] for name in curve[:-1]], dropna=False).any()
    if not lost.all():
        raise DataError(
            f"{path}: {dict(zip(curve[:-1], lost[~lost].index[0], strict=True))} "
            "has no pair that all its seeds have",
            "Seeds are compared on the same held-out pairs",
            "Name a file for each, if they are of different mixes",
        )
    return frame[shared]
