"""What training changed, on disk: a PEFT adapter, or the trained weights of a model without one."""

import copy
import json
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, set_peft_model_state_dict
from peft.utils import CONFIG_NAME
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from errors import Damaged

WEIGHTS = "trained.safetensors"
PEFT_WEIGHTS = "adapter_model.safetensors"


def save(model: nn.Module, folder: Path) -> None:
    if isinstance(model, PeftModel):
        # False: no embedding is trained, and PEFT would ask the hub about the vocabulary otherwise.
        model.save_pretrained(str(folder), save_embedding_layers=False)
        _sort_sets(model.active_peft_config, folder / CONFIG_NAME)
        return
    tensors = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(tensors, str(folder / WEIGHTS))


def _sort_sets(config: PeftConfig, path: Path) -> None:
    """In the adapter_config.json that PEFT wrote, whose sets are in the order of hashes that differ by process."""
    content = json.loads(path.read_text(encoding="utf-8"))
    sets = {name: sorted(value) for name, value in vars(config).items() if isinstance(value, set)}
    if sets:
        path.write_text(json.dumps(content | sets, indent=2, sort_keys=True), encoding="utf-8")


def save_configuration(model: nn.Module, folder: Path) -> None:
    """Write config.json beside a classifier, so that the base model can be loaded with its number and names of classes.

    A PEFT adapter contains the classifier's weights but not the number of classes, so it cannot be loaded alone.
    """
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    if isinstance(base, PreTrainedModel) and base.config.problem_type is not None:
        config = copy.deepcopy(base.config)
        config.architectures = [type(base).__name__]  # a checkpoint may have been another kind of model
        config.save_pretrained(folder)


def load(model: nn.Module, folder: Path) -> None:
    """Load into a model that was adapted in the same way. Raises Damaged if the tensors are not those of this model."""
    if isinstance(model, PeftModel):
        result = set_peft_model_state_dict(model, tensors(folder / PEFT_WEIGHTS))
        if result.unexpected_keys:
            raise Damaged(folder / PEFT_WEIGHTS, f"this model has no {result.unexpected_keys[0]}")
        return
    found = tensors(folder / WEIGHTS)
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, parameter in wanted.items():
        if name not in found or found[name].shape != parameter.shape:
            raise Damaged(folder / WEIGHTS, f"{name} is not in it, or has another shape than in this model")
        parameter.data.copy_(found[name])


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises Damaged if it is truncated or its header cannot be read."""
    try:
        return load_file(str(path))
    except (SafetensorError, FileNotFoundError, IsADirectoryError) as error:
        raise Damaged(path, str(error)) from error
