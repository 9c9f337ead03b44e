"""Lineages: the shipped ones, a user's, and what may be wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from probe.config import load_shipped, shipped
from probe.families import load_families
from probe.types import ConfigError, Lineage, Stage, UsageError


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_lineages_are_those_of_the_paper() -> None:
    found = {
        one.name: tuple((stage.role, stage.model) for stage in one.stages)
        for one in load_families(None)
    }
    assert found == {
        "llama_2": (("base", "llama_2_7b"), ("preference", "llama_2_7b_chat")),
        "tulu_2": (
            ("base", "llama_2_7b"),
            ("sft", "tulu_2_7b"),
            ("preference", "tulu_2_dpo_7b"),
        ),
        "mistral_zephyr": (
            ("base", "mistral_7b_v0_1"),
            ("sft", "mistral_7b_sft_beta"),
            ("preference", "zephyr_7b_beta"),
        ),
        "starling": (
            ("base", "mistral_7b_v0_1"),
            ("sft", "openchat_3_5"),
            ("preference", "starling_lm_7b_alpha"),
        ),
        "qwen_1_5": (("base", "qwen1_5_7b"), ("preference", "qwen1_5_7b_chat")),
        "yi": (("base", "yi_6b"), ("preference", "yi_6b_chat")),
    }
    for stages in found.values():
        for _, model in stages:
            assert load_shipped(model).kind.fits == "policy"


def test_lineages_are_no_model() -> None:
    assert "families" not in shipped()


def test_a_users_lineage_is_three_lines(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs" / "file_name.yaml"
    config.write_text("name: my_sft\nkind: policy\nweights: ./checkpoint\n")
    path = write(
        tmp_path,
        "mine:\n"
        "  base: mistral_7b_v0_1\n"
        "  sft: configs/file_name.yaml\n"
        "  preference: scored_elsewhere\n",
    )
    assert load_families(path, {"scored_elsewhere"}) == (
        Lineage(
            name="mine",
            stages=(
                Stage(role="base", model="mistral_7b_v0_1"),
                Stage(role="sft", model="my_sft"),
                Stage(role="preference", model="scored_elsewhere"),
            ),
        ),
    )


def test_the_order_is_that_of_training_whatever_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, "a:\n  preference: x\n  base: y\n")
    [found] = load_families(path, ["x", "y"])
    assert [stage.role for stage in found.stages] == ["base", "preference"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a:\n  base: yi_6b\n  prefrence: yi_6b_chat\n",
            "mine.yaml: lineage `a`: unknown key `prefrence`.*"
            "did you mean 'preference'",
        ),
        ("a:\n  base: yi_6b\n", "lineage `a` has 1 member.*at least two"),
        ("a: {}\n", "lineage `a` has 0 members"),
        (
            "a:\n  base: yi_6b\n  sft: yi_6b\n",
            "lineage `a` names yi_6b twice",
        ),
        (
            "a:\n  base: yi_6b\n  sft: yi_6b_chatt\n",
            r"`a\.sft` = 'yi_6b_chatt' is no known model.*did you mean 'yi_6b_chat'",
        ),
        (
            "a:\n  base: yi_6b\n  sft: my_modl\n",
            r"`a\.sft` = 'my_modl' is no known model.*did you mean 'my_model'",
        ),
        (
            "a:\n  base: yi_6b\n  sft: no/such.yaml\n",
            r"`a\.sft` = 'no/such\.yaml' does not exist.*relative to it",
        ),
        ("a:\n  base: 3\n  sft: yi_6b\n", r"lineage `a`: `base` = 3 is not valid"),
        ("a: yi_6b\n", "lineage `a`: `.all of it.` is not valid"),
        ("- a\n", "holds list, not a mapping"),
        ("", "mine.yaml holds nothing"),
        ("a: [\n", "mine.yaml is not YAML"),
        (
            "a:\n  base: yi_6b\n  sft: my_model\na:\n  base: yi_6b\n",
            "mine.yaml is not YAML: line 4: the key 'a' stands twice",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_families(write(tmp_path, text), ["my_model"])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml does not exist"):
        load_families(tmp_path / "none.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: \xe9")
    with pytest.raises(ConfigError, match="line 1 is not UTF-8"):
        load_families(path)
