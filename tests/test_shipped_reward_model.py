"""The reward model that is shipped: its files, its card, and what it answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_builders import mixes
from probe import ablation
from probe.config import load_shipped

NAME = "smollm2_135m_rm"
FOLDER = Path(__file__).parents[1] / "rm_configs" / NAME
CARD = FOLDER / "README.md"


def test_the_folder_has_an_adapter_and_its_card_and_is_small() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert files.keys() == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
        "card.json",
    }
    assert sum(files.values()) < 6_000_000


def test_the_adapter_names_its_base_as_the_config_does() -> None:
    adapter = json.loads((FOLDER / "adapter_config.json").read_text(encoding="utf-8"))
    config = load_shipped(NAME)
    assert adapter["base_model_name_or_path"] == config.weights
    [stage] = ablation.read("reward_public").stages
    assert stage.lora is not None
    for key in ("r", "lora_alpha", "layers_to_transform"):
        assert adapter[key] == stage.lora[key]


def test_the_card_says_what_was_measured() -> None:
    """Its table is that of card.json, group by group and to the digit that it shows."""
    records = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    shown: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for one in records:
        beyond = one["metric"] != "accuracy"
        style = "{:+.1f}" if beyond else "{:.1f}"
        value, low, high = (
            style.format(100 * one[key]) for key in ("estimate", "ci_low", "ci_high")
        )
        percent = "" if beyond else "%"
        key = one["group"], one["model"], one["metric"]
        shown[key] = f"{value}{percent}", f"{low} to {high}", str(one["n"])
    lines = CARD.read_text(encoding="utf-8").splitlines()
    first = lines.index(
        "| pairs | n | answerer | accuracy | 95% | beyond length | 95% |"
    )
    read: dict[tuple[str, str, str], tuple[str, ...]] = {}
    group = n = ""
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        named, number, model, value, around, more, over = (
            cell.strip() for cell in line.split("|")[1:-1]
        )
        group, n = named or group, number or n
        read[group, model, "accuracy"] = value, around, n
        if more != "-":
            read[group, model, "accuracy_beyond_length"] = more, over, n
    assert len(read) == 55
    assert read == shown


def test_the_card_names_the_mix_that_the_command_draws(shared_data: Path) -> None:
    drawn = mixes.draw(
        mixes.read_mix("reward_public"), dose=None, seed=0, data=shared_data
    )
    named = re.findall(r"`([0-9a-f]{64})`", CARD.read_text(encoding="utf-8"))
    record = drawn.record()
    assert {record["sha256"], record["held_out_sha256"]} <= set(named)


@pytest.mark.slow
def test_its_golden_pairs_come_out() -> None:
    command = [sys.executable, "-m", "probe.cli", "check", NAME]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    n = len(load_shipped(NAME).golden)
    assert n >= 4 and f"golden pairs: {n} of {n} agree" in done.stdout
    assert "head from the checkpoint" in done.stdout
    assert "Warning" not in done.stderr
