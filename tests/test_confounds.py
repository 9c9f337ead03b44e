"""The confound model: holds its level on a true null, finds a planted effect."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from analysis.clustered import two_way_cov
from analysis.confounds import (
    MEANS,
    PANEL,
    Design,
    confound_models,
    design,
    fit_means,
    fit_panel,
)
from analysis.load import Run
from analysis.ranks import rank_run
from data_builders import countries
from data_builders.countries import Country
from tests.country_runs import STARLING, make_run, recorded_run

KEYS = countries.analysis_keys()
QUESTIONS = 20
TERMS = (
    "length",
    "log_population",
    "log_gdp_per_capita",
    "english_official",
    "region[Americas]",
    "region[Asia]",
    "region[Europe]",
    "region[Oceania]",
)


def covariate(name: str) -> np.ndarray:
    known = [countries.by_key(key) for key in KEYS]
    values = {
        "gdp": [np.log2(country.gdp_per_capita or np.nan) for country in known],
        "english": [float(country.english_official) for country in known],
        "length": [float(len(country.name)) for country in known],
    }
    return np.array(values[name])


def noise_run(seed: int = 0, questions: int = QUESTIONS, **changes: object) -> Run:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(questions, len(KEYS)))
    sentiment = (["positive", "negative"] * questions)[:questions]
    return make_run(scores, KEYS, sentiment, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plan() -> Design:
    return design(rank_run(noise_run(), draws=9, seed=0))


def null_scores(seed: int) -> np.ndarray:
    """Countries differ, for reasons that no covariate has anything to do with."""
    rng = np.random.default_rng(seed)
    country = 0.5 * rng.normal(size=len(KEYS))
    question = rng.normal(size=(QUESTIONS, 1))
    return country + question + rng.normal(size=(QUESTIONS, len(KEYS)))


def centred(plan: Design) -> tuple[np.ndarray, np.ndarray]:
    """Design rows with question means out, and (question, country) codes."""
    x = plan.x - plan.x.mean(axis=2, keepdims=True)
    n_terms, n_questions, n_countries = x.shape
    groups = np.column_stack(
        [
            np.repeat(np.arange(n_questions), n_countries),
            np.tile(np.arange(n_countries), n_questions),
        ]
    )
    return x.reshape(n_terms, -1).T, groups


def test_true_null_is_rejected_about_as_often_as_claimed(plan: Design) -> None:
    assert plan.terms == TERMS
    seeds = 400
    panel, means = np.zeros(len(TERMS)), np.zeros(len(TERMS))
    for seed in range(seeds):
        y = null_scores(seed)
        panel += fit_panel(y, plan).p_value < 0.05
        means += fit_means(y, plan).p_value < 0.05
    for rate in (panel / seeds, means / seeds):
        assert (rate >= 0.02).all() and (rate <= 0.09).all(), rate


def test_clustering_by_question_alone_rejects_a_true_null_far_more(
    plan: Design,
) -> None:
    x, groups = centred(plan)
    rejected = np.zeros(len(TERMS))
    for seed in range(60):
        y = null_scores(seed)
        y = (y - y.mean(axis=1, keepdims=True)).ravel()
        fit = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": groups[:, 0]})
        rejected += fit.pvalues < 0.05
    assert (rejected / 60 > 0.3).all(), rejected / 60


@pytest.mark.parametrize(
    ("term", "name", "size"),
    [
        ("log_gdp_per_capita", "gdp", 0.2),
        ("english_official", "english", -0.6),
        ("length", "length", 0.1),
    ],
)
def test_planted_effect_is_found(
    plan: Design, term: str, name: str, size: float
) -> None:
    y = null_scores(1) + size * covariate(name)
    for table in (fit_panel(y, plan), fit_means(y, plan)):
        row = table.set_index("term").loc[term]
        assert row.ci_low < size < row.ci_high
        assert row.p_value < 1e-3


def test_covariance_is_exactly_leaving_one_cluster_out() -> None:
    """V(question) + V(country) - V(cell), each refitted without each cluster."""
    rng = np.random.default_rng(0)
    n_questions, n_countries = 5, 9
    x = rng.normal(size=(n_questions * n_countries, 2))
    y = x @ [0.5, -1.0] + rng.normal(size=len(x))
    question = np.repeat(np.arange(n_questions), n_countries)
    country = np.tile(np.arange(n_countries), n_questions)

    def jackknife(codes: np.ndarray, scale: bool) -> np.ndarray:
        whole = np.linalg.lstsq(x, y, rcond=None)[0]
        moved = []
        for code in np.unique(codes):
            kept = codes != code
            moved.append(np.linalg.lstsq(x[kept], y[kept], rcond=None)[0] - whole)
        g = len(moved)
        return np.array(moved).T @ np.array(moved) * ((g - 1) / g if scale else 1)

    cells = jackknife(np.arange(len(x)), scale=False)
    want = jackknife(question, True) + jackknife(country, True) - cells
    assert (np.diag(want) > 0).all()
    residuals = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    found = two_way_cov(x, residuals, np.column_stack([question, country]), absorbed=5)
    np.testing.assert_allclose(found, want * (45 - 2) / (45 - 2 - 5), rtol=1e-10)


def test_covariance_is_near_statsmodels_two_way(plan: Design) -> None:
    x, groups = centred(plan)
    y = null_scores(3)
    y = (y - y.mean(axis=1, keepdims=True)).ravel()
    fit = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": groups})
    found = two_way_cov(x, y - x @ fit.params, groups, absorbed=QUESTIONS)
    ratio = np.sqrt(np.diag(found) / np.diag(fit.cov_params()))
    # The jackknife is the wider, most for Oceania's eight countries.
    assert (ratio > 1.0).all() and (ratio < 1.25).all()
    assert TERMS[int(ratio.argmax())] == "region[Oceania]"


def test_estimates_are_the_regression_with_a_dummy_per_question(plan: Design) -> None:
    y = null_scores(5)
    n_terms = len(plan.terms)
    dummies = np.kron(np.eye(QUESTIONS), np.ones((len(KEYS), 1)))
    whole = np.column_stack([plan.x.reshape(n_terms, -1).T, dummies])
    want = sm.OLS(y.ravel(), whole).fit().params[:n_terms]
    np.testing.assert_allclose(fit_panel(y, plan).estimate, want, rtol=1e-8)


def test_the_rewards_zero_and_unit_change_nothing() -> None:
    run = noise_run()
    moved = dataclasses.replace(
        run, frame=run.frame.assign(score=7.0 * run.frame["score"] - 300.0)
    )
    a, b = (confound_models(rank_run(r, draws=9, seed=0)).table for r in (run, moved))
    pd.testing.assert_frame_equal(a, b)


def test_orientation_reverses_negative_questions() -> None:
    run = noise_run()
    flip = np.where(run.frame["sentiment"] == "negative", -1.0, 1.0)
    liked = dataclasses.replace(
        run, frame=run.frame.assign(score=flip * np.tile(covariate("gdp"), QUESTIONS))
    )
    noisy = liked.frame.assign(score=liked.frame["score"] + run.frame["score"])
    table = confound_models(
        rank_run(dataclasses.replace(run, frame=noisy), draws=9, seed=0)
    ).table
    rows = table[table.term == "log_gdp_per_capita"]
    assert (rows.estimate > 0).all() and (rows.p_value < 1e-6).all()


def test_recorded_run_in_full(recorded: Path) -> None:
    found = confound_models(rank_run(recorded_run(recorded, STARLING), draws=9, seed=0))
    assert found.dropped == () and found.dropped_terms == ()
    assert "characters" in found.note and found.baseline == "Africa"
    panel = found.table[found.table.model == PANEL]
    means = found.table[found.table.model == MEANS]
    assert tuple(panel.term) == tuple(means.term) == TERMS
    assert set(panel.n) == {554 * 181} and set(means.n) == {181}
    # Balanced data: one regression on means, the other on what they are means of.
    np.testing.assert_allclose(panel.estimate, means.estimate, rtol=1e-9)
    assert (means.ci_low < means.estimate).all() and (means.se > 0).all()
    records = {(r.analysis, r.group): r for r in found.records}
    assert len(records) == 2 * len(TERMS)
    length = records["confounds", "length"]
    assert (length.n, length.n_clusters) == (554 * 181, 181)
    assert length.cluster == "country and question" and length.unit == "sd"
    assert records["confounds_country_means", "length"].cluster == "country"
    assert records["confounds", "region[Asia]"].reference == "Africa"


def test_countries_without_covariates_are_dropped_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_key = countries.by_key

    def without_gdp(key: str) -> Country:
        country = by_key(key)
        gone = key in ("PRK", "CUB")
        return dataclasses.replace(country, gdp=None) if gone else country

    monkeypatch.setattr(countries, "by_key", without_gdp)
    found = confound_models(rank_run(noise_run(), draws=9, seed=0))
    assert found.dropped == ("CUB", "PRK")
    assert set(found.table.n_countries) == {179}


def test_unscored_cells_are_left_out() -> None:
    run = noise_run()
    scores = run.frame["score"].copy()
    scores.iloc[::7] = np.nan
    holed = dataclasses.replace(run, frame=run.frame.assign(score=scores))
    table = confound_models(rank_run(holed, draws=9, seed=0)).table
    assert set(table[table.model == PANEL].n) == {int(scores.notna().sum())}
    assert table.p_value.notna().all()


def test_a_single_question_has_country_means_only() -> None:
    found = confound_models(rank_run(noise_run(questions=1), draws=9, seed=0))
    assert set(found.table.model) == {MEANS}
    assert "single question" in found.note


def test_terms_that_hardly_vary_are_left_out_and_named() -> None:
    africa = [k for k in KEYS if countries.by_key(k).region == "Africa"][:40]
    keys = (*africa, "FRA", "DEU")
    scores = np.random.default_rng(0).normal(size=(8, len(keys)))
    lengths = np.full(scores.shape, 4)
    run = make_run(scores, keys, ["positive"] * 8, lengths=lengths)
    found = confound_models(rank_run(run, draws=9, seed=0))
    assert found.dropped_terms == (
        "answer length, per token",
        "region Europe (against Africa)",
    )
    assert "length" not in set(found.table.term)


def test_too_few_countries_or_no_variation_say_so() -> None:
    keys = KEYS[:12]
    scores = np.random.default_rng(0).normal(size=(8, 12))
    few = confound_models(
        rank_run(make_run(scores, keys, ["positive"] * 8), draws=9, seed=0)
    )
    assert few.table.empty and few.records == () and "too few" in few.note
    flat = make_run(np.zeros((8, len(KEYS))), KEYS, ["positive"] * 8)
    same = confound_models(rank_run(flat, draws=9, seed=0))
    assert same.table.empty and "the same" in same.note


def test_means_that_cancel_have_no_regression() -> None:
    scores = np.random.default_rng(0).normal(size=(1, len(KEYS)))
    run = make_run(scores.repeat(8, axis=0), KEYS, ["positive", "negative"] * 4)
    found = confound_models(rank_run(run, draws=9, seed=0))
    assert set(found.table.model) == {PANEL} and "the same mean" in found.note
