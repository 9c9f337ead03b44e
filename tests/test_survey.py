"""The survey file: literals are read, never run; what is unusable is counted."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import pytest

from data_builders import scales, survey
from data_builders.countries import read_facts
from probe.types import DataError

FAVOUR = [
    "Very favorable",
    "Somewhat favorable",
    "Somewhat unfavorable",
    "Very unfavorable",
]


def write(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "selections", "options"])
        writer.writerows(rows)
    return path


def selections(**answers: list[float]) -> str:
    return f"defaultdict(<class 'list'>, {answers!r})"


def good(text: str = "Is it?") -> tuple[str, str, str]:
    return text, selections(France=[0.25, 0.75], Peru=[1, 0]), "['Yes', 'No']"


def test_the_whole_file_is_used(shared_data: Path) -> None:
    found = survey.read(shared_data / "opinions" / "llm_global_opinions.csv")
    assert len(found.questions) == 2555
    assert sum(len(q.answers) for q in found.questions) == 45_973
    assert len({a.key for q in found.questions for a in q.answers}) == 106
    assert not found.dropped
    for question in found.questions:
        for one in question.answers:
            assert math.isclose(math.fsum(one.shares), 1, abs_tol=1e-12)
    samples = {(a.key, a.sample) for q in found.questions for a in q.answers}
    assert ("IND", "Old national sample") in samples
    assert ("GBR", "Northern Ireland") in samples
    # Both spellings, South Korea's and S. Korea's, are one country's people.
    assert {sample for key, sample in samples if key == "KOR"} == {None}


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.csv",
        [
            good(),
            ("  ", *good()[1:]),
            ("One option", selections(France=[1.0]), "['Yes']"),
            ("Same twice", selections(France=[0.5, 0.5]), "['Yes', 'Yes']"),
            ("Blank option", selections(France=[0.5, 0.5]), "['Yes', ' ']"),
            ("Not hashable", selections(France=[0.5, 0.5]), "{[1]: 2}"),
            ("Not a list", selections(France=[1.0]), "Yes; No"),
            ("Not a dict", "France: 0.5", "['Yes', 'No']"),
            ("Runs code", "__import__('os').getcwd()", "['Yes', 'No']"),
            ("Only bad", selections(France=[0.0, 0.0]), "['Yes', 'No']"),
            good(),
            (
                "Some bad",
                selections(
                    France=[0.5],
                    Peru=[0.5, -0.1],
                    Chile=[0, 0],
                    Atlantis=[1, 0],
                    Spain=[0.6, 0.32],
                    Germany=[1e308, 1e308],
                )[:-2]
                + ", 'Italy': ['x', 1], 'Great Britain': [1, 0], 'Britain': [0, 1]"
                + ", 'Kenya': [1, 0], 'Kenya': [0, 1]})",
                "['Yes', 'No']",
            ),
        ],
    )
    found = survey.read(path)
    assert [q.text for q in found.questions] == ["Is it?", "Some bad"]
    [spain] = found.questions[1].answers
    assert spain.shares == pytest.approx((0.6 / 0.92, 0.32 / 0.92))
    assert spain.key == "ESP" and spain.total == pytest.approx(0.92)
    assert found.dropped == {
        "question: no text": 1,
        "question: fewer than two options": 1,
        "question: an option twice, or more than 26": 1,
        "question: options cannot be read": 2,
        "question: selections cannot be read": 2,
        "question: no country's answers can be used": 1,
        "question: stands twice": 1,
        "answers: as many shares as options are needed": 1,
        "answers: a share is negative": 1,
        "answers: all shares are zero": 2,
        "answers: a share is no number": 1,
        "answers: nobody knows the country 'Atlantis'": 1,
        "answers: a country twice in one question": 2,
        "answers: the shares do not sum to 1": 1,
        "question: an option without text": 1,
    }


def test_a_plain_dict_and_numbers_as_options_are_read(tmp_path: Path) -> None:
    row = ("How much?", "{'France': [0.1, 0.2, 0.7]}", "['None', 1.0, 2.5]")
    [question] = survey.read(write(tmp_path / "s.csv", [row])).questions
    assert question.options == ("None", "1", "2.5")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("question,options\na,b\n", "no column 'selections'"),
        ("question,selections,options\n,{},[]\n", "no question that can be used"),
        ("question,selections,options\n", "has no rows"),
    ],
)
def test_an_unusable_file_is_an_error(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        survey.read(path)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", [good()])
    assert len(survey.read(path).questions) == 1
    write(path, [good(), good("And is that?")])
    assert len(survey.read(path).questions) == 2


def test_ids_depend_on_text_and_options_alone() -> None:
    one = survey.question_id("Is it?", ["Yes", "No"])
    assert one == survey.question_id("Is it?", ("Yes", "No"))
    assert one != survey.question_id("Is it?", ["No", "Yes"])


# -- scales ------------------------------------------------------------------


def test_scale_order_is_the_lists_whatever_is_printed() -> None:
    scale = scales.find_scale(FAVOUR)
    assert scale is not None and scale.places == (0, 1 / 3, 2 / 3, 1)
    turned = scales.find_scale([*FAVOUR[::-1], "DK/Refused"])
    assert turned is not None and turned.name == scale.name
    assert turned.places == (1, 2 / 3, 1 / 3, 0, None)


@pytest.mark.parametrize(
    "options",
    [
        ["Yes", "No", "DK/Refused"],
        ["China", "India", "Brazil"],
        [*FAVOUR[:3], "DK/Refused"],
        [*FAVOUR, "Other (VOL)"],
    ],
)
def test_no_scale_is_guessed(options: list[str]) -> None:
    assert scales.find_scale(options) is None


def test_the_declared_scales_are_sound(shared_data: Path) -> None:
    rows = read_facts("scales.csv")
    assert len({row["name"] for row in rows}) == len(rows)
    used = Counter(
        question.scale.name
        for question in survey.read(
            shared_data / "opinions" / "llm_global_opinions.csv"
        ).questions
        if question.scale
    )
    # A list that no question has would be a claim that nobody can check.
    assert set(used) == {row["name"] for row in rows}
    assert sum(used.values()) > 1400


def test_options_are_spoken_as_people_would() -> None:
    assert scales.spoken("DK/Refused") == "I don't know, or I would rather not say"
    assert scales.spoken("Jews (VOL)") == "Jews"
    assert scales.spoken("Very favorable") == "Very favorable"
