"""Findings on texts in several dialects: length, accuracy, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.dialects_mixed import EQUAL_LENGTH, LENGTH, SLOPE
from analysis.dialects_pairs_analysis import PairRun
from analysis.dialects_pairs_settings import Setting
from analysis.dialects_pairs_words import (
    NAMED,
    among,
    digits_of,
    name_of,
    names_of,
    p_phrase,
    rows_text,
    value_text,
)
from analysis.html import (
    Certainty,
    Finding,
    join_words,
    number,
)
from analysis.records import Record
from analysis.wording import side_of


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
    low, high = number(min(known), 3), number(max(known), 3)
    return (
        f"Where none is shown, a change of {low if low == high else f'{low} to {high}'}"
        " would be found in four cases of five before Holm.",
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
