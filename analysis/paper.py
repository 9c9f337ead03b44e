"""The published numbers of Ryan, Held and Yang (2024) beside ours.

"Unintended Impacts of LLM Alignment on Global Representation", ACL 2024,
arXiv 2402.15018. `FIGURES` declares what the paper shows; `analysis.paper_measures`,
`analysis.paper_md3` and `analysis.paper_tydiqa` measure it anew from the authors' own
outputs. Another figure is another row of the table.

Numbers are compared where the paper's text, or a result file of its authors, prints
them. Of the bars, the heatmap and the map ours are shown alone. Left out are the mean
ranks of the authors' `results/7_askreddit/starling_rm_df_filtered_USA.csv`: ties are
broken there by the order in which a sort left them, here they share the best place
(`analysis.ranks.Ties`), which moves the fourth digit and no correlation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from analysis import paper_evidence as read
from analysis import paper_md3 as md3
from analysis import paper_measures as measures
from analysis import paper_tydiqa as tydiqa
from analysis.paired import Interval
from analysis.paper_evidence import Evidence, Metric
from analysis.paper_md3 import CHOICE, GUESS, gain_over
from analysis.paper_measures import (
    BETWEEN,
    DIFFERENCE,
    MEAN_RANK,
    ORDER,
    ORDER_P,
    SHARE,
)
from analysis.records import Record
from data_builders.countries import analysis_keys

Status = Literal["ok", "differs", "absent"]

Key = tuple[str, Metric, str | None]
"""(model, metric, group): what a number of a figure is found by."""

Measured = Callable[[Evidence, Sequence[str]], list[Record]]
"""Our numbers of a figure, from the evidence and the paper's models in their order."""

STARLING = "Starling-RM-7B-alpha"
POLICIES = (
    "Llama-2-7b-hf",
    "Llama-2-7b-chat-hf",
    "tulu-2-7b",
    "tulu-2-dpo-7b",
    "Mistral-7B-v0.1",
    "mistral-7b-sft-beta",
    "zephyr-7b-beta",
    "openchat_3.5",
    "Starling-LM-7B-alpha",
)
"""The policies of every figure, in the heatmap's order."""
QWEN_AND_YI = ("Qwen1.5-7B", "Qwen1.5-7B-Chat", "Yi-6B", "Yi-6B-Chat")
"""The policies whose figures stand apart; the heatmap is without them."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A number as it was printed."""

    key: Key
    printed: str
    """Its digits (of a file's seventeen, the first eight); the last one gives the
    tolerance."""
    source: str
    """Section of the paper, or path of the authors' result file."""

    @property
    def value(self) -> float:
        """The number."""
        return float(self.printed)

    @property
    def tolerance(self) -> float:
        """One unit in the last printed digit."""
        exponent = Decimal(self.printed).as_tuple().exponent
        assert isinstance(exponent, int)
        return float(Decimal(1).scaleb(exponent))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the paper, or numbers of its text that belong together."""

    title: str
    source: str
    """Where the paper shows it."""
    probe: str
    """The probe of its records."""
    keys: Callable[[], Iterable[Key]]
    """Every number the paper shows here: what of it cannot be measured is absent."""
    measure: Measured
    """Our numbers, of the paper's models and any other."""
    facts: tuple[Fact, ...] = ()
    """Those of `keys` that were printed."""
    recorded: Callable[[Evidence], Iterable[Fact]] = lambda evidence: ()
    """Those that the authors' verdicts in the evidence itself give."""
    shown: tuple[str, ...] | None = None
    """Groups that a terminal lists; None: all."""
    lack: Callable[[Evidence, Metric, str, str | None], str] = measures.lack
    """Why one of `keys` could not be computed, from the evidence, the metric, the
    model and the group; asked only where the model's files are there."""


SFT, BASE = "mistral-7b-sft-beta", "Mistral-7B-v0.1"


def _verdicts(metric: Metric) -> Callable[[Evidence], Iterable[Fact]]:
    """The shares of MD3's games won, by the authors' own verdicts."""

    def facts(evidence: Evidence) -> Iterable[Fact]:
        for model, dialect, share, source in md3.recorded_shares(evidence, metric):
            key = (model, metric, dialect)
            yield Fact(key=key, printed=f"{share:.4f}", source=source)

    return facts


