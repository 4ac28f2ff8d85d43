"""Attach a method to a base model, and count what it trains."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from omegaconf import DictConfig
from peft import PeftConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from errors import SettingError
from harness.adapters import starting_point
from harness.models import pretrained
from harness.settings import refusals
from harness.store.identity import CONTENT

# Tuners of PEFT (0.21.2) whose numbers would not be what they seem, by their peft_type: why. At their start nothing of
# it can be seen. tests/test_method_contract_fails.py shows both.
REFUSED = {
    "LILY": "its router averages over the rows of a batch and over all positions, so that an answer depends on other "
    "rows, and on later tokens",
    "SHADOW": "the loss of its shadow network is part of the model's in evaluation, and left out without a task type",
}


@dataclass
class Adapted:
    """A model ready to train, and what the record says of it."""

    model: nn.Module
    parameters: dict[str, int]  # adapter, head, frozen
    layers: list[str]  # adapted layers, by module path in the base model
    trained_tensors: dict[str, list[int]]  # first tensor of each kind: what is really trained, whatever was asked for
    warnings: list[str] = field(default_factory=list)
    decomposition_seconds: float = 0.0
    classes: list[str] = field(default_factory=list)  # their names by index, of a task that names them
    start_distance: float | None = None  # from the base model, relative; None: not measured, as the method starts there

    def section(self) -> dict[str, Any]:
        """The record's section `adapter`."""
        return {
            "layers": self.layers,
            "trained_tensors": self.trained_tensors,
            "warnings": self.warnings,
            "decomposition_seconds": self.decomposition_seconds,
            **({"classes": self.classes} if self.classes else {}),
            **({} if self.start_distance is None else {"start_distance": self.start_distance}),
        }


def head_modules(head: str | Sequence[str] | None) -> list[str]:
    """A model yaml's `head` as a list: the modules that are new with the task. Every method trains them."""
    return [head] if isinstance(head, str) else list(head or ())


def fingerprint(adapter: Any, base: str) -> dict[str, str]:
    """What an adapter is made of besides its configuration, as a part of the run key; empty for most methods.

    base: the fingerprint of the model that it is to be attached to. Raises SettingError where it is of another one.
    """
    return {"adapter": adapter.fingerprint(base)} if hasattr(adapter, "fingerprint") else {}


def contents(adapter: Any, model: DictConfig) -> dict[str, str]:
    """For the record, not for the run key: of what the key knows by a name, digests of what is in it."""
    of_adapter = {f"adapter{CONTENT}": adapter.content()} if hasattr(adapter, "content") else {}
    return pretrained.content_fingerprint(model) | of_adapter


def adapt(model: nn.Module, adapter: Any, head: str | Sequence[str] | None) -> Adapted:
    """Attach `adapter`: a PEFT config, or an object with `attach(model, head)`. The head, if any, is trained too.

    Trained parameters are fp32 for every method, whatever the dtype of the base (one precision policy).

    Raises SettingError where the method refuses this model or a setting of its own. Its bugs keep their traceback.
    """
    with refusals.told(refusals.packages_of(type(adapter))):
        return _adapt(model, adapter, head_modules(head))


def _adapt(model: nn.Module, adapter: Any, head: list[str]) -> Adapted:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        if isinstance(adapter, PeftConfig):
            _refuse(adapter)
            adapter.modules_to_save = head or None
            starting_point.check(adapter)
            adapted = get_peft_model(model, adapter)
            starting_point.check_patterns(adapter, getattr(adapted, "targeted_module_names", []))
            _freeze_state(adapted)
            _check_that_each_layer_trains(adapted)
        else:
            adapted = adapter.attach(model, head)
    for parameter in adapted.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, torch.float32))
    inner = adapted.get_base_model() if isinstance(adapted, PeftModel) else adapted
    for name in head:
        inner.get_submodule(name).register_forward_pre_hook(_widened)
    return Adapted(
        model=adapted,
        parameters=count(adapted, head),
        layers=list(getattr(adapted, "targeted_module_names", [])),
        trained_tensors=_trained_tensors(adapted),
        warnings=sorted({_sentence(w) for w in caught if issubclass(w.category, UserWarning)}),
        decomposition_seconds=getattr(getattr(adapted, "base_model", None), "svd_seconds", 0.0),
    )


