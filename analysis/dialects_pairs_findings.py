"""Findings on texts in several dialects: what is, and is not, shown, in plain words.

A dialect is named where its t-test is below 5 % after Holm over models and dialects and
its interval leaves zero out; all else is said to be not shown, with what could have
been.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from analysis import wording
from analysis.dialects_mixed import EQUAL_LENGTH, LENGTH, SLOPE
from analysis.dialects_pairs_analysis import PairRun
from analysis.dialects_pairs_effects import NO_SPREAD, SHIFT, Setting, unit_of
from analysis.html import Certainty, Finding, join_words, number
from analysis.records import Record
from analysis.wording import count_of, digits_for, p_words, percent, side_of, span_text
from probe.types import Measure

NAMED = 6
"""Most dialects that a finding lists with their numbers."""

_NAMES = {
    "standard": "standard English",
    "african_american": "African American English",
    "appalachian": "Appalachian English",
    "chicano": "Chicano English",
    "indian": "Indian English",
    "jamaican": "Jamaican English",
}


def name_of(dialect: str) -> str:
    """A dialect of the shipped pairs by its name; a user's own as it is."""
    return _NAMES.get(dialect, dialect)


def names_of(dialects: Sequence[str]) -> str:
    """``Indian English and Jamaican English``."""
    return join_words([name_of(dialect) for dialect in dialects])


def among(dialects: Sequence[str], total: int) -> str:
    """Their names, or ``all 5 dialects`` where these are all of several."""
    if len(dialects) == total and total > 2:
        return f"all {dialects_text(total)}"
    return names_of(dialects)


def comparatives(run: PairRun) -> tuple[str, str, str]:
    """``scores``, ``lower``, ``higher``; of a policy ``finds``, ``less probable``."""
    if run.table.run.measure in (Measure.REWARD, Measure.IMPLICIT_REWARD):
        return "scores", "lower", "higher"
    return "finds", "less probable", "more probable"


rows_text = partial(count_of, singular="row")
"""``1 row`` or ``297 rows``."""
dialects_text = partial(count_of, singular="dialect")
"""``1 dialect`` or ``5 dialects``."""


def digits_of(run: PairRun) -> int:
    """Decimals at which the run's mean differences can be told apart."""
    means = (one for one in run.records if one.metric == "mean_difference")
    return digits_for(one.estimate for one in means)


def adjusted_p(record: Record | None) -> float | None:
    """Holm's p-value; None: not tested."""
    return None if record is None else record.p_holm


def value_text(record: Record | None, digits: int = 2) -> str:
    """As `wording.value_text`; without a number it says so."""
    if record is None or record.estimate is None:
        return "not computed"
    return wording.value_text(record, digits)


def p_phrase(record: Record | None) -> str:
    """``p = 0.012``, ``p < 0.001`` or ``not tested``; Holm's."""
    p = adjusted_p(record)
    if p is None:
        return "not tested"
    return p_words(p)


