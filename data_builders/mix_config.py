"""What a mix is, and the YAML it is written in."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from data_builders import mix_check
from data_builders.mix_draw import Match
from data_builders.training_types import Form
from probe.config import (
    NAME_PATTERN,
    Strict,
    did_you_mean,
    parse,
    read_text,
    shipped_files,
)
from probe.types import ConfigError, GroupValue, UsageError

DOSE = "dose"
REST = "rest"
_FOLDER = "mixes"


def _plain(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(
            "YAML reads yes, no, on, off, true and false as truth values; put the "
            "word in quotes"
        )
    return value


Value = Annotated[str | float, BeforeValidator(_plain)]
Share = Annotated[float, Field(ge=0, le=1)] | Literal["dose", "rest"]


class Part(Strict):
    """Rows of one source."""

    source: str | None = None
    """A shipped training source."""
    file: str | None = None
    """Instead: a csv, jsonl or parquet file, relative to the mix's."""
    where: dict[str, Value | tuple[Value, ...]] = Field(default_factory=dict)
    """Group column -> its value, or several of which a row has one; a row meets all.
    `lang`, where a source does not say it, is what two detectors agree on."""
    share: Share | None = None
    """Of the rows: a number, `dose`, or `rest`, which is what the others leave."""
    upsample: bool = False
    """Whether rows are repeated where there are too few."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.source is None) == (self.file is None):
            raise ValueError("give either `source` or `file`, and not both")
        return self

    @property
    def origin(self) -> str:
        """Where its rows come from, as written."""
        return self.source or str(self.file)

    @property
    def wanted(self) -> dict[str, frozenset[str]]:
        """Its filter, the same for two that are written differently."""
        return {
            name: frozenset(map(said, values_of(wanted)))
            for name, wanted in self.where.items()
        }

    @property
    def filter(self) -> str:
        """Its filter, in words."""
        return ", ".join(
            f"{name}: {listed(wanted)}" for name, wanted in self.where.items()
        )


class Mix(Strict):
    """Which rows one training stage reads; from `read_mix`, which checks it."""

    name: str = Field(pattern=NAME_PATTERN)
    stage: Literal["sft", "dpo", "reward"]
    rows: Annotated[int, Field(gt=0)] | Literal["all"]
    """`all`: every row that is left; parts have no shares then."""
    parts: tuple[Part, ...] = Field(min_length=1)
    match: Match = "none"
    """`content`: the same contents whatever the dose, each drawn from one part; the
    dose may be missed, because keys are not parted (`mix_draw.draw`). `length`: the
    parts' rows have one distribution of characters."""
    hold_out: float | None = Field(default=None, gt=0, lt=1)
    """Share of the keys that are never trained on. Which ones depends on nothing but
    the keys."""
    max_characters: int | None = Field(default=None, gt=0)
    """Of prompt and answers together; longer rows are left out, and with
    `match: content` every version of what one of them says."""
    near_duplicates: float | None = Field(default=0.8, gt=0, le=1)
    """Rows of different keys that are that much alike are one; null: all are kept."""
    _file: Path | None = PrivateAttr(default=None)

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"mix '{self.name}'" + (f" ({self._file})" if self._file else "")

    def path(self, part: Part) -> str:
        """What a part reads: a shipped source's name, or a file's path."""
        if part.file is None:
            return str(part.source)
        return str((self._file.parent if self._file else Path()) / part.file)

    def place(self, part: Part) -> str:
        """The same, one text for each source however its path is written."""
        return part.source or str(Path(self.path(part)).resolve())

    def at(self, share: str) -> int | None:
        """Place of the part with the share `dose` or `rest`; None: there is none."""
        return next(
            (at for at, part in enumerate(self.parts) if part.share == share), None
        )

    @property
    def has_dose(self) -> bool:
        """Whether it varies something."""
        return self.at(DOSE) is not None

    @property
    def is_placebo(self) -> bool:
        """Whether dose and rest are the same rows, so that the dose is a label.

        Each dose of a placebo is a draw of its own: what it does is what redrawing
        does by itself.
        """
        dose, rest = self.at(DOSE), self.at(REST)
        if dose is None or rest is None:
            return False
        one, other = self.parts[dose], self.parts[rest]
        return self.place(one) == self.place(other) and one.wanted == other.wanted

    @property
    def form(self) -> Form:
        """Of the rows it gives."""
        return "sft" if self.stage == "sft" else "preference"

    def shares(self, dose: float | None) -> list[float] | None:
        """Share of each part; None: the mix takes all rows there are.

        Raises:
            UsageError: There is no dose, none is needed, or the shares exceed 1.
        """
        if self.has_dose != (dose is not None):
            raise UsageError(
                f"{self.where} "
                + (
                    "has no part with `share: dose`"
                    if dose is not None
                    else "needs a dose"
                ),
                "A dose is given to a mix that has a part with `share: dose`, and to "
                "no other",
                "Leave the dose away"
                if dose is not None
                else "Give a dose from 0 to 1",
            )
        if dose is not None and not 0 <= dose <= 1:
            raise UsageError(
                f"the dose is {dose:g}",
                "A dose is a share of the rows, from 0 to 1",
                "Correct it",
            )
        if self.rows == "all":
            return None
        known = {DOSE: float(dose or 0)}
        given = [known.get(str(part.share), part.share) for part in self.parts]
        total = sum(one for one in given if isinstance(one, float))
        if total > 1 + 1e-9:
            raise UsageError(
                f"{self.where}: `parts.*.share` sum to {total:g} at a dose of "
                f"{dose or 0:g}",
                "They sum to at most 1, and `rest` is what they leave",
                "Lower the dose, or the parts' shares",
            )
        rest = max(0.0, 1 - total)
        return [one if isinstance(one, float) else rest for one in given]


def names() -> tuple[str, ...]:
    """The shipped mixes."""
    return tuple(shipped_files("data_builders", _FOLDER))


def read_mix(ref: str) -> Mix:
    """Reads a shipped mix by its name, or a user's own by its path.

    Raises:
        UsageError: There is none; the nearest name is suggested.
        ConfigError: It is wrong, with file and key.
    """
    path = Path(ref)
    if path.suffix in (".yaml", ".yml"):
        text = read_text(path, "A mix is a shipped name, or a YAML file")
        mix = parse(Mix, text, ref, "a mix")
        mix._file = path
        mix_check.check(mix)
        return mix
    if ref not in names():
        raise UsageError(
            f"no shipped mix is called '{ref}'",
            "A mix is a shipped name, or the path of a YAML file",
            did_you_mean(ref, names()),
        )
    shipped = resources.files("data_builders") / _FOLDER / f"{ref}.yaml"
    mix = parse(
        Mix, shipped.read_text(encoding="utf-8"), f"{_FOLDER}/{ref}.yaml", "a mix"
    )
    if mix.name != ref:
        raise ConfigError(
            f"{_FOLDER}/{ref}.yaml: `name` = {mix.name!r}",
            "A shipped mix's name is its file's",
            f"Write `name: {ref}`",
        )
    mix_check.check(mix)
    return mix


def values_of(wanted: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    """The values of a filter, which may be one."""
    return wanted if isinstance(wanted, tuple) else (wanted,)


def listed(wanted: Value | tuple[Value, ...]) -> str:
    """One value, or several, as a message has them."""
    return " or ".join(map(said, values_of(wanted)))


def said(value: GroupValue) -> str:
    """A value in full; a whole number without its point."""
    if isinstance(value, str):
        return value
    return "(none)" if value is None else repr(float(value)).removesuffix(".0")
