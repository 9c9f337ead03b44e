"""What a reader must know of a sweep before its first number, and why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.doseresponse_data import Dosed
from analysis.doseresponse_lines import MIN_CHECKPOINTS
from analysis.doseresponse_sweep import Checkpoint, Sweep
from analysis.html import join_words, number
from analysis.load import Run
from analysis.wording import count_of
from probe.types import DataError

SHORT = 0.2
"""Share of the values that may be left out without a word of advice."""


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
    if dosed.base_lacks:
        notes.append(
            f"{name}: the base lacks {number(dosed.base_lacks, 0)} of these values, so "
            "that its level is of the others."
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


def nothing_common(runs: Sequence[Run], notes: Sequence[str]) -> DataError:
    """No probe has a slope."""
    return DataError(
        f"nothing of the {len(runs)} runs has a slope: {' '.join(notes)}",
        f"A slope needs one measure of {MIN_CHECKPOINTS} checkpoints of a treatment "
        "arm, at two shares or more",
        "Score the missing checkpoints on a common probe, and name their runs as well",
    )
