"""Languages: levels, differences, places, findings, and the report's part."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis import paired
from analysis.disparity import best_minus_worst, clustered_best_minus_worst
from analysis.html import Figure, Section, Table
from analysis.languages import in_panels, languages_part
from analysis.languages_analysis import (
    BOUNDED_LANGUAGES,
    LanguageRun,
    Maker,
    analyse_languages,
    differences,
)
from analysis.languages_data import Answers, read_answers
from analysis.languages_findings import headline_finding, run_findings
from analysis.load import load_run
from analysis.part import AxisPart, Wanted
from analysis.records import with_holm
from analysis.report import write_report
from analysis.wording import side_of
from data_builders import tydiqa
from probe.types import Candidate, Item
from tests import language_runs
from tests.language_runs import Generated, choices, extractions, picks, replies, store

CODES = ("eng_Latn", "deu_Latn", "fin_Latn", "rus_Cyrl", "arb_Arab", "tel_Telu")


def analyse(*paths: Path, reference: str = "eng_Latn") -> tuple[LanguageRun, ...]:
    runs = [load_run(path) for path in paths]
    return analyse_languages(runs, reference=reference, draws=300)


def language(item: Item) -> str:
    return str(item.groups["language"])


def part(*paths: Path, reference: str = "eng_Latn") -> AxisPart:
    runs = [load_run(path) for path in paths]
    wanted = Wanted(polls=(), reference_language=reference)
    return languages_part(runs, wanted, lambda: None)


def tables(section: Section) -> dict[str, Table]:
    return {
        block.id: block
        for one in section.walk()
        for block in one.blocks
        if isinstance(block, Table)
    }


def figures(section: Section) -> dict[str, Figure]:
    return {
        block.id: block
        for one in section.walk()
        for block in one.blocks
        if isinstance(block, Figure)
    }


def chosen(tmp_path: Path, *, questions: int = 200, **changes: object) -> Path:
    """A run in which Telugu alone is answered worse, by 25 points."""

    def chance(item: Item) -> float:
        return 0.35 if language(item) == "tel_Telu" else 0.6

    score = picks(chance, seed=1)
    return store(tmp_path, choices(CODES, questions), score, **changes)  # type: ignore[arg-type]


def replied(tmp_path: Path, *, size: int = 80, **changes: object) -> Path:
    """The same of short answers."""

    def chance(item: Item) -> float:
        return 0.3 if language(item) == "tel_Telu" else 0.7

    items = extractions(dict.fromkeys(CODES, size))
    return store(
        tmp_path,
        items,
        lambda item, one: -1.0,
        reply=replies(chance),
        **changes,  # type: ignore[arg-type]
    )


# Numbers.


def test_levels_are_those_counted_by_hand(tmp_path: Path) -> None:
    [run] = analyse(chosen(tmp_path, questions=60))
    frame = run.answers.frame
    for code in CODES:
        here = frame[frame["language"] == code]
        level = run.level(code)
        assert level.estimate == pytest.approx(here["right"].mean())
        assert (level.n, level.n_clusters, level.cluster) == (60, 30, "passage")
        # The effective number lies between passages and questions, so that the
        # interval lies between their two of Wilson's.
        plain = run.by_name["accuracy_questions_independent", code]
        right = here["right"].sum()
        low, high = proportion_confint(right, 60, method="wilson")
        assert (plain.ci_low, plain.ci_high) == pytest.approx((low, high))
        assert (plain.cluster, plain.n_clusters) == ("question", 60)
        wide = proportion_confint(right / 2, 30, method="wilson")
        assert level.ci_low is not None and level.ci_high is not None
        assert wide[0] - 1e-9 <= level.ci_low <= low + 1e-9
        assert high - 1e-9 <= level.ci_high <= wide[1] + 1e-9
        over = run.by_name["accuracy_over_chance", code]
        assert over.estimate == pytest.approx(here["right"].mean() - 0.25)
    whole = run.by_name["accuracy_mean_of_languages", None]
    assert whole.estimate == pytest.approx(frame["right"].mean())


def test_one_question_a_passage_gives_wilsons_interval_of_all(tmp_path: Path) -> None:
    items = [
        language_runs.choice(number, code, passage_id=f"p{number}")
        for code in CODES[:2]
        for number in range(50)
    ]
    [run] = analyse(store(tmp_path, items, picks(lambda item: 0.5)))
    for code in CODES[:2]:
        own, plain = (
            run.level(code),
            run.by_name["accuracy_questions_independent", code],
        )
        assert (own.ci_low, own.ci_high) == pytest.approx(
            (plain.ci_low, plain.ci_high), abs=0.003
        )


def test_choices_are_compared_question_by_question(tmp_path: Path) -> None:
    [run] = analyse(chosen(tmp_path))
    table = run.answers.frame.pivot(
        index="question_id", columns="language", values="right"
    )
    passages = np.arange(200) // 2
    for code in CODES[1:]:
        gaps = (table[code] - table["eng_Latn"]).to_numpy()
        sums = np.bincount(passages, gaps - gaps.mean())
        error = math.sqrt(100 / 99 * (sums**2).sum()) / 200
        gap = run.by_name["accuracy_difference", code]
        assert gap.estimate == pytest.approx(gaps.mean())
        assert gap.p_value == pytest.approx(
            2 * stats.t.sf(abs(gaps.mean()) / error, 99)
        )
        reach = stats.t.ppf(0.975, 99) * error
        assert (gap.ci_low, gap.ci_high) == pytest.approx(
            (gaps.mean() - reach, gaps.mean() + reach)
        )
        more, fewer = int((gaps > 0).sum()), int((gaps < 0).sum())
        exact = run.by_name["accuracy_difference_mcnemar", code]
        assert exact.p_value == pytest.approx(
            stats.binomtest(more, more + fewer).pvalue
        )
        assert exact.p_holm is None
        least = run.by_name["accuracy_minimum_detectable_difference", code]
        power = stats.nct.sf(stats.t.ppf(0.975, 99), 99, (least.estimate or 0) / error)
        assert power == pytest.approx(0.8, abs=0.01)
    pairs = [(gap.p_value, gap.p_holm) for gap in run.gaps()]
    smallest = min(pairs)
    assert smallest[1] == pytest.approx(5 * (smallest[0] or 0))


def test_a_question_unscored_in_one_language_leaves_its_pair_out(
    tmp_path: Path,
) -> None:
    base = picks(lambda item: 0.5)
    path = store(
        tmp_path,
        choices(CODES[:2], 40),
        lambda item, one: (
            math.nan
            if item.id in ("deu_Latn-q0003", "eng_Latn-q0009")
            else base(item, one)
        ),
    )
    [run] = analyse(path)
    assert [run.level(code).n for code in CODES[:2]] == [39, 39]
    assert run.by_name["accuracy_difference", "deu_Latn"].n == 38
    told = [text for one in run_findings(run) for text in one.evidence]
    assert any(
        text.startswith("2 questions without an answer are left") for text in told
    )


def test_short_answers_are_compared_between_different_questions(
    tmp_path: Path,
) -> None:
    items = [
        language_runs.extraction(
            number, code, [f"alpha {number}"], document=str(number)
        )
        for code, size in (("eng_Latn", 40), ("deu_Latn", 25))
        for number in range(size)
    ]
    path = store(
        tmp_path, items, lambda item, one: -1.0, reply=replies(lambda item: 0.5)
    )
    [run] = analyse(path)
    frame = run.answers.frame
    for key, column in (("f1", "f1"), ("exact_match", "exact")):
        german, english = (
            frame.loc[frame["language"] == code, column].to_numpy()
            for code in ("deu_Latn", "eng_Latn")
        )
        wanted = stats.ttest_ind(german, english, equal_var=False)
        gap = run.by_name[f"{key}_difference", "deu_Latn"]
        assert gap.estimate == pytest.approx(german.mean() - english.mean())
        assert gap.p_value == pytest.approx(wanted.pvalue)
        bounds = wanted.confidence_interval()
        assert (gap.ci_low, gap.ci_high) == pytest.approx((bounds.low, bounds.high))
        assert (gap.n, gap.n_clusters, gap.cluster) == (65, 65, "document")
    level = run.level("deu_Latn", "f1")
    german = frame.loc[frame["language"] == "deu_Latn", "f1"].to_numpy()
    bounds = stats.ttest_1samp(german, 0).confidence_interval()
    assert level.ci_low == pytest.approx(max(bounds.low, 0))
    assert level.ci_high == pytest.approx(min(bounds.high, 1))


def test_questions_of_one_document_widen_a_difference() -> None:
    rng = np.random.default_rng(0)
    of_document = rng.normal(size=(2, 20)).repeat(4, axis=1)
    first, second = of_document + 0.1 * rng.normal(size=(2, 80))
    own, codes = np.arange(80), np.arange(80) // 4
    alone = paired.independent_difference(first, own, second, own)
    together = paired.independent_difference(first, codes, second, codes)
    assert together.error == pytest.approx(2 * alone.error, rel=0.05)
    means = [values.reshape(20, 4).mean(axis=1) for values in (first, second)]
    wanted = stats.ttest_ind(*means, equal_var=False)
    assert (together.t, together.p_value) == pytest.approx(
        (wanted.statistic, wanted.pvalue)
    )
    few = paired.independent_difference(first[:16], codes[:16], second, codes)
    assert few.p_value is None and few.mean.estimate == pytest.approx(
        first[:16].mean() - second.mean()
    )


def test_the_mean_of_groups_counts_each_the_same() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=90)
    groups = np.repeat([0, 1, 2], [60, 20, 10])
    found = paired.mean_of_means(values, groups, np.arange(90))
    parts = [values[groups == group] for group in range(3)]
    assert found.mean.estimate == pytest.approx(np.mean([p.mean() for p in parts]))
    # Leaving one value out moves its group's mean by its residual over the others.
    error = math.sqrt(sum(p.var() * len(p) / (len(p) - 1) ** 2 for p in parts)) / 3
    assert found.error == pytest.approx(error * math.sqrt(89 / 90))
    one = paired.mean_of_means(values, np.zeros(90, dtype=np.intp), np.arange(90) // 3)
    plain = paired.t_test(values, np.arange(90) // 3)
    assert (one.t, one.error, one.freedom) == pytest.approx(
        (plain.t, plain.error, plain.freedom)
    )


@pytest.mark.parametrize("crossed", [True, False])
def test_clusters_of_one_value_are_permuted_like_values(crossed: bool) -> None:
    rng = np.random.default_rng(2)
    groups = np.tile(["a", "b", "c"], 60)
    rows = np.repeat(np.arange(60), 3) if crossed else np.arange(180)
    values = rng.normal(size=180) + 0.5 * (groups == "c")
    names = rows.astype(str)
    by_cluster = clustered_best_minus_worst(
        values, groups, names, crossed=crossed, draws=2000, seed=0
    )
    by_value = best_minus_worst(
        values, groups, draws=2000, seed=1, blocks=names if crossed else None
    )
    assert by_cluster is not None and by_value is not None
    assert (by_cluster.best, by_cluster.worst) == (by_value.best, by_value.worst)
    assert by_cluster.observed.estimate == pytest.approx(by_value.observed.estimate)
    assert by_cluster.null_mean == pytest.approx(by_value.null_mean, rel=0.05)
    assert by_cluster.p_value == pytest.approx(by_value.p_value, abs=0.02)
    for end in ("low", "high"):
        own, other = (
            dataclasses.asdict(one.observed)[end] for one in (by_cluster, by_value)
        )
        assert own == pytest.approx(other, abs=0.05)


def test_a_missing_value_changes_the_spread_a_little_and_not_its_kind() -> None:
    rng = np.random.default_rng(3)
    groups, rows = np.tile(["a", "b", "c"], 60), np.repeat(np.arange(60), 3).astype(str)
    values = rng.normal(size=180) + 0.5 * (groups == "c")
    holed = np.where(np.arange(180) == 50, np.nan, values)
    whole, less = (
        clustered_best_minus_worst(one, groups, rows, crossed=True, draws=2000, seed=0)
        for one in (values, holed)
    )
    assert whole is not None and less is not None
    assert less.null_mean == pytest.approx(whole.null_mean, rel=0.1)
    assert less.observed.estimate == pytest.approx(whole.observed.estimate, abs=0.05)


def test_clusters_alike_inside_make_chance_differ_more() -> None:
    """Languages that go together by passage are no more apart than passages are."""
    rng = np.random.default_rng(4)
    groups = np.repeat(["a", "b", "c"], 100)
    clusters = np.repeat(np.arange(30), 10)
    values = rng.normal(size=30)[clusters]
    apart = best_minus_worst(values, groups, draws=500, seed=0)
    together = clustered_best_minus_worst(
        values, groups, clusters.astype(str), crossed=False, draws=500, seed=0
    )
    assert apart is not None and together is not None
    assert together.null_mean > 2 * apart.null_mean
    assert together.p_value is not None and apart.p_value is not None
    assert together.p_value > apart.p_value


# Planted effects, and none.


def test_a_planted_language_is_found_and_named_and_no_other(tmp_path: Path) -> None:
    for path in (chosen(tmp_path), replied(tmp_path, size=100)):
        [run] = analyse(path)
        sides = {gap.group: side_of(gap) for gap in run.gaps()}
        assert sides.pop("tel_Telu") == -1
        assert set(sides.values()) == {0}
        first, second, *_ = run_findings(run)
        assert first.certainty == "supported" and "Telugu" in first.claim
        assert "German" not in first.claim
        assert second.certainty == "not shown" and "Telugu" not in second.claim
        assert "is not shown" in second.claim
        gap = run.by_name[f"{run.key}_difference", "tel_Telu"]
        assert gap.ci_low is not None and gap.ci_high is not None
        planted = -0.25 if run.answers.crossed else -0.3
        assert gap.ci_low < planted < gap.ci_high
        assert run.headline == gap
        spread = run.spread()
        assert spread is not None and spread.reference == "tel_Telu"
        assert spread.p_holm is not None and spread.p_holm < 0.05
        assert headline_finding(run).claim == first.claim


def test_a_language_that_is_answered_better_is_told_so(tmp_path: Path) -> None:
    path = store(
        tmp_path,
        choices(CODES[:3], 200),
        picks(lambda item: 0.8 if language(item) == "fin_Latn" else 0.5),
    )
    [run] = analyse(path)
    first = run_findings(run)[0]
    assert first.claim == (
        "made_up answers more questions right in Finnish than in English."
    )


def answered_anew(
    answers: Answers, rng: np.random.Generator, *, draws: int, planted: float
) -> Iterator[Answers]:
    """The same questions, answered with Telugu alone `planted` SDs worse.

    Questions of a cluster go together, and choices on one question do in all languages.
    """
    size, first = len(answers.frame), answers.outcomes[0]
    column = "question_id" if answers.crossed else "item_id"
    question = np.unique(answers.frame[column], return_inverse=True)[1]
    cells = answers.cluster * len(CODES) + answers.language
    cell = np.unique(cells, return_inverse=True)[1]
    for _ in range(draws):
        level = (
            0.7 * rng.normal(size=question.max() + 1)[question]
            + 0.5 * rng.normal(size=cell.max() + 1)[cell]
            + rng.normal(size=size)
            - planted * answers.of("tel_Telu")
        )
        right = (level > 0).astype(np.float64)
        # An answer that is not exact shares some of its words.
        shared = np.maximum(right, rng.uniform(size=size) / 2)
        outcome = dataclasses.replace(first, values=right if first.binary else shared)
        yield dataclasses.replace(answers, outcomes=(outcome,))


@pytest.mark.parametrize("planted", [0.0, 3.0])
@pytest.mark.parametrize("kind", ["choices", "extractions"])
def test_a_language_like_english_is_named_in_one_run_of_twenty(
    tmp_path: Path, kind: str, planted: float
) -> None:
    """Any of them: Holm's adjustment is over languages."""
    path = (
        chosen(tmp_path, questions=60)
        if kind == "choices"
        else replied(tmp_path, size=40)
    )
    answers = read_answers(load_run(path), "made_up", "eng_Latn")
    rng, others, telugu = np.random.default_rng(0), [], []
    for one in answered_anew(answers, rng, draws=500, planted=planted):
        found = with_holm(tuple(differences(Maker(answers=one), one.outcomes[0])))
        metric = f"{one.outcomes[0].key}_difference"
        sides = {gap.group: side_of(gap) for gap in found if gap.metric == metric}
        assert set(sides) == set(CODES[1:])
        telugu.append(sides["tel_Telu"] == -1)
        others.append(any(side for code, side in sides.items() if code != "tel_Telu"))
    named = np.array(others) if planted else np.array(others) | np.array(telugu)
    assert 0.025 <= named.mean() <= 0.08
    assert np.mean(telugu) > 0.95 if planted else np.mean(telugu) < 0.05


