"""The account of how sweeps are analysed, for their report."""

from __future__ import annotations

from analysis.html import Paragraph

METHOD = (
    Paragraph(
        head="Slopes",
        text="Of each checkpoint a group's metric is the mean over the units "
        "(questions, "
        "games) that all checkpoints of the sweep have scored. Its slope is that of a "
        "straight line on the share of the training rows, per 100 points. A seed "
        "fixes which rows are drawn and how training starts, and is used at every "
        "share: it is a block. With five seeds or more, blocks are random effects of "
        "a mixed model, else each has a level of its own; where every seed has every "
        "share, both give the same slope. Degrees of freedom are checkpoints less "
        "seeds less one, so that few checkpoints have wide intervals.",
    ),
    Paragraph(
        head="Two errors",
        text="The squared error is that of the regression, which holds what training "
        "varies by from run to run, plus by how much the slopes of single items "
        "differ more than noise makes them (a jackknife over clusters of items, such "
        "as the questions on one passage, less the scatter about their own lines, at "
        "least zero). The interval is Student's t with Satterthwaite's degrees of "
        "freedom. In simulated sweeps of 6 to 24 checkpoints without any effect it "
        "leaves zero out in 3 to 7% of cases; with the larger of the two errors as a "
        "lower bound, as is usual, six checkpoints would do so in 1 to 3%.",
    ),
    Paragraph(
        head="What the intervals cover",
        text="Another training with other draws of rows and other seeds, and other "
        "items "
        "of this kind. They do not cover another base model, other training data, "
        "other lengths of training, or shares outside those that were trained.",
    ),
    Paragraph(
        head="Reference and placebo",
        text="A group's slope less the reference group's is the slope of their "
        "difference "
        "at each checkpoint. A placebo arm is trained on as many rows of which the "
        "share is a label without meaning. A slope less the placebo's is the estimate "
        "of what the attribute itself does: of the difference at the same share and "
        "seed, where both arms have the same ones.",
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
        "over "
        "all groups and treatment arms of one measure. Of everything else the report "
        "says that no change is shown, and how large a change could have been seen: "
        "with a power of 80% at 5%, before that correction. Whether a straight line "
        "fits (a level for each share against the line, by F), and whether seeds have "
        "one slope, is noted only.",
    ),
)
CAVEATS = (
    "A seed is taken to shift levels and not slopes. Where the slopes of seeds differ, "
    "as the draw of rows may make them, intervals are too narrow: an SD of 6 points "
    "between seeds makes them leave zero out in 11 to 14% of simulated sweeps without "
    "a mean effect.",
    "All checkpoints are of one base and one mix of data: nothing is said of others.",
    "The share trades rows with the attribute for rows without it: a slope is of "
    "both, more of the one and less of the other.",
)
