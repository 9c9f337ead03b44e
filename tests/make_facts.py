"""Rebuilds `facts/countries.csv` and `facts/labels.csv`; run by hand, not at import.

Nothing in the tables is typed from memory: ISO 3166-1 codes and names come from
pycountry, population, GDP, official languages, regions and English names from
Unicode CLDR, map spellings from Natural Earth. Three small hand-kept files say
what no library knows: `unassigned.csv` (territories without a code), `aliases.csv`
(spellings found in published data) and `names.csv` (display names).

    npm pack cldr-core@48.2.0 cldr-localenames-full@48.2.0     # and unpack both
    python -m tests.make_facts \
        --cldr cldr-core/package/supplemental/territoryInfo.json \
        --containment cldr-core/package/supplemental/territoryContainment.json \
        --names cldr-localenames-full/package/main/en/territories.json \
        --world analysis/maps/countries-110m.json

The same inputs give the same bytes; other inputs are refused by their sha256.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycountry

from data_builders import countries
from data_builders.countries import normalise
from probe.types import DataError

logger = logging.getLogger(__name__)

FACTS = Path(countries.__file__).parent / "facts"

SHA256 = {
    "cldr": "b50369a0e1f5434c942dfe45064b39f488604ca0cedac5117e993248c19f2c0a",
    "containment": "9f7d2eed5278ebb7c302b7536e391708b237945c314d09a206c632c2fab45ee2",
    "names": "158c1d575308f7e46912edbeda435c8fe2ef5dad280798231f3a432e406b1807",
    "world": "2516c915867c7baf18ddec727aec46c315541a07cfb3d79a6559b05d5e94eee8",
}
"""Of the inputs the packaged facts were made from; new ones are a deliberate change."""

OFFICIAL = ("official", "de_facto_official")
"""CLDR statuses that count as an official language of the whole territory."""

COUNTRY_COLUMNS = (
    "key",
    "iso3",
    "numeric",
    "name",
    "population",
    "gdp",
    "region",
    "official_languages",
    "note",
)
LABEL_COLUMNS = ("label", "key", "sample", "found_in")


@dataclass(frozen=True, kw_only=True)
class Label:
    """One spelling of a country, as `facts/labels.csv` holds it."""

    label: str
    key: str
    sample: str = ""
    """The part of the country that the label names; empty: all of it."""
    found_in: str


def read_json(path: Path, name: str) -> dict:
    """Reads an input after checking its bytes.

    Raises:
        DataError: `path` is another version than the packaged facts' source.
    """
    data = path.read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    if sha != SHA256[name]:
        raise DataError(
            f"{path} has sha256 {sha}",
            f"--{name} must have {SHA256[name]}",
            "Use the version named in make_facts.py, or change SHA256 on purpose",
        )
    return json.loads(data)


def read_csv(name: str) -> list[dict[str, str]]:
    """Rows of one of the hand-kept files."""
    with (FACTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def regions(containment: Mapping[str, dict], names: Mapping[str, str]) -> dict:
    """Territory -> UN M49 region (Africa, Americas, Asia, Europe, Oceania).

    CLDR's own group QO (outlying Oceania: Antarctica, Clipperton, ...) is no M49
    region, so its members have none.
    """
    found: dict[str, str] = {}

    def visit(code: str, region: str) -> None:
        for child in containment.get(code, {}).get("_contains", []):
            if child == "QO":
                continue
            if re.fullmatch(r"[A-Z]{2}", child):
                found[child] = region
            else:
                visit(child, region)

    for code in containment["001"]["_contains"]:
        visit(code, names[code])
    return found


def display_name(alpha2: str, names: Mapping[str, str]) -> str:
    """CLDR's English name as running text has it."""
    name = names[alpha2]
    if " SAR " in name or name.endswith(")") or name.endswith("Territories"):
        name = names.get(f"{alpha2}-alt-short", name)
    return name.replace("&", "and").replace("St. ", "Saint ").replace("\u2019", "'")


