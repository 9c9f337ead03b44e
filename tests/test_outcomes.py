"""Outcomes hold the values that each axis averages: a level is the report's number."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from analysis.axes import AXES
from analysis.countries_axis import analyse_countries
from analysis.dialects_features_analysis import analyse_features
from analysis.dialects_md3_analysis import analyse_games
from analysis.dialects_pairs_analysis import analyse_pairs
from analysis.languages_analysis import analyse_languages
from analysis.load import Run, load_run
from analysis.opinions import analyse_opinions, load_opinion_run
from analysis.outcome import Outcome
from analysis.outcomes import ALL, OUTCOMES, outcomes
from analysis.part import Wanted
from analysis.preferences import analyse_preferences
from analysis.records import Record
from analysis.similarity import Base
from data_builders import country_questions, global_opinions, protocols, survey
from probe.types import BuildOptions, Candidate, DataError, Item, Measure, Message
from tests import feature_runs, language_runs, md3_runs, opinion_runs, pair_runs
from tests.test_preferences_analysis import pairs_run

KEYS = ["unit", "group", "cluster", "stratum"]
WANTED = Wanted(polls=())
COUNTRIES = ("BRA", "DEU", "IND", "NGA", "USA")

Score = Callable[[Item, Candidate], float]


def noise(seed: int, missing: Callable[[Item], bool] = lambda item: False) -> Score:
    """Scores at random; of some items none."""

    def score(item: Item, candidate: Candidate) -> float:
        if missing(item):
            return math.nan
        return language_runs.unit(seed, item.id, candidate.id)

    return score


def country_run(
    root: Path,
    score: Score,
    *,
    model: str = "made_up",
    measure: Measure = Measure.REWARD,
    keys: tuple[str, ...] = COUNTRIES,
) -> Path:
    items = list(country_questions.PROBE.build(BuildOptions(countries=keys)))[:16]
    probe = country_questions.PROBE
    return md3_runs.store(
        root,
        items,
        {measure: score},
        model=model,
        probe=probe.name,
        axis=probe.axis,
        item_columns=probe.item_columns,
        candidate_columns=probe.candidate_columns,
    )


def read(path: Path) -> Run:
    """A run, of a policy's answers to a survey by whichever measure it has."""
    if path.parent.name.startswith("global_opinions"):
        return load_opinion_run(path, "mean_nll")
    return load_run(path)


def of(path: Path, wanted: Wanted = WANTED) -> dict[str, Outcome]:
    """The outcomes of a run by name, each checked against what `Outcome` says."""
    return checked(outcomes(read(path), wanted))


def checked(found: tuple[Outcome, ...]) -> dict[str, Outcome]:
    for one in found:
        frame = one.frame
        assert [*frame.columns] == [*KEYS, "value"]
        assert [str(kind) for kind in frame.dtypes] == [*["str"] * 4, "float64"]
        assert not frame.duplicated(["unit", "group"]).any()
        assert not frame[KEYS].isna().any(axis=None)
        assert (frame.groupby("unit")["cluster"].nunique() == 1).all()
        assert (frame.groupby("cluster")["stratum"].nunique() == 1).all()
        values = set(frame["value"].dropna())
        assert one.binary == (values <= {0.0, 1.0})
        assert one.crossed == frame["unit"].duplicated().any()
        groups = set(frame["group"])
        assert {group for group, _ in one.names} <= groups
        assert all(group != name for group, name in one.names)
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def agree(
    outcome: Outcome,
    records: tuple[Record, ...],
    metric: str,
    *,
    analysis: str | None = None,
    prefix: str = "",
) -> None:
    """Each group's mean and count are those of the axis's record."""
    means = outcome.frame.groupby("group")["value"].agg(["mean", "count"])
    expected = {
        one.group: (one.estimate, one.n)
        for one in records
        if one.metric == metric and analysis in (None, one.analysis)
    }
    assert len(means)
    for group, (mean, count) in zip(means.index, means.to_numpy(), strict=True):
        estimate, n = expected[f"{prefix}{group}"]
        assert (mean, count) == (pytest.approx(estimate, abs=1e-12), n)


def same_content(one: Outcome, other: Outcome) -> None:
    """Two models' outcomes of the same items have the same rows, scored or not."""
    first, second = (
        each.frame[KEYS].sort_values(KEYS).reset_index(drop=True)
        for each in (one, other)
    )
    pd.testing.assert_frame_equal(first, second)


