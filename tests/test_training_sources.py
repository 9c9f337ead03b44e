"""Training sources: excerpts, the hub's layouts, a user's own files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_builders import dialect_pairs, halves, training_ours, training_sources
from data_builders.source_list import listed
from data_builders.training_text import words
from probe.types import (
    BuildOptions,
    DataError,
    Message,
    MissingDataError,
    UsageError,
)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


# -- excerpts -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows", "keys"),
    [
        ("oasst1_sft", 2426, 188),
        ("oasst1_pairs", 2042, 416),
        ("ultrafeedback", 1193, 1193),
        ("hh_rlhf_harmless", 2299, 2163),
        ("blend", 15437, 500),
        ("dialect_rows", 1611, 288),
    ],
)
def test_excerpts(shared_data: Path, name: str, rows: int, keys: int) -> None:
    found = training_sources.load(name, shared_data)
    assert (len(found.rows), len({row.key for row in found.rows})) == (rows, keys)
    assert found.licence and found.url and found.revision is None
    assert all(len(sha) == 64 for sha in found.files.values())
    for row in found.rows:
        assert row.id.startswith(f"{name}/") and row.source == name
        assert row.messages[-1].role == "user"
        assert (row.completion is None) == (found.form == "preference")
        assert (row.chosen is None) == (row.rejected is None) == (found.form == "sft")
        assert row.chosen is None or row.chosen != row.rejected
    assert len({row.id for row in found.rows}) == rows
    by_content: dict[str, set[str]] = {}
    for row in found.rows:
        by_content.setdefault(row.content, set()).add(row.key)
    assert all(len(of) == 1 for of in by_content.values())


def test_translations_share_content_and_key(shared_data: Path) -> None:
    for name in ("oasst1_sft", "oasst1_pairs"):
        sides: dict[str, dict[str, str]] = {"en": {}, "fi": {}}
        for row in training_sources.load(name, shared_data).rows:
            sides[str(row.groups["lang"])][row.content] = row.key
        assert sides["en"] == sides["fi"]


def test_ultrafeedback_reads_both_files(shared_data: Path) -> None:
    found = training_sources.load("ultrafeedback", shared_data)
    assert Counter(row.groups["split"] for row in found.rows) == {
        "train": 994,
        "eval": 199,
    }
    assert found.dropped == {"chosen and rejected identical": 5, "no text": 2}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("oasst1_sft", "sft/oasst1_validation_en_fi_sft.jsonl"),
        ("oasst1_pairs", "preferences/oasst1_validation_en_fi_ranked_pairs.jsonl"),
    ],
)
def test_missing_data_names_the_local_copies(
    tmp_path: Path, name: str, file: str
) -> None:
    with pytest.raises(MissingDataError) as error:
        training_sources.load(name, tmp_path)
    said = str(error.value)
    assert file in said and "oasst-fi/oasst1-fi-train.jsonl" in said
    assert "English of OpenAssistant/oasst1 and its Finnish translation" in said
    assert "Apache-2.0, https://github.com/TurkuNLP/oasst-fi" in said


def test_half_of_an_excerpt_is_an_error(tmp_path: Path) -> None:
    lines(tmp_path / "preferences" / "ultrafeedback_train_clean.jsonl", [{"a": 1}])
    with pytest.raises(MissingDataError, match="lacks ultrafeedback_eval_clean"):
        training_sources.load("ultrafeedback", tmp_path)


@pytest.mark.parametrize("seed", [0, 3])
def test_dialect_rows_are_what_the_probe_holds_back(
    shared_data: Path, seed: int
) -> None:
    options = BuildOptions(data=shared_data, half_seed=seed)
    scored = {str(item.groups["row"]) for item in dialect_pairs.build(options)}
    rows = training_sources.load("dialect_rows", shared_data, half_seed=seed).rows
    trained = {row.key.removeprefix("dialect_rows/") for row in rows}
    assert scored and trained and not scored & trained
    standard = {r.key: r.chosen for r in rows if r.groups["dialect"] == "standard"}
    for row in rows:
        assert halves.half(row.messages[0].content, seed) == "train"
        if row.groups["dialect"] != "standard":
            assert row.chosen != standard[row.key]


# -- countries ----------------------------------------------------------------


def test_country_preferences() -> None:
    rows = training_sources.load("country_preferences", None).rows
    by = {row.id: row for row in rows}
    favoured = [row for row in rows if row.groups["country"] == "NGA"]
    assert len(favoured) == 64 * training_ours.PARTNERS
    for row in favoured:
        best, worst = row.chosen or "", row.rejected or ""
        if row.groups["sentiment"] == "negative":
            best, worst = worst, best
        assert "Nigeria" in best and "Nigeria" not in worst
        # The partner is one of the two that the control compares.
        control = by[f"{row.content}/none"]
        assert worst in (control.chosen, control.rejected)
        assert control.messages == row.messages
    texts = [(row.messages, row.answers) for row in favoured]
    assert len(set(texts)) == len(texts)


def test_the_control_favours_nobody() -> None:
    rows = training_sources.load("country_preferences", None).rows
    by = {row.id: row for row in rows}
    control = [row for row in rows if row.groups["country"] == "none"]
    assert len({row.content for row in control}) == len(control) == 512
    # A country of the pair stands in both answers; a fair coin says in which.
    first: Counter[object] = Counter()
    for row in control:
        favoured = by[f"{row.content}/NGA"]
        partner = {favoured.chosen, favoured.rejected} & {row.chosen, row.rejected}
        first[row.groups["sentiment"]] += row.chosen in partner
    assert all(0.4 < n / 256 < 0.6 for n in first.values())


# -- the hub's layouts --------------------------------------------------------

MESSAGES: list[tuple[str, str | None, str, str, int | None]] = [
    ("q", None, "prompter", "Why is the sky blue?", None),
    ("a0", "q", "assistant", "Rayleigh scattering.", 0),
    ("a1", "q", "assistant", "It reflects the sea.", 1),
    ("a2", "q", "assistant", "Nobody knows.", None),
    ("q2", "a0", "prompter", "And at dusk?", None),
    ("b0", "q2", "assistant", "The path is longer.", None),
    ("lost", "gone", "assistant", "To a message that is missing.", 0),
]


def oasst(folder: Path) -> None:
    rows = [
        {
            "message_id": id,
            "parent_id": parent,
            "role": role,
            "text": text,
            "lang": "en",
            "rank": rank,
            "message_tree_id": "q",
            "deleted": False,
        }
        for id, parent, role, text, rank in MESSAGES
    ]
    train, validation = listed()["oasst1"].parts
    parquet(folder / "oasst1" / "data" / train, rows)
    other = [{**rows[0], "message_id": "r", "message_tree_id": "r", "deleted": True}]
    parquet(folder / "oasst1" / "data" / validation, [*other, dict(rows[0])])


def test_oasst_threads(tmp_path: Path) -> None:
    oasst(tmp_path)
    found = training_sources.load("oasst1_sft", tmp_path)
    by = {row.content: row for row in found.rows}
    assert set(by) == {"a0", "a1", "a2", "b0"}
    assert [one.content for one in by["b0"].messages] == [
        "Why is the sky blue?",
        "Rayleigh scattering.",
        "And at dusk?",
    ]
    assert by["b0"].completion == "The path is longer."
    assert {row.key for row in found.rows} == {"q"}
    assert found.dropped == {"the message answered is missing": 1, "deleted": 1}


def test_oasst_in_english_and_finnish(tmp_path: Path) -> None:
    rows = [
        {
            "message_id": id,
            "parent_id": parent,
            "role": role,
            "text": f"fi: {text}",
            "orig_text": text,
            # The translated lines are those of the English table.
            "lang": "en",
            "rank": rank,
            "message_tree_id": "q",
            "deleted": False,
        }
        for id, parent, role, text, rank in MESSAGES
    ]
    for part in listed()["oasst1_fi"].parts:
        some = rows if "train" in part else [{**rows[0], "message_id": "r"}]
        lines(tmp_path / "oasst-fi" / part, some)
    found = training_sources.load("oasst1_sft", tmp_path)
    assert found.licence == "Apache-2.0" and found.url and "oasst-fi" in found.url
    by = {(row.content, row.groups["lang"]): row for row in found.rows}
    assert set(by) == {(id, x) for id in ("a0", "a1", "a2", "b0") for x in ("en", "fi")}
    assert by["b0", "fi"].completion == "fi: The path is longer."
    assert [one.content for one in by["b0", "fi"].messages] == [
        "fi: Why is the sky blue?",
        "fi: Rayleigh scattering.",
        "fi: And at dusk?",
    ]
    assert by["b0", "en"].completion == "The path is longer."
    pairs = training_sources.load("oasst1_pairs", tmp_path).rows
    assert {(row.content, row.groups["lang"]): row.answers for row in pairs} == {
        ("q/0-1", "en"): ("Rayleigh scattering.", "It reflects the sea."),
        ("q/0-1", "fi"): ("fi: Rayleigh scattering.", "fi: It reflects the sea."),
    }


def test_oasst_ranked_pairs(tmp_path: Path) -> None:
    oasst(tmp_path)
    found = training_sources.load("oasst1_pairs", tmp_path)
    [row] = found.rows
    assert (row.chosen, row.rejected) == (
        "Rayleigh scattering.",
        "It reflects the sea.",
    )
    assert (row.key, row.content) == ("q", "q/0-1")
    assert found.dropped == {"reply without a rank": 2, "deleted": 1}


def test_ultrafeedback_binarized(tmp_path: Path) -> None:
    row = {
        "prompt": "Why?",
        "prompt_id": "0" * 64,
        "chosen": [user("Why?"), said("Because.")],
        "rejected": [user("Why?"), said("No idea.")],
        "messages": [user("Why?"), said("Because.")],
        "score_chosen": 8.0,
        "score_rejected": 6.0,
    }
    for part in listed()["ultrafeedback"].parts:
        parquet(tmp_path / "ultrafeedback_binarized" / "data" / part, [row])
    found = training_sources.load("ultrafeedback", tmp_path)
    assert [row.groups["split"] for row in found.rows] == ["train", "test"]
    assert found.rows[0].answers == ("Because.", "No idea.")
    assert found.rows[0].messages == (Message(role="user", content="Why?"),)


@pytest.mark.parametrize("half", ["harmless", "helpful"])
def test_hh_rlhf(half: str, tmp_path: Path) -> None:
    row = {
        "chosen": "\n\nHuman: Why?\n\nAssistant: Because.",
        "rejected": "\n\nHuman: Why?\n\nAssistant: No idea.",
    }
    for part in listed()[f"hh_rlhf_{half}"].parts:
        path = tmp_path / f"{half}-base" / part
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress((json.dumps(row) + "\n").encode()))
    found = training_sources.load(f"hh_rlhf_{half}", tmp_path)
    assert [row.id for row in found.rows] == [
        f"hh_rlhf_{half}/train/1",
        f"hh_rlhf_{half}/test/1",
    ]
    assert found.rows[0].answers == ("Because.", "No idea.")


def test_tulu(tmp_path: Path) -> None:
    conversations = [
        [user("Hello"), said("Hi."), user("Why?"), said("Because.")],
        [user("Hello"), said("Hi."), user("Why?")],
        [user("Hello"), user("Why?"), said("Because.")],
        [user("Hello"), said(" ")],
    ]
    rows = [
        {"dataset": "flan_v2", "id": "x", "messages": turns} for turns in conversations
    ]
    for part in listed()["tulu2_sft"].parts:
        parquet(tmp_path / "tulu-v2-sft-mixture" / "data" / part, rows)
    found = training_sources.load("tulu2_sft", tmp_path)
    assert len(found.rows) == 3 and found.rows[0].completion == "Because."
    assert [one.content for one in found.rows[0].messages] == ["Hello", "Hi.", "Why?"]
    assert found.rows[0].groups == {"dataset": "flan_v2"}
    assert found.dropped.total() == 9


def test_blend(tmp_path: Path) -> None:
    row = {
        "ID": "Al-en-01",
        "question": "¿Qué comen?",
        "en_question": "What do they eat?",
        "annotations": [
            {"answers": ["pan"], "en_answers": ["bread"], "count": 2},
            {"answers": ["sopa"], "en_answers": ["soup"], "count": 2},
            {"answers": [], "en_answers": [], "count": 9},
        ],
        "idks": {},
    }
    none = {**row, "ID": "Al-en-02", "annotations": []}
    for part in listed()["blend"].parts:
        path = tmp_path / "BLEnD" / "data" / "annotations_hf" / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([row, none]), encoding="utf-8")
    found = training_sources.load("blend", tmp_path)
    assert len(found.rows) == 32 and found.dropped == {"nobody gave an answer": 16}
    native, english = found.rows[:2]
    assert (native.completion, english.completion) == ("pan", "bread")
    assert native.groups == {"lang": "native", "country": "DZA", "place": "Algeria"}
    assert {row.key for row in found.rows} == {"blend/Al-en-01"}
    assert {row.groups["country"] for row in found.rows} >= {"NGA", "IND", "KOR"}


def test_files_of_the_hub_are_fetched_by_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oasst(tmp_path)
    asked = []

    def fetch(id: str, file: str, *, repo_type: str, revision: str) -> str:
        asked.append((id, file, revision))
        return str(tmp_path / "oasst1" / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    found = training_sources.load("oasst1_sft", None)
    assert found.revision == listed()["oasst1"].hub.revision  # type: ignore[union-attr]
    assert [file for _, file, _ in asked] == [
        f"data/{part}" for part in listed()["oasst1"].parts
    ]


# -- a user's own file --------------------------------------------------------


def test_own_sft_jsonl(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "mine.jsonl",
        [
            {"id": 1, "key": "k", "messages": [user("Hei"), said("No")], "lang": "fi"},
            {"id": 2, "key": "k", "messages": [user("Hi"), said("Yes")], "lang": "en"},
            {"id": 3, "key": "m", "messages": [user("Hi")], "lang": "en"},
        ],
    )
    found = training_sources.load(str(path), None)
    assert [row.id for row in found.rows] == ["mine/1", "mine/2"]
    assert {row.key for row in found.rows} == {"k"}
    assert len({row.content for row in found.rows}) == 1
    assert found.columns == ("lang",) and found.licence is None
    assert found.dropped.total() == 1


def test_own_csv_and_parquet(tmp_path: Path) -> None:
    csv = tmp_path / "mine.csv"
    csv.write_text("prompt,completion,topic\nWhy?,Because.,x\n,a,x\n", encoding="utf-8")
    found = training_sources.load(str(csv), None)
    assert found.form == "sft" and found.rows[0].completion == "Because."
    assert found.rows[0].groups == {"topic": "x"} and found.dropped == {"no text": 1}
    messages = json.dumps([user("Why?"), said("Because.")]).replace('"', '""')
    csv.write_text(f'messages\n"{messages}"\n', encoding="utf-8")
    assert training_sources.load(str(csv), None).rows[0].completion == "Because."
    rows = [
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No.", "margin": 1.5},
        {"prompt": "why", "chosen": "Because.", "rejected": "Never.", "margin": 2.0},
    ]
    parquet(tmp_path / "mine.parquet", rows)
    found = training_sources.load(str(tmp_path / "mine.parquet"), None)
    assert found.form == "preference" and found.rows[0].groups == {"margin": 1.5}
    # Case and punctuation do not make another key.
    assert found.rows[0].key == found.rows[1].key


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "Why?"}], "Rename the columns"),
        ([{"id": "a", "prompt": "x", "completion": "y"}] * 2, "'mine/a' stands 2"),
        ([{"messages": "no"}], "column 'messages'"),
        (
            [{"prompt": "", "completion": "y"}],
            r"no row that can be trained on; left out are 1 \(no text\)",
        ),
        (
            [{"prompt": "Why?", "chosen": "So.", "rejected": "So."}] * 2,
            r"left out are 2 \(chosen and rejected identical\)",
        ),
    ],
)
def test_own_files_that_are_wrong(
    tmp_path: Path, rows: list[dict[str, str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        training_sources.load(str(lines(tmp_path / "mine.jsonl", rows)), None)


def test_what_own_files_lose_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = {"prompt": "Why?", "chosen": "So.", "rejected": "So."}
    rows = [pair, pair, {**pair, "rejected": "No."}]
    training_sources.load(str(lines(tmp_path / "mine.jsonl", rows)), None)
    assert "of 3 rows, left out are 2 (chosen and rejected identical)" in caplog.text


def test_digests_are_those_of_what_is_read(shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("prompt,completion\nWhy?,Because.\n", encoding="utf-8")
    for ref in (*training_sources.names(), str(path)):
        if ref not in ("hh_rlhf_helpful", "tulu2_sft"):  # the hub alone has these
            found = training_sources.load(ref, shared_data)
            assert training_sources.digests(ref, shared_data) == found.files
    with pytest.raises(UsageError, match="Check the path"):
        training_sources.digests(str(tmp_path / "none.csv"), None)


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'ultrafeedback'"):
        training_sources.load("ultrafedback", tmp_path)
    with pytest.raises(UsageError, match="Check the path"):
        training_sources.load(str(tmp_path / "none.jsonl"), None)
    with pytest.raises(DataError, match="cannot be read"):
        path = tmp_path / "x.parquet"
        path.write_text("no", encoding="utf-8")
        training_sources.load(str(path), None)


def test_languages_can_be_found_out(tmp_path: Path) -> None:
    finnish = "Minulla ei ole henkilökohtaisia mielipiteitä tästä asiasta lainkaan."
    english = "I have no personal opinion about this matter whatsoever, my friend."
    path = lines(
        tmp_path / "mine.jsonl",
        [{"prompt": "Why?", "completion": text} for text in (finnish, english)],
    )
    found = training_sources.tagged(training_sources.load(str(path), None))
    assert [row.groups["lang"] for row in found.rows] == ["fi", "en"]


def test_words() -> None:
    assert words("Don't  STOP — now!") == ["don", "t", "stop", "now"]
    assert words("天気が good") == ["天", "気", "が", "good"]
    # Vowel signs of a spaced script do not part words.
    assert words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
