"""Language models as scorers: the log-probability of an answer span.

They also answer in their own words (`probe.models.generate`), in the same passes.

Logits are taken only where they predict an answer token, in blocks of rows and of
vocabulary that stay under a bound, and in float32 whatever the model's dtype.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel

from probe import tree
from probe.config import Kind, ModelConfig
from probe.encode import Encoder, Prompt
from probe.models import (
    Generation,
    TextGenerator,
    checkpoints,
    decode,
    engine,
    generate,
)
from probe.models.checkpoints import Placement, short_text
from probe.models.decode import Request
from probe.models.engine import Choice, Reads
from probe.models.reward import pad_token
from probe.models.weights import Resolved, Role
from probe.types import ConfigError, Encoded, Item, Measure

Transform = Callable[[torch.Tensor], torch.Tensor]

_BLOCK_BYTES = 128 * 2**20
"""Bound on the logits held at once."""
_VOCABULARY_BLOCK = 65_536
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 5e-3}


@dataclass(frozen=True, kw_only=True, eq=False)
class VocabularyHead:
    """Log-probabilities of chosen tokens from hidden states."""

    weight: torch.Tensor
    """Shape (vocabulary, hidden)."""
    bias: torch.Tensor | None
    transform: Transform
    """Soft-capping or scaling that the model's class applies to its logits."""

    def logits(self, hidden: torch.Tensor, start: int, end: int) -> torch.Tensor:
        """Float32 logits of tokens ``[start, end)``; shape (rows, end - start)."""
        product = hidden.float() @ self.weight[start:end].float().T
        if self.bias is not None:
            product += self.bias[start:end].float()
        return self.transform(product)

    def best(self, hidden: torch.Tensor) -> torch.Tensor:
        """Most probable token of states (R, hidden), the first of equals; (R,).

        -1 where the greatest logit is no finite number.
        """
        size = len(self.weight)
        greatest = torch.full((len(hidden),), -math.inf, device=hidden.device)
        chosen = torch.full((len(hidden),), -1, device=hidden.device)
        for start in range(0, size, _VOCABULARY_BLOCK):
            end = min(start + _VOCABULARY_BLOCK, size)
            values, at = self.logits(hidden, start, end).max(dim=1)
            # What is no number comes in, and stays to the end.
            kept = (values <= greatest) | greatest.isnan()
            greatest = torch.where(kept, greatest, values)
            chosen = torch.where(kept, chosen, at + start)
        return torch.where(greatest.isfinite(), chosen, -1)

    def log_probs(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Natural-log probabilities of `targets` given states (R, hidden); (R,)."""
        size = len(self.weight)
        block = min(size, _VOCABULARY_BLOCK)
        rows = max(1, _BLOCK_BYTES // (4 * block))
        results: list[torch.Tensor] = []
        for first in range(0, len(hidden), rows):
            states, wanted = hidden[first : first + rows], targets[first : first + rows]
            total = torch.full((len(states),), -math.inf, device=hidden.device)
            chosen = torch.zeros(len(states), device=hidden.device)
            for start in range(0, size, block):
                end = min(start + block, size)
                logits = self.logits(states, start, end)
                total = torch.logaddexp(total, logits.logsumexp(dim=1))
                inside = (wanted >= start) & (wanted < end)
                at = (wanted - start).clamp(0, end - start - 1)
                here = logits.gather(1, at[:, None])[:, 0]
                chosen = torch.where(inside, here, chosen)
            results.append(chosen - total)
        return torch.cat(results)


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyScorer(TextGenerator):
    """Summed and mean log-probability of each answer span; answers of its own."""

    config: ModelConfig
    encoder: Encoder
    model: PreTrainedModel
    head: VocabularyHead | None
    """None: the class computes its logits in a way of its own."""
    choice: Choice
    batch_tokens: int
    pad_id: int
    end_ids: frozenset[int]
    """Tokens that end a generation."""
    measures: tuple[Measure, ...] = (Measure.LOGPROB_SUM, Measure.LOGPROB_MEAN)

    @property
    def engine(self) -> str:
        """Which engine runs, and why."""
        return str(self.choice)

    def encode(self, item: Item) -> list[Encoded]:
        """Encodes an item as this model reads it."""
        return self.encoder.encode(item, Kind.POLICY)

    def prompt(self, item: Item) -> Prompt:
        """Encodes what this model reads before its own answer to an item."""
        return self.encoder.prompt(item)

    @cached_property
    def generation_choice(self) -> Choice:
        """How it generates; tried on the model when first asked for."""
        return generate.choose(self.model, self.choice)

    @property
    def generation(self) -> str:
        """Which engine generates, and why."""
        return str(self.generation_choice)

    def score(self, encoded: Sequence[Encoded]) -> list[Mapping[Measure, float]]:
        """Log-probabilities, in the order given; NaN where no answer token is left.

        Raises:
            DataError: An answer that begins at the first token.
        """
        return _measured(encoded, self.sums(encoded))

    def score_and_generate(
        self, encoded: Sequence[Encoded], prompts: Sequence[Prompt]
    ) -> tuple[list[Mapping[Measure, float]], list[Generation]]:
        """Scores answers and answers prompts; equal prompts are answered once.

        Raises:
            DataError: As `score`.
            ConfigError: The model's class cannot generate.
        """
        asked = [
            Request(
                token_ids=one.encoded.token_ids,
                limit=one.max_new_tokens,
                stop=one.stop,
            )
            for one in prompts
        ]
        distinct = list(dict.fromkeys(asked))
        if not distinct:
            return self.score(encoded), []
        if self.generation_choice.name == "tree":
            sums, written = self._together(encoded, distinct)
        else:
            sums = self.sums(encoded)
            written = generate.by_library(
                self.model,
                distinct,
                self._ending,
                choice=self.generation_choice,
                batch_tokens=self.batch_tokens,
                pad_id=self.pad_id,
            )
        texts = map(self._generation, distinct, written)
        found = dict(zip(distinct, texts, strict=True))
        return _measured(encoded, sums), [found[key] for key in asked]

    @property
    def _ending(self) -> decode.Ending:
        return decode.Ending(end_ids=self.end_ids, stopped=self.encoder.stopped)

    def _generation(self, request: Request, written: decode.Written) -> Generation:
        if written is None:
            return Generation(text=None, token_ids=())
        stopped = self.encoder.stopped(written, request.stop)
        return Generation(
            text=self.encoder.decode(written, request.stop),
            token_ids=written[:-1] if stopped else written,
        )

    def sums(self, encoded: Sequence[Encoded]) -> list[float]:
        """Summed log-probability of each answer span; NaN without answer tokens."""
        sequences, owners = _to_score(encoded)
        totals = np.zeros(len(sequences))
        if self.head is None:
            totals = self._own_sums(sequences)
        else:
            for reads in engine.run(
                checkpoints.backbone(self.model),
                sequences,
                choice=self.choice,
                batch_tokens=self.batch_tokens,
                pad_id=self.pad_id,
            ):
                self._add(totals, reads)
        return _spread(totals, owners, len(encoded))

    def _add(self, totals: npt.NDArray[np.float64], reads: Reads) -> None:
        assert self.head is not None
        with torch.inference_mode():
            targets = torch.from_numpy(reads.targets).to(reads.hidden.device)
            values = self.head.log_probs(reads.hidden, targets)
        np.add.at(totals, reads.owners, values.double().cpu().numpy())

    def _together(
        self, encoded: Sequence[Encoded], requests: Sequence[Request]
    ) -> tuple[list[float], list[decode.Written]]:
        """Sums and generations from the same tries."""
        assert self.head is not None, "tries are read by a head of ours"
        sequences, owners = _to_score(encoded)
        totals = np.zeros(len(sequences))
        written: dict[int, decode.Written] = {}
        for found in decode.run(
            checkpoints.backbone(self.model),
            self.head,
            sequences,
            requests,
            ending=self._ending,
            batch_tokens=self.batch_tokens,
        ):
            if isinstance(found, Reads):
                self._add(totals, found)
            else:
                written |= found
        generations = [written[index] for index in range(len(requests))]
        return _spread(totals, owners, len(encoded)), generations

    def _own_sums(self, sequences: Sequence[tree.Sequence]) -> np.ndarray:
        """By the class's own logits."""
        totals = np.zeros(len(sequences))
        lengths = [len(one.token_ids) for one in sequences]
        for batch in engine.grouped(lengths, self.batch_tokens, self.choice):
            spans = [sequences[index].read or (1, 1) for index in batch]
            first = min(start for start, _ in spans) - 1
            texts = [sequences[index].token_ids for index in batch]
            logits = _own_logits(self.model, texts, first).float()
            for row, (index, (start, end)) in enumerate(zip(batch, spans, strict=True)):
                wanted = torch.tensor(sequences[index].token_ids[start:end])
                rows = logits[row, start - 1 - first : end - 1 - first].log_softmax(1)
                chosen = rows.gather(1, wanted.to(rows.device)[:, None])
                totals[index] = float(chosen.double().sum())
        return totals


def _own_logits(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], first: int
) -> torch.Tensor:
    """The class's logits from position `first` on, of texts of one length."""
    ids = torch.tensor(rows, device=engine.device_of(model))
    logits: torch.Tensor = engine.forward(model, ids).logits
    if logits.shape[1] != ids.shape[1]:
        raise ConfigError(
            f"{type(model).__name__} gives {logits.shape[1]} logits for "
            f"{ids.shape[1]} tokens",
            "A policy gives one row of logits a token",
            "Use another checkpoint",
        )
    return logits[:, first:]


