"""Runs of the checkpoints of sweeps -> what a share of their training rows does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.dialects import check_reference
from analysis.doseresponse import DoseMeasure, analyse_measure
from analysis.doseresponse_data import Scored, align_sweep
from analysis.doseresponse_lines import MIN_CHECKPOINTS
from analysis.doseresponse_notes import (
    absent_arm,
    dropped_rows,
    lost_units,
    missing_measure,
    missing_probe,
    nothing_common,
    tokens_with_share,
    too_few,
)
from analysis.doseresponse_sweep import Checkpoint, Sweep, find_sweeps, other_models
from analysis.load import Run
from analysis.outcome import Outcome
from analysis.outcomes import outcomes
from analysis.part import Step, Wanted
from analysis.records import Record
from analysis.stages_data import refuse_other_texts, runs_by_probe


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
