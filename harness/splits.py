"""Which benchmarks and splits a run is to score, and whether a record has them already."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from harness.settings import SettingError
from tasks.base import Benchmark, Task


def wanted(cfg: DictConfig, task: Task) -> Iterator[tuple[Benchmark, str]]:
    """Each benchmark and split that `cfg.evaluate` asks for and that the task has. Raises SettingError."""
    there = dict.fromkeys(split for benchmark in task.benchmarks.values() for split in benchmark.splits)
    for split in cfg.evaluate.splits:
        if split not in there:
            raise SettingError(f"evaluate.splits: task {task.name} has {', '.join(there)}, not {split!r}")
    names = list(task.benchmarks) if cfg.evaluate.benchmarks is None else list(cfg.evaluate.benchmarks)
    for name in names:
        if name not in task.benchmarks:
            raise SettingError(f"evaluate.benchmarks: task {task.name} has {', '.join(task.benchmarks)}, not {name!r}")
        benchmark = task.benchmarks[name]
        yield from ((benchmark, split) for split in cfg.evaluate.splits if split in benchmark.splits)


def is_scored(scores: dict[str, Any], benchmark: Benchmark, split: str) -> bool:
    """Whether a record's `scores` have this split, of the data that the benchmark has now."""
    entry = scores.get(benchmark.name, {}).get(split)
    return entry is not None and entry["data"] == benchmark.fingerprint()
