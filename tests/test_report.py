from __future__ import annotations

import base64
import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import findings
from analysis.axes import country_part
from analysis.countries_axis import CountryAnalysis, analyse_countries
from analysis.html import (
    Table,
    interval,
    markdown_table,
    number,
    number_cell,
    p_text,
    render_html,
    render_markdown,
    text_cell,
)
from analysis.load import Run
from analysis.part import Wanted
from analysis.records import Record, loads
from analysis.report import Report, build_page, run_warnings, write_report
from analysis.written import LIST, try_folder, write_files
from data_builders import countries
from data_builders.country_opinions import polls
from probe.store import Counts
from probe.types import StoreError, UsageError
from tests.country_runs import STARLING, make_run, manifest, recorded_run

HOSTILE = "<script>alert(1)</script>"
POLL = polls()["gallup_2023"]


class Reader(HTMLParser):
    """What a browser would load, run and show."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"inline handler {name} on {tag}"
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "srcset", "data", "poster", "xlink:href", "action"):
                self.loads.append(f"{tag} {name}={value}")
            if name == "href" and value:
                (self.links if tag == "a" else self.loads).append(value)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.text.append(data)

    @property
    def shown(self) -> str:
        return " ".join(" ".join(self.text).replace("\u00a0", " ").split())


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader


def opinion_run(
    model: str = "made_up",
    *,
    seed: int = 0,
    keys: tuple[str, ...] | None = None,
    questions: int = 12,
    sentiment: list[str] | None = None,
    **changes: object,
) -> Run:
    """A model that likes countries in the poll's order, with noise."""
    rng = np.random.default_rng(seed)
    chosen = POLL.order if keys is None else keys
    kinds = sentiment or ["positive", "negative"] * (questions // 2)
    liking = -np.arange(len(chosen), dtype=float)
    sign = np.array([-1.0 if kind == "negative" else 1.0 for kind in kinds])
    scores = sign[:, None] * liking + rng.normal(0, 3, (len(kinds), len(chosen)))
    run = make_run(scores, chosen, kinds, model=model)
    return dataclasses.replace(run, manifest=manifest(model, **changes))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """Two models of one probe, one with a hostile name."""
    out = tmp_path_factory.mktemp("two")
    runs = [opinion_run(HOSTILE), opinion_run("second", seed=1)]
    return write_report(runs, out, Wanted(polls=[POLL], reference="CAN")), out


def test_page_loads_nothing_and_runs_only_its_own_script(
    two: tuple[Report, Path],
) -> None:
    page = read(two[0].index)
    assert page.loads == ["data:,"]
    assert all(not link.startswith(("http", "//")) for link in page.links)
    text = two[0].index.read_text(encoding="utf-8")
    assert "@import" not in text
    assert all(part.startswith("#") for part in re.findall(r"url\(([^)]+)\)", text))
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert len(page.scripts) == 1
    digest = hashlib.sha256(page.scripts[0].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in text
    assert "default-src 'none'" in text


def test_ids_are_unique_and_inner_links_lead_somewhere(
    two: tuple[Report, Path],
) -> None:
    page = read(two[0].index)
    assert len(page.ids) == len(set(page.ids))
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert {"summary", "method", "caveats", "manifest"} <= inner <= set(page.ids)
    for link in page.links:
        assert link.startswith("#") or (two[1] / link).exists()


def test_names_from_models_and_data_are_escaped_everywhere(tmp_path: Path) -> None:
    runs = [opinion_run(HOSTILE, title=HOSTILE, notes=(HOSTILE,))]
    analysis = analyse_countries(runs, [], draws=50)
    only = analysis.runs[0]
    ranks = only.ranks.assign(
        country=[HOSTILE if c == "Canada" else c for c in only.ranks["country"]]
    )
    hostile = dataclasses.replace(
        analysis, runs=(dataclasses.replace(only, ranks=ranks),)
    )
    page = build_page(runs, [country_part([hostile], lambda: None)], title=None)
    html = render_html(page)
    assert HOSTILE not in html
    reader = Reader()
    reader.feed(html)
    assert len(reader.scripts) == 1
    assert reader.shown.count(HOSTILE) > 5
    text = render_markdown(page)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    # SVG text is text as well: the ranking names the country.
    figure = next(f for f in page.figures() if f.id.endswith("-ranking"))
    words = [t.text or "" for t in ET.fromstring(figure.panels[0].svg).iter()]
    assert any(HOSTILE[:12] in word for word in words)


def test_summary_has_every_record_with_n_and_interval_fields(
    two: tuple[Report, Path],
) -> None:
    report, out = two
    text = (out / "summary.json").read_text(encoding="utf-8")
    assert loads(text) == report.records
    rows = json.loads(text)
    assert len(rows) > 80
    for row in rows:
        assert isinstance(row["n"], int) and row["n"] > 0
        assert {"ci_low", "ci_high", "ci_level", "ci_method"} <= set(row)
        assert (row["ci_low"] is None) == (row["ci_high"] is None)
        assert row["ci_low"] is not None or row["ci_method"]
    metrics = {row["metric"] for row in rows}
    assert {"spearman_order", "mean_rank", "win_rate", "rank_correlation"} <= metrics


def test_figures_and_tables_are_files_that_markdown_links_to(
    two: tuple[Report, Path],
) -> None:
    report, out = two
    assert all(path.is_file() for path in report.paths)
    pictures = sorted((out / "figures").glob("*.svg"))
    assert len(pictures) >= 10
    for path in pictures:
        assert ET.fromstring(path.read_text(encoding="utf-8")).tag.endswith("svg")
        png = path.with_suffix(".png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 2000
    linked = re.findall(r"\]\(([^)]+)\)", (out / "report.md").read_text("utf-8"))
    assert {f"figures/{path.stem}.png" for path in pictures} <= set(linked)
    assert all((out / link).is_file() for link in linked)
    csv = pd.read_csv(next((out / "tables").glob("*second-ranks.csv")))
    assert len(csv) == 21 and csv["mean_rank"].is_monotonic_increasing


def test_several_runs_get_a_heat_map_with_their_mean_ranks(
    two: tuple[Report, Path],
) -> None:
    heat = next((two[1] / "figures").glob("*-heat-all.svg"))
    root = ET.fromstring(heat.read_text(encoding="utf-8"))
    cells = [e.get("aria-label") for e in root.iter() if e.get("aria-label")]
    ranks = pd.read_csv(next((two[1] / "tables").glob("*second-ranks.csv")))
    assert len([cell for cell in cells if cell and ", second: " in cell]) == 21
    for row in ranks.itertuples():
        assert f"{row.country}, second: {row.mean_rank:.0f}" in cells


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_earlier_report_goes_and_a_users_own_files_stay(tmp_path: Path) -> None:
    own = {"figures/mine.png": b"1", "tables/mine.csv": b"2", "notes.md": b"3"}
    for name, text in own.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    write_report([opinion_run("first", questions=6)], tmp_path, Wanted(polls=[POLL]))
    before = content(tmp_path)
    # What a user has changed since is no longer of the report.
    kept = next(name for name in before if "poll" in name and name.endswith(".png"))
    (tmp_path / kept).write_bytes(b"mine now")
    written = write_report([opinion_run(questions=6)], tmp_path, Wanted(polls=[]))
    after = content(tmp_path)
    assert {name: after[name] for name in own} == own
    assert after.pop(kept) == b"mine now"
    names = {path.relative_to(tmp_path).as_posix() for path in written.paths}
    assert set(after) == names | set(own) | {LIST}


@pytest.mark.parametrize("fails", ["write_bytes", "replace"])
def test_a_report_that_cannot_be_finished_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """A full disk while files are written; a kill before the first is swapped in."""
    out = tmp_path / "R"
    write_files(out, {"index.html": b"old", "figures/old.png": b"old"})
    before = content(out)

    def stop(*_: object) -> None:
        if fails == "replace":
            raise KeyboardInterrupt
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files = {"index.html": b"new", "figures/new.png": b"new"}
    with monkeypatch.context() as patch:
        patch.setattr(Path, fails, stop)
        with pytest.raises((StoreError, KeyboardInterrupt), match=r"No space left|^$"):
            write_files(out, files)
    after = content(out)
    assert {name: after.get(name) for name in before} == before
    # The next one sweeps up what that left.
    write_files(out, files)
    assert content(out).keys() == {*files, LIST}


def test_a_kill_at_any_moment_leaves_the_files_of_one_report_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whatever it leaves, the next report replaces it all."""
    old = {"index.html": b"old", "figures/a.png": b"old", "figures/b.png": b"old"}
    new = {"index.html": b"new", "figures/b.png": b"new", "tables/c.csv": b"new"}
    real = Path.replace
    for kill in range(6):
        calls = iter(range(kill))

        def replace(path: Path, target: Path, calls: Iterator[int] = calls) -> Path:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return real(path, target)

        out = tmp_path / str(kill)
        write_files(out, old)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with contextlib.suppress(KeyboardInterrupt):
                write_files(out, new)
        for name, found in content(out).items():
            if not name.startswith(LIST):
                assert found in (old.get(name), new.get(name))
        try_folder(out)
        write_files(out, new)
        assert {n: c for n, c in content(out).items() if n != LIST} == new


def test_out_is_tried_before_the_analysis(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "report.md").write_text("my own")
    for out, message in (
        (file, "file cannot be written"),
        (file / "below", "below cannot be written"),
        (tmp_path / ("x" * 300), "cannot be written .File name too long"),
        (mine, r"report\.md is there, and not as rm-probe wrote it"),
    ):
        with pytest.raises(StoreError, match=message):
            write_report([], out, Wanted(polls=[]))
    try_folder(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
    # A report of before there was a list is replaced, and nothing else is.
    (mine / "index.html").write_text("... Written by rm-probe 0.1.")
    (mine / "other.md").write_text("my own")
    write_files(mine, {"index.html": b"new", "report.md": b"new"})
    assert (mine / "report.md").read_text() == "new"
    assert (mine / "other.md").read_text() == "my own"


def test_without_polls_the_report_says_nothing_of_them(tmp_path: Path) -> None:
    report = write_report([opinion_run(questions=6)], tmp_path, Wanted(polls=[]))
    assert not list((tmp_path / "figures").glob("*poll*"))
    assert "spearman_order" not in {record.metric for record in report.records}
    assert "most favoured" in read(report.index).shown


def test_few_countries_are_ranked_and_not_correlated(tmp_path: Path) -> None:
    keys = ("USA", "IND", "CAN", "SGP", "PRK")
    report = write_report([opinion_run(keys=keys)], tmp_path, Wanted(polls=[POLL]))
    shown = read(report.index).shown
    assert "at least 8 are needed" in shown
    assert "The ranking was not compared with opinion polls." in shown
    assert "Only 5 countries were asked about" in shown
    assert "too small to be drawn at this scale: Singapore" in shown
    assert not list((tmp_path / "figures").glob("*top*"))


def test_a_single_question_has_no_intervals_and_says_so(tmp_path: Path) -> None:
    run = opinion_run(sentiment=["neutral"])
    report = write_report([run], tmp_path, Wanted(polls=[POLL]))
    shown = read(report.index).shown
    assert "No interval can be given" in shown
    assert "goes with opinion polls on these few questions" in shown
    assert "(no interval), n = 21" in shown
    assert "nan" not in shown.lower().split()
    svg = next((tmp_path / "figures").glob("*ranking-all.svg")).read_text("utf-8")
    assert "21 " in svg
    assert not list((tmp_path / "figures").glob("*valence*"))


def test_several_probes_are_sections_of_one_page(tmp_path: Path) -> None:
    first = opinion_run("alpha")
    second = opinion_run("alpha", probe="where_from", sentiment=["neutral"])
    report = write_report([first, second], tmp_path, Wanted(polls=[]))
    page = read(report.index)
    assert {"countries", "countries-askreddit", "countries-where-from"} <= set(page.ids)
    assert page.shown.count("where_from@1") >= 1
    probes = {record.probe for record in report.records}
    assert probes == {"askreddit@1", "where_from@1"}


def test_warnings_stand_before_the_first_number(tmp_path: Path) -> None:
    run = opinion_run(
        verified=False,
        kind="scored",
        model_kind="value_head",
        status="interrupted",
        limit=9,
        counts=Counts(expected=90, done=60, truncated=4),
    )
    shown = read(write_report([run], tmp_path, Wanted(polls=[])).index).shown
    top = shown[: shown.index("What was found, and how sure it is")]
    assert "Not verified: made_up" in top
    assert "is not finished (interrupted)" in top
    assert "and not whole probes: askreddit@1/made_up" in top
    assert "4 of 60 texts were cut to fit the model" in top


def test_what_holds_of_every_run_of_a_probe_is_said_once() -> None:
    def run(probe: str, model: str, **changes: object) -> Run:
        return opinion_run(model, probe=probe, status="complete", **changes)

    runs = [
        run("a", "x", limit=40, dropped={"blank": 2}),
        run("a", "y", limit=40, dropped={"blank": 2}),
        run("b", "x", limit=40),
        run("b", "y", dropped={"blank": 1}),
    ]
    assert run_warnings(runs) == (
        "Samples (--limit 40), and not whole probes: a@1 and b@1/x@01234567.",
        "a@1 leaves out 2 (blank).",
        "b@1/y@01234567 leaves out 1 (blank).",
    )


def test_runs_of_other_axes_are_refused_or_named(tmp_path: Path) -> None:
    other = opinion_run("beta", probe="belebele", axis="languages")
    with pytest.raises(UsageError, match="none of the 1 runs can be reported"):
        write_report([other], tmp_path, Wanted(polls=[]))
    both = write_report([opinion_run(questions=6), other], tmp_path, Wanted(polls=[]))
    assert "no section for axis languages" in read(both.index).shown


def analysed() -> CountryAnalysis:
    return analyse_countries([opinion_run()], [POLL], draws=200)


def altered(analysis: CountryAnalysis, **changes: object) -> findings.RunAnalysis:
    run = analysis.runs[0]
    poll = run.polls[0]
    headline = dataclasses.replace(poll.headline, **changes)  # type: ignore[arg-type]
    poll = dataclasses.replace(poll, headline=headline)
    return dataclasses.replace(run, polls=(poll,))


def test_agreement_is_supported_only_by_interval_and_holm() -> None:
    analysis = analysed()
    plain = findings.poll_finding(analysis.runs[0])
    assert plain is not None and plain.certainty == "supported"
    failing = findings.poll_finding(altered(analysis, p_holm=0.2))
    assert failing is not None and failing.certainty == "uncertain"
    assert "the test is not passed" in failing.claim
    wide = findings.poll_finding(altered(analysis, ci_low=-0.1, ci_high=0.9))
    assert wide is not None and wide.certainty == "not shown"
    against = findings.poll_finding(
        altered(analysis, estimate=-0.7, ci_low=-0.9, ci_high=-0.3)
    )
    assert against is not None and "runs against" in against.claim


def test_every_finding_quotes_n_and_an_interval() -> None:
    for finding in findings.run_findings(analysed().runs[0]):
        if finding.certainty != "note":
            text = " ".join(finding.evidence).replace("\u00a0", " ")
            assert re.search(r"n = \d+|\d+ questions|\d+ rows", text), finding.claim
            assert re.search(r"95% \S+ to |interval|No |none", text), finding.claim


def test_length_is_not_ruled_out_when_intervals_overlap() -> None:
    analysis = analysed()
    run = analysis.runs[0]
    poll = run.polls[0]
    base = dataclasses.replace(
        poll.length_baseline, estimate=0.8, ci_low=0.5, ci_high=0.95
    )
    poll = dataclasses.replace(poll, length_baseline=base)
    found = findings.length_finding(dataclasses.replace(run, polls=(poll,)))
    assert found is not None and found.certainty == "uncertain"
    assert "intervals overlap" in found.evidence[0]


def test_valence_wording_follows_the_sign() -> None:
    run = analysed().runs[0]
    assert run.valence_blind is not None
    judged = findings.valence_finding(run)
    assert judged is not None and "turns round" in judged.claim

    def told(low: float, mid: float, high: float) -> str:
        assert run.valence_blind is not None
        blind = dataclasses.replace(
            run.valence_blind, estimate=mid, ci_low=low, ci_high=high
        )
        found = findings.valence_finding(dataclasses.replace(run, valence_blind=blind))
        assert found is not None
        return found.claim

    assert told(0.2, 0.38, 0.5).startswith("Part of the ranking")
    assert told(0.9, 0.95, 0.97).startswith("Most of the ranking")
    assert "not settled" in told(-0.2, 0.1, 0.3)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.083, 2, "\u22120.08"),
        (-0.001, 2, "0.00"),
        (100274, 0, "100,274"),
        (None, 2, "\u2013"),
        (float("nan"), 2, "\u2013"),
    ],
)
def test_numbers_for_people(value: float | None, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_p_and_intervals_for_people() -> None:
    assert p_text(0.00004) == "<\u00a00.001"
    assert p_text(0.0123) == "0.012"
    assert p_text(0.35) == "0.35"
    assert interval(-0.1, 0.2) == "\u22120.10\u00a0to\u00a00.20"
    assert interval(None, 0.2) == "\u2013"


def test_markdown_tables_keep_their_columns() -> None:
    table = Table(
        id="t",
        title="T",
        note="",
        header=("a|b", "c"),
        rows=((text_cell("x|y\nz"), number_cell(1.0)),),
        frame=pd.DataFrame(),
    )
    lines = markdown_table(table).splitlines()
    assert len(lines) == 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}


def test_published_rewards_give_the_published_figures(
    recorded: Path, tmp_path: Path
) -> None:
    run = recorded_run(recorded, STARLING)
    wanted = Wanted(polls=list(polls().values()), ties="best")
    report = write_report([run], tmp_path, wanted)
    found: dict[tuple[str, str | None], Record] = {}
    for record in report.records:
        found.setdefault((record.metric, record.group), record)
    assert found["spearman_order", "gallup_2017"].estimate == pytest.approx(
        0.92597, abs=1e-5
    )
    assert found["mean_rank", "CAN"].estimate == pytest.approx(76.0957, abs=1e-4)
    page = read(report.index)
    assert "Gallup 2017: rho 0.93" in page.shown
    assert "North Korea 152.1" in page.shown
    assert "Part of the ranking" in page.shown
    listed = page.shown.split("too small to be drawn at this scale:")[1]
    for key in countries.analysis_keys():
        country = countries.by_key(key)
        if country.name in ("Singapore", "Malta", "Bahrain", "Mauritius"):
            assert f"{country.name}: " in listed[:400]
    assert report.index.stat().st_size < 2_000_000


def test_every_finding_stands_somewhere_whatever_is_reported_together(
    tmp_path: Path,
) -> None:
    """An audit has one run of each of several probes."""
    probes = ("askreddit", "country_questions", "my_items")
    runs = [opinion_run("beta", seed=i, probe=name) for i, name in enumerate(probes)]
    report = write_report(runs, tmp_path, Wanted(polls=[POLL]))
    shown = read(report.index).shown
    for one in runs:
        [run] = analyse_countries([one], [POLL]).runs
        for finding in findings.run_findings(run):
            assert finding.claim.replace("\u00a0", " ") in shown
    alone = read(write_report(runs[:1], tmp_path, Wanted(polls=[POLL])).index).shown
    [only] = analyse_countries(runs[:1], [POLL]).runs
    for finding in findings.run_findings(only):
        assert alone.count(finding.claim.replace("\u00a0", " ")) == 1