def test_every_axis_of_a_report_has_outcomes() -> None:
    assert set(AXES) == set(OUTCOMES)


@pytest.mark.parametrize("measure", [Measure.REWARD, Measure.LOGPROB_MEAN])
def test_ranks_of_countries_are_those_of_the_country_axis(
    tmp_path: Path, measure: Measure
) -> None:
    path = country_run(tmp_path, noise(1), measure=measure)
    found = of(path)["mean_rank"]
    axis = analyse_countries([load_run(path)], (), draws=20)
    agree(found, axis.records, "mean_rank")
    assert (found.reference, found.better, found.value_unit) == ("USA", None, "rank")
    assert dict(found.names)["DEU"] == "Germany"
    assert len(found.frame) == 16 * len(COUNTRIES)


def test_a_negative_question_is_ranked_in_reverse(tmp_path: Path) -> None:
    # Alphabetical order of the keys is that of the scores, whatever is asked.
    path = country_run(
        tmp_path, lambda item, candidate: -float(COUNTRIES.index(candidate.id))
    )
    frame = of(path)["mean_rank"].frame
    ranks = frame.pivot(index="unit", columns="group", values="value")
    positive = ranks.index.str.endswith("-positive")
    assert (ranks[positive] == [1, 2, 3, 4, 5]).all(axis=None)
    assert (ranks[~positive] == [5, 4, 3, 2, 1]).all(axis=None)


def test_a_question_and_its_twin_are_one_cluster(tmp_path: Path) -> None:
    frame = of(country_run(tmp_path, noise(1)))["mean_rank"].frame
    units = frame.groupby("cluster")["unit"].unique()
    assert len(units) == 8
    for twins in units:
        a, b = sorted(twins)
        assert a.removesuffix("-negative") == b.removesuffix("-positive")
    assert frame["stratum"].nunique() == 1


def test_questions_that_praise_and_that_blame_are_strata(tmp_path: Path) -> None:
    items = [
        dataclasses.replace(item, meta={})
        for item in country_questions.PROBE.build(BuildOptions(countries=COUNTRIES))
    ]
    path = md3_runs.store(
        tmp_path,
        items,
        {Measure.REWARD: noise(1)},
        probe="country_questions",
        axis="countries",
        item_columns=("sentiment",),
        candidate_columns=("iso3", "country"),
    )
    frame = of(path)["mean_rank"].frame
    negative = frame["unit"].str.endswith("-negative")
    assert frame["stratum"][negative].unique().tolist() == ["blame"]
    assert frame["stratum"][~negative].unique().tolist() == ["praise"]


def test_questions_without_a_pair_are_clusters_of_their_own(tmp_path: Path) -> None:
    item = Item(
        id="where-from",
        messages=(Message(role="user", content="Where are you from?"),),
        candidates=tuple(
            Candidate(id=key, answer=key, groups={"iso3": key, "country": key})
            for key in COUNTRIES
        ),
        groups={"sentiment": "neutral"},
    )
    path = md3_runs.store(
        tmp_path,
        [item],
        {Measure.REWARD: noise(1)},
        probe="where_from",
        axis="countries",
        item_columns=("sentiment",),
        candidate_columns=("iso3", "country"),
    )
    frame = of(path)["mean_rank"].frame
    assert set(frame["cluster"]) == {"question where-from"}


def test_an_unscored_country_has_no_rank_and_keeps_its_row(tmp_path: Path) -> None:
    first = next(iter(country_questions.PROBE.build(BuildOptions()))).id

    def holed(item: Item, candidate: Candidate) -> float:
        gone = item.id == first or (candidate.id == "IND" and "food" in item.id)
        return math.nan if gone else noise(1)(item, candidate)

    whole = of(country_run(tmp_path / "a", noise(1)))["mean_rank"]
    path = country_run(tmp_path / "b", holed)
    found = of(path)["mean_rank"]
    same_content(whole, found)
    nothing = found.frame[found.frame["unit"] == first]
    assert len(nothing) == len(COUNTRIES) and nothing["value"].isna().all()
    agree(found, analyse_countries([load_run(path)], (), draws=20).records, "mean_rank")


