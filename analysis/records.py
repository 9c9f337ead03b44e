"""The record of ``summary.json``: one number with all that is needed to read it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.load import Run
from analysis.paired import Interval
from analysis.resample import CI_LEVEL
from probe.types import DataError

SCHEMA_VERSION = 1

ALPHA = 0.05
"""Level of the adjusted p-values at which something counts as found."""


Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a record comes from, where it is no single run."""

    probe: str
    model: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """One estimate. Field order is the order in the file.

    A number that is not finite is none: it becomes None, and bounds go together.
    """

    schema_version: int = SCHEMA_VERSION
    """Changes whenever a field's name or meaning does."""
    analysis: str
    """Which analysis made it, such as `poll_correlation` or `confounds`."""
    probe: str
    """The probe with its version, such as `askreddit@1`."""
    model: str
    """The model's name or the label an imported run was given."""
    run: str
    """The run folder's last two parts, so that a record finds its scores."""
    metric: str
    """What `estimate` is, such as `spearman_order`, `kendall` or `mean_rank`."""
    unit: str
    """The unit of `estimate`: `rho`, `tau`, `rank`, `share`, `sd`."""
    group: str | None
    """What it is about: a poll, an ISO3 code or a model term."""
    reference: str | None
    """What it is compared with; None: nothing."""
    estimate: float | None
    """None: not computed, and `ci_method` says why."""
    ci_low: float | None
    ci_high: float | None
    ci_level: float | None
    """Coverage aimed at, such as 0.95; None without an interval."""
    ci_method: str | None
    """What was resampled or assumed, or why there is no number."""
    cluster: str | None
    """What the uncertainty treats as the independent units."""
    p_value: float | None
    """Two-sided, before any correction."""
    p_holm: float | None
    """Holm-adjusted within `family`."""
    family: str | None
    """The tests corrected together; None: not part of a family."""
    n: int
    """Units the estimate rests on: countries for a correlation, questions for a
    mean rank, rows for a regression."""
    n_clusters: int | None
    """Number of the units named in `cluster`; the fewer where there are two."""

    def __post_init__(self) -> None:
        """Takes what is not finite out."""
        values = vars(self).items()
        lost = {k for k, v in values if isinstance(v, float) and not math.isfinite(v)}
        if lost & {"ci_low", "ci_high"}:
            lost |= {"ci_low", "ci_high", "ci_level"}
        for name in lost:
            object.__setattr__(self, name, None)

    def to_json(self) -> dict[str, str | int | float | None]:
        """The record as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, str | int | float | None]) -> Record:
        """Reads what `to_json` wrote.

        Raises:
            DataError: Keys are missing or unknown, or the schema is another's.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if names != set(values):
            wrong = ", ".join(sorted(names ^ set(values)))
            raise DataError(
                f"a summary record has missing or unknown keys: {wrong}",
                f"A record has the {len(names)} keys of schema {SCHEMA_VERSION}",
                "Write the summary anew with this version of rm-probe",
            )
        if values["schema_version"] != SCHEMA_VERSION:
            raise DataError(
                f"a summary record has schema_version {values['schema_version']}",
                f"This version reads schema {SCHEMA_VERSION}",
                "Write the summary anew with this version of rm-probe",
            )
        return cls(**values)  # type: ignore[arg-type]


