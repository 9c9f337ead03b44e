from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from analysis.dialects import dialects_part
from analysis.dialects_mixed import EQUAL_LENGTH, fit_mixed
from analysis.dialects_pairs import pairs_part
from analysis.dialects_pairs_analysis import PairRun, analyse_pairs
from analysis.dialects_pairs_effects import ACCURACY
from analysis.html import Figure, Table
from analysis.load import Run, load_run
from analysis.paired import rank_biserial
from analysis.part import ProbePart, Wanted
from analysis.records import Record
from analysis.wording import side_of
from data_builders import dialect_pairs
from probe import audit
from probe.audit import Settings
from probe.types import (
    BuildOptions,
    Candidate,
    DataError,
    Item,
    Measure,
    UsageError,
)
from tests.pair_runs import (
    DIALECTS,
    STANDARD,
    Score,
    imported_items,
    scored_items,
    store,
)
from tests.tiny_checkpoints import CHAT_TEMPLATE, byte_tokenizer, llama_classifier


def noise(
    seed: int,
    *,
    answer: Mapping[str, float] | None = None,
    prompt: Mapping[str, float] | None = None,
    spread: float = 1.0,
    chosen: float = 1.0,
) -> Score:
    """Rewards: a row's own level, noise, and what dialects cost."""
    rng = np.random.default_rng(seed)
    levels: dict[str, float] = {}

    def score(item: Item, candidate: Candidate) -> float:
        row = str(item.groups["row"])
        level = levels.setdefault(row, float(rng.normal(0, 3)))
        cost = (answer or {}).get(str(candidate.groups["dialect"]), 0.0)
        cost += (prompt or {}).get(str(item.groups["prompt_dialect"]), 0.0)
        better = chosen if candidate.groups["role"] == "chosen" else 0.0
        return level + better - cost + float(rng.normal(0, spread))

    return score


def analysed(*paths: Path, **changes: object) -> tuple[PairRun, ...]:
    runs = [load_run(path) for path in paths]
    return analyse_pairs(runs, draws=200, **changes).runs  # type: ignore[arg-type]


def pick(run: PairRun, analysis: str, metric: str, group: str | None) -> Record:
    return run.book[analysis, metric, group]


def scores_of(run: PairRun, prompt: str | None, role: str, dialect: str) -> np.ndarray:
    """A cell, read from the frame and by nothing of the analysis."""
    frame = run.table.run.frame
    asked = (
        frame["prompt_dialect"].isna()
        if prompt is None
        else frame["prompt_dialect"] == prompt
    )
    kept = frame[asked & (frame["role"] == role) & (frame["dialect"] == dialect)]
    return kept.sort_values("row")["score"].to_numpy()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PairRun:
    """Answers in Jamaican cost 1, prompts in aal 0.8; aal and Indian ones nothing."""
    items = scored_items(60, subsets={f"r{i:03d}": f"s{i % 3}" for i in range(60)})
    lengths = np.random.default_rng(1)
    path = store(
        tmp_path_factory.mktemp("planted"),
        items,
        noise(1, answer={"jamaican": 1.0}, prompt={"aal": 0.8}),
        tokens=lambda item, candidate: int(lengths.integers(40, 60)),
    )
    return analysed(path)[0]


VIEWS: Sequence[
    tuple[str, Callable[[str], tuple[tuple[str, str, str], tuple[str, str, str]]]]
] = (
    (
        "answer",
        lambda d: ((STANDARD, "chosen", STANDARD), (STANDARD, "chosen", d)),
    ),
    (
        "prompt",
        lambda d: ((STANDARD, "chosen", STANDARD), (d, "chosen", STANDARD)),
    ),
    ("asker", lambda d: ((d, "chosen", STANDARD), (d, "chosen", d))),
    (
        "matched_chosen",
        lambda d: ((STANDARD, "chosen", STANDARD), (d, "chosen", d)),
    ),
    (
        "matched_rejected",
        lambda d: ((STANDARD, "rejected", STANDARD), (d, "rejected", d)),
    ),
)


