"""Findings on sweeps of training: what moves with the share, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from analysis.doseresponse import DoseMeasure, GapSlope, GroupDose
from analysis.doseresponse_measures import Estimate
from analysis.doseresponse_runs import SweepProbe
from analysis.doseresponse_words import (
    Named,
    arm_word,
    bent,
    line_name,
    named_pairs,
    seen_range,
    slope_text,
    unequal_words,
)
from analysis.html import Certainty, Finding, number
from analysis.stages_words import (
    beside_words,
    first_sentences,
    group_name,
    group_word,
    level_text,
    measure_title,
    side_of,
)

DOUBT = "uncertain: slopes may differ between seeds"
"""Said of a slope whose interval takes those of all seeds as equal."""

_Of = Callable[[GroupDose], Estimate | None]
_Sides = dict[int, list[Named]]


def part_findings(part: SweepProbe) -> tuple[Finding, ...]:
    """Everything found of one probe and sweep, measure by measure."""
    return tuple(
        finding for measure in part.measures for finding in measure_findings(measure)
    )


def measure_findings(measure: DoseMeasure) -> tuple[Finding, ...]:
    """What one measure shows: slopes of mean and groups, the placebo's, the gap's."""
    found = []
    for arm in measure.treatments:
        found += _overall(measure, arm)
        found.append(slope_finding(measure, arm))
        found += [_controlled(measure, arm, placebo) for placebo in measure.placebos]
        found += _others(measure, arm)
    found += [_placebo(measure, arm) for arm in measure.placebos]
    return tuple(found)


def summary_findings(measure: DoseMeasure) -> tuple[Finding, ...]:
    """The mean's slope in the first treatment or else the groups', and what is shown.

    Beside every slope that is kept stands what the placebo does to it.
    """
    found = []
    for place, arm in enumerate(measure.treatments):
        overall = _overall(measure, arm)
        found += [one for one in overall if place == 0 or one.certainty != "not shown"]
        slopes = slope_finding(measure, arm)
        beside = [_controlled(measure, arm, other) for other in measure.placebos]
        if slopes.certainty != "not shown" or not (place or overall):
            found += [slopes, *beside]
        else:
            found += [one for one in beside if one.certainty != "not shown"]
        found += [one for one in _others(measure, arm) if one.certainty != "not shown"]
    placebos = [_placebo(measure, arm) for arm in measure.placebos]
    return (*found, *(one for one in placebos if one.certainty != "not shown"))


def _others(measure: DoseMeasure, arm: str) -> list[Finding]:
    """Of one treatment, whose slopes are other than the reference's, and the gap's."""
    several = measure.aligned.reference is not None and len(measure.groups) > 1
    found = [_beyond(measure, arm)] if several else []
    return found + [_gap(measure, one) for one in measure.gaps if one.arm == arm]


def slope_finding(measure: DoseMeasure, arm: str) -> Finding:
    """For which groups the metric moves with the share."""
    attribute = measure.dosed.sweep.attribute
    beside = read_beside(measure) if measure.mean is None else ()
    return _moves(
        measure,
        f"{measure_title(measure)}{_of_arm(measure, arm)}",
        lambda one: one.of(arm).slope,
        {
            side: f"{word} with the share of {attribute}"
            for side, word in _direction(measure).items()
        },
        "change",
        before=lambda one: _base_words(measure, one),
        after=(*beside, *bent(measure, arm)),
    )


def read_beside(measure: DoseMeasure) -> tuple[str, ...]:
    """What must be read beside the levels, as a sentence; where it differs, of one."""
    every = measure.dosed.beside
    if not every:
        alike = beside_words(measure)
        return (alike,) if alike else ()
    place = next(place for place, text in enumerate(every) if text)
    said, model = every[place], measure.dosed.checkpoints[place].model
    return (
        f"Beside the levels of {model}: {said}. The table of levels has it of all.",
    )


def _overall(measure: DoseMeasure, arm: str) -> list[Finding]:
    """Whether the mean over groups moves, and beyond a placebo; none without a mean."""
    mean = measure.mean
    if mean is None:
        return []
    estimate = mean.of(arm).slope
    attribute, side = measure.dosed.sweep.attribute, side_of(estimate.record)
    lead = f"{measure_title(measure)}{_of_arm(measure, arm)}"
    name, doubt = line_name(measure, mean), f" ({DOUBT})" * estimate.doubtful
    said = []
    if side:
        word = _direction(measure)[side]
        said.append(f"the {name} {word} with the share of {attribute}{doubt}")
    elif estimate.record.p_value is None:
        said.append(f"whether the {name} changes cannot be said")
    else:
        seen = seen_range(measure, [estimate])
        said.append(f"no change shown of the {name}; could have seen {seen}")
    evidence = [
        f"Slope: {slope_text(measure, estimate)}, "
        f"{number(estimate.record.n, 0)} checkpoints{_base_words(measure, mean)}."
    ]
    for each in mean.controlled:
        if each.arm != arm:
            continue
        less = f"less {arm_word(each.placebo)}"
        other = each.estimate
        if other.record.p_value is not None:
            shown = {1: "above zero", -1: "below zero", 0: "no difference shown"}
            end = f" ({DOUBT})" * (other.doubtful and bool(side_of(other.record)))
            said.append(f"{less}, {shown[side_of(other.record)]}{end}")
        evidence.append(f"{less.capitalize()}: {slope_text(measure, other)}.")
    pairs = [(mean, estimate)] if side else []
    return [
        Finding(
            claim=f"{lead}: {'; '.join(said)}.",
            evidence=(
                *evidence,
                *read_beside(measure),
                *unequal_words(measure, pairs),
            ),
            certainty=_certainty(estimate),
        )
    ]


def _controlled(measure: DoseMeasure, arm: str, placebo: str) -> Finding:
    """Whose slope is other than what redrawing rows does by itself."""
    slope = "the slope beyond what redrawing rows does by itself is"
    return _moves(
        measure,
        f"{measure_title(measure)}, {arm_word(arm)} less {arm_word(placebo)}",
        lambda one: next(
            each.estimate
            for each in one.controlled
            if (each.arm, each.placebo) == (arm, placebo)
        ),
        {1: f"{slope} above zero", -1: f"{slope} below zero"},
        "difference",
    )


def _beyond(measure: DoseMeasure, arm: str) -> Finding:
    """Whose slope is other than the reference group's."""
    reference = group_name(measure, measure.aligned.reference or "")
    slope = "the slope is {} that of " + reference
    return _moves(
        measure,
        f"{measure_title(measure)}{_of_arm(measure, arm)}, less {reference}",
        lambda one: one.of(arm).beyond,
        {1: slope.format("above"), -1: slope.format("below")},
        "difference",
    )


