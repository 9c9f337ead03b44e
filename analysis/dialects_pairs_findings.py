"""Findings on texts in several dialects: what is, and is not, shown, in plain words.

A dialect is named where its t-test is below 5 % after Holm over models and dialects and
its interval leaves zero out; all else is said to be not shown, with what could have
been.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.dialects_pairs_analysis import PairRun
from analysis.dialects_pairs_checks import (
    accuracy_finding,
    data_finding,
    length_finding,
)
from analysis.dialects_pairs_effects import NO_SPREAD, unit_of
from analysis.dialects_pairs_settings import SHIFT, Setting
from analysis.dialects_pairs_words import (
    NAMED,
    among,
    comparatives,
    digits_of,
    name_of,
    p_phrase,
    value_text,
)
from analysis.html import Finding, join_words, number
from analysis.records import Record
from analysis.wording import percent

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
    low, high = number(min(known)), number(max(known))
    return (
        f"With so many {run.table.cluster}s a d_z of "
        f"{low if low == high else f'{low} to {high}'} is found in four cases of five "
        "before Holm, less often after it.",
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
