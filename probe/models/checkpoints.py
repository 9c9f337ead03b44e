"""Loads transformers models strictly: every tensor comes from the checkpoint.

`from_pretrained` fills a missing head with random numbers and a warning. Here a
missing, unexpected or misshapen tensor is an error that names it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from probe.config import Head, HeadLayer, ModelConfig
from probe.models import tensors
from probe.models.weights import (
    Resolved,
    Role,
    head_layers,
    json_object,
    readable_config,
)
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


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where and in which precision a model is loaded."""

    device: torch.device
    dtype: torch.dtype

    def arguments(
        self, folder: Path, config: ModelConfig, skeleton: Callable[[], PreTrainedModel]
    ) -> dict[str, Any]:
        """Keyword arguments of `from_pretrained`.

        Args:
            folder: Of the weights.
            config: Says whether to round them.
            skeleton: Makes the model without weights.

        Raises:
            ConfigError: The config's `quantization` cannot be had here.
        """
        chosen: dict[str, Any] = {"dtype": self.dtype}
        if config.quantization is not None:
            chosen["quantization_config"] = self._rounding(config, skeleton)
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
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"--device {name}: {str(error).splitlines()[0][:80]}",
            "The device must exist on this machine",
            f"Use --device {'cuda or cpu' if torch.cuda.is_available() else 'cpu'}",
        ) from error
    precisions = {
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    }
    return Placement(device=chosen, dtype=precisions[dtype])


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
    adapter = resolved.find("adapter") if role == "weights" else None
    _refuse_bare_adapter(folder, config)
    model, info = _from_pretrained(
        AutoModelForCausalLM, folder, declared, config, placement
    )
    _check(info, folder, config, adapter_keys=())
    if adapter is not None:
        model = _with_adapter(model, adapter.path, config)
    return _ready(model, placement, config)


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
        declared.num_labels = 1
        adapter_keys = frozenset(_adapter_tensors(found.path))
    remote = declared.to_dict().get("auto_map") or {}
    own = type(declared) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    loader: Any = AutoModelForSequenceClassification
    if not own and "AutoModelForSequenceClassification" not in remote:
        # Remote code may register its reward class under AutoModel alone.
        loader = AutoModel
    if loader is not AutoModel and config.pool != "model" and declared.num_labels != 1:
        raise ConfigError(
            f"{config.where}: {folder} has {declared.num_labels} labels",
            "A reward model has one label",
            "Name another checkpoint, or read an output with `pool: model`",
        )
    model, info = _from_pretrained(loader, folder, declared, config, placement)
    _check(info, folder, config, adapter_keys=adapter_keys)
    if found is not None:
        model = _with_adapter(model, found.path, config)
    return _ready(model, placement, config)


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
    backbone = resolved.find("backbone")
    folder = backbone.path if backbone else weights
    declared = read_config(folder, config)
    where = tensors.keys(weights)
    layers = head_layers(config.head)
    head_keys = {k for layer in layers for k in (layer.weight, layer.bias) if k}
    head = _head(config, config.head, weights, where, layers)
    rest = {key: path for key, path in where.items() if key not in head_keys}
    if rest or backbone is None:
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
    _check(info, weights if rest else folder, config, adapter_keys=())
    adapter = resolved.find("adapter")
    if adapter is not None:
        model = _with_adapter(model, adapter.path, config)
    model = _ready(model, placement, config)
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
    names = [k for layer in layers for k in (layer.weight, layer.bias) if k]
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
    known = raw.get("model_type") in _known_types()
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
    with readable_config(path):
        return AutoConfig.from_pretrained(
            folder, trust_remote_code=config.trust_remote_code
        )


def _known_types() -> Collection[str]:
    from transformers import CONFIG_MAPPING

    return set(CONFIG_MAPPING.keys())


def _from_pretrained(
    loader: Any,
    folder: Path,
    declared: PreTrainedConfig,
    config: ModelConfig,
    placement: Placement,
) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    arguments = placement.arguments(
        folder,
        config,
        lambda: loader.from_config(
            declared, trust_remote_code=config.trust_remote_code
        ),
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
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{folder} cannot be loaded as {loader.__name__}: {detail}",
            f"The checkpoint fits kind {config.kind}",
            "Check `kind` and the checkpoint",
        ) from error
    return model, info


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the libraries' loading report: `_check` turns it into errors.

    What they say of each other's future names is nothing a user can mend.
    """
    before = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
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
    adapter_keys: Collection[str],
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


def _adapter_tensors(folder: Path) -> dict[str, str]:
    """Model tensor -> adapter tensor, of the modules an adapter replaces whole."""
    names = tensors.keys(folder)
    return {
        key.removeprefix("base_model.model."): key
        for key in names
        if ".lora_" not in key and key.startswith("base_model.model.")
    }


def _with_adapter(
    model: PreTrainedModel, folder: Path, config: ModelConfig
) -> PreTrainedModel:
    """Merges a peft adapter, after checking that every tensor found its place."""
    from peft import PeftModel, get_peft_model_state_dict

    stored = set(tensors.keys(folder))
    if any(key.startswith("base_model.model.") for key in stored) is False:
        raise WeightsError(
            f"{folder} holds no adapter tensors",
            "Adapter tensors are named base_model.model.*",
            "Save it with peft's save_pretrained",
        )
    try:
        with _quiet():
            adapted: Any = PeftModel.from_pretrained(model, folder, is_trainable=False)
    except (RuntimeError, ValueError, KeyError) as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{folder} does not fit the base of model '{config.name}': {detail}",
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
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged


def _ready(
    model: PreTrainedModel, placement: Placement, config: ModelConfig
) -> PreTrainedModel:
    if config.quantization is None and not spread(model):
        model = model.to(placement.device)  # type: ignore[arg-type]
    return model.eval().requires_grad_(False)


def spread(model: PreTrainedModel) -> bool:
    """Whether accelerate has placed the model's layers on several devices."""
    return len({parameter.device for parameter in model.parameters()}) > 1
