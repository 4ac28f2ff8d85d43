"""Kill -9 at random moments, many times over, and compare what is left with what undisturbed runs leave.

    python -m tests.soak [--kills 100] [--seed 0] [--folder FOLDER]

A round is one small sweep, from an empty folder and a cold SVD cache to the last record. Sweeps, single runs of it and
table builds are started, up to three at a time, and killed after a random time, again and again until everything is
done; then the records, losses, predictions, adapters and tables must be those of a sweep that was left alone. Rounds
follow until there were enough kills. Prints what was hit, and ends with exit code 1 where anything differs.
"""

import argparse
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.console.progress import bar
from harness.store import record
from tests import processes
from tests.conftest import ROOT, without_clocks

SIZES = ("task.source.train_size=96", "task.source.validation_size=24", "task.source.test_size=48",
         "evaluate.batch_size=24", "evaluate.benchmarks=[micro_gsm]")  # fmt: skip
COMMON = (
    *SIZES,
    "train.max_steps=8",
    "train.checkpoint_every=3",
    "train.log_every=1",
    "threads=1",
    "wandb.mode=disabled",
)
METHODS = ("lora", "svft_random", "svft_banded", "vectorfit")
SEEDS = (0, 1)
CLOCKS = ("seconds_per_step",)  # columns of a table that differ from build to build
KINDS = ("sweep", "run", "tables")
TOGETHER = 3  # programs at the same time, at most
BEGUN, CHECKPOINT = "loading, or training before a checkpoint", "training, with a checkpoint"
TRAINED, SCORED, DONE = "trained, generating", "scored in part", "done"
STARTING = "at no run, or at one that another program has"


@dataclass
class Place:
    """A folder of runs and their tables, and the commands that work on it."""

    folder: Path

    def __post_init__(self) -> None:
        self.runs, self.tables = self.folder / "runs", self.folder / "tables"
        self.environment = {"SVFT_CACHE_DIR": str(self.folder / "svd")}  # cold at first

    def sweep(self) -> tuple[str, ...]:
        methods, seeds = ",".join(METHODS), ",".join(map(str, SEEDS))
        return ("-m", *COMMON, f"runs_dir={self.runs}", f"method={methods}", f"seed={seeds}")

    def run(self, chance: random.Random) -> tuple[str, ...]:
        method, seed = chance.choice(METHODS), chance.choice(SEEDS)
        return (*COMMON, f"runs_dir={self.runs}", f"method={method}", f"seed={seed}")

    def build_tables(self) -> list[str]:
        return [sys.executable, "-m", "analysis", "tables", "--runs", str(self.runs), "--out", str(self.tables)]

    def records(self) -> dict[str, record.Record]:
        """By their folder below runs/."""
        paths = sorted(self.runs.rglob(record.FILE))
        return {str(path.parent.relative_to(self.runs)): record.read(path) for path in paths}

    def is_done(self) -> bool:
        found = self.records().values()
        return len(found) == len(METHODS) * len(SEEDS) and all(value.status == "done" for value in found)

    def stage(self, pid: int) -> str:
        """How far the run is that process `pid` works at, which is the one whose lock it holds."""
        held = {
            int(words[5].rpartition(":")[2])
            for words in map(str.split, Path("/proc/locks").read_text().splitlines())
            if words[1] == "FLOCK" and words[4] == str(pid)
        }
        at = [Path(folder) for folder, _, names in os.walk(self.runs) if ".lock" in names and _inode(folder) in held]
        return _stage(at[0]) if at else STARTING

    def finish(self) -> None:
        """The whole sweep and its tables, left alone."""
        with processes.Program(*self.sweep(), environment=self.environment) as program:
            assert program.wait() == 0, program.said("stderr")
        subprocess.run(self.build_tables(), cwd=ROOT, check=True, capture_output=True)

    def built(self) -> dict[str, list[list[str]]]:
        """The tables, without the columns that are clocks."""
        return {path.name: _without_clocks(path) for path in sorted(self.tables.glob("*.csv"))}


def _inode(folder: str) -> int | None:
    """Of its lock; None where another program has just removed the folder."""
    with suppress(FileNotFoundError):
        return os.stat(os.path.join(folder, ".lock")).st_ino


def _stage(folder: Path) -> str:
    if (folder / record.FILE).exists() and record.read(folder / record.FILE).status == "done":
        return DONE
    if any(folder.glob("predictions/*.json")):
        return SCORED
    if (folder / "adapter" / "train.json").exists():
        return TRAINED
    return CHECKPOINT if any(folder.glob("checkpoint/*/complete")) else BEGUN


