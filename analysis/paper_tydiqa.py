"""TyDiQA of Ryan, Held and Yang (2024), measured anew from their own outputs.

Exact match and F1 of the recorded answers, by `analysis.squad`, and what each tuning
changed. The paper draws bars of the change from the base model. Its authors' code for
them (`code/analysis/tydiqa-analysis.py`) takes scores of CFMatch (Li et al. 2024), a
trained judge of answers; exact match and F1 are computed beside these, the way they
are here. The bars carry no digits: whether they point up or down can be compared, how
far cannot.

The languages' questions are different questions about different articles: a difference
between languages is not one of language alone. What a tuning changes is measured on the
same questions, and can be compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from analysis import squad
from analysis.paired import MIN_CLUSTERS, clustered_mean, sign_test, wilson
from analysis.paper_evidence import (
    DRAWS,
    SEED,
    TUNED,
    TYDIQA,
    Evidence,
    Metric,
    place,
    record,
    untuned,
)
from analysis.records import Record, with_holm

LANGUAGES = (
    "telugu",
    "bengali",
    "arabic",
    "swahili",
    "russian",
    "korean",
    "finnish",
    "english",
    "indonesian",
)
"""In the order of the paper's bars."""

EXACT = Metric(name="tydiqa_exact_match", unit="share", analysis="tydiqa_answers")
F1 = Metric(name="tydiqa_f1", unit="share", analysis="tydiqa_answers")
FAMILY = f"{EXACT.name}_change"
"""Tests of exact match that are corrected together."""
COLUMNS = {EXACT: "exact", F1: "f1"}
"""Measure -> its column of `score`."""


def changes_of(measure: Metric, model: str) -> tuple[Metric, ...]:
    """A measure less that of the model it was tuned from and, further, of the base.

    Returns:
        Two, one where the model before is the base, none of a model that is one or is
        not known.
    """
    if model not in TUNED:
        return ()
    before, base = TUNED[model], untuned(model)
    name = f"{measure.name}_change"
    found = dataclasses.replace(measure, name=name, reference=before)
    if before == base:
        return (found,)
    further = dataclasses.replace(measure, name=f"{name}_from_base", reference=base)
    return found, further


def drawn(measure: Metric, model: str) -> tuple[Metric, ...]:
    """The one of `changes_of` that the paper's bars are of, from the base model."""
    return changes_of(measure, model)[-1:]


CHANGES = frozenset(
    one.name
    for measure in COLUMNS
    for model in TUNED
    for one in changes_of(measure, model)
)
"""Names of the metrics whose reference is a model."""


def score(answers: pd.DataFrame) -> pd.DataFrame:
    """Holds each answer against the references.

    Args:
        answers: From `probe.recorded.repository.Found.answers`.

    Returns:
        The rows without their texts, with `exact` and `f1`, between 0 and 1; NaN: no
        reference is known, or the file does not have the question. What stands after
        the first blank line of an answer does not count; an empty answer is wrong.
    """
    texts = [
        squad.cut(text) if isinstance(text, str) and references else None
        for text, references in zip(
            answers["answer"], answers["references"], strict=True
        )
    ]
    return answers[["model", "file", "language", "question", "document"]].assign(
        exact=_held(texts, answers["references"], squad.exact_match),
        f1=_held(texts, answers["references"], squad.f1),
    )


def _held(
    texts: Sequence[str | None],
    references: pd.Series,
    measure: Callable[[str, tuple[str, ...]], float],
) -> list[float]:
    pairs = zip(texts, references, strict=True)
    return [np.nan if text is None else measure(text, known) for text, known in pairs]


