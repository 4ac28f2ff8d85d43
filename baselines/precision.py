"""Small tensors are worked on in fp32 (fp64 on an fp64 base), whatever the dtype of the model and under autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from svft.decomposition import wide_dtype


def wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(wide_dtype(tensor))


def without_autocast(device: torch.device) -> AbstractContextManager:
    """The meta device knows no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)
