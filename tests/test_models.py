"""Every kind of scorer against plain forward passes, and what must be refused."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaForSequenceClassification,
    LlamaModel,
)
from transformers.modeling_outputs import SequenceClassifierOutputWithPast

from probe.check import plain_score
from probe.config import Kind, ModelConfig
from probe.models import (
    Scorer,
    fingerprint,
    load_scorer,
    resolve_model,
    resolve_weights,
    weights,
)
from probe.models.reward import OwnOutputScorer
from probe.types import (
    Candidate,
    ConfigError,
    DataError,
    Encoded,
    Item,
    Measure,
    Message,
    UsageError,
    WeightsError,
)
from tests.tiny_checkpoints import (
    CHAT_TEMPLATE,
    byte_tokenizer,
    deberta_classifier,
    enlarge,
    gemma2_policy,
    gpt2_policy,
    llama_classifier,
    llama_config,
    llama_policy,
    starling,
    ultrarm,
    with_lora,
)

COUNTRIES = ("Canada", "the United Kingdom", "Curaçao", "Japan", "Brazil")
STARLING_TEMPLATE = "<s>[INST] {user} </s> [/INST] {assistant}</s>"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))


def chat_tokenizer() -> Any:
    return byte_tokenizer(chat_template=CHAT_TEMPLATE)


def items() -> list[Item]:
    questions = ("Where are you from?", "Which country has the nicest people?")
    return [
        Item(
            id=f"q{i}",
            messages=(Message(role="user", content=question),),
            candidates=tuple(
                Candidate(id=c, answer=f"I am from {c}.", span=(10, 10 + len(c)))
                for c in COUNTRIES
            ),
        )
        for i, question in enumerate(questions)
    ]


def load(config: ModelConfig, **options: Any) -> Scorer:
    return load_scorer(config, resolve_weights(config), device="cpu", **options)


def encode(scorer: Scorer) -> list[Encoded]:
    return [one for item in items() for one in scorer.encode(item)]


def assert_same(
    left: Sequence[Mapping[Measure, float]],
    right: Sequence[Mapping[Measure, float]],
    tolerance: float = 1e-5,
) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for measure, value in one.items():
            expected = pytest.approx(other[measure], rel=tolerance / 2, abs=tolerance)
            assert value == expected


def assert_spread(scores: Sequence[Mapping[Measure, float]]) -> None:
    """Random models must tell candidates apart, or equality would prove nothing."""
    values = [next(iter(score.values())) for score in scores]
    assert max(values) - min(values) > 0.05
    assert len({round(value, 4) for value in values}) == len(values)


def equivalence(config: ModelConfig) -> Scorer:
    """Any budget, any order, alone or together: one plain forward pass a text."""
    scorer = load(config)
    encoded = encode(scorer)
    plain = [plain_score(scorer, one) for one in encoded]
    assert_spread(plain)
    assert_same(scorer.score(encoded), plain)
    assert_same(scorer.score(encoded[::-1])[::-1], plain)
    assert_same([scorer.score([one])[0] for one in encoded], plain)
    for budget in (30, 100):
        assert_same(load(config, batch_tokens=budget).score(encoded), plain)
    assert scorer.score([]) == []
    return scorer


# -- equivalence, kind by kind ----------------------------------------------------


def test_classifier_equals_its_class(tmp_path: Path) -> None:
    folder = llama_classifier(tmp_path / "rm", chat_tokenizer())
    scorer = equivalence(resolve_model(str(folder)))
    assert scorer.engine.startswith("tree (")
    assert scorer.measures == (Measure.REWARD,)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoded = encode(scorer)
    with torch.inference_mode():
        own = [
            {Measure.REWARD: float(model(torch.tensor([one.token_ids])).logits[0, 0])}
            for one in encoded
        ]
    assert_same(scorer.score(encoded), own)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_policy_equals_its_class(tmp_path: Path, kind: str) -> None:
    tokenizer = byte_tokenizer()
    folder = tmp_path / kind
    if kind == "llama":
        llama_policy(folder, tokenizer)
    elif kind == "gpt2":
        gpt2_policy(folder, byte_tokenizer(bos="</s>", adds_bos=False))
    else:
        gemma2_policy(folder, tokenizer, cap=2.0)
    scorer = equivalence(resolve_model(str(folder)))
    assert scorer.engine.startswith("tree (")
    encoded = encode(scorer)
    assert any(one.n_answer_tokens > 1 for one in encoded)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    for one, score in zip(encoded, scorer.score(encoded), strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([one.token_ids])).logits[0]
        losses = nn.functional.cross_entropy(
            logits[one.answer_start - 1 : one.answer_end - 1].float(),
            torch.tensor(one.token_ids[one.answer_start :]),
            reduction="none",
        )
        total = -float(losses.sum())
        assert score[Measure.LOGPROB_SUM] == pytest.approx(total, abs=1e-4)
        assert score[Measure.LOGPROB_MEAN] == pytest.approx(total / len(losses), 1e-5)


def test_soft_capping_bites(tmp_path: Path) -> None:
    capped, free = (
        gemma2_policy(tmp_path / str(cap), byte_tokenizer(), cap=cap)
        for cap in (2.0, 1000.0)
    )
    ours = [load(resolve_model(str(f))) for f in (capped, free)]
    first, second = (scorer.score(encode(scorer)) for scorer in ours)
    differences = [
        abs(a[Measure.LOGPROB_SUM] - b[Measure.LOGPROB_SUM])
        for a, b in zip(first, second, strict=True)
    ]
    assert min(differences) > 0.1


def test_logits_of_a_class_of_its_own_are_used_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from probe.models import policy

    folder = gemma2_policy(tmp_path / "gemma2", byte_tokenizer(), cap=2.0)
    config = resolve_model(str(folder))
    known = load(config)
    monkeypatch.setattr(policy, "_declared_transforms", lambda model: [lambda x: x])
    unknown = load(config)
    assert "logits of its own" in unknown.engine
    encoded = encode(known)
    assert_same(unknown.score(encoded), known.score(encoded))


def test_vocabulary_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from probe.models import policy

    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(13, 8, generator=generator)
    head = policy.VocabularyHead(
        weight=torch.randn(50, 8, generator=generator),
        bias=torch.randn(50, generator=generator),
        transform=lambda x: 3 * torch.tanh(x / 3),
    )
    targets = torch.randint(50, (13,), generator=generator)
    whole = head.logits(hidden, 0, 50).log_softmax(1)
    expected = whole.gather(1, targets[:, None])[:, 0]
    for block, rows in ((7, 3), (50, 1), (64, 100), (1, 13)):
        monkeypatch.setattr(policy, "_VOCABULARY_BLOCK", block)
        monkeypatch.setattr(policy, "_BLOCK_BYTES", 4 * rows * min(block, 50))
        assert torch.allclose(head.log_probs(hidden, targets), expected, atol=1e-5)


def test_deberta_reads_its_own_output(tmp_path: Path) -> None:
    folder = deberta_classifier(tmp_path / "deberta")
    config = resolve_model(str(folder))
    assert (config.pool, config.output) == ("model", "logits")
    scorer = equivalence(config)
    assert scorer.engine == "batches (pool: model)"
    assert isinstance(scorer, OwnOutputScorer)


def test_encoder_cannot_be_read_at_the_last_token(tmp_path: Path) -> None:
    folder = deberta_classifier(tmp_path / "deberta")
    config = resolve_model(str(folder))
    changed = config.model_copy(update={"pool": "last_token", "output": None})
    with pytest.raises(ConfigError, match=r"pools in a way of its own.*pool: model"):
        load(changed)


def test_own_output_must_exist_and_be_one_number(tmp_path: Path) -> None:
    folder = deberta_classifier(tmp_path / "deberta")
    config = resolve_model(str(folder))
    scorer = load(config.model_copy(update={"output": "scores"}))
    with pytest.raises(ConfigError, match=r"`output: scores`.*gives logits"):
        scorer.score(encode(scorer))


def test_own_pooling_without_a_pad_token(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(pad=None)
    folder = tmp_path / "rm"
    model = LlamaForSequenceClassification(
        llama_config(len(tokenizer), num_labels=1, pad_token_id=None)
    )
    enlarge(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = resolve_model(str(folder))
    last = equivalence(config)
    own = equivalence(config.model_copy(update={"pool": "model", "output": "logits"}))
    assert_same(own.score(encode(own)), last.score(encode(last)))


def own_rewards(folder: Path, encoded: Sequence[Encoded]) -> list[dict[Measure, float]]:
    """What the checkpoint's own class gives, one unpadded text at a time."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return [
            {
                Measure.REWARD: float(
                    model(
                        torch.tensor([one.token_ids]),
                        attention_mask=torch.ones(1, len(one.token_ids)),
                    ).logits[0, 0]
                )
            }
            for one in encoded
        ]