def test_a_liked_place_is_found_in_its_languages(tmp_path: Path) -> None:
    likes = picks(lambda item: 0.4, liked=0)
    fair = picks(lambda item: 0.4)
    path = store(
        tmp_path,
        choices(CODES[:3], 200),
        lambda item, one: (likes if language(item) != "fin_Latn" else fair)(item, one),
    )
    [run] = analyse(path)
    frame = run.answers.frame
    for code, place in itertools.product(CODES[:3], range(4)):
        here = frame[frame["language"] == code]
        group = f"{code} {'ABCD'[place]}"
        picked, held = (here["chosen"] == place), (here["answer"] == place)
        share = run.by_name["place_share", group]
        assert share.estimate == pytest.approx(picked.mean())
        right = run.by_name["place_share_of_answers", group]
        assert right.estimate == pytest.approx(held.mean())
        gap = run.by_name["place_share_difference", group]
        assert gap.estimate == pytest.approx(picked.mean() - held.mean())
        if place == 0:
            assert side_of(gap) == (0 if code == "fin_Latn" else 1)
    [finding] = [one for one in run_findings(run) if " picks A more often" in one.claim]
    assert finding.certainty == "supported"
    assert "A liking is shown for A in 2 of 3 languages taken one by one." in (
        finding.evidence
    )


