"""The opinion analysis: planted effects are found, planted nulls are not."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from analysis.opinions import (
    OpinionAnalysis,
    OpinionRun,
    analyse_opinions,
    load_opinion_run,
)
from analysis.opinions_common import common_set
from analysis.opinions_data import opinion_table
from analysis.opinions_diversity import effective_countries
from analysis.opinions_measures import TESTED_QUESTIONS, columns
from analysis.records import Record, dumps, loads
from analysis.resample import MIN_QUESTIONS, question_counts, unstratified
from probe.types import Candidate, DataError, Item, Measure
from tests import opinion_runs
from tests.opinion_runs import AGREE, copies, made_up, noise, question, share

KEYS = ("BRA", "DEU", "JPN", "NGA", "USA")
DRAWS = 300


def analyse(*paths: Path, **choices: object) -> OpinionAnalysis:
    runs = [load_opinion_run(path) for path in paths]
    return analyse_opinions(runs, **{"draws": DRAWS, **choices})  # type: ignore[arg-type]


def one(path: Path, **choices: object) -> OpinionRun:
    return analyse(path, **choices).runs[0]


def by_metric(run: OpinionRun, metric: str) -> dict[str | None, Record]:
    return {record.group: record for record in run.records if record.metric == metric}


@pytest.fixture(scope="module")
def copier(tmp_path_factory: pytest.TempPathFactory) -> OpinionRun:
    """A model that answers as the people of Nigeria do."""
    root = tmp_path_factory.mktemp("copier")
    return one(opinion_runs.policy(root, made_up(40, KEYS), copies("NGA")))


def test_a_model_that_copies_a_country_is_closest_to_it(copier: OpinionRun) -> None:
    closest = copier.closest
    assert closest is not None
    assert closest.order[0] == "NGA" and not closest.rivals
    assert copier.countries.index[0] == "NGA"
    assert copier.countries.loc["NGA", "similarity"] == pytest.approx(1, abs=1e-6)
    assert copier.countries.loc["NGA", "wasserstein"] == pytest.approx(1, abs=1e-6)
    assert copier.countries.loc["NGA", "rank_correlation"] == pytest.approx(1)
    assert copier.countries.loc["NGA", "difference_p_holm"] < 1e-6
    assert copier.countries.loc["NGA", "over_p_holm"] < 1e-6
    others = copier.countries.drop(index=["NGA", "USA"])
    assert (others["difference_p_holm"] > 0.05).all()


def test_it_represents_one_country(copier: OpinionRun) -> None:
    found = copier.diversity
    assert found.model.effective.estimate == pytest.approx(1)
    assert found.model.effective.ci_high == pytest.approx(1)
    assert found.best_shares[0] == ("NGA", pytest.approx(1))
    assert found.best_fidelity.group == "NGA"
    assert [record.estimate for record in found.own] == pytest.approx([1] * len(KEYS))
    nigeria = next(s for s in found.countries if s.country == "NGA")
    assert found.model.relative_entropy.estimate == pytest.approx(
        nigeria.relative_entropy.estimate, rel=1e-6
    )
    assert found.uniform.relative_entropy.estimate is not None
    assert found.uniform.relative_entropy.estimate > 1
    assert found.pool.relative_entropy.estimate == pytest.approx(1)


def test_a_model_that_takes_turns_represents_them_all(tmp_path: Path) -> None:
    questions = made_up(40, KEYS)
    turn = {q.id: KEYS[i % len(KEYS)] for i, q in enumerate(questions)}

    def score(item: Item, candidate: Candidate) -> float:
        return math.log(share(item, candidate, turn[str(item.groups["question_id"])]))

    found = one(opinion_runs.policy(tmp_path, questions, score))
    effective = found.diversity.model.effective
    assert effective.estimate == pytest.approx(len(KEYS))
    assert effective.ci_low is not None and effective.ci_low > 4
    assert found.closest is not None and found.closest.rivals


def test_fidelity_is_the_mean_over_countries_and_questions(
    copier: OpinionRun,
) -> None:
    means = copier.countries["similarity"]
    assert copier.diversity.model.fidelity.estimate == pytest.approx(means.mean())
    assert copier.diversity.model.fidelity.n == 40
    uniform = copier.countries["uniform"]
    assert copier.diversity.uniform.fidelity.estimate == pytest.approx(uniform.mean())
    gap = copier.diversity.over_uniform
    assert gap.estimate == pytest.approx(means.mean() - uniform.mean())


def test_fidelity_over_all_questions_counts_each_question_once(
    copier: OpinionRun, tmp_path: Path
) -> None:
    # Everybody was asked everything: the same as on the common set.
    same = copier.diversity.model.fidelity
    assert copier.fidelity.model.estimate == pytest.approx(same.estimate)
    assert copier.fidelity.countries == len(KEYS)
    questions = made_up(6, KEYS) + made_up(9, ("USA", "DEU"), options=AGREE[:3])
    found = one(opinion_runs.policy(tmp_path, questions, noise(0))).fidelity
    table = opinion_table(load_opinion_run(next(tmp_path.glob("*/*"))))
    per_question: dict[int, list[float]] = {}
    for row, shares in zip(table.pair_question, table.pair_shares, strict=True):
        per_question.setdefault(int(row), []).append(
            1 - float(jensenshannon(table.shares[row], shares, base=2))
        )
    means = [np.mean(values) for values in per_question.values()]
    assert found.model.n == len(means) == 15
    assert found.model.estimate == pytest.approx(float(np.mean(means)))
    gap = found.over_uniform
    assert found.model.estimate is not None and found.uniform.estimate is not None
    assert gap.estimate == pytest.approx(found.model.estimate - found.uniform.estimate)
    assert gap.p_value is not None and found.model.p_value is None


def test_a_uniform_model_is_its_own_yardstick(tmp_path: Path) -> None:
    found = one(opinion_runs.policy(tmp_path, made_up(20, KEYS), lambda *_: 0.0))
    for over in (found.diversity.over_uniform, found.fidelity.over_uniform):
        assert over.estimate == pytest.approx(0) and over.p_value == pytest.approx(1)
    assert (found.countries["over_p_holm"] > 0.99).all()


def test_a_planted_null_is_rejected_one_time_in_twenty() -> None:
    """p and interval of a mean over 40 skewed questions, of 3,000 publics."""
    rng = np.random.default_rng(0)
    values = rng.gamma(2, 0.1, (40, 3000)) - rng.gamma(2, 0.1, (40, 3000))
    found = columns(values, question_counts(unstratified(40), 500, 0))
    assert 0.04 < (found.p < 0.05).mean() < 0.06
    assert 0.92 < ((found.low < 0) & (found.high > 0)).mean() < 0.96
    shifted = columns(values + 0.15, question_counts(unstratified(40), 500, 0))
    assert (shifted.p < 0.05).mean() > 0.95


def test_an_effective_numbers_interval_covers_that_of_more_questions() -> None:
    """100 questions, 10 countries; uncorrected draws would nearly all lie below."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        shares = rng.dirichlet(np.full(10, 2.0))
        truth = float(np.exp(-(shares * np.log(shares)).sum()))
        matches = np.eye(10)[rng.choice(10, 100, p=shares)]
        counts = question_counts(unstratified(100), 200, 0)
        estimate, low, high = effective_countries(matches, counts)
        assert low <= estimate <= high
        covered += low <= truth <= high
    assert 0.9 <= covered / 200 <= 0.99


