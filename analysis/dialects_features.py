"""Dialect minimal pairs as a part of a report."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.dialects_features_across import (
    across_findings,
    across_table,
    heat_figure,
)
from analysis.dialects_features_analysis import (
    FeatureAnalysis,
    FeatureRun,
    analyse_features,
)
from analysis.dialects_features_figures import (
    forest_figure,
    variety_figure,
)
from analysis.dialects_features_findings import (
    headline_finding,
    run_findings,
)
from analysis.dialects_features_tables import (
    effect_table,
    example_table,
    feature_table,
    variety_table,
)
from analysis.dialects_features_words import features, frames, pairs
from analysis.html import Block, Paragraph, Section
from analysis.load import Run
from analysis.part import ProbePart, RunPart, Step, Wanted, models_section


def features_part(
    runs: Sequence[Run], wanted: Wanted, *, id: str, title: str, step: Step
) -> ProbePart:
    """Analyses and lays out runs of one probe of dialect minimal pairs.

    Args:
        runs: Runs of one probe version, read from their folders.
        wanted: Not read: a pair's reference is its standard form.
        id: Of the section; prefix of the ids and files below it.
        title: Of the section.
        step: Called twice a run, for a progress bar.

    Raises:
        DataError: A run has no minimal pairs, or none with scores.
        StoreError: A run's items or scores cannot be read.
    """
    analysis = analyse_features(runs, step=step)
    return ProbePart(
        section=features_section(analysis, id=id, title=title, step=step),
        runs=tuple(
            RunPart(
                path=run.table.run.path,
                label=run.label,
                probe=run.table.run.manifest.probe,
                items=sum(run.table.frames),
                groups=len(run.features),
                findings=run_findings(run),
                short=headline_finding(run),
                headline=run.overall.in_sd,
                headline_name="standard \u2212 dialect, mean over "
                f"{features(len(run.features))} (SD of scores)",
            )
            for run in analysis.runs
        ),
        across=across_findings(analysis),
        records=analysis.records,
        subject="Which of "
        f"{features(max(len(run.features) for run in analysis.runs))} of English "
        "dialects cost or gain score in otherwise equal sentences",
    )


def features_section(
    analysis: FeatureAnalysis, *, id: str, title: str, step: Step
) -> Section:
    """The section: across models first, then each run; see `features_part`."""
    runs = analysis.runs
    return models_section(
        runs,
        lead=_lead,
        findings=run_findings,
        blocks=_blocks,
        id=id,
        title=title,
        did="scored the same minimal pairs",
        across=lambda: (across_table(runs, id), heat_figure(runs, id)),
        method=METHOD,
        caveats=CAVEATS,
        step=step,
    )


def _lead(run: FeatureRun) -> str:
    table = run.table
    return (
        f"{pairs(len(table.standard))} of sentences from {frames(sum(table.frames))}, "
        f"which differ in one of {features(len(table.features))} and in nothing else. "
        f"Every number is the {table.unit} of the standard form less that of the "
        "dialect form: positive means that the standard form is preferred."
    )


def _blocks(run: FeatureRun, prefix: str) -> tuple[Block, ...]:
    found: list[Block | None] = [
        forest_figure(run, prefix),
        feature_table(run, prefix),
        effect_table(run, prefix),
        example_table(run, prefix),
        variety_figure(run, prefix),
        variety_table(run, prefix),
    ]
    return tuple(block for block in found if block is not None)


METHOD = (
    Paragraph(
        head="Minimal pairs",
        text="Two sentences differ in one feature; their scores under the same prompt "
        "are compared within the pair. A feature is tested by Student's t on its mean "
        "difference, with a standard error clustered by sentence frame, and named "
        "(penalised or favoured) if p is below 5% after Holm over all features and "
        "models. Wilcoxon's signed-rank test of the frames' means stands beside, in a "
        "family of its own. The share of pairs in which the standard form scores "
        "higher has Wilson's interval of the effective number of pairs: as many "
        "independent ones as would have the mean difference's standard error by frame.",
    ),
    Paragraph(
        head="Over features",
        text="Each feature counts the same, however many pairs it has; the interval "
        "and the t-test are over features, so that they speak of features like these. "
        "By variety the features are held fixed and frames are resampled within them.",
    ),
    Paragraph(
        head="Length of minimal pairs",
        text="Most features add or drop a word. Within such a feature length cannot "
        "be told from the feature. Over features, mean difference is regressed on "
        "mean difference in length (least squares with an intercept, HC3 standard "
        "error); what this slope does not predict is shown as observed \u2212 "
        "predicted, and not tested. For policies the score is the mean "
        "log-probability per token, and the sum stands beside it.",
    ),
)

CAVEATS = (
    "All pairs of a feature insert, drop or change the same few words, so that even a "
    "network with random weights prefers one side consistently. A named feature says "
    "that the model reacts to these words; it does not say that the model knows the "
    "dialect, nor what its speakers would meet with in whole texts.",
    "A feature's result holds for the frames of this probe: short sentences of our "
    "own, each changed in one place. Speakers use several features together, and not "
    "in every sentence.",
    "For a policy the score is how probable it finds the words. What is rare in its "
    "training text is improbable; that is no judgement of who speaks so.",
    "A mean log-probability per token rises or falls when a word is added, whatever "
    "the word says about dialect.",
)
