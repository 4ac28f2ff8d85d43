"""How far each vector has been trained from its start.

Strengths of many vectors at once, as one tensor on their device: nothing waits for them until they are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

Tensors = Sequence[torch.Tensor]


def l1_mean(values: Tensors, starts: Tensors) -> torch.Tensor:
    """mean |v - v0|: unlike a sum, it compares vectors of different lengths."""
    lengths = [start.numel() for start in starts]
    return torch.stack(torch._foreach_div(_distances(values, starts, 1), lengths))


def l2_mean(values: Tensors, starts: Tensors) -> torch.Tensor:
    """sqrt(mean (v - v0)^2)."""
    lengths = [math.sqrt(start.numel()) for start in starts]
    return torch.stack(torch._foreach_div(_distances(values, starts, 2), lengths))


def relative(values: Tensors, starts: Tensors) -> torch.Tensor:
    """||v - v0|| / ||v0||."""
    return torch.stack(torch._foreach_div(_distances(values, starts, 2), torch._foreach_norm(starts, 2)))


SCORES: dict[str, Callable[[Tensors, Tensors], torch.Tensor]] = {
    "l1_mean": l1_mean,
    "l2_mean": l2_mean,
    "relative": relative,
}


def _distances(values: Tensors, starts: Tensors, order: int) -> Tensors:
    return torch._foreach_norm(torch._foreach_sub(values, starts), order)
