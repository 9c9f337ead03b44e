"""Dialect minimal pairs: what is planted is named, and nothing else."""

from __future__ import annotations

import dataclasses
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import paired
from analysis.dialects_features import features_part, forest_rows
from analysis.dialects_features_analysis import (
    FeatureAnalysis,
    FeatureRun,
    accuracy,
    analyse_features,
    feature_tests,
    variety_records,
)
from analysis.dialects_features_data import FeatureTable, feature_table
from analysis.drawing import BLUE
from analysis.html import Figure, Page, Section, Table, render_html, render_markdown
from analysis.load import load_run
from analysis.part import ProbePart, Wanted
from analysis.wording import side_of
from data_builders import dialect_features, select
from probe import audit
from probe.audit import Settings
from probe.types import BuildOptions, Candidate, DataError, Item, Measure
from tests import feature_runs
from tests.feature_runs import FixtureReward, made_up_items, read_text
from tests.test_report import Reader
from tests.tiny_checkpoints import CHAT_TEMPLATE, byte_tokenizer, llama_classifier

HOSTILE = "<script>alert(1)</script>"
PLANTED = "done"
"""In the dialect side of one feature, and nowhere else on one side only."""
FEATURE = "completive-done"


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """The half of the shipped pairs that is scored."""
    return select.build(dialect_features.PROBE, BuildOptions(), None, 0)


@pytest.fixture(scope="module")
def table(items: list[Item], tmp_path_factory: pytest.TempPathFactory) -> FeatureTable:
    root = tmp_path_factory.mktemp("null")
    path = feature_runs.scored(root, items, FixtureReward(seed=0))
    return feature_table(load_run(path), "fixture")


@pytest.fixture(scope="module")
def clean(table: FeatureTable, items: list[Item]) -> int:
    """A seed whose noise alone names nothing: one in twenty does."""
    return next(
        seed
        for seed in range(20)
        if not named(rescored(table, items, FixtureReward(seed=seed)))
    )


def part(*paths: Path) -> ProbePart:
    return features_part(
        [load_run(path) for path in paths],
        Wanted(polls=()),
        id="features",
        title="Features",
        step=lambda: None,
    )


def analyse(*paths: Path) -> FeatureAnalysis:
    return analyse_features([load_run(path) for path in paths], draws=200)


def only(*paths: Path) -> FeatureRun:
    return analyse(*paths).runs[0]


def rescored(
    table: FeatureTable, items: list[Item], reward: FixtureReward
) -> FeatureTable:
    """The table of the same items read by another fixture."""
    sides = [
        [
            read_text(item, one)
            for item in items
            for one in item.candidates
            if one.id == v
        ]
        for v in ("standard", "dialect")
    ]
    return dataclasses.replace(
        table, standard=reward.rewards(sides[0]), dialect=reward.rewards(sides[1])
    )


def named(table: FeatureTable) -> dict[str | None, int]:
    """The features that the report would name, with their side."""
    [records] = feature_tests([table])
    return {one.group: side_of(one) for one in records if side_of(one)}


def test_without_bias_a_feature_is_named_in_one_run_of_twenty(
    table: FeatureTable, items: list[Item]
) -> None:
    hits = sum(
        bool(named(rescored(table, items, FixtureReward(seed=seed))))
        for seed in range(500)
    )
    assert 0.025 <= hits / 500 <= 0.08


@pytest.mark.parametrize(("b", "side"), [(-3, 1), (3, -1)])
def test_a_planted_bias_is_named_and_no_other(
    table: FeatureTable, items: list[Item], b: float, side: int
) -> None:
    others = 0
    for seed in range(60):
        found = named(
            rescored(table, items, FixtureReward(seed=seed, token=PLANTED, b=b))
        )
        assert found.pop(FEATURE) == side
        others += bool(found)
    assert others <= 8


