"""Languages of a training set: two detectors, and what they differ on."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from data_builders import langid, training_rows
from data_builders.langid import Tag
from data_builders.training_rows import TrainingSet
from probe import langid as report
from probe.cli import app
from probe.types import DataError, MissingDataError, UsageError

ENGLISH = "Could you tell me how the weather will be in the mountains tomorrow?"
FINNISH = "Voisitko kertoa, millainen sää vuoristossa on huomenna iltapäivällä?"
GERMAN = "Könntest du mir sagen, wie das Wetter morgen in den Bergen sein wird?"

SYSTEM, USER, ASSISTANT = (
    {"role": role, "content": content}
    for role, content in (("system", "s"), ("user", "a"), ("assistant", "b"))
)


def written(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def read(path: Path, **columns: str) -> TrainingSet:
    return training_rows.read(str(path), split="train", columns=columns)


def parts(path: Path) -> dict[tuple[str, str, str], tuple[int, int, float | None]]:
    """Count, n and share by what is counted, measure and name."""
    with path.open(encoding="utf-8") as file:
        return {
            (one["of"], one["measure"], one["name"]): (
                int(one["count"]),
                int(one["n"]),
                float(one["share"]) if one["share"] else None,
            )
            for one in csv.DictReader(file)
        }


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["langid", *map(str, arguments)])


def test_what_both_detectors_say_counts() -> None:
    tags = langid.tag([ENGLISH, FINNISH, GERMAN, "1234 + 5 = ?", "```\n```"])
    assert [one.agreed for one in tags] == ["en", "fi", "de", None, None]
    assert [one.said for one in tags] == [True, True, True, False, False]


def test_the_same_language_has_one_code() -> None:
    norwegian = (
        "Hvorfor kan dere ikke komme på besøk til oss i morgen? Jeg synes det hadde "
        "vært veldig hyggelig å se dere igjen etter så lang tid."
    )
    [one] = langid.tag([norwegian])
    assert one.agreed == "no"
    assert langid.language_name("no") == "Norwegian"


def test_shares_are_of_what_is_agreed_on_and_bounded_by_the_rest() -> None:
    tags = [
        *[Tag(lingua="en", fasttext="en")] * 6,
        *[Tag(lingua="fi", fasttext="fi")] * 2,
        Tag(lingua="en", fasttext="fi"),
        Tag(lingua=None, fasttext="en"),
        Tag(lingua=None, fasttext=None),
    ]
    found = langid.shares(tags, range(11))
    assert found.counts == {"en": 6, "fi": 2}
    assert found.characters == {"en": 0 + 1 + 2 + 3 + 4 + 5, "fi": 6 + 7}
    assert (found.n_texts, found.n_differ, found.n_silent) == (11, 2, 1)
    assert found.other == pytest.approx(2 / 8)
    assert found.bounds == pytest.approx((2 / 10, 4 / 10))
    nothing = langid.shares([], [])
    assert (nothing.other, nothing.bounds) == (None, None)


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        (
            {"messages": [{"role": "user", "content": "a"}]},
            [("user", "a")],
        ),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "score": 1},
            [("user", "a"), ("chosen", "b"), ("rejected", "c")],
        ),
        (
            {
                "chosen": "\n\nHuman: a\n\nAssistant: b",
                "rejected": "\n\nHuman: a\n\nAssistant: c",
            },
            # The prompt that both share counts once.
            [("user", "a"), ("chosen", "b"), ("rejected", "c")],
        ),
        ({"prompt": "a", "completion": "b"}, [("user", "a"), ("assistant", "b")]),
        # As a mix is written.
        (
            {"prompt": [SYSTEM, USER], "completion": [ASSISTANT]},
            [("system", "s"), ("user", "a"), ("assistant", "b")],
        ),
        (
            {
                "prompt": [SYSTEM, USER],
                "chosen": [ASSISTANT],
                "rejected": [{"role": "assistant", "content": "c"}],
            },
            [("system", "s"), ("user", "a"), ("chosen", "b"), ("rejected", "c")],
        ),
        # Answers without rejected ones.
        ({"prompt": "a", "chosen": [ASSISTANT]}, [("assistant", "b"), ("user", "a")]),
        ({"text": "a", "id": 1}, [("text", "a")]),
    ],
)
def test_forms_of_rows(
    tmp_path: Path, row: dict[str, object], turns: list[tuple[str, str]]
) -> None:
    found = read(written(tmp_path / "a.jsonl", [row]))
    assert [(one.role, one.text) for one in found.turns] == turns
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").turns == found.turns


def test_a_conversation_in_a_csv_is_its_json(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["messages"], [json.dumps([USER, ASSISTANT])]])
    found = read(path)
    assert [(one.role, one.text) for one in found.turns] == [
        ("user", "a"),
        ("assistant", "b"),
    ]


@pytest.mark.parametrize(
    "cell", [[{"role": "tool", "content": "a"}], {"role": "user", "content": "a"}, 5]
)
@pytest.mark.parametrize("column", ["messages", "prompt", "text"])
def test_what_is_no_conversation_is_counted(
    tmp_path: Path, column: str, cell: object
) -> None:
    rows: list[dict[str, object]] = [{column: cell}, {column: [USER]}]
    found = read(written(tmp_path / "a.jsonl", rows))
    assert [one.text for one in found.turns] == ["a"]
    assert found.dropped == {training_rows.NO_FORM: 1}


def test_rows_without_text_are_counted(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": " "}, {"text": None}]
    found = read(written(tmp_path / "a.jsonl", rows))
    assert (found.n_rows, len(found.turns)) == (3, 1)
    assert found.dropped == {"no text": 2}


def test_a_column_of_another_name(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"body": ENGLISH}])
    with pytest.raises(DataError, match=r"has the columns body.*--columns text=body"):
        read(path)
    assert read(path, text="body").turns[0].text == ENGLISH


def test_what_is_neither_a_file_nor_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a file nor a data set of the hub"):
        read(tmp_path / "not there.jsonl")
    with pytest.raises(MissingDataError, match="allenai/nowhere cannot be had"):
        training_rows.read("allenai/nowhere", split="train", columns={})


def test_a_planted_share_is_found(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{ENGLISH} {place}"},
                {
                    "role": "assistant",
                    "content": f"{FINNISH if place < 5 else ENGLISH} {place}",
                },
            ]
        }
        for place in range(20)
    ]
    path = written(tmp_path / "mix.jsonl", rows)
    result = run(path, "--out", tmp_path / "out")
    assert result.exception is None, result.exception
    lines = result.stdout.splitlines()
    assert lines[0] == "mix.jsonl: 20 rows, 40 texts"
    # Of 40 texts and of 20 answers five are Finnish.
    finnish = next(line.split() for line in lines if line.startswith("fi"))
    assert (finnish[2], finnish[3], finnish[5]) == ("5", "12.50%", "25.00%")
    assert "not English: 12.50%; were all texts English" in result.stdout
    saved = parts(tmp_path / "out" / "mix.languages.csv")
    assert saved["texts", "language", "Finnish"] == (5, 40, 5 / 40)
    assert saved["answers", "language", "Finnish"] == (5, 20, 5 / 20)
    assert saved["answers", "language", "English"] == (15, 20, 15 / 20)
    n_characters = {
        lang: sum(
            len(turn["content"])
            for row in rows
            for turn in row["messages"]
            if turn["content"].startswith(text)
        )
        for lang, text in (("English", ENGLISH), ("Finnish", FINNISH))
    }
    total = sum(n_characters.values())
    for lang, number in n_characters.items():
        found = saved["characters", "language", lang]
        assert found == (number, total, number / total)
    with (tmp_path / "out" / "mix.tags.csv").open(encoding="utf-8") as file:
        tags = list(csv.DictReader(file))
    assert [one["row"] for one in tags if one["agreed"] == "fi"] == list("01234")
    assert {one["role"] for one in tags if one["agreed"] == "fi"} == {"assistant"}


def test_what_is_printed_is_saved_as_exact_numbers(tmp_path: Path) -> None:
    """Two of six texts told differ, one has no letters, one row no text."""
    answers = {ENGLISH: ("en", "en"), "odd": ("en", "fi"), "half": (None, "de")}
    prompts = {GERMAN: ("de", "de"), FINNISH: ("fi", "fi"), "1": (None, None)}
    said = {**answers, **prompts, "more": ("en", "en")}
    rows = [
        {"prompt": one, "completion": other}
        for one, other in zip([*prompts, "more"], [*answers, ""], strict=True)
    ]
    path = written(tmp_path / "a.jsonl", [*rows, {"prompt": "", "completion": None}])
    found = read(path)
    tags = [
        Tag(lingua=one, fasttext=other)
        for one, other in (said[turn.text] for turn in found.turns)
    ]
    tagged = report.tagged(found, tags)
    saved = parts(report.write(tagged, tmp_path)[0])
    assert saved["texts", "language", "English"] == (2, 4, 2 / 4)
    assert saved["texts", "differ", ""] == (2, 6, 2 / 6)
    assert saved["texts", "no_letters", ""] == (1, 7, 1 / 7)
    assert saved["texts", "not_english", ""] == (2, 4, 2 / 4)
    assert saved["texts", "not_english_low", ""] == (2, 6, 2 / 6)
    assert saved["texts", "not_english_high", ""] == (4, 6, 4 / 6)
    assert saved["answers", "language", "German"] == (0, 1, 0)
    assert saved["answers", "differ", ""] == (2, 3, 2 / 3)
    assert saved["answers", "no_letters", ""] == (0, 3, 0)
    assert saved["rows", "left_out", "no text"] == (1, 5, 1 / 5)
    notes = "\n".join(report.notes(tagged))
    assert "they differ on 2 (33.33%)" in notes
    assert "1 rows left out: no text" in notes


def test_a_share_of_nothing_is_empty(tmp_path: Path) -> None:
    found = read(written(tmp_path / "a.jsonl", [{"text": "1"}]))
    tags = [Tag(lingua=None, fasttext=None)]
    saved = parts(report.write(report.tagged(found, tags), tmp_path)[0])
    assert saved["texts", "no_letters", ""] == (1, 1, 1)
    assert saved["texts", "differ", ""] == (0, 0, None)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"text": ENGLISH}])
    result = run(path, "--out", path)
    assert "is no folder" in str(result.exception)


def test_real_answers_are_of_the_language_they_are_labelled(shared_data: Path) -> None:
    """Answers in English and their Finnish translations, 300 of each."""
    path = shared_data / "sft" / "oasst1_validation_en_fi_sft.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    texts = {
        lang: [row["messages"][-1]["content"] for row in rows if row["lang"] == lang]
        for lang in ("en", "fi")
    }
    for lang, answers in texts.items():
        found = Counter(one.agreed for one in langid.tag(answers[:300]))
        assert found[lang] / 300 > 0.9
        # What both name is hardly ever another language.
        agreed = found.total() - found[None]
        assert found[lang] / agreed > 0.97
