"""Findings on what a run's numbers hang on: places, temperature, personas, gaps."""

from __future__ import annotations

import math

from analysis.drawing import rows_of
from analysis.html import Finding, interval, join_words, number, p_text
from analysis.opinions import OpinionRun
from analysis.opinions_measures import TESTED_QUESTIONS
from analysis.opinions_words import all_of, name, names, untested, value_text
from analysis.wording import countries, questions, side_of

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
