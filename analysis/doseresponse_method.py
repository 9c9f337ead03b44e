"""The account of how sweeps are analysed, for their report."""

from __future__ import annotations

from analysis import prose
from analysis.doseresponse_measures import UNEQUAL
from analysis.html import Paragraph
from analysis.wording import percent

FALSE_POSITIVES = {0: (0.025, 0.08), 2: (0.08, 0.22), 4: (0.14, 0.36)}
"""SD of the slopes of seeds over the scatter of checkpoints -> between which shares of
simulated sweeps without a mean slope leave zero out of its interval, with 3 to 5 shares
and 2 to 4 seeds (`tests/test_doseresponse.py`)."""


def method() -> tuple[Paragraph, ...]:
    """How slopes come about."""
    return prose.method("doseresponse", **_slots())


def caveats() -> tuple[str, ...]:
    """What they do not say."""
    return prose.caveats("doseresponse", **_slots())


def _slots() -> dict[str, str]:
    rates = {
        f"rate_{ratio}": f"{100 * low:g} to {100 * high:g}%"
        for ratio, (low, high) in FALSE_POSITIVES.items()
    }
    return {"unequal": percent(UNEQUAL), **rates}
