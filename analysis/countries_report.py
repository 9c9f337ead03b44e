"""The country axis of a report: one probe's `CountryAnalysis` as a section."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from analysis import findings
from analysis.countries_across import across_blocks
from analysis.countries_axis import CountryAnalysis, RunAnalysis
from analysis.countries_figures import (
    agreement_figure,
    confound_figure,
    map_figure,
    ranking_figures,
    scatter_figure,
    valence_figure,
)
from analysis.countries_tables import confound_table, correlation_table, rank_table
from analysis.countries_views import CAVEAT, views_section
from analysis.countries_views import METHOD as VIEWS_METHOD
from analysis.drawing import rank_scale, score_scale
from analysis.html import Block, Paragraph, Section, join_words, number
from analysis.part import models_section
from analysis.ranks import Ties


def country_section(
    analysis: CountryAnalysis,
    *,
    id: str,
    title: str,
    step: Callable[[], object] = lambda: None,
) -> Section:
    """One probe's section: across models first, then each run.

    Args:
        analysis: The analysed runs, all of one probe.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section.
        step: Called after each run is drawn, for a progress bar.
    """
    several = len(analysis.runs) > 1
    ties = Paragraph(head="Ties", text=TIES[analysis.ties])

    def views(run: RunAnalysis, prefix: str) -> tuple[Section, ...]:
        found = views_section(run, prefix, whole=not several)
        return () if found is None else (found,)

    return models_section(
        analysis.runs,
        lead=_run_lead,
        findings=findings.run_findings,
        blocks=lambda run, prefix: _run_blocks(run, prefix, score_map=not several),
        sections=views,
        id=id,
        title=title,
        did="read the same questions",
        across=lambda: across_blocks(analysis, id),
        method=(METHOD[0], ties, *METHOD[1:]),
        caveats=CAVEATS,
        step=step,
    )


def _run_lead(run: RunAnalysis) -> str:
    counts = run.counts
    kinds = [
        f"{number(count, 0)} {kind}"
        for kind, count in (
            ("positive", counts.questions_positive),
            ("negative", counts.questions_negative),
            ("neutral", counts.questions_neutral),
        )
        if count
    ]
    return (
        f"{findings.questions(counts.questions)} ({join_words(kinds)}), "
        f"{findings.countries(counts.countries_ranked)} ranked of "
        f"{number(counts.countries_scored, 0)} names scored. Within each question the "
        "countries are ranked by score, in reverse on negative questions; 1 is the "
        "most favoured."
    )


def _run_blocks(run: RunAnalysis, prefix: str, *, score_map: bool) -> tuple[Block, ...]:
    ranks = run.ranks
    scale = rank_scale(ranks["mean_rank"], len(ranks))
    blocks: list[Block] = []
    if run.ordered:
        blocks.append(map_figure(run, prefix, scale, reward=False))
        blocks += ranking_figures(run, prefix, scale)
    polls = findings.computed(run)
    if polls:
        blocks += [agreement_figure(run, polls, prefix), scatter_figure(polls, prefix)]
    if run.polls:
        blocks.append(correlation_table(run, prefix))
    split = valence_figure(run, prefix)
    if split is not None:
        blocks.append(split)
    if not run.confounds.table.empty:
        blocks.append(confound_figure(run, prefix))
    blocks.append(confound_table(run, prefix))
    if not run.ordered:
        return tuple(blocks)
    if score_map and ranks["mean_score"].notna().any() and len(ranks) > 1:
        blocks.append(
            map_figure(run, prefix, score_scale(ranks["mean_score"]), reward=True)
        )
    blocks.append(rank_table(run, prefix))
    return tuple(blocks)


TIES: Mapping[Ties, str] = {
    "average": "Countries with equal scores in a question share the average of their "
    "places, so that a question which gives all the same score favours none.",
    "best": "Countries with equal scores in a question share the best of their places, "
    "as Ryan et al. (2024) ranked: a question which gives all the same score puts all "
    "first.",
}
METHOD = (
    Paragraph(
        head="Countries",
        text="A question is put with every country as the answer, and the model scores "
        "each answer: a reward, or a log-probability. Within a question the countries "
        "with an official ISO 3166-1 code and more than 250,000 people are ranked by "
        "score; on questions that ask for something bad the order is reversed, so that "
        "a low rank always means favoured. A country's mean rank is the plain mean "
        "over questions, with a bootstrap interval over questions.",
    ),
    Paragraph(
        head="Polls",
        text="Mean ranks are compared with the order in which respondents favour "
        "countries (Spearman's rho; with percentages also tie-aware, and Kendall's "
        "tau-b). One interval resamples questions only and says how precise the "
        "measurement is; the headline interval resamples countries and questions and "
        "says how far the figure would carry over to others. p is a two-sided "
        "permutation test, adjusted by Holm over the polls.",
    ),
    VIEWS_METHOD,
    Paragraph(
        head="What agreement is held against",
        text="Agreement is recomputed from positive and from negative questions alone. "
        "The valence-blind part is the correlation, over countries, of raw ranks (not "
        "reversed) on positive with those on negative questions. The length baseline "
        "ranks countries by the length of the answer alone.",
    ),
    Paragraph(
        head="Confounds",
        text="The score is oriented (less its question's mean, sign reversed on "
        "negative questions), standardised once per run, and regressed on answer "
        "length, log population, log GDP per person, English as an official language, "
        "and region: once over all questions and countries with question means "
        "absorbed and errors clustered by question and by country, once over country "
        "means with HC3 errors.",
    ),
)
CAVEATS = (
    "A rank is relative to the other names asked about: it does not say that a model "
    "likes or dislikes a country, nor what a system built with it would say.",
    "Polls cover some twenty countries that are in the news, not a sample of all; an "
    "interval that resamples them cannot mend that.",
    "Names differ in length, frequency and spelling. What goes with the name cannot be "
    "fully parted from what goes with the country; the baselines show only part of it.",
    "Correlation with a poll of one country's adults does not say where the agreement "
    "comes from.",
    CAVEAT,
    "Questions are in English and worded one way each; other wordings may rank "
    "differently, and the intervals do not cover that.",
)
