"""Models side by side on the same texts in several dialects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import columns as col
from analysis import figures
from analysis.dialects_pairs_analysis import PairAnalysis, PairRun, strongest
from analysis.dialects_pairs_words import dialects_text, name_of, names_of
from analysis.drawing import Scale
from analysis.html import (
    Figure,
    Finding,
    Table,
    number,
)
from analysis.records import ALPHA, Record


def across_findings(analysis: PairAnalysis) -> tuple[Finding, ...]:
    """What several runs have in common."""
    runs = analysis.runs
    if len(runs) < 2:
        return ()
    counted: dict[str, tuple[int, int, int]] = {}
    sizes: dict[str, list[float]] = {}
    for run in runs:
        lower, higher, neither = run.sides(run.headline)
        for place, dialects in enumerate((lower, higher, neither)):
            for dialect in dialects:
                seen = list(counted.get(dialect, (0, 0, 0)))
                seen[place] += 1
                counted[dialect] = (seen[0], seen[1], seen[2])
                found = run.of(run.headline, "cohens_d_z", dialect)
                value = math.nan if found is None else found.estimate
                sizes.setdefault(dialect, []).append(
                    math.nan if value is None else value
                )
    if not counted:
        return ()
    every = [d for d, seen in counted.items() if seen[0] == len(runs)]
    ref = name_of(runs[0].table.reference)
    all_of = "Both" if len(runs) == 2 else f"All {len(runs)}"
    claim = (
        f"{all_of} models score {names_of(every)} lower than {ref}."
        if every
        else f"No dialect is shown to score lower than {ref} with all {len(runs)} "
        "models."
    )
    listed = [
        f"{name_of(dialect)} lower in {seen[0]}, higher in {seen[1]}, neither shown in "
        f"{seen[2]} (d_z {_span(sizes[dialect])})"
        for dialect, seen in counted.items()
    ]
    return (
        Finding(
            claim=claim,
            evidence=(
                f"{dialects_text(len(counted))}, t-tests below {100 * ALPHA:.0f}% "
                f"after Holm over models and dialects: {'; '.join(listed)}.",
            ),
            certainty="supported" if every else "not shown",
        ),
    )


def _span(values: Sequence[float]) -> str:
    known = sorted(value for value in values if math.isfinite(value))
    if not known:
        return "not computed"
    low, high = number(known[0]), number(known[-1])
    return low if low == high else f"{low} to {high}"


def _worst(run: PairRun) -> Record | None:
    """The largest drop of accuracy; None: there is none."""
    drops = [
        record
        for dialect in run.table.dialects
        if (record := run.about_accuracy("accuracy_drop", dialect)) is not None
        and record.estimate is not None
    ]
    return max(drops, key=lambda one: one.estimate or 0.0, default=None)


def _dialect(record: Record | None) -> str | None:
    return name_of(record.group or "") if record else None


def across_table(runs: Sequence[PairRun], prefix: str) -> Table:
    """The models side by side."""
    titles = list(dict.fromkeys(run.headline.title.lower() for run in runs))
    return col.table(
        id=f"{prefix}-models",
        title="The models side by side",
        note=f"Lower and higher: dialects shown to score so against the reference "
        f"({' / '.join(titles)}), after Holm over models and dialects. Largest d_z and "
        "largest drop of accuracy are picked from several, and so look larger than "
        "they are.",
        columns=[
            col.text("Model", lambda run: run.label),
            col.count("Rows", lambda run: len(run.table.rows)),
            col.count("Lower", lambda run: len(run.sides(run.headline)[0])),
            col.count("Higher", lambda run: len(run.sides(run.headline)[1])),
            col.text("Largest d_z", lambda run: _dialect(strongest(run))),
            *col.estimate("d_z", strongest),
            col.value(
                "Accuracy, reference",
                lambda run: run.about_accuracy("accuracy", run.table.reference),
                3,
            ),
            col.text("Largest drop", lambda run: _dialect(_worst(run))),
            *col.estimate("Drop", _worst, 3),
            col.holm("p (Holm)", _worst),
        ],
        rows=runs,
        frame=[
            record
            for run in runs
            for record in run.records
            if record.metric in ("cohens_d_z", "accuracy", "accuracy_drop")
        ],
        sortable=True,
    )


def heat_figure(runs: Sequence[PairRun], prefix: str) -> Figure | None:
    """Dialects x models: d_z of each run's headline setting; None: nothing compared."""
    effects = {
        run.label: {
            name_of(dialect): record.estimate
            for dialect in run.compared(run.headline)
            if (record := run.of(run.headline, "cohens_d_z", dialect)) is not None
        }
        for run in runs
    }
    if not any(effects.values()):
        return None
    frame = pd.DataFrame(effects, dtype=np.float64)
    frame = frame.loc[frame.mean(axis=1).sort_values(ascending=False).index]
    known = frame.abs().to_numpy()
    reach = float(np.nanmax(known)) if np.isfinite(known).any() else 1.0
    cells = figures.cells_of(frame)
    titles = list(dict.fromkeys(run.headline.title for run in runs))
    return Figure(
        id=f"{prefix}-heat",
        title="Dialects by model",
        caption=f"d_z ({' / '.join(titles)[0].lower()}{' / '.join(titles)[1:]}): above "
        "zero (orange) the reference is preferred, below (blue) the dialect. It is "
        "free of the models' units. Which of them are shown stands in each model's own "
        "part.",
        alt="Heat map of dialects by models; the numbers are in the tables.",
        panels=(
            figures.heatmap(
                cells,
                name=f"{prefix}-heat-d",
                scale=Scale(
                    low=-max(reach, 1e-9),
                    middle=0.0,
                    high=max(reach, 1e-9),
                    words=("dialect preferred", "reference preferred"),
                ),
                digits=2,
            ),
        ),
    )
