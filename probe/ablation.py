"""Ablations: one YAML says what is trained on what, and what is then scored.

An ablation is a base x shares x seeds x stages. Its mixes (`data_builders.mixes`) hold
rows with an attribute, such as a language, and rows without; the share of the former is
the dose. Every stage of training starts from the one before it, the first from the
base. A placebo arm trains on the same numbers of rows, of which the dose is a label
without meaning.

Nothing here trains, or imports what does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    model_validator,
)

from probe.config import (
    NAME_PATTERN,
    Strict,
    did_you_mean,
    parse,
    read_text,
    shipped_files,
    user_path,
)
from probe.types import Dtype, UsageError

StageName = Literal["sft", "dpo", "reward"]
Arm = Literal["treatment", "placebo"]
ScoredAs = Literal["policy", "implicit_reward", "reward"]

FOLDER = "sweeps"
HELD_OUT = "held_out"
"""In place of a probe: what a mix holds out."""


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("A value stands twice")
    return values


class ProbeChoice(Strict):
    """A probe that the checkpoints are scored on, and which items of it."""

    probe: str
    """A shipped name, a csv or jsonl, or `held_out`: the pairs that the first stage of
    pairs holds out of its mix."""
    limit: int | None = Field(default=None, gt=0)
    countries: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None
    personas: tuple[str, ...] = ()
    shots: int = Field(default=1, ge=0)


class StagePlan(Strict):
    """One stage of training."""

    stage: StageName
    mix: str
    """A shipped mix, or the path of one; relative ones start at this file."""
    placebo: str | None = None
    """The mix that takes its place in the placebo arm."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Arguments of TRL's SFTConfig, DPOConfig or RewardConfig, whichever there are."""
    lora: dict[str, Any] | None = Field(default_factory=dict)
    """Arguments of peft's LoraConfig; null: all weights are trained."""
    chat_template: str | None = None
    """A .jinja file for a base without a chat template."""
    drop_turns: bool = False
    """Whether a dialogue that is longer than `max_length` loses its first exchanges
    until it fits. A reward model is not trained on rows that do not fit; of others the
    end is cut off, and a row is left out whose prompt alone does not fit. All are
    counted in `training.json`."""
    cut_answers: bool = False
    """Of a reward model: whether answers that are too long lose their end, each as much
    as it takes for the dialogue, closed by the template, to fit. Not so: their pairs
    are left out, and with them what a source prefers of long answers."""
    score_as: tuple[ScoredAs, ...] | None = None
    """How its checkpoints are scored; (): not at all. None: a reward model as such, a
    policy as policy."""

    @model_validator(mode="after")
    def _fits_stage(self) -> Self:
        if self.cut_answers and self.stage != "reward":
            raise ValueError(
                f"`cut_answers` is for a reward stage; of {self.stage} the trainer "
                "cuts what is too long"
            )
        valid = {
            "sft": {"policy"},
            "dpo": {"policy", "implicit_reward"},
            "reward": {"reward"},
        }[self.stage]
        wrong = [one for one in self.score_as or () if one not in valid]
        if wrong:
            raise ValueError(
                f"a checkpoint of stage {self.stage} is no {wrong[0]}; `score_as` may "
                f"name {', '.join(sorted(valid))}"
            )
        return self

    @property
    def scored_as(self) -> tuple[ScoredAs, ...]:
        """How its checkpoints are scored."""
        if self.score_as is not None:
            return self.score_as
        return ("reward",) if self.stage == "reward" else ("policy",)


Share = Annotated[float, Field(ge=0, le=1)]


