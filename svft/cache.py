"""One SVD per base weight and machine: bases on disk, found again by the content of the weight.

$SVFT_CACHE_DIR (default ~/.cache/svft; "off" disables) holds `<key>.safetensors`, written whole (temporary file, fsync,
rename) by the one process that holds the lock on `<key>.lock`; the kernel frees the lock of a process that died.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .decomposition import Basis

ALGORITHM = "svd-float64-peeled-largest-entry-of-u-positive-2"  # part of the key: to change whenever `decompose` does


def cached(weight: torch.Tensor, compute: Callable[[torch.Tensor], Basis]) -> Basis:
    """`compute(weight)`, or what an earlier call of it left on disk."""
    setting = os.environ.get("SVFT_CACHE_DIR", "~/.cache/svft")
    if setting == "off":
        return compute(weight)
    folder = Path(setting).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key = content_key(weight)
        with _locked(folder / f"{key}.lock"):
            return _read_or_compute(folder / f"{key}.safetensors", weight, compute)
    except OSError as error:
        warnings.warn(
            f"no SVD cache in {folder} ({error}); set SVFT_CACHE_DIR to a writable folder or to 'off'", stacklevel=2
        )
        return compute(weight)


def _read_or_compute(path: Path, weight: torch.Tensor, compute: Callable[[torch.Tensor], Basis]) -> Basis:
    if path.exists():
        try:
            return _read(path).to(weight.device)
        except (SafetensorError, KeyError, ValueError) as error:
            warnings.warn(f"the cached SVD {path} is damaged ({error}) and is computed again", stacklevel=2)
            path.unlink()
    basis = compute(weight)
    try:
        _write(path, basis)
    except (SafetensorError, OSError) as error:
        warnings.warn(f"the SVD could not be written to {path} ({error})", stacklevel=2)
    return basis


def content_key(weight: torch.Tensor) -> str:
    return _digest(ALGORITHM, {"weight": weight})


def _digest(label: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(label.encode())
    for name, tensor in tensors.items():
        digest.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(path: Path) -> Basis:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in Basis._fields}
        if (file.metadata() or {}).get("sha256") != _digest("basis", tensors):
            raise ValueError("its checksum does not match")
    # Copies: a mapped file is not aligned as torch aligns its own memory, and products then differ in the last bits.
    return Basis(**{name: tensor.clone() for name, tensor in tensors.items()})


def _write(path: Path, basis: Basis) -> None:
    temporary = path.with_suffix(".tmp")  # one writer at a time: the lock is held
    tensors = {name: tensor.cpu() for name, tensor in basis._asdict().items()}
    save_file(tensors, temporary, metadata={"sha256": _digest("basis", tensors)})
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
