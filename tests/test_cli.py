"""The command line as a user meets it: exit codes, messages, imported runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLI = [sys.executable, "-m", "probe.cli"]


def rm_probe(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *map(str, args)], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from probe import cli\n"
        "try:\n    cli.app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'pyarrow', 'pydantic',"
        " 'altair'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["score", "askredit", "smollm2_135m_instruct"], "did you mean 'askreddit'"),
        (["audit", "smollm2_135m_instuct"], "did you mean 'smollm2_135m_instruct'"),
        (["score", "where_from", "no/such.yaml"], "no/such.yaml does not exist"),
        (["audit", "smollm2_135m_instruct", "--data", "nowhere"], "nowhere is not a"),
        (["correlate", "nowhere"], "nowhere does not exist"),
        (["report", "nowhere", "--out", "x"], "nowhere does not exist"),
        (["score", "where_from", "x", "--countries", "USA,Atlantis"], "Atlantis"),
        (["score", "where_from", "smollm2_135m_instruct", "--limit", "0"], "--limit"),
        (["audit", "yi_6b", "--opinions", "gallup_2032"], "did you mean 'gallup_20"),
        (["audit", "internlm2_1_8b_reward"], "--trust-remote-code"),
        (["score", "where_from", "x", "--countries", ""], "--countries is empty"),
        (["import", "where_from", "no.csv", "--model", "m"], "no.csv is no file"),
        (["train", "language_stf"], "did you mean 'language_sft'"),
        (["train", "no/such.yaml"], "no/such.yaml does not exist"),
        (["doseresponse", "nowhere"], "nowhere does not exist"),
        (["compare", "nowhere"], "nowhere does not exist"),
        (["report", "nowhere", "--out", "/dev/null/x"], "x cannot be written"),
        (["score", "where_from", "yi_6b", "--runs", "/dev/null"], "--runs /dev/null"),
        (["score", "where_from", "n" * 300], "nnn...: File name too long"),
        (["score", "n" * 300, "yi_6b"], "nnn...: File name too long"),
        (["train", f"{'n' * 300}.yaml"], "File name too long"),
        (["langid", "n" * 300], "File name too long"),
    ],
)
def test_bad_usage_is_one_message(
    tmp_path: Path, args: list[str], message: str
) -> None:
    done = rm_probe(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "heavy"),
    [
        (["score", "where_from", "nonsense"], {"pandas", "pyarrow"}),
        (["score", "nonsense", "yi_6b"], {"pandas", "pyarrow"}),
        (["score", "no.csv", "yi_6b"], {"pandas", "pyarrow"}),
        (["score", "where_from", "bad.yaml"], {"pandas", "pyarrow"}),
        (["score", "where_from", "yi_6b", "--data", "no"], {"pandas", "pyarrow"}),
        (["show", "where_from", "nonsense"], {"pandas", "pyarrow"}),
        (["check", "nonsense"], {"pandas", "pyarrow"}),
        (["audit", "nonsense"], {"pandas", "pyarrow"}),
        (["train", "nonsense"], {"pandas"}),
        (["import", "where_from", "no.csv", "--model", "m"], {"pandas", "pyarrow"}),
        (["report", "nowhere", "--out", "x"], {"pandas"}),
        (["compare", "nowhere"], {"pandas"}),
    ],
)
def test_a_wrong_name_is_said_before_what_starts_slowly(
    tmp_path: Path, args: list[str], heavy: set[str]
) -> None:
    (tmp_path / "bad.yaml").write_text("name: [")
    heavy = heavy | {"torch", "transformers", "scipy"}
    code = (
        "import sys\n"
        "from probe import cli\n"
        f"sys.argv = ['rm-probe', *{args!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as error:\n    print(error.code)\n"
        f"print(sorted({heavy!r} & {{*sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines() == ["2", "[]"]
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["score", "where_from", "bomb_name.yaml"], "too many values"),
        (["score", "where_from", "bigint.yaml"], "line 4: '9999"),
        (["score", "where_from", "date.yaml"], "inputs/model is no folder"),
        (["score", "where_from", "deep.yaml"], "line 4: nested more than"),
        (["score", "where_from", "unhash.yaml"], "line 4: a key is a list"),
        (["score", "deepmsg.csv", "yi_6b"], "line 2, column 'messages'"),
        (["score", "hdr.csv", "yi_6b"], "hdr.csv has no rows"),
    ],
)
def test_handed_files_are_one_message(
    cases: Path, tmp_path: Path, args: list[str], message: str
) -> None:
    inputs = cases / "inputs"
    full = [inputs / one if "." in one else one for one in args]
    start = time.monotonic()
    done = rm_probe(*full, "--runs", tmp_path / "runs", cwd=inputs)
    # Within 5 s on a machine that does nothing else.
    assert time.monotonic() - start < 30
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_odd_signs_are_printed_whatever_the_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        [*CLI, "score", "where_from", "mod\u00e8le"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert b"'mod\\xe8le'" in done.stderr


@pytest.mark.parametrize("number", [str(10**30), "0", "-1"])
def test_a_number_out_of_range_is_a_usage_error(tmp_path: Path, number: str) -> None:
    done = rm_probe(
        "score", "where_from", "yi_6b", "--batch-tokens", number, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "--batch-tokens" in done.stderr


def test_hub_unreachable_and_no_data(tmp_path: Path) -> None:
    done = rm_probe("show", "askreddit", "smollm2_135m_instruct", cwd=tmp_path)
    assert done.returncode == 2
    assert "--data" in done.stderr
    assert "Traceback" not in done.stderr


def test_ls(tmp_path: Path) -> None:
    done = rm_probe("ls", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("askreddit@1", "starling_7b_card", "gallup_2017", "dialect_dpo"):
        assert word in done.stdout
    models = rm_probe("ls", "models", cwd=tmp_path).stdout
    assert models in done.stdout.replace("models:\n", "")
    assert "unverified" in models


def test_doseresponse_of_runs_that_are_there(tmp_path: Path) -> None:
    from tests.language_runs import choices
    from tests.sweep_runs import sweep

    items = choices(("eng_Latn", "deu_Latn"), 60)
    sweep(tmp_path / "runs", items, {"deu_Latn": 0.4}, base=True)
    done = rm_probe(
        *("doseresponse", "runs", "--out", "report", "--json"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    [german] = [
        one
        for one in records
        if (one["metric"], one["group"]) == ("accuracy_slope", "deu_Latn")
    ]
    assert german["ci_low"] < 0.4 < german["ci_high"] and german["ci_low"] > 0
    assert (tmp_path / "report" / "index.html").is_file()
    printed = rm_probe("doseresponse", "runs", cwd=tmp_path)
    assert "German" in printed.stdout and "slope" in printed.stdout


def test_imported_rewards_give_the_papers_figures(
    recorded: Path, tmp_path: Path
) -> None:
    """From the published csv files to the correlations of the paper, section 7."""
    outputs = recorded / "outputs"
    files = {
        "starling_7b_card": "ask-reddit-reward-testing/"
        "starling-rm-7b-alpha-reformatted.csv"
    }
    for stem in (
        "Mistral-7B-v0.1",
        "zephyr-7b-beta_8bit",
        "Llama-2-7b-chat-hf",
        "Llama-2-7b-hf",
        "Mistral-SFT-7B_8bit",
    ):
        files[stem] = f"ask-reddit-perplexity-testing/{stem}-reformatted.csv"
    for model, file in files.items():
        done = rm_probe(
            "import", "askreddit", outputs / file, "--model", model, "--runs", "R",
            cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "140,716 of 140,716 scored" in done.stdout
    done = rm_probe(
        "correlate", "R", "--json", "--opinions", "gallup_2017", "--opinions",
        "gallup_2023", "--ties", "best", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)

    def one(metric: str, model: str, group: str) -> dict[str, float]:
        found = [
            record
            for record in records
            if (record["metric"], record["model"], record["group"])
            == (metric, model, group)
        ]
        assert found
        assert len({record["estimate"] for record in found}) == 1
        return found[0]

    rank = {
        iso3: one("mean_rank", "starling_7b_card", iso3)["estimate"]
        for iso3 in ("CAN", "GBR", "PRK")
    }
    assert rank["CAN"] == pytest.approx(76.0957, abs=5e-5)
    assert rank["GBR"] == pytest.approx(67.5921, abs=5e-5)
    assert rank["PRK"] == pytest.approx(152.0993, abs=5e-5)
    published = {
        "starling_7b_card": (0.84935, 0.92597),
        "Mistral-7B-v0.1": (0.8636, 0.9247),
        "zephyr-7b-beta_8bit": (0.7584, 0.8247),
        "Llama-2-7b-chat-hf": (0.7403, 0.7701),
        "Llama-2-7b-hf": (0.7377, 0.8130),
        "Mistral-SFT-7B_8bit": (0.8610, 0.9299),
    }
    for model, (rho_2023, rho_2017) in published.items():
        found_2023 = one("spearman_order", model, "gallup_2023")
        found_2017 = one("spearman_order", model, "gallup_2017")
        assert found_2023["n"] == found_2017["n"] == 21
        assert found_2023["estimate"] == pytest.approx(rho_2023, abs=6e-5)
        assert found_2017["estimate"] == pytest.approx(rho_2017, abs=6e-5)
    with_starling = {
        "Mistral-7B-v0.1": 0.6049,
        "zephyr-7b-beta_8bit": 0.5166,
        "Llama-2-7b-chat-hf": 0.5537,
        "Llama-2-7b-hf": 0.5849,
        "Mistral-SFT-7B_8bit": 0.5979,
    }
    public = one("spearman", "starling_7b_card", "USA")
    assert (public["estimate"], public["n"]) == (pytest.approx(0.8577, abs=5e-5), 21)
    cross = [r for r in records if r["metric"] == "rank_correlation"]
    for model, rho in with_starling.items():
        pair = {"starling_7b_card", model}
        found = [r for r in cross if {r["model"], r["group"]} == pair]
        assert len(found) == 1
        assert found[0]["estimate"] == pytest.approx(rho, abs=6e-5)
        assert found[0]["n"] == 181


def test_correlate_prints_a_table(recorded: Path, tmp_path: Path) -> None:
    file = recorded / "outputs/reward-testing/where_from_starling-rm-7b-alpha.csv"
    done = rm_probe(
        "import", "where_from", file, "--model", "starling", "--runs", "R", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "254 of 254 scored" in done.stdout
    done = rm_probe("correlate", "R", "--opinions", "gallup_2017", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    title, header, row, *whose, note = done.stdout.splitlines()
    assert title == "where_from@1  starling"
    assert header.split()[:3] == ["poll", "n", "rho"]
    # One question: a rank correlation, and no interval to pretend with.
    assert row.split()[:5] == ["gallup_2017", "21", "+0.8416", "-", "-"]
    assert whose[0].split()[:3] == ["public", "n", "rho"]
    assert all("[" not in line for line in whose)
    assert "of 39 publics" in whose[-2]
    assert "none is shown to agree more or less" in whose[-1]
    assert "--json" in note


def test_runs_without_scores_do_not_block_the_others(
    recorded: Path, tmp_path: Path
) -> None:
    file = recorded / "outputs/reward-testing/where_from_starling-rm-7b-alpha.csv"
    rm_probe("import", "where_from", file, "--model", "m", "--runs", "R", cwd=tmp_path)
    [run] = (tmp_path / "R").glob("*@*/*@*")
    empty = run.with_name("failed@00000000")
    (empty / "parts").mkdir(parents=True)
    (empty / "manifest.json").write_text((run / "manifest.json").read_text())
    for folder in ("R", "R/where_from@1"):
        done = rm_probe("correlate", folder, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "failed@00000000: nothing scored yet" in done.stderr
    assert rm_probe("correlate", empty, cwd=tmp_path).returncode == 2


def test_unknown_column_in_import_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("item,country,score\nq,USA,1\n")
    done = rm_probe(
        "import", "where_from", "a.csv", "--model", "m", "--runs", "R", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "a.csv has no column 'item_id'" in done.stderr
    assert not (tmp_path / "R").exists()
