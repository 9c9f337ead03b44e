from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from analysis.languages_data import (
    choices,
    extractions,
    kind,
    language_names,
    read_answers,
    scripts,
)
from analysis.load import load_run
from probe.types import Candidate, DataError, Item, Measure
from tests import language_runs, md3_runs
from tests.language_runs import Generated

CODES = ("eng_Latn", "deu_Latn")


def regrouped(item: Item, **groups: str | float | None) -> Item:
    """An item whose candidates have other groups."""
    return dataclasses.replace(
        item,
        candidates=tuple(
            dataclasses.replace(one, groups=dict(one.groups) | groups)
            for one in item.candidates
        ),
    )


def test_choices_are_the_letters_with_the_highest_score(tmp_path: Path) -> None:
    items = language_runs.choices(CODES, 3)

    def score(item: Item, candidate: Candidate) -> float:
        # English is right, German always picks C, and question 2 has an unscored one.
        if item.id == "deu_Latn-q0002" and candidate.id == "B":
            return math.nan
        if item.groups["language"] == "eng_Latn":
            return float(candidate.groups["correct"] == "yes")
        return float(candidate.id == "C")

    run = load_run(language_runs.store(tmp_path, items, score))
    frame = choices(run)
    assert list(frame["item_id"]) == [item.id for item in items]
    assert list(frame["language"]) == ["eng_Latn"] * 3 + ["deu_Latn"] * 3
    assert list(frame["question_id"]) == ["q0000", "q0001", "q0002"] * 2
    assert list(frame["cluster"]) == ["p0", "p0", "p1"] * 2
    places = [
        next(i for i, c in enumerate(item.candidates) if c.groups["correct"] == "yes")
        for item in items
    ]
    assert list(frame["answer"]) == places
    assert list(frame["chosen"][:5]) == [*places[:3], 2, 2]
    assert list(frame["right"][:5]) == [1, 1, 1, *(float(p == 2) for p in places[3:5])]
    assert math.isnan(frame["right"][5]) and math.isnan(frame["chosen"][5])
    assert not frame["tied"].any() and not frame["truncated"].any()
    assert list(frame["n_candidates"]) == [4] * 6
    assert list(frame["n_passage_chars"]) == [400] * 6
    assert language_names(run) == {"eng_Latn": "English", "deu_Latn": "German"}
    assert scripts(run) == {"eng_Latn": "Latin", "deu_Latn": "Latin"}


def test_choices_are_made_by_summed_log_probabilities(tmp_path: Path) -> None:
    """A letter of two tokens is likelier per token, and less likely as a whole."""
    items = language_runs.choices(("eng_Latn",), 1)
    path = language_runs.store(
        tmp_path,
        items,
        lambda item, one: float(one.id == "A"),
        per_token=lambda one: float(one.id == "C"),
    )
    assert list(choices(load_run(path))["chosen"]) == [0]


def test_a_tie_is_drawn_among_the_tied_and_stays_drawn(tmp_path: Path) -> None:
    items = language_runs.choices(CODES, 400)

    def score(item: Item, candidate: Candidate) -> float:
        return float(candidate.id in "BD")

    run = load_run(language_runs.store(tmp_path, items, score))
    frame = choices(run)
    assert frame["tied"].all()
    counts = Counter(frame["chosen"])
    assert set(counts) == {1.0, 3.0}
    assert 350 <= counts[1.0] <= 450
    # Every choice is right or wrong, and as often right as counting halves would say.
    halves = np.where(frame["answer"].isin([1, 3]), 0.5, 0.0)
    assert set(frame["right"]) == {0.0, 1.0}
    assert frame["right"].mean() == pytest.approx(halves.mean(), abs=0.05)
    assert choices(run).equals(frame)


def test_prompts_that_were_cut_are_flagged(tmp_path: Path) -> None:
    items = language_runs.choices(CODES, 4)
    path = language_runs.store(
        tmp_path,
        items,
        language_runs.picks(lambda item: 0.5),
        cut=lambda item: 3 * item.id.startswith("deu"),
        tokens=lambda item: 70 + len(item.id),
    )
    frame = choices(load_run(path))
    assert list(frame["truncated"]) == [False] * 4 + [True] * 4
    assert set(frame["n_prompt_tokens"]) == {70.0 + len("eng_Latn-q0000")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"correct": "maybe"},
            r"correct is 'maybe'\. A candidate is right \(yes\) or not \(no\), and "
            r"stands in a place from 0\. Mend the columns correct and place",
        ),
        ({"place": None}, r"4 rows have no place\. A candidate is right"),
        (
            {"correct": "yes"},
            r"item eng_Latn-q0000 has 4 right answers, by the column correct\. One "
            r"candidate of an item is right\. Mend the column correct of the items\.$",
        ),
    ],
)
def test_choices_that_are_not_whole_are_refused(
    tmp_path: Path, changes: dict[str, str | None], message: str
) -> None:
    first, *rest = language_runs.choices(CODES, 2)
    items = [regrouped(first, **changes), *rest]
    run = load_run(language_runs.store(tmp_path, items, lambda item, one: 0.0))
    with pytest.raises(DataError, match=message):
        choices(run)


def test_an_item_without_a_language_is_refused(tmp_path: Path) -> None:
    first, *rest = language_runs.choices(CODES, 2)
    items = [
        dataclasses.replace(first, groups=dict(first.groups) | {"language": None}),
        *rest,
    ]
    run = load_run(language_runs.store(tmp_path, items, lambda item, one: 0.0))
    with pytest.raises(
        DataError,
        match=r"4 rows have no language\. Every item is in a language, by the column "
        r"language\. Fill the column language of the items\.$",
    ):
        choices(run)


