"""Adapters merged into the weights: for a while, and taken out again without a trace; or for good."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn

from harness.settings import refusals

Weights = list[tuple[nn.Module, str, nn.Parameter, torch.Tensor]]  # owner, name there, parameter, what was in it


@contextmanager
def merged(model: nn.Module, *, asked_for: bool = True) -> Iterator[bool]:
    """Inside, active adapters are part of the weights. Afterwards every weight is bit for bit what it was.

    Meanwhile the weights of adapted layers are in memory twice. If merging is impossible, the model stays as it is, and
    where it was asked for, a warning says why. Gives whether it was possible.
    """
    layers = _layers(model)
    weights = _weights(layers)
    hindered = obstacle(model) or _merge(model.base_model, layers, weights)
    if hindered:
        if asked_for:
            warnings.warn(f"evaluate.merged=true: {hindered.rstrip('.')}; nothing is merged", stacklevel=3)
        yield False
        return
    try:
        yield True
    finally:
        _restore(layers, weights)


def merged_for_good(model: PeftModel) -> nn.Module:
    """The base with the active adapter in its weights, and with the head that was trained. Raises what PEFT raises.

    The head takes the place of its wrapper first: most tuners of PEFT 0.21.2 would give it the weight of the module
    that it replaces, and stop at a pooler, which has none.
    """
    base = model.base_model.model
    for name, module in list(base.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, child = name.rpartition(".")
            setattr(base.get_submodule(parent), child, module.modules_to_save[module.active_adapters[0]])
    return model.merge_and_unload()


def copied_bytes(model: nn.Module) -> int:
    """What `merged` keeps in memory twice."""
    return sum(data.nbytes for _, _, _, data in _weights(_layers(model)))


def _layers(model: nn.Module) -> list[BaseTunerLayer]:
    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _weights(layers: Sequence[BaseTunerLayer]) -> Weights:
    return [
        (owner, name, parameter, parameter.data)
        for layer in layers
        for owner in layer.get_base_layer().modules()
        for name, parameter in owner.named_parameters(recurse=False)
    ]


def obstacle(model: nn.Module) -> str | None:
    """Why adapters cannot be merged; None where nothing is known that hinders it. A tuner may refuse yet."""
    layers = _layers(model)
    if not isinstance(getattr(model, "base_model", None), BaseTuner):
        return "the model has no adapter that could be merged"
    if any(layer.merged for layer in layers):
        return "an adapter is merged already"
    if not all(parameter.is_floating_point() for _, _, parameter, _ in _weights(layers)):
        return "quantised weights would be rounded anew"
    return None


def _merge(tuner: BaseTuner, layers: Sequence[BaseTunerLayer], weights: Weights) -> str | None:
    """Into copies of the weights. Returns what PEFT says where it refuses; a bug is raised."""
    with torch.inference_mode(False), torch.no_grad():  # a layer may keep a tensor of this, and train with it later
        for _, _, parameter, data in weights:
            parameter.data = data.clone()
        try:
            tuner.merge_adapter()
        except refusals.REFUSALS as error:
            _restore(layers, weights)
            if not refusals.was_raised(error):
                raise
            return str(error) or f"{type(tuner).__name__} cannot merge"
    return None


def _restore(layers: Sequence[BaseTunerLayer], weights: Weights) -> None:
    with torch.inference_mode(False), torch.no_grad():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that weights cannot be restored: here they are
            for layer in layers:
                if layer.merged:
                    layer.unmerge()
                    layer.merged_adapters.clear()  # OSF's unmerge does nothing, and its adapter would never act again
        for owner, name, parameter, data in weights:
            setattr(owner, name, parameter)  # a layer may have put another in its place
            parameter.data = data