def length_finding(run: PairRun) -> Finding | None:
    """Does what is shown stand at equal length?"""
    if run.no_length is not None:
        return Finding(
            claim=f"Whether length explains differences between dialects in "
            f"{run.label} is not known.",
            evidence=(f"A model with length was {run.no_length}.",)
            if run.no_length.startswith("left out")
            else (f"A model with length: {run.no_length}.",),
            certainty="note",
        )
    setting = run.headline
    before, after = run.sides(setting), run.sides(setting, EQUAL_LENGTH)
    kept = [d for i in (0, 1) for d in before[i] if d in after[i]]
    turned = [d for i in (0, 1) for d in before[i] if d in after[1 - i]]
    either = ({*before[0], *before[1]}, {*after[0], *after[1]})
    lost = [d for i in (0, 1) for d in before[i] if d not in either[1]]
    new = [d for i in (0, 1) for d in after[i] if d not in either[0]]
    certainty: Certainty = "supported"
    if turned:
        claim = (
            f"At equal length, the difference of {names_of(turned)} has the other "
            "sign: length more than accounts for it."
        )
        certainty = "uncertain"
    elif lost:
        claim = (
            f"At equal length, a difference of {names_of(lost)} is no longer shown: "
            "length may account for it"
            + (f"; that of {names_of(kept)} stands." if kept else ".")
        )
        certainty = "uncertain"
    elif kept:
        claim = (
            "The difference of "
            f"{among(kept, len(run.compared(setting)))} stands at equal length."
        )
    elif new:
        claim = (
            f"At equal length a difference of {names_of(new)} is shown, which "
            "differences in length hide."
        )
    else:
        claim = "At equal length, too, no dialect is shown to score differently."
        certainty = "not shown"
    digits, unit = digits_of(run), run.table.length_unit or ""
    parts = []
    for dialect in run.compared(setting)[:NAMED]:
        found = run.of(setting, EQUAL_LENGTH, dialect)
        parts.append(
            f"{name_of(dialect)} {value_text(found, digits)}, {p_phrase(found)} "
            f"({_longer(run, setting, dialect)})"
        )
    slope = run.of(setting, SLOPE, None)
    evidence = [
        f"Mean of {name_of(run.table.reference)} less dialect at equal length, mixed "
        "model with a random intercept per row, p after Holm: "
        f"{'; '.join(parts)}.",
        f"Within a row, a score changes by {value_text(slope, digits + 1)} per "
        f"{unit.removesuffix('s')}. Length is in part what a dialect's spelling makes "
        "it, and what goes with it may be dialect all the same.",
    ]
    if turned and lost:
        evidence.append(f"No longer shown: {names_of(lost)}.")
    if new and (turned or lost or kept):
        evidence.append(f"Shown at equal length only: {names_of(new)}.")
    return Finding(claim=claim, evidence=tuple(evidence), certainty=certainty)


def _longer(run: PairRun, setting: Setting, dialect: str) -> str:
    found = run.of(setting, LENGTH, dialect)
    if found is None or found.estimate is None:
        return "length not known"
    size = abs(found.estimate)
    if size < 0.05:
        return "equally long on average"
    side = "longer" if found.estimate < 0 else "shorter"
    return f"{number(size, 1)} {run.table.length_unit} {side}"


def accuracy_finding(run: PairRun) -> Finding | None:
    """Is the chosen answer told from the rejected one less often in a dialect?"""
    found = run.accuracy
    reference = run.about_accuracy("accuracy", run.table.reference)
    if found is None or reference is None:
        return None
    drops = [
        (dialect, drop)
        for dialect in run.table.dialects
        if (drop := run.about_accuracy("accuracy_drop", dialect)) is not None
        and drop.estimate is not None
    ]
    if not drops:
        return None
    drops.sort(key=lambda one: -(one[1].estimate or 0.0))
    less = [dialect for dialect, drop in drops if side_of(drop) > 0]
    more = [dialect for dialect, drop in drops if side_of(drop) < 0]
    ref = name_of(run.table.reference)
    parts = [
        f"{how} often in {names_of(which)}"
        for how, which in (("less", less), ("more", more))
        if which
    ]
    claim = (
        f"{run.label} scores the chosen answer above the rejected one "
        f"{join_words(parts)} than in {ref}."
        if parts
        else f"That {run.label} tells chosen from rejected answers less often in a "
        f"dialect than in {ref} is not shown."
    )
    listed = "; ".join(
        f"{name_of(dialect)} {number(accuracy.estimate, 3)}, drop "
        f"{value_text(drop, 3)}, {p_phrase(drop)}"
        for dialect, drop in drops[:NAMED]
        if (accuracy := run.about_accuracy("accuracy", dialect)) is not None
    )
    evidence = [
        f"Accuracy in {ref} {value_text(reference, 3)}, {rows_text(reference.n)}. "
        f"{listed}; McNemar's test, p after Holm.",
        *_disparity_text(run),
        *_drop_power(drops, less, more, run),
    ]
    if reference.ci_low is not None and reference.ci_low <= 0.5 <= (
        reference.ci_high or 0.0
    ):
        evidence.append(
            f"In {ref} itself accuracy is not shown to differ from chance, so that "
            "there is little that could be lost."
        )
    return Finding(
        claim=claim,
        evidence=tuple(evidence),
        certainty="supported" if parts else "not shown",
    )


