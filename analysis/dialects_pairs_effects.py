"""How much a dialect costs: effect sizes with their tests, setting by setting.

Estimand: reference - dialect over rows like those at hand; see `paired` for the mean
difference, d_z and d_av, and for what intervals and tests assume. Unit of analysis: a
row; cluster: its prompt. Holm over models and dialects within each setting and metric.

The settings in which a dialect is held against the reference, as views of scores.

With S(p, role, d) the score of a role's text in dialect d under the prompt in dialect
p, and ref the reference dialect, the differences are (positive = reference preferred):

- answer: S(ref, chosen, ref) - S(ref, chosen, d), the answer varied;
- prompt: S(ref, chosen, ref) - S(d, chosen, ref), the prompt varied;
- asker: S(d, chosen, ref) - S(d, chosen, d), asked in d;
- asker_shift: the difference of asker less that of answer, that is, what being asked
  in d adds to the reference's lead (negative: it goes along with the asker);
- matched: S(ref, role, ref) - S(d, role, d), prompt and answer varied together;
- recorded: S(role, ref) - S(role, d), where the prompt's dialect is not known.

Rows in which what is varied is the same text in both dialects say nothing of dialect:
they are counted and left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis import paired
from analysis.dialects_pairs_data import CHOSEN, Flags, PairTable
from analysis.load import UNITS
from analysis.paired import MIN_CLUSTERS, TOO_FEW_CLUSTERS, Interval, shared_counts
from analysis.records import Record, record_of
from analysis.resample import Floats, percentile_interval


@dataclass(frozen=True, kw_only=True)
class Forms:
    """Both forms of every row; shape (R,) each."""

    reference: Floats
    other: Floats
    identical: Flags
    """What is varied is the same text."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way of varying the dialect."""

    key: str
    """Of the records: `analysis` is `dialect_<key>`."""
    title: str
    """Of panels and table rows."""
    varied: str
    """What is written in the reference and in the dialect."""
    forms: Callable[[PairTable, str], Forms]

    @property
    def analysis(self) -> str:
        """What records call it."""
        return f"dialect_{self.key}"


def _answer(table: PairTable, dialect: str) -> Forms:
    ref = table.reference
    return Forms(
        reference=table.score(ref, CHOSEN, ref),
        other=table.score(ref, CHOSEN, dialect),
        identical=table.same(CHOSEN, dialect),
    )


def _prompt(table: PairTable, dialect: str) -> Forms:
    ref = table.reference
    return Forms(
        reference=table.score(ref, CHOSEN, ref),
        other=table.score(dialect, CHOSEN, ref),
        identical=table.asked_same(dialect),
    )


def _asker(table: PairTable, dialect: str) -> Forms:
    # A prompt that is the same in both dialects is no question asked in the dialect.
    return Forms(
        reference=table.score(dialect, CHOSEN, table.reference),
        other=table.score(dialect, CHOSEN, dialect),
        identical=table.same(CHOSEN, dialect) | table.asked_same(dialect),
    )


def _shift(table: PairTable, dialect: str) -> Forms:
    asked, plain = _asker(table, dialect), _answer(table, dialect)
    return Forms(
        reference=asked.reference - asked.other,
        other=plain.reference - plain.other,
        identical=asked.identical,
    )


def _matched(role: str) -> Callable[[PairTable, str], Forms]:
    def forms(table: PairTable, dialect: str) -> Forms:
        ref = table.reference
        return Forms(
            reference=table.score(ref, role, ref),
            other=table.score(dialect, role, dialect),
            identical=table.same(role, dialect) & table.asked_same(dialect),
        )

    return forms


def _recorded(role: str) -> Callable[[PairTable, str], Forms]:
    def forms(table: PairTable, dialect: str) -> Forms:
        return Forms(
            reference=table.score(None, role, table.reference),
            other=table.score(None, role, dialect),
            identical=table.same(role, dialect),
        )

    return forms


SHIFT = Setting(
    key="asker_shift",
    title="What being asked in the dialect adds",
    varied="the prompt, of a comparison of two answers",
    forms=_shift,
)
ASKER = Setting(
    key="asker",
    title="Answer varied, asked in the dialect",
    varied="the answer to a prompt in the dialect",
    forms=_asker,
)
ANSWER = Setting(
    key="answer",
    title="Answer varied",
    varied="the answer to the same prompt",
    forms=_answer,
)
PROMPT = Setting(
    key="prompt",
    title="Prompt varied",
    varied="the prompt of the same answer",
    forms=_prompt,
)


def settings_of(table: PairTable) -> tuple[Setting, ...]:
    """The settings of which a run has at least one scored row, the headline first."""
    several = len(table.roles) > 1
    found = [ANSWER, PROMPT, ASKER, SHIFT]
    for role in table.roles:
        found.append(
            Setting(
                key=f"matched_{role}",
                title=f"Prompt and {role} answer varied"
                if several
                else "Prompt and answer varied",
                varied=f"prompt and {role} answer together",
                forms=_matched(role),
            )
        )
    for role in table.roles:
        found.append(
            Setting(
                key=f"recorded_{role}" if several else "recorded",
                title=f"{role.capitalize()} texts" if several else "Texts",
                varied=f"{role} texts" if several else "texts",
                forms=_recorded(role),
            )
        )
    return tuple(one for one in found if _any(one, table))