@pytest.mark.parametrize(("key", "cells"), VIEWS)
def test_each_setting_is_the_plain_paired_comparison(
    planted: PairRun, key: str, cells: Callable[[str], tuple[tuple[str, str, str], ...]]
) -> None:
    for dialect in DIALECTS[1:]:
        a, b = (scores_of(planted, *cell) for cell in cells(dialect))
        analysis = f"dialect_{key}"
        mean = pick(planted, analysis, "mean_difference", dialect)
        test = stats.ttest_rel(a, b)
        assert mean.estimate == pytest.approx((a - b).mean())
        assert mean.p_value == pytest.approx(test.pvalue)
        assert mean.ci_low == pytest.approx(test.confidence_interval().low)
        assert (mean.n, mean.n_clusters, mean.cluster) == (60, 60, "prompt")
        assert (mean.unit, mean.reference) == ("reward", STANDARD)
        d_z = pick(planted, analysis, "cohens_d_z", dialect)
        assert d_z.estimate == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
        d_av = pick(planted, analysis, "cohens_d_av", dialect)
        pooled = (a.std(ddof=1) + b.std(ddof=1)) / 2
        assert d_av.estimate == pytest.approx((a - b).mean() / pooled)
        ranked = pick(planted, analysis, "rank_biserial", dialect)
        ranks = stats.rankdata(abs(a - b))
        assert ranked.estimate == pytest.approx(
            (ranks * np.sign(a - b)).sum() / ranks.sum()
        )
        assert ranked.p_value == pytest.approx(stats.wilcoxon(a, b).pvalue)
        share = pick(planted, analysis, "reference_preferred", dialect)
        assert share.estimate == pytest.approx((a > b).mean())


def test_planted_effects_are_found_where_they_are_and_nowhere_else(
    planted: PairRun,
) -> None:
    named = {
        setting.key: [set(side) for side in planted.sides(setting)[:2]]
        for setting in planted.settings
    }
    assert named["answer"] == [{"jamaican"}, set()]
    assert named["prompt"] == [{"aal"}, set()]
    assert named["asker"] == [{"jamaican"}, set()]
    assert named["asker_shift"] == [set(), set()]
    assert named["matched_chosen"] == [{"aal", "jamaican"}, set()]
    assert named["matched_rejected"] == [{"aal", "jamaican"}, set()]


def test_holm_is_over_models_and_dialects_of_one_setting(tmp_path: Path) -> None:
    items = scored_items(30)
    runs = analysed(
        *(store(tmp_path, items, noise(i), model=f"m{i}") for i in range(2))
    )
    families: dict[str | None, list[Record]] = {}
    for record in (r for run in runs for r in run.records if r.p_value is not None):
        families.setdefault(record.family, []).append(record)
    assert (
        len(
            families[
                "dialect_pairs@1+probe-half-0, answer, cohens_d_z: models and dialects"
            ]
        )
        == 6
    )
    for records in families.values():
        least = min(records, key=lambda one: one.p_value or 0.0)
        assert least.p_holm == pytest.approx(
            min(1.0, len(records) * (least.p_value or 0.0))
        )


def test_no_dialect_is_named_more_often_than_the_level_says(tmp_path: Path) -> None:
    dialects = DIALECTS[:3]
    run = load_run(store(tmp_path, scored_items(30, dialects), noise(0)))
    # Without lengths there is no mixed model, which has a test of its own.
    bare = run.frame.assign(n_answer_tokens=np.nan, answer="")
    place = run.frame["row"].str[1:].astype(int).to_numpy()
    rng = np.random.default_rng(11)
    named = {"answer": 0, "prompt": 0, "asker": 0, "matched_chosen": 0}
    dropped = 0
    runs = 300
    for _ in range(runs):
        scores = rng.normal(0, 3, 30)[place] + rng.normal(size=len(place))
        null = dataclasses.replace(run, frame=bare.assign(score=scores))
        [found] = analyse_pairs([null], draws=20).runs
        for key in named:
            setting = found.setting(key)
            assert setting is not None
            sides = found.sides(setting)
            named[key] += bool(sides[0] or sides[1])
        dropped += any(
            side_of(pick(found, ACCURACY, "accuracy_drop", d)) for d in dialects[1:]
        )
    for count in named.values():
        assert 0.015 <= count / runs <= 0.085
    # The exact test is conservative.
    assert dropped / runs <= 0.06