def rewrite_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def with_pad(folder: Path, pad_token_id: int | None) -> Path:
    rewrite_json(folder / "config.json", pad_token_id=pad_token_id)
    return folder


ENDING_IN_EOS = CHAT_TEMPLATE.replace("</s>\\n", "</s>")


@pytest.mark.parametrize("engine", ["tree", "batches"])
def test_pad_that_ends_the_template_is_passed_over_as_its_class_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """As TRL's RewardTrainer saves a model whose tokenizer had no pad token."""
    from probe import tree_support
    from probe.models import engine as engines

    if engine == "batches":
        refusal = tree_support.Support(ok=False, reason="for the test")
        monkeypatch.setattr(engines, "verified_support", lambda _: refusal)
    tokenizer = byte_tokenizer(chat_template=ENDING_IN_EOS, pad="</s>")
    folder = with_pad(llama_classifier(tmp_path / "rm", tokenizer), 2)
    scorer = equivalence(resolve_model(str(folder)))
    assert scorer.engine.startswith(engine)
    encoded = encode(scorer)
    assert all(one.token_ids[-1] == 2 for one in encoded)
    assert_same(scorer.score(encoded), own_rewards(folder, encoded))
    # `pool: eos` still reads the end token.
    eos = load(scorer.encoder.config.model_copy(update={"pool": "eos"}))
    pairs = zip(eos.score(encoded), scorer.score(encoded), strict=True)
    assert min(abs(a[Measure.REWARD] - b[Measure.REWARD]) for a, b in pairs) > 1e-3


