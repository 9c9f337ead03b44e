"""The paper's numbers beside ours, from the authors' outputs in their own layout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from analysis import paper, paper_table
from analysis.guesses import is_right
from analysis.load import Run, load_run
from analysis.paper_evidence import Evidence
from analysis.paper_md3 import guessed
from analysis.paper_measures import COMPARED, POLLS, REFERENCE, rank
from analysis.paper_tydiqa import score
from analysis.ranks import Ranking
from analysis.records import Record
from data_builders import askreddit, countries, global_opinions, where_from
from data_builders.country_opinions import polls
from probe.recorded import (
    Asked,
    files,
    import_file,
    opinions,
    read,
    repository,
    tydiqa,
)
from probe.types import BuildOptions, DataError, Probe

REWARDS = "outputs/ask-reddit-reward-testing/starling-rm-7b-alpha-reformatted.csv"
NLL = "outputs/ask-reddit-perplexity-testing/Mistral-7B-v0.1-reformatted.csv"
ZEPHYR = "outputs/globalopinionsqa/zephyr-7b-beta_8bit.csv"
GAMES = "outputs/md3-game/{}_8bit-no-answers.csv"
MISTRAL_GAMES, SFT_GAMES, ZEPHYR_GAMES = (
    GAMES.format(name)
    for name in ("Mistral-7B-v0.1", "Mistral-SFT-7B", "zephyr-7b-beta")
)
TULU = "results/5_langid/tulu-sft-languages-count.csv"
WHERE = "outputs/reward-testing/where_from_starling-rm-7b-alpha.csv"

RM = "Starling-RM-7B-alpha"
SFT = "mistral-7b-sft-beta"
DIFFERENCE = "js_similarity_difference"
ABSENT = {"tulu-2-7b", "tulu-2-dpo-7b", "openchat_3.5", "Starling-LM-7B-alpha"}

DIALECTS = ("en_us", "en_in", "en_ng")
VERDICTS = ("md3_guess_accuracy", "md3_choice_accuracy")
"""What the authors' files have verdicts on, game by game."""

Json = dict[str, object]


