"""Runs as distributions: rotations cancel, gaps are counted, nothing is filled in."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.load import Run, item_meta, load_run
from analysis.opinions import load_opinion_run
from analysis.opinions_data import OpinionTable, opinion_table
from analysis.opinions_measures import js_matrix, spearman_matrix
from probe.types import Candidate, DataError, Item, Measure
from tests import opinion_runs
from tests.opinion_runs import copies, made_up, noise, question, share

KEYS = ("USA", "NGA", "DEU")


def table(path: Path) -> OpinionTable:
    return opinion_table(load_opinion_run(path))


def always_a(item: Item, candidate: Candidate) -> float:
    """A model that likes the first place, whatever stands there."""
    return 0.0 if candidate.groups["place"] == 0 else -2.0


def test_a_liking_for_letters_averages_out(tmp_path: Path) -> None:
    found = table(opinion_runs.policy(tmp_path, made_up(6, KEYS), always_a))
    assert found.shares == pytest.approx(found.uniform)
    assert found.places is not None
    top = 1 / (1 + 3 * math.exp(-2))
    assert found.places[:, 0] == pytest.approx([top] * 6)
    assert found.places.sum(axis=1) == pytest.approx(1)


def test_rotations_are_averaged_as_shares_not_as_logarithms(tmp_path: Path) -> None:
    [one] = made_up(1, KEYS)
    scores = {"rotation-0": [0.0, -1, -1, -1], "rotation-1": [-3.0, 0, 0, 0]}

    def score(item: Item, candidate: Candidate) -> float:
        return scores.get(str(item.groups["variant"]), [0.0] * 4)[int(candidate.id)]

    found = table(opinion_runs.policy(tmp_path, [one], score))
    expected = 0.0
    for values in (*scores.values(), [0.0] * 4, [0.0] * 4):
        raised = np.exp(values)
        expected += raised[0] / raised.sum() / 4
    assert found.shares[0, 0] == pytest.approx(expected)


def test_an_option_without_a_score_costs_its_rotation(tmp_path: Path) -> None:
    questions = made_up(3, KEYS)
    hurt, lost = questions[0].id, questions[1].id

    def score(item: Item, candidate: Candidate) -> float:
        if candidate.id != "2":
            return 0.0
        if item.groups["question_id"] == lost:
            return math.nan
        broken = item.groups["question_id"] == hurt
        return math.nan if broken and item.groups["variant"] == "rotation-1" else 0.0

    found = table(opinion_runs.policy(tmp_path, questions, score))
    assert lost not in found.questions and len(found.questions) == 2
    assert found.n_read == 3 and found.n_incomplete == 1
    reason = "questions without a rotation that has a score for every option"
    assert found.dropped == {reason: 1}
    assert found.shares == pytest.approx(found.uniform)
    assert found.places is not None
    row = found.questions.index(hurt)
    assert np.isnan(found.places[row]).all()
    assert np.isfinite(np.delete(found.places, row, axis=0)).all()
    assert len(found.pair_question) == 2 * len(KEYS)


def test_a_personas_gaps_are_counted_apart(tmp_path: Path) -> None:
    questions = made_up(3, KEYS)

    def score(item: Item, candidate: Candidate) -> float:
        lost = item.groups["question_id"] == questions[0].id
        some = item.groups["question_id"] == questions[1].id
        gone = lost or (some and item.groups["variant"] == "rotation-0")
        return math.nan if gone and item.groups["persona"] == "NGA" else 0.0

    path = opinion_runs.policy(tmp_path, questions, score, personas=["NGA"])
    found = table(path)
    assert len(found.questions) == 3 and found.n_incomplete == 1
    assert list(found.dropped.items()) == [
        (
            "questions asked of persona NGA without a rotation that has a score for "
            "every option",
            1,
        )
    ]
    [steered] = found.steered
    row = found.questions.index(questions[0].id)
    assert np.isnan(steered.logits[row]).all()
    assert np.isfinite(np.delete(steered.logits, row, axis=0)).all()


def test_a_run_with_no_usable_question_says_so(tmp_path: Path) -> None:
    path = opinion_runs.policy(tmp_path, made_up(2, KEYS), lambda *_: math.nan)
    with pytest.raises(DataError, match="no question in which every option has"):
        table(path)


def test_rewards_have_no_zero_and_no_unit(tmp_path: Path) -> None:
    questions = made_up(8, KEYS)

    def plain(item: Item, candidate: Candidate) -> float:
        return math.log(share(item, candidate, "NGA"))

    def other(item: Item, candidate: Candidate) -> float:
        return (
            40 * plain(item, candidate)
            + len(item.id)
            + int(str(item.groups["question_id"])[1:4], 16)
        )

    one, two = (
        table(opinion_runs.reward(tmp_path / name, questions, score))
        for name, score in (("one", plain), ("two", other))
    )
    assert two.shares == pytest.approx(one.shares)
    assert one.reward_sd is not None and two.reward_sd == pytest.approx(
        40 * one.reward_sd
    )
    people = np.array([one.pair_shares[one.pair_public == 1]])[0]
    logs = np.log(people)
    centred = logs - logs.mean(axis=1, keepdims=True)
    sd = math.sqrt((centred**2).sum() / (centred.size - len(centred)))
    assert one.reward_sd == pytest.approx(sd, rel=1e-6)
    raised = np.exp(logs / sd)
    expected = raised / raised.sum(axis=1, keepdims=True)
    assert one.shares == pytest.approx(expected, rel=1e-6)


def test_options_in_the_countrys_order_have_rank_correlation_one(
    tmp_path: Path,
) -> None:
    found = table(opinion_runs.reward(tmp_path, made_up(8, KEYS), copies("NGA")))
    ranks = spearman_matrix(found).mean(axis=0)
    place = [public.key for public in found.publics].index("NGA")
    assert ranks[place] == pytest.approx(1)
    assert (np.delete(ranks, place) < 0.9).all()


def test_equal_rewards_are_a_uniform_answer(tmp_path: Path) -> None:
    found = table(opinion_runs.reward(tmp_path, made_up(3, KEYS), lambda *_: 2.5))
    assert found.shares == pytest.approx(found.uniform)


def test_questions_of_many_lengths_are_padded(tmp_path: Path) -> None:
    questions = [
        question(0, {"USA": [0.2, 0.8], "NGA": [0.5, 0.5]}, ["Yes", "No"]),
        question(1, {"USA": [1, 0, 0, 0]}),
    ]
    found = table(opinion_runs.policy(tmp_path, questions, copies("USA")))
    assert sorted(found.n_options.tolist()) == [2, 4]
    assert found.shares.sum(axis=1) == pytest.approx(1)
    assert (found.shares[found.n_options == 2, 2:] == 0).all()
    similarity = js_matrix(found, found.shares, 2)
    usa, nga = ([one.key for one in found.publics].index(key) for key in ("USA", "NGA"))
    assert similarity[:, usa] == pytest.approx(1, abs=1e-3)
    assert np.isnan(similarity[:, nga]).sum() == 1
    assert np.isfinite(found.ordinal).all(axis=1).sum() == 1


def test_the_headline_public_was_asked_the_most(tmp_path: Path) -> None:
    sample = ("IND", "Old national sample")
    questions = [
        question(0, {"IND": [1, 1, 1, 1], sample: [1, 2, 1, 1], "USA": [1, 1, 1, 2]}),
        question(1, {sample: [1, 1, 3, 1], "USA": [1, 1, 1, 1]}),
    ]
    path = opinion_runs.policy(tmp_path / "more", questions, noise(0))
    found = table(path)
    groups = [found.publics[i].group for i in found.headline]
    assert groups == ["IND (Old national sample)", "USA"]
    assert found.publics[found.headline[0]].name == "India (old national sample)"
    tie = table(opinion_runs.policy(tmp_path / "tie", questions[:1], noise(0)))
    assert [tie.publics[i].group for i in tie.headline] == ["IND", "USA"]


def test_order_of_the_items_changes_nothing(tmp_path: Path) -> None:
    questions = made_up(5, KEYS)
    one = table(opinion_runs.policy(tmp_path / "a", questions, copies("DEU")))
    two = table(opinion_runs.policy(tmp_path / "b", questions[::-1], copies("DEU")))
    assert one.questions == two.questions
    assert one.shares == pytest.approx(two.shares)
    key = dict(
        zip(two.pair_question * 9 + two.pair_public, two.pair_shares, strict=True)
    )
    for row, column, values in zip(
        one.pair_question, one.pair_public, one.pair_shares, strict=True
    ):
        assert key[row * 9 + column] == pytest.approx(values)


def test_rotations_share_one_meta(tmp_path: Path) -> None:
    path = opinion_runs.policy(tmp_path, made_up(3, KEYS), noise(0))
    run = load_run(path, Measure.LOGPROB_SUM)
    found = item_meta(run)
    assert list(found) == list(dict.fromkeys(run.frame["item_id"]))
    assert len({id(meta) for meta in found.values()}) == 3
    assert "meta" not in run.frame


def altered(path: Path, **columns: object) -> Run:
    run = load_opinion_run(path)
    return dataclasses.replace(run, frame=run.frame.assign(**columns))


def test_runs_that_are_not_about_opinions_are_refused(tmp_path: Path) -> None:
    path = opinion_runs.policy(tmp_path, made_up(2, KEYS), noise(0))
    run = load_opinion_run(path)
    lacking = dataclasses.replace(run, frame=run.frame.drop(columns="protocol"))
    with pytest.raises(DataError, match="no column protocol"):
        opinion_table(lacking)
    protocols = pd.Series(["letters", "answers"] * (len(run.frame) // 2))
    with pytest.raises(DataError, match="protocol is answers, letters"):
        opinion_table(altered(path, protocol=protocols))
    with pytest.raises(DataError, match="logprob_sum of items with the protocol ans"):
        opinion_table(altered(path, protocol="answers"))
    with pytest.raises(DataError, match="candidate 'A'"):
        opinion_table(altered(path, candidate_id="A"))


def meta_run(tmp_path: Path, meta: dict[str, object]) -> Path:
    item = Item(
        id="q-rotation-0",
        messages=(),
        candidates=(Candidate(id="0", answer="A"), Candidate(id="1", answer="B")),
        groups={
            "question_id": "q",
            "protocol": "letters",
            "variant": "rotation-0",
            "survey": None,
        },
        meta=meta,
    )
    messages = made_up(1, KEYS)
    built = opinion_runs._items(messages, "policy", ())[0]
    item = dataclasses.replace(item, messages=built.messages)
    return opinion_runs.store(tmp_path, [item], {Measure.LOGPROB_SUM: noise(0)})


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "no list `options`"),
        ({"options": ["a"], "answers": []}, "a question has 1 option"),
        ({"options": ["a", "b"], "answers": []}, "no answers of people"),
        (
            {
                "options": ["a", "b"],
                "answers": [{"key": "USA", "sample": None, "shares": [0.0, 0.0]}],
            },
            "no answers of people",
        ),
    ],
)
def test_questions_that_cannot_be_compared_are_refused(
    tmp_path: Path, meta: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        table(meta_run(tmp_path, meta))


def test_answers_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    shares = {
        "USA": [0.5, 0.5],
        "NGA": [0.0, 0.0],
        "DEU": [0.2, 0.3, 0.5],
        "JPN": [-0.5, 1.5],
    }
    answers = [
        {"key": key, "sample": None, "shares": values}
        for key, values in (*shares.items(), ("USA", [0.1, 0.9]))
    ]
    path = meta_run(tmp_path, {"options": ["a", "b"], "answers": answers})
    found = table(path)
    assert [one.key for one in found.publics] == ["USA"]
    assert found.pair_shares.tolist() == [[0.5, 0.5]]
    assert found.dropped == {
        "answers: a public twice in one question": 1,
        "answers: a share is negative or no number": 1,
        "answers: all shares are zero": 1,
        "answers: as many shares as options are needed": 1,
    }
