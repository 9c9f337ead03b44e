"""TyDiQA, gold passages: questions in nine languages, answered in the model's words.

People who wanted to know asked in their own language; a passage of its Wikipedia
answers. A policy reads worked examples of the language, then a passage and a question,
and answers in at most 50 tokens, up to the first blank line; its log-probability of the
reference answers is a softer measure beside that. The questions of the languages are
different questions: some languages' are easier whatever the model.

Passages, questions and answers are in the language; the instruction, `Passage`,
`Question` and `Answer` are English in all of them, which may help or hinder some more
than others. Examples stand in the one user turn, the same for all questions of a
language.

The examples are of the training questions, or, for a language without any at hand, of
those asked, of whose articles nothing is asked then. They are drawn by a fixed seed,
from different articles, and as far as there are enough from passages of middling length
(the middle half of the language's), so that no prompt consists of one huge example.

Source: Clark et al., "TyDi QA", TACL 2020, gold passage task; protocol of Ryan, Held
and Yang, ACL 2024, section 5 (one example, 50 tokens, cut at the first blank line).
The wording is ours.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_builders import languages, sources, tydiqa_passages
from data_builders.tydiqa_passages import Question
from probe.types import (
    BuildOptions,
    Candidate,
    DataError,
    Item,
    Message,
    NothingAskedError,
    Probe,
)

MAX_NEW_TOKENS = 50
STOP = ("\n\n",)
SEED = 0
"""Fixes the draw of the examples."""
DRAWN = "drawn as an example"
RELATED = "of an example's document"

INSTRUCTION = (
    "Answer the question with the shortest words of the passage that answer it."
)
QUESTION = "Passage: {passage}\nQuestion: {question}\nAnswer:"
"""What is asked; of an example the answer follows after a space."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One language's questions and the examples before each of them."""

    language: languages.Language
    examples: tuple[Question, ...]
    questions: tuple[Question, ...]
    dropped: Counter[str]


def gold(data: Path | None, only: Sequence[str] | None = None) -> tuple[Question, ...]:
    """The questions of the development split, which is the one that is asked.

    Args:
        data: A folder with local copies; None: the hub.
        only: Codes of languages; None: all that the folder has.

    Returns:
        Each question once, language by language.

    Raises:
        DataError: The data cannot be had or is malformed; `NothingAskedError`: it has
            no question in a language asked for.
    """
    found: dict[str, Question] = {}
    located = sources.locate_all("tydiqa", data, only)
    for one in located:
        for question in tydiqa_passages.read(one.path):
            if one.language not in (None, question.language) or question.id in found:
                raise DataError(
                    f"{one.path} has the question '{question.id}'",
                    "Each question stands once, in a file of its language or of all",
                    "Use the files as published",
                )
            found[question.id] = question
    codes = {question.language for question in found.values()}
    missing = [code for code in only or () if code not in codes]
    if missing:
        raise NothingAskedError(
            f"--languages asks for {missing[0]}, and {located[0].path} has no question "
            "in it",
            f"It has questions in {', '.join(sorted(codes))}",
            "Leave it away",
        )
    wanted = codes if only is None else codes & set(only)
    return tuple(
        question
        for code in sorted(wanted)
        for question in found.values()
        if question.language == code
    )


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields the questions language by language, in the file's order.

    Raises:
        DataError: As `gold`; or a language has too few questions for the examples.
    """
    for asked in _read(options):
        for question in asked.questions:
            yield _item(question, asked)


def dropped(options: BuildOptions) -> Counter[str]:
    """Questions that are not asked, by reason.

    Raises:
        DataError: As `build`.
    """
    return sum((asked.dropped for asked in _read(options)), Counter())


def _read(options: BuildOptions) -> list[_Asked]:
    questions = gold(options.data, options.languages)
    # Optional: a local folder may have no training split.
    train = [
        question
        for one in sources.locate_all("tydiqa_train", options.data)
        for question in tydiqa_passages.read(one.path)
    ]
    return [
        _with_examples(
            code,
            [one for one in questions if one.language == code],
            [one for one in train if one.language == code],
            options.shots,
        )
        for code in dict.fromkeys(question.language for question in questions)
    ]


def _with_examples(
    code: str, questions: Sequence[Question], train: Sequence[Question], shots: int
) -> _Asked:
    documents = {question.document for question in questions}
    apart = [one for one in train if one.document not in documents]
    examples = draw(apart or questions, shots)
    ids = {example.id for example in examples}
    used = {example.document for example in examples}
    # Of examples from the training split no document is among those asked.
    kept = tuple(one for one in questions if one.document not in used)
    language = languages.by_code(code)
    if len(examples) < shots or not kept:
        raise DataError(
            f"--shots asks for {shots} examples in {language.name} ({code}), and "
            f"beside {len(kept)} questions there are {len(examples)}",
            "Each example is of another article, and something is left to ask",
            "Ask for fewer",
        )
    n_drawn = sum(one.id in ids for one in questions)
    lost = {DRAWN: n_drawn, RELATED: len(questions) - len(kept) - n_drawn}
    return _Asked(
        language=language,
        examples=examples,
        questions=kept,
        dropped=Counter({reason: n for reason, n in lost.items() if n}),
    )


def draw(questions: Sequence[Question], shots: int) -> tuple[Question, ...]:
    """Draws examples of different articles, those of middling length first.

    Args:
        questions: Of one language, in any order.
        shots: How many; a larger number begins with a smaller one's.

    Returns:
        So many, or one of each article if there are fewer.
    """
    lengths = sorted(len(question.passage) for question in questions)
    last = len(lengths) - 1
    low, high = lengths[last // 4], lengths[3 * last // 4]

    def rank(question: Question) -> tuple[bool, str]:
        middling = low <= len(question.passage) <= high
        return not middling, hashlib.sha256(
            f"{SEED}\n{question.id}".encode()
        ).hexdigest()

    drawn: dict[str, Question] = {}
    for question in sorted(questions, key=rank):
        drawn.setdefault(question.document, question)
    return tuple(drawn.values())[:shots]


def _item(question: Question, asked: _Asked) -> Item:
    blocks = [
        INSTRUCTION,
        *(f"{_block(example)} {example.answers[0]}" for example in asked.examples),
        _block(question),
    ]
    return Item(
        id=question.id,
        messages=(Message(role="user", content="\n\n".join(blocks)),),
        candidates=tuple(
            Candidate(id=f"reference-{number}", answer=answer)
            for number, answer in enumerate(question.answers, start=1)
        ),
        groups={"language": question.language},
        meta={
            "references": list(question.answers),
            "exemplars": [example.id for example in asked.examples],
            "document": question.document,
            "n_passage_chars": len(question.passage),
            "language_name": asked.language.name,
            "script": asked.language.script,
            "max_new_tokens": MAX_NEW_TOKENS,
        },
        max_new_tokens=MAX_NEW_TOKENS,
        stop=STOP,
    )


def _block(question: Question) -> str:
    return QUESTION.format(passage=question.passage, question=question.question)


PROBE = Probe(
    name="tydiqa",
    version="1",
    title="Which languages does it answer in? Questions and passages of TyDi QA",
    axis="languages",
    fits=frozenset({"policy"}),
    item_columns=("language",),
    candidate_columns=(),
    sources=("tydiqa", "tydiqa_train"),
    build=build,
    words=frozenset({"languages", "shots"}),
    dropped=dropped,
)
