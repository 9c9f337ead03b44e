"""Findings on stages of training: what changed for whom, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.html import Finding, number
from analysis.records import Record
from analysis.stages import GapStep, GroupResult, MeasureResult, Step
from analysis.stages_runs import Comparison
from analysis.stages_words import (
    beside_words,
    change_text,
    first_sentences,
    gap_text,
    group_name,
    group_word,
    groups_of,
    level_text,
    measure_title,
    named,
    side_of,
    side_words,
    stage_word,
    step_words,
)
from analysis.wording import p_of, p_words

_Sides = dict[int, list[GroupResult]]


def comparison_findings(comparison: Comparison) -> tuple[Finding, ...]:
    """Everything found of one probe and lineage, measure by measure."""
    return tuple(
        finding
        for measure in comparison.measures
        for finding in measure_findings(comparison, measure)
    )


def measure_findings(
    comparison: Comparison, measure: MeasureResult
) -> tuple[Finding, ...]:
    """What one measure shows: changes, whose are other than the reference's, the gap.

    Each later stage has its own.
    """
    found = []
    for place in range(1, len(measure.aligned.measured)):
        found.append(change_finding(measure, place))
        if measure.aligned.reference is not None and len(measure.groups) > 1:
            found.append(_beyond_finding(comparison, measure, place))
        for gap in measure.gap_steps:
            if gap.place == place:
                found.append(_gap_finding(measure, gap))
    return tuple(found)


def change_finding(measure: MeasureResult, place: int) -> Finding:
    """For which groups a stage is above or below the base."""
    sides = _sides(measure, place, lambda step: step.change)
    title = measure_title(measure)
    stages = [one.stage for one in measure.aligned.measured]
    before, after = stage_word(stages[0]), stage_word(stages[place])
    several = len(measure.groups) > 1
    parts = [
        f"{word} in {after} than in {before}"
        + (f" for {named(measure, _groups(sides[side]))}" if several else "")
        for side, word in side_words(measure)
        if sides[side]
    ]
    tested = [one for one in measure.groups if _p(_step(one, place).change) is not None]
    if parts:
        rest = [one for one in sides[0] if one in tested]
        if rest:
            parts.append(
                f"not shown for {named(measure, _groups(rest), examples=False)}"
            )
        claim = f"{title}: {'; '.join(parts)}."
    else:
        whom = f" for any of {groups_of(measure, len(tested))}" if several else ""
        claim = (
            f"{title}: that {after} differs from {before} is not shown{whom}."
            if tested
            else f"{title}: whether {after} differs from {before} cannot be said."
        )
    beside = beside_words(measure)
    return Finding(
        claim=claim,
        evidence=_evidence(
            measure, [*sides[1], *sides[-1], *sides[0]], place, _change_evidence
        )
        + ((beside,) if beside else ()),
        certainty="supported" if sides[1] or sides[-1] else "not shown",
    )


def _beyond_finding(
    comparison: Comparison, measure: MeasureResult, place: int
) -> Finding:
    """Whose change differs from the reference group's."""
    reference = group_name(measure, measure.aligned.reference or "")
    others = [one for one in measure.groups if _step(one, place).beyond is not None]
    sides = _sides(measure, place, lambda step: step.beyond, others)
    title = measure_title(measure)
    kind = "change" if comparison.trained else "difference"
    change = f"the {kind} {step_words(measure, place)}"
    parts = [
        f"for {named(measure, _groups(sides[side]))} {{}} {word}"
        for side, word in ((1, "above"), (-1, "below"))
        if sides[side]
    ]
    if parts:
        first, *second = parts
        claim = f"{title}: {first.format(f'{change} is')} that for {reference}"
        claim += "".join(f"; {part.format('it is')}" for part in second) + "."
    else:
        tested = [one for one in others if _p(_step(one, place).beyond) is not None]
        asked = tested or others
        whom = (
            f"any of {groups_of(measure, len(asked))}"
            if len(asked) > 1
            else group_name(measure, asked[0].group)
        )
        differs = f"{change} differs from that for {reference}"
        claim = (
            f"{title}: that {differs} is not shown for {whom}."
            if tested
            else f"{title}: whether {differs} cannot be said for {whom}."
        )
    return Finding(
        claim=claim,
        evidence=_evidence(
            measure, [*sides[1], *sides[-1], *sides[0]], place, _beyond_evidence
        ),
        certainty="supported" if parts else "not shown",
    )


def _gap_finding(measure: MeasureResult, gap: GapStep) -> Finding:
    """Whether the groups came closer or moved apart."""
    side = side_of(gap.change)
    before, after = measure.gaps[0], measure.gaps[gap.place]
    what = f"the gap between the highest and the lowest {group_word(measure)}"
    stages = [one.stage for one in measure.aligned.measured]
    first, then = stage_word(stages[0]), stage_word(stages[gap.place])
    title = measure_title(measure)
    word = "wider" if side > 0 else "narrower"
    return Finding(
        claim=f"{title}: {what} is {word} in {then} than in {first}."
        if side
        else f"{title}: that {what} differs from {first} to {then} is not shown.",
        evidence=(
            f"{gap_text(measure, before.estimate)} in {first}, "
            f"{gap_text(measure, after.estimate)} in {then}; "
            f"{p_words(p_of(gap.change), ' after Holm')} by swapping the labels of the "
            "two within units, which alone changes the gap by "
            f"{gap_text(measure, gap.permuted.estimate)} on average, and by whether "
            "all groups changed alike.",
        ),
        certainty="supported" if side else "not shown",
    )


def _step(one: GroupResult, place: int) -> Step:
    return next(step for step in one.steps if step.place == place)


def _p(record: Record | None) -> float | None:
    return None if record is None else record.p_value


def _sides(
    measure: MeasureResult,
    place: int,
    of: Callable[[Step], Record | None],
    groups: Sequence[GroupResult] | None = None,
) -> _Sides:
    """Groups above zero, below it, and not shown; each the largest first.

    Of what is not shown, what is tested comes first.
    """
    found: _Sides = {1: [], -1: [], 0: []}
    for one in measure.groups if groups is None else groups:
        found[side_of(of(_step(one, place)))].append(one)

    def size(one: GroupResult) -> tuple[bool, float]:
        record = of(_step(one, place))
        if record is None:
            return True, 0.0
        return record.p_value is None, -abs(record.estimate or 0.0)

    for groups_of_side in found.values():
        groups_of_side.sort(key=size)
    return found


def _groups(found: Sequence[GroupResult]) -> list[str]:
    return [one.group for one in found]


def _evidence(
    measure: MeasureResult,
    groups: Sequence[GroupResult],
    place: int,
    text: Callable[[MeasureResult, GroupResult, int], str],
) -> tuple[str, ...]:
    return first_sentences(measure, [text(measure, one, place) for one in groups])


def _change_evidence(measure: MeasureResult, one: GroupResult, place: int) -> str:
    step = _step(one, place)
    return (
        f"{group_name(measure, one.group)}: "
        f"{level_text(measure, one.levels[0].estimate)} to "
        f"{level_text(measure, one.levels[place].estimate)}, "
        f"{change_text(measure, step.change)}, n\u00a0=\u00a0"
        f"{number(step.change.n, 0)}."
    )


def _beyond_evidence(measure: MeasureResult, one: GroupResult, place: int) -> str:
    record = _step(one, place).beyond
    assert record is not None
    return f"{group_name(measure, one.group)}: {change_text(measure, record)}."
