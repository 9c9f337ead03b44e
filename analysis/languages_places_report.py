"""Whether a model likes a place among the letters: finding and table."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import columns as col
from analysis.html import Finding, Table, join_words
from analysis.languages_analysis import LanguageRun
from analysis.languages_places import letter, place_group
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
    rows = [
        (
            "All languages" if code is None else run.answers.name(code),
            place,
            chosen,
            run.by_name["place_share_of_answers", chosen.group],
            run.by_name["place_share_difference", chosen.group],
        )
        for code in groups
        for place in range(26)
        if (chosen := run.find("place_share", place_group(code, place))) is not None
    ]
    return col.table(
        id=f"{prefix}-places",
        title="How often each place is chosen",
        note="Questions for which a letter is picked and for which it is right, the "
        "same questions. The difference is in points, with a 95% interval and "
        "Student's t, clustered by passage; Holm's over models, languages and places, "
        "of all languages together over models and places.",
        columns=[
            col.text("Language", lambda row: row[0]),
            col.text("Place", lambda row: letter(row[1])),
            col.count("Questions", lambda row: row[2].n),
            col.count("Picked", lambda row: _counted(row[2], row[2].n)),
            col.count("Right", lambda row: _counted(row[3], row[2].n)),
            col.value("Picked, %", lambda row: row[2], 1, 100),
            col.value("Right, %", lambda row: row[3], 1, 100),
            *col.estimate("Difference", lambda row: row[4], 1, 100),
            col.holm("p (Holm)", lambda row: row[4]),
            col.text("Result", lambda row: _result(row[4])),
        ],
        rows=rows,
        frame=[one for row in rows for one in row[2:]],
        folded=True,
        sortable=True,
    )


def _counted(share: Record, n: int) -> int:
    return round((share.estimate or 0.0) * n)


def _result(gap: Record) -> str:
    if gap.p_value is None:
        return "not\u00a0tested"
    return {1: "liked", -1: "shunned", 0: "not\u00a0shown"}[side_of(gap)]