def test_a_model_without_a_liking_is_not_said_to_have_one(tmp_path: Path) -> None:
    [run] = analyse(chosen(tmp_path))
    [finding] = [one for one in run_findings(run) if "likes a place" in one.claim]
    assert finding.certainty == "not shown"


def test_at_chance_it_is_said_that_differences_say_little(tmp_path: Path) -> None:
    path = store(tmp_path, choices(CODES[:2], 100), picks(lambda item: 0.25))
    [run] = analyse(path)
    [finding] = [one for one in run_findings(run) if "right than chance" in one.claim]
    assert finding.certainty == "not shown"
    assert "differences between languages then say little" in finding.claim


# What is missing.


def test_few_questions_are_shown_and_not_tested(tmp_path: Path) -> None:
    items = extractions({"eng_Latn": 60, "deu_Latn": 60, "swh_Latn": 19})
    path = store(
        tmp_path, items, lambda item, one: -1.0, reply=replies(lambda item: 0.5)
    )
    [run] = analyse(path)
    gap = run.by_name["f1_difference", "swh_Latn"]
    assert gap.estimate is not None and gap.p_value is None and gap.ci_low is None
    assert gap.ci_method == "none: fewer than 20 questions"
    assert run.level("swh_Latn").ci_low is not None
    spread = run.spread()
    assert spread is not None and spread.n == 120
    claims = [one.claim for one in run_findings(run)]
    assert any("Swahili" in one and "from so few questions" in one for one in claims)
    told = [text for one in run_findings(run) for text in one.evidence]
    assert "Fewer than 20 answers, shown and not tested: Swahili." in told