def test_without_a_declared_pad_the_class_reads_the_end_token(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(chat_template=ENDING_IN_EOS, pad="</s>")
    folder = with_pad(llama_classifier(tmp_path / "rm", tokenizer), None)
    scorer = equivalence(resolve_model(str(folder)))
    encoded = encode(scorer)
    assert_same(scorer.score(encoded), own_rewards(folder, encoded))


def test_text_of_pad_tokens_alone_is_read_where_the_class_reads(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(chat_template=ENDING_IN_EOS, pad="</s>")
    folder = with_pad(llama_classifier(tmp_path / "rm", tokenizer), 2)
    scorer = load(resolve_model(str(folder)))
    some = encode(scorer)[0]
    texts = [
        dataclasses.replace(some, token_ids=ids, answer_start=0, answer_end=len(ids))
        for ids in ((2, 2, 2), (1, 2, 2), (2,), (9, 2, 8, 2, 2))
    ]
    assert_same(scorer.score(texts), own_rewards(folder, texts))


def test_class_that_reads_its_pad_token_is_read_there(tmp_path: Path) -> None:
    from probe.models.reward import passes_over

    class Last(LlamaForSequenceClassification):
        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.model(input_ids, attention_mask).last_hidden_state
            return SequenceClassifierOutputWithPast(logits=self.score(states[:, -1]))

    torch.manual_seed(0)
    config = ModelConfig(name="x", kind=Kind.SEQUENCE_CLASSIFIER, weights="nowhere")
    declared = llama_config(400, num_labels=1)
    for owner, expected in ((Last, False), (LlamaForSequenceClassification, True)):
        model = owner(declared)
        enlarge(model)
        assert passes_over(model.eval(), model.score, 3, config) is expected


# -- value heads ---------------------------------------------------------------


def starling_config(folder: Path, pool: str, to: int = 160) -> ModelConfig:
    weights_folder, backbone = folder / "starling", folder / "llama-chat"
    if not backbone.exists():
        starling(weights_folder, backbone, byte_tokenizer())
    return ModelConfig.model_validate(
        {
            "name": "starling",
            "kind": "value_head",
            "weights": str(weights_folder),
            "backbone": str(backbone),
            "head": {"key": "v_head.weight"},
            "template": STARLING_TEMPLATE,
            "bos": "literal_plus_tokenizer",
            "pool": pool,
            "padding": {"to": to, "token": "<unk>"},
        }
    )


def card_rewards(folder: Path, encoded: Sequence[Encoded], to: int) -> list[float]:
    """The Starling card's computation: pad to `to`, read at index ``0 - 1``."""
    state = torch.load(folder / "starling" / "pytorch_model.bin", weights_only=True)
    backbone = LlamaModel(llama_config(len(byte_tokenizer()))).eval()
    backbone.load_state_dict(
        {
            key.removeprefix("transformer."): value
            for key, value in state.items()
            if key.startswith("transformer.")
        }
    )
    head = nn.Linear(32, 1, bias=False)
    head.load_state_dict({"weight": state["v_head.weight"]})
    unk = 0
    ids = torch.full((len(encoded), to), unk)
    mask = torch.zeros_like(ids)
    for row, one in enumerate(encoded):
        ids[row, : len(one.token_ids)] = torch.tensor(one.token_ids)
        mask[row, : len(one.token_ids)] = 1
    with torch.inference_mode():
        hidden = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return head(hidden)[:, -1, 0].tolist()


def test_last_column_equals_the_cards_brute_force(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "last_column")
    scorer = equivalence(config)
    encoded = encode(scorer)
    brute = card_rewards(tmp_path, encoded, to=160)
    ours = [score[Measure.REWARD] for score in scorer.score(encoded)]
    scale = max(1.0, *map(abs, brute))
    worst = max(abs(a - b) for a, b in zip(ours, brute, strict=True))
    assert worst <= 5e-7 * scale
    other = starling_config(tmp_path, "last_token")
    read_at_text = [score[Measure.REWARD] for score in load(other).score(encoded)]
    assert min(abs(a - b) for a, b in zip(ours, read_at_text, strict=True)) > 1e-3


def test_last_column_of_a_text_that_fills_the_row(tmp_path: Path) -> None:
    probe = load(starling_config(tmp_path, "last_token"))
    encoded = encode(probe)
    longest = max(len(one.token_ids) for one in encoded)
    config = starling_config(tmp_path, "last_column", to=longest)
    ours = [score[Measure.REWARD] for score in load(config).score(encoded)]
    brute = card_rewards(tmp_path, encoded, to=longest)
    assert ours == pytest.approx(brute, abs=5e-6)


def test_last_column_in_batches_is_padded_for_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from probe import tree_support
    from probe.models import engine as engines

    config = starling_config(tmp_path, "last_column")
    tree = load(config)
    refusal = tree_support.Support(ok=False, reason="for the test")
    monkeypatch.setattr(engines, "verified_support", lambda _: refusal)
    batches = equivalence(config)
    assert batches.engine == "batches (for the test)"
    encoded = encode(tree)
    assert_same(batches.score(encoded), tree.score(encoded))


def test_batches_equal_the_tree_for_policies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from probe import tree_support
    from probe.models import engine as engines

    config = resolve_model(str(llama_policy(tmp_path / "p", byte_tokenizer())))
    refusal = tree_support.Support(ok=False, reason="for the test")
    monkeypatch.setattr(engines, "verified_support", lambda _: refusal)
    assert equivalence(config).engine.startswith("batches")


def test_last_column_needs_padding_on_the_right(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "last_column")
    left = config.padding.model_copy(update={"side": "left"})
    with pytest.raises(ConfigError, match=r"padding\.side: left"):
        load(config.model_copy(update={"padding": left}))
    typo = config.padding.model_copy(update={"token": "<pda>"})
    with pytest.raises(ConfigError, match=r"`padding\.token` = '<pda>'"):
        load(config.model_copy(update={"padding": typo}))


def test_starling_reads_its_own_weights_not_the_backbones(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "last_token")
    scorer = load(config)
    before = scorer.score(encode(scorer))
    file = tmp_path / "llama-chat" / "model.safetensors"
    save_file({k: v * 0 for k, v in load_file(file).items()}, file, {"format": "pt"})
    again = load(config)
    assert_same(again.score(encode(again)), before, 0)


def rewrite(folder: Path, change: Any) -> None:
    file = folder / "starling" / "pytorch_model.bin"
    state = {k: v.clone() for k, v in torch.load(file, weights_only=True).items()}
    change(state)
    torch.save(state, file)


def test_starling_with_one_copy_of_its_backbone(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "last_token")
    scorer = load(config)
    before = scorer.score(encode(scorer))

    def drop(state: dict[str, torch.Tensor]) -> None:
        for key in [k for k in state if k.startswith("model.")]:
            del state[key]
        state["transformer.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)

    rewrite(tmp_path, drop)
    again = load(config)
    assert_same(again.score(encode(again)), before, 0)


def test_starling_with_two_different_copies(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "last_token")
    rewrite(tmp_path, lambda state: state["transformer.norm.weight"].add_(1))
    with pytest.raises(WeightsError, match=r"norm\.weight` differ"):
        load(config)


def test_value_head_missing_tensors(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "last_token")

    def lose(state: dict[str, torch.Tensor]) -> None:
        for key in [k for k in state if k.startswith("model.")]:
            del state[key]
        del state["transformer.layers.1.mlp.up_proj.weight"]

    rewrite(tmp_path, lose)
    with pytest.raises(
        WeightsError, match=r"lacks 1 .*transformer\.layers\.1\.mlp\.up_proj\.weight"
    ):
        load(config)


def test_value_head_unexpected_tensor(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "last_token")
    rewrite(tmp_path, lambda state: state.update({"v_head2.weight": torch.ones(1, 32)}))
    with pytest.raises(WeightsError, match=r"nothing reads.*v_head2\.weight"):
        load(config)


def test_value_head_absent_or_misshapen(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "last_token")
    named = ModelConfig.model_validate(
        config.model_dump() | {"head": {"key": "value_head.weight"}}
    )
    with pytest.raises(WeightsError, match=r"no tensor `value_head\.weight`") as caught:
        load(named)
    assert "v_head.weight" in str(caught.value)
    rewrite(tmp_path, lambda state: state.update({"v_head.weight": torch.ones(2, 32)}))
    with pytest.raises(WeightsError, match=r"shape \(2, 32\)"):
        load(config)
    rewrite(tmp_path, lambda state: state.update({"v_head.weight": torch.ones(1, 31)}))
    with pytest.raises(WeightsError, match="reads 31 values"):
        load(config)


def test_ultrarm_layout(tmp_path: Path) -> None:
    folder = ultrarm(tmp_path / "ultrarm", byte_tokenizer())
    config = ModelConfig.model_validate(
        {
            "name": "ultrarm",
            "kind": "value_head",
            "weights": str(folder),
            "head": {"key": "regression_head.weight"},
            "template": "Human: {user}\n\nAssistant: {assistant}",
        }
    )
    equivalence(config)


def test_head_beside_a_published_backbone(tmp_path: Path) -> None:
    """A stack of layers in its own small file, the backbone elsewhere."""
    backbone = llama_policy(tmp_path / "backbone", byte_tokenizer())
    folder = tmp_path / "head"
    folder.mkdir()
    generator = torch.Generator().manual_seed(3)
    # Scaled as layers are: larger weights would magnify the last bit of the states,
    # which differs from processor to processor, beyond the tolerance.
    state = {
        "0.weight": torch.randn(16, 32, generator=generator) / 32**0.5,
        "0.bias": torch.randn(16, generator=generator),
        "2.weight": torch.randn(1, 16, generator=generator) / 16**0.5,
    }
    torch.save(state, folder / "value_head.pt")
    layers = [
        {"weight": "0.weight", "bias": "0.bias", "activation": "relu"},
        {"weight": "2.weight"},
    ]
    config = ModelConfig.model_validate(
        {
            "name": "stack",
            "kind": "value_head",
            "weights": str(folder),
            "backbone": str(backbone),
            "head": {"layers": layers, "file": "value_head.pt"},
            "template": "{user} {assistant}",
        }
    )
    scorer = equivalence(config)
    one = encode(scorer)[0]
    model = AutoModelForCausalLM.from_pretrained(backbone).eval().model
    with torch.inference_mode():
        hidden = model(torch.tensor([one.token_ids])).last_hidden_state[0, -1]
        inner = torch.relu(state["0.weight"] @ hidden + state["0.bias"])
        expected = float(state["2.weight"] @ inner)
    found = scorer.score([one])[0][Measure.REWARD]
    assert found == pytest.approx(expected, abs=1e-4)


# -- pool: eos -------------------------------------------------------------------


def test_eos_pooling_reads_the_last_end_token(tmp_path: Path) -> None:
    config = starling_config(tmp_path, "eos")
    config = config.model_copy(update={"template": STARLING_TEMPLATE + "\nbye"})
    scorer = equivalence(config)
    shorter = load(config.model_copy(update={"template": STARLING_TEMPLATE}))
    assert_same(scorer.score(encode(scorer)), shorter.score(encode(shorter)))
    none = load(config.model_copy(update={"template": "<s>{user} {assistant}"}))
    with pytest.raises(DataError, match=r"'q0', candidate 'Canada': no EOS"):
        none.score(encode(none))


# -- implicit rewards -----------------------------------------------------------


def dpo_config(folder: Path, **changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "name": "dpo",
            "kind": "implicit_reward",
            "weights": str(folder / "policy"),
            "reference": str(folder / "reference"),
            "beta": 0.25,
            "template": "{user} {assistant}</s>",
        }
        | changes
    )


def test_implicit_reward(tmp_path: Path) -> None:
    llama_policy(tmp_path / "policy", byte_tokenizer(), seed=1)
    llama_policy(tmp_path / "reference", byte_tokenizer(), seed=2)
    scorer = equivalence(dpo_config(tmp_path))
    assert scorer.measures == (Measure.IMPLICIT_REWARD,)
    encoded = encode(scorer)
    found = scorer.score(encoded)
    sums = []
    for name in ("policy", "reference"):
        policy = load(
            resolve_model(str(tmp_path / name)).model_copy(
                update={"template": "{user} {assistant}"}
            )
        )
        whole = [
            Item(
                id=item.id,
                messages=item.messages,
                # The closing token is part of what DPO compares.
                candidates=tuple(
                    Candidate(id=c.id, answer=f"{c.answer}</s>")
                    for c in item.candidates
                ),
            )
            for item in items()
        ]
        read = [one for item in whole for one in policy.encode(item)]
        sums.append([score[Measure.LOGPROB_SUM] for score in policy.score(read)])
    for score, ours, base in zip(found, *sums, strict=True):
        expected = 0.25 * (ours - base)
        assert score[Measure.IMPLICIT_REWARD] == pytest.approx(expected, abs=1e-4)


def test_implicit_reward_needs_one_vocabulary(tmp_path: Path) -> None:
    llama_policy(tmp_path / "policy", byte_tokenizer())
    llama_policy(tmp_path / "reference", byte_tokenizer(vocab_size=380))
    with pytest.raises(ConfigError, match="tokenizers of `weights` and `reference`"):
        load(dpo_config(tmp_path))


def test_a_pad_token_more_is_no_difference(tmp_path: Path) -> None:
    llama_policy(tmp_path / "policy", byte_tokenizer(), seed=1)
    tokenizer = byte_tokenizer()
    llama_policy(tmp_path / "reference", tokenizer, seed=2)
    before = load(dpo_config(tmp_path))
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(tmp_path / "reference")
    after = load(dpo_config(tmp_path))
    encoded = encode(before)
    assert_same(after.score(encoded), before.score(encoded), 0)


# -- adapters --------------------------------------------------------------------


def lora_classifier(folder: Path, **changes: Any) -> Path:
    """What TRL's RewardTrainer leaves behind with a peft config: no YAML, no base."""
    base = llama_policy(folder / "base", chat_tokenizer())
    rewrite_json(base / "config.json", **changes)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    with_lora(model, folder / "lora", "SEQ_CLS")
    chat_tokenizer().save_pretrained(folder / "lora")
    return folder / "lora"


def test_lora_classifier_as_a_bare_folder(tmp_path: Path) -> None:
    from peft import PeftModel

    folder = lora_classifier(tmp_path)
    config = resolve_model(str(folder))
    assert config.kind is Kind.SEQUENCE_CLASSIFIER
    assert config.adapter == str(folder)
    assert config.weights == str(tmp_path / "base")
    scorer = equivalence(config)
    base = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "base", num_labels=1
    )
    reference = PeftModel.from_pretrained(base, folder).eval()
    encoded = encode(scorer)
    with torch.inference_mode():
        own = [
            {Measure.REWARD: float(reference(torch.tensor([e.token_ids])).logits[0, 0])}
            for e in encoded
        ]
    assert_same(scorer.score(encoded), own, 1e-4)


def test_lora_classifier_passes_over_the_pad_token_it_was_trained_with(
    tmp_path: Path,
) -> None:
    """TRL sets pad in the base's config while it trains; the adapter has none."""
    folder = lora_classifier(tmp_path, pad_token_id=None)
    tokenizer = byte_tokenizer(chat_template=ENDING_IN_EOS, pad="</s>")
    tokenizer.save_pretrained(folder)
    scorer = equivalence(resolve_model(str(folder)))
    encoded = encode(scorer)
    assert all(one.token_ids[-1] == 2 for one in encoded)
    without = [
        dataclasses.replace(one, token_ids=one.token_ids[:-1]) for one in encoded
    ]
    assert_same(scorer.score(encoded), scorer.score(without), 1e-6)


def test_lora_policy_differs_from_its_base(tmp_path: Path) -> None:
    base = llama_policy(tmp_path / "base", chat_tokenizer())
    with_lora(
        AutoModelForCausalLM.from_pretrained(base), tmp_path / "lora", "CAUSAL_LM"
    )
    config = resolve_model(str(tmp_path / "lora"))
    assert config.kind is Kind.POLICY
    assert config.template == "tokenizer"
    adapted = equivalence(config)
    plain = load(resolve_model(str(base)))
    encoded = encode(plain)
    for one, other in zip(adapted.score(encoded), plain.score(encoded), strict=True):
        difference = one[Measure.LOGPROB_SUM] - other[Measure.LOGPROB_SUM]
        assert abs(difference) > 1e-3


def test_adapter_without_the_head_is_refused(tmp_path: Path) -> None:
    folder = lora_classifier(tmp_path)
    file = folder / "adapter_model.safetensors"
    state = load_file(file)
    del state["base_model.model.score.weight"]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"score\.weight"):
        load(resolve_model(str(folder)))


