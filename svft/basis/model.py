"""A whole model with adapters in the singular bases of its weights: PEFT's BaseTuner with one SVD per adapted layer.

And how PEFT comes to know such a tuner from outside its package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from peft.config import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_target_module_exists
from peft.utils import register_peft_method, resolve_quantization_backend
from peft.utils.peft_types import PeftType
from torch import nn
from tqdm import tqdm
from transformers.pytorch_utils import Conv1D

from ..decomposition.svd import Basis
from .base_weights import refuse_absent, refuse_merging_into_computed, refuse_merging_into_shared
from .layer import BasisLayer
from .mixed_batch import handed_to_layers
from .restore import BASIS_KEY, WITHIN_PEFT_MODEL, bare, require_layers, restore
from .sharing import share


class BasisModel(BaseTuner):
    tuner_layer_cls: type[BasisLayer]
    target_module_mapping: ClassVar[dict[str, list[str]]] = {}  # the papers adapt other layers in each family

    svd_seconds: float = 0.0  # spent on singular value decompositions, or on reading them from the cache

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """DistributedDataParallel sends buffers in every forward; those of the basis are equal in every process."""
        return [f"base_model.{name}" for name, _ in self.named_buffers() if ".basis_" in name]

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        config = self.peft_config[adapter_name]
        if config.target_modules is None:
            raise ValueError("target_modules is None; give names of linear layers, a regex, or 'all-linear'")
        self._has_values = any(not parameter.is_meta for parameter in model.parameters())
        total = sum(bool(check_target_module_exists(config, name)) for name, _ in model.named_modules())
        # Shown on a terminal only, and only where decomposing takes its time.
        with tqdm(desc="SVD", unit="layer", total=total or None, delay=2, disable=None, leave=False) as bar:
            self._decomposed = bar.update
            try:
                super().inject_adapter(model, adapter_name, *args, **kwargs)
            finally:
                del self._decomposed  # a bar is neither copied nor pickled with the model
        if config.share:
            share(_adapted(model, adapter_name).values(), adapter_name)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """PEFT's hook around each call of the model."""
        names = kwargs.get("adapter_names")
        with nullcontext() if names is None else handed_to_layers(self, names, kwargs):
            yield

    def _cast_adapter_dtype(self, adapter_name: str, autocast_adapter_dtype: bool = True) -> None:
        """To fp32, or with autocast_adapter_dtype=False to the dtype of the base.

        PEFT puts new parameters in the place of those it casts, which would be trained where the old ones were not.
        """
        trained = {name: parameter.requires_grad for name, parameter in self.named_parameters()}
        super()._cast_adapter_dtype(adapter_name, autocast_adapter_dtype)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(trained[name])
        if not autocast_adapter_dtype:
            for layer in self.model.modules():
                if isinstance(layer, BasisLayer):
                    layer.cast_to_base(adapter_name)

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, self.tuner_layer_cls):
            before = target.svd_seconds
            target.update_layer(adapter_name, peft_config)
            self.svd_seconds += target.svd_seconds - before
        else:
            layer = self._create_new_module(peft_config, adapter_name, target, current_key)
            if adapter_name not in self.active_adapters:
                layer.requires_grad_(False)
            self._replace_module(parent, target_name, layer, target)

    def _create_new_module(self, config: PeftConfig, adapter_name: str, target: nn.Module, name: str) -> BasisLayer:
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if not isinstance(base, (nn.Linear, Conv1D)) and resolve_quantization_backend(base) is None:
            raise ValueError(
                f"layer '{name}' is a {type(base).__name__}; {type(config).__name__.removesuffix('Config')} adapts "
                "torch.nn.Linear and transformers' Conv1D"
            )
        if resolve_quantization_backend(base) is None:
            refuse_absent(base, name, self._has_values)
        layer = self.tuner_layer_cls(target, adapter_name, config, name)
        self.svd_seconds += layer.svd_seconds
        self._decomposed()
        return layer

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        """When unloading, the base layer holds its weight already, and a composite head has none to hand over."""
        if isinstance(new_module, BaseTunerLayer):
            super()._replace_module(parent, child_name, new_module, child)
        else:
            setattr(parent, child_name, new_module)

    def _check_merge_allowed(self) -> None:
        """Of all layers, before the first one is merged."""
        layers = [layer for layer in self.model.modules() if isinstance(layer, BasisLayer)]
        for layer in layers:
            refuse_merging_into_computed(layer.get_base_layer(), layer.name)
        refuse_merging_into_shared(self.model, layers, "weight")
        refuse_merging_into_shared(self.model, (layer for layer in layers if layer.trains_bias), "bias")
        super()._check_merge_allowed()

    @classmethod
    def _get_adapter_state_dict(
        cls,
        model: nn.Module,
        config: PeftConfig,
        adapter_name: str,
        state_dict: dict[str, torch.Tensor],
        unwanted_adapter_names: list[str],
    ) -> dict[str, torch.Tensor]:
        """Raises ValueError where PEFT has taken a layer of this adapter for another adapter's."""
        adapted = _adapted(model, adapter_name)
        refuse_names_of_layers(adapted, adapter_name, unwanted_adapter_names)
        state = super()._get_adapter_state_dict(model, config, adapter_name, state_dict, unwanted_adapter_names)
        for name, layer in adapted.items() if config.save_basis else ():
            U, s, Vh = layer.trained_basis(adapter_name)
            if layer.shares_basis:
                U, Vh = U.to(layer.basis_dtype), Vh.to(layer.basis_dtype)
            for field, tensor in zip(Basis._fields, (U, s, Vh), strict=True):
                state[f"{name}.{BASIS_KEY}_{field}.{adapter_name}"] = tensor
        return state

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: PeftConfig, adapter_name: str, state_dict: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Raises ValueError where the file has another model's layers, or not those that `config` names."""
        adapted = _adapted(model, adapter_name)
        if adapted and not any(name.startswith(WITHIN_PEFT_MODEL) for name in adapted):
            state_dict = {key.removeprefix(WITHIN_PEFT_MODEL): tensor for key, tensor in state_dict.items()}
        require_layers(state_dict, adapted)
        saved = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        for name, layer in adapted.items():
            restore(layer, adapter_name, saved, name)
        return saved


