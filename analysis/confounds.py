"""What besides opinion goes with a country's score: length, size, wealth, language.

Estimand: the linear association of the oriented score with country covariates. Two
regressions stand side by side:

- *questions x countries*: one row per question and country, question means absorbed;
- *country means*: one row per country, the mean of the same values over questions.

The oriented score is the score in units of the run's standard deviation (one for the
whole run, never one per question, which would weigh questions by how little they
separate countries), less its question's mean, with the sign reversed on negative
questions. The sign is reversed about the question's mean, because the zero of a
reward is arbitrary. Positive coefficients mean favoured.

Associations are not effects: countries were not assigned their covariates, covariates
are of one recent year, and what is left out (distance, trade, war, fame) is in them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

from analysis.clustered import two_way_cov
from analysis.paired import Interval
from analysis.ranks import Ranking
from analysis.records import Record, record_of
from analysis.resample import CI_LEVEL, Floats
from data_builders import countries

MIN_MEMBERS = 3
"""Fewest countries on each side of a yes/no term: of fewer, the term is about single
countries and its standard error means nothing."""

MIN_RESIDUAL = 10
"""Fewest countries beyond the number of coefficients."""

PANEL = "questions x countries"
MEANS = "country means"
_METHODS = {
    PANEL: "OLS, question means absorbed; standard errors clustered by question and by "
    "country (CR3, jackknife), t with the fewer clusters less 1 degrees of freedom",
    MEANS: "OLS on country means; HC3 standard errors, t",
}
_COLUMNS = [
    "model",
    "term",
    "label",
    "estimate",
    "se",
    "ci_low",
    "ci_high",
    "p_value",
    "n",
    "n_countries",
    "n_questions",
    "method",
]


@dataclass(frozen=True, kw_only=True)
class Confounds:
    """The confound regressions of one run."""

    table: pd.DataFrame
    """Tidy, one row per model and coefficient: model ("questions x countries" |
    "country means"), term, label (readable), estimate, se, ci_low, ci_high, p_value,
    n, n_countries, n_questions, method. Estimates are in standard deviations of the
    run's scores."""
    records: tuple[Record, ...]
    """The same as records; `p_holm` is filled in by `records.with_holm`."""
    dropped: tuple[str, ...]
    """Keys of ranked countries left out because a covariate is unknown."""
    dropped_terms: tuple[str, ...]
    """Labels of terms left out, because they hardly vary among the countries at hand
    or follow from the others. Countries of a left-out region count to the baseline."""
    baseline: str | None
    """The region that the others are compared with; None: no regression."""
    note: str
    """Which length was used, and what else a reader must know; or why there is no
    regression (then `table` is empty)."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """Covariates of a run's countries, laid out as its questions x countries."""

    columns: NDArray[np.intp]
    """The ranked countries that have every covariate, as columns of the ScoreTable."""
    terms: tuple[str, ...]
    labels: tuple[str, ...]
    x: Floats
    """Shape (terms, Q, countries)."""
    baseline: str
    dropped: tuple[str, ...]
    dropped_terms: tuple[str, ...]


