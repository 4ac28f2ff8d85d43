"""A method on a model, ready to be measured: composed as run.py composes it, with the task's own examples."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from transformers import TrainerControl, TrainerState, set_seed
from transformers.trainer_callback import CallbackHandler

from bench import methods
from harness.adapters import adapt
from harness.modality import modalities
from harness.modality.interface import Batch, Modality
from harness.plan import config
from harness.train import train_settings

REFERENCE = ("method=lora", "method.adapter.r=8")
MODELS = {  # each with a task that it is trained on elsewhere in this project
    "micro_gemma": ("model=micro_gemma", "task=micro_gsm"),
    "micro_vit": ("model=micro_vit", "task=digits"),
    "micro_deberta": ("model=micro_deberta", "task=micro_sst2"),
    "minilm_l6": ("model=minilm_l6", "task=vader_movies"),
}


def discovered() -> list[str]:
    """Every method of conf/method in the order of tables; one that says nothing of its place comes last."""
    folder = methods.ROOT / "conf" / "method"
    places = {path.stem: (OmegaConf.load(path).get("plot") or {}).get("order") for path in folder.glob("*.yaml")}
    return sorted(places, key=lambda name: (places[name] is None, places[name], name))


@dataclass
class Model:
    """A model of conf/model and its task: copies of the base, and batches that are the same for every method.

    overrides: as run.py takes them.  training: batches of B rows.  held_out: one of 2 B rows, without labels.
    """

    overrides: Sequence[str]
    device: torch.device
    batch: int
    batches: int

    def __post_init__(self) -> None:
        self.bases: dict[str, nn.Module] = {}
        self.modality = self._modality("float32")
        rows = self._drawn("train", self.batches * self.batch)
        self.training = [self._collated(rows[at : at + self.batch]) for at in range(0, len(rows), self.batch)]
        self.held_out = self._collated(self._drawn("validation", 2 * self.batch))
        del self.held_out["labels"]

    def _drawn(self, split: str, count: int) -> list[Any]:
        """Rows of examples from anywhere in the split: a task may have them in the order of their classes."""
        examples = self.modality.task.examples(split)
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))[:count]
        return self.modality.rows([examples[place] for place in order.tolist()])

    def composed(self, *method: str, dtype: str = "float32") -> DictConfig:
        return methods.configuration(*self.overrides, *method, f"model.dtype={dtype}", f"device={self.device.type}")

    def _modality(self, dtype: str) -> Modality:
        cfg = self.composed(dtype=dtype)
        return modalities.choose(cfg, config.instantiate(cfg.task.source))

    def _collated(self, rows: Sequence[Any]) -> Batch:
        return {name: tensor.to(self.device) for name, tensor in self.modality.collate(rows).items()}

    @property
    def head(self) -> list[str]:
        return adapt.head_modules(self.modality.cfg.model.head) if self.modality.num_labels else []

    def base(self, dtype: str = "float32") -> nn.Module:
        """A copy of its own. A new head is drawn once, from the seed, and rounded where the rest is."""
        if dtype not in self.bases:
            set_seed(self.modality.cfg.seed)
            read = self._modality(dtype).load_model()
            if dtype != "float32":
                read.load_state_dict(self.base().state_dict())
            self.bases[dtype] = read.to(self.device).eval()
        return copy.deepcopy(self.bases[dtype])

    def adapted(self, cfg: DictConfig, dtype: str = "float32") -> adapt.Adapted:
        """As a run adapts it. A head is of the type of the layers before it: there is no autocast here."""
        base = self.base(dtype)
        set_seed(cfg.seed)
        made = adapt.adapt(base, config.instantiate(cfg.method.adapter), self.head)
        if any(parameter.dtype == getattr(torch, dtype) for parameter in made.model.parameters()):
            for name in self.head:
                methods.base_of(made.model).get_submodule(name).to(getattr(torch, dtype))
        made.model.to(self.device)
        return made


class Training:
    """Optimiser steps at a constant rate: loss, backward, clipping, AdamW, and what the method's callbacks do.

    batches: those of the first steps, for callbacks that look at them before (harness.train.trainer.fit).
    """

    def __init__(
        self, model: nn.Module, cfg: DictConfig, head: Sequence[str], steps: int, batches: Sequence[Batch] = ()
    ):
        self.model, self.limit, self.batches = model, cfg.train.max_grad_norm, batches
        self.optimizer = train_settings.optimizer(model, head, cfg.train)
        self.state, self.control = TrainerState(max_steps=steps), TrainerControl()
        with TemporaryDirectory() as folder:
            self.arguments = train_settings.training_arguments(cfg, Path(folder))
        self.handler = CallbackHandler(config.callbacks(cfg.method), model, None, self.optimizer, None)

    def __enter__(self) -> "Training":
        for callback in self.handler.callbacks:
            if hasattr(callback, "calibrate"):
                callback.calibrate(self.model, (self._losses(batch) for batch in self.batches))
        self._tell("on_train_begin")
        return self

    def __exit__(self, *failure: Any) -> None:
        self._tell("on_train_end")

    def _losses(self, *batches: Batch) -> Iterator[torch.Tensor]:
        return (self.model(**batch).loss for batch in batches)

    def _tell(self, event: str) -> None:
        self.handler.call_event(event, self.arguments, self.state, self.control)

    def scale_rate(self, factor: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] *= factor

    def step(self, batch: Batch) -> float:
        """The loss."""
        self.model.train()
        self._tell("on_step_begin")
        loss = self.model(**batch).loss
        loss.backward()
        if self.limit:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.limit)
        self._tell("on_pre_optimizer_step")
        self.optimizer.step()
        self._tell("on_optimizer_step")
        self.optimizer.zero_grad()
        self.state.global_step += 1
        self._tell("on_step_end")
        return loss.item()


def logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """In evaluation, in fp32."""
    with torch.no_grad():
        return model.eval()(**batch).logits.float()


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """|found - expected| over |expected|, Frobenius."""
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()