def test_a_scored_and_reported_bias_is_marked_and_told(
    items: list[Item], clean: int, tmp_path: Path
) -> None:
    reward = FixtureReward(seed=clean, token=PLANTED, b=-3)
    found = part(feature_runs.scored(tmp_path, items, reward, model="biased"))
    [run] = found.runs
    title = "Done for what is completed"
    assert (run.items, run.groups) == (300, 30)
    assert marked(found.section) == {title}
    claim = "biased scores sentences with 1 of 30 features lower than the same"
    [finding] = [one for one in run.findings if one.claim.startswith(claim)]
    assert finding.certainty == "supported"
    assert finding.evidence[0].startswith(f"Penalised: {title} ")
    rows = {row[0].text: row for row in table_of(found.section, "features").rows}
    assert [name for name, row in rows.items() if row[5].text == "penalised"] == [title]
    assert next(iter(rows)) == title, "the most penalised stands first"
    records = [one for one in found.records if one.group == FEATURE]
    tested = {one.metric: one for one in records if one.p_holm is not None}
    assert set(tested) == {
        "mean_difference",
        "cohens_d_z",
        "cohens_d_av",
        "rank_biserial",
    }
    assert len({one.family for one in tested.values()}) == 4
    ranked = tested.pop("rank_biserial")
    assert all(one.p_holm < 0.05 for one in tested.values() if one.p_holm)
    # Of ten frames no signed-rank test can reach 5 % after Holm over 30.
    assert ranked.estimate == 1
    assert ranked.p_holm == pytest.approx(30 * 2 / 2**10)
    note = table_of(found.section, "effects").note
    assert "Of 10 frames Wilcoxon's p cannot fall below 0.002" in note


def test_without_bias_nothing_is_marked_or_told(
    items: list[Item], clean: int, tmp_path: Path
) -> None:
    found = part(feature_runs.scored(tmp_path, items, FixtureReward(seed=clean)))
    assert marked(found.section) == set()
    claims = {one.claim: one.certainty for one in found.runs[0].findings}
    assert claims == {
        "Over 30 features, no general preference of fixture for standard or for "
        "dialect forms is shown.": "not shown",
        "No single feature is shown to be penalised or favoured by fixture.": "not "
        "shown",
        "Over features, no relation of score and number of tokens is shown for "
        "fixture.": "not shown",
    }


def marked(section: Section) -> set[str]:
    """Names of the features that the forest plot draws as filled marks."""
    [figure] = [one for one in section.blocks if one.id.endswith("-forest")]
    assert isinstance(figure, Figure)
    found = []
    for panel in figure.panels:
        filled = set()
        for mark in ET.fromstring(panel.svg).iter("{http://www.w3.org/2000/svg}path"):
            if mark.get("aria-roledescription") == "point" and mark.get("fill") == BLUE:
                filled.add(str(mark.get("aria-label")).split(":")[0])
        found.append(filled)
    assert all(one == found[0] for one in found)
    return found[0]


def table_of(section: Section, name: str) -> Table:
    [found] = [
        block
        for one in section.walk()
        for block in one.blocks
        if isinstance(block, Table) and block.id.endswith(f"-{name}")
    ]
    return found


def test_the_naming_test_is_that_of_paired_and_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
    codes = np.arange(40) // 5
    found = paired.t_test(first - second, codes)
    same = paired.compare(first, second, codes.astype(str))
    assert found.p_value == same.p_t and found.mean == same.mean
    means = (first - second).reshape(8, 5).mean(axis=1)
    assert found.p_value == pytest.approx(stats.ttest_1samp(means, 0).pvalue)
    alone = paired.t_test(first - second, np.arange(40))
    assert alone.p_value == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_a_share_counts_frames_as_far_as_their_pairs_agree() -> None:
    rng = np.random.default_rng(0)
    frames = np.arange(40) // 4
    alike = np.repeat(rng.normal(size=10), 4)
    assert accuracy(alike, frames) == paired.wilson((alike[::4] > 0).sum(), 10)
    alone = rng.normal(size=40)
    assert accuracy(alone, np.arange(40)) == paired.wilson((alone > 0).sum(), 40)
    whole, less = np.abs(alone) + 1, np.abs(alone) + 1
    less[0] = -1
    assert accuracy(whole, frames).low > accuracy(less, frames).low
    assert accuracy(np.ones(40), frames) == paired.wilson(10, 10)
    assert accuracy(np.zeros(40), frames).estimate == 0.5


def pays_for_words(item: Item, candidate: Candidate) -> float:
    """A third of a reward less for every word, and one for `word5`, with noise."""
    text = read_text(item, candidate)
    noise = 0.05 * float(feature_runs.hashed_normals([text], 0)[0])
    dear = feature_runs.count("word5", text)
    return noise - len(candidate.answer.split()) / 3 - dear


