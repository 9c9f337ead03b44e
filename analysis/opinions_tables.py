"""Tables of the opinion axis."""

from __future__ import annotations

import pandas as pd

from analysis.drawing import rows_of
from analysis.html import (
    Cell,
    Table,
    interval_cell,
    number,
    number_cell,
    p_cell,
    text_cell,
)
from analysis.opinions import OpinionRun
from analysis.opinions_diversity import Standing
from analysis.opinions_words import all_of, name
from analysis.similarity import BASE_NAMES
from analysis.wording import questions
from data_builders.countries import by_key


def country_table(run: OpinionRun, prefix: str) -> Table:
    """Every public with its similarity, yardsticks and difference."""
    frame = run.countries
    reference = run.similarity.reference
    letters = bool(frame["position_only"].notna().any())
    rows = tuple(
        (
            text_cell(row.country),
            number_cell(row.n_questions, 0),
            number_cell(row.mean_options, 1),
            number_cell(row.similarity, 3),
            interval_cell(row.ci_low, row.ci_high, 3),
            number_cell(row.uniform, 3),
            p_cell(row.over_p_holm),
            *((number_cell(row.position_only, 3),) if letters else ()),
            number_cell(row.pool, 3),
            number_cell(row.difference, 3),
            interval_cell(row.difference_low, row.difference_high, 3),
            number_cell(row.n_shared, 0),
            p_cell(row.difference_p_holm),
        )
        for row in rows_of(frame)
    )
    return Table(
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
        header=(
            "Public",
            "Questions",
            "Options",
            "Similarity",
            "95% interval",
            "Uniform",
            "p (Holm)",
            *(("Letters alone",) if letters else ()),
            "Human pool",
            "Difference",
            "95% interval",
            "Shared",
            "p (Holm)",
        ),
        rows=rows,
        frame=frame.reset_index(),
        folded=len(rows) > 12,
        sortable=True,
    )


def measure_table(run: OpinionRun, prefix: str) -> Table:
    """Every public with the other measures: scales, order, temperatures."""
    frame = run.countries
    reference = run.similarity.reference
    against = bool(frame["common_difference"].notna().any())
    hot = [column for column in ("t0.5", "t2") if column in frame]
    rows = []
    for row in rows_of(frame):
        cells = (
            text_cell(row.country),
            number_cell(row.similarity, 3),
            number_cell(row.common, 3),
            *(
                (
                    number_cell(row.common_difference, 3),
                    interval_cell(
                        row.common_difference_low, row.common_difference_high, 3
                    ),
                    p_cell(row.common_difference_p_holm),
                )
                if against
                else ()
            ),
            number_cell(row.wasserstein, 3),
            interval_cell(row.wasserstein_low, row.wasserstein_high, 3),
            number_cell(row.n_wasserstein, 0),
            number_cell(row.rank_correlation, 2),
            interval_cell(row.rank_low, row.rank_high, 2),
            number_cell(row.n_rank, 0),
            *(number_cell(float(frame[one].loc[row.Index]), 3) for one in hot),
        )
        rows.append(cells)
    return Table(
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
        header=(
            "Public",
            "Similarity",
            "Common set",
            *(("Difference", "95% interval", "p (Holm)") if against else ()),
            "Wasserstein",
            "95% interval",
            "Ordinal questions",
            "Rank correlation",
            "95% interval",
            "Questions",
            *(f"At T = {one[1:]}" for one in hot),
        ),
        rows=tuple(rows),
        frame=frame.reset_index(),
        folded=len(rows) > 12,
        sortable=True,
    )


def standing_cells(one: Standing) -> tuple[Cell, ...]:
    """Fidelity, effective countries and relative entropy, each with its interval."""
    fidelity, effective, ratio = one.records
    return (
        number_cell(fidelity.estimate, 3),
        interval_cell(fidelity.ci_low, fidelity.ci_high, 3),
        number_cell(effective.estimate, 1),
        interval_cell(effective.ci_low, effective.ci_high, 1),
        number_cell(ratio.estimate, 2),
        interval_cell(ratio.ci_low, ratio.ci_high, 2),
    )