def test_a_language_with_one_document_leaves_the_mean_without_interval(
    tmp_path: Path,
) -> None:
    """How that language would be with other documents, nobody knows."""
    sizes = {"eng_Latn": 40, "fin_Latn": 40}
    for extra, reason in (({}, None), ({"swh_Latn": 1}, "none: a language has one ")):
        items = extractions(sizes | extra)
        path = store(
            tmp_path / f"{len(extra)}",
            items,
            lambda item, one: -1.0,
            reply=replies(lambda item: 0.5),
        )
        [run] = analyse(path)
        mean = run.by_name["f1_mean_of_languages", None]
        assert mean.estimate is not None
        if reason is None:
            assert mean.ci_low is not None
        else:
            assert mean.ci_low is None and mean.ci_method == f"{reason}document"


def test_without_the_reference_nothing_is_compared_and_that_is_said(
    tmp_path: Path,
) -> None:
    one_language = store(
        tmp_path, choices(["deu_Latn"], 40), picks(lambda item: 0.6), model="one"
    )
    three = store(
        tmp_path, choices(CODES[1:4], 40), picks(lambda item: 0.6), model="three"
    )
    for path, where in (
        (one_language, "in German"),
        (three, "over 3 languages, each counting the same"),
    ):
        [run] = analyse(path)
        assert not run.gaps()
        first = run_findings(run)[0]
        assert first.certainty == "note"
        assert "reaches an accuracy of" in first.claim and where in first.claim
        assert "eng_Latn is not in the run: no language is compared with it." in (
            first.evidence
        )
        found = part(path)
        assert found.runs[0].headline is not None
        assert not any("gaps" in name for name in tables(found.section))
    german = part(one_language, reference="deu_Latn")
    assert german.runs[0].headline_name == "accuracy, German"
    evidence = german.runs[0].findings[0].evidence
    assert not any("is not in the run" in text for text in evidence)


