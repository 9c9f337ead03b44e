"""Preference pairs in a report: findings, a table, a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import columns as col
from analysis import figures
from analysis.html import (
    Figure,
    Finding,
    Paragraph,
    Table,
    interval,
    join_words,
    number,
    p_text,
)
from analysis.load import UNITS, Run
from analysis.part import ProbePart, RunPart, Step, Wanted, models_section
from analysis.preferences import PreferenceRun, Share, analyse_preferences
from analysis.records import ALPHA, Record
from analysis.resample import DRAWS
from analysis.wording import count_of
from data_builders.mix_duplicates import TEMPLATE, TEMPLATE_WORDS

MOST_ROWS = 26
"""Groups that the figure draws; the table has them all."""


def preferences_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses runs of one probe of preference pairs and lays them out.

    Args:
        runs: The runs, of one probe version.
        wanted: What to compare with; nothing of it bears on preference pairs.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section.
        step: Called twice a run.

    Raises:
        DataError: A run without scored pairs.
    """
    found = analyse_preferences(runs)
    for _ in found:
        step()
    section = models_section(
        found,
        lead=_lead,
        findings=run_findings,
        blocks=lambda one, prefix: (_figure(one, prefix), _table(one, prefix)),
        id=id,
        title=title,
        did="scored the same pairs",
        across=lambda: (_across_table(found, id),),
        method=METHOD,
        caveats=CAVEATS,
        step=step,
    )
    pairs = max(one.overall.n for one in found)
    return ProbePart(
        section=section,
        runs=tuple(_run_part(one) for one in found),
        across=(),
        records=tuple(record for one in found for record in one.records),
        subject=f"How often the preferred answer of {count_of(pairs, 'pair')} scores "
        "higher than the other, held against length",
    )


def _run_part(one: PreferenceRun) -> RunPart:
    findings = run_findings(one)
    return RunPart(
        path=one.run.path,
        label=one.label,
        probe=one.run.manifest.probe,
        items=one.overall.n,
        groups=len(one.groups),
        findings=findings,
        short=findings[0],
        headline=one.records[0],
        headline_name="accuracy, chosen above rejected",
    )


def run_findings(one: PreferenceRun) -> tuple[Finding, ...]:
    """What was found of one run, the headline first."""
    whole, beyond = one.overall, one.beyond_length
    p, holm_beyond = (
        next(record.p_holm for record in one.records if record.metric == metric)
        for metric in ("accuracy", "accuracy_beyond_length")
    )
    above = whole.accuracy.estimate > 0.5
    low, high = _interval(whole)
    clear = p is not None and p < ALPHA and (low > 0.5 or high < 0.5)
    side = "more" if above else "less"
    found = [
        Finding(
            claim=f"{one.label} scores the chosen answer higher {side} often than not."
            if clear
            else f"That {one.label} tells the chosen answer from the rejected one is "
            "not shown.",
            evidence=(
                f"Accuracy {number(whole.accuracy.estimate, 3)} (95% "
                f"{interval(low, high, 3)}), {_pairs(one)}; against one half p, Holm's "
                f"over models, {p_text(p)}.",
                *((f"{count_of(whole.ties, 'tie')}.",) if whole.ties else ()),
            ),
            certainty="supported" if clear else "not shown",
        )
    ]
    differs = holm_beyond is not None and holm_beyond < ALPHA
    better, worse = differs and beyond.low > 0, differs and beyond.high < 0
    longer, other = one.by_length
    if one.length_unit is None:
        return tuple(found + _below(one))
    split = [
        f"{number(part.accuracy.estimate, 3)} (95% "
        f"{interval(part.accuracy.low, part.accuracy.high, 3)}, n\u00a0=\u00a0"
        f"{part.n}) where the chosen answer is {what}"
        for part, what in ((longer, "the longer"), (other, "not the longer"))
        if part.n
    ]
    found.append(
        Finding(
            claim="It does better than always preferring the longer answer."
            if better
            else "It does worse than always preferring the longer answer."
            if worse
            else "That it does better than always preferring the longer answer is not "
            "shown.",
            evidence=(
                f"Length alone ({one.length_unit}) reaches {number(whole.longer, 3)}; "
                f"the difference is {number(beyond.estimate, 3)} (95% "
                f"{interval(beyond.low, beyond.high, 3)}), McNemar's p, Holm's over "
                f"models, {p_text(holm_beyond)}.",
                f"Accuracy is {join_words(split)}.",
            ),
            certainty="supported" if better or worse else "not shown",
        )
    )
    return tuple(found + _below(one))


