"""What a change is measured on: inputs as the base was trained on, which it has not seen; else the task's own.

Of a model whose yaml names them (`model.held_out`): a file of texts, one JSON object {"text"} a line, or a folder of
images. Of others the first validation examples of the task, of a task without any its first for training.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from errors import DataError
from harness.modality.interface import Batch, Modality
from harness.models.pretrained import ROOT
from tasks.base import ClassExample, ImageExample
from tasks.reading import class_folders, pictures

ROWS = 64  # the first so many
HELD_OUT, VALIDATION, TRAINING = "held_out", "validation", "train"


@dataclass(frozen=True)
class Inputs:
    """source: HELD_OUT, VALIDATION or TRAINING.  rows: as `Modality.collate` takes them."""

    source: str
    rows: list[Any]
    modality: Modality

    def batches(self, size: int) -> Iterator[Batch]:
        for start in range(0, len(self.rows), size):
            yield self.modality.collate(self.rows[start : start + size])

    def digest(self) -> str:
        """SHA-256 of what the model is given."""
        found = hashlib.sha256()
        for batch in self.batches(1):
            for name in sorted(batch.keys() - {"labels"}):
                found.update(name.encode() + batch[name].contiguous().numpy().tobytes())
        return found.hexdigest()


def of(modality: Modality) -> Inputs:
    """Raises DataError where the file or the folder is not there, or is empty."""
    if path := held_out(modality.cfg.model):
        return Inputs(HELD_OUT, _held_out(modality, path), modality)
    task = modality.task
    split = VALIDATION if task.examples(VALIDATION) else TRAINING
    return Inputs(split, modality.rows(task.examples(split)[:ROWS]), modality)


def held_out(model: DictConfig) -> Path | None:
    """The file or folder that a model's section names, from here or from the project's root. Raises DataError."""
    named = model.get("held_out")
    if named is None:
        return None
    found = next((path for path in (Path(named).expanduser(), ROOT / named) if path.exists()), None)
    if found is None:
        raise DataError(f"there is no file and no folder model.held_out={named}; null measures on the task's inputs")
    return found


def _held_out(modality: Modality, path: Path) -> list[Any]:
    if modality.task.kind == "image_classification":
        return modality.rows(_images(path))
    texts = _texts(path)
    if modality.num_labels is None:
        return _documents(modality, texts)
    return modality.rows([ClassExample(f"held_out-{number}", text, None, 0) for number, text in enumerate(texts, 1)])


def _documents(modality: Modality, texts: list[str]) -> list[dict[str, list[int]]]:
    """As the base was trained on them: every token is predicted, the end token too."""
    ends = [modality.tokenizer.eos_token_id]
    rows = [[*ids, *ends][: modality.cfg.train.max_length] for ids in modality.tokenizer(texts)["input_ids"]]
    return [{"input_ids": ids, "labels": ids} for ids in rows]


def _texts(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:ROWS]
        found = [json.loads(line)["text"] for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'model.held_out={path} is no file with a JSON object of a text under "text" in each line ({error}); null '
            "measures on the task's inputs"
        ) from error
    if not found:
        raise DataError(f"model.held_out={path} has no text in it; null measures on the task's inputs")
    return found


def _images(path: Path) -> list[ImageExample]:
    paths = sorted(filter(class_folders.is_image, path.glob("*")))[:ROWS]
    if not paths:
        raise DataError(f"model.held_out={path} is no folder with images in it; null measures on the task's inputs")
    return [ImageExample(each.name, lambda each=each: pictures.opened(each), 0) for each in paths]


@torch.no_grad()
def at_layers(
    base: torch.nn.Module, names: list[str], inputs: Inputs, size: int, told: Callable[[Any, Any], None] | None = None
) -> dict[str, torch.Tensor]:
    """What reaches each layer of the base that is called: (T, I) by its name, on the CPU, padding left out.

    told: called with the labels and the logits of each batch.
    """
    caught: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    device, mask = next(base.parameters()).device, None

    def keep(name: str):
        def hook(layer, arguments):
            h = arguments[0].detach()  # (B, T, I), (B, I), or (T, I) of experts
            whole = mask is None or h.shape[:-1] != mask.shape
            caught[name].append((h.flatten(0, -2) if whole else h[mask]).cpu())

        return hook

    hooks = [base.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names]
    try:
        base.eval()
        for batch in inputs.batches(size):
            labels = batch.pop("labels", None)
            mask = batch["attention_mask"].bool().to(device) if "attention_mask" in batch else None
            outputs = base(**{name: values.to(device) for name, values in batch.items()})
            if told is not None:
                told(labels, outputs.logits)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(found) for name, found in caught.items() if found}
