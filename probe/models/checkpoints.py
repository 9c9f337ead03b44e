"""Loads transformers models strictly: every tensor comes from the checkpoint.

`from_pretrained` fills a missing head with random numbers and a warning. Here a
missing, unexpected or misshapen tensor is an error that names it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import pickle
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.quantizers.auto import AutoHfQuantizer
from transformers.utils import logging as transformers_logging

from probe.config import Head, HeadLayer, ModelConfig
from probe.models import engine, tensors
from probe.models.weights import (
    MISFITS,
    Resolved,
    Role,
    head_keys,
    head_layers,
    json_object,
    readable_config,
)
from probe.tree_attention import embedding_of
from probe.types import ConfigError, WeightsError

log = logging.getLogger(__name__)

ADAPTER_FILE = "adapter_config.json"

# Tensors that older library versions saved and that are recomputed from the config:
# rotary frequencies, GPT-2's causal masks, position indices.
_RECOMPUTED = re.compile(
    r".*(rotary_emb\.inv_freq|attn\.(masked_)?bias|position_ids)|.*\.num_batches_tracked"
)
# An output layer over the vocabulary, which a reward never reads.
_VOCABULARY_HEAD = re.compile(r"(.*\.)?lm_head\.(weight|bias)")
# Packages that read rounded weights, where the library's error does not name them all.
_PACKAGES = {"gptq": "optimum gptqmodel", "hqq": "hqq", "quark": "amd-quark"}
_PIP = re.compile(r"pip install (?:-\S+ )*['\"]?([\w.-]+(?:\[[\w,]+\])?)")
# What the libraries raise at files and values that do not fit each other.
_UNFIT = (*MISFITS, OSError, EOFError, pickle.UnpicklingError, SafetensorError)
# Largest difference, in units of the largest logit, between an adapter beside its base
# and merged: what 16 bits round away, and no more. Others: 0.1.
_MERGED = {torch.float32: 1e-3}


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where and in which precision a model is loaded."""

    device: torch.device
    dtype: torch.dtype

    def arguments(
        self,
        folder: Path,
        config: ModelConfig,
        skeleton: Callable[[], PreTrainedModel],
        stored: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Keyword arguments of `from_pretrained`.

        Args:
            folder: Of the weights.
            config: Says whether to round them.
            skeleton: Makes the model without weights.
            stored: How they are rounded already, from `rounding`.

        Raises:
            ConfigError: The config's `quantization` cannot be had here.
        """
        chosen: dict[str, Any] = {"dtype": self.dtype}
        if config.quantization is not None:
            if stored is not None:
                raise ConfigError(
                    f"{config.where}: `quantization: {config.quantization}`, and "
                    f"{folder} is stored in {stored.get('quant_method')}",
                    "Weights are rounded once",
                    "Leave the key out",
                )
            chosen["quantization_config"] = self._rounding(config, skeleton)
        if config.quantization is not None or stored is not None:
            # Layers are rounded where they are to stay.
            chosen["device_map"] = {"": self.device}
        if self.device.type == "cuda" and self._too_large(folder, config):
            chosen["device_map"] = "auto"
        return chosen

    def _rounding(
        self, config: ModelConfig, skeleton: Callable[[], PreTrainedModel]
    ) -> BitsAndBytesConfig:
        given = f"{config.where}: `quantization: {config.quantization}`"
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ConfigError(
                f"{given}, and bitsandbytes is not installed",
                "Weights are rounded by bitsandbytes, an extra of this package",
                "Run pip install 'rm-probe[quantization]', or leave the key out",
            )
        import bitsandbytes

        if self.device.type not in bitsandbytes.supported_torch_devices:
            raise ConfigError(
                f"{given} on {self.device}",
                "bitsandbytes rounds for "
                f"{', '.join(sorted(bitsandbytes.supported_torch_devices))}",
                "Choose another --device, or leave the key out",
            )
        # It says at every layer of every pass that it multiplies in float16.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        with torch.device("meta"):
            heads = _head_layers(skeleton())
        if config.quantization == "8bit":
            return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=heads)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=self.dtype,
            llm_int8_skip_modules=heads,
        )

    def _too_large(self, folder: Path, config: ModelConfig) -> bool:
        """Whether the weights would fill more than 90 % of the GPU's free memory."""
        stored = sum(path.stat().st_size for path in tensors.files(folder))
        # Stored in 16 bits as a rule; loading in 32 doubles them. What is rounded has
        # embeddings and a head besides, which are not.
        growth = {None: 1.0, "8bit": 0.6, "4bit": 0.4}[config.quantization]
        if config.quantization is None and self.dtype is torch.float32:
            growth = 2.0
        free, _ = torch.cuda.mem_get_info(self.device)
        return stored * growth > 0.9 * free


def _head_layers(model: PreTrainedModel) -> list[str]:
    """Linear layers outside the backbone, which are never rounded.

    The library spares the last module only, and not even that where it has a bias.
    """
    # A model without a head is its own backbone.
    inside = set(model.base_model.modules())
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module not in inside
    ]


