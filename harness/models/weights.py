"""What a checkpoint's safetensors hold, by their headers alone, and what of a model is not among it."""

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from httpx import HTTPError
from huggingface_hub import get_safetensors_metadata
from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError
from safetensors import safe_open
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

Find = Callable[[str], Path | None]  # a file of the checkpoint by its name, where it is at hand
Shapes = dict[str, Sequence[int]]


def files(find: Find) -> list[str]:
    """Names of the files that make up the weights; none where there is neither one file nor an index.

    Raises ValueError or OSError where the index cannot be read.
    """
    if find(SINGLE) is not None:
        return [SINGLE]
    index = find(INDEX)
    if index is None:
        return []
    content = json.loads(index.read_text(encoding="utf-8"))
    held = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(held, dict) or not held or not all(isinstance(name, str) for name in held.values()):
        raise ValueError(f"{INDEX} has no weight_map from tensors to files")
    return sorted(set(held.values()))


def shapes(find: Find) -> Shapes | None:
    """Of each tensor; None where not all files are at hand. Raises as `files`, and SafetensorError."""
    paths = [find(name) for name in files(find)]
    if not paths or None in paths:
        return None
    found: Shapes = {}
    for path in paths:
        with safe_open(path, "pt") as file:
            found |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return found


@cache
def shapes_on_hub(checkpoint: str, revision: str) -> Shapes | None:
    """Of each tensor, from the headers on the hub; None where it cannot be reached, or holds no safetensors."""
    try:
        metadata = get_safetensors_metadata(checkpoint, revision=revision)
    except (OSError, HTTPError, NotASafetensorsRepoError, SafetensorsParsingError):
        return None
    return {name: t.shape for file in metadata.files_metadata.values() for name, t in file.tensors.items()}


def absent(architecture: type[PreTrainedModel], config: PretrainedConfig, found: Shapes) -> set[str]:
    """Names of the tensors of the model that tensors of these names and shapes leave to be drawn."""
    tensors = {name: torch.empty(tuple(shape), device="meta") for name, shape in found.items()}
    with _without_a_report():
        _, info = architecture.from_pretrained(
            None, config=copy.deepcopy(config), state_dict=tensors, dtype=torch.float32, device_map="meta",
            ignore_mismatched_sizes=True, output_loading_info=True,
        )  # fmt: skip
    return set(info["missing_keys"])


@contextmanager
def _without_a_report() -> Iterator[None]:
    """transformers tells of each tensor that it misses."""
    logging = transformers.utils.logging
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def lacking(model: nn.Module, info: Mapping[str, Iterable[Any]], new: Sequence[str]) -> list[str]:
    """Names of the tensors outside the modules `new` that the checkpoint has not, or has of another shape.

    info: what `from_pretrained` says. It draws what is missing at random: right for a head, which is new, and as a rule
    for nothing else. A tensor that is tied to one that is there is not missing, by transformers' own account. Nor are
    buffers of whole numbers (positions, indices, counts): they follow from the configuration. Others can be learned.
    """
    follow = {name for name, buffer in model.named_buffers() if not buffer.is_floating_point()}
    names = {*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])} - follow
    return sorted(name for name in names if not name.startswith(tuple(f"{module}." for module in new)))
