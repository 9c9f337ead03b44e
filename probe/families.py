"""Lineages of checkpoints, read from YAML: base -> SFT -> preference-tuned.

A lineage is three lines below its name, of which one may be left out::

    mistral_zephyr:
      base: mistral_7b_v0_1
      sft: mistral_7b_sft_beta
      preference: zephyr_7b_beta

A member is a shipped config's name; in a user's file also the path of a config,
relative to the file, or what a run calls its model.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from probe.config import Strict, did_you_mean, load_file, load_yaml, shipped
from probe.types import ConfigError, Lineage, Stage, UsageError

SHIPPED = "rm_configs/families.yaml"


class Family(Strict):
    """One lineage as it is written."""

    base: str | None = None
    """What pretraining made."""
    sft: str | None = None
    """What supervised fine-tuning made of it."""
    preference: str | None = None
    """What preference tuning (DPO, RLHF) made of that."""


def load_families(
    path: Path | None, models: Collection[str] = ()
) -> tuple[Lineage, ...]:
    """Reads lineages.

    Args:
        path: A user's file; None: the shipped lineages.
        models: What the runs at hand call their models; a member may be one of them.

    Returns:
        The lineages in the order of the file, the stages in the order of training.

    Raises:
        UsageError: The file cannot be read.
        ConfigError: It is not YAML of the form above, has an unknown key, a lineage
            with fewer than two members or the same one twice, or a member that is
            none.
    """
    file = SHIPPED if path is None else str(path)
    given = _read(path, file)
    found = []
    for name, members in given.items():
        family = _family(name, members, file)
        stages = tuple(
            Stage(role=role, model=_model(member, file, f"{name}.{role}", path, models))
            for role, member in family.model_dump().items()
            if member is not None
        )
        names = [stage.model for stage in stages]
        if len(names) < 2:
            raise ConfigError(
                f"{file}: lineage `{name}` has {len(names)} member"
                f"{'' if len(names) == 1 else 's'}",
                "A lineage has at least two of `base`, `sft` and `preference`",
                "Add the missing one, or remove the lineage",
            )
        if len(set(names)) < len(names):
            raise ConfigError(
                f"{file}: lineage `{name}` names {max(names, key=names.count)} twice",
                "The stages of a lineage are different models",
                "Correct one of its keys",
            )
        found.append(Lineage(name=name, stages=stages))
    return tuple(found)


def _read(path: Path | None, file: str) -> dict[str, object]:
    try:
        if path is None:
            text = (resources.files("rm_configs") / "families.yaml").read_text("utf-8")
        else:
            text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}",
            "--families names a YAML file with lineages",
            "Check the path",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file} is not UTF-8 text", "Lineages are UTF-8 YAML", "Re-save it"
        ) from error
    try:
        data = load_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{file} is not YAML: {' '.join(str(error).split())}",
            "Lineages are a YAML mapping",
            "Mend the line named above",
        ) from error
    if not isinstance(data, dict) or not data:
        held = "nothing" if not data else f"{type(data).__name__}, not a mapping"
        raise ConfigError(
            f"{file} holds {held}",
            "Lineages are a YAML mapping from a name to base, sft and preference",
            f"Write them as {SHIPPED} does",
        )
    return {str(name): members for name, members in data.items()}


def _family(name: str, members: object, file: str) -> Family:
    try:
        return Family.model_validate(members)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"{file}: lineage `{name}` has the unknown key `{key}`",
                "The keys of a lineage are base, sft and preference",
                did_you_mean(key, Family.model_fields),
            ) from error
        where = f"`{name}.{key}`" if key else f"lineage `{name}`"
        raise ConfigError(
            f"{file}: {where} = {str(first['input'])[:80]!r} is not valid",
            "A lineage maps base, sft and preference to the names of configs",
            f"Write it as {SHIPPED} does",
        ) from error


def _model(
    member: str, file: str, where: str, path: Path | None, models: Collection[str]
) -> str:
    """The model's name that a member stands for."""
    configs = shipped()
    if member in models or member in configs:
        return member
    if path is not None and member.endswith((".yaml", ".yml")):
        config = path.parent / member
        if not config.is_file():
            raise ConfigError(
                f"{file}: `{where}` = {member!r} does not exist",
                f"A path in a families file is relative to it: {config}",
                "Check the path",
            )
        return load_file(config).name
    known = {*configs, *models}
    raise ConfigError(
        f"{file}: `{where}` = {member!r} is no known model",
        "A member of a lineage is a shipped config, a config's path, or the model of "
        "one of the compared runs"
        if path is not None
        else "A member of a shipped lineage is a shipped config",
        did_you_mean(member, known),
    )
