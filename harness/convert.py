"""A checkpoint whose weights are pickles, rewritten as safetensors, which is all that a run reads.

    python -m harness.convert microsoft/deberta-v3-base checkpoints/deberta-v3-base
    python run.py model=deberta_v3_base model.checkpoint=checkpoints/deberta-v3-base

The pickles are read with torch.load(weights_only=True): tensors come in, no code is run.
"""

import argparse
import json
import pickle
import shutil
import sys
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import save_file

from harness.disk import one_sentence
from harness.models import ModelError, local_folder

PICKLES = "pytorch_model*.bin"
INDEX = "pytorch_model.bin.index.json"  # of weights in several files
KEPT = (".json", ".txt", ".model", ".jinja")  # configuration and tokenizer


def convert(checkpoint: str, out: Path, revision: str = "main") -> None:
    """Write `checkpoint` (a folder or a hub id) to the new folder `out`, tensors and dtypes unchanged.

    Raises ModelError where there is nothing to convert, a pickle holds more than tensors, or `out` is there.
    """
    if out.exists():
        raise ModelError(f"{out} is there already; name a new folder")
    source = local_folder(checkpoint) or _fetched(checkpoint, revision)
    pickles = sorted(source.glob(PICKLES))
    if not pickles:
        raise ModelError(f"{checkpoint} has no {PICKLES} to convert")
    unfinished = out.with_name(f"{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for path in pickles:
        save_file(_tensors(path), unfinished / _renamed(path.name), metadata={"format": "pt"})
    for path in source.iterdir():
        if path.is_file() and path.suffix in KEPT and path.name != INDEX:
            shutil.copyfile(path, unfinished / path.name)
    if (source / INDEX).is_file():
        index = json.loads((source / INDEX).read_text(encoding="utf-8"))
        index["weight_map"] = {name: _renamed(file) for name, file in index["weight_map"].items()}
        (unfinished / _renamed(INDEX)).write_text(json.dumps(index, indent=2), encoding="utf-8")
    unfinished.rename(out)


def _renamed(file: str) -> str:
    """pytorch_model-00001-of-00002.bin -> model-00001-of-00002.safetensors; the index likewise."""
    return file.removeprefix("pytorch_").replace(".bin", ".safetensors")


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(f"{path.name} is damaged or holds more than tensors, so it is not read") from error
    # Cloned, since safetensors keeps no two tensors in one memory (tied embeddings).
    return {name: value.clone().contiguous() for name, value in loaded.items() if isinstance(value, torch.Tensor)}


def _fetched(checkpoint: str, revision: str) -> Path:
    patterns = [PICKLES, *(f"*{suffix}" for suffix in KEPT)]
    try:
        return Path(snapshot_download(checkpoint, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError) as error:
        raise ModelError(f"{checkpoint!r} is no folder and could not be fetched from the hub") from error


@one_sentence()
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.convert", description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", help="a folder or a hub id")
    parser.add_argument("out", type=Path, help="the folder to write; it must not be there")
    parser.add_argument("--revision", default="main", help="of a hub id")
    chosen = parser.parse_args(arguments)
    try:
        convert(chosen.checkpoint, chosen.out, chosen.revision)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{chosen.out}: use it with model.checkpoint={chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
