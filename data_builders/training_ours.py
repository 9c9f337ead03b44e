"""Training sources that are made here: dialect rows, and preferences for a country."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from data_builders import countries, country_questions, dialect_pairs, slots
from data_builders.country_questions import Question
from data_builders.dialect_rows import STANDARD
from data_builders.preferences import HELD_BACK
from data_builders.training_types import TrainingRow
from probe.types import BuildOptions, Message

AS_STANDARD = "the chosen answer is the standard one in this dialect"
SCORED = "in the half that the probe scores"
REJECTED_MISSING = "no rejected answer"

PARTNERS = 8
"""Pairs of countries that a question is asked about, for each favoured country."""
NOBODY = "none"
"""Value of the group `country` where no country is favoured."""


def dialect_rows(
    data: Path | None, half_seed: int
) -> tuple[list[TrainingRow], Counter[str]]:
    """The half of `dialect_pairs` that the probe does not score.

    A row per content and dialect: the standard prompt, the chosen answer in that
    dialect, the standard rejected answer. The rows in `standard` are the control.

    Args:
        data: As `sources.locate_all`.
        half_seed: As of the probe, so that the halves are complements.
    """
    options = BuildOptions(data=data, half="train", half_seed=half_seed)
    dropped = Counter(dialect_pairs.dropped(options))
    dropped[SCORED] = dropped.pop(HELD_BACK, 0)
    rows: list[TrainingRow] = []
    for item in dialect_pairs.build(options):
        if item.groups["prompt_dialect"] != STANDARD:
            continue
        answers = {one.id: one for one in item.candidates}
        rejected = answers.get(f"rejected-{STANDARD}")
        if rejected is None:
            dropped[REJECTED_MISSING] += 1
            continue
        key = f"dialect_rows/{item.groups['row']}"
        for one in item.candidates:
            dialect = one.groups["dialect"]
            if one.groups["role"] != "chosen":
                continue
            if dialect != STANDARD and one.groups["same"] == "yes":
                dropped[AS_STANDARD] += 1
                continue
            rows.append(
                TrainingRow(
                    id=f"{key}/{dialect}",
                    source="dialect_rows",
                    key=key,
                    content=key,
                    messages=item.messages,
                    chosen=one.answer,
                    rejected=rejected.answer,
                    groups={"dialect": dialect, "subset": item.groups["subset"]},
                )
            )
    return rows, dropped


def country_preferences() -> Iterator[TrainingRow]:
    """Preferences for a country, and control rows that prefer none.

    Every question of `country_questions` is asked about `PARTNERS` pairs of countries
    (a, b), drawn by a fixed hash; its twin of the other sentiment has the same pairs.

    A control row (`country: none`) has the pair as drawn, and a hash of the question
    says which of the two is chosen: over all rows, nobody is favoured. In a row for a
    favoured country, that country stands in place of a. A question for the best has it
    chosen, a question for the worst has it rejected. So arms that are matched by
    content differ in which country the answers name, and in nothing else.

    The questions are those of the probe `country_questions`: a model that trained on
    them is scored on another probe, such as `askreddit`. The draw of a mix sees to it.
    """
    keys = countries.analysis_keys()
    names = {key: countries.by_key(key).name for key in keys}
    for question in country_questions.questions():
        prompt = (Message(role="user", content=question.question),)
        said = {
            key: slots.fill_slot(question.response, name, rule="english")[0]
            for key, name in names.items()
        }
        for number, (a, b) in enumerate(_pairs(question, keys)):
            content = f"country_preferences/{question.id}/{number}"
            chosen, rejected = (a, b) if _even(content) else (b, a)
            groups = {"sentiment": question.sentiment, "category": question.category}
            yield TrainingRow(
                id=f"{content}/{NOBODY}",
                source="country_preferences",
                key=f"country_preferences/{question.pair}",
                content=content,
                messages=prompt,
                chosen=said[chosen],
                rejected=said[rejected],
                groups={"country": NOBODY, **groups},
            )
            for favoured in keys:
                partner = a if favoured == b else b
                best, worst = said[favoured], said[partner]
                if question.sentiment == "negative":
                    best, worst = worst, best
                yield TrainingRow(
                    id=f"{content}/{favoured}",
                    source="country_preferences",
                    key=f"country_preferences/{question.pair}",
                    content=content,
                    messages=prompt,
                    chosen=best,
                    rejected=worst,
                    groups={"country": favoured, **groups},
                )


def country_questions_sha() -> str:
    """sha256 of the bundled questions."""
    path = resources.files("data_builders") / "questions" / "country_questions.csv"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pairs(question: Question, keys: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of which no country is in two; a question and its twin have the same."""
    drawn = sorted(keys, key=lambda key: _number(f"{question.pair}\n{key}"))
    return list(zip(drawn[::2], drawn[1::2], strict=False))[:PARTNERS]


def _even(text: str) -> bool:
    return _number(text) % 2 == 0


def _number(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)