def _disparity_text(run: PairRun) -> tuple[str, ...]:
    observed = run.about_accuracy("disparity", None)
    permuted = run.about_accuracy("disparity_permuted", None)
    found = run.accuracy.disparity if run.accuracy else None
    if observed is None or permuted is None or found is None:
        return ()
    if not observed.estimate:
        return ("All dialects have the same accuracy.",)
    return (
        f"Best less worst dialect ({name_of(found.best)}, {name_of(found.worst)}): "
        f"{number(observed.estimate, 3)}; with the dialects permuted within rows "
        f"{number(permuted.estimate, 3)} on average"
        f" (permutations: {p_phrase(observed)}).",
    )


def _drop_power(
    drops: Sequence[tuple[str, Record]],
    less: Sequence[str],
    more: Sequence[str],
    run: PairRun,
) -> tuple[str, ...]:
    known = [
        found.estimate
        for dialect, _ in drops
        if dialect not in (*less, *more)
        and (found := run.about_accuracy("minimum_detectable_accuracy_drop", dialect))
        is not None
        and found.estimate is not None
    ]
    if not known:
        return ()
    span = span_text(known, partial(number, digits=3))
    return (
        f"Where none is shown, a change of {span} would be found in four cases of five "
        "before Holm.",
    )


def data_finding(run: PairRun) -> Finding | None:
    """What was left out, and what is not known; None: nothing of note."""
    table, setting = run.table, run.headline
    identical = [
        f"{number(count, 0)} in {name_of(dialect)}"
        for dialect in table.dialects
        if (count := run.counts[setting.key, dialect].identical)
    ]
    evidence = []
    if identical:
        evidence.append(
            "Rows left out of effect sizes, because the text is the same in both "
            f"dialects: {join_words(identical)}."
        )
    if not table.texts_known:
        evidence.append(
            "Whether a text is the same in both dialects is not known, so that such "
            "rows count as no difference, and dilute it."
        )
    if table.unscored:
        evidence.append(
            f"{number(table.unscored, 0)} text{'' if table.unscored == 1 else 's'} "
            "without a score left out."
        )
    if table.run.manifest.limit is not None:
        evidence.append(
            f"The run read a sample: {rows_text(len(table.rows))} are here."
        )
    if not evidence:
        return None
    return Finding(
        claim=f"Not every text counts in every number about {run.label}.",
        evidence=tuple(evidence),
        certainty="note",
    )


_SUBJECTS = {
    "answer": ("the answer to the same prompt", "written"),
    "prompt": ("the same answer", "asked for"),
    "matched_chosen": ("the chosen answer", "asked and answered"),
    "matched_rejected": ("the rejected answer", "asked and answered"),
    "recorded_chosen": ("the chosen text", "written"),
    "recorded_rejected": ("the rejected text", "written"),
    "recorded": ("the same text", "written"),
}
"""Setting -> what is scored, and what is done in a dialect."""


def setting_finding(run: PairRun, setting: Setting) -> Finding:
    """Which dialects cost score in one setting, how much, how consistently."""
    subject, done = _SUBJECTS.get(setting.key, (setting.varied, "written"))
    lower, higher, _ = run.sides(setting)
    total = len(run.compared(setting))
    ref = name_of(run.table.reference)
    verb, *how = comparatives(run)
    if lower or higher:
        parts = [
            f"{word} when it is {done} in {among(which, total)}"
            for word, which in zip(how, (lower, higher), strict=True)
            if which
        ]
        claim = (
            f"{run.label} {verb} {subject} {join_words(parts)} than when it is {done} "
            f"in {ref}."
        )
    elif _tested(run, setting):
        claim = (
            f"That {run.label} scores {subject} differently when it is {done} in "
            f"another dialect than {ref} is not shown."
        )
    else:
        claim = (
            f"Whether {run.label} scores {subject} differently when it is {done} in "
            f"another dialect than {ref} {_why_untested(run, setting)}."
        )
    return Finding(
        claim=claim,
        evidence=(
            _sizes_text(run, setting),
            *_size_text(run, setting, lower + higher),
            *_power_text(run, setting),
        ),
        certainty="supported" if lower or higher else "not shown",
    )


