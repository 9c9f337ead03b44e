"""The same content in several dialects: the shipped pairs and users' own files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from data_builders import dialect_pairs, dialect_rows, pairs_file, probes, tables
from data_builders.preferences import HELD_BACK
from data_builders.select import limit_items
from probe.cli import main
from probe.store import find_runs, read_items, read_manifest
from probe.types import BuildOptions, DataError, Item, Probe
from tests.tiny_checkpoints import byte_tokenizer, llama_classifier

FILE = "dialect/rewardbench_594_multivalue_6dialects.jsonl"
NAMES = ("african_american", "appalachian", "chicano", "indian", "jamaican")


def items(probe: Probe) -> list[Item]:
    return list(probe.build(BuildOptions()))


def lost(probe: Probe) -> dict[str, int]:
    assert probe.dropped is not None
    return dict(probe.dropped(BuildOptions()))


# -- shipped --------------------------------------------------------------------


def test_shipped_items(shared_data: Path) -> None:
    options = BuildOptions(data=shared_data)
    probe = dialect_pairs.PROBE
    found = list(probe.build(options))
    lines = tables.read(shared_data / FILE).lines
    rows = {str(line.values["id"]): line.values for line in lines}
    kept = list(dict.fromkeys(str(item.groups["row"]) for item in found))
    assert probe.dropped is not None
    assert probe.dropped(options) == {HELD_BACK: 594 - len(kept)}
    assert len(found) == 6 * len(kept)
    endings = {v: f"_{k}" for k, v in dialect_pairs.DIALECTS.items()} | {"standard": ""}
    for item in found:
        row, dialect = str(item.groups["row"]), str(item.groups["prompt_dialect"])
        assert item.id == f"{row}/{dialect}"
        assert tuple(item.groups) == probe.item_columns
        assert item.groups["subset"] == rows[row]["subset"]
        assert item.messages[0].content == rows[row][f"prompt{endings[dialect]}"]
        same_prompt = item.messages[0].content == rows[row]["prompt"]
        assert item.groups["prompt_same"] == ("yes" if same_prompt else "no")
        assert item.meta == {"reference": "standard", "dialects": ["standard", *NAMES]}
        ids = [candidate.id for candidate in item.candidates]
        if dialect == "standard":
            wanted = [f"chosen-{name}" for name in ("standard", *NAMES)]
            assert ids == [*wanted, "rejected-standard"]
        else:
            assert ids == [
                f"chosen-{dialect}",
                f"rejected-{dialect}",
                "chosen-standard",
            ]
        for candidate in item.candidates:
            role, written = candidate.id.split("-")
            assert candidate.answer == rows[row][f"{role}{endings[written]}"]
            same = candidate.answer == rows[row][role]
            assert candidate.groups == {
                "role": role, "dialect": written, "same": "yes" if same else "no"
            }  # fmt: skip


def test_variants_that_are_the_standard_text_are_marked(shared_data: Path) -> None:
    """Over both halves: as many as the file has."""
    both = [
        item
        for half in ("probe", "train")
        for item in dialect_pairs.PROBE.build(
            BuildOptions(data=shared_data, half=half)  # type: ignore[arg-type]
        )
    ]
    same = Counter(
        item.groups["prompt_dialect"]
        for item in both
        if item.groups["prompt_same"] == "yes"
    )
    assert same == dict(
        zip(("standard", *NAMES), (594, 24, 59, 348, 9, 32), strict=True)
    )
    answers = Counter(
        candidate.groups["dialect"]
        for item in both
        if item.groups["prompt_dialect"] == "standard"
        for candidate in item.candidates
        if candidate.groups["role"] == "chosen" and candidate.groups["same"] == "yes"
    )
    assert answers == dict(
        zip(("standard", *NAMES), (594, 35, 63, 106, 29, 35), strict=True)
    )


def test_a_limit_draws_whole_rows_of_many_subsets(shared_data: Path) -> None:
    probe = dialect_pairs.PROBE
    found = list(probe.build(BuildOptions(data=shared_data)))
    drawn = limit_items(found, probe.item_columns, 40, 0, probe.unit)
    rows = Counter(item.groups["row"] for item in drawn)
    assert len(rows) == 40 and set(rows.values()) == {6}
    subsets = {item.groups["subset"] for item in found}
    assert {item.groups["subset"] for item in drawn} == subsets


def test_the_authors_file_has_another_name(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "raw" / "reward_bench"
    folder.mkdir(parents=True)
    with (shared_data / FILE).open(encoding="utf-8") as lines:
        text = "".join(line for line, _ in zip(lines, range(30), strict=False))
    path = folder / "reward_bench_filtered_expanded_mv.json"
    path.write_text(text, encoding="utf-8")
    found = list(dialect_pairs.PROBE.build(BuildOptions(data=tmp_path)))
    assert 5 < len({item.groups["row"] for item in found}) < 25
    path.write_text(text.replace("chosen_Indian", "chosen_Indain"), encoding="utf-8")
    with pytest.raises(DataError, match="no column 'chosen_IndianDialect'"):
        list(dialect_pairs.PROBE.build(BuildOptions(data=tmp_path)))


# -- users' files -----------------------------------------------------------------

LONG = """row_id,dialect,prompt,chosen,rejected,subset,author
1,us,Who is it?,It is Ann.,It is not.,x,a
1,ng,Who be dat?,Na Ann.,No be am.,x,b
2,us,Why?,Because.,,y,a
2,ng,Why now?,Because sha.,,y,b
1,in,Who is it only?,It is Ann only.,It is not.,x,c
2,in,Why?,Because.,,y,c
"""


def write(tmp_path: Path, text: str | bytes, name: str = "mine.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(tmp_path: Path, text: str | bytes) -> Probe:
    return probes.load(str(write(tmp_path, text)))


def test_a_long_file(tmp_path: Path) -> None:
    probe = load(tmp_path, LONG)
    assert (probe.name, probe.axis, probe.unit) == ("mine", "dialects", "row")
    assert probe.item_columns == dialect_rows.ITEM_COLUMNS
    # Who wrote it differs between a row's dialects: a column of the candidate.
    assert probe.candidate_columns == (*dialect_rows.CANDIDATE_COLUMNS, "author")
    found = items(probe)
    assert [item.id for item in found] == [
        "1/us", "1/ng", "1/in", "2/us", "2/ng", "2/in"
    ]  # fmt: skip
    assert found[0].meta == {"reference": "us", "dialects": ["us", "ng", "in"]}
    assert [c.id for c in found[0].candidates] == [
        "chosen-us", "chosen-ng", "chosen-in", "rejected-us"
    ]  # fmt: skip
    assert [c.groups["author"] for c in found[0].candidates] == ["a", "b", "c", "a"]
    assert [(c.id, c.answer, c.groups["same"]) for c in found[2].candidates] == [
        ("chosen-in", "It is Ann only.", "no"),
        ("rejected-in", "It is not.", "yes"),
        ("chosen-us", "It is Ann.", "yes"),
    ]
    # No rejected answers: they are left out.
    assert [c.id for c in found[4].candidates] == ["chosen-ng", "chosen-us"]
    assert [item.groups["prompt_same"] for item in found] == [
        "yes", "no", "no", "yes", "no", "yes"
    ]  # fmt: skip
    assert [item.groups["subset"] for item in found] == ["x", "x", "x", "y", "y", "y"]
    assert lost(probe) == {}


def test_standard_is_the_reference_wherever_it_stands(tmp_path: Path) -> None:
    text = LONG.replace(",in,", ",standard,").replace("1,ng", "1,african american")
    [first, *_] = items(load(tmp_path, text))
    assert first.meta["dialects"] == ["standard", "us", "african american", "ng"]


def test_a_wide_file_is_the_same(tmp_path: Path) -> None:
    rows = [
        {
            "row_id": 1, "prompt": "Who is it?", "chosen": "It is Ann.",
            "rejected": "It is not.", "prompt_ng": "Who be dat?",
            "chosen_ng": "Na Ann.", "rejected_ng": "No be am.", "subset": "x",
            "chosen_model": "a",
        },
        {
            "row_id": 2, "prompt": "Why?", "chosen": "Because.", "rejected": None,
            "prompt_ng": "Why now?", "chosen_ng": "Because sha.", "rejected_ng": "",
            "subset": "y", "chosen_model": "b",
        },
    ]  # fmt: skip
    path = write(tmp_path, "\n".join(map(json.dumps, rows)), "wide.jsonl")
    wide = probes.load(str(path))
    assert wide.item_columns == (*dialect_rows.ITEM_COLUMNS, "chosen_model")
    long = LONG.replace(",us,", ",standard,").splitlines()
    kept = "\n".join(line for line in long if ",in," not in line)
    plain = load(tmp_path, kept)
    texts = [
        (item.id, item.messages, [(c.id, c.answer) for c in item.candidates])
        for item in items(wide)
    ]
    assert texts == [
        (item.id, item.messages, [(c.id, c.answer) for c in item.candidates])
        for item in items(plain)
    ]


def test_the_shared_file_as_a_users_own_is_not_divided(shared_data: Path) -> None:
    probe = probes.load(str(shared_data / FILE))
    found = items(probe)
    assert len({item.groups["row"] for item in found}) == 594
    assert lost(probe) == {}
    assert found[0].meta["dialects"] == ["standard", *dialect_pairs.DIALECTS]
    assert not probe.words


def cut(text: str, *lines: int) -> str:
    return "\n".join(x for i, x in enumerate(text.splitlines()) if i not in lines)


IDENTICAL = LONG.replace("Who is it only?,It is Ann only.", "Who is it?,It is Ann.")


@pytest.mark.parametrize(
    ("text", "counts", "ids"),
    [
        # Unequal numbers of rows: what is missing is counted, the rest is compared.
        (
            cut(LONG, 6),
            {dialect_rows.DIALECT_MISSING: 1},
            ["1/us", "1/ng", "1/in", "2/us", "2/ng"],
        ),
        (
            cut(LONG, 4, 6),
            {dialect_rows.DIALECT_MISSING: 2, dialect_rows.ALONE: 1},
            ["1/us", "1/ng", "1/in"],
        ),
        (
            cut(LONG, 3),
            {dialect_rows.REFERENCE_MISSING: 1},
            ["1/us", "1/ng", "1/in"],
        ),
        (
            LONG.replace("Na Ann.", " "),
            {dialect_rows.NO_TEXT: 1},
            ["1/us", "1/in", "2/us", "2/ng", "2/in"],
        ),
        (
            LONG.replace("Why?,Because.,,y,a", ",Because.,,y,a"),
            {dialect_rows.NO_TEXT: 1},
            ["1/us", "1/ng", "1/in"],
        ),
        (
            LONG.replace("No be am.", ""),
            {dialect_rows.REJECTED_MISSING: 1},
            ["1/us", "1/ng", "1/in", "2/us", "2/ng", "2/in"],
        ),
        (
            IDENTICAL,
            {"in identical to us everywhere": 2},
            ["1/us", "1/ng", "2/us", "2/ng"],
        ),
    ],
)
def test_what_cannot_be_compared_is_left_out_and_counted(
    tmp_path: Path, text: str, counts: dict[str, int], ids: list[str]
) -> None:
    probe = load(tmp_path, text)
    assert lost(probe) == counts
    found = items(probe)
    assert [item.id for item in found] == ids
    for item in found:
        used = {candidate.groups["dialect"] for candidate in item.candidates}
        assert used <= {str(i).split("/")[1] for i in ids if i[0] == item.id[0]}
        assert all(candidate.answer.strip() for candidate in item.candidates)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LONG.replace("dialect", "variety"), ["row_id '1'", "--columns dialect=NAME"]),
        (
            LONG.replace("dialect", "variety").replace("rejected", "other"),
            ["no column 'rejected'", "a column 'dialect'"],
        ),
        (LONG.replace("prompt", "question"), ["no column 'prompt'", "prompt=NAME"]),
        (LONG.replace("row_id", "nr"), ["no column 'row_id'", "row_id=NAME"]),
        (cut(LONG, 2, 4, 5, 6), ["one dialect only, 'us'"]),
        (LONG.replace("2,ng", "3,gh"), ["'gh'", "'us'", "same id"]),
        (LONG + "1,us,A?,B.,C.,x,a\n", ["line 8", "row_id '1' in 'us'", "line 2"]),
        (LONG.replace("1,ng", "1,n/g"), ["line 3", "'n/g'"]),
        (LONG.replace("1,ng", "1, "), ["line 3", "column 'dialect'"]),
        (LONG.replace("author", "same"), ["'same'", "--columns my_same=same"]),
        (LONG.replace("x,b", "z,b"), ["column 'subset'", "several values"]),
        (LONG.encode() + b"3,us,\xe9,a,b,x,a\n", ["line 8", "0xe9", "UTF-8"]),
        (
            cut(IDENTICAL, 2, 4),
            ["the texts of in are those of 'us' in every row"],
        ),
        (
            "prompt,chosen,rejected,prompt_x,rejected_x\na,b,c,d,e\n",
            ["no column 'chosen_x'", "--columns chosen_x=NAME"],
        ),
        (
            "prompt,chosen,prompt_standard,chosen_standard\na,b,c,d\n",
            ["chosen_standard beside chosen"],
        ),
        (
            "id,prompt,chosen,prompt_x,chosen_x\n1,a,b,c,d\n1,e,f,g,h\n",
            ["line 3", "id '1'", "line 2"],
        ),
    ],
)
def test_bad_files(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    with pytest.raises(DataError) as error:
        load(tmp_path, text)
    for word in [*words, "mine.csv"]:
        assert word in str(error.value)


def test_dialects_of_conversations_are_refused(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Why?"}]
    rows = [
        {"row_id": 1, "dialect": name, "prompt": turns, "chosen": "A"}
        for name in ("us", "in")
    ]
    path = write(tmp_path, "\n".join(map(json.dumps, rows)), "mine.jsonl")
    with pytest.raises(DataError, match="line 1, column 'prompt'"):
        probes.load(str(path))


def test_columns_tell_the_forms_apart() -> None:
    assert pairs_file.is_pairs(("dialect", "chosen"))
    assert pairs_file.is_pairs(("prompt", "chosen", "prompt_x", "chosen_x"))
    # Columns of many published pairs, none of which is a dialect.
    names = ("prompt", "prompt_id", "chosen", "chosen_model", "rejected_model")
    assert not pairs_file.is_pairs(names)


def test_a_users_file_is_scored_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = LONG.replace("dialect,prompt,chosen", "variety,question,answer")
    path = write(tmp_path, cut(text, 6))
    model = llama_classifier(tmp_path / "model", byte_tokenizer())
    columns = "dialect=variety,prompt=question,chosen=answer"

    def call(*words: str) -> str:
        arguments = [*words, str(path), str(model), "--columns", columns]
        monkeypatch.setattr("sys.argv", ["rm-probe", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        return capsys.readouterr().out

    assert "item        1/us / chosen-us" in call("show")
    runs = tmp_path / "runs"
    said = call("score", "--runs", str(runs))
    assert "14 of 14 scored, 1 left out (dialect missing for the row)" in said
    [run] = find_runs(runs)
    manifest = read_manifest(run)
    assert manifest.axis == "dialects"
    assert manifest.dropped == {"dialect missing for the row": 1}
    stored = read_items(run).to_pandas()
    assert json.loads(stored["meta"][0])["reference"] == "us"
    assert list(stored["same"][:4]) == ["yes", "no", "no", "yes"]
