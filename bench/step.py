"""One block of a decoder with a method attached, and its step: forward on hidden states, backward of a fixed gradient.

A step is as in the middle of a model: the hidden states need a gradient, and the gradient comes from above. Where
nothing in the block is trained there is no backward pass. In bfloat16 it runs under autocast, as training does.
Shapes: B x L = T tokens, H hidden_size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

from bench import memory, methods, shapes, timing
from bench.methods import METHODS

LENGTH = 512  # the longest sequence; more tokens are more sequences, so that attention is alike in all


@dataclass
class Contestant:
    """A method with its model."""

    label: str
    targets: str | None
    model: nn.Module
    base_bytes: int
    warnings: list[str]

    @property
    def base(self) -> nn.Module:
        return methods.base_of(self.model)

    @property
    def block(self) -> nn.Module:
        return shapes.blocks(self.base)[0]

    def summary(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "targets": self.targets,
            "trained": methods.trained(self.block),
            "base_bytes": self.base_bytes,
            "resident_bytes": memory.standing_bytes(self.block),
            "warnings": self.warnings,
        }


def contestant(name: str, model: Sequence[str], dtype: str, device: torch.device, seed: int) -> Contestant:
    """The method on a model of its own (overrides), the same weights for all."""
    method = METHODS[name]
    cfg = methods.composed(method, model, f"seed={seed}")
    base = shapes.build(cfg.model, dtype, method.head, device, seed)
    base_bytes = memory.resident_bytes(shapes.blocks(base)[0])
    adapted = methods.attached(base, method, cfg)
    adapted.model.to(device)
    return Contestant(
        cfg.method.label + method.note, cfg.method.get("targets"), adapted.model, base_bytes, adapted.warnings
    )


@dataclass(frozen=True)
class Inputs:
    """Hidden states and the gradient from above, both (B, L, H)."""

    hidden: torch.Tensor
    gradient: torch.Tensor
    autocast: bool

    @property
    def tokens(self) -> int:
        return self.hidden.shape[:2].numel()

    @classmethod
    def random(cls, tokens: int, hidden_size: int, dtype: str, device: torch.device, seed: int) -> Self:
        generator, length = torch.Generator().manual_seed(seed), min(tokens, LENGTH)
        hidden, gradient = (  # each with memory of its own, as what is kept for backward is counted by its memory
            torch.randn(tokens // length, length, hidden_size, generator=generator).to(device, getattr(torch, dtype))
            for _ in range(2)
        )
        return cls(hidden, gradient, autocast=dtype == "bfloat16")


def forward(entry: Contestant, inputs: Inputs) -> Callable[[], torch.Tensor]:
    """The block on the inputs; every call starts a new graph."""
    block, trains = entry.block, methods.trained(entry.block) > 0
    positions = torch.arange(inputs.hidden.shape[1], device=inputs.hidden.device)[None]  # (1, L)
    rotary = entry.base.base_model.rotary_emb(inputs.hidden, positions)

    def run() -> torch.Tensor:
        hidden = inputs.hidden.detach().requires_grad_(trains)
        with torch.autocast(hidden.device.type, torch.bfloat16, enabled=inputs.autocast):
            return block(hidden, position_ids=positions, position_embeddings=rotary)  # (B, L, H)

    return run


def step(entry: Contestant, inputs: Inputs) -> timing.Step:
    run_forward = forward(entry, inputs)

    def run() -> None:
        output = run_forward()
        if output.requires_grad:
            output.backward(inputs.gradient.to(output.dtype))

    def reset() -> None:
        for parameter in entry.block.parameters():
            parameter.grad = None

    return timing.Step(run, reset)


def saved(entry: Contestant, inputs: Inputs) -> memory.SavedForBackward:
    with memory.SavedForBackward(entry.block, memory.held(entry.block)) as kept:
        forward(entry, inputs)()
    return kept


def peak_bytes(entry: Contestant, inputs: Inputs) -> int:
    """Of one step, the block and what the step makes; hidden states and the gradient from above apart."""
    one = step(entry, inputs)
    most = memory.rise(one.run, inputs.hidden.device)
    one.reset()
    return memory.resident_bytes(entry.block) + most