def test_a_difference_below_chance_is_called_uncertain(tmp_path: Path) -> None:
    """A model that always picks A is right where A happens to be right."""

    def score(item: Item, candidate: Candidate) -> float:
        number = int(item.id.rpartition("q")[2])
        other = language(item) == "deu_Latn" and number % 3 == 0
        return float(candidate.id == ("B" if other else "A"))

    def even(number: int, code: str) -> Item:
        item = language_runs.choice(number, code)
        right = 1 if number % 3 == 0 else 2
        return dataclasses.replace(
            item,
            candidates=tuple(
                dataclasses.replace(
                    one,
                    groups={
                        "place": float(place),
                        "correct": "yes" if place == right else "no",
                    },
                )
                for place, one in enumerate(item.candidates)
            ),
        )

    items = [even(number, code) for code in CODES[:2] for number in range(60)]
    [run] = analyse(store(tmp_path, items, score))
    assert [run.level(code).estimate for code in CODES[:2]] == [0, 20 / 60]
    first = run_findings(run)[0]
    assert first.certainty == "uncertain"
    assert first.claim == (
        "made_up answers more questions right in German than in English, but neither "
        "is shown to be above chance."
    )


def test_another_reference_can_be_wanted(tmp_path: Path) -> None:
    [run] = analyse(chosen(tmp_path), reference="tel_Telu")
    assert {gap.reference for gap in run.gaps()} == {"tel_Telu"}
    assert all(side_of(gap) == 1 for gap in run.gaps())


