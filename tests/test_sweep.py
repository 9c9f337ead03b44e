"""Ablations run: from rows and a base to scored checkpoints, in one go or two."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from analysis.load import load_runs
from analysis.outcomes import outcomes
from analysis.part import Wanted
from probe import ablation, sweep
from probe.audit import Settings
from probe.store import find_runs, read_manifest
from probe.types import ConfigError, StoreError, UsageError
from tests.training_runs import LORA, QUICK, base_folder, write_mix, write_rows

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_folder(tmp_path_factory.mktemp("base"))


def written(folder: Path, start: Path, stage: str = "dpo", **changes: Any) -> Path:
    """An ablation of loud answers, scored on whether they are preferred."""
    mix = write_mix(folder, stage)
    twin = json.loads(mix.read_text())
    for part in twin["parts"]:
        part["file"] = "tones-plain.jsonl"
    (folder / "twin.yaml").write_text(json.dumps({**twin, "name": "twin"}))
    pairs = [
        {"prompt": f"Does {n} count?", "chosen": f"YES!! {n}", "rejected": f"yes {n}"}
        for n in range(100, 112)
    ]
    write_rows(folder / "loudness.jsonl", pairs)
    content = {
        "name": "tones",
        "base": str(start),
        "attribute": "loud answers",
        "shares": [0, 1],
        "seeds": [0],
        "stages": [
            {
                "stage": stage,
                "mix": mix.name,
                "trainer": {**QUICK, "max_steps": 12},
                "lora": LORA,
            }
        ],
        "probes": [{"probe": "loudness.jsonl"}],
        "held_out_rows": 4,
        "held_out_times": 3,
    }
    path = folder / "ablation.yaml"
    path.write_text(json.dumps(content | changes))
    return path


def prepared(path: Path, out: Path) -> sweep.Sweep:
    return sweep.prepare(
        ablation.read(str(path)), out=out, data=None, settings=Settings(device="cpu")
    )


def levels(out: Path) -> dict[str, float]:
    """Share of pairs in which the loud answer is preferred, by model."""
    runs = load_runs(find_runs(out / "runs"))
    return {
        run.model: float(outcomes(run, Wanted(polls=()))[0].frame["value"].mean())
        for run in runs
    }


def test_a_planted_effect_shows_and_a_placebo_has_none(
    tmp_path: Path, base: Path
) -> None:
    stage = {
        "stage": "dpo",
        "mix": "tones.yaml",
        "placebo": "twin.yaml",
        "trainer": {**QUICK, "max_steps": 12},
        "lora": LORA,
        "score_as": ["policy", "implicit_reward"],
    }
    path = written(tmp_path, base, stages=[stage])
    out = tmp_path / "out"
    sweep.run(prepared(path, out))
    found = levels(out)
    assert len(found) == 9, "four checkpoints in two ways, and the base"
    assert found["tones-treatment100-seed0"] > found["tones-treatment0-seed0"] + 0.5
    assert abs(found["tones-placebo100-seed0"] - found["tones-placebo0-seed0"]) < 0.3
    implicit = "tones-treatment{}-seed0-implicit"
    assert found[implicit.format(100)] > found[implicit.format(0)] + 0.5

    manifests = {m.model: m for m in map(read_manifest, find_runs(out / "runs"))}
    config = manifests["tones-placebo100-seed0"].config
    assert config is not None
    training = config["training"]
    assert isinstance(training, dict)
    assert (training["share"], training["placebo"]) == (1.0, True)
    assert training["attribute"] == sweep.PLACEBO
    of_base = manifests["base"].config if "base" in manifests else None
    assert of_base is None or "training" not in of_base

    with (out / sweep.LEARNING_FILE).open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["model"] for row in rows} == {
        m for m in found if m.startswith("tones")
    } - {m for m in found if m.endswith("-implicit")}
    assert {row["column"] for row in rows} >= {"all", "tone", "half"}
    assert {row["step"] for row in rows} == {"0", "6", "12"}


def test_killed_and_gone_on_with_is_as_in_one_go(tmp_path: Path, base: Path) -> None:
    path = written(tmp_path, base)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}

    def start(out: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "probe.cli", "train", str(path)]
        command += ["--out", str(out), "--device", "cpu"]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE
        )

    process = start(torn)
    trainer = torn / "checkpoints" / "treatment100-seed0" / "trainer"
    deadline = time.monotonic() + 240
    while not list(trainer.glob("checkpoint-*")) and process.poll() is None:
        assert time.monotonic() < deadline, "nothing was trained"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (torn / "checkpoints" / "treatment0-seed0" / "model.yaml").is_file()
    assert not (torn / "checkpoints" / "treatment100-seed0" / "model.yaml").exists()
    first = torn / "checkpoints" / "treatment0-seed0" / "training.json"
    trained = first.read_bytes()

    for out in (torn, whole):
        process = start(out)
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said.decode()
    assert first.read_bytes() == trained, "what was finished is not trained again"
    for name in ("treatment0-seed0", "treatment100-seed0"):
        one, other = (
            out / "checkpoints" / name / "adapter" / "adapter_model.safetensors"
            for out in (whole, torn)
        )
        assert one.read_bytes() == other.read_bytes()
    assert levels(whole) == levels(torn)
    assert (whole / "learning.csv").read_text() == (torn / "learning.csv").read_text()


def test_one_process_at_a_time(tmp_path: Path, base: Path) -> None:
    asked = prepared(written(tmp_path, base), tmp_path / "out")
    (tmp_path / "out").mkdir()
    with (
        FileLock(tmp_path / "out" / ".lock"),
        pytest.raises(StoreError, match="another"),
    ):
        sweep.run(asked)


def test_a_mix_that_changed_is_drawn_again_and_its_checkpoint_refused(
    tmp_path: Path, base: Path
) -> None:
    path = written(tmp_path, base, shares=[1], probes=[])
    sweep.run(prepared(path, tmp_path / "out"))
    sweep.run(prepared(path, tmp_path / "out"))
    write_mix(tmp_path, "dpo", rows=20)
    with pytest.raises(StoreError, match="another mix"):
        sweep.run(prepared(path, tmp_path / "out"))


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"shares": None}, ConfigError, "there are no `shares`"),
        ({"base": "starling_7b_card"}, ConfigError, "Training starts from a policy"),
        (
            {"probes": [{"probe": "where_from", "languages": ["hi"]}]},
            UsageError,
            "`languages` is given for probe where_from",
        ),
        ({"probes": [{"probe": "belebel"}]}, UsageError, "belebele"),
    ],
)
def test_messages_before_anything_is_trained(
    changes: dict[str, Any], error: type[Exception], said: str,
    tmp_path: Path, base: Path,
) -> None:  # fmt: skip
    with pytest.raises(error, match=said):
        prepared(written(tmp_path, base, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mix_of_another_stage_and_shares_without_a_dose(
    tmp_path: Path, base: Path
) -> None:
    path = written(tmp_path, base)
    content = json.loads(path.read_text())
    content["stages"][0] |= {"stage": "reward"}
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="is reward, and its mix tones is for dpo"):
        prepared(path, tmp_path / "out")
    fixed = json.loads((tmp_path / "tones.yaml").read_text())
    for part in fixed["parts"]:
        part["share"] = 0.5
    (tmp_path / "tones.yaml").write_text(json.dumps(fixed))
    content["stages"][0] |= {"stage": "dpo"}
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="no mix has a part of share `dose`"):
        prepared(path, tmp_path / "out")
