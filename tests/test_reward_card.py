"""A reward model on held-out pairs, beside length and its base."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from analysis import reward_card
from analysis.load import Run
from analysis.reward_card import ALIKE, ALL, LENGTH
from probe.types import DataError
from tests.test_preferences_analysis import pairs_run

N = 400


def lengths(seed: int, tilt: dict[str, float]) -> pd.DataFrame:
    """Pairs of two sources, in each of which longer answers are preferred or not."""
    rng = np.random.default_rng(seed)
    source = rng.choice(sorted(tilt), N)
    first, second = rng.integers(20, 200, (2, N))
    tilted = np.array([tilt[one] for one in source]) * (first - second) / 100
    won = rng.random(N) < 1 / (1 + np.exp(-tilted))
    return pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in range(N)],
            "source": source,
            "chosen": np.where(won, first, second),
            "rejected": np.where(won, second, first),
        }
    )


def model(
    held: pd.DataFrame, strength: float, *, name: str = "rm", per_key: int = 1
) -> Run:
    """A reward model that knows the chosen answer so well."""
    rng = np.random.default_rng(7)
    run = pairs_run(
        list(rng.normal(strength, 1, N)),
        list(rng.normal(0, 1, N)),
        lengths=list(zip(held["chosen"], held["rejected"], strict=True)),
        model=name,
    )
    frame = run.frame.assign(
        source=np.repeat(held["source"].to_numpy(), 2),
        key=np.repeat([f"k{i // per_key}" for i in range(N)], 2),
    )
    changed = dataclasses.replace(
        run.manifest, item_columns=("source", "key"), model_kind="value_head"
    )
    return dataclasses.replace(run, frame=frame, manifest=changed)


TILT = {"long": 1.5, "short": -1.5}


def test_length_is_fitted_by_source_on_what_was_trained_on() -> None:
    train, held = lengths(0, TILT), lengths(1, TILT)
    card = reward_card.analyse_card([model(held, 1.0)], train)
    for source, slope in card.slopes.items():
        rows = train[train["source"] == source]
        difference = (rows["chosen"] - rows["rejected"]).to_numpy(float) / 100
        flipped = np.concatenate([difference, -difference])
        label = np.repeat([1.0, 0.0], len(rows))
        fitted = sm.GLM(label, flipped, family=sm.families.Binomial()).fit()
        assert slope == pytest.approx(fitted.params[0], abs=1e-6)
    # Of one slope for both sources, length would know nothing.
    by_source = np.where(held["source"] == "long", 1, -1)
    right = np.sign((held["chosen"] - held["rejected"]) * by_source)
    expected = float(((right + 1) / 2).mean())
    assert card.of(ALL, LENGTH).accuracy.estimate == pytest.approx(expected)
    assert expected > 0.6


def test_what_a_model_knows_beyond_length() -> None:
    train, held = lengths(0, TILT), lengths(1, TILT)
    strong = reward_card.analyse_card([model(held, 2.0)], train).of(ALL, "rm")
    assert strong.beyond_length.low > 0
    weak = reward_card.analyse_card([model(held, 0.0)], train).of(ALL, "rm")
    assert weak.beyond_length.high < 0
    assert weak.accuracy.low < 0.5 < weak.accuracy.high
    assert strong.beyond_length.estimate == pytest.approx(
        strong.accuracy.estimate
        - reward_card.analyse_card([model(held, 2.0)], train)
        .of(ALL, LENGTH)
        .accuracy.estimate
    )


def test_pairs_of_one_key_are_one_cluster() -> None:
    train, held = lengths(0, TILT), lengths(1, TILT)
    alone = reward_card.analyse_card([model(held, 0.7)], train).of(ALL, "rm")
    together = reward_card.analyse_card([model(held, 0.7, per_key=8)], train).of(
        ALL, "rm"
    )
    assert (alone.n, alone.n_clusters) == (N, N)
    assert (together.n, together.n_clusters) == (N, N // 8)


def test_alike_lengths_are_a_group_of_their_own() -> None:
    train, held = lengths(0, TILT), lengths(1, TILT)
    row = reward_card.analyse_card([model(held, 1.0)], train).of(ALIKE, "rm")
    both = held[["chosen", "rejected"]].to_numpy(float)
    expected = np.abs(both[:, 0] - both[:, 1]) <= 0.1 * both.max(axis=1)
    assert row.n == int(expected.sum()) > 10


def test_only_pairs_that_all_have_scored_are_compared() -> None:
    train, held = lengths(0, TILT), lengths(1, TILT)
    other = model(held, 1.0, name="other")
    frame = other.frame.copy()
    frame.loc[frame.index[:20], "score"] = np.nan
    other = dataclasses.replace(other, frame=frame)
    card = reward_card.analyse_card([model(held, 1.0), other], train)
    assert {row.n for row in card.rows if row.group == ALL} == {N - 10}


def test_a_source_without_slope_or_of_one_sign() -> None:
    train = pd.DataFrame({"source": ["a", "a"], "chosen": [9, 8], "rejected": [3, 4]})
    assert reward_card.fit_length(train) == {"a": np.inf}
    held = lengths(1, TILT)
    card = reward_card.analyse_card([model(held, 1.0)], train)
    assert card.of(ALL, LENGTH).accuracy.estimate == 0.5, "it says nothing of these"


def test_the_files_of_a_card(tmp_path: Path) -> None:
    train, held = lengths(0, TILT), lengths(1, TILT)
    card = reward_card.analyse_card([model(held, 1.0)], train)
    written = reward_card.write_card(card, tmp_path / "card")
    text = written[0].read_text()
    assert "| all | 400 | rm |" in text and "log-odds" in text
    records = json.loads(written[1].read_text())
    assert {row["group"] for row in records} == {ALL, ALIKE, "long", "short"}
    assert all(row["cluster"] == "key" for row in records)


def test_messages(tmp_path: Path) -> None:
    train, held = lengths(0, TILT), lengths(1, TILT)
    bare = model(held, 1.0)
    bare = dataclasses.replace(
        bare, manifest=dataclasses.replace(bare.manifest, item_columns=("source",))
    )
    with pytest.raises(DataError, match="has no column key"):
        reward_card.analyse_card([bare], train)
    with pytest.raises(DataError, match="cannot be read"):
        reward_card.read_lengths(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("id,source\n1,a\n")
    with pytest.raises(DataError, match="chosen, rejected"):
        reward_card.read_lengths(tmp_path / "other.csv")
