"""MODEL on the command line: a shipped name, a YAML, a folder, or hf:ID."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from probe.config import Kind, ModelConfig, load_file, load_shipped, parse_source
from probe.models import weights
from probe.types import ConfigError, UsageError

BASE_TEMPLATE = "{user} {assistant}"
"""Of a checkpoint without a chat template: a base model continues a text."""
_MAX_TOKENS = 2048
"""Of a checkpoint that declares no number of positions."""


def resolve_model(ref: str, *, trust_remote_code: bool = False) -> ModelConfig:
    """Finds the config of a model.

    Args:
        ref: A shipped name, a YAML path, a checkpoint folder, or ``hf:OWNER/NAME``.
        trust_remote_code: Whether the user allows code of the checkpoint's own.

    Raises:
        UsageError: No such name or file; the nearest name is suggested.
        ConfigError: A malformed config, one that needs remote code without leave, or
            a checkpoint that is neither a one-label classifier nor a causal model.
        WeightsError: The checkpoint's config cannot be had.
    """
    path = Path(ref).expanduser()
    if ref.startswith("hf:"):
        config = _from_hub(ref, trust_remote_code)
    elif path.suffix in (".yaml", ".yml"):
        config = load_file(path)
    elif path.is_dir():
        config = _from_folder(path.resolve(), str(path.resolve()), trust_remote_code)
    elif "/" in ref or ref.startswith("."):
        raise UsageError(
            f"{ref} does not exist",
            "MODEL is a shipped name, a YAML path, a checkpoint folder or hf:ID",
            "Check the path",
        )
    else:
        config = load_shipped(ref)
    if config.trust_remote_code and not trust_remote_code:
        raise ConfigError(
            f"model '{config.name}' needs code of its own (`trust_remote_code: true`)",
            "Code from a checkpoint runs only if you allow it",
            f"Read the code at {config.weights}, then pass --trust-remote-code",
        )
    return config


def _from_hub(ref: str, trust_remote_code: bool) -> ModelConfig:
    try:
        source = parse_source(ref)
    except ValueError as error:
        raise UsageError(
            f"'{ref}' is no hub reference",
            "A hub model is written hf:OWNER/NAME or hf:OWNER/NAME@REVISION",
            "Check the spelling",
        ) from error
    assert source.repo is not None, "the reference starts with hf:"
    folder, commit = weights.from_hub(source.repo, source.revision, small=True)
    pinned = f"hf:{source.repo}@{commit}"
    return _from_folder(
        folder, pinned, trust_remote_code, name=source.repo.rpartition("/")[2]
    )


def _from_folder(
    folder: Path, source: str, trust_remote_code: bool, name: str | None = None
) -> ModelConfig:
    name = name or _name(folder)
    remote = _needs_code(folder, trust_remote_code)
    adapter_file = folder / "adapter_config.json"
    if adapter_file.is_file():
        return _from_adapter(folder, source, adapter_file, name, trust_remote_code)
    raw = weights.json_object(folder / "config.json")
    kind, own_output = _kind(raw, folder)
    return _config(folder, raw, kind, own_output, name, remote, {"weights": source})


def _from_adapter(
    folder: Path, source: str, file: Path, name: str, trust_remote_code: bool
) -> ModelConfig:
    adapter = weights.json_object(file)
    base = weights.hub_or_folder(str(adapter.get("base_model_name_or_path")))
    parsed = parse_source(base)
    if parsed.repo:
        revision = str(adapter.get("revision") or parsed.revision)
        base_folder, commit = weights.from_hub(parsed.repo, revision, small=True)
        base = f"hf:{parsed.repo}@{commit}"
    else:
        base_folder = Path(base)
    remote = [_needs_code(one, trust_remote_code) for one in (base_folder, folder)]
    raw = weights.json_object(base_folder / "config.json")
    task = adapter.get("task_type")
    own_output = False
    if task == "SEQ_CLS":
        kind = Kind.SEQUENCE_CLASSIFIER
        own_output = not _causal(raw, base_folder)
    elif task in ("CAUSAL_LM", None):
        kind, own_output = _kind(raw, base_folder)
    else:
        raise ConfigError(
            f"{file}: task_type {task!r}",
            "An adapter that can be scored is of SEQ_CLS or CAUSAL_LM",
            "Write a YAML config for this model",
        )
    sources = {"weights": base, "adapter": source}
    has_tokenizer = (folder / "tokenizer_config.json").is_file()
    tokenizer_folder = folder if has_tokenizer else base_folder
    return _config(tokenizer_folder, raw, kind, own_output, name, any(remote), sources)


def _needs_code(folder: Path, trust_remote_code: bool) -> bool:
    """Whether a checkpoint names code of its own; refused without the user's leave.

    Asked before anything of the folder is loaded: a tokenizer runs code too.
    """
    for name in ("config.json", "tokenizer_config.json"):
        file = folder / name
        if file.is_file() and "auto_map" in weights.json_object(file):
            if not trust_remote_code:
                raise ConfigError(
                    f"{file} needs code of its own (auto_map)",
                    "Code from a checkpoint runs only if you allow it",
                    "Read that code, then pass --trust-remote-code",
                )
            return True
    return False


def _kind(raw: dict[str, Any], folder: Path) -> tuple[Kind, bool]:
    """What a checkpoint is, and whether only its own class can pool it."""
    from transformers import CONFIG_MAPPING

    file = folder / "config.json"
    if raw.get("model_type") not in CONFIG_MAPPING and "auto_map" not in raw:
        raise ConfigError(
            f"{file}: model_type {raw.get('model_type')!r}",
            "The installed transformers knows the architecture",
            "Update transformers, or use another checkpoint",
        )
    architectures = [str(one) for one in raw.get("architectures") or ()]
    if any(one.endswith("ForSequenceClassification") for one in architectures):
        labels = len(raw.get("id2label") or ("LABEL_0", "LABEL_1"))
        if labels != 1:
            raise ConfigError(
                f"{file} has {labels} labels",
                "A reward model has one label",
                "Write a YAML config that names what to read with `pool: model`",
            )
        return Kind.SEQUENCE_CLASSIFIER, not _causal(raw, folder)
    if any(one.endswith(("ForCausalLM", "LMHeadModel")) for one in architectures):
        return Kind.POLICY, False
    raise ConfigError(
        f"{file}: architectures {architectures}",
        "A bare checkpoint is a one-label classifier or a causal language model",
        "Write a YAML config for this model",
    )


def _causal(raw: dict[str, Any], folder: Path) -> bool:
    """Whether the architecture is a decoder, whose reward sits at the last token."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    name = raw.get("model_type")
    if not isinstance(name, str) or name not in CONFIG_MAPPING:
        return True
    with weights.readable_config(folder / "config.json"):
        config = CONFIG_MAPPING[name].from_dict(dict(raw))
    # Encoders that can also serve as decoders (BERT) say that they do not.
    encoder = raw.get("is_decoder", config.to_dict().get("is_decoder")) is False
    rotary = bool(config.to_dict().get("rope_parameters"))
    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and (rotary or not encoder)


