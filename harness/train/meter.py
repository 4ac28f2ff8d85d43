"""What is measured of a training: seconds, tokens, and the peak of memory (the GPU's, or the process's own)."""

import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


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


class Meter(TrainerCallback, ExportableState):
    """Seconds inside optimiser steps, and tokens (or images) trained on by all ranks.

    Also what the next log entry's loss is made of: `unlogged` steps since the last entry, `empty` ones among them that
    had no target, and, in a checkpoint, the sum of their `losses`. The Trainer writes `state()` into each checkpoint
    and builds a new Meter from it when it resumes.
    """

    def __init__(
        self, step_seconds: float = 0.0, size: int = 0, unlogged: int = 0, empty: int = 0, losses: float = 0.0
    ):
        self.step_seconds, self.size = step_seconds, size
        self.unlogged, self.empty, self.losses = unlogged, empty, losses

    def on_step_begin(self, args, state, control, **kwargs):
        self.started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.step_seconds += time.perf_counter() - self.started

    def state(self) -> dict[str, Any]:
        names = ("step_seconds", "size", "unlogged", "empty", "losses")
        return {"args": {name: getattr(self, name) for name in names}, "attributes": {}}
