"""A linear layer whose adapters live in the singular basis of its base weight, W0 = U diag(s) V^T.

Shapes: B batch (any leading dims), O out_features, I in_features, K = min(O, I) directions.
The basis belongs to the layer, and its adapters share it. An adapter may have a basis of its own instead: some of the
columns, or the whole basis from its file, where a decomposition here would give other vectors (`save_basis`).
"""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from hashlib import sha256
from typing import Any, ClassVar

import torch
from peft.config import PeftConfig
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import _get_in_out_features
from peft.utils import resolve_quantization_backend
from torch import nn
from transformers.pytorch_utils import Conv1D

from ..decomposition.cache import cached
from ..decomposition.fingerprint import fingerprint, probe, turned
from ..decomposition.prints import pack
from ..decomposition.svd import Basis, decompose, placeholder
from .base_weights import compute
from .mergeable import Mergeable
from .mixed_batch import row_by_row
from .sharing import Sharing


class BasisLayer(nn.Module, Sharing, Mergeable):
    """On a torch.nn.Linear, a transformers Conv1D, or a quantised linear layer; what is trained, a subclass says.

    A subclass has Linear in its name, by which PEFT finds it when a further adapter targets "all-linear".

    `update_layer` adds an adapter, `apply_delta` and `delta_weight` say what it adds, `turn` follows a change of signs.
    """

    adapter_layer_names: tuple[str, ...] = ()
    other_param_names: tuple[str, ...] = ("configs", "basis_print", "basis_own", "basis_signs", "holders")
    shares_basis: ClassVar[bool] = True
    large_buffers: ClassVar[tuple[str, ...]] = ("basis_U", "basis_Vh")  # as large as weights, so worth sharding

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: PeftConfig, name: str) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.name = name
        self.merged_adapters = []
        self._disable_adapters = False
        self._active_adapter = adapter_name
        base = self.get_base_layer()
        self.in_features, self.out_features = _get_in_out_features(base)
        self.quantization_backend = resolve_quantization_backend(base)
        self.transposed = isinstance(base, Conv1D)  # which stores W0 as I x O

        self.configs: dict[str, PeftConfig] = {}
        self.basis_print = BufferDict(persistent=True)
        self.basis_own = nn.ModuleDict()
        self.basis_signs = BufferDict(persistent=False)
        self.holders: dict[str, BasisLayer] = {}
        self.make_stores()
        self.svd_seconds = 0.0
        compute(base, self.in_features)
        weight = self.unmerged_weight()
        # Of the unmerged weight, for the adapters still to come.
        self.register_buffer("basis_weight_print", fingerprint(weight), persistent=False)
        if self.shares_basis:
            basis = self.decompose(weight)
            for field, tensor in basis._asdict().items():
                self.register_buffer(f"basis_{field}", tensor, persistent=False)
            self.register_buffer("basis_here", probe(basis.U, basis.Vh), persistent=False)
        self.update_layer(adapter_name, config)

    @abstractmethod
    def make_stores(self) -> None:
        """The method's own parameters and buffers, by adapter."""

    @abstractmethod
    def update_layer(self, adapter_name: str, config: PeftConfig) -> None:
        """Add an adapter, at its start. Ends with `remember_basis`."""

    @abstractmethod
    def apply_delta(self, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
        """What the adapter adds to the layer's output (B, O) for input x (B, I)."""

    @abstractmethod
    def delta_weight(self, adapter_name: str) -> torch.Tensor:
        """The same as an O x I matrix, fp32 (fp64 on an fp64 base)."""

    @abstractmethod
    def turn(self, adapter_name: str, tensors: dict[str, torch.Tensor], signs: torch.Tensor) -> dict[str, torch.Tensor]:
        """What changes of saved tensors (by attribute) trained with the pairs e_i (u_i, v_i), for the pairs here."""

    def check_saved(self, adapter_name: str, tensors: dict[str, torch.Tensor]) -> None:
        """Raise ValueError where saved tensors (by attribute) belong to another configuration than the one here."""

    def unmerged_weight(self) -> torch.Tensor:
        """W0 as O x I. Raises ValueError while an adapter is merged into it."""
        if self.merged_adapters:
            raise ValueError(f"layer '{self.name}': unmerge {', '.join(self.merged_adapters)} before adding an adapter")
        return self.base_matrix()

    def decompose(self, weight: torch.Tensor) -> Basis:
        """Timed, from the cache if it is there; of a weight on the meta device: shapes only."""
        started = time.perf_counter()
        try:
            return placeholder(weight) if weight.is_meta else cached(weight, decompose)
        except ValueError as error:
            raise ValueError(f"layer '{self.name}': {error}") from error
        finally:
            self.svd_seconds += time.perf_counter() - started

    def directions(self, adapter_name: str) -> int:
        """How many leading pairs of its basis the adapter uses."""
        return len(self.basis(adapter_name).s)

    def basis(self, adapter_name: str) -> Basis:
        if adapter_name in self.basis_own:
            own = self.basis_own[adapter_name]
            return Basis(own.U, own.s, own.Vh)
        return self.shared_basis()

    def shared_basis(self) -> Basis:
        return Basis(self.basis_U, self.basis_s, self.basis_Vh)

    @property
    def is_frozen(self) -> bool:
        """Whether weight and bias of the base layer are not trained, and nobody watches its calls."""
        base = self.get_base_layer()
        watched = base._forward_hooks or base._forward_pre_hooks or base._backward_hooks or "forward" in vars(base)
        return not watched and not any(p.requires_grad for p in base._parameters.values() if p is not None)

    @property
    def basis_dtype(self) -> torch.dtype:
        return self.basis_U.dtype

    def base_matrix(self) -> torch.Tensor:
        """W0 as O x I."""
        return self.get_base_weight().T if self.transposed else self.get_base_weight()

    def give_own_basis(self, adapter_name: str, basis: Basis) -> None:
        module = nn.Module()
        for field, tensor in basis._asdict().items():
            module.register_buffer(field, tensor, persistent=False)
        self.basis_own[adapter_name] = module

    def forget_own_basis(self, adapter_name: str) -> None:
        """Back to the basis that the base weight gives here, whatever was loaded under this name before."""
        if adapter_name in self.basis_signs:
            del self.basis_signs[adapter_name]
        if self.shares_basis and adapter_name in self.basis_own:
            del self.basis_own[adapter_name]

    def probe_of(self, adapter_name: str) -> torch.Tensor:
        """Of the pairs that the adapter uses. Those of a shared basis were probed when it was decomposed: by now the
        layer may keep only a part of it."""
        K = self.directions(adapter_name)
        if self.shares_basis and adapter_name not in self.basis_own:
            return self.basis_here[:K].clone()
        basis = self.basis(adapter_name)
        return probe(basis.U[:, :K], basis.Vh[:K])

    def remember_basis(self, adapter_name: str) -> None:
        """What a reload needs to find the same pairs of vectors, or to refuse another base weight."""
        self.basis_print[adapter_name] = self.print_of(adapter_name)

    def print_of(self, adapter_name: str) -> torch.Tensor:
        settings, pairs = self.settings_of(adapter_name), self.probe_of(adapter_name)
        if adapter_name in self.basis_signs:
            pairs = turned(pairs, self.basis_signs[adapter_name])
        return pack(self.basis_weight_print, pairs, settings, self.has_signs(adapter_name))

    def words_of(self, adapter_name: str) -> tuple[str, str]:
        """For a sentence: what the vectors of its basis are, and where W0 does not fix them."""
        return "singular vectors", "equal singular values"

    def has_signs(self, adapter_name: str) -> bool:
        """Whether the adapter's function depends on the signs of the pairs (u_i, v_i), so that `turn` has to follow."""
        return True

    def settings_of(self, adapter_name: str) -> bytes:
        """Four bytes that tell its configuration from those with which the same tensors would mean something else."""
        return sha256(json.dumps(self.configs[adapter_name].settings()).encode()).digest()[:4]

    @property
    def tensor_names(self) -> tuple[str, ...]:
        return (*self.adapter_layer_names, *self.other_param_names)

    def tensors_of(self, adapter_name: str) -> dict[str, torch.Tensor]:
        """Those that are saved with the adapter, by attribute."""
        stores = {name: getattr(self, name) for name in self.tensor_names}
        return {
            name: store[adapter_name]
            for name, store in stores.items()
            if isinstance(store, nn.ParameterDict) or (isinstance(store, BufferDict) and store.persistent)
            if adapter_name in store
        }

    def get_delta_weight(self, adapter_name: str) -> torch.Tensor:
        """Laid out as the base weight."""
        delta = self.delta_weight(adapter_name)  # (O, I)
        return delta.T if self.transposed else delta

    def forward(
        self, x: torch.Tensor, *args: Any, adapter_names: list[str] | None = None, **kwargs: Any
    ) -> torch.Tensor:
        """adapter_names: the adapter of each row of x (B, ..., I), in place of the active ones."""
        if adapter_names is not None and self.merged:
            raise ValueError(
                "Cannot pass `adapter_names` when there are merged adapters, please call `unmerge_adapter` first."
            )
        if self.disable_adapters and self.merged:
            self.unmerge()
        if adapter_names is None or self.disable_adapters:
            active = [] if self.disable_adapters or self.merged else self.active_adapters
            return self.forward_with(self.of_this_layer(active), x, *args, **kwargs)

        def of_rows(adapters: list[str], rows: torch.Tensor) -> torch.Tensor:
            return self.forward_with(self.of_this_layer(adapters), rows, *args, **kwargs)

        return row_by_row(of_rows, adapter_names, x)

    def of_this_layer(self, adapters: list[str]) -> list[str]:
        return [adapter for adapter in adapters if adapter in self.configs]

    def forward_with(self, active: list[str], x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """With these adapters, while none is merged."""
        result = self.base_layer(x, *args, **kwargs)  # (B, O)
        dtype = result.dtype  # that of x, or autocast's
        for adapter in active:
            result = result + self.apply_delta(adapter, x)
        return result.to(dtype)

    def cast_to_base(self, adapter_name: str) -> None:
        """What the adapter trains, to the dtype of the base weight; beside weights of 8 bits and less nothing is cast.

        It is computed with in the dtype of the singular values all the same.
        """
        weight = self.get_base_layer().weight
        for store in (getattr(self, name) for name in self.adapter_layer_names):
            if adapter_name in store and weight.is_floating_point() and weight.dtype.itemsize >= 2:
                store[adapter_name].data = store[adapter_name].data.to(weight.dtype)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """To the device only: coefficients are fp32 beside a bf16 base, unless `cast_to_base`."""
        device = device or self.basis_weight_print.device
        for name in (*self.adapter_layer_names, *self.other_param_names):
            store = getattr(self, name)
            if isinstance(store, (nn.ParameterDict, BufferDict)) and adapter_name in store:
                tensor = store[adapter_name]
                tensor.data = tensor.data if tensor.is_meta else tensor.data.to(device)

    def __repr__(self) -> str:
        return f"{type(self).__module__.split('.')[0]}." + super().__repr__()