def longer_items() -> list[Item]:
    """Made-up items whose dialect side has -1 to 2 words more, by feature."""
    found = []
    for item in made_up_items(n_features=12, n_frames=6, n_pairs=2):
        extra = int(str(item.groups["feature"]).split("-")[1]) % 4 - 2
        standard, dialect = item.candidates
        longer = standard if extra < 0 else dialect
        more = dataclasses.replace(longer, answer=longer.answer + " so" * abs(extra))
        sides = (more, dialect) if extra < 0 else (standard, more)
        found.append(dataclasses.replace(item, candidates=sides))
    return found


def test_what_length_predicts_is_taken_out(tmp_path: Path) -> None:
    items = [one for one in longer_items() if one.groups["feature"] != "word-5"]
    run = only(feature_runs.store(tmp_path, items, {Measure.REWARD: pays_for_words}))
    assert run.slope is not None and run.slope.estimate is not None
    assert run.slope.estimate == pytest.approx(-1 / 3, abs=0.02)
    assert run.slope.unit == "reward for each token"
    assert side_of(run.slope) == -1
    left = [one.beyond_length for one in run.features]
    assert all(one and abs(one.estimate or 9) < 0.06 for one in left)
    assert all(one and one.p_value is None for one in left)
    raw = [abs(one.mean.estimate or 0) for one in run.features]
    assert max(raw) > 0.3


def test_what_is_more_than_length_stays(tmp_path: Path) -> None:
    path = feature_runs.store(
        tmp_path, longer_items(), {Measure.REWARD: pays_for_words}
    )
    run = only(path)
    left = {
        one.feature.key: one.beyond_length.estimate
        for one in run.features
        if one.beyond_length is not None and one.beyond_length.estimate is not None
    }
    rest = np.array([value for key, value in left.items() if key != "word-5"])
    assert left["word-5"] - rest.mean() == pytest.approx(1, abs=0.2)


def test_characters_stand_in_for_tokens(tmp_path: Path) -> None:
    path = feature_runs.store(
        tmp_path,
        longer_items(),
        {Measure.REWARD: pays_for_words},
        tokens=lambda item, candidate: None,
    )
    run = only(path)
    assert run.table.length_unit == "characters"
    assert run.slope is not None and run.slope.unit == "reward for each character"
    assert (
        "mean characters of the answer" in table_of(part(path).section, "features").note
    )


def test_policies_are_read_by_mean_and_by_sum(tmp_path: Path) -> None:
    """The mean per token likes the longer form; the sum pays for every word."""

    def mean(item: Item, candidate: Candidate) -> float:
        noise = float(feature_runs.hashed_normals([candidate.answer], 3)[0])
        return -3 + 0.1 * len(candidate.answer.split()) + 0.01 * noise

    def total(item: Item, candidate: Candidate) -> float:
        return mean(item, candidate) * len(candidate.answer.split())

    path = feature_runs.store(
        tmp_path,
        made_up_items(),
        {Measure.LOGPROB_SUM: total, Measure.LOGPROB_MEAN: mean},
        model_kind="policy",
    )
    run = only(path)
    assert run.table.unit == "log-probability per token"
    assert len(run.favoured) == 8
    for one in run.features:
        assert one.summed is not None and one.summed.accuracy == 1
        assert one.summed.mean > 0 > (one.mean.estimate or 0)
    claims = [one.claim for one in part(path).runs[0].findings]
    assert any("points the other way in 8 of 8 features" in claim for claim in claims)


def test_few_frames_are_tested_over_features_only(tmp_path: Path) -> None:
    items = made_up_items(n_features=20, n_frames=2)
    tokens = [f"word{number}" for number in range(20)]

    def dislikes(item: Item, candidate: Candidate) -> float:
        text = read_text(item, candidate)
        known = sum(feature_runs.count(token, text) for token in tokens)
        return float(feature_runs.hashed_normals([text], 0)[0]) - known

    path = feature_runs.store(tmp_path, items, {Measure.REWARD: dislikes}, limit=40)
    found = part(path)
    claims = {one.claim: one for one in found.runs[0].findings}
    tested = claims[
        "Over 20 features, made_up scores the standard form higher than the dialect "
        "form on average."
    ]
    assert tested.certainty == "supported"
    few = claims[
        "No feature is tested by itself: the run of made_up has too few frames."
    ]
    assert few.certainty == "not shown" and "at most 2 frames" in few.evidence[0]
    assert (
        "sample of 40 frames"
        in claims["Not every pair of the probe was read for made_up."].evidence[0]
    )
    assert not any(isinstance(block, Figure) for block in found.section.blocks)
    rows = table_of(found.section, "features").rows
    assert {row[5].text for row in rows} == {"not\u00a0tested"}
    by_feature = [one for one in found.records if one.metric == "mean_difference"]
    assert sum(one.p_value is not None for one in by_feature) == 1
    assert by_feature[1].ci_method == "none: fewer than 5 frames"


