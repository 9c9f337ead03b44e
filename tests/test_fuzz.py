"""Whatever a user's file holds, its reader returns or says what is wrong.

Files are valid ones with something odd done to them: what people mistype, and what
nobody would type. The property is the same for every reader: a `ProbeError` with its
three parts, and nothing else, within seconds.
"""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import learning, records, reward_card
from data_builders import (
    dialect_features,
    md3_published,
    mix_config,
    probes,
    protocols,
    survey,
    training_own,
    training_rows,
    tydiqa_passages,
)
from probe import ablation, config, families, recorded, store
from probe.recorded import rewardbench, tydiqa
from probe.recorded.files import read_rows
from probe.types import BuildOptions, ProbeError
from tests.test_records import record

EXAMPLES = 120
"""Of each reader."""
SLOWEST = 5.0
"""Seconds of processor time that one file may take."""

Reader = Callable[[Path], object]

# -- what is odd ----------------------------------------------------------------

TEXTS = [
    *("", " ", "\t", "\n", "a\r\nb", "\0", "\x1b[31m", "\ufeff", "\u2028", "\ud800"),
    *("é", "日本", "😀", "٣", "null", "NaN", "1e999", "-inf", "yes", "=1+1", "'", '"'),
    *("2024-13-45", "12:61", "0x_", "{", "[", "{user}", "{{", "%s", "a=b", "a/b", ".."),
    *("a" * 300, "/" * 300, "x" * 140_000, "[" * 100_000, '{"a":' * 20_000, "9" * 5000),
    *("[1, 2]", '["\\ud800"]', "{[]: 1}", "(" * 500, "-" * 3000 + "1", "standard"),
    *(
        '[{"role": "user", "content": ""}]',
        "[[1], {}]",
        "USA",
        "hf:a/b",
        "pypi:x",
        "x.yaml",
    ),
]
VALUES = [
    *(None, True, False, 0, -1, 2, 10**30, 10**400, -0.0, 0.5, 1e308, float("nan")),
    *(float("inf"), float("-inf"), [], {}, [[]], [None], ["a", 1], {"a": {}}, {"": []}),
    *([{"role": "user", "content": "Hi"}], [{"role": "x"}], {"text": [None]}, [[[1]]]),
]
RAW = [
    *(
        "2024-13-45",
        "9" * 5000,
        "0x" + "f" * 6000,
        "0x_",
        "0b",
        "1:" * 400 + "1.5",
        "~",
    ),
    *("!!int x", "!!float x", "!!bool x", "!!int ''", "!!timestamp 2024-13-45", "!a b"),
    *(
        "!!binary '*'",
        "!!set {a}",
        "!!omap [a]",
        "!!pairs [a]",
        "!!map [a]",
        "!!str {}",
    ),
    *(
        "!!python/name:os.system",
        "? [1]\n: 2",
        "? {a: b}\n: 2",
        "[" * 3000,
        "{a: " * 900,
    ),
    *(
        "- " * 2000,
        "? " * 2000,
        "*x",
        "&a [*a]",
        "&a {? *a : 1}",
        "<<: {a: b}",
        "<<: 1",
    ),
    *(".nan", ".inf", '"\\ud800"', '"\\0"', '"\\UFFFFFFFF"', "%YAML 3.0\n--- a", "---"),
    *(
        "--- a\n--- b",
        "a: b: c",
        "\t",
        "\0",
        "\x85",
        "@",
        "`",
        "|\n a",
        ">-",
        "# x",
        "=",
    ),
    *(
        "a: 1\na: 2",
        "1: 2\n1: 3",
        "null: 1",
        "true: 1",
        ".nan: 1",
        '"',
        "'",
        "]",
        "}",
        ",",
    ),
    "\n".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'lol'}]"
        for i in range(9)
    ),
    *("a: &a {b: 1}\n" + f"c: [{'*a, ' * n}]" for n in (3, 100_000)),
    "x" * (config.MOST_BYTES + 1),
]
odd = st.sampled_from(TEXTS) | st.sampled_from(VALUES) | st.text(max_size=8)


@st.composite
def altered(draw: st.DrawFn, valid: Any) -> Any:
    """Plain values in which a few places are replaced, removed, doubled or renamed."""
    whole = [copy.deepcopy(valid)]
    for _ in range(draw(st.integers(0, 3))):
        if found := list(places(whole)):
            _alter(draw, *draw(st.sampled_from(found)))
    return whole[0] if whole else None


