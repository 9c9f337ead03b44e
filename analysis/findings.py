"""Plain-words findings of the country axis, written from the analysis's own numbers.

Rules every sentence follows: it carries n and an interval; it says so when an interval
holds zero, when intervals overlap, or when a p-value does not survive Holm's
correction; it never calls a correlation a cause.
"""

from __future__ import annotations

import math

import pandas as pd

from analysis.countries_axis import CountryAnalysis, PollResult, RunAnalysis
from analysis.drawing import rows_of
from analysis.html import Certainty, Finding, interval, join_words, number, p_text
from analysis.records import ALPHA, Record
from analysis.views_finding import view_finding
from analysis.wording import (
    countries,
    estimate_text,
    is_bare,
    is_mostly_blind,
    is_positive,
    is_supported,
    overlap,
    percent,
    poll_title,
    questions,
)

MOSTLY_TIED = 0.5
"""Share of tied pairs from which only countries of clear intervals are named."""
TIES_SHOWN = 0.01
"""Share of tied pairs from which a reader is told."""


def computed(run: RunAnalysis) -> tuple[PollResult, ...]:
    """The polls with a correlation, in the given order."""
    return tuple(poll for poll in run.polls if poll.headline.estimate is not None)


def main_poll(run: RunAnalysis) -> PollResult | None:
    """The poll that one-line summaries quote: the first with percentages and n."""
    known = computed(run)
    return known[0] if known else None


