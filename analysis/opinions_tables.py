"""Tables of the opinion axis."""

from __future__ import annotations

import operator

from analysis import columns as col
from analysis.drawing import rows_of
from analysis.html import (
    Cell,
    Table,
    number,
    number_cell,
)
from analysis.opinions import OpinionRun
from analysis.opinions_words import all_of, name
from analysis.similarity import BASE_NAMES
from analysis.wording import questions
from data_builders.countries import by_key


def country_table(run: OpinionRun, prefix: str) -> Table:
    """Every public with its similarity, yardsticks and difference."""
    frame = run.countries
    reference = run.similarity.reference
    letters = bool(frame["position_only"].notna().any())
    alone = col.number("Letters alone", lambda row: row.position_only, 3)
    return col.table(
        id=f"{prefix}-countries",
        title=f"Similarity to each of {len(frame)} publics",
        note=f"Similarity is 1 \u2212 Jensen-Shannon distance, {BASE_NAMES[run.base]}, "
        "mean over the questions the public was asked. Uniform: a uniform answerer on "
        "the same questions, and p of the difference from it."
        + (
            " Letters alone: the model's liking for places, options in printed order, "
            "without rotations (with them it is the uniform answerer)."
            if letters
            else ""
        )
        + " Human pool: the mean of the other countries' people. Difference: from "
        f"{'the reference' if reference is None else name(reference)}, on questions "
        "both were asked. p-values are Holm's over countries; samples beside a "
        "country's headline public are not tested.",
        columns=[
            col.text("Public", lambda row: row.country),
            col.count("Questions", lambda row: row.n_questions),
            col.number("Options", lambda row: row.mean_options, 1),
            *_bounded("Similarity", "similarity", "ci"),
            col.number("Uniform", lambda row: row.uniform, 3),
            col.p("p (Holm)", lambda row: row.over_p_holm),
            *([alone] if letters else []),
            col.number("Human pool", lambda row: row.pool, 3),
            *_bounded("Difference", "difference"),
            col.count("Shared", lambda row: row.n_shared),
            col.p("p (Holm)", lambda row: row.difference_p_holm),
        ],
        rows=rows_of(frame),
        frame=frame.reset_index(),
        folded=len(frame) > 12,
        sortable=True,
    )


def _bounded(
    head: str, name: str, ends: str | None = None, digits: int = 3
) -> tuple[col.Column, col.Column]:
    """A column of the frame and its bounds, `<ends>_low` and `<ends>_high`."""
    low, high = f"{ends or name}_low", f"{ends or name}_high"
    value, bounds = operator.attrgetter(name), operator.attrgetter(low, high)
    return col.number(head, value, digits), col.interval(col.BOUNDS, bounds, digits)


def measure_table(run: OpinionRun, prefix: str) -> Table:
    """Every public with the other measures: scales, order, temperatures."""
    frame = run.countries
    reference = run.similarity.reference
    against = bool(frame["common_difference"].notna().any())
    hot = [column for column in ("t0.5", "t2") if column in frame]
    differences = (
        *_bounded("Difference", "common_difference"),
        col.p("p (Holm)", lambda row: row.common_difference_p_holm),
    )
    return col.table(
        id=f"{prefix}-measures",
        title="The same by other measures",
        note=f"Similarity (Jensen-Shannon, {BASE_NAMES[run.base]}) on all questions "
        "the public was asked and on the common set"
        + (
            f", there with the difference from {name(reference)}, paired by question, "
            "p Holm's over countries"
            if against and reference is not None
            else ""
        )
        + "; 1 \u2212 Wasserstein distance "
        "along the scale, on questions with a declared scale "
        f"({number(run.counts.off_scale, 0)} pairs with less than 5% on it left out); "
        "rank correlation of the options' shares, which no temperature changes."
        + (
            " Last columns: similarity with rewards at other temperatures than 1."
            if hot
            else ""
        ),
        columns=[
            col.text("Public", lambda row: row.country),
            col.number("Similarity", lambda row: row.similarity, 3),
            col.number("Common set", lambda row: row.common, 3),
            *(differences if against else ()),
            *_bounded("Wasserstein", "wasserstein"),
            col.count("Ordinal questions", lambda row: row.n_wasserstein),
            *_bounded("Rank correlation", "rank_correlation", "rank", 2),
            col.count("Questions", lambda row: row.n_rank),
            *(
                col.number(
                    f"At T = {one[1:]}",
                    lambda row, one=one: float(frame[one].loc[row.Index]),
                    3,
                )
                for one in hot
            ),
        ],
        rows=rows_of(frame),
        frame=frame.reset_index(),
        folded=len(frame) > 12,
        sortable=True,
    )


STANDING = (("Fidelity", 3), ("Effective countries", 1), ("Relative entropy", 2))
"""The records of a `Standing`, with their decimals."""


