"""Findings on MD3: in which dialect games are won, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from analysis.dialects_md3_analysis import NO_SPREAD, GamesRun, Gap, OutcomeResult
from analysis.dialects_md3_data import CHOICE, GUESS, PER_TOKEN
from analysis.html import Certainty, Finding, join_words, number
from analysis.records import ALPHA, Record
from analysis.wording import (
    bounds,
    count_of,
    difference_text,
    p_of,
    p_phrase,
    percent,
    points,
    side_of,
    span_text,
)

NAMES: Mapping[str, str] = {
    "en_us": "US English",
    "en_in": "Indian English",
    "en_ng": "Nigerian English",
}
"""Dialect of MD3 -> its name."""

ACTS: Mapping[str, str] = {
    GUESS: "guesses the secret word",
    CHOICE: "picks out the secret word",
    PER_TOKEN: "picks out the secret word, per token,",
}
"""Outcome -> what a model does that wins a game."""

HELD = "with length and frequency held"
SHARED = "on the answers asked in both"


def dialect_name(key: str) -> str:
    """``Indian English``; the key of any other dialect."""
    return NAMES.get(key, key)


def outcome_name(run: GamesRun, key: str) -> str:
    """``Guess``, ``Choice``, or a policy's ``Choice (sum)``."""
    if key == GUESS:
        return "Guess"
    if key == PER_TOKEN:
        return "Choice (per token)"
    keys = {one.outcome.key for one in run.outcomes}
    return "Choice (sum)" if PER_TOKEN in keys else "Choice"


games = partial(count_of, singular="game")
"""``1 game`` or ``889 games``."""
answers = partial(count_of, singular="answer")
"""``1 answer`` or ``418 answers``."""


Standing = tuple[int, tuple[str, ...]]
"""Side of a difference (0: not shown), and what it is not resolved with."""


def standing(gap: Gap) -> Standing:
    """How far a difference of games goes, and what of it is left beside."""
    lost = (
        ()
        if gap.side == 0
        else tuple(
            what
            for what, side in zip((HELD, SHARED), gap.beside, strict=True)
            if side != gap.side
        )
    )
    return gap.side, lost


def gap_findings(run: GamesRun, one: OutcomeResult) -> tuple[Finding, ...]:
    """Differences from the reference, those of equal standing in one finding."""
    by_standing: dict[Standing, list[Gap]] = {}
    for gap in one.gaps:
        by_standing.setdefault(standing(gap), []).append(gap)
    return tuple(
        _gap_finding(run, one, kind, gaps)
        for kind, gaps in sorted(
            by_standing.items(), key=lambda item: (item[0][0] == 0, len(item[0][1]))
        )
    )


def _gap_finding(
    run: GamesRun, one: OutcomeResult, kind: Standing, gaps: Sequence[Gap]
) -> Finding:
    side, lost = kind
    act = ACTS[one.outcome.key]
    names = join_words([dialect_name(gap.dialect) for gap in gaps])
    reference = dialect_name(run.games.reference)
    evidence = [_gap_text(run, one, gap) for gap in gaps]
    tested = any(gap.raw.p_value is not None for gap in gaps)
    if side:
        often = "less often" if side < 0 else "more often"
        claim = f"{run.label} {act} {often} in games in {names} than in {reference}"
        claim += f"; the gap is not resolved {join_words(lost)}." if lost else "."
        certainty: Certainty = "uncertain" if lost else "supported"
    elif tested:
        claim = (
            f"That {run.label} {act} more or less often in games in {names} than in "
            f"{reference} is not shown."
        )
        certainty = "not shown"
        evidence += _power_text(run, one, gaps)
        # Other games may hide what like games show.
        evidence += [
            f"For {dialect_name(gap.dialect)} a difference appears only {what}."
            for gap in gaps
            for what, beside in zip((HELD, SHARED), gap.beside, strict=True)
            if beside
        ]
    else:
        claim = (
            f"Whether {run.label} {act} more or less often in games in {names} than in "
            f"{reference} cannot be said"
            + (
                ", as every game has the same outcome."
                if all(gap.raw.ci_method == NO_SPREAD for gap in gaps)
                else " from so few games."
            )
        )
        certainty = "not shown"
    return Finding(claim=claim, evidence=tuple(evidence), certainty=certainty)


