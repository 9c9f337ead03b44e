"""Tables of what the languages' items and answers are like."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.html import Cell, Table, number_cell, text_cell
from analysis.languages_analysis import LanguageRun
from analysis.languages_tables import around, frame_of, value
from analysis.languages_words import reference_name
from analysis.records import Record


def length_table(run: LanguageRun, prefix: str) -> Table:
    """What else differs between languages, and what went wrong."""
    answers, frame = run.answers, run.answers.frame
    counts: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {
        "Cut": frame["truncated"].to_numpy(dtype=bool),
        "No answer": ~answers.outcomes[0].known,
    }
    if answers.crossed:
        counts["Tied"] = frame["tied"].to_numpy(dtype=bool)
    else:
        counts["Ran on"] = frame["ran_on"].to_numpy(dtype=bool)
    rows, records, numbers = [], [], []
    for code in run.ordered():
        here = answers.of(code)
        tokens = run.find("mean_prompt_tokens", code)
        chars = run.find("mean_passage_characters", code)
        ratio = run.find("prompt_tokens_ratio", code)
        likely = run.find("reference_logprob", code)
        records += [tokens, chars, ratio, likely]
        missed = {name: int((one & here).sum()) for name, one in counts.items()}
        numbers.append(
            {"language": code, "items": int(here.sum())}
            | {name.lower().replace(" ", "_"): n for name, n in missed.items()}
        )
        rows.append(
            (
                text_cell(answers.name(code)),
                number_cell(int(here.sum()), 0),
                value(tokens, 0, 1.0),
                around(tokens, 0, 1.0),
                *((_ratio(code, run, ratio),) if answers.crossed else ()),
                value(chars, 0, 1.0),
                *(number_cell(n, 0) for n in missed.values()),
                *(
                    ()
                    if answers.crossed
                    else (value(likely, 2, 1.0), around(likely, 2, 1.0))
                ),
            )
        )
    means = frame_of(records)
    counted = pd.DataFrame(numbers).melt(
        id_vars="language", var_name="metric", value_name="estimate"
    )
    counted = counted.rename(columns={"language": "group"})
    return Table(
        id=f"{prefix}-lengths",
        title="Length, and what went wrong",
        note=_length_note(run),
        header=(
            "Language",
            "Items",
            "Tokens of a prompt",
            "95% interval",
            *(("Times reference",) if answers.crossed else ()),
            "Characters of a passage",
            *counts,
            *(() if answers.crossed else ("Log-prob", "95% interval")),
        ),
        rows=tuple(rows),
        frame=pd.concat([means, counted], ignore_index=True),
        folded=True,
        sortable=True,
    )


def _ratio(code: str, run: LanguageRun, ratio: Record | None) -> Cell:
    return number_cell(1.0) if code == run.answers.reference else value(ratio, 2, 1.0)


def _length_note(run: LanguageRun) -> str:
    note = (
        "Means with 95% intervals (Student's t, clustered). A prompt is all that the "
    )
    note += "model reads before its answer. Cut: prompts that did not fit the model. "
    if run.answers.crossed:
        if run.answers.reference is not None:
            note += (
                "Times reference: tokens over those of the same questions in "
                f"{reference_name(run)}, which says how finely the tokenizer cuts a "
                "language. "
            )
        return note + "Tied: questions of which several letters share the first place."
    return (
        note + "Ran on: answers as long as they may be, which did not end by "
        "themselves. Log-prob: mean per token of the likeliest reference answer. It "
        "does not compare languages: a script that the tokenizer cuts into bytes has "
        "many sure tokens, and another tokenizer cuts otherwise."
    )


def script_table(run: LanguageRun, prefix: str) -> Table | None:
    """Accuracy by script; None: one script only, or short answers."""
    answers = run.answers
    names = list(dict.fromkeys(answers.scripts.values()))
    known = [(name, run.find(f"{run.key}_of_script", name)) for name in names]
    found = [(name, one) for name, one in known if one is not None]
    if len(found) < 2:
        return None
    found.sort(key=lambda pair: -(pair[1].estimate or 0.0))
    rows = []
    for name, one in found:
        codes = [code for code in run.ordered() if answers.scripts[code] == name]
        levels = [run.level(code) for code in codes if run.level(code).n]
        rows.append(
            (
                text_cell(name),
                number_cell(len(levels), 0),
                value(one),
                around(one),
                _end(run, levels[0]),
                _end(run, levels[-1]),
            )
        )
    return Table(
        id=f"{prefix}-scripts",
        title="By script",
        note="Mean accuracy over the languages of a script, each counting the same, "
        "for just these languages (95% interval over passages). A description: scripts "
        "differ in much else, such as how much text of their languages there is.",
        header=("Script", "Languages", "Accuracy, %", "95% interval", "Best", "Worst"),
        rows=tuple(rows),
        frame=frame_of([one for _, one in found]),
        folded=len(found) > 8,
        sortable=True,
    )


def _end(run: LanguageRun, level: Record) -> Cell:
    text = f"{run.answers.name(level.group or '')} ({value(level).text})"
    return Cell(text=text, sort=level.estimate)
