"""Which models tree attention can run, decided from what their configs declare."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
    PreTrainedConfig,
)

from probe.rope import scalings_by_length

FULL = "full_attention"
SLIDING = "sliding_attention"

OWN_CODE = "code of its own, not the library's"


@dataclass(frozen=True, kw_only=True)
class Support:
    """Whether a model can be scored by tree attention."""

    ok: bool
    reason: str
    """Why, or why not; written to the manifest."""


def attention_support(config: PreTrainedConfig) -> Support:
    """Decides from the declared attention whether a token trie can be run.

    Tree attention needs a causal decoder whose token states depend on nothing but
    the visible tokens and their positions. What is not known to be so is refused:
    the fallback, length-sorted batches, is right for every model.

    Args:
        config: As loaded from the checkpoint.
    """
    for refusal in (_architecture, _direction, _layers, _positions):
        if reason := refusal(config):
            return Support(ok=False, reason=reason)
    shown = ", ".join(
        name if window is None else f"{name} of {window}"
        for name, window in sorted(windows(config).items())
    )
    return Support(ok=True, reason=f"causal decoder: {shown}")


def of_the_library(config: PreTrainedConfig) -> bool:
    """Whether a class of transformers runs it, not the checkpoint's own code."""
    return (
        config.model_type in CONFIG_MAPPING
        and CONFIG_MAPPING[config.model_type] is type(config)
        and type(config).__module__.split(".")[0] == "transformers"
    )


def by_length(config: PreTrainedConfig) -> str:
    """Why texts of other lengths may not share a forward pass; "": they may."""
    types = config.get_text_config(decoder=True).to_dict().get("layer_types") or ()
    if "indexed_attention" in types:
        # Which of equals are among the k is decided by how many there are in all.
        return "attention to the k most fitting tokens"
    found = scalings_by_length(config.to_dict())
    if not found:
        return ""
    return f"rotary scaling that depends on the batch ({', '.join(found)})"


def _architecture(config: PreTrainedConfig) -> str | None:
    if not of_the_library(config):
        return OWN_CODE
    if config.is_encoder_decoder:
        return "encoder-decoder"
    if config.get_text_config(decoder=True) is not config:
        return "a composite config (text beside other inputs)"
    if (
        type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING
        or type(config) not in MODEL_MAPPING
    ):
        return "no causal decoder"
    base = MODEL_MAPPING[type(config)]
    if isinstance(base, tuple):
        return "several base models"
    if base._is_stateful:
        return "recurrent state"
    if not (base._supports_sdpa or base._supports_attention_backend):
        return "its attention takes no mask of our own"
    if "position_ids" not in inspect.signature(base.forward).parameters:
        return "its forward pass takes no explicit positions"
    return None


def _direction(config: PreTrainedConfig) -> str | None:
    declared = config.to_dict()
    if declared.get("is_causal") is False:
        return "bidirectional attention (is_causal: false)"
    if declared.get("use_bidirectional_attention") not in (None, False):
        return "bidirectional attention (use_bidirectional_attention)"
    # Encoders that can also serve as decoders say which they are; some rotary
    # decoders carry the key as well, false and unused.
    if declared.get("is_decoder") is False and not declared.get("rope_parameters"):
        return "bidirectional attention (is_decoder: false)"
    return None


def _layers(config: PreTrainedConfig) -> str | None:
    declared = config.to_dict()
    types = set(declared.get("layer_types") or (FULL,))
    if other := types - {FULL, SLIDING}:
        return f"layers of {', '.join(sorted(other))}"
    if declared.get("attention_chunk_size"):
        return "chunked attention (attention_chunk_size)"
    for name, window in windows(config).items():
        if name == SLIDING and not isinstance(window, int):
            return f"a sliding window of {window!r}"
    return None


def _positions(config: PreTrainedConfig) -> str | None:
    declared = config.to_dict()
    if declared.get("alibi"):
        return "ALiBi positions (alibi: true)"
    kind = declared.get("position_embedding_type", "absolute")
    if kind not in ("absolute", "rope", "rotary"):
        return f"position_embedding_type: {kind}"
    rope = declared.get("rope_parameters")
    if not rope:
        name = "max_position_embeddings"
        if config.attribute_map.get(name, name) not in declared:
            return "neither rotary nor learned positions are declared"
        return None
    return by_length(config) or None


def windows(config: PreTrainedConfig) -> dict[str, int | None]:
    """Layer type -> its window in tokens, None: all of the path.

    Follows `transformers.masking_utils.create_masks_for_generate`: without
    `layer_types`, a declared window applies to every layer.
    """
    declared = config.to_dict()
    window = declared.get("sliding_window")
    types = declared.get("layer_types") or (FULL if window is None else SLIDING,)
    return {name: window if name == SLIDING else None for name in types}