def test_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = lora_classifier(tmp_path)
    file = folder / "adapter_model.safetensors"
    state = load_file(file)
    key = min(key for key in state if "lora_A" in key)
    state[key.replace("layers.0", "layers.7")] = state.pop(key)
    save_file(state, file, {"format": "pt"})
    with pytest.raises(WeightsError, match="adapter tensors without a counterpart"):
        load(resolve_model(str(folder)))


def test_adapter_given_as_weights(tmp_path: Path) -> None:
    folder = lora_classifier(tmp_path)
    shutil.copy(tmp_path / "base" / "config.json", folder / "config.json")
    config = ModelConfig(name="x", kind=Kind.POLICY, weights=str(folder))
    with pytest.raises(ConfigError, match="is a peft adapter"):
        load(config)


# -- heads and tensors that are not there -------------------------------------------


def test_a_missing_head_is_never_made_up(tmp_path: Path) -> None:
    folder = llama_policy(tmp_path / "policy", chat_tokenizer())
    settings = {"kind": Kind.SEQUENCE_CLASSIFIER}
    config = resolve_model(str(folder)).model_copy(update=settings)
    with pytest.raises((WeightsError, ConfigError)):
        load(config)
    file = llama_classifier(tmp_path / "rm", chat_tokenizer()) / "model.safetensors"
    state = load_file(file)
    del state["score.weight"]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 tensors, such as `score\.weight`"):
        load(resolve_model(str(tmp_path / "rm")))


