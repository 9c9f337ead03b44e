"""Plain-words findings of the opinion axis, written from the analysis's own numbers.

Rules as in `findings`: every sentence carries n and an interval; it says so when an
interval holds zero or a p-value does not survive Holm's correction; nothing is said to
be the closest, or to work, that was merely first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis import wording
from analysis.drawing import rows_of
from analysis.html import Certainty, Finding, interval, join_words, number, p_text
from analysis.opinions import OpinionAnalysis, OpinionRun
from analysis.opinions_diversity import Fidelity, Standing
from analysis.opinions_measures import TESTED_QUESTIONS
from analysis.records import ALPHA, Record
from analysis.resample import MIN_QUESTIONS
from analysis.similarity import BASE_NAMES
from analysis.wording import countries, questions, side_of
from data_builders.countries import by_key


def name(key: str) -> str:
    """A country's name."""
    return by_key(key).name


def names(keys: Sequence[str], most: int = 4) -> str:
    """Some names, and how many more."""
    shown = [name(key) for key in keys[:most]]
    more = len(keys) - most
    return join_words([*shown, f"{more} more"] if more > 0 else shown)


def all_of(count: int) -> str:
    """``all 19 countries``, ``both countries`` or ``1 country``."""
    return {1: countries(1), 2: "both countries"}.get(count, f"all {countries(count)}")


def value_text(record: Record, digits: int = 3) -> str:
    """``0.492 (95% 0.471 to 0.513)``; without bounds it says so."""
    return wording.value_text(record, digits)


def untested(record: Record) -> tuple[str, ...]:
    """Why a difference with an interval has no p-value, as a sentence; else nothing."""
    if record.ci_low is None or record.p_value is not None:
        return ()
    return (
        f"Not tested: {record.n} questions, and tests need {TESTED_QUESTIONS}; "
        "intervals over so few are rough.",
    )


def triple(record: Record) -> tuple[float, float, float]:
    """Estimate and bounds; NaN for what there is not."""
    estimate, low, high = (
        math.nan if value is None else value
        for value in (record.estimate, record.ci_low, record.ci_high)
    )
    return estimate, low, high


FEW_QUESTIONS = 30
"""Of fewer, intervals are rough and the report says so."""

STABLE = 0.9
"""Spearman's rho of two orders of countries from which they are called much the same.
"""


def position_finding(run: OpinionRun) -> Finding | None:
    """Whether the place of an option counts."""
    position = run.position
    if position is None:
        return None
    sides = {"first": side_of(position.first), "last": side_of(position.last)}
    liked = [where for where, side in sides.items() if side > 0]
    shunned = [where for where, side in sides.items() if side < 0]
    parts = [
        f"{verb} the {join_words(places)} place{'s' if len(places) > 1 else ''}"
        for verb, places in (("likes", liked), ("avoids", shunned))
        if places
    ]
    evidence = (
        "Mean probability less that of equal places: first "
        f"{value_text(position.first)}, last {value_text(position.last)}, "
        f"n\u00a0=\u00a0{questions(position.first.n)} asked with every option at every "
        f"place. Total variation from equal places: {value_text(position.variation)}.",
        "All other numbers are means over the rotations, in which this cancels.",
        *untested(position.first),
    )
    if parts:
        return Finding(
            claim=f"Whatever the options say, the model {join_words(parts)}.",
            evidence=evidence,
            certainty="supported",
        )
    return Finding(
        claim="A liking for the first or last place is not shown.",
        evidence=evidence,
        certainty="not shown",
    )


