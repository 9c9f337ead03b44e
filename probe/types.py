"""The words every part of rm-probe shares: items, encodings, score rows, errors.

Everything measured is ``Item x Candidate -> float``. This module defines those
three and imports nothing but the standard library, so that any other module may
import it.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Dtype = Literal["float32", "bfloat16", "float16"]
"""Precision of weights and sums."""

GroupValue = str | float | None
"""A value of a group column: a label, a number, or unknown."""

GENERATED = "generated"
"""Candidate id under which a generation is stored; no candidate may be called so."""


class ProbeError(Exception):
    """A problem the user can mend: what is, what must be, what to do.

    The command line prints it without a traceback and exits with `exit_code`.
    """

    exit_code = 2

    def __init__(self, found: str, expected: str, action: str) -> None:
        """Keeps the three parts.

        Args:
            found: What is, naming the file and key where there is one.
            expected: What must be.
            action: What the user can do about it.
        """
        self.found, self.expected, self.action = map(_part, (found, expected, action))
        super().__init__(f"{self.found}. {self.expected}. {self.action}.")


@contextlib.contextmanager
def writing(path: Path, expected: str) -> Iterator[None]:
    """Says what the operating system says while `path` is written.

    Raises:
        StoreError: With what `path` must be.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error})",
            expected,
            "Name another",
        ) from error


def _part(text: str) -> str:
    """A part of a message; what a file holds may be too long to be read in one."""
    text = text.rstrip(".")
    return text if len(text) <= 2000 else f"{text[:1600]} ... {text[-300:]}"


class UsageError(ProbeError):
    """A command line that asks for something that does not exist."""


class ConfigError(ProbeError):
    """A model config that is wrong, or does not fit its checkpoint."""


class WeightsError(ProbeError):
    """Weights that cannot be found, are damaged, or lack the declared head."""


class DataError(ProbeError):
    """Input data that is missing, malformed or contradictory."""


class MissingDataError(DataError):
    """A source that lies neither in the data folder nor on the hub."""


class NothingAskedError(DataError):
    """A selection (countries, personas) that leaves a probe without items."""


class NoSlopeError(DataError):
    """Checkpoints that are too few, or too alike, for an effect of their share."""


class StoreError(ProbeError):
    """A run folder that cannot be read, written or continued."""


class CheckFailedError(ProbeError):
    """A check of `rm-probe check` that did not hold."""

    exit_code = 1


class Measure(enum.StrEnum):
    """What a score is a measurement of; larger always means more preferred."""

    REWARD = "reward"
    """Scalar output of a reward model, in the model's own unit."""
    LOGPROB_SUM = "logprob_sum"
    """Summed natural-log probability of the answer span's tokens."""
    LOGPROB_MEAN = "logprob_mean"
    """`logprob_sum` divided by the number of answer tokens (minus token NLL)."""
    IMPLICIT_REWARD = "implicit_reward"
    """beta x (policy logprob_sum - reference logprob_sum); Rafailov et al. 2023."""
    TEXT = "text"
    """A generation: `score` is NaN and `text` holds what was generated."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One assistant answer to an item's prompt."""

    id: str
    """Unique within the item; for countries the crosswalk key (ISO3 where there
    is one)."""
    answer: str
    """The whole answer, as a reward model reads it."""
    span: tuple[int, int] | None = None
    """Characters ``[start, end)`` of `answer` that a policy scores. A policy reads
    the answer up to `end` and nothing after it. None: the whole answer."""
    groups: Mapping[str, GroupValue] = field(default_factory=dict)
    """Values of the probe's group columns that vary by candidate, such as iso3."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One prompt and the answers to compare under it."""

    id: str
    """Unique within the probe, and stable across versions of the same content."""
    messages: tuple[Message, ...]
    """The prompt: ends with a user turn."""
    candidates: tuple[Candidate, ...]
    groups: Mapping[str, GroupValue] = field(default_factory=dict)
    """Values of the probe's group columns that vary by item, such as sentiment."""
    meta: Mapping[str, object] = field(default_factory=dict)
    """Anything else worth keeping, JSON-serialisable."""
    max_new_tokens: int | None = None
    """A policy is also asked to answer in its own words, greedily, in at most so many
    tokens; None: it is not. A reward model never is."""
    stop: tuple[str, ...] = ()
    """Strings that end such an answer: it is cut before the first of them that follows
    something other than white space."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a user may choose about a probe's items; recorded in its version."""

    data: Path | None = None
    """Folder with local copies of the sources; None: the hub (or bundled data)."""
    countries: tuple[str, ...] | None = None
    """Crosswalk keys to keep, in any order; None: all of the probe's countries."""
    articles: Literal["english", "paper"] = "english"
    """`english`: "the Netherlands", sentence-initial "The"; `paper`: the rule of
    Ryan et al. 2024, which never capitalises and misses some names."""
    span: Literal["country", "response"] = "country"
    """What a policy scores in country probes: the country with its article, or the
    whole response."""
    reader: Literal["reward", "policy"] = "policy"
    """What will read the items. A probe may put one question to a policy and to a
    reward model in different words; both belong to one version."""
    protocol: Path | None = None
    """A user's file with the wording of survey questions; None: the shipped one."""
    personas: tuple[str, ...] = ()
    """Crosswalk keys: survey questions are also asked from these countries' view."""
    languages: tuple[str, ...] | None = None
    """Codes of languages to keep, such as ``deu_Latn`` (`data_builders.languages`), in
    any order; None: all that the source has."""
    shots: int = 1
    """Worked examples before each question that is asked with some."""
    half: Literal["probe", "train"] = "probe"
    """Which half of a divided source: training mixes read the half that is not
    scored."""
    half_seed: int = 0
    """Fixes the division; see `data_builders.halves`."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One benchmark: where its items come from and how they are read."""

    name: str
    version: str
    """Changes whenever the items' text would; part of the run folder's name."""
    title: str
    """One line for listings and report headings."""
    axis: Literal["countries", "opinions", "dialects", "languages", "preferences"]
    """Which analysis reads the runs."""
    fits: frozenset[Literal["reward", "policy"]]
    """Kinds of scorer the probe makes sense for."""
    item_columns: tuple[str, ...]
    """Group columns that vary by item; `--limit` draws stratified over them."""
    candidate_columns: tuple[str, ...]
    """Group columns that vary by candidate."""
    sources: tuple[str, ...]
    """Names in `data_builders.sources`; empty for bundled items."""
    build: Callable[[BuildOptions], Iterable[Item]]
    """Yields the items in a fixed order."""
    words: frozenset[
        Literal[
            "articles", "span", "protocol", "personas", "languages", "shots", "half"
        ]
    ]
    """Which of `BuildOptions` bear on the probe's text, or on what is scored of it."""
    unit: str | None = None
    """Item column whose equal values belong together, such as the rotations of one
    question: `--limit` counts and draws these. None: every item for itself."""
    dropped: Callable[[BuildOptions], Mapping[str, int]] | None = None
    """Counts, by reason, what the source holds and `build` leaves out."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All group columns, the item's first."""
        return self.item_columns + self.candidate_columns