def _adapted(model: nn.Module, adapter_name: str) -> dict[str, BasisLayer]:
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, BasisLayer)}
    return {name: layer for name, layer in layers.items() if adapter_name in layer.configs}


def refuse_names_of_layers(adapted: dict[str, BasisLayer], adapter_name: str, others: list[str]) -> None:
    """PEFT leaves out every tensor that has the name of another adapter in its path, such as "0" in layers.0.fc."""
    for other in others:
        lost = [
            name
            for name, layer in adapted.items()
            if any(f".{other}." in f"{name}.{attribute}." for attribute in layer.tensors_of(adapter_name))
        ]
        if lost:
            raise ValueError(
                f"adapter '{adapter_name}' cannot be saved while another one is named '{other}': PEFT would leave out "
                f"layer '{bare(lost[0])}' ({len(lost)} in all), which has that name in its path; give the other "
                "adapter a name of its own"
            )


def register(name: str, config_cls: type[PeftConfig], model_cls: type[BaseTuner]) -> None:
    """PEFT's own `register_peft_method`, after its enum of methods has got the member `name.upper()`.

    Raises ImportError where PEFT has another method of this name.
    """
    member = name.upper()
    if member not in PeftType.__members__:
        _add_peft_type(member)
    if PeftType[member] not in PEFT_TYPE_TO_TUNER_MAPPING:
        register_peft_method(name=name, config_cls=config_cls, model_cls=model_cls, prefix=model_cls.prefix)
    elif (there := PEFT_TYPE_TO_TUNER_MAPPING[PeftType[member]].__module__) != model_cls.__module__:
        raise ImportError(f"PEFT already has a method named {member}, in {there}")


def _add_peft_type(name: str) -> None:
    """An Enum with members cannot be subclassed, and PEFT has no hook for types from outside: by hand, then."""
    member = str.__new__(PeftType, name)
    member._name_ = member._value_ = name
    type.__setattr__(PeftType, name, member)
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
