"""Runs of MD3 for tests: made up, or recorded by Ryan, Held and Yang (2024)."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_builders import md3
from probe.score import item_rows
from probe.store import Manifest, RunFolder
from probe.types import (
    GENERATED,
    BuildOptions,
    Candidate,
    Item,
    Measure,
    Message,
    ScoreRow,
)

Score = Callable[[Item, Candidate], float]
Guess = Callable[[Item], str | None]

RECORDED = {
    "zephyr-7b-beta": "zephyr-7b-beta_8bit-no-answers.csv",
    "Mistral-7B-v0.1": "Mistral-7B-v0.1_8bit-no-answers.csv",
}
"""Model -> file of its recorded games."""


def game(number: int, dialect: str, answer: str, **meta: object) -> Item:
    """A made-up game with five forbidden words of its own; `meta` replaces its."""
    words = [answer, *(f"no{i}{number}" for i in range(5))]
    return Item(
        id=f"{dialect}-{number:04d}",
        messages=(Message(role="user", content=f"Which word is meant in {number}?"),),
        candidates=tuple(
            Candidate(
                id=f"distractor-{i}" if i else "answer",
                answer=word,
                groups={"word": word, "correct": "no" if i else "yes"},
            )
            for i, word in enumerate(words)
        ),
        groups={"dialect": dialect},
        meta={
            "answer": answer,
            "distractors": words[1:],
            "n_words": 40 + number % 17,
            "n_turns": 3,
            "answer_zipf": 3.0 + (number % 7) / 4,
            "answer_said": False,
            **meta,
        },
        max_new_tokens=10,
    )


def games(sizes: Mapping[str, int], answers: int = 40, seed: int = 0) -> list[Item]:
    """Games of several dialects about the same words, drawn at random."""
    rng = np.random.default_rng(seed)
    return [
        game(number, dialect, f"Word{rng.integers(answers)}x")
        for dialect, size in sizes.items()
        for number in range(size)
    ]


def wins(
    chance: Callable[[Item], float], seed: int = 0
) -> tuple[Score, Callable[[Item], str]]:
    """Scores and guesses of a model that wins each game with a given probability."""

    def won(item: Item) -> bool:
        digest = hashlib.blake2b(f"{seed} {item.id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") / 2.0**64 < chance(item)

    def score(item: Item, candidate: Candidate) -> float:
        if candidate.groups["correct"] == "yes":
            return 1.0 if won(item) else -1.0
        return 0.0 if candidate.id == "distractor-1" else -0.5

    def guess(item: Item) -> str:
        return f"It is {item.meta['answer']}." if won(item) else "I do not know."

    return score, guess


def manifest(model: str, measures: Sequence[Measure], **changes: object) -> Manifest:
    probe = md3.PROBE
    fields: dict[str, object] = {
        "probe": probe.name,
        "probe_version": probe.version,
        "title": probe.title,
        "axis": probe.axis,
        "model": model,
        "fingerprint": hashlib.sha256(model.encode()).hexdigest()[:16],
        "kind": "scored",
        "model_kind": "reward_model" if Measure.REWARD in measures else "policy",
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
    guess: Guess | None = None,
    model: str = "made_up",
    **changes: object,
) -> Path:
    """Writes a run with given scores and guesses as the scoring loop would.

    Args:
        root: The runs folder.
        items: What was scored.
        scores: Per measure the score of a candidate; NaN: unscored.
        guess: What was generated for an item; None: nothing was.
        model: Its name.
        changes: To the manifest.
    """
    texts = [] if guess is None else [Measure.TEXT]
    given = manifest(model, [*scores, *texts], **changes)

    def row(
        item: Item, candidate: str, measure: Measure, score: float, text: str | None
    ) -> ScoreRow:
        return ScoreRow(
            probe=given.probe,
            probe_version=given.probe_version,
            item_id=item.id,
            candidate_id=candidate,
            model=model,
            fingerprint=given.fingerprint,
            measure=measure,
            score=score,
            n_prompt_tokens=10,
            n_answer_tokens=1,
            truncated_tokens=0,
            straddles=False,
            input_sha=None,
            text=text,
        )

    rows = [
        row(item, candidate.id, measure, value(item, candidate), None)
        for measure, value in scores.items()
        for item in items
        for candidate in item.candidates
    ]
    for item in items:
        text = None if guess is None else guess(item)
        if text is not None:
            rows.append(row(item, GENERATED, Measure.TEXT, math.nan, text))
    with RunFolder.open(root, given) as folder:
        folder.write_items(item_rows(items, generated=guess is not None))
        folder.append(rows)
        return folder.path


def recorded_run(root: Path, model: str, recorded: Path, data: Path) -> Path:
    """The recorded guesses and choices of a policy, as a run of the prepared games.

    The prepared games are numbered as the rows of the recorded files. A recorded
    probability is of one of six words: its logarithm ranks them as a summed
    log-probability does.
    """
    path = recorded / "outputs" / "md3-game" / RECORDED[model]
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    items = list(md3.build(BuildOptions(data=data)))
    by_item = {item.id: lines[int(item.id.rpartition("-")[2])] for item in items}

    def score(item: Item, candidate: Candidate) -> float:
        line = by_item[item.id]
        probabilities = [
            float(line["correct_answer_prob"]),
            *json.loads(line["distractor_probs"]),
        ]
        place = [one.id for one in item.candidates].index(candidate.id)
        return math.log(max(probabilities[place], 1e-300))

    for item in items:
        assert by_item[item.id]["correct_answer"].strip() == item.meta["answer"]
    return store(
        root,
        items,
        {Measure.LOGPROB_SUM: score},
        guess=lambda item: by_item[item.id]["generated_answer"].strip(),
        model=model,
    )
