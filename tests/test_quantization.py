"""Weights rounded to 8 or 4 bits: who rounds, what stays, and what must be refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

from probe.check import run_checks
from probe.config import ModelConfig, load_shipped
from probe.config import load_file as load_yaml
from probe.models import (
    Scorer,
    checkpoints,
    fingerprint,
    load_scorer,
    resolve_model,
    resolve_weights,
    weights,
)
from probe.models.implicit import ImplicitScorer
from probe.models.policy import PolicyScorer
from probe.models.reward import OwnOutputScorer, RewardScorer
from probe.models.weights import Resolved
from probe.types import (
    Candidate,
    ConfigError,
    Item,
    Measure,
    Message,
    WeightsError,
)
from tests.tiny_checkpoints import (
    byte_tokenizer,
    deberta_classifier,
    enlarge,
    llama_config,
)

BITS = ("8bit", "4bit")
KINDS = ("policy", "sequence_classifier", "value_head", "implicit_reward")
# As if there was no such key, under scoring version 2: who does not use it keeps runs.
FINGERPRINTS = {
    "openassistant_deberta_v3_large_v2": "0daf503fe5ed960a",
    "smollm2_135m_instruct": "130d5639d8f94e04",
    "starling_7b_card": "de50dc56c16c5635",
    "zephyr_7b_beta_implicit": "fded39a112d5c2a7",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))


def tiny(folder: Path, kind: str) -> ModelConfig:
    """A model of the kind whose layers are wide enough for blocks of 64 values."""
    tokenizer = byte_tokenizer()
    shape = llama_config(
        len(tokenizer), hidden_size=128, intermediate_size=256, num_labels=1
    )
    own = LlamaForSequenceClassification
    model = (own if kind == "sequence_classifier" else LlamaForCausalLM)(shape)
    enlarge(model, scale=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings: dict[str, Any] = {"name": "tiny", "kind": kind, "weights": str(folder)}
    settings["template"] = "{user} {assistant}"
    if kind == "value_head":
        state = load_file(folder / "model.safetensors")
        state["v_head.weight"] = torch.linspace(-1, 1, 128)[None]
        save_file(state, folder / "model.safetensors", {"format": "pt"})
        settings["head"] = {"key": "v_head.weight"}
    if kind == "implicit_reward":
        enlarge(model, seed=1, scale=0.1)
        model.save_pretrained(folder / "reference")
        tokenizer.save_pretrained(folder / "reference")
        settings |= {"reference": str(folder / "reference"), "beta": 0.1}
    return ModelConfig.model_validate(settings)


def load(config: ModelConfig, bits: str | None = None) -> Scorer:
    config = config.model_copy(update={"quantization": bits})
    return load_scorer(config, resolve_weights(config), device="cpu")


# -- fingerprints -----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FINGERPRINTS))
def test_fingerprints_without_the_key_are_what_they_were(name: str) -> None:
    config = load_shipped(name)
    assert "quantization" not in config.model_dump(mode="json")
    found = fingerprint(config, Resolved(sources=()))
    assert found.startswith(FINGERPRINTS[name])


def test_the_key_enters_the_fingerprint() -> None:
    config = load_shipped("zephyr_7b_beta")
    every = [config.model_copy(update={"quantization": b}) for b in (None, *BITS)]
    assert len({fingerprint(one, Resolved(sources=())) for one in every}) == 3
    assert every[1].model_dump(mode="json")["quantization"] == "8bit"


# -- refusals ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", BITS)
def test_package_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, bits: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        load(tiny(tmp_path, kind), bits)
    message = str(caught.value)
    assert f"model 'tiny': `quantization: {bits}`" in message
    assert "bitsandbytes is not installed" in message
    assert "pip install 'rm-probe[quantization]'" in message


def test_the_error_names_the_config_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    tiny(tmp_path / "weights", "policy")
    file = tmp_path / "mine.yaml"
    file.write_text("name: m\nkind: policy\nweights: weights\nquantization: 4bit\n")
    placement = checkpoints.place("cpu", "float32")
    with pytest.raises(ConfigError, match=rf"model 'm' \({file}\): `quantization"):
        placement.arguments(tmp_path / "weights", load_yaml(file), LlamaForCausalLM)


@pytest.fixture
def cuda_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for a build of bitsandbytes that knows no CPU."""
    module = SimpleNamespace(supported_torch_devices={"cuda", "xpu"})
    monkeypatch.setitem(sys.modules, "bitsandbytes", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: module)


