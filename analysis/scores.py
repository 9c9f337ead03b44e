"""A country run laid out as questions x countries.

Only the countries of the analysis are laid out: an officially assigned ISO 3166-1 code
and a population over 250,000, as in Ryan et al. (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import LENGTH_UNITS, Run, alike, length_column
from analysis.resample import Floats
from data_builders import countries
from probe.types import DataError

SENTIMENTS = ("positive", "negative", "neutral")
"""What a question may ask for; neutral ones are ranked like positive ones."""


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """A run's scores as questions x countries, analysis countries only."""

    items: tuple[str, ...]
    """Q item ids, in the run's order."""
    sentiment: NDArray[np.str_]
    """Shape (Q,): `positive`, `negative` or `neutral`."""
    keys: tuple[str, ...]
    """K country keys (ISO3), sorted."""
    names: tuple[str, ...]
    """K names."""
    scores: Floats
    """Shape (Q, K); NaN = unscored; equal where only rounding tells them apart."""
    varying: NDArray[np.bool_]
    """Shape (Q,): questions that give some countries another score than others."""
    lengths: Floats
    """Shape (Q, K): length of the answer."""
    length_unit: str
    """`tokens`, or `characters` where the run has no token counts."""
    others: tuple[str, ...]
    """Keys of scored candidates that are not analysis countries."""
    absent: tuple[str, ...]
    """Analysis countries without a single score in this run."""
    cells: int
    """Questions of the run x K, unusable questions included."""
    unscored: int
    """Cells of the run's analysis countries without a finite score."""
    questions_with_unscored: int
    truncated: int | None
    """Cells whose text was cut; None: not recorded."""

    @property
    def oriented(self) -> Floats:
        """Scores less their question's mean, sign reversed on negative questions.

        The zero of a reward is arbitrary, so a sign may only be reversed about the
        question's own mean.
        """
        centred = self.scores - np.nanmean(self.scores, axis=1, keepdims=True)
        # A mean of equal scores may miss them by a rounding error.
        centred[~self.varying] *= 0.0
        return np.where(self.negative[:, None], -centred, centred)

    @property
    def tied(self) -> float:
        """Share of the pairs of countries, over questions, that have the same score."""
        same = pairs = 0
        for row in self.scores:
            sizes = np.unique(row[np.isfinite(row)], return_counts=True)[1]
            same += int((sizes * (sizes - 1)).sum())
            pairs += int(sizes.sum() * (sizes.sum() - 1))
        return same / pairs

    @property
    def negative(self) -> NDArray[np.bool_]:
        """Shape (Q,): questions whose ranks are reversed."""
        return self.sentiment == "negative"

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Shape (Q,): positive questions, without the neutral ones."""
        return self.sentiment == "positive"


def score_table(run: Run) -> ScoreTable:
    """Lays a run out as questions x countries.

    Kept are the countries with an officially assigned ISO 3166-1 code and a population
    over 250,000 that have at least one score, and the questions in which at least two
    of them have one.

    Raises:
        DataError: The run is not about countries, a question's sentiment is unknown,
            or fewer than two analysis countries have a score.
    """
    frame = run.frame
    for column in ("sentiment", "iso3"):
        if column not in frame.columns:
            raise DataError(
                f"{run.path} has no column {column}",
                "The country analysis reads runs of country probes, whose items have "
                "the columns sentiment and iso3",
                "Name a run of where_from, askreddit or country_questions, or add the "
                "column to your items",
            )
    given = frame["sentiment"].fillna("(empty)").unique()
    wrong = sorted(set(map(str, given)) - set(SENTIMENTS))
    if wrong:
        raise DataError(
            f"{run.path}: sentiment is {', '.join(map(repr, wrong))}",
            f"A question's sentiment is one of {', '.join(SENTIMENTS)}",
            "Mend the sentiment column of the items",
        )
    analysed = countries.analysis_keys()
    scored = set(frame.loc[np.isfinite(frame["score"]), "candidate_id"].unique())
    keys = tuple(key for key in analysed if key in scored)
    if len(keys) < 2:
        raise DataError(
            f"{run.path} has scores for {len(keys)} of the {len(analysed)} countries "
            "of the analysis",
            "Ranking needs at least two",
            "Score more countries, or look at the run's errors with rm-probe ls runs",
        )
    kept = frame[frame["candidate_id"].isin(keys)]
    # Sorted, so that no draw depends on the order in which items were stored.
    rows, items = pd.factorize(kept["item_id"], sort=True)
    columns = pd.Index(keys).get_indexer(pd.Index(kept["candidate_id"]))
    shape = (len(items), len(keys))
    scores = _matrix(kept["score"], rows, columns, shape)
    scores[~np.isfinite(scores)] = np.nan
    if not (np.isfinite(scores).sum(axis=1) >= 2).any():
        raise DataError(
            f"{run.path} has no question with scores for two countries",
            "Ranking compares countries within a question",
            "Run the rm-probe score command that began the run once more: it resumes",
        )
    sentiment = np.empty(len(items), dtype="<U8")
    sentiment[rows] = kept["sentiment"].to_numpy(dtype="<U8")
    ranked = np.isfinite(kept["score"])
    length = length_column(run, kept[ranked]) or "n_chars"
    lengths = _matrix(kept[length], rows, columns, shape)
    finite = np.isfinite(scores)
    usable = finite.sum(axis=1) >= 2
    kept_scores = scores[usable]
    low, high = np.nanmin(kept_scores, axis=1), np.nanmax(kept_scores, axis=1)
    varying = ~alike(low, high)
    level = np.where(np.isnan(kept_scores), np.nan, low[:, None])
    cut = kept["truncated_tokens"]
    return ScoreTable(
        items=tuple(map(str, items[usable])),
        sentiment=sentiment[usable],
        keys=keys,
        names=tuple(countries.by_key(key).name for key in keys),
        scores=np.where(varying[:, None], kept_scores, level),
        varying=varying,
        lengths=lengths[usable],
        length_unit=LENGTH_UNITS[length],
        others=tuple(sorted(scored.difference(analysed))),
        absent=tuple(key for key in analysed if key not in scored),
        cells=finite.size,
        unscored=int((~finite).sum()),
        questions_with_unscored=int((~finite).any(axis=1).sum()),
        truncated=int((cut > 0).sum()) if bool(cut.notna().any()) else None,
    )


def _matrix(
    values: pd.Series,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    shape: tuple[int, int],
) -> Floats:
    out = np.full(shape, np.nan)
    out[rows, columns] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return out
