"""What a layer keeps of W0 = U Sigma V^T, and how it computes h = (W0 + U M V^T) x with that.

Each of W0, U and V^T can be computed from the other two and Sigma = diag(s), so a layer need not keep all three:

    class            is kept          h for one adapter                       is not kept            for
    WithoutU         W0, s, V^T       W0 (x + V S^-1 M V^T x)                 U = W0 V S^-1          O > I
    WithoutVh        W0, U, s         w + U M S^-1 U^T w, where w = W0 x      V^T = S^-1 U^T W0      O < I
    WithBoth         W0, U, s, V^T    W0 x + U M V^T x                        -                      other layers
    WithoutWeight    U, s, V^T        U (Sigma + M) V^T x                     W0 = U Sigma V^T       keep_weight=False

S^-1 divides by the singular values, so the first two are for layers without small ones. With the weight kept, h is W0 x
to the last bit at M = 0, whatever U and V^T are: they may be stored in 16 bits (`factor_dtype`).

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
from .basis.base_weights import refuse_dropping_more_than_a_weight
from .decomposition import Basis
from .update import (
    Counts,
    by_basis,
    compute_dtype,
    counts_beside_weight,
    counts_from_factors,
    form_of,
    from_factors,
    inverse,
    is_wide,
    plus_bias,
    plus_deltas,
    product,
    shape_of,
)

if TYPE_CHECKING:
    from .config import SvftConfig
    from .layer import SvftLinear

# The least singular value, relative to their root mean square, that a layer may divide by. Its inverse enlarges the
# rounding errors of the factor that is kept.
LEAST = {2: 1 / 8, 4: 1 / 32, 8: 1e-3}  # by bytes of an entry of that factor


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
        residual = len(shared) == 1 and is_wide(layer, x)
        for adapter in shared:
            V = layer.basis_Vh[: layer.directions(adapter)].T  # (I, C)
            change = product(layer, adapter, x, V, None, V.T, rows=inverse(layer, adapter), residual=residual)
            source = change if residual else source + change
        h = layer.base_layer(source, *args, **kwargs)
        return plus_deltas(layer, own, x, h).to(h.dtype)

    def counts(self, layer, adapter, tokens, dtype):
        out = layer.out_features if adapter in layer.basis_own else layer.in_features
        return counts_beside_weight(layer, adapter, tokens, out, layer.in_features, dtype)

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
        residual = len(shared) == 1 and is_wide(layer, base) and self._takes_off(layer, shared[0], base, bias)
        w, off = (base, bias) if residual or bias is None or not shared else (base - bias, None)
        for adapter in shared:
            U = layer.basis_U[:, : layer.directions(adapter)]  # (O, C)
            others = {"columns": inverse(layer, adapter), "bias": off, "residual": residual}
            change = product(layer, adapter, w, U, None, U.T, **others)
            h = change if residual else h + change
        return plus_deltas(layer, own, x, h).to(base.dtype)

    def _takes_off(self, layer: SvftLinear, adapter: str, h: torch.Tensor, bias: torch.Tensor | None) -> bool:
        """Whether the bias comes off W0 x + bias within the product."""
        return bias is None or (not bias.requires_grad and form_of(layer, adapter, h) == "activations")

    def counts(self, layer, adapter, tokens, dtype):
        inp = layer.in_features if adapter in layer.basis_own else layer.out_features
        return counts_beside_weight(layer, adapter, tokens, layer.out_features, inp, dtype)

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
            bare = not (args or kwargs) and is_wide(layer, x) and self._is_bare(layer, active[0], x.dtype)
            if bare or self._is_one_product(layer, active[0], x):
                C, W0 = layer.directions(active[0]), layer.base_matrix()
                U, Vh = layer.basis_U[:, :C], layer.basis_Vh[:C]
                if not bare:
                    return plus_bias(layer, product(layer, active[0], x, U, None, Vh, weight=W0))
                others = {"bias": layer.get_base_layer().bias, "around": self._around(layer, active[0])}
                return product(layer, active[0], x, U, None, Vh, weight=W0, **others)
        h = layer.base_layer(x, *args, **kwargs)
        return plus_deltas(layer, active, x, h).to(h.dtype)

    def counts(self, layer, adapter, tokens, dtype):
        if self.replaces_weight(layer, adapter):
            return counts_from_factors(layer, adapter, tokens, dtype)
        bare = adapter not in layer.basis_own and self._is_bare(layer, adapter, dtype)
        whole = not (bare and self._around(layer, adapter) is not None)
        counts = counts_beside_weight(layer, adapter, tokens, layer.out_features, layer.in_features, dtype, whole)
        if self._takes_in_weight(layer, adapter, dtype):
            shape = shape_of(layer, adapter, layer.out_features, layer.in_features, dtype)
            counts["materialised"] = cost.materialised(tokens, shape)
        return counts

    def replaces_weight(self, layer, adapter):
        return layer.plain and layer.truncates(adapter)

    def _takes_in_weight(self, layer: SvftLinear, adapter: str, dtype: torch.dtype) -> bool:
        """Whether the materialised form is one product with W0 + U M V^T; in 16 bits a small M would be lost in it."""
        return layer.plain and dtype.itemsize > 2 and not layer.truncates(adapter)

    def _is_bare(self, layer: SvftLinear, adapter: str, dtype: torch.dtype) -> bool:
        """Whether W0 x may be taken here, in the place of the base layer's call."""
        wide = len(layer.basis_s) >= cost.WIDE and layer.basis_dtype == dtype
        return wide and layer.is_frozen and self._takes_in_weight(layer, adapter, dtype)

    def _around(self, layer: SvftLinear, adapter: str) -> torch.Tensor | None:
        """Sigma, where the factors are all of W0: the gradient of x takes U^T dy anyway, and W0 no further product."""
        whole = layer.factor_dtype is None and layer.directions(adapter) == len(layer.basis_s)
        return layer.basis_s if whole else None

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
        return counts_from_factors(layer, adapter, tokens, dtype)

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


def storage_for(
    layer: SvftLinear, config: SvftConfig, wanted: torch.dtype | None
) -> tuple[Storage, torch.dtype | None]:
    """Of a layer that has its basis, with the dtype that its singular vectors are rounded to, if it is `wanted`.

    One whole factor is less than two in 16 bits: it stays whole where a singular value is too small for 16 bits alone.
    Raises ValueError where the weight cannot be dropped, though it is to be.
    """
    if not config.keep_weight:
        refuse_dropping_more_than_a_weight(layer)
        return WithoutWeight(), None
    one = layer.plain and not config.truncate_base and layer.out_features != layer.in_features
    stored = next((dtype for dtype in (wanted, layer.basis_dtype) if one and _can_be_divided(layer, dtype)), None)
    if stored is None:
        return WithBoth(), wanted
    storage = WithoutU() if layer.out_features > layer.in_features else WithoutVh()
    return storage, wanted if stored == wanted else None


def _can_be_divided(layer: SvftLinear, stored: torch.dtype | None) -> bool:
    """By the singular values, with a factor of this dtype."""
    s = layer.basis_s
    return stored is not None and (s.is_meta or bool(s.min() > LEAST[stored.itemsize] * s.square().mean().sqrt()))


def round_factors(layer: SvftLinear) -> None:
    """What is kept of U and V^T, to the layer's `factor_dtype`; what is computed from it follows the rounded ones."""
    if layer.factor_dtype is None or layer.factor_dtype.itemsize >= layer.basis_s.dtype.itemsize:
        return
    for name in layer.large_buffers:
        if (factor := getattr(layer, name)) is not None:
            setattr(layer, name, factor.to(layer.factor_dtype))