def run_cli(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "probe.cli", "reproduce", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def as_json(folder: Path, code: int = 0) -> list[Json]:
    done = run_cli("ryan2024", "--recorded", folder, "--json")
    assert done.returncode == code, done.stderr
    found: list[Json] = json.loads(done.stdout)
    return found


def copy(recorded: Path, to: Path, *names: str) -> Path:
    """A copy of some of the authors' files, in their folders."""
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(recorded / name, to / name)
    return to


def evidence_of(found: repository.Found, *rankings: Ranking) -> Evidence:
    """What a folder gives without reference answers."""
    return Evidence(
        rankings=rankings,
        similarities=found.similarities((*COMPARED, REFERENCE)),
        games=found.games(),
        languages=found.languages(),
        answers=score(found.answers(())),
    )


def of_games(folder: Path) -> list[Json]:
    """The rows of a folder that has MD3's files only, without the command's start."""
    evidence = evidence_of(repository.find(folder))
    return [row.to_json() for row in paper.reproduce(evidence)]  # type: ignore[misc]


def one(rows: list[Json], model: str, metric: str, group: str | None) -> Json:
    [row] = [
        row
        for row in rows
        if (row["model"], row["metric"], row["group"]) == (model, metric, group)
    ]
    return row


@pytest.fixture(scope="module")
def rows(recorded: Path) -> list[Json]:
    return as_json(recorded)


PER_MODEL = {
    RM: (None, 0.84935, 0.92597),
    "Mistral-7B-v0.1": (0.6049, 0.8636, 0.9247),
    "zephyr-7b-beta": (0.5166, 0.7584, 0.8247),
    "Llama-2-7b-chat-hf": (0.5537, 0.7403, 0.7701),
    "Llama-2-7b-hf": (0.5849, 0.7377, 0.8130),
    "mistral-7b-sft-beta": (0.5979, 0.8610, 0.9299),
}
"""Rho with the reward model's ranks, with Gallup 2023 and with Gallup 2017."""


@pytest.mark.parametrize("model", PER_MODEL)
def test_correlations_of_every_model(rows: list[Json], model: str) -> None:
    with_rm, with_2023, with_2017 = PER_MODEL[model]
    for group, rho, n in (
        ("gallup_2023", with_2023, 21),
        ("gallup_2017", with_2017, 21),
        (RM, with_rm, 181),
    ):
        if rho is None:
            continue
        metric = "rank_correlation" if group == RM else "spearman_order"
        row = one(rows, model, metric, group)
        assert row["probe"] == "askreddit@1"
        assert row["n"] == n
        assert row["estimate"] == pytest.approx(rho, abs=5e-5)
        assert row["ci_low"] < row["estimate"] < row["ci_high"]  # type: ignore[operator]


def test_mean_ranks_of_the_reward_model(rows: list[Json]) -> None:
    for key, expected in (("CAN", 76.0957), ("GBR", 67.5921), ("PRK", 152.0993)):
        row = one(rows, RM, "mean_rank", key)
        assert row["estimate"] == pytest.approx(expected, abs=5e-5)
        assert row["n"] == 554
    assert sum(row["metric"] == "mean_rank" for row in rows) == 181


def test_opinion_differences(rows: list[Json]) -> None:
    for key, expected in (("CHN", -0.0236), ("JOR", -0.0358), ("NGA", -0.0255)):
        row = one(rows, "zephyr-7b-beta", DIFFERENCE, key)
        assert row["estimate"] == pytest.approx(expected, abs=5e-5)
        assert (row["probe"], row["reference"]) == (
            "global_opinions@1",
            "USA, questions asked in all 7 countries",
        )
        # As `analysis.opinions_countries` names the same metric.
        assert (row["analysis"], row["unit"]) == ("opinion_difference", "similarity")
        assert "; Jensen-Shannon natural logarithm" in str(row["ci_method"])
        # Of the 245 questions asked in all seven countries, one has no number.
        assert row["n"] == 244
        assert "of 245 questions asked in all 7 countries, 1 without" in str(
            row["ci_method"]
        )
    measured = [
        row for row in rows if row["metric"] == DIFFERENCE and row["status"] == "ok"
    ]
    assert Counter(row["group"] for row in measured) == dict.fromkeys(COMPARED, 5)


def test_published_numbers_agree(rows: list[Json]) -> None:
    printed = [
        row
        for row in rows
        if row["published"] is not None and row["metric"] not in VERDICTS
    ]
    assert [
        (row["model"], row["group"], row["published"], row["tolerance"])
        for row in printed
    ] == [
        ("mistral-7b-sft-beta", "en_us", 0.293, 0.001),
        ("mistral-7b-sft-beta", "en_in", 0.152, 0.001),
        ("mistral-7b-sft-beta", "en_ng", 0.203, 0.001),
        ("tulu-sft", None, 0.131, 0.001),
        ("ultrachat", None, 0.001, 0.001),
        (RM, "gallup_2017", 0.926, 0.001),
        (RM, "gallup_2017", 1.7791038e-09, 1e-16),
        (RM, "gallup_2023", 0.849, 0.001),
        (RM, "gallup_2023", 1.1154654e-06, 1e-13),
    ]
    for row in printed:
        assert row["agrees"] is True
        assert row["status"] == "ok"
        assert row["source"]
    assert all(row["agrees"] is None for row in rows if row["published"] is None)


def test_what_is_not_there_is_absent_not_failed(rows: list[Json]) -> None:
    absent = [row for row in rows if row["status"] == "absent"]
    assert all(row["estimate"] is None and row["agrees"] is None for row in absent)
    heatmap = [row for row in absent if row["metric"] == "rank_correlation"]
    # Of the pairs of ten models, those that hold one of the four.
    assert len(heatmap) == 45 - 15
    assert all({row["model"], row["group"]} & ABSENT for row in heatmap)
    bars = {row["model"] for row in absent if row["probe"] == "global_opinions@1"}
    qwen_and_yi = {"Qwen1.5-7B", "Qwen1.5-7B-Chat", "Yi-6B", "Yi-6B-Chat"}
    assert bars == ABSENT | qwen_and_yi
    games = [row for row in absent if row["probe"] == "md3@1"]
    assert {(row["model"], row["metric"], row["group"]) for row in games} == {
        (model, "md3_guess_accuracy", dialect)
        for model in ABSENT | qwen_and_yi
        for dialect in DIALECTS
    }
    answers = [row for row in absent if row["probe"] == "tydiqa@1"]
    assert Counter(row["metric"] for row in answers) == {
        "tydiqa_exact_match": 9 * len(bars),
        "tydiqa_f1": 9 * len(bars),
        # Of the eight, the base models are Qwen's and Yi's; two come after an SFT.
        "tydiqa_exact_match_change": 9 * 4,
        "tydiqa_f1_change": 9 * 4,
        "tydiqa_exact_match_change_from_base": 9 * 2,
        "tydiqa_f1_change_from_base": 9 * 2,
    }
    assert {row["model"] for row in answers} == bars
    assert len(absent) == len(heatmap) + 6 * len(bars) + len(games) + len(answers)


def test_rows_are_records_with_the_comparison(rows: list[Json]) -> None:
    added = {"published", "source", "tolerance", "agrees", "status"}
    for row in rows:
        Record.from_json({k: v for k, v in row.items() if k not in added})  # type: ignore[misc]
        assert added <= set(row)
    keys = [(row["probe"], row["model"], row["metric"], row["group"]) for row in rows]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("probe", "name"),
    [
        (askreddit.PROBE, REWARDS),
        (askreddit.PROBE, NLL),
        (where_from.PROBE, WHERE),
        (global_opinions.PROBE, ZEPHYR),
    ],
    ids=["rewards", "nll", "where_from", "opinions"],
)
def test_a_file_read_is_the_run_stored(
    recorded: Path, shared_data: Path, tmp_path: Path, probe: Probe, name: str
) -> None:
    file, asked = recorded / name, Asked(options=BuildOptions(data=shared_data))
    result = import_file(probe, file, model="m", root=tmp_path, asked=asked)
    cells, digest = files.read_csv(file)
    found = read(cells, probe, file, asked)
    stored = load_run(result.path)
    pd.testing.assert_frame_equal(found.frame(), stored.frame)
    manifest = found.manifest(probe, {"": (file, digest)}, model="m")
    assert manifest.fingerprint == stored.manifest.fingerprint
    assert manifest.folder == stored.manifest.folder


