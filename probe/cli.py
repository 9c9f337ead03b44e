"""The command line: verbs, and the only place that puts the parts together.

Heavy imports stand inside the verbs, so that ``rm-probe --help`` is instant.
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from probe import options as opts
from probe.types import (
    CheckFailedError,
    DataError,
    NoSlopeError,
    ProbeError,
    UsageError,
)

if TYPE_CHECKING:
    from analysis.load import Run
    from analysis.paper import Row
    from analysis.part import Wanted
    from analysis.records import Record
    from probe.audit import Settings
    from probe.config import ModelConfig
    from probe.encode import Encoder
    from probe.types import BuildOptions, Item, Probe

DEMO_MODEL = "smollm2_135m_rm"
DEMO_PROBE = "country_questions"
PAPERS = ("ryan2024",)
"""What `reproduce` knows."""

app = typer.Typer(
    name="rm-probe",
    help="Finds out whose English, whose languages and whose opinions reward models "
    "and aligned language models favour.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def ls(
    what: Annotated[opts.Listing | None, typer.Argument(metavar="[WHAT]")] = None,
    runs: opts.RunsOpt = Path("runs"),
) -> None:
    """List probes, models, opinions, ablations or runs (without WHAT: all of them)."""
    from probe import listing

    listings = {
        "probes": listing.ls_probes,
        "models": listing.ls_models,
        "opinions": listing.ls_opinions,
        "ablations": listing.ls_ablations,
        "runs": lambda: listing.ls_runs(runs),
    }
    for name in [what] if what else listings:
        if what is None:
            print(f"{name}:")
        _print_table(listings[name]() or [(f"no {name} in {runs}",)])
        if what is None:
            print()


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _bar(total: int, what: str, unit: str) -> Any:
    """Progress, where it takes longer than two seconds."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=f" {unit}", delay=2.0)


def _print_records(records: Iterable[Record | Row]) -> None:
    kept = [record.to_json() for record in records]
    print(json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False))


@app.command()
@opts.grouped
def show(
    probe: opts.ProbeArg,
    model: opts.ModelArg,
    chosen: opts.ItemOptions,
    n: Annotated[int, typer.Option("-n", min=1, help="How many candidates")] = 1,
    columns: opts.ColumnsOpt = None,
    template: opts.TemplateOpt = "config",
    trust_remote_code: opts.TrustOpt = False,
    adapter_base: opts.BaseFolderOpt = None,
) -> None:
    """Print the exact text and tokens a model reads; no weights are loaded."""
    from probe import audit as audits
    from probe import models
    from probe.config import Kind

    options = chosen.read()
    loaded = opts.load_probe(probe, columns)
    settings = audits.Settings(
        trust_remote_code=trust_remote_code,
        template=template,
        adapter_base=adapter_base,
    )
    config = audits.configure(model, settings)
    options = opts.for_one_probe(loaded, config, options)
    resolved = models.resolve_weights(config, with_tensors=False)
    if template == "plain":
        config = audits.plain(config)
    encoder = models.load_encoder(config, resolved)
    shown = 0
    for item in loaded.build(options):
        if options.personas and item.groups["persona"] is None:
            continue  # without --personas these are what is shown
        asked = config.kind is Kind.POLICY and item.max_new_tokens is not None
        if asked and shown < n:
            _print_prompt(item, encoder)
        for candidate, encoded in zip(
            item.candidates, encoder.encode(item), strict=True
        ):
            if shown == n:
                return
            shown += 1
            rendered = encoder.render(item, candidate)
            ids = encoded.token_ids
            answer = ids[encoded.answer_start : encoded.answer_end]
            print(f"item        {item.id} / {candidate.id}")
            print(f"text        {rendered.text!r}")
            print(f"answer      {encoder.tokenizer.decode(answer)!r}")
            print(f"token ids   {list(ids)}")
            print(f"answer span tokens [{encoded.answer_start}, {encoded.answer_end})")
            print(f"BOS         {encoder.leading_bos(ids)} ({config.bos})")
            if encoded.error is not None:
                print(f"unscored    {encoded.error}")
            print(f"straddles   {encoded.straddles}")
            print(f"truncated   {encoded.truncated_tokens} tokens")
            print()


