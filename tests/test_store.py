"""Run folders: whole files, exact resume, and errors that lose nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from probe import store
from probe.listing import ls_runs
from probe.store import (
    UNVERIFIED,
    Counts,
    Manifest,
    RunFolder,
    read_items,
    read_manifest,
    read_run,
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


def whole(root: Path, parts: int = 3) -> Path:
    """A run of as many parts of two rows each, one of the rows unscored."""
    with RunFolder.open(root, MANIFEST) as run:
        run.write_items([item(i) for i in range(2 * parts)])
        for i in range(0, 2 * parts, 2):
            run.append([score(i, i / 3), score(i + 1, math.nan if i else 1.0)])
        run.save(status="complete")
    return run.path


def again(root: Path) -> None:
    """The command once more: writes the items, and scores what is not there."""
    with RunFolder.open(root, MANIFEST) as run:
        run.write_items([item(i) for i in range(6)])
        done = run.done()
        scores = (0.0, 1.0, 2 / 3, math.nan, 4 / 3, math.nan)
        for i in range(0, 6, 2):
            rows = [score(j, scores[j]) for j in (i, i + 1)]
            run.append(
                [row for row in rows if (row.item_id, "USA", "reward") not in done]
            )
        run.save(status="complete")


def said(path: Path) -> list[tuple[object, ...]]:
    """Everything that a run says, in an order of its own."""
    manifest, items, scores = read_run(path)
    rows = [tuple(map(str, row.values())) for row in scores.to_pylist()]
    return [
        (manifest.status, manifest.counts, manifest.fingerprint, manifest.title),
        *sorted(tuple(map(str, row.values())) for row in items.to_pylist()),
        *sorted(rows),
    ]


def test_no_flipped_bit_is_silent_and_none_costs_another_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """60 flips over parts, items, manifest and list; the command again mends each."""
    draw = random.Random(0)
    right = said(whole(tmp_path / "right"))
    seen = 0
    for flip in range(60):
        path = whole(tmp_path / str(flip))
        files = [path / "items.parquet", path / "manifest.json", path / "sha256sums"]
        file = draw.choice([*files, *(path / "parts").iterdir()])
        data = bytearray(file.read_bytes())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
        caplog.clear()
        try:
            assert said(path) == right, f"{flip}: {file.name} changed silently"
        except StoreError as error:
            seen += 1
            assert str(path) in error.found
            [(_, status, why, _)] = ls_runs(tmp_path / str(flip))
            assert status == "damaged" and str(path) in why
        again(tmp_path / str(flip))
        assert said(path) == right
        aside = [one.name for one in path.rglob("*.damaged")]
        assert len(aside) <= 1 and all(name in caplog.text for name in aside)
        assert len(list((path / "parts").glob("*.parquet"))) == 3
    # The rest hit white space or the list's sha256 of nothing that is there.
    assert seen > 50


def test_a_missing_part_makes_a_run_unfinished(tmp_path: Path) -> None:
    path = whole(tmp_path)
    right = said(path)
    assert read_manifest(path).status == "complete"
    (path / "parts" / "part-000001.parquet").unlink()
    found = read_manifest(path)
    assert (found.status, found.counts.done, found.counts.expected) == (
        "interrupted",
        4,
        6,
    )
    assert ls_runs(tmp_path)[0][1:3] == ("interrupted", "4/6 pairs")
    again(tmp_path)
    assert said(path) == right
    (path / "items.parquet").unlink()
    with pytest.raises(StoreError, match=r"items\.parquet does not exist"):
        read_manifest(path)
    again(tmp_path)
    assert said(path) == right


@pytest.mark.parametrize("digests", [True, False])
def test_rows_of_another_run_are_not_taken_for_ones_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, digests: bool
) -> None:
    path = whole(tmp_path)
    right = said(path)
    other = dataclasses.replace(MANIFEST, fingerprint="a" * 8 + "b" * 56)
    with RunFolder.open(tmp_path / "other", other) as run:
        run.append(
            [
                dataclasses.replace(score(i, 9.0), fingerprint=other.fingerprint)
                for i in (2, 3)
            ]
        )
    foreign = run.path / "parts" / "part-000000.parquet"
    foreign.replace(path / "parts" / "part-000001.parquet")
    if not digests:
        (path / "sha256sums").unlink()
    with pytest.raises(StoreError, match=r"part-000001\.parquet (is dam|holds 2 rows)"):
        read_scores(path)
    again(tmp_path)
    assert "2 of 6 pairs are scored anew" in caplog.text
    mended = said(path)
    assert mended == right


def test_a_run_of_before_digests_is_read_marked_and_gets_them(tmp_path: Path) -> None:
    path = whole(tmp_path)
    right = said(path)
    data = json.loads((path / "manifest.json").read_text())
    del data["sha256"]
    (path / "manifest.json").write_text(json.dumps(data))
    (path / "sha256sums").unlink()
    assert said(path) == right
    assert read_manifest(path).notes == (UNVERIFIED,)
    assert ls_runs(tmp_path)[0][3] == "2 unscored, no sha256s"
    again(tmp_path)
    # From here on damage is seen; what was before is not forgotten.
    assert said(path) == right and read_manifest(path).notes == (UNVERIFIED,)
    part = path / "parts" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match=r"part-000000\.parquet is damaged"):
        read_scores(path)


def test_a_kill_between_any_two_steps_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = said(whole(tmp_path / "right"))
    real = Path.rename
    for kill in range(25):
        root = tmp_path / str(kill)
        calls = iter(range(kill))

        def rename(path: Path, to: Path, calls: Iterator[int] = calls) -> Path:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return real(path, to)

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(Path, "rename", rename)
            # A larger selection of items, as a second call may ask for.
            with RunFolder.open(root, MANIFEST) as run:
                run.write_items([item(0)])
                run.append([score(0, 0.0)])
            again(root)
            with RunFolder.open(root, MANIFEST) as run:
                run.compact()
        again(root)
        path = root / MANIFEST.folder
        assert said(path) == right
        assert not list(path.rglob("*.damaged")), f"killed at {kill}"


DEEP = "[" * 100_000
BAD_MANIFESTS = [
    ("{", "is not JSON"),
    ("\xff", "is not JSON"),
    (DEEP, "is not JSON"),
    ('{"wall_seconds": ' + "9" * 5000 + "}", "is not JSON"),
    ("[]", "is no JSON object"),
    ("null", "is no JSON object"),
    ('{"schema_version": 99}', "schema_version = 99"),
    ('{"schema_version": 1, "probes": 1}', "unknown key 'probes'"),
    ('{"schema_version": 1}', "is damaged: probe"),
    ({"counts": [1]}, "is damaged: counts"),
    ({"counts": {"done": "many"}}, r"is damaged: counts\.done"),
    ({"measures": ["taste"]}, "is damaged: measures: 'taste'"),
    ({"measures": "reward"}, "is damaged: measures"),
    ({"status": "perfect"}, "is damaged: status"),
    ({"notes": [["nested"]]}, r"is damaged: notes\.0"),
    ({"wall_seconds": "long"}, "is damaged: wall_seconds"),
]


@pytest.mark.parametrize(("content", "message"), BAD_MANIFESTS)
def test_bad_manifest(
    tmp_path: Path, content: str | dict[str, object], message: str
) -> None:
    """Whoever wrote it, it is said, listed beside other runs, and written anew."""
    path = whole(tmp_path)
    right = said(path)
    if isinstance(content, dict):
        data = json.loads((path / "manifest.json").read_text())
        del data["sha256"]
        content = json.dumps(data | content)
    (path / "manifest.json").write_text(content, encoding="latin-1")
    whole(tmp_path / "toy@1" / "other")
    with pytest.raises(StoreError, match=message):
        read_manifest(path)
    [row] = ls_runs(tmp_path)
    assert row[1] == "damaged"
    again(tmp_path)
    assert said(path) == right


def test_a_manifest_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = whole(tmp_path)
    data = json.loads((path / "manifest.json").read_text())
    del data["sha256"]
    data["later"] = 1
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    text = json.dumps({**data, "sha256": digest})
    (path / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match="unknown key 'later'"):
        RunFolder.open(tmp_path, MANIFEST)
    assert (path / "manifest.json").read_text() == text


@pytest.mark.parametrize("name", ["manifest.json", "items.parquet", "sha256sums"])
def test_a_folder_where_a_file_should_be(tmp_path: Path, name: str) -> None:
    path = whole(tmp_path)
    (path / name).unlink()
    (path / name).mkdir()
    with pytest.raises(StoreError, match=name):
        read_manifest(path)
    assert ls_runs(tmp_path)[0][1] == "damaged"


def test_a_name_too_long_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="File name too long") as caught:
        RunFolder.open(tmp_path, dataclasses.replace(MANIFEST, model="m" * 250))
    assert "shorter name" in caught.value.action
    assert store.find_runs(tmp_path / ("r" * 300)) == []


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
