"""Run folders: whole files, exact resume, and errors that lose nothing."""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from probe import store
from probe.listing import ls_runs
from probe.store import (
    Counts,
    Manifest,
    RunFolder,
    read_items,
    read_manifest,
    read_scores,
)
from probe.types import ItemRow, Measure, ScoreRow, StoreError

MANIFEST = Manifest(
    probe="toy",
    probe_version="1",
    title="Toy",
    axis="countries",
    model="m",
    fingerprint="a" * 64,
    kind="scored",
    model_kind="policy",
    item_columns=("sentiment",),
    candidate_columns=("iso3", "weight"),
    measures=("reward",),
)


def item(i: int, text: str = "t") -> ItemRow:
    return ItemRow(
        item_id=f"q{i}",
        candidate_id="USA",
        prompt="p",
        answer=text,
        n_chars=len(text),
        text_sha=f"sha-{text}",
        meta="{}",
        groups={"sentiment": "positive", "iso3": "USA", "weight": i / 2},
    )


def score(i: int, value: float = 1.0) -> ScoreRow:
    return ScoreRow(
        probe="toy",
        probe_version="1",
        item_id=f"q{i}",
        candidate_id="USA",
        model="m",
        fingerprint="a" * 64,
        measure=Measure.REWARD,
        score=value,
        n_prompt_tokens=3,
        n_answer_tokens=2,
        truncated_tokens=0,
        straddles=False,
        input_sha="0" * 16,
    )


def test_round_trip(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, MANIFEST) as run:
        run.write_items([item(0), item(1)])
        run.append([score(0, 0.1), score(1, math.nan)])
    path = tmp_path / "toy@1" / "m@aaaaaaaa"
    # Nobody closed the run: what it holds is counted, and it holds everything.
    counts = Counts(expected=2, done=2, unscored=1, truncated=0)
    known = dataclasses.replace(MANIFEST, counts=counts, status="complete")
    assert read_manifest(path) == known
    table = read_scores(path)
    assert table["score"].to_pylist()[0] == 0.1
    assert math.isnan(table["score"].to_pylist()[1])
    assert table["measure"].to_pylist() == ["reward", "reward"]
    items = read_items(path)
    assert items["weight"].to_pylist() == [0.0, 0.5]
    assert items["iso3"].to_pylist() == ["USA", "USA"]
    assert store.find_runs(tmp_path) == [path]
    assert not list(path.rglob(".tmp-*"))


def test_columns_follow_score_row() -> None:
    names = [field.name for field in dataclasses.fields(ScoreRow)]
    assert store.SCORE_SCHEMA.names == names


def test_continue_merges_items_and_knows_what_is_done(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, MANIFEST) as run:
        assert run.write_items([item(1)]) == 1
        run.append([score(1)])
    with RunFolder.open(tmp_path, MANIFEST) as run:
        assert run.write_items([item(0), item(1), item(2)]) == 3
        assert run.done() == {("q1", "USA", "reward")}
        # A smaller selection forgets nothing.
        assert run.write_items([item(0)]) == 3


def test_column_without_values_takes_the_type_of_later_ones(tmp_path: Path) -> None:
    def with_weight(i: int, weight: float | None) -> ItemRow:
        one = item(i)
        return dataclasses.replace(one, groups={**one.groups, "weight": weight})

    for root, order in (("a", (None, 1.5)), ("b", (1.5, None))):
        for i, weight in enumerate(order):
            with RunFolder.open(tmp_path / root, MANIFEST) as run:
                run.write_items([with_weight(i, weight)])
        found = read_items(run.path).sort_by("item_id")["weight"].to_pylist()
        assert found == list(order)