STANDING_HEADER = (
    "Fidelity",
    "95% interval",
    "Effective countries",
    "95% interval",
    "Relative entropy",
    "95% interval",
)


def diversity_table(run: OpinionRun, prefix: str) -> Table:
    """The model's fidelity and diversity beside every yardstick's."""
    found = run.diversity
    matched = dict(found.best_shares)
    own = {record.group: record for record in found.own}
    named = [(run.label, found.model), ("Uniform answerer", found.uniform)]
    named += [("Human pool, the country itself left out", found.pool)]
    rows = [
        (text_cell(text), *standing_cells(one), number_cell(None), number_cell(None))
        for text, one in named
    ]
    best = found.best_fidelity
    rows.append(
        (
            text_cell(f"{run.label}, {name(best.group or '')} alone"),
            number_cell(best.estimate, 3),
            interval_cell(best.ci_low, best.ci_high, 3),
            *(number_cell(None) for _ in range(6)),
        )
    )
    rows += [
        (
            text_cell(name(one.country or "")),
            *standing_cells(one),
            number_cell(own[one.country].estimate, 2),
            Cell(
                text=f"{number(100 * matched[one.country or ''], 0)}%",
                sort=matched[one.country or ""],
                numeric=True,
            ),
        )
        for one in found.countries
    ]
    size = len(run.common.publics)
    return Table(
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
        header=("Answers", *STANDING_HEADER, "With itself", "Best match of the model"),
        rows=tuple(rows),
        frame=pd.DataFrame([record.to_json() for record in found.records]),
        folded=True,
    )


def steering_table(run: OpinionRun, prefix: str) -> Table | None:
    """Every persona's own shift and what is left of it; None: no personas."""
    if run.steering is None:
        return None
    frame = run.steering.personas
    rows = tuple(
        (
            text_cell(row.country),
            number_cell(row.n_questions, 0),
            number_cell(row.unsteered, 3),
            number_cell(row.steered, 3),
            number_cell(row.shift, 3),
            interval_cell(row.ci_low, row.ci_high, 3),
            p_cell(row.p_holm),
            number_cell(row.others, 3),
            number_cell(row.relative, 3),
            interval_cell(row.relative_low, row.relative_high, 3),
            p_cell(row.relative_p_holm),
            text_cell("shown" if row.works else "not shown"),
        )
        for row in rows_of(frame)
    )
    return Table(
        id=f"{prefix}-personas",
        title="Steering, persona by persona",
        note=f"Similarity (Jensen-Shannon, {BASE_NAMES[run.base]}) to the persona's "
        "own people without and with the persona, paired over the questions they were "
        "asked, which differ between personas. p-values are Holm's over personas.",
        header=(
            "Persona",
            "Questions",
            "Unsteered",
            "Steered",
            "Own shift",
            "95% interval",
            "p (Holm)",
            "Other countries",
            "Own less others",
            "95% interval",
            "p (Holm)",
            "Steering works",
        ),
        rows=rows,
        frame=frame.reset_index(),
    )


def shift_table(run: OpinionRun, prefix: str) -> Table | None:
    """How far each persona moves similarity to every country; None: no personas."""
    if run.steering is None or run.steering.shifts.empty:
        return None
    frame = run.steering.shifts
    order = frame.sort_values(["persona", "shift"], ascending=[True, False])
    return Table(
        id=f"{prefix}-shifts",
        title="Which countries each persona moves the answers towards",
        note=f"Change of similarity (Jensen-Shannon, {BASE_NAMES[run.base]}) to each "
        "country on the persona's questions that were asked there too, paired; not "
        "tested, one by one.",
        header=("Persona", "Country", "Shift", "95% interval", "Questions"),
        rows=tuple(
            (
                text_cell(name(row.persona)),
                text_cell(name(row.key)),
                number_cell(row.shift, 3),
                interval_cell(row.ci_low, row.ci_high, 3),
                number_cell(row.n_questions, 0),
            )
            for row in rows_of(order)
        ),
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