def _to_score(encoded: Sequence[Encoded]) -> tuple[list[tree.Sequence], list[int]]:
    """What has answer tokens, and where it stands among `encoded`."""
    alive = [i for i, one in enumerate(encoded) if one.n_answer_tokens > 0]
    sequences = [
        tree.Sequence(
            token_ids=encoded[i].token_ids[: encoded[i].answer_end],
            read=(encoded[i].answer_start, encoded[i].answer_end),
        )
        for i in alive
    ]
    return sequences, alive


def _spread(
    totals: npt.NDArray[np.float64], owners: Sequence[int], size: int
) -> list[float]:
    result = [math.nan] * size
    for i, total in zip(owners, totals.tolist(), strict=True):
        result[i] = total
    return result


def _measured(
    encoded: Sequence[Encoded], sums: Sequence[float]
) -> list[Mapping[Measure, float]]:
    return [
        # The sum of none is NaN, and so is its mean.
        {
            Measure.LOGPROB_SUM: total,
            Measure.LOGPROB_MEAN: total / max(1, one.n_answer_tokens),
        }
        for one, total in zip(encoded, sums, strict=True)
    ]


def load(
    config: ModelConfig,
    resolved: Resolved,
    encoder: Encoder,
    placement: Placement,
    batch_tokens: int,
    role: Role = "weights",
) -> PolicyScorer:
    """Loads a causal language model as a scorer.

    Raises:
        WeightsError: A tensor is missing or unexpected.
        ConfigError: The checkpoint is no causal language model.
    """
    model = checkpoints.causal_lm(config, resolved, role, placement)
    checkpoints.refuse_small_vocabulary(model, encoder.tokenizer, resolved.path(role))
    scorer = of_model(model, config, encoder, batch_tokens)
    if choice := checkpoints.alone(model, config):
        return dataclasses.replace(scorer, choice=choice, batch_tokens=1)
    return scorer


