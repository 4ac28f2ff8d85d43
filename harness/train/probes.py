"""What a few passes through a model tell before it is trained; they leave it, and the random numbers, as they were."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from transformers import TrainingArguments

from errors import ModelError, SettingError

# A mean is the same up to rounding, that of bf16 too; a sum is twice as large.
SAME = 0.02


@contextmanager
def random_numbers_kept(device: torch.device) -> Iterator[None]:
    """What is drawn inside, on the CPU, on `device` or in Python and NumPy, leaves the draws after it as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def first_with_target(modality, rows: Sequence[Any]) -> Any | None:
    """The first row that has something to learn, a token or a label; None where there is none."""
    return next((row for row in rows if modality.targets(modality.collate([row])).any()), None)


def keep_statistics(model: nn.Module) -> None:
    """Let layers that count running means of what they see, as batch norms do, go by those that they have.

    They are no weights that are trained and saved, and would depend on micro-batches and ranks.
    """
    for module in model.modules():
        if isinstance(module, _NormBase):
            module.eval()


def has_unused(model: nn.Module, batch: dict[str, Any], arguments: TrainingArguments) -> bool:
    """Whether a trained parameter takes no part in the loss, which is to be told to DistributedDataParallel."""
    with random_numbers_kept(arguments.device):
        keep_statistics(model.train())
        loss = _loss(model, batch, arguments)
        require_gradient(loss)
        loss.backward()
    unused = any(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    model.zero_grad()
    return unused


def require_gradient(loss: torch.Tensor) -> None:
    """Raise SettingError where the loss depends on nothing that is trained: there is nothing to go back through."""
    if not loss.requires_grad:
        raise SettingError(
            "the loss does not depend on anything that is trained: the model does not call the adapted modules, but "
            "may read their weights itself; adapt others with method.targets, or name others in model.roles"
        )


@torch.no_grad()
def require_mean(model: nn.Module, modality, row: Any, arguments: TrainingArguments) -> None:
    """Raise ModelError where the loss of a row twice is not that of the row.

    Micro-batches are put together as means over their targets are (harness/train/shared_training.py).
    """
    with random_numbers_kept(arguments.device):
        once, twice = (_loss(model.eval(), modality.collate([row] * n), arguments).item() for n in (1, 2))
    if abs(twice - once) > SAME * abs(once):
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        raise ModelError(
            f"the loss of {type(base).__name__} is no mean: {once:.4g} for a row and {twice:.4g} for the same row "
            "twice, so micro-batches do not add up to a batch; train on one device with train.micro_batch_size as "
            "large as train.batch_size"
        )


def _loss(model: nn.Module, batch: dict[str, Any], arguments: TrainingArguments) -> torch.Tensor:
    with torch.autocast(arguments.device.type, torch.bfloat16, arguments.bf16):
        return model(**{name: tensor.to(arguments.device) for name, tensor in batch.items()}).loss
