"""Encoding: one tokenisation, a promised BOS count, the answer's place.

What is expected of BOS:
1. `exactly_one`: one, whether the tokenizer adds it, the template writes it, or
   neither does.
2. `exactly_one`: a template that writes it next to a tokenizer that adds it still
   gives one.
3. `exactly_one`: a tokenizer that also closes its texts ([CLS] ... [SEP]) does so.
4. `exactly_one`: a template that writes two is an error.
5. `none`: none, although the tokenizer would add one; a template that writes one is
   an error.
6. `literal_plus_tokenizer`: two; a tokenizer that adds none, or a template that
   writes none, is an error.
7. A tokenizer without BOS needs `none`.
8. Truncation keeps the promised BOS on the left.
9. `tokenizer`, the default: what `tokenizer(text)` gives for a plain text, and
   `apply_chat_template` for a dialogue.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import logging
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors
from transformers import AutoTokenizer

from probe.config import Kind, ModelConfig
from probe.encode import Encoder
from probe.types import Candidate, ConfigError, DataError, Encoded, Item, Message
from tests import reference
from tests.tiny_checkpoints import (
    CHAT_TEMPLATE,
    byte_tokenizer,
    cls_sep_tokenizer,
    metaspace_tokenizer,
)

PLAIN = "{user} {assistant}"


def config(**changes: Any) -> ModelConfig:
    settings: dict[str, Any] = {
        "name": "tiny",
        "kind": "policy",
        "weights": "nowhere",
        "template": PLAIN,
        "bos": "exactly_one",
    }
    return ModelConfig(**(settings | changes))


def item(
    answer: str = "I am from Canada.",
    span: tuple[int, int] | None = None,
    user: str = "Where are you from?",
    system: str | None = None,
) -> Item:
    messages = [Message(role="user", content=user)]
    if system is not None:
        messages.insert(0, Message(role="system", content=system))
    return Item(
        id="q1",
        messages=tuple(messages),
        candidates=(Candidate(id="c1", answer=answer, span=span),),
    )


def one(tokenizer: Any, what: Item, **changes: Any) -> Encoded:
    settings = config(**changes)
    (encoded,) = Encoder(tokenizer, settings).encode(what, settings.kind)
    return encoded


def leading(encoded: Encoded, token_id: int = 1) -> int:
    count = 0
    while encoded.token_ids[count] == token_id:
        count += 1
    return count


# -- BOS ----------------------------------------------------------------------


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("template", [PLAIN, f"<s>{PLAIN}"])
def test_1_2_exactly_one(adds_bos: bool, template: str) -> None:
    encoded = one(byte_tokenizer(adds_bos=adds_bos), item(), template=template)
    assert leading(encoded) == 1
    assert encoded.token_ids.count(1) == 1


def test_1_exactly_one_from_a_chat_template() -> None:
    encoded = one(
        byte_tokenizer(chat_template=CHAT_TEMPLATE), item(), template="tokenizer"
    )
    assert leading(encoded) == 1


def test_1_bos_that_also_opens_turns_is_counted_at_the_start_only() -> None:
    # SmolLM2's <|im_start|> is BOS and opens every turn.
    encoded = one(byte_tokenizer(adds_bos=False), item(), template=f"<s>{PLAIN}<s>")
    assert leading(encoded) == 1


def test_3_closing_tokens_of_the_tokenizer_stay() -> None:
    encoded = one(
        cls_sep_tokenizer(),
        item("Canada"),
        kind="sequence_classifier",
        template="{user}[SEP]{assistant}",
    )
    assert encoded.token_ids[0] == 1
    assert encoded.token_ids[-1] == 2
    assert encoded.token_ids.count(2) == 2
    assert encoded.answer_end == len(encoded.token_ids) - 1


def test_3_a_policy_never_reads_the_tokenizers_closing_token() -> None:
    encoded = one(cls_sep_tokenizer(), item("Canada"))
    assert encoded.token_ids[-1] != 2
    assert encoded.answer_end == len(encoded.token_ids)


def test_4_two_where_one_is_promised() -> None:
    with pytest.raises(ConfigError, match=r"'tiny'.*promises 1.*starts with 2"):
        one(byte_tokenizer(), item(), template=f"<s><s>{PLAIN}")


def test_5_none() -> None:
    assert leading(one(byte_tokenizer(), item(), bos="none")) == 0
    with pytest.raises(ConfigError, match="promises 0"):
        one(byte_tokenizer(), item(), bos="none", template=f"<s>{PLAIN}")


def test_6_literal_plus_tokenizer() -> None:
    encoded = one(
        byte_tokenizer(), item(), bos="literal_plus_tokenizer", template=f"<s>{PLAIN}"
    )
    assert leading(encoded) == 2
    with pytest.raises(ConfigError, match="promises 2"):
        one(byte_tokenizer(), item(), bos="literal_plus_tokenizer")
    with pytest.raises(ConfigError, match="adds no BOS of its own"):
        one(
            byte_tokenizer(adds_bos=False),
            item(),
            bos="literal_plus_tokenizer",
            template=f"<s>{PLAIN}",
        )


def test_7_no_bos_token() -> None:
    with pytest.raises(ConfigError, match=r"no BOS token.*bos: none"):
        one(byte_tokenizer(bos=None), item())
    encoded = one(byte_tokenizer(bos=None), item(), bos="none")
    assert encoded.answer_start > 0


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("template", [PLAIN, f"<s>{PLAIN}"])
def test_8_truncation_keeps_bos(side: str, template: str) -> None:
    encoded = one(
        byte_tokenizer(),
        item(),
        template=template,
        max_tokens=5,
        truncation_side=side,
    )
    assert leading(encoded) == 1
    assert len(encoded.token_ids) == 5


def test_8_left_truncation_drops_the_literal_first() -> None:
    # As a tokenizer does that truncates a text and then adds its own BOS.
    encoded = one(
        byte_tokenizer(),
        item(),
        kind="sequence_classifier",
        bos="literal_plus_tokenizer",
        template=f"<s>{PLAIN}",
        max_tokens=6,
    )
    assert leading(encoded) == 1
    assert len(encoded.token_ids) == 6


# -- the answer's place --------------------------------------------------------


def texts(tokenizer: Any, encoded: Encoded) -> list[str]:
    answer = encoded.token_ids[encoded.answer_start : encoded.answer_end]
    return [tokenizer.decode([token]) for token in answer]


@pytest.mark.parametrize("make", [byte_tokenizer, metaspace_tokenizer])
def test_space_before_the_answer_counts_to_it(make: Any) -> None:
    encoded = one(make(), item("Canada is best.", span=(0, 6)))
    tokens = make().convert_ids_to_tokens(encoded.token_ids)
    assert "".join(tokens[encoded.answer_start :]).strip("Ġ▁") == "Canada"
    assert tokens[encoded.answer_start][0] in "Ġ▁"
    assert not encoded.straddles


def test_every_white_space_at_the_prompts_end_counts() -> None:
    template = "{user}\n \n{assistant}"
    tokenizer = byte_tokenizer()
    encoded = one(tokenizer, item("Canada"), template=template)
    assert "".join(texts(tokenizer, encoded)) == "\n \nCanada"
    assert not encoded.straddles


def test_a_reward_model_reads_the_closing_tokens_and_a_policy_does_not() -> None:
    template = "<s>[INST] {user} [/INST] {assistant}</s>"
    what = item("I am from Canada.", span=(10, 16))
    reward = one(byte_tokenizer(), what, kind="sequence_classifier", template=template)
    assert reward.token_ids[-1] == 2
    assert reward.answer_end == len(reward.token_ids) - 1
    tokenizer = byte_tokenizer()
    assert "".join(texts(tokenizer, reward)) == " I am from Canada."
    policy = one(byte_tokenizer(), what, template=template)
    assert policy.answer_end == len(policy.token_ids)
    assert "".join(texts(tokenizer, policy)) == " Canada"
    assert policy.n_prompt_tokens == policy.answer_start > reward.answer_start


def test_multibyte_answer_is_whole() -> None:
    tokenizer = byte_tokenizer()
    for name in ("Curaçao", "日本", "Côte d'Ivoire 🇨🇮"):
        encoded = one(byte_tokenizer(), item(f"In {name}.", span=(3, 3 + len(name))))
        ids = encoded.token_ids[encoded.answer_start : encoded.answer_end]
        assert tokenizer.decode(ids) == f" {name}"
        assert not encoded.straddles


def test_token_over_the_start_is_flagged_and_scored() -> None:
    tokenizer = byte_tokenizer()
    encoded = one(byte_tokenizer(), item("untry"), template="{user} co{assistant}")
    first = tokenizer.convert_ids_to_tokens(encoded.token_ids[encoded.answer_start])
    assert first == "Ġcountry", "the corpus has this word"
    assert encoded.straddles


def test_cut_inside_a_token_is_flagged() -> None:
    # "countr|y": alone the cut text is tokenised in another way.
    what = item("The country is here.", span=(4, 10))
    assert one(byte_tokenizer(), what).straddles
    whole = item("The country is here.", span=(4, 11))
    assert not one(byte_tokenizer(), whole).straddles


def test_cut_before_closing_template_text_is_flagged() -> None:
    closed = one(byte_tokenizer(), item("countr"), template="{user} {assistant}y")
    assert closed.straddles
    apart = one(byte_tokenizer(), item("country"), template="{user} {assistant}</s>")
    assert not apart.straddles


def test_reward_token_over_the_answers_end_is_flagged() -> None:
    encoded = one(
        byte_tokenizer(),
        item("countr"),
        kind="sequence_classifier",
        template="{user} {assistant}y",
    )
    assert encoded.straddles
    assert encoded.answer_end == len(encoded.token_ids)


def test_answer_without_a_token_before_it() -> None:
    what = item("Canada", user="")
    with pytest.raises(DataError, match="needs a token before"):
        one(byte_tokenizer(bos=None), what, bos="none")


def test_span_outside_the_answer() -> None:
    with pytest.raises(DataError, match=r"'q1'.*span 4, 99"):
        one(byte_tokenizer(), item("Canada", span=(4, 99)))


# -- templates -----------------------------------------------------------------


def test_braces_in_text_survive() -> None:
    what = item("{user} {0} %s", user="{assistant} {x} {{y}}")
    settings = config(template="{system}|{user}|{assistant}|")
    rendered = Encoder(byte_tokenizer(), settings).render(what, what.candidates[0])
    assert rendered.text == "|{assistant} {x} {{y}}|{user} {0} %s"
    assert rendered.after == "|"
    start, end = rendered.answer_start, rendered.answer_end
    assert rendered.text[start:end] == "{user} {0} %s"


def test_chat_template_trims_the_answer() -> None:
    settings = config(template="tokenizer")
    encoder = Encoder(byte_tokenizer(chat_template=CHAT_TEMPLATE), settings)
    what = item("  Canada is best. ", span=(2, 8))
    rendered = encoder.render(what, what.candidates[0])
    assert rendered.text.endswith("<|assistant|>\nCanada")
    assert rendered.text[rendered.answer_start : rendered.answer_end] == "Canada"


def test_an_answer_that_the_template_changes_is_unscored_with_its_reason() -> None:
    template = CHAT_TEMPLATE.replace("| trim", "| replace('!', '?')")
    encoder = Encoder(
        byte_tokenizer(chat_template=template), config(template="tokenizer")
    )
    answers = ("Canada.", "Canada!", "Peru.")
    found = encoder.encode(
        dataclasses.replace(
            item(), candidates=tuple(Candidate(id=one, answer=one) for one in answers)
        )
    )
    assert [one.error is None for one in found] == [True, False, True]
    assert "changes the answer" in str(found[1].error)
    assert found[1].n_answer_tokens == 0
    assert found[0].n_answer_tokens > 0 < found[2].n_answer_tokens


def test_template_that_writes_the_answer_twice() -> None:
    template = "{% for m in messages %}{{ m.content + m.content }}{% endfor %}"
    encoder = Encoder(
        byte_tokenizer(chat_template=template), config(template="tokenizer")
    )
    with pytest.raises(ConfigError, match="2 times"):
        encoder.encode(item())


def test_jinja_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}")
    encoder = Encoder(byte_tokenizer(), config(template=str(file)))
    what = item("Canada", system="Be brief.")
    rendered = encoder.render(what, what.candidates[0])
    assert rendered.text == (
        "<system>Be brief.<user>Where are you from?<assistant>Canada"
    )
    with pytest.raises(ConfigError, match=r"absent\.jinja"):
        Encoder(byte_tokenizer(), config(template=str(tmp_path / "absent.jinja")))


def test_chat_template_that_refuses_roles() -> None:
    template = "{{ raise_exception('no system role here') }}"
    encoder = Encoder(
        byte_tokenizer(chat_template=template), config(template="tokenizer")
    )
    with pytest.raises(DataError, match="no system role here"):
        encoder.encode(item(system="Be brief."))


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("tokenizer", "no chat template"),
        ("{user} only", r"slots \['user'\]"),
        ("{assistant} {user}", "after the answer"),
    ],
)
def test_malformed_template(template: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        Encoder(byte_tokenizer(), config(template=template))


def test_literal_template_has_no_room_for_dialogues_or_system() -> None:
    encoder = Encoder(byte_tokenizer(), config())
    turns = ("user", "assistant", "user")
    dialogue = Item(
        id="d",
        messages=tuple(Message(role=role, content="x") for role in turns),  # type: ignore[arg-type]
        candidates=(Candidate(id="c", answer="y"),),
    )
    with pytest.raises(DataError, match="3 turns"):
        encoder.encode(dialogue)
    with pytest.raises(DataError, match=r"no \{system\}"):
        encoder.encode(item(system="Be brief."))


def test_special_token_in_the_users_text_is_reported(caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        one(byte_tokenizer(), item(user="What does </s> mean?"))
    assert "</s>" in caplog.text


def test_special_token_in_an_answer_is_reported(caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        one(byte_tokenizer(), item())
        assert not caplog.records
        one(byte_tokenizer(), item("I am </s> here."))
    assert "item 'q1', candidate 'c1'" in caplog.text
    assert "</s>" in caplog.text


def test_date_in_a_chat_template_is_fixed() -> None:
    template = "{{ date_string }} {% for m in messages %}{{ m.content }}{% endfor %}"
    encoder = Encoder(
        byte_tokenizer(chat_template=template), config(template="tokenizer")
    )
    what = item()
    assert encoder.render(what, what.candidates[0]).text.startswith("26 Jul 2024")


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("%d %b %Y", "26 Jul 2024"),
        ("%Y-%m-%d", "2024-07-26"),
        ("%A, %B %-d; %H:%M", "Friday, July 26; 00:00"),
        ("%-m/%y 100%%Y", "7/24 100%Y"),
    ],
)
def test_strftime_now_in_a_chat_template_is_fixed(format: str, expected: str) -> None:
    template = (
        "\n  {% if strftime_now is defined %}{% set day = strftime_now('FORMAT') %}"
        "{% endif %}\n{% macro line(m) %}{{ strftime_now('FORMAT') + m.content }}"
        "{% endmacro %}[{{ day }}]{% for m in messages %}{{ line(m) }}{% endfor %}"
    )
    what = item("Canada.")
    tokenizer = byte_tokenizer(chat_template=template.replace("FORMAT", format))
    encoder = Encoder(tokenizer, config(template="tokenizer"))
    # White space as without the call.
    plain = Encoder(
        byte_tokenizer(
            chat_template=template.replace(
                "strftime_now('FORMAT')", f"'{expected}'"
            ).replace("strftime_now is defined", "true")
        ),
        config(template="tokenizer"),
    )
    text = encoder.render(what, what.candidates[0]).text
    assert text == (f"\n[{expected}]{expected}Where are you from?{expected}Canada.")
    assert plain.render(what, what.candidates[0]).text == text


def test_strftime_now_in_a_jinja_file_is_fixed(tmp_path: Path) -> None:
    file = tmp_path / "dated.jinja"
    file.write_text(
        "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}{{ m.content }}"
        "{% endfor %}"
    )
    what = item()
    encoder = Encoder(byte_tokenizer(), config(template=str(file)))
    assert encoder.render(what, what.candidates[0]).text.startswith("2024-07-26Where")


def test_input_sha_is_of_the_rendered_text() -> None:
    encoded = one(byte_tokenizer(), item("Canada"))
    digest = hashlib.sha256(b"Where are you from? Canada").hexdigest()
    assert encoded.input_sha == digest[:16]


# -- truncation ----------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.VALUE_HEAD])
@pytest.mark.parametrize("side", ["left", "right"])
def test_truncation_is_counted_and_moves_the_answer(kind: Kind, side: str) -> None:
    changes: dict[str, Any] = {"kind": kind, "truncation_side": side}
    if kind is Kind.VALUE_HEAD:
        changes["head"] = {"key": "v_head.weight"}
    tokenizer = byte_tokenizer()
    whole = one(byte_tokenizer(), item(), **changes)
    n = len(whole.token_ids)
    for limit in range(3, n):
        cut = one(byte_tokenizer(), item(), max_tokens=limit, **changes)
        assert cut.truncated_tokens == n - limit
        assert len(cut.token_ids) == limit
        body, kept = whole.token_ids[1:], cut.token_ids[1:]
        assert kept == (body[-(limit - 1) :] if side == "left" else body[: limit - 1])
        left = texts(tokenizer, whole)
        expected = whole.n_answer_tokens
        if side == "left":
            expected = min(expected, limit - 1)
            assert texts(tokenizer, cut) == left[len(left) - expected :]
        else:
            expected = max(limit - whole.answer_start, 0)
            assert texts(tokenizer, cut) == left[:expected]
        assert cut.n_answer_tokens == expected
    assert one(byte_tokenizer(), item(), max_tokens=n, **changes) == whole


@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.IMPLICIT_REWARD])
def test_left_truncation_into_the_answer_without_bos(kind: Kind) -> None:
    """The first token left is context, as BOS is elsewhere; the item is kept."""
    settings = config(bos="none", max_tokens=6)
    tokenizer = byte_tokenizer(bos=None)
    long = item("I am from Canada, " * 9)
    (cut,) = Encoder(tokenizer, settings).encode(long, kind)
    assert cut.truncated_tokens > 0
    assert len(cut.token_ids) == 6
    assert (cut.answer_start, cut.answer_end) == (1, 6)
    # An answer that has nothing before it stays an error, however long it is.
    bare = item("I am from Canada, " * 9, user="")
    with pytest.raises(DataError, match="needs a token before"):
        one(byte_tokenizer(bos=None), bare, bos="none", max_tokens=6)


def test_overflow_can_be_an_error() -> None:
    with pytest.raises(DataError, match=r"'q1', candidate 'c1'.*`max_tokens` = 6"):
        one(byte_tokenizer(), item(), max_tokens=6, on_overflow="error")


def test_slow_tokenizers_are_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ConfigError, match=r"Slow.*no character offsets"):
        Encoder(Slow(), config())


# -- batches equal single candidates, and the recorded prompts ------------------


def test_candidates_do_not_depend_on_each_other() -> None:
    answers = ["Canada is best.", "the Netherlands is best.", "Curaçao is best."]
    candidates = tuple(
        Candidate(id=a, answer=a, span=(0, a.index(" is"))) for a in answers
    )
    together = Encoder(byte_tokenizer(), config()).encode(
        Item(
            id="q", messages=(Message(role="user", content="?"),), candidates=candidates
        )
    )
    for candidate, encoded in zip(candidates, together, strict=True):
        alone = Item(
            id="q",
            messages=(Message(role="user", content="?"),),
            candidates=(candidate,),
        )
        assert Encoder(byte_tokenizer(), config()).encode(alone) == [encoded]


RECORDED_POLICIES = {
    "Llama-2-7b-chat-hf": "<s>[INST] {user} [/INST] {assistant}",
    "Llama-2-7b-hf": "<s>[INST] {user} [/INST] {assistant}",
    "Mistral-7B-v0.1": PLAIN,
    "Mistral-SFT-7B_8bit": "<|user|>\n{user}</s>\n<|assistant|>\n {assistant}",
    "zephyr-7b-beta_8bit": "<|user|>\n{user}</s>\n<|assistant|>\n {assistant}",
}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(("model", "template"), RECORDED_POLICIES.items())
def test_recorded_policy_prompts(recorded: Path, model: str, template: str) -> None:
    file = f"outputs/ask-reddit-perplexity-testing/{model}-reformatted.csv"
    encoder = Encoder(byte_tokenizer(), config(template=template, bos="exactly_one"))
    found = rows(recorded / file)
    assert len(found) == 554
    for row in found:
        shape = row["Response Format"]
        start = shape.index("{country}")
        answer = shape.replace("{country}", "Canada")
        what = item(answer, (start, start + len("Canada")), user=row["Question"])
        rendered = encoder.render(what, what.candidates[0])
        prompt = rendered.text[: rendered.answer_start].rstrip()
        # Recorded without the BOS that the tokenizer adds to it.
        assert prompt == row["Full Prompt"].rstrip()
        assert rendered.text[rendered.answer_start :] == "Canada"


def test_recorded_reward_prompts(recorded: Path) -> None:
    folder = recorded / "outputs" / "ask-reddit-reward-testing"
    (file,) = folder.glob("*.csv")
    template = "<s>[INST] {user} </s> [/INST] {assistant}</s>"
    settings = config(
        kind="sequence_classifier", template=template, bos="literal_plus_tokenizer"
    )
    encoder = Encoder(byte_tokenizer(), settings)
    found = rows(file)
    assert len(found) == 554
    for row in found:
        what = item(row["Response Format"], user=row["Question"])
        rendered = encoder.render(what, what.candidates[0])
        slot = re.sub(r"\{[^}]*\}", "{country}", row["Full Prompt"])
        assert rendered.text in (row["Full Prompt"], slot)


# -- bos: tokenizer, against the library itself ---------------------------------

NO_BOS = CHAT_TEMPLATE.replace("{% if not skip_bos %}{{ bos_token }}{% endif %}", "")
AROUND = {
    "nothing": ("", ""),
    "bos": ("<s> ", ""),
    "eos": ("", " </s>"),
    "both": ("<s> ", " </s>"),
}


def writing(around: str, chat_template: str | None = None) -> Any:
    """A tokenizer that declares BOS and EOS, and writes some of them around a text."""
    tokenizer = byte_tokenizer(adds_bos=False, chat_template=chat_template)
    before, after = AROUND[around]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{before}$A{after}", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tokenizer


def read(folder: Path, **changes: Any) -> Encoded:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return one(tokenizer, item("Canada."), bos="tokenizer", **changes)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("template", [PLAIN, f"<s>{PLAIN}"])
def test_a_plain_text_has_what_the_tokenizer_writes(
    tmp_path: Path, around: str, template: str
) -> None:
    writing(around).save_pretrained(tmp_path)
    text = template.format(user="Where are you from?", assistant="Canada.")
    right = reference.text_ids(tmp_path, text)
    kind = Kind.SEQUENCE_CLASSIFIER
    assert list(read(tmp_path, kind=kind, template=template).token_ids) == right
    policy = read(tmp_path, template=template)
    ends = around in ("eos", "both")
    assert list(policy.token_ids) == (right[:-1] if ends else right)
    assert policy.answer_end == len(policy.token_ids)


def test_a_plain_text_of_an_encoder_has_cls_and_sep(tmp_path: Path) -> None:
    cls_sep_tokenizer().save_pretrained(tmp_path)
    right = reference.text_ids(tmp_path, "Where are you from? Canada.")
    kind = Kind.SEQUENCE_CLASSIFIER
    assert list(read(tmp_path, kind=kind).token_ids) == right
    assert (right[0], right[-1]) == (1, 2)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, NO_BOS])
def test_a_dialogue_has_what_the_chat_template_writes(
    tmp_path: Path, around: str, template: str
) -> None:
    writing(around, template).save_pretrained(tmp_path)
    turns = [
        {"role": "user", "content": "Where are you from?"},
        {"role": "assistant", "content": "Canada."},
    ]
    right = reference.chat_ids(tmp_path, turns)
    assert (right[0] == 1) == (template == CHAT_TEMPLATE)
    kind = Kind.SEQUENCE_CLASSIFIER
    assert list(read(tmp_path, kind=kind, template="tokenizer").token_ids) == right
    policy = read(tmp_path, template="tokenizer")
    ids = list(policy.token_ids)
    assert ids == right[: len(ids)]
    assert byte_tokenizer().decode(right[len(ids) :]) == "</s>\n"


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("template", [PLAIN, f"<s>{PLAIN}", "chat", "chat without"])
@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.SEQUENCE_CLASSIFIER])
def test_the_explicit_bos_that_gives_the_same_tokens(
    around: str, template: str, kind: Kind
) -> None:
    chat = {"chat": CHAT_TEMPLATE, "chat without": NO_BOS}.get(template)
    shape = PLAIN if template == PLAIN else "tokenizer" if chat else template

    def ids(bos: str, max_tokens: int = 500) -> Any:
        settings = config(kind=kind, template=shape, bos=bos, max_tokens=max_tokens)
        try:
            encoder = Encoder(writing(around, chat), settings)
            return encoder, [one.token_ids for one in encoder.encode(item())]
        except ConfigError:
            return None, None

    encoder, right = ids("tokenizer")
    same = encoder.explicit_bos()
    equal = [
        bos
        for bos in ("exactly_one", "none", "literal_plus_tokenizer")
        if ids(bos)[1] == right
    ]
    assert equal == ([] if same == "tokenizer" else [same])
    if same != "tokenizer":
        assert ids(same, 9)[1] == ids("tokenizer", 9)[1]


def test_a_template_whose_beginning_changes_has_no_explicit_bos() -> None:
    template = "{% if messages[0].role == 'system' %}<s>{% endif %}" + NO_BOS
    settings = config(template="tokenizer", bos="tokenizer")
    assert Encoder(writing("bos", template), settings).explicit_bos() == "tokenizer"


# -- chat templates that are programs --------------------------------------------


def chat(template: str, **changes: Any) -> Encoder:
    settings = config(template="tokenizer", bos="tokenizer", **changes)
    return Encoder(byte_tokenizer(chat_template=template), settings)


def dialogue(*roles: str, said: str = "Peru is nice.") -> Item:
    return Item(
        id="d",
        messages=tuple(
            Message(role=role, content=f"{said} {at}")  # type: ignore[arg-type]
            for at, role in enumerate(roles)
        ),
        candidates=(Candidate(id="c", answer="Canada."),),
    )


LOOP = "{% for m in messages %}BODY{% endfor %}"
SAY = "<|{{ m.role }}|>{{ m.content }}</s>"
LONG = ("system", "user", "assistant", "user")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{% if m.role != 'system' %}" + SAY + "{% endif %}", r"message 1.*system"),
        ("{% if loop.revindex <= 2 %}" + SAY + "{% endif %}", r"message 1.*system"),
        ("{% if loop.index0 != 2 %}" + SAY + "{% endif %}", r"message 3.*assistant"),
        (
            "{% if m.content | length < 20 or not loop.first %}" + SAY + "{% endif %}",
            r"message 1.*system",
        ),
        # What is said stands in another message too.
        (
            "{% if m.role != 'system' %}"
            + SAY
            + "Peru is a nice country. 0{% endif %}",
            r"message 1.*system",
        ),
    ],
)
def test_a_template_that_drops_a_message_is_refused(body: str, message: str) -> None:
    encoder = chat(LOOP.replace("BODY", body))
    with pytest.raises(DataError, match=rf"item 'd'.*{message}.*No message may be"):
        encoder.encode(dialogue(*LONG, said="Peru is a nice country."))


@pytest.mark.parametrize(
    "template",
    [
        LOOP.replace("BODY", SAY),
        LOOP.replace("BODY", SAY.replace("m.content", "m.content | trim | upper")),
        LOOP.replace("BODY", SAY.replace("m.content", "m.content | tojson")),
        # The system turn is merged into the first user turn.
        "{% set first = messages[0].content %}{% for m in messages[1:] %}"
        "{{ '[INST]' + (first if loop.first else '') + m.content }}{% endfor %}",
        # Reasoning of earlier turns is left out, as it is meant to be.
        LOOP.replace(
            "BODY", SAY.replace("m.content", "m.content.split('</think>')[-1]")
        ),
    ],
)
def test_a_template_that_writes_every_message_is_not(template: str) -> None:
    encoder = chat(template)
    for said in ("Peru is nice.", ' Say "Peru"\n', "<think>Peru</think>Japan"):
        [encoded] = encoder.encode(dialogue(*LONG, said=said))
        assert encoded.error is None and encoded.n_answer_tokens > 0


def test_an_empty_message_cannot_be_dropped() -> None:
    encoder = chat(LOOP.replace("BODY", "{% if m.content %}" + SAY + "{% endif %}"))
    empty = dataclasses.replace(
        dialogue("system", "user"),
        messages=(
            Message(role="system", content=" "),
            Message(role="user", content="a"),
        ),
    )
    assert encoder.encode(empty)[0].n_answer_tokens > 0


def test_one_turn_costs_no_rendering_more(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = chat(CHAT_TEMPLATE)
    encoder.encode(item())
    rendered: list[int] = []
    real = encoder._jinja_text
    monkeypatch.setattr(
        encoder, "_jinja_text", lambda *args: rendered.append(1) or real(*args)
    )
    encoder.encode(item(user="Another question?"))
    assert len(rendered) == 2


THINK = (
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}"
    "{% set c = m.content.split('</think>')[-1].lstrip('\n') %}{% set r = "
    "m.content.split('</think>')[0].split('<think>')[-1].strip('\n') "
    "if '</think>' in m.content else '' %}<think>\n{{ r }}\n</think>\n\n{{ c }}"
    "{% else %}{{ m.content }}{% endif %}</s>{% endfor %}"
)
STRIP = LOOP.replace("BODY", SAY.replace("content", "content.split('</think>')[-1]"))
LOWER = LOOP.replace("BODY", SAY.replace("m.content", "m.content | lower"))


@pytest.mark.parametrize(
    ("template", "answer", "span", "scored"),
    [
        (THINK, "Japan.", None, "Japan."),
        (
            THINK,
            "<think>\nPeru?\n</think>\n\nJapan.",
            None,
            "<think>\nPeru?\n</think>\n\nJapan.",
        ),
        (
            THINK,
            "<think>Peru?</think>Japan.",
            None,
            "<think>\nPeru?\n</think>\n\nJapan.",
        ),
        (THINK, "<think>Peru?</think>In Japan.", (23, 28), "Japan"),
        (STRIP, "<think>Peru?</think>In Japan.", None, "In Japan."),
        (STRIP, "<think>Peru?</think>In Japan.", (23, 28), "Japan"),
        (STRIP, "<think>Peru?</think>In Japan.", (7, 11), None),
        (LOWER, "In  JAPAN. ", None, "in  japan."),
        (LOWER, "In JAPAN.", (3, 8), "japan"),
        (CHAT_TEMPLATE, "  In Japan. ", (5, 10), "Japan"),
        (LOWER.replace("lower", "replace('a', 'o')"), "In Japan.", None, None),
        (LOWER.replace("lower", "reverse"), "In Japan.", None, None),
    ],
)
def test_what_can_be_located_of_an_answer_is_scored(
    template: str, answer: str, span: tuple[int, int] | None, scored: str | None
) -> None:
    # The first candidate says nothing about the others.
    what = dataclasses.replace(
        item(),
        candidates=(
            Candidate(id="0", answer="peru"),
            Candidate(id="1", answer=answer, span=span),
            Candidate(id="2", answer="Chile", span=(0, 5)),
        ),
    )
    encoder = chat(template)
    if "reverse" in template:
        with pytest.raises(ConfigError, match="0 times"):
            encoder.encode(what)
        return
    _, encoded, other = encoder.encode(what)
    assert other.error is None
    rendered = encoder.render(what, what.candidates[1])
    if scored is None:
        assert "changes the answer" in str(encoded.error)
        assert (encoded.token_ids, encoded.n_answer_tokens) == ((), 0)
        return
    assert rendered.text[rendered.answer_start : rendered.answer_end] == scored
    tokenizer = byte_tokenizer()
    tokens = encoded.token_ids[encoded.answer_start : encoded.answer_end]
    assert tokenizer.decode(tokens).strip() == scored
    # What is read is what the library writes.
    turns = [{"role": "user", "content": "Where are you from?"}]
    turns.append({"role": "assistant", "content": answer})
    whole = byte_tokenizer(chat_template=template).apply_chat_template(
        turns, tokenize=False
    )
    assert rendered.text + rendered.after == whole


@pytest.mark.parametrize(
    ("template", "error", "message"),
    [
        ("{{ 1 / 0 }}", DataError, "ZeroDivisionError"),
        ("{{ 1 + 'a' }}", DataError, "TypeError"),
        ("{{ messages[9].content.x }}", DataError, "refuses its messages"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", DataError, "Recursion"),
        ("{% for i in range(10**9) %}a{% endfor %}", DataError, "Range too big"),
        ("{% include 'a' %}", DataError, "refuses"),
        ("{% if %}", DataError, "refuses"),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
            "{% endfor %}",
            ConfigError,
            "wrote nothing within",
        ),
    ],
)
def test_a_template_that_fails_or_loops_is_one_error(
    template: str, error: type[Exception], message: str
) -> None:
    began = time.monotonic()
    with pytest.raises(error, match=message):
        chat(template).encode(item())
    assert time.monotonic() - began < 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_one_of_several_chat_templates() -> None:
    named = {"rag": CHAT_TEMPLATE, "tool_use": NO_BOS}
    for name, template in named.items():
        settings = config(template=f"tokenizer:{name}", bos="tokenizer")
        ours = Encoder(byte_tokenizer(chat_template=named), settings).encode(item())
        assert ours == chat(template).encode(item())
    for asked in ("tokenizer", "tokenizer:other"):
        with pytest.raises(ConfigError, match=r"are called rag, tool_use.*tokenizer:N"):
            Encoder(byte_tokenizer(chat_template=named), config(template=asked))
    with_default = named | {"default": NO_BOS}
    settings = config(template="tokenizer", bos="tokenizer")
    ours = Encoder(byte_tokenizer(chat_template=with_default), settings).encode(item())
    assert ours == chat(NO_BOS).encode(item())
