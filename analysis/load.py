"""Run folders -> frames of one row per item x candidate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from analysis.resample import Floats
from data_builders import mix_duplicates
from probe.store import Manifest, read_items, read_run, read_scores
from probe.types import GENERATED, Measure, StoreError, UsageError

PRIMARY = (Measure.REWARD, Measure.IMPLICIT_REWARD, Measure.LOGPROB_MEAN)
"""Which of a run's measures is analysed unless one is named: the first it has."""

UNITS: Mapping[Measure, str] = {
    Measure.REWARD: "reward",
    Measure.IMPLICIT_REWARD: "reward",
    Measure.LOGPROB_MEAN: "log-probability per token",
    Measure.LOGPROB_SUM: "log-probability",
}
"""Measure -> unit of a difference of scores."""

LENGTH_UNITS = {"n_answer_tokens": "tokens", "n_chars": "characters"}
"""What `length_column` counts."""

LARGEST = 1e50
"""Largest score that is read: squares of squares of larger ones are no numbers, and no
model means them."""

ROUNDING = 1e-6
"""Scores that lie closer than so much of the largest are the same: twenty times what
single precision resolves, and what batching may change."""

NOT_YET = "not scored yet"
"""`error` of a pair whose items are stored and whose score row is not."""

_COUNTS = ["n_prompt_tokens", "n_answer_tokens", "truncated_tokens"]
_SCORE_COLUMNS = ["item_id", "candidate_id", "score", *_COUNTS, "error"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, read for analysis."""

    path: Path
    """The run folder."""
    manifest: Manifest
    measure: Measure
    """The measure in `frame.score`."""
    frame: pd.DataFrame
    """One row per stored item x candidate, generations left out (`texts` has them), in
    the order of the items: item_id,
    candidate_id, score (float64; larger = more preferred; NaN = unscored, or beyond
    `LARGEST`; all the same where only `ROUNDING` tells them apart), measure,
    n_prompt_tokens, n_answer_tokens, truncated_tokens (NaN = not recorded), n_chars,
    error, prompt, answer, and the probe's group columns such as sentiment and iso3.
    """
    near: Mapping[str, str] = field(default_factory=dict)
    """Of a user's own pairs: those that are of one template with another (see
    `data_builders.mix_duplicates.templates`) -> what their cluster is called. A pair is
    a row of several dialects, else an item."""

    @property
    def name(self) -> str:
        """The folder below the runs root: `askreddit@1/starling@3f2a91c0`."""
        return self.manifest.folder.as_posix()

    @property
    def probe(self) -> str:
        """Probe and version, such as `askreddit@1`."""
        return f"{self.manifest.probe}@{self.manifest.probe_version}"

    @property
    def model(self) -> str:
        """The model's name."""
        return self.manifest.model


def load_run(path: Path, measure: Measure | None = None) -> Run:
    """Reads one run folder.

    Every stored item x candidate has a row: one whose score is not there (a run that
    was stopped) has score NaN and the error `NOT_YET`.

    Args:
        path: The run folder.
        measure: What to analyse; None: the first of `PRIMARY` that the run has.

    Raises:
        StoreError: The folder is no run or is damaged, has no scores or none that can
            be used, lacks the measure, or scores a pair that is not among its items.
    """
    manifest, stored, scores = read_run(path)
    present = [Measure(name) for name in scores["measure"].unique().to_pylist()]
    chosen = _choose(path, present, measure)
    kept = scores.select([*_SCORE_COLUMNS, "measure"]).to_pandas()
    kept = kept[kept["measure"] == chosen.value].drop(columns="measure")
    items = stored.drop_columns(["text_sha", "meta"]).to_pandas()
    items = items[items["candidate_id"] != GENERATED]
    frame = items.merge(
        kept,
        on=["item_id", "candidate_id"],
        how="outer",
        sort=False,
        validate="one_to_one",
        indicator="_from",
    )
    orphans = frame[frame["_from"] == "right_only"]
    if len(orphans):
        first = orphans.iloc[0]
        raise StoreError(
            f"{path} scores {len(orphans)} pairs that items.parquet does not have, "
            f"first {first['item_id']} / {first['candidate_id']}",
            "Every score belongs to an item stored beside it",
            "Restore items.parquet from a copy, or run the score command again",
        )
    waiting = frame["_from"] == "left_only"
    frame["error"] = frame["error"].astype(object).mask(waiting, NOT_YET)
    frame = _usable(path, frame)
    frame = _in_item_order(frame.drop(columns="_from"), items)
    frame[_COUNTS] = frame[_COUNTS].astype("float64")
    frame["measure"] = chosen.value
    return Run(
        path=path,
        manifest=manifest,
        measure=chosen,
        frame=frame,
        near=_near(manifest, frame),
    )


def own_file(manifest: Manifest) -> bool:
    """Whether a run's items are of a user's own file: its digest is their version."""
    version = manifest.probe_version.partition("+")[0]
    return manifest.probe != "held_out" and bool(re.fullmatch("[0-9a-f]{8}", version))