def place(device: str | None, dtype: str) -> Placement:
    """Chooses the device: the one asked for, else a GPU, else the CPU.

    Raises:
        ConfigError: torch knows no such device here.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        # What is computed there can be read, as it cannot on `meta`.
        torch.zeros(1, device=chosen).item()
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"--device {name}: {str(error).splitlines()[0][:80]}",
            "The device must exist on this machine",
            f"Use --device {'cuda or cpu' if torch.cuda.is_available() else 'cpu'}",
        ) from error
    return Placement(device=chosen, dtype=getattr(torch, dtype))


def causal_lm(
    config: ModelConfig, resolved: Resolved, role: Role, placement: Placement
) -> PreTrainedModel:
    """A causal language model, its adapter merged.

    Raises:
        WeightsError: A tensor is missing, unexpected or of another shape.
        ConfigError: The checkpoint is no causal language model.
    """
    folder = resolved.path(role)
    declared = read_config(folder, config)
    _refuse_bare_adapter(folder, config)
    classes = language_classes(declared)
    # The class that the checkpoint was saved from, where the library has it.
    saved = [one for one in declared.architectures or () if one in classes]
    loader = classes[saved[0]] if saved else AutoModelForCausalLM
    model, info = _from_pretrained(loader, folder, declared, config, placement)
    _check(info, folder, config)
    return _ready(model, placement, config, resolved, adapted=role == "weights")


def language_classes(declared: PreTrainedConfig) -> dict[str, Any]:
    """Classes that read a config as a language model's -> the auto class of each.

    It may read images besides.
    """
    known: tuple[tuple[Any, Any], ...] = (
        (AutoModelForMultimodalLM, MODEL_FOR_MULTIMODAL_LM_MAPPING),
        (AutoModelForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING),
    )
    return {
        mapping[type(declared)].__name__: loader
        for loader, mapping in known
        if type(declared) in mapping
    }


def backbone(model: PreTrainedModel) -> PreTrainedModel:
    """What gives a text's hidden states: of a composite, its text part."""
    base: Any = model.base_model
    if base.config.get_text_config() is base.config:
        return base
    return base.get_decoder()


def outputs(model: PreTrainedModel, ids: torch.Tensor, **more: torch.Tensor) -> Any:
    """What a class makes of unpadded texts, shape (texts, tokens).

    Raises:
        ConfigError: It cannot read them.
    """
    try:
        return engine.forward(model, ids, **more)
    except MISFITS as error:
        raise ConfigError(
            f"{type(model).__name__} of {model.name_or_path} cannot read a text: "
            f"{_line(error)}",
            "A scorer is a class that reads text alone, as its config.json shapes it",
            "Check that file, or take another checkpoint",
        ) from error


def alone(model: PreTrainedModel, config: ModelConfig) -> engine.Choice | None:
    """The engine of weights stored in LLM.int8; None for others.

    Outliers are looked for over all of a pass: what shares it would change scores.
    """
    stored = model.config.to_dict().get("quantization_config") or {}
    if config.quantization is not None or stored.get("load_in_8bit") is not True:
        return None
    return engine.Choice(name="batches", reason="one text at a time: LLM.int8")


def label_names(declared: PreTrainedConfig) -> str:
    """A classifier's labels, for errors."""
    found = sorted((int(at), name) for at, name in (declared.id2label or {}).items())
    return ", ".join(f"{at} ({name})" for at, name in found)


