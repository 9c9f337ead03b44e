"""What a reader must know of a comparison of stages before its first number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.html import join_words, number
from analysis.load import Run
from analysis.stages import MeasureResult
from analysis.stages_words import group_name, group_word, stage_word
from analysis.wording import count_of
from probe.types import Lineage, Stage

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
