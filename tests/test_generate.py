"""Greedy generation: every engine writes what one prompt at a time writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

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
from probe import audit, score
from probe.audit import Settings
from probe.config import ModelConfig
from probe.encode import Encoder, Prompt
from probe.listing import ls_runs
from probe.models import (
    Generation,
    decode,
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
    assert settings.end_ids == {2, 5}
    settings = dataclasses.replace(settings, end_ids=plain.end_ids)
    for one in (settings, with_choice(settings, "batches")):
        assert together_of(one) == together_of(plain)


def together_of(scorer: PolicyScorer) -> list[tuple[int, ...]]:
    return together(scorer, [scorer.prompt(asked) for asked in ITEMS])


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
    weights["model.embed_tokens.weight"][token] = torch.nan
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    path = run(damaged, items, tmp_path / "b")
    found, before = texts(load_run(path)), texts(load_run(healthy))
    assert found.index.equals(before.index)
    name = f"q{hit}"
    assert pd.isna(found.loc[name, "text"])
    assert "no finite logit" in str(found.loc[name, "error"])
    rest = [one for one in found.index if one != name]
    # A healthy model may write the damaged token, where this one stops.
    whole = found.loc[rest].dropna(subset="text")
    assert len(whole) > 4
    assert (whole["text"] == before.loc[whole.index, "text"]).all()
    lost = found["text"].isna().sum()
    scores = read_scores(path).to_pandas()
    nan = scores[scores["measure"] != Measure.TEXT]["score"].isna().sum()
    assert read_manifest(path).counts.unscored == lost + nan


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
    encoder = encoder_of(tokenizer, "{user}:{assistant}")
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


def test_a_truncated_prompt_is_counted(folder: Path, tmp_path: Path) -> None:
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
    assert read_manifest(path).counts.truncated == cut.sum() + candidates
    assert (found["text"][~cut] == whole["text"][~cut]).all()


def test_item_rows_know_what_was_asked() -> None:
    """A changed limit is another item; a run without texts does not see it."""
    [short] = item_rows([item(1, asked=3)], generated=True)[2:]
    [long] = item_rows([item(1, asked=4)], generated=True)[2:]
    assert short.text_sha != long.text_sha
    assert item_rows([item(1, asked=3)]) == item_rows([item(1, asked=4)])