def test_at_equal_length_a_null_is_rejected_at_its_level() -> None:
    # Rows of one prompt are alike, dialects differ in spread, and length has a slope
    # that is another one between rows: none of it may look like a dialect.
    rng = np.random.default_rng(12)
    codes = np.repeat(np.arange(20), 2)
    spread = np.array([1.0, 0.3, 2.0])
    rejected = []
    for _ in range(120):
        base = rng.normal(200, 80, (40, 1))
        more = np.array([0.0, 4.0, 9.0]) + rng.normal(0, 5, (40, 3))
        shared = rng.normal(size=(20, 3))[codes] * spread * 0.7
        scores = 0.05 * base - 0.2 * more + shared + rng.normal(size=(40, 3)) * spread
        found = fit_mixed(scores, base + more, codes)
        assert not isinstance(found, str)
        p = 2 * stats.t.sf(np.abs(found.effects / found.errors), found.df)
        rejected.append(p < 0.05)
    assert np.mean(rejected) <= 0.085


def test_texts_that_are_the_same_leave_effect_sizes_unchanged(tmp_path: Path) -> None:
    def same(row: str, part: str, dialect: str) -> bool:
        return int(row[1:]) >= 40 and dialect == "aal"

    items = scored_items(60, same=same)
    score = noise(3, answer={"aal": 0.5})
    paths = [store(tmp_path, items, score, model="all")]
    few = [item for item in items if int(str(item.groups["row"])[1:]) < 40]
    paths.append(store(tmp_path, few, noise(3, answer={"aal": 0.5}), model="few"))
    whole, part = analysed(*paths)
    a, b = (
        scores_of(whole, STANDARD, "chosen", dialect)[:40]
        for dialect in (STANDARD, "aal")
    )
    for run in (whole, part):
        assert run.counts["answer", "aal"].n == 40
    assert whole.counts["answer", "aal"].identical == 20
    assert part.counts["answer", "aal"].identical == 0
    assert whole.counts["answer", "indian"].n == 60
    found = pick(whole, "dialect_answer", "cohens_d_z", "aal")
    assert found.estimate == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    assert whole.counts["asker", "aal"].identical == 20
    assert whole.counts["matched_chosen", "aal"].identical == 20


def test_a_prompt_that_is_the_same_is_not_asked_in_the_dialect(tmp_path: Path) -> None:
    def same(row: str, part: str, dialect: str) -> bool:
        return part == "prompt" and dialect == "aal" and int(row[1:]) < 10

    [run] = analysed(store(tmp_path, scored_items(30, same=same), noise(4)))
    identical = {s.key: run.counts[s.key, "aal"].identical for s in run.settings}
    assert identical == {
        "answer": 0,
        "prompt": 10,
        "asker": 10,
        "asker_shift": 10,
        "matched_chosen": 0,
        "matched_rejected": 0,
    }


def test_rows_of_one_prompt_are_one_cluster(tmp_path: Path) -> None:
    prompts = {f"r{i:03d}": f"topic {i // 3}" for i in range(60)}
    [run] = analysed(store(tmp_path, scored_items(60, prompts=prompts), noise(5)))
    found = pick(run, "dialect_answer", "mean_difference", "aal")
    assert (found.n, found.n_clusters) == (60, 20)


