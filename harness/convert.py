"""Rewrite a checkpoint of pickled weights as safetensors, the only weights that a run reads.

    python -m harness.convert microsoft/deberta-v3-base checkpoints/deberta-v3-base
    python run.py model=deberta_v3_base model.checkpoint=checkpoints/deberta-v3-base

The pickles are read with torch.load(weights_only=True), which runs no code of theirs.
"""

import json
import pickle
import shutil
import struct
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import save_file

from errors import ModelError
from harness.models.pretrained import local_folder
from harness.run import command_line
from harness.store.files import write_folder

PICKLES = "pytorch_model*.bin"
INDEX = "pytorch_model.bin.index.json"  # of weights in several files
# A damaged pickle can raise any of these: it depends on the bytes.
BROKEN = (pickle.UnpicklingError, struct.error, RuntimeError, EOFError, ValueError, LookupError, TypeError,
          AttributeError, AssertionError)  # fmt: skip
KEPT = (".json", ".txt", ".model", ".jinja")  # configuration and tokenizer


def convert(checkpoint: str, out: Path, revision: str = "main") -> None:
    """Write `checkpoint` (a folder or a hub id) to the new folder `out`, tensors and dtypes unchanged.

    Raises ModelError where there is nothing to convert, a pickle holds other things than tensors by their names, or
    `out` is there; DiskError where it cannot be written. `out` is then not there.
    """
    if out.exists():
        raise ModelError(f"{out} is there already; name a new folder")
    source = local_folder(checkpoint) or _fetched(checkpoint, revision)
    pickles = sorted(source.glob(PICKLES))
    if not pickles:
        raise ModelError(f"{checkpoint} has no {PICKLES} to convert")
    index = _index(source, {path.name for path in pickles})
    write_folder(out, lambda folder: _fill(folder, source, pickles, index))


def _fill(folder: Path, source: Path, pickles: Sequence[Path], index: dict[str, Any] | None) -> None:
    for path in pickles:
        save_file(_tensors(path), folder / _renamed(path.name), metadata={"format": "pt"})
    for path in source.iterdir():
        if path.is_file() and path.suffix in KEPT and path.name != INDEX:
            shutil.copyfile(path, folder / path.name)
    if index is not None:
        (folder / _renamed(INDEX)).write_text(json.dumps(index, indent=2), encoding="utf-8")


def _renamed(file: str) -> str:
    """pytorch_model-00001-of-00002.bin -> model-00001-of-00002.safetensors; the index likewise."""
    return file.removeprefix("pytorch_").replace(".bin", ".safetensors")


def _index(source: Path, pickles: Set[str]) -> dict[str, Any] | None:
    """Which file has which tensor, in the new names; None of weights in one file."""
    if not (source / INDEX).is_file():
        return None
    try:
        index = json.loads((source / INDEX).read_text(encoding="utf-8"))
        files = dict(index["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{source / INDEX} is damaged: it has no weight_map of names and files") from error
    if missing := sorted(set(files.values()) - pickles):
        raise ModelError(f"{source} has no {', '.join(missing)}, which {INDEX} names; fetch it")
    return {"metadata": {}, **index, "weight_map": {name: _renamed(file) for name, file in files.items()}}


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    loaded = _loaded(path)
    if not isinstance(loaded, dict):
        raise ModelError(f"{path.name} holds a value of type {_type(loaded)}; expected tensors by their names")
    if not loaded:
        raise ModelError(f"{path.name} holds no tensors")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            inner = isinstance(value, dict) and any(isinstance(each, torch.Tensor) for each in value.values())
            remedy = f"save what is below {name!r} alone" if inner else "save its state_dict alone"
            raise ModelError(f"{path.name} holds {name!r} of type {_type(value)}, no tensor by its name; {remedy}")
    # Cloned, since safetensors keeps no two tensors in one memory (tied embeddings).
    return {name: value.clone().contiguous() for name, value in loaded.items()}


def _type(value: Any) -> str:
    return type(value).__name__


def _loaded(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except BROKEN as error:
        raise ModelError(f"{path.name} is damaged or holds more than tensors, so it is not read") from error


def _fetched(checkpoint: str, revision: str) -> Path:
    patterns = [PICKLES, *(f"*{suffix}" for suffix in KEPT)]
    try:
        return Path(snapshot_download(checkpoint, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError) as error:
        raise ModelError(f"{checkpoint!r} is no folder and could not be fetched from the hub") from error


def main(arguments: list[str] | None = None) -> int:
    options = command_line.parser("harness.convert", __doc__)
    options.add_argument("checkpoint", help="a folder or a hub id")
    options.add_argument("out", type=Path, help="the folder to write; it must not be there")
    options.add_argument("--revision", default="main", help="of a hub id")
    chosen = options.parse_args(arguments)
    return command_line.exit_code(lambda: _run(chosen.checkpoint, chosen.out, chosen.revision))


def _run(checkpoint: str, out: Path, revision: str) -> None:
    convert(checkpoint, out, revision)
    print(f"{out}: use it with model.checkpoint={out}")


if __name__ == "__main__":
    sys.exit(main())