def ends(run: RunAnalysis) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `ranks` of who is most and who is least favoured, the end first.

    Up to three of either, none of which shares its mean rank with one that is not
    among them. Where most pairs are tied, only those whose interval lies wholly on
    their side of no preference, and none where countries are not told apart.
    """
    ranks = run.ranks.dropna(subset="mean_rank")
    count = min(3, len(ranks) // 2)
    found = []
    for one, side in ((ranks, 1), (ranks.iloc[::-1], -1)):
        means = side * one["mean_rank"]
        kept = one[means < means.iloc[count] - 1e-9]
        if run.counts.tied >= MOSTLY_TIED:
            bound = kept["ci_high"] if side > 0 else kept["ci_low"]
            clear = side * bound < side * (len(ranks) + 1) / 2
            kept = kept[clear & run.told_apart]
        found.append(kept)
    return found[0], found[1]


def ranking_finding(run: RunAnalysis) -> Finding:
    """Who stands at the ends, and how settled that is."""
    ranks = run.ranks
    total = len(ranks)
    neutral = (total + 1) / 2
    top, bottom = ends(run)
    said = [
        f"{join_words(list(end['country']))} {word}"
        for end, word in ((top, "first"), (bottom, "last"))
        if len(end)
    ]
    alike, tied = run.counts.questions_alike, []
    if alike:
        tied.append(
            f"In {number(alike, 0)} of {questions(run.counts.questions)} all countries "
            "have the same score."
        )
    if alike < run.counts.questions and run.counts.tied >= TIES_SHOWN:
        tied.append(
            f"Of the pairs of countries in a question {percent(run.counts.tied)} have "
            "the same score."
        )
    if not run.ordered or not said:
        claim = (
            f"{run.label} gives all {countries(total)} the same score."
            if alike == run.counts.questions
            else f"{run.label} puts none of {countries(total)} before the others."
        )
        if alike < run.counts.questions:
            low, high = ranks["mean_rank"].min(), ranks["mean_rank"].max()
            tied.append(
                f"Mean ranks run from {number(low, 1)} to {number(high, 1)}, "
                f"{number(neutral, 1)} = no preference."
            )
        return Finding(claim=claim, evidence=tuple(tied), certainty="not shown")
    claim = f"{run.label} puts {' and '.join(said)} of {countries(total)}."
    described = [
        f"{row.country} {number(row.mean_rank, 1)}"
        + (
            ""
            if math.isnan(row.ci_low)
            else f" (95% {interval(row.ci_low, row.ci_high, 1)})"
        )
        for row in (*rows_of(top), *rows_of(bottom[::-1]))
    ]
    evidence = [
        f"Mean rank over {questions(run.counts.questions)}, 1 = most favoured, "
        f"{number(neutral, 1)} = no preference: {'; '.join(described)}.",
        *tied,
    ]
    if ranks["ci_low"].isna().all():
        evidence.append(
            f"No interval can be given ({run.rank_ci_method.removeprefix('none: ')}): "
            "this is what the model does on this text, not a tendency."
        )
        return Finding(claim=claim, evidence=tuple(evidence), certainty="uncertain")
    apart = int(((ranks["ci_high"] < neutral) | (ranks["ci_low"] > neutral)).sum())
    evidence.append(
        f"The intervals of {apart} of {countries(total)} lie wholly on one side of no "
        f"preference; by chance alone about {number(0.05 * total, 0)} would."
    )
    rivals = int((ranks["ci_low"].iloc[1:] <= ranks["ci_high"].iloc[0]).sum())
    if len(top):
        evidence.append(
            f"{ranks['country'].iloc[0]}'s interval overlaps "
            + (
                f"those of {rivals} more, so who is first is not settled."
                if rivals
                else "no other's."
            )
        )
    clear = run.told_apart and apart > 3 * 0.05 * total
    return Finding(
        claim=claim,
        evidence=tuple(evidence),
        certainty="supported" if clear else "uncertain",
    )


def poll_finding(run: RunAnalysis) -> Finding | None:
    """Whether the ranking follows the polls."""
    known = computed(run)
    if not known:
        if not run.polls:
            return None
        reasons = {poll.headline.ci_method or "not computed" for poll in run.polls}
        return Finding(
            claim="The ranking was not compared with opinion polls.",
            evidence=(
                f"{join_words([poll_title(poll) for poll in run.polls])}: "
                f"{'; '.join(sorted(reasons))}.",
            ),
            certainty="note",
        )
    good = [poll for poll in known if is_supported(poll.headline)]
    names = join_words([poll_title(poll) for poll in good])
    certainty: Certainty
    if len(good) == len(known):
        claim = (
            f"The ranking goes with {names}."
            if len(good) == 1
            else f"The ranking goes with all {len(good)} opinion polls."
        )
        certainty = "supported"
    elif good:
        claim = f"The ranking goes with some of the polls ({names}), not all."
        certainty = "uncertain"
    elif any(is_bare(poll.headline) for poll in known):
        claim = "The ranking goes with opinion polls on these few questions."
        certainty = "uncertain"
    elif any(is_positive(poll.headline) for poll in known):
        claim = "The ranking may go with the polls, but the test is not passed."
        certainty = "uncertain"
    elif any((poll.headline.ci_high or 1.0) < 0 for poll in known):
        claim = "The ranking runs against the polls."
        certainty = "uncertain"
    else:
        claim = "Agreement between the ranking and the polls is not shown."
        certainty = "not shown"
    evidence = [
        f"{poll_title(poll)}: {estimate_text(poll.headline)} countries, "
        f"p\u00a0(Holm)\u00a0{p_text(poll.headline.p_holm)}."
        for poll in known
    ]
    pairs = [
        overlap(a.headline, b.headline)
        for i, a in enumerate(known)
        for b in known[i + 1 :]
    ]
    if pairs and all(pairs):
        evidence.append(
            "The intervals of all polls overlap: no poll is shown to be followed more "
            "closely than another."
        )
    return Finding(claim=claim, evidence=tuple(evidence), certainty=certainty)


def valence_finding(run: RunAnalysis) -> Finding | None:
    """How much of the ranking does not depend on what was asked."""
    poll = next((p for p in computed(run) if p.valence), None)
    blind = run.valence_blind
    if blind is None or blind.estimate is None:
        return None
    evidence = [
        "Raw ranks on questions that ask for the best and on questions that ask for "
        f"the worst correlate {estimate_text(blind)} countries; a model that judged "
        "countries would have a clearly negative value here."
    ]
    split = ""
    if poll is not None:
        parts = {record.metric.rsplit("_", 1)[1]: record for record in poll.valence}
        plus, minus = parts.get("positive"), parts.get("negative")
        if plus is not None and minus is not None:
            evidence.append(
                f"Agreement with {poll_title(poll)} from positive questions alone: "
                f"{estimate_text(plus)}; from negative questions alone: "
                f"{estimate_text(minus)}."
            )
            if is_positive(plus) and not is_positive(minus):
                split = (
                    " Agreement with the poll is shown on the positive questions and "
                    "not on the negative ones."
                )
    if is_positive(blind):
        claim = (
            f"{'Most' if is_mostly_blind(blind) else 'Part'} of the ranking is "
            f"favouring some country names whatever is asked.{split}"
        )
        return Finding(claim=claim, evidence=tuple(evidence), certainty="supported")
    if blind.ci_high is not None and blind.ci_high < 0:
        claim = "The ranking turns round when the question does, as a judgement would."
        return Finding(
            claim=claim + split, evidence=tuple(evidence), certainty="supported"
        )
    claim = "How much of the ranking depends on what is asked is not settled." + split
    return Finding(claim=claim, evidence=tuple(evidence), certainty="uncertain")


def length_finding(run: RunAnalysis) -> Finding | None:
    """The ranking by answer length alone, beside every headline."""
    pairs = [
        (poll, poll.length_baseline)
        for poll in computed(run)
        if poll.length_baseline.estimate is not None
    ]
    if not pairs:
        return None
    evidence = tuple(
        f"{poll_title(poll)}: length alone {estimate_text(base)}; the model "
        f"{number(poll.headline.estimate)}{_overlap_words(poll.headline, base)}."
        for poll, base in pairs
    )
    clear = [
        poll
        for poll, base in pairs
        if poll.headline.ci_low is not None
        and poll.headline.ci_low > (base.estimate or 0.0)
        and not overlap(poll.headline, base)
    ]
    if len(clear) == len(pairs):
        return Finding(
            claim="Answer length alone does not give this agreement.",
            evidence=evidence,
            certainty="supported",
        )
    return Finding(
        claim="Answer length alone is not ruled out as a source of the agreement"
        + (" for some polls." if clear else "."),
        evidence=evidence,
        certainty="uncertain",
    )


def _overlap_words(a: Record, b: Record) -> str:
    known = overlap(a, b)
    if known is None:
        return ""
    return ", intervals overlap" if known else ", intervals apart"


def confound_finding(run: RunAnalysis) -> Finding | None:
    """What the oriented score goes with, in both regressions."""
    table = run.confounds.table
    if table.empty:
        return None
    methods = list(table["method"].unique())
    strong: list[str] = []
    some: list[str] = []
    for term, rows in table.groupby("term", sort=False):
        passed = [
            record
            for method in methods
            if (record := confound_record(run, method, str(term))) is not None
            and (record.p_holm if record.p_holm is not None else record.p_value or 1.0)
            < ALPHA
        ]
        row = rows.iloc[0]
        text = (
            f"{row['label']} {number(row['estimate'])} SD "
            f"(95% {interval(row['ci_low'], row['ci_high'])})"
        )
        if len(passed) == len(methods):
            strong.append(text)
        elif passed:
            some.append(text)
    first = table.iloc[0]
    scope = (
        f"Regression of the oriented score on {len(table['term'].unique())} terms, "
        f"{number(first['n'], 0)} rows, {countries(int(first['n_countries']))}."
    )
    evidence = [scope]
    if strong:
        evidence.append(f"In both regressions after Holm: {'; '.join(strong)}.")
    if some:
        evidence.append(f"In one of the two only: {'; '.join(some)}.")
    if not strong and not some:
        largest = table.iloc[int(table["estimate"].abs().argmax())]
        evidence.append(
            f"The largest coefficient is {largest['label']}, "
            f"{number(largest['estimate'])} SD "
            f"(95% {interval(largest['ci_low'], largest['ci_high'])})."
        )
    if strong:
        claim = "Properties of countries go with the score beyond chance."
    elif some:
        claim = "Some properties of countries may go with the score."
    else:
        claim = (
            "No property in the confound model (length, population, wealth, language, "
            "region) is shown to go with the score."
        )
    return Finding(
        claim=claim,
        evidence=tuple(evidence),
        certainty="supported" if strong else "uncertain" if some else "not shown",
    )


def confound_record(run: RunAnalysis, method: str, term: str) -> Record | None:
    """The record of one coefficient of one of the two regressions."""
    return next(
        (
            record
            for record in run.confounds.records
            if record.group == term and record.ci_method == method
        ),
        None,
    )


def data_finding(run: RunAnalysis) -> Finding | None:
    """Anything about the data that bears on the numbers."""
    counts = run.counts
    parts: list[str] = []
    if counts.unscored:
        parts.append(
            f"{number(counts.unscored, 0)} of {number(counts.cells, 0)} scores are "
            f"missing, in {questions(counts.questions_with_unscored)}; they were never "
            "ranked."
        )
    if counts.truncated:
        parts.append(f"{number(counts.truncated, 0)} texts were cut to fit the model.")
    if counts.analysis_countries_absent and counts.countries_ranked < 50:
        parts.append(
            f"Only {countries(counts.countries_ranked)} were asked about: ranks are "
            "among these."
        )
    if counts.questions < 30:
        parts.append(
            f"Only {questions(counts.questions)} were asked; intervals over so few are "
            "rough."
        )
    if not parts:
        return None
    return Finding(
        claim="The data limit what can be said.",
        evidence=tuple(parts),
        certainty="note",
    )


def run_findings(run: RunAnalysis) -> tuple[Finding, ...]:
    """All findings of one run, the headline first."""
    found = (
        ranking_finding(run),
        poll_finding(run),
        view_finding(run),
        valence_finding(run),
        length_finding(run),
        confound_finding(run),
        data_finding(run),
    )
    return tuple(finding for finding in found if finding is not None)


def headline_finding(run: RunAnalysis) -> Finding:
    """One run in a few sentences, for a report of many: polls and their yardsticks."""
    known = computed(run)
    if not known:
        return ranking_finding(run)
    first, rest = known[0], known[1:]
    good = [poll for poll in known if is_supported(poll.headline)]
    bare = [poll for poll in known if is_bare(poll.headline)]
    which = (
        "goes with the opinion polls"
        if len(good) == len(known)
        else f"goes with {len(good)} of {len(known)} opinion polls"
        if good
        else "goes with the opinion polls on these few questions"
        if bare
        else "is not shown to go with the opinion polls"
    )
    evidence = [
        f"{poll_title(first)}: {estimate_text(first.headline)} countries, "
        f"p\u00a0(Holm)\u00a0{p_text(first.headline.p_holm)}."
    ]
    if rest:
        values = sorted(poll.headline.estimate or 0.0 for poll in rest)
        sizes = sorted({poll.n for poll in rest})
        evidence[0] += (
            f" {len(rest)} more: rho\u00a0{number(values[0])} to {number(values[-1])}, "
            f"n\u00a0=\u00a0{sizes[0]}"
            + (f" to {sizes[-1]}." if len(sizes) > 1 else ".")
        )
    blind = run.valence_blind
    tail = ""
    if blind is not None and blind.estimate is not None:
        evidence.append(f"Valence-blind: {estimate_text(blind)} countries.")
        if is_mostly_blind(blind):
            tail = ", and ranks much the same names high whatever is asked"
        elif is_positive(blind):
            tail = ", and partly favours names whatever is asked"
    base = first.length_baseline
    if base.estimate is not None:
        evidence.append(
            f"Length alone: {estimate_text(base)}"
            f"{_overlap_words(first.headline, base)}."
        )
    certainty: Certainty = (
        "supported"
        if len(good) == len(known)
        else "uncertain"
        if good or bare
        else "not shown"
    )
    return Finding(
        claim=f"{run.label} {which}{tail}.",
        evidence=tuple(evidence),
        certainty=certainty,
    )


def across_findings(analysis: CountryAnalysis) -> tuple[Finding, ...]:
    """What several runs of one probe have in common."""
    known = [r for r in analysis.cross_records if r.estimate is not None]
    if not known:
        return ()
    values = sorted(record.estimate or 0.0 for record in known)
    low = min(known, key=lambda record: record.estimate or 0.0)
    high = max(known, key=lambda record: record.estimate or 0.0)
    evidence = [
        f"Closest: {high.model} and {high.group}, {estimate_text(high)} countries."
    ]
    if low is not high:
        evidence.append(
            f"Furthest: {low.model} and {low.group}, {estimate_text(low)} countries."
        )
        if overlap(low, high):
            evidence.append("These two intervals overlap.")
    span = f"{number(values[0])} to {number(values[-1])}"
    supported = all(is_supported(record) for record in known)
    return (
        Finding(
            claim=f"The {len(analysis.runs)} models' rankings of countries correlate "
            f"{span if len(values) > 1 else number(values[0])} with each other.",
            evidence=tuple(evidence),
            certainty="supported" if supported else "uncertain",
        ),
    )
