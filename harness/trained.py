"""What training changed, on disk: a PEFT adapter, or the trained weights of a model without one."""

from pathlib import Path

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn

WEIGHTS = "trained.safetensors"
PEFT_WEIGHTS = "adapter_model.safetensors"


def save(model: nn.Module, folder: Path) -> None:
    if isinstance(model, PeftModel):
        # False: no embedding is trained, and PEFT would ask the hub about the vocabulary otherwise.
        model.save_pretrained(str(folder), save_embedding_layers=False)
        return
    tensors = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(tensors, str(folder / WEIGHTS))


def load(model: nn.Module, folder: Path) -> None:
    """Into a model that was adapted in the same way. Raises KeyError where a trained tensor is missing."""
    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, load_file(str(folder / PEFT_WEIGHTS)))
        return
    tensors = load_file(str(folder / WEIGHTS))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_(tensors[name])
