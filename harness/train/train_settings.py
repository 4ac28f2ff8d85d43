"""What the train section of a configuration means to HF Trainer and to the optimiser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn
from transformers import TrainingArguments

from errors import SettingError
from harness.ranks import distributed

VALIDATION = "validation"


def check(cfg: DictConfig) -> None:
    """Raise SettingError for values of the train section that cannot be, before anything is loaded."""
    accumulation(cfg.train)
    selection(cfg)


def accumulation(train: DictConfig) -> int:
    """Micro-batches per optimiser step. Raises SettingError where the batch does not divide into them."""
    devices = distributed.size()
    together = train.micro_batch_size * devices
    if train.batch_size % together:
        fitting = [m for m in range(1, train.micro_batch_size + 1) if train.batch_size % (m * devices) == 0]
        remedy = (
            f"train.micro_batch_size={fitting[-1]} fits"
            if fitting
            else f"no micro-batch fits, since train.batch_size has to be a multiple of the {devices} devices"
        )
        raise SettingError(
            f"train.batch_size={train.batch_size} is not a multiple of {together} (train.micro_batch_size x devices); "
            f"{remedy}"
        )
    return train.batch_size // together


def selection(cfg: DictConfig) -> dict[str, Any] | None:
    """`train.select_best` as {by: score or loss, every: optimiser steps, or None for an epoch}; None: the last step.

    Raises SettingError.
    """
    asked, natural = cfg.train.select_best, "score" if cfg.model.head else "loss"
    if isinstance(asked, bool):
        return {"by": natural, "every": None} if asked else None
    best = {"by": natural, "every": None, **asked}
    if best["by"] not in ("loss", natural) or set(best) != {"by", "every"}:
        raise SettingError(
            f"train.select_best={dict(asked)} takes by (loss, or score of a classifier) and every (steps)"
        )
    return best


def training_arguments(cfg: DictConfig, folder: Path) -> TrainingArguments:
    t = cfg.train
    best = selection(cfg)
    when = "epoch" if best and best["every"] is None else "steps"
    by = best and best["by"]
    return TrainingArguments(
        output_dir=str(folder),
        seed=cfg.seed,
        data_seed=cfg.seed,
        per_device_train_batch_size=t.micro_batch_size,
        per_device_eval_batch_size=t.micro_batch_size,
        gradient_accumulation_steps=accumulation(t),
        num_train_epochs=t.epochs,
        max_steps=t.max_steps or -1,
        lr_scheduler_type=t.schedule,
        warmup_steps=t.warmup_ratio,  # below 1: a share of the true number of optimiser steps
        max_grad_norm=t.max_grad_norm or 0,  # no limit
        bf16=t.precision == "bf16",
        logging_steps=t.log_every,
        logging_nan_inf_filter=False,
        save_strategy=when,
        save_steps=best["every"] if best and best["every"] else t.checkpoint_every,
        eval_strategy=when if best else "no",
        eval_steps=best["every"] if best else None,
        load_best_model_at_end=bool(best),
        metric_for_best_model=f"{VALIDATION}_{by}" if by else None,
        greater_is_better=by == "score",
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_broadcast_buffers=False,  # they do not change, and singular vectors are as large as the model
        use_cpu=cfg.device == "cpu" or not torch.cuda.is_available(),
        disable_tqdm=True,
        report_to=[],
    )


def optimizer(model: nn.Module, head: Sequence[str], train: DictConfig) -> torch.optim.Optimizer:
    """AdamW with two groups, adapter and head; weight decay, if any, is on every trained tensor."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            in_head = any(f".{module}." in f".{name}" for module in head)
            groups.setdefault(train.head_lr if in_head else train.lr, []).append(parameter)
    return torch.optim.AdamW(
        [{"params": parameters, "lr": lr} for lr, parameters in groups.items()],
        betas=tuple(train.betas),
        weight_decay=train.weight_decay,
    )
