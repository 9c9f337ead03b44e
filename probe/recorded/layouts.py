"""Readers of the layouts of scores: wide, a row per country, and long."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
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
BARE = frozenset(("item_id", "candidate_id", "score", "measure", *files.TOKEN_COUNTS))
"""Columns of the long layout that are no texts and no groups."""
LONG_META = BARE | {"prompt", "answer"}
TOLD_BY = frozenset(
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


def keyed(frame: pd.DataFrame, probe: Probe, file: Path) -> pd.DataFrame:
    """The rows with `candidate_id`, of a country named in words its key.

    Raises:
        DataError: A country that nobody knows.
    """
    if probe.axis != "countries" or "candidate_id" in frame.columns:
        return frame
    found = {
        name: files.country(name, file, "column 'country'").key
        for name in frame["country"].unique()
    }
    return frame.assign(candidate_id=frame["country"].map(found))


def read_long(frame: pd.DataFrame, probe: Probe, file: Path) -> Recorded:
    """A row per item x candidate; other columns become group columns.

    Raises:
        DataError: A column, cell or country is not as it must be; with its place.
    """
    needed = ["item_id", who(frame, probe), "score"]
    needed += [name for name in probe.columns if name in TOLD_BY]
    files.need(frame, needed, file)
    frame = keyed(frame, probe, file)
    if probe.axis == "countries":
        where = ("column 'candidate_id'", countries.by_key)
        words = ", or name the column 'country' for names in words"
        codes = {
            key: files.country(key, file, *where, words).iso3
            for key in frame["candidate_id"].unique()
        }
        frame = frame.assign(iso3=frame["candidate_id"].map(codes).fillna(""))
    files.no_twice(frame["item_id"] + " / " + frame["candidate_id"], "a row", file)
    measure = files.measure(frame, file)
    frame = frame.assign(score=files.numbers(frame, ["score"], file)["score"])
    tokens = files.token_counts(frame, file)
    columns = [str(name) for name in frame.columns if name not in LONG_META]
    # Rows of one item together, the items in the file's order.
    place, ids = pd.factorize(frame["item_id"])
    order = np.argsort(place, kind="stable")
    frame, ends = frame.iloc[order], np.cumsum(np.bincount(place))
    values = frame[columns].groupby(np.sort(place)).nunique()
    per_item = [name for name in columns if (values[name] <= 1).all()]
    per_candidate = [name for name in columns if name not in per_item]
    firsts = frame.iloc[[0, *ends[:-1]]]
    prompts, answers = _cells(firsts, "prompt"), _cells(frame, "answer")
    candidates = [
        Candidate(id=id, answer=answer, groups=groups)
        for id, answer, groups in zip(
            frame["candidate_id"].tolist(),
            answers,
            _groups(frame, per_candidate),
            strict=True,
        )
    ]
    items = (
        Item(
            id=id,
            messages=(Message(role="user", content=prompt),),
            candidates=tuple(candidates[start:end]),
            groups=groups,
        )
        for id, prompt, groups, (start, end) in zip(
            ids,
            prompts,
            _groups(firsts, per_item),
            itertools.pairwise([0, *ends.tolist()]),
            strict=True,
        )
    )
    return Recorded(
        items=tuple(items),
        scores=tuple(frame["score"].tolist()),
        measure=measure,
        notes=("recorded scores in the long layout",),
        item_columns=tuple(per_item),
        candidate_columns=tuple(per_candidate),
        tokens={
            name: [counts[row] for row in order] for name, counts in tokens.items()
        },
    )


def who(frame: pd.DataFrame, probe: Probe) -> str:
    """The column that names the candidates."""
    by_country = probe.axis == "countries" and "candidate_id" not in frame.columns
    return "country" if by_country else "candidate_id"


def _cells(frame: pd.DataFrame, column: str) -> list[str]:
    return frame[column].tolist() if column in frame.columns else [""] * len(frame)


def _groups(frame: pd.DataFrame, columns: list[str]) -> list[dict[str, GroupValue]]:
    """Group columns of each row; an empty cell is None."""
    cells = [[text or None for text in frame[name].tolist()] for name in columns]
    rows = zip(*cells, strict=True) if cells else itertools.repeat((), len(frame))
    return [dict(zip(columns, row, strict=True)) for row in rows]