class Ablation(Strict):
    """What is trained, on what, and what is then scored."""

    name: str = Field(pattern=NAME_PATTERN)
    base: str
    """MODEL as on the command line; a policy."""
    dtype: Dtype | None = None
    """Of scoring, of the base and of its checkpoints; None: the base's own. That of
    training is the trainer's."""
    attribute: str
    """What `shares` are shares of, in words, such as "rows in Finnish"."""
    shares: Annotated[
        tuple[Share, ...] | None, AfterValidator(lambda v: v and _distinct(v))
    ] = Field(default=None, min_length=1)
    """Of the rows of each mix; None: the mixes vary nothing."""
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        BeforeValidator(_listed),
        AfterValidator(_distinct),
    ] = Field(default=(0,), min_length=1)
    stages: tuple[StagePlan, ...] = Field(min_length=1)
    probes: tuple[ProbeChoice, ...] = ()
    beside: Annotated[tuple[str, ...], AfterValidator(_distinct)] = ()
    """Models that are scored on the probes as well, as on the command line: their
    levels stand beside the checkpoints', such as a reward model's beside DPO's implicit
    rewards."""
    held_out_rows: int = Field(default=200, ge=0)
    """Of the rows that a mix holds out, so many are scored in training, and those that
    share a key with one of them; 0: none."""
    held_out_times: int = Field(default=5, ge=2)
    """How often: before the first step, after the last, and evenly between."""
    about: str = ""
    """What it asks, in a sentence or two."""
    _file: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_reward_model(self) -> Self:
        names = [one.stage for one in self.stages]
        if len(set(names)) < len(names):
            raise ValueError("each stage stands once in `stages`")
        if "reward" in names[:-1]:
            raise ValueError("a reward model is the last stage: no policy follows it")
        return self

    @property
    def where(self) -> str:
        """How errors call it."""
        return str(self._file) if self._file else f"ablation '{self.name}'"

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The treatment, and a placebo where a stage has one."""
        placebo = any(stage.placebo is not None for stage in self.stages)
        return ("treatment", "placebo") if placebo else ("treatment",)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One checkpoint to train."""

    name: str
    """Of the checkpoint, as its runs are called."""
    folder: str
    """Its folder's name."""
    arm: Arm
    share: float | None
    seed: int
    plan: StagePlan
    mix: str
    """The arm's mix."""
    before: str | None
    """Folder of the stage that it starts from; None: the base."""


def percent(share: float) -> str:
    """A share as names have it."""
    return f"{100 * share:.10g}"


def jobs(ablation: Ablation, dosed: Callable[[str], bool]) -> list[Job]:
    """Every checkpoint of an ablation, each after the one that it starts from.

    Args:
        ablation: What is asked.
        dosed: Whether a mix varies with the share. Up to the first stage whose mix
            does, all shares have their checkpoints in common.
    """
    found: dict[str, Job] = {}
    several = len(ablation.stages) > 1
    for arm in ablation.arms:
        for seed in ablation.seeds:
            for share in ablation.shares or (None,):
                before: str | None = None
                varied = False
                for plan in ablation.stages:
                    placebo = arm == "placebo" and plan.placebo is not None
                    mix = str(plan.placebo) if placebo else plan.mix
                    varied |= dosed(mix)
                    parts = (
                        [f"{arm}{percent(share)}"]
                        if varied and share is not None
                        else []
                    )
                    parts += [f"seed{seed}", *([plan.stage] if several else [])]
                    folder = "-".join(parts)
                    found.setdefault(
                        folder,
                        Job(
                            name=f"{ablation.name}-{folder}",
                            folder=folder,
                            arm=arm,
                            share=share if varied else None,
                            seed=seed,
                            plan=plan,
                            mix=mix,
                            before=before,
                        ),
                    )
                    before = folder
    return list(found.values())


def shipped() -> dict[str, str]:
    """Shipped ablations: name -> path inside `data_builders`."""
    return shipped_files("data_builders", FOLDER)


def read(ref: str) -> Ablation:
    """Reads an ablation.

    Args:
        ref: A shipped name, or the path of a YAML file.

    Raises:
        UsageError: There is none of that name, or the file cannot be read.
        ConfigError: It is malformed; with file and key.
    """
    path = user_path(ref)
    if path.suffix not in (".yaml", ".yml"):
        names = shipped()
        if ref not in names:
            raise UsageError(
                f"no shipped ablation is called '{ref}'",
                "ABLATION is a YAML file, or a shipped name",
                did_you_mean(ref, names),
            )
        path = Path(str(resources.files("data_builders") / names[ref]))
    text = read_text(path, "ABLATION is a YAML file, or a shipped name")
    found = parse(Ablation, text, str(path), "an ablation")
    changes = {
        "stages": tuple(_beside(path.parent, one, _STAGE) for one in found.stages),
        "probes": tuple(_beside(path.parent, one, ("probe",)) for one in found.probes),
    }
    found = found.model_copy(update=changes)
    found._file = path
    return found


_STAGE = ("mix", "placebo", "chat_template")
_Nested = TypeVar("_Nested", bound=Strict)


def _beside(folder: Path, part: _Nested, keys: Sequence[str]) -> _Nested:
    """A part of an ablation, whose relative paths start at the ablation's file."""
    changes = {}
    for key in keys:
        value = part.model_dump()[key]
        if value is not None and Path(value).suffix:
            changes[key] = str((folder / user_path(value)).resolve())
    return part.model_copy(update=changes)


def digest(content: object) -> str:
    """sha256 of plain values, whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
