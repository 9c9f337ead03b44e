"""Tables of what was compared: sweeps and probes, and every checkpoint."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.doseresponse_runs import DoseAnalysis
from analysis.doseresponse_sweep import STAGES, Checkpoint
from analysis.doseresponse_words import shares_words
from analysis.html import Cell, Table, number, number_cell, text_cell
from analysis.stages_words import FEW_GROUPS
from analysis.wording import percent

SAME_SHARE = 0.005
"""Up to so much a drawn share is the one that was asked for."""


def overview_table(found: DoseAnalysis) -> Table:
    """A row per sweep and probe: what was compared."""
    rows, frame = [], []
    for part in found.parts:
        sweep, first = part.sweep, part.measures[0]
        count = len(part.runs)
        seeds = {one.training.seed for one in first.dosed.checkpoints}
        units = len(np.unique(first.aligned.unit))
        rows.append(
            (
                text_cell(sweep.title),
                text_cell(part.runs[0].probe),
                text_cell(shares_words(sweep)),
                number_cell(len(seeds), 0),
                number_cell(count, 0),
                number_cell(units, 0),
                number_cell(len(first.groups), 0),
            )
        )
        frame.append(
            {
                "sweep": sweep.name,
                "stage": sweep.stage,
                "probe": part.runs[0].probe,
                "arms": " ".join(sweep.arms),
                "seeds": len(seeds),
                "checkpoints": count,
                "units": units,
                "groups": len(first.groups),
                "base": sweep.base,
            }
        )
    return Table(
        id="runs",
        title="What was compared",
        note="Compared: questions, games or pairs that all checkpoints have scored.",
        header=(
            "Sweep",
            "Probe",
            "Shares",
            "Seeds",
            "Checkpoints",
            "Compared",
            "Groups",
        ),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
    )


def checkpoint_table(found: DoseAnalysis) -> Table:
    """A row per checkpoint: arm, share, seed, stage, rows, tokens."""
    rows, frame = [], []
    for sweep in found.sweeps:
        for one in sweep.checkpoints:
            training = one.training
            probes = [run.probe for run in found.runs if run.model == one.model]
            rows.append(
                (
                    text_cell(one.model),
                    text_cell(sweep.name),
                    text_cell(STAGES.get(sweep.stage, sweep.stage)),
                    text_cell(training.arm),
                    share_cell(one),
                    number_cell(training.seed, 0),
                    number_cell(training.rows, 0),
                    number_cell(training.tokens, 0),
                    number_cell(len(probes), 0),
                )
            )
            frame.append(
                {
                    "model": one.model,
                    "sweep": sweep.name,
                    "stage": sweep.stage,
                    "scored_as": training.kind,
                    "arm": training.arm,
                    "placebo": training.placebo,
                    "share": one.share,
                    "drawn_share": training.drawn_share,
                    "seed": training.seed,
                    "base": training.base,
                    "mix": training.mix,
                    "rows": training.rows,
                    "dropped": training.dropped,
                    "tokens": training.tokens,
                    "attribute": training.attribute,
                    "probes": " ".join(probes),
                }
            )
    return Table(
        id="checkpoints",
        title="Checkpoints",
        note="Share: of the training rows, with the attribute, as asked for; slopes "
        "are on the share that was drawn, which stands beside it where it is another. "
        "A seed fixes which rows "
        "are drawn and how training starts, and is used at every share. Tokens: read "
        "in training, all epochs together.",
        header=(
            "Checkpoint",
            "Sweep",
            "Stage",
            "Arm",
            "Share",
            "Seed",
            "Rows",
            "Tokens",
            "Probes",
        ),
        rows=tuple(rows),
        frame=pd.DataFrame(frame),
        folded=len(rows) > 2 * FEW_GROUPS,
        sortable=True,
    )


def share_cell(one: Checkpoint) -> Cell:
    """The share in percent, and the drawn one where it is another; sorts by that."""
    text = percent(one.share)
    if abs(one.dose - one.share) > SAME_SHARE:
        text += f" (drawn {number(100 * one.dose, 1)}%)"
    return Cell(text=text, sort=one.dose, numeric=True)