def test_changed_data_is_refused(tmp_path: Path) -> None:
    before = dataclasses.replace(MANIFEST, sources={"askreddit": "a" * 64})
    RunFolder.open(tmp_path, before).close()
    after = dataclasses.replace(MANIFEST, sources={"askreddit": "b" * 64})
    with pytest.raises(StoreError, match="begun with askreddit of sha256 aaaaaaaaaaaa"):
        RunFolder.open(tmp_path, after)
    RunFolder.open(tmp_path, before).close()


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        # Items asked for, limit and what is left out, of one call and of the next.
        ((4, 4, {"blank": 1}), (9, 9, {"blank": 2}), (9, {"blank": 2})),
        ((9, 9, {"blank": 2}), (4, 4, {"blank": 2}), (9, {"blank": 2})),
        ((9, None, {}), (4, 4, {}), (None, {})),
        ((4, 4, {}), (9, None, {}), (None, {})),
        ((4, 4, {}), (4, None, {}), (None, {})),
    ],
)
def test_limit_and_dropped_of_a_run_are_those_of_the_larger_call(
    tmp_path: Path,
    first: tuple[int, int | None, dict[str, int]],
    then: tuple[int, int | None, dict[str, int]],
    kept: tuple[int | None, dict[str, int]],
) -> None:
    for size, limit, dropped in (first, then):
        asked = dataclasses.replace(MANIFEST, limit=limit, dropped=dropped)
        with RunFolder.open(tmp_path, asked) as run:
            run.write_items([item(i) for i in range(size)])
    found = read_manifest(tmp_path / MANIFEST.folder)
    assert (found.limit, found.dropped) == kept


def test_another_language_keeps_what_the_first_was(tmp_path: Path) -> None:
    """A sample of one language and all of another is a sample."""

    def call(places: range, limit: int | None, dropped: dict[str, int]) -> None:
        asked = dataclasses.replace(MANIFEST, limit=limit, dropped=dropped)
        with RunFolder.open(tmp_path, asked) as run:
            run.write_items([item(i) for i in places])

    call(range(4), 4, {"blank": 2})
    call(range(10, 16), None, {"blank": 1, "twice": 1})
    # The same once more adds nothing.
    call(range(10, 16), None, {"blank": 1, "twice": 1})
    found = read_manifest(tmp_path / MANIFEST.folder)
    assert (found.limit, found.dropped) == (4, {"blank": 3, "twice": 1})
    call(range(12, 18), None, {"blank": 1})
    found = read_manifest(tmp_path / MANIFEST.folder)
    assert (found.limit, found.dropped) == (4, {"blank": 3, "twice": 1})


def test_changed_text_is_refused(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, MANIFEST) as run:
        run.write_items([item(0)])
        with pytest.raises(
            StoreError, match=r"1 items have other texts or groups now.*q0"
        ):
            run.write_items([item(0, "other")])


def test_compaction_survives_a_kill_at_any_step(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, MANIFEST) as run:
        for i in range(4):
            run.append([score(i)])
        parts = sorted((run.path / "parts").glob("part-*"))
        saved = [(path, path.read_bytes()) for path in parts]
        run.compact()
        assert [p.name for p in (run.path / "parts").iterdir()] == [
            "merged-000003.parquet"
        ]
        # Killed before the old parts were deleted: the merged file stands for them.
        for path, content in saved:
            path.write_bytes(content)
        assert read_scores(run.path).num_rows == 4
        run.append([score(4)])
        assert read_scores(run.path).num_rows == 5
        run.compact()
        assert read_scores(run.path)["item_id"].to_pylist() == [
            "q0",
            "q1",
            "q2",
            "q3",
            "q4",
        ]


def test_truncated_part_names_the_file_and_keeps_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunFolder.open(tmp_path, MANIFEST) as run:
        run.append([score(0)])
        run.append([score(1)])
        part = run.path / "parts" / "part-000001.parquet"
        part.write_bytes(part.read_bytes()[:-40])
        with pytest.raises(StoreError, match=r"part-000001\.parquet is damaged") as e:
            read_scores(run.path)
        assert "command again" in e.value.action
        run.write_items([item(0), item(1)])
        assert run.done() == {("q0", "USA", "reward")}
        assert "1 of 2 pairs are scored anew" in caplog.text
        assert part.with_name(f"{part.name}.damaged").is_file()
        # What is scored anew may have its name.
        run.append([score(1, 2.0)])
        assert read_scores(run.path)["score"].to_pylist() == [1.0, 2.0]