def test_accuracy_is_the_plain_share_and_its_drop_mcnemars(planted: PairRun) -> None:
    right = {
        d: scores_of(planted, d, "chosen", d) > scores_of(planted, d, "rejected", d)
        for d in DIALECTS
    }
    for dialect in DIALECTS:
        found = pick(planted, ACCURACY, "accuracy", dialect)
        assert found.reference is None
        assert found.estimate == right[dialect].mean()
        bounds = proportion_confint(right[dialect].sum(), 60, method="wilson")
        assert (found.ci_low, found.ci_high) == pytest.approx(bounds)
    for dialect in DIALECTS[1:]:
        a, b = right[STANDARD], right[dialect]
        drop = pick(planted, ACCURACY, "accuracy_drop", dialect)
        assert drop.estimate == pytest.approx(a.mean() - b.mean())
        table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
        assert drop.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert drop.ci_low is not None and drop.estimate is not None
        assert drop.ci_low <= drop.estimate
    shares = [one.mean() for one in right.values()]
    spread = pick(planted, ACCURACY, "disparity", None)
    assert spread.estimate == pytest.approx(max(shares) - min(shares))
    permuted = pick(planted, ACCURACY, "disparity_permuted", None)
    assert permuted.estimate is not None and permuted.estimate > 0


def test_a_fall_of_accuracy_is_found_and_ties_count_one_half(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)

    def score(item: Item, candidate: Candidate) -> float:
        if candidate.groups["role"] == "rejected":
            return 0.0
        if item.groups["prompt_dialect"] == "jamaican":
            return float(rng.normal(0, 1))
        return 0.0 if item.groups["prompt_dialect"] == "aal" else 1.0

    [run] = analysed(store(tmp_path, scored_items(60), score))
    assert pick(run, ACCURACY, "accuracy", STANDARD).estimate == 1.0
    assert pick(run, ACCURACY, "accuracy", "aal").estimate == 0.5
    found = {d: side_of(pick(run, ACCURACY, "accuracy_drop", d)) for d in DIALECTS[1:]}
    assert found == {"aal": 1, "indian": 0, "jamaican": 1}
    assert pick(run, ACCURACY, "accuracy_drop", "indian").p_value is None


def test_length_is_not_called_dialect_and_a_dialect_not_length(tmp_path: Path) -> None:
    rng = np.random.default_rng(19)
    words = {
        (f"r{i:03d}", d): int(rng.integers(50, 300)) for i in range(80) for d in "x"
    }
    more = {
        (f"r{i:03d}", d): int(rng.integers(0, 6)) + 3 * place
        for i in range(80)
        for place, d in enumerate(DIALECTS)
    }

    def tokens(item: Item, candidate: Candidate) -> int:
        row, dialect = str(item.groups["row"]), str(candidate.groups["dialect"])
        return words[row, "x"] + more[row, dialect]

    # Within a row a longer form scores lower; rows with long answers score higher.
    def score(item: Item, candidate: Candidate) -> float:
        row, dialect = str(item.groups["row"]), str(candidate.groups["dialect"])
        cost = 0.8 if dialect == "aal" else 0.0
        level = 0.02 * words[row, "x"] - 0.2 * more[row, dialect]
        return level - cost + float(rng.normal(0, 0.7))

    path = store(tmp_path, scored_items(80), score, tokens=tokens)
    [run] = analysed(path)
    assert set(run.sides(run.headline)[0]) == {"aal", "indian", "jamaican"}
    assert run.sides(run.headline, EQUAL_LENGTH)[:2] == (("aal",), ())
    equal = pick(run, "dialect_answer", EQUAL_LENGTH, "aal")
    assert equal.ci_low is not None and equal.ci_high is not None
    assert equal.ci_low < 0.8 < equal.ci_high
    slope = pick(run, "dialect_answer", "score_per_length", None)
    assert slope.estimate == pytest.approx(-0.2, abs=0.06)
    assert slope.unit == "reward per token"
    longer = pick(run, "dialect_answer", "length_difference", "jamaican")
    expected = np.mean([more[r, STANDARD] - more[r, "jamaican"] for r, _ in words])
    assert longer.estimate == pytest.approx(expected) and longer.unit == "tokens"
    claims = " ".join(one.claim for one in part_of([path]).runs[0].findings)
    assert "length may account for it; that of aal stands." in claims


