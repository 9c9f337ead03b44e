"""What is exported, scored elsewhere and imported gives the report of a scored run."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from analysis.load import load_run
from probe.cli import main
from probe.recorded.files import NOT_THERE
from probe.store import read_manifest, read_scores
from tests import reference
from tests.tiny_checkpoints import CHAT_TEMPLATE, byte_tokenizer, llama_classifier

Call = Callable[..., tuple[int, str, str]]
Row = Mapping[str, object]

PAIRS = """item_id,prompt,chosen,rejected,topic
a,Where is it warm?,Chile has deserts in the north.,Nowhere.,travel
b,Name a dish.,Try ceviche with lime and salt.,Bread,food
c,Who may vote?,Every citizen above the age of eighteen.,Nobody can know that.,law
d,Name a dish.,Moussaka.,"Soup, and then another soup",food
e,How far is the moon?,Some 384 thousand kilometres.,Far,travel
f,What is a lake?,Standing water in a hollow.,It is a river that rests a while.,travel
"""
DIALECT = """row_id,dialect,prompt,chosen,rejected
1,standard,Where are you?,I am not at home.,No idea.
1,aal,Where you at?,I ain't home.,I dunno.
2,standard,What is it?,It is a stone.,Nothing at all.
2,aal,What it is?,It a stone.,Ain't nothing.
"""
ITEMS = """item_id,candidate_id,prompt,answer,iso3,sentiment
q1,CAN,Best country?,I choose Canada.,CAN,positive
q1,BRA,Best country?,I choose Brazil.,BRA,positive
q2,CAN,Worst food?,That is Canada.,CAN,negative
q2,BRA,Worst food?,That is Brazil.,BRA,negative
"""


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """The command line in an empty folder: exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["rm-probe", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return llama_classifier(folder, byte_tokenizer(chat_template=CHAT_TEMPLATE))


def exported(call: Call, *words: object) -> list[Row]:
    code, out, error = call("export", *words)
    assert code == 0, error
    return [json.loads(line) for line in out.splitlines()]


def summary(folder: Path) -> list[Row]:
    """What a report says, but for what the runs are called."""
    text = (folder / "summary.json").read_text()
    found: list[Row] = json.loads(text)["records"]
    for name in {str(row["run"]) for row in found}:
        text = text.replace(name, "RUN")
    return json.loads(text)["records"]  # type: ignore[no-any-return]


def write_scores(path: Path, rows: Sequence[Row]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return path
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("pairs.csv", PAIRS, ()),
        ("dialects.csv", DIALECT, ()),
        ("items.csv", ITEMS, ()),
        ("pairs.csv", PAIRS, ("--limit", 3)),
    ],
    ids=["pairs", "dialects", "items", "limit"],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_scores_of_a_plain_forward_pass_give_the_report_of_a_scored_run(
    call: Call,
    model: Path,
    tmp_path: Path,
    name: str,
    text: str,
    words: tuple[object, ...],
    form: str,
) -> None:
    (tmp_path / name).write_text(text)
    rows = exported(call, name, *words)
    scores = []
    for row in rows:
        messages = row["messages"]
        assert isinstance(messages, list)
        answered = [*messages, {"role": "assistant", "content": row["answer"]}]
        score = reference.reward(model, reference.chat_ids(model, answered))
        ids = {key: row[key] for key in ("item_id", "candidate_id")}
        scores.append({**(row if form == "jsonl" else ids), "score": score})
    # In another order than the probe's.
    file = write_scores(tmp_path / f"scores.{form}", scores[::-1])
    code, out, error = call("score", name, model, "--runs", "scored", *words)
    assert code == 0, error
    code, out, error = call(
        "import", name, file, "--model", "tiny", "--runs", "imported", *words
    )
    assert code == 0, error
    assert out.splitlines()[0].endswith(f"{len(rows)} of {len(rows)} scored")
    [scored], [imported] = (
        list((tmp_path / runs).glob("*/*")) for runs in ("scored", "imported")
    )
    one, other = load_run(scored), load_run(imported)
    assert one.probe == other.probe and one.manifest.limit == other.manifest.limit
    shared = [name for name in one.frame if not name.startswith(("n_", "trunc"))]
    left, right = one.frame[shared].round(4), other.frame[shared].round(4)
    assert left.to_dict("list") == right.to_dict("list")
    # The very scores of the run, so that no rounding stands between the reports.
    exact = [
        {key: row[key] for key in ("item_id", "candidate_id", "score")}
        for row in read_scores(scored).to_pylist()
    ]
    file = write_scores(tmp_path / f"exact.{form}", exact)
    call("import", name, file, "--model", "tiny", "--runs", "exact", *words)
    for runs in ("scored", "exact"):
        code, out, error = call("report", runs, "--out", f"report_{runs}")
        assert code == 0, error
    assert summary(tmp_path / "report_scored") == summary(tmp_path / "report_exact")


def test_what_a_file_lacks_is_counted_against_the_whole_probe(
    call: Call, tmp_path: Path, cases: Path
) -> None:
    folder = cases / "inputs" / "import_pairs"
    lines = (folder / "scores.csv").read_text().splitlines()
    assert len(lines) == 49
    (tmp_path / "some.csv").write_text("\n".join([*lines[:40], "p19,rejected,"]))
    code, out, error = call(
        "import", folder / "pairs.csv", "some.csv", "--model", "m", "--runs", "r"
    )
    assert code == 0, error
    assert out.splitlines()[0].endswith("39 of 48 scored, 8 missing, 1 unscored")
    [path] = (tmp_path / "r").glob("*/*")
    run = load_run(path)
    assert list(run.frame["error"].fillna("")).count(NOT_THERE) == 8
    assert read_manifest(path).item_columns == ("topic",)
    assert set(run.frame["role"]) == {"chosen", "rejected"}
    assert run.frame["prompt"].nunique() == 24
    code, out, error = call("report", "r", "--out", "report")
    assert code == 0, error
    assert (
        "9 of 48 pairs without a score" in (tmp_path / "report/report.md").read_text()
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "p0,chosen,1\np99,chosen,1\np98,chosen,2\n",
            "data row 2: p99 / chosen.*2 of 3",
        ),
        ("p0,chosen,1\np0,best,1\n", "data row 2: p0 / best is no item"),
        ("p0,chosen,1\np0,chosen,1\n", "data row 2: a row stands twice"),
        ("p0,chosen,high\n", "data row 1, column 'score': 'high'"),
    ],
)
def test_scores_that_are_not_of_the_probe(
    call: Call, tmp_path: Path, cases: Path, text: str, words: str
) -> None:
    pairs = cases / "inputs" / "import_pairs" / "pairs.csv"
    (tmp_path / "s.csv").write_text(f"item_id,candidate_id,score\n{text}")
    code, _, error = call("import", pairs, "s.csv", "--model", "m")
    assert code == 2 and re.search(words, error), error
    assert not (tmp_path / "runs").exists()


