"""What scores are held against: plain transformers, one text at a time.

Nothing of the project is used here, so that a fault of its encoder or engine cannot
hide in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)


def text_ids(folder: Path, text: str) -> list[int]:
    """``tokenizer(text)``."""
    return list(AutoTokenizer.from_pretrained(folder)(text)["input_ids"])


def chat_ids(
    folder: Path, messages: Sequence[Mapping[str, str]], **arguments: Any
) -> list[int]:
    """``apply_chat_template`` to ids."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = tokenizer.apply_chat_template(
        list(messages), tokenize=True, return_dict=True, **arguments
    )
    return list(found["input_ids"])


def reward(folder: Path, ids: Sequence[int]) -> float:
    """The first logit of a sequence classifier, of one unpadded text."""
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    with torch.inference_mode():
        return float(model(input_ids=torch.tensor([list(ids)])).logits[0, 0])


def log_prob(folder: Path, ids: Sequence[int], start: int) -> float:
    """Summed log-probability of ``ids[start:]`` under a causal model."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    whole = torch.tensor([list(ids)])
    with torch.inference_mode():
        logits = model(input_ids=whole).logits[0].double()
    chosen = logits[start - 1 : -1].log_softmax(dim=1)
    return float(chosen.gather(1, whole[0, start:, None]).sum())
