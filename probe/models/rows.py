"""Prompts as rows of a batch that grows by a token at a time.

Of each prompt its keys and values are kept, as `probe.tree_attention` computed them.
The linear layers see all rows together, so that weights are read once for all of them.
Attention is computed a block of rows of similar length at a time: padded to the
longest prompt of all, most rows would mostly read padding.

A row ends where its block ends: padding first, then the prompt, then its new tokens.
Masks and positions say so explicitly.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from probe import tree_attention, tree_support
from probe.models import engine

_SIMILAR = 0.75
"""Least share of a block's columns that a row of it fills."""


@dataclass(kw_only=True)
class _Block:
    """Rows whose attention is computed together; none of them is padded much."""

    start: int
    """First column of a layer's store that is the block's."""
    n_rows: int
    """Rows it was made for."""
    n_columns: int
    """Columns of each of them, new tokens included."""
    used: int
    """Columns that are filled."""
    members: list[int] = field(default_factory=list)
    """Index of each prompt that is still a row."""
    pads: list[int] = field(default_factory=list)
    """Columns of padding before each of them."""

    def whole(self, store: torch.Tensor) -> torch.Tensor:
        """Its part of a store, shape (heads, rows, columns, dim)."""
        end = self.start + self.n_rows * self.n_columns
        part = store[0, :, self.start : end]
        return part.unflatten(1, (self.n_rows, self.n_columns))

    def filled(self, store: torch.Tensor) -> torch.Tensor:
        """What its rows hold, shape (rows, heads, used, dim)."""
        return self.whole(store)[:, : len(self.members), : self.used].transpose(0, 1)

    def visible(self, window: int | None, device: torch.device) -> torch.Tensor:
        """What the newest token of each row attends to, shape (rows, used)."""
        column = torch.arange(self.used, device=device)
        mask = column >= torch.tensor(self.pads, device=device)[:, None]
        return mask if window is None else mask & (column >= self.used - window)


