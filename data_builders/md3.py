"""MD3: games of taboo played in three Englishes; who is understood?

Two people play: one has to make the other say a secret word without saying it or five
words closely tied to it. A policy reads their conversation up to the answer, guesses in
its own words, and gives the answer and the five forbidden words a log-probability; a
reward model scores each of the six as the assistant's guess. The games of the three
dialects are different games: some are easier than others whatever the dialect, so that
transcript length and the answer's frequency stand in the items' meta.

Source: Eisenstein et al., "MD3: The Multi-Dialect Dataset of Dialogues", Interspeech
2023; used as here by Ryan, Held, Yang (ACL 2024), section 4. Two forms are read, the
first that is there: `md3_game.jsonl`, the games of that paper, whose transcripts its
authors cut by hand, and the published tables (`md3_published`), cut here. The wording
of the question is ours, one for all dialects.

Of the prepared games, six still hold the answer by the rule of `md3_transcripts`. They
are kept, because the paper has them, and marked (`answer_said`). Games with fewer or
more than five forbidden words, or with the answer among them, are left out; a forbidden
word that stands twice changes no measure and is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from data_builders import md3_published, sources, tables
from data_builders.md3_published import Game, Games
from data_builders.md3_transcripts import (
    Transcript,
    Utterance,
    n_turns,
    n_words,
    rendered,
    says,
)
from probe.types import BuildOptions, Candidate, DataError, Item, Message, Probe

DIALECTS = ("en_us", "en_in", "en_ng")
"""Of the United States, India and Nigeria; the first is compared with."""
N_DISTRACTORS = 5
MAX_NEW_TOKENS = 10
"""Of the guess in a policy's own words, as in the paper."""

PROMPT = """\
Two people play a word game. One of them has a secret word or name and describes it \
until the other one says it. The describer must not say the secret word, nor any of \
five other words that would give it away. This is their conversation, up to the moment \
just before the secret word was said:

{transcript}

What is the secret word or name? Reply with it alone, and nothing else."""

_COLUMNS = ("item_id", "dialect", "transcript", "correct_answer", "distractors")


def build(options: BuildOptions) -> Iterator[Item]:
    """Yields the games in the files' order, for both readers alike.

    Raises:
        DataError: The data cannot be had, or a file is malformed; with its place.
    """
    for game in _usable(_read(options)).games:
        yield _item(game)


def dropped(options: BuildOptions) -> Counter[str]:
    """Games left out, by reason.

    Raises:
        DataError: As `build`.
    """
    return _usable(_read(options)).dropped


def _read(options: BuildOptions) -> Games:
    paths = [one.path for one in sources.locate_all("md3", options.data)]
    if len(paths) == 1:
        return _prepared(paths[0])
    by_name = {path.name: path for path in paths}
    games: list[Game] = []
    lost: Counter[str] = Counter()
    for dialect in DIALECTS:
        found = md3_published.read(
            by_name[f"prompts_{dialect}.tsv"],
            by_name[f"transcripts_{dialect}.tsv"],
            dialect,
        )
        if not found.games:
            raise DataError(
                f"{by_name[f'prompts_{dialect}.tsv']} has no won taboo game with a "
                "transcript in which the answer is said",
                f"There are rows with game_type {md3_published.WORD_GAME} and "
                f"prompt_status {md3_published.WON}",
                "Use the files as published",
            )
        games += found.games
        lost += found.dropped
    return Games(games=tuple(games), dropped=lost)


def _prepared(path: Path) -> Games:
    """Reads the jsonl of the paper's games."""
    table = tables.read(path)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            f"{path} has no key {', '.join(map(repr, missing))}",
            f"The keys are {', '.join(_COLUMNS)}",
            "Rename or add them",
        )
    games: list[Game] = []
    seen: dict[str, str] = {}
    for line in table.lines:
        game = _game(line)
        if game.id in seen:
            raise DataError(
                f"{line.where}, key 'item_id': '{game.id}' stands in "
                f"{seen[game.id].removeprefix(f'{path}, ')} already",
                "Each game has its own id",
                "Rename or remove one of the two",
            )
        seen[game.id] = line.where
        games.append(game)
    return Games(games=tuple(games), dropped=Counter())


