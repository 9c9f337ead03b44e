"""A response with one `{country}` slot becomes a candidate per country."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from data_builders import articles, countries
from probe.types import BuildOptions, Candidate

SLOT = "{country}"


def has_one_slot(response: str) -> bool:
    """Whether a response format holds `{country}` exactly once."""
    return response.count(SLOT) == 1


def fill_slot(
    response: str, name: str, *, rule: articles.Rule
) -> tuple[str, tuple[int, int]]:
    """Fills the slot of a response format with a country and its article.

    Args:
        response: Text with exactly one `{country}`; nothing else is changed.
        name: The country's name.
        rule: See `articles.with_article`.

    Returns:
        The answer, and the characters ``[start, end)`` of the country with its
        article in it.
    """
    before, after = response.split(SLOT)
    country = _with_article(name, rule, _starts_sentence(before))
    start = len(before)
    return f"{before}{country}{after}", (start, start + len(country))


# Hundreds of responses share their names, and hundreds of names a response.
_starts_sentence = functools.lru_cache(maxsize=1024)(articles.starts_sentence)


@functools.lru_cache(maxsize=4096)
def _with_article(name: str, rule: articles.Rule, sentence_initial: bool) -> str:
    return articles.with_article(name, rule=rule, sentence_initial=sentence_initial)


def country_candidates(
    response: str, names: Iterable[tuple[str, str]], options: BuildOptions
) -> tuple[Candidate, ...]:
    """One candidate per country, with the group columns `iso3` and `country`.

    Args:
        response: Text with exactly one `{country}`.
        names: (name as the text has it, crosswalk key) of each country.
        options: `articles` is the rule; `span` what a policy scores.
    """
    candidates = []
    for name, key in names:
        answer, span = fill_slot(response, name, rule=options.articles)
        candidates.append(
            Candidate(
                id=key,
                answer=answer,
                span=span if options.span == "country" else None,
                groups={"iso3": countries.by_key(key).iso3, "country": name},
            )
        )
    return tuple(candidates)