def test_of_few_features_nothing_is_said_in_general(tmp_path: Path) -> None:
    reward = FixtureReward(seed=0, token="word1", b=-2)
    path = feature_runs.scored(tmp_path, made_up_items(3), reward)
    findings = part(path).runs[0].findings
    assert "cannot be said from 3 features" in findings[0].claim
    assert findings[0].certainty == "not shown"
    assert findings[1].claim.startswith(
        "fixture scores sentences with 1 of 3 features lower"
    )


def test_a_run_without_spread_says_so(tmp_path: Path) -> None:
    path = feature_runs.store(
        tmp_path, made_up_items(), {Measure.REWARD: lambda item, candidate: 1.0}
    )
    run = only(path)
    assert not run.tested and run.features[0].mean.ci_method is not None
    assert "all pairs differ by the same" in run.features[0].mean.ci_method
    assert run.features[0].accuracy.estimate == 0.5
    again = feature_runs.store(
        tmp_path,
        made_up_items(),
        {Measure.REWARD: lambda item, candidate: 2.0},
        model="other",
    )
    made = part(path, again)
    assert made.runs[0].findings[1].claim.endswith("all differ by the same.")
    [alike] = [r for r in made.records if r.metric == "spearman_features"]
    assert (alike.estimate, alike.p_value) == (None, None)


def test_varieties_weigh_their_features_alike(tmp_path: Path) -> None:
    reward = FixtureReward(seed=4, token="word0", b=-3)
    items = [
        item
        for item in made_up_items(6)
        if item.groups["feature"] != "word-0" or "-0" in item.id[-2:]
    ]
    run = only(feature_runs.scored(tmp_path, items, reward))
    means = {one.feature.key: one.mean.estimate or 0.0 for one in run.features}
    assert len(run.varieties) == 3
    for one in run.varieties:
        expected = np.mean([means[key] for key in one.features])
        assert one.mean.estimate == pytest.approx(expected)
        assert one.mean.ci_low is not None and one.mean.ci_high is not None
        assert one.mean.ci_low < expected < one.mean.ci_high
        assert one.mean.p_value is None
    with_word = ["word-0" in one.features for one in run.varieties]
    assert with_word == [True, True, False]
    lowest = run.varieties[2].mean.estimate
    assert lowest == min(one.mean.estimate or 0.0 for one in run.varieties)


