"""How far a model chooses by the place of an option instead of what it says.

Over a complete set of rotations every option has stood at every place once. A model
that reads contents alone then gives each place the same mean probability, 1 in the
number of options, exactly; what differs from that is a liking for places (letters).
Unit of analysis and cluster: a question asked with all its rotations. Questions with
different numbers of options are kept apart.

A total variation is never below zero and counts noise as bias: of few questions it is
too large, and its interval does not reach zero. The excess of the first and of the
last place has a sign, and is what tests are on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.opinions_data import OpinionTable
from analysis.opinions_measures import Scribe, bounds, columns
from analysis.records import Record, with_holm
from analysis.resample import (
    Floats,
    weighted_means,
)


@dataclass(frozen=True, kw_only=True)
class PositionBias:
    """What a run's rotations show."""

    places: pd.DataFrame
    """One row per number of options and place: n_options, place (1 = first), share,
    ci_low, ci_high, n_questions."""
    variation: Record
    """`place_total_variation`: half the summed distance of the mean probabilities of
    places from equal ones, weighted over the numbers of options by their questions;
    0 = none, and at most near 1."""
    first: Record
    """`place_first_excess`: mean probability of the first place less 1 in the number
    of options."""
    last: Record
    """The same of the last place."""
    by_size: tuple[Record, ...]
    """`place_total_variation` for each number of options."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record."""
        return (self.variation, self.first, self.last, *self.by_size)


def position_only(table: OpinionTable) -> Floats | None:
    """What the liking for places alone answers, options in the survey's printed order.

    Each question gets the mean probability of each place over all the run's questions
    with as many options: what one rotation's letters would hold if nobody read what
    they stand for. With rotations the same answerer is the uniform one.

    Returns:
        Shape (Q, K); NaN where no question with as many options has all rotations;
        None without rotations.
    """
    if table.places is None:
        return None
    out = np.full_like(table.places, np.nan)
    for size in np.unique(table.n_options):
        rows = table.n_options == size
        known = table.places[rows & ~np.isnan(table.places).any(axis=1)]
        if len(known):
            out[rows] = known.mean(axis=0)
    return out


def measure_position(
    table: OpinionTable, counts: Floats, scribe: Scribe
) -> PositionBias | None:
    """Position bias of a run.

    Args:
        table: The run.
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.

    Returns:
        None without rotations, or where no question has all of them.
    """
    if table.places is None:
        return None
    balanced = np.asarray(~np.isnan(table.places).any(axis=1))
    if not balanced.any():
        return None
    frames, by_size = [], []
    variation, drawn_variation = 0.0, np.zeros(len(counts))
    for size in np.unique(table.n_options[balanced]):
        rows = balanced & (table.n_options == size)
        shares, drawn = table.places[rows, :size], counts[:, rows]
        found = columns(shares, drawn)
        draws = np.abs(weighted_means(shares, drawn) - 1 / size).sum(axis=1) / 2
        estimate = float(np.abs(found.mean - 1 / size).sum() / 2)
        low, high = bounds(draws, int(rows.sum()))
        by_size.append(
            scribe.record(
                analysis="position_bias",
                metric="place_total_variation",
                unit="share",
                jensen_shannon=False,
                estimate=estimate,
                low=low,
                high=high,
                n=int(rows.sum()),
                group=f"{size} options",
                reference="equal places",
            )
        )
        variation += estimate * rows.sum() / balanced.sum()
        drawn_variation += np.nan_to_num(draws) * drawn.sum(axis=1)
        frames.append(
            pd.DataFrame(
                {
                    "n_options": size,
                    "place": np.arange(1, size + 1),
                    "share": found.mean,
                    "ci_low": found.low,
                    "ci_high": found.high,
                    "n_questions": found.n,
                }
            )
        )
    n = int(balanced.sum())
    # A draw may hold none of few questions.
    total = counts[:, balanced].sum(axis=1)
    drawn_variation[total == 0] = np.nan
    low, high = bounds(drawn_variation / np.maximum(total, 1), n)
    last = table.places[np.arange(len(balanced)), table.n_options - 1]
    ends = np.stack([table.places[:, 0], last], axis=1) - 1 / table.n_options[:, None]
    excess = columns(np.where(balanced[:, None], ends, np.nan), counts)
    tested = with_holm(
        [
            scribe.record(
                analysis="position_bias",
                metric=f"place_{name}_excess",
                unit="share",
                jensen_shannon=False,
                **excess.at(i),
                p=excess.p[i],
                n=n,
                reference="equal places",
                family=f"places: excess of {table.run.name}",
            )
            for i, name in enumerate(("first", "last"))
        ]
    )
    return PositionBias(
        places=pd.concat(frames, ignore_index=True),
        variation=scribe.record(
            analysis="position_bias",
            metric="place_total_variation",
            unit="share",
            jensen_shannon=False,
            estimate=variation,
            low=low,
            high=high,
            n=n,
            reference="equal places",
        ),
        first=tested[0],
        last=tested[1],
        by_size=tuple(by_size),
    )