def test_a_random_model_is_closest_to_nobody(tmp_path: Path) -> None:
    """Nor, one country taken with the other, more alike to one than to another."""
    resolved, ps = 0, []
    for seed in range(20):
        questions = made_up(30, KEYS, seed=seed)
        path = opinion_runs.policy(tmp_path / str(seed), questions, noise(seed))
        found = one(path, draws=100)
        assert found.closest is not None
        resolved += not found.closest.rivals
        records = by_metric(found, "js_similarity_difference").values()
        ps += [record.p_value for record in records]
    assert resolved <= 1
    assert len(ps) == 80 and sum(p < 0.05 for p in ps if p is not None) <= 10


def test_place_bias_is_measured_and_averages_out(tmp_path: Path) -> None:
    def first(item: Item, candidate: Candidate) -> float:
        return 0.0 if candidate.groups["place"] == 0 else -3.0

    questions = made_up(12, KEYS)
    questions += made_up(12, KEYS, seed=1, options=["Yes", "No"])[:12]
    found = one(opinion_runs.policy(tmp_path, questions, first))
    position = found.position
    assert position is not None
    four = 1 / (1 + 3 * math.exp(-3))
    two = 1 / (1 + math.exp(-3))
    places = position.places.set_index(["n_options", "place"])["share"]
    assert places[4, 1] == pytest.approx(four) and places[2, 1] == pytest.approx(two)
    assert position.variation.estimate == pytest.approx((four - 0.25 + two - 0.5) / 2)
    assert position.first.estimate == pytest.approx((four - 0.25 + two - 0.5) / 2)
    assert position.first.ci_low is not None and position.first.ci_low > 0
    assert position.last.estimate is not None and position.last.estimate < 0
    # With rotations it is the uniform answerer; without, it is far from people.
    frame = found.countries
    assert frame["similarity"].to_numpy() == pytest.approx(frame["uniform"])
    assert (frame["position_only"] < frame["uniform"]).all()
    # Everybody was asked everything: the record is the mean over countries.
    alone = found.fidelity.position
    assert alone is not None and alone.metric == "fidelity_all_position"
    assert alone.estimate == pytest.approx(frame["position_only"].mean())
    assert alone.ci_low is not None and alone.n == 24


