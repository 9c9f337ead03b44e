"""One crosswalk from any spelling of a country to one key, with covariates.

A key is the officially assigned ISO 3166-1 alpha-3 code or, for the territories of
AskReddit's list that have none, a key of our own (``x-kosovo``). Spellings are
matched exactly after `normalise`, never by regular expression: "Northern Cyprus" is
not Cyprus, "Sint Maarten" not Saint Martin, and a bare "Korea" nobody.

The tables in `facts/` are rebuilt by `tests.make_facts`; `facts/sources.csv`
(`fact_sources`) says where each column comes from, of what year, under what licence.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import re
import unicodedata
from dataclasses import dataclass
from importlib import resources

from probe.types import DataError

ANALYSIS_POPULATION = 250_000
"""Ryan, Held and Yang (2024), code/analysis/ask-reddit-correlation.py: more people
than this."""

_SHORTCODE = re.compile(r"\s*:[a-z]{2}:\s*$")
_SAMPLE = re.compile(
    r"(?P<country>.+) \((?P<sample>(Non-national|Current national|Old national)"
    r" sample)\)"
)


@dataclass(frozen=True, kw_only=True)
class Country:
    """A country or territory and what is known about it."""

    key: str
    """ISO 3166-1 alpha-3 where officially assigned, else our own ``x-<slug>``."""
    iso3: str | None
    """ISO 3166-1 alpha-3; None: no code is officially assigned, `note` says why."""
    numeric: str | None
    """ISO 3166-1 numeric, three digits such as "076", as the map's shapes have it."""
    name: str
    """English name for display and running text, without article."""
    population: int | None
    """People (CLDR)."""
    gdp: float | None
    """GDP at purchasing power parity, US$ (CLDR; years differ, most are 2023)."""
    region: str | None
    """UN M49 region: Africa, Americas, Asia, Europe or Oceania."""
    official_languages: tuple[str, ...]
    """CLDR language codes with status official or de facto official in the whole
    territory; official in a region of it only does not count."""
    note: str | None = None
    """Why there is no ISO code, or what is odd about a covariate."""

    @property
    def english_official(self) -> bool:
        """English is official, de jure or de facto, in the whole territory."""
        return "en" in self.official_languages

    @property
    def gdp_per_capita(self) -> float | None:
        """US$ PPP per person; None where either number is missing."""
        if self.gdp is None or not self.population:
            return None
        return self.gdp / self.population


@dataclass(frozen=True, kw_only=True)
class FactSource:
    """Where some packaged facts come from."""

    facts: str
    """File and columns."""
    source: str
    version: str
    year: str
    """Of what year the facts are."""
    licence: str
    url: str
    note: str


def normalise(label: str) -> str:
    """Spelling without case, accents, punctuation and leading article."""
    decomposed = unicodedata.normalize("NFKD", label.casefold())
    text = "".join(c for c in decomposed if not unicodedata.combining(c))
    text = text.replace("&", " and ").replace("'", "").replace("\u2019", "")
    text = re.sub(r"[^a-z0-9]+", " ", text).strip()
    return text.removeprefix("the ")


def read_facts(name: str) -> list[dict[str, str]]:
    """Rows of a packaged csv."""
    path = resources.files("data_builders") / "facts" / name
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


@functools.cache
def _countries() -> dict[str, Country]:
    return {
        row["key"]: Country(
            key=row["key"],
            iso3=row["iso3"] or None,
            numeric=row["numeric"] or None,
            name=row["name"],
            population=int(row["population"]) if row["population"] else None,
            gdp=float(row["gdp"]) if row["gdp"] else None,
            region=row["region"] or None,
            official_languages=tuple(row["official_languages"].split()),
            note=row["note"] or None,
        )
        for row in read_facts("countries.csv")
    }


@functools.cache
def _labels() -> dict[str, tuple[str, str | None]]:
    labels = {
        normalise(row["label"]): (row["key"], row["sample"] or None)
        for row in read_facts("labels.csv")
    }
    for key in _countries():
        labels.setdefault(normalise(key), (key, None))
    return labels


def resolve_sample(label: str) -> tuple[Country, str | None]:
    """The country a label names, and the part of it that the label is about.

    Args:
        label: Any known spelling, an ISO 3166-1 alpha-3 code, or one of our keys.

    Returns:
        The country and, for labels such as "India (Old national sample)",
        "Northern Ireland" or "West_Java", the sample; None: the whole country.

    Raises:
        DataError: nobody knows the label; the nearest spellings are named.
    """
    text = _SHORTCODE.sub("", label)
    parts = _SAMPLE.fullmatch(text.strip())
    name = parts["country"] if parts else text
    found = _labels().get(normalise(name))
    if found is None:
        near = difflib.get_close_matches(normalise(name), list(_labels()), n=3)
        names = dict.fromkeys(by_key(_labels()[match][0]).name for match in near)
        hint = f"Did you mean {' or '.join(names)}? " if names else ""
        raise DataError(
            f"No country is known as '{label}'",
            "A country must be an ISO 3166-1 alpha-3 code or a known English spelling",
            f"{hint}The alpha-3 code always works",
        )
    key, sample = found
    return by_key(key), parts["sample"] if parts else sample


def resolve(label: str) -> Country:
    """The country a label names; `resolve_sample` also says which part of it.

    Raises:
        DataError: nobody knows the label; the nearest spellings are named.
    """
    return resolve_sample(label)[0]


def by_key(key: str) -> Country:
    """The country with exactly this key.

    Raises:
        DataError: there is no such key.
    """
    country = _countries().get(key)
    if country is None:
        near = difflib.get_close_matches(key, list(_countries()), n=3)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise DataError(
            f"There is no country key '{key}'",
            "A key must be an ISO 3166-1 alpha-3 code or one of ours, such as x-kosovo",
            f"{hint}Write the alpha-3 code, such as USA",
        )
    return country


def all_countries() -> tuple[Country, ...]:
    """The 249 officially assigned codes, then the 16 territories without one."""
    return tuple(_countries().values())


@functools.cache
def askreddit_names() -> tuple[tuple[str, str], ...]:
    """The 254 (name, key) of the AskReddit outputs, in their column order."""
    return tuple(
        (row["label"], resolve(row["label"]).key)
        for row in read_facts("askreddit_names.csv")
    )


@functools.cache
def analysis_keys() -> tuple[str, ...]:
    """The 181 countries of the paper's analysis, sorted.

    Of AskReddit's 254 names, those with an officially assigned ISO 3166-1 code and
    over 250,000 people. Three more codes have as many people by CLDR's numbers, but
    are no names of AskReddit's list: Guadeloupe, Martinique and Réunion. The paper
    took its populations from the UN's World Population Prospects 2022 (for 2021);
    CLDR's choose the same 181.
    """
    chosen = (by_key(key) for _, key in askreddit_names())
    return tuple(
        sorted(
            country.key
            for country in chosen
            if country.iso3 is not None
            and country.population is not None
            and country.population > ANALYSIS_POPULATION
        )
    )


@functools.cache
def fact_sources() -> tuple[FactSource, ...]:
    """Source, version, year and licence of every packaged fact."""
    return tuple(FactSource(**row) for row in read_facts("sources.csv"))