def _print_prompt(item: Item, encoder: Encoder) -> None:
    """What a policy reads before it answers in its own words."""
    prompt = encoder.prompt(item)
    ids = prompt.encoded.token_ids
    stop = f", or at {' or '.join(map(repr, prompt.stop))}" if prompt.stop else ""
    print(f"item        {item.id} / answered in its own words")
    print(f"text        {encoder.tokenizer.decode(ids)!r}")
    print(f"token ids   {list(ids)}")
    print(f"BOS         {encoder.leading_bos(ids)} ({encoder.config.bos})")
    print(f"ends        after {prompt.max_new_tokens} tokens{stop}")
    print(f"truncated   {prompt.encoded.truncated_tokens} tokens")
    print()


@app.command()
@opts.grouped
def check(model: opts.ModelArg, how: opts.LoadOptions) -> None:
    """Run golden pairs and invariance checks on a loaded model."""
    from probe import models
    from probe.audit import configure, prepare

    settings = how.read()
    prepared = prepare(configure(model, settings), settings)
    # Imported here: a wrong name is said before the start of torch.
    from probe.check import run_checks

    print(
        f"{prepared.config.name}: "
        f"{'verified' if prepared.config.verified else 'not verified'} config, "
        f"fingerprint {prepared.fingerprint[:8]}"
    )
    scorer = models.load_scorer(
        prepared.config, prepared.resolved, device=settings.device
    )
    results = []
    for result in run_checks(prepared.config, prepared.resolved, scorer):
        results.append(result)
        verdict = "ok  " if result.ok else "FAIL"
        print(f"{verdict}  {result.name}: {result.detail}", flush=True)
    failed = [result for result in results if not result.ok]
    if failed:
        raise CheckFailedError(
            f"{len(failed)} of {len(results)} checks failed for {model}",
            "Every check must hold before scores mean anything",
            "Compare the config with the published code, field by field",
        )


@app.command()
@opts.grouped
def score(
    probe: opts.ProbeArg,
    model: opts.ModelArg,
    chosen: opts.ItemOptions,
    how: opts.ScoreOptions,
    limit: opts.LimitOpt = None,
    columns: opts.ColumnsOpt = None,
) -> None:
    """Score one probe with one model; continues a run that stopped."""
    from data_builders import select
    from probe import audit as audits

    options, settings = chosen.read(), how.read()
    loaded = opts.load_probe(probe, columns)
    config = audits.configure(model, settings)
    options = opts.for_one_probe(loaded, config, options)
    # Bad data must end the call before weights are fetched.
    items = select.build(loaded, options, limit, settings.seed)
    prepared = audits.prepare(config, settings)
    _say_resolved(model, prepared.config)
    load = audits.loader(prepared)
    result = audits.score_probe(
        prepared, loaded, items, options, limit=limit, load=load
    )
    _say_counts(result.path)


@app.command("import")
@opts.grouped
def import_(
    probe: opts.ProbeArg,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[GROUP=]FILE...",
            help="csv or jsonl; or DIALECT=FILE of RewardBench's results for each",
        ),
    ],
    model: Annotated[str, typer.Option(help="Label for the model")],
    chosen: opts.ItemOptions,
    limit: opts.LimitOpt = None,
    runs: opts.RunsOpt = Path("runs"),
    columns: opts.ColumnsOpt = None,
    seed: opts.SeedOpt = 0,
) -> None:
    """Store scores recorded elsewhere as runs: one for each file, or for all GROUPs.

    A file of item_id, candidate_id and score is joined to the probe's own items: those
    that `export` writes with the same options. The first GROUP is the one that the
    others are compared with.
    """
    opts.check_folder("--runs", runs)
    loaded, found = opts.load_probe(probe, columns), opts.read_files(files)
    options = chosen.read()
    opts.check_read(loaded, options)
    from probe.recorded import Asked, import_file, import_groups

    asked = Asked(options=options, limit=limit, seed=seed)
    if isinstance(found, dict):
        result = import_groups(loaded, found, model=model, root=runs, argv=sys.argv)
        _say_counts(result.path)
        return
    with _bar(len(found), "import", "files") as bar:
        for file in found:
            result = import_file(
                loaded, file, model=model, root=runs, asked=asked, argv=sys.argv
            )
            _say_counts(result.path)
            bar.update()