def sequence_classifier(
    config: ModelConfig, resolved: Resolved, placement: Placement
) -> PreTrainedModel:
    """A model with a one-label head (or its own class, for remote code).

    Raises:
        WeightsError: As `causal_lm`; above all, a head that is not in the checkpoint.
        ConfigError: The checkpoint has several labels, or is of another kind.
    """
    folder = resolved.path("weights")
    declared = read_config(folder, config)
    _refuse_bare_adapter(folder, config)
    found = resolved.find("adapter")
    adapter_keys: frozenset[str] = frozenset()
    if found is not None:
        whole = _adapter_tensors(found.path)
        # The least of its layers' outputs are the head's.
        own_head = "ForSequenceClassification" in "".join(declared.architectures or ())
        declared.num_labels = min(
            (len(one) for one in whole.values() if one.dim() == 2),
            default=(declared.num_labels if own_head else None) or 1,
        )
        adapter_keys = frozenset(whole)
    remote = declared.to_dict().get("auto_map") or {}
    own = type(declared) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    loader: Any = AutoModelForSequenceClassification
    if not own and "AutoModelForSequenceClassification" not in remote:
        # Remote code may register its reward class under AutoModel alone.
        loader = AutoModel
    single = declared.num_labels == 1 or config.label is not None
    if loader is not AutoModel and config.pool != "model" and not single:
        raise ConfigError(
            f"{config.where}: {folder} has the labels {label_names(declared)}",
            "A reward is one of them, or the log-odds of two",
            "Write `label: NAME`, or `label: [POSITIVE, NEGATIVE]`, into its config",
        )
    model, info = _from_pretrained(loader, folder, declared, config, placement)
    _check(info, folder, config, adapter_keys=adapter_keys)
    return _ready(model, placement, config, resolved)


def value_head(
    config: ModelConfig, resolved: Resolved, placement: Placement
) -> tuple[PreTrainedModel, nn.Module]:
    """A backbone and the scalar head named in the config.

    The backbone's weights come from the reward checkpoint where it has them, under
    whatever prefix its code used (`transformer.`, `model.`), else from `backbone`.

    Returns:
        The backbone without any head, and the head in float32.

    Raises:
        WeightsError: A tensor is missing, unexpected or of another shape.
    """
    assert config.head is not None, "the config schema demands a head"
    weights = resolved.path("weights")
    apart = resolved.find("backbone")
    folder = apart.path if apart else weights
    declared = read_config(folder, config)
    if folder is weights and (stored := rounding(declared, folder)) is not None:
        raise WeightsError(
            f"{folder} is stored in {stored['quant_method']}",
            "The backbone of a value head is stored in full precision",
            "Take such a checkpoint, and write `quantization` to round it",
        )
    where = tensors.keys(weights)
    layers = head_layers(config.head)
    own = head_keys(config.head)
    head = _head(config, config.head, weights, where, layers)
    rest = {key: path for key, path in where.items() if key not in own}
    if rest or apart is None:
        state = _backbone_state(rest, declared, weights, config)
        model_class: Any = MODEL_MAPPING[type(declared)]
        arguments = placement.arguments(weights, config, lambda: model_class(declared))
        with _quiet():
            model, info = model_class.from_pretrained(
                None,
                config=declared,
                state_dict=state,
                output_loading_info=True,
                **arguments,
            )
    else:
        model, info = _from_pretrained(AutoModel, folder, declared, config, placement)
    _check(info, weights if rest else folder, config)
    model = backbone(_ready(model, placement, config, resolved))
    _refuse_nan(head, resolved)
    hidden = declared.get_text_config().hidden_size
    first = next(module for module in head if isinstance(module, nn.Linear))
    if first.in_features != hidden:
        raise WeightsError(
            f"{weights}: `{layers[0].weight}` reads {first.in_features} values",
            f"The backbone's hidden size is {hidden}",
            "Check `head` and `backbone`",
        )
    return model, head.to(next(model.parameters()).device)


