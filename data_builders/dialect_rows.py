"""The same content in several dialects: what can be compared, and the items it becomes.

A row has a prompt, a chosen and mostly a rejected answer in each dialect; one dialect,
the reference, is what the others are compared with: `standard` where there is such a
one, else the first.

A row becomes an item for every dialect its prompt is put in. Under the reference's
prompt stand the chosen answer in each dialect and the reference's rejected one; under
another dialect's prompt both answers in that dialect and the reference's chosen one.
So every text is scored once under a prompt, and each comparison in which only the
prompt, only the answer, or both change their dialect can be read off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from probe.types import Candidate, DataError, GroupValue, Item, Message

STANDARD = "standard"
ITEM_COLUMNS = ("row", "prompt_dialect", "prompt_same", "subset")
CANDIDATE_COLUMNS = ("role", "dialect", "same")

DIALECT_MISSING = "dialect missing for the row"
NO_TEXT = "no text"
REJECTED_MISSING = "rejected answer missing in the dialect"
REFERENCE_MISSING = "row without the reference dialect"
ALONE = "row in one dialect only"


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A row in one dialect."""

    prompt: str
    chosen: str
    rejected: str | None
    groups: Mapping[str, GroupValue] = field(default_factory=dict)
    """The file's other columns."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """All rows of a table, before what cannot be compared is left out."""

    rows: Mapping[str, Mapping[str, Texts | None]]
    """Id -> dialect -> its texts; None: the row has a blank one."""
    dialects: tuple[str, ...]
    """The reference first, the others in the file's order."""
    columns: tuple[str, ...] = ()
    """Group columns."""

    @property
    def reference(self) -> str:
        """The dialect that others are compared with."""
        return self.dialects[0]


@dataclass(frozen=True, kw_only=True)
class Usable:
    """What can be compared, and what was left out."""

    rows: Mapping[str, Mapping[str, Texts]]
    """Each with the reference and at least one other dialect."""
    dialects: tuple[str, ...]
    dropped: Counter[str]


def ordered(dialects: Iterable[str]) -> tuple[str, ...]:
    """Dialects with the reference first: the standard one, else the file's first."""
    found = list(dialects)
    reference = STANDARD if STANDARD in found else found[0]
    return (reference, *(one for one in found if one != reference))


def check_dialect(name: str, where: str) -> str:
    """A dialect's name without white space at its ends.

    Raises:
        DataError: It cannot be a part of an item's id.
    """
    if "/" in name:
        raise DataError(
            f"{where}, column 'dialect': {name!r}",
            "A dialect's name has no '/'",
            "Rename the dialect",
        )
    return name.strip()


def compare(found: Rows, where: str) -> Usable:
    """Leaves out, counted, what cannot be compared.

    Args:
        found: From a reader.
        where: The file, for errors.

    Returns:
        The rows that have the reference and another dialect. A dialect whose texts are
        the reference's in every row is left out of all: nothing could be seen of it.

    Raises:
        DataError: There is one dialect only, or one without a row in common with the
            reference.
    """
    reference = found.reference
    if len(found.dialects) < 2:
        raise DataError(
            f"{where} has one dialect only, '{reference}'",
            "Dialects are compared with one another",
            "Add rows in another dialect, or remove the column 'dialect' to read plain "
            "preference pairs",
        )
    lost: Counter[str] = Counter()
    rows: dict[str, dict[str, Texts]] = {}
    for id, row in found.rows.items():
        whole = {dialect: texts for dialect, texts in row.items() if texts is not None}
        lost[NO_TEXT] += len(row) - len(whole)
        if reference not in row:
            lost[REFERENCE_MISSING] += 1
        elif reference in whole:
            lost[DIALECT_MISSING] += len(found.dialects) - len(row)
            rows[id] = whole
    _check_common(found, rows, where)
    alike = {
        dialect: [
            _same(row[dialect], row[reference])
            for row in rows.values()
            if dialect in row
        ]
        for dialect in found.dialects[1:]
    }
    kept = [dialect for dialect in found.dialects[1:] if not all(alike[dialect])]
    for dialect in found.dialects[1:]:
        if dialect not in kept:
            lost[f"{dialect} identical to {reference} everywhere"] += len(
                alike[dialect]
            )
    if not kept:
        raise DataError(
            f"{where}: the texts of {', '.join(found.dialects[1:])} are those of "
            f"'{reference}' in every row",
            "Dialects that are compared differ in some rows",
            "Check that the columns hold what they should",
        )
    used: dict[str, dict[str, Texts]] = {}
    for id, row in rows.items():
        here = {one: row[one] for one in (reference, *kept) if one in row}
        if len(here) < 2:
            lost[ALONE] += 1
            continue
        if any(texts.rejected for texts in here.values()):
            lost[REJECTED_MISSING] += sum(not t.rejected for t in here.values())
        used[id] = here
    return Usable(rows=used, dialects=(reference, *kept), dropped=+lost)


def _check_common(
    found: Rows, rows: Mapping[str, Mapping[str, Texts]], where: str
) -> None:
    for dialect in found.dialects[1:]:
        if not any(dialect in row for row in rows.values()):
            raise DataError(
                f"{where}: no row has texts both in '{dialect}' and in "
                f"'{found.reference}'",
                "Each dialect is compared with the reference in the same rows",
                "Give the rows of one content the same id",
            )


def _same(texts: Texts, reference: Texts) -> bool:
    return (texts.prompt, texts.chosen, texts.rejected) == (
        reference.prompt,
        reference.chosen,
        reference.rejected,
    )


def items(
    usable: Usable, of_item: Sequence[str] = (), of_candidate: Sequence[str] = ()
) -> Iterator[Item]:
    """Yields a row's items together, the reference's prompt first.

    Args:
        usable: From `compare`.
        of_item: Further group columns of items.
        of_candidate: Further group columns of candidates.
    """
    reference = usable.dialects[0]
    meta = {"reference": reference, "dialects": list(usable.dialects)}
    for id, row in usable.rows.items():
        for prompt_dialect in row:
            own = row[prompt_dialect]
            if prompt_dialect == reference:
                asked = [("chosen", dialect) for dialect in row]
                asked.append(("rejected", reference))
            else:
                asked = [
                    ("chosen", prompt_dialect),
                    ("rejected", prompt_dialect),
                    ("chosen", reference),
                ]
            yield Item(
                id=f"{id}/{prompt_dialect}",
                messages=(Message(role="user", content=own.prompt),),
                candidates=tuple(_candidates(row, asked, reference, of_candidate)),
                groups={
                    "row": id,
                    "prompt_dialect": prompt_dialect,
                    "prompt_same": _yes(own.prompt == row[reference].prompt),
                    "subset": own.groups.get("subset"),
                    **{name: own.groups[name] for name in of_item},
                },
                meta=meta,
            )


def _candidates(
    row: Mapping[str, Texts],
    asked: Sequence[tuple[str, str]],
    reference: str,
    of_candidate: Sequence[str],
) -> Iterator[Candidate]:
    for role, dialect in asked:
        texts = row[dialect]
        answer = texts.chosen if role == "chosen" else texts.rejected
        of_reference = row[reference]
        compared = of_reference.chosen if role == "chosen" else of_reference.rejected
        if answer is None:
            continue
        yield Candidate(
            id=f"{role}-{dialect}",
            answer=answer,
            groups={
                "role": role,
                "dialect": dialect,
                "same": _yes(answer == compared),
                **{name: texts.groups[name] for name in of_candidate},
            },
        )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