def test_a_model_that_reads_contents_has_no_place_bias(copier: OpinionRun) -> None:
    assert copier.position is not None
    assert copier.position.variation.estimate == pytest.approx(0, abs=1e-12)
    frame = copier.countries
    assert frame["position_only"].to_numpy() == pytest.approx(frame["uniform"])


def steered(works: str) -> opinion_runs.Score:
    """A model whose answers follow one persona, and are random otherwise."""
    random = noise(3)

    def score(item: Item, candidate: Candidate) -> float:
        if item.groups["persona"] == works:
            return math.log(share(item, candidate, works))
        return random(item, candidate)

    return score


@pytest.mark.parametrize("write", [opinion_runs.policy, opinion_runs.reward])
def test_steering_is_found_where_it_was_planted(tmp_path: Path, write: object) -> None:
    questions = made_up(30, KEYS)
    path = write(tmp_path, questions, steered("NGA"), personas=("DEU", "NGA"))  # type: ignore[operator]
    found = one(path)
    assert found.steering is not None
    frame = found.steering.personas
    assert frame["works"].to_dict() == {"DEU": False, "NGA": True}
    assert frame.loc["NGA", "shift"] > 0.1
    assert frame.loc["NGA", "relative_low"] > 0
    assert frame.loc["DEU", "shift"] == pytest.approx(0)
    assert frame.loc["DEU", "p_holm"] == pytest.approx(1)
    assert frame.loc["NGA", "steered"] - frame.loc["NGA", "unsteered"] == pytest.approx(
        frame.loc["NGA", "shift"]
    )
    # Persona's items never enter the unsteered answers.
    plain = one(write(tmp_path / "plain", questions, steered("NGA")))  # type: ignore[operator]
    assert plain.steering is None
    assert plain.diversity.model == found.diversity.model


def test_a_general_movement_is_not_about_the_country(tmp_path: Path) -> None:
    """Under any persona this model answers as all people together do."""
    random = noise(4)

    def score(item: Item, candidate: Candidate) -> float:
        if item.groups["persona"] is None:
            return random(item, candidate)
        return math.log(sum(share(item, candidate, key) for key in KEYS))

    path = opinion_runs.policy(
        tmp_path, made_up(40, KEYS), score, personas=("DEU", "NGA")
    )
    steering = one(path).steering
    assert steering is not None
    assert steering.personas["works"].all()
    assert (steering.personas["relative_p_holm"] > 0.05).all()


def test_a_persona_is_compared_on_its_own_questions(tmp_path: Path) -> None:
    questions = made_up(12, KEYS) + made_up(9, ("USA", "DEU"), options=AGREE[:3])
    path = opinion_runs.policy(tmp_path, questions, noise(0), personas=("NGA", "USA"))
    steering = one(path).steering
    assert steering is not None
    assert steering.personas["n_questions"].to_dict() == {"NGA": 12, "USA": 21}


def test_temperatures_stand_beside_rewards(tmp_path: Path) -> None:
    found = one(opinion_runs.reward(tmp_path, made_up(20, KEYS), copies("DEU")))
    assert found.reward_sd is not None
    values = [one.value for one in found.similarity.temperatures]
    assert values == [0.5, 2.0]
    assert [one.best for one in found.similarity.temperatures] == ["DEU", "DEU"]
    metrics = Counter(record.metric for record in found.records)
    assert metrics["js_similarity_t0.5"] == metrics["js_similarity_t2"] == len(KEYS)
    assert metrics["fidelity_t0.5"] == metrics["fidelity_t2"] == 1
    assert found.countries["position_only"].isna().all() and found.position is None
    # The temperature at which it was planted gives the country's answers back.
    peak = found.countries.loc["DEU", "rank_correlation"]
    assert peak == pytest.approx(1)


