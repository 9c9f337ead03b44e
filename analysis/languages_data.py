"""Runs of one task in many languages, laid out by item.

Two kinds of run hold languages against each other: choices among lettered answers to
the same questions in every language (Belebele), and short answers in a model's own
words to each language's own questions (TyDiQA). They are told apart by their columns
and meta, so that a user's own items are read like the shipped ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import squad
from analysis.load import Run, item_meta, load_run, texts
from analysis.resample import Floats
from probe.types import DataError, Measure

Kind = Literal["choices", "extractions"]
"""Choices among lettered answers, or short answers in a model's own words."""

_CHOICE_COLUMNS = frozenset({"language", "correct", "place"})


def kind(run: Run) -> Kind | None:
    """What a run asked for; None: neither kind of languages' run.

    Args:
        run: A run that was read from its folder.

    Raises:
        StoreError: The run's items cannot be read.
    """
    columns = set(run.frame.columns)
    if columns >= _CHOICE_COLUMNS:
        return "choices"
    if "language" not in columns:
        return None
    told = item_meta(run).values()
    return "extractions" if any(map(_references, told)) else None


def language_names(run: Run) -> dict[str, str]:
    """Language code -> its name, in the order of the items.

    A language whose items name none is called by its code.
    """
    return _per_language(run, "language_name", None)


def scripts(run: Run) -> dict[str, str]:
    """Language code -> its script; `unknown` where the items say none."""
    return _per_language(run, "script", "unknown")


def choices(run: Run) -> pd.DataFrame:
    """The choices of a run: which letter has the highest score.

    Scores of a policy are summed log-probabilities. Where several letters share the
    highest score, the chosen one is drawn among them by a hash of the item's id: in the
    long run as good as counting one over their number, and right or wrong all the same.
    Where all do, none is chosen, and one over their number is right.

    Args:
        run: A run whose candidates have the columns `correct` and `place`.

    Returns:
        One row per item, in the order of the items: item_id, language, question_id
        (the same in every language), cluster (the passage, the same in every
        language), right (1, 0, or a part where all letters are tied; NaN: a candidate
        is unscored), chosen (place of the chosen letter from 0; NaN: none), answer
        (place of the right one), tied (bool), n_candidates, n_prompt_tokens (NaN: not
        recorded), n_passage_chars (NaN), truncated (bool: the prompt was cut to fit
        the model).

    Raises:
        DataError: A column is missing or wrong, or an item has not one right answer.
        StoreError: The run's items or scores cannot be read.
    """
    summed = (
        run.measure is Measure.LOGPROB_MEAN
        and Measure.LOGPROB_SUM.value in run.manifest.measures
    )
    scored = load_run(run.path, Measure.LOGPROB_SUM) if summed else run
    frame = _checked(scored)
    codes, ids = pd.factorize(frame["item_id"])
    size = len(ids)
    scores = frame["score"].to_numpy(dtype=np.float64)
    places = frame["place"].to_numpy(dtype=np.float64)
    best = np.full(size, -np.inf)
    with np.errstate(invalid="ignore"):
        # A score that is not there makes the maximum NaN, and the item unknown.
        np.maximum.at(best, codes, scores)
    first = scores == best[codes]
    tied = np.bincount(codes, first, minlength=size) > 1
    known = np.isfinite(best)
    chosen = np.full(size, np.nan)
    alone = first & known[codes] & ~tied[codes]
    chosen[codes[alone]] = places[alone]
    names = [str(one) for one in ids]
    # The rows of an item stand together: one slice of `shared` for each item tied.
    shared = np.flatnonzero(first & (tied & known)[codes])
    for rows in np.split(shared, 1 + np.flatnonzero(np.diff(codes[shared]))):
        if len(rows):
            code = codes[rows[0]]
            chosen[code] = places[rows[_drawn(names[code], len(rows))]]
    right = (frame["correct"] == "yes").to_numpy()
    answer = np.empty(size)
    answer[codes[right]] = places[right]
    n_candidates = np.bincount(codes, minlength=size)
    undecided = known & (np.bincount(codes, first, minlength=size) == n_candidates)
    undecided &= n_candidates > 1
    won = np.where(undecided, 1 / n_candidates, chosen == answer)
    items = frame.drop_duplicates("item_id")
    question = items["question_id" if "question_id" in items else "item_id"]
    told = item_meta(run)
    metas = [told[name] for name in names]
    asked = question.astype(str).to_numpy(dtype=object)
    return pd.DataFrame(
        {
            "item_id": np.array(names, dtype=object),
            "language": items["language"].to_numpy(dtype=object),
            "question_id": asked,
            "cluster": [
                str(meta.get("passage_id") or own)
                for meta, own in zip(metas, asked, strict=True)
            ],
            "right": np.where(known, won, np.nan),
            "chosen": np.where(undecided, np.nan, chosen),
            "answer": answer,
            "tied": tied & known,
            "n_candidates": n_candidates,
            "n_prompt_tokens": items["n_prompt_tokens"].to_numpy(dtype=np.float64),
            "n_passage_chars": _numbers(metas, "n_passage_chars"),
            "truncated": _any_cut(codes, frame["truncated_tokens"], size),
        }
    )


