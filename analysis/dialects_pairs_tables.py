"""Tables of texts in several dialects."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis import columns as col
from analysis.dialects_mixed import EQUAL_LENGTH, LENGTH
from analysis.dialects_pairs_analysis import PairRun
from analysis.dialects_pairs_effects import unit_of
from analysis.dialects_pairs_settings import Setting
from analysis.dialects_pairs_words import digits_of, name_of, rows_text
from analysis.html import (
    Table,
    number,
)
from analysis.records import Record


def value_of(record: Record | None) -> float | None:
    """The estimate, if there is a record and it has one."""
    return None if record is None else record.estimate


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
    of: dict[str, col.Of] = {
        metric: lambda row, metric=metric: run.of(row[0], metric, row[1])
        for metric in METRICS
    }
    frame = [
        record.to_json() | {"identical": run.counts[setting.key, dialect].identical}
        for setting, dialect in rows
        for metric in METRICS
        if (record := run.of(setting, metric, dialect)) is not None
    ]
    known = "" if run.table.texts_known else " (not known)"
    varied = col.text("Varied", lambda row: row[0].title)

    def identical(row: tuple[Setting, str]) -> int | None:
        counts = run.counts[row[0].key, row[1]]
        return counts.identical if run.table.texts_known else None

    return col.table(
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
        columns=[
            *([varied] if several else []),
            col.text("Dialect", lambda row: name_of(row[1])),
            col.count("Rows", lambda row: run.counts[row[0].key, row[1]].n),
            col.count("Identical", identical),
            *col.estimate("Difference", of["mean_difference"], digits),
            col.holm("p (t, Holm)", of["mean_difference"]),
            *col.estimate("d_z", of["cohens_d_z"]),
            *col.estimate("d_av", of["cohens_d_av"]),
            col.value("Rank-biserial", of["rank_biserial"]),
            col.holm("p (Wilcoxon, Holm)", of["rank_biserial"]),
            col.value("Preferred, %", of["reference_preferred"], 0, 100),
            col.value("Detectable d_z", of["minimum_detectable_d_z"]),
        ],
        rows=rows,
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


def length_table(run: PairRun, prefix: str) -> Table | None:
    """The headline differences beside those at equal length; None: not fitted."""
    if run.no_length is not None:
        return None
    setting, digits = run.headline, digits_of(run)
    unit = run.table.length_unit or ""
    metrics = ("mean_difference", EQUAL_LENGTH, LENGTH)
    rows = [
        (dialect, *(run.of(setting, metric, dialect) for metric in metrics))
        for dialect in run.compared(setting)
    ]
    return col.table(
        id=f"{prefix}-length",
        title="The same at equal length",
        note=f"More {unit}: mean length of the dialect's text less the reference's, on "
        "the same rows. At equal length: coefficient of a mixed model with length "
        "within rows, mean length of the row and a random intercept per row, standard "
        f"errors clustered by {run.table.cluster}; p Holm's over models and dialects.",
        columns=[
            col.text("Dialect", lambda row: name_of(row[0])),
            col.value(f"More {unit}", lambda row: row[3], 1, -1),
            *col.estimate("Difference", lambda row: row[1], digits),
            col.holm("p (Holm)", lambda row: row[1]),
            *col.estimate("At equal length", lambda row: row[2], digits),
            col.holm("p (Holm)", lambda row: row[2]),
        ],
        rows=rows,
        frame=[one for _, *found in rows for one in found],
        sortable=True,
    )


def accuracy_table(run: PairRun, prefix: str) -> Table | None:
    """Accuracy in each dialect and what is lost; None: no chosen and rejected."""
    found = run.accuracy
    if found is None:
        return None
    rows = [
        (
            dialect,
            run.about_accuracy("accuracy", dialect),
            run.about_accuracy("accuracy_drop", dialect),
            found.signs.get(dialect),
        )
        for dialect in map(str, found.correct)
    ]
    return col.table(
        id=f"{prefix}-accuracies",
        title="Preference accuracy in each dialect",
        note="Prompt and both answers in one dialect; ties count one half. Drop: "
        f"{name_of(run.table.reference)} less dialect over the rows that have both, "
        f"bootstrap over {run.table.cluster}s. Lost and gained: rows that do worse and "
        "better in the dialect; p: McNemar's exact test of these, Holm's over models "
        "and dialects. Rows with the same texts in both count here, as no change.",
        columns=[
            col.text("Dialect", lambda row: name_of(row[0])),
            col.count("Rows", lambda row: row[1] and row[1].n),
            *col.estimate("Accuracy", lambda row: row[1], 3),
            col.count("Ties", lambda row: int((found.correct[row[0]] == 0.5).sum())),
            *col.estimate("Drop", lambda row: row[2], 3),
            col.count("Lost", lambda row: row[3] and row[3].more),
            col.count("Gained", lambda row: row[3] and row[3].fewer),
            col.holm("p (Holm)", lambda row: row[2]),
        ],
        rows=rows,
        frame=[one for row in rows for one in row[1:3]],
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
    return col.table(
        id=f"{prefix}-subsets",
        title=f"Accuracy by subset ({rows_text(int(sizes.sum()))})",
        note="Subsets with five rows or more; nothing is tested, and of so few rows "
        f"most differences are chance: a share of {number(float(sizes.median()), 0)} "
        "rows moves by "
        f"{number(1 / float(sizes.median()), 2)} with each.",
        columns=[
            col.text("Subset", lambda row: str(row[0])),
            col.count("Rows", lambda row: float(sizes[row[0]])),
            *(
                col.number(name_of(str(dialect)), lambda row, at=at: float(row[1][at]))
                for at, dialect in enumerate(wide)
            ),
        ],
        rows=zip(wide.index, wide.to_numpy(), strict=True),
        frame=frame,
        folded=True,
        sortable=True,
    )
