"""In which language does a model answer well?

Two kinds of run (`languages_data`). Estimands, per run and outcome:

- the mean of the answers in each language: the share of questions whose right letter
  is chosen, or exact match and F1 with the references;
- language - reference, the difference of these means; negative means that the reference
  is answered better. Choices are on the same questions in every language, and the
  difference is the mean of the questions' own. Short answers are to each language's own
  questions, which differ in difficulty too: the difference is one of two means;
- best minus worst language, beside what permuted languages give.

Unit of analysis: a question. Questions on one passage (choices: in whichever language)
or from one document (short answers) belong together: shares have Wilson's interval of
the effective number of questions, all else Student's t on a cluster-robust standard
error. Holm over models and languages, for each outcome. All hold the model fixed.
Nothing is tested in a language with fewer than `TESTED_QUESTIONS` answers.

Does a model like a place, such as the first letter, whatever stands there?

Estimand: the share of questions in which the letter of a place is chosen, less the
share in which that place holds the right answer. Both are of the same questions, so
that a difference is one of the model; a model that knows every answer has none. Unit:
a question, clustered by passage. Holm over models, languages and places; over all
languages together, over models and places.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import paired
from analysis.disparity import clustered_best_minus_worst
from analysis.languages_data import TESTED_QUESTIONS, Answers, Outcome, read_answers
from analysis.load import Run, labels
from analysis.paired import Interval, TTest, bounded_by, clustered_share
from analysis.records import Record, record_of, with_holm_in
from analysis.resample import DRAWS, SEED, Floats

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


NOT_SHARED = "not computed: no question in both"
INDEPENDENT = "Wilson, questions independent"
MCNEMAR = "none: McNemar's exact test, questions independent"
NO_TEST = "percentile bootstrap; never below zero, no test"
BOUNDED_LANGUAGES = 12
"""Most languages whose best minus worst has an interval: of more, the ends of every
resample lie farther apart than those of the sample, and the interval beside it."""
TOO_MANY = (
    f"none: of more than {BOUNDED_LANGUAGES} languages resampled ends drift apart"
)
CHANCE_ALONE = "none: mean under permuted languages"
POWER_ALONE = "none: at 5% and a power of 80%, before Holm"


def outcome_records(
    maker: Maker, outcome: Outcome, *, draws: int, seed: int
) -> Iterator[Record]:
    """Every record of one outcome."""
    for code in maker.answers.languages:
        yield from levels(maker, outcome, code)
    yield from differences(maker, outcome)
    yield mean_of_languages(maker, outcome)
    yield from spread(maker, outcome, draws=draws, seed=seed)


def levels(maker: Maker, outcome: Outcome, code: str) -> Iterator[Record]:
    """How good a language's answers are: the mean, its bounds, and chance."""
    rows = outcome.known & maker.answers.of(code)
    values = outcome.values[rows]
    if outcome.binary:
        yield maker.record(
            outcome.key,
            clustered_share(values, maker.answers.cluster[rows]),
            rows,
            group=code,
            method=maker.wilson,
            missing=NO_ANSWER,
        )
        yield maker.record(
            f"{outcome.key}_questions_independent",
            paired.wilson(float(values.sum()), len(values)),
            rows,
            group=code,
            method=INDEPENDENT,
            missing=NO_ANSWER,
            cluster="question",
        )
    else:
        test = maker.test(outcome.values, rows)
        inside = dataclasses.replace(
            test, mean=paired.bounded_by(test.mean, low=0.0, high=1.0)
        )
        yield maker.mean(
            outcome.key,
            inside,
            rows,
            group=code,
            method=f"{maker.student}, cut at 0 and 1",
        )
    if outcome.chance is None:
        return
    over = maker.test(outcome.values - outcome.chance, rows)
    yield maker.tested(
        f"{outcome.key}_over_chance",
        over,
        rows,
        group=code,
        reference=CHANCE,
        family="models and languages",
        missing=maker.why(over, rows, fewest=len(values)),
    )


