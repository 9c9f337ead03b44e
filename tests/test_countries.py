from __future__ import annotations

import csv
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pycountry
import pytest

from data_builders import countries
from probe.types import DataError
from tests import make_facts

PAPER = "recorded/unintended-impacts"
STARLING = "outputs/ask-reddit-reward-testing/starling-rm-7b-alpha-reformatted.csv"


@pytest.fixture(scope="module", autouse=True)
def large_fields():
    before = csv.field_size_limit(10**8)
    yield
    csv.field_size_limit(before)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file))


# What each spelling must mean, written down from the data's own documentation and
# the ISO table, not from the tables under test. First the ones a pattern would get
# wrong, then every spelling of the shared data that pycountry does not know.
MEANING = {
    "Northern Cyprus": "x-northern-cyprus",
    "N. Cyprus": "x-northern-cyprus",
    "Cyprus": "CYP",
    "Cyprus No Mans Area": "x-cyprus-buffer-zone",
    "Dhekelia Sovereign Base Area": "x-dhekelia",
    "Akrotiri Sovereign Base Area": "x-akrotiri",
    "Indian Ocean Territories": "x-australian-indian-ocean-territories",
    "British Indian Ocean Territory": "IOT",
    "Georgia": "GEO",
    "South Georgia and South Sandwich Islands": "SGS",
    "Guinea": "GIN",
    "Guinea Bissau": "GNB",
    "Equatorial Guinea": "GNQ",
    "Papua New Guinea": "PNG",
    "Niger": "NER",
    "Nigeria": "NGA",
    "Republic of Congo": "COG",
    "Congo": "COG",
    "Democratic Republic of the Congo": "COD",
    "Dem. Rep. Congo": "COD",
    "Macedonia": "MKD",
    "North Macedonia": "MKD",
    "Saint Martin": "MAF",
    "Sint Maarten": "SXM",
    "Somalia": "SOM",
    "Somaliland": "x-somaliland",
    "Kosovo": "x-kosovo",
    "Republic of Serbia": "SRB",
    "Dominica": "DMA",
    "Dominican Republic": "DOM",
    "Sudan": "SDN",
    "South Sudan": "SSD",
    "Samoa": "WSM",
    "American Samoa": "ASM",
    "United States of America": "USA",
    "United States Minor Outlying Islands": "UMI",
    "United States Virgin Islands": "VIR",
    "British Virgin Islands": "VGB",
    "US Naval Base Guantanamo Bay": "x-guantanamo-bay",
    "Ireland": "IRL",
    "Isle of Man": "IMN",
    "Mali": "MLI",
    "Malawi": "MWI",
    "Oman": "OMN",
    "Romania": "ROU",
    "Hong Kong S.A.R.": "HKG",
    "Hong Kong SAR": "HKG",
    "Macao S.A.R": "MAC",
    "Macau SAR": "MAC",
    "Palestine": "PSE",
    "Palest. ter.": "PSE",
    "Palestinian Authority": "PSE",
    "The Palestinian Authority": "PSE",
    "Taiwan": "TWN",
    "Taiwan ROC": "TWN",
    "China": "CHN",
    "North Korea": "PRK",
    "South Korea": "KOR",
    "S. Korea": "KOR",
    "S. Africa": "ZAF",
    "S. Sudan": "SSD",
    "Great Britain": "GBR",
    "Britain": "GBR",
    "UK": "GBR",
    "US": "USA",
    "Ivory Coast": "CIV",
    "Czech Rep.": "CZE",
    "Czechia": "CZE",
    "Turkey": "TUR",
    "Swaziland": "SWZ",
    "eSwatini": "SWZ",
    "East Timor": "TLS",
    "Vatican": "VAT",
    "Curaçao": "CUW",
    "Saint Barthelemy": "BLM",
    "Aland": "ALA",
    "Pitcairn Islands": "PCN",
    "Saint Helena": "SHN",
    "The Bahamas": "BHS",
    "Gambia": "GMB",
    "Federated States of Micronesia": "FSM",
    "Fr. S. Antarctic Lands": "ATF",
    "French Southern and Antarctic Lands": "ATF",
    "W. Sahara": "ESH",
    "Bosnia Herzegovina": "BIH",
    "Bosnia and Herz.": "BIH",
    "Bajo Nuevo Bank (Petrel Is.)": "x-bajo-nuevo-bank",
    "Brunei": "BRN",
    "Cape Verde": "CPV",
    "Russia": "RUS",
    "Myanmar": "MMR",
    "United Republic of Tanzania": "TZA",
}


