"""Findings on languages: in which a model answers well, in plain words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis import columns as col
from analysis.html import Finding, Table, join_words, number
from analysis.languages_analysis import NO_SPREAD, LanguageRun, letter, place_group
from analysis.languages_data import TESTED_QUESTIONS
from analysis.records import ALPHA, Record
from analysis.wording import (
    bounds,
    count_of,
    difference_text,
    p_phrase,
    percent,
    points,
    questions,
    side_of,
    span_text,
)

TITLES: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "f1": "F1",
    "exact_match": "Exact match",
}
"""Outcome -> its name."""

NOUNS: Mapping[str, str] = {
    "accuracy": "accuracy",
    "f1": "F1",
    "exact_match": "exact match",
}
"""The same within a sentence."""

MOST_NAMED = 5
"""Languages that a finding names one by one; the tables have them all."""
languages = partial(count_of, singular="language")
"""``1 language`` or ``122 languages``."""


def some(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Some names, and how many more."""
    more = len(names) - most
    # "And 1 more" is longer than most names.
    shown = list(names) if more <= 1 else [*names[:most], f"{more} more"]
    return join_words(shown)


def reference_name(run: LanguageRun) -> str:
    """The language that others are compared with."""
    return run.answers.name(run.answers.wanted_reference)


def by_side(run: LanguageRun, key: str | None = None) -> dict[int | None, list[Record]]:
    """Differences that are lower (-1), higher (1), not shown (0) and not tested (None).

    Each the largest first.
    """
    found: dict[int | None, list[Record]] = {}
    for gap in run.gaps(key):
        side = None if gap.p_value is None else side_of(gap)
        found.setdefault(side, []).append(gap)
    for gaps in found.values():
        gaps.sort(key=lambda gap: -abs(gap.estimate or 0.0))
    return found


def doubts(run: LanguageRun, gap: Record) -> tuple[str, ...]:
    """What speaks against a difference that its test shows; of choices only.

    A model that picks by place, whatever is asked, is right in one language more often
    than in another as well. Where few questions differ, Student's t is rough.
    """
    if not run.answers.crossed:
        return ()
    found = []
    better = gap.reference if side_of(gap) < 0 else gap.group
    over = run.find(f"{run.key}_over_chance", better)
    if over is None or side_of(over) <= 0:
        found.append("neither is shown to be above chance")
    exact = run.find(f"{run.key}_difference_mcnemar", gap.group)
    if exact is not None and (exact.p_value is None or exact.p_value >= ALPHA):
        found.append("the exact test does not show it")
    return tuple(found)


def gap_text(run: LanguageRun, gap: Record, key: str | None = None) -> str:
    """``52% of 900 questions against 61%, a difference of -9.0 points (...)``."""
    assert gap.group is not None
    here, there = run.level(gap.group, key), run.level(gap.reference or "", key)
    if here.estimate is None:
        return "no answer"
    return (
        f"{percent(here.estimate)} of {questions(here.n)} against "
        f"{percent(there.estimate)}"
        + ("" if run.answers.crossed else f" of {questions(there.n)}")
        + f", a difference of {difference_text(gap)}"
    )


DIFFERENT = (
    "The questions of the languages are different questions, of which some are easier "
    "whatever the language."
)
CORRELATED = 10
"""Fewest languages over which lengths and answers are correlated."""


def note_findings(run: LanguageRun) -> tuple[Finding, ...]:
    """All that apply."""
    found = (_ran_on(run), _lengths(run), _cut(run), _data(run))
    return tuple(one for one in found if one is not None)


def counted(run: LanguageRun, rows: NDArray[np.bool_], most: int = 8) -> str:
    """``Telugu 12 of 60 and Arabic 3 of 60``: where some items are, the most first."""
    answers = run.answers
    counts = {code: int((rows & answers.of(code)).sum()) for code in answers.languages}
    told = [
        f"{answers.name(code)} {number(count, 0)} of "
        f"{number(int(answers.of(code).sum()), 0)}"
        for code, count in sorted(counts.items(), key=lambda item: -item[1])
        if count
    ]
    return some(told, most)


def ratios(run: LanguageRun) -> dict[str, float]:
    """Language -> tokens of its prompts over the reference's, where known."""
    found = (
        (code, run.find("prompt_tokens_ratio", code)) for code in run.answers.names
    )
    return {
        code: one.estimate
        for code, one in found
        if one is not None and one.estimate is not None
    }