@app.command()
@opts.grouped
def export(
    probe: opts.ProbeArg,
    chosen: opts.ItemOptions,
    out: Annotated[
        Path | None, typer.Option(help="File to write [standard output]")
    ] = None,
    reader: Annotated[
        Literal["reward", "policy"] | None,
        typer.Option(help="Kind of model [reward, if it fits one]"),
    ] = None,
    limit: opts.LimitOpt = None,
    columns: opts.ColumnsOpt = None,
    seed: opts.SeedOpt = 0,
) -> None:
    """Write what is to be scored, as jsonl, for a model that runs elsewhere.

    Its scores, with item_id, candidate_id and score, come back with `import`.
    """
    from data_builders import select
    from probe import export as exports

    loaded, options = opts.load_probe(probe, columns), chosen.read()
    opts.check_read(loaded, options)
    if reader is None:
        reader = "reward" if "reward" in loaded.fits else "policy"
    options = dataclasses.replace(options, reader=reader)
    lines = exports.lines(select.build(loaded, options, limit, seed), reader)
    if out is None:
        for line in lines:
            print(line)
    else:
        print(f"written     {out}  {exports.write(out, lines):,} answers")


@app.command()
@opts.grouped
def audit(
    model: opts.ModelArg,
    chosen: opts.ItemOptions,
    how: opts.ScoreOptions,
    what: opts.ReportOptions,
    out: Annotated[
        Path | None, typer.Option(help="Report folder [reports/MODEL]")
    ] = None,
    limit: opts.LimitOpt = None,
) -> None:
    """Score every probe that fits the model, then write the report."""
    from probe.audit import configure

    # Read before hours of scoring, so that a misspelt name ends the call at once.
    opts.check_out(out)
    options, settings = chosen.read(), how.read()
    config, wanted = configure(model, settings), what.read()
    _audit(config, model, None, options, settings, limit, out, wanted)


@app.command()
def reproduce(
    paper: Annotated[
        str, typer.Argument(metavar="PAPER", help=f"One of: {', '.join(PAPERS)}")
    ],
    recorded: Annotated[Path, typer.Option(help="Copy of the authors' repository")],
    data: opts.DataOpt = None,
    as_json: opts.JsonOpt = False,
) -> None:
    """Put a paper's published numbers beside ours, from its authors' outputs.

    TyDiQA's reference answers are not among those: they come from --data; else, where
    --recorded is DATA/recorded/NAME, from DATA; else from the hub.
    """
    if paper not in PAPERS:
        from probe.config import did_you_mean

        raise UsageError(
            f"no paper is called '{paper}'",
            "PAPER names a paper whose published numbers are known here",
            did_you_mean(paper, PAPERS),
        )
    from probe.recorded import repository, tydiqa

    found = repository.find(recorded)
    from analysis import paper as published
    from analysis.load import Run
    from analysis.paper_evidence import Evidence
    from analysis.paper_measures import COMPARED, REFERENCE, rank
    from analysis.paper_table import closing, figure_tables
    from analysis.paper_tydiqa import score

    gold = tydiqa.gold(data, recorded) if found.has_answers else tydiqa.Gold()
    steps = found.n_runs + len(published.FIGURES)
    with _bar(steps, "reproduce", "steps") as bar:
        rankings = []
        for one in found.runs():
            run = Run(
                path=one.path,
                manifest=one.manifest,
                measure=one.measure,
                frame=one.frame,
            )
            try:
                rankings.append(rank(run))
            except DataError as error:
                # One file with too few scores; the others have theirs.
                print(f"note: {error}", file=sys.stderr)
            bar.update()
        evidence = Evidence(
            rankings=tuple(rankings),
            similarities=found.similarities((*COMPARED, REFERENCE)),
            games=found.games(),
            languages=found.languages(),
            answers=score(found.answers(gold.questions)),
            no_references=gold.lacking,
        )
        rows = published.reproduce(evidence, step=bar.update)
    if as_json:
        _print_records(rows)
    else:
        for heading, table, rest in figure_tables(rows):
            print(heading)
            if table:
                _print_table(table)
            if rest:
                print(rest)
            print()
        print(f"{closing(rows)}; --json has every number with its source")
    differ = [row for row in rows if row.status == "differs"]
    if differ:
        raise CheckFailedError(
            f"{len(differ)} of the published numbers differ from ours, first "
            f"{differ[0].record.metric} of {differ[0].record.model}",
            "The authors' outputs as published give the published numbers",
            f"Compare {recorded} with the published copy, file by file",
        )


