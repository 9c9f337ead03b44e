"""Tables of what the languages' items and answers are like."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import columns as col
from analysis.columns import value_cell
from analysis.html import Cell, Table, number_cell
from analysis.languages_analysis import LanguageRun
from analysis.languages_words import reference_name
from analysis.records import Record


def length_table(run: LanguageRun, prefix: str) -> Table:
    """What else differs between languages, and what went wrong."""
    answers, frame = run.answers, run.answers.frame
    flags: dict[str, NDArray[np.bool_]] = {
        "Cut": frame["truncated"].to_numpy(dtype=bool),
        "No answer": ~answers.outcomes[0].known,
    }
    if answers.crossed:
        flags["Tied"] = frame["tied"].to_numpy(dtype=bool)
    else:
        flags["Ran on"] = frame["ran_on"].to_numpy(dtype=bool)
    missed = {
        code: {name: int((one & answers.of(code)).sum()) for name, one in flags.items()}
        for code in run.ordered()
    }
    of: dict[str, col.Of] = {
        metric: lambda code, metric=metric: run.find(metric, code)
        for metric in (
            "mean_prompt_tokens",
            "mean_passage_characters",
            "prompt_tokens_ratio",
            "reference_logprob",
        )
    }
    means = col.frame_of(one(code) for code in run.ordered() for one in of.values())
    counted = pd.DataFrame(
        [
            {"language": code, "items": int(answers.of(code).sum())}
            | {name.lower().replace(" ", "_"): n for name, n in counts.items()}
            for code, counts in missed.items()
        ]
    ).melt(id_vars="language", var_name="metric", value_name="estimate")
    counted = counted.rename(columns={"language": "group"})
    times = (
        "Times reference",
        lambda code: _ratio(code, run, of["prompt_tokens_ratio"](code)),
    )
    return col.table(
        id=f"{prefix}-lengths",
        title="Length, and what went wrong",
        note=_length_note(run),
        columns=[
            col.text("Language", answers.name),
            col.count("Items", lambda code: int(answers.of(code).sum())),
            *col.estimate("Tokens of a prompt", of["mean_prompt_tokens"], 0),
            *([times] if answers.crossed else []),
            col.value("Characters of a passage", of["mean_passage_characters"], 0),
            *(
                col.count(name, lambda code, name=name: missed[code][name])
                for name in flags
            ),
            *(
                ()
                if answers.crossed
                else col.estimate("Log-prob", of["reference_logprob"])
            ),
        ],
        rows=run.ordered(),
        frame=pd.concat([means, counted], ignore_index=True),
        folded=True,
        sortable=True,
    )


def _ratio(code: str, run: LanguageRun, ratio: Record | None) -> Cell:
    return number_cell(1.0) if code == run.answers.reference else value_cell(ratio)


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
    levels = [(answers.scripts[c], run.level(c)) for c in run.ordered()]
    rows = [
        (name, one, [level for script, level in levels if script == name and level.n])
        for name, one in found
    ]
    return col.table(
        id=f"{prefix}-scripts",
        title="By script",
        note="Mean accuracy over the languages of a script, each counting the same, "
        "for just these languages (95% interval over passages). A description: scripts "
        "differ in much else, such as how much text of their languages there is.",
        columns=[
            col.text("Script", lambda row: row[0]),
            col.count("Languages", lambda row: len(row[2])),
            *col.estimate("Accuracy, %", lambda row: row[1], 1, 100),
            ("Best", lambda row: _end(run, row[2][0])),
            ("Worst", lambda row: _end(run, row[2][-1])),
        ],
        rows=rows,
        frame=[one for _, one in found],
        folded=len(found) > 8,
        sortable=True,
    )


def _end(run: LanguageRun, level: Record) -> Cell:
    text = f"{run.answers.name(level.group or '')} ({value_cell(level, 1, 100).text})"
    return Cell(text=text, sort=level.estimate)
