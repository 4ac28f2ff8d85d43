"""Adapters that take part in a fusion, as finished runs stored them, each relative to the base weights as they are."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import hydra
import torch
from peft import PeftConfig, get_peft_model, get_peft_model_state_dict
from torch import nn

from errors import Damaged
from harness.adapters import starting_point
from harness.store import record, trained
from harness.store.record import Record
from harness.store.stored import Stored


@dataclass(frozen=True)
class Part:
    """tensors: of the adapter; head: of the modules that are new with the task; both as PEFT's files name them."""

    config: PeftConfig
    tensors: dict[str, torch.Tensor]
    head: dict[str, torch.Tensor]


def read(run: Path, head: Sequence[str]) -> Part:
    """Of the finished run in this folder. Raises ValueError where its adapter is damaged, missing or none of PEFT's."""
    there = record.read(run / record.FILE)
    folder = _adapter(run, there)
    # PEFT knows a tuner from outside its package once that is imported: by the name that the run had for it.
    hydra.utils.get_object(there.config["method"]["adapter"]["_target_"])
    config = PeftConfig.from_pretrained(str(folder))
    config.modules_to_save, config.inference_mode = None, False
    tensors = trained.tensors(folder / trained.PEFT_WEIGHTS)
    prefixes = tuple(f"base_model.model.{module}." for module in head)
    return Part(config, tensors, {name: tensors.pop(name) for name in list(tensors) if name.startswith(prefixes)})


def _adapter(run: Path, there: Record) -> Path:
    stored = Stored(run, there)
    folder = stored.adapter
    if (folder / trained.WEIGHTS).exists():
        raise ValueError(f"{folder} has weights of the model itself and no adapter: runs of that method are not fused")
    if not (folder / trained.PEFT_WEIGHTS).exists():
        raise ValueError(
            f"{folder} is not there: that run is done, but its adapter was not kept; force=true trains it again"
        )
    try:
        stored.train_section()
    except Damaged as error:
        raise ValueError(f"{error}; force=true trains that run again") from error
    return folder


def relative_to(model: nn.Module, part: Part) -> Part:
    """The part as an update of the weights of `model`: a start B0 A0 that was taken out of them is taken off the part.

    B A - B0 A0 = [B, -B0] [A; A0], a LoRA of twice the rank: what PEFT makes of PiSSA and OLoRA where it converts them.
    """
    if not starting_point.changes_base(part.config):
        return part
    start = get_peft_model_state_dict(get_peft_model(copy.deepcopy(model), part.config), save_embedding_layers=False)
    tensors = dict(part.tensors)
    for name in tensors:
        if ".lora_A." in name:
            tensors[name] = torch.cat([tensors[name], start[name].to(tensors[name])], dim=0)
        elif ".lora_B." in name:
            tensors[name] = torch.cat([tensors[name], -start[name].to(tensors[name])], dim=1)
    return replace(part, config=_of_twice_the_rank(part.config), tensors=tensors)


def _of_twice_the_rank(config: PeftConfig) -> PeftConfig:
    """With the same scaling, which is alpha / r, or alpha / sqrt(r)."""
    factor = math.sqrt(2) if config.use_rslora else 2
    return replace(
        config, init_lora_weights=True, r=2 * config.r, lora_alpha=factor * config.lora_alpha,
        rank_pattern={name: 2 * rank for name, rank in config.rank_pattern.items()},
        alpha_pattern={name: factor * alpha for name, alpha in config.alpha_pattern.items()},
    )  # fmt: skip
