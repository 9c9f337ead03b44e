"""Runs and lineages -> what is compared with what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.dialects import check_reference
from analysis.html import join_words, number
from analysis.load import Run
from analysis.outcome import Outcome
from analysis.outcomes import outcomes
from analysis.part import Step, Wanted
from analysis.records import Record
from analysis.resample import DRAWS
from analysis.stages import MeasureResult, analyse_stages
from analysis.stages_data import Measured, align, refuse_other_texts, runs_by_probe
from analysis.stages_words import group_name, group_word, stage_word
from analysis.wording import count_of
from probe.types import Lineage, Stage, UsageError

SHORT = 0.2
"""Share of a checkpoint's values that may be left out without a word of advice."""


def missing_stages(lineage: Lineage, kept: Lineage) -> list[str]:
    """Stages that come before the first of which there is a run."""
    first = kept.stages[0]
    before = lineage.stages[: lineage.stages.index(first)]
    if not before:
        return []
    return [
        f"{lineage.name}: there is no run of {join_words(list(map(_called, before)))}, "
        f"so that changes are from {_called(first)}."
    ]


def missing_runs(
    probe: str, lineage: Lineage, by_model: Mapping[str, Run]
) -> list[str]:
    """Stages with runs of other probes, and none of this one."""
    here = [one for one in lineage.stages if one.model in by_model]
    absent = [one for one in lineage.stages if one.model not in by_model]
    if not absent:
        return []
    names = join_words([one.model for one in absent])
    if len(here) < 2:
        return [
            f"{probe}, {lineage.name}: nothing to compare, as {names} did not run on "
            "it."
        ]
    text = f"{probe}, {lineage.name}: {names} did not run on it"
    if here[0] != lineage.stages[0]:
        text += f", so that changes are from {_called(here[0])}"
    return [f"{text}."]


def _called(stage: Stage) -> str:
    """A model, and what it is in its lineage where that is known."""
    word = stage_word(stage)
    return stage.model if word == stage.model else f"{stage.model} ({word})"


def precision(lineage: Lineage, runs: Sequence[Run]) -> list[str]:
    """Checkpoints that were scored in another precision than the first."""
    forms: dict[str, list[str]] = {}
    for run in runs:
        loaded = (run.manifest.config or {}).get("quantization")
        form = " ".join(str(one) for one in (run.manifest.dtype, loaded) if one)
        if form:
            forms.setdefault(form, []).append(run.model)
    if len(forms) < 2:
        return []
    scored = [f"{join_words(names)} in {form}" for form, names in forms.items()]
    return [
        f"{lineage.name}: {join_words(scored)}. What the precision changes is part of "
        "every difference."
    ]


def lost_values(measure: MeasureResult) -> list[str]:
    """Values that one checkpoint has and another has not, and groups without any."""
    aligned = measure.aligned
    kept = aligned.values.shape[1]
    lost = [
        (one.stage.model, n, n / (n + kept))
        for one, n in zip(aligned.measured, aligned.left_out, strict=True)
        if n
    ]
    if not lost:
        return []
    counts = join_words([f"{number(n, 0)} of {model}" for model, n, _ in lost])
    name = aligned.outcome.name
    text = f"{name}: {count_of(kept, 'value')} that all have; left out are {counts}"
    if aligned.lacking:
        names = [group_name(measure, one) for one in aligned.lacking]
        some = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"]
        text += f", and with them all of {join_words(some)}"
    if max(share for _, _, share in lost) > SHORT:
        text += (
            ". The run that has least decides on what all are compared: score the "
            "rest, or leave it out"
        )
    return [f"{text}."]


def other_reference(measure: MeasureResult) -> list[str]:
    """A reference group that is not here, or stands in for one that is not."""
    aligned, word = measure.aligned, group_word(measure)
    outcome = aligned.outcome
    if outcome.reference is not None and aligned.reference is None:
        return [
            f"no {word} {outcome.reference} that all have, so that no change is held "
            "against its."
        ]
    if outcome.wanted is not None and aligned.reference is not None:
        return [
            f"no {word} {outcome.wanted}, so that {aligned.reference} is the reference."
        ]
    return []


