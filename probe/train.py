"""Trains one checkpoint: a mix -> TRL's SFT, DPO or reward trainer -> a scorer.

The only module that imports trl. A checkpoint's folder holds, once it is finished,

    model.yaml       how it is scored, like any other model; written last
    adapter/         the trained adapter with its tokenizer, or weights/
    training.json    what it was trained on and with, and its loss curve
    row.txt          a training row as the trainer has it, decoded
    held_out.csv     margins of held-out pairs, by step and group

and before that `trainer/`, with the checkpoints from which a stopped training goes on.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_builders.mixes import read_drawn
from probe import csvs
from probe.ablation import StagePlan
from probe.checkpoint import (
    LENGTHS_FILE,
    MODEL_FILE,
    ROW_FILE,
    STATE,
    TRAINER,
    newest,
    read_json,
    step_of,
    take_up,
    write,
)
from probe.config import (
    ModelConfig,
    load_file,
)
from probe.processes import processes
from probe.training_arguments import DTYPES, checked, dtype_of, init_kwargs
from probe.training_model import load_base
from probe.training_request import OURS, Base, Request
from probe.training_result import Trained, finish, whole_weights
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

__all__ = [
    "Base",
    "InterruptedTrainingError",
    "Request",
    "check",
    "train",
    "whole_weights",
]

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
    dtype = dtype_of(plan)
    if extra or dtype not in DTYPES:
        named = ", ".join(sorted(extra)) or f"dtype: {dtype}"
        raise ConfigError(
            f"{where}: `trainer.model_init_kwargs` names {named}",
            "How the base is loaded, its config says; only `dtype` may be given here, "
            f"as {', '.join(DTYPES)}",
            "Leave the rest out",
        )
    if plan.lora and "task_type" in plan.lora:
        raise ConfigError(
            f"{where}: `lora.task_type` is given",
            "The stage decides it: a reward's head is trained and saved with it",
            "Leave the key out",
        )
    dropout = plan.trainer.get("disable_dropout", plan.stage != "sft")
    if plan.lora and plan.lora.get("lora_dropout") and dropout:
        raise ConfigError(
            f"{where}: `lora.lora_dropout` is given, and the trainer's "
            "`disable_dropout` sets it to 0",
            "TRL trains DPO and reward models without dropout unless told otherwise",
            "Leave it out, or write `disable_dropout: false` into `trainer`",
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
    from accelerate.utils import broadcast_object_list

    state = processes(request.device)
    _check_processes(state, request)
    # One process opens the folder: the others would write the same files.
    unset = StagePlan(stage=request.plan.stage, mix=request.plan.mix)
    found = [
        state.is_main_process and take_up(request.out, _plan(request), _stage(unset))
    ]
    broadcast_object_list(found)
    if not found[0]:
        try:
            with _quiet():
                _train(request)
        except KeyboardInterrupt as error:
            last = newest(request.out / TRAINER)
            raise InterruptedTrainingError(
                f"interrupted while training {request.name}",
                "Nothing of it is stored yet"
                if last is None
                else f"It is stored up to step {step_of(last)}",
                "Run the same command again to go on from there",
            ) from error
    return load_file(request.out / MODEL_FILE)


def _check_processes(state: Any, request: Request) -> None:
    """Refuses launches in which no process has the whole model.

    Raises:
        ConfigError: The weights are sharded.
    """
    kind = str(state.distributed_type).rpartition(".")[2]
    if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM", "TP"):
        raise ConfigError(
            f"{request.where}: launched with {kind}",
            "Held-out pairs are scored, and the adapter is saved, by one process with "
            "the whole model",
            "Launch with --multi_gpu, or on one device",
        )


def _plan(request: Request) -> dict[str, object]:
    """What decides the trained weights and their label, and what is watched."""
    stage = _stage(request.plan)
    if request.plan.chat_template is not None:
        stage["chat_template"] = template_text(request)
    return {
        "name": request.name,
        "label": dict(request.label),
        "stage": stage,
        "seed": request.seed,
        "base": request.base.resolved.as_record(),
        "mix": read_drawn(request.mix).record["sha256"],
        "held_out": [request.held_out_rows, request.held_out_times],
    }


def _stage(plan: StagePlan) -> dict[str, object]:
    """What of a stage decides the weights; the mix counts by what was drawn of it."""
    return plan.model_dump(mode="json", exclude={"score_as", "placebo", "mix"})


def _train(request: Request) -> None:
    from accelerate.utils import broadcast_object_list

    tokenizer = tokenizer_of(request)
    encoder = encoder_of(request, tokenizer)
    mix = read_drawn(request.mix)
    arguments = _arguments(request)
    rows = fitted(mix.train, tokenizer, arguments, request)
    model = load_base(request, tokenizer)
    pairs = held_out_pairs(request, model, encoder, arguments, mix.held_out)
    trainer = _trainer(request, arguments, model, tokenizer, rows.kept)
    lengths = row_lengths(trainer.train_dataset, arguments.max_length)
    check_alike(trainer.train_dataset, rows.kept, encoder, arguments, request)
    main = processes(request.device).is_main_process
    resumed: list[Path | None] = [None]
    if main:
        write(request.out / ROW_FILE, decoded(trainer.train_dataset[0], tokenizer))
        if request.plan.stage == "reward":
            write(request.out / LENGTHS_FILE, _lengths(mix.train, tokenizer))
        resumed = [newest(request.out / TRAINER)]
        at = 0 if resumed[0] is None else step_of(resumed[0])
        if pairs is not None and not pairs.restore(at):
            # What came before the first step is lost, and cannot be had again.
            resumed = [None]
    broadcast_object_list(resumed)
    if pairs is not None and main:
        trainer.add_callback(watcher(pairs, sum(lengths), request.held_out_times))
    began = datetime.now(UTC)
    start = resumed[0]
    every = trainer.args.save_steps
    if start is not None:
        # The library works a fraction of the steps out anew, and would warn of that.
        trainer.args.save_steps = read_json(start / STATE)["save_steps"]
    done = trainer.train(resume_from_checkpoint=start and str(start))
    trainer.args.save_steps = every
    if main:
        made = Trained(
            trainer=trainer,
            encoder=encoder,
            pairs=pairs,
            rows=rows,
            tokens=round(sum(lengths) * trainer.state.epoch),
            seconds=done.metrics["train_runtime"],
            began=began,
        )
        finish(request, made)
    processes(request.device).wait_for_everyone()


def _lengths(rows: Sequence[Mapping[str, Any]], tokenizer: Any) -> str:
    """Tokens of both texts of each pair, whole and prompt included, as csv."""
    return csvs.text_of(
        ("id", "source", "chosen", "rejected"),
        [(row["id"], row["source"], *text_lengths(tokenizer, row)) for row in rows],
    )


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


def _shared(rows: list[dict[str, Any]], request: Request) -> Any:
    """Rows on disk, where every process finds what the library computes of them.

    Reference log-probabilities are so kept for a training that goes on, too.
    """
    import datasets

    folder = request.out / TRAINER / "rows"
    state = processes(request.device)
    if state.is_main_process and not folder.is_dir():
        temporary = folder.with_name(".rows.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        datasets.Dataset.from_list(rows).save_to_disk(temporary)
        temporary.rename(folder)
    state.wait_for_everyone()
    return datasets.load_from_disk(folder)


def _trainer(
    request: Request,
    arguments: Any,
    model: Any,
    tokenizer: Any,
    rows: Sequence[Mapping[str, Any]],
) -> Any:
    """TRL's trainer, with the rows as dialogues."""
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
    data = _shared(chosen, request)
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