def of_model(
    model: PreTrainedModel, config: ModelConfig, encoder: Encoder, batch_tokens: int
) -> PolicyScorer:
    """A scorer of a model that is loaded, such as one in training."""
    _refuse_lookahead(model)
    head = vocabulary_head(model)
    if head is None:
        choice = engine.choose(
            model,
            read=lambda whole, rows: _own_logits(whole, rows, -1)[:, 0],
            kind="logits",
            least="batches of one length",
            reason=f"{type(model).__name__} has logits of its own",
        )
    else:
        choice = engine.choose(checkpoints.backbone(model), kind="spans")
    return PolicyScorer(
        config=config,
        encoder=encoder,
        model=model,
        head=head,
        choice=choice,
        batch_tokens=batch_tokens,
        pad_id=pad_token(encoder, config),
        end_ids=_end_ids(model, encoder),
    )


def _end_ids(model: PreTrainedModel, encoder: Encoder) -> frozenset[int]:
    """Tokens that end an answer: the checkpoint's for generation, and all marks.

    A base model that is prompted in a chat format may end its turn, and begin another,
    by marks that neither it nor its tokenizer declares as an end; they are no part of
    a text, and what follows one is no longer the answer. A token for what is unknown
    is no mark.
    """
    tokenizer = encoder.tokenizer
    declared = model.generation_config.eos_token_id if model.can_generate() else None
    found = declared if isinstance(declared, list) else [declared]
    added = tokenizer.added_tokens_decoder.items()
    marks = {*tokenizer.all_special_ids, *(id for id, token in added if token.special)}
    ends = {*found, *marks} - {None, tokenizer.unk_token_id}
    return frozenset(int(one) for one in ends)


