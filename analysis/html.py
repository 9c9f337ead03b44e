"""What a report consists of, and its rendering as one HTML page and as Markdown.

A report is a list of sections; a section has findings, blocks (figures, tables) and
sections of its own. An analysis builds these values and never writes markup: every
text is escaped here, in the templates.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Literal

import jinja2
import pandas as pd
from markupsafe import Markup

from analysis.drawing import Panel, Scale, inline_svg

Certainty = Literal["supported", "uncertain", "not shown", "note"]

MINUS = "\u2212"
DASH = "\u2013"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was, or was not, found, in plain words."""

    claim: str
    """One sentence, without figures where it can do without."""
    evidence: tuple[str, ...]
    """Sentences with n, estimate and interval."""
    certainty: Certainty
    """How far the evidence carries the claim; `note`: it is about the data."""


@dataclass(frozen=True, kw_only=True)
class Swatch:
    """A country that the map cannot draw, with its colour."""

    label: str
    colour: str


@dataclass(frozen=True, kw_only=True)
class ColourKey:
    """A colour bar as HTML, for screens too narrow for the drawing's own."""

    title: str
    scale: Scale
    low: str
    middle: str
    high: str

    @property
    def stops(self) -> str:
        """The colours as the stops of a CSS gradient."""
        return ", ".join(self.scale.colours)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One or more panels under one caption."""

    id: str
    title: str
    caption: str
    alt: str
    """What a reader who cannot see the figure should know."""
    panels: tuple[Panel, ...]
    layout: Literal["wide", "columns"] = "columns"
    """`wide`: one below the other at full width; `columns`: side by side where there
    is room."""
    folded: bool = False
    """Shown only when opened."""
    key: ColourKey | None = None
    swatches: tuple[Swatch, ...] = ()
    swatch_note: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a table as it is shown."""

    text: str
    sort: float | str | None = None
    """What to sort by; None: the text."""
    numeric: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as it is shown, and the numbers behind it."""

    id: str
    """Also the name of its csv file."""
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    frame: pd.DataFrame
    """Written as csv, unrounded."""
    folded: bool = False
    sortable: bool = False
    head_rows: bool = True
    """The first cell of a row is its heading."""


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A paragraph with a run-in heading."""

    head: str
    text: str


Block = Figure | Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """One axis of an audit, a probe within it, or a run within that."""

    id: str
    title: str
    short: str = ""
    """What the list of contents calls it; empty: the title."""
    lead: str = ""
    findings: tuple[Finding, ...] = ()
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
    folded: bool = False
    """Shown only when opened: one of many runs."""
    method: tuple[Paragraph, ...] = ()
    """Paragraphs for the report's account of the method."""
    caveats: tuple[str, ...] = ()

    def walk(self) -> Iterator[Section]:
        """This section and all below it, in reading order."""
        yield self
        for section in self.sections:
            yield from section.walk()


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """A run's manifest, to be read by people."""

    title: str
    rows: tuple[tuple[str, str], ...]
    json: str
    """The manifest whole."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str
    overview: Table
    """What was read: one row per run."""
    warnings: tuple[str, ...]
    """What a reader must know before the first number."""
    notes: tuple[str, ...]
    """Where the scores come from, as the runs' manifests note it."""
    findings: tuple[Finding, ...]
    sections: tuple[Section, ...]
    method: tuple[Paragraph, ...]
    caveats: tuple[str, ...]
    provenance: tuple[Provenance, ...]
    generated: str
    """Program and version, for the footer."""
    kind: str = "audit report"
    """What the page is, above its title."""
    downloads: tuple[tuple[str, str], ...] = field(default=())
    """(label, relative path) of the files beside the page."""

    def all_sections(self) -> Iterator[Section]:
        """Every section, in reading order."""
        for section in self.sections:
            yield from section.walk()

    def figures(self) -> Iterator[Figure]:
        """Every figure, in reading order."""
        for section in self.all_sections():
            yield from (block for block in section.blocks if isinstance(block, Figure))

    def tables(self) -> Iterator[Table]:
        """Every table, the overview first."""
        yield self.overview
        for section in self.all_sections():
            yield from (block for block in section.blocks if isinstance(block, Table))


