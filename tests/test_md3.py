"""MD3: the prepared games, the published tables, and where a transcript is cut."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from data_builders import md3, probes, sources
from data_builders import md3_transcripts as transcripts
from data_builders.md3_transcripts import Utterance
from probe.audit import available
from probe.types import BuildOptions, DataError, Item, MissingDataError

LEAKS = {
    "en_in-0167": "C (Programming Language)",
    "en_ng-0284": "Diana, Princess of Wales",
    "en_ng-0381": "Charles, Prince of Wales",
    "en_ng-0426": "Atmosphere",
    "en_ng-0438": "Middle Ages",
    "en_us-0689": "Diana, Princess of Wales",
}
"""Prepared games whose transcript still holds the answer."""


def build(data: Path) -> list[Item]:
    return list(md3.build(BuildOptions(data=data)))


@pytest.fixture(scope="module")
def items(shared_data: Path) -> list[Item]:
    return build(shared_data)


@pytest.fixture(scope="module")
def prepared(shared_data: Path) -> list[dict[str, object]]:
    text = (shared_data / "md3" / "md3_game.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_prepared_games(shared_data: Path, items: list[Item]) -> None:
    assert Counter(item.groups["dialect"] for item in items) == {
        "en_us": 423,
        "en_in": 216,
        "en_ng": 250,
    }
    # The five of 894 without a transcript.
    assert md3.dropped(BuildOptions(data=shared_data)) == {
        "nothing said before the answer": 5
    }
    assert len({item.id for item in items}) == 889
    said = {item.id: item.meta["answer"] for item in items if item.meta["answer_said"]}
    assert said == LEAKS


def test_items(items: list[Item]) -> None:
    ids = ["answer", *(f"distractor-{i}" for i in range(1, 6))]
    for item in items:
        assert [one.id for one in item.candidates] == ids
        assert [one.groups["correct"] for one in item.candidates] == [
            "yes",
            *["no"] * 5,
        ]
        words = [one.answer for one in item.candidates]
        assert words == [one.groups["word"] for one in item.candidates]
        assert words == [item.meta["answer"], *item.meta["distractors"]]  # type: ignore[misc]
        assert item.max_new_tokens == 10
        assert json.loads(json.dumps(dict(item.meta))) == item.meta
    # The wording is the same for all: what is left without the transcript.
    before, after = md3.PROMPT.split("{transcript}")
    for item in items:
        [message] = item.messages
        assert message.content.startswith(before) and message.content.endswith(after)
        shown = message.content.removeprefix(before).removesuffix(after)
        assert shown == shown.strip() != ""


def test_one_item_in_full(items: list[Item]) -> None:
    [item] = [item for item in items if item.id == "en_in-0001"]
    assert item.groups == {"dialect": "en_in"}
    assert item.meta == {
        "answer": "Spring",
        "distractors": ["Summer", "Season", "Autumn", "Flowers", "Allergy"],
        "n_words": 40,
        "n_turns": 5,
        # wordfreq 3.1.1, English.
        "answer_zipf": 4.92,
        "answer_said": False,
    }
    assert "\n\nSpeaker1: Did you use a pen uh which\nSpeaker1: which has" in (
        item.messages[0].content
    )


def test_prepared_games_are_the_recorded_ones(
    recorded: Path, prepared: list[dict[str, object]]
) -> None:
    for file in sorted((recorded / "outputs" / "md3-game").glob("*.csv")):
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
        assert len(rows) == len(prepared) == 894
        for row, game in zip(rows.to_dict("records"), prepared, strict=True):
            assert (row["transcript"] or None) == game["transcript"]
            assert row["distractors"] == str(game["distractors"])
            for key in ("dialect", "correct_answer"):
                assert row[key] == game[key]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("is it the screw driver", "Screwdriver"),
        ("Whitehouse!", "White House"),
        ("C E N S O R S H I P", "Censorship"),
        ("first aid kit", "First-aid kit"),
        ("First-aid-kit.", "First aid kit"),
        ("a D.N.A. test", "Dna"),
        ("Beyonce?", "Beyoncé"),
        ("Levis", "Levi's"),
        ("it's cats", "Cat"),
        ("mosquitoes", "Mosquito"),
        ("the window's open", "Windows"),
        ("aluminum", "Aluminium"),
        ("the color", "Colour"),
        ("Brad Piit?", "Brad Pitt"),
        ("Christiano Ronaldo", "Cristiano Ronaldo"),
        ("atmostphere", "Atmosphere"),
        ("Yelow", "Yellow"),
        ("C plus plus", "C++"),
        ("uh Madonna", "Madonna (Entertainer)"),
        ("princess Diana of", "Diana, Princess of Wales"),
    ],
)
def test_said(text: str, answer: str) -> None:
    assert transcripts.says(text, answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("that is it", "Cat"),
        ("it is a C", "C++"),
        ("we have North America", "South America"),
        ("Black Lesnar?", "Brock Lesnar"),
        ("on a string", "Spring"),
        ("a lot of money", "Monkey"),
        ("he is a fellow", "Yellow"),
        ("a plane", "Planet"),
        ("the house", "Mouse"),
        ("something new", "News"),
        ("hot land", "Holland"),
        ("", "Cat"),
        ("no", "..."),
    ],
)
def test_not_said(text: str, answer: str) -> None:
    assert not transcripts.says(text, answer)


def test_few_transcripts_cut_by_hand_hold_their_answer(
    prepared: list[dict[str, object]],
) -> None:
    """False alarms: every leak is one that a reader would call a leak, or nearly."""
    found = {
        game["item_id"]: game["correct_answer"]
        for game in prepared
        if any(
            transcripts.says(line.partition(":")[2], str(game["correct_answer"]))
            for line in str(game["transcript"] or "").split("\n")
        )
    }
    assert found == LEAKS


def test_cut_and_repeats() -> None:
    lines = tuple(
        Utterance(speaker=who, text=text)
        for who, text in (
            ("A", "it flies"),
            ("B", "ok"),
            ("A", "it flies"),
            ("A", "at night"),
            ("A", "it flies"),
            ("B", "a bat?"),
            ("A", "yes"),
        )
    )
    kept = transcripts.without_repeats(lines)
    assert [one.text for one in kept] == [
        "it flies",
        "ok",
        "at night",
        "it flies",
        "a bat?",
        "yes",
    ]
    before = transcripts.before_answer(kept, "Bat")
    assert before == kept[:4]
    assert transcripts.n_turns(before) == 3
    assert transcripts.n_words(before) == 7
    assert transcripts.rendered(before[:2]) == "A: it flies\nB: ok"
    assert transcripts.before_answer(kept, "Owl") is None
    assert transcripts.before_answer(kept[4:], "Bat") == ()


PROMPTS = ["clip_identifier", "game_type", "prompt_status", "correct_word/image"]
PROMPTS += ["distractors"]
SPOKEN = ["clip_identifier", "speaker_id", "transcript"]
FIVE = "['Flying', 'Night', 'Cave', 'Vampire', 'Ball']"

Rows = list[list[str]]


def write(
    folder: Path, dialect: str, prompts: Rows, spoken: Rows, more: Sequence[str] = ()
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, header, rows in (
        ("prompts", PROMPTS, prompts),
        ("transcripts", [*SPOKEN, *more], spoken),
    ):
        path = folder / f"{name}_{dialect}.tsv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(
                [header, *rows]
            )


PROMPT_ROWS: Rows = [
    ["c1", "word", "win", "Bat", FIVE],
    ["c1", "word", "win", "Bat", FIVE],
    ["c1", "word", "win", "Owl", FIVE],
    ["c2", "word", "lose", "Owl", FIVE],
    ["c3", "image", "win", "7", "not a list"],
    ["c4", "word", "win", "Owl", FIVE],
    ["c5", "word", "win", "Owl", FIVE],
    ["c6", "word", "win", "Owl", FIVE],
    ["c7", "word", "win", "Cave", FIVE],
    ["c8", "word", "win", "Owl", "['Night']"],
    ["c9", "word", "win", "", FIVE],
    ["c10", "word", "win", "Owl", ""],
]
SPOKEN_ROWS: Rows = [
    ["c1", "Speaker0", "It flies at night"],
    ["c1", "Speaker0", "It flies at night"],
    ["c1", "", "hm"],
    ["c1", "Speaker1", ""],
    ["c1", "Speaker1", '"Bird", right?'],
    ["c4", "Speaker0", "Hoots"],
    ["c1", "Speaker1", "Is it a B A T?"],
    ["c1", "Speaker0", "Yes"],
    ["c5", "Speaker0", "An owl"],
    *[
        [clip, "Speaker0", text]
        for clip in ("c7", "c8", "c10")
        for text in ("Dark", "owl, cave")
    ],
]


def small(folder: Path) -> Path:
    for dialect in md3.DIALECTS:
        write(folder / "md3en", dialect, PROMPT_ROWS, SPOKEN_ROWS)
    return folder


def test_published_tables(tmp_path: Path) -> None:
    found = build(small(tmp_path))
    assert [item.id for item in found] == ["en_us-c1", "en_in-c1", "en_ng-c1"]
    text = found[0].messages[0].content
    assert '\n\nSpeaker0: It flies at night\nSpeaker1: "Bird", right?\n\n' in text
    assert found[0].meta["distractors"] == [
        "Flying",
        "Night",
        "Cave",
        "Vampire",
        "Ball",
    ]
    assert md3.dropped(BuildOptions(data=tmp_path)) == {
        "a second game of the same clip": 3,
        "answer never said": 3,
        "no transcript of the game": 3,
        "no answer given": 3,
        "nothing said before the answer": 3,
        "answer among the forbidden words": 3,
        "not 5 forbidden words": 6,
    }


def test_the_prepared_games_from_tables(
    tmp_path: Path, items: list[Item], prepared: list[dict[str, object]]
) -> None:
    """All games, written as they are published, are cut where they were by hand."""
    for dialect in md3.DIALECTS:
        games = [game for game in prepared if game["dialect"] == dialect]
        prompts, spoken = [], []
        for game in games:
            clip, answer = str(game["item_id"]), str(game["correct_answer"])
            prompts.append([clip, "word", "win", answer, str(game["distractors"])])
            lines = str(game["transcript"] or "").split("\n")
            lines += [f"Speaker1: Is it {answer.lower()}?", "Speaker0: Yes"]
            for time, line in enumerate(lines):
                speaker, _, text = line.partition(": ")
                spoken += [[clip, speaker, text, str(time)]] * 2
        write(tmp_path, dialect, prompts, spoken, ["start"])
    found = {item.id.partition("-")[2]: item for item in build(tmp_path)}
    whole = {item.id: item for item in items if item.id not in LEAKS}
    assert whole.keys() <= found.keys() <= {item.id for item in items}
    differ = []
    for name, item in whole.items():
        other = dataclasses.replace(found[name], id=name)
        assert other.candidates == item.candidates
        if other != item:
            differ.append(name)
    # A line that its speaker's last one was already, but for white space at its end:
    # their authors kept it.
    assert differ == [
        "en_in-0057",
        "en_in-0158",
        "en_in-0193",
        "en_ng-0287",
        "en_ng-0342",
        "en_us-0549",
    ]


def test_the_prepared_games_come_first(tmp_path: Path, shared_data: Path) -> None:
    small(tmp_path)
    text = (shared_data / "md3" / "md3_game.jsonl").read_text(encoding="utf-8")
    (tmp_path / "md3_game.jsonl").write_text(text.split("\n")[0], encoding="utf-8")
    assert [item.id for item in build(tmp_path)] == ["en_in-0000"]
    assert list(sources.digests(["md3"], tmp_path)) == ["md3"]


def test_every_file_read_is_recorded(tmp_path: Path) -> None:
    found = sources.digests(["md3"], small(tmp_path))
    assert set(found) == {
        f"md3/{table}_{dialect}.tsv"
        for table in ("prompts", "transcripts")
        for dialect in md3.DIALECTS
    }
    (tmp_path / "md3en" / "prompts_en_us.tsv").write_text("changed")
    after = sources.digests(["md3"], tmp_path)
    changed = [name for name in found if found[name] != after[name]]
    assert changed == ["md3/prompts_en_us.tsv"]


def test_missing_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(MissingDataError) as caught:
        build(tmp_path)
    assert "md3/md3_game.jsonl, prompts_en_us.tsv, md3/prompts_en_us.tsv" in (
        caught.value.found
    )
    assert "https://www.kaggle.com/datasets/jacobeis99/md3en" in caught.value.action
    assert "prompts_en_ng.tsv" in caught.value.action
    assert "leave --data out" not in caught.value.action
    with pytest.raises(MissingDataError, match="not on the hub") as nowhere:
        list(md3.build(BuildOptions()))
    assert "kaggle.com" in nowhere.value.action and "--data" in nowhere.value.action
    # An audit goes on without it.
    probe = probes.load("md3")
    other = probes.load("where_from")
    options = BuildOptions(data=tmp_path)
    with caplog.at_level(logging.WARNING):
        kept = available([probe, other], options, limit=None, seed=0)
    assert [one.name for one, _ in kept] == ["where_from"]
    assert "left out probe md3" in caplog.text and "kaggle" in caplog.text


def test_a_part_of_the_tables(tmp_path: Path) -> None:
    (small(tmp_path) / "md3en" / "transcripts_en_ng.tsv").unlink()
    with pytest.raises(MissingDataError, match=r"lacks transcripts_en_ng\.tsv"):
        build(tmp_path)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (
            "prompts",
            FIVE,
            "Night, Cave",
            "prompts_en_us.tsv, line 2, column 'distractors': 'Night, Cave' is no list",
        ),
        ("prompts", FIVE, "['Night', 3]", "line 2, column 'distractors'"),
        ("prompts", FIVE, "__import__('os')", "is no list of texts"),
        ("prompts", "prompt_status", "status", "no column 'prompt_status'"),
        ("prompts", "\twin\t", "\tlose\t", "no won taboo game"),
        ("transcripts", "Hoots", "Hoots\tno", "line 7: the row has not one cell"),
        ("transcripts", "Hoots", '"Hoots', "the row has not one cell"),
        ("transcripts", "Hoots", "\udcff", "line 7: byte 0xff is not UTF-8"),
    ],
)
def test_malformed_tables(
    tmp_path: Path, table: str, old: str, new: str, message: str
) -> None:
    file = small(tmp_path) / "md3en" / f"{table}_en_us.tsv"
    text = file.read_text(encoding="utf-8")
    assert old in text
    changed = text.replace(old, new)
    file.write_bytes(changed.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as caught:
        build(tmp_path)
    assert message in str(caught.value) and file.name in str(caught.value)


GAME: dict[str, object] = {
    "item_id": "g",
    "dialect": "en_us",
    "transcript": "A: it flies\nB: ok",
    "correct_answer": "Bat",
    "distractors": ["Flying", "Night", "Cave", "Vampire", "Ball"],
}


def jsonl(folder: Path, *games: dict[str, object]) -> Path:
    lines = [json.dumps(game) for game in games]
    (folder / "md3_game.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dialect": "en_gb"}, "key 'dialect': 'en_gb'"),
        ({"dialect": None}, "key 'dialect': None"),
        ({"correct_answer": " "}, "key 'correct_answer'"),
        ({"transcript": 3}, "key 'transcript': 3"),
        ({"transcript": "it flies"}, "'it flies' names no speaker"),
        ({"distractors": "Night"}, "'Night' is no list of texts"),
    ],
)
def test_malformed_games(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        build(jsonl(tmp_path, GAME, {**GAME, "item_id": "h", **change}))
    assert (
        message in str(caught.value) and "md3_game.jsonl, line 2" in caught.value.found
    )


def test_games_that_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'g' stands in line 1 already"):
        build(jsonl(tmp_path, GAME, GAME))
    jsonl(
        tmp_path,
        GAME,
        {**GAME, "item_id": "h"},
        {**GAME, "dialect": "en_in", "item_id": "i"},
    )
    assert [item.id for item in build(tmp_path)] == ["g", "i"]
    assert md3.dropped(BuildOptions(data=tmp_path)) == {"the same game twice": 1}
    lacking = {key: value for key, value in GAME.items() if key != "dialect"}
    with pytest.raises(DataError, match="no key 'dialect'"):
        build(jsonl(tmp_path, lacking))


def test_an_unknown_word_has_no_frequency(tmp_path: Path) -> None:
    [item] = build(jsonl(tmp_path, {**GAME, "correct_answer": "Qzxvwq"}))
    assert item.meta["answer_zipf"] is None
