"""Items become token sequences here, and nowhere else.

The only module that knows about beginning-of-sequence tokens (BOS), chat
templates, truncation and where the answer lies. The rules, in order:

1. The whole conversation is rendered to one text, and that text is tokenised once,
   so that a token boundary is never forced between prompt and answer.
2. What stands around it is what the tokenizer puts around a plain text, and nothing
   around a conversation, as `apply_chat_template` has it. Where the config's `bos`
   promises a number of leading BOS tokens instead, they are counted against that.
3. The answer starts at the first token whose characters end beyond the prompt.
   White space at the prompt's end counts to the answer, as in `_encode_pair` of
   https://github.com/EleutherAI/lm-evaluation-harness.
   An answer that a chat template writes otherwise (reasoning moved, blanks trimmed,
   letters in lower case) is scored where it stands; one that is not found there is
   left unscored, with the reason. A template that drops a message is refused.
4. What does not fit `max_tokens` is cut on the configured side, and counted. Where
   that leaves an answer without a token before it (left truncation without BOS), the
   first token left is context, as BOS is elsewhere, and is not scored.
5. A policy that answers in its own words reads the tokens that stand before an answer
   when a word is written in its place. A blank at the end (``"{user} {assistant}"``)
   is the model's to write, since tokenizers join it to the word after it, and so is
   any other white space that went into the word's token. A line break after a chat
   template's role is a token of its own, and read. The prompt may fill `max_tokens`
   less the tokens asked for.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import logging
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from probe.config import Kind, ModelConfig
from probe.types import GENERATED, Candidate, ConfigError, DataError, Encoded, Item

log = logging.getLogger(__name__)

_SLOT = re.compile(r"\{(user|assistant|system)\}")
# Of every kind of character that `_PLAIN` has, so that a template which writes it as
# it is writes such answers as they are.
_SENTINEL = "RmProbe_0, a. B; c: d! e? f' (g)-Slot"
_WRITTEN = re.compile("RmProbe.*?Slot", re.IGNORECASE | re.DOTALL)
# Of digits: whatever a template does to letters, it writes them.
_MARK = "73102649581"
_NEXT_WORD = re.compile(r"\s*\S*")
# Stands for an answer's first word, where a policy is to find the answer itself.
_A_WORD = "A"
_MAX_CUTS = 200_000
# Where a chat template writes `_SENTINEL` as it is, filling the slot with a line of
# such characters is safe if none of the template's own strings, which it might look
# for, is in it; any other answer, and an item's first, is rendered for real.
_PLAIN = re.compile(r"\w(?:[\w ,.;:!?'()-]*[\w.!?])?")
BOS_COUNT = {"exactly_one": 1, "none": 0, "literal_plus_tokenizer": 2}
# Some chat templates write today's date (where `date_string` gives none, or by calling
# `strftime_now`), which would change the scores overnight. This is the date Llama 3.1's
# own template falls back to, at midnight.
_TEMPLATE_DATE = datetime(2024, 7, 26, tzinfo=UTC)
_RENDER_SECONDS = 1.0
"""Of computing. A chat template takes a millisecond, and compiled the first time some
50; one that takes so long is none."""
# A template is a program of the checkpoint's: it fails in its own ways.
_TEMPLATE_ERRORS = (
    *(jinja2.TemplateError, ArithmeticError, AssertionError, AttributeError),
    *(LookupError, MemoryError, NameError, RuntimeError, SyntaxError, TypeError),
    ValueError,
)
_DIRECTIVES = "aAbBcdDeFGHIjmMpRSTuUVwWxXyYzZ"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One item x candidate as the text that is tokenised."""

    text: str
    """Everything a scorer reads, before the tokenizer's own added tokens. For a
    policy it ends with the answer span."""
    answer_start: int
    """First character of the scored answer span."""
    answer_end: int
    """One past its last character."""
    after: str
    """What a policy does not read: the rest of the answer and of the template."""
    error: str | None = None
    """Why nothing of the answer can be scored."""

    @property
    def sha(self) -> str:
        """sha256 of `text`, first 16 hex digits."""
        return _sha(self.text)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a policy answers in its own words."""

    encoded: Encoded
    """The tokens it reads, of candidate `GENERATED`; none of them is an answer's."""
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    """Strings that end the answer."""


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """A prompt rendered with an open slot for the answer."""

    before: str
    after: str
    plain: bool
    """Whether the slot was written as it is: plain answers then need no rendering."""