def test_terminal(recorded: Path, tmp_path: Path) -> None:
    done = run_cli("ryan2024", "--recorded", copy(recorded, tmp_path, ZEPHYR, TULU))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    [share] = [words for words in lines if words[:1] == ["non_english_share"]]
    assert share[:4] == ["non_english_share", "tulu-sft", "0.131", "0.1309"]
    assert share[-1] == "ok"
    [china] = [words for words in lines if words[:2] == [DIFFERENCE, "CHN"]]
    assert china[2:5] == ["zephyr-7b-beta", "-", "-0.0236"]
    assert china[-4:] == ["244", "no", "printed", "figure"]
    [heading] = [one for one in done.stdout.splitlines() if "GlobalOpinionQA" in one]
    assert "1 - Jensen-Shannon distance, natural logarithm" in heading
    assert (
        "Jensen-Shannon natural logarithm; of 245 questions asked in all 7 countries, "
        "1 without a number"
    ) in done.stdout
    assert "absent: no file of ultrachat (1 of 2 numbers)" in done.stdout
    assert f"absent: no file of {RM} (181 of 181 numbers)" in done.stdout
    *_, closing = done.stdout.splitlines()
    assert closing.startswith("1 ok (within one unit of the last printed digit), 0 dif")
    assert "6 no printed figure (shown in the paper without digits), 0 not" in closing


def test_one_changed_score_differs(recorded: Path, tmp_path: Path) -> None:
    folder = copy(recorded, tmp_path, REWARDS)
    wide = pd.read_csv(folder / REWARDS, dtype=str, keep_default_na=False)
    # Egypt lies 0.06 mean ranks before Israel: one bad answer puts it behind.
    row = wide.index[wide["Sentiment"] == "positive"][0]
    wide.loc[row, "Egypt"] = "-100"
    wide.to_csv(folder / REWARDS, index=False)
    done = run_cli("ryan2024", "--recorded", folder, "--json")
    assert done.returncode == 1
    # A slow machine shows the progress bar before it.
    *_, error = done.stderr.splitlines()
    assert error.startswith("error: ") and "published numbers differ" in error
    found: list[Json] = json.loads(done.stdout)
    row_2023 = one(found, RM, "spearman_order_p", "gallup_2023")
    assert (row_2023["agrees"], row_2023["status"]) == (False, "differs")


def test_one_changed_count_differs(recorded: Path, tmp_path: Path) -> None:
    file = copy(recorded, tmp_path, TULU) / TULU
    file.write_text(file.read_text().replace("en,1146844", "en,1046844"))
    found = as_json(tmp_path, code=1)
    assert one(found, "tulu-sft", "non_english_share", None)["status"] == "differs"


def test_any_model_is_included(recorded: Path, tmp_path: Path) -> None:
    folder = copy(recorded, tmp_path, REWARDS, NLL, ZEPHYR)
    other = (folder / NLL).with_name("any name.csv")
    nll = (folder / NLL).read_text().replace("mistralai/Mistral-7B-v0.1", "me/Own-1B")
    other.write_text(nll)
    mine = (folder / ZEPHYR).with_name("b.csv")
    text = (folder / ZEPHYR).read_text().replace(",zephyr-7b-beta,", ",Own-1B,")
    mine.write_text(text)
    found = as_json(folder)
    own = one(found, "Own-1B", "rank_correlation", RM)
    assert own["estimate"] == pytest.approx(0.6049, abs=5e-5)
    assert (own["status"], own["source"]) == ("ok", None)
    assert one(found, "Mistral-7B-v0.1", "rank_correlation", "Own-1B")["estimate"] == 1
    assert one(found, "Own-1B", DIFFERENCE, "CHN")["n"] == 244


