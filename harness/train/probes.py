"""Checks by a few passes through a model before it is trained. Model and random numbers are left as they were."""

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

# The loss of a row and of the same row twice: a mean is the same up to rounding, even in bf16; a sum is doubled.
SAME = 0.02


@contextmanager
def random_numbers_kept(device: torch.device) -> Iterator[None]:
    """What is drawn inside (on the CPU, on `device`, in Python or NumPy) does not change what is drawn afterwards."""
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
    """Let batch norms use the running means that they have, and not update them.

    Running means are neither trained nor saved, and would depend on the size of micro-batches and on the ranks.
    """
    for module in model.modules():
        if isinstance(module, _NormBase):
            module.eval()


def has_unused(model: nn.Module, batch: dict[str, Any], arguments: TrainingArguments) -> bool:
    """Whether a trained parameter takes no part in the loss. DistributedDataParallel has to be told."""
    with random_numbers_kept(arguments.device):
        keep_statistics(model.train())
        loss = loss_of(model, batch, arguments)
        require_gradient(loss)
        loss.backward()
    unused = any(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    model.zero_grad()
    return unused


def require_gradient(loss: torch.Tensor) -> None:
    """Raise SettingError if the loss depends on nothing that is trained; a backward pass would be an error of torch."""
    if not loss.requires_grad:
        raise SettingError(
            "the loss does not depend on anything that is trained: the model does not call the adapted modules, but "
            "may read their weights itself; adapt others with method.targets, or name others in model.roles"
        )


@torch.no_grad()
def require_mean(model: nn.Module, modality, row: Any, arguments: TrainingArguments) -> None:
    """Raise ModelError if the loss of a batch is not a mean over its rows: if a row and the same row twice differ.

    Micro-batches are weighed as means over their targets (harness/train/shared_training.py).
    """
    with random_numbers_kept(arguments.device):
        once, twice = (loss_of(model.eval(), modality.collate([row] * n), arguments).item() for n in (1, 2))
    if abs(twice - once) > SAME * abs(once):
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        raise ModelError(
            f"the loss of {type(base).__name__} is no mean: {once:.4g} for a row and {twice:.4g} for the same row "
            "twice, so micro-batches do not add up to a batch; train on one device with train.micro_batch_size as "
            "large as train.batch_size"
        )


def loss_of(model: nn.Module, batch: dict[str, Any], arguments: TrainingArguments) -> torch.Tensor:
    """In the precision of the training, of a batch on any device."""
    with torch.autocast(arguments.device.type, torch.bfloat16, arguments.bf16):
        return model(**{name: tensor.to(arguments.device) for name, tensor in batch.items()}).loss