def _head(
    config: ModelConfig,
    head: Head,
    folder: Path,
    where: Mapping[str, Path],
    layers: tuple[HeadLayer, ...],
) -> nn.Sequential:
    names = head_keys(head)
    available = dict(where)
    others = [folder / head.file] if head.file else list(tensors.all_files(folder))
    for path in others:
        if head.file or not set(names) <= set(available):
            if not path.is_file():
                raise WeightsError(
                    f"{path} does not exist",
                    "`head.file` lies in the checkpoint's folder",
                    "Check its name",
                )
            available |= dict.fromkeys(tensors.file_keys(path), path)
    if missing := [name for name in names if name not in available]:
        near = [k for k in available if k.endswith(missing[0].rsplit(".", 2)[-1])]
        few = ", ".join(sorted(near, key=len)[:5])
        raise WeightsError(
            f"{folder} has no tensor `{missing[0]}`, the head of '{config.name}'",
            "The head comes from the checkpoint; a random one is never made",
            f"Name one of its tensors in `head`, such as {few}",
        )
    loaded = tensors.load(available, names)
    modules: list[nn.Module] = []
    for i, layer in enumerate(layers):
        weight = loaded[layer.weight].float()
        last = i == len(layers) - 1
        if weight.dim() != 2 or (last and weight.shape[0] != 1):
            raise WeightsError(
                f"{folder}: `{layer.weight}` has shape {tuple(weight.shape)}",
                "A head's layers have shape (out, in), and the last has one output",
                "Check `head`",
            )
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bool(layer.bias))
        state = {"weight": weight}
        if layer.bias:
            state["bias"] = loaded[layer.bias].float()
        linear.load_state_dict(state)
        modules += [linear, _ACTIVATIONS[layer.activation]()]
    return nn.Sequential(*modules).eval().requires_grad_(False)


_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def _backbone_state(
    where: Mapping[str, Path],
    declared: PreTrainedConfig,
    folder: Path,
    config: ModelConfig,
) -> dict[str, torch.Tensor]:
    """The backbone's tensors under its own names.

    A module held under two names is saved twice (`transformer.*` and `model.model.*`
    in checkpoints of code that wraps a causal model): every complete copy is found,
    and they must be equal.
    """
    # None would make the library ask at the terminal whether to run foreign code.
    with torch.device("meta"):
        backbone = AutoModel.from_config(
            declared, trust_remote_code=config.trust_remote_code
        )
    expected = set(backbone.state_dict())
    probe = max(expected, key=len)
    prefixes = sorted(
        {key.removesuffix(probe) for key in where if key.endswith(probe)}, key=len
    )
    complete = [p for p in prefixes if all(p + key in where for key in expected)]
    if not complete:
        prefix = prefixes[0] if prefixes else ""
        missing = sorted(key for key in expected if prefix + key not in where)
        raise WeightsError(
            f"{folder} lacks {len(missing)} tensors of {type(declared).__name__}, such "
            f"as `{prefix}{missing[0]}`",
            "A reward checkpoint holds the whole backbone or none of it",
            f"Check `backbone` of model '{config.name}', or download again",
        )
    used = {p + key for p in complete for key in expected}
    extra = [
        key
        for key in where
        if key not in used
        and not _RECOMPUTED.fullmatch(key)
        and not _VOCABULARY_HEAD.fullmatch(key)
        # A tied output layer repeats the embedding under the wrapped model's name.
    ]
    if extra:
        raise WeightsError(
            f"{folder} has {len(extra)} tensors that nothing reads, such as "
            f"`{min(extra)}`",
            "Every tensor belongs to the backbone or to `head`",
            f"Check `head` and `backbone` of model '{config.name}'",
        )
    loaded = tensors.load(where, sorted(used))
    state = {key: loaded[complete[0] + key] for key in expected}
    for other in complete[1:]:
        for key, value in state.items():
            twin = loaded[other + key]
            if twin.data_ptr() != value.data_ptr() and not torch.equal(twin, value):
                raise WeightsError(
                    f"{folder}: `{complete[0]}{key}` and `{other}{key}` differ",
                    "Two copies of the backbone are equal",
                    "Name a checkpoint with one backbone",
                )
    return state


# -- shared -----------------------------------------------------------------


def read_config(folder: Path, config: ModelConfig) -> PreTrainedConfig:
    """The checkpoint's own config.json.

    Raises:
        WeightsError: There is none, or it is damaged.
        ConfigError: It needs code of its own, which is not allowed.
    """
    path = folder / "config.json"
    raw = json_object(path)
    known = raw.get("model_type") in [*CONFIG_MAPPING]
    if not known and not config.trust_remote_code:
        if "auto_map" in raw:
            raise ConfigError(
                f"{config.where}: {folder} needs code of its own "
                f"(auto_map in config.json)",
                "Code from a checkpoint runs only if you allow it",
                "Read that code, then write `trust_remote_code: true` into the config "
                "and pass --trust-remote-code",
            )
        raise ConfigError(
            f"{config.where}: model_type {raw.get('model_type')!r} of {path}",
            "The installed transformers knows the architecture",
            "Update transformers, or use another checkpoint",
        )
    with readable_config(path, *MISFITS):
        return AutoConfig.from_pretrained(
            folder, trust_remote_code=config.trust_remote_code
        )


