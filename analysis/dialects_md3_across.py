"""Several runs of MD3 side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from analysis import columns as col
from analysis.dialects_md3_analysis import GamesRun, OutcomeResult
from analysis.dialects_md3_data import CHOICE, GUESS
from analysis.dialects_md3_findings import Standing, standing
from analysis.dialects_md3_words import HELD, SHARED, dialect_name, outcome_name
from analysis.html import (
    Cell,
    Finding,
    Table,
    interval,
    join_words,
    number_cell,
    text_cell,
    with_interval,
)
from analysis.records import Record
from analysis.wording import hundred, p_of, percent, points


def across_table(runs: Sequence[GamesRun], prefix: str) -> Table:
    """A row per model and outcome: games won in each dialect, and the largest gap."""
    dialects = list(dict.fromkeys(d for run in runs for d in run.games.dialects))
    rows = [(run, one) for run in runs for one in run.outcomes]

    def share(dialect: str) -> Callable[[tuple[GamesRun, OutcomeResult]], Cell]:
        return lambda row: _share_cell(
            next((r.accuracy for r in row[1].dialects if r.dialect == dialect), None)
        )

    return col.table(
        id=f"{prefix}-across",
        title="The models side by side",
        note="Games won in each dialect, %, with 95% intervals (Wilson, of the "
        "effective number of games by answer). Largest difference from the reference "
        "dialect in points, and the smallest p of its outcome, Holm's over models and "
        "dialects.",
        columns=[
            col.text("Model", lambda row: row[0].label),
            col.text("Outcome", lambda row: outcome_name(row[0], row[1].outcome.key)),
            col.count(
                "Games", lambda row: sum(one.accuracy.n for one in row[1].dialects)
            ),
            *((dialect_name(name), share(name)) for name in dialects),
            ("Largest difference", lambda row: _largest(row[1])),
            col.p("Smallest p (Holm)", lambda row: _smallest_p(row[1])),
        ],
        rows=rows,
        frame=[
            record
            for _, one in rows
            for record in (
                *(result.accuracy for result in one.dialects),
                *(gap.raw for gap in one.gaps),
            )
        ],
        sortable=True,
    )


def _share_cell(record: Record | None) -> Cell:
    if record is None or record.estimate is None:
        return number_cell(None)
    return with_interval(
        Cell(text=percent(record.estimate), sort=record.estimate, numeric=True),
        interval(hundred(record.ci_low), hundred(record.ci_high), 0),
    )


def _largest(one: OutcomeResult) -> Cell:
    gap = max(one.gaps, key=lambda gap: abs(gap.raw.estimate or 0.0))
    if gap.raw.estimate is None:
        return text_cell(None)
    text = f"{points(gap.raw.estimate)} ({dialect_name(gap.dialect)})"
    return Cell(text=text, sort=gap.raw.estimate)


def _smallest_p(one: OutcomeResult) -> float | None:
    known = [p for gap in one.gaps if (p := p_of(gap.raw)) is not None]
    return min(known, default=None)


def across_findings(runs: Sequence[GamesRun]) -> tuple[Finding, ...]:
    """In how many models each dialect falls behind; none for one run."""
    if len(runs) < 2:
        return ()
    found = (_across_finding(runs, key) for key in (GUESS, CHOICE))
    return tuple(one for one in found if one is not None)


def _across_finding(runs: Sequence[GamesRun], key: str) -> Finding | None:
    """One outcome over models; None: fewer than two have it."""
    standings: dict[str, dict[str, Standing]] = {}
    models = []
    for run in runs:
        for one in run.outcomes:
            if one.outcome.key != key:
                continue
            models.append(run.label)
            for gap in one.gaps:
                pair = (
                    f"{dialect_name(gap.dialect)} than in "
                    f"{dialect_name(run.games.reference)}"
                )
                standings.setdefault(pair, {})[run.label] = standing(gap)
    if len(models) < 2:
        return None
    every = [one for by_model in standings.values() for one in by_model.values()]
    behind = {
        name
        for by_model in standings.values()
        for name, (side, _) in by_model.items()
        if side < 0
    }
    held = any(side < 0 and not lost for side, lost in every)
    references = list(dict.fromkeys(dialect_name(r.games.reference) for r in runs))
    reference = references[0] if len(references) == 1 else "its reference"
    word = "is guessed" if key == GUESS else "is picked out"
    less = f"less often in games in some dialect than in {reference}"
    return Finding(
        claim=f"The secret word {word} {less} by {len(behind)} of {len(models)} models."
        if behind
        else f"That the secret word {word} {less} is shown for none of {len(models)} "
        "models.",
        evidence=tuple(
            _across_text(pair, by_model) for pair, by_model in standings.items()
        ),
        certainty="supported" if held else "uncertain" if behind else "not shown",
    )


def _across_text(pair: str, by_model: Mapping[str, Standing]) -> str:
    """Which models win less often in a dialect, and which more often."""
    behind = [name for name, (side, _) in by_model.items() if side < 0]
    held = [name for name, (side, lost) in by_model.items() if side < 0 and not lost]
    ahead = [name for name, (side, _) in by_model.items() if side > 0]
    text = f"Less often in {pair}: {join_words(behind) or 'none'}"
    if behind:
        text += f" (also {HELD} and {SHARED}: {join_words(held) or 'none'})"
    if ahead:
        text += f"; more often: {join_words(ahead)}"
    return f"{text}."
