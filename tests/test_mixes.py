"""Mixes: exact counts, nesting, matching, holding out, and no scored text."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from data_builders import (
    dialect_pairs,
    langid,
    mix_draw,
    mix_duplicates,
    mix_overlap,
    mix_pool,
    mixes,
    training_own,
)
from data_builders.mixes import Drawn, Mix, draw, read_drawn, read_mix
from data_builders.source_list import listed
from data_builders.training_types import TrainingRow
from probe.types import (
    BuildOptions,
    Candidate,
    ConfigError,
    DataError,
    Item,
    Message,
    UsageError,
)

WORDS = [f"w{number}" for number in range(400)]
ONE = {"file": "a.jsonl", "share": 1}


def text(seed: object, n: int = 30) -> str:
    return " ".join(random.Random(str(seed)).choices(WORDS, k=n))


def sft(n_keys: int = 60, sizes: Sequence[int] = (3,)) -> list[dict[str, Any]]:
    """Keys of several contents, each in two languages."""
    return [
        {
            "id": f"{key}-{content}-{lang}",
            "key": f"k{key}",
            "content": str(content),
            "prompt": text(f"{key} {lang}"),
            "completion": text(f"{key} {content} {lang} answer"),
            "lang": lang,
        }
        for key in range(n_keys)
        for content in range(sizes[key % len(sizes)])
        for lang in ("en", "fi")
    ]


def written(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "a") -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def mix_of(folder: Path, **keys: Any) -> Mix:
    config = {
        "name": "trial",
        "stage": "sft",
        "rows": 40,
        "parts": [
            {"file": "a.jsonl", "where": {"lang": "fi"}, "share": "dose"},
            {"file": "a.jsonl", "where": {"lang": "en"}, "share": "rest"},
        ],
        **keys,
    }
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return read_mix(str(path))


def drawn(mix: Mix, dose: float | None = 0.5, seed: int = 0, **more: Any) -> Drawn:
    return draw(mix, dose=dose, seed=seed, data=None, **more)


def item(prompt: str, *answers: str, id: str = "scored") -> Item:
    return Item(
        id=id,
        messages=(Message(role="user", content=prompt),),
        candidates=tuple(
            Candidate(id=str(number), answer=answer)
            for number, answer in enumerate(answers)
        ),
    )


# -- counts -------------------------------------------------------------------


def test_largest_remainder() -> None:
    chance = random.Random(0)
    for _ in range(500):
        n, k = chance.randrange(2000), chance.randrange(1, 6)
        raw = [chance.random() for _ in range(k)]
        shares = [one / sum(raw) for one in raw]
        counts = mix_draw.allocate(n, shares)
        assert sum(counts) == n
        for count, share in zip(counts, shares, strict=True):
            assert abs(count - n * share) < 1
    for n in (1, 7, 100, 600, 997):
        for percent in range(101):
            first, second = mix_draw.allocate(n, [percent / 100, 1 - percent / 100])
            assert first + second == n
            assert abs(first - n * percent / 100) <= 0.5
    assert mix_draw.allocate(100, [0.29, 0.71]) == [29, 71]


@pytest.mark.parametrize("dose", [0, 0.1, 0.29, 0.5, 1])
def test_counts_are_exact(tmp_path: Path, dose: float) -> None:
    written(tmp_path, sft())
    found = drawn(mix_of(tmp_path), dose)
    langs = Counter(row.groups["lang"] for row in found.train)
    assert (langs["fi"], langs["en"]) == (round(40 * dose), 40 - round(40 * dose))
    assert [part.asked for part in found.parts] == [langs["fi"], langs["en"]]


@pytest.mark.parametrize("match", ["none", "length", "content"])
@pytest.mark.parametrize("seed", range(3))
def test_no_row_twice_and_no_key_in_two_parts(
    tmp_path: Path, match: str, seed: int
) -> None:
    written(tmp_path, sft(sizes=(1, 2, 5)))
    for dose in (0, 0.3, 0.5, 0.8, 1):
        found = drawn(mix_of(tmp_path, match=match), dose, seed)
        assert len({row.id for row in found.train}) == len(found.train) == 40
        langs: dict[str, set[object]] = {}
        for row in found.train:
            langs.setdefault(row.key, set()).add(row.groups["lang"])
        assert all(len(of) == 1 for of in langs.values())


def test_the_draw_does_not_depend_on_the_order_of_a_file(tmp_path: Path) -> None:
    rows = sft(sizes=(1, 2, 5))
    written(tmp_path, rows)
    for match in ("none", "length", "content"):
        mix = mix_of(tmp_path, match=match, hold_out=0.2)
        first = drawn(mix)
        assert first.sha == drawn(mix).sha
        assert first.sha != drawn(mix, seed=1).sha
        written(tmp_path, random.Random(1).sample(rows, len(rows)))
        again = drawn(mix)
        assert (first.sha, first.held_out_sha) == (again.sha, again.held_out_sha)


@pytest.mark.parametrize("match", ["none", "length", "content"])
def test_a_larger_dose_and_more_rows_nest(tmp_path: Path, match: str) -> None:
    written(tmp_path, sft(n_keys=80, sizes=(1, 2, 5)))
    before: dict[str, set[str]] = {"fi": set(), "en": set()}
    for step in range(21):
        found = drawn(mix_of(tmp_path, match=match), step / 20)
        now = {
            lang: {row.id for row in found.train if row.groups["lang"] == lang}
            for lang in ("fi", "en")
        }
        assert before["fi"] <= now["fi"]
        assert step == 0 or now["en"] <= before["en"]
        before = now
    less = drawn(mix_of(tmp_path, match=match, rows=20), 1)
    more = drawn(mix_of(tmp_path, match=match, rows=45), 1)
    assert {r.id for r in less.train} < {r.id for r in more.train}


def test_lengths_nest_row_by_row(tmp_path: Path) -> None:
    rows = [
        {
            "key": f"k{n}",
            "prompt": text((n, lang), 10),
            "completion": text((n, lang, "a"), 10 + random.Random(n).randrange(60)),
            "lang": lang,
        }
        for n in range(200)
        for lang in ("en", "fi")
    ]
    written(tmp_path, rows)
    mix = mix_of(tmp_path, match="length", rows=60, near_duplicates=None)
    before: set[str] = set()
    for n in range(61):
        train = drawn(mix, n / 60).train
        now = {row.id for row in train if row.groups["lang"] == "fi"}
        assert len(now) == n and before <= now
        before = now


def test_apportioned_numbers_never_shrink() -> None:
    chance = random.Random(0)
    raw = [chance.random() for _ in range(20)]
    shares = [0.0, *(one / sum(raw) for one in raw)]
    before = [0] * len(shares)
    for n in range(1, 500):
        now = mix_draw.apportion(n, shares)
        assert sum(now) == n and now[0] == 0
        assert all(one >= other for one, other in zip(now, before, strict=True))
        assert all(abs(c - n * s) < 2 for c, s in zip(now, shares, strict=True))
        before = now


# -- matching -----------------------------------------------------------------


def test_content_is_the_same_at_every_dose(tmp_path: Path) -> None:
    rows = sft(sizes=(1, 2, 5))
    # A content without a translation is never drawn.
    written(tmp_path, [row for row in rows if row["id"] != "2-0-fi"])
    arms = [drawn(mix_of(tmp_path, match="content"), d) for d in (0, 0.25, 0.5, 1)]
    contents = [[row.content for row in arm.train] for arm in arms]
    assert all(one == contents[0] for one in contents)
    assert "k2/0" not in contents[0]
    for arm, dose in zip(arms, (0, 0.25, 0.5, 1), strict=True):
        # Keys are whole: the share is met to within half of the largest.
        assert abs(arm.parts[0].drawn - 40 * dose) <= 2.5
        assert sum(part.drawn for part in arm.parts) == 40


def test_length_is_matched(tmp_path: Path) -> None:
    chance = random.Random(0)
    rows = []
    for number in range(1600):
        lang = ("en", "fi")[number % 2]
        words = 20 + int(chance.gammavariate(2, 20 if lang == "fi" else 30))
        rows.append(
            {"prompt": f"n{number} {text(number, words)}", "completion": "Yes, I do."}
            | {"lang": lang}
        )
    written(tmp_path, rows)
    plain = drawn(mix_of(tmp_path, rows=400))
    matched = drawn(mix_of(tmp_path, rows=400, match="length"))
    [before], [after] = plain.differences, matched.differences
    assert before.drawn is not None and abs(before.drawn) > 0.3
    assert after.drawn is not None and abs(after.drawn) < 0.05
    assert after.available is not None and abs(after.available) > 0.3
    # The same distribution at every dose.
    means = [
        statistics.fmean(
            row.n_chars
            for row in drawn(mix_of(tmp_path, rows=400, match="length"), dose).train
        )
        for dose in (0, 0.5, 1)
    ]
    assert max(means) - min(means) < 0.05 * statistics.stdev(
        row.n_chars for row in matched.train
    )


# -- holding out --------------------------------------------------------------


def test_what_is_held_out_is_never_trained_on(tmp_path: Path) -> None:
    written(tmp_path, sft())
    mix = mix_of(tmp_path, hold_out=0.2, rows=30)
    first = drawn(mix)
    held = {row.key for row in first.held_out}
    assert 4 <= len(held) <= 20
    # With its translation, all of a key is held out.
    assert Counter(row.key for row in first.held_out) == dict.fromkeys(held, 6)
    for dose in (0, 0.5, 1):
        for seed in range(4):
            found = drawn(mix, dose, seed)
            assert found.held_out == first.held_out
            assert not held & {row.key for row in found.train}


def test_a_prompt_of_two_sources_lies_on_one_side(tmp_path: Path) -> None:
    rows = [
        {"key": f"a{n}", "prompt": text(n, 40), "completion": text(f"{n} a")}
        for n in range(60)
    ]
    # Another key, and a word of the prompt is another.
    others = [
        {
            "key": f"b{n}",
            "prompt": row["prompt"].rsplit(" ", 1)[0] + " another",
            "completion": text(f"{n} b"),
        }
        for n, row in enumerate(rows)
    ]
    written(tmp_path, rows, "a")
    written(tmp_path, others, "b")
    mix = mix_of(
        tmp_path, rows="all", parts=[{"file": "a.jsonl"}, {"file": "b.jsonl"}],
        hold_out=0.3,
    )  # fmt: skip
    found = drawn(mix, None)
    held = {row.key for row in found.held_out}
    assert held and {key[1:] for key in held if key[0] == "a"} == {
        key[1:] for key in held if key[0] == "b"
    }
    # The key that two parts share is the first one's.
    assert {row.source for row in found.train} == {"a"}
    assert len(found.dropped[mixes.OTHER_PART]) == len(found.train)


# -- duplicates ---------------------------------------------------------------


def row_of(id: str, prompt: str, answer: str, key: str | None = None) -> TrainingRow:
    return TrainingRow(
        id=id,
        source="a",
        key=key or id,
        content=id,
        messages=(Message(role="user", content=prompt),),
        completion=answer,
    )


def test_exact_duplicates_are_always_left_out(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "prompt": text(1), "completion": text(2), "lang": "en"},
        {"id": "b", "prompt": f" {text(1)}", "completion": text(2), "lang": "en"},
        {"id": "c", "prompt": text(1), "completion": text(3), "lang": "en"},
    ]
    written(tmp_path, rows)
    parts = [{"file": "a.jsonl"}]
    mix = mix_of(tmp_path, rows="all", parts=parts, near_duplicates=None)
    found = drawn(mix, None)
    assert {row.id for row in found.train} == {"a/a", "a/c"}
    assert found.dropped == {"exact duplicate": {"a/b": "a/a"}}


def test_exact_duplicates_of_several_parts() -> None:
    def row(id: str, content: str) -> TrainingRow:
        return dataclasses.replace(row_of(id, "why", "because"), content=content)

    a, b, c, d = row("a", "x"), row("b", "x"), row("c", "y"), row("d", "x")
    # What has one content in two parts stands for one another, and stays.
    assert mix_duplicates.exact([[a], [b]]) == {}
    assert mix_duplicates.exact([[a, c], [b, d]]) == {"c": "a", "d": "b"}
    assert mix_duplicates.exact([[a, b], [a, b]]) == {"b": "a"}


def test_many_identical_rows() -> None:
    # Comparing each with all before it would take hours.
    rows = [row_of(f"{n:06}", "why", "because") for n in range(50_000)]
    found = mix_duplicates.exact([rows, rows])
    assert len(found) == 49_999 and set(found.values()) == {"000000"}


def test_near_duplicates() -> None:
    said = text(1, 200)
    rows = [
        row_of("1", said, "yes"),
        row_of("2", said.replace(said[60:66], "changed", 1), "yes"),
        row_of("3", text(2, 200), "yes"),
        row_of("4", said, "yes it is", key="1"),
    ]
    found = mix_duplicates.near(rows, 0.8)
    # The last is another answer under the first one's key.
    assert found == {"2": "1"}
    assert mix_duplicates.near(rows, 1.0) == {}


def test_minhash_finds_what_comparing_all_finds() -> None:
    chance = random.Random(3)
    rows = []
    for number in range(60):
        words = chance.choices(WORDS, k=120)
        rows.append(row_of(f"{number:03}", " ".join(words), "yes"))
        for place in chance.sample(range(120), chance.randrange(1, 8)):
            words[place] = "other"
        rows.append(row_of(f"{number:03}x", " ".join(words), "yes"))
    sets = [mix_duplicates._shingles("\n".join(row.texts)) for row in rows]
    alike = {
        later.id
        for at, later in enumerate(rows)
        for before in range(at)
        if mix_duplicates._jaccard(sets[at], sets[before]) >= 0.8
    }
    assert 10 < len(alike) < 50
    assert set(mix_duplicates.near(rows, 0.8)) == alike


# -- scored texts -------------------------------------------------------------


def test_a_planted_overlap_is_left_out_and_named(tmp_path: Path) -> None:
    rows = sft()
    written(tmp_path, rows)
    shared = " ".join(rows[4]["completion"].split()[5:18])
    scored = [
        item("Nothing of it", "nothing", id="other"),
        item(f"What about this: {shared.upper()}!", "yes", id="planted"),
    ]
    for seed in range(3):
        found = drawn(mix_of(tmp_path), seed=seed, scored=scored)
        assert rows[4]["id"] not in {row.id.removeprefix("a/") for row in found.train}
        [hit] = found.overlaps
        assert (hit.row_id, hit.item_id) == (f"a/{rows[4]['id']}", "planted")
        assert hit.text == shared
        assert found.record()["overlap"]["scored_items"] == 2
        assert not mix_overlap.overlaps(found.train, mix_overlap.scored_texts(scored))


def test_overlap_rules() -> None:
    def hit(trained: str, scored: str) -> bool:
        row = row_of("r", trained, "no")
        return bool(
            mix_overlap.overlaps([row], mix_overlap.scored_texts([item("p", scored)]))
        )

    thirteen = text(1, 13)
    assert hit(f"before {thirteen} after", f"{thirteen}, and so on")
    assert not hit(" ".join(thirteen.split()[:12]), f"{thirteen}, and so on")
    # Twelve words in a row are not enough; nor are the same words in another order.
    assert not hit("x " + text(2, 12) + " y", "z " + text(2, 12) + " u")
    assert not hit(thirteen, " ".join(reversed(thirteen.split())))
    # A short text counts as a whole, from five words on.
    assert hit("What is the capital there?", "what is the capital there")
    assert not hit("What is it then?", "What is it then?")
    assert not hit("What is the capital there?", "what is the capital there now")
    # Without spaces, characters count.
    chinese = "今天的天气非常好我们去公园散步吧"
    assert hit(f"他说{chinese}。", f"{chinese}好不好")
    thai = "วันนี้อากาศดีมากเราไปเดินเล่น"
    assert hit(f"เขาพูดว่า{thai}", f"{thai}กันไหม")
    # What begins in one text and ends in the next is of neither.
    row = TrainingRow(
        id="r",
        source="a",
        key="r",
        content="r",
        messages=(Message(role="user", content=text(1, 14)),),
        completion=text(2, 14),
    )
    joined = f"{text(1, 14)} {text(2, 14)}".split()
    scored = mix_overlap.scored_texts([item(" ".join(joined[7:20]))])
    assert not mix_overlap.overlaps([row], scored)


def test_planted_texts_are_found_among_many_items() -> None:
    chance = random.Random(0)
    items = [
        item(text(number, 15), *(text((number, n), 10) for n in range(100)))
        for number in range(200)
    ]
    rows = [row_of(str(n), text(("row", n), 120), "yes") for n in range(1000)]
    planted = chance.sample(range(1000), 20)
    for at in planted:
        rows[at] = row_of(str(at), f"x {text(at % 200, 15)} y", "yes")
    found = mix_overlap.overlaps(rows, mix_overlap.scored_texts(items))
    assert {int(one.row_id) for one in found} == set(planted)


# -- other keys ---------------------------------------------------------------


def test_long_rows_are_left_out(tmp_path: Path) -> None:
    written(tmp_path, sft())
    free, bound = mix_of(tmp_path), mix_of(tmp_path, max_characters=285)
    assert max(row.n_chars for row in drawn(free).train) > 285
    found = drawn(bound)
    assert max(row.n_chars for row in found.train) <= 285
    assert found.dropped["longer than max_characters"]


def test_a_content_is_left_out_where_one_version_is_too_long(tmp_path: Path) -> None:
    rows = sft(n_keys=30, sizes=(1,))
    rows += [{**row, "id": f"{row['id']}-b"} for row in rows if row["lang"] == "fi"]
    for row in rows:
        row["completion"] = f"{row['id']} {row['completion']}"
        if row["id"] in ("3-0-en", "5-0-fi", "7-0-fi-b"):
            row["completion"] += " " + text(row["id"], 300)
    written(tmp_path, rows)
    keys = {"max_characters": 600, "rows": 27, "near_duplicates": None}
    for dose in (0, 1):
        found = drawn(mix_of(tmp_path, match="content", **keys), dose)
        assert not {row.key for row in found.train} & {"k3", "k5", "k7"}
    dropped = found.dropped["longer than max_characters"]
    assert dropped["a/7-0-fi-b"] is None and dropped["a/7-0-fi"] == "a/7-0-fi-b"
    assert len(dropped) == 9
    # Otherwise only the long row is.
    found = drawn(mix_of(tmp_path, **keys), 0)
    assert len(found.dropped["longer than max_characters"]) == 3


def test_upsampling_is_recorded(tmp_path: Path) -> None:
    rows = [row for row in sft() if row["lang"] == "en" or row["key"] in ("k1", "k2")]
    written(tmp_path, rows)
    parts = [
        {"file": "a.jsonl", "where": {"lang": "fi"}, "share": "dose", "upsample": True},
        {"file": "a.jsonl", "where": {"lang": "en"}, "share": "rest"},
    ]
    found = drawn(mix_of(tmp_path, parts=parts))
    counts = Counter(row.id for row in found.train if row.groups["lang"] == "fi")
    assert sorted(counts.values()) == [3, 3, 3, 3, 4, 4]
    assert [part.upsampled for part in found.parts] == [14, 0]


def test_a_mix_of_all_rows_with_none_left(tmp_path: Path) -> None:
    rows = sft()[:3]
    written(tmp_path, rows)
    parts = [{"file": "a.jsonl"}]
    scored = [item(row["completion"], "yes", id=row["id"]) for row in rows]
    with pytest.raises(DataError) as error:
        drawn(mix_of(tmp_path, rows="all", parts=parts), None, scored=scored)
    assert "no row is left to train on; left out are 3 (shares a text" in str(
        error.value
    )


def test_preferences_give_their_chosen_answer_to_sft(tmp_path: Path) -> None:
    rows = [
        {"prompt": text(n), "chosen": text(f"{n} c"), "rejected": text(f"{n} {r}")}
        for n in range(20)
        for r in range(2)
    ]
    written(tmp_path, rows)
    parts = [{"file": "a.jsonl"}]
    found = drawn(mix_of(tmp_path, rows="all", parts=parts), None)
    # Two pairs with one chosen answer are one row.
    assert len(found.train) == 20
    assert all(row.completion and row.chosen is None for row in found.train)
    found = drawn(mix_of(tmp_path, rows="all", parts=parts, stage="dpo"), None)
    assert len(found.train) == 40


def test_three_parts(tmp_path: Path) -> None:
    written(tmp_path, sft())
    written(tmp_path, [{**r, "key": "b" + r["key"]} for r in sft()][:80], "b")
    parts = [
        {"file": "b.jsonl", "share": 0.25},
        {"file": "a.jsonl", "where": {"lang": ["fi"]}, "share": "dose"},
        {"file": "a.jsonl", "where": {"lang": "en"}, "share": "rest"},
    ]
    mix = mix_of(tmp_path, parts=parts, near_duplicates=None)
    # The second file says what the first does: its rows are duplicates.
    with pytest.raises(DataError, match="there are 0"):
        drawn(mix_of(tmp_path, parts=[parts[1], parts[2], parts[0]]))
    assert [part.drawn for part in drawn(mix, 0.25).parts] == [10, 10, 20]
    with pytest.raises(UsageError, match=r"`parts.\*.share` sum to 1.15"):
        drawn(mix, 0.9)


# -- placebos -----------------------------------------------------------------

PLACEBO = [
    {"file": "a.jsonl", "where": {"lang": "en"}, "share": "dose"},
    {"file": "./a.jsonl", "where": {"lang": ["en"]}, "share": "rest"},
]


def test_placebos_are_known(tmp_path: Path) -> None:
    assert mix_of(tmp_path, parts=PLACEBO).is_placebo
    assert not mix_of(tmp_path).is_placebo
    assert not mix_of(tmp_path, parts=[ONE]).is_placebo
    other = [PLACEBO[0], {**PLACEBO[1], "file": "b.jsonl"}]
    assert not mix_of(tmp_path, parts=other).is_placebo


@pytest.mark.parametrize("match", ["none", "length"])
def test_doses_of_a_placebo_share_what_chance_gives(tmp_path: Path, match: str) -> None:
    written(tmp_path, sft(n_keys=400, sizes=(1,)))
    mix = mix_of(tmp_path, parts=PLACEBO, match=match, rows=100)
    shared = []
    for seed in range(10):
        arms = [drawn(mix, dose, seed) for dose in (0.25, 0.75)]
        ids = [[row.id for row in arm.train] for arm in arms]
        assert all(len(set(one)) == 100 for one in ids)
        shared.append(len(set(ids[0]) & set(ids[1])))
        assert drawn(mix, 0.25, seed).sha == arms[0].sha
    # Of 400 rows, 100 and 100 share 25 by chance (standard deviation 3.8).
    assert abs(statistics.fmean(shared) - 25) < 4 * 3.8 / 10**0.5
    assert max(shared) < 25 + 4 * 3.8


def test_a_placebo_cannot_match_contents(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="would hold the same rows"):
        mix_of(tmp_path, parts=PLACEBO, match="content")


# -- parts of one source, sources of one name ---------------------------------


@pytest.mark.parametrize(
    ("dose", "rest", "message"),
    [
        ({"lang": "fi"}, {}, "180 of the 360 rows of `parts.1`.*lang: fi"),
        ({"lang": "fi"}, {"lang": ["en", "fi"]}, "180 of the 360.*`parts.1.where`"),
        ({}, {"lang": "en"}, "180 of the 180.*`parts.0`.*which has none"),
    ],
)
def test_the_rest_lacks_the_attribute(
    tmp_path: Path, dose: dict[str, Any], rest: dict[str, Any], message: str
) -> None:
    written(tmp_path, sft())
    parts = [
        {"file": "a.jsonl", "where": dose, "share": "dose"},
        {"file": "a.jsonl", "where": rest, "share": "rest"},
    ]
    with pytest.raises(ConfigError, match=message):
        drawn(mix_of(tmp_path, parts=parts))


def test_two_files_with_one_stem(tmp_path: Path) -> None:
    rows = sft()
    for row in rows:
        row["id"] = row["id"].rsplit("-", 1)[0]
    for lang in ("en", "fi"):
        (tmp_path / lang).mkdir()
        written(tmp_path / lang, [r for r in rows if r["lang"] == lang], "rows")
    parts = [
        {"file": "fi/rows.jsonl", "share": "dose"},
        {"file": "en/rows.jsonl", "share": "rest"},
    ]
    shared = " ".join(rows[4]["completion"].split()[5:18])
    for match in ("none", "length", "content"):
        mix = mix_of(tmp_path, parts=parts, match=match, hold_out=0.1)
        found = drawn(mix, scored=[item(shared, "yes")])
        assert len({row.id for row in found.train}) == 40
        assert Counter(row.source for row in found.train) == {
            "fi/rows.jsonl": found.parts[0].drawn,
            "en/rows.jsonl": found.parts[1].drawn,
        }
        assert all(row.id.startswith(f"{row.source}/") for row in found.train)
        # Both are cleaned.
        assert [hit.row_id for hit in found.overlaps] == ["en/rows.jsonl/0-2"]
        assert {one.name for one in found.sources} == set(mixes.read_digests(mix, None))


def test_a_file_called_like_a_source(tmp_path: Path, shared_data: Path) -> None:
    # It would give ids that the source has.
    rows = [{"id": "mine", "prompt": text(1), "completion": text(2)}]
    written(tmp_path, rows, "oasst1_sft")
    parts = [{"source": "oasst1_sft"}, {"file": "oasst1_sft.jsonl"}]
    mix = mix_of(tmp_path, parts=parts, rows="all")
    assert set(mixes.read_digests(mix, shared_data)) == {
        "oasst1_sft",
        "oasst1_sft.jsonl",
    }


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize(
    ("wanted", "n"), [(1234567, 1), (1234560, 1), (1000000, 1), (0.5, 1), ([7, 8], 2)]
)
def test_numbers_are_compared_in_full(
    tmp_path: Path, suffix: str, wanted: Any, n: int
) -> None:
    numbers = [*range(1234560, 1234570), 1000000, 0.5, 7, 8]
    rows = [
        {"prompt": text(number), "completion": text(f"{number} a"), "num": number}
        for number in numbers
    ]
    if suffix == "csv":
        lines = [f"{r['prompt']},{r['completion']},{r['num']}" for r in rows]
        body = "\n".join(["prompt,completion,num", *lines]) + "\n"
        (tmp_path / "a.csv").write_text(body, encoding="utf-8")
    else:
        written(tmp_path, rows)
    parts = [{"file": f"a.{suffix}", "where": {"num": wanted}}]
    assert len(drawn(mix_of(tmp_path, parts=parts, rows="all"), None).train) == n
    parts[0]["where"] = {"num": 1234570}
    with pytest.raises(ConfigError, match=r"num: 1234570\..*1234567 \(1\)"):
        drawn(mix_of(tmp_path, parts=parts, rows="all"), None)


# -- what was drawn, and what was read ----------------------------------------


def test_the_drawn_share(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Two keys of twenty contents: half a key is given to neither part.
    written(tmp_path, sft(n_keys=2, sizes=(20,)))
    mix = mix_of(tmp_path, match="content")
    with caplog.at_level(logging.WARNING):
        found = drawn(mix, 0.3)
    assert found.drawn_share == found.record()["drawn_share"] == 0.5
    assert "at a dose of 0.3: 0.5 of the rows have it" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert drawn(mix, 0.5).drawn_share == 0.5
        assert drawn(mix_of(tmp_path, match="none", rows=10), 0.3).drawn_share == 0.3
        assert drawn(mix_of(tmp_path, parts=[ONE]), None).drawn_share is None
    assert not caplog.text


def test_digests_change_when_a_file_does(tmp_path: Path) -> None:
    rows = sft()
    written(tmp_path, rows)
    mix = mix_of(tmp_path)
    before, first = mixes.read_digests(mix, None), drawn(mix)
    assert before == {"a": dict(first.sources[0].files)}
    written(tmp_path, [{**row, "prompt": row["prompt"] + " more"} for row in rows])
    after, second = mixes.read_digests(mix, None), drawn(mix)
    assert after != before and after == {"a": dict(second.sources[0].files)}
    # Nor is what was read before taken for what is there.
    assert all(row.messages[0].content.endswith(" more") for row in second.train)


def test_arms_of_a_sweep_read_and_clean_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finnish = "Minulla ei ole henkilökohtaisia mielipiteitä asiasta {} lainkaan."
    english = "I have no personal opinion about this matter {} whatsoever."
    rows = [
        {"prompt": text((n, lang)), "completion": said.format(text(n, 4))}
        for n in range(40)
        for lang, said in (("fi", finnish), ("en", english))
    ]
    written(tmp_path, rows)
    calls: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        real = getattr(module, name)

        def counted(*given: Any, **named: Any) -> Any:
            calls[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(module, name, counted)

    count(training_own, "read")
    count(langid, "tag")
    count(mix_duplicates, "joined")
    count(mix_pool, "scored_texts")
    mix = mix_of(tmp_path, rows=8)
    scored = [item("Nothing of it", "nothing")]
    for dose in (0, 0.25, 0.5, 1):
        for seed in (0, 1):
            drawn(mix, dose, seed, scored=scored)
    assert calls == {"read": 1, "tag": 1, "joined": 1, "scored_texts": 1}
    # Other items, though they may be as many, are other items.
    planted = [item(rows[0]["prompt"], "nothing")]
    assert drawn(mix, scored=planted).overlaps and calls["scored_texts"] == 2
    scored[0] = planted[0]
    assert drawn(mix, scored=scored).overlaps


def test_what_is_left_of_scored_texts_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, sft())
    assert drawn(mix_of(tmp_path)).record()["overlap"]["left"] == 0
    hit = mix_overlap.Overlap(row_id="a/1", item_id="planted", text="these words")
    monkeypatch.setattr(mixes, "overlaps", lambda rows, scored: [hit])
    with pytest.raises(DataError, match=r"1 drawn rows share.*a/1 with planted"):
        drawn(mix_of(tmp_path))


# -- files --------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["sft", "reward"])
def test_written_and_read_back(tmp_path: Path, stage: str) -> None:
    rows = [
        {"prompt": text(n), "chosen": text(f"{n} c"), "rejected": text(f"{n} r")}
        | {"lang": "fi" if n % 2 else "en", "n": n}
        for n in range(80)
    ]
    written(tmp_path, rows)
    found = drawn(mix_of(tmp_path, stage=stage, hold_out=0.2, rows=20))
    found.write(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "train.jsonl",
        "held_out.jsonl",
        "mix.json",
    }
    back = read_drawn(tmp_path / "out")
    assert [row["id"] for row in back.train] == [row.id for row in found.train]
    assert back.record == json.loads(json.dumps(found.record()))
    assert back.record["sha256"] == found.sha
    assert back.record["rows"] == 20 and back.record["dose"] == 0.5
    [source] = back.record["sources"]
    assert len(source["files"]["a.jsonl"]) == 64
    first = back.train[0]
    answers = ["completion"] if stage == "sft" else ["chosen", "rejected"]
    assert list(first) == ["id", "source", "key", "prompt", *answers, "groups"]
    assert first["prompt"][-1]["role"] == "user"
    assert [turn["role"] for turn in first[answers[0]]] == ["assistant"]
    assert first["groups"].keys() == {"lang", "n"}
    path = tmp_path / "out" / "train.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("w1", "w2"), "utf-8")
    with pytest.raises(DataError, match=r"train.jsonl holds other rows"):
        read_drawn(tmp_path / "out")
    (tmp_path / "out" / "mix.json").unlink()
    with pytest.raises(DataError, match="Draw the mix again"):
        read_drawn(tmp_path / "out")


# -- errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"row": 3}, r"unknown key `row`.*did you mean 'rows'"),
        ({"parts": [{**ONE, "wher": {}}]}, r"`parts.0.wher`.*did you mean 'where'"),
        (
            {"parts": [{**ONE, "share": 0.5}]},
            r"`parts.\*.share` sum to 0.5, not.*`rest` for one",
        ),
        (
            {"parts": [{**ONE, "share": "dose"}]},
            r"`parts.\*.share` has a `dose` and no",
        ),
        ({"parts": [{**ONE, "share": "rest"}] * 2}, r"`parts.\*.share` is `rest` 2"),
        ({"parts": [{**ONE, "share": 0.7}] * 2}, "1.4, which is more than 1"),
        ({"parts": [{"file": "a.jsonl"}]}, r"`parts.0.share` is missing"),
        ({"parts": [{"share": 1}]}, "either `source` or `file`"),
        (
            {"parts": [ONE], "rows": "all"},
            "`parts.0.share` is given beside `rows: all`",
        ),
        (
            {"parts": [{"file": "a.jsonl"}], "rows": "all", "match": "length"},
            "`match` is given beside `rows: all`",
        ),
        ({"parts": [{**ONE, "where": {"lang": False}}]}, "put the word in quotes"),
        ({"stage": "rl"}, "`stage`"),
        ({"parts": [{**ONE, "upsample": True}], "match": "content"}, "be upsampled"),
    ],
)
def test_wrong_mixes(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"trial.yaml.*{message}"):
        mix_of(tmp_path, **keys)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"where": {"lang": "sv"}}, r"no row has lang: sv.*en \(180\), fi \(180\)"),
        ({"where": {"langs": "fi"}}, r"'langs'.*did you mean 'lang'"),
        ({"where": {"lang": ["sv", 3]}}, "lang: sv or 3"),
    ],
)
def test_filters_that_do_not_fit(
    tmp_path: Path, part: dict[str, Any], message: str
) -> None:
    written(tmp_path, sft())
    with pytest.raises(ConfigError, match=message):
        drawn(mix_of(tmp_path, parts=[{**ONE, **part}]), None)


def test_too_few_rows_say_how_many_there_may_be(tmp_path: Path) -> None:
    written(tmp_path, sft())
    with pytest.raises(DataError) as error:
        drawn(mix_of(tmp_path, rows=500), 1)
    assert "500 rows are asked for, and there are 180" in str(error.value)
    assert "`rows: 180` or fewer" in str(error.value)
    assert "upsample: true" in str(error.value)
    # What is said to be possible is.
    assert len(drawn(mix_of(tmp_path, rows=180), 1).train) == 180
    with pytest.raises(DataError) as error:
        drawn(mix_of(tmp_path, rows=500, match="content"))
    assert "part 1 (a.jsonl, lang: fi) has 180; part 2" in str(error.value)
    assert "`rows: 180` or fewer, which holds for every dose" in str(error.value)
    with pytest.raises(DataError) as error:
        drawn(mix_of(tmp_path, rows=500, match="length"))
    most = int(str(error.value).split("`rows: ")[1].split("`")[0])
    assert len(drawn(mix_of(tmp_path, rows=most, match="length")).train) == most


def test_too_few_rows_say_what_holds_for_every_dose(tmp_path: Path) -> None:
    rows = [r for r in sft() if r["lang"] == "en" or int(r["key"][1:]) < 20]
    written(tmp_path, rows)
    with pytest.raises(DataError) as error:
        drawn(mix_of(tmp_path, rows=200), 0.5)
    assert "or fewer, which holds for a dose of 0.5; `rows: 60` holds" in str(
        error.value
    )
    for dose in (0, 0.25, 0.5, 0.75, 1):
        assert len(drawn(mix_of(tmp_path, rows=60), dose).train) == 60
    with pytest.raises(DataError):
        drawn(mix_of(tmp_path, rows=61), 1)


def test_translations_that_the_hub_lacks(tmp_path: Path) -> None:

    rows = [
        {
            "message_id": f"{lang}{n}{role}",
            "parent_id": f"{lang}{n}prompter" if role == "assistant" else None,
            "role": role,
            "text": text((lang, n, role)),
            "lang": lang,
            "rank": None,
            "message_tree_id": f"{lang}{n}",
        }
        for lang in ("en", "fi", "de")
        for n in range(20)
        for role in ("prompter", "assistant")
    ]
    folder = tmp_path / "oasst1" / "data"
    folder.mkdir(parents=True)
    for at, part in enumerate(listed()["oasst1"].parts):
        some = rows if at == 0 else rows[:1]
        pq.write_table(pa.Table.from_pylist(some), folder / part)
    with pytest.raises(DataError) as error:
        draw(read_mix("language_sft"), dose=0.5, seed=0, data=tmp_path)
    said = str(error.value)
    assert "no contents in common" in said
    assert "holds the languages (rows) en (20), fi (20), de (20)" in said
    assert "sft/oasst1_validation_en_fi_sft.jsonl" in said
    assert "oasst-fi/oasst1-fi-train.jsonl" in said and "TurkuNLP/oasst-fi" in said


def test_doses_and_forms_that_do_not_fit(tmp_path: Path) -> None:
    written(tmp_path, sft())
    with pytest.raises(UsageError, match="needs a dose"):
        drawn(mix_of(tmp_path), None)
    with pytest.raises(UsageError, match=r"the dose is 1.5"):
        drawn(mix_of(tmp_path), 1.5)
    with pytest.raises(UsageError, match="no part with `share: dose`"):
        drawn(mix_of(tmp_path, parts=[ONE]), 0.5)
    with pytest.raises(UsageError, match="no part with `share: dose`"):
        drawn(mix_of(tmp_path, rows="all", parts=[{"file": "a.jsonl"}]), 0.5)
    with pytest.raises(ConfigError, match="Stage dpo needs a chosen and a rejected"):
        drawn(mix_of(tmp_path, stage="dpo"))
    with pytest.raises(UsageError, match="Check the path"):
        drawn(mix_of(tmp_path, parts=[{**ONE, "file": "b.jsonl"}]), None)


def test_mixes_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'language_sft'"):
        read_mix("langage_sft")
    with pytest.raises(UsageError, match=r"none\.yaml does not exist"):
        read_mix(str(tmp_path / "none.yaml"))


def test_importing_loads_no_heavy_library() -> None:
    code = "import sys, data_builders.mixes; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    heavy = {"numpy", "pandas", "pyarrow", "datasketch", "datasets", "torch", "lingua"}
    assert not loaded & heavy


# -- shipped mixes ------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(shared_data: Path) -> list[Item]:
    return list(dialect_pairs.build(BuildOptions(data=shared_data)))


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("language_sft", 360),
        ("language_sft_placebo", 360),
        ("dialect_dpo", 112),
        ("dialect_dpo_placebo", 112),
        ("country_dpo", 384),
        ("country_dpo_placebo", 384),
    ],
)
def test_shipped_mixes(
    shared_data: Path, scored: list[Item], name: str, rows: int
) -> None:
    mix = read_mix(name)
    assert mix.is_placebo == name.endswith("_placebo")
    arms = [
        draw(mix, dose=dose, seed=0, data=shared_data, scored=scored)
        for dose in (0, 0.25, 1)
    ]
    for found, dose in zip(arms, (0, 0.25, 1), strict=True):
        assert len(found.train) == rows
        assert not {r.key for r in found.train} & {r.key for r in found.held_out}
        assert abs(found.parts[0].drawn - rows * dose) <= 5
        assert bool(found.held_out) == (mix.hold_out is not None)
        assert all(one.licence for one in found.sources)
    assert len({found.sha for found in arms}) == 3
    contents = [[row.content for row in found.train] for found in arms]
    if mix.is_placebo:
        # Another draw of the same kind of rows.
        [attribute] = mix.parts[0].where
        values = {row.groups[attribute] for found in arms for row in found.train}
        assert len(values) == 1
        assert set(contents[0]) != set(contents[1]) != set(contents[2])
    else:
        assert contents[0] == contents[1] == contents[2]
    # A sweep can tell what was read.
    assert mixes.read_digests(mix, shared_data) == {
        one["name"]: one["files"] for one in arms[0].record()["sources"]
    }


def test_doses_of_the_country_mix_are_met() -> None:
    mix = read_mix("country_dpo")
    for dose in (0, 1 / 24, 0.25, 0.5, 1):
        assert draw(mix, dose=dose, seed=1, data=None).drawn_share == dose


def test_public_reward_mix(shared_data: Path, scored: list[Item]) -> None:
    mix = read_mix("reward_public")
    found = draw(mix, dose=None, seed=0, data=shared_data, scored=scored)
    assert {row.source for row in found.train} == {
        "ultrafeedback",
        "hh_rlhf_harmless",
        "oasst1_pairs",
    }
    share = len(found.held_out) / (len(found.train) + len(found.held_out))
    assert 0.15 < share < 0.25

    # Follow-up turns and translations lie with their tree.
    def first(row: TrainingRow) -> str:
        return row.messages[0].content

    assert not {first(r) for r in found.train} & {first(r) for r in found.held_out}
    assert not {r.key for r in found.train} & {r.key for r in found.held_out}
    assert {row.groups.get("lang") for row in found.held_out} == {None, "en", "fi"}


def test_questions_that_are_scored_are_not_trained_on(shared_data: Path) -> None:
    from data_builders import country_questions

    items = list(country_questions.build(BuildOptions()))
    with pytest.raises(DataError, match="rows share a text with a scored item"):
        draw(read_mix("country_dpo"), dose=0.5, seed=0, data=shared_data, scored=items)


def test_every_shipped_mix_is_tested() -> None:
    assert mixes.names() == (
        "country_dpo",
        "country_dpo_placebo",
        "dialect_dpo",
        "dialect_dpo_placebo",
        "language_sft",
        "language_sft_placebo",
        "reward_public",
    )


@pytest.mark.parametrize("name", ["country_dpo", "dialect_dpo", "language_sft"])
def test_a_placebo_is_its_twin_but_for_the_attribute(name: str) -> None:
    ours, twin = read_mix(name), read_mix(f"{name}_placebo")
    assert twin.is_placebo and not ours.is_placebo
    same = ("stage", "rows", "hold_out", "max_characters", "near_duplicates")
    for key in same:
        assert getattr(ours, key) == getattr(twin, key)
    # Both parts are the part that lacks the attribute.
    assert twin.parts[0].where == twin.parts[1].where == ours.parts[1].where
