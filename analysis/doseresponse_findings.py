"""Findings on sweeps of training: what moves with the share, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from analysis.doseresponse import UNEQUAL, DoseMeasure, Estimate, GapSlope, GroupDose
from analysis.doseresponse_runs import SweepProbe
from analysis.doseresponse_sweep import Sweep
from analysis.html import Certainty, Finding, join_words, number
from analysis.stages_words import (
    FEW_GROUPS,
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
)
from analysis.wording import percent

Named = tuple[GroupDose, Estimate]
"""A group with one of its estimates."""
STRAIGHT = 0.05
"""P-value below which a note says that a straight line does not fit."""


def lower_title(measure: DoseMeasure) -> str:
    """The measure's title within a sentence."""
    title = measure_title(measure)
    return title[:1].lower() + title[1:]


def from_to(sweep: Sweep) -> str:
    """``from no to only rows in Finnish``."""
    return f"from no to only {sweep.attribute}"


def shares_words(sweep: Sweep) -> str:
    """``0%, 50% and 100%``."""
    shares = sorted({one.share for one in sweep.checkpoints})
    return join_words([percent(share) for share in shares])


def beyond_shares(sweep: Sweep) -> str:
    """That a slope from none to all reaches beyond what was trained; or nothing."""
    shares = [one.share for one in sweep.checkpoints]
    if min(shares) == 0 and max(shares) == 1:
        return ""
    return (
        "A slope is given for 100 points of the share, which is more than was trained: "
        "beyond these shares it is a guess. "
    )


def arm_word(arm: str) -> str:
    """An arm within a sentence: ``the treatment``, ``the placebo``; or its name."""
    return f"the {arm}" if arm in ("treatment", "placebo") else f"arm {arm}"


def line_name(measure: DoseMeasure, one: GroupDose) -> str:
    """A group's name; of the mean, over how many groups: ``mean of 6 dialects``."""
    if one.group is not None:
        return group_name(measure, one.group)
    count, every = len(one.codes), len(measure.groups)
    some = "" if count == every else f"{number(count, 0)} of "
    return f"mean of {some}{groups_of(measure, every)}"


def line_words(measure: DoseMeasure, one: GroupDose) -> str:
    """The same within a sentence: ``the mean of 6 dialects``."""
    name = line_name(measure, one)
    return name if one.group is not None else f"the {name}"


def uncorrected(measure: DoseMeasure, estimate: Estimate) -> str:
    """`` (uncorrected)``, where a test is one of several; else nothing."""
    several = measure.tested[estimate.record.family] > 1
    return " (uncorrected)" if several else ""


def seen_text(measure: DoseMeasure, estimate: Estimate) -> str:
    """``could have seen 8.9 points (uncorrected)``; nothing where it is not known."""
    if estimate.detectable is None:
        return ""
    seen = gap_text(measure, estimate.detectable.estimate)
    return f"could have seen {seen}{uncorrected(measure, estimate)}"


def slope_text(measure: DoseMeasure, estimate: Estimate) -> str:
    """``+25.2 points (95% 18.8 to 31.7, p after Holm < 0.001)``.

    Of what is not shown: ``no change shown``, the estimate, and what could have been.
    """
    text = change_text(measure, estimate.record)
    seen = seen_text(measure, estimate)
    if side_of(estimate.record) or not seen:
        return text
    return f"no change shown, {text}; {seen}"


def seen_range(measure: DoseMeasure, estimates: list[Estimate]) -> str:
    """What could have been seen in several groups, before Holm's correction.

    ``8.9 to 13.7 points (uncorrected)``.
    """
    known = [one for one in estimates if one.detectable is not None]
    found = sorted(
        one.detectable.estimate
        for one in known
        if one.detectable is not None and one.detectable.estimate is not None
    )
    if not found:
        return ""
    low, high = (gap_text(measure, value) for value in (found[0], found[-1]))
    said = low if low == high else f"{low.removesuffix(' points')} to {high}"
    return said + max(uncorrected(measure, one) for one in known)


