"""Greedy generation: every engine writes what one prompt at a time writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as token_models
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RwkvConfig,
)

from analysis.load import load_run, texts
from probe import audit, cli, score, tree, tree_attention
from probe.audit import Settings
from probe.config import ModelConfig
from probe.encode import Encoder, Prompt
from probe.listing import ls_runs
from probe.models import (
    Generation,
    decode,
    engine,
    generate,
    load_scorer,
    resolve_model,
    resolve_weights,
    rows,
)
from probe.models.engine import Choice
from probe.models.policy import PolicyScorer, VocabularyHead
from probe.score import InterruptedRunError, item_rows
from probe.store import read_items, read_manifest, read_scores
from probe.types import (
    GENERATED,
    BuildOptions,
    Candidate,
    DataError,
    Item,
    Measure,
    Message,
    Probe,
)
from tests.test_score import frame, stop_after
from tests.tiny_checkpoints import (
    CHAT_TEMPLATE,
    byte_tokenizer,
    enlarge,
    llama_classifier,
    metaspace_tokenizer,
)
from tests.tiny_models import CAUSAL, WINDOW, tiny_config


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models' steps are so short that threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


WORDS = ("Canada", "wire", "the United Kingdom", "café", "people and food", "Japan")
ASKED = "Which country has the nicest people and places"


def item(number: int, asked: int = 6, **changes: object) -> Item:
    """A question of its own length, with two answers to score."""
    words = [WORDS[(number + k) % len(WORDS)] for k in range(1 + number % 5)]
    content = f"{ASKED}: {', '.join(words)}?"
    fields: dict[str, object] = {
        "id": f"q{number}",
        "messages": (Message(role="user", content=content),),
        "candidates": tuple(
            Candidate(id=one, answer=one, groups={"word": one}) for one in WORDS[:2]
        ),
        "groups": {"parity": "even" if number % 2 == 0 else "odd"},
        "max_new_tokens": asked,
    }
    return Item(**(fields | changes))  # type: ignore[arg-type]


ITEMS = [item(number, asked=3 + number % 4) for number in range(9)]
PROBE = Probe(
    name="guesses",
    version="1",
    title="A test's questions",
    axis="preferences",
    fits=frozenset({"reward", "policy"}),
    item_columns=("parity",),
    candidate_columns=("word",),
    sources=(),
    build=lambda _: ITEMS,
    words=frozenset(),
)


def checkpoint(folder: Path, config: PreTrainedConfig, seed: int = 0) -> Path:
    """A random model of any family, with weights that give wide logits."""
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    config.vocab_size = len(tokenizer)
    # Tied to its embedding, a random model repeats what it read last.
    config.tie_word_embeddings = False
    model = AutoModelForCausalLM.from_config(config)
    enlarge(model, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def scorer_of(ref: Path, **settings: int) -> PolicyScorer:
    config = resolve_model(str(ref))
    found = load_scorer(config, resolve_weights(config), device="cpu", **settings)
    assert isinstance(found, PolicyScorer)
    return found


def with_choice(scorer: PolicyScorer, name: str) -> PolicyScorer:
    choice = Choice(name=name, reason="test")  # type: ignore[arg-type]
    return dataclasses.replace(scorer, choice=choice)


def alone(
    scorer: PolicyScorer, prompts: Sequence[Prompt], *, gap: float = 1e-3
) -> list[tuple[int, ...]]:
    """What the library writes to one prompt at a time, by its plainest settings.

    The best two logits lie further apart than `gap`, so that rounding decides nothing.
    """
    found = []
    for prompt in prompts:
        ids = torch.tensor([prompt.encoded.token_ids])
        result = scorer.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(
                do_sample=False,
                num_beams=1,
                repetition_penalty=1.0,
                max_new_tokens=prompt.max_new_tokens,
                eos_token_id=sorted(scorer.end_ids) or None,
                pad_token_id=scorer.pad_id,
                output_logits=True,
                return_dict_in_generate=True,
            ),
        )
        for logits in result.logits:
            first, second = logits[0].topk(2).values
            assert first - second > gap
        new = result.sequences[0, ids.shape[1] :].tolist()
        found.append(tuple(token for token in new if token not in scorer.end_ids))
    return found


def together(scorer: PolicyScorer, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
    _, found = scorer.score_and_generate((), prompts)
    assert all(one.text is not None for one in found)
    return [one.token_ids for one in found]


def ending(scorer: PolicyScorer, prompts: Sequence[Prompt]) -> PolicyScorer:
    """The same model, with end tokens that answers reach at different lengths."""
    written = alone(dataclasses.replace(scorer, end_ids=frozenset()), prompts)
    ends = frozenset({written[0][0], written[1][1], written[2][-1]})
    found = dataclasses.replace(scorer, end_ids=ends)
    lengths = {len(one) for one in alone(found, prompts)}
    assert 0 in lengths and len(lengths) > 2
    return found


# -- what is written -----------------------------------------------------------


@pytest.mark.parametrize("name", CAUSAL)
def test_tries_write_what_one_at_a_time_writes(name: str, tmp_path: Path) -> None:
    base = scorer_of(checkpoint(tmp_path, tiny_config(name)), batch_tokens=150)
    prompts = [base.prompt(one) for one in ITEMS]
    assert min(one.encoded.n_prompt_tokens for one in prompts) > 2 * WINDOW
    assert base.generation.startswith("tree (self-test")
    expected = alone(base, prompts)
    assert len(set(expected)) > 4
    assert together(base, prompts) == expected
    # Ended rows leave the batch, and others take their place.
    ended = ending(base, prompts)
    assert together(ended, prompts) == alone(ended, prompts)


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt2"])
def test_batches_write_what_one_at_a_time_writes(name: str, tmp_path: Path) -> None:
    base = scorer_of(checkpoint(tmp_path, tiny_config(name)))
    prompts = [base.prompt(one) for one in ITEMS]
    batches = with_choice(ending(base, prompts), "batches")
    assert batches.generation == "batches (test)"
    assert together(batches, prompts) == alone(batches, prompts)


def test_a_family_without_tries_is_padded_only_where_that_changes_nothing(
    tmp_path: Path,
) -> None:
    """Bloom's positions skip padding, the state of RWKV takes it for text."""
    shape = {"hidden_size": 32, "num_hidden_layers": 2}
    families = (
        (True, BloomConfig(**shape, n_head=4)),
        (False, RwkvConfig(**shape, attention_hidden_size=32, context_length=128)),
    )
    for padded, config in families:
        scorer = scorer_of(checkpoint(tmp_path / config.model_type, config))
        assert scorer.generation.startswith("batches (")
        assert generate._pads_left(scorer.model, scorer.pad_id) is padded
        prompts = [scorer.prompt(one) for one in ITEMS]
        assert together(scorer, prompts) == alone(scorer, prompts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("policy") / "tiny", tiny_config("llama"))