def _levels(measure: Metric, title: str, measured: Measured) -> Figure:
    """TyDiQA's answers by a measure, per language."""
    return Figure(
        title=title,
        source="section 5, behind its bars, which are of another measure",
        probe=read.TYDIQA,
        lack=tydiqa.lack,
        keys=lambda: itertools.product(
            (*POLICIES, *QWEN_AND_YI), (measure,), tydiqa.LANGUAGES
        ),
        measure=measured,
    )


FIGURES = (
    Figure(
        title="MD3: share of games guessed right, answer and no forbidden word in it",
        source="section 4, bars; beside ours what the authors' own verdicts give",
        probe=read.MD3,
        lack=md3.lack,
        keys=lambda: itertools.product(
            (*POLICIES, *QWEN_AND_YI), (GUESS,), md3.DIALECTS
        ),
        measure=md3.guess_accuracy,
        recorded=_verdicts(GUESS),
    ),
    Figure(
        title="MD3: share of games guessed right, less that of the model it "
        "was tuned from",
        source="section 4",
        probe=read.MD3,
        lack=md3.lack,
        keys=lambda: itertools.product((SFT,), (gain_over(BASE),), md3.DIALECTS),
        measure=md3.tuning_gains,
        facts=tuple(
            Fact(key=(SFT, gain_over(BASE), dialect), printed=gain, source="section 4")
            for dialect, gain in (
                ("en_us", "0.293"),
                ("en_in", "0.152"),
                ("en_ng", "0.203"),
            )
        ),
    ),
    Figure(
        title="MD3: share of games guessed right, less that in US English",
        source="not in the paper",
        probe=read.MD3,
        lack=md3.lack,
        keys=lambda: (),
        measure=md3.dialect_gaps,
    ),
    Figure(
        title="MD3: share of games whose answer is the most probable of six words",
        source="not in the paper; beside ours what the authors' own verdicts give",
        probe=read.MD3,
        lack=md3.lack,
        keys=lambda: (),
        measure=md3.choice_accuracy,
        recorded=_verdicts(CHOICE),
    ),
    Figure(
        title="Fine-tuning data: share of texts that are not English",
        source="section 5",
        probe=read.LANGID,
        keys=lambda: [(name, SHARE, None) for name in ("tulu-sft", "ultrachat")],
        measure=measures.language_shares,
        facts=(
            Fact(key=("tulu-sft", SHARE, None), printed="0.131", source="section 5"),
            Fact(key=("ultrachat", SHARE, None), printed="0.001", source="section 5"),
        ),
    ),
    _levels(
        tydiqa.EXACT,
        "TyDiQA: exact match of the answers with a reference, 1-shot, greedy",
        tydiqa.exact_match,
    ),
    _levels(
        tydiqa.F1,
        "TyDiQA: F1 of the answers' words and a reference's, 1-shot, greedy",
        tydiqa.f1,
    ),
    Figure(
        title="TyDiQA: exact match and F1, less those of the model it was tuned from, "
        "and of the base model",
        source="section 5, bars of the change from the base model, of another measure",
        probe=read.TYDIQA,
        lack=tydiqa.lack,
        keys=lambda: [
            (model, metric, language)
            for model in (*POLICIES, *QWEN_AND_YI)
            for measure in (tydiqa.EXACT, tydiqa.F1)
            for metric in tydiqa.drawn(measure, model)
            for language in tydiqa.LANGUAGES
        ],
        measure=tydiqa.changes,
    ),
    Figure(
        title="GlobalOpinionQA: similarity (1 - Jensen-Shannon distance, natural "
        "logarithm) to a country's answers less that to the US",
        source="section 6, bars of the difference from the US",
        probe=read.GLOBAL_OPINIONS,
        keys=lambda: itertools.product(
            (*POLICIES, *QWEN_AND_YI), (DIFFERENCE,), measures.COMPARED
        ),
        measure=measures.opinion_differences,
    ),
    Figure(
        title="AskReddit: rank correlation with Gallup's order of 21 countries",
        source="section 7",
        probe=read.ASKREDDIT,
        keys=lambda: itertools.product((STARLING,), (ORDER, ORDER_P), measures.POLLS),
        measure=measures.poll_correlations,
        facts=(
            Fact(
                key=(STARLING, ORDER, "gallup_2017"),
                printed="0.926",
                source="section 7",
            ),
            Fact(
                key=(STARLING, ORDER, "gallup_2023"),
                printed="0.849",
                source="section 7",
            ),
            Fact(
                key=(STARLING, ORDER_P, "gallup_2017"),
                printed="1.7791038e-09",
                source="results/7_askreddit/correlations.txt",
            ),
            Fact(
                key=(STARLING, ORDER_P, "gallup_2023"),
                printed="1.1154654e-06",
                source="results/7_askreddit/correlations.txt",
            ),
        ),
    ),
    Figure(
        title="AskReddit: rank correlation of every two models",
        source="section 7, heatmap",
        probe=read.ASKREDDIT,
        keys=lambda: [
            (one, BETWEEN, other)
            for one, other in itertools.combinations((*POLICIES, STARLING), 2)
        ],
        measure=measures.model_correlations,
    ),
    Figure(
        title="AskReddit: mean rank of each country by the reward model",
        source="section 7, map",
        probe=read.ASKREDDIT,
        keys=lambda: [(STARLING, MEAN_RANK, key) for key in analysis_keys()],
        measure=measures.mean_ranks,
        shown=("CAN", "GBR", "PRK"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number: ours, the published one, and whether they agree."""

    figure: Figure
    record: Record
    """Ours; without an estimate where it is absent."""
    fact: Fact | None
    """None: no figure was printed."""
    source: str | None
    """Where the paper shows this number, drawn or printed; None: it does not."""
    missing: tuple[str, ...] = ()
    """Where ours is absent for want of files: the models that have none. Where it is
    absent and this is empty, the record's `ci_method` says why."""

    @property
    def agrees(self) -> bool | None:
        """Whether ours is within the tolerance; None: there is nothing to compare."""
        ours = self.record.estimate
        if self.fact is None or ours is None:
            return None
        return abs(ours - self.fact.value) <= self.fact.tolerance

    @property
    def status(self) -> Status:
        """`absent` without an estimate; `differs` only from a printed figure."""
        if self.record.estimate is None:
            return "absent"
        return "differs" if self.agrees is False else "ok"

    def to_json(self) -> dict[str, str | int | float | bool | None]:
        """The record's values and the comparison's, as JSON values."""
        fact = self.fact
        return {
            **self.record.to_json(),
            "published": None if fact is None else fact.value,
            "source": self.source if fact is None else fact.source,
            "tolerance": None if fact is None else fact.tolerance,
            "agrees": self.agrees,
            "status": self.status,
        }


def reproduce(
    evidence: Evidence, *, step: Callable[[], object] = lambda: None
) -> tuple[Row, ...]:
    """Measures every figure anew and puts the published numbers beside ours.

    Args:
        evidence: What was read of the authors' outputs; models that the paper does
            not have are measured as well.
        step: Called after each figure, for a progress bar.

    Returns:
        The rows of each of `FIGURES` in turn: what was measured, then what the paper
        shows and the evidence does not give.

    Raises:
        DataError: A run has too few scores to rank.
    """
    rows: list[Row] = []
    for figure in FIGURES:
        rows += _rows(figure, evidence)
        step()
    return tuple(rows)


def _rows(figure: Figure, evidence: Evidence) -> list[Row]:
    keys = {
        (model, metric.name, group): metric for model, metric, group in figure.keys()
    }
    facts = {
        (model, metric.name, group): fact
        for fact in (*figure.facts, *figure.recorded(evidence))
        for model, metric, group in [fact.key]
    }
    models, present = _models(keys), evidence.models
    rows = {}
    for record in figure.measure(evidence, models):
        key = (record.model, record.metric, record.group)
        rows[key] = Row(
            figure=figure,
            record=record,
            fact=facts.get(key),
            source=figure.source if key in keys else None,
        )
    for key, metric in keys.items():
        if key in rows:
            continue
        # Of a pair, either may be what is missing.
        of = [name for name in (key[0], key[2]) if name in models]
        missing = [name for name in of if (figure.probe, name) not in present]
        rows[key] = Row(
            figure=figure,
            record=read.record(
                metric,
                Interval(estimate=math.nan),
                probe=figure.probe,
                model=key[0],
                run="",
                group=key[2],
                method=f"not computed: no file of {' and '.join(missing)}"
                if missing
                else figure.lack(evidence, metric, key[0], key[2]),
                n=0,
            ),
            fact=facts.get(key),
            source=figure.source,
            missing=tuple(missing),
        )
    return list(rows.values())


def _models(keys: Iterable[tuple[str, str, str | None]]) -> tuple[str, ...]:
    """The paper's models in the keys, in their order; a pair has two."""
    pairs = {*POLICIES, STARLING}
    found = [
        name
        for model, _, group in keys
        for name in (model, group)
        if name is not None and (name == model or name in pairs)
    ]
    return tuple(dict.fromkeys(found))