def test_a_sign_that_turns_at_equal_length_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(23)
    more = {
        (f"r{i:03d}", d): int(rng.integers(0, 9)) + (12 if d == "aal" else 0)
        for i in range(80)
        for d in DIALECTS
    }

    def extra(item: Item, candidate: Candidate) -> int:
        return more[str(item.groups["row"]), str(candidate.groups["dialect"])]

    # Longer forms score lower, and of equal length the dialect would score higher.
    def score(item: Item, candidate: Candidate) -> float:
        gain = 1.0 if candidate.groups["dialect"] == "aal" else 0.0
        return gain - 0.2 * extra(item, candidate) + float(rng.normal(0, 0.4))

    path = store(
        tmp_path,
        scored_items(80),
        score,
        tokens=lambda item, candidate: 50 + extra(item, candidate),
    )
    [run] = analysed(path)
    assert run.sides(run.headline)[0] == ("aal",)
    assert run.sides(run.headline, EQUAL_LENGTH)[1] == ("aal",)
    claims = " ".join(one.claim for one in part_of([path]).runs[0].findings)
    assert "has the other sign: length more than accounts for it." in claims
    assert "no longer shown" not in claims


def test_the_mixed_model_is_statsmodels() -> None:
    rng = np.random.default_rng(8)
    lengths = rng.normal(100, 30, (50, 1)) + rng.normal(0, 5, (50, 4))
    scores = rng.normal(0, 2, (50, 1)) - 0.05 * lengths + rng.normal(size=(50, 4))
    scores[3, 2] = np.nan
    found = fit_mixed(scores, lengths, np.arange(50))
    assert not isinstance(found, str)
    rows, columns = np.nonzero(np.isfinite(scores))
    length = lengths[rows, columns]
    means = (np.bincount(rows, length) / np.bincount(rows))[rows]
    x = np.column_stack(
        [
            np.ones(len(rows)),
            *(columns == i for i in (1, 2, 3)),
            length - means,
            means - means.mean(),
        ]
    )
    fit = sm.MixedLM(scores[rows, columns], x, groups=rows).fit(reml=True)
    assert found.effects == pytest.approx(-fit.fe_params[1:4], abs=2e-3)
    assert found.slope == pytest.approx(fit.fe_params[4], abs=2e-4)


def test_what_the_mixed_model_cannot_say_is_said() -> None:
    rng = np.random.default_rng(9)
    scores = rng.normal(0, 2, (30, 1)) + rng.normal(size=(30, 3))
    codes = np.arange(30)
    constant = np.repeat(rng.normal(50, 9, 30)[:, None], 3, axis=1)
    assert "equally long" in str(fit_mixed(scores, constant, codes))
    aliased = constant + np.array([0.0, 2.0, 5.0])
    assert "told apart" in str(fit_mixed(scores, aliased, codes))
    varied = constant + rng.normal(size=(30, 3))
    assert "every score is the same" in str(fit_mixed(np.ones((30, 3)), varied, codes))
    assert "5 prompts" in str(fit_mixed(scores, varied, codes % 5))
    # No variance between rows is a boundary of the model, and no reason to stop.
    assert not isinstance(
        fit_mixed(scores - scores.mean(1)[:, None], varied, codes), str
    )