def standing_columns(of: col.Of) -> list[col.Column]:
    """The three records that `of` gives, each with its interval."""
    return [
        column
        for at, (head, digits) in enumerate(STANDING)
        for column in col.estimate(head, lambda row, at=at: of(row)[at], digits)
    ]


def diversity_table(run: OpinionRun, prefix: str) -> Table:
    """The model's fidelity and diversity beside every yardstick's."""
    found, best = run.diversity, run.diversity.best_fidelity
    matched = dict(found.best_shares)
    own = {record.group: record for record in found.own}
    alone = f"{run.label}, {name(best.group or '')} alone"
    rows: list[tuple[object, ...]] = [
        (run.label, found.model.records, None, None),
        ("Uniform answerer", found.uniform.records, None, None),
        ("Human pool, the country itself left out", found.pool.records, None, None),
        (alone, (best, None, None), None, None),
        *(
            (name(key), one.records, own[key], matched[key])
            for one in found.countries
            if (key := one.country or "")
        ),
    ]
    size = len(run.common.publics)
    return col.table(
        id=f"{prefix}-diversity",
        title="Fidelity and diversity beside their yardsticks",
        note=f"On the {questions(len(run.common.questions))} asked in "
        f"{all_of(size)}; Jensen-Shannon {BASE_NAMES[run.base]}. "
        f"{name(best.group or '')} alone: fidelity to the country that matches best, "
        "picked on the same questions and so biased upwards. A country's row takes its "
        "own answers for a model's and holds them against the other "
        "countries; with itself among those that can match, the effective number is "
        "about 1 (next column). Last column: share of questions on which the country "
        "matches the model best.",
        columns=[
            col.text("Answers", lambda row: row[0]),
            *standing_columns(lambda row: row[1]),
            col.value("With itself", lambda row: row[2]),
            ("Best match of the model", lambda row: _matched(row[3])),
        ],
        rows=rows,
        frame=found.records,
        folded=True,
    )


def _matched(share: float | None) -> Cell:
    if share is None:
        return number_cell(None)
    return Cell(text=f"{number(100 * share, 0)}%", sort=share, numeric=True)


def steering_table(run: OpinionRun, prefix: str) -> Table | None:
    """Every persona's own shift and what is left of it; None: no personas."""
    if run.steering is None:
        return None
    frame = run.steering.personas
    return col.table(
        id=f"{prefix}-personas",
        title="Steering, persona by persona",
        note=f"Similarity (Jensen-Shannon, {BASE_NAMES[run.base]}) to the persona's "
        "own people without and with the persona, paired over the questions they were "
        "asked, which differ between personas. p-values are Holm's over personas.",
        columns=[
            col.text("Persona", lambda row: row.country),
            col.count("Questions", lambda row: row.n_questions),
            col.number("Unsteered", lambda row: row.unsteered, 3),
            col.number("Steered", lambda row: row.steered, 3),
            *_bounded("Own shift", "shift", "ci"),
            col.p("p (Holm)", lambda row: row.p_holm),
            col.number("Other countries", lambda row: row.others, 3),
            *_bounded("Own less others", "relative"),
            col.p("p (Holm)", lambda row: row.relative_p_holm),
            col.text(
                "Steering works", lambda row: "shown" if row.works else "not shown"
            ),
        ],
        rows=rows_of(frame),
        frame=frame.reset_index(),
    )


def shift_table(run: OpinionRun, prefix: str) -> Table | None:
    """How far each persona moves similarity to every country; None: no personas."""
    if run.steering is None or run.steering.shifts.empty:
        return None
    frame = run.steering.shifts
    order = frame.sort_values(["persona", "shift"], ascending=[True, False])
    return col.table(
        id=f"{prefix}-shifts",
        title="Which countries each persona moves the answers towards",
        note=f"Change of similarity (Jensen-Shannon, {BASE_NAMES[run.base]}) to each "
        "country on the persona's questions that were asked there too, paired; not "
        "tested, one by one.",
        columns=[
            col.text("Persona", lambda row: name(row.persona)),
            col.text("Country", lambda row: name(row.key)),
            *_bounded("Shift", "shift", "ci"),
            col.count("Questions", lambda row: row.n_questions),
        ],
        rows=rows_of(order),
        frame=order,
        folded=True,
        sortable=True,
        head_rows=False,
    )


def common_note(run: OpinionRun) -> str:
    """Which countries the common set has, and how it came about."""
    how = "named by the user" if run.common.named else "chosen from who was asked what"
    keys = [public.key for public in run.common.publics]
    listed = ", ".join(by_key(key).name for key in keys)
    return (
        f"The common question set ({how}): {questions(len(run.common.questions))} "
        f"asked in all of {listed}."
    )
