"""What the opinion analysis claims: no more than is shown, over one set of people."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from analysis.html import Table
from analysis.opinions import OpinionAnalysis, analyse_opinions, load_opinion_run
from analysis.opinions_common import SAME_SHARES, common_set
from analysis.opinions_countries import Closest, find_closest
from analysis.opinions_data import opinion_table
from analysis.opinions_findings import (
    across_findings,
    closest_finding,
    diversity_finding,
    run_findings,
)
from analysis.opinions_measures import Scribe
from analysis.opinions_report import diversity_table, measure_table, opinions_section
from analysis.resample import Floats, question_counts, unstratified
from data_builders import countries, survey
from probe.types import Candidate, DataError, Item
from tests import opinion_runs
from tests.opinion_runs import copies, made_up, noise, question

KEYS = ("BRA", "DEU", "JPN", "NGA", "USA")
N_QUESTIONS = 60


def analyse(*paths: Path, **choices: object) -> OpinionAnalysis:
    runs = [load_opinion_run(path) for path in paths]
    return analyse_opinions(runs, **{"draws": 200, **choices})  # type: ignore[arg-type]


def even(item: Item, candidate: Candidate) -> float:
    return 0.0


@pytest.fixture(scope="module")
def nineteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of questions that 19 countries were asked."""
    keys = [one.key for one in countries.all_countries() if one.key != "USA"][:18]
    root = tmp_path_factory.mktemp("nineteen")
    return opinion_runs.policy(root, made_up(N_QUESTIONS, ("USA", *keys)), even)


def closest_of(path: Path, similarities: list[Floats]) -> list[Closest]:
    """Who is closest by each of some similarities, shape (questions, countries)."""
    table = opinion_table(load_opinion_run(path))
    keys = [public.key for public in table.publics]
    common = common_set([table], reference="USA", named=keys)
    assert (len(common.publics), len(common.questions)) == (19, N_QUESTIONS)
    counts = question_counts(unstratified(N_QUESTIONS), 200, 0)
    scribe = Scribe(table=table, base=2, draws=200)
    every = [find_closest(table, common, one, counts, scribe) for one in similarities]
    return [one for one in every if one is not None]


def equal(rng: np.random.Generator) -> Floats:
    """Equally alike to all; questions differ in how easily they are matched."""
    own = rng.beta(5, 3, (N_QUESTIONS, 19))
    return np.asarray((rng.beta(5, 3, (N_QUESTIONS, 1)) + own) / 2)


def test_among_equal_countries_none_is_said_to_be_further_off(nineteen: Path) -> None:
    """One survey in twenty at most; one in five with Holm over the 18 others only."""
    rng = np.random.default_rng(0)
    found = closest_of(nineteen, [equal(rng) for _ in range(300)])
    assert len(found) == 300
    assert sum(len(one.rivals) < 18 for one in found) / 300 <= 0.06


def test_a_country_that_leads_is_found_among_nineteen(nineteen: Path) -> None:
    rng = np.random.default_rng(1)
    lead = np.where(np.arange(19) == 7, 0.15, 0.0)
    found = closest_of(nineteen, [equal(rng) + lead for _ in range(20)])
    assert len({one.order[0] for one in found}) == 1
    assert sum(not one.rivals for one in found) >= 19
    record = found[0].against[0]
    assert record.p_value is not None and record.p_holm is not None
    assert record.p_holm > 18 * record.p_value
    assert "over all 171 pairs of countries" in str(record.ci_method)


def changed(
    questions: list[survey.Question], number: int, amount: float
) -> list[survey.Question]:
    """The survey with the first answers to one question changed a little."""
    old = questions[number]
    first = old.answers[0]
    shares = (first.shares[0] - amount, first.shares[1] + amount, *first.shares[2:])
    answers = (dataclasses.replace(first, shares=shares), *old.answers[1:])
    return [
        dataclasses.replace(old, answers=answers) if one is old else one
        for one in questions
    ]


def test_runs_of_two_copies_of_the_survey_do_not_stand_side_by_side(
    tmp_path: Path,
) -> None:
    questions = [
        question(i, {key: [3, 2 + i % 3, 2, 1] for key in KEYS}) for i in range(12)
    ]
    first = opinion_runs.policy(tmp_path, questions, noise(0), model="first")
    other = changed(questions, 3, 0.01)
    second = opinion_runs.policy(tmp_path, other, noise(1), model="second")
    with pytest.raises(DataError, match="1 of the 12 questions") as caught:
        analyse(first, second)
    text = str(caught.value)
    assert "first@" in text and "second@" in text and "Brazil" in text
    assert "Score both against one copy of the data, or report them apart" in text
    asked = [
        dataclasses.replace(one, answers=one.answers[:-1]) for one in questions[:5]
    ] + questions[5:]
    fewer = opinion_runs.policy(tmp_path, asked, noise(1), model="fewer")
    with pytest.raises(DataError, match=r"5 of the 12 .*in United States"):
        analyse(first, fewer)
    rounded = changed(questions, 3, SAME_SHARES / 2)
    third = opinion_runs.policy(tmp_path, rounded, noise(1), model="third")
    assert len(analyse(first, third).runs) == 2
    # What is not shared may be anything.
    apart = opinion_runs.policy(tmp_path, other[3:], noise(1), model="apart")
    alone = opinion_runs.policy(
        tmp_path, questions[:3] + questions[4:], noise(1), model="alone"
    )
    assert len(analyse(alone, apart).runs[0].common.questions) == 8