def test_another_answer_than_the_probes_is_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(PAIRS)
    rows = [{**row, "score": 0.5} for row in exported(call, "pairs.csv")]
    rows[1] = {**rows[1], "answer": "Another one."}
    write_scores(tmp_path / "s.jsonl", rows)
    code, _, error = call("import", "pairs.csv", "s.jsonl", "--model", "m")
    assert code == 2 and "data row 2, column 'answer': 'Another one.'" in error


def test_a_shipped_probe_is_joined_by_its_ids(call: Call, tmp_path: Path) -> None:
    rows = exported(call, "where_from", "--countries", "USA,IND,NGA")
    assert {row["candidate_id"] for row in rows} == {"USA", "IND", "NGA"}
    assert "span" not in rows[0]
    policy = exported(call, "where_from", "--reader", "policy", "--countries", "USA")
    assert (
        str(policy[0]["answer"])[slice(*policy[0]["span"])]
        == "the United States of America"
    )  # type: ignore[misc]
    scores = [
        {"item_id": row["item_id"], "country": name, "score": place}
        for place, (row, name) in enumerate(
            zip(rows, ("India", "Nigeria", "United States"), strict=True)
        )
    ]
    write_scores(tmp_path / "s.csv", scores)
    code, out, error = call("import", "where_from", "s.csv", "--model", "m")
    assert code == 0, error
    assert "3 of 254 scored, 251 missing" in out
    words = ("--countries", "USA,IND,NGA", "--runs", "some")
    code, out, error = call("import", "where_from", "s.csv", "--model", "m", *words)
    assert code == 0 and "3 of 3 scored" in out, error


def test_export_to_a_file(call: Call, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(PAIRS)
    lines = exported(call, "pairs.csv")
    code, out, _ = call("export", "pairs.csv", "--out", "x.jsonl")
    assert code == 0 and "12 answers" in out
    written = (tmp_path / "x.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == lines
    code, _, error = call("export", "pairs.csv", "--out", "no/such/x.jsonl")
    assert code == 2 and "cannot be written" in error


def test_options_need_the_probes_own_items(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("item_id,country,score,sentiment\na,USA,1,positive\n")
    words = ("import", "country_questions", file, "--model", "m")
    code, _, error = call(*words, "--limit", 3)
    assert code == 2 and "brings its own" in error
    code, out, _ = call(*words)
    assert code == 0 and "1 of 1 scored" in out
