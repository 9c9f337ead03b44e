"""Reward models: a scalar head on a backbone, or the model's own output.

`pool: last_token` of a `sequence_classifier` is the position that its class reads. A
`*ForSequenceClassification` of transformers reads the rightmost token that is not its
pad token (`GenericForSequenceClassification.forward`), and trainers make EOS the pad
token where there is none: an EOS that ends the template is then never read, in training
as here. `pool: eos` reads it nevertheless, and a `value_head` has no such class.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from probe import tree
from probe.config import Kind, ModelConfig
from probe.encode import Encoder
from probe.models import checkpoints, engine
from probe.models.checkpoints import Placement, short_text
from probe.models.weights import Resolved
from probe.types import ConfigError, DataError, Encoded, Item, Measure

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


@dataclass(frozen=True, kw_only=True, eq=False)
class ScalarScorer(ABC):
    """A reward of each text."""

    config: ModelConfig
    encoder: Encoder
    choice: engine.Choice
    batch_tokens: int
    columns: tuple[int, ...] = (0,)
    """Outputs of the class that make the reward, as `labelled` reads them."""
    measures: tuple[Measure, ...] = (Measure.REWARD,)

    @property
    def engine(self) -> str:
        """Which engine runs, and why."""
        return str(self.choice)

    def encode(self, item: Item) -> list[Encoded]:
        """Encodes an item as this model reads it."""
        return self.encoder.encode(item, self.config.kind)

    def score(self, encoded: Sequence[Encoded]) -> list[Mapping[Measure, float]]:
        """Rewards, in the order given; NaN where truncation left no answer.

        Raises:
            DataError: `pool: eos` and a text without an end token.
            ConfigError: The attention cannot be run as configured, or the model has no
                such output, or it is not one number a row.
        """
        alive = [i for i, one in enumerate(encoded) if answered(one)]
        rewards = [math.nan] * len(encoded)
        for at, value in self._rewards([encoded[i] for i in alive]):
            rewards[alive[at]] = value
        return [{Measure.REWARD: value} for value in rewards]

    @abstractmethod
    def _rewards(self, encoded: Sequence[Encoded]) -> Iterator[tuple[int, float]]:
        """Place and reward of each, as they come."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RewardScorer(ScalarScorer):
    """Reads a scalar head at one position of each sequence."""

    backbone: PreTrainedModel
    head: nn.Module
    """Hidden state (R, hidden) in float32 -> (R, 1)."""
    pad_id: int
    eos_id: int | None
    whole: PreTrainedModel | None = None
    """The class that backbone and head were taken from; None for a value head."""
    skipped: int | None = None
    """Pad token that the class passes over at a text's end; None: it reads the last
    token, whichever it is."""

    def _rewards(self, encoded: Sequence[Encoded]) -> Iterator[tuple[int, float]]:
        for reads in engine.run(
            self.backbone,
            [
                tree.Sequence(token_ids=self._read_until(one), read=None)
                for one in encoded
            ],
            choice=self.choice,
            batch_tokens=self.batch_tokens,
            pad_id=self.pad_id,
            synthetic=self.synthetic,
        ):
            with torch.inference_mode():
                values = self.head(reads.hidden.float())[:, 0].double().tolist()
            yield from zip(reads.owners.tolist(), values, strict=True)

    @property
    def synthetic(self) -> tuple[int, int] | None:
        """Pad token and position that `pool: last_column` reads; None for others."""
        if self.config.pool != "last_column":
            return None
        assert self.config.padding.to is not None, "the config schema demands it"
        return self.pad_id, self.config.padding.to - 1

    def _read_until(self, encoded: Encoded) -> tuple[int, ...]:
        """Tokens up to the one the reward is read at: later ones cannot matter."""
        ids = encoded.token_ids
        if self.config.pool == "last_token" and self.skipped is not None:
            end = len(ids)
            while end > 1 and ids[end - 1] == self.skipped:
                end -= 1
            return ids[:end]
        if self.config.pool != "eos":
            return ids
        for at in range(len(ids) - 1, -1, -1):
            if ids[at] == self.eos_id:
                return ids[: at + 1]
        raise DataError(
            f"item '{encoded.item_id}', candidate '{encoded.candidate_id}': no EOS "
            f"token ({self.eos_id}) in the text",
            "`pool: eos` reads the reward at the last EOS token",
            "Write EOS into `template`, or use `pool: last_token`",
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnOutputScorer(ScalarScorer):
    """Reads a named output of the model's own class (`pool: model`)."""

    model: PreTrainedModel
    pad_id: int | None
    """None: the class refuses batches, as transformers does without a pad token."""

    def _rewards(self, encoded: Sequence[Encoded]) -> Iterator[tuple[int, float]]:
        lengths = [len(one.token_ids) for one in encoded]
        for batch in engine.grouped(lengths, self.batch_tokens, self.choice):
            rows = [encoded[at].token_ids for at in batch]
            own = own_output(self.model, self.config, self.pad_id, rows, self.columns)
            yield from zip(batch, own[:, 0].double().tolist(), strict=True)


def labelled(values: torch.Tensor, columns: tuple[int, ...]) -> torch.Tensor:
    """One output of several, or the difference of two: (..., labels) -> (...)."""
    chosen = values[..., columns[0]]
    return chosen if len(columns) == 1 else chosen - values[..., columns[1]]


def label_columns(model: PreTrainedModel, config: ModelConfig) -> tuple[int, ...]:
    """Where the outputs stand that `label` names; the first if it names none.

    Raises:
        ConfigError: The checkpoint has no such label.
    """
    given = config.label
    if given is None:
        return (0,)
    labels = {int(at): name for at, name in (model.config.id2label or {}).items()}
    wanted = given if isinstance(given, tuple) else (given,)
    found = [[at for at in labels if one in (at, labels[at])] for one in wanted]
    columns = {at for every in found for at in every}
    # A name that two labels have is none.
    if {len(every) for every in found} != {1} or len(columns) < len(wanted):
        raise ConfigError(
            f"{config.where}: `label` = {list(wanted) if wanted[1:] else given!r}",
            f"The checkpoint's labels are {checkpoints.label_names(model.config)}",
            "Write the name or number of one, or two as [positive, negative]",
        )
    return tuple(at for every in found for at in every)


def own_output(
    model: PreTrainedModel,
    config: ModelConfig,
    pad_id: int | None,
    rows: Sequence[Sequence[int]],
    columns: tuple[int, ...],
) -> torch.Tensor:
    """What `output` and `label` name, of a batch; shape (rows, 1).

    Raises:
        ConfigError: The model has no such output, or it is not one number a row.
    """
    ids, mask = engine.pad(
        rows,
        pad_id=pad_id or 0,
        side=config.padding.side,
        device=engine.device_of(model),
        to=config.padding.to,
    )
    output = engine.forward(model, ids, attention_mask=mask)
    name = str(config.output)
    if name not in output:
        raise ConfigError(
            f"model '{config.name}': `output: {name}`; "
            f"{type(model).__name__} gives {', '.join(output)}",
            "`output` is one of the model's own outputs",
            "Write one of those",
        )
    values: torch.Tensor = output[name].reshape(len(rows), -1)
    if values.shape[1] <= max(columns) or (
        config.label is None and values.shape[1] != 1
    ):
        raise ConfigError(
            f"model '{config.name}': `output: {name}` has shape "
            f"{tuple(output[name].shape)} for {len(rows)} texts",
            "The output is one number a text, or `label` says which to read",
            "Write another `output`, or name one of its columns as `label`",
        )
    return labelled(values, columns)[:, None]


def answered(encoded: Encoded) -> bool:
    """Whether template and truncation left something of the answer to score."""
    if encoded.error is not None:
        return False
    return encoded.n_answer_tokens > 0 or encoded.truncated_tokens == 0


def load(
    config: ModelConfig,
    resolved: Resolved,
    encoder: Encoder,
    placement: Placement,
    batch_tokens: int,
) -> ScalarScorer:
    """Loads a `sequence_classifier` or `value_head`.

    Raises:
        WeightsError: The head or any tensor is not in the checkpoint.
        ConfigError: `pool` cannot be read from this model.
    """
    if config.kind is Kind.VALUE_HEAD:
        if config.pool == "model":
            raise ConfigError(
                f"model '{config.name}': `pool: model` with kind value_head",
                "A value head is read at a position",
                "Write another `pool`, or kind sequence_classifier",
            )
        model, head = checkpoints.value_head(config, resolved, placement)
        scorer: ScalarScorer = _at_position(config, encoder, model, head, batch_tokens)
    else:
        model = checkpoints.sequence_classifier(config, resolved, placement)
        adapted = resolved.find("adapter") is not None
        scorer = of_model(model, config, encoder, batch_tokens, adapted=adapted)
    checkpoints.refuse_small_vocabulary(
        model, encoder.tokenizer, resolved.path("weights")
    )
    if choice := checkpoints.alone(model, config):
        return dataclasses.replace(scorer, choice=choice, batch_tokens=1)
    return scorer


def of_model(
    model: PreTrainedModel,
    config: ModelConfig,
    encoder: Encoder,
    batch_tokens: int,
    *,
    adapted: bool,
) -> ScalarScorer:
    """A scorer of a classifier that is loaded, such as one in training.

    Args:
        model: With one label.
        config: Of kind `sequence_classifier`.
        encoder: What encodes its items.
        batch_tokens: Tokens a forward pass.
        adapted: As `own_pad`.

    Raises:
        ConfigError: `pool` cannot be read from this model.
    """
    pad = own_pad(model, encoder, config, adapted=adapted)
    columns = label_columns(model, config)
    if config.pool == "model":
        return OwnOutputScorer(
            config=config,
            encoder=encoder,
            model=model,
            choice=engine.choose(
                model,
                read=lambda whole, rows: own_output(whole, config, pad, rows, columns),
                kind=f"{config.output} {config.padding}",
                least="batches" if pad is not None else "one text at a time",
                reason="pool: model",
            ),
            batch_tokens=batch_tokens,
            pad_id=pad,
            columns=columns,
        )
    backbone, head = split(model, config)
    skipped = None
    if config.pool == "last_token" and pad is not None:
        skipped = pad if passes_over(model, head, pad, config) else None
    found = _at_position(config, encoder, backbone, head, batch_tokens)
    return dataclasses.replace(found, whole=model, skipped=skipped, columns=columns)


def _at_position(
    config: ModelConfig,
    encoder: Encoder,
    backbone: PreTrainedModel,
    head: nn.Module,
    batch_tokens: int,
) -> RewardScorer:
    if config.pool == "last_column" and config.padding.side != "right":
        raise ConfigError(
            f"model '{config.name}': `pool: last_column` with `padding.side: left`",
            "The last column differs from the last token when padding is on the right",
            "Write `pool: last_token`, which is the same on the left",
        )
    eos_id = encoder.tokenizer.eos_token_id
    if config.pool == "eos" and eos_id is None:
        raise ConfigError(
            f"model '{config.name}': `pool: eos`, and the tokenizer has no EOS token",
            "`pool: eos` reads the reward at an EOS token",
            "Write `pool: last_token`",
        )
    return RewardScorer(
        config=config,
        encoder=encoder,
        backbone=backbone,
        head=head,
        choice=engine.choose(backbone),
        batch_tokens=batch_tokens,
        pad_id=pad_token(encoder, config),
        eos_id=eos_id,
    )


def pad_token(encoder: Encoder, config: ModelConfig) -> int:
    """The token that fills a padded row.

    Raises:
        ConfigError: `padding.token` is not in the vocabulary, or a pooling that reads
            the pad token finds none.
    """
    tokenizer = encoder.tokenizer
    if config.padding.token is not None:
        vocabulary = tokenizer.get_vocab()
        if config.padding.token not in vocabulary:
            raise ConfigError(
                f"model '{config.name}': `padding.token` = {config.padding.token!r}",
                "The pad token is in the tokenizer's vocabulary",
                "Check its spelling",
            )
        return int(vocabulary[config.padding.token])
    for token_id in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token_id is not None:
            return int(token_id)
    if config.pool == "last_column":
        raise ConfigError(
            f"model '{config.name}': `pool: last_column`, and the tokenizer has "
            "neither a pad nor an EOS token",
            "The last column holds a pad token",
            "Name it as `padding.token`",
        )
    # Masked everywhere, so any token will do.
    return 0


def own_pad(
    model: PreTrainedModel,
    encoder: Encoder,
    config: ModelConfig,
    *,
    adapted: bool = False,
) -> int | None:
    """The pad token that a model's own pooling recognises; None: it cannot pad.

    Args:
        model: The class; it is told a pad token that its config.json does not declare.
        encoder: Has the tokenizer.
        config: `padding.token` goes before what config.json declares.
        adapted: Whether the model was trained as an adapter. Trainers then set the
            tokenizer's pad token in the base's config, which an adapter's folder does
            not hold.
    """
    text_config = model.config.get_text_config()
    declared = text_config.to_dict().get("pad_token_id")
    told = None
    if config.padding.token is not None:
        told = pad_token(encoder, config)
    elif adapted:
        told = encoder.tokenizer.pad_token_id
    if told is not None:
        declared = text_config.pad_token_id = told
    return None if declared is None else int(declared)


def split(
    model: PreTrainedModel, config: ModelConfig
) -> tuple[PreTrainedModel, nn.Module]:
    """Takes a classifier apart into backbone and linear head.

    The parts must give what the whole gives, which is measured on a short text.

    Returns:
        The backbone, and the head in float32.

    Raises:
        ConfigError: The class pools in a way of its own.
    """
    columns = label_columns(model, config)
    backbone = checkpoints.backbone(model)
    heads = [
        module
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]
    refusal = _pools_otherwise(model, config)
    if backbone is model or len(heads) != 1 or not isinstance(heads[0], nn.Linear):
        raise refusal
    if heads[0].out_features <= max(columns):
        raise refusal
    head = nn.Linear(heads[0].in_features, 1, bias=heads[0].bias is not None)
    state = {
        name: labelled(value.detach().float().movedim(0, -1), columns)[None]
        for name, value in heads[0].named_parameters()
    }
    head.load_state_dict(state)
    head = head.to(heads[0].weight.device).eval().requires_grad_(False)
    whole, parts = _whole_and_parts(model, head, short_text(model), columns)
    if not _same(whole, parts[-1], model.dtype):
        raise refusal
    return backbone, head


def passes_over(
    model: PreTrainedModel, head: nn.Module, pad: int, config: ModelConfig
) -> bool:
    """Whether a class passes over a pad token at a text's end; measured on one.

    Args:
        model: The class.
        head: Its head in float32, from `split`.
        pad: The pad token, which the class has been told.
        config: For the error.

    Raises:
        ConfigError: It reads neither the pad token nor the one before.
    """
    text = short_text(model)
    whole, parts = _whole_and_parts(
        model,
        head,
        torch.cat([text, text.new_tensor([[pad]])], dim=1),
        label_columns(model, config),
    )
    before, last = parts[-2], parts[-1]
    over = not abs(whole - before) > abs(whole - last)
    if not _same(whole, before if over else last, model.dtype):
        raise _pools_otherwise(model, config)
    return over


def _whole_and_parts(
    model: PreTrainedModel,
    head: nn.Module,
    ids: torch.Tensor,
    columns: tuple[int, ...],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The class's own score of one text, and the head's at each of its tokens."""
    seen = torch.ones_like(ids)
    own = checkpoints.outputs(model, ids, attention_mask=seen)
    whole = labelled(own.logits[0].float(), columns)
    backbone = checkpoints.backbone(model)
    states = checkpoints.outputs(backbone, ids, attention_mask=seen).last_hidden_state
    with torch.inference_mode():
        parts = head(states[0].float())[:, 0]
    return whole.to(parts.device), parts


def _same(left: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> bool:
    # A damaged model that gives NaN either way pools like any other: its scores are
    # kept as unscored.
    tolerance = _TOLERANCE[dtype]
    return torch.allclose(left, right, atol=tolerance, rtol=tolerance, equal_nan=True)


def _pools_otherwise(model: PreTrainedModel, config: ModelConfig) -> ConfigError:
    return ConfigError(
        f"model '{config.name}': {type(model).__name__} pools in a way of its own",
        "`pool: last_token` needs a causal backbone with one linear head",
        "Write `pool: model` and `output: logits`",
    )
