"""What is asked of one training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from probe.ablation import StagePlan
from probe.config import ModelConfig
from probe.models import Resolved

OURS = {
    "output_dir": "--out says where everything lies",
    "seed": "`seeds` of the ablation are",
    "data_seed": "`seeds` of the ablation are",
    "resume_from_checkpoint": "a stopped training goes on by itself",
    "use_cpu": "--device says where it runs",
    "chat_template_path": "`chat_template` of the stage is",
    "pad_token": "one that ends no text is chosen, and named",
    "hub_token": "a secret has no place in a file that is kept; run `hf auth login`",
    "eos_token": "the base's tokenizer says how a text ends",
}
"""Arguments that the ablation decides -> by what."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a stage starts from."""

    config: ModelConfig
    resolved: Resolved


@dataclass(frozen=True, kw_only=True)
class Request:
    """One checkpoint to train."""

    name: str
    """What its runs are called."""
    plan: StagePlan
    where: str
    """File and stage, for errors."""
    base: Base
    mix: Path
    """Folder with `train.jsonl`, `held_out.jsonl` and `mix.json`."""
    seed: int
    label: Mapping[str, object]
    """The rest of `Training`: sweep, arm, placebo, shares, attribute, base."""
    out: Path
    """Its folder."""
    device: str | None = None
    """None: a GPU if there is one, else the CPU."""
    held_out_rows: int = 0
    held_out_times: int = 2
