"""How long a run takes: measured where a record says so, else counted.

Counted seconds are operations (harness/plan/work.py) divided by the share of its peak that a device reaches. At least
they are the time to launch the operators and, for each generated token, the time to read the weights and the cache:

    UTILISATION   trainings that are published reach 21% to 46% of the peak (Chowdhery et al. 2022, arXiv:2204.02311,
                  Table 3); between the two, in ratio, lies 31%. So a count may be 1.5 times too long or too short
    LAUNCH        seconds for an operator that Python launches one by one: an assumption, which decides for small models
                  and for generation

Every example counts as `train.max_length` tokens, every answer as `max_new_tokens`: the count is an upper bound where
texts are short. Loading, decomposition, validation while training and ranking of choices are not in it.
"""

import csv
import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from errors import DataError, RecordError, SettingError
from harness.plan import config, data_files, devices, splits, work
from harness.store import identity
from harness.store.record import FILE, Record, read, step_time
from harness.train.train_settings import accumulation
from tasks.base import Benchmark, Task

UTILISATION = 0.31
SPREAD = 1.5
LAUNCH = 20e-6
HOUR = 3600
SIZES = Path(__file__).with_name("published_sizes.csv")
NOT_SPEED = ("lr", "head_lr", "weight_decay", "betas", "max_grad_norm", "schedule", "warmup_ratio", "log_every",
             "checkpoint_every")  # fmt: skip


@dataclass(frozen=True)
class Effort:
    """Seconds on one device; None where they are not known, and then `problem` says why."""

    train: float | None
    evaluate: float | None
    device: str
    measured: bool
    problem: str = ""


class Records:
    """The readable records below a folder, read once, by task, model and method."""

    def __init__(self) -> None:
        self.like = cache(self._read)

    def _read(self, runs: str, task: str, model: str, method: str) -> list[Record]:
        return list(_readable(Path(runs, task, model, method)))

    def of(self, resolved: dict[str, Any]) -> list[Record]:
        return self.like(resolved["runs_dir"], *(resolved[group]["name"] for group in ("task", "model", "method")))


def _readable(folder: Path) -> Iterator[Record]:
    for path in sorted(folder.glob(f"*/*/{FILE}")):
        try:
            yield read(path)
        except RecordError:  # tables name it; a plan goes on without it
            continue


def of_run(cfg: DictConfig, records: Records, device: devices.Device, elsewhere: str | None) -> Effort:
    """elsewhere: a processor whose records are used where there are none of `device`."""
    resolved = config.resolve(cfg)
    found = records.of(resolved)
    own = [r for r in found if r.run["identity"] == config.identity(cfg)]
    for candidates in (own, [r for r in found if _speed(r.config) == _speed(resolved)]):
        for is_there in (device.is_named, lambda name: name == elsewhere):
            if effort := _measured(candidates, is_there):
                return effort
    return counted(cfg, device)


def _measured(records: list[Record], is_there) -> Effort | None:
    """The median over the records of whole runs on such a device."""
    done = [r for r in records if r.status == "done" and is_there(_device(r))]
    if not done:
        return None
    train = statistics.median((step_time(r.train) or 0.0) * r.train.get("steps", 0) for r in done)
    return Effort(train, statistics.median(map(_evaluation_seconds, done)), _device(done[0]), True)


def _device(record: Record) -> str:
    return record.provenance.get("device", {}).get("name", "")


def _evaluation_seconds(record: Record) -> float:
    return sum(entry["seconds"] for splits in record.scores.values() for entry in splits.values())


def _speed(resolved: dict[str, Any]) -> str:
    """What the time of a step depends on, and how many there are."""
    kept = identity.keyed(resolved)
    train = {key: value for key, value in kept["train"].items() if key not in NOT_SPEED}
    model, method, task = (kept[group] for group in ("model", "method", "task"))
    facts = [model["name"], model["dtype"], method.get("targets"), resolved["method"]["variant"], task["source"], train]
    return json.dumps(facts, sort_keys=True, default=str)