def test_answers_that_ran_on_and_prompts_that_were_cut_are_counted(
    tmp_path: Path,
) -> None:
    def reply(item: Item) -> Generated | None:
        number = int(item.id.rpartition("-")[2])
        if number == 7:
            return Generated(text=None)
        long = language(item) == "deu_Latn" and number < 12
        return Generated(text="alpha", n_tokens=50 if long else 3)

    items = extractions({"eng_Latn": 30, "deu_Latn": 30})
    path = store(
        tmp_path,
        items,
        lambda item, one: -1.0,
        reply=reply,
        cut=lambda item: int(item.id == "eng_Latn-0002"),
    )
    found = part(path)
    notes = {
        one.claim: one.evidence
        for one in found.runs[0].findings
        if one.certainty == "note"
    }
    (ran,) = [text for claim, text in notes.items() if "token limit" in claim]
    assert "German 11 of 30" in ran[0]
    (claim,) = [one for one in notes if "cut to fit" in one]
    assert claim.startswith("1 prompt was cut") and notes[claim] == (
        "English 1 of 30.",
    )
    (data,) = [text for claim, text in notes.items() if "read and compared" in claim]
    assert (
        "2 questions without an answer are left out: English 1 of 30 and German"
        in (data[0])
    )
    rows = {
        row[0].text: [cell.text for cell in row]
        for row in tables(found.section)["languages-tydiqa-lengths"].rows
    }
    # Items, then cut, no answer and ran on.
    assert [rows["German"][1], *rows["German"][5:8]] == ["30", "0", "1", "11"]
    assert [rows["English"][1], *rows["English"][5:8]] == ["30", "1", "1", "0"]