def country_rows(
    info: Mapping[str, dict],
    containment: Mapping[str, dict],
    names: Mapping[str, str],
) -> list[dict[str, str]]:
    """Rows of `countries.csv`: the assigned ISO codes, then the unassigned."""
    region = regions(containment, names)
    renamed = {row["key"]: row["name"] for row in read_csv("names.csv")}
    notes = {row["key"]: row["note"] for row in read_csv("notes.csv")}

    def row(key: str, alpha2: str, name: str, note: str) -> dict[str, str]:
        territory = info.get(alpha2, {})
        languages = territory.get("languagePopulation", {})
        return {
            "key": key,
            "name": name,
            "population": territory.get("_population", ""),
            "gdp": territory.get("_gdp", ""),
            "region": region.get(alpha2, ""),
            "official_languages": " ".join(
                sorted(
                    language
                    for language, facts in languages.items()
                    if facts.get("_officialStatus") in OFFICIAL
                )
            ),
            "note": note,
        }

    assigned = [
        row(
            country.alpha_3,
            country.alpha_2,
            renamed.get(country.alpha_3, display_name(country.alpha_2, names)),
            notes.get(country.alpha_3, ""),
        )
        | {"iso3": country.alpha_3, "numeric": country.numeric}
        for country in sorted(pycountry.countries, key=lambda c: c.alpha_3)
    ]
    unassigned = [
        row(entry["key"], entry["cldr"], entry["name"], entry["note"])
        | {"iso3": "", "numeric": ""}
        for entry in read_csv("unassigned.csv")
    ]
    return assigned + unassigned


def candidate_labels(
    countries: Sequence[Mapping[str, str]],
    names: Mapping[str, str],
    world: Mapping[str, dict],
) -> Iterator[Label]:
    """Every known spelling, hand-kept ones first."""
    for row in read_csv("aliases.csv"):
        yield Label(**row)
    for country in countries:
        yield Label(label=country["name"], key=country["key"], found_in="display name")
    by_numeric = {row["numeric"]: row["key"] for row in countries if row["numeric"]}
    for entry in sorted(pycountry.countries, key=lambda c: c.alpha_3):
        fields = dict(entry)
        for field in ("name", "common_name", "official_name"):
            if field in fields:
                yield Label(
                    label=fields[field],
                    key=entry.alpha_3,
                    found_in=f"ISO 3166-1 {field} (pycountry)",
                )
        for variant in ("", "-alt-short", "-alt-variant"):
            if entry.alpha_2 + variant in names:
                yield Label(
                    label=names[entry.alpha_2 + variant],
                    key=entry.alpha_3,
                    found_in="CLDR English",
                )
    for shape in world["objects"]["countries"]["geometries"]:
        if "id" in shape:
            yield Label(
                label=shape["properties"]["name"],
                key=by_numeric[shape["id"]],
                found_in="Natural Earth",
            )


def unique_labels(labels: Iterable[Label]) -> list[Label]:
    """Drops repeated spellings; two countries with one spelling are an error.

    Raises:
        DataError: one normalised spelling would name two countries or samples.
    """
    seen: dict[str, Label] = {}
    for label in labels:
        first = seen.setdefault(normalise(label.label), label)
        if (first.key, first.sample) != (label.key, label.sample):
            raise DataError(
                f"'{first.label}' ({first.key}) and '{label.label}' ({label.key}) "
                "are one spelling",
                "A spelling must name one country",
                "Take one of them out of facts/aliases.csv",
            )
    return list(seen.values())


def to_csv(columns: Iterable[str], rows: Iterable[Mapping[str, str]]) -> str:
    """The table as text, with LF line ends on every platform."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def build(cldr: Path, containment: Path, names: Path, world: Path) -> dict[str, str]:
    """File name -> text of the two generated tables."""
    info = read_json(cldr, "cldr")["supplemental"]["territoryInfo"]
    tree = read_json(containment, "containment")["supplemental"]["territoryContainment"]
    english = read_json(names, "names")["main"]["en"]["localeDisplayNames"][
        "territories"
    ]
    shapes = read_json(world, "world")
    countries = country_rows(info, tree, english)
    labels = unique_labels(candidate_labels(countries, english, shapes))
    return {
        "countries.csv": to_csv(COUNTRY_COLUMNS, countries),
        "labels.csv": to_csv(LABEL_COLUMNS, (vars(label) for label in labels)),
    }


def main() -> None:
    """Writes both tables into `facts/`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in SHA256:
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    tables = build(
        arguments.cldr, arguments.containment, arguments.names, arguments.world
    )
    for name, text in tables.items():
        (FACTS / name).write_text(text, encoding="utf-8", newline="\n")
        logger.info("%s: %d rows", name, text.count("\n") - 1)


if __name__ == "__main__":
    main()