def test_the_reference_is_compared_on_shared_questions(tmp_path: Path) -> None:
    questions = made_up(12, KEYS) + made_up(9, ("JPN", "DEU"), options=AGREE[:3])
    found = one(opinion_runs.policy(tmp_path, questions, noise(0)))
    frame = found.countries
    assert frame.loc["JPN", "n_questions"] == 21
    assert frame.loc["JPN", "n_shared"] == 12
    assert math.isnan(frame.loc["USA", "difference"])
    other = one(
        opinion_runs.policy(tmp_path / "b", questions[:12], noise(0)), reference="USA"
    )
    assert frame.loc["JPN", "difference"] == pytest.approx(
        other.countries.loc["JPN", "difference"]
    )


def test_a_reference_that_nobody_was_asked_in_leaves_no_differences(
    tmp_path: Path,
) -> None:
    found = one(
        opinion_runs.policy(tmp_path, made_up(12, KEYS), noise(0)), reference="FRA"
    )
    assert found.similarity.reference is None
    assert found.countries["difference"].isna().all()
    assert not by_metric(found, "js_similarity_difference")


def test_the_common_set_is_chosen_from_who_was_asked(tmp_path: Path) -> None:
    few = ("USA", "DEU")
    questions = made_up(40, KEYS) + made_up(30, few, options=AGREE[:3])
    path = opinion_runs.policy(tmp_path, questions, noise(0))
    table = opinion_table(load_opinion_run(path))
    found = common_set([table], reference="USA", named=None)
    assert [one.key for one in found.publics] == ["USA", "DEU", "BRA", "JPN", "NGA"]
    assert len(found.questions) == 40
    named = common_set([table], reference="USA", named=few)
    assert [one.key for one in named.publics] == ["USA", "DEU"]
    assert len(named.questions) == 70 and named.named
    with pytest.raises(DataError, match="nobody in France was asked"):
        common_set([table], reference="USA", named=["USA", "FRA"])


def test_few_questions_do_not_stretch_over_many_countries(tmp_path: Path) -> None:
    questions = made_up(8, KEYS) + made_up(12, ("USA", "DEU"), options=AGREE[:3])
    path = opinion_runs.policy(tmp_path, questions, noise(0))
    table = opinion_table(load_opinion_run(path))
    found = common_set([table], reference="USA", named=None)
    assert [one.key for one in found.publics] == ["USA", "DEU"]
    lonely = [question(0, {"USA": [1, 1, 1, 1]}), question(1, {"DEU": [1, 2, 1, 1]})]
    table = opinion_table(
        load_opinion_run(opinion_runs.policy(tmp_path / "two", lonely, noise(0)))
    )
    assert [
        o.key for o in common_set([table], reference="USA", named=None).publics
    ] == ["USA"]
    with pytest.raises(DataError, match="no question was asked in all of DEU, USA"):
        common_set([table], reference="USA", named=["DEU", "USA"])


def test_of_fewer_than_five_questions_nothing_is_said(tmp_path: Path) -> None:
    path = opinion_runs.policy(tmp_path, made_up(MIN_QUESTIONS - 1, KEYS), noise(0))
    found = one(path)
    for record in found.records:
        assert record.ci_low is None and record.p_value is None
        assert record.ci_method and "fewer than 5 questions" in record.ci_method
    path = opinion_runs.policy(
        tmp_path / "more", made_up(TESTED_QUESTIONS - 1, KEYS), noise(0)
    )
    found = one(path)
    assert all(record.p_value is None for record in found.records)
    assert found.countries["ci_low"].notna().all()


def test_a_lonely_question_is_analysed_without_a_word_too_many(tmp_path: Path) -> None:
    path = opinion_runs.policy(tmp_path, [question(0, {"USA": [1, 1, 1, 2]})], noise(0))
    found = one(path)
    assert found.closest is None and not found.diversity.countries
    assert found.diversity.model.effective.estimate == pytest.approx(1)
    assert math.isnan(found.countries.loc["USA", "pool"])


