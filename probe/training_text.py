"""What a stage is trained on, token by token: template, padding, length, loss."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from probe.config import Kind
from probe.encode import Encoder
from probe.models import load_encoder
from probe.training_request import Request
from probe.types import Candidate, ConfigError, Item, Message

logger = logging.getLogger(__name__)

ANSWERS = ("completion", "chosen", "rejected")


def tokenizer_of(request: Request) -> Any:
    """The base's tokenizer, with the template it is trained in and a pad of its own.

    Raises:
        ConfigError: There is no chat template, or no token to pad with.
    """
    config = request.base.config
    tokenizer = load_encoder(config, request.base.resolved).tokenizer
    if request.plan.chat_template is not None:
        tokenizer.chat_template = template_text(request)
    elif config.template.endswith(".jinja"):
        tokenizer.chat_template = Path(config.template).read_text(encoding="utf-8")
    elif config.template != "tokenizer":
        raise ConfigError(
            f"{request.where}: {config.where} has no chat template (its `template` is "
            f"{config.template!r})",
            "Rows are dialogues, and reach the trainer as such",
            "Name a .jinja file as `chat_template` of the stage",
        )
    tokenizer.pad_token = _pad(tokenizer, request)
    return tokenizer


def _pad(tokenizer: Any, request: Request) -> str:
    """A pad token that is not the end: masked with it, the end would not be learned.

    A reward is also read before the last pad token, so that no text may end with it.
    """
    end = tokenizer.eos_token
    marks = [one.content for one in tokenizer.added_tokens_decoder.values()]
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        tokenize=False,
    )
    wanted = [tokenizer.pad_token, tokenizer.unk_token, *tokenizer.all_special_tokens]
    for one in (*wanted, *marks):
        if one is not None and one != end and one not in rendered:
            if one != tokenizer.pad_token:
                logger.info(
                    "%s: the pad token is %s; %s pads here", request.name,
                    f"the end token {end}" if tokenizer.pad_token == end else "missing",
                    one,
                )  # fmt: skip
            return str(one)
    raise ConfigError(
        f"{request.where}: {request.base.config.where} has no pad token, and no "
        "special token that the chat template does not use",
        "Rows of a batch are padded with a token that is not the end of a text",
        "Save the base with a pad token of its own",
    )


def template_text(request: Request) -> str:
    """The text of the stage's `chat_template`.

    Raises:
        ConfigError: It cannot be read.
    """
    path = Path(str(request.plan.chat_template))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{request.where}: `chat_template` = {path} cannot be read",
            "It is a .jinja file; relative paths start at the ablation's",
            "Correct the path",
        ) from error


def fitted(
    rows: Sequence[dict[str, Any]], tokenizer: Any, limit: int | None
) -> tuple[list[dict[str, Any]], int]:
    """Rows with as many of their last turns as fit; how many lost some."""
    if limit is None:
        return list(rows), 0
    found, cut = [], 0
    for row in rows:
        turns = list(row["prompt"])

        system = [turn for turn in turns if turn["role"] == "system"]
        said = turns[len(system) :]
        kept = {**row, "prompt": turns}
        while len(said) > 2 and longest(tokenizer, kept) > limit:
            said = said[2:]
            kept["prompt"] = system + said
        cut += len(kept["prompt"]) < len(turns)
        found.append(kept)
    return found, cut


def longest(tokenizer: Any, row: Mapping[str, Any]) -> int:
    """Tokens of a row's longest text, its prompt included."""
    return max(text_lengths(tokenizer, row))


def text_lengths(tokenizer: Any, row: Mapping[str, Any]) -> list[int]:
    """Tokens of each of a row's texts: its prompt with each of its answers."""
    answers = [row[key] for key in ANSWERS if key in row]
    return [len(token_ids(tokenizer, row["prompt"] + one)) for one in answers]


def token_ids(tokenizer: Any, turns: Sequence[Mapping[str, str]]) -> list[int]:
    """A dialogue's tokens in the chat template."""
    found = tokenizer.apply_chat_template(list(turns), tokenize=True, return_dict=True)
    ids: list[int] = found["input_ids"]
    return ids