def _refuse_lookahead(model: PreTrainedModel) -> None:
    """Refuses a model whose tokens see what comes after them.

    Raises:
        ConfigError: It knows the answer that it is to predict, or cannot be run.
    """
    text = short_text(model)
    other = text.clone()
    other[0, -1] = text[0, 0]
    before, after = (
        checkpoints.outputs(model, ids).logits[0, :-1].float() for ids in (text, other)
    )
    rounded = model.config.to_dict().get("quantization_config") is not None
    limit = 0.3 if rounded else _TOLERANCE[model.dtype]
    if float((before - after).abs().max()) > limit * max(
        1.0, float(before.abs().max())
    ):
        raise ConfigError(
            f"{type(model).__name__} reads ahead: a token's prediction changes with "
            "the tokens after it",
            "A policy predicts each token from those before it",
            "Use a causal model; an encoder may need `is_decoder: true` in config.json",
        )


def vocabulary_head(model: PreTrainedModel) -> VocabularyHead | None:
    """The output layer, with the scaling that the model's class applies.

    What the config declares is tried first; the result must equal the class's own
    logits on a short text.

    Returns:
        None where no declared transform reproduces the class's logits.
    """
    output = model.get_output_embeddings()
    if model.base_model is model or not isinstance(output, nn.Linear):
        return None
    ids = short_text(model)
    own = checkpoints.outputs(model, ids).logits[0].float()
    hidden = checkpoints.outputs(checkpoints.backbone(model), ids).last_hidden_state[0]
    tolerance = _TOLERANCE[model.dtype] * max(1.0, float(own.abs().max()))
    for transform in _declared_transforms(model):
        head = VocabularyHead(
            weight=output.weight, bias=output.bias, transform=transform
        )
        with torch.inference_mode():
            ours = head.logits(hidden, 0, len(head.weight))
        if ours.shape == own.shape and float((ours - own).abs().max()) <= tolerance:
            return head
    return None


def _declared_transforms(model: PreTrainedModel) -> list[Transform]:
    declared = model.config.get_text_config().to_dict()
    found: list[Transform] = []
    if cap := declared.get("final_logit_softcapping"):
        found.append(lambda x: torch.tanh(x / cap) * cap)
    if scale := declared.get("logit_scale"):
        found.append(lambda x: x * scale)
    if scaling := declared.get("logits_scaling"):
        found.append(lambda x: x / scaling)
    # Plain logits last: with small weights a declared cap is hardly visible.
    return [*found, lambda x: x]
