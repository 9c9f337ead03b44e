"""Findings on languages: in which a model answers well, in plain words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from analysis.html import Finding, join_words, number
from analysis.languages_analysis import LanguageRun
from analysis.languages_notes import DIFFERENT, note_findings
from analysis.languages_places_report import place_finding
from analysis.languages_records import NO_SPREAD
from analysis.languages_words import (
    MOST_NAMED,
    NOUNS,
    TITLES,
    by_side,
    doubts,
    gap_text,
    languages,
    reference_name,
    some,
)
from analysis.records import ALPHA, Record
from analysis.wording import (
    bounds,
    difference_text,
    p_phrase,
    percent,
    points,
    questions,
    side_of,
)

_REACHED = {"accuracy": "an accuracy", "f1": "an F1"}
"""Outcome of a headline -> its name in a sentence."""


def _names(run: LanguageRun, gaps: Sequence[Record]) -> str:
    """Few languages by name; many by number, of all that are compared."""
    if len(gaps) <= MOST_NAMED + 1:
        return join_words([run.answers.name(gap.group or "") for gap in gaps])
    others = len(run.answers.others)
    if len(gaps) == others:
        return f"all {others} other languages"
    return f"{len(gaps)} of {others} languages"


def gap_findings(run: LanguageRun) -> tuple[Finding, ...]:
    """Differences from the reference, those of equal standing in one finding."""
    sides = by_side(run)
    found = []
    for side in (-1, 1):
        standing: dict[tuple[str, ...], list[Record]] = {}
        for gap in sides.get(side, ()):
            standing.setdefault(doubts(run, gap), []).append(gap)
        found += [
            _shown(run, side, against, gaps)
            for against, gaps in sorted(standing.items(), key=lambda one: len(one[0]))
        ]
    if 0 in sides:
        found.append(_not_shown(run, sides[0]))
    if None in sides:
        found.append(_not_tested(run, sides[None]))
    if found and not run.answers.crossed:
        evidence = (*found[0].evidence, DIFFERENT)
        found[0] = dataclasses.replace(found[0], evidence=evidence)
    return tuple(found)


def _shown(
    run: LanguageRun, side: int, against: tuple[str, ...], gaps: Sequence[Record]
) -> Finding:
    core = _difference_words(run, side, _names(run, gaps))
    return Finding(
        claim=f"{core}, but {join_words(against)}." if against else f"{core}.",
        evidence=_gap_texts(run, gaps),
        certainty="uncertain" if against else "supported",
    )


def _not_shown(run: LanguageRun, gaps: Sequence[Record]) -> Finding:
    core = _difference_words(run, 0, _names(run, gaps))
    return Finding(
        claim=f"That {core} is not shown.",
        evidence=(*_gap_texts(run, gaps), *_power_text(run, gaps)),
        certainty="not shown",
    )


def _not_tested(run: LanguageRun, gaps: Sequence[Record]) -> Finding:
    core = _difference_words(run, 0, _names(run, gaps))
    alike = all(gap.ci_method == NO_SPREAD for gap in gaps)
    why = "as all answers fare alike" if alike else "from so few questions"
    codes = [gap.group or "" for gap in gaps]
    counts = [f"{run.answers.name(code)} {run.level(code).n}" for code in codes]
    there = run.level(run.answers.wanted_reference).n
    return Finding(
        claim=f"Whether {core} cannot be said{',' if alike else ''} {why}.",
        evidence=(
            f"Questions with an answer: {some(counts, 8)}; {reference_name(run)} "
            f"{there}.",
        ),
        certainty="not shown",
    )


def _gap_texts(run: LanguageRun, gaps: Sequence[Record]) -> tuple[str, ...]:
    """The largest differences, and how many more there are."""
    # One more takes no more room than to say so.
    told = gaps[: len(gaps) if len(gaps) == MOST_NAMED + 1 else MOST_NAMED]
    more = len(gaps) - len(told)
    return (
        *(
            f"{run.answers.name(one.group or '')}: {_gap_text(run, one)}."
            for one in told
        ),
        *(
            (f"The other {more}, with smaller differences, are in the table.",)
            if more
            else ()
        ),
    )


def _difference_words(run: LanguageRun, side: int, names: str) -> str:
    """What a difference on some side is, as the core of a sentence."""
    reference = reference_name(run)
    if run.answers.crossed:
        how_many = {-1: "fewer", 1: "more", 0: "more or fewer"}[side]
        return (
            f"{run.label} answers {how_many} questions right in {names} than in "
            f"{reference}"
        )
    how_well = {-1: "less well", 1: "better", 0: "better or less well"}[side]
    return (
        f"{run.label}'s answers match the references {how_well} on questions in "
        f"{names} than on those in {reference}"
    )


def _gap_text(run: LanguageRun, gap: Record) -> str:
    """The difference, in every outcome."""
    first, *rest = run.answers.outcomes
    title = "" if run.answers.crossed else f"{TITLES[first.key]} "
    told = f"{title}{gap_text(run, gap)}"
    for one in rest:
        other = run.by_name[f"{one.key}_difference", gap.group]
        told += f"; {NOUNS[one.key]} {difference_text(other)}"
    return told


def _power_text(run: LanguageRun, gaps: Sequence[Record]) -> tuple[str, ...]:
    metric = f"{run.key}_minimum_detectable_difference"
    found = [run.by_name[metric, gap.group].estimate for gap in gaps]
    known = [one for one in found if one is not None]
    if not known:
        return ()
    low, high = points(min(known)), points(max(known))
    span = low if low == high else f"{low} to {high}"
    return (
        f"So many questions show a difference of {span} points in four cases of five, "
        "before Holm.",
    )


def level_finding(run: LanguageRun) -> Finding:
    """How good the answers are, where no language is compared with another."""
    answers, title = run.answers, TITLES[run.key]
    codes = answers.languages
    one = run.level(codes[0])
    if len(codes) > 1:
        one = run.by_name[f"{run.key}_mean_of_languages", None]
    where = (
        f"in {answers.name(codes[0])}"
        if len(codes) == 1
        else f"over {languages(len(codes))}, each counting the same"
    )
    around = "" if one.ci_low is None else f" (95% {bounds(one)})"
    missing = (
        f"{answers.wanted_reference} is not in the run: no language is compared with "
        "it.",
    )
    return Finding(
        claim=f"{run.label} reaches {_REACHED[run.key]} of {percent(one.estimate)} "
        f"{where}.",
        evidence=(
            f"{title} {points(one.estimate)}%{around}, {questions(one.n)}, "
            f"{number(one.n_clusters, 0)} {one.cluster}s.",
            *(missing if answers.reference is None else ()),
        ),
        certainty="note",
    )


def chance_finding(run: LanguageRun) -> Finding | None:
    """Where are questions answered at all? None: the outcome has no chance level."""
    answers, outcome = run.answers, run.answers.outcomes[0]
    if outcome.chance is None:
        return None
    over = [
        one
        for code in answers.languages
        if (one := run.find(f"{run.key}_over_chance", code)) is not None
    ]
    tested = [one for one in over if one.p_value is not None]
    if not tested:
        return None
    above = [one for one in tested if side_of(one) > 0]
    below = [one for one in tested if side_of(one) < 0]
    chance = float(outcome.chance[outcome.known].mean())
    names = [answers.name(one.group or "") for one in above]
    more = f"{run.label} answers more questions right than chance would"
    rest = [answers.name(one.group or "") for one in tested if one not in above]
    few = len(rest) <= MOST_NAMED
    if not above:
        claim = (
            f"That {more} is shown for no language: differences between languages then "
            "say little."
        )
    elif not rest:
        every = "in every language" if len(tested) > 1 else f"in {names[0]}"
        claim = f"{more} {every}."
    else:
        where = (
            join_words(names)
            if len(names) <= MOST_NAMED
            else f"{len(names)} of {languages(len(tested))}"
        )
        other = join_words(rest) if few else "the others"
        claim = f"{more} in {where}; for {other} it is not shown."
    ends = sorted(tested, key=lambda one: -(one.estimate or 0.0))
    evidence = []
    for one in dict.fromkeys((ends[0], ends[-1])):
        code = one.group or ""
        evidence.append(
            f"{answers.name(code)}: {percent(run.level(code).estimate)} of "
            f"{questions(one.n)}, chance {percent(chance)}, a difference of "
            f"{difference_text(one)}."
        )
    if above and not few:
        evidence.append(f"Not shown to be above chance: {some(rest, 12)}.")
    if below:
        under = some([answers.name(one.group or "") for one in below])
        evidence.append(f"Below chance: {under}.")
    return Finding(
        claim=claim,
        evidence=tuple(evidence),
        certainty="supported" if above else "not shown",
    )


def spread_finding(run: LanguageRun) -> Finding | None:
    """Do the languages differ at all? None: too few, or all answers alike."""
    known = [
        (one.key, spread)
        for one in run.answers.outcomes
        if (spread := run.spread(one.key)) is not None and spread.p_value is not None
    ]
    if not known:
        return None
    p = known[0][1].p_holm
    shown = p is not None and p < ALPHA
    what = f"{run.label}'s answers differ by more between languages than chance alone"
    name = run.answers.name
    evidence = []
    for key, spread in known:
        chance = next(
            one for one in run.records if one.metric == f"{key}_disparity_permuted"
        )
        evidence.append(
            f"{TITLES[key]}: best {name(spread.group or '')}, worst "
            f"{name(spread.reference or '')}, {points(spread.estimate)} points apart "
            f"over {questions(spread.n)}; permuted languages are "
            f"{points(chance.estimate)} apart on average ({p_phrase(spread)})."
            + (
                ""
                if spread.ci_low is None
                else f" The interval, {bounds(spread)}, cannot fall below zero and is "
                "no test."
            )
        )
    return Finding(
        claim=f"{what} would have it."
        if shown
        else f"That {what} would have it is not shown.",
        evidence=tuple(evidence),
        certainty="supported" if shown else "not shown",
    )


def run_findings(run: LanguageRun) -> tuple[Finding, ...]:
    """All findings of one run, the headline first."""
    gaps = gap_findings(run)
    others = (
        chance_finding(run),
        place_finding(run),
        spread_finding(run),
        *note_findings(run),
    )
    first = gaps or (level_finding(run),)
    return *first, *(one for one in others if one is not None)


def headline_finding(run: LanguageRun) -> Finding:
    """One run in a few sentences, for a report of many."""
    first, *rest = gap_findings(run) or (level_finding(run),)
    chance = chance_finding(run)
    return Finding(
        claim=first.claim,
        evidence=(
            *first.evidence,
            *(one.claim for one in rest),
            *(() if chance is None else (chance.claim,)),
        ),
        certainty=first.certainty,
    )