@pytest.mark.parametrize(("label", "key"), MEANING.items())
def test_spelling_means(label: str, key: str) -> None:
    assert countries.resolve(label).key == key
    assert countries.resolve(f" {label.upper()} ").key == key


@pytest.mark.parametrize(
    ("label", "key", "sample"),
    [
        ("India (Old national sample)", "IND", "Old national sample"),
        ("India (Current national sample)", "IND", "Current national sample"),
        ("S. Africa (Non-national sample)", "ZAF", "Non-national sample"),
        ("Northern Ireland", "GBR", "Northern Ireland"),
        ("Great Britain", "GBR", None),
        ("Northern_Nigeria", "NGA", "Northern Nigeria"),
        ("West_Java", "IDN", "West Java"),
        ("Assam", "IND", "Assam"),
        ("Canada  :ca:", "CAN", None),
        ("Cocos (Keeling) Islands", "CCK", None),
    ],
)
def test_samples(label: str, key: str, sample: str | None) -> None:
    country, found = countries.resolve_sample(label)
    assert (country.key, found) == (key, sample)


@pytest.mark.parametrize(
    ("label", "hint"),
    [
        ("Nigerya", "Nigeria"),
        ("Korea", "South Korea"),
        ("Virgin Islands", "United States Virgin Islands"),
        ("Guinea Conakry", None),
        ("Cyprus (Southern part)", None),
        ("Narnia", None),
        ("XKX", None),
        ("", None),
    ],
)
def test_unknown_spellings_are_refused(label: str, hint: str | None) -> None:
    with pytest.raises(DataError) as caught:
        countries.resolve(label)
    assert f"'{label}'" in caught.value.found
    if hint:
        assert hint in caught.value.action


def test_by_key_is_exact() -> None:
    assert countries.by_key("BRA").numeric == "076"
    with pytest.raises(DataError, match="Did you mean BRA"):
        countries.by_key("BRAA")
    with pytest.raises(DataError):
        countries.by_key("Brazil")


def test_every_askreddit_name_has_its_own_key(shared_data: Path) -> None:
    columns = header(shared_data / PAPER / STARLING)[9:]
    names = countries.askreddit_names()
    assert [name for name, _ in names] == columns
    assert len(columns) == 254
    assert len({key for _, key in names}) == 254


def test_where_from_and_policies_use_the_same_names(shared_data: Path) -> None:
    names = [name for name, _ in countries.askreddit_names()]
    folder = shared_data / PAPER / "outputs"
    where = folder / "reward-testing" / "where_from_starling-rm-7b-alpha.csv"
    assert [row["country"] for row in rows(where)] == names
    policies = sorted((folder / "ask-reddit-perplexity-testing").glob("*.csv"))
    assert len(policies) == 5
    for policy in policies:
        assert header(policy)[10:] == names


def test_the_181_countries_of_the_analysis(shared_data: Path) -> None:
    path = shared_data / PAPER / "data" / "countries" / "countries_in_analysis.json"
    theirs = [
        countries.resolve(n).key for n in json.loads(path.read_text(encoding="utf-8"))
    ]
    assert len(theirs) == len(set(theirs)) == 181
    assert sorted(theirs) == list(countries.analysis_keys())


def test_the_rule_without_the_names_adds_three_french_departments() -> None:
    large = {
        country.key
        for country in countries.all_countries()
        if country.iso3 and (country.population or 0) > 250_000
    }
    assert large - set(countries.analysis_keys()) == {"GLP", "MTQ", "REU"}
    named = {key for _, key in countries.askreddit_names()}
    assert not named & {"GLP", "MTQ", "REU"}
    # Large enough, but without an officially assigned code:
    assert countries.resolve("Kosovo").population == 1_977_090
    assert "x-kosovo" not in countries.analysis_keys()


