"""What a kill and a flipped bit cost: nothing lost, nothing doubled, nothing silent.

    python tests/bench/damage.py [--kills 60] [--flips 200] [--seed 0]

Kills: `score`, `import`, `report` and `train` of a tiny model are ended with kill -9 at
a random moment, up to four times, then left to finish; what stands there then must be
what an uninterrupted call gives. A report's folder must hold the earlier report, whole,
or the new one.

Flips: one bit of a finished run, in a part, the items, the manifest or the list of
sha256s. Reading the run must say so or give what it gave, and the same command must
mend it, with the scores of all other parts kept.

The table counts what did not hold; the exit status is 1 if anything did not.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from data_builders import country_questions, select  # noqa: E402
from probe import audit, score, sums  # noqa: E402
from probe.audit import Settings  # noqa: E402
from probe.cli import main  # noqa: E402
from probe.models import checkpoints, reward  # noqa: E402, F401 (before the forks)
from probe.store import find_runs, read_run  # noqa: E402
from probe.types import BuildOptions, StoreError  # noqa: E402
from tests.test_sweep import written as written_ablation  # noqa: E402
from tests.tiny_checkpoints import (  # noqa: E402
    CHAT_TEMPLATE,
    byte_tokenizer,
    llama_classifier,
)
from tests.training_runs import base_folder  # noqa: E402

Said = list[tuple[str, ...]]
SHARES = {"score": 0.35, "import": 0.25, "report": 0.25, "train": 0.15}
"""Of all kills, by verb."""


def started(*args: object) -> int:
    """The command in a process of its own; it may be killed."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    sys.argv = ["rm-probe", *map(str, args)]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0) if not isinstance(end.code, str) else 1
    finally:
        os._exit(code)


def killed(after: float, *args: object) -> bool:
    """Runs the command and kills it; whether it was still at work."""
    child = started(*args)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def finished(*args: object) -> float:
    """Seconds that the command takes, left alone."""
    began = time.monotonic()
    _, status = os.waitpid(started(*args), 0)
    if status:
        raise SystemExit(f"failed: rm-probe {' '.join(map(str, args))}")
    return time.monotonic() - began


def apart(read: Callable[[Path], Said], root: Path) -> Said:
    """What a function reads, in a process of its own.

    Reading starts Arrow's threads, and a process that has threads cannot be forked.
    """
    ends = os.pipe()
    if not (child := os.fork()):
        with os.fdopen(ends[1], "wb") as stream:
            try:
                pickle.dump(read(root), stream)
            except StoreError:  # not begun yet
                pickle.dump([], stream)
        os._exit(0)
    os.close(ends[1])
    with os.fdopen(ends[0], "rb") as stream:
        found: Said = pickle.load(stream)
    os.waitpid(child, 0)
    return found


def said(root: Path) -> Said:
    """Everything that the runs below a folder say, but when and how long."""
    found: Said = []
    for path in (*find_runs(root), *find_runs(root / "runs")):
        manifest, items, scores = read_run(path)
        name = str(path.relative_to(root))
        found.append((name, manifest.status, *map(str, manifest.measures)))
        for rows in (items.to_pylist(), scores.to_pylist()):
            found += sorted((name, *map(str, row.values())) for row in rows)
        found.append((name, str(manifest.counts), *map(str, manifest.notes)))
    return found


def made(root: Path) -> Said:
    """What a finished call leaves: its runs and, of a training, what was learned."""
    files = (*root.glob("checkpoints/*/adapter/*.safetensors"), *root.glob("*.csv"))
    return said(root) + [
        (path.relative_to(root).as_posix(), sums.sha256(path.read_bytes()))
        for path in sorted(files)
    ]


def content(folder: Path) -> dict[str, bytes]:
    """The files of a report."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.name.startswith(".")
        # What a kill leaves beside a report, until the next one.
        and ".new" not in path.relative_to(folder).as_posix()
    }


def kill_runs(
    verb: str, args: Callable[[Path], tuple[object, ...]], kills: int, work: Path
) -> collections.Counter[str]:
    """Kills a command that writes runs, at random moments, again and again."""
    draw = random.Random(f"{ARGS.seed} {verb}")
    seconds = finished(*args(work / "whole"))
    whole = apart(made, work / "whole")
    assert len(whole) > 20, "nothing was made"
    counts: collections.Counter[str] = collections.Counter()
    for number in range(kills):
        torn = work / str(number // 4)
        counts["kills"] += 1
        counts["hit"] += killed(draw.uniform(0, seconds), *args(torn))
        rows = collections.Counter(apart(said, torn))
        counts["wrong in between"] += any(
            n > 1 or (len(row) > 5 and row not in whole) for row, n in rows.items()
        )
        if number % 4 == 3 or number == kills - 1:
            finished(*args(torn))
            counts["not as in one go"] += apart(made, torn) != whole
            counts["set aside"] += len(list(torn.rglob("*.damaged")))
    return counts


def kill_reports(run: Path, other: Path, kills: int, work: Path) -> collections.Counter:
    """Kills a report that replaces another, in a folder with a user's own files."""
    draw = random.Random(f"{ARGS.seed} report")
    seconds = finished("report", run, "--out", work / "new")
    finished("report", other, "--out", work / "old")
    new, old = content(work / "new"), content(work / "old")
    counts: collections.Counter[str] = collections.Counter()
    for number in range(kills):
        torn = work / f"torn{number}"
        shutil.copytree(work / "old", torn)
        own = {"figures/own.png": b"mine", "notes.md": b"mine"}
        for name, text in own.items():
            (torn / name).write_bytes(text)
        counts["kills"] += 1
        # The last tenth is where files are written.
        late = draw.uniform(0.9, 1.02) if number % 2 else draw.uniform(0, 1)
        counts["hit"] += killed(late * seconds, "report", run, "--out", torn)
        found = content(torn)
        mine = {name: found.pop(name, b"") for name in own}
        counts["wrong in between"] += found not in (old, new)
        finished("report", run, "--out", torn)
        found = content(torn)
        mine |= {name: found.pop(name, b"") for name in own}
        counts["not as in one go"] += found != new
        counts["set aside"] += mine != own
    return counts


