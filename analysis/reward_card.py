"""A trained reward model on held-out pairs, beside answerers that read no content.

Estimand: the share of pairs like those held out in which the chosen answer scores
higher; a tie counts one half. Unit of analysis: a pair; pairs of one key (a prompt,
with its translations) are a cluster, and every interval is over clusters. Labels,
sources and the trained model are held fixed: another seed is another model, shown
beside.

The baselines:

- *length*: a logistic regression of the label on the difference of tokens, with a slope
  for each source, fitted on the training split, whole texts. It has no intercept: which
  answer is named first means nothing.
- *the base's log-probability*: the policy that training started from, summed over an
  answer and per token of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray

from analysis import paired
from analysis.load import Run, load_run
from analysis.preferences import pair_frame
from analysis.records import Origin, Record, record_of
from analysis.resample import DRAWS, SEED, Floats
from analysis.written import write_files
from probe.csvs import unquoted
from probe.types import DataError, Measure

ALL = "all"
ALIKE = "lengths within 10%"
"""Pairs of which the longer answer has at most 10 % more tokens than the shorter."""
LENGTH = "length"
LENGTH_COLUMNS = ("source", "chosen", "rejected")
"""Of a training's `lengths.csv`: tokens of both answers of each pair."""

_POLICY = {
    Measure.LOGPROB_SUM: "base, log-prob",
    Measure.LOGPROB_MEAN: "base, log-prob per token",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answerer on some of the pairs."""

    group: str
    """A source, `ALL` or `ALIKE`."""
    answerer: str
    """A model's name, `LENGTH`, or the base's log-probability."""
    run: str
    """Name of its run; of length itself empty."""
    accuracy: paired.Interval
    beyond_length: paired.Interval
    """Accuracy less that of length, a bootstrap over clusters; of length itself it is
    empty."""
    n: int
    n_clusters: int


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything measured on the held-out pairs."""

    rows: tuple[Row, ...]
    slopes: Mapping[str, float]
    """Source -> log-odds that the chosen answer is the longer one, per 100 tokens."""
    n_train: int
    """Pairs that the slopes were fitted on."""
    probe: str

    def of(self, group: str, answerer: str) -> Row:
        """The row of an answerer."""
        return next(
            row for row in self.rows if (row.group, row.answerer) == (group, answerer)
        )


def read_lengths(path: Path) -> pd.DataFrame:
    """Reads a training's `lengths.csv`.

    Raises:
        DataError: It is no such file.
    """
    try:
        found = pd.read_csv(path, converters={"source": unquoted})
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}",
            f"It is a csv with the columns {', '.join(LENGTH_COLUMNS)}",
            "Train the checkpoint again",
        ) from error
    missing = set(LENGTH_COLUMNS) - set(found.columns)
    if missing or found.empty:
        raise DataError(
            f"{path} has no column {', '.join(sorted(missing)) or 'with rows'}",
            f"It is a csv with the columns {', '.join(LENGTH_COLUMNS)}, a row a pair",
            "Train the checkpoint again",
        )
    return found


def fit_length(lengths: pd.DataFrame) -> dict[str, float]:
    """Slopes of the label on the difference of tokens / 100, by source.

    Each pair stands twice, once the other way round, so that both labels are there; its
    likelihood is that of one. A source in which the longer answer is always chosen, or
    never, has no finite slope.
    """
    slopes = {}
    for source, rows in lengths.groupby("source", sort=True):
        difference = (rows["chosen"] - rows["rejected"]).to_numpy(np.float64) / 100
        signs = set(np.sign(difference)) - {0.0}
        if len(signs) < 2:
            slopes[str(source)] = float(sum(signs)) * np.inf if signs else 0.0
            continue
        both = np.concatenate([difference, -difference])
        labels = np.repeat([1.0, 0.0], len(difference))
        slopes[str(source)] = float(sm.Logit(labels, both).fit(disp=0).params[0])
    return slopes


def analyse_card(
    runs: Sequence[Run], lengths: pd.DataFrame, *, base: str | None = None
) -> Card:
    """Accuracies on held-out pairs, of every run and the baselines.

    Args:
        runs: Of one probe, whose items have the columns `source` and `key`.
        lengths: From `read_lengths`, of the training split.
        base: Name of the policy that training started from, whose log-probabilities
            are the baselines; other policies are left out. None: there is none.

    Raises:
        DataError: The runs are of several probes, or lack a column or scores.
        StoreError: A run cannot be read.
    """
    probes = {run.probe for run in runs}
    if len(probes) != 1:
        raise DataError(
            f"the runs are of {len(probes)} probes",
            "A card is of one set of held-out pairs",
            "Name runs of one probe",
        )
    found = _answerers(runs, base)
    frames = {name: _frame(run) for name, run in found.items()}
    common = set.intersection(*(set(frame.index) for frame in frames.values()))
    first = next(iter(frames.values()))
    first = first[first.index.isin(common)]
    slopes = fit_length(lengths)
    sources = first["source"].to_numpy(str)
    tilt = np.array([slopes.get(source, np.nan) for source in sources])
    correct = {
        name: frame.loc[first.index, "correct"].to_numpy(np.float64)
        for name, frame in frames.items()
    }
    # A source that the training split lacks has no slope: length says nothing of it.
    tilted = np.sign(np.nan_to_num(tilt)) * first["difference"].to_numpy()
    correct[LENGTH] = paired.wins(tilted)
    longest = first[["chosen_tokens", "rejected_tokens"]].to_numpy().max(axis=1)
    alike = np.abs(first["difference"].to_numpy()) <= 0.1 * longest
    groups = {
        ALL: np.ones(len(first), np.bool_),
        **{source: sources == source for source in sorted(set(sources))},
        ALIKE: alike,
    }
    keys = first["key"].to_numpy(str)
    return Card(
        rows=tuple(
            _row(
                group,
                name,
                found[name].name if name in found else "",
                values[at],
                correct[LENGTH][at],
                keys[at],
            )
            for group, at in groups.items()
            for name, values in correct.items()
            if at.any()
        ),
        slopes=slopes,
        n_train=len(lengths),
        probe=probes.pop(),
    )