@pytest.mark.parametrize("matched", [True, False])
def test_scores_recorded_elsewhere_have_paired_statistics(
    tmp_path: Path, matched: bool
) -> None:
    dialects = ("wae", "aal")
    path = store(
        tmp_path,
        imported_items(80, dialects, matched=matched),
        noise(10, answer={"aal": 0.6}),
        tokens=lambda item, candidate: None,
        kind="imported",
    )
    part = part_of([path])
    [run] = analysed(path)
    cells = [(d if matched else None, "chosen", d) for d in dialects]
    a, b = (scores_of(run, *cell) for cell in cells)
    analysis = "dialect_matched_chosen" if matched else "dialect_recorded"
    records = {(r.analysis, r.metric, r.group): r for r in part.records}
    d_z = records[analysis, "cohens_d_z", "aal"]
    assert d_z.estimate == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    assert d_z.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert (d_z.reference, d_z.probe, d_z.cluster) == (
        "wae",
        "dialect_pairs@1+probe-half-0",
        "row",
    )
    mean = records[analysis, "mean_difference", "aal"]
    assert side_of(mean) == 1
    assert part.runs[0].headline == d_z
    left_out = records[analysis, EQUAL_LENGTH, "aal"]
    assert left_out.estimate is None
    assert left_out.ci_method is not None and left_out.n == 80
    assert left_out.ci_method.startswith("left out: neither tokens nor texts")
    titles = [block.title for block in part.section.blocks if isinstance(block, Table)]
    assert titles[0].startswith("Effect sizes: ") and len(set(titles)) == len(titles)
    assert ("Effect sizes: prompt and rejected answer varied" in titles) == matched
    known = {metric for _, metric, _ in records}
    assert ("accuracy_drop" in known) == matched
    assert any(
        "same in both dialects is not known" in text
        for finding in part.runs[0].findings
        for text in finding.evidence
    )


def test_rows_without_a_rejected_answer_have_effects_and_no_accuracy(
    tmp_path: Path,
) -> None:
    path = store(tmp_path, scored_items(30, rejected=False), noise(12))
    part = part_of([path])
    assert not [r for r in part.records if r.analysis == ACCURACY]
    assert {r.analysis for r in part.records} == {
        "dialect_answer",
        "dialect_prompt",
        "dialect_asker",
        "dialect_asker_shift",
        "dialect_matched_chosen",
    }


def test_unscored_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    score = noise(13)

    def gaps(item: Item, candidate: Candidate) -> float:
        value = score(item, candidate)
        return np.nan if item.id == "r004/aal" else value

    path = store(tmp_path, scored_items(30), gaps)
    [run] = analysed(path)
    assert run.table.unscored == 3
    assert run.counts["prompt", "aal"].n == 29
    assert run.counts["answer", "aal"].n == 30
    assert pick(run, ACCURACY, "accuracy_drop", "aal").n == 29
    nothing = store(tmp_path, scored_items(5), lambda i, c: np.nan, model="none")
    with pytest.raises(DataError, match="no text with a score"):
        analysed(nothing)


def test_variants_that_never_differ_are_said_to_be_the_same(tmp_path: Path) -> None:
    items = scored_items(20, same=lambda row, part, dialect: True)
    part = part_of(
        [store(tmp_path, items, noise(16), model=name) for name in ("one", "two")]
    )
    effects = [r for r in part.records if r.metric == "mean_difference"]
    assert effects and all((r.n, r.estimate) == (0, None) for r in effects)
    first = part.runs[0].findings[0]
    assert first.certainty == "not shown"
    assert first.claim.endswith("what is varied is the same text in every row.")
    told = " ".join(text for f in part.runs[0].findings for text in f.evidence)
    assert "20 in aal, 20 in Indian English and 20 in Jamaican English" in told
    assert not part.across