def _from_pretrained(
    loader: Any,
    folder: Path,
    declared: PreTrainedConfig,
    config: ModelConfig,
    placement: Placement,
) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    for path in tensors.files(folder):
        tensors.file_keys(path)
    stored = rounding(declared, folder)
    arguments = placement.arguments(
        folder,
        config,
        lambda: loader.from_config(
            declared, trust_remote_code=config.trust_remote_code
        ),
        stored,
    )
    try:
        with _quiet():
            model, info = loader.from_pretrained(
                folder,
                config=declared,
                output_loading_info=True,
                trust_remote_code=config.trust_remote_code,
                **arguments,
            )
    except ImportError as error:
        method = "" if stored is None else str(stored["quant_method"])
        named = _PIP.search(str(error))
        package = _PACKAGES.get(method) or (named[1] if named else error.name or method)
        raise WeightsError(
            f"{folder} needs a package that is not installed: {_line(error)}",
            f"Weights stored in {method} are read by the package that wrote them"
            if method
            else "A checkpoint's own code imports what it needs",
            f"Run pip install {package.replace('_', '-')}",
        ) from error
    except _UNFIT as error:
        raise WeightsError(
            f"{folder} cannot be loaded as {loader.__name__}: {_line(error)}",
            f"The checkpoint fits kind {config.kind}",
            "Check `kind` and the checkpoint",
        ) from error
    return model, info


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def rounding(declared: PreTrainedConfig, folder: Path) -> Mapping[str, Any] | None:
    """How config.json says that the weights were rounded when they were saved.

    Raises:
        WeightsError: In a way that the library does not know.
    """
    for one in (declared, declared.get_text_config()):
        found = one.to_dict().get("quantization_config")
        if found is None:
            continue
        known = isinstance(found, dict) and "quant_method" in found
        if not known or not AutoHfQuantizer.supports_quant_method(found):
            raise WeightsError(
                f"{folder / 'config.json'}: `quantization_config` = {str(found)[:80]}",
                "The installed transformers knows how the weights are stored",
                "Update transformers, or use a checkpoint in full precision",
            )
        return found
    return None


@contextlib.contextmanager
def _quiet(*also: type[Warning]) -> Iterator[None]:
    """Silences the libraries' loading report: `_check` turns it into errors.

    What they say of each other's future names is nothing a user can mend, nor are
    peft's doubts about merging, which is measured.
    """
    before = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            ignored: tuple[type[Warning], ...] = (FutureWarning, *also)
            for category in ignored:
                warnings.simplefilter("ignore", category)
            yield
    finally:
        transformers_logging.set_verbosity(before)
        if bars:
            transformers_logging.enable_progress_bar()


def _check(
    info: Mapping[str, Any],
    folder: Path,
    config: ModelConfig,
    *,
    adapter_keys: Collection[str] = (),
) -> None:
    missing = sorted(set(info["missing_keys"]) - set(adapter_keys))
    if missing:
        raise WeightsError(
            f"{folder} lacks {len(missing)} tensors, such as `{missing[0]}`",
            f"Every tensor of model '{config.name}' comes from its checkpoint; "
            "random ones are never made",
            "Check `kind`, or name the checkpoint that has this head",
        )
    mismatched = [str(one) for one in info["mismatched_keys"]]
    if mismatched:
        raise WeightsError(
            f"{folder}: tensors of another shape, such as {mismatched[0]}",
            "Shapes in config.json and in the weights agree",
            "Check the checkpoint's config.json",
        )
    unexpected = sorted(
        key
        for key in info["unexpected_keys"]
        if not _RECOMPUTED.fullmatch(key)
        and (config.kind.fits == "policy" or not _VOCABULARY_HEAD.fullmatch(key))
    )
    if unexpected:
        raise WeightsError(
            f"{folder} has {len(unexpected)} tensors that nothing reads, such as "
            f"`{unexpected[0]}`",
            f"Every tensor of the checkpoint belongs to kind {config.kind}",
            "Check `kind`: a reward model with a head of its own is a `value_head`",
        )


