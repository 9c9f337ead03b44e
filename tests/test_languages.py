"""Codes, names and scripts of languages, and what a user may call them."""

from __future__ import annotations

import pytest

from data_builders import languages
from probe.types import DataError


def test_every_language_has_a_name_of_its_own_and_a_script() -> None:
    known = [languages.by_code(code) for code in languages.CODES]
    assert len(known) == len({one.name for one in known}) == 122
    assert list(languages.CODES) == sorted(set(languages.CODES))
    for one in known:
        assert "nknown" not in one.name + one.script
        assert "individual language" not in one.name
    # As many languages as Belebele's card says, and a name for each script.
    assert len({one.code.partition("_")[0] for one in known}) == 115
    scripts = {one.code.partition("_")[2]: one.script for one in known}
    assert len(scripts) == len(set(scripts.values())) == 27


@pytest.mark.parametrize(
    ("code", "name", "script"),
    [
        ("eng_Latn", "English", "Latin"),
        ("arb_Arab", "Standard Arabic", "Arabic"),
        ("arb_Latn", "Standard Arabic (Latin)", "Latin"),
        ("hin_Deva", "Hindi", "Devanagari"),
        ("hin_Latn", "Hindi (Latin)", "Latin"),
        ("zho_Hans", "Chinese (Simplified)", "Simplified Han"),
        ("zho_Hant", "Chinese (Traditional)", "Traditional Han"),
        ("npi_Deva", "Nepali", "Devanagari"),
        ("luo_Latn", "Luo", "Latin"),
        ("tgl_Latn", "Tagalog", "Latin"),
    ],
)
def test_names(code: str, name: str, script: str) -> None:
    found = languages.by_code(code)
    assert (found.name, found.script) == (name, script)


def test_what_is_said_of_a_language_finds_it() -> None:
    for code in languages.CODES:
        assert languages.resolve(code) == code
        assert languages.resolve(languages.by_code(code).name) == code
        assert languages.resolve(code.replace("_", "-")) == code
    for name, code in languages.TYDIQA.items():
        assert languages.resolve(name) == code
    assert len(set(languages.TYDIQA.values())) == 9


@pytest.mark.parametrize(
    ("label", "code"),
    [
        (" deu_latn ", "deu_Latn"),
        ("german", "deu_Latn"),
        ("de", "deu_Latn"),
        ("de-AT", "deu_Latn"),
        ("ger", "deu_Latn"),
        ("hi", "hin_Deva"),
        ("hi-Latn", "hin_Latn"),
        ("ar", "arb_Arab"),
        ("arz", "arz_Arab"),
        ("zh", "zho_Hans"),
        ("zh-TW", "zho_Hant"),
        ("zh-Hant", "zho_Hant"),
        ("sw", "swh_Latn"),
        ("fil", "tgl_Latn"),
        ("tl", "tgl_Latn"),
        ("Bengali", "ben_Beng"),
        ("Farsi", "pes_Arab"),
        ("iw", "heb_Hebr"),
        ("nb", "nob_Latn"),
        ("no", "nob_Latn"),
        ("Norwegian", "nob_Latn"),
        ("Pashto", "pbt_Arab"),
        ("ku", "ckb_Arab"),
        ("Fulah", "fuv_Latn"),
        ("Deutsch", "deu_Latn"),
        ("Hindi (Roman)", "hin_Latn"),
        ("hindi roman", "hin_Latn"),
        ("Hindi-Latin", "hin_Latn"),
        ("Hindi (Devanagari)", "hin_Deva"),
        ("Bengali (Latin)", "ben_Latn"),
        ("Bengali Latin", "ben_Latn"),
        ("Urdu (Latin script)", "urd_Latn"),
        ("Nepali (Romanized)", "npi_Latn"),
        ("Sinhala (Latn)", "sin_Latn"),
        ("Arabic (Latin)", "arb_Latn"),
        ("Chinese (Traditional Han)", "zho_Hant"),
    ],
)
def test_tags_and_names(label: str, code: str) -> None:
    assert languages.resolve(label) == code


@pytest.mark.parametrize(
    ("label", "near"),
    [
        ("Englsh", "English (eng_Latn)"),
        ("Serbian (Latin)", "Serbian (srp_Cyrl)"),
        ("Kazakh Latin", "Kazakh (kaz_Cyrl)"),
        ("Germanic", "German (deu_Latn)"),
        ("Bengali old", "Bangla (ben_Beng)"),
        ("fin_Cyrl", "Finnish (fin_Latn)"),
    ],
)
def test_an_unknown_language_suggests_the_nearest(label: str, near: str) -> None:
    with pytest.raises(DataError) as caught:
        languages.resolve(label)
    assert caught.value.found == f"No language of the 122 is known as '{label}'"
    assert caught.value.action.startswith(f"Did you mean {near}")


def test_nothing_near_is_suggested_for_nonsense() -> None:
    with pytest.raises(DataError) as caught:
        languages.resolve("qqqq")
    assert caught.value.action == "The code always works"


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(DataError, match=r"no language code 'eng_Latin'.*'eng_Latn'"):
        languages.by_code("eng_Latin")