def _moves(
    measure: DoseMeasure,
    lead: str,
    of: _Of,
    words: Mapping[int, str],
    what: str,
    *,
    before: Callable[[GroupDose], str] = lambda one: "",
    after: tuple[str, ...] = (),
) -> Finding:
    """What is above and below zero, and what could have been seen of the rest.

    Args:
        measure: Whose groups they are.
        lead: What is asked.
        of: The estimate of a group.
        words: What is said of a side.
        what: What is not shown of the rest.
        before: What is said of a group's level before training.
        after: Sentences after those of the groups.
    """
    sides = _sides(measure, of)
    parts = []
    certainty: Certainty = "not shown"
    for doubtful, end in ((False, ""), (True, f" ({DOUBT})")):
        for side, word in words.items():
            pairs = [pair for pair in sides[side] if pair[1].doubtful == doubtful]
            if not pairs:
                continue
            whom = (
                f" for {named_pairs(measure, pairs)}" if len(measure.groups) > 1 else ""
            )
            parts.append(f"{word}{whom}{end}")
            if certainty == "not shown":
                certainty = "uncertain" if doubtful else "supported"
    return Finding(
        claim=_claim(measure, lead, parts, sides[0], what),
        evidence=_evidence(measure, sides, before)
        + unequal_words(measure, [*sides[1], *sides[-1]])
        + after,
        certainty=certainty,
    )