def _refuse_bare_adapter(folder: Path, config: ModelConfig) -> None:
    if (folder / ADAPTER_FILE).is_file():
        raise ConfigError(
            f"{config.where}: `weights` = {folder} is a peft adapter",
            "`weights` is the base model and `adapter` the adapter",
            "Move it to `adapter` and name its base as `weights`",
        )


def _adapter_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Model tensor -> its values, of the modules that an adapter replaces whole."""
    where = tensors.keys(folder)
    keys = [
        key
        for key in where
        if ".lora_" not in key and key.startswith("base_model.model.")
    ]
    return {
        key.removeprefix("base_model.model.").replace(".base_layer.", "."): value
        for key, value in tensors.load(where, keys).items()
    }


def _with_adapter(
    model: PreTrainedModel, folder: Path, config: ModelConfig
) -> PreTrainedModel:
    """Puts a peft adapter on its base, every tensor in its place.

    It is merged, except into weights that are stored rounded; what it computes beside
    its base must come out again.
    """
    from peft import PeftModel, get_peft_model_state_dict

    stored = set(tensors.keys(folder))
    if not any(key.startswith("base_model.model.") for key in stored):
        raise WeightsError(
            f"{folder} holds no adapter tensors",
            "Adapter tensors are named base_model.model.*",
            "Save it with peft's save_pretrained; a prompt learned is none",
        )
    named = _embeddings(model)
    _resize(model, named, folder)
    ids = short_text(model)
    try:
        with _quiet(UserWarning):
            adapted: Any = PeftModel.from_pretrained(model, folder, is_trainable=False)
    except _UNFIT as error:
        raise WeightsError(
            f"{folder} does not fit the base of model '{config.name}': {_line(error)}",
            "An adapter is loaded on the model it was trained on",
            "Check `weights`",
        ) from error
    # Told whether embeddings are stored, the library does not ask the hub for the base.
    placed = [
        set(get_peft_model_state_dict(adapted, save_embedding_layers=whole))
        for whole in (False, True)
    ]
    if stored not in placed:
        wrong = sorted(placed[0] ^ stored)
        raise WeightsError(
            f"{folder}: {len(wrong)} adapter tensors without a counterpart, such as "
            f"`{wrong[0]}`",
            "Every tensor of an adapter has a place, and every place a tensor",
            "Check that `weights` is the adapter's base model",
        )
    model = adapted.get_base_model()
    beside = outputs(model, ids)[0].float()
    if any(f".{name}." in key for name in named for key in stored):
        _untie(model)
    if model.config.to_dict().get("quantization_config") is None:
        with _quiet(UserWarning):
            model = adapted.merge_and_unload()
    else:
        for name, module in list(model.named_modules()):
            if trained(module) is not module:
                model.set_submodule(name, trained(module))
    within = outputs(model, ids)[0].float()
    tolerance = _MERGED.get(model.dtype, 0.1) * max(1.0, float(beside.abs().max()))
    if not torch.allclose(within, beside, rtol=0, atol=tolerance, equal_nan=True):
        raise WeightsError(
            f"{folder}: merged into its base, the adapter gives other logits (by "
            f"{float((within - beside).abs().max()):.2g})",
            "An adapter's numbers are those that it gives beside its base",
            "Merge it by yourself, and name the merged checkpoint as `weights`",
        )
    return model


def trained(module: nn.Module) -> nn.Module:
    """A module, or the copy of it that an adapter trains."""
    from peft.utils import ModulesToSaveWrapper

    if isinstance(module, ModulesToSaveWrapper):
        return module.modules_to_save[module.active_adapters[0]]
    return module


def _embeddings(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Input and output embeddings by their names in the model."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return {
        name: module
        for name, module in model.named_modules()
        if any(module is layer for layer in layers)
    }


def _resize(
    model: PreTrainedModel, named: Mapping[str, nn.Module], folder: Path
) -> None:
    """Gives the base as many tokens as an adapter stores, as trainers do before peft.

    Raises:
        WeightsError: An embedding's new rows are in no file.
    """
    whole = _adapter_tensors(folder)
    sizes = {
        name: len(whole[f"{name}.weight"])
        for name in named
        if f"{name}.weight" in whole
    }
    rows = max(sizes.values(), default=0)
    embedding: Any = model.get_input_embeddings()
    if not sizes or rows == len(embedding.weight):
        return
    tied = len({id(next(module.parameters())) for module in named.values()}) == 1
    if set(sizes.values()) != {rows} or (len(sizes) < len(named) and not tied):
        raise WeightsError(
            f"{folder} stores {rows} tokens in {', '.join(sizes)} only",
            f"An enlarged vocabulary has its rows in {' and '.join(named)}",
            "Save the adapter with `save_embedding_layers=True`",
        )
    model.resize_token_embeddings(rows, mean_resizing=False)


def _untie(model: nn.Module) -> None:
    """Gives modules that share a parameter one each: merging may change only one."""
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in seen:
                copy = nn.Parameter(parameter.detach().clone(), requires_grad=False)
                module.register_parameter(name, copy)
            seen.add(id(parameter))


def short_text(model: PreTrainedModel) -> torch.Tensor:
    """Seven tokens, none of them special, on the model's device; shape (1, 7)."""
    declared = model.config.get_text_config()
    size = declared.to_dict().get("vocab_size", 256)
    inside = [(size // 2 + step) % size for step in range(1, 9)]
    # A pad token at the end would be passed over.
    pad = declared.to_dict().get("pad_token_id")
    usable = [i for i in inside if i != pad][:7]
    shuffled = [usable[at] for at in (0, 4, 1, 6, 2, 3, 5)]
    return torch.tensor([shuffled], device=engine.device_of(model))


def _ready(
    model: PreTrainedModel,
    placement: Placement,
    config: ModelConfig,
    resolved: Resolved,
    *,
    adapted: bool = True,
) -> PreTrainedModel:
    adapter = resolved.find("adapter")
    if adapter is not None and adapted:
        model = _with_adapter(model, adapter.path, config)
    rounded = model.config.to_dict().get("quantization_config") is not None
    if not rounded and not spread(model):
        model = model.to(placement.device)  # type: ignore[arg-type]
    _refuse_nan(model, resolved)
    return model.eval().requires_grad_(False)


def _refuse_nan(module: nn.Module, resolved: Resolved) -> None:
    """Looks at every weight once, at about the speed of memory.

    Raises:
        WeightsError: One is no number.
    """
    plain = (torch.float32, torch.bfloat16, torch.float16)
    for name, parameter in module.named_parameters():
        # What packages make of rounded weights is theirs to look at.
        own = type(parameter) is nn.Parameter and parameter.dtype in plain
        if not own or parameter.is_meta or not parameter.numel():
            continue
        if parameter.detach().amax().isnan():
            raise WeightsError(
                f"{_file_with_nan(resolved) or name}: a weight is NaN",
                "Every weight of a checkpoint is a number",
                "Download the checkpoint again, or take an earlier one",
            )


def _file_with_nan(resolved: Resolved) -> str | None:
    for source in resolved.sources:
        for path in tensors.all_files(source.path):
            where = dict.fromkeys(tensors.file_keys(path), path)
            for key, value in tensors.load(where, where).items():
                if value.is_floating_point() and value.isnan().any():
                    return f"{path}, `{key}`"
    return None


def refuse_small_vocabulary(
    model: PreTrainedModel, tokenizer: Any, folder: Path
) -> None:
    """Compares the tokenizer's ids with the rows of the embedding.

    Raises:
        WeightsError: A token besides the pad token, which is never read, has no row.
    """
    embedding = embedding_of(model)
    if embedding is None:
        return
    rows = len(next(embedding.parameters()))
    beyond = {
        token: at
        for token, at in tokenizer.get_vocab().items()
        if at >= rows and token != tokenizer.pad_token
    }
    if beyond:
        last = max(beyond, key=lambda token: beyond[token])
        raise WeightsError(
            f"{folder}: the embedding has {rows} rows, and the tokenizer gives "
            f"{last!r} the id {beyond[last]}",
            "Every token has a row of the embedding",
            "Take the tokenizer that the model was trained with",
        )


def spread(model: PreTrainedModel) -> bool:
    """Whether accelerate has placed the model's layers on several devices."""
    return len({parameter.device for parameter in model.parameters()}) > 1
