"""The report of `compare`: what each stage of training changed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from analysis import columns as col
from analysis import figures, part, prose
from analysis.countries_figures import interval_rows
from analysis.drawing import INK, Panel
from analysis.figures import padded
from analysis.html import (
    Block,
    Cell,
    Figure,
    Finding,
    Page,
    Section,
    Table,
    join_words,
    number,
    number_cell,
    slug,
    slugs,
    with_interval,
)
from analysis.records import Record
from analysis.report import (
    DOWNLOADS,
    GENERAL_CAVEAT,
    Report,
    provenance,
    resampling,
    run_notes,
    run_warnings,
    verified,
    write_page,
    written_by,
)
from analysis.resample import SEED
from analysis.stages import GapStep, GroupResult, MeasureResult, Step
from analysis.stages_runs import SIDE_BY_SIDE, Compared, Comparison
from analysis.stages_words import (
    FEW_GROUPS,
    ROLES,
    beside_words,
    bounds,
    change_cell,
    change_text,
    digits_of,
    first_sentences,
    gap_text,
    group_name,
    group_word,
    groups_of,
    is_share,
    level_text,
    measure_title,
    named,
    shown,
    side_of,
    side_words,
    signed,
    stage_name,
    stage_word,
    step_words,
    unit_words,
)
from analysis.wording import count_of, p_of, p_words, sentence


def group_table(comparison: Comparison, measure: MeasureResult, prefix: str) -> Table:
    """A row per group and stage: its level, its change, and that less the reference's.

    The csv file holds every record of the measure.
    """
    aligned = measure.aligned
    reference = aligned.reference
    stages = [one.stage for one in aligned.measured]
    three = len(stages) > 2 and comparison.trained
    rows = [
        (group_name(measure, one.group), stage, level, step)
        for one in measure.groups
        for stage, level, step in zip(
            stages, one.levels, (None, *one.steps), strict=True
        )
    ]
    changed = (
        f"Change from {stage_word(stages[0])}"
        if comparison.trained
        else "Difference from first"
    )
    less = None if reference is None else group_name(measure, reference)

    def changes(head: str, of: col.Of) -> tuple[col.Column, col.Column]:
        cell = (head, lambda row: change_cell(measure, of(row)))
        return cell, col.p("p (Holm)", lambda row: of(row) and p_of(of(row)))

    previous = changes("From the stage before", lambda row: row[3] and row[3].previous)
    beyond = changes(f"Less the change of {less}", lambda row: row[3] and row[3].beyond)
    return col.table(
        id=f"{prefix}-groups",
        title=f"{measure_title(measure)}, by {group_word(measure)}",
        note=_note(comparison, measure),
        columns=[
            col.text(group_word(measure).capitalize(), lambda row: row[0]),
            col.text(
                "Stage" if comparison.trained else "Model",
                lambda row: stage_name(row[1]),
            ),
            col.count("n", lambda row: row[2].n),
            (f"Level, {unit_words(measure)}", lambda row: _level_cell(measure, row[2])),
            *changes(
                f"{changed}, {unit_words(measure, change=True)}",
                lambda row: row[3] and row[3].change,
            ),
            *(previous if three else ()),
            *(beyond if reference is not None else ()),
        ],
        rows=rows,
        frame=measure.records,
        folded=len(measure.groups) > FEW_GROUPS,
        sortable=True,
    )


def _note(comparison: Comparison, measure: MeasureResult) -> str:
    aligned = measure.aligned
    text = (
        "In brackets 95% intervals. p is Holm's over every "
        f"{group_word(measure)} and later "
        f"{'stage' if comparison.trained else 'model'} of the column."
    )
    lost = [
        f"{stage_name(one.stage)} {count_of(n, 'scored value')}"
        for one, n in zip(aligned.measured, aligned.left_out, strict=True)
        if n
    ]
    if beside := beside_words(measure):
        text += f" {beside}"
    if lost:
        text += f" Left out, as not all have them: of {join_words(lost)}."
    if aligned.lacking:
        names = [group_name(measure, one) for one in aligned.lacking[:6]]
        more = len(aligned.lacking) - len(names)
        shown_names = [*names, f"{more} more"] if more else names
        text += f" Without a value that all have: {join_words(shown_names)}."
    return text


def _level_cell(measure: MeasureResult, record: Record) -> Cell:
    return with_interval(
        number_cell(shown(measure, record.estimate), digits_of(measure)),
        bounds(measure, record),
    )


def gap_table(comparison: Comparison, prefix: str) -> Table | None:
    """Best minus worst group of every measure; None: there are no two groups."""
    measures = [one for one in comparison.measures if one.gap_steps]
    rows = [
        (measure, one.stage, gap, {s.place: s for s in measure.gap_steps}.get(place))
        for measure in measures
        for place, (one, gap) in enumerate(
            zip(measure.aligned.measured, measure.gaps, strict=True)
        )
    ]
    if not rows:
        return None

    def level(measure: MeasureResult, record: Record | None) -> Cell:
        value = None if record is None else shown(measure, record.estimate)
        return number_cell(value, digits_of(measure))

    def changed(measure: MeasureResult, record: Record | None) -> Cell:
        if record is None:
            return number_cell(None)
        text = signed(measure, record.estimate)
        return Cell(text=text, sort=record.estimate, numeric=True)

    shares = any(is_share(one) for one in measures)
    return col.table(
        id=f"{prefix}-gaps",
        title="Highest less lowest group",
        note=("Shares in points. " if shares else "")
        + "A gap is above zero in any sample, so its change is read against swapped "
        "labels: earlier and later values of a unit change places at random. Chance: "
        "mean size of the change that this alone gives. Levels that rise or fall alike "
        "in all groups can change the gap by more than that, so the groups must also "
        "be shown to have changed unequally; p is the larger of the two.",
        columns=[
            col.text("Measure", lambda row: measure_title(row[0])),
            col.text(
                "Stage" if comparison.trained else "Model",
                lambda row: stage_name(row[1]),
            ),
            ("Gap", lambda row: level(row[0], row[2])),
            ("Change", lambda row: changed(row[0], row[3] and row[3].change)),
            ("Chance", lambda row: level(row[0], row[3] and row[3].permuted)),
            col.p("p (Holm)", lambda row: row[3] and p_of(row[3].change)),
        ],
        rows=rows,
        frame=[
            record
            for one in measures
            for record in (
                *one.gaps,
                *(r for step in one.gap_steps for r in (step.change, step.permuted)),
            )
        ],
    )


COLOURS = ("#a3acb6", "#7fb3d3", "#1f6a9a", "#d3782b", "#8a3d07", "#c9a227")
"""Of base, SFT and preference tuning; of models, in their order."""
BAR = 12
"""Pixels of a bar with its gap."""
LABEL_SPACE = 118
"""Pixels for the names of rows."""

Pair = tuple[Comparison, MeasureResult]


def picked(measure: MeasureResult) -> tuple[GroupResult, ...]:
    """Groups that figures draw: all of a few, else the reference and some others.

    First those that are shown to change, or to change otherwise than the reference;
    then those that change most. In the order of the groups, or of many by the change to
    the last stage.
    """
    if len(measure.groups) <= FEW_GROUPS:
        return measure.groups

    def size(one: GroupResult) -> tuple[bool, bool, float]:
        # What is too small to be tested changes most, and says least.
        changes = [step.change for step in one.steps]
        beyond = [step.beyond for step in one.steps]
        return (
            any(side_of(record) for record in (*changes, *beyond)),
            any(change.p_value is not None for change in changes),
            max(abs(change.estimate or 0.0) for change in changes),
        )

    def last(one: GroupResult) -> float:
        return -(one.steps[-1].change.estimate or 0.0)

    reference = [
        one for one in measure.groups if one.group == measure.aligned.reference
    ]
    rest = [one for one in measure.groups if one not in reference]
    rest = sorted(rest, key=size, reverse=True)[: FEW_GROUPS - len(reference)]
    return (*reference, *sorted(rest, key=last))


def of_how_many(measure: MeasureResult) -> str:
    """Which groups are drawn, where it is not all of them; else nothing."""
    drawn = picked(measure)
    if len(drawn) == len(measure.groups):
        return ""
    reference = "the reference and " if measure.aligned.reference else ""
    others = len(drawn) - bool(reference)
    return (
        f" Drawn are {reference}{others} of {groups_of(measure, len(measure.groups))}, "
        "first those that are shown to change, then those that change most; the table "
        "has all."
    )


def level_figure(pairs: Sequence[Pair], prefix: str) -> Figure:
    """Levels per group and stage, a panel for each lineage.

    Args:
        pairs: One measure of one probe in one or more lineages.
        prefix: Of the figure's id and files.
    """
    measure = pairs[0][1]
    several = len(pairs) > 1
    tables = [_level_rows(one) for _, one in pairs]
    every = pd.concat(tables)
    panels = [
        stage_bars(
            rows,
            name=f"{prefix}-levels{f'-{place}' if several else ''}",
            axis_title=_axis(measure),
            title=comparison.lineage.name if several else None,
            domain=_domain(every, bars=is_share(measure)),
            bars=is_share(measure),
            digits=digits_of(measure),
        )
        for rows, (comparison, _), place in zip(
            tables, pairs, slugs([one.lineage.name for one, _ in pairs]), strict=True
        )
    ]
    stages = "stages" if pairs[0][0].trained else "models"
    return Figure(
        id=f"{prefix}-levels",
        title=measure_title(measure),
        caption=f"By {group_word(measure)} and {stages[:-1]}, with 95% intervals of "
        f"each level; whether {stages} differ is tested on their differences, not "
        f"read from these.{of_how_many(measure)}",
        alt=f"{measure_title(measure)} by {group_word(measure)}, a bar for each of the "
        f"{stages}; the numbers are in the table.",
        panels=tuple(panels),
    )


def _axis(measure: MeasureResult) -> str:
    outcome = measure.aligned.outcome
    unit = unit_words(measure)
    if outcome.better is None:
        return unit
    return f"{unit} ({outcome.better} is better)"


def _level_rows(measure: MeasureResult) -> pd.DataFrame:
    def value(number: float | None) -> float:
        kept = shown(measure, number)
        return math.nan if kept is None else kept

    return pd.DataFrame(
        [
            {
                "group": group_name(measure, one.group),
                "bar": _bar_name(measured.stage.role, stage_word(measured.stage)),
                "value": value(level.estimate),
                "ci_low": value(level.ci_low),
                "ci_high": value(level.ci_high),
            }
            for one in picked(measure)
            for measured, level in zip(
                measure.aligned.measured, one.levels, strict=True
            )
        ]
    )


def _bar_name(role: str, word: str) -> str:
    return f"{word[:1].upper()}{word[1:]}" if role in ROLES else word


def _domain(rows: pd.DataFrame, *, bars: bool) -> tuple[float, float]:
    """One axis for all panels; bars begin at zero."""
    if not bars:
        return padded(rows.rename(columns={"value": "estimate"}))
    high = float(rows[["value", "ci_high"]].max().max())
    return 0.0, min(100.0, 1.04 * high) or 1.0


def stage_bars(
    rows: pd.DataFrame,
    *,
    name: str,
    axis_title: str,
    title: str | None,
    domain: tuple[float, float],
    bars: bool,
    digits: int,
) -> Panel:
    """Stages of each group below each other, with intervals.

    Args:
        rows: Columns group, bar (the stage), value, ci_low, ci_high (NaN: not drawn),
            in the order in which groups and stages shall stand.
        name: File name of the panel.
        axis_title: Title of the horizontal axis.
        title: Title of the panel.
        domain: Of the horizontal axis.
        bars: Bars from zero; else dots, where zero means nothing.
        digits: Decimals of the numbers that a pointer shows.
    """
    stages = list(dict.fromkeys(rows["bar"]))
    groups = list(dict.fromkeys(rows["group"]))
    data = rows.assign(
        tip=figures.tips(rows, lambda row: f"{row.group}, {row.bar}", digits)
    )
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    # Stages of a lineage have fixed colours, whichever of them are here.
    known = [_bar_name(role, word) for role, word in ROLES.items()]
    trained = all(stage in known for stage in stages)
    colours = [
        COLOURS[(known.index(stage) if trained else place) % len(COLOURS)]
        for place, stage in enumerate(stages)
    ]
    y = figures.names_axis("group:N", LABEL_SPACE, paddingInner=0.25, paddingOuter=0.1)
    offset = alt.YOffset("bar:N", sort=stages, scale=alt.Scale(paddingInner=0.15))
    base = alt.Chart(alt.NamedData(name="rows"))
    colour = alt.Color(
        "bar:N",
        scale=alt.Scale(domain=stages, range=colours),
        legend=alt.Legend(
            title=None,
            orient="top",
            columns=3 if trained else 1,
            symbolType="square",
            labelLimit=280,
        ),
    )
    x = alt.X("value:Q", title=axis_title, scale=scale, axis=alt.Axis(tickCount=5))
    span = figures.span(
        base,
        alt.X("ci_low:Q", title=axis_title, scale=scale),
        "ci_low",
        "ci_high",
        y={"y": y, "yOffset": offset},
        stroke=INK,
        strokeWidth=1.1,
    )
    encoded = {
        "y": y,
        "yOffset": offset,
        "x": x,
        "color": colour,
        "description": "tip:N",
    }
    layers = (
        [base.mark_bar().encode(**encoded), span]
        if bars
        else [
            span,
            base.mark_point(size=50, filled=True, opacity=1).encode(**encoded),
        ]
    )
    chart = alt.layer(*layers).properties(
        width=315 - LABEL_SPACE, height=len(groups) * (BAR * len(stages) + 9)
    )
    return figures.titled(chart, name, data, title)


def change_figure(
    comparison: Comparison, measure: MeasureResult, prefix: str
) -> Figure | None:
    """Changes from the base, a panel for each later stage; None: without intervals."""
    aligned = measure.aligned
    tables = []
    for step_place in range(len(aligned.measured) - 1):
        rows = interval_rows(
            [
                (
                    group_name(measure, one.group),
                    one.steps[step_place].change,
                    None,
                    not side_of(one.steps[step_place].change),
                )
                for one in picked(measure)
            ]
        )
        if is_share(measure):
            columns = ["estimate", "ci_low", "ci_high"]
            rows[columns] = 100 * rows[columns]
        tables.append(rows)
    every = pd.concat(tables)
    if every["ci_low"].isna().all():
        return None
    unit = unit_words(measure, change=True)
    stages = [one.stage for one in aligned.measured]
    first = stage_word(stages[0])
    what = "Change" if comparison.trained else "Difference"
    return Figure(
        id=f"{prefix}-changes",
        title=f"{what} from {first}",
        caption=f"{measure_title(measure)}: later less {first}, over units that all "
        "scored. Filled: shown, by p below 5% after Holm over all groups and "
        f"{'stages' if comparison.trained else 'models'}; hollow: not shown. Lines are "
        f"95% bootstrap intervals, unadjusted.{of_how_many(measure)}",
        alt=f"Forest plot of changes by {group_word(measure)}; the numbers are in the "
        "table.",
        panels=tuple(
            figures.intervals(
                rows,
                name=f"{prefix}-changes-{place}",
                domain=padded(every, 0.0),
                axis_title=f"{what} from {first}, {unit}",
                title=f"{stage_word(stage)} less {first}",
                label_space=LABEL_SPACE,
                digits=digits_of(measure),
            )
            for place, (stage, rows) in enumerate(
                zip(stages[1:], tables, strict=True), 1
            )
        ),
    )


_Sides = dict[int, list[GroupResult]]


def comparison_findings(comparison: Comparison) -> tuple[Finding, ...]:
    """Everything found of one probe and lineage, measure by measure."""
    return tuple(
        finding
        for measure in comparison.measures
        for finding in measure_findings(comparison, measure)
    )


def measure_findings(
    comparison: Comparison, measure: MeasureResult
) -> tuple[Finding, ...]:
    """What one measure shows: changes, whose are other than the reference's, the gap.

    Each later stage has its own.
    """
    found = []
    for place in range(1, len(measure.aligned.measured)):
        found.append(change_finding(measure, place))
        if measure.aligned.reference is not None and len(measure.groups) > 1:
            found.append(_beyond_finding(comparison, measure, place))
        for gap in measure.gap_steps:
            if gap.place == place:
                found.append(_gap_finding(measure, gap))
    return tuple(found)


def change_finding(measure: MeasureResult, place: int) -> Finding:
    """For which groups a stage is above or below the base."""
    sides = _sides(measure, place, lambda step: step.change)
    title = measure_title(measure)
    stages = [one.stage for one in measure.aligned.measured]
    before, after = stage_word(stages[0]), stage_word(stages[place])
    several = len(measure.groups) > 1
    parts = [
        f"{word} in {after} than in {before}"
        + (f" for {named(measure, _groups(sides[side]))}" if several else "")
        for side, word in side_words(measure)
        if sides[side]
    ]
    tested = [one for one in measure.groups if _p(_step(one, place).change) is not None]
    if parts:
        rest = [one for one in sides[0] if one in tested]
        if rest:
            parts.append(
                f"not shown for {named(measure, _groups(rest), examples=False)}"
            )
        claim = f"{title}: {'; '.join(parts)}."
    else:
        whom = f" for any of {groups_of(measure, len(tested))}" if several else ""
        claim = (
            f"{title}: that {after} differs from {before} is not shown{whom}."
            if tested
            else f"{title}: whether {after} differs from {before} cannot be said."
        )
    beside = beside_words(measure)
    return Finding(
        claim=claim,
        evidence=_evidence(
            measure, [*sides[1], *sides[-1], *sides[0]], place, _change_evidence
        )
        + ((beside,) if beside else ()),
        certainty="supported" if sides[1] or sides[-1] else "not shown",
    )


def _beyond_finding(
    comparison: Comparison, measure: MeasureResult, place: int
) -> Finding:
    """Whose change differs from the reference group's."""
    reference = group_name(measure, measure.aligned.reference or "")
    others = [one for one in measure.groups if _step(one, place).beyond is not None]
    sides = _sides(measure, place, lambda step: step.beyond, others)
    title = measure_title(measure)
    kind = "change" if comparison.trained else "difference"
    change = f"the {kind} {step_words(measure, place)}"
    parts = [
        f"for {named(measure, _groups(sides[side]))} {{}} {word}"
        for side, word in ((1, "above"), (-1, "below"))
        if sides[side]
    ]
    if parts:
        first, *second = parts
        claim = f"{title}: {first.format(f'{change} is')} that for {reference}"
        claim += "".join(f"; {part.format('it is')}" for part in second) + "."
    else:
        tested = [one for one in others if _p(_step(one, place).beyond) is not None]
        asked = tested or others
        whom = (
            f"any of {groups_of(measure, len(asked))}"
            if len(asked) > 1
            else group_name(measure, asked[0].group)
        )
        differs = f"{change} differs from that for {reference}"
        claim = (
            f"{title}: that {differs} is not shown for {whom}."
            if tested
            else f"{title}: whether {differs} cannot be said for {whom}."
        )
    return Finding(
        claim=claim,
        evidence=_evidence(
            measure, [*sides[1], *sides[-1], *sides[0]], place, _beyond_evidence
        ),
        certainty="supported" if parts else "not shown",
    )


