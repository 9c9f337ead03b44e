"""What was read of the outputs of Ryan, Held and Yang (2024), and what to call numbers.

Shared by the modules that measure it anew: `paper_measures`, `paper_md3` and
`paper_tydiqa`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.paired import Interval
from analysis.ranks import Ranking
from analysis.records import Origin, Record, record_of

ASKREDDIT, GLOBAL_OPINIONS, LANGID = "askreddit@1", "global_opinions@1", "langid"
MD3, TYDIQA = "md3@1", "tydiqa@1"
"""`probe` of the records."""
DRAWS = 2000
"""Bootstrap draws of every interval."""
SEED = 0
TUNED = {
    "Llama-2-7b-chat-hf": "Llama-2-7b-hf",
    "tulu-2-7b": "Llama-2-7b-hf",
    "tulu-2-dpo-7b": "tulu-2-7b",
    "mistral-7b-sft-beta": "Mistral-7B-v0.1",
    "zephyr-7b-beta": "mistral-7b-sft-beta",
    "openchat_3.5": "Mistral-7B-v0.1",
    "Starling-LM-7B-alpha": "openchat_3.5",
    "Qwen1.5-7B-Chat": "Qwen1.5-7B",
    "Yi-6B-Chat": "Yi-6B",
}
"""Which model each was tuned from."""


def untuned(model: str) -> str:
    """The base model at the bottom of a model's line in `TUNED`."""
    while model in TUNED:
        model = TUNED[model]
    return model


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a number is."""

    name: str
    unit: str
    analysis: str
    reference: str | None = None
    """What it is compared with, where that is always the same."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was read of the authors' outputs."""

    rankings: tuple[Ranking, ...]
    """Runs of AskReddit, from `rank`."""
    similarities: pd.DataFrame
    """GlobalOpinionQA: a row per model and question that the US and all of
    `paper_measures.COMPARED` were asked, with `model`, `file` and a column per
    country: 1 - Jensen-Shannon distance (natural logarithm) of the model's answers to
    those of people there; NaN: asked, without a number."""
    games: pd.DataFrame
    """MD3: a row per model and game, as `probe.recorded.repository.Found.games`."""
    answers: pd.DataFrame
    """TyDiQA: a row per model and question, from `paper_tydiqa.score`."""
    languages: pd.DataFrame
    """A row per training set and language: `model` (the set's name), `file`,
    `language` (English is `en`) and `count`, the texts in it."""
    no_references: str | None = None
    """Why no reference answers were had to hold `answers` against; None: they were."""

    @property
    def models(self) -> frozenset[tuple[str, str]]:
        """(probe, model) of everything there is."""
        return frozenset(
            {(one.run.probe, one.run.model) for one in self.rankings}
            | {(GLOBAL_OPINIONS, name) for name in self.similarities["model"]}
            | {(MD3, name) for name in self.games["model"]}
            | {(TYDIQA, name) for name in self.answers["model"]}
            | {(LANGID, name) for name in self.languages["model"]}
        )


def ordered(
    frame: pd.DataFrame, models: Sequence[str]
) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """The rows of each (model, file), the paper's in its order before any others."""
    groups = [
        ((str(name), str(file)), rows)
        for (name, file), rows in frame.groupby(["model", "file"])
    ]
    return sorted(groups, key=lambda one: place(one[0][0], models))


def place(model: str, models: Sequence[str]) -> tuple[int, str]:
    """What a model is sorted by: the paper's order, then any others by name."""
    return models.index(model) if model in models else len(models), model


def record(
    metric: Metric,
    value: Interval,
    *,
    probe: str,
    model: str,
    run: str,
    n: int,
    method: str,
    missing: str | None = None,
    cluster: str | None = None,
    n_clusters: int | None = None,
    group: str | None = None,
    p_value: float | None = None,
    family: str | None = None,
) -> Record:
    """A record of a file; its clusters are its units, where no number is given.

    `missing` says why there is no interval, where it is not said by `method`.
    """
    made = record_of(
        Origin(probe=probe, model=model, name=run),
        value,
        analysis=metric.analysis,
        metric=metric.name,
        unit=metric.unit,
        group=group,
        reference=metric.reference,
        method=method,
        missing=missing or method,
        cluster=cluster,
        p_value=p_value,
        n=n,
        n_clusters=n if cluster and n_clusters is None else n_clusters,
    )
    return dataclasses.replace(made, family=family)
