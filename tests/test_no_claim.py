"""Scores that cannot carry a claim: constant, tied, or too large for arithmetic."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.countries_axis import analyse_countries
from analysis.findings import ends, ranking_finding
from analysis.load import load_run, load_runs
from analysis.part import Wanted
from analysis.ranks import alike_p, question_ranks, rank_run
from analysis.records import Record
from analysis.report import write_report
from analysis.stages_runs import compare_runs
from data_builders import countries
from data_builders.country_opinions import polls
from probe.cli import main
from probe.types import Candidate, Item, Lineage, Measure, Message, Stage, StoreError
from tests import feature_runs, language_runs, md3_runs, opinion_runs, pair_runs
from tests.country_runs import make_run

POLL = polls()["gallup_2023"]
KEYS = POLL.order
KINDS = ["positive", "negative"] * 10
Score = Callable[[Item, Candidate], float]

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def country_items(questions: int = 12) -> list[Item]:
    places = [countries.by_key(key) for key in KEYS]
    return [
        Item(
            id=f"q{i:02d}",
            messages=(Message(role="user", content=f"Which country, {i}?"),),
            candidates=tuple(
                Candidate(
                    id=one.key,
                    answer=one.name,
                    groups={"iso3": one.iso3, "country": one.name},
                )
                for one in places
            ),
            groups={"sentiment": KINDS[i % 2]},
        )
        for i in range(questions)
    ]


def pair_items() -> list[Item]:
    return [
        Item(
            id=f"p{i:02d}",
            messages=(Message(role="user", content=f"Prompt {i}"),),
            candidates=tuple(
                Candidate(id=role, answer=f"{role} {i}", groups={"role": role})
                for role in ("chosen", "rejected")
            ),
            groups={"subset": "ab"[i % 2]},
        )
        for i in range(40)
    ]


def stored(root: Path, axis: str, score: Score, model: str = "m") -> Path:
    """A run of one axis."""
    if axis in ("countries", "preferences"):
        rows = axis == "countries"
        return pair_runs.store(
            root,
            country_items() if rows else pair_items(),
            score,
            model=model,
            probe="country_questions" if rows else axis,
            axis=axis,
            item_columns=("sentiment",) if rows else ("subset",),
            candidate_columns=("iso3", "country") if rows else ("role",),
        )
    if axis == "dialect_pairs":
        return pair_runs.store(root, pair_runs.scored_items(16), score, model=model)
    if axis == "dialect_features":
        made = feature_runs.made_up_items(6, 6, 2)
        return feature_runs.store(root, made, {Measure.REWARD: score}, model=model)
    if axis == "md3":
        games = md3_runs.games({"en_us": 40, "en_in": 40})
        return md3_runs.store(root, games, {Measure.REWARD: score}, model=model)
    if axis == "opinions":
        asked = opinion_runs.made_up(20, ("USA", "CHN", "DEU"))
        return opinion_runs.reward(root, asked, score, model=model)
    made = language_runs.choices(("eng_Latn", "fin_Latn"), 40)
    return language_runs.store(root, made, score, model=model)


AXES = (
    "countries",
    "preferences",
    "dialect_pairs",
    "dialect_features",
    "md3",
    "opinions",
    "languages",
)


def assertions(folder: Path) -> list[str]:
    """What a report calls supported; its summary must be JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((folder / "summary.json").read_text(), parse_constant=refuse)
    text = (folder / "report.md").read_text()
    return re.findall(r"\*\*(.*?)\*\* \(supported\)", text)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("value", [0.1, 1e30])
def test_a_constant_model_gets_no_claim(
    tmp_path: Path, axis: str, value: float
) -> None:
    """To the last place but one: rounding tells nobody apart either."""

    def score(item: Item, candidate: Candidate) -> float:
        return value * (1 + 1e-9 * language_runs.unit(item.id, candidate.id))

    path = stored(tmp_path / "runs", axis, score)
    report = write_report([load_run(path)], tmp_path / "out", Wanted(polls=[POLL]))
    assert assertions(tmp_path / "out") == []
    assert report.records
    tested = [one for one in report.records if one.p_holm is not None]
    assert not [one for one in tested if (one.p_holm or 0.0) < 0.05]


