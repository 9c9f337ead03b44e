"""The opinion axis of a report: an `OpinionAnalysis` as a section."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from analysis import columns as col
from analysis import figures, prose, worldmap
from analysis.countries_figures import interval_rows
from analysis.drawing import Panel, Scale, rows_of
from analysis.figures import padded
from analysis.html import (
    DASH,
    Block,
    Cell,
    Figure,
    Section,
    Table,
    join_words,
    number,
    number_cell,
)
from analysis.opinions import OpinionAnalysis, OpinionRun
from analysis.opinions_diversity import Standing
from analysis.opinions_findings import all_of, name, run_findings, triple
from analysis.part import models_section
from analysis.resample import MIN_QUESTIONS
from analysis.similarity import BASE_NAMES
from analysis.wording import countries, questions
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


def similarity_scale(values: pd.Series) -> Scale:
    """Blue: more alike than the mean of the countries shown."""
    middle = float(values.mean())
    reach = max(float((values - middle).abs().max()), 1e-9)
    return Scale(
        low=middle - reach,
        middle=middle,
        high=middle + reach,
        reverse=True,
        words=("most alike", "least alike"),
    )


def _first_country(run: OpinionRun) -> str:
    closest = run.closest
    first = DASH if closest is None else name(closest.order[0])
    settled = closest is not None and not closest.rivals
    return f"{first}{'' if settled else ' (not resolved)'}"


def across_table(runs: Sequence[OpinionRun], prefix: str) -> Table:
    """The runs side by side on the common set."""
    rotated = any(run.position is not None for run in runs)
    place = col.value("Place bias", lambda run: run.position and run.position.variation)
    first_run = runs[0]
    return col.table(
        id=f"{prefix}-overview",
        title="The models side by side",
        note=f"{common_note(first_run)} Fidelity is the mean similarity to these "
        f"countries (1 \u2212 Jensen-Shannon distance, {BASE_NAMES[first_run.base]}); "
        "a uniform answerer has "
        f"{number(first_run.diversity.uniform.fidelity.estimate, 3)}; p is of the "
        "difference from it, Holm's over the models."
        + (
            " Place bias: total variation of the probabilities of places from equal "
            "ones."
            if rotated
            else ""
        ),
        columns=[
            col.text("Model", lambda run: run.label),
            col.count("Questions", lambda run: run.counts.questions),
            *standing_columns(lambda run: run.diversity.model.records),
            col.value("Above uniform", lambda run: run.diversity.over_uniform, 3),
            col.holm("p (Holm)", lambda run: run.diversity.over_uniform),
            col.text("First country", _first_country),
            *([place] if rotated else []),
        ],
        rows=runs,
        frame=[
            record
            for run in runs
            for record in (*run.diversity.model.records, run.diversity.over_uniform)
        ],
    )


def plane_figure(
    runs: Sequence[OpinionRun], prefix: str, *, yardsticks: bool
) -> Figure:
    """Fidelity against diversity, a point per run.

    Args:
        runs: On one common set.
        prefix: Of the figure's id.
        yardsticks: Also show each country's own answers, not only the uniform
            answerer and the pool.
    """
    first = runs[0].diversity
    size = len(runs[0].common.publics)
    standings: list[tuple[str, Standing, bool]] = [
        *((run.label, run.diversity.model, False) for run in runs),
        ("Uniform answerer", first.uniform, True),
        ("Human pool", first.pool, True),
    ]
    if yardsticks:
        standings += [(name(one.country or ""), one, True) for one in first.countries]
    panels = []
    for which, title, of in (
        ("effective", f"Effective number of countries (of {size})", "effective"),
        ("entropy", "Entropy relative to the human pool's", "relative_entropy"),
    ):
        points = []
        for label, one, hollow in standings:
            record = one.effective if of == "effective" else one.relative_entropy
            x, x_low, x_high = triple(record)
            y, y_low, y_high = triple(one.fidelity)
            points.append(
                {
                    "country": label,
                    "x": x,
                    "y": y,
                    "x_low": math.nan if hollow else x_low,
                    "x_high": math.nan if hollow else x_high,
                    "y_low": math.nan if hollow else y_low,
                    "y_high": math.nan if hollow else y_high,
                    "hollow": hollow,
                }
            )
        panels.append(
            figures.scatter(
                pd.DataFrame(points),
                name=f"{prefix}-plane-{which}",
                x_title=title,
                y_title="Fidelity (mean similarity)",
                reverse_x=False,
                reverse_y=False,
                digits=3,
            )
        )
    marks = "a uniform answerer, and what the people of the other countries answer"
    if yardsticks:
        marks += "; and each country's own answers, held against the other countries"
    n = len(runs[0].common.questions)
    return Figure(
        id=f"{prefix}-plane",
        title="Fidelity against diversity",
        caption=f"Over the {questions(n)} asked in {all_of(size)}; "
        f"Jensen-Shannon {BASE_NAMES[runs[0].base]}. Up: more like people. Right: more "
        "countries match best in turn (first panel), or answers more mixed within a "
        f"question (second panel). Bars are 95% intervals over questions. Hollow marks "
        f"are yardsticks: {marks}.",
        alt="Scatter plots of fidelity against two measures of diversity; the numbers "
        "are in the tables.",
        panels=tuple(panels),
    )


def heat_figure(runs: Sequence[OpinionRun], prefix: str) -> Figure:
    """Similarity of every run to the common set's countries."""
    values = pd.DataFrame(
        {
            run.label: run.countries.set_index("country")["common"].dropna()
            for run in runs
        }
    )
    values = values.loc[values.mean(axis=1).sort_values(ascending=False).index]
    cells = figures.cells_of(values)
    return Figure(
        id=f"{prefix}-heat",
        title="Similarity across models",
        caption=f"Mean similarity (Jensen-Shannon {BASE_NAMES[runs[0].base]}) on the "
        "common question set; blue is more alike than the mean of all cells.",
        alt="Heat map of countries by models; the numbers are in the tables.",
        panels=(
            figures.heatmap(
                cells,
                name=f"{prefix}-heat-all",
                scale=similarity_scale(cells["value"]),
                digits=2,
            ),
        ),
    )


