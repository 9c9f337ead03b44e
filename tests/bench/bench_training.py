"""Speed of training, ours against TRL's trainer called plainly, in one run.

    python tests/bench/bench_training.py [--data DIR] [--steps N] [--rounds N]

SmolLM2-135M with LoRA on all linear layers, four rows a step of at most 256 tokens, in
bfloat16 as is TRL's default: SFT on language_sft, DPO on dialect_dpo and a reward
model on dialect_dpo's pairs.

    (a) TRL's trainer, called plainly
    (b) `probe.train`: the same trainer, with its checkpoints every tenth of the way

Both get the same model, rows, order and arguments, and take turns. Seconds are those of
the trainer's steps (its `train_runtime`): loading, tokenising and reference
log-probabilities are the same library calls in both. Held-out pairs are not scored.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peft
import torch
import trl
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from data_builders import mixes
from probe import models, train
from probe.ablation import StagePlan
from probe.models import checkpoints

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
MODEL = "smollm2_135m_instruct"
STAGES = {"sft": "language_sft", "dpo": "dialect_dpo", "reward": "dialect_dpo"}
KINDS = {"sft": "SFT", "dpo": "DPO", "reward": "Reward"}
LORA = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}
ARGUMENTS: Mapping[str, Any] = {
    "per_device_train_batch_size": 4,
    "max_length": 256,
    "gradient_checkpointing": False,
    "logging_steps": 5,
    "save_strategy": "steps",
    "save_steps": 0.1,
    "save_total_limit": 2,
}


def plain(stage: str, mix: Path, steps: int, out: Path) -> float:
    """Seconds of TRL's trainer, called as its documentation does."""
    config = models.resolve_model(MODEL)
    resolved = models.resolve_weights(config)
    placement = checkpoints.place("cpu", "float32")
    model: Any = checkpoints.causal_lm(config, resolved, "weights", placement)
    model.requires_grad_(True)
    if stage == "reward":
        classifier: Any = AutoModelForSequenceClassification.from_pretrained(
            resolved.path("weights"), num_labels=1, dtype=torch.float32
        )
        model = classifier
    tokenizer = AutoTokenizer.from_pretrained(resolved.tokenizer)
    tokenizer.pad_token = "<|endoftext|>"
    names = (
        ("prompt", "completion") if stage == "sft" else ("prompt", "chosen", "rejected")
    )
    rows = mixes.read_drawn(mix).train
    data = Dataset.from_list([{name: row[name] for name in names} for row in rows])
    more = {"precompute_ref_log_probs": True} if stage == "dpo" else {}
    arguments = getattr(trl, f"{KINDS[stage]}Config")(
        output_dir=str(out), seed=0, use_cpu=True, report_to="none",
        max_steps=steps, disable_tqdm=True, **ARGUMENTS, **more,
    )  # fmt: skip
    task = "SEQ_CLS" if stage == "reward" else "CAUSAL_LM"
    trainer = getattr(trl, f"{KINDS[stage]}Trainer")(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=peft.LoraConfig(task_type=task, **LORA),
    )
    return float(trainer.train().metrics["train_runtime"])


def ours(stage: str, mix: Path, steps: int, out: Path) -> float:
    """Seconds of the same trainer, as `rm-probe train` runs it."""
    config = models.resolve_model(MODEL)
    plan = StagePlan(
        stage=stage,  # type: ignore[arg-type]
        mix="drawn",
        trainer={**ARGUMENTS, "max_steps": steps, "disable_tqdm": True},
        lora=dict(LORA),
    )
    train.train(
        train.Request(
            name="bench",
            plan=plan,
            where="bench",
            base=train.Base(config=config, resolved=models.resolve_weights(config)),
            mix=mix,
            seed=0,
            label={
                "sweep": "bench", "arm": "treatment", "placebo": False,
                "share": 0.5, "attribute": "rows",
            },
            out=out,
            device="cpu",
        )
    )  # fmt: skip
    record = json.loads((out / "training.json").read_text())
    return float(record["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stage", choices=list(STAGES), action="append")
    chosen = parser.parse_args()
    print(
        f"{'stage':8} {'(a) s/step':>11} {'(b) s/step':>11} {'b/a':>6}  of each round"
    )
    for stage in chosen.stage or STAGES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            mix = mixes.read_mix(STAGES[stage])
            drawn = mixes.draw(mix, dose=0.5, seed=0, data=chosen.data)
            drawn.write(folder / "mix")
            seconds: dict[str, list[float]] = {"a": [], "b": []}
            for turn in range(chosen.rounds):
                ways = [("a", plain), ("b", ours)]
                for name, way in ways if turn % 2 == 0 else reversed(ways):
                    out = folder / f"{name}{turn}"
                    spent = way(stage, folder / "mix", chosen.steps, out)
                    seconds[name].append(spent / chosen.steps)
        ratios = [b / a for a, b in zip(seconds["a"], seconds["b"], strict=True)]
        each = " ".join(f"{ratio:.3f}" for ratio in ratios)
        print(
            f"{stage:8} {min(seconds['a']):11.2f} {min(seconds['b']):11.2f} "
            f"{statistics.median(ratios):6.3f}  {each}",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"peak memory of the process: {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
