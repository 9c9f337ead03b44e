"""Dialect minimal pairs: one edit a pair, halves by frame, and what a file may hold."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict

import pytest

from data_builders import dialect_features, select
from data_builders.dialect_features import FILLINGS, Lexicon
from probe.types import BuildOptions, ConfigError, Item, ProbeError, versioned

PROBE = dialect_features.PROBE

NEVER = {
    **{verb: f"{verb}ed" for verb in ("lock", "rain", "check", "touch", "call")},
    **{verb: f"{verb}ed" for verb in ("finish", "clean")},
    **{"stop": "stopped", "come": "came", "pay": "paid", "say": "said", "get": "got"},
    **{"eat": "ate", "see": "saw", "ring": "rang", "take": "took", "win": "won"},
    **{"bring": "brought", "sleep": "slept", "buy": "bought"},
}
"""Verbs of `past-never`: base form -> past form."""

EDITS = {
    "plural-you": r"you > y'all",
    "pronoun-drop": r"(i|he|she|it|they) > ",
    "associative-them": r"the others > them",
    "zero-plural": r"(\w+?)e?s > \1|feet > foot",
    "no-definite-article": r"the > ",
    "no-indefinite-article": r"a > ",
    "demonstrative-them": r"those > them",
    "zero-possessive": r"(\w+)'s > \1",
    "stative-progressive": r"(\w+?)e?s? > (am|is|are) \1r?ing",
    "habitual-be": r"(am|is|are) > be",
    "completive-done": r"(has|have) > done",
    "double-modal": r"be able to > could|(could|should) perhaps > might \1",
    "fixing-to": r"about > fixing",
    "zero-past": r"(\w+?)e?d > \1",
    "a-prefixing": r"(\w+ing) > a-\1",
    "negative-concord": r"any(thing|body|where) > no\1|any > (no|none)|ever > never",
    "aint-be": r"(isn't|aren't) > ain't|i'm not > i ain't",
    "aint-have": r"(hasn't|haven't) > ain't",
    "invariant-dont": r"doesn't > don't",
    "past-never": "|".join(f"didn't {verb} > never {NEVER[verb]}" for verb in NEVER),
    "invariant-tag": r"\w+n't > isn't|\w+n't (?!it)\w+ > isn't it|he > it",
    "no-third-person-s": r"(\w+?)(es|s) > \1",
    "existential-it": r"there's > it's|there > it",
    "zero-auxiliary-be": r"(is|are) > ",
    "zero-copula": r"(is|are) > ",
    "was-generalisation": r"were > was",
    "resumptive-pronoun": r" > (it|her|him|them)",
    "embedded-inversion": r"(.+) (\w+) > \2 \1",
    "uninverted-question": r"(\w+) (.+) > \2 \1",
    "focus-only": r"(?:just|right|very) (.+) > \1 only|(him|her)self > only",
}
"""Feature -> what may stand in the standard form alone > in the dialect form alone."""

EWAVE = {
    "plural-you": 34,
    "pronoun-drop": 43,
    "associative-them": 52,
    "zero-plural": 56,
    "no-definite-article": 62,
    "no-indefinite-article": 63,
    "demonstrative-them": 68,
    "zero-possessive": 77,
    "stative-progressive": 88,
    "habitual-be": 90,
    "completive-done": 104,
    "double-modal": 121,
    "fixing-to": 126,
    "zero-past": 132,
    "a-prefixing": 134,
    "negative-concord": 154,
    "aint-be": 155,
    "aint-have": 156,
    "invariant-dont": 158,
    "past-never": 159,
    "invariant-tag": 165,
    "no-third-person-s": 170,
    "existential-it": 173,
    "zero-auxiliary-be": 174,
    "zero-copula": 177,
    "was-generalisation": 180,
    "resumptive-pronoun": 194,
    "embedded-inversion": 227,
    "uninverted-question": 228,
    "focus-only": None,
}


def build(**options: object) -> list[Item]:
    return list(PROBE.build(BuildOptions(**options)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def items() -> list[Item]:
    """Both halves."""
    return build() + build(half="train")


def answers(item: Item) -> tuple[str, str]:
    standard, dialect = item.candidates
    assert (standard.id, dialect.id) == ("standard", "dialect")
    return standard.answer, dialect.answer


def edit(standard: str, dialect: str) -> str:
    """What is left of both texts without their common start and end, in lower case."""
    left, right = (
        re.findall(r"[\w'-]+|[^\w\s]", text.casefold()) for text in (standard, dialect)
    )
    while left and right and left[0] == right[0]:
        left, right = left[1:], right[1:]
    while left and right and left[-1] == right[-1]:
        left, right = left[:-1], right[:-1]
    return f"{' '.join(left)} > {' '.join(right)}"


# -- the bundled features ------------------------------------------------------


def test_features_have_their_ewave_numbers_names_and_varieties() -> None:
    found = dialect_features.features()
    assert {one.slug: one.ewave for one in found} == EWAVE
    assert [one.slug for one in found] == list(EWAVE)
    for one in found:
        assert len(one.frames) == 20, one.slug
        if one.ewave is None:
            assert one.ewave_name is None
            assert set(one.varieties.values()) == {None}
        else:
            assert one.ewave_name
            assert one.source == f"eWAVE 3.0, feature {one.ewave}"
            assert None not in one.varieties.values()
    attested = Counter(variety for one in found for variety in one.varieties)
    assert len(attested) == 5
    assert min(attested.values()) >= 6
    assert len({one.title for one in found}) == len(found)


@pytest.mark.parametrize("half", ["probe", "train"])
def test_every_feature_has_forty_pairs_of_ten_frames_in_each_half(half: str) -> None:
    pairs = build(half=half)
    per_feature = Counter(item.groups["feature"] for item in pairs)
    assert per_feature == dict.fromkeys(EWAVE, 40)
    per_frame = Counter(item.groups["frame"] for item in pairs)
    assert set(per_frame.values()) == {FILLINGS}
    assert len(per_frame) == 10 * len(EWAVE)


def test_halves_share_no_frame_and_depend_on_the_seed() -> None:
    frames = {
        (half, seed): {
            item.groups["frame"] for item in build(half=half, half_seed=seed)
        }
        for half in ("probe", "train")
        for seed in (0, 1)
    }
    for seed in (0, 1):
        assert not frames["probe", seed] & frames["train", seed]
    assert frames["probe", 0] != frames["probe", 1]
    options = BuildOptions(half="train", half_seed=1)
    assert versioned(PROBE, options) == "1+train-half-1"


def test_a_pair_differs_in_nothing_but_the_feature(items: list[Item]) -> None:
    seen = defaultdict(set)
    for item in items:
        slug = str(item.groups["feature"])
        found = edit(*answers(item))
        assert re.fullmatch(EDITS[slug], found), f"{item.id}: {found}"
        seen[slug].add(found)
    # Where the feature is not one word for another, many words show it.
    for slug in ("stative-progressive", "zero-past", "a-prefixing", "past-never"):
        assert len(seen[slug]) >= 15, slug


def test_forms_of_the_same_number_of_words_are_among_the_features(
    items: list[Item],
) -> None:
    same = {
        slug: all(
            len(standard.split()) == len(dialect.split())
            for standard, dialect in (
                answers(item) for item in items if item.groups["feature"] == slug
            )
        )
        for slug in EWAVE
    }
    assert sum(same.values()) >= 15
    assert not same["zero-copula"]


def test_texts_are_whole_sentences(items: list[Item]) -> None:
    for item in items:
        (message,) = item.messages
        assert re.fullmatch(r"[A-Z].*\?", message.content), item.id
        for text in (message.content, *answers(item)):
            assert re.fullmatch(r"[A-Z].*[.?]", text), item.id
            assert not re.search(r"\s\s|\s[.,?]|[\[\]{}|]|\b[Aa] [aeiou]", text), text


def test_no_text_stands_twice(items: list[Item]) -> None:
    assert len({item.id for item in items}) == len(items) == 80 * len(EWAVE)
    standard = Counter(answers(item)[0] for item in items)
    dialect = Counter(answers(item)[1] for item in items)
    assert max(standard.values()) == max(dialect.values()) == 1
    frames = Counter(
        (frame.prompt, re.sub(r"\[([^|]*)\|[^]]*\]", r"\1", frame.answer))
        for feature in dialect_features.features()
        for frame in feature.frames
    )
    assert max(frames.values()) == 1


def test_names_come_evenly_in_every_feature(items: list[Item]) -> None:
    """So that no feature is measured on other people's names than the next."""
    path = dialect_features.resources.files("data_builders") / "features/lexicon.yaml"
    lexicon = dialect_features.parse_lexicon(path.read_text(encoding="utf-8"))
    women, men = lexicon.slots["woman"], lexicon.slots["man"]
    assert sorted(lexicon.slots["name"]) == sorted({*women, *men})
    for slug in EWAVE:
        said: Counter[str] = Counter()
        for item in items:
            if item.groups["feature"] == slug:
                standard, dialect = (
                    set(re.findall(r"\w+", text)) & set(lexicon.slots["name"])
                    for text in answers(item)
                )
                assert standard == dialect
                asked = set(re.findall(r"\w+", item.messages[0].content))
                said.update(standard | asked & set(lexicon.slots["name"]))
        for names in (women, men):
            counts = [said[name] for name in names]
            assert sum(counts) >= 7, slug
            assert max(counts) - min(counts) <= 2, slug