def _any(setting: Setting, table: PairTable) -> bool:
    return any(
        bool(np.isfinite(forms.reference - forms.other).any())
        for forms in (setting.forms(table, dialect) for dialect in table.dialects)
    )


NO_ROWS = "not computed: no row has both scores and two different texts"
NO_SPREAD = "none: all rows differ by the same"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows of one setting and dialect."""

    n: int
    """Compared: both scores, different texts."""
    identical: int
    """Left out: both scores, and what is varied is the same text."""


def unit_of(table: PairTable) -> str:
    """Unit of a difference of scores."""
    return UNITS[table.run.measure]


def effect_records(
    table: PairTable, setting: Setting, dialect: str, *, draws: int, seed: int
) -> tuple[Counts, tuple[Record, ...]]:
    """One dialect against the reference in one setting.

    Args:
        table: The run.
        setting: How the dialect is varied.
        dialect: Not the reference.
        draws: Bootstrap draws.
        seed: Of the draws.

    Returns:
        How many rows there are, and `mean_difference`, `cohens_d_z`, `cohens_d_av`,
        `rank_biserial`, `reference_preferred` and `minimum_detectable_d_z`, before
        Holm.
    """
    forms = setting.forms(table, dialect)
    both = np.isfinite(forms.reference) & np.isfinite(forms.other)
    kept = both & ~forms.identical
    counts = Counts(n=int(kept.sum()), identical=int((both & forms.identical).sum()))
    clusters = table.clusters[kept]
    found = paired.compare(forms.reference[kept], forms.other[kept], clusters)
    differences = forms.reference[kept] - forms.other[kept]

    def about(
        metric: str,
        unit: str,
        value: Interval,
        method: str,
        p_value: float | None = None,
        missing: str | None = None,
    ) -> Record:
        return record(
            table,
            value,
            analysis=setting.analysis,
            metric=metric,
            unit=unit,
            group=dialect,
            n=found.n,
            n_clusters=found.n_clusters,
            method=method,
            missing=missing or _missing(found),
            p_value=p_value,
            family=f"{table.run.probe}, {setting.key}, {metric}: models and dialects",
        )

    t = f"Student's t, standard error clustered by {table.cluster}, unadjusted"
    resampled = f"percentile bootstrap over {table.cluster}s, {draws} draws, unadjusted"
    delta = f"delta method, Student's t, clustered by {table.cluster}, unadjusted"
    ranked = _ranked(differences, clusters, draws, seed)
    detectable = math.nan if found.detectable is None else found.detectable
    return counts, (
        about("mean_difference", unit_of(table), found.mean, t, found.p_t),
        about("cohens_d_z", "sd", found.d_z, delta, found.p_t),
        about("cohens_d_av", "sd", found.d_av, delta, found.p_t),
        about(
            "rank_biserial",
            "rank-biserial correlation",
            ranked,
            f"{resampled}; Wilcoxon's signed-rank test of {table.cluster}s' means",
            found.p_wilcoxon,
        ),
        about(
            "reference_preferred",
            "share",
            _preferred(differences, found.n_clusters),
            f"Wilson, of as many units as there are {table.cluster}s; ties one half",
        ),
        about(
            "minimum_detectable_d_z",
            "sd",
            Interval(estimate=detectable),
            "",
            missing=_missing(found)
            if found.detectable is None
            else f"none: of {table.cluster}s' means, two-sided at 5% with a power of "
            "80%, before Holm",
        ),
    )


def _missing(found: paired.Paired) -> str:
    """Why a number, or an interval, is not there."""
    if not found.n:
        return NO_ROWS
    return TOO_FEW_CLUSTERS if found.n_clusters < MIN_CLUSTERS else NO_SPREAD


def _preferred(differences: Floats, n_clusters: int) -> Interval:
    # Rows of one prompt are not independent: as many as there are prompts count.
    share = float(paired.wins(differences).mean()) if len(differences) else 0.0
    return paired.wilson(share * n_clusters, n_clusters)


def _ranked(
    differences: Floats, clusters: Sequence[str] | np.ndarray, draws: int, seed: int
) -> Interval:
    """Matched-pairs rank-biserial correlation of clusters' means (Kerby 2014)."""
    if not len(differences):
        return Interval(estimate=math.nan)
    _, codes = np.unique(clusters, return_inverse=True)
    means = np.bincount(codes, differences) / np.bincount(codes)
    ones = np.ones((1, len(means)))
    estimate = float(paired.rank_biserial(means, ones)[0])
    if len(means) < MIN_CLUSTERS or not paired.varies(differences):
        return Interval(estimate=estimate)
    resampled = paired.rank_biserial(means, shared_counts(len(means), draws, seed))
    low, high = percentile_interval(resampled)
    return Interval(estimate=estimate, low=float(low), high=float(high))


def record(table: PairTable, value: Interval, **keys: Any) -> Record:
    """One record of a run against its reference dialect; see `record_of`.

    Rows are of the table's clusters, unless `keys` say otherwise.
    """
    fixed = {"reference": table.reference, "cluster": table.cluster}
    return record_of(table.run, value, **(fixed | keys))
