"""Scores of the same rows in several dialects, recorded elsewhere, become one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.load import load_run
from data_builders import askreddit, dialect_pairs, where_from
from probe.cli import main
from probe.recorded import import_file, import_groups
from probe.recorded.pairs import ONE_TEXT
from probe.store import find_runs, read_items, read_manifest, read_scores
from probe.types import DataError, Probe, UsageError

PROBE = dialect_pairs.PROBE
Rows = Sequence[Mapping[str, object]]

A: Rows = [{"chosen": [1.5], "rejected": [0.5]}, {"chosen": [-2.0], "rejected": [-1]}]
B: Rows = [{"chosen": [1.0], "rejected": [0.0]}, {"chosen": [-3.0], "rejected": [-1]}]


def write(folder: Path, name: str, rows: Rows) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def run_of(tmp_path: Path, files: Mapping[str, Path], probe: Probe = PROBE) -> Path:
    return import_groups(probe, files, model="m", root=tmp_path / "runs").path


def table(run: Path) -> pd.DataFrame:
    """Items and scores side by side."""
    items, scores = read_items(run).to_pandas(), read_scores(run).to_pandas()
    assert list(items["item_id"]) == list(scores["item_id"])
    assert list(items["candidate_id"]) == list(scores["candidate_id"])
    return items.assign(**scores[["score", "measure", "error"]])


def test_a_file_per_dialect(tmp_path: Path) -> None:
    files = {
        "std": write(tmp_path / "std", "x_all.jsonl", A),
        "aal": write(tmp_path / "aal", "x_all.jsonl", B),
    }
    run = run_of(tmp_path, files)
    found = table(run)
    assert list(found["item_id"]) == [
        name for row in "12" for d in ("std", "aal") for name in [f"{row}/{d}"] * 2
    ]
    assert list(found["candidate_id"][:4]) == [
        "chosen-std", "rejected-std", "chosen-aal", "rejected-aal"
    ]  # fmt: skip
    assert list(found["score"]) == [1.5, 0.5, 1.0, 0.0, -2.0, -1.0, -3.0, -1.0]
    assert set(found["measure"]) == {"reward"}
    assert list(found["prompt_dialect"][:4]) == ["std", "std", "aal", "aal"]
    assert list(found["dialect"]) == list(found["prompt_dialect"])
    assert found[["prompt_same", "same", "subset"]].isna().all(axis=None)
    assert set(found["prompt"]) == set(found["answer"]) == {""}
    meta = json.loads(found["meta"][0])
    assert meta == {"reference": "std", "dialects": ["std", "aal"]}
    manifest = read_manifest(run)
    assert (manifest.kind, manifest.axis) == ("imported", "dialects")
    assert manifest.probe_version == "1"
    assert manifest.counts.done == manifest.counts.expected == 8
    # Two files of one name: both are recorded.
    assert set(manifest.sources) == {"std=x_all.jsonl", "aal=x_all.jsonl"}
    assert len(set(manifest.sources.values())) == 2
    assert "std=x_all.jsonl, aal=x_all.jsonl" in manifest.notes[0]
    assert "texts are not known" in manifest.notes[0]
    assert load_run(run).frame["score"].notna().all()
    assert run_of(tmp_path, files) == run
    assert read_scores(run).num_rows == 8


def test_the_fingerprint_covers_every_byte_and_the_dialects(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a.jsonl", A), write(tmp_path, "b.jsonl", B)
    c = write(tmp_path, "c.jsonl", [*B[:1], {"chosen": [-3.0], "rejected": [-1.25]}])
    runs = [
        run_of(tmp_path, {"std": a, "aal": b}),
        run_of(tmp_path, {"std": a, "aal": c}),
        run_of(tmp_path, {"std": b, "aal": a}),
        run_of(tmp_path, {"aal": b, "std": a}),
        run_of(tmp_path, {"std": a, "ng": b}),
    ]
    assert len(set(runs)) == 5
    references = [json.loads(table(run)["meta"][0])["reference"] for run in runs]
    assert references == ["std", "std", "std", "aal", "std"]


FORMS: list[tuple[str, Rows]] = [
    (
        "numbers.jsonl",
        [{"chosen": 1.5, "rejected": 0.5}, {"chosen": -2, "rejected": -1}],
    ),
    (
        # The texts stand beside the scores, under the names that scores have elsewhere.
        "outputs.jsonl",
        [
            {"chosen": "Yes.", "rejected": "No.", "scores_chosen": 1.5,
             "scores_rejected": 0.5},
            {"chosen": "Yes.", "rejected": "No.", "scores_chosen": [-2.0],
             "scores_rejected": [-1.0]},
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rows"), FORMS)
def test_forms_of_lines(tmp_path: Path, name: str, rows: Rows) -> None:
    files = {"us": write(tmp_path, name, rows), "in": write(tmp_path, "b.jsonl", B)}
    found = table(run_of(tmp_path, files))
    assert list(found[found["dialect"] == "us"]["score"]) == [1.5, 0.5, -2.0, -1.0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "columns.json",
            '{"model": "x", "scores_chosen": [1.5, [-2.0]], '
            '"scores_rejected": [0.5, -1], "subset": ["x", "y"], "id": [7, 9]}',
        ),
        (
            "scores.csv",
            "scores_chosen,scores_rejected,subset,id\n1.5,0.5,x,7\n[-2.0],-1e0,y,9\n",
        ),
    ],
)
def test_forms_of_columns(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    other = [{**B[0], "subset": "x", "id": 7}, {**B[1], "subset": "y", "id": 9}]
    files = {"us": tmp_path / name, "in": write(tmp_path, "b.jsonl", other)}
    found = table(run_of(tmp_path, files))
    assert list(found[found["dialect"] == "us"]["score"]) == [1.5, 0.5, -2.0, -1.0]
    assert list(found["subset"]) == ["x"] * 4 + ["y"] * 4
    other[1]["id"] = 8
    files["in"] = write(tmp_path, "b.jsonl", other)
    with pytest.raises(DataError, match=rf"row 2 has id '9' in .*{name} and '8'"):
        run_of(tmp_path, files)


def test_one_text_scored_twice_is_kept_once(tmp_path: Path) -> None:
    """As where a corpus without pairs was put through RewardBench's runner."""
    once = [[{"chosen": [x], "rejected": [x]} for x in xs] for xs in ((1, 2), (0, 2))]
    files = {
        d: write(tmp_path, f"{d}.jsonl", r) for d, r in zip("ab", once, strict=True)
    }
    run = run_of(tmp_path, files)
    assert list(table(run)["candidate_id"]) == ["chosen-a", "chosen-b"] * 2
    assert read_manifest(run).dropped == {ONE_TEXT: 4}
    once[1][0]["rejected"] = [5]
    files["b"] = write(tmp_path, "b.jsonl", once[1])
    assert read_manifest(run_of(tmp_path, files)).dropped == {}


