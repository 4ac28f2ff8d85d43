"""Spectral Adapter in a whole model, and several of them fused into one (Zhang & Pilanci 2024, arXiv:2405.13952)."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from svft.basis import BasisModel
from svft.basis.sharing import share

from .config import SpectralAdapterConfig
from .layer import SpectralAdapterLinear


class SpectralAdapterModel(BasisModel):
    prefix: str = "spectral_"
    tuner_layer_cls = SpectralAdapterLinear

    def add_weighted_adapter(
        self, adapters: list[str], weights: list[float], adapter_name: str, combination_type: str = "cat"
    ) -> None:
        """Add one adapter made of others, as LoraModel.add_weighted_adapter does.

        cat: its update is sum_i weights[i] update_i, exactly, for adapters on disjoint columns. Weights of 1 add the
        updates, as the figure of the paper says; 1 / len(adapters) takes their mean, as the released
        spectral_fusion.py does.
        linear: its trained tensors are sum_i weights[i] tensor_i, also on columns that adapters share, where the update
        has products of two adapters' factors besides. With weights of 1 on disjoint columns it is the same as cat.
        Adapters that share tensors by role fuse into one that does, if all of them do and adapt the same layers; else
        each layer gets its own.
        Modules to save (a head) are no part of it. Raises ValueError for adapters that are not there or of two modes,
        and for cat with a column in common.
        """
        parts = self._parts(adapters, weights, adapter_name, combination_type)
        config = COMBINATIONS[combination_type](parts, weights)
        layers = {
            name: layer
            for name, layer in self.model.named_modules()
            if isinstance(layer, SpectralAdapterLinear) and any(part in layer.configs for part in parts)
        }
        for layer in layers.values():
            layer.unmerged_weight()
            if combination_type == "cat":
                refuse_common_columns(layer, parts)
            layer.columns_of(config)
        shared = all(each.share and part in layer.configs for part, each in parts.items() for layer in layers.values())
        self.peft_config[adapter_name] = config = replace(
            config,
            share="role" if shared else None,
            target_modules=set(layers),
            **dict.fromkeys(("exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern")),
        )
        of_tensors = dict(zip(parts, weights if combination_type == "linear" else [1.0] * len(parts), strict=True))
        for layer in layers.values():
            layer.fuse(adapter_name, config, parts, of_tensors)
        if shared:
            share(layers.values(), adapter_name)

    def _parts(
        self, adapters: list[str], weights: list[float], adapter_name: str, combination_type: str
    ) -> dict[str, SpectralAdapterConfig]:
        if combination_type not in COMBINATIONS:
            raise ValueError(f"combination_type={combination_type!r} is not one of {', '.join(COMBINATIONS)}")
        if adapter_name in self.peft_config:
            raise ValueError(f"there is an adapter '{adapter_name}' already; choose another name for the fused one")
        if not adapters or len(adapters) != len(weights):
            raise ValueError(f"{len(adapters)} adapters were given with {len(weights)} weights")
        if missing := [adapter for adapter in adapters if adapter not in self.peft_config]:
            raise ValueError(f"no adapter is named {', '.join(missing)}; this model has: {', '.join(self.peft_config)}")
        if len(set(adapters)) < len(adapters):
            raise ValueError(f"an adapter is named twice: {', '.join(adapters)}; give it one weight, their sum")
        modes = {self.peft_config[adapter].mode for adapter in adapters}
        if len(modes) > 1:
            raise ValueError(f"adapters of two modes cannot be one adapter: {', '.join(adapters)} are {modes}")
        return {adapter: self.peft_config[adapter] for adapter in adapters}


def concatenated(parts: dict[str, SpectralAdapterConfig], weights: list[float]) -> SpectralAdapterConfig:
    """All columns of all parts, each with its part's weight."""
    pairs = [
        (column, weight * own)
        for config, weight in zip(parts.values(), weights, strict=True)
        for column, own in zip(config.column_list(), config.weights or [1.0] * config.r, strict=True)
    ]
    return on_columns(parts, [column for column, _ in pairs], [weight for _, weight in pairs])


def added(parts: dict[str, SpectralAdapterConfig], weights: list[float]) -> SpectralAdapterConfig:
    """The columns of all parts, each once. The weights are in the tensors."""
    if any(config.weights for config in parts.values()):
        raise ValueError("adapters whose columns have weights, fused by cat, cannot be combined by linear")
    return on_columns(parts, list(dict.fromkeys(c for config in parts.values() for c in config.column_list())), None)


def on_columns(
    parts: dict[str, SpectralAdapterConfig], columns: list[int], weights: list[float] | None
) -> SpectralAdapterConfig:
    configs = list(parts.values())
    return replace(
        configs[0],
        r=None,
        block=None,
        columns=columns,
        weights=weights,
        scale=any(config.scale for config in configs),
        save_basis=any(config.save_basis for config in configs),
        init_weights=True,
    )


COMBINATIONS = {"cat": concatenated, "linear": added}


def refuse_common_columns(layer: SpectralAdapterLinear, parts: dict[str, SpectralAdapterConfig]) -> None:
    for (one, first), (other, second) in combinations(parts.items(), 2):
        if common := sorted(set(layer.columns_of(first)) & set(layer.columns_of(second))):
            raise ValueError(
                f"adapters '{one}' and '{other}' share columns {common} of layer '{layer.name}'; only adapters on "
                "disjoint columns fuse into one"
            )