class Encoder:
    """Turns items into token sequences for one model config."""

    def __init__(self, tokenizer: Any, config: ModelConfig) -> None:
        """Takes over `tokenizer`, which must not be used elsewhere afterwards.

        Args:
            tokenizer: A fast transformers tokenizer.
            config: Says template, BOS, length and truncation side.

        Raises:
            ConfigError: The tokenizer has no character offsets, the template is
                missing or malformed, or the BOS promise cannot be kept.
        """
        if not tokenizer.is_fast:
            raise ConfigError(
                f"model '{config.name}': its tokenizer {type(tokenizer).__name__} "
                "reports no character offsets",
                "The answer is located by offsets, which fast tokenizers have",
                "Point `tokenizer` at a source with a tokenizer.json",
            )
        self.config = config
        self.tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.no_truncation()
        own = self._backend.encode("a", add_special_tokens=True).ids
        bare = self._backend.encode("a", add_special_tokens=False).ids
        at = next(
            (i for i in range(len(own)) if own[i : i + len(bare)] == bare), len(own)
        )
        self.own_prefix: tuple[int, ...] = tuple(own[:at])
        """Tokens the tokenizer itself puts before a text, such as BOS or [CLS]."""
        self.own_suffix: tuple[int, ...] = tuple(own[at + len(bare) :])
        """Tokens the tokenizer itself puts after a text, such as [SEP]."""
        # The post-processor adds the tokens measured above and trims white space off
        # offsets; without it the offsets cover every character.
        self._backend.post_processor = None
        self.bos_id: int | None = tokenizer.bos_token_id
        if self.bos_id is None:
            self.bos_id = tokenizer.cls_token_id
        self._cuts: dict[tuple[str, str], bool] = {("", ""): False}
        self.literal: list[str] = []
        """Texts and slots by turns of a literal template; empty: a chat template."""
        self._jinja: str | None = None
        self._whole: dict[tuple[str, ...], bool] = {}
        self._read_template()
        self._check_bos_promise()
        specials = [token for token in tokenizer.all_special_tokens if token]
        self._specials = (
            re.compile("|".join(map(re.escape, specials))) if specials else None
        )

    def _read_template(self) -> None:
        template = self.config.template
        where = f"{self.config.where}: `template`"
        if template.partition(":")[0] == "tokenizer":
            self._jinja = _dated(self._named_template(template.partition(":")[2]))
            return
        if template.endswith(".jinja"):
            try:
                self._jinja = _dated(Path(template).read_text(encoding="utf-8"))
            except OSError as error:
                raise ConfigError(
                    f"{where} = {template} cannot be read: {error.strerror}",
                    "A .jinja template is a file beside the config",
                    "Check the path",
                ) from error
            return
        slots = _SLOT.findall(template)
        if slots.count("assistant") != 1 or slots.count("user") != 1:
            raise ConfigError(
                f"{where} = {template!r} has slots {slots}",
                "A literal template has {user} and {assistant} once each, and "
                "optionally {system}",
                "Mend the template, or write `tokenizer` or a .jinja file",
            )
        if slots.index("assistant") != len(slots) - 1:
            raise ConfigError(
                f"{where} = {template!r} puts {{{slots[-1]}}} after the answer",
                "{assistant} is the last slot",
                "Mend the template",
            )
        self.literal = _SLOT.split(template)

    def _named_template(self, name: str) -> str:
        """The tokenizer's chat template of that name; empty: its one or default."""
        found = self.tokenizer.chat_template
        where = f"{self.config.where}: `template`"
        if not found:
            raise ConfigError(
                f"{where} is `tokenizer`, which has no chat template",
                "`tokenizer` needs one in the tokenizer's files",
                'Write a literal such as "{user} {assistant}", or a .jinja file',
            )
        several = found if isinstance(found, dict) else {"default": found}
        template = several.get(name or "default")
        if not isinstance(template, str):
            raise ConfigError(
                f"{where} is `{self.config.template}`; the tokenizer's chat templates "
                f"are called {', '.join(map(str, sorted(several)))}",
                "`tokenizer` is the one called default, and `tokenizer:NAME` another",
                "Write `template: tokenizer:NAME` with one of these names into a YAML "
                "config",
            )
        return template

    def _check_bos_promise(self) -> None:
        bos = self.config.bos
        where = f"{self.config.where}: `bos: {bos}`"
        if self.bos_id is None and bos not in ("none", "tokenizer"):
            raise ConfigError(
                f"{where}, but the tokenizer has no BOS token",
                "A promised BOS token must exist",
                "Write `bos: none`",
            )
        if bos == "literal_plus_tokenizer" and self.bos_id not in self.own_prefix:
            raise ConfigError(
                f"{where}, but the tokenizer adds no BOS of its own",
                "The template writes one BOS and the tokenizer adds another",
                "Write `bos: exactly_one`",
            )

    # -- text ---------------------------------------------------------------

    def _jinja_text(
        self, what: str, turns: Sequence[tuple[str, str]], answer: str
    ) -> str:
        """What the chat template writes of (role, content) turns and an answer.

        Args:
            what: Names the dialogue in errors.
            turns: What stands before the answer.
            answer: The assistant's last turn.
        """
        both = (*turns, ("assistant", answer))
        messages = [{"role": role, "content": content} for role, content in both]
        who = f"the chat template of {self.config.where}"
        try:
            with _limited(_RENDER_SECONDS):
                text = self.tokenizer.apply_chat_template(
                    messages,
                    chat_template=self._jinja,
                    tokenize=False,
                    add_generation_prompt=False,
                    date_string=_TEMPLATE_DATE.strftime("%d %b %Y"),
                )
        except TimeoutError as error:
            raise ConfigError(
                f"{who} wrote nothing within {_RENDER_SECONDS:g} s",
                "A chat template writes a dialogue in about a millisecond",
                "Mend its loops, or use another `template`",
            ) from error
        except _TEMPLATE_ERRORS as error:
            # What a template says by raise_exception speaks for itself.
            own = isinstance(error, jinja2.TemplateError)
            detail = " ".join(str(error).split())[:200]
            raise DataError(
                f"{what}: {who} refuses its messages: "
                f"{detail if own else f'{type(error).__name__}: {detail}'}",
                "Messages must be of roles and order the template accepts",
                "Use a probe that fits the model, or another `template`",
            ) from error
        return str(text)

    @functools.cached_property
    def _quoted(self) -> re.Pattern[str]:
        """What a chat template may look for in an answer: its strings with letters."""
        assert self._jinja is not None, "asked of chat templates alone"
        lexed = jinja2.Environment().lex(self._jinja)
        found = {text[1:-1] for _, kind, text in lexed if kind == "string"}
        words = [re.escape(text) for text in found if re.search(r"\w", text)]
        return re.compile("|".join(words) or r"(?!)", re.IGNORECASE)

    def _frame(self, item: Item) -> _Frame:
        if not self.literal:
            text = self._jinja_text(f"item '{item.id}'", _turns(item), _SENTINEL)
            found = list(_WRITTEN.finditer(text))
            if len(found) != 1:
                raise ConfigError(
                    f"model '{self.config.name}': `template` writes the answer "
                    f"{len(found)} times",
                    "A template writes the assistant's last answer exactly once",
                    "Use another `template`",
                )
            self._assert_none_dropped(item, text)
            slot = found[0]
            return _Frame(
                before=text[: slot.start()],
                after=text[slot.end() :],
                plain=slot.group() == _SENTINEL,
            )
        turns = [m for m in item.messages if m.role != "system"]
        system = "".join(m.content for m in item.messages if m.role == "system")
        if len(turns) != 1 or turns[0].role != "user":
            raise DataError(
                f"item '{item.id}' has {len(turns)} turns, and `template` of model "
                f"'{self.config.name}' is a literal",
                "A literal template has room for one user turn",
                "Use `template: tokenizer` or a .jinja file for dialogues",
            )
        if system and "system" not in self.literal[1::2]:
            raise DataError(
                f"item '{item.id}' has a system message, and `template` of model "
                f"'{self.config.name}' has no {{system}}",
                "No message may be dropped",
                "Add {system} to the template",
            )
        # Slots are filled by joining parts, never by str.format: braces in the
        # user's text are text.
        fill = {"user": turns[0].content, "system": system}
        parts = [
            part if i % 2 == 0 else fill[part]
            for i, part in enumerate(self.literal[:-2])
        ]
        return _Frame(before="".join(parts), after=self.literal[-1], plain=True)

    def _assert_none_dropped(self, item: Item, text: str) -> None:
        """Every message stands in what the template wrote, however it is written.

        A mark in its place shows that, once for each order of roles; and where a
        message does not stand there as it is, a mark beside it.
        """
        turns = _turns(item)
        roles = tuple(role for role, _ in turns)
        if roles not in self._whole:
            self._whole[roles] = all(
                self._writes(item, at, _MARK) for at in range(len(turns))
            )
        written = text.casefold()
        for at, (role, content) in enumerate(turns):
            said = content.strip()
            if not said or (self._whole[roles] and said.casefold() in written):
                continue
            beside = (f"{said}\n{_MARK}", f"{_MARK}\n{said}")
            if not any(self._writes(item, at, one) for one in beside):
                raise DataError(
                    f"item '{item.id}': the chat template of {self.config.where} "
                    f"leaves out message {at + 1}, of role {role}",
                    "No message may be dropped",
                    "Use a probe without such messages, or another `template`",
                )

    def _writes(self, item: Item, at: int, marked: str) -> bool:
        """Whether a mark in a message is written, or the message refused with it."""
        turns = _turns(item)
        turns[at] = (turns[at][0], marked)
        try:
            return _MARK in self._jinja_text(f"item '{item.id}'", turns, _SENTINEL)
        except DataError:
            return True

    def _with_answer(
        self, frame: _Frame, item: Item, candidate: Candidate
    ) -> tuple[str, Sequence[int | None]]:
        """The text with an answer, and where each of its characters stands in it."""
        answer, head = candidate.answer, len(frame.before)
        whole = frame.before + answer + frame.after
        as_it_is = range(head, head + len(answer))
        if self.literal or (
            frame.plain
            and candidate is not item.candidates[0]
            and _PLAIN.fullmatch(answer)
            and not self._quoted.search(answer)
        ):
            return whole, as_it_is
        text = self._jinja_text(f"item '{item.id}'", _turns(item), answer)
        return text, as_it_is if text == whole else _places(answer, text, frame)

    def _rendered(
        self, frame: _Frame, item: Item, candidate: Candidate, kind: Kind
    ) -> Rendered:
        error, answer = None, candidate.answer
        places: Sequence[int | None]
        try:
            text, places = self._with_answer(frame, item, candidate)
        except DataError as refusal:
            # The prompt it has written: it is the answer that it refuses.
            text, places, error = frame.before, [None] * len(answer), str(refusal)
        start, end = 0, len(answer)
        if kind is Kind.POLICY and candidate.span is not None:
            start, end = candidate.span
            if not 0 <= start < end <= len(answer):
                raise DataError(
                    f"item '{item.id}', candidate '{candidate.id}': span {start}, "
                    f"{end} of an answer of {len(answer)} characters",
                    "A span lies inside its answer and is not empty",
                    "Mend the probe's spans",
                )
        found = places[start:end]
        if not isinstance(places, range):
            found = [place for place in found if place is not None]
            if error is None and not found and answer[start:end].strip():
                error = "the chat template changes the answer beyond recognition"
        first = last = len(frame.before)
        if found:
            assert found[0] is not None and found[-1] is not None
            first, last = found[0], found[-1] + 1
        cut = last if kind is Kind.POLICY and error is None else len(text)
        return Rendered(
            text=text[:cut],
            answer_start=first,
            answer_end=last,
            after=text[cut:],
            error=error,
        )

    def render(
        self, item: Item, candidate: Candidate, kind: Kind | None = None
    ) -> Rendered:
        """The text of one candidate, with the answer's place in it.

        Args:
            item: The prompt.
            candidate: One of its answers.
            kind: What reads it; None: the config's own kind.

        Raises:
            DataError: The template has no place for a message, or drops it.
            ConfigError: The template does not write the answer exactly once.
        """
        return self._rendered(
            self._frame(item), item, candidate, kind or self.config.kind
        )

    # -- tokens -------------------------------------------------------------

    def encode(self, item: Item, kind: Kind | None = None) -> list[Encoded]:
        """Encodes every candidate of an item, in order.

        A sequence whose answer was cut away whole by `max_tokens` comes back with
        `n_answer_tokens` 0, to be stored as unscored; one whose answer the template
        changed beyond recognition has its `error` as well.

        Args:
            item: The prompt and its candidates.
            kind: What reads it; None: the config's own kind. A policy reads up to
                the end of the answer span, the others the whole text.

        Raises:
            ConfigError: The number of leading BOS tokens is not the promised one.
            DataError: As `render`; a policy's answer that has no token before it,
                truncation apart; a text longer than `max_tokens` under
                `on_overflow: error`.
        """
        kind = kind or self.config.kind
        frame = self._frame(item)
        rendered = [self._rendered(frame, item, c, kind) for c in item.candidates]
        self._warn_of_specials(item)
        bodies = self._backend.encode_batch(
            [r.text for r in rendered], add_special_tokens=False
        )
        crossed = self._crossed(rendered)
        return [
            self._encoded(item, candidate, r, body, kind, cut)
            for candidate, r, body, cut in zip(
                item.candidates, rendered, bodies, crossed, strict=True
            )
        ]

    def prompt(self, item: Item) -> Prompt:
        """What a policy reads before it answers an item in its own words: rule 5.

        Args:
            item: One that sets `max_new_tokens`.

        Raises:
            ConfigError: As `encode`.
            DataError: The template has no place for a message; a prompt that leaves
                no room for the answer under `on_overflow: error`; or no token is left
                to read.
        """
        asked = item.max_new_tokens
        assert asked is not None and asked > 0, "the item asks for no generation"
        assert all(item.stop), "an empty string would end every answer"
        text, ids = self._before_answer(self._frame(item).before)
        prefix, _, spared = self._around(ids[0] if ids else None)
        self._assert_bos(prefix, ids)
        room = max(self.config.max_tokens - asked - len(prefix), spared)
        over = self._over(
            f"item '{item.id}': a prompt of {len(prefix) + len(ids)} tokens, and "
            f"an answer of up to {asked}",
            len(ids) - room,
        )
        if over:
            ids = self._cut(ids, over, spared)
        if not prefix and not ids:
            raise DataError(
                f"item '{item.id}': model '{self.config.name}' reads no token before "
                f"its answer of up to {asked}",
                "A first token needs one before it",
                "Write `bos: exactly_one`, or raise `max_tokens`",
            )
        length = len(prefix) + len(ids)
        encoded = Encoded(
            item_id=item.id,
            candidate_id=GENERATED,
            token_ids=(*prefix, *ids),
            answer_start=length,
            answer_end=length,
            truncated_tokens=over,
            straddles=False,
            input_sha=_sha(text),
        )
        return Prompt(encoded=encoded, max_new_tokens=asked, stop=item.stop)

    def _before_answer(self, before: str) -> tuple[str, list[int]]:
        """The text and tokens that stand before an answer's first word."""
        filled = self._backend.encode(before + _A_WORD, add_special_tokens=False)
        start = len(before) - before.endswith(" ")
        n_tokens = len(filled.ids)
        first = _first_token(filled, start, len(before) + 1, n_tokens)
        if first < n_tokens:
            start = min(filled.token_to_chars(first)[0], start)
        if start < len(before.rstrip()):
            # The template's own last characters went into the word's token: nothing of
            # them may be lost, so the text is read as it stands.
            plain = self._backend.encode(before, add_special_tokens=False)
            return before, list(plain.ids)
        return before[:start], list(filled.ids[:first])

    def decode(self, token_ids: Sequence[int], stop: Sequence[str] = ()) -> str:
        """The text of generated tokens, up to the first stop string, stripped."""
        text = self._written(token_ids)
        return text[: _first(stop, text)].rstrip()

    def stopped(self, token_ids: Sequence[int], stop: Sequence[str]) -> bool:
        """Whether the text of generated tokens holds a stop string.

        All of it is decoded each time: what a token adds depends on those before it
        (bytes of one character, a first word's space), and 50 tokens take some 10 us.
        """
        return bool(stop) and _first(stop, self._written(token_ids)) is not None

    def _written(self, token_ids: Sequence[int]) -> str:
        """Text of tokens; special tokens and white space in front are left out."""
        text = self.tokenizer.decode(
            list(token_ids),
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return str(text).lstrip()

    def _crossed(self, rendered: Sequence[Rendered]) -> list[bool]:
        """Whether a token of the uncut text would have crossed the policy's cut.

        The words at both sides of the cut decide that: no tokenizer in use merges
        across a word and the white space around it. So pairs of words are looked
        at, once each.
        """
        pairs = [
            (_last_word(r.text), _NEXT_WORD.findall(r.after)[0])
            if r.after
            else ("", "")
            for r in rendered
        ]
        if len(self._cuts) > _MAX_CUTS:
            self._cuts = {("", ""): False}
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._cuts]
        words = self._backend.encode_batch(
            [left + right for left, right in new], add_special_tokens=False
        )
        for pair, encoding in zip(new, words, strict=True):
            self._cuts[pair] = _crosses(encoding, len(pair[0]))
        return [self._cuts[pair] for pair in pairs]

    def _warn_of_specials(self, item: Item) -> None:
        if self._specials is None:
            return
        said = [("its text", message.content) for message in item.messages]
        said += [(f"candidate '{c.id}'", c.answer) for c in item.candidates]
        for where, text in said:
            if found := self._specials.search(text):
                log.warning(
                    "item '%s', %s: the special token %s is in it, and read as one",
                    *(item.id, where, found.group()),
                )

    def _own(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the tokenizer puts before and after a text of this template."""
        if not self.literal:
            return (), ()
        return self.own_prefix, self.own_suffix

    def explicit_bos(self) -> str:
        """The explicit `bos` that gives the tokens of `bos: tokenizer`.

        Returns:
            `tokenizer` where there is none: the template begins otherwise from one
            dialogue to the next, or the tokenizer closes texts that it does not begin.

        Raises:
            DataError: The chat template refuses every dialogue.
        """
        texts, refused = [], None
        if self.literal:
            texts = [_A_WORD.join(self.literal[::2])]
        else:
            for roles in (["user"], ["system", "user"], ["user", "assistant", "user"]):
                turns = [(role, _A_WORD) for role in roles]
                try:
                    texts.append(self._jinja_text("a dialogue", turns, _A_WORD))
                except DataError as error:
                    refused = error
        if not texts and refused is not None:
            raise refused
        bodies = self._backend.encode_batch(texts, add_special_tokens=False)
        counts = {self.leading_bos(body.ids) for body in bodies}
        if len(counts) != 1:
            return "tokenizer"
        written, (prefix, suffix) = counts.pop(), self._own()
        if not prefix and (not suffix or self.config.kind is Kind.POLICY):
            return {0: "none", 1: "exactly_one"}.get(written, "tokenizer")
        if self.leading_bos(prefix) == 1 and written <= 1:
            return ("exactly_one", "literal_plus_tokenizer")[written]
        return "tokenizer"

    def _around(
        self, first: int | None
    ) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Tokens before and after a text that starts with token `first`.

        Returns:
            The prefix, the suffix, and how many of the text's own first tokens
            truncation must spare (a BOS that the template wrote).
        """
        bos = self.config.bos
        if bos == "none":
            return (), (), 0
        if bos == "tokenizer":
            prefix, suffix = self._own()
            begins = self.bos_id is not None and first == self.bos_id
            return prefix, suffix, int(begins and self.bos_id not in prefix)
        if bos == "literal_plus_tokenizer":
            # Left truncation drops the literal first, as the tokenizer itself does.
            return self.own_prefix, self.own_suffix, 0
        if first == self.bos_id:
            return (), (), 1
        assert self.bos_id is not None, "_check_bos_promise refused this"
        own = self.own_prefix
        return (own if self.bos_id in own else (self.bos_id,)), self.own_suffix, 0

    def _encoded(
        self,
        item: Item,
        candidate: Candidate,
        rendered: Rendered,
        body: Any,
        kind: Kind,
        crossed: bool,
    ) -> Encoded:
        ids: list[int] = body.ids
        start, end, straddles = _answer_tokens(body, len(ids), rendered)
        if rendered.error is not None:
            start = end = len(ids)
        prefix, suffix, spared = self._around(ids[0] if ids else None)
        if kind is Kind.POLICY:
            ids, suffix = ids[:end], ()
        self._assert_bos(prefix, ids)
        room = max(self.config.max_tokens - len(prefix) - len(suffix), spared)
        over = self._over(
            f"item '{item.id}', candidate '{candidate.id}': "
            f"{len(prefix) + len(ids) + len(suffix)} tokens",
            len(ids) - room,
        )
        led = start > 0
        if over:
            ids = self._cut(ids, over, spared)
            if self.config.truncation_side == "left":
                start, end = max(start - over, spared), max(end - over, spared)
            else:
                start, end = min(start, len(ids)), min(end, len(ids))
        start, end = start + len(prefix), end + len(prefix)
        if kind is not Kind.SEQUENCE_CLASSIFIER and kind is not Kind.VALUE_HEAD:
            if led and over and start == 0 < end:
                # Left truncation reached into the answer: rule 4.
                start = 1
            if start == 0 < end:
                raise DataError(
                    f"item '{item.id}', candidate '{candidate.id}': the answer starts "
                    f"at the first token that model '{self.config.name}' reads",
                    "A log-probability needs a token before the answer",
                    "Write `bos: exactly_one`, or a template with text before "
                    "{assistant}",
                )
        return Encoded(
            item_id=item.id,
            candidate_id=candidate.id,
            token_ids=(*prefix, *ids, *suffix),
            answer_start=start,
            answer_end=end,
            truncated_tokens=over,
            straddles=straddles or crossed,
            input_sha=rendered.sha,
            error=rendered.error,
        )

    def _over(self, found: str, over: int) -> int:
        """How many tokens are too many, where they may be cut."""
        if over > 0 and self.config.on_overflow == "error":
            raise DataError(
                found,
                f"model '{self.config.name}' reads at most `max_tokens` = "
                f"{self.config.max_tokens}",
                "Shorten the item, raise `max_tokens`, or write `on_overflow: flag`",
            )
        return max(over, 0)

    def _cut(self, ids: list[int], over: int, spared: int) -> list[int]:
        """Without `over` tokens of the configured side."""
        if self.config.truncation_side == "left":
            return ids[:spared] + ids[spared + over :]
        return ids[: len(ids) - over]

    def _assert_bos(self, prefix: Sequence[int], ids: Sequence[int]) -> None:
        if self.config.bos == "tokenizer":
            return
        promised = BOS_COUNT[self.config.bos]
        count = self.leading_bos((*prefix, *ids[:3]))
        if count == promised:
            return
        raise ConfigError(
            f"{self.config.where}: `bos: {self.config.bos}` promises {promised} "
            f"leading BOS token(s) ({self.tokenizer.bos_token!r}), and the text starts "
            f"with {count}",
            "The template and `bos` together give the promised number",
            "Write BOS into `template` or take it out, or change `bos`",
        )

    def leading_bos(self, token_ids: Sequence[int]) -> int:
        """Number of BOS tokens a sequence starts with."""
        begins = itertools.takewhile(lambda token: token == self.bos_id, token_ids)
        return sum(1 for _ in begins)


def _turns(item: Item) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in item.messages]


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises TimeoutError after so much computing; other threads get no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    began = time.thread_time()

    def ring(*_: object) -> None:
        if time.thread_time() - began >= seconds:
            raise TimeoutError

    handler = signal.signal(signal.SIGALRM, ring)
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds, seconds / 8)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, every)
        signal.signal(signal.SIGALRM, handler)


