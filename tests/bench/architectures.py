"""Every text architecture of the installed transformers, through the project's engine.

A tiny random checkpoint of each is written in its published layout, loaded as a
user's would be, and scored on branching texts that cross its windows and thresholds.
Each score is held against a plain forward pass of a fresh copy over that text alone.

    python tests/bench/architectures.py [--only NAME] [--out architectures.md]

Ends with 1 if a combination is silently wrong.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
import transformers
from tokenizers import processors
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from probe.config import ModelConfig, load_file
from probe.models import load_scorer, resolve_model, resolve_weights
from probe.models.resolve import BASE_TEMPLATE
from probe.models.shrink import THRESHOLD, shrink
from probe.models.trial import REFUSALS, enlarge
from probe.types import Candidate, ConfigError, Encoded, Item, Message, ProbeError
from tests.tiny_checkpoints import byte_tokenizer

Kind = Literal["policy", "reward"]
POSITIONS = 256
"""Of a shrunken config; texts are shorter."""
ATOL = 1e-4
"""Relative to scores beyond 1."""
MAPPINGS: Mapping[Kind, Any] = {
    "policy": MODEL_FOR_CAUSAL_LM_MAPPING,
    "reward": MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
}

# What published checkpoints declare and a class's defaults leave out, or get wrong.
PUBLISHED: dict[str, dict[str, Any]] = {
    "Bamba": {"attn_layer_indices": [1], "num_hidden_layers": 2},
    "DeepseekV2": {"num_experts_per_tok": 6},
    "Dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 8}},
    "Dots1": {
        "moe_intermediate_size": 1408,
        "n_routed_experts": 128,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "first_k_dense_replace": 1,
    },
    "Esm": {"vocab_size": 33},
    "GraniteMoeHybrid": {"layer_types": ["mamba", "attention"] * 16},
    "HunYuanDenseV1": {"head_dim": 128},
    "HunYuanMoEV1": {"head_dim": 128},
    "Lfm2Moe": {"layer_types": ["conv", "full_attention"] * 16},
    "Ministral": {"head_dim": 128},
    "Nemotron": {"num_key_value_heads": 8},
    "T5": {"decoder_start_token_id": 0},
    "UMT5": {"decoder_start_token_id": 0},
    "MT5": {"decoder_start_token_id": 0},
    "Xmod": {"default_language": "en_XX"},
}
# Widths that must divide otherwise than a shrunken config's do.
FITTED: dict[str, dict[str, Any]] = {
    "LayoutLMv3": {"coordinate_size": 11, "shape_size": 10},
    "Lilt": {"hidden_size": 48},
    "Perceiver": {"vocab_size": 400},
    "Esm": {"vocab_size": 400},
    "Esmc": {"vocab_size": 400},
}
_PAIRS = {"short_factor": [1.0] * 48, "long_factor": [3.0] * 48}
# Scalings by length, which no class has by default.
VARIANTS: dict[str, dict[str, Any]] = {
    "Llama": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    "Qwen2": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0},
    "Phi3": {"rope_type": "longrope", "rope_theta": 10000.0} | _PAIRS,
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One combination."""

    architecture: str
    kind: Kind
    engine: str = ""
    difference: float = math.nan
    verdict: str

    def __str__(self) -> str:
        """As a row of the table."""
        shown = "" if math.isnan(self.difference) else f"{self.difference:.1g}"
        cells = (self.architecture, self.kind, self.engine, shown, self.verdict)
        return "| " + " | ".join(one.replace("|", "\\|") for one in cells) + " |"


def configs(kind: Kind, only: str | None) -> Iterator[tuple[str, Any]]:
    """Name of each architecture, and what makes its config."""
    for declared in MAPPINGS[kind]:
        name = declared.__name__.removesuffix("Config")
        if only in (None, name):
            published = dict(PUBLISHED.get(name, {}))
            if kind == "policy" and name not in ("T5", "MT5", "UMT5"):
                published["is_decoder"] = True
            yield name, lambda d=declared, p=published: d(**p)
            if rope := VARIANTS.get(name):
                table = rope | {"original_max_position_embeddings": THRESHOLD}
                scaled = {"rope_parameters": table, "max_position_embeddings": 32}
                yield (
                    f"{name}, {rope['rope_type']}",
                    lambda d=declared, s=scaled: d(**s),
                )


