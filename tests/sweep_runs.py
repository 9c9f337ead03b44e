"""Runs of the checkpoints of made-up sweeps, with planted slopes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from probe.types import Candidate, Item
from tests.language_runs import store, unit

SWEEP = "language_sft"
Slopes = Mapping[str, float]
"""Language -> slope of its accuracy on the share."""


def config(
    share: float | None,
    seed: int,
    *,
    placebo: bool = False,
    **changes: object,
) -> dict[str, object]:
    """A checkpoint's model config, as far as analysis reads it."""
    training: dict[str, object] = {
        "sweep": SWEEP,
        "arm": "placebo" if placebo else "treatment",
        "placebo": placebo,
        "share": share,
        "drawn_share": share,
        "base": "base",
        "seed": seed,
        "stage": "sft",
        "mix": f"{SWEEP}_placebo" if placebo else SWEEP,
        "mix_sha": "0" * 64,
        "rows": 600,
        "dropped": 0,
        "tokens": 91_234,
        "attribute": "rows marked at random" if placebo else "rows in Finnish",
    }
    return {"training": training | changes}


def answers(
    chance: Callable[[str], float], checkpoint: str, *, own: float = 0.4
) -> Callable[[Item, Candidate], float]:
    """Scores of a checkpoint that picks the right letter with a given probability.

    Args:
        chance: Of a language.
        checkpoint: Its name.
        own: Share of the items on which it does not answer as the others do.
    """

    def score(item: Item, candidate: Candidate) -> float:
        code = str(item.groups["language"])
        alone = unit("alone", checkpoint, item.id) < own
        drawn = unit(checkpoint if alone else "all", item.id)
        right = drawn < chance(code)
        if candidate.groups["correct"] == "yes":
            return -1.0 if right else -2.0
        return -1.5 - 0.1 * "ABCD".index(candidate.id)

    return score


def levels(
    slopes: Slopes, share: float, name: str, *, start: float = 0.5, noise: float = 0.02
) -> Callable[[str], float]:
    """Chances of a checkpoint, with training noise that is one for all languages."""
    moved = noise * (2 * unit("noise", name) - 1) * 3**0.5

    def chance(code: str) -> float:
        return start + slopes.get(code, 0.0) * share + moved

    return chance


def sweep(
    root: Path,
    items: Sequence[Item],
    slopes: Slopes,
    *,
    shares: Sequence[float] = (0.0, 0.5, 1.0),
    seeds: Sequence[int] = (0, 1, 2),
    placebo: Slopes | None = None,
    base: bool = False,
    noise: float = 0.02,
    training: Mapping[str, object] | None = None,
    prefix: str = SWEEP,
    own: Callable[[float, int], Mapping[str, object]] = lambda share, seed: {},
    seed_slopes: float = 0.0,
    **changes: object,
) -> list[Path]:
    """Scored checkpoints of a sweep.

    Args:
        root: The runs folder.
        items: From `language_runs.choices`.
        slopes: Of the treatment.
        shares: Of the rows, each with every seed.
        seeds: Of the training.
        placebo: Slopes of a placebo arm; None: there is none.
        base: Whether the base was scored as well.
        noise: SD of the training's own noise.
        training: Changes to the checkpoints' `training`.
        prefix: Of the models' names.
        own: Share and seed -> changes to one checkpoint's `training`.
        seed_slopes: By how much the slopes of neighbouring seeds differ, in all groups.
        changes: To the manifests.
    """
    found = []
    middle = sum(seeds) / len(seeds)
    if base:
        chance = levels({}, 0.0, "base", start=0.4, noise=0.0)
        found.append(
            store(root, items, answers(chance, "base"), model="base", **changes)
        )
    arms = {False: slopes} if placebo is None else {False: slopes, True: placebo}
    for is_placebo, of in arms.items():
        for share in shares:
            for seed in seeds:
                arm = "placebo" if is_placebo else "treatment"
                name = f"{prefix}-{arm}{100 * share:g}-seed{seed}"
                found.append(
                    store(
                        root,
                        items,
                        answers(
                            levels(
                                of,
                                share,
                                name,
                                start=0.5 + seed_slopes * share * (seed - middle),
                                noise=noise,
                            ),
                            name,
                        ),
                        model=name,
                        fingerprint=hashlib.sha256(name.encode()).hexdigest()[:16],
                        config=config(
                            share,
                            seed,
                            placebo=is_placebo,
                            **{**(training or {}), **own(share, seed)},
                        ),
                        **changes,
                    )
                )
    return found
