"""Checks that the keys of a mix fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probe.types import ConfigError

if TYPE_CHECKING:
    from data_builders.mix_config import Mix

_SHARES = "`parts.*.share`"


def check(mix: Mix) -> None:
    """Checks shares and matching.

    Raises:
        ConfigError: They do not fit together, with the keys.
    """
    shares = [part.share for part in mix.parts]
    if mix.rows == "all":
        given = next((at for at, one in enumerate(shares) if one is not None), None)
        if given is not None or mix.match != "none":
            key = "`match`" if given is None else f"`parts.{given}.share`"
            raise ConfigError(
                f"{mix.where}: {key} is given beside `rows: all`",
                "`rows: all` takes what there is: its parts have no `share`, and "
                "nothing is matched",
                f"Leave {key} away, or write a number of `rows`",
            )
        return
    if None in shares:
        raise ConfigError(
            f"{mix.where}: `parts.{shares.index(None)}.share` is missing",
            "Every part needs a `share`, or the mix `rows: all`",
            "Write a number from 0 to 1, `dose`, or `rest`, which is what the others "
            "leave",
        )
    for word in ("dose", "rest"):
        if shares.count(word) > 1:
            raise ConfigError(
                f"{mix.where}: {_SHARES} is `{word}` {shares.count(word)} times",
                f"One part has `share: {word}`",
                "Give the others numbers, or make them one part with several values "
                "in `where`",
            )
    _check_sum(mix)
    upsampled = next((at for at, one in enumerate(mix.parts) if one.upsample), None)
    if mix.match == "content" and upsampled is not None:
        raise ConfigError(
            f"{mix.where}: `parts.{upsampled}.upsample` is given beside "
            "`match: content`",
            "`match: content` has the same contents whatever the dose; nothing can be "
            "upsampled",
            "Leave one of the two away",
        )
    if mix.match == "content" and mix.is_placebo:
        raise ConfigError(
            f"{mix.where}: `match` is `content`, and `parts.{mix.at('dose')}` and "
            f"`parts.{mix.at('rest')}` are the same rows",
            "All arms of such a placebo would hold the same rows",
            "Write `match: none` or `match: length`, or filters that differ",
        )


def _check_sum(mix: Mix) -> None:
    fixed = sum(part.share for part in mix.parts if isinstance(part.share, float))
    rest = mix.at("rest") is not None
    if mix.has_dose and not rest:
        raise ConfigError(
            f"{mix.where}: {_SHARES} has a `dose` and no `rest`",
            "The shares sum to 1 at every dose",
            "Add a part with `share: rest`, or write `rest` for one that is there",
        )
    if fixed > 1 + 1e-9:
        raise ConfigError(
            f"{mix.where}: {_SHARES} sum to {fixed:g}, which is more than 1",
            "Shares sum to 1, and `rest` is what the others leave",
            "Lower one of them",
        )
    if not rest and abs(fixed - 1) > 1e-9:
        raise ConfigError(
            f"{mix.where}: {_SHARES} sum to {fixed:g}, not to 1",
            "Shares sum to 1",
            "Write `rest` for one part, or correct the numbers",
        )
