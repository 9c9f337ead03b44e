"""One measure of several checkpoints, unit by unit: what `stages` computes on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import Run
from analysis.outcome import Outcome
from analysis.resample import Floats
from probe.store import read_items
from probe.types import GENERATED, Stage, StoreError, UsageError

Codes = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One measure of one checkpoint."""

    stage: Stage
    run: str
    """The run's name, as in `Record.run`."""
    probe: str
    """Probe and version, as in `Record.probe`."""
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """What every checkpoint has: rows of a unit in a group, and a value of each."""

    lineage: str
    """Name of the lineage, for families of tests."""
    measured: tuple[Measured, ...]
    """The checkpoints, the base first."""
    groups: tuple[str, ...]
    """The reference first, if it is here; then in the order of the base's rows."""
    reference: str | None
    """Group that others' changes are compared with; None: there is none here."""
    unit: Codes
    """Shape (R,): which unit a row is of."""
    group: Codes
    """Shape (R,): place in `groups`."""
    cluster: Codes
    """Shape (R,): units of one cluster are not independent."""
    stratum: Codes
    """Shape (R,): of the cluster; how many units are of which is design, not chance."""
    values: Floats
    """Shape (checkpoints, R), finite."""
    left_out: tuple[int, ...]
    """Per checkpoint its scored rows that another one does not have."""
    lacking: tuple[str, ...]
    """Groups of some checkpoint of which no row is left."""

    @property
    def outcome(self) -> Outcome:
        """The base's: what the measure is."""
        return self.measured[0].outcome

    @property
    def binary(self) -> bool:
        """Whether every value is 0 or 1."""
        return all(one.outcome.binary for one in self.measured)


def runs_by_probe(runs: Sequence[Run]) -> dict[str, dict[str, Run]]:
    """Probe -> model -> run.

    Raises:
        UsageError: Two runs of one model on one probe.
    """
    table: dict[str, dict[str, Run]] = {}
    for run in runs:
        by_model = table.setdefault(run.manifest.probe, {})
        other = by_model.setdefault(run.model, run)
        if other is not run:
            raise UsageError(
                f"{other.name} and {run.name} are both runs of {run.model} on "
                f"{run.manifest.probe}",
                "A model has one run of each probe",
                "Leave one of the two out",
            )
    return table


def align(lineage: str, measured: Sequence[Measured]) -> Aligned | None:
    """Puts the values of several checkpoints side by side.

    Args:
        lineage: Name of the lineage.
        measured: The same measure of at least two checkpoints, the base first.

    Returns:
        The rows that all checkpoints have scored; None: there is none.

    Raises:
        UsageError: Ranks among different groups.
    """
    frames = [one.outcome.frame for one in measured]
    _refuse_other_ranks(measured)
    units, _ = _shared_codes([frame["unit"] for frame in frames])
    groups, group_names = _shared_codes([frame["group"] for frame in frames])
    series = []
    for frame, unit, group in zip(frames, units, groups, strict=True):
        values = frame["value"].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        keys = (unit * len(group_names) + group)[known]
        assert len(np.unique(keys)) == len(keys), "a unit stands in a group twice"
        series.append(pd.Series(values[known], index=keys))
    shared = series[0].index
    for one in series[1:]:
        shared = shared[shared.isin(one.index)]
    if not len(shared):
        return None
    first = frames[0][np.isfinite(frames[0]["value"].to_numpy(dtype=np.float64))]
    kept = series[0].index.get_indexer(shared)
    cluster, stratum = (
        np.unique(first[name].to_numpy(dtype=str)[kept], return_inverse=True)[1]
        for name in ("cluster", "stratum")
    )
    codes = shared.to_numpy() % len(group_names)
    present = list(pd.unique(codes))
    wanted = measured[0].outcome.reference
    here = [group_names[code] for code in present]
    if wanted in here:
        present.insert(0, present.pop(here.index(wanted)))
    place = np.empty(len(group_names), dtype=np.intp)
    place[present] = np.arange(len(present))
    return Aligned(
        lineage=lineage,
        measured=tuple(measured),
        groups=tuple(group_names[code] for code in present),
        reference=wanted if wanted in here else None,
        unit=shared.to_numpy() // len(group_names),
        group=place[codes],
        cluster=cluster.astype(np.intp),
        stratum=stratum.astype(np.intp),
        values=np.stack([one.loc[shared].to_numpy() for one in series]),
        left_out=tuple(len(one) - len(shared) for one in series),
        lacking=tuple(name for name in group_names if name not in here),
    )


