"""The scoring loop: items -> drop what is done -> encode -> forward -> append.

Items are worked through in fixed groups, so that which texts share a forward pass
does not depend on where an earlier call stopped: a resumed run repeats the same
arithmetic as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc

from probe.models import Scorer
from probe.store import Counts, Key, Manifest, RunFolder, read_items, read_scores
from probe.types import (
    Encoded,
    GroupValue,
    Item,
    ItemRow,
    Measure,
    ProbeError,
    ScoreRow,
)

GROUP_CANDIDATES = 512
"""Items are scored in consecutive groups of at least this many candidates."""
PART_SECONDS = 15.0
"""Scored rows are written at least this often (at the end of a group)."""
PART_ROWS = 20_000

Progress = Callable[[int], None]
"""Called with the number of item x candidate pairs passed so far."""


class InterruptedRunError(ProbeError):
    """Ctrl-C while scoring; what is stored is whole and can be continued."""

    exit_code = 130


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run."""

    path: Path
    counts: Counts


def item_rows(items: Sequence[Item]) -> list[ItemRow]:
    """The rows of `items.parquet`, one per item x candidate."""
    rows = []
    for item in items:
        meta = json.dumps(dict(item.meta), ensure_ascii=False, sort_keys=True)
        messages = [(m.role, m.content) for m in item.messages]
        shared = hashlib.sha256(json.dumps(messages).encode())
        prompt = next(m.content for m in reversed(item.messages) if m.role == "user")
        names: tuple[str, ...] | None = None
        for candidate in item.candidates:
            own, answer = candidate.groups, candidate.answer
            if names is None or own.keys() != set(names):
                names = tuple(sorted(own))
                form = _groups_form(item.groups, names)
            digest = shared.copy()
            groups = form % tuple([own[name] for name in names])
            digest.update(f"{candidate.span}{answer}{groups}".encode())
            rows.append(
                ItemRow(
                    item_id=item.id,
                    candidate_id=candidate.id,
                    prompt=prompt,
                    answer=answer,
                    n_chars=len(answer),
                    text_sha=digest.hexdigest()[:16],
                    meta=meta,
                    groups={**item.groups, **own},
                )
            )
    return rows


def _groups_form(item: Mapping[str, GroupValue], candidate: tuple[str, ...]) -> str:
    """The sorted (name, value) pairs of all groups as text, the candidate's open.

    Most of an item's candidates share all but these values, and an item may have
    hundreds: only what differs is written for each.
    """
    texts = {
        name: repr((name, value)).replace("%", "%%") for name, value in item.items()
    }
    texts |= {name: f"({name!r}, ".replace("%", "%%") + "%r)" for name in candidate}
    return f"[{', '.join(texts[name] for name in sorted(texts))}]"


def run(
    items: Sequence[Item],
    load: Callable[[], Scorer],
    *,
    root: Path,
    manifest: Manifest,
    progress: Progress,
) -> RunResult:
    """Scores what the run folder does not hold yet, and finishes it.

    Args:
        items: All items of this call, in the probe's order.
        load: Loads the model; called only when something is left to score.
        root: The runs folder.
        manifest: Identity and provenance of the run; `measures` must be those of the
            scorer.
        progress: Told how far the run is.

    Returns:
        The run's folder and its counts over everything it holds.

    Raises:
        StoreError: The run folder cannot be continued or written.
        InterruptedRunError: Ctrl-C; rows scored so far are stored.
    """
    with RunFolder.open(root, manifest) as folder:
        folder.write_items(item_rows(items))
        began = time.monotonic()
        before = folder.manifest.wall_seconds
        started = folder.manifest.started or _now()
        folder.save(status="started", started=started, finished=None)

        def close(status: str) -> Counts:
            counts = _counts(folder)
            if status == "complete" and counts.done < counts.expected:
                # This call asked for fewer items than an earlier, stopped one.
                status = "interrupted"
            folder.save(
                status=status,
                counts=counts,
                finished=_now(),
                wall_seconds=round(before + time.monotonic() - began, 3),
            )
            return counts

        try:
            _score_missing(items, load, folder, progress)
        except KeyboardInterrupt as error:
            counts = close("interrupted")
            raise InterruptedRunError(
                f"interrupted with {counts.done:,} of {counts.expected:,} candidates "
                f"scored in {folder.path}",
                "Everything scored so far is stored",
                "Run the same command again to continue where it stopped",
            ) from error
        except BaseException:
            close("failed")
            raise
        folder.compact()
        return RunResult(path=folder.path, counts=close("complete"))


