from __future__ import annotations

import logging
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import (
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from data_builders import sources
from probe.types import DataError

FILE = "AskRedditCountries_final.csv"


def test_shared_layout_and_its_published_bytes(shared_data: Path) -> None:
    found = sources.locate("askreddit", shared_data)
    assert found.path.is_file() and found.path.is_relative_to(shared_data)
    assert found.as_published is True
    assert found.source.sha256 == found.sha256
    assert sources.path("askreddit", shared_data) == found.path


@pytest.mark.parametrize("file", sources.source("askreddit").files)
def test_every_layout_is_found(tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Questions\n", encoding="utf-8")
    assert sources.path("askreddit", tmp_path) == path


def test_the_folder_itself_wins(tmp_path: Path) -> None:
    deep = tmp_path / "data" / "askreddit_countries" / FILE
    deep.parent.mkdir(parents=True)
    deep.write_text("deep", encoding="utf-8")
    near = tmp_path / FILE
    near.write_text("near", encoding="utf-8")
    assert sources.path("askreddit", tmp_path) == near


def test_a_changed_file_is_used_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"abc")
    with caplog.at_level(logging.WARNING):
        found = sources.locate("askreddit", tmp_path)
    assert found.as_published is False
    # The published test vector of sha256 (FIPS 180-2, "abc").
    assert found.sha256 == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert found.sha256 in caplog.text and "differs" in caplog.text


def test_a_folder_without_the_file_names_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> str:
        raise AssertionError("a given folder must not be made up for by the hub")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", never)
    with pytest.raises(DataError) as caught:
        sources.path("askreddit", tmp_path)
    assert str(tmp_path) in caught.value.found
    for file in sources.source("askreddit").files:
        assert file in caught.value.found


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder"):
        sources.path("askreddit", tmp_path / "nowhere")


def test_the_hub_is_asked_for_the_pinned_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def download(repo: str, file: str, **kwargs: object) -> str:
        asked.extend([repo, file, kwargs])
        (tmp_path / file).write_text("x", encoding="utf-8")
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert sources.path("askreddit", None) == tmp_path / FILE
    assert asked == [
        "SALT-NLP/AskRedditCountries",
        FILE,
        {
            "repo_type": "dataset",
            "revision": "26912f075bad70531bb94587b593235f8640857a",
        },
    ]


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("no connection, no cache"),
        OfflineModeIsEnabled("offline mode"),
        HTTPError("proxy refused"),
    ],
    ids=["unreachable", "offline", "http"],
)
def test_an_unreachable_hub_says_to_use_data(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def download(*args: object, **kwargs: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(DataError) as caught:
        sources.path("askreddit", None)
    assert str(error) in caught.value.found
    assert "SALT-NLP/AskRedditCountries" in caught.value.found
    assert "--data" in caught.value.action and FILE in caught.value.action


def test_offline_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="could not be fetched"):
        sources.path("askreddit", None)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(DataError, match="Did you mean 'askreddit'"):
        sources.path("askredit", None)


def test_sources_are_pinned() -> None:
    for name, source in sources.SOURCES.items():
        assert name == source.name
        assert source.sha256 is None or len(source.sha256) == 64
        assert source.licence and source.url.startswith("https://")
        if source.hub is None:
            assert source.parts
        else:
            assert len(source.hub.revision) == 40
            assert source.files[0] == Path(source.hub.file).name
