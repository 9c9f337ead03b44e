"""Summary records: a faithful JSON form, and Holm's correction by family."""

from __future__ import annotations

import json

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from analysis.records import Record, dumps, loads, with_holm
from probe.types import DataError

FIELDS = (
    "schema_version analysis probe model run metric unit group reference estimate "
    "ci_low ci_high ci_level ci_method cluster p_value p_holm family n n_clusters"
).split()


def record(group: str = "gallup_2023", **changes: object) -> Record:
    fields: dict[str, object] = {
        "analysis": "poll_correlation",
        "probe": "askreddit@1",
        "model": "m",
        "run": "askreddit@1/m@0",
        "metric": "spearman_order",
        "unit": "rho",
        "group": group,
        "reference": None,
        "estimate": 0.5,
        "ci_low": 0.1,
        "ci_high": 0.9,
        "ci_level": 0.95,
        "ci_method": "bootstrap",
        "cluster": "question",
        "p_value": None,
        "p_holm": None,
        "family": None,
        "n": 21,
        "n_clusters": 554,
    }
    return Record(**(fields | changes))  # type: ignore[arg-type]


def test_json_has_the_designed_keys_in_order_and_reads_back() -> None:
    one = record(group="São Tomé", p_value=0.25, family="f")
    text = dumps([one, record()])
    assert list(json.loads(text)[0]) == FIELDS
    assert "São Tomé" in text
    assert loads(text) == (one, record())
    assert json.loads(dumps([])) == []


def test_not_a_number_becomes_null() -> None:
    values = json.loads(dumps([record(estimate=float("nan"), ci_high=float("inf"))]))[0]
    assert values["estimate"] is None and values["ci_high"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [({"extra": 1}, "extra"), ({"schema_version": 99}, "schema_version 99")],
)
def test_another_schema_is_refused(change: dict[str, object], said: str) -> None:
    values = json.loads(dumps([record()]))[0] | change
    with pytest.raises(DataError, match=said):
        loads(json.dumps([values]))


def test_a_missing_key_is_refused() -> None:
    values = json.loads(dumps([record()]))[0]
    del values["family"]
    with pytest.raises(DataError, match="family"):
        loads(json.dumps([values]))


def test_holm_by_hand_within_families_only() -> None:
    # Holm: sorted .01 .03 .04 times 3 2 1 = .03 .06 .04, then running maximum.
    ps = {"a": 0.01, "b": 0.04, "c": 0.03}
    records = [record(group, p_value=p, family="f") for group, p in ps.items()]
    records.append(record("d", p_value=0.02, family="other"))
    records.append(record("e", p_value=0.02))
    records.append(record("f", family="f"))
    found = [one.p_holm for one in with_holm(records)]
    assert found[:4] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert found[4:] == [None, None]


def test_holm_counts_one_test_with_two_intervals_once() -> None:
    twice = [
        record("a", p_value=0.01, family="f", ci_method=method)
        for method in ("questions", "countries and questions")
    ]
    found = with_holm([*twice, record("b", p_value=0.03, family="f")])
    assert [one.p_holm for one in found] == pytest.approx([0.02, 0.02, 0.03])


def test_holm_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    ps = rng.random(60) ** 3
    ps[1] = ps[0]
    records = [record(str(i), p_value=float(p), family="f") for i, p in enumerate(ps)]
    found = [one.p_holm for one in with_holm(records)]
    assert found == pytest.approx(multipletests(ps, method="holm")[1], abs=0)
