"""Made-up runs of one task in many languages, with planted results."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.score import item_rows
from probe.store import Manifest, RunFolder
from probe.types import GENERATED, Candidate, Item, Measure, Message, ScoreRow

NAMES = {
    "eng_Latn": ("English", "Latin"),
    "deu_Latn": ("German", "Latin"),
    "fin_Latn": ("Finnish", "Latin"),
    "rus_Cyrl": ("Russian", "Cyrillic"),
    "arb_Arab": ("Arabic", "Arabic"),
    "tel_Telu": ("Telugu", "Telugu"),
    "swh_Latn": ("Swahili", "Latin"),
    "kor_Hang": ("Korean", "Hangul"),
}
"""Code -> name and script of the languages that tests use."""

Score = Callable[[Item, Candidate], float]
Reply = Callable[[Item], "Generated | None"]


@dataclass(frozen=True, kw_only=True)
class Generated:
    """An answer in a model's own words."""

    text: str | None
    n_tokens: int = 5
    truncated: int = 0


def unit(*parts: object) -> float:
    """A number in [0, 1) that depends on nothing but its arguments."""
    digest = hashlib.blake2b(" ".join(map(str, parts)).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little") / 2.0**64


def _named(code: str) -> dict[str, object]:
    name, script = NAMES.get(code, (code, code.rpartition("_")[2]))
    return {"language_name": name, "script": script}


def choice(number: int, code: str, *, seed: int = 0, **meta: object) -> Item:
    """A made-up question with four letters; two of them share a passage."""
    right = int(4 * unit("answer", seed, number))
    return Item(
        id=f"{code}-q{number:04d}",
        messages=(Message(role="user", content=f"Question {number} in {code}?"),),
        candidates=tuple(
            Candidate(
                id="ABCD"[place],
                answer=f"Answer: {'ABCD'[place]}",
                span=(8, 9),
                groups={
                    "place": float(place),
                    "correct": "yes" if place == right else "no",
                },
            )
            for place in range(4)
        ),
        groups={"language": code, "question_id": f"q{number:04d}"},
        meta={"passage_id": f"p{number // 2}", "n_passage_chars": 400, **_named(code)}
        | meta,
    )


def choices(codes: Sequence[str], questions: int, seed: int = 0) -> list[Item]:
    """The same made-up questions in several languages."""
    return [
        choice(number, code, seed=seed) for code in codes for number in range(questions)
    ]


def picks(
    chance: Callable[[Item], float], seed: int = 0, liked: int | None = None
) -> Score:
    """Scores of a model that picks the right letter with a given probability.

    Args:
        chance: Of an item.
        seed: Of who is right where.
        liked: Place picked where the right one is not; None: any other, at random.
    """

    def score(item: Item, candidate: Candidate) -> float:
        right = next(
            place
            for place, one in enumerate(item.candidates)
            if one.groups["correct"] == "yes"
        )
        # Of one question the languages go right and wrong apart from each other.
        if unit("right", seed, item.id) < chance(item):
            picked = right
        else:
            others = [place for place in range(4) if place != right]
            picked = others[int(3 * unit("wrong", seed, item.id))]
            picked = liked if liked is not None and liked != right else picked
        place = item.candidates.index(candidate)
        return -1.0 if place == picked else -2.0 - 0.1 * place

    return score


def extraction(
    number: int, code: str, references: Sequence[str], **meta: object
) -> Item:
    """A made-up question with a short answer; two of them share a document."""
    return Item(
        id=f"{code}-{number:04d}",
        messages=(Message(role="user", content=f"Passage, question {number}?"),),
        candidates=tuple(
            Candidate(id=f"reference-{place}", answer=answer)
            for place, answer in enumerate(references, 1)
        ),
        groups={"language": code},
        meta={
            "references": list(references),
            "exemplars": ["x"],
            "document": f"Document {number // 2}",
            "n_passage_chars": 500,
            "max_new_tokens": 50,
            **_named(code),
        }
        | meta,
        max_new_tokens=50,
        stop=("\n\n",),
    )


def extractions(sizes: Mapping[str, int]) -> list[Item]:
    """Made-up questions of several languages, each its own."""
    return [
        extraction(number, code, [f"alpha beta {code} {number}"])
        for code, size in sizes.items()
        for number in range(size)
    ]


def replies(chance: Callable[[Item], float], seed: int = 0) -> Reply:
    """Answers that match with a given probability, and share half their words else."""

    def reply(item: Item) -> Generated:
        wanted = item.candidates[0].answer
        if unit("exact", seed, item.id) < chance(item):
            return Generated(text=f" {wanted}.")
        return Generated(text=" alpha beta gamma delta" if number(item) % 2 else " no")

    def number(item: Item) -> int:
        return int(item.id.rpartition("-")[2])

    return reply


def manifest(
    kind: str, model: str, measures: Sequence[Measure], **changes: object
) -> Manifest:
    chosen = kind == "belebele"
    fields: dict[str, object] = {
        "probe": kind,
        "probe_version": "1",
        "title": "Made-up questions",
        "axis": "languages",
        "model": model,
        "fingerprint": hashlib.sha256(model.encode()).hexdigest()[:16],
        "kind": "scored",
        "model_kind": "policy",
        "item_columns": ("language", "question_id") if chosen else ("language",),
        "candidate_columns": ("place", "correct") if chosen else (),
        "measures": tuple(measure.value for measure in measures),
        "status": "complete",
    }
    return Manifest(**(fields | changes))  # type: ignore[arg-type]


def store(
    root: Path,
    items: Sequence[Item],
    score: Score,
    *,
    reply: Reply | None = None,
    per_token: Callable[[Candidate], float] | None = None,
    tokens: Callable[[Item], int] = lambda item: 100,
    cut: Callable[[Item], int] = lambda item: 0,
    model: str = "made_up",
    **changes: object,
) -> Path:
    """Writes a run with given scores and answers as the scoring loop would.

    Args:
        root: The runs folder.
        items: From `choices` or `extractions`.
        score: Log-probability of a candidate; NaN: unscored.
        per_token: Mean log-probability per token; None: as `score`.
        reply: What was generated for an item; None: nothing was for any.
        tokens: Of an item's prompt.
        cut: Tokens of it that did not fit.
        model: Its name.
        changes: To the manifest.
    """
    kind = "tydiqa" if items[0].max_new_tokens is not None else "belebele"
    scored = [Measure.LOGPROB_SUM, Measure.LOGPROB_MEAN]
    texts = [] if reply is None else [Measure.TEXT]
    given = manifest(kind, model, [*scored, *texts], **changes)

    def row(
        item: Item, candidate: str, measure: Measure, value: float, made: Generated
    ) -> ScoreRow:
        nothing = measure is Measure.TEXT and made.text is None
        return ScoreRow(
            probe=given.probe,
            probe_version=given.probe_version,
            item_id=item.id,
            candidate_id=candidate,
            model=model,
            fingerprint=given.fingerprint,
            measure=measure,
            score=value,
            n_prompt_tokens=tokens(item),
            n_answer_tokens=made.n_tokens,
            truncated_tokens=cut(item) + made.truncated,
            straddles=False,
            input_sha=None,
            text=made.text,
            error="no answer" if nothing else None,
        )

    none = Generated(text=None, n_tokens=1)
    rows = [
        row(
            item,
            candidate.id,
            measure,
            per_token(candidate)
            if per_token is not None and measure is Measure.LOGPROB_MEAN
            else score(item, candidate),
            none,
        )
        for measure in scored
        for item in items
        for candidate in item.candidates
    ]
    for item in items:
        made = None if reply is None else reply(item)
        if made is not None:
            rows.append(row(item, GENERATED, Measure.TEXT, math.nan, made))
    with RunFolder.open(root, given) as folder:
        folder.write_items(item_rows(items, generated=reply is not None))
        folder.append(rows)
        return folder.path
