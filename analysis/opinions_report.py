"""The opinion axis of a report: an `OpinionAnalysis` as a section."""

from __future__ import annotations

from collections.abc import Callable

from analysis.html import Block, Paragraph, Section, join_words, number
from analysis.opinions import OpinionAnalysis, OpinionRun
from analysis.opinions_across import across_table, heat_figure, plane_figure
from analysis.opinions_figures import run_figures
from analysis.opinions_findings import run_findings
from analysis.opinions_tables import (
    common_note,
    country_table,
    diversity_table,
    measure_table,
    shift_table,
    steering_table,
)
from analysis.part import models_section
from analysis.similarity import BASE_NAMES
from analysis.wording import countries

PROTOCOLS = {
    "letters": "The model chose among lettered options, once with every option at "
    "every place; its answer is the softmax of the options' log-probabilities, "
    "averaged over these rotations.",
    "answers": "The model scored every option as an assistant's answer in several "
    "phrasings; its answer is the softmax of the options' mean rewards, standardised "
    "once for the model, at temperature 1.",
    "recorded": "The answers are probabilities recorded elsewhere.",
}
"""Protocol -> how the model's answers came about."""


def opinions_section(
    analysis: OpinionAnalysis,
    *,
    id: str,
    title: str,
    step: Callable[[], object] = lambda: None,
) -> Section:
    """The section of one probe: across models first, then each run.

    Args:
        analysis: The analysed runs.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section.
        step: Called after each run is drawn, for a progress bar.
    """
    runs = analysis.runs
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="answered survey questions",
        across=lambda: (
            across_table(runs, id),
            plane_figure(runs, id, yardsticks=False),
            heat_figure(runs, id),
        ),
        method=_method(analysis),
        caveats=CAVEATS,
        step=step,
    )


def _lead(run: OpinionRun) -> str:
    counts = run.counts
    read = (
        f" of {number(counts.questions_read, 0)}"
        if counts.questions < counts.questions_read
        else ""
    )
    samples = (
        f" and {number(counts.samples, 0)} samples surveyed apart"
        if counts.samples
        else ""
    )
    measure = (
        f" Rewards were divided by {number(run.reward_sd, 3)}, their standard "
        "deviation within questions."
        if run.reward_sd is not None
        else f" What is normalised is the {MEASURE_NAMES[run.run.measure.value]}."
        if run.protocol == "letters"
        else f" What is normalised is the {MEASURE_NAMES[run.run.measure.value]}, as "
        "recorded: --normalisation chooses only where a run holds both."
    )
    mix = [
        f"{number(count, 0)} {survey}"
        for survey, count in counts.surveys.items()
        if survey != "unknown"
    ]
    surveys = f" Surveys: {join_words(mix)}." if mix else ""
    return (
        f"{number(counts.questions, 0)}{read} survey questions, answered by people in "
        f"{countries(counts.countries)}{samples} "
        f"({number(counts.pairs, 0)} comparisons). {PROTOCOLS[run.protocol]}{measure}"
        f"{surveys} {common_note(run)}"
    )


MEASURE_NAMES = {
    "logprob_sum": "summed log-probability of the scored text",
    "logprob_mean": "mean token log-probability",
}


def _blocks(run: OpinionRun, prefix: str) -> tuple[Block, ...]:
    blocks: list[Block] = run_figures(run, prefix)
    personas = (steering_table(run, prefix), shift_table(run, prefix))
    blocks += [table for table in personas if table is not None]
    blocks += [
        diversity_table(run, prefix),
        country_table(run, prefix),
        measure_table(run, prefix),
    ]
    return tuple(blocks)


def _method(analysis: OpinionAnalysis) -> tuple[Paragraph, ...]:
    base = BASE_NAMES[analysis.base]
    return (
        Paragraph(
            head="Similarity of answers",
            text="A question's answers are a distribution over its options, the "
            "model's as people's. Their similarity is 1 \u2212 the Jensen-Shannon "
            f"distance ({base}), as Durmus et al. (2023) measured it on these data. "
            "Where the options are the labels of a declared scale, 1 \u2212 the "
            "Wasserstein distance along it stands beside, with options off the scale "
            "left out. The rank correlation of options asks only which are preferred.",
        ),
        Paragraph(
            head="Rewards as answers",
            text="A reward has no zero and no unit. Mean rewards over phrasings are "
            "divided by their standard deviation within questions, one for the whole "
            "model, and put through a softmax at temperature 1; 0.5 and 2 stand "
            "beside.",
        ),
        Paragraph(
            head="Countries",
            text="A country's headline public is the sample of it that was asked the "
            "most questions. Countries were asked different questions; differences "
            "from the reference are taken on questions both were asked, and rankings "
            "on a common set, chosen from who was asked what.",
        ),
        Paragraph(
            head="Yardsticks",
            text="A uniform answerer takes every option equally often; letters alone "
            "give each place its mean probability; the human pool is the mean of the "
            "other countries' people, each country counting the same.",
        ),
        Paragraph(
            head="Fidelity and diversity",
            text="Fidelity is the mean similarity to people: over all questions, each "
            "counted once however many countries were asked, and over the common set's "
            "countries, where models and yardsticks stand side by side. The effective "
            "number of countries is exp of the entropy of the shares of "
            "questions on which each matches best, ties split. With few questions it "
            "is too low; its interval is corrected for that, the number itself is not. "
            "Relative entropy is the entropy of the model's answers over the human "
            "pool's.",
        ),
        Paragraph(
            head="Uncertainty of similarities",
            text=f"Intervals resample questions ({analysis.draws:,} draws, the same "
            "for everything in a run); rotations, phrasings and options of a question "
            "stay together. p-values are Student's t over questions, two-sided, "
            "adjusted by Holm over countries (or personas, models or pairs of models), "
            "with at least ten questions. The lead of the closest country is adjusted "
            "over all pairs of countries, as it was picked on the same questions.",
        ),
    )


CAVEATS = (
    "Similarity to the answers of people in a country does not say that a model holds "
    "their views, nor that it would act on them.",
    "A distribution over options is not what a reader sees: a model that always gives "
    "the most common answer is far from people's spread, however right it is.",
    "Surveys differ in year, mode and wording, and samples called non-national do not "
    "stand for their country; questions of one battery are less independent than the "
    "intervals assume.",
    "Questions are in English, whatever language people were asked in.",
    "A persona is one sentence; other wordings may steer more, or less.",
)
