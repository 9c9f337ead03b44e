"""Training: equal to the library's trainer, resumable, and scored as it was trained."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file as load_tensors
from transformers import AutoTokenizer

from data_builders import mixes
from probe import checkpoint, held_out, models, train, training_text
from probe.ablation import StagePlan
from probe.config import Kind, load_file
from probe.types import ConfigError, Measure, StoreError
from tests.training_runs import (
    CHATML,
    LORA,
    QUICK,
    base_folder,
    own_mix,
    preference_rows,
    request,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_folder(tmp_path_factory.mktemp("base"))


def adapter_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "adapter" / "adapter_model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) for key in one
    )


# -- arguments ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainer": {"learnin_rate": 1}}, "did you mean 'learning_rate'"),
        ({"trainer": {"learning_rate": "fast"}}, "`learning_rate` = 'fast'"),
        ({"trainer": {"output_dir": "x"}}, "--out says where"),
        ({"trainer": {"seed": 3}}, "`seeds` of the ablation"),
        ({"trainer": {"hub_token": "hf_x"}}, "a secret has no place"),
        ({"trainer": {"xyzzy": 3}}, "See the documentation of trl.RewardConfig"),
        ({"trainer": {"beta": 0.1}}, "trl.RewardConfig has none"),
        ({"lora": {"rank": 4}}, "peft.LoraConfig has none"),
        (
            {"trainer": {"model_init_kwargs": {"device_map": "auto"}}},
            "only `dtype` may be given",
        ),
        ({"trainer": {"model_init_kwargs": {"dtype": "auto"}}}, "dtype: auto"),
        ({"trainer": {"pad_token": "<s>"}}, "one that ends no text is chosen"),
        ({"lora": {"task_type": "CAUSAL_LM"}}, "`lora.task_type` is given"),
        ({"lora": {"lora_dropout": 0.1}}, "sets it to 0"),
    ],
)
def test_arguments_are_checked_against_the_library(
    changes: dict[str, Any], said: str
) -> None:
    plan = StagePlan(stage="reward", mix="m", **changes)
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        train.check(plan, "a.yaml, stage 1")


def test_arguments_of_the_library_pass() -> None:
    plan = StagePlan(
        stage="dpo",
        mix="m",
        trainer={
            "disable_dropout": False,
            "beta": 0.2,
            "loss_type": ["ipo"],
            "warmup_steps": 0.1,
            "optim": "adamw_torch",
            "save_steps": 2,
        },
        lora={"r": 4, "lora_dropout": 0.1, "use_rslora": True},
    )
    train.check(plan, "a.yaml, stage 1")


def test_values_that_contradict_one_another(tmp_path: Path, base: Path) -> None:
    asked = request(
        tmp_path, "reward", base=base, trainer={"load_best_model_at_end": True}
    )
    with pytest.raises(ConfigError, match="load_best_model_at_end"):
        train.train(asked)


# -- what is learned ---------------------------------------------------------


@pytest.mark.parametrize("stage", ["sft", "dpo", "reward"])
def test_equals_the_library_called_plainly(
    stage: str, tmp_path: Path, base: Path
) -> None:
    """The same model, rows and settings give the same weights to the last bit."""
    import peft
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    asked = request(tmp_path, stage, base=base)
    train.train(asked)

    rows = [
        json.loads(line)
        for line in (asked.mix / "train.jsonl").read_text().splitlines()
    ]
    names = (
        ("prompt", "completion") if stage == "sft" else ("prompt", "chosen", "rejected")
    )
    data = Dataset.from_list([{name: row[name] for name in names} for row in rows])
    kind = {"sft": "SFT", "dpo": "DPO", "reward": "Reward"}[stage]
    more = {"precompute_ref_log_probs": True} if stage == "dpo" else {}
    arguments = getattr(trl, f"{kind}Config")(
        output_dir=str(tmp_path / "plain"), seed=0, use_cpu=True, report_to="none",
        save_strategy="no", **QUICK, **more,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(base)
    task = "SEQ_CLS" if stage == "reward" else "CAUSAL_LM"
    if stage == "reward":
        # The head is drawn by the seed alone.
        from transformers import AutoModelForSequenceClassification

        set_seed(0)
        head = torch.nn.init.normal_(torch.empty(1, 32), std=0.02)
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=1, dtype=torch.float32
        )
        model.score.weight.data = head
    else:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    plain = getattr(trl, f"{kind}Trainer")(
        model=model,
        args=arguments,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=peft.LoraConfig(task_type=task, **LORA),
    )
    plain.train()
    plain.model.save_pretrained(tmp_path / "plain" / "adapter")
    assert same(adapter_of(asked.out), adapter_of(tmp_path / "plain"))


def test_a_reward_model_is_scored_as_it_was_watched(tmp_path: Path, base: Path) -> None:
    """The stored checkpoint gives the rewards that the model in training gave."""
    asked = request(tmp_path, "reward", base=base)
    config = train.train(asked)
    assert config.kind is Kind.SEQUENCE_CLASSIFIER
    scorer = models.load_scorer(config, models.resolve_weights(config))
    last = json.loads((asked.out / "held_out.jsonl").read_text().splitlines()[-1])
    stored = (asked.mix / "held_out.jsonl").read_text().splitlines()
    items = {one.id: one for one in held_out.items([*map(json.loads, stored)])}
    assert last["step"] == QUICK["max_steps"]
    for id, watched in last["scores"].items():
        found = scorer.score(scorer.encode(items[id]))
        assert [one[Measure.REWARD] for one in found] == pytest.approx(
            watched, abs=1e-5
        )


def test_dpo_margins_are_those_of_the_implicit_reward(
    tmp_path: Path, base: Path
) -> None:
    asked = request(tmp_path, "dpo", base=base, trainer={"beta": 0.3})
    train.train(asked)
    config = load_file(asked.out / "implicit.yaml")
    assert (config.kind, config.beta) == (Kind.IMPLICIT_REWARD, 0.3)
    scorer = models.load_scorer(config, models.resolve_weights(config))
    stored = (asked.mix / "held_out.jsonl").read_text().splitlines()
    items = {one.id: one for one in held_out.items([*map(json.loads, stored)])}
    last = json.loads((asked.out / "held_out.jsonl").read_text().splitlines()[-1])
    margins = []
    for id in last["scores"]:
        chosen, rejected = scorer.score(scorer.encode(items[id]))
        margins.append(
            chosen[Measure.IMPLICIT_REWARD] - rejected[Measure.IMPLICIT_REWARD]
        )
    with (asked.out / "held_out.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["column"] == "all"]
    assert {float(row["margin"]) for row in rows if row["step"] == "0"} == {0}
    ends = {row["id"]: row for row in rows if row["step"] == rows[-1]["step"]}
    assert [float(ends[id]["margin"]) for id in last["scores"]] == pytest.approx(
        margins, abs=1e-4
    )
    assert {id: row["key"] for id, row in ends.items()} == {
        id: items[id].groups["key"] for id in last["scores"]
    }
    assert sum(margins) / len(margins) > 0.1, "what is trained on is learned"


@pytest.mark.parametrize("lora", [LORA, None])
def test_dpo_holds_one_copy_of_the_base(
    lora: dict[str, Any] | None, tmp_path: Path, base: Path
) -> None:
    """Of all weights too, where the reference is no adapter that is switched off."""
    seen: list[Any] = []
    make = train._trainer

    def watched(*given: Any) -> Any:
        seen.append(make(*given))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_trainer", watched)
        train.train(request(tmp_path, "dpo", base=base, lora=lora, held_out=0))
    [trainer] = seen
    assert trainer.ref_model is None
    assert {"ref_chosen_logps", "ref_rejected_logps"} <= set(
        trainer.train_dataset.column_names
    )
    whole = models.load_scorer(
        models.resolve_model(str(base)),
        models.resolve_weights(models.resolve_model(str(base))),
    )
    own = {
        name: weight.numel()
        for name, weight in trainer.model.named_parameters()
        if "lora_" not in name
    }
    assert sum(own.values()) == sum(one.numel() for one in whole.model.parameters())  # type: ignore[attr-defined]


def test_the_tokenizer_is_stored_as_it_was(tmp_path: Path, base: Path) -> None:
    """Others load it with transformers, and their texts start as the base's do."""
    asked = request(tmp_path, "sft", base=base)
    train.train(asked)
    ours, theirs = (
        AutoTokenizer.from_pretrained(folder)
        for folder in (asked.out / "adapter", base)
    )
    assert theirs("Is it?").input_ids[0] == theirs.bos_token_id
    assert ours("Is it?").input_ids == theirs("Is it?").input_ids


