"""A policy with its chat template and without, as a user asks for both."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import spearmanr
from transformers import AutoTokenizer
from typer.testing import CliRunner, Result

from probe import audit
from probe.audit import Settings, configure, plain, prepare
from probe.cli import app
from probe.config import ModelConfig
from probe.models import (
    fingerprint,
    load_encoder,
    resolve_model,
    resolve_weights,
    weights,
)
from probe.models.resolve import BASE_TEMPLATE
from probe.store import find_runs, read_manifest, read_scores
from probe.types import (
    Candidate,
    ConfigError,
    DataError,
    Item,
    Message,
    UsageError,
)
from tests import reference
from tests.tiny_checkpoints import (
    CHAT_TEMPLATE,
    byte_tokenizer,
    cls_sep_tokenizer,
    llama_classifier,
    llama_policy,
)

PLAIN = Settings(template="plain")
COUNTRIES = (
    "CAN",
    "GBR",
    "FRA",
    "JPN",
    "DEU",
    "IND",
    "EGY",
    "BRA",
    "MEX",
    "CHN",
    "IRN",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))


def policy(folder: Path, tokenizer: Any = None, **keys: str) -> Path:
    """A YAML beside a tiny policy's folder."""
    tokenizer = tokenizer or byte_tokenizer(chat_template=CHAT_TEMPLATE)
    llama_policy(folder / "weights", tokenizer)
    settings = {"name": "tiny", "kind": "policy", "weights": "weights", **keys}
    file = folder / "tiny.yaml"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def printed(result: Result) -> dict[str, str]:
    """Label -> value of what `show` prints."""
    assert result.exception is None, result.exception
    lines = [line for line in result.stdout.splitlines() if line]
    return {line[:11].strip(): line[12:] for line in lines}


def test_show_prints_both_texts(tmp_path: Path) -> None:
    file = policy(tmp_path)
    chat = printed(call("show", "where_from", file))
    bare = printed(call("show", "where_from", file, "--template", "plain"))
    assert chat["text"].startswith("'<s><|user|>\\nWhere are you from?</s>\\n")
    assert bare["text"] == "'Where are you from? I am from Aruba'"
    assert bare["answer"] == chat["answer"] == "' Aruba'"
    assert bare["BOS"] == "1 (tokenizer)"


def test_show_prints_what_is_answered_in_own_words(
    tmp_path: Path, shared_data: Path
) -> None:
    shown = call("show", "tydiqa", policy(tmp_path), "--data", shared_data)
    assert shown.exception is None, shown.exception
    asked, scored = shown.stdout.split("item  ")[1:]
    assert "answered in its own words" in asked.partition("\n")[0]
    assert "ends        after 50 tokens, or at '\\n\\n'" in asked
    assert "answer span" in scored and "reference-1" in scored


def test_runs_of_both_stand_side_by_side(tmp_path: Path) -> None:
    file, runs = policy(tmp_path), tmp_path / "runs"
    score = ("score", "country_questions", file, "--limit", "2", "--runs", runs)
    score += ("--countries", ",".join(COUNTRIES))
    for more in ((), ("--template", "plain"), ("--template", "config")):
        result = call(*score, *more)
        assert result.exception is None, result.exception
    manifests = [read_manifest(path) for path in find_runs(runs)]
    assert {one.model for one in manifests} == {"tiny", "tiny-plain"}
    assert len({one.fingerprint for one in manifests}) == len(manifests) == 2
    both = {one.model: one.config for one in manifests}
    assert both["tiny"]["template"] == "tokenizer"
    assert both["tiny-plain"]["template"] == BASE_TEMPLATE

    result = call("correlate", runs, "--opinions", "gallup_2023", "--json")
    assert result.exception is None, result.exception
    records = json.loads(result.stdout)
    correlated = {one["model"] for one in records if one["metric"] == "spearman_order"}
    assert correlated == {"tiny", "tiny-plain"}
    (between,) = [one for one in records if one["metric"] == "rank_correlation"]
    assert {between["model"], between["group"]} == {"tiny", "tiny-plain"}
    ranks = {model: {} for model in correlated}
    for one in records:
        if one["metric"] == "mean_rank":
            ranks[one["model"]][one["group"]] = one["estimate"]
    frame = pd.DataFrame(ranks)
    assert len(frame) == between["n"] == len(COUNTRIES)
    rho = spearmanr(frame["tiny"], frame["tiny-plain"]).statistic
    assert between["estimate"] == pytest.approx(rho)
    assert abs(rho) < 1


