"""Languages: one task in many of them, as an axis of a report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import columns as col
from analysis import figures, prose, squad
from analysis.columns import value_cell
from analysis.countries_figures import interval_rows
from analysis.drawing import INK, Panel, Scale
from analysis.figures import padded
from analysis.html import (
    Block,
    Cell,
    Figure,
    Finding,
    Section,
    Table,
    interval,
    join_words,
    number,
    number_cell,
    slugs,
    text_cell,
)
from analysis.languages_analysis import (
    BOUNDED_LANGUAGES,
    LanguageRun,
    analyse_languages,
    letter,
    place_group,
)
from analysis.languages_data import TESTED_QUESTIONS, Outcome
from analysis.languages_findings import (
    NOUNS,
    TITLES,
    by_side,
    doubts,
    headline_finding,
    languages,
    place_table,
    rank_correlation,
    ratios,
    reference_name,
    run_findings,
    some,
)
from analysis.load import Run
from analysis.part import (
    AxisPart,
    ProbePart,
    RunPart,
    Step,
    Wanted,
    axis_part,
    by_probe,
    models_section,
    names_of,
)
from analysis.records import Record
from analysis.wording import count_of, hundred, percent, questions, result_text, side_of

REFERENCE = "#b3bbc4"
"""Of the bar of the reference language."""
COLOURS = ("#7fb3d3", "#e0a36c", "#1f6a9a", "#a85a1c", "#c9b458", "#8c98a5")
"""Of several bars of a language, light enough for an interval upon them; used again
where there are more."""
BAR = 13
"""Pixels of a bar with its gap; of many in a language fewer."""
COLUMN_BARS = 44
"""Most bars of one panel: 122 languages of one model make three."""
LABEL_SPACE = 150
"""Pixels for the names of languages."""


def in_panels(codes: Sequence[str], bars: int = 1) -> Iterator[list[str]]:
    """The languages in panels of about the same height."""
    most = max(8, COLUMN_BARS // bars)
    panels = math.ceil(len(codes) / most)
    size = math.ceil(len(codes) / max(panels, 1))
    for start in range(0, len(codes), max(size, 1)):
        yield list(codes[start : start + size])


def bars(
    rows: pd.DataFrame,
    *,
    name: str,
    axis_title: str,
    high: float,
    chance: float | None,
    title: str | None = None,
) -> Panel:
    """Horizontal bars in groups, one group a language, with intervals.

    Args:
        rows: Columns language, bar, value (percent; NaN: none), ci_low, ci_high (NaN:
            not drawn) and reference (bool), in the order in which languages and bars
            shall stand.
        name: File name of the panel.
        axis_title: Title of the horizontal axis.
        high: End of the horizontal axis, shared by the panels of a figure.
        chance: Where to draw a line; None: nowhere.
        title: Title of the panel.
    """
    kinds = list(dict.fromkeys(rows["bar"]))
    several = len(kinds) > 1
    data = rows.assign(
        tip=figures.tips(
            rows,
            lambda row: f"{row.language}{f', {row.bar}' if several else ''}",
            unit="%",
        ),
        colour=[REFERENCE if one else COLOURS[0] for one in rows["reference"]],
    )
    scale = alt.Scale(domain=[0.0, high], nice=False)
    y = figures.names_axis(
        "language:N", LABEL_SPACE, paddingInner=0.25, paddingOuter=0.1
    )
    offset = alt.YOffset("bar:N", sort=kinds, scale=alt.Scale(paddingInner=0.1))
    x = alt.X("value:Q", title=axis_title, scale=scale, axis=alt.Axis(tickCount=4))
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(kinds))]
    colour = (
        alt.Color(
            "bar:N",
            scale=alt.Scale(domain=kinds, range=colours),
            legend=alt.Legend(
                title=None, orient="top", columns=2, symbolType="square", labelLimit=150
            ),
        )
        if several
        else alt.Color("colour:N", scale=None)
    )
    base = alt.Chart(alt.NamedData(name="rows"))
    layers: list[alt.Chart] = [
        base.mark_bar().encode(
            y=y, yOffset=offset, x=x, color=colour, description="tip:N"
        ),
        figures.span(
            base,
            alt.X("ci_low:Q", title=axis_title, scale=scale),
            "ci_low",
            "ci_high",
            y={"y": y, "yOffset": offset},
            stroke=INK,
            strokeWidth=1.1,
        ),
    ]
    if chance is not None:
        x = alt.X("chance:Q", title=axis_title, scale=scale)
        layers.append(figures.level_line(x, "chance", chance, stroke=INK))
    groups = rows["language"].nunique()
    thick = BAR if len(kinds) < 3 else 8
    chart = alt.layer(*layers).properties(
        width=315 - LABEL_SPACE, height=groups * (thick * len(kinds) + 5)
    )
    return figures.titled(chart, name, data, title)


def bar_panels(
    parts: Sequence[tuple[LanguageRun, str, str]],
    codes: Sequence[str],
    *,
    name: str,
    axis_title: str,
) -> tuple[Panel, ...]:
    """Panels of bars: for each language one bar of each part.

    Args:
        parts: Runs with the outcome that is drawn and the name of its bar.
        codes: Languages in the order in which they shall stand.
        name: File name of the panels, which are numbered.
        axis_title: Of the horizontal axes.
    """
    kinds = list(dict.fromkeys(bar for _, _, bar in parts))
    rows = [
        _bar(run, key, bar, code)
        for code in codes
        for run, key, bar in parts
        if code in run.answers.names
    ]
    chances = [_chance(run, key) for run, key, _ in parts]
    same = chances[0] if len(set(chances)) == 1 else None
    frame = pd.DataFrame(rows)
    top = float(np.nanmax(frame[["value", "ci_high"]].to_numpy(), initial=1.0))
    top = max(top, 0.0 if same is None else same)
    return tuple(
        bars(
            frame[frame["code"].isin(part)],
            name=f"{name}-{place}",
            axis_title=axis_title,
            high=min(100.0, 1.04 * top),
            chance=same,
        )
        for place, part in enumerate(in_panels(codes, len(kinds)), 1)
    )


def _bar(
    run: LanguageRun, key: str, bar: str, code: str
) -> dict[str, str | float | bool]:
    level, reference = run.level(code, key), code == run.answers.reference
    return {
        "code": code,
        "language": run.answers.name(code) + (" (reference)" if reference else ""),
        "bar": bar,
        "value": figures.percent_of(level.estimate),
        "ci_low": figures.percent_of(level.ci_low),
        "ci_high": figures.percent_of(level.ci_high),
        "reference": reference,
    }


def _chance(run: LanguageRun, key: str) -> float | None:
    outcome = next(one for one in run.answers.outcomes if one.key == key)
    if outcome.chance is None:
        return None
    return round(100 * float(outcome.chance[outcome.known].mean()), 6)


CHANCE = " The dashed line is chance."
GREY = " Grey: the language that others are compared with."
BOUNDS: Mapping[str, str] = {
    "accuracy": "Wilson, of the effective number of questions by passage",
    "f1": "Student's t, clustered by document",
    "exact_match": "Wilson, of the effective number of questions by document",
}
"""Outcome -> how it is bounded."""


def level_figure(run: LanguageRun, prefix: str) -> Figure:
    """The answers of each language, the best answered first."""
    answers = run.answers
    several = len(answers.outcomes) > 1
    parts = [(run, one.key, TITLES[one.key]) for one in answers.outcomes]
    first, *rest = answers.outcomes
    title = " and ".join([TITLES[first.key], *(NOUNS[one.key] for one in rest)])
    what = (
        "Share of questions whose right letter has the highest score"
        if answers.crossed
        else "Match of the answers with the references"
    )
    bounds = "; ".join(
        f"{TITLES[one.key]}: {BOUNDS[one.key]}" if several else BOUNDS[one.key]
        for one in answers.outcomes
    )
    return Figure(
        id=f"{prefix}-levels",
        title=f"{title} by language",
        caption=f"{what}, with 95% intervals ({bounds})."
        + ("" if answers.outcomes[0].chance is None else CHANCE)
        + ("" if several or answers.reference is None else GREY)
        + ("" if answers.crossed else " The languages have different questions."),
        alt=f"Bars of {NOUNS[run.key]} by language for {run.label}; the numbers are in "
        "the table.",
        panels=bar_panels(
            parts, run.ordered(), name=f"{prefix}-levels", axis_title=f"{title}, %"
        ),
    )


MOST_OPEN = 40
"""Up to so many languages a second figure of all is shown open."""
LABELLED = 14
"""Points of the scatter plot that are named."""


def level_figures(run: LanguageRun, prefix: str) -> tuple[Figure, ...]:
    """Levels and differences: of few languages side by side in one figure."""
    levels, differences = level_figure(run, prefix), difference_figure(run, prefix)
    if differences is None:
        return (levels,)
    if len(levels.panels) > 1:
        return levels, differences
    both = dataclasses.replace(
        levels,
        title=f"{levels.title}, and less {reference_name(run)}",
        caption=f"{levels.caption} Beside it, {differences.caption[0].lower()}"
        f"{differences.caption[1:]}",
        panels=levels.panels + differences.panels,
    )
    return (both,)


def difference_figure(run: LanguageRun, prefix: str) -> Figure | None:
    """Differences from the reference; None: none has an interval."""
    known = [gap for gap in run.gaps() if gap.ci_low is not None]
    if not known:
        return None
    known.sort(key=lambda gap: -(gap.estimate or 0.0))
    reference, name = reference_name(run), run.answers.name
    lines = {
        gap.group or "": (name(gap.group or ""), gap, None, not side_of(gap))
        for gap in known
    }
    rows = interval_rows(list(lines.values()))
    columns = ["estimate", "ci_low", "ci_high"]
    rows[columns] = 100 * rows[columns]
    domain = padded(rows, 0.0)
    title = TITLES[run.key]
    panels = [
        figures.intervals(
            rows[rows["row"].isin([name(code) for code in part])],
            name=f"{prefix}-differences-{place}",
            domain=domain,
            axis_title=f"{title} less {reference}, points",
            label_space=LABEL_SPACE,
            digits=1,
        )
        for place, part in enumerate(in_panels(list(lines)), 1)
    ]
    return Figure(
        id=f"{prefix}-differences",
        title=f"Each language less {reference}",
        caption=f"Differences of {NOUNS[run.key]} "
        + ("on the same" if run.answers.crossed else "between different")
        + f" questions: left of the dashed line {reference} is answered better. "
        "Filled: shown, by the interval and by p below 5% after Holm; hollow: not "
        "shown. Lines are 95% intervals, unadjusted.",
        alt=f"Forest plot of differences from {reference} for {run.label}; the numbers "
        "are in the table.",
        panels=tuple(panels),
        folded=len(known) > MOST_OPEN,
    )


def place_figure(run: LanguageRun, prefix: str) -> Figure | None:
    """How much more often each place is picked than right; None: no letters."""
    if not run.answers.crossed:
        return None
    everything: list[str | None] = [None, *run.ordered()]
    cells, reach = [], 0.0
    for code in everything if len(everything) > 2 else everything[1:]:
        place = 0
        while (
            one := run.find("place_share_difference", place_group(code, place))
        ) is not None:
            value = 100 * (one.estimate or 0.0)
            reach = max(reach, abs(value))
            cells.append(
                {
                    "code": code or "",
                    "row": "All languages" if code is None else run.answers.name(code),
                    "column": letter(place),
                    "value": value,
                }
            )
            place += 1
    if not cells:
        return None
    frame = pd.DataFrame(cells)
    scale = Scale(low=-max(reach, 1.0), middle=0.0, high=max(reach, 1.0), reverse=True)
    codes = list(dict.fromkeys(frame["code"]))
    panels = tuple(
        figures.heatmap(
            frame[frame["code"].isin(part)],
            name=f"{prefix}-places-{place}",
            scale=scale,
            digits=0,
            label_space=LABEL_SPACE,
        )
        for place, part in enumerate(in_panels(codes), 1)
    )
    return Figure(
        id=f"{prefix}-places",
        title="Does the place of an answer count?",
        caption="Share of questions for which a letter is picked, less the share for "
        "which it is right, in points. Blue: picked more often than right; orange: "
        "less often. The tests are in the table.",
        alt=f"Grid of places by language for {run.label}; the numbers are in the "
        "table.",
        panels=panels,
        folded=len(codes) > MOST_OPEN,
    )


def length_figure(run: LanguageRun, prefix: str) -> Figure | None:
    """Accuracy beside the length of prompts; None: too few languages."""
    together, tokens = rank_correlation(run), ratios(run)
    if together is None:
        return None
    codes = [code for code in run.ordered() if code in tokens]
    points = pd.DataFrame(
        {
            "country": [run.answers.name(code) for code in codes],
            "x": [tokens[code] for code in codes],
            "y": [hundred(run.level(code).estimate) for code in codes],
        }
    ).dropna()
    few, size = LABELLED // 4, len(points)
    edges = [*range(1, few + 1), *range(size - few + 1, size + 1)]
    at_edge = points[["x", "y"]].rank(method="first").isin(edges).any(axis=1)
    named = [size <= LABELLED or one for one in at_edge.to_list()]
    reference = reference_name(run)
    return Figure(
        id=f"{prefix}-lengths",
        title="Length of the prompts and accuracy",
        caption=f"Each point is a language: tokens of its prompts over those of the "
        f"same questions in {reference}, and accuracy. Rank correlation "
        f"{number(together[0])} over {together[1]} languages, described and not "
        "tested: related languages are alike in both.",
        alt=f"Scatter plot of prompt length and accuracy by language for {run.label}; "
        "the numbers are in the tables.",
        panels=(
            figures.scatter(
                points,
                name=f"{prefix}-lengths",
                x_title=f"Tokens of a prompt, {reference} = 1",
                y_title="Accuracy, %",
                reverse_x=False,
                reverse_y=False,
                label=named,
            ),
        ),
    )


TALL = 30
"""Tables of more rows are folded."""


def level_table(run: LanguageRun, prefix: str) -> Table:
    """The answers of each language, with both intervals."""
    answers = run.answers
    unit = "Passages" if answers.crossed else "Documents"
    suffixes = ("", "_questions_independent", "_over_chance")
    return col.table(
        id=f"{prefix}-levels",
        title=f"{TITLES[run.key]} by language"
        if len(answers.outcomes) == 1
        else "Answers by language",
        note=_level_note(run),
        columns=[
            col.text("Language", answers.name),
            col.text("Script", lambda code: answers.scripts[code]),
            col.count("Questions", lambda code: run.level(code).n),
            col.count(unit, lambda code: run.level(code).n_clusters),
            *(one for each in answers.outcomes for one in _level_columns(run, each)),
        ],
        rows=run.ordered(),
        frame=[
            run.find(f"{outcome.key}{suffix}", code)
            for code in run.ordered()
            for outcome in answers.outcomes
            for suffix in suffixes
        ],
        folded=len(run.ordered()) > TALL,
        sortable=True,
    )


def _level_columns(run: LanguageRun, outcome: Outcome) -> Iterator[col.Column]:
    def of(suffix: str) -> col.Of:
        return lambda code: run.find(f"{outcome.key}{suffix}", code)

    yield from col.estimate(f"{TITLES[outcome.key]}, %", of(""), 1, 100)
    if outcome.binary:
        yield col.bounds("Wilson", of("_questions_independent"), 1, 100)
    if outcome.chance is not None:
        yield col.holm("p, chance (Holm)", of("_over_chance"))


def _level_note(run: LanguageRun) -> str:
    answers = run.answers
    together = "on one passage" if answers.crossed else "from one document"
    note = (
        f"Intervals are 95%. Questions {together} belong together: shares have "
        "Wilson's interval of the effective number of questions"
        + ("" if answers.crossed else ", F1 Student's t")
        + ". Under Wilson stands Wilson's interval of shares as if all questions were "
        "independent"
    )
    widths = []
    for outcome in answers.outcomes:
        for code in answers.languages if outcome.binary else ():
            own = run.level(code, outcome.key)
            plain = run.find(f"{outcome.key}_questions_independent", code)
            if plain is not None and None not in (own.ci_low, plain.ci_low):
                assert own.ci_low is not None and own.ci_high is not None
                assert plain.ci_low is not None and plain.ci_high is not None
                widths.append(
                    (own.ci_high - own.ci_low) / (plain.ci_high - plain.ci_low)
                )
    if widths:
        mean = sum(widths) / len(widths)
        note += (
            f"; here the first is {mean:.2f} times as wide on average. Where it is "
            "clearly wider, the model gets the questions that belong together right or "
            "wrong together, and the second is too narrow"
        )
    note += "."
    if answers.outcomes[0].chance is not None:
        note += (
            " p, chance: against picking at random, Holm's over models and languages."
        )
    return note


def difference_table(run: LanguageRun, prefix: str) -> Table | None:
    """Each language less the reference; None: there is no reference, or no other."""
    answers = run.answers
    if not answers.others:
        return None
    reference = reference_name(run)
    several = len(answers.outcomes) > 1
    rows = [
        (
            code,
            outcome.key,
            run.by_name[f"{outcome.key}_difference", code],
            run.find(f"{outcome.key}_difference_mcnemar", code),
            run.find(f"{outcome.key}_minimum_detectable_difference", code),
        )
        for code in run.ordered()
        if code != answers.reference
        for outcome in answers.outcomes
    ]
    mcnemar = col.p("McNemar", lambda row: row[3] and row[3].p_value)
    how = (
        "On the questions answered in both; p is Student's t, clustered by passage. "
        "McNemar: the exact test that takes questions as independent, unadjusted, for "
        "comparison."
        if answers.crossed
        else "Between different questions, which differ in difficulty too: the "
        "difference of two means (Welch), clustered by document. Questions: of both "
        "languages."
    )
    return col.table(
        id=f"{prefix}-gaps",
        title=f"Each language less {reference}",
        note=f"In points; negative means that {reference} is answered better. {how} "
        "Holm's over models and languages"
        + (", for each outcome" if several else "")
        + ". Detectable: the smallest difference that so many questions show in four "
        f"cases of five, before Holm. Not tested: fewer than {TESTED_QUESTIONS} "
        "questions, or no spread.",
        columns=[
            col.text("Language", lambda row: answers.name(row[0])),
            *([col.text("Outcome", lambda row: TITLES[row[1]])] if several else []),
            col.count("Questions", lambda row: row[2].n),
            *col.estimate("Difference", lambda row: row[2], 1, 100),
            col.p("p", lambda row: row[2].p_value),
            col.holm("p (Holm)", lambda row: row[2]),
            *([mcnemar] if answers.crossed else []),
            col.text("Result", lambda row: result_text(row[2])),
            col.value("Detectable", lambda row: row[4], 1, 100),
        ],
        rows=rows,
        frame=[one for row in rows for one in row[2:]],
        folded=len(rows) > TALL,
        sortable=True,
    )


def spread_table(run: LanguageRun, prefix: str) -> Table | None:
    """Best minus worst language; None: too few languages to compare."""
    rows = [
        (outcome.key, spread, run.metric(f"{outcome.key}_disparity_permuted"))
        for outcome in run.answers.outcomes
        if (spread := run.spread(outcome.key)) is not None
    ]
    if not rows:
        return None
    return col.table(
        id=f"{prefix}-disparity",
        title="Best minus worst language",
        note="In points. Even if all languages were alike, some one would be best: "
        "chance is the mean under permuted languages, and p the share of permutations "
        "that differ at least as much, Holm's over models. "
        + (
            "Languages are permuted within each passage."
            if run.answers.crossed
            else "Languages are permuted over all documents, as if all questions were "
            "of one difficulty."
        )
        + " The interval never falls below zero and is no test; more than "
        f"{BOUNDED_LANGUAGES} languages have none.",
        columns=[
            col.text("Outcome", lambda row: TITLES[row[0]]),
            col.count("Questions", lambda row: row[1].n),
            col.text("Best", lambda row: run.answers.name(row[1].group or "")),
            col.text("Worst", lambda row: run.answers.name(row[1].reference or "")),
            *col.estimate("Best \u2212 worst", lambda row: row[1], 1, 100),
            col.value("By chance", lambda row: row[2], 1, 100),
            col.p("p", lambda row: row[1].p_value),
            col.holm("p (Holm)", lambda row: row[1]),
        ],
        rows=rows,
        frame=[one for _, *found in rows for one in found],
        folded=True,
    )


def length_table(run: LanguageRun, prefix: str) -> Table:
    """What else differs between languages, and what went wrong."""
    answers, frame = run.answers, run.answers.frame
    flags: dict[str, NDArray[np.bool_]] = {
        "Cut": frame["truncated"].to_numpy(dtype=bool),
        "No answer": ~answers.outcomes[0].known,
    }
    if answers.crossed:
        flags["Tied"] = frame["tied"].to_numpy(dtype=bool)
    else:
        flags["Ran on"] = frame["ran_on"].to_numpy(dtype=bool)
    missed = {
        code: {name: int((one & answers.of(code)).sum()) for name, one in flags.items()}
        for code in run.ordered()
    }
    of: dict[str, col.Of] = {
        metric: partial(run.find, metric)
        for metric in (
            "mean_prompt_tokens",
            "mean_passage_characters",
            "prompt_tokens_ratio",
            "reference_logprob",
        )
    }
    means = col.frame_of(one(code) for code in run.ordered() for one in of.values())
    counted = pd.DataFrame(
        [
            {"language": code, "items": int(answers.of(code).sum())}
            | {name.lower().replace(" ", "_"): n for name, n in counts.items()}
            for code, counts in missed.items()
        ]
    ).melt(id_vars="language", var_name="metric", value_name="estimate")
    counted = counted.rename(columns={"language": "group"})
    times = (
        "Times reference",
        lambda code: _ratio(code, run, of["prompt_tokens_ratio"](code)),
    )
    return col.table(
        id=f"{prefix}-lengths",
        title="Length, and what went wrong",
        note=_length_note(run),
        columns=[
            col.text("Language", answers.name),
            col.count("Items", lambda code: int(answers.of(code).sum())),
            *col.estimate("Tokens of a prompt", of["mean_prompt_tokens"], 0),
            *([times] if answers.crossed else []),
            col.value("Characters of a passage", of["mean_passage_characters"], 0),
            *(
                col.count(name, {code: n[name] for code, n in missed.items()}.get)
                for name in flags
            ),
            *(
                ()
                if answers.crossed
                else col.estimate("Log-prob", of["reference_logprob"])
            ),
        ],
        rows=run.ordered(),
        frame=pd.concat([means, counted], ignore_index=True),
        folded=True,
        sortable=True,
    )


def _ratio(code: str, run: LanguageRun, ratio: Record | None) -> Cell:
    return number_cell(1.0) if code == run.answers.reference else value_cell(ratio)


def _length_note(run: LanguageRun) -> str:
    note = (
        "Means with 95% intervals (Student's t, clustered). A prompt is all that the "
    )
    note += "model reads before its answer. Cut: prompts that did not fit the model. "
    if run.answers.crossed:
        if run.answers.reference is not None:
            note += (
                "Times reference: tokens over those of the same questions in "
                f"{reference_name(run)}, which says how finely the tokenizer cuts a "
                "language. "
            )
        return note + "Tied: questions of which several letters share the first place."
    return (
        note + "Ran on: answers as long as they may be, which did not end by "
        "themselves. Log-prob: mean per token of the likeliest reference answer. It "
        "does not compare languages: a script that the tokenizer cuts into bytes has "
        "many sure tokens, and another tokenizer cuts otherwise."
    )


def script_table(run: LanguageRun, prefix: str) -> Table | None:
    """Accuracy by script; None: one script only, or short answers."""
    answers = run.answers
    names = list(dict.fromkeys(answers.scripts.values()))
    known = [(name, run.find(f"{run.key}_of_script", name)) for name in names]
    found = [(name, one) for name, one in known if one is not None]
    if len(found) < 2:
        return None
    found.sort(key=lambda pair: -(pair[1].estimate or 0.0))
    levels = [(answers.scripts[c], run.level(c)) for c in run.ordered()]
    rows = [
        (name, one, [level for script, level in levels if script == name and level.n])
        for name, one in found
    ]
    return col.table(
        id=f"{prefix}-scripts",
        title="By script",
        note="Mean accuracy over the languages of a script, each counting the same, "
        "for just these languages (95% interval over passages). A description: scripts "
        "differ in much else, such as how much text of their languages there is.",
        columns=[
            col.text("Script", lambda row: row[0]),
            col.count("Languages", lambda row: len(row[2])),
            *col.estimate("Accuracy, %", lambda row: row[1], 1, 100),
            ("Best", lambda row: _end(run, row[2][0])),
            ("Worst", lambda row: _end(run, row[2][-1])),
        ],
        rows=rows,
        frame=[one for _, one in found],
        folded=len(found) > 8,
        sortable=True,
    )


def _end(run: LanguageRun, level: Record) -> Cell:
    text = f"{run.answers.name(level.group or '')} ({value_cell(level, 1, 100).text})"
    return Cell(text=text, sort=level.estimate)


SHOWN = 9
"""Languages of which examples are shown."""
LONGEST = 160
"""Characters of an example that are shown."""
_ISOLATE, _END = "\u2068", "\u2069"
"""Around a text whose direction is its own: what stands beside it keeps its place."""


def note_table(run: LanguageRun, prefix: str) -> Table | None:
    """Where the comparison with references misbehaves; None: no short answers."""
    if run.answers.crossed:
        return None
    notes = [
        (code, squad.NOTES.get(code, "not looked at")) for code in run.answers.languages
    ]
    return col.table(
        id=f"{prefix}-normalisation",
        title="How answers are compared, by language",
        note="Before an answer is compared, it is made lower case and loses ASCII "
        "punctuation and the English articles, in every language alike, as published "
        "results do. Words are what stands between spaces.",
        columns=(
            col.text("Language", lambda row: run.answers.name(row[0])),
            col.text("What that means there", lambda row: row[1]),
        ),
        rows=notes,
        frame=pd.DataFrame(notes, columns=["language", "note"]),
        folded=True,
    )


def example_table(run: LanguageRun, prefix: str) -> Table | None:
    """A right, a partly right and a wrong answer of each language, to be looked at."""
    if run.answers.crossed:
        return None
    answers = run.answers
    frame = answers.frame
    sorts = {
        "right": (frame["exact"] == 1).to_numpy(),
        "partly right": ((frame["exact"] == 0) & (frame["f1"] > 0)).to_numpy(),
        "wrong": (frame["f1"] == 0).to_numpy(),
    }
    rows = [
        (code, sort, frame.iloc[int(place)])
        for code in _looked_at(run)
        for sort, chosen in sorts.items()
        for place in np.flatnonzero(chosen & answers.of(code))[:1]
    ]
    kept = [
        {
            "language": code,
            "kind": sort,
            "answer": one["text"],
            "references": " | ".join(one["references"]),
            "f1": one["f1"],
            "item_id": one["item_id"],
        }
        for code, sort, one in rows
    ]
    more = len(answers.languages) - SHOWN
    return col.table(
        id=f"{prefix}-examples",
        title="Examples of answers",
        note="The first right, partly right and wrong answer of "
        + (
            "each language"
            if more <= 0
            else f"{SHOWN} languages, the best and worst answered among them"
        )
        + ", to see what the numbers stand for; they are no sample. Long ones are cut "
        f"after {LONGEST} characters.",
        columns=(
            col.text("Language", lambda row: answers.name(row[0])),
            col.text("Answer is", lambda row: row[1]),
            col.text(
                "Answer",
                lambda row: (
                    _shown([str(told)]) if (told := row[2]["text"]) else "(nothing)"
                ),
            ),
            col.text("References", lambda row: _shown(row[2]["references"])),
            col.count("F1, %", lambda row: 100 * float(row[2]["f1"])),
            col.text("Item", lambda row: str(row[2]["item_id"])),
        ),
        rows=rows,
        frame=pd.DataFrame(kept),
        folded=True,
    )


def _looked_at(run: LanguageRun) -> Sequence[str]:
    codes = run.ordered()
    if len(codes) <= SHOWN:
        return codes
    places = np.linspace(0, len(codes) - 1, SHOWN).round().astype(int)
    return [codes[place] for place in places]


def _shown(texts: Sequence[str]) -> str:
    """Texts in one cell, each in its own direction of writing."""
    told = []
    for text in texts:
        plain = " ".join(text.split())
        short = plain if len(plain) <= LONGEST else f"{plain[:LONGEST].rstrip()}\u2026"
        told.append(f"{_ISOLATE}{short}{_END}")
    return "; ".join(told)


def ordered(runs: Sequence[LanguageRun]) -> list[str]:
    """The languages of all runs, the best answered first, on average over models."""
    levels: dict[str, list[float]] = {}
    for run in runs:
        for code in run.answers.languages:
            estimate = run.level(code).estimate
            levels.setdefault(code, []).append(-1.0 if estimate is None else estimate)
    return sorted(levels, key=lambda code: (-float(np.mean(levels[code])), code))


def across_table(runs: Sequence[LanguageRun], prefix: str) -> Table:
    """A row per language, a column per model."""
    key = runs[0].key
    mean = f"{key}_mean_of_languages"
    rows: list[tuple[str, list[tuple[Record | None, Record | None]]]] = [
        ("Mean over languages", [(run.find(mean), None) for run in runs])
    ]
    for code in ordered(runs):
        name = next(run.answers.name(code) for run in runs if code in run.answers.names)
        gap = f"{key}_difference"
        rows.append(
            (name, [(run.find(key, code), run.find(gap, code)) for run in runs])
        )
    references = list(dict.fromkeys(reference_name(run) for run in runs))
    return col.table(
        id=f"{prefix}-across",
        title="The models side by side",
        note=f"{TITLES[key]}, %, with 95% intervals. \u2193: lower than "
        f"{join_words(references)}, \u2191: higher, by p below 5% after Holm over "
        "models and languages.",
        columns=[
            col.text("Language", lambda row: row[0]),
            *(
                (run.label, lambda row, at=at: _level(*row[1][at]))
                for at, run in enumerate(runs)
            ),
        ],
        rows=rows,
        frame=[one for _, cells in rows for pair in cells for one in pair],
        folded=len(rows) > TALL,
        sortable=True,
    )


def _level(record: Record | None, gap: Record | None) -> Cell:
    if record is None or record.estimate is None:
        return text_cell(None)
    around = ""
    if record.ci_low is not None:
        around = f" ({interval(hundred(record.ci_low), hundred(record.ci_high), 0)})"
    side = 0 if gap is None else side_of(gap)
    mark = {-1: "\u2193\u00a0", 1: "\u2191\u00a0", 0: ""}[side]
    return Cell(
        text=f"{mark}{percent(record.estimate)}{around}",
        sort=record.estimate,
        numeric=True,
    )


def across_figure(runs: Sequence[LanguageRun], prefix: str) -> Figure:
    """Bars of every model in every language, the languages in one order."""
    key = runs[0].key
    title = TITLES[key]
    chance = runs[0].answers.outcomes[0].chance is not None
    return Figure(
        id=f"{prefix}-models",
        title=f"{title} by language and model",
        caption=f"{title} with 95% intervals ({BOUNDS[key]}); languages in the order "
        "of the models' mean." + (CHANCE if chance else ""),
        alt=f"Bars of {NOUNS[key]} by language and model; the numbers are in the "
        "table.",
        panels=bar_panels(
            [(run, key, run.label) for run in runs],
            ordered(runs),
            name=f"{prefix}-models",
            axis_title=f"{title}, %",
        ),
    )


def across_findings(runs: Sequence[LanguageRun]) -> tuple[Finding, ...]:
    """In how many models each language falls behind; none for one run."""
    compared = [
        run for run in runs if any(gap.p_value is not None for gap in run.gaps())
    ]
    if len(compared) < 2:
        return ()
    behind = {
        run.label: [
            run.answers.name(gap.group or "")
            for gap in by_side(run).get(-1, [])
            if not doubts(run, gap)
        ]
        for run in compared
    }
    some_behind = [label for label, names in behind.items() if names]
    in_all = set.intersection(*(set(names) for names in behind.values()))
    reference = join_words(list(dict.fromkeys(map(reference_name, compared))))
    worse = (
        "fewer questions are answered right"
        if compared[0].answers.crossed
        else "answers match the references less well"
    )
    evidence = [
        f"{label}: {some(names) or 'none'}"
        + (f" ({len(names)} languages)." if len(names) > 1 else ".")
        for label, names in behind.items()
    ]
    if in_all and len(some_behind) > 1:
        every = [name for name in behind[some_behind[0]] if name in in_all]
        all_of = "both" if len(compared) == 2 else f"all {len(compared)}"
        evidence.append(f"In {all_of} models: {some(every)}.")
    return (
        Finding(
            claim=f"In some language {worse} than in {reference} by "
            f"{len(some_behind)} of {len(compared)} models."
            if some_behind
            else f"That in some language {worse} than in {reference} is shown for none "
            f"of {len(compared)} models.",
            evidence=tuple(evidence),
            certainty="supported" if some_behind else "not shown",
        ),
    )


def languages_part(runs: Sequence[Run], wanted: Wanted, step: Step) -> AxisPart:
    """The language axis: a section for each probe.

    Raises:
        DataError: A run is of no kind, or has too little to analyse.
        StoreError: A run's items or scores cannot be read.
    """
    groups = by_probe(runs)
    names = names_of(groups)
    several = len(groups) > 1
    parts = [
        _probe_part(
            group,
            wanted,
            id=f"languages-{place}",
            title=f"{name}: {group[0].manifest.title}" if several else "Languages",
            step=step,
        )
        for group, name, place in zip(groups, names, slugs(names), strict=True)
    ]
    return axis_part(parts, names, "languages", "Languages")


def _probe_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe version."""
    analysed = analyse_languages(runs, reference=wanted.reference_language, step=step)
    return ProbePart(
        section=_section(analysed, id=id, title=title, step=step),
        runs=tuple(
            RunPart(
                path=run.answers.run.path,
                label=run.label,
                probe=run.answers.run.manifest.probe,
                items=len(run.answers.frame),
                groups=len(run.answers.languages),
                findings=run_findings(run),
                short=headline_finding(run),
                headline=run.headline,
                headline_name=_headline_name(run),
            )
            for run in analysed
        ),
        across=across_findings(analysed),
        records=tuple(record for run in analysed for record in run.records),
        subject=_subject(analysed),
    )


