"""The country probes' items, their parity with recorded prompts, and finding probes."""

from __future__ import annotations

import csv
import difflib
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from data_builders import (
    askreddit,
    countries,
    country_questions,
    probes,
    slots,
    tables,
    where_from,
)
from probe import audit
from probe.config import Kind, ModelConfig
from probe.encode import Encoder
from probe.options import ItemOptions, for_one_probe
from probe.types import BuildOptions, Candidate, DataError, Item, Probe, UsageError

STARLING = "<s>[INST] {user} </s> [/INST] {assistant}</s>"
LLAMA_2 = "<s>[INST] {user} [/INST] {assistant}"
ZEPHYR = "<|user|>\n{user}</s>\n<|assistant|>\n {assistant}"
POLICIES = {
    "Llama-2-7b-hf": LLAMA_2,
    "Llama-2-7b-chat-hf": LLAMA_2,
    "Mistral-7B-v0.1": "{user} {assistant}",
    "Mistral-SFT-7B_8bit": ZEPHYR,
    "zephyr-7b-beta_8bit": ZEPHYR,
}


def encoder(template: str, kind: Kind) -> Encoder:
    """Renders as for a real model; the tokenizer plays no part in the text."""
    backend = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind is Kind.POLICY:
        config = ModelConfig(
            name="m", kind=kind, weights="hf:a/b", template=template, bos="none"
        )
    else:
        config = ModelConfig(
            name="m",
            kind=Kind.SEQUENCE_CLASSIFIER,
            weights="hf:a/b",
            template=template,
            bos="none",
        )
    return Encoder(PreTrainedTokenizerFast(tokenizer_object=backend), config)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def asked(shared_data: Path) -> list[Item]:
    options = BuildOptions(data=shared_data, articles="paper")
    return list(askreddit.PROBE.build(options))


# -- parity with the recorded prompts ---------------------------------------


def test_where_from_equals_the_254_recorded_prompts(recorded: Path) -> None:
    rows = read(recorded / "outputs/reward-testing/where_from_starling-rm-7b-alpha.csv")
    (item,) = where_from.PROBE.build(BuildOptions(articles="paper"))
    render = encoder(STARLING, Kind.SEQUENCE_CLASSIFIER).render
    ours = [render(item, candidate).text for candidate in item.candidates]
    assert ours == [row["prompt"] for row in rows]
    assert [c.groups["country"] for c in item.candidates] == [
        row["country"] for row in rows
    ]


def test_askreddit_equals_the_554_recorded_reward_prompts(
    recorded: Path, asked: list[Item]
) -> None:
    rows = read(
        recorded
        / "outputs/ask-reddit-reward-testing/starling-rm-7b-alpha-reformatted.csv"
    )
    recorded_prompts = {
        askreddit.item_id(row["Question"], row["Response Format"]): row["Full Prompt"]
        for row in rows
    }
    render = encoder(STARLING, Kind.SEQUENCE_CLASSIFIER).render
    ours = {}
    for item in asked:
        response = item.meta["response_format"]
        assert isinstance(response, str)
        ours[item.id] = render(item, Candidate(id="open", answer=response)).text
        canada = next(c for c in item.candidates if c.id == "CAN")
        assert render(item, canada).text == ours[item.id].replace(slots.SLOT, "Canada")
    assert len(ours) == 554
    assert ours == recorded_prompts


@pytest.mark.parametrize("policy", POLICIES)
def test_askreddit_equals_the_554_recorded_policy_prompts(
    recorded: Path, asked: list[Item], policy: str
) -> None:
    folder = recorded / "outputs/ask-reddit-perplexity-testing"
    rows = read(folder / f"{policy}-reformatted.csv")
    render = encoder(POLICIES[policy], Kind.POLICY).render
    ours = {}
    for item in asked:
        prompts = set()
        for candidate in item.candidates[::50]:
            rendered = render(item, candidate)
            prompts.add(rendered.text[: rendered.answer_start].rstrip())
            # The policy reads nothing beyond the country.
            scored = rendered.text[rendered.answer_start :]
            assert scored.removeprefix("the ") == candidate.groups["country"]
        (ours[item.id],) = prompts
    assert ours == {
        askreddit.item_id(row["Question"], row["Response Format"]): row["Full Prompt"]
        for row in rows
    }


# -- askreddit --------------------------------------------------------------