def temperature_finding(run: OpinionRun) -> Finding | None:
    """Whether the order of countries hangs on how rewards become shares."""
    found = run.similarity.temperatures
    few = len(run.common.questions) < TESTED_QUESTIONS
    if not found or run.closest is None or few:
        return None
    first = run.closest.order[0]
    same = all(one.best == first for one in found)
    alike = all(one.order_spearman >= STABLE for one in found)
    evidence = [
        f"Temperature {number(one.value, 1)}: fidelity {value_text(one.fidelity)}; "
        f"order of countries against temperature 1: rho\u00a0"
        f"{number(one.order_spearman)}; first {name(one.best)}."
        for one in found
    ]
    frame = run.countries[run.countries["headline"]]
    some = frame["rank_correlation"].dropna()
    if len(some):
        evidence.append(
            "Without any temperature, the rank correlation of options is "
            f"{number(some.min())} to {number(some.max())} over "
            f"{countries(len(some))}."
        )
    return Finding(
        claim="The order of countries does not hang on the temperature."
        if same and alike
        else "The order of countries hangs on the temperature: read it with care.",
        evidence=tuple(evidence),
        certainty="supported" if same and alike else "uncertain",
    )


def steering_finding(run: OpinionRun) -> Finding | None:
    """For whom asking for a country's perspective works, and for whom it fails."""
    steering = run.steering
    if steering is None:
        return None
    frame = steering.personas
    works = list(frame.index[frame["works"]])
    fails = list(frame.index[~frame["works"]])
    told = [
        f"{row.country}: {number(row.shift, 3)} "
        + (
            "(no interval)"
            if math.isnan(row.ci_low)
            else f"(95% {interval(row.ci_low, row.ci_high, 3)}, "
            f"p\u00a0(Holm)\u00a0{p_text(row.p_holm)})"
        )
        + f", towards other countries {number(row.others, 3)}, "
        f"n\u00a0=\u00a0{number(row.n_questions, 0)}"
        for row in list(rows_of(frame))[:6]
    ]
    evidence = [f"Change of similarity to the persona's own people: {'; '.join(told)}."]
    own = [str(record.group) for record in steering.relative if side_of(record) > 0]
    evidence.append(
        f"Beyond the movement towards other countries, after Holm: {names(own)}."
        if own
        else "For none is more shown than a movement towards people in general."
    )
    if not fails:
        claim = f"Steering moves the answers towards the people of {names(works)}."
    elif works:
        claim = (
            f"Steering moves the answers towards the people of {names(works)}; for "
            f"{names(fails)} it is not shown to."
        )
    else:
        claim = (
            f"Steering is not shown to move the answers towards the people of "
            f"{names(fails)}."
        )
    return Finding(
        claim=claim,
        evidence=tuple(evidence),
        certainty="supported" if works else "not shown",
    )


def data_finding(run: OpinionRun) -> Finding | None:
    """Anything about the data that bears on the numbers."""
    counts = run.counts
    left_out = (*counts.left_out.items(), *run.run.manifest.dropped.items())
    reasons = [f"{reason} ({number(count, 0)})" for reason, count in left_out]
    parts = [f"Left out: {'; '.join(reasons)}."] if reasons else []
    if counts.unscored:
        parts.append(
            f"{number(counts.unscored, 0)} options have no score; no distribution was "
            "made with a gap in it."
        )
    if counts.no_headline:
        parts.append(
            f"{questions(counts.no_headline)} "
            f"{'was' if counts.no_headline == 1 else 'were'} only asked of a sample "
            "beside a country's headline public and "
            f"{'is' if counts.no_headline == 1 else 'are'} in no mean over countries."
        )
    if counts.incomplete:
        parts.append(
            f"{questions(counts.incomplete)} lack a rotation or phrasing: there, the "
            "place of an option does not cancel."
        )
    if counts.off_scale > 0.01 * counts.pairs:
        parts.append(
            f"{number(counts.off_scale, 0)} pairs have next to nothing on the scale "
            "and so no Wasserstein distance."
        )
    if run.similarity.reference is None:
        parts.append(
            f"Nobody in the reference country, {name(run.reference)}, was asked any of "
            "these questions: there are no differences from it."
        )
    common = len(run.common.questions)
    if common < FEW_QUESTIONS:
        parts.append(
            f"Only {questions(common)} {'was' if common == 1 else 'were'} asked in "
            f"{all_of(len(run.common.publics))} of the common set; numbers over so few "
            "are rough."
        )
    if not parts:
        return None
    return Finding(
        claim="Not all of the data could be used."
        if reasons and len(parts) == 1
        else "The data limit what can be said.",
        evidence=tuple(parts),
        certainty="note",
    )


