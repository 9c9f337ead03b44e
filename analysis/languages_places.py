"""Does a model like a place, such as the first letter, whatever stands there?

Estimand: the share of questions in which the letter of a place is chosen, less the
share in which that place holds the right answer. Both are of the same questions, so
that a difference is one of the model; a model that knows every answer has none. Unit:
a question, clustered by passage. Holm over models, languages and places; over all
languages together, over models and places.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.languages_covariates import COUNTED
from analysis.languages_records import Maker
from analysis.paired import Interval, clustered_share
from analysis.records import Record

ALL = "all languages"


def letter(place: int) -> str:
    """The letter of a place, the first being A."""
    return chr(ord("A") + place)


def place_group(code: str | None, place: int) -> str:
    """`group` of the records of a place: ``eng_Latn A`` or ``all languages A``."""
    return f"{code or ALL} {letter(place)}"


def n_places(maker: Maker) -> int:
    """Places of the run's letters."""
    frame = maker.answers.frame
    return 1 + int(np.nanmax(frame[["chosen", "answer"]].to_numpy()))


def place_records(maker: Maker) -> Iterator[Record]:
    """Of each language, and of all together: chosen, right, and their difference."""
    answers = maker.answers
    chosen, right = answers.number("chosen"), answers.number("answer")
    known = np.isfinite(chosen)
    for code in (None, *answers.languages):
        rows = known if code is None else known & answers.of(code)
        if not rows.any():
            continue
        for place in range(n_places(maker)):
            picked, held = chosen == place, right == place
            group = place_group(code, place)
            values = picked[rows].astype(np.float64)
            yield maker.record(
                "place_share",
                clustered_share(values, answers.cluster[rows]),
                rows,
                group=group,
                method=maker.wilson,
            )
            yield maker.record(
                "place_share_of_answers",
                Interval(estimate=float(held[rows].mean())),
                rows,
                group=group,
                missing=COUNTED,
            )
            gap = picked.astype(np.float64) - held
            test = maker.test(gap, rows)
            yield maker.tested(
                "place_share_difference",
                test,
                rows,
                group=group,
                reference="share of right answers",
                family="models, languages and places"
                if code is not None
                else "models and places, all languages",
                missing=maker.why(test, rows, fewest=int(rows.sum())),
            )
