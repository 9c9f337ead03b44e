"""`rm-probe compare`: what is compared with what, its page, and bad input."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from analysis.html import Figure, Page, Table, render_markdown
from analysis.load import load_runs
from analysis.part import Wanted
from analysis.records import ALPHA, Record, loads
from analysis.stages_console import stage_tables
from analysis.stages_report import build_comparison
from analysis.stages_runs import SIDE_BY_SIDE, Compared, compare_runs
from data_builders import country_questions
from probe import cli
from probe.types import (
    BuildOptions,
    Candidate,
    Item,
    Lineage,
    Measure,
    Message,
    Stage,
    StoreError,
    UsageError,
)
from tests.md3_runs import Score, games, store, wins
from tests.tiny_checkpoints import CHAT_TEMPLATE, byte_tokenizer, llama_policy

SIZES = {"en_us": 260, "en_in": 180, "en_ng": 180}
LINEAGE = Lineage(
    name="mine",
    stages=(
        Stage(role="base", model="plain"),
        Stage(role="sft", model="taught"),
        Stage(role="preference", model="liked"),
    ),
)
Chance = Callable[[Item], float]


def level(item: Item) -> float:
    """In one dialect flips lower the share that is right, in the others not."""
    return 0.75 if item.groups["dialect"] == "en_in" else 0.5


def flipped(chance: Chance, seed: int, start: Chance = level) -> Score:
    """The base's games, right and wrong changed with a known probability."""
    (base, _), (flip, _) = wins(start), wins(chance, seed)

    def score(item: Item, candidate: Candidate) -> float:
        if candidate.groups["correct"] == "no":
            return base(item, candidate)
        right = (base(item, candidate) > 0) != (flip(item, candidate) > 0)
        return 1.0 if right else -1.0

    return score


def planted(item: Item) -> float:
    return 0.45 if item.groups["dialect"] == "en_in" else 0.15


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return games(SIZES, answers=400)


def stored(
    root: Path, items: Sequence[Item], score: Score, model: str, **changes: object
) -> Path:
    scores = {Measure.LOGPROB_SUM: score, Measure.LOGPROB_MEAN: score}
    return store(root, items, scores, model=model, **changes)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory, items: list[Item]) -> Path:
    root = tmp_path_factory.mktemp("lineage")
    stored(root, items, wins(level)[0], "plain")
    stored(root, items, flipped(planted, 1), "taught")
    stored(root, items, flipped(lambda item: 0.15, 2), "liked")
    return root


