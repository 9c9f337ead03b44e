"""What a run measured, in the form in which stages of training are compared.

Every axis says of each unit and group how the model did; `analysis.stages` then knows
nothing of ranks, surveys, games or languages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from analysis.load import Run
from analysis.paired import MIN_CLUSTERS
from analysis.resample import Floats
from probe.types import DataError


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One measure of one run, by unit and group."""

    name: str
    """Metric of its records, such as `accuracy`, `f1`, `mean_rank` or `similarity`."""
    title: str
    """What the mean of the values is, in words: "share of questions answered right"."""
    value_unit: str
    """Unit of the values, as in `Record.unit`: `share`, `rank`, `log-probability`."""
    grouping: str
    """What a group is, in the singular: `language`, `dialect`, `country`."""
    reference: str | None
    """Group that the others' changes are compared with, whether or not the run has it;
    None: there is none."""
    better: Literal["higher", "lower"] | None
    """Which values are better; None: neither is, such as of a similarity."""
    binary: bool
    """Whether every value is 0 or 1 (or missing)."""
    crossed: bool
    """Whether one unit stands in several groups, such as a question asked in many
    languages; else each unit belongs to one group."""
    frame: pd.DataFrame
    """One row per unit and group: `unit` (text; the same unit in another run has the
    same), `group` (text), `cluster` (text: units of one cluster are not independent,
    such as questions on one passage), `stratum` (text: of the cluster; how many units
    are of which is the probe's design, as of questions that praise or blame), `value`
    (float64; NaN = unscored)."""
    fewest: int = MIN_CLUSTERS
    """Fewest units of a group that are tested, as in the axis's own analysis."""
    chosen: bool = False
    """Whether a value depends on everything that an item's candidates are, such as
    which of them scores highest."""
    beside: str = ""
    """What must be read beside this run's levels, as a clause: "chance is 25%"."""
    wanted: str | None = None
    """Group that was asked for as reference, where `reference` stands in for it."""
    names: tuple[tuple[str, str], ...] = ()
    """Group -> name for people, where they differ: ("deu_Latn", "German")."""


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
