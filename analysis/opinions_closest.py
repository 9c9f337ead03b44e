"""Who is closest to a run's answers on the common set, and how settled that is.

Unit of analysis and cluster: a question of the common set, on which every country was
asked; n is their number. Intervals as in `opinions_measures`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from analysis.opinions_common import CommonSet
from analysis.opinions_data import OpinionTable
from analysis.opinions_measures import Scribe, columns, student_p
from analysis.records import Record, with_holm
from analysis.resample import Floats
from analysis.wording import is_supported

TEMPERATURES = (0.5, 2.0)
"""Of rewards, beside the headline's 1."""


@dataclass(frozen=True, kw_only=True)
class Closest:
    """The country closest to the model on the common set, and its rivals."""

    order: tuple[str, ...]
    """Keys of the common set's countries, most alike first."""
    means: tuple[float, ...]
    """Their mean similarities."""
    against: tuple[Record, ...]
    """`js_similarity_lead` of the first over each other, in that order (group = the
    other): paired by question. The first was picked on the same questions, so that
    Holm's family is every pair of countries and not only the pairs shown here: whoever
    had come first, its tests are among them, and the chance that anybody is wrongly
    said to be behind stays below `ALPHA`."""

    @property
    def rivals(self) -> tuple[str, ...]:
        """Keys that the first is not shown to be ahead of."""
        return tuple(
            str(record.group) for record in self.against if not is_supported(record)
        )

    @property
    def n_pairs(self) -> int:
        """Pairs of countries, which is how many tests were corrected together."""
        return len(self.order) * (len(self.order) - 1) // 2


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """What another temperature of rewards does."""

    value: float
    order_spearman: float
    """Spearman's rho, over the common set's countries, of their mean similarities with
    those at temperature 1; NaN with fewer than three."""
    best: str
    """Key of the closest country of the common set."""
    fidelity: Record


def find_closest(
    table: OpinionTable,
    common: CommonSet,
    similarity: Floats,
    counts: Floats,
    scribe: Scribe,
) -> Closest | None:
    """Ranks the common set's countries and tests the first against each other one.

    Holm's correction is made here, as the tests of the other pairs, which count in it,
    are nowhere else.

    Args:
        table: The run.
        common: The common set.
        similarity: Shape (Q, C).
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.

    Returns:
        None with fewer than two countries.
    """
    rows = common.rows(table)
    part = similarity[np.ix_(rows, common.columns(table))]
    if part.shape[1] < 2:
        return None
    means = part.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    keys = [common.publics[i].key for i in order]
    ranked = part[:, order]
    ahead, behind = np.triu_indices(len(keys), 1)
    p = student_p(ranked[:, ahead] - ranked[:, behind])
    # The pairs of the first come first: only these are shown, and need an interval.
    n_leads = len(keys) - 1
    leads = columns(ranked[:, :1] - ranked[:, 1:], counts[:, rows])
    metric = "js_similarity_lead"
    family = f"pairs of countries: {metric} of {table.run.name}"
    shown = scribe.column_records(
        leads,
        keys[1:],
        analysis="opinion_difference",
        metric=metric,
        unit="similarity",
        jensen_shannon=True,
        reference=f"similarity to {keys[0]} less that to this, common question set",
        family=family,
        remark=f"p_holm over all {len(p)} pairs of countries",
    )
    unseen = [
        dataclasses.replace(shown[0], group=f"{keys[i]} over {keys[j]}", p_value=one)
        for i, j, one in zip(
            ahead[n_leads:], behind[n_leads:], map(float, p[n_leads:]), strict=True
        )
        if np.isfinite(one)
    ]
    return Closest(
        order=tuple(keys),
        means=tuple(float(means[i]) for i in order),
        against=with_holm([*shown, *unseen])[:n_leads],
    )


def at_temperature(
    value: float,
    table: OpinionTable,
    common: CommonSet,
    similarity: Floats,
    other: Floats,
    counts: Floats,
    scribe: Scribe,
) -> Temperature:
    """What another temperature does to the ranking and to fidelity.

    Args:
        value: The temperature.
        table: The run.
        common: The common set.
        similarity: Shape (Q, C), at temperature 1.
        other: The same at this temperature.
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.
    """
    rows, places = common.rows(table), common.columns(table)
    sides = [one[np.ix_(rows, places)].mean(axis=0) for one in (similarity, other)]
    rho = float(spearmanr(*sides).statistic) if len(places) >= 3 else np.nan
    mean = columns(other[np.ix_(rows, places)].mean(axis=1)[:, None], counts[:, rows])
    return Temperature(
        value=value,
        order_spearman=rho,
        best=common.publics[int(sides[1].argmax())].key,
        fidelity=scribe.record(
            analysis="fidelity",
            metric=f"fidelity_t{value:g}",
            unit="similarity",
            jensen_shannon=True,
            estimate=mean.mean[0],
            low=mean.low[0],
            high=mean.high[0],
            n=len(rows),
            reference="common question set",
        ),
    )
