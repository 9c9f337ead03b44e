"""Words that findings, tables, figures and the terminal share on sweeps of training."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.doseresponse import DoseMeasure, GroupDose
from analysis.doseresponse_measures import UNEQUAL, Estimate
from analysis.doseresponse_sweep import Sweep
from analysis.html import join_words, number
from analysis.stages_words import (
    FEW_GROUPS,
    change_text,
    gap_text,
    group_name,
    groups_of,
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
