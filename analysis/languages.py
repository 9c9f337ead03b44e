"""Languages: one task in many of them, as an axis of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.html import Block, Paragraph, Section, slugs
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
        method=(*METHOD[kind], SHARED_METHOD),
        caveats=(*CAVEATS[kind], *SHARED_CAVEATS),
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


METHOD: Mapping[str, tuple[Paragraph, ...]] = {
    "choices": (
        Paragraph(
            head="Choices in many languages",
            text="A question is answered right if the letter of the right answer has "
            "the highest score, of policies the summed log-probability. Where letters "
            "share the first place, one of them is drawn by a fixed rule. Every "
            "language has the same questions: each is compared with the reference "
            "question by question, and the difference is the mean of these "
            "differences. One that is shown is still called uncertain where neither "
            "of the two languages is shown to be above chance (what a model picks by "
            "place is right somewhere), or where McNemar's exact test has p above 5%.",
        ),
        Paragraph(
            head="Questions on one passage",
            text="Two questions may share a passage, in every language the same one, "
            "and are not independent: shares have Wilson's interval of the effective "
            "number of questions, between the number of passages and that of "
            "questions; means and differences have Student's t on a standard error "
            "clustered by passage. Wilson's interval of all questions, and McNemar's "
            "exact test, which take questions as independent, stand beside.",
        ),
        Paragraph(
            head="Liking a place",
            text="For each letter, the share of questions for which it is picked less "
            "the share for which it is right, of the same questions, with the same "
            "test; Holm's over models, languages and places. Shown means by the 95% "
            "interval and by p below 5% after Holm.",
        ),
    ),
    "extractions": (
        Paragraph(
            head="Short answers in many languages",
            text="Exact match and F1 are those of SQuAD (Rajpurkar et al. 2016), the "
            "best over the references, after lower case and without ASCII punctuation "
            "and English articles. An answer is cut at its first blank line. An empty "
            "answer counts as wrong; one that could not be made is left out and "
            "counted.",
        ),
        Paragraph(
            head="Different questions in each language",
            text="Every language has its own questions, written by its own speakers "
            "about its own documents. A difference from the reference is that of two "
            "independent means (Welch's test) and holds for these sets of questions: "
            "it mixes how well the model knows the language with how hard the "
            "questions are. Questions from one document belong together: shares have "
            "Wilson's interval of the effective number of questions, all else "
            "Student's t on a standard error clustered by document.",
        ),
    ),
}
"""Kind of run -> how it is read."""

SHARED_METHOD = Paragraph(
    head="Languages",
    text="Holm's adjustment is over models and languages, for each outcome. A "
    f"language with fewer than {TESTED_QUESTIONS} answers is shown and not tested, and "
    "nothing is tested with fewer than five clusters. Some language is always best: "
    "the difference between the best and the worst is read against the same difference "
    "under permuted languages, and its interval is no test. What is called not shown "
    "may be there: the smallest difference that so many questions would show stands "
    "beside.",
)

CAVEATS: Mapping[str, tuple[str, ...]] = {
    "choices": (
        "The passages were written in English, and people translated them: a "
        "translation keeps the shape of its source, so that a language is tested as "
        "translators write it, and English as its authors do.",
        "Whatever the language, the letters A to D are Latin. A model may know the "
        "answer and not the letter, above all in another script; a base model may not "
        "have understood what it was asked for.",
        "The same questions take more tokens in some languages: there the model reads "
        "more, sees less of what does not fit, and was often trained on less.",
    ),
    "extractions": (
        "Exact match and F1 were made for English. In languages that write articles, "
        "cases or postpositions as part of a word, a right answer with another ending "
        "counts as another word: a lower F1 is in part the measure's.",
        "Questions differ between languages, and so does what their documents are "
        "about: a difference is not one of language alone.",
        "The worked examples are drawn once, and are the same for all questions of a "
        "language: others may help more, or less, and the intervals say nothing about "
        "that.",
        "A model that answers in whole sentences, or writes on, loses F1 and exact "
        "match though it may have found the answer.",
    ),
}
"""Kind of run -> what to bear in mind."""

SHARED_CAVEATS = (
    "What the model is told to do stands in English, whatever the language of the "
    "passage and the question.",
)