def write(name: str, config: PreTrainedConfig, kind: Kind, folder: Path) -> None:
    """A random checkpoint with its tokenizer."""
    tokenizer = byte_tokenizer()
    mark = [("<s>", 1), ("</s>", 2)]
    if kind == "reward":
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=mark
        )
    model_class = MAPPINGS[kind][type(config)]
    if not isinstance(config, model_class.config_class):
        config = config.get_text_config(decoder=True)
    small = shrink(config, len(tokenizer)).to_dict()
    marks = {"pad_token_id": 3, "bos_token_id": 1, "eos_token_id": 2}
    # Of images and sounds: no token of a text.
    media = {
        key: tokenizer.convert_tokens_to_ids("<|system|>")
        for key in small
        if re.fullmatch(r"(?!decoder_start).*_token_(id|index)", key)
    }
    small |= media | marks | FITTED.get(name, {})
    if kind == "reward":
        small |= {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    made = type(config).from_dict(small)
    with torch.device("meta"):
        size = sum(one.numel() for one in model_class(made).parameters())
    if size > 3e7:
        raise ValueError(f"{size:.2g} parameters are left after shrinking")
    torch.manual_seed(0)
    model = model_class._from_config(made, dtype=torch.float32)
    enlarge(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def items() -> list[Item]:
    """Branching texts of 10 to 90 tokens."""
    places = ("Canada", "Japan", "Brazil and Peru", "the United Kingdom, I would say")
    questions = ("Which country?", "Where are you from? " * 3, "I like rice. " * 6)
    return [
        Item(
            id=f"q{i}",
            messages=(Message(role="user", content=question),),
            candidates=tuple(
                Candidate(id=str(j), answer=f" I think {place}.")
                for j, place in enumerate((*places, places[3] + ", of course" * 3))
            ),
        )
        for i, question in enumerate(questions)
    ]


@torch.inference_mode()
def plain(model: PreTrainedModel, kind: Kind, one: Encoded) -> float:
    """One text, one forward pass, of a copy that has read nothing before."""
    fresh = copy.deepcopy(model)
    if kind == "reward":
        return float(fresh(input_ids=torch.tensor([one.token_ids])).logits[0, 0])
    ids = torch.tensor([one.token_ids[: one.answer_end]])
    logits = fresh(input_ids=ids).logits[0].double()
    chosen = logits[one.answer_start - 1 : -1].log_softmax(dim=1)
    return float(chosen.gather(1, ids[0, one.answer_start :, None]).sum())


def compare(folder: Path, kind: Kind) -> tuple[str, float]:
    """The engine, and the largest difference from plain passes."""
    try:
        # Scaled rotary positions go on beyond those that a config declares.
        update = {"max_tokens": POSITIONS}
        config = resolve_model(str(folder)).model_copy(update=update)
        scorer = load_scorer(config, resolve_weights(config), device="cpu")
    except ConfigError as error:
        # What a bare folder does not say is written into a config.
        if "YAML config" not in str(error) and "pool: model" not in str(error):
            raise
        config = _config(folder, kind)
        scorer = load_scorer(config, resolve_weights(config), device="cpu")
    encoded = [one for item in items() for one in scorer.encode(item)]
    scores = [values[scorer.measures[0]] for values in scorer.score(encoded)]
    auto: Any = (
        AutoModelForCausalLM if kind == "policy" else AutoModelForSequenceClassification
    )
    model = auto.from_pretrained(folder, dtype=torch.float32).eval()
    wanted = [plain(model, kind, one) for one in encoded]
    apart = [
        abs(ours - own) / max(1.0, abs(own))
        for ours, own in zip(scores, wanted, strict=True)
    ]
    if any(math.isnan(one) for one in apart):
        return scorer.engine, math.inf
    return scorer.engine, max(apart)


def _config(folder: Path, kind: Kind) -> ModelConfig:
    says = {
        "policy": "kind: policy\nbos: exactly_one\n",
        "reward": "kind: sequence_classifier\npool: model\noutput: logits\n",
    }
    path = folder / "scorer.yaml"
    path.write_text(
        f"name: tiny\nweights: {folder}\nmax_tokens: {POSITIONS}\n"
        f"template: '{BASE_TEMPLATE}'\n"
        f"{says[kind]}",
        encoding="utf-8",
    )
    return load_file(path)


def examine(name: str, make: Any, kind: Kind) -> Row:
    """Builds, scores and compares one combination."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "tiny"
        try:
            write(name.split(",")[0], make(), kind, folder)
        except (*REFUSALS, OSError) as error:
            return Row(
                architecture=name,
                kind=kind,
                verdict=f"could not be built: {_said(error)}",
            )
        try:
            engine, difference = compare(folder, kind)
        except ProbeError as error:
            return Row(architecture=name, kind=kind, verdict=f"refused: {_said(error)}")
        except (*REFUSALS, OSError) as error:
            # Where the plain pass fails too, there is nothing to compare.
            return Row(
                architecture=name,
                kind=kind,
                verdict=f"could not be run: {_said(error)}",
            )
    right = difference <= ATOL
    return Row(
        architecture=name,
        kind=kind,
        engine=engine if len(engine) <= 140 else f"{engine[:140]} ...",
        difference=difference,
        verdict="right" if right else "WRONG",
    )


def _said(error: BaseException) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return re.sub(r"\S*/tiny\b", "tiny", text)[:160]


def main() -> int:
    """Runs the sweep; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one architecture, such as Llama")
    parser.add_argument("--kind", choices=sorted(MAPPINGS))
    parser.add_argument("--out", type=Path, help="write the table there")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    began = time.monotonic()
    rows = []
    for kind in MAPPINGS:
        if arguments.kind in (None, kind):
            for name, make in configs(kind, arguments.only):
                rows.append(examine(name, make, kind))
                print(rows[-1], flush=True)
    minutes = (time.monotonic() - began) / 60
    tally = {one.verdict.split(":")[0]: 0 for one in rows}
    for one in rows:
        tally[one.verdict.split(":")[0]] += 1
    counted = ", ".join(
        f"{count} {verdict}" for verdict, count in sorted(tally.items())
    )
    summary = f"{len(rows)} combinations in {minutes:.0f} minutes: {counted}."
    print(f"\n{summary}")
    if arguments.out:
        rows.sort(key=lambda one: (one.architecture.lower(), one.kind))
        lines = [
            "# Architectures, tried",
            "",
            f"`python tests/bench/architectures.py`, transformers "
            f"{transformers.__version__}, torch {torch.__version__}. {summary}",
            "",
            "A tiny random checkpoint of each, with windows and thresholds that bind, "
            "scored through the engine that the project chooses, against one plain "
            "forward pass a text; the difference is relative to scores beyond 1.",
            "",
            "| architecture | kind | engine | largest difference | verdict |",
            "|---|---|---|---|---|",
            *map(str, rows),
        ]
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(any(one.verdict == "WRONG" for one in rows))


if __name__ == "__main__":
    sys.exit(main())