def headline(run: OpinionRun) -> Record:
    """The record that one line about the run quotes: its fidelity over all questions.

    The mean similarity to all countries, and not that to the best of them: the best is
    picked on the same questions and looks better than it is.
    """
    return run.fidelity.model


def headline_name(run: OpinionRun) -> str:
    """What the headline number is."""
    where = countries(run.fidelity.countries)
    return f"mean similarity to people in {where} ({BASE_NAMES[run.base]})"


def _sides(run: OpinionRun, column: str) -> tuple[list[str], list[str], int]:
    """Headline publics above zero and below it after Holm, and how many were tested.

    Args:
        run: The run.
        column: `over` or `difference`: prefix of the columns.
    """
    frame = run.countries[run.countries["headline"]]
    frame = frame[frame[f"{column}_p_holm"].notna()]
    passed = frame[frame[f"{column}_p_holm"] < ALPHA]
    estimate = "over_uniform" if column == "over" else column
    above = passed[passed[f"{column}_low"] > 0].sort_values(estimate, ascending=False)
    below = passed[passed[f"{column}_high"] < 0].sort_values(estimate)
    return list(above["key"]), list(below["key"]), len(frame)


def fidelity_finding(run: OpinionRun) -> Finding:
    """How alike the answers are to people's, against what it has to be held."""
    found, common = run.fidelity, run.diversity
    side = side_of(found.over_uniform)
    above, below, tested = _sides(run, "over")
    everywhere = "every option the same share"
    claim, certainty = {
        1: (
            f"Over all questions, {run.label}'s answers are closer to people's than "
            f"giving {everywhere}.",
            "supported",
        ),
        -1: (
            f"Over all questions, {run.label}'s answers are further from people's "
            f"than giving {everywhere}.",
            "supported",
        ),
        0: (
            f"{run.label}'s answers are not shown to be closer to people's than giving "
            f"{everywhere}.",
            "not shown",
        ),
    }[side]
    evidence = [
        f"Mean similarity (1 \u2212 Jensen-Shannon distance, {BASE_NAMES[run.base]}) "
        f"to the people of the countries asked, {number(found.countries, 0)} in all: "
        f"{value_text(found.model)}, n\u00a0=\u00a0{questions(found.model.n)}. A "
        f"uniform answerer has {number(found.uniform.estimate, 3)} (difference "
        f"{value_text(found.over_uniform)}, p\u00a0"
        f"{p_text(found.over_uniform.p_value)}){_places_text(found)}; what the people "
        f"of the other countries answer has {value_text(found.pool)}, n\u00a0=\u00a0"
        f"{questions(found.pool.n)} that others were asked.",
        f"On the {questions(common.model.fidelity.n)} that all of "
        f"{countries(len(run.common.publics))} were asked: "
        f"{value_text(common.model.fidelity)}, difference from a uniform answerer "
        f"{value_text(common.over_uniform)}.",
    ]
    evidence += untested(found.over_uniform)
    if tested:
        one = "no country" if not above else countries(len(above))
        evidence.append(
            f"Country by country, on all the questions each was asked and after Holm: "
            f"closer than a uniform answerer to {one} of {number(tested, 0)}, further "
            f"than it from {number(len(below), 0)}."
        )
    return Finding(claim=claim, evidence=tuple(evidence), certainty=certainty)  # type: ignore[arg-type]


def _places_text(found: Fidelity) -> str:
    """The answerer by place alone, in the sentence of the uniform one."""
    if found.position is None or found.position.estimate is None:
        return ""
    return (
        ", one that takes places as often as the model does and reads nothing "
        f"{number(found.position.estimate, 3)}"
    )