def test_unexpected_and_misshapen_tensors(tmp_path: Path) -> None:
    folder = llama_classifier(tmp_path / "rm", chat_tokenizer())
    file = folder / "model.safetensors"
    state = load_file(file)
    extra = state | {"regression.weight": torch.ones(1, 32)}
    save_file(extra, file, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"nothing reads.*`regression\.weight`"):
        load(resolve_model(str(folder)))
    save_file(state | {"score.weight": torch.ones(2, 32)}, file, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"score\.weight|shape"):
        load(resolve_model(str(folder)))


def test_reward_checkpoint_loaded_as_a_policy(tmp_path: Path) -> None:
    folder = llama_classifier(tmp_path / "rm", chat_tokenizer())
    config = resolve_model(str(folder)).model_copy(update={"kind": Kind.POLICY})
    with pytest.raises(WeightsError, match="lm_head"):
        load(config)


# -- what the model says --------------------------------------------------------


def test_nan_from_a_model_stays_nan(tmp_path: Path) -> None:
    folder = llama_classifier(tmp_path / "rm", chat_tokenizer())
    scorer = load(resolve_model(str(folder)))
    scorer.head.weight.data[:] = math.nan  # type: ignore[attr-defined]
    scores = scorer.score(encode(scorer))
    assert all(math.isnan(score[Measure.REWARD]) for score in scores)