def rank_correlation(run: LanguageRun) -> tuple[float, int] | None:
    """Spearman's rho, over languages, of tokens and answers; and their number.

    A description of these languages, without a test: related languages are alike in
    both. None: fewer than `CORRELATED` languages, or no spread.
    """
    tokens = ratios(run)
    pairs = [
        (value, level)
        for code, value in tokens.items()
        if (level := run.level(code).estimate) is not None
    ]
    if len(pairs) < CORRELATED:
        return None
    first, second = np.array(pairs).T
    if not (np.ptp(first) and np.ptp(second)):
        return None
    return float(stats.spearmanr(first, second).statistic), len(pairs)


def _ran_on(run: LanguageRun) -> Finding | None:
    if run.answers.crossed:
        return None
    rows = run.answers.frame["ran_on"].to_numpy(dtype=bool)
    if not rows.any():
        return None
    known = run.answers.outcomes[0].known
    return Finding(
        claim=f"{number(int(rows.sum()), 0)} of {number(int(known.sum()), 0)} answers "
        f"of {run.label} did not end by themselves before the token limit.",
        evidence=(
            f"They are compared as they are, and words beyond the answer cost exact "
            f"match and F1: {counted(run, rows)}.",
        ),
        certainty="note",
    )


def _lengths(run: LanguageRun) -> Finding | None:
    tokens = ratios(run)
    if not tokens or max(tokens.values()) == min(tokens.values()) == 1:
        return None
    answers, reference = run.answers, reference_name(run)
    by_length = sorted(tokens, key=tokens.__getitem__)
    mean = run.by_name["mean_prompt_tokens", answers.wanted_reference]
    ends = [
        f"{number(tokens[code], 2)} times as many in {answers.name(code)}"
        for code in dict.fromkeys((by_length[-1], by_length[0]))
    ]
    together = rank_correlation(run)
    return Finding(
        claim="The same questions are of different length to the model in different "
        "languages.",
        evidence=(
            f"A prompt has {number(mean.estimate, 0)} tokens in {reference} on average "
            f"and {join_words(ends)}, instruction and template included.",
            *(
                ()
                if together is None
                else (
                    f"Over {languages(together[1])} tokens and accuracy go together "
                    f"with a rank correlation of {number(together[0])}. Related "
                    "languages are alike in both, so that it is described, not tested.",
                )
            ),
        ),
        certainty="note",
    )


def _cut(run: LanguageRun) -> Finding | None:
    rows = run.answers.frame["truncated"].to_numpy(dtype=bool)
    if not rows.any():
        return None
    total = int(rows.sum())
    return Finding(
        claim=f"{count_of(total, 'prompt')} {'was' if total == 1 else 'were'} cut to "
        f"fit {run.label}: what was asked there is not all that it read.",
        evidence=(f"{counted(run, rows)}.",),
        certainty="note",
    )


def _data(run: LanguageRun) -> Finding | None:
    """What was not read, not answered or not compared."""
    answers, manifest = run.answers, run.answers.run.manifest
    evidence = []
    if manifest.limit is not None:
        evidence.append(
            f"The run read a sample: {questions(len(answers.frame))} in "
            f"{languages(len(answers.languages))}. Fewer questions show only larger "
            "differences."
        )
    missing = ~answers.outcomes[0].known
    if missing.any():
        count = int(missing.sum())
        evidence.append(
            f"{questions(count)} without an answer {'is' if count == 1 else 'are'} "
            f"left out: {counted(run, missing)}."
        )
    few = [
        answers.name(code)
        for code in answers.languages
        if run.level(code).n < TESTED_QUESTIONS
    ]
    if few:
        evidence.append(
            f"Fewer than {TESTED_QUESTIONS} answers, shown and not tested: "
            f"{some(few, 8)}."
        )
    if "tied" in answers.frame and answers.frame["tied"].any():
        tied = answers.frame["tied"].to_numpy(dtype=bool)
        evidence.append(
            f"Of {questions(int(tied.sum()))} several letters share the highest score; "
            f"one of them is drawn ({points(float(tied.mean()))}% of all). Where all "
            "letters share it, none is picked and chance counts as right."
        )
    if not evidence:
        return None
    return Finding(
        claim=f"What was read and compared for {run.label}.",
        evidence=tuple(evidence),
        certainty="note",
    )