def _answerers(runs: Sequence[Run], base: str | None) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for run in runs:
        named = {run.model: run}
        if run.manifest.model_kind == "policy":
            if run.model != base:
                continue
            named = {said: load_run(run.path, one) for one, said in _POLICY.items()}
        if twice := found.keys() & named.keys():
            raise DataError(
                f"two runs are of {', '.join(sorted(twice))}",
                "A card has each model once",
                "Name one of them",
            )
        found |= named
    if not found:
        raise DataError(
            "no run is of a reward model",
            "A card is of reward models, and of the base that they were trained from",
            "Name runs of one",
        )
    return found


def _frame(run: Run) -> pd.DataFrame:
    """A row per pair: source, key, correct, and the answers' tokens."""
    pairs, _, _ = pair_frame(run)
    missing = {"source", "key"} - set(pairs.columns)
    if missing:
        raise DataError(
            f"{run.path} has no column {', '.join(sorted(missing))}",
            "Held-out pairs have a source, and a key that pairs of one prompt share",
            "Score the held_out.jsonl of a mix",
        )
    tokens = run.frame.pivot(index="item_id", columns="role", values="n_answer_tokens")
    found = pairs.set_index("item_id")[["source", "key", "correct"]]
    for role in ("chosen", "rejected"):
        found[f"{role}_tokens"] = tokens[role].reindex(found.index)
    found["difference"] = found["chosen_tokens"] - found["rejected_tokens"]
    return found


def _row(
    group: str,
    answerer: str,
    run: str,
    correct: Floats,
    by_length: Floats,
    keys: NDArray[np.str_],
) -> Row:
    beyond = paired.Interval(estimate=np.nan)
    if answerer != LENGTH:
        beyond = paired.clustered_mean(
            correct - by_length, keys, draws=DRAWS, seed=SEED
        )
    return Row(
        group=group,
        answerer=answerer,
        run=run,
        accuracy=paired.clustered_share(correct, keys),
        beyond_length=beyond,
        n=len(correct),
        n_clusters=len(np.unique(keys)),
    )


def card_records(card: Card) -> list[Record]:
    """The card's numbers, as every report stores them."""
    found = []
    for row in card.rows:
        for metric, interval, method in (
            ("accuracy", row.accuracy, "Wilson, effective number of pairs"),
            ("accuracy_beyond_length", row.beyond_length, "bootstrap over keys"),
        ):
            if np.isfinite(interval.estimate):
                found.append(
                    record_of(
                        Origin(probe=card.probe, model=row.answerer, name=row.run),
                        interval,
                        analysis="reward_card",
                        metric=metric,
                        unit="share",
                        group=row.group,
                        reference=LENGTH if metric != "accuracy" else "one half",
                        method=method,
                        missing=method,
                        cluster="key",
                        n=row.n,
                        n_clusters=row.n_clusters,
                    )
                )
    return found


def write_card(card: Card, out: Path) -> list[Path]:
    """Writes `card.md`, for a model card, and `card.json`, its records.

    Raises:
        StoreError: The folder cannot be written.
    """
    header, *rows = card_table(card)
    lines = [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"Length: fitted on the training split, {card.n_train:,} pairs; log-odds that "
        "the chosen answer is the longer one, per 100 tokens: "
        + ", ".join(f"{name} {_slope(slope)}" for name, slope in card.slopes.items())
        + ".",
    ]
    records = [record.to_json() for record in card_records(card)]
    texts = {
        "card.md": "\n".join(lines) + "\n",
        "card.json": json.dumps(records, indent=1, allow_nan=False) + "\n",
    }
    files = {name: text.encode() for name, text in texts.items()}
    return write_files(out, files, ".rm-probe-card")


def _slope(slope: float) -> str:
    if np.isinf(slope):
        return "always" if slope > 0 else "never"
    return f"{slope:+.2f}"


def card_table(card: Card) -> list[tuple[str, ...]]:
    """The card's rows for a console or a markdown table, a header first."""
    rows: list[tuple[str, ...]] = [
        ("pairs", "n", "answerer", "accuracy", "95%", "beyond length", "95%")
    ]
    before = ""
    for row in card.rows:
        new = row.group != before
        before = row.group
        rows.append(
            (
                row.group if new else "",
                str(row.n) if new else "",
                row.answerer,
                _percent(row.accuracy.estimate),
                _interval(row.accuracy),
                _points(row.beyond_length.estimate),
                _interval(row.beyond_length, sign=True),
            )
        )
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}" if np.isfinite(share) else "-"


def _interval(interval: paired.Interval, *, sign: bool = False) -> str:
    if not np.isfinite(interval.low):
        return "-"
    form = "{:+.1f}" if sign else "{:.1f}"
    bounds = (form.format(100 * one) for one in (interval.low, interval.high))
    return " to ".join(bounds)
