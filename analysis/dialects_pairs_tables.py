"""Tables of texts in several dialects."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.dialects_mixed import EQUAL_LENGTH, LENGTH
from analysis.dialects_pairs_analysis import PairRun
from analysis.dialects_pairs_effects import unit_of
from analysis.dialects_pairs_settings import Setting
from analysis.dialects_pairs_words import adjusted_p, digits_of, name_of, rows_text
from analysis.html import (
    Cell,
    Table,
    interval_cell,
    number,
    number_cell,
    p_cell,
    text_cell,
)
from analysis.records import Record


def value_of(record: Record | None) -> float | None:
    """The estimate, if there is a record and it has one."""
    return None if record is None else record.estimate


def span_cell(record: Record | None, digits: int = 2) -> Cell:
    """The record's interval, or a dash."""
    if record is None:
        return interval_cell(None, None)
    return interval_cell(record.ci_low, record.ci_high, digits)


def effect_tables(run: PairRun, prefix: str) -> tuple[Table, ...]:
    """Effect sizes of the headline setting, and those of the others, folded."""
    first, *others = run.settings
    found = [_effect_table(run, [first], f"{prefix}-effects")]
    if others:
        found.append(_effect_table(run, others, f"{prefix}-settings"))
    return tuple(found)


def _effect_table(run: PairRun, settings: Sequence[Setting], id: str) -> Table:
    several, digits = len(settings) > 1, digits_of(run)
    rows = [
        (setting, dialect)
        for setting in settings
        for dialect in (*run.compared(setting), *_without(run, setting))
    ]
    frame = [
        record.to_json() | {"identical": run.counts[setting.key, dialect].identical}
        for setting, dialect in rows
        for metric in METRICS
        if (record := run.of(setting, metric, dialect)) is not None
    ]
    known = "" if run.table.texts_known else " (not known)"
    return Table(
        id=id,
        title="Effect sizes in the other settings"
        if several
        else f"Effect sizes: {settings[0].title[0].lower()}{settings[0].title[1:]}",
        note=f"Difference: {name_of(run.table.reference)} less dialect, in "
        f"{unit_of(run.table)}; d_z over the SD of the differences, d_av over the mean "
        f"SD of both forms. Identical: rows with the same text in both{known}, in no "
        f"number. p: t-test clustered by {run.table.cluster} and Wilcoxon's test, each "
        "Holm's over models and dialects. Preferred: rows in which the reference "
        "scores higher, ties one half. Detectable: d_z found in four cases of five, "
        "before Holm.",
        header=(
            *(("Varied",) if several else ()),
            "Dialect",
            "Rows",
            "Identical",
            "Difference",
            "95% interval",
            "p (t, Holm)",
            "d_z",
            "95% interval",
            "d_av",
            "95% interval",
            "Rank-biserial",
            "p (Wilcoxon, Holm)",
            "Preferred, %",
            "Detectable d_z",
        ),
        rows=tuple(
            (
                *((text_cell(setting.title),) if several else ()),
                *_effect_cells(run, setting, dialect, digits),
            )
            for setting, dialect in rows
        ),
        frame=pd.DataFrame(frame),
        folded=several,
        sortable=True,
        head_rows=not several,
    )


METRICS = (
    "mean_difference",
    "cohens_d_z",
    "cohens_d_av",
    "rank_biserial",
    "reference_preferred",
    "minimum_detectable_d_z",
)


def _without(run: PairRun, setting: Setting) -> tuple[str, ...]:
    """Dialects of which every row is the same text: the count must be seen."""
    return tuple(
        dialect
        for dialect in run.table.dialects
        if (counts := run.counts[setting.key, dialect]).identical and not counts.n
    )


def _effect_cells(
    run: PairRun, setting: Setting, dialect: str, digits: int
) -> tuple[Cell, ...]:
    mean, d_z, d_av, ranked, preferred, detectable = (
        run.of(setting, metric, dialect) for metric in METRICS
    )
    counts = run.counts[setting.key, dialect]
    share = value_of(preferred)
    return (
        text_cell(name_of(dialect)),
        number_cell(counts.n, 0),
        number_cell(counts.identical if run.table.texts_known else None, 0),
        number_cell(value_of(mean), digits),
        span_cell(mean, digits),
        p_cell(adjusted_p(mean)),
        number_cell(value_of(d_z)),
        span_cell(d_z),
        number_cell(value_of(d_av)),
        span_cell(d_av),
        number_cell(value_of(ranked)),
        p_cell(adjusted_p(ranked)),
        number_cell(None if share is None else 100 * share, 0),
        number_cell(value_of(detectable)),
    )