@pytest.fixture(scope="module")
def tiny(folder: Path) -> PolicyScorer:
    return scorer_of(folder)


def test_scores_are_the_same_beside_generations(tiny: PolicyScorer) -> None:
    encoded = [one for asked in ITEMS for one in tiny.encode(asked)]
    prompts = [tiny.prompt(asked) for asked in ITEMS]
    scores, found = tiny.score_and_generate(encoded, prompts)
    assert [one.token_ids for one in found] == alone(tiny, prompts)
    for ours, plain in zip(scores, tiny.score(encoded), strict=True):
        for measure, value in plain.items():
            assert ours[measure] == pytest.approx(value, abs=1e-4)


def test_limited_memory_and_small_packs_change_nothing(
    tiny: PolicyScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tiny.prompt(asked) for asked in ITEMS]
    expected = together(tiny, prompts)
    calls = []
    real = decode._Batch.write

    def counted(self: decode._Batch, head: decode.Head) -> object:
        calls.append(len(self._members))
        return real(self, head)

    monkeypatch.setattr(decode._Batch, "write", counted)
    monkeypatch.setattr(decode, "CACHE_BYTES", 60_000)
    small = dataclasses.replace(tiny, batch_tokens=64)
    assert together(small, prompts) == expected
    assert len(calls) > 2 and sum(calls) == len(ITEMS)


def test_rows_of_unlike_length_are_blocks_of_their_own() -> None:
    """Else most rows would mostly attend to padding."""
    lengths = [40, 100, 41, 90, 80, 30, 29]
    made = rows._blocks(lengths, [5, 1, 2, 3, 0, 9, 9], 0.75)
    assert [block.members for block in made] == [[1, 3, 4], [2, 0], [5, 6]]
    for block in made:
        longest = max(lengths[index] for index in block.members)
        for index, pad in zip(block.members, block.pads, strict=True):
            assert lengths[index] + pad == longest and pad <= longest / 4
    assert [block.n_columns for block in made] == [103, 46, 39]
    [whole] = rows._blocks(lengths, [1] * 7, 0.0)
    assert len(whole.members) == 7 and whole.n_columns == 101


