"""The opinion axis of a report: an `OpinionAnalysis` as a section."""

from __future__ import annotations

from collections.abc import Callable

from analysis import prose
from analysis.html import Block, Section, join_words, number
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
    slots = {"base": BASE_NAMES[analysis.base], "draws": analysis.draws}
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
        method=prose.method("opinions", **slots),
        caveats=prose.caveats("opinions", **slots),
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