def counted(cfg: DictConfig, device: devices.Device) -> Effort:
    """On a device that has not run it."""
    try:
        task: Task = config.instantiate(cfg.task.source)
        return _counted(cfg, task, device)
    except (SettingError, DataError) as error:
        return Effort(None, None, device.label, False, str(error))


def _counted(cfg: DictConfig, task: Task, device: devices.Device) -> Effort:
    speed = _Speed(cfg, device)
    number, problem = examples(task, task, "train")
    step = 0.0 if cfg.method.get("lr") == 0 else speed.micro_step * accumulation(cfg.train)
    steps = cfg.train.max_steps or (number and cfg.train.epochs * math.ceil(number / cfg.train.batch_size))
    train = steps * step if steps else None
    evaluate = 0.0
    for benchmark, split in splits.wanted(cfg, task):
        number, absent = examples(task, benchmark, split)
        problem = problem or absent
        if number is None:
            return Effort(train, None, device.label, False, problem)
        evaluate += speed.evaluation(benchmark, number)
    return Effort(train, evaluate, device.label, False, "" if train is not None else problem)


class _Speed:
    """Seconds of the parts of a run on a device."""

    def __init__(self, cfg: DictConfig, device: devices.Device):
        self.cfg, self.device = cfg, device
        self.batch = cfg.evaluate.batch_size
        self.work = work.of_run(cfg, self.batch)
        dtype = work.compute_dtype(cfg.model.dtype, cfg.train.precision)
        self.peak = device.fp32 if dtype == torch.float32 else device.bf16
        self.micro_step = self._seconds(self.work.micro_step)

    def _seconds(self, done: work.Work, times: float = 1.0) -> float:
        return max(times * done.operations / (self.peak * UTILISATION), done.launches * LAUNCH)

    def evaluation(self, benchmark: Benchmark, number: int) -> float:
        """Reading the prompts, or classifying; and the tokens that are generated, at most."""
        batches = math.ceil(number / self.batch)
        reading = batches * self._seconds(self.work.forward, self.batch / self.work.micro_batch)
        if not (self.work.decode.operations and benchmark.generates):
            return reading
        tokens = benchmark.max_new_tokens or self.cfg.task.max_new_tokens
        texts = benchmark.beams * self.batch
        cache = self.work.cache_bytes * texts * (self.cfg.train.max_length + tokens / 2)
        moving = (self.work.weight_bytes + cache) / self.device.bandwidth
        return reading + batches * tokens * max(self._seconds(self.work.decode, benchmark.beams), moving)


def examples(task: Task, owner: Any, split: str) -> tuple[int | None, str]:
    """How many examples `owner` (the task, or a benchmark of it) has, and where that is unknown the reason.

    Counted where the files are at hand, else as published; what is held out and `limit` are taken off.
    """
    missing = [file for file in data_files.of(task) if not file.present]
    if not missing:
        return len(owner.examples(split)), ""
    number = _published(owner, split, task)
    if number is None and split == "validation":
        number = task.validation_size
    elif number is not None and split == "train":
        number -= task.validation_size or 0
    if number is None:
        return None, f"{missing[0].name} is not at hand, so the number of {split} examples is unknown"
    return min(number, task.limit or number), ""


def _published(owner: Any, split: str, task: Task) -> int | None:
    if split in task.per_class:
        return task.per_class[split] * task.num_classes
    sizes = _sizes()
    if (owner.name, split) in sizes:
        return sizes[owner.name, split]
    halves = sizes.get((owner.name, "dev"))
    return halves and {"validation": -(-halves // 2), "test": halves // 2}.get(split)


@cache
def _sizes() -> dict[tuple[str, str], int]:
    with SIZES.open(encoding="utf-8") as file:
        return {(row["name"], row["split"]): int(row["rows"]) for row in csv.DictReader(file)}
