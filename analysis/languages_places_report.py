"""Whether a model likes a place among the letters: finding and table."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.html import Finding, Table, join_words, number_cell, p_cell, text_cell
from analysis.languages_analysis import LanguageRun
from analysis.languages_places import letter, place_group
from analysis.languages_tables import around, frame_of, value
from analysis.languages_words import languages
from analysis.records import Record
from analysis.wording import difference_text, percent, questions, side_of


def place_finding(run: LanguageRun) -> Finding | None:
    """Does the model like a place? None: no letters, or too few questions."""
    if not run.answers.crossed:
        return None
    pooled: dict[int, Record] = {}
    while (
        one := run.find("place_share_difference", place_group(None, len(pooled)))
    ) is not None:
        pooled[len(pooled)] = one
    if all(one.p_value is None for one in pooled.values()):
        return None
    sides = {place: side_of(one) for place, one in pooled.items()}
    liked = [letter(place) for place, side in sides.items() if side > 0]
    shunned = [letter(place) for place, side in sides.items() if side < 0]
    several = len(run.answers.languages) > 1
    parts = [
        f"{join_words(letters)} {often} often"
        for letters, often in ((liked, "more"), (shunned, "less"))
        if letters
    ]
    if parts:
        claim = f"{run.label} picks {join_words(parts)} than right answers stand there."
    else:
        claim = (
            f"That {run.label} likes a place among the letters, whatever stands there, "
            "is not shown."
        )
    evidence = [
        f"{letter(place)} is picked for "
        f"{percent(run.by_name['place_share', one.group].estimate)} of "
        f"{questions(one.n)}{' in all languages' if several else ''} and right for "
        f"{percent(run.by_name['place_share_of_answers', one.group].estimate)}, a "
        f"difference of {difference_text(one)}."
        for place, one in pooled.items()
        if sides[place] or not (liked or shunned)
    ]
    if several:
        evidence += _places_by_language(run, list(pooled))
    return Finding(
        claim=claim,
        evidence=tuple(evidence),
        certainty="supported" if liked or shunned else "not shown",
    )


def _places_by_language(run: LanguageRun, places: Sequence[int]) -> tuple[str, ...]:
    """In how many languages each place is liked."""
    found = []
    for place in places:
        liked = [
            code
            for code in run.answers.languages
            if (one := run.find("place_share_difference", place_group(code, place)))
            is not None
            and side_of(one) > 0
        ]
        if liked:
            found.append(f"for {letter(place)} in {len(liked)}")
    total = languages(len(run.answers.languages))
    if not found:
        return (f"Of {total}, none shows a liking by itself.",)
    return (f"A liking is shown {join_words(found)} of {total} taken one by one.",)


def place_table(run: LanguageRun, prefix: str) -> Table | None:
    """How often each letter is picked, and how often it is right."""
    if not run.answers.crossed:
        return None
    groups: list[str | None] = [*run.ordered()]
    groups = [None, *groups] if len(groups) > 1 else groups
    rows, records = [], []
    for code in groups:
        for place in range(26):
            group = place_group(code, place)
            chosen = run.find("place_share", group)
            if chosen is None:
                break
            held = run.by_name["place_share_of_answers", group]
            gap = run.by_name["place_share_difference", group]
            records += [chosen, held, gap]
            name = "All languages" if code is None else run.answers.name(code)
            side = side_of(gap)
            rows.append(
                (
                    text_cell(name),
                    text_cell(letter(place)),
                    number_cell(chosen.n, 0),
                    number_cell(round((chosen.estimate or 0.0) * chosen.n), 0),
                    number_cell(round((held.estimate or 0.0) * held.n), 0),
                    value(chosen),
                    value(held),
                    value(gap),
                    around(gap),
                    p_cell(gap.p_holm),
                    text_cell(
                        "not\u00a0tested"
                        if gap.p_value is None
                        else {1: "liked", -1: "shunned", 0: "not\u00a0shown"}[side]
                    ),
                )
            )
    if not rows:
        return None
    return Table(
        id=f"{prefix}-places",
        title="How often each place is chosen",
        note="Questions for which a letter is picked and for which it is right, the "
        "same questions. The difference is in points, with a 95% interval and "
        "Student's t, clustered by passage; Holm's over models, languages and places, "
        "of all languages together over models and places.",
        header=(
            "Language",
            "Place",
            "Questions",
            "Picked",
            "Right",
            "Picked, %",
            "Right, %",
            "Difference",
            "95% interval",
            "p (Holm)",
            "Result",
        ),
        rows=tuple(rows),
        frame=frame_of(records),
        folded=True,
        sortable=True,
    )
