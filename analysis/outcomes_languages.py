"""What stages are compared by on the language axis: choices and short answers."""

from __future__ import annotations

import numpy as np

from analysis.languages_answers import TESTED_QUESTIONS, Answers, read_answers
from analysis.languages_data import likeliest
from analysis.load import Run
from analysis.outcome import Outcome
from analysis.outcomes_frame import is_binary, is_crossed, known_as, outcome_frame
from analysis.part import Wanted
from analysis.resample import Floats
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
        DataError: As `languages_answers.read_answers`.
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
        fewest=TESTED_QUESTIONS,
        chosen=answers.kind == "choices",
        beside=_letters(answers) if answers.kind == "choices" else "",
        names=known_as(answers.names.items()),
    )