def test_askreddit_keeps_the_dataset_and_its_columns(
    recorded: Path, shared_data: Path, asked: list[Item]
) -> None:
    rows = read(recorded / "data/askreddit_countries/AskRedditCountries_final.csv")
    assert [item.messages[0].content for item in asked] == [
        row["Questions"] for row in rows
    ]
    assert Counter(item.groups["sentiment"] for item in asked) == {
        "positive": 323,
        "negative": 231,
    }
    assert {len(item.candidates) for item in asked} == {254}
    assert len({item.id for item in asked}) == 554
    groups = asked[0].groups
    assert groups == {
        "sentiment": "negative",
        "category": "Speculation",
        "query": "Which Country",
    }
    assert tuple(groups) == askreddit.PROBE.item_columns
    kosovo = next(c for c in asked[0].candidates if c.id == "x-kosovo")
    assert kosovo.groups == {"iso3": None, "country": "Kosovo"}
    columns = read(
        recorded
        / "outputs/ask-reddit-reward-testing/starling-rm-7b-alpha-reformatted.csv"
    )[0]
    assert [c.groups["country"] for c in asked[0].candidates] == list(columns)[9:]
    english = next(iter(askreddit.PROBE.build(BuildOptions(data=shared_data))))
    assert english.id == asked[0].id


def test_askreddit_articles_by_position(shared_data: Path) -> None:
    options = BuildOptions(data=shared_data, countries=("NLD", "USA", "BHS"))
    seen = Counter()
    for item in askreddit.PROBE.build(options):
        assert {c.id for c in item.candidates} == {"NLD", "USA", "BHS"}
        for candidate in item.candidates:
            assert candidate.span is not None
            text = candidate.answer[slice(*candidate.span)]
            initial = candidate.span[0] == 0
            seen[text] += 1
            assert text.startswith("The " if initial else "the ")
    # 64 responses open with the slot and none has it after a full stop.
    assert seen["The Netherlands"] == seen["The Bahamas"] == 64
    assert seen["the Netherlands"] == 554 - 64


def test_span_response_scores_everything(shared_data: Path) -> None:
    options = BuildOptions(data=shared_data, span="response", countries=("NLD",))
    assert all(
        item.candidates[0].span is None for item in askreddit.PROBE.build(options)
    )


HEADER = "Search Query,Sentiment,Questions,Response Format,Category\n"
GOOD = "Which Country,negative,Which one?,I think {country}.,Speculation\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER.replace(",Category", "") + "a,negative,b,{country}\n", ["'Category'"]),
        (HEADER + GOOD + GOOD, ["line 3", "repeats line 2"]),
        (HEADER + GOOD.replace("Which one?", " "), ["line 2", "column 'Questions'"]),
        (HEADER + GOOD.replace("{country}", "x"), ["'Response Format'", "I think x."]),
        (HEADER + GOOD.replace("{country}", "{country}{country}"), ["exactly once"]),
        (HEADER + GOOD.replace("negative", "sad"), ["'Sentiment'", "'sad'"]),
        (HEADER + "a,negative\n", ["line 2", "2 cells under 5 columns"]),
        (HEADER, ["no rows"]),
    ],
)
def test_a_bad_dataset_is_refused_by_line_and_column(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    file = tmp_path / "AskRedditCountries_final.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        list(askreddit.PROBE.build(BuildOptions(data=tmp_path)))
    for word in [*words, file.name]:
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["askreddit", "where_from", "country_questions"])
def test_a_country_nobody_knows(name: str, shared_data: Path) -> None:
    options = BuildOptions(data=shared_data, countries=("Frnce",))
    with pytest.raises(DataError, match="France"):
        list(probes.load(name).build(options))


# -- country_questions ------------------------------------------------------


def slot_place(response: str) -> str:
    before, after = response.split(slots.SLOT)
    return "start" if not before else "end" if after == "." else "middle"


def test_questions_are_mirrored_pairs() -> None:
    asked = country_questions.questions()
    assert len(asked) == 64
    assert len({q.id for q in asked}) == len({q.question for q in asked}) == 64
    for best, worst in zip(asked[::2], asked[1::2], strict=True):
        assert (best.sentiment, worst.sentiment) == ("positive", "negative")
        assert (best.pair, best.category) == (worst.pair, worst.category)
        for a, b in ((best.question, worst.question), (best.response, worst.response)):
            words = difflib.SequenceMatcher(a=a.split(), b=b.split(), autojunk=False)
            changed = [op for op in words.get_opcodes() if op[0] != "equal"]
            assert [(op, i2 - i1, j2 - j1) for op, i1, i2, j1, j2 in changed] == [
                ("replace", 1, 1)
            ], (a, b)
        assert best.question.endswith("?")
        assert best.response.count(slots.SLOT) == 1


def test_valence_is_not_confounded_with_place_length_or_category() -> None:
    def of(sentiment: str) -> list[country_questions.Question]:
        return [q for q in country_questions.questions() if q.sentiment == sentiment]

    good, bad = of("positive"), of("negative")
    for key in (lambda q: q.category, lambda q: slot_place(q.response)):
        assert Counter(map(key, good)) == Counter(map(key, bad))
    assert Counter(q.category for q in good) == dict.fromkeys(
        "food travel safety economy education environment culture governance".split(), 4
    )
    places = Counter(slot_place(q.response) for q in good)
    assert set(places) == {"start", "middle", "end"} and min(places.values()) >= 8

    for text in (lambda q: q.question, lambda q: q.response):
        means = [statistics.mean(len(text(q)) for q in side) for side in (good, bad)]
        assert abs(means[0] - means[1]) < 1  # character, of about 50


