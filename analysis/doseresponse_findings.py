"""Findings on sweeps of training: what moves with the share, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.doseresponse import DoseMeasure, GapSlope, GroupDose
from analysis.doseresponse_measures import Estimate
from analysis.doseresponse_runs import SweepProbe
from analysis.doseresponse_words import (
    arm_word,
    bent,
    seen_range,
    seen_text,
    slope_text,
)
from analysis.html import Certainty, Finding, join_words, number
from analysis.stages_words import (
    MOST_NAMED,
    group_name,
    group_word,
    groups_of,
    level_text,
    measure_title,
    side_of,
)

MOST_EVIDENCE = 6
"""Groups whose numbers stand in a finding; the table has them all."""

_Of = Callable[[GroupDose], Estimate | None]
_Sides = dict[int, list[tuple[GroupDose, Estimate]]]


def part_findings(part: SweepProbe) -> tuple[Finding, ...]:
    """Everything found of one probe and sweep, measure by measure."""
    return tuple(
        finding for measure in part.measures for finding in measure_findings(measure)
    )


def measure_findings(measure: DoseMeasure) -> tuple[Finding, ...]:
    """What one measure shows: slopes, the placebo's, whose are other, the gap's."""
    found = []
    for arm in measure.treatments:
        found.append(slope_finding(measure, arm))
        found += [_controlled(measure, arm, placebo) for placebo in measure.placebos]
        if measure.aligned.reference is not None and len(measure.groups) > 1:
            found.append(_beyond(measure, arm))
        found += [_gap(measure, one) for one in measure.gaps if one.arm == arm]
    found += [_placebo(measure, arm) for arm in measure.placebos]
    return tuple(found)


def slope_finding(measure: DoseMeasure, arm: str) -> Finding:
    """For which groups the metric moves with the share."""
    title, attribute = measure_title(measure), measure.dosed.sweep.attribute
    sides = _sides(measure, lambda one: one.of(arm).slope)
    words = _direction(measure)
    parts = [
        f"{words[side]} with the share of {attribute}"
        + (f" for {_named(measure, sides[side])}" if len(measure.groups) > 1 else "")
        for side in (1, -1)
        if sides[side]
    ]
    claim = _claim(measure, f"{title}{_of_arm(measure, arm)}", parts, sides[0])
    return Finding(
        claim=claim,
        evidence=_evidence(measure, sides, lambda one: _base_words(measure, one))
        + bent(measure, arm),
        certainty=_certainty(parts),
    )


def _controlled(measure: DoseMeasure, arm: str, placebo: str) -> Finding:
    """Whose slope is other than in the placebo."""
    sides = _sides(
        measure,
        lambda one: next(
            each.estimate
            for each in one.controlled
            if (each.arm, each.placebo) == (arm, placebo)
        ),
    )
    lead = f"{measure_title(measure)}, {arm_word(arm)} less {arm_word(placebo)}"
    parts = [
        f"the slope is {word}"
        + (f" for {_named(measure, sides[side])}" if len(measure.groups) > 1 else "")
        for side, word in ((1, "above the placebo's"), (-1, "below the placebo's"))
        if sides[side]
    ]
    return Finding(
        claim=_claim(measure, lead, parts, sides[0], "difference"),
        evidence=_evidence(measure, sides),
        certainty=_certainty(parts),
    )


def _beyond(measure: DoseMeasure, arm: str) -> Finding:
    """Whose slope is other than the reference group's."""
    reference = group_name(measure, measure.aligned.reference or "")

    def of(one: GroupDose) -> Estimate | None:
        return one.of(arm).beyond

    sides = _sides(measure, of)
    lead = f"{measure_title(measure)}{_of_arm(measure, arm)}, less {reference}"
    parts = [
        f"the slope is {word} that of {reference} for {_named(measure, sides[side])}"
        for side, word in ((1, "above"), (-1, "below"))
        if sides[side]
    ]
    return Finding(
        claim=_claim(measure, lead, parts, sides[0], "difference"),
        evidence=_evidence(measure, sides),
        certainty=_certainty(parts),
    )


def _gap(measure: DoseMeasure, gap: GapSlope) -> Finding:
    """Whether groups move apart with the share."""
    record, attribute = gap.estimate.record, measure.dosed.sweep.attribute
    side = side_of(record)
    what = f"the gap between the highest and the lowest {group_word(measure)}"
    lead = f"{measure_title(measure)}{_of_arm(measure, gap.arm)}"
    word = "widens" if side > 0 else "narrows"
    seen = seen_text(measure, gap.estimate)
    if side:
        claim = f"{lead}: {what} {word} with the share of {attribute}."
    elif record.p_value is None:
        claim = f"{lead}: whether {what} moves cannot be said."
    else:
        claim = f"{lead}: no change shown of {what}" + (f"; {seen}." if seen else ".")
    return Finding(
        claim=claim,
        evidence=(
            f"{slope_text(measure, gap.estimate)}. The gap is above zero in any "
            "sample; it counts as moved only where the groups' slopes are shown to be "
            "unequal as well.",
        ),
        certainty="supported" if side else "not shown",
    )