def test_every_label_of_the_opinion_data(shared_data: Path) -> None:
    recorded = sorted((shared_data / PAPER / "outputs/globalopinionsqa").glob("*.csv"))
    assert len(recorded) == 5
    labels = header(recorded[0])[9:]
    assert len(labels) == 138
    for path in recorded:
        assert header(path)[9:] == labels

    named: set[str] = set()
    for row in rows(shared_data / "opinions" / "llm_global_opinions.csv"):
        found = re.findall(r"(?:'([^']+)'|\"([^\"]+)\"): \[", row["selections"])
        named |= {single or double for single, double in found}
    assert named == set(labels)

    bracketed = 0
    for label in labels:
        country, sample = countries.resolve_sample(label)
        plain, _, rest = label.partition(" (")
        if rest:
            bracketed += 1
            assert sample == rest.rstrip(")")
            assert country == countries.resolve(plain)
        elif label == "Northern Ireland":
            assert sample == label
        else:
            assert sample is None
        assert country.iso3 is not None
    assert bracketed == sum("sample)" in label for label in labels) == 28


def test_every_other_spelling_of_the_shared_data(shared_data: Path) -> None:
    paper = shared_data / PAPER
    spellings: set[str] = set()
    gallup = shared_data / "opinions" / "gallup_us_adults_country_favourability.csv"
    spellings |= {row["country"] for row in rows(gallup)}
    pew = rows(shared_data / "opinions" / "pew_country_favourability_from_goqa.csv")
    spellings |= {row["target"] for row in pew}
    spellings |= {row["respondent_country"] for row in pew}
    with (shared_data / "sft" / "blend_country_qa.jsonl").open(encoding="utf-8") as f:
        spellings |= {json.loads(line)["country"] for line in f}
    assert len(spellings) > 60
    for spelling in spellings:
        assert countries.resolve(spelling).iso3 is not None

    results = rows(
        paper / "results" / "7_askreddit" / "starling_rm_df_filtered_USA.csv"
    )
    for row in results:
        assert countries.resolve(row["Country"]).iso3 == row["code"]


def test_paper_s_gallup_labels_carry_their_own_check(shared_data: Path) -> None:
    path = shared_data / PAPER / "data" / "countries" / "USA-favorability-2023.csv"
    labels = [next(iter(row.values())) for row in rows(path)]
    assert len(labels) == 21
    for label in labels:
        code = label.split(":")[1].upper()
        iso3 = pycountry.countries.get(alpha_2=code).alpha_3
        assert countries.resolve(label).iso3 == iso3


def test_every_shape_of_the_map(shared_data: Path) -> None:
    text = (shared_data / "geo" / "countries-110m.json").read_bytes()
    packaged = Path(make_facts.__file__).parents[1] / "analysis" / "maps"
    assert (packaged / "countries-110m.json").read_bytes() == text
    shapes = json.loads(text)["objects"]["countries"]["geometries"]
    assert len(shapes) == 177
    for shape in shapes:
        country = countries.resolve(shape["properties"]["name"])
        assert country.numeric == shape.get("id")
    drawn = {shape.get("id") for shape in shapes}
    missing = [
        key
        for key in countries.analysis_keys()
        if countries.by_key(key).numeric not in drawn
    ]
    assert len(missing) == 11
    assert {"SGP", "MLT", "BHR"} <= set(missing)


def test_codes_are_the_assigned_ones() -> None:
    iso = {c.alpha_3: c.numeric for c in pycountry.countries}
    ours = {c.iso3: c.numeric for c in countries.all_countries() if c.iso3}
    assert ours == iso
    for country in countries.all_countries():
        if country.iso3 is None:
            assert country.key.startswith("x-")
            assert country.numeric is None
            assert country.note and country.note.startswith("No ISO 3166-1 code")
        else:
            assert country.key == country.iso3
    unassigned = [c for c in countries.all_countries() if c.iso3 is None]
    assert len(unassigned) == 16


def test_names_of_pycountry_mean_its_codes() -> None:
    for entry in pycountry.countries:
        fields = dict(entry)
        for field in ("name", "common_name", "official_name", "alpha_3"):
            if field in fields:
                assert countries.resolve(fields[field]).iso3 == entry.alpha_3


