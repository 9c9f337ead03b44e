"""Whose view of the world a run shares: the section, table and figures of a report."""

from __future__ import annotations

from analysis import columns as col
from analysis.association import MIN_COUNTRIES, MIN_PARTIAL
from analysis.countries_axis import RunAnalysis
from analysis.countries_views_figures import dots_figure, opinions_figure, views_map
from analysis.html import Block, Paragraph, Section, Table
from analysis.views import View
from analysis.views_finding import limit_words
from analysis.wording import public_title
from data_builders import countries
from data_builders.country_opinions import PEW


def views_section(run: RunAnalysis, prefix: str, *, whole: bool) -> Section | None:
    """The publics that a run was compared with; None: there are none.

    Args:
        run: The analysed run.
        prefix: Of ids and files.
        whole: With the map and the opinions themselves, which do not fit a report of
            many runs.
    """
    views = run.views
    if all(view.headline.estimate is None for view in views.views):
        return None
    blocks: list[Block] = [_table(run, prefix)]
    dots = dots_figure(run, prefix)
    if dots is not None:
        blocks.append(dots)
    if whole:
        blocks += [views_map(run, prefix), opinions_figure(run, prefix)]
    others = len(views.views) - len(views.counted)
    return Section(
        id=f"{prefix}-views",
        title="Whose view of the world",
        lead=f"Of {views.asked} publics with opinions of other countries, "
        f"{len(views.counted)} rate at least {MIN_COUNTRIES} of those ranked here"
        + (f" ({others} more are other samples of theirs)" if others else "")
        + ". Does the model rank countries as they do?",
        blocks=tuple(blocks),
    )


def _resolved(run: RunAnalysis, view: View) -> str:
    """What is resolved about one public, in words."""
    if not view.counted:
        return "another sample"
    words = []
    if view.passes:
        words.append("agrees" if (view.headline.estimate or 0.0) > 0 else "disagrees")
    if view.resolved and run.views.reference is not None:
        name = countries.by_key(run.views.reference.key).name
        words.append(f"{'more' if view.resolved > 0 else 'less'} than {name}")
    if view.public is run.views.reference:
        words.append("the reference")
    return ", ".join(words) or "not resolved"


def _table(run: RunAnalysis, prefix: str) -> Table:
    views = run.views
    reference = (
        "the reference"
        if views.reference is None
        else countries.by_key(views.reference.key).name
    )

    sources = dict.fromkeys(view.public.source for view in reversed(views.views))
    bars = (
        "Intervals resample countries and questions."
        if run.ranks["ci_low"].notna().any()
        else f"No intervals: {run.rank_ci_method.removeprefix('none: ')}."
    )
    return col.table(
        id=f"{prefix}-views-table",
        title=f"{len(views.counted)} publics by agreement with the ranking",
        note=f"{' and '.join(sources)}. rho: rank correlation with percent favourable; "
        f"+ means alike. {bars} Given: GDP per person and population held fixed, from "
        f"{MIN_PARTIAL} countries on. Minus {reference}: the difference of two rhos "
        "over the countries that both rate, which alone says who agrees more. "
        + (f"{limits} " if (limits := limit_words(views)) else "")
        + "The order of the rows says nothing that the last column does not.",
        columns=(
            col.text("Public", lambda view: public_title(view.public)),
            col.count("Countries", lambda view: view.headline.n),
            *col.estimate("rho", lambda view: view.headline),
            col.p("p", lambda view: view.headline.p_value),
            col.holm("p (Holm)", lambda view: view.headline),
            *col.estimate("rho, given", lambda view: view.partial),
            *col.estimate(f"Minus {reference}", lambda view: view.difference),
            col.holm("p (Holm)", lambda view: view.difference),
            col.count("Shared", lambda view: view.difference and view.difference.n),
            col.text("Resolved", lambda view: _resolved(run, view)),
        ),
        rows=views.views,
        frame=views.records,
        sortable=True,
    )


METHOD = Paragraph(
    head="Whose view of the world",
    text="What the people of some forty countries think of others comes from surveys "
    f"of the {PEW}, as GlobalOpinionQA has them (percent favourable of those with an "
    "opinion, surveys of a pair averaged, figures that stand there twice taken once), "
    "and for the United States from Gallup's latest poll. Mean ranks are correlated "
    "with each public's percentages over the countries it rates, at least "
    f"{MIN_COUNTRIES}, its own left out; Holm's correction is over the publics, one "
    "sample a country. The partial correlation takes the ranks of GDP per person and "
    "of population out of both sides. Who agrees more is judged only by the difference "
    "to one reference public over the countries that both rate: its interval resamples "
    "countries and questions for both at once; its test swaps the two publics' ranks "
    "country by country, adjusted by Holm. Over few shared countries no such test can "
    "give a small p: the table says how small, and how many publics could not be "
    "resolved.",
)
CAVEAT = (
    "Opinions of countries come from polls of different and partly unknown years, on "
    "countries that are in the news, each public on its own set of them. Neighbours "
    "are judged alike and publics agree with one another, so agreement with one public "
    "is agreement with many, and does not say where it comes from."
)
