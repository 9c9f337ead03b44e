"""The main jobs with a real model, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from probe.store import find_runs, read_items, read_manifest, read_scores
from probe.types import GENERATED
from tests.tiny_checkpoints import CHAT_TEMPLATE, byte_tokenizer, llama_classifier

MODEL = "smollm2_135m_instruct"
ROOT = Path(__file__).parents[1]
CLI = [sys.executable, "-m", "probe.cli"]
KEYS = ["item_id", "candidate_id", "measure"]

pytestmark = pytest.mark.slow


def run(command: Sequence[str | Path], cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def scores_of(root: Path) -> dict[str, pd.DataFrame]:
    """Run folder relative to the root -> its scores, by key."""
    return {
        str(path.relative_to(root)): read_scores(path)
        .to_pandas()
        .set_index(KEYS)
        .sort_index()
        for path in find_runs(root)
    }


def test_audit_killed_and_resumed_equals_uninterrupted(
    shared_data: Path, tmp_path: Path
) -> None:
    audit = [*CLI, "audit", MODEL, "--data", str(shared_data), "--limit", "6"]
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    whole.mkdir()
    halved.mkdir()
    out = run(audit, whole)
    assert "report" in out

    process = subprocess.Popen(
        audit, cwd=halved, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600
    parts: list[Path] = []
    while not parts and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        parts = list(halved.glob("runs/askreddit@1/*/parts/part-*.parquet"))
    assert process.poll() is None, "the audit ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    # A part is written every 15 seconds: fast machines are in a later group or probe.
    stored = sum(map(len, scores_of(halved / "runs").values()))
    expected = scores_of(whole / "runs")
    assert 0 < stored < sum(map(len, expected.values()))

    run(audit, halved)
    resumed = scores_of(halved / "runs")
    assert set(expected) == set(resumed)
    assert {name.split("@")[0] for name in expected} == {
        "askreddit",
        "belebele",
        "country_questions",
        "dialect_features",
        "dialect_pairs",
        "global_opinions",
        "md3",
        "preferences",
        "tydiqa",
        "where_from",
    }
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(frame, resumed[name], check_exact=True)
        assert frame.index.is_unique
        items = read_items(whole / "runs" / name).to_pandas()
        generated = items["candidate_id"] == GENERATED
        assert generated.any() == name.startswith(("md3@", "tydiqa@"))
        assert len(frame) == 2 * (~generated).sum() + generated.sum()
        texts = frame.index.get_level_values("measure") == "text"
        assert frame.loc[~texts, "score"].notna().all()
        assert frame.loc[texts, "text"].notna().all()
    for root in (whole, halved):
        page = (root / "reports" / MODEL / "index.html").read_text(encoding="utf-8")
        assert "askreddit" in page
        summary = json.loads((root / "reports" / MODEL / "summary.json").read_text())
        assert {
            "mean_rank",
            "spearman_order",
            "js_similarity",
            "effective_countries",
            "guess_accuracy",
            "cohens_d_z",
            "accuracy_drop",
        } <= {r["metric"] for r in summary}

    # A larger limit extends the same folder and scores nothing again.
    score = [*CLI, "score", "where_from", MODEL, "--limit", "6"]
    where = next(whole.glob("runs/where_from@1/*"))
    stamps = {p: p.stat().st_mtime_ns for p in where.glob("parts/*.parquet")}
    run(score, whole)
    assert stamps == {p: p.stat().st_mtime_ns for p in where.glob("parts/*.parquet")}


def test_audit_of_a_reward_model_has_every_axis(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = llama_classifier(
        tmp_path / "tiny_rm", byte_tokenizer(chat_template=CHAT_TEMPLATE)
    )
    audit = [*CLI, "audit", folder, "--data", shared_data, "--limit", "40"]
    run([*audit, "--personas", "IND", "--out", "report"], tmp_path)
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    by_probe = {record["probe"] for record in summary}
    assert {"askreddit@1", "global_opinions@1", "md3@1"} <= by_probe
    assert {"dialect_pairs@1+probe-half-0", "preferences@1+probe-half-0"} <= by_probe
    metrics = {record["metric"] for record in summary}
    assert {"js_similarity", "js_similarity_own_shift"} <= metrics
    [path] = find_runs(tmp_path / "runs" / "global_opinions@1")
    manifest = read_manifest(path)
    assert manifest.limit == 40 and manifest.measures == ("reward",)
    items = read_items(path).to_pandas()
    assert set(items["protocol"]) == {"answers"}
    assert items["question_id"].nunique() == 40
    assert set(items["persona"].dropna()) == {"IND"}


def test_larger_limit_extends_the_run(tmp_path: Path) -> None:
    score = [*CLI, "score", "country_questions", MODEL, "--countries", "USA,IND,NGA"]
    run([*score, "--limit", "4"], tmp_path)
    [path] = find_runs(tmp_path / "runs")
    first = read_scores(path).to_pandas().set_index(KEYS)
    assert len(first) == 4 * 3 * 2
    run([*score, "--limit", "9"], tmp_path)
    assert find_runs(tmp_path / "runs") == [path]
    second = read_scores(path).to_pandas().set_index(KEYS)
    assert len(second) == 9 * 3 * 2
    pd.testing.assert_frame_equal(first, second.loc[first.index], check_exact=True)
    assert read_manifest(path).limit == 9
    assert read_manifest(path).counts.expected == 27


def test_ctrl_c_says_how_to_resume(tmp_path: Path) -> None:
    score = [*CLI, "score", "country_questions", MODEL]
    process = subprocess.Popen(
        score,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 300
    manifests: list[Path] = []
    while time.monotonic() < deadline:
        time.sleep(0.2)
        manifests = list(tmp_path.glob("runs/*/*/manifest.json"))
        # The engine is written when the model is loaded, just before it scores.
        if manifests and '"engine": "tree' in manifests[0].read_text():
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Run the same command again to continue" in errors
    assert "Traceback" not in errors
    assert read_manifest(manifests[0].parent).status == "interrupted"


def test_trl_checkpoint_folder_without_yaml(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from datasets import Dataset
from trl import RewardConfig, RewardTrainer
from tests.tiny_checkpoints import CHAT_TEMPLATE, byte_tokenizer, llama_classifier
tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
base = llama_classifier(Path("base"), tokenizer)
rows = [
    {
        "chosen": [{"role": "user", "content": f"What is {i}?"},
                   {"role": "assistant", "content": "A number."}],
        "rejected": [{"role": "user", "content": f"What is {i}?"},
                     {"role": "assistant", "content": "No."}],
    }
    for i in range(8)
]
config = RewardConfig(
    output_dir="trained", max_steps=2, per_device_train_batch_size=2,
    report_to="none", use_cpu=True, save_strategy="no", max_length=64,
)
data = Dataset.from_list(rows)
trainer = RewardTrainer(model=str(base), args=config, train_dataset=data)
trainer.train()
trainer.save_model("trained")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    out = run([*CLI, "audit", "./trained", "--limit", "3", "--out", "report"], tmp_path)
    assert "as trained" in out or "trained@" in out
    runs = find_runs(tmp_path / "runs")
    assert {read_manifest(path).probe for path in runs} == {
        "country_questions",
        "dialect_features",
        "where_from",
    }
    for path in runs:
        manifest = read_manifest(path)
        assert manifest.model_kind == "sequence_classifier"
        assert manifest.measures == ("reward",)
        assert read_scores(path).to_pandas()["score"].notna().all()
    assert (tmp_path / "report" / "index.html").is_file()


def test_wheel_in_another_folder(tmp_path: Path) -> None:
    """Configs, questions, facts and map travel with the wheel."""
    run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT],
        tmp_path,
    )
    [wheel] = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], tmp_path)
    # The dependencies come from this environment; the package must not: a path in a
    # .pth file is searched last, and an editable install in it is not followed.
    here = sysconfig.get_path("purelib")
    there = run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        tmp_path,
    ).strip()
    (Path(there) / "dependencies.pth").write_text(f"{here}\n")
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    located = run([python, "-c", "import probe; print(probe.__file__)"], empty)
    assert located.startswith(str(tmp_path))
    script = tmp_path / "venv" / "bin" / "rm-probe"
    assert "starling_7b_card" in run([script, "ls", "models"], empty)
    out = run([script, "demo"], empty)
    assert "11,584 of 11,584 scored" in out
    report = empty / "reports" / "demo"
    summary = json.loads((report / "summary.json").read_text(encoding="utf-8"))
    assert {record["model"] for record in summary} == {"smollm2_135m_rm"}
    assert (report / "index.html").stat().st_size > 100_000