def test_the_length_of_prompts_is_told_on_the_same_questions(tmp_path: Path) -> None:
    path = chosen(
        tmp_path,
        questions=30,
        tokens=lambda item: 300 if language(item) == "tel_Telu" else 100,
    )
    [run] = analyse(path)
    assert run.by_name["prompt_tokens_ratio", "tel_Telu"].estimate == 3
    assert run.by_name["mean_prompt_tokens", "tel_Telu"].estimate == 300
    told = [text for one in run_findings(run) for text in one.evidence]
    assert any("3.00 times as many in Telugu" in text for text in told)


# The page.


def test_a_report_of_both_kinds_has_all_its_parts(tmp_path: Path) -> None:
    paths = [
        make(tmp_path, model=model)
        for make in (chosen, replied)
        for model in ("first", "second")
    ]
    runs = [load_run(path) for path in paths]
    report = write_report(runs, tmp_path / "report", Wanted(polls=()))
    page = report.index.read_text(encoding="utf-8")
    for text in (
        "In which of 6 languages the same questions",
        "What the model is told to do stands in English",
        "The models side by side",
        "How often each place is chosen",
        "How answers are compared, by language",
        "Examples of answers",
        "By script",
        "Between different questions",
    ):
        assert text in page
    written = json.loads((tmp_path / "report" / "summary.json").read_text())
    found = {(one["analysis"], one["metric"]) for one in written}
    for metric in (
        "accuracy",
        "accuracy_difference",
        "accuracy_disparity",
        "place_share",
        "place_share_difference",
        "prompt_tokens_ratio",
    ):
        assert ("language_choices", metric) in found
    for metric in ("f1", "exact_match", "f1_difference", "exact_match_difference"):
        assert ("language_extractions", metric) in found
    assert all(one["n_clusters"] for one in written if one["ci_low"] is not None)
    # Twice as many models, twice as many tests in a family.
    [record] = [
        one
        for one in written
        if (one["metric"], one["group"], one["model"])
        == ("accuracy_difference", "tel_Telu", "first")
    ]
    assert record["p_holm"] > 2 * record["p_value"]


def test_several_models_stand_beside_each_other(tmp_path: Path) -> None:
    paths = [chosen(tmp_path, model=model) for model in ("first", "second")]
    found = part(*paths)
    table = tables(found.section)["languages-belebele-across"]
    assert table.header == ("Language", "first", "second")
    last = table.rows[-1]
    assert last[0].text == "Telugu"
    assert all(cell.text.startswith("\u2193\u00a0") for cell in last[1:])
    assert figures(found.section)["languages-belebele-models"].panels
    [finding] = found.across
    assert finding.claim == (
        "In some language fewer questions are answered right than in English by 2 of 2 "
        "models."
    )
    assert "In both models: Telugu." in finding.evidence


