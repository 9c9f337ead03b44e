"""Recorded result files become runs; bad files say what is wrong and write nothing."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.load import load_run
from analysis.report import run_warnings
from data_builders import (
    askreddit,
    country_questions,
    dialect_features,
    global_opinions,
    md3,
    preferences,
    survey,
    where_from,
)
from probe.recorded import Asked, import_file, read
from probe.recorded.files import NO_SCORE, read_rows
from probe.recorded.opinions import LEAST
from probe.score import item_rows
from probe.store import read_items, read_manifest, read_scores
from probe.types import (
    BuildOptions,
    Candidate,
    DataError,
    Item,
    Message,
    MissingDataError,
    Probe,
    UsageError,
)

REWARDS = "outputs/ask-reddit-reward-testing/starling-rm-7b-alpha-reformatted.csv"
NLL = "outputs/ask-reddit-perplexity-testing/Mistral-7B-v0.1-reformatted.csv"
ZEPHYR = "outputs/globalopinionsqa/zephyr-7b-beta_8bit.csv"
WHERE = "outputs/reward-testing/where_from_starling-rm-7b-alpha.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_wide_rewards(recorded: Path, tmp_path: Path) -> None:
    result = import_file(
        askreddit.PROBE, recorded / REWARDS, model="starling", root=tmp_path
    )
    assert result.counts.done == 554 * 254 == 140_716
    manifest = read_manifest(result.path)
    assert manifest.kind == "imported"
    assert "berkeley-nest/Starling-RM-7B-alpha" in manifest.notes[0]
    published = rows_of(recorded / REWARDS)
    scores = read_scores(result.path).to_pandas().set_index(["item_id", "candidate_id"])
    assert set(scores["measure"]) == {"reward"}
    assert scores["n_answer_tokens"].isna().all()
    for row in (published[0], published[-1]):
        key = askreddit.item_id(row["Question"], row["Response Format"])
        assert scores.loc[(key, "CAN"), "score"] == float(row["Canada"])
        assert scores.loc[(key, "x-somaliland"), "score"] == float(row["Somaliland"])
    items = read_items(result.path).to_pandas()
    assert (items["n_chars"] == items["answer"].str.len()).all()
    kept = items[items["iso3"] == "NLD"]["answer"]
    assert kept.str.contains("the Netherlands").all()


def test_same_ids_as_the_probe(
    recorded: Path, shared_data: Path, tmp_path: Path
) -> None:
    from probe.types import BuildOptions

    result = import_file(
        askreddit.PROBE, recorded / REWARDS, model="starling", root=tmp_path
    )
    items = read_items(result.path).to_pandas()
    built = list(askreddit.build(BuildOptions(data=shared_data, articles="paper")))
    assert list(dict.fromkeys(items["item_id"])) == [item.id for item in built]
    first = items[items["item_id"] == built[0].id]
    assert list(first["candidate_id"]) == [c.id for c in built[0].candidates]
    assert list(first["answer"]) == [c.answer for c in built[0].candidates]


def test_nll_is_stored_with_its_sign_turned(recorded: Path, tmp_path: Path) -> None:
    result = import_file(askreddit.PROBE, recorded / NLL, model="m", root=tmp_path)
    scores = read_scores(result.path).to_pandas()
    assert set(scores["measure"]) == {"logprob_mean"}
    first = rows_of(recorded / NLL)[0]
    row = scores[scores["candidate_id"] == "USA"].iloc[0]
    assert row["score"] == -float(first["United States of America"])


def test_where_from(recorded: Path, tmp_path: Path) -> None:
    result = import_file(where_from.PROBE, recorded / WHERE, model="m", root=tmp_path)
    items = read_items(result.path).to_pandas()
    published = rows_of(recorded / WHERE)
    assert [
        row["prompt"].split("] ")[-1].removesuffix("</s>") for row in published
    ] == (list(items["answer"]))
    assert read_scores(result.path)["score"].to_pylist() == [
        float(row["reward"]) for row in published
    ]


def test_import_twice_changes_nothing(recorded: Path, tmp_path: Path) -> None:
    for _ in range(2):
        result = import_file(
            where_from.PROBE, recorded / WHERE, model="m", root=tmp_path
        )
    assert read_scores(result.path).num_rows == 254


LONG = """item_id,country,score,sentiment,category
a,USA,1.5,positive,food
a,Great Britain,0.5,positive,food
b,USA,-1,negative,food
b,Great Britain,2,negative,food
"""


def test_long(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text(LONG)
    result = import_file(
        country_questions.PROBE, file, model="m", root=tmp_path / "runs"
    )
    manifest = read_manifest(result.path)
    assert manifest.item_columns == ("sentiment", "category")
    items = read_items(result.path).to_pandas()
    assert list(items["iso3"]) == ["USA", "GBR", "USA", "GBR"]
    scores = read_scores(result.path).to_pandas()
    assert list(scores["score"]) == [1.5, 0.5, -1.0, 2.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "item_id,country,scores\na,USA,1\n",
            r"no column 'score'.*the file has item_id, country, scores",
        ),
        (LONG.replace(",1.5,", ",x,"), r"data row 1, column 'score': 'x' is no finite"),
        (LONG.replace(",1.5,", ",inf,"), r"data row 1, column 'score': 'inf'"),
        (LONG + "a,USA,9,positive,food\n", r"data row 5: a row stands twice"),
        (LONG.replace("Great Britain", "Atlantis"), "Atlantis"),
        (LONG + "a,b,c,d,e,f,g\n", "is not a csv"),
        ("item_id,country,score,sentiment\n", "has a header and no rows"),
        (LONG.replace("sentiment", "mood"), "no column 'sentiment'"),
    ],
)
def test_bad_long_files(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        import_file(country_questions.PROBE, file, model="m", root=tmp_path / "runs")
    assert str(file) in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_bad_wide_files(recorded: Path, tmp_path: Path) -> None:
    rows = rows_of(recorded / REWARDS)[:3]

    def attempt(changed: list[dict[str, str]]) -> str:
        file = tmp_path / "wide.csv"
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(changed[0]))
            writer.writeheader()
            writer.writerows(changed)
        with pytest.raises(DataError) as caught:
            import_file(askreddit.PROBE, file, model="m", root=tmp_path / "runs")
        return str(caught.value)

    assert "data row 2, column 'Canada': '-' is no finite number" in attempt(
        [rows[0], {**rows[1], "Canada": "-"}]
    )
    assert "a question stands twice" in attempt([rows[0], rows[0]])
    assert "column 'Narnia'" in attempt([{**rows[0], "Narnia": "1"}])
    assert "no column 'Sentiment'" in attempt(
        [{k: v for k, v in rows[0].items() if k != "Sentiment"}]
    )
    assert "no column for a country" in attempt([dict(list(rows[0].items())[:9])])
    assert "Sentiment = 'mixed'" in attempt([{**rows[0], "Sentiment": "mixed"}])
    assert "has 2 values" in attempt([rows[0], {**rows[1], "reward_model": "other"}])


def test_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "latin.csv"
    file.write_bytes("item_id,country,score\na,Curaçao,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        import_file(country_questions.PROBE, file, model="m", root=tmp_path)


@pytest.mark.parametrize(
    ("probe", "columns"),
    [
        (md3.PROBE, "dialect word correct"),
        (dialect_features.PROBE, "feature frame variant"),
    ],
)
def test_what_the_analysis_needs_must_be_there(
    tmp_path: Path, probe: Probe, columns: str
) -> None:
    file = tmp_path / "long.csv"
    for missing in columns.split():
        left = columns.split()
        left.remove(missing)
        cells = "".join(",x" for _ in left)
        file.write_text(
            f"{','.join(['item_id', 'candidate_id', 'score', *left])}\n"
            f"a,b,1{cells}\na,c,2{cells}\n"
        )
        with pytest.raises(DataError, match=f"no column '{missing}'"):
            import_file(probe, file, model="m", root=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_items_that_cannot_be_had_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text("item_id,candidate_id,score\na,chosen,1\na,rejected,2\n")
    with pytest.raises(MissingDataError, match="--data"):
        import_file(preferences.PROBE, file, model="m", root=tmp_path / "r")
    # What the analysis needs stands in the file: it brings its own items.
    file.write_text("item_id,candidate_id,role,score\na,c,chosen,1\na,r,rejected,2\n")
    found = import_file(preferences.PROBE, file, model="m", root=tmp_path / "r")
    assert found.counts.done == 2


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN"])
def test_an_empty_cell_is_a_row_without_a_score(tmp_path: Path, cell: str) -> None:
    file = tmp_path / "long.csv"
    file.write_text(LONG.replace(",1.5,", f",{cell},"))
    result = import_file(country_questions.PROBE, file, model="m", root=tmp_path)
    assert (result.counts.done, result.counts.unscored) == (4, 1)
    scores = read_scores(result.path).to_pandas()
    assert list(scores["error"].isna()) == [False, True, True, True]
    assert scores["error"][0] == NO_SCORE
    [warning] = run_warnings([load_run(result.path)])
    assert f"1 of 4 pairs without a score: 1 ({NO_SCORE})" in warning


def test_empty_cells_of_the_published_layouts(recorded: Path, tmp_path: Path) -> None:
    for probe, name, column in (
        (askreddit.PROBE, REWARDS, "Canada"),
        (where_from.PROBE, WHERE, "reward"),
    ):
        rows = rows_of(recorded / name)[:3]
        rows[1][column] = ""
        file = tmp_path / f"{probe.name}.csv"
        pd.DataFrame(rows).to_csv(file, index=False)
        result = import_file(probe, file, model="m", root=tmp_path / "runs")
        assert result.counts.unscored == 1
        run = load_run(result.path)
        found = read(read_rows(file)[0], probe, file).frame()
        pd.testing.assert_frame_equal(found, run.frame)


def test_label_may_not_leave_the_runs_folder(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text(LONG)
    with pytest.raises(UsageError, match="cannot name a run's folder"):
        import_file(country_questions.PROBE, file, model="../x", root=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "zero.csv"
    file.write_text("")
    with pytest.raises(DataError, match="is empty"):
        import_file(country_questions.PROBE, file, model="m", root=tmp_path / "runs")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no file"):
        import_file(country_questions.PROBE, tmp_path / "x", model="m", root=tmp_path)


def test_recorded_opinions(recorded: Path, shared_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "probe.cli", "import", "global_opinions"]
    command += [str(recorded / ZEPHYR), "--model", "zephyr", "--data", str(shared_data)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    # 2,556 rows, of which one has no text and is no question of the data set.
    assert "11,298 of 11,298 scored, 1 left out (recorded row: no text)" in done.stdout
    [path] = (tmp_path / "runs").glob("*@*/*@*")
    manifest = read_manifest(path)
    assert manifest.axis == "opinions"
    assert manifest.measures == ("logprob_mean",)
    assert set(manifest.sources) == {"zephyr-7b-beta_8bit.csv", "global_opinions"}
    assert "a softmax over the options of minus the mean token NLL" in manifest.notes[0]
    items = read_items(path).to_pandas()
    assert set(items["protocol"]) == set(items["variant"]) == {"recorded"}
    assert items["persona"].isna().all()
    assert items["question_id"].nunique() == 2555
    scores = read_scores(path).to_pandas()
    assert list(scores["item_id"]) == list(items["item_id"])
    scores["p"] = np.exp(scores["score"])
    probs = {
        question_id: frame["p"].tolist()
        for question_id, frame in scores.groupby(items["question_id"])
    }
    used = 0
    for row in rows_of(recorded / ZEPHYR):
        if not row["question"].strip():
            continue
        options = survey.read_options(row["options"])
        key = survey.question_id(row["question"].strip(), options)
        published = json.loads(row["probs"])
        np.testing.assert_allclose(probs[key], published, rtol=0, atol=1e-12)
        used += 1
    assert used == 2555
    meta = json.loads(items["meta"][0])
    assert meta["question"] == items["prompt"][0]
    first = items[items["question_id"] == items["question_id"][0]]
    assert meta["options"] == list(first["option"])
    assert list(first["answer"])[:2] == ["A)", "B)"]
    assert list(first["place"]) == list(range(len(first)))


SURVEY = """question,selections,options
Good?,"defaultdict(<class 'list'>, {'Chile': [0.4, 0.6]})","['Yes', 'No']"
Fair?,"defaultdict(<class 'list'>, {'Chile': [0.4, 0.6]})","['Yes', 'No']"
"""
OPINIONS = """question,options,probs,model_id
Good? ,"['Yes', 'No']","[0.25, 0.75]",m
"""


def import_opinions(tmp_path: Path, text: str) -> Path:
    (tmp_path / "global_opinions.csv").write_text(SURVEY)
    file = tmp_path / "opinions.csv"
    file.write_text(text)
    probe, root = global_opinions.PROBE, tmp_path / "runs"
    asked = Asked(options=BuildOptions(data=tmp_path))
    return import_file(probe, file, model="m", root=root, asked=asked).path


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (""" ,"['Yes', 'No']","[0.5, 0.5]",m""", "no text"),
        ("""Bad?,"['Yes', 'No']","[0.5, 0.5]",m""", "not a question of the data set"),
        ("""Fair?,"['No', 'Yes']","[0.5, 0.5]",m""", "not a question of the data set"),
        ("""Fair?,"Yes, No","[0.5, 0.5]",m""", "options cannot be read"),
        ("""Fair?,"['Yes', 'No']","[0.5, 0.2, 0.3]",m""", "as many probabilities"),
        ("""Fair?,"['Yes', 'No']","[0.5, nan]",m""", "no number from 0 to 1"),
        ("""Fair?,"['Yes', 'No']","[0.5, NaN]",m""", "no number from 0 to 1"),
        ("""Fair?,"['Yes', 'No']","[1.5, -0.5]",m""", "no number from 0 to 1"),
        ("""Fair?,"['Yes', 'No']",x,m""", "no number from 0 to 1"),
        ("""Fair?,"['Yes', 'No']","[0.5, 0.4]",m""", "do not sum to 1"),
    ],
)
def test_opinions_that_cannot_be_used_are_counted(
    tmp_path: Path, row: str, reason: str
) -> None:
    path = import_opinions(tmp_path, f"{OPINIONS}{row}\n")
    [(why, count)] = read_manifest(path).dropped.items()
    assert reason in why
    assert count == 1
    assert np.exp(read_scores(path)["score"].to_numpy()).tolist() == [0.25, 0.75]


def test_a_probability_of_zero_is_the_least_positive_number(tmp_path: Path) -> None:
    path = import_opinions(tmp_path, OPINIONS.replace("0.25, 0.75", "0.0, 1.0"))
    scores = read_scores(path)["score"].to_pylist()
    assert scores == [pytest.approx(np.log(LEAST)), 0.0]
    assert LEAST == 2.0**-149
    assert (
        "probabilities of 0 (1 in all) are read as 1.4e-45"
        in (read_manifest(path).notes[1])
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            OPINIONS.replace("Good?", "Bad?"),
            r"no row that can be used \(1 recorded row",
        ),
        (OPINIONS + OPINIONS.splitlines()[1] + "\n", "data row 2: a question stands"),
        (OPINIONS + """Fair?,"['Yes', 'No']","[0.5, 0.5]",n\n""", "has 2 values"),
        (OPINIONS.replace("model_id", "model"), "no column 'model_id'"),
    ],
)
def test_bad_opinions(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        import_opinions(tmp_path, text)
    assert not (tmp_path / "runs").exists()


def test_stored_sha_covers_text_span_and_groups() -> None:
    """However the groups are put together: sorted by name, both kinds as one list."""
    candidates = (
        Candidate(id="1", answer="x", groups={"b%s": "50%", "c'": None}),
        Candidate(id="2", answer="x", span=(0, 1), groups={"b%s": 1.5}),
        Candidate(id="3", answer="y"),
        Candidate(id="4", answer="y", groups={"a": 'over"ridden'}),
    )
    item = Item(
        id="i",
        messages=(Message(role="user", content="q"),),
        candidates=candidates,
        groups={"a": "%r", "z": "it's"},
    )
    for row, candidate in zip(item_rows([item]), candidates, strict=True):
        groups = {**item.groups, **candidate.groups}
        text = '[["user", "q"]]' + f"{candidate.span}{candidate.answer}"
        text += str(sorted(groups.items()))
        assert row.text_sha == hashlib.sha256(text.encode()).hexdigest()[:16]
        assert row.groups == groups