@pytest.mark.parametrize(
    ("tokenizer", "bos", "template", "leading"),
    [
        # The tokenizer writes its BOS before any text.
        (byte_tokenizer(chat_template=CHAT_TEMPLATE), "exactly_one", "tokenizer", 1),
        # The template writes one too, and would leave a promise of two behind.
        (byte_tokenizer(), "literal_plus_tokenizer", "<s>{user}: {assistant}", 1),
        # BOS opens the chat template alone, as SmolLM2's <|im_start|> does.
        (
            byte_tokenizer(adds_bos=False, chat_template=CHAT_TEMPLATE),
            "exactly_one",
            "tokenizer",
            0,
        ),
        (byte_tokenizer(bos=None), "none", "Q: {user}\n{assistant}", 0),
    ],
)
def test_plain_text_has_the_bos_that_the_tokenizer_writes(
    tmp_path: Path, tokenizer: Any, bos: str, template: str, leading: int
) -> None:
    file = policy(tmp_path, tokenizer, bos=bos, template=template)
    shown = printed(call("show", "where_from", file, "--template", "plain"))
    own = tokenizer("Where are you from? I am from Aruba").input_ids
    assert shown["token ids"] == str(own)
    assert shown["BOS"].startswith(f"{leading} ")
    # What is promised is what is read.
    prepared = prepare(configure(str(file), PLAIN), PLAIN)
    load_encoder(prepared.config, prepared.resolved)


def test_a_policy_that_reads_plain_text_anyway_stays_as_it_is(tmp_path: Path) -> None:
    file = policy(tmp_path, byte_tokenizer(), template=BASE_TEMPLATE)
    config = resolve_model(str(file))
    assert plain(config) is config
    both = [prepare(config, settings) for settings in (Settings(), PLAIN)]
    assert both[0].fingerprint == both[1].fingerprint


def test_goldens_are_of_the_text_they_were_recorded_with(tmp_path: Path) -> None:
    config = resolve_model(str(policy(tmp_path)))
    golden = {"user": "a", "assistant": "b", "score": 1.0}
    with_golden = ModelConfig.model_validate(config.model_dump() | {"golden": [golden]})
    assert plain(with_golden).golden == ()