PANELS = 4
"""Most numbers of options that the figure of places shows."""
PERSONAS = 12
"""Most personas of which single shifts are drawn."""


def place_figure(run: OpinionRun, prefix: str) -> Figure | None:
    """Mean probability of each place; None: no rotations."""
    if run.position is None:
        return None
    places = run.position.places
    sizes = places.drop_duplicates("n_options").sort_values(
        "n_questions", ascending=False
    )["n_options"]
    panels = []
    for size in sorted(sizes.head(PANELS)):
        part = places[places["n_options"] == size]
        rows = pd.DataFrame(
            {
                "row": [f"Place {place}" for place in part["place"]],
                "estimate": part["share"],
                "ci_low": part["ci_low"],
                "ci_high": part["ci_high"],
                "inner_low": np.nan,
                "inner_high": np.nan,
                "hollow": False,
            }
        )
        top = float(np.nanmax(places[["share", "ci_high"]].to_numpy()))
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-places-{size}",
                domain=(0.0, min(1.0, 1.05 * top)),
                axis_title="Mean probability",
                title=f"{size} options ({questions(int(part['n_questions'].iloc[0]))})",
                zero=1 / size,
                label_space=70,
            )
        )
    return Figure(
        id=f"{prefix}-places",
        title="Does the place of an option count?",
        caption="Mean probability of whatever stands at each place, over questions "
        "asked once with every option at every place; bars are 95% intervals over "
        "questions. A model that only reads the options puts every mark on the dashed "
        "line, equal places.",
        alt=f"Probability by place of the option for {run.label}.",
        panels=tuple(panels),
    )


def steering_figure(run: OpinionRun, prefix: str) -> Figure | None:
    """Own shift of each persona, and what of it is about the country."""
    if run.steering is None:
        return None
    panels: list[Panel] = []
    for records, which, title in (
        (run.steering.own, "own", "Towards its own people"),
        (run.steering.relative, "relative", "The same less other countries"),
    ):
        lines = [(name(str(one.group)), one, None, False) for one in records[:PERSONAS]]
        if not lines:
            continue
        rows = interval_rows(lines)
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-steering-{which}",
                domain=padded(rows, 0.0),
                axis_title="Change of similarity",
                title=title,
                digits=3,
                label_space=120,
            )
        )
    return Figure(
        id=f"{prefix}-steering",
        title="Asked from a country's perspective",
        caption="Change of the similarity when the same questions are asked from a "
        "persona's perspective, with 95% intervals over questions. First: towards the "
        "answers of the persona's own people. Second: what of it is not shared by the "
        "other countries; a general movement leaves nothing."
        + (
            f" The first {PERSONAS} personas; all are in the table."
            if len(run.steering.own) > PERSONAS
            else ""
        ),
        alt="Shifts by persona; the numbers are in the table of personas.",
        panels=tuple(panels),
    )