def _below(one: PreferenceRun) -> list[Finding]:
    """The groups in which the rejected answer is preferred."""
    holm = {record.group: record.p_holm for record in one.records if record.family}
    below = [
        part
        for part in one.groups
        if (p := holm[f"{part.column}: {part.value}"]) is not None
        and p < ALPHA
        and part.accuracy.high < 0.5
    ]
    if not below:
        return []
    return [
        Finding(
            claim="It prefers the rejected answer in "
            f"{join_words([str(part.value) for part in below])}.",
            evidence=tuple(
                f"{part.value}: accuracy {number(part.accuracy.estimate, 3)} (95% "
                f"{interval(part.accuracy.low, part.accuracy.high, 3)}), "
                f"n\u00a0=\u00a0{part.n}, Holm p "
                f"{p_text(holm[f'{part.column}: {part.value}'])}."
                for part in below
            ),
            certainty="supported",
        )
    ]


def _pairs(one: PreferenceRun, of: str = "") -> str:
    """How many pairs there are, and what of them belongs together."""
    said = count_of(one.overall.n, "pair") + of
    if one.cluster == "pair":
        return f"{said}, each taken for itself as no prompt is known"
    said += f" {'to' if of else 'of'} "
    said += count_of(one.pairs["prompt"].nunique(), "prompt")
    if one.cluster == "cluster":
        said += f" in {count_of(one.overall.n_clusters, 'cluster')}, near duplicates "
        said += "being one"
    return said


def _interval(share: Share) -> tuple[float, float]:
    """By cluster where clusters have several pairs, else Wilson's."""
    best = share.clustered if share.n_clusters < share.n else share.accuracy
    return best.low, best.high


def _lead(one: PreferenceRun) -> str:
    unscored = (
        f" {count_of(one.unscored, 'pair')} without both scores left out."
        if one.unscored
        else ""
    )
    unknown = (
        " How long the answers are is not known, nor what length alone would reach."
        if one.length_unit is None
        else ""
    )
    return (
        f"{_pairs(one, ' of a chosen and a rejected answer')}, by the "
        f"{UNITS[one.run.measure]}.{unscored}{unknown}"
    )


def _shares(one: PreferenceRun) -> list[tuple[str, Share]]:
    """All pairs, the two lengths, then every group by its name."""
    columns = {part.column for part in one.groups}
    return [
        ("all pairs", one.overall),
        *((str(part.value), part) for part in one.by_length),
        *(
            (
                str(part.value)
                if len(columns) == 1
                else f"{part.column}: {part.value}",
                part,
            )
            for part in one.groups
        ),
    ]


def _figure(one: PreferenceRun, prefix: str) -> Figure:
    every = [(name, part) for name, part in _shares(one) if part.n]
    shares, more = every[:MOST_ROWS], len(every) - MOST_ROWS
    rows = pd.DataFrame(
        {
            "row": [f"{name} ({part.n})" for name, part in shares],
            "estimate": [part.accuracy.estimate for _, part in shares],
            "ci_low": [part.accuracy.low for _, part in shares],
            "ci_high": [part.accuracy.high for _, part in shares],
            "inner_low": np.nan,
            "inner_high": np.nan,
            "hollow": [part.column == "length" for _, part in shares],
        }
    )
    return Figure(
        id=f"{prefix}-accuracy",
        title=f"Accuracy of {one.label}",
        caption="Share of pairs whose chosen answer scores higher, with Wilson's 95% "
        "interval; pairs in brackets; the dashed line is chance. Hollow: pairs split "
        "by which answer is longer."
        + (f" {more} more groups are in the table only." if more > 0 else ""),
        alt=f"Accuracy of {one.label} by group; the numbers are in the table.",
        panels=(
            figures.intervals(
                rows,
                name=f"{prefix}-accuracy",
                domain=(0.0, 1.0),
                axis_title="Accuracy",
                zero=0.5,
                label_space=180,
            ),
        ),
    )


