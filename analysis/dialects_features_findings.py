"""Findings on dialect features: what is, and is not, shown, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from analysis.dialects_features_analysis import FeatureResult, FeatureRun
from analysis.html import Certainty, Finding, interval, join_words, number
from analysis.paired import MIN_CLUSTERS
from analysis.records import ALPHA, Record
from analysis.wording import (
    count_of,
    digits_for,
    p_words,
    percent,
    side_of,
    span_text,
    value_text,
)
from probe.types import Measure

features = partial(count_of, singular="feature")
"""``1 feature`` or ``22 features``."""
frames = partial(count_of, singular="frame")
"""``1 frame`` or ``440 frames``."""
pairs = partial(count_of, singular="pair")
"""``1 pair`` or ``880 pairs``."""


def digits_of(run: FeatureRun) -> int:
    """Decimals at which the run's mean differences can be told apart."""
    return digits_for(one.mean.estimate for one in run.features)


def percent_text(record: Record) -> str:
    """``63% (95% 55 to 71%)``."""
    if record.ci_low is None or record.ci_high is None:
        return percent(record.estimate)
    bounds = interval(100 * record.ci_low, 100 * record.ci_high, 0)
    return f"{percent(record.estimate)} (95% {bounds}%)"


def verb(run: FeatureRun) -> str:
    """What the model does with a form: ``scores`` or, a policy, ``finds``."""
    return "finds" if _policy(run) else "scores"


def how(run: FeatureRun, side: int) -> str:
    """``higher`` or ``lower``; of a policy ``more probable per token``."""
    if not _policy(run):
        return "higher" if side > 0 else "lower"
    per = " per token" if run.table.run.measure is Measure.LOGPROB_MEAN else ""
    return f"{'more' if side > 0 else 'less'} probable{per}"


def _policy(run: FeatureRun) -> bool:
    return run.table.run.measure in (Measure.LOGPROB_MEAN, Measure.LOGPROB_SUM)


def longer_text(run: FeatureRun, one: FeatureResult) -> str:
    """``the dialect form 1.0 tokens longer``."""
    length = one.length.estimate or 0.0
    unit = run.table.length_unit
    if abs(length) < 0.05:
        return "both forms equally long on average"
    which = "standard" if length > 0 else "dialect"
    return f"the {which} form {number(abs(length), 1)} {unit} longer"


def name_of(run: FeatureRun, one: FeatureResult) -> str:
    """The title, or the key where two features share a title."""
    titles = [other.feature.title for other in run.features]
    title = one.feature.title
    return one.feature.key if titles.count(title) > 1 else title


NAMED = 3
"""Most features of one side that a finding lists with their numbers."""


def overall_finding(run: FeatureRun) -> Finding:
    """Is the standard form preferred in general?"""
    found, digits = run.overall, digits_of(run)
    n = features(found.mean.n)
    side = side_of(found.mean)
    certainty: Certainty = "supported" if side else "not shown"
    if found.mean.p_value is None:
        claim = (
            f"Whether {run.label} prefers standard forms in general cannot be said "
            f"from {n}."
        )
    elif side:
        kind = "standard" if side > 0 else "dialect"
        claim = (
            f"Over {n}, {run.label} {verb(run)} the {kind} form {how(run, 1)} than the "
            f"{'dialect' if side > 0 else 'standard'} form on average."
        )
    else:
        claim = (
            f"Over {n}, no general preference of {run.label} for standard or for "
            "dialect forms is shown."
        )
    evidence = [
        f"Standard less dialect, each feature counting the same: "
        f"{value_text(found.mean, digits)} {run.table.unit}, or "
        f"{value_text(found.in_sd, 2)} SD of all its scores"
        + (
            f" (t-test over features, n = {found.mean.n}, "
            f"{p_words(_p(found.mean), _adjusted(found.mean))})."
            if found.mean.p_value is not None
            else f"; not tested, as a test needs {features(MIN_CLUSTERS)} that differ."
        ),
        f"It {verb(run)} the standard form {how(run, 1)} in "
        f"{percent_text(found.accuracy)} of pairs, "
        f"and on average in {found.sign.more} of {features(found.mean.n)}"
        + (
            ""
            if found.sign.p_value is None
            else f" (sign test over features, {p_words(found.sign.p_value)})"
        )
        + ".",
    ]
    return Finding(claim=claim, evidence=tuple(evidence), certainty=certainty)