def number(value: float | None, digits: int = 2) -> str:
    """A number for people: fixed decimals, a real minus sign, a dash for nothing.

    A value that rounds to zero has no sign; thousands are separated.
    """
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """``0.62 to 0.93``, or a dash where there is none."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"{number(low, digits)}\u00a0to\u00a0{number(high, digits)}"


def p_text(p: float | None) -> str:
    """``< 0.001`` or ``0.012``; a dash where there is none."""
    if p is None or not math.isfinite(p):
        return DASH
    return "<\u00a00.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def text_cell(text: str | None) -> Cell:
    """A cell of text; nothing becomes a dash."""
    return Cell(text=text or DASH)


def number_cell(value: float | None, digits: int = 2) -> Cell:
    """A right-aligned number that sorts as a number."""
    known = value is not None and math.isfinite(value)
    return Cell(
        text=number(value, digits), sort=value if known else math.inf, numeric=True
    )


def interval_cell(low: float | None, high: float | None, digits: int = 2) -> Cell:
    """An interval that sorts by its lower end."""
    text = interval(low, high, digits)
    return Cell(text=text, sort=math.inf if text == DASH else low, numeric=True)


def with_interval(estimate: Cell, around: str) -> Cell:
    """An estimate with its interval, ``62.0 (52.1 to 71.0)``, sorted by the estimate.

    Args:
        estimate: A number.
        around: As `interval`; of a dash the estimate is shown alone.
    """
    text = estimate.text if around == DASH else f"{estimate.text} ({around})"
    return Cell(text=text, sort=estimate.sort, numeric=True)


def p_cell(p: float | None) -> Cell:
    """A p-value that sorts as a number."""
    known = p is not None and math.isfinite(p)
    return Cell(text=p_text(p), sort=p if known else math.inf, numeric=True)


def slug(text: str) -> str:
    """A name safe in file names, element ids and links."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "x"


def slugs(texts: Sequence[str]) -> list[str]:
    """A `slug` for each text, numbered where several would be the same."""
    seen: dict[str, int] = {}
    found = []
    for name in map(slug, texts):
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


def render_html(page: Page) -> str:
    """The report as one self-contained page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["svg"] = lambda panel, label: Markup(inline_svg(panel, label))
    environment.filters["json_attr"] = _sort_value
    environment.filters["kind"] = _kind
    script = _template("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(
        page=page,
        style=Markup(_template("report.css")),
        script=Markup(script),
        # Only our own script may run, whatever text the page shows.
        script_hash=Markup(f"sha256-{digest}"),
    )


def _template(name: str) -> str:
    path = resources.files("analysis") / "templates" / name
    return path.read_text(encoding="utf-8")


def render_markdown(page: Page) -> str:
    """The report as Markdown with links to the figures beside it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "templates"),
        autoescape=False,
        finalize=_markdown_text,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["kind"] = _kind
    environment.filters["raw"] = Markup
    environment.filters["table"] = lambda table: Markup(markdown_table(table))
    text = environment.get_template("report.md.j2").render(page=page)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def markdown_table(table: Table) -> str:
    """A table as a Markdown pipe table."""
    numeric = [
        bool(table.rows) and all(row[i].numeric for row in table.rows)
        for i in range(len(table.header))
    ]
    lines = [
        [_markdown_text(name) for name in table.header],
        ["---:" if right else "---" for right in numeric],
        *([_markdown_text(cell.text) for cell in row] for row in table.rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _markdown_text(value: object) -> str:
    """Escapes whatever could become Markdown or HTML markup."""
    if isinstance(value, Markup):
        return str(value)
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", text)
    return text.replace("\r", " ").replace("\n", " ")


def _sort_value(cell: Cell) -> str:
    value = cell.text if cell.sort is None else cell.sort
    return str(value)


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def join_words(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
