"""What is measured of a training: seconds of its steps, tokens, and the peak of memory (of the GPU or the process)."""

import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_THREADS = Path("/proc/self/task")
FIRST = 3  # steps that are told apart: they allocate, and compile kernels
FIGURES = 4  # significant ones of a step's seconds


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _RESET.exists():
        _RESET.write_text("5")  # see proc(5): sets the peak resident set size to the current one


def peak_bytes(device: torch.device) -> int | None:
    """Bytes allocated at most on the GPU; on a CPU the process's peak resident set, base model and all; else None."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if not _STATUS.exists():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def queued_seconds() -> float | None:
    """Seconds that the process's living threads were ready to run and had no core, by Linux's schedstat; else None."""
    found = []
    for thread in _THREADS.iterdir() if _THREADS.exists() else ():
        with suppress(OSError):  # it has just ended
            found.append(int((thread / "schedstat").read_text().split()[1]))
    return sum(found) / 1e9 if found else None


class Meter(TrainerCallback, ExportableState):
    """Seconds of each optimiser step, and tokens (or images) trained on by all ranks.

    Of the same steps: `cpu_seconds` of all threads, and `queued_seconds` that they waited for a core, None where the
    system does not say. `first` says which of `steps` were the first of their process.

    Also what the next log entry's loss is made of: `unlogged` steps since the last entry, `empty` ones among them that
    had no target, and, in a checkpoint, the sum of their `losses`. The Trainer writes `state()` into each checkpoint
    and builds a new Meter from it when it resumes.
    """

    STATE = ("step_seconds", "size", "unlogged", "empty", "losses", "steps", "first", "cpu_seconds", "queued_seconds")

    def __init__(
        self, step_seconds: float = 0.0, size: int = 0, unlogged: int = 0, empty: int = 0, losses: float = 0.0,
        steps: Sequence[float] = (), first: Sequence[int] = (), cpu_seconds: float = 0.0,
        queued_seconds: float | None = 0.0,
    ):  # fmt: skip
        self.step_seconds, self.size = step_seconds, size
        self.unlogged, self.empty, self.losses = unlogged, empty, losses
        self.steps, self.first = list(steps), list(first)
        self.cpu_seconds, self.queued_seconds = cpu_seconds, queued_seconds
        self.new = 0  # steps of this process

    def on_step_begin(self, args, state, control, **kwargs):
        self.started = time.perf_counter(), time.process_time(), queued_seconds()

    def on_step_end(self, args, state, control, **kwargs):
        if args.device.type == "cuda":
            torch.cuda.synchronize(args.device)  # else a step is as long as it took to launch
        began, worked, queued = self.started
        seconds, now = time.perf_counter() - began, queued_seconds()
        self.step_seconds += seconds
        self.cpu_seconds += time.process_time() - worked
        known = None not in (queued, now, self.queued_seconds)
        self.queued_seconds = self.queued_seconds + max(now - queued, 0.0) if known else None
        if self.new < FIRST:
            self.first.append(len(self.steps))
        self.new += 1
        self.steps.append(float(f"{seconds:.{FIGURES}g}"))

    def times(self) -> dict[str, Any]:
        """The record's `train.step_times`. Of a training that an earlier version began: of its later steps."""
        first = set(self.first)
        later = [seconds for place, seconds in enumerate(self.steps) if place not in first] or self.steps
        quartiles = statistics.quantiles(later, n=4, method="inclusive") if len(later) > 1 else (later or [None]) * 3
        return {
            "median": quartiles[1], "quartiles": [quartiles[0], quartiles[2]], "measured": len(later),
            "first": [self.steps[place] for place in self.first],
            "cpu_seconds": self.cpu_seconds, "queued_seconds": self.queued_seconds,
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {"args": {name: getattr(self, name) for name in self.STATE}, "attributes": {}}
