"""Similarity of a run's answers to each public's, beside what to hold it against.

Estimands, units and intervals as in `opinions_measures`. Each public's mean stands on
the questions it was asked, which differ between publics in number, topic and number of
options; three comparisons do not suffer from that: the difference from the reference
country, on questions both were asked; the difference from a uniform answerer, on the
same questions; and the ranking on the common question set.

Who is closest to a run's answers on the common set, and how settled that is.

Unit of analysis and cluster: a question of the common set, on which every country was
asked; n is their number. Intervals as in `opinions_measures`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from analysis.opinions_common import CommonSet
from analysis.opinions_data import OpinionTable, distribution
from analysis.opinions_measures import (
    Columns,
    Scribe,
    by_pair,
    columns,
    js_matrix,
    means_of,
    pool,
    spearman_matrix,
    student_p,
    wasserstein_matrix,
)
from analysis.opinions_position import position_only
from analysis.records import Record, with_holm
from analysis.resample import Floats
from analysis.similarity import Base, js_similarity
from analysis.wording import is_supported

TEMPERATURES = (0.5, 2.0)
"""Of rewards, beside the headline's 1."""


@dataclass(frozen=True, kw_only=True)
class Closest:
    """The country closest to the model on the common set, and its rivals."""

    order: tuple[str, ...]
    """Keys of the common set's countries, most alike first."""
    means: tuple[float, ...]
    """Their mean similarities."""
    against: tuple[Record, ...]
    """`js_similarity_lead` of the first over each other, in that order (group = the
    other): paired by question. The first was picked on the same questions, so that
    Holm's family is every pair of countries and not only the pairs shown here: whoever
    had come first, its tests are among them, and the chance that anybody is wrongly
    said to be behind stays below `ALPHA`."""

    @property
    def rivals(self) -> tuple[str, ...]:
        """Keys that the first is not shown to be ahead of."""
        return tuple(
            str(record.group) for record in self.against if not is_supported(record)
        )

    @property
    def n_pairs(self) -> int:
        """Pairs of countries, which is how many tests were corrected together."""
        return len(self.order) * (len(self.order) - 1) // 2


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """What another temperature of rewards does."""

    value: float
    order_spearman: float
    """Spearman's rho, over the common set's countries, of their mean similarities with
    those at temperature 1; NaN with fewer than three."""
    best: str
    """Key of the closest country of the common set."""
    fidelity: Record


def find_closest(
    table: OpinionTable,
    common: CommonSet,
    similarity: Floats,
    counts: Floats,
    scribe: Scribe,
) -> Closest | None:
    """Ranks the common set's countries and tests the first against each other one.

    Holm's correction is made here, as the tests of the other pairs, which count in it,
    are nowhere else.

    Args:
        table: The run.
        common: The common set.
        similarity: Shape (Q, C).
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.

    Returns:
        None with fewer than two countries.
    """
    rows = common.rows(table)
    part = similarity[np.ix_(rows, common.columns(table))]
    if part.shape[1] < 2:
        return None
    means = part.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    keys = [common.publics[i].key for i in order]
    ranked = part[:, order]
    ahead, behind = np.triu_indices(len(keys), 1)
    p = student_p(ranked[:, ahead] - ranked[:, behind])
    # The pairs of the first come first: only these are shown, and need an interval.
    n_leads = len(keys) - 1
    leads = columns(ranked[:, :1] - ranked[:, 1:], counts[:, rows])
    metric = "js_similarity_lead"
    family = f"pairs of countries: {metric} of {table.run.name}"
    shown = scribe.column_records(
        leads,
        keys[1:],
        analysis="opinion_difference",
        metric=metric,
        reference=f"similarity to {keys[0]} less that to this, common question set",
        family=family,
        remark=f"p_holm over all {len(p)} pairs of countries",
    )
    unseen = [
        dataclasses.replace(shown[0], group=f"{keys[i]} over {keys[j]}", p_value=one)
        for i, j, one in zip(
            ahead[n_leads:], behind[n_leads:], map(float, p[n_leads:]), strict=True
        )
        if np.isfinite(one)
    ]
    return Closest(
        order=tuple(keys),
        means=tuple(float(means[i]) for i in order),
        against=with_holm([*shown, *unseen])[:n_leads],
    )


