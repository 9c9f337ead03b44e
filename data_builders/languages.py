"""The languages of the benchmarks: one code each, names and scripts from CLDR.

A code is FLORES-200's: ISO 639-3, underscore, ISO 15924, such as ``deu_Latn``. Names
and scripts are those of Unicode's CLDR and of the IANA registry, as the libraries
`langcodes` and `language_data` carry them.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from probe.types import DataError

if TYPE_CHECKING:
    from langcodes import Language as Tag

CODES = tuple(
    """\
    acm_Arab afr_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab
    arz_Arab asm_Beng azj_Latn bam_Latn ben_Beng ben_Latn bod_Tibt bul_Cyrl cat_Latn
    ceb_Latn ces_Latn ckb_Arab dan_Latn deu_Latn ell_Grek eng_Latn est_Latn eus_Latn
    fin_Latn fra_Latn fuv_Latn gaz_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr
    hin_Deva hin_Latn hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn
    ita_Latn jav_Latn jpn_Jpan kac_Latn kan_Knda kat_Geor kaz_Cyrl kea_Latn khk_Cyrl
    khm_Khmr kin_Latn kir_Cyrl kor_Hang lao_Laoo lin_Latn lit_Latn lug_Latn luo_Latn
    lvs_Latn mal_Mlym mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nob_Latn
    npi_Deva npi_Latn nso_Latn nya_Latn ory_Orya pan_Guru pbt_Arab pes_Arab plt_Latn
    pol_Latn por_Latn ron_Latn rus_Cyrl shn_Mymr sin_Latn sin_Sinh slk_Latn slv_Latn
    sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn
    swh_Latn tam_Taml tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tsn_Latn tso_Latn
    tur_Latn ukr_Cyrl urd_Arab urd_Latn uzn_Latn vie_Latn war_Latn wol_Latn xho_Latn
    yor_Latn zho_Hans zho_Hant zsm_Latn zul_Latn""".split()
)
"""The 122 that Belebele is published in, as its files are called, sorted."""

TYDIQA: Mapping[str, str] = MappingProxyType(
    {
        "arabic": "arb_Arab",
        "bengali": "ben_Beng",
        "english": "eng_Latn",
        "finnish": "fin_Latn",
        "indonesian": "ind_Latn",
        "korean": "kor_Hang",
        "russian": "rus_Cyrl",
        "swahili": "swh_Latn",
        "telugu": "tel_Telu",
    }
)
"""How TyDiQA's files and ids call its nine languages -> code."""

_TAGALOG = {"tgl": "tl"}
"""CLDR takes Tagalog for Filipino; its name is kept under the two-letter code only."""
_HAN = {"Hans": "Simplified Han", "Hant": "Traditional Han"}
"""The names that stand alone; the library has those that follow 'Chinese'."""

_QUALIFIER = re.compile(r" \([^)]*\)$")
_IN_SCRIPT = re.compile(
    r"(?P<name>.+?)(?:\s*\((?P<inside>[^()]+)\)|[\s-]+(?P<last>[A-Za-z]+))"
)
"""A name and the script it is written in: `Hindi (Latin script)`, `hindi roman`."""
_LATIN = ("latin", "latn", "roman", "romanized", "romanised")
"""What the Latin script is called where a language is as a rule written in another."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language in one script."""

    code: str
    """FLORES-200's, such as ``eng_Latn``."""
    name: str
    """English name, each its own: with the script where the language is written in
    another one as a rule, as in `Hindi (Latin)`."""
    script: str
    """English name of the script."""


def by_code(code: str) -> Language:
    """The language with exactly this code.

    Raises:
        DataError: There is none; the nearest is named.
    """
    if code not in _known():
        near = difflib.get_close_matches(code, CODES, n=1)
        raise DataError(
            f"There is no language code '{code}'",
            f"A code is one of {len(CODES)}, such as eng_Latn",
            f"Did you mean '{near[0]}'" if near else "Correct it",
        )
    return _known()[code]


def resolve(label: str) -> str:
    """The code of the language that a user names.

    Args:
        label: A code, a BCP 47 tag such as `hi` or `zh-TW` (of which a territory only
            serves to tell the script), or a name such as `German` or `Hindi (Latin)`.
            A macrolanguage such as `no` is its member, where only one is here.

    Raises:
        DataError: Nobody knows it, or it is none of `CODES`; the nearest is named.
    """
    exact = _spellings().get(label.strip().casefold())
    if exact is not None:
        return exact
    tag = _tag(label.strip())
    code = None if tag is None else _by_tag().get(_key(tag)) or _only_member(tag)
    if code is None:
        meant = tag or _begins_with(label)
        name = label if meant is None else meant.language_name()
        near = [f"{one.name} ({one.code})" for one in _nearest(name)]
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise DataError(
            f"No language of the {len(CODES)} is known as '{label}'",
            "A language is a code such as eng_Latn, a BCP 47 tag such as en, or an "
            "English name",
            f"{hint}The code always works",
        )
    return code