def named_pairs(
    measure: DoseMeasure, pairs: Sequence[Named], *, examples: bool = True
) -> str:
    """Groups as `named` has them; the mean, which stands alone, by its own name."""
    groups = [one.group for one, _ in pairs if one.group is not None]
    if len(groups) < len(pairs):
        return line_words(measure, pairs[0][0])
    return named(measure, groups, examples=examples)


def unequal_words(measure: DoseMeasure, pairs: Sequence[Named]) -> tuple[str, ...]:
    """Why some groups' slopes are uncertain, as a sentence; or none."""
    doubtful = [pair for pair in pairs if pair[1].doubtful]
    if not doubtful:
        return ()
    whom = f" of {named_pairs(measure, doubtful)}" if len(measure.groups) > 1 else ""
    return (
        f"The slopes{whom} may differ between seeds (p below {percent(UNEQUAL)}), and "
        "the interval takes them as equal: other draws of rows may change the slope.",
    )


def picked(measure: DoseMeasure) -> tuple[GroupDose, ...]:
    """Groups that figures draw: all of a few, else the reference and some others.

    First those of which something is shown in a treatment, then those with the largest
    slopes; in the order of the groups.
    """
    if len(measure.groups) <= FEW_GROUPS:
        return measure.groups

    def size(one: GroupDose) -> tuple[bool, bool, float]:
        arms = [one.of(arm) for arm in measure.treatments]
        records = [each.slope.record for each in arms]
        others = [each.beyond.record for each in arms if each.beyond is not None]
        others += [each.estimate.record for each in one.controlled]
        return (
            any(side_of(record) for record in (*records, *others)),
            any(record.p_value is not None for record in records),
            max(abs(record.estimate or 0.0) for record in records),
        )

    reference = measure.groups[:1] if measure.aligned.reference else ()
    rest = [one for one in measure.groups if one not in reference]
    kept = sorted(rest, key=size, reverse=True)[: FEW_GROUPS - len(reference)]
    return tuple(one for one in measure.groups if one in reference or one in kept)


def drawn_lines(measure: DoseMeasure) -> tuple[GroupDose, ...]:
    """What figures draw: the mean, where there is one, and the groups picked."""
    return (*measure.means, *picked(measure))


def of_how_many(measure: DoseMeasure) -> str:
    """Which groups are drawn, where it is not all of them; else nothing."""
    drawn = len(picked(measure))
    if drawn == len(measure.groups):
        return ""
    reference = "the reference and " if measure.aligned.reference else ""
    return (
        f" Drawn are {reference}{drawn - bool(reference)} of "
        f"{groups_of(measure, len(measure.groups))}, first those of which something is "
        "shown, then those with the largest slopes; the table has all."
    )


def bent(measure: DoseMeasure, arm: str) -> tuple[str, ...]:
    """Groups of which a straight line does not fit, or one slope for all seeds.

    Returns:
        A sentence of each; none where all fit.
    """
    checks = (
        ("A straight line fits badly for {}", lambda one: one.lack_of_fit, "."),
        (
            "Slopes differ between seeds for {}",
            lambda one: one.unequal_seeds,
            ".",
        ),
    )
    sentences = []
    for text, p_of, end in checks:
        known = [
            (line_words(measure, one), p)
            for one in measure.lines
            if (p := p_of(one.of(arm))) is not None
        ]
        found = [name for name, p in known if p < STRAIGHT]
        if not found:
            continue
        some = found if len(found) <= 4 else [*found[:3], f"{len(found) - 3} more"]
        by_chance = number(STRAIGHT * len(known), 1)
        sentences.append(
            f"{text.format(join_words(some))} (p below 5%, uncorrected; {by_chance} of "
            f"{len(known)} would by chance){end}"
        )
    return tuple(sentences)


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
