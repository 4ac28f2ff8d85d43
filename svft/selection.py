"""The support that gradients select: the entries of M on which some batches pull hardest at the start of training.

    G = dL/dW                           of one batch's loss, by a layer's weight
    U^T G V                             the same by M: how hard the batch pulls on each of the K x K entries
    Ω = the N largest of mean (U^T G V)^2, the mean over batches

Of layers that share M, U^T G V is their sum: it is the gradient of the M that they share.
No paper of SVFT has this pattern. It is what the paper's fixed ones can be compared with, at equal N.

Shapes: T tokens, O out_features, I in_features, K directions that M may couple. A layer's x is (T, I), its output
(T, O). Two K x K matrices a layer are kept meanwhile, in the dtype of the singular values: G is never formed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from transformers.trainer_callback import ExportableState, TrainerCallback

from . import patterns
from .acting import as_it_was
from .layer import SvftLinear

Losses = torch.Tensor | Iterable[torch.Tensor]


def own_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).loss


def select_by_gradient(
    model: nn.Module,
    batches: Iterable[Any],
    loss: Callable[[nn.Module, Any], Losses] = own_loss,
    adapter_name: str = "default",
) -> dict[str, float]:
    """Put the support that these batches select in the place of the band; before the adapter is trained.

    loss: of a batch, a mean; or several, one after another, whose gradients add up to the batch's. They have to be
    computed when they are asked for, since the layers are watched meanwhile.
    Returned is, by layer or by the role of those that share M, the share of the mean square that the support holds. A
    layer that no loss depends on is left out, and keeps its band.
    The model is in evaluation mode meanwhile; no gradient is left in it, and nothing is drawn from its random numbers.
    Where there are several processes, all have to call it: gradients are averaged over them.

    Raises ValueError where the adapter has no such pattern or cannot be trained any more, and for a gradient that is
    not finite. Checkpointing has to be that of use_reentrant=False.
    """
    layers = _layers(model, adapter_name)
    holders = {layer: layer.holders.get(adapter_name, layer) for layer in layers}
    squares, of_batch = ({each: _zeros(each, adapter_name) for each in of} for of in (holders.values(), layers))
    trained = [holder.svft_m[adapter_name] for holder in squares]
    with as_it_was(model), torch.enable_grad(), _watched(of_batch, adapter_name):
        model.eval()
        for batch in batches:
            _backward(loss(model, batch), trained)
            for layer, gradient in of_batch.items():
                if (holder := holders[layer]) is not layer:
                    of_batch[holder] += gradient.to(of_batch[holder].device)
                    gradient.zero_()
            for holder, square in squares.items():
                gradient = of_batch[holder]
                _average(holder, gradient)
                square.addcmul_(gradient, gradient)
                gradient.zero_()
    if not any(square.any() for square in squares.values()):
        raise ValueError("no loss of the batches depends on a layer with pattern='gradient'")
    return {
        layer.trained_name(layer.configs[adapter_name].share): _select(layer, adapter_name, square)
        for layer, square in squares.items()
        if square.any()
    }


def _layers(model: nn.Module, adapter_name: str) -> list[SvftLinear]:
    there = [module for module in model.modules() if isinstance(module, SvftLinear) and adapter_name in module.configs]
    layers = [layer for layer in there if layer.configs[adapter_name].pattern == "gradient"]
    if not layers:
        raise ValueError(f"no layer has an adapter '{adapter_name}' with pattern='gradient'")
    for layer in layers:
        config, m = layer.configs[adapter_name], layer.held(adapter_name)["svft_m"]
        if layer.merged or not m.requires_grad or adapter_name not in layer.active_adapters:
            raise ValueError(f"layer '{layer.name}': adapter '{adapter_name}' is merged, frozen or not active")
        if config.deviation(len(m)) == 0 and m.any():
            raise ValueError(
                f"layer '{layer.name}': adapter '{adapter_name}' is trained already, on the support it has"
            )
    return layers


def _zeros(layer: SvftLinear, adapter_name: str) -> torch.Tensor:
    K = layer.directions(adapter_name)
    return layer.basis_s.new_zeros(K, K)


def _backward(losses: Losses, trained: list[torch.Tensor]) -> None:
    """Through the whole model, leaving no gradient in any parameter."""
    for loss in [losses] if isinstance(losses, torch.Tensor) else losses:
        if loss.requires_grad:
            torch.autograd.grad(loss, trained, allow_unused=True)


def _average(layer: SvftLinear, gradient: torch.Tensor) -> None:
    """Over the processes, in place."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(gradient)
        gradient /= dist.get_world_size()
    if not gradient.isfinite().all():
        raise ValueError(f"layer '{layer.name}': the gradient that is to select its support is not finite")