def _near(manifest: Manifest, frame: pd.DataFrame) -> dict[str, str]:
    if manifest.axis not in ("preferences", "dialects") or not own_file(manifest):
        return {}
    parts: dict[str, dict[str, None]] = {}
    prompts: dict[str, str] = {}
    columns = ("row" if manifest.axis == "dialects" else "item_id", "prompt", "answer")
    for pair, prompt, answer in zip(*(frame[name] for name in columns), strict=True):
        prompts.setdefault(pair, prompt)
        parts.setdefault(pair, {}).update({prompt: None, answer: None})
    texts = {pair: "\n".join(found) for pair, found in parts.items()}
    return mix_duplicates.templates(texts, prompts)


def clusters(run: Run, pairs: Iterable[str], prompts: Iterable[str]) -> list[str]:
    """What each pair is resampled with: those of its prompt, or of its template.

    A pair whose prompt is not known (empty) is a cluster of its own.

    Args:
        run: The run.
        pairs: Rows of several dialects, else items.
        prompts: The prompt of each.
    """
    return [
        # A prompt could read like the name of a pair without one.
        f"n {run.near[pair]}"
        if pair in run.near
        else f"p {prompt}"
        if prompt
        else f"r {pair}"
        for pair, prompt in zip(pairs, prompts, strict=True)
    ]


def length_column(run: Run, scored: pd.DataFrame) -> str | None:
    """Column of the answers' lengths; None: neither tokens nor answers are known.

    Tokens where every row has a count, else characters. Of a user's own file always
    characters: its scores may come from elsewhere, without counts, and must say the
    same.

    Args:
        run: The run.
        scored: Those of its rows that have a score.
    """
    if scored["n_answer_tokens"].notna().all() and not own_file(run.manifest):
        return "n_answer_tokens"
    return "n_chars" if (scored["n_chars"] > 0).all() else None


def alike(low: Floats, high: Floats) -> NDArray[np.bool_]:
    """Whether scores between two bounds differ by `ROUNDING` alone."""
    return high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high))


