"""What the publics of a run amount to, in plain words, and what they could not."""

from __future__ import annotations

import dataclasses

from analysis.association import MIN_COUNTRIES, PERMUTATIONS
from analysis.countries_axis import RunAnalysis
from analysis.html import Certainty, Finding, join_words, number, p_text
from analysis.records import ALPHA, with_holm
from analysis.views import View, WorldViews
from analysis.wording import estimate_text, is_supported, public_title, publics
from data_builders.countries import by_key


def view_finding(run: RunAnalysis) -> Finding | None:
    """Whose view of the world the ranking shares, and whether that is resolved."""
    views = run.views
    known = [view for view in views.counted if view.headline.estimate is not None]
    if not known:
        return None
    passing = views.passing
    names = join_words(
        [
            public_title(view.public)
            + (" (the other way round)" if (view.headline.estimate or 0.0) < 0 else "")
            for view in passing
        ]
    )
    total = publics(len(known))
    claim = (
        f"{len(passing)} of {total} {'passes' if len(passing) == 1 else 'pass'} Holm's "
        f"correction for rating countries as {run.label} ranks them: {names}; "
        if passing
        else f"None of {total} is shown to rate countries as {run.label} ranks them; "
    )
    if views.extreme:
        how = "most" if views.extreme > 0 else "least"
        claim += f"{_reference(views)} agrees {how}."
    else:
        claim += "who agrees most is not resolved."
    evidence = [
        f"{public_title(view.public)}: {estimate_text(view.headline)} countries, "
        f"p\u00a0(Holm)\u00a0{p_text(view.headline.p_holm)}"
        + (
            ""
            if view.partial.estimate is None
            else "; with GDP per person and population held fixed "
            f"{estimate_text(view.partial)}"
        )
        + "."
        for view in passing
    ]
    first, last = known[0], known[-1]
    evidence.append(
        f"By rho alone the first is {public_title(first.public)}, "
        f"{estimate_text(first.headline)}, and the last {public_title(last.public)}, "
        f"{estimate_text(last.headline)}; they rate different countries, so this order "
        "is no finding."
    )
    evidence.append(difference_words(views))
    certainty: Certainty = "uncertain" if passing else "not shown"
    if passing and views.extreme and all(is_supported(v.headline) for v in passing):
        certainty = "supported"
    return Finding(claim=claim, evidence=tuple(evidence), certainty=certainty)


def _reference(views: WorldViews) -> str:
    assert views.reference is not None
    return by_key(views.reference.key).name


def difference_words(views: WorldViews) -> str:
    """What the paired differences to the reference public resolve, and could not."""
    if views.reference is None:
        return "There is no reference public to compare the others with."
    name, compared = _reference(views), views.compared
    if not compared:
        return f"No public rates enough countries that the reference ({name}) rates."
    scope = (
        f"Of {publics(len(compared))} that can be compared with the reference ({name}) "
        "on the countries both rate, "
    )
    parts = [
        f"{join_words([_difference_text(view) for view in found])} "
        f"agree{'s' if len(found) == 1 else ''} {word}"
        for sign, word in ((1, "more"), (-1, "less"))
        if (found := [view for view in compared if view.resolved == sign])
    ]
    said = (
        f"{join_words(parts)}; the others' order is not resolved."
        if parts
        else "none is shown to agree more or less."
    )
    return f"{scope}{said} {limit_words(views)}"


def smallest_swap_p(n: int) -> float:
    """The least p that `association.swap_p` can give for `n` countries.

    Swapping all countries turns a difference around, so that two of the 2 to the n
    tosses are always as far from zero as the observed one; of random tosses one is.
    """
    return 2 / 2**n if 2**n <= PERMUTATIONS else 1 / (1 + PERMUTATIONS)


def unresolvable(views: WorldViews) -> tuple[View, ...]:
    """The compared publics that no rho of their own could have resolved.

    One is so where the least p that its countries allow, beside the other publics'
    p-values as they are, is not below `ALPHA` after Holm.
    """
    compared = views.compared
    tests = [view.difference for view in compared if view.difference is not None]
    found = []
    for i, view in enumerate(compared):
        best = dataclasses.replace(tests[i], p_value=smallest_swap_p(tests[i].n))
        adjusted = with_holm([*tests[:i], best, *tests[i + 1 :]])[i].p_holm
        if adjusted is None or adjusted >= ALPHA:
            found.append(view)
    return tuple(found)


def limit_words(views: WorldViews) -> str:
    """How small p can be, and what could not be shown whatever the rhos.

    Empty where no public is compared with the reference.
    """
    compared = views.compared
    if not compared:
        return ""
    total = len(compared)
    sizes = [view.difference.n for view in compared if view.difference is not None]
    ends = " and ".join(
        f"{_small(smallest_swap_p(n))} with {n}"
        for n in dict.fromkeys((min(sizes), max(sizes)))
    )
    text = (
        "The fewer countries both rate, the larger the least p that the test can give: "
        f"{ends} here, where Holm's correction needs {_small(ALPHA / total)} of the "
        f"first of {total}. So {len(unresolvable(views))} of the {total} could not be "
        "resolved whatever their rho, the other tests being as they are."
    )
    others = len(views.counted) - 1
    if total < others:
        text += (
            f" {others - total} of the other {publics(others)} share fewer than "
            f"{MIN_COUNTRIES} countries with the reference and cannot be compared, so "
            "that it agrees most or least of all could not be shown."
        )
    return text


def _small(p: float) -> str:
    """A p-value to five decimals, as far as it has them."""
    return number(p, 5).rstrip("0")


def _difference_text(view: View) -> str:
    assert view.difference is not None
    return f"{public_title(view.public)} ({estimate_text(view.difference)})"