def test_the_texts_are_those_of_version_1(items: list[Item]) -> None:
    """A changed sentence needs a new `PROBE.version`, then a new digest here."""
    texts = "\n".join(
        "\t".join((item.id, item.messages[0].content, *answers(item)))
        for item in sorted(items, key=lambda item: item.id)
    )
    assert PROBE.version == "1"
    digest = hashlib.sha256(texts.encode()).hexdigest()
    assert digest[:16] == "031d8ba57b82d5fb"


def test_a_limit_draws_whole_frames_of_every_feature() -> None:
    everything = build()
    drawn = select.limit_items(
        everything, PROBE.item_columns, len(EWAVE), unit=PROBE.unit
    )
    assert Counter(item.groups["feature"] for item in drawn) == (
        dict.fromkeys(EWAVE, FILLINGS)
    )
    assert len({item.groups["frame"] for item in drawn}) == len(EWAVE)


def test_items_say_what_the_feature_is() -> None:
    item = build()[0]
    assert item.groups["feature"] == "plural-you"
    assert item.id == f"{item.groups['frame']}-1"
    assert item.meta == {
        "ewave": 34,
        "ewave_name": (
            "Forms or phrases for the second person plural pronoun other than you"
        ),
        "feature_title": "A plural form of you",
        "varieties": ["African American English", "Appalachian English"],
    }
    assert set(item.groups) == set(PROBE.item_columns)
    assert set(item.candidates[0].groups) == set(PROBE.candidate_columns)