def length_table(run: PairRun, prefix: str) -> Table | None:
    """The headline differences beside those at equal length; None: not fitted."""
    if run.no_length is not None:
        return None
    setting, digits = run.headline, digits_of(run)
    unit = run.table.length_unit or ""
    rows, frame = [], []
    for dialect in run.compared(setting):
        plain = run.of(setting, "mean_difference", dialect)
        equal = run.of(setting, EQUAL_LENGTH, dialect)
        longer = run.of(setting, LENGTH, dialect)
        frame += [one.to_json() for one in (plain, equal, longer) if one is not None]
        size = value_of(longer)
        rows.append(
            (
                text_cell(name_of(dialect)),
                number_cell(None if size is None else -size, 1),
                number_cell(value_of(plain), digits),
                span_cell(plain, digits),
                p_cell(adjusted_p(plain)),
                number_cell(value_of(equal), digits),
                span_cell(equal, digits),
                p_cell(adjusted_p(equal)),
            )
        )
    return Table(
        id=f"{prefix}-length",
        title="The same at equal length",
        note=f"More {unit}: mean length of the dialect's text less the reference's, on "
        "the same rows. At equal length: coefficient of a mixed model with length "
        "within rows, mean length of the row and a random intercept per row, standard "
        f"errors clustered by {run.table.cluster}; p Holm's over models and dialects.",
        header=(
            "Dialect",
            f"More {unit}",
            "Difference",
            "95% interval",
            "p (Holm)",
            "At equal length",
            "95% interval",
            "p (Holm)",
        ),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
        sortable=True,
    )


def accuracy_table(run: PairRun, prefix: str) -> Table | None:
    """Accuracy in each dialect and what is lost; None: no chosen and rejected."""
    found = run.accuracy
    if found is None:
        return None
    rows, frame = [], []
    for dialect in map(str, found.correct):
        accuracy = run.about_accuracy("accuracy", dialect)
        drop = run.about_accuracy("accuracy_drop", dialect)
        sign = found.signs.get(dialect)
        frame += [one.to_json() for one in (accuracy, drop) if one is not None]
        rows.append(
            (
                text_cell(name_of(dialect)),
                number_cell(accuracy.n if accuracy else None, 0),
                number_cell(value_of(accuracy), 3),
                span_cell(accuracy, 3),
                number_cell(int((found.correct[dialect] == 0.5).sum()), 0),
                number_cell(value_of(drop), 3),
                span_cell(drop, 3),
                number_cell(sign.more if sign else None, 0),
                number_cell(sign.fewer if sign else None, 0),
                p_cell(adjusted_p(drop)),
            )
        )
    return Table(
        id=f"{prefix}-accuracies",
        title="Preference accuracy in each dialect",
        note="Prompt and both answers in one dialect; ties count one half. Drop: "
        f"{name_of(run.table.reference)} less dialect over the rows that have both, "
        f"bootstrap over {run.table.cluster}s. Lost and gained: rows that do worse and "
        "better in the dialect; p: McNemar's exact test of these, Holm's over models "
        "and dialects. Rows with the same texts in both count here, as no change.",
        header=(
            "Dialect",
            "Rows",
            "Accuracy",
            "95% interval",
            "Ties",
            "Drop",
            "95% interval",
            "Lost",
            "Gained",
            "p (Holm)",
        ),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
        sortable=True,
    )


def subset_table(run: PairRun, prefix: str) -> Table | None:
    """Accuracy by subset and dialect; None: no subset with enough rows."""
    if run.accuracy is None or run.accuracy.subsets.empty:
        return None
    frame = run.accuracy.subsets
    wide = frame.pivot(index="subset", columns="dialect", values="accuracy")
    wide = wide[list(run.accuracy.correct)]
    sizes = frame.groupby("subset")["n"].min()
    return Table(
        id=f"{prefix}-subsets",
        title=f"Accuracy by subset ({rows_text(int(sizes.sum()))})",
        note="Subsets with five rows or more; nothing is tested, and of so few rows "
        f"most differences are chance: a share of {number(float(sizes.median()), 0)} "
        "rows moves by "
        f"{number(1 / float(sizes.median()), 2)} with each.",
        header=("Subset", "Rows", *(name_of(str(dialect)) for dialect in wide)),
        rows=tuple(
            (
                text_cell(str(subset)),
                number_cell(float(sizes[subset]), 0),
                *(number_cell(float(share), 2) for share in shares),
            )
            for subset, shares in zip(wide.index, wide.to_numpy(), strict=True)
        ),
        frame=frame,
        folded=True,
        sortable=True,
    )