@app.command()
def correlate(
    run: opts.RunArgs,
    opinions: opts.OpinionsOpt = None,
    as_json: opts.JsonOpt = False,
    reference: opts.ReferenceOpt = "USA",
    ties: opts.TiesOpt = "average",
    mixed: opts.MixedOpt = False,
) -> None:
    """Rank correlation of runs with opinion polls, and with each other."""
    paths = opts.run_folders(run)
    from analysis.console import estimate_text, poll_table, view_summary, view_table
    from analysis.countries_axis import analyse_countries

    runs = [
        one for one in opts.read_runs(paths, mixed) if one.manifest.axis == "countries"
    ]
    if not runs:
        raise UsageError(
            f"none of {', '.join(map(str, run))} scored countries",
            "correlate reads runs of country probes",
            "Name runs of askreddit, country_questions or where_from",
        )
    with _bar(len(runs), "correlate", "runs") as bar:
        found = analyse_countries(
            runs,
            polls=opts.read_polls(opinions),
            reference=opts.read_country(reference),
            ties=ties,
            step=bar.update,
        )
    if as_json:
        kept = [
            record
            for one in found.runs
            for record in (
                *one.correlations,
                *([] if one.valence_blind is None else [one.valence_blind]),
                *one.views.records,
                *one.country_records,
            )
        ]
        _print_records([*kept, *found.cross_records])
        return
    for one in found.runs:
        print(f"{one.run.manifest.probe}@{one.run.manifest.probe_version}  {one.label}")
        _print_table(poll_table(one.polls))
        if one.views.views:
            _print_table(view_table(one.views))
            print("\n".join(view_summary(one)))
    if found.cross_records:
        print("between runs (Spearman's rho of mean ranks)")
        names = {one.run.name: one.label for one in found.runs}
        _print_table(
            [
                (f"  {names[record.run]}", str(record.group), *estimate_text(record))
                for record in found.cross_records
            ]
        )
    print(
        "intervals: [countries and questions resampled] (questions only); "
        "--json has every record"
    )


@app.command()
@opts.grouped
def report(
    run: opts.RunArgs,
    out: Annotated[Path, typer.Option(help="Folder for the report")],
    what: opts.ReportOptions,
    mixed: opts.MixedOpt = False,
) -> None:
    """Write index.html, report.md, summary.json, tables and figures."""
    opts.check_out(out)
    paths, wanted = opts.run_folders(run), what.read()
    _report(opts.read_runs(paths, mixed), out, wanted)


@app.command()
@opts.grouped
def compare(
    run: opts.RunArgs,
    what: opts.StageOptions,
    out: opts.OutOpt = None,
    families: Annotated[
        Path | None,
        typer.Option(help="YAML with your lineages, instead of the shipped ones"),
    ] = None,
    as_json: opts.JsonOpt = False,
    mixed: opts.MixedOpt = False,
) -> None:
    """What each stage of training changed, and for whom; or models side by side.

    Runs of a known lineage (base, SFT, preference-tuned) are compared with its base.
    Models of none stand side by side, in the order given: the first is what the others
    are compared with. With --mixed, versions of a probe may differ where what both have
    scored is the same text.
    """
    opts.check_out(out)
    paths, wanted = opts.run_folders(run), what.read()
    from probe.families import load_families
    from probe.store import read_manifest

    lineages = load_families(families, {read_manifest(one).model for one in paths})
    from analysis.stages_console import CLOSING, stage_tables
    from analysis.stages_runs import compare_runs

    runs = opts.read_runs(paths, mixed)
    with _bar(len(runs), "compare", "runs") as bar:
        found = compare_runs(runs, lineages, wanted, step=bar.update)
    tables = (table for one in found.comparisons for table in stage_tables(one))
    _say_found(found.notes, found.records, tables, CLOSING, as_json=as_json)
    if out is not None:
        from analysis.stages_report import write_comparison

        with _bar(len(found.comparisons), "report", "parts") as bar:
            written = write_comparison(found, out, step=bar.update)
        print(f"report      {written.index}", file=sys.stderr if as_json else None)


@app.command()
def langid(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE_OR_HUB_ID",
            help="A csv, json, jsonl or parquet file, or OWNER/NAME[@REVISION]",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tags")] = Path("langid"),
    split: Annotated[str, typer.Option(help="Of a data set of the hub")] = "train",
    columns: opts.ColumnsOpt = None,
) -> None:
    """Language shares of a training set, where two detectors agree."""
    opts.check_folder("--out", out)
    from data_builders import langid as detectors
    from data_builders import training_rows
    from probe import langid as report

    found = training_rows.read(source, split=split, columns=opts.read_columns(columns))
    texts = [turn.text for turn in found.turns]
    print("loading two detectors, lingua and fastText's lid.176", file=sys.stderr)
    with _bar(len(texts), "langid", "texts") as bar:
        tags = detectors.tag(texts, bar.update)
    print(f"{found.name}: {found.n_rows:,} rows, {len(texts):,} texts")
    tagged = report.tagged(found, tags)
    header, *rows = report.table(tagged)
    _print_table([header, *rows[: report.MOST_SHOWN]])
    if len(rows) > report.MOST_SHOWN:
        print(f"and {len(rows) - report.MOST_SHOWN} more languages")
    for note in report.notes(tagged):
        print(note)
    for path in report.write(tagged, out):
        print(f"written     {path}")


