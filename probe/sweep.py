"""Runs an ablation: draws its mixes, trains what is missing, scores every checkpoint.

Everything lies in one folder, and everything that is finished there stays:

    mixes/<mix>-<share>-seed<n>/       the rows that were trained on
    checkpoints/<arm and share>-seed<n>/   one trained model each (`probe.train`)
    runs/                              their scores, and the base's, as any other
    learning.csv                       margins of held-out pairs while training, of all
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from data_builders import mixes, probes, select
from probe import ablation as ablations
from probe import audit, checkpoint, csvs, held_out
from probe.ablation import HELD_OUT, Job
from probe.config import ModelConfig
from probe.held_out import COLUMNS
from probe.processes import processes
from probe.sweep_plan import CHECKPOINTS, Choice, Sweep, choose, held_out_job, prepare
from probe.types import DataError, Item, StoreError, writing

if TYPE_CHECKING:
    from probe.train import Base, Request

__all__ = ["CHECKPOINTS", "LEARNING_FILE", "Sweep", "prepare", "run"]

logger = logging.getLogger(__name__)

LEARNING_FILE = "learning.csv"
LEARNING_COLUMNS = ("model", "arm", "share", "seed", "stage", *COLUMNS)
PLACEBO = "rows redrawn without it"
"""What a share is of in a placebo arm."""
_ASKED = "asked.json"


# -- running -----------------------------------------------------------------


def run(sweep: Sweep) -> list[Path] | None:
    """Draws, trains and scores what is missing.

    Under `accelerate launch` several processes train together, and nothing is scored:
    the same command without it does that.

    Returns:
        The runs of the base and of all checkpoints; None: nothing was scored.

    Raises:
        StoreError: Another process works in the folder, or what lies there was made
            with other settings.
        ProbeError: As `probe.train.train` and `probe.audit.score_probe`.
    """
    state = processes(sweep.settings.device)
    with _alone(sweep.out, state.is_main_process):
        train_all(sweep)
        if state.num_processes > 1:
            logger.info("run the same command without a launcher to score")
            return None
        return score_all(sweep)


@contextmanager
def _alone(out: Path, main: bool) -> Iterator[None]:
    if not main:
        yield
        return
    with writing(out, "--out is a folder for the ablation"):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(
                f"another process trains in {out}",
                "One process works in a folder at a time",
                "Wait for it, or give another --out",
            ) from error
    try:
        yield
    finally:
        lock.release()


def train_all(sweep: Sweep) -> None:
    """Draws every mix and trains every checkpoint that is missing."""
    from probe import train

    state = processes(sweep.settings.device)
    if state.is_main_process:
        _draw_all(sweep)
    state.wait_for_everyone()
    done = sum(checkpoint.finished(sweep.folder(job)) for job in sweep.jobs)
    logger.info("%d of %d checkpoints are trained", done, len(sweep.jobs))
    for number, job in enumerate(sweep.jobs, start=1):
        if not checkpoint.finished(sweep.folder(job)):
            logger.info("training %d of %d: %s", number, len(sweep.jobs), job.name)
        # A finished one too: it says so if it was made with other settings.
        train.train(_request(sweep, job))
    if state.is_main_process:
        _collect(sweep)


def _request(sweep: Sweep, job: Job) -> Request:
    from probe import train

    ablation = sweep.ablation
    at = ablation.stages.index(job.plan) + 1
    return train.Request(
        name=job.name,
        plan=job.plan,
        where=f"{ablation.where}, stage {at}",
        base=_start(sweep, job),
        mix=_mix_folder(sweep, job),
        seed=job.seed,
        label={
            "sweep": ablation.name,
            "arm": job.arm,
            "placebo": job.arm == "placebo",
            "share": job.share,
            "drawn_share": _drawn_share(sweep, job),
            "base": sweep.base.config.name,
            "attribute": PLACEBO if job.arm == "placebo" else ablation.attribute,
        },
        out=sweep.folder(job),
        device=sweep.settings.device,
        held_out_rows=ablation.held_out_rows,
        held_out_times=ablation.held_out_times,
    )


def _drawn_share(sweep: Sweep, job: Job) -> float | None:
    """The share of a mix's rows that its dose parts have."""
    if not sweep.mixes[job.mix].has_dose:
        return job.share
    record = mixes.read_drawn(_mix_folder(sweep, job)).record
    share: float | None = record["drawn_share"]
    return share


