"""Every folder and file of the cases, as a user meets it: right, or one clear error.

The right numbers are plain transformers' of one text at a time (`tests.reference`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from probe import cli
from tests import reference

Run = Callable[..., tuple[int, str]]

ITEMS = (
    "item_id,prompt,candidate_id,answer\n"
    "a,Which country has the best food?,x,Peru.\n"
    "a,Which country has the best food?,y,I would say the Netherlands.\n"
    "b,Where are you from?,x,I am from Japan.\n"
)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.csv"
    path.write_text(ITEMS)
    return path


@pytest.fixture
def rm_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The command line in this process: exit status, and all it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rm-probe", *map(str, args)])
        code = 0
        try:
            cli.main()
        except SystemExit as error:
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def scores(runs: Path = Path("runs")) -> pd.DataFrame:
    """All stored scores below a folder, with prompts and answers."""
    found = []
    for path in runs.glob("*/*/manifest.json"):
        parts = pd.read_parquet(path.parent / "parts")
        items = pd.read_parquet(path.parent / "items.parquet")
        found.append(parts.merge(items, on=["item_id", "candidate_id"]))
    return pd.concat(found, ignore_index=True)


def chat(prompt: str, answer: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": answer},
    ]


def same(rows: pd.DataFrame, right: Callable[[str, str], float]) -> None:
    """Each row's score is the reference's of its prompt and answer."""
    assert len(rows)
    for row in rows.itertuples():
        assert row.score == pytest.approx(right(row.prompt, row.answer), abs=1e-4)


def test_all_cases_are_here(cases: Path) -> None:
    """A case that is added to the folder is run by a test of this module."""
    source = Path(__file__).read_text(encoding="utf-8")
    names = {path.name for path in cases.iterdir() if path.is_dir()} - {"inputs"}
    for folder in ("peft", "quantised"):
        names |= {path.name for path in (cases / folder).iterdir()}
    names |= {path.name for path in (cases / "inputs").iterdir()}
    assert {name for name in names if f'"{name}"' not in source} == set()


# -- what a model reads ---------------------------------------------------------


def test_a_bos_that_nobody_writes(cases: Path, items: Path, rm_probe: Run) -> None:
    folder = cases / "bos_nobody_adds"
    assert rm_probe("score", items, folder / "cls")[0] == 0
    same(
        scores(),
        lambda prompt, answer: reference.reward(
            folder / "cls", reference.chat_ids(folder / "cls", chat(prompt, answer))
        ),
    )


@pytest.mark.parametrize("template", ["config", "plain"])
def test_a_bos_that_nobody_writes_before_an_answer(
    cases: Path, items: Path, rm_probe: Run, template: str
) -> None:
    folder = cases / "bos_nobody_adds" / "lm"
    assert rm_probe("score", items, folder, "--template", template)[0] == 0
    rows = scores()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def right(prompt: str, answer: str) -> float:
        text = f"{prompt} {answer}"
        if template == "config":
            text = tokenizer.apply_chat_template(chat(prompt, answer), tokenize=False)
        added = template == "plain"
        return reference.log_prob(
            folder, *reference.answer_ids(folder, text, answer, added)
        )

    same(rows[rows["measure"] == "logprob_sum"], right)


def test_an_eos_that_the_tokenizer_adds(
    cases: Path, items: Path, rm_probe: Run
) -> None:
    folder = cases / "eos_added_by_tokenizer"
    assert rm_probe("score", items, folder)[0] == 0
    [manifest] = Path("runs").glob("*/*/manifest.json")
    assert "scored as plain text" in manifest.read_text()
    same(
        scores(),
        lambda prompt, answer: reference.reward(
            folder, reference.text_ids(folder, f"{prompt} {answer}")
        ),
    )


def test_a_template_that_drops_a_message(cases: Path, rm_probe: Run) -> None:
    folder = cases / "system_dropped"
    code, said = rm_probe("score", folder / "items.jsonl", folder / "m")
    assert code == 2
    assert "No message may be dropped" in said
    assert "system" in said


def test_an_answer_that_a_template_rewrites(cases: Path, rm_probe: Run) -> None:
    folder = cases / "think_template" / "lm"
    code, said = rm_probe("score", cases / "think_template" / "p.csv", folder)
    assert code == 0, said
    rows = scores()
    rows = rows[rows["measure"] == "logprob_sum"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = rows[rows["answer"] == "Peru."]
    same(
        plain,
        lambda prompt, answer: reference.log_prob(
            folder,
            *reference.answer_ids(
                folder,
                tokenizer.apply_chat_template(chat(prompt, answer), tokenize=False),
                answer,
                False,
            ),
        ),
    )
    [other] = rows[rows["answer"] != "Peru."].to_dict("records")
    if other["score"] != other["score"]:
        assert "template" in other["error"]
        assert "1 unscored" in said or "2 unscored" in said
    else:
        # Located: what the template made of it is scored, to the same number.
        text = tokenizer.apply_chat_template(
            chat(other["prompt"], other["answer"]), tokenize=False
        )
        ids, start = reference.answer_ids(folder, text, other["answer"], False)
        right = reference.log_prob(folder, ids, start)
        assert other["score"] == pytest.approx(right, abs=1e-4)


# -- what a checkpoint is ---------------------------------------------------------


def test_the_text_part_of_a_composite(cases: Path, items: Path, rm_probe: Run) -> None:
    folder = cases / "composite_lm"
    code, said = rm_probe("score", items, folder)
    assert code == 0, said
    rows = scores()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    same(
        rows[rows["measure"] == "logprob_sum"],
        lambda prompt, answer: reference.log_prob(
            folder,
            *reference.answer_ids(
                folder,
                tokenizer.apply_chat_template(chat(prompt, answer), tokenize=False),
                answer,
                False,
            ),
        ),
    )
    assert rm_probe("check", folder)[0] == 0


@pytest.mark.parametrize(
    ("name", "packages"),
    [("gptq", ("gptqmodel",)), ("awq", ("gptqmodel", "autoawq"))],
)
def test_a_checkpoint_saved_quantised_names_its_package(
    cases: Path, items: Path, rm_probe: Run, name: str, packages: tuple[str, ...]
) -> None:
    code, said = rm_probe("score", items, cases / "quantised" / name)
    assert code == 2
    assert any(package in said for package in packages), said
    assert said.count("error:") == 1


@pytest.mark.parametrize("name", ["m", "fp"])
def test_a_checkpoint_saved_in_4_bits_is_right(
    cases: Path, items: Path, rm_probe: Run, name: str
) -> None:
    folder = cases / "quantised" / "bnb4_saved" / name
    code, said = rm_probe("check", folder)
    assert code == 0, said
    assert rm_probe("score", items, folder)[0] == 0
    rows = scores()
    for row in rows.itertuples():
        ids = reference.chat_ids(folder, chat(row.prompt, row.answer))
        # Kernels of rounded weights give other sums for other widths.
        assert row.score == pytest.approx(reference.reward(folder, ids), abs=3e-2)


def test_weights_that_are_cut_short(cases: Path, items: Path, rm_probe: Run) -> None:
    code, said = rm_probe("score", items, cases / "truncated_weights")
    assert code == 2
    assert "model.safetensors" in said


def test_positions_that_cannot_be_used(cases: Path, rm_probe: Run) -> None:
    folder = cases / "roberta_positions" / "roberta"
    code, said = rm_probe("score", cases / "roberta_positions" / "items.csv", folder)
    assert code == 0, said
    assert "truncated" in said
    rows = scores()
    assert (rows["truncated_tokens"] > 0).all()
    declared = json.loads((folder / "config.json").read_text())
    usable = declared["max_position_embeddings"] - 2
    for row in rows.itertuples():
        ids = reference.text_ids(folder, f"{row.prompt} {row.answer}")
        cut = [ids[0], *ids[1 + len(ids) - usable :]]
        assert len(cut) == usable
        assert row.score == pytest.approx(reference.reward(folder, cut), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "base"),
    [("lora_on_tied_head", "tied_base"), ("resized_vocabulary", "untied_base")],
)
def test_an_adapter_is_as_peft_has_it(
    cases: Path, items: Path, rm_probe: Run, name: str, base: str
) -> None:
    folder = cases / "peft" / name
    code, said = rm_probe("score", items, folder)
    assert code == 0, said
    rows = scores()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(cases / "peft" / base)
    if name == "resized_vocabulary":
        model.resize_token_embeddings(model.config.vocab_size + 2)
    adapted = PeftModel.from_pretrained(model, folder).eval()

    def right(prompt: str, answer: str) -> float:
        text = tokenizer.apply_chat_template(chat(prompt, answer), tokenize=False)
        ids, start = reference.answer_ids(folder, text, answer, False)
        return reference.log_prob_of(adapted, ids, start)

    same(rows[rows["measure"] == "logprob_sum"], right)
    code, said = rm_probe("check", folder)
    assert code == 0, said


def test_two_labels(cases: Path, items: Path, rm_probe: Run, tmp_path: Path) -> None:
    folder = cases / "labels" / "two"
    code, said = rm_probe("score", items, folder)
    assert code == 2
    assert "label" in said
    config = tmp_path / "two.yaml"
    head = f"name: two\nkind: sequence_classifier\nweights: {folder}\n"
    config.write_text(f"{head}label: [LABEL_1, LABEL_0]\n")
    code, said = rm_probe("score", items, config)
    assert code == 0, said
    same(
        scores(),
        lambda prompt, answer: (
            reference.reward(
                folder, ids := reference.chat_ids(folder, chat(prompt, answer)), 1
            )
            - reference.reward(folder, ids, 0)
        ),
    )


def test_rotary_scaling_by_length(cases: Path, rm_probe: Run) -> None:
    folder = cases / "longrope" / "cls"
    assert rm_probe("score", cases / "longrope" / "items.csv", folder)[0] == 0
    same(
        scores(),
        lambda prompt, answer: reference.reward(
            folder, reference.chat_ids(folder, chat(prompt, answer))
        ),
    )


# -- files ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["bigint.yaml", "bomb_name.yaml", "date.yaml", "deep.yaml", "unhash.yaml"]
)
def test_a_config_that_is_none(cases: Path, rm_probe: Run, name: str) -> None:
    began = time.monotonic()
    code, said = rm_probe("score", "where_from", cases / "inputs" / name)
    assert time.monotonic() - began < 5
    assert code == 2
    assert said.count("error:") == 1 and name in said


def test_a_protocol_with_a_key_twice(cases: Path, rm_probe: Run) -> None:
    protocol = cases / "inputs" / "dupkey_protocol.yaml"
    code, said = rm_probe(
        "show", "global_opinions", "smollm2_135m_instruct", "--protocol", protocol
    )
    assert code == 2
    assert "persona" in said and "twice" in said


@pytest.mark.parametrize("name", ["deepmsg.csv", "hdr.csv"])
def test_items_that_are_none(cases: Path, rm_probe: Run, name: str) -> None:
    model = cases / "bos_nobody_adds" / "cls"
    code, said = rm_probe("score", cases / "inputs" / name, model)
    assert code == 2
    assert said.count("error:") == 1 and name in said


def test_a_model_that_gives_every_country_the_same(cases: Path, rm_probe: Run) -> None:
    file = cases / "inputs" / "equal_countries.csv"
    assert rm_probe("import", "askreddit", file, "--model", "equal")[0] == 0
    code, said = rm_probe("report", "runs", "--out", "out")
    assert code == 0, said
    page = Path("out/report.md").read_text()
    assert "supported" not in page.replace("not supported", "")
    assert "Brazil, Canada and China" not in page


def test_scores_beyond_all_bounds(cases: Path, rm_probe: Run) -> None:
    file = cases / "inputs" / "huge_countries.csv"
    assert rm_probe("import", "askreddit", file, "--model", "huge")[0] == 0
    assert rm_probe("correlate", "runs")[0] == 0
    code, said = rm_probe("report", "runs", "--out", "out")
    assert code == 0, said
    assert "NaN" not in Path("out/summary.json").read_text()


def test_cells_that_are_formulas(cases: Path, rm_probe: Run) -> None:
    file = cases / "inputs" / "imp_formula.csv"
    code, said = rm_probe("import", "dialect_pairs", file, "--model", "m")
    assert code == 0, said
    assert rm_probe("report", "runs", "--out", "out")[0] == 0
    for table in Path("out/tables").glob("*.csv"):
        cells = pd.read_csv(table, dtype=str, keep_default_na=False)
        for cell in cells.to_numpy().ravel():
            assert not str(cell).startswith(("=HYPER", "=cmd")), table


def test_scores_from_elsewhere(cases: Path, rm_probe: Run) -> None:
    folder = cases / "inputs" / "import_pairs"
    code, said = rm_probe(
        "import", folder / "pairs.csv", folder / "scores.csv", "--model", "mine"
    )
    assert code == 0, said
    rows = scores()
    pairs = pd.read_csv(folder / "pairs.csv").set_index("item_id")
    assert set(rows["candidate_id"]) == {"chosen", "rejected"}
    for row in rows.itertuples():
        assert row.answer == pairs.loc[row.item_id, row.candidate_id]
        assert row.prompt == pairs.loc[row.item_id, "prompt"]


def test_recorded_cells_that_are_empty(cases: Path, rm_probe: Run) -> None:
    folder = cases / "inputs" / "recorded_blank_cells"
    code, said = rm_probe("reproduce", "ryan2024", "--recorded", folder)
    assert "error:" not in said or code == 1
    assert "Mistral-7B-v0.1" in said
