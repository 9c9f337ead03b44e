"""Words that findings, tables, figures and the terminal share on stages of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from analysis.html import Cell, interval, join_words, number, number_cell, with_interval
from analysis.records import ALPHA, Record
from analysis.stages_data import Aligned
from analysis.wording import p_of, p_words
from probe.types import Stage

ROLES: Mapping[str, str] = {"base": "base", "sft": "SFT", "preference": "PT"}
"""Role of a stage -> what it is called in a sentence."""
MOST_NAMED = 4
"""Groups that a sentence names; of more it says how many there are."""
MOST_EVIDENCE = 6
"""Groups whose numbers stand in a finding; the table has them all."""
FEW_GROUPS = 12
"""Up to so many groups a figure and the terminal show every one."""


class OfAligned(Protocol):
    """What is known of one measure of several checkpoints."""

    @property
    def aligned(self) -> Aligned:
        """Its values."""


def stage_word(stage: Stage) -> str:
    """``SFT``; the name of a model of which nothing is known."""
    return ROLES.get(stage.role, stage.model)


def stage_name(stage: Stage) -> str:
    """``SFT: zephyr_7b_sft``, or the model's name."""
    known = ROLES.get(stage.role)
    return stage.model if known is None else f"{_first_upper(known)}: {stage.model}"


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def measure_title(measure: OfAligned) -> str:
    """The title with a capital."""
    return _first_upper(measure.aligned.outcome.title)


def beside_words(measure: OfAligned) -> str:
    """What must be read beside the levels of each stage, as a sentence; or nothing."""
    said = [(one.stage, one.outcome.beside) for one in measure.aligned.measured]
    told = [(stage, text) for stage, text in said if text]
    if not told:
        return ""
    rank = measure.aligned.outcome.value_unit == "rank"
    middle = " A name that is ranked alike whatever is asked comes out in the middle."
    after = middle if rank else ""
    if len({text for _, text in said}) == 1:
        return f"{_first_upper(told[0][1])}.{after}"
    # A model's name has no capital that it was not given.
    parts = "; ".join(
        f"{_first_upper(ROLES[stage.role]) if stage.role in ROLES else stage.model}: "
        f"{text}"
        for stage, text in told
    )
    return f"{parts}.{after}"


def group_name(measure: OfAligned, group: str) -> str:
    """``German`` for ``deu_Latn``; else the group itself."""
    return dict(measure.aligned.outcome.names).get(group, group)


def group_word(measure: OfAligned) -> str:
    """What a group is, in the singular."""
    return measure.aligned.outcome.grouping


def groups_of(measure: OfAligned, count: int) -> str:
    """``3 dialects``, ``254 countries``."""
    word = group_word(measure)
    if count == 1:
        return f"1 {word}"
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{number(count, 0)} {plural}"


def named(measure: OfAligned, groups: Sequence[str], *, examples: bool = True) -> str:
    """The groups, or of many how many and the first: ``37 of 254 countries (...)``."""
    names = [group_name(measure, group) for group in groups]
    if len(names) <= MOST_NAMED:
        return join_words(names)
    every = groups_of(measure, len(measure.aligned.groups))
    some = join_words([*names[: MOST_NAMED - 1], "others"])
    return f"{number(len(names), 0)} of {every}" + (f" ({some})" if examples else "")


def first_sentences(measure: OfAligned, sentences: Sequence[str]) -> tuple[str, ...]:
    """The first of a sentence for each group, and that the table has the rest."""
    more = len(sentences) - MOST_EVIDENCE
    if more <= 0:
        return tuple(sentences)
    rest = f"{groups_of(measure, more)} more: see the table."
    return (*sentences[:MOST_EVIDENCE], rest)


def is_share(measure: OfAligned) -> bool:
    """Whether values are shown in percent, and changes in points."""
    return measure.aligned.outcome.value_unit == "share"


def digits_of(measure: OfAligned) -> int:
    """Decimals of a value as it is shown."""
    unit = measure.aligned.outcome.value_unit
    return 1 if unit in ("share", "rank") else 3


def shown(measure: OfAligned, value: float | None) -> float | None:
    """A value in the unit that people read: percent of a share."""
    return 100 * value if is_share(measure) and value is not None else value


def unit_words(measure: OfAligned, *, change: bool = False) -> str:
    """``%``, or ``points`` of a change; else the measure's unit."""
    if is_share(measure):
        return "points" if change else "%"
    return measure.aligned.outcome.value_unit


def level_text(measure: OfAligned, value: float | None) -> str:
    """``46.4%`` or ``0.481``."""
    text = number(shown(measure, value), digits_of(measure))
    return f"{text}%" if is_share(measure) and value is not None else text


def signed(measure: OfAligned, value: float | None) -> str:
    """A change with its sign, without unit."""
    text = number(shown(measure, value), digits_of(measure))
    return f"+{text}" if value is not None and value > 0 else text


def bounds(measure: OfAligned, record: Record) -> str:
    """The interval in the unit that people read; a dash where there is none."""
    return interval(
        shown(measure, record.ci_low),
        shown(measure, record.ci_high),
        digits_of(measure),
    )


def side_of(record: Record | None) -> int:
    """1: shown to be above zero, -1: below, 0: not shown. Holm's p alone decides."""
    if record is None or record.estimate is None:
        return 0
    p = p_of(record)
    if p is None or p >= ALPHA:
        return 0
    return 1 if record.estimate > 0 else -1 if record.estimate < 0 else 0


def change_text(measure: OfAligned, record: Record) -> str:
    """``+15.2 points (95% 9.8 to 20.6, p after Holm < 0.001)``."""
    if record.estimate is None:
        return record.ci_method or "not computed"
    unit = unit_words(measure, change=True)
    text = signed(measure, record.estimate) + (f" {unit}" if unit == "points" else "")
    inside = []
    if record.ci_low is not None:
        inside.append(f"95% {bounds(measure, record)}")
    if record.p_value is None:
        why = (record.ci_method or "").removeprefix("none: ")
        inside.append(f"not tested: {why}")
    else:
        inside.append(p_words(p_of(record), " after Holm"))
    return f"{text} ({', '.join(inside)})"


def side_words(measure: OfAligned) -> tuple[tuple[int, str], ...]:
    """What a value above and one below the base's is called."""
    rank = measure.aligned.outcome.value_unit == "rank"
    above, below = ("less favoured", "more favoured") if rank else ("higher", "lower")
    return (1, above), (-1, below)


def gap_text(measure: OfAligned, value: float | None) -> str:
    """A distance between groups: ``20.4 points``."""
    text = number(shown(measure, value), digits_of(measure))
    return f"{text} points" if is_share(measure) else text


def step_words(measure: OfAligned, place: int) -> str:
    """``from base to SFT``, or ``from model A to model B``."""
    stages = [one.stage for one in measure.aligned.measured]
    return f"from {stage_word(stages[0])} to {stage_word(stages[place])}"


def change_cell(measure: OfAligned, record: Record | None) -> Cell:
    """A change with its sign and interval, sorted by itself; a dash for none."""
    if record is None or record.estimate is None:
        return number_cell(None)
    return with_interval(
        Cell(text=signed(measure, record.estimate), sort=record.estimate, numeric=True),
        bounds(measure, record),
    )