def bad(**changes: object) -> Rows:
    return [B[0], {**B[1], **changes}]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (B[:1], ["a.jsonl has 2 rows", "b.jsonl has 1"]),
        (A, ["a.jsonl", "the same scores in every row"]),
        (bad(rejected=float("inf")), ["b.jsonl, line 2", "'rejected'", "inf"]),
        (bad(rejected='"high"'), ["b.jsonl, line 2", "high"]),
        (bad(rejected=10**400), ["b.jsonl, line 2", "no finite number"]),
        (bad(rejected="[" * 100_000), ["b.jsonl, line 2", "no finite number"]),
        (bad(rejected=True), ["b.jsonl, line 2", "True"]),
        (bad(rejected="high"), ["b.jsonl, line 2", "high"]),
        (bad(rejected=[1, 2, 3]), ["b.jsonl, line 2", "3 scores", "one rejected"]),
        (bad(chosen=[]), ["b.jsonl, line 2", "0 scores"]),
        ([{"a": 1}, {"a": 2}], ["b.jsonl has the columns a", "scores_chosen"]),
    ],
)
def test_bad_files_of_groups(tmp_path: Path, rows: Rows, words: list[str]) -> None:
    files = {
        "us": write(tmp_path, "a.jsonl", A),
        "in": write(tmp_path, "b.jsonl", rows),
    }
    with pytest.raises(DataError) as error:
        run_of(tmp_path, files)
    for word in words:
        assert word in str(error.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"accuracy": 0.5, "num_prompts": 594}', ["no lists of equal length", "_all"]),
        ('{"scores_chosen": [1, 2], "scores_rejected": [1]}', ["no lists of equal"]),
        ('{"chosen": [1], "rejected": [1]}\n{}', ["is not JSON", ".jsonl"]),
        ("[1, 2]", ["no lists of equal length"]),
    ],
)
def test_bad_json(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "b.json").write_text(text)
    files = {"us": write(tmp_path, "a.jsonl", A), "in": tmp_path / "b.json"}
    with pytest.raises(DataError) as error:
        run_of(tmp_path, files)
    for word in [*words, "b.json"]:
        assert word in str(error.value)