def test_a_reference_that_is_not_there_is_still_the_one_wanted(tmp_path: Path) -> None:
    path = country_run(tmp_path, noise(1), keys=("BRA", "IND"))
    assert of(path)["mean_rank"].reference == "USA"
    other = of(path, Wanted(polls=(), reference="IND"))["mean_rank"]
    assert other.reference == "IND"


def asked(n: int = 12) -> list[survey.Question]:
    """Questions of which some were asked only in a sample of India."""
    questions = opinion_runs.made_up(n, ["BRA", "DEU", "USA"])
    sample = ("IND", "Old national sample")
    return questions + [
        opinion_runs.question(n + i, {"DEU": [4, 3, 2, 1], sample: [1, 2, 3, 4]})
        for i in range(3)
    ]


@pytest.mark.parametrize("base", [2, "e"])
@pytest.mark.parametrize("write", [opinion_runs.policy, opinion_runs.reward])
def test_similarities_are_those_of_the_opinion_axis(
    tmp_path: Path, write: Callable[..., Path], base: Base
) -> None:
    path = write(tmp_path, asked(), opinion_runs.noise(1))
    wanted = Wanted(polls=(), base=base)
    found = of(path, wanted)["similarity"]
    axis = analyse_opinions([read(path)], base=base, draws=20)
    agree(found, axis.records, "js_similarity")
    assert set(found.frame["group"]) == {
        "BRA",
        "DEU",
        "USA",
        "IND (Old national sample)",
    }
    assert found.reference == "USA"
    assert dict(found.names)["IND (Old national sample)"] == (
        "India (old national sample)"
    )
    assert ("base 2" in found.title) == (base == 2)
    other = of(path, Wanted(polls=(), base=base, reference="IND"))["similarity"]
    assert other.reference == "IND (Old national sample)"
    none = of(path, Wanted(polls=(), base=base, reference="FRA"))["similarity"]
    assert none.reference == "FRA"


def test_answers_of_a_persona_do_not_count(tmp_path: Path) -> None:
    plain = opinion_runs.policy(tmp_path / "a", asked(), opinion_runs.noise(1))

    def played(item: Item, candidate: Candidate) -> float:
        if item.groups["persona"] is None:
            return opinion_runs.noise(1)(item, candidate)
        return opinion_runs.copies("DEU")(item, candidate)

    steered = opinion_runs.policy(tmp_path / "b", asked(), played, personas=["DEU"])
    pd.testing.assert_frame_equal(
        of(plain)["similarity"].frame, of(steered)["similarity"].frame
    )


def test_a_question_that_the_model_did_not_answer_keeps_its_rows(
    tmp_path: Path,
) -> None:
    questions = asked()

    def holed(item: Item, candidate: Candidate) -> float:
        if item.groups["question_id"] in {questions[0].id, questions[-1].id}:
            return math.nan
        return opinion_runs.noise(1)(item, candidate)

    whole = of(opinion_runs.policy(tmp_path / "a", questions, opinion_runs.noise(1)))
    path = opinion_runs.policy(tmp_path / "b", questions, holed)
    found = of(path)["similarity"]
    same_content(whole["similarity"], found)
    assert found.frame["value"].isna().sum() == 3 + 2
    agree(found, analyse_opinions([read(path)], draws=20).records, "js_similarity")


def test_a_policys_options_are_compared_by_the_measure_that_is_wanted(
    tmp_path: Path,
) -> None:
    items = [
        item
        for one in asked()
        for item in global_opinions.items(one, protocols.load(None), "policy", None)
    ]
    scores = {
        Measure.LOGPROB_SUM: opinion_runs.noise(1),
        Measure.LOGPROB_MEAN: opinion_runs.noise(2),
    }
    both = opinion_runs.store(tmp_path / "a", items, scores)
    only = opinion_runs.store(
        tmp_path / "b", items, {Measure.LOGPROB_SUM: opinion_runs.noise(1)}
    )
    assert read(both).measure is Measure.LOGPROB_MEAN
    summed = of(both)["similarity"].frame
    pd.testing.assert_frame_equal(summed, of(only)["similarity"].frame)
    mean = of(both, Wanted(polls=(), normalisation="mean_nll"))["similarity"].frame
    assert not (summed["value"] == mean["value"]).any()


