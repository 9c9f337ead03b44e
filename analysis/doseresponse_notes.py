"""What a reader must know of a sweep before its first number, and why there is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.doseresponse_data import Dosed
from analysis.doseresponse_lines import MIN_CHECKPOINTS
from analysis.doseresponse_sweep import Checkpoint, Sweep
from analysis.html import join_words, number
from analysis.load import Run
from analysis.wording import count_of
from probe.types import NoSlopeError

MOST_TOKENS = 0.1
"""Slope of tokens on the share, over their mean, up to which nothing is said."""
SHORT = 0.2
"""Share of the values that may be left out without a word of advice."""


def dropped_rows(sweep: Sweep) -> list[str]:
    """Rows of the mix that were not trained on."""
    found = [one.training.dropped for one in sweep.checkpoints if one.training.dropped]
    if not found:
        return []
    low, high = number(min(found), 0), number(max(found), 0)
    rows = f"{low} to {high} rows" if low != high else count_of(found[0], "row")
    return [
        f"{sweep.title}: {rows} of the mix did not fit the trainer and were left out, "
        f"in {len(found)} of {count_of(len(sweep.checkpoints), 'checkpoint')}, so that "
        "the share trained on can be another than the one drawn."
    ]


def tokens_with_share(sweep: Sweep) -> list[str]:
    """Arms in which the tokens read in training rise or fall with the share."""
    notes = []
    for arm in sweep.arms:
        here = [one for one in sweep.checkpoints if one.training.arm == arm]
        share = np.array([one.dose for one in here])
        tokens = np.array([one.training.tokens for one in here], dtype=np.float64)
        if not np.ptp(share) > 0 or not tokens.mean() > 0:
            continue
        slope, start = np.polyfit(share, tokens, 1)
        if abs(slope) <= MOST_TOKENS * tokens.mean():
            continue
        notes.append(
            f"{sweep.title}, arm {arm}: the tokens read in training go with the share, "
            f"by {100 * slope / tokens.mean():+.0f}% of their mean from none to all "
            f"rows (a line from {number(start, 0)} to {number(start + slope, 0)}): a "
            "slope holds what more or fewer tokens do as well."
        )
    return notes


def missing_probe(sweep: Sweep, probe: str, here: Sequence[Checkpoint]) -> list[str]:
    """Checkpoints with runs of other probes, and none of this one."""
    absent = [one.model for one in sweep.checkpoints if one not in here]
    if not absent:
        return []
    return [
        f"{probe}, {sweep.title}: {join_words(absent)} did not run on it, so that it "
        f"rests on {len(here)} of {count_of(len(sweep.checkpoints), 'checkpoint')}."
    ]


def too_few(sweep: Sweep, probe: str, here: Sequence[Checkpoint]) -> str:
    """A probe that no arm has enough checkpoints of."""
    shares = sorted({one.share for one in here})
    return (
        f"{probe}, {sweep.title}: {count_of(len(here), 'checkpoint')} at the shares "
        f"{join_words([f'{share:g}' for share in shares])}; a slope needs "
        f"{MIN_CHECKPOINTS} checkpoints of an arm, at two shares or more."
    )


def absent_arm(name: str, arm: str) -> str:
    """An arm without a slope."""
    return (
        f"{name}: no slope of arm {arm}, which has fewer than {MIN_CHECKPOINTS} "
        "checkpoints or only one share."
    )


def missing_measure(
    name: str, grouping: str, kept: Sequence[Checkpoint], every: Sequence[Checkpoint]
) -> list[str]:
    """A measure that some checkpoints do not have."""
    absent = [one.model for one in every if one not in kept]
    if not absent:
        return []
    return [f"{name} by {grouping} is not measured of {join_words(absent)}."]


def lost_units(dosed: Dosed) -> list[str]:
    """Units that not all checkpoints scored, and what that leaves out."""
    notes, lost, name = [], dosed.lost, dosed.outcome.name
    kept = dosed.aligned.values.shape[1]
    if lost.count:
        more = lost.count - len(lost.names)
        named = join_words([*lost.names, *([f"{more} more"] if more else [])])
        models = [f"{model} ({number(count, 0)})" for model, count in lost.lacking]
        text = (
            f"{name}: {count_of(kept, 'value')} that all "
            f"{len(dosed.checkpoints)} checkpoints have; left out are "
            f"{number(lost.count, 0)} ({named}), which {join_words(models)} lack"
        )
        if dosed.aligned.lacking:
            text += f", and with them all of {join_words(dosed.aligned.lacking)}"
        if lost.count > SHORT * (lost.count + kept):
            text += (
                ". The run that has least decides on what all are compared: score the "
                "rest, or leave it out"
            )
        notes.append(f"{text}.")
    for one in dosed.no_checkpoints:
        if one.lacks:
            said = "the base" if one is dosed.base else one.model
            notes.append(
                f"{name}: {said} lacks {number(one.lacks, 0)} of these values, so that "
                "its level is of the others."
            )
    outcome = dosed.outcome
    if outcome.reference is not None and dosed.aligned.reference is None:
        notes.append(
            f"no {outcome.grouping} {outcome.reference} that all have, so that no "
            "slope is held against its."
        )
    elif outcome.wanted is not None and dosed.aligned.reference is not None:
        notes.append(
            f"no {outcome.grouping} {outcome.wanted}, so that "
            f"{dosed.aligned.reference} is the reference."
        )
    return notes


def nothing_common(runs: Sequence[Run], notes: Sequence[str]) -> NoSlopeError:
    """No probe has a slope."""
    return NoSlopeError(
        f"nothing of the {len(runs)} runs has a slope: {' '.join(notes)}",
        f"A slope needs one measure of {MIN_CHECKPOINTS} checkpoints of a treatment "
        "arm, at two shares or more",
        "Score the missing checkpoints on a common probe, and name their runs as well",
    )