def _gap_finding(measure: MeasureResult, gap: GapStep) -> Finding:
    """Whether the groups came closer or moved apart."""
    side = side_of(gap.change)
    before, after = measure.gaps[0], measure.gaps[gap.place]
    what = f"the gap between the highest and the lowest {group_word(measure)}"
    stages = [one.stage for one in measure.aligned.measured]
    first, then = stage_word(stages[0]), stage_word(stages[gap.place])
    title = measure_title(measure)
    word = "wider" if side > 0 else "narrower"
    return Finding(
        claim=f"{title}: {what} is {word} in {then} than in {first}."
        if side
        else f"{title}: that {what} differs from {first} to {then} is not shown.",
        evidence=(
            f"{gap_text(measure, before.estimate)} in {first}, "
            f"{gap_text(measure, after.estimate)} in {then}; "
            f"{p_words(p_of(gap.change), ' after Holm')} by swapping the labels of the "
            "two within units, which alone changes the gap by "
            f"{gap_text(measure, gap.permuted.estimate)} on average, and by whether "
            "all groups changed alike.",
        ),
        certainty="supported" if side else "not shown",
    )


def _step(one: GroupResult, place: int) -> Step:
    return next(step for step in one.steps if step.place == place)


def _p(record: Record | None) -> float | None:
    return None if record is None else record.p_value


