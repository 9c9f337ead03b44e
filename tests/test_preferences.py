"""Preference pairs: RewardBench, users' files, and the forms of conversations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_builders import preferences, probes
from data_builders.conversations import (
    IDENTICAL,
    NO_ANSWER,
    NO_TEXT,
    OTHER_PROMPT,
    PART_EARLY,
    TWICE_IN_A_ROW,
    Pair,
    read_pair,
)
from probe.types import BuildOptions, DataError, Item, Message, Probe

USER = {"role": "user", "content": "Why?"}
YES = {"role": "assistant", "content": "Because."}
NO = {"role": "assistant", "content": "No idea."}


def said(*turns: Mapping[str, str]) -> list[Mapping[str, str]]:
    return list(turns)


def plain(pair: Pair | str) -> tuple[list[tuple[str, str]], str, str]:
    assert isinstance(pair, Pair)
    return [(m.role, m.content) for m in pair.messages], pair.chosen, pair.rejected


ONE = ([("user", "Why?")], "Because.", "No idea.")


# -- forms --------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."},
        {"prompt": [USER], "chosen": "Because.", "rejected": "No idea."},
        {"messages": [USER], "chosen": "Because.", "rejected": "No idea."},
        {"messages": json.dumps([USER]), "chosen": "Because.", "rejected": "No idea."},
        {"prompt": [USER], "chosen": [YES], "rejected": [NO]},
        {"prompt": "Why?", "chosen": [YES], "rejected": [NO]},
        {"chosen": [USER, YES], "rejected": [USER, NO]},
        # As in some sets: the prompt stands once more at the head of conversations.
        {"prompt": "Why?", "chosen": [USER, YES], "rejected": [USER, NO]},
        {
            "chosen": "\n\nHuman: Why?\n\nAssistant: Because.",
            "rejected": "\n\nHuman: Why?\n\nAssistant: No idea.",
        },
        {
            "chosen": "Human: Why?\n\nAssistant: Because.",
            "rejected": "Human: Why?\n\nAssistant: No idea.",
        },
    ],
)
def test_every_form_gives_the_same_pair(row: Mapping[str, object]) -> None:
    assert plain(read_pair(row, "f")) == ONE


def test_several_turns_are_the_prompt() -> None:
    system = {"role": "system", "content": "Be brief."}
    turns = said(system, USER, NO, {"role": "user", "content": "Really?"})
    found = plain(read_pair({"chosen": [*turns, YES], "rejected": [*turns, NO]}, "f"))
    assert found[0] == [(turn["role"], turn["content"]) for turn in turns]
    text = "\n\nHuman: Why?\n\nAssistant: No idea.\n\nHuman: Really? \n\nAssistant:"
    spoken = {"chosen": f"{text} Because.\n\nSo.", "rejected": f"{text} No."}
    assert plain(read_pair(spoken, "f")) == (
        [("user", "Why?"), ("assistant", "No idea."), ("user", "Really?")],
        "Because.\n\nSo.",
        "No.",
    )


def test_an_answer_that_quotes_a_conversation_is_text() -> None:
    quoted = "Human: Why?\n\nAssistant: Because."
    row = {"prompt": "Write a dialogue.", "chosen": quoted, "rejected": "No."}
    assert plain(read_pair(row, "f")) == (
        [("user", "Write a dialogue.")], quoted, "No."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Why?", "chosen": "So.", "rejected": "So."}, IDENTICAL),
        ({"prompt": "Why?", "chosen": "So.", "rejected": " "}, NO_TEXT),
        ({"prompt": "Why?", "chosen": "So.", "rejected": None}, NO_TEXT),
        ({"prompt": " ", "chosen": "So.", "rejected": "No."}, NO_TEXT),
        ({"prompt": None, "chosen": "So.", "rejected": "No."}, NO_TEXT),
        ({"chosen": [YES], "rejected": [NO]}, NO_TEXT),
        ({"chosen": [USER, YES], "rejected": [USER, YES]}, IDENTICAL),
        ({"chosen": [USER, YES], "rejected": [USER, USER]}, NO_ANSWER),
        ({"prompt": [YES], "chosen": "So.", "rejected": "No."}, TWICE_IN_A_ROW),
        ({"prompt": [USER, USER], "chosen": "A", "rejected": "B"}, TWICE_IN_A_ROW),
        (
            {"chosen": [USER, YES, USER, YES], "rejected": [USER, NO, USER, YES]},
            PART_EARLY,
        ),
        (
            {"prompt": "How?", "chosen": [USER, YES], "rejected": [USER, NO]},
            OTHER_PROMPT,
        ),
    ],
)
def test_what_is_no_pair_says_why(row: Mapping[str, object], reason: str) -> None:
    assert read_pair(row, "f") == reason


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"chosen": "So.", "rejected": "No."}, ["no prompt", "--columns prompt=NAME"]),
        ({"prompt": "Why?", "chosen": [YES], "rejected": "No."}, ["the other is not"]),
        ({"prompt": "Why?", "chosen": 1, "rejected": "No."}, ["column 'chosen'", "1"]),
        ({"prompt": [1], "chosen": "So.", "rejected": "No."}, ["column 'prompt'"]),
        (
            {"prompt": "Why?", "chosen": [{"from": "gpt"}], "rejected": [YES]},
            ["the other is not"],
        ),
    ],
)
def test_what_cannot_be_read_names_the_place(
    row: Mapping[str, object], words: list[str]
) -> None:
    with pytest.raises(DataError) as error:
        read_pair(row, "mine.jsonl, line 3")
    for word in ["mine.jsonl, line 3", *words]:
        assert word in str(error.value)


# -- files ----------------------------------------------------------------------


def write(tmp_path: Path, text: str | bytes, name: str = "mine.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def items(probe: Probe) -> list[Item]:
    return list(probe.build(BuildOptions()))


CSV = """prompt,chosen,rejected,lang,source
Why?,Because.,No idea.,en,x
How?,So.,So.,en,y
Miksi?,Koska.,,fi,
Kuka?,Minä.,Sinä.,fi,y
"""


def test_a_users_file(tmp_path: Path) -> None:
    probe = probes.load(str(write(tmp_path, CSV)))
    assert (probe.name, probe.axis) == ("mine", "preferences")
    assert probe.item_columns == ("lang", "source")
    assert probe.candidate_columns == ("role",)
    first, last = items(probe)
    assert (first.id, last.id) == ("1", "4")
    assert first.messages == (Message(role="user", content="Why?"),)
    assert [(c.id, c.answer) for c in first.candidates] == [
        ("chosen", "Because."),
        ("rejected", "No idea."),
    ]
    assert [c.groups for c in first.candidates] == [
        {"role": "chosen"},
        {"role": "rejected"},
    ]
    assert last.groups == {"lang": "fi", "source": "y"}
    assert probe.dropped is not None
    assert probe.dropped(BuildOptions()) == {IDENTICAL: 1, NO_TEXT: 1}


def test_lists_and_objects_are_no_group_columns(tmp_path: Path) -> None:
    rows = [
        {"row_id": 7, "prompt": "Why?", "chosen": "A", "rejected": "B", "n": 1,
         "tags": ["x"], "metadata": {}, "messages": [USER, YES]},
        {"row_id": "b", "prompt": "How?", "chosen": "A", "rejected": "B", "n": None,
         "tags": None, "metadata": {"k": 1}, "messages": []},
    ]  # fmt: skip
    text = "\n".join(json.dumps(row) for row in rows)
    probe = probes.load(str(write(tmp_path, text, "mine.jsonl")))
    assert probe.item_columns == ("n",)
    assert [item.id for item in items(probe)] == ["7", "b"]
    assert [item.groups["n"] for item in items(probe)] == [1.0, None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CSV.replace("rejected", "other"), ["no column 'rejected'", "'dialect'"]),
        (CSV.replace("source", "role"), ["'role'", "--columns my_role=role"]),
        (CSV.replace("source", "n_chars"), ["'n_chars'", "Rename"]),
        (CSV.encode() + b"\xff,a,b,en,x\n", ["line 6", "0xff"]),
        (
            "row_id,variety,prompt,chosen,rejected\n1,us,a,b,c\n1,in,d,e,f\n",
            ["line 3", "row_id '1'", "line 2", "--columns dialect=NAME"],
        ),
        (
            "prompt,chosen,rejected\nWhy?,a,a\nHow?,,b\n",
            ["no pair", f"1 {IDENTICAL}", f"1 {NO_TEXT}"],
        ),
    ],
)
def test_bad_files(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        probes.load(str(write(tmp_path, text)))
    for word in [*words, "mine.csv"]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("file", "lost", "columns"),
    [
        (
            "ultrafeedback_eval_clean.jsonl",
            {IDENTICAL: 1},
            ("source_index",),
        ),
        (
            "oasst1_validation_en_fi_ranked_pairs.jsonl",
            {IDENTICAL: 2},
            ("lang", "rank_chosen", "rank_rejected", "prompt_id"),
        ),
        (
            "hh_rlhf_harmless_base_test_en.jsonl",
            {NO_TEXT: 4, TWICE_IN_A_ROW: 4, PART_EARLY: 5},
            (),
        ),
    ],
)
def test_published_files(
    shared_data: Path, file: str, lost: dict[str, int], columns: tuple[str, ...]
) -> None:
    path = shared_data / "preferences" / file
    probe = probes.load(str(path))
    found = items(probe)
    assert probe.item_columns == columns
    assert probe.dropped is not None
    assert probe.dropped(BuildOptions()) == lost
    with path.open(encoding="utf-8") as lines:
        assert len(found) + sum(lost.values()) == sum(1 for _ in lines)
    for item in found:
        assert item.messages[-1].role == "user"
        texts = [candidate.answer for candidate in item.candidates]
        assert len(set(texts)) == 2 and all(text.strip() for text in texts)
    if "lang" in columns:
        assert Counter(item.groups["lang"] for item in found).keys() == {"en", "fi"}
        assert {len(item.messages) for item in found} == {1, 3, 5}


# -- RewardBench ------------------------------------------------------------------

ROWS = [
    {"prompt": f"Question {i}?", "chosen": "Yes.", "chosen_model": "a",
     "rejected": "No.", "rejected_model": "b", "subset": f"s{i % 3}", "id": i // 3}
    for i in range(60)
]  # fmt: skip


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_rewardbench_as_published_and_as_lines(tmp_path: Path, form: str) -> None:
    """Its ids are of a subset's rows."""
    if form == "parquet":
        (tmp_path / "data").mkdir()
        path = tmp_path / "data" / "filtered-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path = tmp_path / "rewardbench.jsonl"
        path.write_text("\n".join(map(json.dumps, ROWS)))
    options = BuildOptions(data=tmp_path)
    found = list(preferences.build(options))
    assert 20 < len(found) < 40
    assert preferences.dropped(options) == {preferences.HELD_BACK: 60 - len(found)}
    assert found[0].id == f"{found[0].groups['subset']}/{found[0].id.split('/')[1]}"
    assert {tuple(item.groups) for item in found} == {("subset",)}
    path.write_bytes(b"{")
    with pytest.raises(DataError, match=path.name):
        list(preferences.build(options))