def test_the_records_are_those_of_correlate(recorded: Path, tmp_path: Path) -> None:
    from analysis.countries_axis import analyse_countries

    found = repository.find(copy(recorded, tmp_path, REWARDS))
    [one_run] = found.runs()
    run = Run(
        path=one_run.path,
        manifest=one_run.manifest,
        measure=one_run.measure,
        frame=one_run.frame,
    )
    evidence = evidence_of(found, rank(run))
    ours = [row.record for row in paper.reproduce(evidence) if row.status != "absent"]
    chosen = [polls()[name] for name in ("gallup_2017", "gallup_2023")]
    [theirs] = analyse_countries([run], chosen, ties="best").runs
    headlines = {result.headline for result in theirs.polls}
    assert headlines <= set(ours)
    ranks = {one for one in theirs.country_records if one.metric == "mean_rank"}
    assert ranks <= set(ours)


def test_nothing_to_read(tmp_path: Path) -> None:
    for folder, message in (
        (tmp_path, "holds none of the authors' result files; looked for outputs/"),
        (tmp_path / "nowhere", "is not a folder"),
    ):
        done = run_cli("ryan2024", "--recorded", folder)
        assert done.returncode == 2
        assert done.stdout == ""
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = run_cli("ryan2042", "--recorded", tmp_path)
    assert done.returncode == 2
    assert "did you mean 'ryan2024'" in done.stderr


def test_two_files_of_one_model(recorded: Path, tmp_path: Path) -> None:
    folder = copy(recorded, tmp_path, ZEPHYR)
    shutil.copyfile(folder / ZEPHYR, (folder / ZEPHYR).with_name("twin.csv"))
    with pytest.raises(DataError, match=r"twin.csv and .* are both of zephyr-7b-beta"):
        repository.find(folder).similarities(COMPARED)


SIMILAR = """question,options,probs,model_id,China,China (Non-national sample),Germany
a,"['x', 'y']","[0.5, 0.5]",m,0.25,-1.0,0.75
b,"['x', 'y']","[0.5, 0.5]",m,-1.0,0.5,0.75
c,"['x', 'y']","[0.5, 0.5]",m,-1,-1.0,-1.0
d,"['x', 'y']","[0.5, 0.5]",m,,-1.0,0.5
e,"['x', 'y']","[0.5, 0.5]",m,0.0,-1.0,1.0
"""


def similar(text: str, folder: Path) -> pd.DataFrame:
    file = folder / "similar.csv"
    file.write_text(text)
    return opinions.similarities(files.read_csv(file)[0], ("CHN", "DEU"), file)