@functools.cache
def _known() -> dict[str, Language]:
    times = Counter(code.partition("_")[0] for code in CODES)
    known = {}
    for code in CODES:
        language, _, script = code.partition("_")
        tag = _parsed(f"{language}-{script}")
        name = _QUALIFIER.sub("", _name(language, tag))
        # The standard tag has a script only where it is not the usual one.
        if times[language] > 1 and _standard(tag).script is not None:
            name = f"{name} ({tag.script_name()})"
        known[code] = Language(
            code=code, name=name, script=_HAN.get(script, tag.script_name())
        )
    return known


def _name(language: str, tag: Tag) -> str:
    import langcodes

    if language in _TAGALOG:
        tag = langcodes.Language.make(language=_TAGALOG[language])
    return tag.language_name()


def _parsed(text: str) -> Tag:
    # Imported here: only names and what a user writes need it.
    import langcodes

    return langcodes.Language.get(text)


def _standard(tag: Tag) -> Tag:
    """Of what `arb-Arab` and `ar` are, the second; the same for all such languages."""
    import langcodes

    text = langcodes.standardize_tag(tag.to_tag(), macro=True)
    return langcodes.Language.get(text)


def _key(tag: Tag) -> tuple[str | None, str | None]:
    """Language and script, the usual one where none is said."""
    full = _standard(tag).maximize()
    return full.language, full.script


@functools.cache
def _by_tag() -> dict[tuple[str | None, str | None], str]:
    return {_key(_parsed(code.replace("_", "-"))): code for code in CODES}


@functools.cache
def _spellings() -> dict[str, str]:
    """Codes and names, in lower case -> code."""
    known = _known().values()
    names = {one.name.casefold(): one.code for one in known}
    return names | {one.code.casefold(): one.code for one in known}


def _tag(label: str) -> Tag | None:
    """What BCP 47 or a name in any language says; None: nothing."""
    import langcodes

    try:
        tag = langcodes.Language.get(label)
        if tag.is_valid():
            return tag
    except langcodes.LanguageTagError:
        pass
    parts = _IN_SCRIPT.fullmatch(label)
    script = None if parts is None else _script(parts["inside"], parts["last"])
    if parts is None or script is None:
        return _named(label)
    tag = _named(parts["name"])
    if tag is None:
        return None
    return langcodes.Language.make(language=tag.language, script=script)


def _script(inside: str | None, last: str | None) -> str | None:
    """The script that a name is followed by; None: it is none.

    Any script may stand in brackets; without them only the Latin one is meant, as
    others are languages too.
    """
    said = (inside or last or "").strip().casefold()
    said = said.removesuffix(" script")
    if said in _LATIN:
        return "Latn"
    scripts = {code.partition("_")[2] for code in CODES}
    names = {
        name.casefold(): script
        for script in scripts
        for name in (script, _HAN.get(script, _parsed(f"und-{script}").script_name()))
    }
    return None if inside is None else names.get(said)


def _named(name: str) -> Tag | None:
    """The language that is called so in English or any other language."""
    from language_data import names

    for language in ("en", "und"):
        tag = _begins_with(name, language)
        # The library takes what a name begins with for the name.
        known = names.TRIES[f"{language}/name_to_language"]
        if names.normalize_name(name) in known:
            return tag
    return None


def _begins_with(name: str, language: str = "und") -> Tag | None:
    """The language whose name this is, or begins with; `und`: in any language."""
    import langcodes

    try:
        return langcodes.find(name, language=language)
    except LookupError:
        return None


def _only_member(tag: Tag) -> str | None:
    """The one language here of a macrolanguage; None: there are more, or none."""
    from langcodes.data_dicts import MACROLANGUAGES

    members = [
        code
        for (language, script), code in _by_tag().items()
        if MACROLANGUAGES.get(language) == tag.language and tag.script in (None, script)
    ]
    return members[0] if len(members) == 1 else None


def _nearest(name: str) -> list[Language]:
    """Languages whose names hold this one, else those that look like it."""
    wanted = name.strip().casefold()
    holding = [one for one in _known().values() if wanted in one.name.casefold()]
    if wanted and holding:
        return holding[:3]
    near = difflib.get_close_matches(wanted, _spellings(), n=3, cutoff=0.6)
    return [by_code(code) for code in dict.fromkeys(_spellings()[one] for one in near)]
