"""What each axis gives to the comparison of stages.

The values are those that the axis's own analysis averages, one per unit and group, so
that a stage's level is the number that its report shows. Rewards have no unit in
common between models: only ranks, shares and distributions made of them are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import languages_data
from analysis.association import MIN_COUNTRIES, spearman_rows
from analysis.axes import has_section
from analysis.dialects import dialect_outcomes
from analysis.html import number
from analysis.languages_data import Answers, likeliest, read_answers
from analysis.load import Run, clusters, item_meta
from analysis.opinions import normalised
from analysis.opinions_data import opinion_table
from analysis.opinions_measures import TESTED_QUESTIONS, js_matrix
from analysis.outcome import Outcome, is_binary, is_crossed, known_as, outcome_frame
from analysis.part import Wanted
from analysis.preferences import MOST_GROUPS, pair_frame
from analysis.ranks import favour_ranks, question_ranks
from analysis.resample import Floats, weighted_means
from analysis.scores import score_table
from analysis.similarity import BASE_NAMES
from analysis.wording import percent

_TITLES = {
    "accuracy": "share of questions answered right",
    "f1": "mean F1 of an answer's words and those of the nearest reference",
    "exact_match": "share of answers that equal a reference",
}


def language_outcomes(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """How good the answers are in each language, in each sense of the analysis.

    Of short answers also the mean log-probability of the likeliest reference, where the
    references were scored: per character, as checkpoints may have other tokenizers.

    Unit: a question, which is the same in every language where letters are chosen among
    and one language's own where answers are short. Clusters: passages; documents.

    Raises:
        DataError: As `languages_data.read_answers`.
        StoreError: The run's items or scores cannot be read.
    """
    answers = read_answers(run, run.model, wanted.reference_language)
    found = [
        _outcome(answers, one.key, one.values, _TITLES[one.key], "share")
        for one in answers.outcomes
    ]
    if answers.kind == "extractions":
        values = _per_character(run)
        if np.isfinite(values).any():
            found.append(
                _outcome(
                    answers,
                    "reference_logprob_per_character",
                    values,
                    "mean log-probability per character of the likeliest reference",
                    "log-probability per character",
                )
            )
    return tuple(found)


def _letters(answers: Answers) -> str:
    """Chance, and the letter that is picked most: a liking for it is no knowledge."""
    picked = answers.number("chosen")
    picked = picked[np.isfinite(picked)]
    chance = percent(float((1.0 / answers.number("n_candidates")).mean()))
    if not len(picked):
        return f"chance is {chance}"
    counts = np.bincount(picked.astype(np.intp))
    most = int(counts.argmax())
    share = percent(float(counts[most] / len(picked)))
    letter = chr(ord("A") + most)
    return f"chance is {chance}, and {letter} is picked most, in {share} of questions"


def _per_character(run: Run) -> Floats:
    """Of each item's likeliest reference; NaN: none is scored.

    A token is long for one model and short for another, and a character is one for all.
    """
    frame = run.frame
    sums = frame["score"] * frame["n_answer_tokens"]
    return likeliest(run, sums / frame["n_chars"].where(frame["n_chars"] > 0))


def _outcome(
    answers: Answers, name: str, values: Floats, title: str, value_unit: str
) -> Outcome:
    unit = "question_id" if answers.kind == "choices" else "item_id"
    frame = outcome_frame(
        answers.run,
        unit=answers.frame[unit],
        group=answers.frame["language"],
        cluster=answers.frame["cluster"],
        value=values,
    )
    return Outcome(
        name=name,
        title=title,
        value_unit=value_unit,
        grouping="language",
        reference=answers.wanted_reference,
        better="higher",
        binary=is_binary(frame),
        crossed=is_crossed(frame),
        frame=frame,
        fewest=languages_data.TESTED_QUESTIONS,
        chosen=answers.kind == "choices",
        beside=_letters(answers) if answers.kind == "choices" else "",
        names=known_as(answers.names.items()),
    )


ALL = "all"
"""The only group of pairs that are not divided."""


def outcomes(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """What stages are compared by, the headline first.

    Args:
        run: A run that was read from its folder.
        wanted: Reference groups, and how survey answers are compared.

    Returns:
        The outcomes; none for a run that has no section in a report either.

    Raises:
        DataError: As the run's own analysis: a column is missing or wrong, or too
            little of it has a score.
        UsageError: A dialect is wanted as reference, and none is declared.
        StoreError: The run's items or scores cannot be read.
    """
    if not has_section(run):
        return ()
    return OUTCOMES[run.manifest.axis](run, wanted)


def _countries(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """Each question's ranks; unit: a question; a question and its twin are a cluster.

    Strata are praise, blame and pairs of both, so that liking a name whatever is asked,
    which they cancel, is no noise. A question too little
    of which has a score to rank has no values.
    """
    table = score_table(run)
    meta = item_meta(run)
    items = run.frame["item_id"].unique()
    ranks = pd.DataFrame(favour_ranks(table, wanted.ties), index=pd.Index(table.items))
    pairs = [meta[str(item)].get("pair") for item in items]
    clusters = [
        f"question {item}" if pair is None else f"pair {pair}"
        for item, pair in zip(items, pairs, strict=True)
    ]
    questions = run.frame.drop_duplicates("item_id")
    kinds = (
        (questions["sentiment"] == "negative")
        .map({True: "blame", False: "praise"})
        .groupby(clusters)
        .agg(lambda of: " ".join(sorted(set(of))))
    )
    size = len(table.keys)
    return (
        Outcome(
            name="mean_rank",
            title=f"mean rank among {size} countries, 1 = most favoured",
            value_unit="rank",
            grouping="country",
            reference=wanted.reference,
            better=None,
            binary=False,
            crossed=True,
            frame=outcome_frame(
                run,
                unit=np.repeat(items, size),
                group=np.tile(table.keys, len(items)),
                cluster=np.repeat(clusters, size),
                stratum=np.repeat(kinds.loc[clusters].to_numpy(), size),
                value=ranks.reindex(items).to_numpy().ravel(),
            ),
            beside=_valence(question_ranks(table.scores, wanted.ties), table.negative),
            names=known_as(zip(table.keys, table.names, strict=True)),
        ),
    )


def _valence(raw: Floats, negative: NDArray[np.bool_]) -> str:
    """How alike questions of praise and of blame are answered, before reversal."""
    sides = [raw[rows] for rows in (negative, ~negative)]
    if not all(len(one) for one in sides):
        return ""
    means = [weighted_means(one, np.ones((1, len(one))))[0] for one in sides]
    known = np.isfinite(means).all(axis=0)
    if known.sum() < MIN_COUNTRIES:
        return ""
    [rho] = spearman_rows(*(one[None, known] for one in means))
    if np.isnan(rho):
        return ""
    return (
        "before blame is reversed, rankings by praise and by blame correlate "
        f"{number(rho)}"
    )


def _opinions(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """Similarity to each country's headline public, on the questions it was asked.

    Unit and cluster: a question. Only answers from nobody's perspective count.
    """
    table = opinion_table(normalised(run, wanted.normalisation))
    values = js_matrix(table, table.shares, wanted.base)[:, table.headline]
    row, place = np.nonzero(table.asked[:, table.headline])
    headline = [table.publics[column] for column in table.headline]
    at = {int(column): where for where, column in enumerate(table.headline)}
    lost = [(id, at[column]) for id, column in table.unanswered if column in at]
    questions = [*(table.questions[i] for i in row), *(id for id, _ in lost)]
    groups = [public.group for public in headline]
    frame = outcome_frame(
        run,
        unit=questions,
        group=[groups[i] for i in (*place, *(where for _, where in lost))],
        cluster=questions,
        value=np.append(values[row, place], np.full(len(lost), np.nan)),
    )
    here = set(frame["group"])
    reference = [public.group for public in headline if public.key == wanted.reference]
    return (
        Outcome(
            name="similarity",
            title="mean similarity of the answers to those of a country's people "
            f"(1 - Jensen-Shannon distance, {BASE_NAMES[wanted.base]})",
            value_unit="similarity",
            grouping="country",
            reference=next(
                (group for group in reference if group in here), wanted.reference
            ),
            better=None,
            binary=False,
            crossed=True,
            frame=frame,
            fewest=TESTED_QUESTIONS,
            chosen=True,
            names=known_as(
                (public.group, public.name)
                for public in headline
                if public.group in here
            ),
        ),
    )


def _preferences(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """Which pairs are right; unit: a pair; clusters are the prompts."""
    known, _, _ = pair_frame(run)
    pairs = run.frame[run.frame["role"].isin(["chosen", "rejected"])]
    pairs = pairs.drop_duplicates("item_id")
    column = _divided_by(run, pairs)
    correct = known.set_index("item_id")["correct"].reindex(pairs["item_id"])
    prompts = pairs["prompt"].fillna("").astype(str)
    frame = outcome_frame(
        run,
        unit=pairs["item_id"],
        group=[ALL] * len(pairs)
        if column is None
        else pairs[column].astype(object).fillna("(empty)"),
        cluster=clusters(run, pairs["item_id"], prompts),
        value=correct.to_numpy(dtype=np.float64),
    )
    return (
        Outcome(
            name="accuracy",
            title="share of pairs whose chosen answer scores above the rejected one",
            value_unit="share",
            grouping=column or "set",
            reference=None,
            better="higher",
            binary=is_binary(frame),
            crossed=False,
            frame=frame,
        ),
    )


def _divided_by(run: Run, pairs: pd.DataFrame) -> str | None:
    """The column `subset`, or else the first that is no id or text; None: neither."""
    columns = run.manifest.item_columns
    if "subset" in columns:
        return "subset"
    return next(
        (name for name in columns if 2 <= pairs[name].nunique() <= MOST_GROUPS), None
    )


OUTCOMES: Mapping[str, Callable[[Run, Wanted], tuple[Outcome, ...]]] = MappingProxyType(
    {
        "countries": _countries,
        "opinions": _opinions,
        "dialects": dialect_outcomes,
        "languages": language_outcomes,
        "preferences": _preferences,
    }
)
"""Axis of a probe -> what it gives to the comparison of stages."""
