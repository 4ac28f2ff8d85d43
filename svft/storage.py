"""What a layer keeps of W0 = U Sigma V^T, and how it computes h = (W0 + U M V^T) x with that.

Each of W0, U and V^T can be computed from the other two and Sigma = diag(s), so a layer need not keep all three:

    class            is kept          h for one adapter                       is not kept            for
    WithoutU         W0, s, V^T       W0 (x + V S^-1 M V^T x)                 U = W0 V S^-1          O > I
    WithoutVh        W0, U, s         w + U M S^-1 U^T w, where w = W0 x      V^T = S^-1 U^T W0      O < I
    WithBoth         W0, U, s, V^T    W0 x + U M V^T x                        -                      other layers
    WithoutWeight    U, s, V^T        U (Sigma + M) V^T x                     W0 = U Sigma V^T       keep_weight=False

S^-1 divides by the singular values, so the first two are for layers without small ones. With the weight kept, h is W0 x
to the last bit at M = 0.

Shapes: B batch (any leading dims), O out_features, I in_features, K = min(O, I) directions, of which M couples the
first C: U is O x K, s is K, V^T is K x I, and M is zero but for C x C. x is (B, I) and h is (B, O).
A storage holds no tensors. They are buffers of the layer, where PEFT, FSDP and DistributedDataParallel look for them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from . import arithmetic
from .arithmetic import cost
from .arithmetic.coupling import coupling
from .decomposition import Basis

if TYPE_CHECKING:
    from .layer import SvftLinear

Counts = dict[str, cost.Count]  # by form


class Storage(ABC):
    """One way of the table; `spare` is the tensor that is not kept."""

    spare: ClassVar[str | None] = None
    can_truncate: ClassVar[bool] = True  # an adapter may drop the directions of W0 beyond its C (`truncate_base`)

    @abstractmethod
    def forward(self, layer: SvftLinear, active: list[str], x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """h with these adapters, while none is merged. The other arguments are for the base layer."""

    @abstractmethod
    def counts(self, layer: SvftLinear, adapter: str, tokens: int, dtype: torch.dtype) -> Counts:
        """What each form computes for an adapter alone."""

    def replaces_weight(self, layer: SvftLinear, adapter: str) -> bool:
        """Whether the layer with this adapter is U (Sigma + M) V^T, without W0."""
        return False

    def has_weight(self, layer: SvftLinear) -> bool:
        return True

    def weight(self, layer: SvftLinear) -> torch.Tensor:
        """W0 with floating-point numbers, laid out as in the base layer."""
        return BaseTunerLayer.get_base_weight(layer)

    def basis(self, layer: SvftLinear) -> Basis:
        """What is not kept is computed, in the dtype of the singular values."""
        return Basis(layer.basis_U, layer.basis_s, layer.basis_Vh)

    @abstractmethod
    def free(self, layer: SvftLinear) -> None:
        """Drop the spare tensor."""

    @abstractmethod
    def fill(self, layer: SvftLinear) -> None:
        """Keep the spare tensor again. Before W0 changes, since it is computed from W0."""


class WithoutU(Storage):
    """O > I: the update acts on x, before W0."""

    spare = "U"
    can_truncate = False

    def forward(self, layer, active, x, *args, **kwargs):
        (shared, own), source = by_basis(layer, active), x  # (B, I)
        for adapter in shared:
            V = layer.basis_Vh[: layer.directions(adapter)].T  # (I, C)
            source = source + product(layer, adapter, x, V, None, V.T, rows=inverse(layer, adapter))
        h = layer.base_layer(source, *args, **kwargs)
        return plus_deltas(layer, own, x, h).to(h.dtype)

    def counts(self, layer, adapter, tokens, dtype):
        out = layer.out_features if adapter in layer.basis_own else layer.in_features
        return counts_beside_weight(layer, adapter, tokens, out, layer.in_features)

    def basis(self, layer):
        U, s, Vh = super().basis(layer)
        return Basis(layer.base_matrix().to(s.dtype) @ Vh.T.to(s.dtype) / s if U is None else U, s, Vh)

    def free(self, layer):
        layer.basis_U = None

    def fill(self, layer):
        layer.basis_U = self.basis(layer).U


class WithoutVh(Storage):
    """O < I: the update acts on W0 x, after W0."""

    spare = "Vh"
    can_truncate = False

    def forward(self, layer, active, x, *args, **kwargs):
        (shared, own), bias = by_basis(layer, active), layer.get_base_layer().bias
        h = base = layer.base_layer(x, *args, **kwargs)  # (B, O)
        w = base - bias if shared and bias is not None else base
        for adapter in shared:
            U = layer.basis_U[:, : layer.directions(adapter)]  # (O, C)
            h = h + product(layer, adapter, w, U, None, U.T, columns=inverse(layer, adapter))
        return plus_deltas(layer, own, x, h).to(base.dtype)

    def counts(self, layer, adapter, tokens, dtype):
        inp = layer.in_features if adapter in layer.basis_own else layer.out_features
        return counts_beside_weight(layer, adapter, tokens, layer.out_features, inp)

    def basis(self, layer):
        U, s, Vh = super().basis(layer)
        return Basis(U, s, U.T.to(s.dtype) @ layer.base_matrix().to(s.dtype) / s[:, None] if Vh is None else Vh)

    def free(self, layer):
        layer.basis_Vh = None

    def fill(self, layer):
        layer.basis_Vh = self.basis(layer).Vh


class WithBoth(Storage):
    """Where nothing can be left out: square or quantised weights, small singular values, truncated bases."""

    def forward(self, layer, active, x, *args, **kwargs):
        if len(active) == 1 and active[0] not in layer.basis_own:
            if self.replaces_weight(layer, active[0]):
                return from_factors(layer, active[0], x)
            if self._is_one_product(layer, active[0], x):
                C, W0 = layer.directions(active[0]), layer.base_matrix()
                U, Vh = layer.basis_U[:, :C], layer.basis_Vh[:C]
                return plus_bias(layer, product(layer, active[0], x, U, None, Vh, weight=W0))
        h = layer.base_layer(x, *args, **kwargs)
        return plus_deltas(layer, active, x, h).to(h.dtype)

    def counts(self, layer, adapter, tokens, dtype):
        if self.replaces_weight(layer, adapter):
            return counts_from_factors(layer, adapter, tokens)
        counts = counts_beside_weight(layer, adapter, tokens, layer.out_features, layer.in_features)
        if self._takes_in_weight(layer, adapter, dtype):
            shape = shape_of(layer, adapter, layer.out_features, layer.in_features)
            counts["materialised"] = cost.materialised(tokens, shape)
        return counts

    def replaces_weight(self, layer, adapter):
        return layer.plain and layer.truncates(adapter)

    def _takes_in_weight(self, layer: SvftLinear, adapter: str, dtype: torch.dtype) -> bool:
        """Whether the materialised form is one product with W0 + U M V^T; in 16 bits a small M would be lost in it."""
        return layer.plain and dtype.itemsize > 2 and not layer.truncates(adapter)

    def _is_one_product(self, layer: SvftLinear, adapter: str, x: torch.Tensor) -> bool:
        takes_in = self._takes_in_weight(layer, adapter, compute_dtype(layer, x))
        return takes_in and form_of(layer, adapter, x) == "materialised"

    def free(self, layer):
        pass

    def fill(self, layer):
        pass


class WithoutWeight(Storage):
    """keep_weight=False: the weight of the base layer is empty, and of the base layer only the bias is used."""

    spare = "weight"

    def forward(self, layer, active, x, *args, **kwargs):
        if len(active) == 1 and active[0] not in layer.basis_own:
            return from_factors(layer, active[0], x)
        if self.has_weight(layer):  # because an adapter is merged into it
            h = layer.base_layer(x, *args, **kwargs)
        else:
            h = plus_bias(layer, self._base(layer, x.to(compute_dtype(layer, x))))
        return plus_deltas(layer, active, x, h).to(h.dtype)

    def _base(self, layer: SvftLinear, x: torch.Tensor) -> torch.Tensor:
        """U Sigma V^T x."""
        U, s, Vh = self.basis(layer)
        return arithmetic.product(x, torch.zeros_like(s), None, U, s, Vh, C=len(s), form="activations")

    def counts(self, layer, adapter, tokens, dtype):
        return counts_from_factors(layer, adapter, tokens)

    def replaces_weight(self, layer, adapter):
        return True

    def has_weight(self, layer):
        return layer.get_base_layer().weight.numel() > 0

    def weight(self, layer):
        if self.has_weight(layer):
            return super().weight(layer)
        U, s, Vh = self.basis(layer)
        W0 = ((U * s) @ Vh.to(s.dtype)).to(layer.get_base_layer().weight.dtype)  # (O, I)
        return W0.T.contiguous() if layer.transposed else W0

    def free(self, layer):
        layer.put_weight(layer.get_base_layer().weight.data.new_empty(0))

    def fill(self, layer):
        if not self.has_weight(layer):
            layer.put_weight(self.weight(layer))


def by_basis(layer: SvftLinear, adapters: list[str]) -> tuple[list[str], list[str]]:
    """Adapters in the basis of the layer, and those that were loaded with a basis of their own (`save_basis`)."""
    own = [adapter for adapter in adapters if adapter in layer.basis_own]
    return [adapter for adapter in adapters if adapter not in own], own


def product(
    layer: SvftLinear, adapter: str, x: torch.Tensor, U: torch.Tensor, s: torch.Tensor | None, Vh: torch.Tensor,
    **others: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """U (diag(s) + M) V^T x with the adapter's M, by its form; `others` as in `arithmetic.product`."""
    x, m, C = x.to(compute_dtype(layer, x)), layer.coefficients(adapter), layer.directions(adapter)
    index, d, form = layer.index(adapter), layer.band(adapter), form_of(layer, adapter, x)
    return arithmetic.product(x, m, index, U, s, Vh, C=C, form=form, d=d, **others)


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
    U, s, Vh = layer.shared_basis()
    K = layer.directions(adapter) if layer.truncates(adapter) else len(s)
    return plus_bias(layer, product(layer, adapter, x, U[:, :K], s[:K], Vh[:K]))


def counts_from_factors(layer: SvftLinear, adapter: str, tokens: int) -> Counts:
    K = layer.directions(adapter) if layer.truncates(adapter) else len(layer.basis_s)
    shape = shape_of(layer, adapter, layer.out_features, layer.in_features)._replace(K=K)
    return {form: cost.COUNTS[form](tokens, shape) for form in cost.FORMS}


def counts_beside_weight(layer: SvftLinear, adapter: str, tokens: int, out: int, inp: int) -> Counts:
    """Of W0 x, and of an update by an out x inp matrix."""
    base, shape = cost.frozen(tokens, layer.out_features, layer.in_features), shape_of(layer, adapter, out, inp)
    return {form: cost.COUNTS[form](tokens, shape) + base for form in cost.FORMS}


def shape_of(layer: SvftLinear, adapter: str, out: int, inp: int) -> cost.Shape:
    C = layer.directions(adapter)
    return cost.Shape(out, inp, C, coupling(C, layer.index(adapter), layer.band(adapter)))


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
