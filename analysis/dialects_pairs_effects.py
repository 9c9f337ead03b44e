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

Preference accuracy inside each dialect, and what is lost of it.

Estimand: the share of rows like those at hand whose chosen answer scores above the
rejected one when prompt and both answers are in one dialect; a tie counts one half.
The drop is the reference's share less the dialect's over the rows that have both,
tested by McNemar's exact test (rows that are right in one dialect and not in the
other; it takes rows as independent), with a bootstrap interval over prompts. Disparity,
best less worst dialect, is above zero by construction: it is held against the same
under labels permuted within rows, and its interval is no test.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import paired
from analysis.dialects_pairs_data import CHOSEN, REJECTED, Flags, PairTable
from analysis.disparity import Disparity, best_minus_worst
from analysis.load import UNITS
from analysis.paired import MIN_CLUSTERS, TOO_FEW_CLUSTERS, Interval, resampled
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
    correlations = functools.partial(paired.rank_biserial, means)
    low, high = percentile_interval(resampled(correlations, len(means), draws, seed))
    return Interval(estimate=estimate, low=float(low), high=float(high))


def record(table: PairTable, value: Interval, **keys: Any) -> Record:
    """One record of a run against its reference dialect; see `record_of`.

    Rows are of the table's clusters, unless `keys` say otherwise.
    """
    fixed = {"reference": table.reference, "cluster": table.cluster}
    return record_of(table.run, value, **(fixed | keys))


