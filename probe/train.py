"""Trains one checkpoint: a mix -> TRL's SFT, DPO or reward trainer -> a scorer.

The only module that imports trl. A checkpoint's folder holds, once it is finished,

    model.yaml       how it is scored, like any other model; written last
    adapter/         the trained adapter with its tokenizer, or weights/
    training.json    what it was trained on and with, and its loss curve
    row.txt          a training row as the trainer has it, decoded
    held_out.csv     accuracy and margin on held-out pairs, by group and step

and before that `trainer/`, with the checkpoints from which a stopped training goes on.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from data_builders.mixes import read_drawn
from probe.ablation import StagePlan
from probe.checkpoint import (
    LENGTHS_FILE,
    MODEL_FILE,
    ROW_FILE,
    TRAINER,
    newest,
    step_of,
    take_up,
    write,
)
from probe.config import (
    ModelConfig,
    load_file,
)
from probe.training_arguments import checked, init_kwargs
from probe.training_model import load_base
from probe.training_request import OURS, Base, Request
from probe.training_result import finish
from probe.training_text import (
    check_alike,
    decoded,
    encoder_of,
    fitted,
    longest,
    row_lengths,
    template_text,
    text_lengths,
    tokenizer_of,
)
from probe.training_watch import held_out_pairs, watcher
from probe.types import ConfigError, ProbeError

__all__ = ["Base", "InterruptedTrainingError", "Request", "check", "train"]

logger = logging.getLogger(__name__)

_CONFIGS = {"sft": "SFTConfig", "dpo": "DPOConfig", "reward": "RewardConfig"}
_TRAINERS = {"sft": "SFTTrainer", "dpo": "DPOTrainer", "reward": "RewardTrainer"}
_DEFAULTS: Mapping[str, object] = {
    # Ten chances to go on from, however short the training.
    "save_strategy": "steps",
    "save_steps": 0.1,
    "save_total_limit": 2,
    "report_to": "none",
}
_BY_LENGTH = ("group_by_length", "batch_rebalance")
"""Samplers that need to know how long the rows are."""


class InterruptedTrainingError(ProbeError):
    """Ctrl-C while training; it goes on from the trainer's last checkpoint."""

    exit_code = 130


# -- arguments ---------------------------------------------------------------


def check(plan: StagePlan, where: str) -> None:
    """Checks a stage's arguments against TRL's and peft's own config classes.

    Raises:
        ConfigError: One is unknown, of another type, or not for the user to give.
    """
    import peft
    import trl

    name = _CONFIGS[plan.stage]
    for key in plan.trainer:
        if key in OURS:
            raise ConfigError(
                f"{where}: `trainer.{key}` is given",
                f"It is not for the trainer's arguments: {OURS[key]}",
                "Leave the key out",
            )
    checked(plan.trainer, getattr(trl, name), f"{where}: `trainer`", f"trl.{name}")
    if plan.lora is not None:
        checked(plan.lora, peft.LoraConfig, f"{where}: `lora`", "peft.LoraConfig")
    extra = set(init_kwargs(plan)) - {"dtype"}
    if extra:
        raise ConfigError(
            f"{where}: `trainer.model_init_kwargs` names {', '.join(sorted(extra))}",
            "How the base is loaded, its config says; only `dtype` may be given here",
            "Leave the rest out",
        )


def _arguments(request: Request) -> Any:
    """TRL's config of this training.

    Raises:
        ConfigError: As `check`, or the values contradict one another.
    """
    import trl

    from probe.models import checkpoints

    plan = request.plan
    name = _CONFIGS[plan.stage]
    given = {key: v for key, v in plan.trainer.items() if key != "model_init_kwargs"}
    values = dict(_DEFAULTS)
    if plan.stage == "dpo":
        values["precompute_ref_log_probs"] = True
    values |= checked(
        given, getattr(trl, name), f"{request.where}: `trainer`", f"trl.{name}"
    )
    device = checkpoints.place(request.device, "float32").device
    try:
        return getattr(trl, name)(
            output_dir=str(request.out / TRAINER),
            seed=request.seed,
            use_cpu=device.type == "cpu",
            **values,
        )
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise _refused(error, request) from error


def _lora(request: Request) -> Any:
    """Config of the adapter; None: all weights are trained."""
    import peft

    if request.plan.lora is None:
        return None
    values = checked(
        request.plan.lora, peft.LoraConfig, f"{request.where}: `lora`", "LoraConfig"
    )
    task = "SEQ_CLS" if request.plan.stage == "reward" else "CAUSAL_LM"
    try:
        return peft.LoraConfig(**{"task_type": task, **values})
    except (ValueError, TypeError) as error:
        raise _refused(error, request) from error


