"""Inference with an adapter of its own for each row of a batch: `adapter_names=[...]`, as PEFT's LoRA takes it.

The model checks the names and hands them to its layers; a layer computes rows of one name together, as if alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

BASE = "__base__"  # PEFT's name for a row without any adapter


@contextmanager
def handed_to_layers(tuner: BaseTuner, adapter_names: Sequence[str], arguments: dict[str, Any]) -> Iterator[None]:
    """While `tuner` is called with `arguments`, its layers and its modules to save get `adapter_names` too.

    Raises ValueError in training, for an adapter that no layer has, and where an adapter trains the base's biases.
    """
    _check(tuner, adapter_names)
    repeated = [name for name in adapter_names for _ in range(_sequences_per_row(arguments))]
    encoder = _encoder(tuner.model)
    unrepeated = set() if encoder is None else set(encoder.modules())  # generate() repeats what the encoder returns
    hooks = []
    for module in tuner.modules():
        if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            names = _known_to(module, adapter_names if module in unrepeated else repeated)
            hooks.append(module.register_forward_pre_hook(partial(_add_names, names), with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _check(tuner: BaseTuner, adapter_names: Sequence[str]) -> None:
    if not isinstance(adapter_names, (list, tuple)):
        raise TypeError(f"adapter_names={adapter_names!r} is no list of names, one for each row of the batch")
    if tuner.training:
        raise ValueError("Cannot pass `adapter_names` when the model is in training mode.")
    there = {name for layer in tuner.modules() if isinstance(layer, tuner.tuner_layer_cls) for name in layer.configs}
    if unknown := sorted(set(adapter_names) - there - {BASE}):
        raise ValueError(f"Trying to infer with non-existing adapter(s): {', '.join(unknown)}")
    for name, config in tuner.peft_config.items():
        bias = getattr(config, "bias", "none")
        if bias != "none" and set(adapter_names) - {name}:
            raise ValueError(
                f"Cannot pass `adapter_names`: adapter '{name}' has bias='{bias}', so that its biases are the base "
                "model's and every row would get them"
            )


def _sequences_per_row(arguments: dict[str, Any]) -> int:
    """As many as generate(**arguments) makes of each row of its input."""
    config = arguments.get("generation_config")
    sizes = (arguments.get(name) or getattr(config, name, None) or 1 for name in ("num_beams", "num_return_sequences"))
    return max(sizes)


def _encoder(model: nn.Module) -> nn.Module | None:
    """Transformers' models without an encoder say that they are one."""
    encoder = model.get_encoder() if hasattr(model, "get_encoder") else None
    return None if encoder is model else encoder


def _known_to(module: nn.Module, names: Sequence[str]) -> list[str]:
    """PEFT's wrapper of a module to save knows the adapters that have one; to the others it is as in the base model."""
    if not isinstance(module, AuxiliaryTrainingWrapper):
        return list(names)
    return [name if name in module._adapters else BASE for name in names]


def _add_names(names: list[str], module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
    return args, {**kwargs, "adapter_names": names}


def row_by_row(
    forward: Callable[[list[str], torch.Tensor], torch.Tensor], adapter_names: Sequence[str], x: torch.Tensor
) -> torch.Tensor:
    """`forward(adapters, rows)` of the rows of each name, put together in the order of x (B, ..., I)."""
    if len(x) != len(adapter_names):
        raise ValueError(
            "Length of `adapter_names` should be the same as the number of inputs, but got "
            f"{len(adapter_names)} and {len(x)} respectively."
        )
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(adapter_names):
        rows.setdefault(name, []).append(row)
    parts = [forward([] if name == BASE else [name], x[those]) for name, those in rows.items()]
    order = torch.tensor([row for those in rows.values() for row in those], device=x.device)
    return torch.cat(parts)[order.argsort()]
