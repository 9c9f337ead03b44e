"""MODEL on the command line: a shipped name, a YAML, a folder, or hf:ID."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from probe.config import (
    Kind,
    ModelConfig,
    dump_yaml,
    load_file,
    load_shipped,
    parse_source,
    user_path,
)
from probe.models import weights
from probe.types import ConfigError, UsageError, WeightsError

BASE_TEMPLATE = "{user} {assistant}"
"""Of a checkpoint without a chat template: a base model continues a text."""
_MAX_LAYERS = 10_000
"""More are a damaged value, which would take the memory of the machine."""
_MAX_TOKENS = 2048
"""Of a checkpoint that declares no number of positions."""


def resolve_model(
    ref: str, *, trust_remote_code: bool = False, adapter_base: Path | None = None
) -> ModelConfig:
    """Finds the config of a model.

    Args:
        ref: A shipped name, a YAML path, a checkpoint folder, or ``hf:OWNER/NAME``.
        trust_remote_code: Whether the user allows code of the checkpoint's own.
        adapter_base: Folder of the base of a bare adapter; None: as it records.

    Raises:
        UsageError: No such name or file, the nearest name is suggested; or a base for
            what is no bare adapter.
        ConfigError: A malformed config, one that needs remote code without leave, or
            a checkpoint that is neither a one-label classifier nor a causal model.
        WeightsError: The checkpoint's config cannot be had.
    """
    path = user_path(ref)
    if ref.startswith("hf:"):
        config = _from_hub(ref, trust_remote_code, adapter_base)
    elif path.suffix in (".yaml", ".yml"):
        config = load_file(path)
    elif path.is_dir():
        config = _from_folder(
            path.resolve(), str(path.resolve()), trust_remote_code, adapter_base
        )
    elif "/" in ref or ref.startswith("."):
        hub = re.fullmatch(r"\w[\w.-]*/[\w.-]+(@[\w./-]+)?", ref)
        raise UsageError(
            f"{ref} does not exist",
            "MODEL is a shipped name, a YAML path, a checkpoint folder or hf:ID",
            f"Check the path; on the hub it is hf:{ref}" if hub else "Check the path",
        )
    else:
        config = load_shipped(ref)
    if adapter_base is not None and config.adapter is None:
        raise UsageError(
            f"--adapter-base {adapter_base} is given, and {ref} is no adapter",
            "It names the base of a bare adapter",
            "Leave it away",
        )
    if config.trust_remote_code and not trust_remote_code:
        raise ConfigError(
            f"model '{config.name}' needs code of its own (`trust_remote_code: true`)",
            "Code from a checkpoint runs only if you allow it",
            f"Read the code at {config.weights}, then pass --trust-remote-code",
        )
    return config


def _from_hub(
    ref: str, trust_remote_code: bool, adapter_base: Path | None
) -> ModelConfig:
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
    name = source.repo.rpartition("/")[2]
    return _from_folder(folder, pinned, trust_remote_code, adapter_base, name=name)


def _from_folder(
    folder: Path,
    source: str,
    trust_remote_code: bool,
    adapter_base: Path | None,
    name: str | None = None,
) -> ModelConfig:
    name = name or _name(folder)
    remote = _needs_code(folder, trust_remote_code)
    adapter_file = folder / "adapter_config.json"
    if adapter_file.is_file():
        return _from_adapter(
            folder, source, adapter_file, name, trust_remote_code, adapter_base
        )
    steps = sorted(folder.glob("checkpoint-*/"), key=lambda one: (len(one.name), one))
    if steps and not (folder / "config.json").is_file():
        raise UsageError(
            f"{folder} holds no checkpoint but {', '.join(one.name for one in steps)}",
            "MODEL is one checkpoint",
            f"Name one of them, such as {steps[-1]}",
        )
    raw = weights.json_object(folder / "config.json")
    kind, own_output, labels = _kind(raw, folder)
    config = _config(folder, raw, kind, own_output, name, remote, {"weights": source})
    if labels != 1:
        raise _several_labels(config, raw, folder)
    return config


def _several_labels(
    config: ModelConfig, raw: dict[str, Any], folder: Path
) -> ConfigError:
    """Shows the YAML that says which of a classifier's outputs is the reward."""
    declared = _declared(raw, folder)
    names = dict(declared.id2label) if declared is not None else {}
    first, second = names.get(0, 0), names.get(1, 1)
    fields = config.model_dump(mode="json", exclude_defaults=True)
    pair = f"[{dump_yaml(second).split()[0]}, {dump_yaml(first).split()[0]}]"
    return ConfigError(
        f"{folder / 'config.json'} has {len(names) or 'several'} labels: "
        f"{', '.join(map(str, names.values()))}",
        "A reward is one of them, or the log-odds of two: its config has a `label`",
        f"Give this as a .yaml file, with a label of yours:\n\n{dump_yaml(fields)}"
        f"label: {pair}  # or one of them",
    )


def _from_adapter(
    folder: Path,
    source: str,
    file: Path,
    name: str,
    trust_remote_code: bool,
    adapter_base: Path | None,
) -> ModelConfig:
    adapter = weights.json_object(file)
    recorded = str(adapter_base or adapter.get("base_model_name_or_path"))
    base = weights.hub_or_folder(recorded, (folder, folder.parent))
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
        kind, own_output, _ = _kind(raw, base_folder)
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