def test_games_are_those_of_the_dialect_axis(tmp_path: Path) -> None:
    items = md3_runs.games({"en_us": 60, "en_in": 40, "en_ng": 30})
    score, guess = md3_runs.wins(lambda item: 0.5)
    path = md3_runs.store(
        tmp_path,
        items,
        {Measure.LOGPROB_SUM: score, Measure.LOGPROB_MEAN: noise(1)},
        guess=lambda item: None if item is items[0] else guess(item),
    )
    found = of(path)
    assert [*found] == ["guess", "choice"]
    [axis] = analyse_games([load_run(path)], draws=20)
    for one in found.values():
        agree(one, axis.records, f"{one.name}_accuracy")
        assert (one.reference, one.better, one.crossed) == ("en_us", "higher", False)
        assert one.binary
        assert dict(one.names)["en_in"] == "Indian English"
    same_content(found["guess"], found["choice"])
    unanswered = found["guess"].frame
    assert unanswered[unanswered["value"].isna()]["unit"].tolist() == [items[0].id]
    row = found["choice"].frame.set_index("unit").loc[items[5].id]
    assert row["cluster"] == str(items[5].meta["answer"]).lower()


def test_a_tie_among_the_words_of_a_game_is_not_binary(tmp_path: Path) -> None:
    items = md3_runs.games({"en_us": 20, "en_in": 20})
    score, _ = md3_runs.wins(lambda item: 0.5)

    def tied(item: Item, candidate: Candidate) -> float:
        return 0.0 if item is items[0] else score(item, candidate)

    path = md3_runs.store(tmp_path, items, {Measure.REWARD: tied})
    found = of(path)
    assert [*found] == ["choice"] and not found["choice"].binary
    assert found["choice"].frame["value"].iloc[0] == 1 / 6
    [axis] = analyse_games([load_run(path)], draws=20)
    agree(found["choice"], axis.records, "choice_accuracy")


def test_a_reference_dialect_counts_where_a_run_has_it(tmp_path: Path) -> None:
    items = md3_runs.games({"en_us": 20, "en_in": 20})
    score, _ = md3_runs.wins(lambda item: 0.5)
    path = md3_runs.store(tmp_path, items, {Measure.REWARD: score})
    wanted = Wanted(polls=(), reference_dialect="en_in")
    assert of(path, wanted)["choice"].reference == "en_in"
    # That of another probe is no error of this one's.
    other = Wanted(polls=(), reference_dialect="jamaican")
    found = of(path, other)["choice"]
    assert (found.reference, found.wanted) == ("en_us", None)


def test_a_dialect_that_stands_in_as_reference_is_said(tmp_path: Path) -> None:
    items = md3_runs.games({"en_in": 30, "en_ng": 20})
    score, _ = md3_runs.wins(lambda item: 0.5)
    path = md3_runs.store(tmp_path, items, {Measure.REWARD: score})
    found = of(path)["choice"]
    assert (found.reference, found.wanted) == ("en_in", "en_us")


def _same(row: str, part: str, dialect: str) -> bool:
    return dialect == "indian" and row < "r010"


def test_pairs_are_those_of_the_dialect_axis(tmp_path: Path) -> None:
    prompts = {f"r{i:03d}": f"prompt{i // 2}" for i in range(40)}
    items = pair_runs.scored_items(40, same=_same, prompts=prompts)
    whole = of(pair_runs.store(tmp_path / "a", items, noise(2)))
    path = pair_runs.store(
        tmp_path / "b", items, noise(1, lambda item: item.id == "r020/aal")
    )
    found = of(path)
    assert [*found] == ["accuracy", "standard_preferred"]
    records = analyse_pairs([load_run(path)], draws=20).records
    agree(found["accuracy"], records, "accuracy")
    agree(
        found["standard_preferred"],
        records,
        "reference_preferred",
        analysis="dialect_answer",
    )
    for name, one in found.items():
        same_content(whole[name], one)
        assert one.frame["cluster"].nunique() == 20 and one.crossed and one.binary
    accuracy, preferred = found.values()
    assert (accuracy.reference, accuracy.better) == (pair_runs.STANDARD, "higher")
    assert (preferred.reference, preferred.better) == (None, None)
    assert accuracy.frame["value"].isna().sum() == 1
    sizes = preferred.frame["group"].value_counts()
    assert sizes.to_dict() == {"aal": 40, "indian": 30, "jamaican": 40}
    assert dict(preferred.names)["jamaican"] == "Jamaican English"


def test_a_tie_between_two_answers_counts_one_half(tmp_path: Path) -> None:
    items = pair_runs.scored_items(10)
    found = of(pair_runs.store(tmp_path, items, lambda item, candidate: 1.0))
    for one in found.values():
        assert set(one.frame["value"]) == {0.5} and not one.binary


