"""How an analysis was made and what to bear in mind: texts, read from `prose/`."""

from __future__ import annotations

import re
from importlib import resources

from analysis.html import Paragraph


def method(name: str, **slots: object) -> tuple[Paragraph, ...]:
    """The paragraphs `## Head` of a text, for the report's account of the method.

    Args:
        name: File in `prose/`, without its ending.
        slots: What stands for each `{name}` in it.
    """
    return tuple(
        Paragraph(head=head, text=_joined(text))
        for head, _, text in (
            part.partition("\n") for part in _read(name, **slots)[0].split("## ")[1:]
        )
    )


def caveats(name: str, **slots: object) -> tuple[str, ...]:
    """The points `- ` of a text, below `# Caveats`; as `method`."""
    points = re.split(r"^- ", _read(name, **slots)[1], flags=re.MULTILINE)
    return tuple(_joined(point) for point in points[1:])


def _read(name: str, **slots: object) -> tuple[str, str]:
    file = resources.files("analysis") / "prose" / f"{name}.md"
    text = file.read_text(encoding="utf-8").format(**slots)
    told, _, points = text.partition("# Caveats\n")
    return told, points


def _joined(lines: str) -> str:
    return " ".join(lines.strip().split("\n"))
