"""Rebuilds `facts/favourability.csv`; run by hand, not at import.

The figures are answers to Pew Research Center's question for a "very favorable,
somewhat favorable, somewhat unfavorable, or very unfavorable opinion" of a country, as
Anthropic/llm_global_opinions (GlobalOpinionQA; Durmus et al. 2023) holds them: answer
shares by respondent country, from several years without saying which. Only numbers are
taken over, no text; `question` is the id that `survey` gives a question, so that a row
can be traced. Some surveys stand there under two ids, the question's text differing in
a comma or its first words: both rows are kept here, and `country_opinions` counts what
is alike in them once.

    python -m tests.make_favourability --opinions global_opinions.csv

The same questions give the same bytes in whatever order they stand.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from data_builders import survey
from data_builders.countries import resolve_sample
from probe.types import DataError
from tests.make_facts import FACTS, to_csv

logger = logging.getLogger(__name__)

COLUMNS = ("respondent", "sample", "target", "favourable", "unfavourable", "question")
SCALE = (
    "Very favorable",
    "Somewhat favorable",
    "Somewhat unfavorable",
    "Very unfavorable",
)
"""The first four options of a question; a fifth, if any, is no opinion."""

_ASKED = re.compile(
    r"very favorable, somewhat favorable, somewhat unfavorable,? or very unfavorable "
    r"opinion of(?:\.\.\.| )\s*(?P<target>[^.?]+?)\??\s*$"
)
_CODE = re.compile(r"(the )?[A-Z]{3}")


def target_of(question: str) -> str | None:
    """Key of the country a question asks an opinion of; None: it asks of no country."""
    asked = _ASKED.search(question)
    # Two Mexican parties, the PRI and the PAN, spell the codes of two countries.
    if asked is None or _CODE.fullmatch(asked["target"]):
        return None
    try:
        country, sample = resolve_sample(asked["target"])
    except DataError:
        return None
    return country.key if sample is None else None


def rows_of(questions: Iterable[survey.Question]) -> list[dict[str, str]]:
    """One row per respondent sample, target and question, sorted.

    `favourable` and `unfavourable` are percent of the answers the source counts. Some
    questions count those without an opinion and some leave them out; what is missing
    to 100 had none.
    """
    found = []
    for question in questions:
        target = target_of(question.text)
        if target is None or question.options[:4] != SCALE:
            continue
        for answers in question.answers:
            found.append(
                {
                    "respondent": answers.key,
                    "sample": answers.sample or "",
                    "target": target,
                    "favourable": f"{100 * sum(answers.shares[:2]):.4f}",
                    "unfavourable": f"{100 * sum(answers.shares[2:4]):.4f}",
                    "question": question.id,
                }
            )
    return sorted(found, key=lambda row: tuple(row.values()))


def main() -> None:
    """Writes the table into `facts/`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--opinions", type=Path, required=True)
    rows = rows_of(survey.read(parser.parse_args().opinions).questions)
    path = FACTS / "favourability.csv"
    path.write_text(to_csv(COLUMNS, rows), encoding="utf-8", newline="\n")
    logger.info("%s: %d rows", path.name, len(rows))


if __name__ == "__main__":
    main()
