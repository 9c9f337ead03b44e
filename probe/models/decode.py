"""Many prompts at once through a causal decoder, and on from there token by token.

`read` computes prompts in token tries, beside the answers that are scored under them:
every unique token is read once, and the prompt of a scored answer costs nothing more.
Of each prompt it keeps the keys and values on its path. `decode` then writes the next
tokens of all prompts together, and drops those that have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from probe import tree, tree_attention, tree_support
from probe.models import engine

CACHE_BYTES = 2**30
"""Bound on the keys and values decoded together; one longer prompt may exceed it."""

Written = tuple[int, ...] | None
"""New tokens without the end token; None: the model gave no number to choose by."""


class Head(Protocol):
    """What picks tokens from hidden states."""

    def best(self, hidden: torch.Tensor) -> torch.Tensor:
        """Most probable token of states (R, hidden), -1 where there is none; (R,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prefix:
    """A prompt that was read: all that its next tokens need of it."""

    owner: int
    """Index into the sequences given to `read`."""
    hidden: torch.Tensor
    """Final state of its last token, shape (hidden,)."""
    keys: tuple[torch.Tensor, ...]
    """A layer each: shape (key heads, L, dim)."""
    values: tuple[torch.Tensor, ...]
    """As `keys`."""

    @property
    def length(self) -> int:
        """Tokens of the prompt, L."""
        return self.keys[0].shape[1]

    @property
    def n_bytes(self) -> int:
        """Of keys and values."""
        return sum(one.nbytes for one in (*self.keys, *self.values))


def read(
    backbone: PreTrainedModel,
    sequences: Sequence[tree.Sequence],
    batch_tokens: int,
) -> Iterator[tuple[engine.Reads, Iterator[Prefix]]]:
    """Reads prompts and scored answers in token tries, a pack at a time.

    Args:
        backbone: Base model without a head, of a config that `tree_support` accepts.
        sequences: Answers, and prompts: those whose `read` is None.
        batch_tokens: Tokens of a pack.

    Yields:
        The states that score the answers, and the pack's prompts, each made when it is
        taken.

    Raises:
        DataError: As `probe.tree.plan`.
        ConfigError: As `probe.tree_attention.hidden_states`.
    """
    for pack in tree.plan(sequences, budget=batch_tokens).packs:
        prompts = pack.read_targets == tree.REWARD
        # Without a config: a cache that knew of windows would forget what lies
        # outside, of all branches together.
        cache = DynamicCache() if prompts.any() else None
        states = tree_attention.hidden_states(backbone, pack, cache)
        scored = np.flatnonzero(~prompts)
        nodes = torch.from_numpy(pack.read_nodes[scored]).to(states.device)
        reads = engine.Reads(
            hidden=states[nodes],
            owners=pack.owners[scored],
            targets=pack.read_targets[scored],
        )
        yield reads, _prefixes(pack, states, cache)


def _prefixes(
    pack: tree.Pack, states: torch.Tensor, cache: Cache | None
) -> Iterator[Prefix]:
    if cache is None:
        return
    for at in np.flatnonzero(pack.read_targets == tree.REWARD):
        node = pack.read_nodes[at]
        path = torch.from_numpy(np.flatnonzero(pack.subtree_end[: node + 1] > node))
        pairs = [_along(layer, path) for layer in cache.layers]
        yield Prefix(
            owner=int(pack.owners[at]),
            hidden=states[node],
            keys=tuple(keys for keys, _ in pairs),
            values=tuple(values for _, values in pairs),
        )


def _along(layer: object, path: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    assert isinstance(layer, DynamicLayer)
    keys, values = layer.keys, layer.values
    assert keys is not None and values is not None
    return (
        keys[0].index_select(1, path.to(keys.device)),
        values[0].index_select(1, path.to(values.device)),
    )


def decode(
    backbone: PreTrainedModel,
    head: Head,
    prefixes: Sequence[Prefix],
    limits: Sequence[int],
    end_ids: frozenset[int],
) -> list[Written]:
    """The greedy continuation of each prompt, all decoded together.

    Args:
        backbone: The model that read them.
        head: Picks the next token.
        prefixes: The prompts.
        limits: Most new tokens of each, at least 1.
        end_ids: Tokens that end an answer.
    """
    written: list[list[int]] = [[] for _ in prefixes]
    failed: set[int] = set()
    with torch.inference_mode():
        rows = _Rows(backbone, prefixes, room=max(limits) - 1)
        hidden = torch.stack([one.hidden for one in prefixes])
        while rows.owners:
            tokens = head.best(hidden).tolist()
            going = []
            for row, (owner, token) in enumerate(zip(rows.owners, tokens, strict=True)):
                if token < 0:
                    failed.add(owner)
                elif token not in end_ids:
                    written[owner].append(token)
                    if len(written[owner]) < limits[owner]:
                        going.append(row)
            kept = rows.keep(going)
            if kept:
                hidden = rows.step([tokens[row] for row in kept])
    return [None if i in failed else tuple(one) for i, one in enumerate(written)]


class _Layer(DynamicLayer):
    """Keys and values of all rows, with room for the tokens to come.

    The library's own layer copies everything whenever a token is added.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, used: int) -> None:
        """Takes over buffers of shape (rows, key heads, columns, dim)."""
        super().__init__()
        self._stores = (keys, values)
        self._show(len(keys), used)
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def _show(self, n_rows: int, used: int) -> None:
        self.keys, self.values = (one[:n_rows, :, :used] for one in self._stores)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: object,
        **__: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds one token to every row."""
        assert self.keys is not None
        n_rows, used = self.keys.shape[0], self.keys.shape[2]
        for store, new in zip(self._stores, (key_states, value_states), strict=True):
            store[:n_rows, :, used : used + 1] = new
        self._show(n_rows, used + 1)
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def keep(self, into: Sequence[int], moved: Sequence[int], n_rows: int) -> None:
        """Copies rows `moved` to `into`; the first `n_rows` are left."""
        assert self.keys is not None
        used = self.keys.shape[2]
        for store in self._stores:
            for target, source in zip(into, moved, strict=True):
                store[target, :, :used] = store[source, :, :used]
        self._show(n_rows, used)


class _Rows:
    """Prompts as rows of a batch that grows by a token at a time.

    Row i has its prompt in its first columns, nothing up to the longest prompt's end,
    then its new tokens. Masks and positions say so explicitly.
    """

    def __init__(
        self, backbone: PreTrainedModel, prefixes: Sequence[Prefix], room: int
    ) -> None:
        self.owners = list(range(len(prefixes)))
        """Row -> index into `prefixes`."""
        self._backbone = backbone
        self._lengths = [one.length for one in prefixes]
        self._longest = max(self._lengths)
        self._steps = 0
        self._layers = [
            _Layer(
                self._store([one.keys[layer] for one in prefixes], room),
                self._store([one.values[layer] for one in prefixes], room),
                self._longest,
            )
            for layer in range(len(prefixes[0].keys))
        ]
        self._cache = Cache(layers=list(self._layers))

    def _store(self, rows: Sequence[torch.Tensor], room: int) -> torch.Tensor:
        heads, _, dim = rows[0].shape
        # Zeros: a masked value of no meaning is still multiplied, by zero.
        store = rows[0].new_zeros((len(rows), heads, self._longest + room, dim))
        for row, states in enumerate(rows):
            store[row, :, : states.shape[1]] = states
        return store

    def keep(self, going: Sequence[int]) -> list[int]:
        """Drops all rows but these.

        Rows from the end move into the gaps, so that only they are copied.

        Returns:
            The former row of each row that is left.
        """
        order = list(range(len(going)))
        gaps = sorted(set(order) - set(going))
        moved = [row for row in going if row >= len(going)]
        for gap, row in zip(gaps, moved, strict=True):
            order[gap] = row
        for layer in self._layers:
            layer.keep(gaps, moved, len(order))
        self.owners = [self.owners[row] for row in order]
        self._lengths = [self._lengths[row] for row in order]
        return order

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Adds a token to each row; its final states, shape (rows, hidden)."""
        device = engine.device_of(self._backbone)
        lengths = torch.tensor(self._lengths, device=device)[:, None]
        position = lengths + self._steps
        column = torch.arange(self._longest + self._steps + 1, device=device)[None]
        new = column - self._longest
        # Position of each column's token in its row.
        at = torch.where(new < 0, column, lengths + new)
        filled = (column < lengths) | (new >= 0)
        masks = {}
        for name, window in tree_support.windows(self._backbone.config).items():
            mask = filled if window is None else filled & (position - at < window)
            masks[name] = _as_mask(mask[:, None, None], self._backbone)
        states = self._backbone(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            position_ids=position,
            attention_mask=masks if len(masks) > 1 else masks.popitem()[1],
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        self._steps += 1
        return states


def _as_mask(visible: torch.Tensor, backbone: PreTrainedModel) -> torch.Tensor:
    """Booleans for SDPA; eager attention adds its mask to the scores."""
    if backbone.config._attn_implementation != "eager":
        return visible
    zero = torch.zeros((), dtype=backbone.dtype, device=visible.device)
    return torch.where(visible, zero, torch.finfo(backbone.dtype).min)


def self_test(backbone: PreTrainedModel) -> float:
    """Continues three branching prompts by given tokens, and reads them plainly.

    Returns:
        The largest difference of a final state, in units of the states' root mean
        square: rounding in float32 gives about 1e-5.
    """
    ids = np.random.default_rng(0).integers(0, backbone.config.vocab_size, size=40)
    trunk, first, second, third = (tuple(map(int, part)) for part in np.split(ids, 4))
    paths = (trunk, trunk + first, trunk[:4] + second)
    prompts = [tree.Sequence(token_ids=path, read=None) for path in paths]
    prefixes = [
        prefix
        for _, found in read(backbone, prompts, tree.DEFAULT_BUDGET)
        for prefix in found
    ]
    worst, scale = 0.0, 0.0
    with torch.inference_mode():
        rows = _Rows(backbone, prefixes, room=2)
        rows.step(third[:3])
        # The first row ends: another takes its place.
        kept = rows.keep((1, 2))
        continued = rows.step([third[3 + row] for row in kept])
        for row, state in zip(kept, continued, strict=True):
            whole = (*paths[prefixes[row].owner], third[row], third[3 + row])
            alone = backbone(
                input_ids=torch.tensor([whole], device=state.device), use_cache=False
            ).last_hidden_state[0, -1]
            worst = max(worst, float((state - alone).abs().max()))
            scale = max(scale, float(alone.float().square().mean().sqrt()))
    return worst / scale
