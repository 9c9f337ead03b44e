"""Runs for tests of the opinion analysis: recorded, or made with the real builder."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_builders import global_opinions, protocols, scales, survey
from probe.score import item_rows
from probe.store import Manifest, RunFolder
from probe.types import Candidate, Item, Measure, ScoreRow

AGREE = ("Strongly agree", "Agree", "Disagree", "Strongly disagree")
"""Labels of a declared scale."""

Score = Callable[[Item, Candidate], float]


def question(
    number: int,
    answers: Mapping[str | tuple[str, str], Sequence[float]],
    options: Sequence[str] = AGREE,
) -> survey.Question:
    """A survey question; answers by key, or by (key, sample)."""
    text = f"Is statement number {number} true?"
    return survey.Question(
        id=survey.question_id(text, options),
        text=text,
        options=tuple(options),
        answers=tuple(
            survey.Answers(
                key=who if isinstance(who, str) else who[0],
                sample=None if isinstance(who, str) else who[1],
                shares=tuple(float(share) / sum(shares) for share in shares),
                total=1.0,
            )
            for who, shares in answers.items()
        ),
        scale=scales.find_scale(options),
        survey=None,
    )


def made_up(
    n: int, keys: Sequence[str], *, seed: int = 0, options: Sequence[str] = AGREE
) -> list[survey.Question]:
    """Questions that were all asked in all of some countries, answered at random."""
    rng = np.random.default_rng(seed)
    return [
        question(
            i, {key: rng.dirichlet(np.ones(len(options))) for key in keys}, options
        )
        for i in range(n)
    ]


def share(item: Item, candidate: Candidate, key: str) -> float:
    """What people of a country answered to the item's question."""
    answers = item.meta["answers"]
    assert isinstance(answers, list)
    found = next(one for one in answers if one["key"] == key)
    return max(float(found["shares"][int(candidate.id)]), 1e-9)


def copies(key: str) -> Score:
    """A model that answers as the people of one country."""
    return lambda item, candidate: math.log(share(item, candidate, key))


def noise(seed: int, spread: float = 1.0) -> Score:
    """A model that answers at random, whatever the place of an option."""

    def score(item: Item, candidate: Candidate) -> float:
        number = int(str(item.groups["question_id"]).lstrip("gq") or "0", 16)
        rng = np.random.default_rng((seed, number, int(candidate.id)))
        return float(rng.normal(0, spread))

    return score


def manifest(model: str, measures: Sequence[Measure], **changes: object) -> Manifest:
    probe = global_opinions.PROBE
    fields: dict[str, object] = {
        "probe": probe.name,
        "probe_version": probe.version,
        "title": probe.title,
        "axis": probe.axis,
        "model": model,
        "fingerprint": (model.encode().hex() + "0" * 16)[:16],
        "kind": "scored",
        "model_kind": "policy",
        "item_columns": probe.item_columns,
        "candidate_columns": probe.candidate_columns,
        "measures": tuple(measure.value for measure in measures),
        "status": "complete",
    }
    return Manifest(**(fields | changes))  # type: ignore[arg-type]


def store(
    root: Path,
    items: Sequence[Item],
    scores: Mapping[Measure, Score],
    *,
    model: str = "made_up",
    **changes: object,
) -> Path:
    """Writes a run as the scoring loop would."""
    given = manifest(model, list(scores), **changes)
    pairs = [(item, candidate) for item in items for candidate in item.candidates]
    with RunFolder.open(root, given) as folder:
        folder.write_items(item_rows(items))
        folder.append(
            [
                ScoreRow(
                    probe=given.probe,
                    probe_version=given.probe_version,
                    item_id=item.id,
                    candidate_id=candidate.id,
                    model=model,
                    fingerprint=given.fingerprint,
                    measure=measure,
                    score=score(item, candidate),
                    n_prompt_tokens=None,
                    n_answer_tokens=None,
                    truncated_tokens=None,
                    straddles=None,
                    input_sha=None,
                )
                for measure, score in scores.items()
                for item, candidate in pairs
            ]
        )
        return folder.path


def policy(
    root: Path,
    questions: Sequence[survey.Question],
    score: Score,
    *,
    personas: Sequence[str] = (),
    **changes: object,
) -> Path:
    """A run of lettered options with all rotations."""
    items = _items(questions, "policy", personas)
    return store(root, items, {Measure.LOGPROB_SUM: score}, **changes)  # type: ignore[arg-type]


def reward(
    root: Path,
    questions: Sequence[survey.Question],
    score: Score,
    *,
    personas: Sequence[str] = (),
    **changes: object,
) -> Path:
    """A run of options as answers in all phrasings."""
    items = _items(questions, "reward", personas)
    changes = {"model_kind": "sequence_classifier", **changes}
    return store(root, items, {Measure.REWARD: score}, **changes)  # type: ignore[arg-type]


def _items(
    questions: Sequence[survey.Question], reader: str, personas: Sequence[str]
) -> list[Item]:
    protocol = protocols.load(None)
    return [
        item
        for one in questions
        for persona in (None, *personas)
        if persona is None or persona in {answer.key for answer in one.answers}
        for item in global_opinions.items(one, protocol, reader, persona)
    ]


def recorded(root: Path, file: Path, data: Path) -> Path:
    """The published probabilities of one model, as a run."""
    frame = pd.read_csv(file)
    known = {one.id: one for one in survey.read(data).questions}
    items, scores = [], {}
    for text, options, shares in zip(
        frame["question"], frame["options"], frame["probs"], strict=True
    ):
        if not isinstance(text, str):
            continue
        one = known[survey.question_id(text.strip(), survey.read_options(options))]
        item = global_opinions.item(
            one,
            "recorded",
            "recorded",
            "",
            tuple(
                global_opinions.candidate(one, i, option)
                for i, option in enumerate(one.options)
            ),
            None,
        )
        items.append(item)
        for i, value in enumerate(ast.literal_eval(shares)):
            scores[item.id, str(i)] = math.log(value)
    return store(
        root,
        items,
        {Measure.LOGPROB_SUM: lambda item, candidate: scores[item.id, candidate.id]},
        model=str(frame["model_id"].iloc[0]),
        kind="imported",
        model_kind="imported",
    )
