"""TyDiQA's questions, the examples before them, and the forms the data come in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_builders import languages, select, sources, tydiqa, tydiqa_passages
from data_builders.tydiqa import PROBE
from data_builders.tydiqa_passages import Question
from probe.types import (
    BuildOptions,
    DataError,
    Item,
    MissingDataError,
    NothingAskedError,
    versioned,
)

ENGLISH, KOREAN = "eng_Latn", "kor_Hang"


def made(name: str, n: int, *, start: int = 0) -> list[Question]:
    """Two questions on each article; the passages' lengths are all different."""
    return [
        Question(
            id=f"{name}-{start + number}-0",
            language=languages.TYDIQA[name],
            document=f"{name} {(start + number) // 2}",
            passage=f"{name} {start + number} " + "word " * (number + 1) + "end.",
            question=f"What is {start + number}?",
            answers=(f"{name} {start + number}", "end"),
        )
        for number in range(n)
    ]


def squad(questions: Iterable[Question]) -> dict[str, object]:
    return {
        "version": "made",
        "data": [
            {
                "title": one.document,
                "paragraphs": [
                    {
                        "context": f" {one.passage} ",
                        "qas": [
                            {
                                "id": one.id,
                                "question": one.question,
                                "answers": [
                                    {"text": text, "answer_start": 0}
                                    for text in (*one.answers, one.answers[0])
                                ],
                            }
                        ],
                    }
                ],
            }
            for one in questions
        ],
    }


def write_json(path: Path, questions: Iterable[Question]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(squad(questions)), encoding="utf-8")
    return path


