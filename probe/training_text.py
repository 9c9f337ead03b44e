"""What a stage is trained on, token by token: template, padding, length, loss."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.config import Kind
from probe.encode import Encoder
from probe.models import load_tokenizer
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
    tokenizer = load_tokenizer(
        request.base.resolved.tokenizer, config.trust_remote_code
    )
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
    """A pad token that is not the end of a text.

    The library reads a reward before the last pad token, so that none may end with it;
    and trainers that mask by the token's number would not learn the end.
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


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Rows that are trained on, and what became of the others."""

    kept: list[dict[str, Any]]
    given: int
    shortened: int
    """Rows that lost their first exchanges."""
    cut: int
    """Rows whose end is cut off."""
    dropped: tuple[str, ...]
    """Ids of rows that do not fit: of a reward model whole, of others their prompt."""

    def record(self) -> dict[str, object]:
        """As `training.json` has it."""
        return {
            "given": self.given,
            "trained": len(self.kept),
            "shortened": self.shortened,
            "cut": self.cut,
            "dropped": list(self.dropped),
        }


def fitted(
    rows: Sequence[dict[str, Any]], tokenizer: Any, arguments: Any, request: Request
) -> Fitted:
    """Leaves out what the trainer would, so that it is known which rows these are.

    Args:
        rows: Of the mix.
        tokenizer: With the chat template.
        arguments: The trainer's.
        request: Whether dialogues lose their first turns until they fit.

    Raises:
        ConfigError: No row fits.
    """
    limit: int | None = arguments.max_length
    stage = request.plan.stage
    packed = stage == "sft" and arguments.packing
    if limit is None or packed:
        return Fitted(kept=list(rows), given=len(rows), shortened=0, cut=0, dropped=())
    ends_kept = stage != "reward" and arguments.truncation_mode == "keep_end"
    kept, dropped = [], []
    shortened = cut = 0
    for given in rows:
        row = _shortened(given, tokenizer, limit) if request.plan.drop_turns else given
        shortened += len(row["prompt"]) < len(given["prompt"])
        fits = longest(tokenizer, row) <= limit
        if not fits and stage != "reward":
            fits = (
                ends_kept or len(token_ids(tokenizer, row["prompt"], open=True)) < limit
            )
            cut += fits
        elif not fits and request.plan.cut_answers:
            if (shorter := _cut(row, tokenizer, limit)) is not None:
                row, fits = shorter, True
                cut += 1
        if fits:
            kept.append(row)
        else:
            dropped.append(str(row["id"]))
    if not kept:
        raise ConfigError(
            f"{request.where}: of {len(rows)} rows none fits into `max_length` = "
            f"{limit} tokens",
            "A reward is of a whole text; of others a prompt leaves room for an answer",
            "Raise `trainer.max_length`, or set `drop_turns: true`"
            + (" or `cut_answers: true`" if stage == "reward" else ""),
        )
    if dropped or cut:
        logger.warning(
            "%s: `max_length` = %d leaves out %d and cuts %d of %d rows",
            *(request.name, limit, len(dropped), cut, len(rows)),
        )
    return Fitted(
        kept=kept,
        given=len(rows),
        shortened=shortened,
        cut=cut,
        dropped=tuple(dropped),
    )


def _shortened(row: dict[str, Any], tokenizer: Any, limit: int) -> dict[str, Any]:
    """A row without its first exchanges, as many as it takes to fit."""
    system = [turn for turn in row["prompt"] if turn["role"] == "system"]
    said = row["prompt"][len(system) :]
    kept = row
    while len(said) > 2 and longest(tokenizer, kept) > limit:
        said = said[2:]
        kept = {**row, "prompt": system + said}
    return kept


def _cut(row: dict[str, Any], tokenizer: Any, limit: int) -> dict[str, Any] | None:
    """A pair whose answers lose their end until they fit; None: nothing would be left.

    Two answers that differ only in what is lost are no pair either.
    """
    kept = dict(row)
    for column in ("chosen", "rejected"):
        *before, last = row[column]
        ids = tokenizer(last["content"], add_special_tokens=False)["input_ids"]
        n = len(ids)
        while (
            over := len(token_ids(tokenizer, row["prompt"] + kept[column])) - limit
        ) > 0:
            n -= over
            if n < 1:
                return None
            # A character of several tokens may be cut in two.
            text = tokenizer.decode(ids[:n]).rstrip("\ufffd")
            kept[column] = [*before, {**last, "content": text}]
    return None if kept["chosen"] == kept["rejected"] else kept


def longest(tokenizer: Any, row: Mapping[str, Any]) -> int:
    """Tokens of a row's longest text, its prompt included."""
    return max(text_lengths(tokenizer, row))