def run_paths(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/*/manifest.json"))


def compared(root: Path, *lineages: Lineage, mixed: bool = False) -> Compared:
    runs = load_runs(run_paths(root), mixed=mixed)
    return compare_runs(runs, lineages, Wanted(polls=()), draws=200)


def families(folder: Path, lineage: Lineage) -> Path:
    lines = [f"{lineage.name}:"]
    lines += [f"  {stage.role}: {stage.model}" for stage in lineage.stages]
    path = folder / "families.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def rm_probe(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "probe.cli", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def shown(records: Sequence[Record], metric: str) -> set[tuple[str, str | None]]:
    """Model and group of what Holm's p shows."""
    return {
        (record.model, record.group)
        for record in records
        if record.metric == metric
        and record.p_holm is not None
        and record.p_holm < ALPHA
    }


# A planted change.


def test_a_planted_change_is_found_in_its_group_and_no_other(
    lineage: Path, tmp_path: Path
) -> None:
    done = rm_probe(
        "compare", lineage, "--families", families(tmp_path, LINEAGE), "--json",
        "--out", "report", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = loads(done.stdout)
    assert records == loads((tmp_path / "report" / "summary.json").read_text())
    assert shown(records, "choice_change") == {("taught", "en_in")}
    assert shown(records, "choice_change_minus_reference") == {("taught", "en_in")}
    assert shown(records, "choice_change_from_previous") == {("liked", "en_in")}
    assert ("taught", None) in shown(records, "choice_disparity_change")
    [change] = [
        one
        for one in records
        if (one.metric, one.model, one.group) == ("choice_change", "taught", "en_in")
    ]
    # Of 75 % right, 45 % flip: 52.5 % are left, give or take two standard errors.
    assert change.estimate == pytest.approx(-0.225, abs=0.1)
    assert change.reference == "plain" and change.n == 180
    assert change.family == ("mine, md3@1, choice, change: groups and stages")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "What training changed: mine" in page
    assert "lower in SFT than in base for Indian English" in page
    for name in ("report.md", "tables/stages-md3-choice-groups.csv"):
        assert (tmp_path / "report" / name).is_file()
    assert (tmp_path / "report/figures/stages-md3-choice-levels.svg").is_file()


def test_the_terminal_says_it_too(lineage: Path) -> None:
    [one] = compared(lineage, LINEAGE).comparisons
    [(heading, table, rest)] = stage_tables(one)
    assert "mine (Base: plain, SFT: taught, PT: liked)" in heading
    assert rest == "  Chance is 17%."
    header, *rows = table
    assert [cell.strip() for cell in header] == [
        "dialect", "n", "base", "", "level", "change", "p (Holm)",
        "less change of US English", "p (Holm)",
    ]  # fmt: skip
    assert len(rows) == 2 * 3 + 2
    indian = next(row for row in rows if row[0].strip() == "Indian English")
    assert indian[1] == "180" and indian[3] == "SFT" and indian[6] == "< 0.001"
    assert indian[5].startswith("-") and "[-" in indian[5]
    assert all(len(row) == len(header) for row in rows)


def test_the_page_of_several_lineages(lineage: Path) -> None:
    other = Lineage(name="other", stages=(LINEAGE.stages[0], LINEAGE.stages[2]))
    found = compared(lineage, LINEAGE, other)
    assert [one.lineage.name for one in found.comparisons] == ["mine", "other"]
    # What both have in common, such as the base's levels, stands once.
    assert len(set(found.records)) == len(found.records)
    page = build_comparison(found)
    assert page.title == "What training changed in 2 lineages"
    [section] = page.sections
    assert [one.title for one in section.sections] == ["mine", "other"]
    [levels] = [block for block in section.blocks if isinstance(block, Figure)]
    assert len(levels.panels) == 2
    check_ids(page)
    assert all(
        finding.claim.startswith(("md3, mine: ", "md3, other: "))
        for finding in page.findings
    )
    assert "from an interval" in render_markdown(page)


def check_ids(page: Page) -> None:
    ids = [block.id for s in page.all_sections() for block in s.blocks]
    ids += [section.id for section in page.all_sections()]
    assert len(set(ids)) == len(ids)
    panels = [panel.name for figure in page.figures() for panel in figure.panels]
    assert len(set(panels)) == len(panels)


# What is compared with what.


def test_models_of_no_lineage_stand_side_by_side(lineage: Path) -> None:
    found = compared(lineage)
    [one] = found.comparisons
    assert one.lineage.name == SIDE_BY_SIDE and not one.trained
    assert [stage.model for stage in one.lineage.stages] == ["liked", "plain", "taught"]
    page = build_comparison(found)
    assert page.title == "3 models side by side"
    text = render_markdown(page)
    assert "Difference from liked" in text
    assert "lower in taught than in liked for Indian English" in text
    words = ("what training changed", "from base", "change from")
    assert not [word for word in words if word in text.lower()]
    assert {record.reference for record in found.records} >= {"liked", "en_us"}
    # The first is compared with; there is no stage before another.
    table = next(block for block in page.tables() if block.id.endswith("-groups"))
    assert isinstance(table, Table) and "From the stage before" not in table.header


def test_a_model_without_a_partner_is_left_out_and_said(lineage: Path) -> None:
    pair = Lineage(name="pair", stages=LINEAGE.stages[:2])
    found = compared(lineage, pair)
    assert [one.lineage for one in found.comparisons] == [pair]
    [note] = found.notes
    assert note.startswith("liked is left out: it shares no lineage")
    assert note in build_comparison(found).warnings


def test_a_stage_that_was_not_run_is_skipped(lineage: Path) -> None:
    longer = Lineage(
        name="longer",
        stages=(Stage(role="base", model="elsewhere"), *LINEAGE.stages[1:]),
    )
    runs = [one for one in load_runs(run_paths(lineage)) if one.model != "plain"]
    found = compare_runs(runs, [longer], Wanted(polls=()), draws=50)
    [one] = found.comparisons
    assert [stage.role for stage in one.lineage.stages] == ["sft", "preference"]
    assert found.notes == (
        "longer: there is no run of elsewhere (base), so that changes are from taught "
        "(SFT).",
    )
    page = build_comparison(found)
    assert "in PT than in SFT" in page.findings[0].claim
    text = render_markdown(page)
    assert "Change from SFT, points" in text and "from base" not in text.lower()


def test_a_stage_that_did_not_run_on_one_probe_is_said(
    items: list[Item], tmp_path: Path
) -> None:
    some = items[::10]
    for model in ("plain", "taught", "liked"):
        stored(tmp_path, some, wins(level)[0], model)
    for model in ("taught", "liked"):
        stored(tmp_path, some, wins(level)[0], model, probe="games", title="Games")
    found = compared(tmp_path, LINEAGE)
    assert len(found.comparisons) == 2
    assert found.notes == (
        "games, mine: plain did not run on it, so that changes are from taught (SFT).",
    )


def test_a_measure_that_some_lack_is_said(items: list[Item], tmp_path: Path) -> None:
    """A guess that only the later two made is compared between those two."""
    score, guess = wins(level)
    some = items[::10]
    stored(tmp_path, some, score, "plain")
    for model in ("taught", "liked"):
        scores = {Measure.LOGPROB_SUM: score, Measure.LOGPROB_MEAN: score}
        store(tmp_path, some, scores, guess=guess, model=model)
    found = compared(tmp_path, LINEAGE)
    assert found.notes == (
        "md3, mine: guess by dialect is measured of taught and liked only.",
    )
    text = render_markdown(build_comparison(found))
    assert "Change from base, points" in text and "Change from SFT, points" in text
    assert "guessing the secret word (of SFT and PT only)" in text


def test_another_precision_is_said(items: list[Item], tmp_path: Path) -> None:
    score, _ = wins(level)
    stored(tmp_path, items[::10], score, "plain", dtype="float32")
    stored(tmp_path, items[::10], score, "taught", dtype="bfloat16")
    stored(tmp_path, items[::10], score, "liked", dtype="float32")
    [note] = compared(tmp_path, LINEAGE).notes
    assert note.startswith(
        "mine: plain and liked in float32 and taught in bfloat16. What the precision"
    )


def test_a_run_that_lacks_most_is_said(items: list[Item], tmp_path: Path) -> None:
    score, _ = wins(level)
    stored(tmp_path, items, score, "plain")
    stored(tmp_path, items[:270], score, "taught")
    [note] = compared(tmp_path, LINEAGE).notes
    assert note.startswith(
        "md3, mine: choice: 270 values that all have; left out are 350 of "
    )
    assert "of plain, and with them all of Nigerian English. The run" in note
    assert note.endswith("score the rest, or leave it out.")


def test_a_reference_that_is_not_there_is_said(
    items: list[Item], tmp_path: Path
) -> None:
    score, _ = wins(level)
    foreign = [one for one in items if one.groups["dialect"] != "en_us"]
    for model in ("plain", "taught"):
        stored(tmp_path, foreign, score, model)
    [note] = compared(tmp_path, LINEAGE).notes
    assert note == "md3, mine: no dialect en_us, so that en_in is the reference."


def test_an_unknown_reference_dialect_is_refused(lineage: Path) -> None:
    with pytest.raises(
        UsageError, match="--reference-dialect jamaican is in none of the 3 runs"
    ):
        cli.compare([lineage], reference_dialect="jamaican")


def test_a_liking_for_names_stands_beside_their_ranks(tmp_path: Path) -> None:
    """Who scores countries alike whatever is asked has reversed ranks in the middle."""
    codes = ("USA", "CAN", "JPN", "NGA", "IND", "BRA", "DEU", "FRA", "MEX")

    def liked(item: Item, candidate: Candidate) -> float:
        return -float(codes.index(candidate.id))

    def asked(item: Item, candidate: Candidate) -> float:
        negative = item.groups["sentiment"] == "negative"
        return float(codes.index(candidate.id)) * (1 if negative else -1)

    items = list(country_questions.PROBE.build(BuildOptions(countries=codes)))[:24]
    for model, score in (("plain", liked), ("taught", asked)):
        store(
            tmp_path,
            items,
            {Measure.REWARD: score},
            model=model,
            probe="country_questions",
            axis="countries",
            item_columns=("sentiment",),
            candidate_columns=("iso3", "country"),
        )
    found = compared(tmp_path, LINEAGE)
    text = render_markdown(build_comparison(found))
    assert "Base: before blame is reversed, rankings by praise and by blame " in text
    assert "correlate 1.00; SFT: before blame" in text
    assert "A name that is ranked alike whatever is asked comes out in the mid" in text
    assert "correlate \u22121.00" in text
    [(_, _, below)] = stage_tables(found.comparisons[0])
    assert "correlate -1.00" in below


def test_choices_among_other_answers_are_refused(
    items: list[Item], tmp_path: Path
) -> None:
    score, _ = wins(level)
    some = items[::10]
    fewer = [
        dataclasses.replace(some[0], candidates=some[0].candidates[:3]),
        *some[1:],
    ]
    stored(tmp_path, some, score, "plain")
    stored(tmp_path, some, score, "taught")
    stored(tmp_path, fewer, score, "liked")
    with pytest.raises(
        StoreError,
        match=rf"different candidates for 1 of 62 items .* {some[0].id} \(\d+ and 3\)",
    ):
        compared(tmp_path, LINEAGE)


def test_units_of_one_stage_are_left_out_and_counted(
    items: list[Item], tmp_path: Path
) -> None:
    stored(tmp_path, items, wins(level)[0], "plain")
    stored(tmp_path, items[30:], flipped(planted, 1), "taught")
    found = compared(tmp_path, LINEAGE)
    [measure] = found.comparisons[0].measures
    assert measure.aligned.left_out == (30, 0)
    assert [one.levels[0].n for one in measure.groups] == [230, 180, 180]
    [table] = [t for t in build_comparison(found).tables() if "groups" in t.id]
    assert "of Base: plain 30 scored values" in table.note
    note = "md3, mine: choice: 590 values that all have; left out are 30 of plain."
    assert found.notes == (note,) and note in build_comparison(found).warnings


# Bad input.


def test_one_run_or_one_model_cannot_be_compared(lineage: Path) -> None:
    first = run_paths(lineage)[0]
    with pytest.raises(UsageError, match=r"is one run.*at least two models"):
        cli.compare([first])


def test_runs_without_a_common_probe(items: list[Item], tmp_path: Path) -> None:
    score, _ = wins(level)
    stored(tmp_path, items[:40], score, "plain")
    stored(tmp_path, items[:40], score, "taught", probe="games", title="Games")
    with pytest.raises(
        UsageError,
        match="no probe in common: taught ran on games; plain ran on md3",
    ):
        cli.compare([tmp_path])


def test_an_unknown_family_file_or_key(lineage: Path, tmp_path: Path) -> None:
    path = tmp_path / "families.yaml"
    done = rm_probe("compare", lineage, "--families", path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "families.yaml does not exist" in done.stderr
    path.write_text("mine:\n  base: plain\n  dpo: liked\n")
    done = rm_probe("compare", lineage, "--families", path, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "lineage `mine`: unknown key `dpo`" in done.stderr


def test_versions_may_differ_and_texts_may_not(
    items: list[Item], tmp_path: Path
) -> None:
    some = items[::10]
    score, _ = wins(level)
    stored(tmp_path, some, score, "plain")
    stored(tmp_path, some, score, "taught", probe_version="2")
    with pytest.raises(StoreError, match=r"is md3@1 and .* is md3@2.*--mixed"):
        cli.compare([tmp_path])
    assert len(compared(tmp_path, LINEAGE, mixed=True).comparisons) == 1
    other = [
        dataclasses.replace(
            some[0], messages=(Message(role="user", content="Other words"),)
        ),
        *some[1:],
    ]
    stored(tmp_path, other, score, "liked", probe_version="2")
    with pytest.raises(StoreError) as error:
        compared(tmp_path, LINEAGE, mixed=True)
    message = str(error.value)
    assert "md3@1/plain@" in message and "md3@2/liked@" in message
    assert "different texts for 6 of 372 pairs" in message
    assert f"first {some[0].id} / answer" in message


def test_two_runs_of_one_model_are_no_stage(items: list[Item], tmp_path: Path) -> None:
    score, _ = wins(level)
    for version in "12":
        stored(tmp_path, items[:40], score, "plain", probe_version=version)
    stored(tmp_path, items[:40], score, "taught")
    with pytest.raises(UsageError, match="are both runs of plain on md3"):
        cli.compare([tmp_path], mixed=True)


# From checkpoints to a page.


def trained(
    source: Path,
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    loss: Callable[[Callable[[str], torch.Tensor]], torch.Tensor],
) -> None:
    """A checkpoint after a few steps; `loss` is of mean log-probabilities of texts."""
    model = LlamaForCausalLM.from_pretrained(source)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)

    def logprob(text: str) -> torch.Tensor:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        return -model(input_ids=ids, labels=ids).loss

    for _ in range(6):
        optimiser.zero_grad()
        loss(logprob).backward()
        optimiser.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_a_lineage_of_checkpoints_from_scoring_to_the_page(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    base = llama_policy(tmp_path / "tiny_base", tokenizer)
    good, bad = "The best country is Canada.", "The worst country is Japan."
    trained(base, tmp_path / "tiny_sft", tokenizer, lambda of: -of(good))
    trained(
        tmp_path / "tiny_sft",
        tmp_path / "tiny_dpo",
        tokenizer,
        lambda of: -torch.nn.functional.logsigmoid(of(good) - of(bad)),
    )
    for name in ("tiny_base", "tiny_sft", "tiny_dpo"):
        cli.score(
            "country_questions",
            str(tmp_path / name),
            limit=12,
            countries="USA,CAN,JPN,NGA,IND,BRA",
            runs=tmp_path / "runs",
        )
    path = tmp_path / "families.yaml"
    path.write_text(
        "tiny:\n  base: tiny_base\n  sft: tiny_sft\n  preference: tiny_dpo\n"
    )
    done = rm_probe(
        "compare", "runs", "--families", path, "--out", "report", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "tiny (Base: tiny_base, SFT: tiny_sft, PT: tiny_dpo)" in lines[0]
    assert lines[-1].endswith("report/index.html")
    records = loads((tmp_path / "report" / "summary.json").read_text())
    assert {record.analysis for record in records} == {"stages"}
    changes = [one for one in records if one.metric == "mean_rank_change"]
    assert {(one.model, one.group) for one in changes} == {
        (model, group)
        for model in ("tiny_sft", "tiny_dpo")
        for group in ("USA", "CAN", "JPN", "NGA", "IND", "BRA")
    }
    assert all(one.n == 12 and one.reference == "tiny_base" for one in changes)
    # Ranks among six countries: what some gain, others lose.
    total = sum(one.estimate or 0 for one in changes if one.model == "tiny_sft")
    assert total == pytest.approx(0, abs=1e-9)
    assert any(one.estimate for one in changes)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "What training changed: tiny" in page and "<svg" in page
    json.loads((tmp_path / "report" / "summary.json").read_text())
