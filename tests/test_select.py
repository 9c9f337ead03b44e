"""--limit draws nested and stratified; --countries takes any known spelling."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from data_builders import askreddit, country_questions, select
from probe.types import BuildOptions, Candidate, DataError, GroupValue, Item, Message

COLUMNS = ("sentiment", "category")


def item(number: int, groups: Mapping[str, GroupValue], id: str | None = None) -> Item:
    return Item(
        id=id or f"i{number}",
        messages=(Message(role="user", content="?"),),
        candidates=(Candidate(id="a", answer="a"),),
        groups=groups,
    )


def made(n: int = 300) -> list[Item]:
    """One category is half of all items, the last a single one; sentiment 2 to 1."""
    draw = random.Random(7)
    items = []
    for number in range(n):
        category = "rare" if number == n - 1 else draw.choice("aaaabcde")
        sentiment = "positive" if draw.random() < 2 / 3 else "negative"
        items.append(item(number, {"sentiment": sentiment, "category": category}))
    return items


def ids(items: Iterable[Item]) -> list[str]:
    return [one.id for one in items]


def test_a_larger_limit_contains_a_smaller_one() -> None:
    items = made(150)
    before: set[str] = set()
    for n in range(1, len(items) + 1):
        drawn = select.limit_items(items, COLUMNS, n)
        assert len(drawn) == n
        assert before <= set(ids(drawn))
        before = set(ids(drawn))


def test_every_value_comes_first_and_shares_follow() -> None:
    items = made()
    values = {(c, one.groups[c]) for one in items for c in COLUMNS}
    few = select.limit_items(items, COLUMNS, 6)
    assert {(c, one.groups[c]) for one in few for c in COLUMNS} == values
    for n in (20, 50, 100):
        drawn = select.limit_items(items, COLUMNS, n)
        for column in COLUMNS:
            whole = Counter(one.groups[column] for one in items)
            part = Counter(one.groups[column] for one in drawn)
            for value, count in whole.items():
                # Near the exact share; the rare value has its one item from the start.
                assert abs(part[value] - n * count / len(items)) <= 1.5


def test_original_order_and_no_effect_of_file_order() -> None:
    items = made()
    drawn = select.limit_items(items, COLUMNS, 40)
    assert ids(drawn) == [i for i in ids(items) if i in set(ids(drawn))]
    shuffled = random.Random(1).sample(items, len(items))
    again = select.limit_items(shuffled, COLUMNS, 40)
    assert set(ids(again)) == set(ids(drawn))
    other = select.limit_items(items, COLUMNS, 40, seed=1)
    assert set(ids(other)) != set(ids(drawn))


def test_a_column_of_ids_is_no_stratification() -> None:
    items = [
        item(k, {"sentiment": "positive" if k < 150 else "negative", "id": f"{k}"})
        for k in range(300)
    ]
    drawn = select.limit_items(items, ("sentiment", "id"), 10)
    assert Counter(one.groups["sentiment"] for one in drawn) == {
        "positive": 5,
        "negative": 5,
    }


def parallel(codes: str, absent: Iterable[tuple[int, str]] = ()) -> list[Item]:
    """40 questions in each language, but for those that are absent."""
    lost = set(absent)
    return [
        item(
            number,
            {"language": code, "question": f"q{number}", "kind": "ab"[number % 4 == 0]},
            id=f"{code}-{number}",
        )
        for code in codes
        for number in range(40)
        if (number, code) not in lost
    ]


UNIT_COLUMNS = ("language", "question", "kind")


def drawn_questions(items: list[Item], n: int) -> list[GroupValue]:
    drawn = select.limit_items(items, UNIT_COLUMNS, n, 0, "question")
    return list(dict.fromkeys(one.groups["question"] for one in drawn))


def test_units_are_drawn_whole_and_whatever_else_is_read() -> None:
    drawn = select.limit_items(parallel("ef"), UNIT_COLUMNS, 8, 0, "question")
    assert len(drawn) == 16
    asked = drawn_questions(parallel("ef"), 8)
    for codes in ("e", "f", "fe", "efg"):
        assert sorted(map(str, drawn_questions(parallel(codes), 8))) == sorted(
            map(str, asked)
        )
    assert set(asked) < set(drawn_questions(parallel("ef"), 20))
    # What a question has in every language is drawn in its share.
    kinds = Counter(one.groups["kind"] for one in drawn)
    assert kinds == {"a": 12, "b": 4}


def test_a_unit_that_one_language_lacks_is_no_rare_kind() -> None:
    whole = parallel("ef")
    asked = drawn_questions(whole, 8)
    others = [k for k in range(40) if f"q{k}" not in asked]
    lacking = parallel("ef", [(k, "e") for k in others[:3]])
    assert set(drawn_questions(lacking, 8)) == set(asked)


def test_limits_that_take_everything_or_nothing() -> None:
    items = made(30)
    assert select.limit_items(items, COLUMNS, 30) == items
    assert select.limit_items(items, COLUMNS, 99) == items
    assert len(select.limit_items(items, (), 5)) == 5
    with pytest.raises(DataError, match="at least 1"):
        select.limit_items(items, COLUMNS, 0)


def test_limit_20_of_the_real_probes(shared_data: Path) -> None:
    options = BuildOptions(data=shared_data, countries=("USA",))
    items = list(askreddit.PROBE.build(options))
    columns = askreddit.PROBE.item_columns
    drawn = select.limit_items(items, columns, 20)
    for column in columns:
        assert {i.groups[column] for i in drawn} == {i.groups[column] for i in items}
    sentiments = Counter(one.groups["sentiment"] for one in drawn)
    assert 11 <= sentiments["positive"] <= 13  # 323 of 554 are 11.7 of 20
    bundled = list(country_questions.PROBE.build(options))
    drawn = select.limit_items(bundled, country_questions.PROBE.item_columns, 20)
    assert Counter(i.groups["sentiment"] for i in drawn)["positive"] == 10
    assert len({i.groups["category"] for i in drawn}) == 8


def test_countries_in_any_spelling() -> None:
    assert select.filter_countries(["USA", " India ", "x-kosovo", "usa"]) == (
        "USA",
        "IND",
        "x-kosovo",
    )
    with pytest.raises(DataError, match="Germany"):
        select.filter_countries(["Germny"])


def test_kept_countries_stay_in_the_probes_order() -> None:
    names = [("Chad", "TCD"), ("France", "FRA"), ("India", "IND")]
    assert select.keep_countries(names, None, "p") == tuple(names)
    kept = select.keep_countries(names, ("IND", "TCD"), "p")
    assert kept == (("Chad", "TCD"), ("India", "IND"))
    with pytest.raises(DataError, match="p does not have"):
        select.keep_countries(names, ("USA",), "p")