def _sides(
    measure: MeasureResult,
    place: int,
    of: Callable[[Step], Record | None],
    groups: Sequence[GroupResult] | None = None,
) -> _Sides:
    """Groups above zero, below it, and not shown; each the largest first.

    Of what is not shown, what is tested comes first.
    """
    found: _Sides = {1: [], -1: [], 0: []}
    for one in measure.groups if groups is None else groups:
        found[side_of(of(_step(one, place)))].append(one)

    def size(one: GroupResult) -> tuple[bool, float]:
        record = of(_step(one, place))
        if record is None:
            return True, 0.0
        return record.p_value is None, -abs(record.estimate or 0.0)

    for groups_of_side in found.values():
        groups_of_side.sort(key=size)
    return found


def _groups(found: Sequence[GroupResult]) -> list[str]:
    return [one.group for one in found]


def _evidence(
    measure: MeasureResult,
    groups: Sequence[GroupResult],
    place: int,
    text: Callable[[MeasureResult, GroupResult, int], str],
) -> tuple[str, ...]:
    return first_sentences(measure, [text(measure, one, place) for one in groups])


def _change_evidence(measure: MeasureResult, one: GroupResult, place: int) -> str:
    step = _step(one, place)
    return (
        f"{group_name(measure, one.group)}: "
        f"{level_text(measure, one.levels[0].estimate)} to "
        f"{level_text(measure, one.levels[place].estimate)}, "
        f"{change_text(measure, step.change)}, n\u00a0=\u00a0"
        f"{number(step.change.n, 0)}."
    )