def write_parquet(path: Path, questions: Iterable[Question]) -> Path:
    rows = [
        {
            "id": one.id,
            "title": one.document,
            "context": one.passage,
            "question": one.question,
            "answers": {
                "text": [*one.answers, one.answers[0]],
                "answer_start": [0] * (len(one.answers) + 1),
            },
        }
        for one in questions
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def per_language(folder: Path, *questions: list[Question]) -> Path:
    for some in questions:
        name = some[0].id.partition("-")[0]
        write_json(folder / "tydiqa" / f"tydiqa-goldp-dev-{name}.json", some)
    return folder


def built(
    data: Path, shots: int = 1, only: tuple[str, ...] | None = None
) -> list[Item]:
    return list(PROBE.build(BuildOptions(data=data, shots=shots, languages=only)))


def prompt(item: Item) -> str:
    (message,) = item.messages
    return message.content


# -- the real data ----------------------------------------------------------


def test_real_questions_of_nine_languages(shared_data: Path) -> None:
    questions = tydiqa.gold(shared_data)
    assert len(questions) == len({one.id for one in questions}) == 5077
    counts = Counter(one.language for one in questions)
    assert counts[ENGLISH] == 440 and counts["tel_Telu"] == 669 and len(counts) == 9
    for one in questions:
        assert all(answer in one.passage for answer in one.answers)
        assert len(set(one.answers)) == len(one.answers)
    items = built(shared_data)
    lost = tydiqa.dropped(BuildOptions(data=shared_data))
    assert lost[tydiqa.DRAWN] == 9
    assert len(items) + lost.total() == 5077
    assert {len(item.candidates) for item in items} == {1, 2}


def test_real_examples_are_not_asked_and_of_middling_length(shared_data: Path) -> None:
    questions = {one.id: one for one in tydiqa.gold(shared_data)}
    items = built(shared_data, 2)
    examples = {
        str(item.groups["language"]): [questions[id] for id in item.meta["exemplars"]]
        for item in items
    }
    assert len(examples) == 9
    for item in items:
        drawn = examples[str(item.groups["language"])]
        assert [one.id for one in drawn] == item.meta["exemplars"]
        assert item.meta["document"] not in {one.document for one in drawn}
        start = prompt(item).partition(drawn[0].passage)[0]
        assert start == f"{tydiqa.INSTRUCTION}\n\nPassage: "
    for code, drawn in examples.items():
        sizes = sorted(len(o.passage) for o in questions.values() if o.language == code)
        for one in drawn:
            quarter = len(sizes) // 4
            assert sizes[quarter - 1] <= len(one.passage) <= sizes[-quarter]


def test_real_prompt(shared_data: Path) -> None:
    (item,) = (
        one
        for one in built(shared_data, 0, (ENGLISH,))
        if one.id == "english-5888115353945373749-2"
    )
    passage = prompt(item).split("\n")[2].removeprefix("Passage: ")
    assert prompt(item) == (
        "Answer the question with the shortest words of the passage that answer it.\n\n"
        f"Passage: {passage}\n"
        "Question: Who founded the Burntisland Shipbuilding Company?\nAnswer:"
    )
    assert passage.startswith("Brothers Amos and Wilfrid Ayre founded Burntisland")
    assert [(one.id, one.answer, one.span) for one in item.candidates] == [
        ("reference-1", "Amos and Wilfrid Ayre", None)
    ]
    assert item.meta == {
        "references": ["Amos and Wilfrid Ayre"],
        "exemplars": [],
        "document": "Burntisland Shipbuilding Company",
        "n_passage_chars": len(passage),
        "language_name": "English",
        "script": "Latin",
        "max_new_tokens": 50,
    }
    assert item.groups == {"language": ENGLISH}
    assert (item.max_new_tokens, item.stop) == (50, ("\n\n",))


def test_a_limit_draws_over_all_languages(shared_data: Path) -> None:
    drawn = select.limit_items(built(shared_data), PROBE.item_columns, 9, 0, PROBE.unit)
    assert {item.groups["language"] for item in drawn} == set(languages.TYDIQA.values())
    many = select.limit_items(built(shared_data), PROBE.item_columns, 90, 0, PROBE.unit)
    assert Counter(item.groups["language"] for item in many)["arb_Arab"] in (16, 17)


# -- examples ---------------------------------------------------------------


def test_one_user_turn_with_the_examples_first(tmp_path: Path) -> None:
    data = per_language(tmp_path, made("english", 12))
    for shots in (0, 1, 3):
        items = built(data, shots)
        prompts = [prompt(item) for item in items]
        for item, text in zip(items, prompts, strict=True):
            assert text.count("\n\nPassage: ") == shots + 1
            assert text.count("\nAnswer: ") == shots and text.endswith("\nAnswer:")
            assert len(item.meta["exemplars"]) == shots
        # All but the last block is one for all items: computed once for the language.
        assert len({text.rpartition("\n\nPassage: ")[0] for text in prompts}) == 1


def test_more_shots_begin_with_fewer(tmp_path: Path) -> None:
    questions = made("english", 40)
    three = tydiqa.draw(questions, 3)
    assert tydiqa.draw(questions[::-1], 2) == three[:2]
    assert len({one.document for one in three}) == 3
    assert len(tydiqa.draw(questions, 99)) == 20


def test_examples_do_not_depend_on_the_languages_asked(tmp_path: Path) -> None:
    data = per_language(tmp_path, made("english", 12), made("korean", 8))
    both = built(data)
    assert built(data, only=(KOREAN,)) == [
        item for item in both if item.groups["language"] == KOREAN
    ]


def test_what_examples_from_the_questions_cost_is_counted(tmp_path: Path) -> None:
    data = per_language(tmp_path, made("english", 12))
    # Each article has two questions: one drawn, one left out with it.
    for shots in (0, 1, 3):
        options = BuildOptions(data=data, shots=shots)
        lost = {tydiqa.DRAWN: shots, tydiqa.RELATED: shots} if shots else {}
        assert tydiqa.dropped(options) == lost
        assert len(built(data, shots)) == 12 - 2 * shots


def test_the_training_split_comes_first_and_costs_nothing(tmp_path: Path) -> None:
    data = per_language(tmp_path, made("english", 12), made("korean", 8))
    # Its first articles are the questions' own, and give no example.
    train = made("english", 20)
    write_json(data / "tydiqa" / "tydiqa-goldp-v1.1-train.json", train)
    items = built(data)
    english = [item for item in items if item.groups["language"] == ENGLISH]
    assert len(english) == 12
    (drawn,) = english[0].meta["exemplars"]
    assert drawn in {one.id for one in train[12:]}
    # Korean has no training questions there.
    assert tydiqa.dropped(BuildOptions(data=data)) == {
        tydiqa.DRAWN: 1,
        tydiqa.RELATED: 1,
    }
    assert "tydiqa_train" in sources.digests(PROBE.sources, data)


def test_too_many_shots(tmp_path: Path) -> None:
    data = per_language(tmp_path, made("english", 8))
    assert len(built(data, 3)) == 2
    for shots in (4, 9):
        with pytest.raises(DataError) as caught:
            built(data, shots)
        assert f"--shots asks for {shots} examples in English" in caught.value.found
        assert "Ask for fewer" in caught.value.action


def test_shots_are_of_the_version() -> None:
    assert versioned(PROBE, BuildOptions(shots=5)) == "1+shots-5"
    assert versioned(PROBE, BuildOptions(languages=(ENGLISH,))) == "1"


# -- forms of the data ------------------------------------------------------


LAYOUTS = {
    "hub": ("secondary_task/validation-00000-of-00001.parquet", write_parquet),
    "combined": ("tydiqa-goldp-v1.1-dev.json", write_json),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_form_gives_the_same_questions(tmp_path: Path, layout: str) -> None:
    english, korean = made("english", 6), made("korean", 6)
    apart = tydiqa.gold(per_language(tmp_path / "apart", english, korean))
    assert apart == (*english, *korean)
    file, write = LAYOUTS[layout]
    mixed = [one for pair in zip(korean, english, strict=True) for one in pair]
    write(tmp_path / file, mixed)
    assert tydiqa.gold(tmp_path) == apart
    assert tydiqa.gold(tmp_path, [KOREAN]) == tuple(korean)
    assert built(tmp_path) == built(tmp_path / "apart")


def test_the_original_download_unpacked(tmp_path: Path) -> None:
    folder = tmp_path / "tydiqa-goldp-v1.1-dev"
    write_json(folder / "tydiqa-goldp-dev-english.json", made("english", 4))
    assert tydiqa.gold(tmp_path) == tuple(made("english", 4))


def test_a_language_that_is_not_there(tmp_path: Path) -> None:
    per_language(tmp_path / "apart", made("english", 4))
    with pytest.raises(MissingDataError, match=r"tydiqa/tydiqa-goldp-dev-korean.json"):
        tydiqa.gold(tmp_path / "apart", [ENGLISH, KOREAN])
    write_json(tmp_path / "tydiqa-goldp-v1.1-dev.json", made("english", 4))
    with pytest.raises(NothingAskedError, match=r"v1.1-dev.json has no question in it"):
        tydiqa.gold(tmp_path, [KOREAN])
    with pytest.raises(NothingAskedError, match=r"German \(deu_Latn\), which tydiqa"):
        tydiqa.gold(tmp_path, ["deu_Latn"])


def test_a_question_in_the_wrong_file(tmp_path: Path) -> None:
    folder = tmp_path / "tydiqa"
    write_json(folder / "tydiqa-goldp-dev-english.json", made("korean", 4))
    with pytest.raises(DataError, match=r"english.json has the question 'korean-0-0'"):
        tydiqa.gold(tmp_path)


def first(whole: dict, key: str) -> dict:
    paragraph = whole["data"][0]["paragraphs"][0]
    return {"article": whole["data"][0], "paragraph": paragraph}.get(
        key, paragraph["qas"][0]
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w.pop("data"), "no list 'data'. The layout is SQuAD's"),
        (lambda w: w["data"].insert(1, 3), "data[1]: not an object"),
        (lambda w: w["data"].clear(), "has no questions"),
        (lambda w: first(w, "article").pop("title"), "key 'title': None"),
        (lambda w: first(w, "paragraph").pop("qas"), "paragraphs[0]: no list 'qas'"),
        (lambda w: first(w, "paragraph").update(context=" "), "key 'context': ' '"),
        (lambda w: first(w, "question").update(question=5), "key 'question': 5"),
        (lambda w: first(w, "question").update(answers=[]), "key 'answers': []"),
        (
            lambda w: first(w, "question")["answers"][0].update(text=" "),
            "none is blank",
        ),
        (
            lambda w: first(w, "question").update(id="french-1-0"),
            "'french-1-0' begins with no language",
        ),
        (
            lambda w: first(w, "question").update(id="english-1-0"),
            "data[1], paragraphs[0], qas[0]: the id 'english-1-0' stands twice",
        ),
    ],
)
def test_a_bad_file_is_refused_by_its_place(
    tmp_path: Path, spoil: Callable[[dict], object], message: str
) -> None:
    whole = squad(made("english", 3))
    spoil(whole)
    path = tmp_path / "tydiqa-goldp-dev-english.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        tydiqa_passages.read(path)
    assert str(path) in caught.value.found
    assert message in str(caught.value)


def test_no_json_and_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"a.json cannot be read"):
        tydiqa_passages.read(tmp_path / "a.json")
    (tmp_path / "a.parquet").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"a.parquet cannot be read"):
        tydiqa_passages.read(tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ["english-1-0"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="has no column 'title', 'context'"):
        tydiqa_passages.read(tmp_path / "b.parquet")
