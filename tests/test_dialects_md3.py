"""MD3: outcomes, clustered differences, findings, and the report's part."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from analysis.dialects_md3 import md3_part
from analysis.dialects_md3_analysis import (
    NO_SPREAD,
    GamesRun,
    Gap,
    OutcomeResult,
    analyse_games,
    coefficient,
)
from analysis.dialects_md3_data import CHOICE, GUESS, PER_TOKEN, Games, read_games
from analysis.dialects_md3_findings import run_findings, standing
from analysis.html import Figure, Section, Table
from analysis.load import load_run
from analysis.paired import clustered_share
from analysis.part import ProbePart, Wanted
from analysis.resample import Floats
from data_builders import md3
from probe import audit
from probe.audit import Settings
from probe.recorded import import_file
from probe.types import BuildOptions, Candidate, DataError, Item, Measure
from tests import md3_runs
from tests.md3_runs import game, games, store, wins
from tests.tiny_checkpoints import CHAT_TEMPLATE, byte_tokenizer, llama_policy

SIZES = {"en_us": 120, "en_in": 90, "en_ng": 90}


def analyse(*paths: Path, reference: str | None = None) -> tuple[GamesRun, ...]:
    runs = [load_run(path) for path in paths]
    return analyse_games(runs, reference=reference, draws=300)


def read(path: Path) -> Games:
    return read_games(load_run(path), "made_up", None)


def outcome(run: GamesRun, key: str) -> OutcomeResult:
    return next(one for one in run.outcomes if one.outcome.key == key)


def gap(run: GamesRun, key: str, dialect: str) -> Gap:
    return next(one for one in outcome(run, key).gaps if one.dialect == dialect)


# What is won.


def test_the_answer_must_score_highest_and_ties_count_in_part(tmp_path: Path) -> None:
    scores = {
        "en_us-0000": [3.0, 1.0, 2.0, 0.0, 0.0, 0.0],
        "en_us-0001": [1.0, 3.0, 2.0, 0.0, 0.0, 0.0],
        "en_in-0000": [2.0, 2.0, 2.0, 0.0, 0.0, 0.0],
        "en_in-0001": [math.nan, 0.0, 0.0, 0.0, 0.0, 0.0],
        "en_in-0002": [4.0, 0.0, math.nan, 0.0, 0.0, 0.0],
    }

    def score(item: Item, candidate: Candidate) -> float:
        place = [one.id for one in item.candidates].index(candidate.id)
        return scores[item.id][place]

    items = [game(int(name[-1]), name[:5], f"Word{name[-1]}") for name in scores]
    found = read(store(tmp_path, items, {Measure.REWARD: score}))
    [choice] = found.outcomes
    assert choice.key == CHOICE and choice.unit == "reward"
    np.testing.assert_array_equal(choice.won, [1, 0, 1 / 3, np.nan, np.nan])
    assert choice.margins is not None
    np.testing.assert_array_equal(choice.margins, [1, -2, 0, np.nan, np.nan])
    assert choice.chance == pytest.approx(1 / 6)
    assert found.dialects == ("en_us", "en_in")
    assert found.answer.tolist() == ["word0", "word1", "word0", "word1", "word2"]


def test_a_policy_has_a_guess_and_two_choices(tmp_path: Path) -> None:
    items = games({"en_us": 3, "en_in": 3})
    # Longer words have a lower sum and a higher mean.
    right, guess = wins(lambda item: 1.0)
    texts = {items[0].id: "word", items[1].id: None, items[5].id: ""}
    path = store(
        tmp_path,
        items,
        {
            Measure.LOGPROB_SUM: lambda item, one: -right(item, one),
            Measure.LOGPROB_MEAN: right,
        },
        guess=lambda item: texts.get(item.id, guess(item)),
    )
    found = read(path)
    assert [one.key for one in found.outcomes] == [GUESS, CHOICE, PER_TOKEN]
    guessed, summed, mean = found.outcomes
    np.testing.assert_array_equal(guessed.won, [0, np.nan, 1, 1, 1, 0])
    assert summed.won.max() == 0 and mean.won.min() == 1
    assert (summed.unit, mean.unit) == ("log-probability", "log-probability per token")
    # Whichever measure the report loads, the outcomes are the same.
    other = read_games(load_run(path, Measure.LOGPROB_SUM), "made_up", None)
    for one, two in zip(found.outcomes, other.outcomes, strict=True):
        np.testing.assert_array_equal(one.won, two.won)


def test_games_that_cannot_be_guessed_or_are_given_away(tmp_path: Path) -> None:
    items = games({"en_us": 30, "en_in": 30})
    flashlight = dataclasses.replace(
        items[0],
        candidates=tuple(
            dataclasses.replace(one, answer={0: "Flashlight", 1: "light"}.get(i, "no"))
            for i, one in enumerate(items[0].candidates)
        ),
    )
    said = [game(900 + i, "en_in", "Word1x", answer_said=True) for i in range(6)]
    score, guess = wins(lambda item: float(item.meta["answer_said"] is True))
    path = store(
        tmp_path,
        [flashlight, *items[1:], *said],
        {Measure.LOGPROB_MEAN: score},
        guess=guess,
    )
    [run] = analyse(path)
    assert [one.unguessable for one in run.covariates] == [1, 0]
    assert [one.answer_said for one in run.covariates] == [0, 6]
    _, indian = outcome(run, GUESS).dialects
    assert indian.accuracy.estimate == pytest.approx(6 / 36)
    assert indian.unsaid is not None and indian.unsaid.estimate == 0
    assert indian.unsaid.n == 30
    [note] = [one for one in run_findings(run) if "different games" in one.claim]
    assert any("6 games still hold the answer" in text for text in note.evidence)
    assert any("In 1 game no guess" in text for text in note.evidence)


# Differences.


def plain(
    x: Floats, y: Floats, answers: NDArray[np.str_], place: int, fewest: int
) -> float:
    found = coefficient(x, y, answers, place, fewest=fewest, draws=2, seed=0)
    assert found.p_value is not None
    return found.p_value


def test_a_coefficient_is_least_squares_with_a_jackknife_by_answer() -> None:
    rng = np.random.default_rng(3)
    answers = rng.integers(30, size=150).astype(str)
    x = np.column_stack(
        [np.ones(150), rng.random((150, 2)) > 0.5, rng.normal(size=150)]
    )
    y = (rng.random(150) < 0.3 + 0.3 * x[:, 1]).astype(float)
    found = coefficient(x, y, answers, 1, fewest=30, draws=500, seed=0)
    fit = sm.OLS(y, x).fit()
    assert found.value.estimate == pytest.approx(fit.params[1])
    names = sorted(set(answers))
    without = [
        sm.OLS(y[answers != one], x[answers != one]).fit().params[1] for one in names
    ]
    error = math.sqrt(29 / 30 * sum((one - fit.params[1]) ** 2 for one in without))
    p = 2 * stats.t.sf(abs(fit.params[1]) / error, 30 - 3)
    assert found.p_value == pytest.approx(p)
    half = (found.value.high - found.value.low) / 2
    assert half == pytest.approx(1.96 * error, rel=0.25)
    assert (found.n, found.n_clusters) == (150, 30)


def test_a_mean_over_answers_is_the_ordinary_t_test() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 25)
    p = plain(np.ones((25, 1)), values, np.arange(25).astype(str), 0, 25)
    assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_nothing_is_tested_without_spread_or_with_few_answers() -> None:
    x = np.column_stack([np.ones(20), np.arange(20) % 2])
    answers = np.arange(20).astype(str)
    alike = coefficient(x, np.zeros(20), answers, 1, fewest=10, draws=50, seed=0)
    assert alike.p_value is None and alike.missing == NO_SPREAD
    assert alike.value.estimate == 0 and math.isnan(alike.value.low)
    few = coefficient(x, answers.astype(float), answers, 1, fewest=4, draws=50, seed=0)
    assert few.p_value is None and "fewer than 5" in (few.missing or "")
    twice = np.column_stack([x, x[:, 1]])
    none = coefficient(twice, np.arange(20.0), answers, 1, fewest=10, draws=50, seed=0)
    assert math.isnan(none.value.estimate) and none.p_value is None


def test_a_null_is_rejected_in_five_percent_although_answers_repeat() -> None:
    """Some words are easy and are asked often, in one dialect more than in another."""
    rng = np.random.default_rng(7)
    clustered, independent, reps = [], [], 400
    for _ in range(reps):
        leaning, ease = rng.choice([0.1, 0.9], (2, 200))
        codes = rng.integers(200, size=800)
        here = rng.random(800) < leaning[codes]
        y = (rng.random(800) < ease[codes]).astype(float)
        x = np.column_stack([np.ones(800), here])
        fewest = min(len(set(codes[here])), len(set(codes[~here])))
        clustered.append(plain(x, y, codes.astype(str), 1, fewest) < 0.05)
        independent.append(stats.ttest_ind(y[here], y[~here]).pvalue < 0.05)
    assert 0.025 <= np.mean(clustered) <= 0.08
    assert np.mean(independent) > 0.12


def test_a_share_is_less_certain_where_answers_repeat_and_never_without_width() -> None:
    won = np.repeat([1.0, 0.0], 30)
    alone = clustered_share(won, np.arange(60).astype(str))
    together = clustered_share(won, (np.arange(60) // 6).astype(str))
    assert alone.estimate == together.estimate == 0.5
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    none = clustered_share(np.zeros(30), np.arange(30).astype(str))
    assert none.estimate == 0 and none.low == 0 and none.high > 0.1


# Whole runs.


def test_a_planted_gap_is_found_and_no_other(tmp_path: Path) -> None:
    score, guess = wins(lambda item: 0.2 if item.groups["dialect"] == "en_in" else 0.6)
    path = store(tmp_path, games(SIZES), {Measure.LOGPROB_MEAN: score}, guess=guess)
    [run] = analyse(path)
    indian, nigerian = gap(run, GUESS, "en_in"), gap(run, GUESS, "en_ng")
    assert indian.side == -1 and standing(indian) == (-1, ())
    assert nigerian.side == 0
    accuracies = [one.accuracy.estimate or 0 for one in run.outcomes[0].dialects]
    assert indian.raw.estimate == pytest.approx(accuracies[1] - accuracies[0])
    assert indian.raw.reference == "en_us" and indian.raw.cluster == "answer"
    assert run.headline is indian.raw
    first, second, *_ = run_findings(run)
    assert first.certainty == "supported"
    assert "guesses the secret word less often in games in Indian" in first.claim
    assert second.certainty == "not shown" and "Nigerian English" in second.claim
    spread = run.outcomes[0].spread
    assert spread is not None and spread.worst == "en_in"
    assert spread.observed.p_value is not None and spread.observed.p_value < 0.01
    assert (spread.permuted.estimate or 0) < (spread.observed.estimate or 0)


def test_a_gap_of_length_alone_is_not_resolved(tmp_path: Path) -> None:
    """Games of one dialect are longer, and longer games are lost."""
    rng = np.random.default_rng(1)
    items = [
        game(
            i,
            dialect,
            f"Word{rng.integers(300)}x",
            n_words=int(rng.integers(10, 60) + longer),
        )
        for dialect, longer in (("en_us", 0), ("en_in", 30))
        for i in range(250)
    ]
    score, _ = wins(lambda item: 0.95 - 0.01 * float(str(item.meta["n_words"])))
    [run] = analyse(store(tmp_path, items, {Measure.REWARD: score}))
    found = gap(run, CHOICE, "en_in")
    assert found.side == -1
    assert abs(found.adjusted.estimate or 0) < 0.4 * abs(found.raw.estimate or 0)
    assert found.beside[0] == 0
    first = run_findings(run)[0]
    assert first.certainty == "uncertain"
    assert "the gap is not resolved with length and frequency held" in first.claim
    [us, india] = run.covariates
    assert (india.words.estimate or 0) > 20 + (us.words.estimate or 0)


def test_a_gap_of_other_words_vanishes_on_shared_answers(tmp_path: Path) -> None:
    items = [
        game(i, dialect, f"Word{i % 40}x" if i < 160 else f"{dialect}{i}x")
        for dialect in ("en_us", "en_in")
        for i in range(320)
    ]
    score, _ = wins(
        lambda item: 0.1 if str(item.meta["answer"]).startswith("en_in") else 0.5
    )
    [run] = analyse(store(tmp_path, items, {Measure.REWARD: score}))
    found = gap(run, CHOICE, "en_in")
    assert found.side == -1 and found.beside == (-1, 0)
    assert found.shared.n_clusters == 40 and found.shared.n == 320
    assert "on the answers asked in both" in run_findings(run)[0].claim


def test_few_games_are_shown_and_not_tested(tmp_path: Path) -> None:
    score, guess = wins(lambda item: 0.5)
    items = [game(i, d, f"Word{i}x") for d in ("en_us", "en_in") for i in range(4)]
    part_of = part(store(tmp_path, items, {Measure.LOGPROB_MEAN: score}, guess=guess))
    assert all(record.p_value is None for record in part_of.records if record.group)
    first = part_of.runs[0].findings[0]
    assert first.certainty == "not shown" and "so few games" in first.claim


def test_games_that_all_end_alike_are_not_called_few(tmp_path: Path) -> None:
    score, guess = wins(lambda item: 0.0)
    path = store(tmp_path, games(SIZES), {Measure.LOGPROB_MEAN: score}, guess=guess)
    first = part(path).runs[0].findings[0]
    assert first.certainty == "not shown"
    assert first.claim.endswith("cannot be said, as every game has the same outcome.")


def test_the_reference_is_chosen_and_its_absence_said(tmp_path: Path) -> None:
    score, guess = wins(lambda item: 0.5)
    scores = {Measure.LOGPROB_MEAN: score}
    path = store(tmp_path / "a", games(SIZES), scores, guess=guess)
    [run] = analyse(path, reference="en_ng")
    assert run.games.dialects == ("en_ng", "en_us", "en_in")
    assert {one.raw.reference for one in run.outcomes[0].gaps} == {"en_ng"}
    lacking = games({"scots": 30, "en_in": 40})
    [run] = analyse(store(tmp_path / "b", lacking, scores, guess=guess))
    assert run.games.reference == "en_in"
    assert any(
        "US English is not in the run" in text
        for finding in run_findings(run)
        for text in finding.evidence
    )


def test_what_is_wrong_with_a_run_is_named(tmp_path: Path) -> None:
    score, _ = wins(lambda item: 0.5)
    path = store(tmp_path, games({"en_us": 4, "en_in": 4}), {Measure.REWARD: score})
    run = load_run(path)
    frame = run.frame
    for changed, message in (
        (frame.drop(columns="correct"), "no column correct"),
        (frame.assign(dialect=frame["dialect"].mask(frame.index < 6)), "no dialect"),
        (frame.assign(correct="maybe"), "correct is 'maybe'"),
        (frame.assign(correct="no"), "0 answers among 6 words"),
        (frame[frame["dialect"] == "en_in"], "one dialect, en_in"),
        (frame.assign(score=np.nan), "no two dialects with a game"),
    ):
        with pytest.raises(DataError, match=message) as error:
            read_games(dataclasses.replace(run, frame=changed), "made_up", None)
        assert str(path) in str(error.value)


def test_unscored_games_are_left_out_and_counted(tmp_path: Path) -> None:
    right, _ = wins(lambda item: 0.5)

    def score(item: Item, candidate: Candidate) -> float:
        return math.nan if item.id.endswith("7") else right(item, candidate)

    path = store(tmp_path, games({"en_us": 30, "en_in": 30}), {Measure.REWARD: score})
    [run] = analyse(path)
    assert run.outcomes[0].unknown == 6
    assert [one.accuracy.n for one in run.outcomes[0].dialects] == [27, 27]
    assert any("6 games without it" in f.evidence[0] for f in run_findings(run))


# The report's part.


def part(*paths: Path, measure: Measure | None = None) -> ProbePart:
    return md3_part(
        [load_run(path, measure) for path in paths],
        Wanted(polls=()),
        id="dialects-md3",
        title="MD3",
        step=lambda: None,
    )


def blocks(section: Section) -> list[Figure | Table]:
    return [block for one in section.walk() for block in one.blocks]


def test_several_models_stand_side_by_side(tmp_path: Path) -> None:
    items = games(SIZES)
    score, guess = wins(lambda item: 0.2 if item.groups["dialect"] == "en_in" else 0.6)
    other, _ = wins(lambda item: 0.4, seed=1)
    paths = (
        store(
            tmp_path,
            items,
            {Measure.LOGPROB_SUM: score, Measure.LOGPROB_MEAN: score},
            guess=guess,
            model="policy",
        ),
        store(tmp_path, items, {Measure.REWARD: other}, model="reward <b>model"),
    )
    steps: list[int] = []
    found = md3_part(
        [load_run(path) for path in paths],
        Wanted(polls=()),
        id="dialects-md3",
        title="MD3",
        step=lambda: steps.append(1),
    )
    assert len(steps) == 4
    ids = [block.id for block in blocks(found.section)]
    assert len(set(ids)) == len(ids)
    assert [one.title for one in found.section.sections] == [
        "policy",
        "reward <b>model",
    ]
    panels = [
        panel.name
        for block in blocks(found.section)
        if isinstance(block, Figure)
        for panel in block.panels
    ]
    assert len(set(panels)) == len(panels)
    policy, reward = found.runs
    assert "guessed right" in policy.headline_name
    assert "picked right" in reward.headline_name
    assert policy.items == 300 and policy.groups == 3
    # Choices are one family over both models, guesses of one model another.
    sizes = {
        family: len({(r.model, r.group) for r in found.records if r.family == family})
        for family in {r.family for r in found.records if r.family}
    }
    assert sizes["md3@1, choice_accuracy_difference: models and dialects"] == 4
    assert sizes["md3@1, guess_accuracy_difference: models and dialects"] == 2
    [across] = found.across
    assert "by 1 of 2 models" in across.claim and "policy" in across.evidence[0]


def test_the_same_call_gives_the_same_numbers(tmp_path: Path) -> None:
    score, _ = wins(lambda item: 0.4)
    path = store(tmp_path, games({"en_us": 40, "en_in": 40}), {Measure.REWARD: score})
    assert part(path).records == part(path).records


def test_recorded_guesses_of_zephyr(
    recorded: Path, shared_data: Path, tmp_path: Path
) -> None:
    """The games of the paper that have a transcript, by the authors' own verdicts."""
    model = "zephyr-7b-beta"
    path = md3_runs.recorded_run(tmp_path, model, recorded, shared_data)
    found = part(path, measure=Measure.LOGPROB_SUM)
    file = recorded / "outputs" / "md3-game" / md3_runs.RECORDED[model]
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["transcript"]]
    by_key = {(one.metric, one.group): one for one in found.records}
    for key, column in (
        ("guess", "generated_correct_answer"),
        ("choice", "chose_correct_answer"),
    ):
        for dialect in md3.DIALECTS:
            verdicts = [
                row[column] == "True" for row in rows if row["dialect"] == dialect
            ]
            accuracy = by_key[f"{key}_accuracy", dialect]
            assert accuracy.n == len(verdicts)
            assert accuracy.estimate == pytest.approx(np.mean(verdicts), abs=0.003)
    indian = by_key["guess_accuracy", "en_in"]
    assert indian.estimate == pytest.approx(0.2639, abs=5e-5)
    assert found.runs[0].headline is not None
    assert found.runs[0].headline.group == "en_in"
    first = found.runs[0].findings[0]
    assert first.certainty == "supported"
    assert "Indian English and Nigerian English than in US English" in first.claim
    json.dumps([record.to_json() for record in found.records], allow_nan=False)