def _beyond_evidence(measure: MeasureResult, one: GroupResult, place: int) -> str:
    record = _step(one, place).beyond
    assert record is not None
    return f"{group_name(measure, one.group)}: {change_text(measure, record)}."


MOST_FINDINGS = 9
"""Up to so many findings the summary holds them all; of more, those of each
comparison's first measure: the changes, and what else is shown."""
MOST_EVIDENCE = 3
"""Groups whose numbers a finding of such a summary has; its own section has more."""


def write_comparison(
    compared: Compared, out: Path, *, step: part.Step = lambda: None
) -> Report:
    """Writes index.html, report.md, summary.json, tables and figures.

    Args:
        compared: At least one comparison.
        out: Folder to write; files of an earlier report there are replaced.
        step: Called once a comparison.

    Raises:
        StoreError: `out` cannot be written.
    """
    return write_page(build_comparison(compared, step=step), compared.records, out)


def build_comparison(compared: Compared, *, step: part.Step = lambda: None) -> Page:
    """Lays the report out: a section per probe, of each its lineages."""
    lineages = list(dict.fromkeys(one.lineage.name for one in compared.comparisons))
    trained = [one for one in compared.comparisons if one.trained]
    return Page(
        title=_title(compared, lineages),
        subtitle=_subtitle(compared, lineages),
        overview=_overview(compared),
        warnings=(*run_warnings(compared.runs), *compared.notes),
        notes=run_notes(compared.runs),
        findings=_summary(compared, len(lineages) > 1),
        sections=tuple(_probe_section(group, step) for group in compared.of_probe()),
        method=(*prose.method("stages"), resampling(compared.draws, SEED)),
        caveats=(
            *((TRAINED,) if trained else ()),
            *((UNRELATED,) if len(trained) < len(compared.comparisons) else ()),
            *prose.caveats("stages"),
            GENERAL_CAVEAT,
        ),
        provenance=tuple(provenance(run) for run in compared.runs),
        generated=written_by(),
        kind="comparison of checkpoints",
        downloads=DOWNLOADS,
    )


