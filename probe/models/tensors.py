"""Tensors of a checkpoint by name, whatever files they lie in.

Pickles are read with `weights_only=True` and memory-mapped where their format
allows, so that naming a tensor does not read gigabytes.
"""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from probe.types import WeightsError

if TYPE_CHECKING:
    import torch

# State of a training run beside a checkpoint's weights.
_NOT_WEIGHTS = re.compile(
    r"(training_args|optimizer|scheduler|scaler|rng_state.*)\.(bin|pt|pth)"
)


SUFFIXES = ("safetensors", "bin", "pt")


def files(folder: Path) -> tuple[Path, ...]:
    """The weight files of a checkpoint: safetensors if there are any, else pickles.

    An index decides which files belong; without one, all of the kind do.

    Raises:
        WeightsError: The index is damaged or names a missing file.
    """
    for suffix in SUFFIXES:
        indices = sorted(folder.glob(f"*.{suffix}.index.json"))
        if indices:
            return _indexed(indices[0])
        if found := _of_kind(folder, suffix):
            return found
    return ()


def all_files(folder: Path) -> tuple[Path, ...]:
    """Files of every kind that may hold weights, such as a head beside an index."""
    return tuple(path for suffix in SUFFIXES for path in _of_kind(folder, suffix))


def _of_kind(folder: Path, suffix: str) -> tuple[Path, ...]:
    return tuple(
        sorted(
            path
            for path in folder.glob(f"*.{suffix}")
            if not _NOT_WEIGHTS.fullmatch(path.name)
        )
    )


def _indexed(index: Path) -> tuple[Path, ...]:
    try:
        names = set(
            json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{index} is no weight index: {error}",
            "An index maps tensor names to files under `weight_map`",
            "Download the checkpoint again",
        ) from error
    paths = tuple(index.parent / name for name in sorted(names))
    if missing := [path.name for path in paths if not path.is_file()]:
        raise WeightsError(
            f"{index} names {missing[0]}, which is missing ({len(missing)} in all)",
            "Every file of the index lies beside it",
            "Download the checkpoint again",
        )
    return paths


def keys(folder: Path) -> dict[str, Path]:
    """Every tensor name of a checkpoint, and its file.

    Raises:
        WeightsError: No weight files, a damaged one, or a name in two files.
    """
    paths = files(folder)
    if not paths:
        raise WeightsError(
            f"{folder} holds no weights",
            "A checkpoint has .safetensors, .bin or .pt files",
            "Check the folder, or download the checkpoint again",
        )
    found: dict[str, Path] = {}
    for path in paths:
        for key in file_keys(path):
            if key in found:
                raise WeightsError(
                    f"{folder}: tensor `{key}` is in {found[key].name} and {path.name}",
                    "Every tensor is stored once",
                    "Remove the file that does not belong",
                )
            found[key] = path
    return found


def file_keys(path: Path) -> tuple[str, ...]:
    """Tensor names in one file.

    Raises:
        WeightsError: The file is damaged, or holds no plain state dict.
    """
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as opened:
                return tuple(opened.keys())
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error
    return tuple(_unpickled(path))


def load(where: Mapping[str, Path], names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Loads named tensors, memory-mapped.

    Args:
        where: Tensor name -> file, as `keys` gives it.
        names: Which to load; each is in `where`.

    Raises:
        WeightsError: A file is damaged.
    """
    wanted = list(names)
    result: dict[str, torch.Tensor] = {}
    for path in dict.fromkeys(where[name] for name in wanted):
        here = [name for name in wanted if where[name] == path]
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, framework="pt") as opened:
                    result |= {name: opened.get_tensor(name) for name in here}
            except (SafetensorError, OSError) as error:
                raise _damaged(path, error) from error
        else:
            state = _unpickled(path)
            result |= {name: state[name] for name in here}
    return result


def _unpickled(path: Path) -> dict[str, torch.Tensor]:
    # Imported here: a wrong name of a model is said before its slow start.
    import torch

    try:
        # Only the zip format, torch's since 1.6, can be memory-mapped.
        state = torch.load(
            path,
            map_location="cpu",
            weights_only=True,
            mmap=True if zipfile.is_zipfile(path) else None,
        )
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise _damaged(path, error) from error
    if not isinstance(state, dict) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise WeightsError(
            f"{path} is no state dict of tensors",
            "A checkpoint file maps names to tensors",
            "Save the model's own state_dict()",
        )
    return state


def _damaged(path: Path, error: BaseException) -> WeightsError:
    detail = " ".join(str(error).split())[:200]
    return WeightsError(
        f"{path} cannot be read as weights: {detail}",
        "Weight files are whole; pickles hold tensors only, and no code",
        "Download the checkpoint again",
    )
