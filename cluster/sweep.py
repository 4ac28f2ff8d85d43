"""A sweep: runs that were handed to the cluster under one name.

    <folder>/<name>/sweep.json      its runs, and the jobs that each has had
    <folder>/<name>/configs/        their frozen configurations
    <folder>/<name>/log/            what the jobs print, and submitit's files

A run is known by its identity, its seed and where its record goes, so it is found in whatever sweep it was submitted.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from cluster import slurm
from cluster.frozen import Frozen, freeze
from errors import RecordError, SettingError
from harness.plan import config
from harness.store import files, record

FILE = "sweep.json"


@dataclass
class Run:
    """One run of a sweep.

    where: the folder of its method's runs; jobs: ids of SLURM, the latest last, and `elsewhere` the sweep which that
    one belongs to (None: this one); ticket: what a job has in its comment that is asked for, until its id is known.
    """

    key: str
    identity: str
    seed: int
    label: str
    where: str
    wanted: list[list[str]]  # [benchmark, split]
    frozen: Frozen | None = None
    jobs: list[str] = field(default_factory=list)
    cancelled: bool = False
    elsewhere: str | None = None
    ticket: str | None = None

    @property
    def job(self) -> str | None:
        return self.jobs[-1] if self.jobs else None

    def find_record(self) -> tuple[Path, record.Record] | None:
        """The record of this configuration and seed, on whatever data; a finished one before others."""
        found = []
        for path in Path(self.where).glob(f"*/seed={self.seed}/{record.FILE}"):
            try:
                value = record.read(path)
            except RecordError:
                continue
            if value.run.get("identity") == self.identity:
                found.append((path, value))
        return min(found, key=lambda pair: record.BEST_FIRST.index(pair[1].status), default=None)

    def is_done(self) -> bool:
        """Whether the record is done and has every score that this run is to make."""
        found = self.find_record()
        if found is None or found[1].status != "done":
            return False
        return all(split in found[1].scores.get(benchmark, {}) for benchmark, split in self.wanted)


@dataclass
class Sweep:
    """The runs of one name. cwd: where it was submitted, to which relative paths refer; settings: of the launcher."""

    folder: Path
    cwd: str
    runs: dict[str, Run] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def log_of(self, run: Run) -> Path:
        """What the latest job of `run` prints."""
        return self.folder.parent / (run.elsewhere or self.name) / "log" / f"{run.job}_0_log.out"

    def write(self) -> None:
        runs = [asdict(run) for run in self.runs.values()]
        files.write_json(self.folder / FILE, {"schema": 1, "cwd": self.cwd, "settings": self.settings, "runs": runs})

    def describe(self, cfg: DictConfig, wanted: list[list[str]]) -> Run:
        """The run that `cfg` is; nothing is written."""
        resolved = config.resolve(cfg)
        names = config.names(cfg, resolved)
        task, model, method = (resolved[group]["name"] for group in ("task", "model", "method"))
        where = str(Path(self.cwd, resolved["runs_dir"], task, model, method))
        key = hashlib.sha256(f"{names['identity']}|{names['seed']}|{where}".encode()).hexdigest()[:16]
        label = f"{names['label']}, {names['model_label']}, {names['task_label']}, seed {names['seed']}"
        return Run(key, names["identity"], names["seed"], label, where, wanted)

    def take(self, run: Run, cfg: DictConfig) -> None:
        """Make `run` one of this sweep, with its configuration frozen as it is now."""
        run.frozen = freeze(cfg, self.folder / "configs" / f"{run.key}.yaml")
        run.jobs = self.runs[run.key].jobs if run.key in self.runs else []
        self.runs[run.key] = run

    def join(self, run: Run, other: Run, name: str) -> None:
        """Let `run` be what another sweep, of this name, has in the queue."""
        run.jobs.append(other.job)
        run.elsewhere, run.cancelled = other.elsewhere or name, False

    def find_jobs(self) -> bool:
        """Whether SLURM had jobs that a submission asked for which was killed before it had noted them."""
        asked = [run for run in self.runs.values() if run.ticket]
        found = slurm.by_ticket() if asked else {}
        for run in asked:
            if run.ticket in found:
                run.jobs.append(found[run.ticket])
                run.ticket = None
        return any(run.ticket is None for run in asked)


def read(folder: Path) -> Sweep:
    """Raises SettingError where there is no readable sweep, with the names of those beside it."""
    try:
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        runs = [Run(**{**run, "frozen": Frozen(**run["frozen"])}) for run in values["runs"]]
        return Sweep(folder, values["cwd"], {run.key: run for run in runs}, values["settings"])
    except (FileNotFoundError, NotADirectoryError):
        there = ", ".join(path.name for path in folders(folder.parent)) or "none"
        raise SettingError(f"there is no sweep {folder.name!r} in {folder.parent}; there are: {there}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingError(f"{folder / FILE} is damaged ({error}); move {folder} away and submit again") from error


def folders(parent: Path) -> list[Path]:
    return sorted(path.parent for path in parent.glob(f"*/{FILE}"))


def active(parent: Path) -> dict[str, tuple[str, Run]]:
    """By key, the runs that SLURM still has to do or is doing, and a sweep of `parent` that has them.

    To be called by the one that holds the lock. Raises SlurmError.
    """
    there = [read(folder) for folder in folders(parent)]
    for one in there:
        if one.find_jobs():
            one.write()
    runs = [(one.name, run) for one in there for run in one.runs.values() if run.job]
    jobs = slurm.in_queue([run.job for _, run in runs])
    return {run.key: (name, run) for name, run in runs if run.job in jobs}
