"""LoRA-Dash's step at which each layer chooses its directions (Si et al. 2024, arXiv:2409.01035).

The released code counts the forward passes of each layer, 100 of them, those of evaluation and of gradient accumulation
too; here it is optimiser steps, and all layers choose at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from transformers import TrainerCallback

from .layer import UpdateLinear


class DashDirections(TrainerCallback):
    """Has the layers of a LoRA-Dash adapter choose their directions, once, from what the adapter has learnt by then.

    after: optimiser steps before that; below 1: a share of all, one step at least. A layer that has learnt nothing by
    then (a first step with a rate of 0) chooses after the next step. A chosen direction is a part of the
    adapter, so a run that resumes after that step goes on with it. Raises ValueError where no layer has any to choose.
    """

    def __init__(self, *, after: float):
        if isinstance(after, bool) or not isinstance(after, (int, float)) or after <= 0 or (after > 1 and after % 1):
            raise ValueError(f"after={after!r} is neither a share, above 0 and below 1, nor a whole number from 1 on")
        self.after = after

    def on_train_begin(self, args, state, control, model: nn.Module, **kwargs) -> None:
        if not list(_choosing(model)):
            raise ValueError("DashDirections goes with UpdateConfig(kind='lora_dash'); the model has no such adapter")
        self.step = max(1, round(self.after * state.max_steps)) if self.after < 1 else self.after
        if self.step >= state.max_steps:  # what is chosen after the last step is never trained
            raise ValueError(f"after={self.after} is not before the last of {state.max_steps} steps")
        self.waiting = list(undecided(model))

    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        """Without directions their coefficients have a gradient of 0: the optimiser's averages start when they are."""
        for layer, adapter in self.waiting:
            layer.coefficients(adapter).grad = None

    def on_step_end(self, args, state, control, model: nn.Module, **kwargs) -> None:
        if self.waiting and state.global_step >= self.step:
            choose_directions(model)
            self.waiting = list(undecided(model))

    def on_train_end(self, args, state, control, model: nn.Module, **kwargs) -> None:
        self.chosen = {layer.name: layer.chosen(adapter) for layer, adapter in _choosing(model)}

    def report(self) -> dict[str, dict[str, list[int] | None]]:
        """{directions: {layer: indices of its singular directions, from 0, the most changed first; None: none yet}}."""
        return {"directions": self.chosen}


def choose_directions(model: nn.Module) -> None:
    """In every layer of an active adapter that has its directions still to choose."""
    for layer, adapter in list(undecided(model)):
        layer.choose_directions(adapter)


def undecided(model: nn.Module) -> Iterator[tuple[UpdateLinear, str]]:
    return ((layer, adapter) for layer, adapter in _choosing(model) if layer.chosen(adapter) is None)


def _choosing(model: nn.Module) -> Iterator[tuple[UpdateLinear, str]]:
    """Layers with their active adapters of a kind that chooses."""
    for layer in model.modules():
        if isinstance(layer, UpdateLinear):
            yield from ((layer, adapter) for adapter in layer.active_adapters if adapter in layer.updates_chosen)
