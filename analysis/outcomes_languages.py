"""What stages are compared by on the language axis: choices and short answers."""

from __future__ import annotations

import numpy as np

from analysis.languages_answers import Answers, read_answers
from analysis.load import UNITS, Run
from analysis.outcome import Outcome
from analysis.outcomes_frame import is_binary, is_crossed, known_as, outcome_frame
from analysis.part import Wanted
from analysis.resample import Floats
from probe.types import Measure

_TITLES = {
    "accuracy": "share of questions answered right",
    "f1": "mean F1 of an answer's words and those of the nearest reference",
    "exact_match": "share of answers that equal a reference",
}


def language_outcomes(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """How good the answers are in each language, in each sense of the analysis.

    Of short answers also the mean log-probability per token of the likeliest reference,
    where the references were scored.

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
        values = answers.number("logprob")
        if np.isfinite(values).any():
            found.append(
                _outcome(
                    answers,
                    "reference_logprob",
                    values,
                    "mean log-probability per token of the likeliest reference",
                    UNITS[Measure.LOGPROB_MEAN],
                )
            )
    return tuple(found)


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
        reference=answers.reference,
        better="higher",
        binary=is_binary(frame),
        crossed=is_crossed(frame),
        frame=frame,
        names=known_as(answers.names.items()),
    )
