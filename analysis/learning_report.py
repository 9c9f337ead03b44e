"""Learning curves as a section of a report: curves, their ends, and who is first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.html import (
    DASH,
    Block,
    Cell,
    Certainty,
    Finding,
    Page,
    Paragraph,
    Section,
    Table,
    interval,
    join_words,
    number,
    number_cell,
    slugs,
    text_cell,
)
from analysis.learning import ALL, MIN_PAIRS, GroupCurve, Learning
from analysis.learning_figures import curve_figure, training_words
from analysis.report import DOWNLOADS, Report, write_page, written_by
from analysis.wording import count_of, percent

MOST_ORDERS = 4
"""Orders of two groups that a finding names."""


def learning_section(curves: Sequence[Learning], id: str = "learning") -> Section:
    """Curves of every column and arm, with what they show.

    Args:
        curves: From `learning.read_curves`, at least one.
        id: Of the section; prefix of the ids and files below it.
    """
    columns = list(dict.fromkeys(one.column for one in curves))
    orders = sum(one.orders for one in curves)
    blocks: list[Block] = []
    for column, name in zip(columns, slugs(columns), strict=True):
        here = [one for one in curves if one.column == column]
        blocks.append(curve_figure(here, f"{id}-{name}"))
        blocks.append(_table(here, f"{id}-{name}"))
    return Section(
        id=id,
        title="Learning curves",
        lead="How often the chosen answer of pairs that were held out of training "
        "scores above the rejected one, step by step.",
        findings=tuple(
            finding
            for one in curves
            if one.column != ALL and len(one.groups) > 1
            for finding in (order_finding(one, orders),)
        ),
        blocks=tuple(blocks),
        method=(METHOD,),
    )


def write_learning(curves: Sequence[Learning], out: Path) -> Report:
    """Writes a page of learning curves alone, such as of a training without shares.

    Args:
        curves: From `learning.read_curves`.
        out: Folder to write; files of an earlier report there are replaced.

    Raises:
        StoreError: `out` cannot be written.
    """
    section = learning_section(curves)
    page = Page(
        title="What is learned first",
        subtitle="Accuracy on held-out pairs in training.",
        overview=_overview(curves),
        warnings=(),
        notes=(),
        findings=section.findings,
        sections=(dataclasses.replace(section, findings=()),),
        method=section.method,
        caveats=(
            "Held-out pairs are of the mix that was trained on: nothing is said of "
            "other data, nor of another base.",
        ),
        provenance=(),
        generated=written_by(),
        kind="learning curves",
        downloads=DOWNLOADS,
    )
    records = [record for one in curves for record in one.records]
    return write_page(page, records, out)


def _overview(curves: Sequence[Learning]) -> Table:
    rows, frame = [], []
    for one in curves:
        seeds = max(len(group.seeds) for group in one.groups)
        steps = max(float(seed.steps[-1]) for g in one.groups for seed in g.seeds)
        rows.append(
            (
                text_cell(training_words(one)),
                text_cell(one.column),
                number_cell(seeds, 0),
                number_cell(steps, 0),
                number_cell(len(one.groups), 0),
            )
        )
        frame.append(
            {
                "training": one.key,
                "column": one.column,
                "seeds": seeds,
                "last_step": steps,
                "groups": len(one.groups),
            }
        )
    return Table(
        id="curves",
        title="Trainings",
        note="",
        header=("Training", "Pairs by", "Seeds", "Last step", "Groups"),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
    )


def order_finding(one: Learning, orders: int) -> Finding:
    """Which group reaches half of its gain before which other one.

    Args:
        one: A stage, arm and share.
        orders: That could have been told, on the whole page.
    """
    earlier = one.earlier
    certainty: Certainty = "not shown"
    seeds = min(len(group.seeds) for group in one.groups)
    where = f"{training_words(one)}, by {one.column}"
    told = [group.group for group in one.comparable]
    if earlier:
        named = [f"{first} before {second}" for first, second in earlier[:MOST_ORDERS]]
        more = len(earlier) - len(named)
        if more:
            named.append(f"{more} more orders")
        each = f"in each of {seeds} seeds" if seeds > 1 else "in the one seed there is"
        claim = (
            f"{where}: of these held-out pairs, half of the gain is reached {each} "
            f"{join_words(named)}."
        )
        certainty = "supported" if one.sure(orders) else "uncertain"
    elif len(told) > 1:
        claim = f"{where}: of these held-out pairs, no group is first in every seed."
    else:
        gaining = [group.group for group in one.groups if group.halves]
        why = (
            "no group is shown to gain"
            if not gaining
            else f"only {gaining[0]} is shown to gain"
            if len(gaining) == 1
            else f"fewer than two groups that gain have {MIN_PAIRS} pairs"
        )
        claim = f"{where}: nothing can be said of who is learned first, as {why}."
    notes = []
    if certainty == "uncertain":
        notes.append(
            f"{count_of(seeds, 'seed')}: that so many agree on one of "
            f"{count_of(orders, 'order')} of two groups that this page could tell is "
            "too likely by chance for it to count as shown."
        )
    small = [group.group for group in one.groups if group.n < MIN_PAIRS]
    if small:
        notes.append(
            f"Fewer than {MIN_PAIRS} pairs, and in no order: {join_words(small)}."
        )
    return Finding(
        claim=claim,
        evidence=(*map(_evidence, one.groups[:6]), *notes),
        certainty=certainty,
    )


def _evidence(one: GroupCurve) -> str:
    text = (
        f"{one.group}: {percent(one.start)} at step 0, {percent(one.final.estimate)} "
        f"after training (95% {_interval(one)}%), n\u00a0=\u00a0{number(one.n, 0)}"
    )
    if one.halves:
        return f"{text}; half of the gain at step {_halves(one)}."
    return f"{text}; no gain shown."


def _interval(one: GroupCurve, digits: int = 0) -> str:
    return interval(100 * one.final.low, 100 * one.final.high, digits)


def _halves(one: GroupCurve) -> str:
    """``120 (95 to 140 over seeds)``."""
    if not one.halves:
        return DASH
    middle = number(float(np.mean(one.halves)), 0)
    if len(one.halves) == 1:
        return middle
    return f"{middle} ({interval(min(one.halves), max(one.halves), 0)} over seeds)"


def _table(curves: Sequence[Learning], prefix: str) -> Table:
    rows, frame = [], []
    for one in curves:
        for group in one.groups:
            low, high = group.finals
            rows.append(
                (
                    text_cell(group.group),
                    text_cell(training_words(one)),
                    number_cell(group.n, 0),
                    number_cell(len(group.seeds), 0),
                    number_cell(100 * group.start, 1),
                    Cell(
                        text=f"{number(100 * group.final.estimate, 1)} ("
                        f"{_interval(group, 1)})",
                        sort=group.final.estimate,
                        numeric=True,
                    ),
                    text_cell(interval(100 * low, 100 * high, 1)),
                    number_cell(group.margin, 3),
                    Cell(
                        text=_halves(group),
                        sort=float(np.mean(group.halves)) if group.halves else math.inf,
                        numeric=True,
                    ),
                )
            )
            frame += [
                {
                    "stage": one.stage,
                    "arm": one.arm,
                    "share": one.share,
                    "column": one.column,
                    "group": group.group,
                    "n": group.n,
                    "seed": seed.seed,
                    "start": seed.accuracy[0],
                    "final": seed.accuracy[-1],
                    "half_gain_step": seed.half,
                    "gain": group.gain.estimate,
                    "gain_low": group.gain.low,
                    "gain_high": group.gain.high,
                    "gain_shown": group.gains,
                }
                for seed in group.seeds
            ]
    column = curves[0].column
    return Table(
        id=f"{prefix}-ends",
        title="What was learned, and when"
        + ("" if column == ALL else f", by {column}"),
        note="Accuracy in %, with Wilson's 95% interval of n pairs; over seeds: the "
        "lowest and the highest. Half of the gain: the step at which the accuracy was "
        "half way from step 0 to the end, in groups that are shown to gain. The csv "
        "file has every seed, and the gain over all with its interval.",
        header=(
            "Group",
            "Training",
            "Pairs",
            "Seeds",
            "Step 0",
            "After training",
            "Over seeds",
            "Margin",
            "Half of the gain at",
        ),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
        folded=len(rows) > 24,
        sortable=True,
    )


METHOD = Paragraph(
    head="Learning curves",
    text="Held-out pairs are scored at fixed steps of the training. The interval of a "
    "final accuracy covers other pairs of this kind and no other training. A gain is "
    "shown where the 95% interval of the final less the first accuracy lies above "
    "zero: the first is one half before DPO, whatever the pairs are; else the two are "
    "taken as independent shares (Newcombe), though they are of the same pairs, which "
    "is conservative as long as pairs that were right tend to stay so. The step of "
    "half the gain has no interval but its range over seeds. That one group is learned "
    "before another is said of these held-out pairs, where it is so in every seed and "
    f"both groups have {MIN_PAIRS} pairs or more; it counts as shown where as many "
    "seeds agree by chance, on any order of two groups that the page could tell, in "
    "fewer than one case of twenty.",
)
