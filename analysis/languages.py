"""Languages: one task in many of them, as an axis of a report."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import prose
from analysis.html import Block, Section, slugs
from analysis.languages_across import across_figure, across_findings, across_table
from analysis.languages_analysis import LanguageRun, analyse_languages
from analysis.languages_answers import TESTED_QUESTIONS
from analysis.languages_details import length_table, script_table
from analysis.languages_examples import example_table, note_table
from analysis.languages_figures import length_figure, level_figures, place_figure
from analysis.languages_findings import headline_finding, run_findings
from analysis.languages_places_report import place_table
from analysis.languages_tables import difference_table, level_table, spread_table
from analysis.languages_words import NOUNS, languages, reference_name
from analysis.load import Run
from analysis.part import (
    AxisPart,
    ProbePart,
    RunPart,
    Step,
    Wanted,
    axis_part,
    by_probe,
    models_section,
    names_of,
)
from analysis.wording import count_of, questions


def languages_part(runs: Sequence[Run], wanted: Wanted, step: Step) -> AxisPart:
    """The language axis: a section for each probe.

    Raises:
        DataError: A run is of no kind, or has too little to analyse.
        StoreError: A run's items or scores cannot be read.
    """
    groups = by_probe(runs)
    names = names_of(groups)
    several = len(groups) > 1
    parts = [
        _probe_part(
            group,
            wanted,
            id=f"languages-{place}",
            title=f"{name}: {group[0].manifest.title}" if several else "Languages",
            step=step,
        )
        for group, name, place in zip(groups, names, slugs(names), strict=True)
    ]
    return axis_part(parts, names, "languages", "Languages")


def _probe_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe version."""
    analysed = analyse_languages(runs, reference=wanted.reference_language, step=step)
    return ProbePart(
        section=_section(analysed, id=id, title=title, step=step),
        runs=tuple(
            RunPart(
                path=run.answers.run.path,
                label=run.label,
                probe=run.answers.run.manifest.probe,
                items=len(run.answers.frame),
                groups=len(run.answers.languages),
                findings=run_findings(run),
                short=headline_finding(run),
                headline=run.headline,
                headline_name=_headline_name(run),
            )
            for run in analysed
        ),
        across=across_findings(analysed),
        records=tuple(record for run in analysed for record in run.records),
        subject=_subject(analysed),
    )


def _subject(runs: Sequence[LanguageRun]) -> str:
    count = languages(max(len(run.answers.languages) for run in runs))
    if runs[0].answers.crossed:
        return f"In which of {count} the same questions on a passage are answered right"
    return (
        f"In which of {count} a short answer in the model's own words matches what "
        "people found in a passage"
    )


def _headline_name(run: LanguageRun) -> str:
    one, title = run.headline, NOUNS[run.key]
    name = run.answers.name
    if one.reference is not None:
        others = len(run.answers.others)
        largest = f", the largest of {others} differences" if others > 1 else ""
        return f"{title}, {name(one.group or '')} \u2212 {name(one.reference)}{largest}"
    if one.group is not None:
        return f"{title}, {name(one.group)}"
    return f"{title}, mean over {languages(len(run.answers.languages))}"


def _section(
    runs: Sequence[LanguageRun], *, id: str, title: str, step: Step
) -> Section:
    """Across models first, then each run."""
    kind = runs[0].answers.kind
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="answered the same questions",
        across=lambda: (across_table(runs, id), across_figure(runs, id)),
        method=(
            *prose.method(f"languages_{kind}"),
            *prose.method("languages", tested=TESTED_QUESTIONS),
        ),
        caveats=(
            *prose.caveats(f"languages_{kind}"),
            *prose.caveats("languages", tested=TESTED_QUESTIONS),
        ),
        step=step,
    )


def _lead(run: LanguageRun) -> str:
    answers = run.answers
    asked = questions(len(answers.frame))
    count = languages(len(answers.languages))
    if answers.crossed:
        each = answers.frame["question_id"].nunique()
        passages = count_of(answers.frame["cluster"].nunique(), "passage")
        told = (
            f"{asked} in {count}: {questions(each)} on {passages}, the same in every "
            "language. Each has lettered answers, and the model's is "
            "the letter with the highest score."
        )
    else:
        told = (
            f"{asked} in {count}, each with a passage that holds the answer. The model "
            "answers in its own words after worked examples; its answer is compared "
            "with those that people gave, by exact match and by the words in common "
            "(F1)."
        )
    if answers.others:
        name = reference_name(run)
        told += (
            f" Differences are a language less {name}: negative means that {name} is "
            "answered better."
        )
    return told


def _blocks(run: LanguageRun, prefix: str) -> tuple[Block, ...]:
    found: list[Block | None] = [
        *level_figures(run, prefix),
        level_table(run, prefix),
        difference_table(run, prefix),
        place_figure(run, prefix),
        place_table(run, prefix),
        length_figure(run, prefix),
        length_table(run, prefix),
        script_table(run, prefix),
        spread_table(run, prefix),
        note_table(run, prefix),
        example_table(run, prefix),
    ]
    return tuple(block for block in found if block is not None)
