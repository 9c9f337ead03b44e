"""Survey questions as items: rotations, phrasings, personas, a user's protocol."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from data_builders import global_opinions, protocols, select, survey
from probe.types import (
    BuildOptions,
    ConfigError,
    DataError,
    Item,
    UsageError,
    versioned,
)
from tests.test_survey import selections, write

PROBE = global_opinions.PROBE


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(
        tmp_path / "global_opinions.csv",
        [
            (
                "Is {it} so?",
                selections(France=[0.2, 0.3, 0.5], India=[0.1, 0.8, 0.1]),
                "['Yes', 'No {letter}', 'DK/Refused']",
            ),
            ("And that?", selections(Peru=[0.4, 0.6]), "['Agree', 'Disagree']"),
        ],
    )
    return tmp_path


def build(data: Path, **options: object) -> list[Item]:
    return list(PROBE.build(BuildOptions(data=data, **options)))  # type: ignore[arg-type]


def test_every_option_stands_once_at_every_place(data: Path) -> None:
    items = build(data)
    assert [item.id.split("-", 1)[1] for item in items] == [
        *(f"rotation-{k}" for k in range(3)),
        *(f"rotation-{k}" for k in range(2)),
    ]
    places = Counter(
        (item.groups["question_id"], c.id, c.groups["place"])
        for item in items
        for c in item.candidates
    )
    assert set(places.values()) == {1} and len(places) == 3 * 3 + 2 * 2
    assert len({item.id for item in items}) == len(items)


def test_prompt_letters_and_span_agree(data: Path) -> None:
    for item in build(data):
        prompt = item.messages[-1].content
        for candidate in item.candidates:
            assert candidate.span is not None
            start, end = candidate.span
            letter = candidate.answer[start:end]
            assert f"{letter}. {candidate.groups['option']}" in prompt
            place = candidate.groups["place"]
            assert isinstance(place, float) and letter == "ABC"[int(place)]
    # Braces in a survey's text are text.
    assert "Is {it} so?" in build(data)[0].messages[-1].content
    assert "No {letter}" in build(data)[0].messages[-1].content


def test_reward_models_read_spoken_answers_in_three_phrasings(data: Path) -> None:
    items = build(data, reader="reward")
    assert len(items) == 2 * 3
    first = [item for item in items if item.messages[-1].content == "Is {it} so?"]
    assert len({item.candidates[0].answer for item in first}) == 3
    for item in first:
        assert "I don't know, or I would rather not say" in item.candidates[2].answer
        assert item.groups["protocol"] == "answers"
        assert all(c.span is None for c in item.candidates)


def test_personas_are_asked_what_their_country_was(data: Path) -> None:
    plain, steered = build(data), build(data, personas=("IND",))
    assert [item for item in steered if item.groups["persona"] is None] == plain
    asked = [item for item in steered if item.groups["persona"] == "IND"]
    assert len(asked) == 3
    assert asked[0].id.endswith("rotation-0-IND")
    for persona, item in zip(asked, plain, strict=False):
        before, _, rest = persona.messages[-1].content.partition(
            item.messages[-1].content
        )
        assert before.endswith("person would.\n\n") and "India" in before and not rest
    with pytest.raises(DataError, match="NGA, where no question was asked"):
        build(data, personas=("NGA",))


def test_countries_keep_the_questions_they_were_asked(data: Path) -> None:
    [one, *others] = build(data, countries=("PER",))
    assert len(others) == 1 and one.groups["n_options"] == "2"
    # What others answered stays: it is no text, and a later call may need it.
    both = build(data, countries=("PER", "FRA"))
    assert both == build(data)
    with pytest.raises(DataError, match="no question was asked in NGA"):
        build(data, countries=("NGA",))


def test_meta_holds_what_people_answered(data: Path) -> None:
    meta = json.loads(json.dumps(dict(build(data)[0].meta)))
    assert meta["options"] == ["Yes", "No {letter}", "DK/Refused"]
    france, india = meta["answers"]
    assert france == {
        "key": "FRA",
        "sample": None,
        "shares": [0.2, 0.3, 0.5],
        "total": 1.0,
    }
    assert india["key"] == "IND"


def test_limit_draws_whole_questions(shared_data: Path) -> None:
    items = build(shared_data)
    drawn = select.limit_items(items, PROBE.item_columns, 40, 0, PROBE.unit)
    asked = {item.groups["question_id"] for item in drawn}
    assert len(asked) == 40
    whole = Counter(item.groups["question_id"] for item in items)
    assert Counter(i.groups["question_id"] for i in drawn) == {
        key: whole[key] for key in asked
    }
    more = select.limit_items(items, PROBE.item_columns, 60, 0, PROBE.unit)
    assert {item.id for item in drawn} <= {item.id for item in more}
    # Drawn by kind of question, common kinds more often than rare ones.
    sizes = Counter(
        item.groups["n_options"] for item in drawn if "rotation-0" in item.id
    )
    assert sizes["4"] > sizes["7"]


# -- protocols ---------------------------------------------------------------

PUBLISHED = """
letters:
  prompt: "Survey: {question}\\n\\nChoices:\\n{options}"
  option: "({letter}) {text}"
  answer: "Of these I take ({letter})"
  scored: "{letter})"
