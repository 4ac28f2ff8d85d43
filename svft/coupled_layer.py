"""U (Sigma + M) V^T x for adapters whose update is U M V^T: what a layer stores for it, and in which order it computes.

Shapes: B batch (any leading dims), O out_features, I in_features, K = min(O, I) directions, C of them coupled by M.
Of W0, U and V^T two give the third, so a layer stores what its adapter needs and no more (`spare` is left out):

    W0 kept, O > I     W0 (x + V S^-1 M V^T x), since U = W0 V S^-1: exact at M = 0, and U is spared
    W0 kept, O < I     w + U M S^-1 U^T w with w = W0 x, since V^T = S^-1 U^T W0: V^T is spared
    W0 kept, else      W0 x + U M V^T x: square weights, and those with singular values near 0
    W0 dropped         U (Sigma + M) V^T x: W0 is spared
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from peft.config import PeftConfig
from torch import nn
from transformers.pytorch_utils import Conv1D

from . import arithmetic
from .arithmetic import cost
from .arithmetic.coupling import coupling
from .basis.layer import BasisLayer

# The least singular value, relative to their root mean square, with which a factor is taken from W0 and the other one:
# the other's rounding is enlarged by its inverse.
ANCHOR = {2: 1 / 8, 4: 1 / 32, 8: 1e-3}  # by bytes of an entry of the base weight


class CoupledLayer(BasisLayer):
    """A subclass says which M its adapters train; their configurations have `keep_weight`, `form`, `truncate_base`."""

    _forms: dict[tuple[str, int, torch.dtype, bool], str]  # chosen so far; to be emptied where an adapter changes

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: PeftConfig, name: str) -> None:
        super().__init__(base_layer, adapter_name, config, name)
        self.spare = self._spare_of(config)
        self.free()

    @property
    def plain(self) -> bool:
        """Whether the base layer is its weight and bias, and nothing else happens in it."""
        base = self.base_layer
        if type(base) not in (nn.Linear, Conv1D) or hasattr(base, "_hf_hook"):
            return False
        return self.quantization_backend is None and "weight" in base._parameters

    def _spare_of(self, config: PeftConfig) -> str | None:
        """The first adapter of a layer decides."""
        if not config.keep_weight:
            if not self.plain:
                more = " that is quantised" if self.quantization_backend else ""
                more += "" if "weight" in self.get_base_layer()._parameters else " whose weight is no parameter"
                raise ValueError(
                    f"layer '{self.name}': keep_weight=False needs a plain linear layer, not a "
                    f"{type(self.base_layer).__name__}{more}"
                )
            return "weight"
        if not self.plain or config.truncate_base or self.out_features == self.in_features:
            return None
        s = self.basis_s
        if not s.is_meta and s.min() < ANCHOR[self.basis_dtype.itemsize] * s.square().mean().sqrt():
            return None
        return "U" if self.out_features > self.in_features else "Vh"

    @abstractmethod
    def index(self, adapter_name: str) -> torch.Tensor | None:
        """Ω as flat positions i C + j (N,); None is the diagonal."""

    @abstractmethod
    def band(self, adapter_name: str) -> int | None:
        """The off-diagonals on each side where Ω is a band; None elsewhere."""

    @abstractmethod
    def coefficients(self, adapter_name: str) -> torch.Tensor:
        """M on Ω, (N,)."""

    def truncates(self, adapter_name: str) -> bool:
        return self.configs[adapter_name].truncate_base and self.directions(adapter_name) < len(self.basis_s)

    def from_factors(self, adapter_name: str) -> bool:
        """Whether the layer with this adapter is U (Sigma + M) V^T, without W0."""
        return self.plain and (self.spare == "weight" or self.truncates(adapter_name))

    def is_anchored(self, adapter_name: str) -> bool:
        return self.spare in ("U", "Vh") and adapter_name not in self.basis_own and not self.truncates(adapter_name)

    def counts(self, adapter_name: str, tokens: int, dtype: torch.dtype) -> dict[str, cost.Count]:
        """What each form computes."""
        out, inp, C = self.out_features, self.in_features, self.directions(adapter_name)
        M = coupling(C, self.index(adapter_name), self.band(adapter_name))
        if self.from_factors(adapter_name):
            K = C if self.truncates(adapter_name) else len(self.basis_s)
            return {form: cost.COUNTS[form](tokens, cost.Shape(out, inp, K, M)) for form in cost.FORMS}
        sides = 2 * (min(out, inp),) if self.is_anchored(adapter_name) else (out, inp)
        base, shape = cost.frozen(tokens, out, inp), cost.Shape(*sides, C, M)
        counts = {form: cost.COUNTS[form](tokens, shape) + base for form in cost.FORMS}
        if self._takes_weight_in(adapter_name, dtype):
            counts["materialised"] = cost.materialised(tokens, shape)
        return counts

    def _takes_weight_in(self, adapter_name: str, dtype: torch.dtype) -> bool:
        """Whether the materialised form is one product with W0 + U M V^T; in 16 bits a small M would be lost in it."""
        return self.plain and self.spare is None and dtype.itemsize > 2 and not self.truncates(adapter_name)

    def form(self, tokens: int, adapter_name: str | None = None, dtype: torch.dtype | None = None) -> str:
        """The form for so many tokens, in training where gradients are on: the cheapest by count, unless configured."""
        adapter_name, dtype = adapter_name or self.active_adapters[0], dtype or self.basis_dtype
        configured = self.configs[adapter_name].form
        if configured != "auto":
            return configured
        if torch.compiler.is_compiling():
            return self._cheapest(tokens, adapter_name, dtype)
        key = adapter_name, tokens, dtype, torch.is_grad_enabled()
        if key not in self._forms:
            self._forms[key] = self._cheapest(tokens, adapter_name, dtype)
        return self._forms[key]

    def _cheapest(self, tokens: int, adapter_name: str, dtype: torch.dtype) -> str:
        """In 16 bits a factor with Sigma + M would lose a small M in its rounding, so M is applied to activations."""
        chosen, least = "activations", None
        if dtype.itemsize == 2 and self.from_factors(adapter_name):
            return chosen
        for form, count in self.counts(
            adapter_name, tokens, dtype
        ).items():  # not min(..., key=...), which torch.compile cannot trace
            operations = cost.cost(count, torch.is_grad_enabled(), self.basis_s.device.type, dtype.itemsize)
            if least is None or operations < least:
                chosen, least = form, operations
        return chosen

    def gemms(
        self, tokens: int, adapter_name: str | None = None, dtype: torch.dtype | None = None
    ) -> list[cost.Product]:
        """The dense products of a forward and backward pass in the chosen form."""
        adapter_name, dtype = adapter_name or self.active_adapters[0], dtype or self.basis_dtype
        count = self.counts(adapter_name, tokens, dtype)[self.form(tokens, adapter_name, dtype)]
        return count.forward + count.backward

    def forward_with(self, active: list[str], x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if len(active) == 1 and self._is_whole(active[0], x):
            return self._whole(active[0], x)
        inner = [adapter for adapter in active if self.is_anchored(adapter)]
        source = x
        for adapter in inner if self.spare == "U" else []:
            source = source + self._anchored(adapter, x)
        result = self.base_forward(source, *args, **kwargs)  # (B, O)
        dtype = result.dtype  # that of x, or autocast's
        if inner and self.spare == "Vh":
            bias = self.get_base_layer().bias
            w = result if bias is None else result - bias
            for adapter in inner:
                result = result + self._anchored(adapter, w)
        for adapter in active:
            if adapter not in inner:
                result = result + self.apply_delta(adapter, x)
        return result.to(dtype)

    def base_forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """W0 x + bias."""
        if not self.is_freed("weight"):
            return self.base_layer(x, *args, **kwargs)
        U, s, Vh = self.basis_U, self.basis_s, self.basis_Vh
        x, bias = x.to(self._dtype(x)), self.get_base_layer().bias
        y = arithmetic.product(x, torch.zeros_like(s), None, U, s, Vh, C=len(s), form="activations")
        return y if bias is None else y + bias.to(y.dtype)

    def _dtype(self, x: torch.Tensor) -> torch.dtype:
        """In which products with x are taken."""
        device = x.device.type
        autocast = device != "meta" and torch.is_autocast_enabled(device)  # the meta device knows no autocast
        return torch.get_autocast_dtype(device) if autocast else self.basis_dtype

    def _is_whole(self, adapter_name: str, x: torch.Tensor) -> bool:
        """Whether one product gives all of W x."""
        if adapter_name in self.basis_own:
            return False
        dtype = self._dtype(x)
        return self.from_factors(adapter_name) or (
            self._takes_weight_in(adapter_name, dtype)
            and self.form(x.numel() // x.shape[-1], adapter_name, dtype) == "materialised"
        )

    def _whole(self, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
        (U, s, Vh), C = self.basis(adapter_name), self.directions(adapter_name)
        if not self.from_factors(adapter_name):
            weight = self.get_base_weight().T if self.transposed else self.get_base_weight()
            y = self._product(adapter_name, x, U[:, :C], None, Vh[:C], weight=weight)
        elif self.truncates(adapter_name):
            y = self._product(adapter_name, x, U[:, :C], s[:C], Vh[:C])
        else:
            y = self._product(adapter_name, x, U, s, Vh)
        bias = self.get_base_layer().bias
        return y if bias is None else y + bias.to(y.dtype)

    def _anchored(self, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
        """V S^-1 M V^T x where W0 comes after it, U M S^-1 U^T x where W0 comes before."""
        C = self.directions(adapter_name)
        inverse = self.basis_s[:C].reciprocal()
        if self.spare == "U":
            return self._product(adapter_name, x, self.basis_Vh[:C].T, None, self.basis_Vh[:C], rows=inverse)
        return self._product(adapter_name, x, self.basis_U[:, :C], None, self.basis_U[:, :C].T, columns=inverse)

    def apply_delta(self, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
        (U, s, Vh), C = self.basis(adapter_name), self.directions(adapter_name)
        if self.truncates(adapter_name):
            return self._product(adapter_name, x, U, -s.index_fill(0, torch.arange(C, device=s.device), 0), Vh)
        return self._product(adapter_name, x, U[:, :C], None, Vh[:C])

    def _product(self, adapter_name: str, x, U, s, Vh, **others: torch.Tensor) -> torch.Tensor:
        x, m, C = x.to(self._dtype(x)), self.coefficients(adapter_name), self.directions(adapter_name)
        index, d = self.index(adapter_name), self.band(adapter_name)
        form = self.form(x.numel() // x.shape[-1], adapter_name, x.dtype)
        return arithmetic.product(x, m, index, U, s, Vh, C=C, form=form, d=d, **others)

    def delta_weight(self, adapter_name: str) -> torch.Tensor:
        (U, s, Vh), C = self.basis(adapter_name), self.directions(adapter_name)
        tail = s[C:] if self.truncates(adapter_name) else None
        if tail is None:
            U, Vh = U[:, :C], Vh[:C]
        return arithmetic.delta_weight(U, Vh, self.coefficients(adapter_name), self.index(adapter_name), tail)