def _title(compared: Compared, lineages: Sequence[str]) -> str:
    known = [name for name in lineages if name != SIDE_BY_SIDE]
    if not known:
        models = compared.comparisons[0].lineage.stages
        return f"{count_of(len(models), 'model')} side by side"
    if len(known) == 1:
        return f"What training changed: {known[0]}"
    return f"What training changed in {count_of(len(known), 'lineage')}"


def _subtitle(compared: Compared, lineages: Sequence[str]) -> str:
    stages = {
        one.lineage.name: one.lineage
        for one in sorted(compared.comparisons, key=lambda c: len(c.lineage.stages))
    }
    return " ".join(
        f"{name.capitalize() if name == SIDE_BY_SIDE else name}: "
        f"{', '.join(stage_name(stage) for stage in stages[name].stages)}."
        for name in lineages
    )


def _overview(compared: Compared) -> Table:
    rows = [
        (one, stage, run)
        for one in compared.comparisons
        for stage, run in zip(one.lineage.stages, one.runs, strict=True)
    ]

    def units(one: Comparison) -> int:
        return len(np.unique(one.measures[0].aligned.unit))

    frame = [
        {
            "lineage": one.lineage.name,
            "role": stage.role,
            "model": stage.model,
            "run": run.name,
            "probe": run.probe,
            "verified": run.manifest.verified,
            "units": units(one),
            "groups": len(one.measures[0].groups),
            "status": run.manifest.status,
        }
        for one, stage, run in rows
    ]
    return col.table(
        id="runs",
        title="What was compared",
        note="Compared: questions, games or pairs that all stages have scored.",
        columns=[
            col.text("Lineage", lambda row: row[0].lineage.name),
            col.text("Stage", lambda row: stage_name(row[1])),
            col.text("Probe", lambda row: row[2].probe),
            col.text("Verified", lambda row: verified(row[2])),
            col.count("Compared", lambda row: units(row[0])),
            col.count("Groups", lambda row: len(row[0].measures[0].groups)),
        ],
        rows=rows,
        frame=pd.DataFrame(frame),
    )