def test_one_long_answer_does_not_end_a_run_without_bos(tmp_path: Path) -> None:
    folder = llama_policy(tmp_path / "policy", byte_tokenizer(bos=None))
    config = resolve_model(str(folder)).model_copy(update={"max_tokens": 40})
    assert config.bos == "tokenizer"
    scorer = load(config)
    long = Candidate(id="long", answer="I am from Canada, " * 20)
    item = dataclasses.replace(items()[0], candidates=(*items()[0].candidates, long))
    encoded = scorer.encode(item)
    assert [one.truncated_tokens > 0 for one in encoded] == [False] * 5 + [True]
    assert encoded[-1].n_answer_tokens == 39
    scores = scorer.score(encoded)
    assert all(math.isfinite(score[Measure.LOGPROB_SUM]) for score in scores)
    assert_same(scores, [plain_score(scorer, one) for one in encoded])


def test_answer_lost_to_truncation_is_unscored(tmp_path: Path) -> None:
    folder = llama_policy(tmp_path / "policy", byte_tokenizer())
    changes = {"max_tokens": 12, "truncation_side": "right"}
    for kind in (Kind.POLICY, Kind.VALUE_HEAD):
        config = resolve_model(str(folder)).model_copy(update=changes)
        if kind is Kind.VALUE_HEAD:
            config = starling_config(tmp_path, "last_token").model_copy(update=changes)
        scorer = load(config)
        encoded = encode(scorer)
        lost = [one.n_answer_tokens == 0 for one in encoded]
        assert any(lost)
        for gone, score in zip(lost, scorer.score(encoded), strict=True):
            assert all(math.isnan(value) == gone for value in score.values())


