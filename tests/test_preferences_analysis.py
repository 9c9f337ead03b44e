from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.load import Run, load_run, own_file
from analysis.part import Wanted
from analysis.preferences import analyse_preferences
from analysis.preferences_report import preferences_part
from analysis.report import run_warnings
from data_builders import probes
from probe.recorded import import_file
from probe.types import DataError, Measure
from tests.country_runs import manifest


def pairs_run(
    chosen: Sequence[float],
    rejected: Sequence[float],
    *,
    subsets: Sequence[str] | None = None,
    prompts: Sequence[str] | None = None,
    lengths: Sequence[tuple[float, float]] | None = None,
    model: str = "made_up",
) -> Run:
    n = len(chosen)
    sizes = lengths or [(10.0, 5.0)] * n
    frame = pd.DataFrame(
        {
            "item_id": np.repeat([f"p{i:03d}" for i in range(n)], 2),
            "candidate_id": ["chosen", "rejected"] * n,
            "role": ["chosen", "rejected"] * n,
            "subset": np.repeat(subsets or ["all"] * n, 2),
            "prompt": np.repeat(prompts or [f"prompt {i}" for i in range(n)], 2),
            "score": np.column_stack([chosen, rejected]).ravel(),
            "n_answer_tokens": [size for pair in sizes for size in pair],
            "n_chars": 20,
            "measure": "reward",
        }
    )
    return Run(
        path=Path("runs/preferences@1/made_up"),
        manifest=manifest(
            model,
            probe="preferences",
            axis="preferences",
            item_columns=("subset",),
            candidate_columns=("role",),
            measures=("reward",),
        ),
        measure=Measure.REWARD,
        frame=frame,
    )


def test_accuracy_is_the_plain_share_with_wilsons_interval() -> None:
    rng = np.random.default_rng(0)
    chosen, rejected = rng.normal(0.6, 1, 80), rng.normal(0, 1, 80)
    [found] = analyse_preferences([pairs_run(chosen, rejected)])
    right = int((chosen > rejected).sum())
    assert found.overall.accuracy.estimate == right / 80
    expected = proportion_confint(right, 80, method="wilson")
    assert (found.overall.accuracy.low, found.overall.accuracy.high) == pytest.approx(
        expected
    )
    assert found.overall.p_value == pytest.approx(stats.binomtest(right, 80).pvalue)
    assert found.records[0].estimate == right / 80 and found.records[0].n == 80


def test_a_tie_counts_one_half() -> None:
    [found] = analyse_preferences([pairs_run([1, 2, 3, 4], [1, 1, 1, 5])])
    assert found.overall.accuracy.estimate == 2.5 / 4
    assert found.overall.ties == 1


def test_a_pair_without_a_score_is_left_out_and_counted() -> None:
    [found] = analyse_preferences([pairs_run([1, np.nan, 3], [0, 1, 1])])
    assert (found.overall.n, found.unscored) == (2, 1)


def test_a_liking_for_length_is_not_called_a_liking_for_the_better() -> None:
    rng = np.random.default_rng(1)
    lengths = [(float(a), float(b)) for a, b in rng.integers(5, 50, (200, 2))]
    chosen = [a for a, _ in lengths]
    rejected = [b for _, b in lengths]
    [found] = analyse_preferences([pairs_run(chosen, rejected, lengths=lengths)])
    assert found.beyond_length.estimate == 0
    assert found.beyond_length_p is None
    longer, other = found.by_length
    assert longer.accuracy.estimate == 1 and other.accuracy.estimate < 0.1


def test_repeated_prompts_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    right = np.repeat(rng.random(20) < 0.6, 10)
    chosen, prompts = np.where(right, 1.0, -1.0), [f"p{i // 10}" for i in range(200)]
    [found] = analyse_preferences([pairs_run(chosen, np.zeros(200), prompts=prompts)])
    whole = found.overall
    assert whole.n_clusters == 20
    assert whole.clustered.high - whole.clustered.low > 2 * (
        whole.accuracy.high - whole.accuracy.low
    )
    exact = stats.binomtest(int(right.sum()), 200).pvalue
    assert whole.p_value is not None and whole.p_value > exact