def place_finding(run: LanguageRun) -> Finding | None:
    """Does the model like a place? None: no letters, or too few questions."""
    if not run.answers.crossed:
        return None
    pooled: dict[int, Record] = {}
    while (
        one := run.find("place_share_difference", place_group(None, len(pooled)))
    ) is not None:
        pooled[len(pooled)] = one
    if all(one.p_value is None for one in pooled.values()):
        return None
    sides = {place: side_of(one) for place, one in pooled.items()}
    liked = [letter(place) for place, side in sides.items() if side > 0]
    shunned = [letter(place) for place, side in sides.items() if side < 0]
    several = len(run.answers.languages) > 1
    parts = [
        f"{join_words(letters)} {often} often"
        for letters, often in ((liked, "more"), (shunned, "less"))
        if letters
    ]
    if parts:
        claim = f"{run.label} picks {join_words(parts)} than right answers stand there."
    else:
        claim = (
            f"That {run.label} likes a place among the letters, whatever stands there, "
            "is not shown."
        )
    evidence = [
        f"{letter(place)} is picked for "
        f"{percent(run.by_name['place_share', one.group].estimate)} of "
        f"{questions(one.n)}{' in all languages' if several else ''} and right for "
        f"{percent(run.by_name['place_share_of_answers', one.group].estimate)}, a "
        f"difference of {difference_text(one)}."
        for place, one in pooled.items()
        if sides[place] or not (liked or shunned)
    ]
    if several:
        evidence += _places_by_language(run, list(pooled))
    return Finding(
        claim=claim,
        evidence=tuple(evidence),
        certainty="supported" if liked or shunned else "not shown",
    )


def _places_by_language(run: LanguageRun, places: Sequence[int]) -> tuple[str, ...]:
    """In how many languages each place is liked."""
    found = []
    for place in places:
        liked = [
            code
            for code in run.answers.languages
            if (one := run.find("place_share_difference", place_group(code, place)))
            is not None
            and side_of(one) > 0
        ]
        if liked:
            found.append(f"for {letter(place)} in {len(liked)}")
    total = languages(len(run.answers.languages))
    if not found:
        return (f"Of {total}, none shows a liking by itself.",)
    return (f"A liking is shown {join_words(found)} of {total} taken one by one.",)


def place_table(run: LanguageRun, prefix: str) -> Table | None:
    """How often each letter is picked, and how often it is right."""
    if not run.answers.crossed:
        return None
    groups: list[str | None] = [*run.ordered()]
    groups = [None, *groups] if len(groups) > 1 else groups
    rows = [
        (
            "All languages" if code is None else run.answers.name(code),
            place,
            chosen,
            run.by_name["place_share_of_answers", chosen.group],
            run.by_name["place_share_difference", chosen.group],
        )
        for code in groups
        for place in range(26)
        if (chosen := run.find("place_share", place_group(code, place))) is not None
    ]
    if not rows:
        return None
    return col.table(
        id=f"{prefix}-places",
        title="How often each place is chosen",
        note="Questions for which a letter is picked and for which it is right, the "
        "same questions. The difference is in points, with a 95% interval and "
        "Student's t, clustered by passage; Holm's over models, languages and places, "
        "of all languages together over models and places.",
        columns=[
            col.text("Language", lambda row: row[0]),
            col.text("Place", lambda row: letter(row[1])),
            col.count("Questions", lambda row: row[2].n),
            col.count("Picked", lambda row: _counted(row[2], row[2].n)),
            col.count("Right", lambda row: _counted(row[3], row[2].n)),
            col.value("Picked, %", lambda row: row[2], 1, 100),
            col.value("Right, %", lambda row: row[3], 1, 100),
            *col.estimate("Difference", lambda row: row[4], 1, 100),
            col.holm("p (Holm)", lambda row: row[4]),
            col.text("Result", lambda row: _result(row[4])),
        ],
        rows=rows,
        frame=[one for row in rows for one in row[2:]],
        folded=True,
        sortable=True,
    )


def _counted(share: Record, n: int) -> int:
    return round((share.estimate or 0.0) * n)


def _result(gap: Record) -> str:
    if gap.p_value is None:
        return "not\u00a0tested"
    return {1: "liked", -1: "shunned", 0: "not\u00a0shown"}[side_of(gap)]


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
    span = span_text(found, points)
    if not span:
        return ()
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
