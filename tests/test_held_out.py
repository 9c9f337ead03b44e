"""Held-out pairs while a model trains: groups, margins, and what a stop leaves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from probe import held_out
from probe.types import Candidate, Item, Message


def item(id: str, **groups: str | float | None) -> Item:
    return Item(
        id=id,
        messages=(Message(role="user", content="?"),),
        candidates=tuple(Candidate(id=r, answer=r) for r in ("chosen", "rejected")),
        groups=groups,
    )


ITEMS = [item("a", lang="en"), item("b", lang="fi"), item("c", lang="fi")]


def watched(
    tmp_path: Path, found: Sequence[float], beta: float | None = None
) -> held_out.HeldOut:
    return held_out.HeldOut(
        items=ITEMS,
        score=lambda items: list(found),
        beta=beta,
        file=tmp_path / "held_out.jsonl",
    )


def test_accuracy_and_margin_by_group(tmp_path: Path) -> None:
    pairs = watched(tmp_path, [1, 0, 0, 2, 3, 3])
    pairs.measure(step=0, tokens=0)
    assert pairs.rows() == [
        (0, 0, "all", "all", 3, 0.5, pytest.approx(-1 / 3)),
        (0, 0, "lang", "en", 1, 1.0, 1.0),
        # One is wrong, and a tie counts one half.
        (0, 0, "lang", "fi", 2, 0.25, -1.0),
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
    after = {row[3]: row[5:] for row in pairs.rows() if row[0] == 4}
    assert after["en"] == (1.0, 1.0)
    assert after["fi"] == (0.75, 0.5)


def test_what_is_not_finite_is_not_counted(tmp_path: Path) -> None:
    pairs = watched(tmp_path, [float("nan"), 0, 1, 0, 2, 0])
    pairs.measure(step=0, tokens=0)
    assert [row[4] for row in pairs.rows()] == [2, 2]


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
