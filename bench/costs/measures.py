"""What is measured of one method on one model: each a function of its own, so that one that fails leaves the others.

Distances are relative, |a - b| / |b|, of logits of held-out examples in evaluation. Bytes are counted, not read off an
allocator.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from peft import PeftModel
from torch import nn

from bench import memory, methods
from bench.costs import clock, elsewhere, subject, weights
from bench.costs.subject import distance
from harness.adapters import adapt, merging
from harness.settings import refusals
from harness.store import trained

TENTH, FEW = 0.1, 3
HALF = "bfloat16"


@dataclass
class Subject:
    """A method that is measured, beside the reference on the same model."""

    model: subject.Model
    method: tuple[str, ...]
    steps: int  # of the training whose update is looked at
    folder: Path  # for its adapter
    cfg: DictConfig = field(init=False)
    adapted: adapt.Adapted = field(init=False)

    def __post_init__(self) -> None:
        self.cfg = self.model.composed(*self.method)
        self.adapted = self.model.adapted(self.cfg)
        if not self.trained:
            raise ValueError("it trains nothing here")

    @property
    def net(self) -> nn.Module:
        return self.adapted.model

    @property
    def trained(self) -> int:
        return self.adapted.parameters["adapter"] + self.adapted.parameters["head"]

    def training(self, net: nn.Module | None = None) -> subject.Training:
        """Of `net`; None: of one that is as at the start, and is forgotten."""
        net = self.model.adapted(self.cfg).model if net is None else net
        return subject.Training(net, self.cfg, self.model.head, self.steps, self.model.training)

    def logits(self) -> torch.Tensor:
        return subject.logits(self.net, self.model.held_out)


def start(one: Subject) -> dict[str, Any]:
    """Distance from the base before the first step, in fp32 and on a base of 16 bits."""
    found = {"start_fp32": distance(one.logits(), subject.logits(one.model.base(), one.model.held_out))}
    half = one.model.adapted(one.cfg, HALF).model
    bare = subject.logits(one.model.base(HALF), one.model.held_out)
    return found | {"start_bf16": distance(subject.logits(half, one.model.held_out), bare)}


def kept(one: Subject) -> dict[str, Any]:
    """Bytes of parameters and buffers, of tensors that modules hold besides, and of what backward needs."""
    batch = one.model.training[0]
    held = list(memory.held(one.net))
    with memory.SavedForBackward(one.net.train(), held) as saved:
        one.net(**batch)
    resident = memory.resident_bytes(one.net)
    beside = memory.distinct_bytes([*one.net.parameters(), *one.net.buffers(), *held]) - resident
    return {
        "base_bytes": memory.resident_bytes(one.model.base()),
        "resident_bytes": resident,
        "held_bytes": beside,
        "saved_bytes": saved.total,
    }


def step_time(one: Subject, reference: Subject, turns: int, warm_up: int) -> dict[str, Any]:
    """Forward, backward and optimiser at rate 0, which costs as much and changes nothing."""
    with one.training() as mine, reference.training(reference.net) as other:
        mine.scale_rate(0.0), other.scale_rate(0.0)
        batch = one.model.training[0]
        return clock.beside(
            lambda: mine.step(batch), lambda: other.step(batch), turns=turns, warm_up=warm_up, device=one.model.device
        )


def training(one: Subject) -> dict[str, Any]:
    """Size of the first step at the given rate and at a tenth of it, and the update after all steps and its rank."""
    layers = weights.layers(one.model.base(), one.cfg.model)
    begun = weights.effective(one.net, layers)
    first = {}
    for name, factor in (("first_step_tenth", TENTH), ("first_step", 1.0)):
        with one.training() as steps:
            steps.scale_rate(factor)
            steps.step(one.model.training[0])
            first[name] = weights.change(weights.effective(steps.model, layers), begun)
    with one.training(one.net) as steps:
        batches = one.model.training
        losses = [steps.step(batches[number % len(batches)]) for number in range(one.steps)]
    ended = weights.effective(one.net, layers)
    return {
        "lr": one.cfg.train.lr, **first, "steps": one.steps, "loss": [losses[0], losses[-1]],
        "update": weights.change(ended, begun), **_ranks(layers, ended, begun, one.cfg.model.blocks // 2),
    }  # fmt: skip


def _ranks(layers: dict[str, list[str]], ended: weights.Weights, begun: weights.Weights, block: int) -> dict[str, Any]:
    """By letter, of the layers of one block, and the most that they could be."""
    chosen = {letter: names[block] for letter, names in layers.items()}
    return {
        "block": block,
        "rank": {letter: weights.rank(ended[name], begun[name]) for letter, name in chosen.items()},
        "full_rank": {letter: min(begun[name].shape) for letter, name in chosen.items()},
    }


def checkpointing(one: Subject) -> dict[str, Any]:
    """Change of the gradients where activations are made again in backward; beside it, between two passes without."""
    inner = methods.base_of(one.net)
    plain, again = _gradients(one), _gradients(one)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # transformers 5.23 renames both
        inner.gradient_checkpointing_enable({"use_reentrant": False})
        try:
            other = _gradients(one)
        finally:
            inner.gradient_checkpointing_disable()
    return {"checkpointing": distance(other, plain), "repeated": distance(again, plain)}


def _gradients(one: Subject) -> torch.Tensor:
    """Of everything that is trained, one behind the other; dropout, if any, is the same each time."""
    torch.manual_seed(0)
    one.net.train()(**one.model.training[0]).loss.backward()
    found = [p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in _trained(one.net)]
    one.net.zero_grad()
    return torch.cat([each.double().cpu() for each in found])


def _trained(net: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in net.parameters() if parameter.requires_grad)


def file(one: Subject) -> dict[str, Any]:
    """Bytes of the file that is saved; 4 times `trained` are those that cannot be spared in fp32."""
    trained.save(one.net, one.folder)
    names = (trained.PEFT_WEIGHTS, trained.WEIGHTS)
    return {"file_bytes": sum((one.folder / name).stat().st_size for name in names if (one.folder / name).is_file())}


def reload(one: Subject) -> dict[str, Any]:
    """Distance of what another process makes of the file: 0 where every bit is the same. By run.py, and by PEFT."""
    found, here = elsewhere.logits(one.model, one.method, one.folder), one.logits()
    return {
        f"reload_{by}": 0.0 if torch.equal(there, here.cpu()) else distance(there, here.cpu())
        for by, there in found.items()
    }


def half(one: Subject) -> dict[str, Any]:
    """The adapter that was trained in fp32, loaded on a base of 16 bits, against what it was in fp32."""
    net = one.model.adapted(one.cfg, HALF).model
    trained.load(net, one.folder)
    return {"load_bf16": distance(subject.logits(net, one.model.held_out), one.logits())}


def merge_half(one: Subject) -> dict[str, Any]:
    """Merging on a base of 16 bits: the adapter of `half`, or where that is refused, one that was trained there."""
    net = one.model.adapted(one.cfg, HALF).model
    try:
        trained.load(net, one.folder)
    except ValueError:
        with one.training(net) as steps:
            for batch in one.model.training[:FEW]:
                steps.step(batch)
    return _merged(one, net, "bf16")


def merge(one: Subject) -> dict[str, Any]:
    """Last of all: it changes the model."""
    return _merged(one, one.net, "fp32")


def _merged(one: Subject, net: nn.Module, name: str) -> dict[str, Any]:
    if not isinstance(net, PeftModel):
        return {}
    expected = subject.logits(net, one.model.held_out)
    try:
        merged = merging.merged_for_good(net)
    except refusals.REFUSALS as error:
        if not refusals.is_refusal(error, refusals.packages_of(type(net.base_model))):
            raise  # a bug, which the row tells as a failure
        return {f"merge_{name}": None, "cannot_merge": f"{type(error).__name__}: {error}".splitlines()[0]}
    return {f"merge_{name}": distance(subject.logits(merged, one.model.held_out), expected)}


def all_of(one: Subject, reference: Subject, turns: int, warm_up: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """In the order in which they have to come: what is measured at the start, then of what was trained."""
    return {
        "start": lambda: start(one),
        "kept": lambda: kept(one),
        "step_time": lambda: step_time(one, reference, turns, warm_up),
        "training": lambda: training(one),
        "checkpointing": lambda: checkpointing(one),
        "file": lambda: file(one),
        "reload": lambda: reload(one),
        "half": lambda: half(one),
        "merge_half": lambda: merge_half(one),
        "merge": lambda: merge(one),
    }