def test_groups_are_corrected_over_models_and_groups() -> None:
    rng = np.random.default_rng(3)
    subsets = ["easy"] * 40 + ["hard"] * 40
    runs = [
        pairs_run(
            rng.normal(np.repeat([1.5, -1.5], 40), 1),
            np.zeros(80),
            subsets=subsets,
            model=name,
        )
        for name in ("one", "two")
    ]
    found = analyse_preferences(runs)
    tests = [
        r for one in found for r in one.records if r.group and r.family is not None
    ]
    assert [r.group for r in tests] == ["subset: easy", "subset: hard"] * 2
    smallest = min(r.p_value for r in tests if r.p_value is not None)
    assert min(r.p_holm for r in tests if r.p_holm is not None) == pytest.approx(
        4 * smallest
    )
    part = preferences_part(
        runs, Wanted(polls=[]), id="p", title="Preferences", step=lambda: None
    )
    claims = " ".join(f.claim for f in part.runs[0].findings)
    assert "prefers the rejected answer in hard" in claims


def test_all_pairs_are_corrected_over_models() -> None:
    rng = np.random.default_rng(5)
    runs = [
        pairs_run(rng.normal(0.4, 1, 80), np.zeros(80), model=name)
        for name in ("one", "two", "three")
    ]
    found = analyse_preferences(runs)
    for metric in ("accuracy", "accuracy_beyond_length"):
        tests = [
            r
            for one in found
            for r in one.records
            if r.metric == metric and r.group is None
        ]
        smallest = min(r.p_value or 1.0 for r in tests)
        assert min(r.p_holm or 1.0 for r in tests) == pytest.approx(3 * smallest)


def test_a_model_that_is_always_right_is_shown_to_be() -> None:
    prompts = [f"p{i // 2}" for i in range(40)]
    run = pairs_run([1.0] * 40, [0.0] * 40, prompts=prompts)
    [found] = analyse_preferences([run])
    low, high = proportion_confint(20, 20, method="wilson")
    assert (found.overall.clustered.low, found.overall.clustered.high) == (
        pytest.approx(low),
        pytest.approx(high),
    )
    assert found.overall.p_value == pytest.approx(2 * 0.5**20)
    part = preferences_part([run], Wanted(polls=[]), id="p", title="P", step=list)
    assert part.runs[0].findings[0].certainty == "supported"


def test_what_a_stopped_run_lacks_does_not_change_the_unit_of_length() -> None:
    run = pairs_run([1.0, 1.0, np.nan], [0.0, 0.0, np.nan])
    frame = run.frame.assign(
        n_answer_tokens=run.frame["n_answer_tokens"].where(run.frame["score"].notna())
    )
    [found] = analyse_preferences([dataclasses.replace(run, frame=frame)])
    assert found.length_unit == "tokens"
    assert found.overall.longer == 1.0


def test_few_prompts_have_no_test_and_say_so() -> None:
    rng = np.random.default_rng(6)
    prompts = [f"p{i // 20}" for i in range(60)]
    run = pairs_run(rng.normal(2, 1, 60), np.zeros(60), prompts=prompts)
    [found] = analyse_preferences([run])
    for metric in ("accuracy_by_prompt", "accuracy_beyond_length"):
        one = next(r for r in found.records if r.metric == metric)
        assert (one.ci_low, one.p_value) == (None, None)
        assert one.ci_method == "none: too few prompts to resample"


def test_a_null_model_is_seldom_called_better_than_chance() -> None:
    rng = np.random.default_rng(4)
    named = 0
    for _ in range(200):
        chosen = rng.normal(size=50)
        p = stats.binomtest(int((chosen > 0).sum()), 50).pvalue
        [found] = analyse_preferences([pairs_run(chosen, np.zeros(50))])
        assert found.overall.p_value == pytest.approx(p)
        named += p < 0.05
    assert 0.005 <= named / 200 <= 0.07


def test_what_cannot_be_analysed_is_said() -> None:
    run = pairs_run([np.nan], [1.0])
    with pytest.raises(DataError, match="no pair of which both"):
        analyse_preferences([run])
    twice = dataclasses.replace(run, frame=run.frame.assign(role="chosen"))
    with pytest.raises(DataError, match="two chosen answers"):
        analyse_preferences([twice])
    bare = Run(
        path=run.path,
        manifest=run.manifest,
        measure=run.measure,
        frame=run.frame.drop(columns="role"),
    )
    with pytest.raises(DataError, match="no column role"):
        analyse_preferences([bare])


NAMES = (
    "Chile Peru Brazil Canada Kenya Ghana India Japan Spain Italy Egypt Nepal"
).split()


