"""An SVFT model's adapted layers alone, against the matrix products that they are counted at, and what M computes.

Shapes: T tokens, O out_features, I in_features.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bench.timing import Step, interleaved, quartiles, ratio_columns, ratios
from svft import SvftLinear
from svft.arithmetic.coupling import coupling
from svft.update import order_of

Gemm = tuple[int, int, int]  # rows, inner, columns


def svft_layers(model: nn.Module) -> list[SvftLinear]:
    return [module for module in model.modules() if isinstance(module, SvftLinear)]


def layers_step(
    layers: Sequence[SvftLinear], tokens: int, dtype: torch.dtype, generator: torch.Generator, device: torch.device
) -> Step:
    """Forward and backward of each layer on an input of its own, which needs a gradient."""

    def random(width: int) -> torch.Tensor:
        return torch.randn(tokens, width, generator=generator).to(device, dtype)

    inputs = [random(layer.in_features).requires_grad_() for layer in layers]  # each (T, I)
    upstream = [random(layer.out_features) for layer in layers]  # each (T, O)

    def run() -> None:
        for layer, x, gradient in zip(layers, inputs, upstream, strict=True):
            layer(x).backward(gradient)

    def reset() -> None:
        for tensor in (*inputs, *(p for layer in layers for p in layer.parameters())):
            tensor.grad = None

    return Step(run, reset)


def gemms_step(
    layers: Sequence[Sequence[Gemm]], dtype: torch.dtype, generator: torch.Generator, device: torch.device
) -> Step:
    """The products of each layer one after another, each into a new tensor.

    Those of one shape read the same operands within a layer, as V^T is met again there, but not from layer to layer.
    """

    def random(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator).to(device, dtype)

    operands = [{shape: (random(*shape[:2]), random(*shape[1:])) for shape in gemms} for gemms in layers]

    def run() -> None:
        for gemms, own in zip(layers, operands, strict=True):
            for shape in gemms:
                torch.mm(*own[shape])

    return Step(run)


def couplings_step(
    layers: Sequence[SvftLinear], tokens: int, dtype: torch.dtype, generator: torch.Generator, device: torch.device
) -> Step:
    """What M does entry by entry, which is no matrix product: M h, M^T g and the gradient of m, once each a layer.

    h and g are T vectors where M acts on activations, and as many as the smaller side where it goes into a matrix. An
    M that is laid out dense is in the products.
    """
    entrywise = []
    for layer in layers:
        adapter = layer.active_adapters[0]
        C, index, d = layer.directions(adapter), layer.index(adapter), layer.band(adapter)
        M = coupling(C, index, d, order=order_of(layer, adapter, dtype))
        if not M.products(1):
            vectors = tokens if layer.form(tokens) == "activations" else min(layer.out_features, layer.in_features)
            h, g = (torch.randn(C, vectors, generator=generator).to(device, dtype) for _ in range(2))
            m = layer.coefficients(adapter).detach()
            entrywise.append((M, *((each if M.by_direction else each.T.contiguous().T).T for each in (h, g)), m))

    def run() -> None:
        for M, h, g, m in entrywise:
            M.times(h, m)
            M.times(g, m, transposed=True)
            M.gradient(g, h, m)

    return Step(run)


def flops(gemms: Sequence[Gemm]) -> int:
    return sum(2 * rows * inner * columns for rows, inner, columns in gemms)


def row(
    method: str, model: nn.Module, tokens: int, dtype: str, device: torch.device, seed: int,
    **turns: Any,
) -> dict[str, Any]:  # fmt: skip
    """One entry of `linear`: medians of the seconds of all adapted layers together, and of the ratio turn by turn.

    `counted`: of the products together with what M computes entry by entry, over the products alone.

    turns: as `interleaved` takes them.
    """
    layers, generator, in_dtype = svft_layers(model), torch.Generator().manual_seed(seed), getattr(torch, dtype)
    gemms = [[tuple(gemm) for gemm in layer.gemms(tokens)] for layer in layers]
    steps = {
        "measured": layers_step(layers, tokens, in_dtype, generator, device),
        "gemm": gemms_step(gemms, in_dtype, generator, device),
        "coupling": couplings_step(layers, tokens, in_dtype, generator, device),
    }
    taken = interleaved(steps, device=device, **turns)
    return {
        "method": method,
        "tokens": tokens,
        **{f"{name}_seconds": quartiles(values)[1] for name, values in taken.items()},
        **ratio_columns(taken["measured"], taken["gemm"]),
        "counted": 1 + quartiles(ratios(taken["coupling"], taken["gemm"]))[1],
        "flops": sum(map(flops, gemms)),
        "forms": [layer.form(tokens) for layer in layers],
    }
