"""How best minus worst group moves with the share.

Estimand: the slope of the highest less the lowest group's mean on the share. The gap is
above zero in any sample, so that its level is never tested; its slope may have either
sign. Unit of analysis: a checkpoint. The error is that of `doseresponse_fit`, with the
gap anew without each cluster of items. Where all groups rise or fall alike, the gap can
still move, as shares near one half scatter most: so the groups must also be shown to
have unequal slopes, and p is the larger of the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.doseresponse_fit import Items, slope
from analysis.doseresponse_lines import Design
from analysis.resample import Floats
from analysis.stages_data import Codes
from analysis.stages_tests import cluster_sums


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
    rows = np.concatenate(list(groups))
    of = np.repeat(np.arange(len(groups)), [len(one) for one in groups])
    _, codes = np.unique(cluster[rows], return_inverse=True)
    sizes = cluster_sums(np.ones(len(rows)), of, codes)
    left = sizes.sum(axis=0) - sizes
    means, without = [], []
    for one in values[:, rows]:
        sums = cluster_sums(one, of, codes)
        means.append(float(np.ptp(sums.sum(axis=0) / sizes.sum(axis=0))))
        without.append(np.ptp((sums.sum(axis=0) - sums) / left, axis=1))
    return Items(means=np.array(means), parts=(_shifts(without, codes, stratum[rows]),))


def _shifts(
    without: Sequence[Floats], codes: Codes, stratum: Codes
) -> tuple[Floats, float]:
    """As `Items.parts`, from the gap without each cluster."""
    found = np.stack(without, axis=1)
    of = np.zeros(len(found), dtype=np.intp)
    of[codes] = stratum
    numbers = np.bincount(of)
    if numbers[numbers > 0].min() < 2:
        of = np.zeros_like(of)
    freedom = 0
    for one in np.unique(of):
        here = of == one
        number = int(here.sum())
        found[here] -= found[here].mean(axis=0)
        found[here] *= -math.sqrt((number - 1) / number)
        freedom += number - 1
    return found, float(freedom)


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
