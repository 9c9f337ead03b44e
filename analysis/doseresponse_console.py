"""Sweeps as rows of text for a terminal."""

from __future__ import annotations

from analysis.doseresponse import DoseMeasure, Estimate
from analysis.doseresponse_findings import (
    bent,
    drawn_lines,
    from_to,
    line_name,
    picked,
    unequal_words,
)
from analysis.doseresponse_runs import SweepProbe
from analysis.html import join_words
from analysis.stages_console import Rows, not_in_rows, plain, tested
from analysis.stages_words import (
    gap_text,
    group_name,
    level_text,
    measure_title,
    side_of,
)
from analysis.wording import percent

CLOSING = (
    "slopes per 100 points of the share with 95% intervals over other trainings and "
    "items, those of shares in points; with fewer than five seeds they take the "
    "slopes of all seeds as equal; p is Holm's over groups and treatments of a "
    "measure, of the mean over treatments; `seen`: the smallest slope that could have "
    "been found, uncorrected; --json has every record"
)
"""What must be known of the tables."""


def sweep_tables(part: SweepProbe) -> list[tuple[str, Rows, str]]:
    """Per measure a heading, a row for each group and arm, and what is left.

    Of many groups only the reference and those that figures draw have a row.
    """
    sweep = part.sweep
    shares = sorted({one.share for one in sweep.checkpoints})
    seeds = {one.training.seed for one in sweep.checkpoints}
    found = []
    for measure in part.measures:
        heading = (
            f"{part.runs[0].probe}  {sweep.title} "
            f"({len(sweep.checkpoints)} checkpoints, shares "
            f"{join_words([percent(share) for share in shares])}, {len(seeds)} seeds)\n"
            f"{measure_title(measure)}, {from_to(sweep)}"
        )
        found.append((heading, _rows(measure), _below(measure)))
    return found


def _rows(measure: DoseMeasure) -> Rows:
    reference, base = measure.aligned.reference, measure.dosed.base
    header = [f"  {measure.aligned.outcome.grouping}", "arm"]
    header += [] if base is None else ["base"]
    header += ["slope", "p (Holm)", "seen"]
    if reference is not None:
        header += [f"less {group_name(measure, reference)}", "p (Holm)"]
    for placebo in measure.placebos:
        header += [f"less {placebo}", "p (Holm)"]
    rows: Rows = [tuple(header)]
    for one in drawn_lines(measure):
        level = measure.base(one)
        for place, arm in enumerate(measure.arms):
            found = one.of(arm)
            controlled = {
                each.placebo: each.estimate
                for each in one.controlled
                if each.arm == arm
            }
            rows.append(
                (
                    f"  {line_name(measure, one)}" if place == 0 else "",
                    arm,
                    *(
                        ()
                        if base is None
                        else (level_text(measure, level) if place == 0 else "",)
                    ),
                    *_tested(measure, found.slope),
                    _seen(measure, found.slope),
                    *(() if reference is None else _tested(measure, found.beyond)),
                    *(
                        cell
                        for placebo in measure.placebos
                        for cell in _tested(measure, controlled.get(placebo))
                    ),
                )
            )
    for place, gap in enumerate(measure.gaps):
        row = [
            "  highest less lowest" if place == 0 else "",
            gap.arm,
            *([] if base is None else [""]),
            *_tested(measure, gap.estimate),
            _seen(measure, gap.estimate),
        ]
        rows.append((*row, *[""] * (len(header) - len(row))))
    return [tuple(plain(cell) for cell in row) for row in rows]


def _seen(measure: DoseMeasure, estimate: Estimate) -> str:
    found = estimate.detectable
    return "-" if found is None else gap_text(measure, found.estimate)


def _tested(measure: DoseMeasure, estimate: Estimate | None) -> tuple[str, str]:
    return tested(measure, None if estimate is None else estimate.record)


def _below(measure: DoseMeasure) -> str:
    """What stands below the rows: what is not in them, and where a line is bad."""
    lines = not_in_rows(measure, len(picked(measure)), "have smaller slopes")
    for arm in measure.treatments:
        said: list[str] = []
        for some in (measure.means, measure.groups):
            slopes = [(one, one.of(arm).slope) for one in some]
            pairs = [pair for pair in slopes if side_of(pair[1].record)]
            said += unequal_words(measure, pairs)
        said += bent(measure, arm)
        lines += [f"  {arm}: {plain(one)}" for one in said]
    return "\n".join(lines)