"""


def test_a_users_protocol_replaces_its_part_and_the_version(
    data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "published.yaml"
    file.write_text(PUBLISHED)
    [first, *_] = build(data, protocol=file)
    assert first.messages[-1].content == (
        "Survey: Is {it} so?\n\nChoices:\n(A) Yes\n(B) No {letter}\n(C) DK/Refused"
    )
    [candidate, *_] = first.candidates
    assert candidate.span is not None
    assert candidate.answer[slice(*candidate.span)] == "A)"
    assert candidate.answer.endswith("I take (A)")
    # The other protocol and the persona stay the shipped ones.
    assert build(data, protocol=file, reader="reward") == build(data, reader="reward")
    assert versioned(PROBE, BuildOptions(protocol=file)).startswith("1+protocol-")
    assert versioned(PROBE, BuildOptions(articles="paper", span="response")) == "1"


def test_the_whole_option_may_be_scored(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "text.yaml"
    file.write_text('letters: {answer: "I say {text}", scored: "{text}"}')
    [first, *_] = build(data, protocol=file)
    assert [c.answer[slice(*c.span)] for c in first.candidates if c.span] == [
        "Yes",
        "No {letter}",
        "DK/Refused",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("letters: {prompt: '{question}', answer: a, scored: a}", "letters.prompt"),
        (
            "letters: {prompt: '{question}{options}', answer: a, scored: a}",
            "must hold {letter} or {text}",
        ),
        (
            "letters: {prompt: '{question}{options}', answer: '{letter}', scored: '('}",
            "word for word",
        ),
        ("answers: {phrasings: {}}", "answers.phrasings"),
        ("letters: {promt: '{question} {options}'}", "letters.promt"),
        ("", "holds nothing"),
        ("answers: {prompt: '{question}', phrasings: {a: b}}", "{text} exactly once"),
        ("persona: nobody", "persona"),
        ("leters: {}", "leters"),
        ("- 1", "holds list"),
        ("persona: 'A {country}'\npersona: 'B {country}'", "'persona' stands twice"),
        ("a: [", "is not YAML: line 1"),
        ("letters: 2001-99-99", "letters"),
    ],
)
def test_a_wrong_protocol_names_file_and_key(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        protocols.load(file)
    assert says in str(caught.value) and "wrong.yaml" in str(caught.value)


def test_fill_leaves_other_braces_alone() -> None:
    assert protocols.fill("{a} {b} {", a="{b}") == "{b} {b} {"


def test_dropped_is_what_the_survey_left_out(data: Path) -> None:
    assert PROBE.dropped is not None
    assert PROBE.dropped(BuildOptions(data=data)) == {}
    path = data / "global_opinions.csv"
    path.write_text(path.read_text() + ' ,"{}","[]"\n')
    assert PROBE.dropped(BuildOptions(data=data)) == {"question: no text": 1}
    assert len(survey.read(path).questions) == 2


def test_score_refuses_options_the_probe_would_ignore() -> None:
    from data_builders import askreddit
    from probe.config import load_shipped
    from probe.options import for_one_probe

    config = load_shipped("smollm2_135m_instruct")
    with pytest.raises(UsageError, match="--personas is given, and probe askreddit"):
        for_one_probe(askreddit.PROBE, config, BuildOptions(personas=("IND",)))
    with pytest.raises(UsageError, match="--articles is given"):
        for_one_probe(PROBE, config, BuildOptions(articles="paper"))
    assert for_one_probe(
        PROBE, load_shipped("starling_7b_card"), BuildOptions()
    ).reader == ("reward")