@pytest.mark.parametrize("axis", AXES)
def test_scores_whose_squares_are_zero_get_no_claim(tmp_path: Path, axis: str) -> None:
    path = stored(
        tmp_path / "runs",
        axis,
        lambda item, candidate: 1e-200 * language_runs.unit(item.id, candidate.id),
    )
    write_report([load_run(path)], tmp_path / "out", Wanted(polls=[POLL]))
    assert assertions(tmp_path / "out") == []


@pytest.mark.parametrize("axis", AXES)
def test_stages_of_constant_models_do_not_differ(tmp_path: Path, axis: str) -> None:
    for model, value in (("base", 1.0), ("tuned", 2.0)):
        stored(tmp_path, axis, lambda item, candidate, v=value: v, model)
    roles = (Stage(role="base", model="base"), Stage(role="sft", model="tuned"))
    runs = load_runs(sorted(one.parent for one in tmp_path.glob("*/*/manifest.json")))
    lineages = (Lineage(name="l", stages=roles),)
    found = compare_runs(runs, lineages, Wanted(polls=()), draws=50)
    assert not [one for one in found.records if (one.p_holm or 1.0) < 0.05]


@pytest.mark.parametrize("axis", AXES)
def test_large_scores_give_what_small_ones_give(tmp_path: Path, axis: str) -> None:
    """1e30 times the score: the same shares, ranks, correlations and p-values."""

    def records(size: float) -> list[Record]:
        def score(item: Item, candidate: Candidate) -> float:
            return -size * language_runs.unit(item.id, candidate.id)

        path = stored(tmp_path / f"{size:g}", axis, score)
        out = tmp_path / f"report-{size:g}"
        found = write_report([load_run(path)], out, Wanted(polls=[POLL])).records
        assertions(out)
        return list(found)

    # A power of two, so that not even a rounding differs.
    for small, large in zip(records(1.0), records(2.0**100), strict=True):
        assert (small.metric, small.group) == (large.metric, large.group)
        units = ("reward", "log-probability", "log-probability per token")
        factor = 2.0**100 if small.unit in units else 1.0
        for one, other in (
            (small.p_value, large.p_value),
            (small.estimate and factor * small.estimate, large.estimate),
            (small.ci_low and factor * small.ci_low, large.ci_low),
        ):
            assert (one is None) == (other is None)
            assert one is None or one == pytest.approx(other, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("axis", AXES)
def test_scores_that_no_arithmetic_holds_are_unscored(
    tmp_path: Path, axis: str
) -> None:
    """A few of ±1e308 are left out and named; of nothing else there is no analysis."""

    def score(item: Item, candidate: Candidate) -> float:
        draw = language_runs.unit(item.id, candidate.id)
        return draw if draw < 0.97 else math.copysign(1e308, draw - 0.985)

    run = load_run(stored(tmp_path / "runs", axis, score))
    lost = run.frame["score"].isna()
    assert 0 < lost.sum() < len(run.frame) / 10
    assert set(run.frame.loc[lost, "error"]) == {"score beyond 1e+50"}
    write_report([run], tmp_path / "out", Wanted(polls=[POLL]))
    assertions(tmp_path / "out")
    path = stored(tmp_path / "all", axis, lambda item, candidate: -1e308)
    with pytest.raises(StoreError, match=r"scores are beyond 1e\+50"):
        load_run(path)


def test_a_constant_question_gives_the_middle_rank_whatever_is_missing() -> None:
    scores = np.full((3, 8), 0.3)
    scores[0, :3] = scores[1, 5] = np.nan
    ranks = question_ranks(scores)
    assert set(ranks[np.isfinite(ranks)]) == {4.5}
    ranking = rank_run(make_run(scores, KEYS[:8], KINDS[:3]), draws=9, seed=0)
    assert ranking.p_alike is None and ranking.table.tied == 1.0
    assert not np.nan_to_num(ranking.table.oriented).any()


def tied(scores: np.ndarray, how: str) -> np.ndarray:
    """Some of what a model could say, as one that says little would."""
    if how == "third alike":
        return np.where(np.arange(len(scores))[:, None] % 3 == 0, 0.0, scores)
    if how == "two levels":
        return np.where(scores > np.median(scores, axis=1, keepdims=True), 1.0, 0.0)
    if how == "five last":
        return np.where(scores.argsort(axis=1).argsort(axis=1) < 5, 0.0, 1.0)
    return scores


WAYS = ("no ties", "third alike", "two levels", "five last")


@pytest.mark.parametrize("how", WAYS)
def test_a_planted_order_is_found_among_ties_and_none_in_noise(how: str) -> None:
    rng = np.random.default_rng(0)
    sign = np.where(np.array(KINDS) == "negative", -1.0, 1.0)[:, None]
    liking = 2.0 * sign * np.linspace(1, -1, len(KEYS))
    noise = rng.normal(size=(200, len(KINDS), len(KEYS)))
    planted = make_run(tied(liking + noise[0], how), KEYS, KINDS)
    [run] = analyse_countries([planted], [POLL], draws=200).runs
    found = ranking_finding(run)
    assert found.certainty == "supported"
    first, last = ends(run)
    assert set(first.index) <= set(KEYS[:7]) and set(last.index) <= set(KEYS[-7:])
    assert len(first) + len(last) >= 2
    assert (run.polls[0].headline.p_holm or 1.0) < 0.001
    nulls = [alike_p(question_ranks(tied(one, how))) for one in noise]
    assert 0.0 < np.mean([p is not None and p < 0.05 for p in nulls]) <= 0.09


def test_one_rare_mark_is_no_ranking() -> None:
    """One country at random is last and the others tie: all intervals are narrow."""
    rng = np.random.default_rng(1)
    supported = 0
    for _ in range(20):
        scores = np.ones((len(KINDS), len(KEYS)))
        scores[np.arange(len(KINDS)), rng.integers(len(KEYS), size=len(KINDS))] = 0.0
        [run] = analyse_countries([make_run(scores, KEYS, KINDS)], [], draws=50).runs
        supported += ranking_finding(run).certainty == "supported"
    assert supported <= 3


def test_four_questions_that_say_something_are_not_resampled() -> None:
    scores = np.zeros((len(KINDS), len(KEYS)))
    scores[:4] = np.random.default_rng(2).normal(size=(4, len(KEYS)))
    [run] = analyse_countries([make_run(scores, KEYS, KINDS)], [POLL], draws=50).runs
    assert run.ranks["ci_low"].isna().all()
    assert run.rank_ci_method == "none: fewer than 5 questions tell countries apart"
    assert run.polls[0].headline.ci_method == run.rank_ci_method
    assert run.counts.questions_alike == 16
    found = ranking_finding(run)
    assert found.certainty == "not shown" and "none of 21 countries" in found.claim
    assert "16 of 20 questions" in found.evidence[0]


def test_who_shares_a_place_is_not_named_alone() -> None:
    """Four countries share the first place, and one is last."""
    scores = np.zeros((8, 12))
    scores[:, :4], scores[:, 11] = 1.0, -1.0
    run = make_run(scores, KEYS[:12], ["positive"] * 8)
    [found] = analyse_countries([run], [], draws=50).runs
    first, last = ends(found)
    assert len(first) == 0 and list(last.index) == [KEYS[11]]
    assert "first" not in ranking_finding(found).claim


def rm_probe(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rm-probe", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0)


@pytest.mark.parametrize("name", ["equal", "huge"])
def test_the_files_that_failed_once(
    cases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    file, runs = cases / f"inputs/{name}_countries.csv", tmp_path / "runs"
    probe, out = "country_questions", tmp_path / "out"
    words = ("import", probe, file, "--model", name, "--runs", runs)
    assert rm_probe(monkeypatch, *words) == 0
    assert rm_probe(monkeypatch, "report", runs, "--out", out) == 0
    assert assertions(out) == []
    text = (out / "report.md").read_text()
    said = {"equal": "all 21 countries the same score", "huge": "none of 21 countries"}
    assert said[name] in text and "Brazil, Canada and China first" not in text
    capsys.readouterr()
    assert rm_probe(monkeypatch, "correlate", runs, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    ranks = [one["estimate"] for one in found if one["metric"] == "mean_rank"]
    assert ranks == [11.0] * 21
    assert rm_probe(monkeypatch, "correlate", runs, "--json", "--ties", "best") == 0
    found = json.loads(capsys.readouterr().out)
    best = {one["estimate"] for one in found if one["metric"] == "mean_rank"}
    assert best == ({1.0} if name == "equal" else {11.0})