def _summary(compared: Compared, several: bool) -> tuple[Finding, ...]:
    found = [
        (one, finding)
        for one in compared.comparisons
        for finding in comparison_findings(one)
    ]
    many = len(found) > MOST_FINDINGS
    if many:
        found = [
            (one, finding)
            for one in compared.comparisons
            for place, finding in enumerate(measure_findings(one, one.measures[0]))
            if place == 0 or finding.certainty == "supported"
        ]
    return tuple(
        dataclasses.replace(
            finding,
            claim=f"{one.probe}{f', {one.lineage.name}' if several else ''}: "
            f"{finding.claim[:1].lower()}{finding.claim[1:]}",
            evidence=_shortened(one, finding) if many else finding.evidence,
        )
        for one, finding in found
    )


def _shortened(one: Comparison, finding: Finding) -> tuple[str, ...]:
    """Some of a finding's evidence, and what must be read beside all of it."""
    kept = finding.evidence[:MOST_EVIDENCE]
    beside = beside_words(one.measures[0])
    left_out = beside in finding.evidence and beside not in kept
    return (*kept, beside) if left_out else kept


def _probe_section(comparisons: Sequence[Comparison], step: part.Step) -> Section:
    """The lineages that ran on one probe."""
    first = comparisons[0]
    id = f"stages-{slug(first.probe)}"
    about = f"{sentence(first.runs[0].manifest.title)} "
    if len(comparisons) == 1:
        section = _section(first, id, first.probe, levels=True)
        step()
        return dataclasses.replace(section, lead=about + section.lead)
    names = [one.lineage.name for one in comparisons]
    prefixes = [f"{id}-{name}" for name in slugs(names)]
    sections = []
    for one, prefix in zip(comparisons, prefixes, strict=True):
        section = _section(one, prefix, one.lineage.name, levels=False)
        sections.append(dataclasses.replace(section, folded=True))
        step()
    return Section(
        id=id,
        title=first.probe,
        lead=f"{about}{len(comparisons)} lineages: {join_words(names)}. First their "
        "levels side by side, then each lineage's changes and tests by itself.",
        blocks=tuple(
            level_figure(pairs, f"{id}-{slug(name)}")
            for name, pairs in _by_measure(comparisons).items()
        ),
        sections=tuple(sections),
    )


