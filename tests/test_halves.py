"""What is scored and what training may read never share a prompt."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from data_builders import dialect_pairs, preferences, tables
from data_builders.halves import Half, exact_half, half
from probe.types import BuildOptions, Item, Probe, versioned

KEYS = [f"How do I make {i} pancakes?" for i in range(2000)]


def test_a_key_lies_where_it_lies() -> None:
    assert half("Why?") == half("Why?", 0) == half("  why? ") == half("WHY?")
    assert half("Why  so?\n") == half("why so?")
    # The division is part of a probe's version: it may not drift.
    assert [half(key) for key in "abcdef"] == [
        "train", "probe", "probe", "train", "train", "probe"
    ]  # fmt: skip


def test_halves_are_about_equal_and_another_seed_is_another_division() -> None:
    sides = [[half(key, seed) for key in KEYS] for seed in (0, 1)]
    for side in sides:
        assert 900 < side.count("probe") < 1100  # 4.5 standard deviations
    changed = sum(a != b for a, b in zip(*sides, strict=True))
    assert 900 < changed < 1100


def test_exact_halves_are_disjoint_and_everything() -> None:
    for n in (1, 2, 7, 40):
        sides: tuple[Half, Half] = ("probe", "train")
        probe, train = (exact_half(KEYS[:n], side) for side in sides)
        assert not probe & train
        assert probe | train == set(KEYS[:n])
        assert len(probe) - len(train) == n % 2
    assert exact_half(KEYS, "probe", 1) != exact_half(KEYS, "probe", 0)
    assert exact_half(reversed(KEYS), "probe") == exact_half(KEYS, "probe")


def sides(probe: Probe, options: BuildOptions) -> tuple[list[Item], list[Item]]:
    return (
        list(probe.build(dataclasses.replace(options, half="probe"))),
        list(probe.build(dataclasses.replace(options, half="train"))),
    )


@pytest.mark.parametrize("probe", [dialect_pairs.PROBE, preferences.PROBE])
def test_sources_are_divided_by_prompt(probe: Probe, shared_data: Path) -> None:
    options = BuildOptions(data=shared_data)
    scored, held_back = sides(probe, options)
    assert scored and held_back

    def prompts(items: list[Item]) -> set[str]:
        return {
            item.messages[-1].content
            for item in items
            if item.groups.get("prompt_dialect") in (None, "standard")
        }

    def rows(items: list[Item]) -> set[object]:
        return {item.groups.get("row", item.id) for item in items}

    assert not prompts(scored) & prompts(held_back)
    assert not rows(scored) & rows(held_back)
    assert len(rows(scored)) + len(rows(held_back)) == 594
    assert list(probe.build(options)) == scored
    other, _ = sides(probe, dataclasses.replace(options, half_seed=1))
    assert rows(other) != rows(scored)
    assert versioned(probe, options) == "1+probe-half-0"
    training = dataclasses.replace(options, half="train", half_seed=1)
    assert versioned(probe, training) == "1+train-half-1"


def test_both_probes_hold_the_same_prompts_back(shared_data: Path) -> None:
    """RewardBench's pairs and their dialects are one text to a model in training."""
    options = BuildOptions(data=shared_data)
    pairs = {
        item.messages[-1].content
        for item in dialect_pairs.PROBE.build(options)
        if item.groups["prompt_dialect"] == "standard"
    }
    plain = {item.messages[-1].content for item in preferences.PROBE.build(options)}
    assert pairs == plain
    file = shared_data / "dialect" / "rewardbench_594_multivalue_6dialects.jsonl"
    lines = tables.read(file).lines
    shared = [line.values["prompt"] for line in lines]
    # 565 prompts of 594 rows: those that share one are never parted.
    assert len(set(shared)) == 565
    assert pairs == {prompt for prompt in shared if half(str(prompt)) == "probe"}
