"""Runs a pack through a causal decoder: one forward, ancestors-only attention.

An explicit mask replaces every mask the library would build, its sliding window
included, so masks are built here per declared layer type. In pre-order, a run of
consecutive nodes sees only the ancestors of its first node and itself; so attention
is computed run by run, in time linear in the pack, and only the linear layers see
the pack as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface, Cache, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from probe import tree
from probe.tree_support import windows
from probe.types import ConfigError

RUN = 64
"""Nodes of a run."""

_COPIES = 4
"""Most keys gathered at once, as a multiple of the pack's: bounds the memory of deep
tries, whose runs see long paths."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Consecutive runs of Q nodes whose attention is computed at once, as a batch.

    A run sees nothing but the ancestors of its first node, and itself.
    """

    start: int
    """First node."""
    end: int
    """One past the last node; the last run may be cut short by it."""
    length: int
    """Q, nodes of a run."""
    keys: torch.Tensor
    """Shape (runs, K): nodes that each run sees, ascending, filled up with -1."""
    offset: int
    """Where the block's mask begins among those of its pack."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the mask: runs, Q, K."""
        return (self.keys.shape[0], self.length, self.keys.shape[1])

    @property
    def size(self) -> int:
        """Query-key pairs."""
        return math.prod(self.shape)


def blocks(
    pack: tree.Pack, device: torch.device, length: int | None = None
) -> tuple[Block, ...]:
    """Cuts a pack into runs, and gathers runs into blocks.

    Args:
        pack: N nodes.
        device: Where the indices go.
        length: Nodes of a run; None: `RUN`. With N there is one block of one run, and
            its mask is the ordinary one of N queries and N keys.
    """
    n_nodes = len(pack)
    length = min(length or RUN, n_nodes)
    seen = [
        np.concatenate(
            [
                np.flatnonzero(pack.subtree_end[:start] > start),
                np.arange(start, min(start + length, n_nodes)),
            ]
        )
        for start in range(0, n_nodes, length)
    ]
    made: list[Block] = []
    first = offset = 0
    while first < len(seen):
        last, widest = first, 0
        while last < len(seen):
            wider = max(widest, len(seen[last]))
            if last > first and (last + 1 - first) * wider > _COPIES * n_nodes:
                break
            last, widest = last + 1, wider
        keys = np.full((last - first, widest), -1, dtype=np.int64)
        for row, nodes in enumerate(seen[first:last]):
            keys[row, : len(nodes)] = nodes
        block = Block(
            start=first * length,
            end=min(last * length, n_nodes),
            length=length,
            keys=torch.from_numpy(keys).to(device),
            offset=offset,
        )
        made.append(block)
        offset += block.size
        first = last
    return tuple(made)


def visible(
    pack: tree.Pack, block: Block, window: int | None, device: torch.device
) -> torch.Tensor:
    """Which of its run's keys each node attends to.

    Args:
        pack: The block's pack.
        block: Of shape (runs, Q, K).
        window: Of a sliding layer: a token sees positions less than `window` before
            its own; None: its whole path.
        device: Where the mask is made.

    Returns:
        Boolean, shape (runs, Q, K): ancestors and, but for synthetic nodes, the token
        itself. Rows beyond the block's end see one key, and are never read.

    Raises:
        ConfigError: A synthetic node beyond the window sees nothing, so that its
            state is undefined in the published code as well.
    """
    n_runs, length, _ = block.shape
    ends = torch.from_numpy(pack.subtree_end).to(device)
    position = torch.from_numpy(pack.position_ids).to(device)
    alone = torch.from_numpy(~pack.self_visible).to(device)
    node = block.start + torch.arange(n_runs * length, device=device)
    beyond = (node >= block.end).view(n_runs, length)
    query = node.clamp(max=len(pack) - 1).view(n_runs, length, 1)
    filled = (block.keys >= 0)[:, None]
    key = block.keys.clamp(min=0)[:, None]
    mask = filled & (key <= query) & (query < ends[key])
    mask &= ~((key == query) & alone[query])
    if window is not None:
        mask &= position[query] - position[key] < window
        if not bool((mask.any(dim=2) | beyond).all()):
            raise ConfigError(
                f"`pool: last_column` with a sliding window of {window} tokens",
                "The last column must see some token of the text",
                "Use `pool: last_token`, or a smaller `padding.to`",
            )
    mask[beyond] = False
    mask[..., 0] |= beyond
    return mask


