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
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.languages_answers import Answers, read_answers
from analysis.languages_measures import (
    Maker,
    covariate_records,
    outcome_records,
    place_records,
)
from analysis.load import Run, labels
from analysis.records import Record, with_holm
from analysis.resample import DRAWS, SEED


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """Everything about one run."""

    answers: Answers
    records: tuple[Record, ...]
    by_name: Mapping[tuple[str, str | None], Record]
    """(metric, group) -> record."""

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
    found: list[tuple[Answers, int]] = []
    records: list[Record] = []
    for run, label in zip(runs, labels(runs), strict=True):
        answers = read_answers(run, label, reference)
        before = len(records)
        maker = Maker(answers=answers)
        for outcome in answers.outcomes:
            records += outcome_records(maker, outcome, draws=draws, seed=seed)
        records += covariate_records(maker)
        if answers.crossed:
            records += place_records(maker)
        found.append((answers, len(records) - before))
        step()
    after = iter(with_holm(records))
    return tuple(
        _run(answers, tuple(next(after) for _ in range(count)))
        for answers, count in found
    )


def _run(answers: Answers, records: tuple[Record, ...]) -> LanguageRun:
    by_name = {(one.metric, one.group): one for one in records}
    return LanguageRun(answers=answers, records=records, by_name=by_name)
