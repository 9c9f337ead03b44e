"""Options of the command line: their types, and what the library makes of them.

Heavy imports stand inside the functions, so that ``rm-probe --help`` is instant.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probe.types import UsageError

if TYPE_CHECKING:
    from analysis.load import Run
    from analysis.part import Wanted
    from data_builders.country_opinions import Poll
    from probe.audit import Settings
    from probe.config import ModelConfig
    from probe.types import BuildOptions, Lineage, Probe


logger = logging.getLogger(__name__)


class Dtype(enum.StrEnum):
    """Precision of the forward pass."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Template(enum.StrEnum):
    """What a policy reads around a question and its answer."""

    config = "config"
    plain = "plain"


class Articles(enum.StrEnum):
    """Rule for articles before country names."""

    english = "english"
    paper = "paper"


class Span(enum.StrEnum):
    """What a policy scores in country probes."""

    country = "country"
    response = "response"


class Base(enum.StrEnum):
    """Logarithm of the Jensen-Shannon distance."""

    two = "2"
    e = "e"


class Normalisation(enum.StrEnum):
    """What of a policy's options the softmax is taken of."""

    sum = "sum"
    mean_nll = "mean_nll"


class Ties(enum.StrEnum):
    """What countries with equal scores in a question share."""

    average = "average"
    best = "best"


class Listing(enum.StrEnum):
    """What `ls` lists."""

    probes = "probes"
    models = "models"
    opinions = "opinions"
    ablations = "ablations"
    runs = "runs"


ModelArg = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Shipped name, YAML file, checkpoint folder, or hf:OWNER/NAME",
    ),
]
ProbeArg = Annotated[
    str,
    typer.Argument(
        metavar="PROBE", help="Shipped name, or a csv/jsonl with items or pairs"
    ),
]
RunArgs = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders of runs")
]
RunsOpt = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs")]
DataOpt = Annotated[
    Path | None,
    typer.Option("--data", help="Folder with local copies of the data (else the hub)"),
]
LimitOpt = Annotated[
    int | None,
    typer.Option("--limit", help="Items per probe, drawn stratified by a fixed seed"),
]
CountriesOpt = Annotated[
    str | None,
    typer.Option("--countries", help="Only these, as ISO3 codes: USA,IND,NGA"),
]
ArticlesOpt = Annotated[
    Articles, typer.Option("--articles", help="Rule for articles before names")
]
SpanOpt = Annotated[
    Span, typer.Option("--span", help="What a policy scores in country probes")
]
ProtocolOpt = Annotated[
    Path | None,
    typer.Option("--protocol", help="YAML with your wording of survey questions"),
]
PersonasOpt = Annotated[
    str | None,
    typer.Option(
        "--personas", help="Ask survey questions also from the view of IND,NGA"
    ),
]
LanguagesOpt = Annotated[
    str | None,
    typer.Option(
        "--languages", help="Only these, by code, tag or name: eng_Latn,hi,German"
    ),
]
ShotsOpt = Annotated[
    int,
    typer.Option("--shots", min=0, help="Worked examples before a tydiqa question"),
]
ColumnsOpt = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="How your file calls our columns: dialect=variety,prompt=question",
    ),
]
DeviceOpt = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps [best here]")
]
DtypeOpt = Annotated[
    Dtype | None, typer.Option("--dtype", help="Instead of the config's precision")
]
TemplateOpt = Annotated[
    Template,
    typer.Option("--template", help="A policy's own, or plain text without a chat's"),
]
BatchOpt = Annotated[
    int | None,
    typer.Option("--batch-tokens", min=1, help="Tokens of one forward pass"),
]
SeedOpt = Annotated[int, typer.Option("--seed", help="Fixes the draw of --limit")]
TrustOpt = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run code that comes with the checkpoint"),
]
OpinionsOpt = Annotated[
    list[str] | None,
    typer.Option("--opinions", help="Only this poll (repeatable); see ls opinions"),
]
MixedOpt = Annotated[
    bool,
    typer.Option(
        "--mixed", help="Allow several versions of a probe or model side by side"
    ),
]
ReferenceOpt = Annotated[
    str, typer.Option("--reference", help="Country that others are compared with")
]
DialectOpt = Annotated[
    str | None,
    typer.Option(
        "--reference-dialect",
        help="Dialect that others are compared with [each probe's own]",
    ),
]
LanguageOpt = Annotated[
    str,
    typer.Option(
        "--reference-language",
        help="Language that others are compared with, as a code such as eng_Latn",
    ),
]
FamiliesOpt = Annotated[
    Path | None,
    typer.Option(
        "--families", help="YAML with your lineages, instead of the shipped ones"
    ),
]
BaseOpt = Annotated[
    Base, typer.Option("--base", help="Logarithm of similarities of opinions")
]
NormalisationOpt = Annotated[
    Normalisation,
    typer.Option(
        "--normalisation",
        help="Policies' options: summed log-probability, or minus mean token NLL",
    ),
]
TiesOpt = Annotated[
    Ties, typer.Option("--ties", help="Place that countries of equal scores share")
]
CommonOpt = Annotated[
    str | None,
    typer.Option(
        "--common", help="Countries whose common survey questions are compared"
    ),
]