ENDS = 15
"""Countries at each end of a long ranking."""


def compared(run: OpinionRun) -> pd.DataFrame:
    """The headline publics with enough questions for an interval, most alike first."""
    frame = run.countries
    return frame[frame["headline"] & (frame["n_questions"] >= MIN_QUESTIONS)]


def map_figure(run: OpinionRun, prefix: str) -> Figure | None:
    """The world map of similarity; None: no country with enough questions."""
    frame = compared(run)
    if frame.empty:
        return None
    scale = similarity_scale(frame["similarity"])
    values = pd.DataFrame(
        {
            "numeric": [by_key(key).numeric for key in frame["key"]],
            "value": frame["similarity"],
            "label": [
                f"{row.country}: {number(row.similarity, 3)} (n = {row.n_questions})"
                for row in rows_of(frame)
            ],
        }
    )
    return worldmap.map_figure(
        values,
        name=f"{prefix}-map",
        scale=scale,
        legend=f"Mean similarity, Jensen-Shannon {BASE_NAMES[run.base]}",
        digits=2,
        title=f"Whose answers are alike: {run.label}",
        caption="1 \u2212 Jensen-Shannon distance "
        f"({BASE_NAMES[run.base]}) of the model's answers to people's, mean over the "
        "questions each country was asked. These differ between countries, so that "
        "colours are not a fair race; the next figures are. Middle colour: mean of "
        f"{countries(len(frame))}. Grey: asked fewer than {MIN_QUESTIONS} questions.",
        alt_text=f"World map of similarity for {run.label}, highest in "
        f"{frame['country'].iloc[0]}, lowest in {frame['country'].iloc[-1]}; the "
        "numbers are in the table of countries.",
        too_small="Compared, and too small to be drawn at this scale:",
    )


def common_figure(run: OpinionRun, prefix: str) -> Figure:
    """Similarity on the common set, and its yardsticks."""
    frame = run.countries[run.countries["common"].notna()]
    frame = frame.sort_values(["common", "country"], ascending=[False, True])
    found = run.diversity
    yardsticks = (
        ("Human pool", found.pool, True),
        (run.label, found.model, False),
        ("Uniform answerer", found.uniform, True),
    )
    parts = (
        (
            "countries",
            "To each country",
            [
                (row.country, row.common, row.common_low, row.common_high, False)
                for row in rows_of(frame)
            ],
        ),
        (
            "yardsticks",
            "To all of them, beside yardsticks",
            [(text, *triple(one.fidelity), hollow) for text, one, hollow in yardsticks],
        ),
    )
    panels = []
    for which, title, lines in parts:
        rows = pd.DataFrame(
            lines, columns=["row", "estimate", "ci_low", "ci_high", "hollow"]
        ).assign(inner_low=np.nan, inner_high=np.nan)
        panels.append(
            figures.intervals(
                rows,
                name=f"{prefix}-common-{which}",
                domain=padded(rows),
                axis_title="Similarity",
                title=title,
                zero=found.uniform.fidelity.estimate,
                label_space=125,
                digits=3,
            )
        )
    n = len(run.common.questions)
    return Figure(
        id=f"{prefix}-common",
        title=f"The same {questions(n)}, asked in {countries(len(frame))}",
        caption="Mean similarity (1 \u2212 Jensen-Shannon distance, "
        f"{BASE_NAMES[run.base]}) on the common question set, with 95% intervals over "
        "questions. Human pool: what the people of the other countries answer. The "
        "dashed line is the uniform answerer's mean, where it is in reach. Countries "
        "differ more surely than their intervals suggest, as all stand on the same "
        "questions: who is ahead is tested in the findings.",
        alt=f"Similarity by country on the common set for {run.label}.",
        panels=tuple(panels),
    )


