"""Readers of the layouts of scores: wide, a row per country, and long."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from data_builders import askreddit, countries, slots, where_from
from probe.recorded import files
from probe.recorded.files import Recorded
from probe.types import (
    BuildOptions,
    Candidate,
    DataError,
    GroupValue,
    Item,
    Measure,
    Message,
    Probe,
)

PAPER = BuildOptions(articles="paper")
"""The published prompts follow the paper's own article rule."""

_WIDE_META = frozenset(
    "Question|Full Prompt|reward_model|model|Search Query|Sentiment|Response Format|"
    "Category|seed|add_article|use_chat_template".split("|")
)
_WIDE_NEEDS = ("Question", "Response Format", "Sentiment", "Category", "Search Query")
_LONG_META = frozenset(
    ("item_id", "candidate_id", "score", "measure", "prompt", "answer")
)
_TOLD_BY = frozenset(
    ("sentiment", "dialect", "correct", "word", "feature", "frame", "variant", "role")
)
"""Columns without which a run of a probe that has them cannot be analysed."""


def read_wide(frame: pd.DataFrame, file: Path) -> Recorded:
    """AskReddit: a row per question and a column per country.

    Raises:
        DataError: A column, cell or country is not as it must be; with its place.
    """
    model_column = "reward_model" if "reward_model" in frame.columns else "model"
    files.need(frame, (*_WIDE_NEEDS, model_column), file)
    names = [str(name) for name in frame.columns if name not in _WIDE_META]
    if not names:
        raise DataError(
            f"{file} has no column for a country",
            "The wide layout has a row per question and a column per country",
            "Add the countries' columns, or use the long layout",
        )
    known = {name: files.country(name, file, f"column '{name}'") for name in names}
    keyed = [(name, known[name].key) for name in names]
    files.no_twice(pd.Series([key for _, key in keyed]), "a country", file)
    files.no_twice(
        frame["Question"] + " | " + frame["Response Format"], "a question", file
    )
    values = files.numbers(frame, names, file)
    published_model = files.one_value(frame, model_column, file)
    items = []
    for row in frame[list(_WIDE_NEEDS)].itertuples(index=False):
        question, response, sentiment, category, query = map(str, row)
        if sentiment not in askreddit.SENTIMENTS:
            raise DataError(
                f"{file}, question {question!r}: Sentiment = {sentiment!r}",
                f"Sentiment is one of {', '.join(askreddit.SENTIMENTS)}",
                "Mend the cell",
            )
        if not slots.has_one_slot(response):
            raise DataError(
                f"{file}, question {question!r}: Response Format = {response!r}",
                f"A response format holds {slots.SLOT} exactly once",
                "Mend the cell",
            )
        items.append(
            Item(
                id=askreddit.item_id(question, response),
                messages=(Message(role="user", content=question),),
                candidates=slots.country_candidates(response, keyed, PAPER),
                groups={
                    "sentiment": sentiment,
                    "category": category,
                    "query": query,
                },
            )
        )
    reward = model_column == "reward_model"
    matrix = values.to_numpy(dtype=float)
    return Recorded(
        items=tuple(items),
        scores=tuple((matrix if reward else -matrix).ravel().tolist()),
        measure=Measure.REWARD if reward else Measure.LOGPROB_MEAN,
        notes=(
            f"recorded {'rewards' if reward else 'mean token NLL, sign turned'} of "
            f"{published_model}; articles by the paper's rule"
            + ("" if reward else "; the country alone was scored"),
        ),
        item_columns=askreddit.PROBE.item_columns,
        candidate_columns=askreddit.PROBE.candidate_columns,
    )


def read_where_from(frame: pd.DataFrame, file: Path) -> Recorded:
    """`where_from` rewards: a row per country.

    Raises:
        DataError: A cell or country is not as it must be; with its place.
    """
    files.no_twice(frame["country"], "a country", file)
    values = files.numbers(frame, ["reward"], file)["reward"]
    keyed = [
        (name, files.country(name, file, f"data row {i + 1}").key)
        for i, name in enumerate(frame["country"])
    ]
    built = Item(
        id=where_from.ITEM_ID,
        messages=(Message(role="user", content=where_from.QUESTION),),
        candidates=slots.country_candidates(where_from.RESPONSE, keyed, PAPER),
        groups={"sentiment": "neutral"},
    )
    return Recorded(
        items=(built,),
        scores=tuple(values.tolist()),
        measure=Measure.REWARD,
        notes=("recorded rewards; articles by the paper's rule",),
        item_columns=where_from.PROBE.item_columns,
        candidate_columns=where_from.PROBE.candidate_columns,
    )


def read_long(frame: pd.DataFrame, probe: Probe, file: Path) -> Recorded:
    """A row per item x candidate; other columns become group columns.

    Raises:
        DataError: A column, cell or country is not as it must be; with its place.
    """
    by_country = probe.axis == "countries" and "candidate_id" not in frame.columns
    who = "country" if by_country else "candidate_id"
    needed = ["item_id", who, "score"]
    needed += [name for name in probe.columns if name in _TOLD_BY]
    files.need(frame, needed, file)
    frame = frame.copy()
    if by_country:
        found = {
            name: files.country(name, file, "column 'country'")
            for name in frame["country"].unique()
        }
        frame["candidate_id"] = [found[name].key for name in frame["country"]]
        frame["iso3"] = [found[name].iso3 or "" for name in frame["country"]]
    elif probe.axis == "countries":
        keyed = {key: _by_key(key, file) for key in frame["candidate_id"].unique()}
        frame["iso3"] = [keyed[key].iso3 or "" for key in frame["candidate_id"]]
    files.no_twice(frame["item_id"] + " / " + frame["candidate_id"], "a row", file)
    scores = files.numbers(frame, ["score"], file)["score"]
    measure = files.measure(frame, file)
    columns = [str(name) for name in frame.columns if name not in _LONG_META]
    by_item = frame.groupby("item_id", sort=False)
    per_item = [name for name in columns if bool((by_item[name].nunique() <= 1).all())]
    per_candidate = [name for name in columns if name not in per_item]
    items, ordered = [], []
    for item_id, rows in by_item:
        first = rows.iloc[0]
        items.append(
            Item(
                id=str(item_id),
                messages=(Message(role="user", content=str(first.get("prompt", ""))),),
                candidates=tuple(
                    Candidate(
                        id=str(row["candidate_id"]),
                        answer=str(row.get("answer", "")),
                        groups={name: _value(row[name]) for name in per_candidate},
                    )
                    for _, row in rows.iterrows()
                ),
                groups={name: _value(first[name]) for name in per_item},
            )
        )
        ordered += scores.loc[rows.index].tolist()
    return Recorded(
        items=tuple(items),
        scores=tuple(ordered),
        measure=measure,
        notes=("recorded scores in the long layout",),
        item_columns=tuple(per_item),
        candidate_columns=tuple(per_candidate),
    )


def _by_key(key: str, file: Path) -> countries.Country:
    try:
        return countries.by_key(key)
    except DataError as error:
        raise DataError(
            f"{file}, column 'candidate_id': {error.found}",
            error.expected,
            f"{error.action}, or name the column 'country' for names in words",
        ) from error


def _value(text: object) -> GroupValue:
    return str(text) or None