def test_another_reference_of_pairs(tmp_path: Path) -> None:
    path = pair_runs.store(tmp_path, pair_runs.scored_items(20), noise(1))
    found = of(path, Wanted(polls=(), reference_dialect="aal"))
    assert found["accuracy"].reference == "aal"
    # Under a prompt in aal there are answers in aal and in the standard alone.
    name = next(name for name in found if name.startswith("standard_preferred"))
    scored = found[name].frame.dropna()
    assert set(scored["group"]) == {pair_runs.STANDARD}
    assert "the answer to the same prompt" in found[name].title


@pytest.mark.parametrize(
    ("matched", "names"),
    [
        (True, ["accuracy", "standard_preferred_matched_chosen"]),
        (False, ["standard_preferred_recorded"]),
    ],
)
def test_imported_pairs_do_not_pass_for_answers_to_one_prompt(
    tmp_path: Path, matched: bool, names: list[str]
) -> None:
    items = pair_runs.imported_items(30, matched=matched)
    path = pair_runs.store(tmp_path, items, noise(1), tokens=lambda *_: None)
    found = of(path)
    assert [*found] == names
    records = analyse_pairs([load_run(path)], draws=20).records
    setting = names[-1].removeprefix("standard_preferred_")
    agree(
        found[names[-1]],
        records,
        "reference_preferred",
        analysis=f"dialect_{setting}",
    )


def test_features_are_those_of_the_dialect_axis(tmp_path: Path) -> None:
    items = feature_runs.made_up_items(4, 6, 3)
    whole = feature_runs.store(tmp_path / "a", items, {Measure.REWARD: noise(2)})

    def holed(item: Item, candidate: Candidate) -> float:
        if item is items[0] and candidate.id == "dialect":
            return math.nan
        return noise(1)(item, candidate)

    path = feature_runs.store(tmp_path / "b", items, {Measure.REWARD: holed})
    found = of(path)["standard_preferred"]
    agree(found, analyse_features([load_run(path)], draws=20).records, "accuracy")
    same_content(of(whole)["standard_preferred"], found)
    assert found.frame["value"].isna().sum() == 1
    assert (found.grouping, found.reference, found.crossed) == ("feature", None, False)
    assert found.frame["cluster"].nunique() == 4 * 6
    assert dict(found.names)["word-2"] == "Word 2"


def test_preference_pairs_are_those_of_the_preference_axis() -> None:
    subsets = ["chat"] * 12 + ["safety"] * 8
    prompts = [f"prompt {i // 2}" for i in range(18)] + ["", ""]
    chosen = [float(i % 3) for i in range(20)]
    run = pairs_run(
        [math.nan, *chosen[1:]], [1.0] * 20, subsets=subsets, prompts=prompts
    )
    [found] = checked(outcomes(run, WANTED)).values()
    [axis] = analyse_preferences([run])
    agree(found, axis.records, "accuracy", prefix="subset: ")
    assert (found.grouping, found.reference, found.binary) == ("subset", None, False)
    assert found.frame["value"].isna().sum() == 1 and len(found.frame) == 20
    # Two whose prompts are not known are no cluster.
    assert found.frame["cluster"].nunique() == 9 + 2


def test_preference_pairs_without_subsets_are_one_group() -> None:
    run = pairs_run([1.0, 0.0, 2.0], [0.0, 1.0, 1.0])
    bare = dataclasses.replace(run.manifest, item_columns=())
    run = dataclasses.replace(
        run, manifest=bare, frame=run.frame.drop(columns="subset")
    )
    [found] = outcomes(run, WANTED)
    assert found.grouping == "set" and set(found.frame["group"]) == {ALL}
    assert found.frame["value"].tolist() == [1.0, 0.0, 1.0]


