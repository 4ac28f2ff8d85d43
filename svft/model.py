"""SVFT in a whole model: one SVD for each adapted layer (Lingam et al. 2024, arXiv:2405.19597)."""

from __future__ import annotations

import warnings
from typing import Any

from peft.tuners.tuners_utils import check_target_module_exists
from torch import nn

from .basis.model import BasisModel
from .config import SvftConfig
from .layer import SvftLinear


class SvftModel(BasisModel):
    prefix: str = "svft_"
    tuner_layer_cls = SvftLinear

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        config = self.peft_config[adapter_name]
        for name, layer in model.named_modules():  # before any of them is touched
            if isinstance(layer, SvftLinear) and config.target_modules and check_target_module_exists(config, name):
                layer.require_storage(adapter_name, config)
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        self._warn_of_rectangular_topk(self.peft_config[adapter_name])
        self._warn_of_clipped_sizes(self.peft_config[adapter_name])

    def _warn_of_rectangular_topk(self, config: SvftConfig) -> None:
        for layer in self.model.modules():
            if isinstance(layer, SvftLinear) and layer.pattern_of(config) != config.pattern:
                warnings.warn(
                    f"pattern='topk' ranks u_i . v_j, which is undefined in layer '{layer.name}' "
                    f"({layer.out_features} x {layer.in_features}): "
                    "it and the other rectangular layers get a band with as many coefficients",
                    stacklevel=2,
                )
                return

    def _warn_of_clipped_sizes(self, config: SvftConfig) -> None:
        """Of a size beyond every layer, which is not the one that is trained."""
        layers = [layer for layer in self.model.modules() if isinstance(layer, SvftLinear)]
        available = max((min(layer.out_features, layer.in_features) for layer in layers), default=1)
        largest = {"rank": available, "d": min(available, config.rank or available) - 1}
        for name, most in largest.items():
            if (value := getattr(config, name)) is not None and value > most:
                warnings.warn(
                    f"{name}={value} is more than any adapted layer has, and trains what {name}={most} does",
                    stacklevel=2,
                )
