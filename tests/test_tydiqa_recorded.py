"""TyDiQA's recorded answers: read in their own layout, held against the references."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import paper, squad
from analysis.paper_evidence import TUNED, Evidence
from analysis.paper_tydiqa import (
    CHANGES,
    EXACT,
    F1,
    LANGUAGES,
    changes,
    changes_of,
    drawn,
    f1,
    score,
)
from analysis.records import Record
from data_builders import languages, tydiqa_passages
from data_builders import tydiqa as dataset
from data_builders.tydiqa_passages import Question
from probe.recorded import repository, tydiqa
from probe.types import DataError, MissingDataError

FOLDER = "outputs/tydiqa-goldp/{{{}_8bit}}/greedy/1-shot"
SFT = "Mistral-SFT-7B"
MODELS = (
    "Llama-2-7b-hf",
    "Llama-2-7b-chat-hf",
    "Mistral-7B-v0.1",
    "mistral-7b-sft-beta",
    "zephyr-7b-beta",
)
N = {
    "telugu": 669,
    "bengali": 113,
    "arabic": 921,
    "swahili": 499,
    "russian": 812,
    "korean": 276,
    "finnish": 782,
    "english": 440,
    "indonesian": 565,
}


def asked(language: str, n: int, document: str = "{}") -> tuple[Question, ...]:
    """Questions whose answer is their own number."""
    return tuple(
        Question(
            id=f"{language}-{number}",
            language=languages.TYDIQA[language],
            document=document.format(number),
            passage=f"It is {number}.",
            question="Which?",
            answers=(str(number),),
        )
        for number in range(n)
    )


def write(
    root: Path, model: str, language: str, answers: Mapping[str, object] | str
) -> Path:
    file = root / FOLDER.format(model) / f"{language}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = answers if isinstance(answers, str) else json.dumps(answers)
    file.write_text(text, encoding="utf-8")
    return file


def right(questions: Sequence[Question], share: int = 1) -> dict[str, str]:
    """Right answers to every `share`-th question."""
    return {
        one.id: one.answers[0] if number % share == 0 else "wrong"
        for number, one in enumerate(questions)
    }


def evidence_of(root: Path, questions: Sequence[Question]) -> Evidence:
    empty = pd.DataFrame(columns=["model", "file"])
    return Evidence(
        rankings=(),
        similarities=empty,
        games=empty,
        languages=empty,
        answers=score(repository.find(root).answers(questions)),
    )


def one(records: Sequence[Record], model: str, metric: str, group: str) -> Record:
    [found] = [
        record
        for record in records
        if (record.model, record.metric, record.group) == (model, metric, group)
    ]
    return found


@pytest.fixture(scope="module")
def gold(shared_data: Path) -> tuple[Question, ...]:
    return tuple(
        question
        for file in sorted((shared_data / "tydiqa").glob("*.json"))
        for question in tydiqa_passages.read(file)
    )


@pytest.fixture(scope="module")
def evidence(recorded: Path, gold: tuple[Question, ...]) -> Evidence:
    return evidence_of(recorded, gold)


@pytest.fixture(scope="module")
def records(evidence: Evidence) -> list[Record]:
    """What is measured of the real files, in the order of the figures."""
    return [
        record
        for figure in paper.FIGURES
        if figure.probe == "tydiqa@1"
        for record in figure.measure(evidence, paper.POLICIES)
    ]


@pytest.mark.parametrize(
    ("folder", "model"),
    [
        ("{Llama-2-7b-hf_8bit}", "Llama-2-7b-hf"),
        ("{Llama-2-7b-chat-hf_8bit}", "Llama-2-7b-chat-hf"),
        ("{Tulu-2-SFT_8bit}", "tulu-2-7b"),
        ("{Tulu-2-DPO_8bit}", "tulu-2-dpo-7b"),
        ("{Mistral-7B-v0.1_8bit}", "Mistral-7B-v0.1"),
        ("{Mistral-SFT-7B_8bit}", "mistral-7b-sft-beta"),
        ("{zephyr-7b-beta_8bit}", "zephyr-7b-beta"),
        ("{OpenChat3.5-7B_8bit}", "openchat_3.5"),
        ("{Starling-7B-alpha_8bit}", "Starling-LM-7B-alpha"),
        ("{qwen1.5_8bit}", "Qwen1.5-7B"),
        ("{qwen1.5_chat_8bit}", "Qwen1.5-7B-Chat"),
        ("{yi-8b_8bit}", "Yi-6B"),
        ("{yi-8b-chat_8bit}", "Yi-6B-Chat"),
        ("{Own-1B_4bit}", "Own-1B"),
        ("Own-1B", "Own-1B"),
        ("Own_16bit", "Own_16bit"),
    ],
)
def test_labels(folder: str, model: str) -> None:
    assert tydiqa.label(folder) == model


def test_every_folder_of_the_paper_has_its_name() -> None:
    assert set(tydiqa.NAMES.values()) < {*paper.POLICIES, *paper.QWEN_AND_YI}
    assert set(TUNED) | set(TUNED.values()) == {*paper.POLICIES, *paper.QWEN_AND_YI}
    assert set(LANGUAGES) == set(languages.TYDIQA)


def test_answers_are_those_of_the_files(
    recorded: Path, gold: tuple[Question, ...]
) -> None:
    found = repository.find(recorded).answers(gold)
    assert len(found) == len(MODELS) * sum(N.values())
    assert set(found["model"]) == set(MODELS)
    rows = found[(found["model"] == "mistral-7b-sft-beta")]
    rows = rows[rows["language"] == "telugu"].set_index("question")
    file = recorded / FOLDER.format(SFT) / "telugu.json"
    assert rows["answer"].to_dict() == json.loads(file.read_text(encoding="utf-8"))
    assert set(rows["file"]) == {file.relative_to(recorded).as_posix()}
    questions = {one.id: one for one in gold}
    for key, references, document in zip(
        rows.index, rows["references"], rows["document"], strict=True
    ):
        assert references == questions[key].answers
        assert document == questions[key].document


def test_null_and_nan_are_no_answers(tmp_path: Path) -> None:
    """As if the file did not have the id: not an empty answer, which is wrong."""
    write(tmp_path, "m", "korean", {"k-1": None, "k-0": float("nan"), "k-2": ""})
    found = repository.find(tmp_path).answers(())
    assert list(found["answer"].isna()) == [True, True, False]


def test_without_references_rows_are_those_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "m", "korean", {"korean-1": "a", "korean-0": ""})
    found = repository.find(tmp_path).answers(())
    assert list(found["question"]) == ["korean-1", "korean-0"]
    assert list(found["references"]) == [(), ()]
    assert score(found)[["exact", "f1"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("korean", '{"korean-0": "a"', "korean.json cannot be read as JSON"),
        ("korean", "", "korean.json cannot be read as JSON"),
        ("korean", '["a"]', 'korean.json holds no answers, ["a"]'),
        ("korean", "{}", "korean.json holds no answers, []"),
        ("korean", '{"korean-0": 1}', "key 'korean-0': 1 is no text"),
        ("korean", '{"korean-0": {"text": "a"}}', "key 'korean-0': "),
        (
            "korean",
            '{"korean-0": "a", "korean-1": "b", "korean-0": "a"}',
            "the id 'korean-0' stands twice",
        ),
        (
            "korean",
            '{"korean-0": "a", "english-1": "b", "korean-7": "c"}',
            "'english-1' is no korean question of TyDiQA's dev data (2 of 3 ids)",
        ),
        ("korea", '{"korean-0": "a"}', "'korea' is no language of TyDiQA's gold"),
    ],
)
def test_bad_files(tmp_path: Path, language: str, text: str, message: str) -> None:
    file = write(tmp_path, "m", language, text)
    with pytest.raises(DataError) as caught:
        repository.find(tmp_path).answers(asked("korean", 2))
    assert message in caught.value.found
    assert str(file) in caught.value.found
    if language == "korea":
        assert caught.value.action == "Did you mean 'korean.json'?"


def test_not_utf8(tmp_path: Path) -> None:
    file = write(tmp_path, "m", "finnish", {"finnish-0": ""})
    file.write_bytes('{"finnish-0": "Järvenpää"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"finnish\.json cannot be read as JSON: 'utf-"):
        repository.find(tmp_path).answers(asked("finnish", 1))


def test_only_greedy_one_shot_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    questions = asked("korean", 3)
    write(tmp_path, "m", "korean", right(questions))
    with caplog.at_level(logging.WARNING):
        expected = repository.find(tmp_path).answers(questions)
    assert not caplog.records
    model = tmp_path / "outputs/tydiqa-goldp/{m_8bit}"
    for setting in ("greedy/0-shot", "greedy/5-shot", "top_p-0.9/1-shot"):
        (model / setting).mkdir(parents=True)
        (model / setting / "korean.json").write_text('{"no such": "id"}')
    (model / "greedy" / ".DS_Store").write_bytes(b"\0")
    (model.parent / ".DS_Store").write_bytes(b"\0")
    with caplog.at_level(logging.WARNING):
        found = repository.find(tmp_path).answers(questions)
    pd.testing.assert_frame_equal(found, expected)
    [message] = [record.getMessage() for record in caplog.records]
    assert message.endswith(
        "not read: greedy/0-shot, greedy/5-shot, top_p-0.9/1-shot; the paper's figure "
        "is of greedy/1-shot"
    )


def test_two_folders_of_one_model(tmp_path: Path) -> None:
    questions = asked("korean", 1)
    write(tmp_path, SFT, "korean", right(questions))
    write(tmp_path, "mistral-7b-sft-beta", "korean", right(questions))
    with pytest.raises(DataError, match=r"are both of mistral-7b-sft-beta"):
        repository.find(tmp_path).answers(questions)


class Places:
    """Stands in for the reader of the data: where it was asked for, and what is there.

    Of `None`, the hub, nothing is there.
    """

    def __init__(self, *holding: Path) -> None:
        self.holding = holding
        self.asked: list[Path | None] = []

    def gold(self, data: Path | None) -> tuple[Question, ...]:
        self.asked.append(data)
        if data in self.holding:
            return asked("korean", 1)
        raise MissingDataError(f"nothing at {data}", "expected", "action")


@pytest.mark.parametrize("folder", ["recorded/copy", "elsewhere/copy"])
def test_where_references_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    root = tmp_path / folder
    root.mkdir(parents=True)
    beside = [tmp_path] if folder.startswith("recorded") else []

    places = Places(tmp_path)
    monkeypatch.setattr(dataset, "gold", places.gold)
    found = tydiqa.gold(None, root)
    assert places.asked == (beside or [None])
    assert bool(found.questions) is bool(beside)

    places = Places()
    monkeypatch.setattr(dataset, "gold", places.gold)
    found = tydiqa.gold(None, root)
    assert places.asked == [*beside, None]
    assert found.questions == ()
    assert found.lacking == (
        "no reference answers: "
        + "".join(f"nothing at {place}; " for place in [*beside, None])
        + "--data names a folder that holds them"
    )

    # What is named must be there: no other place makes up for it.
    with pytest.raises(MissingDataError, match="nothing at "):
        tydiqa.gold(tmp_path / "data", root)
    assert places.asked[-1] == tmp_path / "data"


def test_scores_by_hand() -> None:
    answers = pd.DataFrame(
        [
            ("The Nile.\n\nQuestion: Which?", ("Nile", "the river Nile"), 1.0, 1.0),
            # Two of three words, both of the reference's.
            ("\n\n in Nile river", ("river Nile",), 0.0, 0.8),
            ("Amazon", ("Nile",), 0.0, 0.0),
            ("", ("Nile",), 0.0, 0.0),
            (None, ("Nile",), math.nan, math.nan),
            ("Nile", (), math.nan, math.nan),
        ],
        columns=["answer", "references", "exact", "f1"],
    ).assign(model="m", file="f", language="english", question="q", document="d")
    found = score(answers)
    pd.testing.assert_frame_equal(found[["exact", "f1"]], answers[["exact", "f1"]])


@pytest.mark.parametrize("model", MODELS)
def test_levels_are_the_means_of_the_files(
    recorded: Path, gold: tuple[Question, ...], records: list[Record], model: str
) -> None:
    folder = {name: key for key, name in tydiqa.NAMES.items()}.get(model, model)
    for language, n in N.items():
        file = recorded / FOLDER.format(folder) / f"{language}.json"
        answers = json.loads(file.read_text(encoding="utf-8"))
        pairs = [
            (squad.cut(answers[one.id]), one.answers)
            for one in gold
            if one.id in answers
        ]
        for metric, measure in ((EXACT, squad.exact_match), (F1, squad.f1)):
            record = one(records, model, metric.name, language)
            mean = np.mean([measure(*pair) for pair in pairs])
            assert record.estimate == pytest.approx(float(mean))
            assert record.ci_low is not None and record.ci_high is not None
            assert record.ci_low < record.estimate < record.ci_high
            assert (record.n, record.unit, record.probe) == (n, "share", "tydiqa@1")
            assert record.run == file.relative_to(recorded).as_posix()


def test_values_of_the_shared_data(records: list[Record]) -> None:
    for language, f1_percent, exact_percent in (
        ("english", 72.80, 58.64),
        ("telugu", 39.41, 30.64),
    ):
        for metric, percent in ((F1, f1_percent), (EXACT, exact_percent)):
            record = one(records, "Mistral-7B-v0.1", metric.name, language)
            assert record.estimate == pytest.approx(percent / 100, abs=5e-5)


def test_intervals_by_hand(evidence: Evidence, records: list[Record]) -> None:
    """Wilson's from its formula, the bootstrap's beside a normal one by documents."""
    record = one(records, "Mistral-7B-v0.1", EXACT.name, "english")
    n, z = 440, stats.norm.ppf(0.975)
    share = 258 / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    assert (record.estimate, record.ci_method) == (share, "Wilson")
    assert record.ci_low == pytest.approx(middle - reach)
    assert record.ci_high == pytest.approx(middle + reach)
    assert (record.cluster, record.n_clusters) == ("question", n)

    record = one(records, "Mistral-7B-v0.1", F1.name, "finnish")
    rows = evidence.answers
    rows = rows[(rows["model"] == "Mistral-7B-v0.1") & (rows["language"] == "finnish")]
    off = (rows["f1"] - rows["f1"].mean()).groupby(rows["document"]).sum()
    reach = z * float(np.sqrt((off**2).sum())) / len(rows)
    assert record.ci_low == pytest.approx(record.estimate - reach, abs=2e-3)  # type: ignore[operator]
    assert record.ci_high == pytest.approx(record.estimate + reach, abs=2e-3)  # type: ignore[operator]
    assert (record.cluster, record.n_clusters) == ("document", 516)


def test_changes_are_differences_of_the_levels(records: list[Record]) -> None:
    changed = [record for record in records if record.metric in CHANGES]
    assert len(changed) == 9 * 2 * (3 + 1)
    for record in changed:
        level = record.metric.partition("_change")[0]
        after, before = (
            one(records, str(name), level, str(record.group)).estimate
            for name in (record.model, record.reference)
        )
        assert after is not None and before is not None
        assert record.estimate == pytest.approx(after - before)
        assert record.ci_low is not None and record.ci_high is not None
        assert record.ci_low < record.estimate < record.ci_high  # type: ignore[operator]
        assert record.n == N[str(record.group)]
    assert {(record.model, record.metric, record.reference) for record in changed} == {
        (model, f"{measure.name}_{change}", reference)
        for measure in (EXACT, F1)
        for model, change, reference in (
            ("Llama-2-7b-chat-hf", "change", "Llama-2-7b-hf"),
            ("mistral-7b-sft-beta", "change", "Mistral-7B-v0.1"),
            ("zephyr-7b-beta", "change", "mistral-7b-sft-beta"),
            ("zephyr-7b-beta", "change_from_base", "Mistral-7B-v0.1"),
        )
    }


def test_mcnemar_and_holm(evidence: Evidence, records: list[Record]) -> None:
    tested = [record for record in records if record.metric.startswith(EXACT.name)]
    tested = [record for record in tested if record.p_value is not None]
    assert len(tested) == 9 * (3 + 1)
    assert {record.family for record in tested} == {"tydiqa_exact_match_change"}
    for record in tested:
        before, after = (
            evidence.answers[
                (evidence.answers["model"] == name)
                & (evidence.answers["language"] == record.group)
            ].set_index("question")["exact"]
            for name in (record.reference, record.model)
        )
        more = int(((after == 1) & (before == 0)).sum())
        fewer = int(((after == 0) & (before == 1)).sum())
        expected = stats.binomtest(more, more + fewer).pvalue
        assert record.p_value == pytest.approx(expected)
    # Step-down by hand: the k-th smallest of m by m - k, never below one before it.
    tested.sort(key=lambda record: record.p_value or 0.0)
    worst = 0.0
    for rank, record in enumerate(tested):
        assert record.p_value is not None
        worst = max(worst, min(1.0, record.p_value * (len(tested) - rank)))
        assert record.p_holm == pytest.approx(worst)


def test_what_the_bars_are_of() -> None:
    assert changes_of(F1, "Mistral-7B-v0.1") == changes_of(F1, "Own-1B") == ()
    [sft] = changes_of(F1, "mistral-7b-sft-beta")
    assert (sft.name, sft.reference) == ("tydiqa_f1_change", "Mistral-7B-v0.1")
    assert drawn(F1, "mistral-7b-sft-beta") == (sft,)
    [tuned] = drawn(F1, "Starling-LM-7B-alpha")
    assert (tuned.name, tuned.reference) == (
        "tydiqa_f1_change_from_base",
        "Mistral-7B-v0.1",
    )


def test_a_planted_change_is_found_where_it_is(tmp_path: Path) -> None:
    """A third of Korean answers turned wrong by the tuning, no Finnish one."""
    questions = {name: asked(name, 120) for name in ("korean", "finnish")}
    for language, ours in questions.items():
        write(tmp_path, "Mistral-7B-v0.1", language, right(ours))
        after = right(ours)
        if language == "korean":
            after |= {ours[number].id: "wrong" for number in range(0, 120, 3)}
        write(tmp_path, SFT, language, after)
    evidence = evidence_of(tmp_path, [*questions["korean"], *questions["finnish"]])
    records = changes(evidence, paper.POLICIES)
    for measure in (EXACT, F1):
        found = {
            language: one(
                records, "mistral-7b-sft-beta", f"{measure.name}_change", language
            )
            for language in questions
        }
        assert found["korean"].estimate == pytest.approx(-1 / 3)
        assert found["korean"].ci_high is not None and found["korean"].ci_high < -0.2
        assert found["finnish"].estimate == 0
        assert (found["finnish"].ci_low, found["finnish"].ci_high) == (0, 0)
        assert found["finnish"].p_value is None
        if measure == EXACT:
            # The one test there is: no Finnish answer differs.
            assert found["korean"].p_holm is not None
            assert found["korean"].p_holm == found["korean"].p_value < 1e-10


def test_questions_of_one_document_count_as_one(tmp_path: Path) -> None:
    """The same answers four times over, in the same documents, tell nothing new."""
    found = {}
    for copies in (1, 4):
        root = tmp_path / str(copies)
        single = asked("korean", 60)
        questions = [
            Question(
                id=f"{question.id}-{copy}",
                language=question.language,
                document=question.document,
                passage=question.passage,
                question=question.question,
                answers=question.answers,
            )
            for copy in range(copies)
            for question in single
        ]
        answers = right(single, share=3)
        write(
            root,
            "m",
            "korean",
            {one.id: answers[one.id.rpartition("-")[0]] for one in questions},
        )
        [found[copies]] = f1(evidence_of(root, questions), paper.POLICIES)
    assert (found[4].n, found[4].n_clusters) == (240, 60)
    assert found[4].ci_low == pytest.approx(found[1].ci_low)
    assert found[4].ci_high == pytest.approx(found[1].ci_high)


def test_an_incomplete_file_shows_it(tmp_path: Path) -> None:
    questions = asked("korean", 20)
    write(tmp_path, "Mistral-7B-v0.1", "korean", right(questions[:15]))
    write(tmp_path, SFT, "korean", right(questions[5:], share=2))
    evidence = evidence_of(tmp_path, questions)
    rows = [row.record for row in paper.reproduce(evidence)]
    left_out = "; of 20 questions, {} that a file lacks are not counted"
    level = one(rows, "Mistral-7B-v0.1", EXACT.name, "korean")
    assert (level.estimate, level.n) == (1, 15)
    assert level.ci_method == "Wilson" + left_out.format(5)
    change = one(rows, "mistral-7b-sft-beta", "tydiqa_f1_change", "korean")
    assert (change.estimate, change.n) == (-0.5, 10)
    assert str(change.ci_method).endswith(left_out.format(10))


def test_too_few_documents(tmp_path: Path) -> None:
    questions = asked("korean", 30, document="one article")
    write(tmp_path, "m", "korean", right(questions, share=2))
    [record] = f1(evidence_of(tmp_path, questions), paper.POLICIES)
    assert (record.estimate, record.ci_low, record.ci_level) == (0.5, None, None)
    assert record.ci_method == "none: too few documents to resample"


def test_why_numbers_are_absent(tmp_path: Path) -> None:
    korean, finnish = asked("korean", 10), asked("finnish", 10)
    write(tmp_path, SFT, "korean", right(korean[:5]))
    write(tmp_path, SFT, "finnish", right(finnish))
    write(tmp_path, "zephyr-7b-beta", "korean", right(korean[5:]))
    write(tmp_path, "Llama-2-7b-chat-hf", "korean", right(korean))
    rows = [
        row
        for row in paper.reproduce(evidence_of(tmp_path, korean))
        if row.status == "absent" and row.record.model in MODELS
    ]
    records = [row.record for row in rows]

    def why(model: str, metric: str, group: str) -> str:
        found = one(records, model, metric, group)
        assert (found.estimate, found.n) == (None, 0)
        return str(found.ci_method).removeprefix("not computed: ")

    sft, level = "mistral-7b-sft-beta", F1.name
    assert why("Mistral-7B-v0.1", level, "korean") == "no file of Mistral-7B-v0.1"
    assert why(sft, level, "telugu") == f"{sft} has no file of telugu"
    assert why(sft, level, "finnish") == (
        "no reference answers to the questions in finnish"
    )
    change = "tydiqa_f1_change"
    assert why(sft, change, "korean") == "no file of Mistral-7B-v0.1"
    assert why("Llama-2-7b-chat-hf", change, "korean") == "no file of Llama-2-7b-hf"
    write(tmp_path, "Mistral-7B-v0.1", "korean", right(korean[5:]))
    records = [row.record for row in paper.reproduce(evidence_of(tmp_path, korean))]
    assert why(sft, change, "korean") == (
        f"{sft} and Mistral-7B-v0.1 have no question in korean in common"
    )


def test_without_references_all_else_is_there(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy elsewhere: the numbers are absent with the reason, nothing fails."""
    tulu = "results/5_langid/tulu-sft-languages-count.csv"
    for name in (f"{FOLDER.format(SFT)}/telugu.json", tulu):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copyfile(recorded / name, tmp_path / name)
    monkeypatch.setattr(dataset, "gold", Places().gold)
    references = tydiqa.gold(None, tmp_path)
    found = repository.find(tmp_path)
    assert found.has_answers
    empty = pd.DataFrame(columns=["model", "file"])
    rows = paper.reproduce(
        Evidence(
            rankings=(),
            similarities=empty,
            games=empty,
            languages=found.languages(),
            answers=score(found.answers(references.questions)),
            no_references=references.lacking,
        )
    )
    [share] = [row for row in rows if row.status == "ok"]
    assert share.record.model == "tulu-sft"
    row = one([row.record for row in rows], "mistral-7b-sft-beta", F1.name, "telugu")
    assert row.ci_method == (
        "not computed: no reference answers: nothing at None; --data names a folder "
        "that holds them"
    )