def test_precision_is_the_configs_or_the_callers(tmp_path: Path) -> None:
    folder = llama_classifier(tmp_path / "rm", chat_tokenizer())
    config = resolve_model(str(folder))
    assert config.dtype == "float32"
    exact = load(config)
    coarse = load(config.model_copy(update={"dtype": "bfloat16"}))
    assert coarse.backbone.dtype is torch.bfloat16  # type: ignore[attr-defined]
    assert next(coarse.head.parameters()).dtype is torch.float32  # type: ignore[attr-defined]
    encoded = encode(exact)
    pairs = zip(exact.score(encoded), coarse.score(encoded), strict=True)
    gaps = [abs(a[Measure.REWARD] - b[Measure.REWARD]) for a, b in pairs]
    assert 1e-5 < max(gaps) < 1


def test_absent_device(tmp_path: Path) -> None:
    folder = llama_classifier(tmp_path / "rm", chat_tokenizer())
    config = resolve_model(str(folder))
    with pytest.raises(ConfigError, match="--device nonsense"):
        load_scorer(config, resolve_weights(config), device="nonsense")


# -- references and fingerprints --------------------------------------------------


def test_bare_checkpoints(tmp_path: Path) -> None:
    policy = resolve_model(str(llama_policy(tmp_path / "p", byte_tokenizer())))
    assert (policy.kind, policy.template) == (Kind.POLICY, "{user} {assistant}")
    assert (policy.bos, policy.max_tokens) == ("tokenizer", 512)
    reward = resolve_model(str(llama_classifier(tmp_path / "r", chat_tokenizer())))
    assert (reward.kind, reward.template) == (Kind.SEQUENCE_CLASSIFIER, "tokenizer")
    assert reward.pool == "last_token"
    template = CHAT_TEMPLATE.replace("{{ bos_token }}", "")
    plain = byte_tokenizer(bos=None, chat_template=template)
    without = resolve_model(str(llama_policy(tmp_path / "n", plain)))
    assert without.bos == "tokenizer"
    assert resolve_model(str(tmp_path / "p")).name == "p"
    step = tmp_path / "sft" / "checkpoint-500"
    shutil.copytree(tmp_path / "p", step)
    assert resolve_model(str(step)).name == "sft-checkpoint-500"


def test_checkpoints_that_are_neither(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    folder = tmp_path / "two"
    model = LlamaForSequenceClassification(llama_config(len(tokenizer), num_labels=2))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match="has 2 labels"):
        resolve_model(str(folder))
    base = tmp_path / "base"
    LlamaModel(llama_config(len(tokenizer))).save_pretrained(base)
    with pytest.raises(ConfigError, match=r"architectures \['LlamaModel'\]"):
        resolve_model(str(base))
    (base / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"config\.json cannot be read"):
        resolve_model(str(base))


def test_remote_code_only_by_the_users_leave(tmp_path: Path) -> None:
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "internlm_of_its_own", "auto_map": {"AutoModel": "m.M"}}'
    )
    with pytest.raises(ConfigError, match="--trust-remote-code"):
        resolve_model(str(folder))
    file = tmp_path / "remote.yaml"
    file.write_text(
        "name: remote\nkind: policy\nweights: remote\ntrust_remote_code: true\n"
    )
    with pytest.raises(ConfigError, match="--trust-remote-code"):
        resolve_model(str(file))
    assert resolve_model(str(file), trust_remote_code=True).trust_remote_code


def with_own_code(folder: Path, marker: Path, *files: str) -> Path:
    """A checkpoint whose tokenizer and config leave a mark when their code runs."""
    llama_classifier(folder, chat_tokenizer())
    code = f"open({str(marker)!r}, 'w').write('ran')\n"
    (folder / "own.py").write_text(
        code + "from transformers import PreTrainedTokenizerFast, LlamaConfig\n"
        "class Own(PreTrainedTokenizerFast): pass\n"
        "class OwnConfig(LlamaConfig): pass\n"
    )
    maps = {
        "tokenizer_config.json": {"AutoTokenizer": [None, "own.Own"]},
        "config.json": {"AutoConfig": "own.OwnConfig"},
    }
    for name in files:
        rewrite_json(folder / name, auto_map=maps[name])
        if name == "tokenizer_config.json":
            rewrite_json(folder / name, tokenizer_class="Own")
    return folder