def _game(line: tables.Line) -> Game:
    texts: dict[str, str] = {}
    for key in ("item_id", "dialect", "correct_answer"):
        value = line.values[key]
        if not isinstance(value, str) or not value.strip():
            raise DataError(
                f"{line.where}, key '{key}': {value!r}",
                "Every game has an id, a dialect and an answer",
                "Fill it in or remove the row",
            )
        texts[key] = value.strip()
    if texts["dialect"] not in DIALECTS:
        raise DataError(
            f"{line.where}, key 'dialect': '{texts['dialect']}'",
            f"A dialect of MD3 is one of {', '.join(DIALECTS)}",
            "Correct the row",
        )
    transcript = line.values["transcript"]
    if transcript is not None and not isinstance(transcript, str):
        raise DataError(
            f"{line.where}, key 'transcript': {transcript!r}",
            "A transcript is text with a line for each utterance, or null",
            "Correct the row",
        )
    return Game(
        where=line.where,
        id=texts["item_id"],
        dialect=texts["dialect"],
        transcript=_transcript(transcript or "", line.where),
        answer=texts["correct_answer"],
        distractors=md3_published.texts(
            line.values["distractors"], f"{line.where}, key 'distractors'"
        ),
    )


def _transcript(text: str, where: str) -> Transcript:
    found = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        speaker, colon, said = line.partition(":")
        if not colon:
            raise DataError(
                f"{where}, key 'transcript': {line[:60]!r} names no speaker",
                "Every line of a transcript is 'Speaker: text'",
                "Put the speaker before the line",
            )
        if said.strip():
            found.append(Utterance(speaker=speaker.strip(), text=said.strip()))
    return tuple(found)


def _usable(found: Games) -> Games:
    """Without the games that cannot be asked."""
    lost = Counter(found.dropped)
    kept = []
    seen: set[tuple[str, Transcript, str]] = set()
    for game in found.games:
        key = (game.dialect, game.transcript, game.answer.casefold())
        if not game.transcript:
            lost["nothing said before the answer"] += 1
        elif len(game.distractors) != N_DISTRACTORS or not all(game.distractors):
            lost[f"not {N_DISTRACTORS} forbidden words"] += 1
        elif game.answer.casefold() in map(str.casefold, game.distractors):
            lost["answer among the forbidden words"] += 1
        elif key in seen:
            lost["the same game twice"] += 1
        else:
            seen.add(key)
            kept.append(game)
    return Games(games=tuple(kept), dropped=lost)


def _item(game: Game) -> Item:
    words = (("answer", game.answer), *_numbered(game.distractors))
    return Item(
        id=game.id,
        messages=(
            Message(
                role="user",
                content=PROMPT.format(transcript=rendered(game.transcript)),
            ),
        ),
        candidates=tuple(
            Candidate(
                id=name,
                answer=word,
                groups={"word": word, "correct": "yes" if name == "answer" else "no"},
            )
            for name, word in words
        ),
        groups={"dialect": game.dialect},
        meta={
            "answer": game.answer,
            "distractors": list(game.distractors),
            "n_words": n_words(game.transcript),
            "n_turns": n_turns(game.transcript),
            "answer_zipf": _zipf(game.answer),
            "answer_said": any(says(one.text, game.answer) for one in game.transcript),
        },
        max_new_tokens=MAX_NEW_TOKENS,
    )


def _numbered(distractors: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(f"distractor-{i}", word) for i, word in enumerate(distractors, start=1)]


def _zipf(text: str) -> float | None:
    """How frequent in English, as log10 per billion words; None: not known."""
    # Imported here: its word lists take a fifth of a second to load.
    from wordfreq import zipf_frequency

    return zipf_frequency(text, "en") or None


PROBE = Probe(
    name="md3",
    version="1",
    title="Whose English is understood? Taboo games of three dialects",
    axis="dialects",
    fits=frozenset({"reward", "policy"}),
    item_columns=("dialect",),
    candidate_columns=("word", "correct"),
    sources=("md3",),
    build=build,
    words=frozenset(),
    dropped=dropped,
)
