"""Held-out pairs while a model trains: groups, margins, and what a stop leaves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from probe import held_out
from probe.types import Candidate, Item, Message


def item(id: str, key: str | None = None, **groups: str | float | None) -> Item:
    return Item(
        id=id,
        messages=(Message(role="user", content="?"),),
        candidates=tuple(Candidate(id=r, answer=r) for r in ("chosen", "rejected")),
        groups={**groups, held_out.KEY: key or id},
    )


ITEMS = [item("a", "ab", lang="en"), item("b", "ab", lang="fi"), item("c", lang="fi")]


def watched(
    tmp_path: Path, found: Sequence[float], beta: float | None = None
) -> held_out.HeldOut:
    return held_out.HeldOut(
        items=ITEMS,
        score=lambda items: list(found),
        beta=beta,
        file=tmp_path / "held_out.jsonl",
    )


def test_every_pair_has_its_margin_groups_and_key(tmp_path: Path) -> None:
    pairs = watched(tmp_path, [1, 0, 0, 2, 3, 3])
    pairs.measure(step=0, tokens=0)
    assert pairs.rows() == [
        (0, 0, "all", "all", "ab", "a", 1),
        (0, 0, "all", "all", "ab", "b", -2),
        (0, 0, "all", "all", "c", "c", 0),
        (0, 0, "lang", "en", "ab", "a", 1),
        (0, 0, "lang", "fi", "ab", "b", -2),
        (0, 0, "lang", "fi", "c", "c", 0),
    ]
    pairs.write(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as stream:
        assert next(csv.reader(stream)) == list(held_out.COLUMNS)


def test_a_policy_is_held_against_its_first_step(tmp_path: Path) -> None:
    scores = [-10.0, -4.0, -3.0, -3.0, -2.0, -1.0]
    pairs = watched(tmp_path, scores, beta=0.5)
    pairs.measure(step=0, tokens=0)
    pairs.score = lambda items: [-8.0, -4.0, -3.0, -5.0, -2.0, -1.0]
    pairs.measure(step=4, tokens=90)
    rows = [row for row in pairs.rows() if row[2] == "all"]
    assert [row[-1] for row in rows if row[0] == 0] == [0, 0, 0]
    assert [row[-1] for row in rows if row[0] == 4] == [1, 1, 0]


def test_what_is_not_finite_at_a_step_is_left_out_of_all(tmp_path: Path) -> None:
    pairs = watched(tmp_path, [2, 0, 1, 0, 2, 0])
    pairs.measure(step=0, tokens=0)
    pairs.score = lambda items: [float("nan"), 0, 1, 0, 2, 0]
    pairs.measure(step=4, tokens=90)
    assert {row[5] for row in pairs.rows()} == {"b", "c"}
    assert len(pairs.rows()) == 2 * (2 + 2)


def test_a_stopped_training_takes_up_what_it_measured(tmp_path: Path) -> None:
    pairs = watched(tmp_path, [1, 0] * 3)
    for step in (0, 5, 9):
        pairs.measure(step=step, tokens=step * 10)
    with pairs.file.open("a") as stream:
        stream.write('{"step": 10, "tok')
    again = watched(tmp_path, [0, 1] * 3)
    again.restore(5)
    assert [point.step for point in again.points] == [0, 5]
    again.measure(step=5, tokens=50)
    assert again.points[-1].scores["a"] == (1, 0), "it was measured before"
    again.measure(step=9, tokens=90)
    assert len(pairs.file.read_text().splitlines()) == 3


def test_what_was_measured_of_other_pairs_is_lost(tmp_path: Path) -> None:
    """A policy's margins are over its first step, which must be of the same pairs."""
    pairs = watched(tmp_path, [1, 0] * 3)
    pairs.measure(step=0, tokens=0)
    again = watched(tmp_path, [0, 1] * 2)
    again.items = ITEMS[:2]
    assert not again.restore(5) and again.points == []
    assert watched(tmp_path, [1, 0] * 3).restore(0)


def test_numbers_and_ids_are_no_groups() -> None:
    many = [item(f"i{n}", lang="en", length=float(n), name=f"x{n}") for n in range(50)]
    assert set(held_out.grouped(many)) == {("all", "all"), ("lang", "en")}


def test_the_draw_holds_every_group_and_only_what_fits() -> None:
    many = [item(f"i{n}", lang="fi" if n % 10 == 0 else "en") for n in range(60)]
    drawn = held_out.draw(many, 6, lambda one: one.id != "i0")
    assert len(drawn) == 6 and "i0" not in {one.id for one in drawn}
    assert {one.groups["lang"] for one in drawn} == {"en", "fi"}
    assert drawn == held_out.draw(many, 6, lambda one: one.id != "i0")
    assert held_out.draw(many, 0, lambda one: True) == []


def test_the_draw_takes_whole_keys() -> None:
    """Groups are compared on the same prompts."""
    langs = ("en", "fi", "sw")
    many = [
        item(f"{key}-{lang}", f"k{key}", lang=lang, source="ab"[key % 2])
        for key in range(20)
        for lang in langs
    ]
    drawn = held_out.draw(many, 10, lambda one: True)
    keys = {str(one.groups[held_out.KEY]) for one in drawn}
    assert len(drawn) == 12 and len(keys) == 4, "four keys hold ten pairs or more"
    assert all(
        [one.groups["lang"] for one in drawn if one.groups[held_out.KEY] == key]
        == list(langs)
        for key in keys
    )
    assert {one.groups["source"] for one in drawn} == {"a", "b"}
    more = held_out.draw(many, 13, lambda one: True)
    assert {one.id for one in drawn} < {one.id for one in more}
    assert len(held_out.draw(many, 1000, lambda one: True)) == 60


def test_keys_of_few_groups_are_drawn_beside_those_of_many() -> None:
    """A key in two groups does not keep the draw from being stratified over them."""
    many = [item(f"i{n}", lang="fi" if n == 7 else "en") for n in range(40)]
    many += [item(f"both-{lang}", "both", lang=lang) for lang in ("en", "sw")]
    drawn = held_out.draw(many, 4, lambda one: True)
    assert {one.groups["lang"] for one in drawn} == {"en", "fi", "sw"}
