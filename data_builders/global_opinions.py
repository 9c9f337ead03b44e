"""GlobalOpinionQA: how close are a model's answers to those of people in each country?

2,555 questions of cross-national surveys, each with the distribution of answers in
some of 106 countries and territories. A policy chooses among lettered options; every
question is asked once with each option at each place (cyclic rotations), so that a
liking for a letter can be measured and averages out. A reward model scores each option
as an assistant's answer in several phrasings. The wording is that of
`protocols/global_opinions.yaml` or of a user's file, the same for every question.

Source: Durmus et al. 2023, section 2; protocol of Ryan, Held and Yang, ACL 2024,
section 6, with our own wording. What each country answered goes into the items' meta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from data_builders import articles, countries, protocols, scales, sources, survey
from data_builders.protocols import Protocol
from data_builders.survey import Question, Survey
from probe.types import (
    BuildOptions,
    Candidate,
    Item,
    Message,
    NothingAskedError,
    Probe,
)

LETTERS = "letters"
ANSWERS = "answers"

MANY_OPTIONS = 8
"""From so many options on, questions count as one group: `--limit` draws from each
group, and would otherwise draw mostly rare kinds of question."""


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields the questions in the dataset's order, each plain and then by persona.

    `countries` keeps the questions that at least one of these countries was asked. A
    persona is asked only what people of its country were asked.

    Raises:
        DataError: The dataset cannot be had or used; `NothingAskedError`: nobody in
            these countries, or in a persona's, was asked anything.
        ConfigError: The protocol's file is wrong.
    """
    protocol = protocols.load(options.protocol)
    found = _survey(options)
    wanted = set(options.countries or ())
    asked = [
        question
        for question in found.questions
        if not wanted or wanted & {one.key for one in question.answers}
    ]
    if not asked:
        raise NothingAskedError(
            f"no question was asked in {', '.join(sorted(wanted))}",
            "--countries names countries whose people were asked",
            "Leave it away, or name others",
        )
    for persona in options.personas:
        if not any(persona in {one.key for one in q.answers} for q in asked):
            raise NothingAskedError(
                f"--personas names {persona}, where no question was asked",
                "A persona is compared with the answers of people of its country",
                "Leave it away, or name another country",
            )
    for question in asked:
        yield from items(question, protocol, options.reader)
        here = {one.key for one in question.answers}
        for persona in options.personas:
            if persona in here:
                yield from items(question, protocol, options.reader, persona)


def dropped(options: BuildOptions) -> Mapping[str, int]:
    """What the dataset holds and `build` leaves out, by reason."""
    return _survey(options).dropped


def _survey(options: BuildOptions) -> Survey:
    return survey.read(sources.path("global_opinions", options.data))


def items(
    question: Question, protocol: Protocol, reader: str, persona: str | None = None
) -> Iterator[Item]:
    """One question as a policy reads it (its rotations) or a reward model.

    Args:
        question: The question.
        protocol: The wording.
        reader: `policy` or `reward`.
        persona: Crosswalk key of the country whose view is asked for; None: nobody's.
    """
    before = ""
    if persona is not None:
        name = countries.by_key(persona).name
        whose = articles.with_article(name, rule="english", sentence_initial=False)
        before = protocols.fill(protocol.persona.strip(), country=whose) + "\n\n"
    if reader == "policy":
        for shift in range(len(question.options)):
            yield _lettered(question, protocol, shift, before, persona)
    else:
        for phrasing, answer in protocol.answers.phrasings.items():
            yield _answered(question, protocol, phrasing, answer, before, persona)


def _lettered(
    question: Question, protocol: Protocol, shift: int, before: str, persona: str | None
) -> Item:
    """The question with its options moved up by `shift` places, cyclically."""
    wording = protocol.letters
    n = len(question.options)
    order = [(place + shift) % n for place in range(n)]
    lines = [
        protocols.fill(
            wording.option,
            letter=protocols.letter(place),
            text=question.options[option],
        )
        for place, option in enumerate(order)
    ]
    prompt = protocols.fill(
        wording.prompt, question=question.text, options="\n".join(lines)
    )
    candidates = []
    for place, option in enumerate(order):
        answer, span = wording.fill_answer(
            protocols.letter(place), question.options[option]
        )
        candidates.append(candidate(question, option, answer, span=span, place=place))
    return item(
        question,
        f"rotation-{shift}",
        LETTERS,
        before + prompt,
        tuple(candidates),
        persona,
    )


def _answered(
    question: Question,
    protocol: Protocol,
    phrasing: str,
    answer: str,
    before: str,
    persona: str | None,
) -> Item:
    prompt = protocols.fill(protocol.answers.prompt, question=question.text)
    return item(
        question,
        phrasing,
        ANSWERS,
        before + prompt,
        tuple(
            candidate(question, i, protocols.fill(answer, text=scales.spoken(option)))
            for i, option in enumerate(question.options)
        ),
        persona,
    )


def candidate(
    question: Question,
    option: int,
    answer: str,
    *,
    span: tuple[int, int] | None = None,
    place: int | None = None,
) -> Candidate:
    """One option as an answer; its id is its number in the survey's own order.

    Args:
        question: The question.
        option: The option's number.
        answer: Its text.
        span: What of it a policy scores.
        place: Where it stood among the lettered options; None: it has no place.
    """
    scale = question.scale
    return Candidate(
        id=str(option),
        answer=answer,
        span=span,
        groups={
            "option": question.options[option],
            "place": None if place is None else float(place),
            "ordinal": None if scale is None else scale.places[option],
        },
    )


def item(
    question: Question,
    variant: str,
    protocol: str,
    prompt: str,
    candidates: tuple[Candidate, ...],
    persona: str | None,
) -> Item:
    """One way of asking a question, with what people answered in its meta."""
    n = len(question.options)
    parts = (question.id, variant, *([] if persona is None else [persona]))
    return Item(
        id="-".join(parts),
        messages=(Message(role="user", content=prompt),),
        candidates=candidates,
        groups={
            "question_id": question.id,
            "protocol": protocol,
            "variant": variant,
            "persona": persona,
            "scale": "ordinal" if question.scale else None,
            "n_options": str(n) if n < MANY_OPTIONS else f"{MANY_OPTIONS} or more",
            "survey": question.survey,
        },
        meta={
            "question": question.text,
            "options": list(question.options),
            "scale": None if question.scale is None else question.scale.name,
            "answers": [
                {
                    "key": one.key,
                    "sample": one.sample,
                    "shares": [round(share, 9) for share in one.shares],
                    "total": round(one.total, 9),
                }
                for one in question.answers
            ],
        },
    )


PROBE = Probe(
    name="global_opinions",
    version="1",
    title="Whose opinions? Survey questions against the answers of 106 countries",
    axis="opinions",
    fits=frozenset({"reward", "policy"}),
    item_columns=(
        "question_id",
        "protocol",
        "variant",
        "persona",
        "scale",
        "n_options",
        "survey",
    ),
    candidate_columns=("option", "place", "ordinal"),
    sources=("global_opinions",),
    build=build,
    words=frozenset({"protocol", "personas"}),
    unit="question_id",
    dropped=dropped,
)