def _usable(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Scores that can carry a number: none beyond `LARGEST`, no mere rounding errors.

    Raises:
        StoreError: None is left.
    """
    scores = frame["score"]
    # Their squares would be zero, and their spread with them.
    scores = scores.mask(scores.abs() < 1 / LARGEST, 0.0)
    large = scores.abs() > LARGEST
    left = scores[~large].dropna()
    if large.any() and left.empty:
        raise StoreError(
            f"{path}: all {int(large.sum())} scores are beyond {LARGEST:g}",
            "Means and spreads of such scores are no numbers",
            "Mend the model or the file that gave them, and score or import again",
        )
    if len(left) and alike(np.array(left.min()), np.array(left.max())):
        scores = scores.mask(scores.notna(), left.min())
    error = frame["error"].mask(large, f"score beyond {LARGEST:g}")
    return frame.assign(score=scores.mask(large), error=error)


def item_meta(run: Run) -> dict[str, Mapping[str, object]]:
    """The `meta` of a run's items, which `load_run` leaves out of the frame.

    Items that share a meta, such as the rotations of one question, share one value:
    each distinct text is parsed once.

    Args:
        run: A run that was read from its folder.

    Returns:
        item_id -> meta, in the order of the items.

    Raises:
        StoreError: items.parquet is missing or damaged.
    """
    stored = read_items(run.path, ["item_id", "meta"])
    parsed: dict[str, Mapping[str, object]] = {}
    metas: list[Mapping[str, object]] = []
    for chunk in stored["meta"].chunks:
        texts = chunk.dictionary.to_pylist()
        try:
            parsed |= {text: json.loads(text) for text in texts if text not in parsed}
        except ValueError as error:
            raise StoreError(
                f"{run.path / 'items.parquet'} is damaged: a `meta` is not JSON",
                "A run's files are as they were written",
                "Run the same rm-probe score or import command again",
            ) from error
        metas += [parsed[texts[index]] for index in chunk.indices.to_pylist()]
    return dict(zip(stored["item_id"].to_pylist(), metas, strict=True))


def texts(run: Run) -> pd.DataFrame:
    """The generations of a run: what a policy answered in its own words.

    Args:
        run: A run that was read from its folder.

    Returns:
        One row per generated item, indexed by item_id, in the order of the items:
        text (missing where the model gave none; `error` says why), n_prompt_tokens,
        n_answer_tokens, truncated_tokens (float64; NaN = not recorded), error. Empty
        for a run without generations; an item whose generation a stopped run still
        lacks has no row.

    Raises:
        StoreError: A file of the run is missing or damaged, or a generation belongs
            to none of its items.
    """
    stored = read_scores(run.path)
    frame = stored.filter(pc.equal(stored["measure"], Measure.TEXT.value)).to_pandas()
    frame = frame.set_index("item_id")[[*_COUNTS, "text", "error"]]
    frame[_COUNTS] = frame[_COUNTS].astype("float64")
    order = pd.Index(read_items(run.path, ["item_id"]).to_pandas()["item_id"].unique())
    if len(orphans := frame.index.difference(order)):
        raise StoreError(
            f"{run.path} has {len(orphans)} generations for items that items.parquet "
            f"does not have, first {orphans[0]}",
            "Every generation belongs to an item stored beside it",
            "Restore items.parquet from a copy, or run the score command again",
        )
    return frame.loc[order[order.isin(frame.index)]].rename_axis("item_id")


def _in_item_order(frame: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """An outer merge sorts by key; the items' own order is the probe's."""
    order = pd.MultiIndex.from_frame(items[["item_id", "candidate_id"]])
    now = pd.MultiIndex.from_frame(frame[["item_id", "candidate_id"]])
    return frame.iloc[now.get_indexer(order)].reset_index(drop=True)


def _choose(path: Path, found: list[Measure], wanted: Measure | None) -> Measure:
    # Generations have no score: `texts` reads them.
    present = [measure for measure in found if measure is not Measure.TEXT]
    if found and not present:
        raise StoreError(
            f"{path} holds generations and no scores",
            "Analysis needs at least one scored candidate beside them",
            "Give the probe's items candidates, such as reference answers",
        )
    if not present:
        raise StoreError(
            f"{path} holds no scores yet",
            "Analysis needs at least one scored pair",
            "Run the rm-probe score command that began it once more: it resumes",
        )
    candidates = PRIMARY if wanted is None else (wanted,)
    for measure in candidates:
        if measure in present:
            return measure
    raise StoreError(
        f"{path} has no measure {' or '.join(candidates)}",
        f"It has: {', '.join(present)}",
        "Name a measure that the run has",
    )


def load_runs(
    paths: Sequence[Path], *, measure: Measure | None = None, mixed: bool = False
) -> tuple[Run, ...]:
    """Reads several runs that may stand side by side.

    Args:
        paths: Run folders.
        measure: As `load_run`, for all of them.
        mixed: Allow several versions of a probe and several fingerprints of a model.

    Raises:
        UsageError: No run, or one run twice.
        StoreError: As `load_run`; or, unless `mixed`, two versions of one probe or
            two fingerprints under one model name.
    """
    if not paths:
        raise UsageError(
            "no run was named", "Analysis needs at least one run", "Name a run folder"
        )
    runs = tuple(load_run(path, measure) for path in paths)
    seen: dict[tuple[str, str], Run] = {}
    for run in runs:
        key = (run.name, run.manifest.fingerprint)
        if key in seen:
            raise UsageError(
                f"{run.path} and {seen[key].path} are the same run",
                "Each run is analysed once",
                "Name it once",
            )
        seen[key] = run
    if not mixed:
        _refuse_mixture(runs)
    return runs


def _refuse_mixture(runs: Sequence[Run]) -> None:
    versions: dict[str, Run] = {}
    prints: dict[tuple[str, str | None], Run] = {}
    for run in runs:
        manifest = run.manifest
        other = versions.setdefault(manifest.probe, run)
        if other.manifest.probe_version != manifest.probe_version:
            raise StoreError(
                f"{other.path} is {other.probe} and {run.path} is {run.probe}",
                "Runs side by side read the same text: one version of a probe",
                "Leave one out, score it again, or allow the mixture (--mixed)",
            )
        # An imported run's fingerprint is its file's, so it differs by probe.
        scopes: list[tuple[str, str | None]] = [(manifest.model, manifest.probe)]
        if manifest.kind == "scored":
            scopes.append((manifest.model, None))
        for scope in scopes:
            other = prints.setdefault(scope, run)
            if other.manifest.fingerprint != manifest.fingerprint:
                raise StoreError(
                    f"{other.path} and {run.path} are both called {manifest.model} "
                    f"and have different fingerprints{_differences(other, run)}",
                    "One model name stands for one config, checkpoint, tokenizer, "
                    "template and scoring version",
                    "Leave one out, score it again, or allow the mixture (--mixed)",
                )


def _differences(one: Run, other: Run) -> str:
    """In what two runs of one name differ, as far as their manifests say."""
    if "imported" in (one.manifest.kind, other.manifest.kind):
        return ""
    fields = []
    for first, second in (
        (one.manifest.config or {}, other.manifest.config or {}),
        (one.manifest.resolved, other.manifest.resolved),
    ):
        keys = sorted(first.keys() | second.keys())
        fields += [key for key in keys if first.get(key) != second.get(key)]
    said = ", ".join(dict.fromkeys(fields))
    return f" (they differ in {said or 'the version of the scoring code alone'})"


def labels(runs: Sequence[Run]) -> tuple[str, ...]:
    """A label per run, unique among them, as short as can be.

    The model's name; with the probe where a model stands under several probes; with
    the first eight digits of the fingerprint where that is still not unique.
    """
    forms = (
        [run.model for run in runs],
        [f"{run.model} ({run.manifest.probe})" for run in runs],
        [f"{run.model}@{run.manifest.fingerprint[:8]} ({run.probe})" for run in runs],
    )
    for form in forms:
        if len(set(form)) == len(form):
            return tuple(form)
    return tuple(f"{name} #{number}" for number, name in enumerate(forms[-1], 1))
