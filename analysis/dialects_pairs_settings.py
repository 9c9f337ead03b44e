"""The settings in which a dialect is held against the reference, as views of scores.

With S(p, role, d) the score of a role's text in dialect d under the prompt in dialect
p, and ref the reference dialect, the differences are (positive = reference preferred):

- answer: S(ref, chosen, ref) - S(ref, chosen, d), the answer varied;
- prompt: S(ref, chosen, ref) - S(d, chosen, ref), the prompt varied;
- asker: S(d, chosen, ref) - S(d, chosen, d), asked in d;
- asker_shift: the difference of asker less that of answer, that is, what being asked
  in d adds to the reference's lead (negative: it goes along with the asker);
- matched: S(ref, role, ref) - S(d, role, d), prompt and answer varied together;
- recorded: S(role, ref) - S(role, d), where the prompt's dialect is not known.

Rows in which what is varied is the same text in both dialects say nothing of dialect:
they are counted and left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.dialects_pairs_data import CHOSEN, Flags, PairTable
from analysis.resample import Floats


@dataclass(frozen=True, kw_only=True)
class Forms:
    """Both forms of every row; shape (R,) each."""

    reference: Floats
    other: Floats
    identical: Flags
    """What is varied is the same text."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way of varying the dialect."""

    key: str
    """Of the records: `analysis` is `dialect_<key>`."""
    title: str
    """Of panels and table rows."""
    varied: str
    """What is written in the reference and in the dialect."""
    forms: Callable[[PairTable, str], Forms]

    @property
    def analysis(self) -> str:
        """What records call it."""
        return f"dialect_{self.key}"


def _answer(table: PairTable, dialect: str) -> Forms:
    ref = table.reference
    return Forms(
        reference=table.score(ref, CHOSEN, ref),
        other=table.score(ref, CHOSEN, dialect),
        identical=table.same(CHOSEN, dialect),
    )


def _prompt(table: PairTable, dialect: str) -> Forms:
    ref = table.reference
    return Forms(
        reference=table.score(ref, CHOSEN, ref),
        other=table.score(dialect, CHOSEN, ref),
        identical=table.asked_same(dialect),
    )


def _asker(table: PairTable, dialect: str) -> Forms:
    # A prompt that is the same in both dialects is no question asked in the dialect.
    return Forms(
        reference=table.score(dialect, CHOSEN, table.reference),
        other=table.score(dialect, CHOSEN, dialect),
        identical=table.same(CHOSEN, dialect) | table.asked_same(dialect),
    )


def _shift(table: PairTable, dialect: str) -> Forms:
    asked, plain = _asker(table, dialect), _answer(table, dialect)
    return Forms(
        reference=asked.reference - asked.other,
        other=plain.reference - plain.other,
        identical=asked.identical,
    )


def _matched(role: str) -> Callable[[PairTable, str], Forms]:
    def forms(table: PairTable, dialect: str) -> Forms:
        ref = table.reference
        return Forms(
            reference=table.score(ref, role, ref),
            other=table.score(dialect, role, dialect),
            identical=table.same(role, dialect) & table.asked_same(dialect),
        )

    return forms


def _recorded(role: str) -> Callable[[PairTable, str], Forms]:
    def forms(table: PairTable, dialect: str) -> Forms:
        return Forms(
            reference=table.score(None, role, table.reference),
            other=table.score(None, role, dialect),
            identical=table.same(role, dialect),
        )

    return forms


SHIFT = Setting(
    key="asker_shift",
    title="What being asked in the dialect adds",
    varied="the prompt, of a comparison of two answers",
    forms=_shift,
)
ASKER = Setting(
    key="asker",
    title="Answer varied, asked in the dialect",
    varied="the answer to a prompt in the dialect",
    forms=_asker,
)
ANSWER = Setting(
    key="answer",
    title="Answer varied",
    varied="the answer to the same prompt",
    forms=_answer,
)
PROMPT = Setting(
    key="prompt",
    title="Prompt varied",
    varied="the prompt of the same answer",
    forms=_prompt,
)


def settings_of(table: PairTable) -> tuple[Setting, ...]:
    """The settings of which a run has at least one scored row, the headline first."""
    several = len(table.roles) > 1
    found = [ANSWER, PROMPT, ASKER, SHIFT]
    for role in table.roles:
        found.append(
            Setting(
                key=f"matched_{role}",
                title=f"Prompt and {role} answer varied"
                if several
                else "Prompt and answer varied",
                varied=f"prompt and {role} answer together",
                forms=_matched(role),
            )
        )
    for role in table.roles:
        found.append(
            Setting(
                key=f"recorded_{role}" if several else "recorded",
                title=f"{role.capitalize()} texts" if several else "Texts",
                varied=f"{role} texts" if several else "texts",
                forms=_recorded(role),
            )
        )
    return tuple(one for one in found if _any(one, table))


def _any(setting: Setting, table: PairTable) -> bool:
    return any(
        bool(np.isfinite(forms.reference - forms.other).any())
        for forms in (setting.forms(table, dialect) for dialect in table.dialects)
    )
