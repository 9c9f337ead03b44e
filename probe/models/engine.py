"""Runs token sequences through a backbone and hands out the hidden states to read.

Engines give the same states: the token trie of `probe.tree`; length-sorted batches for
models whose attention a trie cannot express; batches of one length, and single texts,
for models in which padding or neighbours change what a text gets. Readers (a scalar
head, a vocabulary head) do not know which one ran.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from probe import tree, tree_attention, tree_support
from probe.models import trial
from probe.tree_attention import device_of
from probe.types import ConfigError

log = logging.getLogger(__name__)

DEFAULT_BATCH_TOKENS = tree.DEFAULT_BUDGET
"""Tokens a forward pass holds; padding included in batches."""


Way = Literal["tree", "batches", "batches of one length", "one text at a time"]
WAYS: tuple[Way, ...] = get_args(Way)
"""From the fastest to the surest."""

Read = Callable[[PreTrainedModel, Sequence[Sequence[int]]], torch.Tensor]
"""What a class gives for a batch of token sequences: shape (rows, values)."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which engine runs, and why; written to the manifest."""

    name: Way
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


def choose(
    model: PreTrainedModel,
    *,
    read: Read | None = None,
    kind: str = "rewards",
    least: Way = "tree",
    reason: str = "",
) -> Choice:
    """Picks the fastest engine that gives each text what it gets alone.

    What the config declares is confirmed on a small copy of the class, with texts
    beyond its windows and thresholds, and on the loaded model, with short ones.

    Args:
        model: Backbone, or class.
        read: What is read of it; None: final states.
        kind: Names `read`; without one, "spans" or "rewards": the states of every
            token, or of the last.
        least: The fastest engine that may run.
        reason: Why not a faster one.

    Raises:
        ConfigError: Not even a text alone gets the same numbers twice.
    """
    ways = WAYS[WAYS.index(least) :]
    if least == "tree" and not tree_support.attention_support(model.config).ok:
        ways = ways[1:]
    judge = partial(_judge, ways=ways, read=read, spans=kind == "spans")
    found = trial.of_class(model, kind, judge)
    length = 20
    if least == "tree":
        support = verified_support(model)
        reason, ways = support.reason, ways if support.ok else WAYS[1:]
    for padless in (tree_support.by_length(model.config), found):
        # Code of a checkpoint's own is run as it always was.
        if isinstance(padless, str) and padless and found != tree_support.OWN_CODE:
            reason, ways = padless, tuple(way for way in ways if way in WAYS[2:])
            length = 120
    for way in ways:
        wrong = "" if isinstance(found, str) else found[way]
        # The tree has been tried on the loaded model above.
        if not wrong and way != "tree":
            texts = trial.texts(model, length)
            wrong = _wrong(model, texts, way, read, kind == "spans")
        if not wrong:
            return Choice(name=way, reason=reason)
        reason = f"{reason}; {way}: {wrong}" if reason else f"{way}: {wrong}"
    raise ConfigError(
        f"{type(model).__name__}: {reason}",
        "A text gets the same numbers whenever it is read alone",
        "Use another checkpoint: this one draws numbers, or its scores depend "
        "on what was read before",
    )


def _judge(
    model: PreTrainedModel, *, ways: Sequence[Way], read: Read | None, spans: bool
) -> dict[str, str]:
    texts = trial.texts(model, 60)
    return {way: _wrong(model, texts, way, read, spans) for way in ways}


def _wrong(
    model: PreTrainedModel,
    texts: Sequence[tuple[int, ...]],
    way: Way,
    read: Read | None,
    spans: bool,
) -> str:
    """Why texts that are run together do not get what each gets alone; "": they do."""
    try:
        difference = apart(model, texts, way, read, spans)
    except torch.OutOfMemoryError:
        raise
    except ConfigError:
        # Such as a wrong `output`: said when texts are scored.
        return ""
    except trial.REFUSALS as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    if difference <= tolerance(model):
        return ""
    return f"texts alone and together differ by {difference:.2g}"


def verified_support(backbone: PreTrainedModel) -> tree_support.Support:
    """`attention_support`, confirmed on the loaded model by short texts.

    What a config leaves undeclared shows there, such as attention that heeds a token's
    index.
    """
    support = tree_support.attention_support(backbone.config)
    if not support.ok:
        return support
    ok, found = self_test(
        lambda: apart(backbone, trial.texts(backbone, 20), "tree"),
        backbone,
        "tree and plain forward",
    )
    return tree_support.Support(
        ok=ok, reason=f"{support.reason}; {found}" if ok else found
    )


def self_test(
    measure: Callable[[], float], model: PreTrainedModel, compared: str
) -> tuple[bool, str]:
    """Whether a difference that is measured on a model is of rounding; and in words."""
    try:
        difference = measure()
    except torch.OutOfMemoryError:
        raise
    except ConfigError as error:
        return False, error.found
    except trial.REFUSALS as error:
        log.warning("%s: the self-test failed", compared, exc_info=error)
        return False, f"self-test: {type(error).__name__}: {error}"
    if difference <= tolerance(model):
        return True, f"self-test {difference:.1g}"
    return False, f"self-test: {compared} differ by {difference:.2g}"


def tolerance(model: PreTrainedModel) -> float:
    """Of `apart`: rounding in float32 gives about 1e-5, a wrong mask more than 1."""
    return 1e-3 if model.dtype in (torch.float32, torch.float64) else 0.5


