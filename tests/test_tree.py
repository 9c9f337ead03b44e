"""The token trie and tree attention, against one sequence at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BloomConfig,
    DebertaV2Config,
    FalconConfig,
    GPTNeoXConfig,
    Llama4TextConfig,
    LlamaConfig,
    Mamba2Config,
    ModernBertConfig,
    MptConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    Qwen3NextConfig,
    RwkvConfig,
    T5Config,
)

from probe import tree, tree_attention
from probe.tree_support import attention_support
from probe.types import ConfigError, DataError
from tests.tiny_models import (
    CAUSAL,
    PAD,
    VOCAB,
    WINDOW,
    WINDOWED,
    tiny_backbone,
    tiny_config,
)

ATOL = 1e-4
VISIBLY = 1e-2
"""A wrong mask must change some score by more than this."""
COLUMN = 24
"""`padding.to` of the last_column tests."""

Tokens = tuple[int, ...]


def draw(rng: np.random.Generator, n: int, vocab: int = VOCAB) -> Tokens:
    return tuple(int(token) for token in rng.integers(3, vocab, n))


def items(rng: np.random.Generator, n_items: int = 3) -> list[Tokens]:
    """Items that share a system prompt, with candidates that share their middles."""
    system = draw(rng, 5)
    made: list[Tokens] = []
    for _ in range(n_items):
        prompt = system + draw(rng, 6)
        middles = [draw(rng, int(rng.integers(1, 4))) for _ in range(4)]
        for middle in middles:
            for _ in range(3):
                made.append(prompt + middle + draw(rng, int(rng.integers(1, 8))))
    return made


def rewards_of(sequences: list[Tokens]) -> list[tree.Sequence]:
    return [tree.Sequence(token_ids=ids, read=None) for ids in sequences]


def head_of(backbone: PreTrainedModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(backbone.config.hidden_size, generator=generator)


def tree_rewards(
    backbone: PreTrainedModel,
    sequences: list[Tokens],
    *,
    budget: int = 64,
    synthetic: tuple[int, int] | None = None,
    change: Callable[[tree.Pack], tree.Pack] = lambda pack: pack,
) -> torch.Tensor:
    scores = torch.full((len(sequences),), torch.nan)
    planned = tree.plan(rewards_of(sequences), budget=budget, synthetic=synthetic)
    with torch.inference_mode():
        for pack in planned.packs:
            hidden = tree_attention.hidden_states(backbone, change(pack))
            values = hidden[torch.from_numpy(pack.read_nodes)] @ head_of(backbone)
            scores[torch.from_numpy(pack.owners)] = values
    return scores


@torch.inference_mode()
def plain_rewards(backbone: PreTrainedModel, sequences: list[Tokens]) -> torch.Tensor:
    return torch.stack(
        [
            backbone(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1]
            @ head_of(backbone)
            for ids in sequences
        ]
    )


@torch.inference_mode()
def padded_rewards(backbone: PreTrainedModel, sequences: list[Tokens]) -> torch.Tensor:
    """The last column of each row padded on the right to COLUMN, one row at a time."""
    scores = []
    for ids in sequences:
        n_pads = COLUMN - len(ids)
        row = torch.tensor([ids + (PAD,) * n_pads])
        mask = torch.tensor([[1] * len(ids) + [0] * n_pads])
        states = backbone(row, attention_mask=mask, use_cache=False).last_hidden_state
        scores.append(states[0, -1] @ head_of(backbone))
    return torch.stack(scores)


# --- planning ---------------------------------------------------------------------


def ancestors(pack: tree.Pack, node: int) -> list[int]:
    """Root to `node`, by the definition of `subtree_end`."""
    return [j for j in range(node + 1) if node < pack.subtree_end[j]]


def assert_plan(
    sequences: list[tree.Sequence], planned: tree.Plan, budget: int
) -> None:
    """Every wanted value is read once, below exactly its own tokens."""
    wanted = {index: [] for index in range(len(sequences))}
    for pack in planned.packs:
        assert len(pack) <= budget or len(set(pack.owners)) == 1
        reads = zip(pack.owners, pack.read_nodes, pack.read_targets, strict=True)
        for owner, node, target in reads:
            path = ancestors(pack, int(node))
            tokens = tuple(pack.token_ids[path])
            assert list(pack.position_ids[path]) == list(range(len(path)))
            wanted[int(owner)].append((tokens, int(target)))
    for index, sequence in enumerate(sequences):
        ids = sequence.token_ids
        if sequence.read is None:
            assert wanted[index] == [(ids, tree.REWARD)]
        else:
            spans = range(*sequence.read)
            assert wanted[index] == [(ids[:k], ids[k]) for k in spans]
    prefixes = {s.inputs[: k + 1] for s in sequences for k in range(len(s.inputs))}
    assert planned.n_unique == len(prefixes)
    assert planned.n_tokens == sum(len(s.inputs) for s in sequences)
    assert planned.n_computed == sum(len(pack.token_ids) for pack in planned.packs)
    assert planned.n_unique <= planned.n_computed


@pytest.mark.parametrize("seed", range(60))
def test_random_tries_read_each_value_below_its_own_tokens(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Two to four letters and short words: prefixes, duplicates and deep branching.
    vocab = 3 + int(rng.integers(2, 5))
    sequences = []
    for _ in range(int(rng.integers(1, 40))):
        ids = draw(rng, int(rng.integers(1, 10)), vocab)
        read = None
        if len(ids) > 1 and rng.random() < 0.5:
            start = int(rng.integers(1, len(ids)))
            read = (start, int(rng.integers(start + 1, len(ids) + 1)))
        sequences.append(tree.Sequence(token_ids=ids, read=read))
    for budget in (1, 7, 25, 10_000):
        assert_plan(sequences, tree.plan(sequences, budget=budget), budget)


def test_a_plan_of_nothing_is_empty() -> None:
    planned = tree.plan([])
    assert planned.packs == () and planned.n_computed == planned.n_unique == 0


def test_duplicates_share_their_nodes() -> None:
    ids = (5, 6, 7, 8)
    planned = tree.plan(rewards_of([ids, (5, 9), ids, ids]))
    assert planned.n_unique == planned.n_computed == 5
    assert planned.n_tokens == 14
    (pack,) = planned.packs
    assert sorted(pack.owners) == [0, 1, 2, 3]


def test_the_last_token_of_a_span_is_no_node() -> None:
    sequence = tree.Sequence(token_ids=(4, 5, 6, 7, 8), read=(2, 4))
    (pack,) = tree.plan([sequence]).packs
    assert list(pack.token_ids) == [4, 5, 6]
    assert list(pack.read_nodes) == [1, 2]
    assert list(pack.read_targets) == [6, 7]


def test_a_synthetic_node_is_no_real_pad_token() -> None:
    sequences = rewards_of([(4, 5), (4, 5, PAD), (4, 5, PAD, 6)])
    (pack,) = tree.plan(sequences, synthetic=(PAD, 3)).packs
    synthetic = np.flatnonzero(~pack.self_visible)
    assert list(pack.token_ids[synthetic]) == [PAD, PAD]
    assert list(pack.position_ids[synthetic]) == [3, 3]
    read = dict(zip(pack.owners, pack.read_nodes, strict=True))
    assert list(pack.token_ids[ancestors(pack, read[0])]) == [4, 5, PAD]
    assert list(pack.token_ids[ancestors(pack, read[1])]) == [4, 5, PAD, PAD]
    # Four tokens reach position 3: no padding is left, the last real token is read.
    assert read[2] not in synthetic and pack.token_ids[read[2]] == 6


def test_cuts_fall_where_the_least_is_repeated() -> None:
    # Two items of 60 nodes share 2 tokens; within an item 20 are shared.
    sequences = [
        (1, 2, *([item] * 18), answer, 5, 6, 7)
        for item in (3, 4)
        for answer in range(10)
    ]
    planned = tree.plan(rewards_of(sequences), budget=70)
    assert [len(pack) for pack in planned.packs] == [60, 60]
    assert planned.n_computed - planned.n_unique == 2


def test_askreddit_like_items_repeat_less_than_two_percent() -> None:
    rng = np.random.default_rng(0)
    for n_items in (1, 3):
        system, sequences = draw(rng, 20, 5000), []
        names = [draw(rng, int(rng.integers(1, 5)), 5000) for _ in range(254)]
        for _ in range(n_items):
            prompt, tail = system + draw(rng, 20, 5000), draw(rng, 10, 5000)
            sequences += [prompt + name + tail for name in names]
        planned = tree.plan(rewards_of(sequences))
        assert len(planned.packs) > 1
        assert planned.n_computed <= 1.02 * planned.n_unique


@pytest.mark.parametrize("read", [(0, 2), (2, 2), (3, 2), (1, 5)])
def test_a_span_that_nothing_predicts_is_an_error(read: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="log-probabilities of tokens"):
        tree.plan([tree.Sequence(token_ids=(4, 5, 6, 7), read=read)])


def test_an_empty_sequence_or_budget_is_an_error() -> None:
    with pytest.raises(DataError, match="without tokens"):
        tree.plan(rewards_of([()]))
    with pytest.raises(ConfigError, match="budget of 0"):
        tree.plan(rewards_of([(4,)]), budget=0)


# --- equality with plain forward passes --------------------------------------------


@pytest.fixture(scope="module", params=CAUSAL)
def backbone(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny_backbone(request.param)


@pytest.fixture(scope="module", params=WINDOWED)
def windowed(request: pytest.FixtureRequest) -> PreTrainedModel:
    return tiny_backbone(request.param)


@pytest.mark.parametrize("budget", [1, 40, 100, 4096])
def test_rewards_equal_plain_forward_passes(
    backbone: PreTrainedModel, budget: int
) -> None:
    sequences = items(np.random.default_rng(3))
    assert min(map(len, sequences)) > WINDOW
    scores = tree_rewards(backbone, sequences, budget=budget)
    torch.testing.assert_close(
        scores, plain_rewards(backbone, sequences), atol=ATOL, rtol=0
    )


@pytest.mark.parametrize("budget", [40, 4096])
def test_last_column_equals_padding(backbone: PreTrainedModel, budget: int) -> None:
    rng = np.random.default_rng(4)
    stems = [draw(rng, 10) for _ in range(3)]
    # Every window of the last column holds some text; some rows need no padding.
    lengths = [COLUMN - k for k in (0, 1, 2, 3, 4, 0, 4)]
    sequences = [stem + draw(rng, n - 10) for stem in stems for n in lengths]
    sequences.append((*sequences[1][:-2], PAD))
    scores = tree_rewards(
        backbone, sequences, budget=budget, synthetic=(PAD, COLUMN - 1)
    )
    torch.testing.assert_close(
        scores, padded_rewards(backbone, sequences), atol=ATOL, rtol=0
    )


@pytest.mark.parametrize("budget", [40, 4096])
def test_log_probs_equal_plain_forward_passes(
    backbone: PreTrainedModel, budget: int
) -> None:
    rng = np.random.default_rng(5)
    sequences = [
        tree.Sequence(token_ids=ids, read=(11, int(rng.integers(12, len(ids) + 1))))
        for ids in items(rng)
    ]
    unembed = torch.randn(
        VOCAB, backbone.config.hidden_size, generator=torch.Generator().manual_seed(1)
    )
    sums = torch.zeros(len(sequences))
    with torch.inference_mode():
        for pack in tree.plan(sequences, budget=budget).packs:
            hidden = tree_attention.hidden_states(backbone, pack)
            rows = torch.log_softmax(hidden[pack.read_nodes] @ unembed.T, dim=-1)
            values = rows[torch.arange(len(rows)), pack.read_targets]
            sums.index_add_(0, torch.from_numpy(pack.owners), values)
        for index, sequence in enumerate(sequences):
            states = backbone(torch.tensor([sequence.token_ids]), use_cache=False)
            rows = torch.log_softmax(states.last_hidden_state[0] @ unembed.T, dim=-1)
            start, end = sequence.read
            expected = sum(
                rows[k - 1, sequence.token_ids[k]] for k in range(start, end)
            )
            assert sums[index].item() == pytest.approx(expected.item(), abs=ATOL)


def test_order_and_duplicates_do_not_matter(backbone: PreTrainedModel) -> None:
    rng = np.random.default_rng(6)
    sequences = items(rng)
    sequences += sequences[:5]
    scores = tree_rewards(backbone, sequences, budget=90)
    order = rng.permutation(len(sequences))
    shuffled = tree_rewards(backbone, [sequences[k] for k in order], budget=90)
    torch.testing.assert_close(shuffled, scores[order], atol=1e-5, rtol=0)
    assert torch.equal(scores[:5], scores[-5:])


@pytest.mark.parametrize("length", [1, 5, 33])
def test_attention_by_run_does_not_depend_on_the_runs(
    backbone: PreTrainedModel, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = items(np.random.default_rng(8))
    monkeypatch.setattr(tree_attention, "RUN", length)
    scores = tree_rewards(backbone, sequences, budget=4096)
    torch.testing.assert_close(
        scores, plain_rewards(backbone, sequences), atol=ATOL, rtol=0
    )


def test_a_pack_of_several_whole_runs(backbone: PreTrainedModel) -> None:
    sequences = items(np.random.default_rng(9), n_items=16)
    planned = tree.plan(rewards_of(sequences), budget=4096)
    assert len(planned.packs[0]) > 3 * tree_attention.RUN
    scores = tree_rewards(backbone, sequences, budget=4096)
    torch.testing.assert_close(
        scores, plain_rewards(backbone, sequences), atol=ATOL, rtol=0
    )


def test_the_backbone_keeps_its_own_attention(backbone: PreTrainedModel) -> None:
    before = backbone.config._attn_implementation
    tree_rewards(backbone, [(4, 5, 6)])
    assert backbone.config._attn_implementation == before


# --- wrong masks show --------------------------------------------------------------


def test_dropping_the_window_shows(
    windowed: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = items(np.random.default_rng(3))
    expected = plain_rewards(windowed, sequences)
    true = tree_attention.windows(windowed.config)

    def widened(to: int | None) -> None:
        wrong = {name: w if w is None else to for name, w in true.items()}
        monkeypatch.setattr(tree_attention, "windows", lambda config: wrong)
        difference = (tree_rewards(windowed, sequences) - expected).abs().max()
        assert difference > VISIBLY

    for window in (None, WINDOW + 1, WINDOW - 1):
        widened(window)


def test_one_visible_sibling_token_shows(backbone: PreTrainedModel) -> None:
    sequences = items(np.random.default_rng(3))
    expected = plain_rewards(backbone, sequences)

    def leak(pack: tree.Pack) -> tree.Pack:
        # One leaf becomes visible to the leaf that follows it in pre-order.
        ends = pack.subtree_end.copy()
        leaves = np.flatnonzero(ends == np.arange(len(pack)) + 1)
        following = leaves[np.isin(leaves + 1, leaves)]
        assert following.size
        ends[following[0]] += 1
        return dataclasses.replace(pack, subtree_end=ends)

    scores = tree_rewards(backbone, sequences, budget=4096, change=leak)
    changed = (scores - expected).abs()
    assert changed.max() > VISIBLY
    assert (changed > ATOL).sum() == 1


def test_hiding_a_token_or_shifting_a_position_shows(
    backbone: PreTrainedModel,
) -> None:
    sequences = items(np.random.default_rng(3))
    expected = plain_rewards(backbone, sequences)

    def hide(pack: tree.Pack) -> tree.Pack:
        visible = pack.self_visible.copy()
        visible[pack.read_nodes[0]] = False
        return dataclasses.replace(pack, self_visible=visible)

    def shift(pack: tree.Pack) -> tree.Pack:
        positions = pack.position_ids.copy()
        positions[pack.read_nodes[0]] += 3
        return dataclasses.replace(pack, position_ids=positions)

    for change in (hide, shift):
        scores = tree_rewards(backbone, sequences, change=change)
        assert (scores - expected).abs().max() > VISIBLY


def test_a_boolean_mask_under_eager_attention_would_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gemma2 = tiny_backbone("gemma2")
    sequences = items(np.random.default_rng(3))
    own = tree_attention.masks

    def booleans(*args: object) -> object:
        return {name: mask == 0 for name, mask in own(*args).items()}

    monkeypatch.setattr(tree_attention, "masks", booleans)
    difference = tree_rewards(gemma2, sequences) - plain_rewards(gemma2, sequences)
    assert difference.abs().max() > VISIBLY


def test_soft_capping_bites() -> None:
    sequences = items(np.random.default_rng(3))
    capped = plain_rewards(tiny_backbone("gemma2"), sequences)
    config = tiny_config("gemma2")
    config.attn_logit_softcapping = None
    uncapped = plain_rewards(tiny_backbone("gemma2", config=config), sequences)
    assert (capped - uncapped).abs().max() > VISIBLY


def test_a_last_column_beyond_the_window_is_an_error(
    windowed: PreTrainedModel,
) -> None:
    with pytest.raises(ConfigError, match="sliding window of 7"):
        tree_rewards(windowed, [(4, 5, 6)], synthetic=(PAD, 2 + WINDOW + 1))
    tree_rewards(windowed, [(4, 5, 6)], synthetic=(PAD, 2 + WINDOW - 1))


def test_other_attention_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    llama = tiny_backbone("llama")
    monkeypatch.setattr(llama.config, "_attn_implementation_internal", "flex_attention")
    with pytest.raises(ConfigError, match="flex_attention"):
        tree_rewards(llama, [(4, 5, 6)])


# --- which models ------------------------------------------------------------------


def test_supported_models_pass_their_self_test(backbone: PreTrainedModel) -> None:
    support = tree_attention.verified_support(backbone)
    assert support.ok, support.reason
    assert tree_attention.self_test(backbone) < 1e-4


def test_the_self_test_refuses_what_the_config_hides(
    windowed: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = tree_attention.windows(windowed.config)
    monkeypatch.setattr(
        tree_attention, "windows", lambda config: dict.fromkeys(true, None)
    )
    support = tree_attention.verified_support(windowed)
    assert not support.ok and "differ by" in support.reason


def test_the_self_test_does_not_pass_over_nan() -> None:
    llama = tiny_backbone("llama")
    llama.norm.weight.data.fill_(float("inf"))
    llama.norm.weight.data[0] = float("nan")
    support = tree_attention.verified_support(llama)
    assert not support.ok and "differ by nan" in support.reason


class OwnCodeConfig(LlamaConfig):
    """A config class that came with a checkpoint; it even reuses a known type."""


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (BertConfig(), "bidirectional"),
        (DebertaV2Config(), "no causal decoder"),
        (ModernBertConfig(), "no causal decoder"),
        (T5Config(), "encoder-decoder"),
        (BloomConfig(), "mask"),
        (MptConfig(), "mask"),
        (FalconConfig(alibi=True), "ALiBi"),
        (Llama4TextConfig(), "chunked_attention"),
        (Mamba2Config(), "recurrent"),
        (RwkvConfig(), "recurrent"),
        (Qwen3NextConfig(), "recurrent"),
        (
            LlamaConfig(rope_parameters={"rope_type": "dynamic", "factor": 2.0}),
            "depends on the batch",
        ),
        (
            Phi3Config(
                rope_parameters={
                    "rope_type": "longrope",
                    "short_factor": [1.0] * 48,
                    "long_factor": [2.0] * 48,
                    "original_max_position_embeddings": 4096,
                }
            ),
            "depends on the batch",
        ),
        (OwnCodeConfig(), "code of its own"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_unsupported_attention_says_why(config: PreTrainedConfig, reason: str) -> None:
    support = attention_support(config)
    assert not support.ok
    assert reason in support.reason


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (LlamaConfig(), "full_attention"),
        (tiny_config("mistral"), "sliding_attention of 7"),
        (Qwen2Config(), "full_attention"),
        (Qwen3Config(), "full_attention"),
        (tiny_config("gemma3"), "full_attention, sliding_attention of 7"),
        (tiny_config("gpt2"), "full_attention"),
        (GPTNeoXConfig(), "full_attention"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_supported_attention_names_its_layers(
    config: PreTrainedConfig, layers: str
) -> None:
    support = attention_support(config)
    assert support.ok
    assert support.reason == f"causal decoder: {layers}"


def test_a_deep_trie_is_cut_into_several_blocks(
    backbone: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(10)
    trunk = draw(rng, 60)
    rows = [trunk[:k] + draw(rng, 3) for k in range(8, 60, 2)] + [trunk]
    (pack,) = tree.plan(rewards_of(rows), budget=4096).packs
    monkeypatch.setattr(tree_attention, "RUN", 6)
    parts = tree_attention.blocks(pack, torch.device("cpu"))
    assert len(parts) > 1
    assert all(part.keys.numel() <= 4 * len(pack) for part in parts)
    assert [part.end for part in parts[:-1]] == [part.start for part in parts[1:]]
    torch.testing.assert_close(
        tree_rewards(backbone, rows, budget=4096),
        plain_rewards(backbone, rows),
        atol=ATOL,
        rtol=0,
    )