def test_row_standing_twice_is_an_error(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, MANIFEST) as run:
        run.append([score(0)])
        run.append([score(0)])
        with pytest.raises(StoreError, match="1 rows twice"):
            read_scores(run.path)


def test_other_fingerprint_is_refused(tmp_path: Path) -> None:
    RunFolder.open(tmp_path, MANIFEST).close()
    other = dataclasses.replace(MANIFEST, fingerprint="a" * 8 + "b" * 56)
    with pytest.raises(StoreError, match="fingerprint aaaaaaaaaaaaaaaa"):
        RunFolder.open(tmp_path, other)


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with (
        RunFolder.open(tmp_path, MANIFEST),
        pytest.raises(StoreError, match="another process"),
    ):
        RunFolder.open(tmp_path, MANIFEST)
    RunFolder.open(tmp_path, MANIFEST).close()


def test_full_disk_keeps_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunFolder.open(tmp_path, MANIFEST) as run:
        run.append([score(0)])

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(pq, "write_table", full)
            with pytest.raises(StoreError, match="No space left") as caught:
                run.append([score(1)])
        assert "every row stored so far" in caught.value.action
        assert not list(run.path.rglob(".tmp-*"))
        run.append([score(1)])
        assert read_scores(run.path).num_rows == 2


def test_file_size_limit_hits_the_real_writer(tmp_path: Path) -> None:
    """The operating system's own refusal, not a stand-in for it."""
    code = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.test_store import MANIFEST, score
from probe.store import RunFolder
from probe.types import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with RunFolder.open(Path(sys.argv[1]), MANIFEST) as run:
    run.append([score(0)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    try:
        run.append([score(i) for i in range(1, 5000)])
    except StoreError as error:
        print(error)
"""
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), root],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "could not be written (File too large)" in done.stdout
    assert read_scores(tmp_path / MANIFEST.folder).num_rows == 1


def test_killed_writer_leaves_whole_files(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.test_store import MANIFEST, score
from probe.store import RunFolder
with RunFolder.open(Path(sys.argv[1]), MANIFEST) as run:
    for i in range(10**6):
        run.append([score(i)])
"""
    root = str(Path(__file__).parents[1])
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), root])
    parts = tmp_path / MANIFEST.folder / "parts"
    deadline = time.monotonic() + 60
    while len(list(parts.glob("part-*"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with RunFolder.open(tmp_path, MANIFEST) as run:
        stored = sorted(int(item_id[1:]) for item_id, _, _ in run.done())
        assert len(stored) >= 20
        assert stored == list(range(len(stored)))
        assert not list(run.path.rglob(".tmp-*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"schema_version": 99}', "schema_version = 99"),
        ('{"schema_version": 1, "probes": 1}', "unknown key 'probes'"),
    ],
)
def test_bad_manifest(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(StoreError, match=message):
        read_manifest(tmp_path)


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no manifest\.json"):
        read_manifest(tmp_path)


def test_group_column_may_not_shadow_a_stored_one(tmp_path: Path) -> None:
    manifest = dataclasses.replace(MANIFEST, item_columns=("score",))
    with (
        RunFolder.open(tmp_path, manifest) as run,
        pytest.raises(StoreError, match="group column 'score'"),
    ):
        run.write_items([item(0)])


def test_a_damaged_run_is_listed_beside_the_others(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, MANIFEST) as run:
        run.write_items([item(0)])
    other = tmp_path / "toy@1" / "other@bbbbbbbb"
    other.mkdir()
    (other / "manifest.json").write_text("{")
    whole, damaged = ls_runs(tmp_path)
    assert whole[1:3] == ("started", "0/1 pairs")
    assert damaged[1] == "damaged" and "is not JSON" in damaged[2]
