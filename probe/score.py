"""The scoring loop: items -> drop what is done -> encode -> forward -> append.

Items are worked through in fixed groups, so that which texts share a forward pass
does not depend on where an earlier call stopped: a resumed run repeats the same
arithmetic as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.encode import Prompt
from probe.models import Generation, Scorer, TextGenerator
from probe.store import Counts, Key, Manifest, RunFolder, now, numbers_of
from probe.types import (
    GENERATED,
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
GROUP_CHARACTERS = 60_000
"""A group also ends at so many characters of prompts and answers: one of long texts
would take minutes without progress and without a stored row. What a prompt begins with
like the one before, such as a worked example, is read once and counted once."""
PART_SECONDS = 15.0
"""Scored rows are written at least this often (at the end of a group)."""
PART_ROWS = 20_000

_NO_TOKEN = "the model gave no finite logit to choose a token by"

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


def item_rows(items: Sequence[Item], *, generated: bool = False) -> list[ItemRow]:
    """The rows of `items.parquet`, one per item x candidate.

    Args:
        items: Of one probe.
        generated: Whether the run holds generations: then an item with
            `max_new_tokens` has one row more, for the answer that is not there yet.
    """
    rows = []
    for item in items:
        meta = json.dumps(dict(item.meta), ensure_ascii=False, sort_keys=True)
        messages = [(m.role, m.content) for m in item.messages]
        shared = hashlib.sha256(json.dumps(messages).encode())
        prompt = next(m.content for m in reversed(item.messages) if m.role == "user")
        row = functools.partial(ItemRow, item_id=item.id, prompt=prompt, meta=meta)
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
                row(
                    candidate_id=candidate.id,
                    answer=answer,
                    n_chars=len(answer),
                    text_sha=digest.hexdigest()[:16],
                    groups={**item.groups, **own},
                )
            )
        if generated and item.max_new_tokens is not None:
            digest = shared.copy()
            # Runs stored before there were stop strings keep their sums.
            asked = f"{item.max_new_tokens}{item.stop or ''}"
            digest.update(f"{asked}{_groups_form(item.groups, ())}".encode())
            rows.append(
                row(
                    candidate_id=GENERATED,
                    answer="",
                    n_chars=0,
                    text_sha=digest.hexdigest()[:16],
                    groups=item.groups,
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
    device: Callable[[], str],
) -> RunResult:
    """Scores what the run folder does not hold yet, and finishes it.

    Args:
        items: All items of this call, in the probe's order.
        load: Loads the model; called only when something is left to score.
        root: The runs folder.
        manifest: Identity and provenance of the run; `measures` must be those of the
            scorer, and `text` where it shall generate.
        progress: Told how far the run is.
        device: Says where the loaded model computes.

    Returns:
        The run's folder and its counts over everything it holds.

    Raises:
        StoreError: The run folder cannot be continued or written.
        InterruptedRunError: Ctrl-C; rows scored so far are stored.
    """
    with RunFolder.open(root, manifest) as folder:
        generated = Measure.TEXT in folder.manifest.measures
        folder.write_items(item_rows(items, generated=generated))
        began = time.monotonic()
        before = folder.manifest.wall_seconds
        started = folder.manifest.started or now()
        folder.save(status="started", started=started, finished=None)

        def close(status: str) -> Counts:
            seconds = round(before + time.monotonic() - began, 3)
            return folder.finish(status, wall_seconds=seconds)

        try:
            _score_missing(items, load, folder, progress, device)
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
    device: Callable[[], str],
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
                    assert scorer.measures == numbers_of(measures)
                    engine = _engine(scorer, measures)
                    folder.save(engine=engine, device=device())
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


def groups(
    items: Sequence[Item],
    size: int = GROUP_CANDIDATES,
    characters: int = GROUP_CHARACTERS,
) -> Iterator[list[Item]]:
    """Consecutive items with at least so much together (but the last).

    Args:
        items: All items of a call.
        size: Candidates of a group.
        characters: Characters of a group, whichever comes first.
    """
    group: list[Item] = []
    count = length = 0
    before = ""
    for item in items:
        group.append(item)
        count += len(item.candidates)
        prompt = "".join(message.content for message in item.messages)
        length += len(prompt) - _shared(before, prompt)
        length += sum(len(candidate.answer) for candidate in item.candidates)
        before = prompt
        if count >= size or length >= characters:
            yield group
            group, count, length, before = [], 0, 0, ""
    if group:
        yield group


def _shared(first: str, second: str) -> int:
    """Characters that two texts begin with alike."""
    for at, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return at
    return min(len(first), len(second))


def _engine(scorer: Scorer, measures: Sequence[Measure]) -> str:
    if Measure.TEXT not in measures:
        return scorer.engine
    assert isinstance(scorer, TextGenerator), "only policies are asked to generate"
    return f"{scorer.engine}; generation: {scorer.generation}"


def _missing(
    group: Sequence[Item], measures: Sequence[Measure], done: set[Key]
) -> set[Key]:
    numbers = numbers_of(measures)
    expected = {
        (item.id, candidate.id, measure.value)
        for item in group
        for candidate in item.candidates
        for measure in numbers
    }
    if Measure.TEXT in measures:
        expected |= {
            _text_key(item) for item in group if item.max_new_tokens is not None
        }
    return expected - done


def _text_key(item: Item) -> Key:
    return (item.id, GENERATED, Measure.TEXT.value)


def _score_group(
    group: Sequence[Item], scorer: Scorer, manifest: Manifest, missing: set[Key]
) -> list[ScoreRow]:
    """The missing rows of a group's items, of which each lacks some."""
    unscored = {key[0] for key in missing if key[2] != Measure.TEXT.value}
    encoded = [
        one for item in group if item.id in unscored for one in scorer.encode(item)
    ]
    asked = [item for item in group if _text_key(item) in missing]
    prompts: list[Prompt] = []
    generations: list[Generation] = []
    if asked:
        assert isinstance(scorer, TextGenerator), "only policies are asked to generate"
        prompts = [scorer.prompt(item) for item in asked]
        scores, generations = scorer.score_and_generate(encoded, prompts)
        for i, prompt in enumerate(prompts):
            if generations[i].text is None:  # what failed there is tried alone
                _, [generations[i]] = scorer.score_and_generate((), [prompt])
    else:
        scores = scorer.score(encoded)
    scores = _alone_where_not_finite(encoded, scores, scorer)
    rows = []
    for one, values in zip(encoded, scores, strict=True):
        for measure, score in values.items():
            if (one.item_id, one.candidate_id, measure.value) not in missing:
                continue
            finite = math.isfinite(score)
            rows.append(
                _row(
                    one,
                    manifest,
                    measure,
                    score=score if finite else math.nan,
                    error=None if finite else _why_unscored(one, score),
                )
            )
    for prompt, generation in zip(prompts, generations, strict=True):
        row = _row(
            prompt.encoded,
            manifest,
            Measure.TEXT,
            text=generation.text,
            error=None if generation.text is not None else _NO_TOKEN,
        )
        rows.append(dataclasses.replace(row, n_answer_tokens=len(generation.token_ids)))
    return rows


