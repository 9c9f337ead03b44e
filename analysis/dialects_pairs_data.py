"""A run of texts in several dialects, laid out as rows x forms.

A row is one content: a prompt with a chosen and, in preference pairs, a rejected
answer, each written in every dialect. A score stands in a cell (dialect of the prompt,
role of the answer, dialect of the answer).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import LENGTH_UNITS, Run, clusters, item_meta, length_column
from analysis.resample import Floats
from probe.types import DataError, UsageError

CHOSEN, REJECTED = "chosen", "rejected"

Cell = tuple[str | None, str, str]
"""(dialect of the prompt, or None where it is not known; role; dialect of the text)."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PairTable:
    """A run's scores by row and cell; R rows."""

    run: Run
    label: str
    """The model's name, made unique among the runs analysed together."""
    reference: str
    """The dialect that others are compared with."""
    dialects: tuple[str, ...]
    """The others, in the order of the items; at least one."""
    rows: tuple[str, ...]
    clusters: NDArray[np.str_]
    """Shape (R,): rows that share a prompt have the same label."""
    cluster: str
    """`prompt`, or `row` where the prompts' texts are not known."""
    subsets: tuple[str | None, ...]
    """R values of the column `subset`; None: not given."""
    roles: tuple[str, ...]
    scores: Mapping[Cell, Floats]
    """Shape (R,) each; NaN = unscored, or not asked."""
    lengths: Mapping[Cell, Floats]
    """Shape (R,) each: length of the answer."""
    length_unit: str | None
    """`tokens`, or `characters` where the run has no token counts; None: the texts
    are not known either."""
    same_text: Mapping[tuple[str, str], Flags]
    """(role, dialect) -> shape (R,): the text equals the reference dialect's."""
    same_prompt: Mapping[str, Flags]
    """Dialect -> shape (R,): the prompt equals the reference dialect's."""
    texts_known: bool
    """False: whether a text equals the reference's is not known."""
    unscored: int
    """Stored texts without a score."""

    def score(self, prompt: str | None, role: str, dialect: str) -> Floats:
        """Scores of one cell; all NaN where nothing of the kind was asked."""
        missing = np.full(len(self.rows), np.nan)
        return self.scores.get((prompt, role, dialect), missing)

    def same(self, role: str, dialect: str) -> Flags:
        """Rows whose text of this role equals the reference dialect's."""
        return self.same_text.get((role, dialect), np.zeros(len(self.rows), np.bool_))

    def asked_same(self, dialect: str) -> Flags:
        """Rows whose prompt in this dialect equals the reference dialect's."""
        return self.same_prompt.get(dialect, np.zeros(len(self.rows), np.bool_))


def pair_table(run: Run, label: str, reference: str | None) -> PairTable:
    """Lays a run out as rows x cells.

    Args:
        run: A run that was read from its folder.
        label: What the report calls its model.
        reference: Dialect to compare with; None: the one that the items declare.

    Raises:
        DataError: A column is missing or has gaps, a text stands twice, there is only
            one dialect, or nothing has a score.
        UsageError: The reference is none of the run's dialects, or none is declared.
        StoreError: The run's items cannot be read.
    """
    frame = _checked(run)
    meta = item_meta(run)
    declared = sorted(
        {str(one["reference"]) for one in meta.values() if "reference" in one}
    )
    dialects = _dialects(frame, meta)
    chosen = _reference(run, reference, declared, dialects)
    rows = tuple(dict.fromkeys(frame["row"]))
    scored = np.isfinite(frame["score"])
    length = length_column(run, frame[scored])
    prompts = frame[frame["prompt_dialect"].isin([chosen])]
    known = prompts[prompts["prompt"] != ""].drop_duplicates("row")
    asked = dict(zip(known["row"], known["prompt"], strict=True))
    subsets = dict(zip(frame["row"], frame["subset"], strict=True))
    same_text, same_prompt, texts_known = _same(frame, rows, chosen, declared)
    return PairTable(
        run=run,
        label=label,
        reference=chosen,
        dialects=tuple(one for one in dialects if one != chosen),
        rows=rows,
        clusters=np.array(
            clusters(run, rows, [asked.get(row, "") for row in rows]), dtype=np.str_
        ),
        cluster="cluster" if run.near else "prompt" if asked else "row",
        subsets=tuple(subsets[row] for row in rows),
        roles=tuple(sorted(set(frame["role"]))),
        scores=_cells(frame, rows, "score"),
        lengths={} if length is None else _cells(frame, rows, length),
        length_unit=None if length is None else LENGTH_UNITS[length],
        same_text=same_text,
        same_prompt=same_prompt,
        texts_known=texts_known,
        unscored=int((~scored).sum()),
    )


