"""What a checkpoint was trained on, as its model config in a run's manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.load import Run
from probe.types import DataError

KEY = "training"
"""Of the model config in a manifest."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What one checkpoint was trained on."""

    sweep: str
    arm: str
    placebo: bool
    """Whether rows are only drawn anew for each share, to compare with."""
    share: float | None
    """Of the training rows, with the attribute, 0 to 1, as asked for; None: nothing was
    varied."""
    drawn_share: float | None
    """That of the rows that were drawn; None: not recorded, or nothing was varied."""
    seed: int
    stage: str
    base: str | None
    """Name of the model that it was trained from; None: not recorded."""
    mix: str | None
    """Name of the mix of rows; None: not recorded."""
    rows: int
    dropped: int
    """Rows of the mix that did not fit the trainer."""
    tokens: int
    attribute: str
    """What the share is a share of, such as "rows in Finnish"."""
    kind: str
    """How the checkpoint is scored, as `Manifest.model_kind`."""


def training_of(run: Run) -> Training | None:
    """What a run's model was trained on; None: its config does not say.

    Raises:
        DataError: The config's `training` lacks a key, or has an impossible value.
    """
    found = (run.manifest.config or {}).get(KEY)
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise _wrong(run, f"is {found!r}", "It is a mapping")

    def text(key: str) -> str:
        value = found.get(key)
        if not isinstance(value, str) or not value:
            raise _wrong(run, f"has {key} = {value!r}", "It is a text")
        return value

    def count(key: str) -> int:
        value = found.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise _wrong(run, f"has {key} = {value!r}", "It is a whole number from 0")
        return value

    def share(key: str) -> float | None:
        value = found.get(key)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 <= value <= 1
        ):
            raise _wrong(run, f"has {key} = {value!r}", "It lies between 0 and 1")
        return float(value)

    # Configs of earlier versions lack some keys.
    return Training(
        sweep=text("sweep"),
        arm=text("arm"),
        placebo=bool(found.get("placebo", False)),
        share=share("share"),
        drawn_share=share("drawn_share"),
        seed=count("seed"),
        stage=text("stage"),
        base=None if found.get("base") is None else text("base"),
        mix=None if found.get("mix") is None else text("mix"),
        rows=count("rows"),
        dropped=count("dropped") if "dropped" in found else 0,
        tokens=count("tokens"),
        attribute=text("attribute"),
        kind=run.manifest.model_kind,
    )


def _wrong(run: Run, what: str, rule: str) -> DataError:
    return DataError(
        f"{run.path / 'manifest.json'}: config.{KEY} {what}",
        f"{rule}, as rm-probe train writes it into the checkpoint's config",
        "Score the checkpoint with the config that lies beside it",
    )
