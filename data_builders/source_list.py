"""Other people's data that the probes read: its home, its licence, its file names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from data_builders import languages

PART = "{part}"


def named(pattern: str, language: str) -> str:
    """A path with its `{language}`, if it has one, filled in."""
    return pattern.replace("{language}", language)


def each_part(pattern: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The paths of a pattern: itself, or with its `{part}` filled in by each."""
    if PART not in pattern:
        return (pattern,)
    return tuple(pattern.replace(PART, part) for part in parts)


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A file of a hub dataset."""

    id: str
    """Dataset `owner/name`."""
    file: str
    """Path of the file in the dataset, with `{language}` where each has its own, or
    with `{part}` where it is published as several (`Source.parts`)."""
    revision: str
    """Commit."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Other people's data, its home and its licence."""

    name: str
    """What probes and messages call it."""
    hub: Hub | None
    """None: not on the hub, to be downloaded from `url` by hand."""
    licence: str
    """As the page has it."""
    files: tuple[str, ...]
    """Where to look for it in a local data folder, as one file or, with `{part}`, as
    all of `parts`; first match wins."""
    sha256: str | None
    """Of the file that the published results come from; None: unknown."""
    url: str
    """Page that a person can read."""
    folders: tuple[str, ...] = ()
    """Where to look for `parts` where there is none of `files`; the first folder that
    holds one of them must hold all."""
    parts: tuple[str, ...] = ()
    """Names of the files, where it is published as several."""
    by_language: tuple[str, ...] = ()
    """Where to look for the file of one language, named as `{language}`, where there is
    none of `files`; first match wins. A folder may hold any of the languages."""
    languages: Mapping[str, str] = field(default_factory=dict)
    """Code of each language it is published in -> its name in files; empty: whatever
    its languages, it is not divided by them."""
    optional: bool = False
    """A local data folder may do without it."""
    about: str = ""
    """What it is, where neither its name nor its page says so."""

    @property
    def published(self) -> tuple[str, ...]:
        """What is to be downloaded; `*` stands for a language."""
        if self.hub is None:
            return self.parts
        return each_part(named(self.hub.file, "*"), self.parts)


_TYDIQA = "da78f23f9119363459acbaf46bf89426ff26c259"


def _tydiqa_files(split: str, hub_split: str) -> tuple[str, ...]:
    """Files with all languages: the original download's, and the hub's."""
    original = f"tydiqa-goldp-v1.1-{split}.json"
    parquet = f"{hub_split}-00000-of-00001.parquet"
    return (
        f"secondary_task/{parquet}",
        f"tydiqa/secondary_task/{parquet}",
        f"tydiqa/{parquet}",
        original,
        f"tydiqa/{original}",
    )


def _excerpt(
    name: str, *parts: str, licence: str, url: str, folder: str, about: str = ""
) -> Source:
    """An excerpt of a training set, or a translation, that a folder may hold."""
    return Source(
        name=name,
        hub=None,
        licence=licence,
        files=(),
        sha256=None,
        url=url,
        folders=(folder, "."),
        parts=parts,
        optional=True,
        about=about,
    )


_OASST_FI = "https://github.com/TurkuNLP/oasst-fi"
_EN_FI = (
    "from TurkuNLP/oasst-fi: the English of OpenAssistant/oasst1 and its Finnish "
    "translation"
)
_BLEND = (
    "Algeria Assam Azerbaijan China Ethiopia Greece Indonesia Iran Mexico North_Korea "
    "Northern_Nigeria South_Korea Spain UK US West_Java"
)

