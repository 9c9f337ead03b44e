"""Runs of dialect minimal pairs for tests: a fixture reward model and its items."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from probe import score
from probe.encode import Encoder
from probe.score import item_rows
from probe.store import Manifest, RunFolder
from probe.types import Candidate, Encoded, Item, Measure, Message, ScoreRow

VARIETIES = ("African American English", "Indian English", "Nigerian English")


def hashed_normals(texts: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Noise that depends on nothing but a text and the seed: standard normal."""
    key = seed.to_bytes(8, "little")
    digests = b"".join(
        hashlib.blake2b(text.encode(), digest_size=8, key=key).digest()
        for text in texts
    )
    numbers = np.frombuffer(digests, dtype="<u8").astype(np.float64)
    return np.asarray(ndtri((numbers + 0.5) / 2.0**64), dtype=np.float64)


def count(token: str, text: str) -> int:
    """How often a word occurs in a text."""
    return len(re.findall(rf"(?<![\w']){re.escape(token)}(?![\w'])", text.lower()))


def read_text(item: Item, candidate: Candidate) -> str:
    """What the fixture reads of a pair's side: prompt and answer."""
    return f"{item.messages[-1].content}\n{candidate.answer}"


@dataclass(frozen=True, kw_only=True)
class FixtureReward:
    """A reward model whose reward is a hash of the text plus b x count of a token.

    Without the token it is exchangeable within every pair: a true null. It implements
    `probe.models.Scorer`, and its tokens are the bytes of the text, so that it reads
    nothing but what the scoring loop hands it.
    """

    seed: int
    token: str = "done"
    b: float = 0.0
    measures: tuple[Measure, ...] = (Measure.REWARD,)
    engine: str = "batches: a fixture"

    @property
    def encoder(self) -> Encoder:
        raise AssertionError("the fixture encodes its items itself")

    def encode(self, item: Item) -> list[Encoded]:
        found = []
        for candidate in item.candidates:
            text = read_text(item, candidate).encode()
            found.append(
                Encoded(
                    item_id=item.id,
                    candidate_id=candidate.id,
                    token_ids=tuple(text),
                    answer_start=len(text) - len(candidate.answer.encode()),
                    answer_end=len(text),
                    truncated_tokens=0,
                    straddles=False,
                    input_sha=hashlib.sha256(text).hexdigest()[:16],
                )
            )
        return found

    def score(self, encoded: Sequence[Encoded]) -> list[Mapping[Measure, float]]:
        texts = [bytes(one.token_ids).decode() for one in encoded]
        return [{Measure.REWARD: float(one)} for one in self.rewards(texts)]

    def rewards(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The reward of each text, shape (texts,)."""
        noise = hashed_normals(texts, self.seed)
        if self.b == 0:
            return noise
        return noise + self.b * np.array([count(self.token, text) for text in texts])


def made_up_items(
    n_features: int = 8, n_frames: int = 8, n_pairs: int = 3
) -> list[Item]:
    """Pairs whose dialect side has one more word, another for every feature."""
    return [
        Item(
            id=f"word-{f}-{i:02d}-{j}",
            messages=(Message(role="user", content=f"Tell me about day {i}."),),
            candidates=tuple(
                Candidate(
                    id=variant,
                    answer=f"They {word}went home on day {i} at {j}, case {f}.",
                    groups={"variant": variant},
                )
                for variant, word in (("standard", ""), ("dialect", f"word{f} "))
            ),
            groups={"feature": f"word-{f}", "frame": f"word-{f}-{i:02d}"},
            meta={
                "ewave": 100 + f,
                "ewave_name": f"A word numbered {f}",
                "feature_title": f"Word {f}",
                "varieties": [VARIETIES[f % 3], VARIETIES[(f + 1) % 3]],
            },
        )
        for f in range(n_features)
        for i in range(n_frames)
        for j in range(n_pairs)
    ]


def manifest(model: str, measures: Sequence[Measure], **changes: object) -> Manifest:
    fields: dict[str, object] = {
        "probe": "dialect_features",
        "probe_version": "1+probe-half-0",
        "title": "Which dialect feature costs how much?",
        "axis": "dialects",
        "model": model,
        "fingerprint": hashlib.sha256(model.encode()).hexdigest()[:16],
        "kind": "scored",
        "model_kind": "reward_model",
        "item_columns": ("feature", "frame"),
        "candidate_columns": ("variant",),
        "measures": tuple(measure.value for measure in measures),
        "status": "complete",
    }
    return Manifest(**(fields | changes))  # type: ignore[arg-type]


def scored(
    root: Path,
    items: Sequence[Item],
    reward: FixtureReward,
    *,
    model: str = "fixture",
    **changes: object,
) -> Path:
    """A run that the scoring loop made with the fixture."""
    result = score.run(
        items,
        lambda: reward,
        root=root,
        manifest=manifest(model, reward.measures, **changes),
        progress=lambda _: None,
        device=lambda: "cpu",
    )
    return result.path


Score = Callable[[Item, Candidate], float]
Lengths = Callable[[Item, Candidate], int | None]


def store(
    root: Path,
    items: Sequence[Item],
    scores: Mapping[Measure, Score],
    *,
    model: str = "made_up",
    tokens: Lengths = lambda item, candidate: len(candidate.answer.split()),
    **changes: object,
) -> Path:
    """Writes a run with given scores and token counts as the scoring loop would."""
    given = manifest(model, list(scores), **changes)
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
                    score=value(item, candidate),
                    n_prompt_tokens=10,
                    n_answer_tokens=tokens(item, candidate),
                    truncated_tokens=0,
                    straddles=False,
                    input_sha=None,
                )
                for measure, value in scores.items()
                for item in items
                for candidate in item.candidates
            ]
        )
        return folder.path
