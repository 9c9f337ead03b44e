"""`rm-probe check` passes for a sound model, and each check can fail."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from probe.check import Check, plain_score, run_checks
from probe.config import Golden, ModelConfig
from probe.models import load_scorer, resolve_model, resolve_weights, weights
from probe.models.reward import RewardScorer
from probe.types import Encoded, Measure
from tests.tiny_checkpoints import (
    CHAT_TEMPLATE,
    byte_tokenizer,
    deberta_classifier,
    llama_classifier,
    llama_policy,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def config(tmp_path: Path) -> ModelConfig:
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    return resolve_model(str(llama_classifier(tmp_path / "rm", tokenizer)))


def scorer(config: ModelConfig) -> Any:
    return load_scorer(config, resolve_weights(config), device="cpu")


def checks(config: ModelConfig, loaded: Any = None) -> dict[str, Check]:
    loaded = loaded or scorer(config)
    found = list(run_checks(config, resolve_weights(config), loaded))
    assert len({check.name for check in found}) == 7
    return {check.name: check for check in found}


def failing(found: dict[str, Check]) -> set[str]:
    return {name for name, check in found.items() if not check.ok}


def test_sound_classifier(config: ModelConfig) -> None:
    found = checks(config)
    assert not failing(found)
    assert "weight = score.weight" in found["head from the checkpoint"].detail
    assert "float32" in found["dtype and attention"].detail
    assert "sdpa" in found["dtype and attention"].detail
    assert "tree (" in found["dtype and attention"].detail
    assert "records none" in found["golden pairs"].detail


def test_sound_policy_encoder_and_pair(tmp_path: Path) -> None:
    policy = resolve_model(str(llama_policy(tmp_path / "p", byte_tokenizer(), seed=1)))
    assert not failing(checks(policy))
    encoder = resolve_model(str(deberta_classifier(tmp_path / "deberta")))
    found = checks(encoder)
    assert not failing(found)
    assert "classifier.weight" in found["head from the checkpoint"].detail
    llama_policy(tmp_path / "r", byte_tokenizer(), seed=2)
    pair = ModelConfig.model_validate(
        {
            "name": "pair",
            "kind": "implicit_reward",
            "weights": str(tmp_path / "p"),
            "reference": str(tmp_path / "r"),
            "beta": 0.1,
            "template": "{user} {assistant}",
        }
    )
    assert not failing(checks(pair))


def test_golden_pairs(config: ModelConfig) -> None:
    right = Golden(user="Where?", assistant="Here.", score=0.0)
    loaded = scorer(config.model_copy(update={"golden": (right,)}))
    from probe.types import Candidate, Item, Message

    item = Item(
        id="x",
        messages=(Message(role="user", content="Where?"),),
        candidates=(Candidate(id="0", answer="Here."),),
    )
    score = loaded.score(loaded.encode(item))[0][Measure.REWARD]
    right = right.model_copy(update={"score": score + 0.01})
    wrong = right.model_copy(update={"score": score + 0.5})
    both = config.model_copy(update={"golden": (right, wrong)})
    found = checks(both)
    assert failing(found) == {"golden pairs"}
    assert "1 of 2 agree" in found["golden pairs"].detail
    assert not failing(checks(config.model_copy(update={"golden": (right,)})))


def test_replaced_head(config: ModelConfig) -> None:
    loaded = scorer(config)
    loaded.head.weight.data += 0.001
    # The class keeps the checkpoint's head.
    assert failing(checks(config, loaded)) == {
        "head from the checkpoint",
        "engine against plain forward passes",
    }


def test_other_precision(config: ModelConfig) -> None:
    asked = config.model_copy(update={"dtype": "bfloat16"})
    assert failing(checks(asked, scorer(config))) == {"dtype and attention"}


def test_other_bos(config: ModelConfig) -> None:
    asked = config.model_copy(update={"bos": "none"})
    assert failing(checks(asked, scorer(config))) == {"BOS count"}


class Leaking(RewardScorer):
    """A scorer whose scores depend on batch mates, as careless padding does."""

    def score(self, encoded: Sequence[Encoded]) -> list[Mapping[Measure, float]]:
        shift = 0.01 * (len(encoded) - 1)
        return [
            {Measure.REWARD: score[Measure.REWARD] + shift}
            for score in super().score(encoded)
        ]


def test_scores_that_depend_on_batch_mates(config: ModelConfig) -> None:
    sound = scorer(config)
    fields = {f.name: getattr(sound, f.name) for f in dataclasses.fields(sound)}
    found = failing(checks(config, Leaking(**fields)))
    assert found == {"batch invariance", "engine against plain forward passes"}


def test_engine_that_loses_a_token(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = scorer(config)
    monkeypatch.setattr(
        RewardScorer, "_read_until", lambda self, one: one.token_ids[:-1]
    )
    found = failing(checks(config, loaded))
    assert found == {"engine against plain forward passes"}


def test_reading_beside_the_class_is_a_failure(tmp_path: Path) -> None:
    # Pad is the token that ends the template: the class passes over it.
    template = CHAT_TEMPLATE.replace("</s>\\n", "</s>")
    tokenizer = byte_tokenizer(chat_template=template, pad="</s>")
    folder = llama_classifier(tmp_path / "rm2", tokenizer)
    declared = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(declared | {"pad_token_id": 2}))
    settings = resolve_model(str(folder))
    sound = scorer(settings)
    found = checks(settings, sound)
    assert not failing(found)
    name = "engine against plain forward passes"
    assert "LlamaForSequenceClassification's own" in found[name].detail
    at_the_end = dataclasses.replace(sound, skipped=None)
    assert failing(checks(settings, at_the_end)) == {name}


def test_nan_is_a_failure(config: ModelConfig) -> None:
    loaded = scorer(config)
    loaded.head.weight.data[:] = float("nan")
    found = failing(checks(config, loaded))
    assert "batch invariance" in found


def test_plain_score_uses_no_engine(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from probe.models import engine

    loaded = scorer(config)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the reference ran the engine")

    monkeypatch.setattr(engine, "run", refuse)
    from probe.check import _items

    encoded = loaded.encode(_items()[0])[0]
    score = plain_score(loaded, encoded)[Measure.REWARD]
    with torch.inference_mode():
        ids = torch.tensor([encoded.token_ids])
        state = loaded.backbone(ids).last_hidden_state[0, -1]
        assert score == pytest.approx(float(loaded.head(state)), abs=1e-5)
