"""The opinion section: findings claim no more than is shown, and nothing breaks."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from analysis.html import (
    Figure,
    Page,
    Section,
    Table,
    render_html,
    render_markdown,
    text_cell,
)
from analysis.opinions import OpinionAnalysis, analyse_opinions, load_opinion_run
from analysis.opinions_findings import (
    across_findings,
    headline,
    headline_finding,
    headline_name,
    run_findings,
)
from analysis.opinions_report import opinions_section
from probe.types import DataError
from tests import opinion_runs
from tests.opinion_runs import copies, made_up, noise
from tests.test_opinions import steered
from tests.test_report import Reader

KEYS = ("BRA", "DEU", "JPN", "NGA", "USA")
HOSTILE = "<script>alert(1)</script>"


def analyse(*paths: Path, **choices: object) -> OpinionAnalysis:
    runs = [load_opinion_run(path) for path in paths]
    return analyse_opinions(runs, draws=200, **choices)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def everything(root: Path) -> OpinionAnalysis:
    """A policy with personas, a reward model and a copy of Nigeria."""
    questions = made_up(40, KEYS)
    return analyse(
        opinion_runs.policy(
            root, questions, steered("NGA"), personas=("DEU", "NGA"), model="policy"
        ),
        opinion_runs.reward(root, questions, copies("DEU"), model="reward"),
        opinion_runs.policy(root, questions, copies("NGA"), model="copy"),
    )


def page(section: Section) -> Page:
    return Page(
        title="Opinions",
        subtitle="",
        overview=Table(
            id="runs",
            title="",
            note="",
            header=("Model",),
            rows=((text_cell("m"),),),
            frame=next(b for b in section.blocks if isinstance(b, Table)).frame,
        ),
        warnings=(),
        notes=(),
        findings=section.findings,
        sections=(section,),
        method=section.method,
        caveats=section.caveats,
        provenance=(),
        generated="",
    )


def claims(analysis: OpinionAnalysis, place: int = 0) -> dict[str, str]:
    return {
        finding.claim: finding.certainty
        for finding in run_findings(analysis.runs[place])
    }


def test_a_copy_is_said_to_be_closest(everything: OpinionAnalysis) -> None:
    found = claims(everything, 2)
    assert found["Of these countries, Nigeria is the closest."] == "supported"
    text = " ".join(run_findings(everything.runs[2])[3].evidence)
    assert "countries that match best: 1.0 (95% 1.0\u00a0to\u00a01.0) of 5" in text


def test_a_random_model_is_not_said_to_be_closest(root: Path) -> None:
    found = claims(
        analyse(opinion_runs.policy(root, made_up(30, KEYS), noise(5), model="random"))
    )
    assert found["Which country is closest is not resolved."] == "not shown"
    assert not any("is the closest" in claim for claim in found)
    assert any(claim.startswith("No country is shown to be matched") for claim in found)


def test_steering_says_for_whom_it_fails(everything: OpinionAnalysis) -> None:
    found = claims(everything)
    claim = (
        "Steering moves the answers towards the people of Nigeria; for Germany it is "
        "not shown to."
    )
    assert found[claim] == "supported"


def test_every_countrys_shift_is_listed(everything: OpinionAnalysis) -> None:
    section = opinions_section(everything, id="o", title="Opinions")
    tables = {
        block.id: block
        for one in section.walk()
        for block in one.blocks
        if isinstance(block, Table)
    }
    assert "o-reward-shifts" not in tables and "o-reward-personas" not in tables
    rows = [[cell.text for cell in row] for row in tables["o-policy-shifts"].rows]
    assert len(rows) == 2 * len(KEYS)
    assert next(row[:2] for row in rows if row[0] == "Nigeria") == ["Nigeria"] * 2


def test_temperatures_have_a_finding_of_their_own(everything: OpinionAnalysis) -> None:
    found = claims(everything, 1)
    assert any("temperature" in claim for claim in found)
    assert not any("temperature" in claim for claim in claims(everything, 2))


def test_gaps_in_the_data_are_told(root: Path) -> None:
    questions = made_up(12, KEYS)
    lost = questions[0].id

    def score(item: opinion_runs.Item, candidate: opinion_runs.Candidate) -> float:
        return float("nan") if item.groups["question_id"] == lost else 0.0

    path = opinion_runs.policy(
        root,
        questions,
        score,
        model="gaps",
        dropped={"question: fewer than two options": 2},
    )
    [finding] = [
        one
        for one in run_findings(analyse(path).runs[0])
        if one.claim == "The data limit what can be said."
    ]
    text = " ".join(finding.evidence)
    assert "questions without a rotation that has a score for every option (1)" in text
    assert "question: fewer than two options (2)" in text
    assert "16 options have no score" in text
    assert "Only 11 questions were asked in both countries of the common set" in text


def test_the_headline_is_the_fidelity(everything: OpinionAnalysis) -> None:
    for run in everything.runs:
        assert headline(run) is run.fidelity.model
        assert headline_name(run) == "mean similarity to people in 5 countries (base 2)"
        assert headline_finding(run).claim == run_findings(run)[0].claim
    [across] = across_findings(everything)
    assert "of 3 models" in across.claim
    assert "pairs of models differ" in across.evidence[1]
    assert across_findings(dataclasses.replace(everything, runs=())) == ()


def test_the_section_of_several_runs_renders(everything: OpinionAnalysis) -> None:
    steps: list[int] = []
    section = opinions_section(
        everything, id="opinions", title="Opinions", step=lambda: steps.append(1)
    )
    assert len(steps) == 3 and len(section.sections) == 3
    assert section.method and section.caveats
    reader = Reader()
    reader.feed(render_html(page(section)))
    assert len(reader.ids) == len(set(reader.ids))
    assert "Steering, persona by persona" in reader.shown
    assert "base 2" in reader.shown
    assert "The models side by side" in render_markdown(page(section))
    figures = [
        block
        for one in section.walk()
        for block in one.blocks
        if isinstance(block, Figure)
    ]
    names = [panel.name for figure in figures for panel in figure.panels]
    assert len(names) == len(set(names)) >= 25
    for figure in figures:
        for panel in figure.panels:
            assert ET.fromstring(panel.svg).tag.endswith("svg")
    for one in section.walk():
        for block in one.blocks:
            if isinstance(block, Table):
                assert all(len(row) == len(block.header) for row in block.rows)
                assert "base 2" in block.note
                assert not block.frame.empty


def test_a_single_run_stands_without_a_heading_of_its_own(root: Path) -> None:
    path = opinion_runs.policy(root, made_up(12, KEYS), noise(7), model="single")
    section = opinions_section(analyse(path), id="opinions", title="Opinions")
    assert not section.sections and section.title == "Opinions" and section.method
    ids = {block.id for block in section.blocks}
    assert {"opinions-map", "opinions-common", "opinions-countries"} <= ids
    assert {"opinions-plane", "opinions-places", "opinions-diversity"} <= ids


def test_natural_logarithms_are_named_in_every_table(root: Path) -> None:
    path = opinion_runs.policy(root, made_up(12, KEYS), noise(7), model="natural")
    section = opinions_section(analyse(path, base="e"), id="o", title="Opinions")
    for block in section.blocks:
        if isinstance(block, Table):
            assert "natural logarithm" in block.note and "base 2" not in block.note


def test_a_handful_of_questions_still_makes_a_section(root: Path) -> None:
    questions = [opinion_runs.question(0, {"USA": [1, 1, 1, 2]})]
    path = opinion_runs.policy(root, questions, noise(1), model="tiny")
    section = opinions_section(analyse(path), id="o", title="Opinions")
    reader = Reader()
    reader.feed(render_html(page(section)))
    assert "nan" not in reader.shown.lower().split()
    assert "Only 1 question" in " ".join(
        text
        for finding in run_findings(analyse(path).runs[0])
        for text in finding.evidence
    )


def test_a_models_name_is_escaped(root: Path) -> None:
    path = opinion_runs.policy(root, made_up(12, KEYS), noise(7), model="hostile")
    found = analyse(path)
    run = dataclasses.replace(found.runs[0], label=HOSTILE)
    section = opinions_section(
        dataclasses.replace(found, runs=(run,)), id="o", title="Opinions"
    )
    html = render_html(page(dataclasses.replace(section, findings=run_findings(run))))
    assert HOSTILE not in html
    reader = Reader()
    reader.feed(html)
    assert len(reader.scripts) == 1 and reader.shown.count(HOSTILE) > 3


def test_of_few_questions_little_is_claimed(tmp_path: Path) -> None:
    """Below five questions nothing about the common set; below ten no test."""
    keys = ("BRA", "DEU", "USA")

    def found(n: int, **choices: object) -> tuple[list[str], str]:
        root = tmp_path / f"{n}-{len(list(tmp_path.iterdir()))}"
        path = opinion_runs.policy(root, made_up(n, keys), noise(0))
        runs = [load_opinion_run(path)]
        analysis = analyse_opinions(runs, draws=50, **choices)  # type: ignore[arg-type]
        findings = run_findings(analysis.runs[0])
        return (
            [finding.claim for finding in findings],
            " ".join(text for finding in findings for text in finding.evidence),
        )

    claims, _ = found(4)
    assert not any("closest" in claim or "Within a" in claim for claim in claims)
    _, text = found(7)
    assert "Not tested: 7 questions, and tests need 10" in text
    _, text = found(12, reference="KAZ")
    assert "Nobody in the reference country, Kazakhstan, was asked" in text
    assert "Not tested" not in text
    with pytest.raises(DataError, match="the common set is to be USA alone"):
        found(12, common=["USA"])