def country_converter_table() -> list[dict[str, str]]:
    """Its data file: the class itself does not load under pandas 3."""
    package = pytest.importorskip("country_converter", exc_type=ImportError)
    path = Path(package.__file__).with_name("country_data.tsv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_short_names_of_country_converter_mean_its_codes() -> None:
    known = {c.iso3 for c in countries.all_countries() if c.iso3}
    table = [row for row in country_converter_table() if row["ISO3"] in known]
    assert len(table) == 249
    # A name that also means a region of three countries is no spelling of one.
    for row in table:
        if row["name_short"] != "Guiana":
            assert countries.resolve(row["name_short"]).iso3 == row["ISO3"]


def test_regions_agree_with_country_converter() -> None:
    theirs = {row["ISO3"]: row["continent"] for row in country_converter_table()}
    for key in countries.analysis_keys():
        region = {"Americas": "America"}.get(
            str(countries.by_key(key).region), countries.by_key(key).region
        )
        assert region == theirs[key], key


def test_covariates_are_cldr_s(shared_data: Path) -> None:
    path = shared_data / "geo" / "cldr-territoryInfo.json"
    info = json.loads(path.read_text(encoding="utf-8"))["supplemental"]["territoryInfo"]
    for entry in pycountry.countries:
        country = countries.by_key(entry.alpha_3)
        theirs = info[entry.alpha_2]
        assert country.population == int(theirs["_population"])
        assert country.gdp == float(theirs["_gdp"])
        official = {
            language
            for language, facts in theirs.get("languagePopulation", {}).items()
            if facts.get("_officialStatus") in ("official", "de_facto_official")
        }
        assert set(country.official_languages) == official


def test_the_confound_model_s_covariates_are_complete() -> None:
    for key in countries.analysis_keys():
        country = countries.by_key(key)
        assert country.region in {"Africa", "Americas", "Asia", "Europe", "Oceania"}
        assert country.population and country.gdp
        assert country.gdp_per_capita == country.gdp / country.population
        assert country.official_languages
    # Known cases of each status: de facto, official, regional only, none.
    english = {
        key: countries.by_key(key).english_official
        for key in ("USA", "GBR", "IND", "NGA", "PRI", "MYS", "DEU", "ISR", "CHN")
    }
    assert english == {
        "USA": True,
        "GBR": True,
        "IND": True,
        "NGA": True,
        "PRI": True,
        "MYS": False,
        "DEU": False,
        "ISR": False,
        "CHN": False,
    }


def test_a_country_without_numbers_says_none() -> None:
    reef = countries.resolve("Scarborough Reef")
    assert reef.population is None and reef.gdp is None
    assert reef.gdp_per_capita is None and reef.region is None
    assert reef.official_languages == () and not reef.english_official


def test_facts_name_their_source() -> None:
    covered = " ".join(source.facts for source in countries.fact_sources())
    for column in ("population", "gdp", "region", "official_languages", "name"):
        assert column in covered
    for source in countries.fact_sources():
        assert source.year and source.licence and source.url.startswith("https://")


def test_two_countries_with_one_spelling_are_refused() -> None:
    labels = [
        make_facts.Label(label="Saint-Martin", key="MAF", found_in="test"),
        make_facts.Label(label="saint martin", key="SXM", found_in="test"),
    ]
    with pytest.raises(DataError, match="one spelling"):
        make_facts.unique_labels(labels)
    assert len(make_facts.unique_labels([labels[0], labels[0]])) == 1


def test_other_inputs_of_make_facts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "territoryInfo.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="sha256"):
        make_facts.read_json(path, "cldr")


def test_regions_follow_the_containment_tree() -> None:
    tree = {
        "001": {"_contains": ["002", "009"]},
        "002": {"_contains": ["015"]},
        "015": {"_contains": ["DZ", "EG"]},
        "009": {"_contains": ["QO", "NZ"]},
        "QO": {"_contains": ["AQ"]},
        "002-status-grouping": {"_contains": ["202"]},
    }
    names = {"002": "Africa", "009": "Oceania"}
    assert make_facts.regions(tree, names) == {
        "DZ": "Africa",
        "EG": "Africa",
        "NZ": "Oceania",
    }


def test_importing_countries_is_light() -> None:
    code = (
        "import sys, data_builders.countries, data_builders.country_opinions;"
        "from data_builders import sources;"
        "print({'pandas', 'numpy', 'pycountry', 'country_converter',"
        " 'huggingface_hub'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_nothing_is_read_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = Path.read_text

    def spy(self: Path, *args, **kwargs):
        opened.append(self.name)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", spy)
    fresh = importlib.util.module_from_spec(
        importlib.util.find_spec("data_builders.countries")
    )
    monkeypatch.setitem(sys.modules, "data_builders.countries", fresh)
    fresh.__spec__.loader.exec_module(fresh)
    assert opened == []
    fresh.resolve("France")
    assert set(opened) == {"countries.csv", "labels.csv"}