def _table(one: PreferenceRun, prefix: str) -> Table:
    holm = {record.group: record.p_holm for record in one.records if record.family}
    rows = [
        (name, part, holm.get(f"{part.column}: {part.value}"))
        for name, part in _shares(one)
    ]
    frame = [
        {
            "column": part.column,
            "group": part.value,
            "n": part.n,
            "n_prompts": part.n_clusters,
            "accuracy": part.accuracy.estimate,
            "ci_low": part.accuracy.low,
            "ci_high": part.accuracy.high,
            "p_value": part.p_value,
            "p_holm": p,
            "length_only": part.longer,
            "mean_margin": part.margin,
            "ties": part.ties,
        }
        for _, part, p in rows
    ]
    return col.table(
        id=f"{prefix}-pairs",
        title="Accuracy by group",
        note="Interval: Wilson. p: against one half, Holm's over models and groups. "
        "Longer: accuracy of always preferring the longer answer. Margin: mean score "
        "of the chosen answer minus that of the rejected one, in the model's unit.",
        columns=(
            col.text("Pairs", lambda row: row[0]),
            col.count("n", lambda row: row[1].n),
            col.number("Accuracy", lambda row: row[1].accuracy.estimate, 3),
            col.interval(
                col.BOUNDS, lambda row: (row[1].accuracy.low, row[1].accuracy.high), 3
            ),
            col.p("p (Holm)", lambda row: row[2]),
            col.number("Longer", lambda row: row[1].longer, 3),
            col.number("Margin", lambda row: row[1].margin, 3),
            col.count("Ties", lambda row: row[1].ties),
        ),
        rows=rows,
        frame=pd.DataFrame(frame),
        folded=len(rows) > 12,
        sortable=True,
    )


def _across_table(found: Sequence[PreferenceRun], prefix: str) -> Table:
    def beyond(one: PreferenceRun) -> Record:
        return next(r for r in one.records if r.metric == "accuracy_beyond_length")

    return col.table(
        id=f"{prefix}-models",
        title="Accuracy of each model",
        note="Interval: by prompt where prompts repeat, else Wilson's. Longer: always "
        "preferring the longer answer; the last two columns are the difference.",
        columns=(
            col.text("Model", lambda one: one.label),
            col.count("n", lambda one: one.overall.n),
            col.number("Accuracy", lambda one: one.overall.accuracy.estimate, 3),
            col.interval(col.BOUNDS, lambda one: _interval(one.overall), 3),
            col.number("Longer", lambda one: one.overall.longer, 3),
            *col.estimate("Beyond length", beyond, 3),
        ),
        rows=found,
        frame=pd.DataFrame(
            [
                {
                    "model": one.label,
                    "n": one.overall.n,
                    "accuracy": one.overall.accuracy.estimate,
                    "length_only": one.overall.longer,
                    "beyond_length": one.beyond_length.estimate,
                }
                for one in found
            ]
        ),
        sortable=True,
    )


METHOD = (
    Paragraph(
        head="Accuracy on preference pairs",
        text="The share of pairs whose chosen answer scores higher than the rejected "
        "one, ties counting one half, with Wilson's interval; where several pairs "
        "share a prompt, the headline interval is a bootstrap of prompts "
        f"({DRAWS:,} draws) and the test is clustered. In a user's own file, near "
        "duplicates are one cluster too: pairs whose text is alike by Jaccard's "
        f"measure of {TEMPLATE} (three words in a row; found by MinHash) once numbers "
        f"and capitalised words are masked, and of {TEMPLATE_WORDS} other words or "
        "more. All pairs are held against one "
        "half, adjusted by Holm over models, and groups are, over models and groups. "
        "Always preferring the longer answer is the yardstick; the difference is "
        "paired, tested by McNemar's test (clustered where there are near duplicates), "
        "and adjusted by Holm over models.",
    ),
)

CAVEATS = (
    "Accuracy on preference pairs measures agreement with whoever labelled them, not "
    "quality; a policy's log-probability is not trained to rank answers at all.",
)
