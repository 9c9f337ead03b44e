"""From a model's name to stored runs: what score, audit and demo have in common."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from data_builders import probes, select, sources
from probe import models
from probe.config import Kind, ModelConfig
from probe.models import Resolved, resolve
from probe.types import (
    BuildOptions,
    DataError,
    Dtype,
    Item,
    Measure,
    MissingDataError,
    NothingAskedError,
    Probe,
    UsageError,
    versioned,
)

if TYPE_CHECKING:
    from probe.score import RunResult

logger = logging.getLogger(__name__)

_PACKAGES = (
    "rm-probe", "torch", "transformers", "tokenizers", "peft", "pyarrow", "numpy"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run a model; nothing here but `dtype` and `template` changes a score."""

    runs: Path = Path("runs")
    """The runs folder."""
    device: str | None = None
    """None: a GPU if there is one, else the CPU."""
    dtype: Dtype | None = None
    """None: the config's."""
    batch_tokens: int | None = None
    """Tokens of one forward pass; None: the engine's default for the device."""
    seed: int = 0
    """Fixes the draw of `--limit`."""
    trust_remote_code: bool = False
    template: Literal["config", "plain"] = "config"
    """`plain`: a policy reads text without its chat template."""
    adapter_base: Path | None = None
    """Folder of the base of a bare adapter; None: as the adapter records it."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A model whose weights are located and identified, but not loaded."""

    config: ModelConfig
    resolved: Resolved
    fingerprint: str
    settings: Settings


def configure(ref: str, settings: Settings) -> ModelConfig:
    """Resolves MODEL of the command line to a config; touches no weights.

    Args:
        ref: A shipped name, a YAML path, a checkpoint folder or hf:ID.
        settings: A `dtype` given there replaces the config's.

    Raises:
        UsageError: No such model, or a reward model that is to read plain text.
        ConfigError: A config that is wrong or needs code the user did not allow.
    """
    config = models.resolve_model(
        ref,
        trust_remote_code=settings.trust_remote_code,
        adapter_base=settings.adapter_base,
    )
    if settings.template == "plain" and config.kind is not Kind.POLICY:
        raise UsageError(
            f"--template plain is given, and model '{config.name}' is of kind "
            f"{config.kind}",
            "A reward is learned from dialogues in one format; plain text is for "
            "policies",
            "Leave --template away, or name a policy",
        )
    if settings.dtype is not None:
        config = config.model_copy(update={"dtype": settings.dtype})
    for note in _notes(config, settings):
        logger.warning("warning: model '%s': %s", config.name, note)
    return config


def _notes(config: ModelConfig, settings: Settings) -> tuple[str, ...]:
    """What a reader of the scores must know of how they came to be."""
    bare = config.bare and settings.template == "config"
    if not bare or config.template != resolve.BASE_TEMPLATE:
        return ()
    return (
        f"scored as plain text ({config.template!r}), since the checkpoint has no chat "
        f"template; that is right for a base model alone",
    )


def prepare(config: ModelConfig, settings: Settings) -> Prepared:
    """Locates a model's weights and identifies them.

    Raises:
        WeightsError: Weights that cannot be found or are damaged.
    """
    resolved = models.resolve_weights(config)
    if settings.template == "plain":
        config = plain(config)
    return Prepared(
        config=config,
        resolved=resolved,
        fingerprint=models.fingerprint(config, resolved),
        settings=settings,
    )


def plain(config: ModelConfig) -> ModelConfig:
    """The policy without its chat template, under a name of its own: ``NAME-plain``.

    It reads `resolve.BASE_TEMPLATE` after the BOS that the tokenizer itself writes, not
    after one that opened the chat template. This is the published code without its
    `--use_chat_template` (ask-reddit-perplexity-testing.py of Ryan et al. 2024).

    Args:
        config: A policy; one that reads that template anyway stays as it is.
    """
    if config.template == resolve.BASE_TEMPLATE:
        return config
    changes = {
        "name": f"{config.name}-plain",
        "template": resolve.BASE_TEMPLATE,
        "bos": "tokenizer",
        "golden": (),
    }
    return config.model_copy(update=changes)


