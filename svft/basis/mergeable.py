"""The base layer of a tuner layer with adapters merged into it, and handed back when the tuner is unloaded."""

from __future__ import annotations

import warnings
from abc import abstractmethod

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import nn

from .base_weights import refuse_merging_into_computed


class Mergeable(BaseTunerLayer):
    """A subclass says what each adapter in `configs` adds to weight and bias."""

    name: str

    @abstractmethod
    def get_delta_weight(self, adapter_name: str) -> torch.Tensor:
        """Laid out as the base weight, in fp32 (fp64 on an fp64 base)."""

    def delta_bias(self, adapter_name: str) -> torch.Tensor | None:
        """The same for the bias (O,); None where the method leaves it alone."""
        return None

    def free(self) -> None:
        """Drop what the layer need not keep while nothing is merged. Nothing, unless a subclass says otherwise."""

    def fill(self) -> None:
        """Keep it again: it is computed from the weight, which is about to change."""

    def fill_weight(self) -> None:
        """Keep the weight of the base layer again, if that is what was dropped."""

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter in self.configs:
                refuse_merging_into_computed(self.get_base_layer(), self.name)
                self.fill()
                try:
                    self._add_to_base(adapter, 1, safe_merge)
                    self.merged_adapters.append(adapter)
                finally:
                    if not self.merged_adapters:  # refused
                        self.free()

    def unmerge(self) -> None:
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
        while self.merged_adapters:
            self._add_to_base(self.merged_adapters.pop(), -1, False)
        self.free()

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool = False, adapter_names: list[str] | None = None
    ) -> nn.Module:
        """The base layer as PEFT hands it back, whole."""
        if merge:
            self.merge(safe_merge=safe_merge, adapter_names=adapter_names)
        self.fill_weight()
        return self.get_base_layer()

    @torch.no_grad()
    def _add_to_base(self, adapter: str, sign: int, check: bool) -> None:
        delta, delta_bias = self.get_delta_weight(adapter), self.delta_bias(adapter)
        weight = _sum(self.get_base_weight(), sign * delta)
        bias = None if delta_bias is None else _sum(self.get_base_layer().bias.data, sign * delta_bias)
        if check and not all(torch.isfinite(merged).all() for merged in (weight, bias) if merged is not None):
            raise ValueError(  # in the words of PEFT's own tuners
                f"layer '{self.name}': NaNs detected in the merged weights. The adapter {adapter} seems to be broken"
            )
        self.set_base_weight(weight)
        if bias is not None:
            self.get_base_layer().bias.data = bias

    @property
    def trains_bias(self) -> bool:
        return any(self.delta_bias(adapter) is not None for adapter in self.configs)

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return self.delta_bias(adapter_name) is None


def _sum(base: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """Taken in the dtype of the delta: added in bf16, small coefficients would be lost in each entry."""
    return (base.to(delta.dtype) + delta).to(base.dtype)
