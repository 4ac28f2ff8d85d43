"""h = W0 x + U M V^T x = U (Sigma + M) V^T x (Lingam et al. 2024, Eq. 1; arXiv:2405.19597).

Shapes: B batch (any leading dims), O out_features, I in_features, K = min(O, I[, rank]) directions, N = |Ω|.
U, s and V^T belong to the layer: all its adapters share them. With a gate, M is sigmoid(gate) M.
"""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer, _get_in_out_features, check_adapters_to_merge
from peft.utils import resolve_quantization_backend
from torch import nn
from transformers.pytorch_utils import Conv1D

from . import patterns
from .arithmetic import apply_delta, delta_weight
from .cache import cached
from .config import SvftConfig
from .decomposition import Basis, decompose, placeholder, wide_dtype
from .fingerprint import fingerprint, probe


class SvftLayer(BaseTunerLayer):
    adapter_layer_names = ("svft_m", "svft_gate")
    other_param_names = (
        "svft_config",
        "svft_index",  # Ω of banded and random, which the config gives again
        "svft_topk",  # Ω of topk, stored: near ties could be decided differently next time
        "svft_omega",  # of random: the stream and the checksum of Ω
        "svft_probe",
        "svft_fingerprint",
        "svft_own_basis",  # only where a stored basis is not the one that the base weight gives here
    )

    def __init__(self, base_layer: nn.Module, name: str) -> None:
        self.base_layer = base_layer
        self.svft_name = name
        self.merged_adapters = []
        self._disable_adapters = False
        base = self.get_base_layer()
        self.in_features, self.out_features = _get_in_out_features(base)
        self.quantization_backend = resolve_quantization_backend(base)
        self.transposed = isinstance(base, Conv1D)  # which stores W0 as I x O

        self.svft_m = nn.ParameterDict()
        self.svft_gate = nn.ParameterDict()
        self.svft_config: dict[str, SvftConfig] = {}
        self.svft_index = BufferDict(persistent=False)
        self.svft_topk = BufferDict(persistent=True)
        self.svft_omega = BufferDict(persistent=True)
        self.svft_probe = BufferDict(persistent=True)
        self.svft_fingerprint = BufferDict(persistent=True)
        self.svft_own_basis = nn.ModuleDict()
        started = time.perf_counter()
        self._attach_basis()
        self.svd_seconds = time.perf_counter() - started

    def _attach_basis(self) -> None:
        weight = self.get_base_weight().T if self.transposed else self.get_base_weight()  # (O, I)
        try:
            basis = placeholder(weight) if weight.is_meta else cached(weight, decompose)
        except ValueError as error:
            raise ValueError(f"layer '{self.svft_name}': {error}") from error
        for name, tensor in basis._asdict().items():
            self.register_buffer(f"svft_{name}", tensor, persistent=False)
        # Of the unmerged weight, for the adapters still to come.
        self.register_buffer("svft_weight_print", fingerprint(weight), persistent=False)

    def update_layer(self, adapter_name: str, config: SvftConfig) -> None:
        """Adds an adapter; the basis is there already, so another one may be merged meanwhile."""
        self.svft_config[adapter_name] = config
        K = self.directions(adapter_name)
        N = patterns.num_coefficients(K, min(config.d or 0, K - 1))
        stream = patterns.stream_of(config.seed, self.svft_name)

        m = torch.zeros(N, dtype=wide_dtype(self.svft_U), device=self.svft_U.device)
        if not m.is_meta and (config.init == "kaiming" or not config.init_weights):
            normal = patterns.generator(stream, "coefficients").standard_normal(N)
            m.copy_(torch.from_numpy(normal) * math.sqrt(2 / N))  # kaiming_normal_ of a 1 x N matrix
        self.svft_m[adapter_name] = nn.Parameter(m)
        if config.gate:
            self.svft_gate[adapter_name] = nn.Parameter(m.new_zeros(1))

        self._add_pattern(adapter_name, K, N, stream)
        self.svft_probe[adapter_name] = probe(self.svft_U[:, :K], self.svft_Vh[:K])
        self.svft_fingerprint[adapter_name] = self.svft_weight_print.clone()
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def pattern_of(self, config: SvftConfig) -> str:
        """The score of top-k is undefined where u_i and v_j differ in length: there a band has as many coefficients.

        The paper restricts top-k to equal lengths. Cutting the longer vector would pair unrelated coordinates; a band
        keeps the budget, and the diagonal with it.
        """
        undefined = config.topk_score == "alignment" and self.in_features != self.out_features
        return "banded" if config.pattern == "topk" and undefined else config.pattern

    def _add_pattern(self, adapter_name: str, K: int, N: int, stream: int) -> None:
        config, U, Vh = self.svft_config[adapter_name], self.svft_U, self.svft_Vh
        pattern, device = self.pattern_of(config), U.device
        if pattern == "plain":
            return
        if U.is_meta:
            index = torch.empty(N, dtype=patterns.index_dtype(K), device=device)
        elif pattern == "banded":
            index = patterns.banded(K, min(config.d, K - 1))
        elif pattern == "random":
            index = patterns.random(K, N, stream, config.replacement)
        else:
            score = patterns.alignment if config.topk_score == "alignment" else patterns.released_score
            index = patterns.topk(score(U[:, :K], Vh[:K]), N)
        if pattern == "random":
            check = 0 if index.is_meta else patterns.checksum(index)
            self.svft_omega[adapter_name] = torch.tensor([stream, check], device=device)
        (self.svft_topk if pattern == "topk" else self.svft_index)[adapter_name] = index.to(device)

    def directions(self, adapter_name: str) -> int:
        """K."""
        available = len(self.svft_s)
        return min(available, self.svft_config[adapter_name].rank or available)

    def index(self, adapter_name: str) -> torch.Tensor | None:
        """Ω as flat positions (N,); None is the diagonal."""
        for store in (self.svft_topk, self.svft_index):
            if adapter_name in store:
                return store[adapter_name]
        return None

    def basis(self, adapter_name: str) -> Basis:
        if adapter_name in self.svft_own_basis:
            own = self.svft_own_basis[adapter_name]
            return Basis(own.U, own.s, own.Vh)
        return Basis(self.svft_U, self.svft_s, self.svft_Vh)

    def _terms(self, adapter_name: str) -> tuple[torch.Tensor, ...]:
        """U, V^T, coefficients, index, and the singular values to drop (None: none), as the arithmetic takes them."""
        U, s, Vh = self.basis(adapter_name)
        config, m = self.svft_config[adapter_name], self.svft_m[adapter_name]
        if adapter_name in self.svft_gate:
            m = m * torch.sigmoid(self.svft_gate[adapter_name])
        K = self.directions(adapter_name)
        if config.truncate_base and len(s) > K:
            return U, Vh, m, self.index(adapter_name), s[K:]
        return U[:, :K], Vh[:K], m, self.index(adapter_name), None

    def get_delta_weight(self, adapter_name: str) -> torch.Tensor:
        """U M V^T in fp32 (fp64 on an fp64 base), laid out as the base weight."""
        delta = delta_weight(*self._terms(adapter_name))  # (O, I)
        return delta.T if self.transposed else delta

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """To the device only: coefficients stay fp32 beside a bf16 base."""
        device = device or self.svft_U.device
        for name in (*self.adapter_layer_names, *self.other_param_names):
            store = getattr(self, name)
            if isinstance(store, (nn.ParameterDict, BufferDict)) and adapter_name in store:
                tensor = store[adapter_name]
                tensor.data = tensor.data if tensor.is_meta else tensor.data.to(device)