def hidden_states(
    backbone: PreTrainedModel, pack: tree.Pack, cache: Cache | None = None
) -> torch.Tensor:
    """Final hidden states of every node of a pack.

    Args:
        backbone: The base model, without a head, in evaluation mode, of a config that
            `attention_support` accepts.
        pack: N nodes.
        cache: An empty one takes every node's keys and values; None: nothing is kept.

    Returns:
        Shape (N, hidden), the last norm applied; made under `torch.inference_mode`,
        so a head must be applied under it as well.

    Raises:
        ConfigError: The attention in use takes no such mask, or as `visible`.
    """
    attention = backbone.config._attn_implementation
    if attention not in ("sdpa", "eager"):
        raise ConfigError(
            f"attention implementation '{attention}'",
            "Tree attention runs on `sdpa` or `eager`",
            "Load the model with attn_implementation='sdpa'",
        )
    assert not backbone.training, "dropout would change scores"
    device = device_of(backbone)
    by_run = attention == "sdpa" and backbone._supports_attention_backend
    parts = blocks(pack, device, None if by_run else len(pack))
    arguments: dict[str, Any] = {
        "input_ids": torch.from_numpy(pack.token_ids)[None].to(device),
        "position_ids": torch.from_numpy(pack.position_ids)[None].to(device),
        "attention_mask": masks(pack, parts, backbone),
        "use_cache": cache is not None,
    }
    if cache is not None:
        arguments["past_key_values"] = cache
    with torch.inference_mode():
        if by_run:
            with lent(backbone, _attend_by_run):
                return backbone(**arguments, tree_blocks=parts).last_hidden_state[0]
        return backbone(**arguments).last_hidden_state[0]


def masks(
    pack: tree.Pack, parts: tuple[Block, ...], backbone: PreTrainedModel
) -> torch.Tensor | dict[str, torch.Tensor]:
    """The pack's masks in the form that the backbone's forward pass takes.

    SDPA takes booleans. Eager attention adds its mask to the scores, where a boolean
    would silently count as 0 or 1, so there it is 0 or the dtype's minimum. Models of
    several layer types take one mask a type, others the only one.

    Returns:
        Shape (1, 1, N, N) each if one run is the whole pack, else (1, 1, 1, M): the
        masks of all blocks, flat, one after the other. Four dimensions tell the
        library that it is to build no mask of its own.
    """
    config = backbone.config
    device = device_of(backbone)
    made: dict[int | None, torch.Tensor] = {}
    by_type: dict[str, torch.Tensor] = {}
    longest = int(pack.position_ids.max())
    dense = len(parts) == 1 and parts[0].length == len(pack)
    for name, declared in windows(config).items():
        # A window that holds the longest path is no window; layers then share a mask.
        window = None if declared is None or declared > longest else declared
        if window not in made:
            flat = [visible(pack, part, window, device).flatten() for part in parts]
            mask = torch.cat(flat).view(1, 1, len(pack) if dense else 1, -1)
            made[window] = taken(mask, backbone)
        by_type[name] = made[window]
    return by_type if len(by_type) > 1 else by_type.popitem()[1]


def taken(mask: torch.Tensor, backbone: PreTrainedModel) -> torch.Tensor:
    """A boolean mask as the backbone's attention takes it: eager attention adds it."""
    if backbone.config._attn_implementation != "eager":
        return mask
    zero = torch.zeros((), dtype=backbone.dtype, device=mask.device)
    return torch.where(mask, zero, torch.finfo(backbone.dtype).min)


def device_of(model: PreTrainedModel) -> torch.device:
    """Where a model's inputs go: beside its embedding."""
    return next(iter((embedding_of(model) or model).parameters())).device


def embedding_of(model: PreTrainedModel) -> torch.nn.Module | None:
    """The table of a vocabulary; None: characters are hashed, or it lies deeper."""
    try:
        found = model.get_input_embeddings()
    except NotImplementedError:
        return None
    return found if isinstance(found, torch.nn.Module) else None


@contextmanager
def lent(backbone: PreTrainedModel, attend: Callable[..., Any]) -> Iterator[None]:
    """Lends the backbone an attention function of ours, and gives back its own."""
    own = backbone.config._attn_implementation
    name = f"rm_probe{attend.__name__}"
    AttentionInterface.register(name, attend)
    backbone.set_attn_implementation(name)
    try:
        yield
    finally:
        backbone.set_attn_implementation(own)


def _attend_by_run(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    tree_blocks: tuple[Block, ...],
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The library's SDPA function, called on batches of runs.

    Args:
        module: The attention layer.
        query: Shape (1, heads, N, dim).
        key: Shape (1, key heads, N, dim), as `value`.
        value: See `key`.
        attention_mask: As `masks` makes it.
        tree_blocks: Passed down by the model's forward, as the library promises of
            models that `_supports_attention_backend`.
        kwargs: Scaling and the like, for the library's function.

    Returns:
        Shape (1, N, heads, dim), and no attention weights.
    """
    outputs = []
    flat = attention_mask.flatten()
    for block in tree_blocks:
        n_runs, length, n_keys = block.shape
        nodes = block.keys.clamp(min=0).flatten().to(key.device)
        own = query[0, :, block.start : block.end]
        missing = n_runs * length - own.shape[1]
        if missing:
            own = torch.nn.functional.pad(own, (0, 0, 0, missing))
        keys, values = (
            every[0].index_select(1, nodes).unflatten(1, (n_runs, n_keys))
            for every in (key, value)
        )
        output, _ = sdpa_attention_forward(
            module,
            own.unflatten(1, (n_runs, length)).transpose(0, 1),
            keys.transpose(0, 1),
            values.transpose(0, 1),
            flat[block.offset : block.offset + block.size].view(block.shape)[:, None],
            **kwargs,
        )
        outputs.append(output.flatten(0, 1)[: block.end - block.start])
    whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return whole[None], None