def at_temperature(
    value: float,
    table: OpinionTable,
    common: CommonSet,
    similarity: Floats,
    other: Floats,
    counts: Floats,
    scribe: Scribe,
) -> Temperature:
    """What another temperature does to the ranking and to fidelity.

    Args:
        value: The temperature.
        table: The run.
        common: The common set.
        similarity: Shape (Q, C), at temperature 1.
        other: The same at this temperature.
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.
    """
    rows, places = common.rows(table), common.columns(table)
    sides = [one[np.ix_(rows, places)].mean(axis=0) for one in (similarity, other)]
    rho = float(spearmanr(*sides).statistic) if len(places) >= 3 else np.nan
    mean = columns(other[np.ix_(rows, places)].mean(axis=1)[:, None], counts[:, rows])
    return Temperature(
        value=value,
        order_spearman=rho,
        best=common.publics[int(sides[1].argmax())].key,
        fidelity=scribe.record(
            analysis="fidelity",
            metric=f"fidelity_t{value:g}",
            **mean.at(0),
            n=len(rows),
            reference="common question set",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class CountryResult:
    """Similarity of one run to every public."""

    frame: pd.DataFrame
    """One row per public that was asked a question the model answered, index group,
    sorted by similarity: key, sample, country, headline, n_questions, mean_options,
    similarity, ci_low, ci_high, uniform (a uniform answerer on the same questions),
    over_uniform, over_low, over_high, over_p_holm, position_only (NaN without
    rotations), pool (the human pool without this country), common, common_low,
    common_high (on the common set; NaN outside it), difference (from the reference,
    on shared questions), difference_low, difference_high, difference_p_holm, n_shared,
    common_difference (the same on the common set; NaN outside it), with _low, _high
    and _p_holm, wasserstein, wasserstein_low, wasserstein_high, n_wasserstein,
    rank_correlation, rank_low, rank_high, n_rank, and t0.5, t2 (rewards only). Only
    headline publics have p-values."""
    reference: str | None
    """Key of the reference country; None: nobody there was asked."""
    closest: Closest | None
    """None with fewer than two countries in the common set."""
    temperatures: tuple[Temperature, ...]
    """Rewards only."""
    n_ordinal: int
    n_off_scale: int
    n_undefined_ranks: int
    records: tuple[Record, ...]
    """`js_similarity` and the other metrics per public; differences."""


def measure_countries(
    table: OpinionTable,
    common: CommonSet,
    counts: Floats,
    scribe: Scribe,
    *,
    base: Base,
    reference: str,
) -> CountryResult:
    """Similarity of a run to every public, with yardsticks and tests.

    Args:
        table: The run.
        common: The common set.
        counts: Shape (B, Q): the run's draws.
        scribe: Writes the records.
        base: Of the logarithm.
        reference: Key of the country that differences are against.
    """
    sheet = _Sheet(table, counts, scribe)
    at = _reference_column(table, reference)
    shared, same = f"{reference}, shared questions", f"{reference}, common question set"

    def from_reference(values: Floats) -> Floats | None:
        if at is None:
            return None
        found = values - values[:, [at]]
        found[:, at] = np.nan
        return found

    similarity = js_matrix(table, table.shares, base)
    sheet.estimate(
        similarity, "js_similarity", ("similarity", "ci_low", "ci_high", "n_questions")
    )
    uniform = js_matrix(table, table.uniform, base)
    sheet.column("uniform", uniform)
    sheet.test(
        similarity - uniform,
        "js_similarity_over_uniform",
        "uniform answerer",
        ("over_uniform", "over_low", "over_high"),
        p_name="over_p_holm",
    )
    only = position_only(table)
    sheet.column(
        "position_only", None if only is None else js_matrix(table, only, base)
    )
    left_out = js_similarity(pool(table, without_self=True), table.pair_shares, base)
    sheet.column("pool", by_pair(table, left_out))
    here = np.ix_(common.rows(table), common.columns(table))
    on_common = np.full_like(similarity, np.nan)
    on_common[here] = similarity[here]
    sheet.add(columns(on_common, counts), ("common", "common_low", "common_high"))
    sheet.test(
        from_reference(similarity),
        "js_similarity_difference",
        shared,
        ("difference", "difference_low", "difference_high", "n_shared"),
        p_name="difference_p_holm",
    )
    sheet.test(
        from_reference(on_common),
        "js_similarity_difference_common",
        same,
        ("common_difference", "common_difference_low", "common_difference_high"),
        p_name="common_difference_p_holm",
    )
    ordinal = wasserstein_matrix(table)
    sheet.estimate(
        ordinal,
        "wasserstein_similarity",
        ("wasserstein", "wasserstein_low", "wasserstein_high", "n_wasserstein"),
        jensen_shannon=False,
    )
    sheet.test(
        from_reference(ordinal),
        "wasserstein_similarity_difference",
        shared,
        (),
        jensen_shannon=False,
    )
    ranks = spearman_matrix(table)
    sheet.estimate(
        ranks,
        "option_spearman",
        ("rank_correlation", "rank_low", "rank_high", "n_rank"),
        unit="rho",
        jensen_shannon=False,
    )
    temperatures = []
    for value in TEMPERATURES if table.reward_sd is not None else ():
        other = js_matrix(table, distribution(table.logits, value), base)
        sheet.estimate(other, f"js_similarity_t{value:g}", (f"t{value:g}",))
        temperatures.append(
            at_temperature(value, table, common, similarity, other, counts, scribe)
        )
    closest = find_closest(table, common, similarity, counts, scribe)
    leads = () if closest is None else closest.against
    on_scale = np.isfinite(table.ordinal).any(axis=1)
    asked = table.asked
    records = sheet.close()
    frame = sheet.frame
    return CountryResult(
        frame=frame[frame["n_questions"] > 0].sort_values(
            ["similarity", "country"], ascending=[False, True]
        ),
        reference=None if at is None else reference,
        closest=closest,
        temperatures=tuple(temperatures),
        n_ordinal=int(on_scale.sum()),
        n_off_scale=int((asked[on_scale] & np.isnan(ordinal[on_scale])).sum()),
        n_undefined_ranks=int((asked & np.isnan(ranks)).sum()),
        records=(*records, *leads, *(one.fidelity for one in temperatures)),
    )


def _reference_column(table: OpinionTable, key: str) -> int | None:
    """The column of a country's headline public, if it was asked anything."""
    asked = np.asarray(table.asked.any(axis=0))
    for column in table.headline:
        if table.publics[column].key == key and asked[column]:
            return int(column)
    return None


class _Sheet:
    """Collects the columns of `CountryResult.frame`, and records, as they are made."""

    def __init__(self, table: OpinionTable, counts: Floats, scribe: Scribe) -> None:
        self.table = table
        self.counts = counts
        self.scribe = scribe
        self.groups = [public.group for public in table.publics]
        self.records: list[Record] = []
        self.p_names: dict[str, str] = {}
        asked = table.asked
        options = np.where(asked, table.n_options[:, None], np.nan)
        headline = np.isin(np.arange(len(self.groups)), table.headline)
        self.frame = pd.DataFrame(
            {
                "key": [public.key for public in table.publics],
                "sample": [public.sample or None for public in table.publics],
                "country": [public.name for public in table.publics],
                "headline": headline,
                "mean_options": means_of(options),
            },
            index=pd.Index(self.groups, name="group", dtype="str"),
        )

    def column(self, name: str, values: Floats | None) -> None:
        """Means of a yardstick, shape (Q, C) before; None: it does not apply."""
        self.frame[name] = np.nan if values is None else means_of(values)

    def add(self, found: Columns, names: Sequence[str]) -> None:
        """Columns for mean, low, high and n, as far as they have names."""
        parts = (found.mean, found.low, found.high, found.n)
        for name, values in zip(names, parts, strict=False):
            self.frame[name] = values

    def estimate(
        self,
        values: Floats,
        metric: str,
        names: Sequence[str],
        unit: str = "similarity",
        *,
        jensen_shannon: bool = True,
    ) -> None:
        """A measure per public, with an interval and no test."""
        found = columns(values, self.counts)
        self.add(found, names)
        self.records += self.scribe.column_records(
            found,
            self.groups,
            analysis="opinion_similarity",
            metric=metric,
            unit=unit,
            jensen_shannon=jensen_shannon,
        )

    def test(
        self,
        values: Floats | None,
        metric: str,
        reference: str,
        names: Sequence[str],
        *,
        p_name: str | None = None,
        jensen_shannon: bool = True,
    ) -> None:
        """A difference per public; headline ones are tested. None: no reference."""
        for name in (*names, *((p_name,) if p_name else ())):
            self.frame[name] = np.nan
        if values is None:
            return
        found = columns(values, self.counts)
        self.add(found, names)
        headline = self.frame["headline"].to_numpy()
        self.records += self.scribe.column_records(
            dataclasses.replace(found, p=np.where(headline, found.p, np.nan)),
            self.groups,
            analysis="opinion_difference",
            metric=metric,
            unit="similarity",
            jensen_shannon=jensen_shannon,
            reference=reference,
            family=f"countries: {metric} of {self.table.run.name}",
        )
        if p_name:
            self.p_names[metric] = p_name

    def close(self) -> tuple[Record, ...]:
        """All records, with Holm in each family; fills the p columns."""
        found = with_holm(self.records)
        for record in found:
            if record.metric in self.p_names and record.p_holm is not None:
                self.frame.loc[record.group, self.p_names[record.metric]] = (
                    record.p_holm
                )
        return found