def _accuracy(one: OutcomeResult, dialect: str) -> Record:
    return next(r.accuracy for r in one.dialects if r.dialect == dialect)


def _gap_text(run: GamesRun, one: OutcomeResult, gap: Gap) -> str:
    here, there = (_accuracy(one, name) for name in (gap.dialect, run.games.reference))
    shared = gap.shared
    within = (
        f"{SHARED} ({number(shared.n_clusters, 0)}) {difference_text(shared)}"
        if shared.n_clusters
        else "no answer was asked in both"
    )
    return (
        f"{dialect_name(gap.dialect)}: {percent(here.estimate)} of {games(here.n)} "
        f"against {percent(there.estimate)} of {number(there.n, 0)}, a difference of "
        f"{difference_text(gap.raw)}; {HELD} {difference_text(gap.adjusted)}; {within}."
    )


def _power_text(
    run: GamesRun, one: OutcomeResult, gaps: Sequence[Gap]
) -> tuple[str, ...]:
    known = [gap.detectable.estimate for gap in gaps if gap.raw.p_value is not None]
    falls = [value for value in known if value is not None]
    if not falls:
        return (
            "With so few games, or so few won, even a fall to none could not be shown.",
        )
    reference = run.games.reference
    return (
        f"So many games show a fall of {span_text(falls, points)} points below the "
        f"{percent(_accuracy(one, reference).estimate)} of {dialect_name(reference)} "
        "in four cases of five, before Holm.",
    )


def chance_finding(run: GamesRun) -> Finding | None:
    """Are the words told apart at all? None: no choice was made."""
    for one in run.outcomes:
        over = one.over_chance
        if over is None or over.estimate is None or one.outcome.chance is None:
            continue
        side = side_of(over)
        total = over.estimate + one.outcome.chance
        if side:
            often = "more often" if side > 0 else "less often"
            claim = f"{run.label} {ACTS[one.outcome.key]} {often} than chance would."
        else:
            claim = (
                f"That {run.label} tells the secret word from the words beside it is "
                "not shown: differences between dialects then say little."
            )
        return Finding(
            claim=claim,
            evidence=(
                f"{outcome_name(run, one.outcome.key)}: {percent(total)} of "
                f"{games(over.n)} with {answers(over.n_clusters or 0)}, chance "
                f"{percent(one.outcome.chance)}, a difference of "
                f"{difference_text(over)}.",
                *_other_choice(run, one),
            ),
            certainty="supported" if side else "not shown",
        )
    return None


def _other_choice(run: GamesRun, first: OutcomeResult) -> tuple[str, ...]:
    """The choice per token beside the summed one, in a sentence."""
    found = []
    for one in run.outcomes:
        if one is first or one.outcome.key != PER_TOKEN:
            continue
        shares = [
            f"{percent(_accuracy(one, name).estimate)} in {dialect_name(name)}"
            for name in run.games.dialects
        ]
        found.append(
            "By log-probability per token instead of its sum it is "
            f"{join_words(shares)}."
        )
    return tuple(found)


def spread_finding(run: GamesRun) -> Finding | None:
    """Do the dialects differ at all? None: too few, or every game alike."""
    known = [
        (one, one.spread)
        for one in run.outcomes
        if one.spread is not None and one.spread.observed.p_value is not None
    ]
    if not known:
        return None
    first = known[0][1].observed
    p = p_of(first)
    shown = p is not None and p < ALPHA
    act = "guesses" if known[0][0].outcome.key == GUESS else "choices"
    return Finding(
        claim=f"{run.label}'s {act} differ by more between the dialects' games than "
        "chance alone would have it."
        if shown
        else f"That {run.label}'s {act} differ by more between the dialects' games "
        "than chance alone would have it is not shown.",
        evidence=tuple(
            f"{outcome_name(run, one.outcome.key)}: best {dialect_name(spread.best)}, "
            f"worst {dialect_name(spread.worst)}, {points(spread.observed.estimate)} "
            f"points apart over {games(spread.observed.n)}; permuted dialects are "
            f"{points(spread.permuted.estimate)} apart on average "
            f"({p_phrase(spread.observed)})"
            + (
                ""
                if spread.observed.ci_low is None
                else f". Its interval, {bounds(spread.observed)}, cannot fall below "
                "zero and is no test"
            )
            + "."
            for one, spread in known
            if one.outcome.key != PER_TOKEN
        ),
        certainty="supported" if shown else "not shown",
    )


