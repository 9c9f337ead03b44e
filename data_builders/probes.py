"""Finds a probe by name: the name is that of a module here that defines `PROBE`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from data_builders import items_file, pairs_file, preferences, tables
from probe.config import did_you_mean
from probe.types import Probe, UsageError

_DEFINES_PROBE = re.compile(r"^PROBE\b.*=", re.MULTILINE)


def shipped() -> dict[str, str]:
    """Shipped probes: name -> module, sorted by name; imports none of them."""
    found = {}
    for entry in resources.files("data_builders").iterdir():
        if entry.name.endswith(".py") and _DEFINES_PROBE.search(
            entry.read_text(encoding="utf-8")
        ):
            name = entry.name.removesuffix(".py")
            found[name] = f"data_builders.{name}"
    return dict(sorted(found.items()))


def load(name_or_path: str, columns: Mapping[str, str] | None = None) -> Probe:
    """Loads what the command line calls PROBE.

    Args:
        name_or_path: A shipped name, or the path of a csv or jsonl with items
            (`items_file`), preference pairs (`preferences`) or the same content in
            several dialects (`pairs_file`).
        columns: Our name of a column -> the file's; None: the file has ours.

    Raises:
        UsageError: Neither a shipped name nor a file, with the nearest name; or
            columns of a shipped probe.
        DataError: The file has none of these forms.
    """
    modules = shipped()
    if name_or_path in modules:
        if columns:
            raise UsageError(
                f"--columns is given, and {name_or_path} is a shipped probe",
                "--columns renames columns of your own file",
                "Leave it away",
            )
        probe = importlib.import_module(modules[name_or_path]).PROBE
        assert isinstance(probe, Probe) and probe.name == name_or_path
        return probe
    path = Path(name_or_path)
    if path.suffix in tables.SUFFIXES or path.is_file():
        return _of_table(tables.renamed(tables.read(path), columns or {}))
    raise UsageError(
        f"no probe is called '{name_or_path}'",
        "PROBE is a shipped name, or a csv or jsonl file with items or pairs",
        did_you_mean(name_or_path, modules),
    )


def _of_table(table: tables.Table) -> Probe:
    columns = set(table.columns)
    if not {"candidate_id", "answer"} <= columns:
        if pairs_file.is_pairs(table.columns):
            return pairs_file.of_table(table)
        if columns & set(preferences.ANSWERS):
            return preferences.of_table(table)
    return items_file.of_table(table)