def text_lengths(tokenizer: Any, row: Mapping[str, Any]) -> list[int]:
    """Tokens of each of a row's texts: its prompt with each of its answers."""
    answers = [row[key] for key in ANSWERS if key in row]
    return [len(token_ids(tokenizer, row["prompt"] + one)) for one in answers]


def token_ids(
    tokenizer: Any, turns: Sequence[Mapping[str, str]], *, open: bool = False
) -> list[int]:
    """A dialogue's tokens in the chat template; `open`: an answer is to follow."""
    found = tokenizer.apply_chat_template(
        list(turns), tokenize=True, return_dict=True, add_generation_prompt=open
    )
    ids: list[int] = found["input_ids"]
    return ids


def row_lengths(data: Any, limit: int | None) -> list[int]:
    """Tokens of each row as the trainer reads it: of a pair, those of both texts."""
    columns = set(data.column_names)
    whole = {"input_ids"} & columns or {"chosen_ids", "rejected_ids"}
    lengths = []
    for row in data:
        prompt = len(row["prompt_ids"]) if "prompt_ids" in columns else 0
        each = [prompt + len(row[column]) for column in sorted(whole)]
        lengths.append(sum(min(one, limit) if limit else one for one in each))
    return lengths


def decoded(row: Mapping[str, Any], tokenizer: Any) -> str:
    """A training row as text; what its loss is taken of stands between brackets."""
    if "labels" in row:
        return _marked(
            row["input_ids"], [one != -100 for one in row["labels"]], tokenizer
        )
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
    # Of a copy: an encoder changes its tokenizer, and this one is saved.
    return Encoder(copy.deepcopy(tokenizer), config)


def check_alike(
    data: Any,
    rows: Sequence[Mapping[str, Any]],
    encoder: Encoder,
    arguments: Any,
    request: Request,
) -> None:
    """Checks on a row that a text is scored as the tokens that it was trained as.

    Args:
        data: The trainer's rows.
        rows: The same as dialogues, in the same order.
        encoder: How texts are encoded for scoring.
        arguments: The trainer's.
        request: Names the stage.

    Raises:
        ConfigError: It is not.
    """
    stage = request.plan.stage
    if stage == "sft" and (arguments.packing or arguments.shuffle_dataset):
        return
    assert len(data) == len(rows), "the trainer leaves out the rows that we do"
    limit: int | None = arguments.max_length
    whole = (
        at
        for at, row in enumerate(rows)
        if limit is None or longest(encoder.tokenizer, row) <= limit
    )
    at = next(whole, None)
    if at is None:
        return
    given, row = rows[at], data[at]
    role = "completion" if stage == "sft" else "chosen"
    item = Item(
        id=str(given["id"]),
        messages=tuple(Message(**turn) for turn in given["prompt"]),
        candidates=(Candidate(id=role, answer=given[role][-1]["content"]),),
    )
    [encoded] = encoder.encode(item)
    ids = row["input_ids"] if stage == "sft" else row["chosen_ids"]
    if stage == "dpo":
        ids = [*row["prompt_ids"], *ids]
    # A policy is scored up to the answer's end, a reward on all that is there.
    end = None if stage == "reward" else len(encoded.token_ids)
    if list(encoded.token_ids) != list(ids)[:end]:
        raise ConfigError(
            f"{request.where}: row '{given['id']}' is encoded otherwise for scoring "
            "than for training",
            "A checkpoint is scored on texts as it was trained on them",
            "Check the chat template of the base, and `chat_template`",
        )