def _widened(head: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """What reaches a head from a base in 16 bits, in the dtype that the head is trained in."""
    trained = next((parameter.dtype for parameter in head.parameters() if parameter.requires_grad), None)
    narrow = (torch.float16, torch.bfloat16) if trained is torch.float32 else ()
    return tuple(x.to(trained) if isinstance(x, torch.Tensor) and x.dtype in narrow else x for x in inputs)


def _refuse(adapter: PeftConfig) -> None:
    kind = getattr(adapter.peft_type, "value", adapter.peft_type)
    if kind in REFUSED:
        raise SettingError(f"PEFT's {type(adapter).__name__} cannot be compared with other methods: {REFUSED[kind]}")


def _freeze_state(model: nn.Module) -> None:
    """Freeze what PEFT's layers keep in parameters without training it.

    PEFT (0.21) unfreezes AdaLoRA's `ranknum` when it moves it to a base that is not in fp32 on the CPU.
    """
    for layer in model.modules():
        for name in getattr(layer, "other_param_names", ()):
            held = getattr(layer, name, None)
            if isinstance(held, nn.ParameterDict):
                held.requires_grad_(False)


def _check_that_each_layer_trains(model: PeftModel) -> None:
    """Raise SettingError for a layer that the tuner passed over, as OSF does with a Conv1D without a word of it.

    And for an adapted layer without a trained number, as OSF's with effective_rank at its width.
    """
    for name in getattr(model, "targeted_module_names", []):
        if not isinstance(layer := model.get_base_model().get_submodule(name), BaseTunerLayer):
            raise SettingError(f"{name} is a {type(layer).__name__}, which this method does not adapt")
    for name, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer) and not any(map(_has_trained, [layer, *_shared_with(layer)])):
            name = name.removeprefix("base_model.model.")
            raise SettingError(f"with these settings nothing is trained in {name}; a smaller rank may leave some of it")


def _has_trained(layer: nn.Module) -> bool:
    return any(parameter.requires_grad and parameter.numel() for parameter in layer.parameters())


def _shared_with(layer: BaseTunerLayer) -> Sequence[nn.Module]:
    """The layers that hold what it trains, where layers of one role share that."""
    return list(getattr(layer, "holders", {}).values())


def _sentence(warning: warnings.WarningMessage) -> str:
    """The first line, with paths cut to file names: a record names no folder of this machine."""
    return re.sub(r"(?<![\w.])/[\w.~/-]*/", "", str(warning.message).split("\n")[0])


def count(model: nn.Module, head: Sequence[str]) -> dict[str, int]:
    """Numbers in the adapter, in the head, and frozen. Weights that were freed count as frozen, a head counts once."""
    totals = {"adapter": 0, "head": 0, "frozen": 0}
    within = "base_model.model." if isinstance(model, PeftModel) else ""
    prefixes = tuple(f"{within}{module}." for module in head)
    for name, parameter in model.named_parameters():
        in_head = name.startswith(prefixes)
        if parameter.requires_grad:
            totals["head" if in_head else "adapter"] += parameter.numel()
        elif not (in_head and ".original_module." in name):
            totals["frozen"] += parameter.numel()
    totals["frozen"] += sum(getattr(module, "freed_parameters", 0) for module in model.modules())
    return totals


def _trained_tensors(model: nn.Module) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {}
    seen = set()
    for name, parameter in model.named_parameters():
        kind = re.sub(r"\.\d+\.", ".*.", name)
        if parameter.requires_grad and kind not in seen:
            seen.add(kind)
            shapes[name] = list(parameter.shape)
    return shapes
