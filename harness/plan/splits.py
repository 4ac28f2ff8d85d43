"""Which benchmarks and splits a run is to score, and whether a record has them already."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig

from errors import MissingData, SettingError
from tasks.base import Benchmark, Task

Wanted = Sequence[tuple[Benchmark, str]]  # with the split


class AtHand(NamedTuple):
    """missing: by the name of a benchmark that cannot be scored, why not."""

    wanted: Wanted
    missing: dict[str, str]


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


def at_hand(cfg: DictConfig, asked: Wanted, scores: dict[str, Any]) -> AtHand:
    """Those of `asked` that are in `scores` already or whose files are there, and why the others are not.

    Raises MissingData where `cfg.evaluate.benchmarks` names one whose files are missing, or nothing is left of a split.
    """
    from harness.ranks import distributed

    found = distributed.call_together(lambda: _at_hand(cfg, asked, scores))
    distributed.refuse_differing({"absent benchmarks": ", ".join(found.missing) or "none"})
    return found


def _at_hand(cfg: DictConfig, asked: Wanted, scores: dict[str, Any]) -> AtHand:
    wanted, missing = [], {}
    for benchmark, split in asked:
        try:
            if not is_scored(scores, benchmark, split):
                benchmark.fetch()
            wanted.append((benchmark, split))
        except MissingData as error:
            if cfg.evaluate.benchmarks is not None:
                raise
            missing[benchmark.name] = error
    if {split for _, split in wanted} != {split for _, split in asked}:
        raise next(iter(missing.values()))
    return AtHand(wanted, {name: str(error) for name, error in missing.items()})


def tell_missing(missing: Mapping[str, str]) -> None:
    """Called when all that can be scored is. Raises MissingData where that is not all that was asked for."""
    if missing:
        told = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise MissingData(
            f"not evaluated, {told}; the same command evaluates what has come by then, and evaluate.benchmarks=[...] "
            "asks for the others alone"
        )


def is_scored(scores: dict[str, Any], benchmark: Benchmark, split: str) -> bool:
    """Whether a record's `scores` have this split, of the data and by the metrics that the benchmark has now."""
    entry = scores.get(benchmark.name, {}).get(split)
    if entry is None or entry["data"] != benchmark.fingerprint():
        return False
    return entry.get("metrics", {}) == versions(benchmark)


def versions(benchmark: Benchmark) -> dict[str, str]:
    """SHA-256 of the code of each metric of a user's own, by its name."""
    versioned = {name: getattr(scorer, "version", "") for name, scorer in benchmark.scorers.items()}
    return {name: version for name, version in versioned.items() if version}


def are_scored(scores: dict[str, Any], wanted: Wanted) -> bool:
    return all(is_scored(scores, benchmark, split) for benchmark, split in wanted)