def test_a_gpu_continues_more_prompts_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a model with many heads, a gigabyte holds a handful of prompts."""
    sizes = {"small": 8 * 2**30, "large": 80 * 2**30}
    for name, bound in (("small", decode.CACHE_BYTES), ("large", 10 * 2**30)):
        found = SimpleNamespace(total_memory=sizes[name])
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda _, found=found: found
        )
        assert decode._bound(torch.device("cuda", 0)) == bound
    assert decode._bound(torch.device("cpu")) == decode.CACHE_BYTES


def test_answers_to_a_long_prompt_share_it(
    tiny: PolicyScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt longer than a pack is read once, not once for each answer."""
    letters = tuple(Candidate(id=one, answer=one) for one in "ABCD")
    asked = item(4, candidates=letters)
    encoded, prompt = tiny.encode(asked), tiny.prompt(asked)
    length = prompt.encoded.n_prompt_tokens
    sizes: list[int] = []
    real = tree_attention.hidden_states

    def counted(backbone: object, pack: tree.Pack, cache: object = None) -> object:
        sizes.append(len(pack))
        return real(backbone, pack, cache)  # type: ignore[arg-type]

    small = dataclasses.replace(tiny, batch_tokens=length // 2)
    assert small.generation.startswith("tree")
    monkeypatch.setattr(tree_attention, "hidden_states", counted)
    scores, _ = small.score_and_generate(encoded, [prompt])
    assert small.score(encoded)[0].keys() == scores[0].keys()
    assert len(sizes) == 2 and max(sizes) <= length + length // 4
    # What fits is packed as asked for.
    sequences = [tree.Sequence(token_ids=prompt.encoded.token_ids, read=None)]
    assert engine.pack_tokens(sequences, length) == length
    assert engine.pack_tokens(sequences, length - 1) == length + length // 4


def test_equal_prompts_are_answered_once_and_shorter_limits_cut(
    tiny: PolicyScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tiny.prompt(item(2, asked=n)) for n in (6, 2, 6)]
    heads: list[int] = []
    real = VocabularyHead.best

    def counted(self: VocabularyHead, hidden: torch.Tensor) -> torch.Tensor:
        heads.append(len(hidden))
        return real(self, hidden)

    monkeypatch.setattr(VocabularyHead, "best", counted)
    long, short, again = together(tiny, prompts)
    assert heads == [2, 2, 1, 1, 1, 1]
    assert long == again and len(long) == 6 and short == long[:2]


def test_the_checkpoints_own_settings_are_not_used(
    folder: Path, tmp_path: Path
) -> None:
    """Penalties and sampling of a checkpoint would change what is most probable."""
    plain = scorer_of(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=9.0,
        repetition_penalty=9.0,
        suppress_tokens=[t for one in together_of(plain) for t in one],
        eos_token_id=[2, 5],
    )
    model.save_pretrained(tmp_path)
    byte_tokenizer(chat_template=CHAT_TEMPLATE).save_pretrained(tmp_path)
    settings = scorer_of(tmp_path)
    # The checkpoint's, and every mark of the tokenizer but the unknown token.
    assert settings.end_ids == {1, 2, 3, 4, 5, 6}
    settings = dataclasses.replace(settings, end_ids=plain.end_ids)
    for one in (settings, with_choice(settings, "batches")):
        assert together_of(one) == together_of(plain)


def together_of(scorer: PolicyScorer) -> list[tuple[int, ...]]:
    return together(scorer, [scorer.prompt(asked) for asked in ITEMS])


def test_a_mark_of_the_chat_format_ends_an_answer(folder: Path, tmp_path: Path) -> None:
    """Who learned no end goes on as the next speaker, by a mark that is no EOS."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    mark = tokenizer.convert_tokens_to_ids("<|user|>")
    assert mark not in tokenizer.all_special_ids
    before = scorer_of(folder)
    prompt = before.prompt(ITEMS[0])
    written = alone(before, [prompt])[0]
    assert len(written) > 1
    # What the model says first is made its mark, by the rows of its output layer.
    rows = model.lm_head.weight.data
    rows[[mark, written[1]]] = rows[[written[1], mark]]
    model.config.tie_word_embeddings = False
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    after = scorer_of(tmp_path)
    for one in (after, with_choice(after, "batches")):
        assert together(one, [prompt]) == [written[:1]]


def test_end_at_the_first_token_is_an_empty_text(tiny: PolicyScorer) -> None:
    prompt = tiny.prompt(ITEMS[0])
    [written] = alone(tiny, [prompt])
    for name in ("tree", "batches"):
        ended = with_choice(
            dataclasses.replace(tiny, end_ids=frozenset(written[:1])), name
        )
        assert ended.score_and_generate((), [prompt]) == (
            [],
            [Generation(text="", token_ids=())],
        )


def test_the_most_probable_token_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probe.models.policy._VOCABULARY_BLOCK", 4)
    head = VocabularyHead(weight=torch.eye(10), bias=None, transform=lambda x: x)
    rows = torch.zeros(5, 10)
    rows[0, 7] = rows[1, 2] = rows[1, 9] = 1.0
    rows[2, 1], rows[2, 9] = torch.nan, 5.0
    rows[3] = -torch.inf
    # A product with a weight of zero is no number, so states are logits here.
    monkeypatch.setattr(VocabularyHead, "logits", lambda _, x, a, b: x[:, a:b])
    assert head.best(rows).tolist() == [7, 2, -1, -1, 0]


def test_a_cache_that_goes_wrong_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-test tells a wrong mask from rounding, and generation falls back."""
    scorer = scorer_of(checkpoint(tmp_path, tiny_config("mistral")))
    assert decode.self_test(scorer.model.base_model) < 1e-4
    prompts = [scorer.prompt(asked) for asked in ITEMS]
    expected = together(scorer, prompts)
    # As if decoding forgot the window.
    monkeypatch.setattr(
        rows.tree_support, "windows", lambda _: {"full_attention": None}
    )
    misled = with_choice(scorer, "tree")
    assert misled.generation.startswith("batches (self-test: decoded and plain states")
    assert together(misled, prompts) == expected


def test_no_number_gives_no_text_and_does_not_spread(
    folder: Path, tmp_path: Path
) -> None:
    hit = 4
    content = f"{ITEMS[hit].messages[0].content} £"
    message = Message(role="user", content=content)
    items = list(ITEMS)
    items[hit] = dataclasses.replace(items[hit], messages=(message,))
    healthy = run(folder, items, tmp_path / "a")
    encoder = scorer_of(folder).encoder
    kinds = [set(encoder.prompt(asked).encoded.token_ids) for asked in items]
    token = min(kinds.pop(hit) - set().union(*kinds))
    damaged = tmp_path / "damaged"
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.save_pretrained(damaged)
    encoder.tokenizer.save_pretrained(damaged)
    weights = load_file(damaged / "model.safetensors")
    weights["model.embed_tokens.weight"][token] = torch.inf
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    path = run(damaged, items, tmp_path / "b")
    found, before = texts(load_run(path)), texts(load_run(healthy))
    assert found.index.equals(before.index)
    name = f"q{hit}"
    assert pd.isna(found.loc[name, "text"])
    assert "no finite logit" in str(found.loc[name, "error"])
    rest = [one for one in found.index if one != name]
    # A healthy model may write the damaged token, where this one stops.
    batches = with_choice(scorer_of(damaged), "batches")
    prompts = [batches.prompt(asked) for asked in items]
    _, alone_or_not = batches.score_and_generate((), prompts)
    assert [one.text for one in alone_or_not] == [
        None if pd.isna(text) else text for text in found["text"]
    ]
    whole = found.loc[rest].dropna(subset="text")
    assert len(whole) > 4
    assert (whole["text"] == before.loc[whole.index, "text"]).all()
    lost = found["text"].isna().sum()
    scores = read_scores(path).to_pandas()
    nan = scores[scores["measure"] != Measure.TEXT]["score"].isna().sum()
    assert read_manifest(path).counts.unscored == lost + nan


# -- stop strings ------------------------------------------------------------------


def cut_by_hand(
    scorer: PolicyScorer, ids: Sequence[int], stop: Sequence[str]
) -> Generation:
    """All tokens decoded and stripped, and cut at the stop string that ends first."""

    def read(k: int) -> str:
        tokenizer = scorer.encoder.tokenizer
        return str(tokenizer.decode(ids[:k], skip_special_tokens=True))

    text = read(len(ids)).strip()
    ends = [(text.index(one) + len(one), -len(one)) for one in stop if one in text]
    n_tokens = len(ids)
    if ends:
        text = text[: sum(min(ends))].strip()
        n_tokens = next(
            k
            for k in range(len(ids))
            if any(one in read(k + 1).lstrip() for one in stop)
        )
    return Generation(text=text, token_ids=tuple(ids[:n_tokens]))


def spelt(scorer: PolicyScorer, token: int) -> str:
    return str(scorer.encoder.tokenizer.decode([token]))


def plain(text: str) -> bool:
    return text.strip() == text != "" and text.isprintable() and "\ufffd" not in text


def planted(
    scorer: PolicyScorer, written: Sequence[tuple[int, ...]]
) -> list[tuple[str, ...]]:
    """Stop strings for each answer, taken from what is written without them."""
    found: list[tuple[str, ...]] = []
    for number, ids in enumerate(written):
        words = [spelt(scorer, token) for token in ids]
        whole = [word for word in words if plain(word)]
        pairs = [
            one[-1] + two[0]
            for one, two in pairwise(words)
            if plain(one) and plain(two)
        ]
        choices = {
            0: whole[:1],
            1: whole[-1:],
            2: pairs[-1:],
            3: [*pairs[:1], *whole[-2:]],
            4: ["never written"],
        }
        found.append(tuple(choices[number % 5]))
    return found


@pytest.fixture(scope="module", params=["llama", "gemma3", "gemma2"])
def stopping(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PolicyScorer, list[Prompt], list[Generation]]:
    """Prompts with planted stop strings, and what has to come of each."""
    folder = tmp_path_factory.mktemp("stop") / "tiny"
    scorer = scorer_of(checkpoint(folder, tiny_config(request.param), seed=1))
    prompts = [scorer.prompt(item(number, asked=14)) for number in range(20)]
    written = alone(scorer, prompts, gap=1e-4)
    # One end token, that some answers reach before their stop string.
    ends = frozenset({written[7][5]})
    scorer = dataclasses.replace(scorer, end_ids=ends)
    written = alone(scorer, prompts, gap=1e-4)
    strings = planted(scorer, written)
    # The very first token, and the very last.
    first = next(n for n, ids in enumerate(written) if plain(spelt(scorer, ids[0])))
    strings[first] = (spelt(scorer, written[first][0]),)
    prompts = [
        dataclasses.replace(prompt, stop=stop)
        for prompt, stop in zip(prompts, strings, strict=True)
    ]
    expected = [
        cut_by_hand(scorer, ids, stop)
        for ids, stop in zip(written, strings, strict=True)
    ]
    return scorer, prompts, expected


def test_planted_stop_strings_are_of_every_kind(
    stopping: tuple[PolicyScorer, list[Prompt], list[Generation]],
) -> None:
    """Else the test that follows would show little."""
    _, prompts, expected = stopping
    lengths = [len(one.token_ids) for one in expected]
    assert 0 in lengths and max(lengths) == 14
    assert len(set(lengths)) > 4
    assert sum(not prompt.stop for prompt in prompts) < len(prompts) / 2


@pytest.mark.parametrize("way", ["tree", "padded", "single"])
def test_stop_strings_end_what_one_at_a_time_writes(
    stopping: tuple[PolicyScorer, list[Prompt], list[Generation]],
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorer, prompts, expected = stopping
    if way == "tree":
        assert scorer.generation.startswith("tree (self-test")
    else:
        scorer = with_choice(scorer, "batches")
        monkeypatch.setattr(generate, "_pads_left", lambda *_: way == "padded")
    _, found = scorer.score_and_generate((), prompts)
    assert found == expected


@pytest.mark.parametrize("way", ["tree", "batches"])
def test_a_stop_string_at_the_limit_ends_in_time(tiny: PolicyScorer, way: str) -> None:
    """As many tokens as asked for would mean that an answer did not end."""
    scorer = with_choice(tiny, way)
    for number in range(9):
        prompt = tiny.prompt(item(number, asked=12))
        [ids] = alone(tiny, [prompt])
        word = spelt(tiny, ids[-1]) if len(ids) == 12 else ""
        before = tiny.encoder.decode(ids[:-1])
        if plain(word) and word not in before:
            break
    else:
        raise AssertionError("no prompt ends with a new word")
    stopped = dataclasses.replace(prompt, stop=(word,))
    _, [never, found] = scorer.score_and_generate((), [prompt, stopped])
    assert found == Generation(text=before, token_ids=ids[:-1])
    assert never.token_ids == ids


def test_one_prompt_with_other_stop_strings_is_another_request(
    tiny: PolicyScorer,
) -> None:
    prompt = tiny.prompt(item(2, asked=12))
    [ids] = alone(tiny, [prompt])
    words = [spelt(tiny, token) for token in ids]
    stops = [(), *((word,) for word in words if plain(word))]
    assert len(stops) > 2
    prompts = [dataclasses.replace(prompt, stop=stop) for stop in stops]
    for name in ("tree", "batches"):
        _, found = with_choice(tiny, name).score_and_generate((), prompts)
        assert found == [cut_by_hand(tiny, ids, stop) for stop in stops]


def spell(encoder: Encoder, *tokens: str) -> list[int]:
    return [encoder.tokenizer.convert_tokens_to_ids(one) for one in tokens]


def test_bytes_of_one_character_stop_when_it_is_complete() -> None:
    encoder = encoder_of(byte_tokenizer(), "{user} {assistant}")
    ids = plain_ids(encoder, "one") + spell(encoder, "Ã", "©", "Ċ", "Ċ", "x")
    assert encoder.decode(ids) == "oneé\n\nx"
    assert [encoder.stopped(ids[:k], ("é",)) for k in range(len(ids) - 4, 9)][:2] == [
        False,
        True,
    ]
    stop = ("\n\n",)
    stopped = [encoder.stopped(ids[:k], stop) for k in range(len(ids) + 1)]
    assert stopped == [False] * (len(ids) - 1) + [True] * 2
    assert encoder.decode(ids, stop) == "oneé"
    # A character that is never finished holds nothing.
    assert not encoder.stopped(ids[: len(ids) - 4], ("é", "©"))


def sentencepiece_like() -> PreTrainedTokenizerFast:
    """A leading space that decoding drops, and bytes for what is not in the words."""
    pieces = ["<unk>", "<s>", "</s>", "▁I", "▁am", "▁", "am", "I", "."]
    pieces += [f"<0x{byte:02X}>" for byte in range(256)]
    backend = Tokenizer(
        token_models.BPE(
            vocab={piece: number for number, piece in enumerate(pieces)},
            merges=[],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.mark.parametrize(
    ("tokens", "stop", "text", "at"),
    [
        # A piece alone loses its space, and does not among others.
        (("▁I", "▁am", "."), (" am",), "I", 2),
        (("▁am", "▁I"), (" am",), "am I", None),
        # A line break is a byte; white space in front is no blank line.
        (("<0x0A>", "<0x0A>", "▁I", "<0x0A>", "<0x0A>"), ("\n\n",), "I", 5),
        # A blank line holds though a letter's first byte follows.
        (("▁I", "<0x0A>", "<0x0A>", "<0xC3>"), ("\n\n",), "I", 3),
        (("▁I", "<0xC3>", "<0xA9>", "."), ("é",), "I", 3),
        # Special tokens are no text.
        (("▁I", "</s>", "."), ("</s>",), "I.", None),
        # The string that is complete first; of two, the longer.
        (("I", "am", "."), ("Iam.", "a"), "I", 2),
        (("I", "am", "."), ("m", "am"), "I", 2),
    ],
)
def test_decoding_a_beginning_misleads_nobody(
    tokens: tuple[str, ...], stop: tuple[str, ...], text: str, at: int | None
) -> None:
    encoder = encoder_of(sentencepiece_like(), "{user} {assistant}")
    ids = spell(encoder, *tokens)
    draft = decode.Draft(
        decode.Request(token_ids=(1,), limit=9, stop=stop),
        decode.Ending(end_ids=frozenset(), stopped=encoder.stopped),
    )
    going = [draft.add(token) for token in ids[:at]]
    assert going == [True] * (len(going) - 1) + [at is None]
    assert draft.written == tuple(ids[:at])
    assert encoder.decode(ids[:at], stop) == text


# -- the prompt ------------------------------------------------------------------


def encoder_of(
    tokenizer: PreTrainedTokenizerFast, template: str, **fields: object
) -> Encoder:
    given = {"name": "m", "kind": "policy", "weights": "w", "template": template}
    return Encoder(tokenizer, ModelConfig(**(given | fields)))  # type: ignore[arg-type]


def plain_ids(encoder: Encoder, text: str) -> list[int]:
    return list(encoder._backend.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(
    ("template", "before"),
    [
        # The blank is part of the answer's first token.
        ("{user} {assistant}", "{user}"),
        ("[INST] {user} [/INST] {assistant}</s>", "[INST] {user} [/INST]"),
        # Of two, the first is a token of its own.
        ("{user}  {assistant}", "{user} "),
        # A line break never joins a word.
        ("{user}\n{assistant}", "{user}\n"),
        ("{user}\n {assistant}", "{user}\n"),
        ("{user}:{assistant}", "{user}:"),
    ],
)
@pytest.mark.parametrize("tokenizer", [byte_tokenizer, metaspace_tokenizer])
def test_blanks_before_the_answer(
    tokenizer: object, template: str, before: str
) -> None:
    encoder = encoder_of(tokenizer(), template)  # type: ignore[operator]
    asked = ITEMS[1]
    found = encoder.prompt(asked).encoded
    text = before.replace("{user}", asked.messages[0].content)
    assert list(found.token_ids) == [encoder.bos_id, *plain_ids(encoder, text)]
    assert found.n_answer_tokens == 0 and found.candidate_id == GENERATED
    # Scored answers begin with the same tokens: a trie shares them.
    for one in encoder.encode(asked):
        assert one.token_ids[: len(found.token_ids)] == found.token_ids


def test_a_chat_template_is_read_up_to_the_answer() -> None:
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    encoder = encoder_of(tokenizer, "tokenizer")
    found = encoder.prompt(ITEMS[0]).encoded
    assert tokenizer.decode(found.token_ids) == (
        f"<s><|user|>\n{ITEMS[0].messages[0].content}</s>\n<|assistant|>\n"
    )
    assert encoder.leading_bos(found.token_ids) == 1


def test_a_template_whose_end_joins_the_answer_is_read_whole() -> None:
    backend = Tokenizer(token_models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["say:A", "cry:A", "x:A"] * 9, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>"
    )
    encoder = encoder_of(tokenizer, "{user}:{assistant}", bos="exactly_one")
    assert tokenizer.tokenize(":A") == [":A"]
    found = encoder.prompt(ITEMS[0]).encoded
    text = f"{ITEMS[0].messages[0].content}:"
    assert list(found.token_ids) == [encoder.bos_id, *plain_ids(encoder, text)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_long_prompt_leaves_room_for_the_answer(side: str) -> None:
    whole = encoder_of(byte_tokenizer(), "{user} {assistant}").prompt(ITEMS[4])
    length = whole.encoded.n_prompt_tokens
    asked = whole.max_new_tokens
    fields = {"truncation_side": side, "max_tokens": length + asked - 4}
    short = encoder_of(byte_tokenizer(), "{user} {assistant}", **fields)
    found = short.prompt(ITEMS[4]).encoded
    ids = whole.encoded.token_ids
    kept = ids[1:-4] if side == "right" else ids[5:]
    assert found.token_ids == (ids[0], *kept)
    assert found.truncated_tokens == 4
    assert found.n_prompt_tokens + asked == short.config.max_tokens
    exact = encoder_of(
        byte_tokenizer(), "{user} {assistant}", max_tokens=length + asked
    )
    assert exact.prompt(ITEMS[4]) == whole


def test_a_long_prompt_can_be_an_error() -> None:
    fields = {"on_overflow": "error", "max_tokens": 20}
    encoder = encoder_of(byte_tokenizer(), "{user} {assistant}", **fields)
    with pytest.raises(DataError, match=r"'q4'.* an answer of up to 3.*`max_tokens`"):
        encoder.prompt(ITEMS[4])


def test_no_room_for_any_token_is_an_error() -> None:
    encoder = encoder_of(
        byte_tokenizer(bos=None), "{user} {assistant}", bos="none", max_tokens=3
    )
    with pytest.raises(DataError, match="no token before its answer"):
        encoder.prompt(ITEMS[4])


# -- runs ------------------------------------------------------------------------


def run(ref: Path, items: list[Item], root: Path, limit: int | None = None) -> Path:
    settings = Settings(runs=root, device="cpu")
    prepared = audit.prepare(audit.configure(str(ref), settings), settings)
    load = audit.loader(prepared)
    return audit.score_probe(
        prepared, PROBE, items, BuildOptions(), limit=limit, load=load
    ).path


def test_a_run_stores_scores_and_texts(folder: Path, tmp_path: Path) -> None:
    path = run(folder, ITEMS, tmp_path)
    manifest = read_manifest(path)
    assert manifest.measures == ("logprob_sum", "logprob_mean", "text")
    assert manifest.engine is not None
    assert "; generation: tree (self-test" in manifest.engine
    counts = manifest.counts
    assert (counts.expected, counts.done, counts.unscored) == (27, 27, 0)
    assert ls_runs(tmp_path)[0][2:] == ("27/27 pairs", "0 unscored")
    scorer = scorer_of(folder)
    expected = alone(scorer, [scorer.prompt(asked) for asked in ITEMS])
    table = read_scores(path).to_pandas()
    stored = table[table["candidate_id"] == GENERATED]
    assert stored["item_id"].tolist() == [asked.id for asked in ITEMS]
    assert set(stored["measure"]) == {"text"} and stored["score"].isna().all()
    assert stored["error"].isna().all()
    assert stored["text"].tolist() == [scorer.encoder.decode(one) for one in expected]
    assert stored["n_answer_tokens"].tolist() == [len(one) for one in expected]
    assert (stored["n_prompt_tokens"] > 10).all()
    assert table[table["candidate_id"] != GENERATED]["text"].isna().all()
    items = read_items(path).to_pandas()
    own = items[items["candidate_id"] == GENERATED]
    assert len(own) == 9 and set(own["answer"]) == {""} and own["word"].isna().all()
    assert set(own["parity"]) == {"even", "odd"}


def test_analysis_keeps_texts_apart_from_scores(folder: Path, tmp_path: Path) -> None:
    loaded = load_run(run(folder, ITEMS, tmp_path / "a"))
    assert len(loaded.frame) == 18 and loaded.frame["score"].notna().all()
    assert GENERATED not in set(loaded.frame["candidate_id"])
    found = texts(loaded)
    assert found.index.tolist() == [asked.id for asked in ITEMS]
    assert found["text"].map(type).eq(str).all()
    assert found["n_answer_tokens"].dtype == "float64"
    plain = [dataclasses.replace(asked, max_new_tokens=None) for asked in ITEMS]
    silent = run(folder, plain, tmp_path / "b")
    assert read_manifest(silent).measures == ("logprob_sum", "logprob_mean")
    assert read_items(silent).num_rows == read_manifest(silent).counts.done == 18
    none = texts(load_run(silent))
    assert none.empty and list(none.columns) == list(found.columns)
    pd.testing.assert_series_equal(
        load_run(silent).frame["score"], loaded.frame["score"], rtol=1e-5
    )


def test_a_reward_model_is_not_asked(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    path = run(llama_classifier(tmp_path / "rm", tokenizer), ITEMS, tmp_path / "runs")
    manifest = read_manifest(path)
    assert manifest.measures == ("reward",) and manifest.counts.done == 18
    assert GENERATED not in set(read_items(path)["candidate_id"].to_pylist())
    assert texts(load_run(path)).empty


def test_interrupted_and_resumed_equals_uninterrupted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six candidates a group: three groups of items.
    monkeypatch.setattr(score.groups, "__defaults__", (6, 10_000))
    whole = run(folder, ITEMS, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(score, "_score_group", stop_after(1))
        with pytest.raises(InterruptedRunError, match="9 of 27"):
            run(folder, ITEMS, tmp_path / "halved")
    [halved] = (tmp_path / "halved").glob("*@*/*@*")
    assert len(texts(load_run(halved))) == 3
    assert load_run(halved).frame["score"].notna().sum() == 6
    assert run(folder, ITEMS, tmp_path / "halved") == halved
    pd.testing.assert_frame_equal(frame(whole), frame(halved), check_exact=True)
    assert read_manifest(halved).counts == read_manifest(whole).counts


def test_a_larger_limit_generates_only_what_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, ITEMS[:4], tmp_path, limit=4)
    asked: list[str] = []
    real = PolicyScorer.prompt

    def counted(self: PolicyScorer, given: Item) -> Prompt:
        asked.append(given.id)
        return real(self, given)

    monkeypatch.setattr(PolicyScorer, "prompt", counted)
    path = run(folder, ITEMS, tmp_path)
    assert asked == [one.id for one in ITEMS[4:]]
    assert read_manifest(path).counts.done == 27
    assert len(texts(load_run(path))) == 9
    # A call whose items ask for nothing forgets no text.
    plain = [dataclasses.replace(asked, max_new_tokens=None) for asked in ITEMS[:1]]
    assert run(folder, plain, tmp_path) == path
    assert read_manifest(path).counts == read_manifest(path).counts
    assert read_manifest(path).measures[-1] == "text"
    assert read_manifest(path).counts.done == 27


def test_texts_asked_for_later_score_nothing_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = [dataclasses.replace(asked, max_new_tokens=None) for asked in ITEMS]
    before = frame(run(folder, plain, tmp_path))
    encoded: list[str] = []
    monkeypatch.setattr(
        PolicyScorer, "encode", lambda _, given: encoded.append(given.id)
    )
    path = run(folder, ITEMS, tmp_path)
    after = frame(path)
    assert encoded == [] and len(texts(load_run(path))) == 9
    pd.testing.assert_frame_equal(before, after.loc[before.index], check_exact=True)
    assert read_manifest(path).counts.done == 27


def test_a_truncated_prompt_is_kept_flagged_and_counted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = texts(load_run(run(folder, ITEMS, tmp_path / "a")))
    lengths = whole["n_prompt_tokens"] + [asked.max_new_tokens for asked in ITEMS]
    file = tmp_path / "short.yaml"
    fields = {"name": "short", "kind": "policy", "weights": str(folder)}
    limit = int(lengths.max()) - 2
    file.write_text(yaml.safe_dump({**fields, "max_tokens": limit}))
    path = run(file, ITEMS, tmp_path / "b")
    found = texts(load_run(path))
    cut = found["truncated_tokens"] > 0
    assert 0 < cut.sum() == (lengths > limit).sum() < len(ITEMS)
    scores = load_run(path).frame
    candidates = (scores["truncated_tokens"] > 0).sum()
    total = cut.sum() + candidates
    assert read_manifest(path).counts.truncated == total
    assert (found["text"][~cut] == whole["text"][~cut]).all()
    # What was cut is there, with what its shortened prompt gave.
    assert found["text"].notna().all() and found["error"].isna().all()
    cli._say_counts(path)
    assert f"27 of 27 scored, {total} truncated" in capsys.readouterr().out
    # The same prompts as an error: nothing is cut, and the first is named.
    strict = tmp_path / "strict.yaml"
    fields |= {"name": "strict", "max_tokens": limit, "on_overflow": "error"}
    strict.write_text(yaml.safe_dump(fields))
    name = found.index[cut][0]
    with pytest.raises(DataError, match=rf"item '{name}'.* `max_tokens` = {limit}"):
        run(strict, ITEMS, tmp_path / "c")


def test_item_rows_know_what_was_asked() -> None:
    """A changed limit or stop string is another item; without texts it is the same."""
    shas = [
        item_rows([item(1, asked, stop=stop)], generated=True)[2].text_sha
        for asked, stop in ((3, ()), (4, ()), (4, ("\n\n",)), (4, ("\n",)))
    ]
    assert len(set(shas)) == 4
    # As runs have it that were stored before there were stop strings.
    assert shas[0] == "cd3a3efb818d6bec"
    assert item_rows([item(1, asked=3)]) == item_rows([item(1, 4, stop=("\n",))])