def _subject(runs: Sequence[LanguageRun]) -> str:
    count = languages(max(len(run.answers.languages) for run in runs))
    if runs[0].answers.crossed:
        return f"In which of {count} the same questions on a passage are answered right"
    return (
        f"In which of {count} a short answer in the model's own words matches what "
        "people found in a passage"
    )


def _headline_name(run: LanguageRun) -> str:
    one, title = run.headline, NOUNS[run.key]
    name = run.answers.name
    if one.reference is not None:
        others = len(run.answers.others)
        largest = f", the largest of {others} differences" if others > 1 else ""
        return f"{title}, {name(one.group or '')} \u2212 {name(one.reference)}{largest}"
    if one.group is not None:
        return f"{title}, {name(one.group)}"
    return f"{title}, mean over {languages(len(run.answers.languages))}"


def _section(
    runs: Sequence[LanguageRun], *, id: str, title: str, step: Step
) -> Section:
    """Across models first, then each run."""
    kind = runs[0].answers.kind
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="answered the same questions",
        across=lambda: (across_table(runs, id), across_figure(runs, id)),
        method=(
            *prose.method(f"languages_{kind}"),
            *prose.method("languages", tested=TESTED_QUESTIONS),
        ),
        caveats=(
            *prose.caveats(f"languages_{kind}"),
            *prose.caveats("languages", tested=TESTED_QUESTIONS),
        ),
        step=step,
    )