@contextmanager
def _watched(found: dict[SvftLinear, torch.Tensor], adapter_name: str) -> Iterator[None]:
    """Inside, of each loss that is computed and differentiated, the gradient by M is added to the layer's matrix."""
    hooks = [layer.register_forward_hook(partial(_watch, found, adapter_name)) for layer in found]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _watch(found: dict, adapter_name: str, layer: SvftLinear, args: tuple, output: torch.Tensor) -> None:
    """By M, the gradient of one call is U^T dy^T x V, with dy (T, O) the gradient of its output."""
    if not output.requires_grad:
        return
    C = layer.directions(adapter_name)
    h = _rows(args[0], layer.trained_basis(adapter_name).Vh[:C].T)  # (T, K)

    def add(dy: torch.Tensor) -> None:
        g = _rows(dy, layer.trained_basis(adapter_name).U[:, :C])  # (T, K)
        found[layer].addmm_(g.T, h)

    output.register_hook(add)


@torch.no_grad()
def _rows(x: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """x (..., features) times (features, K), at least in fp32 also under autocast; (T, K)."""
    with torch.autocast(x.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(x.dtype, basis.dtype), torch.float32)
        return x.detach().reshape(-1, x.shape[-1]).to(dtype) @ basis.to(dtype)


def _select(layer: SvftLinear, adapter_name: str, squares: torch.Tensor) -> float:
    index = patterns.topk(squares, len(layer.svft_m[adapter_name]))
    layer.svft_selected[adapter_name].copy_(index)
    return (squares.flatten()[index.long()].sum(dtype=torch.float64) / squares.sum(dtype=torch.float64)).item()


class GradientSupport(TrainerCallback, ExportableState):
    """Selects the support of SvftConfig(pattern="gradient") by the first batches of a training.

    batches: optimiser steps whose data are looked at, from 1 on; fewer where the first epoch has fewer.

    Whoever owns the trainer calls `calibrate` before a training begins, and not where it resumes: the support is in the
    checkpoint. A training that begins without is refused.
    """

    def __init__(self, *, batches: int = 8):
        if not isinstance(batches, int) or isinstance(batches, bool) or batches < 1:
            raise ValueError(f"batches={batches!r} is not an integer >= 1")
        self.batches = batches
        self.held: dict[str, float] | None = None  # by layer, the share of the mean square that the support holds

    def calibrate(self, model: nn.Module, steps: Iterable[Iterable[torch.Tensor]]) -> None:
        """steps: for each optimiser step, losses whose gradients add up to its own, computed as they are asked for."""
        self.held = select_by_gradient(model, islice(steps, self.batches), lambda model, losses: losses)

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        if self.held is None and state.global_step == 0:
            raise ValueError(
                "the support is not selected yet; call calibrate(model, steps) before the training, or leave the "
                "callback out and call svft.select_by_gradient(model, batches)"
            )

    def state(self) -> dict[str, Any]:
        return {"args": {"batches": self.batches}, "attributes": {"held": self.held}}

    def report(self) -> dict[str, Any]:
        """{gradient_support: {batches, held: by layer the share of the mean square that its support holds}}."""
        return {"gradient_support": {"batches": self.batches, "held": self.held}}