@pytest.fixture
def modules_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import dynamic_module_utils

    monkeypatch.setattr(
        dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    monkeypatch.setattr("sys.path", list(sys.path))


@pytest.mark.usefixtures("modules_cache")
@pytest.mark.parametrize(
    "files",
    [
        ("config.json", "tokenizer_config.json"),
        ("config.json",),
        ("tokenizer_config.json",),
    ],
)
def test_no_code_of_a_checkpoint_runs_without_leave(
    tmp_path: Path, files: tuple[str, ...]
) -> None:
    marker = tmp_path / "ran"
    folder = with_own_code(tmp_path / "known", marker, *files)
    with pytest.raises(ConfigError, match=r"auto_map.*--trust-remote-code"):
        resolve_model(str(folder))
    assert not marker.exists()
    config = resolve_model(str(folder), trust_remote_code=True)
    assert config.trust_remote_code
    # The fixture is no fake: with leave, the code does run.
    assert marker.exists()


@pytest.mark.usefixtures("modules_cache")
def test_adapter_base_with_code_of_its_own(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    folder = lora_classifier(tmp_path)
    with_own_code(tmp_path / "base", marker, "tokenizer_config.json")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ConfigError, match=r"base.*--trust-remote-code"):
        resolve_model(str(folder))
    assert not marker.exists()


@pytest.mark.usefixtures("modules_cache")
@pytest.mark.parametrize("allows", [True, False])
def test_a_yaml_does_not_give_leave(tmp_path: Path, allows: bool) -> None:
    marker = tmp_path / "ran"
    both = ("config.json", "tokenizer_config.json")
    with_own_code(tmp_path / "known", marker, *both)
    file = tmp_path / "known.yaml"
    file.write_text(
        "name: known\nkind: sequence_classifier\nweights: known\n"
        f"trust_remote_code: {str(allows).lower()}\n"
    )
    if allows:
        with pytest.raises(ConfigError, match="--trust-remote-code"):
            resolve_model(str(file))
    else:
        # Even with the user's flag, a config that does not ask for code runs none.
        config = resolve_model(str(file), trust_remote_code=True)
        with contextlib.suppress(ConfigError):
            load(config)
    assert not marker.exists()


@pytest.mark.parametrize("found", ["abc", [1]])
def test_damaged_value_in_config_json(tmp_path: Path, found: object) -> None:
    policy = llama_policy(tmp_path / "p", byte_tokenizer())
    reward = llama_classifier(tmp_path / "r", chat_tokenizer())
    settings = [resolve_model(str(folder)) for folder in (policy, reward)]
    for folder, config in zip((policy, reward), settings, strict=True):
        rewrite_json(folder / "config.json", hidden_size=found)
        with pytest.raises(WeightsError, match=r"config\.json is damaged.*hidden_size"):
            load(config)
        with pytest.raises(WeightsError, match=r"config\.json is damaged.*hidden_size"):
            load(resolve_model(str(folder)))
        (folder / "config.json").write_text("[]")
        with pytest.raises(WeightsError, match="no JSON object"):
            load(config)


def test_references_that_name_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'starling_7b_card'"):
        resolve_model("starling_7b_crad")
    with pytest.raises(UsageError, match="does not exist"):
        resolve_model(str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="hf:OWNER/NAME"):
        resolve_model("hf:nonsense")
    with pytest.raises(WeightsError, match="not in the cache"):
        resolve_model("hf:owner/absent")


def test_no_tokenizer(tmp_path: Path) -> None:
    folder = llama_policy(tmp_path / "p", byte_tokenizer())
    config = resolve_model(str(folder))
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ConfigError, match="no tokenizer"):
        load(config)


def test_fingerprint_changes_with_scores_and_with_nothing_else(tmp_path: Path) -> None:
    folder = llama_classifier(tmp_path / "rm", chat_tokenizer())
    config = resolve_model(str(folder))

    def of(**changes: Any) -> str:
        changed = config.model_copy(update=changes)
        return fingerprint(changed, resolve_weights(changed))

    first = of()
    assert len(first) == 64
    assert of(name="other", license="mit", verified=True) == first
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    assert of(weights=str(moved)) == first
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0].content }}")
    seen = {
        first,
        of(dtype="bfloat16"),
        of(template="{user} {assistant}"),
        of(bos="none"),
        of(max_tokens=100),
        of(truncation_side="right"),
        # Another class may run for a known model type.
        of(trust_remote_code=True),
        of(tokenizer=str(moved)),
        of(template=str(template)),
    }
    template.write_text("{{ messages[1].content }}")
    seen.add(of(template=str(template)))
    llama_classifier(folder, chat_tokenizer(), seed=1)
    seen.add(of())
    assert len(seen) == 11