def places(inside: Any) -> Iterator[tuple[Any, Any]]:
    """Each value in lists and mappings, as what holds it and where."""
    keys = list(inside) if isinstance(inside, dict) else range(len(inside))
    for key in keys:
        yield inside, key
        if isinstance(inside[key], dict | list):
            yield from places(inside[key])


def _alter(draw: st.DrawFn, at: Any, key: Any) -> None:
    match draw(st.integers(0, 5)):
        case 0:
            del at[key]
        case 1 if isinstance(at, dict):
            at[draw(st.text(max_size=4))] = at.pop(key)
        case 1:
            at.append(copy.deepcopy(at[key]))
        case _:
            at[key] = copy.deepcopy(draw(odd))


@st.composite
def damaged(draw: st.DrawFn, text: str, raw: list[str]) -> bytes:
    """A file's bytes, with something put in, cut out or cut off now and then."""
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        start = draw(st.integers(0, len(text)))
        if draw(st.booleans()):
            # At a line's start, where a key may stand, or where a value does.
            marks = [i + 1 for i, sign in enumerate(text) if sign in "\n :,"] or [0]
            start = draw(st.sampled_from(marks))
        end = start + draw(st.sampled_from([0, 0, 1, 5, 1 << 20]))
        text = text[:start] + draw(st.sampled_from(raw)) + text[end:]
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 15)) == 0:
        data = (
            draw(st.sampled_from([b"", b"\xff\xfe", b"\xef\xbb\xbf", b"\x00"])) + data
        )
    if draw(st.integers(0, 15)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    return data


def a_yaml(valid: str) -> st.SearchStrategy[bytes]:
    """YAML whose values are altered, or whose text is damaged."""
    written = altered(yaml.safe_load(valid)).map(
        lambda data: yaml.safe_dump(data, allow_unicode=True)
    )
    return written.flatmap(lambda text: damaged(text, RAW)) | damaged(valid, RAW)


def a_json(valid: Any) -> st.SearchStrategy[bytes]:
    """JSON in one piece."""
    return altered(valid).map(json.dumps).flatmap(lambda text: damaged(text, TEXTS))


def a_jsonl(rows: list[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """A JSON value a line; mostly the rows that are left are alike."""
    return (
        altered(rows)
        .map(lambda found: "\n".join(map(json.dumps, listed(found))) + "\n")
        .flatmap(lambda text: damaged(text, TEXTS))
    )


def a_csv(rows: list[dict[str, Any]], sign: str = ",") -> st.SearchStrategy[bytes]:
    """A table; cells that are no text are written as they print."""

    def written(found: list[list[Any]]) -> str:
        stream = io.StringIO()
        lines = map(listed, listed(found))
        csv.writer(stream, delimiter=sign, escapechar="\\").writerows(
            ["" if cell is None else _printed(cell) for cell in line] for line in lines
        )
        return stream.getvalue()

    valid = [list(rows[0]), *([*row.values()] for row in rows)]
    return altered(valid).map(written).flatmap(lambda text: damaged(text, TEXTS))


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes of which one is another, or whose end is missing, now and then."""
    at = draw(st.integers(0, len(data)))
    return draw(st.sampled_from([data, data[:at], data[:at] + b"x" + data[at + 1 :]]))


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _printed(cell: object) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell)


# -- what is valid, and who reads it --------------------------------------------


def shipped(package: str, file: str) -> str:
    return (resources.files(package) / file).read_text(encoding="utf-8")


def built(path: Path) -> object:
    """A user's file as a probe, with its items."""
    probe = probes.load(str(path))
    return list(probe.build(BuildOptions()))


def importing(probe: str) -> Reader:
    def read(path: Path) -> object:
        frame, _ = read_rows(path)
        return recorded.read(frame, probes.load(probe), path)

    return read


def a_feature(path: Path) -> object:
    text = path.read_bytes().decode("utf-8", "replace")
    lexicon = dialect_features.parse_lexicon(shipped("data_builders", LEXICON))
    return dialect_features.fill(dialect_features.parse(text, path.name), lexicon)


def a_run(path: Path) -> object:
    path.rename(path.with_name("manifest.json"))
    return store.read_manifest(path.parent)


def answers(path: Path) -> object:
    return tydiqa.read(path, {})


def game(path: Path) -> object:
    return md3_published.read(path, path, "en_in")


LEXICON = f"{dialect_features.FOLDER}/{dialect_features.LEXICON}"
PROTOCOL = shipped("data_builders", protocols.SHIPPED)
FAMILIES = (
    "a:\n  base: yi_6b\n  sft: yi_6b_chat\nb:\n  base: yi_6b\n  preference: c.yaml\n"
)
HEAD = """\
name: m
kind: value_head
weights: hf:a/b@main
backbone: ./b
template: "{user} {assistant}"
head: {layers: [{weight: w, bias: b, activation: relu}]}
padding: {side: left, to: 32}
golden: [{user: a, assistant: b, score: 1.5}]
"""
ITEMS = [
    {
        "item_id": i,
        "candidate_id": c,
        "prompt": f"Which {i}?",
        "answer": f"{c} it is",
        "span_start": 0,
        "span_end": 3,
        "iso3": c,
        "sentiment": "positive",
    }
    for i in ("a", "b")
    for c in ("USA", "IND")
]
TURNS = [{"role": "user", "content": "Hi"}]
PLAIN = [
    {"item_id": n, "candidate_id": c, "messages": TURNS, "answer": c, "n": n}
    for n in (1, 2)
    for c in ("x", "y")
]
PAIRS = [
    {"id": n, "prompt": f"p{n}", "chosen": "good", "rejected": "bad", "subset": "s"}
    for n in (1, 2, 3)
]
TALKS = [
    {
        "chosen": [*TURNS, {"role": "assistant", "content": f"a{n}"}],
        "rejected": [*TURNS, {"role": "assistant", "content": "b"}],
    }
    for n in (1, 2)
]
ROWS = [
    {"row_id": r, "dialect": d, "prompt": d + r, "chosen": d, "rejected": "n" + d}
    for r in ("1", "2")
    for d in ("standard", "aal")
]
WIDE = [
    {"id": r, **{f"{role}{end}": f"{role}{end}{r}" for end in ("", "_aal") for role in
     ("prompt", "chosen", "rejected")}}
    for r in (1, 2)
]  # fmt: skip
TRAINED = [{"messages": [*TURNS, {"role": "assistant", "content": "x"}], "lang": "en"}]
COMPLETED = [
    {"prompt": "a", "completion": "b", "id": n, "key": "k", "content": "c"}
    for n in (1, 2)
]
LONG = [
    {"item_id": q, "candidate_id": c, "score": 0.5, "sentiment": "positive"}
    for q in ("q1", "q2")
    for c in ("USA", "IND")
]
ASKED = [
    {
        "Question": q,
        "Full Prompt": q,
        "Response Format": "I say {country}.",
        "Sentiment": "positive",
        "Category": "c",
        "Search Query": "s",
        "reward_model": "m",
        "India": 0.5,
        "France": 1,
    }
    for q in ("a?", "b?")
]
JOINED = [
    {"item_id": item.id, "candidate_id": one.id, "score": place}
    for item in probes.load("where_from").build(BuildOptions())
    for place, one in enumerate(item.candidates[:5])
]
FROM = [{"country": c, "reward": 1, "prompt": "Hi"} for c in ("India", "France")]
DIALECTS = [
    {"item": i, "dialect": d, "score": 1.5, "role": "chosen", "subset": "s"}
    for i in (1, 2)
    for d in ("standard", "aal")
]
SCORED = [{"scores_chosen": [1.0], "scores_rejected": 0, "subset": "s"}] * 2
SURVEY = [
    {
        "question": "Good?",
        "selections": "defaultdict(<class 'list'>, {'India': [0.4, 0.6]})",
        "options": "['Yes', 'No']",
        "source": "GAS",
    }
]
LEARNED = [dict.fromkeys(learning.COLUMNS, 1)] * 2
MEASURED = [dict.fromkeys(reward_card.LENGTH_COLUMNS, 1)] * 2
MANIFEST: dict[str, Any] = {
    "probe": "p",
    "probe_version": "1",
    "title": "t",
    "axis": "countries",
    "model": "m",
    "fingerprint": "f" * 64,
    "kind": "scored",
    "model_kind": "policy",
    "item_columns": ["a"],
    "measures": ["reward"],
    "counts": {"expected": 1, "done": 1},
    "sources": {"a": "b"},
    "schema_version": 1,
}
PASSAGES = {
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "It is red.",
                    "qas": [
                        {
                            "id": "english-1",
                            "question": "What?",
                            "answers": [{"text": "red"}],
                        }
                    ],
                }
            ],
        }
    ]
}
PROMPTS = [{"clip": "a", "speaker": "b", "text": "c"}] * 2

