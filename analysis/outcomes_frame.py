"""The frame of an `Outcome`, and what follows from its values."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from analysis.load import Run
from analysis.resample import Floats
from probe.types import DataError


def outcome_frame(
    run: Run,
    *,
    unit: Iterable[object],
    group: Iterable[object],
    cluster: Iterable[object],
    value: Floats,
    stratum: Iterable[object] | None = None,
) -> pd.DataFrame:
    """Lays values out as `Outcome.frame`.

    Args:
        run: Whose values they are, for messages.
        unit: N units, with no gaps.
        group: N groups, with no gaps.
        cluster: N clusters, with no gaps.
        value: Shape (N,); NaN = unscored.
        stratum: N strata of the clusters; None: all are of one.

    Raises:
        DataError: A unit stands twice in a group, so that nobody could say which of
            the two another run's is.
    """
    frame = pd.DataFrame(
        {
            "unit": pd.Series(list(map(str, unit)), dtype="str"),
            "group": pd.Series(list(map(str, group)), dtype="str"),
            "cluster": pd.Series(list(map(str, cluster)), dtype="str"),
            "stratum": ""
            if stratum is None
            else pd.Series(list(map(str, stratum)), dtype="str"),
            "value": np.asarray(value, dtype=np.float64),
        }
    )
    twice = frame.duplicated(["unit", "group"])
    if twice.any():
        first = frame[twice].iloc[0]
        raise DataError(
            f"{run.path}: {first['unit']} stands twice in {first['group']}",
            "What two stages answered is compared unit by unit, so that a unit stands "
            "once in each group",
            "Give each of them an id of its own",
        )
    return frame


def is_binary(frame: pd.DataFrame) -> bool:
    """Whether every value is 0 or 1 or missing: a tie that counts one half is not."""
    return bool(frame["value"].dropna().isin([0.0, 1.0]).all())


def is_crossed(frame: pd.DataFrame) -> bool:
    """Whether a unit stands in several groups."""
    return bool(frame["unit"].duplicated().any())


def known_as(names: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The (group, name) of `Outcome.names`: those that differ."""
    return tuple((group, name) for group, name in names if group != name)