def test_bad_usage(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a.jsonl", A), write(tmp_path, "b.jsonl", B)
    with pytest.raises(UsageError, match="one file only, of 'us'"):
        run_of(tmp_path, {"us": a})
    twice = {"us": a, "in": b, "ng": write(tmp_path, "c.jsonl", B)}
    with pytest.raises(
        DataError, match=r"b\.jsonl and .*c\.jsonl have the same scores"
    ):
        run_of(tmp_path, twice)
    with pytest.raises(UsageError, match="askreddit does not compare dialects"):
        run_of(tmp_path, {"us": a, "in": b}, askreddit.PROBE)
    with pytest.raises(DataError, match=r"has no column 'item'.*standard=A\.jsonl"):
        import_file(PROBE, a, model="m", root=tmp_path / "runs")
    with pytest.raises(DataError, match="is neither csv nor jsonl"):
        import_file(PROBE, a.with_suffix(".json"), model="m", root=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_empty_scores_of_groups_are_unscored(tmp_path: Path) -> None:
    rows = [B[0], {**B[1], "chosen": [float("nan")], "rejected": None}]
    files = {
        "us": write(tmp_path, "a.jsonl", A),
        "in": write(tmp_path, "b.jsonl", rows),
    }
    run = run_of(tmp_path, files)
    found = table(run).set_index(["item_id", "candidate_id"])
    empty = found[found["error"].notna()]
    assert list(empty.index) == [("2/in", "chosen-in"), ("2/in", "rejected-in")]
    assert empty["score"].isna().all()
    assert read_manifest(run).counts.unscored == 2


# -- one long csv -------------------------------------------------------------------

LONG = """item,dialect,score,subset,note
1,us,0.5,x,n
1,in,-0.5,x,n
2,us,1,y,n
2,in,1.25,y,n
2,ng,2,y,n
"""


def long(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "long.csv"
    file.write_text(text)
    return import_file(PROBE, file, model="m", root=tmp_path / "runs").path


def test_long(tmp_path: Path) -> None:
    run = long(tmp_path, LONG)
    found = table(run)
    assert list(found["item_id"]) == list(found["row"]) == ["1", "1", "2", "2", "2"]
    assert list(found["candidate_id"][:2]) == ["chosen-us", "chosen-in"]
    assert list(found["score"]) == [0.5, -0.5, 1.0, 1.25, 2.0]
    assert set(found["role"]) == {"chosen"}
    assert found[["prompt_dialect", "prompt_same", "same"]].isna().all(axis=None)
    assert list(found["subset"]) == ["x", "x", "y", "y", "y"]
    meta = json.loads(found["meta"][0])
    assert meta == {"reference": "us", "dialects": ["us", "in", "ng"]}
    manifest = read_manifest(run)
    assert manifest.dropped == {"dialect missing for the row": 1}
    assert manifest.sources.keys() == {"long.csv"}
    assert "columns not read: note" in manifest.notes[0]
    assert manifest.measures == ("reward",)


def test_long_with_roles_prompts_and_a_measure(tmp_path: Path) -> None:
    rows = [
        (item, role, prompt, dialect, score)
        for score, (item, role, prompt, dialect) in enumerate(
            (item, role, prompt, dialect)
            for item in "ab"
            for prompt in ("in", "standard")
            for dialect in ("in", "standard")
            for role in ("chosen", "rejected")
        )
    ]
    text = "item_id,role,prompt_dialect,dialect,score,measure\n" + "".join(
        f"{i},{r},{p},{d},{s},logprob_mean\n" for i, r, p, d, s in rows
    )
    run = long(tmp_path, text)
    found = table(run)
    assert list(found["score"]) == list(range(16))
    assert list(dict.fromkeys(found["item_id"])) == [
        "a/in", "a/standard", "b/in", "b/standard"
    ]  # fmt: skip
    assert set(found["measure"]) == {"logprob_mean"}
    assert json.loads(found["meta"][0])["reference"] == "standard"
    assert list(found["prompt_dialect"][:5]) == ["in"] * 4 + ["standard"]
    assert list(found["candidate_id"][:2]) == ["chosen-in", "rejected-in"]


def test_items_without_a_counterpart_are_counted(tmp_path: Path) -> None:
    run = long(tmp_path, LONG + "3,in,1,x,n\n4,us,1,x,n\n")
    assert list(dict.fromkeys(table(run)["item_id"])) == ["1", "2"]
    assert read_manifest(run).dropped == {
        "row without the reference dialect": 1,
        "row in one dialect only": 1,
        "dialect missing for the row": 1,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LONG.replace("dialect", "variety"), ["no column 'dialect'", "variety"]),
        (LONG.replace("item", "thing"), ["no column 'item'"]),
        (LONG + "1,us,3,x,n\n", ["data row 6", "stands twice", "1 / chosen / us"]),
        (LONG.replace("1.25", "x"), ["data row 4", "'score'", "'x'"]),
        (LONG.replace("2,in", "2, "), ["data row 4", "column 'dialect'"]),
        (LONG.replace("2,in", "2,i/n"), ["data row 4", "'i/n'"]),
        (LONG.replace("2,in", ",in"), ["data row 4", "column 'item'"]),
        (LONG.replace("note", "role"), ["data row 1", "column 'role'", "'n'"]),
        (LONG.replace("1.25,y", "1.25,z"), ["item '2'", "'y', 'z'"]),
        (LONG.replace(",in,", ",us2,").replace("2,ng", "9,ng"), ["'ng'", "'us'"]),
        ("item,dialect,score\n1,us,1\n2,us,2\n", ["one dialect only, 'us'"]),
        # What pandas would read without a word, one column shifted or another left out.
        (LONG.replace(",n\n", ",n,\n"), ["more cells than the header"]),
        (LONG.replace("note", "score"), ["line 1", "'score'", "stands twice"]),
        (LONG.replace(",", "\t"), ["line 1", "parted by tabs"]),
    ],
)
def test_bad_long_files(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        long(tmp_path, text)
    for word in [*words, "long.csv"]:
        assert word in str(error.value)
    assert not (tmp_path / "runs").exists()


# -- command line -----------------------------------------------------------------


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["rm-probe", "import", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    return int(stopped.value.code or 0), said.out + said.err


def test_import_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(50, 2))
    paths = [
        write(
            tmp_path,
            f"{name}.jsonl",
            [{"chosen": [c + up], "rejected": [r + up]} for c, r in rewards.tolist()],
        )
        for name, up in (("A", 0.25), ("B", 0.0))
    ]
    groups = [f"{d}={path}" for d, path in zip(("standard", "aal"), paths, strict=True)]
    rest = ["--model", "NAME", "--runs", tmp_path / "R"]
    code, said = call(monkeypatch, capsys, "dialect_pairs", *groups, *rest)
    assert code == 0 and "200 of 200 scored" in said
    [run] = find_runs(tmp_path / "R")
    assert run.parent.name == "dialect_pairs@1" and run.name.startswith("NAME@")
    wide = table(run).pivot(index="row", columns="candidate_id", values="score")
    for role in ("chosen", "rejected"):
        differences = wide[f"{role}-standard"] - wide[f"{role}-aal"]
        np.testing.assert_allclose(differences, 0.25)

    for words, message in (
        ([f"us={paths[0]}", f"us={paths[1]}"], "the group 'us' is named twice"),
        ([f"u/s={paths[0]}", f"in={paths[1]}"], "a group called 'u/s'"),
        ([f"us={paths[0]}", paths[1]], "has no group"),
        ([f"us={paths[0]}", "in=absent.jsonl"], "absent.jsonl is no file"),
        ([f"us={paths[0]}"], "one file only"),
    ):
        code, said = call(monkeypatch, capsys, "dialect_pairs", *words, *rest)
        assert code == 2 and message in said, said
    assert len(find_runs(tmp_path / "R")) == 1


def test_a_path_with_an_equals_sign_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model=x.csv").write_text("country,reward,prompt\nPeru,1.5,a\nCuba,2,b\n")
    rest = ["--model", "m", "--runs", "runs"]
    code, said = call(monkeypatch, capsys, where_from.PROBE.name, "model=x.csv", *rest)
    assert code == 0 and "2 of 2 scored" in said, said
    # The same of a dialect's file: the group ends at the first of the signs.
    write(tmp_path, "x=a.jsonl", A)
    write(tmp_path, "x=b.jsonl", B)
    words = ["dialect_pairs", "us=x=a.jsonl", "in=x=b.jsonl", *rest]
    code, said = call(monkeypatch, capsys, *words)
    assert code == 0 and "8 of 8 scored" in said, said