def _tested(run: PairRun, setting: Setting) -> list[Record]:
    found = [
        run.of(setting, "mean_difference", dialect) for dialect in run.compared(setting)
    ]
    return [one for one in found if one is not None and one.p_value is not None]


def _why_untested(run: PairRun, setting: Setting) -> str:
    """Why no dialect of a setting is tested."""
    compared = run.compared(setting)
    if not compared:
        return "cannot be said: what is varied is the same text in every row"
    means = [run.of(setting, "mean_difference", dialect) for dialect in compared]
    if all(one is not None and one.ci_method == NO_SPREAD for one in means):
        return "is not tested: all rows differ by the same amount"
    return "cannot be said from so few rows"


def _sizes_text(run: PairRun, setting: Setting) -> str:
    """Every dialect's numbers: those that are shown in full, the others short."""
    if not run.compared(setting):
        return "No row has scores of two different texts."
    *_, neither = run.sides(setting)
    shown = [d for d in run.compared(setting) if d not in neither]
    parts = [_one_text(run, setting, dialect) for dialect in shown[:NAMED]]
    if len(shown) > NAMED:
        parts.append(f"and {len(shown) - NAMED} more")
    rest = [_one_text(run, setting, dialect) for dialect in neither[:NAMED]]
    if len(neither) > NAMED:
        rest.append(f"and {len(neither) - NAMED} more")
    text = (
        f"Mean of {name_of(run.table.reference)} less dialect, {unit_of(run.table)}, p "
        f"after Holm: {'; '.join(parts or rest)}."
    )
    return text + (f" Not shown: {'; '.join(rest)}." if parts and rest else "")


def _one_text(run: PairRun, setting: Setting, dialect: str) -> str:
    mean = run.of(setting, "mean_difference", dialect)
    d_z = run.of(setting, "cohens_d_z", dialect)
    assert mean is not None and d_z is not None
    return (
        f"{name_of(dialect)} {value_text(mean, digits_of(run))}, d_z "
        f"{number(d_z.estimate)}, {p_phrase(mean)}, n\u00a0=\u00a0{mean.n}"
    )


def _size_text(run: PairRun, setting: Setting, named: Sequence[str]) -> tuple[str, ...]:
    """How consistent the strongest is, and how large beside how texts differ anyway."""
    sizes = [
        (abs(found.estimate), dialect)
        for dialect in named
        if (found := run.of(setting, "cohens_d_z", dialect)) is not None
        and found.estimate is not None
    ]
    if not sizes:
        return ()
    _, dialect = max(sizes)
    d_av = run.of(setting, "cohens_d_av", dialect)
    share = run.of(setting, "reference_preferred", dialect)
    return (
        f"The strongest, {name_of(dialect)}: {name_of(run.table.reference)} scores "
        f"higher in {percent(share.estimate if share else None)} of rows; the mean "
        "difference is "
        f"{percent(abs(d_av.estimate) if d_av and d_av.estimate else None)} of the "
        f"standard deviation of scores between rows (d_av {value_text(d_av)}).",
    )


def _power_text(run: PairRun, setting: Setting) -> tuple[str, ...]:
    known = [
        found.estimate
        for dialect in run.compared(setting)
        if (found := run.of(setting, "minimum_detectable_d_z", dialect)) is not None
        and found.estimate is not None
    ]
    if not known:
        return ()
    return (
        f"With so many {run.table.cluster}s a d_z of {span_text(known)} is found in "
        "four cases of five before Holm, less often after it.",
    )