def test_all_weights_can_be_trained(tmp_path: Path, base: Path) -> None:
    asked = request(tmp_path, "sft", base=base, lora=None)
    config = train.train(asked)
    assert config.adapter is None and Path(config.weights).name == "weights"
    before = models.resolve_weights(models.resolve_model(str(base)))
    assert models.resolve_weights(config).as_record() != before.as_record()


def test_the_second_stage_starts_from_the_first(tmp_path: Path, base: Path) -> None:
    """DPO's reference is the SFT checkpoint, whole, and not the base."""
    first = request(tmp_path, "sft", base=base, name="sft")
    made = train.train(first)
    merged = train.whole_weights(first.plan, first.out, "cpu")
    assert merged == train.whole_weights(first.plan, first.out, "cpu")
    whole = load_file(first.out / "model.yaml").model_copy(
        update={"weights": str(merged), "adapter": None}
    )
    second = dataclasses.replace(
        request(tmp_path, "dpo", base=base, name="dpo"),
        base=train.Base(config=whole, resolved=models.resolve_weights(whole)),
    )
    train.train(second)
    implicit = load_file(second.out / "implicit.yaml")
    assert implicit.reference == str(merged)
    [item] = held_out.items(
        [json.loads((second.mix / "held_out.jsonl").read_text().splitlines()[0])]
    )
    stages = [
        models.load_scorer(one, models.resolve_weights(one)) for one in (made, whole)
    ]
    adapted, alone = (
        [one[Measure.LOGPROB_SUM] for one in scorer.score(scorer.encode(item))]
        for scorer in stages
    )
    assert adapted == pytest.approx(alone, abs=1e-4)