def dumps(records: Iterable[Record]) -> str:
    """Records as the text of a ``summary.json``: one record a line, valid JSON."""
    lines = [json.dumps(record.to_json(), ensure_ascii=False) for record in records]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def loads(text: str) -> tuple[Record, ...]:
    """Reads the text of a ``summary.json``.

    Raises:
        DataError: It is no such text; or as `Record.from_json`.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DataError(
            "a summary is no JSON list of records",
            "It is what rm-probe report writes as summary.json",
            "Write the summary anew with this version of rm-probe",
        )
    return tuple(map(Record.from_json, found))


def with_holm(records: Sequence[Record]) -> tuple[Record, ...]:
    """Fills `p_holm` by Holm's step-down method within each `family`.

    A test enters once: records of one family that share model, metric and group
    (the same test with another interval) must share `p_value`. Records without a
    family or without a p-value stay as they are and do not count as tests.

    Returns:
        The records in the given order.
    """
    families: dict[str, dict[tuple[str, str, str, str | None], float]] = {}
    for record in records:
        if record.family is None or record.p_value is None:
            continue
        key = (record.run, record.model, record.metric, record.group)
        known = families.setdefault(record.family, {}).setdefault(key, record.p_value)
        assert known == record.p_value, f"{key} has two p-values in {record.family}"
    adjusted: dict[str, dict[tuple[str, str, str, str | None], float]] = {}
    for family, tests in families.items():
        corrected = _holm(np.array(list(tests.values())))
        adjusted[family] = dict(zip(tests, map(float, corrected), strict=True))
    return tuple(
        record
        if record.family is None or record.p_value is None
        else dataclasses.replace(
            record,
            p_holm=adjusted[record.family][
                (record.run, record.model, record.metric, record.group)
            ],
        )
        for record in records
    )


def with_holm_in(found: Result, records: Sequence[Record]) -> Result:
    """A result with Holm's p in the records that stand somewhere in it.

    Args:
        found: A frozen dataclass, or a tuple, of such and of records.
        records: All that are corrected together; what `with_holm` leaves stays.
    """
    new = {
        id(old): after
        for old, after in zip(records, with_holm(records), strict=True)
        if after is not old
    }

    def swapped(value: Any) -> Any:
        if isinstance(value, Record):
            return new.get(id(value), value)
        if isinstance(value, tuple):
            after = tuple(map(swapped, value))
            same = all(a is b for a, b in zip(after, value, strict=True))
            return value if same else after
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            return value
        before = {one.name: getattr(value, one.name) for one in fields(value)}
        changed = {name: swapped(one) for name, one in before.items()}
        changed = {k: one for k, one in changed.items() if one is not before[k]}
        return dataclasses.replace(value, **changed) if changed else value

    found_in: Result = swapped(found)
    return found_in


def record_of(
    run: Run | Origin,
    value: Interval,
    *,
    analysis: str,
    metric: str,
    unit: str,
    n: int,
    n_clusters: int | None,
    cluster: str | None,
    group: str | None = None,
    reference: str | None = None,
    method: str | None = None,
    missing: str | None = None,
    p_value: float | None = None,
    family: str | None = None,
) -> Record:
    """A record of an estimate; what is NaN becomes None.

    Args:
        run: Where it comes from.
        value: Estimate and bounds.
        analysis: As `Record`, and so what is not listed here.
        metric: What `value` is.
        unit: Its unit.
        n: Units.
        n_clusters: Number of `cluster`.
        cluster: What is independent.
        group: What it is about.
        reference: What it is compared with.
        method: How the interval came about, where there is one.
        missing: Why there is none, or no number at all.
        p_value: Before Holm.
        family: Of the test; only with one.
    """
    bounded = math.isfinite(value.low) and math.isfinite(value.high)
    return Record(
        analysis=analysis,
        probe=run.probe,
        model=run.model,
        run=run.name,
        metric=metric,
        unit=unit,
        group=group,
        reference=reference,
        estimate=value.estimate if math.isfinite(value.estimate) else None,
        ci_low=value.low if bounded else None,
        ci_high=value.high if bounded else None,
        ci_level=CI_LEVEL if bounded else None,
        ci_method=method if bounded else missing,
        cluster=cluster,
        p_value=p_value,
        p_holm=None,
        family=None if p_value is None else family,
        n=n,
        n_clusters=n_clusters,
    )


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down adjustment; statsmodels' collects garbage at every call."""
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    found = np.empty_like(p)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found