def design(ranking: Ranking) -> Design:
    """Builds the covariates: length, log2 population, log2 GDP, English, region."""
    table = ranking.table
    known = [
        (i, country)
        for i, country in enumerate(map(countries.by_key, table.keys))
        if country.population and country.gdp_per_capita and country.region
    ]
    columns = np.array([i for i, _ in known], dtype=np.intp)
    sizes = Counter(country.region or "" for _, country in known)
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    baseline = names[0] if names else ""
    rows: dict[str, tuple[str, Floats]] = {
        "log_population": (
            "population, per doubling",
            np.log2([float(c.population or 1) for _, c in known]),
        ),
        "log_gdp_per_capita": (
            "GDP per person, per doubling",
            np.log2([float(c.gdp_per_capita or 1) for _, c in known]),
        ),
        "english_official": (
            "English is an official language",
            np.array([float(c.english_official) for _, c in known]),
        ),
    }
    for name in sorted(names[1:]):
        rows[f"region[{name}]"] = (
            f"region {name} (against {baseline})",
            np.array([float(c.region == name) for _, c in known]),
        )
    unit = table.length_unit.removesuffix("s")
    lengths = table.lengths[:, columns]
    shape = lengths.shape
    terms, labels = ["length"], [f"answer length, per {unit}"]
    blocks = [lengths]
    for term, (label, values) in rows.items():
        terms.append(term)
        labels.append(label)
        blocks.append(np.broadcast_to(values, shape))
    keep = _usable([_country_means(block, lengths) for block in blocks])
    return Design(
        columns=columns,
        terms=tuple(terms[i] for i in keep),
        labels=tuple(labels[i] for i in keep),
        x=np.stack([blocks[i] for i in keep]) if keep else np.empty((0, *shape)),
        baseline=baseline,
        dropped=tuple(
            key for i, key in enumerate(table.keys) if i not in set(columns.tolist())
        ),
        dropped_terms=tuple(
            label for i, label in enumerate(labels) if i not in set(keep)
        ),
    )


def _country_means(block: Floats, lengths: Floats) -> Floats:
    """Mean per country over the questions that have a candidate for it."""
    present = np.isfinite(lengths)
    total = np.where(present, block, 0.0).sum(axis=0)
    return total / np.maximum(present.sum(axis=0), 1)


def _usable(columns: list[Floats]) -> list[int]:
    """Indices of the covariates that vary and do not follow from earlier ones."""
    if not len(columns[0]):
        return []
    kept: list[int] = []
    basis = [np.ones(len(columns[0]))]
    for i, column in enumerate(columns):
        binary = bool(np.isin(column, (0.0, 1.0)).all())
        minority = min(column.sum(), (1 - column).sum()) if binary else MIN_MEMBERS
        spread = float(column.std())
        if spread == 0 or minority < MIN_MEMBERS:
            continue
        candidate = [*basis, (column - column.mean()) / spread]
        if np.linalg.matrix_rank(np.column_stack(candidate)) == len(candidate):
            kept.append(i)
            basis = candidate
    return kept


def confound_models(ranking: Ranking) -> Confounds:
    """Fits both regressions of one run.

    Units: countries with every covariate (n_countries) and questions with at least two
    of them (n_questions). The panel's intervals cover the choice of questions and of
    countries; the country means' cover the choice of countries with the questions
    held fixed. Both assume that countries are independent given the covariates, which
    neighbours are not, and that associations are linear.

    Returns:
        The tables; empty, with a `note`, where there are too few countries.
    """
    plan = design(ranking)
    k = len(plan.terms)
    note = f"Answer length is in {ranking.table.length_unit}"
    if ranking.table.length_unit != "tokens":
        note += ", because this run has no token counts"
    frames = [pd.DataFrame(columns=_COLUMNS)]
    y = ranking.table.oriented[:, plan.columns]
    y = np.where((np.isfinite(y).sum(axis=1) >= 2)[:, None], y, np.nan)
    inside = _demeaned(y, np.isfinite(y))
    rounding = 1e-9 * float(np.abs(y).max(initial=0.0, where=np.isfinite(y)))
    if len(plan.columns) < k + 1 + MIN_RESIDUAL or k == 0:
        note = (
            f"Not computed: {len(plan.columns)} countries with every covariate are too "
            f"few for {k + 1} coefficients (at least {MIN_RESIDUAL} more are needed)"
        )
    elif np.abs(inside).max() <= rounding:
        note = "Not computed: every question gives all countries the same score"
    else:
        y = y / float(np.nanstd(ranking.table.scores))
        if len(y) >= 2:
            frames.append(fit_panel(y, plan))
        else:
            note += "; with a single question there is no regression on questions"
        if np.ptp(inside.sum(axis=0)) > rounding:
            frames.append(fit_means(y, plan))
        else:
            note += "; all countries have the same mean, which nothing can go with"
    # What pandas makes of columns without rows must not change the types of the rest.
    table = pd.concat(frames[1:] or frames, ignore_index=True)[_COLUMNS]
    return Confounds(
        table=table,
        records=_records(ranking, table, plan.baseline),
        dropped=plan.dropped,
        dropped_terms=plan.dropped_terms,
        baseline=None if table.empty else plan.baseline,
        note=note + ".",
    )