def differences(maker: Maker, outcome: Outcome) -> Iterator[Record]:
    """Each language less the reference; none without one."""
    answers = maker.answers
    if answers.reference is None:
        return
    if not answers.crossed:
        for code in answers.others:
            yield from _between(maker, outcome, code, answers.reference)
        return
    table, passages = by_question(answers, outcome)
    for code in answers.others:
        pair = table[[code, answers.reference]].to_numpy(dtype=np.float64)
        gaps = pair[:, 0] - pair[:, 1]
        both = np.isfinite(gaps)
        codes = coded(passages[both])
        test = paired.t_test(gaps[both], codes) if both.any() else NONE
        counts = int(both.sum()), len(set(codes))
        yield from _difference(maker, outcome, code, test, counts, counts[0])
        if outcome.binary and both.any():
            yield maker.record(
                f"{outcome.key}_difference_mcnemar",
                Interval(estimate=test.mean.estimate),
                counts,
                group=code,
                reference=answers.reference,
                missing=MCNEMAR,
                cluster="question",
                p_value=paired.sign_test(gaps[both]).p_value,
            )


def by_question(
    answers: Answers, outcome: Outcome
) -> tuple[pd.DataFrame, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Questions by language, and the passage of each question."""
    frame = answers.frame[["question_id", "language"]].assign(
        value=outcome.values, cluster=answers.cluster
    )
    table = frame.pivot(index="question_id", columns="language", values="value")
    passages = frame.drop_duplicates("question_id").set_index("question_id")["cluster"]
    return table, passages.reindex(table.index).to_numpy(dtype=np.intp)


def _between(
    maker: Maker, outcome: Outcome, code: str, reference: str
) -> Iterator[Record]:
    """Between different questions."""
    answers = maker.answers
    here, there = (outcome.known & answers.of(one) for one in (code, reference))
    sizes = int(here.sum()), int(there.sum())
    test = NONE
    if min(sizes):
        test = paired.independent_difference(
            outcome.values[here],
            coded(answers.cluster[here]),
            outcome.values[there],
            coded(answers.cluster[there]),
        )
    counts = maker.counts(here | there)
    yield from _difference(maker, outcome, code, test, counts, min(sizes))


def _difference(
    maker: Maker,
    outcome: Outcome,
    code: str,
    test: TTest,
    counts: tuple[int, int],
    fewest: int,
) -> Iterator[Record]:
    """The difference, and the smallest that so many questions show."""
    crossed, reference = maker.answers.crossed, maker.answers.reference
    assert reference is not None
    why = maker.why(
        test, counts, fewest=fewest, none=NOT_SHARED if crossed else NO_ANSWER
    )
    yield maker.tested(
        f"{outcome.key}_difference",
        test,
        counts,
        group=code,
        reference=reference,
        family="models and languages",
        missing=why,
        method=None if crossed else f"{maker.student} within each language (Welch)",
    )
    least = paired.detectable_mean(test) if why is None else None
    yield maker.record(
        f"{outcome.key}_minimum_detectable_difference",
        Interval(estimate=math.nan if least is None else least),
        counts,
        group=code,
        reference=reference,
        missing=why or POWER_ALONE,
    )


def mean_of_languages(maker: Maker, outcome: Outcome) -> Record:
    """Mean over languages, each counting the same."""
    test = maker.mean_of_languages(outcome.values, outcome.known)
    return maker.mean(
        f"{outcome.key}_mean_of_languages",
        dataclasses.replace(test, mean=paired.bounded_by(test.mean, low=0.0, high=1.0)),
        outcome.known,
        group=None,
        method=f"{maker.student}, languages held, cut at 0 and 1",
        missing=maker.lone(outcome.known),
    )


def spread(
    maker: Maker, outcome: Outcome, *, draws: int, seed: int
) -> Iterator[Record]:
    """Best minus worst language, beside what permuted languages give.

    Languages with fewer than `TESTED_QUESTIONS` answers are left out; of the record,
    `group` is the best and `reference` the worst. None: fewer than two are left, or all
    answers are alike.
    """
    answers = maker.answers
    counts = np.bincount(
        answers.language[outcome.known], minlength=len(answers.languages)
    )
    rows = outcome.known & (counts >= TESTED_QUESTIONS)[answers.language]
    few = maker.counts(rows)[1] < paired.MIN_CLUSTERS
    if few or not paired.varies(outcome.values[rows]):
        return
    found = clustered_best_minus_worst(
        outcome.values[rows],
        np.array(answers.languages)[answers.language[rows]],
        answers.cluster[rows],
        crossed=answers.crossed,
        draws=draws,
        seed=seed,
    )
    if found is None:
        return
    many = int((counts >= TESTED_QUESTIONS).sum()) > BOUNDED_LANGUAGES
    observed = found.observed
    yield maker.record(
        f"{outcome.key}_disparity",
        Interval(estimate=observed.estimate) if many else observed,
        rows,
        group=found.best,
        reference=found.worst,
        method=NO_TEST,
        missing=TOO_MANY,
        p_value=found.p_value,
        family="models",
    )
    yield maker.record(
        f"{outcome.key}_disparity_permuted",
        Interval(estimate=found.null_mean),
        rows,
        missing=CHANCE_ALONE,
    )


COUNTED = "none: of these very questions"

MEANS = {
    "n_prompt_tokens": ("mean_prompt_tokens", "tokens"),
    "n_passage_chars": ("mean_passage_characters", "characters"),
    "logprob": ("reference_logprob", "log-probability per token"),
}
"""Column of numbers -> metric and unit of its mean."""


def covariate_records(maker: Maker) -> Iterator[Record]:
    """Lengths by language; of choices accuracy by script too."""
    answers = maker.answers
    for column, (metric, unit) in MEANS.items():
        if column not in answers.frame:
            continue
        values = answers.number(column)
        for code in answers.languages:
            rows = np.isfinite(values) & answers.of(code)
            test = maker.test(values, rows)
            if column == "logprob":
                # No probability is above one.
                test = dataclasses.replace(test, mean=bounded_by(test.mean, high=0.0))
            yield maker.mean(metric, test, rows, group=code, unit=unit)
    if answers.crossed:
        yield from _ratios(maker)
        yield from _by_script(maker)


def _ratios(maker: Maker) -> Iterator[Record]:
    """Tokens of a language's prompts over the reference's, of the same questions."""
    answers = maker.answers
    if answers.reference is None:
        return
    table = answers.frame.pivot(
        index="question_id", columns="language", values="n_prompt_tokens"
    )
    for code in answers.others:
        both = table[[code, answers.reference]].dropna().to_numpy(dtype=np.float64)
        sums = both.sum(axis=0)
        yield maker.record(
            "prompt_tokens_ratio",
            Interval(estimate=float(sums[0] / sums[1]) if len(both) else math.nan),
            (len(both), 0),
            unit="ratio",
            group=code,
            reference=answers.reference,
            missing=COUNTED if len(both) else NOT_SHARED,
            cluster=None,
        )


def _by_script(maker: Maker) -> Iterator[Record]:
    """Accuracy over the languages of a script, each counting the same."""
    answers, outcome = maker.answers, maker.answers.outcomes[0]
    of_language = np.array([answers.scripts[code] for code in answers.languages])
    script = of_language[answers.language]
    for name in dict.fromkeys(of_language):
        rows = outcome.known & (script == name)
        if rows.any():
            yield maker.mean(
                f"{outcome.key}_of_script",
                maker.mean_of_languages(outcome.values, rows),
                rows,
                group=str(name),
                method=f"{maker.student}, languages held",
                missing=maker.lone(rows),
            )


ALL = "all languages"


def letter(place: int) -> str:
    """The letter of a place, the first being A."""
    return chr(ord("A") + place)


def place_group(code: str | None, place: int) -> str:
    """`group` of the records of a place: ``eng_Latn A`` or ``all languages A``."""
    return f"{code or ALL} {letter(place)}"


def n_places(maker: Maker) -> int:
    """Places of the run's letters."""
    frame = maker.answers.frame
    return 1 + int(np.nanmax(frame[["chosen", "answer"]].to_numpy()))


def place_records(maker: Maker) -> Iterator[Record]:
    """Of each language, and of all together: chosen, right, and their difference."""
    answers = maker.answers
    chosen, right = answers.number("chosen"), answers.number("answer")
    known = np.isfinite(chosen)
    for code in (None, *answers.languages):
        rows = known if code is None else known & answers.of(code)
        if not rows.any():
            continue
        for place in range(n_places(maker)):
            picked, held = chosen == place, right == place
            group = place_group(code, place)
            values = picked[rows].astype(np.float64)
            yield maker.record(
                "place_share",
                clustered_share(values, answers.cluster[rows]),
                rows,
                group=group,
                method=maker.wilson,
            )
            yield maker.record(
                "place_share_of_answers",
                Interval(estimate=float(held[rows].mean())),
                rows,
                group=group,
                missing=COUNTED,
            )
            gap = picked.astype(np.float64) - held
            test = maker.test(gap, rows)
            yield maker.tested(
                "place_share_difference",
                test,
                rows,
                group=group,
                reference="share of right answers",
                family="models, languages and places"
                if code is not None
                else "models and places, all languages",
                missing=maker.why(test, rows, fewest=int(rows.sum())),
            )


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """Everything about one run."""

    answers: Answers
    records: tuple[Record, ...]

    @cached_property
    def by_name(self) -> Mapping[tuple[str, str | None], Record]:
        """(metric, group) -> record."""
        return {(one.metric, one.group): one for one in self.records}

    @property
    def label(self) -> str:
        """The model's name, unique among the runs analysed together."""
        return self.answers.label

    @property
    def key(self) -> str:
        """Metric of the headline's outcome."""
        return self.answers.outcomes[0].key

    def find(self, metric: str, group: str | None = None) -> Record | None:
        """A record; None: there is none, such as of a language without answers."""
        return self.by_name.get((metric, group))

    def level(self, code: str, key: str | None = None) -> Record:
        """The mean of a language's answers, in one outcome; None: the headline's."""
        return self.by_name[key or self.key, code]

    def gaps(self, key: str | None = None) -> tuple[Record, ...]:
        """Differences from the reference, in the order of the items."""
        metric = f"{key or self.key}_difference"
        return tuple(self.by_name[metric, code] for code in self.answers.others)

    def ordered(self, key: str | None = None) -> tuple[str, ...]:
        """Languages, the best answered first; those without answers last."""
        levels = {code: self.level(code, key).estimate for code in self.answers.names}

        def place(code: str) -> tuple[bool, float, str]:
            value = levels[code]
            return value is None, -(value or 0.0), self.answers.name(code)

        return tuple(sorted(levels, key=place))

    def spread(self, key: str | None = None) -> Record | None:
        """Best minus worst; None: fewer than two languages have enough answers."""
        return self.metric(f"{key or self.key}_disparity")

    def metric(self, name: str) -> Record | None:
        """The first record of a metric; None: there is none."""
        return next((one for one in self.records if one.metric == name), None)

    @property
    def headline(self) -> Record:
        """The largest tested difference from the reference, else the mean."""
        tested = [one for one in self.gaps() if one.p_value is not None]
        if tested:
            return max(tested, key=lambda one: abs(one.estimate or 0.0))
        if len(self.answers.languages) == 1:
            return self.level(self.answers.languages[0])
        return self.by_name[f"{self.key}_mean_of_languages", None]


def analyse_languages(
    runs: Sequence[Run],
    *,
    reference: str,
    draws: int = DRAWS,
    seed: int = SEED,
    step: Callable[[], object] = lambda: None,
) -> tuple[LanguageRun, ...]:
    """Analyses runs of one probe; Holm over models and languages.

    Args:
        runs: Runs of one probe, read from their folders.
        reference: Code of the language to compare with; a run that lacks it has no
            differences.
        draws: Bootstrap draws, and permutations.
        seed: Of both.
        step: Called after each run, for a progress bar.

    Raises:
        DataError: As `read_answers`.
        StoreError: A run's items or scores cannot be read.
    """
    found = []
    for run, label in zip(runs, labels(runs), strict=True):
        answers = read_answers(run, label, reference)
        maker = Maker(answers=answers)
        records: list[Record] = []
        for outcome in answers.outcomes:
            records += outcome_records(maker, outcome, draws=draws, seed=seed)
        records += covariate_records(maker)
        if answers.crossed:
            records += place_records(maker)
        found.append(LanguageRun(answers=answers, records=tuple(records)))
        step()
    return with_holm_in(tuple(found), [one for run in found for one in run.records])
