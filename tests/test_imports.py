"""Imports go down only (design: probe.types <- ... <- cli), read with ast."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("probe", "data_builders", "analysis", "rm_configs")
LEVEL = {
    "probe.types": 0,
    "probe.csvs": 0,
    "probe.ablation": 1,
    "probe.config": 1,
    "probe.encode": 1,
    "probe.checkpoint": 2,
    "probe.export": 3,
    "probe.families": 2,
    "probe.held_out": 2,
    "probe.rope": 1,
    "probe.store": 1,
    "probe.sums": 1,
    "data_builders": 1,
    "probe.models": 2,
    "probe.tree": 2,
    "probe.tree_attention": 2,
    "probe.tree_support": 2,
    "probe.audit": 3,
    "probe.langid": 3,
    "probe.listing": 3,
    "probe.recorded": 3,
    "probe.score": 3,
    "probe.check": 3,
    "probe.sweep": 3,
    "probe.sweep_plan": 3,
    "probe.train": 3,
    "probe.processes": 2,
    "probe.training_arguments": 2,
    "probe.training_model": 2,
    "probe.training_request": 2,
    "probe.training_result": 2,
    "probe.training_text": 2,
    "probe.training_watch": 2,
    "probe.cli": 4,
    "probe.options": 4,
}
ANALYSIS_MAY = (
    "analysis",
    "probe.types",
    "probe.store",
    "probe.sums",
    "probe.csvs",
    "data_builders.countries",
    "data_builders.country_opinions",
    "data_builders.mix_duplicates",
)
COMPOSES = ("probe.cli", "probe.options")
"""The command line puts probe and analysis together; nobody imports it."""
HEAVY = {"torch", "transformers", "trl", "peft", "datasets"}


def modules(package: str) -> list[tuple[str, Path]]:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found.append((name.removesuffix(".__init__"), path))
    return found


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            names.add(node.module)
            if node.module in OURS:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def level(module: str) -> int | None:
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if (name := ".".join(parts[:end])) in LEVEL:
            return LEVEL[name]
    return None


def test_probe_and_data_builders_import_down_only() -> None:
    wrong = []
    for package in ("probe", "data_builders"):
        for name, path in modules(package):
            if name == "probe":
                continue
            own = level(name)
            assert own is not None, f"{name} has no level in this test"
            for imported in imports(path):
                if imported.split(".")[0] == "analysis" and name not in COMPOSES:
                    wrong.append(f"{name} imports {imported}")
                other = level(imported)
                if other is not None and other > own:
                    wrong.append(f"{name} imports {imported}")
    assert not wrong


def test_analysis_reads_only_what_it_may() -> None:
    wrong = []
    for name, path in modules("analysis"):
        for imported in imports(path):
            root = imported.split(".")[0]
            if root in HEAVY:
                wrong.append(f"{name} imports {imported}")
            if root in OURS and not any(
                imported == allowed or imported.startswith(f"{allowed}.")
                for allowed in ANALYSIS_MAY
            ):
                if imported in ("probe", "data_builders"):
                    continue  # `from probe import store`: the full name is checked
                wrong.append(f"{name} imports {imported}")
    assert not wrong


def test_data_builders_never_see_a_model() -> None:
    for name, path in modules("data_builders"):
        heavy = {i.split(".")[0] for i in imports(path)} & (HEAVY - {"datasets"})
        assert not heavy, f"{name} imports {heavy}"


def test_one_module_knows_the_trainer() -> None:
    found = {
        name
        for package in OURS
        for name, path in modules(package)
        if "trl" in {i.split(".")[0] for i in imports(path)}
    }
    assert found == {"probe.train"}


def test_only_types_of_the_standard_library() -> None:
    import sys

    roots = {i.split(".")[0] for i in imports(ROOT / "probe" / "types.py")}
    assert roots <= sys.stdlib_module_names