def apart(
    model: PreTrainedModel,
    texts: Sequence[tuple[int, ...]],
    way: Way,
    read: Read | None = None,
    spans: bool = False,
) -> float:
    """How far what texts get together is from what each gets alone.

    Returns:
        The largest difference, in units of the values' root mean square. Damaged models
        that give no number give none either way: 0.
    """
    sequences = [
        tree.Sequence(token_ids=text, read=(1, len(text)) if spans else None)
        for text in texts
    ]
    single = Choice(name="one text at a time", reason="")
    alone = torch.cat([_values(model, [one], single, read) for one in sequences])
    together = _values(model, sequences, Choice(name=way, reason=""), read)
    scale = alone.square().nanmean().sqrt()
    if not scale.isfinite():
        return 0.0
    found = (together - alone).abs().masked_fill(together.isnan() & alone.isnan(), 0.0)
    return float(found.nan_to_num(nan=torch.inf).max() / scale)


def _values(
    model: PreTrainedModel,
    sequences: Sequence[tree.Sequence],
    choice: Choice,
    read: Read | None,
) -> torch.Tensor:
    """What each sequence gets; shape (reads, values), float32, on the CPU."""
    made: list[tuple[int, torch.Tensor]] = []
    if read is None:
        for reads in run(model, sequences, choice=choice, batch_tokens=4096, pad_id=0):
            made += zip(reads.owners.tolist(), reads.hidden.float().cpu(), strict=True)
    else:
        for batch in grouped([len(s.token_ids) for s in sequences], 4096, choice):
            rows = read(model, [sequences[index].token_ids for index in batch])
            made += zip(batch, rows.float().cpu(), strict=True)
    # Reads of one sequence come in their order.
    return torch.stack([one for _, one in sorted(made, key=lambda pair: pair[0])])


@contextmanager
def fresh(model: PreTrainedModel) -> Iterator[None]:
    """Undoes what a forward pass changes in the model itself.

    Dynamic rotary scaling keeps the frequencies of the longest text so far, and BigBird
    gives up sparse attention for good at the first short one: without this a score
    depended on what was read before.
    """
    before = [
        (module, dict(vars(module)), dict(module._modules), dict(module._buffers))
        for module in model.modules()
    ]
    try:
        yield
    finally:
        for module, *kept in before:
            held: tuple[Any, ...] = (vars(module), module._modules, module._buffers)
            for now, then in zip(held, kept, strict=True):
                now.clear()
                now.update(then)


def forward(model: PreTrainedModel, ids: torch.Tensor, **more: Any) -> Any:
    """What a class makes of token ids, shape (texts, tokens); it stays as it was."""
    with torch.inference_mode(), fresh(model):
        return model(input_ids=ids, **more)


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
    # Where its length or neighbours decide what a token gets, all of a text is read.
    batches = choice.name == "batches"
    rows = [one.inputs if batches else one.token_ids for one in sequences]
    for batch in grouped([len(row) for row in rows], batch_tokens, choice):
        yield _padded(backbone, sequences, rows, batch, choice, pad_id, synthetic)


def pack_tokens(sequences: Sequence[tree.Sequence], batch_tokens: int) -> int:
    """Tokens of a pack: `batch_tokens`, or more where one sequence takes more.

    If the longest filled a pack by itself, each answer to a long prompt would read the
    whole prompt again. A quarter on top has room for the answers.
    """
    longest = max((len(one.inputs) for one in sequences), default=0)
    return batch_tokens if longest <= batch_tokens else longest + longest // 4


def grouped(
    lengths: Sequence[int], batch_tokens: int, choice: Choice | None = None
) -> list[list[int]]:
    """Groups sequences of similar length.

    Args:
        lengths: Tokens of each sequence.
        batch_tokens: Most tokens of a batch padded to its longest; a single longer
            sequence is a batch of its own.
        choice: Any but the tree; None: batches of any lengths.

    Returns:
        Indices, batch by batch, longest first, so that running out of memory shows
        at once.
    """
    way = "batches" if choice is None else choice.name
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and way != "one text at a time":
            longest = lengths[batches[-1][0]]
            fits = (len(batches[-1]) + 1) * longest <= batch_tokens
            if fits and (way == "batches" or longest == lengths[index]):
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
    texts: Sequence[tuple[int, ...]],
    batch: Sequence[int],
    choice: Choice,
    pad_id: int,
    synthetic: tuple[int, int] | None,
) -> Reads:
    assert not backbone.training, "dropout would change scores"
    rows = [texts[index] for index in batch]
    rewards = [sequences[index].read is None for index in batch]
    to = None
    if synthetic is not None and any(rewards):
        # Without a trie the last column is read where the published code reads it.
        pad_id, to = synthetic[0], synthetic[1] + 1
    ids, mask = pad(
        rows, pad_id=pad_id, side="right", device=device_of(backbone), to=to
    )
    # Decoders take `use_cache`; encoders such as DeBERTa do not know the word.
    cached = "use_cache" in backbone.config.to_dict()
    arguments: dict[str, Any] = {"use_cache": False} if cached else {}
    if choice.name == "batches" or to is not None:
        arguments["attention_mask"] = mask
    states = forward(backbone, ids, **arguments).last_hidden_state
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