def difference_figure(run: OpinionRun, prefix: str) -> Figure | None:
    """Both ends of the differences from the reference; None: there are none."""
    reference = run.similarity.reference
    frame = compared(run)
    frame = frame[frame["difference_low"].notna()]
    if reference is None or frame.empty:
        return None
    frame = frame.sort_values(["difference", "country"], ascending=[False, True])
    rows = pd.DataFrame(
        {
            "position": np.arange(1, len(frame) + 1),
            "country": frame["country"],
            "value": frame["difference"],
            "ci_low": frame["difference_low"],
            "ci_high": frame["difference_high"],
        }
    )
    reach = max(float(rows["value"].abs().max()), 1e-9)
    scale = Scale(low=-reach, middle=0.0, high=reach, reverse=True)
    short = len(rows) <= 2 * ENDS + 5
    parts = (
        [(rows, "all", None)]
        if short
        else [
            (rows.head(ENDS), "top", f"The {ENDS} most alike"),
            (rows.tail(ENDS), "bottom", f"The {ENDS} least alike"),
        ]
    )
    ends = rows[["ci_low", "ci_high"]].to_numpy()
    room = 0.03 * float(np.ptp(ends)) or 0.01
    return Figure(
        id=f"{prefix}-difference",
        title=f"More or less alike than {name(reference)}",
        caption=f"Similarity less that of {name(reference)}, on the questions both "
        "were asked, paired; bars are 95% intervals over questions, not adjusted for "
        f"there being {len(rows)} of them. Adjusted p-values are in the table of "
        "countries.",
        alt=f"Differences in similarity from {name(reference)} for {run.label}.",
        panels=tuple(
            figures.ranking(
                part,
                name=f"{prefix}-difference-{label}",
                scale=scale,
                domain=(float(ends.min()) - room, float(ends.max()) + room),
                axis_title="Difference in similarity",
                title=title,
                digits=3,
            )
            for part, label, title in parts
        ),
    )


PROTOCOLS = {
    "letters": "The model chose among lettered options, once with every option at "
    "every place; its answer is the softmax of the options' log-probabilities, "
    "averaged over these rotations.",
    "answers": "The model scored every option as an assistant's answer in several "
    "phrasings; its answer is the softmax of the options' mean rewards, standardised "
    "once for the model, at temperature 1.",
    "recorded": "The answers are probabilities recorded elsewhere.",
}
"""Protocol -> how the model's answers came about."""


def opinions_section(
    analysis: OpinionAnalysis,
    *,
    id: str,
    title: str,
    step: Callable[[], object] = lambda: None,
) -> Section:
    """The section of one probe: across models first, then each run.

    Args:
        analysis: The analysed runs.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section.
        step: Called after each run is drawn, for a progress bar.
    """
    runs = analysis.runs
    slots = {"base": BASE_NAMES[analysis.base], "draws": analysis.draws}
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="answered survey questions",
        across=lambda: (
            across_table(runs, id),
            plane_figure(runs, id, yardsticks=False),
            heat_figure(runs, id),
        ),
        method=prose.method("opinions", **slots),
        caveats=prose.caveats("opinions", **slots),
        step=step,
    )


def _lead(run: OpinionRun) -> str:
    counts = run.counts
    read = (
        f" of {number(counts.questions_read, 0)}"
        if counts.questions < counts.questions_read
        else ""
    )
    samples = (
        f" and {number(counts.samples, 0)} samples surveyed apart"
        if counts.samples
        else ""
    )
    measure = (
        f" Rewards were divided by {number(run.reward_sd, 3)}, their standard "
        "deviation within questions."
        if run.reward_sd is not None
        else f" What is normalised is the {MEASURE_NAMES[run.run.measure.value]}."
        if run.protocol == "letters"
        else f" What is normalised is the {MEASURE_NAMES[run.run.measure.value]}, as "
        "recorded: --normalisation chooses only where a run holds both."
    )
    mix = [
        f"{number(count, 0)} {survey}"
        for survey, count in counts.surveys.items()
        if survey != "unknown"
    ]
    surveys = f" Surveys: {join_words(mix)}." if mix else ""
    return (
        f"{number(counts.questions, 0)}{read} survey questions, answered by people in "
        f"{countries(counts.countries)}{samples} "
        f"({number(counts.pairs, 0)} comparisons). {PROTOCOLS[run.protocol]}{measure}"
        f"{surveys} {common_note(run)}"
    )


MEASURE_NAMES = {
    "logprob_sum": "summed log-probability of the scored text",
    "logprob_mean": "mean token log-probability",
}


def _blocks(run: OpinionRun, prefix: str) -> list[Block | None]:
    return [
        map_figure(run, prefix),
        common_figure(run, prefix),
        difference_figure(run, prefix),
        plane_figure([run], prefix, yardsticks=True),
        place_figure(run, prefix),
        steering_figure(run, prefix),
        steering_table(run, prefix),
        shift_table(run, prefix),
        diversity_table(run, prefix),
        country_table(run, prefix),
        measure_table(run, prefix),
    ]