def versioned(probe: Probe, options: BuildOptions) -> str:
    """The probe's version with the options that change its text.

    Returns:
        ``"1"`` for default options, else e.g. ``"1+articles-paper+span-response"``.
        What only adds or selects items (countries, personas, languages) does not enter,
        nor does an option that the probe does not read. Of a divided source the half
        always enters: ``"1+probe-half-0"``.
    """
    parts = [probe.version]
    if "articles" in probe.words and options.articles != "english":
        parts.append(f"articles-{options.articles}")
    if "span" in probe.words and options.span != "country":
        parts.append(f"span-{options.span}")
    if "protocol" in probe.words and options.protocol is not None:
        digest = hashlib.sha256(options.protocol.read_bytes()).hexdigest()
        parts.append(f"protocol-{digest[:8]}")
    if "shots" in probe.words and options.shots != 1:
        parts.append(f"shots-{options.shots}")
    if "half" in probe.words:
        parts.append(f"{options.half}-half-{options.half_seed}")
    return "+".join(parts)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One checkpoint of a lineage."""

    role: str
    """What made it: `base`, `sft` or `preference`; `model` where nothing is known."""
    model: str
    """Name of its config: what its runs are called."""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Checkpoints that were made one from another; each is compared with the first."""

    name: str
    stages: tuple[Stage, ...]
    """In the order of training, at least two."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One item x candidate as the token sequence a scorer reads."""

    item_id: str
    candidate_id: str
    token_ids: tuple[int, ...]
    """BOS, template, prompt and answer. For a policy the sequence ends with the
    answer span; for a reward model it includes the template's closing tokens."""
    answer_start: int
    """Index of the first token whose characters end beyond the prompt (white space
    at the prompt's end counts to the answer)."""
    answer_end: int
    """One past the last token of the answer; closing template tokens lie beyond."""
    truncated_tokens: int
    """Tokens cut to fit `max_tokens`; 0 for a whole sequence."""
    straddles: bool
    """A token at the answer's edge also covers characters outside the answer."""
    input_sha: str
    """sha256 (first 16 hex digits) of the rendered text, before tokenisation."""
    error: str | None = None
    """Why it cannot be scored; it has no answer tokens then."""

    @property
    def n_prompt_tokens(self) -> int:
        """Tokens before the answer, BOS and template included."""
        return self.answer_start

    @property
    def n_answer_tokens(self) -> int:
        """Tokens of the answer."""
        return self.answer_end - self.answer_start


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One stored score: a row of a run's parts. Field order is column order."""

    probe: str
    probe_version: str
    item_id: str
    candidate_id: str
    model: str
    fingerprint: str
    measure: Measure
    score: float
    """float64; NaN = unscored (then `error` says why)."""
    n_prompt_tokens: int | None
    n_answer_tokens: int | None
    truncated_tokens: int | None
    straddles: bool | None
    input_sha: str | None
    text: str | None = None
    """Generations only."""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """One row of `items.parquet`; the probe's group columns stand beside these."""

    item_id: str
    candidate_id: str
    prompt: str
    """Content of the last user turn."""
    answer: str
    """The candidate's whole answer."""
    n_chars: int
    """Characters of `answer`: the length control of runs without token counts."""
    text_sha: str
    """sha256 (first 16 hex digits) of messages, answer, span and groups."""
    meta: str
    """The item's `meta` as JSON."""
    groups: Mapping[str, GroupValue]
    """Group columns, flattened into columns of their own when stored."""