def _without_clocks(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    kept = [index for index, name in enumerate(header) if name not in CLOCKS]
    return [[row[index] for index in kept] for row in [header, *rows]]


class Tables:
    """A table build in a process of its own, with the interface of `processes.Program`."""

    def __init__(self, place: Place) -> None:
        self._process = subprocess.Popen(
            place.build_tables(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> "Tables":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def start(kind: str, place: Place, chance: random.Random) -> processes.Program | Tables:
    if kind == "tables":
        return Tables(place)
    command = place.sweep() if kind == "sweep" else place.run(chance)
    return processes.Program(*command, environment=place.environment)


def disturb(place: Place, chance: random.Random, hits: Counter, count: Callable[[], None]) -> None:
    """Start one to three programs, and kill each at a moment of its own unless it has ended by then."""
    kinds = chance.choices(KINDS, weights=(5, 4, 2), k=chance.randint(1, TOGETHER))
    with ExitStack() as stack:
        programs = [(kind, stack.enter_context(start(kind, place, chance))) for kind in kinds]
        moments = sorted(((chance.uniform(0.2, 9), kind, program) for kind, program in programs), key=lambda m: m[0])
        begun = time.monotonic()
        for moment, kind, program in moments:
            while program.running and time.monotonic() - begun < moment:
                time.sleep(0.01)
            if program.running:
                os.kill(program.pid, signal.SIGSTOP)  # so that it is killed where it is seen to be
                stage = "" if kind == "tables" else place.stage(program.pid)
                program.kill()
                hits[(kind, stage)] += 1
                count()


def differences(disturbed: Place, alone: Place) -> list[str]:
    """What is not as it would be without the kills."""
    found, wanted = disturbed.records(), alone.records()
    wrong = [f"{name}: only in one of both" for name in sorted(found.keys() ^ wanted.keys())]
    for name in sorted(found.keys() & wanted.keys()):
        ours, theirs = without_clocks(found[name]), without_clocks(wanted[name])
        wrong += [f"{name}: {key} differs" for key in theirs if ours.get(key) != theirs[key]]
        for file in ("adapter/adapter_model.safetensors", "predictions/micro_gsm-test.json"):
            same = (disturbed.runs / name / file).read_bytes() == (alone.runs / name / file).read_bytes()
            wrong += [] if same else [f"{name}: {file} differs"]
    wrong += [] if disturbed.built() == alone.built() else ["tables differ"]
    leftovers = [path for path in disturbed.folder.rglob(".*") if path.name.endswith((".partial", ".old"))]
    wrong += [f"left behind: {path}" for path in [*leftovers, *disturbed.runs.rglob("checkpoint-*")]]
    return wrong


def soak(folder: Path, kills: int, seed: int) -> tuple[Counter, int, list[str]]:
    """(kills by program and stage, rounds, what differs)."""
    chance, hits, wrong, rounds = random.Random(seed), Counter(), [], 0
    alone = Place(folder / "alone")
    alone.finish()
    with bar(kills, "kills") as progress:
        while hits.total() < kills and not wrong:
            rounds += 1
            place = Place(folder / f"round{rounds}")
            while not place.is_done() and hits.total() < kills:
                disturb(place, chance, hits, progress.update)
            place.finish()
            wrong = [f"round {rounds}: {sentence}" for sentence in differences(place, alone)]
            if not wrong:
                shutil.rmtree(place.folder)
    return hits, rounds, wrong


def show(hits: Counter, rounds: int, seconds: float) -> None:
    table = Table(title=f"{hits.total()} kills in {rounds} rounds, {seconds / 60:.0f} min", header_style="bold")
    table.add_column("Killed")
    table.add_column("When")
    table.add_column("Times", justify="right")
    for (kind, stage), number in sorted(hits.items()):
        table.add_row(kind, stage, str(number))
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--folder", type=Path, help="where to work, kept afterwards (default: a temporary one)")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as temporary:
        hits, rounds, wrong = soak(options.folder or Path(temporary), options.kills, options.seed)
    show(hits, rounds, time.monotonic() - begun)
    for sentence in wrong:
        print(f"error: {sentence}", file=sys.stderr)
    if not wrong:
        print("every record is there once, and records, losses, predictions, adapters and tables are those of a sweep "
              "that was left alone")  # fmt: skip
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