# -- texts -------------------------------------------------------------------


@pytest.mark.parametrize("pad", [None, "</s>"])
def test_the_end_is_learned_where_pad_is_missing_or_the_end(
    pad: str | None, tmp_path: Path
) -> None:
    folder = base_folder(tmp_path / "base", pad=pad)
    asked = request(tmp_path, "sft", base=folder)
    train.train(asked)
    row = (asked.out / "row.txt").read_text()
    learned = row[row.index("\u27e6") : row.index("\u27e7")]
    assert "</s>" in learned, row
    assert row.count("\u27e6") == 1 and "Is " not in learned, "the prompt is no loss"
    saved = json.loads((asked.out / "adapter" / "tokenizer_config.json").read_text())
    assert saved["pad_token"] not in (None, "</s>")


def test_a_reward_base_whose_pad_is_the_end_reads_the_end(tmp_path: Path) -> None:
    """Texts that end with the end token, which pads: the class would pass over it."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    template = CHATML.replace("</s>\n", "</s>")
    folder = base_folder(tmp_path / "base", pad="</s>", chat_template=template)
    asked = request(tmp_path, "reward", base=folder)
    config = train.train(asked)
    scorer = models.load_scorer(config, models.resolve_weights(config))
    line = (asked.mix / "held_out.jsonl").read_text().splitlines()[0]
    [item] = held_out.items([json.loads(line)])
    encoded = scorer.encode(item)
    assert all(one.token_ids[-1] == 2 for one in encoded), "the end token is </s>"
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32
    )
    model = PeftModel.from_pretrained(model, asked.out / "adapter").eval()
    longest = max(len(one.token_ids) for one in encoded)
    pad = scorer.encoder.tokenizer.pad_token_id
    model.config.pad_token_id = pad
    ids = [[*one.token_ids] + [pad] * (longest - len(one.token_ids)) for one in encoded]
    mask = [
        [1] * len(one.token_ids) + [0] * (longest - len(one.token_ids))
        for one in encoded
    ]
    with torch.no_grad():
        batch = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask))
    found = [one[Measure.REWARD] for one in scorer.score(encoded)]
    assert found == pytest.approx(batch.logits[:, 0].tolist(), abs=1e-5)


def test_a_base_without_a_template_needs_one(tmp_path: Path) -> None:
    folder = base_folder(tmp_path / "base", chat_template=None)
    with pytest.raises(ConfigError, match="has no chat template"):
        train.train(request(tmp_path, "sft", base=folder))
    template = tmp_path / "chat.jinja"
    template.write_text(CHATML)
    asked = request(
        tmp_path, "sft", base=folder, name="with", chat_template=str(template)
    )
    config = train.train(asked)
    assert config.template == "tokenizer"
    encoder = models.load_encoder(config, models.resolve_weights(config))
    assert encoder.tokenizer.chat_template == CHATML
    with pytest.raises(ConfigError, match=r"missing.jinja cannot be read"):
        train.train(
            request(
                tmp_path, "sft", base=folder, name="no",
                chat_template=str(tmp_path / "missing.jinja"),
            )
        )  # fmt: skip


def test_rows_too_long_for_a_reward_are_left_out_or_shortened(
    tmp_path: Path, base: Path
) -> None:
    def long(row: dict[str, Any], i: int) -> dict[str, Any]:
        turns = [
            {"role": role, "content": "word " * 20 + str(i)}
            for role in ("user", "assistant") * (i % 2)
        ]
        return {**row, "prompt": [*turns, {"role": "user", "content": f"And {i}?"}]}

    own_mix(tmp_path, [long(row, i) for i, row in enumerate(preference_rows(16))])
    counts = {}
    for shorten in (False, True):
        asked = request(
            tmp_path, "reward", base=base, name=f"cut-{shorten}",
            trainer={"max_length": 100}, held_out=0, drop_turns=shorten,
        )  # fmt: skip
        train.train(asked)
        counts[shorten] = json.loads((asked.out / "training.json").read_text())["rows"]
    dropped = counts[False].pop("dropped")
    assert counts[False] == {"given": 16, "trained": 8, "shortened": 0, "cut": 0}
    assert len(dropped) == 8 and all(id.startswith("long/") for id in dropped)
    assert counts[True] | {"dropped": []} == counts[True]
    assert (counts[True]["trained"], counts[True]["shortened"]) == (16, 8)
    none_fits = request(
        tmp_path,
        "reward",
        base=base,
        name="none",
        trainer={"max_length": 5},
        held_out=0,
    )
    with pytest.raises(ConfigError, match="of 16 rows none fits into `max_length` = 5"):
        train.train(none_fits)


def test_answers_of_a_reward_are_cut_to_fit(tmp_path: Path, base: Path) -> None:
    """Cut answers are closed by the template; pairs that become alike are left out."""

    def long(row: dict[str, Any], i: int) -> dict[str, Any]:
        more = " \u00e9t\u00e9" * (40 * (i % 2))
        same = {"chosen": "yes" * 60, "rejected": "yes" * 60 + "!"} if i == 3 else {}
        return {**row, "chosen": row["chosen"] + more, **same}

    own_mix(tmp_path, [long(row, i) for i, row in enumerate(preference_rows(16))])
    asked = request(
        tmp_path, "reward", base=base, trainer={"max_length": 100, "max_steps": 1},
        held_out=0, cut_answers=True,
    )  # fmt: skip
    tokenizer = training_text.tokenizer_of(asked)
    given = mixes.read_drawn(asked.mix).train
    fitted = training_text.fitted(
        given, tokenizer, SimpleNamespace(max_length=100), asked
    )
    assert (fitted.given, len(fitted.kept), fitted.cut) == (16, 15, 7)
    by_id = {row["id"]: row for row in given}
    [lost] = fitted.dropped
    assert "yesyes" in str(by_id[lost]["rejected"])
    for row in fitted.kept:
        ids = training_text.token_ids(tokenizer, row["prompt"] + row["chosen"])
        text, whole = row["chosen"][-1]["content"], by_id[row["id"]]["chosen"][-1]
        cut = text != whole["content"]
        assert len(ids) <= 100 and (not cut or len(ids) > 96)
        assert whole["content"].startswith(text) and "\ufffd" not in text
        assert tokenizer.decode(ids).endswith("</s>\n")
        assert row["rejected"] == by_id[row["id"]]["rejected"]
    train.train(asked)
    record = json.loads((asked.out / "training.json").read_text())["rows"]
    assert record["cut"] == 7 and record["trained"] == 15
    # A baseline of length is fitted on whole texts, those left out among them.
    with (asked.out / "lengths.csv").open() as stream:
        lengths = [int(row["chosen"]) for row in csv.DictReader(stream)]
    assert len(lengths) == 16 and max(lengths) > 150


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_rows_without_room_for_an_answer_are_left_out_and_named(
    stage: str, tmp_path: Path, base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the library would drop in silence; ends that are cut are counted."""
    asked = request(tmp_path, stage, base=base, trainer={"max_length": 27}, held_out=0)
    with caplog.at_level("WARNING"):
        config = train.train(asked)
    rows = json.loads((asked.out / "training.json").read_text())["rows"]
    assert rows["trained"] + len(rows["dropped"]) == rows["given"] == 24
    assert 0 < rows["trained"] < 24 and rows["cut"] > 0
    assert (
        f"leaves out {len(rows['dropped'])} and cuts {rows['cut']} of 24" in caplog.text
    )
    assert config.training is not None
    assert (config.training.rows, config.training.dropped) == (
        rows["trained"],
        len(rows["dropped"]),
    )


