"""What stages are compared by on the dialect axis: games, pairs, features.

The values are those that each analysis counts, before it averages them: see
`dialects_md3_data`, `dialects_pairs_effects`, `dialects_pairs_effects` and
`dialects_features_data`.
"""

from __future__ import annotations

import numpy as np

from analysis import paired
from analysis.dialects_features_data import VARIANTS, pair_scores
from analysis.dialects_md3_data import CHOICE, GUESS, read_games
from analysis.dialects_md3_findings import dialect_name
from analysis.dialects_pairs_data import PairTable, pair_table
from analysis.dialects_pairs_effects import ANSWER, Setting, correct_of, settings_of
from analysis.dialects_pairs_findings import name_of
from analysis.load import Run, item_meta
from analysis.outcome import Outcome, is_binary, known_as, outcome_frame
from analysis.part import Wanted
from analysis.wording import percent

STANDARD_PREFERRED = "standard_preferred"

_GAMES = {
    GUESS: "share of games won by guessing the secret word",
    CHOICE: "share of games in which the secret word scores highest",
}


def game_outcomes(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """Games won by guess, where a model made any, and by choice; unit: a game.

    Clusters are the secret words, as in the analysis. A choice by summed
    log-probability stands for a policy's.

    Raises:
        DataError: As `dialects_md3_data.read_games`.
        StoreError: The run's items or scores cannot be read.
    """
    games = read_games(run, run.model, wanted.reference_dialect)
    units = run.frame["item_id"].drop_duplicates()
    found = []
    for one in games.outcomes:
        if one.key not in _GAMES:
            continue
        frame = outcome_frame(
            run, unit=units, group=games.dialect, cluster=games.answer, value=one.won
        )
        found.append(
            Outcome(
                name=one.key,
                title=_GAMES[one.key],
                value_unit="share",
                grouping="dialect",
                reference=games.reference,
                wanted=None
                if games.reference == games.wanted_reference
                else games.wanted_reference,
                better="higher",
                binary=is_binary(frame),
                crossed=False,
                frame=frame,
                chosen=one.key != GUESS,
                beside="" if one.chance is None else f"chance is {percent(one.chance)}",
                names=known_as((name, dialect_name(name)) for name in games.dialects),
            )
        )
    return tuple(found)


def pair_outcomes(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """Accuracy inside each dialect, and how often the reference's text is preferred.

    Unit: a row; clusters are the prompts. The preference is that of the setting that
    heads the analysis: the answer varied under a fixed prompt where there is one. Rows
    whose two texts are the same are left out of it, as there.

    Raises:
        DataError: As `dialects_pairs_data.pair_table`.
        UsageError: The same.
        StoreError: The run's items cannot be read.
    """
    table = pair_table(run, run.model, wanted.reference_dialect)
    found = [_pair_accuracy(table)]
    found += [_standard_preferred(table, one) for one in settings_of(table)[:1]]
    return tuple(one for one in found if one is not None)


def _pair_accuracy(table: PairTable) -> Outcome | None:
    """None: no row has the scores of a chosen and a rejected answer."""
    correct = correct_of(table)
    if correct.empty:
        return None
    dialects = list(map(str, correct))
    frame = outcome_frame(
        table.run,
        unit=np.tile(table.rows, len(dialects)),
        group=np.repeat(dialects, len(table.rows)),
        cluster=np.tile(table.clusters, len(dialects)),
        value=correct.to_numpy().ravel(order="F"),
    )
    return Outcome(
        name="accuracy",
        title="share of rows whose chosen answer scores above the rejected one",
        value_unit="share",
        grouping="dialect",
        reference=table.reference,
        better="higher",
        binary=is_binary(frame),
        crossed=True,
        frame=frame,
        names=known_as((name, name_of(name)) for name in dialects),
    )


def _standard_preferred(table: PairTable, setting: Setting) -> Outcome:
    units, groups, clusters, values = [], [], [], []
    rows = np.array(table.rows)
    for dialect in table.dialects:
        forms = setting.forms(table, dialect)
        kept = ~forms.identical
        units.append(rows[kept])
        groups.append(np.full(int(kept.sum()), dialect))
        clusters.append(table.clusters[kept])
        values.append(paired.wins(forms.reference - forms.other)[kept])
    frame = outcome_frame(
        table.run,
        unit=np.concatenate(units),
        group=np.concatenate(groups),
        cluster=np.concatenate(clusters),
        value=np.concatenate(values),
    )
    # Other settings measure something else: they may not pass for the same.
    other = "" if setting.key == ANSWER.key else f"_{setting.key}"
    return Outcome(
        name=STANDARD_PREFERRED + other,
        title=f"share of rows in which {name_of(table.reference)} scores above the "
        f"dialect ({setting.varied} varied)",
        value_unit="share",
        grouping="dialect",
        reference=None,
        better=None,
        binary=is_binary(frame),
        crossed=True,
        frame=frame,
        names=known_as((name, name_of(name)) for name in table.dialects),
    )


def feature_outcomes(run: Run, wanted: Wanted) -> tuple[Outcome, ...]:
    """How often the standard form is preferred; unit: a pair, clusters: frames.

    Raises:
        DataError: As `dialects_features_data.pair_scores`.
        StoreError: The run's items cannot be read.
    """
    pairs = pair_scores(run)
    scores = pairs[list(VARIANTS)].to_numpy()
    scores[~np.isfinite(scores)] = np.nan
    frame = outcome_frame(
        run,
        unit=pairs.index,
        group=pairs["feature"],
        cluster=pairs["frame"],
        value=paired.wins(scores[:, 0] - scores[:, 1]),
    )
    meta = item_meta(run)
    firsts = pairs.reset_index().drop_duplicates("feature")
    return (
        Outcome(
            name=STANDARD_PREFERRED,
            title="share of pairs whose standard form scores above the dialect's",
            value_unit="share",
            grouping="feature",
            reference=None,
            better=None,
            binary=is_binary(frame),
            crossed=False,
            frame=frame,
            names=known_as(
                (str(key), str(meta[str(item)].get("feature_title") or key))
                for key, item in zip(firsts["feature"], firsts["item_id"], strict=True)
            ),
        ),
    )
