"""Sweeps from run folders to the page: what is found, what is left out and said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from analysis import doseresponse_report, figures
from analysis.doseresponse import (
    ANALYSIS,
    FEW_CHECKPOINTS,
    NO_FREEDOM,
    DoseMeasure,
)
from analysis.doseresponse_console import sweep_tables
from analysis.doseresponse_findings import (
    DOUBT,
    line_name,
    measure_findings,
    part_findings,
    summary_findings,
)
from analysis.doseresponse_report import (
    build_sweeps,
    dose_figure,
    level_table,
    write_sweeps,
)
from analysis.doseresponse_runs import DoseAnalysis, analyse_sweeps
from analysis.doseresponse_sweep import find_sweeps
from analysis.drawing import Panel
from analysis.html import Page, render_markdown
from analysis.load import Run, load_runs
from analysis.part import Wanted
from analysis.records import ALPHA, Record, loads
from probe.types import DataError, Item, NoSlopeError, StoreError, UsageError
from tests.language_runs import choices, store
from tests.sweep_runs import SWEEP, answers, config, levels, sweep

CODES = ("eng_Latn", "fin_Latn", "deu_Latn", "swh_Latn")
SLOPES = {"fin_Latn": 0.25}
TREATMENT, PLACEBO = f"{SWEEP}, SFT, treatment", f"{SWEEP}, SFT, placebo"


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return choices(CODES, 160)


@pytest.fixture(scope="module")
def few_items() -> list[Item]:
    return choices(CODES[:2], 24)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, items: list[Item]) -> list[Path]:
    root = tmp_path_factory.mktemp("sweep")
    return sweep(root, items, SLOPES, placebo={}, base=True)


@pytest.fixture(scope="module")
def found(runs: list[Path]) -> DoseAnalysis:
    return analysed(runs)


def analysed(paths: Sequence[Path]) -> DoseAnalysis:
    return analyse_sweeps(load_runs(paths), Wanted(polls=()))


def measure_of(found: DoseAnalysis) -> DoseMeasure:
    [part] = found.parts
    [measure] = part.measures
    return measure


def record(
    found: DoseAnalysis, metric: str, group: str | None, model: str = TREATMENT
) -> Record:
    [one] = [
        each
        for each in found.records
        if (each.metric, each.group, each.model) == (metric, group, model)
    ]
    return one


def shown(found: DoseAnalysis, metric: str, model: str = TREATMENT) -> set[str | None]:
    return {
        one.group
        for one in found.records
        if one.metric == metric
        and one.model == model
        and one.p_holm is not None
        and one.p_holm < ALPHA
    }


# What is found.


def test_a_planted_slope_is_found_in_its_group_and_no_other(
    found: DoseAnalysis,
) -> None:
    assert shown(found, "accuracy_slope") == {"fin_Latn"}
    assert shown(found, "accuracy_slope", PLACEBO) == set()
    assert shown(found, "accuracy_slope_minus_placebo") == {"fin_Latn"}
    assert "fin_Latn" in shown(found, "accuracy_slope_minus_reference")
    assert shown(found, "accuracy_disparity_slope") == {None}
    assert shown(found, "accuracy_disparity_slope", PLACEBO) == set()
    one = record(found, "accuracy_slope", "fin_Latn")
    assert one.estimate == pytest.approx(0.25, abs=0.06)
    assert one.ci_low is not None and one.ci_low > 0
    assert (one.analysis, one.probe, one.n, one.n_clusters) == (
        ANALYSIS, "belebele@1", 9, 9,
    )  # fmt: skip
    assert one.unit == "share per 100 points"
    assert one.cluster == "checkpoint and cluster of units"
    assert one.family == "language_sft, SFT, belebele@1, accuracy, slopes: groups " + (
        "and arms"
    )
    seen = record(found, "accuracy_slope_detectable", "eng_Latn")
    assert seen.estimate is not None and 0.02 < seen.estimate < 0.25
    assert seen.p_value is None and seen.family is None


def test_holm_is_over_the_groups_of_the_treatment(found: DoseAnalysis) -> None:
    family = [one for one in found.records if one.metric == "accuracy_slope"]
    treated = [one for one in family if one.model == TREATMENT]
    assert len(treated) == 4 and len({one.family for one in family}) == 2
    least = min(one.p_value or 1 for one in treated)
    assert min(one.p_holm or 1 for one in treated) == pytest.approx(4 * least)


def test_the_mean_is_over_groups_and_tested_by_itself(found: DoseAnalysis) -> None:
    for model in (TREATMENT, PLACEBO):
        each = [record(found, "accuracy_slope", code, model).estimate for code in CODES]
        mean = record(found, "accuracy_mean_slope", None, model)
        assert mean.estimate == pytest.approx(np.mean([one or 0.0 for one in each]))
        assert mean.p_holm == mean.p_value
        assert (mean.n, mean.n_clusters) == (9, 9)
    less = record(found, "accuracy_mean_slope_minus_placebo", None)
    treated, placebo = (
        record(found, "accuracy_mean_slope", None, model).estimate or 0.0
        for model in (TREATMENT, PLACEBO)
    )
    assert less.estimate == pytest.approx(treated - placebo)
    assert (less.reference, less.n) == ("placebo", 18)
    measure = measure_of(found)
    assert measure.mean is not None
    levels = measure.dosed.levels.mean(axis=1)
    np.testing.assert_allclose(measure.levels(measure.mean), levels)
    base = measure.dosed.base
    assert base is not None
    assert measure.base(measure.mean) == pytest.approx(np.mean(base.means))


def test_a_group_too_small_to_test_is_not_in_the_mean(
    items: list[Item], tmp_path: Path
) -> None:
    few = [one for one in items if one.groups["language"] != "swh_Latn"]
    few += [one for one in items if one.groups["language"] == "swh_Latn"][:1]
    measure = measure_of(analysed(sweep(tmp_path, few, SLOPES)))
    assert measure.mean is not None and len(measure.groups) == 4
    assert line_name(measure, measure.mean) == "mean of 3 of 4 languages"
    assert {measure.groups[code].group for code in measure.mean.codes} == set(CODES[:3])


def test_a_level_is_the_mean_that_the_axis_shows(
    found: DoseAnalysis, items: list[Item]
) -> None:
    dosed = measure_of(found).dosed
    code = dosed.aligned.groups.index("fin_Latn")
    at = [one.model for one in dosed.checkpoints].index(f"{SWEEP}-treatment100-seed1")
    name = dosed.checkpoints[at].model
    score = answers(levels(SLOPES, 1.0, name), name)
    finnish = [one for one in items if one.groups["language"] == "fin_Latn"]
    right = [
        max(item.candidates, key=lambda each, of=item: score(of, each)).groups[
            "correct"
        ]
        == "yes"
        for item in finnish
    ]
    assert dosed.levels[at, code] == pytest.approx(np.mean(right))
    assert dosed.base is not None and 0.3 < dosed.base.means[code] < 0.5
    assert dosed.lost.count == 0


def test_treatment_less_placebo_is_a_difference_of_independent_slopes(
    found: DoseAnalysis,
) -> None:
    """Variances add, but for the items, which both arms answer."""
    one = record(found, "accuracy_slope_minus_placebo", "fin_Latn")
    assert one.reference == "placebo" and one.n == 18
    group = next(g for g in measure_of(found).groups if g.group == "fin_Latn")
    slopes = [group.of(arm).slope.slope for arm in ("treatment", "placebo")]
    [controlled] = group.controlled
    estimates = [each.test.mean.estimate for each in slopes]
    assert one.estimate == pytest.approx(estimates[0] - estimates[1])
    both = controlled.estimate.slope
    assert both.checkpoints == pytest.approx(sum(each.checkpoints for each in slopes))
    # Satterthwaite's: more than that of one arm, at most both.
    assert 5 < both.test.freedom < 5 + 5 + 159


def test_arms_of_other_seeds_are_compared_alike(runs: list[Path]) -> None:
    kept = [path for path in runs if "placebo50-seed1" not in str(path)]
    found = analysed(kept)
    one = record(found, "accuracy_slope_minus_placebo", "fin_Latn")
    assert one.n == 17
    slopes = [
        record(found, "accuracy_slope", "fin_Latn", model).estimate or 0
        for model in (TREATMENT, PLACEBO)
    ]
    assert one.estimate == pytest.approx(slopes[0] - slopes[1])


def test_few_seeds_are_said_to_have_one_slope(found: DoseAnalysis) -> None:
    for metric in ("accuracy_slope", "accuracy_slope_minus_placebo"):
        method = record(found, metric, "fin_Latn").ci_method or ""
        assert "takes the slopes of all seeds as equal" in method
        assert "does not cover draws of rows that change the slope" in method
    text = render_markdown(build_sweeps(found))
    assert "do not cover draws of rows that change the slope" in text
    assert "Another training with other draws of rows" not in text


def test_slopes_of_unlike_seeds_are_uncertain(tmp_path: Path) -> None:
    """What the interval shows counts for less where seeds have slopes of their own."""
    items = choices(CODES[:2], 160)
    slopes = dict.fromkeys(CODES[:2], 0.3)
    paths = sweep(tmp_path, items, slopes, noise=0.0, placebo={}, seed_slopes=0.13)
    found = analysed(paths)
    assert shown(found, "accuracy_slope") == set(CODES[:2])
    mean, first, *_ = part_findings(found.parts[0])
    assert mean.certainty == first.certainty == "uncertain"
    assert f"rises with the share of rows in Finnish ({DOUBT}); " in mean.claim
    assert first.claim.endswith(f"for Finnish and English ({DOUBT}).")
    assert any(
        "may differ between seeds (p below 10%)" in say for say in first.evidence
    )
    [(_, _, rest)] = sweep_tables(found.parts[0])
    assert "treatment: The slopes of the mean of 2 languages may differ" in rest
    assert "treatment: The slopes of English and Finnish may differ" in rest


def test_many_seeds_cover_other_draws(few_items: list[Item], tmp_path: Path) -> None:
    paths = sweep(tmp_path, few_items, {}, seeds=range(5))
    one = record(analysed(paths), "accuracy_slope", "eng_Latn")
    assert "t-test of the slopes of seeds" in (one.ci_method or "")
    assert "as equal" not in (one.ci_method or "")


def test_a_gap_has_no_detectable_slope(found: DoseAnalysis) -> None:
    """Two tests decide on it, and one of them alone would say too little."""
    measure = measure_of(found)
    assert all(one.estimate.detectable is None for one in measure.gaps)
    assert not any("disparity_slope_detectable" in one.metric for one in found.records)
    [(_, rows, _)] = sweep_tables(found.parts[0])
    gaps = [row for row in rows if row[1] in ("treatment", "placebo") and not row[2]]
    assert gaps[-2][5] == gaps[-1][5] == "-"


def test_a_summary_keeps_what_placebos_do(items: list[Item], tmp_path: Path) -> None:
    paths = sweep(tmp_path, items, SLOPES, placebo=SLOPES)
    measure = measure_of(analysed(paths))
    kept = [finding.claim for finding in summary_findings(measure)]
    assert ": no change shown of the mean of 4 languages; could have seen " in kept[0]
    assert "rises with the share of rows in Finnish for Finnish" in kept[1]
    assert "the treatment less the placebo: no difference shown" in kept[2]
    assert "though rows are only drawn anew there" in kept[-1]
    assert set(summary_findings(measure)) <= set(measure_findings(measure))


def test_findings_say_what_could_have_been_seen(found: DoseAnalysis) -> None:
    mean, first, *rest = part_findings(found.parts[0])
    assert mean.certainty == "not shown"
    assert ": no change shown of the mean of 4 languages; could have seen" in mean.claim
    assert mean.claim.endswith(" points; less the placebo, no difference shown.")
    assert "9 checkpoints (base " in mean.evidence[0]
    assert mean.evidence[1].startswith("Less the placebo: ")
    assert first.certainty == "supported"
    assert first.claim.startswith(
        "Share of questions answered right: rises with the share of rows in Finnish "
        "for Finnish; no change shown for "
    )
    assert (
        first.claim.endswith(" points (uncorrected).")
        and "could have seen" in first.claim
    )
    assert any(
        text.startswith("English: no change shown, ") and "could have seen" in text
        for text in first.evidence
    )
    placebo = rest[-1]
    assert placebo.certainty == "not shown" and "the placebo" in placebo.claim


def test_the_terminal_says_it_too(found: DoseAnalysis) -> None:
    [(heading, rows, rest)] = sweep_tables(found.parts[0])
    assert "(18 checkpoints, shares 0%, 50% and 100%, 3 seeds)" in heading
    assert heading.endswith("from no to only rows in Finnish")
    header, *body = rows
    assert [cell.strip() for cell in header] == [
        "language", "arm", "base", "slope", "p (Holm)", "seen", "less English",
        "p (Holm)", "less placebo", "p (Holm)",
    ]  # fmt: skip
    assert len(body) == 2 * 5 + 2
    assert body[0][0].strip() == "mean of 4 languages"
    assert all(len(row) == len(header) for row in body)
    finnish = next(row for row in body if row[0].strip() == "Finnish")
    assert finnish[3].startswith("+") and finnish[4] == "< 0.001"
    assert finnish[5].endswith(" points") and isinstance(rest, str)


def test_the_page(found: DoseAnalysis, tmp_path: Path) -> None:
    report = write_sweeps(found, tmp_path / "report")
    assert loads((tmp_path / "report/summary.json").read_text()) == found.records
    assert report.index.read_text().count("<svg") == 5 + 3
    page = build_sweeps(found)
    assert page.title == "What a share of rows in Finnish does"
    check_ids(page)
    text = render_markdown(page)
    for said in (
        "from base, shares 0%, 50% and 100%, 3 seeds, arms treatment and placebo",
        "Grey: the placebo",
        "Dashed: the base",
        "English (reference)",
        "Could have seen",
        "91,234",
        "They do not cover another base model",
    ):
        assert said in text or any(
            said in panel.svg for figure in page.figures() for panel in figure.panels
        ), said
    tables = tmp_path / "report" / "tables"
    assert (tables / "checkpoints.csv").read_text().count("\n") == 1 + 18
    levels_csv = tables / "doseresponse-belebele-accuracy-levels.csv"
    assert levels_csv.read_text().count("\n") == 1 + (18 + 1) * 4


def test_charts_fit_the_schema(
    found: DoseAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def check(chart: alt.LayerChart, name: str, data: object) -> Panel:
        chart.to_dict(validate=True)
        drawn.append(name)
        return Panel(name=name, svg="", png=b"")

    monkeypatch.setattr(doseresponse_report, "render", check)
    monkeypatch.setattr(figures, "render", check)
    build_sweeps(found)
    assert len(drawn) == 5 + 3


def test_a_panel_of_shares_holds_its_line_and_little_else(
    few_items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Levels near none: the band ends at 0 %, a line below it is drawn to its end."""
    seen = []

    def check(chart: alt.LayerChart, name: str, data: Mapping[str, Any]) -> Panel:
        low, high = chart.to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"]
        rows = pd.DataFrame(data["rows"])
        assert low <= rows["value"].min() and rows["value"].max() <= high
        if "low" in rows:
            assert rows["low"].dropna().between(0, 100).all()
            assert rows["high"].dropna().between(0, 100).all()
        seen.append((low, rows["value"].min()))
        return Panel(name=name, svg="", png=b"")

    falling = dict.fromkeys(CODES[:2], -0.9)
    paths = sweep(tmp_path, few_items, falling, seeds=range(2))
    monkeypatch.setattr(doseresponse_report, "render", check)
    dose_figure(measure_of(analysed(paths)), "prefix")
    assert len(seen) == 3 and any(least < 0 for _, least in seen)
    assert all(low > min(least, 0) - 6 for low, least in seen)


