"""Steps timed in turns, and ratios of times from the same turn: what else the machine does strikes both alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")
CLOCKS: dict[str, Callable[[], float]] = {  # the process's stands while others compute; all of its threads together
    "wall": time.perf_counter,
    "process": time.process_time,
}


@dataclass(frozen=True)
class Step:
    """`run` is timed; `reset` clears up after it and is not."""

    run: Callable[[], Any]
    reset: Callable[[], Any] = lambda: None


def rotated(items: Sequence[T], by: int) -> list[T]:
    """`items` from number `by` on, then those before it: in len(items) turns each is once in every place."""
    by %= len(items)
    return [*items[by:], *items[:by]]


def seconds(step: Step, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> float:
    synchronize(device)
    started = clock()
    step.run()
    synchronize(device)
    elapsed = clock() - started
    step.reset()
    return elapsed


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(
    steps: Mapping[str, Step], *, repeats: int, warm_up: int, device: torch.device, tick: Callable[[], Any],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:  # fmt: skip
    """Seconds of each step in each of `repeats` turns, after `warm_up` turns that do not count.

    A turn runs every step once, in an order rotated from turn to turn. `tick` is called after each step.
    """
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(-warm_up, repeats):
        for name in rotated(list(steps), turn):
            elapsed = seconds(steps[name], device, clock)
            if turn >= 0:
                taken[name].append(elapsed)
            tick()
    return taken


def ratios(taken: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Turn by turn."""
    return [mine / other for mine, other in zip(taken, reference, strict=True)]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return float(low), float(median), float(high)


def ratio_columns(taken: Sequence[float], reference: Sequence[float] | None) -> dict[str, float | None]:
    """ratio, ratio_low and ratio_high of a row: the median and the quartiles; null without a reference."""
    if reference is None:
        return dict.fromkeys(("ratio", "ratio_low", "ratio_high"))
    low, median, high = quartiles(ratios(taken, reference))
    return {"ratio": median, "ratio_low": low, "ratio_high": high}