def test_the_normalisation_chooses_the_measure(tmp_path: Path) -> None:
    questions = made_up(6, KEYS)
    items = opinion_runs._items(questions, "policy", ())
    path = opinion_runs.store(
        tmp_path,
        items,
        {Measure.LOGPROB_SUM: copies("USA"), Measure.LOGPROB_MEAN: copies("DEU")},
    )
    mean = load_opinion_run(path, "mean_nll")
    assert mean.measure is Measure.LOGPROB_MEAN
    for given in (mean, load_opinion_run(path)):
        for normalisation, key in (("sum", "USA"), ("mean_nll", "DEU")):
            found = analyse_opinions(
                [given],
                normalisation=normalisation,  # type: ignore[arg-type]
                draws=50,
            )
            assert found.runs[0].countries.index[0] == key


def test_every_record_says_what_it_rests_on(copier: OpinionRun) -> None:
    assert loads(dumps(copier.records)) == copier.records
    for record in copier.records:
        assert record.n > 0 and record.cluster == "question" and record.ci_method
        assert (record.ci_low is None) == (record.ci_high is None)
        parts = ("js", "fidelity", "effective")
        if any(part in record.metric for part in parts):
            assert "base 2" in record.ci_method
        if record.p_holm is not None and record.p_value is not None:
            assert record.p_holm >= record.p_value
    keys = Counter((r.metric, r.group, r.reference) for r in copier.records)
    assert max(keys.values()) == 1
    analyses = {record.analysis for record in copier.records}
    assert analyses == {
        "opinion_similarity",
        "opinion_difference",
        "fidelity",
        "diversity",
        "position_bias",
    }


def test_natural_logarithm_is_named_and_higher(tmp_path: Path) -> None:
    path = opinion_runs.policy(tmp_path, made_up(12, KEYS), noise(0))
    two, natural = one(path), one(path, base="e")
    assert (
        natural.countries.loc["JPN", "similarity"]
        > two.countries.loc["JPN", "similarity"]
    )
    records = by_metric(natural, "js_similarity")
    assert "natural logarithm" in str(records["JPN"].ci_method)
    assert not any("base 2" in str(record.ci_method) for record in natural.records)


def test_samples_are_shown_and_not_tested(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sample = ("IND", "Old national sample")
    questions = [
        question(
            i,
            {
                who: rng.dirichlet(np.ones(4))
                for who in ("USA", "IND", *([sample] if i < 15 else []))
            },
        )
        for i in range(20)
    ]
    found = one(opinion_runs.policy(tmp_path, questions, noise(0)))
    records = by_metric(found, "js_similarity_difference")
    assert records["IND (Old national sample)"].p_value is None
    assert records["IND"].p_value is not None and records["IND"].p_holm is not None
    assert found.counts.samples == 1 and found.counts.countries == 2
    assert [public.group for public in found.common.publics] == ["USA", "IND"]


def test_numbers_do_not_depend_on_other_runs_or_on_the_hour(tmp_path: Path) -> None:
    questions = made_up(12, KEYS)
    a = opinion_runs.policy(tmp_path, questions, copies("DEU"), model="a")
    b = opinion_runs.policy(tmp_path, questions, noise(0), model="b")
    alone, both = one(a), analyse(a, b)
    # But for Holm's correction over the runs of a test that each run has.
    apart = [
        (one, two)
        for one, two in zip(both.runs[0].records, alone.records, strict=True)
        if one != two
    ]
    [(adjusted, single)] = apart
    assert adjusted.metric == "fidelity_over_uniform"
    assert dataclasses.replace(adjusted, p_holm=single.p_holm) == single
    assert single.p_holm == single.p_value
    assert len(both.cross_records) == 1
    gap = both.cross_records[0]
    assert gap.metric == "fidelity_difference" and gap.group == "b"
    assert gap.estimate == pytest.approx(
        (both.runs[0].diversity.model.fidelity.estimate or 0)
        - (both.runs[1].diversity.model.fidelity.estimate or 0)
    )
    assert gap.p_holm == gap.p_value is not None


def test_runs_share_the_questions_that_all_answered(tmp_path: Path) -> None:
    questions = made_up(20, KEYS)
    a = opinion_runs.policy(tmp_path, questions[:15], noise(1), model="a")
    b = opinion_runs.policy(tmp_path, questions[5:], noise(2), model="b")
    found = analyse(a, b)
    assert len(found.runs[0].common.questions) == 10
    assert [run.diversity.model.fidelity.n for run in found.runs] == [10, 10]
    assert [run.counts.questions for run in found.runs] == [15, 15]
    c = opinion_runs.policy(tmp_path, questions[:5], noise(3), model="c")
    with pytest.raises(DataError, match="no question in common"):
        analyse(b, c)