def row_lengths(data: Any, limit: int | None, request: Request) -> list[int]:
    """Tokens of each row as the trainer reads it.

    Raises:
        ConfigError: No row is left.
    """
    columns = set(data.column_names)
    whole = {"input_ids"} & columns or {"chosen_ids", "rejected_ids"}
    lengths = []
    for row in data:
        prompt = len(row["prompt_ids"]) if request.plan.stage == "dpo" else 0
        each = [prompt + len(row[column]) for column in sorted(whole)]
        lengths.append(sum(min(one, limit) if limit else one for one in each))
    if not lengths:
        raise ConfigError(
            f"{request.where}: no row is at most `max_length` = {limit} tokens long",
            "Some rows are left to train on",
            "Raise `trainer.max_length`, or set `drop_turns: true`",
        )
    return lengths


def decoded(row: Mapping[str, Any], tokenizer: Any) -> str:
    """A training row as text; what its loss is taken of stands between brackets."""
    if "labels" in row:
        return _marked(
            row["input_ids"], [one != -100 for one in row["labels"]], tokenizer
        )
    if "completion_mask" in row:
        return _marked(row["input_ids"], row["completion_mask"], tokenizer)
    prompt = list(row.get("prompt_ids", ()))
    texts = []
    for name in ("chosen", "rejected"):
        ids = row[f"{name}_ids"]
        # A reward is of the whole text.
        mask = [not prompt] * len(prompt) + [True] * len(ids)
        texts.append(f"{name}:\n{_marked([*prompt, *ids], mask, tokenizer)}")
    return "\n".join(texts)


def _marked(ids: Sequence[int], mask: Sequence[object], tokenizer: Any) -> str:
    parts: list[str] = []
    start = 0
    for end in range(1, len(ids) + 1):
        if end == len(ids) or bool(mask[end]) != bool(mask[start]):
            text = tokenizer.decode(ids[start:end], skip_special_tokens=False)
            parts.append(f"\u27e6{text}\u27e7" if mask[start] else text)
            start = end
    return "".join(parts) + "\n"


def encoder_of(request: Request, tokenizer: Any) -> Encoder:
    """How the checkpoint's texts are encoded for scoring: as they are for training."""
    base = request.base.config
    kind = Kind.SEQUENCE_CLASSIFIER if request.plan.stage == "reward" else Kind.POLICY
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    first = token_ids(tokenizer, turns)[0]
    none = tokenizer.bos_token_id is None or first != tokenizer.bos_token_id
    config = base.model_copy(
        update={
            "name": request.name,
            "kind": kind,
            "template": "tokenizer",
            "bos": "none" if none else "exactly_one",
            "golden": (),
        }
    )
    return Encoder(tokenizer, config)


def check_alike(
    row: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    encoder: Encoder,
    request: Request,
) -> None:
    """Checks that a text is scored as the tokens that it was trained as.

    Raises:
        ConfigError: It is not.
    """
    reward = request.plan.stage == "reward"
    if request.plan.stage == "sft" and "completion_mask" not in row:
        return
    for given in rows:
        role = "completion" if request.plan.stage == "sft" else "chosen"
        item = Item(
            id="row",
            messages=tuple(Message(**turn) for turn in given["prompt"]),
            candidates=(Candidate(id=role, answer=given[role][-1]["content"]),),
        )
        [encoded] = encoder.encode(item)
        ids = row["input_ids"] if request.plan.stage == "sft" else row[f"{role}_ids"]
        if request.plan.stage == "dpo":
            ids = [*row["prompt_ids"], *ids]
        wanted = list(ids)[: None if reward else len(encoded.token_ids)]
        if list(encoded.token_ids[: len(wanted)]) == wanted:
            return
    raise ConfigError(
        f"{request.where}: no row is encoded for scoring as the first one is for "
        "training",
        "A checkpoint is scored on texts as it was trained on them",
        "Check the chat template of the base, and `chat_template`",
    )
