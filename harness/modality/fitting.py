"""Whether texts and images fit the model: the longest of them goes through it once, before anything is trained.

Models do not state in one way what they take: learned positions may begin at 2, an image may have to have one size,
and `max_position_embeddings` is a hard limit in one architecture and none in another. So the model itself is asked.
Where it refuses, shorter texts are tried, and the error names the longest that it takes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from errors import ModelError, SettingError
from harness.generate.batches import can_keep_the_last_logits, device_of
from harness.modality.interface import Inputs, Modality, Probe, Wanted
from harness.ranks import distributed
from harness.settings import refusals

aten = torch.ops.aten
LIBRARIES = ("transformers", "timm")  # whose models say no to a configuration, as T5 without a token to start with
# What a model raises for inputs that are not its size; a shape that fits no weight is a RuntimeError.
REFUSALS = (IndexError, RuntimeError, ValueError, AssertionError)


def look(modality: Modality, model: nn.Module, wanted: Wanted, to_train: bool) -> list[str]:
    """What is to be known of the data before training, or before an evaluation alone; said on the terminal as well.

    Raises SettingError where something does not fit the model, ModelError where the model takes no text at all, and
    DataError where texts cannot be told apart.
    """
    said = check(model, modality.probes(wanted)) + (modality.remarks(wanted) if to_train else [])
    modality.require_rows_alone(model, wanted)
    for sentence in said:
        distributed.warn(sentence)
    return said


def check(model: nn.Module, probes: Sequence[Probe]) -> list[str]:
    """Sentences on what fits and is longer than the model was made for. Raises SettingError for what does not fit."""
    modes = [(module, module.training) for module in model.modules()]
    device = device_of(model)
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            return [said for probe in probes if (said := _checked(model, probe)) is not None]
    finally:
        for module, training in modes:
            module.training = training


def _checked(model: nn.Module, probe: Probe) -> str | None:
    refusal = _refusal(model, probe.inputs)
    if refusal is None:
        return None if probe.remedy is None else _beyond(model, probe)
    reason = " ".join(str(refusal).split()).rstrip(".")
    if probe.remedy is None:
        raise SettingError(f"{probe.what} ({reason})") from refusal
    longest = _longest(model, probe)
    if longest == 0:  # not for its length
        if refusals.is_refusal(refusal, LIBRARIES):
            raise ModelError(f"the model takes no text at all ({reason})") from refusal
        raise refusal  # a fault that is not the user's keeps its traceback
    remedy = probe.remedy.format(limit=longest)
    raise SettingError(
        f"{probe.what} has {probe.length} tokens, and the model takes {longest} at most; {remedy}"
    ) from refusal


def _longest(model: nn.Module, probe: Probe) -> int:
    """The most tokens of the probe that the model takes, between those that it does and those that it does not."""
    takes, refuses = 0, probe.length
    while refuses - takes > 1:
        tried = (takes + refuses) // 2
        shorter = {name: tensor[:, :tried] for name, tensor in probe.inputs.items()}
        takes, refuses = (tried, refuses) if _refusal(model, shorter) is None else (takes, tried)
    return takes


def _beyond(model: nn.Module, probe: Probe) -> str | None:
    """Of positions that are computed, which have no end, the configuration says how far they were trained."""
    stated = getattr(_text_config(model), "max_position_embeddings", None)
    if not isinstance(stated, int) or not 0 < stated < probe.length:
        return None
    return (
        f"{probe.what} has {probe.length} tokens, and the model's config.json states {stated} positions "
        "(max_position_embeddings): it may do worse beyond them"
    )


def _text_config(model: nn.Module) -> Any:
    config = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _refusal(model: nn.Module, inputs: Inputs) -> Exception | None:
    inputs = {name: tensor.to(device_of(model)) for name, tensor in inputs.items()}
    more = {"logits_to_keep": 1, "use_cache": False} if can_keep_the_last_logits(model) else {}
    try:
        with _WithinBounds():
            model(**inputs, **more)
    except torch.OutOfMemoryError:
        raise
    except REFUSALS as error:
        return error
    return None


class _WithinBounds(TorchDispatchMode):
    """Raises IndexError for a look-up beyond the end of a table: on a GPU that would end the process, or go unseen."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for table, dim, indices in _look_ups(func, args):
            if indices.numel() and int(indices.max()) >= table.shape[dim]:
                raise IndexError(f"index {int(indices.max())} of a table of {table.shape[dim]}")
        return func(*args, **(kwargs or {}))


def _look_ups(func, args: Sequence[Any]) -> list[tuple[torch.Tensor, int, torch.Tensor]]:
    """Table, dimension and indices."""
    if func is aten.embedding.default:
        return [(args[0], 0, args[1])]
    if func in (aten.gather.default, aten.index_select.default):
        return [args[:3]]
    if func is aten.index.Tensor and all(i is None or i.dtype == torch.int64 for i in args[1]):
        return [(args[0], dim, indices) for dim, indices in enumerate(args[1]) if indices is not None]
    return []