def fitting(config: ModelConfig) -> list[Probe]:
    """Shipped probes that make sense for the model, sorted by name."""
    found = [probes.load(name) for name in probes.shipped()]
    return [probe for probe in found if config.kind.fits in probe.fits]


def available(
    found: Sequence[Probe], options: BuildOptions, *, limit: int | None, seed: int
) -> list[tuple[Probe, list[Item]]]:
    """Builds each probe's items; leaves out, loudly, what cannot be asked.

    That is a probe whose data are not there, or that does not have a country or a
    language asked for.

    Raises:
        DataError: Data that are there and malformed, or no probe at all can be built.
    """
    built = []
    missing: DataError | None = None
    for probe in found:
        try:
            built.append((probe, select.build(probe, options, limit, seed)))
        except (MissingDataError, NothingAskedError) as error:
            missing = error
            logger.warning("left out probe %s: %s", probe.name, error)
    if missing is not None and not built:
        raise missing
    return built


def loader(prepared: Prepared) -> Callable[[], models.Scorer]:
    """What loads the model when it is first called, and only then."""

    @functools.cache
    def load() -> models.Scorer:
        config, settings = prepared.config, prepared.settings
        logger.info("loading %s in %s", config.name, config.dtype)
        return models.load_scorer(
            config,
            prepared.resolved,
            device=settings.device,
            batch_tokens=settings.batch_tokens,
        )

    return load


def _measures(kind: Kind, items: Sequence[Item]) -> tuple[str, ...]:
    """What a run of these items stores."""
    asked = any(item.max_new_tokens is not None for item in items)
    texts = (Measure.TEXT,) if kind is Kind.POLICY and asked else ()
    return tuple(measure.value for measure in (*kind.measures, *texts))


def score_probe(
    prepared: Prepared,
    probe: Probe,
    items: Sequence[Item],
    options: BuildOptions,
    *,
    limit: int | None,
    load: Callable[[], models.Scorer],
) -> RunResult:
    """Scores the items into the model's run of this probe, with a progress bar.

    Args:
        prepared: The model.
        probe: The benchmark.
        items: From `select.build`.
        options: What the user chose about the items' text.
        limit: As `select.build`.
        load: From `loader`; called only if something is left to score.

    Raises:
        StoreError: The run folder cannot be continued or written.
        InterruptedRunError: Ctrl-C; the run can be continued.
        ProbeError: As raised by the scorer for text it cannot score.
    """
    from probe.score import run
    from probe.store import Manifest

    config, settings = prepared.config, prepared.settings
    manifest = Manifest(
        probe=probe.name,
        probe_version=versioned(probe, options),
        title=probe.title,
        axis=probe.axis,
        model=config.name,
        fingerprint=prepared.fingerprint,
        kind="scored",
        model_kind=config.kind.value,
        verified=config.verified,
        item_columns=probe.item_columns,
        candidate_columns=probe.candidate_columns,
        measures=_measures(config.kind, items),
        argv=tuple(sys.argv),
        config=config.model_dump(mode="json"),
        resolved=prepared.resolved.as_record(),
        sources=sources.digests(probe.sources, options.data, options.languages),
        packages={name: metadata.version(name) for name in _PACKAGES},
        dtype=config.dtype,
        seed=settings.seed,
        limit=select.sampled(probe, items, limit),
        dropped=dict(probe.dropped(options)) if probe.dropped else {},
        notes=_notes(config, settings),
    )

    total = sum(len(item.candidates) for item in items)
    bar = tqdm(
        total=total,
        desc=f"{probe.name} x {config.name}",
        unit=" candidates",
        delay=2.0,
        mininterval=0.5,
        smoothing=0.1,
    )

    def device() -> str:
        # Imported once there is something to score: its start takes seconds.
        from probe.models import checkpoints

        return str(checkpoints.place(settings.device, config.dtype).device)

    with closing(bar):
        return run(
            items,
            load,
            root=settings.runs,
            manifest=manifest,
            progress=lambda done: bar.update(done - bar.n),
            device=device,
        )
