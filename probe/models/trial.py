"""A class is tried before its first score, on a small random copy of the model.

Twenty tokens on the loaded model cross no window and no threshold of thousands. The
copy (`probe.models.shrink`) has them all within fifty.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedModel

from probe import tree_support
from probe.models.shrink import shrink
from probe.models.weights import MISFITS, cache_dir, write_atomically

log = logging.getLogger(__name__)

_VERSION = "1"
"""Changes when another trial would be held."""
_VOCABULARY = 128
_LARGEST = 2e7
"""Parameters of a copy that is still tried."""
REFUSALS = (*MISFITS, StrictDataclassError)
"""What building and running a class on a config of ours may raise."""

Found = Mapping[str, str]
"""Way -> why it is wrong, empty where it is right."""


def of_class(
    model: PreTrainedModel, kind: str, judge: Callable[[PreTrainedModel], Found]
) -> Found | str:
    """What is found on a copy of the model's class; remembered between runs.

    Args:
        model: As loaded; only its class and config are looked at.
        kind: Tells one judge from another.
        judge: Tries the copy.

    Returns:
        What `judge` found, or why there is no copy to try.
    """
    if not tree_support.of_the_library(model.config):
        return tree_support.OWN_CODE
    attention = str(model.config._attn_implementation)
    content = [
        *(_VERSION, kind, type(model).__qualname__, attention),
        *(transformers.__version__, torch.__version__),
        model.config.to_json_string(use_diff=False),
    ]
    name = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    path = cache_dir() / "classes" / f"{name}.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        log.info("trying %s on a small copy, once", type(model).__name__)
    try:
        found = judge(_copy(model))
    except REFUSALS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return f"no small copy of its class can be tried: {reason[:120]}"
    try:
        write_atomically(path, json.dumps(found))
    except OSError:
        log.info("%s cannot be written: it is tried again next time", path)
    return found


def _copy(model: PreTrainedModel) -> PreTrainedModel:
    """The class on a shrunken config, with weights in which every token shows."""
    config = shrink(model.config, _VOCABULARY)
    with torch.device("meta"):
        size = sum(one.numel() for one in type(model)(config).parameters())
    if size > _LARGEST:
        raise ValueError(f"{size:.2g} parameters are left")
    attention = model.config._attn_implementation
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: PreTrainedModel = type(model)._from_config(
            config,
            dtype=torch.float32,
            attn_implementation=attention if attention in ("sdpa", "eager") else None,
        )
        enlarge(made)
    return made.eval().requires_grad_(False)


def enlarge(model: torch.nn.Module) -> None:
    """Draws weights so large that a wrong mask shows, from torch's generator."""
    for _, weight in sorted(model.named_parameters()):
        if weight.dim() > 1:
            weight.data = torch.randn(weight.shape) * 0.2
        else:
            weight.data += 0.1 * torch.randn(weight.shape)


def texts(model: PreTrainedModel, length: int) -> list[tuple[int, ...]]:
    """Branching sequences, two of them of equal length, that end in EOS.

    Args:
        model: Has the vocabulary.
        length: Of the longest, a multiple of 20.
    """
    declared = model.config.get_text_config(decoder=True).to_dict()
    marks = {v for k, v in declared.items() if k.endswith("_id") and isinstance(v, int)}
    # Models of characters declare no vocabulary.
    size = declared.get("vocab_size", _VOCABULARY)
    usable = [i for i in range(min(size, 4096)) if i not in marks]
    # The middle of a vocabulary has the fewest marks that no config declares.
    usable = usable[len(usable) // 8 : -(len(usable) // 8) or None]
    drawn = np.random.default_rng(0).choice(usable, size=2 * length)
    trunk, first, second, third = (tuple(map(int, p)) for p in np.split(drawn, 4))
    half = length // 4
    paths: Sequence[tuple[int, ...]] = (
        trunk + first,
        trunk + first[:half] + second[:half],
        trunk + first[: length // 10],
        trunk[: length // 5] + third,
        trunk[: 2 * length // 5],
    )
    end = declared.get("eos_token_id")
    end = end[0] if isinstance(end, list) else end
    # A class's default may lie beyond a smaller vocabulary.
    return [path if end is None or end >= size else (*path, end) for path in paths]