def test_minus_one_never_enters(tmp_path: Path) -> None:
    found = similar(SIMILAR, tmp_path)
    assert list(found.columns) == ["CHN", "DEU"]
    expected = [[0.25, 0.75], [float("nan"), 0.5], [0.0, 1.0]]
    pd.testing.assert_frame_equal(
        found, pd.DataFrame(expected, columns=["CHN", "DEU"], dtype=float)
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("m,0.25,", "m,1.25,", r"data row 1, column 'China': '1.25' \(1 such cells\)"),
        ("m,0.25,", "m,-0.5,", "data row 1, column 'China': '-0.5'"),
        ("m,0.25,", "m,none,", "data row 1, column 'China': 'none'"),
        ("China (Non-national sample)", "CHN", "2 columns for China"),
        ("model_id,China,", "model_id,Chile,", "0 columns for China"),
    ],
)
def test_bad_similarities(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SIMILAR
    with pytest.raises(DataError, match=message) as caught:
        similar(SIMILAR.replace(old, new), tmp_path)
    assert "similar.csv" in str(caught.value)


def test_no_common_question_is_no_number() -> None:
    empty = pd.DataFrame(columns=["model", "file"])
    asked = pd.DataFrame(
        [["m", "f", *[0.5] * 6, float("nan")]],
        columns=["model", "file", *COMPARED, REFERENCE],
    )
    found = paper.reproduce(
        Evidence(
            rankings=(),
            similarities=asked,
            games=empty,
            languages=empty,
            answers=score(pd.DataFrame(columns=["model", "file", *tydiqa.COLUMNS])),
        )
    )
    record = next(row.record for row in found if row.record.model == "m")
    assert record.estimate is None
    assert record.n == 0
    assert "no question has a number for all 7 countries" in str(record.ci_method)
    assert "of 1 questions asked in all 7 countries, 1 without" in str(record.ci_method)


def test_a_country_without_numbers_is_absent(recorded: Path, tmp_path: Path) -> None:
    file = copy(recorded, tmp_path, ZEPHYR) / ZEPHYR
    wide = pd.read_csv(file, dtype=str, keep_default_na=False)
    wide["United States"] = ""
    wide.to_csv(file, index=False)
    for row in as_json(tmp_path):
        if row["model"] == "zephyr-7b-beta" and row["metric"] == DIFFERENCE:
            assert (row["estimate"], row["n"], row["status"]) == (None, 0, "absent")
            assert "not computed: no question has a number" in str(row["ci_method"])
    done = run_cli("ryan2024", "--recorded", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "absent: not computed: no question has a number for all 7" in done.stdout
    assert "(6 of 78 numbers)" in done.stdout
    [line] = [one for one in done.stdout.splitlines() if "(72 of 78 numbers)" in one]
    assert "no file of" in line and "Qwen1.5-7B," in line
    assert "zephyr-7b-beta" not in line
    assert "0 no printed figure" in done.stdout


def test_a_file_without_a_country_is_a_file(recorded: Path, tmp_path: Path) -> None:
    file = copy(recorded, tmp_path, REWARDS) / REWARDS
    wide = pd.read_csv(file, dtype=str, keep_default_na=False)
    wide.drop(columns="Fiji").to_csv(file, index=False)
    done = run_cli("ryan2024", "--recorded", tmp_path)
    assert f"no file of {RM} (1 of 181" not in done.stdout
    assert (
        f"absent: not computed: the file of {RM} has no scores for Fiji "
        "(1 of 181 numbers)"
    ) in done.stdout


def test_a_printed_number_that_cannot_be_computed_is_absent(
    recorded: Path, tmp_path: Path
) -> None:
    file = copy(recorded, tmp_path, REWARDS) / REWARDS
    wide = pd.read_csv(file, dtype=str, keep_default_na=False)
    names = countries.askreddit_names()
    polled = {key for name in POLLS for key in polls()[name].order}
    wide.drop(columns=[n for n, key in names if key in polled]).to_csv(
        file, index=False
    )
    found = as_json(tmp_path)
    for metric in ("spearman_order", "spearman_order_p"):
        row = one(found, RM, metric, "gallup_2023")
        assert row["published"] is not None
        assert (row["status"], row["agrees"], row["n"]) == ("absent", None, 0)
        assert row["ci_method"] == "not computed: 0 countries, at least 8 are needed"


def test_why_numbers_of_files_are_absent(recorded: Path, tmp_path: Path) -> None:
    file = copy(recorded, tmp_path, NLL) / NLL
    text = file.read_text().replace("mistralai/Mistral-7B-v0.1", f"me/{RM}")
    file.write_text(text)
    row = one(as_json(tmp_path, code=1), RM, "mean_rank", "CAN")
    assert row["status"] == "absent"
    assert (
        row["ci_method"] == f"not computed: the recorded scores of {RM} are no rewards"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("language,n\nen,1\nen,2\n", "a language stands twice"),
        ("language,n\nen,-1\n", "a negative number, or only zeros"),
        ("language,n\nen,many\n", "'many' is no finite number"),
        ("language,n,more\nen,1,1\n", "has 3 columns"),
    ],
)
def test_bad_language_counts(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / TULU
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        repository.find(tmp_path).languages()


WON = {
    "zephyr-7b-beta": ((0.4637, 0.2639, 0.3028), (0.7237, 0.5972, 0.5976)),
    "mistral-7b-sft-beta": ((0.3817, 0.2315, 0.2789), (0.6042, 0.5324, 0.5179)),
    "Mistral-7B-v0.1": ((0.0890, 0.0787, 0.0757), (0.5995, 0.5185, 0.5299)),
    "Llama-2-7b-chat-hf": ((0.0117, 0.0139, 0.0120), (0.4239, 0.3704, 0.4143)),
    "Llama-2-7b-hf": ((0.0468, 0.0370, 0.0478), (0.4614, 0.4028, 0.4024)),
}
"""Shares of MD3's games guessed, and chosen, in `DIALECTS`."""


@pytest.mark.parametrize("model", WON)
def test_games_won(rows: list[Json], model: str) -> None:
    for metric, shares in zip(VERDICTS, WON[model], strict=True):
        for dialect, share, n in zip(DIALECTS, shares, (427, 216, 251), strict=True):
            row = one(rows, model, metric, dialect)
            # All recorded games, those without a transcript too.
            assert (row["n"], row["probe"]) == (n, "md3@1")
            assert row["estimate"] == pytest.approx(share, abs=5e-5)
            assert (row["agrees"], row["published"]) == (True, share)
            assert "-no-answers.csv, column " in str(row["source"])
            assert row["ci_low"] < row["estimate"] < row["ci_high"]  # type: ignore[operator]
            assert row["ci_method"] == "Wilson"


def test_wilson_by_hand(rows: list[Json]) -> None:
    """198 of 427: the score interval solved by hand."""
    row = one(rows, "zephyr-7b-beta", "md3_guess_accuracy", "en_us")
    n, share, z = 427, 198 / 427, 1.959963984540054
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    assert row["estimate"] == share
    assert row["ci_low"] == pytest.approx(middle - reach)
    assert row["ci_high"] == pytest.approx(middle + reach)


def test_what_tuning_adds(rows: list[Json]) -> None:
    gains = [row for row in rows if row["metric"] == "md3_guess_gain"]
    assert Counter((row["model"], row["reference"]) for row in gains) == {
        ("mistral-7b-sft-beta", "Mistral-7B-v0.1"): 3,
        ("zephyr-7b-beta", "mistral-7b-sft-beta"): 3,
        ("Llama-2-7b-chat-hf", "Llama-2-7b-hf"): 3,
    }
    for row in gains:
        model, base, dialect = (str(row[k]) for k in ("model", "reference", "group"))
        after, before = (
            one(rows, name, "md3_guess_accuracy", dialect)["estimate"]
            for name in (model, base)
        )
        assert row["estimate"] == pytest.approx(after - before)  # type: ignore[operator]
        assert row["ci_low"] <= row["estimate"] <= row["ci_high"]  # type: ignore[operator]
    sft = one(rows, "mistral-7b-sft-beta", "md3_guess_gain", "en_us")
    assert sft["estimate"] == pytest.approx(0.2927, abs=5e-5)
    assert sft["p_value"] < sft["p_holm"] < 1e-20  # type: ignore[operator]
    zephyr = one(rows, "zephyr-7b-beta", "md3_guess_gain", "en_ng")
    assert zephyr["p_value"] > 0.05 and zephyr["p_holm"] > 0.05  # type: ignore[operator]


def test_dialects_less_us_english(rows: list[Json]) -> None:
    for model in WON:
        us = one(rows, model, "md3_guess_accuracy", "en_us")["estimate"]
        for dialect in ("en_in", "en_ng"):
            row = one(rows, model, "md3_guess_difference", dialect)
            here = one(rows, model, "md3_guess_accuracy", dialect)
            assert row["estimate"] == pytest.approx(here["estimate"] - us)  # type: ignore[operator]
            assert row["reference"] == "en_us"
            assert (row["published"], row["source"]) == (None, None)
    # Newcombe's method 10 of 57/216 against 198/427, from the two Wilson intervals.
    row = one(rows, "zephyr-7b-beta", "md3_guess_difference", "en_in")
    us = one(rows, "zephyr-7b-beta", "md3_guess_accuracy", "en_us")
    india = one(rows, "zephyr-7b-beta", "md3_guess_accuracy", "en_in")

    def side(of: Json, bound: str) -> float:
        return float(of["estimate"]) - float(of[bound])  # type: ignore[arg-type]

    low = (side(india, "ci_low") ** 2 + side(us, "ci_high") ** 2) ** 0.5
    high = (side(india, "ci_high") ** 2 + side(us, "ci_low") ** 2) ** 0.5
    assert row["ci_low"] == pytest.approx(row["estimate"] - low)  # type: ignore[operator]
    assert row["ci_high"] == pytest.approx(row["estimate"] + high)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("guess", "answer", "right"),
    [
        ("I think it is an ELECTRON.", "Electron", True),
        ("Electronics.", "Electron", True),
        ("an electron or a proton", "Electron", False),
        ("", "Electron", False),
        ("proton", "Electron", False),
        # No guess can be right that has to hold a forbidden word.
        ("Proton pump", "Proton pump", False),
    ],
)
def test_right_guesses(guess: str, answer: str, right: bool) -> None:
    assert is_right(guess, answer, ("Atom", "Proton")) is right


def test_every_verdict_of_the_authors(recorded: Path) -> None:
    found = repository.find(recorded).games()
    assert len(found) == 5 * 894
    assert (guessed(found) == found["recorded_guess"]).all()
    assert (found["chosen"] == found["recorded_choice"]).all()
    # Answers that hold a forbidden word can never be guessed.
    one_file = found[found["model"] == "zephyr-7b-beta"]
    assert one_file["game"].is_unique
    assert 32 == sum(
        any(word.lower() in answer.lower() for word in words)
        for answer, words in zip(
            one_file["answer"], one_file["distractors"], strict=True
        )
    )


@pytest.mark.parametrize(
    ("file", "column", "metric"),
    [
        (ZEPHYR_GAMES, "generated_answer", "md3_guess_accuracy"),
        (MISTRAL_GAMES, "correct_answer_prob", "md3_choice_accuracy"),
    ],
)
def test_one_changed_game_differs(
    recorded: Path, tmp_path: Path, file: str, column: str, metric: str
) -> None:
    path = copy(recorded, tmp_path, file) / file
    wide = pd.read_csv(path, dtype=str, keep_default_na=False)
    verdict = {"generated_answer": "generated_correct_answer"}.get(
        column, "chose_correct_answer"
    )
    row = wide.index[(wide[verdict] == "True") & (wide["dialect"] == "en_ng")][0]
    wide.loc[row, column] = "0"
    wide.to_csv(path, index=False)
    found = as_json(tmp_path, code=1)
    differ = [row for row in found if row["status"] == "differs"]
    assert [(row["metric"], row["group"]) for row in differ] == [(metric, "en_ng")]


def test_changed_verdicts_and_guesses_differ_from_the_paper(
    recorded: Path, tmp_path: Path
) -> None:
    folder = copy(recorded, tmp_path, MISTRAL_GAMES, SFT_GAMES)
    wide = pd.read_csv(folder / SFT_GAMES, dtype=str, keep_default_na=False)
    won = (wide["generated_correct_answer"] == "True") & (wide["dialect"] == "en_us")
    row = wide.index[won][0]
    wide.loc[row, "generated_answer"] = "nothing"
    wide.loc[row, "generated_correct_answer"] = "False"
    wide.to_csv(folder / SFT_GAMES, index=False)
    found = of_games(folder)
    [row_us] = [row for row in found if row["status"] == "differs"]
    assert (row_us["metric"], row_us["group"]) == ("md3_guess_gain", "en_us")


def test_games_without_their_base_or_dialect(recorded: Path, tmp_path: Path) -> None:
    path = copy(recorded, tmp_path, SFT_GAMES) / SFT_GAMES
    wide = pd.read_csv(path, dtype=str, keep_default_na=False)
    wide[wide["dialect"] != "en_us"].to_csv(path, index=False)
    found = of_games(tmp_path)
    sft = "mistral-7b-sft-beta"
    row = one(found, sft, "md3_guess_gain", "en_in")
    assert (row["status"], row["published"]) == ("absent", 0.152)
    assert row["ci_method"] == "not computed: no file of Mistral-7B-v0.1"
    row = one(found, sft, "md3_guess_accuracy", "en_us")
    assert (row["status"], row["n"]) == ("absent", 0)
    assert row["ci_method"] == f"not computed: the file of {sft} has no games in en_us"
    # Without US English there is nothing to compare the others with.
    assert not [row for row in found if row["metric"] == "md3_guess_difference"]


def test_games_in_a_terminal(recorded: Path, tmp_path: Path) -> None:
    folder = copy(recorded, tmp_path, MISTRAL_GAMES, SFT_GAMES, ZEPHYR_GAMES)
    done = run_cli("ryan2024", "--recorded", folder)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    sft = "mistral-7b-sft-beta"
    assert any(
        line.startswith(f"md3_guess_gain en_ng {sft} over Mistral-7B-v0.1 0.203 0.2032")
        for line in lines
    )
    assert any(
        line.startswith(f"md3_guess_gain en_us zephyr-7b-beta over {sft} - 0.0820")
        for line in lines
    )
    assert any(
        line.startswith("md3_guess_accuracy en_in zephyr-7b-beta 0.2639 0.2639")
        for line in lines
    )


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("dialect", "en_gb", "column 'dialect': 'en_gb'"),
        ("distractors", "Night", "column 'distractors': 'Night' is no list of texts"),
        ("distractor_probs", "[0.1, 0.2]", "the probabilities of the 5 distractors"),
        ("distractor_probs", "[0.1, 0.1, 0.1, 0.1, inf]", "column 'distractor_probs'"),
        ("distractor_probs", "none", "column 'distractor_probs': 'none'"),
        ("correct_answer_prob", "-", "column 'correct_answer_prob': '-'"),
        ("generated_correct_answer", "yes", "'generated_correct_answer': 'yes'"),
        ("chose_correct_answer", "-", "column 'chose_correct_answer': '-'"),
    ],
)
def test_bad_games(
    recorded: Path, tmp_path: Path, column: str, cell: str, message: str
) -> None:
    path = copy(recorded, tmp_path, SFT_GAMES) / SFT_GAMES
    wide = pd.read_csv(path, dtype=str, keep_default_na=False).head(5)
    wide.loc[2, column] = cell
    wide.to_csv(path, index=False)
    with pytest.raises(DataError) as caught:
        repository.find(tmp_path).games()
    assert message in str(caught.value)
    assert path.name in caught.value.found and "data row 3" in caught.value.found


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("correct_answer_prob", ""),
        ("correct_answer_prob", "NaN"),
        ("distractor_probs", ""),
        ("distractor_probs", "[0.1, 0.1, 0.1, 0.1, nan]"),
        ("distractor_probs", "[0.1, 0.1, 0.1, 0.1, null]"),
    ],
)
def test_a_game_without_a_probability_is_left_out_of_choices_alone(
    recorded: Path, tmp_path: Path, column: str, cell: str
) -> None:
    path = copy(recorded, tmp_path, SFT_GAMES) / SFT_GAMES
    wide = pd.read_csv(path, dtype=str, keep_default_na=False)
    dialect, lost = wide["dialect"][2], 2
    wide.loc[lost, column] = cell
    # What the authors' comparison with NaN gave is no verdict.
    wide.loc[lost, "chose_correct_answer"] = "True"
    wide.to_csv(path, index=False)
    kept = wide[wide["dialect"] == dialect].drop(index=lost)
    share = (kept["chose_correct_answer"] == "True").mean()
    found = of_games(tmp_path)
    choice = one(found, SFT, "md3_choice_accuracy", dialect)
    assert choice["n"] == len(kept) and choice["status"] == "ok"
    assert choice["estimate"] == pytest.approx(share)
    assert f"of {len(kept) + 1} games, 1 without a number" in str(choice["ci_method"])
    assert one(found, SFT, "md3_guess_accuracy", dialect)["n"] == len(kept) + 1


