"""What a training leaves: weights, how they are scored, and what they were made of."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from data_builders.mixes import read_drawn
from probe import held_out, models
from probe.ablation import StagePlan
from probe.checkpoint import (
    ADAPTER,
    HELD_OUT_FILE,
    IMPLICIT_FILE,
    MERGED,
    MODEL_FILE,
    RECORD_FILE,
    TRAINER,
    WEIGHTS,
    write,
)
from probe.config import (
    Kind,
    ModelConfig,
    Training,
    dump_yaml,
    load_file,
    parse_source,
)
from probe.encode import Encoder
from probe.processes import processes
from probe.training_arguments import dtype_of
from probe.training_request import OURS, Request
from probe.training_text import Fitted

_PACKAGES = (
    "rm-probe", "trl", "peft", "transformers", "torch", "accelerate", "datasets"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training at its end."""

    trainer: Any
    """TRL's, with the model and its tokenizer."""
    encoder: Encoder
    """How texts are encoded for scoring."""
    pairs: held_out.HeldOut | None
    rows: Fitted
    """What was trained on, and what was left out."""
    tokens: int
    """Read in all epochs."""
    seconds: float
    """Of the trainer's steps; of a training that was stopped, since it went on."""
    began: datetime


def finish(request: Request, made: Trained) -> None:
    """Writes the checkpoint; `model.yaml` last, since a folder with it is finished."""
    trainer, encoder = made.trainer, made.encoder
    tokenizer = trainer.processing_class
    out, state = request.out, trainer.state
    model = trainer.accelerator.unwrap_model(trainer.model)
    base = request.base.config
    adapted = request.plan.lora is not None
    if adapted:
        # Of the machine that it was trained on, the path means nothing to others.
        source = parse_source(base.weights)
        for one in model.peft_config.values():
            one.base_model_name_or_path = source.repo or base.weights
    _save(model, tokenizer, out / (ADAPTER if adapted else WEIGHTS))
    if made.pairs is not None:
        made.pairs.write(out / HELD_OUT_FILE)
    mix = read_drawn(request.mix).record
    training = Training.model_validate(
        {
            **request.label,
            "seed": request.seed,
            "stage": request.plan.stage,
            "mix": mix["mix"],
            "mix_sha": mix["sha256"],
            "rows": len(made.rows.kept),
            "dropped": len(made.rows.dropped),
            "tokens": made.tokens,
        }
    )
    record = {
        "name": request.name,
        "training": training.model_dump(),
        "rows": made.rows.record(),
        "base": request.base.resolved.as_record(),
        "arguments": _changed(trainer.args),
        "lora": request.plan.lora,
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "device": str(trainer.args.device),
        "steps": state.global_step,
        "seconds": made.seconds,
        "began": made.began.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "loss": _curve(state.log_history),
    }
    write(out / RECORD_FILE, json.dumps(record, indent=2, default=str) + "\n")
    weights = _from(out, base.weights)
    fields: dict[str, object] = {
        "name": request.name,
        "kind": encoder.config.kind.value,
        "weights": weights if adapted else WEIGHTS,
        "sha256": base.sha256 if adapted else None,
        "adapter": ADAPTER if adapted else None,
        "template": "tokenizer",
        "bos": encoder.config.bos,
        "max_tokens": base.max_tokens,
        "dtype": base.dtype,
        "verified": base.verified,
        "license": base.license,
        "training": training.model_dump(),
    }
    if request.plan.stage == "dpo":
        implicit = {
            **fields,
            "name": f"{request.name}-implicit",
            "kind": Kind.IMPLICIT_REWARD.value,
            "reference": weights,
            "beta": trainer.args.beta,
        }
        write(out / IMPLICIT_FILE, _yaml(implicit))
    write(out / MODEL_FILE, _yaml(fields))
    shutil.rmtree(out / TRAINER, ignore_errors=True)


def whole_weights(plan: StagePlan, folder: Path, device: str | None) -> Path:
    """The whole weights of a finished checkpoint, for a stage that starts from it.

    An adapter is merged the first time, in the precision that it was trained in. Of
    several processes, all call it.

    Returns:
        A folder with weights and tokenizer.
    """
    # Imported here: a mistake in a file is told before torch is loaded.
    from probe.models import checkpoints

    whole = folder / MERGED
    if not (folder / ADAPTER).is_dir():
        return folder / WEIGHTS
    state = processes(device)
    if state.is_main_process and not whole.is_dir():
        config = load_file(folder / MODEL_FILE)
        resolved = models.resolve_weights(config)
        placement = checkpoints.place(device, dtype_of(plan))
        model = checkpoints.causal_lm(config, resolved, "weights", placement)
        _save(
            model,
            models.load_tokenizer(resolved.tokenizer, config.trust_remote_code),
            whole,
        )
    state.wait_for_everyone()
    return whole


def _from(out: Path, weights: str) -> str:
    """A source as a checkpoint's file names it: within its ablation a relative path."""
    path = parse_source(weights).path
    if path is None or not Path(path).is_relative_to(out.parent.resolve()):
        return weights
    return os.path.relpath(path, out.resolve())


def _curve(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the trainer logged, less its count of tokens, which resuming resets."""
    return [
        {key: value for key, value in one.items() if key != "num_tokens"}
        for one in history
        if "loss" in one
    ]


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Saves a model and its tokenizer, whole or not at all."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    with warnings.catch_warnings():
        # The library looks for the base by its name, to see whether it has new tokens.
        warnings.filterwarnings("ignore", "Could not find a config file")
        model.save_pretrained(temporary)
    tokenizer.save_pretrained(temporary)
    (temporary / "README.md").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _yaml(fields: Mapping[str, object]) -> str:
    given = {key: value for key, value in fields.items() if value is not None}
    # Checked before it is written: a finished checkpoint can be scored.
    ModelConfig.model_validate(given)
    return dump_yaml(given)


def _changed(arguments: Any) -> dict[str, object]:
    """The trainer's arguments that are not the library's defaults."""
    defaults = {one.name: one.default for one in dataclasses.fields(arguments)}
    return {
        key: value
        for key, value in vars(arguments).items()
        if key in defaults
        and key not in OURS
        and isinstance(value, str | int | float | list | dict)
        and value not in ("", [], {})
        and value != defaults[key]
    }
