"""Options of the command line: their types, and what the library makes of them.

Heavy imports stand inside the functions, so that ``rm-probe --help`` is instant.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_type_hints

import typer

from probe.types import Dtype, UsageError

if TYPE_CHECKING:
    from analysis.load import Run
    from analysis.part import Wanted
    from data_builders.country_opinions import Poll
    from probe.audit import Settings
    from probe.config import ModelConfig
    from probe.types import BuildOptions, Probe


logger = logging.getLogger(__name__)


Listing = Literal["probes", "models", "opinions", "ablations", "runs"]
"""What `ls` lists."""

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
RunsOpt = Annotated[Path, typer.Option(help="Folder that holds the runs")]
DataOpt = Annotated[
    Path | None,
    typer.Option(help="Folder with local copies of the data (else the hub)"),
]
LimitOpt = Annotated[
    int | None, typer.Option(help="Items per probe, drawn stratified by a fixed seed")
]
ColumnsOpt = Annotated[
    str | None,
    typer.Option(
        help="How your file calls our columns: dialect=variety,prompt=question"
    ),
]
DeviceOpt = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps [best here]")
]
TemplateOpt = Annotated[
    Literal["config", "plain"],
    typer.Option(help="A policy's own, or plain text without a chat's"),
]
SeedOpt = Annotated[int, typer.Option(help="Fixes the draw of --limit")]
BatchOpt = Annotated[
    int | None,
    typer.Option(min=1, max=2**31 - 1, help="Tokens of one forward pass"),
]
TrustOpt = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run code that comes with the checkpoint"),
]
BaseFolderOpt = Annotated[
    Path | None, typer.Option(help="Folder of the base of a bare adapter")
]
OpinionsOpt = Annotated[
    list[str] | None, typer.Option(help="Only this poll (repeatable); see ls opinions")
]
MixedOpt = Annotated[
    bool,
    typer.Option(
        "--mixed", help="Allow several versions of a probe or model side by side"
    ),
]
TiesOpt = Annotated[
    Literal["average", "best"],
    typer.Option(help="Place that countries of equal scores share"),
]
ReferenceOpt = Annotated[
    str, typer.Option(help="Country that others are compared with")
]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print records")]
OutOpt = Annotated[Path | None, typer.Option(help="Folder for a report")]


def grouped(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as the command line sees it: each group's options by themselves.

    A parameter whose type is a dataclass of options stands for all of them; the verb
    is handed them as one value.
    """
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, type[Any]] = {}
    shown: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(verb).parameters.items():
        if not dataclasses.is_dataclass(kind := hints[name]):
            shown.append(parameter.replace(annotation=kind))
            continue
        groups[name] = cast("type[Any]", kind)
        types = get_type_hints(kind, include_extras=True)
        shown += [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=one.default,
                annotation=types[one.name],
            )
            for one in dataclasses.fields(kind)
        ]

    names = [one.name for one in shown]
    defaults = {one.name: one.default for one in shown}

    def command(*first: Any, **named: Any) -> None:
        given = defaults | dict(zip(names, first, strict=False)) | named
        for name, kind in groups.items():
            fields = [one.name for one in dataclasses.fields(kind)]
            given[name] = kind(**{field: given.pop(field) for field in fields})
        verb(**given)

    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    keyword = inspect.Parameter.KEYWORD_ONLY
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=keyword) for one in shown]
    )
    command.__annotations__ = {one.name: one.annotation for one in shown}
    return command


