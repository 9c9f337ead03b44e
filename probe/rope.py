"""Rotary scaling that depends on a text's length, as configs declare it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# `su` is an older name of longrope.
_BY_LENGTH = frozenset({"dynamic", "longrope", "su"})


def scalings_by_length(declared: Mapping[str, Any]) -> tuple[str, ...]:
    """Scalings whose frequencies change with the longest position of a forward pass.

    In a batch a token's state would depend on its mates.

    Args:
        declared: A config.json, or a config's `to_dict`; composite ones too.
    """
    found: set[str] = set()
    for key, value in declared.items():
        if key in ("rope_parameters", "rope_scaling"):
            found |= _types(value)
        elif key.endswith("_config") and isinstance(value, Mapping):
            found |= set(scalings_by_length(value))
    return tuple(sorted(found & _BY_LENGTH))


def _types(table: object) -> set[str]:
    """Of one table, or of one a layer type."""
    if not isinstance(table, Mapping):
        return set()
    own = {str(table.get(key)) for key in ("rope_type", "type")}
    return own.union(*(_types(value) for value in table.values()))
