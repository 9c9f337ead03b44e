"""A run of dialect minimal pairs, laid out by feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import LENGTH_UNITS, UNITS, Run, item_meta, length_column
from analysis.resample import Floats
from probe.types import DataError

VARIANTS = ("standard", "dialect")
"""The two forms of a pair, the reference first."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A morphosyntactic feature, as the items describe it."""

    key: str
    """Value of the column `feature`."""
    title: str
    """The key where the items have no title."""
    ewave: int | None
    """Number in the Electronic World Atlas of Varieties of English."""
    ewave_name: str | None
    varieties: tuple[str, ...]
    """Where it is attested, as the items say."""
    standard: str
    """Text of one pair, the first with both scores."""
    dialect: str


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """The pairs of a run in which both forms have a score."""

    run: Run
    label: str
    """The model's name, made unique among the runs analysed together."""
    features: tuple[Feature, ...]
    """F features with at least one pair, in the order of the items."""
    members: tuple[NDArray[np.intp], ...]
    """Per feature the indices of its pairs."""
    clusters: tuple[NDArray[np.intp], ...]
    """Per feature and pair the number of its frame, from 0 within the feature."""
    standard: Floats
    """Shape (P,): scores of the standard forms."""
    dialect: Floats
    """Shape (P,): scores of the dialect forms."""
    lengths: Floats
    """Shape (P,): length of the standard form less that of the dialect form."""
    length_unit: str
    """`tokens`, or `characters` where the run has no token counts."""
    unscored: int
    """Pairs left out, as one form or both have no score."""

    @property
    def unit(self) -> str:
        """Unit of a difference of scores."""
        return UNITS[self.run.measure]

    @property
    def differences(self) -> Floats:
        """Shape (P,): positive where the standard form is preferred."""
        return self.standard - self.dialect

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames of each feature."""
        return tuple(int(codes.max()) + 1 for codes in self.clusters)


def feature_table(run: Run, label: str) -> FeatureTable:
    """Lays a run out as pairs by feature.

    Args:
        run: A run that was read from its folder.
        label: What the report calls its model.

    Raises:
        DataError: A column is missing or wrong, or no pair has both scores.
        StoreError: The run's items cannot be read.
    """
    pairs = pair_scores(run)
    scores = pairs[list(VARIANTS)].to_numpy()
    known = np.isfinite(scores).all(axis=1)
    if not known.any():
        raise DataError(
            f"{run.path} has no pair of which both forms have a score",
            "Features are compared within pairs of a standard and a dialect form",
            "Run the rm-probe score command that began the run once more: it resumes",
        )
    frame = run.frame
    scored = np.isfinite(frame["score"])
    length = length_column(run, frame[scored]) or "n_chars"
    groups = pairs[known]
    kept = frame.pivot(index="item_id", columns="variant", values=[length, "answer"])
    kept = kept.loc[groups.index]
    codes, keys = pd.factorize(groups["feature"])
    members = tuple(np.flatnonzero(codes == place) for place in range(len(keys)))
    frames = groups["frame"].to_numpy(dtype=str)
    texts = kept["answer"]
    meta = item_meta(run)
    return FeatureTable(
        run=run,
        label=label,
        features=tuple(
            _feature(
                str(key),
                meta[str(kept.index[rows[0]])],
                str(texts["standard"].iloc[rows[0]]),
                str(texts["dialect"].iloc[rows[0]]),
            )
            for key, rows in zip(keys, members, strict=True)
        ),
        members=members,
        clusters=tuple(
            np.unique(frames[rows], return_inverse=True)[1] for rows in members
        ),
        standard=scores[known, 0],
        dialect=scores[known, 1],
        lengths=(kept[length]["standard"] - kept[length]["dialect"]).to_numpy(
            dtype=np.float64
        ),
        length_unit=LENGTH_UNITS[length],
        unscored=int((~known).sum()),
    )


def pair_scores(run: Run) -> pd.DataFrame:
    """The scores of every pair, scored or not.

    Returns:
        Index item_id, in the order of the items: feature, frame, and of each of
        `VARIANTS` a column of scores (float64; NaN = unscored).

    Raises:
        DataError: A column is missing or wrong.
    """
    frame = _pairs_only(run)
    pairs = frame.drop_duplicates("item_id").set_index("item_id")[["feature", "frame"]]
    scores = frame.pivot(index="item_id", columns="variant", values="score")
    nothing = pd.Series(np.nan, index=scores.index)
    return pairs.assign(
        **{
            variant: scores.get(variant, nothing).astype(np.float64)
            for variant in VARIANTS
        }
    )


def _pairs_only(run: Run) -> pd.DataFrame:
    frame = run.frame
    for column in ("feature", "frame", "variant"):
        if column not in frame.columns:
            raise DataError(
                f"{run.path} has no column {column}",
                "Minimal pairs have the columns feature and frame, and two candidates "
                "told apart by the column variant",
                "Name a run of dialect_features, or add the column to your items",
            )
        if frame[column].isna().any():
            raise DataError(
                f"{run.path}: {int(frame[column].isna().sum())} rows have no {column}",
                "Every pair belongs to a feature and a frame, and every candidate is "
                "one of its two variants",
                f"Fill the column {column} of the items",
            )
    wrong = sorted(set(frame["variant"].astype(str)) - set(VARIANTS))
    if wrong:
        raise DataError(
            f"{run.path}: variant is {', '.join(map(repr, wrong))}",
            f"A candidate's variant is {' or '.join(VARIANTS)}",
            "Mend the variant column of the items",
        )
    if frame.duplicated(["item_id", "variant"]).any():
        first = frame.loc[frame.duplicated(["item_id", "variant"]), "item_id"].iloc[0]
        raise DataError(
            f"{run.path}: item {first} has two candidates of one variant",
            "A minimal pair has one standard and one dialect candidate",
            "Make each pair an item of its own",
        )
    return frame


def _feature(
    key: str, meta: Mapping[str, object], standard: str, dialect: str
) -> Feature:
    number, name = meta.get("ewave"), meta.get("ewave_name")
    varieties = meta.get("varieties")
    return Feature(
        key=key,
        title=str(meta.get("feature_title") or key),
        ewave=number if isinstance(number, int) else None,
        ewave_name=None if name is None else str(name),
        varieties=tuple(map(str, varieties)) if isinstance(varieties, list) else (),
        standard=standard,
        dialect=dialect,
    )