def _placebo(measure: DoseMeasure, arm: str) -> Finding:
    """What moves with a share that means nothing."""
    sides = _sides(measure, lambda one: one.of(arm).slope)
    moved = [*sides[1], *sides[-1]]
    title = measure_title(measure)
    if moved:
        claim = (
            f"{title}, {arm_word(arm)}: the slope is shown to be other than zero for "
            f"{_named(measure, moved)}, though the share means nothing there: only "
            "what the treatment does beyond that is an effect of the rows."
        )
    else:
        claim = _claim(measure, f"{title}, {arm_word(arm)}", [], sides[0])
    return Finding(
        claim=claim,
        evidence=_evidence(measure, sides),
        certainty="note" if moved else "not shown",
    )


def _direction(measure: DoseMeasure) -> dict[int, str]:
    if measure.aligned.outcome.value_unit == "rank":
        return {1: "less favoured", -1: "more favoured"}
    return {1: "rises", -1: "falls"}


def _of_arm(measure: DoseMeasure, arm: str) -> str:
    """Which arm, where there are several treatments."""
    return f", {arm_word(arm)}" if len(measure.treatments) > 1 else ""


def _certainty(parts: Sequence[str]) -> Certainty:
    return "supported" if parts else "not shown"


def _sides(measure: DoseMeasure, of: _Of) -> _Sides:
    """Groups above zero, below it, and not shown; each the largest first.

    Of what is not shown, what is tested comes first.
    """
    found: _Sides = {1: [], -1: [], 0: []}
    for one in measure.groups:
        estimate = of(one)
        if estimate is not None:
            found[side_of(estimate.record)].append((one, estimate))
    for pairs in found.values():
        pairs.sort(
            key=lambda pair: (
                pair[1].record.p_value is None,
                -abs(pair[1].record.estimate or 0.0),
            )
        )
    return found


def _claim(
    measure: DoseMeasure,
    lead: str,
    parts: Sequence[str],
    rest: Sequence[tuple[GroupDose, Estimate]],
    what: str = "change",
) -> str:
    """What is shown, and of the rest that nothing is and what could have been seen."""
    tested = [pair for pair in rest if pair[1].record.p_value is not None]
    said = list(parts)
    if tested:
        whom = (
            f" for {_named(measure, tested, examples=False)}"
            if len(measure.groups) > 1
            else ""
        )
        seen = seen_range(measure, [one for _, one in tested])
        said.append(f"no {what} shown{whom}; could have seen {seen}")
    if not said:
        return f"{lead}: whether there is a {what} cannot be said."
    return f"{lead}: {'; '.join(said)}."


def _named(
    measure: DoseMeasure,
    pairs: Sequence[tuple[GroupDose, Estimate]],
    *,
    examples: bool = True,
) -> str:
    """The groups, or of many how many and the first."""
    names = [group_name(measure, one.group) for one, _ in pairs]
    if len(names) <= MOST_NAMED:
        return join_words(names)
    of = groups_of(measure, len(measure.groups))
    some = join_words([*names[: MOST_NAMED - 1], "others"])
    return f"{number(len(names), 0)} of {of}" + (f" ({some})" if examples else "")


def _evidence(
    measure: DoseMeasure,
    sides: _Sides,
    before: Callable[[GroupDose], str] = lambda one: "",
) -> tuple[str, ...]:
    pairs = [*sides[1], *sides[-1], *sides[0]]
    sentences = [
        f"{group_name(measure, one.group)}: {slope_text(measure, estimate)}, "
        f"{number(estimate.record.n, 0)} checkpoints{before(one)}."
        for one, estimate in pairs[:MOST_EVIDENCE]
    ]
    if (more := len(pairs) - MOST_EVIDENCE) > 0:
        sentences.append(f"{groups_of(measure, more)} more: see the table.")
    return tuple(sentences)


def _base_words(measure: DoseMeasure, one: GroupDose) -> str:
    if measure.dosed.base is None:
        return ""
    level = measure.dosed.base[measure.aligned.groups.index(one.group)]
    return f" (base {level_text(measure, level)})"
