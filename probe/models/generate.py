"""Greedy generation: a policy's answers in its own words.

The most probable token each time, until an end token, a stop string or the item's
limit; no sampling, no penalty and no other setting of the checkpoint.
`probe.models.decode` does it for what a token trie can express. Other models take
`by_library`: their class's own `generate`, in length-sorted batches.

What is generated belongs to a run's fingerprint through `SCORING_VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation import (
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from probe.models import checkpoints, decode, engine, trial
from probe.models.decode import Draft, Ending, Request, Written
from probe.types import ConfigError


def choose(model: PreTrainedModel, reading: engine.Choice) -> engine.Choice:
    """Picks how a policy generates, confirmed on the loaded model.

    Args:
        model: With its head.
        reading: How it reads: only what a trie can read is decoded from one.
    """
    if reading.name != "tree":
        return reading
    backbone = checkpoints.backbone(model)
    ok, reason = _tried(backbone)
    found = trial.of_class(backbone, "decode", _judge) if ok else {"tree": reason}
    if wrong := found if isinstance(found, str) else found["tree"]:
        return engine.Choice(name="batches", reason=wrong)
    return engine.Choice(name="tree", reason=reason)


def _tried(backbone: PreTrainedModel) -> tuple[bool, str]:
    return engine.self_test(
        lambda: decode.self_test(backbone),
        backbone,
        "decoded and plain states",
    )


def _judge(small: PreTrainedModel) -> dict[str, str]:
    ok, reason = _tried(small)
    return {"tree": "" if ok else reason}


def by_library(
    model: PreTrainedModel,
    requests: Sequence[Request],
    ending: Ending,
    *,
    choice: engine.Choice,
    batch_tokens: int,
    pad_id: int,
) -> list[Written]:
    """Greedy answers by the class's own `generate`, in length-sorted batches.

    Batches are padded on the left where that changes nothing of what the model writes;
    other models, such as those with a recurrent state, answer one prompt at a time.

    Args:
        model: A causal language model.
        requests: Prompts to continue.
        ending: What ends an answer.
        choice: Prompts are padded only where texts that are read may be.
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
    drafts = [Draft(one, ending) for one in requests]
    batches = [[index] for index in range(len(requests))]
    if choice.name in ("tree", "batches") and _pads_left(model, pad_id):
        lengths = [len(one.token_ids) for one in requests]
        batches = engine.grouped(lengths, batch_tokens)
    for batch in batches:
        watch = _Watch([drafts[index] for index in batch])
        _generate(
            model,
            [requests[index].token_ids for index in batch],
            max(requests[index].limit for index in batch),
            pad_id,
            look=watch.look,
            goes_on=watch.goes_on,
        )
    return [draft.written for draft in drafts]


class _Watch:
    """Keeps the drafts of a batch up to date while the library writes it.

    A row that has ended is written on until the last one has, and no longer looked at.
    """

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self._drafts = drafts
        self._going = [True] * len(drafts)
        self._sound: list[bool] = []

    def look(self, logits: torch.Tensor) -> None:
        """Sees the logits (rows, vocabulary) that the next tokens are chosen by."""
        self._sound = logits.amax(dim=1).isfinite().tolist()

    def goes_on(self, tokens: Sequence[int]) -> list[bool]:
        """Takes a token of each row; says which rows go on."""
        for row, (draft, token) in enumerate(zip(self._drafts, tokens, strict=True)):
            if self._going[row]:
                self._going[row] = draft.add(token if self._sound[row] else -1)
        return self._going


class _Look(LogitsProcessor):
    """Shows each step's logits, and changes none."""

    def __init__(self, look: Callable[[torch.Tensor], None]) -> None:
        self._look = look

    def __call__(
        self, input_ids: torch.LongTensor, scores: torch.FloatTensor
    ) -> torch.FloatTensor:
        self._look(scores)
        return scores


class _GoesOn(StoppingCriteria):
    """Asks after each step which rows go on."""

    def __init__(self, goes_on: Callable[[Sequence[int]], Sequence[bool]]) -> None:
        self._goes_on = goes_on

    def __call__(
        self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: object
    ) -> torch.BoolTensor:
        going = self._goes_on(input_ids[:, -1].tolist())
        return cast(torch.BoolTensor, ~torch.tensor(going, device=input_ids.device))


def _generate(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    limit: int,
    pad_id: int,
    *,
    look: Callable[[torch.Tensor], None],
    goes_on: Callable[[Sequence[int]], Sequence[bool]],
) -> None:
    """Writes at most `limit` tokens to each prompt, as long as one of them goes on."""
    ids, mask = engine.pad(
        rows, pad_id=pad_id, side="left", device=engine.device_of(model)
    )
    own = model.generation_config
    # Whatever is not set in a call is taken from there: penalties, sampling.
    model.generation_config = GenerationConfig()
    try:
        with torch.inference_mode(), engine.fresh(model):
            # The library types `self` as a class that no model of its is.
            cast(Any, model).generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=GenerationConfig(
                    do_sample=False,
                    num_beams=1,
                    max_new_tokens=limit,
                    pad_token_id=pad_id,
                ),
                logits_processor=LogitsProcessorList([_Look(look)]),
                stopping_criteria=StoppingCriteriaList([_GoesOn(goes_on)]),
            )
    finally:
        model.generation_config = own


def _pads_left(model: PreTrainedModel, pad_id: int) -> bool:
    """Whether a padded row gets the logits it gets alone, tried on the model."""
    vocabulary = model.config.get_text_config().vocab_size
    ids = np.random.default_rng(0).integers(0, vocabulary, size=16).tolist()
    rows = (ids, ids[:5])
    seen: list[torch.Tensor] = []
    for given in (rows, rows[1:]):
        _generate(
            model,
            given,
            2,
            pad_id,
            look=lambda logits: seen.append(logits[-1].clone()),
            goes_on=lambda tokens: [True] * len(tokens),
        )
    together, alone = torch.stack(seen[:2]), torch.stack(seen[2:])
    difference = float((together - alone).abs().max())
    scale = float(alone.square().mean().sqrt())
    return difference <= engine.tolerance(model) * scale