def flips(
    run_root: Path, again: Callable[[Path], None], n: int, work: Path
) -> Iterator:
    """Outcome of each flip: (file, said, silent, not mended, other parts scored)."""
    draw = random.Random(f"{ARGS.seed} flips")
    right = said(run_root)
    for number in range(n):
        root = work / "flipped"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(run_root, root)
        [path] = find_runs(root)
        kinds = {
            "part": sorted((path / "parts").iterdir()),
            "items": [path / "items.parquet"],
            "manifest": [path / "manifest.json"],
            "list": [path / "sha256sums"],
        }
        kind = ("part", "part", "items", "manifest", "list")[number % 5]
        file = draw.choice(kinds[kind])
        data = bytearray(file.read_bytes())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        file.write_bytes(data)
        heard = silent = False
        try:
            silent = said(root) != right
        except StoreError:
            heard = True
        again(root)
        yield kind, heard, silent, said(root) != right


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def bench(work: Path) -> int:
    """Prints the table; the number of what did not hold."""
    folder = llama_classifier(
        work / "tiny", byte_tokenizer(chat_template=CHAT_TEMPLATE)
    )
    countries = ("USA", "IND", "CAN", "FRA", "DEU", "BRA", "CHN", "NGA", "JPN", "EGY")

    def score_args(root: Path) -> tuple[object, ...]:
        few = ("--limit", 24, "--countries", ",".join(countries))
        return ("score", "country_questions", folder, *few, "--runs", root)

    recorded = work / "recorded.csv"
    asked = select.build(country_questions.PROBE, BuildOptions(), 24, 0)
    rows = [(item, one) for item in asked for one in item.candidates]
    pd.DataFrame(
        {
            "item_id": [item.id for item, _ in rows],
            "country": [one.groups["country"] for _, one in rows],
            "sentiment": [item.groups["sentiment"] for item, _ in rows],
            "score": [i * 37 % 101 / 7 for i in range(len(rows))],
        }
    ).to_csv(recorded, index=False)

    def import_args(root: Path) -> tuple[object, ...]:
        given = ("country_questions", recorded, "--model", "m")
        return ("import", *given, "--runs", root)

    kills = {verb: max(1, round(ARGS.kills * part)) for verb, part in SHARES.items()}
    found = {}
    for verb, args in (("score", score_args), ("import", import_args)):
        (work / verb).mkdir()
        found[verb] = kill_runs(verb, args, kills[verb], work / verb)
    [run] = find_runs(work / "score" / "whole")
    [other] = find_runs(work / "import" / "whole")
    (work / "report").mkdir()
    found["report"] = kill_reports(run, other, kills["report"], work / "report")
    (work / "train").mkdir()
    ablation = written_ablation(work / "train", base_folder(work / "base"))

    def train_args(root: Path) -> tuple[object, ...]:
        return ("train", ablation, "--out", root, "--device", "cpu")

    found["train"] = kill_runs("train", train_args, kills["train"], work / "train")
    bad = 0
    columns = ("kills", "hit", "wrong in between", "not as in one go", "set aside")
    print(f"{'verb':<8}" + "".join(f"{name:>18}" for name in columns))
    for verb, counts in found.items():
        print(f"{verb:<8}" + "".join(f"{counts[name]:>18}" for name in columns))
        bad += sum(counts[name] for name in columns[2:])

    settings = Settings(runs=work)
    prepared = audit.prepare(audit.configure(str(folder), settings), settings)
    load = audit.loader(prepared)
    options = BuildOptions(countries=countries)
    probe = country_questions.PROBE
    items = select.build(probe, options, 24, 0)
    # Several parts: runs that stopped keep theirs.
    parts = work / "parts"
    real = score.RunFolder.compact
    score.RunFolder.compact = lambda self: None  # type: ignore[method-assign]

    def again(root: Path) -> None:
        to = Settings(runs=root)
        ready = audit.prepare(prepared.config, to)
        audit.score_probe(ready, probe, items, options, limit=24, load=load)

    with contextlib.redirect_stderr(io.StringIO()):
        again(parts)
        outcomes = list(flips(parts, again, ARGS.flips, work))
    score.RunFolder.compact = real  # type: ignore[method-assign]
    print(f"\n{'flips in':<10}{'n':>6}{'said':>8}{'silent':>8}{'not mended':>12}")
    for kind in ("part", "items", "manifest", "list"):
        of = [one[1:] for one in outcomes if one[0] == kind]
        said_, silent, lost = (sum(column) for column in zip(*of, strict=True))
        print(f"{kind:<10}{len(of):>6}{said_:>8}{silent:>8}{lost:>12}")
        bad += silent + lost
    return bad


if __name__ == "__main__":
    ARGS = arguments()
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    score.PART_SECONDS = 0.0
    score.GROUP_CANDIDATES = 40
    score.groups.__defaults__ = (40, score.GROUP_CHARACTERS)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as name:
        os.environ["RM_PROBE_CACHE"] = f"{name}/cache"
        sys.exit(bool(bench(Path(name))))
