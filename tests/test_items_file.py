"""A user's csv or jsonl in the items schema, and what it may not be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from data_builders import items_file, probes, tables
from probe.types import BuildOptions, DataError, Item, Probe, UsageError

CSV = (
    "item_id,prompt,candidate_id,answer,span_start,span_end,topic,kind\n"
    'q1,"Why,\nreally?",a,Because.,,,x,\n'
    "q2,How?,a,Like so.,0,4,y,good\n"
    'q1,"Why,\nreally?",b,No idea. ,3,7,x,bad\n'
)


def write(tmp_path: Path, text: str | bytes, name: str = "mine.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(path: Path) -> Probe:
    return items_file.of_table(tables.read(path))


def items(path: Path, options: BuildOptions | None = None) -> list[Item]:
    return list(load(path).build(options or BuildOptions()))


def test_csv_becomes_items_in_order_of_appearance(tmp_path: Path) -> None:
    path = write(tmp_path, CSV, "my items.csv")
    probe = load(path)
    assert (probe.name, probe.axis) == ("my_items", "preferences")
    assert probe.version == hashlib.sha256(CSV.encode()).hexdigest()[:8]
    assert probe.item_columns == ("topic",)
    assert probe.candidate_columns == ("kind",)
    first, second = probe.build(BuildOptions())
    assert (first.id, second.id) == ("q1", "q2")
    assert first.messages[0].content == "Why,\nreally?"
    assert [c.answer for c in first.candidates] == ["Because.", "No idea. "]
    assert [c.span for c in first.candidates] == [None, (3, 7)]
    assert first.groups == {"topic": "x"}
    assert [c.groups["kind"] for c in first.candidates] == [None, "bad"]
    whole = items(path, BuildOptions(span="response"))
    assert all(c.span is None for item in whole for c in item.candidates)


def test_jsonl_equals_csv(tmp_path: Path) -> None:
    rows = []
    for item_id, prompt, candidate, answer, span, topic, kind in (
        ("q1", "Why,\nreally?", "a", "Because.", (None, None), "x", None),
        ("q2", "How?", "a", "Like so.", (0, 4), "y", "good"),
        ("q1", "Why,\nreally?", "b", "No idea. ", (3, 7), "x", "bad"),
    ):
        rows.append(
            {
                "item_id": item_id,
                "messages": [{"role": "user", "content": prompt}],
                "candidate_id": candidate,
                "answer": answer,
                "span_start": span[0],
                "span_end": span[1],
                "topic": topic,
                "kind": kind,
            }
        )
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = write(tmp_path, text, "mine.jsonl")
    assert items(path) == items(write(tmp_path, CSV))


def test_messages_in_a_csv_cell_and_numbers_in_jsonl(tmp_path: Path) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?\u2028"},
    ]
    row = {
        "item_id": 7,
        "messages": json.dumps(turns),
        "candidate_id": 1,
        "answer": "So.\u2028",
        "year": 1999,
    }
    path = write(tmp_path, json.dumps(row, ensure_ascii=False), "m.jsonl")
    (item,) = items(path)
    assert [m.role for m in item.messages] == ["system", "user"]
    assert (item.id, item.candidates[0].id) == ("7", "1")
    assert item.candidates[0].answer == "So.\u2028"
    assert item.groups == {"year": 1999.0}


COUNTRIES = (
    "item_id,prompt,candidate_id,answer,iso3,sentiment\n"
    "q1,Best?,FRA,France.,FRA,positive\n"
    "q1,Best?,x-kosovo,Kosovo.,,positive\n"
    "q2,Worst?,FRA,France.,FRA,negative\n"
)


def test_a_column_iso3_makes_a_country_probe(tmp_path: Path) -> None:
    path = write(tmp_path, COUNTRIES)
    probe = load(path)
    assert probe.axis == "countries"
    assert probe.item_columns == ("sentiment",)
    assert set(probe.candidate_columns) == {"iso3", "country"}
    first, second = probe.build(BuildOptions())
    assert first.candidates[1].groups == {"country": "Kosovo", "iso3": None}
    assert second.groups == {"sentiment": "negative"}
    (only,) = items(path, BuildOptions(countries=("x-kosovo",)))
    assert [c.id for c in only.candidates] == ["x-kosovo"]
    bare = COUNTRIES.replace(",sentiment", "")
    for word in (",positive", ",negative"):
        bare = bare.replace(word, "")
    assert {i.groups["sentiment"] for i in items(write(tmp_path, bare))} == {"neutral"}
    with pytest.raises(DataError, match="no column 'iso3'"):
        items(write(tmp_path, CSV), BuildOptions(countries=("FRA",)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("item_id,prompt,answer\n1,a,b\n", ["candidate_id"]),
        ("item_id,candidate_id,answer\n1,a,b\n", ["'prompt' or 'messages'"]),
        ("item_id,prompt,candidate_id,answer\n", ["no rows"]),
        ("", ["no rows"]),
        (CSV.replace("kind", "n_chars"), ["'n_chars'", "Rename"]),
        (CSV.replace("kind", "topic"), ["'topic'", "stands twice"]),
        (CSV.replace("q2,How?,a", "q1,How?,a"), ["line 4", "already in line 3"]),
        (CSV.replace("q2,How?", "q1,How?").replace("How?,a", "How?,c"), ["another p"]),
        (CSV.replace("Like so.", ""), ["line 4", "column 'answer'"]),
        (CSV.replace("How?", "  "), ["line 4", "column 'prompt'"]),
        (CSV.replace("0,4", "4,4"), ["line 4", "span_start", "8"]),
        (CSV.replace("0,4", "0,99"), ["line 4", "span_end"]),
        (CSV.replace("0,4", "0,"), ["line 4"]),
        (CSV + "q3,a\n", ["line 7", "2 cells under 8 columns"]),
        (CSV.encode() + b"q3,\xff,a,b,,,x,\n", ["line 7", "0xff"]),
        (CSV.replace("Like so.", '"Like" so.'), ["line 4"]),
        (CSV.replace(",", "\t"), ["line 1", "parted by tabs"]),
        (CSV.replace(",", ";"), ["line 1", "parted by semicolons"]),
        ("row_id,dialect,prompt,answer\n1,a,b,c\n", ["prompt and chosen", "--columns"]),
        (COUNTRIES.replace("q2,Worst?,FRA", "q2,Worst?,FRX"), ["'FRX'", "FRA"]),
        (COUNTRIES.replace("x-kosovo,Kosovo.,", "DEU,Kosovo.,"), ["DEU", "line 3"]),
        (COUNTRIES.replace("negative", "bad"), ["line 4", "'bad'"]),
        (COUNTRIES.replace("Kosovo.,,positive", "Kosovo.,,negative"), ["several"]),
    ],
)
def test_bad_files_name_the_file_and_the_line(
    tmp_path: Path, text: str | bytes, words: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as error:
        load(path)
    for word in [*words, "mine.csv"]:
        assert word in str(error.value)


def test_a_cell_may_be_longer_than_128_kib(tmp_path: Path) -> None:
    answer = "long " * 40_000 + "end"
    text = f"item_id,candidate_id,prompt,answer\n1,a,b,{answer}\n"
    [item] = load(write(tmp_path, text)).build(BuildOptions())
    assert item.candidates[0].answer == answer


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"item_id": 1', ["line 1", "not JSON"]),
        (f'{{"item_id": {"9" * 5000}}}', ["line 1", "5000 digits"]),
        ("[" * 100_000, ["line 1", "nested too deep"]),
        (
            '{"item_id":"1","prompt":"\\ud800","candidate_id":"b","answer":"c"}',
            ["line 1", "surrogates"],
        ),
        (
            '{"item_id":1.5,"prompt":"a","candidate_id":"b","answer":"c"}',
            ["line 1", "column 'item_id': 1.5", "whole number"],
        ),
        (
            f'{{"item_id":"1","prompt":"a","candidate_id":"b","answer":"c",'
            f'"g":1{"0" * 400}}}',
            ["line 1", "column 'g'"],
        ),
        ("[1]", ["line 1", "list"]),
        ("{}", ["no columns"]),
        (
            '{"item_id":"1","prompt":"a","candidate_id":"b","answer":"c"}\n\n'
            '{"item_id":"1","prompt":"a","candidate_id":"d"}',
            ["line 3", "'answer'"],
        ),
        (
            '{"item_id":"1","messages":[{"role":"assistant","content":"a"}],'
            '"candidate_id":"b","answer":"c"}',
            ["line 1", "column 'messages'"],
        ),
        (
            '{"item_id":"1","prompt":"a","candidate_id":"b","answer":"c","g":[1]}',
            ["line 1", "column 'g'"],
        ),
        (
            '{"item_id":"1","prompt":"a","candidate_id":"b","answer":"c","g":1}\n'
            '{"item_id":"1","prompt":"a","candidate_id":"d","answer":"c","g":"x"}',
            ["column 'g'", "numbers in others"],
        ),
    ],
)
def test_bad_jsonl(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text, "mine.jsonl")
    with pytest.raises(DataError) as error:
        load(path)
    for word in [*words, "mine.jsonl"]:
        assert word in str(error.value)


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither \.csv nor \.jsonl"):
        load(write(tmp_path, CSV, "mine.tsv"))


# -- a user's own names of columns ------------------------------------------


def test_columns_are_read_under_our_names(tmp_path: Path) -> None:
    plain = probes.load(str(write(tmp_path, CSV)))
    text = CSV.replace("item_id,prompt", "nr,question").replace("topic", "model")
    path = write(tmp_path, text)
    names = {"item_id": "nr", "prompt": "question", "topic": "model"}
    renamed = probes.load(str(path), names)
    options = BuildOptions()
    assert list(renamed.build(options)) == list(plain.build(options))
    # What a column is taken for decides what is scored: it is part of the version.
    sha = tables.read(path).sha
    assert renamed.version != sha[:8]
    assert (
        renamed.version == probes.load(str(path), dict(reversed(names.items()))).version
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"dialect": "variety"}, ["'variety'", "mine.csv", "topic"]),
        ({"topic": "kind"}, ["'kind' as 'topic'", "--columns other=topic"]),
    ],
)
def test_columns_that_cannot_be_renamed(
    tmp_path: Path, names: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(DataError) as error:
        probes.load(str(write(tmp_path, CSV)), names)
    for word in words:
        assert word in str(error.value)


def test_columns_may_change_places(tmp_path: Path) -> None:
    path = str(write(tmp_path, CSV))
    swapped = probes.load(path, {"topic": "kind", "kind": "topic"})
    assert swapped.item_columns == ("kind",)
    assert swapped.candidate_columns == ("topic",)


def test_columns_of_a_shipped_probe() -> None:
    with pytest.raises(UsageError, match="where_from is a shipped probe"):
        probes.load("where_from", {"prompt": "question"})