def _start(sweep: Sweep, job: Job) -> Base:
    """What a checkpoint is trained from: the base, or the one before it, whole."""
    from probe import models, train

    if job.before is None:
        return sweep.base
    [before] = [one for one in sweep.jobs if one.folder == job.before]
    made = sweep.folder(before)
    whole = train.whole_weights(before.plan, made, sweep.settings.device)
    config = audit.configure(str(made / checkpoint.MODEL_FILE), sweep.settings)
    changes = {"weights": str(whole.resolve()), "sha256": None, "adapter": None}
    config = config.model_copy(update=changes)
    return train.Base(config=config, resolved=models.resolve_weights(config))


def _mix_folder(sweep: Sweep, job: Job) -> Path:
    mix = sweep.mixes[job.mix]
    dose = ""
    if mix.has_dose and job.share is not None:
        dose = f"-{ablations.percent(job.share)}"
    return sweep.out / "mixes" / f"{mix.name}{dose}-seed{job.seed}"


def _draw_all(sweep: Sweep) -> None:
    """Draws the mixes that are not there, or were drawn for something else.

    The pairs that are held out for scoring come first: no other mix may train on them.
    """
    # All that a probe has, not what a limit draws: a later one may draw more.
    scored = _Scored(
        items=[one for choice in sweep.choices for one in _all_items(choice)]
    )
    others = scored
    first = held_out_job(sweep)
    if first is not None:
        _draw(sweep, first, scored)
        stored = mixes.read_drawn(_mix_folder(sweep, first))
        others = _Scored(items=[*scored.items, *held_out.items(stored.held_out)])
    for job in sweep.jobs:
        own = first is not None and job.mix == first.mix
        _draw(sweep, job, scored if own else others)


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """Items that no mix may train on; one list, so that its texts are read once."""

    items: list[Item]

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of their ids and texts."""
        return ablations.digest(
            [
                [item.id, *(one.content for one in item.messages)]
                + [one.answer for one in item.candidates]
                for item in self.items
            ]
        )


def _draw(sweep: Sweep, job: Job, scored: _Scored) -> None:
    """Draws one mix, unless it was drawn of the same sources for the same items."""
    folder = _mix_folder(sweep, job)
    mix = sweep.mixes[job.mix]
    asked = {
        "mix": mix.model_dump(mode="json"),
        "sources": mixes.read_digests(mix, sweep.data),
        "scored": scored.digest,
    }
    file = folder / _ASKED
    if file.is_file() and checkpoint.read_json(file) == asked:
        try:
            mixes.read_drawn(folder)
            return
        except DataError as error:
            logger.warning("drawing %s again: %s", folder.name, error)
    file.unlink(missing_ok=True)
    logger.info("drawing %s", folder.name)
    dose = job.share if mix.has_dose else None
    drawn = mixes.draw(
        mix, dose=dose, seed=job.seed, data=sweep.data, scored=scored.items
    )
    drawn.write(folder)
    checkpoint.write(file, json.dumps(asked, indent=1) + "\n")


def _all_items(choice: Choice) -> list[Item]:
    readers = [reader for reader in ("policy", "reward") if reader in choice.probe.fits]
    return [
        item
        for reader in readers
        for item in choice.probe.build(
            dataclasses.replace(choice.options, reader=reader)
        )
    ]


def _collect(sweep: Sweep) -> None:
    """Writes what all checkpoints learned of the held-out pairs into one table.

    Raises:
        DataError: A checkpoint's file has other columns, as those of older versions.
    """
    found: list[list[object]] = []
    for job in sweep.jobs:
        file = sweep.folder(job) / checkpoint.HELD_OUT_FILE
        if file.is_file():
            share = "" if job.share is None else job.share
            label = [job.name, job.arm, share, job.seed, job.plan.stage]
            header, *rows = csvs.rows_of(file)
            if tuple(header) != COLUMNS:
                raise DataError(
                    f"{file} has the columns {', '.join(header)}",
                    f"Held-out pairs have the columns {', '.join(COLUMNS)}",
                    "Delete the file to leave its curve out, or the checkpoint's "
                    "folder to train it again",
                )
            found += ([*label, *row] for row in rows)
    if found:
        text = csvs.text_of(LEARNING_COLUMNS, found)
        checkpoint.write(sweep.out / LEARNING_FILE, text)


def reward_lengths(sweep: Sweep) -> Path | None:
    """Token counts that a length baseline is fitted on.

    Returns:
        Those of the first reward model, which trains on the same rows as the others;
        None: none is trained, their rows differ, or what is held out is not scored.
    """
    if held_out_job(sweep) is None or sweep.ablation.shares is not None:
        return None
    made = [job for job in sweep.jobs if job.plan.stage == "reward"]
    return sweep.folder(made[0]) / checkpoint.LENGTHS_FILE if made else None


# -- scoring -----------------------------------------------------------------


def score_all(sweep: Sweep) -> list[Path]:
    """Scores the base, every checkpoint and what stands beside on all probes.

    Returns:
        Their run folders. Others that lie there, such as of a checkpoint that was
        trained anew, are not among them.
    """
    if not sweep.ablation.probes:
        return []
    choices = [*sweep.choices, *_held_out(sweep)]
    refs = [sweep.ablation.base] if _base_is_scored(sweep) else []
    for job in sweep.jobs:
        folder = sweep.folder(job)
        for how in job.plan.scored_as:
            implicit = how == "implicit_reward"
            file = checkpoint.IMPLICIT_FILE if implicit else checkpoint.MODEL_FILE
            refs.append(str(folder / file))
    refs += sweep.ablation.beside
    found: list[Path] = []
    for number, ref in enumerate(refs, start=1):
        config = audit.configure(ref, sweep.settings)
        logger.info("scoring %d of %d: %s", number, len(refs), config.name)
        found += _score(sweep, config, choices)
    return found


def _held_out(sweep: Sweep) -> Iterator[Choice]:
    """The held-out pairs as a probe: the same for every share and seed."""
    for asked in sweep.ablation.probes:
        if asked.probe == HELD_OUT:
            job = held_out_job(sweep)
            assert job is not None, "the probe is asked for"
            file = _mix_folder(sweep, job) / f"{HELD_OUT}.jsonl"
            yield choose(probes.load(str(file)), asked, sweep.ablation, sweep.data)


def _base_is_scored(sweep: Sweep) -> bool:
    """Whether the base is scored: like a policy, or as a baseline of held-out pairs."""
    policies = any("policy" in stage.scored_as for stage in sweep.ablation.stages)
    return policies or any(one.probe == HELD_OUT for one in sweep.ablation.probes)


def _score(
    sweep: Sweep, config: ModelConfig, choices: Sequence[Choice]
) -> Iterator[Path]:
    prepared = audit.prepare(config, sweep.settings)
    load = audit.loader(prepared)
    for choice in choices:
        if config.kind.fits not in choice.probe.fits:
            continue
        options = dataclasses.replace(choice.options, reader=config.kind.fits)
        limit = choice.asked.limit
        items = select.build(choice.probe, options, limit, sweep.settings.seed)
        result = audit.score_probe(
            prepared, choice.probe, items, options, limit=limit, load=load
        )
        yield result.path