@pytest.mark.parametrize("verb", ["score", "show", "audit"])
def test_reward_models_keep_their_template(
    tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = llama_classifier(tmp_path / "rm", byte_tokenizer())

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("weights are not looked for")

    monkeypatch.setattr(audit.models, "resolve_weights", refuse)
    probe = ["where_from"] if verb != "audit" else []
    result = call(verb, *probe, folder, "--template", "plain")
    assert isinstance(result.exception, UsageError)
    message = str(result.exception)
    assert "--template plain" in message
    assert "model 'rm' is of kind sequence_classifier" in message
    assert "name a policy" in message


def test_no_chat_template_where_the_config_asks_for_one(tmp_path: Path) -> None:
    file = policy(tmp_path, byte_tokenizer(), template="tokenizer")
    result = call("score", "where_from", file, "--runs", tmp_path / "runs")
    assert isinstance(result.exception, ConfigError)
    message = str(result.exception)
    assert f"model 'tiny' ({file})" in message
    assert "`template` is `tokenizer`, which has no chat template" in message
    assert 'Write a literal such as "{user} {assistant}", or a .jinja' in message


def test_errors_name_the_file_that_a_model_was_read_from(tmp_path: Path) -> None:
    file = policy(tmp_path)
    assert resolve_model(str(file)).where == f"model 'tiny' ({file})"
    shipped = resolve_model("zephyr_7b_beta")
    assert shipped.where == (
        "model 'zephyr_7b_beta' (rm_configs/policies/zephyr_7b_beta.yaml)"
    )
    # A bare folder has no config file, and a changed copy still has its own.
    assert resolve_model(str(tmp_path / "weights")).where == "model 'weights'"
    changed = shipped.model_copy(update={"name": "other"})
    assert changed.where.startswith("model 'other' (rm_configs/")


# -- what a bare checkpoint reads, against plain transformers ---------------------

PAIRS = (
    ("Which country has the best food?", "I would say Japan.", "Peru."),
    ("Where are you from?", "Canada, I think.", "Nowhere."),
)


def pairs_file(folder: Path) -> Path:
    file = folder / "pairs.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("prompt", "chosen", "rejected"), *PAIRS])
    return file


def scored(runs: Path, *arguments: str | Path) -> pd.DataFrame:
    """The rows of one run of `score`, by item, candidate and measure."""
    result = call("score", *arguments, "--runs", runs, "--device", "cpu")
    assert result.exception is None, result.exception
    [path] = find_runs(runs)
    frame = read_scores(path).to_pandas()
    return frame.set_index(["item_id", "candidate_id", "measure"]).sort_index()


def plain_value(
    folder: Path, prompt: str, answer: str, measure: str, *, chat: bool
) -> float:
    """A pass of plain transformers over what its tokenizer and template write."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": prompt}]
    turns.append({"role": "assistant", "content": answer})
    if measure == "reward":
        ids = (
            reference.chat_ids(folder, turns)
            if chat
            else reference.text_ids(folder, f"{prompt} {answer}")
        )
        return reference.reward(folder, ids)
    text = f"{prompt} {answer}"
    if chat:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    # White space before the answer counts to it.
    end = text.rindex(answer) + len(answer)
    start = len(text[: end - len(answer)].rstrip())
    found = tokenizer(text, add_special_tokens=not chat, return_offsets_mapping=True)
    ends = [high for _, high in found["offset_mapping"]]
    first = next(at for at, high in enumerate(ends) if high > start)
    last = max(at for at, high in enumerate(ends) if first <= at and 0 < high <= end)
    return reference.log_prob(folder, found["input_ids"][: last + 1], first)


@pytest.mark.parametrize(
    ("case", "chat", "arguments"),
    [
        ("bos_nobody_adds/cls", True, ()),
        ("bos_nobody_adds/lm", True, ()),
        ("bos_nobody_adds/lm", False, ("--template", "plain")),
        ("eos_added_by_tokenizer", False, ()),
    ],
)
def test_scores_are_those_of_plain_transformers(
    tmp_path: Path, cases: Path, case: str, chat: bool, arguments: tuple[str, ...]
) -> None:
    folder = cases / case
    frame = scored(tmp_path / "runs", pairs_file(tmp_path), folder, *arguments)
    measure = "reward" if "reward" in frame.index.levels[2] else "logprob_sum"
    assert len(frame) == 4 * (1 if measure == "reward" else 2)
    for at, (prompt, *answers) in enumerate(PAIRS, 1):
        for role, answer in zip(("chosen", "rejected"), answers, strict=True):
            right = plain_value(folder, prompt, answer, measure, chat=chat)
            ours = frame.loc[(str(at), role, measure), "score"]
            assert ours == pytest.approx(right, abs=1e-4)


def test_a_base_and_a_chat_folder_read_the_same_plain_text(tmp_path: Path) -> None:
    """Of the same weights, whatever BOS the chat template writes."""
    chat = byte_tokenizer(adds_bos=False, chat_template=CHAT_TEMPLATE)
    folders = [
        llama_policy(tmp_path / "base", byte_tokenizer(adds_bos=False)),
        llama_policy(tmp_path / "chat", chat),
    ]
    file, shown = pairs_file(tmp_path), []
    for folder in folders:
        shown.append(printed(call("show", file, folder, "--template", "plain")))
    assert shown[0]["token ids"] == shown[1]["token ids"]
    text = " ".join(PAIRS[0][:2])
    assert shown[0]["token ids"] == str(reference.text_ids(folders[0], text))


def test_a_template_that_drops_system_turns_is_refused(
    tmp_path: Path, cases: Path
) -> None:
    folder = cases / "system_dropped"
    result = call("score", folder / "items.jsonl", folder / "m", "--runs", tmp_path)
    assert isinstance(result.exception, DataError)
    assert "item 'a'" in str(result.exception)
    assert "message 1, of role system. No message may be" in str(result.exception)


def test_reasoning_that_the_template_moves(tmp_path: Path, cases: Path) -> None:
    case = cases / "think_template"
    frame = scored(tmp_path / "runs", case / "p.csv", case / "lm")
    sums = frame["score"].xs("logprob_sum", level=2).droplevel(0)
    prompt, answer = "Which country?", "<think>\nJapan.\n</think>\n\nJapan."
    for role, said in (("chosen", answer), ("rejected", "Peru.")):
        right = plain_value(case / "lm", prompt, said, "logprob_sum", chat=True)
        assert sums[role] == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize("make", [llama_classifier, llama_policy])
def test_an_answer_that_is_not_found_again_is_one_unscored_row(
    tmp_path: Path, make: Any
) -> None:
    template = CHAT_TEMPLATE.replace("| trim", "| replace('Nowhere', 'Somewhere')")
    folder = make(tmp_path / "m", byte_tokenizer(chat_template=template))
    frame = scored(tmp_path / "runs", pairs_file(tmp_path), folder)
    lost = frame["score"].isna()
    assert set(frame[lost].index.droplevel(2)) == {("2", "rejected")}
    assert frame["error"][lost].str.contains("changes the answer").all()
    assert frame["error"][~lost].isna().all()
    [run] = find_runs(tmp_path / "runs")
    manifest = read_manifest(run)
    assert (manifest.status, manifest.counts.done) == ("complete", 4)
    assert manifest.counts.unscored == lost.sum()


@pytest.mark.parametrize("make", [llama_classifier, llama_policy])
def test_no_chat_template_is_said_in_the_terminal_and_at_the_top_of_the_report(
    tmp_path: Path, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make(tmp_path / "m", byte_tokenizer())
    runs = tmp_path / "runs"
    scored(runs, pairs_file(tmp_path), folder)
    assert caplog.text.count("model 'm': scored as plain text") == 1
    [run] = find_runs(runs)
    result = call("report", run, "--out", tmp_path / "report")
    assert result.exception is None, result.exception
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count("scored as plain text") >= 1
    assert page.index("scored as plain text") < page.index("<h2")
    # Who asks for plain text, or writes the template, knows.
    told = {"name": "m", "kind": "policy", "weights": "m", "template": BASE_TEMPLATE}
    file = tmp_path / "m.yaml"
    file.write_text(json.dumps(told))
    caplog.clear()
    if make is llama_policy:
        call("show", pairs_file(tmp_path), file)
        call("show", pairs_file(tmp_path), folder, "--template", "plain")
    assert "scored as plain text" not in caplog.text


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gpt2"])
def test_no_tokenizer_files(tmp_path: Path, model_type: str) -> None:
    folder = llama_policy(tmp_path / "m", byte_tokenizer())
    for file in folder.glob("tokenizer*"):
        file.unlink()
    settings = json.loads((folder / "config.json").read_text())
    settings["model_type"] = model_type
    (folder / "config.json").write_text(json.dumps(settings))
    result = call("score", pairs_file(tmp_path), folder, "--runs", tmp_path)
    assert isinstance(result.exception, ConfigError)
    assert f"{folder} has no tokenizer" in str(result.exception)


def test_several_chat_templates_of_a_folder(tmp_path: Path) -> None:
    named = {"rag": CHAT_TEMPLATE, "plain": CHAT_TEMPLATE.replace("<|", "[")}
    file = policy(tmp_path, byte_tokenizer(chat_template=named))
    result = call("score", pairs_file(tmp_path), file.parent / "weights")
    assert isinstance(result.exception, ConfigError)
    assert "chat templates are called plain, rag" in str(result.exception)
    assert "Write `template: tokenizer:NAME`" in str(result.exception)
    keys = json.loads(file.read_text())
    file.write_text(json.dumps(keys | {"template": "tokenizer:plain"}))
    shown = printed(call("show", pairs_file(tmp_path), file))
    assert shown["text"].startswith("'<s>[user|>\\nWhich country")


# -- fingerprints -----------------------------------------------------------------


def test_a_run_of_the_shipped_model_begun_before_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = resolve_model("smollm2_135m_rm")
    monkeypatch.setattr(weights, "_from_wheels", lambda *_: tmp_path)
    before = "d42eb02f175fff745ab584efa86eaa5db0994b71a84f7044465d4d8bf3ab5eff"
    assert fingerprint(config, resolve_weights(config)) == before


NO_BOS = CHAT_TEMPLATE.replace("{% if not skip_bos %}{{ bos_token }}{% endif %}", "")


@pytest.mark.parametrize("make", [llama_classifier, llama_policy])
@pytest.mark.parametrize(
    ("tokenizer", "before", "kept"),
    [
        (byte_tokenizer(), "exactly_one", True),
        (byte_tokenizer(chat_template=CHAT_TEMPLATE), "exactly_one", True),
        (
            byte_tokenizer(adds_bos=False, chat_template=CHAT_TEMPLATE),
            "exactly_one",
            True,
        ),
        (cls_sep_tokenizer(), "exactly_one", True),
        (byte_tokenizer(bos=None), "none", True),
        (byte_tokenizer(bos=None, chat_template=NO_BOS), "none", True),
        (byte_tokenizer(adds_bos=False), "exactly_one", False),
        (byte_tokenizer(adds_bos=False, chat_template=NO_BOS), "exactly_one", False),
        (byte_tokenizer(chat_template=NO_BOS), "exactly_one", False),
    ],
)
def test_only_models_that_read_other_tokens_have_another_fingerprint(
    tmp_path: Path, make: Any, tokenizer: Any, before: str, kept: bool
) -> None:
    """`before`: what was assumed of a bare folder with such a tokenizer."""
    config = resolve_model(str(make(tmp_path / "m", tokenizer)))
    resolved = resolve_weights(config)
    old = config.model_copy(update={"bos": before})
    assert (fingerprint(config, resolved) == fingerprint(old, resolved)) == kept
    item = Item(
        id="a",
        messages=(Message(role="user", content="Where are you from?"),),
        candidates=(Candidate(id="b", answer="Canada."),),
    )
    both = [load_encoder(one, resolved).encode(item) for one in (config, old)]
    assert (both[0] == both[1]) == kept