def test_questions_are_ours(recorded: Path) -> None:
    rows = read(recorded / "data/askreddit_countries/AskRedditCountries_final.csv")
    theirs = {row[k].lower() for row in rows for k in ("Questions", "Response Format")}
    ours = {t.lower() for q in country_questions.questions() for t in (q.question,)}
    ours |= {q.response.lower() for q in country_questions.questions()}
    assert not ours & theirs


def test_country_questions_items() -> None:
    items = list(country_questions.PROBE.build(BuildOptions()))
    assert {len(item.candidates) for item in items} == {181}
    assert [c.id for c in items[0].candidates] == list(countries.analysis_keys())
    first = next(c for c in items[0].candidates if c.id == "NLD")
    assert first.answer == "The Netherlands serves the best street food by far."
    assert first.span == (0, len("The Netherlands"))
    assert first.groups == {"iso3": "NLD", "country": "Netherlands"}
    assert items[1].meta["pair"] == items[0].meta["pair"] == "food-1"


def test_a_country_outside_the_probe_is_named() -> None:
    options = BuildOptions(countries=("USA", "x-kosovo"))
    with pytest.raises(DataError, match=r"x-kosovo.*country_questions"):
        list(country_questions.PROBE.build(options))


# -- options that only some probes read ---------------------------------------


def policy(**changes: object) -> ModelConfig:
    fields = {"name": "m", "kind": Kind.POLICY, "weights": "hf:a/b", "bos": "none"}
    return ModelConfig.model_validate({**fields, "template": ZEPHYR, **changes})


@pytest.mark.parametrize(
    ("probe", "given", "message"),
    [
        ("askreddit", {"languages": "fi"}, "--languages is given, and probe askreddit"),
        ("belebele", {"shots": 0}, "--shots is given, and probe belebele does not"),
        ("tydiqa", {"personas": "IND"}, "tydiqa reads languages, shots"),
    ],
)
def test_an_option_that_a_probe_would_ignore(
    probe: str, given: dict[str, Any], message: str
) -> None:
    chosen = ItemOptions(**given).read()
    with pytest.raises(UsageError, match=message):
        for_one_probe(probes.load(probe), policy(), chosen)


def test_languages_as_a_user_writes_them() -> None:
    def chosen(names: str) -> BuildOptions:
        return ItemOptions(languages=names, shots=2).read()

    options = chosen("eng_Latn, hi,German,English")
    assert options.languages == ("eng_Latn", "hin_Deva", "deu_Latn")
    assert for_one_probe(probes.load("tydiqa"), policy(), options).shots == 2
    with pytest.raises(UsageError, match="--languages is empty"):
        chosen(" , ")
    with pytest.raises(DataError, match=r"Did you mean English \(eng_Latn\)"):
        chosen("Englsh")


def test_an_audit_leaves_out_what_lacks_a_language(
    shared_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = [probes.load(name) for name in ("belebele", "tydiqa", "where_from")]
    options = BuildOptions(data=shared_data, languages=("deu_Latn",))
    built = audit.available(found, options, limit=3, seed=0)
    assert [probe.name for probe, _ in built] == ["belebele", "where_from"]
    assert "left out probe tydiqa: --languages asks for German" in caplog.text
    assert {item.groups["language"] for item in built[0][1]} == {"deu_Latn"}


# -- finding probes ---------------------------------------------------------


def test_shipped_probes_load_and_keep_their_promises(shared_data: Path) -> None:
    shipped = probes.shipped()
    assert {"askreddit", "country_questions", "where_from"} <= set(shipped)
    for name in ("askreddit", "country_questions", "where_from", "belebele", "tydiqa"):
        probe = probes.load(name)
        assert isinstance(probe, Probe) and probe.name == name
        items = list(probe.build(BuildOptions(data=shared_data)))
        assert len({item.id for item in items}) == len(items)
        for item in items:
            assert tuple(item.groups) == probe.item_columns
            ids = [candidate.id for candidate in item.candidates]
            assert len(set(ids)) == len(ids)
            assert all(
                tuple(c.groups) == probe.candidate_columns for c in item.candidates
            )


def test_a_misspelt_probe_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'askreddit'"):
        probes.load("askredit")


def test_a_path_is_read_as_a_file_of_items(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        probes.load(str(tmp_path / "absent.csv"))
    file = tmp_path / "mine.csv"
    file.write_text("item_id,prompt,candidate_id,answer\n1,Why?,a,So.\n", "utf-8")
    assert probes.load(str(file)).name == "mine"
    assert tables.SUFFIXES == (".csv", ".jsonl")