def closest_finding(run: OpinionRun) -> Finding | None:
    """Who is closest on the common set; said only where every rival is behind."""
    closest = run.closest
    if closest is None or len(run.common.questions) < MIN_QUESTIONS:
        return None
    first, second, last = closest.order[0], closest.order[1], closest.order[-1]
    lead = closest.against[0]
    size = len(closest.order)
    where = f"On the {questions(lead.n)} asked in {all_of(size)}, "
    highest, lowest = (number(closest.means[i], 3) for i in (0, -1))
    if highest == lowest and len(closest.rivals) == size - 1:
        return Finding(
            claim="Which country is closest is not resolved.",
            evidence=(f"{where}the mean similarity to each is {highest}.",),
            certainty="not shown",
        )
    pairs = closest.n_pairs
    over = f" over {number(pairs, 0)} pairs of countries" if pairs > 1 else ""
    evidence = [
        f"{where}{name(first)} has the highest mean similarity ({highest}), "
        f"{value_text(lead)} above {name(second)} "
        f"(p\u00a0(Holm{over})\u00a0{p_text(lead.p_holm)}), and {name(last)} the "
        f"lowest ({lowest})."
    ]
    if not closest.rivals:
        return Finding(
            claim=f"Of these countries, {name(first)} is the closest.",
            evidence=tuple(evidence),
            certainty="supported",
        )
    evidence.append(f"It is not shown to be ahead of {names(closest.rivals)}.")
    behind = size - 1 - len(closest.rivals)
    return Finding(
        claim="Which country is closest is not resolved"
        + (
            f"; {countries(behind)} of {size} "
            f"{'is' if behind == 1 else 'are'} shown to be further off."
            if behind
            else "."
        ),
        evidence=tuple(evidence),
        certainty="uncertain" if behind else "not shown",
    )


def reference_finding(run: OpinionRun) -> Finding | None:
    """Which countries the answers are less, or more, alike to than the reference."""
    reference = run.similarity.reference
    if reference is None:
        return None
    above, below, tested = _sides(run, "difference")
    if not tested:
        return None
    whom = name(reference)
    frame = run.countries.set_index("key", drop=False)
    frame = frame[frame["headline"]]

    def described(keys: list[str]) -> str:
        return "; ".join(
            f"{row.country} {number(row.difference, 3)} "
            f"(95% {interval(row.difference_low, row.difference_high, 3)}, "
            f"n\u00a0=\u00a0{number(row.n_shared, 0)})"
            for row in rows_of(frame.loc[keys[:3]])
        )

    evidence = [
        f"Difference in similarity from {whom}, on the questions both were asked, "
        f"after Holm over {countries(tested)}: {len(below)} lower, {len(above)} higher."
    ]
    if below:
        evidence.append(f"Lowest: {described(below)}.")
    if above:
        evidence.append(f"Highest: {described(above)}.")
    if not above and not below:
        return Finding(
            claim=f"No country is shown to be matched better or worse than {whom}.",
            evidence=tuple(evidence),
            certainty="not shown",
        )
    parts = []
    if below:
        parts.append(f"less like people's in {countries(len(below))}")
    if above:
        parts.append(f"more like people's in {countries(len(above))}")
    return Finding(
        claim=f"The answers are {join_words(parts)} than in the reference country, "
        f"{whom}.",
        evidence=tuple(evidence),
        certainty="supported",
    )


def _span(standings: Sequence[Standing], which: str) -> str:
    records = [
        one.effective if which == "effective" else one.relative_entropy
        for one in standings
    ]
    values = sorted(
        record.estimate for record in records if record.estimate is not None
    )
    digits = 1 if which == "effective" else 2
    return f"{number(values[0], digits)} to {number(values[-1], digits)}"


def diversity_finding(run: OpinionRun) -> Finding | None:
    """How many countries the answers stand for, and how mixed they are."""
    if len(run.common.questions) < MIN_QUESTIONS:
        return None
    found = run.diversity
    spread, number_of = found.model.relative_entropy, found.model.effective
    size = len(run.common.publics)
    certainty: Certainty = "supported"
    if spread.ci_high is not None and spread.ci_high < 1:
        claim = "Within a question the answers are more of one mind than people's."
    elif spread.ci_low is not None and spread.ci_low > 1:
        claim = "Within a question the answers are more spread than people's."
    else:
        claim = "The answers are not shown to be more, or less, mixed than people's."
        certainty = "not shown"
    others = (
        f"; each country's own answers {_span(found.countries, 'entropy')}"
        if found.countries and spread.estimate is not None
        else ""
    )
    n = f"n\u00a0=\u00a0{questions(spread.n)}"
    evidence = [
        f"People are all of one mind on every question, {n}: there is no entropy to "
        "compare with."
        if spread.estimate is None
        else f"Entropy relative to the human pool's: {value_text(spread, 2)}, {n}; a "
        f"uniform answerer {number(found.uniform.relative_entropy.estimate)}{others}.",
        f"Effective number of countries that match best: {value_text(number_of, 1)} of "
        f"{size}; a uniform answerer {number(found.uniform.effective.estimate, 1)}"
        + (
            "; each country's own answers, itself left out, "
            f"{_span(found.countries, 'effective')}"
            if found.countries
            else ""
        )
        + ". A model that copied one country would have 1.",
    ]
    return Finding(claim=claim, evidence=tuple(evidence), certainty=certainty)