# -- folders -----------------------------------------------------------------


def test_a_finished_checkpoint_stays_and_other_settings_are_refused(
    tmp_path: Path, base: Path
) -> None:
    asked = request(tmp_path, "sft", base=base)
    train.train(asked)
    before = (asked.out / "model.yaml").stat().st_mtime_ns
    train.train(asked)
    assert (asked.out / "model.yaml").stat().st_mtime_ns == before
    assert not (asked.out / checkpoint.TRAINER).exists()
    with pytest.raises(StoreError, match="another seed"):
        train.train(dataclasses.replace(asked, seed=1))
    other = request(tmp_path, "sft", base=base, trainer={"learning_rate": 1e-3})
    with pytest.raises(StoreError, match="another stage"):
        train.train(other)
    renamed = dataclasses.replace(asked, label={**asked.label, "attribute": "whispers"})
    with pytest.raises(StoreError, match="another label"):
        train.train(renamed)


def test_a_checkpoint_from_before_a_key_of_stages_is_gone_on_with(
    tmp_path: Path, base: Path
) -> None:
    """What its plan does not say was not done; only doing it makes another one."""
    asked = request(tmp_path, "sft", base=base)
    train.train(asked)
    file = asked.out / "plan.json"
    plan = json.loads(file.read_text())
    assert plan["stage"].pop("drop_turns") is False
    file.write_text(json.dumps(plan))
    before = (asked.out / "model.yaml").stat().st_mtime_ns
    train.train(asked)
    assert (asked.out / "model.yaml").stat().st_mtime_ns == before
    stage = asked.plan.model_copy(update={"drop_turns": True})
    with pytest.raises(StoreError, match="another stage"):
        train.train(dataclasses.replace(asked, plan=stage))


