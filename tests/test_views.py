"""Whose view of the world: planted and null publics, the table of recorded rewards."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import rankdata, spearmanr

from analysis.association import (
    PERMUTATIONS,
    SPEARMAN,
    compare,
    partial_spearman_rows,
    permutation_p,
    swap_p,
)
from analysis.console import view_summary, view_table
from analysis.correlate import fixed
from analysis.countries_axis import RunAnalysis, analyse_countries
from analysis.countries_views import views_section
from analysis.ranks import Ranking, rank_run
from analysis.records import Record, with_holm
from analysis.resample import country_draws, question_counts
from analysis.views import View, WorldViews, world_views
from analysis.views_finding import (
    limit_words,
    smallest_swap_p,
    unresolvable,
    view_finding,
)
from data_builders import countries
from data_builders.country_opinions import PEW, Public, publics
from tests.country_runs import STARLING, make_run, recorded_run

KEYS = tuple(key for key in countries.analysis_keys() if key != "USA")[:20]
KINDS = ["positive", "negative"] * 10


def public(key: str, shares: np.ndarray, sample: str | None = None) -> Public:
    """A public that rates the first countries of `KEYS`."""
    rated = dict(zip(KEYS, map(float, shares), strict=False))
    return Public(key=key, sample=sample, source=PEW, shares=rated)


def ranking_like(liking: np.ndarray, noise: float = 0.3, seed: int = 0) -> Ranking:
    """A run of 20 questions that prefers the countries of `KEYS` as `liking` has it."""
    rng = np.random.default_rng(seed)
    sign = np.where(np.array(KINDS) == "negative", -1.0, 1.0)[:, None]
    scores = sign * liking + noise * rng.normal(size=(len(KINDS), len(liking)))
    return rank_run(make_run(scores, KEYS[: len(liking)], KINDS), draws=300, seed=0)


def by_name(views: WorldViews) -> dict[str, View]:
    return {view.public.name: view for view in views.views}


@pytest.fixture(scope="module")
def starling(recorded: Path) -> RunAnalysis:
    return analyse_countries([recorded_run(recorded, STARLING)], []).runs[0]


def test_a_copied_public_passes_and_is_told_from_the_reference() -> None:
    rng = np.random.default_rng(1)
    copied = rng.normal(size=20)
    others = {key: rng.permutation(copied) for key in ("USA", "DEU", "JPN")}
    asked = [public("ZWE", 50 + copied)]
    asked += [public(key, 50 + shares) for key, shares in others.items()]
    views = world_views(ranking_like(copied), asked, reference="USA", seed=0)
    found = by_name(views)
    assert [view.public.name for view in views.passing] == ["ZWE"]
    assert views.views[0] is found["ZWE"]
    assert found["ZWE"].headline.estimate == pytest.approx(1.0, abs=0.05)
    assert found["ZWE"].resolved == 1 and found["USA"].difference is None
    assert {found[key].resolved for key in ("DEU", "JPN")} == {0}
    assert views.extreme == 0, "that ZWE agrees most is shown against USA only"
    against = world_views(ranking_like(copied), asked, reference="ZWE", seed=0)
    assert {view.resolved for view in against.compared} == {-1}
    assert against.extreme == 1
    turned = world_views(ranking_like(-copied), asked, reference="ZWE", seed=0)
    assert turned.extreme == -1
    assert turned.passing[0].headline.estimate == pytest.approx(-1.0, abs=0.05)


def test_random_rankings_pass_as_often_as_they_should() -> None:
    rng = np.random.default_rng(2)
    single, paired = [], []
    for n in itertools.chain.from_iterable(itertools.repeat((9, 12, 16), 100)):
        x, a = rng.normal(size=n), np.round(rng.normal(size=n), 1)
        single.append(permutation_p(SPEARMAN, x, a, seed=0))
        # Two publics that agree with each other and with the model, equally.
        common = rng.normal(size=n)
        x, a, b = (common + 0.7 * rng.normal(size=n) for _ in range(3))
        paired.append(swap_p(x, a, b, seed=0))
    for ps in (single, paired):
        assert 0.02 <= np.mean(np.array(ps) <= 0.05) <= 0.08


def test_few_targets_are_left_out_and_nobody_is_compared() -> None:
    ranking = ranking_like(np.linspace(1, -1, 20))
    few, enough = public("DEU", np.arange(7.0)), public("JPN", np.arange(8.0))
    views = world_views(ranking, [few, enough], reference="USA", seed=0)
    assert [view.public.key for view in views.views] == ["JPN"]
    assert views.views[0].targets == KEYS[:8] and views.asked == 2
    assert views.reference is None and views.views[0].difference is None
    none = world_views(ranking, [few], reference="USA", seed=0)
    assert none.views == () and none.records == () and none.extreme == 0


def test_neither_public_s_own_country_enters_their_difference() -> None:
    rng = np.random.default_rng(3)
    first, second = KEYS[0], KEYS[1]
    shares = {
        key: float(share) for key, share in zip(KEYS, rng.normal(size=20), strict=True)
    }
    a, b = (
        Public(
            key=own,
            sample=None,
            source=PEW,
            shares={key: one for key, one in shares.items() if key != own},
        )
        for own in (first, second)
    )
    views = by_name(
        world_views(ranking_like(rng.normal(size=20)), [a, b], reference=second, seed=0)
    )
    assert views[first].headline.n == views[second].headline.n == 19
    difference = views[first].difference
    assert difference is not None and difference.reference == second
    assert (difference.n, difference.estimate) == (18, 0.0)
    assert difference.p_value == 1.0


def test_one_sample_of_a_country_is_counted() -> None:
    noise = np.random.default_rng(4).normal(size=20)
    asked = [
        public("NGA", noise[:12], "Non-national sample"),
        public("NGA", noise[:9]),
        public("IND", noise[:9], "Non-national sample"),
        public("IND", noise[1:10], "Old national sample"),
        public("USA", noise, "Pew"),
        Public(
            key="USA",
            sample=None,
            source="Gallup 2023",
            shares=dict(zip(KEYS, map(float, noise[:8]), strict=False)),
        ),
    ]
    views = world_views(ranking_like(noise), asked, reference="USA", seed=0)
    counted = [view for view in views.views if view.counted]
    assert {view.public.name for view in counted} == {
        "NGA (Non-national sample)",
        "IND (Old national sample)",
        "USA",
    }
    for view in views.views:
        assert (view.headline.p_holm is not None) == view.counted
        assert view.headline.p_value is not None
        assert view.headline.group == view.public.name
        assert view.headline.p_holm == view.precision.p_holm
    assert by_name(views)["USA (Pew)"].difference is None
    # Three tests of a family, whatever number of samples is shown.
    ps = sorted(view.headline.p_value or 1.0 for view in counted)
    assert min(view.headline.p_holm or 1.0 for view in counted) == pytest.approx(
        3 * ps[0]
    )
    assert with_holm(views.records) == views.records


def test_partial_correlation_is_that_of_regression_residuals() -> None:
    rng = np.random.default_rng(5)
    liking, shares = rng.normal(size=20), rng.normal(size=20).round(1)
    ranking = ranking_like(liking)
    view = world_views(ranking, [public("USA", shares)], reference="USA", seed=0).views
    record = view[0].partial
    places = [countries.by_key(key) for key in KEYS]
    given = np.column_stack(
        [
            rankdata(np.log([place.gdp_per_capita for place in places])),
            rankdata(np.log([place.population for place in places])),
        ]
    )
    left = [
        sm.OLS(rankdata(side), sm.add_constant(given)).fit().resid
        for side in (ranking.mean.estimate, -shares)
    ]
    assert record.estimate == pytest.approx(np.corrcoef(*left)[0, 1])
    assert record.ci_low is not None and record.ci_high is not None
    assert record.ci_low < record.estimate < record.ci_high
    assert record.p_value is None and record.family is None
    few = public("USA", shares[:11])
    short = world_views(ranking, [few], reference="USA", seed=0).views[0].partial
    assert (short.estimate, short.n) == (None, 11)
    assert short.ci_method == "not computed: 11 countries, at least 12 are needed"


def test_a_side_that_the_given_ones_explain_leaves_no_partial_correlation() -> None:
    x = np.random.default_rng(6).normal(size=(1, 12))
    y = np.random.default_rng(7).normal(size=(1, 12))
    assert np.isnan(partial_spearman_rows(x, y, x)).all()
    assert np.isnan(partial_spearman_rows(x, y, np.ones((1, 12)))).all()


def test_swap_p_is_the_share_of_all_swaps() -> None:
    rng = np.random.default_rng(8)
    x, a = rng.normal(size=9), rng.normal(size=9)
    b = np.round(a + rng.normal(size=9))
    ranks = rankdata(x), rankdata(a), rankdata(b)

    def difference(one: np.ndarray, other: np.ndarray) -> float:
        return np.corrcoef(ranks[0], one)[0, 1] - np.corrcoef(ranks[0], other)[0, 1]

    observed = difference(ranks[1], ranks[2])
    assert observed == pytest.approx(
        spearmanr(x, a).statistic - spearmanr(x, b).statistic
    )
    extreme = 0
    for tossed in itertools.product((False, True), repeat=9):
        one = np.where(tossed, ranks[2], ranks[1])
        other = np.where(tossed, ranks[1], ranks[2])
        extreme += abs(difference(one, other)) >= abs(observed) - 1e-6
    assert swap_p(x, a, b, seed=0) == extreme / 2**9
    # Of more countries random swaps stand for all.
    x, a, b = rng.normal(size=(3, 18))
    assert 2**18 > PERMUTATIONS
    assert swap_p(x, a, b, seed=0) == pytest.approx(swap_p(x, a, b, seed=1), abs=0.02)


@pytest.mark.parametrize("n", [8, 10, 14, 20])
def test_no_swap_test_gives_less_than_the_smallest_p(n: int) -> None:
    # The widest difference there is: one public as the model, the other its reverse.
    x = np.arange(float(n))
    assert swap_p(x, x, -x, seed=0) == pytest.approx(smallest_swap_p(n))


def test_what_could_not_be_resolved_depends_on_the_other_tests() -> None:
    rng = np.random.default_rng(11)
    liking = rng.normal(size=20)
    ranking = ranking_like(liking)
    reference = public("USA", -liking)
    short = [public(key, liking[:8]) for key in ("DEU", "JPN", "FRA", "KEN")]
    # Of 1 or 4 tests the first needs 0.05 or 0.0125; 8 countries give 0.0078.
    for others in (short[:1], short):
        views = world_views(ranking, [reference, *others], reference="USA", seed=0)
        assert len(views.compared) == len(others) and unresolvable(views) == ()
    more = [public(key, rng.normal(size=8)) for key in ("ITA", "ESP", "PER", "GHA")]
    null = [public(key, rng.normal(size=8)) for key in ("POL", "TUR", "EGY")]
    views = world_views(ranking, [reference, *more, *null], reference="USA", seed=0)
    assert not any(view.resolved for view in views.views)
    assert len(unresolvable(views)) == len(views.compared) == 7
    assert "So 7 of the 7 could not be resolved" in limit_words(views)
    assert "cannot be compared" not in limit_words(views)
    # Beside three that are resolved, the first that is left is one of four.
    wide = [public(key, liking) for key in ("ITA", "ESP", "PER")]
    views = world_views(
        ranking, [reference, *wide, *null, more[3]], reference="USA", seed=0
    )
    assert {v.public.key for v in views.compared if v.resolved} == {"ITA", "ESP", "PER"}
    assert unresolvable(views) == ()


def test_a_reference_without_a_public(starling: RunAnalysis, recorded: Path) -> None:
    run = recorded_run(recorded, STARLING)
    without = analyse_countries([run], [], reference="KAZ").runs[0]
    assert without.views.reference is None and len(without.views.counted) == 39
    found, beside = view_finding(without), view_finding(starling)
    assert found is not None and beside is not None
    assert found.claim == beside.claim
    assert found.evidence[-1].startswith("There is no reference public")
    assert limit_words(without.views) == ""
    section = views_section(without, "x", whole=True)
    assert section is not None
    assert "Minus the reference" in section.blocks[0].header
    assert view_summary(without)[0].strip() == found.claim
    assert len(view_table(without.views)) == len(view_table(starling.views))


@pytest.mark.parametrize(
    "command", [("correlate",), ("report", "--out", "report.html")], ids=lambda c: c[0]
)
def test_the_command_line_takes_a_reference_without_a_public(
    recorded: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = recorded / "outputs/reward-testing/where_from_starling-rm-7b-alpha.csv"
    runs = tmp_path / "R"
    rm_probe = [sys.executable, "-m", "probe.cli"]
    for args in (
        ["import", "where_from", file, "--model", "starling", "--runs", runs],
        [*command, runs, "--reference", "KAZ"],
    ):
        done = subprocess.run(
            [*rm_probe, *map(str, args)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_interval_of_a_difference_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(9)
    ranking = ranking_like(rng.normal(size=20), noise=2.0)
    a, b = rng.normal(size=(2, 20))
    found = compare(ranking.mean, fixed(a), fixed(b), seed=0)
    counts = question_counts(ranking.table.negative, 300, seed=0).astype(int)
    picks = country_draws(20, 300, seed=0)
    narrow, wide = [], []
    for count, pick in zip(counts, picks, strict=True):
        mean = np.repeat(ranking.ranks, count, axis=0).mean(axis=0)
        for kept, chosen in ((narrow, np.arange(20)), (wide, pick)):
            rho = [spearmanr(mean[chosen], one[chosen]).statistic for one in (a, b)]
            kept.append(rho[0] - rho[1])
    assert found.precision == pytest.approx(tuple(np.percentile(narrow, [2.5, 97.5])))
    assert found.generalisation == pytest.approx(
        tuple(np.percentile(wide, [2.5, 97.5]))
    )


def test_recorded_starling(starling: RunAnalysis) -> None:
    views = starling.views
    assert (len(views.views), len(views.counted), views.asked) == (41, 39, 69)
    assert {view.public.name for view in views.views if not view.counted} == {
        "NGA",
        "USA (Pew)",
    }
    found = by_name(views)
    for name, rho, n in (
        ("GHA", 0.8667, 10),
        ("USA", 0.8577, 21),
        ("USA (Pew)", 0.8588, 16),
        ("PER", 0.8095, 8),
        ("DEU", 0.5735, 16),
        ("EGY", -0.4965, 12),
        ("PAK", -0.6545, 11),
    ):
        assert found[name].headline.estimate == pytest.approx(rho, abs=5e-5)
        assert found[name].headline.n == n
    ends = [view.public.name for view in (*views.views[:2], views.views[-1])]
    assert ends == ["GHA", "USA (Pew)", "PAK"]
    # One public passes, and of no two the order is resolved.
    assert [view.public.name for view in views.passing] == ["USA"]
    assert found["USA"].headline.p_holm == pytest.approx(39 / 20_001)
    assert found["GHA"].headline.p_holm == pytest.approx(0.093, abs=5e-4)
    assert found["USA"].partial.estimate == pytest.approx(0.842, abs=5e-4)
    assert len(views.compared) == 14 and views.extreme == 0
    assert not any(view.resolved for view in views.views)
    jordan = found["JOR"].difference
    assert jordan is not None and (jordan.n, jordan.reference) == (11, "USA")
    assert jordan.estimate == pytest.approx(-0.531, abs=5e-4)
    assert jordan.p_value == 8 / 2**11
    assert jordan.p_holm == pytest.approx(14 * 8 / 2**11)


def test_one_of_38_samples_passes_with_self_ratings_left_in(
    starling: RunAnalysis, shared_data: Path
) -> None:
    """Another count of publics, of the derived table: each sample, its own country in.

    38 labels rate eight countries or more of that table, their own among them; ours
    has more countries rated and leaves out each public's own.
    """
    path = shared_data / "opinions" / "pew_country_favourability_from_goqa.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            (
                row["respondent_country"],
                countries.resolve(row["target"]).key,
                float(row["share_favourable_of_asked_normalised"]),
            )
            for row in csv.DictReader(file)
        ]
    frame = pd.DataFrame(rows, columns=["label", "target", "share"])
    # A survey that stands there under two wordings counts once.
    means = frame.drop_duplicates().groupby(["label", "target"])["share"].mean()
    ranks = starling.ranks["mean_rank"]
    ps = []
    for label in means.index.unique("label"):
        shares = means[label]
        if len(shares) >= 8:
            x = ranks[shares.index].to_numpy()
            ps.append(permutation_p(SPEARMAN, x, -shares.to_numpy(), seed=0))
    assert len(ps) == 38
    assert (sm.stats.multipletests(ps, method="holm")[1] < 0.05).sum() == 1


def test_the_finding_and_the_listing_claim_no_more(starling: RunAnalysis) -> None:
    found = view_finding(starling)
    assert found is not None and found.certainty == "uncertain"
    assert found.claim == (
        "1 of 39 publics passes Holm's correction for rating countries as "
        f"{STARLING} ranks them: United States; who agrees most is not resolved."
    )
    text = " ".join(found.evidence).replace("\u00a0", " ")
    # The least p of the exact test is 2 in 2^n: 11 countries or more are needed.
    assert (
        "0.00781 with 8 and 0.00098 with 11 here, where Holm's correction needs "
        "0.00357 of the first of 14. So 11 of the 14 could not be resolved whatever "
        "their rho"
    ) in text
    assert (
        "24 of the other 38 publics share fewer than 8 countries with the reference "
        "and cannot be compared"
    ) in text
    assert "this order is no finding" in text
    assert "none is shown to agree more or less" in text
    lines = view_table(starling.views)
    assert [line[0].strip() for line in lines] == [
        *("public", "Ghana", "United States", "Peru"),
        *("...", "Palestine", "Egypt", "Pakistan"),
    ]
    assert len({len(line) for line in lines}) == 1
    assert view_summary(starling)[0].strip() == found.claim


def test_the_section_shows_every_public(starling: RunAnalysis) -> None:
    section = views_section(starling, "x", whole=True)
    assert section is not None
    table, dots, world, opinions = section.blocks
    assert limit_words(starling.views) in table.note
    assert [block.id for block in (table, dots, world, opinions)] == [
        *("x-views-table", "x-views-dots"),
        *("x-views-map", "x-views-opinions"),
    ]
    texts = {row[0].text: [cell.text for cell in row] for row in table.rows}
    assert len(table.rows) == 41 and len(table.frame) == len(starling.views.records)
    assert texts["United States"][-1] == "agrees, the reference"
    assert texts["United States (Pew)"][-1] == "another sample"
    assert texts["Jordan"][-1] == texts["Ghana"][-1] == "not resolved"
    assert "disagrees" in world.panels[0].svg and "favoured" not in world.panels[0].svg
    assert "Pakistan, 24  Iran" not in opinions.panels[-1].svg
    few = views_section(starling, "x", whole=False)
    assert few is not None and len(few.blocks) == 2


def test_resolved_words_and_claims_follow_the_records() -> None:
    rng = np.random.default_rng(1)
    copied = rng.normal(size=20)
    run = make_run(np.tile(copied, (6, 1)), KEYS, ["neutral"] * 6)
    analysis = analyse_countries([run], [], draws=50).runs[0]
    asked = [public("ZWE", 50 + copied), public("DEU", rng.permutation(copied))]
    asked.append(public("USA", -copied))
    ranking = rank_run(run, draws=300, seed=0)
    views = world_views(ranking, asked, reference="USA", seed=0)
    planted = dataclasses.replace(analysis, views=views)
    found = view_finding(planted)
    assert found is not None
    assert "United States (the other way round)" in found.claim
    assert found.claim.startswith("2 of 3 publics pass")
    section = views_section(planted, "x", whole=False)
    assert section is not None
    words = {row[0].text: row[-1].text for row in section.blocks[0].rows}
    assert words["Zimbabwe"] == "agrees, more than United States"
    assert words["United States"] == "disagrees, the reference"


def test_a_single_question_has_estimates_and_no_interval() -> None:
    keys = countries.analysis_keys()
    scores = np.random.default_rng(0).normal(size=(1, len(keys)))
    run = make_run(scores, keys, ["neutral"])
    analysis = analyse_countries([run], [], draws=50).runs[0]
    assert len(analysis.views.counted) == 39
    for record in analysis.views.records:
        assert record.ci_low is None and record.ci_method is not None
        assert record.estimate is None or "fewer than" in record.ci_method
    assert not any(view.resolved for view in analysis.views.views)
    found = view_finding(analysis)
    assert found is not None and "(no interval)" in " ".join(found.evidence)
    section = views_section(analysis, "x", whole=True)
    assert section is not None and "No intervals" in section.blocks[0].note
    few = make_run(scores[:, :5], keys[:5], ["neutral"])
    short = analyse_countries([few], [], draws=50).runs[0]
    assert views_section(short, "x", whole=True) is None
    assert view_finding(short) is None and view_summary(short) == []


def test_records_say_what_they_are(starling: RunAnalysis) -> None:
    kept: dict[str, list[Record]] = {}
    for record in starling.records:
        if record.analysis == "view_of_the_world":
            kept.setdefault(record.metric, []).append(record)
    assert {metric: len(found) for metric, found in kept.items()} == {
        "spearman": 82,
        "partial_spearman": 41,
        "spearman_difference": 39,
    }
    assert {record.unit for found in kept.values() for record in found} == {"rho"}
    families = {r.family for found in kept.values() for r in found} - {None}
    assert families == {
        f"publics: {metric} of {starling.run.name}"
        for metric in ("spearman", "spearman_difference")
    }
    groups = {record.group for record in kept["spearman"]}
    assert groups == {public.name for public in publics() if len(public.shares) >= 8}
