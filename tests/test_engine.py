"""The engine that is chosen gives each text what plain transformers gives it alone."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING as CAUSAL,
)
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING as CLASSIFIERS,
)
from transformers import (
    BertConfig,
    BigBirdConfig,
    DogeConfig,
    FNetConfig,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    ReformerConfig,
)

from probe import tree_attention
from probe.models import Scorer, fingerprint, load_scorer, resolve_model, trial
from probe.models.shrink import THRESHOLD, WINDOW, shrink
from probe.models.weights import resolve_weights
from probe.types import Candidate, ConfigError, Encoded, Item, Message
from tests import reference
from tests.tiny_checkpoints import byte_tokenizer, enlarge

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ENCODER = {key: SHAPE[key] for key in SHAPE if key not in ("num_key_value_heads",)}
THETA = {"rope_theta": 10000.0}
DYNAMIC = THETA | {"rope_type": "dynamic", "factor": 4.0}
LONGROPE = THETA | {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [3.0] * 4,
    "original_max_position_embeddings": 40,
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of a class that a test misleads is of use to no other."""
    monkeypatch.setenv("RM_PROBE_CACHE", str(tmp_path / "cache"))


def checkpoint(folder: Path, config: PreTrainedConfig, kind: str) -> Path:
    tokenizer = byte_tokenizer()
    config.vocab_size = len(tokenizer)
    if kind == "reward":
        config.num_labels = 1
    mapping = CAUSAL if kind == "policy" else CLASSIFIERS
    model = mapping[type(config)](config)
    enlarge(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def scorer_of(folder: Path) -> Scorer:
    config = resolve_model(str(folder))
    # Rotary positions go on beyond those that a config declares.
    config = config.model_copy(update={"max_tokens": 256})
    return load_scorer(config, resolve_weights(config), device="cpu")


def items() -> list[Item]:
    """Texts of some 10 to 110 tokens, long and short in turn."""
    return [
        Item(
            id=str(n),
            messages=(Message(role="user", content="I like rice and music. " * n),),
            candidates=(
                Candidate(id="a", answer="I would say Japan."),
                Candidate(id="b", answer="I would say the Netherlands, I think."),
            ),
        )
        for n in (5, 1, 3, 2, 4)
    ]


def plain(folder: Path, one: Encoded, kind: str) -> float:
    if kind == "reward":
        return reference.reward(folder, one.token_ids)
    return reference.log_prob(folder, one.token_ids[: one.answer_end], one.answer_start)


def assert_as_alone(folder: Path, scorer: Scorer, kind: str) -> None:
    """In company, in another order and again: what one text alone gets."""
    encoded = [one for item in items() for one in scorer.encode(item)]
    assert len({len(one.token_ids) for one in encoded}) > 5
    wanted = [plain(folder, one, kind) for one in encoded]
    assert max(wanted) - min(wanted) > 1e-2
    order = list(range(len(encoded)))
    for seed in (None, 0, 1):
        if seed is not None:
            random.Random(seed).shuffle(order)
        found = scorer.score([encoded[at] for at in order])
        scores = [values[scorer.measures[0]] for values in found]
        assert scores == pytest.approx([wanted[at] for at in order], rel=1e-4, abs=1e-4)


SCALED = {
    "longrope": lambda: Phi3Config(**SHAPE, rope_parameters=LONGROPE),
    "dynamic": lambda: LlamaConfig(
        **SHAPE | {"max_position_embeddings": 32}, rope_parameters=DYNAMIC
    ),
    "dynamic, of one layer type": lambda: Gemma3TextConfig(
        **SHAPE | {"max_position_embeddings": 32},
        query_pre_attn_scalar=8,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters={
            "full_attention": DYNAMIC,
            "sliding_attention": THETA | {"rope_type": "default"},
        },
    ),
}


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("kind", ["policy", "reward"])
def test_each_text_has_rotary_factors_of_its_own(
    name: str, kind: str, tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "m", SCALED[name](), kind)
    scorer = scorer_of(folder)
    assert scorer.engine.startswith("batches of one length (rotary scaling that depen")
    assert_as_alone(folder, scorer, kind)


def test_the_case_of_longrope(cases: Path) -> None:
    folder = cases / "longrope" / "cls"
    scorer = scorer_of(folder)
    with (folder.parent / "items.csv").open(encoding="utf-8") as stream:
        asked = [
            Item(
                id=row["item_id"],
                messages=(Message(role="user", content=row["prompt"]),),
                candidates=(Candidate(id="x", answer=row["answer"]),),
            )
            for row in csv.DictReader(stream)
        ]
    encoded = [one for item in asked for one in scorer.encode(item)]
    scores = [values[scorer.measures[0]] for values in scorer.score(encoded)]
    wanted = [plain(folder, one, "reward") for one in encoded]
    assert scores == pytest.approx(wanted, abs=1e-4)


def test_only_what_depends_on_length_has_another_fingerprint(tmp_path: Path) -> None:
    made = {}
    for name, rope in (("plain", THETA), ("dynamic", DYNAMIC)):
        config = LlamaConfig(**SHAPE, rope_parameters=rope | {"rope_type": "default"})
        folder = checkpoint(tmp_path / name, config, "policy")
        read = resolve_model(str(folder)).model_copy(update={"bos": "none"})
        before = fingerprint(read, resolve_weights(read))
        path = folder / "config.json"
        said = path.read_text(encoding="utf-8")
        # An identity that does not change with the file shows what the key adds.
        resolved = resolve_weights(read)
        path.write_text(
            said.replace(
                '"default"', f'"{"dynamic" if rope is DYNAMIC else "linear"}"'
            ),
            encoding="utf-8",
        )
        made[name] = before == fingerprint(read, resolved)
    assert made == {"plain": True, "dynamic": False}


def test_a_class_that_looks_past_its_declared_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Twenty tokens on the loaded model do not reach a window of 40.
    config = MistralConfig(**SHAPE, sliding_window=40)
    folder = checkpoint(tmp_path / "m", config, "reward")
    assert scorer_of(folder).engine.startswith("tree (causal decoder: sliding_attent")
    monkeypatch.setenv("RM_PROBE_CACHE", str(tmp_path / "another"))
    monkeypatch.setattr(tree_attention, "windows", lambda config: {"full": None})
    scorer = scorer_of(folder)
    assert scorer.engine.startswith("batches (") and "differ by" in scorer.engine
    assert_as_alone(folder, scorer, "reward")


def test_a_threshold_that_no_layer_type_declares(tmp_path: Path) -> None:
    # Doge attends to the `keep_window_size` best tokens, once there are more.
    shape = {key: SHAPE[key] for key in SHAPE if key != "head_dim"}
    config = DogeConfig(**shape, keep_window_size=40)
    folder = checkpoint(tmp_path / "m", config, "policy")
    scorer = scorer_of(folder)
    assert "tree: texts alone and together differ by" in scorer.engine
    assert_as_alone(folder, scorer, "policy")


PADDED = {
    "FNet mixes all positions": lambda: FNetConfig(**ENCODER),
    "BigBird is sparse beyond 28 tokens": lambda: BigBirdConfig(
        **ENCODER, block_size=4, num_random_blocks=1, attention_type="block_sparse"
    ),
}


@pytest.mark.parametrize("name", PADDED)
def test_padding_that_leaks(name: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", PADDED[name](), "reward")
    scorer = scorer_of(folder)
    assert scorer.engine.startswith(
        "batches of one length (pool: model; batches: texts"
    )
    assert_as_alone(folder, scorer, "reward")


def test_a_class_that_draws_numbers_is_refused(tmp_path: Path) -> None:
    config = ReformerConfig(
        hidden_size=32,
        axial_pos_embds_dim=[8, 24],
        axial_pos_shape=[16, 16],
        attention_head_size=8,
        feed_forward_size=48,
        num_attention_heads=4,
        attn_layers=["local", "lsh"],
        max_position_embeddings=256,
        num_hashes=2,
    )
    folder = checkpoint(tmp_path / "m", config, "reward")
    with pytest.raises(ConfigError, match="same numbers whenever it is read alone"):
        scorer_of(folder)


def test_a_policy_that_sees_its_answer_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", BertConfig(**ENCODER), "policy")
    with pytest.raises(ConfigError, match="changes with the tokens after it"):
        scorer_of(folder)


def test_a_class_that_cannot_be_shrunk_is_never_padded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("heads do not divide")

    folder = checkpoint(tmp_path / "m", LlamaConfig(**SHAPE), "reward")
    monkeypatch.setattr(trial, "shrink", fails)
    scorer = scorer_of(folder)
    assert scorer.engine == (
        "batches of one length (no small copy of its class can be tried: ValueError: "
        "heads do not divide)"
    )
    assert_as_alone(folder, scorer, "reward")


def test_a_class_is_tried_once_and_without_a_cache_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint(tmp_path / "m", LlamaConfig(**SHAPE), "reward")
    made = []
    monkeypatch.setattr(trial, "shrink", lambda *to: made.append(1) or shrink(*to))
    engines = {scorer_of(folder).engine for _ in range(2)}
    assert len(made) == 1
    blocked = tmp_path / "blocked" / "classes"
    blocked.parent.mkdir()
    (tmp_path / "cache").joinpath("sha256").rename(blocked.parent / "sha256")
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("RM_PROBE_CACHE", str(blocked.parent))
    engines |= {scorer_of(folder).engine for _ in range(2)}
    assert len(made) == 3 and len(engines) == 1
    assert engines.pop().startswith("tree (causal decoder: full_attention; self-test")


def test_a_shrunken_config_keeps_its_pattern() -> None:
    config = Gemma3TextConfig(
        hidden_size=2304,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        sliding_window=1024,
        layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 4
        + ["sliding_attention"] * 2,
        rope_parameters={
            "full_attention": LONGROPE | {"short_factor": [1.0] * 128},
            "sliding_attention": THETA | {"rope_type": "default"},
        },
    )
    small = shrink(config, 128)
    assert small.layer_types == ["sliding_attention"] * 5 + ["full_attention"]
    assert (small.sliding_window, small.vocab_size) == (WINDOW, 128)
    assert (small.num_attention_heads, small.num_key_value_heads) == (4, 2)
    rope = small.rope_parameters["full_attention"]
    assert rope["original_max_position_embeddings"] == THRESHOLD
    assert len(rope["short_factor"]) == small.head_dim // 2


def test_a_model_that_gives_no_number_is_scored_as_such(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", LlamaConfig(**SHAPE), "reward")
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][:] = math.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    scorer = scorer_of(folder)
    assert scorer.engine.startswith("tree")
    for scores in scorer.score(scorer.encode(items()[0])):
        assert all(math.isnan(score) for score in scores.values())


def test_an_end_token_beyond_the_vocabulary_is_not_tried(tmp_path: Path) -> None:
    """As of a small model whose config keeps its class's default."""
    config = DogeConfig(**SHAPE | {"eos_token_id": 50_256})
    scorer = scorer_of(checkpoint(tmp_path / "model", config, "policy"))
    assert scorer.engine.startswith("batches")


def test_dynamic_scaling_reads_beyond_what_is_declared(tmp_path: Path) -> None:
    rope = DYNAMIC | {"rope_type": "dynamic", "factor": 3.0}
    config = LlamaConfig(**SHAPE, rope_parameters=rope)
    folder = checkpoint(tmp_path / "m", config, "reward")
    assert resolve_model(str(folder)).max_tokens == 3 * config.max_position_embeddings
