"""Learning curves as a section of a report: curves, their ends, and who is first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from analysis import prose
from analysis.html import (
    Block,
    Certainty,
    Finding,
    Page,
    Section,
    interval,
    join_words,
    number,
    slugs,
)
from analysis.learning import ALL, MIN_KEYS, GroupCurve, Learning
from analysis.learning_figures import accuracy_figure, margin_figure, training_words
from analysis.learning_tables import bounds_text, ends_table, trainings_table
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
        blocks.append(accuracy_figure(here, f"{id}-{name}"))
        blocks.append(margin_figure(here, f"{id}-{name}"))
        blocks.append(ends_table(here, f"{id}-{name}"))
    return Section(
        id=id,
        title="Learning curves",
        lead="How often the chosen answer of pairs that were held out of training "
        "scores above the rejected one (accuracy), and by how much (margin), step by "
        "step.",
        findings=tuple(
            finding
            for one in curves
            if one.column != ALL and len(one.groups) > 1
            for finding in (order_finding(one, orders),)
        ),
        blocks=tuple(blocks),
        method=prose.method("learning", keys=MIN_KEYS),
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
        subtitle="Accuracy and margin on held-out pairs in training.",
        overview=trainings_table(curves),
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


def order_finding(one: Learning, orders: int) -> Finding:
    """Which group reaches half of its gain before which other one.

    Args:
        one: A stage, arm and share.
        orders: That could have been told, on the whole page.
    """
    earlier = one.earlier(orders)
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
            f"{where}: half of the gain is reached {each}, and beyond chance over "
            f"prompts, {join_words(named)}."
        )
        certainty = "supported" if one.sure(orders) else "uncertain"
    elif len(told) > 1:
        claim = (
            f"{where}: no group is shown to be before another, as none is so in every "
            "seed and beyond chance over prompts."
        )
    else:
        gaining = [group.group for group in one.groups if group.halves]
        why = (
            "no group is shown to gain"
            if not gaining
            else f"only {gaining[0]} is shown to gain"
            if len(gaining) == 1
            else f"fewer than two groups that gain have {MIN_KEYS} prompts"
        )
        claim = f"{where}: nothing can be said of who is learned first, as {why}."
    notes = []
    if certainty == "uncertain":
        notes.append(
            f"{count_of(seeds, 'seed')}: that so many agree on one of "
            f"{count_of(orders, 'order')} of two groups that this page could tell is "
            "too likely by chance for it to count as shown."
        )
    small = [group.group for group in one.groups if group.n_keys < MIN_KEYS]
    if small:
        notes.append(
            f"Fewer than {MIN_KEYS} prompts, and in no order: {join_words(small)}."
        )
    return Finding(
        claim=claim,
        evidence=(*map(_evidence, one.groups[:6]), *notes),
        certainty=certainty,
    )


def _evidence(one: GroupCurve) -> str:
    text = (
        f"{one.group}: {percent(one.start)} at step 0, {percent(one.final.estimate)} "
        f"after training (95% {bounds_text(one.final, 100, 0)}%), "
        f"{count_of(one.n, 'pair')} of {count_of(one.n_keys, 'prompt')}"
    )
    if one.halves:
        seeds = f"; {_over_seeds(one)} over seeds" if len(one.halves) > 1 else ""
        at = (
            f"{number(one.half.estimate, 0)} (95% {bounds_text(one.half, 1, 0)}{seeds})"
        )
        return f"{text}; half of the gain at step {at}."
    return f"{text}; no gain shown."


def _over_seeds(one: GroupCurve) -> str:
    return interval(min(one.halves), max(one.halves), 0)
