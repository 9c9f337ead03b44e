"""Many prompts at once through a causal decoder, and on from there token by token.

Prompts are read in token tries, beside the answers that are scored under them: every
unique token is read once, and the prompt of a scored answer costs nothing more. What
the trie's nodes leave of a prompt becomes a row (`probe.models.rows`); the next tokens
of many prompts are then written together, and rows that have ended are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from probe import tree, tree_attention
from probe.models import engine
from probe.models.rows import Rows, stored

CACHE_BYTES = 2**31
"""Bound on the keys and values of prompts that are continued together; one longer
prompt may exceed it. A GPU of more than 16 GiB gives an eighth of its memory."""

Written = tuple[int, ...] | None
"""New tokens without the end token, and with the one that completed a stop string;
None: the model gave no number to choose by."""


class Head(Protocol):
    """What picks tokens from hidden states."""

    def best(self, hidden: torch.Tensor) -> torch.Tensor:
        """Most probable token of states (R, hidden), -1 where there is none; (R,)."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt to continue."""

    token_ids: tuple[int, ...]
    limit: int
    """Most new tokens, at least 1."""
    stop: tuple[str, ...]
    """Strings that end the answer."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What ends an answer before its limit."""

    end_ids: frozenset[int]
    """Tokens that do."""
    stopped: Callable[[Sequence[int], Sequence[str]], bool]
    """Whether new tokens hold one of the stop strings."""


class Draft:
    """One answer while it is written."""

    def __init__(self, request: Request, ending: Ending) -> None:
        """Begins with no token."""
        self._request, self._ending = request, ending
        self._token_ids: list[int] = []
        self._failed = False

    def add(self, token: int) -> bool:
        """Takes the next token, -1 for none; says whether the answer goes on."""
        if token < 0:
            self._failed = True
            return False
        if token in self._ending.end_ids:
            return False
        self._token_ids.append(token)
        if self._ending.stopped(self._token_ids, self._request.stop):
            return False
        return len(self._token_ids) < self._request.limit

    @property
    def written(self) -> Written:
        """What is there so far."""
        return None if self._failed else tuple(self._token_ids)


def run(
    backbone: PreTrainedModel,
    head: Head,
    sequences: Sequence[tree.Sequence],
    requests: Sequence[Request],
    *,
    ending: Ending,
    batch_tokens: int,
) -> Iterator[engine.Reads | Mapping[int, Written]]:
    """Reads answers to score and continues prompts, from the same tries.

    Args:
        backbone: Base model without a head, of a config that `tree_support` accepts.
        head: Picks the next token.
        sequences: Answers to score.
        requests: Prompts to continue.
        ending: What ends a continuation.
        batch_tokens: Tokens of a pack.

    Yields:
        In between, as they come: states that score answers, and continuations by the
        index of their request.

    Raises:
        DataError: As `probe.tree.plan`.
        ConfigError: As `probe.tree_attention.hidden_states`.
    """
    asked = [tree.Sequence(token_ids=one.token_ids, read=None) for one in requests]
    together = [*sequences, *asked]
    tokens = engine.pack_tokens(together, batch_tokens)
    packs = tree.plan(together, budget=tokens).packs
    order = [
        int(owner) - len(sequences)
        for pack in packs
        for owner in pack.owners[pack.read_targets == tree.REWARD]
    ]
    batch: _Batch | None = None
    for pack in packs:
        prompts = pack.read_targets == tree.REWARD
        # Without a config: a cache that knew of windows would forget what lies
        # outside, of all branches together.
        cache = DynamicCache() if prompts.any() else None
        states = tree_attention.hidden_states(backbone, pack, cache)
        if not prompts.all():
            yield _reads(pack, states, ~prompts)
        for at in np.flatnonzero(prompts):
            assert cache is not None
            if batch is None:
                size = _fitting(requests, order, cache)
                batch = _Batch(backbone, requests, order[:size], ending, cache)
                order = order[size:]
            node = int(pack.read_nodes[at])
            path = np.flatnonzero(pack.subtree_end[: node + 1] > node)
            index = int(pack.owners[at]) - len(sequences)
            batch.take(index, cache, path, states[node])
            if batch.whole:
                yield batch.write(head)
                batch = None
    assert batch is None and not order, "a prompt was read that nobody continued"


def _reads(pack: tree.Pack, states: torch.Tensor, wanted: np.ndarray) -> engine.Reads:
    nodes = torch.from_numpy(pack.read_nodes[wanted]).to(states.device)
    return engine.Reads(
        hidden=states[nodes],
        owners=pack.owners[wanted],
        targets=pack.read_targets[wanted],
    )