ACCURACY = "dialect_accuracy"
"""`analysis` of the records."""
SUBSET_ROWS = 5
"""Fewest rows of a subset that is shown by itself."""
NO_BOTH = "not computed: no row has scores of both answers in both dialects"


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of a run by dialect."""

    correct: pd.DataFrame
    """A row per row of the run, a column per dialect, the reference first: 1, 0, 0.5
    for a tie; NaN: not both scores."""
    signs: dict[str, paired.SignTest]
    """Dialect -> rows that the reference gets right and it does not, and the
    reverse."""
    disparity: Disparity | None
    subsets: pd.DataFrame
    """Columns subset, dialect, n, accuracy: subsets of at least `SUBSET_ROWS` rows in
    each dialect, where there are several."""
    records: tuple[Record, ...]


def accuracy_of(table: PairTable, *, draws: int, seed: int) -> Accuracy | None:
    """Accuracy by dialect; None: no dialect has both answers' scores.

    Args:
        table: The run.
        draws: Bootstrap draws, and permutations.
        seed: Of both.
    """
    correct = correct_of(table)
    if correct.empty:
        return None
    others = [dialect for dialect in table.dialects if dialect in correct]
    signs: dict[str, paired.SignTest] = {}
    records = [_accuracy(table, dialect, correct) for dialect in map(str, correct)]
    if table.reference in correct:
        for dialect in others:
            drops = (correct[table.reference] - correct[dialect]).to_numpy()
            signs[dialect] = paired.sign_test(drops)
            records += _drop(table, dialect, drops, signs[dialect], draws, seed)
    values = correct.to_numpy().ravel()
    disparity = best_minus_worst(
        values,
        np.tile(correct.columns.to_numpy(dtype=str), len(correct)),
        draws=draws,
        seed=seed,
        blocks=np.repeat(np.array(table.rows), correct.shape[1]),
    )
    if disparity is not None:
        records += _disparity(table, disparity, correct, draws)
    return Accuracy(
        correct=correct,
        signs=signs,
        disparity=disparity,
        subsets=_subsets(table, correct),
        records=tuple(records),
    )


def correct_of(table: PairTable) -> pd.DataFrame:
    """Which rows are right in which dialect: `Accuracy.correct`.

    Returns:
        The dialects in which some row has both answers' scores; empty: there is none.
    """
    correct = pd.DataFrame(
        {
            dialect: _correct(table, dialect)
            for dialect in (table.reference, *table.dialects)
        }
    )
    return correct.loc[:, correct.notna().any()]


def _correct(table: PairTable, dialect: str) -> Floats:
    """Both answers in one dialect, asked in it where that is known."""
    margins = [
        table.score(prompt, CHOSEN, dialect) - table.score(prompt, REJECTED, dialect)
        for prompt in (dialect, None)
    ]
    return paired.wins(np.where(np.isfinite(margins[0]), *margins))


def _share(table: PairTable, metric: str, value: Interval, **keys: Any) -> Record:
    """A record of shares of rows."""
    return record(table, value, analysis=ACCURACY, metric=metric, unit="share", **keys)


def _accuracy(table: PairTable, dialect: str, correct: pd.DataFrame) -> Record:
    known = correct[dialect].dropna()
    found = _share(
        table,
        "accuracy",
        paired.wilson(float(known.sum()), len(known)),
        group=dialect,
        n=len(known),
        n_clusters=len(known),
        method="Wilson; ties one half",
        missing=NO_BOTH,
        cluster="row",
    )
    return dataclasses.replace(found, reference=None)


def _drop(
    table: PairTable,
    dialect: str,
    drops: Floats,
    test: paired.SignTest,
    draws: int,
    seed: int,
) -> tuple[Record, Record]:
    known = np.isfinite(drops)
    n, n_clusters = int(known.sum()), len(np.unique(table.clusters[known]))
    few = n_clusters < MIN_CLUSTERS
    missing = NO_BOTH if not n else TOO_FEW_CLUSTERS
    drop = _share(
        table,
        "accuracy_drop",
        paired.clustered_mean(drops, table.clusters, draws=draws, seed=seed),
        group=dialect,
        n=n,
        n_clusters=n_clusters,
        method=f"percentile bootstrap over {table.cluster}s, {draws} draws, "
        "unadjusted; p by McNemar's exact test",
        missing=missing,
        p_value=None if few else test.p_value,
        family=f"{table.run.probe}, accuracy_drop: models and dialects",
    )
    reach = paired.detectable_d(n_clusters)
    spread = float(np.std(drops[known], ddof=1)) if n > 1 else math.nan
    detectable = _share(
        table,
        "minimum_detectable_accuracy_drop",
        Interval(
            estimate=math.nan if reach is None or not spread > 0 else reach * spread
        ),
        group=dialect,
        n=n,
        n_clusters=n_clusters,
        method="",
        missing=missing
        if few
        else f"none: of as many {table.cluster}s with the spread at hand, two-sided at "
        "5% with a power of 80%, before Holm"
        if spread > 0
        else "not computed: every row is as right in one dialect as in the other",
    )
    return drop, detectable


def _disparity(
    table: PairTable, found: Disparity, correct: pd.DataFrame, draws: int
) -> tuple[Record, Record]:
    n = int(correct.notna().any(axis=1).sum())
    few = n < MIN_CLUSTERS
    observed = _share(
        table,
        "disparity",
        Interval(estimate=found.observed.estimate) if few else found.observed,
        group=None,
        n=n,
        n_clusters=n,
        method=f"percentile bootstrap over rows, {draws} draws: no test, as it is "
        f"above zero by construction; p by {draws} permutations of the dialects "
        "within rows",
        missing=TOO_FEW_CLUSTERS,
        cluster="row",
        p_value=None if few else found.p_value,
        family=f"{table.run.probe}, disparity: models",
    )
    permuted = _share(
        table,
        "disparity_permuted",
        Interval(estimate=found.null_mean),
        group=None,
        n=n,
        n_clusters=n,
        method="",
        missing=f"none: mean of {draws} permutations of the dialects within rows",
        cluster="row",
    )
    return (
        dataclasses.replace(observed, reference=None),
        dataclasses.replace(permuted, reference=None),
    )


def _subsets(table: PairTable, correct: pd.DataFrame) -> pd.DataFrame:
    rows = []
    names = pd.Series(table.subsets, dtype=object)
    for name in sorted({one for one in table.subsets if one is not None}):
        inside = correct[(names == name).to_numpy()]
        if inside.notna().sum().min() < SUBSET_ROWS:
            continue
        rows += [
            {
                "subset": name,
                "dialect": dialect,
                "n": int(inside[dialect].notna().sum()),
                "accuracy": float(inside[dialect].mean()),
            }
            for dialect in inside
        ]
    return pd.DataFrame(rows, columns=["subset", "dialect", "n", "accuracy"])