def games_finding(run: GamesRun) -> Finding:
    """The games of the dialects are different games."""
    words = [
        f"{number(one.words.estimate, 0)} words in {dialect_name(one.dialect)}"
        for one in run.covariates
        if one.words.estimate is not None
    ]
    zipf = [
        f"{number(one.zipf.estimate)} ({dialect_name(one.dialect)})"
        for one in run.covariates
        if one.zipf.estimate is not None
    ]
    evidence = []
    if words:
        evidence.append(f"A transcript has {join_words(words)} on average.")
    if zipf:
        evidence.append(f"Answers have a mean Zipf frequency of {join_words(zipf)}.")
    return Finding(
        claim="Dialects are compared between different games, of other players and "
        "other words.",
        evidence=(*evidence, *_said_text(run)),
        certainty="note",
    )


def _said_text(run: GamesRun) -> tuple[str, ...]:
    found = []
    said = sum(one.answer_said for one in run.covariates)
    if said:
        first = run.outcomes[0]
        without = [
            f"{points(one.unsaid.estimate)}% ({dialect_name(one.dialect)})"
            for one in first.dialects
            if one.unsaid is not None
        ]
        found.append(
            f"{games(said)} still hold{'s' if said == 1 else ''} the answer in the "
            f"transcript"
            + (f"; without, {join_words(without)} are won." if without else ".")
        )
    never = [one.unguessable for one in run.covariates]
    if sum(never) and run.outcomes[0].outcome.key == GUESS:
        each = [
            f"{count} in {dialect_name(one.dialect)}"
            for count, one in zip(never, run.covariates, strict=True)
        ]
        found.append(
            f"In {games(sum(never))} no guess counts as right, as the answer holds a "
            f"forbidden word ({join_words(each)})."
        )
    return tuple(found)


def data_finding(run: GamesRun) -> Finding | None:
    """What was not read or not scored; None: nothing of note."""
    table, manifest = run.games, run.games.run.manifest
    evidence = []
    if manifest.limit is not None:
        evidence.append(
            f"The run read a sample: {games(len(table.answer))}. Fewer games show only "
            "larger differences."
        )
    evidence += [
        f"{outcome_name(run, one.outcome.key)}: {games(one.unknown)} without it "
        f"{'is' if one.unknown == 1 else 'are'} left out."
        for one in run.outcomes
        if one.unknown
    ]
    if table.reference != table.wanted_reference:
        evidence.append(
            f"{dialect_name(table.wanted_reference)} is not in the run: the dialects "
            f"are compared with {dialect_name(table.reference)}, which has the most "
            "games."
        )
    keys = {one.outcome.key for one in run.outcomes}
    if GUESS not in keys and table.run.measure.value.startswith("logprob"):
        evidence.append("The run holds no guesses: only the choice is analysed.")
    if not evidence:
        return None
    return Finding(
        claim=f"Not everything that the probe holds was read for {run.label}.",
        evidence=tuple(evidence),
        certainty="note",
    )


def run_findings(run: GamesRun) -> tuple[Finding, ...]:
    """All findings of one run, the headline first."""
    keys = {one.outcome.key for one in run.outcomes}
    gaps = [
        finding
        for one in run.outcomes
        # Per token stands beside the sum, in the tables, and is not told twice.
        if one.outcome.key != PER_TOKEN or CHOICE not in keys
        for finding in gap_findings(run, one)
    ]
    others = (
        chance_finding(run),
        spread_finding(run),
        games_finding(run),
        data_finding(run),
    )
    return *gaps, *(one for one in others if one is not None)


def headline_finding(run: GamesRun) -> Finding:
    """One run in a few sentences, for a report of many."""
    first, *rest = gap_findings(run, run.outcomes[0])
    return Finding(
        claim=first.claim,
        evidence=(*first.evidence, *(one.claim for one in rest)),
        certainty=first.certainty,
    )