def _fitting(
    requests: Sequence[Request], order: Sequence[int], cache: DynamicCache
) -> int:
    """How many of the next prompts are continued together, at least one."""
    tensors = [one for layer in cache.layers for one in stored(layer)]
    a_token = sum(one.nbytes // one.shape[2] for one in tensors)
    bound = _bound(tensors[0].device)
    taken = 0
    for size, index in enumerate(order):
        request = requests[index]
        taken += a_token * (len(request.token_ids) + request.limit - 1)
        if size and taken > bound:
            return size
    return len(order)


def _bound(device: torch.device) -> int:
    if device.type != "cuda":
        return CACHE_BYTES
    # Of the whole, not of what is free: the same prompts meet when a run goes on.
    total = torch.cuda.get_device_properties(device).total_memory
    return max(CACHE_BYTES, total // 8)


class _Batch:
    """Prompts that are continued together, once all of them have been read."""

    def __init__(
        self,
        backbone: PreTrainedModel,
        requests: Sequence[Request],
        members: Sequence[int],
        ending: Ending,
        cache: DynamicCache,
    ) -> None:
        chosen = [requests[index] for index in members]
        self._members = list(members)
        self._drafts = [Draft(one, ending) for one in chosen]
        self._states: dict[int, torch.Tensor] = {}
        self._rows = Rows(
            backbone,
            [len(one.token_ids) for one in chosen],
            [one.limit - 1 for one in chosen],
            cache,
        )

    def take(
        self, index: int, cache: DynamicCache, path: np.ndarray, state: torch.Tensor
    ) -> None:
        """Keeps what a trie's nodes left of a prompt, and its last token's state."""
        place = self._members.index(index)
        self._rows.fill(place, cache, torch.from_numpy(path))
        self._states[place] = state

    @property
    def whole(self) -> bool:
        return len(self._states) == len(self._members)

    def write(self, head: Head) -> Mapping[int, Written]:
        """The greedy continuation of each prompt."""
        rows, drafts = self._rows, self._drafts
        with torch.inference_mode():
            hidden = torch.stack([self._states[place] for place in rows.members])
            while rows.members:
                tokens = head.best(hidden).tolist()
                pairs = enumerate(zip(rows.members, tokens, strict=True))
                going = [row for row, (place, t) in pairs if drafts[place].add(t)]
                kept = rows.keep(going)
                if kept:
                    hidden = rows.step([tokens[row] for row in kept])
        written = (draft.written for draft in drafts)
        return dict(zip(self._members, written, strict=True))


def self_test(backbone: PreTrainedModel) -> float:
    """Continues four branching prompts by given tokens, and reads them plainly.

    Returns:
        The largest difference of a final state, in units of the states' root mean
        square: rounding in float32 gives about 1e-5.
    """
    ids = np.random.default_rng(0).integers(0, backbone.config.vocab_size, size=40)
    trunk, first, second, third = (tuple(map(int, part)) for part in np.split(ids, 4))
    # The second and the fourth are of similar length and go together.
    paths = (trunk, trunk + first, trunk[:4] + second, trunk + second[:9])
    prompts = [tree.Sequence(token_ids=path, read=None) for path in paths]
    [pack] = tree.plan(prompts).packs
    cache = DynamicCache()
    tree_attention.hidden_states(backbone, pack, cache)
    rows = Rows(backbone, [len(path) for path in paths], [2] * len(paths), cache)
    for node, owner in zip(pack.read_nodes, pack.owners, strict=True):
        path = np.flatnonzero(pack.subtree_end[: node + 1] > node)
        rows.fill(int(owner), cache, torch.from_numpy(path))
    worst, scale = 0.0, 0.0
    with torch.inference_mode():
        before = rows.members
        rows.step(third[:4])
        # The longest prompt's row ends: another takes its place.
        kept = rows.keep([row for row, place in enumerate(before) if place != 1])
        continued = rows.step([third[4 + row] for row in kept])
        for row, state in zip(kept, continued, strict=True):
            whole = (*paths[before[row]], third[row], third[4 + row])
            alone = backbone(
                input_ids=torch.tensor([whole], device=state.device), use_cache=False
            ).last_hidden_state[0, -1]
            worst = max(worst, float((state - alone).abs().max()))
            scale = max(scale, float(alone.float().square().mean().sqrt()))
    return worst / scale if scale else math.nan