def _score_missing(
    items: Sequence[Item],
    load: Callable[[], Scorer],
    folder: RunFolder,
    progress: Progress,
) -> None:
    done = folder.done()
    measures = [Measure(name) for name in folder.manifest.measures]
    passed = 0
    scorer: Scorer | None = None
    buffer: list[ScoreRow] = []
    written = time.monotonic()
    try:
        for group in groups(items):
            missing = _missing(group, measures, done)
            if missing:
                due = {item_id for item_id, _, _ in missing}
                if scorer is None:
                    scorer = load()
                    assert tuple(measures) == scorer.measures
                    folder.save(engine=scorer.engine)
                buffer += _score_group(
                    [item for item in group if item.id in due],
                    scorer,
                    folder.manifest,
                    missing,
                )
            passed += sum(len(item.candidates) for item in group)
            progress(passed)
            if time.monotonic() - written > PART_SECONDS or len(buffer) >= PART_ROWS:
                rows, buffer = buffer, []
                folder.append(rows)
                written = time.monotonic()
    finally:
        folder.append(buffer)


def groups(items: Sequence[Item], size: int = GROUP_CANDIDATES) -> Iterator[list[Item]]:
    """Consecutive items with at least `size` candidates together (but the last)."""
    group: list[Item] = []
    count = 0
    for item in items:
        group.append(item)
        count += len(item.candidates)
        if count >= size:
            yield group
            group, count = [], 0
    if group:
        yield group


def _missing(
    group: Sequence[Item], measures: Sequence[Measure], done: set[Key]
) -> set[Key]:
    return {
        key
        for item in group
        for candidate in item.candidates
        for measure in measures
        if (key := (item.id, candidate.id, measure.value)) not in done
    }


def _score_group(
    group: Sequence[Item], scorer: Scorer, manifest: Manifest, missing: set[Key]
) -> list[ScoreRow]:
    encoded = [one for item in group for one in scorer.encode(item)]
    rows = []
    for one, scores in zip(encoded, _scores(encoded, scorer), strict=True):
        for measure, score in scores.items():
            if (one.item_id, one.candidate_id, measure.value) not in missing:
                continue
            finite = math.isfinite(score)
            rows.append(
                ScoreRow(
                    probe=manifest.probe,
                    probe_version=manifest.probe_version,
                    item_id=one.item_id,
                    candidate_id=one.candidate_id,
                    model=manifest.model,
                    fingerprint=manifest.fingerprint,
                    measure=measure,
                    score=score if finite else math.nan,
                    n_prompt_tokens=one.n_prompt_tokens,
                    n_answer_tokens=one.n_answer_tokens,
                    truncated_tokens=one.truncated_tokens,
                    straddles=one.straddles,
                    input_sha=one.input_sha,
                    error=None if finite else _why_unscored(one, score),
                )
            )
    return rows


def _scores(
    encoded: Sequence[Encoded], scorer: Scorer
) -> list[Mapping[Measure, float]]:
    """Scores a group; what is not finite is scored again on its own.

    In a shared forward pass a NaN reaches its neighbours: a masked key has weight
    zero, and zero times NaN is NaN.
    """
    scores = scorer.score(encoded)
    for i, one in enumerate(encoded):
        if not all(map(math.isfinite, scores[i].values())):
            [scores[i]] = scorer.score([one])
    return scores


def _why_unscored(encoded: Encoded, score: float) -> str:
    if encoded.n_answer_tokens == 0:
        return "truncation left no token of the answer"
    return f"the model gave {score}"


def _counts(folder: RunFolder) -> Counts:
    """Counts over everything the run holds."""
    table = read_scores(folder.path)
    n_measures = max(1, len(folder.manifest.measures))
    truncated = table.filter(pc.greater(table["truncated_tokens"], 0))
    return Counts(
        expected=read_items(folder.path).num_rows,
        done=table.num_rows // n_measures,
        unscored=pc.sum(pc.is_nan(table["score"])).as_py() or 0,
        truncated=truncated.num_rows // n_measures,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
