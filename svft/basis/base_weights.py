"""Weights of a base model that cannot be decomposed as they are, or that nothing can be merged into."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.parameter import is_lazy
from transformers.pytorch_utils import Conv1D

WHOLE = "adapt the model before it is partitioned"


def refuse_absent(base: nn.Module, name: str, others_are_there: bool) -> None:
    """Raise ValueError where the weight of layer `name`, not quantised, is elsewhere or not yet.

    A weight on the meta device has a shape, which is enough to count with; not where the others are there.
    """
    weight = base.weight
    hook = getattr(base, "_hf_hook", None)
    if any(getattr(each, "offload", False) for each in (hook, *getattr(hook, "hooks", ()))):
        what = "is offloaded by accelerate"
        remedy = "load the base model on one device (device_map={'': 'cpu'}, or a GPU that holds it whole)"
    elif is_lazy(weight):
        what, remedy = "has no shape before the first batch", "call the model on a batch first"
    elif hasattr(weight, "ds_id") and weight.numel() == 0:
        what = "is partitioned by DeepSpeed (ZeRO-3) and empty here"
        remedy = f"{WHOLE}, or within deepspeed.zero.GatheredParameters(model.parameters())"
    elif isinstance(weight, DTensor):
        what, remedy = "is sharded (a DTensor)", WHOLE
    elif isinstance(base, nn.Linear) and weight.shape != (base.out_features, base.in_features):
        what = f"has the shape {tuple(weight.shape)}, not {(base.out_features, base.in_features)}"
        remedy = f"{WHOLE} (by FSDP or DeepSpeed)"
    elif weight.is_meta and others_are_there:
        what, remedy = "is on the meta device, without values", "load the base model whole, on devices that hold it"
    else:
        return
    raise ValueError(f"layer '{name}': its weight {what}, so that it has no singular vectors here; {remedy}")


def is_computed(base: nn.Module) -> bool:
    """Whether the weight is made of other tensors: by pruning, weight or spectral norm, or a parametrisation."""
    held = base._parameters.get("weight", base._buffers.get("weight"))
    return isinstance(base, (nn.Linear, Conv1D)) and held is None


@torch.no_grad()
def compute(base: nn.Module, in_features: int) -> None:
    """Bring a computed weight up to date, which torch's older hooks do in the next forward pass only."""
    if is_computed(base) and not hasattr(base, "parametrizations"):
        base(base.weight.new_zeros(1, in_features))


def refuse_merging_into_computed(base: nn.Module, name: str) -> None:
    if is_computed(base):
        raise ValueError(
            f"layer '{name}': its weight is computed from other tensors (by pruning, a weight norm or another "
            "parametrisation) and nothing can be merged into it; make it a plain weight first, with "
            "torch.nn.utils.prune.remove, remove_weight_norm or parametrize.remove_parametrizations"
        )


def refuse_merging_into_shared(model: nn.Module, layers: Iterable[BaseTunerLayer], name: str) -> None:
    """Raise ValueError where the parameter `name` of a layer's base belongs to another module of the model as well."""
    paths: dict[int, list[str]] = {}  # of modules, and of the parameter
    for path, module in model.named_modules(remove_duplicate=False):
        parameter = module._parameters.get(name)
        for each in (module, parameter) if parameter is not None else (module,):
            paths.setdefault(id(each), []).append(path)
    for layer in layers:
        own = tuple(f"{path}." for path in paths[id(layer)])
        owners = paths.get(id(layer.get_base_layer()._parameters.get(name)), [])
        if others := [path for path in owners if not path.startswith(own)]:
            raise ValueError(
                f"layer '{own[0][:-1]}' shares its {name} with '{others[0]}', which merging would change too; give it "
                "a copy of its own before it is adapted (tied embeddings: load the base model with "
                "tie_word_embeddings=False), or leave the adapter unmerged"
            )


def refuse_dropping_more_than_a_weight(layer: BaseTunerLayer) -> None:
    """Raise ValueError where `keep_weight=False` would drop what the layer is besides its weight."""
    if layer.plain:
        return
    more = " that is quantised" if layer.quantization_backend else ""
    more += "" if "weight" in layer.get_base_layer()._parameters else " whose weight is no parameter"
    raise ValueError(
        f"layer '{layer.name}': keep_weight=False needs a plain linear layer, not a "
        f"{type(layer.base_layer).__name__}{more}"
    )