@dataclass(frozen=True, kw_only=True)
class ItemOptions:
    """What a user may choose about a probe's items."""

    data: DataOpt = None
    countries: Annotated[
        str | None, typer.Option(help="Only these, as ISO3 codes: USA,IND,NGA")
    ] = None
    articles: Annotated[
        Literal["english", "paper"], typer.Option(help="Rule for articles before names")
    ] = "english"
    span: Annotated[
        Literal["country", "response"],
        typer.Option(help="What a policy scores in country probes"),
    ] = "country"
    protocol: Annotated[
        Path | None, typer.Option(help="YAML with your wording of survey questions")
    ] = None
    personas: Annotated[
        str | None,
        typer.Option(help="Ask survey questions also from the view of IND,NGA"),
    ] = None
    languages: Annotated[
        str | None,
        typer.Option(help="Only these, by code, tag or name: eng_Latn,hi,German"),
    ] = None
    shots: Annotated[
        int, typer.Option(min=0, help="Worked examples before a tydiqa question")
    ] = 1

    def read(self) -> BuildOptions:
        """As builders read it.

        Raises:
            DataError: `--data` is no folder, or a country or language is unknown.
            UsageError: `--protocol` is no file, or a list is empty.
        """
        from probe.types import BuildOptions, DataError

        if self.data is not None and not self.data.is_dir():
            raise DataError(
                f"--data {self.data} is not a folder",
                "--data names a folder with local copies of the data",
                "Check the path, or leave --data away to use the hub",
            )
        if self.protocol is not None and not self.protocol.is_file():
            raise UsageError(
                f"--protocol {self.protocol} is no file",
                "--protocol names a YAML file with the wording of survey questions",
                "Check the path",
            )
        return BuildOptions(
            data=self.data,
            countries=_countries("--countries", self.countries),
            articles=self.articles,
            span=self.span,
            protocol=self.protocol,
            personas=_countries("--personas", self.personas) or (),
            languages=_languages(self.languages),
            shots=self.shots,
        )


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How a model is loaded."""

    device: DeviceOpt = None
    dtype: Annotated[
        Dtype | None, typer.Option(help="Instead of the config's precision")
    ] = None
    trust_remote_code: TrustOpt = False
    adapter_base: BaseFolderOpt = None

    def read(self) -> Settings:
        """How a user wants the model to run."""
        from probe.audit import Settings

        return Settings(**vars(self))


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(LoadOptions):
    """How a model is loaded and run, and where the scores go."""

    runs: RunsOpt = Path("runs")
    batch_tokens: BatchOpt = None
    seed: SeedOpt = 0
    template: TemplateOpt = "config"

    def read(self) -> Settings:
        """The same.

        Raises:
            UsageError: `--runs` cannot be written.
        """
        check_folder("--runs", self.runs)
        return super().read()


@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Which groups the others are compared with."""

    reference: ReferenceOpt = "USA"
    reference_dialect: Annotated[
        str | None,
        typer.Option(help="Dialect that others are compared with [each probe's own]"),
    ] = None
    reference_language: Annotated[
        str,
        typer.Option(
            help="Language that others are compared with, as a code such as eng_Latn"
        ),
    ] = "eng_Latn"

    def read(self) -> Wanted:
        """What a user wants of a report; errors as the parts'."""
        from data_builders import languages

        given = ReportOptions(**vars(self))
        polls, country = read_polls(given.opinions), read_country(given.reference)
        countries = _countries("--common", given.common)
        language = languages.resolve(given.reference_language)
        # Imported here: a wrong name is said before a slow start.
        from analysis.part import Wanted

        return Wanted(
            polls=polls,
            reference=country,
            ties=given.ties,
            base=2 if given.base == "2" else "e",
            normalisation=given.normalisation,
            common=countries,
            reference_dialect=given.reference_dialect,
            reference_language=language,
        )


@dataclass(frozen=True, kw_only=True)
class StageOptions(GroupOptions):
    """The same, and how answers to survey questions are measured."""

    base: Annotated[
        Literal["2", "e"], typer.Option(help="Logarithm of similarities of opinions")
    ] = "2"
    normalisation: Annotated[
        Literal["sum", "mean_nll"],
        typer.Option(
            help="Policies' options: summed log-probability, or minus mean token NLL"
        ),
    ] = "sum"
    ties: TiesOpt = "average"


@dataclass(frozen=True, kw_only=True)
class ReportOptions(StageOptions):
    """The same, and what people said that models are held against."""

    opinions: OpinionsOpt = None
    common: Annotated[
        str | None,
        typer.Option(help="Countries whose common survey questions are compared"),
    ] = None


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
            f"{path} is no file", "FILE is a file of recorded scores", "Check the path"
        )
    return Path(path)


def read_runs(paths: list[Path], mixed: bool = False) -> list[Run]:
    """The runs of `run_folders`.

    Raises:
        UsageError: As `run_folders`.
        StoreError: As `analysis.load.load_runs`.
    """
    found = run_folders(paths)
    # Imported here: a wrong name is said before a slow start.
    from analysis.load import load_runs

    return list(load_runs(found, mixed=mixed))


def run_folders(paths: list[Path]) -> list[Path]:
    """The folders of the runs called RUN: run folders, or folders of runs.

    Of a folder of runs, those that stopped before their first score are left out.

    Raises:
        UsageError: A path holds no run.
        StoreError: A run cannot be read.
    """
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
    return found


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
    """The options as one model reads one probe; errors as `check_read`."""
    check_read(probe, options)
    return dataclasses.replace(options, reader=config.kind.fits)


def check_read(probe: Probe, options: BuildOptions) -> None:
    """Checks that a probe reads the options given.

    Raises:
        UsageError: It would ignore one.
    """
    from data_builders import select

    if ignored := select.unread(probe, options):
        raise UsageError(
            f"--{ignored} is given, and probe {probe.name} does not read it",
            f"{probe.name} reads {', '.join(sorted(probe.words)) or 'none of these'}",
            "Leave it away",
        )


def _countries(option: str, names: str | None) -> tuple[str, ...] | None:
    """Crosswalk keys of a comma-separated list, each once; None: not given."""
    if names is None:
        return None
    from data_builders import select

    return select.filter_countries(_listed(option, names, "country", "USA,IND,NGA"))


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


def check_folder(option: str, path: Path | None) -> None:
    """Checks that what will be written can be, before anything slow.

    Raises:
        UsageError: `path`, or the first folder above it that is there, is a file or
            cannot be written to.
    """
    if path is None:
        return
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(
            f"{option} {path}: {there} is "
            + ("read-only" if there.is_dir() else "no folder"),
            f"{option} names a folder that can be written to",
            "Name another one",
        )


def check_out(out: Path | None) -> None:
    """Checks that a report can be written; errors as `written.try_folder`."""
    from analysis.written import try_folder

    if out is not None:
        try_folder(out)
