"""Belebele's items: parallel in all languages, with links and without."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from data_builders import belebele, select, sources
from data_builders.belebele import PROBE
from probe.types import BuildOptions, DataError, Item, MissingDataError

Row = dict[str, object]

ENGLISH, FINNISH, GERMAN = "eng_Latn", "fin_Latn", "deu_Latn"


def made(code: str, n_passages: int = 4) -> list[Row]:
    """Two questions on each passage; the right answer moves from row to row."""
    return [
        {
            "link": f"https://example.org/{passage}",
            "question_number": number,
            "flores_passage": f"{code} passage {passage}.",
            "question": f"{code} question {number} of {passage}?",
            **{f"mc_answer{k}": f"{code} {passage} {number} {k}" for k in (1, 2, 3, 4)},
            "correct_answer_num": str((2 * passage + number) % 4 + 1),
            "dialect": code,
            "ds": "2023-05-03",
        }
        for passage in range(n_passages)
        for number in (1, 2)
    ]


def without_links(rows: Sequence[Row]) -> list[Row]:
    return [{k: v for k, v in row.items() if k not in ("link", "ds")} for row in rows]


def written(folder: Path, files: dict[str, Sequence[Row]]) -> Path:
    for code, rows in files.items():
        path = folder / "belebele" / f"{code}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return folder


def built(data: Path, languages: Sequence[str] | None = None) -> list[Item]:
    chosen = None if languages is None else tuple(languages)
    return list(PROBE.build(BuildOptions(data=data, languages=chosen)))


def by_language(items: Sequence[Item]) -> dict[object, list[Item]]:
    found = defaultdict(list)
    for item in items:
        found[item.groups["language"]].append(item)
    return found


def right(item: Item) -> str:
    (found,) = (one for one in item.candidates if one.groups["correct"] == "yes")
    return found.id


def test_real_questions_are_parallel_and_keep_their_answers(shared_data: Path) -> None:
    options = BuildOptions(data=shared_data)
    items = by_language(built(shared_data))
    assert {code: len(found) for code, found in items.items()} == {
        GERMAN: 899,
        ENGLISH: 899,
    }
    assert PROBE.dropped is not None
    assert PROBE.dropped(options) == {belebele.TWICE: 2}
    german = {item.groups["question_id"]: item for item in items[GERMAN]}
    for item in items[ENGLISH]:
        other = german[item.groups["question_id"]]
        assert right(other) == right(item)
        assert other.meta["passage_id"] == item.meta["passage_id"]
    assert len({item.meta["passage_id"] for item in items[ENGLISH]}) == 488
    # Of the file's 206, 251, 246 and 197 the one left out has its answer second.
    assert Counter(map(right, items[ENGLISH])) == {
        "A": 206,
        "B": 250,
        "C": 246,
        "D": 197,
    }


def test_real_prompt(shared_data: Path) -> None:
    item = built(shared_data, [ENGLISH])[0]
    (message,) = item.messages
    lines = message.content.split("\n")
    assert lines[0].startswith("Passage: Make sure your hand is as relaxed as possible")
    assert lines[2].startswith("Question: According to the passage, what would not be")
    assert [line[:3] for line in lines[4:8]] == ["A. ", "B. ", "C. ", "D. "]
    assert lines[4] == (
        "A. For additional volume, increase the force with which you hit the keys"
    )
    assert lines[9].endswith("Reply with its letter.") and len(lines) == 10
    assert item.id == "eng_Latn-q1"
    assert item.groups == {"language": ENGLISH, "question_id": "q1"}
    assert item.meta == {
        "passage_id": "p1",
        "n_passage_chars": 399,
        "language_name": "English",
        "script": "Latin",
    }
    for place, one in enumerate(item.candidates):
        assert one.id == "ABCD"[place]
        assert one.span is not None and one.answer[slice(*one.span)] == one.id
        assert one.answer == f"Answer: {one.id}"
        assert one.groups == {
            "place": float(place),
            "correct": "yes" if one.id == "A" else "no",
        }


def test_links_find_a_question_in_any_order(tmp_path: Path) -> None:
    files = {ENGLISH: made(ENGLISH), FINNISH: made(FINNISH)[::-1]}
    items = by_language(built(written(tmp_path, files)))
    finnish = {item.groups["question_id"]: item for item in items[FINNISH]}
    assert len(finnish) == 8
    for item in items[ENGLISH]:
        other = finnish[item.groups["question_id"]]
        same = item.messages[0].content.replace(ENGLISH, FINNISH)
        assert other.messages[0].content == same
        assert other.meta["passage_id"] == item.meta["passage_id"]
        assert other.id == f"{FINNISH}-{item.groups['question_id']}"


def test_questions_of_a_passage_follow_each_other(tmp_path: Path) -> None:
    rows = made(ENGLISH)
    apart = [*rows[::2], *rows[1::2]]
    passages = [
        item.meta["passage_id"] for item in built(written(tmp_path, {ENGLISH: apart}))
    ]
    assert passages[::2] == passages[1::2]
    assert len(set(passages)) == 4


def test_a_blank_more_in_a_passage_does_not_part_its_questions(tmp_path: Path) -> None:
    german = made(FINNISH)
    text = str(german[1]["flores_passage"])
    german[1] = german[1] | {"flores_passage": text.replace(" ", "  ", 1)}
    files = {ENGLISH: made(ENGLISH), FINNISH: german}
    items = by_language(built(written(tmp_path, files)))
    for column in ("question_id",):
        first, second = (
            [item.groups[column] for item in items[code]] for code in (ENGLISH, FINNISH)
        )
        assert first == second
    passages = [item.meta["passage_id"] for item in items[FINNISH]]
    assert passages[0] == passages[1]


def test_two_passages_of_one_link_stay_apart(tmp_path: Path) -> None:
    """The card tells them apart by a split that the hub's rows need not have."""

    def of_one_link(code: str) -> list[Row]:
        return [row | {"link": "https://example.org/0"} for row in made(code, 2)]

    files = {ENGLISH: of_one_link(ENGLISH), FINNISH: of_one_link(FINNISH)}
    items = by_language(built(written(tmp_path, files)))
    ids = [item.groups["question_id"] for item in items[ENGLISH]]
    assert len(set(ids)) == 4
    assert ids == [item.groups["question_id"] for item in items[FINNISH]]
    # In another order nothing tells which is which.
    moved = {FINNISH: of_one_link(FINNISH)[2:] + of_one_link(FINNISH)[:2]}
    with pytest.raises(DataError, match="with right answer"):
        built(written(tmp_path, moved))
    split = [
        row | {"split": "dev" if i < 2 else "devtest"}
        for i, row in enumerate(of_one_link(FINNISH))
    ]
    english = [
        row | {"split": "dev" if i < 2 else "devtest"}
        for i, row in enumerate(of_one_link(ENGLISH))
    ]
    items = by_language(
        built(written(tmp_path, {ENGLISH: english, FINNISH: split[2:] + split[:2]}))
    )
    assert sorted(str(item.groups["question_id"]) for item in items[ENGLISH]) == sorted(
        str(item.groups["question_id"]) for item in items[FINNISH]
    )