@app.command()
def train(
    ablation: Annotated[
        str, typer.Argument(metavar="ABLATION", help="A YAML file, or a shipped name")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for everything it makes (ablations/NAME)"),
    ] = None,
    data: opts.DataOpt = None,
    device: opts.DeviceOpt = None,
    batch_tokens: opts.BatchOpt = None,
) -> None:
    """Train on controlled mixes, score every checkpoint, and report the effect.

    What is finished stays: the same command continues an ablation that stopped.
    """
    from probe import ablation as ablations
    from probe import sweep

    opts.ItemOptions(data=data).read()  # a folder, or none
    found = ablations.read(ablation)
    folder = out or Path("ablations") / found.name
    opts.check_folder("--out", folder)
    settings = opts.ScoreOptions(device=device, batch_tokens=batch_tokens).read()
    prepared = sweep.prepare(found, out=folder, data=data, settings=settings)
    scored = sweep.run(prepared)
    if scored is None:
        return
    print(f"checkpoints {folder / sweep.CHECKPOINTS}")
    file = folder / sweep.LEARNING_FILE
    curves = [file] if file.is_file() else []
    runs = opts.read_runs(scored) if scored else []
    lengths = sweep.reward_lengths(prepared)
    if lengths is not None:
        _card(runs, lengths, prepared.base.config.name, folder / "report")
    if found.shares is not None and runs:
        try:
            _doses(runs, curves, folder / "report", opts.ReportOptions().read())
            return
        except NoSlopeError as error:
            # What they score is a report all the same.
            print(f"note: {error}", file=sys.stderr)
    if runs:
        _report(runs, folder / "report", opts.ReportOptions().read())
    if curves:
        from analysis.learning import read_curves
        from analysis.learning_report import write_learning

        written = write_learning(read_curves(curves), folder / "report" / "learning")
        print(f"learning    {written.index}")


@app.command()
@opts.grouped
def doseresponse(
    run: opts.RunArgs,
    what: opts.GroupOptions,
    out: opts.OutOpt = None,
    learning: Annotated[
        list[Path] | None,
        typer.Option(help="learning.csv of an ablation, for its curves"),
    ] = None,
    as_json: opts.JsonOpt = False,
    mixed: opts.MixedOpt = False,
) -> None:
    """What the share of training data with an attribute did: the report of `train`."""
    opts.check_out(out)
    paths, wanted = opts.run_folders(run), what.read()
    _doses(opts.read_runs(paths, mixed), learning or [], out, wanted, as_json=as_json)


@app.command()
def demo(
    runs: opts.RunsOpt = Path("runs"),
    out: Annotated[Path, typer.Option(help="Folder for the report")] = Path(
        "reports/demo"
    ),
    limit: opts.LimitOpt = None,
) -> None:
    """Audit a small reward model on bundled questions: one report in minutes."""
    options, settings = opts.ItemOptions().read(), opts.ScoreOptions(runs=runs).read()
    probe = opts.load_probe(DEMO_PROBE)
    from probe.audit import configure

    config, wanted = configure(DEMO_MODEL, settings), opts.ReportOptions().read()
    _audit(config, DEMO_MODEL, [probe], options, settings, limit, out, wanted)


def _audit(
    config: ModelConfig,
    model: str,
    only: list[Probe] | None,
    options: BuildOptions,
    settings: Settings,
    limit: int | None,
    out: Path | None,
    wanted: Wanted,
) -> None:
    """Scores `only` (None: every probe that fits), then writes the report."""
    from probe import audit as audits

    prepared = audits.prepare(config, settings)
    target = out or Path("reports") / prepared.config.name
    opts.check_out(target)
    _say_resolved(model, prepared.config)
    options = dataclasses.replace(options, reader=config.kind.fits)
    found = audits.fitting(config) if only is None else only
    built = audits.available(found, options, limit=limit, seed=settings.seed)
    load = audits.loader(prepared)
    paths = []
    for probe, items in built:
        result = audits.score_probe(
            prepared, probe, items, options, limit=limit, load=load
        )
        _say_counts(result.path)
        paths.append(result.path)
    _report(opts.read_runs(paths), target, wanted)