# -- what a file may hold ------------------------------------------------------

HEAD = """
title: T
ewave: 62
ewave_name: N
source: S
varieties: {Indian English: A}
about: A
"""
FRAME = """
frames:
  - prompt: "Where is {who}?"
    answer: "{who} is at [the|] {place}."
    slots: {place: [gate, bank, park, shop]}
"""
LEXICON = Lexicon(slots={"who": ("Mei", "Omar")})


def pairs(text: str) -> list[tuple[str, str, str]]:
    feature = dialect_features.parse(text, "x.yaml")
    return [
        (pair.prompt, pair.standard, pair.dialect)
        for pair in dialect_features.fill(feature, LEXICON)
    ]


def test_slots_are_filled_alike_and_dealt_on() -> None:
    answer = 'answer: "[It is|Is] {who} {n}.", slots: {n: [a, b, c, d]}'
    found = pairs(HEAD + FRAME + '  - {prompt: "Who?", ' + answer + "}")
    assert len(found) == 2 * FILLINGS
    for prompt, standard, dialect in found[:FILLINGS]:
        who = prompt.removeprefix("Where is ").removesuffix("?")
        place = standard.removeprefix(f"{who} is at the ")
        assert dialect == f"{who} is at {place}"
    places = {standard.split()[-1] for _, standard, _ in found[:FILLINGS]}
    assert places == {"gate.", "bank.", "park.", "shop."}
    said = Counter(re.findall(r"Mei|Omar", " ".join(text for _, text, _ in found)))
    assert said == {"Mei": 4, "Omar": 4}


def test_blanks_close_up_where_a_side_is_empty() -> None:
    found = pairs(HEAD + FRAME.replace("[the|] {place}.", "the {place} [now|]."))
    for _, standard, dialect in found:
        assert standard.removesuffix(" now.") + "." == dialect


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("ewave: 62", "ewave: 236", r"x\.yaml: `ewave`"),
        ("Indian English", "Indian", r"`varieties\.Indian"),
        ("English: A", "English: D", r"`varieties\.Indian English`"),
        ("about: A", "abuot: A", r"`abuot`"),
        ("answer:", "reply:", r"`frames\.0\.reply`"),
        ("title: T", "- T", r"x\.yaml is not YAML: line"),
        ("title: T", "title: [", r"x\.yaml is not YAML: line"),
        (
            "title: T",
            "title: T\ntitle: U",
            r"x\.yaml is not YAML: line.*'title' stands",
        ),
        ("[the|]", "the", r"`frames\.0`.*0 brackets"),
        ("[the|]", "[the|] [a|]", r"`frames\.0`.*2 brackets"),
        ("[the|]", "[the|a|]", r"`frames\.0`.*0 brackets"),
        ("[the|]", "[the|the]", r"`frames\.0`.*both sides"),
        ("Where is", "Where [is|]", r"`frames\.0`.*signs of one elsewhere"),
        ("at [the|]", "at {where} [the|]", r"slots that have no values: where"),
        ("{place: [", "{where: [in], place: [", r"slots that are not used: where"),
        ("[gate, bank, park, shop]", "[]", r"slots that have no values: place"),
        ("{place: [", "{who: [Ivan], place: [", r"stand in the lexicon too: who"),
        ("gate, bank, park, shop", "gate", r"`frames\.0`.*stands twice"),
        ("gate, bank", "Mei, Omar", r"`frames\.0`: one word fills two slots"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(old: str, new: str, match: str) -> None:
    assert pairs(HEAD + FRAME)
    text = HEAD + FRAME
    assert old in text
    with pytest.raises(ProbeError, match=match):
        pairs(text.replace(old, new, 1))


def test_a_wrong_lexicon_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"features/lexicon\.yaml: `slots\.n\.0`"):
        dialect_features.parse_lexicon("slots: {n: [1, 2]}")
