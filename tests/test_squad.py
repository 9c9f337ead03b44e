from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis import squad
from data_builders import languages, tydiqa


@pytest.mark.parametrize(
    ("answer", "references", "exact", "f1"),
    [
        ("The Nile.", ["nile"], 1, 1),
        ("the  river\tNile", ["River Nile!"], 1, 1),
        ("Nile river", ["River Nile"], 0, 1),
        # Of four words three are right, of three all: 2 * 3/4 * 1 / (3/4 + 1).
        ("on 5 May 1821", ["5 May 1821"], 0, 6 / 7),
        # A word that stands twice counts as often as in both.
        ("May May", ["May"], 0, 2 / 3),
        ("Berlin", ["Paris", "Berlin, Germany"], 0, 2 / 3),
        ("Berlin", ["Paris", "Berlin"], 1, 1),
        ("Rome", ["Paris"], 0, 0),
        ("", ["Paris"], 0, 0),
        # An article within a word is no article, and Arabic has none of ours.
        ("theatre", ["atre"], 0, 0),
        ("نهر النيل", ["نهر النيل"], 1, 1),
        # Punctuation that is not ASCII stays, so that the word is another one.
        ("ঢাকা।", ["ঢাকা"], 0, 0),
    ],
)
def test_answers_counted_by_hand(
    answer: str, references: list[str], exact: float, f1: float
) -> None:
    assert squad.exact_match(answer, references) == exact
    assert squad.f1(answer, references) == pytest.approx(f1)


def test_a_generation_ends_at_its_first_blank_line() -> None:
    assert squad.cut("\n\n Paris \n\nQuestion: what next?") == "Paris"
    assert squad.cut(" Paris\nand Lyon\n\n\n") == "Paris\nand Lyon"
    assert squad.cut("  \n ") == ""


def test_no_reference_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        squad.f1("Paris", [])


def test_every_language_of_tydiqa_has_a_note() -> None:
    assert set(languages.TYDIQA.values()) <= set(squad.NOTES)


@pytest.mark.parametrize(
    ("language", "code", "f1", "exact"),
    [("english", "eng_Latn", 72.80, 58.64), ("telugu", "tel_Telu", 39.41, 30.64)],
)
def test_recorded_answers_give_the_known_figures(
    recorded: Path, shared_data: Path, language: str, code: str, f1: float, exact: float
) -> None:
    folder = recorded / "outputs" / "tydiqa-goldp"
    (file,) = folder.glob(f"*Mistral-7B-v0.1*/greedy/1-shot/*{language}*.json")
    answers = json.loads(file.read_text(encoding="utf-8"))
    gold = [one for one in tydiqa.gold(shared_data) if one.language == code]
    assert {one.id for one in gold} == set(answers)
    for measure, wanted in ((squad.f1, f1), (squad.exact_match, exact)):
        found = [measure(squad.cut(answers[one.id]), one.answers) for one in gold]
        assert 100 * np.mean(found) == pytest.approx(wanted, abs=0.005)
