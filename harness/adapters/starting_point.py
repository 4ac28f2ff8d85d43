"""Where an adapter starts, how far from the base model, and which starts are refused.

A method whose yaml says `starts: elsewhere` does not start at the base model; its record says how far from it.

PiSSA and OLoRA subtract their first factors from the base weights. A stored adapter then belongs to weights that only
the same start makes again: one that chance decides cannot be loaded in another process. Other starts need data.
"""

import copy
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import PeftConfig, get_peft_model
from torch import nn

from errors import SettingError
from harness.store.trained import effects

BASE, ELSEWHERE = "base", "elsewhere"  # what a method's yaml can say under `starts`; nothing is the base
ROWS = 64  # inputs that a distance is measured with: it is within some per cent of that of the weights
ROUNDING, ROUNDING_OF_16_BITS = 1e-4, 3e-2  # a distance up to which a start is the base model, rounded

# These need a step before that looks at data. Without it PEFT starts as plain LoRA and says nothing.
FROM_DATA = ("eva", "lora_ga", "corda")


def changes_base(adapter: PeftConfig) -> bool:
    """Whether attaching this adapter changes the base weights. Raises SettingError for a start that there is not."""
    if not isinstance(getattr(adapter, "init_lora_weights", None), str):
        return False
    original, changed = _attached(adapter, seed=0)
    return not torch.equal(original, changed)


def check(adapter: PeftConfig) -> None:
    """Raise SettingError for a start that needs data or that chance decides, and for a pattern that cannot be read."""
    for option, values in _patterns(adapter):
        for pattern in values:
            try:
                re.compile(pattern)
            except re.error as error:
                raise SettingError(f"{option}: {pattern!r} is no regular expression: {error}") from error
    start = getattr(adapter, "init_lora_weights", True)
    if start in FROM_DATA:
        raise SettingError(
            f"init_lora_weights={start} is worked out from data beforehand, which is not done here; true is LoRA's own "
            "start, and pissa and olora need no data"
        )
    if isinstance(start, str) and not torch.equal(_attached(adapter, seed=0)[1], _attached(adapter, seed=1)[1]):
        raise SettingError(
            f"init_lora_weights={start} takes out of the base weights what it draws at random, so that the stored "
            "adapter gives another function wherever it is loaded; pissa does the same without chance"
        )


def measured(model: nn.Module, adapter: Any, label: str, starts: str | None) -> float | None:
    """The distance of a method that starts elsewhere. None: of another, which nothing but rounding keeps from the base.

    Raises SettingError where one of PEFT's own tuners starts elsewhere and `starts` does not say so, as HRA at odd r.
    """
    if starts == ELSEWHERE:
        return distance(model)
    if type(adapter).__module__.partition(".")[0] == "peft" and not changes_base(adapter):
        away, in_16_bits = distance(model), next(model.parameters()).dtype.itemsize < 4
        if not away <= (ROUNDING_OF_16_BITS if in_16_bits else ROUNDING):  # NaN is no start either
            raise SettingError(
                f"{label} starts {away:.1%} of the weights' norm away from the base model with these settings; change "
                "them, or say method.starts=elsewhere, and the record says how far"
            )
    return None


def distance(model: nn.Module) -> float:
    """How far the adapters are from no adapter: sqrt(sum of |dW x|^2 / sum of |W x|^2) over the adapted linear layers.

    x is white noise, so that this is |dW| / |W| of all weights together in the Frobenius norm, but for chance.
    """
    squares = [(moved.square().sum().item(), there.square().sum().item()) for _, moved, there in effects(model, ROWS)]
    return (sum(moved for moved, _ in squares) / (sum(there for _, there in squares) or 1)) ** 0.5


def _attached(adapter: PeftConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A small weight, and what it is once an adapter of this kind is attached."""
    small = copy.deepcopy(adapter)
    small.target_modules, small.r, small.modules_to_save = ["layer"], 2, None
    small.layers_to_transform = small.layers_pattern = small.exclude_modules = None
    small.rank_pattern, small.alpha_pattern = {}, {}
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):  # its values are compared, under any default device
        torch.manual_seed(0)
        base = nn.Sequential(OrderedDict(layer=nn.Linear(8, 8)))
        before = base.layer.weight.detach().clone()
        torch.manual_seed(seed)
        layer = get_peft_model(base, small).base_model.model.layer
    return before, layer.get_base_layer().weight.detach()


def check_patterns(adapter: PeftConfig, layers: Sequence[str]) -> None:
    """Raise SettingError where a pattern names none of the adapted `layers`, or two that differ name one of them.

    PEFT takes the first pattern that names a layer, and the run key does not know which is first.
    """
    for option, values in _patterns(adapter):
        _check_each(option, values, layers)


def _patterns(adapter: PeftConfig) -> list[tuple[str, dict[str, Any]]]:
    """Options that say something of the layers which a regular expression names, as rank_pattern."""
    return [
        (name, value) for name, value in vars(adapter).items() if name.endswith("_pattern") and isinstance(value, dict)
    ]


def _check_each(option: str, values: Mapping[str, Any], layers: Sequence[str]) -> None:
    for pattern in values:
        if not any(_names(pattern, layer) for layer in layers):
            raise SettingError(f"{option}: {pattern!r} names none of the adapted layers, {_some(layers)}")
    for layer in layers:
        there = [pattern for pattern in values if _names(pattern, layer)]
        if any(values[pattern] != values[there[0]] for pattern in there):
            said = " and ".join(f"{pattern!r} ({values[pattern]})" for pattern in there)
            raise SettingError(
                f"{option}: {said} all name {layer}, and their order would decide; let one pattern name each layer"
            )


def _names(pattern: str, layer: str) -> bool:
    """Whether the pattern matches the layer, as PEFT matches."""
    return re.match(rf"(.*\.)?({pattern})$", layer) is not None


def _some(layers: Sequence[str]) -> str:
    return ", ".join(layers[:4]) + (", ..." if len(layers) > 4 else "")
