"""How best minus worst group moves with the share.

Estimand: the slope of the highest less the lowest group's mean on the share. The gap is
above zero in any sample, so that its level is never tested; its slope may have either
sign. Unit of analysis: a checkpoint. The error is that of `doseresponse_fit`, with the
gap anew from the groups' means without each cluster of items. Where all groups rise or
fall alike, the gap can still move, as shares near one half scatter most: so the groups
must also be shown to have unequal slopes, and p is the larger of the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.doseresponse_fit import Items, items_of, slope
from analysis.doseresponse_lines import Design
from analysis.resample import Floats
from analysis.stages_data import Codes


def gap_items(
    values: Floats, groups: Sequence[Codes], cluster: Codes, stratum: Codes
) -> Items:
    """Best minus worst group's mean at each checkpoint, and without each cluster.

    Args:
        values: Shape (C, R), finite.
        groups: Rows of each group, at least two groups, none within one cluster.
        cluster: Shape (R,): from 0, of all rows.
        stratum: Shape (R,): of the cluster.
    """
    each = [items_of(values, [(1.0, one)], cluster, stratum) for one in groups]
    means = np.stack([one.means for one in each])
    without = means[:, None, :] - np.stack([one.shifts for one in each])
    gap = np.ptp(means, axis=0)
    return Items(
        means=gap,
        parts=((gap - np.ptp(without, axis=0), _freedom(groups, cluster, stratum)),),
    )


def _freedom(groups: Sequence[Codes], cluster: Codes, stratum: Codes) -> float:
    """Clusters less strata; where a stratum has a single cluster, less one."""
    rows = np.concatenate(list(groups))
    clusters, first = np.unique(cluster[rows], return_index=True)
    _, numbers = np.unique(stratum[rows][first], return_counts=True)
    return float(len(clusters) - (len(numbers) if numbers.min() > 1 else 1))


def equal_slopes(items: Sequence[Items], design: Design) -> float | None:
    """P-value of the same slope in every group: Holm's smallest of all groups' tests.

    Each group's slope is held against the mean of the others'; with two groups that is
    one test.

    Args:
        items: Of each group, at least two.
        design: Of the checkpoints.

    Returns:
        None where no group can be tested.
    """
    count = len(items)
    tested = items[:1] if count == 2 else items
    found = [slope(_less_others(items, one), design).test.p_value for one in tested]
    known = [p for p in found if p is not None]
    return min(1.0, len(tested) * min(known)) if known else None


def _less_others(items: Sequence[Items], one: Items) -> Items:
    factors = [1.0 if each is one else -1.0 / (len(items) - 1) for each in items]
    pairs = list(zip(factors, items, strict=True))
    moved = [part for each in items for part, _ in each.parts]
    return Items(
        means=np.sum([factor * each.means for factor, each in pairs], axis=0),
        parts=tuple(
            (factor * part, freedom)
            for factor, each in pairs
            for part, freedom in each.parts
        ),
        shared=bool((np.sum([part.any(axis=1) for part in moved], axis=0) > 1).any()),
    )
