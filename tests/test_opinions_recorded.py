"""Published probabilities and similarities of Ryan, Held and Yang (2024)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.opinions import OpinionRun, analyse_opinions, load_opinion_run
from analysis.opinions_data import OpinionTable, opinion_table
from analysis.opinions_measures import js_matrix
from data_builders import countries, survey
from tests.opinion_runs import recorded

MODEL = "zephyr-7b-beta_8bit.csv"
SEVEN = ("CHN", "USA", "JOR", "BRA", "NGA", "DEU", "AUS")


@pytest.fixture(scope="module")
def file(shared_data: Path) -> Path:
    outputs = shared_data / "recorded" / "unintended-impacts" / "outputs"
    return outputs / "globalopinionsqa" / MODEL


@pytest.fixture(scope="module")
def path(
    shared_data: Path, file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    data = shared_data / "opinions" / "llm_global_opinions.csv"
    return recorded(tmp_path_factory.mktemp("recorded"), file, data)


@pytest.fixture(scope="module")
def table(path: Path) -> OpinionTable:
    return opinion_table(load_opinion_run(path))


def test_similarities_are_the_published_ones(file: Path, table: OpinionTable) -> None:
    """All pairs, natural logarithm; a published -1 means that nobody was asked.

    The shares at hand are rounded to six decimals: those that are whole percents are
    exact, and there the published figure comes out to nine decimals.
    """
    ours = js_matrix(table, table.shares, "e")
    rows = {one: i for i, one in enumerate(table.questions)}
    at = {
        (one.key, one.sample or None): column
        for column, one in enumerate(table.publics)
    }
    frame = pd.read_csv(file)
    frame = frame[frame["question"].notna()]
    ids = [
        survey.question_id(text.strip(), survey.read_options(options))
        for text, options in zip(frame["question"], frame["options"], strict=True)
    ]
    order = [rows[one] for one in ids]
    exact = np.zeros_like(ours, dtype=bool)
    percent = 100 * table.pair_shares
    exact[table.pair_question, table.pair_public] = np.isclose(
        percent, percent.round(), rtol=0, atol=1e-9
    ).all(axis=1)
    compared = np.zeros_like(ours, dtype=bool)
    for label in frame.columns[9:]:
        country, sample = countries.resolve_sample(label)
        column = at[country.key, sample]
        published = np.full(len(ours), np.nan)
        published[order] = frame[label].where(frame[label] >= 0)
        both = np.isfinite(ours[:, column]) & np.isfinite(published)
        off = np.abs(ours[:, column] - published)
        assert (off[both] < 2e-5).all()
        assert (off[both & exact[:, column]] < 1e-9).all()
        compared[both, column] = True
    assert compared.sum() == len(table.pair_question) == 45_973
    assert (compared & exact).sum() == 1972


@pytest.fixture(scope="module")
def run(path: Path) -> OpinionRun:
    return analyse_opinions([load_opinion_run(path)], draws=200).runs[0]


def test_everything_is_read(run: OpinionRun) -> None:
    counts = run.counts
    assert (counts.questions, counts.questions_read) == (2555, 2555)
    assert (counts.pairs, counts.countries) == (45_973, 106)
    assert not counts.left_out and counts.ordinal == 1441
    assert run.protocol == "recorded" and run.position is None
    assert run.steering is None and run.reward_sd is None


def test_the_common_set_of_all_questions(run: OpinionRun) -> None:
    assert len(run.common.publics) == 19 and len(run.common.questions) == 279
    assert run.common.publics[0].key == "USA"
    assert run.diversity.model.fidelity.n == 279


def test_a_sure_model_is_further_from_people_than_a_uniform_one(
    run: OpinionRun,
) -> None:
    found = run.diversity
    assert found.model.fidelity.estimate == pytest.approx(0.4922, abs=5e-5)
    assert found.uniform.fidelity.estimate == pytest.approx(0.5528, abs=5e-5)
    assert found.over_uniform.ci_high is not None and found.over_uniform.ci_high < 0
    assert found.model.relative_entropy.ci_high is not None
    assert found.model.relative_entropy.ci_high < 1
    assert found.pool.fidelity.estimate == pytest.approx(0.7997, abs=5e-5)


def test_named_countries_make_the_common_set(path: Path) -> None:
    """On the seven countries of the paper: signs and size of its differences."""
    found = analyse_opinions(
        [load_opinion_run(path)], base="e", common=SEVEN, draws=200
    ).runs[0]
    assert len(found.common.questions) == 232
    gaps = found.countries["common_difference"]
    for key, published in (("CHN", -0.0236), ("JOR", -0.0358), ("NGA", -0.0255)):
        assert gaps[key] == pytest.approx(published, abs=0.003)
    assert math.isnan(gaps["USA"])
    assert gaps.notna().sum() == len(SEVEN) - 1
