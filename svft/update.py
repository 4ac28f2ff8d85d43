"""The update U M V^T of a layer's adapter, applied and counted: what the ways of `storage` have in common.

Shapes: as in storage.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from . import arithmetic
from .arithmetic import cost
from .arithmetic.coupling import coupling
from .arithmetic.sparse import Order

if TYPE_CHECKING:
    from .layer import SvftLinear

Counts = dict[str, cost.Count]  # by form


def by_basis(layer: SvftLinear, adapters: list[str]) -> tuple[list[str], list[str]]:
    """Adapters in the basis of the layer, and those that were loaded with a basis of their own (`save_basis`)."""
    own = [adapter for adapter in adapters if adapter in layer.basis_own]
    return [adapter for adapter in adapters if adapter not in own], own


def product(
    layer: SvftLinear, adapter: str, x: torch.Tensor, U: torch.Tensor, s: torch.Tensor | None, Vh: torch.Tensor,
    **others: Any,
) -> torch.Tensor:  # fmt: skip
    """U (diag(s) + M) V^T x with the adapter's M, by its form; `others` as in `arithmetic.product`."""
    x, m, C = x.to(compute_dtype(layer, x)), layer.coefficients(adapter), layer.directions(adapter)
    index, d, form = layer.index(adapter), layer.band(adapter), form_of(layer, adapter, x)
    order = order_of(layer, adapter, x.dtype)
    return arithmetic.product(x, m, index, U, s, Vh, C=C, form=form, d=d, order=order, **others)


def delta(layer: SvftLinear, adapter: str, x: torch.Tensor) -> torch.Tensor:
    """U M V^T x; with `truncate_base`, less what W0 is in the directions beyond C."""
    (U, s, Vh), C = layer.basis(adapter), layer.directions(adapter)
    if layer.truncates(adapter):
        beyond = s.index_fill(0, torch.arange(C, device=s.device), 0)  # (K,)
        return product(layer, adapter, x, U, -beyond, Vh)
    return product(layer, adapter, x, U[:, :C], None, Vh[:C])


def plus_deltas(layer: SvftLinear, adapters: list[str], x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    for adapter in adapters:
        h = h + delta(layer, adapter, x)
    return h


def plus_bias(layer: SvftLinear, h: torch.Tensor) -> torch.Tensor:
    bias = layer.get_base_layer().bias
    return h if bias is None else h + bias.to(h.dtype)


def from_factors(layer: SvftLinear, adapter: str, x: torch.Tensor) -> torch.Tensor:
    """U (Sigma + M) V^T x and the bias; with `truncate_base` in the first C directions alone."""
    (U, s, Vh), bias = layer.shared_basis(), layer.get_base_layer().bias
    K = layer.directions(adapter) if layer.truncates(adapter) else len(s)
    if bias is not None and not bias.requires_grad and bias.dtype == x.dtype and is_wide(layer, x):
        return product(layer, adapter, x, U[:, :K], s[:K], Vh[:K], bias=bias)
    return plus_bias(layer, product(layer, adapter, x, U[:, :K], s[:K], Vh[:K]))


def counts_from_factors(layer: SvftLinear, adapter: str, tokens: int, dtype: torch.dtype) -> Counts:
    K = layer.directions(adapter) if layer.truncates(adapter) else len(layer.basis_s)
    shape = shape_of(layer, adapter, layer.out_features, layer.in_features, dtype)._replace(K=K)
    return {form: cost.COUNTS[form](tokens, shape) for form in cost.FORMS}


def counts_beside_weight(
    layer: SvftLinear, adapter: str, tokens: int, out: int, inp: int, dtype: torch.dtype, backward: bool = True
) -> Counts:
    """Of W0 x, and of an update by an out x inp matrix; not `backward`: W0's part of the gradient of x apart."""
    base = cost.frozen(tokens, layer.out_features, layer.in_features, backward)
    shape = shape_of(layer, adapter, out, inp, dtype)
    return {form: cost.COUNTS[form](tokens, shape) + base for form in cost.FORMS}


def shape_of(layer: SvftLinear, adapter: str, out: int, inp: int, dtype: torch.dtype) -> cost.Shape:
    C, order = layer.directions(adapter), order_of(layer, adapter, dtype)
    return cost.Shape(out, inp, C, coupling(C, layer.index(adapter), layer.band(adapter), order=order))


def order_of(layer: SvftLinear, adapter: str, dtype: torch.dtype) -> Order | None:
    """Of Ω, where M is best left sparse in products of this type."""
    index, C = layer.index(adapter), layer.directions(adapter)
    if index is None or not cost.stays_sparse(coupling(C, index, layer.band(adapter)), index, dtype):
        return None
    return layer.orders.of(adapter, index, C)


def is_wide(layer: SvftLinear, x: torch.Tensor) -> bool:
    """Whether sums of the layer's products and x may be taken as is fastest, with other roundings."""
    return len(layer.basis_s) >= cost.WIDE and x.dtype == compute_dtype(layer, x) and x.dtype.itemsize > 2


def inverse(layer: SvftLinear, adapter: str) -> torch.Tensor:
    """S^-1, (C,)."""
    return layer.basis_s[: layer.directions(adapter)].reciprocal()


def form_of(layer: SvftLinear, adapter: str, x: torch.Tensor) -> str:
    return layer.form(x.numel() // x.shape[-1], adapter, compute_dtype(layer, x))


def compute_dtype(layer: SvftLinear, x: torch.Tensor) -> torch.dtype:
    """In which products with x are taken: that of the singular vectors, or autocast's."""
    device = x.device.type
    autocast = device != "meta" and torch.is_autocast_enabled(device)  # the meta device knows no autocast
    return torch.get_autocast_dtype(device) if autocast else layer.basis_dtype