@pytest.mark.parametrize("stage", ["dpo", "reward"])
def test_goes_on_from_the_last_whole_checkpoint(
    stage: str, tmp_path: Path, base: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stopped at a step and gone on with, the weights are those of one go."""
    whole = request(tmp_path, stage, base=base, name="whole")
    train.train(whole)
    stopped = request(tmp_path, stage, base=base, name="stopped")
    _stop_at(stopped, 4)
    trainer = stopped.out / checkpoint.TRAINER
    assert not checkpoint.finished(stopped.out)
    # A checkpoint that was being written when the power went.
    torn = trainer / "checkpoint-5"
    shutil.copytree(trainer / "checkpoint-4", torn)
    (torn / "trainer_state.json").unlink()
    with (stopped.out / "held_out.jsonl").open("a") as stream:
        stream.write('{"step": 5, "tok')
    capfd.readouterr()
    train.train(stopped)
    assert "do not match" not in "".join(capfd.readouterr())
    assert same(adapter_of(whole.out), adapter_of(stopped.out))
    for name in ("held_out.csv", "row.txt"):
        assert (whole.out / name).read_text() == (stopped.out / name).read_text()
    first, second = (
        json.loads((one.out / "training.json").read_text()) for one in (whole, stopped)
    )
    assert first["loss"] == second["loss"]
    assert first["arguments"] == second["arguments"]


@pytest.mark.parametrize("steps", [4, 6])
def test_stopped_after_the_last_step_is_as_in_one_go(
    steps: int, tmp_path: Path, base: Path
) -> None:
    """The trainer, gone on with from its last step, would make one more."""
    changes = {"trainer": {"max_steps": steps, "lr_scheduler_type": "constant"}}
    whole = request(tmp_path, "sft", base=base, name="whole", **changes)
    train.train(whole)
    stopped = request(tmp_path, "sft", base=base, name="stopped", **changes)
    with pytest.MonkeyPatch.context() as patch:

        def lights_out(*_: Any) -> None:
            raise SystemError

        patch.setattr(train, "finish", lights_out)
        with pytest.raises(SystemError):
            train.train(stopped)
    assert list((stopped.out / checkpoint.TRAINER).glob(f"checkpoint-{steps}"))
    train.train(stopped)
    assert same(adapter_of(whole.out), adapter_of(stopped.out))
    records = [
        json.loads((one.out / "training.json").read_text()) for one in (whole, stopped)
    ]
    assert records[0]["steps"] == records[1]["steps"] == steps
    assert records[0]["training"]["tokens"] == records[1]["training"]["tokens"]


def test_a_policy_without_its_beginning_starts_anew(tmp_path: Path, base: Path) -> None:
    """Margins are differences to the first point, which must not be a later one."""
    whole = request(tmp_path, "dpo", base=base, name="whole")
    train.train(whole)
    stopped = request(tmp_path, "dpo", base=base, name="stopped")
    _stop_at(stopped, 4)
    (stopped.out / "held_out.jsonl").write_text('{"step": 0, "tok')
    train.train(stopped)
    assert (whole.out / "held_out.csv").read_text() == (
        stopped.out / "held_out.csv"
    ).read_text()


def _stop_at(asked: train.Request, step: int) -> None:
    """Interrupts a training as Ctrl-C does."""
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == step:
                raise KeyboardInterrupt

    make = train._trainer

    def stopping(*given: Any) -> Any:
        trainer = make(*given)
        trainer.add_callback(Stop())
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_trainer", stopping)
        with pytest.raises(train.InterruptedTrainingError, match=f"up to step {step}"):
            train.train(asked)


def test_the_record_says_what_it_was_trained_on(tmp_path: Path, base: Path) -> None:
    asked = request(tmp_path, "reward", base=base)
    config = train.train(asked)
    record = json.loads((asked.out / "training.json").read_text())
    mix = json.loads((asked.mix / "mix.json").read_text())
    assert config.training is not None
    assert record["training"]["mix_sha"] == mix["sha256"] == config.training.mix_sha
    assert [one["step"] for one in record["loss"]] == [1, 2, 3, 4, 5, 6]
    assert {"trl", "peft", "torch"} <= record["packages"].keys()
    assert record["arguments"]["learning_rate"] == 1e-2
    assert str(tmp_path) not in json.dumps(record["arguments"])
    # 24 of 24 rows, 6 steps of 4: one epoch.
    assert record["rows"]["trained"] == 24
    encoder = models.load_encoder(config, models.resolve_weights(config))
    rows = [*map(json.loads, (asked.mix / "train.jsonl").read_text().splitlines())]
    read = [encoder.encode(item) for item in held_out.items(rows)]
    assert config.training.tokens == sum(
        len(one.token_ids) for two in read for one in two
    )