def _config(
    folder: Path,
    raw: dict[str, Any],
    kind: Kind,
    own_output: bool,
    name: str,
    remote: bool,
    sources: dict[str, str],
) -> ModelConfig:
    tokenizer = load_tokenizer(folder, remote)
    positions = raw.get("max_position_embeddings") or raw.get("n_positions")
    fields: dict[str, Any] = {**sources}
    return ModelConfig(
        name=name,
        kind=kind,
        template="tokenizer" if tokenizer.chat_template else BASE_TEMPLATE,
        pool="model" if own_output else "last_token",
        output="logits" if own_output else None,
        max_tokens=int(positions or _MAX_TOKENS),
        trust_remote_code=remote,
        **fields,
    )


def load_tokenizer(folder: Path, trust_remote_code: bool) -> Any:
    """The tokenizer that lies in a folder, as it is stored.

    Raises:
        ConfigError: There is none, or one without a vocabulary.
    """
    from transformers import AutoTokenizer

    try:
        with weights.readable_config(folder / "config.json"):
            tokenizer = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trust_remote_code
            )
        # Where it finds no file, the library makes one of special tokens alone.
        if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
            raise ValueError("no file with a vocabulary, such as tokenizer.json")
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(
            f"{folder} has no tokenizer: {' '.join(str(error).split())[:200]}",
            "The tokenizer lies with the weights, or where `tokenizer` says",
            "Save it beside the weights, or name a source that has one as `tokenizer` "
            "in a YAML config",
        ) from error
    return tokenizer


def _name(folder: Path) -> str:
    """A folder's name; a trainer's `checkpoint-500` is preceded by its parent's."""
    name = folder.name
    if name.startswith("checkpoint-"):
        name = f"{folder.parent.name}-{name}"
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip("_.-") or "checkpoint"
