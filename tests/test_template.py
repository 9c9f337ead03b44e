"""A policy with its chat template and without, as a user asks for both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner, Result

from probe import audit
from probe.audit import Settings, configure, plain, prepare
from probe.cli import app
from probe.config import ModelConfig
from probe.models import load_encoder, resolve_model, resolve_weights, weights
from probe.models.resolve import BASE_TEMPLATE
from probe.store import find_runs, read_manifest
from probe.types import ConfigError, UsageError
from tests.tiny_checkpoints import (
    CHAT_TEMPLATE,
    byte_tokenizer,
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
