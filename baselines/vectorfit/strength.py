"""How far each vector has been trained from its start.

Strengths of many vectors at once, as one tensor on their device: nothing waits for them until they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

Tensors = Sequence[torch.Tensor]


def l1_mean(values: Tensors, starts: Tensors) -> torch.Tensor:
    """mean |v - v0|: unlike a sum, it compares vectors of different lengths."""
    distances = _distances(values, starts, 1)
    return distances / _lengths(starts, distances)


def l2_mean(values: Tensors, starts: Tensors) -> torch.Tensor:
    """sqrt(mean (v - v0)^2)."""
    distances = _distances(values, starts, 2)
    return distances / _lengths(starts, distances).sqrt()


def relative(values: Tensors, starts: Tensors) -> torch.Tensor:
    """||v - v0|| / ||v0||."""
    return _distances(values, starts, 2) / torch.stack(torch._foreach_norm(starts, 2))


SCORES: dict[str, Callable[[Tensors, Tensors], torch.Tensor]] = {
    "l1_mean": l1_mean,
    "l2_mean": l2_mean,
    "relative": relative,
}


def _distances(values: Tensors, starts: Tensors, order: int) -> torch.Tensor:
    return torch.stack(torch._foreach_norm(torch._foreach_sub(values, starts), order))


def _lengths(starts: Tensors, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor([start.numel() for start in starts], dtype=like.dtype, device=like.device)
