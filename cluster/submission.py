"""Handing runs over to SLURM, each only once."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from cluster import slurm, sweep
from cluster.job import Job, work
from cluster.sweep import Run, Sweep
from errors import DataError, SettingError
from harness.console.progress import bar
from harness.console.told import sentence
from harness.models import bases
from harness.plan import config, splits
from harness.store import lock, provenance

OWN = ("folder", "name", "wait", "requeue_limit")  # settings that are ours; submitit knows the others


@dataclass
class Submitted:
    """What became of the runs that were asked for."""

    sweep: Sweep
    new: dict[str, Run] = field(default_factory=dict)
    done: dict[str, Run] = field(default_factory=dict)
    queued: dict[str, Run] = field(default_factory=dict)
    refused: list[Exception] = field(default_factory=list)

    def __str__(self) -> str:
        counts = {
            "submitted": self.new,
            "done before": self.done,
            "in the queue already": self.queued,
            "refused": self.refused,
        }
        said = ", ".join(f"{len(runs)} {how}" for how, runs in counts.items() if runs) or "no runs"
        return f"sweep {self.sweep.name}: {said}"


def submit(configurations: Iterable[DictConfig], number: int, settings: dict[str, Any]) -> Submitted:
    """Freeze the configurations and queue those that are neither done nor in the queue under any name.

    Raises SettingError and SlurmError; a configuration that cannot be resolved is left out, with the reason.
    """
    slurm.check()
    folder = Path(settings["folder"]).resolve() / _name(settings["name"])
    with lock.turn(folder.parent):
        active = sweep.active(folder.parent)
        there = sweep.read(folder) if (folder / sweep.FILE).exists() else Sweep(folder, os.getcwd())
        if there.cwd != os.getcwd():
            raise SettingError(
                f"sweep {there.name} was submitted from {there.cwd}; go there, or give another hydra.launcher.name"
            )
        result = Submitted(there)
        with bar(number, "freezing") as progress:
            for cfg in configurations:
                _sort(cfg, result, active)
                progress.update()
        queue(there, list(result.new.values()), settings)
    return result


def _sort(cfg: DictConfig, result: Submitted, active: dict[str, tuple[str, Run]]) -> None:
    there = result.sweep
    try:
        bases.complete(cfg)
        run = there.describe(cfg, _wanted(cfg))
    except Exception as error:
        if sentence(error) is None:
            raise
        result.refused.append(error)
        return
    if run.key in active:
        name, other = active[run.key]
        if more := [" ".join(scores) for scores in run.wanted if other.wanted and scores not in other.wanted]:
            result.refused.append(SettingError(
                f"{run.label} is in the queue of sweep {name} without {', '.join(more)}; submit again when it is done"
            ))  # fmt: skip
            return
        if run.key not in there.runs or there.runs[run.key].job != other.job:
            there.take(run, cfg)
            there.join(run, other, name)
        result.queued[run.key] = there.runs[run.key]
    elif run.is_done() and not cfg.force:
        there.take(run, cfg)
        result.done[run.key] = run
    elif run.key not in result.new:
        there.take(run, cfg)
        result.new[run.key] = run


def _name(name: object) -> str:
    """What a folder of sweeps can have, SLURM's file names can hold (% begins a pattern) and a command line can say."""
    if not re.fullmatch(r"[^-./%\s][^/%\n]*", str(name)):
        raise SettingError(
            f"hydra.launcher.name={str(name)!r} is no name of a sweep: "
            "it is empty, has / or %, or begins with - or a dot"
        )
    return str(name)


def _wanted(cfg: DictConfig) -> list[list[str]]:
    """Benchmarks and splits that the run is to score; none where the data are not at hand to say so."""
    try:
        task = config.instantiate(cfg.task.source)
    except DataError:
        return []
    return [[benchmark.name, split] for benchmark, split in splits.wanted(cfg, task)]


def queue(there: Sweep, runs: Sequence[Run], settings: dict[str, Any], *, retry: bool = False) -> None:
    """Give each run a job, in arrays; the sweep's file has the id of each job, or, before that, what tells it.

    retry: where a run has had a job before, `force` meant that one.
    """
    commit = provenance.code()["commit"]
    there.settings = dict(settings)
    there.write()
    for chunk in (runs[start : start + slurm.ARRAY_LIMIT] for start in range(0, len(runs), slurm.ARRAY_LIMIT)):
        jobs = [Job(run.frozen, settings["requeue_limit"], commit, again=retry and bool(run.jobs)) for run in chunk]
        options = {key: value for key, value in settings.items() if key not in OWN}
        token = slurm.new_token()
        for index, run in enumerate(chunk):
            run.ticket, run.elsewhere, run.cancelled = f"{token}_{index}", None, False
        there.write()
        ids = slurm.submit(work, jobs, folder=there.log, name=there.name, cwd=there.cwd, token=token, settings=options)
        for run, job in zip(chunk, ids, strict=True):
            run.jobs.append(job)
            run.ticket = None
        there.write()
