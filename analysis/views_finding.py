"""What the publics of a run amount to, in plain words."""

from __future__ import annotations

from analysis.countries_axis import RunAnalysis
from analysis.html import Certainty, Finding, join_words, p_text
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
    claim += {
        1: f"{_reference(views)} agrees most.",
        0: "who agrees most is not resolved.",
        -1: f"{_reference(views)} agrees least.",
    }[views.extreme]
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
    """What the paired differences to the reference public resolve."""
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
    if not parts:
        return f"{scope}none is shown to agree more or less."
    return f"{scope}{join_words(parts)}; the others' order is not resolved."


def _difference_text(view: View) -> str:
    assert view.difference is not None
    return f"{public_title(view.public)} ({estimate_text(view.difference)})"