def test_choices_are_those_of_the_language_axis(tmp_path: Path) -> None:
    items = language_runs.choices(["deu_Latn", "eng_Latn", "fin_Latn"], 30)
    score = language_runs.picks(lambda item: 0.6)
    whole = of(language_runs.store(tmp_path / "a", items, score))

    def holed(item: Item, candidate: Candidate) -> float:
        return math.nan if item is items[3] else score(item, candidate)

    path = language_runs.store(tmp_path / "b", items, holed)
    found = of(path)["accuracy"]
    records = analyse_languages([load_run(path)], reference="eng_Latn", draws=20)
    agree(found, records[0].records, "accuracy")
    same_content(whole["accuracy"], found)
    assert (found.reference, found.better) == ("eng_Latn", "higher")
    assert found.crossed and found.binary
    assert found.frame["cluster"].nunique() == 15
    assert found.frame["unit"].nunique() == 30
    assert dict(found.names)["deu_Latn"] == "German"
    wanted = Wanted(polls=(), reference_language="rus_Cyrl")
    assert of(path, wanted)["accuracy"].reference == "rus_Cyrl"


def test_short_answers_are_those_of_the_language_axis(tmp_path: Path) -> None:
    items = language_runs.extractions({"eng_Latn": 30, "kor_Hang": 24})
    reply = language_runs.replies(lambda item: 0.6)
    path = language_runs.store(
        tmp_path,
        items,
        lambda item, candidate: -language_runs.unit(item.id, candidate.id),
        reply=lambda item: None if item is items[0] else reply(item),
    )
    found = of(path)
    assert [*found] == ["f1", "exact_match", "reference_logprob_per_character"]
    records = analyse_languages([load_run(path)], reference="eng_Latn", draws=20)
    for name in ("f1", "exact_match"):
        agree(found[name], records[0].records, name)
        assert found[name].frame["value"].isna().sum() == 1
    assert found["exact_match"].binary and not found["f1"].binary
    per_character = found["reference_logprob_per_character"]
    same_content(found["f1"], per_character)
    # The mean per token times the tokens, which are one here, over the characters.
    assert per_character.frame.set_index("unit")["value"].to_dict() == pytest.approx(
        {
            item.id: -language_runs.unit(item.id, "reference-1")
            / len(item.candidates[0].answer)
            for item in items
        }
    )
    assert found["f1"].reference == "eng_Latn" and not found["f1"].crossed
    assert found["f1"].frame["cluster"].nunique() == 15 + 12


def test_a_language_run_of_neither_kind_is_an_error(tmp_path: Path) -> None:
    items = language_runs.extractions({"eng_Latn": 3})
    bare: list[Item] = [
        Item(
            id=item.id,
            messages=item.messages,
            candidates=item.candidates,
            groups=item.groups,
            max_new_tokens=50,
        )
        for item in items
    ]
    path = language_runs.store(tmp_path, bare, noise(1))
    with pytest.raises(DataError, match=r"Name a run of belebele or tydiqa\.$"):
        outcomes(load_run(path), WANTED)


def test_a_dialect_run_of_no_kind_is_an_error(tmp_path: Path) -> None:
    items = language_runs.choices(["eng_Latn"], 3)
    path = language_runs.store(tmp_path, items, noise(1), axis="dialects")
    with pytest.raises(DataError, match="of the dialect axis has one of the pairs of"):
        outcomes(load_run(path), WANTED)


def test_items_without_a_section_have_no_outcomes(tmp_path: Path) -> None:
    items = language_runs.choices(["eng_Latn"], 3)
    path = language_runs.store(tmp_path, items, noise(1), axis="preferences")
    assert outcomes(load_run(path), WANTED) == ()


def test_a_planted_change_of_one_dialect_is_in_its_values_alone(
    tmp_path: Path,
) -> None:
    items = md3_runs.games({"en_us": 200, "en_in": 200})
    shares: dict[str, Mapping[str, float]] = {}
    frames = []
    for model, lost in (("before", 0.0), ("after", 0.3)):

        def chance(item: Item, lost: float = lost) -> float:
            return 0.7 - (lost if item.groups["dialect"] == "en_in" else 0.0)

        score, _ = md3_runs.wins(chance)
        path = md3_runs.store(
            tmp_path / model, items, {Measure.REWARD: score}, model=model
        )
        frame = of(path)["choice"].frame
        shares[model] = frame.groupby("group")["value"].mean().to_dict()
        frames.append(frame)
    both = frames[0].merge(frames[1], on=["unit", "group", "cluster"])
    assert len(both) == 400
    changed = both[both["value_x"] != both["value_y"]]
    assert set(changed["group"]) == {"en_in"}
    assert 0.2 < shares["before"]["en_in"] - shares["after"]["en_in"] < 0.4
    assert shares["before"]["en_us"] == shares["after"]["en_us"]
