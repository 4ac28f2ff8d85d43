"""AdaLoRA's schedule as a trainer callback (Zhang et al. 2023, arXiv:2303.10512); the method itself is PEFT's.

PEFT leaves two things to the training loop: the call that scores the triplets and moves the budget from `init_r` to
`target_r`, and the loss term that keeps P and Q orthogonal, which PeftModel's forward passes by without a task type.
"""

from typing import Any

import torch
from peft.tuners.adalora import AdaLoraModel
from torch import nn
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

IMPORTANCE, UNCERTAINTY = "adalora_importance", "adalora_uncertainty"  # in the optimiser's state, so in checkpoints


class AdaLoraBudget(TrainerCallback, ExportableState):
    """The budget stays at init_r for the first `start` of the steps, and at target_r for the last `end`.

    start, end, every: shares of the optimiser steps; between, the triplets to keep are chosen anew after each `every`.
    allocate: False keeps every rank at init_r, so that the orthogonality term alone is left of AdaLoRA.
    """

    def __init__(self, *, start: float, end: float, every: float, allocate: bool = True):
        if min(start, end) < 0 or start + end >= 1 or not 0 < every < 1:
            raise ValueError(f"start={start}, end={end}, every={every} are shares of the steps, start + end below 1")
        self.start, self.end, self.every, self.allocate = start, end, every, allocate
        self.rank_pattern: dict[str, list[bool]] | None = None

    def state(self) -> dict[str, Any]:
        return {
            "args": {"start": self.start, "end": self.end, "every": self.every, "allocate": self.allocate},
            "attributes": {"rank_pattern": self.rank_pattern},
        }

    def on_train_begin(self, args, state, control, model, optimizer, **kwargs):
        self.tuner = _tuner(model)
        self.config = self.tuner.peft_config[self.tuner.trainable_adapter_name]
        self.config.total_step = state.max_steps
        self.config.tinit, self.config.tfinal = (int(share * state.max_steps) for share in (self.start, self.end))
        self.config.deltaT = max(1, int(self.every * state.max_steps))
        self._remember(optimizer)
        self.hook = self.tuner.model.register_forward_hook(self._add_orthogonality)

    def on_optimizer_step(self, args, state, control, optimizer, **kwargs):
        """Where ranks are allocated: after the step and before gradients are dropped, as PEFT asks.

        The pattern is kept from the config: PEFT would cut the matrices to it whenever the adapter is saved, and a run
        that resumes could not go on with them. Entries of E outside the pattern are zero, so the function is the same.
        """
        if not self.allocate:
            return
        self.config.rank_pattern = self.rank_pattern
        self.tuner.update_and_allocate(state.global_step + 1)
        self.rank_pattern, self.config.rank_pattern = self.config.rank_pattern, None
        allocator = self.tuner.rankallocator
        for name, parameter in self._scored():
            if name in allocator.exp_avg_ipt:
                optimizer.state[parameter][IMPORTANCE] = allocator.exp_avg_ipt[name]
                optimizer.state[parameter][UNCERTAINTY] = allocator.exp_avg_unc[name]

    def on_train_end(self, args, state, control, **kwargs):
        self.hook.remove()

    def report(self) -> dict[str, Any]:
        """The rank that each layer ended with."""
        pattern = self.rank_pattern or {}
        return {"ranks": {name.split(".lora_E")[0].removeprefix("model."): sum(kept) for name, kept in pattern.items()}}

    def _scored(self) -> list[tuple[str, nn.Parameter]]:
        """P, Lambda and Q of every layer, by the names that PEFT's allocator has for them."""
        mark = self.tuner.trainable_adapter_name
        named = self.tuner.model.named_parameters()
        return [(name, parameter) for name, parameter in named if "lora_" in name and mark in name]

    def _remember(self, optimizer) -> None:
        """The running averages of a run that was interrupted."""
        allocator = self.tuner.rankallocator
        for name, parameter in self._scored():
            kept = optimizer.state.get(parameter, {})
            if IMPORTANCE in kept:
                allocator.ipt[name] = torch.zeros_like(parameter)
                allocator.exp_avg_ipt[name], allocator.exp_avg_unc[name] = kept[IMPORTANCE], kept[UNCERTAINTY]

    def _add_orthogonality(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        """gamma times the mean of ||P^T P - I||_F over P and Q of all layers (eq. 4), added to a training loss."""
        if not module.training or getattr(outputs, "loss", None) is None:
            return
        norms = []
        for name, P in self._scored():
            if "lora_A" in name or "lora_B" in name:
                gram = P @ P.T if "lora_A" in name else P.T @ P  # (r, r)
                norms.append(torch.linalg.norm(gram - torch.eye(len(gram), device=P.device, dtype=P.dtype)))
        outputs.loss = outputs.loss + self.config.orth_reg_weight * torch.stack(norms).mean()


def _tuner(model: nn.Module) -> AdaLoraModel:
    found = [module for module in model.modules() if isinstance(module, AdaLoraModel)]
    if not found:
        raise ValueError("AdaLoraBudget goes with peft.AdaLoraConfig; the model has no AdaLoRA adapter")
    return found[0]
