"""Peak memory of a stretch of work: the GPU's allocator, or the process's resident set."""

from pathlib import Path

import torch

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
