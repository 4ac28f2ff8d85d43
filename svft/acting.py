"""Whether adapters act, in training and in evaluation.

An adapter takes the place of a module, and acts when that is called. A model that reads the module's weight itself
leaves it out: in training (timm's BEiT, EVA and Swin V2 do so with `qkv`, torch.nn.MultiheadAttention with `out_proj`),
or in evaluation alone (the fast path of torch.nn.TransformerEncoderLayer). Nothing else tells of it: the loss falls by
what else is trained, and the adapter is counted and saved.

`forward` is wrapped on each module, since a hook would hide what is looked for: torch takes no fast path past hooks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

Modules = Mapping[str, nn.Module]

SHOWN = 3  # modules that a sentence names


class Inert(NamedTuple):
    """Modules whose adapters do not act, by name, and why."""

    names: list[str]
    reason: str

    def __str__(self) -> str:
        names = [name.removeprefix("base_model.model.") for name in self.names]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"the adapters of {', '.join(names[:SHOWN])}{more} do not act: {self.reason}"


UNCALLED = "the model never calls these modules in training, but reads their weights itself"
UNTAUGHT = "{} got no gradient in training, so the loss does not depend on it"
UNCALLED_IN_EVALUATION = (
    "the model calls these modules in training, and in evaluation it does not, but reads their weights itself "
    "(torch.backends.mha.set_fastpath_enabled(False) turns off the fast path of torch.nn.TransformerEncoderLayer)"
)
UNHEARD = "in evaluation the model calls these modules, and its output does not depend on what they return"


def check_adapters(model: nn.Module, batch: Any) -> None:
    """Raise RuntimeError where an active adapter of `model` does not act, naming the modules and the reason.

    In a forward and backward pass in training mode each adapted module has to be called, and each of its trained
    tensors has to get a gradient (zeros are one: LoRA's A has no other at the start). In evaluation mode, without
    gradients, each has to be called again, and the output has to depend on what it returns. Experts that get no token
    are passed over, as long as another expert of the same block gets some.

    Args:
        model: With adapters of PEFT, of any tuner, on the device of the batch. Afterwards it is as it was: parameters
            and their gradients, statistics of normalisation, training mode, random state.
        batch: What the model takes; a few rows do. A mapping is passed as keyword arguments, a sequence as positional
            ones, a tensor alone. Where the model returns a loss, gradients are those of it, else of the sum of its
            floating-point outputs.

    Raises ValueError where the model has no active adapter, or a merged one. Costs about one step of training, and one
    evaluation for each kind of adapted module.

    >>> model = get_peft_model(model, SvftConfig(pattern="plain", target_modules=["qkv", "fc1"]))
    >>> check_adapters(model, next(iter(loader)))
    """
    modules = adapted_modules(model)
    if not modules:
        raise ValueError(f"this {type(model).__name__} has no active adapter of PEFT")
    if any(getattr(module, "merged", False) for module in modules.values()):
        raise ValueError("adapters that are merged cannot be looked at; unmerge them first")
    with as_it_was(model):
        called, taught = _training_pass(model, batch, modules)
        inert = inert_in_training(model, modules, called, taught)
        inert = inert or inert_in_evaluation(model, modules, lambda: _run(model, batch))
    if inert:
        raise RuntimeError(f"{inert}; leave them out of target_modules, or have the model call them")


def adapted_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Modules that an active adapter stands in for, and those that PEFT trains whole (`modules_to_save`), by name."""
    return {name: module for name, module in model.named_modules() if _is_adapted(module)}


def _is_adapted(module: nn.Module) -> bool:
    if isinstance(module, BaseTunerLayer):
        return not module.disable_adapters and bool(module._get_available_adapters() & set(module.active_adapters))
    return isinstance(module, AuxiliaryTrainingWrapper) and any(p.requires_grad for p in module.parameters())


@contextmanager
def calls(modules: Modules) -> Iterator[set[str]]:
    """The names of those of `modules` that are called inside."""
    called: set[str] = set()

    def noting(name: str, forward: Callable) -> Callable:
        def noted(*args: Any, **kwargs: Any) -> Any:
            called.add(name)
            return forward(*args, **kwargs)

        return noted

    with _wrapped(modules, noting):
        yield called


@contextmanager
def gradients(model: nn.Module) -> Iterator[set[str]]:
    """The names of the trained tensors that get a gradient inside, also where another hook drops it."""
    taught: set[str] = set()
    hooks = [
        parameter.register_post_accumulate_grad_hook(lambda _, name=name: taught.add(name))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    try:
        yield taught
    finally:
        for hook in hooks:
            hook.remove()


def inert_in_training(model: nn.Module, modules: Modules, called: set[str], taught: set[str]) -> Inert | None:
    """called: of `modules`; taught: trained tensors of `model` that got a gradient, both in one step or more."""
    passed = _without_token(model, modules, called)
    uncalled = [name for name in modules if name not in called and name not in passed and not _within(name, called)]
    if uncalled:
        return Inert(uncalled, UNCALLED)
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    untaught: dict[str, str] = {}  # the first tensor, by module
    for name, module in modules.items():
        tensors = [names[id(parameter)] for parameter in module.parameters() if id(parameter) in names]
        missing = [tensor for tensor in tensors if tensor not in taught]
        if missing and name not in passed:
            untaught[name] = missing[0].removeprefix(f"{name}.")
    if not untaught:
        return None
    return Inert(list(untaught), UNTAUGHT.format(next(iter(untaught.values()))))


def inert_in_evaluation(model: nn.Module, modules: Modules, forward: Callable[[], Any]) -> Inert | None:
    """forward: what the model returns for a batch. It is called once, and once more for each kind of module.

    With NaN in the place of what the modules of a kind return, the output is another one, or does not depend on it.
    Modules that differ by a number in their names are of one kind.
    """
    with evaluating(model):
        with calls(modules) as called:
            sound = _tensors(forward())
        passed = _without_token(model, modules, called)
        kinds: dict[str, list[str]] = {}
        for name in modules:
            kinds.setdefault(re.sub(r"(?<![^.])\d+(?![^.])", "*", name), []).append(name)
        unheard = []
        for names in kinds.values():
            with _wrapped({name: modules[name] for name in names}, _spoiling):
                spoilt = _tensors(forward())
            if sound and all(map(_same, sound, spoilt)):
                unheard += [name for name in names if name in called]
    uncalled = [name for name in modules if name not in called and name not in passed and not _within(name, called)]
    if uncalled:
        return Inert(uncalled, UNCALLED_IN_EVALUATION)
    return Inert(unheard, UNHEARD) if unheard else None


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode and takes no gradients; afterwards it is in the mode that it was in."""
    with as_it_was(model), torch.no_grad():
        model.eval()
        yield


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Each module's mode and the random state."""
    modes = [(module, module.training) for module in model.modules()]
    devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, training in modes:
            module.training = training


def _training_pass(model: nn.Module, batch: Any, modules: Modules) -> tuple[set[str], set[str]]:
    """The modules called, and the trained tensors that get a gradient; none is left in them."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.train()
    for module in model.modules():
        if isinstance(module, _NormBase) and module.track_running_stats:
            module.eval()
    with torch.enable_grad(), calls(modules) as called:
        loss = _loss(_run(model, batch))
    if not trained or not loss.requires_grad:
        return called, set()
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return called, {name for name, gradient in zip(trained, found, strict=True) if gradient is not None}


def _run(model: nn.Module, batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(batch) if isinstance(batch, torch.Tensor) else model(*batch)


def _loss(outputs: Any) -> torch.Tensor:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else None
    return sum((tensor.sum() for tensor in _tensors(outputs)), torch.zeros(())) if loss is None else loss


def _tensors(outputs: Any) -> list[torch.Tensor]:
    """The floating-point tensors that a model returns, those inside of caches and the like left out."""
    if isinstance(outputs, torch.Tensor):
        outputs = [outputs]
    values: Iterable[Any] = outputs.values() if isinstance(outputs, Mapping) else outputs
    return [value for value in values if isinstance(value, torch.Tensor) and value.is_floating_point()]


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Also where both hold NaN, as the loss of a batch without a target."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


@contextmanager
def _wrapped(modules: Modules, wrap: Callable[[str, Callable], Callable]) -> Iterator[None]:
    """Inside, `wrap(name, forward)` takes the place of each module's forward."""
    kept = {name: vars(module).get("forward") for name, module in modules.items()}
    for name, module in modules.items():
        module.forward = wrap(name, module.forward)
    try:
        yield
    finally:
        for name, module in modules.items():
            del module.forward
            if kept[name] is not None:
                module.forward = kept[name]


def _spoiling(name: str, forward: Callable) -> Callable:
    def spoilt(*args: Any, **kwargs: Any) -> Any:
        return _spoilt(forward(*args, **kwargs))

    return spoilt


def _spoilt(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.full_like(value, torch.nan) if value.is_floating_point() else value
    return type(value)(map(_spoilt, value)) if type(value) in (tuple, list) else value


def _within(name: str, called: set[str]) -> bool:
    """Whether the module is a part of another that was called and that may compute with it in a way of its own.

    PEFT's layer for torch.nn.MultiheadAttention holds one for `out_proj`, which it merges for its forward pass.
    """
    return any(name.startswith(f"{outer}.") for outer in called)


def _without_token(model: nn.Module, modules: Modules, called: set[str]) -> set[str]:
    """Modules of experts that no token was sent to: of a list in a block, another entry of which was called."""
    used = {_place_of_expert(model, name) for name in called} - {None}
    return {name for name in modules if name not in called and _place_of_expert(model, name) in used}


def _place_of_expert(model: nn.Module, name: str) -> tuple[str, str] | None:
    """The list that it may be an expert of, and its name in that; blocks are in a list that is in no other."""
    parts: Sequence[str] = name.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdecimal()]
    if len(numbers) < 2:
        return None
    within, rest = ".".join(parts[: numbers[-1]]), ".".join(parts[numbers[-1] + 1 :])
    return (within, rest) if isinstance(model.get_submodule(within), nn.ModuleList) else None
