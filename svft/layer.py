"""h = W0 x + U M V^T x = U (Sigma + M) V^T x (Lingam et al. 2024, Eq. 1; arXiv:2405.19597).

Shapes: B batch (any leading dims), O out_features, I in_features, K = min(O, I[, rank]) directions, N = |Ω|.
With a gate, M is sigmoid(gate) M.
"""

from __future__ import annotations

import math

import torch
from peft.tuners._buffer_dict import BufferDict
from torch import nn

from . import patterns
from .config import SvftConfig
from .coupled_layer import CoupledLayer
from .decomposition.streams import generator, stream_of


class SvftLinear(CoupledLayer):
    adapter_layer_names = ("svft_m", "svft_gate")
    other_param_names = (
        *CoupledLayer.other_param_names,
        "svft_index",  # Ω of banded and random, which the config gives again
        "svft_topk",  # Ω of topk, stored: near ties could be decided differently next time
        "svft_omega",  # of random: the stream and the checksum of Ω
    )
    configs: dict[str, SvftConfig]

    def make_stores(self) -> None:
        self.svft_m = nn.ParameterDict()
        self.svft_gate = nn.ParameterDict()
        self.svft_index = BufferDict(persistent=False)
        self.svft_topk = BufferDict(persistent=True)
        self.svft_omega = BufferDict(persistent=True)
        self._forms = {}

    def update_layer(self, adapter_name: str, config: SvftConfig) -> None:
        """The basis is there already, so another adapter may be merged meanwhile."""
        self.configs[adapter_name] = config
        self._forms.clear()
        if self.spare in ("U", "Vh") and self.truncates(adapter_name):  # which needs both
            self.fill()
            self.spare = None
        K = self.directions(adapter_name)
        N = patterns.num_coefficients(K, min(config.d or 0, K - 1))
        stream = stream_of(config.seed, self.name)

        m = torch.zeros(N, dtype=self.basis_s.dtype, device=self.basis_s.device)
        if not m.is_meta and (config.init == "kaiming" or not config.init_weights):
            normal = generator(stream, "coefficients").standard_normal(N)
            m.copy_(torch.from_numpy(normal) * math.sqrt(2 / N))  # kaiming_normal_ of a 1 x N matrix
        self.svft_m[adapter_name] = nn.Parameter(m)
        if config.gate:
            self.svft_gate[adapter_name] = nn.Parameter(m.new_zeros(1))

        self._add_pattern(adapter_name, K, N, stream)
        self.remember_basis(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def pattern_of(self, config: SvftConfig) -> str:
        """The score of top-k is undefined where u_i and v_j differ in length: there a band has as many coefficients.

        The paper restricts top-k to equal lengths. Cutting the longer vector would pair unrelated coordinates; a band
        keeps the budget, and the diagonal with it.
        """
        undefined = config.topk_score == "alignment" and self.in_features != self.out_features
        return "banded" if config.pattern == "topk" and undefined else config.pattern

    def _add_pattern(self, adapter_name: str, K: int, N: int, stream: int) -> None:
        config, device = self.configs[adapter_name], self.basis_s.device
        pattern = self.pattern_of(config)
        if pattern == "plain":
            return
        if self.basis_s.is_meta:
            index = torch.empty(N, dtype=patterns.index_dtype(K), device=device)
        elif pattern == "banded":
            index = patterns.banded(K, min(config.d, K - 1))
        elif pattern == "random":
            index = patterns.random(K, N, stream, config.replacement)
        else:
            score = patterns.alignment if config.topk_score == "alignment" else patterns.released_score
            U, _, Vh = self.basis(adapter_name)
            index = patterns.topk(score(U[:, :K], Vh[:K]), N)
        if pattern == "random":
            check = 0 if index.is_meta else patterns.checksum(index)
            self.svft_omega[adapter_name] = torch.tensor([stream, check], device=device)
        (self.svft_topk if pattern == "topk" else self.svft_index)[adapter_name] = index.to(device)

    def directions(self, adapter_name: str) -> int:
        """K."""
        available = len(self.basis_s)
        return min(available, self.configs[adapter_name].rank or available)

    def index(self, adapter_name: str) -> torch.Tensor | None:
        """Ω as flat positions (N,); None is the diagonal."""
        for store in (self.svft_topk, self.svft_index):
            if adapter_name in store:
                return store[adapter_name]
        return None

    def band(self, adapter_name: str) -> int | None:
        """The off-diagonals on each side where Ω is a band; None elsewhere."""
        config = self.configs[adapter_name]
        return min(config.d, self.directions(adapter_name) - 1) if self.pattern_of(config) == "banded" else None

    def coefficients(self, adapter_name: str) -> torch.Tensor:
        """m, times its gate, in the dtype of the singular values; (N,)."""
        m = self.svft_m[adapter_name].to(self.basis_s.dtype)
        if adapter_name not in self.svft_gate:
            return m
        return m * torch.sigmoid(self.svft_gate[adapter_name].to(m.dtype))

    def has_signs(self, adapter_name: str) -> bool:
        return self.index(adapter_name) is not None

    def turn(self, adapter_name: str, tensors: dict[str, torch.Tensor], signs: torch.Tensor) -> dict[str, torch.Tensor]:
        """e_i e_j m_ij; on the diagonal that is m_ii, which needs no signs."""
        m, index = tensors["svft_m"], tensors.get("svft_topk", self.index(adapter_name))
        if index is None:
            return {}
        index, signs = index.to(m.device, torch.int64), signs.to(m.device, m.dtype)
        return {"svft_m": m * signs[index // len(signs)] * signs[index % len(signs)]}

    def check_saved(self, adapter_name: str, tensors: dict[str, torch.Tensor]) -> None:
        """Ω of random follows from the stored stream, also where the layer had another name."""
        if "svft_omega" not in tensors:
            return
        stream, check = tensors["svft_omega"].tolist()
        config, index = self.configs[adapter_name], self.svft_index[adapter_name]
        if stream != self.svft_omega[adapter_name][0].item():
            K = self.directions(adapter_name)
            index = patterns.random(K, len(index), stream, config.replacement).to(index.device)
        if patterns.checksum(index) != check:
            raise ValueError(
                f"layer '{self.name}': the random pattern drawn here is not the one that the adapter was trained on"
            )
        self.svft_index[adapter_name] = index
