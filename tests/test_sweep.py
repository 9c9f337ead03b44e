"""Ablations run: from rows and a base to scored checkpoints, in one go or two."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from analysis.doseresponse_runs import analyse_sweeps
from analysis.load import load_runs
from analysis.outcomes import outcomes
from analysis.part import Wanted
from probe import ablation, checkpoint, sweep
from probe.audit import Settings
from probe.store import find_runs, read_manifest
from probe.types import ConfigError, DataError, StoreError, UsageError
from tests.tiny_checkpoints import byte_tokenizer, llama_classifier
from tests.training_runs import (
    CHATML,
    LORA,
    QUICK,
    base_folder,
    write_mix,
    write_rows,
)

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
    tokenizer = byte_tokenizer(chat_template=CHATML)
    judge = llama_classifier(tmp_path / "judge", tokenizer)
    path = written(tmp_path, base, stages=[stage], beside=[str(judge)])
    out = tmp_path / "out"
    sweep.run(prepared(path, out))
    found = levels(out)
    assert "judge" in found
    assert len(found) == 10, "four checkpoints in two ways, the base and one beside"
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
    of_base = manifests[base.name].config
    assert of_base is not None and "training" not in of_base

    with (out / sweep.LEARNING_FILE).open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["model"] for row in rows} == {
        m for m in found if m.startswith("tones")
    } - {m for m in found if m.endswith("-implicit")}
    assert {row["column"] for row in rows} >= {"all", "tone", "half"}
    assert {row["step"] for row in rows} == {"0", "6", "12"}
    # Both tones of a prompt are watched together.
    treated = [row for row in rows if row["arm"] == "treatment"]
    pairs = {row["id"]: row["key"] for row in treated}
    assert len(pairs) == 4 and len(set(pairs.values())) == 2


def test_held_out_pairs_of_an_older_version_are_refused(
    tmp_path: Path, base: Path
) -> None:
    asked = prepared(written(tmp_path, base), tmp_path / "out")
    file = asked.folder(asked.jobs[0]) / checkpoint.HELD_OUT_FILE
    file.parent.mkdir(parents=True)
    file.write_text("step,tokens,column,group,n,accuracy,margin\n0,0,all,all,9,1,1\n")
    with pytest.raises(DataError, match=r"held_out\.csv has the columns .*, accuracy"):
        sweep._collect(asked)
    assert not (tmp_path / "out" / sweep.LEARNING_FILE).exists()


def test_a_planted_effect_has_a_slope_clear_of_zero(tmp_path: Path, base: Path) -> None:
    """From rows to the interval: it excludes zero, and the placebo's does not.

    How often a placebo's does by chance, simulated sweeps tell (test_doseresponse.py).
    """
    stage = {
        "stage": "dpo",
        "mix": "tones.yaml",
        "placebo": "twin.yaml",
        "trainer": {**QUICK, "max_steps": 12, "learning_rate": 2e-2},
        "lora": LORA,
    }
    settings = {"shares": [0, 0.5, 1], "seeds": [0, 1, 2], "held_out_rows": 0}
    path = written(tmp_path, base, stages=[stage], dtype="bfloat16", **settings)
    out = tmp_path / "out"
    sweep.run(prepared(path, out))
    runs = find_runs(out / "runs")
    # That of scoring, of the base and of checkpoints, and not that of training.
    assert {(read_manifest(run).config or {})["dtype"] for run in runs} == {"bfloat16"}
    found = analyse_sweeps(load_runs(runs), Wanted(polls=()))
    slopes = {
        one.model: one
        for one in found.records
        if (one.metric, one.group) == ("accuracy_slope", "all")
    }
    treated = slopes["tones, DPO, treatment"]
    placebo = slopes["tones, DPO, placebo"]
    assert treated.n == placebo.n == 9
    assert treated.ci_low is not None and treated.ci_low > 0
    assert placebo.estimate is not None and abs(placebo.estimate) < treated.ci_low
    # Checkpoints that do not differ at all have a slope of zero without an interval.
    if placebo.ci_low is None or placebo.ci_high is None:
        assert placebo.estimate == pytest.approx(0, abs=1e-12)
    else:
        assert placebo.ci_low <= 0 <= placebo.ci_high


def test_killed_and_gone_on_with_is_as_in_one_go(tmp_path: Path, base: Path) -> None:
    path = written(tmp_path, base, shares=[0, 1, 0.5])
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
    while not list(trainer.glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None, "it was over before it could be killed"
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
        page = (out / "report" / "index.html").read_text()
        assert "What a share of loud answers does" in page
        assert list((out / "report" / "figures").glob("doseresponse-*.svg"))
    assert first.read_bytes() == trained, "what was finished is not trained again"
    for name in ("treatment0-seed0", "treatment100-seed0", "treatment50-seed0"):
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


def test_rows_that_changed_are_not_taken_for_those_drawn(
    tmp_path: Path, base: Path
) -> None:
    path = written(tmp_path, base, shares=[1], probes=[])
    sweep.run(prepared(path, tmp_path / "out"))
    file = tmp_path / "tones-loud.jsonl"
    file.write_text(file.read_text().replace("YES!!", "YES!"))
    with pytest.raises(StoreError, match="another mix"):
        sweep.run(prepared(path, tmp_path / "out"))


def test_a_checkpoint_trained_anew_replaces_the_old_one(
    tmp_path: Path, base: Path
) -> None:
    """Its old run stays on disk, and is not taken for a checkpoint of the ablation."""
    path = written(tmp_path, base)
    out = tmp_path / "out"
    first = sweep.run(prepared(path, out))
    assert first is not None
    content = json.loads(path.read_text())
    content["stages"][0]["trainer"]["learning_rate"] = 2e-3
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="another stage"):
        sweep.run(prepared(path, out))
    shutil.rmtree(out / "checkpoints")
    again = sweep.run(prepared(path, out))
    assert again is not None
    assert len(again) == len(first) == 3 and len(set(first) & set(again)) == 1
    load_runs(again)


def test_a_stage_can_be_added_and_a_precision_taken_away(
    tmp_path: Path, base: Path
) -> None:
    """What is trained stays, and is scored as the base is."""
    write_mix(tmp_path, "sft", name="first")
    write_mix(tmp_path, "reward", name="last")
    quick = {"trainer": {**QUICK, "max_steps": 2}, "lora": LORA}
    stages = [
        {"stage": name, "mix": f"{mix}.yaml", **quick}
        for name, mix in (("sft", "first"), ("dpo", "tones"), ("reward", "last"))
    ]
    out = tmp_path / "out"
    settings = {"shares": [0.5], "held_out_rows": 0}
    written(tmp_path, base, stages=stages[:2], dtype="bfloat16", **settings)
    sweep.run(prepared(tmp_path / "ablation.yaml", out))
    trained = {path: path.stat().st_mtime_ns for path in out.glob("*/*/model.yaml")}
    written(tmp_path, base, stages=stages, **settings)
    runs = sweep.run(prepared(tmp_path / "ablation.yaml", out))
    assert runs is not None
    assert len(trained) == 2 and len(list(out.glob("*/*/model.yaml"))) == 3
    assert trained == {path: path.stat().st_mtime_ns for path in trained}
    assert {(read_manifest(run).config or {})["dtype"] for run in runs} == {"float32"}


def test_held_out_pairs_are_kept_from_every_other_stage(
    tmp_path: Path, base: Path
) -> None:
    """SFT on the pairs' own texts, then a reward model scored on those held out."""
    reward = write_mix(tmp_path, "reward", name="pairs", rows=20)
    rows = []
    for tone in ("loud", "plain"):
        for line in (tmp_path / f"pairs-{tone}.jsonl").read_text().splitlines():
            row = json.loads(line)
            said = f"{row['prompt']} I ask because I must know of number {row['id']}"
            rows.append({**row, "prompt": said, "completion": row["chosen"]})
    for tone in ("loud", "plain"):
        chosen = [row for row in rows if row["tone"] == tone]
        write_rows(tmp_path / f"pairs-{tone}.jsonl", chosen)
    sft = [{k: r[k] for k in ("id", "prompt", "completion")} for r in rows]
    write_rows(tmp_path / "sft.jsonl", sft)
    mix = {
        "name": "sft",
        "stage": "sft",
        "rows": "all",
        "parts": [{"file": "sft.jsonl"}],
    }
    (tmp_path / "sft.yaml").write_text(json.dumps(mix))
    quick = {"trainer": QUICK, "lora": LORA}
    path = written(
        tmp_path,
        base,
        shares=[0.5],
        stages=[
            {"stage": "sft", "mix": "sft.yaml", **quick},
            {"stage": "reward", "mix": reward.name, **quick},
        ],
        probes=[{"probe": "held_out"}],
    )
    out = tmp_path / "out"
    runs = sweep.run(prepared(path, out))
    assert runs is not None
    assert {read_manifest(run).model for run in runs} == {
        base.name, "tones-seed0-sft", "tones-treatment50-seed0-reward",
    }  # fmt: skip
    [drawn] = (out / "mixes").glob("pairs-*")
    held = [json.loads(line) for line in (drawn / "held_out.jsonl").open()]
    trained = (out / "mixes" / "sft-seed0" / "train.jsonl").read_text()
    assert held and trained
    assert not [
        row for row in held if json.dumps(row["prompt"][0]["content"]) in trained
    ]


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (
            [
                {"stage": "sft", "mix": "sft.yaml", "placebo": "sft_twin.yaml"},
                {"stage": "dpo", "mix": "tones.yaml"},
            ],
            "stage 2: the mix .*has a dose, and there is no `placebo`",
        ),
        (
            [{"stage": "dpo", "mix": "tones.yaml", "placebo": "again.yaml"}],
            "are both called 'tones'",
        ),
        (
            [{"stage": "dpo", "mix": "tones.yaml", "placebo": "fixed.yaml"}],
            "stage 1: of `mix` and `placebo` one has no part of share `dose`",
        ),
        (
            [{"stage": "dpo", "mix": "tones.yaml", "placebo": "renamed.yaml"}],
            "stage 1: of the placebo .* are different rows",
        ),
        (
            [{"stage": "dpo", "mix": "tones.yaml", "placebo": "short.yaml"}],
            "stage 1: the mix has `rows: [0-9]+`, its placebo 2",
        ),
    ],
)
def test_a_placebo_arm_is_a_placebo_in_every_stage(
    stages: list[dict[str, Any]], said: str, tmp_path: Path, base: Path
) -> None:
    path = written(tmp_path, base, stages=stages)
    real = json.loads((tmp_path / "tones.yaml").read_text())
    twin = json.loads((tmp_path / "twin.yaml").read_text())
    sft = json.loads(write_mix(tmp_path, "sft", name="sft").read_text())
    parts = [{**part, "file": "sft-plain.jsonl"} for part in sft["parts"]]
    others = {
        "sft_twin": {**sft, "parts": parts},
        "fixed": {**real, "parts": [{**one, "share": 0.5} for one in real["parts"]]},
        "renamed": real,
        "short": {**twin, "rows": 2},
    }
    for name, mix in others.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps({**mix, "name": name}))
    shutil.copy(tmp_path / "tones.yaml", tmp_path / "again.yaml")
    with pytest.raises(ConfigError, match=said):
        prepared(path, tmp_path / "out")


