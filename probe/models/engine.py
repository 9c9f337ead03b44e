"""Runs token sequences through a backbone and hands out the hidden states to read.

Two engines give the same states: the token trie of `probe.tree`, and length-sorted
batches for models whose attention a trie cannot express. Readers (a scalar head, a
vocabulary head) do not know which one ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from probe import tree, tree_attention
from probe.types import ConfigError

DEFAULT_BATCH_TOKENS = tree.DEFAULT_BUDGET
"""Tokens a forward pass holds; padding included in batches."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which engine runs, and why; written to the manifest."""

    name: Literal["tree", "batches"]
    reason: str

    def __str__(self) -> str:
        """As stored."""
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Reads:
    """Hidden states read in one forward pass."""

    hidden: torch.Tensor
    """Shape (R, hidden), on the model's device, in its dtype."""
    owners: npt.NDArray[np.int64]
    """Shape (R,): index of the sequence; reads of one lie together, in order."""
    targets: npt.NDArray[np.int64]
    """Shape (R,): token whose log-probability is wanted; -1 for a reward."""


def device_of(model: PreTrainedModel) -> torch.device:
    """Where a model's inputs go: beside its embedding."""
    embedding = model.get_input_embeddings()
    return next(iter(embedding.parameters())).device


def choose(backbone: PreTrainedModel) -> Choice:
    """Picks the engine from the declared attention, confirmed on the model."""
    support = tree_attention.verified_support(backbone)
    return Choice(name="tree" if support.ok else "batches", reason=support.reason)


def run(
    backbone: PreTrainedModel,
    sequences: Sequence[tree.Sequence],
    *,
    choice: Choice,
    batch_tokens: int,
    pad_id: int,
    synthetic: tuple[int, int] | None = None,
) -> Iterator[Reads]:
    """Yields every read of every sequence, a forward pass at a time.

    Args:
        backbone: Base model without a head, in evaluation mode.
        sequences: What to compute; a None `read` is a reward.
        choice: The engine, from `choose`.
        batch_tokens: Tokens a forward pass.
        pad_id: Fills batches; masked, so any token of the vocabulary will do.
        synthetic: For `pool: last_column`: the pad token and its position.

    Raises:
        DataError: As `probe.tree.plan`.
        ConfigError: As `probe.tree_attention.hidden_states`.
    """
    if choice.name == "tree":
        tokens = pack_tokens(sequences, batch_tokens)
        planned = tree.plan(sequences, budget=tokens, synthetic=synthetic)
        for pack in planned.packs:
            states = tree_attention.hidden_states(backbone, pack)
            nodes = torch.from_numpy(pack.read_nodes).to(states.device)
            yield Reads(
                hidden=states[nodes], owners=pack.owners, targets=pack.read_targets
            )
        return
    # The plan refuses the same sequences whichever engine runs.
    tree.plan(sequences, budget=batch_tokens, synthetic=synthetic)
    for batch in by_length([len(one.inputs) for one in sequences], batch_tokens):
        yield _padded(backbone, sequences, batch, pad_id, synthetic)


def pack_tokens(sequences: Sequence[tree.Sequence], batch_tokens: int) -> int:
    """Tokens of a pack: `batch_tokens`, or more where one sequence takes more.

    If the longest filled a pack by itself, each answer to a long prompt would read the
    whole prompt again. A quarter on top has room for the answers.
    """
    longest = max((len(one.inputs) for one in sequences), default=0)
    return batch_tokens if longest <= batch_tokens else longest + longest // 4


def by_length(
    lengths: Sequence[int], batch_tokens: int, *, equal: bool = False
) -> list[list[int]]:
    """Groups sequences of similar length.

    Args:
        lengths: Tokens of each sequence.
        batch_tokens: Most tokens of a batch padded to its longest; a single longer
            sequence is a batch of its own.
        equal: Batches of one length only, so that nothing is padded.

    Returns:
        Indices, batch by batch, longest first, so that running out of memory shows
        at once.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches:
            longest = lengths[batches[-1][0]]
            fits = (len(batches[-1]) + 1) * longest <= batch_tokens
            if fits and (not equal or longest == lengths[index]):
                batches[-1].append(index)
                continue
        batches.append([index])
    return batches


def pad(
    rows: Sequence[Sequence[int]],
    *,
    pad_id: int,
    side: Literal["left", "right"],
    device: torch.device,
    to: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both (rows, longest or `to`)."""
    width = max(len(row) for row in rows)
    width = width if to is None else max(to, width)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(width - len(row), None)
        ids[i, where] = torch.tensor(row, dtype=torch.int64)
        mask[i, where] = 1
    return ids.to(device), mask.to(device)


def _padded(
    backbone: PreTrainedModel,
    sequences: Sequence[tree.Sequence],
    batch: Sequence[int],
    pad_id: int,
    synthetic: tuple[int, int] | None,
) -> Reads:
    assert not backbone.training, "dropout would change scores"
    rows = [sequences[index].inputs for index in batch]
    rewards = [sequences[index].read is None for index in batch]
    to = None
    if synthetic is not None and any(rewards):
        # Without a trie the last column is read where the published code reads it.
        pad_id, to = synthetic[0], synthetic[1] + 1
    ids, mask = pad(
        rows, pad_id=pad_id, side="right", device=device_of(backbone), to=to
    )
    with torch.inference_mode():
        states = backbone(
            input_ids=ids, attention_mask=mask, **_no_cache(backbone)
        ).last_hidden_state
    if states.shape[1] != ids.shape[1]:
        raise ConfigError(
            f"{type(backbone).__name__} gives {states.shape[1]} states for "
            f"{ids.shape[1]} tokens",
            "A backbone gives one state a token",
            "Read the model's own output with `pool: model`",
        )
    at_row: list[int] = []
    at_column: list[int] = []
    owners: list[int] = []
    targets: list[int] = []
    for row, index in enumerate(batch):
        sequence = sequences[index]
        if sequence.read is None:
            columns = [max(to or 0, len(rows[row])) - 1]
            wanted = [tree.REWARD]
        else:
            start, end = sequence.read
            columns = list(range(start - 1, end - 1))
            wanted = list(sequence.token_ids[start:end])
        at_row += [row] * len(columns)
        at_column += columns
        owners += [index] * len(columns)
        targets += wanted
    return Reads(
        hidden=states[at_row, at_column],
        owners=np.array(owners, dtype=np.int64),
        targets=np.array(targets, dtype=np.int64),
    )


def _no_cache(backbone: PreTrainedModel) -> dict[str, bool]:
    """Decoders take `use_cache`; encoders such as DeBERTa do not know the word."""
    return {"use_cache": False} if "use_cache" in backbone.config.to_dict() else {}
