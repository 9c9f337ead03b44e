"""A config of the same pattern that builds in no time: what a class is tried on.

Width, depth, vocabulary, experts, windows and thresholds shrink; the kinds of layers,
of attention, of rotary scaling and of routing stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig

HIDDEN = 64
HEADS = 4
WINDOW = 8
"""Tokens of every window, chunk and top-k of a shrunken config."""
THRESHOLD = 16
"""Position at which a shrunken scaling of rotary positions changes."""
_DEEPEST = 8
"""Longest repetition of layers that is kept whole."""

# Key of a config -> its largest value; the first that matches.
_LARGEST = tuple(
    (re.compile(name), cap)
    for name, cap in (
        (r"(num|n)_(group|expert_group)s?|topk_group|ngram|ngram_size", 2),
        (r".*(experts_per_tok(en)?|moe_top_?k|moe_k|top_k_experts)", 2),
        (r".*shared_experts|zero_expert_num|num_self_attends_per_block", 1),
        (r"(.*_)?(num_|n_)(local_|routed_)?experts|ffn_num_experts", 4),
        (r"first_k_dense_replace|num_dense_layers|moe_layer_start_index", 1),
        (r"qk_rope_head_dim|rotary_dim|.*dt_rank|time_step_rank|n_groups", 8),
        (r".*(head_?dim|head_size|d_head|dim_head|kv_channels|d_kv)", 16),
        (r".*(_rank|d_state|state_size|d_rel|rel_extent|num_latents)", 16),
        (r"mamba_(n|num)_heads|n_mamba_heads", 8),
        (r".*heads?(_per_layer)?", HEADS),
        (r".*(intermediate|ffn|feed_forward|mlp).*(size|dim)|d_ff|dff|dim_ff", 96),
        (r"d_inner", 96),
        (r".*(hidden_size|embedding_size|embed_dim|bottleneck_size|embd_size)", HIDDEN),
        (r"d_model|n_embd|emb_dim|embedding_dim|lru_width|word_embed_proj_dim", HIDDEN),
        (r"d_latents|qk_channels", HIDDEN),
        (r"max_position_embeddings|n_positions|n_ctx|max_seq_len|seq_length", 256),
        (
            r"original_max_position_embeddings|floor_scale|log_scaling_n_floor",
            THRESHOLD,
        ),
        (r"block_size|index_block_size", 4),
        (r".*(sliding|attention|local|keep)_window(_size|_len)?|window_size", WINDOW),
        (r".*(chunk_size|chunk_length)|local_attention|.*topk|index_topk", WINDOW),
        (r"image_size", 28),
    )
)
_DEPTH = re.compile(
    r"(num|n)_((hidden|decoder|encoder)_)?(layers?|blocks)|(en|de)coder_layers|depth|"
    r"num_layers_per_stack"
)
_PERIOD = re.compile(r".*(_period|_interval|every_n_layers|group_size|_step|_pattern)")
_INDICES = re.compile(r".*(_layers|_idxs|_indexes|_indices|_layer_ids)")
_TOKENS = re.compile(r".*_(token_id|token_index|index|tokens)")
_KEYS = re.compile(r".*(key_value|kv)_(n_)?heads|kv_n_heads")


def shrink(config: PreTrainedConfig, vocabulary: int) -> PreTrainedConfig:
    """A small copy.

    Args:
        config: Of any architecture; composite ones shrink part by part.
        vocabulary: Tokens that are left.

    Raises:
        ValueError: The copy is no valid config; or whatever its class raises.
    """
    declared = config.to_dict()
    declared.pop("quantization_config", None)
    return type(config).from_dict(_shrunk(declared, vocabulary))


def _shrunk(declared: Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    made = {key: _value(key, value, vocabulary) for key, value in declared.items()}
    _fit(declared, made)
    _cut(declared, made)
    return made


def _value(key: str, value: Any, vocabulary: int) -> Any:
    if isinstance(value, Mapping) and key not in ("id2label", "label2id"):
        return _shrunk(value, vocabulary)
    if isinstance(value, list) and not _INDICES.fullmatch(key):
        return [_value(key, one, vocabulary) for one in value]
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return value
    if "vocab" in key and "offset" not in key:
        return min(value, vocabulary)
    if _TOKENS.fullmatch(key):
        # Different marks stay different.
        return value if value < vocabulary else vocabulary - 1 - value % 16
    caps = (cap for name, cap in _LARGEST if name.fullmatch(key))
    return min(value, next(caps, value))


def _fit(declared: Mapping[str, Any], made: dict[str, Any]) -> None:
    """Mends values that depend on each other."""
    heads = declared.get("num_attention_heads", declared.get("n_head")) or 0
    for key, value in declared.items():
        if isinstance(value, int) and _KEYS.fullmatch(key):
            fewer = min(heads, HEADS)
            made[key] = fewer if value == heads else min(value, max(1, fewer // 2))
    for key in ("head_dim", "query_pre_attn_scalar"):
        for other in ("qk_rope_head_dim", "qk_head_dim", "head_dim"):
            if declared.get(key) and declared.get(key) == declared.get(other):
                made[key] = made[other]
                break
    if made.get("qk_nope_head_dim") and made.get("qk_head_dim"):
        made["qk_head_dim"] = made["qk_nope_head_dim"] + made["qk_rope_head_dim"]
    hidden = made.get("hidden_size", HIDDEN)
    if wide := declared.get("attention_hidden_size"):
        made["attention_hidden_size"] = wide // declared["hidden_size"] * hidden
        if "attention_head_dim" in made:
            made["attention_head_dim"] = made["attention_hidden_size"] // HEADS
    expand = declared.get("mamba_expand", declared.get("expand"))
    dims = [k for k in ("mamba_d_head", "mamba_headdim", "mamba_head_dim") if k in made]
    if expand and (dims or {"num_heads", "head_dim"} <= set(made)):
        counts = ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads")
        count = next((k for k in counts if k in made), "num_heads")
        made[count] = int(expand * hidden) // made[dims[0] if dims else "head_dim"]
        if "mamba_d_ssm" in made:
            made["mamba_d_ssm"] = int(expand * hidden)
    if parts := made.get("axial_pos_embds_dim"):
        made["axial_pos_embds_dim"] = [hidden * one // sum(parts) for one in parts]
    for key, value in made.items():
        # Of pairs of a head's dimensions, as many as there are.
        if key.endswith("_factor") and isinstance(value, list):
            made[key] = value[: int(8 * declared.get("partial_rotary_factor", 1))]
        if key.endswith("mrope_section"):
            made[key] = [2, 3, 3][: len(value)]


def _cut(declared: Mapping[str, Any], made: dict[str, Any]) -> None:
    """Cuts the depth to the least that has every kind of layer."""
    depths = {
        key: value
        for key, value in declared.items()
        if isinstance(value, int) and _DEPTH.fullmatch(key)
    }
    for key, depth in depths.items():
        least = 2
        for name, value in declared.items():
            if isinstance(value, int) and _PERIOD.fullmatch(name):
                least = max(least, value if value <= _DEEPEST else 0)
            elif isinstance(value, list) and value and isinstance(value[0], str | int):
                if len(value) == depth and len(set(value)) <= 4:
                    least = max(least, *(value.index(kind) + 1 for kind in set(value)))
                elif name.endswith("_types") and len(value) <= _DEEPEST:
                    least = max(least, len(value))
        if declared.get("num_kv_shared_layers"):
            made["num_kv_shared_layers"] = least
            least *= 2
        made[key] = least = min(depth, least)
        for name, value in declared.items():
            if isinstance(value, list) and len(value) == depth:
                made[name] = made[name][:least]
            elif isinstance(value, list) and _INDICES.fullmatch(name):
                made[name] = [
                    one for one in value if isinstance(one, int) and one < least
                ]
            elif name == "per_layer_config" and value:
                made[name] = {
                    at: one for at, one in made[name].items() if int(at) < least
                }
