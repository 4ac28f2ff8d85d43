"""Steps of two methods in turns, by two clocks: the wall's, and the process's, which stands while others compute."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench import timing

QUIET = 0.95  # of the wall time that one thread computes: below it, others had the processor in between


def taken(step: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Seconds on the wall and of this process, all of its threads together."""
    timing.synchronize(device)
    wall, own = time.perf_counter(), time.process_time()
    step()
    timing.synchronize(device)
    return time.perf_counter() - wall, time.process_time() - own


def beside(
    step: Callable[[], Any], reference: Callable[[], Any], *, turns: int, warm_up: int, device: torch.device
) -> dict[str, Any]:
    """Both in each turn, which is first alternating; the ratios of a turn, their median and quartiles.

    `ratio` is the wall's where the machine was quiet or the device has a clock of its own, else the process's.
    """
    mine, other = [], []
    for turn in range(-warm_up, turns):
        order = [(step, mine), (reference, other)]
        for run, to in order if turn % 2 else reversed(order):
            seconds = taken(run, device)
            if turn >= 0:
                to.append(seconds)
    share = _sum(mine + other, 1) / _sum(mine + other, 0)
    loaded = device.type == "cpu" and share < QUIET
    wall, own = ([(a[clock], b[clock]) for a, b in zip(mine, other, strict=True)] for clock in (0, 1))
    return {
        **_columns("", own if loaded else wall),
        **_columns("wall_", wall),
        "seconds": timing.quartiles([each[1 if loaded else 0] for each in mine])[1],
        "reference_seconds": timing.quartiles([each[1 if loaded else 0] for each in other])[1],
        "share": share,
        "loaded": loaded,
    }


def _sum(pairs: Sequence[tuple[float, float]], clock: int) -> float:
    return sum(pair[clock] for pair in pairs)


def _columns(prefix: str, pairs: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    columns = timing.ratio_columns(*zip(*pairs, strict=True))
    return {f"{prefix}{name}": value for name, value in columns.items()}