READERS: dict[str, tuple[str, st.SearchStrategy[bytes], Reader]] = {
    "model": (
        "m.yaml",
        a_yaml(HEAD) | a_yaml(shipped("rm_configs", "starling_34b.yaml")),
        config.load_file,
    ),
    "protocol": ("p.yaml", a_yaml(PROTOCOL), protocols.load),
    "families": ("f.yaml", a_yaml(FAMILIES), families.load_families),
    "ablation": (
        "a.yaml",
        a_yaml(shipped("data_builders", "sweeps/language_sft.yaml")),
        lambda path: ablation.read(str(path)),
    ),
    "mix": (
        "x.yaml",
        a_yaml(shipped("data_builders", "mixes/language_sft.yaml")),
        lambda path: mix_config.read_mix(str(path)),
    ),
    "feature": (
        "zero-copula.yaml",
        a_yaml(shipped("data_builders", "features/zero-copula.yaml")),
        a_feature,
    ),
    "items csv": ("i.csv", a_csv(ITEMS) | a_csv(PLAIN), built),
    "items jsonl": ("i.jsonl", a_jsonl(ITEMS) | a_jsonl(PLAIN), built),
    "pairs csv": ("p.csv", a_csv(PAIRS) | a_csv(TALKS), built),
    "pairs jsonl": ("p.jsonl", a_jsonl(PAIRS) | a_jsonl(TALKS), built),
    "dialects csv": ("d.csv", a_csv(ROWS) | a_csv(WIDE), built),
    "dialects jsonl": ("d.jsonl", a_jsonl(ROWS) | a_jsonl(WIDE), built),
    "training jsonl": ("t.jsonl", a_jsonl(TRAINED) | a_jsonl(PAIRS), training_own.read),
    "training json": ("t.json", a_json(COMPLETED), training_own.read),
    "training parquet": ("t.parquet", a_json(COMPLETED), training_own.read),
    "training gz": (
        "t.gz",
        a_json(COMPLETED) | a_jsonl(COMPLETED).map(gzip.compress).flatmap(cut),
        training_own.read,
    ),
    "texts": (
        "t.jsonl",
        a_jsonl(TRAINED) | a_jsonl(TALKS) | a_jsonl(COMPLETED),
        lambda path: training_rows.read(str(path), split="train", columns={}),
    ),
    "recorded wide": ("w.csv", a_csv(ASKED), importing("askreddit")),
    "recorded countries": ("w.csv", a_csv(FROM), importing("where_from")),
    "recorded long": ("l.csv", a_csv(LONG), importing("country_questions")),
    "joined csv": ("j.csv", a_csv(JOINED), importing("where_from")),
    "joined jsonl": ("j.jsonl", a_jsonl(JOINED), importing("where_from")),
    "recorded dialects": (
        "l.csv", a_csv(DIALECTS), importing("dialect_pairs"),
    ),
    "rewardbench jsonl": ("r.jsonl", a_jsonl(SCORED), rewardbench.read_scores),
    "rewardbench json": (
        "r.json",
        a_json({"chosen": [1, [2.0]], "rejected": [0, 1], "id": [1, 2]}),
        rewardbench.read_scores,
    ),
    "answers": ("a.json", a_json({"a-1": "x", "b-2": ""}), answers),
    "opinions": ("o.csv", a_csv(SURVEY), survey.read),
    "passages": ("t.json", a_json(PASSAGES), tydiqa_passages.read),
    "games": ("g.tsv", a_csv(PROMPTS, "\t"), game),
    "learning": ("l.csv", a_csv(LEARNED), learning.read_curve),
    "lengths": ("l.csv", a_csv(MEASURED), reward_card.read_lengths),
    "manifest": ("m.json", a_json(MANIFEST), a_run),
    "records": (
        "s.json",
        a_json([record().to_json()]),
        lambda path: records.loads(path.read_text(encoding="utf-8", errors="replace")),
    ),
}  # fmt: skip


def test_there_are_thousands_of_cases() -> None:
    assert EXAMPLES * len(READERS) >= 2000


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@pytest.mark.parametrize("name", READERS)
def test_a_reader_returns_or_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    file, files, read = READERS[name]
    valid: list[bool] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(files)
    def holds(data: bytes) -> None:
        path = tmp_path / file
        path.write_bytes(data)
        start = time.process_time()
        try:
            read(path)
            valid.append(True)
        except ProbeError as error:
            valid.append(False)
            assert error.found and error.expected and error.action
            assert len(str(error)) < 7000
        assert time.process_time() - start < SLOWEST

    holds()
    assert valid.count(False) > EXAMPLES / 10, "hardly anything was odd"
