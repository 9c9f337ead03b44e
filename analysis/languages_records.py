"""Records of the languages axis: what every measure of a run is written down with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import paired
from analysis.languages_answers import TESTED_QUESTIONS, Answers
from analysis.paired import Interval, TTest
from analysis.records import Record, record_of
from analysis.resample import Floats

ANALYSIS: Mapping[str, str] = {
    "choices": "language_choices",
    "extractions": "language_extractions",
}
"""Kind of run -> `analysis` of its records."""
CLUSTER: Mapping[str, str] = {"choices": "passage", "extractions": "document"}
"""Kind of run -> what its items are clustered by."""

TOO_FEW = f"none: fewer than {TESTED_QUESTIONS} questions"
NO_SPREAD = "none: no spread"
NO_ANSWER = "not computed: no answer"
CHANCE = "chance"
"""Reference of a record that is held against picking at random."""

Rows = NDArray[np.bool_] | tuple[int, int]
"""The items of a record, shape (P,), or their number and that of their clusters."""

NONE = TTest(mean=Interval(estimate=math.nan), t=math.nan, p_value=None)
"""Of no values."""


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes the records of one run."""

    answers: Answers

    @property
    def unit(self) -> str:
        """What items are clustered by."""
        return CLUSTER[self.answers.kind]

    @property
    def wilson(self) -> str:
        """How shares are bounded."""
        return f"Wilson, of the effective number of questions by {self.unit}"

    @property
    def student(self) -> str:
        """How means and their differences are bounded."""
        return f"Student's t, clustered by {self.unit}"

    def counts(self, of: Rows) -> tuple[int, int]:
        """Items and clusters."""
        if isinstance(of, tuple):
            return of
        return int(of.sum()), len(np.unique(self.answers.cluster[of]))

    def test(self, values: Floats, rows: NDArray[np.bool_]) -> TTest:
        """The clustered t-test of some items' values, of the shape of the items."""
        if not rows.any():
            return NONE
        return paired.t_test(values[rows], coded(self.answers.cluster[rows]))

    def mean_of_languages(self, values: Floats, rows: NDArray[np.bool_]) -> TTest:
        """Mean over the languages of some items, each counting the same."""
        return paired.mean_of_means(
            values[rows],
            coded(self.answers.language[rows]),
            coded(self.answers.cluster[rows]),
        )

    def lone(self, rows: NDArray[np.bool_]) -> str | None:
        """Why a mean over languages has no interval; None: not for this reason.

        Nobody knows how a language would be with other documents that has but one.
        """
        pairs = np.unique(
            [self.answers.language[rows], self.answers.cluster[rows]], axis=1
        )
        one = bool((np.bincount(pairs[0]) == 1).any()) if rows.any() else False
        return f"none: a language has one {self.unit}" if one else None

    def why(
        self, test: TTest, of: Rows, *, fewest: int, none: str = NO_ANSWER
    ) -> str | None:
        """Why an estimate has no interval; None: it has one.

        Args:
            test: What was estimated.
            of: Its items.
            fewest: Items that count towards `TESTED_QUESTIONS`.
            none: What to say where there are none.
        """
        if not math.isfinite(test.mean.estimate):
            return none
        if fewest < TESTED_QUESTIONS:
            return TOO_FEW
        if math.isfinite(test.mean.low):
            return None
        few = self.counts(of)[1] < paired.MIN_CLUSTERS
        return paired.TOO_FEW_CLUSTERS if few else NO_SPREAD

    def mean(
        self,
        metric: str,
        test: TTest,
        rows: Rows,
        *,
        group: str | None,
        unit: str = "share",
        method: str | None = None,
        missing: str | None = None,
    ) -> Record:
        """A mean with its interval, whatever its n; `missing`: why it has none."""
        return self.record(
            metric,
            test.mean,
            rows,
            unit=unit,
            group=group,
            method=method or self.student,
            missing=missing or self.why(test, rows, fewest=TESTED_QUESTIONS),
        )

    def tested(
        self,
        metric: str,
        test: TTest,
        of: Rows,
        *,
        group: str | None,
        reference: str,
        family: str,
        missing: str | None,
        method: str | None = None,
    ) -> Record:
        """A record with its test, unless `missing` says why there is none."""
        return self.record(
            metric,
            test.mean if missing is None else Interval(estimate=test.mean.estimate),
            of,
            group=group,
            reference=reference,
            method=method or self.student,
            missing=missing,
            p_value=test.p_value if missing is None else None,
            family=family,
        )

    def record(
        self,
        metric: str,
        value: Interval,
        of: Rows,
        *,
        unit: str = "share",
        group: str | None = None,
        reference: str | None = None,
        method: str | None = None,
        missing: str | None = None,
        cluster: str | None = "",
        p_value: float | None = None,
        family: str | None = None,
    ) -> Record:
        """A record over some items.

        Args:
            metric: What it is.
            value: The estimate and its bounds.
            of: Its items, or their number and that of their clusters.
            unit: Of the estimate.
            group: Language or script.
            reference: What it is compared with.
            method: How it is bounded.
            missing: Why it is not, where it is not.
            cluster: What the uncertainty is clustered by; empty: the run's clusters.
            p_value: Of its test.
            family: What its test is corrected over; None: it is not.
        """
        run, (n, clusters) = self.answers.run, self.counts(of)
        counted = {None: None, "question": n}.get(cluster, clusters)
        return record_of(
            run,
            value,
            analysis=ANALYSIS[self.answers.kind],
            metric=metric,
            unit=unit,
            group=group,
            reference=reference,
            method=method,
            missing=missing,
            cluster=self.unit if cluster == "" else cluster,
            p_value=p_value,
            family=None if family is None else f"{run.probe}, {metric}: {family}",
            n=n,
            n_clusters=counted,
        )


def coded(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Labels as numbers from 0 without gaps."""
    return np.asarray(pd.factorize(labels)[0], dtype=np.intp)