def test_scores_that_differ_by_the_same_are_not_tested(tmp_path: Path) -> None:
    # 0.1 more or less leaves a trace of spread by rounding, which is none.
    levels = {f"r{i:03d}": 0.37 * i for i in range(20)}

    def score(item: Item, candidate: Candidate) -> float:
        cost = 0.1 if candidate.groups["dialect"] == "aal" else 0.0
        return levels[str(item.groups["row"])] - cost

    part = part_of([store(tmp_path, scored_items(20), score)])
    effects = [r for r in part.records if r.metric == "mean_difference"]
    assert {r.p_value for r in effects} == {None}
    assert {r.ci_method for r in effects} == {"none: all rows differ by the same"}
    told = part.runs[0].findings
    assert "is not tested: all rows differ by the same amount" in told[0].claim
    assert "All dialects have the same accuracy." in " ".join(
        text for f in told for text in f.evidence
    )


def test_versions_mixed_on_purpose_are_told_apart(tmp_path: Path) -> None:
    paths = [
        store(tmp_path, scored_items(4), noise(18), probe_version=version)
        for version in ("1", "2")
    ]
    made = dialects_part(
        [load_run(path) for path in paths], Wanted(polls=()), lambda: None
    )
    names = [section.short for section in made.section.sections]
    assert names == ["dialect_pairs@1", "dialect_pairs@2"]


def test_few_rows_are_not_tested(tmp_path: Path) -> None:
    path = store(tmp_path, scored_items(4), noise(14, answer={"aal": 5.0}))
    part = part_of([path])
    assert all(r.p_value is None for r in part.records)
    assert all(f.certainty in ("not shown", "note") for f in part.runs[0].findings)
    assert "cannot be said from so few rows" in part.runs[0].findings[0].claim


def test_another_reference_reads_what_there_is(tmp_path: Path) -> None:
    path = store(tmp_path, scored_items(30), noise(15, answer={"aal": 1.0}))
    [run] = analysed(path, reference="aal")
    assert run.table.reference == "aal"
    # Under its prompt stand its own answers and the declared reference's.
    assert run.compared(run.headline) == (STANDARD,)
    found = pick(run, "dialect_answer", "mean_difference", STANDARD)
    a = scores_of(run, "aal", "chosen", "aal")
    assert found.estimate == pytest.approx(
        (a - scores_of(run, "aal", "chosen", STANDARD)).mean()
    )
    assert found.estimate is not None and found.estimate < 0
    both = run.setting("matched_chosen")
    assert both is not None and set(run.compared(both)) == set(DIALECTS) - {"aal"}
    with pytest.raises(UsageError, match="standard, aal, indian, jamaican"):
        analysed(path, reference="scots")


def test_one_dialect_or_a_missing_column_is_an_error(tmp_path: Path) -> None:
    path = store(tmp_path, scored_items(10, (STANDARD,)), noise(16))
    with pytest.raises(DataError, match="every text is in standard"):
        analysed(path)
    run = load_run(store(tmp_path, scored_items(10), noise(16), model="whole"))
    for column in ("row", "role", "dialect"):
        broken = dataclasses.replace(run, frame=run.frame.drop(columns=column))
        with pytest.raises(DataError, match=f"no column {column}"):
            analyse_pairs([broken])
    twice = run.frame.assign(row="r000")
    with pytest.raises(DataError, match="twice under one prompt"):
        analyse_pairs([dataclasses.replace(run, frame=twice)])


def test_a_policy_is_measured_per_token(tmp_path: Path) -> None:
    path = store(
        tmp_path,
        scored_items(30),
        noise(17),
        measure=Measure.LOGPROB_MEAN,
        model_kind="policy",
    )
    [run] = analysed(path)
    found = pick(run, "dialect_answer", "mean_difference", "aal")
    assert found.unit == "log-probability per token"


def test_rank_biserial_of_draws_is_that_of_the_drawn_units() -> None:
    rng = np.random.default_rng(18)
    values = np.round(rng.normal(0.3, 1, 25), 1)
    counts = rng.multinomial(25, np.full(25, 1 / 25), size=40).astype(float)
    found = rank_biserial(values, counts)
    for row, value in zip(counts, found, strict=True):
        drawn = np.repeat(values, row.astype(int))
        drawn = drawn[drawn != 0]
        ranks = stats.rankdata(abs(drawn))
        assert value == pytest.approx((ranks * np.sign(drawn)).sum() / ranks.sum())