_TRAINING = (
    # OpenAssistant's validation trees with their Finnish translations, as rows. By
    # DeepL's terms the translations may not be used to train machine translation.
    _excerpt(
        "oasst1_en_fi_sft",
        "oasst1_validation_en_fi_sft.jsonl",
        licence="Apache-2.0",
        url=_OASST_FI,
        folder="sft",
        about=_EN_FI,
    ),
    _excerpt(
        "oasst1_en_fi_pairs",
        "oasst1_validation_en_fi_ranked_pairs.jsonl",
        licence="Apache-2.0",
        url=_OASST_FI,
        folder="preferences",
        about=_EN_FI,
    ),
    # All trees, as messages. The layout is that of the repository's README and of the
    # script that it names; the files themselves have not been seen here.
    _excerpt(
        "oasst1_fi",
        "oasst1-fi-train.jsonl",
        "oasst1-fi-validation.jsonl",
        licence="Apache-2.0",
        url=_OASST_FI,
        folder="oasst-fi",
        about=_EN_FI,
    ),
    Source(
        name="oasst1",
        hub=Hub(
            id="OpenAssistant/oasst1",
            file="data/{part}",
            revision="fdf72ae0827c1cda404aff25b6603abec9e3399b",
        ),
        licence="Apache-2.0",
        files=("oasst1/data/{part}", "oasst1/{part}"),
        sha256=None,
        url="https://huggingface.co/datasets/OpenAssistant/oasst1",
        parts=(
            "train-00000-of-00001-b42a775f407cee45.parquet",
            "validation-00000-of-00001-134b8fd0c89408b6.parquet",
        ),
    ),
    _excerpt(
        "ultrafeedback_clean",
        "ultrafeedback_train_clean.jsonl",
        "ultrafeedback_eval_clean.jsonl",
        licence="MIT",
        url="https://huggingface.co/datasets/openbmb/UltraFeedback",
        folder="preferences",
    ),
    Source(
        name="ultrafeedback",
        hub=Hub(
            id="HuggingFaceH4/ultrafeedback_binarized",
            file="data/{part}",
            revision="3949bf5f8c17c394422ccfab0c31ea9c20bdeb85",
        ),
        licence="MIT",
        files=("ultrafeedback_binarized/data/{part}", "ultrafeedback_binarized/{part}"),
        sha256=None,
        url="https://huggingface.co/datasets/HuggingFaceH4/ultrafeedback_binarized",
        parts=(
            "train_prefs-00000-of-00001.parquet",
            "test_prefs-00000-of-00001.parquet",
        ),
    ),
    _excerpt(
        "hh_rlhf_harmless_test",
        "hh_rlhf_harmless_base_test_en.jsonl",
        licence="MIT",
        url="https://github.com/anthropics/hh-rlhf",
        folder="preferences",
    ),
    *(
        Source(
            name=f"hh_rlhf_{half}",
            hub=Hub(
                id="Anthropic/hh-rlhf",
                file=f"{half}-base/{{part}}",
                revision="09be8c5bbc57cb3887f3a9732ad6aa7ec602a1fa",
            ),
            licence="MIT",
            files=(f"hh-rlhf/{half}-base/{{part}}", f"{half}-base/{{part}}"),
            sha256=None,
            url="https://huggingface.co/datasets/Anthropic/hh-rlhf",
            parts=("train.jsonl.gz", "test.jsonl.gz"),
        )
        for half in ("harmless", "helpful")
    ),
    Source(
        name="tulu2_sft",
        hub=Hub(
            id="allenai/tulu-v2-sft-mixture",
            file="data/{part}",
            revision="6248b175d2ccb5ec7c4aeb22e6d8ee3b21b2c752",
        ),
        licence="ODC-BY",
        files=("tulu-v2-sft-mixture/data/{part}", "tulu-v2-sft-mixture/{part}"),
        sha256=None,
        url="https://huggingface.co/datasets/allenai/tulu-v2-sft-mixture",
        parts=(
            "train-00000-of-00003-99ee8754042a69f6.parquet",
            "train-00001-of-00003-278198836de5994c.parquet",
            "train-00002-of-00003-a52de323599d586a.parquet",
        ),
    ),
    _excerpt(
        "blend_country_qa",
        "blend_country_qa.jsonl",
        licence="CC-BY-SA-4.0",
        url="https://huggingface.co/datasets/nayeon212/BLEnD",
        folder="sft",
    ),
    Source(
        name="blend",
        hub=Hub(
            id="nayeon212/BLEnD",
            file="data/annotations_hf/{part}",
            # The annotations came in an earlier commit; this one changed the
            # multiple-choice questions, which are not read.
            revision="716305d0ee88e1d393bf17e16aaf551d6f9a23e3",
        ),
        licence="CC-BY-SA-4.0",
        files=("BLEnD/data/annotations_hf/{part}", "annotations_hf/{part}"),
        sha256=None,
        url="https://huggingface.co/datasets/nayeon212/BLEnD",
        parts=tuple(f"{country}_data.json" for country in _BLEND.split()),
    ),
)
"""Sets that mixes train on (`training_sources`); none is scored."""


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="askreddit",
            hub=Hub(
                id="SALT-NLP/AskRedditCountries",
                file="AskRedditCountries_final.csv",
                # The csv was added in the parent commit and the card, with the licence,
                # in this one; later commits change the card only.
                revision="26912f075bad70531bb94587b593235f8640857a",
            ),
            licence="MIT",
            files=(
                "AskRedditCountries_final.csv",
                "askreddit_countries/AskRedditCountries_final.csv",
                # The authors' repository, and that repository under recorded/.
                "data/askreddit_countries/AskRedditCountries_final.csv",
                "recorded/unintended-impacts/data/askreddit_countries/"
                "AskRedditCountries_final.csv",
            ),
            sha256="9a0f8ae8713689ee846f0d7687bfccaa6273019b63eceefd0b4897b2d2f412c0",
            url="https://huggingface.co/datasets/SALT-NLP/AskRedditCountries",
        ),
        Source(
            name="global_opinions",
            hub=Hub(
                id="Anthropic/llm_global_opinions",
                file="data/global_opinions.csv",
                # The csv came in an earlier commit; this is the card's last.
                revision="cb2880488749218abb81802a94c2c62ebfde2f35",
            ),
            licence="CC-BY-NC-SA-4.0",
            files=(
                "global_opinions.csv",
                "data/global_opinions.csv",
                "llm_global_opinions.csv",
                "opinions/llm_global_opinions.csv",
            ),
            sha256=None,
            url="https://huggingface.co/datasets/Anthropic/llm_global_opinions",
        ),
        Source(
            name="md3",
            hub=None,
            licence="as its page has it",
            # The games as Ryan et al. 2024 prepared them, the transcripts cut by hand.
            files=("md3_game.jsonl", "md3/md3_game.jsonl"),
            sha256=None,
            url="https://www.kaggle.com/datasets/jacobeis99/md3en",
            folders=(".", "md3", "md3en"),
            parts=tuple(
                f"{table}_{dialect}.tsv"
                for dialect in ("en_us", "en_in", "en_ng")
                for table in ("prompts", "transcripts")
            ),
        ),
        Source(
            name="dialect_pairs",
            hub=None,
            licence="Apache-2.0; RewardBench's texts ODC-BY",
            files=(
                "rewardbench_594_multivalue_6dialects.jsonl",
                "dialect/rewardbench_594_multivalue_6dialects.jsonl",
            ),
            sha256=None,
            url="https://github.com/joel-mire/rm-dialect-biases",
            # Of the authors' repository: JSON lines, in spite of its name.
            folders=(".", "dialect", "data/raw/reward_bench"),
            parts=("reward_bench_filtered_expanded_mv.json",),
        ),
        Source(
            name="rewardbench",
            hub=Hub(
                id="allenai/reward-bench",
                file="data/filtered-00000-of-00001.parquet",
                # The last commit that changed the pairs; later ones change the licence
                # and the card only.
                revision="d61ac5c97d0f2f7eb922da3c0b6bbaf614ae8d02",
            ),
            licence="ODC-BY",
            files=(
                "filtered-00000-of-00001.parquet",
                "data/filtered-00000-of-00001.parquet",
                "reward_bench_filtered.jsonl",
                "rewardbench.jsonl",
                "preferences/reward_bench_filtered.jsonl",
                "preferences/rewardbench.jsonl",
                # The pairs of `dialect_pairs` are 594 of RewardBench's.
                "rewardbench_594_multivalue_6dialects.jsonl",
                "dialect/rewardbench_594_multivalue_6dialects.jsonl",
            ),
            sha256=None,
            url="https://huggingface.co/datasets/allenai/reward-bench",
        ),
        Source(
            name="belebele",
            hub=Hub(
                id="facebook/belebele",
                file="data/{language}.jsonl",
                revision="75b399394a9803252cfec289d103de462763db7c",
            ),
            licence="CC-BY-SA-4.0",
            files=(),
            sha256=None,
            url="https://huggingface.co/datasets/facebook/belebele",
            by_language=(
                "belebele/{language}.jsonl",
                "{language}.jsonl",
                "data/{language}.jsonl",
                "belebele/data/{language}.jsonl",
            ),
            languages={code: code for code in languages.CODES},
        ),
        Source(
            name="tydiqa",
            hub=Hub(
                id="google-research-datasets/tydiqa",
                file="secondary_task/validation-00000-of-00001.parquet",
                revision=_TYDIQA,
            ),
            licence="Apache-2.0",
            files=_tydiqa_files("dev", "validation"),
            sha256=None,
            url="https://huggingface.co/datasets/google-research-datasets/tydiqa",
            by_language=(
                "tydiqa/tydiqa-goldp-dev-{language}.json",
                "tydiqa-goldp-dev-{language}.json",
                # As the original download unpacks.
                "tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-{language}.json",
                "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa-goldp-dev-{language}.json",
            ),
            languages={code: name for name, code in languages.TYDIQA.items()},
        ),
        Source(
            name="tydiqa_train",
            hub=Hub(
                id="google-research-datasets/tydiqa",
                file="secondary_task/train-00000-of-00001.parquet",
                revision=_TYDIQA,
            ),
            licence="Apache-2.0",
            files=_tydiqa_files("train", "train"),
            sha256=None,
            url="https://huggingface.co/datasets/google-research-datasets/tydiqa",
            optional=True,
        ),
        *_TRAINING,
    )
}
