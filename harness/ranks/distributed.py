"""One run on several devices: `torchrun --nproc-per-node=2 run.py ...` starts a process a device, its *rank*.

All ranks run the same code. Rank 0 alone writes files and prints. If one rank fails, all of them end.
"""

import logging
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from errors import SettingError
from harness.console.stderr import is_first

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
PATIENCE = timedelta(hours=2)  # other ranks wait while rank 0 decomposes, hashes or writes, or one generates more text
_FAILURE = "failure"  # key of the store
_store: dist.Store | None = None


def asked() -> bool:
    """Whether this process was started as one of several, by torchrun or in its manner."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process is rank 0, which writes and prints. Known before `join`, too."""
    return is_first()


def tells_errors() -> bool:
    """Whether this process prints its errors: rank 0 does, for all. Before `join` each does: it may be the only one."""
    return is_main() or not dist.is_initialized()


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
    dist.init_process_group(
        backend, store=dist.PrefixStore("group", store), rank=number, world_size=count, timeout=PATIENCE
    )


# The store is torchrun's, and outlives all ranks; without torchrun it is rank 0's, and is gone with it.


def tell_failure(sentence: str) -> str | None:
    """Leave the reason of this rank's failure in the store, where other ranks look once this one is gone.

    If another rank was first, its reason stays in the store and is returned.
    """
    own = f"{rank()} {sentence}"
    try:
        left = _store.compare_set(_FAILURE, "", own).decode()
    except dist.DistError:
        return None
    return None if left == own else left.partition(" ")[2]


def told_failure() -> str | None:
    """The reason that another rank has left there, if any."""
    try:
        return _store.get(_FAILURE).decode().partition(" ")[2] if _store.check([_FAILURE]) else None
    except dist.DistError:
        return None


def tells_last() -> bool:
    """Whether this rank tells that another one is gone: rank 0 does, or rank 1 if the store went away with rank 0."""
    if rank() != 1:
        return is_main()
    try:
        _store.check([_FAILURE])
    except dist.DistError:
        return True
    return False


def is_lost_connection(error: Exception) -> bool:
    """Whether the error says that another rank is gone."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(name in str(error) for name in ("gloo", "NCCL"))
    )


def leave() -> None:
    """Wait for the other ranks, and end the group."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def say(line: str) -> None:
    """Print, on rank 0 alone."""
    if is_main():
        print(line)


def warn(sentence: str) -> None:
    """Print as a warning on stderr, on rank 0 alone."""
    if is_main():
        print(f"warning: {sentence}", file=sys.stderr)


def barrier() -> None:
    if size() > 1:
        dist.barrier()


def first(value: T | None) -> T | None:
    """The value of the lowest rank that has one, on all ranks; None if none has."""
    return next((found for found in gather(value) if found is not None), None)


def gather(value: T) -> list[T]:
    """The values of all ranks, in the order of ranks, on all of them."""
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


def call_together(function: Callable[[], T]) -> T:
    """Call `function` on each rank and return what it returns here. An error of any rank is raised on all.

    No rank may wait for another inside `function`: one that fails there would be waited for.
    """
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
    raise of_all_ranks(error or _received(*found))


def refuse_differing(values: Mapping[str, str]) -> None:
    """Raise SettingError on all ranks if a value is not the same on all of them. values: by the name to tell."""
    ranks = gather(dict(values))
    for name in values:
        for number, found in enumerate(ranks):
            if found.get(name) != ranks[0].get(name):
                raise of_all_ranks(SettingError(
                    f"the processes of this run are not at the same run: {name} is {ranks[0].get(name)} for process 0 "
                    f"and {found.get(name)} for process {number}; give all machines the same files and settings"
                ))  # fmt: skip


def broadcast_from_main(function: Callable[[], T]) -> T:
    """Call `function` on rank 0 alone. All ranks return its result, or raise its error."""
    if size() == 1:
        return function()
    return gather(call_together(function if is_main() else _nothing))[0]


# An error is of all ranks where its class says so (errors.OfAllRanks) or where it went through `of_all_ranks`. Then no
# rank is left behind, and rank 0 tells it for all. Any other error one rank has alone, while the others wait for it.


def of_all_ranks(error: E) -> E:
    """The error, marked: every rank raises it here."""
    error.on_all_ranks = True
    return error


def is_of_all_ranks(error: BaseException) -> bool:
    return getattr(error, "on_all_ranks", False)


def _nothing() -> None:
    return None


# An error as it is sent: class, arguments (the file name too, where it has one), attributes.
Sent = tuple[type[Exception], tuple[Any, ...], dict[str, Any]]


def _sent(error: Exception) -> Sent:
    try:
        sent = type(error), error.__reduce__()[1], vars(error)
        if str(_received(*pickle.loads(pickle.dumps(sent)))) == str(error):
            return sent
    except Exception:  # of a class within a function, or whatever a class does that is unlike an exception's
        pass
    return RuntimeError, (f"{type(error).__name__}: {error}",), {}


def _received(kind: type[Exception], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    """Made without its constructor, which may take other arguments than those that an exception keeps."""
    error = kind.__new__(kind, *arguments)
    builtin = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    builtin.__init__(error, *arguments)
    error.__dict__.update(attributes)
    return error


def shares(items: Sequence[T]) -> Sequence[T]:
    """This rank's items: every size()-th."""
    return items[rank() :: size()]


def interleaved(parts: Sequence[Sequence[T]]) -> list[T]:
    """The items of all ranks, by rank as `shares` gave them out, in their order."""
    items: list[Any] = [None] * sum(map(len, parts))
    for index, part in enumerate(parts):
        items[index :: len(parts)] = part
    return items