SIDE_BY_SIDE = "models side by side"
"""Name of what is compared where no lineage is known."""
MODEL = "model"
"""Role of a checkpoint of which nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One probe through the stages of one lineage."""

    lineage: Lineage
    """The stages that ran on the probe; each is compared with the first."""
    runs: tuple[Run, ...]
    """One per stage."""
    measures: tuple[MeasureResult, ...]

    @property
    def trained(self) -> bool:
        """Whether the models were made one from another."""
        return is_trained(self.lineage.stages)

    @property
    def probe(self) -> str:
        """Name of the probe, without its version."""
        return self.runs[0].manifest.probe

    @property
    def key(self) -> str:
        """Lineage and probe, unique in a comparison."""
        return f"{self.lineage.name} {self.probe}"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Everything that some runs allow to compare."""

    runs: tuple[Run, ...]
    """Every run given."""
    comparisons: tuple[Comparison, ...]
    """Probe by probe, in the order of the runs; of each the lineages."""
    notes: tuple[str, ...]
    """What could not be compared, as sentences."""
    draws: int

    @property
    def records(self) -> tuple[Record, ...]:
        """Of all comparisons; what two lineages share stands once."""
        found = [
            record
            for one in self.comparisons
            for measure in one.measures
            for record in measure.records
        ]
        return tuple(dict.fromkeys(found))

    def of_probe(self) -> list[list[Comparison]]:
        """The comparisons of each probe."""
        found: dict[str, list[Comparison]] = {}
        for one in self.comparisons:
            found.setdefault(one.probe, []).append(one)
        return list(found.values())


def is_trained(stages: Sequence[Stage]) -> bool:
    """Whether checkpoints were made one from another, as far as is known."""
    return stages[0].role != MODEL


def compare_runs(
    runs: Sequence[Run],
    lineages: Sequence[Lineage],
    wanted: Wanted,
    *,
    draws: int = DRAWS,
    step: Step = lambda: None,
) -> Compared:
    """Compares the stages of every lineage of which two models have runs.

    Models of no such lineage stand side by side, in the order given: the first is what
    the others are compared with.

    Args:
        runs: Of one or more probes, one per model and probe.
        lineages: What was made from what.
        wanted: Reference groups, and how survey answers are compared.
        draws: Bootstrap draws, and permutations.
        step: Called once a run.

    Raises:
        UsageError: A reference dialect that no run has, one model only, two runs of
            one model on one probe, no probe that two models of a lineage ran on, or
            ranks among different groups.
        StoreError: Two runs have different texts under one id.
        DataError: A run has too little to analyse.
    """
    table = runs_by_probe(runs)
    _refuse_one_model(runs)
    if of_dialects := [run for run in runs if "dialect" in run.frame.columns]:
        check_reference(of_dialects, wanted.reference_dialect)
    chosen, notes = _lineages(runs, lineages)
    for lineage in chosen:
        notes += precision(lineage, _of_models(runs, lineage))
    measured: dict[str, tuple[Outcome, ...]] = {}

    def of(run: Run) -> tuple[Outcome, ...]:
        key = str(run.path)
        if key not in measured:
            measured[key] = outcomes(run, wanted)
            step()
        return measured[key]

    found = []
    for probe, by_model in table.items():
        here, absent = [], list[str]()
        for lineage in chosen:
            stages = tuple(one for one in lineage.stages if one.model in by_model)
            if stages:
                absent += missing_runs(probe, lineage, by_model)
            if len(stages) < 2:
                continue
            here.append(
                (
                    Lineage(name=lineage.name, stages=stages),
                    tuple(by_model[stage.model] for stage in stages),
                )
            )
        for lineage, stage_runs in here:
            measured_by = [one for run in stage_runs for one in of(run)]
            refuse_other_texts(
                stage_runs, chosen=any(one.chosen for one in measured_by)
            )
            measures, lacking = _measures(lineage, stage_runs, of, draws)
            notes += [f"{probe}, {lineage.name}: {note}" for note in lacking]
            if measures:
                found.append(
                    Comparison(lineage=lineage, runs=stage_runs, measures=measures)
                )
        if here:
            notes += absent
        else:
            notes.append(
                f"{probe}: nothing to compare, as it was run with "
                f"{join_words(list(by_model))} only."
            )
    if not found:
        raise _nothing_common(runs, chosen, notes)
    return Compared(
        runs=tuple(runs), comparisons=tuple(found), notes=tuple(notes), draws=draws
    )


def _refuse_one_model(runs: Sequence[Run]) -> None:
    if len({run.model for run in runs}) < 2:
        raise UsageError(
            f"the {len(runs)} runs are all of {runs[0].model}"
            if len(runs) > 1
            else f"{runs[0].name} is one run",
            "A comparison is of at least two models",
            "Name runs of another model as well",
        )


def _lineages(
    runs: Sequence[Run], lineages: Sequence[Lineage]
) -> tuple[list[Lineage], list[str]]:
    """The lineages to compare, and notes on models that are in none."""
    models = list(dict.fromkeys(run.model for run in runs))
    chosen, notes = [], list[str]()
    for lineage in lineages:
        stages = tuple(one for one in lineage.stages if one.model in models)
        if len(stages) >= 2:
            kept = Lineage(name=lineage.name, stages=stages)
            chosen.append(kept)
            notes += missing_stages(lineage, kept)
    placed = {stage.model for lineage in chosen for stage in lineage.stages}
    rest = [model for model in models if model not in placed]
    if len(rest) >= 2:
        stages = tuple(Stage(role=MODEL, model=model) for model in rest)
        chosen.append(Lineage(name=SIDE_BY_SIDE, stages=stages))
    elif rest:
        notes.append(
            f"{rest[0]} is left out: it shares no lineage with another of the models "
            "(a lineage can be given with --families)."
        )
    return chosen, notes


def _of_models(runs: Sequence[Run], lineage: Lineage) -> list[Run]:
    """The first run of each model of a lineage."""
    return [
        next(run for run in runs if run.model == stage.model)
        for stage in lineage.stages
    ]


def _measures(
    lineage: Lineage,
    runs: Sequence[Run],
    of: Callable[[Run], tuple[Outcome, ...]],
    draws: int,
) -> tuple[tuple[MeasureResult, ...], list[str]]:
    """Every measure that two stages have, and notes on what is missing."""
    have: dict[tuple[str, str, str], list[Measured]] = {}
    for stage, run in zip(lineage.stages, runs, strict=True):
        for outcome in of(run):
            have.setdefault(
                (outcome.name, outcome.value_unit, outcome.grouping), []
            ).append(
                Measured(stage=stage, run=run.name, probe=run.probe, outcome=outcome)
            )
    if not have:
        return (), ["no measure to compare stages by."]
    found, notes = [], []
    for (name, _, grouping), measured in have.items():
        models = [one.stage.model for one in measured]
        if len(measured) < len(runs):
            notes.append(
                f"{name} by {grouping} is measured of {join_words(models)} only."
            )
        if len(measured) < 2:
            continue
        aligned = align(lineage.name, measured)
        if aligned is None:
            notes.append(f"{name}: {join_words(models)} have no scored unit in common.")
            continue
        result = analyse_stages(
            aligned, draws=draws, trained=is_trained(lineage.stages)
        )
        found.append(result)
        notes += [*lost_values(result), *other_reference(result)]
    return tuple(found), list(dict.fromkeys(notes))


def _nothing_common(
    runs: Sequence[Run], lineages: Sequence[Lineage], notes: Sequence[str]
) -> UsageError:
    by_model: dict[str, list[str]] = {}
    for run in runs:
        by_model.setdefault(run.model, []).append(run.manifest.probe)
    probes = "; ".join(
        f"{model} ran on {join_words(names)}" for model, names in by_model.items()
    )
    common = [set(names) for names in by_model.values()]
    if any(a & b for i, a in enumerate(common) for b in common[i + 1 :]):
        return UsageError(
            f"nothing of the runs can be compared: {' '.join(notes)}",
            "Two models of a lineage have scored the same items in the same measure",
            "Score the items that are missing, or name other runs",
        )
    return UsageError(
        f"the runs have no probe in common: {probes}",
        "Models are compared on a probe that at least two of them ran on",
        "Score the missing probe, or name other runs",
    )
