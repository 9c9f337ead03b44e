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
from probe.types import DataError, MissingDataError, NothingAskedError

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
    for name, source in sources.listed().items():
        assert name == source.name
        assert source.sha256 is None or len(source.sha256) == 64
        assert source.licence and source.url.startswith("https://")
        if source.hub is None:
            assert source.parts
            continue
        assert len(source.hub.revision) == 40
        local = source.files or source.by_language
        assert Path(local[0]).name == Path(source.hub.file).name


# -- a file for each language -------------------------------------------------

BELEBELE = "belebele/{}.jsonl"


def held(folder: Path, *codes: str, layout: str = BELEBELE) -> Path:
    for code in codes:
        path = folder / layout.format(code)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    return folder


def found(folder: Path | None, languages: list[str] | None = None) -> list[str | None]:
    located = sources.locate_all("belebele", folder, languages)
    return [one.language for one in located]


@pytest.mark.parametrize("layout", [BELEBELE, "{}.jsonl", "data/{}.jsonl"])
def test_a_folder_may_hold_any_of_the_languages(tmp_path: Path, layout: str) -> None:
    held(tmp_path, "fin_Latn", "eng_Latn", layout=layout)
    assert found(tmp_path) == ["eng_Latn", "fin_Latn"]
    assert found(tmp_path, ["fin_Latn"]) == ["fin_Latn"]
    assert found(tmp_path, ["fin_Latn", "eng_Latn"]) == ["eng_Latn", "fin_Latn"]
    (one,) = sources.locate_all("belebele", tmp_path, ["fin_Latn"])
    assert one.path == tmp_path / layout.format("fin_Latn")


def test_digests_are_of_the_files_read(tmp_path: Path) -> None:
    held(tmp_path, "eng_Latn", "fin_Latn")
    both = sources.digests(["belebele"], tmp_path)
    assert list(both) == ["belebele/eng_Latn.jsonl", "belebele/fin_Latn.jsonl"]
    # One language's file is never called as if it were all of the source.
    one = sources.digests(["belebele"], tmp_path, ["fin_Latn"])
    assert one == {"belebele/fin_Latn.jsonl": both["belebele/fin_Latn.jsonl"]}


def test_languages_do_not_matter_to_undivided_sources(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("Questions\n", encoding="utf-8")
    assert list(sources.digests(["askreddit"], tmp_path, ["fin_Latn"])) == ["askreddit"]


def test_a_language_the_folder_lacks(tmp_path: Path) -> None:
    held(tmp_path, "eng_Latn")
    with pytest.raises(MissingDataError) as caught:
        found(tmp_path, ["eng_Latn", "fin_Latn", "fra_Latn"])
    assert "in Finnish (fin_Latn), French (fra_Latn)" in caught.value.found
    assert "looked for belebele/fin_Latn.jsonl, fin_Latn.jsonl" in caught.value.found
    assert "English (eng_Latn)" in caught.value.expected
    assert "data/fin_Latn.jsonl, data/fra_Latn.jsonl" in caught.value.action


def test_a_folder_without_any_language(tmp_path: Path) -> None:
    for languages in (None, ["fin_Latn"]):
        with pytest.raises(MissingDataError) as caught:
            found(tmp_path, languages)
        assert "looked for belebele/*.jsonl, *.jsonl" in caught.value.found
        assert "leave --data out" in caught.value.action


def test_a_language_that_is_not_published() -> None:
    with pytest.raises(NothingAskedError, match=r"French \(fra_Latn\), which tydiqa"):
        sources.locate_all("tydiqa", None, ["fra_Latn"])


def test_the_hub_is_asked_for_these_languages_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def download(repo: str, file: str, **kwargs: object) -> str:
        asked.append(f"{repo}/{file}")
        return str(held(tmp_path, Path(file).stem) / BELEBELE.format(Path(file).stem))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert found(None, ["fin_Latn", "eng_Latn"]) == ["eng_Latn", "fin_Latn"]
    assert asked == [
        "facebook/belebele/data/eng_Latn.jsonl",
        "facebook/belebele/data/fin_Latn.jsonl",
    ]
    assert len(found(None)) == 122


def test_the_hubs_undivided_file_serves_every_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def download(repo: str, file: str, **kwargs: object) -> str:
        asked.append(file)
        return str(held(tmp_path, "any") / BELEBELE.format("any"))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    (one,) = sources.locate_all("tydiqa", None, ["kor_Hang", "eng_Latn"])
    assert one.language is None
    assert asked == ["secondary_task/validation-00000-of-00001.parquet"]
    assert list(sources.digests(["tydiqa", "tydiqa_train"], None, ["kor_Hang"])) == [
        "tydiqa",
        "tydiqa_train",
    ]


def test_a_folder_may_do_without_an_optional_source(tmp_path: Path) -> None:
    assert sources.locate_all("tydiqa_train", tmp_path) == ()
    assert sources.digests(["tydiqa_train"], tmp_path) == {}
    with pytest.raises(DataError, match="is not a folder"):
        sources.locate_all("tydiqa_train", tmp_path / "nowhere")