def extractions(run: Run) -> pd.DataFrame:
    """The short answers of a run, beside their references.

    Args:
        run: A run whose items have the column `language` and references in their
            meta.

    Returns:
        One row per item, in the order of the items: item_id, language, cluster (the
        document within the language), exact and f1 (float64; NaN: there is no
        generation), ran_on (bool: the answer was as long as it may be and did not end
        by itself), truncated (bool), logprob (mean log-probability per token of the
        likeliest reference; NaN: none), n_prompt_tokens and n_passage_chars (NaN: not
        recorded), text (the answer, cut at its first blank line; None) and references
        (tuple of str).

    Raises:
        DataError: An item names no language or has no reference.
        StoreError: The run's items or scores cannot be read.
    """
    frame = run.frame
    _check_languages(run)
    told = item_meta(run)
    items = frame.drop_duplicates("item_id")
    ids = [str(one) for one in items["item_id"]]
    languages = items["language"].astype(str).to_list()
    references = []
    for name in ids:
        found = _references(told[name])
        if not found:
            raise DataError(
                f"{run.path}: item {name} has no reference answer in its meta",
                "Answers are held against at least one reference",
                "Put a list of answers under references in the item's meta",
            )
        references.append(found)
    generated = texts(run).reindex(ids)
    answers = [
        squad.cut(text) if isinstance(text, str) else None for text in generated["text"]
    ]
    metas = [told[name] for name in ids]
    lengths = generated["n_answer_tokens"].to_numpy(dtype=np.float64)
    most = _numbers(metas, "max_new_tokens")
    prompts = generated["n_prompt_tokens"].to_numpy(dtype=np.float64)
    scored = items["n_prompt_tokens"].to_numpy(dtype=np.float64)
    cut = generated["truncated_tokens"].to_numpy(dtype=np.float64)
    codes = pd.factorize(frame["item_id"])[0]
    return pd.DataFrame(
        {
            "item_id": np.array(ids, dtype=object),
            "language": np.array(languages, dtype=object),
            "cluster": [
                f"{language} {meta.get('document') or name}"
                for language, meta, name in zip(languages, metas, ids, strict=True)
            ],
            "exact": _held_against(answers, references, squad.exact_match),
            "f1": _held_against(answers, references, squad.f1),
            "ran_on": [
                answer is not None and bool(length >= limit)
                for answer, length, limit in zip(answers, lengths, most, strict=True)
            ],
            "truncated": _any_cut(codes, frame["truncated_tokens"], len(ids))
            | (cut > 0),
            "logprob": likeliest(run, run.frame["score"]),
            "n_prompt_tokens": np.where(np.isfinite(prompts), prompts, scored),
            "n_passage_chars": _numbers(metas, "n_passage_chars"),
            "text": np.array(answers, dtype=object),
            "references": pd.Series(references, dtype=object),
        }
    )


def _per_language(run: Run, key: str, missing: str | None) -> dict[str, str]:
    told = item_meta(run)
    found: dict[str, str] = {}
    pairs = run.frame[["item_id", "language"]].drop_duplicates("language")
    for name, language in zip(pairs["item_id"], pairs["language"], strict=True):
        value = told[str(name)].get(key)
        code = str(language)
        found[code] = value if isinstance(value, str) and value else missing or code
    return found