@pytest.mark.parametrize("scored", [False, True])
def test_the_verb_ends_well_without_a_slope(
    scored: bool, tmp_path: Path, base: Path
) -> None:
    changes = {} if scored else {"probes": []}
    path = written(tmp_path, base, shares=[1], held_out_rows=0, **changes)
    command = [sys.executable, "-m", "probe.cli", "train", str(path)]
    command += ["--out", str(tmp_path / "out"), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "checkpoints" in done.stdout
    assert ("note: no sweep of the 2 runs" in done.stderr) == scored
    assert (tmp_path / "out" / "report" / "index.html").is_file() == scored


@pytest.mark.parametrize(
    ("probe", "said"),
    [("loudness.jsonl", "which is the base"), ("belebele", "no probe is for such")],
)
def test_models_beside_are_others_that_a_probe_fits(
    probe: str, said: str, tmp_path: Path, base: Path
) -> None:
    judge = llama_classifier(tmp_path / "judge", byte_tokenizer(chat_template=CHATML))
    other = judge if probe == "belebele" else base
    asked = {"probes": [{"probe": probe}], "beside": [str(other)]}
    with pytest.raises(ConfigError, match=said):
        prepared(written(tmp_path, base, **asked), tmp_path / "out")


def test_two_processes_train_one_checkpoint(tmp_path: Path, base: Path) -> None:
    """As `accelerate launch` starts them; nothing is scored, and then it is."""
    path = written(tmp_path, base)
    out = tmp_path / "out"
    arguments = ["train", str(path), "--out", str(out), "--device", "cpu"]
    # What the launcher runs for several processes; on a CPU it would ask for MPI.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc_per_node", "2"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    for command in (
        [*launch, "-m", "probe.cli", *arguments],
        [sys.executable, "-m", "probe.cli", *arguments],
    ):
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if command[:3] == launch[:3]:
            assert not (out / "runs").exists(), "several processes do not score"
    assert (
        levels(out)["tones-treatment100-seed0"] > levels(out)["tones-treatment0-seed0"]
    )


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
