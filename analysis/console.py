"""Results as rows of text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.correlate import PollResult
from analysis.countries_axis import RunAnalysis
from analysis.records import Record
from analysis.views import WorldViews
from analysis.views_finding import difference_words, view_finding
from analysis.wording import public_title

ENDS = 3
"""Publics listed at each end."""


def poll_table(polls: Sequence[PollResult]) -> list[tuple[str, ...]]:
    """One line a poll: the headline beside what qualifies it, with a header."""
    header = (
        *("  poll", "n", "rho", "generalisation", "precision", "p (Holm)"),
        *("positive", "negative", "length only"),
    )
    lines: list[tuple[str, ...]] = [header]
    for poll in polls:
        by_metric = {record.metric: record for record in poll.valence}
        qualifiers = (
            by_metric.get("spearman_order_positive"),
            by_metric.get("spearman_order_negative"),
            poll.length_baseline,
        )
        holm = poll.headline.p_holm
        lines.append(
            (
                f"  {poll.poll.name}",
                str(poll.n),
                *estimate_text(poll.headline),
                estimate_text(poll.precision)[1].replace("[", "(").replace("]", ")"),
                "-" if holm is None else f"{holm:.2g}",
                *(estimate_text(record)[0] for record in qualifiers),
            )
        )
    return lines


def view_table(views: WorldViews) -> list[tuple[str, ...]]:
    """The publics at both ends and those that pass Holm, one line each, with a header.

    A row of dots stands for the publics between.
    """
    known = [view for view in views.counted if view.headline.estimate is not None]
    header = ("  public", "n", "rho", "generalisation", "p (Holm)", "less reference")
    lines: list[tuple[str, ...]] = [header]
    skipped = False
    for i, view in enumerate(known):
        if not (i < ENDS or i >= len(known) - ENDS or view.passes):
            skipped = True
            continue
        if skipped:
            lines.append(("  ...", *[""] * 5))
            skipped = False
        holm = view.headline.p_holm
        lines.append(
            (
                f"  {public_title(view.public)}",
                str(view.headline.n),
                *estimate_text(view.headline),
                "-" if holm is None else f"{holm:.2g}",
                "-"
                if view.difference is None or view.difference.estimate is None
                else " ".join(estimate_text(view.difference)),
            )
        )
    return lines


def view_summary(run: RunAnalysis) -> list[str]:
    """How many publics pass Holm, and what of their order is resolved."""
    found = view_finding(run)
    if found is None:
        return []
    return [f"  {text}" for text in (found.claim, difference_words(run.views))]


def estimate_text(record: Record | None) -> tuple[str, str]:
    """An estimate and its interval; a dash where there is none."""
    if record is None or record.estimate is None:
        return "-", "-"
    if record.ci_low is None or record.ci_high is None:
        return f"{record.estimate:+.4f}", "-"
    return f"{record.estimate:+.4f}", f"[{record.ci_low:+.2f}, {record.ci_high:+.2f}]"