def _undecided(run: OpinionRun) -> Finding:
    return Finding(
        claim=f"{run.label} takes every option equally often: it has no opinion here.",
        evidence=(
            f"So it is over {questions(run.counts.questions)}; what is below is of a "
            "uniform answerer.",
        ),
        certainty="not shown",
    )


def run_findings(run: OpinionRun) -> tuple[Finding, ...]:
    """All findings of one run, the headline first."""
    found: tuple[Finding | None, ...] = (
        fidelity_finding(run),
        closest_finding(run),
        reference_finding(run),
        diversity_finding(run),
        steering_finding(run),
        temperature_finding(run),
        position_finding(run),
        data_finding(run),
    )
    if run.undecided:
        found = (_undecided(run), position_finding(run), data_finding(run))
    return tuple(finding for finding in found if finding is not None)


def headline_finding(run: OpinionRun) -> Finding:
    """One run in a few sentences, for a report of many."""
    if run.undecided:
        return _undecided(run)
    found = fidelity_finding(run)
    closest = closest_finding(run)
    more = () if closest is None else (f"{closest.claim} {closest.evidence[0]}",)
    return Finding(
        claim=found.claim,
        evidence=(found.evidence[0], *more),
        certainty=found.certainty,
    )


def across_findings(analysis: OpinionAnalysis) -> tuple[Finding, ...]:
    """What several runs have in common."""
    if len(analysis.runs) < 2:
        return ()
    # On the common set: runs may differ in what else they were asked.
    ordered = sorted(
        analysis.runs, key=lambda run: _common(run).estimate or 0.0, reverse=True
    )
    sides = [side_of(run.diversity.over_uniform) for run in ordered]
    above, below = sides.count(1), sides.count(-1)
    total = len(ordered)
    claim = (
        f"On the questions that all countries of a common set were asked, {above} of "
        f"{total} models {'comes' if above == 1 else 'come'} closer to people than a "
        f"uniform answerer, {below} {'stays' if below == 1 else 'stay'} further off."
    )
    n = questions(_common(ordered[0]).n)
    evidence = [
        f"Fidelity over the same {n} and {countries(len(ordered[0].common.publics))}: "
        + "; ".join(f"{run.label} {value_text(_common(run))}" for run in ordered[:6])
        + (f"; and {total - 6} more" if total > 6 else "")
        + f". A uniform answerer has "
        f"{number(ordered[0].diversity.uniform.fidelity.estimate, 3)}; models are "
        f"counted after Holm over the {total}.",
        _pairs_text(analysis),
    ]
    return (
        Finding(
            claim=claim,
            evidence=tuple(evidence),
            certainty="supported" if above + below == total else "uncertain",
        ),
    )


def _common(run: OpinionRun) -> Record:
    return run.diversity.model.fidelity


def _pairs_text(analysis: OpinionAnalysis) -> str:
    """How many pairs of runs differ in fidelity, and the widest gap."""
    pairs = analysis.cross_records
    apart = sum(1 for record in pairs if side_of(record))
    widest = max(pairs, key=lambda record: abs(record.estimate or 0.0))
    return (
        f"Paired by question and after Holm, {apart} of {len(pairs)} pairs of models "
        f"differ; the widest gap is {widest.model} less {widest.group}, "
        f"{value_text(widest)}."
    )
