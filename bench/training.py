"""The trainer's step on a whole model of random weights.

Shapes: B x L = T tokens.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import torch
from omegaconf import DictConfig
from torch import nn
from transformers import PretrainedConfig

from bench import memory, methods, shapes
from bench.methods import Method
from bench.timing import Step
from harness.modality.generation import Generation
from harness.train import train_settings, trainer

Batch = dict[str, torch.Tensor]


class RandomText(Generation):
    """Random token ids, collated as language tasks are; no tokenizer is needed."""

    def __init__(self, vocabulary: int, generator: torch.Generator):
        self.vocabulary, self.generator, self.num_labels = vocabulary, generator, None
        self.tokenizer = SimpleNamespace(pad_token_id=0)

    def batch(self, tokens: int, longest: int) -> Batch:
        """Rows of min(tokens, longest) tokens, all of which are predicted."""
        length = min(tokens, longest)
        ids = torch.randint(self.vocabulary, (tokens // length, length), generator=self.generator).tolist()
        return self.collate([{"input_ids": row, "labels": row} for row in ids])


def composed(method: Method, model: Sequence[str], *, precision: str, device: torch.device, seed: int) -> DictConfig:
    """As run.py composes it; `model`: overrides that choose it.

    The rate is 0: a step costs as much, and random weights stay as they are.
    """
    alone = ("train.batch_size=1", "train.micro_batch_size=1", "train.lr=0", "train.head_lr=0")
    own = (f"train.precision={precision}", f"device={device.type}", f"seed={seed}")
    return methods.composed(method, model, *alone, *own)


@dataclass
class Training:
    """A method on a model, with harness.train.trainer's optimizer, precision and loss."""

    trainer: trainer.BenchTrainer
    model: nn.Module
    text: RandomText
    trained: int
    base_bytes: int
    warnings: list[str]

    @classmethod
    def build(cls, cfg: DictConfig, method: Method, *, layers: int | None, device: torch.device) -> Self:
        """`layers`: blocks; None: as many as the model has."""
        base = shapes.build(cfg.model, cfg.model.dtype, method.head, device, cfg.seed, layers)
        base_bytes, vocabulary = memory.resident_bytes(base), base.config.vocab_size
        adapted = methods.attached(base, method, cfg)
        model = adapted.model.to(device)
        text = RandomText(vocabulary, torch.Generator().manual_seed(cfg.seed))
        with tempfile.TemporaryDirectory(prefix="svft-bench-") as folder:
            made = trainer.BenchTrainer(
                model=model,
                args=train_settings.training_arguments(cfg, Path(folder)),
                data_collator=text.collate,
                optimizers=(train_settings.optimizer(model, method.head, cfg.train), None),
                callbacks=[trainer.Meter()],
                modality=text,
            )
        prepared, made.optimizer = made.accelerator.prepare(model, made.optimizer)
        made.current_gradient_accumulation_steps = 1
        return cls(made, prepared, text, methods.trained(model), base_bytes, adapted.warnings)

    @property
    def config(self) -> PretrainedConfig:
        return methods.base_of(self.model).config

    def step(self, batch: Batch) -> Step:
        """Loss, backward, clipping, AdamW."""
        optimizer, limit = self.trainer.optimizer, self.trainer.args.max_grad_norm

        def run() -> None:
            self.trainer.training_step(self.model, batch)
            self.trainer.accelerator.clip_grad_norm_(self.model.parameters(), limit)
            optimizer.step()
            optimizer.zero_grad()

        return Step(run)

    def saved(self, batch: Batch) -> memory.SavedForBackward:
        on_device = {name: tensor.to(self.trainer.args.device) for name, tensor in batch.items()}
        with memory.SavedForBackward(self.model) as kept, self.trainer.compute_loss_context_manager():
            self.trainer.compute_loss(self.model, on_device)
        return kept

    def standing_bytes(self) -> int:
        """Of the model and the optimizer's state, between two steps."""
        state = [t for held in self.trainer.optimizer.state.values() for t in held.values() if torch.is_tensor(t)]
        return memory.resident_bytes(self.model) + memory.distinct_bytes(state)

    def release(self) -> None:
        """Gradients of a step that was broken off."""
        self.trainer.optimizer.zero_grad()

    def summary(self) -> dict[str, Any]:
        return {
            "trained": self.trained,
            "base_bytes": self.base_bytes,
            "resident_bytes": memory.resident_bytes(self.model),
            "warnings": self.warnings,
        }