def test_a_question_that_stands_twice_in_a_language_is_refused(tmp_path: Path) -> None:
    first, second, *rest = language_runs.choices(CODES, 2)
    twin = dataclasses.replace(second, groups=first.groups)
    run = load_run(
        language_runs.store(tmp_path, [first, twin, *rest], lambda item, one: 0.0)
    )
    with pytest.raises(DataError, match=r"question q0000 stands twice in eng_Latn\."):
        read_answers(run, "x", "eng_Latn")


def test_extractions_are_held_against_their_references(tmp_path: Path) -> None:
    items = [
        language_runs.extraction(0, "eng_Latn", ["the Nile", "River Nile"]),
        language_runs.extraction(1, "eng_Latn", ["Paris"]),
        language_runs.extraction(2, "tel_Telu", ["గోదావరి"]),
        language_runs.extraction(3, "tel_Telu", ["గోదావరి"]),
        language_runs.extraction(4, "tel_Telu", ["గోదావరి"]),
    ]
    made = {
        0: Generated(text=" The Nile.\n\nQuestion: and now?", n_tokens=49),
        1: Generated(text=" Paris, I think, or Lyon", n_tokens=50),
        2: Generated(text="", n_tokens=0, truncated=7),
        3: Generated(text=None, n_tokens=50),
        # The item of number 4 has no row, as where a run was stopped.
    }

    def reply(item: Item) -> Generated | None:
        return made.get(int(item.id.rpartition("-")[2]))

    def score(item: Item, candidate: Candidate) -> float:
        if item.id == "tel_Telu-0003":
            return math.nan
        return -2.0 if candidate.id == "reference-1" else -0.5

    run = load_run(language_runs.store(tmp_path, items, score, reply=reply))
    frame = extractions(run)
    assert list(frame["item_id"]) == [item.id for item in items]
    assert frame["exact"].tolist()[:3] == [1, 0, 0]
    assert frame["f1"].tolist()[:3] == [1, pytest.approx(2 / 6), 0]
    assert frame["exact"][3:].isna().all() and frame["f1"][3:].isna().all()
    # 50 tokens is as long as it may be; an answer that was not made did not run on.
    assert frame["ran_on"].tolist() == [False, True, False, False, False]
    assert frame["truncated"].tolist() == [False, False, True, False, False]
    assert frame["logprob"].tolist()[:3] == [-0.5, -2, -2]
    assert math.isnan(frame["logprob"][3])
    assert frame["text"].tolist()[:3] == ["The Nile.", "Paris, I think, or Lyon", ""]
    assert frame["references"][0] == ("the Nile", "River Nile")
    # Two questions of a document belong together, and documents of two languages not.
    assert frame["cluster"][0] == frame["cluster"][1]
    assert len(set(frame["cluster"])) == 3
    assert language_names(run) == {"eng_Latn": "English", "tel_Telu": "Telugu"}


def test_an_item_without_references_is_refused(tmp_path: Path) -> None:
    first, second = (
        language_runs.extraction(number, "eng_Latn", ["Paris"]) for number in range(2)
    )
    meta = dict(second.meta) | {"references": []}
    items = [first, dataclasses.replace(second, meta=meta)]
    run = load_run(
        language_runs.store(
            tmp_path,
            items,
            lambda item, one: 0.0,
            reply=lambda item: Generated(text="x"),
        )
    )
    with pytest.raises(
        DataError,
        match=r"item eng_Latn-0001 has no reference answer in its meta\. Answers are "
        r"held against at least one reference\. Put a list of answers under references",
    ):
        extractions(run)


def test_kinds_are_told_apart_by_columns_and_meta(tmp_path: Path) -> None:
    score = language_runs.picks(lambda item: 0.5)
    chosen = language_runs.store(
        tmp_path, language_runs.choices(CODES, 2), score, probe="my_own"
    )
    short = language_runs.store(
        tmp_path,
        language_runs.extractions({"eng_Latn": 2}),
        lambda item, one: 0.0,
        probe="another",
    )
    games = md3_runs.games({"en_us": 5, "en_in": 5})
    other = md3_runs.store(
        tmp_path, games, {Measure.REWARD: md3_runs.wins(lambda item: 0.5)[0]}
    )
    assert [kind(load_run(path)) for path in (chosen, short, other)] == [
        "choices",
        "extractions",
        None,
    ]
    with pytest.raises(
        DataError,
        match=r"has the columns .*, and no reference answers in its items' meta\. A "
        r"run of the languages axis has the columns language, correct and place, or "
        r"the column language and references\. Name a run of belebele or tydiqa\.$",
    ):
        read_answers(load_run(other), "x", "eng_Latn")


def test_a_run_without_any_answer_is_refused(tmp_path: Path) -> None:
    chosen = language_runs.store(
        tmp_path, language_runs.choices(CODES, 2), lambda item, one: math.nan
    )
    short = language_runs.store(
        tmp_path, language_runs.extractions({"eng_Latn": 2}), lambda item, one: 0.0
    )
    for path, what in ((chosen, "a score for every letter"), (short, "a generation")):
        with pytest.raises(DataError, match=f"has no item with {what}"):
            read_answers(load_run(path), "x", "eng_Latn")


def test_two_languages_of_one_name_are_told_apart(tmp_path: Path) -> None:
    items = [
        language_runs.choice(0, code, language_name="Hindi")
        for code in ("hin_Deva", "hin_Latn")
    ]
    run = load_run(language_runs.store(tmp_path, items, lambda item, one: 0.0))
    names = read_answers(run, "x", "eng_Latn").names
    assert names == {"hin_Deva": "Hindi (hin_Deva)", "hin_Latn": "Hindi (hin_Latn)"}