def _gap(measure: DoseMeasure, gap: GapSlope) -> Finding:
    """Whether groups move apart with the share."""
    record, attribute = gap.estimate.record, measure.dosed.sweep.attribute
    side = side_of(record)
    what = f"the gap between the highest and the lowest {group_word(measure)}"
    lead = f"{measure_title(measure)}{_of_arm(measure, gap.arm)}"
    word = "widens" if side > 0 else "narrows"
    if side:
        end = f" ({DOUBT})" if gap.estimate.doubtful else ""
        claim = f"{lead}: {what} {word} with the share of {attribute}{end}."
    elif record.p_value is None:
        claim = f"{lead}: whether {what} moves cannot be said."
    else:
        claim = f"{lead}: no change shown of {what}."
    return Finding(
        claim=claim,
        evidence=(
            f"{slope_text(measure, gap.estimate)}. The gap is above zero in any "
            "sample; it counts as moved only where the groups' slopes are shown to be "
            "unequal as well.",
        ),
        certainty=_certainty(gap.estimate),
    )


def _certainty(estimate: Estimate) -> Certainty:
    """How sure a single slope is."""
    if not side_of(estimate.record):
        return "not shown"
    return "uncertain" if estimate.doubtful else "supported"


def _placebo(measure: DoseMeasure, arm: str) -> Finding:
    """What moves where rows are drawn anew, and nothing else."""
    sides = _sides(measure, lambda one: one.of(arm).slope)
    moved = [*sides[1], *sides[-1]]
    lead = f"{measure_title(measure)}, {arm_word(arm)}"
    if moved:
        whom = f" for {named_pairs(measure, moved)}" if len(measure.groups) > 1 else ""
        claim = (
            f"{lead}: the slope is shown to be other than zero{whom}, though rows are "
            "only drawn anew there: redrawing rows moves the metric by itself."
        )
    else:
        claim = _claim(measure, lead, [], sides[0])
    return Finding(
        claim=claim,
        evidence=_evidence(measure, sides) + unequal_words(measure, moved),
        certainty="note" if moved else "not shown",
    )


def _direction(measure: DoseMeasure) -> dict[int, str]:
    if measure.aligned.outcome.value_unit == "rank":
        return {1: "less favoured", -1: "more favoured"}
    return {1: "rises", -1: "falls"}


def _of_arm(measure: DoseMeasure, arm: str) -> str:
    """Which arm, where there are several treatments."""
    return f", {arm_word(arm)}" if len(measure.treatments) > 1 else ""


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
    rest: Sequence[Named],
    what: str = "change",
) -> str:
    """What is shown, and of the rest that nothing is and what could have been seen."""
    tested = [pair for pair in rest if pair[1].record.p_value is not None]
    said = list(parts)
    if tested:
        whom = (
            f" for {named_pairs(measure, tested, examples=False)}"
            if len(measure.groups) > 1
            else ""
        )
        seen = seen_range(measure, [one for _, one in tested])
        said.append(f"no {what} shown{whom}; could have seen {seen}")
    if not said:
        return f"{lead}: whether there is a {what} cannot be said."
    return f"{lead}: {'; '.join(said)}."


def _evidence(
    measure: DoseMeasure,
    sides: _Sides,
    before: Callable[[GroupDose], str] = lambda one: "",
) -> tuple[str, ...]:
    pairs = [*sides[1], *sides[-1], *sides[0]]
    sentences = [
        f"{line_name(measure, one)}: {slope_text(measure, estimate)}, "
        f"{number(estimate.record.n, 0)} checkpoints{before(one)}."
        for one, estimate in pairs
    ]
    return first_sentences(measure, sentences)


def _base_words(measure: DoseMeasure, one: GroupDose) -> str:
    level = measure.base(one)
    return "" if level is None else f" (base {level_text(measure, level)})"