def _by_measure(
    comparisons: Sequence[Comparison],
) -> dict[str, list[tuple[Comparison, MeasureResult]]]:
    """Name and unit of a measure -> the lineages that have it."""
    found: dict[str, list[tuple[Comparison, MeasureResult]]] = {}
    for one in comparisons:
        for measure in one.measures:
            outcome = measure.aligned.outcome
            key = f"{outcome.name} {outcome.value_unit}"
            found.setdefault(key, []).append((one, measure))
    return found


def _section(one: Comparison, id: str, title: str, *, levels: bool) -> Section:
    """One lineage on one probe; `levels`: with the figure of levels."""
    blocks: list[Block] = []
    names = slugs([measure.aligned.outcome.name for measure in one.measures])
    for measure, name in zip(one.measures, names, strict=True):
        prefix = f"{id}-{name}"
        if levels:
            blocks.append(level_figure([(one, measure)], prefix))
        changes = change_figure(one, measure, prefix)
        if changes is not None:
            blocks.append(changes)
        blocks.append(group_table(one, measure, prefix))
    gaps = gap_table(one, id)
    if gaps is not None:
        blocks.append(gaps)
    return Section(
        id=id,
        title=title,
        lead=_lead(one),
        findings=comparison_findings(one),
        blocks=tuple(blocks),
    )


def _measured(one: Comparison, measure: MeasureResult) -> str:
    """What is measured, and of which stages where it is not all."""
    title = measure_title(measure)
    title = title[:1].lower() + title[1:]
    stages = [each.stage for each in measure.aligned.measured]
    if len(stages) == len(one.lineage.stages):
        return title
    return f"{title} (of {join_words([stage_word(stage) for stage in stages])} only)"


def _lead(one: Comparison) -> str:
    stages = [stage_name(stage) for stage in one.lineage.stages]
    what = join_words([_measured(one, measure) for measure in one.measures])
    if one.trained:
        return f"{join_words(stages)}, compared by {what}."
    return (
        f"{join_words(stages[1:])}, compared with {stages[0]} by {what}. Nothing says "
        "that one was made from another: differences are between models, and not made "
        "by training."
    )


TRAINED = (
    "A stage differs from the one before in all that its training did: data, prompt "
    "format and length of answers as much as preferences."
)
UNRELATED = (
    "Models side by side differ in more than their training stage: size, data, "
    "tokenizer. Their differences have no single cause."
)
