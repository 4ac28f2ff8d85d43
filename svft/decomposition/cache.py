"""One SVD per base weight and machine: bases on disk, found again by the content of the weight.

$SVFT_CACHE_DIR (not set or empty: ~/.cache/svft; "off" disables) holds `<key>.safetensors`. An entry is whole or
absent (written to a temporary file, flushed, then renamed): reading takes no lock. The lock on `<key>.lock` makes one
process compute while the others wait; the kernel frees it when its process dies. A disk that is full, read-only or
without locks costs time: that is logged, not warned of, since it says nothing of the model whose record lists the
warnings.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TextIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .svd import Basis

# Part of the key: to change whenever `decompose` does, or what an entry holds.
ALGORITHM = "svd-float64-peeled-largest-entry-of-u-positive-3"
REMEDY = "set SVFT_CACHE_DIR to a writable folder with space, or to 'off'"


def cached(weight: torch.Tensor, compute: Callable[[torch.Tensor], Basis]) -> Basis:
    """`compute(weight)`, or what an earlier call of it left on disk."""
    there = folder()
    if there is None:
        return compute(weight)
    path = there / f"{content_key(weight)}.safetensors"
    basis = _read(path)
    if basis is None:
        with _locked(path.with_suffix(".lock")) as writable:
            basis = _read(path)  # whoever held the lock has written it
            if basis is None:
                basis = compute(weight)
                if writable:
                    _write(path, basis)
    return basis.to(weight.device)


def folder() -> Path | None:
    """Where bases are kept, be it there or not; None where none are."""
    setting = os.environ.get("SVFT_CACHE_DIR") or "~/.cache/svft"
    return None if setting == "off" else Path(setting).expanduser()


def content_key(weight: torch.Tensor) -> str:
    return _digest(ALGORITHM, {"weight": weight})


def _digest(label: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(label.encode())
    for name, tensor in tensors.items():
        digest.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(path: Path) -> Basis | None:
    """The entry on the CPU; None where there is none, or (with a warning) where it cannot be used."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in Basis._fields}
            if (file.metadata() or {}).get("sha256") != _digest(path.stem, tensors):  # of this weight's, no other's
                raise ValueError("its checksum does not match")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _say(f"the SVD cache {path.parent} cannot be read ({error.strerror or error}); {REMEDY}")
        return None
    except (SafetensorError, KeyError, ValueError) as error:
        _say(f"the cached SVD {path} is damaged ({error}) and is computed again")
        return None
    # Copies: a mapped file is not aligned as torch aligns its own memory, and products then differ in the last bits.
    return Basis(**{name: tensor.clone() for name, tensor in tensors.items()})


def _write(path: Path, basis: Basis) -> None:
    # A name that no other process uses: where there are no locks, several may write the same entry at once.
    temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.tmp")
    tensors = {name: tensor.cpu() for name, tensor in basis._asdict().items()}
    try:
        with open(temporary, "xb") as file:
            file.write(save(tensors, metadata={"sha256": _digest(path.stem, tensors)}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        _say(f"SVDs cannot be written to {path.parent} ({error.strerror}) and are not kept; {REMEDY}")


def _remove(path: Path) -> None:
    with suppress(OSError):  # it is gone, or another user's, or the disk is the trouble; it harms no one
        path.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the lock, or go on without one. Gives whether the folder can be written at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        _say(f"no SVD cache in {path.parent} ({error.strerror}); {REMEDY}")
        yield False
        return
    with file:
        if _lock(file, path.parent):
            for left in path.parent.glob(f"{path.stem}.*.tmp"):  # of processes that were killed
                _remove(left)
        yield True


def _lock(file: TextIO, folder: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        _say(
            f"{folder} has no file locks ({error.strerror}), so processes that start together may compute the same SVD "
            "twice; set SVFT_CACHE_DIR to a folder on a disk of this machine"
        )
        return False
    return True


@cache
def _say(sentence: str) -> None:
    """Once: a model has hundreds of layers."""
    logging.getLogger(__name__).warning(sentence)