def test_what_a_model_wrote_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> [x](y) | `z`\n# h"
    items = extractions({"eng_Latn": 25, "deu_Latn": 25})
    path = store(
        tmp_path,
        items,
        lambda item, one: -1.0,
        reply=lambda item: Generated(text=evil),
    )
    out = tmp_path / "report"
    write_report([load_run(path)], out, Wanted(polls=()))
    assert "<script>alert" not in (out / "index.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert" in (out / "index.html").read_text(encoding="utf-8")
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown and "[x](y)" not in markdown


def test_examples_are_right_partly_right_and_wrong(tmp_path: Path) -> None:
    found = part(replied(tmp_path))
    table = tables(found.section)["languages-tydiqa-examples"]
    kinds = [(row[0].text, row[1].text) for row in table.rows]
    assert len(kinds) == len(set(kinds)) == 3 * len(CODES)
    for row in table.rows:
        f1 = float(row[4].text)
        assert {"right": f1 == 100, "wrong": f1 == 0}.get(row[1].text, 0 < f1 < 100)


@pytest.mark.parametrize(("count", "bars"), [(2, 1), (45, 1), (122, 1), (122, 5)])
def test_panels_hold_all_languages_in_order(count: int, bars: int) -> None:
    codes = [str(number) for number in range(count)]
    panels = list(in_panels(codes, bars))
    assert list(itertools.chain(*panels)) == codes
    sizes = [len(one) for one in panels]
    assert max(sizes) * bars <= 44 and max(sizes) - min(sizes) <= len(panels)


def test_many_languages_are_counted_and_not_listed(tmp_path: Path) -> None:
    codes = ["eng_Latn", *(f"x{number:02d}_Latn" for number in range(60))]
    path = store(
        tmp_path,
        choices(codes, 40),
        picks(lambda item: 0.95 if language(item) == "eng_Latn" else 0.3),
    )
    found = part(path)
    first = found.runs[0].findings[0]
    assert first.claim == (
        "made_up answers fewer questions right in all 60 other languages than in "
        "English."
    )
    assert len(first.evidence) == 6
    assert first.evidence[-1].startswith("The other 55,")
    [spread] = [one for one in found.records if one.metric == "accuracy_disparity"]
    assert len(codes) > BOUNDED_LANGUAGES and spread.ci_low is None
    assert spread.p_value is not None
    levels = figures(found.section)["languages-belebele-levels"]
    assert len(levels.panels) == 2
    assert figures(found.section)["languages-belebele-places"].folded


# Recorded answers.


def test_recorded_answers_give_the_known_figures_with_their_intervals(
    tmp_path: Path, recorded: Path, shared_data: Path
) -> None:
    folder = recorded / "outputs" / "tydiqa-goldp"
    answers: dict[str, str] = {}
    for file in folder.glob("*Mistral-7B-v0.1*/greedy/1-shot/*.json"):
        answers |= json.loads(file.read_text(encoding="utf-8"))
    items = [
        language_runs.extraction(
            0, one.language, one.answers, document=one.document, id=one.id
        )
        for one in tydiqa.gold(shared_data)
        if one.language in ("eng_Latn", "tel_Telu", "fin_Latn")
    ]
    path = store(
        tmp_path,
        [dataclasses.replace(one, id=str(one.meta["id"])) for one in items],
        lambda item, one: -1.0,
        reply=lambda item: Generated(text=answers[item.id]),
    )
    [run] = analyse(path)
    found = {
        (key, code): round(100 * (run.level(code, key).estimate or 0), 2)
        for key in ("f1", "exact_match")
        for code in ("eng_Latn", "tel_Telu")
    }
    assert found == {
        ("f1", "eng_Latn"): 72.80,
        ("exact_match", "eng_Latn"): 58.64,
        ("f1", "tel_Telu"): 39.41,
        ("exact_match", "tel_Telu"): 30.64,
    }
    gap = run.by_name["f1_difference", "tel_Telu"]
    assert gap.estimate == pytest.approx(0.3941 - 0.7280, abs=1e-4)
    assert side_of(gap) == -1
