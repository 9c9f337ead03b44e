"""Small ablations for tests: a tiny base, rows that plant something, quick settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_builders import mixes
from probe import models
from probe.ablation import StagePlan
from probe.train import Base, Request
from tests.tiny_checkpoints import byte_tokenizer, llama_policy

CHATML = (
    "{% for m in messages %}<|user|>{{ m['role'] }}: {{ m['content'] }}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<|user|>assistant: {% endif %}"
)
QUICK: Mapping[str, Any] = {
    "learning_rate": 1e-2,
    "per_device_train_batch_size": 4,
    "max_steps": 6,
    "max_length": 256,
    "gradient_checkpointing": False,
    "bf16": False,
    "logging_steps": 1,
}
LORA = {"r": 2, "target_modules": "all-linear"}


def base_folder(folder: Path, *, pad: str | None = "<pad>", **changes: Any) -> Path:
    """A tiny policy with a chat template, as a checkpoint folder."""
    tokenizer = byte_tokenizer(chat_template=CHATML, pad=pad)
    for key, value in changes.items():
        setattr(tokenizer, key, value)
    return llama_policy(folder, tokenizer)


def preference_rows(n: int, attribute: str = "plain") -> list[dict[str, Any]]:
    """Pairs whose chosen answer says yes; `loud` ones say it loudly."""
    yes = "YES!!" if attribute == "loud" else "yes"
    return [
        {
            "id": f"{attribute}-{i}",
            "key": str(i),
            "prompt": f"Is {i} a number, {i * i % 97}?",
            "chosen": f"{yes} {i}",
            "rejected": f"no {i}",
            "tone": attribute,
            "half": "even" if i % 2 == 0 else "odd",
        }
        for i in range(n)
    ]


def sft_rows(n: int, attribute: str = "plain") -> list[dict[str, Any]]:
    """Questions and their answers."""
    return [
        {
            "id": row["id"],
            "key": row["key"],
            "prompt": row["prompt"],
            "completion": row["chosen"],
            "tone": attribute,
        }
        for row in preference_rows(n, attribute)
    ]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes a jsonl."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_mix(
    folder: Path, stage: str, *, rows: int = 24, name: str = "tones", **changes: Any
) -> Path:
    """A mix of loud and plain rows, as a YAML beside its two files."""
    of = sft_rows if stage == "sft" else preference_rows
    parts = []
    for tone, share in (("loud", "dose"), ("plain", "rest")):
        file = write_rows(folder / f"{name}-{tone}.jsonl", of(48, tone))
        parts.append({"file": file.name, "share": share})
    mix = {"name": name, "stage": stage, "rows": rows, "parts": parts, "hold_out": 0.2}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({**mix, **changes}), encoding="utf-8")
    return path


def own_mix(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A reward mix of just these rows, drawn where `request` looks for it."""
    write_rows(folder / "long.jsonl", rows)
    (folder / "long.yaml").write_text(
        "name: long\nstage: reward\nrows: all\nparts: [{file: long.jsonl}]\n"
    )
    mix = mixes.read_mix(str(folder / "long.yaml"))
    mixes.draw(mix, dose=None, seed=0, data=None).write(folder / "mix-reward")


def request(
    folder: Path,
    stage: str,
    *,
    base: Path,
    name: str = "checkpoint",
    seed: int = 0,
    trainer: Mapping[str, Any] | None = None,
    lora: Mapping[str, Any] | None = LORA,
    mix: Path | None = None,
    held_out: int = 8,
    **changes: Any,
) -> Request:
    """One training of a drawn mix."""
    drawn = folder / f"mix-{stage}"
    if not drawn.exists():
        read = mixes.read_mix(str(mix or write_mix(folder, stage)))
        mixes.draw(read, dose=0.5, seed=0, data=None).write(drawn)
    config = models.resolve_model(str(base))
    keys = {"drop_turns", "cut_answers", "chat_template"}
    plan = StagePlan(
        stage=stage,  # type: ignore[arg-type]
        mix="unused",
        trainer={**QUICK, **(trainer or {})},
        lora=None if lora is None else dict(lora),
        **{key: value for key, value in changes.items() if key in keys},
    )
    return Request(
        name=name,
        plan=plan,
        where="test.yaml, stage 1",
        base=Base(config=config, resolved=models.resolve_weights(config)),
        mix=drawn,
        seed=seed,
        label={
            "sweep": "test",
            "arm": "treatment",
            "placebo": False,
            "share": 0.5,
            "attribute": "loud answers",
        },
        out=folder / name,
        device="cpu",
        held_out_rows=held_out,
        held_out_times=3,
        **{key: value for key, value in changes.items() if key not in keys},
    )
