"""Models as scorers: resolve, encode, score.

A reference is resolved to a config, the config to local weights with an identity,
and both to an encoder and a scorer.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from probe.config import Kind, ModelConfig
from probe.encode import Encoder, Prompt
from probe.models import resolve
from probe.models.weights import Resolved, json_object, resolve_weights
from probe.rope import scalings_by_length
from probe.types import Encoded, Item, Measure

__all__ = [
    "SCORING_VERSION",
    "Generation",
    "Resolved",
    "Scorer",
    "TextGenerator",
    "fingerprint",
    "load_encoder",
    "load_scorer",
    "load_tokenizer",
    "resolve_model",
    "resolve_weights",
]

SCORING_VERSION = "2"
"""Changes whenever the same config and weights would give other scores, or another
generation to the same prompt."""

# Of a config, what changes no score. Sources enter as identities instead.
_NOT_SCORING = frozenset(
    {"name", "verified", "license", "golden", "sha256", "training"}
    | {"weights", "backbone", "reference", "adapter", "tokenizer"}
)

resolve_model = resolve.resolve_model


class Scorer(Protocol):
    """A model that turns encodings into numbers."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What it measures, in a fixed order."""

    @property
    def engine(self) -> str:
        """``tree`` or ``batches``, with the reason."""

    @property
    def encoder(self) -> Encoder:
        """What encodes its items."""

    def encode(self, item: Item) -> list[Encoded]:
        """Encodes every candidate of an item, in order."""

    def score(self, encoded: Sequence[Encoded]) -> list[Mapping[Measure, float]]:
        """Scores encodings of any items; same order, NaN where there is none."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A policy's answer in its own words."""

    text: str | None
    """Special tokens left out, stripped; None: no token could be chosen, since the
    model gave no number."""
    token_ids: tuple[int, ...]
    """New tokens without the end token: fewer than asked for if it ended."""


class TextGenerator(ABC):
    """A scorer that also answers in its own words."""

    @property
    @abstractmethod
    def generation(self) -> str:
        """How it generates: ``tree`` or ``batches``, with the reason."""

    @abstractmethod
    def prompt(self, item: Item) -> Prompt:
        """Encodes what is read before the answer to an item with `max_new_tokens`."""

    @abstractmethod
    def score_and_generate(
        self, encoded: Sequence[Encoded], prompts: Sequence[Prompt]
    ) -> tuple[list[Mapping[Measure, float]], list[Generation]]:
        """Scores as `Scorer.score` does, and answers prompts greedily, in order."""


def fingerprint(config: ModelConfig, resolved: Resolved) -> str:
    """sha256 (hex) of everything that changes a score.

    The config's scoring fields, the identities of weights and tokenizer, the template
    and the scoring version enter; the model's name, licence and golden rows do not,
    nor do device and batch size. `bos: tokenizer` enters as the explicit one that gives
    the same tokens, if there is one: what was read rightly before keeps its runs.

    Raises:
        ConfigError: As `load_encoder`.
    """
    fields = config.model_dump(mode="json")
    kept = {key: value for key, value in fields.items() if key not in _NOT_SCORING}
    if config.template.endswith(".jinja") and Path(config.template).is_file():
        kept["template"] = Path(config.template).read_text(encoding="utf-8")
    if config.bos == "tokenizer":
        kept["bos"] = load_encoder(config, resolved).explicit_bos()
    declared = [one.path / "config.json" for one in resolved.sources]
    if not config.trust_remote_code and any(
        scalings_by_length(json_object(path)) for path in declared if path.is_file()
    ):
        # Scored with other texts in a batch before, which changed what they got.
        kept["rope"] = "by each text's own length"
    content = {
        "scoring_version": SCORING_VERSION,
        "config": kept,
        "sources": resolved.as_record(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_encoder(config: ModelConfig, resolved: Resolved) -> Encoder:
    """The encoder of a model; no weights are loaded.

    Raises:
        ConfigError: No tokenizer there, or one that does not fit the config.
    """
    return Encoder(load_tokenizer(config, resolved.tokenizer), config)


def load_scorer(
    config: ModelConfig,
    resolved: Resolved,
    *,
    device: str | None = None,
    dtype: str | None = None,
    batch_tokens: int | None = None,
) -> Scorer:
    """Loads a model.

    Args:
        config: What to load.
        resolved: Where it lies.
        device: None: a GPU if there is one, else the CPU.
        dtype: None: the config's. Another changes scores; put it into the config, so
            that the fingerprint knows.
        batch_tokens: Tokens a forward pass; None: a good default. Changes no score.

    Raises:
        WeightsError: Tensors are missing, unexpected, or of another shape.
        ConfigError: The config does not fit the checkpoint.
    """
    import torch

    from probe.models import checkpoints, engine, implicit, policy, reward

    # For code of a checkpoint's own that draws numbers.
    torch.manual_seed(0)
    placement = checkpoints.place(device, dtype or config.dtype)
    budget = batch_tokens or engine.DEFAULT_BATCH_TOKENS
    encoder = load_encoder(config, resolved)
    match config.kind:
        case Kind.POLICY:
            return policy.load(config, resolved, encoder, placement, budget)
        case Kind.IMPLICIT_REWARD:
            theirs = load_tokenizer(config, resolved.path("reference"))
            return implicit.load(config, resolved, encoder, theirs, placement, budget)
        case Kind.SEQUENCE_CLASSIFIER | Kind.VALUE_HEAD:
            return reward.load(config, resolved, encoder, placement, budget)


def load_tokenizer(config: ModelConfig, folder: Path) -> Any:
    """The tokenizer that lies in a folder, as it is stored.

    Raises:
        ConfigError: There is none.
    """
    return resolve.load_tokenizer(folder, config.trust_remote_code)