def _shared_codes(columns: Sequence[pd.Series]) -> tuple[list[Codes], list[str]]:
    """Codes of several columns that mean the same label in each."""
    joined = np.concatenate([column.to_numpy(dtype=object) for column in columns])
    codes, labels = pd.factorize(joined)
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return np.split(codes.astype(np.intp), ends), [str(label) for label in labels]


def _refuse_other_ranks(measured: Sequence[Measured]) -> None:
    """A rank among ten is no rank among two hundred."""
    base = measured[0]
    if base.outcome.value_unit != "rank":
        return
    here = set(base.outcome.frame["group"])
    for one in measured[1:]:
        there = set(one.outcome.frame["group"])
        if here != there:
            plural = one.outcome.grouping
            raise UsageError(
                f"{base.run} ranks {len(here)} groups and {one.run} ranks {len(there)} "
                f"({plural}), {len(here & there)} of them the same",
                "Ranks are compared where they are among the same groups",
                "Score the same groups with both models (--countries)",
            )


def refuse_other_texts(runs: Sequence[Run], *, chosen: bool) -> None:
    """Checks that what several runs both have is the same text.

    Args:
        runs: Of one probe; versions may differ where the user allowed it.
        chosen: Whether an answer depends on what it was chosen among: then the runs
            must also have the same candidates to the items that both have.

    Raises:
        StoreError: One item x candidate has two texts, or one item other candidates; or
            a file is damaged.
    """
    columns = ["item_id", "candidate_id", "text_sha"]
    items = [read_items(run.path, columns).to_pandas() for run in runs]
    if chosen:
        _refuse_other_candidates(runs, items)
    for (run_before, first), (run, other) in itertools.combinations(
        zip(runs, items, strict=True), 2
    ):
        both = first.merge(other, on=columns[:2], suffixes=("", "_other"))
        differ = both[both["text_sha"] != both["text_sha_other"]]
        if len(differ):
            one = differ.iloc[0]
            raise StoreError(
                f"{run_before.name} and {run.name} have different texts for "
                f"{len(differ)} of {len(both)} pairs that both scored, first "
                f"{one['item_id']} / {one['candidate_id']}",
                "Checkpoints are compared on the same text (--mixed allows versions "
                "of a probe whose shared items have one)",
                "Score one of the two again with the same data and options, or leave "
                "it out",
            )


def _refuse_other_candidates(
    runs: Sequence[Run], items: Sequence[pd.DataFrame]
) -> None:
    """Of two letters more are right by chance than of four."""
    found = []
    for frame in items:
        # What a model wrote itself is no candidate.
        scored = frame[frame["candidate_id"] != GENERATED]
        hashes = pd.util.hash_array(scored["candidate_id"].to_numpy(dtype=object))
        found.append(pd.Series(hashes, scored["item_id"].to_numpy()).groupby(level=0))
    sums = [one.sum() for one in found]
    for first, other in itertools.combinations(range(len(runs)), 2):
        both = sums[first].index.intersection(sums[other].index)
        differ = both[(sums[first].loc[both] != sums[other].loc[both]).to_numpy()]
        if len(differ):
            sizes = [found[place].size()[differ[0]] for place in (first, other)]
            raise StoreError(
                f"{runs[first].name} and {runs[other].name} have different candidates "
                f"for {len(differ)} of {len(both)} items that both have, first "
                f"{differ[0]} ({sizes[0]} and {sizes[1]})",
                "Choices are compared where they are among the same answers",
                "Score one of the two again with the same data and options, or leave "
                "it out",
            )
