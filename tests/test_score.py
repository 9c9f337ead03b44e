"""The scoring loop on real (tiny) models: resume, NaN, overflow, invariance."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from data_builders import country_questions, global_opinions, select, where_from
from probe import audit, models, score
from probe.audit import Settings
from probe.score import InterruptedRunError
from probe.store import read_items, read_manifest, read_scores
from probe.types import (
    BuildOptions,
    Candidate,
    DataError,
    Item,
    Message,
    MissingDataError,
    Probe,
)
from tests.tiny_checkpoints import (
    CHAT_TEMPLATE,
    byte_tokenizer,
    llama_classifier,
    llama_policy,
)

KEYS = ["item_id", "candidate_id", "measure"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    return llama_classifier(tmp_path_factory.mktemp("model") / "tiny", tokenizer)


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return select.build(country_questions.PROBE, BuildOptions(), 9, 0)


def run(
    ref: Path,
    items: list[Item],
    root: Path,
    probe: Probe = country_questions.PROBE,
    options: BuildOptions | None = None,
    **changes: object,
) -> Path:
    settings = replace(Settings(runs=root), **changes)  # type: ignore[arg-type]
    prepared = audit.prepare(audit.configure(str(ref), settings), settings)
    asked = options or BuildOptions()
    load = audit.loader(prepared)
    return audit.score_probe(prepared, probe, items, asked, limit=None, load=load).path


def frame(path: Path) -> pd.DataFrame:
    return read_scores(path).to_pandas().set_index(KEYS).sort_index()


def stop_after(groups: int) -> Callable[..., object]:
    """A group scorer that is interrupted as by Ctrl-C."""
    real = score._score_group
    calls = 0

    def scored(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls > groups:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    return scored


def test_interrupted_and_resumed_equals_uninterrupted(
    folder: Path, items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(folder, items, tmp_path / "whole")
    assert read_manifest(whole).status == "complete"
    with monkeypatch.context() as patch:
        patch.setattr(score, "_score_group", stop_after(2))
        with pytest.raises(InterruptedRunError, match="Run the same command") as caught:
            run(folder, items, tmp_path / "halved")
    assert caught.value.exit_code == 130
    [halved] = (tmp_path / "halved").glob("*@*/*@*")
    manifest = read_manifest(halved)
    assert manifest.status == "interrupted"
    assert 0 < manifest.counts.done < manifest.counts.expected == 9 * 181
    assert run(folder, items, tmp_path / "halved") == halved
    pd.testing.assert_frame_equal(frame(whole), frame(halved), check_exact=True)
    assert read_manifest(halved).counts.done == 9 * 181


def test_same_scores_for_any_budget_order_and_selection(
    folder: Path, items: list[Item], tmp_path: Path
) -> None:
    expected = frame(run(folder, items, tmp_path / "a"))["score"]
    spread = expected.std()
    for name, chosen, budget in (
        ("small", items, 60),
        ("large", items, 100_000),
        ("reversed", items[::-1], None),
        ("few", items[3:5], None),
    ):
        path = run(folder, chosen, tmp_path / name, batch_tokens=budget)
        found = frame(path)["score"]
        assert (found - expected[found.index]).abs().max() < 1e-4 * max(1, spread)


def test_a_smaller_call_does_not_complete_a_stopped_run(
    folder: Path, items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(score, "_score_group", stop_after(1))
        with pytest.raises(InterruptedRunError):
            run(folder, items, tmp_path)
    path = run(folder, items[:4], tmp_path)
    manifest = read_manifest(path)
    assert manifest.counts.done < manifest.counts.expected
    assert manifest.status == "interrupted"


def test_a_larger_selection_computes_only_what_is_missing(
    folder: Path, items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, items[::2], tmp_path)
    real = score._score_group
    computed: list[str] = []

    def counted(group: list[Item], *args: object) -> object:
        computed.extend(item.id for item in group)
        return real(group, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(score, "_score_group", counted)
    run(folder, items, tmp_path)
    assert computed == [item.id for item in items[1::2]]


def test_nothing_left_to_score_loads_no_model(
    folder: Path, items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run(folder, items, tmp_path)
    engine = read_manifest(path).engine
    assert engine is not None
    assert engine.startswith("tree")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded again")

    monkeypatch.setattr("probe.models.load_scorer", refuse)
    assert run(folder, items, tmp_path) == path
    assert read_manifest(path).engine == engine


def test_a_finished_run_starts_no_torch(
    folder: Path, items: list[Item], tmp_path: Path
) -> None:
    # As shipped configs do; the tokenizer's own rule must be asked of it.
    config = yaml_config(folder, tmp_path, bos="exactly_one")
    path = run(config, items, tmp_path / "runs")
    before = read_manifest(path)
    assert before.device == "cpu"
    code = """
