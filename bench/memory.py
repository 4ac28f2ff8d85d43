"""Bytes: what autograd keeps for backward, what a model holds, and the most that is alive during a step.

Tensors that share memory are counted once, at the full size of the memory they share.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PARTS = {  # what a sparse tensor is made of
    torch.sparse_coo: lambda t: (t._indices(), t._values()),
    torch.sparse_csr: lambda t: (t.crow_indices(), t.col_indices(), t.values()),
}


def storages(tensors: Iterable[torch.Tensor]) -> Iterator[torch.UntypedStorage]:
    for tensor in tensors:
        for part in PARTS[tensor.layout](tensor) if tensor.layout in PARTS else (tensor,):
            if part.untyped_storage().nbytes():
                yield part.untyped_storage()


def distinct_bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages(tensors)}.values())


def resident_bytes(*modules: nn.Module) -> int:
    """Of parameters and buffers, stored ones or not."""
    return distinct_bytes(tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))


def standing_bytes(model: nn.Module) -> int:
    """Of parameters, buffers, and what else modules hold between steps."""
    return distinct_bytes([*model.parameters(), *model.buffers(), *held(model)])


def counted_bytes(model: nn.Module) -> int:
    """Of parameters and buffers by their shapes: on the meta device, where no tensor has memory."""
    return sum({id(tensor): tensor.nbytes for tensor in (*model.parameters(), *model.buffers())}.values())


def held(model: nn.Module) -> Iterator[torch.Tensor]:
    """Tensors that modules hold neither as parameters nor as buffers: in attributes, and in lists and dicts there."""
    for module in model.modules():
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                yield from _inside(value)


def _inside(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _inside(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _inside(each)


class SavedForBackward:
    """A context to run a forward pass in: the bytes that autograd keeps, without the model's parameters and buffers.

    standing: other tensors that stay between steps, which are not counted either.

    `total` is their sum, `largest` the largest single tensor's memory. A custom autograd function counts with what it
    hands to `save_for_backward`.
    """

    def __init__(self, model: nn.Module, standing: Iterable[torch.Tensor] = ()):
        own = (*model.parameters(), *model.buffers(), *standing)
        self._own = {storage.data_ptr() for storage in storages(own)}
        self._sizes: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda kept: kept)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        for storage in storages([tensor]):
            if storage.data_ptr() not in self._own:
                self._sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an output that kept itself would never be freed

    @property
    def total(self) -> int:
        return sum(self._sizes.values())

    @property
    def largest(self) -> int:
        return max(self._sizes.values(), default=0)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._hooks.__exit__(*failure)


class LiveBytes(TorchDispatchMode):
    """A context to run a step in: `peak`, the most bytes alive at once of what operations made in it.

    Of buffers inside of one operation nothing is seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._watched: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = {storage.data_ptr() for storage in storages(_tensors((args, kwargs)))}
        made = func(*args, **kwargs)
        for storage in storages(_tensors(made)):
            if storage.data_ptr() not in given and storage.data_ptr() not in self._watched:
                self._watch(storage.data_ptr(), storage)
        return made

    def _watch(self, address: int, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()

        def freed(_: weakref.ref) -> None:
            self.live -= size
            del self._watched[address]

        self._watched[address] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def rise(step: Callable[[], Any], device: torch.device) -> int:
    """The most bytes that a step has alive beyond what was there before it: the GPU's allocator, or `LiveBytes`."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with LiveBytes() as watched:
        step()
    return watched.peak