def _places(answer: str, text: str, frame: _Frame) -> list[int | None]:
    """Where the characters of an answer stand that a template wrote otherwise.

    It ends where the template's closing text begins. It may be trimmed, of other case
    or other white space; or a part of it alone is written. None: is nowhere.
    """
    places: list[int | None] = [None] * len(answer)
    if not text.endswith(frame.after):
        return places
    end = len(text) - len(frame.after)
    body, head, trimmed = text[:end], len(frame.before), answer.strip()
    visible, wanted = _visible(body), _visible(answer)
    if body.endswith(trimmed):
        at, begin, length = answer.find(trimmed), end - len(trimmed), len(trimmed)
    elif [c for c, _ in visible[-len(wanted) :]] == [c for c, _ in wanted]:
        for (_, at), (_, place) in zip(wanted, visible[-len(wanted) :], strict=True):
            places[at] = place
        return places
    elif body.startswith(frame.before) and (at := answer.rfind(body[head:])) >= 0:
        begin, length = head, end - head
    else:
        return places
    places[at : at + length] = range(begin, begin + length)
    return places


def _visible(text: str) -> list[tuple[str, int]]:
    """Characters without white space and case, each with its place."""
    return [(c, at) for at, one in enumerate(text) for c in one.casefold().strip()]


