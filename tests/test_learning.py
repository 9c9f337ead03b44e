"""Learning curves: half of the gain, orders of groups, and bad files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from analysis import learning_figures
from analysis.drawing import Panel
from analysis.html import Figure, Table
from analysis.learning import Learning, in_order, read_curves
from analysis.learning_curves import half_step
from analysis.learning_data import COLUMNS
from analysis.learning_figures import curve_figure
from analysis.learning_report import (
    learning_section,
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
    steps: Sequence[int] = STEPS,
    share: object = 0.5,
    arm: str = "treatment",
    column: str = "lang",
    stage: str = "dpo",
) -> list[list[object]]:
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
            n,
            curve(seed, step),
            curve(seed, step) - 0.5,
        ]
        for group, curve in groups.items()
        for seed in seeds
        for step in steps
    ]


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
    assert half_step(steps, np.array([0.5, 0.5, 0.7, 0.9])) == pytest.approx(20)
    assert half_step(steps, np.array([0.5, 0.6, 0.8, 0.9])) == pytest.approx(15)
    # The first time counts, also where the accuracy falls again.
    assert half_step(steps, np.array([0.5, 0.8, 0.6, 0.9])) == pytest.approx(20 / 3)
    assert half_step(steps, np.array([0.5, 0.6, 0.5, 0.5])) is None
    assert half_step(steps, np.array([0.5, 0.6, 0.5, 0.4])) is None


def test_ends_and_their_intervals(tmp_path: Path) -> None:
    one = read(tmp_path, rows({"English": rising(50), "Finnish": rising(25)}, n=80))
    assert [group.group for group in one.groups] == ["Finnish", "English"]
    finnish = one.groups[0]
    expected = wilson(0.9 * 80, 80)
    assert finnish.final.estimate == pytest.approx(0.9)
    assert finnish.final.low == pytest.approx(expected.low)
    assert finnish.final.high == pytest.approx(expected.high)
    assert finnish.start == 0.5 and finnish.margin == pytest.approx(0.4)
    assert min(finnish.halves) == pytest.approx(25)
    # Seeds 1 and 2 reach it between two measured steps.
    assert max(finnish.halves) == pytest.approx(29.8, abs=0.05)
    final, half = (each for each in one.records if each.group == "Finnish")
    assert (final.metric, final.n, final.unit) == ("final_accuracy", 80, "share")
    assert final.ci_low == pytest.approx(expected.low)
    assert (half.metric, half.unit, half.n) == ("half_gain_step", "step", 3)
    assert half.ci_low is None and half.ci_method == "none: 25 to 30 over seeds"


def test_an_order_is_claimed_only_where_all_seeds_agree(tmp_path: Path) -> None:
    one = read(tmp_path, rows({"English": rising(60), "Finnish": rising(25)}))
    assert one.earlier == (("Finnish", "English"),)
    found = order_finding(one, one.orders)
    assert found.claim == (
        "DPO, treatment, share 50%, by lang: of these held-out pairs, half of the gain "
        "is reached in each of 3 seeds Finnish before English."
    )
    # Three seeds agree by chance in a quarter of all cases.
    assert found.certainty == "uncertain" and "3 seeds: that so many" in str(found)

    def other(seed: int, step: int) -> float:
        return rising(20 if seed == 1 else 60)(seed, step)

    one = read(tmp_path, rows({"English": other, "Finnish": rising(40)}))
    assert one.earlier == ()
    found = order_finding(one, one.orders)
    assert found.certainty == "not shown"
    assert "no group is first in every seed" in found.claim


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


def test_groups_of_few_pairs_are_in_no_order(tmp_path: Path) -> None:
    content = rows({"English": rising(60)}, seeds=range(6))
    content += rows({"Finnish": rising(25)}, seeds=range(6), n=29)
    one = read(tmp_path, content)
    assert [group.group for group in one.comparable] == ["English"]
    found = order_finding(one, one.orders)
    assert found.certainty == "not shown" and one.earlier == ()
    assert found.claim.endswith("fewer than two groups that gain have 30 pairs.")
    assert found.evidence[-1] == "Fewer than 30 pairs, and in no order: Finnish."


def test_a_gain_is_over_one_half_or_over_another_share(tmp_path: Path) -> None:
    """Before DPO the accuracy is one half by construction; of a reward model not."""
    curve = rising(50, end=0.62)
    dpo = read(tmp_path, rows({"English": curve})).groups[0]
    final = wilson(62, 100)
    assert (dpo.gain.low, dpo.gain.high) == pytest.approx(
        (final.low - 0.5, final.high - 0.5)
    )
    assert dpo.gains
    reward = read(tmp_path, rows({"English": curve}, stage="reward")).groups[0]
    low, high = confint_proportions_2indep(62, 100, 50, 100, method="newcomb")
    assert (reward.gain.low, reward.gain.high) == pytest.approx((low, high))
    assert reward.gain.estimate == pytest.approx(0.12) and not reward.gains
    # A policy whose reference is another has its own start.
    other = read(tmp_path, rows({"English": rising(50, end=0.62, start=0.51)}))
    assert other.groups[0].gain.low < 0


def test_a_group_without_a_gain_is_not_first(tmp_path: Path) -> None:
    one = read(tmp_path, rows({"English": rising(60), "Finnish": flat}))
    finnish = next(group for group in one.groups if group.group == "Finnish")
    assert not finnish.gains and finnish.halves == ()
    assert one.groups[-1] is finnish and one.earlier == ()
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
    assert [len(one.panels) for one in figures] == [1, 2]
    assert "Finnish" in figures[1].panels[0].svg
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

    monkeypatch.setattr(learning_figures, "render", check)
    one = read(tmp_path, rows({"English": rising(60), "Finnish": rising(25)}))
    assert curve_figure([one], "x").panels[0].name == "x-dpo-treatment-50"


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
    assert len(report.records) == 4
    assert "in each of 6 seeds Finnish before English" in text
    assert (tmp_path / "report/tables/learning-lang-ends.csv").is_file()


def test_bad_files_are_named(tmp_path: Path) -> None:
    groups = {"English": rising(60)}
    with pytest.raises(UsageError, match="no learning curves"):
        read_curves([])
    with pytest.raises(DataError, match=r"absent\.csv cannot be read as csv"):
        read_curves([tmp_path / "absent.csv"])
    path = written(tmp_path, [], [name for name in COLUMNS if name != "n"])
    with pytest.raises(DataError, match=r"learning\.csv has no column n"):
        read_curves([path])
    wrong = rows(groups)
    wrong[3][COLUMNS.index("accuracy")] = 1.5
    with pytest.raises(DataError, match=r"learning\.csv, line 5: accuracy = 1\.5"):
        read_curves([written(tmp_path, wrong)])
    wrong[3][COLUMNS.index("accuracy")] = "high"
    with pytest.raises(DataError, match="line 5: accuracy = 'high'"):
        read_curves([written(tmp_path, wrong)])
    with pytest.raises(DataError, match="has step 0 of lang English twice"):
        read_curves([written(tmp_path, rows(groups) * 2)])
    with pytest.raises(DataError, match="has no step 0"):
        read_curves([written(tmp_path, rows(groups, steps=(10, 20)))])


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no curve"):
        read_curves([written(tmp_path, [])])