def _references(meta: Mapping[str, object]) -> tuple[str, ...]:
    """An item's reference answers; empty: it has none."""
    found = meta.get("references")
    if not isinstance(found, list):
        return ()
    return tuple(one for one in found if isinstance(one, str))


def _check_languages(run: Run) -> None:
    missing = int(run.frame["language"].isna().sum())
    if missing:
        raise DataError(
            f"{run.path}: {missing} rows have no language",
            "Every item is in a language, by the column language",
            "Fill the column language of the items",
        )


def _checked(run: Run) -> pd.DataFrame:
    """The run's frame, of whose candidates one is right in every item."""
    _check_languages(run)
    frame = run.frame
    places = pd.to_numeric(frame["place"], errors="coerce")
    wrong = sorted(set(frame["correct"].astype(str)) - {"yes", "no"})
    if wrong or places.isna().any():
        raise DataError(
            f"{run.path}: correct is {', '.join(map(repr, wrong))}"
            if wrong
            else f"{run.path}: {int(places.isna().sum())} rows have no place",
            "A candidate is right (yes) or not (no), and stands in a place from 0",
            "Mend the columns correct and place of the items",
        )
    counts = (frame["correct"] == "yes").groupby(frame["item_id"], sort=False).sum()
    if len(odd := counts[counts != 1]):
        raise DataError(
            f"{run.path}: item {odd.index[0]} has {odd.iloc[0]} right answers, by the "
            "column correct",
            "One candidate of an item is right",
            "Mend the column correct of the items",
        )
    return frame.assign(place=places)