@pytest.mark.usefixtures("cuda_only")
def test_device_that_bitsandbytes_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tiny(tmp_path, "policy"), "8bit")
    message = str(caught.value)
    assert "`quantization: 8bit` on cpu" in message
    assert "bitsandbytes rounds for cuda, xpu" in message
    assert "Choose another --device" in message


# -- real loads -------------------------------------------------------------------


@pytest.fixture
def bitsandbytes() -> None:
    pytest.importorskip(
        "bitsandbytes", reason="the extra `quantization` is not installed"
    )


def models_of(scorer: Scorer) -> list[nn.Module]:
    match scorer:
        case PolicyScorer():
            return [scorer.model]
        case RewardScorer():
            return [scorer.backbone, scorer.head]
        case ImplicitScorer():
            return [*models_of(scorer.trained), *models_of(scorer.reference)]
    raise AssertionError(type(scorer))


def linear(module: nn.Module, rounded: bool) -> set[str]:
    """Last names of linear layers, rounded ones or the others."""
    return {
        name.rpartition(".")[2]
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
        and (not layer.weight.is_floating_point()) == rounded
    }


def scores(scorer: Scorer) -> torch.Tensor:
    answers = ("Canada", "the United Kingdom", "Japan", "Brazil and Peru", "food")
    items = [
        Item(
            id=f"q{i}",
            messages=(Message(role="user", content=question),),
            candidates=tuple(Candidate(id=one, answer=one) for one in answers),
        )
        for i, question in enumerate(("Where are you from?", "Which country is best?"))
    ]
    encoded = [one for item in items for one in scorer.encode(item)]
    return torch.tensor([one[scorer.measures[0]] for one in scorer.score(encoded)])


@pytest.mark.usefixtures("bitsandbytes")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", BITS)
def test_layers_are_rounded_and_heads_are_not(
    tmp_path: Path, kind: str, bits: str
) -> None:
    config = tiny(tmp_path, kind)
    whole, scorer = load(config), load(config, bits)
    seven = {f"{one}_proj" for one in ("q", "k", "v", "o", "gate", "up", "down")}
    found = [linear(model, rounded=True) for model in models_of(scorer)]
    assert [one for one in found if one] == [seven] * (
        2 if kind == "implicit_reward" else 1
    )
    kept = set().union(*(linear(one, rounded=False) for one in models_of(scorer)))
    assert "lm_head" in kept or kind in ("sequence_classifier", "value_head")
    exact, rough = scores(whole), scores(scorer)
    assert not torch.equal(exact, rough)
    # Weights of other positions, or scaled otherwise, would leave no correlation.
    least = {"8bit": 0.95, "4bit": 0.8}[bits]
    assert torch.corrcoef(torch.stack([exact, rough]))[0, 1] > least


@pytest.mark.usefixtures("bitsandbytes")
@pytest.mark.parametrize("bits", BITS)
def test_checks_hold_on_rounded_weights(tmp_path: Path, bits: str) -> None:
    config = tiny(tmp_path, "policy").model_copy(update={"quantization": bits})
    resolved = resolve_weights(config)
    scorer = load_scorer(config, resolved, device="cpu")
    found = {one.name: one for one in run_checks(config, resolved, scorer)}
    assert [one.detail for one in found.values() if not one.ok] == []
    assert f"14 tensors in {bits}" in found["dtype and attention"].detail
    assert "lm_head.weight" in found["head from the checkpoint"].detail
    assert scorer.measures == (Measure.LOGPROB_SUM, Measure.LOGPROB_MEAN)
    # Rounded weights where the config promises none are found out.
    plain = config.model_copy(update={"quantization": None})
    others = {one.name: one for one in run_checks(plain, resolved, scorer)}
    assert not others["dtype and attention"].ok


@pytest.mark.usefixtures("bitsandbytes")
def test_a_head_of_two_layers_with_biases_is_kept_whole(tmp_path: Path) -> None:
    folder = deberta_classifier(tmp_path / "deberta")
    config = resolve_model(str(folder)).model_copy(update={"quantization": "8bit"})
    resolved = resolve_weights(config)
    scorer = load_scorer(config, resolved, device="cpu")
    found = {one.name: one for one in run_checks(config, resolved, scorer)}
    assert isinstance(scorer, OwnOutputScorer)
    assert {"pooler.dense", "classifier"} == {
        name
        for name, layer in scorer.model.named_modules()
        if isinstance(layer, nn.Linear) and layer.weight.is_floating_point()
    }
    assert found["head from the checkpoint"].ok
    assert "classifier.weight" in found["head from the checkpoint"].detail


