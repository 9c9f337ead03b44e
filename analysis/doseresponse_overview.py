"""Tables of what was compared: sweeps and probes, and every checkpoint."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import columns as col
from analysis.doseresponse_runs import DoseAnalysis
from analysis.doseresponse_sweep import STAGES, Checkpoint
from analysis.doseresponse_words import shares_words
from analysis.html import Cell, Table, number
from analysis.stages_words import FEW_GROUPS
from analysis.wording import percent

SAME_SHARE = 0.005
"""Up to so much a drawn share is the one that was asked for."""


def overview_table(found: DoseAnalysis) -> Table:
    """A row per sweep and probe: what was compared."""
    frame = [
        {
            "sweep": part.sweep.name,
            "stage": part.sweep.stage,
            "probe": part.runs[0].probe,
            "arms": " ".join(part.sweep.arms),
            "seeds": len({one.training.seed for one in first.dosed.checkpoints}),
            "checkpoints": len(part.runs),
            "units": len(np.unique(first.aligned.unit)),
            "groups": len(first.groups),
            "base": part.sweep.base,
        }
        for part in found.parts
        for first in part.measures[:1]
    ]
    return col.table(
        id="runs",
        title="What was compared",
        note="Compared: questions, games or pairs that all checkpoints have scored.",
        columns=[
            col.text("Sweep", lambda row: row[0].sweep.title),
            col.text("Probe", lambda row: row[1]["probe"]),
            col.text("Shares", lambda row: shares_words(row[0].sweep)),
            col.count("Seeds", lambda row: row[1]["seeds"]),
            col.count("Checkpoints", lambda row: row[1]["checkpoints"]),
            col.count("Compared", lambda row: row[1]["units"]),
            col.count("Groups", lambda row: row[1]["groups"]),
        ],
        rows=zip(found.parts, frame, strict=True),
        frame=pd.DataFrame(frame),
    )


def checkpoint_table(found: DoseAnalysis) -> Table:
    """A row per checkpoint: arm, share, seed, stage, rows, tokens."""
    every = [one for sweep in found.sweeps for one in sweep.checkpoints]
    frame = [
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
            "probes": " ".join(
                run.probe for run in found.runs if run.model == one.model
            ),
        }
        for sweep in found.sweeps
        for one in sweep.checkpoints
        for training in (one.training,)
    ]
    return col.table(
        id="checkpoints",
        title="Checkpoints",
        note="Share: of the training rows, with the attribute, as asked for; slopes "
        "are on the share that was drawn, which stands beside it where it is another. "
        "A seed fixes which rows "
        "are drawn and how training starts, and is used at every share. Tokens: read "
        "in training, all epochs together.",
        columns=[
            col.text("Checkpoint", lambda row: row[0].model),
            col.text("Sweep", lambda row: row[1]["sweep"]),
            col.text("Stage", lambda row: STAGES.get(row[1]["stage"], row[1]["stage"])),
            col.text("Arm", lambda row: row[1]["arm"]),
            ("Share", lambda row: share_cell(row[0])),
            *(
                col.count(head, lambda row, head=head: row[1][head.lower()])
                for head in ("Seed", "Rows", "Tokens")
            ),
            col.count("Probes", lambda row: len(row[1]["probes"].split())),
        ],
        rows=zip(every, frame, strict=True),
        frame=pd.DataFrame(frame),
        folded=len(every) > 2 * FEW_GROUPS,
        sortable=True,
    )


def share_cell(one: Checkpoint) -> Cell:
    """The share in percent, and the drawn one where it is another; sorts by that."""
    text = percent(one.share)
    if abs(one.dose - one.share) > SAME_SHARE:
        text += f" (drawn {number(100 * one.dose, 1)}%)"
    return Cell(text=text, sort=one.dose, numeric=True)