def matched_finding(run: PairRun) -> Finding | None:
    """Prompt and answer in a dialect together, chosen and rejected answers apart."""
    settings = [
        setting for setting in run.settings if setting.key.startswith("matched_")
    ]
    if not settings:
        return None
    verb, *how = comparatives(run)
    shown = [
        f"{setting.key.removeprefix('matched_')} answers {word} in "
        f"{among(which, len(run.compared(setting)))}"
        for setting in settings
        for word, which in zip(how, run.sides(setting)[:2], strict=True)
        if which
    ]
    ref = name_of(run.table.reference)
    return Finding(
        claim=f"With prompt and answer in one dialect, {run.label} {verb} "
        f"{join_words(shown)} than in {ref}."
        if shown
        else f"With prompt and answer in one dialect, no difference of {run.label} "
        f"from {ref} is shown.",
        evidence=tuple(
            f"{setting.title}. {_sizes_text(run, setting)}" for setting in settings
        ),
        certainty="supported" if shown else "not shown",
    )


def asker_finding(run: PairRun) -> Finding | None:
    """Is an answer in the asker's dialect, or in the reference, scored higher?"""
    setting = run.setting("asker")
    if setting is None:
        return None
    lower, higher, _ = run.sides(setting)
    total = len(run.compared(setting))
    ref, own = f"in {name_of(run.table.reference)}", "in the asker's own dialect"
    verb, _, better = comparatives(run)
    parts = [
        f"{verb} an answer {first} {better} than the same {second} when asked in "
        f"{among(which, total)}"
        for first, second, which in ((ref, own, lower), (own, ref, higher))
        if which
    ]
    claim = (
        f"{run.label} {join_words(parts)}."
        if parts
        else f"Whether {run.label} would rather answer in the asker's dialect or in "
        f"{name_of(run.table.reference)} is not shown."
    )
    return Finding(
        claim=claim,
        evidence=(
            _sizes_text(run, setting),
            *_shift_text(run),
            *_power_text(run, setting),
        ),
        certainty="supported" if parts else "not shown",
    )


def _shift_text(run: PairRun) -> tuple[str, ...]:
    """Does being asked in a dialect change the lead of the reference's answer?"""
    if run.setting(SHIFT.key) is None or not run.compared(SHIFT):
        return ()
    more, less, _ = run.sides(SHIFT)
    parts = [
        f"{how} when asked in {among(which, len(run.compared(SHIFT)))}"
        for how, which in (("grows", more), ("shrinks", less))
        if which
    ]
    known = [
        f"{name_of(dialect)} {value_text(found, digits_of(run))}"
        for dialect in run.compared(SHIFT)[:NAMED]
        if (found := run.of(SHIFT, "mean_difference", dialect)) is not None
    ]
    ref = name_of(run.table.reference)
    what = f"Compared with asking in {ref}, the lead of the answer in {ref} "
    return (
        what
        + (join_words(parts) if parts else "is not shown to change")
        + f" (change of the lead: {'; '.join(known)}).",
    )


def run_findings(run: PairRun) -> tuple[Finding, ...]:
    """All findings of one run, the headline first."""
    found = [setting_finding(run, run.headline), length_finding(run)]
    found += [
        setting_finding(run, setting)
        for setting in run.settings[1:]
        if setting.key == "prompt"
    ]
    found.append(asker_finding(run))
    if run.headline.key.startswith(("matched_", "recorded")):
        found += [setting_finding(run, setting) for setting in run.settings[1:]]
    else:
        found.append(matched_finding(run))
    found += [accuracy_finding(run), data_finding(run)]
    return tuple(finding for finding in found if finding is not None)


def headline_finding(run: PairRun) -> Finding:
    """One run in a few sentences, for a report of many."""
    first, accuracy = setting_finding(run, run.headline), accuracy_finding(run)
    more = () if accuracy is None else (f"{accuracy.claim} {accuracy.evidence[0]}",)
    return Finding(
        claim=first.claim,
        evidence=(first.evidence[0], *more),
        certainty=first.certainty,
    )