def _drawn(item_id: str, among: int) -> int:
    digest = hashlib.blake2b(item_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % among


def _any_cut(
    codes: NDArray[np.intp], truncated: pd.Series, size: int
) -> NDArray[np.bool_]:
    """Whether any candidate of an item was cut."""
    cut = truncated.to_numpy(dtype=np.float64) > 0
    return np.bincount(codes, cut, minlength=size) > 0


def _numbers(metas: Sequence[Mapping[str, object]], key: str) -> Floats:
    """A number of each item's meta; NaN where there is none."""
    values = [meta.get(key) for meta in metas]
    return np.array(
        [float(one) if isinstance(one, int | float) else math.nan for one in values]
    )


def _held_against(
    answers: Sequence[str | None],
    references: Sequence[tuple[str, ...]],
    measure: squad.AnswerMeasure,
) -> Floats:
    return np.array(
        [
            math.nan if answer is None else measure(answer, wanted)
            for answer, wanted in zip(answers, references, strict=True)
        ]
    )


def likeliest(run: Run, values: pd.Series) -> Floats:
    """The highest value among each item's references, in the order of the items.

    Args:
        run: A run of `extractions`.
        values: Of the rows of its frame, made of log-probabilities.

    Returns:
        NaN: none is scored.
    """
    codes, ids = pd.factorize(run.frame["item_id"])
    found = np.full(len(ids), np.nan)
    if run.measure is Measure.LOGPROB_MEAN:
        np.fmax.at(found, codes, values.to_numpy(dtype=np.float64))
    return found


TESTED_QUESTIONS = 20
"""Fewest questions of a language that are tested."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How good each answer is, in one sense."""

    key: str
    """Metric of its records: `accuracy`, `f1` or `exact_match`."""
    values: Floats
    """Shape (P,): between 0 and 1; NaN: there is no answer."""
    binary: bool
    """Whether an answer is right or wrong."""
    chance: Floats | None
    """Shape (P,): what picking at random gives; None: there is no such level."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Shape (P,): the items with an answer."""
        return np.isfinite(self.values)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of a run, one of P items each."""

    run: Run
    label: str
    """The model's name, unique among the runs analysed together."""
    kind: Kind
    names: dict[str, str]
    """Language code -> name, unique; in the order of the items."""
    scripts: dict[str, str]
    """Language code -> script."""
    wanted_reference: str
    """Code of the language to compare with; the run may lack it."""
    frame: pd.DataFrame
    """As `languages_data.choices` or `languages_data.extractions` lays it out."""
    language: NDArray[np.intp]
    """Shape (P,): places among `languages`."""
    cluster: NDArray[np.intp]
    """Shape (P,): numbers of the passages or documents; items of one belong together,
    a passage's in all languages."""
    outcomes: tuple[Outcome, ...]
    """The headline first."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes, in the order of the items."""
        return tuple(self.names)

    @property
    def reference(self) -> str | None:
        """Code of the language that the others are compared with; None: not there."""
        wanted = self.wanted_reference
        return wanted if wanted in self.names else None

    @property
    def others(self) -> tuple[str, ...]:
        """The languages that are compared with the reference; none without one."""
        if self.reference is None:
            return ()
        return tuple(code for code in self.names if code != self.reference)

    @property
    def crossed(self) -> bool:
        """Whether every language has the same questions."""
        return self.kind == "choices"

    def of(self, code: str) -> NDArray[np.bool_]:
        """Shape (P,): the items of a language."""
        return np.asarray(self.language == self.languages.index(code))

    def number(self, column: str) -> Floats:
        """Shape (P,): a column of numbers of the frame."""
        return self.frame[column].to_numpy(dtype=np.float64)

    def name(self, code: str) -> str:
        """The name of a language; the code of one that the run lacks."""
        return self.names.get(code, code)


def read_answers(run: Run, label: str, reference: str) -> Answers:
    """Lays a run out by item.

    Args:
        run: A run that was read from its folder.
        label: What the report calls its model.
        reference: Code of the language to compare with.

    Raises:
        DataError: The run is of neither kind, has a question twice in one language, has
            no answer at all, or as `languages_data` says.
        StoreError: The run's items or scores cannot be read.
    """
    of = kind(run)
    if of is None:
        raise DataError(
            f"{run.path} has the columns {', '.join(run.frame.columns)}, and no "
            "reference answers in its items' meta",
            "A run of the languages axis has the columns language, correct and place, "
            "or the column language and references",
            "Name a run of belebele or tydiqa",
        )
    frame = choices(run) if of == "choices" else extractions(run)
    if of == "choices":
        _check_once(run, frame)
        right = frame["right"].to_numpy(dtype=np.float64)
        outcomes: tuple[Outcome, ...] = (
            Outcome(
                key="accuracy",
                values=right,
                binary=True,
                chance=1.0 / frame["n_candidates"].to_numpy(dtype=np.float64),
            ),
        )
    else:
        outcomes = tuple(
            Outcome(
                key=key,
                values=frame[column].to_numpy(dtype=np.float64),
                binary=column == "exact",
                chance=None,
            )
            for key, column in (("f1", "f1"), ("exact_match", "exact"))
        )
    if not outcomes[0].known.any():
        raise DataError(
            f"{run.path} has no item with "
            + ("a score for every letter" if of == "choices" else "a generation"),
            "Languages are compared by answers",
            "Run the rm-probe score command that began the run once more: it resumes",
        )
    names = _unique(language_names(run))
    return Answers(
        run=run,
        label=label,
        kind=of,
        names=names,
        scripts=scripts(run),
        wanted_reference=reference,
        frame=frame,
        language=pd.Index(list(names)).get_indexer(pd.Index(frame["language"])),
        cluster=np.asarray(pd.factorize(frame["cluster"])[0], dtype=np.intp),
        outcomes=outcomes,
    )


def _check_once(run: Run, frame: pd.DataFrame) -> None:
    twice = frame[frame.duplicated(["language", "question_id"])]
    if len(twice):
        first = twice.iloc[0]
        raise DataError(
            f"{run.path}: question {first['question_id']} stands twice in "
            f"{first['language']}",
            "Languages are compared on the same questions, by the column question_id",
            "Give the questions of one language different ids",
        )


def _unique(names: dict[str, str]) -> dict[str, str]:
    """The names, with the code behind one that several languages have."""
    often = pd.Series(list(names.values())).value_counts()
    return {
        code: name if often[name] == 1 else f"{name} ({code})"
        for code, name in names.items()
    }