def test_rewardbench_without_a_column(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "subset"} for row in ROWS]
    path = tmp_path / "rewardbench.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"rewardbench\.jsonl has no column 'subset'"):
        list(preferences.build(BuildOptions(data=tmp_path)))


def test_a_row_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text(
        "id,prompt,chosen,rejected,topic\n"
        "1,a,b,c,x\n2,a,b,d,x\n3,a,b,c,x\n4,a,b,c,y\n5,a,b,d,x\n6,a,,c,x\n7,a,,c,x\n"
    )
    with pytest.raises(DataError) as caught:
        probes.load(str(file))
    assert "2 rows are the same" in caught.value.found
    assert "line 2 and line 4; line 3 and line 6" in caught.value.found


@pytest.mark.parametrize(
    "text",
    [
        "item_id,candidate_id,prompt,answer\n"
        "1,a,p,x\n1,b,p,y\n2,a,p,x\n2,b,p,z\n3,a,p,x\n3,b,p,y\n",
        "row_id,prompt,chosen,prompt_aal,chosen_aal\n"
        "1,p,x,q,y\n\n2,p,x,q,z\n\n3,p,x,q,y\n",
    ],
    ids=["items", "dialects"],
)
def test_items_and_rows_that_stand_twice_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=r"1 rows are the same .* line 2 and line 6"):
        probes.load(str(file))