def _p(record: Record) -> float | None:
    return record.p_value if record.p_holm is None else record.p_holm


def _adjusted(record: Record) -> str:
    """Whether Holm had several tests to adjust for."""
    return "" if record.p_holm == record.p_value else " after Holm"


def named_finding(run: FeatureRun) -> Finding:
    """Which features are penalised or favoured, by their own tests."""
    tested, total = len(run.tested), len(run.features)
    if not tested:
        most = max(run.table.frames)
        if most >= MIN_CLUSTERS:
            return Finding(
                claim=f"No feature is tested by itself: with {run.label} the pairs of "
                "a feature all differ by the same.",
                evidence=(
                    f"{features(total)} with at most {frames(most)} each, and scores "
                    "without spread, or of too few frames.",
                ),
                certainty="not shown",
            )
        return Finding(
            claim=f"No feature is tested by itself: the run of {run.label} has too few "
            "frames.",
            evidence=(
                f"{features(total)} with at most {frames(most)} each, and a test needs "
                f"{MIN_CLUSTERS}. Only what is said over all features together can be "
                "tested"
                + (
                    ""
                    if run.table.run.manifest.limit is None
                    else "; score the probe without a limit to learn which feature "
                    "costs what"
                )
                + ".",
            ),
            certainty="not shown",
        )
    against, towards = run.penalised, run.favoured
    if not against and not towards:
        strongest = max(run.tested, key=lambda one: -(_p(one.mean) or 0.0))
        return Finding(
            claim=f"No single feature is shown to be penalised or favoured by "
            f"{run.label}.",
            evidence=(
                f"None of {features(tested)} has a t-test below "
                f"{100 * ALPHA:.0f}% after Holm; the nearest is "
                f"{_one_text(run, strongest)}.",
                _power_text(run),
            ),
            certainty="not shown",
        )
    parts = []
    if against:
        parts.append(f"with {len(against)} of {features(tested)} {how(run, -1)}")
    if towards:
        of = "" if against else f" of {features(tested)}"
        parts.append(f"with {len(towards)}{of} {how(run, 1)}")
    return Finding(
        claim=f"{run.label} {verb(run)} sentences {join_words(parts)} than the same "
        "sentences in their standard form.",
        evidence=(
            *_list_text(run, "Penalised", against),
            *_list_text(run, "Favoured", towards),
            "That the model reacts to these words is shown, and not why: a feature "
            "changes the same words in all of its sentences.",
            _power_text(run),
        ),
        certainty="supported",
    )


def _list_text(
    run: FeatureRun, head: str, found: Sequence[FeatureResult]
) -> tuple[str, ...]:
    """The strongest features of one side with their numbers, the others by name."""
    if not found:
        return ()
    strongest = sorted(found, key=lambda one: -abs(one.mean.estimate or 0.0))
    listed = "; ".join(_one_text(run, one) for one in strongest[:NAMED])
    rest = [name_of(run, one) for one in strongest[NAMED:]]
    more = f"; then {join_words(rest)}" if rest else ""
    order = ", by mean difference" if len(found) > 1 else ""
    return (f"{head}{order}: {listed}{more}.",)


def _one_text(run: FeatureRun, one: FeatureResult) -> str:
    record = one.mean
    bounds = interval(record.ci_low, record.ci_high, digits_of(run))
    return (
        f"{name_of(run, one)} {number(record.estimate, digits_of(run))} (95% {bounds}, "
        f"{p_words(_p(record))}; standard preferred in "
        f"{percent(one.accuracy.estimate)} of {pairs(record.n)}; "
        f"{longer_text(run, one)})"
    )