def test_ids_do_not_depend_on_which_languages_are_read(tmp_path: Path) -> None:
    codes = (ENGLISH, FINNISH, GERMAN)
    for layout in (made, lambda code: without_links(made(code))):
        data = written(tmp_path, {code: layout(code) for code in codes})
        items = by_language(built(data))
        assert list(items) == sorted(codes)
        for code in codes:
            assert items[code] == built(data, [code])


def test_rows_without_links_must_have_one_order(tmp_path: Path) -> None:
    rows = without_links(made(FINNISH))
    rows[4], rows[5] = rows[5], rows[4]
    files = {ENGLISH: without_links(made(ENGLISH)), FINNISH: rows}
    with pytest.raises(DataError) as caught:
        built(written(tmp_path, files))
    assert (
        "fin_Latn.jsonl, line 5: question 2 with right answer 3" in caught.value.found
    )
    assert "eng_Latn.jsonl, line 5 is question 1 with right" in caught.value.found
    assert "links" in caught.value.action
    assert len(built(tmp_path, [FINNISH])) == 8


def test_links_in_one_file_only(tmp_path: Path) -> None:
    files = {ENGLISH: made(ENGLISH), FINNISH: without_links(made(FINNISH))}
    with pytest.raises(
        DataError, match=r"eng_Latn.jsonl has a key 'link', and .*fin_L"
    ):
        built(written(tmp_path, files))


