"""Csv files: formulas are quoted, numbers are not, and all is read back."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.learning import COLUMNS, read_curve
from analysis.reward_card import read_lengths
from probe.cli import main
from probe.csvs import quoted, rows_of, text_of, text_of_frame, unquoted

FORMULAS = (
    "=HYPERLINK(1)",
    "+1-1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "'=1",
    "-",
)
PLAIN = ("", "-1", "+1.5e3", "-inf", "Peru", "a=b", "'tis", "'-5", "1-1")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_quoted_and_read_back(text: str, tmp_path: Path) -> None:
    assert quoted(text) == f"'{text}"
    path = tmp_path / "x.csv"
    path.write_text(text_of((text,), [(text, 1)]), newline="")
    assert rows_of(path) == [[text], [text, "1"]]


def test_a_cr_ends_no_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for text in (
        text_of(("a",), [("x\r=1",)]),
        text_of_frame(pd.DataFrame({"a": ["x\r=1"]})),
    ):
        path.write_text(text)
        assert rows_of(path) == [["a"], ["x\n=1"]]


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_formula_stays(text: str) -> None:
    assert quoted(text) == text == unquoted(text)


def test_a_frame_keeps_its_numbers() -> None:
    frame = pd.DataFrame(
        {"=x": ["=1", None], "n": [-1.5, np.nan], "k": [-2, 3], "b": [True, False]}
    )
    assert text_of_frame(frame) == "'=x,n,k,b\n'=1,-1.5,-2,True\n,,3,False\n"
    plain = frame.rename(columns={"=x": "x"}).assign(x=["a", None])
    assert text_of_frame(plain) == plain.to_csv(index=False)


def test_files_that_are_read_back_keep_their_names(tmp_path: Path) -> None:
    path = tmp_path / "learning.csv"
    row = {name: "=1" for name in COLUMNS} | {"share": "", "seed": 0, "margin": -0.5}
    rows = [
        [(row | {"step": s, "tokens": s})[name] for name in COLUMNS] for s in (0, 9)
    ]
    path.write_text(text_of(COLUMNS, rows))
    read = read_curve(path)
    assert set(read["group"]) == set(read["id"]) == {"=1"}
    assert read["margin"].tolist() == [-0.5, -0.5]
    lengths = ("id", "source", "chosen", "rejected")
    path.write_text(text_of(lengths, [("a", "-x", 3, 4)]))
    assert read_lengths(path)["source"].tolist() == ["-x"]


def test_every_table_of_a_report_is_quoted(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose dialect and subset are formulas, through the command line."""
    runs, out = tmp_path / "runs", tmp_path / "out"
    file = cases / "inputs/imp_formula.csv"
    for words in (
        ["import", "dialect_pairs", file, "--model", "m", "--runs", runs],
        ["report", runs, "--out", out],
    ):
        monkeypatch.setattr(sys, "argv", ["rm-probe", *map(str, words)])
        with pytest.raises(SystemExit) as done:
            main()
        assert not done.value.code
    cells = [
        cell
        for path in (out / "tables").glob("*.csv")
        for row in csv.reader(path.open(newline=""))
        for cell in row
    ]
    assert "'=HYPERLINK(1)" in cells
    for cell in cells:
        assert quoted(cell) == cell or cell.startswith("'")
