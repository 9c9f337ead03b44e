"""A user's arguments for a library's config class, checked before anything runs."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from probe.ablation import StagePlan
from probe.types import ConfigError, Dtype


def checked(
    given: Mapping[str, Any], config: type[Any], where: str, name: str
) -> dict[str, Any]:
    """The arguments as the config class has them.

    Args:
        given: Arguments.
        config: A dataclass.
        where: File and key, for errors.
        name: What the class is called.

    Raises:
        ConfigError: It has no such argument, or one of another type.
    """
    fields = {one.name for one in dataclasses.fields(config) if one.init}
    hints = typing.get_type_hints(config)
    found = {}
    for key, value in given.items():
        if key not in fields:
            raise ConfigError(
                f"{where} has an argument '{key}', and {name} has none",
                f"Every argument is one of {name}'s",
                _nearest(key, fields, name),
            )
        try:
            adapter = TypeAdapter(
                hints[key], config=ConfigDict(arbitrary_types_allowed=True)
            )
            found[key] = adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(
                f"{where}: `{key}` = {value!r} is not valid",
                f"{name} says: {first['msg']}",
                "Change the value",
            ) from error
        except PydanticUserError:
            found[key] = value
    return found


def _nearest(key: str, fields: Collection[str], name: str) -> str:
    """What to do about an argument that there is not: the library has a hundred."""
    near = difflib.get_close_matches(key, sorted(fields), n=3, cutoff=0.6)
    if not near:
        return f"See the documentation of {name}"
    return f"did you mean {' or '.join(map(repr, near))}?"


DTYPES: tuple[str, ...] = typing.get_args(Dtype)


def init_kwargs(plan: StagePlan) -> Mapping[str, Any]:
    """What a stage says of how its base is loaded."""
    return dict(plan.trainer.get("model_init_kwargs") or {})


def dtype_of(plan: StagePlan) -> str:
    """The precision that a stage is trained in: float32 where it says nothing."""
    return str(init_kwargs(plan).get("dtype", "float32"))