def _demeaned(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Values less their question's mean over the present cells, shape (..., Q, K)."""
    kept = np.where(present, values, 0.0)
    count = np.maximum(present.sum(axis=-1, keepdims=True), 1)
    return kept - kept.sum(axis=-1, keepdims=True) / count


def fit_panel(y: Floats, plan: Design) -> pd.DataFrame:
    """The regression on questions x countries, question means absorbed.

    Args:
        y: Shape (Q, countries of `plan`), oriented score; NaN = unscored.
        plan: The covariates.

    Returns:
        Rows of `Confounds.table`.
    """
    present = np.isfinite(y)
    rows, columns = np.nonzero(present)
    x = np.stack([block[present] for block in _demeaned(plan.x, present)], axis=1)
    fit = sm.OLS(_demeaned(y, present)[present], x).fit()
    questions, rows = np.unique(rows, return_inverse=True)
    used, columns = np.unique(columns, return_inverse=True)
    groups = np.column_stack([rows, columns])
    cov = two_way_cov(x, np.asarray(fit.resid), groups, absorbed=len(questions))
    frame = _coefficients(
        PANEL,
        plan,
        np.asarray(fit.params),
        np.sqrt(np.diag(cov)),
        df=min(len(questions), len(used)) - 1,
    )
    return frame.assign(
        n=int(present.sum()), n_countries=len(used), n_questions=len(questions)
    )


def fit_means(y: Floats, plan: Design) -> pd.DataFrame:
    """The regression on country means; arguments and result as `fit_panel`."""
    present = np.isfinite(y)
    count = present.sum(axis=0)
    used = count > 0
    outcome = np.where(present, _demeaned(y, present), 0.0).sum(axis=0)[used]
    x = np.where(present, plan.x, 0.0).sum(axis=1)[:, used] / count[used]
    fit = sm.OLS(outcome / count[used], sm.add_constant(x.T)).fit(
        cov_type="HC3", use_t=True
    )
    frame = _coefficients(
        MEANS,
        plan,
        np.asarray(fit.params)[1:],
        np.asarray(fit.bse)[1:],
        df=int(fit.df_resid),
    )
    n = int(used.sum())
    questions = int(present.any(axis=1).sum())
    return frame.assign(n=n, n_countries=n, n_questions=questions)


def _coefficients(
    model: str, plan: Design, estimate: Floats, se: Floats, *, df: int
) -> pd.DataFrame:
    half = stats.t.ppf(0.5 + CI_LEVEL / 2, df) * se
    return pd.DataFrame(
        {
            "model": model,
            "term": plan.terms,
            "label": plan.labels,
            "estimate": estimate,
            "se": se,
            "ci_low": estimate - half,
            "ci_high": estimate + half,
            "p_value": 2 * stats.t.sf(np.abs(estimate) / se, df),
            "method": _METHODS[model],
        }
    )


def _records(
    ranking: Ranking, table: pd.DataFrame, baseline: str
) -> tuple[Record, ...]:
    found = []
    for row in table.to_dict("records"):
        panel = row["model"] == PANEL
        analysis = "confounds" if panel else "confounds_country_means"
        found.append(
            record_of(
                ranking.run,
                Interval(
                    estimate=row["estimate"], low=row["ci_low"], high=row["ci_high"]
                ),
                analysis=analysis,
                metric="coefficient",
                unit="sd",
                group=row["term"],
                reference=baseline if row["term"].startswith("region[") else None,
                method=_METHODS[row["model"]],
                missing=_METHODS[row["model"]],
                cluster="country and question" if panel else "country",
                p_value=float(row["p_value"]),
                family=f"{analysis}: terms of {ranking.run.name}",
                n=int(row["n"]),
                n_clusters=int(min(row["n_countries"], row["n_questions"]))
                if panel
                else int(row["n_countries"]),
            )
        )
    return tuple(found)