def test_a_varietys_interval_covers_its_own_mean(table: FeatureTable) -> None:
    """Frames of different features are drawn apart: no shared noise in a mean."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(60):
        noise = rng.normal(0, 1, len(table.standard))
        one = dataclasses.replace(table, standard=noise, dialect=np.zeros(len(noise)))
        for _, _, found in variety_records(one, draws=200, seed=0):
            assert found.ci_low is not None and found.ci_high is not None
            hits.append(found.ci_low <= 0 <= found.ci_high)
    assert 0.85 <= np.mean(hits) <= 0.99


def test_models_stand_side_by_side(items: list[Item], tmp_path: Path) -> None:
    paths = [
        feature_runs.scored(
            tmp_path,
            items,
            FixtureReward(seed=seed, token=PLANTED, b=b),
            model=model,
        )
        for seed, model, b in ((3, "first", -3), (4, "second", -3), (5, "none", 0))
    ]
    analysis = analyse(*paths)
    sides = {
        run.label: [one.feature.key for one in run.penalised] for run in analysis.runs
    }
    assert sides == {"first": [FEATURE], "second": [FEATURE], "none": []}
    means = [one for run in analysis.runs for one in [f.mean for f in run.features]]
    assert len({one.family for one in means}) == 1
    smallest = min(means, key=lambda one: one.p_value or 1.0)
    assert smallest.p_holm == pytest.approx(90 * (smallest.p_value or 0))
    assert len(analysis.cross_records) == 3
    rho = analysis.cross_records[0]
    effects = [
        {one.feature.key: one.mean.estimate for one in run.features}
        for run in analysis.runs[:2]
    ]
    keys = sorted(effects[0])
    expected = stats.spearmanr(*([one[key] for key in keys] for one in effects))
    assert rho.estimate == pytest.approx(expected.statistic)
    assert rho.p_value == pytest.approx(expected.pvalue)
    found = part(*paths)
    [across] = found.across
    assert across.claim.startswith("Of 3 models, none is shown to prefer standard")
    assert across.certainty == "not shown"
    assert "No feature is penalised by all of them." in across.evidence
    assert len(found.section.sections) == 3
    assert len(table_of(found.section, "across").rows) == 3


def test_the_page_is_whole_and_escaped(tmp_path: Path) -> None:
    items = [
        dataclasses.replace(
            item,
            meta={**item.meta, "feature_title": HOSTILE, "varieties": [HOSTILE]},
        )
        for item in made_up_items()
    ]
    paths = [
        feature_runs.scored(tmp_path, items, FixtureReward(seed=s), model=f"m{s}")
        for s in (0, 1)
    ]
    section = part(*paths).section
    page = Page(
        title="Features",
        subtitle="",
        overview=table_of(section, "across"),
        warnings=(),
        notes=(),
        findings=section.findings,
        sections=(section,),
        method=section.method,
        caveats=section.caveats,
        provenance=(),
        generated="",
    )
    html = render_html(page)
    reader = Reader()
    reader.feed(html)
    ids = [one for one in reader.ids if one != "features-across"]
    assert len(set(ids)) == len(ids)
    assert HOSTILE not in html and HOSTILE not in render_markdown(page)
    assert len(reader.scripts) == 1


def test_unscored_pairs_are_left_out_and_counted(tmp_path: Path) -> None:
    items = made_up_items()

    def gaps(item: Item, candidate: Candidate) -> float:
        if item.id == "word-2-03-1" and candidate.id == "dialect":
            return math.nan
        return float(feature_runs.hashed_normals([read_text(item, candidate)], 0)[0])

    path = feature_runs.store(tmp_path, items, {Measure.REWARD: gaps})
    run = only(path)
    assert run.table.unscored == 1 and len(run.table.standard) == 8 * 24 - 1
    by_key = {one.feature.key: one for one in run.features}
    assert by_key["word-2"].mean.n == 23
    assert "1 pair without a score" in part(path).runs[0].findings[-1].evidence[0]


def test_a_table_holds_the_pairs_as_scored(tmp_path: Path) -> None:
    reward = FixtureReward(seed=5)
    items = made_up_items()
    found = feature_table(
        load_run(feature_runs.scored(tmp_path, items, reward)), "fixture"
    )
    same = rescored(found, items, reward)
    np.testing.assert_array_equal(found.standard, same.standard)
    np.testing.assert_array_equal(found.dialect, same.dialect)
    assert found.frames == (8,) * 8 and [len(m) for m in found.members] == [24] * 8
    assert found.features[4].varieties == ("Indian English", "Nigerian English")
    assert "word4" in found.features[4].dialect
    assert "word4" not in found.features[4].standard


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    path = feature_runs.scored(tmp_path, made_up_items(), FixtureReward(seed=0))
    run = load_run(path)

    def read(frame: pd.DataFrame) -> None:
        feature_table(dataclasses.replace(run, frame=frame), "fixture")

    with pytest.raises(DataError, match="no column frame"):
        read(run.frame.drop(columns="frame"))
    with pytest.raises(DataError, match="1 rows have no feature"):
        read(run.frame.assign(feature=run.frame["feature"].mask(run.frame.index == 3)))
    with pytest.raises(DataError, match="variant is 'broad'"):
        read(run.frame.replace({"variant": {"dialect": "broad"}}))
    with pytest.raises(DataError, match="two candidates of one variant"):
        read(run.frame.assign(variant="standard"))
    with pytest.raises(DataError, match="no pair of which both forms have a score"):
        read(run.frame[run.frame["variant"] == "standard"])


def test_a_random_network_runs_through(items: list[Item], tmp_path: Path) -> None:
    """A smoke test: it may name anything, as it reads the same words every time."""
    keys = ("habitual-be", "zero-past")
    some = [item for item in items if item.groups["feature"] in keys]
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    folder = llama_classifier(tmp_path / "tiny", tokenizer)
    settings = Settings(runs=tmp_path / "runs")
    prepared = audit.prepare(audit.configure(str(folder), settings), settings)
    path = audit.score_probe(
        prepared,
        dialect_features.PROBE,
        some,
        BuildOptions(),
        limit=None,
        load=audit.loader(prepared),
    ).path
    found = part(path)
    assert len(found.runs[0].findings) >= 2
    assert len(forest_rows(only(path))) == 2
    assert found.runs[0].probe == "dialect_features"