def _row(
    encoded: Encoded,
    manifest: Manifest,
    measure: Measure,
    *,
    score: float = math.nan,
    text: str | None = None,
    error: str | None,
) -> ScoreRow:
    return ScoreRow(
        probe=manifest.probe,
        probe_version=manifest.probe_version,
        item_id=encoded.item_id,
        candidate_id=encoded.candidate_id,
        model=manifest.model,
        fingerprint=manifest.fingerprint,
        measure=measure,
        score=score,
        n_prompt_tokens=encoded.n_prompt_tokens,
        n_answer_tokens=encoded.n_answer_tokens,
        truncated_tokens=encoded.truncated_tokens,
        straddles=encoded.straddles,
        input_sha=encoded.input_sha,
        text=text,
        error=error,
    )


def _alone_where_not_finite(
    encoded: Sequence[Encoded],
    scores: list[Mapping[Measure, float]],
    scorer: Scorer,
) -> list[Mapping[Measure, float]]:
    """The scores of a group; what is not finite is scored again on its own.

    In a shared forward pass a NaN reaches its neighbours: a masked key has weight
    zero, and zero times NaN is NaN.
    """
    for i, one in enumerate(encoded):
        if not all(map(math.isfinite, scores[i].values())):
            [scores[i]] = scorer.score([one])
    return scores


def _why_unscored(encoded: Encoded, score: float) -> str:
    if encoded.error is not None:
        return encoded.error
    if encoded.n_answer_tokens == 0:
        return "truncation left no token of the answer"
    return f"the model gave {score}"