def _first(strings: Sequence[str], text: str) -> int | None:
    """Where the string begins that is complete first; None: the text holds none.

    Of strings that end together it is the longest. So it does not matter how much
    text follows.
    """
    found = [(at + len(one), at) for one in strings if (at := text.find(one)) >= 0]
    return min(found)[1] if found else None


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _dated(template: str) -> str:
    """A chat template with a `strftime_now` of the fixed date.

    The library turns everything handed to a template into plain data, a function too,
    so the template brings its own: at one fixed moment each directive is a constant.
    """
    if "strftime_now" not in template:
        return template
    marks = [f"%{flag}{letter}" for flag in ("", "-") for letter in _DIRECTIVES]
    pairs = [("%%", "\0"), *((mark, _TEMPLATE_DATE.strftime(mark)) for mark in marks)]
    filters = "".join(
        f" | replace({json.dumps(old)}, {json.dumps(new)})"
        for old, new in [*pairs, ("\0", "%")]
    )
    # The library's environment drops the newline after a block, so that the template
    # proper begins at the start of a line, as it did.
    return (
        "{% macro strftime_now(format) %}{{ format" + filters + " }}{% endmacro %}\n"
    ) + template


def _last_word(text: str, window: int = 128) -> str:
    """The last word with one white space before it and all that follows it."""
    tail = text[-window:]
    word = tail.rsplit(maxsplit=1)[-1] if tail.strip() else ""
    return tail[max(tail.rfind(word) - 1, 0) :]


def _first_token(encoding: Any, char: int, n_chars: int, n_tokens: int) -> int:
    """Index of the first token that ends beyond `char`; `n_tokens`: none does."""
    for at in range(char, n_chars):
        token = encoding.char_to_token(at)
        if token is not None:
            return int(token)
    return n_tokens


def _answer_tokens(
    encoding: Any, n_tokens: int, rendered: Rendered
) -> tuple[int, int, bool]:
    """Token range of the answer, and whether a token at its edges leaves it."""
    text, end_char = rendered.text, rendered.answer_end
    # White space at the prompt's end counts to the answer.
    prompt_end = len(text[: rendered.answer_start].rstrip())
    start = _first_token(encoding, prompt_end, len(text), n_tokens)
    straddles = start < n_tokens and encoding.token_to_chars(start)[0] < prompt_end
    end = _first_token(encoding, end_char, len(text), n_tokens)
    while end < n_tokens and encoding.token_to_chars(end)[0] < end_char:
        end += 1
        straddles = True
    return start, max(end, start), straddles


def _crosses(encoding: Any, char: int) -> bool:
    """Whether a token covers characters on both sides of `char`."""
    token = encoding.char_to_token(char)
    return token is not None and encoding.token_to_chars(token)[0] < char