def _numbers(value: Any) -> Any:
    """A config with infinity as a number, which the library spells as a table."""
    if isinstance(value, dict):
        if value.keys() == {"__float__"}:
            return float(value["__float__"])
        return {key: _numbers(one) for key, one in value.items()}
    return [_numbers(one) for one in value] if isinstance(value, list) else value


def _declared(raw: dict[str, Any], folder: Path) -> Any:
    """A config.json as the library's class of it; None for one of its own."""
    from transformers import CONFIG_MAPPING

    file = folder / "config.json"
    name = raw.get("model_type")
    if isinstance(name, str) and name in CONFIG_MAPPING:
        with weights.readable_config(file, *weights.MISFITS):
            declared = CONFIG_MAPPING[name].from_dict(dict(_numbers(raw)))
            shape = declared.get_text_config().to_dict()
            if (layers := shape.get("num_hidden_layers") or 0) > _MAX_LAYERS:
                raise ValueError(f"num_hidden_layers = {layers}")
        return declared
    if "auto_map" in raw:
        return None
    raise ConfigError(
        f"{file}: model_type {name!r}",
        "The installed transformers knows the architecture",
        "Update transformers, or use another checkpoint",
    )


def _kind(raw: dict[str, Any], folder: Path) -> tuple[Kind, bool, int]:
    """What a checkpoint is, whether only its own class can pool it, and its labels."""
    from probe.models import checkpoints

    declared = _declared(raw, folder)
    saved = raw.get("architectures")
    architectures = [str(one) for one in saved] if isinstance(saved, list) else []
    if any(one.endswith("ForSequenceClassification") for one in architectures):
        labels = len(raw.get("id2label") or range(raw.get("num_labels") or 2))
        if declared is not None:
            labels = declared.num_labels
        return Kind.SEQUENCE_CLASSIFIER, not _causal(raw, folder), labels
    readers = checkpoints.language_classes(declared)
    if readers and declared.is_encoder_decoder:
        readers = {}
    if any(
        one in readers or one.endswith(("ForCausalLM", "LMHeadModel"))
        for one in architectures
    ):
        return Kind.POLICY, False, 1
    raise ConfigError(
        f"{folder / 'config.json'}: architectures {saved}",
        "A bare checkpoint is a classifier or a causal language model",
        "Write a YAML config for this model",
    )


def _causal(raw: dict[str, Any], folder: Path) -> bool:
    """Whether the architecture is a decoder, whose reward sits at the last token."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    config = _declared(raw, folder)
    if config is None:
        return True
    # Encoders that can also serve as decoders (BERT) say that they do not.
    encoder = raw.get("is_decoder", config.to_dict().get("is_decoder")) is False
    text = config.get_text_config()
    rotary = bool(text.to_dict().get("rope_parameters"))
    known = any(type(one) in MODEL_FOR_CAUSAL_LM_MAPPING for one in (config, text))
    return known and (rotary or not encoder)


def _positions(raw: dict[str, Any], folder: Path) -> int:
    """How many tokens a checkpoint can read, of those that it declares.

    A table of positions with a padding row (RoBERTa's) is used from the row after it;
    dynamic scaling reads `factor` times as many.
    """
    import torch
    from transformers import MODEL_MAPPING, AutoModel

    from probe.tree_attention import embedding_of

    text = raw.get("text_config")
    shape = {**text, **raw} if isinstance(text, dict) else raw
    found = shape.get("max_position_embeddings") or shape.get("n_positions")
    declared = _declared(raw, folder)
    if found is None:
        return _MAX_TOKENS
    file = folder / "config.json"
    known = type(declared) in MODEL_MAPPING
    usable = found
    rope = declared.get_text_config().to_dict().get("rope_parameters") or {}
    for table in (rope, *rope.values()):
        if isinstance(table, dict) and table.get("rope_type") == "dynamic":
            # Beyond what is declared its frequencies are scaled to a text's length.
            usable = int(found * table["factor"])
    if known and not rope:
        with torch.device("meta"), weights.readable_config(file, *weights.MISFITS):
            model = AutoModel.from_config(declared)
        table = embedding_of(model)
        rows = [
            found - 1 - vars(module)["padding_idx"]
            for module in model.modules()
            if module is not table
            and vars(module).get("padding_idx") is not None
            and [len(one) for one in module.parameters(recurse=False)] == [found]
        ]
        usable = min(rows, default=found)
    if not isinstance(usable, int) or usable < 2:
        raise WeightsError(
            f"{file} is damaged: {found!r} positions",
            "A model reads two tokens or more",
            "Check that value, or download the checkpoint again",
        )
    return usable


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
    fields: dict[str, Any] = {**sources}
    return ModelConfig(
        name=name,
        kind=kind,
        template="tokenizer" if tokenizer.chat_template else BASE_TEMPLATE,
        pool="model" if own_output else "last_token",
        output="logits" if own_output else None,
        max_tokens=_positions(raw, folder),
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
    except (OSError, *weights.MISFITS) as error:
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
