"""One run on several devices: `torchrun --nproc-per-node=2 run.py ...` starts a process a device, its *rank*.

All ranks do the same; rank 0 alone writes and speaks. Where one of them fails, all end.
"""

import logging
import os
import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
_FAILURE = "failure"  # key of the store that all ranks see, until the last of them is gone
_store: dist.Store | None = None


def asked() -> bool:
    """Whether this process was started as one of several, by torchrun or in its manner."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes and speaks; also before `join`."""
    return int(os.environ.get("RANK", "0")) == 0 if asked() else True


def join(device: torch.device) -> torch.device:
    """This process's own device of that kind, once all ranks are there. A process started alone stays alone."""
    if not asked():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        _connect("nccl" if device.type == "cuda" else "gloo")
    if not is_main():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
    return device


def _connect(backend: str) -> None:
    global _store
    store, number, count = next(dist.rendezvous("env://"))
    _store = dist.PrefixStore("svft", store)
    dist.init_process_group(backend, store=dist.PrefixStore("group", store), rank=number, world_size=count)


def tell_failure(sentence: str) -> None:
    """Leave the reason for the other ranks, which will find no more than that this one is gone."""
    _store.set(_FAILURE, sentence)


def told_failure() -> str | None:
    """What a rank has left so."""
    return _store.get(_FAILURE).decode() if _store.check([_FAILURE]) else None


def is_lost_connection(error: Exception) -> bool:
    """Whether the error says that another rank is gone."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(name in str(error) for name in ("gloo", "NCCL"))
    )


def leave() -> None:
    """When all ranks are done."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def say(line: str) -> None:
    """Once for all ranks."""
    if is_main():
        print(line)


def barrier() -> None:
    if size() > 1:
        dist.barrier()


def first(value: T | None) -> T | None:
    """Of the values that are not None, that of the lowest rank; on all ranks."""
    return next((found for found in gather(value) if found is not None), None)


def gather(value: T) -> list[T]:
    """What each rank gives, by rank, on all of them."""
    values: list[Any] = [None] * size()
    if size() == 1:
        return [value]
    dist.all_gather_object(values, value)
    return values


def total(values: Sequence[float], device: torch.device) -> list[float]:
    """Sums over the ranks, entry by entry."""
    if size() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return sums.tolist()


def agreed(function: Callable[[], T]) -> T:
    """What `function`, in which no rank waits for another, returns here; an error of any rank is raised on all."""
    if size() == 1:
        return function()
    result, error = None, None
    try:
        result = function()
    except Exception as raised:
        error = raised
    found = first(None if error is None else _sent(error))
    if found is None:
        return result
    error = error or _received(*found)
    error.agreed = True
    raise error


def from_main(function: Callable[[], T]) -> T:
    """What `function` returns on rank 0, which alone calls it; what it raises there is raised on all."""
    if size() == 1:
        return function()
    return gather(agreed(function if is_main() else _nothing))[0]


def is_agreed(error: BaseException) -> bool:
    """Whether all ranks raise this error, each of its own."""
    return getattr(error, "agreed", False)


def _nothing() -> None:
    return None


def _sent(error: Exception) -> tuple[type[Exception], str]:
    try:
        pickle.dumps(type(error))
    except (pickle.PicklingError, AttributeError):  # a class within a function
        return RuntimeError, f"{type(error).__name__}: {error}"
    return type(error), str(error)


def _received(kind: type[Exception], message: str) -> Exception:
    """Not by its constructor, which may take something else than the message."""
    return kind.__new__(kind, message)


def shares(items: Sequence[T]) -> Sequence[T]:
    """This rank's items: every size()-th."""
    return items[rank() :: size()]


def whole(parts: Sequence[Sequence[T]]) -> list[T]:
    """The items of all ranks, by rank as `shares` gave them out, in their order."""
    items: list[Any] = [None] * sum(map(len, parts))
    for index, part in enumerate(parts):
        items[index :: len(parts)] = part
    return items