def _power_text(run: FeatureRun) -> str:
    span = span_text(one.detectable.estimate for one in run.tested)
    more = len(run.features) - len(run.tested)
    return (
        f"With so many frames a d_z of {span} (of frames' means) is found in four "
        "cases of five before Holm, less often after it."
        + (f" {features(more)} could not be tested." if more else "")
    )


def length_finding(run: FeatureRun) -> Finding | None:
    """Does the longer form score lower, over features? None: no slope."""
    slope, digits = run.slope, digits_of(run) + 1
    if slope is None or slope.estimate is None:
        return None
    unit = run.table.length_unit
    side = side_of(slope)
    claim = (
        f"Over features, the form with more {unit} tends to have the "
        f"{'higher' if side > 0 else 'lower'} score with {run.label}, so that length "
        "may account for a part of what single features cost."
        if side
        else f"Over features, no relation of score and number of {unit} is shown for "
        f"{run.label}."
    )
    evidence = [
        f"{value_text(slope, digits)} {slope.unit}, n = {features(slope.n)}, "
        f"{p_words(_p(slope), _adjusted(slope))}: an association over features, "
        "which differ in more than length."
    ]
    if side:
        evidence.append(
            "With that much taken out for length, "
            f"{number(run.overall.beyond_length, digits)} of the overall "
            f"{number(run.overall.mean.estimate, digits)} {run.table.unit} is left; "
            "per feature it stands in the table, as a help in reading and not as a "
            "test."
        )
    return Finding(
        claim=claim,
        evidence=tuple(evidence),
        certainty="uncertain" if side else "not shown",
    )


def summed_finding(run: FeatureRun) -> Finding | None:
    """Policies: does dividing by the number of tokens decide? None: not stored."""
    known = [one for one in run.features if one.summed is not None]
    if not known:
        return None
    other = [
        one
        for one in known
        if one.summed and one.summed.mean * (one.mean.estimate or 0.0) < 0
    ]
    shares = [one.summed.accuracy for one in known if one.summed]
    names = [name_of(run, one) for one in other]
    flipped = (
        f"points the other way in {len(other)} of {features(len(known))}"
        if other
        else f"points the same way in all {features(len(known))}"
    )
    return Finding(
        claim=f"Not divided by the number of tokens, what {run.label} finds probable "
        f"{flipped}.",
        evidence=(
            "The mean per token changes when a word is dropped or added, even if the "
            "rest is as probable as before; the sum pays for every word. Summed, the "
            "standard form is the more probable in "
            f"{percent(math.fsum(shares) / len(shares))} of pairs, features counting "
            f"the same; per token in {percent(run.overall.accuracy.estimate)}.",
            *((f"The other way: {join_words(names)}.",) if names else ()),
        ),
        certainty="note",
    )


def data_finding(run: FeatureRun) -> Finding | None:
    """What was not read or not scored; None: nothing of note."""
    limit, missing = run.table.run.manifest.limit, run.table.unscored
    if limit is None and not missing:
        return None
    n_frames = sum(run.table.frames)
    evidence = []
    if limit is not None:
        evidence.append(
            f"The run read a sample of {frames(limit)}; {frames(n_frames)} of "
            f"{features(len(run.features))} are here, with "
            f"{pairs(len(run.table.standard))}."
        )
    if missing:
        evidence.append(
            f"{pairs(missing)} without a score on both sides "
            f"{'is' if missing == 1 else 'are'} left out."
        )
    return Finding(
        claim=f"Not every pair of the probe was read for {run.label}.",
        evidence=tuple(evidence),
        certainty="note",
    )


def run_findings(run: FeatureRun) -> tuple[Finding, ...]:
    """All findings of one run, the headline first."""
    found = (
        overall_finding(run),
        named_finding(run),
        length_finding(run),
        summed_finding(run),
        data_finding(run),
    )
    return tuple(finding for finding in found if finding is not None)


def headline_finding(run: FeatureRun) -> Finding:
    """One run in a few sentences, for a report of many."""
    overall, named = overall_finding(run), named_finding(run)
    return Finding(
        claim=overall.claim,
        evidence=(overall.evidence[0], f"{named.claim} {named.evidence[0]}"),
        certainty=overall.certainty,
    )