def _checked(run: Run) -> pd.DataFrame:
    """The candidates with a role and a dialect, and every column there may be."""
    frame = run.frame
    for column in ("row", "role", "dialect"):
        if column not in frame.columns:
            raise DataError(
                f"{run.path} has no column {column}",
                "Texts in several dialects have the item column row, and candidates "
                "told apart by the columns role and dialect",
                "Name a run of dialect_pairs, or add the column to your items",
            )
        if frame[column].isna().any():
            raise DataError(
                f"{run.path}: {int(frame[column].isna().sum())} texts have no {column}",
                "Every text belongs to a row and has a role and a dialect",
                f"Fill the column {column} of the items",
            )
    if not np.isfinite(frame["score"]).any():
        raise DataError(
            f"{run.path} has no text with a score",
            "Dialects are compared within rows of scored texts",
            "Run the rm-probe score command that began the run once more: it resumes",
        )
    optional = ("prompt_dialect", "prompt_same", "same", "subset")
    absent = [column for column in optional if column not in frame.columns]
    frame = frame.assign(**dict.fromkeys(absent, None))
    named = ["row", "role", "dialect", *optional]
    # None and not NaN where nothing is: a cell's key must equal itself.
    columns = {
        name: pd.Series(
            [None if pd.isna(value) else str(value) for value in frame[name]],
            index=frame.index,
            dtype=object,
        )
        for name in named
    }
    frame = frame.assign(**columns)
    for column in ("prompt", "answer"):
        frame[column] = frame[column].fillna("").astype(str)
    twice = frame.duplicated(["row", "prompt_dialect", "role", "dialect"])
    if twice.any():
        first = frame[twice].iloc[0]
        raise DataError(
            f"{run.path}: row {first['row']} has its {first['role']} text in "
            f"{first['dialect']} twice under one prompt",
            "A row has one text of each role and dialect",
            "Give each content a row of its own",
        )
    return frame


def _dialects(
    frame: pd.DataFrame, meta: Mapping[str, Mapping[str, object]]
) -> tuple[str, ...]:
    """Dialects of the texts, in the order that the items declare."""
    here = dict.fromkeys(frame["dialect"])
    order: dict[str, None] = {}
    for one in meta.values():
        listed = one.get("dialects")
        if isinstance(listed, list):
            order |= dict.fromkeys(str(name) for name in listed if name in here)
    return tuple(order | here)


def _reference(
    run: Run, wanted: str | None, declared: Sequence[str], dialects: Sequence[str]
) -> str:
    names = ", ".join(dialects)
    if len(dialects) < 2:
        raise DataError(
            f"{run.path}, column dialect: every text is in {names}",
            "A comparison needs the same content in two dialects or more",
            "Score or import the texts of another dialect with them",
        )
    if wanted is None and len(declared) != 1:
        raise UsageError(
            f"{run.path} declares {len(declared)} reference dialects",
            f"Its dialects are {names}, and one is what the others are compared with",
            "Name it with --reference-dialect",
        )
    chosen = declared[0] if wanted is None else wanted
    if chosen not in dialects:
        raise UsageError(
            f"{run.path} has no dialect {chosen}",
            f"Its dialects are {names}",
            "Name one of these with --reference-dialect",
        )
    return chosen


def _cells(
    frame: pd.DataFrame, rows: Sequence[str], column: str
) -> Mapping[Cell, Floats]:
    place = {row: i for i, row in enumerate(rows)}
    found: dict[Cell, Floats] = {}
    columns = ("row", "prompt_dialect", "role", "dialect", column)
    for row, prompt, role, dialect, value in zip(
        *(frame[name] for name in columns), strict=True
    ):
        cell = (prompt, role, dialect)
        if cell not in found:
            found[cell] = np.full(len(rows), np.nan)
        found[cell][place[row]] = value if np.isfinite(value) else np.nan
    return found


def _same(
    frame: pd.DataFrame, rows: Sequence[str], reference: str, declared: Sequence[str]
) -> tuple[Mapping[tuple[str, str], Flags], Mapping[str, Flags], bool]:
    """Where texts, and prompts, equal the reference's.

    The items say so of the reference that they declare; against another one, texts are
    compared.
    """
    place = {row: i for i, row in enumerate(rows)}
    texts: dict[tuple[str, str], Flags] = {}
    prompts: dict[str, Flags] = {}
    by_flag = list(declared) == [reference]
    known = frame["same"].notna() if by_flag else frame["answer"] != ""
    first = dict(
        zip(
            zip(frame["row"], frame["role"], frame["dialect"], strict=True),
            frame["answer"],
            strict=True,
        )
    )
    asked = dict(
        zip(
            zip(frame["row"], frame["prompt_dialect"], strict=True),
            frame["prompt"],
            strict=True,
        )
    )
    columns = ("row", "role", "dialect", "prompt_dialect", "same", "prompt_same")
    for row, role, dialect, prompt, same, prompt_same in zip(
        *(frame[name] for name in columns), strict=True
    ):
        if by_flag:
            equal, equal_prompt = same == "yes", prompt_same == "yes"
        else:
            text, question = first[row, role, dialect], asked[row, prompt]
            equal = text != "" and text == first.get((row, role, reference))
            equal_prompt = question != "" and question == asked.get((row, reference))
        flags = texts.setdefault((role, dialect), np.zeros(len(rows), np.bool_))
        flags[place[row]] = equal
        if prompt is not None:
            asked_flags = prompts.setdefault(prompt, np.zeros(len(rows), np.bool_))
            asked_flags[place[row]] = equal_prompt
    return texts, prompts, bool(known.all())