def part_of(paths: Sequence[Path], reference: str | None = None) -> ProbePart:
    runs: list[Run] = [load_run(path) for path in paths]
    return pairs_part(
        runs,
        Wanted(polls=[], reference_dialect=reference),
        id="p",
        title="Dialects",
        step=lambda: None,
    )


def test_the_part_of_one_run_and_of_several(tmp_path: Path, planted: PairRun) -> None:
    one = part_of([planted.table.run.path])
    blocks = one.section.blocks
    assert [b.id for b in blocks] == [
        "p-forest",
        "p-effects",
        "p-length",
        "p-accuracy",
        "p-accuracies",
        "p-settings",
        "p-subsets",
    ]
    assert isinstance(blocks[0], Figure) and len(blocks[0].panels) == 5
    assert isinstance(blocks[-1], Table) and len(blocks[-1].rows) == 3
    [run] = one.runs
    assert (run.items, run.groups) == (60, 4)
    assert run.headline is not None and run.headline.group == "jamaican"
    assert (
        run.headline_name
        == "largest d_z: standard English \u2212 Jamaican English, answer varied"
    )
    assert "lower when it is written in Jamaican English than" in run.findings[0].claim
    assert run.findings[0].certainty == "supported"

    paths = [
        store(
            tmp_path,
            scored_items(30),
            noise(i, answer={"jamaican": 1.5}),
            model=f"m{i}",
        )
        for i in range(3)
    ]
    several = part_of(paths)
    assert [s.id for s in several.section.sections] == ["p-m0", "p-m1", "p-m2"]
    assert all(s.folded for s in several.section.sections)
    assert several.across[0].claim == (
        "All 3 models score Jamaican English lower than standard English."
    )
    names = [
        panel.name
        for section in several.section.walk()
        for block in section.blocks
        if isinstance(block, Figure)
        for panel in block.panels
    ]
    assert len(set(names)) == len(names)
    assert len({b.id for s in several.section.walk() for b in s.blocks}) == sum(
        len(s.blocks) for s in several.section.walk()
    )


def test_the_shipped_rows_run_through_a_random_network(
    shared_data: Path, tmp_path: Path
) -> None:
    """A smoke test: such a network likes or dislikes words for no reason."""
    options = BuildOptions(data=shared_data, reader="reward")
    built = list(dialect_pairs.PROBE.build(options))
    sizes: dict[str, int] = {}
    for item in built:
        row = str(item.groups["row"])
        size = sum(len(candidate.answer) for candidate in item.candidates)
        sizes[row] = sizes.get(row, 0) + size
    short = sorted(sizes, key=lambda row: sizes[row])[:8]
    some = [item for item in built if item.groups["row"] in short]
    folder = llama_classifier(
        tmp_path / "tiny", byte_tokenizer(chat_template=CHAT_TEMPLATE)
    )
    settings = Settings(runs=tmp_path / "runs")
    prepared = audit.prepare(audit.configure(str(folder), settings), settings)
    path = audit.score_probe(
        prepared,
        dialect_pairs.PROBE,
        some,
        options,
        limit=None,
        load=audit.loader(prepared),
    ).path
    [run] = analysed(path)
    assert run.table.reference == STANDARD and len(run.table.rows) == 8
    assert {setting.key for setting in run.settings} == {
        "answer",
        "prompt",
        "asker",
        "asker_shift",
        "matched_chosen",
        "matched_rejected",
    }
    # What the items call the same text is the same text.
    for dialect in run.table.dialects:
        forms = run.headline.forms(run.table, dialect)
        assert np.array_equal(
            forms.reference[forms.identical], forms.other[forms.identical]
        )
    assert len(part_of([path]).runs[0].findings) >= 6