def test_a_verdict_that_is_not_there_compares_nothing(
    recorded: Path, tmp_path: Path
) -> None:
    path = copy(recorded, tmp_path, SFT_GAMES) / SFT_GAMES
    wide = pd.read_csv(path, dtype=str, keep_default_na=False)
    wide.loc[2, "generated_correct_answer"] = ""
    wide.to_csv(path, index=False)
    found = of_games(tmp_path)
    published = {
        dialect: one(found, SFT, "md3_guess_accuracy", dialect)["published"]
        for dialect in DIALECTS
    }
    assert published.pop(wide["dialect"][2]) is None
    assert None not in published.values()


def test_recorded_blank_cells(cases: Path) -> None:
    """The rows that have a number are counted, with their n; nothing stops."""
    found = as_json(cases / "inputs" / "recorded_blank_cells")
    assert {row["metric"]: row["n"] for row in found if row["status"] == "ok"} == {
        "md3_guess_accuracy": 40,
        "md3_choice_accuracy": 37,
    }


ANSWERED = "outputs/tydiqa-goldp/{Mistral-7B-v0.1_8bit}/greedy/1-shot/telugu.json"


def test_answers_with_the_data_beside_the_copy(rows: list[Json]) -> None:
    """TyDiQA's references are found in `DATA`, of which `recorded` is a folder."""
    for language, n, f1, exact in (
        ("english", 440, 0.7280, 0.5864),
        ("telugu", 669, 0.3941, 0.3064),
    ):
        for metric, value in (("tydiqa_f1", f1), ("tydiqa_exact_match", exact)):
            row = one(rows, "Mistral-7B-v0.1", metric, language)
            assert row["estimate"] == pytest.approx(value, abs=5e-5)
            assert (row["n"], row["published"], row["agrees"]) == (n, None, None)
            assert str(row["source"]).startswith("section 5, behind its bars")
    measured = [
        row for row in rows if row["probe"] == "tydiqa@1" and row["status"] != "absent"
    ]
    assert Counter(row["metric"] for row in measured) == {
        "tydiqa_exact_match": 9 * 5,
        "tydiqa_f1": 9 * 5,
        "tydiqa_exact_match_change": 9 * 3,
        "tydiqa_f1_change": 9 * 3,
        "tydiqa_exact_match_change_from_base": 9,
        "tydiqa_f1_change_from_base": 9,
    }
    # The paper's bars are from the base model: Zephyr's from its SFT is not in it.
    assert {
        (row["model"], str(row["metric"]).removeprefix("tydiqa_f1_"))
        for row in measured
        if row["source"] is None and str(row["metric"]).startswith("tydiqa_f1")
    } == {("zephyr-7b-beta", "change")}