class _Layer(DynamicLayer):
    """Keys and values of all rows, with room for the tokens to come.

    Both are stores of shape (1, key heads, columns of all blocks, dim). The library's
    own layer copies everything whenever a token is added.
    """

    def __init__(
        self,
        like: tuple[torch.Tensor, torch.Tensor],
        blocks: list[_Block],
        apart: bool,
    ) -> None:
        """Makes room for `blocks`, which are shared with the other layers.

        Args:
            like: Keys and values of a trie's layer.
            blocks: Of all rows.
            apart: Whether attention is computed block by block; else there is one
                block, and attention is the library's.
        """
        super().__init__()
        self._blocks, self._apart = blocks, apart
        size = sum(one.n_rows * one.n_columns for one in blocks)
        # Zeros: a masked value of no meaning is still multiplied, by zero.
        self.keys, self.values = self._stores = tuple(
            one.new_zeros((1, one.shape[1], size, one.shape[3])) for one in like
        )
        self.dtype, self.device = self.keys.dtype, self.keys.device
        self.is_initialized = True

    def fill(
        self,
        block: _Block,
        row: int,
        states: tuple[torch.Tensor, torch.Tensor],
        path: torch.Tensor,
    ) -> None:
        """Copies what the nodes of a prompt's path left in a trie's layer."""
        place = slice(block.used - len(path), block.used)
        for store, one in zip(self._stores, states, strict=True):
            found = one[0].index_select(1, path.to(one.device))
            block.whole(store)[:, row, place] = found

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: object,
        **__: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds one token to every row."""
        for store, new in zip(self._stores, (key_states, value_states), strict=True):
            first = 0
            for block in self._blocks:
                end = first + len(block.members)
                block.filled(store)[:, :, -1] = new[first:end, :, 0]
                first = end
        keys, values = self._stores
        if self._apart:
            return keys, values
        [block] = self._blocks
        return block.filled(keys), block.filled(values)

    def move(self, block: _Block, into: Sequence[int], moved: Sequence[int]) -> None:
        """Copies rows `moved` of a block to `into`."""
        for store in self._stores:
            whole = block.whole(store)
            for target, source in zip(into, moved, strict=True):
                whole[:, target, : block.used] = whole[:, source, : block.used]


class Rows:
    """Prompts that are continued together."""

    def __init__(
        self,
        backbone: PreTrainedModel,
        lengths: Sequence[int],
        rooms: Sequence[int],
        like: DynamicCache,
    ) -> None:
        """Makes room for prompts; `fill` brings each of them.

        Args:
            backbone: Base model without a head.
            lengths: Tokens of each prompt.
            rooms: Most tokens that `step` will add to each.
            like: Any cache of the model: says what a column holds.
        """
        self._backbone = backbone
        apart = (
            backbone.config._attn_implementation == "sdpa"
            and backbone._supports_attention_backend
        )
        self._apart = apart
        self._blocks = _blocks(lengths, rooms, _SIMILAR if apart else 0.0)
        self._layers = [_Layer(stored(one), self._blocks, apart) for one in like.layers]
        self._cache = Cache(layers=list(self._layers))

    @property
    def members(self) -> list[int]:
        """Index of each row's prompt."""
        return [index for block in self._blocks for index in block.members]

    def fill(self, index: int, cache: DynamicCache, path: torch.Tensor) -> None:
        """Takes over a prompt from the trie that read it.

        Args:
            index: Of the prompt.
            cache: What the trie's nodes left.
            path: The prompt's nodes.
        """
        for block in self._blocks:
            if index in block.members:
                row = block.members.index(index)
                for layer, found in zip(self._layers, cache.layers, strict=True):
                    layer.fill(block, row, stored(found), path)

    def keep(self, going: Collection[int]) -> list[int]:
        """Drops all rows but these.

        Rows from a block's end move into its gaps, so that only they are copied.

        Returns:
            The former row of each row that is left.
        """
        left: list[int] = []
        first = 0
        for block in self._blocks:
            end = first + len(block.members)
            kept = sorted(row - first for row in going if first <= row < end)
            order = list(range(len(kept)))
            gaps = sorted(set(order) - set(kept))
            moved = kept[len(kept) - len(gaps) :]
            for gap, row in zip(gaps, moved, strict=True):
                order[gap] = row
            for layer in self._layers:
                layer.move(block, gaps, moved)
            block.members = [block.members[row] for row in order]
            block.pads = [block.pads[row] for row in order]
            left += [first + row for row in order]
            first = end
        # Layers share the list.
        self._blocks[:] = [block for block in self._blocks if block.members]
        return left

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Adds a token to each row; its final states, shape (rows, hidden)."""
        device = engine.device_of(self._backbone)
        for block in self._blocks:
            block.used += 1
        position = [b.used - 1 - pad for b in self._blocks for pad in b.pads]
        arguments: dict[str, Any] = {
            "input_ids": torch.tensor(tokens, device=device)[:, None],
            "position_ids": torch.tensor(position, device=device)[:, None],
            "attention_mask": self._masks(device),
            "past_key_values": self._cache,
            "use_cache": True,
        }
        if not self._apart:
            return self._backbone(**arguments).last_hidden_state[:, -1]
        with tree_attention.lent(self._backbone, _attend_by_block):
            states = self._backbone(**arguments, row_blocks=tuple(self._blocks))
        return states.last_hidden_state[:, -1]

    def _masks(self, device: torch.device) -> torch.Tensor | dict[str, torch.Tensor]:
        """One mask a layer type, or the only one.

        Shape (rows, 1, 1, columns), or (1, 1, 1, M): those of all blocks, flat, one
        after the other. Booleans for SDPA; eager attention adds its mask to the scores.
        """
        made = {}
        for name, window in tree_support.windows(self._backbone.config).items():
            parts = [block.visible(window, device) for block in self._blocks]
            if self._apart:
                mask = torch.cat([part.flatten() for part in parts])[None, None, None]
            else:
                mask = parts[0][:, None, None]
            made[name] = tree_attention.taken(mask, self._backbone)
        return made if len(made) > 1 else made.popitem()[1]


def _blocks(
    lengths: Sequence[int], rooms: Sequence[int], similar: float
) -> list[_Block]:
    made: list[_Block] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if not made or length < similar * made[-1].used:
            made.append(_Block(start=0, n_rows=0, n_columns=0, used=length))
        block = made[-1]
        block.members.append(index)
        block.pads.append(block.used - length)
    start = 0
    for block in made:
        block.start, block.n_rows = start, len(block.members)
        block.n_columns = block.used + max(rooms[index] for index in block.members)
        start += block.n_rows * block.n_columns
    return made


def stored(layer: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of a layer of a trie's cache: shape (1, key heads, N, dim)."""
    assert isinstance(layer, DynamicLayer)
    assert layer.keys is not None and layer.values is not None
    return layer.keys, layer.values


def _attend_by_block(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    row_blocks: tuple[_Block, ...],
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The library's SDPA function, called on each block.

    Args:
        module: The attention layer.
        query: Shape (rows, heads, 1, dim).
        key: The layer's store, as `value`.
        value: See `key`.
        attention_mask: As `Rows` makes it.
        row_blocks: Passed down by the model's forward, as the library promises of
            models that `_supports_attention_backend`.
        kwargs: Scaling and the like, for the library's function.

    Returns:
        Shape (rows, 1, heads, dim), and no attention weights.
    """
    outputs = []
    row = column = 0
    flat = attention_mask.flatten()
    for block in row_blocks:
        size = len(block.members)
        mask = flat[column : column + size * block.used].view(size, 1, 1, block.used)
        output, _ = sdpa_attention_forward(
            module,
            query[row : row + size],
            block.filled(key),
            block.filled(value),
            mask,
            **kwargs,
        )
        outputs.append(output)
        row, column = row + size, column + size * block.used
    return torch.cat(outputs), None
