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

from probe.config import (
    Strict,
    did_you_mean,
    load_file,
    load_mapping,
    read_text,
    shipped,
    validate,
)
from probe.types import ConfigError, Lineage, Stage

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
    if path is None:
        text = (resources.files("rm_configs") / "families.yaml").read_text("utf-8")
    else:
        text = read_text(path, "--families names a YAML file with lineages")
    found = []
    for name, members in load_mapping(text, file, "a file of lineages").items():
        family = validate(Family, members, f"{file}: lineage `{name}`")
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