def load_probe(name: str, columns: str | None = None) -> Probe:
    """The probe called PROBE.

    Args:
        name: A shipped name or a file's path.
        columns: What was given as `--columns`.

    Raises:
        UsageError: `--columns` is no list of pairs; or as `data_builders.probes.load`.
        DataError: As `data_builders.probes.load`.
    """
    from data_builders import probes

    return probes.load(name, read_columns(columns))


def read_columns(given: str | None) -> dict[str, str]:
    """Our name of a column -> the file's.

    Raises:
        UsageError: It is no list of such pairs, or names one twice.
    """
    found: dict[str, str] = {}
    for pair in [] if given is None else given.split(","):
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and equals and theirs):
            raise UsageError(
                f"--columns has {pair.strip()!r}",
                "It is a list of OURS=YOURS, such as dialect=variety,prompt=question",
                "Correct it",
            )
        if ours in found or theirs in found.values():
            raise UsageError(
                f"--columns names '{ours}' or '{theirs}' twice",
                "Each column is read under one name",
                "Leave one of the two out",
            )
        found[ours] = theirs
    return found


def read_files(given: list[str]) -> list[Path] | dict[str, Path]:
    """What `[GROUP=]FILE...` names: files, or one file for each group.

    What is a file's whole path is that file, whatever its name holds.

    Raises:
        UsageError: Something is no file, a group's name cannot be one or stands twice,
            or only some of the files have a group.
    """
    files: list[Path] = []
    groups: dict[str, Path] = {}
    for one in given:
        group, equals, path = one.partition("=")
        if Path(one).is_file() or not equals:
            files.append(_file(one))
            continue
        if not re.fullmatch("[A-Za-z0-9_.-]+", group):
            raise UsageError(
                f"{one}: a group called {group!r}",
                "A group's name has letters, digits, '_', '-' and '.' only",
                "Name it otherwise",
            )
        if group in groups:
            raise UsageError(
                f"the group '{group}' is named twice",
                "Each group has one file",
                "Give one of them another name",
            )
        groups[group] = _file(path)
    if files and groups:
        raise UsageError(
            f"{files[0]} has no group, and {next(iter(groups.values()))} has",
            "Either all files have one, as in standard=A.jsonl aal=B.jsonl, or none",
            "Name the group of each file, or of none",
        )
    return groups or files


def _file(path: str) -> Path:
    if not Path(path).is_file():
        raise UsageError(
            f"{path} is no file",
            "FILE is a file of recorded scores",
            "Check the path",
        )
    return Path(path)


def read_runs(paths: list[Path], mixed: bool = False) -> list[Run]:
    """The runs called RUN: run folders, or folders of runs.

    Of a folder of runs, those that stopped before their first score are left out.

    Raises:
        UsageError: A path holds no run.
        StoreError: As `analysis.load.load_runs`.
    """
    from analysis.load import load_runs
    from probe.store import find_runs, has_scores

    found: list[Path] = []
    for path in paths:
        here = find_runs(path)
        if not here:
            raise UsageError(
                f"{path} holds no run" if path.exists() else f"{path} does not exist",
                "RUN is a run folder, or a folder of runs",
                "List runs with rm-probe ls runs --runs FOLDER",
            )
        if here != [path]:
            empty = [one for one in here if not has_scores(one)]
            for one in empty:
                logger.warning("left out    %s: nothing scored yet", one)
            here = [one for one in here if one not in empty]
        found += [one for one in here if one not in found]
    return list(load_runs(found, mixed=mixed))


def read_polls(names: list[str] | None) -> list[Poll]:
    """The polls called by `--opinions`; None: every one.

    Raises:
        UsageError: There is no such poll; the nearest is suggested.
    """
    from data_builders.country_opinions import polls
    from probe.config import did_you_mean

    known = polls()
    for name in names or ():
        if name not in known:
            raise UsageError(
                f"no poll is called '{name}'",
                "--opinions names a poll",
                did_you_mean(name, known),
            )
    return [known[name] for name in names or known]


def read_country(label: str) -> str:
    """Crosswalk key of a country in any spelling; errors as `countries.resolve`."""
    from data_builders import countries

    return countries.resolve(label).key