def exact_match(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Share of questions answered with exactly a reference, per language.

    Estimand: that share of questions like those recorded. Unit of analysis: a
    question. The interval is Wilson's; it takes the model as given and questions about
    one document as independent.
    """
    return _levels(evidence, models, EXACT)


def f1(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Mean F1 of an answer's words and those of the best reference, per language.

    Estimand: that mean over questions like those recorded. Unit of analysis: a
    question. The interval is a percentile bootstrap over documents, as several
    questions may be about one; it takes the model as given.
    """
    return _levels(evidence, models, F1)


def changes(evidence: Evidence, models: Sequence[str]) -> list[Record]:
    """Both measures less those of the model it was tuned from, and of the base model.

    Estimand: the difference of the means over questions like those recorded, positive
    where tuning helps. Unit of analysis: a question that both files have. The interval
    is a percentile bootstrap over documents, the models as given. Exact match is
    tested: p is McNemar's exact test, for which questions are independent,
    Holm-adjusted over all models, languages and references.
    """
    found = [
        one
        for language, by_model in _by_language(evidence)
        for model in by_model
        for measure in COLUMNS
        for metric in changes_of(measure, model)
        for one in _change(measure, metric, model, language, by_model)
    ]
    return _in_order(list(with_holm(found)), models)


def lack(evidence: Evidence, metric: Metric, model: str, group: str | None) -> str:
    """Why a number could not be computed of the models' files, which are there."""
    names = [model] if metric.reference is None else [model, metric.reference]
    answers = evidence.answers
    for name in names:
        of_model = answers[answers["model"] == name]
        if of_model.empty:
            return f"not computed: no file of {name}"
        if group not in set(of_model["language"]):
            return f"not computed: {name} has no file of {group}"
    if evidence.no_references is not None:
        return f"not computed: {evidence.no_references}"
    if answers.loc[answers["language"] == group, "exact"].isna().all():
        return f"not computed: no reference answers to the questions in {group}"
    return f"not computed: {' and '.join(names)} have no question in {group} in common"


def _levels(evidence: Evidence, models: Sequence[str], measure: Metric) -> list[Record]:
    found = []
    for language, by_model in _by_language(evidence):
        for model, rows in by_model.items():
            known = rows[rows["exact"].notna()]
            if known.empty:
                continue
            values = known[COLUMNS[measure]].to_numpy(dtype=np.float64)
            documents = known["document"].to_numpy(dtype=str)
            n, n_documents = len(known), known["document"].nunique()
            if measure == EXACT:
                interval, how = wilson(float(values.sum()), n), "Wilson"
                cluster, n_clusters = "question", n
            else:
                interval = clustered_mean(values, documents, draws=DRAWS, seed=SEED)
                how, cluster, n_clusters = _how(n_documents), "document", n_documents
            found.append(
                record(
                    measure,
                    interval,
                    probe=TYDIQA,
                    model=model,
                    run=str(rows["file"].iloc[0]),
                    group=language,
                    method=how + _unanswered(rows, known),
                    cluster=cluster,
                    n=n,
                    n_clusters=n_clusters,
                )
            )
    return _in_order(found, models)


def _change(
    measure: Metric,
    metric: Metric,
    model: str,
    language: str,
    by_model: Mapping[str, pd.DataFrame],
) -> Iterator[Record]:
    """One change of one model in one language; nothing where there is no pair."""
    if metric.reference is None or metric.reference not in by_model:
        return
    column, rows = COLUMNS[measure], by_model[model]
    before = by_model[metric.reference][["question", column]]
    both = rows.merge(before, on="question", suffixes=("", "_before"))
    gains = (both[column] - both[f"{column}_before"]).to_numpy(np.float64)
    known = both[np.isfinite(gains)]
    if known.empty:
        return
    n_documents = known["document"].nunique()
    yield record(
        metric,
        clustered_mean(
            gains, both["document"].to_numpy(dtype=str), draws=DRAWS, seed=SEED
        ),
        probe=TYDIQA,
        model=model,
        run=str(rows["file"].iloc[0]),
        group=language,
        method=_how(n_documents) + _unanswered(both, known),
        cluster="document",
        n=len(known),
        n_clusters=n_documents,
        p_value=sign_test(gains).p_value if measure == EXACT else None,
        family=FAMILY if measure == EXACT else None,
    )


def _by_language(
    evidence: Evidence,
) -> Iterator[tuple[str, dict[str, pd.DataFrame]]]:
    """Each language with the rows of each model.

    The models of a language come together because they share the bootstrap's draws.
    """
    for language, rows in evidence.answers.groupby("language"):
        yield str(language), {str(name): one for name, one in rows.groupby("model")}


def _in_order(records: Sequence[Record], models: Sequence[str]) -> list[Record]:
    """By model, change and language, as the paper has them."""
    names = list(dict.fromkeys(one.metric for one in records))
    return sorted(
        records,
        key=lambda one: (
            *place(one.model, models),
            names.index(one.metric),
            LANGUAGES.index(str(one.group)),
        ),
    )


def _how(n_documents: int) -> str:
    if n_documents < MIN_CLUSTERS:
        return "none: too few documents to resample"
    return f"percentile bootstrap over documents, {DRAWS} draws"


def _unanswered(rows: pd.DataFrame, known: pd.DataFrame) -> str:
    """What an incomplete file leaves out, which the authors count as wrong."""
    left = len(rows) - len(known)
    if not left:
        return ""
    return f"; of {len(rows)} questions, {left} that a file lacks are not counted"