import sys
from probe.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end
print("loaded" if {"torch", "transformers"} & set(sys.modules) else "quick")
"""
    asked = ["score", "country_questions", config, "--limit", "9"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, asked), "--runs", tmp_path / "runs"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["quick"], done.stderr
    after = read_manifest(path)
    assert (after.device, after.counts, after.status) == (
        *("cpu", before.counts, "complete"),
    )


def test_nan_is_kept_counted_and_does_not_spread(folder: Path, tmp_path: Path) -> None:
    """A damaged embedding makes exactly the texts with that token unscored."""
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    items = select.build(where_from.PROBE, BuildOptions(), None, 0)
    prepared = audit.prepare(audit.configure(str(folder), Settings()), Settings())
    encoder = models.load_encoder(prepared.config, prepared.resolved)
    having: dict[int, set[str]] = {}
    for one in encoder.encode(items[0]):
        for token_id in one.token_ids:
            having.setdefault(token_id, set()).add(one.candidate_id)
    # The most frequent of the tokens that few of the 254 texts hold.
    token, hit = max(
        ((t, ids) for t, ids in having.items() if len(ids) < 20),
        key=lambda pair: len(pair[1]),
    )
    assert len(hit) > 3
    weights = load_file(damaged / "model.safetensors")
    weights["model.embed_tokens.weight"][token] = torch.inf
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    healthy = frame(run(folder, items, tmp_path / "a", where_from.PROBE))
    path = run(damaged, items, tmp_path / "b", where_from.PROBE)
    found = frame(path)
    nan = found[found["score"].isna()]
    assert set(nan.index.get_level_values("candidate_id")) == hit
    assert set(nan["error"]) == {"the model gave nan"}
    rest = found.drop(nan.index)
    assert rest["error"].isna().all()
    assert (rest["score"] - healthy.loc[rest.index, "score"]).abs().max() < 1e-4
    assert read_manifest(path).counts.unscored == len(hit)


def test_a_model_of_nan_is_kept_as_unscored(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"][:] = torch.inf
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    items = select.build(
        where_from.PROBE, BuildOptions(countries=("USA", "IND")), None, 0
    )
    path = run(broken, items, tmp_path / "runs", where_from.PROBE)
    assert read_manifest(path).counts.unscored == 2
    assert frame(path)["score"].isna().all()


def yaml_config(folder: Path, tmp_path: Path, **fields: object) -> Path:
    file = tmp_path / "short.yaml"
    base = {
        "name": "short",
        "kind": "sequence_classifier",
        "weights": str(folder),
    }
    file.write_text(yaml.safe_dump({**base, **fields}))
    return file


def test_too_long_is_flagged_and_counted(
    folder: Path, items: list[Item], tmp_path: Path
) -> None:
    plain = frame(run(folder, items, tmp_path / "plain"))
    total = plain["n_prompt_tokens"] + plain["n_answer_tokens"]
    longest = int(total.max())
    config = yaml_config(folder, tmp_path, max_tokens=longest - 2)
    path = run(config, items, tmp_path / "cut")
    found = frame(path)
    cut = found["truncated_tokens"] > 0
    assert 0 < cut.sum() == read_manifest(path).counts.truncated
    same = found[~cut].index
    assert (found.loc[same, "score"] - plain.loc[same, "score"]).abs().max() < 1e-4


def test_too_long_can_be_an_error_that_keeps_the_rest(
    folder: Path, items: list[Item], tmp_path: Path
) -> None:
    config = yaml_config(folder, tmp_path, max_tokens=40, on_overflow="error")
    with pytest.raises(DataError, match="max_tokens"):
        run(config, items, tmp_path / "runs")
    [path] = (tmp_path / "runs").glob("*@*/*@*")
    assert read_manifest(path).status == "failed"


def test_policy_writes_sum_and_mean(items: list[Item], tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    policy = llama_policy(tmp_path / "policy", tokenizer)
    found = frame(run(policy, items[:2], tmp_path / "runs")).reset_index()
    wide = found.pivot(
        index=["item_id", "candidate_id", "n_answer_tokens"],
        columns="measure",
        values="score",
    ).reset_index()
    assert len(wide) == 2 * 181
    quotient = wide["logprob_sum"] / wide["n_answer_tokens"]
    assert (quotient - wide["logprob_mean"]).abs().max() < 1e-12
    assert (wide["logprob_sum"] < 0).all()


def test_a_probe_without_data_is_left_out_and_a_damaged_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = [global_opinions.PROBE, where_from.PROBE]
    options = BuildOptions(data=tmp_path)
    built = audit.available(found, options, limit=None, seed=0)
    assert [probe.name for probe, _ in built] == ["where_from"]
    assert "left out probe global_opinions" in caplog.text
    with pytest.raises(MissingDataError):
        audit.available(found[:1], options, limit=None, seed=0)
    # A country that one probe does not have costs the audit that probe alone.
    andorra = BuildOptions(data=tmp_path, countries=("AND",))
    built = audit.available(
        [country_questions.PROBE, where_from.PROBE], andorra, limit=None, seed=0
    )
    assert [probe.name for probe, _ in built] == ["where_from"]
    assert "left out probe country_questions: --countries asks for AND" in caplog.text
    (tmp_path / "global_opinions.csv").write_text("question,options\na,b\n")
    with pytest.raises(DataError, match="no column 'selections'"):
        audit.available(found, options, limit=None, seed=0)


def test_personas_asked_later_extend_the_run(
    folder: Path, shared_data: Path, tmp_path: Path
) -> None:
    """Nothing that was scored without a persona is scored again, or moves."""
    probe = global_opinions.PROBE
    options = BuildOptions(data=shared_data, reader="reward")

    def asked(personas: tuple[str, ...]) -> Path:
        chosen = replace(options, personas=personas)
        items = select.build(probe, chosen, 5, 0)
        return run(folder, items, tmp_path, probe, chosen)

    plain = frame(asked(()))
    path = asked(("DEU", "USA"))
    steered = frame(path)
    assert len(steered) > len(plain)
    pd.testing.assert_frame_equal(plain, steered.loc[plain.index], check_exact=True)
    assert set(read_items(path).to_pandas()["persona"].dropna()) == {"DEU", "USA"}


def test_a_group_ends_at_its_candidates_or_at_its_characters() -> None:
    def item(number: int, n_candidates: int, length: int, begins: str = "") -> Item:
        own = f"{number}".ljust(length, "a")
        return Item(
            id=f"i{number}",
            messages=(Message(role="user", content=f"{begins}{own}"),),
            candidates=tuple(
                Candidate(id=str(i), answer="b" * length) for i in range(n_candidates)
            ),
        )

    short = [item(i, 2, 1) for i in range(5)]
    assert [len(group) for group in score.groups(short, 4, 1000)] == [2, 2, 1]
    long = [item(i, 1, 10) for i in range(5)]
    assert [len(group) for group in score.groups(long, 100, 40)] == [2, 2, 1]
    # What the prompts of a group begin with alike is read once: 30, then 10 each.
    alike = [item(i, 1, 5, begins="c" * 20) for i in range(7)]
    assert [len(group) for group in score.groups(alike, 100, 50)] == [3, 3, 1]
