"""Trainings of the harness on models of random weights, a few numbers wide: in float64, with the loss of each step.

The families are a decoder, an encoder that classifies, one that predicts a value, and a vision model. Rows have
different lengths; of the decoder's the first and the ninth have nothing to learn.
"""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    TrainerCallback,
)

from harness.modality.classification import TextClassification
from harness.modality.generation import IGNORED, Generation
from harness.modality.images import ImageClassification
from harness.train import trainer
from tasks.base import CorpusScorer
from tasks.scoring.corpus import pearson
from tasks.scoring.verdicts import exact_class
from tests.bare import Bare
from tests.conftest import ROOT

ROWS, VOCABULARY = 22, 40
WITHOUT_TARGET = (0, 8)
WIDTHS = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2}


class Words(Generation):
    def __init__(self):
        self.tokenizer, self.num_labels = SimpleNamespace(pad_token_id=0), None

    def rows(self, examples: Sequence[Any]) -> list[Any]:
        return list(examples)


class Texts(TextClassification):
    def __init__(self, num_labels: int):
        self.tokenizer = SimpleNamespace(pad_token_id=0, pad_token_type_id=0)
        self.num_labels = num_labels

    rows = Words.rows


class Pictures(ImageClassification):
    def __init__(self):
        self.num_labels = 3

    rows = Words.rows

    def collate(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _texts(label) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    lengths = [4 + 5 * i % 7 for i in range(ROWS)]
    ids = [torch.randint(1, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]
    return [{"input_ids": row, "labels": label(i, row)} for i, row in enumerate(ids)]


def _tokens(i: int, row: list[int]) -> list[int]:
    learnt = 0 if i in WITHOUT_TARGET else 1 + i % 3
    return [IGNORED] * (len(row) - learnt) + row[len(row) - learnt :]


def _pictures() -> list[dict[str, torch.Tensor]]:
    pixels = torch.randn(ROWS, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return [{"pixel_values": p, "labels": torch.tensor(i % 3)} for i, p in enumerate(pixels)]


def _bert(num_labels: int, dropout: float) -> dict[str, Any]:
    kind = "regression" if num_labels == 1 else "single_label_classification"
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return {"model_type": "bert", "vocab_size": VOCABULARY, "num_labels": num_labels, "problem_type": kind, **WIDTHS,
            **rates}  # fmt: skip


def _gpt2(dropout: float) -> dict[str, Any]:
    rates = {f"{of}_pdrop": dropout for of in ("embd", "attn", "resid")}
    return {"model_type": "gpt2", "vocab_size": VOCABULARY, "n_embd": 8, "n_layer": 2, "n_head": 2, **rates}


def _vit(dropout: float) -> dict[str, Any]:
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return {"model_type": "vit", "image_size": 4, "patch_size": 2, "num_channels": 1, "num_labels": 3, **WIDTHS,
            **rates}  # fmt: skip


FAMILIES = {
    "decoder": (AutoModelForCausalLM, _gpt2, Words, lambda: _texts(_tokens)),
    "classification": (
        AutoModelForSequenceClassification,
        lambda dropout: _bert(3, dropout),
        lambda: Texts(3),
        lambda: _texts(lambda i, row: i % 3),
    ),
    "regression": (
        AutoModelForSequenceClassification,
        lambda dropout: _bert(1, dropout),
        lambda: Texts(1),
        lambda: _texts(lambda i, row: 0.37 * i - 4),
    ),
    "vision": (AutoModelForImageClassification, _vit, Pictures, _pictures),
}


def model_of(family: str, dropout: float = 0.0) -> nn.Module:
    auto, architecture, _, _ = FAMILIES[family]
    torch.manual_seed(7)
    return auto.from_config(AutoConfig.for_model(**architecture(dropout))).double()


def modality_of(family: str) -> Any:
    return FAMILIES[family][2]()


def rows_of(family: str) -> list[dict[str, Any]]:
    return FAMILIES[family][3]()


def settings(**train: Any) -> Any:
    cfg = OmegaConf.create({"seed": 0, "device": "cpu", "model": {"head": None}})
    given = {"lr": 1e-2, "head_lr": 1e-2, "epochs": 2, "batch_size": 8, "micro_batch_size": 8, "log_every": 1}
    cfg.train = OmegaConf.merge(OmegaConf.load(ROOT / "conf" / "train" / "default.yaml"), given, train)
    return cfg


class Steps(TrainerCallback):
    """Of each optimiser step the gradients' norm, before it is limited."""

    def __init__(self):
        self.norms: list[float] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "grad_norm" in logs:
            self.norms.append(logs["grad_norm"])


class Exact(trainer.BenchTrainer):
    """Losses by step as they are, while the log has them in float32."""

    losses: tuple[list[float], ...] = ([],)

    def training_step(self, *args, **kwargs):
        loss = super().training_step(*args, **kwargs)
        by_step = Exact.losses[0]
        by_step += [0.0] * (self.state.global_step + 1 - len(by_step))
        by_step[self.state.global_step] += loss.item()
        return loss


def task_of(rows: Sequence[Any], validation: Sequence[Any] | None = None) -> Any:
    scorer = CorpusScorer(pearson) if isinstance(rows[0]["labels"], float) else exact_class
    split = {"train": rows, "validation": rows[:9] if validation is None else validation}
    return Bare(examples=split.__getitem__, name="of", scorers={"score": scorer})


def train(family: str, folder: Path, *, model: nn.Module | None = None, rows: Sequence[Any] | None = None,
          validation: Sequence[Any] | None = None, callbacks: Sequence[TrainerCallback] = (), dropout: float = 0.0,
          **of_train: Any) -> tuple[dict[str, Any], nn.Module]:  # fmt: skip
    """The record's section and the trained model; `of_train`: values of the train section."""
    model = model_of(family, dropout) if model is None else model
    task, modality, cfg = (
        task_of(rows_of(family) if rows is None else rows, validation),
        modality_of(family),
        settings(**of_train),
    )
    cfg.model.head = "classifier" if modality.num_labels else None
    section = trainer.fit(cfg, model, modality, task, [], folder, callbacks)
    return section, model


def exactly(family: str, folder: Path, **more: Any) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradient norm by step, and the weights after the last one, in float64."""
    steps, plain, Exact.losses = Steps(), trainer.BenchTrainer, ([],)
    as_they_are, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double  # transformers takes logits to float32
    trainer.BenchTrainer = Exact
    try:
        _, model = train(family, folder, callbacks=[steps], **more)
    finally:
        trainer.BenchTrainer, torch.Tensor.float = plain, as_they_are
    weights = {n: getattr(p.detach(), "full_tensor", p.detach)() for n, p in model.named_parameters()}
    return torch.tensor(Exact.losses[0], dtype=torch.float64), torch.tensor(steps.norms, dtype=torch.float64), weights


class Weights(TrainerCallback):
    """The trained weights after each step, before the best are loaded."""

    def __init__(self):
        self.by_step: list[dict[str, torch.Tensor]] = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.by_step.append({name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad})


class Interrupted(Exception):
    """What `Interrupt` ends a training with."""


class Interrupt(TrainerCallback):
    def __init__(self, step: int):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Interrupted


def last_weights(family: str, folder: Path, **more: Any) -> dict[str, torch.Tensor]:
    weights = Weights()
    train(family, folder, callbacks=[weights, *more.pop("callbacks", ())], **more)
    return weights.by_step[-1]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """To the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
