"""Learning curves: half of the gain, orders of groups, and bad files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import learning_report
from analysis.drawing import Panel
from analysis.html import Figure, Table
from analysis.learning import (
    COLUMNS,
    Learning,
    group_curve,
    half_steps,
    in_order,
    read_curves,
)
from analysis.learning_report import (
    accuracy_figure,
    learning_section,
    margin_figure,
    order_finding,
    write_learning,
)
from analysis.paired import wilson
from analysis.records import loads
from probe.types import DataError, UsageError

STEPS = (0, 25, 50, 75, 100)
Curve = Callable[[int, int], float]
"""(seed, step) -> accuracy."""


def rising(half: float, end: float = 0.9, start: float = 0.5) -> Curve:
    """Straight to the end's half at `half`, and from there to the end; seeds differ."""

    def curve(seed: int, step: int) -> float:
        middle = half + seed
        return float(np.interp(step, [0, middle, 100], [start, (start + end) / 2, end]))

    return curve


def flat(seed: int, step: int) -> float:
    return 0.5 + 0.01 * ((seed + step // 25) % 2)


def rows(
    groups: Mapping[str, Curve],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    n: int = 100,
    of_key: int = 1,
    steps: Sequence[int] = STEPS,
    share: object = 0.5,
    arm: str = "treatment",
    column: str = "lang",
    stage: str = "dpo",
) -> list[list[object]]:
    """A pair that is right has a margin of 1, a wrong one of -1; at one half, all tie.

    Pairs become right one after the other, those of one key, `of_key`, together.
    """
    return [
        [
            f"m-{arm}-seed{seed}",
            arm,
            share,
            seed,
            stage,
            step,
            900 * step,
            column,
            group,
            f"prompt {pair // of_key}",
            f"{group} {pair}",
            margin,
        ]
        for group, curve in groups.items()
        for seed in seeds
        for step in steps
        for pair, margin in enumerate(margins(curve(seed, step), n))
    ]


def margins(accuracy: float, n: int) -> list[float]:
    if accuracy == 0.5:
        return [0.0] * n
    return [1.0 if pair < round(accuracy * n) else -1.0 for pair in range(n)]


def written(
    folder: Path, content: Sequence[Sequence[object]], header: Sequence[str] = COLUMNS
) -> Path:
    path = folder / "learning.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(content)
    return path


def read(folder: Path, content: Sequence[Sequence[object]]) -> Learning:
    [one] = read_curves([written(folder, content)])
    return one


def test_half_of_the_gain_lies_between_two_steps() -> None:
    steps = np.array([0.0, 10.0, 20.0, 40.0])
    found = half_steps(
        steps,
        np.array(
            [
                [0.5, 0.5, 0.7, 0.9],
                [0.5, 0.6, 0.8, 0.9],
                # The first time counts, also where the accuracy falls again.
                [0.5, 0.8, 0.6, 0.9],
                [0.5, 0.6, 0.5, 0.5],
                [0.5, 0.6, 0.5, 0.4],
            ]
        ),
    )
    assert found == pytest.approx([20, 15, 20 / 3, np.nan, np.nan], nan_ok=True)
    assert half_steps(steps, np.array([0.5, 0.5, 0.7, 0.9])) == pytest.approx(20)


def test_ends_and_their_intervals(tmp_path: Path) -> None:
    one = read(tmp_path, rows({"English": rising(50), "Finnish": rising(25)}, n=80))
    assert [group.group for group in one.groups] == ["Finnish", "English"]
    finnish = one.groups[0]
    expected = wilson(0.9 * 80, 80)
    assert finnish.final.estimate == pytest.approx(0.9)
    assert finnish.final.low == pytest.approx(expected.low)
    assert finnish.final.high == pytest.approx(expected.high)
    assert finnish.start == 0.5 and finnish.margin.estimate == pytest.approx(0.8)
    assert min(finnish.halves) == pytest.approx(25)
    # Seeds 1 and 2 reach it between two measured steps.
    assert max(finnish.halves) == pytest.approx(29.2, abs=0.1)
    final, gain, margin, half = (
        each for each in one.records if each.group == "Finnish"
    )
    assert {(each.n, each.n_clusters, each.cluster) for each in one.records} == {
        (80, 80, "key")
    }
    assert (final.metric, final.unit) == ("final_accuracy", "share")
    assert final.ci_low == pytest.approx(expected.low)
    assert (gain.metric, gain.reference) == ("gain", "step 0")
    assert gain.estimate == pytest.approx(0.4)
    assert (margin.metric, margin.unit) == ("final_margin", "implicit reward")
    right = np.repeat([1.0, -1.0], [72, 8])
    by_scipy = stats.ttest_1samp(right, 0).confidence_interval()
    assert (margin.ci_low, margin.ci_high) == pytest.approx(by_scipy, rel=1e-3)
    assert (half.metric, half.unit) == ("half_gain_step", "step")
    assert half.ci_low is not None and half.ci_low < half.estimate < half.ci_high
    assert half.ci_method == (
        "bootstrap over keys; 25 to 29 over seeds; the mean over seeds"
    )


def test_pairs_of_one_key_count_for_as_much_as_they_tell(tmp_path: Path) -> None:
    """Ten pairs of a key that are right or wrong together are as good as one."""
    curve = {"English": rising(50, end=0.8)}
    [alone] = read(tmp_path, rows(curve, n=20)).groups
    [ten] = read(tmp_path, rows(curve, n=200, of_key=10)).groups
    assert (alone.n, alone.n_keys, ten.n, ten.n_keys) == (20, 20, 200, 20)
    for one, other, room in (
        (alone.final, ten.final, 0.01),
        (alone.gain, ten.gain, 0.01),
        (alone.margin, ten.margin, 0.01),
        (alone.half, ten.half, 2),
    ):
        assert np.isfinite(other.low)
        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=room)


@pytest.mark.parametrize("stage", ["dpo", "reward"])
def test_without_an_effect_one_interval_in_twenty_excludes_zero(stage: str) -> None:
    """Six pairs to a prompt; at step 0 they are tied in DPO, else they guess."""
    rng = np.random.default_rng(0)
    keys = np.array([f"prompt {key:02d}" for key in range(30)])
    found = []
    for _ in range(400):
        frame = pd.DataFrame(
            {"key": np.repeat(keys, 6), "id": [str(pair) for pair in range(180)]}
        )
        points = []
        for step in (0, 100):
            of_prompt = np.repeat(rng.normal(size=30), 6)
            margin = 2 * of_prompt + rng.normal(size=180)
            tied = step == 0 and stage == "dpo"
            points.append(
                frame.assign(seed=0, step=step, margin=0.0 if tied else margin)
            )
        found.append(group_curve("x", pd.concat(points), keys).gain)
    shown = np.mean([one.low > 0 for one in found])
    assert 0.005 <= shown <= 0.05, "one side of 5 %"
    assert 0.025 <= shown + np.mean([one.high < 0 for one in found]) <= 0.075


def test_few_keys_show_no_gain(tmp_path: Path) -> None:
    [one] = read(tmp_path, rows({"x": rising(50, end=1)}, n=80, of_key=20)).groups
    assert one.n_keys == 4 and not one.gains and not np.isfinite(one.gain.low)
    [final, gain, margin] = read(
        tmp_path, rows({"x": rising(50)}, n=80, of_key=20)
    ).records
    assert final.ci_low is not None
    assert gain.ci_method == margin.ci_method == "none: fewer than 5 clusters"


def test_an_order_is_claimed_only_where_all_seeds_agree(tmp_path: Path) -> None:
    one = read(tmp_path, rows({"English": rising(60), "Finnish": rising(25)}))
    assert one.earlier(1) == (("Finnish", "English"),)
    found = order_finding(one, one.orders)
    assert found.claim == (
        "DPO, treatment, share 50%, by lang: half of the gain is reached in each of 3 "
        "seeds, and beyond chance over prompts, Finnish before English."
    )
    # Three seeds agree by chance in a quarter of all cases.
    assert found.certainty == "uncertain" and "3 seeds: that so many" in str(found)

    def other(seed: int, step: int) -> float:
        return rising(20 if seed == 1 else 60)(seed, step)

    one = read(tmp_path, rows({"English": other, "Finnish": rising(40)}))
    assert one.earlier(1) == ()
    found = order_finding(one, one.orders)
    assert found.certainty == "not shown"
    assert "no group is shown to be before another" in found.claim


def test_an_order_that_few_prompts_make_is_not_told(tmp_path: Path) -> None:
    """Every seed agrees, as all have the same pairs; other prompts need not."""
    groups = {"English": rising(50, end=0.8), "Finnish": rising(36, end=0.8)}
    content = rows(groups, n=40, seeds=range(6))
    one = read(tmp_path, content)
    [first, second] = one.comparable
    assert all(a < b for a, b in zip(first.halves, second.halves, strict=True)), (
        "in every seed"
    )
    assert one.earlier(1) == ()
    # The same shares of so many prompts that chance does not make them.
    assert read(tmp_path, rows(groups, n=400, seeds=range(6))).earlier(1)
    # Fewer intervals of those that many orders have together exclude zero.
    groups = {"English": rising(60), "Finnish": rising(45)}
    one = read(tmp_path, rows(groups, n=200))
    assert one.earlier(1) and not one.earlier(10**6)


def test_enough_seeds_make_an_order_sure(tmp_path: Path) -> None:
    groups = {"English": rising(60), "Finnish": rising(25)}
    assert not read(tmp_path, rows(groups, seeds=range(5))).sure(1)
    one = read(tmp_path, rows(groups, seeds=range(6)))
    assert one.orders == 1 and one.sure(1)
    assert order_finding(one, 1).certainty == "supported"
    # Another order on the page, of any training, could agree as well.
    assert order_finding(one, 2).certainty == "uncertain"
    groups["German"] = rising(80)
    assert read(tmp_path, rows(groups, seeds=range(6))).orders == 3
    assert read(tmp_path, rows(groups, seeds=range(7))).sure(3)


def test_all_orders_of_a_page_are_corrected_together(tmp_path: Path) -> None:
    groups = {"English": rising(60), "Finnish": rising(25)}
    content = rows(groups, seeds=range(6))
    alone = learning_section(read_curves([written(tmp_path, content)]))
    assert [one.certainty for one in alone.findings] == ["supported"]
    content += rows(groups, seeds=range(6), share=1.0)
    both = learning_section(read_curves([written(tmp_path, content)]))
    assert [one.certainty for one in both.findings] == ["uncertain"] * 2
    assert "one of 2 orders of two groups" in str(both.findings[0])


def test_groups_of_few_prompts_are_in_no_order(tmp_path: Path) -> None:
    content = rows({"English": rising(60)}, seeds=range(6))
    content += rows({"Finnish": rising(25)}, seeds=range(6), n=58, of_key=2)
    one = read(tmp_path, content)
    assert [group.group for group in one.comparable] == ["English"]
    found = order_finding(one, one.orders)
    assert found.certainty == "not shown" and one.earlier(1) == ()
    assert found.claim.endswith("fewer than two groups that gain have 30 prompts.")
    assert found.evidence[0].startswith("Finnish: 50% at step 0, 90% after training")
    assert "58 pairs of 29 prompts" in found.evidence[0]
    assert found.evidence[-1] == "Fewer than 30 prompts, and in no order: Finnish."


def test_a_gain_is_over_one_half_or_over_the_same_pairs(tmp_path: Path) -> None:
    """Before DPO the accuracy is one half by construction; of a reward model not."""
    curve = rising(50, end=0.62)
    dpo = read(tmp_path, rows({"English": curve})).groups[0]
    final = wilson(62, 100)
    assert (dpo.gain.low, dpo.gain.high) == pytest.approx(
        (final.low - 0.5, final.high - 0.5)
    )
    assert dpo.gains and dpo.fixed
    content = rows({"English": rising(50, end=0.62, start=0.52)}, stage="reward")
    reward = read(tmp_path, content).groups[0]
    changes = np.repeat([1.0, 0.0], [10, 90])
    low, high = stats.ttest_1samp(changes, 0).confidence_interval()
    assert (reward.gain.low, reward.gain.high) == pytest.approx((low, high))
    assert reward.gain.estimate == pytest.approx(0.1)
    assert reward.gains and not reward.fixed


def test_a_group_without_a_gain_is_not_first(tmp_path: Path) -> None:
    one = read(tmp_path, rows({"English": rising(60), "Finnish": flat}))
    finnish = next(group for group in one.groups if group.group == "Finnish")
    assert not finnish.gains and finnish.halves == ()
    assert one.groups[-1] is finnish and one.earlier(1) == ()
    found = order_finding(one, one.orders)
    assert found.claim.endswith("as only English is shown to gain.")
    assert any(text.endswith("no gain shown.") for text in found.evidence)
    one = read(tmp_path, rows({"English": flat, "Finnish": flat}))
    assert order_finding(one, one.orders).claim.endswith(
        "as no group is shown to gain."
    )


def test_a_section_has_curves_and_ends_of_each_column(tmp_path: Path) -> None:
    groups = {"English": rising(60), "Finnish": rising(25)}
    content = rows({"all": rising(40)}, column="all") + rows(groups)
    content += rows(groups, arm="placebo")
    curves = read_curves([written(tmp_path, content)])
    assert [(one.arm, one.column) for one in curves] == [
        ("treatment", "all"), ("treatment", "lang"), ("placebo", "lang"),
    ]  # fmt: skip
    section = learning_section(curves)
    figures = [one for one in section.blocks if isinstance(one, Figure)]
    assert [len(one.panels) for one in figures] == [1, 1, 2, 2]
    assert [one.title for one in figures[2:]] == [
        "Held-out accuracy in training, by lang",
        "Held-out margin in training, by lang",
    ]
    assert all("Finnish" in one.panels[0].svg for one in figures[2:])
    assert "mean margin (implicit reward)" in figures[3].panels[0].svg
    names = [panel.name for one in figures for panel in one.panels]
    assert len(set(names)) == len(names)
    tables = [one for one in section.blocks if isinstance(one, Table)]
    assert [len(one.rows) for one in tables] == [1, 4]
    # The csv file has a row per seed.
    assert len(tables[1].frame) == 4 * 3
    assert len(section.findings) == 2


def test_placebos_are_last_where_they_are_known(tmp_path: Path) -> None:
    groups = {"English": rising(60)}
    content = rows(groups, arm="redrawn") + rows(groups)
    curves = read_curves([written(tmp_path, content)])
    assert [one.arm for one in curves] == ["redrawn", "treatment"]
    ordered = in_order(curves, {"redrawn"})
    assert [one.arm for one in ordered] == ["treatment", "redrawn"]


def test_charts_fit_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(chart: alt.LayerChart, name: str, data: object) -> Panel:
        chart.to_dict(validate=True)
        return Panel(name=name, svg="", png=b"")

    monkeypatch.setattr(learning_report, "render", check)
    one = read(tmp_path, rows({"English": rising(60), "Finnish": rising(25)}))
    assert accuracy_figure([one], "x").panels[0].name == "x-dpo-treatment-50"
    assert margin_figure([one], "x").panels[0].name == "x-dpo-treatment-50-margin"


def test_a_group_has_one_colour_in_all_panels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Panels are in the order of what each learned first."""
    scales = []

    def check(chart: alt.LayerChart, name: str, data: object) -> Panel:
        layer = chart.to_dict()["layer"][0]
        scales.append(layer["encoding"]["color"]["scale"]["domain"])
        return Panel(name=name, svg="", png=b"")

    monkeypatch.setattr(learning_report, "render", check)
    content = rows({"English": rising(60), "Finnish": rising(25)})
    content += rows({"English": rising(25), "Finnish": rising(60)}, arm="placebo")
    curves = read_curves([written(tmp_path, content)])
    assert [one.groups[0].group for one in curves] == ["Finnish", "English"]
    accuracy_figure(curves, "x")
    margin_figure(curves, "x")
    assert scales == [["Finnish", "English"]] * 4
    scales.clear()
    # More groups than colours: each panel has its own first ones.
    content = rows({f"a{n}": rising(40 + n) for n in range(5)}, n=10, arm="first")
    content += rows({f"b{n}": rising(40 + n) for n in range(9)}, n=10)
    accuracy_figure(read_curves([written(tmp_path, content)]), "x")
    assert [len(domain) for domain in scales] == [5, 8]


def test_shares_are_apart_and_may_be_none(tmp_path: Path) -> None:
    groups = {"English": rising(60)}
    content = rows(groups, share=0) + rows(groups, share=1) + rows(groups, share="")
    curves = read_curves([written(tmp_path, content)])
    assert [one.share for one in curves] == [0, 1, None]
    assert [one.key for one in curves] == [
        "dpo, treatment 0%", "dpo, treatment 100%", "dpo, treatment",
    ]  # fmt: skip


def test_sweeps_of_two_files_are_apart(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths.append(written(tmp_path / name, rows({"English": rising(60)})))
    curves = read_curves(paths)
    assert [one.key for one in curves] == [
        "one, dpo, treatment 50%", "two, dpo, treatment 50%",
    ]  # fmt: skip
    assert all(len(one.groups[0].seeds) == 3 for one in curves)


def test_a_page_of_curves_alone(tmp_path: Path) -> None:
    groups = {"English": rising(60), "Finnish": rising(25)}
    path = written(tmp_path, rows(groups, share="", seeds=range(6)))
    report = write_learning(read_curves([path]), tmp_path / "report")
    text = report.index.read_text()
    assert "What is learned first" in text and "<svg" in text
    assert loads((tmp_path / "report/summary.json").read_text()) == report.records
    assert len(report.records) == 8
    assert "in each of 6 seeds, and beyond chance over prompts, Finnish" in text
    assert (tmp_path / "report/tables/learning-lang-ends.csv").is_file()


def test_bad_files_are_named(tmp_path: Path) -> None:
    groups = {"English": rising(60)}
    with pytest.raises(UsageError, match="no learning curves"):
        read_curves([])
    with pytest.raises(DataError, match=r"absent\.csv cannot be read as csv"):
        read_curves([tmp_path / "absent.csv"])
    older = [name for name in COLUMNS if name not in ("key", "id")]
    with pytest.raises(DataError, match=r"learning\.csv has no column key, id"):
        read_curves([written(tmp_path, [], [*older, "n", "accuracy"])])
    wrong = rows(groups)
    wrong[3][COLUMNS.index("margin")] = "high"
    with pytest.raises(DataError, match=r"learning\.csv, line 5: margin = 'high'"):
        read_curves([written(tmp_path, wrong)])
    wrong[3][COLUMNS.index("margin")] = "inf"
    with pytest.raises(DataError, match="line 5: margin = inf"):
        read_curves([written(tmp_path, wrong)])
    with pytest.raises(DataError, match="step 0 of pair English 0 in lang English twi"):
        read_curves([written(tmp_path, rows(groups) * 2)])
    with pytest.raises(DataError, match="lacks pair English 4 in lang English at some"):
        read_curves([written(tmp_path, rows(groups)[:4] + rows(groups)[5:])])
    with pytest.raises(DataError, match="has no step 0"):
        read_curves([written(tmp_path, rows(groups, steps=(10, 20)))])


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no curve"):
        read_curves([written(tmp_path, [])])


def test_seeds_are_compared_on_the_pairs_that_all_have(tmp_path: Path) -> None:
    groups = {"English": rising(60)}
    content = rows(groups, seeds=[0], n=100) + rows(groups, seeds=[1], n=80)
    [one] = read(tmp_path, content).groups
    assert one.n == one.n_keys == 80
    other = [
        [*row[:-2], f"other {row[-2]}", row[-1]] for row in rows(groups, seeds=[1])
    ]
    with pytest.raises(DataError, match="has no pair that all its seeds have"):
        read(tmp_path, rows(groups, seeds=[0]) + other)
