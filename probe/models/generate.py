"""Greedy generation: a policy's answers in its own words.

The most probable token each time, until an end token or the item's limit; no sampling,
no penalty and no other setting of the checkpoint. `probe.models.decode` does it for
what a token trie can express. Other models take `by_library`: their class's own
`generate`, in length-sorted batches.

What is generated belongs to a run's fingerprint through `SCORING_VERSION`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation import GenerateDecoderOnlyOutput, GenerationMixin

from probe import tree_attention
from probe.models import decode, engine
from probe.models.decode import Written
from probe.types import ConfigError

_log = logging.getLogger(__name__)

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_ROUGH = 0.5
"""Tolerance of 16-bit models, in units of the states' root mean square."""


def choose(model: PreTrainedModel, reading: engine.Choice) -> engine.Choice:
    """Picks how a policy generates, confirmed on the loaded model.

    Args:
        model: With its head.
        reading: How it reads: only what a trie can read is decoded from one.
    """
    if reading.name != "tree":
        return reading
    backbone = model.base_model
    assert isinstance(backbone, PreTrainedModel)
    try:
        difference = decode.self_test(backbone)
    except tree_attention.REFUSALS as error:
        _log.warning("decoding from tries: the self-test failed", exc_info=error)
        reason = f"self-test: {type(error).__name__}: {error}"
        return engine.Choice(name="batches", reason=reason)
    if not difference <= _TOLERANCE.get(backbone.dtype, _ROUGH):
        return engine.Choice(
            name="batches",
            reason=f"self-test: decoded and plain states differ by {difference:.2g}",
        )
    return engine.Choice(name="tree", reason=f"self-test {difference:.1g}")


def by_library(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    limits: Sequence[int],
    end_ids: frozenset[int],
    *,
    batch_tokens: int,
    pad_id: int,
) -> list[Written]:
    """Greedy answers by the class's own `generate`, in length-sorted batches.

    Batches are padded on the left where that changes nothing of what the model writes;
    other models, such as those with a recurrent state, answer one prompt at a time.

    Args:
        model: A causal language model.
        prompts: Token ids.
        limits: Most new tokens of each.
        end_ids: Tokens that end an answer.
        batch_tokens: Tokens of a batch's prompts, padding included.
        pad_id: Fills rows.

    Raises:
        ConfigError: The class has no `generate`.
    """
    if not isinstance(model, GenerationMixin):
        raise ConfigError(
            f"{type(model).__name__} has no `generate`",
            "A policy that answers in its own words is a generative class",
            "Use the checkpoint through a class of the library",
        )
    written: list[Written] = [None] * len(prompts)
    batches = [[index] for index in range(len(prompts))]
    if _pads_left(model, pad_id):
        batches = engine.by_length([len(one) for one in prompts], batch_tokens)
    for batch in batches:
        most = max(limits[index] for index in batch)
        rows = [prompts[index] for index in batch]
        tokens, logits = _generate(model, rows, most, end_ids, pad_id)
        sound = logits.amax(dim=2).isfinite().tolist()
        for index, new, fine in zip(batch, tokens.tolist(), sound, strict=True):
            ends = [at for at, token in enumerate(new) if token in end_ids]
            # Of a greedy continuation, a shorter one is the beginning.
            length = min(limits[index], len(new), *ends[:1])
            written[index] = tuple(new[:length]) if all(fine[: length + 1]) else None
    return written


def _generate(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    limit: int,
    end_ids: frozenset[int],
    pad_id: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """New tokens (rows, T) and the logits they were chosen by (rows, T, vocabulary)."""
    ids, mask = engine.pad(
        rows, pad_id=pad_id, side="left", device=engine.device_of(model)
    )
    own = model.generation_config
    # Whatever is not set in a call is taken from there: penalties, sampling.
    model.generation_config = GenerationConfig()
    try:
        with torch.inference_mode():
            # The library types `self` as a class that no model of its is.
            result = cast(Any, model).generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=GenerationConfig(
                    do_sample=False,
                    num_beams=1,
                    max_new_tokens=limit,
                    eos_token_id=sorted(end_ids) or None,
                    pad_token_id=pad_id,
                    return_dict_in_generate=True,
                    output_logits=True,
                ),
            )
    finally:
        model.generation_config = own
    assert isinstance(result, GenerateDecoderOnlyOutput) and result.logits is not None
    return result.sequences[:, ids.shape[1] :], torch.stack(result.logits, dim=1)


def _pads_left(model: PreTrainedModel, pad_id: int) -> bool:
    """Whether a padded row gets the logits it gets alone, tried on the model."""
    vocabulary = model.config.get_text_config().vocab_size
    ids = np.random.default_rng(0).integers(0, vocabulary, size=16).tolist()
    rows = (ids, ids[:5])
    _, together = _generate(model, rows, 2, frozenset(), pad_id)
    _, alone = _generate(model, rows[1:], 2, frozenset(), pad_id)
    difference = float((together[1] - alone[0]).abs().max())
    scale = float(alone[0].float().square().mean().sqrt())
    return difference <= _TOLERANCE.get(model.dtype, _ROUGH) * scale