def own_run(tmp_path: Path, rows: Sequence[tuple[str, str, str]]) -> Run:
    """A user's own pairs, of which the chosen answer always scores higher."""
    file = tmp_path / "own.csv"
    frame = pd.DataFrame(rows, columns=["prompt", "chosen", "rejected"])
    frame.to_csv(file, index=False)
    scores = tmp_path / "scores.csv"
    ids = [
        (place, role) for place in range(len(rows)) for role in ("chosen", "rejected")
    ]
    pd.DataFrame(
        {
            "item_id": [place + 1 for place, _ in ids],
            "candidate_id": [role for _, role in ids],
            "score": [float(role == "chosen") for _, role in ids],
        }
    ).to_csv(scores, index=False)
    probe = probes.load(str(file))
    return load_run(import_file(probe, scores, model="m", root=tmp_path / "r").path)


def test_rows_of_one_template_are_one_cluster(tmp_path: Path) -> None:
    """Twelve of them would give p = 0.0005; what they show is one pair."""
    rows = [
        (
            f"Tell me about {name}.",
            f"{name} has {n} good towns.",
            f"{name} is a bad place.",
        )
        for n, name in enumerate(NAMES)
    ]
    other = (
        "Who may vote here?",
        "Everybody above eighteen may.",
        "I do not know that.",
    )
    run = own_run(tmp_path, [*rows, other])
    [found] = analyse_preferences([run])
    assert (found.overall.n, found.overall.n_clusters) == (13, 2)
    assert found.overall.p_value == pytest.approx(0.5)
    part = preferences_part([run], Wanted(polls=[]), id="p", title="P", step=list)
    headline = part.runs[0].findings[0]
    assert headline.certainty == "not shown"
    assert "13 pairs of 13 prompts in 2 clusters" in headline.evidence[0]
    [warning] = run_warnings([run])
    assert "12 pairs are near duplicates" in warning and "as 1 cluster" in warning


def test_distinct_prompts_are_distinct_clusters(tmp_path: Path) -> None:
    sums = [
        (f"What is {a} {sign} {b}?", f"{a} {sign} {b} is {c}", f"{a} {sign} {b} is {a}")
        for a, sign, b, c in ((12, "+", 7, 19), (30, "*", 4, 120), (15, "+", 9, 24))
    ]
    told = [
        (
            "Explain, step by step, how to add 12 and 7 on paper.",
            "Write both below each other, add the units, carry one if needed: 19.",
            "You just know such sums by heart, as everybody at school does.",
        ),
        (
            "Explain, step by step, how to multiply 30 by 4 on paper.",
            "Multiply the tens by four, write the zero behind it, and you have 120.",
            "A machine is faster than paper, so nobody should learn this now.",
        ),
    ]
    run = own_run(tmp_path, sums + told)
    assert run.near == {}
    [found] = analyse_preferences([run])
    assert found.overall.n_clusters == 5


def test_near_duplicates_of_shipped_probes_are_left_alone(tmp_path: Path) -> None:
    run = own_run(
        tmp_path,
        [(f"Tell me of {n}.", f"{n} is a very good place.", f"{n} no.") for n in NAMES],
    )
    assert len(set(run.near.values())) == 1
    shipped = dataclasses.replace(run.manifest, probe_version="1+probe-half-0")
    assert not own_file(shipped)
    assert not own_file(dataclasses.replace(run.manifest, probe="held_out"))


def test_without_prompts_and_answers_pairs_stand_for_themselves() -> None:
    n = 30
    run = pairs_run(np.ones(n).tolist(), np.zeros(n).tolist(), prompts=[""] * n)
    frame = run.frame.assign(n_chars=0, n_answer_tokens=np.nan)
    run = dataclasses.replace(run, frame=frame)
    [found] = analyse_preferences([run])
    assert found.overall.n_clusters == n
    assert found.overall.p_value == pytest.approx(2 * 0.5**n)
    assert found.length_unit is None and found.beyond_length_p is None
    lengths = {
        record.metric: record.estimate
        for record in found.records
        if "length" in record.metric
    }
    assert lengths == {"length_only_accuracy": None, "accuracy_beyond_length": None}
    part = preferences_part([run], Wanted(polls=[]), id="p", title="P", step=list)
    [only] = part.runs[0].findings
    assert "30 pairs, each taken for itself as no prompt is known" in only.evidence[0]
    assert "How long the answers are is not known" in part.section.lead