def test_a_random_policy_runs_through(shared_data: Path, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    folder = llama_policy(tmp_path / "tiny", tokenizer)
    settings = Settings(runs=tmp_path / "runs")
    prepared = audit.prepare(audit.configure(str(folder), settings), settings)
    every = sorted(
        md3.build(BuildOptions(data=shared_data)),
        key=lambda item: float(str(item.meta["n_words"])),
    )
    some = [
        item
        for dialect in md3.DIALECTS
        for item in [one for one in every if one.groups["dialect"] == dialect][:6]
    ]
    path = audit.score_probe(
        prepared,
        md3.PROBE,
        some,
        BuildOptions(data=shared_data),
        limit=None,
        load=audit.loader(prepared),
    ).path
    [run] = analyse(path)
    assert [one.outcome.key for one in run.outcomes] == [GUESS, CHOICE, PER_TOKEN]
    assert all(one.accuracy.n == 6 for o in run.outcomes for one in o.dialects)
    assert len(part(path).runs[0].findings) >= 3


def test_an_imported_run_knows_its_answers_by_their_words(tmp_path: Path) -> None:
    """A long csv of recorded scores holds no text of a candidate."""
    items = games({"en_us": 40, "en_in": 40})
    score, _ = wins(lambda item: 0.5)
    file = tmp_path / "long.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ("item_id", "candidate_id", "score", "dialect", "word", "correct")
        )
        for item in items:
            for one in item.candidates:
                value = score(item, one)
                row = (
                    item.groups["dialect"],
                    one.groups["word"],
                    one.groups["correct"],
                )
                writer.writerow((item.id, one.id, value, *row))
    path = import_file(md3.PROBE, file, model="m", root=tmp_path / "runs").path
    [imported] = analyse(path)
    [scored] = analyse(store(tmp_path, items, {Measure.REWARD: score}))
    levels = [
        [one for one in run.records if one.metric == "choice_accuracy" and one.group]
        for run in (imported, scored)
    ]
    assert len(levels[0]) == 2
    for one, other in zip(*levels, strict=True):
        assert (one.estimate, one.n, one.n_clusters) == (
            other.estimate,
            other.n,
            other.n_clusters,
        )
        assert one.ci_low == other.ci_low and (one.n_clusters or 0) > 5


def test_an_import_says_that_candidates_have_ids(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("id,score\n1,0.5\n")
    with pytest.raises(
        DataError, match="needs the columns item_id, candidate_id, scor"
    ):
        import_file(md3.PROBE, file, model="m", root=tmp_path / "runs")