def _refused(error: Exception, request: Request) -> ConfigError:
    return ConfigError(
        f"{request.where}: {' '.join(str(error).split())[:400]}",
        "The trainer's arguments fit one another, the model and the rows",
        "Change what it names",
    )


# -- training ----------------------------------------------------------------


def train(request: Request) -> ModelConfig:
    """Trains a checkpoint, or goes on where a stopped training was.

    Args:
        request: What, on what and where.

    Returns:
        The config in its `model.yaml`.

    Raises:
        ConfigError: Arguments, base and rows do not fit one another.
        StoreError: Its folder was begun with other data or settings.
        InterruptedTrainingError: Ctrl-C; the same call goes on.
    """
    if not take_up(request.out, _plan(request)):
        with _quiet():
            _train(request)
    return load_file(request.out / MODEL_FILE)


def _plan(request: Request) -> dict[str, object]:
    """What decides the trained weights, and what is watched meanwhile."""
    stage = request.plan.model_dump(mode="json", exclude={"score_as", "placebo", "mix"})
    if request.plan.chat_template is not None:
        stage["chat_template"] = template_text(request)
    return {
        "stage": stage,
        "seed": request.seed,
        "base": request.base.resolved.as_record(),
        "mix": read_drawn(request.mix).record["sha256"],
        "held_out": [request.held_out_rows, request.held_out_times],
    }


def _train(request: Request) -> None:
    from accelerate import PartialState

    tokenizer = tokenizer_of(request)
    encoder = encoder_of(request, tokenizer)
    mix = read_drawn(request.mix)
    given = mix.train
    arguments = _arguments(request)
    limit: int | None = arguments.max_length
    rows, cut = fitted(given, tokenizer, limit if request.plan.drop_turns else None)
    model = load_base(request, tokenizer)
    pairs = held_out_pairs(request, model, encoder, arguments, mix.held_out)
    trainer = _trainer(request, arguments, model, tokenizer, rows)
    lengths = row_lengths(trainer.train_dataset, limit, request)
    check_alike(trainer.train_dataset[0], rows, encoder, request)
    main = PartialState().is_main_process
    if main:
        write(request.out / ROW_FILE, decoded(trainer.train_dataset[0], tokenizer))
        if request.plan.stage != "sft":
            write(request.out / LENGTHS_FILE, _lengths(rows, tokenizer, limit))
    resumed = newest(request.out / TRAINER)
    if pairs is not None and main:
        pairs.restore(0 if resumed is None else step_of(resumed))
        trainer.add_callback(watcher(pairs, sum(lengths), request.held_out_times))
    began = datetime.now(UTC)
    try:
        trainer.train(resume_from_checkpoint=resumed and str(resumed))
    except KeyboardInterrupt as error:
        raise InterruptedTrainingError(
            f"interrupted at step {trainer.state.global_step} of "
            f"{trainer.state.max_steps} of {request.name}",
            "The trainer's last checkpoint is stored",
            "Run the same command again to go on from there",
        ) from error
    if main:
        packed = vars(arguments).get("packing", False)
        counts = {
            "given": len(given),
            "trained": len(rows) if packed else len(lengths),
            "shortened": cut,
        }
        tokens = round(sum(lengths) * trainer.state.epoch)
        finish(request, trainer, tokenizer, encoder, pairs, counts, tokens, began)
    PartialState().wait_for_everyone()


def _lengths(
    rows: Sequence[Mapping[str, Any]], tokenizer: Any, limit: int | None
) -> str:
    """Tokens of both texts of each pair that fits, as csv."""
    lines = ["id,source,chosen,rejected"]
    for row in rows:
        both = text_lengths(tokenizer, row)
        if limit is None or max(both) <= limit:
            lines.append(",".join(map(str, (row["id"], row["source"], *both))))
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Shows the trainer's progress, and not each step of preparing the rows.

    What the libraries say of each other's future names is nothing a user can mend.
    """
    import datasets

    datasets.disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            yield
        finally:
            datasets.enable_progress_bars()


def _trainer(
    request: Request,
    arguments: Any,
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, Any]],
) -> Any:
    """TRL's trainer, with the rows as dialogues."""
    import datasets
    import trl

    columns = (
        ("prompt", "completion")
        if request.plan.stage == "sft"
        else ("prompt", "chosen", "rejected")
    )
    chosen = [{column: row[column] for column in columns} for row in rows]
    if arguments.train_sampling_strategy in _BY_LENGTH:
        # The library counts tokens of rows with one text only.
        arguments.remove_unused_columns = False
        for given in chosen:
            given[arguments.length_column_name] = longest(tokenizer, given)
    data = datasets.Dataset.from_list(chosen)
    trainer = getattr(trl, _TRAINERS[request.plan.stage])
    try:
        return trainer(
            model=model,
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=_lora(request),
        )
    except (ValueError, TypeError, StopIteration) as error:
        raise _refused(error, request) from error
