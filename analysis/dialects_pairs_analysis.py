"""The whole analysis of one or more runs of texts in several dialects.

Estimands, units, n and intervals are those of the modules it draws on:
`dialects_pairs_effects` (what is held against what), `dialects_pairs_effects`,
`dialects_mixed` (length) and `dialects_pairs_effects`. Everything a report or
``summary.json`` shows about these runs is computed here once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from analysis.dialects_mixed import length_records
from analysis.dialects_pairs_data import PairTable, pair_table
from analysis.dialects_pairs_effects import (
    ACCURACY,
    Accuracy,
    Counts,
    Setting,
    accuracy_of,
    effect_records,
    settings_of,
)
from analysis.load import Run, labels
from analysis.records import Record, with_holm_in
from analysis.resample import DRAWS, SEED
from analysis.wording import side_of
from probe.types import DataError

Key = tuple[str, str, str | None]
"""(analysis, metric, group) of a record."""


@dataclass(frozen=True, kw_only=True)
class PairRun:
    """Everything about one run."""

    table: PairTable
    settings: tuple[Setting, ...]
    """Those of which there is something; the headline first."""
    counts: Mapping[tuple[str, str], Counts]
    """(setting's key, dialect) -> rows."""
    accuracy: Accuracy | None
    """None: no row has scores of a chosen and a rejected answer."""
    no_length: str | None
    """Why length could not be held equal; None: it was."""
    records: tuple[Record, ...]

    @cached_property
    def book(self) -> Mapping[Key, Record]:
        """The records by what they are about."""
        return {(one.analysis, one.metric, one.group): one for one in self.records}

    @property
    def label(self) -> str:
        """The model's name, unique among the runs analysed together."""
        return self.table.label

    @property
    def headline(self) -> Setting:
        """The setting that a line about the run quotes."""
        return self.settings[0]

    def setting(self, key: str) -> Setting | None:
        """A setting of the run; None: nothing of it was scored."""
        return next((one for one in self.settings if one.key == key), None)

    def of(self, setting: Setting, metric: str, dialect: str | None) -> Record | None:
        """A record of one setting."""
        return self.book.get((setting.analysis, metric, dialect))

    def about_accuracy(self, metric: str, dialect: str | None) -> Record | None:
        """A record of accuracy."""
        return self.book.get((ACCURACY, metric, dialect))

    def compared(self, setting: Setting) -> tuple[str, ...]:
        """Dialects with at least one row in a setting, the most penalised first."""
        found = [
            dialect
            for dialect in self.table.dialects
            if self.counts[setting.key, dialect].n
        ]
        return tuple(sorted(found, key=lambda d: self._size(setting, d), reverse=True))

    def _size(self, setting: Setting, dialect: str) -> float:
        for metric in ("cohens_d_z", "mean_difference"):
            found = self.of(setting, metric, dialect)
            if found is not None and found.estimate is not None:
                return found.estimate
        return 0.0

    def sides(
        self, setting: Setting, metric: str = "mean_difference"
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Dialects that are shown to be lower, higher, and neither.

        By the interval and by the t-test after Holm; see `opinions_findings.side_of`.
        """
        places: dict[int, list[str]] = {1: [], -1: [], 0: []}
        for dialect in self.compared(setting):
            found = self.of(setting, metric, dialect)
            places[0 if found is None else side_of(found)].append(dialect)
        return tuple(places[1]), tuple(places[-1]), tuple(places[0])


@dataclass(frozen=True, kw_only=True)
class PairAnalysis:
    """Runs of one probe."""

    runs: tuple[PairRun, ...]
    draws: int

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record, for ``summary.json``."""
        return tuple(record for run in self.runs for record in run.records)


def analyse_pairs(
    runs: Sequence[Run],
    *,
    reference: str | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    step: Callable[[], object] = lambda: None,
) -> PairAnalysis:
    """Analyses runs of texts in several dialects; Holm over models and dialects.

    Args:
        runs: Runs of one probe, read from their folders.
        reference: Dialect to compare with; None: what each run declares.
        draws: Bootstrap draws, and permutations.
        seed: Of both.
        step: Called after each run, for a progress bar.

    Raises:
        DataError: As `pair_table`, or a run has no row with scores in the reference
            and in another dialect.
        UsageError: As `pair_table`.
        StoreError: A run's items cannot be read.
    """
    found = []
    for run, label in zip(runs, labels(runs), strict=True):
        found.append(_analyse(pair_table(run, label, reference), draws, seed))
        step()
    records = [record for one in found for record in one.records]
    return PairAnalysis(runs=with_holm_in(tuple(found), records), draws=draws)


def _analyse(table: PairTable, draws: int, seed: int) -> PairRun:
    settings = settings_of(table)
    if not settings:
        raise DataError(
            f"{table.run.path} has no row with scores in {table.reference} and in "
            "another dialect",
            "Dialects are compared within rows, each with the reference",
            "Complete the run, or name another --reference-dialect",
        )
    counts: dict[tuple[str, str], Counts] = {}
    records: list[Record] = []
    for setting in settings:
        for dialect in table.dialects:
            counts[setting.key, dialect], some = effect_records(
                table, setting, dialect, draws=draws, seed=seed
            )
            records += some
    lengths, no_length = length_records(table, settings[0])
    accuracy = accuracy_of(table, draws=draws, seed=seed)
    records += lengths
    records += accuracy.records if accuracy else ()
    return PairRun(
        table=table,
        settings=settings,
        counts=counts,
        accuracy=accuracy,
        no_length=no_length,
        records=tuple(records),
    )


def strongest(run: PairRun) -> Record | None:
    """The largest d_z of the headline setting, whichever its sign; None: there is none.

    Picked on the same rows, so that it looks larger than it is.
    """
    found = [
        record
        for dialect in run.compared(run.headline)
        if (record := run.of(run.headline, "cohens_d_z", dialect)) is not None
        and record.estimate is not None
    ]
    return max(found, key=lambda one: abs(one.estimate or 0.0), default=None)
