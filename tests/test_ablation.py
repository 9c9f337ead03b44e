"""Ablations as YAML: what they say, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_builders import mixes, probes
from probe import ablation, train
from probe.types import ConfigError, UsageError

PLAIN: dict[str, Any] = {
    "name": "mine",
    "base": "smollm2_135m_instruct",
    "attribute": "rows in Finnish",
    "shares": [0, 0.5],
    "seeds": [0, 1],
    "stages": [{"stage": "sft", "mix": "language_sft"}],
}


def written(folder: Path, **changes: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(json.dumps(PLAIN | changes))
    return str(path)


@pytest.mark.parametrize("name", list(ablation.shipped()))
def test_shipped_ablations_fit_their_mixes_and_the_library(name: str) -> None:
    found = ablation.read(name)
    assert found.name == name
    for stage in found.stages:
        train.check(stage, name)
        for ref in (stage.mix, stage.placebo):
            if ref is not None:
                mix = mixes.read_mix(ref)
                assert mix.stage == stage.stage
                assert mix.has_dose == (found.shares is not None)
    for one in found.probes:
        if one.probe != ablation.HELD_OUT:
            probes.load(one.probe)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"share": [0]}, "unknown key `share`.*did you mean 'shares'"),
        ({"shares": [0, 1.5]}, "`shares.1` = 1.5 .*less than or equal to 1"),
        ({"shares": [0, 0]}, "stands twice"),
        ({"seeds": [0, 0]}, "stands twice"),
        ({"seeds": []}, "at least 1 item"),
        ({"stages": [{"stage": "ppo", "mix": "m"}]}, "'sft', 'dpo' or 'reward'"),
        (
            {"stages": [{"stage": "sft", "mix": "m", "traner": {}}]},
            "unknown key `stages.0.traner`.*did you mean 'trainer'",
        ),
        (
            {"stages": [{"stage": "reward", "mix": "m"}, {"stage": "dpo", "mix": "m"}]},
            "no policy follows it",
        ),
        (
            {"stages": [{"stage": "sft", "mix": "m", "score_as": ["reward"]}]},
            "stage sft is no reward",
        ),
        ({"probes": [{"probe": "belebele", "limit": 0}]}, "probes.0.limit"),
    ],
)
def test_messages(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        ablation.read(written(tmp_path, **changes))


def test_names_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'language_sft'"):
        ablation.read("language_stf")
    with pytest.raises(UsageError, match=r"none\.yaml does not exist"):
        ablation.read(str(tmp_path / "none.yaml"))


def test_one_seed_may_stand_alone_and_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "name: a\nbase: b\nattribute: c\nseeds: 3\nstages:\n"
        "  - {stage: sft, mix: d, trainer: {learning_rate: 1e-4}}\n"
    )
    found = ablation.read(str(path))
    assert found.seeds == (3,)
    assert found.stages[0].trainer == {"learning_rate": 1e-4}


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    stage = {"stage": "sft", "mix": "own.yaml", "chat_template": "t.jinja"}
    found = ablation.read(
        written(tmp_path, stages=[stage], probes=[{"probe": "pairs.csv"}])
    )
    assert found.stages[0].mix == str(tmp_path / "own.yaml")
    assert found.stages[0].chat_template == str(tmp_path / "t.jinja")
    assert found.probes[0].probe == str(tmp_path / "pairs.csv")


def test_every_checkpoint_comes_after_the_one_it_starts_from(tmp_path: Path) -> None:
    stages = [{"stage": "sft", "mix": "same"}, {"stage": "dpo", "mix": "dosed"}]
    found = ablation.read(written(tmp_path, stages=stages))
    jobs = ablation.jobs(found, lambda mix: mix == "dosed")
    # The first stage does not vary: one a seed, for both shares.
    assert [job.name for job in jobs] == [
        "mine-seed0-sft",
        "mine-treatment0-seed0-dpo",
        "mine-treatment50-seed0-dpo",
        "mine-seed1-sft",
        "mine-treatment0-seed1-dpo",
        "mine-treatment50-seed1-dpo",
    ]
    assert [job.share for job in jobs[:3]] == [None, 0, 0.5]
    assert [job.before for job in jobs[:3]] == [None, "seed0-sft", "seed0-sft"]


def test_a_placebo_arm_has_its_own_mix(tmp_path: Path) -> None:
    stage = {"stage": "sft", "mix": "real", "placebo": "twin"}
    found = ablation.read(written(tmp_path, stages=[stage], seeds=[4]))
    jobs = ablation.jobs(found, lambda mix: True)
    assert [(job.arm, job.share, job.mix) for job in jobs] == [
        ("treatment", 0, "real"),
        ("treatment", 0.5, "real"),
        ("placebo", 0, "twin"),
        ("placebo", 0.5, "twin"),
    ]
    assert len({job.name for job in jobs}) == 4
