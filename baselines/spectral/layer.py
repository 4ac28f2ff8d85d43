"""h = W0 x + L R x, where L R is what training r columns of W0 = U S V^T changes (Zhang & Pilanci 2024,
arXiv:2405.13952, and others: see `modes`).

Shapes: B batch (any leading dims), O out_features, I in_features, K = min(O, I) singular values, r columns; L is O x q,
R is q x I with q = 2r (additive, factored) or r (the other modes).
The released code builds the dense W in each forward; here it stays as it is, and each adapter keeps only its r columns.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from peft.tuners._buffer_dict import BufferDict
from torch import nn

from svft.basis import BasisLayer
from svft.decomposition import Basis, wide_dtype
from svft.decomposition.streams import generator, stream_of

from ..precision import wide, without_autocast
from .config import SpectralAdapterConfig
from .modes import MODES, Mode
from .tensors import TENSORS, Tensors


class SpectralAdapterLinear(BasisLayer):
    adapter_layer_names = tuple(TENSORS)
    other_param_names = (*BasisLayer.other_param_names, "spectral_weights", "columns_here")
    shares_basis = False
    configs: dict[str, SpectralAdapterConfig]

    def make_stores(self) -> None:
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ParameterDict())
        self.spectral_weights = BufferDict(persistent=False)  # the configuration has them
        # Of the adapters whose columns the base weight gave here, not a file.
        self.columns_here: dict[str, list[int]] = {}

    def update_layer(self, adapter_name: str, config: SpectralAdapterConfig) -> None:
        self._add(adapter_name, config, self.base_columns(config))
        self.columns_here[adapter_name] = self.columns_of(config)

    def _add(self, adapter_name: str, config: SpectralAdapterConfig, basis: Basis) -> None:
        self.configs[adapter_name] = config
        self.give_own_basis(adapter_name, basis)
        for name, tensor in self._start(adapter_name, basis.s).items():
            getattr(self, name)[adapter_name] = nn.Parameter(tensor)
        if config.weights is not None:
            self.spectral_weights[adapter_name] = torch.tensor(config.weights, dtype=basis.s.dtype).to(basis.s.device)
        self.remember_basis(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _start(self, adapter_name: str, s: torch.Tensor) -> Tensors:
        """On the device and in the dtype of the singular values s."""
        config = self.configs[adapter_name]
        sizes = self.mode_of(adapter_name).sizes(self.out_features, self.in_features, len(s))
        if config.scale:
            sizes["spectral_scale"] = (len(s),)
        start = {name: s.new_full(size, TENSORS[name].start) for name, size in sizes.items()}
        if not config.init_weights and not s.is_meta:
            rng = generator(stream_of(0, f"{self.trained_name(config.share)}|{adapter_name}"), "start")
            for tensor in start.values():
                tensor += torch.from_numpy(rng.standard_normal(tensor.shape) / math.sqrt(len(tensor))).to(tensor)
        return start

    def mode_of(self, adapter_name: str) -> Mode:
        return MODES[self.configs[adapter_name].mode]

    def columns_of(self, config: SpectralAdapterConfig) -> list[int]:
        try:
            return config.columns_of(min(self.out_features, self.in_features))
        except ValueError as error:
            raise ValueError(f"layer '{self.name}' ({self.out_features} x {self.in_features}): {error}") from error

    def base_columns(self, config: SpectralAdapterConfig) -> Basis:
        """The columns that a configuration names, fp32 (fp64 on an fp64 base) whatever the dtype of the base weight.

        From the other adapters where these have them all, else from a decomposition.
        """
        columns = self.columns_of(config)
        here = {
            column: (adapter, position)
            for adapter, known in self.columns_here.items()
            for position, column in enumerate(known)
        }
        if all(column in here for column in columns):
            pairs = [(self.basis(adapter), position) for adapter, position in (here[column] for column in columns)]
            return Basis(*map(wide, joined(pairs)))
        weight = self.unmerged_weight()
        U, s, Vh = self.decompose(weight.to(wide_dtype(weight)))
        return Basis(U[:, columns].contiguous(), s[columns], Vh[columns])

    def give_own_basis(self, adapter_name: str, basis: Basis) -> None:
        super().give_own_basis(adapter_name, basis)
        self.columns_here.pop(adapter_name, None)

    @torch.no_grad()
    def fuse(
        self, adapter_name: str, config: SpectralAdapterConfig, parts: dict[str, SpectralAdapterConfig],
        weights: dict[str, float],
    ) -> None:  # fmt: skip
        """Add an adapter whose trained tensors are weighted sums of the parts'; a part absent here is at its start."""
        columns, pairs, everywhere = self.columns_of(config), {}, True
        for part, part_config in parts.items():
            basis = self.trained_basis(part) if part in self.configs else self.base_columns(part_config)
            everywhere &= part not in self.configs or part in self.columns_here
            for position, column in enumerate(self.columns_of(part_config)):
                pairs.setdefault(column, (basis, position))
        self._add(adapter_name, config, joined([pairs[column] for column in columns]))
        if everywhere:
            self.columns_here[adapter_name] = columns
        whole = self.held(adapter_name)
        for part in (part for part in parts if part in self.configs):
            positions = torch.tensor([columns.index(c) for c in self.columns_of(parts[part])], device=basis.s.device)
            for name, tensor in self.held(part).items():
                TENSORS[name].place(whole[name].data, tensor.data, positions, weights[part])

    def factors(self, adapter_name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """L and R, in fp32 (fp64 on an fp64 base), also under autocast or in a model cast to less."""
        basis = Basis(*map(wide, self.basis(adapter_name)))
        w = wide(self.spectral_weights[adapter_name]) if adapter_name in self.spectral_weights else None
        # What another layer holds is in that layer's dtype.
        trained = {name: tensor.to(basis.s.dtype) for name, tensor in self.trained(adapter_name).items()}
        with without_autocast(basis.s.device):
            return self.mode_of(adapter_name).factors(basis, w, trained)

    def apply_delta(self, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
        L, R = self.factors(adapter_name)
        z = F.linear(self._cast_input_dtype(x, R.dtype), R)  # (B, q)
        return F.linear(z, L)  # (B, O)

    def delta_weight(self, adapter_name: str) -> torch.Tensor:
        L, R = self.factors(adapter_name)
        with without_autocast(L.device):
            return L @ R

    def turn(self, adapter_name: str, tensors: Tensors, signs: torch.Tensor) -> Tensors:
        return {name: TENSORS[name].turn(tensors[name], signs.to(tensors[name])) for name in self.held(adapter_name)}


def joined(pairs: list[tuple[Basis, int]]) -> Basis:
    """One basis of single columns of others."""
    return Basis(
        torch.cat([basis.U[:, [i]] for basis, i in pairs], dim=1),
        torch.cat([basis.s[[i]] for basis, i in pairs]),
        torch.cat([basis.Vh[[i]] for basis, i in pairs]),
    )
