"""A Spectral Adapter as a plain LoRA of PEFT, on the same unmodified base weights: W0 + L R is W0 + B A.

B = L (O x q) and A = R (q x I), with q = 2r (additive, factored) or r (the other modes).
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from .config import SpectralAdapterConfig
from .layer import SpectralAdapterLinear


def save_as_lora(model: PeftModel, folder: str | os.PathLike, adapter_name: str = "default") -> None:
    """Write a folder that PEFT loads without this package; modules to save (a head) come along.

    Raises ValueError where the adapter is not there, or is none of these.
    """
    config = model.peft_config.get(adapter_name)
    if not isinstance(config, SpectralAdapterConfig):
        has = ", ".join(f"{name} ({each.peft_type.value})" for name, each in model.peft_config.items())
        raise ValueError(f"no Spectral Adapter is named {adapter_name}; this model has: {has}")
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, SpectralAdapterLinear) and adapter_name in layer.configs
    }
    tensors = {
        key: tensor
        for key, tensor in get_peft_model_state_dict(model, adapter_name=adapter_name).items()
        if key.rpartition(".")[0] not in layers
    }
    with torch.no_grad():
        for name, layer in layers.items():
            L, R = layer.factors(adapter_name)
            tensors |= {f"{name}.lora_A.weight": R, f"{name}.lora_B.weight": L}
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(
        {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()},
        Path(folder) / "adapter_model.safetensors",
        {"format": "pt"},
    )
    lora_config(config, layers, rank=len(R)).save_pretrained(folder)


def lora_config(config: SpectralAdapterConfig, layers: dict[str, SpectralAdapterLinear], rank: int) -> LoraConfig:
    """lora_alpha = r, so that PEFT's factor alpha / r is 1."""
    return LoraConfig(
        task_type=config.task_type,
        base_model_name_or_path=config.base_model_name_or_path,
        inference_mode=True,
        r=rank,
        lora_alpha=rank,
        target_modules=[name.removeprefix("base_model.model.") for name in layers],
        modules_to_save=config.modules_to_save,
        fan_in_fan_out=all(layer.transposed for layer in layers.values()),
    )