class Linear(nn.Module, SvftLayer):
    """SVFT on a torch.nn.Linear, a transformers Conv1D, or a quantised linear layer."""

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: SvftConfig, name: str) -> None:
        super().__init__()
        SvftLayer.__init__(self, base_layer, name)
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)  # (B, O)
        if self.disable_adapters or self.merged:
            return result
        dtype = result.dtype  # that of x, or autocast's
        for adapter in self.active_adapters:
            if adapter in self.svft_m:
                terms = self._terms(adapter)
                result = result + apply_delta(self._cast_input_dtype(x, terms[1].dtype), *terms)
        return result.to(dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter in self.svft_m:
                self._add_to_base(self.get_delta_weight(adapter), adapter if safe_merge else None)
                self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
        while self.merged_adapters:
            self._add_to_base(-self.get_delta_weight(self.merged_adapters.pop()), None)

    @torch.no_grad()
    def _add_to_base(self, delta: torch.Tensor, to_check: str | None) -> None:
        """The sum is taken in the dtype of delta: added in bf16, small coefficients would be lost in each entry."""
        weight = self.get_base_weight()
        merged = (weight.to(delta.dtype) + delta).to(weight.dtype)
        if to_check is not None and not torch.isfinite(merged).all():
            raise ValueError(
                f"layer '{self.svft_name}': merging adapter '{to_check}' gives nan or inf; it seems to be broken"
            )
        self.set_base_weight(merged)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return True

    def __repr__(self) -> str:
        return "svft." + super().__repr__()
