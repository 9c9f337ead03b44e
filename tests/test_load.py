"""Run folders into frames: every stored pair once, and no silent mixtures."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from analysis.load import NOT_YET, labels, load_run, load_runs, texts
from analysis.ranks import rank_run
from probe.store import Manifest, RunFolder, read_manifest
from probe.types import GENERATED, ItemRow, Measure, ScoreRow, StoreError, UsageError
from tests.country_runs import manifest

KEYS = ("USA", "CAN", "FRA")


def write(
    root: Path,
    given: Manifest,
    *,
    questions: int = 2,
    scored: int | None = None,
    measures: tuple[Measure, ...] = (Measure.REWARD,),
) -> Path:
    """A run whose question i scores country j as 10 i + j (+ 0.5 per measure)."""
    given = dataclasses.replace(
        given, item_columns=("sentiment",), candidate_columns=("iso3", "country")
    )
    pairs = [
        (f"q{i}", key, 10.0 * i + j)
        for i in range(questions)
        for j, key in enumerate(KEYS)
    ]
    with RunFolder.open(root, given) as folder:
        folder.write_items(
            [
                ItemRow(
                    item_id=item,
                    candidate_id=key,
                    prompt="Which?",
                    answer=key,
                    n_chars=3,
                    text_sha="0",
                    meta="{}",
                    groups={"sentiment": "positive", "iso3": key, "country": key},
                )
                for item, key, _ in pairs
            ]
        )
        rows = [
            ScoreRow(
                probe=given.probe,
                probe_version=given.probe_version,
                item_id=item,
                candidate_id=key,
                model=given.model,
                fingerprint=given.fingerprint,
                measure=measure,
                score=score + 0.5 * number,
                n_prompt_tokens=4,
                n_answer_tokens=2,
                truncated_tokens=0,
                straddles=False,
                input_sha="0",
            )
            for item, key, score in pairs[:scored]
            for number, measure in enumerate(measures)
        ]
        # Written in another order than the items stand in, as a scorer may.
        folder.append(rows[::-1])
        return folder.path


def test_one_row_per_pair_in_the_items_order(tmp_path: Path) -> None:
    run = load_run(write(tmp_path, manifest("m")))
    frame = run.frame
    assert frame[["item_id", "candidate_id"]].apply(tuple, axis=1).tolist() == [
        (item, key) for item in ("q0", "q1") for key in KEYS
    ]
    assert frame.score.tolist() == [0, 1, 2, 10, 11, 12]
    assert set(frame.measure) == {"reward"} and run.measure is Measure.REWARD
    assert {"sentiment", "iso3", "country", "n_chars", "n_prompt_tokens"} <= set(frame)
    assert frame.error.isna().all() and (frame.truncated_tokens == 0).all()
    assert run.name == "askreddit@1/m@01234567" and run.probe == "askreddit@1"
    assert rank_run(run, draws=9, seed=0).mean.estimate.tolist() == [2, 1, 3]


def test_pairs_not_scored_yet_are_there_and_say_so(tmp_path: Path) -> None:
    frame = load_run(write(tmp_path, manifest("m"), scored=4)).frame
    assert len(frame) == 6
    assert frame.score.isna().tolist() == [False] * 4 + [True] * 2
    assert frame.error.tolist()[4:] == [NOT_YET] * 2
    assert frame.n_chars.tolist() == [3] * 6


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        ((Measure.LOGPROB_SUM, Measure.LOGPROB_MEAN), Measure.LOGPROB_MEAN),
        ((Measure.LOGPROB_SUM, Measure.IMPLICIT_REWARD), Measure.IMPLICIT_REWARD),
        ((Measure.LOGPROB_MEAN, Measure.REWARD), Measure.REWARD),
    ],
)
def test_primary_measure(
    tmp_path: Path, present: tuple[Measure, ...], chosen: Measure
) -> None:
    path = write(tmp_path, manifest("m"), measures=present)
    assert load_run(path).measure is chosen
    named = load_run(path, present[0])
    assert named.measure is present[0]
    assert named.frame.score.tolist() == [0, 1, 2, 10, 11, 12]


def test_a_run_without_the_measure_or_scores_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, manifest("m"), measures=(Measure.LOGPROB_SUM,))
    with pytest.raises(StoreError, match=r"no measure reward or .* has: logprob_sum"):
        load_run(path)
    with pytest.raises(StoreError, match="no measure reward"):
        load_run(path, Measure.REWARD)
    with pytest.raises(StoreError, match="no scores yet"):
        load_run(write(tmp_path, manifest("empty"), scored=0))


def test_a_score_without_an_item_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, manifest("m"), questions=2)
    smaller = write(tmp_path / "other", manifest("m"), questions=1)
    (smaller / "items.parquet").replace(path / "items.parquet")
    with pytest.raises(StoreError, match=r"items\.parquet is damaged"):
        load_run(path)
    # As a run of before sha256s were kept.
    (path / "sha256sums").unlink()
    with pytest.raises(StoreError, match=r"3 pairs .* first q1 /"):
        load_run(path)


def test_nan_scores_stay_nan(tmp_path: Path) -> None:
    path = write(tmp_path, manifest("m"), scored=3)
    given = load_run(path).manifest
    with RunFolder.open(tmp_path, given) as folder:
        folder.append(
            [
                ScoreRow(
                    probe="askreddit",
                    probe_version="1",
                    item_id="q1",
                    candidate_id="USA",
                    model="m",
                    fingerprint=given.fingerprint,
                    measure=Measure.REWARD,
                    score=math.nan,
                    n_prompt_tokens=None,
                    n_answer_tokens=None,
                    truncated_tokens=None,
                    straddles=None,
                    input_sha=None,
                    error="the model returned NaN",
                )
            ]
        )
    row = load_run(path).frame.iloc[3]
    assert np.isnan(row.score) and row.error == "the model returned NaN"


def with_texts(path: Path, found: dict[str, str]) -> None:
    """Adds generations as an importer stores them: without token counts."""
    given = read_manifest(path)
    with RunFolder.open(path.parents[1], given) as folder:
        folder.write_items(
            [
                ItemRow(
                    item_id=item,
                    candidate_id=GENERATED,
                    prompt="Which?",
                    answer="",
                    n_chars=0,
                    text_sha="0",
                    meta="{}",
                    groups={"sentiment": "positive"},
                )
                for item in ("q1", "q0")
            ]
        )
        folder.append(
            [
                ScoreRow(
                    probe=given.probe,
                    probe_version=given.probe_version,
                    item_id=item,
                    candidate_id=GENERATED,
                    model=given.model,
                    fingerprint=given.fingerprint,
                    measure=Measure.TEXT,
                    score=math.nan,
                    n_prompt_tokens=None,
                    n_answer_tokens=None,
                    truncated_tokens=None,
                    straddles=None,
                    input_sha=None,
                    text=text,
                )
                for item, text in found.items()
            ]
        )


def test_generations_are_no_candidates(tmp_path: Path) -> None:
    path = write(tmp_path, manifest("m"))
    before = load_run(path)
    assert texts(before).empty and "text" in texts(before)
    with_texts(path, {"q1": "Fiji", "q0": ""})
    after = load_run(path)
    assert len(after.frame) == 6 and after.frame.error.isna().all()
    assert after.frame.score.tolist() == before.frame.score.tolist()
    found = texts(after)
    # In the order of the items file, whatever order they were written in.
    assert found.index.tolist() == ["q1", "q0"]
    assert found.text.tolist() == ["Fiji", ""]
    assert found.n_answer_tokens.isna().all() and found.error.isna().all()
    with pytest.raises(StoreError, match="no measure text"):
        load_run(write(tmp_path, manifest("other")), Measure.TEXT)


def test_generations_of_no_item_are_refused_and_missing_ones_are_absent(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, manifest("m"))
    with_texts(path, {"q1": "Fiji"})
    assert texts(load_run(path)).index.tolist() == ["q1"]
    with_texts(path, {"q7": "Oz"})
    with pytest.raises(StoreError, match=r"generations for items .* first q7"):
        texts(load_run(path))


def test_generations_alone_are_not_scores(tmp_path: Path) -> None:
    """A probe whose items have no candidates leaves nothing to analyse."""
    path = write(tmp_path, manifest("m"), scored=0)
    with_texts(path, {"q0": "Fiji"})
    for measure in (None, Measure.TEXT):
        with pytest.raises(StoreError, match="holds generations and no scores"):
            load_run(path, measure)


def test_versions_do_not_mix_unless_told(tmp_path: Path) -> None:
    a = write(tmp_path, manifest("a"))
    b = write(tmp_path, manifest("b", probe_version="2"))
    with pytest.raises(StoreError, match=r"askreddit@1 and .* is askreddit@2"):
        load_runs([a, b])
    assert len(load_runs([a, b], mixed=True)) == 2


def test_fingerprints_of_a_model_do_not_mix_unless_told(tmp_path: Path) -> None:
    a = write(tmp_path, manifest("m"))
    b = write(tmp_path, manifest("m", fingerprint="f" * 64))
    with pytest.raises(StoreError, match="both called m"):
        load_runs([a, b])
    runs = load_runs([a, b], mixed=True)
    assert labels(runs) == ("m@01234567 (askreddit@1)", "m@ffffffff (askreddit@1)")


@pytest.mark.parametrize(
    ("config", "resolved", "said"),
    [
        ({"dtype": "bfloat16"}, {"commit": "a"}, "they differ in dtype)"),
        ({"dtype": "float32"}, {"commit": "b"}, "they differ in commit)"),
        ({"dtype": "float32"}, {"commit": "a"}, "version of the scoring code alone)"),
    ],
)
def test_what_two_runs_of_one_name_differ_in_is_said(
    tmp_path: Path, config: dict[str, str], resolved: dict[str, str], said: str
) -> None:
    first: dict[str, object] = {
        "kind": "scored",
        "config": {"dtype": "float32"},
        "resolved": {"commit": "a"},
    }
    a = write(tmp_path, manifest("m", **first))
    other = first | {"config": config, "resolved": resolved, "fingerprint": "f" * 64}
    b = write(tmp_path, manifest("m", **other))
    with pytest.raises(StoreError) as error:
        load_runs([a, b])
    assert said in str(error.value)


def test_fingerprints_across_probes(tmp_path: Path) -> None:
    """A scored model's is the same in all probes, an imported file's is its own."""
    other: dict[str, object] = {"probe": "where_from", "fingerprint": "f" * 64}
    a = write(tmp_path, manifest("m"))
    b = write(tmp_path, manifest("m", **other))
    runs = load_runs([a, b])
    assert labels(runs) == ("m (askreddit)", "m (where_from)")
    scored = write(tmp_path / "s", manifest("m", kind="scored"))
    rescored = write(tmp_path / "s", manifest("m", kind="scored", **other))
    with pytest.raises(StoreError, match="both called m"):
        load_runs([scored, rescored])
    assert labels(load_runs([scored])) == ("m",)


def test_no_run_or_one_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run"):
        load_runs([])
    path = write(tmp_path, manifest("m"))
    with pytest.raises(UsageError, match="the same run"):
        load_runs([path, path])
