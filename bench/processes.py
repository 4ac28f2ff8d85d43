"""Whole processes of run.py timed from the outside, and what the records that they leave say of their seconds."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.timing import rotated
from errors import UserError
from harness.settings.process import SPINS
from harness.store.record import Record, was_crowded

QUIET = ("wandb.mode=disabled", "device=cpu")


@dataclass(frozen=True)
class Command:
    """`python run.py` in a checkout, with overrides; how many runs it comes to, and how many of them at a time."""

    folder: Path
    overrides: tuple[str, ...]
    runs: int = 1
    workers: int = 1

    def __str__(self) -> str:
        return f"python run.py {' '.join(self.overrides)} in {self.folder}"


@dataclass(frozen=True)
class Taken:
    """Of one process with those it started: `wall` by the clock, `cpu` of all their threads; and its records."""

    wall: float
    cpu: float
    records: tuple[dict[str, Any], ...]

    @property
    def training(self) -> float:
        """Seconds of all optimiser steps."""
        return sum(record["train"]["step_seconds"] for record in self.records)

    @property
    def training_cpu(self) -> float:
        """CPU seconds of all optimiser steps, which records of older builds do not have."""
        return sum(record["train"]["step_times"]["cpu_seconds"] for record in self.records)

    @property
    def evaluation(self) -> float:
        """Seconds of generating and scoring."""
        return sum(score["seconds"] for record in self.records for score in _scores(record))

    @property
    def crowded(self) -> int:
        """How many of the runs say that other processes held the cores while they trained."""
        return sum(
            was_crowded(Record("", {}, {}, {}, provenance=record["provenance"], train=record["train"]))
            for record in self.records
        )

    @property
    def scores(self) -> list[Any]:
        """What every run scored, to be compared."""
        return [[score["scorers"] for score in _scores(record)] for record in self.records]


def _scores(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [split for benchmark in record["scores"].values() for split in benchmark.values()]


def environment(cache: Path) -> dict[str, str]:
    """This process's own, without what it has settled for itself: another checkout settles that or does not."""
    own = {name: value for name, value in os.environ.items() if (name, value) != ("GOMP_SPINCOUNT", SPINS)}
    return own | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "SVFT_CACHE_DIR": str(cache)}


def timed(command: Command, cache: Path) -> Taken:
    """Run it, in a folder that is gone afterwards. `cache`: of decompositions.

    Raises UserError where it fails, with the last line that it said, or leaves another number of finished runs.
    """
    with tempfile.TemporaryDirectory(prefix="svft-bench-") as name:
        folder = Path(name)
        own = [f"runs_dir={folder / 'runs'}", f"hydra.sweep.dir={folder}"]
        own += [f"hydra.launcher.logs={folder}"] if command.workers > 1 else []
        arguments = [sys.executable, "run.py", *command.overrides, *QUIET, *own]
        said = folder / "said.txt"
        with said.open("w") as out:
            started = time.perf_counter()
            process = subprocess.Popen(
                arguments, cwd=command.folder, env=environment(cache), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
            cpu = _wait(process)
            wall = time.perf_counter() - started
        if process.returncode:
            lines = said.read_text(errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
            raise UserError(f"{command} ended with {process.returncode}: {last}")
        return Taken(wall, cpu, _records(command, folder / "runs"))


def _wait(process: subprocess.Popen) -> float:
    """CPU seconds of the process and of those that it waited for. It does not outlive an interruption."""
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _records(command: Command, runs: Path) -> tuple[dict[str, Any], ...]:
    """In the order of their folders. Only what is asked of them is read: another build's may differ in the rest."""
    records = tuple(json.loads(path.read_text(encoding="utf-8")) for path in sorted(runs.rglob("record.json")))
    done = sum(record["status"] == "done" for record in records)
    if done != command.runs:
        raise UserError(f"{command} finished {done} runs, not {command.runs}")
    return records


def in_turns(
    commands: Mapping[str, Command], caches: Mapping[Path, Path], *, repeats: int, tick: Callable[[], Any]
) -> dict[str, list[Taken]]:
    """Each command once a turn, in an order rotated from turn to turn. `caches`: of decompositions, by checkout."""
    taken: dict[str, list[Taken]] = {name: [] for name in commands}
    for turn in range(repeats):
        for name in rotated(list(commands), turn):
            command = commands[name]
            taken[name].append(timed(command, caches[command.folder]))
            tick()
    return taken
