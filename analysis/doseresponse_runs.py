"""Runs of the checkpoints of sweeps -> what a share of their training rows does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.dialects import check_reference
from analysis.doseresponse import DoseMeasure, analyse_measure
from analysis.doseresponse_data import Dosed, Scored, align_sweep
from analysis.doseresponse_fit import MIN_CHECKPOINTS
from analysis.doseresponse_sweep import Checkpoint, Sweep, find_sweeps, other_models
from analysis.html import join_words, number
from analysis.load import Run
from analysis.outcome import Outcome
from analysis.outcomes import outcomes
from analysis.part import Step, Wanted
from analysis.records import Record
from analysis.stages_data import refuse_other_texts, runs_by_probe
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


@dataclass(frozen=True, kw_only=True)
class SweepProbe:
    """One probe on the checkpoints of one sweep."""

    sweep: Sweep
    runs: tuple[Run, ...]
    measures: tuple[DoseMeasure, ...]

    @property
    def probe(self) -> str:
        """Name of the probe, without its version."""
        return self.runs[0].manifest.probe


@dataclass(frozen=True, kw_only=True)
class DoseAnalysis:
    """Everything that some runs say of sweeps."""

    runs: tuple[Run, ...]
    """Every run given."""
    sweeps: tuple[Sweep, ...]
    parts: tuple[SweepProbe, ...]
    """Sweep by sweep, of each the probes in the order of the runs."""
    notes: tuple[str, ...]
    """What was left out, as sentences."""

    @property
    def records(self) -> tuple[Record, ...]:
        """Of all parts."""
        return tuple(
            record
            for part in self.parts
            for measure in part.measures
            for record in measure.records
        )


def analyse_sweeps(
    runs: Sequence[Run], wanted: Wanted, *, step: Step = lambda: None
) -> DoseAnalysis:
    """Slopes of every measure of every probe on every sweep.

    Args:
        runs: From `load.load_runs`: of the checkpoints of one or more sweeps, and of
            their base where it shall be shown.
        wanted: Reference groups, and how survey answers are compared.
        step: Called once a run that is read.

    Raises:
        UsageError: No run of a sweep; two runs of one model on one probe; a reference
            dialect that no run has; or ranks among different groups.
        DataError: As `doseresponse_sweep.find_sweeps`; or a run has too little to
            analyse.
        NoSlopeError: As `doseresponse_sweep.find_sweeps`; or no probe has a slope.
        StoreError: Two runs have different texts under one id.
    """
    sweeps, first_notes = find_sweeps(runs)
    others = other_models(runs, sweeps)
    table = runs_by_probe(runs)
    if of_dialects := [run for run in runs if "dialect" in run.frame.columns]:
        check_reference(of_dialects, wanted.reference_dialect)
    measured: dict[str, tuple[Outcome, ...]] = {}

    def of(run: Run) -> tuple[Outcome, ...]:
        key = str(run.path)
        if key not in measured:
            measured[key] = outcomes(run, wanted)
            step()
        return measured[key]

    notes, parts = list(first_notes), []
    for sweep in sweeps:
        notes += [*dropped_rows(sweep), *tokens_with_share(sweep)]
        for probe, by_model in table.items():
            here = [one for one in sweep.checkpoints if one.model in by_model]
            if not here:
                continue
            notes += missing_probe(sweep, probe, here)
            if not _has_slope(here):
                notes.append(too_few(sweep, probe, here))
                continue
            scored = [by_model[one.model] for one in here]
            base = _base(sweep, by_model)
            strangers = [by_model[name] for name in others if name in by_model]
            every = [*scored, *([] if base is None else [base]), *strangers]
            for run in every[1:]:
                refuse_other_texts(
                    (every[0], run),
                    chosen=any(one.chosen for one in (*of(every[0]), *of(run))),
                )
            measures, said = _measures(sweep, here, scored, base, strangers, of)
            notes += [f"{probe}, {sweep.title}: {note}" for note in said]
            if measures:
                parts.append(
                    SweepProbe(sweep=sweep, runs=tuple(scored), measures=measures)
                )
    if not parts:
        raise nothing_common(runs, notes)
    return DoseAnalysis(
        runs=tuple(runs),
        sweeps=tuple(sweeps),
        parts=tuple(parts),
        notes=tuple(dict.fromkeys(notes)),
    )


def _base(sweep: Sweep, by_model: Mapping[str, Run]) -> Run | None:
    """The base's run, where it is scored as the checkpoints are."""
    found = None if sweep.base is None else by_model.get(sweep.base)
    return found if found and found.manifest.model_kind == sweep.kind else None


def _has_slope(checkpoints: Sequence[Checkpoint]) -> bool:
    """Whether an arm has enough checkpoints, at two shares."""
    return any(_arm_has_slope(checkpoints, arm) for arm in _arms(checkpoints))


def _arms(checkpoints: Sequence[Checkpoint]) -> list[str]:
    return list(dict.fromkeys(one.training.arm for one in checkpoints))


def _arm_has_slope(checkpoints: Sequence[Checkpoint], arm: str) -> bool:
    shares = [one.share for one in checkpoints if one.training.arm == arm]
    return len(shares) >= MIN_CHECKPOINTS and len(set(shares)) > 1


def _measures(
    sweep: Sweep,
    checkpoints: Sequence[Checkpoint],
    runs: Sequence[Run],
    base: Run | None,
    strangers: Sequence[Run],
    of: Callable[[Run], tuple[Outcome, ...]],
) -> tuple[tuple[DoseMeasure, ...], list[str]]:
    """Every measure of a probe that has a slope, and notes on what is missing."""

    def key(outcome: Outcome) -> tuple[str, str, str]:
        return outcome.name, outcome.value_unit, outcome.grouping

    have: dict[tuple[str, str, str], list[tuple[Checkpoint, Scored]]] = {}
    for checkpoint, run in zip(checkpoints, runs, strict=True):
        for outcome in of(run):
            scored = Scored(run=run, outcome=outcome)
            have.setdefault(key(outcome), []).append((checkpoint, scored))
    others = {
        run.name: {key(one): Scored(run=run, outcome=one) for one in of(run)}
        for run in (*([] if base is None else [base]), *strangers)
    }
    found, notes = [], []
    for name, pairs in have.items():
        kept = [checkpoint for checkpoint, _ in pairs]
        notes += missing_measure(name[0], name[2], kept, checkpoints)
        if not _has_slope(kept):
            continue
        dosed = align_sweep(
            sweep,
            kept,
            [scored for _, scored in pairs],
            None if base is None else others[base.name].get(name),
            [
                one
                for run in strangers
                if (one := others[run.name].get(name)) is not None
            ],
        )
        if dosed is None:
            notes.append(f"{name[0]}: the checkpoints have no scored unit in common.")
            continue
        notes += lost_units(dosed)
        arms = [arm for arm in sweep.arms if _arm_has_slope(kept, arm)]
        notes += [absent_arm(name[0], arm) for arm in sweep.arms if arm not in arms]
        if any(not sweep.is_placebo(arm) for arm in arms):
            found.append(analyse_measure(dosed, arms))
    if not have:
        notes.append("no measure to compare checkpoints by.")
    return tuple(found), notes