def _lead(run: LanguageRun) -> str:
    answers = run.answers
    asked = questions(len(answers.frame))
    count = languages(len(answers.languages))
    if answers.crossed:
        each = answers.frame["question_id"].nunique()
        passages = count_of(answers.frame["cluster"].nunique(), "passage")
        told = (
            f"{asked} in {count}: {questions(each)} on {passages}, the same in every "
            "language. Each has lettered answers, and the model's is "
            "the letter with the highest score."
        )
    else:
        told = (
            f"{asked} in {count}, each with a passage that holds the answer. The model "
            "answers in its own words after worked examples; its answer is compared "
            "with those that people gave, by exact match and by the words in common "
            "(F1)."
        )
    if answers.others:
        name = reference_name(run)
        told += (
            f" Differences are a language less {name}: negative means that {name} is "
            "answered better."
        )
    return told


def _blocks(run: LanguageRun, prefix: str) -> list[Block | None]:
    return [
        *level_figures(run, prefix),
        level_table(run, prefix),
        difference_table(run, prefix),
        place_figure(run, prefix),
        place_table(run, prefix),
        length_figure(run, prefix),
        length_table(run, prefix),
        script_table(run, prefix),
        spread_table(run, prefix),
        note_table(run, prefix),
        example_table(run, prefix),
    ]