def for_one_probe(
    probe: Probe, config: ModelConfig, options: BuildOptions
) -> BuildOptions:
    """The options as one model reads one probe.

    Raises:
        UsageError: An option is given that the probe would ignore.
    """
    given = {
        "articles": options.articles != "english",
        "span": options.span != "country",
        "protocol": options.protocol is not None,
        "personas": bool(options.personas),
        "languages": options.languages is not None,
        "shots": options.shots != 1,
    }
    ignored = [name for name, set_ in given.items() if set_ and name not in probe.words]
    if ignored:
        raise UsageError(
            f"--{ignored[0]} is given, and probe {probe.name} does not read it",
            f"{probe.name} reads {', '.join(sorted(probe.words)) or 'none of these'}",
            "Leave it away",
        )
    return dataclasses.replace(options, reader=config.kind.fits)


def build_options(
    data: Path | None,
    countries: str | None,
    articles: Articles,
    span: Span,
    protocol: Path | None = None,
    personas: str | None = None,
    languages: str | None = None,
    shots: int = 1,
) -> BuildOptions:
    """What a user chose about the items, as builders read it.

    Raises:
        DataError: `--data` is no folder, or a country or language is unknown.
        UsageError: `--protocol` is no file, or a list is empty.
    """
    from probe.types import BuildOptions, DataError

    if data is not None and not data.is_dir():
        raise DataError(
            f"--data {data} is not a folder",
            "--data names a folder with local copies of the data",
            "Check the path, or leave --data away to use the hub",
        )
    if protocol is not None and not protocol.is_file():
        raise UsageError(
            f"--protocol {protocol} is no file",
            "--protocol names a YAML file with the wording of survey questions",
            "Check the path",
        )
    return BuildOptions(
        data=data,
        countries=_countries("--countries", countries),
        articles=articles.value,
        span=span.value,
        protocol=protocol,
        personas=_countries("--personas", personas) or (),
        languages=_languages(languages),
        shots=shots,
    )


def _countries(option: str, names: str | None) -> tuple[str, ...] | None:
    """Crosswalk keys of a comma-separated list, each once; None: not given."""
    if names is None:
        return None
    labels = _listed(option, names, "country", "USA,IND,NGA")
    return tuple(dict.fromkeys(read_country(label) for label in labels))


def _languages(names: str | None) -> tuple[str, ...] | None:
    """Codes of a comma-separated list, each once; None: not given."""
    if names is None:
        return None
    from data_builders import languages

    labels = _listed("--languages", names, "language", "eng_Latn,hi,German")
    return tuple(dict.fromkeys(languages.resolve(label) for label in labels))


def _listed(option: str, names: str, what: str, example: str) -> list[str]:
    labels = [label.strip() for label in names.split(",") if label.strip()]
    if not labels:
        raise UsageError(
            f"{option} is empty",
            f"{option} names at least one {what}",
            f"Leave it away, or name some, such as {example}",
        )
    return labels


def read_wanted(
    opinions: list[str] | None,
    reference: str,
    base: Base = Base.two,
    normalisation: Normalisation = Normalisation.sum,
    common: str | None = None,
    dialect: str | None = None,
    language: str = "eng_Latn",
    ties: Ties = Ties.average,
) -> Wanted:
    """What a user wants of a report; errors as the parts'."""
    from analysis.part import Wanted

    return Wanted(
        polls=read_polls(opinions),
        reference=read_country(reference),
        ties=ties.value,
        base=2 if base is Base.two else "e",
        normalisation=normalisation.value,
        common=_countries("--common", common),
        reference_dialect=dialect,
        reference_language=read_language(language),
    )


def read_language(label: str) -> str:
    """Code of a language in any spelling; errors as `languages.resolve`."""
    from data_builders import languages

    return languages.resolve(label)


def read_lineages(path: Path | None, runs: list[Run]) -> tuple[Lineage, ...]:
    """The lineages of `--families`, or the shipped ones.

    Raises:
        UsageError: As `probe.families.load_families`.
        ConfigError: The same.
    """
    from probe.families import load_families

    return load_families(path, {run.model for run in runs})


def read_settings(
    runs: Path = Path("runs"),
    device: str | None = None,
    dtype: Dtype | None = None,
    batch_tokens: int | None = None,
    seed: int = 0,
    trust_remote_code: bool = False,
    template: Template = Template.config,
) -> Settings:
    """How a user wants a model to run."""
    from probe.audit import Settings

    return Settings(
        runs=runs,
        device=device,
        dtype=None if dtype is None else dtype.value,
        batch_tokens=batch_tokens,
        seed=seed,
        trust_remote_code=trust_remote_code,
        template=template.value,
    )
