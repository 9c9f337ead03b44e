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


def reward(folder: Path, ids: Sequence[int], label: int = 0) -> float:
    """A logit of a sequence classifier, of one unpadded text."""
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    with torch.inference_mode():
        return float(model(input_ids=torch.tensor([list(ids)])).logits[0, label])


def log_prob(folder: Path, ids: Sequence[int], start: int) -> float:
    """Summed log-probability of ``ids[start:]`` under a causal model."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return log_prob_of(model.eval(), ids, start)


def log_prob_of(model: Any, ids: Sequence[int], start: int) -> float:
    """The same, of a model that is loaded."""
    whole = torch.tensor([list(ids)])
    with torch.inference_mode():
        logits = model(input_ids=whole).logits[0].double()
    chosen = logits[start - 1 : -1].log_softmax(dim=1)
    return float(chosen.gather(1, whole[0, start:, None]).sum())


def answer_ids(folder: Path, text: str, answer: str, added: bool) -> tuple[Any, int]:
    """Ids of a text up to the end of its last `answer`, and where that begins.

    Args:
        folder: Has the tokenizer.
        text: The whole text, rendered.
        answer: What stands in it.
        added: Whether the tokenizer adds its own tokens.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    at = text.rindex(answer)
    whole = text[: at + len(answer)]
    found = tokenizer(whole, add_special_tokens=added, return_offsets_mapping=True)
    offsets = found["offset_mapping"]
    inside = [i for i, (_, end) in enumerate(offsets) if end > len(whole[:at].rstrip())]
    return list(found["input_ids"])[: inside[-1] + 1], inside[0]
