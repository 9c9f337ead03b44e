"""What a run measured, in the form in which stages of training are compared.

Every axis says of each unit and group how the model did; `analysis.stages` then knows
nothing of ranks, surveys, games or languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.paired import MIN_CLUSTERS


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
