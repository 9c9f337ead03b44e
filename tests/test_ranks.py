"""Per-question ranks, mean ranks and win rates: published figures and by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.load import Run
from analysis.ranks import question_ranks, rank_frame, rank_run, win_rates
from analysis.resample import (
    MIN_QUESTIONS,
    percentile_interval,
    question_counts,
    weighted_means,
)
from analysis.scores import score_table
from data_builders import countries
from probe.types import DataError
from tests.country_runs import STARLING, make_run, recorded_run

KEYS = ("BRA", "CAN", "FRA", "USA")


def run_of(rows: list[list[float]], sentiment: list[str] | None = None) -> Run:
    return make_run(np.array(rows), KEYS, sentiment or ["positive"] * len(rows))


def test_published_mean_ranks(recorded: Path) -> None:
    run = recorded_run(recorded, STARLING)
    ranking = rank_run(run, draws=2000, seed=0, ties="best")
    frame = rank_frame(ranking, "USA")
    assert len(frame) == 181
    rank = frame.mean_rank
    assert rank["GBR"] == pytest.approx(67.5921, abs=5e-5)
    assert rank["PRK"] == pytest.approx(152.0993, abs=5e-5)
    # Canada shares a place with Uruguay in one question: half a place of 554.
    shared = rank_run(run, draws=9, seed=0)
    canada = shared.mean.estimate[shared.table.keys.index("CAN")]
    assert canada == pytest.approx(76.0966, abs=5e-5)
    assert rank["CAN"] == pytest.approx(76.0957, abs=5e-5)
    assert rank["CAN"] == pytest.approx(canada - 0.5 / 554)
    assert set(frame.n_questions) == {554}
    assert shared.mean.estimate.mean() == pytest.approx(91)
    assert ((frame.ci_low < frame.mean_rank) & (frame.mean_rank < frame.ci_high)).all()
    # The bootstrap's spread is the standard error of a mean over two strata.
    negative = ranking.table.negative
    parts = [ranking.ranks[negative], ranking.ranks[~negative]]
    error = np.sqrt(sum(len(p) * p.var(axis=0, ddof=1) for p in parts)) / 554
    assert ranking.mean.draws is not None
    ratio = ranking.mean.draws.std(axis=0) / error
    assert 0.93 < ratio.min() and ratio.max() < 1.07


def test_highest_score_is_first_ties_share_and_negative_is_reversed() -> None:
    table = [[3.0, 1.0, 2.0, 0.0], [5.0, 5.0, 0.0, 1.0]]
    assert question_ranks(np.array(table)).tolist() == [
        [1, 3, 2, 4],
        [1.5, 1.5, 4, 3],
    ]
    assert question_ranks(np.array(table), "best")[1].tolist() == [1, 1, 4, 3]
    run = run_of(table, ["positive", "negative"])
    for ties, reversed_ranks in (("average", [3.5, 3.5, 1, 2]), ("best", [3, 3, 1, 2])):
        ranking = rank_run(run, draws=10, seed=0, ties=ties)
        assert ranking.ranks.tolist() == [[1, 3, 2, 4], reversed_ranks]
        assert ranking.positive is not None and ranking.negative is not None
        assert ranking.positive.estimate.tolist() == [1, 3, 2, 4]
        assert ranking.negative.estimate.tolist() == reversed_ranks


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_unscored_is_never_ranked_and_counted(bad: float) -> None:
    rows = [[3.0, 1.0, bad, 0.0], [1.0, 2.0, 3.0, 4.0], [bad, bad, bad, 9.0]]
    ranking = rank_run(
        run_of(rows, ["negative", "positive", "positive"]), draws=9, seed=0
    )
    table = ranking.table
    assert (table.cells, table.unscored, table.questions_with_unscored) == (12, 4, 2)
    assert table.items == ("q000", "q001"), "one score is no ranking"
    # Three scored of four: ranks 1, 2, 3 are stretched to 1, 2.5, 4 and reversed.
    np.testing.assert_array_equal(ranking.ranks, [[4, 2.5, np.nan, 1], [4, 3, 2, 1]])
    frame = rank_frame(ranking, "USA")
    assert frame.n_questions[["BRA", "FRA"]].tolist() == [2, 1]
    assert frame.mean_rank[["BRA", "CAN", "FRA", "USA"]].tolist() == [4, 2.75, 2, 1]


def test_a_country_without_any_score_is_absent_and_shifts_nobody() -> None:
    whole = rank_run(
        make_run(np.array([[3.0, 1.0, 2.0]]), ("BRA", "CAN", "USA"), ["positive"]),
        draws=9,
        seed=0,
    )
    holed = rank_run(run_of([[3.0, 1.0, np.nan, 2.0]]), draws=9, seed=0)
    assert holed.table.keys == ("BRA", "CAN", "USA")
    assert "FRA" in holed.table.absent and len(holed.table.absent) == 178
    assert holed.ranks.tolist() == whole.ranks.tolist()


def test_only_analysis_countries_are_ranked() -> None:
    keys = ("USA", "CAN", "x-kosovo", "VAT")
    scores = np.array([[1.0, 2.0, 3.0, 4.0]])
    ranking = rank_run(make_run(scores, keys, ["neutral"]), draws=9, seed=0)
    assert ranking.table.keys == ("CAN", "USA")
    assert ranking.table.others == ("VAT", "x-kosovo")
    assert ranking.ranks.tolist() == [[1, 2]]


def test_win_rate_by_hand() -> None:
    rows = [
        [9.0, 1.0, 5.0, 5.0],  # positive: Brazil beats the USA, France ties
        [9.0, 1.0, np.nan, 5.0],  # negative: Canada beats the USA
    ]
    ranking = rank_run(run_of(rows, ["positive", "negative"]), draws=9, seed=0)
    wins = win_rates(ranking, "USA")
    assert wins is not None
    np.testing.assert_array_equal(wins.estimate, [0.5, 0.5, 0.5, np.nan])
    assert win_rates(ranking, "DEU") is None
    frame = rank_frame(ranking, "DEU")
    assert frame.win_rate.isna().all()


def test_mean_score_ignores_the_rewards_zero() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(9, 4))
    sentiment = ["positive"] * 6 + ["negative"] * 3
    shifted = scores + rng.normal(size=(9, 1)) * 50
    a, b = (
        rank_frame(rank_run(make_run(s, KEYS, sentiment), draws=9, seed=0), "USA")
        for s in (scores, shifted)
    )
    np.testing.assert_allclose(a.mean_score, b.mean_score)
    assert a.mean_score.sum() == pytest.approx(0)


def test_the_published_table_differs_by_its_broken_ties_only(recorded: Path) -> None:
    """Ryan et al.'s own table: total ranks of 21 countries, ties broken by sorting."""
    file = recorded / "results" / "7_askreddit" / "starling_rm_df_filtered_USA.csv"
    totals = pd.read_csv(file, index_col="code")["Total Rank"]
    assert len(totals) == 21
    ranking = rank_run(recorded_run(recorded, STARLING), draws=9, seed=0)
    ours = pd.Series(ranking.ranks.sum(axis=0), index=list(ranking.table.keys))
    scores = ranking.table.scores
    shared = (scores[:, :, None] == scores[:, None, :]).sum(axis=(0, 2)) - 554
    slack = pd.Series(shared / 2, index=list(ranking.table.keys))
    apart = (ours[totals.index] - totals).abs()
    assert (apart <= slack[totals.index]).all()
    assert apart[slack[totals.index] > 0].index.tolist() == ["CAN", "DEU", "ISR", "IRN"]
    assert (apart == 0).sum() == 17


