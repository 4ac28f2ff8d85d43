"""h = U diag(sigma) V^T x + b, with sigma and b trained from sigma0 and b0 (Hegde et al. 2025, arXiv:2503.19530).

Computed as W0 x + b0 + U ((sigma - sigma0) * V^T x) + (b - b0), which at the start is the pre-trained layer exactly.
Multiplicative: sigma = sigma0 * z with z trained from 1, as in SVF (Sun et al. 2025, Transformer-squared,
arXiv:2501.06252). With cells: sigma follows from theta, as in DiTASK (see `warp`), trained from 0.

Shapes: B batch (any leading dims), O out_features, I in_features, K = min(O, I); sigma and z are K, b is O, theta is
cells - 1. The trained vectors are sigma, z and b themselves, not their differences to the start: weight decay draws
them to 0; theta it draws to the start.
But layers that share them (`share`) start at different sigma0 and b0: what they train is sigma - sigma0 and b - b0,
from 0; z and theta are what they always are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from svft import arithmetic
from svft.basis import BasisLayer
from svft.decomposition import wide_dtype
from svft.decomposition.streams import generator, stream_of

from .config import VectorFitConfig
from .warp import warped


class TrainedVector(NamedTuple):
    """What adaptive freezing works on."""

    name: str  # "<path of the layer, or its role> <sigma, z, theta or bias>"
    parameter: nn.Parameter
    start: torch.Tensor  # its value before training, of its shape


class VectorFitLinear(BasisLayer):
    adapter_layer_names = ("vectorfit_sigma", "vectorfit_z", "vectorfit_bias", "vectorfit_theta")
    configs: dict[str, VectorFitConfig]

    def make_stores(self) -> None:
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ParameterDict())
        bias = getattr(self.get_base_layer(), "bias", None)
        # b0, of which the base layer holds another value while an adapter is merged.
        start = None if bias is None else bias.detach().to(wide_dtype(bias), copy=True)
        self.register_buffer("basis_bias", start, persistent=False)

    def update_layer(self, adapter_name: str, config: VectorFitConfig) -> None:
        """The basis and b0 are there already, so another adapter may be merged meanwhile."""
        self.configs[adapter_name] = config
        for store, start in self._starts(adapter_name).items():
            value = start.clone()
            if not (config.init_weights or value.is_meta):
                stream = stream_of(0, f"{self.trained_name(config.share)}|{adapter_name}")
                noise = generator(stream, store).standard_normal(len(value)) * math.sqrt(2 / len(value))
                value += torch.from_numpy(noise).to(value)
            getattr(self, store)[adapter_name] = nn.Parameter(value)
        self.remember_basis(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _starts(self, adapter_name: str) -> dict[str, torch.Tensor]:
        """What the adapter trains, by store: its value before training."""
        config, s = self.configs[adapter_name], self.basis(adapter_name).s
        if config.cells is not None:
            values = {"vectorfit_theta": s.new_zeros(config.cells - 1)}
        else:
            values = {"vectorfit_z": torch.ones_like(s)} if config.multiplicative else {"vectorfit_sigma": s}
        if config.train_bias and self.basis_bias is not None:
            values["vectorfit_bias"] = self.basis_bias
        if config.share:
            values = {name: value if name == "vectorfit_z" else value * 0 for name, value in values.items()}
        return values

    def trained_vectors(self, adapter_name: str) -> Iterator[TrainedVector]:
        """None in a layer that shares those of another."""
        if adapter_name in self.holders:
            return
        layer, trained = self.trained_name(self.configs[adapter_name].share), self.held(adapter_name)
        for store, start in self._starts(adapter_name).items():
            yield TrainedVector(f"{layer} {store.removeprefix('vectorfit_')}", trained[store], start)

    def _delta_sigma(self, adapter_name: str) -> torch.Tensor:
        """sigma - sigma0, (K,)."""
        s, trained = self.basis(adapter_name).s, self.trained(adapter_name)
        if "vectorfit_z" in trained:
            return s * (trained["vectorfit_z"] - 1)
        if "vectorfit_theta" in trained:
            return warped(s, trained["vectorfit_theta"]) - s
        sigma = trained["vectorfit_sigma"]
        return sigma.to(s.dtype) if self.configs[adapter_name].share else sigma - s

    def apply_delta(self, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
        U, _, Vh = self.basis(adapter_name)
        x = self._cast_input_dtype(x, Vh.dtype)
        sigma = self._delta_sigma(adapter_name)
        delta = arithmetic.product(x, sigma, None, U, None, Vh, C=len(sigma), form="activations")  # (B, O)
        bias = self.delta_bias(adapter_name)
        return delta if bias is None else delta + bias

    def delta_weight(self, adapter_name: str) -> torch.Tensor:
        U, _, Vh = self.basis(adapter_name)
        return arithmetic.delta_weight(U, Vh, self._delta_sigma(adapter_name), None)

    def delta_bias(self, adapter_name: str) -> torch.Tensor | None:
        """b - b0, (O,)."""
        bias = self.trained(adapter_name).get("vectorfit_bias")
        if bias is None:
            return None
        return bias.to(self.basis_bias.dtype) if self.configs[adapter_name].share else bias - self.basis_bias

    def has_signs(self, adapter_name: str) -> bool:
        return False

    def turn(self, adapter_name: str, tensors: dict[str, torch.Tensor], signs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing: on the diagonal each pair meets itself, and e_i e_i = 1."""
        return {}
