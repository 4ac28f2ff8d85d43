"""What differs between language and vision: all that the trainer and the evaluator ask of a modality.

A new kind of task is one file with a class that derives from `Modality`, and one line in modalities.py.

From example to score: `rows` makes of each example what `collate` can join to a batch. The model gets the batch as
keyword arguments, "labels" included where it is trained. `predict` gives one prediction for each example, which the
benchmark's scorers compare with `gold`.

Shapes: B batch, C classes (1 for regression), ... whatever the model takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from tasks.base import Benchmark, Task

Batch = dict[str, torch.Tensor]
Wanted = Sequence[tuple[Benchmark, str]]  # what is to be scored: benchmarks, each with a split

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Probe:
    """Inputs of one row, and what to say of them where the model refuses them.

    what: the beginning of the sentence, "the longest text to learn".  remedy: its end, in which {limit} is the longest
    that fits; None of an image, which cannot be made shorter.
    """

    inputs: Inputs
    what: str
    remedy: str | None = None

    @property
    def length(self) -> int:
        return self.inputs["input_ids"].shape[1]


class Modality(ABC):
    """How the examples of one kind of task are fed to a model, and what the model says of them.

    num_labels: columns of the logits of a model that classifies (1: it predicts a value); None of one that generates.
    class_names: by index; empty where classes have no names.
    """

    cfg: DictConfig
    task: Task
    num_labels: int | None = None
    class_names: tuple[str, ...] = ()

    # --- for training ---

    @abstractmethod
    def load_model(self) -> nn.Module:
        """The base model, with a new head where it classifies. Raises ModelError, and SettingError where no training
        example has anything to learn.
        """

    @abstractmethod
    def rows(self, examples: Sequence[Any]) -> list[Any]:
        """One row for each example: what `collate` takes. Raises DataError."""

    @staticmethod
    def length(row: Any) -> int:
        """Of what `collate` pads: tokens; 0 of rows that are all of one size."""
        return len(row["input_ids"]) if "input_ids" in row else 0

    @abstractmethod
    def collate(self, rows: Sequence[Any]) -> Batch:
        """A batch: the model's inputs of shape (B, ...), padded to the longest row, and "labels"."""

    @staticmethod
    @abstractmethod
    def size(batch: Batch) -> torch.Tensor:
        """A number: what speed is counted in, which are tokens without padding, or images."""

    @staticmethod
    @abstractmethod
    def targets(batch: Batch) -> torch.Tensor:
        """(B,), whole numbers: how many targets of each row the loss is the mean of; 0 where a row has none."""

    # --- for scores ---

    @abstractmethod
    def predict(
        self, model: nn.Module, benchmark: Benchmark, examples: Sequence[Any], batch_size: int, label: str
    ) -> tuple[list[Any], int]:
        """A prediction for each example, in their order, and the number of generated tokens (0 where none are).

        A prediction does not depend on what shares its batch. It is NaN where the model's outputs are not finite.
        label: what is being predicted, for the progress bar.
        """

    @abstractmethod
    def gold(self, example: Any) -> Any:
        """What the prediction for this example is compared with."""

    def logits(self, model: nn.Module, examples: Sequence[Any], batch_size: int, label: str) -> np.ndarray:
        """(examples, C), float32, of a model that classifies."""
        raise NotImplementedError(f"{type(self).__name__} has no classes")

    def predictions_of(self, logits: np.ndarray) -> list[Any]:
        """The predictions that logits of shape (B, C) are, of a model that classifies."""
        raise NotImplementedError(f"{type(self).__name__} has no classes")

    def used(self, benchmark: Benchmark) -> dict[str, Any]:
        """How text is generated, for the record; empty where none is."""
        return {}

    # --- before training ---

    @abstractmethod
    def probes(self, wanted: Wanted) -> list[Probe]:
        """The largest inputs that the model will meet; it is asked at once whether it takes them."""

    @abstractmethod
    def remarks(self, wanted: Wanted) -> list[str]:
        """What is to be known of the data before training, a sentence each."""

    @abstractmethod
    def require_rows_alone(self, model: nn.Module, wanted: Wanted) -> None:
        """Raises SettingError where what the model says of a row depends on others in its batch."""