def _report(runs: list[Run], out: Path, wanted: Wanted) -> None:
    from analysis.report import STEPS_PER_RUN, write_report

    with _bar(STEPS_PER_RUN * len(runs), "report", "steps") as bar:
        written = write_report(runs, out, wanted, step=bar.update)
    print(f"report      {written.index}")


def _card(runs: list[Run], lengths: Path, base: str, out: Path) -> None:
    """Prints and writes how reward models do on held-out pairs, beside baselines."""
    from analysis import reward_card

    kept = [run for run in runs if run.manifest.probe == "held_out"]
    found = reward_card.read_lengths(lengths)
    card = reward_card.analyse_card(kept, found, base=base)
    _print_table(reward_card.card_table(card))
    for path in reward_card.write_card(card, out):
        print(f"written     {path}")


def _doses(
    runs: list[Run],
    learning: list[Path],
    out: Path | None,
    wanted: Wanted,
    *,
    as_json: bool = False,
) -> None:
    """Analyses an ablation's runs and learning curves, prints them, writes a report."""
    from analysis.doseresponse_console import CLOSING, sweep_tables
    from analysis.doseresponse_report import write_sweeps
    from analysis.doseresponse_runs import analyse_sweeps
    from analysis.learning import read_curves

    curves = read_curves(learning) if learning else ()
    with _bar(len(runs), "doseresponse", "runs") as bar:
        found = analyse_sweeps(runs, wanted, step=bar.update)
    tables = (table for part in found.parts for table in sweep_tables(part))
    _say_found(found.notes, found.records, tables, CLOSING, as_json=as_json)
    if out is not None:
        with _bar(len(found.parts), "report", "parts") as bar:
            written = write_sweeps(found, out, curves=curves, step=bar.update)
        print(f"report      {written.index}", file=sys.stderr if as_json else None)


def _say_found(
    notes: Iterable[str],
    records: Iterable[Record],
    tables: Iterable[tuple[str, list[tuple[str, ...]], str]],
    closing: str,
    *,
    as_json: bool,
) -> None:
    """Prints an analysis: its tables with their headings, or its records as JSON."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        _print_records(records)
        return
    for heading, table, rest in tables:
        print(heading)
        _print_table(table)
        print(f"{rest}\n" if rest else "")
    print(closing)


def _say_resolved(ref: str, config: ModelConfig) -> None:
    """Says what a folder or hub id was taken for; a config file says so itself."""
    if Path(ref).is_dir() or ref.startswith("hf:"):
        print(
            f"model       {ref} as {config.name}: {config.kind.value}, "
            f"template {config.template}, bos {config.bos}, pool {config.pool}, "
            f"max_tokens {config.max_tokens}"
        )


def _say_counts(path: Path) -> None:
    from probe.store import read_manifest, read_scores

    manifest = read_manifest(path)
    counts = manifest.counts
    scored, missing = counts.done, 0
    if manifest.kind == "imported":
        from probe.recorded.files import NOT_THERE

        scored -= counts.unscored
        missing = read_scores(path)["error"].to_pylist().count(NOT_THERE)
    extra = "".join(
        f", {number:,} {what}"
        for number, what in (
            (missing, "missing"),
            (counts.unscored - missing, "unscored"),
            (counts.truncated, "truncated"),
            *(
                (number, f"left out ({why})")
                for why, number in manifest.dropped.items()
            ),
        )
        if number
    )
    print(f"run         {path}  {scored:,} of {counts.expected:,} scored{extra}")


def main() -> None:
    """Entry point: prints a `ProbeError` as one message and exits with its code.

    So it does with what the operating system says of a path, wherever it says it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal need not have every sign of every language.
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("probe").setLevel(logging.INFO)
    # peft imports it, and it then says that it lacks an optional kernel.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # Progress is ours to show; the libraries' own bars would interleave with it.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except ProbeError as error:
        _fail(error)
    except OSError as error:
        named = str(error.filename or "a file")
        problem = UsageError(
            f"{named[:200]}{'...' * (len(named) > 200)}: {error.strerror or error}",
            "What is named can be read or written, and the disk has room",
            "Check the path, its permissions and the disk",
        )
        _fail(problem)


def _fail(error: ProbeError) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
