"""FSDP2 in training (`+train.sharding=fsdp2`): each rank holds a share of every weight, and one block whole at a time.

Sharded are all parameters and SVFT's singular vectors, which are buffers as large as the weights. Checkpoints hold
whole tensors, written by rank 0, so a run goes on with any number of ranks. What was trained is put into a whole model
on each rank at the end: evaluation is not sharded. The setting is in the `train` section, and so part of the run key.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from peft import LoraConfig
from safetensors.torch import save_file
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from errors import SettingError
from harness.ranks import distributed
from harness.store import trained

FSDP2 = "fsdp2"
WEIGHTS = "trained_whole.safetensors"
STATE = "optimizer.pt"  # the name and format of HF Trainer's in one process


def asked(cfg: DictConfig) -> bool:
    return cfg.train.get("sharding") is not None


def check(cfg: DictConfig, adapter: Any) -> None:
    """Raise SettingError for a sharding that there is not, and where the method is not known to work under it.

    The number of devices is not looked at here (see `check_devices`): a finished run is evaluated on any number.
    """
    if not asked(cfg):
        return
    if cfg.train.sharding != FSDP2:
        raise SettingError(f"train.sharding={cfg.train.sharding} is unknown; it is {FSDP2}, or left out")
    plain_lora = type(adapter) is LoraConfig and not adapter.use_dora and adapter.init_lora_weights is True
    if not (plain_lora or getattr(adapter, "can_be_sharded", False)):
        tried = cfg.method.name + (" where layers share what they train" if getattr(adapter, "share", None) else "")
        tried += " with factor_dtype" if getattr(adapter, "factor_dtype", None) else ""
        raise SettingError(f"train.sharding={FSDP2} is for full fine-tuning, SVFT and LoRA, and not tried with {tried}")


def check_devices(cfg: DictConfig) -> None:
    """Raise SettingError where a training that is to be sharded has one device."""
    if asked(cfg) and distributed.size() == 1:
        raise SettingError(
            f"train.sharding={FSDP2} needs several devices: torchrun --nproc-per-node=2 run.py ...; leave it out on one"
        )


def shard(model: nn.Module) -> None:
    """In place: a unit for each block, and one for the rest, such as tied embeddings. Raises SettingError."""
    blocks = distributed.call_together(lambda: _block_names(model))
    for layer in model.modules():
        _make_parameters(layer, getattr(layer, "large_buffers", ()))
    for module in list(model.modules()):
        if type(module).__name__ in blocks:
            fully_shard(module)
    fully_shard(model)


def is_sharded(model: nn.Module) -> bool:
    return isinstance(model, FSDPModule)


def _make_parameters(layer: nn.Module, names: Sequence[str]) -> None:
    """Turn these buffers into frozen parameters: FSDP2 shards parameters alone."""
    for name in names:
        tensor = getattr(layer, name)
        if tensor is not None:
            delattr(layer, name)
            layer.register_parameter(name, nn.Parameter(tensor, requires_grad=False))


def _block_names(model: nn.Module) -> set[str]:
    """Names of the classes of blocks: those that transformers names, or else (DeBERTa) those in the longest list.

    Raises SettingError where there is neither.
    """
    names = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not names and lists:
        names = {type(block).__name__ for block in max(lists, key=len)}
    if not names:
        raise SettingError(f"train.sharding={FSDP2}: {type(model).__name__} does not say which modules are its blocks")
    return names


def reshard(model: nn.Module) -> None:
    """Free what a forward pass without a backward pass, as in an evaluation, has left whole."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """What is trained, by parameter name, on the CPU; all ranks have to call this."""
    reshard(model)
    return {name: _whole(p.detach()).contiguous() for name, p in model.named_parameters() if p.requires_grad}


def unsharded(model: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
    """A model from `build`, which is not sharded, with what was trained; `model` itself where it is not sharded."""
    if not is_sharded(model):
        return model
    tensors, fresh = whole_tensors(model), distributed.call_together(build)
    for name, parameter in fresh.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_(tensors[name])
    return fresh


def save(model: nn.Module, folder: Path) -> None:
    tensors = whole_tensors(model)
    if distributed.is_main():
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, str(folder / WEIGHTS))


def load(model: nn.Module, folder: Path) -> None:
    reshard(model)
    tensors = distributed.call_together(lambda: trained.tensors(folder / WEIGHTS))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_(_like(tensors[name].to(parameter.device), parameter))


def save_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    state = optimizer.state_dict()
    state["state"] = {i: {name: _whole(value) for name, value in of.items()} for i, of in state["state"].items()}
    if distributed.is_main():
        torch.save(state, folder / STATE)


def shard_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Shard state that was loaded as whole tensors."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape and not isinstance(value, DTensor):
                state[name] = _like(value, parameter)


def _whole(value: Any) -> Any:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _like(tensor: torch.Tensor, parameter: DTensor) -> DTensor:
    """This rank's share, as the parameter is sharded."""
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements)