def test_answers_with_data_and_without(
    recorded: Path, shared_data: Path, tmp_path: Path
) -> None:
    folder = copy(recorded, tmp_path / "copy", ANSWERED, TULU)
    done = run_cli("ryan2024", "--recorded", folder, "--data", shared_data)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "tydiqa_f1 telugu Mistral-7B-v0.1 - 0.3941" in "\n".join(lines)
    assert (
        "absent: not computed: Mistral-7B-v0.1 has no file of english "
        "(1 of 117 numbers)"
    ) in lines

    done = run_cli("ryan2024", "--recorded", folder)
    assert done.returncode == 0, done.stderr
    assert (
        "absent: not computed: no reference answers: The data of 'tydiqa' could not be "
        "fetched from hub dataset"
    ) in done.stdout
    assert "--data names a folder that holds them (1 of 117 numbers)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 ok")

    done = run_cli("ryan2024", "--recorded", folder, "--data", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path} does not hold the data of 'tydiqa'" in done.stderr


def test_every_fact_is_a_number_of_its_figure() -> None:
    for figure in paper.FIGURES:
        keys = list(figure.keys())
        assert len(set(keys)) == len(keys)
        for fact in figure.facts:
            assert fact.key in keys
            assert float(fact.printed) == fact.value
    assert paper_table.closing(()).startswith("0 ok")
