"""The account of how sweeps are analysed, for their report."""

from __future__ import annotations

from analysis.doseresponse_measures import UNEQUAL
from analysis.html import Paragraph
from analysis.wording import percent

FALSE_POSITIVES = {0: (0.025, 0.08), 2: (0.08, 0.22), 4: (0.14, 0.36)}
"""SD of the slopes of seeds over the scatter of checkpoints -> between which shares of
simulated sweeps without a mean slope leave zero out of its interval, with 3 to 5 shares
and 2 to 4 seeds (`tests/test_doseresponse.py`)."""


def _range(ratio: int) -> str:
    low, high = FALSE_POSITIVES[ratio]
    return f"{100 * low:g} to {100 * high:g}%"


def _rate(ratio: int) -> str:
    return (
        "In simulated sweeps of 3 to 5 shares and 2 to 4 seeds without any mean effect "
        f"an interval leaves zero out in {_range(ratio)} of cases"
    )


METHOD = (
    Paragraph(
        head="Slopes",
        text="Of each checkpoint a group's metric is the mean over the units "
        "(questions, "
        "games) that all checkpoints of the sweep have scored. Its slope is that of a "
        "straight line on the share of the training rows that was drawn, per 100 "
        "points. A seed fixes which rows are drawn and how training starts, and is "
        "used at every share. With five seeds or more, each has a level and a slope of "
        "its own, by a mixed model or, where all have the same shares, by a t-test of "
        "their slopes, which comes to the same; degrees of freedom are seeds less one. "
        "With fewer, each seed has a level, and all are taken to have one slope; "
        "degrees of freedom are checkpoints less seeds less one. Where slopes may "
        f"differ after all (p below {percent(UNEQUAL)}, by F), what is found counts as "
        "uncertain.",
    ),
    Paragraph(
        head="Mean over groups",
        text="All groups that are large enough to be tested, each with the same "
        "weight; of ranks there is none, as their mean is fixed. It can show what no "
        "single group does, and says nothing of which groups move. It is one test for "
        "each treatment, apart from those of the groups.",
    ),
    Paragraph(
        head="Two errors",
        text="The squared error is that of the regression, which holds what training "
        "varies by from run to run, plus by how much the slopes of single items "
        "differ more than noise makes them (a jackknife over clusters of items, such "
        "as the questions on one passage, less the scatter about their own lines, at "
        "least zero). The interval is Student's t with Satterthwaite's degrees of "
        f"freedom. {_rate(0)} where seeds have one slope.",
    ),
    Paragraph(
        head="What the intervals cover",
        text="Another training that starts otherwise, and other items of this kind. "
        "With five seeds or more they cover other draws of rows; with fewer they take "
        "the slopes of all seeds as equal, and do not cover draws of rows that change "
        "the slope. They do not cover another base model, other training data, other "
        "lengths of training, or shares outside those that were trained.",
    ),
    Paragraph(
        head="Reference and placebo",
        text="A group's slope less the reference group's is the slope of their "
        "difference at each checkpoint. A placebo arm is trained on rows without the "
        "attribute, which are drawn anew for each share, and shares none with the "
        "treatment. Treatment less placebo is the slope beyond what redrawing rows "
        "does by itself: a difference of two independent slopes, whose variances add. "
        "It is conservative, since the treatment keeps the contents of its rows fixed.",
    ),
    Paragraph(
        head="Gaps",
        text="The highest less the lowest group is above zero in any sample. Where all "
        "groups rise or fall alike it can still move, since shares near one half "
        "scatter most: so the groups must also be shown to have unequal slopes, and p "
        "is the larger of the two.",
    ),
    Paragraph(
        head="Several tests",
        text="Something counts as shown if its p is below 5% after Holm's correction "
        "over all groups and treatment arms of one measure; of means and gaps over the "
        "arms. Of everything else the report says that no change is shown, and how "
        "large a change could have been seen: with a power of 80% at 5%, before that "
        "correction. Whether a straight line fits (a level for each share against the "
        "line, by F) is noted only.",
    ),
)
CAVEATS = (
    "With fewer than five seeds, intervals take the slopes of all seeds as equal and "
    "do not cover draws of rows that change the slope. "
    f"{_rate(0)} where slopes are equal, {_range(2)} where their SD is twice the "
    f"scatter of checkpoints, and {_range(4)} where it is four times that.",
    "All checkpoints are of one base and one mix of data: nothing is said of others.",
    "The share trades rows with the attribute for rows without it: a slope is of "
    "both, more of the one and less of the other, and of whatever comes with the rows, "
    "such as their length and how many tokens a language costs.",
)
