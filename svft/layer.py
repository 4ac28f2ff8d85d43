"""h = W0 x + U M V^T x = U (Sigma + M) V^T x (Lingam et al. 2024, Eq. 1; arXiv:2405.19597).

Shapes: B batch (any leading dims), O out_features, I in_features, K = min(O, I[, rank]) directions, N = |Ω|.
With a gate, M is sigmoid(gate) M.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners._buffer_dict import BufferDict
from torch import nn
from transformers.pytorch_utils import Conv1D

from . import arithmetic, patterns
from .arithmetic import cost
from .arithmetic.sparse import Orders
from .basis import BasisLayer
from .config import SvftConfig
from .decomposition import Basis
from .decomposition.streams import generator, stream_of
from .storage import Storage, WithBoth, round_factors, storage_for
from .update import delta

BANDS = ("banded", "block")  # patterns whose Ω is a band


class SvftLinear(BasisLayer):
    """`storage` says which of W0, U and V^T the layer keeps, and computes with them; the first adapter decides."""

    adapter_layer_names = ("svft_m", "svft_gate")
    other_param_names = (
        *BasisLayer.other_param_names,
        "svft_index",  # Ω of banded, random and block, which the config gives again
        "svft_topk",  # Ω of topk, stored: near ties could be decided differently next time
        "svft_selected",  # Ω of gradient, stored: it follows from data
        "svft_omega",  # of random: the stream and the checksum of Ω
    )
    of_the_group = ("svft_index", "svft_topk", "svft_selected", "svft_omega")
    configs: dict[str, SvftConfig]
    storage: Storage = WithBoth()  # while the first adapter is added
    factor_dtype: torch.dtype | None = None  # of U and V^T, where that is narrower than the products'
    stored: tuple[torch.dtype, torch.dtype | None] | None = None  # of products, and what U and V^T were to have
    _forms: dict[tuple[str, int, torch.dtype, bool], str]  # chosen so far; emptied where an adapter comes

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: SvftConfig, name: str) -> None:
        super().__init__(base_layer, adapter_name, config, name)
        wanted = config.narrower(self.basis_dtype)
        self.stored = self.basis_dtype, wanted
        self.storage, self.factor_dtype = storage_for(self, config, wanted)
        self.free()

    def make_stores(self) -> None:
        self.svft_m = nn.ParameterDict()
        self.svft_gate = nn.ParameterDict()
        self.svft_index = BufferDict(persistent=False)
        self.svft_topk = BufferDict(persistent=True)
        self.svft_selected = BufferDict(persistent=True)
        self.svft_omega = BufferDict(persistent=True)
        self._forms, self.orders = {}, Orders()

    def update_layer(self, adapter_name: str, config: SvftConfig) -> None:
        """The basis is there already, so another adapter may be merged meanwhile."""
        self.require_storage(adapter_name, config)
        self.configs[adapter_name] = config
        self._forms.clear()
        if self.truncates(adapter_name) and not self.storage.can_truncate:
            self.fill()
            self.storage = WithBoth()
        K = self.directions(adapter_name)
        N = patterns.num_coefficients(K, config.half_width(K))
        stream = stream_of(config.seed, self.trained_name(config.share))

        m = torch.zeros(N, dtype=self.basis_s.dtype, device=self.basis_s.device)
        deviation = config.deviation(N)
        if not m.is_meta and deviation:
            m.copy_(torch.from_numpy(generator(stream, "coefficients").standard_normal(N)) * deviation)
        self.svft_m[adapter_name] = nn.Parameter(m)
        if config.gate:
            self.svft_gate[adapter_name] = nn.Parameter(m.new_zeros(1))

        self._add_pattern(adapter_name, K, N, stream)
        self.remember_basis(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def require_storage(self, adapter_name: str, config: SvftConfig) -> None:
        """Raise ValueError where an adapter after the first one wants singular vectors of another dtype."""
        if self.stored is not None and config.narrower(self.stored[0]) != self.stored[1]:
            raise ValueError(
                f"layer '{self.name}': adapter '{adapter_name}' has factor_dtype={config.factor_dtype!r}, which is not "
                "how the layer's first adapter has the singular vectors stored that all share"
            )

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
        if self.basis_s.is_meta or (pattern == "topk" and config.share):  # see `lead`
            index = torch.empty(N, dtype=patterns.index_dtype(K), device=device)
        elif pattern in (*BANDS, "gradient"):  # a band until gradients select
            index = patterns.banded(K, config.half_width(K))
        elif pattern == "random":
            index = patterns.random(K, N, stream, config.replacement)
        else:
            index = patterns.topk(self._score(adapter_name), N)
        if pattern == "random":
            check = 0 if index.is_meta else patterns.checksum(index)
            self.svft_omega[adapter_name] = torch.tensor([stream, check], device=device)
        stores = {"topk": self.svft_topk, "gradient": self.svft_selected}
        stores.get(pattern, self.svft_index)[adapter_name] = index.to(device)

    def _score(self, adapter_name: str) -> torch.Tensor:
        """Of each entry of M, for top-k; (K, K)."""
        score = patterns.alignment if self.configs[adapter_name].topk_score == "alignment" else patterns.released_score
        (U, _, Vh), K = self.basis(adapter_name), self.directions(adapter_name)
        return score(U[:, :K], Vh[:K])

    def lead(self, adapter_name: str, group: Sequence[SvftLinear]) -> None:
        """Top-k of layers that share M is that of the sum of their scores."""
        if adapter_name in self.svft_topk and not self.basis_s.is_meta:
            index = self.svft_topk[adapter_name]
            total = sum(layer._score(adapter_name).to(index.device) for layer in group)
            self.svft_topk[adapter_name] = patterns.topk(total, len(index))

    def directions(self, adapter_name: str) -> int:
        """K, and b of a block."""
        return self.configs[adapter_name].directions(len(self.basis_s))

    def index(self, adapter_name: str) -> torch.Tensor | None:
        """Ω as flat positions (N,); None is the diagonal."""
        return next(iter(self.from_group(adapter_name, ("svft_topk", "svft_selected", "svft_index")).values()), None)

    def band(self, adapter_name: str) -> int | None:
        """The off-diagonals on each side where Ω is a band; None elsewhere."""
        config = self.configs[adapter_name]
        return config.half_width(self.directions(adapter_name)) if self.pattern_of(config) in BANDS else None

    def coefficients(self, adapter_name: str) -> torch.Tensor:
        """M on Ω, in the dtype of the singular values; (N,)."""
        trained = self.trained(adapter_name)
        m = trained["svft_m"].to(self.basis_s.dtype)
        if self.configs[adapter_name].scaled:
            m = m * self._scales(adapter_name)
        if "svft_gate" not in trained:
            return m
        return m * torch.sigmoid(trained["svft_gate"].to(m.dtype))

    def _scales(self, adapter_name: str) -> torch.Tensor:
        """s_j of each position (i, j) of Ω, (N,)."""
        own, C = self.basis_own, self.directions(adapter_name)
        s, index = (own[adapter_name].s if adapter_name in own else self.basis_s)[:C], self.index(adapter_name)
        return s if index is None else s[index % C]

    def truncates(self, adapter_name: str) -> bool:
        """Whether the adapter drops directions of W0."""
        config = self.configs[adapter_name]
        return config.truncate_base and config.rank is not None and config.rank < len(self.basis_s)

    @property
    def plain(self) -> bool:
        """Whether the base layer is its weight and bias, and nothing else happens in it."""
        base = self.base_layer
        if type(base) not in (nn.Linear, Conv1D) or hasattr(base, "_hf_hook"):
            return False
        return self.quantization_backend is None and "weight" in base._parameters

    def forward_with(self, active: list[str], x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self.storage.forward(self, active, x, *args, **kwargs)

    def form(self, tokens: int, adapter_name: str | None = None, dtype: torch.dtype | None = None) -> str:
        """For so many tokens, in training where gradients are on: the cheapest by count, unless configured."""
        adapter_name, dtype = adapter_name or self.active_adapters[0], dtype or self.basis_dtype
        if (configured := self.configs[adapter_name].form) != "auto":
            return configured
        if torch.compiler.is_compiling():
            return self._cheapest(tokens, adapter_name, dtype)
        key = adapter_name, tokens, dtype, torch.is_grad_enabled()
        if key not in self._forms:
            self._forms[key] = self._cheapest(tokens, adapter_name, dtype)
        return self._forms[key]

    def _cheapest(self, tokens: int, adapter_name: str, dtype: torch.dtype) -> str:
        """In 16 bits a factor with Sigma + M would lose a small M in its rounding, so M is applied to activations."""
        if dtype.itemsize == 2 and self.storage.replaces_weight(self, adapter_name):
            return "activations"
        counts = self.storage.counts(self, adapter_name, tokens, dtype)
        return cost.cheapest(counts, torch.is_grad_enabled(), self.basis_s.device.type, dtype.itemsize)

    def gemms(self, tokens: int) -> list[cost.Product]:
        """The dense products of a forward and backward pass of the active adapter."""
        return (count := self.count(tokens)).forward + count.backward

    def count(self, tokens: int) -> cost.Count:
        """What the form that is chosen for the active adapter computes."""
        counts = self.storage.counts(self, self.active_adapters[0], tokens, self.basis_dtype)
        return counts[self.form(tokens)]

    def apply_delta(self, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
        return delta(self, adapter_name, x)

    def delta_weight(self, adapter_name: str) -> torch.Tensor:
        (U, s, Vh), C = self.basis(adapter_name), self.directions(adapter_name)
        tail = s[C:] if self.truncates(adapter_name) else None
        if tail is None:
            U, Vh = U[:, :C], Vh[:C]
        return arithmetic.delta_weight(U, Vh, self.coefficients(adapter_name), self.index(adapter_name), tail)

    @property
    def spare(self) -> str | None:
        """Which of "weight", "U" and "Vh" the layer does not keep."""
        return self.storage.spare

    def shared_basis(self) -> Basis:
        return self.storage.basis(self)

    @property
    def basis_dtype(self) -> torch.dtype:
        """In which products with U and V^T are taken; they are stored in `factor_dtype` if there is one."""
        if self.factor_dtype is not None:
            return self.basis_s.dtype
        return (self.basis_Vh if self.basis_U is None else self.basis_U).dtype

    def free(self) -> None:
        self.storage.free(self)
        round_factors(self)

    def fill(self) -> None:
        self.storage.fill(self)

    def _apply(self, *args: Any, **kwargs: Any) -> SvftLinear:
        """`model.to(dtype)` gives U and V^T that dtype, too."""
        super()._apply(*args, **kwargs)
        if not self.merged:
            round_factors(self)
        return self

    def fill_weight(self) -> None:
        if not self.storage.has_weight(self):
            self.fill()

    def put_weight(self, weight: torch.Tensor) -> None:
        """A weight that another module shares stays there.

        PEFT's low_cpu_mem_usage puts what is registered on the meta device, and then buffers beside it.
        """
        self.get_base_layer()._parameters["weight"] = nn.Parameter(weight, requires_grad=False)

    def get_base_weight(self) -> torch.Tensor:
        """Laid out as in the base layer."""
        return self.storage.weight(self)

    @property
    def weight(self) -> torch.Tensor:
        """Transformers' models look at the weight of some layers."""
        return super().weight if self.storage.has_weight(self) else self.get_base_weight()

    @property
    def freed_parameters(self) -> int:
        """Scalars of the base layer that are not stored, though the layer computes with them."""
        return 0 if self.storage.has_weight(self) else self.out_features * self.in_features

    def has_signs(self, adapter_name: str) -> bool:
        return self.index(adapter_name) is not None

    def turn(self, adapter_name: str, tensors: dict[str, torch.Tensor], signs: torch.Tensor) -> dict[str, torch.Tensor]:
        """e_i e_j m_ij; on the diagonal that is m_ii, which needs no signs."""
        m, stored = tensors["svft_m"], [tensors[name] for name in ("svft_topk", "svft_selected") if name in tensors]
        index = stored[0] if stored else self.index(adapter_name)
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