def test_a_bare_checkpoint_is_not_rounded(tmp_path: Path) -> None:
    tiny(tmp_path, "policy")
    assert resolve_model(str(tmp_path)).quantization is None


# -- weights that are stored rounded ----------------------------------------------


def own(folder: Path, scorer: Scorer) -> torch.Tensor:
    """What the checkpoint's class gives for each text of `scores`, alone."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    read: list[Any] = []
    encode = scorer.encode

    def kept(item: Item) -> Any:
        read.extend(found := encode(item))
        return found

    object.__setattr__(scorer, "encode", kept)
    scores(scorer)
    with torch.inference_mode():
        logits = [model(torch.tensor([one.token_ids])).logits[0, 0] for one in read]
    return torch.stack(logits).double()


@pytest.mark.usefixtures("bitsandbytes")
def test_saved_in_four_bits(cases: Path) -> None:
    folder = cases / "quantised" / "bnb4_saved" / "m"
    config = resolve_model(str(folder))
    scorer = load(config)
    assert torch.allclose(scores(scorer).double(), own(folder, scorer), atol=1e-4)
    found = run_checks(config, resolve_weights(config), scorer)
    assert [one for one in found if not one.ok] == []
    with pytest.raises(
        ConfigError, match=r"quantization: 8bit.*stored in bitsandbytes"
    ):
        load(config, "8bit")


@pytest.mark.usefixtures("bitsandbytes")
def test_saved_in_eight_bits_is_read_one_text_at_a_time(tmp_path: Path) -> None:
    tiny(tmp_path / "whole", "sequence_classifier")
    rounded = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["score"])
    model = LlamaForSequenceClassification.from_pretrained(
        tmp_path / "whole", quantization_config=rounded, device_map={"": "cpu"}
    )
    folder = tmp_path / "saved"
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    config = resolve_model(str(folder))
    scorer = load(config)
    assert "one text at a time" in scorer.engine
    assert torch.allclose(scores(scorer).double(), own(folder, scorer), atol=1e-4)


@pytest.mark.usefixtures("bitsandbytes")
def test_an_adapter_stays_beside_rounded_weights(cases: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    from tests.tiny_checkpoints import with_lora

    base = cases / "quantised" / "bnb4_saved" / "m"
    auto = AutoModelForSequenceClassification
    with_lora(auto.from_pretrained(base.parent / "fp"), tmp_path / "lora", "SEQ_CLS")
    byte_tokenizer().save_pretrained(tmp_path / "lora")
    config = resolve_model(str(tmp_path / "lora"), adapter_base=base)
    scorer = load(config)
    reference = PeftModel.from_pretrained(auto.from_pretrained(base), tmp_path / "lora")
    item = Item(
        id="q",
        messages=(Message(role="user", content="Where are you from?"),),
        candidates=(
            Candidate(id="a", answer="Japan"),
            Candidate(id="b", answer="Peru"),
        ),
    )
    for one in scorer.encode(item):
        with torch.inference_mode():
            logits = reference.eval()(input_ids=torch.tensor([one.token_ids])).logits
        found = scorer.score([one])[0][Measure.REWARD]
        assert found == pytest.approx(float(logits[0, 0]), abs=1e-4)
    assert [
        one for one in run_checks(config, resolve_weights(config), scorer) if not one.ok
    ] == []


@pytest.mark.parametrize(
    ("method", "package"),
    [
        ("gptq", "optimum gptqmodel"),
        ("awq", "gptqmodel"),
        ("hqq", "hqq"),
        ("compressed-tensors", "compressed-tensors"),
        ("torchao", "torchao"),
        ("quanto", "optimum-quanto"),
        ("auto-round", "auto-round"),
        ("vptq", "vptq"),
        ("aqlm", r"aqlm\[gpu,cpu\]"),
        ("quark", "amd-quark"),
    ],
)
def test_stored_in_a_format_whose_package_is_missing(
    cases: Path, tmp_path: Path, method: str, package: str
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(cases / "quantised" / "gptq", folder)
    file = folder / "config.json"
    declared = json.loads(file.read_text())
    declared["quantization_config"] = {"quant_method": method, "bits": 4}
    file.write_text(json.dumps(declared))
    with pytest.raises(WeightsError, match=rf"Run pip install {package}\.?$"):
        load(resolve_model(str(folder)))


@pytest.mark.parametrize("name", ["gptq", "awq"])
def test_packed_cases(cases: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=r"pip install .*gptqmodel"):
        load(resolve_model(str(cases / "quantised" / name)))