@pytest.mark.filterwarnings("error")
def test_of_one_mind_there_is_no_relative_entropy(tmp_path: Path) -> None:
    questions = [question(i, {key: [0, 1, 0, 0] for key in KEYS}) for i in range(15)]
    found = analyse(opinion_runs.policy(tmp_path, questions, noise(0)))
    [run] = found.runs
    record = run.diversity.model.relative_entropy
    assert record.estimate is None and record.ci_low is None
    assert record.ci_method == (
        "none: the human pool's entropy is zero, as people are all of one mind"
    )
    finding = diversity_finding(run)
    assert finding.certainty == "not shown"
    assert finding.evidence[0].startswith("People are all of one mind")
    closest = closest_finding(run)
    assert closest is not None and closest.certainty == "not shown"
    assert closest.claim == "Which country is closest is not resolved."
    [text] = closest.evidence
    assert "the mean similarity to each is 0." in text and "highest" not in text
    assert opinions_section(found, id="o", title="Opinions").blocks


@pytest.mark.filterwarnings("error")
def test_where_hardly_anybody_differs_there_is_no_interval(tmp_path: Path) -> None:
    questions = [
        question(i, {key: [0, 1, int(i == 0), 0] for key in KEYS}) for i in range(15)
    ]
    [run] = analyse(opinion_runs.policy(tmp_path, questions, noise(0))).runs
    record = run.diversity.model.relative_entropy
    # A draw in three lacks the only question with any entropy.
    assert record.estimate is not None and record.ci_low is None
    assert diversity_finding(run).certainty == "not shown"


def test_models_are_counted_after_holm(tmp_path: Path) -> None:
    questions = made_up(40, KEYS)
    paths = [
        opinion_runs.policy(tmp_path, questions, score, model=model)
        for model, score in (
            ("copy", copies("NGA")),
            ("noise", noise(0)),
            ("even", even),
        )
    ]
    found = analyse(*paths)
    records = [run.diversity.over_uniform for run in found.runs]
    ps = sorted(record.p_value for record in records if record.p_value is not None)
    assert len(ps) == 3
    assert min(record.p_holm or 0 for record in records) == pytest.approx(3 * ps[0])
    assert {record.family for record in records} == {"runs: fidelity_over_uniform"}
    [across] = across_findings(found)
    assert "counted after Holm over the 3" in across.evidence[0]


def test_the_difference_on_the_common_set_is_shown(tmp_path: Path) -> None:
    questions = made_up(20, KEYS) + made_up(9, ("USA", "NGA"), options=("a", "b", "c"))
    [run] = analyse(
        opinion_runs.policy(tmp_path, questions, copies("NGA")), common=KEYS
    ).runs
    row = run.countries.loc["NGA"]
    assert row["common_difference_low"] < row["common_difference"]
    assert row["common_difference"] < row["common_difference_high"]
    assert 0 <= row["common_difference_p_holm"] < 1e-3
    table = measure_table(run, "o")
    assert table.header[2:6] == ("Common set", "Difference", "95% interval", "p (Holm)")
    assert all(len(cells) == len(table.header) for cells in table.rows)
    assert "difference from United States" in table.note
    best = next(
        cells for cells in diversity_table(run, "o").rows if "alone" in cells[0].text
    )
    assert best[0].text == "made_up, Nigeria alone" and best[1].text == "1.000"
    [other] = analyse(run.run.path, reference="FRA").runs
    assert "Difference" not in measure_table(other, "o").header


def test_questions_of_other_samples_alone_are_counted(tmp_path: Path) -> None:
    sample = ("IND", "Old national sample")
    questions = [
        question(i, {"IND": [1, 2, 3, 4], "USA": [4, 3, 2, 1]}) for i in range(12)
    ]
    questions += [question(20 + i, {sample: [1, 2, 1, 1]}) for i in range(3)]
    [run] = analyse(opinion_runs.policy(tmp_path, questions, noise(0))).runs
    assert run.counts.questions == 15 and run.counts.no_headline == 3
    found = run.fidelity
    assert [record.metric for record in found.records] == [
        "fidelity_all",
        "fidelity_all_uniform",
        "fidelity_all_position",
        "fidelity_all_pool",
        "fidelity_all_over_uniform",
    ]
    assert {record.n for record in found.records} == {12}
    assert found.model.reference == "all questions asked of a headline public"
    text = " ".join(run_findings(run)[-1].evidence)
    assert "3 questions were only asked of a sample beside a country's headline" in text


def test_an_effective_number_says_what_is_corrected(tmp_path: Path) -> None:
    [run] = analyse(opinion_runs.policy(tmp_path, made_up(20, KEYS), noise(0))).runs
    for record in (run.diversity.model.effective, *run.diversity.own):
        assert str(record.ci_method).startswith("bias-corrected bootstrap over quest")
        assert "the estimate is not: low with few" in str(record.ci_method)
    assert "percentile" in str(run.diversity.model.relative_entropy.ci_method)
    found = analyse(run.run.path)
    method = opinions_section(found, id="o", title="Opinions").method
    assert any("its interval is corrected for that" in one.text for one in method)


def test_a_recorded_run_says_what_was_normalised(tmp_path: Path) -> None:
    items = [
        dataclasses.replace(item, groups={**item.groups, "protocol": "recorded"})
        for item in opinion_runs._items(made_up(12, KEYS), "policy", ())
        if item.groups["variant"] == "rotation-0"
    ]
    path = opinion_runs.store(
        tmp_path, items, {opinion_runs.Measure.LOGPROB_MEAN: lambda *_: math.log(0.25)}
    )
    section = opinions_section(analyse(path), id="o", title="Opinions")
    assert (
        "What is normalised is the mean token log-probability, as rec" in section.lead
    )
    assert any(isinstance(block, Table) for block in section.blocks)