def change(key: str, value: object) -> Callable[[list[Row]], None]:
    return lambda rows: rows[2].update({key: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            change("correct_answer_num", "5"),
            "'correct_answer_num': '5'. It must be 1 to",
        ),
        (change("correct_answer_num", 0), "'correct_answer_num': 0. It must be 1 to 4"),
        (change("question_number", "one"), "line 3, key 'question_number': 'one'"),
        (change("question_number", 2), "line 4: question 2 of a passage that has one"),
        (change("dialect", FINNISH), "In this file it must be 'eng_Latn'"),
        (change("mc_answer3", None), "line 3, key 'mc_answer3': None. It must be text"),
        (change("link", " "), "line 3, key 'link': ' '"),
        (
            lambda rows: [row.pop("mc_answer4") for row in rows],
            "has no key 'mc_answer4'",
        ),
        (lambda rows: rows.clear(), "has no rows"),
    ],
)
def test_a_bad_file_is_refused_by_its_place(
    tmp_path: Path, spoil: Callable[[list[Row]], object], message: str
) -> None:
    rows = made(ENGLISH)
    spoil(rows)
    with pytest.raises(DataError) as caught:
        built(written(tmp_path, {ENGLISH: rows}))
    assert "eng_Latn.jsonl" in caught.value.found
    assert message in str(caught.value)


def test_what_cannot_be_asked_is_counted_in_its_language_only(tmp_path: Path) -> None:
    rows = made(FINNISH)
    rows[1]["mc_answer2"] = "  "
    rows[3][f"mc_answer{rows[3]['correct_answer_num']}"] = "same"
    rows[3][f"mc_answer{int(str(rows[3]['correct_answer_num'])) % 4 + 1}"] = " same"
    # Two wrong answers alike leave one right.
    wrong = [k for k in "1234" if k != rows[5]["correct_answer_num"]]
    rows[5][f"mc_answer{wrong[0]}"] = rows[5][f"mc_answer{wrong[1]}"] = "alike"
    data = written(tmp_path, {ENGLISH: made(ENGLISH), FINNISH: rows})
    items = by_language(built(data))
    assert (len(items[ENGLISH]), len(items[FINNISH])) == (8, 6)
    assert belebele.dropped(BuildOptions(data=data)) == {
        belebele.BLANK: 1,
        belebele.TWICE: 1,
    }
    assert not belebele.dropped(BuildOptions(data=data, languages=(ENGLISH,)))


def test_braces_in_a_text_are_text(tmp_path: Path) -> None:
    rows = made(ENGLISH, 1)
    for row in rows:
        row["flores_passage"] = "A {question} of {0}."
    assert (
        "A {question} of {0}."
        in built(written(tmp_path, {ENGLISH: rows}))[0].messages[0].content
    )


def test_a_language_without_file_names_what_was_looked_for(tmp_path: Path) -> None:
    data = written(tmp_path, {ENGLISH: made(ENGLISH)})
    with pytest.raises(MissingDataError) as caught:
        built(data, [ENGLISH, FINNISH])
    assert "Finnish (fin_Latn)" in caught.value.found
    assert "belebele/fin_Latn.jsonl" in caught.value.found
    assert "English (eng_Latn)" in caught.value.expected
    assert "data/fin_Latn.jsonl" in caught.value.action


def test_a_limit_draws_questions_in_all_languages(shared_data: Path) -> None:
    def drawn(n: int, *languages: str) -> list[Item]:
        found = built(shared_data, languages or None)
        return select.limit_items(found, PROBE.item_columns, n, 0, PROBE.unit)

    six = by_language(drawn(6))
    ids = [item.groups["question_id"] for item in six[ENGLISH]]
    assert len(set(ids)) == 6
    assert ids == [item.groups["question_id"] for item in six[GERMAN]]
    # The same questions whatever languages are read, and more of them later.
    assert drawn(6, ENGLISH) == six[ENGLISH]
    assert {item.id for item in drawn(6)} < {item.id for item in drawn(20)}


def test_only_the_files_read_are_recorded(shared_data: Path) -> None:
    both = sources.digests(PROBE.sources, shared_data)
    assert list(both) == ["belebele/deu_Latn.jsonl", "belebele/eng_Latn.jsonl"]
    one = sources.digests(PROBE.sources, shared_data, (ENGLISH,))
    assert one == {"belebele/eng_Latn.jsonl": both["belebele/eng_Latn.jsonl"]}