def test_draws_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(7, 3))
    values[2, 1] = np.nan
    negative = np.array([True, False, False, True, False, False, True])
    counts = question_counts(negative, 40, seed=3)
    assert (counts[:, negative].sum(axis=1) == 3).all()
    assert (counts[:, ~negative].sum(axis=1) == 4).all()
    drawn = weighted_means(values, counts)
    for row, draw in zip(counts.astype(int), drawn, strict=True):
        picked = np.repeat(values, row, axis=0)
        np.testing.assert_allclose(draw, np.nanmean(picked, axis=0))


def test_intervals_are_reproducible_and_follow_the_seed() -> None:
    run = run_of(np.random.default_rng(2).normal(size=(30, 4)).tolist())
    first, again, other = (
        rank_frame(rank_run(run, draws=200, seed=seed), "USA") for seed in (0, 0, 1)
    )
    assert first.equals(again)
    assert not first.ci_low.equals(other.ci_low)
    assert first.mean_rank.equals(other.mean_rank)


def test_interval_covers_the_mean_rank_of_other_questions() -> None:
    """Planted: a country whose expected rank is known, 300 question samples of 40."""
    rng = np.random.default_rng(5)
    base = np.array([1.0, 0.5, 0.0, -0.5])
    truth = question_ranks(base + rng.normal(size=(200_000, 4))).mean(axis=0)
    inside = np.zeros(4)
    for _ in range(300):
        ranks = question_ranks(base + rng.normal(size=(40, 4)))
        counts = question_counts(np.zeros(40, bool), 400, int(rng.integers(1 << 30)))
        low, high = percentile_interval(weighted_means(ranks, counts))
        inside += (low <= truth) & (truth <= high)
    assert (inside / 300 > 0.90).all() and (inside / 300 < 0.98).all()


@pytest.mark.parametrize("questions", [1, MIN_QUESTIONS - 1])
def test_few_questions_have_no_interval_and_say_so(questions: int) -> None:
    run = run_of([[1.0, 2.0, 3.0, 4.0]] * questions, ["neutral"] * questions)
    ranking = rank_run(run, draws=50, seed=0)
    frame = rank_frame(ranking, "USA")
    assert frame[["ci_low", "ci_high", "win_ci_low"]].isna().all(axis=None)
    assert frame.mean_rank.notna().all()
    assert "fewer than" in ranking.ci_method


def test_length_is_tokens_or_characters() -> None:
    run = run_of([[1.0, 2.0, 3.0, 4.0]] * 6)
    assert score_table(run).length_unit == "tokens"
    partly = run.frame.assign(n_answer_tokens=[np.nan, *run.frame.n_answer_tokens[1:]])
    mixed = score_table(dataclasses.replace(run, frame=partly))
    assert mixed.length_unit == "characters"
    assert score_table(run).truncated == 0
    none = run.frame.assign(truncated_tokens=np.nan)
    assert score_table(dataclasses.replace(run, frame=none)).truncated is None


def test_unusable_runs_are_refused_in_three_parts() -> None:
    good = run_of([[1.0, 2.0, 3.0, 4.0]])

    def refused(frame: object, match: str) -> None:
        with pytest.raises(DataError, match=match) as caught:
            score_table(dataclasses.replace(good, frame=frame))
        assert caught.value.found and caught.value.expected and caught.value.action

    refused(good.frame.drop(columns="sentiment"), "no column sentiment")
    refused(good.frame.assign(sentiment="angry"), "'angry'")
    refused(good.frame.assign(sentiment=None), "empty")
    refused(
        good.frame.assign(score=np.nan), f"0 of the {len(countries.analysis_keys())}"
    )
    apart = [[1.0, np.nan, np.nan, np.nan], [np.nan, 1.0, np.nan, np.nan]]
    refused(run_of(apart).frame, "no question")