def check_ids(page: Page) -> None:
    ids = [block.id for s in page.all_sections() for block in s.blocks]
    ids += [section.id for section in page.all_sections()]
    assert len(set(ids)) == len(ids)
    panels = [panel.name for figure in page.figures() for panel in figure.panels]
    assert len(set(panels)) == len(panels)


# What is left out, and said.


def test_a_checkpoint_that_did_not_run_on_a_probe_is_said(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(tmp_path, few_items, {}, seeds=(0, 1))
    gone = f"{SWEEP}-treatment50-seed1"
    other = sweep(tmp_path, few_items, {}, seeds=(0, 1), probe="other", title="Other")
    found = analysed([*paths, *(one for one in other if gone not in str(one))])
    assert [part.probe for part in found.parts] == ["belebele", "other"]
    assert found.notes == (
        f"other, {SWEEP}, SFT: {gone} did not run on it, so that it rests on 5 of 6 "
        "checkpoints.",
    )
    assert found.notes[0] in build_sweeps(found).warnings
    check_ids(build_sweeps(found))


def test_units_of_some_checkpoints_are_left_out_counted_and_named(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(tmp_path, few_items, {}, seeds=(0, 1))
    short = f"{SWEEP}-treatment0-seed2"
    score = answers(levels({}, 0.0, short), short)
    store(tmp_path, few_items[10:], score, model=short, config=config(0.0, 2))
    paths.append(next(tmp_path.glob(f"*/{short}@*")))
    found = analysed(paths)
    assert measure_of(found).dosed.lost.count == 10
    [note] = found.notes
    assert note.startswith(
        f"belebele, {SWEEP}, SFT: accuracy: 38 values that all 7 checkpoints have; "
        "left out are 10 (q0000 in eng_Latn, q0001 in eng_Latn, q0002 in eng_Latn and "
        f"7 more), which {short} (10) lack"
    )
    assert note.endswith("score the rest, or leave it out.")


def test_a_base_that_lacks_units_loses_none(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(tmp_path, few_items, {}, seeds=(0, 1))
    store(tmp_path, few_items[4:], answers(lambda code: 0.5, "base"), model="base")
    found = analysed([*paths, next(tmp_path.glob("*/base@*"))])
    assert measure_of(found).aligned.values.shape[1] == len(few_items)
    [note] = found.notes
    assert "accuracy: the base lacks 4 of these values" in note


def test_too_few_checkpoints_are_refused(few_items: list[Item], tmp_path: Path) -> None:
    two = sweep(tmp_path / "two", few_items, {}, shares=(0.0, 1.0), seeds=(0,))
    with pytest.raises(NoSlopeError) as error:
        analysed(two)
    message = str(error.value)
    assert "2 checkpoints at the shares 0 and 1; a slope needs 3" in message
    one_share = sweep(tmp_path / "one", few_items, {}, shares=(0.5,), seeds=(0, 1, 2))
    with pytest.raises(NoSlopeError, match=r"all 3 checkpoints have the share 0\.5"):
        analysed(one_share)


def test_an_arm_of_one_share_has_no_slope(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(tmp_path, few_items, {}, placebo={}, seeds=(0, 1))
    kept = [
        path for path in paths if "placebo" not in str(path) or "placebo50" in str(path)
    ]
    found = analysed(kept)
    assert measure_of(found).arms == ("treatment",)
    assert found.notes == (
        f"belebele, {SWEEP}, SFT: accuracy: no slope of arm placebo, which has fewer "
        "than 3 checkpoints or only one share.",
    )


def test_without_freedom_there_is_no_interval(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(tmp_path, few_items, {}, shares=(0.0, 1.0), seeds=(0, 1))
    kept = [path for path in paths if "treatment100-seed1" not in str(path)]
    found = analysed(kept)
    one = record(found, "accuracy_slope", "eng_Latn")
    assert one.estimate is not None and one.ci_low is None
    assert one.ci_method == NO_FREEDOM != FEW_CHECKPOINTS
    page = build_sweeps(found)
    assert "whether there is a change cannot be said" in render_markdown(page)


def test_a_group_of_one_question_is_not_tested(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(tmp_path, few_items[:25], {}, placebo={}, seeds=(0, 1))
    found = analysed(paths)
    one = record(found, "accuracy_slope", "fin_Latn")
    assert one.p_value is None and one.ci_method == "none: fewer than 5 clusters"
    assert record(found, "accuracy_slope", "eng_Latn").p_value is not None
    gap = record(found, "accuracy_disparity_slope", None)
    assert gap.estimate is None and "fewer than two groups" in (gap.ci_method or "")
    text = render_markdown(build_sweeps(found))
    assert "not tested: fewer than 5 clusters" in text


def test_runs_of_no_sweep_are_refused(few_items: list[Item], tmp_path: Path) -> None:
    store(tmp_path, few_items, answers(lambda code: 0.5, "base"), model="base")
    runs = load_runs([next(tmp_path.glob("*/base@*"))])
    with pytest.raises(UsageError, match="none of the 1 runs is of a checkpoint"):
        analyse_sweeps(runs, Wanted(polls=()))


def test_sweeps_and_stages_are_never_pooled(
    few_items: list[Item], tmp_path: Path
) -> None:
    shares = {"seeds": (0, 1)}
    paths = sweep(tmp_path, few_items, {}, **shares)  # type: ignore[arg-type]
    paths += sweep(
        tmp_path, few_items, {}, training={"stage": "dpo"}, prefix="dpo", **shares
    )  # type: ignore[arg-type]
    paths += sweep(
        tmp_path,
        few_items,
        {},
        training={"stage": "dpo"},
        prefix="implicit",
        model_kind="implicit_reward",
        **shares,
    )  # type: ignore[arg-type]
    paths += sweep(
        tmp_path, few_items, {}, training={"sweep": "other"}, prefix="other", **shares
    )  # type: ignore[arg-type]
    found = analysed(paths)
    assert [part.sweep.title for part in found.parts] == [
        f"{SWEEP}, SFT",
        f"{SWEEP}, DPO by log-probabilities",
        f"{SWEEP}, DPO by implicit rewards",
        "other, SFT",
    ]
    assert all(len(part.runs) == 6 for part in found.parts)
    page = build_sweeps(found)
    check_ids(page)
    assert [one.title for one in page.sections][:2] == [
        f"belebele, {SWEEP}, SFT",
        f"belebele, {SWEEP}, DPO by log-probabilities",
    ]
    families = {one.family for one in found.records if one.family}
    assert len(families) == 4 * 4


def test_what_must_be_read_beside_levels_is_said(runs: list[Path]) -> None:
    """Of a test with choices: which letter is picked, whatever is asked."""
    found = analysed(runs)
    measure = measure_of(found)
    said = measure.dosed.beside
    assert len(set(said)) > 1 and all("is picked most" in one for one in said)
    page = build_sweeps(found)
    sentence = f"Beside the levels of {measure.dosed.checkpoints[0].model}: {said[0]}."
    assert any(
        one.startswith(sentence) for each in page.findings for one in each.evidence
    )
    levels_table = level_table(measure, "a")
    assert levels_table.header[-1] == "To be read beside it"
    assert {row[-1].text for row in levels_table.rows} >= set(said)


def test_what_varies_nothing_is_left_out(few_items: list[Item], tmp_path: Path) -> None:
    paths = sweep(tmp_path, few_items, {}, seeds=(0, 1))
    store(
        tmp_path,
        few_items,
        answers(lambda code: 0.5, "plain"),
        model="plain",
        config=config(None, 0),
    )
    found = analysed([*paths, next(tmp_path.glob("*/plain@*"))])
    assert found.notes == (
        "plain: nothing was varied in the training, so that there is no share to set "
        "against.",
    )


def changed(run: Run, **training: object) -> Run:
    known = run.manifest.config or {}
    of = known["training"]
    assert isinstance(of, dict)
    manifest = dataclasses.replace(run.manifest, config={"training": of | training})
    return dataclasses.replace(run, manifest=manifest)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"share": 1.5}, "has share = 1.5. It lies between 0 and 1"),
        ({"share": "half"}, "has share = 'half'"),
        ({"seed": None}, "has seed = None. It is a whole number from 0"),
        ({"arm": ""}, "has arm = ''. It is a text"),
        ({"rows": -1}, "has rows = -1"),
        ({"drawn_share": 2}, "has drawn_share = 2"),
        ({"dropped": "few"}, "has dropped = 'few'"),
        ({"base": ""}, "has base = ''. It is a text"),
    ],
)
def test_an_impossible_training_is_named(
    runs: list[Path], training: dict[str, object], message: str
) -> None:
    first, *rest = load_runs(runs[1:4])
    with pytest.raises(DataError) as error:
        find_sweeps([changed(first, **training), *rest])
    said = " ".join(str(error.value).split())
    assert "manifest.json: config.training " + message in said


def test_two_checkpoints_of_one_place_are_refused(runs: list[Path]) -> None:
    first, second, third = load_runs(runs[1:4])
    with pytest.raises(DataError, match="are both of arm treatment, share 0 and seed"):
        find_sweeps([first, changed(second, seed=0), third])


def test_a_base_that_is_scored_otherwise_is_no_level_before(
    few_items: list[Item], tmp_path: Path
) -> None:
    """A policy's log-probabilities are no level before a reward model's training."""
    paths = sweep(
        tmp_path,
        few_items,
        {},
        seeds=(0, 1),
        training={"stage": "reward"},
        model_kind="sequence_classifier",
    )
    store(tmp_path, few_items, answers(lambda code: 0.5, "base"), model="base")
    found = analysed([*paths, next(tmp_path.glob("*/base@*"))])
    assert measure_of(found).dosed.base is None
    assert found.parts[0].sweep.title == f"{SWEEP}, reward model"


def test_the_base_is_the_one_that_is_named(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(tmp_path, few_items, {}, seeds=(0, 1), base=True)
    store(tmp_path, few_items, answers(lambda code: 0.9, "b2"), model="b2")
    found = analysed([*paths, next(tmp_path.glob("*/b2@*"))])
    [note] = found.notes
    assert note.startswith("b2 is of no sweep and the base of none; its levels")
    dosed = measure_of(found).dosed
    assert dosed.base is not None and max(dosed.base.means) < 0.7
    # A model of another kind, such as a reward model, stands there too.
    [other] = dosed.others
    assert (other.model, other.lacks) == ("b2", 0) and min(other.means) > 0.8
    written = write_sweeps(found, tmp_path / "report").index
    assert "| b2 |" in written.with_name("report.md").read_text()
    # A base that is not named is not guessed.
    other = sweep(
        tmp_path / "old", few_items, {}, seeds=(0, 1), base=True,
        training={"base": None, "drawn_share": None},
    )  # fmt: skip
    found = analysed(other)
    assert measure_of(found).dosed.base is None
    [note] = found.notes
    assert note.startswith("base is of no sweep: the checkpoints of ")
    assert "do not name their base" in note


def test_other_bases_and_mixes_are_refused(runs: list[Path]) -> None:
    first, *rest = load_runs(runs[1:7])
    with pytest.raises(DataError, match="were trained from other and base") as error:
        find_sweeps([changed(first, base="other"), *rest])
    # `train` reports scores without a slope, and nothing that is contradictory.
    assert not isinstance(error.value, NoSlopeError)
    assert "All checkpoints of a sweep have one base" in str(error.value)
    with pytest.raises(DataError, match="arm treatment was trained on the mixes m2"):
        find_sweeps([changed(first, mix="m2"), *rest])


def test_slopes_are_on_the_share_that_was_drawn(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(
        tmp_path, few_items, SLOPES, seeds=(0, 1),
        own=lambda share, seed: {"drawn_share": 0.9 * share + 0.001 * seed},
    )  # fmt: skip
    found = analysed(paths)
    measure = measure_of(found)
    design = measure.dosed.design("treatment")
    np.testing.assert_allclose(
        design.share, [0.0, 0.001, 0.45, 0.451, 0.9, 0.901], atol=1e-12
    )
    fin = measure.dosed.levels[:, 1]
    slopes = np.column_stack([design.share, *(design.seed == s for s in (0, 1))])
    expected = np.linalg.lstsq(slopes, fin, rcond=None)[0][0]
    assert record(found, "accuracy_slope", "fin_Latn").estimate == pytest.approx(
        expected
    )
    text = render_markdown(build_sweeps(found))
    assert "| 100% (drawn 90.1%) |" in text and "| 0% |" in text


def test_rows_that_did_not_fit_are_said(few_items: list[Item], tmp_path: Path) -> None:
    paths = sweep(
        tmp_path, few_items, {}, seeds=(0, 1),
        own=lambda share, seed: {"dropped": int(10 * share)},
    )  # fmt: skip
    [note] = analysed(paths).notes
    assert note.startswith(
        f"{SWEEP}, SFT: 5 to 10 rows of the mix did not fit the trainer and were left "
        "out, in 4 of 6 checkpoints"
    )


def test_tokens_that_go_with_the_share_are_said(
    few_items: list[Item], tmp_path: Path
) -> None:
    paths = sweep(
        tmp_path, few_items, {}, seeds=(0, 1),
        own=lambda share, seed: {"tokens": int(80_000 + 40_000 * share)},
    )  # fmt: skip
    found = analysed(paths)
    [note] = found.notes
    assert "arm treatment: the tokens read in training go with the share, by +40%" in (
        note
    )
    assert "(a line from 80,000 to 120,000)" in note
    assert note in build_sweeps(found).warnings


def test_mixed_versions_are_refused(few_items: list[Item], tmp_path: Path) -> None:
    paths = sweep(tmp_path, few_items, {}, seeds=(0,))
    paths += sweep(tmp_path, few_items, {}, seeds=(1,), probe_version="2")
    with pytest.raises(StoreError, match="one version of a probe"):
        analysed(paths)


def test_every_number_of_the_page_is_finite_json(found: DoseAnalysis) -> None:
    for one in found.records:
        json.dumps(one.to_json(), allow_nan=False)
