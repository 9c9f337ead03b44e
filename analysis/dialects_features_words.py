"""Words that findings, tables and figures of dialect features share."""

from __future__ import annotations

import math

from analysis.dialects_features_analysis import FeatureResult, FeatureRun
from analysis.html import interval, number
from analysis.records import Record
from analysis.wording import count_of, percent
from probe.types import Measure


def features(count: int) -> str:
    """``1 feature`` or ``22 features``."""
    return count_of(count, "feature")


def frames(count: int) -> str:
    """``1 frame`` or ``440 frames``."""
    return count_of(count, "frame")


def pairs(count: int) -> str:
    """``1 pair`` or ``880 pairs``."""
    return count_of(count, "pair")


def digits_of(run: FeatureRun) -> int:
    """Decimals at which the run's mean differences can be told apart.

    Rewards have no common unit: one model's are in thousandths, another's in tens.
    """
    largest = max(abs(one.mean.estimate or 0.0) for one in run.features)
    if not largest > 0:
        return 2
    return min(max(2 - math.floor(math.log10(largest)), 1), 6)


def value_text(record: Record, digits: int) -> str:
    """``0.12 (95% 0.05 to 0.19)``; without bounds it says so."""
    if record.ci_low is None:
        return f"{number(record.estimate, digits)} (no interval)"
    return (
        f"{number(record.estimate, digits)} "
        f"(95% {interval(record.ci_low, record.ci_high, digits)})"
    )


def percent_text(record: Record) -> str:
    """``63% (95% 55 to 71%)``."""
    if record.ci_low is None or record.ci_high is None:
        return percent(record.estimate)
    bounds = interval(100 * record.ci_low, 100 * record.ci_high, 0)
    return f"{percent(record.estimate)} (95% {bounds}%)"


def verb(run: FeatureRun) -> str:
    """What the model does with a form: ``scores`` or, a policy, ``finds``."""
    return "finds" if _policy(run) else "scores"


def how(run: FeatureRun, side: int) -> str:
    """``higher`` or ``lower``; of a policy ``more probable per token``."""
    if not _policy(run):
        return "higher" if side > 0 else "lower"
    per = " per token" if run.table.run.measure is Measure.LOGPROB_MEAN else ""
    return f"{'more' if side > 0 else 'less'} probable{per}"


def _policy(run: FeatureRun) -> bool:
    return run.table.run.measure in (Measure.LOGPROB_MEAN, Measure.LOGPROB_SUM)


def longer_text(run: FeatureRun, one: FeatureResult) -> str:
    """``the dialect form 1.0 tokens longer``."""
    length = one.length.estimate or 0.0
    unit = run.table.length_unit
    if abs(length) < 0.05:
        return "both forms equally long on average"
    which = "standard" if length > 0 else "dialect"
    return f"the {which} form {number(abs(length), 1)} {unit} longer"
